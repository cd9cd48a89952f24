//! From the sheets of an evaluation to the sections of a page.

use facegrad_results::{
    CurveKind, EmbeddingMap, Fact, Figure, Interval, Population, ResultSection, ResultSheet, ResultTable,
};
use maud::{Markup, html};

use crate::{
    Block, Drawing, ModelCurve, PageSection, Picture, cmc_curve, counts_histogram, det_curve, embedding_map,
    fnir_curve,
    html::{Grid, GridRow},
    roc_curve,
};

/// Two models on the same pairs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PairedTable {
    /// The figures of both, and a verdict on each difference.
    pub table: ResultTable,
    /// The tests behind the verdicts.
    pub tests: Vec<Fact>,
}

const INTERVALS: &str = "Intervals are of 95 %: by pairs after Wilson, as if pairs were independent; by people from a \
    bootstrap that draws people, since pairs share them. A true-accept rate is that of the best threshold whose \
    false-accept rate does not exceed the one named.";

const DIFFERENCES: &str = "Both models on the same pairs. Accuracy: a paired t-test over the folds and the exact test of \
    McNemar over the decisions, both of which must show it. Areas and rates: the 95 % interval of the difference when the \
    same people are drawn for both. Each row stands alone: of twenty without a true difference one shows one.";

/// The sections of a page that shows `sheets`: what models are chosen by, comparisons of models, everything by protocol,
/// and maps of embeddings.
///
/// Sheets of one name are of one protocol. Models are told apart by their names: one name has one colour throughout.
pub fn result_sections(sheets: &[ResultSheet], comparisons: &[PairedTable]) -> Vec<PageSection> {
    let models = distinct(sheets.iter().map(|sheet| sheet.model.as_str()));
    let mut sections = vec![overview(sheets)];
    if !comparisons.is_empty() {
        let mut blocks: Vec<Block> = comparisons
            .iter()
            .flat_map(|paired| {
                [Block::Table(paired.table.clone()), Block::Facts(String::new(), paired.tests.clone())]
            })
            .collect();
        blocks.push(Block::Note(DIFFERENCES.into()));
        sections.push(PageSection { title: "Comparison".into(), blocks });
    }
    for name in distinct(sheets.iter().map(|sheet| sheet.name.as_str())) {
        let of_protocol: Vec<&ResultSheet> = sheets.iter().filter(|sheet| sheet.name == name).collect();
        let blocks = protocol_blocks(&of_protocol, &models);
        sections.push(PageSection { title: name.to_owned(), blocks });
    }
    let maps = sheets.iter().flat_map(|sheet| &sheet.maps);
    let maps = maps.filter(|map| map.classes.iter().any(|class| !class.points.is_empty()));
    let drawing = |map: &EmbeddingMap| Drawing {
        picture: embedding_map(map),
        description: format!("Map of embeddings: {}", map.title),
        note: map.note.clone(),
    };
    let blocks = vec![Block::Drawings(maps.map(drawing).collect())];
    sections.push(PageSection { title: "Maps".into(), blocks });
    sections
}

/// All names, in the order of their first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// The figure that a model is chosen by, a row for each protocol and model.
fn overview(sheets: &[ResultSheet]) -> PageSection {
    let row = |sheet: &ResultSheet| {
        let figure = sheet.chosen_by();
        let label = figure.map(|figure| figure.label.as_str()).unwrap_or_default();
        let name = html! { b { (sheet.name) } @if !sheet.model.is_empty() { br; span class="quiet" { (sheet.model) } } };
        let cells = vec![name, html! { small class="reason" { (label) } }, cell(figure, false)];
        GridRow { cells, remark: sheet.remarks.join(" ") }
    };
    let columns = ["protocol and model", "figure", "value"].map(Into::into);
    let table = table("", columns, sheets.iter().map(row).collect());
    let note = if sheets.is_empty() { String::new() } else { INTERVALS.into() };
    PageSection { title: "Results".into(), blocks: vec![Block::Figures(table), Block::Note(note)] }
}

