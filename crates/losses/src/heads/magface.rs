//! MagFace: a margin that grows with the length of the embedding, and a pull on that length.

use burn::tensor::Tensor;
use facegrad_settings::{SettingsError, above, at_least, settings, within};

use super::{
    ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, Fallback, HeadKind,
    angular::AngularMargins, first_loss,
};
use crate::{Curve, EmbeddingBatch, Progress, Schedule, telemetry::MARGIN};

settings! {
    /// Magnitude-aware margin loss: the longer an embedding, the larger its margin on the angle.
    pub struct MagFaceConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Length l_a, at and below which the margin is margin_low.
        #[formerly = "l_a"]
        norm_low: f64 = 10.0, above(0.0);
        /// Length u_a, at and above which the margin is margin_high.
        #[formerly = "u_a"]
        norm_high: f64 = 110.0, above(0.0);
        /// Margin l_m of the shortest embeddings, in radians.
        #[formerly = "l_m"]
        margin_low: Schedule = Schedule::Constant(0.45), within(0.0, 1.5);
        /// Margin u_m of the longest embeddings, in radians.
        #[formerly = "u_m"]
        margin_high: Schedule = Schedule::Constant(0.8), within(0.0, 1.5);
        /// Weight λ_g of the pull to longer embeddings. A length a grows whatever the sample where it is at least
        /// s k u_a² a²/(u_a² − a²) with the margin's slope k = (u_m − l_m)/(u_a − l_a). With the defaults that is 23 at
        /// l_a, 93 at 20 and 1148 at 60, so that 35 suffices up to 12.4; beyond, samples that are classified well grow.
        #[formerly = "lambda_g"]
        norm_weight: f64 = 35.0, at_least(0.0);
        /// What the target logit is past θ = π − m. The paper does not say; the authors' code has easy_margin.
        fallback: Fallback = Fallback::EasyMargin;
    }
}

/// z_y = s cos(θ_y + m(a)), z_j = s cos θ_j with the length a, beside the penalty λ_g g(a).
///
/// As in the authors' code margin and penalty are both of the clamped length, so neither pulls at a length
/// outside l_a to u_a.
pub type MagFace = ClassWeights<MagFaceConfig>;

impl HeadKind for MagFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s cos(θ_y + m(a));  z_j = s cos θ_j;  past θ_y = π − m: see fallback\n\
         L + λ_g g(a) with g(a) = a/u_a² + 1/a, m(a) = l_m + (u_m − l_m)(a − l_a)/(u_a − l_a), a = clip(‖x‖, l_a, u_a)",
            source: "Meng et al., MagFace, CVPR 2021, section 3; m and g as in the authors' code",
            gradient: "along the sphere as arcface with this margin; along the embedding's length through m(a) and g(a), 0 outside l_a to u_a",
        }
    }

    /// Unit features have the margin of the shortest embeddings. The penalty is part of it.
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        let length = 1f64.clamp(self.norm_low, self.norm_high);
        let penalty = self.norm_weight * (length / self.norm_high.powi(2) + 1.0 / length);
        let curve = self.curve_of(length, Progress::START);
        first_loss::cross_entropy(classes, embedding, 1, &curve) + penalty
    }

    /// The shortest embeddings have the smallest margin.
    fn guessing_loss(&self, classes: usize, progress: Progress) -> f64 {
        first_loss::of_one_angle(classes, &self.curve_of(self.norm_low, progress))
    }

    /// For an embedding half-way between l_a and u_a.
    fn curve(&self, progress: Progress) -> Curve {
        self.curve_of(0.5 * (self.norm_low + self.norm_high), progress)
    }

    fn validate(&self, section: &str) -> Result<(), SettingsError> {
        if self.norm_low >= self.norm_high {
            return Err(SettingsError::conflict(
                format!("{section}.norm_low"),
                format!(
                    "is {}; it must be less than {section}.norm_high, which is {}",
                    self.norm_low, self.norm_high
                ),
            ));
        }
        for progress in [Progress::START, Progress::END] {
            let [low, high] = self.margins(progress);
            if low > high {
                return Err(SettingsError::conflict(
                    format!("{section}.margin_low"),
                    format!("is {low}; it must be at most {section}.margin_high, which is {high}"),
                ));
            }
        }
        Ok(())
    }
}

