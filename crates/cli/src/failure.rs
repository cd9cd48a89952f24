//! How the program ends when something is wrong: one sentence and an exit code.
//!
//! Whether an error is wrong input or failed work is decided here and nowhere else, so that the same error ends every
//! verb alike.

use std::{fmt, path::Path, process::ExitCode};

use facegrad::embeddings::{EmbeddingError, GalleryError};
use facegrad::faces::convert::ConvertError;
use facegrad::loader::LoaderError;
use facegrad::pictures::WriteError;
use facegrad::recognition::{
    EmbedderError, EmbeddingSourceError, EvaluationError, JobError, MeasurementError, ModelError,
    checkpoint::{self, CheckpointError},
};
use facegrad::training::{StepError, TrainError, compare::ComparisonError};
use facegrad::verification::PairsError;
use facegrad_alignment::AlignError;
use facegrad_audit::AuditError;
use facegrad_bench::BenchError;
use facegrad_datasets::{FetchError, SetError, UnpackError};
use facegrad_files::Stop;

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

/// Writes a file that was asked for, whole or not at all.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    facegrad_files::replace(path, bytes).map_err(|error| Failure::unwritable(path, error))
}

/// Whether `path` may be written, which an option of this name gave: not where it is one of the `inputs`, and not over a file
/// of a checkpoint, which only training and calibration change.
pub fn check_output(option: &str, path: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    let Ok(there) = path.canonicalize() else { return Ok(()) };
    if let Some(input) = inputs.iter().find(|input| input.canonicalize().is_ok_and(|input| input == there)) {
        let input = input.display();
        return Err(Failure::input(format!(
            "{option} would replace {input}, which is read; choose another name"
        )));
    }
    let is_of_checkpoint = there.is_file() && there.with_file_name(checkpoint::MANIFEST).is_file();
    match is_of_checkpoint {
        true => Err(Failure::input(format!(
            "{option} would replace {}, a file of a checkpoint; choose another name",
            path.display()
        ))),
        false => Ok(()),
    }
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
    pub fn unwritable(path: &Path, error: impl fmt::Display) -> Self {
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
        facegrad::devices::DeviceError, facegrad::faces::SourceError, facegrad::faces::folder::FolderError,
        facegrad::recognition::ImageSetError, facegrad::settings::SettingsError, facegrad::training::ConfigError;
    work: facegrad::verification::ScoreError, serde_json::Error;
}

/// Errors of which some are failed work and the others wrong input: first those that an error `within` them decides, then
/// those that are `input` or `work` by their pattern, and what is left is input.
macro_rules! by_case {
    ($($error:ident { $(within $($inner:ident)|+,)? $(input $input:pat,)? $(work $work:pat,)? })+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                match error {
                    $($($error::$inner(error) => error.into(),)+)?
                    $($input => Self::input(error),)?
                    $($work => Self::work(error),)?
                    #[allow(unreachable_patterns)]
                    _ => Self::input(error),
                }
            }
        })+
    };
}

by_case! {
    AlignError { work AlignError::Unwritable { .. }, }
    AuditError { within Embeddings, work _, }
    BenchError { within Train | Step | Model, work BenchError::Backend(_) | BenchError::Ended, }
    CheckpointError { work CheckpointError::Unwritable { .. }, }
    ComparisonError { work ComparisonError::Unwritable { .. }, }
    EmbedderError {
        within File,
        work EmbedderError::Backend(_) | EmbedderError::Flip(_) | EmbedderError::Stopped,
    }
    EmbeddingError {
        // A file that is not there was named wrongly.
        input EmbeddingError::Io { doing: "read", .. },
        work EmbeddingError::Io { .. } | EmbeddingError::NotFinite { .. },
    }
    EmbeddingSourceError { within Model | File, }
    GalleryError { within File, }
    JobError { within Embeddings | File, work _, }
    ModelError { within Checkpoint, work ModelError::Unwritable { .. }, }
    PairsError { work PairsError::Unwritable { .. }, }
    SetError {
        input SetError::NotFetchable { .. }
            | SetError::Fetch(FetchError::Request { .. } | FetchError::Occupied { .. })
            | SetError::Unpack(UnpackError::Occupied { .. }),
        work _,
    }
    StepError { work StepError::NotFinite { .. } | StepError::Backend(_), }
    TrainError {
        within Checkpoint | Evaluation,
        input TrainError::Loader(LoaderError::Sampler(_)),
        work TrainError::Unwritable { .. }
            | TrainError::Backend { .. }
            | TrainError::NotFinite { .. }
            | TrainError::Loader(_),
    }
    WriteError { input WriteError::Occupied { .. }, work _, }
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        // The sentence of the whole with the code of its cause.
        let sentence = error.to_string();
        let code = match error {
            EvaluationError::Measurement { source, .. } => match *source {
                MeasurementError::Embeddings(error) | MeasurementError::Lost { error, .. } => {
                    Self::from(error).code
                }
                MeasurementError::Score(_) | MeasurementError::Unit(_) => FAILED,
                _ => WRONG_INPUT,
            },
            _ => WRONG_INPUT,
        };
        Self { sentence, code }
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
