//! How the program ends when something is wrong: one sentence and an exit code.

use std::{fmt, process::ExitCode};

use facegrad_embeddings::{EmbeddingError, GalleryError};
use facegrad_loader::LoaderError;
use facegrad_recognition::{EmbeddingsError, EvaluationError, JobError, checkpoint::CheckpointError};
use facegrad_training::{TrainError, compare::ComparisonError};

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
            TrainError::Unwritable { .. }
            | TrainError::Backend { .. }
            | TrainError::NotFinite { .. }
            | TrainError::Loader(_) => Self::work(error),
            TrainError::Checkpoint(CheckpointError::Unwritable { .. }) => Self::work(error),
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
            EvaluationError::Embeddings { source: EmbeddingsError::Image(_), .. } => Self::input(error),
            EvaluationError::Score { .. } | EvaluationError::Embeddings { .. } => Self::work(error),
            _ => Self::input(error),
        }
    }
}

impl From<EmbeddingError> for Failure {
    fn from(error: EmbeddingError) -> Self {
        match error {
            EmbeddingError::Io { .. } | EmbeddingError::NotFinite { .. } => Self::work(error),
            _ => Self::input(error),
        }
    }
}

impl From<GalleryError> for Failure {
    fn from(error: GalleryError) -> Self {
        match error {
            GalleryError::File(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Embeddings(EmbeddingsError::Image(_)) => Self::input(error),
            JobError::File(error) => error.into(),
            _ => Self::work(error),
        }
    }
}
