//! How far a conversion has come, in its folder of work.

use std::{ffi::OsStr, fs, io, path::Path};

use facegrad_files::{Journal, JournalError, WorkHeader, is_temporary};
use serde::{Deserialize, Serialize};

use super::{ConversionTarget, ConvertError, Layout, Mark, Writer};
use crate::{FaceError, FaceSource};

/// The name of the file.
pub(super) const FILE: &str = ".convert.json";
/// An empty file that earlier versions had beside it.
const OLD_LOCK: &str = ".lock";
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

/// What a conversion is begun with.
#[derive(Debug, Serialize, Deserialize)]
struct Beginning {
    conversion: Identity,
    /// Images that are left out, and why: index, name and reason.
    skipped: Vec<(usize, String, String)>,
    #[serde(flatten)]
    progress: Progress,
}

/// How far it has come.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    mark: Mark,
    /// Whether everything is written, and only names are to be given.
    is_written: bool,
}

impl Beginning {
    fn of(source: &dyn FaceSource, target: &ConversionTarget, skipped: Vec<(usize, FaceError)>) -> Self {
        let conversion = Identity {
            source: source.fingerprint(),
            kind: target.kind.to_string(),
            shard_images: target.shard_images,
            on_unreadable: target.on_unreadable.to_string(),
        };
        let skipped = skipped.into_iter().map(|(index, error)| (index, error.name, error.reason)).collect();
        Self { conversion, skipped, progress: Progress::default() }
    }
}

impl WorkHeader for Beginning {
    fn parts(&self) -> Vec<(&'static str, String)> {
        let Identity { source, kind, shard_images, on_unreadable } = &self.conversion;
        vec![
            ("the set", source.clone()),
            ("the format", kind.clone()),
            ("images of a shard", shard_images.to_string()),
            ("what becomes of unreadable images", on_unreadable.clone()),
        ]
    }
}

/// The state of a conversion, on disk as in memory: a line of what it was begun with, then one for each mark.
pub(super) struct State {
    journal: Journal,
    progress: Progress,
    skipped: Vec<(usize, FaceError)>,
}

impl State {
    /// The state that an earlier run left, if there is one.
    ///
    /// # Errors
    /// If it is of another conversion, or the target is there without one.
    pub fn open(
        source: &dyn FaceSource,
        target: &ConversionTarget,
        layout: &Layout,
    ) -> Result<Option<Self>, ConvertError> {
        // A folder has its name before its state is removed.
        let named = layout.is_folder.then(|| target.path.join(FILE));
        let path = named.filter(|path| path.is_file()).unwrap_or_else(|| layout.work.join(FILE));
        let other = || ConvertError::OtherWork(layout.work.clone());
        if !path.is_file() {
            if let Some(file) = layout.files.iter().find(|file| is_there(file)) {
                // Killed when all but its folder was gone, a conversion leaves that, and is done.
                let _ = fs::remove_dir(&layout.work);
                return Err(ConvertError::Exists(file.clone()));
            }
            return if is_foreign(&layout.work) { Err(other()) } else { Ok(None) };
        }
        let state = Self::in_file(&path, layout, &Beginning::of(source, target, Vec::new()))?;
        if state.skipped.iter().any(|(index, _)| *index >= source.len()) {
            return Err(other());
        }
        if !state.is_written()
            && let Some(file) = layout.files.iter().find(|file| is_there(file))
        {
            return Err(ConvertError::Exists(file.clone()));
        }
        remove_unfinished(&layout.work)?;
        Ok(Some(state))
    }

    /// Makes the folder of work.
    pub fn begin(
        source: &dyn FaceSource,
        target: &ConversionTarget,
        layout: &Layout,
        skipped: Vec<(usize, FaceError)>,
    ) -> Result<Self, ConvertError> {
        fs::create_dir_all(&layout.work)
            .map_err(|source| ConvertError::Unwritable { path: layout.work.clone(), source })?;
        let beginning = Beginning::of(source, target, skipped);
        let state = Self::in_file(&layout.work.join(FILE), layout, &beginning)?;
        remove_unfinished(&layout.work)?;
        Ok(state)
    }

    /// The state in the file at `path`, which is begun if it is not there.
    fn in_file(path: &Path, layout: &Layout, beginning: &Beginning) -> Result<Self, ConvertError> {
        let mut last = None;
        let mut record = |line: &[u8]| {
            let progress = serde_json::from_slice(line).ok();
            let is_whole = progress.is_some();
            last = progress.or(last.take());
            is_whole
        };
        let (journal, there) =
            Journal::of_work(path, beginning, MAX_STATE, &mut record).map_err(|error| match error {
                JournalError::Io(source) => ConvertError::Unwritable { path: path.into(), source },
                JournalError::Held(_) => ConvertError::Busy(layout.work.clone()),
                JournalError::NoHeader | JournalError::OtherWork(_) => {
                    ConvertError::OtherWork(layout.work.clone())
                }
            })?;
        let skipped = there.skipped.into_iter();
        let skipped = skipped.map(|(index, name, reason)| (index, FaceError { name, reason })).collect();
        Ok(Self { journal, progress: last.unwrap_or(there.progress), skipped })
    }

    /// Images that are left out.
    pub fn skipped(&self) -> &[(usize, FaceError)] {
        &self.skipped
    }

    /// Where to go on.
    pub fn mark(&self) -> &Mark {
        &self.progress.mark
    }

    /// Whether everything is written.
    pub fn is_written(&self) -> bool {
        self.progress.is_written
    }

    /// Notes how far a writer has come.
    pub fn advance(&mut self, writer: &mut dyn Writer) -> io::Result<()> {
        let reached = writer.checkpoint()?;
        if reached == self.progress.mark {
            return Ok(());
        }
        self.progress.mark = reached;
        self.save()
    }

    /// Notes that everything is written.
    pub fn written(&mut self) -> io::Result<()> {
        self.progress.is_written = true;
        self.save()
    }

    fn save(&mut self) -> io::Result<()> {
        self.journal.append_line(&self.progress)?;
        self.journal.sync()
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
        Ok(entries) => entries.flatten().any(|entry| !is_unfinished(&entry.file_name())),
        Err(_) => work.symlink_metadata().is_ok(),
    }
}

/// Removes what a process that was killed has left half written.
fn remove_unfinished(work: &Path) -> Result<(), ConvertError> {
    let remove = || -> io::Result<()> {
        for entry in fs::read_dir(work)? {
            let entry = entry?;
            if is_unfinished(&entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    match remove() {
        // A folder that has its name already.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(())
        }
        result => result.map_err(|source| ConvertError::Unwritable { path: work.into(), source }),
    }
}

/// Whether nobody misses it.
fn is_unfinished(name: &OsStr) -> bool {
    name == OLD_LOCK || is_temporary(name)
}
