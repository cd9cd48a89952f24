//! One optimizer step: what the training loop repeats, and what is measured when its speed is.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use burn::{
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};
use facegrad_losses::{Auxiliary, EmbeddingBatch, HeadError, Labels, Progress, Telemetry, TelemetryValue};
use facegrad_random::{Purpose, Stream};
use facegrad_recognition::{Phase, to_input};

use crate::{
    config::Experiment,
    error::TrainError,
    objective::{BatchLoss, Objective},
    optimizer::{self, Optimizer, OptimizerConfig},
    recognizer::{Recognizer, with_stable_ids},
    schedule::ScheduleConfig,
};

/// A model in training, with all that decides its next step but the images.
pub struct Learner {
    /// Away during the optimizer's step, so that nothing but the step holds the parameters.
    model: Option<Recognizer>,
    objective: Objective,
    pub(crate) optimizer: Optimizer,
    /// Learning rates, and the norm to which gradients are cut.
    optimizer_config: OptimizerConfig,
    schedule: ScheduleConfig,
    /// Height and width of the images.
    size: [usize; 2],
    seed: u64,
    /// With autodiff.
    device: Device,
}

/// What a step tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct StepResult {
    /// The loss before the step.
    pub loss: f64,
    /// The learning rate of the backbone.
    pub learning_rate: f64,
    /// The norm over all gradients, before it was cut.
    pub gradient_norm: f64,
    /// What the losses tell of themselves, by name; only what costs little if nobody watches.
    pub measures: BTreeMap<String, f64>,
}

/// Why a step was not taken; the weights are what they were.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum StepError {
    /// The loss or a gradient is NaN or infinite.
    #[error("the {what} is {value}")]
    NotFinite { what: &'static str, value: f64 },
    /// A label that is no class.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The device failed.
    #[error("the backend could not compute the step: {0}")]
    Backend(String),
}

impl Learner {
    /// The model of `experiment` for `identities` classes with its initial weights, on `device`, which is
    /// without autodiff.
    ///
    /// # Errors
    /// If the images are too small for the backbone, the classes too few for the head, or a penalty is for no
    /// parameter.
    pub fn new(experiment: &Experiment, identities: usize, device: &Device) -> Result<Self, TrainError> {
        let (seed, device) = (experiment.run.seed, device.clone().autodiff());
        let backbone = experiment.backbone.init(experiment.data.size, seed, &device)?;
        let embedding = backbone.embedding_size();
        let head = experiment.head.init(identities, embedding, seed, &device)?;
        let auxiliary = experiment.auxiliary.iter();
        let auxiliary = auxiliary.map(|loss| loss.init(identities, embedding, seed, &device)).collect();
        let model = with_stable_ids(Recognizer { backbone, head, auxiliary });
        Ok(Self {
            objective: Objective::new(experiment, &model)?,
            model: Some(model),
            optimizer: experiment.optimizer.init(),
            optimizer_config: experiment.optimizer.clone(),
            schedule: experiment.schedule.clone(),
            size: experiment.data.size,
            seed,
            device,
        })
    }

