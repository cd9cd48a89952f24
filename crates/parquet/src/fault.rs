//! Why a file cannot be read.

use std::io;

use parquet::errors::ParquetError;

/// Why a file, or a page of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFault {
    /// What the system says.
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    /// What is wrong with the file, as a clause.
    #[error("{0}")]
    Content(String),
}

impl ParquetFault {
    pub(crate) fn content(reason: impl Into<String>) -> Self {
        Self::Content(reason.into())
    }
}

impl From<io::Error> for ParquetFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::content("it ends too early"),
            // What decoders say about content, they say as an error of the reader.
            _ if error.raw_os_error().is_none() => Self::Content(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

impl From<ParquetError> for ParquetFault {
    fn from(error: ParquetError) -> Self {
        let reason = match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                Ok(error) => return (*error).into(),
                Err(error) => error.to_string(),
            },
            ParquetError::General(reason) | ParquetError::EOF(reason) | ParquetError::NYI(reason) => reason,
            other => other.to_string(),
        };
        // The library's messages may hold what the file does.
        Self::Content(reason.replace(char::is_control, " "))
    }
}

impl From<ParquetFault> for ParquetError {
    fn from(fault: ParquetFault) -> Self {
        match fault {
            ParquetFault::Io(error) => error.into(),
            ParquetFault::Content(reason) => Self::General(reason),
        }
    }
}

/// The result of `work`, which calls the library; it asserts some of what a damaged file may violate.
///
/// # Errors
/// Those of `work`, and that the file is damaged if it panics.
pub fn caught<T, E: From<ParquetFault>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let damaged = || ParquetFault::content("it is damaged in a way that its decoder does not expect");
    facegrad_files::caught(work).unwrap_or_else(|| Err(damaged().into()))
}
