//! Batches for training: a [`Sampler`] says which images make the batch of a step, and the [`Loader`] decodes and changes
//! them ahead, on threads of its own.
//!
//! A batch depends on seed, step and data set only: a run continues at any step without saved state, and the number of
//! threads changes nothing. Nothing here knows of tensors, losses or models.
//!
//! ```
//! use std::sync::Arc;
//!
//! use facegrad_loader::{Loader, LoaderConfig, Plan, SamplerConfig};
//! use facegrad_pictures::AugmentationConfig;
//! use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};
//!
//! let config = SyntheticConfig { identities: 4, images: 3, ..Default::default() };
//! let source = Arc::new(SyntheticFaces::new(&config));
//! let plan = Plan { seed: 1, batch: 6, size: [32, 32], start_step: 0, end_step: 2 };
//! let sampler = SamplerConfig::default();
//! let loader = Loader::start(source, plan, &sampler, AugmentationConfig::default(), LoaderConfig::default())?;
//! for batch in loader {
//!     let batch = batch?;
//!     assert_eq!(batch.pixels.len(), 6 * 32 * 32 * 3);
//!     assert_eq!(batch.labels.len(), 6);
//! }
//! # Ok::<(), facegrad_loader::LoaderError>(())
//! ```

mod loader;
pub mod sampler;

pub use loader::{ImageBatch, Loader, LoaderConfig, LoaderError, Plan, allowed_bad};
pub use sampler::{Sampler, SamplerConfig, SamplerError, Visit};
