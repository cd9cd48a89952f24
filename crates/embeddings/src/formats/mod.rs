//! The formats of embedding files.
//!
//! A new one is a file with an `impl Format` and an `impl WrittenFormat`, and a line in [`WRITTEN`].

use std::{fs::File, path::Path};

use crate::{
    EmbeddingError,
    error::Problem,
    stored::{Set, StoredEmbeddings},
};

mod csv;
mod npz;
mod parquet;
pub(crate) mod safetensors;

/// Every format that is written.
const WRITTEN: [&dyn WrittenFormat; 4] = [&npz::Npz, &safetensors::Safetensors, &csv::Csv, &parquet::Parquet];

/// A way to keep embeddings in a file.
pub(crate) trait Format: Sync {
    /// How its files end, without the dot.
    fn extension(&self) -> &'static str;

    /// Reads all but the rows where they can be read by position, and all where they cannot.
    ///
    /// Nothing in the file may be trusted: sizes are checked before memory is taken, names and their number, too.
    fn open(&self, path: &Path) -> Result<StoredEmbeddings, Problem>;
}

/// One that files are written in.
pub(crate) trait WrittenFormat: Format {
    /// Writes all of `set`, names and identities checked, into an empty file.
    fn write(&self, set: &mut Set<'_>, file: &mut File) -> Result<(), Problem>;
}

/// The format of files that end like `path`.
pub(crate) fn of(path: &Path) -> Result<&'static dyn Format, EmbeddingError> {
    let formats = WRITTEN.iter().map(|format| *format as &dyn Format).chain([&npz::Npy as &dyn Format]);
    find(path, formats.collect())
}

/// The format in which a file that ends like `path` is written.
pub(crate) fn to_write(path: &Path) -> Result<&'static dyn WrittenFormat, EmbeddingError> {
    find(path, WRITTEN.to_vec())
}

fn find<T: Format + ?Sized>(path: &Path, formats: Vec<&'static T>) -> Result<&'static T, EmbeddingError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    formats.iter().find(|format| format.extension() == extension).copied().ok_or_else(|| {
        let all: Vec<String> = formats.iter().map(|format| format!(".{}", format.extension())).collect();
        EmbeddingError::UnknownFormat { path: path.into(), extensions: all.join(", ") }
    })
}

/// Whether `path` ends as files of embeddings do, and as no other files.
pub fn is_embedding_file(path: &Path) -> bool {
    of(path).is_ok_and(|format| format.extension() != "safetensors")
}
