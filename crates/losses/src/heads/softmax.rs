//! Plain softmax: multinomial logistic regression on the embedding.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use facegrad_settings::settings;

use super::{
    ClassHeadOutput, Description, HeadKind, HeadModule, Setup,
    classes::{other_cosines, pick, pick_rows, products},
};
use crate::{
    ClassLogits, EmbeddingBatch, LogitRule, l2_normalise,
    telemetry::{FEATURE_NORM, TARGET_COSINE, Telemetry},
};

settings! {
    /// Plain multinomial logistic regression: the baseline every margin is compared with.
    pub struct SoftmaxConfig {
        /// Whether each class has a bias.
        bias: bool = true;
    }
}

/// z_j = W_j·x + b_j.
#[derive(Module, Debug)]
pub struct Softmax {
    /// Class weights, `[classes, embedding]`.
    pub weight: Param<Tensor<2>>,
    /// Class biases, `[classes]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl HeadKind for SoftmaxConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = W_y·x + b_y;  z_j = W_j·x + b_j",
            source: "multinomial logistic regression; the baseline of Wen et al., ECCV 2016, eq. 1",
            gradient: "to embeddings, weights and biases, along their length as well",
        }
    }

    fn weights(&self, setup: &Setup) -> Param<Tensor<2>> {
        setup.unit_weights()
    }
}

impl Softmax {
    pub(crate) fn new(config: &SoftmaxConfig, setup: &Setup) -> Self {
        let bias = config.bias.then(|| Param::from_tensor(Tensor::zeros([setup.classes], setup.device)));
        Self { weight: config.weights(setup), bias }
    }
}

impl HeadModule for Softmax {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        let products = products(batch.embeddings.clone(), self.weight.val(), bias, false);
        let target = pick(&products, &batch.labels);
        let telemetry = telemetry(batch, self.weight.val());
        let logits =
            ClassLogits::new(products, target, batch.labels.clone(), LogitRule::Scaled { scale: 1.0 });
        ClassHeadOutput::new(logits, telemetry)
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// The cosines and the length of the embeddings, for class weights `[classes, embedding]` that the head does
/// not normalise. Those with the other classes cost as much as the head, so they are left out unwatched.
pub(super) fn telemetry(batch: &EmbeddingBatch, weight: Tensor<2>) -> Telemetry {
    let (unit, norm) = l2_normalise(batch.embeddings.clone().inner());
    let (unit_weight, _) = l2_normalise(pick_rows(weight.clone().inner(), &batch.labels));
    let target = (unit.clone() * unit_weight).sum_dim(1);
    let mut telemetry = Telemetry::default().mean(TARGET_COSINE, target);
    if batch.watched {
        telemetry = other_cosines(telemetry, batch, &products(unit, weight.inner(), None, true), None);
    }
    telemetry.mean(FEATURE_NORM, norm)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::reference::{Case, check_first_loss, check_head, check_head_of_many_classes, setup};
    use std::f64::consts::PI;

    #[test]
    fn value_and_gradient_match_the_reference() {
        // Nothing is singular at any angle.
        let angles = [0.0, 1e-3, PI / 2.0, PI].map(Case::smooth_at_angle);
        for case in Case::all().into_iter().chain(angles) {
            let head = |weight: Tensor<2>| Softmax { weight: Param::from_tensor(weight), bias: None };
            check_head("softmax", &case, head, Case::dot_logits);
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let head = |weight: Tensor<2>| Softmax { weight: Param::from_tensor(weight), bias: None };
        check_head_of_many_classes("softmax", &Case::many_classes(), head, Case::dot_logits);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&SoftmaxConfig::default());
    }

    #[test]
    fn the_bias_is_added_to_its_class() {
        let device = Device::flex();
        let head = Softmax::new(&SoftmaxConfig::default(), &setup(3, 2, 1, &device));
        let head =
            Softmax { bias: Some(Param::from_tensor(Tensor::from_floats([1.0, 2.0, 3.0], &device))), ..head };
        let (embeddings, labels) = (Tensor::zeros([1, 2], &device), crate::Labels::new(&[0], &device));
        let batch = EmbeddingBatch { embeddings, labels, progress: crate::Progress::START, watched: false };
        let output = head.forward(&batch);
        assert_eq!(output.logits.written().into_data().try_to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    }
}
