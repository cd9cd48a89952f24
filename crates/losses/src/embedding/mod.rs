//! Losses on embeddings and their labels, without logits: alone as `[head]`, or beside one as `[[auxiliary]]`.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use facegrad_settings::{SettingsError, kinds};

use crate::{Batch, HeadError, Labels, Scoring, Telemetry};

mod pairs;
pub use contrastive::PairChoice;
pub use pairs::Embeddings;
pub use triplet::{Average, Distance, Mining};

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
    /// The module it builds.
    type Loss: EmbeddingLossModule;

    /// The loss of a batch, in one or two lines.
    const FORMULA: &'static str;
    /// Paper and equation.
    const SOURCE: &'static str;
    /// Where the gradient goes, and what is a constant of it.
    const GRADIENT: &'static str;
    /// Whether several images of a batch must show the same person.
    const NEEDS_PAIRS: bool;
    /// Whether it is of no use without a head that tells classes apart.
    const NEEDS_CLASSES: bool;
    /// The weight as an auxiliary loss when the config gives none.
    const WEIGHT: f64 = 1.0;

    /// Builds the loss with its initial state.
    fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> Self::Loss;

    /// The loss to expect before the first step from random unit features; `None` where no formula is at hand.
    fn expected_first_loss(&self, _classes: usize, _embedding: usize) -> Option<f64> {
        None
    }

    /// What no single key can say; `section` is where the keys are.
    fn validate(&self, _section: &str) -> Result<(), SettingsError> {
        Ok(())
    }

    /// How embeddings that were trained with this loss alone are compared.
    fn scoring(&self) -> Scoring;
}

/// What every loss on embeddings does.
pub trait EmbeddingLossModule: Module {
    /// The loss of a batch, whose labels are in `0..classes`.
    fn forward(&self, batch: &Batch) -> LossOutput;

    /// The number of classes of a loss that has state for each; others take any label.
    fn classes(&self) -> Option<usize> {
        None
    }

    /// The loss after a step that was taken with these embeddings, `[batch, embedding]` without a graph: the
    /// place to change state that the optimizer has no part in.
    fn after_step(self, _embeddings: Tensor<2>, _labels: &Labels) -> Self {
        self
    }
}

/// The registry: one line a loss.
macro_rules! embedding_losses {
    ($( $(#[doc = $doc:literal])* $variant:ident: $file:ident::$config:ident = $kind:literal; )*) => {
        $( mod $file; pub use $file::{$config, $variant}; )*

        kinds! {
            /// A loss on embeddings and their labels.
            pub enum EmbeddingLossConfig {
                $( $(#[doc = $doc])* $variant($config) = $kind, )*
            }
        }

        /// A loss on embeddings, of any kind.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant)]
        pub enum EmbeddingLoss {
            $( $(#[doc = $doc])* $variant($variant), )*
        }

        impl EmbeddingLossConfig {
            pub(crate) fn init(
                &self, classes: usize, embedding: usize, seed: u64, device: &Device,
            ) -> EmbeddingLoss {
                match self {
                    $( Self::$variant(c) => EmbeddingLoss::$variant(c.init(classes, embedding, seed, device)), )*
                }
            }

            pub(crate) fn as_kind(&self) -> &dyn AnyEmbeddingLossKind {
                match self { $( Self::$variant(c) => c, )* }
            }
        }

        impl EmbeddingLoss {
            /// # Errors
            /// If a label is none of the classes that the loss has state for.
            pub(crate) fn forward(&self, batch: &Batch) -> Result<LossOutput, HeadError> {
                if let Some(classes) = self.classes() {
                    batch.labels.check(classes)?;
                }
                Ok(match self { $( Self::$variant(l) => l.forward(batch), )* })
            }

            fn classes(&self) -> Option<usize> {
                match self { $( Self::$variant(l) => l.classes(), )* }
            }

            pub(crate) fn after_step(self, embeddings: Tensor<2>, labels: &Labels) -> Self {
                match self { $( Self::$variant(l) => Self::$variant(l.after_step(embeddings, labels)), )* }
            }
        }
    };
}

embedding_losses! {
    /// Pulls embeddings to the centre of their class.
    Center: center::CenterConfig = "center";
    /// Pulls genuine pairs together and pushes impostor pairs apart, up to a margin.
    Contrastive: contrastive::ContrastiveConfig = "contrastive";
    /// Keeps each image nearer to its own person than to others, by a margin.
    Triplet: triplet::TripletConfig = "triplet";
    /// Cross-entropy of finding the other images of a person in the batch.
    SupCon: supcon::SupConConfig = "supcon";
    /// Pulls and pushes the hard pairs of each image, the harder the more.
    MultiSimilarity: multi_similarity::MultiSimilarityConfig = "multi_similarity";
}

/// An [`EmbeddingLossKind`] whatever its module.
pub(crate) trait AnyEmbeddingLossKind {
    fn formula(&self) -> &'static str;
    fn source(&self) -> &'static str;
    fn gradient(&self) -> &'static str;
    fn needs_pairs(&self) -> bool;
    fn needs_classes(&self) -> bool;
    fn weight(&self) -> f64;
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> Option<f64>;
    fn validate(&self, section: &str) -> Result<(), SettingsError>;
    fn scoring(&self) -> Scoring;
}

impl<K: EmbeddingLossKind> AnyEmbeddingLossKind for K {
    fn formula(&self) -> &'static str {
        K::FORMULA
    }

    fn source(&self) -> &'static str {
        K::SOURCE
    }

    fn gradient(&self) -> &'static str {
        K::GRADIENT
    }

    fn needs_pairs(&self) -> bool {
        K::NEEDS_PAIRS
    }

    fn needs_classes(&self) -> bool {
        K::NEEDS_CLASSES
    }

    fn weight(&self) -> f64 {
        K::WEIGHT
    }

    fn expected_first_loss(&self, classes: usize, embedding: usize) -> Option<f64> {
        EmbeddingLossKind::expected_first_loss(self, classes, embedding)
    }

    fn validate(&self, section: &str) -> Result<(), SettingsError> {
        EmbeddingLossKind::validate(self, section)
    }

    fn scoring(&self) -> Scoring {
        EmbeddingLossKind::scoring(self)
    }
}
