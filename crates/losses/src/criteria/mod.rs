//! Criteria: a loss from logits.

use burn::tensor::Tensor;
use facegrad_settings::kinds;

use crate::ClassLogits;

mod binary_logistic;
mod cross_entropy;
mod focal;
mod multiclass_hinge;

pub use binary_logistic::BinaryLogisticConfig;
pub use cross_entropy::CrossEntropyConfig;
pub use focal::FocalConfig;
pub use multiclass_hinge::{Form, MulticlassHingeConfig};

/// What every criterion's config provides.
pub trait CriterionKind {
    /// The loss of one sample, in one line.
    fn formula(&self) -> &'static str;

    /// Where it comes from.
    fn source(&self) -> &'static str;

    /// The mean loss of a batch.
    ///
    /// # Shapes
    /// - `logits`: `[batch, classes]`, output: `[1]`
    fn loss(&self, logits: &ClassLogits) -> Tensor<1>;
}

kinds! {
    /// How logits become a loss: `[criterion]`.
    pub enum CriterionConfig: dyn CriterionKind {
        /// Cross-entropy of the softmax, with label smoothing.
        CrossEntropy(CrossEntropyConfig) = "cross_entropy",
        /// One binary logistic regression a class.
        BinaryLogistic(BinaryLogisticConfig) = "binary_logistic",
        /// Cross-entropy in which well-classified samples count less.
        Focal(FocalConfig) = "focal",
        /// How far other classes come within a margin of the target: the multiclass support vector machine.
        MulticlassHinge(MulticlassHingeConfig) = "multiclass_hinge",
    }
}

impl Default for CriterionConfig {
    fn default() -> Self {
        Self::CrossEntropy(CrossEntropyConfig::default())
    }
}

/// Logits that are written out, for the tests of criteria.
#[cfg(test)]
pub(crate) fn of_rows(rows: Tensor<2>, classes: &[usize]) -> ClassLogits {
    use crate::{Labels, LogitRule, classes::pick};
    let labels = Labels::new(classes, &rows.device());
    let target = pick(&rows, &labels);
    ClassLogits::new(rows, target, labels, LogitRule::Scaled { scale: 1.0 })
}
