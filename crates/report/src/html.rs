//! Text in HTML, and what all pages share.

use std::fmt::{self, Display, Write};

use crate::chart::{DARK, hex};

/// Text that stands for itself in HTML, within elements and quoted attributes.
pub(crate) struct Escaped<T>(pub T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Not allowed in HTML at all.
                c if c.is_control() && !matches!(c, '\n' | '\t') => f.write_str("\u{FFFD}")?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// A space that keeps a number and its unit on one line.
pub(crate) const NBSP: char = '\u{A0}';

/// What a page may show beside its own text, styles and drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Images {
    /// No images.
    Forbidden,
    /// Images that are part of the page.
    Embedded,
}

/// A whole page with this title; `body` is HTML.
pub(crate) fn document(title: &str, images: Images, body: &str) -> String {
    let images = match images {
        Images::Forbidden => "",
        Images::Embedded => "; img-src data:",
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'{images}\">\n\
         <title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        Escaped(title),
        include_str!("page.css"),
        dark()
    )
}

/// A row of a table; `value` is HTML.
pub(crate) fn row(name: &str, value: impl Display) -> String {
    format!("<tr><th>{}</th><td>{value}</td></tr>\n", Escaped(name))
}

/// A picture within a page, with a name for those who cannot see it.
pub(crate) fn figure(svg: &str, description: &str) -> String {
    // Within HTML a picture needs no name space.
    let svg = svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let named = format!("<svg role=\"img\" aria-label=\"{}\" ", Escaped(description));
    format!("<figure>{}</figure>\n", svg.replacen("<svg ", &named, 1))
}

/// The sections of a page.
#[derive(Default)]
pub(crate) struct Sections {
    body: String,
    titles: Vec<String>,
}

impl Sections {
    /// Adds a section of HTML, unless it is empty.
    pub(crate) fn add(&mut self, title: &str, html: String) {
        if html.is_empty() {
            return;
        }
        self.titles.push(title.to_owned());
        let number = self.titles.len();
        push(&mut self.body, format_args!("<h2 id=\"section-{number}\">{}</h2>\n{html}", Escaped(title)));
    }

    /// Links to the sections, if there are several.
    pub(crate) fn contents(&self) -> String {
        if self.titles.len() < 3 {
            return String::new();
        }
        let link =
            |(i, title): (usize, &String)| format!("<a href=\"#section-{}\">{}</a>", i + 1, Escaped(title));
        let links: Vec<String> = self.titles.iter().enumerate().map(link).collect();
        format!("<nav>{}</nav>\n", links.join("\n"))
    }

    /// The sections so far.
    pub(crate) fn body(&self) -> &str {
        &self.body
    }
}

/// The styles of a dark page, which also repaint the pictures.
fn dark() -> String {
    let mut css = String::from(
        "@media (prefers-color-scheme: dark) {\n:root { --page: #121519; --card: #1b1f24; --text: #e6e8eb; \
         --quiet: #a3adb8; --line: #30363d; }\n",
    );
    for (light, dark) in DARK {
        let light = hex(light);
        push(&mut css, format_args!("svg [fill=\"{light}\"] {{ fill: {dark}; }}\n"));
        push(&mut css, format_args!("svg [stroke=\"{light}\"] {{ stroke: {dark}; }}\n"));
    }
    css.push_str("}\n");
    css
}

/// A share as a percentage with two digits.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}{NBSP}%", share * 100.0)
}

/// The parts that are not empty.
pub(crate) fn join(parts: &[String], between: &str) -> String {
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(between)
}

/// Writing to text cannot fail.
pub(crate) fn push(text: &mut String, part: fmt::Arguments) {
    let _ = text.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_markup() {
        assert_eq!(
            Escaped("<a href=\"x\">Tom's & co\u{7}\n</a>").to_string(),
            "&lt;a href=&quot;x&quot;&gt;Tom&#39;s &amp; co\u{FFFD}\n&lt;/a&gt;"
        );
    }
}
