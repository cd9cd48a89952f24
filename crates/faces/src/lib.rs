//! Face data: where images come from, and how they reach the trainer.
//!
//! A [`FaceSource`] is a set of labelled face images; [`folder`] reads one from disk, [`synthetic`] draws one.
//! The loader turns a source into batches of bytes, of images that a [`Sampler`] names and with an augmentation
//! that depends on (seed, image, visit) only. Nothing here knows of tensors or models.

mod augment;
mod contact_sheet;
pub mod decode;
pub mod folder;
mod insightface_bin;
mod jpeg;
mod lanes;
mod light;
pub mod loader;
mod pickle;
mod picture;
mod resize;
pub mod sampler;
mod source;
mod sources;
pub mod synthetic;
mod warp;

pub use augment::{AugmentationConfig, plain};
pub use contact_sheet::{
    ImageFormat, WriteError, WrittenFolder, contact_sheet, encode, synthetic_sheet, write_folder, write_png,
};
pub use folder::{FaceFolder, FolderConfig};
pub use insightface_bin::{BinError, InsightfaceBin};
pub use loader::{Batch, Loader, LoaderConfig, Plan, load_plain};
pub use picture::Picture;
pub use sampler::{Sampler, SamplerConfig, SamplerError, Visit};
pub use source::{FaceError, FaceSource};
pub use sources::{Opened, SourceConfig, SourceError};
pub use synthetic::{SyntheticConfig, SyntheticFaces};
pub use warp::{ARCFACE_LANDMARKS, LandmarkError, Similarity2d, arcface_landmarks, warp};
