//! Losses for face embeddings: from embeddings and labels to one number to minimise. Nothing here knows of pictures,
//! of the network that the embeddings come from, or of the optimizer that the gradients go to.
//!
//! A *head* turns embeddings `[batch, embedding]` and labels `[batch]` into logits `[batch, classes]`; a
//! *criterion* turns logits into a loss. Any criterion goes with any head. A *loss on embeddings* needs no
//! logits; it stands alone in the place of a head, or beside one as an auxiliary loss. All compute in f32.
//!
//! Adding a head is one file with its config and its module, and one line in the registry of [`heads`]; a
//! criterion likewise in [`criteria`], a loss on embeddings in [`embedding`]. See CONTRIBUTING.md.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use facegrad_losses::{EmbeddingBatch, CriterionConfig, HeadConfig, Labels, HeadOutput, Progress};
//!
//! let device = Device::flex().autodiff();
//! let config = HeadConfig::of_kind("arcface").expect("a kind of head");
//! // Of 10 identities, for embeddings of length 3.
//! let head = config.init(10, 3, 1, &device)?;
//! let embeddings = Tensor::from_floats([[1.0, 0.0, 0.5], [0.2, 1.0, 0.0]], &device).require_grad();
//! let batch = EmbeddingBatch {
//!     embeddings: embeddings.clone(),
//!     labels: Labels::new(&[0, 7], &device),
//!     progress: Progress::START,
//!     watched: false,
//! };
//! if let HeadOutput::Logits(output) = head.forward(&batch)? {
//!     let loss = output.loss(&CriterionConfig::default());
//!     assert!(embeddings.grad(&loss.backward()).is_some());
//! }
//! # Ok::<(), facegrad_losses::HeadError>(())
//! ```

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
pub use batch::{EmbeddingBatch, Labels};
pub use criteria::CriterionConfig;
pub use embedding::EmbeddingLossConfig;
pub use head::{Curve, Description, Head, HeadConfig, HeadError, HeadOutput, Scoring, Setup};
pub use heads::ClassHeadConfig;
pub use logits::{ClassLogits, LogitRule, Reduction, composed};
pub use normalise::l2_normalise;
pub use regularisation::RegularisationConfig;
pub use schedule::{Annealing, LinearSchedule, Progress, Schedule};
pub use telemetry::{Telemetry, TelemetryValue};
