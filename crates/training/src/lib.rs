//! Experiments: from a config file to a trained model and what it is worth.
//!
//! An [`Experiment`] is the config, a [`Trainer`] the run, [`compare`] runs several experiments under one budget. Read
//! `train.rs` for the loop and `learner.rs` for a step; what comes before the loop is in `preparation.rs` and
//! `resume.rs`. A [`Learner`] trains without a loop, on images that are in memory.
//!
//! How an image becomes an embedding, how embeddings become a loss, and what a protocol measures is known in other
//! rooms (backbones, losses, recognition); here they meet. Nothing here prints: what happens in a run is told as
//! [`Event`]s.
//!
//! ```
//! use facegrad_files::Stop;
//!
//! use facegrad_devices::{Backend, choose};
//! use facegrad_training::{Event, Experiment, Trainer};
//!
//! let folder = tempfile::tempdir()?;
//! let config = r#"
//!     run = { steps = 2, batch = 4 }
//!     data = { size = [20, 20], train = { kind = "synthetic", identities = 4, images = 2, size = 20 } }
//!     backbone = { kind = "nano", width = 0.25, embedding = 16 }
//!     head = { kind = "cosface" }
//! "#;
//! let (mut experiment, _) = Experiment::resolve(config.parse()?, &[])?;
//! experiment.run.folder = folder.path().into();
//!
//! let trainer = Trainer::new(experiment, choose(Backend::Flex, None)?, "an example".into())?;
//! let mut losses = Vec::new();
//! let outcome = trainer.run(&Stop::default(), &mut |event| {
//!     if let Event::Step(line) = event {
//!         losses.push(line.loss);
//!     }
//! })?;
//! assert_eq!((outcome.step, losses.len()), (2, 2));
//! assert!(outcome.folder.join("checkpoint-000002/model.safetensors").is_file());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod changes;
mod checkpoint;
pub mod compare;
pub mod config;
mod course;
#[cfg(feature = "dashboard")]
pub mod dashboard;
mod error;
mod events;
mod every;
mod findings;
mod learner;
mod log;
mod objective;
mod optimizer;
mod preflight;
mod preparation;
mod proposal;
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
pub use events::{EvaluationRecord, Event, RunOutcome, RunStart};
pub use every::Every;
pub use learner::{Learner, StepError, StepResult};
pub use log::{LogEvent, StepLine};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use preflight::{ImagesPerIdentity, MemoryEstimate, Preflight, TimeEstimate};
pub use proposal::{Proposal, ProposalFacts};
pub use recognizer::Recognizer;
pub use resume::{EarlierRun, SavedRun};
pub use schedule::ScheduleConfig;
pub use train::Trainer;
