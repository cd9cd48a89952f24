//! How far a conversion has come, in its folder of work.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use facegrad_files::{read_bounded, replace};
use serde::{Deserialize, Serialize};

use super::{ConvertError, Layout, Mark, Target};
use crate::{FaceError, FaceSource};

/// The name of the file.
pub(super) const FILE: &str = ".convert.json";
/// The file that keeps other processes out.
pub(super) const LOCK: &str = ".lock";
/// What files are called that are not complete; see [`facegrad_files::temporary_beside`].
const UNFINISHED: &str = ".writing-";
/// Longest such file, in bytes: it lists what is skipped.
const MAX_STATE: u64 = 1 << 30;

/// What makes a conversion the same one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Identity {
    source: String,
    kind: String,
    shard_images: usize,
    on_unreadable: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    conversion: Identity,
    /// Images that are left out, and why: index, name and reason.
    skipped: Vec<(usize, String, String)>,
    mark: Mark,
    /// Whether everything is written, and only names are to be given.
    is_written: bool,
}

/// The state of a conversion, on disk as in memory.
pub(super) struct State {
    path: PathBuf,
    saved: Saved,
    skipped: Vec<(usize, FaceError)>,
    /// Locked while this lives, where the file system can.
    _lock: Option<File>,
}

impl State {
    /// The state that an earlier run left, if there is one.
    ///
    /// # Errors
    /// If it is of another conversion, or the target is there without one.
    pub fn open(
        source: &dyn FaceSource,
        target: &Target,
        layout: &Layout,
    ) -> Result<Option<Self>, ConvertError> {
        let unwritable = |path: &Path, source| ConvertError::Unwritable { path: path.into(), source };
        // A folder has its name before its state is removed.
        let named = layout.is_folder.then(|| target.path.join(FILE));
        let path = named.filter(|path| path.is_file()).unwrap_or_else(|| layout.work.join(FILE));
        let other = || ConvertError::OtherWork(layout.work.clone());
        if !path.is_file() {
            if let Some(file) = layout.files.iter().find(|file| is_there(file)) {
                return Err(ConvertError::Exists(file.clone()));
            }
            return if is_foreign(&layout.work) { Err(other()) } else { Ok(None) };
        }
        let lock = lock(&layout.work)?;
        let bytes = read_bounded(&path, MAX_STATE).map_err(|error| unwritable(&path, error))?;
        let saved: Saved = serde_json::from_slice(&bytes).map_err(|_| other())?;
        let is_other = saved.conversion != identity(source, target);
        if is_other || saved.skipped.iter().any(|(index, ..)| *index >= source.len()) {
            return Err(other());
        }
        if !saved.is_written
            && let Some(file) = layout.files.iter().find(|file| is_there(file))
        {
            return Err(ConvertError::Exists(file.clone()));
        }
        remove_unfinished(&layout.work).map_err(|error| unwritable(&layout.work, error))?;
        Ok(Some(Self::of(path, saved, lock)))
    }

    /// Makes the folder of work.
    pub fn begin(
        source: &dyn FaceSource,
        target: &Target,
        layout: &Layout,
        skipped: Vec<(usize, FaceError)>,
    ) -> Result<Self, ConvertError> {
        let unwritable = |source| ConvertError::Unwritable { path: layout.work.clone(), source };
        fs::create_dir_all(&layout.work).map_err(unwritable)?;
        let lock = lock(&layout.work)?;
        remove_unfinished(&layout.work).map_err(unwritable)?;
        let skipped = skipped.into_iter().map(|(index, error)| (index, error.name, error.reason)).collect();
        let conversion = identity(source, target);
        let saved = Saved { conversion, skipped, mark: Mark::default(), is_written: false };
        let state = Self::of(layout.work.join(FILE), saved, lock);
        state.save().map_err(unwritable)?;
        Ok(state)
    }

    fn of(path: PathBuf, saved: Saved, lock: Option<File>) -> Self {
        let errors = saved.skipped.iter().cloned();
        let skipped = errors.map(|(index, name, reason)| (index, FaceError { name, reason })).collect();
        Self { path, saved, skipped, _lock: lock }
    }

    /// Images that are left out.
    pub fn skipped(&self) -> &[(usize, FaceError)] {
        &self.skipped
    }

    /// Where to go on.
    pub fn mark(&self) -> &Mark {
        &self.saved.mark
    }

    /// Whether everything is written.
    pub fn is_written(&self) -> bool {
        self.saved.is_written
    }

    /// Notes that everything until `mark` is written.
    pub fn advance(&mut self, mark: &Mark) -> io::Result<()> {
        self.saved.mark = mark.clone();
        self.save()
    }

    /// Notes that everything is written.
    pub fn written(&mut self) -> io::Result<()> {
        self.saved.is_written = true;
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        replace(&self.path, &serde_json::to_vec(&self.saved).map_err(io::Error::other)?)
    }
}

fn identity(source: &dyn FaceSource, target: &Target) -> Identity {
    Identity {
        source: source.fingerprint(),
        kind: target.kind.to_string(),
        shard_images: target.shard_images,
        on_unreadable: target.on_unreadable.to_string(),
    }
}

/// Whether there is anything at a path; an empty folder is nothing.
fn is_there(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.symlink_metadata().is_ok(),
    }
}

/// Whether a folder of work holds something that no conversion begins with.
fn is_foreign(work: &Path) -> bool {
    match fs::read_dir(work) {
        Ok(entries) => entries.flatten().any(|entry| {
            let name = entry.file_name();
            name != LOCK && !name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
        }),
        Err(_) => work.symlink_metadata().is_ok(),
    }
}

/// Removes what a process that was killed has left half written.
fn remove_unfinished(work: &Path) -> io::Result<()> {
    if !work.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Keeps other processes out of a folder of work; the system lifts the lock when this one ends in any way.
fn lock(work: &Path) -> Result<Option<File>, ConvertError> {
    if !work.is_dir() {
        return Ok(None);
    }
    let file = File::create(work.join(LOCK))
        .map_err(|source| ConvertError::Unwritable { path: work.into(), source })?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(ConvertError::Busy(work.into())),
        // A file system without locks: better to convert than not to.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}
