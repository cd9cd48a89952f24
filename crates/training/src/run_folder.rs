//! The folder of a run: what is in it, whose it is, and how to go on from it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use facegrad_devices::Chosen;
use facegrad_files::{self as files, Lock, LockError};
use facegrad_recognition::checkpoint::{self, CheckpointError, Loaded};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Experiment, RunConfig},
    error::TrainError,
    events::EvaluationRecord,
};

pub(crate) const HEAD: &str = "head.safetensors";
/// Only where there are auxiliary losses.
pub(crate) const AUXILIARY: &str = "auxiliary.safetensors";
pub(crate) const OPTIMIZER: &str = "optimizer.bpk";
pub(crate) const STATE: &str = "state.json";
pub(crate) const CONFIG: &str = "config.toml";

/// What a checkpoint holds beside weights and optimizer.
///
/// Data order, augmentation, learning rate, margins and dropout are functions of (seed, step), so no
/// generator or sampler state is needed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) step: usize,
    pub(crate) config_sha256: String,
    pub(crate) data_sha256: String,
    pub(crate) backend: String,
    pub(crate) command: String,
    pub(crate) seconds: f64,
    pub(crate) first_loss: Option<f64>,
    pub(crate) evaluations: Vec<EvaluationRecord>,
    /// Accuracy and step of the best checkpoint.
    pub(crate) best: Option<(f64, usize)>,
    /// What the losses told of themselves in the last line of the log, such as A-Softmax's λ.
    #[serde(default)]
    pub(crate) measures: BTreeMap<String, f64>,
}

impl State {
    /// Nothing done yet.
    pub(crate) fn of_new_run(experiment: &Experiment, chosen: &Chosen, command: String) -> Self {
        let config_sha256 = files::sha256(experiment.to_toml().as_bytes());
        Self { config_sha256, command, backend: chosen.description.clone(), ..Default::default() }
    }
}

/// A run folder as it was left, kept from other processes while this lives.
pub struct SavedRun {
    pub(crate) experiment: Experiment,
    pub(crate) folder: PathBuf,
    pub(crate) lock: Lock,
    pub(crate) state: State,
    /// None for a run that ended before its first checkpoint.
    pub(crate) checkpoint: Option<Loaded>,
}

impl SavedRun {
    /// Opens the run at `path`: a run folder, at its last checkpoint, or one checkpoint.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let located = last_checkpoint(path)?;
        let folder = located.as_deref().map_or(path, checkpoint::run_of).to_path_buf();
        let lock = lock(&folder)?;
        let (experiment, _) = Experiment::load(&folder.join(CONFIG), &[])?;
        let checkpoint = located.map(|path| checkpoint::load(&path)).transpose()?;
        let state = checkpoint.as_ref().map(read_state).transpose()?.unwrap_or_default();
        Ok(Self { experiment, folder, lock, state, checkpoint })
    }

    /// Whether its `config.toml` is not what it was begun with, so that it is no longer the same run.
    pub fn is_config_changed(&self) -> bool {
        let now = files::sha256(self.experiment.to_toml().as_bytes());
        self.checkpoint.is_some() && self.state.config_sha256 != now
    }

    /// The backend it was trained on, as its log names it; nothing before its first checkpoint.
    pub fn backend(&self) -> Option<&str> {
        self.checkpoint.is_some().then_some(&self.state.backend)
    }
}

fn read_state(loaded: &checkpoint::Loaded) -> Result<State, TrainError> {
    serde_json::from_slice(loaded.file(STATE)?)
        .map_err(|error| TrainError::Unusable { path: loaded.path.join(STATE), reason: error.to_string() })
}

/// The last checkpoint of the run at `path`; none if that is the folder of a run that has no checkpoint yet.
fn last_checkpoint(path: &Path) -> Result<Option<PathBuf>, TrainError> {
    match checkpoint::locate(path, "last") {
        Err(CheckpointError::None { .. }) if path.join(CONFIG).is_file() => Ok(None),
        located => Ok(Some(located?)),
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

/// Creates `<run.folder>/<run.name>`, or the first of `-2`, `-3`, … that is free.
pub(crate) fn new_folder(run: &RunConfig) -> Result<PathBuf, TrainError> {
    let parent = &run.folder;
    fs::create_dir_all(parent).map_err(|source| unwritable(parent, source))?;
    let mut number = 1;
    loop {
        let folder = folder_name(run, number);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
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
