//! Everything a protocol measured of one model, as lists.

use crate::{
    Align, EmbeddingMap, Figure, ImagePair, NamedThreshold, Population, ResultCurve, ScoreDistribution,
    TextTable,
};

/// A name and what it stands for, such as a hash, a switch, a backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Fact {
    /// A fact from anything that is text.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A table of a protocol that has rows of its own, such as folds or trials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultTable {
    /// The title.
    pub title: String,
    /// The headings of the columns.
    pub header: Vec<String>,
    /// The rows; the first cell of each names it. Columns of numbers are aligned to the right.
    pub rows: Vec<Vec<String>>,
    /// What to know to read the table.
    pub note: String,
    /// What is to be known of each row; may be shorter than the rows.
    pub remarks: Vec<String>,
}

impl ResultTable {
    /// The table for a terminal, all columns to the right.
    fn to_text(&self) -> String {
        let mut text = TextTable::new(&vec![Align::Right; self.header.len()]);
        text.row(self.header.iter().cloned());
        self.rows.iter().for_each(|row| text.row(row.iter().cloned()));
        let note = if self.note.is_empty() { String::new() } else { format!("{}\n", self.note) };
        format!("{text}{note}")
    }
}

/// How figures stand on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// A line each: the number, its intervals in brackets, its note.
    #[default]
    Lines,
    /// A column each for the number, its intervals and its note, with headings.
    Columns,
}

/// Figures that belong together, with what they were measured on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultSection {
    /// What it is about, such as `1:1`; empty for the first.
    pub title: String,
    /// How its figures stand on a terminal.
    pub layout: Layout,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Data, switches, model, backend, seed: what the figures depend on.
    pub facts: Vec<Fact>,
    /// Facts that only CSV has: columns before the figures, and after them.
    pub columns: [Vec<(String, String)>; 2],
    /// Rows of its own.
    pub tables: Vec<ResultTable>,
}

/// The number by which a model is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadlineFigure {
    /// What it is, such as `accuracy`.
    pub name: &'static str,
    /// From 0 to 1, the larger the better.
    pub value: f64,
    /// Its standard error, where there is one.
    pub standard_error: Option<f64>,
}

/// Everything a protocol measured of one model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultSheet {
    /// The protocol in words, such as `LFW View 2 (10 folds)`.
    pub protocol: String,
    /// What the evaluation is called; left to whoever has several.
    pub name: String,
    /// What the model is called; left to whoever has several.
    pub model: String,
    /// Keys of the figures by which a model is chosen, with their names in a sentence; the first that was measured counts.
    pub headlines: Vec<(&'static str, &'static str)>,
    /// The figures.
    pub sections: Vec<ResultSection>,
    /// What to know of these numbers, a sentence each.
    pub remarks: Vec<String>,
    /// Curves.
    pub curves: Vec<ResultCurve>,
    /// The distribution of the scores.
    pub scores: Option<ScoreDistribution>,
    /// Thresholds that are marked in it.
    pub thresholds: Vec<NamedThreshold>,
    /// Pairs of images to look at, by title.
    pub pairs: Vec<(String, Vec<ImagePair>)>,
    /// Maps of embeddings.
    pub maps: Vec<EmbeddingMap>,
}

impl ResultSheet {
    /// All figures that were measured, or of which it is known why not.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.sections.iter().flat_map(|section| &section.figures).filter(|figure| figure.is_present())
    }

    /// The figure with a key, if there is one.
    pub fn figure(&self, key: &str) -> Option<&Figure> {
        self.figures().find(|figure| figure.key == key)
    }

    /// The value of the figure with a key, if it was measured.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.figure(key)?.value
    }

    /// The figure by which a model is chosen, with its name in a sentence: the first that was measured, else the first.
    fn chosen(&self) -> Option<(&'static str, &Figure)> {
        let candidates = self.headlines.iter().filter_map(|&(key, name)| Some((name, self.figure(key)?)));
        candidates.min_by_key(|(_, figure)| figure.value.is_none())
    }

    /// The figure by which a model is chosen; one without a value if none could be measured.
    pub fn chosen_by(&self) -> Option<&Figure> {
        self.chosen().map(|(_, figure)| figure)
    }

    /// The number by which a model is chosen, if it could be measured.
    pub fn headline(&self) -> Option<HeadlineFigure> {
        let (name, figure) = self.chosen()?;
        let error = figure.spread.filter(|spread| spread.of == "standard error");
        Some(HeadlineFigure { name, value: figure.value?, standard_error: error.map(|spread| spread.value) })
    }

    /// The sheet as aligned plain text; ends with a line feed.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.protocol);
        for section in &self.sections {
            if !section.title.is_empty() {
                text.push_str(&format!("\n{}\n", section.title));
            }
            let figures: Vec<&Figure> = section.figures.iter().filter(|figure| figure.is_present()).collect();
            let mut lines = TextTable::new(&[Align::Left]);
            match section.layout {
                Layout::Lines => figures.iter().for_each(|figure| lines.row([&figure.label, &line(figure)])),
                Layout::Columns => text.push_str(&format!("{}\n", columns(&figures))),
            }
            section.facts.iter().for_each(|fact| lines.row([&fact.name, &fact.value]));
            text.push_str(&lines.to_string());
            section.tables.iter().for_each(|table| text.push_str(&format!("\n{}", table.to_text())));
        }
        text
    }
}

/// A figure with its intervals in brackets and its note, or why there is none.
fn line(figure: &Figure) -> String {
    if let Some(reason) = &figure.reason {
        return reason.clone();
    }
    let span = |over| figure.interval(over).map(|interval| figure.scale.span(interval));
    let intervals = match (span(Population::Pairs), span(Population::People)) {
        (Some(pairs), Some(people)) => format!(" (95 %: {pairs}; over people {people})"),
        (Some(pairs), None) => format!(" (95 %: {pairs})"),
        (None, Some(people)) => format!(" (95 %: {people} over people)"),
        (None, None) => String::new(),
    };
    format!("{}{intervals}{}", figure.text(), figure.note)
}

/// A row for each figure; intervals over people have a column where there are any.
fn columns(figures: &[&Figure]) -> TextTable {
    let has_people = figures.iter().any(|figure| figure.interval(Population::People).is_some());
    let mut table = TextTable::new(&[Align::Left]);
    let mut row = |cells: [&str; 5]| {
        let cells = cells.iter().enumerate().filter(|(i, _)| *i != 3 || has_people);
        table.row(cells.map(|(_, cell)| *cell));
    };
    row(["", "measured", "95 % by pairs (Wilson)", "95 % by people (bootstrap)", ""]);
    for figure in figures {
        let span = |over| figure.interval(over).map(|i| figure.scale.span(i)).unwrap_or_default();
        let note = figure.reason.as_ref().unwrap_or(&figure.note);
        row([&figure.label, &figure.text(), &span(Population::Pairs), &span(Population::People), note]);
    }
    table
}
