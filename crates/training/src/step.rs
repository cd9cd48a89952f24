//! One optimizer step: what the training loop repeats, and what is measured when its speed is.

use burn::{
    optim::GradientsParams,
    tensor::{Device, Int, Tensor, TensorData},
};
use facegrad_kernels::profile;
use facegrad_losses::Progress;
use facegrad_random::{Purpose, Stream};

use crate::{
    config::Experiment,
    error::TrainError,
    optimizer::{self, Optimizer},
    recognizer::{Recognizer, to_input, with_stable_ids},
};

/// A model in training and the state of its optimizer.
pub struct Learner {
    /// Away during the optimizer's step, so that nothing but the step holds the parameters.
    model: Option<Recognizer>,
    pub(crate) optimizer: Optimizer,
    /// With autodiff.
    device: Device,
}

/// What a step tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Stepped {
    /// The loss before the step.
    pub loss: f64,
    /// The learning rate of the backbone.
    pub learning_rate: f64,
    /// The norm over all gradients, before it was cut.
    pub gradient_norm: f64,
    /// Mean cosine between embeddings and the weights of their classes.
    pub target_cosine: f64,
    /// Mean length of the embeddings.
    pub feature_norm: f64,
    /// The margin of this step, for heads that have one.
    pub margin: Option<f64>,
    /// The scale of this step, for heads that have one.
    pub scale: Option<f64>,
}

/// Why a step was not taken; the weights are what they were.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StepError {
    /// The loss or a gradient is NaN or infinite.
    #[error("the {what} is {value}")]
    NotFinite {
        /// Loss or gradient norm.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// The device failed.
    #[error("the backend could not compute the step: {0}")]
    Backend(String),
}

impl Learner {
    /// The model of `experiment` for `identities` classes with its initial weights, on `device`, which is
    /// without autodiff.
    ///
    /// # Errors
    /// If the images are too small for the backbone or the classes too few for the head.
    pub fn new(experiment: &Experiment, identities: usize, device: &Device) -> Result<Self, TrainError> {
        let (seed, device) = (experiment.run.seed, device.clone().autodiff());
        let backbone = experiment.backbone.init(experiment.data.size, seed, &device)?;
        let head = experiment.head.init(identities, backbone.embedding_size(), seed, &device)?;
        let model = with_stable_ids(Recognizer { backbone, head });
        Ok(Self { model: Some(model), optimizer: experiment.optimizer.init(), device })
    }

    pub(crate) fn model(&self) -> &Recognizer {
        self.model.as_ref().expect(PRESENT)
    }

    pub(crate) fn model_mut(&mut self) -> &mut Recognizer {
        self.model.as_mut().expect(PRESENT)
    }

    /// Takes the step after step `progress.step` on RGB bytes `[batch, height, width, 3]` with labels
    /// `[batch]`.
    pub fn step(
        &mut self,
        experiment: &Experiment,
        progress: Progress,
        pixels: &[u8],
        labels: &[usize],
    ) -> Result<Stepped, StepError> {
        let device = self.device.clone();
        let phase = |name| Phase::begin(name, &device);
        let Progress { step, total } = progress;

        let input = phase("input");
        // Dropout draws from the device's generator: seeded by the step, it needs no saved state.
        device.seed(Stream::new(experiment.run.seed, Purpose::Network, 0, step as u64).bits64());
        let images = to_input(pixels, experiment.data.size, &device);
        let labels: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
        let batch = labels.len();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch]), &device);
        drop(input);

        let forward = phase("forward");
        let embeddings = self.model().backbone.forward(images);
        drop(forward);

        let head = phase("head and loss");
        let output = self.model().head.forward(embeddings, labels.clone(), progress);
        let loss = experiment.criterion.loss(output.logits, labels);
        drop(head);

        let backward = phase("backward");
        let grads = GradientsParams::from_grads(loss.backward(), self.model());
        drop(backward);

        let _optimizer = phase("optimizer");
        // One read from the device a step: everything that is logged or checked.
        let (on_host, on_device) = optimizer::squared_norm(self.model(), &grads).into_parts();
        let telemetry = output.telemetry;
        let scalars = [loss.inner(), telemetry.target_cosine, telemetry.feature_norm];
        let scalars = Tensor::cat(scalars.into_iter().chain(on_device).collect(), 0);
        let scalars = scalars.into_data().try_to_vec::<f32>();
        let scalars = scalars.map_err(|error| StepError::Backend(format!("{error:?}")))?;
        let [loss, target_cosine, feature_norm] =
            [0, 1, 2].map(|i| scalars.get(i).copied().map_or(f64::NAN, f64::from));
        let squared_norm = on_host + scalars.get(3).copied().map_or(0.0, f64::from);
        let gradient_norm = squared_norm.sqrt();
        for (what, value) in [("loss", loss), ("gradient norm", gradient_norm)] {
            if !value.is_finite() {
                return Err(StepError::NotFinite { what, value });
            }
        }
        let factor = match experiment.optimizer.clip_norm() {
            Some(limit) if gradient_norm > limit => limit / gradient_norm,
            _ => 1.0,
        };
        let (rates, learning_rate) =
            experiment.optimizer.learning_rate(experiment.schedule.factor(step, total));
        let model = self.model.take().expect(PRESENT);
        self.model = Some(self.optimizer.step(rates, model, grads, factor));
        Ok(Stepped {
            loss,
            learning_rate,
            gradient_norm,
            target_cosine,
            feature_norm,
            margin: telemetry.margin,
            scale: telemetry.scale,
        })
    }
}

const PRESENT: &str = "a step gives the model back";

/// A part of the work, for the profile, until it is dropped.
pub(crate) struct Phase<'a> {
    device: &'a Device,
    _time: profile::Scope,
}

impl<'a> Phase<'a> {
    pub(crate) fn begin(name: &'static str, device: &'a Device) -> Self {
        Self { device, _time: profile::phase(name) }
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        // What a device still has to do belongs to the phase that asked for it.
        if profile::is_on() {
            let _ = self.device.sync();
        }
    }
}
