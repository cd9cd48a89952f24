//! Losses beside the head's, each with a weight: `[[auxiliary]]`.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use facegrad_settings::{
    Key, KeyPath, Schema, Setting, SettingsError, at_least, serde_through_toml, toml::Value,
};

use crate::{
    EmbeddingBatch, HeadError, Labels, Schedule, Setup,
    embedding::{EmbeddingLoss, EmbeddingLossConfig, LossOutput},
    head::loss_of,
};

/// A loss on the embeddings that is added to the head's.
#[derive(Debug, Clone, PartialEq)]
pub struct AuxiliaryConfig {
    /// What it is multiplied by.
    pub weight: Schedule,
    /// The loss.
    pub loss: EmbeddingLossConfig,
}

/// A loss beside the head's.
#[derive(Module, Debug)]
pub struct Auxiliary {
    /// The loss.
    pub loss: EmbeddingLoss,
    #[module(skip)]
    weight: Schedule,
}

/// What an auxiliary loss adds.
#[derive(Debug, Clone)]
pub struct AuxiliaryOutput {
    /// The loss before its weight.
    pub output: LossOutput,
    /// Its weight in this step.
    pub weight: f64,
}

impl AuxiliaryConfig {
    /// Builds the loss for `classes` identities and embeddings of size `embedding`.
    pub fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> Auxiliary {
        Auxiliary {
            loss: self.loss.init(&Setup { classes, embedding, seed, device }),
            weight: self.weight.clone(),
        }
    }
}

impl Auxiliary {
    /// The loss of a batch and its weight.
    ///
    /// # Errors
    /// If a label is none of the classes that the loss has state for.
    pub fn forward(&self, batch: &EmbeddingBatch) -> Result<AuxiliaryOutput, HeadError> {
        Ok(AuxiliaryOutput { output: loss_of(&self.loss, batch)?, weight: self.weight.at(batch.progress) })
    }

    /// The loss after a step that was taken with these embeddings, `[batch, embedding]` without a graph.
    pub fn after_step(mut self, embeddings: Tensor<2>, labels: &Labels) -> Self {
        self.loss.after_step(embeddings, labels);
        self
    }
}

const WEIGHT: &str = "weight";

fn key(default: f64) -> Key {
    Key {
        name: WEIGHT,
        formerly: None,
        doc: "What the loss is multiplied by before it is added to the head's.".into(),
        schema: Schedule::schema(),
        choices: Vec::new(),
        default: default.to_string(),
        range: Some(at_least(0.0).to_string()),
    }
}

impl Setting for AuxiliaryConfig {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        let mut rest = value.clone();
        let weight = rest.as_table_mut().and_then(|table| table.remove(WEIGHT));
        let loss = EmbeddingLossConfig::read(&rest, at)?;
        let weight = match weight {
            Some(weight) => Schedule::read_within(&weight, &at.join(WEIGHT), &at_least(0.0))?,
            None => loss.weight().into(),
        };
        Ok(Self { weight, loss })
    }

    fn write(&self) -> Option<Value> {
        let mut value = self.loss.write()?;
        value.as_table_mut()?.insert(WEIGHT.into(), self.weight.write()?);
        Some(value)
    }

    fn schema() -> Schema {
        let Schema::Kinds(mut kinds) = EmbeddingLossConfig::schema() else {
            unreachable!("declared as kinds")
        };
        for kind in &mut kinds {
            let default = EmbeddingLossConfig::of_kind(kind.name).map_or(1.0, |loss| loss.weight());
            kind.keys.insert(0, key(default));
        }
        Schema::Kinds(kinds)
    }
}

serde_through_toml!(AuxiliaryConfig);
