//! Tables that are wider than the page may be.

use std::fmt::Display;

use crate::html::{Escaped, push};

/// A table of a report, for numbers that have no place of their own on the page. All text is escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The title.
    pub title: String,
    /// The headings of the columns.
    pub header: Vec<String>,
    /// The rows; the first cell of each names it. Columns of numbers are aligned to the right.
    pub rows: Vec<Vec<String>>,
    /// What to know to read the table.
    pub note: String,
}

impl Table {
    /// The table as HTML, with its title as heading; nothing without rows.
    pub(crate) fn to_html(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let cells = |row: &Vec<String>| row.iter().map(|cell| Escaped(cell).to_string()).collect();
        let is_text = |column: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(column));
            column == 0 || !cells.all(|cell| is_number(cell))
        };
        let mut grid = Grid::new(
            &self.title,
            self.header.iter().enumerate().map(|(i, name)| (name.as_str(), is_text(i))),
        );
        for row in &self.rows {
            grid.rows.push(GridRow { cells: cells(row), remark: String::new() });
        }
        let mut html = String::new();
        if !self.title.is_empty() {
            push(&mut html, format_args!("<h3>{}</h3>\n", Escaped(&self.title)));
        }
        push(&mut html, format_args!("{grid}"));
        if !self.note.is_empty() {
            push(&mut html, format_args!("<p class=\"quiet note\">{}</p>\n", Escaped(&self.note)));
        }
        html
    }
}

/// Whether a cell is set like a number: digits with what belongs to them, or nothing.
fn is_number(cell: &str) -> bool {
    let mark = |c: char| c.is_ascii_digit() || c.is_whitespace() || "+-−–±.,%<>=≤≥e/():".contains(c);
    cell.replace(" to ", " ").chars().all(mark)
}

/// A table of HTML in a box that scrolls when it is too wide.
pub(crate) struct Grid {
    /// What it shows, for those who cannot see it.
    label: String,
    /// The headings, and whether their columns hold text.
    columns: Vec<(String, bool)>,
    pub(crate) rows: Vec<GridRow>,
}

/// Cells of HTML, and a remark in plain text below them, which may be empty.
pub(crate) struct GridRow {
    pub(crate) cells: Vec<String>,
    pub(crate) remark: String,
}

impl Grid {
    /// A table without rows; the columns are plain headings, and whether they hold text.
    pub(crate) fn new<'a>(label: &str, columns: impl Iterator<Item = (&'a str, bool)>) -> Self {
        let columns = columns.map(|(name, is_text)| (name.to_owned(), is_text)).collect();
        Self { label: label.to_owned(), columns, rows: Vec::new() }
    }
}

impl Display for Grid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let label = Escaped(&self.label);
        writeln!(
            f,
            "<div class=\"card wide\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\"><table>"
        )?;
        let class = |column: usize| match self.columns.get(column) {
            Some((_, true)) | None => " class=\"text\"",
            Some((_, false)) => "",
        };
        f.write_str("<thead>\n<tr>")?;
        for (i, (name, _)) in self.columns.iter().enumerate() {
            write!(f, "<th{}><div>{}</div></th>", class(i), Escaped(name))?;
        }
        f.write_str("</tr>\n</thead>\n<tbody>\n")?;
        for row in &self.rows {
            f.write_str("<tr>")?;
            // Rows of another length than the header are filled, and none of their cells is dropped.
            for i in 0..self.columns.len().max(row.cells.len()) {
                let cell = row.cells.get(i).map_or("", String::as_str);
                let tag = if i == 0 { "th" } else { "td" };
                write!(f, "<{tag}{}><div>{cell}</div></{tag}>", class(i))?;
            }
            f.write_str("</tr>\n")?;
            if !row.remark.is_empty() {
                let (span, remark) = (self.columns.len(), Escaped(&row.remark));
                writeln!(f, "<tr><td class=\"remark\" colspan=\"{span}\"><span>{remark}</span></td></tr>")?;
            }
        }
        f.write_str("</tbody></table></div>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

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

    #[test]
    fn rows_of_any_length_are_shown_whole() {
        let table = Table {
            title: "<BLUFR>".into(),
            header: vec!["trial".into(), "VR".into()],
            rows: vec![vec!["1".into(), "0.5".into(), "<extra>".into()], vec!["2".into()], vec![]],
            note: "a & b".into(),
        };
        let html = table.to_html();
        let texts = texts_of_well_formed(&html);
        assert_eq!(texts, ["&lt;BLUFR&gt;", "trial", "VR", "1", "0.5", "&lt;extra&gt;", "2", "a &amp; b"]);
        assert_eq!(html.matches("<tr>").count(), 4);
        assert!(html.contains("<td><div>0.5</div></td>"), "a number");
        assert_eq!(Table::default().to_html(), "");
    }
}
