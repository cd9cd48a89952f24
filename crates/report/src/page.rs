//! The one page: sections of blocks, for evaluations, runs, comparisons and audits alike.

use facegrad_results::{EmbeddedImage, Fact, ImagePair, ResultTable, numbers::number};
use maud::{Markup, html};

use crate::{
    html::{Grid, GridRow, document, image},
    svg::Picture,
};

/// A page that needs nothing but itself. All text is escaped; what is empty is left out.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The title.
    pub title: String,
    /// What holds for everything, in a few words each.
    pub facts: Vec<String>,
    /// What must be known before anything is read, a sentence each.
    pub warnings: Vec<String>,
    /// The sections, in their order.
    pub sections: Vec<PageSection>,
}

/// A heading and what stands below it.
#[derive(Debug, Clone, Default)]
pub struct PageSection {
    /// The heading.
    pub title: String,
    /// What stands below.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Debug, Clone)]
pub enum Block {
    /// A paragraph of what to know.
    Note(String),
    /// A table of text.
    Table(ResultTable),
    /// Figures of models, a row each.
    Figures(Grid),
    /// Names and what they stand for, below a heading that may be empty.
    Facts(String, Vec<Fact>),
    /// A command to run.
    Command(String),
    /// Pictures side by side, or one by itself.
    Drawings(Vec<Drawing>),
    /// Pairs of images below a heading.
    Pairs(String, Vec<ImagePair>),
    /// Images that belong together.
    Groups(Vec<ImageGroup>),
    /// What is shown when its summary is opened: facts, or text as it is.
    Details {
        /// What is there to be opened.
        summary: String,
        /// Names and what they stand for.
        facts: Vec<Fact>,
        /// Text as it is.
        text: String,
    },
}

/// A drawing of this crate on a page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drawing {
    /// The picture.
    pub picture: Picture,
    /// What it shows, for those who cannot see it.
    pub description: String,
    /// What to know to read it; may be empty.
    pub note: String,
}

impl Drawing {
    /// A drawing without a note.
    pub fn new(picture: Picture, description: impl Into<String>) -> Self {
        Self { picture, description: description.into(), note: String::new() }
    }
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
    pub thumbnail: EmbeddedImage,
    /// What it is.
    pub caption: String,
}

impl Page {
    /// The page as HTML.
    ///
    /// It loads nothing and runs nothing: styles, pictures and images are within, and a content security policy
    /// forbids the rest. It follows the reader's choice of light or dark and fits narrow screens; tables that do not
    /// scroll within their boxes.
    pub fn to_html(&self) -> String {
        let sections: Vec<(&PageSection, Vec<Markup>)> = self
            .sections
            .iter()
            .map(|section| (section, section.blocks.iter().filter_map(Block::to_html).collect()))
            .filter(|(_, blocks): &(_, Vec<Markup>)| !blocks.is_empty())
            .collect();
        let facts: Vec<&str> =
            self.facts.iter().map(String::as_str).filter(|fact| !fact.is_empty()).collect();
        let body = html! {
            h1 { (self.title) }
            p class="quiet" { (facts.join(" · ")) }
            @for warning in &self.warnings { p class="card warning" { (warning) } }
            @if sections.len() > 2 {
                nav { @for (i, (section, _)) in sections.iter().enumerate() {
                    a href=(format!("#section-{}", i + 1)) { (section.title) } "\n"
                } }
            }
            @for (i, (section, blocks)) in sections.iter().enumerate() {
                h2 id=(format!("section-{}", i + 1)) { (section.title) }
                @for block in blocks { (block) "\n" }
            }
        };
        document(&self.title, &body)
    }
}

impl Block {
    /// The block; nothing if there is nothing in it.
    fn to_html(&self) -> Option<Markup> {
        Some(match self {
            Self::Note(text) if !text.is_empty() => html! { p class="quiet note" { (text) } },
            Self::Table(table) if !table.rows.is_empty() => html! {
                (grid(table).to_html())
                @for line in table.note.lines() { p class="quiet note" { (line) } }
            },
            Self::Figures(table) if !table.rows.is_empty() => table.to_html(),
            Self::Facts(title, facts) if !facts.is_empty() => html! {
                @if !title.is_empty() { h3 { (title) } }
                div class="card" { table { (rows(facts)) } }
            },
            Self::Command(command) if !command.is_empty() => {
                html! { h3 { "Command" } div class="card" { code { (command) } } }
            }
            Self::Drawings(drawings) => match &drawings[..] {
                [] => return None,
                [drawing] => figure(drawing, Some("single")),
                several => {
                    html! { div class="pictures" { @for drawing in several { (figure(drawing, None)) } } }
                }
            },
            Self::Pairs(title, pairs) if !pairs.is_empty() => html! {
                h3 { (title) }
                div class="pairs" { @for pair in pairs {
                    figure class="pair" {
                        div { (image(&pair.left)) (image(&pair.right)) }
                        figcaption { b { (score(pair.score)) } " " span class="quiet" { (pair.caption) } }
                    }
                } }
            },
            Self::Groups(groups) if !groups.is_empty() => html! {
                div class="groups" { @for group in groups { (self::group(group)) } }
            },
            Self::Details { summary, facts, text } => html! {
                details class="card" {
                    summary { (summary) }
                    @if !facts.is_empty() { table class="files" { (rows(facts)) } }
                    @if !text.is_empty() { pre { (text) } }
                }
            },
            _ => return None,
        })
    }
}

