//! Criteria: a loss from logits.

use burn::tensor::{Int, Tensor};
use facegrad_settings::kinds;

/// What every criterion's config provides.
pub trait CriterionKind {
    /// The loss of one sample, in one line.
    const FORMULA: &'static str;
    /// Where it comes from.
    const SOURCE: &'static str;

    /// The mean loss of a batch.
    ///
    /// # Shapes
    /// - `logits`: `[batch, classes]`, `labels`: `[batch]`, output: `[1]`
    fn loss(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1>;
}

/// The registry: one line a criterion.
macro_rules! criteria {
    ($( $(#[doc = $doc:literal])* $variant:ident: $file:ident::$config:ident = $kind:literal; )*) => {
        $( mod $file; pub use $file::$config; )*

        kinds! {
            /// How logits become a loss: `[criterion]`.
            pub enum CriterionConfig {
                $( $(#[doc = $doc])* $variant($config) = $kind, )*
            }
        }

        impl CriterionConfig {
            /// The mean loss `[1]` of logits `[batch, classes]` with labels `[batch]`.
            pub fn loss(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
                match self { $( Self::$variant(c) => c.loss(logits, labels), )* }
            }

            /// The loss of one sample, as text.
            pub fn formula(&self) -> &'static str {
                match self { $( Self::$variant(_) => <$config as CriterionKind>::FORMULA, )* }
            }

            /// Where it comes from.
            pub fn source(&self) -> &'static str {
                match self { $( Self::$variant(_) => <$config as CriterionKind>::SOURCE, )* }
            }
        }
    };
}

criteria! {
    /// Cross-entropy of the softmax, with label smoothing.
    CrossEntropy: cross_entropy::CrossEntropyConfig = "cross_entropy";
}

impl Default for CriterionConfig {
    fn default() -> Self {
        Self::CrossEntropy(CrossEntropyConfig::default())
    }
}
