//! Images from files to batches, alone and under training.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use facegrad_backbones::BackboneConfig;
use facegrad_devices::{Chosen, process};
use facegrad_faces::FaceSource;
use facegrad_loader::{ImageBatch, Loader, LoaderConfig, Plan, SamplerConfig};
use facegrad_pictures::{AugmentationConfig, ImageFormat, WriteError};
use facegrad_synthetic::{SyntheticConfig, write_folder};
use facegrad_training::TrainError;

use crate::{BenchError, ImageShape, Length, measure, median, network::Training};

/// Rounds that a measurement is divided into.
const ROUNDS: u32 = 5;
/// Identities of the synthetic faces.
const IDENTITIES: usize = 8;
/// The fewest synthetic faces.
const FACES: usize = 256;

/// Writes JPEGs of synthetic faces to `folder`, enough for a batch.
///
/// # Errors
/// If they cannot be written.
pub fn write_faces(folder: &Path, images: ImageShape) -> Result<(), WriteError> {
    let [height, width] = images.size;
    let config = SyntheticConfig {
        identities: IDENTITIES,
        images: images.batch.max(FACES).div_ceil(IDENTITIES),
        size: height.max(width),
        ..SyntheticConfig::default()
    };
    write_folder(&config, ImageFormat::Jpeg, folder, &mut |_, _| {}).map(|_| ())
}

/// A loader to be timed.
pub struct LoaderTask {
    /// The images, as they are stored.
    pub source: Arc<dyn FaceSource>,
    /// What is done to them.
    pub augmentation: AugmentationConfig,
    /// What they become.
    pub images: ImageShape,
    /// How long each measurement goes on.
    pub time: Duration,
}

/// What was measured of the loader with nothing else to do.
#[derive(Debug, Clone, Default)]
pub struct LoaderTiming {
    /// Images a second in each round.
    pub speeds: Vec<f64>,
    /// Batches of all rounds.
    pub batches: usize,
    /// Bytes that the process held after the first round and after the last, where the system tells.
    pub memory: [Option<u64>; 2],
    /// Images for each second that a core worked, where the system tells.
    pub images_per_core_second: Option<f64>,
}

impl LoaderTiming {
    /// Images a second.
    pub fn images_per_second(&self) -> f64 {
        median(&self.speeds)
    }
}

/// Images a second in training: one round from memory, and one from the loader.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingTurn {
    /// With one and the same batch.
    pub from_memory: f64,
    /// With batches as they are loaded.
    pub from_loader: f64,
}

impl LoaderTask {
    /// The loader with nothing else to do.
    ///
    /// # Errors
    /// If it cannot start or has no batch.
    pub fn alone(&self) -> Result<LoaderTiming, BenchError> {
        let mut loader = self.start()?;
        next(&mut loader)?;
        let (batch, mut timing) = (self.images.batch, LoaderTiming::default());
        let worked = process::processor_seconds();
        for number in 0..ROUNDS {
            let (begin, before) = (Instant::now(), timing.batches);
            while timing.batches == before || begin.elapsed() < self.time / ROUNDS {
                next(&mut loader)?;
                timing.batches += 1;
            }
            timing.speeds.push(((timing.batches - before) * batch) as f64 / begin.elapsed().as_secs_f64());
            timing.memory[usize::from(number > 0)] = process::memory();
        }
        let worked = process::processor_seconds().zip(worked).map(|(now, before)| now - before);
        timing.images_per_core_second = worked.map(|seconds| (timing.batches * batch) as f64 / seconds);
        Ok(timing)
    }

    /// Training of `backbone` from memory and from the loader, which alone gives `speed` images a second, in turns.
    ///
    /// # Errors
    /// If the network cannot be built, a step fails, or there is no batch.
    pub fn under_training(
        &self,
        backbone: &BackboneConfig,
        chosen: &Chosen,
        speed: f64,
    ) -> Result<Vec<TrainingTurn>, BenchError> {
        let ImageShape { batch, size } = self.images;
        let classes = self.source.identities().len().max(2);
        let mut training = Training::new(backbone, size, classes, chosen)?;
        let mut loader = self.start()?;
        let kept = next(&mut loader)?;
        let queue = LoaderConfig::default().queue;
        let mut turns = Vec::new();
        for _ in 0..ROUNDS {
            // The loader fills its queue and then rests: neither turn pays for what the other one uses.
            std::thread::sleep(Duration::from_secs_f64((queue * batch) as f64 / speed));
            let from_memory = self.speed(|| training.step(&kept.pixels, &kept.labels))?;
            let from_loader = self.speed(|| {
                let batch = next(&mut loader)?;
                training.step(&batch.pixels, &batch.labels)
            })?;
            turns.push(TrainingTurn { from_memory, from_loader });
        }
        Ok(turns)
    }

    /// Images a second of the steps of a round, after a warm-up of two.
    fn speed(&self, mut step: impl FnMut() -> Result<f64, BenchError>) -> Result<f64, BenchError> {
        let steps = measure(Length::Time(self.time / ROUNDS), || step().map(|_| ()))?;
        Ok((steps.len() * self.images.batch) as f64 / steps.iter().sum::<f64>())
    }

    fn start(&self) -> Result<Loader, BenchError> {
        let ImageShape { batch, size } = self.images;
        let plan = Plan { seed: 1, batch, size, start_step: 0, end_step: usize::MAX };
        let config = LoaderConfig { workers: rayon::current_num_threads(), ..LoaderConfig::default() };
        let (sampler, augmentation) = (SamplerConfig::default(), self.augmentation.clone());
        let loader = Loader::start(self.source.clone(), plan, &sampler, augmentation, config);
        Ok(loader.map_err(TrainError::from)?)
    }
}

fn next(loader: &mut Loader) -> Result<ImageBatch, BenchError> {
    Ok(loader.next().ok_or(BenchError::Ended)?.map_err(TrainError::from)?)
}
