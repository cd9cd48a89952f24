//! The memory of a run.

use std::fmt;

use facegrad_backbones::{BackboneConfig, BackboneError};
use facegrad_devices::process;
use facegrad_results::numbers::bytes;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Bytes of a number.
const F32: u64 = 4;
/// Feature maps in the size of the input and output of a layer that its backward pass has beside those kept.
const GRADIENT_MAPS: u64 = 1;
/// Copies of a batch of images as numbers: as they are read, and with the channels first.
const INPUT_COPIES: u64 = 2;
/// Copies of weights and optimizer state that are made to write a checkpoint; with them large heads come to within
/// a tenth of what was measured.
const CHECKPOINT_COPIES: u64 = 2;

/// The most memory that a run will take at a time, in bytes, by what takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// All of it: the program and the weights with what a step needs, or a checkpoint where that is more.
    pub total: u64,
    /// The program, the index of the data and the lists of the evaluations.
    pub program: u64,
    /// Weights and the state of the optimizer.
    pub weights: u64,
    /// Gradients of the weights.
    pub gradients: u64,
    /// Feature maps kept for the backward pass and their gradients, and the products of a head.
    pub activations: u64,
    /// Batches decoded ahead and on their way into the network.
    pub images: u64,
    /// A checkpoint as it is written, beside program and weights; nothing else is needed at that time.
    pub checkpoint: u64,
    /// What can be had at the moment, where the system tells.
    pub available: Option<u64>,
}

impl MemoryEstimate {
    /// An error if a step cannot have what it needs.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let step = self.program + self.weights + self.gradients + self.activations + self.images;
        match self.available {
            Some(available) if available < step - self.program => Err(TrainError::TooLittleMemory {
                needed: bytes(step),
                parts: self.parts(),
                available: bytes(available),
                advice: self.advice(),
            }),
            _ => Ok(()),
        }
    }

    fn parts(&self) -> String {
        let Self { weights, gradients, activations, .. } = *self;
        format!(
            "{} weights and optimizer, {} gradients, {} activations",
            bytes(weights),
            bytes(gradients),
            bytes(activations)
        )
    }

    /// What would take less.
    fn advice(&self) -> &'static str {
        match self.activations + self.images > self.total / 2 {
            true => "a smaller run.batch or data.size takes less",
            false => "a smaller backbone or fewer identities take less",
        }
    }

    /// A note if there is less.
    pub(crate) fn note(&self) -> Option<String> {
        let available = self.available.filter(|available| *available < self.total)?;
        Some(format!(
            "the run will need about {} of memory and {} are available; {}",
            bytes(self.total),
            bytes(available),
            self.advice()
        ))
    }
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {}: {}", bytes(self.total), self.parts())?;
        match self.available {
            Some(available) => write!(f, "; {} available", bytes(available)),
            None => Ok(()),
        }
    }
}

/// What a step of a run works on.
pub(crate) struct Workload<'a> {
    /// Memory before there were weights, in bytes.
    pub(crate) program: u64,
    pub(crate) backbone: &'a BackboneConfig,
    /// Height and width of the images.
    pub(crate) size: [usize; 2],
    /// Images in a step.
    pub(crate) batch: usize,
    /// Batches decoded ahead.
    pub(crate) queue: usize,
    /// Trained numbers of the backbone.
    pub(crate) backbone_parameters: u64,
    /// Those of the head and of other losses.
    pub(crate) head_parameters: u64,
    /// Numbers that the optimizer keeps for each of them.
    pub(crate) optimizer_slots: u64,
    /// Images of all evaluations.
    pub(crate) evaluation_images: u64,
}

impl Workload<'_> {
    /// What it takes.
    ///
    /// # Errors
    /// If the images are too small for the backbone.
    pub(crate) fn memory(&self) -> Result<MemoryEstimate, BackboneError> {
        let parameters = self.backbone_parameters + self.head_parameters;
        let embedding = self.backbone.embedding_size() as u64;
        let batch = self.batch as u64;
        let pixels = 3 * (self.size[0] * self.size[1]) as u64 * batch;
        // A product for each row of class weights, which are as long as an embedding.
        let products = batch * self.head_parameters / embedding.max(1);
        let program = self.program + self.evaluation_images * embedding * F32;
        let weights = parameters * (1 + self.optimizer_slots) * F32;
        let gradients = parameters * F32;
        let activations = (kept(self.backbone, self.size)? * batch + products) * F32;
        let images = pixels * (self.queue as u64 + 1) + pixels * INPUT_COPIES * F32;
        let checkpoint = CHECKPOINT_COPIES * weights;
        let total = program + weights + (gradients + activations + images).max(checkpoint);
        let available = process::available_memory();
        Ok(MemoryEstimate { total, program, weights, gradients, activations, images, checkpoint, available })
    }
}

