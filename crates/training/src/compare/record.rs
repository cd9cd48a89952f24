//! What a run folder tells of its run.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use facegrad_files::read_bounded;
use facegrad_recognition::{ProtocolResult, checkpoint};
use serde::Serialize;

use crate::{
    checkpoint::{LONGEST_STATE, STATE, State},
    config::Experiment,
    log::{self, LOG, LogEvent},
};

/// A run of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    /// The name of its config.
    pub config: String,
    /// Its seed.
    pub seed: u64,
    /// Its folder, once there is one.
    #[serde(serialize_with = "facegrad_files::as_name::serialize_option")]
    pub folder: Option<PathBuf>,
    /// How it stands.
    #[serde(flatten)]
    pub state: RunState,
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Not done yet; a folder with a checkpoint is gone on with.
    Waiting {
        /// Optimizer steps done.
        step: usize,
    },
    /// Trained to the end and evaluated.
    Finished(Box<RunResult>),
    /// The loss or a gradient became NaN or infinite. The same config and seed would do so again, so it is
    /// not tried again.
    Diverged {
        /// The step, counted from 1.
        step: usize,
        /// What became what.
        reason: String,
    },
    /// Something else went wrong; it is tried again when the comparison is.
    Failed {
        /// Optimizer steps that are saved.
        step: usize,
        /// The error.
        reason: String,
    },
}

/// What a finished run measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunResult {
    /// The evaluation after the last step.
    pub result: ProtocolResult,
    /// What the untrained network reached in the figure that is compared.
    pub untrained: Option<f64>,
    /// The loss of the first step.
    pub first_loss: Option<f64>,
    /// The loss that random features would give.
    pub expected_first_loss: Option<f64>,
    /// The mean loss over the last tenth of the logged steps.
    pub last_loss: Option<f64>,
    /// Seconds spent in training steps.
    pub seconds: f64,
    /// Training images in each of these seconds.
    pub images_per_second: f64,
    /// What computed, one entry for each backend that it went on with.
    pub backends: BTreeSet<String>,
    /// The SHA-256 of the training data.
    pub data_sha256: String,
}

/// What the log of a run says, as far as a comparison asks.
#[derive(Default)]
struct LogSummary {
    backends: BTreeSet<String>,
    expected_first_loss: Option<f64>,
    losses: Vec<(usize, f64)>,
    untrained: Option<f64>,
    result: Option<ProtocolResult>,
    seconds: Option<f64>,
    /// The step that was not taken, and why.
    not_finite: Option<(usize, String)>,
}

/// How the run in `folder` stands, by its log.
pub(super) fn read(folder: &Path, evaluation: &str, experiment: &Experiment, steps: usize) -> RunState {
    let log = LogSummary::of(folder, evaluation, steps);
    if let Some((step, reason)) = log.not_finite {
        return RunState::Diverged { step, reason };
    }
    let state = last_state(folder).unwrap_or_default();
    let (result, seconds) = match (log.result, log.seconds) {
        (Some(result), Some(seconds)) => (result, seconds),
        // It would go on at its end, again and again.
        (None, Some(_)) => {
            let reason = format!(
                "{}: it has come to its end, and there is no result of its evaluation {evaluation} that can be read",
                folder.join(LOG).display()
            );
            return RunState::Failed { step: state.step, reason };
        }
        _ => return RunState::Waiting { step: state.step },
    };
    let images = (steps * experiment.run.batch) as f64;
    RunState::Finished(Box::new(RunResult {
        result,
        untrained: log.untrained,
        first_loss: log.losses.iter().find(|(step, _)| *step == 1).map(|(_, loss)| *loss),
        expected_first_loss: log.expected_first_loss,
        last_loss: last_tenth(&log.losses),
        seconds,
        images_per_second: images / seconds.max(1e-9),
        backends: log.backends,
        data_sha256: state.data_sha256,
    }))
}

/// The mean over the last tenth of the logged losses, and at least one.
fn last_tenth(losses: &[(usize, f64)]) -> Option<f64> {
    let count = (losses.len() as f64 / 10.0).round().max(1.0) as usize;
    let last = &losses[losses.len().checked_sub(count)?..];
    Some(last.iter().map(|(_, loss)| loss).sum::<f64>() / count as f64)
}

/// The state in the last checkpoint; nothing if there is none.
fn last_state(folder: &Path) -> Option<State> {
    let last = checkpoint::locate(folder, "last").ok()?;
    serde_json::from_slice(&read_bounded(&last.join(STATE), LONGEST_STATE).ok()?).ok()
}

