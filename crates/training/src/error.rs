//! Why a run cannot go on.

use std::{io, path::PathBuf};

use facegrad_backbones::BackboneError;
use facegrad_faces::{FaceError, SourceError};
use facegrad_loader::LoaderError;
use facegrad_losses::HeadError;

use facegrad_recognition::{EvaluationError, checkpoint::CheckpointError};

use crate::config::ConfigError;

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum TrainError {
    /// The training data.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A look at a few images found none to train on.
    #[error("none of the {looked_at} training images that were tried can be read; the first is {first}")]
    NothingReadable { looked_at: usize, first: FaceError },
    /// The batches.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The network.
    #[error("{0}; change data.size or backbone.kind")]
    Backbone(#[from] BackboneError),
    /// A step needs more memory than there is, by arithmetic and before any of it is asked for.
    #[error("a step needs about {needed} of memory ({parts}) and {available} are available; {advice}")]
    TooLittleMemory { needed: String, parts: String, available: String, advice: &'static str },
    /// The head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A pattern that picks nothing.
    #[error("{key} matches no parameter of the model; their names go from {names}")]
    NoSuchParameter { key: String, names: String },
    /// An evaluation.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The config saved in a run folder.
    #[error("cannot resume: {0}")]
    Config(#[from] ConfigError),
    /// A file of the run folder.
    #[error("cannot write to {}: {source}; {kept}", path.display())]
    Unwritable { path: PathBuf, source: io::Error, kept: String },
    /// Another process trains in the folder.
    #[error("{} is in use by another facegrad process; wait for it or stop it", .0.display())]
    InUse(PathBuf),
    /// The data is not what the run was started with.
    #[error("{} was trained on {before}, and the data is now {now}{changed}; resuming would not continue the same run", run.display())]
    OtherData {
        run: PathBuf,
        before: String,
        now: String,
        /// The changed keys of the config, as a clause, where they are known.
        changed: String,
    },
    /// A changed key that the weights of a checkpoint cannot go on with.
    #[error(
        "{key} is {now}, and the checkpoint was trained {was}: {why}; set the key back, or begin a new run"
    )]
    FixedKey { key: String, was: String, now: String, why: &'static str },
    /// The config of a run says less than what is done.
    #[error("{} has done {step} steps, and {length} makes {total} of it; give it more, such as {longer}", run.display())]
    Shorter {
        run: PathBuf,
        step: usize,
        total: usize,
        /// What the config says, such as `run.epochs = 2`.
        length: String,
        /// What would be right, as `--set` takes it.
        longer: String,
    },
    /// A file of a checkpoint that verifies but does not fit.
    #[error("{}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    /// The device failed in the middle of a step.
    #[error("{device}: the backend could not compute step {step}: {reason}")]
    Backend {
        device: String,
        /// The step, counted from 1.
        step: usize,
        reason: String,
    },
    /// The loss or a gradient is NaN or infinite.
    #[error(
        "step {step}: the {what} is {value}; stopped before it reached the weights, {kept}. Images of the batch: {images}. A lower optimizer.learning_rate or a longer schedule.warmup often helps"
    )]
    NotFinite {
        /// The step, counted from 1.
        step: usize,
        what: &'static str,
        value: f64,
        kept: String,
        images: String,
    },
}