/// The most numbers at a time in the feature maps of one image: those kept so far and, in the backward pass, the
/// gradients of the operator at hand. The kernels keep the output of every operator, and nothing else.
fn kept(backbone: &BackboneConfig, size: [usize; 2]) -> Result<u64, BackboneError> {
    let plan = backbone.plan(size)?;
    let numbers = |map: usize| plan.dims(map).elements() as u64;
    let (mut kept, mut most) = (numbers(0), 0);
    for operator in plan.operators() {
        let (input, output) = (numbers(operator.input.map), numbers(operator.output));
        kept += output;
        most = kept.max(most).max(kept + GRADIENT_MAPS * (input + output));
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use facegrad_backbones::IResNetConfig;

    use super::*;

    fn workload(backbone: &BackboneConfig) -> Workload<'_> {
        Workload {
            program: 20 << 20,
            backbone,
            size: [112, 112],
            batch: 16,
            queue: 4,
            backbone_parameters: 1_000_000,
            head_parameters: 512_000,
            optimizer_slots: 1,
            evaluation_images: 0,
        }
    }

    #[test]
    fn every_part_grows_with_what_it_is_for() {
        let backbone = BackboneConfig::of_kind("iresnet18").unwrap();
        let base = workload(&backbone).memory().unwrap();
        assert_eq!((base.gradients, base.weights), (1_512_000 * 4, 2 * 1_512_000 * 4));
        let larger_batch = Workload { batch: 32, ..workload(&backbone) }.memory().unwrap();
        assert_eq!(larger_batch.activations, 2 * base.activations);
        assert_eq!(larger_batch.images, 2 * base.images);
        let adam = Workload { optimizer_slots: 2, ..workload(&backbone) }.memory().unwrap();
        assert_eq!(adam.weights - base.weights, base.gradients);
        let small = Workload { size: [56, 56], ..workload(&backbone) }.memory().unwrap();
        assert!((0.2..0.3).contains(&(small.activations as f64 / base.activations as f64)));
        // The normalisation before it cannot wait, so two more maps a block are kept.
        let keys = IResNetConfig { squeeze_excitation: true, ..IResNetConfig::default() };
        let squeezing = workload(&BackboneConfig::IResNet18(keys)).memory().unwrap();
        let maps = 2 * 2 * (64 * 56 * 56 + 128 * 28 * 28 + 256 * 14 * 14 + 512 * 7 * 7);
        let more = (squeezing.activations - base.activations) as f64 / f64::from(maps * 16 * 4);
        assert!((0.9..=1.0).contains(&more), "{more}");
        // Weights that dwarf the feature maps: what counts is the checkpoint.
        let classes = Workload { batch: 2, head_parameters: 512_000_000, ..workload(&backbone) };
        let classes = classes.memory().unwrap();
        assert_eq!(classes.total, classes.program + classes.weights + classes.checkpoint);
    }

    #[test]
    fn too_little_memory_is_noted_with_what_would_help() {
        let backbone = BackboneConfig::of_kind("iresnet18").unwrap();
        let base = workload(&backbone).memory().unwrap();
        let noted = |memory: MemoryEstimate, available: u64| {
            MemoryEstimate { available: Some(available), ..memory }.note()
        };
        assert_eq!(noted(base, 1 << 40), None);
        assert_eq!(MemoryEstimate { available: None, ..base }.note(), None);
        let note = noted(base, 100 << 20).unwrap();
        assert!(note.ends_with(
            " MiB of memory and 100 MiB are available; a smaller run.batch or data.size takes less"
        ));
        let classes = Workload { batch: 2, head_parameters: 512_000_000, ..workload(&backbone) };
        let note = noted(classes.memory().unwrap(), 100 << 20).unwrap();
        assert!(note.ends_with("; a smaller backbone or fewer identities take less"), "{note}");
    }

    #[test]
    fn a_step_that_cannot_have_its_memory_is_refused() {
        let backbone = BackboneConfig::of_kind("iresnet18").unwrap();
        let people = |people: u64| {
            let workload = Workload { head_parameters: people * 512, ..workload(&backbone) };
            MemoryEstimate { available: Some(20 << 30), ..workload.memory().unwrap() }
        };
        assert!(people(10_000).check().is_ok());
        // Weights, momentum and gradients take 6 KiB a person.
        let sentence = people(10_000_000).check().unwrap_err().to_string();
        assert!(
            sentence.starts_with("a step needs about ")
                && sentence
                    .ends_with(" and 20 GiB are available; a smaller backbone or fewer identities take less"),
            "{sentence}"
        );
        assert!(MemoryEstimate { available: None, ..people(10_000_000) }.check().is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_what_there_is() {
        assert!((1 << 20..1 << 40).contains(&process::memory().unwrap()));
        assert!((1 << 20..1 << 50).contains(&process::available_memory().unwrap()));
    }
}
