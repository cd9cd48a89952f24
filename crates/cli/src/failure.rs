//! How the program ends when something is wrong: one sentence and an exit code.

use std::{fmt, process::ExitCode};

use facegrad_faces::loader::LoaderError;
use facegrad_training::{EvaluationError, TrainError, compare::ComparisonError};

/// What went wrong, and whose turn it is.
#[derive(Debug)]
pub struct Failure {
    sentence: String,
    code: u8,
}

/// Exit code of work that failed.
const FAILED: u8 = 1;
/// Exit code of input that cannot be used.
const WRONG_INPUT: u8 = 2;
/// Exit code after Ctrl-C, as shells have it.
pub const INTERRUPTED: u8 = 130;

impl Failure {
    /// Input that cannot be used.
    pub fn input(error: impl fmt::Display) -> Self {
        Self { sentence: error.to_string(), code: WRONG_INPUT }
    }

    /// Work that failed.
    pub fn work(error: impl fmt::Display) -> Self {
        Self { sentence: error.to_string(), code: FAILED }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        self.code.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Loader(LoaderError::Sampler(_)) => Self::input(error),
            TrainError::Unwritable { .. } | TrainError::NotFinite { .. } | TrainError::Loader(_) => {
                Self::work(error)
            }
            TrainError::Checkpoint(facegrad_training::checkpoint::CheckpointError::Unwritable { .. }) => {
                Self::work(error)
            }
            TrainError::Evaluation(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<ComparisonError> for Failure {
    fn from(error: ComparisonError) -> Self {
        match error {
            ComparisonError::Unwritable { .. } => Self::work(error),
            _ => Self::input(error),
        }
    }
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::Score { .. } | EvaluationError::Flip(_) | EvaluationError::Backend(_) => {
                Self::work(error)
            }
            _ => Self::input(error),
        }
    }
}
