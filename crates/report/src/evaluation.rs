//! The report of an evaluation: models on protocols, on one HTML page that needs nothing but itself.

use crate::{
    DataHash, EmbeddingMap, ImagePair, RocSeries, ScoreCounts, Series, Table, Threshold,
    chart::{DrawError, number},
    cmc::cmc_picture,
    counts_histogram,
    det::det_picture,
    embedding_map,
    html::{Escaped, Images, NBSP, Sections, document, figure, join, percent, push, row},
    pairs::pair_grid,
    roc::{fnir_picture, roc_picture},
    table::{Grid, GridRow},
};

/// What [`evaluation_page`] shows. All text is escaped; what is empty is left out.
///
/// Models are told apart by their names: one name has one colour throughout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EvaluationReport {
    /// The title.
    pub title: String,
    /// What holds for everything, in a few words each.
    pub facts: Vec<String>,
    /// What must be known before any number is read, a sentence each.
    pub warnings: Vec<String>,
    /// The results, by protocol.
    pub protocols: Vec<ProtocolResults>,
    /// The differences between models.
    pub differences: Vec<PairedDifference>,
    /// What the tests of the differences assume.
    pub differences_note: String,
    /// Maps of embeddings.
    pub maps: Vec<EmbeddingMap>,
    /// Tables that belong to no single protocol.
    pub tables: Vec<Table>,
    /// What is known of each model.
    pub models: Vec<ModelCard>,
    /// The data sets.
    pub data: Vec<DataHash>,
    /// How the evaluation was run: version, backend, seed, date.
    pub run: Vec<Entry>,
    /// The command that made the page.
    pub command: String,
}

/// The results on one protocol.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProtocolResults {
    /// The protocol, such as `LFW View 2`.
    pub name: String,
    /// What it consists of, such as `3,000 genuine and 3,000 impostor pairs in 10 folds`.
    pub about: String,
    /// Verification by each model.
    pub verification: Vec<ModelVerification>,
    /// Identification by each model.
    pub identification: Vec<ModelIdentification>,
    /// What has no other place, such as the trials of LFW BLUFR or the templates of IJB-C.
    pub tables: Vec<Table>,
}

/// A figure: absent if it was not asked for, and the reason if it cannot be measured.
pub type Measured = Option<Result<Estimate, String>>;

/// A measured number and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// The number; a mean where there are folds or trials.
    pub value: f64,
    /// The standard deviation over folds or trials.
    pub deviation: Option<f64>,
    /// The standard error of the mean over folds or trials.
    pub standard_error: Option<f64>,
    /// The 95 % interval if pairs (or searches) were independent, after Wilson.
    pub by_pairs: Option<(f64, f64)>,
    /// The 95 % interval by a bootstrap over people.
    pub by_people: Option<(f64, f64)>,
}

/// An [`Estimate`] at a given rate of errors of the other kind.
#[derive(Debug, Clone, PartialEq)]
pub struct EstimateAt {
    /// The rate not to exceed, from 0 to 1.
    pub rate: f64,
    /// What was reached, from 0 to 1, or why it cannot be measured.
    pub reached: Result<Estimate, String>,
}

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Entry {
    /// An entry from anything that is text.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// What one model reaches in verification.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelVerification {
    /// The model.
    pub model: String,
    /// Every switch that changes the numbers: flip, score, centring, whitening, folds, threshold source, ….
    pub switches: Vec<Entry>,
    /// What to know of these numbers, a sentence each.
    pub remarks: Vec<String>,
    /// The number of genuine pairs.
    pub genuine: u64,
    /// The number of impostor pairs.
    pub impostor: u64,
    /// The accuracy, from 0 to 1.
    pub accuracy: Measured,
    /// The area under the ROC.
    pub auc: Measured,
    /// The equal error rate, from 0 to 1.
    pub eer: Measured,
    /// The smallest detection cost, normalised; its prior and costs are among the switches.
    pub min_dcf: Measured,
    /// True-accept rates.
    pub tar_at_far: Vec<EstimateAt>,
    /// Named thresholds.
    pub thresholds: Vec<Threshold>,
    /// The ROC, as (FAR, TAR), both rising from 0 to 1.
    pub roc: Vec<(f64, f64)>,
    /// The distribution of the scores.
    pub scores: ScoreCounts,
    /// The result on each fold, in order.
    pub folds: Vec<Fold>,
    /// Impostor pairs with the highest scores, the worst first.
    pub false_accepts: Vec<ImagePair>,
    /// Genuine pairs with the lowest scores, the worst first.
    pub false_rejects: Vec<ImagePair>,
}

