//! Modified softmax: class weights of length 1, so that only angles decide between classes.

use burn::tensor::Tensor;
use facegrad_settings::settings;

use super::{ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, HeadKind};
use crate::EmbeddingBatch;

settings! {
    /// Softmax with class weights of length 1 and no bias, so that only angles decide between classes.
    pub struct ModifiedSoftmaxConfig {}
}

/// z_j = ‖x‖ cos θ_j.
pub type ModifiedSoftmax = ClassWeights<ModifiedSoftmaxConfig>;

impl HeadKind for ModifiedSoftmaxConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = ‖x‖ cos θ_y;  z_j = ‖x‖ cos θ_j",
            source: "Liu et al., SphereFace, CVPR 2017, eq. 5",
            gradient: "ŵ_j to the embeddings, along their length as well; to weights through unit vectors, so along the sphere only",
        }
    }
}

impl ClassRule for ModifiedSoftmaxConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let products = Cosines::times_length(batch, weight);
        let target = products.target.clone();
        products.unscaled(target)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;
    use crate::reference::{Case, Rows, check_first_loss, check_head, check_head_of_many_classes, dot};
    use std::f64::consts::PI;

    fn head(weight: Tensor<2>) -> ModifiedSoftmax {
        ModifiedSoftmax { weight: Param::from_tensor(weight), config: ModifiedSoftmaxConfig {} }
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
