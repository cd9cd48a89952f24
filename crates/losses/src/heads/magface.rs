//! MagFace: a margin that grows with the length of the embedding, and a pull on that length.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor},
};
use facegrad_settings::{SettingsError, above, at_least, settings, within};

use super::{Cosines, Fallback, HeadKind, HeadModule, HeadOutput, angular::AngularMargins};
use crate::{
    Batch, Curve, Logits, Progress, Rule, Schedule,
    telemetry::{MARGIN, SCALE},
};

settings! {
    /// Magnitude-aware margin loss: the longer an embedding, the larger its margin on the angle.
    pub struct MagFaceConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// The length at and below which the margin is l_m.
        l_a: f64 = 10.0, above(0.0);
        /// The length at and above which the margin is u_m.
        u_a: f64 = 110.0, above(0.0);
        /// Margin of the shortest embeddings, in radians.
        l_m: Schedule = Schedule::Constant(0.45), within(0.0, 1.5);
        /// Margin of the longest embeddings, in radians.
        u_m: Schedule = Schedule::Constant(0.8), within(0.0, 1.5);
        /// Weight λ_g of the pull to longer embeddings. Lengths grow where it is at least
        /// s k u_a² l_a²/(u_a² − l_a²) with the margin's slope k = (u_m − l_m)/(u_a − l_a): 23 with the defaults.
        lambda_g: f64 = 35.0, at_least(0.0);
        /// What the target logit is past θ = π − m. The paper does not say; the authors' code has easy_margin.
        fallback: Fallback = Fallback::EasyMargin;
    }
}

/// z_y = s cos(θ_y + m(a)), z_j = s cos θ_j with the length a, beside the penalty λ_g g(a).
///
/// As in the authors' code margin and penalty are both of the clamped length, so neither pulls at a length
/// outside l_a to u_a.
#[derive(Module, Debug)]
pub struct MagFace {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    config: MagFaceConfig,
}

impl HeadKind for MagFaceConfig {
    type Head = MagFace;

    const FORMULA: &'static str = "z_y = s cos(θ_y + m(a));  z_j = s cos θ_j;  past θ_y = π − m: see fallback\n\
         L + λ_g g(a) with g(a) = a/u_a² + 1/a, m(a) = l_m + (u_m − l_m)(a − l_a)/(u_a − l_a), a = clip(‖x‖, l_a, u_a)";
    const SOURCE: &'static str =
        "Meng et al., MagFace, CVPR 2021, section 3; m and g as in the authors' code";
    const GRADIENT: &'static str = "along the sphere as arcface with this margin; along the embedding's length through m(a) and g(a), 0 outside l_a to u_a";

    fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> MagFace {
        MagFace {
            weight: Param::from_tensor(super::normal_weights(classes, embedding, 0.01, seed, device)),
            config: self.clone(),
        }
    }

    /// Unit features have the margin of the shortest embeddings. The penalty is part of it.
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> Option<f64> {
        let (scale, [low, high]) = (self.scale.at(Progress::START), self.margins(Progress::START));
        let a = 1f64.clamp(self.l_a, self.u_a);
        let margin = low + (high - low) * (a - self.l_a) / (self.u_a - self.l_a);
        let shift = self.fallback.expected_shift(margin, embedding);
        let penalty = self.lambda_g * (a / self.u_a.powi(2) + 1.0 / a);
        Some(super::expected_cosine_loss(classes, embedding, scale) + scale * shift + penalty)
    }

    /// For an embedding half-way between l_a and u_a.
    fn curve(&self) -> Curve {
        let [low, high] = self.margins(Progress::END);
        super::ArcFaceConfig {
            margin: (0.5 * (low + high)).into(),
            fallback: self.fallback,
            ..Default::default()
        }
        .curve()
    }

    fn validate(&self, section: &str) -> Result<(), SettingsError> {
        if self.l_a >= self.u_a {
            return Err(SettingsError::conflict(
                format!("{section}.l_a"),
                format!("is {}; it must be less than {section}.u_a, which is {}", self.l_a, self.u_a),
            ));
        }
        for progress in [Progress::START, Progress::END] {
            let [low, high] = self.margins(progress);
            if low > high {
                return Err(SettingsError::conflict(
                    format!("{section}.l_m"),
                    format!("is {low}; it must be at most {section}.u_m, which is {high}"),
                ));
            }
        }
        Ok(())
    }
}

impl MagFaceConfig {
    /// l_m and u_m.
    fn margins(&self, progress: Progress) -> [f64; 2] {
        [self.l_m.at(progress), self.u_m.at(progress)]
    }
}