/// The result on one fold.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fold {
    /// The accuracy, from 0 to 1.
    pub accuracy: f64,
    /// The threshold, which comes from elsewhere.
    pub threshold: f64,
}

/// What one model reaches in identification.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModelIdentification {
    /// The model.
    pub model: String,
    /// Every switch that changes the numbers.
    pub switches: Vec<Entry>,
    /// What to know of these numbers, a sentence each.
    pub remarks: Vec<String>,
    /// The number of searches whose person is in the gallery.
    pub mated: u64,
    /// The number of searches whose person is not.
    pub non_mated: u64,
    /// The share of mated searches that are found up to a rank, in order of rank.
    pub ranks: Vec<RankRate>,
    /// The mean average precision, from 0 to 1.
    pub mean_average_precision: Measured,
    /// False-negative identification rates at false-positive identification rates.
    pub fnir_at_fpir: Vec<EstimateAt>,
    /// The cumulative match characteristic, as (rank, share from 0 to 1).
    pub cmc: Vec<(f64, f64)>,
    /// Open-set identification, as (FPIR, true-positive identification rate), both rising from 0 to 1; the FNIR is
    /// one minus the latter.
    pub open_set: Vec<(f64, f64)>,
}

/// The share that is found up to a rank.
#[derive(Debug, Clone, PartialEq)]
pub struct RankRate {
    /// The rank, from 1.
    pub rank: u64,
    /// The share, or why it cannot be measured.
    pub found: Result<Estimate, String>,
}

/// How two models differ on the same data, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PairedDifference {
    /// On which protocol.
    pub protocol: String,
    /// In which figure, such as `accuracy`.
    pub figure: String,
    /// The one model.
    pub a: String,
    /// The other model.
    pub b: String,
    /// The figure of `a` less that of `b`, with its unit.
    pub difference: String,
    /// Its interval.
    pub interval: String,
    /// The p-value, and of which test.
    pub p_value: String,
    /// What follows, such as `noise` or `a is better`.
    pub verdict: String,
}

/// What is known of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelCard {
    /// The model.
    pub model: String,
    /// Its facts.
    pub entries: Vec<Entry>,
}

/// What stands for a number that was not asked for.
const NONE: &str = "–";

const INTERVALS: &str = "± is the standard deviation over folds or trials. Intervals are of 95 %: by pairs after \
    Wilson, as if pairs were independent; by people from a bootstrap that draws people, since pairs share them. \
    A true-accept rate is that of the best threshold whose false-accept rate does not exceed the one named.";

/// The page, as HTML.
///
/// It loads nothing and runs nothing: styles, pictures and images are within, and a content security policy
/// forbids the rest. It follows the reader's choice of light or dark and fits narrow screens; tables that do not
/// scroll within their boxes.
///
/// # Errors
/// If a picture cannot be drawn.
pub fn evaluation_page(report: &EvaluationReport) -> Result<String, DrawError> {
    let mut page = Sections::default();
    page.add("Results", headline(report));
    page.add("Comparison", differences(report));
    let models = model_names(report);
    for protocol in &report.protocols {
        page.add(&protocol.name, protocol_section(protocol, &models)?);
    }
    page.add("Maps", maps(&report.maps)?);
    page.add("Further tables", report.tables.iter().map(Table::to_html).collect());
    page.add("Reproducing this", reproduction(report));

    let mut head = format!("<h1>{}</h1>\n", Escaped(&report.title));
    let facts: Vec<String> = report.facts.iter().map(|fact| Escaped(fact).to_string()).collect();
    push(&mut head, format_args!("<p class=\"quiet\">{}</p>\n", join(&facts, " · ")));
    for warning in &report.warnings {
        push(&mut head, format_args!("<p class=\"card warning\">{}</p>\n", Escaped(warning)));
    }
    Ok(document(&report.title, Images::Embedded, &format!("{head}{}{}", page.contents(), page.body())))
}

