//! Why embeddings cannot be read or written.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Why embeddings cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum EmbeddingError {
    /// The extension of the file is of no format.
    #[error("{} has the extension of no format; embeddings are kept in files that end in {extensions}", path.display())]
    UnknownFormat {
        path: PathBuf,
        /// The extensions of all formats, as one would say them.
        extensions: String,
    },
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, ...
        doing: &'static str,
        path: PathBuf,
        /// What the system or the reader of the file says.
        source: io::Error,
    },
    /// The file is damaged, or is not what its name says.
    #[error("cannot read embeddings from {}: {problem}", path.display())]
    Malformed {
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// An embedding is infinite or not a number.
    #[error("the embedding of {name:?} in {} has a number that is not finite; the model is broken or diverged, or the file is damaged", path.display())]
    NotFinite { path: PathBuf, name: String },
    /// An embedding has a number that 32 bits do not hold.
    #[error("the embedding of {name:?} in {} has a number that is finite, but not in the 32 bits that are computed with; scale it, or save it in 32 bits", path.display())]
    TooLarge { path: PathBuf, name: String },
    /// Rows were asked for that the file does not have, or space of another size was offered for them.
    #[error("rows {start} to {end} of {} do not fit: it has {rows} rows of {dim} numbers, and there is space for {space} numbers", path.display())]
    Range { path: PathBuf, start: usize, end: usize, rows: usize, dim: usize, space: usize },
    /// What is to be written does not go together, or goes into no file.
    #[error("cannot write embeddings to {}: {problem}", path.display())]
    Unwritable { path: PathBuf, problem: String },
    /// The unfinished job at this place is another one.
    #[error("{} is an unfinished job with {difference}; finish that job first, write to another file, or delete the folder to start over", folder.display())]
    OtherJob { folder: PathBuf, difference: String },
    /// Another process writes the journal.
    #[error("{} is being written by another process; wait for it, or write to another file", folder.display())]
    Busy { folder: PathBuf },
    /// The journal was damaged from outside.
    #[error("{} {problem}; delete the folder to start over", folder.display())]
    DamagedJournal { folder: PathBuf, problem: String },
}

/// What a format has to say, before the file is named.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The file system refused.
    Io(io::Error),
    /// The content is not right.
    Content(String),
    /// The row is not finite.
    NotFinite(usize),
    /// The row has a number that is finite, but not in 32 bits.
    TooLarge(usize),
}

impl Problem {
    pub(crate) fn content(text: impl Into<String>) -> Self {
        Self::Content(text.into())
    }

    /// The error of reading `path`.
    pub(crate) fn reading(self, path: &Path) -> EmbeddingError {
        let path = path.into();
        match self {
            Self::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                EmbeddingError::Malformed { path, problem: "it ends too early".into() }
            }
            // What decoders say about content, they say as an error of the reader.
            Self::Io(source) if source.raw_os_error().is_none() => {
                EmbeddingError::Malformed { path, problem: one_line(&source.to_string()) }
            }
            Self::Io(source) => EmbeddingError::Io { doing: "read", path, source },
            Self::Content(problem) => EmbeddingError::Malformed { path, problem: one_line(&problem) },
            Self::NotFinite(row) => EmbeddingError::NotFinite { path, name: format!("row {row}") },
            Self::TooLarge(row) => EmbeddingError::TooLarge { path, name: format!("row {row}") },
        }
    }

    /// The error of writing `path`, whose rows are called `names`.
    pub(crate) fn writing(self, path: &Path, names: &[String]) -> EmbeddingError {
        let path = path.into();
        match self {
            Self::Io(source) => EmbeddingError::Io { doing: "write", path, source },
            Self::Content(problem) => EmbeddingError::Unwritable { path, problem },
            Self::NotFinite(row) => {
                EmbeddingError::NotFinite { path, name: names.get(row).cloned().unwrap_or_default() }
            }
            Self::TooLarge(row) => {
                EmbeddingError::TooLarge { path, name: names.get(row).cloned().unwrap_or_default() }
            }
        }
    }
}

/// What may quote a file, so that it cannot write over lines of a terminal or fill it: control characters as Rust
/// escapes them, and the start alone of what is long.
pub(crate) fn one_line(text: &str) -> String {
    const LENGTH: usize = 1000;
    let mut line = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == LENGTH {
            line.push_str(" and more");
            break;
        }
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Content(problem) => f.write_str(problem),
            Self::NotFinite(row) => write!(f, "row {row} is not finite"),
            Self::TooLarge(row) => write!(f, "row {row} is too large for 32 bits"),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_is_quoted_in_one_short_line() {
        assert_eq!(one_line("unknown variant `é\n\u{1b}[2J`"), "unknown variant `é\\n\\u{1b}[2J`");
        assert_eq!(one_line(&"x".repeat(1 << 20)), "x".repeat(1000) + " and more");
        let error = Problem::content("a\nb").reading(Path::new("x.npz")).to_string();
        assert_eq!(error, "cannot read embeddings from x.npz: a\\nb");
        let error = Problem::Io(io::Error::other("a\nb")).reading(Path::new("x.npz")).to_string();
        assert!(!error.contains('\n'), "{error}");
    }
}
