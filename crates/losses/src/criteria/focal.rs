//! Focal loss: cross-entropy in which well-classified samples count less.

use burn::tensor::Tensor;
use facegrad_settings::{above, settings, within};

use super::CriterionKind;
use crate::{ClassLogits, Reduction};

settings! {
    /// Cross-entropy in which well-classified samples count less.
    pub struct FocalConfig {
        /// Exponent γ of 1 − p; 0 gives cross-entropy.
        gamma: f64 = 2.0, within(0.0, 10.0);
        /// Factor α of the loss; left out, there is none. With many classes it only scales the loss.
        alpha: Option<f64> = None, above(0.0).up_to(1.0);
    }
}

impl CriterionKind for FocalConfig {
    fn formula(&self) -> &'static str {
        "−α (1 − p_y)^γ log p_y,  p = softmax(z)"
    }

    fn source(&self) -> &'static str {
        "Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, eq. 5; per sample, over the softmax"
    }

    fn loss(&self, logits: &ClassLogits) -> Tensor<1> {
        // −log p_y, which rounding must not make negative.
        let q = (logits.reduce(Reduction::LogSumExp) - logits.target()).clamp_min(0.0);
        let loss = match self.gamma {
            0.0 => q.mean(),
            gamma => focused(q, gamma).mean(),
        };
        match self.alpha {
            Some(alpha) => loss * alpha,
            None => loss,
        }
    }
}

/// Below this q the power of 1 − e^{−q} is computed from its series.
const SMALL: f64 = 0.05;

/// q (1 − e^{−q})^γ for q ≥ 0, `[batch]`; value and slope are finite at any q and γ.
fn focused(q: Tensor<1>, gamma: f64) -> Tensor<1> {
    let small = q.clone().lower_elem(SMALL);
    // Each form sees its own range only, so that neither divides by 0 nor overflows where it is not taken.
    let (low, high) = (q.clone().clamp_max(SMALL), q.clamp_min(SMALL));
    // q^(1+γ) ((1 − e^{−q})/q)^γ: 1 − e^{−q} would lose its digits, and the slope of its power be infinite at 0.
    let ratio = (((low.clone() * -0.25 + 1.0) * low.clone() * (-1.0 / 3.0) + 1.0) * low.clone() * -0.5) + 1.0;
    let low = low.powf_scalar(1.0 + gamma) * ratio.powf_scalar(gamma);
    let power = (high.clone().neg().exp().neg() + 1.0).powf_scalar(gamma);
    (high * power).mask_where(small, low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CriterionConfig,
        criteria::CrossEntropyConfig,
        reference::{check_bad_keys, check_criterion, for_each_form, log_sum_exp, loss_of_rows},
    };

    /// −α (1 − p)^γ log p in f64.
    fn of_row(row: &[f64], y: usize, gamma: f64, alpha: f64) -> f64 {
        let q = log_sum_exp(row) - row[y];
        alpha * (-(-q).exp_m1()).powf(gamma) * q
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (gamma, alpha) in [(2.0, None), (0.5, Some(0.25))] {
            let focal = CriterionConfig::Focal(FocalConfig { gamma, alpha });
            check_criterion("focal", &focal, |row, y| of_row(row, y, gamma, alpha.unwrap_or(1.0)));
        }
    }

    #[test]
    fn focal_loss_with_gamma_0_is_cross_entropy() {
        let focal = CriterionConfig::Focal(FocalConfig { gamma: 0.0, alpha: None });
        let plain = CriterionConfig::CrossEntropy(CrossEntropyConfig::default());
        for_each_form("focal, γ = 0", |device, what| {
            let rows = vec![vec![2.0, -1.0, 0.5], vec![40.0, -40.0, 0.0]];
            let [a, b] = [&focal, &plain].map(|criterion| loss_of_rows(criterion, &rows, &[0, 1], device));
            assert_eq!(a, b, "{what}");
        });
    }

    #[test]
    fn the_loss_and_its_slope_are_finite_and_right_as_p_goes_to_1_and_to_0() {
        for gamma in [0.1, 0.5, 1.0, 2.0, 10.0] {
            let focal = CriterionConfig::Focal(FocalConfig { gamma, alpha: None });
            for_each_form(&format!("focal, γ = {gamma}"), |device, what| {
                // p = 1: nothing left to learn.
                for z in [20.0, 1e4, 1e30] {
                    let (loss, gradient) = loss_of_rows(&focal, &vec![vec![z, -z, 0.0]], &[0], device);
                    assert!((0.0..1e-6).contains(&loss), "{what}, {z}: {loss}");
                    assert!(gradient.iter().all(|g| g.abs() < 1e-2), "{what}, {z}: {gradient:?}");
                }
                // p = 0: as cross-entropy.
                for z in [20.0, 1e4, 1e30] {
                    let (loss, gradient) = loss_of_rows(&focal, &vec![vec![-z, z, 0.0]], &[0], device);
                    assert!((loss - 2.0 * z).abs() <= 1e-5 * z, "{what}, {z}: {loss}");
                    for (g, expected) in gradient.iter().zip([-1.0, 1.0, 0.0]) {
                        assert!((g - expected).abs() < 1e-5, "{what}, {z}: {gradient:?}");
                    }
                }
            });
        }
    }

    #[test]
    fn a_small_and_a_large_loss_meet_where_the_forms_change() {
        let config = FocalConfig { gamma: 3.0, alpha: None };
        for q in [1e-3, 0.0499, 0.0501] {
            // Two classes: p = 1 / (1 + e^{−z}), so z = −ln(e^q − 1).
            let z = -f64::exp_m1(q).ln();
            let device = burn::tensor::Device::flex();
            let focal = CriterionConfig::Focal(config.clone());
            let (loss, gradient) = loss_of_rows(&focal, &vec![vec![z, 0.0]], &[0], &device);
            let expected = of_row(&[z, 0.0], 0, 3.0, 1.0);
            // q is a difference of logits of size z, and the loss grows as its fourth power.
            let tolerance = 4.0 * 2f64.powi(-23) * z / q;
            assert!((loss - expected).abs() <= tolerance * expected, "{q}: {loss} not {expected}");
            let p = (-q).exp();
            let slope = (1.0 - p).powi(3) + 3.0 * q * (1.0 - p).powi(2) * p;
            let expected = -slope * (1.0 - p);
            assert!(
                (gradient[0] - expected).abs() <= -2.0 * tolerance * expected,
                "{q}: {gradient:?} {expected}"
            );
        }
    }

    #[test]
    fn a_bad_key_is_named_with_its_value_and_range() {
        check_bad_keys::<FocalConfig>(&[
            ("gamma = -1", "head.gamma is -1; it must be from 0 to 10"),
            ("alpha = 0", "head.alpha is 0; it must be more than 0 and at most 1"),
        ]);
    }
}
