//! Why a set of images cannot be opened.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use facegrad_files::LookAlike;

use crate::{BinError, folder::FolderError, formats::summary::counted};

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum SourceError {
    /// A folder of images.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A verification set of insightface.
    #[error(transparent)]
    InsightfaceBin(#[from] BinError),
    /// There is nothing at a path.
    #[error("there is no {}; {expected} is expected", path.display())]
    Missing { path: PathBuf, expected: String },
    /// What lies at a path is of no kind that is known.
    #[error("{}: {reason}", path.display())]
    Unknown { path: PathBuf, reason: String },
    /// The system does not let a file be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A file that is not what it should be.
    #[error("{}{place}: {reason}", path.display())]
    Malformed {
        path: PathBuf,
        place: Place,
        /// What is wrong and what would be right, as a clause.
        reason: String,
    },
    /// Numbers of identities that are not used.
    #[error(
        "{}: the labels run from {first} to {last}, and {} of these {no_images} ({}); number them without gaps, or set label_gaps = \"close\" to leave the gaps out",
        path.display(), counted(*missing, "number", "numbers"), examples.join(", "),
        no_images = if *missing == 1 { "has no image" } else { "have no images" }
    )]
    Gaps {
        path: PathBuf,
        /// The least label that is expected: 0, or 1 where sets count from there.
        first: u64,
        last: u64,
        missing: usize,
        /// The first of them, and `…` if there are more.
        examples: Vec<String>,
    },
    /// Fewer than two identities are left.
    #[error(
        "{set} has {} with at least {} (min_images); at least 2 are needed, and the largest has {}{}",
        counted(*identities, "identity", "identities"), counted(*min_images, "image", "images"),
        counted(*most, "image", "images"), notes.iter().map(|note| format!("; {note}")).collect::<String>()
    )]
    TooFewIdentities {
        set: String,
        identities: usize,
        /// The key `min_images`.
        min_images: usize,
        most: usize,
        /// Those of the set, which may say why.
        notes: Vec<String>,
    },
    /// A list of what to keep or to leave out that names nothing of the set.
    #[error(
        "{} names none of the images of {set}; a line is expected to be what the set calls an image, such as {example}{}",
        list.display(), alike.as_ref().map(|alike| format!("; {alike}")).unwrap_or_default()
    )]
    NamesNothing { list: PathBuf, set: String, example: String, alike: Option<LookAlike> },
    /// A set without images.
    #[error("{set} has no images")]
    Empty { set: String },
}

impl SourceError {
    /// That the file `path` is wrong, and what would be right, as a clause.
    pub(crate) fn malformed(path: &Path, place: Place, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.into(), place, reason: reason.into() }
    }

    /// That `path` cannot be read, or that nothing is there.
    pub(crate) fn unreadable(path: &Path, expected: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.into(), expected: expected.into() },
            _ => Self::Unreadable { path: path.into(), source },
        }
    }
}

/// Where in a file something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Not in one place.
    Whole,
    /// A line, from 1.
    Line(u64),
    /// A byte, from 0.
    Byte(u64),
    /// A row of a table, from 0.
    Row(u64),
    /// A file inside the file, by its name as text.
    Member(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Line(number) => write!(f, ", line {number}"),
            Self::Byte(number) => write!(f, ", byte {number}"),
            Self::Row(number) => write!(f, ", row {number}"),
            Self::Member(name) => write!(f, ", \"{name}\""),
        }
    }
}
