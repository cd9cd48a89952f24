//! All files of a card, in one folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    card::{Card, File},
    error::FetchError,
    fetch::{Download, FetchOptions, FetchResult, fetch},
    record::{FetchRecord, RECORD},
    unpack::{UnpackError, UnpackedContent, unpack},
};
use facegrad_files::Stop;

/// What is going on.
#[derive(Debug, Clone, Copy)]
pub enum FetchStep<'a> {
    /// So many bytes of a file are there.
    Downloading {
        /// Path of the file that this is about.
        file: &'a File,
        /// Bytes that are there.
        done: u64,
    },
    /// So much has come out of a file.
    Unpacking {
        /// Path of the file that this is about.
        file: &'a File,
        /// What came out of it so far.
        done: UnpackedContent,
    },
}

/// A file that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFileResult {
    /// The file, or the folder or file that was unpacked from it.
    pub path: PathBuf,
    /// How it came to be there.
    pub how: FetchResult,
    /// What came out of it, if it was unpacked just now.
    pub unpacked: Option<UnpackedContent>,
}

/// Why a set is not complete.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum SetError {
    /// There is nothing to fetch.
    #[error("{name} cannot be fetched: {ask}")]
    NotFetchable { name: String, ask: String },
    /// A file could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An archive could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The folder, or what is written down in it.
    #[error("cannot use {}: {source}", path.display())]
    Folder {
        path: PathBuf,
        /// What the system or the reader of the file says.
        source: io::Error,
    },
}

impl SetError {
    /// Whether the caller wanted it to stop.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Fetch(FetchError::Stopped { .. }) | Self::Unpack(UnpackError::Stopped { .. }))
    }
}

/// Fetches and unpacks all files of a card into `folder`, which is made if it is not there.
///
/// What is there already stays: plain files are hashed again, archives are known from the record in the folder
/// ([`RECORD`]), which says where everything came from. Archives are removed when they are unpacked. An archive that
/// lies in the folder already is used if its SHA-256 is right.
///
/// # Errors
/// [`SetError`]; what has arrived stays, and the next call goes on from there.
pub fn fetch_card(
    card: &Card,
    folder: &Path,
    options: &FetchOptions,
    stop: &Stop,
    report: &mut dyn FnMut(FetchStep<'_>),
) -> Result<Vec<CardFileResult>, SetError> {
    if card.files.is_empty() {
        return Err(SetError::NotFetchable { name: card.name.clone(), ask: card.ask.clone() });
    }
    let is_new = !folder.exists();
    fs::create_dir_all(folder).map_err(|source| SetError::Folder { path: folder.into(), source })?;
    let result = fetch_files(card, folder, options, stop, report);
    if is_new && result.is_err() {
        // Only if nothing came: a folder with something in it is not removed.
        let _ = fs::remove_dir(folder);
    }
    result
}

fn fetch_files(
    card: &Card,
    folder: &Path,
    options: &FetchOptions,
    stop: &Stop,
    report: &mut dyn FnMut(FetchStep<'_>),
) -> Result<Vec<CardFileResult>, SetError> {
    let unusable = |source| SetError::Folder { path: folder.join(RECORD), source };
    let mut record = FetchRecord::open(folder).map_err(unusable)?;
    let mut arrived = Vec::new();
    for file in &card.files {
        let path = folder.join(file.result());
        let is_there = path.symlink_metadata().is_ok();
        let archive = folder.join(&file.name);
        if !file.unpack.is_none() && is_there {
            if !record.has(file) {
                return Err(UnpackError::Occupied { path }.into());
            }
            remove(&archive);
            arrived.push(CardFileResult { path, how: FetchResult::AlreadyThere, unpacked: None });
            continue;
        }
        let download =
            Download { url: &file.url, bytes: file.bytes, sha256: &file.sha256, destination: &archive };
        let how = fetch(&download, options, stop, &mut |done| report(FetchStep::Downloading { file, done }))?;
        if file.unpack.is_none() {
            if !record.has(file) {
                record.add(card, file, folder).map_err(unusable)?;
            }
            arrived.push(CardFileResult { path, how, unpacked: None });
            continue;
        }
        // Before the rename: what has the name of the result and stands in the record is complete, and what does not
        // is somebody else's.
        let mut note = || record.add(card, file, folder);
        let mut progress = |done: &UnpackedContent| report(FetchStep::Unpacking { file, done: *done });
        let unpacked = unpack(&archive, file.unpack, &path, &file.limits(), stop, &mut note, &mut progress)?;
        remove(&archive);
        arrived.push(CardFileResult { path, how, unpacked: Some(unpacked) });
    }
    Ok(arrived)
}

/// Removes an archive that is unpacked; that it stays behind would only take space.
fn remove(archive: &Path) {
    let _ = fs::remove_file(archive);
}
