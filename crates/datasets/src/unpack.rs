//! Archives that are not trusted: what comes out stays in its folder and within its limits.
//!
//! Only regular files and folders are created, each once, in a new folder that gets its name when all is there. A
//! name that would lead out of the folder, a link, a device, or more than the limits allow ends the work with nothing
//! left behind: an archive that has such a thing is not the one that was meant. Permissions and times of the archive
//! are not taken over.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use facegrad_files::{Stop, folder_of, lock, sync_folder};
use flate2::read::MultiGzDecoder;

use crate::{card::Packing, limits::Limits};

mod names;
mod output;
mod tar_archive;
mod zip_archive;

use output::Output;

/// What came out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnpackedContent {
    /// Number of files.
    pub files: u64,
    /// Number of folders.
    pub folders: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum UnpackError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", archive.display())]
    Unreadable {
        archive: PathBuf,
        /// What the system or the reader of the file says.
        source: io::Error,
    },
    /// It has something that does not belong into a data set.
    #[error("{} is not unpacked: its entry {entry:?} {what}", archive.display())]
    Entry {
        archive: PathBuf,
        /// The name of the entry, cut if it is long.
        entry: String,
        what: String,
    },
    /// More came out of it than it may hold.
    #[error("{} is not unpacked: it holds more than {limit}", archive.display())]
    TooMuch { archive: PathBuf, limit: String },
    /// Something has the name already.
    #[error("{} is there already; move it away or choose another folder", path.display())]
    Occupied { path: PathBuf },
    /// Another process is unpacking it.
    #[error("{} is being unpacked by another process; wait for it", archive.display())]
    Busy { archive: PathBuf },
    /// The disk is full or refuses.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        path: PathBuf,
        /// What the system or the reader of the file says.
        source: io::Error,
    },
    /// The caller wanted to stop; nothing is left of what was unpacked.
    #[error("stopped while unpacking {}", archive.display())]
    Stopped { archive: PathBuf },
}

/// Unpacks the archive `archive` as the new folder `target`, or a gzip file as the new file `target`; the folder it lies
/// in is there.
///
/// `before_rename` is called when all is unpacked and on the disk, right before it gets its name; `progress` is told
/// how much has come out so far.
///
/// # Errors
/// [`UnpackError`]; then there is no `target`. What is not packed is an error.
pub fn unpack(
    archive: &Path,
    packing: Packing,
    target: &Path,
    limits: &Limits,
    stop: &Stop,
    before_rename: &mut dyn FnMut() -> io::Result<()>,
    progress: &mut dyn FnMut(&UnpackedContent),
) -> Result<UnpackedContent, UnpackError> {
    let unreadable = |source| UnpackError::Unreadable { archive: archive.into(), source };
    let unwritable = |source| UnpackError::Unwritable { path: target.into(), source };
    if target.symlink_metadata().is_ok() {
        return Err(UnpackError::Occupied { path: target.into() });
    }
    let file = facegrad_files::open(archive).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    lock(&file, archive).map_err(|_| UnpackError::Busy { archive: archive.into() })?;
    // On the same disk, so that it can be renamed.
    let mut prefix = OsString::from(".unpacking-");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push("-");
    remove_leftovers(folder_of(target), &prefix);
    let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(folder_of(target));
    let temporary = temporary.map_err(unwritable)?;
    let inner = temporary.path().join("content");
    if packing != Packing::Gz {
        fs::create_dir(&inner).map_err(unwritable)?;
    }
    let mut output = Output::new(archive, &inner, *limits, size, stop, progress);
    let file = BufReader::new(file);
    match packing {
        Packing::Tar => tar_archive::read(file, &mut output)?,
        Packing::TarGz => tar_archive::read(MultiGzDecoder::new(file), &mut output)?,
        Packing::Zip => zip_archive::read(file, &mut output)?,
        Packing::Gz => output.only_file(MultiGzDecoder::new(file))?,
        Packing::None => {
            return Err(unreadable(io::Error::new(ErrorKind::InvalidInput, "it is not packed")));
        }
    }
    let unpacked = output.finish()?;
    before_rename().map_err(unwritable)?;
    // A folder cannot take the place of one that holds something, so that nothing is lost if one has appeared.
    fs::rename(&inner, target).map_err(unwritable)?;
    sync_folder(folder_of(target)).map_err(unwritable)?;
    Ok(unpacked)
}

/// Takes away what a process that was killed has left. What cannot be removed only takes space.
fn remove_leftovers(folder: &Path, prefix: &OsStr) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
