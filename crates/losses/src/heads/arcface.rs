//! ArcFace: a margin on the target's angle.

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor},
};
use facegrad_settings::{above, choice, settings, within};

use super::{HeadKind, HeadModule, HeadOutput, Telemetry};
use crate::{Progress, Schedule};

choice! {
    /// What the target logit is past θ = π − m, where cos(θ + m) would rise again.
    pub enum Fallback {
        /// s (cos θ − m sin m): falls on, with a small step at π − m.
        Linear = "linear",
        /// The margin only where θ < π/2, plain cosine beyond.
        EasyMargin = "easy_margin",
        /// cos(θ + m) everywhere, as insightface computes it.
        None = "none",
    }
}

choice! {
    /// How the margin is differentiated.
    pub enum Gradient {
        /// As the formula says: ∂cos(θ+m)/∂cos θ = sin(θ+m)/sin θ.
        Exact = "exact",
        /// As insightface does: the margin is a constant, so the derivative is 1.
        Detached = "detached",
    }
}

settings! {
    /// Additive angular margin loss: a constant added to the target's angle.
    pub struct ArcFaceConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Margin m on the target's angle, in radians.
        margin: Schedule = Schedule::Constant(0.5), within(0.0, 1.5);
        /// What the target logit is past θ = π − m.
        fallback: Fallback = Fallback::Linear;
        /// Whether the margin is part of the gradient.
        gradient: Gradient = Gradient::Exact;
    }
}

/// z_y = s cos(θ_y + m), z_j = s cos θ_j.
#[derive(Module, Debug)]
pub struct ArcFace {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    config: ArcFaceConfig,
}

/// Inside the root of sin θ = √((1 − c)(1 + c) + ε): the value at θ = 0 is off by √ε sin m = 5e-6, and the
/// slope sin(θ+m)/sin θ, infinite there, stays below 1e5.
const EPSILON: f64 = 1e-10;

impl HeadKind for ArcFaceConfig {
    type Head = ArcFace;

    const FORMULA: &'static str = "z_y = s cos(θ_y + m);  z_j = s cos θ_j;  past θ_y = π − m: see fallback";
    const SOURCE: &'static str = "Deng et al., ArcFace, CVPR 2019, eq. 3";

    fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> ArcFace {
        ArcFace {
            weight: Param::from_tensor(super::normal_weights(classes, embedding, 0.01, seed, device)),
            config: self.clone(),
        }
    }

    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        let start = Progress { step: 0, total: 1 };
        let (scale, margin) = (self.scale.at(start), self.margin.at(start));
        super::expected_cosine_loss(classes, embedding, scale) + scale * margin.sin()
    }
}

impl HeadModule for ArcFace {
    fn forward(&self, embeddings: Tensor<2>, labels: Tensor<1, Int>, progress: Progress) -> HeadOutput {
        let (scale, margin) = (self.config.scale.at(progress), self.config.margin.at(progress));
        let with_margin = |cosine| with_angular_margin(cosine, margin, self.config.fallback, self.config.gradient);
        let (logits, target_cosine, feature_norm) =
            super::cosine_logits(embeddings, self.weight.val(), labels, scale, with_margin);
        let telemetry = Telemetry { target_cosine, feature_norm, margin: Some(margin), scale: Some(scale) };
        HeadOutput { logits, telemetry }
    }
}

