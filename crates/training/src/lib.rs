//! Experiments: from a config file to a trained model and what it is worth.
//!
//! [`Experiment`] is the config, [`Trainer`] the run, [`checkpoint`] what it leaves on disk, [`EvaluationSet`]
//! how a model is measured, [`EmbeddingModel`] a model to use, [`compare`] several experiments under one budget. The loop itself is in `train.rs`.

pub mod checkpoint;
pub mod compare;
pub mod config;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod error;
pub mod evaluation;
mod events;
mod every;
mod files;
mod log;
mod lone_head;
pub mod model;
mod optimizer;
mod recognizer;
mod report;
mod run_folder;
mod schedule;
mod step;
mod train;
mod update;
mod window;

pub use config::{ConfigError, EvaluationConfig, Experiment};
#[cfg(feature = "dashboard")]
pub use dashboard::Dashboard;
pub use error::TrainError;
pub use evaluation::{EvaluationError, EvaluationSet, Measured};
pub use events::{EvaluationRecord, Event, Outcome, Started};
pub use every::Every;
pub use files::replace as replace_file;
pub use log::StepLine;
pub use lone_head::LoneHead;
pub use model::{EmbeddingModel, ModelError};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use recognizer::{Recognizer, to_input};
pub use run_folder::SavedRun;
pub use schedule::ScheduleConfig;
pub use step::{Learner, StepError, Stepped};
pub use train::Trainer;
