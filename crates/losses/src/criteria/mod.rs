//! Criteria: a loss from logits.

use burn::tensor::Tensor;
use facegrad_settings::kinds;

use crate::Logits;

pub use multiclass_hinge::Form;

/// What every criterion's config provides.
pub trait CriterionKind {
    /// The loss of one sample, in one line.
    const FORMULA: &'static str;
    /// Where it comes from.
    const SOURCE: &'static str;

    /// The mean loss of a batch.
    ///
    /// # Shapes
    /// - `logits`: `[batch, classes]`, output: `[1]`
    fn loss(&self, logits: &Logits) -> Tensor<1>;
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
            /// The mean loss `[1]` of logits `[batch, classes]`.
            pub fn loss(&self, logits: &Logits) -> Tensor<1> {
                match self { $( Self::$variant(c) => c.loss(logits), )* }
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
    /// One binary logistic regression a class.
    BinaryLogistic: binary_logistic::BinaryLogisticConfig = "binary_logistic";
    /// Cross-entropy in which well-classified samples count less.
    Focal: focal::FocalConfig = "focal";
    /// How far other classes come within a margin of the target: the multiclass support vector machine.
    MulticlassHinge: multiclass_hinge::MulticlassHingeConfig = "multiclass_hinge";
}

impl Default for CriterionConfig {
    fn default() -> Self {
        Self::CrossEntropy(CrossEntropyConfig::default())
    }
}

/// Logits that are written out, for the tests of criteria.
#[cfg(test)]
pub(crate) fn of_rows(rows: Tensor<2>, classes: &[usize]) -> Logits {
    use crate::{Labels, Rule, classes::pick};
    let labels = Labels::new(classes, &rows.device());
    let target = pick(&rows, &labels);
    Logits::new(rows, target, labels, Rule::Scaled { scale: 1.0 })
}