impl MagFaceConfig {
    /// l_m and u_m.
    fn margins(&self, progress: Progress) -> [f64; 2] {
        [self.margin_low.at(progress), self.margin_high.at(progress)]
    }

    /// For embeddings of `length`.
    fn curve_of(&self, length: f64, progress: Progress) -> Curve {
        let [low, high] = self.margins(progress);
        let margin = low + (high - low) * (length - self.norm_low) / (self.norm_high - self.norm_low);
        let (scale, fallback) = (self.scale.clone(), self.fallback);
        super::ArcFaceConfig { scale, margin: margin.into(), fallback, ..Default::default() }.curve(progress)
    }
}

impl ClassRule for MagFaceConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let MagFaceConfig { norm_low, norm_high, norm_weight, fallback, .. } = *self;
        let (scale, [low, high]) = (self.scale.at(batch.progress), self.margins(batch.progress));
        let cosines = Cosines::of(batch, weight);
        let length = cosines.norm.clone().clamp(norm_low, norm_high);
        let margin = (length.clone() - norm_low) * ((high - low) / (norm_high - norm_low)) + low;
        let target = AngularMargins::of(margin.clone()).add_to(cosines.target.clone(), fallback);
        let penalty = (length.clone() / (norm_high * norm_high) + length.recip()).mean() * norm_weight;
        ClassHeadOutput { penalty: Some(penalty), ..cosines.scaled(target, scale).mean(MARGIN, margin) }
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
            Case, Rows, angular_target as target, check_bad_keys, check_first_loss, check_head,
            check_head_of_many_classes, check_kink, check_loss, cross_entropy,
        },
    };

    fn head(config: &MagFaceConfig) -> impl Fn(Tensor<2>) -> MagFace + '_ {
        move |weight| MagFace { weight: Param::from_tensor(weight), config: config.clone() }
    }

    /// The loss with its penalty.
    fn loss(config: &MagFaceConfig) -> impl Fn(&EmbeddingBatch, Tensor<2>) -> Tensor<1> + '_ {
        move |batch, weight| {
            let output = head(config)(weight).forward(batch);
            CriterionConfig::default().loss(&output.logits) + output.penalty.expect("g(a)")
        }
    }

    fn logits(config: &MagFaceConfig, x: &Rows, w: &Rows, labels: &[usize], s: f64) -> Rows {
        let [low, high] = config.margins(Progress::END);
        let lengths = Case::norms(x);
        Case::logits_of_samples(x, w, labels, s, |i, c| {
            let share = (lengths[i].clamp(config.norm_low, config.norm_high) - config.norm_low)
                / (config.norm_high - config.norm_low);
            target(c, low * (1.0 - share) + high * share, config.fallback)
        })
    }

    fn penalty(config: &MagFaceConfig, x: &Rows) -> f64 {
        let g = |length: f64| {
            let a = length.clamp(config.norm_low, config.norm_high);
            a / config.norm_high / config.norm_high + 1.0 / a
        };
        config.norm_weight * Case::norms(x).into_iter().map(g).sum::<f64>() / x.len() as f64
    }

    #[test]
    fn value_and_gradient_match_the_reference_along_the_sphere_and_the_length() {
        let mut cases = Case::all();
        // Lengths inside the default l_a to u_a.
        cases.push(Case::random("lengths from 10 to 110", 5, 7, 6, 15.0));
        // Most cases have lengths of 1 to 4, where this margin has its slope.
        let sloped = |fallback| MagFaceConfig {
            scale: 16.0.into(),
            norm_low: 0.5,
            norm_high: 6.0,
            norm_weight: 2.0,
            fallback,
            ..Default::default()
        };
        for (config, s) in [
            (MagFaceConfig::default(), 64.0),
            (sloped(Fallback::EasyMargin), 16.0),
            (sloped(Fallback::Linear), 16.0),
        ] {
            for case in &cases {
                check_loss("magface", case, loss(&config), |x, w, labels| {
                    cross_entropy(&logits(&config, x, w, labels, s), labels) + penalty(&config, x)
                });
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        for fallback in Fallback::ALL.iter().copied() {
            // The sample of length 2 is half-way: m = 0.5.
            let config = MagFaceConfig {
                scale: 16.0.into(),
                norm_low: 1.0,
                norm_high: 3.0,
                margin_low: 0.4.into(),
                margin_high: 0.6.into(),
                norm_weight: 0.0,
                fallback,
            };
            let m = 0.5;
            for theta in [0.0, 1e-3, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI] {
                let case = Case::at_angle(theta);
                check_kink("magface", &case, head(&config), 16.0, |c| target(c, m, fallback));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let config = MagFaceConfig { norm_weight: 0.0, ..Default::default() };
        check_head_of_many_classes("magface", &Case::many_classes(), head(&config), |x, w, labels| {
            logits(&config, x, w, labels, 64.0)
        });
    }

    #[test]
    fn with_one_margin_for_all_lengths_and_no_pull_it_is_arcface() {
        let config = MagFaceConfig {
            margin_low: 0.5.into(),
            margin_high: 0.5.into(),
            norm_weight: 0.0,
            fallback: Fallback::Linear,
            ..Default::default()
        };
        for case in Case::all().into_iter().take(2) {
            check_head("magface, one margin", &case, head(&config), |x, w, labels| {
                Case::cosine_logits(x, w, labels, 64.0, |c| target(c, 0.5, Fallback::Linear))
            });
        }
    }

    #[test]
    fn the_penalty_of_the_defaults_falls_up_to_the_longest_embedding() {
        let config = MagFaceConfig::default();
        let at = |length: f64| penalty(&config, &vec![vec![length]]);
        // 35 (10/110² + 1/10) and 35 (1/110 + 1/110).
        assert!((at(10.0) - 3.528_926).abs() < 1e-6 && (at(110.0) - 0.636_364).abs() < 1e-6);
        assert!(at(10.0) > at(60.0) && at(60.0) > at(110.0));
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        for fallback in [Fallback::EasyMargin, Fallback::Linear] {
            let config = MagFaceConfig { scale: 16.0.into(), fallback, ..Default::default() };
            check_first_loss(&config);
        }
    }

    #[test]
    fn the_letters_of_the_paper_are_answered_with_the_words() {
        check_bad_keys::<MagFaceConfig>(&[
            ("l_a = 10", "head.l_a is not a key of this section; it is called head.norm_low now"),
            ("u_a = 110", "head.u_a is not a key of this section; it is called head.norm_high now"),
            ("l_m = 0.4", "head.l_m is not a key of this section; it is called head.margin_low now"),
            ("u_m = 0.8", "head.u_m is not a key of this section; it is called head.margin_high now"),
            (
                "lambda_g = 35",
                "head.lambda_g is not a key of this section; it is called head.norm_weight now",
            ),
        ]);
    }

    #[test]
    fn bounds_in_the_wrong_order_are_named() {
        let lengths = MagFaceConfig { norm_low: 110.0, ..Default::default() };
        let error = lengths.validate("head").unwrap_err().to_string();
        assert!(
            error.contains("head.norm_low is 110; it must be less than head.norm_high, which is 110"),
            "{error}"
        );
        let margins = MagFaceConfig { margin_low: 0.9.into(), ..Default::default() };
        let error = margins.validate("head").unwrap_err().to_string();
        assert!(
            error.contains("head.margin_low is 0.9; it must be at most head.margin_high, which is 0.8"),
            "{error}"
        );
    }
}
