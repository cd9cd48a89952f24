//! Embeddings with names.
//!
//! [`EmbeddingWriter`] and [`EmbeddingFile`] keep them in files that other programs read, too: `.npz`,
//! `.safetensors`, `.csv` and `.parquet`. A [`Journal`] collects the rows of a long job so that it can be killed
//! and continued. A [`Gallery`] finds a probe among known people. An [`Origin`] goes with them: what has to be the
//! same for embeddings to be comparable.
//!
//! [`Whitening`] is fitted on embeddings of training data and applied to others; [`Pca`] and [`Tsne`] lay them out
//! in two dimensions.

mod error;
mod file;
mod formats;
mod gallery;
mod journal;
mod limits;
mod moments;
mod origin;
mod pca;
mod rows;
mod section;
mod stored;
#[cfg(test)]
mod testing;
mod tsne;
mod whitening;
mod writer;

pub use error::EmbeddingError;
pub use file::EmbeddingFile;
pub use gallery::{Gallery, GalleryError, Match};
pub use journal::{Journal, JournalHeader};
pub use moments::Moments;
pub use origin::Origin;
pub use pca::{Pca, PcaError};
pub use rows::{MAX_DIM, RowsError};
pub use tsne::{Divergence, MAX_POINTS, Tsne, TsneError, TsneMap};
pub use whitening::{
    FitSet, Keep, Whitened, Whitening, WhiteningConfig, WhiteningDescription, WhiteningError, WhiteningFit,
};
pub use writer::EmbeddingWriter;
