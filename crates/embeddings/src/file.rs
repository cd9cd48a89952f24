//! Reading a file of embeddings.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    EmbeddingError, Origin,
    error::Problem,
    formats,
    limits::{Names, alphabetical, check_shape},
    stored::{Rows, StoredEmbeddings},
};

/// An open file of embeddings: rows with names, and where they come from.
///
/// Names are in memory. The rows of `.safetensors`, `.npy` and uncompressed `.npz` stay in the file and are read by
/// position, so a set may be larger than memory; those of `.csv`, `.parquet` and compressed `.npz` are loaded, up
/// to 4 GiB of them, and so is an array that has its columns one after the other.
///
/// Nothing in the file is trusted: what is damaged, cut off or made to harm ends in an [`EmbeddingError`]. The
/// rows of formats read by position have no checksum; that they are finite is checked whenever they are read.
#[derive(Debug)]
pub struct EmbeddingFile {
    path: PathBuf,
    dim: usize,
    names: Vec<String>,
    identities: Option<Vec<String>>,
    origin: Option<Origin>,
    rows: Rows,
    /// Positions in `names`, in alphabetical order.
    order: Vec<u32>,
}

impl EmbeddingFile {
    /// Opens a file; its extension says of which format it is.
    ///
    /// # Errors
    /// If the format is unknown, the file cannot be read or is damaged, two rows have the same name, or there is
    /// more than is read: names of more than 4096 bytes, embeddings of more than 65,536 numbers.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, EmbeddingError> {
        let path = path.as_ref();
        let format = formats::of(path)?;
        Self::of(path, format.open(path).map_err(|problem| problem.reading(path))?)
    }

    /// Checks what is the same for all formats.
    pub(crate) fn of(path: &Path, opened: StoredEmbeddings) -> Result<Self, EmbeddingError> {
        let StoredEmbeddings { dim, names, identities, origin, rows } = opened;
        let check = || {
            check_shape(names.len(), dim)?;
            alphabetical(&names)
        };
        let order = check().map_err(|problem: Problem| problem.reading(path))?;
        Ok(Self { path: path.into(), dim, names, identities, origin, rows, order })
    }

    /// How many embeddings there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many numbers an embedding has.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// What each row is the embedding of, such as the path of an image within its folder; no two are the same.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Who is on each image, if the file says so.
    pub fn identities(&self) -> Option<&[String]> {
        self.identities.as_deref()
    }

    /// Where the embeddings come from; unknown for files of other programs.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The row that is called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        let found = self.order.binary_search_by(|row| self.names[*row as usize].as_str().cmp(name));
        found.ok().map(|at| self.order[at] as usize)
    }

    /// Reads the rows of `range` into `out`, `[range.len(), dim]` row by row.
    ///
    /// # Errors
    /// If there are no such rows, `out` is of another length, a row is not finite, or the file cannot be read.
    pub fn read_rows(&self, range: Range<usize>, out: &mut [f32]) -> Result<(), EmbeddingError> {
        let Range { start, end } = range;
        let (rows, dim, space) = (self.len(), self.dim, out.len());
        if start > end || end > rows || (end - start).checked_mul(dim) != Some(space) {
            return Err(EmbeddingError::Range { path: self.path.clone(), start, end, rows, dim, space });
        }
        self.rows.read(start, dim, out).map_err(|problem| match problem {
            Problem::TooLarge(row) => {
                EmbeddingError::TooLarge { path: self.path.clone(), name: self.names[row].clone() }
            }
            other => other.reading(&self.path),
        })?;
        match out.iter().position(|number| !number.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let name = self.names[start + at / dim].clone();
                Err(EmbeddingError::NotFinite { path: self.path.clone(), name })
            }
        }
    }

    /// Reads one row into `out`, `[dim]`.
    ///
    /// # Errors
    /// Like [`read_rows`](Self::read_rows).
    pub fn read_row(&self, row: usize, out: &mut [f32]) -> Result<(), EmbeddingError> {
        self.read_rows(row..row.saturating_add(1), out)
    }

    /// Reads all rows, `[len, dim]` row by row.
    ///
    /// # Errors
    /// Like [`read_rows`](Self::read_rows).
    pub fn all(&self) -> Result<Vec<f32>, EmbeddingError> {
        // A set that is read by position is as large as its file, whose size was checked.
        let mut all = vec![0.0; self.len() * self.dim];
        self.read_rows(0..self.len(), &mut all)?;
        Ok(all)
    }
}

/// Checks names and identities that are to be written.
pub(crate) fn check_labels(names: &[String], identities: Option<&[String]>) -> Result<(), Problem> {
    for labels in [Some(names), identities].into_iter().flatten() {
        let mut checked = Names::default();
        labels.iter().try_for_each(|label| checked.check(label))?;
    }
    if let Some(identities) = identities
        && identities.len() != names.len()
    {
        let (names, identities) = (names.len(), identities.len());
        return Err(Problem::Content(format!(
            "{names} names and {identities} identities do not go together"
        )));
    }
    alphabetical(names).map(|_| ())
}
