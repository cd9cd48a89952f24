//! What long work needs of a file system, whatever the work is.
//!
//! - A file is there completely or not at all: [`replace`], or [`temporary_beside`] and [`commit`]; where none can be
//!   written is known before the work: [`check_writable`].
//! - Files are opened by [`open`], which never waits for ever; no more of one is read than it could need:
//!   [`read_bounded`]. Threads read parts of one at once: [`fill_at`].
//! - A library panics at a damaged file, and that is an error of the file: [`caught`].
//! - A set may have more files than may be open: [`PooledFile`].
//! - Names of files are any bytes, and text where they are written: [`name_of`], [`path_of`].
//! - Work is killed at any instant and continued: [`Journal`]. One process at a time does it: [`lock`].
//! - It ends early when a person asks for it: [`Stop`].
//! - Files are known by their SHA-256: [`sha256_of`]; when one was made is a [`Moment`].
//!
//! Nothing here knows of images, faces or networks.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("card.txt");
//! facegrad_files::replace(&path, b"112 x 112")?;
//! assert_eq!(facegrad_files::read_bounded(&path, 100)?, b"112 x 112");
//! let error = facegrad_files::read_bounded(&path, 3).unwrap_err();
//! assert_eq!(error.to_string(), "it has 9 bytes, more than the 3 it could need");
//! # Ok(())
//! # }
//! ```

mod atomic;
mod bounded;
mod caught;
mod hash;
mod journal;
mod lock;
mod moment;
mod names;
mod open;
mod pool;
mod positioned;
mod stop;

pub use atomic::{
    check_writable, commit, folder_of, free_space, is_temporary, remove_folder, replace, sync_folder,
    temporary_beside, write_synced,
};
pub use bounded::{NoText, TooLong, line_of, read_bounded, read_text_bounded, text_of};
pub use caught::caught;
pub use hash::{hexadecimal, sha256, sha256_of};
pub use journal::{Journal, JournalError, WorkDifference, WorkHeader};
pub use lock::{Lock, LockError, LockHeld, lock};
pub use moment::{Moment, NoMoment, last_written};
pub use names::{
    LookAlike, as_name, has_backslash, has_escapes, listed_name, look_of, name_of, name_of_bytes, path_of,
};
pub use open::{NoRegularFile, open, spool};
pub use pool::{PooledFile, open_file_limits, raise_open_files};
pub use positioned::{FileSection, fill_at};
pub use stop::Stop;
pub use tempfile::NamedTempFile;