/// A table of figures, whose first column names them.
fn table(title: &str, columns: impl IntoIterator<Item = String>, rows: Vec<GridRow>) -> Grid {
    let columns = columns.into_iter().enumerate().map(|(i, name)| (name, i == 0)).collect();
    Grid { title: title.to_owned(), columns, rows }
}

fn protocol_blocks(sheets: &[&ResultSheet], models: &[&str]) -> Vec<Block> {
    let mut blocks = vec![Block::Note(sheets[0].protocol.clone())];
    let several = sheets.len() > 1;
    let titles =
        distinct(sheets.iter().flat_map(|sheet| &sheet.sections).map(|section| section.title.as_str()));
    for (i, title) in titles.into_iter().enumerate() {
        blocks.push(Block::Figures(figure_table(sheets, title)));
        if i == 0 {
            blocks.push(Block::Drawings(pictures(sheets, models)));
        }
    }
    for sheet in sheets {
        let of = if several { format!(" of {}", sheet.model) } else { String::new() };
        for table in sheet.sections.iter().flat_map(|section| &section.tables) {
            blocks.push(Block::Table(ResultTable { title: format!("{}{of}", table.title), ..table.clone() }));
        }
    }
    if sheets.iter().any(|sheet| !sheet.thresholds.is_empty()) {
        blocks.push(Block::Table(threshold_table(sheets)));
    }
    blocks.extend(fact_blocks(sheets));
    for sheet in sheets {
        let of = if models.len() > 1 { format!(" of {}", sheet.model) } else { String::new() };
        blocks.extend(sheet.pairs.iter().map(|(title, pairs)| {
            let (head, rest) = title.split_once(':').unwrap_or((title, ""));
            let colon = if rest.is_empty() { "" } else { ":" };
            Block::Pairs(format!("{head}{of}{colon}{rest}"), pairs.clone())
        }));
    }
    blocks
}

/// The figures of one section of the sheets, a column for each model.
fn figure_table(sheets: &[&ResultSheet], title: &str) -> Grid {
    let of_sheet = |sheet: &&ResultSheet| -> Vec<Figure> {
        let sections = sheet.sections.iter().filter(|section| section.title == title);
        sections.flat_map(|section| &section.figures).filter(|figure| figure.is_present()).cloned().collect()
    };
    let figures: Vec<Vec<Figure>> = sheets.iter().map(of_sheet).collect();
    let keys = distinct(figures.iter().flatten().map(|figure| figure.key.as_str()));
    let row = |key: &str| {
        let all = figures.iter().map(|figures| figures.iter().find(|figure| figure.key == key));
        let all: Vec<Option<&Figure>> = all.collect();
        let label = all.iter().flatten().next().map(|figure| figure.label.as_str()).unwrap_or_default();
        let name = html! { b { (label) } };
        let cells = std::iter::once(name).chain(all.iter().map(|figure| cell(*figure, true))).collect();
        GridRow { cells, remark: String::new() }
    };
    let models = sheets.iter().map(|sheet| sheet.model.clone());
    table(title, std::iter::once("figure".to_owned()).chain(models), keys.into_iter().map(row).collect())
}

/// A figure in bold with its intervals below, or why there is none; with its note if it is `whole`.
fn cell(figure: Option<&Figure>, whole: bool) -> Markup {
    let Some(figure) = figure else { return html! { b { "–" } } };
    if let Some(reason) = &figure.reason {
        return html! { small class="reason" { (reason) } };
    }
    let over = |population: &Population| if *population == Population::Pairs { "pairs" } else { "people" };
    let interval = |(population, interval): &(Population, Option<Interval>)| {
        Some(format!("{} {}", over(population), figure.scale.span((*interval)?)))
    };
    let mut lines: Vec<String> = figure.intervals.iter().filter_map(interval).collect();
    let note = figure.note.trim_start_matches([',', ';', ' ']);
    if whole && !note.is_empty() {
        lines.push(note.to_owned());
    }
    html! {
        b { (figure.text()) }
        @for line in &lines { br; small class="reason" { (line) } }
    }
}

