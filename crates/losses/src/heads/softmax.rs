//! Plain softmax: multinomial logistic regression on the embedding.

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor},
};
use facegrad_settings::settings;

use super::{HeadKind, HeadModule, HeadOutput, Telemetry};
use crate::{Progress, l2_normalise};

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
    type Head = Softmax;

    const FORMULA: &'static str = "z_y = W_y·x + b_y;  z_j = W_j·x + b_j";
    const SOURCE: &'static str = "multinomial logistic regression; the baseline of Wen et al., ECCV 2016, eq. 1";

    fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> Softmax {
        let std = 1.0 / (embedding as f32).sqrt();
        Softmax {
            weight: Param::from_tensor(super::normal_weights(classes, embedding, std, seed, device)),
            bias: self.bias.then(|| Param::from_tensor(Tensor::zeros([classes], device))),
        }
    }

    /// Logits of unit features have variance 1/d under the initial weights; longer features add to it.
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        super::expected_cosine_loss(classes, embedding, 1.0)
    }
}

impl HeadModule for Softmax {
    fn forward(&self, embeddings: Tensor<2>, labels: Tensor<1, Int>, _progress: Progress) -> HeadOutput {
        let weight = self.weight.val();
        let logits = embeddings.clone().matmul(weight.clone().transpose());
        let logits = match &self.bias {
            Some(bias) => logits + bias.val().unsqueeze(),
            None => logits,
        };
        let (unit, norm) = l2_normalise(embeddings.inner());
        let (unit_weight, _) = l2_normalise(weight.inner().select(0, labels.inner()));
        let telemetry = Telemetry {
            target_cosine: (unit * unit_weight).sum_dim(1).mean(),
            feature_norm: norm.mean(),
            margin: None,
            scale: None,
        };
        HeadOutput { logits, telemetry }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Case, check_head, check_head_of_many_classes};
    use super::*;

    #[test]
    fn value_and_gradient_match_the_reference() {
        for case in Case::all() {
            let head = |weight: Tensor<2>| Softmax { weight: Param::from_tensor(weight), bias: None };
            check_head("softmax", &case, head, |x, w, labels| {
                Case::dot_logits(x, w, labels)
            });
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let head = |weight: Tensor<2>| Softmax { weight: Param::from_tensor(weight), bias: None };
        check_head_of_many_classes("softmax", &Case::many_classes(), head, Case::dot_logits);
    }

    #[test]
    fn the_bias_is_added_to_its_class() {
        let device = Device::flex();
        let head = SoftmaxConfig::default().init(3, 2, 1, &device);
        let head = Softmax { bias: Some(Param::from_tensor(Tensor::from_floats([1.0, 2.0, 3.0], &device))), ..head };
        let labels = Tensor::<1, Int>::from_ints([0], &device);
        let output = head.forward(Tensor::zeros([1, 2], &device), labels, Progress { step: 0, total: 1 });
        assert_eq!(output.logits.into_data().try_to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    }
}