/// The models in the order in which they appear.
fn model_names(report: &EvaluationReport) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for protocol in &report.protocols {
        let verification = protocol.verification.iter().map(|result| result.model.as_str());
        for name in verification.chain(protocol.identification.iter().map(|result| result.model.as_str())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// A figure of a row: its heading and its cell.
type Figure = (String, String);

/// A line of a headline table.
struct Line<'a> {
    protocol: &'a str,
    model: &'a str,
    figures: Vec<Figure>,
    /// Rates at given rates of errors of the other kind.
    at_rates: Vec<Figure>,
    remark: String,
    switches: &'a [Entry],
}

fn headline(report: &EvaluationReport) -> String {
    let mut verification: Vec<Line> = Vec::new();
    let mut identification: Vec<Line> = Vec::new();
    for protocol in &report.protocols {
        verification.extend(protocol.verification.iter().map(|result| Line {
            protocol: &protocol.name,
            model: &result.model,
            figures: verification_figures(result),
            at_rates: figures_at("FAR", &result.tar_at_far),
            remark: result.remarks.join(" "),
            switches: &result.switches,
        }));
        identification.extend(protocol.identification.iter().map(|result| Line {
            protocol: &protocol.name,
            model: &result.model,
            figures: identification_figures(result),
            at_rates: figures_at("FPIR", &result.fnir_at_fpir),
            remark: result.remarks.join(" "),
            switches: &result.switches,
        }));
    }
    // A single table of all figures would be wider than a desk's screen.
    let mut html = figures_table("Verification", &verification, |line| &line.figures);
    let title = "True-accept rate (TAR) at false-accept rates (FAR)";
    html.push_str(&figures_table(title, &verification, |line| &line.at_rates));
    html.push_str(&figures_table("Identification", &identification, |line| &line.figures));
    let title = "False-negative identification rate (FNIR) at false-positive identification rates (FPIR)";
    html.push_str(&figures_table(title, &identification, |line| &line.at_rates));
    if !html.is_empty() {
        push(&mut html, format_args!("<p class=\"quiet note\">{INTERVALS}</p>\n"));
    }
    verification.append(&mut identification);
    html.push_str(&switches_table(&verification));
    html
}

/// The lines with a column for each figure that any of them has; nothing without figures.
fn figures_table(title: &str, lines: &[Line], figures: for<'a> fn(&'a Line<'_>) -> &'a [Figure]) -> String {
    let columns = union(lines.iter().map(|line| figures(line).iter().map(|(heading, _)| heading.as_str())));
    if columns.is_empty() {
        return String::new();
    }
    let headings =
        [("protocol and model", true)].into_iter().chain(columns.iter().map(|name| (*name, false)));
    let mut grid = Grid::new(title, headings);
    for line in lines {
        let mut cells = vec![row_name(line.protocol, line.model)];
        cells.extend(columns.iter().map(|column| {
            let figure = figures(line).iter().find(|(heading, _)| heading == column);
            figure.map_or_else(|| NONE.to_owned(), |(_, cell)| cell.clone())
        }));
        grid.rows.push(GridRow { cells, remark: line.remark.clone() });
    }
    format!("<h3>{title}</h3>\n{grid}")
}

fn row_name(protocol: &str, model: &str) -> String {
    format!("<b>{}</b><br><span class=\"quiet\">{}</span>", Escaped(protocol), Escaped(model))
}

/// All names, in the order of their first appearance.
fn union<'a>(lists: impl Iterator<Item = impl Iterator<Item = &'a str>>) -> Vec<&'a str> {
    let mut names = Vec::new();
    for name in lists.flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The switches of each line; models with the same switches on a protocol share a row.
fn switches_table(lines: &[Line]) -> String {
    let columns = union(lines.iter().map(|line| line.switches.iter().map(|entry| entry.name.as_str())));
    if columns.is_empty() {
        return String::new();
    }
    let mut rows: Vec<(&Line, Vec<&str>)> = Vec::new();
    for line in lines {
        let same = |(other, _): &&mut (&Line, Vec<&str>)| {
            other.protocol == line.protocol && other.switches == line.switches
        };
        match rows.iter_mut().find(same) {
            Some((_, models)) => models.push(line.model),
            None => rows.push((line, vec![line.model])),
        }
    }
    let headings =
        [("protocol and models", true)].into_iter().chain(columns.iter().map(|name| (*name, true)));
    let mut grid = Grid::new("Switches", headings);
    for (line, mut models) in rows {
        models.dedup();
        let mut cells = vec![row_name(line.protocol, &models.join(", "))];
        cells.extend(columns.iter().map(|column| {
            let entry = line.switches.iter().find(|entry| entry.name == *column);
            entry.map_or_else(|| NONE.to_owned(), |entry| Escaped(&entry.value).to_string())
        }));
        grid.rows.push(GridRow { cells, remark: String::new() });
    }
    format!("<h3>Switches that change the numbers</h3>\n{grid}")
}

