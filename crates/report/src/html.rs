//! What every page shares: its frame, its styles, tables and images within it.

use base64::{Engine, engine::general_purpose::STANDARD};
use facegrad_results::EmbeddedImage;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::svg::{COLOURS, Colour, printable};

/// What a page may show: its own styles and drawings, and images that are part of it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A whole page with this title.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) (PreEscaped(dark())) }
            }
            body { (body) }
        }
    };
    printable(page.into_string())
}

/// A small image; what is neither PNG nor JPEG is shown as missing.
pub(crate) fn image(thumbnail: &EmbeddedImage) -> Markup {
    let kind = match &thumbnail.bytes[..] {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => "png",
        [0xFF, 0xD8, 0xFF, ..] => "jpeg",
        _ => return html! { div class="missing quiet" title=(thumbnail.alt) { "no image" } },
    };
    let data = format!("data:image/{kind};base64,{}", STANDARD.encode(&thumbnail.bytes));
    html! { img src=(data) alt=(thumbnail.alt) title=(thumbnail.alt); }
}

/// A table of a page.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    /// The heading; may be empty.
    pub(crate) title: String,
    /// The headings of the columns, and whether they hold text or numbers.
    pub(crate) columns: Vec<(String, bool)>,
    pub(crate) rows: Vec<GridRow>,
}

/// A row of a [`Grid`]: its cells, and a remark below them, which may be empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct GridRow {
    pub cells: Vec<Markup>,
    pub remark: String,
}

impl Grid {
    /// The table below its heading, in a box that scrolls when it is too wide; those who cannot see it are told the title, or
    /// the headings of the columns.
    pub(crate) fn to_html(&self) -> Markup {
        let Self { title, columns, rows } = self;
        let class = |column: usize| match columns.get(column) {
            Some((_, true)) | None => Some("text"),
            Some((_, false)) => None,
        };
        // Rows of another length than the header are filled, and none of their cells is dropped.
        let cells = |row: &GridRow| {
            let width = columns.len().max(row.cells.len());
            (0..width).map(|i| row.cells.get(i).cloned().unwrap_or_default()).collect::<Vec<_>>()
        };
        let headings = || columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let label = if title.is_empty() { headings() } else { title.clone() };
        html! {
            @if !title.is_empty() { h3 { (title) } }
            div class="card wide" role="region" aria-label=(label) tabindex="0" {
                table {
                    thead { tr { @for (i, (name, _)) in columns.iter().enumerate() {
                        th class=[class(i)] { div { (name) } }
                    } } }
                    tbody { @for row in rows {
                        tr { @for (i, cell) in cells(row).iter().enumerate() {
                            @if i == 0 { th class=[class(i)] { div { (cell) } } }
                            @else { td class=[class(i)] { div { (cell) } } }
                        } }
                        @if !row.remark.is_empty() {
                            tr { td class="remark" colspan=(columns.len()) { span { (row.remark) } } }
                        }
                    } }
                }
            }
        }
    }
}

/// The styles of a dark page, which also repaint the pictures.
fn dark() -> String {
    let repaint = COLOURS.iter().map(|Colour(light, dark)| {
        format!(
            "svg [fill=\"{light}\"] {{ fill: {dark}; }}\nsvg [stroke=\"{light}\"] {{ stroke: {dark}; }}\n"
        )
    });
    format!(
        "@media (prefers-color-scheme: dark) {{\n:root {{ --page: #121519; --card: #1b1f24; --text: #e6e8eb; \
         --quiet: #a3adb8; --line: #30363d; }}\n{}}}\n",
        repaint.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts_of_well_formed;

    #[test]
    fn rows_of_any_length_are_shown_whole() {
        let row = |cells: &[&str], remark: &str| GridRow {
            cells: cells.iter().map(|cell| html! { (cell) }).collect(),
            remark: remark.into(),
        };
        let rows = [row(&["1", "0.5", "<extra>"], "a & b"), row(&["2"], ""), row(&[], "")];
        let columns = vec![("trial".into(), true), ("VR".into(), false)];
        let html = Grid { title: "<BLUFR>".into(), columns, rows: rows.into() }.to_html().into_string();
        let texts = texts_of_well_formed(&format!("<div>{html}</div>"));
        assert_eq!(texts, ["&lt;BLUFR&gt;", "trial", "VR", "1", "0.5", "&lt;extra&gt;", "a &amp; b", "2"]);
        assert_eq!(html.matches("<tr>").count(), 5);
        assert!(html.contains("<td><div>0.5</div></td>"), "a number");
    }

    #[test]
    fn images_are_embedded_and_anything_else_is_not() {
        let shown = |bytes: &[u8]| {
            image(&EmbeddedImage { bytes: bytes.to_vec(), alt: "a \"b\" <c>".into() }).into_string()
        };
        let png = shown(b"\x89PNG\r\n\x1a\nrest");
        assert!(png.starts_with("<img src=\"data:image/png;base64,iVBORw0KGgpyZXN0\" alt=\"a &quot;b&quot;"));
        assert!(shown(&[0xFF, 0xD8, 0xFF, 0xE0]).contains("data:image/jpeg;base64,/9j/4A=="));
        for other in [&b"<svg onload=\"x\">"[..], b"", b"GIF89a"] {
            let html = shown(other);
            assert!(!html.contains("<img") && !html.contains("<svg") && html.contains("no image"), "{html}");
        }
    }
}
