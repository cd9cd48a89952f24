//! Losses on embeddings and their labels, without logits: alone as `[head]`, or beside one as `[[auxiliary]]`.

use std::fmt::Debug;

use burn::{module::Module, tensor::Tensor};
use facegrad_settings::SettingsError;

use crate::{Description, EmbeddingBatch, Labels, Progress, Scoring, Setup, Telemetry, registry::modules};

mod center;
mod contrastive;
mod multi_similarity;
mod pairs;
mod supcon;
mod triplet;

pub use center::{Center, CenterConfig};
pub use contrastive::{Contrastive, ContrastiveConfig, PairChoice};
pub use multi_similarity::{MultiSimilarity, MultiSimilarityConfig};
pub use pairs::Embeddings;
pub use supcon::{SupCon, SupConConfig};
pub use triplet::{Average, Distance, Mining, Triplet, TripletConfig};

/// What a loss makes of a batch.
#[derive(Debug, Clone)]
pub struct LossOutput {
    /// `[1]`.
    pub loss: Tensor<1>,
    /// How the loss sees the batch.
    pub telemetry: Telemetry,
}

/// What the config of every loss on embeddings provides.
pub trait EmbeddingLossKind {
    /// The loss in words.
    fn description(&self) -> Description;

    /// Whether several images of a batch must show the same person.
    fn needs_pairs(&self) -> bool {
        true
    }

    /// Whether it is of no use without a head that tells classes apart.
    fn needs_classes(&self) -> bool {
        false
    }

    /// The weight as an auxiliary loss when the config gives none.
    fn weight(&self) -> f64 {
        1.0
    }

    /// The loss to expect before the first step from random unit features; `None` where no formula is at hand.
    fn expected_first_loss(&self, _classes: usize, _embedding: usize) -> Option<f64> {
        None
    }

    /// The loss of embeddings that do not depend on the image, at its best, in batches of `batch`; `None` where no
    /// formula is at hand.
    fn guessing_loss(&self, _batch: usize, _progress: Progress) -> Option<f64> {
        None
    }

    /// What no single key can say; `section` is where the keys are.
    ///
    /// # Errors
    /// Names the key to change.
    fn validate(&self, _section: &str) -> Result<(), SettingsError> {
        Ok(())
    }

    /// How embeddings that were trained with this loss alone are compared.
    fn scoring(&self) -> Scoring {
        Scoring::Cosine
    }
}

/// What every loss on embeddings does.
pub trait EmbeddingLossModule {
    /// The loss of a batch, whose labels are in `0..classes`.
    fn forward(&self, batch: &EmbeddingBatch) -> LossOutput;

    /// The number of classes of a loss that has state for each; others take any label.
    fn classes(&self) -> Option<usize> {
        None
    }

    /// Changes state that the optimizer has no part in, after a step that was taken with these embeddings,
    /// `[batch, embedding]` without a graph.
    fn after_step(&mut self, _embeddings: Tensor<2>, _labels: &Labels) {}
}

/// A loss that is a function of the batch alone.
pub trait BatchRule: EmbeddingLossKind {
    /// The loss of a batch; `seed` decides what it draws.
    fn forward(&self, batch: &EmbeddingBatch, seed: u64) -> LossOutput;
}

/// A loss without a parameter.
#[derive(Module, Debug)]
pub struct BatchLoss<K: Clone + Debug + Send> {
    #[module(skip)]
    config: K,
    #[module(skip)]
    seed: u64,
}

impl<K: Clone + Debug + Send> BatchLoss<K> {
    pub(crate) fn new(config: &K, setup: &Setup) -> Self {
        Self { config: config.clone(), seed: setup.seed }
    }
}

impl<K: BatchRule + Clone + Debug + Send> EmbeddingLossModule for BatchLoss<K> {
    fn forward(&self, batch: &EmbeddingBatch) -> LossOutput {
        self.config.forward(batch, self.seed)
    }
}

modules! {
    /// A loss on embeddings and their labels.
    pub enum EmbeddingLossConfig: dyn EmbeddingLossKind;
    /// A loss on embeddings, of any kind.
    pub enum EmbeddingLoss: dyn EmbeddingLossModule;
    /// Pulls embeddings to the centre of their class.
    Center(CenterConfig) = "center",
    /// Pulls genuine pairs together and pushes impostor pairs apart, up to a margin.
    Contrastive(ContrastiveConfig) = "contrastive",
    /// Keeps each image nearer to its own person than to others, by a margin.
    Triplet(TripletConfig) = "triplet",
    /// Cross-entropy of finding the other images of a person in the batch.
    SupCon(SupConConfig) = "supcon",
    /// Pulls and pushes the hard pairs of each image, the harder the more.
    MultiSimilarity(MultiSimilarityConfig) = "multi_similarity",
}
