//! The formats of embedding files.
//!
//! A new one is a file with an `impl Format` and a line in [`FORMATS`].

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

/// Every format.
const FORMATS: &[&dyn Format] = &[&npz::Npz, &safetensors::Safetensors, &csv::Csv, &parquet::Parquet];

/// A way to keep embeddings in a file.
pub(crate) trait Format: Sync {
    /// How its files end, without the dot.
    fn extension(&self) -> &'static str;

    /// Writes all of `set`, names and identities checked, into an empty file.
    fn write(&self, set: &mut Set<'_>, file: &mut File) -> Result<(), Problem>;

    /// Reads all but the rows where they can be read by position, and all where they cannot.
    ///
    /// Nothing in the file may be trusted: sizes are checked before memory is taken, names and their number, too.
    fn open(&self, file: File) -> Result<StoredEmbeddings, Problem>;
}

/// The format of files that end like `path`.
pub(crate) fn of(path: &Path) -> Result<&'static dyn Format, EmbeddingError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let format = FORMATS.iter().find(|format| format.extension() == extension);
    format
        .copied()
        .ok_or_else(|| EmbeddingError::UnknownFormat { path: path.into(), extensions: extensions() })
}

/// All extensions, as one would say them.
fn extensions() -> String {
    let all: Vec<String> = FORMATS.iter().map(|format| format!(".{}", format.extension())).collect();
    all.join(", ")
}
