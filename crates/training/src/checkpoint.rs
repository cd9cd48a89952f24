//! What a checkpoint of a run holds: the model, the head and the losses beside it, the state of the optimizer, and
//! how far the run is.

use std::collections::BTreeMap;

use burn::module::Module;
use facegrad_files as files;
use facegrad_recognition::{
    MODEL, ModelCard,
    checkpoint::Checkpoint,
    to_bytes,
    weights::{from_safetensors, to_safetensors},
};
use serde::{Deserialize, Serialize};

use crate::{
    course::Course,
    error::TrainError,
    events::EvaluationRecord,
    learner::Learner,
    preparation::Preparation,
    recognizer::{Recognizer, parameter_shapes},
};

const HEAD: &str = "head.safetensors";
/// Only where there are auxiliary losses.
const AUXILIARY: &str = "auxiliary.safetensors";
const OPTIMIZER: &str = "optimizer.bpk";
pub(crate) const STATE: &str = "state.json";
/// A thousand evaluations make some hundred kilobytes.
pub(crate) const LONGEST_STATE: u64 = 1 << 26;

/// How far a run is, and what it was begun with.
///
/// Data order, augmentation, learning rate, margins and dropout are functions of (seed, step), so no
/// generator or sampler state is needed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) step: usize,
    pub(crate) config_sha256: String,
    /// The config, every default spelled out; empty in checkpoints of earlier versions.
    #[serde(default)]
    pub(crate) config: String,
    /// What was changed in the config on the way, with the step from which on it holds.
    #[serde(default)]
    pub(crate) changes: Vec<String>,
    pub(crate) data_sha256: String,
    /// Images and identities of the data; unknown in checkpoints of earlier versions.
    #[serde(default)]
    pub(crate) data_size: Option<[usize; 2]>,
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
    /// The losses so far; in checkpoints of earlier versions none.
    #[serde(default)]
    pub(crate) course: Course,
}

impl State {
    /// Nothing done yet.
    pub(crate) fn of_new_run(preparation: &Preparation, command: String) -> Self {
        let (config, source) = (preparation.experiment.to_toml(), &preparation.data.source);
        Self {
            config_sha256: files::sha256(config.as_bytes()),
            config,
            data_sha256: source.fingerprint(),
            data_size: Some([source.len(), source.identities().len()]),
            backend: preparation.chosen.description.clone(),
            command,
            ..Self::default()
        }
    }
}

/// A file of a checkpoint.
pub(crate) type NamedFile = (&'static str, Vec<u8>);

/// The files of a checkpoint, by name.
///
/// # Errors
/// The name of the first that cannot be made, and why.
pub(crate) fn contents(
    learner: &Learner,
    card: &ModelCard,
    state: &State,
) -> Result<Vec<NamedFile>, (&'static str, String)> {
    let Recognizer { backbone, head, auxiliary } = learner.model();
    let mut files = vec![
        (MODEL, to_bytes(backbone, card)),
        (HEAD, to_safetensors(head, "head")),
        (OPTIMIZER, learner.optimizer.to_bytes()),
        (STATE, serde_json::to_vec_pretty(state).map_err(|error| error.to_string())),
    ];
    if !auxiliary.is_empty() {
        files.push((AUXILIARY, to_safetensors(auxiliary, "auxiliary")));
    }
    files.into_iter().map(|(name, bytes)| bytes.map(|b| (name, b)).map_err(|why| (name, why))).collect()
}

/// Puts the weights of `checkpoint` in the place of the learner's, and the state of its optimizer unless that is
/// `of_another_kind`.
///
/// # Errors
/// If a file lacks or does not fit.
pub(crate) fn restore(
    learner: &mut Learner,
    checkpoint: &Checkpoint,
    of_another_kind: bool,
) -> Result<(), TrainError> {
    fn load<M: Module>(module: &mut M, checkpoint: &Checkpoint, file: &str) -> Result<(), TrainError> {
        let weights = from_safetensors(module.clone(), checkpoint.file(file)?);
        *module = weights.map_err(|reason| unusable(checkpoint, file, reason))?;
        Ok(())
    }
    let model = learner.model_mut();
    load(&mut model.backbone, checkpoint, MODEL)?;
    load(&mut model.head, checkpoint, HEAD)?;
    // Losses without weights may be new.
    if !parameter_shapes(&model.auxiliary).is_empty() {
        load(&mut model.auxiliary, checkpoint, AUXILIARY)?;
    }
    if of_another_kind {
        return Ok(());
    }
    let optimizer = learner.optimizer.load(checkpoint.file(OPTIMIZER)?);
    optimizer.map_err(|reason| unusable(checkpoint, OPTIMIZER, reason))
}

/// An error about a file that is what was written and yet does not fit.
pub(crate) fn unusable(checkpoint: &Checkpoint, file: &str, reason: String) -> TrainError {
    TrainError::Unusable { path: checkpoint.path.join(file), reason }
}
