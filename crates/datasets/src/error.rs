//! Why a file could not be fetched.

use std::{io, path::PathBuf};

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum FetchError {
    /// What was asked for makes no sense.
    #[error("{what}")]
    Request { what: String },
    /// Something else has the name already.
    #[error(
        "{} is there already and is another file (SHA-256 {found}, expected {expected}); move it away or choose \
         another folder", path.display()
    )]
    Occupied { path: PathBuf, found: String, expected: String },
    /// Another process is fetching the same file.
    #[error("{} is being written by another process; wait for it, or choose another folder", part.display())]
    Busy { part: PathBuf },
    /// The server refuses.
    #[error("{url} answers with status {status}{}", explain(*status))]
    Status { url: String, status: u16 },
    /// The server leads nowhere.
    #[error("{url} leads from one address to another more than {limit} times")]
    Redirects { url: String, limit: u32 },
    /// No certificate that is trusted, or no TLS at all.
    #[error("{url} does not answer as https should ({reason}), so nothing was asked of it")]
    Untrusted { url: String, reason: String },
    /// There is no such host, or it does not talk to us, however often it was tried.
    #[error(
        "{url} cannot be reached ({reason}; attempts: {attempts}); is there a connection, and is the address right?"
    )]
    Unreachable { url: String, reason: String, attempts: u32 },
    /// The connection broke again and again.
    #[error(
        "{url} broke off after {done} of {bytes} bytes ({reason}; attempts without getting further: {attempts}); what is \
         there is kept in {}, the same command goes on from there", part.display()
    )]
    Dropped { url: String, done: u64, bytes: u64, reason: String, attempts: u32, part: PathBuf },
    /// The server has a file of another size.
    #[error(
        "{url} has {found} bytes, and {expected} are expected: it is not the file that was meant; if its publisher \
         has replaced it, size and SHA-256 have to be corrected"
    )]
    WrongSize {
        url: String,
        /// What the server says, or how much it sent: a number, or "more than" one.
        found: String,
        expected: u64,
    },
    /// The server has other bytes.
    #[error(
        "{url} has the SHA-256 {found}, and {expected} is expected: it was damaged on the way or is not the file that \
         was meant, and was deleted; try again, and if it stays so, do not use it until its publisher explains it"
    )]
    WrongHash { url: String, found: String, expected: String },
    /// The disk is full or refuses.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        path: PathBuf,
        /// What the system or the reader of the file says.
        source: io::Error,
    },
    /// The caller wanted to stop; what is there is kept.
    #[error("stopped after {done} of {bytes} bytes, which are kept in {}", part.display())]
    Stopped { done: u64, bytes: u64, part: PathBuf },
}

/// What a status usually means here.
fn explain(status: u16) -> &'static str {
    match status {
        202 => {
            ": it wants patience or a browser; what a browser saves into the folder under its name is used"
        }
        401 | 403 => ": it may not be read without permission; ask whoever publishes it",
        404 | 410 => ": the file is no longer there; ask whoever publishes it",
        408 | 429 => ": it asks for patience; try again later",
        500.. => ": the server is in trouble; try again later",
        _ => "",
    }
}
