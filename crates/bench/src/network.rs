//! Training and embedding with images already in memory.

use std::time::Instant;

use facegrad_backbones::BackboneConfig;
use facegrad_devices::{Backend, Chosen, process};
use facegrad_kernels::{peak, profile};
use facegrad_losses::Progress;
use facegrad_recognition::{EmbeddingModel, ModelCard, Preprocessing};
use facegrad_training::{Experiment, Learner};

use crate::{BenchError, ImageShape, Length, PEAK_TIME, measure, median};

/// A network to be timed, on one and the same batch of noise.
#[derive(Debug, Clone)]
pub struct NetworkTask {
    /// The network.
    pub backbone: BackboneConfig,
    /// Its input.
    pub images: ImageShape,
    /// How long it is measured.
    pub length: Length,
    /// Whether to tell where the time of one more step goes.
    pub profile: bool,
    /// What computes.
    pub chosen: Chosen,
}

/// How long the steps of a network took.
#[derive(Debug, Clone)]
pub struct NetworkTiming {
    /// Images of a step.
    pub batch: usize,
    /// The duration of each step.
    pub seconds: Vec<f64>,
    /// The loss of the last step that was measured, where it trained.
    pub loss: Option<f64>,
    /// Where the time of one more step went, if that was asked for.
    pub profile: Option<Vec<profile::Entry>>,
    /// Floating-point operations of a step for each image.
    pub operations: f64,
    /// The most memory of this process until then, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// Floating-point operations a second of a large matrix product; of the processor, so nothing where a graphics card
    /// computes.
    pub peak: Option<f64>,
}

impl NetworkTiming {
    /// The median duration of a step in seconds.
    pub fn step(&self) -> f64 {
        median(&self.seconds)
    }

    /// Images a second.
    pub fn images_per_second(&self) -> f64 {
        self.batch as f64 / self.step()
    }

    /// Floating-point operations a second.
    pub fn operations_per_second(&self) -> f64 {
        self.images_per_second() * self.operations
    }
}

impl NetworkTask {
    /// Steps of training with an ArcFace head for `classes`.
    ///
    /// # Errors
    /// If the network cannot be built or a step fails.
    pub fn train(&self, classes: usize) -> Result<NetworkTiming, BenchError> {
        let pixels = self.images.noise();
        let labels: Vec<usize> = (0..self.images.batch).map(|image| image % classes).collect();
        let mut training = Training::new(&self.backbone, self.images.size, classes, &self.chosen)?;
        let mut loss = f64::NAN;
        // The backward pass takes a product for the gradient of the input and one for that of the weight.
        let timing = self.time(3.0 * self.forward_operations(), || {
            loss = training.step(&pixels, &labels)?;
            Ok(())
        })?;
        Ok(NetworkTiming { loss: Some(loss), ..timing })
    }

    /// Embeddings, as an evaluation computes them.
    ///
    /// # Errors
    /// If the network cannot be built or a batch fails.
    pub fn infer(&self) -> Result<NetworkTiming, BenchError> {
        let card = ModelCard {
            backbone: self.backbone.clone(),
            preprocessing: Preprocessing::of_size(self.images.size),
            trained_on: String::new(),
            identities: 0,
            step: 0,
            scoring: Default::default(),
            operating_points: Vec::new(),
        };
        let model = EmbeddingModel::untrained(card, 1, &self.chosen.device)?;
        let pixels = self.images.noise();
        self.time(self.forward_operations(), || model.embed(&pixels).map(|_| ()).map_err(BenchError::Backend))
    }

    /// Floating-point operations of a forward pass on one image.
    fn forward_operations(&self) -> f64 {
        // A network that cannot be built has no cost, and is refused elsewhere.
        2.0 * self.backbone.cost(self.images.size).unwrap_or_default().multiply_adds as f64
    }

    fn time(
        &self,
        operations: f64,
        mut step: impl FnMut() -> Result<(), BenchError>,
    ) -> Result<NetworkTiming, BenchError> {
        let seconds = measure(self.length, &mut step)?;
        let profile = self.profile.then(|| profiled(step)).transpose()?;
        // Before the peak is measured, which takes memory of its own.
        let peak_memory = process::peak_memory();
        let peak = (self.chosen.backend != Backend::Wgpu).then(|| peak::operations_per_second(PEAK_TIME));
        let batch = self.images.batch;
        Ok(NetworkTiming { batch, seconds, loss: None, profile, operations, peak_memory, peak })
    }
}

/// The profile of a step.
fn profiled(mut step: impl FnMut() -> Result<(), BenchError>) -> Result<Vec<profile::Entry>, BenchError> {
    profile::start();
    let begin = Instant::now();
    let done = step();
    let profile = profile::stop(begin.elapsed());
    done.map(|()| profile)
}

/// A model in training, as `facegrad train` trains it, with all keys at their defaults.
pub(crate) struct Training {
    learner: Learner,
    step: usize,
}

impl Training {
    pub(crate) fn new(
        backbone: &BackboneConfig,
        size: [usize; 2],
        classes: usize,
        chosen: &Chosen,
    ) -> Result<Self, BenchError> {
        let mut experiment = Experiment { backbone: backbone.clone(), ..Experiment::default() };
        experiment.data.size = size;
        let learner = Learner::new(&experiment, classes, &chosen.device)?;
        Ok(Self { learner, step: 0 })
    }

    /// One step, as early in a long run as it is; gives the loss.
    pub(crate) fn step(&mut self, pixels: &[u8], labels: &[usize]) -> Result<f64, BenchError> {
        let progress = Progress { step: self.step, total: 1_000_000 };
        self.step += 1;
        let stepped = self.learner.step(progress, false, pixels, labels);
        Ok(stepped?.loss)
    }
}
