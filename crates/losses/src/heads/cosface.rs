//! CosFace: a margin on the target's cosine. Also published as AM-Softmax.

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor},
};
use facegrad_settings::{above, settings, within};

use super::{HeadKind, HeadModule, HeadOutput, Telemetry};
use crate::{Progress, Schedule};

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
#[derive(Module, Debug)]
pub struct CosFace {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    scale: Schedule,
    #[module(skip)]
    margin: Schedule,
}

impl HeadKind for CosFaceConfig {
    type Head = CosFace;

    const FORMULA: &'static str = "z_y = s (cos θ_y − m);  z_j = s cos θ_j";
    const SOURCE: &'static str = "Wang et al., CosFace, CVPR 2018, eq. 4; Wang et al., Additive Margin Softmax, 2018";

    fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> CosFace {
        CosFace {
            weight: Param::from_tensor(super::normal_weights(classes, embedding, 0.01, seed, device)),
            scale: self.scale.clone(),
            margin: self.margin.clone(),
        }
    }

    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        let start = Progress { step: 0, total: 1 };
        let (scale, margin) = (self.scale.at(start), self.margin.at(start));
        super::expected_cosine_loss(classes, embedding, scale) + scale * margin
    }
}

impl HeadModule for CosFace {
    fn forward(&self, embeddings: Tensor<2>, labels: Tensor<1, Int>, progress: Progress) -> HeadOutput {
        let (scale, margin) = (self.scale.at(progress), self.margin.at(progress));
        let (logits, target_cosine, feature_norm) =
            super::cosine_logits(embeddings, self.weight.val(), labels, scale, |cosine| cosine - margin);
        let telemetry = Telemetry { target_cosine, feature_norm, margin: Some(margin), scale: Some(scale) };
        HeadOutput { logits, telemetry }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Case, check_head, check_head_of_many_classes};
    use super::*;

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let (scale, margin) = (64.0, 0.35);
        let head =
            |weight| CosFace { weight: Param::from_tensor(weight), scale: scale.into(), margin: margin.into() };
        check_head_of_many_classes("cosface", &Case::many_classes(), head, |x, w, labels| {
            Case::cosine_logits(x, w, labels, scale, |c| c - margin)
        });
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (scale, margin) in [(64.0, 0.35), (30.0, 0.0), (4.0, 1.0)] {
            for case in Case::all() {
                let head = |weight| CosFace {
                    weight: Param::from_tensor(weight),
                    scale: scale.into(),
                    margin: margin.into(),
                };
                check_head("cosface", &case, head, |x, w, labels| {
                    Case::cosine_logits(x, w, labels, scale, |c| c - margin)
                });
            }
        }
    }
}