fn rows(facts: &[Fact]) -> Markup {
    html! { @for fact in facts { tr { th { (fact.name) } td { (fact.value) } } } }
}

fn score(score: f64) -> String {
    if score.is_finite() { format!("{score:.3}").replace('-', "−") } else { number(score) }
}

fn figure(drawing: &Drawing, class: Option<&str>) -> Markup {
    html! {
        figure class=[class] {
            (drawing.picture.to_html(&drawing.description))
            @if !drawing.note.is_empty() { figcaption class="quiet" { (drawing.note) } }
        }
    }
}

fn group(group: &ImageGroup) -> Markup {
    // A few images have room beside other groups.
    let class = if group.images.len() > 3 { "card group many" } else { "card group" };
    html! {
        div class=(class) {
            (group.caption)
            div { @for shown in &group.images {
                figure { (image(&shown.thumbnail)) figcaption { (shown.caption) } }
            } }
        }
    }
}

/// A table of text, whose columns of numbers are set as such.
fn grid(table: &ResultTable) -> Grid {
    let is_text = |column: usize| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(column));
        column == 0 || !cells.all(|cell| is_number(cell))
    };
    let row = |(i, row): (usize, &Vec<String>)| GridRow {
        cells: row.iter().map(|cell| html! { (cell) }).collect(),
        remark: table.remarks.get(i).cloned().unwrap_or_default(),
    };
    Grid {
        title: table.title.clone(),
        columns: table.header.iter().enumerate().map(|(i, name)| (name.clone(), is_text(i))).collect(),
        rows: table.rows.iter().enumerate().map(row).collect(),
    }
}

/// Whether a cell is set like a number: digits with what belongs to them, or nothing.
fn is_number(cell: &str) -> bool {
    let mark = |c: char| c.is_ascii_digit() || c.is_whitespace() || "+-−–±.,%<>=≤≥e/():".contains(c);
    cell.replace(" to ", " ").chars().all(mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    #[test]
    fn everything_is_shown_and_escaped() {
        let text = || "<b>a & b</b>".to_owned();
        let image = CaptionedImage {
            thumbnail: EmbeddedImage { bytes: b"\x89PNG\r\n\x1a\nrest".to_vec(), alt: text() },
            caption: text(),
        };
        let pair = ImagePair { score: -0.1234, caption: text(), ..ImagePair::default() };
        let table = ResultTable {
            title: text(),
            rows: vec![vec![text()]],
            note: text(),
            remarks: vec![text()],
            ..ResultTable::default()
        };
        let row = GridRow { cells: vec![html! { (text()) }], remark: text() };
        let figures = Grid { title: text(), columns: vec![(text(), true)], rows: vec![row] };
        let blocks = vec![
            Block::Note(text()),
            Block::Table(table),
            Block::Figures(figures),
            Block::Facts(text(), vec![Fact::new(text(), text())]),
            Block::Command(text()),
            Block::Drawings(vec![Drawing {
                picture: Chart { title: text(), ..Chart::default() }.picture(),
                description: text(),
                note: text(),
            }]),
            Block::Pairs(text(), vec![pair]),
            Block::Groups(vec![ImageGroup {
                caption: text(),
                images: vec![image, CaptionedImage::default()],
            }]),
            Block::Details { summary: text(), facts: vec![Fact::new(text(), text())], text: text() },
        ];
        let page = Page {
            title: text(),
            facts: vec![text(), "two".into()],
            warnings: vec![text()],
            sections: vec![PageSection { title: text(), blocks }],
        };
        let html = page.to_html();
        assert!(!html.contains("<b>a"), "{html}");
        assert_eq!(html.matches("data:image/png;base64,").count(), 1);
        // Those of the pair, and the image without bytes.
        assert_eq!(html.matches("no image").count(), 3);
        assert!(html.contains("<b>−0.123</b>"));
        // Title, heading, fact, warning, section, and each text of a block; labels and alternative texts, too.
        assert_eq!(html.matches("&lt;b&gt;a &amp; b").count(), 33, "{html}");
    }

    #[test]
    fn sections_without_data_are_left_out() {
        let empty = PageSection { title: "nothing".into(), blocks: vec![Block::Note(String::new())] };
        let page = Page { title: "empty".into(), sections: vec![empty; 4], ..Page::default() };
        for part in ["<h2", "<h3", "<svg", "<table", "<img", "<nav", "nothing"] {
            assert!(!page.to_html().contains(part), "{part}");
        }
        assert!(Page::default().to_html().contains("<h1></h1>"));
    }

    #[test]
    fn numbers_are_told_from_text() {
        for text in ["99.12 %", "−0.3", "98.1 to 99.2 %", "1,234", "1e-6", "–", "", "0.31 ± 0.02", "< 0.001"]
        {
            assert!(is_number(text), "{text}");
        }
        for text in ["cosine", "not measurable: 3 pairs", "fold 1"] {
            assert!(!is_number(text), "{text}");
        }
    }
}
