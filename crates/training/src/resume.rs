//! How a run goes on from its last checkpoint.

use std::path::{Path, PathBuf};

use facegrad_devices::Chosen;
use facegrad_files::{self as files, Lock};
use facegrad_recognition::{
    ModelFile,
    checkpoint::{self, Checkpoint, CheckpointError},
};
use facegrad_results::numbers::{significant, thousands};
use facegrad_settings::{Override, UnusedKey};

use crate::{
    changes::{Before, Change, check_weights, listed},
    checkpoint::{STATE, State, restore, unusable},
    config::Experiment,
    error::TrainError,
    log::{LogEvent, events},
    preparation::Preparation,
    run_folder::{CONFIG, RunFolder, lock, unwritable},
    train::Trainer,
};

/// A run folder as it was left, kept from other processes while this lives.
pub struct SavedRun {
    experiment: Experiment,
    /// Whether the config is another than the one in the folder.
    is_overridden: bool,
    /// Keys of the config in the folder that `overrides` left out.
    pub left_out: Vec<UnusedKey>,
    folder: PathBuf,
    lock: Lock,
    state: State,
    /// None for a run that ended before its first checkpoint.
    checkpoint: Option<Checkpoint>,
}

impl SavedRun {
    /// Opens the run at `path`: a run folder, at its last checkpoint, or one checkpoint; with its config as
    /// `overrides` make it, which is written into the folder once it goes on.
    pub fn open(path: &Path, overrides: &[Override]) -> Result<Self, TrainError> {
        let located = last_checkpoint(path)?;
        let folder = located.as_deref().map_or(path, checkpoint::run_of).to_path_buf();
        let lock = lock(&folder)?;
        let (experiment, left_out) = Experiment::load(&folder.join(CONFIG), overrides)?;
        let checkpoint = located.map(|path| checkpoint::load(&path)).transpose()?;
        let state = checkpoint.as_ref().map(read_state).transpose()?.unwrap_or_default();
        let is_overridden = !overrides.is_empty();
        Ok(Self { experiment, is_overridden, left_out, folder, lock, state, checkpoint })
    }

    /// Where its config is.
    pub fn config(&self) -> PathBuf {
        self.folder.join(CONFIG)
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

/// A run that has the name of a new one, which therefore got a number.
#[derive(Debug, Clone)]
pub struct EarlierRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Optimizer steps up to its last checkpoint.
    pub step: usize,
    /// Steps of all of it; 0 where its log does not say.
    pub total: usize,
    /// What makes it twice as long as it is, as `--set` takes it.
    pub longer: String,
}

impl EarlierRun {
    /// The run in `folder`, if that is the folder of a run.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let (experiment, _) = Experiment::load(&folder.join(CONFIG), &[]).ok()?;
        let step = checkpoint::pointed(folder, "last").unwrap_or(0);
        let planned = |event| match event {
            LogEvent::Start { preflight, .. } => Some((preflight.total, preflight.steps_per_epoch)),
            _ => None,
        };
        let planned = events(folder).ok().and_then(|events| events.filter_map(planned).last());
        let (total, steps_per_epoch) = planned.unwrap_or_default();
        let longer = experiment.twice(step, steps_per_epoch);
        Some(Self { folder: folder.into(), step, total, longer })
    }
}

