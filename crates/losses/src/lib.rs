//! Losses for face embeddings: from embeddings and labels to one number to minimise.
//!
//! A *head* turns embeddings `[batch, embedding]` and labels `[batch]` into logits `[batch, classes]`; a
//! *criterion* turns logits into a loss. Any criterion goes with any head. Both compute in f32.
//!
//! Adding a head is one file with its config and its module, and one line in the registry of [`heads`];
//! adding a criterion likewise in [`criteria`]. See CONTRIBUTING.md.

pub mod criteria;
pub mod heads;
mod normalise;
mod schedule;

pub use criteria::CriterionConfig;
pub use heads::{Head, HeadConfig, HeadError, HeadOutput, Telemetry};
pub use normalise::l2_normalise;
pub use schedule::{LinearSchedule, Progress, Schedule};
