//! The page of an audit: what is wrong with a set of images, with the images side by side.

use crate::{
    BarChart, Entry, Table, Thumbnail, bar_chart,
    chart::DrawError,
    html::{Escaped, Images, Sections, document, figure, join, push, row},
};

/// What [`audit_page`] shows. All text is escaped; what is empty is left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuditReport {
    /// The title.
    pub title: String,
    /// What the set is, in a few words each.
    pub facts: Vec<String>,
    /// What must be known before anything is read, a sentence each.
    pub warnings: Vec<String>,
    /// What was found, in a line each.
    pub overview: Vec<Entry>,
    /// What was found, in their order.
    pub sections: Vec<AuditSection>,
    /// How the audit was run.
    pub run: Vec<Entry>,
    /// The command that made the page.
    pub command: String,
}

/// One kind of finding.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuditSection {
    /// What was found.
    pub title: String,
    /// What it means and how it was found.
    pub note: String,
    /// Bar charts.
    pub charts: Vec<BarChart>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Images that belong together.
    pub groups: Vec<ImageGroup>,
}

/// Images side by side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageGroup {
    /// What they have to do with each other.
    pub caption: String,
    /// The images.
    pub images: Vec<CaptionedImage>,
}

/// An image and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptionedImage {
    /// The image.
    pub thumbnail: Thumbnail,
    /// What it is.
    pub caption: String,
}

/// The audit as an HTML page that needs nothing but itself.
///
/// It loads nothing and runs nothing: styles, pictures and images are within, and a content security policy
/// forbids the rest.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn audit_page(report: &AuditReport) -> Result<String, DrawError> {
    let mut page = Sections::default();
    page.add("Overview", card(&report.overview));
    for section in &report.sections {
        page.add(&section.title, section_html(section)?);
    }
    page.add("Reproducing this", reproduction(report));
    let mut head = format!("<h1>{}</h1>\n", Escaped(&report.title));
    let facts: Vec<String> = report.facts.iter().map(|fact| Escaped(fact).to_string()).collect();
    push(&mut head, format_args!("<p class=\"quiet\">{}</p>\n", join(&facts, " · ")));
    for warning in &report.warnings {
        push(&mut head, format_args!("<p class=\"card warning\">{}</p>\n", Escaped(warning)));
    }
    Ok(document(&report.title, Images::Embedded, &format!("{head}{}{}", page.contents(), page.body())))
}

fn section_html(section: &AuditSection) -> Result<String, DrawError> {
    let mut html = String::new();
    if !section.note.is_empty() {
        push(&mut html, format_args!("<p class=\"quiet note\">{}</p>\n", Escaped(&section.note)));
    }
    for chart in &section.charts {
        let picture = figure(&bar_chart(chart)?, &chart.title);
        html.push_str(&picture.replacen("<figure>", "<figure class=\"single\">", 1));
    }
    html.extend(section.tables.iter().map(Table::to_html));
    if section.groups.is_empty() {
        return Ok(html);
    }
    html.push_str("<div class=\"groups\">\n");
    for group in &section.groups {
        // A few images have room beside other groups.
        let class = if group.images.len() > 3 { "card group many" } else { "card group" };
        push(&mut html, format_args!("<div class=\"{class}\">{}\n<div>\n", Escaped(&group.caption)));
        for image in &group.images {
            let (shown, caption) = (image.thumbnail.to_html(), Escaped(&image.caption));
            push(&mut html, format_args!("<figure>{shown}<figcaption>{caption}</figcaption></figure>\n"));
        }
        html.push_str("</div></div>\n");
    }
    html.push_str("</div>\n");
    Ok(html)
}

/// Entries as a table; nothing without entries.
fn card(entries: &[Entry]) -> String {
    let rows: String = entries.iter().map(|Entry { name, value }| row(name, Escaped(value))).collect();
    if rows.is_empty() { rows } else { format!("<div class=\"card\"><table>{rows}</table></div>\n") }
}

fn reproduction(report: &AuditReport) -> String {
    let mut html = card(&report.run);
    if !report.command.is_empty() {
        let command = Escaped(&report.command);
        push(&mut html, format_args!("<h3>Command</h3>\n<div class=\"card\"><code>{command}</code></div>\n"));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_shown_and_escaped() {
        let text = || "<b>a & b</b>".to_owned();
        let image = CaptionedImage {
            thumbnail: Thumbnail { bytes: b"\x89PNG\r\n\x1a\nrest".to_vec(), alt: text() },
            caption: text(),
        };
        let report = AuditReport {
            title: text(),
            facts: vec![text(), "two".into()],
            warnings: vec![text()],
            overview: vec![Entry::new(text(), text())],
            sections: vec![AuditSection {
                title: text(),
                note: text(),
                charts: vec![BarChart {
                    title: text(),
                    x_label: text(),
                    y_label: text(),
                    bars: vec![(text(), 3)],
                }],
                tables: vec![Table { title: text(), rows: vec![vec![text()]], ..Default::default() }],
                groups: vec![ImageGroup { caption: text(), images: vec![image, CaptionedImage::default()] }],
            }],
            run: vec![Entry::new(text(), text())],
            command: text(),
        };
        let page = audit_page(&report).unwrap();
        assert!(!page.contains("<b>a"));
        assert_eq!(page.matches("data:image/png;base64,").count(), 1);
        assert_eq!(page.matches("no image").count(), 1);
        // Title, heading, warning, section, link, note, chart (3 and its name), table, group, images, run, command.
        assert!(page.matches("&lt;b&gt;a &amp; b").count() >= 16);
        assert!(audit_page(&AuditReport::default()).unwrap().contains("<h1></h1>"));
    }
}
