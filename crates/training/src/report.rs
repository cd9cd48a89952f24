//! The page and the pictures of a run.

use std::{io, path::Path};

use facegrad_faces::FaceError;
use facegrad_files as files;
use facegrad_recognition::{OpenProtocol, ProtocolOutcome};
use facegrad_report::{
    Block, Drawing, LossCurve, ModelCurve, Page, PageSection, counts_histogram, loss_curve, result_sections,
    roc_curve,
};
use facegrad_results::{
    CurveKind, Fact, ResultSheet,
    numbers::{duration, number, thousands},
};

use crate::{
    config::Experiment,
    events::{EvaluationRecord, RunStart},
    log::StepLine,
};

/// More skipped images than these are counted, not listed.
const LISTED: usize = 200;

/// All a report tells of a run.
pub(crate) struct Summary<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) folder: &'a Path,
    pub(crate) started: RunStart,
    pub(crate) command: &'a str,
    pub(crate) seconds: f64,
    pub(crate) step: usize,
    pub(crate) parameters: u64,
    pub(crate) data_sha256: &'a str,
    pub(crate) evaluations: &'a [EvaluationRecord],
    pub(crate) protocols: &'a [(String, Box<dyn OpenProtocol>)],
    pub(crate) measured: &'a [ProtocolOutcome],
    /// What was changed in the config on the way.
    pub(crate) changes: &'a [String],
    /// What the course of the run says is wrong.
    pub(crate) findings: &'a [String],
    pub(crate) steps: &'a [StepLine],
    pub(crate) skipped: &'a [FaceError],
}

/// Writes `report.html`, `loss.svg` and, for each evaluation of listed pairs, `roc-<name>.svg` and `scores-<name>.svg`.
pub(crate) fn write(summary: &Summary<'_>) -> io::Result<()> {
    let file = |name: &str, text: String| files::replace(&summary.folder.join(name), text.as_bytes());
    let loss = loss(summary);
    file("loss.svg", loss_curve(&loss).to_svg())?;
    let sheets = sheets(summary);
    for sheet in &sheets {
        let Some(scores) = &sheet.scores else { continue };
        let title = &sheet.name;
        let name: String = title.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let curve = sheet.curves.iter().find(|curve| curve.kind == CurveKind::Roc);
        let curves: Vec<_> =
            curve.map(|curve| ModelCurve { name: title, colour: 0, curve }).into_iter().collect();
        file(&format!("roc-{name}.svg"), roc_curve(title, &curves).to_svg())?;
        let picture = counts_histogram(title, scores, &sheet.thresholds);
        file(&format!("scores-{name}.svg"), picture.to_svg())?;
    }
    file("report.html", page(summary, &sheets, &loss).to_html())
}

fn loss(summary: &Summary<'_>) -> LossCurve {
    let accuracy = summary.protocols.iter().map(|(name, _)| {
        let records = summary.evaluations.iter().filter(|record| record.name == *name);
        let points = records.filter_map(|record| Some((record.step as f64, record.accuracy?)));
        (name.clone(), points.collect())
    });
    LossCurve {
        title: summary.experiment.run.name.clone(),
        x_label: "step".into(),
        loss: summary.steps.iter().map(|line| (line.step as f64, line.loss)).collect(),
        expected_first_loss: summary.started.preflight.expected_first_loss,
        accuracy: accuracy.collect(),
    }
}

fn page(summary: &Summary<'_>, sheets: &[ResultSheet], loss: &LossCurve) -> Page {
    let Summary { experiment, started, .. } = summary;
    let preflight = &started.preflight;
    let mut run = vec![
        Fact::new("model", &preflight.model),
        Fact::new("trained parameters", thousands(summary.parameters)),
        Fact::new("backend", &preflight.backend),
        Fact::new("time", duration(summary.seconds)),
        Fact::new("speed", format!("{} images/s", speed(summary))),
        Fact::new("seed", experiment.run.seed.to_string()),
        Fact::new("version", env!("CARGO_PKG_VERSION")),
        Fact::new(format!("training: {}", preflight.data), format!("SHA-256 {}", summary.data_sha256)),
    ];
    run.extend(summary.protocols.iter().map(|(name, protocol)| {
        Fact::new(format!("lists of {name}"), format!("SHA-256 {}", protocol.sha256()))
    }));
    let mut course = Vec::new();
    if !loss.loss.is_empty() || !loss.accuracy.is_empty() {
        let picture = Drawing::new(loss_curve(loss), "Loss and accuracy over the run");
        course.push(Block::Drawings(vec![picture]));
    }
    let config = Block::Details {
        summary: "All keys, defaults included".into(),
        facts: Vec::new(),
        text: experiment.to_toml(),
    };
    let section = |title: &str, blocks: Vec<Block>| PageSection { title: title.into(), blocks };
    let mut sections = result_sections(sheets, &[]);
    sections.extend([
        section("Course of the run", course),
        section("Run", vec![Block::Facts(String::new(), run), Block::Command(summary.command.into())]),
        section("Skipped images", vec![skipped(summary.skipped)]),
        section("Config", vec![config]),
    ]);
    let state = match summary.step == preflight.total {
        true => format!("finished after {} steps", summary.step),
        false => format!("stopped after {} of {} steps", summary.step, preflight.total),
    };
    Page {
        title: experiment.run.name.clone(),
        facts: vec![state, preflight.model.clone(), preflight.backend.clone()],
        warnings: [summary.findings, summary.changes].concat(),
        sections,
    }
}

/// Training images a second, with one digit after the point.
fn speed(summary: &Summary<'_>) -> String {
    let images = (summary.step * summary.experiment.run.batch) as f64;
    number((images / summary.seconds.max(1e-9) * 10.0).round() / 10.0)
}

/// The images that could not be used.
fn skipped(skipped: &[FaceError]) -> Block {
    if skipped.is_empty() {
        return Block::Note("None.".into());
    }
    let named = skipped.iter().take(LISTED).map(|error| Fact::new(&error.name, &error.reason));
    let mut facts: Vec<Fact> = named.collect();
    if skipped.len() > LISTED {
        facts.push(Fact::new("…", format!("and {} more", thousands(skipped.len() - LISTED))));
    }
    let summary = format!("{} could not be used", thousands(skipped.len()));
    Block::Details { summary, facts, text: String::new() }
}

/// The sheets of what was measured last, with what the untrained network reached.
fn sheets(summary: &Summary<'_>) -> Vec<ResultSheet> {
    let named = summary.protocols.iter().zip(summary.measured).map(|((name, _), measured)| {
        let mut sheet = measured.sheet();
        let untrained = summary.evaluations.iter().find(|record| record.step == 0 && record.name == *name);
        let untrained = untrained.and_then(|record| record.accuracy);
        let text = untrained.zip(sheet.chosen_by()).map(|(share, figure)| figure.scale.write(share));
        if let (Some(text), Some(section)) = (text, sheet.sections.first_mut()) {
            section.facts.insert(0, Fact::new("untrained network", text));
        }
        ResultSheet { name: name.clone(), model: summary.experiment.run.name.clone(), ..sheet }
    });
    named.collect()
}
