//! How the program ends when something is wrong: one sentence and an exit code.
//!
//! Whether an error is wrong input or failed work is decided here and nowhere else, so that the same error ends every
//! verb alike.

use std::{fmt, process::ExitCode};

use facegrad::loader::LoaderError;
use facegrad_alignment::AlignError;
use facegrad_audit::AuditError;
use facegrad_bench::BenchError;
use facegrad_datasets::{FetchError, SetError, UnpackError};
use facegrad_embeddings::{EmbeddingError, GalleryError};
use facegrad_faces::convert::ConvertError;
use facegrad_files::Stop;
use facegrad_pictures::WriteError;
use facegrad_recognition::{
    EmbedderError, EmbeddingSourceError, EvaluationError, JobError, ModelError, checkpoint::CheckpointError,
};
use facegrad_training::{StepError, TrainError, compare::ComparisonError};
use facegrad_verification::PairsError;

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
pub const INTERRUPTED: u8 = Stop::EXIT_CODE;

/// Watches for Ctrl-C, which asks for an end after `rest`.
pub fn stop_on_signal(rest: &'static str) -> Result<Stop, Failure> {
    Stop::on_signal(rest).map_err(|error| Failure::work(format!("cannot watch for Ctrl-C: {error}")))
}

impl Failure {
    /// Input that cannot be used.
    pub fn input(error: impl fmt::Display) -> Self {
        Self { sentence: error.to_string(), code: WRONG_INPUT }
    }

    /// Work that failed.
    pub fn work(error: impl fmt::Display) -> Self {
        Self { sentence: error.to_string(), code: FAILED }
    }

    /// A file that cannot be written.
    pub fn unwritable(path: &std::path::Path, error: impl fmt::Display) -> Self {
        Self::work(format!("cannot write {}: {error}", path.display()))
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

/// Errors that are wrong input or failed work whatever they say.
macro_rules! always {
    ($($which:ident: $($error:ty),+;)+) => {
        $($(
            impl From<$error> for Failure {
                fn from(error: $error) -> Self {
                    Self::$which(error)
                }
            }
        )+)+
    };
}

always! {
    input: facegrad_alignment::LandmarkFileError, facegrad_alignment::PlaceError, facegrad_alignment::WeightError,
        facegrad::backbones::BackboneError, facegrad_datasets::CardError, facegrad_datasets::UnknownCard,
        facegrad::devices::DeviceError, facegrad_faces::SourceError, facegrad_faces::folder::FolderError,
        facegrad_recognition::ImageSetError, facegrad_settings::SettingsError, facegrad_training::ConfigError;
    work: facegrad_verification::ScoreError, serde_json::Error;
}

/// The exit code of errors of which some are failed work.
macro_rules! sometimes_work {
    ($($error:ty: $work:pat,)+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                match error {
                    $work => Self::work(error),
                    _ => Self::input(error),
                }
            }
        })+
    };
}

sometimes_work! {
    AlignError: AlignError::Unwritable { .. },
    CheckpointError: CheckpointError::Unwritable { .. },
    ComparisonError: ComparisonError::Unwritable { .. },
    PairsError: PairsError::Unwritable { .. },
}

impl From<EmbedderError> for Failure {
    fn from(error: EmbedderError) -> Self {
        match error {
            EmbedderError::File(error) => error.into(),
            EmbedderError::Backend(_) | EmbedderError::Flip(_) | EmbedderError::Stopped => Self::work(error),
            _ => Self::input(error),
        }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Embeddings(error) => error.into(),
            AuditError::Stopped | AuditError::Unusable(_) => Self::work(error),
        }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Train(error) => error.into(),
            BenchError::Step(error) => error.into(),
            BenchError::Model(error) => error.into(),
            BenchError::Backbone(_) | BenchError::Head(_) => Self::input(error),
            BenchError::Backend(_) | BenchError::Ended => Self::work(error),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        if error.is_failure() { Self::work(error) } else { Self::input(error) }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Head(_) => Self::input(error),
            StepError::NotFinite { .. } | StepError::Backend(_) => Self::work(error),
        }
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
            TrainError::Checkpoint(error) => error.into(),
            TrainError::Evaluation(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        // The sentence of the whole with the code of its cause.
        let sentence = error.to_string();
        let code = match error {
            EvaluationError::Embeddings { source, .. } => Self::from(source).code,
            EvaluationError::Score { .. } => FAILED,
            _ => WRONG_INPUT,
        };
        Self { sentence, code }
    }
}

impl From<EmbeddingError> for Failure {
    fn from(error: EmbeddingError) -> Self {
        match error {
            // A file that is not there was named wrongly.
            EmbeddingError::Io { doing: "read", .. } => Self::input(error),
            EmbeddingError::Io { .. } | EmbeddingError::NotFinite { .. } => Self::work(error),
            _ => Self::input(error),
        }
    }
}

impl From<EmbeddingSourceError> for Failure {
    fn from(error: EmbeddingSourceError) -> Self {
        match error {
            EmbeddingSourceError::Model(error) => error.into(),
            EmbeddingSourceError::File(error) => error.into(),
            EmbeddingSourceError::Whitening(_) => Self::input(error),
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
            JobError::Embeddings(error) => error.into(),
            JobError::File(error) => error.into(),
            _ => Self::work(error),
        }
    }
}

impl From<ConvertError> for Failure {
    fn from(error: ConvertError) -> Self {
        match error {
            ConvertError::Unwritable { .. } => Self::work(error),
            ConvertError::Image(_) => Self::input(format!("{error}; --on-error skip leaves such images out")),
            _ => Self::input(error),
        }
    }
}

impl From<SetError> for Failure {
    fn from(error: SetError) -> Self {
        match error {
            SetError::NotFetchable { .. }
            | SetError::Fetch(FetchError::Request { .. } | FetchError::Occupied { .. })
            | SetError::Unpack(UnpackError::Occupied { .. }) => Self::input(error),
            _ => Self::work(error),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Occupied { .. } => Self::input(error),
            _ => Self::work(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_fails_in_a_step_is_failed_work_and_no_file() {
        let device = "wgpu on a card".to_owned();
        let failure = Failure::from(TrainError::Backend { device, step: 3, reason: "it is lost".into() });
        assert_eq!(failure.code, FAILED);
        let sentence = "wgpu on a card: the backend could not compute step 3: it is lost";
        assert_eq!(failure.to_string(), sentence);
    }
}
