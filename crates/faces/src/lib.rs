//! Face data: where images come from, and how they reach the trainer.
//!
//! A [`FaceSource`] is a set of labelled face images; [`SourceConfig`] has
//! every kind of it: read from disk, or drawn ([`synthetic`]).
//! The loader turns a source into batches of bytes, of images that a [`Sampler`] names and with an augmentation
//! that depends on (seed, image, visit) only. Nothing here knows of tensors or models.

mod augment;
mod contact_sheet;
pub mod convert;
pub mod decode;
mod formats;
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
pub mod synthetic;
mod warp;

pub use augment::{AugmentationConfig, plain};
pub use contact_sheet::{
    ImageFormat, WriteError, WrittenFolder, contact_sheet, encode, synthetic_sheet, write_folder, write_png,
};
pub use formats::{
    FolderConfig, InsightfaceBinConfig, LabelGaps, ListConfig, ListOrder, MnistConfig, MnistPart, Opened,
    ParquetConfig, Place, RecordIoConfig, SourceConfig, SourceError, SourceKind, SourcesConfig, SubsetConfig,
    Summary, SyntheticConfig, WebDatasetConfig,
    folder::{self, FaceFolder},
};
pub use insightface_bin::{BinError, InsightfaceBin};
pub use loader::{Batch, Loader, LoaderConfig, Plan, load_plain};
pub use picture::Picture;
pub use sampler::{Sampler, SamplerConfig, SamplerError, Visit};
pub use source::{FaceError, FaceSource, Stored};
pub use synthetic::SyntheticFaces;
pub use warp::{ARCFACE_LANDMARKS, LandmarkError, Similarity2d, arcface_landmarks, warp};