impl LogSummary {
    /// What the log of the run in `folder` says of a run of `steps` steps.
    fn of(folder: &Path, evaluation: &str, steps: usize) -> Self {
        let mut log = Self::default();
        let Ok(events) = log::events(folder) else { return log };
        for event in events {
            match event {
                LogEvent::Start { preflight, .. } => {
                    log.backends.insert(preflight.backend);
                    log.expected_first_loss = preflight.expected_first_loss;
                    // A run that goes on has not diverged yet, whatever became of it before.
                    log.not_finite = None;
                }
                LogEvent::Step(line) => log.losses.push((line.step, line.loss)),
                LogEvent::Evaluation { step: 0, name, result, .. } if name == evaluation => {
                    log.untrained = result.sheet().headline().map(|figure| figure.value);
                }
                LogEvent::Evaluation { step, name, result, .. } if name == evaluation && step == steps => {
                    log.result = Some(*result);
                }
                LogEvent::NotFinite { step, what, value, .. } => {
                    log.not_finite = Some((step, format!("the {what} is {value}")));
                }
                LogEvent::End { step, interrupted: false, seconds } if step == steps => {
                    log.seconds = Some(seconds);
                }
                _ => {}
            }
        }
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_is_at_least_one_line() {
        let losses = |n: usize| (1..=n).map(|i| (i, i as f64)).collect::<Vec<_>>();
        assert_eq!(last_tenth(&losses(0)), None);
        assert_eq!(last_tenth(&losses(4)), Some(4.0));
        assert_eq!(last_tenth(&losses(20)), Some(19.5));
        assert_eq!(last_tenth(&losses(31)), Some(30.0));
    }

    #[test]
    fn a_run_stands_where_its_log_says() {
        let (experiment, _) =
            Experiment::resolve("[run]\nsteps = 2\nbatch = 8".parse().unwrap(), &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut log = String::new();
        let mut state = |line: &str| {
            log.push_str(line);
            log.push('\n');
            std::fs::write(folder.path().join(LOG), &log).unwrap();
            read(folder.path(), "a", &experiment, 2)
        };
        let waiting = RunState::Waiting { step: 0 };
        assert_eq!(
            state(r#"{"event":"start","step":0,"backend":"flex","expected_first_loss":3.5}"#),
            waiting
        );
        assert_eq!(state(r#"{"event":"step","step":1,"loss":4.0,"more":null}"#), waiting);
        assert_eq!(
            state(r#"{"event":"not_finite","step":2,"what":"loss","value":"NaN"}"#),
            RunState::Diverged { step: 2, reason: "the loss is NaN".into() }
        );
        // Gone on with, perhaps by a better program.
        assert_eq!(
            state(r#"{"event":"start","step":0,"backend":"flex","expected_first_loss":3.5}"#),
            waiting
        );
        assert_eq!(state(r#"{"event":"step","step":2,"loss":3.0}"#), waiting);
        let result =
            r#"{"measures":"verification","protocol":"p","pairs_sha256":"","images_sha256":"","model_sha256":null,"backend":"flex",
            "seed":1,"flip":"add","score":"cosine","genuine":0,"impostor":0,"accuracy":null,
            "accuracy_unmeasurable":null,"auc":0.75,"eer":null,"tar_at_far":[],"roc_unmeasurable":null}"#
                .replace('\n', "");
        assert_eq!(
            state(&format!(r#"{{"event":"evaluation","step":2,"name":"b","result":{result}}}"#)),
            waiting
        );
        assert_eq!(
            state(&format!(r#"{{"event":"evaluation","step":2,"name":"a","result":{result}}}"#)),
            waiting
        );
        assert_eq!(state(r#"{"event":"end","step":1,"interrupted":true,"seconds":1.0}"#), waiting);
        let RunState::Finished(run) = state(r#"{"event":"end","step":2,"interrupted":false,"seconds":4.0}"#)
        else {
            panic!("it is finished");
        };
        assert_eq!((run.first_loss, run.last_loss), (Some(4.0), Some(3.0)));
        assert_eq!((run.expected_first_loss, run.result.sheet().value("auc")), (Some(3.5), Some(0.75)));
        assert_eq!((run.images_per_second, run.seconds), (4.0, 4.0));
        assert_eq!(run.backends.len(), 1);
    }
}
