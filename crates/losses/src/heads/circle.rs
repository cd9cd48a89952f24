//! Circle loss with class labels: each cosine is weighted by how far it is from where it should be.

use burn::tensor::{Tensor, activation};
use facegrad_settings::{above, choice, settings, within};

use super::{ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, HeadKind};
use crate::{
    Curve, EmbeddingBatch, LogitRule, Progress, Schedule,
    telemetry::{MARGIN, SCALE},
};

choice! {
    /// How the weight of a cosine is differentiated.
    pub enum WeightGradient {
        /// As in the paper: the weight is a constant.
        Detached = "detached",
        /// As the value says: with the derivative of the weight.
        Exact = "exact",
    }
}

settings! {
    /// Circle loss: cosines are pulled the harder the further they are from 1, or from 0 for other classes.
    pub struct CircleConfig {
        /// Scale γ.
        scale: Schedule = Schedule::Constant(256.0), above(0.0).up_to(1000.0);
        /// Relaxation m: the target's cosine is to be above 1 − m, the others below m.
        margin: Schedule = Schedule::Constant(0.25), within(0.0, 1.0);
        /// Whether the weight of a cosine is part of the gradient.
        gradient: WeightGradient = WeightGradient::Detached;
    }
}

/// z_y = γ [1 + m − c]₊ (c − (1 − m)), z_j = γ [c_j + m]₊ (c_j − m).
pub type Circle = ClassWeights<CircleConfig>;

impl HeadKind for CircleConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = γ [1 + m − cos θ_y]₊ (cos θ_y − (1 − m));  z_j = γ [cos θ_j + m]₊ (cos θ_j − m)",
            source: "Sun et al., Circle Loss, CVPR 2020, section 3, with class weights",
            gradient: "∂z_y/∂cos θ_y = γ [1 + m − cos θ_y]₊, ∂z_j/∂cos θ_j = γ [cos θ_j + m]₊, the weights being constants; with gradient = \"exact\" 2γ (1 − cos θ_y) and, above −m, 2γ cos θ_j; along the sphere only",
        }
    }

    fn curve(&self, progress: Progress) -> Curve {
        let m = self.margin.at(progress);
        Curve::new(
            self.scale.at(progress),
            move |theta| (1.0 + m - theta.cos()).max(0.0) * (theta.cos() - (1.0 - m)),
            move |theta| (theta.cos() + m).max(0.0) * (theta.cos() - m),
        )
    }
}

impl ClassRule for CircleConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (scale, margin) = (self.scale.at(batch.progress), self.margin.at(batch.progress));
        let detached = self.gradient == WeightGradient::Detached;
        let cosines = Cosines::of(batch, weight);
        let c = cosines.target.clone();
        let weight = activation::relu(c.clone().neg() + (1.0 + margin));
        let weight = if detached { weight.detach() } else { weight };
        let target = weight * (c - (1.0 - margin)) * scale;
        let output = cosines.logits(target, LogitRule::Circle { scale, margin, detached });
        output.known(MARGIN, margin).known(SCALE, scale)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use burn::module::Param;

    use super::super::HeadModule;
    use super::*;
    use crate::{
        CriterionConfig,
        reference::{
            Case, Rows, check_bad_keys, check_head, check_head_of_many_classes, check_loss, cosine,
            cross_entropy,
        },
    };

    fn head(config: &CircleConfig) -> impl Fn(Tensor<2>) -> Circle + '_ {
        move |weight| Circle { weight: Param::from_tensor(weight), config: config.clone() }
    }

    /// The logits with the weights of the cosines at `at`: at x for the formula, elsewhere for constants.
    fn logits(x: &Rows, w: &Rows, at: (&Rows, &Rows), labels: &[usize], gamma: f64, m: f64) -> Rows {
        let logit = |i: usize, j: usize| {
            let (c, there) = (cosine(&x[i], &w[j]), cosine(&at.0[i], &at.1[j]));
            match labels[i] == j {
                true => gamma * (1.0 + m - there).max(0.0) * (c - (1.0 - m)),
                false => gamma * (there + m).max(0.0) * (c - m),
            }
        };
        (0..x.len()).map(|i| (0..w.len()).map(|j| logit(i, j)).collect()).collect()
    }

    const SETTINGS: [(f64, f64); 2] = [(256.0, 0.25), (16.0, 0.0)];

    #[test]
    fn value_and_exact_gradient_match_the_reference() {
        for (gamma, m) in SETTINGS {
            let gradient = WeightGradient::Exact;
            let config = CircleConfig { scale: gamma.into(), margin: m.into(), gradient };
            for case in Case::all() {
                check_head("circle, exact", &case, head(&config), |x, w, labels| {
                    logits(x, w, (x, w), labels, gamma, m)
                });
            }
        }
    }

    #[test]
    fn the_gradient_of_the_paper_takes_the_weights_of_the_cosines_as_constants() {
        for (gamma, m) in SETTINGS {
            let config = CircleConfig { scale: gamma.into(), margin: m.into(), ..Default::default() };
            for case in Case::all() {
                check_head("circle", &case, head(&config), |x, w, labels| {
                    logits(x, w, (&case.x, &case.w), labels, gamma, m)
                });
            }
        }
    }

    /// The value is continuous: it has the tolerance of `check_loss`. The exact gradient jumps where another
    /// class has cos θ_j = −m, as the class at (0, −1, 0.5) does near θ = 0.28, so it only has to be finite.
    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        let (gamma, m) = (16.0, 0.25);
        for gradient in WeightGradient::ALL.iter().copied() {
            let config = CircleConfig { scale: gamma.into(), margin: m.into(), gradient };
            let kink = (m * 1.25f64.sqrt()).asin();
            for theta in [0.0, 1e-3, kink, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI] {
                check_loss(
                    "circle",
                    &Case::at_angle(theta),
                    |batch, w| CriterionConfig::default().loss(&head(&config)(w).forward(batch).logits),
                    |x, w, labels| cross_entropy(&logits(x, w, (x, w), labels, gamma, m), labels),
                );
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let case = Case::many_classes();
        let config = CircleConfig { scale: 64.0.into(), ..Default::default() };
        check_head_of_many_classes("circle", &case, head(&config), |x, w, labels| {
            logits(x, w, (&case.x, &case.w), labels, 64.0, 0.25)
        });
    }

    /// (c_n − 0)² + (c_p − 1)² = 2 m²: at c_n = m, c_p = 1 − m both logits are 0, and so is their difference
    /// anywhere on the circle.
    #[test]
    fn the_decision_boundary_is_a_circle() {
        let m = 0.25;
        let curve = CircleConfig::default().curve(Progress::END);
        for angle in [0.0f64, 0.5, 1.0, 1.5] {
            let radius = 2f64.sqrt() * m;
            let (c_n, c_p) = (radius * angle.cos(), 1.0 - radius * angle.sin());
            assert!(((curve.target)(c_p.acos()) - (curve.other)(c_n.acos(), 0.0)).abs() < 1e-12, "{angle}");
        }
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        crate::reference::check_first_loss(&CircleConfig::default());
    }

    #[test]
    fn a_negative_scale_is_named_with_its_range() {
        check_bad_keys::<CircleConfig>(&[(
            "scale = -1",
            "head.scale is -1; it must be more than 0 and at most 1000",
        )]);
    }
}