/// cos(θ + m) from cos θ by the addition theorem, with the fallback past its range. Shapes `[batch, 1]`.
fn with_angular_margin(cosine: Tensor<2>, margin: f64, fallback: Fallback, gradient: Gradient) -> Tensor<2> {
    // Rounding can push a cosine past 1, where the root below would be NaN.
    let c = cosine.clone().clamp(-1.0, 1.0);
    // (1 − c)(1 + c) keeps the digits near c = 1 that 1 − c² loses.
    let sine = ((c.clone().neg() + 1.0) * (c.clone() + 1.0) + EPSILON).sqrt();
    let shifted = c.clone() * margin.cos() - sine * margin.sin();
    let target = match fallback {
        Fallback::None => shifted,
        Fallback::Linear => {
            let past = c.clone().lower_equal_elem(-margin.cos());
            shifted.mask_where(past, c - margin * margin.sin())
        }
        Fallback::EasyMargin => {
            let obtuse = c.clone().lower_equal_elem(0.0);
            shifted.mask_where(obtuse, c)
        }
    };
    match gradient {
        Gradient::Exact => target,
        Gradient::Detached => cosine.clone() + (target - cosine).detach(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Case, check_head, check_head_of_many_classes, check_kink};
    use super::*;
    use std::f64::consts::PI;

    fn head(config: &ArcFaceConfig) -> impl Fn(Tensor<2>) -> ArcFace + '_ {
        move |weight| ArcFace { weight: Param::from_tensor(weight), config: config.clone() }
    }

    /// The formula with arccos and cos, in f64.
    fn target(cosine: f64, m: f64, fallback: Fallback) -> f64 {
        let theta = cosine.clamp(-1.0, 1.0).acos();
        match fallback {
            Fallback::Linear if theta >= PI - m => cosine - m * m.sin(),
            Fallback::EasyMargin if cosine <= 0.0 => cosine,
            _ => (theta + m).cos(),
        }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for fallback in Fallback::ALL.iter().copied() {
            for (s, m) in [(64.0, 0.5), (30.0, 0.1), (8.0, 1.2)] {
                let config = ArcFaceConfig { scale: s.into(), margin: m.into(), fallback, ..Default::default() };
                for case in Case::all() {
                    check_head("arcface", &case, head(&config), |x, w, labels| {
                        Case::cosine_logits(x, w, labels, s, |c| target(c, m, fallback))
                    });
                }
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        for fallback in Fallback::ALL.iter().copied() {
            let m = 0.5;
            let config = ArcFaceConfig { scale: 16.0.into(), margin: m.into(), fallback, ..Default::default() };
            for theta in [0.0, 1e-3, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI] {
                let case = Case::at_angle(theta);
                check_kink("arcface", &case, head(&config), 16.0, |c| target(c, m, fallback));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let config = ArcFaceConfig::default();
        check_head_of_many_classes("arcface", &Case::many_classes(), head(&config), |x, w, labels| {
            Case::cosine_logits(x, w, labels, 64.0, |c| target(c, 0.5, Fallback::Linear))
        });
    }

    #[test]
    fn a_detached_margin_has_the_value_of_the_exact_one_and_the_gradient_of_a_shift() {
        let m = 0.5;
        let config = ArcFaceConfig { scale: 16.0.into(), gradient: Gradient::Detached, ..Default::default() };
        for case in Case::all() {
            let shift: Vec<f64> = case.target_cosines().iter().map(|c| target(*c, m, Fallback::Linear) - c).collect();
            // A shift per sample, constant in the derivative: the reference for both value and gradient.
            check_head("arcface detached", &case, head(&config), |x, w, labels| {
                let mut logits = Case::cosine_logits(x, w, labels, 16.0, |c| c);
                for (i, label) in labels.iter().enumerate() {
                    logits[i][*label] += 16.0 * shift[i];
                }
                logits
            });
        }
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        use burn::tensor::Distribution;
        let device = Device::flex();
        device.seed(3);
        let (classes, embedding, batch) = (1000, 128, 256);
        let config = ArcFaceConfig { scale: 16.0.into(), ..Default::default() };
        let head = config.init(classes, embedding, 5, &device);
        let x = Tensor::<2>::random([batch, embedding], Distribution::Normal(0.0, 1.0), &device);
        let labels = Tensor::<1, Int>::arange(0..batch as i64, &device);
        let output = head.forward(x, labels.clone(), Progress { step: 0, total: 1 });
        let loss = crate::CriterionConfig::default().loss(output.logits, labels).into_scalar::<f32>();
        let expected = config.expected_first_loss(classes, embedding);
        assert!((f64::from(loss) - expected).abs() < 0.05 * expected, "{loss} against {expected}");
    }
}
