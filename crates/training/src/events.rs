//! What a run tells while it goes and when it ends.

use std::path::PathBuf;

use facegrad_recognition::ProtocolOutcome;
use serde::{Deserialize, Serialize};

use crate::{log::StepLine, preflight::Preflight, resume::EarlierRun};

/// What happens in a run, for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// Before the first step.
    Started(&'a RunStart),
    /// A line of the log.
    Step(&'a StepLine),
    /// An evaluation is under way: images done and images in all.
    Evaluating(&'a str, usize, usize),
    /// An evaluation was made after `step` steps; `best` if it chose a new best checkpoint.
    Evaluated {
        /// Optimizer steps done.
        step: usize,
        /// Name of the evaluation in the config.
        name: &'a str,
        /// What was measured.
        measured: &'a ProtocolOutcome,
        /// Whether the model is the best so far.
        best: bool,
    },
    /// An image cannot be used.
    Skipped(&'a facegrad_faces::FaceError),
}

/// A run that begins, or goes on.
#[derive(Debug, Clone)]
pub struct RunStart {
    /// The run folder.
    pub folder: PathBuf,
    /// Steps already done, for a run that is resumed.
    pub step: usize,
    /// What makes it twice as long as what is done, as `--set` takes it, such as `run.epochs=8`.
    pub longer: String,
    /// The run whose name it wanted.
    pub earlier: Option<EarlierRun>,
    /// What it is about to do.
    pub preflight: Preflight,
}

/// How a run ended.
#[derive(Debug, Clone, Serialize)]
pub struct RunOutcome {
    /// The run folder.
    #[serde(with = "facegrad_files::as_name")]
    pub folder: PathBuf,
    /// Optimizer steps done.
    pub step: usize,
    /// Whether it was stopped before its last step.
    pub interrupted: bool,
    /// The loss of the first step.
    pub first_loss: Option<f64>,
    /// Every evaluation, in order.
    pub evaluations: Vec<EvaluationRecord>,
    /// What the course of the run says is wrong, a sentence each.
    pub findings: Vec<String>,
    /// Time spent in training steps, over all sessions of the run.
    pub seconds: f64,
}

/// The main numbers of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Optimizer steps done; 0 is the untrained network.
    pub step: usize,
    /// Name of the evaluation in the config.
    pub name: String,
    /// Accuracy, or what stands for it in protocols other than pairs, where it can be measured.
    pub accuracy: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Area under the ROC.
    pub auc: Option<f64>,
    /// Equal error rate.
    pub eer: Option<f64>,
}

impl EvaluationRecord {
    /// What the evaluation `name` measured after `step` steps.
    pub(crate) fn new(step: usize, name: &str, measured: &ProtocolOutcome) -> Self {
        let sheet = measured.outcome.sheet();
        let headline = sheet.headline();
        Self {
            step,
            name: name.into(),
            accuracy: headline.map(|headline| headline.value),
            standard_error: headline.and_then(|headline| headline.standard_error),
            auc: sheet.value("auc"),
            eer: sheet.value("eer"),
        }
    }
}