    /// Height and width of the images.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    pub(crate) fn model(&self) -> &Recognizer {
        self.model.as_ref().expect(PRESENT)
    }

    pub(crate) fn model_mut(&mut self) -> &mut Recognizer {
        self.model.as_mut().expect(PRESENT)
    }

    /// Takes the step after step `progress.step` on RGB bytes `[batch, height, width, 3]` with labels
    /// `[batch]`; losses leave measures out that cost time unless the step is `watched`.
    ///
    /// # Errors
    /// If the loss or its gradient is not finite, a label is no class, or the device fails.
    pub fn step(
        &mut self,
        progress: Progress,
        watched: bool,
        pixels: &[u8],
        labels: &[usize],
    ) -> Result<StepResult, StepError> {
        let device = self.device.clone();
        let phase = |name| Phase::begin(name, &device);
        let Progress { step, total } = progress;

        let input = phase("input");
        // Dropout draws from the device's generator: seeded by the step, it needs no saved state.
        device.seed(Stream::new(self.seed, Purpose::Network, 0, step as u64).bits64());
        let images = to_input(pixels, self.size, &device);
        let labels = Labels::new(labels, &device);
        drop(input);

        let forward = phase("forward");
        let embeddings = self.model().backbone.forward(images);
        drop(forward);

        let head = phase("head and loss");
        let batch = EmbeddingBatch { embeddings, labels, progress, watched };
        let BatchLoss { loss, telemetry, memory } = self.objective.loss(self.model(), &batch)?;
        let EmbeddingBatch { embeddings, labels, .. } = batch;
        let embeddings = embeddings.inner();
        drop(head);

        let backward = phase("backward");
        let grads = GradientsParams::from_grads(loss.backward(), self.model());
        drop(backward);

        let _optimizer = phase("optimizer");
        let (on_host, on_device) = optimizer::squared_norm(self.model(), &grads).into_parts();
        let (checked, measures) = read([loss.inner()].into_iter().chain(on_device).collect(), telemetry)?;
        let loss = checked[0];
        let gradient_norm = (on_host + checked[1..].iter().sum::<f64>()).sqrt();
        if !loss.is_finite()
            && let Some(value) = not_finite(&embeddings)
        {
            return Err(StepError::NotFinite { what: "embedding", value });
        }
        for (what, value) in [("loss", loss), ("gradient norm", gradient_norm)] {
            if !value.is_finite() {
                return Err(StepError::NotFinite { what, value });
            }
        }
        let factor = match self.optimizer_config.clip_norm() {
            Some(limit) if gradient_norm > limit => limit / gradient_norm,
            _ => 1.0,
        };
        let (rates, learning_rate) = self.optimizer_config.learning_rate(self.schedule.factor(step, total));
        let model = self.model.take().expect(PRESENT);
        let mut model = self.optimizer.step(rates, model, grads, factor);
        if let Some(memory) = memory {
            model.head = model.head.remember(memory);
        }
        let after_step = |loss: Auxiliary| loss.after_step(embeddings.clone(), &labels);
        model.auxiliary = model.auxiliary.into_iter().map(after_step).collect();
        self.model = Some(model);
        Ok(StepResult { loss, learning_rate, gradient_norm, measures })
    }

    /// The time that the network takes in a step on RGB bytes `[batch, height, width, 3]`, forward, backward and for
    /// its update, without taking the step: weights, running statistics and the state of the optimizer stay what
    /// they are.
    ///
    /// # Errors
    /// If the device fails.
    pub(crate) fn rehearse_network(&self, pixels: &[u8]) -> Result<Duration, StepError> {
        let backbone = self.model().backbone.with_own_statistics();
        let begin = Instant::now();
        let embeddings = backbone.forward(to_input(pixels, self.size, &self.device));
        let grads = GradientsParams::from_grads(embeddings.sum().backward(), self.model());
        self.with_update(begin, &grads)
    }

    /// The time that the losses take in a step on a batch with labels `[batch]`, as [`Learner::rehearse_network`]
    /// does; with many classes it hardly depends on the batch, so that it cannot be told from a smaller one.
    ///
    /// # Errors
    /// If a label is no class, or the device fails.
    pub(crate) fn rehearse_losses(&self, labels: &[usize]) -> Result<Duration, StepError> {
        let shape = [labels.len(), self.model().backbone.embedding_size()];
        let mut stream = Stream::new(0, Purpose::Benchmark, 1, 0);
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| stream.normal()).collect();
        let embeddings = Tensor::from_data(TensorData::new(values, shape), &self.device).require_grad();
        let begin = Instant::now();
        let labels = Labels::new(labels, &self.device);
        let progress = Progress { step: 0, total: 1 };
        let batch = EmbeddingBatch { embeddings, labels, progress, watched: false };
        let BatchLoss { loss, .. } = self.objective.loss(self.model(), &batch)?;
        let grads = GradientsParams::from_grads(loss.backward(), self.model());
        self.with_update(begin, &grads)
    }

    /// The time since `begin` and what the update by `grads` would take, from what their norm does.
    fn with_update(&self, begin: Instant, grads: &GradientsParams) -> Result<Duration, StepError> {
        let computed = begin.elapsed();
        let norm = optimizer::squared_norm(self.model(), grads);
        self.device.sync().map_err(|error| StepError::Backend(error.to_string()))?;
        drop(norm);
        let norm = begin.elapsed() - computed;
        Ok(computed + norm * (1 + self.optimizer_config.passes()))
    }
}

