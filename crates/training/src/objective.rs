//! What a step makes smaller: the loss of the head, with the losses beside it and penalties on parameters.

use burn::tensor::Tensor;
use facegrad_losses::{
    AuxiliaryOutput, CriterionConfig, EmbeddingBatch, HeadError, HeadOutput, RegularisationConfig, Telemetry,
};

use crate::{
    config::Experiment,
    error::TrainError,
    recognizer::{Recognizer, parameter_names, penalty},
};

/// How the embeddings of a batch become one number.
#[derive(Debug, Clone)]
pub(crate) struct Objective {
    /// For heads that make logits.
    criterion: CriterionConfig,
    /// The kinds of the losses beside the head's, in their order in the model.
    auxiliary: Vec<&'static str>,
    regularisation: Vec<RegularisationConfig>,
}

/// The number for one batch.
pub(crate) struct BatchLoss {
    /// All parts together, `[1]`.
    pub(crate) loss: Tensor<1>,
    pub(crate) telemetry: Telemetry,
    /// What the head remembers once the step is taken.
    pub(crate) memory: Option<Tensor<1>>,
}

impl Objective {
    /// That of `experiment`, for a model built from it.
    ///
    /// # Errors
    /// If a penalty is for no parameter of the model.
    pub(crate) fn new(experiment: &Experiment, model: &Recognizer) -> Result<Self, TrainError> {
        let names = parameter_names(model);
        for (i, config) in experiment.regularisation.iter().enumerate() {
            if !names.iter().any(|name| config.applies_to(name)) {
                let example = |name: Option<&String>| name.cloned().unwrap_or_default();
                return Err(TrainError::NoSuchParameter {
                    key: format!("regularisation.{i}.parameters"),
                    names: format!("{} to {}", example(names.first()), example(names.last())),
                });
            }
        }
        Ok(Self {
            criterion: experiment.criterion(),
            auxiliary: experiment.auxiliary.iter().map(|config| config.loss.kind()).collect(),
            regularisation: experiment.regularisation.clone(),
        })
    }

    /// The loss of a batch that `model` made embeddings of.
    ///
    /// # Errors
    /// If a label is no class.
    pub(crate) fn loss(&self, model: &Recognizer, batch: &EmbeddingBatch) -> Result<BatchLoss, HeadError> {
        let (mut loss, mut telemetry, memory) = match model.head.forward(batch)? {
            HeadOutput::Logits(output) => {
                let loss = output.loss(&self.criterion);
                let telemetry = match output.penalty {
                    Some(penalty) => output.telemetry.mean("penalty", penalty),
                    None => output.telemetry,
                };
                (loss, telemetry, output.memory)
            }
            HeadOutput::Loss(output) => (output.loss, output.telemetry, None),
        };
        if !(self.auxiliary.is_empty() && self.regularisation.is_empty()) {
            telemetry = telemetry.mean("head_loss", loss.clone());
        }
        for (kind, auxiliary) in self.auxiliary.iter().zip(&model.auxiliary) {
            let AuxiliaryOutput { output, weight } = auxiliary.forward(batch)?;
            let mut own = Telemetry::default().mean("loss", output.loss.clone()).known("weight", weight);
            own.extend(output.telemetry);
            telemetry.extend(own.named(kind));
            loss = loss + output.loss * weight;
        }
        for config in &self.regularisation {
            if let Some(penalty) = penalty(model, config, batch.progress) {
                telemetry.extend(Telemetry::default().mean("penalty", penalty.clone()).named(config.kind()));
                loss = loss + penalty;
            }
        }
        Ok(BatchLoss { loss, telemetry, memory })
    }
}