/// How a number is written.
#[derive(Clone, Copy)]
enum Scale {
    /// A share as a percentage with two digits.
    Percent,
    /// Four digits after the point.
    Plain,
}

impl Scale {
    fn write(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => NONE.into(),
            Self::Percent => percent(value),
            Self::Plain => format!("{value:.4}"),
        }
    }

    fn interval(self, (low, high): (f64, f64)) -> String {
        match self {
            Self::Percent => format!("{:.2}{NBSP}to{NBSP}{:.2}", low * 100.0, high * 100.0),
            Self::Plain => format!("{low:.4}{NBSP}to{NBSP}{high:.4}"),
        }
    }

    /// The number with what follows ±.
    fn value(self, estimate: &Estimate) -> String {
        let deviation = estimate.deviation.map(|deviation| match self {
            Self::Percent => format!("{:.2}{NBSP}±{NBSP}{}", estimate.value * 100.0, percent(deviation)),
            Self::Plain => format!("{:.4}{NBSP}±{NBSP}{deviation:.4}", estimate.value),
        });
        deviation.unwrap_or_else(|| self.write(estimate.value))
    }

    /// The number, and its intervals below it.
    fn cell(self, measured: &Result<Estimate, String>) -> String {
        let estimate = match measured {
            Ok(estimate) => estimate,
            Err(reason) => return unmeasured(reason),
        };
        let mut cell = format!("<b>{}</b>", self.value(estimate));
        for (interval, over) in [(estimate.by_pairs, "pairs"), (estimate.by_people, "people")] {
            if let Some(interval) = interval {
                push(&mut cell, format_args!("<br><small>{over} {}</small>", self.interval(interval)));
            }
        }
        cell
    }
}

fn unmeasured(reason: &str) -> String {
    format!("<small class=\"reason\">{}</small>", Escaped(reason))
}

/// The accuracy, with its two intervals beside it.
fn accuracy_figures(accuracy: &Measured) -> Vec<Figure> {
    let Some(accuracy) = accuracy else { return Vec::new() };
    match accuracy {
        Err(reason) => vec![("accuracy".into(), unmeasured(reason))],
        Ok(estimate) => {
            let interval = |ends: Option<(f64, f64)>| {
                ends.map_or_else(|| NONE.into(), |ends| format!("{}{NBSP}%", Scale::Percent.interval(ends)))
            };
            vec![
                ("accuracy".into(), format!("<b>{}</b>", Scale::Percent.value(estimate))),
                (format!("95{NBSP}% by pairs"), interval(estimate.by_pairs)),
                (format!("95{NBSP}% by people"), interval(estimate.by_people)),
            ]
        }
    }
}

fn verification_figures(result: &ModelVerification) -> Vec<Figure> {
    let pairs = format!("{}<br>{}", number(result.genuine as f64), number(result.impostor as f64));
    let mut figures = vec![("genuine, impostor pairs".to_owned(), pairs)];
    figures.extend(accuracy_figures(&result.accuracy));
    let others = [
        ("AUC", Scale::Plain, &result.auc),
        ("EER", Scale::Percent, &result.eer),
        ("minDCF", Scale::Plain, &result.min_dcf),
    ];
    figures.extend(
        others
            .into_iter()
            .filter_map(|(name, scale, value)| Some((name.into(), scale.cell(value.as_ref()?)))),
    );
    figures
}

fn identification_figures(result: &ModelIdentification) -> Vec<Figure> {
    let searches = format!("{}<br>{}", number(result.mated as f64), number(result.non_mated as f64));
    let mut figures = vec![("mated, non-mated searches".to_owned(), searches)];
    figures.extend(
        result.ranks.iter().map(|at| (format!("rank{NBSP}{}", at.rank), Scale::Percent.cell(&at.found))),
    );
    let precision = result.mean_average_precision.as_ref();
    figures.extend(precision.map(|value| ("mAP".into(), Scale::Percent.cell(value))));
    figures
}

fn figures_at(name: &str, rates: &[EstimateAt]) -> Vec<Figure> {
    let name = |rate: f64| format!("{name}{NBSP}{}{NBSP}%", number((rate * 1e8).round() / 1e6));
    rates.iter().map(|at| (name(at.rate), Scale::Percent.cell(&at.reached))).collect()
}

