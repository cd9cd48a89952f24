//! Experiments: from a config file to a trained model and what it is worth.
//!
//! [`Experiment`] is the config, [`Trainer`] the run, [`checkpoint`] what it leaves on disk, [`EvaluationSet`]
//! how a model is measured, [`EmbeddingModel`] a model to use. The loop itself is in `train.rs`.

pub mod checkpoint;
pub mod config;
pub mod evaluation;
mod files;
mod log;
pub mod model;
mod optimizer;
mod recognizer;
mod report;
mod schedule;
pub mod train;

pub use config::{ConfigError, EvaluationConfig, Experiment};
pub use evaluation::{EvaluationError, EvaluationSet, Measured};
pub use log::StepLine;
pub use model::{EmbeddingModel, ModelError};
pub use optimizer::OptimizerConfig;
pub use recognizer::{Recognizer, to_input};
pub use schedule::ScheduleConfig;
pub use train::{Event, Outcome, Started, TrainError, Trainer};
