//! Experiments: from a config file to a trained model and what it is worth.
//!
//! [`Experiment`] is the config, [`Trainer`] the run, [`compare`] several experiments under one budget. The loop
//! itself is in `train.rs`. What a run leaves on disk, and how a model is used and measured, is the business of
//! the recognition room.

mod checkpoint;
pub mod compare;
pub mod config;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod error;
mod events;
mod every;
mod learner;
mod log;
mod lone_head;
mod objective;
mod optimizer;
mod preflight;
mod preparation;
mod recognizer;
mod report;
mod resume;
mod run_folder;
mod schedule;
mod train;
mod update;
mod window;

pub use config::{ConfigError, Experiment};
#[cfg(feature = "dashboard")]
pub use dashboard::Dashboard;
pub use error::TrainError;
pub use events::{EvaluationRecord, Event, Outcome, Started};
pub use every::Every;
pub use learner::{Learner, StepError, Stepped};
pub use log::{LogEvent, StepLine};
pub use lone_head::LoneHead;
pub use optimizer::{Optimizer, OptimizerConfig};
pub use preflight::{ImagesPerIdentity, MemoryEstimate, Preflight, TimeEstimate};
pub use recognizer::Recognizer;
pub use resume::SavedRun;
pub use schedule::ScheduleConfig;
pub use train::Trainer;
