//! Modified softmax: class weights of length 1, so that only angles decide between classes.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use facegrad_settings::settings;

use super::{
    ClassHead, ClassHeadOutput, Description, HeadKind, HeadModule, Setup,
    classes::{other_cosines, pick, products},
};
use crate::{
    ClassLogits, Curve, EmbeddingBatch, LogitRule, Progress,
    normalise::norms,
    telemetry::{FEATURE_NORM, TARGET_COSINE, Telemetry},
};

settings! {
    /// Softmax with class weights of length 1 and no bias, so that only angles decide between classes.
    pub struct ModifiedSoftmaxConfig {}
}

/// z_j = ‖x‖ cos θ_j.
#[derive(Module, Debug)]
pub struct ModifiedSoftmax {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
}

impl HeadKind for ModifiedSoftmaxConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = ‖x‖ cos θ_y;  z_j = ‖x‖ cos θ_j",
            source: "Liu et al., SphereFace, CVPR 2017, eq. 5",
            gradient: "ŵ_j to the embeddings, along their length as well; to weights through unit vectors, so along the sphere only",
        }
    }

    fn init(&self, setup: &Setup) -> ClassHead {
        ModifiedSoftmax { weight: setup.weights() }.into()
    }

    /// Divided by the length of the embedding.
    fn curve(&self, _progress: Progress) -> Curve {
        Curve::new(1.0, f64::cos, f64::cos)
    }
}

impl HeadModule for ModifiedSoftmax {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let projections = Projections::of(batch, self.weight.val());
        let telemetry = projections.telemetry(batch);
        let Projections { all, target, .. } = projections;
        let logits = ClassLogits::new(all, target, batch.labels.clone(), LogitRule::Scaled { scale: 1.0 });
        ClassHeadOutput::new(logits, telemetry)
    }
}

/// Embeddings as they are along class weights of length 1.
pub(super) struct Projections {
    /// ‖x‖ cos θ_j, `[batch, classes]`.
    pub all: Tensor<2>,
    /// ‖x‖ cos θ_y, `[batch]`.
    pub target: Tensor<1>,
    /// ‖x‖, `[batch]`, with a graph.
    pub norm: Tensor<1>,
}

impl Projections {
    /// With class weights `[classes, embedding]`.
    pub fn of(batch: &EmbeddingBatch, weight: Tensor<2>) -> Self {
        let all = products(batch.embeddings.clone(), weight, None, true);
        let target = pick(&all, &batch.labels);
        Self { all, target, norm: norms(batch.embeddings.clone()).squeeze_dim(1) }
    }

    /// Target, mean other and hardest other cosine, and the length of the embeddings.
    pub fn telemetry(&self, batch: &EmbeddingBatch) -> Telemetry {
        let cosine = self.target.clone().inner() / self.norm.clone().inner();
        let telemetry = Telemetry::default().mean(TARGET_COSINE, cosine);
        other_cosines(telemetry, batch, &self.all, Some(self.norm.clone()))
            .mean(FEATURE_NORM, self.norm.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Case, Rows, check_first_loss, check_head, check_head_of_many_classes, dot};
    use std::f64::consts::PI;

    fn head(weight: Tensor<2>) -> ModifiedSoftmax {
        ModifiedSoftmax { weight: Param::from_tensor(weight) }
    }

    /// x·w / ‖w‖, with the stated ε under the root.
    fn logits(x: &Rows, w: &Rows, _labels: &[usize]) -> Rows {
        x.iter().map(|x| w.iter().map(|w| dot(x, w) / (dot(w, w) + 1e-10).sqrt()).collect()).collect()
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for case in Case::all() {
            check_head("modified softmax", &case, head, logits);
        }
        // Nothing is singular at any angle.
        for theta in [0.0, 1e-3, PI / 2.0, PI] {
            check_head("modified softmax", &Case::smooth_at_angle(theta), head, logits);
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        check_head_of_many_classes("modified softmax", &Case::many_classes(), head, logits);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&ModifiedSoftmaxConfig::default());
    }
}
