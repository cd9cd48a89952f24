//! Why a file could not be fetched.

use std::{io, path::PathBuf};

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// What was asked for makes no sense.
    #[error("{what}")]
    Request {
        /// What is wrong, and what would be right.
        what: String,
    },
    /// Something else has the name already.
    #[error(
        "{} is there already and is another file (SHA-256 {found}, expected {expected}); move it away or choose \
         another folder", path.display()
    )]
    Occupied {
        /// What is there.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Another process is fetching the same file.
    #[error("{} is being written by another process; wait for it, or choose another folder", part.display())]
    Busy {
        /// The part that is there.
        part: PathBuf,
    },
    /// The server refuses.
    #[error("{url} answers with status {status}{}", explain(*status))]
    Status {
        /// Address that was asked.
        url: String,
        /// HTTP's status code.
        status: u16,
    },
    /// The server leads nowhere.
    #[error("{url} leads from one address to another more than {limit} times")]
    Redirects {
        /// Address that was asked.
        url: String,
        /// How many are followed.
        limit: u32,
    },
    /// No certificate that is trusted, or no TLS at all.
    #[error("{url} does not answer as https should ({reason}), so nothing was asked of it")]
    Untrusted {
        /// Address that was asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no such host, or it does not talk to us, however often it was tried.
    #[error(
        "{url} cannot be reached ({reason}; attempts: {attempts}); is there a connection, and is the address right?"
    )]
    Unreachable {
        /// Address that was asked.
        url: String,
        /// What went wrong at last.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The connection broke again and again.
    #[error(
        "{url} broke off after {done} of {bytes} bytes ({reason}; attempts without getting further: {attempts}); what is \
         there is kept in {}, the same command goes on from there", part.display()
    )]
    Dropped {
        /// Address that was asked.
        url: String,
        /// Bytes that are there.
        done: u64,
        /// Bytes that there should be.
        bytes: u64,
        /// What went wrong at last.
        reason: String,
        /// How often it was tried.
        attempts: u32,
        /// Where what is there is kept.
        part: PathBuf,
    },
    /// The server has a file of another size.
    #[error(
        "{url} has {found} bytes, and {expected} are expected: it is not the file that was meant; if its publisher \
         has replaced it, size and SHA-256 have to be corrected"
    )]
    WrongSize {
        /// Address that was asked.
        url: String,
        /// What the server says, or how much it sent: a number, or "more than" one.
        found: String,
        /// What it should be.
        expected: u64,
    },
    /// The server has other bytes.
    #[error(
        "{url} has the SHA-256 {found}, and {expected} is expected: it was damaged on the way or is not the file that \
         was meant, and was deleted; try again, and if it stays so, do not use it until its publisher explains it"
    )]
    WrongHash {
        /// Address that was asked.
        url: String,
        /// The SHA-256 of what came.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The disk is full or refuses.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// Path of the file that this is about.
        path: PathBuf,
        /// What the system or the reader of the file says.
        source: io::Error,
    },
    /// The caller wanted to stop; what is there is kept.
    #[error("stopped after {done} of {bytes} bytes, which are kept in {}", part.display())]
    Stopped {
        /// Bytes that are there.
        done: u64,
        /// Bytes that there should be.
        bytes: u64,
        /// Where they are.
        part: PathBuf,
    },
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
