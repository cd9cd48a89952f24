//! Sets of labelled face images: where they lie, in which format, and which part of them is taken.
//!
//! A [`FaceSource`] is a set; [`SourceConfig`] has every kind of it: read from disk, or drawn. [`convert`] writes sets.
//! Nothing here knows of batches, tensors or models.
//!
//! ```
//! use facegrad_faces::{FaceSource, SourceConfig};
//! use facegrad_synthetic::SyntheticConfig;
//!
//! let config: SourceConfig = SyntheticConfig { identities: 5, images: 2, ..Default::default() }.into();
//! let opened = config.open()?;
//! assert_eq!((opened.source.len(), opened.source.identities().len()), (10, 5));
//! assert_eq!(opened.source.key(3), "000001/0001");
//! # Ok::<(), facegrad_faces::SourceError>(())
//! ```

pub mod convert;
mod find;
mod formats;
mod insightface_bin;
mod pickle;
mod source;

pub use find::{find_image, without_extension};
pub use formats::{
    Endings, FolderConfig, InsightfaceBinSetConfig, LabelGaps, LabelNeed, ListConfig, ListOrder, MnistConfig,
    MnistPart, OpenSet, ParquetConfig, Place, RecordIoConfig, SourceConfig, SourceError, SourceKind,
    SourcesConfig, SubsetConfig, Summary, WebDatasetConfig, folder,
};
pub use insightface_bin::{BinError, InsightfaceBin};
pub use source::{FaceError, FaceSource, StoredImage};