/// The thresholds that pictures mark, a column a model.
fn threshold_table(sheets: &[&ResultSheet]) -> ResultTable {
    let names = distinct(sheets.iter().flat_map(|sheet| &sheet.thresholds).map(|t| t.name.as_str()));
    let row = |name: &str| {
        let value = |sheet: &&ResultSheet| {
            let threshold = sheet.thresholds.iter().find(|threshold| threshold.name == name);
            threshold.map_or_else(|| "–".into(), |threshold| format!("{:.4}", threshold.value))
        };
        std::iter::once(name.to_owned()).chain(sheets.iter().map(value)).collect()
    };
    let models = sheets.iter().map(|sheet| match sheets.len() {
        1 => "lowest score accepted".to_owned(),
        _ => sheet.model.clone(),
    });
    ResultTable {
        title: "Thresholds".into(),
        header: std::iter::once("threshold".to_owned()).chain(models).collect(),
        rows: names.into_iter().map(row).collect(),
        ..ResultTable::default()
    }
}

/// What the figures depend on; models of which the same is to be said share a block.
fn fact_blocks(sheets: &[&ResultSheet]) -> Vec<Block> {
    let facts = |sheet: &ResultSheet| -> Vec<Fact> {
        let name = |section: &ResultSection, fact: &Fact| match section.title.as_str() {
            "" => fact.name.clone(),
            title => format!("{title}: {}", fact.name),
        };
        let of = |section: &ResultSection| -> Vec<Fact> {
            section.facts.iter().map(|fact| Fact::new(name(section, fact), fact.value.clone())).collect()
        };
        sheet.sections.iter().flat_map(of).collect()
    };
    let mut groups: Vec<(Vec<&str>, Vec<Fact>)> = Vec::new();
    for sheet in sheets {
        let facts = facts(sheet);
        match groups.iter_mut().find(|(_, other)| *other == facts) {
            Some((models, _)) => models.push(&sheet.model),
            None => groups.push((vec![&sheet.model], facts)),
        }
    }
    let title = |models: &[&str]| match groups.len() {
        1 => "Data and switches".to_owned(),
        _ => format!("Data and switches: {}", models.join(", ")),
    };
    groups.iter().map(|(models, facts)| Block::Facts(title(models), facts.clone())).collect()
}

/// Curves of all models in one picture each, and the scores of each model.
fn pictures(sheets: &[&ResultSheet], models: &[&str]) -> Vec<Drawing> {
    type Draw = fn(&str, &[ModelCurve]) -> Picture;
    let of = |kind: CurveKind| -> Vec<ModelCurve> {
        let curves = sheets.iter().filter_map(|sheet| {
            let curve = sheet.curves.iter().find(|curve| curve.kind == kind && !curve.points.is_empty())?;
            let colour = models.iter().position(|name| *name == sheet.model).unwrap_or(0);
            Some(ModelCurve { name: &sheet.model, colour, curve })
        });
        curves.collect()
    };
    let drawing = |kind, draw: Draw, title: &str, description: &str| {
        let curves = of(kind);
        (!curves.is_empty()).then(|| Drawing::new(draw(title, &curves), description))
    };
    let scores = sheets.iter().filter_map(|sheet| {
        let title = if sheets.len() > 1 { format!("Scores of {}", sheet.model) } else { "Scores".into() };
        let picture = counts_histogram(&title, sheet.scores.as_ref()?, &sheet.thresholds);
        Some(Drawing::new(picture, "Histogram of the scores"))
    });
    let roc = drawing(CurveKind::Roc, roc_curve, "True accepts over false accepts", "ROC curve");
    let det = drawing(CurveKind::Roc, det_curve, "Both errors (DET)", "DET curve");
    let cmc = drawing(CurveKind::Cmc, cmc_curve, "Found up to a rank (CMC)", "CMC curve");
    let fnir = drawing(CurveKind::OpenSet, fnir_curve, "Missed mates over false alarms", "FNIR over FPIR");
    roc.into_iter().chain(det).chain(scores).chain(cmc).chain(fnir).collect()
}
