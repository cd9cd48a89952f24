//! AM-Softmax: CosFace's formula, published at the same time, with the defaults of its authors.

use burn::tensor::Tensor;
use facegrad_settings::{above, settings, within};

use super::{ClassHeadOutput, ClassRule, ClassWeights, CosFaceConfig, Description, HeadKind};
use crate::{Curve, EmbeddingBatch, Progress, Schedule};

settings! {
    /// Additive margin softmax: a constant taken off the target's cosine.
    pub struct AmSoftmaxConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(30.0), above(0.0).up_to(1000.0);
        /// Margin m on the target's cosine.
        margin: Schedule = Schedule::Constant(0.35), within(0.0, 1.0);
    }
}

/// z_y = s (cos θ_y − m), z_j = s cos θ_j.
pub type AmSoftmax = ClassWeights<AmSoftmaxConfig>;

impl AmSoftmaxConfig {
    fn cosface(&self) -> CosFaceConfig {
        CosFaceConfig { scale: self.scale.clone(), margin: self.margin.clone() }
    }
}

impl HeadKind for AmSoftmaxConfig {
    fn description(&self) -> Description {
        Description {
            source: "Wang et al., Additive Margin Softmax for Face Verification, 2018; s and m as in the authors' code. The formula is that of cosface, which begins with s = 64",
            ..self.cosface().description()
        }
    }

    fn curve(&self, progress: Progress) -> Curve {
        self.cosface().curve(progress)
    }
}

impl ClassRule for AmSoftmaxConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        self.cosface().forward(weight, batch)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;
    use crate::reference::{Case, check_bad_keys, check_first_loss, check_head};

    #[test]
    fn it_begins_with_the_scale_and_margin_of_its_authors() {
        let head = |weight| AmSoftmax { weight: Param::from_tensor(weight), config: Default::default() };
        for case in Case::all() {
            check_head("am_softmax", &case, head, |x, w, labels| {
                Case::cosine_logits(x, w, labels, 30.0, |c| c - 0.35)
            });
        }
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&AmSoftmaxConfig { scale: 16.0.into(), ..Default::default() });
    }

    #[test]
    fn a_bad_key_is_named_with_its_value_and_range() {
        check_bad_keys::<AmSoftmaxConfig>(&[("margin = 1.5", "head.margin is 1.5; it must be from 0 to 1")]);
    }
}
