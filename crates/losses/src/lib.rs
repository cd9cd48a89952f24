//! Losses for face embeddings: from embeddings and labels to one number to minimise.
//!
//! A *head* turns embeddings `[batch, embedding]` and labels `[batch]` into logits `[batch, classes]`; a
//! *criterion* turns logits into a loss. Any criterion goes with any head. A *loss on embeddings* needs no
//! logits; it stands alone in the place of a head, or beside one as an auxiliary loss. All compute in f32.
//!
//! Adding a head is one file with its config and its module, and one line in the registry of [`heads`]; a
//! criterion likewise in [`criteria`], a loss on embeddings in [`embedding`]. See CONTRIBUTING.md.

mod auxiliary;
mod batch;
mod classes;
pub mod criteria;
pub mod embedding;
pub mod functions;
mod head;
pub mod heads;
mod logits;
mod normalise;
mod psi;
#[cfg(test)]
pub(crate) mod reference;
mod registry;
pub mod regularisation;
mod schedule;
pub mod telemetry;

pub use auxiliary::{Auxiliary, AuxiliaryConfig, AuxiliaryOutput};
pub use batch::{Batch, Labels};
pub use criteria::CriterionConfig;
pub use embedding::EmbeddingLossConfig;
pub use head::{About, Curve, Head, HeadConfig, HeadError, Output, Scoring, Setup};
pub use heads::ClassHeadConfig;
pub use logits::{Logits, Reduction, Rule, composed};
pub use normalise::l2_normalise;
pub use regularisation::RegularisationConfig;
pub use schedule::{Annealing, LinearSchedule, Progress, Schedule};
pub use telemetry::{Reading, Telemetry};
