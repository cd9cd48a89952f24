//! From what a run measured to what the report room draws.

use std::{io, path::Path};

use facegrad_faces::FaceError;
use facegrad_files as files;
use facegrad_recognition::{Measured, OpenProtocol, evaluation::as_text};
use facegrad_report::{
    DataHash, DrawError, Evaluation, LossCurve, Rate, RocSeries, RunReport, Series, SkippedImage, TarAtFar,
    loss_curve, roc_curve, run_report, score_histogram,
};
use facegrad_verification::{Interval, Roc, ThresholdFrom, Unmeasurable};

use crate::{
    config::Experiment,
    events::{EvaluationRecord, RunStart},
    log::StepLine,
};

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
    pub(crate) measured: &'a [Measured],
    pub(crate) steps: &'a [StepLine],
    pub(crate) skipped: &'a [FaceError],
}

/// Writes `report.html`, `loss.svg` and, for each evaluation, `roc-<name>.svg` and `scores-<name>.svg`.
pub(crate) fn write(summary: &Summary<'_>) -> io::Result<()> {
    let picture = |drawn: Result<String, DrawError>| drawn.map_err(io::Error::other);
    let file = |name: &str, text: String| files::replace(&summary.folder.join(name), text.as_bytes());
    let loss = loss(summary);
    file("loss.svg", picture(loss_curve(&loss))?)?;
    for ((title, _), measured) in summary.protocols.iter().zip(summary.measured) {
        let Some(evaluation) = evaluation(summary, title, measured) else { continue };
        let name: String = title.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let series = RocSeries {
            name: title.clone(),
            points: evaluation.roc.clone(),
            impostors: evaluation.impostor.len(),
        };
        file(&format!("roc-{name}.svg"), picture(roc_curve(title, &[series]))?)?;
        let scores = score_histogram(title, &evaluation.genuine, &evaluation.impostor, evaluation.threshold);
        file(&format!("scores-{name}.svg"), picture(scores)?)?;
    }
    file("report.html", picture(run_report(&page(summary, loss)))?)
}

fn loss(summary: &Summary<'_>) -> LossCurve {
    let accuracy = summary.protocols.iter().map(|(name, _)| Series {
        name: name.clone(),
        points: summary
            .evaluations
            .iter()
            .filter(|record| record.name == *name)
            .filter_map(|record| Some((record.step as f64, record.accuracy?)))
            .collect(),
    });
    LossCurve {
        title: summary.experiment.run.name.clone(),
        x_label: "step".into(),
        loss: summary.steps.iter().map(|line| (line.step as f64, line.loss)).collect(),
        expected_first_loss: summary.started.preflight.expected_first_loss,
        accuracy: accuracy.collect(),
    }
}

fn page(summary: &Summary<'_>, loss: LossCurve) -> RunReport {
    let Summary { experiment, started, .. } = summary;
    let evaluations = summary.protocols.iter().zip(summary.measured);
    let evaluations = evaluations.filter_map(|((name, _), measured)| evaluation(summary, name, measured));
    let mut data = vec![DataHash {
        name: format!("training: {}", started.preflight.data),
        sha256: summary.data_sha256.into(),
    }];
    data.extend(
        summary
            .protocols
            .iter()
            .map(|(name, protocol)| DataHash { name: format!("pairs of {name}"), sha256: protocol.sha256() }),
    );
    let images = summary.step * experiment.run.batch;
    RunReport {
        name: experiment.run.name.clone(),
        state: match summary.step == started.preflight.total {
            true => format!("finished after {} steps", summary.step),
            false => format!("stopped after {} of {} steps", summary.step, started.preflight.total),
        },
        evaluations: evaluations.collect(),
        tables: summary
            .measured
            .iter()
            .filter(|measured| measured.outcome.verification().is_none())
            .map(|measured| as_text("", &measured.outcome))
            .collect(),
        loss,
        model: started.preflight.model.clone(),
        parameters: summary.parameters,
        seconds: summary.seconds,
        images_per_second: images as f64 / summary.seconds.max(1e-9),
        backend: started.preflight.backend.clone(),
        seed: experiment.run.seed,
        version: env!("CARGO_PKG_VERSION").into(),
        data,
        command: summary.command.into(),
        config: experiment.to_toml(),
        skipped: summary
            .skipped
            .iter()
            .map(|error| SkippedImage { file: error.name.clone(), reason: error.reason.clone() })
            .collect(),
    }
}

fn evaluation(summary: &Summary<'_>, name: &str, measured: &Measured) -> Option<Evaluation> {
    let result = measured.outcome.verification()?;
    let scores = &measured.pairs.as_ref()?.scores;
    let reason = |reason: Option<Unmeasurable>| match reason {
        Some(reason) => format!("not measurable: {reason}"),
        None => "not measurable".into(),
    };
    let rate = |value: f64, interval: &Interval| Rate { value, interval: (interval.low, interval.high) };
    let untrained = summary.evaluations.iter().find(|record| record.step == 0 && record.name == name);
    let accuracy = result.accuracy.as_ref();
    let from = accuracy.map(|a| match a.threshold_from {
        ThresholdFrom::OtherFolds => "best on the other folds, mean over folds",
        ThresholdFrom::OtherPairs => "best on the development pairs",
        ThresholdFrom::SamePairs => "best on the same pairs, so the accuracy is flattered",
    });
    Some(Evaluation {
        protocol: result.provenance.protocol.clone(),
        switches: format!("{}, flip fusion {}", result.provenance.score, result.provenance.flip),
        accuracy: accuracy
            .map(|a| rate(a.mean, &a.interval))
            .ok_or_else(|| reason(result.accuracy_unmeasurable)),
        untrained: untrained.and_then(|record| record.accuracy),
        auc: result.auc.ok_or_else(|| reason(result.roc_unmeasurable)),
        eer: result.eer.ok_or_else(|| reason(result.roc_unmeasurable)),
        tar_at_far: result
            .tar_at_far
            .iter()
            .map(|at| TarAtFar {
                far: at.target,
                tar: at.measured.as_ref().map(|m| rate(m.tar, &m.interval)).ok_or_else(|| {
                    format!(
                        "not measurable: {} impostor pairs, it takes {}",
                        result.impostor, at.impostors_needed
                    )
                }),
            })
            .collect(),
        threshold: accuracy.map(|a| a.threshold()),
        threshold_from: from.unwrap_or_default().into(),
        genuine: scores.genuine(),
        impostor: scores.impostor(),
        roc: Roc::new(scores).map(|roc| roc.curve()).unwrap_or_default(),
    })
}