/// What a step is `checked` by and its measures, in one transfer from the device.
fn read(
    checked: Vec<Tensor<1>>,
    telemetry: Telemetry,
) -> Result<(Vec<f64>, BTreeMap<String, f64>), StepError> {
    let (count, mut scalars) = (checked.len(), checked);
    let (mut measures, mut names) = (BTreeMap::new(), Vec::new());
    for (name, reading) in telemetry.into_values() {
        match reading {
            TelemetryValue::Known(value) => {
                measures.insert(name, value);
            }
            TelemetryValue::OnDevice(value) => {
                names.push(name);
                scalars.push(value);
            }
        }
    }
    let scalars = Tensor::cat(scalars, 0).into_data().try_to_vec::<f32>();
    let scalars = scalars.map_err(|error| StepError::Backend(format!("{error:?}")))?;
    let mut checked: Vec<f64> = scalars.into_iter().map(f64::from).collect();
    measures.extend(names.into_iter().zip(checked.drain(count..)));
    Ok((checked, measures))
}

/// The first number of `embeddings` that is NaN or infinite.
fn not_finite(embeddings: &Tensor<2>) -> Option<f64> {
    let values = embeddings.clone().into_data().try_to_vec::<f32>().ok()?;
    values.into_iter().map(f64::from).find(|value| !value.is_finite())
}

const PRESENT: &str = "a step gives the model back";

#[cfg(test)]
mod tests {
    use facegrad_devices::{Backend, choose};
    use facegrad_recognition::weights::to_safetensors;
    use facegrad_settings::{Setting, toml};

    use super::*;

    fn experiment() -> Experiment {
        let text = r#"
            data.size = [20, 20]
            [backbone]
            kind = "nano"
            width = 0.25
            embedding = 16
            dropout = 0.3
            [head]
            kind = "curricularface"
            [[auxiliary]]
            kind = "center"
        "#;
        Experiment::read(&toml::Value::Table(text.parse().unwrap()), &"".into()).unwrap()
    }

    fn bytes(learner: &Learner) -> [Vec<u8>; 3] {
        let Recognizer { backbone, head, auxiliary } = learner.model();
        [
            to_safetensors(backbone, "backbone").unwrap(),
            to_safetensors(head, "head").unwrap(),
            to_safetensors(auxiliary, "auxiliary").unwrap(),
        ]
    }

    #[test]
    fn a_rehearsal_changes_nothing() {
        let device = choose(Backend::Flex, None).unwrap().device;
        let (experiment, labels) = (experiment(), [0, 1, 2, 3, 4, 0, 1, 2]);
        let pixels: Vec<u8> = (0..8 * 20 * 20 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let new = || Learner::new(&experiment, 5, &device).unwrap();
        let (mut rehearsed, mut other) = (new(), new());
        let before = bytes(&rehearsed);
        for _ in 0..2 {
            rehearsed.rehearse_network(&pixels[..4 * 1200]).unwrap();
            rehearsed.rehearse_losses(&labels).unwrap();
        }
        assert!(bytes(&rehearsed) == before);
        for step in 0..3 {
            let progress = Progress { step, total: 3 };
            let stepped = [&mut rehearsed, &mut other]
                .map(|learner| learner.step(progress, true, &pixels, &labels).unwrap());
            assert_eq!(stepped[0], stepped[1]);
            assert!(bytes(&rehearsed) == bytes(&other), "step {step}");
        }
        assert!(bytes(&rehearsed) != before);
        // In the middle of a run, where the statistics have moved, as well.
        let before = bytes(&rehearsed);
        rehearsed.rehearse_network(&pixels).unwrap();
        rehearsed.rehearse_losses(&labels).unwrap();
        assert!(bytes(&rehearsed) == before);
    }
}
