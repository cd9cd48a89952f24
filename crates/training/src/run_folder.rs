//! The folder of a run: its name, whose it is, and what the run writes into it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use facegrad_files::{self as files, Lock, LockError};
use facegrad_recognition::checkpoint;

use crate::{
    config::{Experiment, RunConfig},
    error::TrainError,
    log::{LOG, Log, LogEvent, StepLine},
};

pub(crate) const CONFIG: &str = "config.toml";

/// The folder of a run that goes on in this process.
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Held as long as the run goes on.
    _lock: Lock,
    log: Log,
    /// The step of the newest checkpoint that was written or begun from.
    saved: Option<usize>,
}

impl RunFolder {
    /// Makes the folder of a new run, `<run.folder>/<run.name>` with a number if that is taken, and writes its config.
    ///
    /// Also the folder before it, where it got a number.
    pub(crate) fn create(experiment: &Experiment) -> Result<(Self, Option<PathBuf>), TrainError> {
        let (path, number) = new_folder(&experiment.run)?;
        let before = (number > 1).then(|| folder_name(&experiment.run, number - 1));
        let config = path.join(CONFIG);
        let written = files::replace(&config, experiment.to_toml().as_bytes());
        written.map_err(|source| unwritable(&config, source))?;
        let lock = lock(&path)?;
        Ok((Self::open(path, lock, None)?, before))
    }

    /// Opens the folder of a run that goes on after the checkpoint of step `saved`, or begins anew without one.
    pub(crate) fn open(path: PathBuf, lock: Lock, saved: Option<usize>) -> Result<Self, TrainError> {
        // What could not be saved at the next checkpoint is not begun.
        files::check_writable(&path).map_err(|source| unwritable(&path, source))?;
        let log = Log::open(&path, saved.unwrap_or(0)).map_err(|source| unwritable(&path, source))?;
        Ok(Self { path, _lock: lock, log, saved })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the newest checkpoint is that of `step`.
    pub(crate) fn is_saved(&self, step: usize) -> bool {
        self.saved == Some(step)
    }

    /// A line of the log.
    pub(crate) fn log(&mut self, event: &LogEvent) -> Result<(), TrainError> {
        self.log.write(event).map_err(|source| self.unwritable(LOG, source))
    }

    /// The training steps logged so far.
    pub(crate) fn steps(&self) -> io::Result<Vec<StepLine>> {
        self.log.steps()
    }

    /// Writes the checkpoint of `step`, and removes those that are neither among the newest `keep` nor the best.
    pub(crate) fn save(
        &mut self,
        step: usize,
        contents: &[(&str, Vec<u8>)],
        keep: usize,
    ) -> Result<(), TrainError> {
        self.log.sync().map_err(|source| self.unwritable(LOG, source))?;
        checkpoint::save(&self.path, step, contents)?;
        self.saved = Some(step);
        checkpoint::prune(&self.path, step, keep).map_err(|source| self.unwritable("", source))?;
        self.log(&LogEvent::Checkpoint { step })
    }

    /// Makes `best` name the checkpoint of `step`.
    pub(crate) fn point_to_best(&self, step: usize) -> Result<(), TrainError> {
        checkpoint::point(&self.path, "best", step).map_err(|source| self.unwritable("best", source))
    }

    /// An error about one of its files, with what can be resumed.
    pub(crate) fn unwritable(&self, file: &str, source: io::Error) -> TrainError {
        let kept = checkpoint::kept(&self.path);
        TrainError::Unwritable { path: self.path.join(file), source, kept }
    }
}

pub(crate) fn unwritable(path: &Path, source: io::Error) -> TrainError {
    TrainError::Unwritable { path: path.into(), source, kept: "nothing was trained".into() }
}

/// `<run.folder>/<run.name>`, with `-<number>` from the second on.
pub(crate) fn folder_name(run: &RunConfig, number: usize) -> PathBuf {
    let name = &run.name;
    run.folder.join(if number == 1 { name.clone() } else { format!("{name}-{number}") })
}

/// Whether `name` can name a folder on every system.
pub(crate) fn is_folder_name(name: &str) -> bool {
    let is_safe = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_safe)
}

/// Creates `<run.folder>/<run.name>`, or the first of `-2`, `-3`, … that is free; also its number.
fn new_folder(run: &RunConfig) -> Result<(PathBuf, usize), TrainError> {
    let parent = &run.folder;
    fs::create_dir_all(parent).map_err(|source| unwritable(parent, source))?;
    let mut number = 1;
    loop {
        let folder = folder_name(run, number);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok((folder, number)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(source) => return Err(unwritable(&folder, source)),
        }
    }
}

/// Keeps a second process out of the folder; the system lifts the lock when this process ends in any way.
pub(crate) fn lock(folder: &Path) -> Result<Lock, TrainError> {
    let path = folder.join(checkpoint::LOCK);
    Lock::take(&path).map_err(|error| match error {
        LockError::Held(_) => TrainError::InUse(folder.into()),
        LockError::Io(source) => unwritable(&path, source),
    })
}
