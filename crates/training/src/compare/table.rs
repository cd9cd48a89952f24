//! The table of a comparison, and its files.

use std::collections::BTreeSet;

use facegrad_files as files;
use facegrad_results::{Better, Figure, HeadlineFigure, IntervalOver, MeanFigure, ResultSheet, Scale};
use facegrad_verification::{normal_half_width, student_half_width};
use serde::{Serialize, Serializer};

use super::{Comparison, ComparisonError, Entry, RunRecord, RunResult, RunState};
use crate::Experiment;

/// What a comparison found so far: `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparisonTable {
    /// Optimizer steps of each run.
    pub steps: usize,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The evaluation that is compared.
    pub evaluation: String,
    /// Its protocol, once there is a result.
    pub protocol: Option<String>,
    /// What computed.
    pub backends: BTreeSet<String>,
    /// Runs that are over.
    pub runs_over: usize,
    /// All runs.
    pub runs: usize,
    /// What differs between the configs beside the loss, a clause each; empty for a fair comparison.
    pub differences: Vec<String>,
    /// One row a config, the best accuracy first and those without one last.
    pub rows: Vec<ConfigRow>,
    /// The version of the program.
    pub facegrad: &'static str,
    /// The command line.
    pub command: String,
}

/// A config: means over those of its runs that finished.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigRow {
    /// The name of the config file, without extension.
    pub config: String,
    /// The loss in a few words.
    pub loss: String,
    /// The accuracy, or what stands for it in protocols other than pairs.
    pub accuracy: Option<MeanFigure>,
    /// That of the untrained networks.
    pub untrained: Option<f64>,
    /// Every other figure of the evaluation, and what training itself tells: losses, speed and time.
    #[serde(flatten)]
    pub figures: MeanFigures,
    /// Every run.
    pub runs: Vec<RunRecord>,
}

/// The means of figures over runs, as an object of their keys in JSON.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeanFigures(pub Vec<Figure>);

impl Serialize for MeanFigures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|figure| (&figure.key, figure.value)))
    }
}

impl Experiment {
    /// The loss in a few words: the head, the criterion where it is not that of the head's paper, and what is
    /// beside them.
    pub fn loss_in_words(&self) -> String {
        let mut words = self.head.kind().to_owned();
        if let Some(criterion) = &self.criterion
            && self.head.criterion().as_ref() != Some(criterion)
        {
            words = format!("{words}, {}", criterion.kind());
        }
        let beside = self.auxiliary.iter().map(|auxiliary| auxiliary.loss.kind());
        let beside = beside.chain(self.regularisation.iter().map(|penalty| penalty.kind()));
        beside.fold(words, |words, kind| format!("{words} + {kind}"))
    }
}

impl Comparison {
    /// The table of `records`, which stand in the order of [`Comparison::order`].
    pub(super) fn tabulate(&self, records: &[RunRecord]) -> ComparisonTable {
        let of = |entry: &Entry| records.iter().filter(|run| run.config == entry.name).cloned().collect();
        let mut rows: Vec<ConfigRow> =
            self.entries.iter().map(|entry| ConfigRow::new(entry, of(entry))).collect();
        let rank =
            |row: &ConfigRow| row.accuracy.as_ref().map_or(f64::NEG_INFINITY, |accuracy| accuracy.mean);
        // Stable, so that equals stay in the order of the command line.
        rows.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let finished = || records.iter().filter_map(finished);
        let backends: BTreeSet<String> = finished().flat_map(|run| run.backends.iter().cloned()).collect();
        let data: BTreeSet<&str> = finished().map(|run| run.data_sha256.as_str()).collect();
        let mut differences = self.differences();
        if backends.len() > 1 {
            let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
            differences.push(format!("the runs were computed by {}", backends.join(" and by ")));
        }
        if data.len() > 1 && !differences.iter().any(|clause| clause.starts_with("data.train")) {
            differences.push("the training images were not the same in all runs".into());
        }
        ComparisonTable {
            steps: self.plan.steps,
            seeds: self.plan.seeds.clone(),
            evaluation: self.evaluation.clone(),
            protocol: finished().next().map(|run| run.result.sheet().protocol),
            backends,
            runs_over: records.iter().filter(|run| !matches!(run.state, RunState::Waiting { .. })).count(),
            runs: records.len(),
            differences,
            rows,
            facegrad: env!("CARGO_PKG_VERSION"),
            command: self.plan.command.clone(),
        }
    }

