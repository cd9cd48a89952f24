//! Archives that are not trusted: what comes out stays in its folder and within its limits.
//!
//! Only regular files and folders are created, each once, in a new folder that gets its name when all is there. A
//! name that would lead out of the folder, a link, a device, or more than the limits allow ends the work with nothing
//! left behind: an archive that has such a thing is not the one that was meant. Permissions and times of the archive
//! are not taken over.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, BufReader, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use facegrad_files::{Stop, commit, folder_of, lock, sync_folder, temporary_beside};
use flate2::read::MultiGzDecoder;

use crate::{card::Packing, limits::Limits};

mod names;
mod output;
mod tar_archive;
mod zip_archive;

pub use tar_archive::unpack_tar;

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

/// Unpacks the archive `archive` as the new folder `folder`, whose parent is there.
///
/// `before_rename` is called when all is unpacked and on the disk, right before the folder gets its name;
/// `progress` is told how much has come out so far.
///
/// # Errors
/// [`UnpackError`]; then there is no `folder`. `packing` has to be tar, tar.gz or zip.
pub fn unpack(
    archive: &Path,
    packing: Packing,
    folder: &Path,
    limits: &Limits,
    stop: &Stop,
    before_rename: &mut dyn FnMut() -> io::Result<()>,
    progress: &mut dyn FnMut(&UnpackedContent),
) -> Result<UnpackedContent, UnpackError> {
    let unreadable = |source| UnpackError::Unreadable { archive: archive.into(), source };
    let unwritable = |source| UnpackError::Unwritable { path: folder.into(), source };
    if folder.symlink_metadata().is_ok() {
        return Err(UnpackError::Occupied { path: folder.into() });
    }
    let file = File::open(archive).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    lock(&file, archive).map_err(|_| UnpackError::Busy { archive: archive.into() })?;
    // On the same disk, so that it can be renamed.
    let mut prefix = OsString::from(".unpacking-");
    prefix.push(folder.file_name().unwrap_or_default());
    prefix.push("-");
    remove_leftovers(folder_of(folder), &prefix);
    let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(folder_of(folder));
    let temporary = temporary.map_err(unwritable)?;
    let inner = temporary.path().join("content");
    fs::create_dir(&inner).map_err(unwritable)?;
    let mut output = Output::new(archive, &inner, *limits, size, stop, progress);
    let file = BufReader::new(file);
    match packing {
        Packing::Tar => tar_archive::read(file, &mut output)?,
        Packing::TarGz => tar_archive::read(MultiGzDecoder::new(file), &mut output)?,
        Packing::Zip => zip_archive::read(file, &mut output)?,
        Packing::None | Packing::Gz => {
            let what = format!("{packing} is no archive; tar, tar.gz and zip are");
            return Err(unreadable(io::Error::new(ErrorKind::InvalidInput, what)));
        }
    }
    let unpacked = output.finish()?;
    before_rename().map_err(unwritable)?;
    // A folder cannot take the place of one that holds something, so that nothing is lost if one has appeared.
    fs::rename(&inner, folder).map_err(unwritable)?;
    sync_folder(folder_of(folder)).map_err(unwritable)?;
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

/// Decompresses the gzip file `archive` as `path`, whose folder is there.
///
/// # Errors
/// [`UnpackError`]; then there is no `path`.
pub fn gunzip(
    archive: &Path,
    path: &Path,
    limits: &Limits,
    stop: &Stop,
    before_rename: &mut dyn FnMut() -> io::Result<()>,
    progress: &mut dyn FnMut(&UnpackedContent),
) -> Result<UnpackedContent, UnpackError> {
    let unreadable = |source| UnpackError::Unreadable { archive: archive.into(), source };
    let unwritable = |source| UnpackError::Unwritable { path: path.into(), source };
    if path.symlink_metadata().is_ok() {
        return Err(UnpackError::Occupied { path: path.into() });
    }
    let file = File::open(archive).map_err(unreadable)?;
    let mut reader = MultiGzDecoder::new(BufReader::new(file));
    let mut target = temporary_beside(path).map_err(unwritable)?;
    let mut unpacked = UnpackedContent { files: 1, ..Default::default() };
    let mut buffer = vec![0; output::CHUNK];
    loop {
        if stop.is_asked() {
            return Err(UnpackError::Stopped { archive: archive.into() });
        }
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        unpacked.bytes += count as u64;
        if unpacked.bytes > limits.bytes {
            return Err(UnpackError::TooMuch {
                archive: archive.into(),
                limit: format!("{} bytes", limits.bytes),
            });
        }
        target.write_all(&buffer[..count]).map_err(unwritable)?;
        progress(&unpacked);
    }
    before_rename().map_err(unwritable)?;
    commit(target, path).map_err(unwritable)?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests;
