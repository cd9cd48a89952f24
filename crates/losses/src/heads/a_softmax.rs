//! A-Softmax, the loss of SphereFace: the target's angle is multiplied.

use burn::tensor::Tensor;
use facegrad_settings::{settings, within};

use super::{ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, HeadKind};
use crate::{
    Annealing, Curve, EmbeddingBatch, Progress,
    psi::{blended_angle, blended_margin},
    telemetry::{LAMBDA, MARGIN},
};

settings! {
    /// Angular softmax: the target's angle is multiplied by a whole number, which λ blends in.
    pub struct ASoftmaxConfig {
        /// Factor m on the target's angle.
        margin: usize = 4, within(1, 4);
        /// How the margin is blended in: λ = max(minimum, base (1 + gamma t)^−power) after t steps. λ depends on
        /// the step alone, which a checkpoint holds, so a resumed run goes on with the λ it had.
        lambda: Annealing = Annealing::default();
    }
}

/// z_y = ‖x‖ (λ cos θ_y + ψ(θ_y)) / (1 + λ), z_j = ‖x‖ cos θ_j.
///
/// The gradient is that of the formula. The release for Caffe divides it by the length of its coefficients
/// instead, which is no derivative of any loss, and gives class weights that of the logits x·W_j, as if there were
/// no margin and no λ; and it counts its first step as t = 1, where this is t = 0.
pub type ASoftmax = ClassWeights<ASoftmaxConfig>;

impl HeadKind for ASoftmaxConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = ‖x‖ (λ cos θ_y + ψ(θ_y)) / (1 + λ);  z_j = ‖x‖ cos θ_j;  ψ(θ) = (−1)^k cos(mθ) − 2k on [kπ/m, (k+1)π/m]",
            source: "Liu et al., SphereFace, CVPR 2017, eq. 7; λ as in its release for Caffe, whose gradients differ: class weights\n\
         get that of the logits x·W_j, with no margin and no λ at all, and that of the embeddings is divided by the length of its coefficients",
            gradient: "∂z_y/∂cos θ_y = ‖x‖ (λ + (−1)^k m sin(mθ_y)/sin θ_y) / (1 + λ), k and λ being constants; to embeddings along their length as well, to weights along the sphere only",
        }
    }

    /// Divided by the length of the embedding.
    fn curve(&self, progress: Progress) -> Curve {
        let (margin, lambda) = (self.margin, self.lambda.at(progress));
        Curve::new(1.0, move |theta| blended_angle(theta, margin, lambda), f64::cos)
    }
}

