//! Writing a file of embeddings.

use std::{
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use facegrad_files::{NamedTempFile, commit, folder_of, temporary_beside};
use tempfile::{SpooledTempFile, spooled_tempfile_in};

use crate::{
    EmbeddingError, Origin, error::Problem, file::check_labels, formats, limits::check_shape, stored::Set,
};

/// Rows up to this many bytes wait in memory, more in a temporary file.
const IN_MEMORY: usize = 64 << 20;

/// Writes a file of embeddings that arrive in batches.
///
/// The file is there completely or not at all: until [`finish`](Self::finish) has succeeded, whatever was at its
/// place remains. Most formats begin with the number of rows, so rows wait in a temporary file of the same folder,
/// which needs as much room on the disk.
#[derive(Debug)]
pub struct EmbeddingWriter {
    target: Target,
    dim: usize,
    origin: Option<Origin>,
    names: Vec<String>,
    identities: Vec<String>,
    rows: SpooledTempFile,
}

impl EmbeddingWriter {
    /// Starts a file of embeddings of `dim` numbers; its extension says of which format it is.
    ///
    /// `origin` is `None` for embeddings of which nothing is known.
    ///
    /// # Errors
    /// If the format is unknown, `dim` is none that can be written, or there can be no file at `path`.
    pub fn create(
        path: impl AsRef<Path>,
        dim: usize,
        origin: Option<&Origin>,
    ) -> Result<Self, EmbeddingError> {
        let target = Target::create(path.as_ref())?;
        check_shape(0, dim).map_err(|problem| problem.writing(path.as_ref(), &[]))?;
        let rows = spooled_tempfile_in(IN_MEMORY, folder_of(path.as_ref()));
        let (names, identities) = (Vec::new(), Vec::new());
        Ok(Self { target, dim, origin: origin.cloned(), names, identities, rows })
    }

    /// Adds embeddings.
    ///
    /// # Shapes
    /// - `names`: `[batch]`, what each row is the embedding of
    /// - `identities`: `[batch]`, who is on each image; in every batch or in none
    /// - `rows`: `[batch, dim]`, row by row
    ///
    /// # Errors
    /// If these do not go together, a number is not finite, or the disk is full.
    pub fn append(
        &mut self,
        names: &[String],
        identities: Option<&[String]>,
        rows: &[f32],
    ) -> Result<(), EmbeddingError> {
        let dim = self.dim;
        let problem = |text: String| Problem::Content(text).writing(&self.target.path, &[]);
        if names.len().checked_mul(dim) != Some(rows.len()) {
            let (names, numbers) = (names.len(), rows.len());
            return Err(problem(format!(
                "{numbers} numbers are not the embeddings of {names} images with {dim} each"
            )));
        }
        if names.is_empty() {
            return Ok(());
        }
        let before = (self.names.len(), self.identities.len());
        let given = identities.map_or(0, <[String]>::len);
        if given != identities.map_or(0, |_| names.len())
            || (before.0 > 0 && (before.1 > 0) != identities.is_some())
        {
            let batch = names.len();
            return Err(problem(format!(
                "{given} identities came with {batch} embeddings; there is one for each embedding of the file, or none"
            )));
        }
        if let Some(at) = rows.iter().position(|number| !number.is_finite()) {
            return Err(Problem::NotFinite(at / dim).writing(&self.target.path, names));
        }
        let written = rows_to_bytes(rows, |bytes| self.rows.write_all(bytes));
        written.map_err(|error| Problem::from(error).writing(&self.target.path, &[]))?;
        self.names.extend_from_slice(names);
        self.identities.extend(identities.into_iter().flatten().cloned());
        Ok(())
    }

    /// Writes the file, has the disk confirm it, and puts it in its place.
    ///
    /// # Errors
    /// If two rows have the same name, a name cannot be written, or the disk is full.
    pub fn finish(mut self) -> Result<(), EmbeddingError> {
        let rewound = self.rows.rewind();
        rewound.map_err(|error| Problem::from(error).writing(&self.target.path, &[]))?;
        // No rows have no identities, either way.
        let identities = (!self.identities.is_empty()).then_some(self.identities.as_slice());
        self.target.finish(self.dim, &self.names, identities, self.origin.as_ref(), &mut self.rows)
    }
}

/// Hands out the numbers as f32, little-endian.
pub(crate) fn rows_to_bytes(
    rows: &[f32],
    mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(rows.len().min(1 << 16) * 4);
    for rows in rows.chunks(1 << 16) {
        bytes.clear();
        bytes.extend(rows.iter().flat_map(|number| number.to_le_bytes()));
        write(&bytes)?;
    }
    Ok(())
}

/// A file that is to be written.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    temporary: NamedTempFile,
}

impl Target {
    /// Makes sure that there can be a file at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, EmbeddingError> {
        formats::to_write(path)?;
        if path.is_dir() {
            return Err(Problem::content("there is a folder of that name").writing(path, &[]));
        }
        let temporary = temporary_beside(path).map_err(|error| Problem::from(error).writing(path, &[]))?;
        Ok(Self { path: path.into(), temporary })
    }

    /// Writes all rows of `rows` (f32, little-endian) and gives the file its name.
    pub(crate) fn finish(
        self,
        dim: usize,
        names: &[String],
        identities: Option<&[String]>,
        origin: Option<&Origin>,
        rows: &mut dyn Read,
    ) -> Result<(), EmbeddingError> {
        let format = formats::to_write(&self.path)?;
        self.write(names, &mut Set { dim, names, identities, origin, rows }, |set, file| {
            format.write(set, file)
        })
    }

    /// Like [`finish`](Self::finish), with another way to write the set.
    pub(crate) fn write(
        mut self,
        names: &[String],
        set: &mut Set<'_>,
        write: impl FnOnce(&mut Set<'_>, &mut std::fs::File) -> Result<(), Problem>,
    ) -> Result<(), EmbeddingError> {
        let path = self.path.clone();
        let all = || -> Result<(), Problem> {
            check_shape(names.len(), set.dim)?;
            check_labels(names, set.identities)?;
            write(set, self.temporary.as_file_mut())?;
            Ok(commit(self.temporary, &path)?)
        };
        all().map_err(|problem| problem.writing(&path, names))
    }
}
