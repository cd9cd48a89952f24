//! ArcFace: a margin on the target's angle.

use std::f64::consts::PI;

use burn::tensor::Tensor;
use facegrad_settings::{above, choice, settings, within};

use super::{
    ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, Fallback, HeadKind,
    angular::AngularMargins,
};
use crate::{Curve, EmbeddingBatch, Progress, Schedule, telemetry::MARGIN};

choice! {
    /// How the margin is differentiated.
    pub enum Gradient {
        /// As the formula says: ∂cos(θ+m)/∂cos θ = sin(θ+m)/sin θ.
        Exact = "exact",
        /// As insightface now does, which computes the angle outside the graph: the margin is a constant, so the
        /// derivative is 1.
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
pub type ArcFace = ClassWeights<ArcFaceConfig>;

impl HeadKind for ArcFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s cos(θ_y + m);  z_j = s cos θ_j;  past θ_y = π − m: see fallback",
            source: "Deng et al., ArcFace, CVPR 2019, eq. 3\n\
         insightface (PyTorch) has had two forms: one is differentiated as it stands, with the linear fallback: the defaults here;\n\
         the other takes arccos and cos outside the graph, without a fallback: gradient = \"detached\", fallback = \"none\"",
            gradient: "∂z_y/∂cos θ_y = s sin(θ_y + m)/sin θ_y, or s with gradient = \"detached\"; to embeddings and weights through unit vectors, so along the sphere only",
        }
    }

    fn curve(&self, progress: Progress) -> Curve {
        let (margin, fallback) = (self.margin.at(progress), self.fallback);
        Curve::new(
            self.scale.at(progress),
            move |theta| match fallback {
                Fallback::Linear if theta >= PI - margin => theta.cos() - margin * margin.sin(),
                Fallback::EasyMargin if theta >= PI / 2.0 => theta.cos(),
                _ => (theta + margin).cos(),
            },
            f64::cos,
        )
    }
}

impl ClassRule for ArcFaceConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let ArcFaceConfig { scale, margin, fallback, gradient } = self;
        let (scale, margin) = (scale.at(batch.progress), margin.at(batch.progress));
        let cosines = Cosines::of(batch, weight);
        let target = with_angular_margin(cosines.target.clone(), margin, *fallback, *gradient);
        cosines.scaled(target, scale).known(MARGIN, margin)
    }
}

/// cos(θ + m) from cos θ by the addition theorem, with the fallback past its range. Shapes `[batch]`.
pub(super) fn with_angular_margin(
    cosine: Tensor<1>,
    margin: f64,
    fallback: Fallback,
    gradient: Gradient,
) -> Tensor<1> {
    let margins = vec![margin; cosine.dims()[0]];
    let target = AngularMargins::constant(&margins, &cosine.device()).add_to(cosine.clone(), fallback);
    match gradient {
        Gradient::Exact => target,
        Gradient::Detached => cosine.clone() + (target - cosine).detach(),
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;
    use crate::reference::{
        Case, angular_target as target, check_bad_keys, check_first_loss, check_head,
        check_head_of_many_classes, check_kink,
    };

    fn head(config: &ArcFaceConfig) -> impl Fn(Tensor<2>) -> ArcFace + '_ {
        move |weight| ArcFace { weight: Param::from_tensor(weight), config: config.clone() }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (s, m, fallback) in [
            (64.0, 0.5, Fallback::Linear),
            (8.0, 1.2, Fallback::Linear),
            (30.0, 0.1, Fallback::EasyMargin),
            (8.0, 1.2, Fallback::None),
        ] {
            let config = ArcFaceConfig { scale: s.into(), margin: m.into(), fallback, ..Default::default() };
            for case in Case::all() {
                check_head("arcface", &case, head(&config), |x, w, labels| {
                    Case::cosine_logits(x, w, labels, s, |c| target(c, m, fallback))
                });
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        for fallback in Fallback::ALL.iter().copied() {
            let m = 0.5;
            let config =
                ArcFaceConfig { scale: 16.0.into(), margin: m.into(), fallback, ..Default::default() };
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
            let shift: Vec<f64> =
                case.target_cosines().iter().map(|c| target(*c, m, Fallback::Linear) - c).collect();
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
        for fallback in Fallback::ALL.iter().copied() {
            check_first_loss(&ArcFaceConfig { scale: 16.0.into(), fallback, ..Default::default() });
        }
    }

    #[test]
    fn a_bad_key_is_named_with_its_value_and_range() {
        check_bad_keys::<ArcFaceConfig>(&[
            ("scale = -1", "head.scale is -1; it must be more than 0 and at most 1000"),
            ("margin = 28.6", "head.margin is 28.6; it must be from 0 to 1.5"),
            (
                "gradient = 'approximate'",
                "head.gradient is \"approximate\"; it must be one of exact, detached",
            ),
        ]);
    }
}
