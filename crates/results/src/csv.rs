//! Sheets as CSV.

use crate::{Figure, Population, ResultSheet};

/// A header, and a line for each sheet: columns of its own, or its protocol and facts where it has none, its figures, and
/// columns of its own again. Shares are from 0 to 1; what was not measured is empty. Intervals end in `_low` and `_high`, by pairs unless the name says `by_people`.
/// A column that only some sheets have is empty for the others.
pub fn to_csv(sheets: &[&ResultSheet]) -> String {
    let lines: Vec<Vec<(String, String)>> = sheets.iter().map(|sheet| columns(sheet)).collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in lines.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let values = lines.iter().map(|line| {
        let value = |name: &&str| line.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value);
        names.iter().map(value).collect::<Vec<&str>>()
    });
    // Writing to memory cannot fail.
    for record in std::iter::once(names.clone()).chain(values) {
        let _ = writer.write_record(record);
    }
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// The columns of a sheet in their order.
fn columns(sheet: &ResultSheet) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    if sheet.sections.iter().all(|section| section.columns.iter().all(Vec::is_empty)) {
        columns.push(("protocol".to_owned(), sheet.protocol.clone()));
    }
    for section in &sheet.sections {
        let [before, after] = &section.columns;
        if before.is_empty() && after.is_empty() {
            columns.extend(section.facts.iter().map(|fact| (fact.name.clone(), fact.value.clone())));
        }
        columns.extend_from_slice(before);
        section.figures.iter().for_each(|figure| add(&mut columns, figure));
        columns.extend_from_slice(after);
    }
    columns
}

/// A figure, its intervals, and what it brings of its own; nothing if a figure before it brought its column.
fn add(columns: &mut Vec<(String, String)>, figure: &Figure) {
    if columns.iter().any(|(name, _)| *name == figure.key) {
        return;
    }
    let text = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    columns.push((figure.key.clone(), text(figure.value)));
    for (over, interval) in &figure.intervals {
        let of = if *over == Population::People { "_by_people" } else { "" };
        columns.push((format!("{}{of}_low", figure.key), text(interval.map(|interval| interval.low))));
        columns.push((format!("{}{of}_high", figure.key), text(interval.map(|interval| interval.high))));
    }
    columns.extend_from_slice(&figure.columns);
}
