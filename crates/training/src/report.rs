//! From what a run measured to what the report room draws.

use std::{io, path::Path};

use facegrad_faces::FaceError;
use facegrad_report::{
    DataHash, DrawError, Evaluation, LossCurve, Rate, RocSeries, RunReport, Series, SkippedImage, TarAtFar,
    loss_curve, roc_curve, run_report, score_histogram,
};
use facegrad_verification::{Interval, Roc, ThresholdFrom, Unmeasurable};

use crate::{
    config::Experiment,
    evaluation::{EvaluationSet, Measured},
    events::{EvaluationRecord, Started},
    files,
    log::StepLine,
};

/// All a report tells of a run.
pub(crate) struct Summary<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) folder: &'a Path,
    pub(crate) started: Started,
    pub(crate) command: &'a str,
    pub(crate) seconds: f64,
    pub(crate) step: usize,
    pub(crate) parameters: u64,
    pub(crate) data_sha256: &'a str,
    pub(crate) evaluations: &'a [EvaluationRecord],
    pub(crate) sets: &'a [EvaluationSet],
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
    for (set, measured) in summary.sets.iter().zip(summary.measured) {
        let evaluation = evaluation(summary, set, measured);
        let name: String = set.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let series = RocSeries {
            name: set.name.clone(),
            points: evaluation.roc.clone(),
            impostors: evaluation.impostor.len(),
        };
        file(&format!("roc-{name}.svg"), picture(roc_curve(&set.name, &[series]))?)?;
        let scores =
            score_histogram(&set.name, &evaluation.genuine, &evaluation.impostor, evaluation.threshold);
        file(&format!("scores-{name}.svg"), picture(scores)?)?;
    }
    file("report.html", picture(run_report(&page(summary, loss)))?)
}

fn loss(summary: &Summary<'_>) -> LossCurve {
    let accuracy = summary.sets.iter().map(|set| Series {
        name: set.name.clone(),
        points: summary
            .evaluations
            .iter()
            .filter(|record| record.name == set.name)
            .filter_map(|record| Some((record.step as f64, record.accuracy?)))
            .collect(),
    });
    LossCurve {
        title: summary.experiment.run.name.clone(),
        x_label: "step".into(),
        loss: summary.steps.iter().map(|line| (line.step as f64, line.loss)).collect(),
        expected_first_loss: summary.started.expected_first_loss,
        accuracy: accuracy.collect(),
    }
}

fn page(summary: &Summary<'_>, loss: LossCurve) -> RunReport {
    let Summary { experiment, started, .. } = summary;
    let evaluations = summary.sets.iter().zip(summary.measured).map(|(set, m)| evaluation(summary, set, m));
    let mut data =
        vec![DataHash { name: format!("training: {}", started.data), sha256: summary.data_sha256.into() }];
    data.extend(
        summary
            .sets
            .iter()
            .map(|set| DataHash { name: format!("pairs of {}", set.name), sha256: set.sha256() }),
    );
    let images = summary.step * experiment.run.batch;
    RunReport {
        name: experiment.run.name.clone(),
        state: match summary.step == started.total {
            true => format!("finished after {} steps", summary.step),
            false => format!("stopped after {} of {} steps", summary.step, started.total),
        },
        evaluations: evaluations.collect(),
        loss,
        model: started.model.clone(),
        parameters: summary.parameters,
        seconds: summary.seconds,
        images_per_second: images as f64 / summary.seconds.max(1e-9),
        backend: started.backend.clone(),
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

fn evaluation(summary: &Summary<'_>, set: &EvaluationSet, measured: &Measured) -> Evaluation {
    let result = &measured.result;
    let reason = |reason: Option<Unmeasurable>| match reason {
        Some(reason) => format!("not measurable: {reason}"),
        None => "not measurable".into(),
    };
    let rate = |value: f64, interval: &Interval| Rate { value, interval: (interval.low, interval.high) };
    let untrained = summary.evaluations.iter().find(|record| record.step == 0 && record.name == set.name);
    let accuracy = result.accuracy.as_ref();
    let from = accuracy.map(|a| match a.threshold_from {
        ThresholdFrom::OtherFolds => "best on the other folds, mean over folds",
        ThresholdFrom::OtherPairs => "best on the development pairs",
        ThresholdFrom::SamePairs => "best on the same pairs, so the accuracy is flattered",
    });
    Evaluation {
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
        genuine: measured.scores.genuine(),
        impostor: measured.scores.impostor(),
        roc: Roc::new(&measured.scores).map(|roc| roc.curve()).unwrap_or_default(),
    }
}