fn differences(report: &EvaluationReport) -> String {
    let row = |d: &PairedDifference| {
        let models = format!("{} against {}", d.a, d.b);
        [&models, &d.protocol, &d.figure, &d.difference, &d.interval, &d.p_value, &d.verdict]
            .map(String::clone)
    };
    let header = ["models", "protocol", "figure", "difference", "95 % interval", "p-value", "verdict"];
    let table = Table {
        title: "Paired differences".into(),
        header: header.map(Into::into).into(),
        rows: report.differences.iter().map(|difference| row(difference).into()).collect(),
        note: report.differences_note.clone(),
    };
    table.to_html()
}

fn protocol_section(protocol: &ProtocolResults, models: &[&str]) -> Result<String, DrawError> {
    let colour = |model: &str| models.iter().position(|name| *name == model).unwrap_or(0);
    let mut pictures = verification_pictures(&protocol.verification, colour)?;
    pictures.push_str(&identification_pictures(&protocol.identification, colour)?);
    let mut html = String::new();
    if !pictures.is_empty() {
        push(&mut html, format_args!("<div class=\"pictures\">\n{pictures}</div>\n"));
    }
    html.push_str(&fold_table(&protocol.verification).to_html());
    html.push_str(&threshold_table(&protocol.verification).to_html());
    html.extend(protocol.tables.iter().map(Table::to_html));
    for result in &protocol.verification {
        let of = if models.len() > 1 { format!(" of {}", result.model) } else { String::new() };
        let title = format!("Worst false accepts{of}: other people, highest scores");
        html.push_str(&pair_grid(&title, &result.false_accepts));
        let title = format!("Worst false rejects{of}: same person, lowest scores");
        html.push_str(&pair_grid(&title, &result.false_rejects));
    }
    if html.is_empty() || protocol.about.is_empty() {
        return Ok(html);
    }
    Ok(format!("<p class=\"quiet\">{}</p>\n{html}", Escaped(&protocol.about)))
}

fn verification_pictures(
    results: &[ModelVerification],
    colour: impl Fn(&str) -> usize,
) -> Result<String, DrawError> {
    let curves: Vec<(usize, RocSeries)> = results
        .iter()
        .filter(|result| !result.roc.is_empty())
        .map(|result| (colour(&result.model), series(&result.model, &result.roc, result.impostor)))
        .collect();
    let curves: Vec<_> = curves.iter().map(|(i, curve)| (*i, curve)).collect();
    let mut html = String::new();
    if !curves.is_empty() {
        html.push_str(&figure(&roc_picture("True accepts over false accepts", &curves)?, "ROC curve"));
        html.push_str(&figure(&det_picture("Both errors (DET)", &curves)?, "DET curve"));
    }
    for result in results {
        let scores = &result.scores;
        if scores.genuine.is_empty() && scores.impostor.is_empty() {
            continue;
        }
        let title = if results.len() > 1 { format!("Scores of {}", result.model) } else { "Scores".into() };
        let picture = counts_histogram(&title, scores, &result.thresholds)?;
        html.push_str(&figure(&picture, "Histogram of the scores"));
    }
    Ok(html)
}

fn identification_pictures(
    results: &[ModelIdentification],
    colour: impl Fn(&str) -> usize,
) -> Result<String, DrawError> {
    let mut html = String::new();
    let cmc: Vec<(usize, Series)> = results
        .iter()
        .filter(|result| !result.cmc.is_empty())
        .map(|result| {
            (colour(&result.model), Series { name: result.model.clone(), points: result.cmc.clone() })
        })
        .collect();
    if !cmc.is_empty() {
        let curves: Vec<_> = cmc.iter().map(|(i, curve)| (*i, curve)).collect();
        let picture = cmc_picture("Found up to a rank (CMC)", &curves)?;
        html.push_str(&figure(&picture, "CMC curve"));
    }
    let open: Vec<(usize, RocSeries)> = results
        .iter()
        .filter(|result| !result.open_set.is_empty())
        .map(|result| (colour(&result.model), series(&result.model, &result.open_set, result.non_mated)))
        .collect();
    if !open.is_empty() {
        let curves: Vec<_> = open.iter().map(|(i, curve)| (*i, curve)).collect();
        let picture = fnir_picture("Missed mates over false alarms", &curves)?;
        html.push_str(&figure(&picture, "FNIR over FPIR"));
    }
    Ok(html)
}