    /// Writes `compare.html`, `compare.md`, `compare.svg` and `compare.json`.
    pub(super) fn write(&self, table: &ComparisonTable) -> Result<(), ComparisonError> {
        let texts = [
            ("compare.html", Ok(table.page().to_html())),
            ("compare.svg", Ok(table.picture().to_svg())),
            ("compare.md", Ok(table.markdown())),
            ("compare.json", serde_json::to_string_pretty(table).map_err(std::io::Error::from)),
        ];
        for (name, text) in texts {
            let path = self.plan.folder.join(name);
            text.and_then(|text| files::replace(&path, text.as_bytes()))
                .map_err(|source| ComparisonError::Unwritable { path, source })?;
        }
        Ok(())
    }
}

impl ConfigRow {
    fn new(entry: &Entry, runs: Vec<RunRecord>) -> Self {
        let finished: Vec<&RunResult> = runs.iter().filter_map(finished).collect();
        let over = |value: &dyn Fn(&RunResult) -> Option<f64>| {
            mean(&finished.iter().filter_map(|run| value(run)).collect::<Vec<_>>())
        };
        let loss = |key: &str, label: &str, value: &dyn Fn(&RunResult) -> Option<f64>| {
            Figure::optional(key, label, Scale::Loss, Better::Lower, over(value))
        };
        let speed = over(&|run| Some(run.images_per_second));
        let seconds = over(&|run| Some(run.seconds));
        let sheets: Vec<ResultSheet> = finished.iter().map(|run| run.result.sheet()).collect();
        let mut figures = means(&sheets);
        figures.extend([
            loss("first_loss", "first loss", &|run| run.first_loss),
            loss("expected_first_loss", "expected", &|run| run.expected_first_loss),
            loss("last_loss", "last loss", &|run| run.last_loss),
            Figure::optional("images_per_second", "images/s", Scale::PerSecond, Better::Higher, speed),
            Figure::optional("seconds", "time", Scale::Seconds, Better::Lower, seconds),
        ]);
        Self {
            config: entry.name.clone(),
            loss: entry.experiment.loss_in_words(),
            accuracy: accuracy(&sheets),
            untrained: over(&|run| run.untrained),
            figures: MeanFigures(figures),
            runs,
        }
    }

    /// What is to be known beside the numbers: runs that diverged, failed or wait.
    pub(super) fn remarks(&self) -> Vec<String> {
        let several = self.runs.len() > 1;
        let remark = |run: &RunRecord| {
            let who = if several { format!("seed {}: ", run.seed) } else { String::new() };
            match &run.state {
                RunState::Finished(_) => None,
                RunState::Waiting { step: 0 } => Some(format!("{who}not trained yet")),
                RunState::Waiting { step } => Some(format!("{who}stopped after step {step}")),
                RunState::Diverged { step, reason } => {
                    Some(format!("{who}diverged at step {step}, {reason}"))
                }
                RunState::Failed { step: 0, reason } => Some(format!("{who}failed: {reason}")),
                RunState::Failed { step, reason } => Some(format!("{who}failed after step {step}: {reason}")),
            }
        };
        self.runs.iter().filter_map(remark).collect()
    }
}

fn finished(run: &RunRecord) -> Option<&RunResult> {
    match &run.state {
        RunState::Finished(finished) => Some(finished),
        _ => None,
    }
}

pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The figure that the runs are compared by.
fn accuracy(sheets: &[ResultSheet]) -> Option<MeanFigure> {
    let measured: Vec<HeadlineFigure> = sheets.iter().filter_map(ResultSheet::headline).collect();
    let of_runs: Vec<f64> = measured.iter().map(|headline| headline.value).collect();
    let (half_width, over) = match (student_half_width(&of_runs), measured.first()?.standard_error) {
        (Some(half_width), _) => (half_width, IntervalOver::Seeds),
        (None, Some(error)) => (normal_half_width(error), IntervalOver::Folds),
        (None, None) => (0.0, IntervalOver::Nothing),
    };
    Some(MeanFigure { name: measured[0].name.into(), mean: mean(&of_runs)?, half_width, over, of_runs })
}

/// The mean of every figure but the one that is compared, in the order of the protocol.
fn means(sheets: &[ResultSheet]) -> Vec<Figure> {
    let Some(first) = sheets.first() else { return Vec::new() };
    let compared = first.chosen_by().map(|figure| figure.key.as_str());
    let others = first.figures().filter(|figure| Some(figure.key.as_str()) != compared);
    let of = |figure: &Figure| {
        let values: Vec<f64> = sheets.iter().filter_map(|sheet| sheet.value(&figure.key)).collect();
        let Figure { key, label, scale, better, .. } = figure;
        Figure::optional(key, label, *scale, *better, mean(&values))
    };
    others.map(of).collect()
}

impl ComparisonTable {
    /// Runs that neither finished nor diverged, but failed.
    pub fn failures(&self) -> usize {
        let runs = self.rows.iter().flat_map(|row| &row.runs);
        runs.filter(|run| matches!(run.state, RunState::Failed { .. })).count()
    }
}