impl Trainer {
    /// Prepares to continue a run; one without a checkpoint starts again in its folder.
    ///
    /// What was changed in its config since the checkpoint is a note of the preflight, with what that does to the
    /// length of the run and to its learning rate.
    ///
    /// # Errors
    /// Why it cannot go on: also a change that the weights do not allow, and a run that would be shorter than what is
    /// done of it.
    pub fn resume(saved: SavedRun, chosen: Chosen, command: String) -> Result<Self, TrainError> {
        let SavedRun { experiment, is_overridden, folder, lock, mut state, checkpoint, .. } = saved;
        let before = Before::read(&state.config).filter(|_| checkpoint.is_some());
        let changes = before.as_ref().map(|before| before.changes(&experiment)).unwrap_or_default();
        let was = before.as_ref().and_then(|before| before.experiment.as_ref());
        if let Some(was) = was {
            check_weights(&changes, was, &experiment, &chosen)?;
        }
        let mut preparation = Preparation::new(experiment, chosen)?;
        let config = folder.join(CONFIG);
        let now = State::of_new_run(&preparation, command);
        let begin = |preparation: Preparation, saved, state| {
            let folder = RunFolder::open(folder.clone(), lock, saved)?;
            if is_overridden {
                let written = files::replace(&config, preparation.experiment.to_toml().as_bytes());
                written.map_err(|source| unwritable(&config, source))?;
            }
            Ok(Self::begin(preparation, folder, state))
        };
        let Some(loaded) = checkpoint else { return begin(preparation, None, now) };
        if state.data_sha256 != now.data_sha256 {
            return Err(other_data(&folder, &state, &now, &changes));
        }
        let (total, steps_per_epoch) = (preparation.preflight.total, preparation.preflight.steps_per_epoch);
        if total < state.step {
            return Err(TrainError::Shorter {
                run: folder,
                step: state.step,
                total,
                length: preparation.experiment.length(),
                longer: preparation.experiment.twice(state.step, steps_per_epoch),
            });
        }
        let is_of = |experiment: &Experiment| experiment.optimizer.kind();
        let is_other_optimizer = was.is_some_and(|was| is_of(was) != is_of(&preparation.experiment));
        restore(&mut preparation.learner, &loaded, is_other_optimizer)?;
        let note = match &before {
            None if state.config_sha256 != now.config_sha256 => Some(format!(
                "the config was changed after step {}, and it is no longer the same run; which keys is not known of a checkpoint of an earlier version",
                state.step
            )),
            Some(_) if !changes.is_empty() => Some(told(&changes, was, &preparation, state.step)),
            _ => None,
        };
        if let Some(note) = note {
            state.changes.push(note.clone());
            preparation.preflight.notes.insert(0, note);
        }
        if state.step < total {
            preparation.preflight.notes.extend(calibrated(&folder));
        }
        (state.config_sha256, state.config, state.data_size) = (now.config_sha256, now.config, now.data_size);
        let best = state.best;
        let trainer = begin(preparation, Some(loaded.step), state)?;
        // A kill between the best checkpoint and its pointer leaves the pointer behind.
        if let Some((_, step)) = best
            && folder.join(checkpoint::folder_name(step)).is_dir()
        {
            trainer.folder.point_to_best(step)?;
        }
        Ok(trainer)
    }
}

/// That the best model of a run has operating points, which one that is better will not have.
fn calibrated(run: &Path) -> Option<String> {
    let card = ModelFile::find(run).and_then(|file| file.card()).ok()?;
    let points =
        card.operating_points.iter().map(|point| point.target.to_string()).collect::<Vec<_>>().join(", ");
    (!points.is_empty()).then(|| {
        format!(
            "the best model so far is calibrated ({points}), and a better one will not be: calibrate it again, or keep this one with facegrad calibrate --out"
        )
    })
}

/// What is known to differ between the data of a checkpoint and those of `now`.
fn other_data(run: &Path, state: &State, now: &State, changes: &[Change]) -> TrainError {
    let size = |[images, identities]: [usize; 2]| {
        format!("{} images of {} identities", thousands(images), thousands(identities))
    };
    let (before, is_now) = match (state.data_size, now.data_size) {
        (Some(before), Some(now)) if before != now => (size(before), size(now)),
        (Some(before), Some(_)) => (
            format!("{} with other names, labels or sizes", size(before)),
            format!("that of SHA-256 {} in place of {}", now.data_sha256, state.data_sha256),
        ),
        _ => (
            format!("data with SHA-256 {}", state.data_sha256),
            format!("that of SHA-256 {}", now.data_sha256),
        ),
    };
    let changes: Vec<_> =
        changes.iter().filter(|change| change.key.starts_with("data.train")).cloned().collect();
    let changed = if changes.is_empty() { String::new() } else { format!(" ({})", listed(&changes)) };
    TrainError::OtherData { run: run.into(), before, now: is_now, changed }
}

/// What was changed since a checkpoint of `step` steps, and what that does to the rest of the run.
fn told(changes: &[Change], was: Option<&Experiment>, now: &Preparation, step: usize) -> String {
    let mut parts = vec![format!("the config was changed after step {step}: {}", listed(changes))];
    let Some(was) = was else { return parts.remove(0) };
    let (experiment, preflight) = (&now.experiment, &now.preflight);
    let steps_per_epoch = was.plan(0, 0).steps_per_epoch(preflight.images);
    let before = was.total_steps(steps_per_epoch);
    if steps_per_epoch != preflight.steps_per_epoch {
        parts
            .push(format!("an epoch has {} steps now, and had {steps_per_epoch}", preflight.steps_per_epoch));
    }
    if before != preflight.total {
        parts.push(format!("the run is {} steps long now, and was {before}", preflight.total));
    }
    let rate = |of: &Experiment, step, total| of.optimizer.learning_rate(of.schedule.factor(step, total)).1;
    let (planned, next) = (rate(was, step, before), rate(experiment, step, preflight.total));
    if planned != next && step < preflight.total {
        let last = rate(was, step.saturating_sub(1), before);
        parts.push(format!(
            "its learning rate goes from {} in step {step} to {} in step {}",
            significant(last),
            significant(next),
            step + 1
        ));
    }
    let (kind, other) = (experiment.optimizer.kind(), was.optimizer.kind());
    if kind != other {
        parts.push(format!("what {other} knew of earlier gradients is left behind, and {kind} begins anew"));
    }
    parts.join("; ")
}