fn series(name: &str, points: &[(f64, f64)], impostors: u64) -> RocSeries {
    let impostors = usize::try_from(impostors).unwrap_or(usize::MAX);
    RocSeries { name: name.to_owned(), points: points.to_vec(), impostors }
}

/// A row below the folds: its name, and the number in it.
type Summary = (&'static str, fn(&Estimate) -> Option<f64>);

/// Accuracy and threshold of each fold, two columns a model.
fn fold_table(results: &[ModelVerification]) -> Table {
    let results: Vec<_> = results.iter().filter(|result| !result.folds.is_empty()).collect();
    let mut header = vec!["fold".to_owned()];
    for result in &results {
        let of = if results.len() > 1 { format!(", {}", result.model) } else { String::new() };
        header.extend([format!("accuracy{of}"), format!("threshold{of}")]);
    }
    let count = results.iter().map(|result| result.folds.len()).max().unwrap_or(0);
    let cells = |fold: Option<&Fold>| match fold {
        Some(fold) => [Scale::Percent.write(fold.accuracy), Scale::Plain.write(fold.threshold)],
        None => [NONE.into(), NONE.into()],
    };
    let mut rows: Vec<Vec<String>> = (0..count)
        .map(|i| {
            let results = results.iter().flat_map(|result| cells(result.folds.get(i)));
            std::iter::once((i + 1).to_string()).chain(results).collect()
        })
        .collect();
    let summaries: [Summary; 3] = [
        ("mean", |estimate| Some(estimate.value)),
        ("standard deviation", |estimate| estimate.deviation),
        ("standard error", |estimate| estimate.standard_error),
    ];
    for (name, of) in summaries {
        let estimates = results.iter().map(|result| result.accuracy.as_ref()?.as_ref().ok().and_then(of));
        let values: Vec<Option<f64>> = estimates.collect();
        if values.iter().any(Option::is_some) {
            let cells = values.iter().flat_map(|value| {
                [value.map_or_else(|| NONE.into(), |value| Scale::Percent.write(value)), String::new()]
            });
            rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
        }
    }
    Table { title: "Folds".into(), header, rows, note: String::new() }
}

/// The named thresholds, a column a model.
fn threshold_table(results: &[ModelVerification]) -> Table {
    let results: Vec<_> = results.iter().filter(|result| !result.thresholds.is_empty()).collect();
    let names = union(results.iter().map(|result| result.thresholds.iter().map(|t| t.name.as_str())));
    let mut header = vec!["threshold".to_owned()];
    header.extend(results.iter().map(|result| match results.len() {
        1 => "lowest score accepted".into(),
        _ => result.model.clone(),
    }));
    let row = |name: &&str| {
        let value = |result: &&ModelVerification| {
            let threshold = result.thresholds.iter().find(|threshold| threshold.name == *name);
            threshold.map_or_else(|| NONE.into(), |threshold| Scale::Plain.write(threshold.value))
        };
        std::iter::once((*name).to_owned()).chain(results.iter().map(value)).collect()
    };
    let rows = names.iter().map(row).collect();
    Table { title: "Thresholds".into(), header, rows, note: String::new() }
}

fn maps(maps: &[EmbeddingMap]) -> Result<String, DrawError> {
    let mut html = String::new();
    for map in maps.iter().filter(|map| map.classes.iter().any(|class| !class.points.is_empty())) {
        let mut picture = figure(&embedding_map(map)?, &format!("Map of embeddings: {}", map.title));
        if !map.note.is_empty() {
            let note = format!("<figcaption class=\"quiet\">{}</figcaption></figure>", Escaped(&map.note));
            picture = picture.replacen("</figure>", &note, 1);
        }
        html.push_str(&picture);
    }
    Ok(if html.is_empty() { html } else { format!("<div class=\"pictures\">\n{html}</div>\n") })
}

fn reproduction(report: &EvaluationReport) -> String {
    let mut rows: String = report.run.iter().map(entry).collect();
    if !report.command.is_empty() {
        rows.push_str(&row("command", format_args!("<code>{}</code>", Escaped(&report.command))));
    }
    for data in &report.data {
        rows.push_str(&row(&data.name, format_args!("<code>SHA-256 {}</code>", Escaped(&data.sha256))));
    }
    let mut html = card(&rows);
    for model in &report.models {
        let rows: String = model.entries.iter().map(entry).collect();
        if !rows.is_empty() {
            push(&mut html, format_args!("<h3>Model card: {}</h3>\n{}", Escaped(&model.model), card(&rows)));
        }
    }
    html
}

fn entry(entry: &Entry) -> String {
    row(&entry.name, Escaped(&entry.value))
}

fn card(rows: &str) -> String {
    if rows.is_empty() {
        String::new()
    } else {
        format!("<div class=\"card\"><table>\n{rows}</table></div>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MapClass, Thumbnail, chart::texts_of_well_formed};

    const HOSTILE: &str = "<script>alert('1')</script> & \"more\"";

    fn estimate(value: f64) -> Result<Estimate, String> {
        let (by_pairs, by_people) = (Some((value - 0.01, value + 0.01)), Some((value - 0.02, value + 0.015)));
        Ok(Estimate { value, by_pairs, by_people, ..Estimate::default() })
    }

    fn verification(model: &str, text: &str) -> ModelVerification {
        let accuracy = Estimate { deviation: Some(0.0034), ..estimate(0.9612).unwrap() };
        let pair = ImagePair {
            left: Thumbnail { bytes: vec![0xFF, 0xD8, 0xFF], alt: text.into() },
            caption: text.into(),
            ..ImagePair::default()
        };
        ModelVerification {
            model: model.into(),
            switches: vec![Entry::new("flip fusion", "add"), Entry::new(text, text)],
            remarks: vec![text.into()],
            genuine: 3000,
            impostor: 2999,
            accuracy: Some(Ok(accuracy)),
            auc: Some(estimate(0.97)),
            eer: Some(Err(text.into())),
            min_dcf: None,
            tar_at_far: vec![
                EstimateAt { rate: 1e-3, reached: estimate(0.81) },
                EstimateAt { rate: 1e-6, reached: Err(format!("not measurable: {text}")) },
            ],
            thresholds: vec![Threshold { name: text.into(), value: 0.3 }],
            roc: vec![(0.0, 0.0), (0.01, 0.9), (1.0, 1.0)],
            scores: ScoreCounts { range: (-1.0, 1.0), genuine: vec![1, 2], impostor: vec![2, 1] },
            folds: vec![Fold { accuracy: 0.95, threshold: 0.31 }, Fold { accuracy: 0.97, threshold: 0.29 }],
            false_accepts: vec![pair.clone()],
            false_rejects: vec![pair],
        }
    }

    fn identification(model: &str, text: &str) -> ModelIdentification {
        ModelIdentification {
            model: model.into(),
            switches: vec![Entry::new("score", "cosine")],
            mated: 100,
            non_mated: 50,
            ranks: vec![
                RankRate { rank: 5, found: estimate(0.72) },
                RankRate { rank: 20, found: Err(text.into()) },
            ],
            mean_average_precision: Some(estimate(0.66)),
            fnir_at_fpir: vec![EstimateAt { rate: 0.01, reached: estimate(0.4) }],
            cmc: vec![(1.0, 0.6), (5.0, 0.72), (20.0, 0.9)],
            open_set: vec![(0.02, 0.3), (1.0, 0.9)],
            ..ModelIdentification::default()
        }
    }

    fn report(text: &str) -> EvaluationReport {
        let map = EmbeddingMap {
            title: text.into(),
            note: text.into(),
            classes: vec![MapClass { name: text.into(), points: vec![(0.0, 1.0), (1.0, 0.0)] }],
            ..EmbeddingMap::default()
        };
        let table = Table {
            title: text.into(),
            header: vec![text.into(); 2],
            rows: vec![vec![text.into(); 2]],
            note: text.into(),
        };
        EvaluationReport {
            title: text.into(),
            facts: vec![text.into()],
            warnings: vec![text.into()],
            protocols: vec![ProtocolResults {
                name: text.into(),
                about: text.into(),
                verification: vec![verification("a", text), verification(text, text)],
                identification: vec![identification(text, text), identification("b", text)],
                tables: vec![table.clone()],
            }],
            differences: vec![PairedDifference {
                a: text.into(),
                b: text.into(),
                ..PairedDifference::default()
            }],
            differences_note: text.into(),
            maps: vec![map],
            tables: vec![table],
            models: vec![ModelCard { model: text.into(), entries: vec![Entry::new(text, text)] }],
            data: vec![DataHash { name: text.into(), sha256: text.into() }],
            run: vec![Entry::new(text, text)],
            command: text.into(),
        }
    }

    #[test]
    fn all_text_is_escaped() {
        let page = evaluation_page(&report(HOSTILE)).unwrap();
        assert!(!page.contains("<script") && !page.contains("\"more\"") && !page.contains("'1'"));
        // HTML elements without an end tag are closed here as XML wants it.
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        let images = body.split("<img").skip(1).map(|rest| rest.split('>').next().unwrap());
        let closed =
            images.fold(body.replace("<br>", ""), |body, image| body.replace(&format!("<img{image}>"), ""));
        texts_of_well_formed(&closed);
    }

    #[test]
    fn the_headline_numbers_are_there() {
        let page = evaluation_page(&report("LFW")).unwrap().replace(NBSP, " ");
        for text in [
            "<b>96.12 ± 0.34 %</b>",
            "95.12 to 97.12 %",
            "94.12 to 97.62 %",
            "<b>0.9700</b>",
            "FAR 0.1 %",
            "<b>81.00 %</b><br><small>pairs 80.00 to 82.00</small><br><small>people 79.00 to 82.50</small>",
            "not measurable: LFW",
            "3,000<br>2,999",
            "rank 5",
            "FPIR 1 %",
            "flip fusion",
            "Worst false accepts of a: other people, highest scores",
            "standard deviation",
            "<nav>",
        ] {
            assert!(page.contains(text), "{text}");
        }
        // ROC, DET, two histograms, CMC, FNIR and a map.
        assert_eq!(page.matches("<svg ").count(), 7);
        assert!(!page.contains("minDCF"), "nobody asked for it");
        assert!(page.contains("img-src data:"));
    }

    #[test]
    fn sections_without_data_are_left_out() {
        let page =
            evaluation_page(&EvaluationReport { title: "empty".into(), ..EvaluationReport::default() })
                .unwrap();
        for part in ["<h2", "<h3", "<svg", "<table", "<img", "<nav"] {
            assert!(!page.contains(part), "{part}");
        }
        let only = |protocol| EvaluationReport { protocols: vec![protocol], ..EvaluationReport::default() };
        let bare = ProtocolResults {
            verification: vec![ModelVerification {
                accuracy: Some(Err("not measurable: one class".into())),
                ..ModelVerification::default()
            }],
            ..ProtocolResults::default()
        };
        let page = evaluation_page(&only(bare)).unwrap();
        assert!(
            page.contains("not measurable: one class") && !page.contains("<svg") && !page.contains("Folds")
        );
    }

    #[test]
    fn a_model_keeps_its_colour() {
        // The model b is the second of the page, and alone on the second protocol.
        let protocol = |models: &[&str]| ProtocolResults {
            name: "set".into(),
            verification: models.iter().map(|model| verification(model, "x")).collect(),
            ..ProtocolResults::default()
        };
        let report = EvaluationReport {
            protocols: vec![protocol(&["a", "b"]), protocol(&["b"])],
            ..EvaluationReport::default()
        };
        let page = evaluation_page(&report).unwrap();
        let last = page.split("aria-label=\"ROC curve\"").nth(2).unwrap().split("</svg>").next().unwrap();
        assert!(last.contains("#C4561A") && !last.contains("#1F6FB2"), "orange, not blue");
    }

    #[test]
    fn equal_switches_are_said_once() {
        let mut report = report("x");
        let table = |report: &EvaluationReport| {
            let page = evaluation_page(report).unwrap();
            let rest = page.split("<h3>Switches that change the numbers</h3>").nth(1).unwrap().to_owned();
            rest.split("</table>").next().unwrap().matches("<tr>").count() - 1
        };
        // Two models with the same switches in verification, and two in identification.
        assert_eq!(table(&report), 2);
        report.protocols[0].verification[1].switches[0].value = "none".into();
        assert_eq!(table(&report), 3);
    }

    #[test]
    fn models_with_fewer_folds_have_gaps() {
        let mut short = verification("b", "x");
        short.folds.pop();
        let table = fold_table(&[verification("a", "x"), short]);
        assert_eq!(table.header, ["fold", "accuracy, a", "threshold, a", "accuracy, b", "threshold, b"]);
        let row: Vec<String> = table.rows[1].iter().map(|cell| cell.replace(NBSP, " ")).collect();
        assert_eq!(row, ["2", "97.00 %", "0.2900", "–", "–"]);
        let names: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, ["1", "2", "mean", "standard deviation"], "no standard error was given");
    }
}
