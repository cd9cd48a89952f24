//! CosFace: a margin on the target's cosine. Also published as AM-Softmax, which is a kind of its own for its defaults.

use burn::tensor::Tensor;
use facegrad_settings::{above, settings, within};

use super::{ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, HeadKind};
use crate::{Curve, EmbeddingBatch, Progress, Schedule, telemetry::MARGIN};

settings! {
    /// Large margin cosine loss: a constant taken off the target's cosine.
    pub struct CosFaceConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Margin m on the target's cosine.
        margin: Schedule = Schedule::Constant(0.35), within(0.0, 1.0);
    }
}

/// z_y = s (cos θ_y − m), z_j = s cos θ_j.
pub type CosFace = ClassWeights<CosFaceConfig>;

impl HeadKind for CosFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s (cos θ_y − m);  z_j = s cos θ_j",
            source: "Wang et al., CosFace, CVPR 2018, eq. 4; Wang et al., Additive Margin Softmax, 2018",
            gradient: "∂z_y/∂cos θ_y = s, as without the margin; to embeddings and weights through unit vectors, so along the sphere only",
        }
    }

    fn curve(&self, progress: Progress) -> Curve {
        let margin = self.margin.at(progress);
        Curve::new(self.scale.at(progress), move |theta| theta.cos() - margin, f64::cos)
    }
}

impl ClassRule for CosFaceConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (scale, margin) = (self.scale.at(batch.progress), self.margin.at(batch.progress));
        let cosines = Cosines::of(batch, weight);
        let target = cosines.target.clone() - margin;
        cosines.scaled(target, scale).known(MARGIN, margin)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;
    use crate::reference::{Case, check_bad_keys, check_first_loss, check_head, check_head_of_many_classes};
    use std::f64::consts::PI;

    fn check(case: &Case, scale: f64, margin: f64) {
        check_head("cosface", case, head(scale, margin), |x, w, labels| {
            Case::cosine_logits(x, w, labels, scale, |c| c - margin)
        });
    }

    fn head(scale: f64, margin: f64) -> impl Fn(Tensor<2>) -> CosFace {
        let config = CosFaceConfig { scale: scale.into(), margin: margin.into() };
        move |weight| CosFace { weight: Param::from_tensor(weight), config: config.clone() }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for case in Case::all() {
            check(&case, 64.0, 0.35);
            check(&case, 4.0, 1.0);
        }
        // Nothing is singular at any angle.
        for theta in [0.0, 1e-3, PI / 2.0, PI] {
            check(&Case::smooth_at_angle(theta), 16.0, 0.35);
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        check_head_of_many_classes("cosface", &Case::many_classes(), head(64.0, 0.35), |x, w, labels| {
            Case::cosine_logits(x, w, labels, 64.0, |c| c - 0.35)
        });
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&CosFaceConfig { scale: 16.0.into(), ..Default::default() });
    }

    #[test]
    fn a_bad_key_is_named_with_its_value_and_range() {
        check_bad_keys::<CosFaceConfig>(&[
            ("scale = -1", "head.scale is -1; it must be more than 0 and at most 1000"),
            ("margin = 1.5", "head.margin is 1.5; it must be from 0 to 1"),
        ]);
    }
}
