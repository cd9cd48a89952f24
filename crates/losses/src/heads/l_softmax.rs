//! L-Softmax: the target's angle is multiplied, and lengths stay as they are.

use burn::{module::Param, tensor::Tensor};
use facegrad_settings::{settings, within};

use super::{
    ClassHeadOutput, ClassRule, ClassWeights, Description, HeadKind, Setup,
    classes::{pick, pick_rows, products},
};
use crate::{
    Annealing, ClassLogits, Curve, EmbeddingBatch, LogitRule, Progress,
    normalise::norms,
    psi::{blended_angle, blended_margin},
    telemetry::{LAMBDA, MARGIN},
};

settings! {
    /// Large-margin softmax: the target's angle is multiplied by a whole number, which λ blends in.
    pub struct LSoftmaxConfig {
        /// Factor m on the target's angle.
        margin: usize = 4, within(2, 4);
        /// How the margin is blended in: λ = max(minimum, base (1 + gamma t)^−power) after t steps. λ depends on
        /// the step alone, which a checkpoint holds, so a resumed run goes on with the λ it had. The defaults are
        /// SphereFace's; the release of L-Softmax trains MNIST with base 1000, gamma 2.5e-5, power 35 and minimum
        /// 0, and advises a minimum of 5 to 10 for harder data.
        lambda: Annealing = Annealing::default();
    }
}

/// z_y = ‖W_y‖ ‖x‖ (λ cos θ_y + ψ(θ_y)) / (1 + λ), z_j = W_j·x.
///
/// No bias, as in the paper's analysis and its release.
pub type LSoftmax = ClassWeights<LSoftmaxConfig>;

impl HeadKind for LSoftmaxConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = ‖W_y‖ ‖x‖ (λ cos θ_y + ψ(θ_y)) / (1 + λ);  z_j = W_j·x;  ψ(θ) = (−1)^k cos(mθ) − 2k on [kπ/m, (k+1)π/m]",
            source: "Liu et al., Large-Margin Softmax, ICML 2016, eq. 4 and 6; λ as in its release",
            gradient: "∂z_y/∂cos θ_y = ‖W_y‖ ‖x‖ (λ + (−1)^k m sin(mθ_y)/sin θ_y) / (1 + λ), k and λ being constants; to embeddings and weights, along their length as well",
        }
    }

    fn weights(&self, setup: &Setup) -> Param<Tensor<2>> {
        setup.unit_weights()
    }

    /// Divided by the length of the embedding, for weights of length 1.
    fn curve(&self, progress: Progress) -> Curve {
        let (margin, lambda) = (self.margin, self.lambda.at(progress));
        Curve::new(1.0, move |theta| blended_angle(theta, margin, lambda), f64::cos)
    }
}

impl ClassRule for LSoftmaxConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (margin, lambda) = (self.margin, self.lambda.at(batch.progress));
        let products = products(batch.embeddings.clone(), weight.clone(), None, false);
        let target = pick(&products, &batch.labels);
        let own_weights = pick_rows(weight.clone(), &batch.labels);
        let lengths = (norms(batch.embeddings.clone()) * norms(own_weights)).squeeze_dim::<1>(1);
        let cosine = target.clone() / lengths.clone();
        let target = target + lengths * blended_margin(cosine, margin, lambda);
        let telemetry =
            super::softmax::telemetry(batch, weight).known(MARGIN, margin as f64).known(LAMBDA, lambda);
        let logits =
            ClassLogits::new(products, target, batch.labels.clone(), LogitRule::Scaled { scale: 1.0 });
        ClassHeadOutput::new(logits, telemetry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{
        Case, Rows, annealed_to, blended_target, check_bad_keys, check_first_loss, check_head,
        check_head_of_many_classes, cosine, dot,
    };
    use std::f64::consts::PI;

    fn head(margin: usize, lambda: f64) -> impl Fn(Tensor<2>) -> LSoftmax {
        let config = LSoftmaxConfig { margin, lambda: annealed_to(lambda) };
        move |weight| LSoftmax { weight: Param::from_tensor(weight), config: config.clone() }
    }

    /// ‖W_y‖ ‖x‖ (λ cos θ + ψ(θ)) / (1 + λ) through arccos in f64, and W_j·x.
    fn logits(m: usize, lambda: f64) -> impl Fn(&Rows, &Rows, &[usize]) -> Rows {
        move |x, w, labels| {
            let target = |x: &[f64], w: &[f64]| {
                let lengths = ((dot(x, x) + 1e-10) * (dot(w, w) + 1e-10)).sqrt();
                lengths * blended_target(cosine(x, w), m, lambda)
            };
            let logit = |i: usize, j: usize| match labels[i] == j {
                true => target(&x[i], &w[j]),
                false => dot(&x[i], &w[j]),
            };
            (0..x.len()).map(|i| (0..w.len()).map(|j| logit(i, j)).collect()).collect()
        }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (m, lambda) in [(2, 5.0), (4, 0.0)] {
            for case in Case::all() {
                check_head(&format!("l_softmax {m} {lambda}"), &case, head(m, lambda), logits(m, lambda));
            }
        }
    }

    #[test]
    fn a_multiplied_angle_is_smooth_at_every_angle() {
        // As for a_softmax: the tolerances are those of smooth cases, also beside a kink of ψ.
        let half = PI / 2.0;
        for (m, angles) in
            [(2, [half - 1e-3, half + 1e-3, PI]), (3, [1.0, half, 3.0]), (4, [0.0, 1e-3, 1.5 * half + 1e-3])]
        {
            for theta in angles {
                let case = Case::smooth_at_angle(theta);
                check_head(&format!("l_softmax {m}"), &case, head(m, 0.0), logits(m, 0.0));
            }
        }
        check_head("l_softmax 2", &Case::at_angle(half), head(2, 0.0), logits(2, 0.0));
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        check_head_of_many_classes("l_softmax", &Case::many_classes(), head(4, 5.0), logits(4, 5.0));
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&LSoftmaxConfig::default());
        check_first_loss(&LSoftmaxConfig { margin: 4, lambda: annealed_to(0.0) });
    }

    #[test]
    fn a_margin_that_is_no_whole_number_names_key_value_and_range() {
        check_bad_keys::<LSoftmaxConfig>(&[
            ("margin = 1.5", "head.margin is 1.5; it must be a whole number from 2 to 4"),
            ("margin = 1", "head.margin is 1; it must be from 2 to 4"),
        ]);
    }
}
