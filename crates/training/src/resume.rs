//! How a run goes on from its last checkpoint.

use std::path::{Path, PathBuf};

use facegrad_devices::Chosen;
use facegrad_files::{self as files, Lock};
use facegrad_recognition::checkpoint::{self, Checkpoint, CheckpointError};

use crate::{
    checkpoint::{STATE, State, restore, unusable},
    config::Experiment,
    error::TrainError,
    preparation::Preparation,
    run_folder::{CONFIG, RunFolder, lock},
    train::Trainer,
};

/// A run folder as it was left, kept from other processes while this lives.
pub struct SavedRun {
    experiment: Experiment,
    folder: PathBuf,
    lock: Lock,
    state: State,
    /// None for a run that ended before its first checkpoint.
    checkpoint: Option<Checkpoint>,
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

fn read_state(checkpoint: &Checkpoint) -> Result<State, TrainError> {
    let state: State = serde_json::from_slice(checkpoint.file(STATE)?)
        .map_err(|error| unusable(checkpoint, STATE, error.to_string()))?;
    if state.step != checkpoint.step {
        let reason =
            format!("it is of step {}, and the manifest beside it of step {}", state.step, checkpoint.step);
        return Err(unusable(checkpoint, STATE, reason));
    }
    Ok(state)
}

/// The last checkpoint of the run at `path`; none if that is the folder of a run that has no checkpoint yet.
fn last_checkpoint(path: &Path) -> Result<Option<PathBuf>, TrainError> {
    match checkpoint::locate(path, "last") {
        Err(CheckpointError::None { .. }) if path.join(CONFIG).is_file() => Ok(None),
        located => Ok(Some(located?)),
    }
}

impl Trainer {
    /// Prepares to continue a run; one without a checkpoint starts again in its folder.
    pub fn resume(saved: SavedRun, chosen: Chosen, command: String) -> Result<Self, TrainError> {
        let SavedRun { experiment, folder, lock, state, checkpoint } = saved;
        let mut preparation = Preparation::new(experiment, chosen)?;
        let now = State::of_new_run(&preparation, command);
        let Some(loaded) = checkpoint else {
            return Ok(Self::begin(preparation, RunFolder::open(folder, lock, None)?, now));
        };
        if state.data_sha256 != now.data_sha256 {
            let (theirs, ours) = (state.data_sha256, now.data_sha256);
            return Err(TrainError::OtherData { run: folder, theirs, ours });
        }
        restore(&mut preparation.learner, &loaded)?;
        let folder = RunFolder::open(folder, lock, Some(loaded.step))?;
        // A kill between the best checkpoint and its pointer leaves the pointer behind.
        if let Some((_, step)) = state.best
            && folder.path().join(checkpoint::folder_name(step)).is_dir()
        {
            folder.point_to_best(step)?;
        }
        Ok(Self::begin(preparation, folder, state))
    }
}