impl ClassRule for ASoftmaxConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (margin, lambda) = (self.margin, self.lambda.at(batch.progress));
        let products = Cosines::times_length(batch, weight);
        let (norm, target) = (products.norm.clone(), products.target.clone());
        let cosine = target.clone() / norm.clone();
        let target = target + norm * blended_margin(cosine, margin, lambda);
        products.unscaled(target).known(MARGIN, margin as f64).known(LAMBDA, lambda)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use burn::module::Param;

    use super::super::HeadModule;
    use super::*;
    use crate::{
        Labels,
        heads::{ModifiedSoftmax, ModifiedSoftmaxConfig},
        reference::{
            Case, Rows, annealed_to, blended_target, check_bad_keys, check_equal_heads, check_first_loss,
            check_head, check_head_of_many_classes, reading, setup,
        },
    };
    use std::f64::consts::PI;

    fn head(margin: usize, lambda: f64) -> impl Fn(Tensor<2>) -> ASoftmax {
        let config = ASoftmaxConfig { margin, lambda: annealed_to(lambda) };
        move |weight| ASoftmax { weight: Param::from_tensor(weight), config: config.clone() }
    }

    fn logits(m: usize, lambda: f64) -> impl Fn(&Rows, &Rows, &[usize]) -> Rows {
        move |x, w, labels| {
            let cosines = Case::cosine_logits(x, w, labels, 1.0, |c| blended_target(c, m, lambda));
            let row = |(row, length): (Vec<f64>, f64)| row.into_iter().map(|c| length * c).collect();
            cosines.into_iter().zip(Case::norms(x)).map(row).collect()
        }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (m, lambda) in [(2, 0.0), (3, 5.0), (4, 0.0)] {
            for case in Case::all() {
                check_head(&format!("a_softmax {m} {lambda}"), &case, head(m, lambda), logits(m, lambda));
            }
        }
    }

    #[test]
    fn a_multiplied_angle_is_smooth_at_every_angle() {
        // ψ has no step and no corner where k changes, and as a polynomial in cos θ none at 0 and π, so the
        // tolerances are those of smooth cases. Only at θ = kπ/m itself, where the curvature jumps, are the
        // reference's central differences off by their step; the slope there is tested in psi.rs.
        for m in [2, 3, 4] {
            let kinks = (1..m).map(|k| k as f64 * PI / m as f64);
            let beside = kinks.clone().flat_map(|theta| [theta - 1e-3, theta + 1e-3]);
            for theta in [0.0, 1e-3, PI].into_iter().chain(beside) {
                let case = Case::smooth_at_angle(theta);
                check_head(&format!("a_softmax {m}"), &case, head(m, 0.0), logits(m, 0.0));
            }
            for theta in kinks {
                check_head(&format!("a_softmax {m}"), &Case::at_angle(theta), head(m, 0.0), logits(m, 0.0));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        check_head_of_many_classes("a_softmax", &Case::many_classes(), head(4, 5.0), logits(4, 5.0));
    }

    #[test]
    fn a_margin_of_1_is_modified_softmax() {
        for case in Case::all() {
            let plain = |weight| ModifiedSoftmax {
                weight: Param::from_tensor(weight),
                config: ModifiedSoftmaxConfig {},
            };
            check_equal_heads("a_softmax 1 = modified_softmax", &case, head(1, 5.0), plain);
        }
    }

    /// The angle from class 1, in degrees, at which an embedding of that class between two classes `between`
    /// degrees apart has equal logits: found by bisection on the module's logits.
    fn boundary(m: usize, between: f64) -> f64 {
        let device = Device::flex();
        let direction = |degrees: f64| [degrees.to_radians().cos() as f32, degrees.to_radians().sin() as f32];
        let weight = Tensor::<2>::from_floats([direction(0.0), direction(between)], &device);
        let head = head(m, 0.0)(weight);
        let is_class_1 = |degrees: f64| {
            let batch = EmbeddingBatch {
                embeddings: Tensor::<2>::from_floats([direction(degrees)], &device) * 3.0,
                labels: Labels::new(&[0], &device),
                progress: Progress::START,
                watched: false,
            };
            let z: Vec<f32> = head.forward(&batch).logits.written().into_data().try_to_vec().unwrap();
            z[0] > z[1]
        };
        let (mut inside, mut outside) = (0.0, between);
        for _ in 0..40 {
            let middle = 0.5 * (inside + outside);
            if is_class_1(middle) { inside = middle } else { outside = middle }
        }
        inside
    }

    #[test]
    fn two_classes_an_angle_apart_are_divided_at_its_m_plus_first_part_and_leave_a_margin() {
        for m in 1..=4 {
            for between in [30.0, 75.0, 120.0] {
                let (boundary, parts) = (boundary(m, between), (m + 1) as f64);
                assert!((boundary - between / parts).abs() < 1e-3, "m = {m}, K = {between}: {boundary}");
                // The other class ends as far from its own weight.
                let margin = between - 2.0 * boundary;
                let expected = (m as f64 - 1.0) / parts * between;
                assert!((margin - expected).abs() < 2e-3, "m = {m}, K = {between}: {margin}");
            }
        }
        assert!((30.0 - 2.0 * boundary(2, 30.0) - 10.0).abs() < 2e-3);
        assert!((120.0 - 2.0 * boundary(2, 120.0) - 40.0).abs() < 2e-3);
    }

    #[test]
    fn lambda_is_a_function_of_the_step_and_is_logged() {
        let device = Device::flex();
        let head = ASoftmax::new(&ASoftmaxConfig::default(), &setup(3, 2, 1, &device));
        let logged = |step| {
            let batch = EmbeddingBatch {
                embeddings: Tensor::<2>::from_floats([[1.0, 2.0]], &device),
                labels: Labels::new(&[1], &device),
                progress: Progress { step, total: 2000 },
                watched: false,
            };
            reading(head.forward(&batch).telemetry, LAMBDA)
        };
        assert_eq!([logged(0), logged(2000)], [1000.0, 5.0]);
        assert!((logged(1000) - 1000.0 / 121.0).abs() < 1e-12);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        check_first_loss(&ASoftmaxConfig::default());
        check_first_loss(&ASoftmaxConfig { margin: 4, lambda: annealed_to(0.0) });
        check_first_loss(&ASoftmaxConfig { margin: 2, lambda: annealed_to(0.0) });
        let plain = ModifiedSoftmaxConfig::default().expected_first_loss(1000, 128);
        assert_eq!(ASoftmaxConfig { margin: 1, ..Default::default() }.expected_first_loss(1000, 128), plain);
    }

    #[test]
    fn the_curve_ends_with_the_least_lambda() {
        let curve = ASoftmaxConfig::default().curve(Progress::END);
        assert!(((curve.target)(0.0) - 1.0).abs() < 1e-12);
        assert!(((curve.target)(PI) - (-5.0 - 7.0) / 6.0).abs() < 1e-12);
        assert_eq!((curve.other)(1.0, 0.0), 1f64.cos());
    }

    #[test]
    fn a_margin_that_is_no_whole_number_names_key_value_and_range() {
        check_bad_keys::<ASoftmaxConfig>(&[
            ("margin = 1.5", "head.margin is 1.5; it must be a whole number from 1 to 4"),
            ("margin = -2", "head.margin is -2; it must be a whole number from 1 to 4"),
            ("margin = 5", "head.margin is 5; it must be from 1 to 4"),
            ("lambda.minimum = -1", "head.lambda.minimum is -1; it must be from 0 to 1000000000"),
        ]);
    }
}