impl HeadModule for MagFace {
    fn forward(&self, batch: &Batch) -> HeadOutput {
        let MagFaceConfig { l_a, u_a, lambda_g, fallback, .. } = self.config;
        let (scale, [low, high]) =
            (self.config.scale.at(batch.progress), self.config.margins(batch.progress));
        let cosines = Cosines::of(batch, self.weight.val());
        let length = cosines.norm.clone().clamp(l_a, u_a);
        let margin = (length.clone() - l_a) * ((high - low) / (u_a - l_a)) + low;
        let target = AngularMargins::of(margin.clone()).add_to(cosines.target.clone(), fallback) * scale;
        let penalty = (length.clone() / (u_a * u_a) + length.recip()).mean() * lambda_g;
        let telemetry = cosines.telemetry(batch).mean(MARGIN, margin).known(SCALE, scale);
        let logits = Logits::new(cosines.all, target, batch.labels.clone(), Rule::Scaled { scale });
        HeadOutput { penalty: Some(penalty), ..HeadOutput::new(logits, telemetry) }
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;
    use crate::{
        CriterionConfig,
        reference::{
            Case, Rows, angular_target as target, check_first_loss, check_head, check_head_of_many_classes,
            check_kink, check_loss, cross_entropy,
        },
    };

    fn head(config: &MagFaceConfig) -> impl Fn(Tensor<2>) -> MagFace + '_ {
        move |weight| MagFace { weight: Param::from_tensor(weight), config: config.clone() }
    }

    /// The loss with its penalty.
    fn loss(config: &MagFaceConfig) -> impl Fn(&Batch, Tensor<2>) -> Tensor<1> + '_ {
        move |batch, weight| {
            let output = head(config)(weight).forward(batch);
            CriterionConfig::default().loss(&output.logits) + output.penalty.expect("g(a)")
        }
    }

    fn logits(config: &MagFaceConfig, x: &Rows, w: &Rows, labels: &[usize], s: f64) -> Rows {
        let [low, high] = config.margins(Progress::END);
        let lengths = Case::norms(x);
        Case::logits_of_samples(x, w, labels, s, |i, c| {
            let share = (lengths[i].clamp(config.l_a, config.u_a) - config.l_a) / (config.u_a - config.l_a);
            target(c, low * (1.0 - share) + high * share, config.fallback)
        })
    }

    fn penalty(config: &MagFaceConfig, x: &Rows) -> f64 {
        let g = |length: f64| {
            let a = length.clamp(config.l_a, config.u_a);
            a / config.u_a / config.u_a + 1.0 / a
        };
        config.lambda_g * Case::norms(x).into_iter().map(g).sum::<f64>() / x.len() as f64
    }

    #[test]
    fn value_and_gradient_match_the_reference_along_the_sphere_and_the_length() {
        let mut cases = Case::all();
        // Lengths inside the default l_a to u_a.
        cases.push(Case::random("lengths from 10 to 110", 5, 7, 6, 15.0));
        // Most cases have lengths of 1 to 4, where this margin has its slope.
        let sloped = |fallback| MagFaceConfig {
            scale: 16.0.into(),
            l_a: 0.5,
            u_a: 6.0,
            lambda_g: 2.0,
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
                l_a: 1.0,
                u_a: 3.0,
                l_m: 0.4.into(),
                u_m: 0.6.into(),
                lambda_g: 0.0,
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
        let config = MagFaceConfig { lambda_g: 0.0, ..Default::default() };
        check_head_of_many_classes("magface", &Case::many_classes(), head(&config), |x, w, labels| {
            logits(&config, x, w, labels, 64.0)
        });
    }

    #[test]
    fn with_one_margin_for_all_lengths_and_no_pull_it_is_arcface() {
        let config = MagFaceConfig {
            l_m: 0.5.into(),
            u_m: 0.5.into(),
            lambda_g: 0.0,
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
            check_first_loss(&config, 1000, 128);
        }
    }

    #[test]
    fn bounds_in_the_wrong_order_are_named() {
        let lengths = MagFaceConfig { l_a: 110.0, ..Default::default() };
        let error = lengths.validate("head").unwrap_err().to_string();
        assert!(error.contains("head.l_a is 110; it must be less than head.u_a, which is 110"), "{error}");
        let margins = MagFaceConfig { l_m: 0.9.into(), ..Default::default() };
        let error = margins.validate("head").unwrap_err().to_string();
        assert!(error.contains("head.l_m is 0.9; it must be at most head.u_m, which is 0.8"), "{error}");
    }
}
