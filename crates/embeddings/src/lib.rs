//! Embeddings with names.
//!
//! [`EmbeddingWriter`] and [`EmbeddingFile`] keep them in files that other programs read, too: `.npz`,
//! `.safetensors`, `.csv` and `.parquet`. A [`EmbeddingJournal`] collects the rows of a long job so that it can be killed
//! and continued. A [`Gallery`] finds a probe among known people. An [`Origin`] goes with them: what has to be the
//! same for embeddings to be comparable.
//!
//! [`Whitening`] is fitted on embeddings of training data and applied to others; [`Pca`] and [`Tsne`] lay them out
//! in two dimensions. Nothing here knows of images or networks: an embedding is a row of numbers with a name.
//!
//! ```
//! use facegrad_embeddings::{EmbeddingFile, EmbeddingWriter};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("two.npz");
//! let mut writer = EmbeddingWriter::create(&path, 3, None)?;
//! writer.append(&["ann.jpg".into(), "bob.jpg".into()], None, &[1.0, 0.0, 0.5, 0.0, 2.0, 0.0])?;
//! writer.finish()?;
//!
//! let file = EmbeddingFile::open(&path)?;
//! let mut row = [0.0; 3];
//! file.read_row(file.position("bob.jpg").unwrap(), &mut row)?;
//! assert_eq!(row, [0.0, 2.0, 0.0]);
//! # Ok::<(), facegrad_embeddings::EmbeddingError>(())
//! ```

mod error;
mod file;
mod formats;
mod gallery;
mod gallery_record;
mod journal;
mod limits;
mod moments;
mod origin;
mod pca;
mod rows;
mod stored;
#[cfg(test)]
mod testing;
mod tsne;
mod whitening;
mod writer;

pub use error::EmbeddingError;
pub use file::EmbeddingFile;
pub use formats::is_embedding_file;
pub use gallery::{Gallery, GalleryError, Match};
pub use gallery_record::{GalleryChanges, GalleryImages, GalleryRecord};
pub use journal::{EmbeddingJournal, EmbeddingJournalHeader};
pub use moments::EmbeddingMoments;
pub use origin::{Origin, OriginDifference};
pub use pca::{Pca, PcaError};
pub use rows::{MAX_DIM, RowsError};
pub use tsne::{MAX_POINTS, Tsne, TsneError, TsneMap};
pub use whitening::{
    FitSet, KeptComponents, WhitenedComponents, Whitening, WhiteningConfig, WhiteningDescription,
    WhiteningError, WhiteningFit,
};
pub use writer::EmbeddingWriter;
