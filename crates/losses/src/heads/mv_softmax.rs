//! MV-Softmax: a margin, and a weight on the classes that a sample is mistaken for.

use burn::tensor::Tensor;
use facegrad_settings::{above, choice, settings, within};

use super::{
    ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, Fallback, Form, Gradient, HeadKind,
    arcface::with_angular_margin,
};
use crate::{
    Curve, EmbeddingBatch, Progress, Schedule,
    telemetry::{HARD_WEIGHT, MARGIN},
};

choice! {
    /// How hard negatives are weighted: the h of the paper, which multiplies exp(s cos θ_j).
    pub enum HardWeight {
        /// h = exp(s (t − 1)), so the logit s (cos θ_j + t − 1).
        Fixed = "fixed",
        /// h = exp(s (t − 1)(cos θ_j + 1)), so the logit s (t cos θ_j + t − 1).
        Adaptive = "adaptive",
    }
}

settings! {
    /// Mis-classified vector guided softmax: a margin, and a weight on the classes a sample is mistaken for.
    pub struct MvSoftmaxConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(32.0), above(0.0).up_to(1000.0);
        /// Margin m, on the angle in radians or on the cosine.
        margin: Schedule = Schedule::Constant(0.35), within(0.0, 1.5);
        /// Where the margin is: f(m, θ_y) = cos(θ_y + m) in MV-Arc-Softmax, cos θ_y − m in MV-AM-Softmax.
        form: Form = Form::Arc;
        /// How hard negatives are weighted.
        weight: HardWeight = HardWeight::Adaptive;
        /// The paper's t; with 1 nothing is weighted. The authors' code writes t − 1.
        t: Schedule = Schedule::Constant(1.2), within(1.0, 3.0);
        /// Whether the target has its margin only where θ_y < π/2, as in the authors' code; else everywhere.
        easy_margin: bool = true;
    }
}

/// z_y = s f(m, θ_y); z_j = s c_j, weighted where c_j > f(m, θ_y), with c_j = cos θ_j.
///
/// As the authors' code: what is hard is decided with the margin even where the target goes without it. Their
/// t = 0.2 stands for the paper's 1.2. Unlike it, the root in cos(θ_y + m) has an ε, without which the slope at
/// θ_y = 0 is infinite, and embeddings are normalised here.
pub type MvSoftmax = ClassWeights<MvSoftmaxConfig>;

impl HeadKind for MvSoftmaxConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s f(m, θ_y) with f = cos(θ_y + m) or cos θ_y − m, or s cos θ_y past π/2 with easy_margin;  z_j = s c_j, or where c_j > f(m, θ_y) s (t c_j + t − 1) (adaptive), s (c_j + t − 1) (fixed)",
            source: "Wang et al., Mis-classified Vector Guided Softmax Loss, AAAI 2020, and the authors' code, which begins as MV-AM (form = \"cos\") with\n\
         m = 0.35, adaptive weights, an easy margin and scale 32, and writes t = 0.2 for the paper's 1.2; here form begins as \"arc\"\n\
         FaceX-Zoo has t = 1.12, and in its AM form the margin where cos θ_y > m, not > 0",
            gradient: "∂z_y/∂cos θ_y = s sin(θ_y + m)/sin θ_y, or s with form = \"cos\";  ∂z_j/∂c_j = s, or s t where hard and adaptive;  the bound of what is hard is a constant; to embeddings and weights through unit vectors, so along the sphere only",
        }
    }

    /// Of another class over its own angle and the target's, which decides whether it is hard.
    fn curve(&self, progress: Progress) -> Curve {
        let Self { form, easy_margin, .. } = *self;
        let margin = self.margin.at(progress);
        let [_, b, c] = self.polynomial(progress);
        let margined = move |theta: f64| match form {
            Form::Arc => (theta + margin).cos(),
            Form::Cos => theta.cos() - margin,
        };
        Curve::beside_target(
            self.scale.at(progress),
            move |theta| match easy_margin && theta >= std::f64::consts::FRAC_PI_2 {
                true => theta.cos(),
                false => margined(theta),
            },
            move |theta: f64, own| match theta.cos() > margined(own) {
                true => b * theta.cos() + c,
                false => theta.cos(),
            },
        )
    }
}

impl MvSoftmaxConfig {
    /// Of a hard negative over its cosine.
    fn polynomial(&self, progress: Progress) -> [f64; 3] {
        let t = self.t.at(progress);
        match self.weight {
            HardWeight::Fixed => [0.0, 1.0, t - 1.0],
            HardWeight::Adaptive => [0.0, t, t - 1.0],
        }
    }
}

impl ClassRule for MvSoftmaxConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (scale, margin) = (self.scale.at(batch.progress), self.margin.at(batch.progress));
        let cosines = Cosines::of(batch, weight);
        let margined = match self.form {
            Form::Arc => with_angular_margin(cosines.target.clone(), margin, Fallback::None, Gradient::Exact),
            Form::Cos => cosines.target.clone() - margin,
        };
        let threshold = margined.clone().detach();
        let target = match self.easy_margin {
            true => {
                let obtuse = cosines.target.clone().lower_equal_elem(0.0);
                margined.mask_where(obtuse, cosines.target.clone())
            }
            false => margined,
        };
        cosines
            .weighted(target, threshold, scale, self.polynomial(batch.progress))
            .known(MARGIN, margin)
            .known(HARD_WEIGHT, self.t.at(batch.progress))
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;
    use crate::reference::{
        Case, Rows, check_bad_keys, check_first_loss, check_head, check_head_at_kink,
        check_head_of_many_classes, cosine,
    };
    use std::f64::consts::PI;

    fn head(config: &MvSoftmaxConfig) -> impl Fn(Tensor<2>) -> MvSoftmax + '_ {
        move |weight| MvSoftmax { weight: Param::from_tensor(weight), config: config.clone() }
    }

    fn variants(scale: f64, t: f64) -> Vec<MvSoftmaxConfig> {
        let kinds = [
            (Form::Arc, HardWeight::Adaptive, true),
            (Form::Cos, HardWeight::Adaptive, true),
            (Form::Arc, HardWeight::Fixed, false),
            (Form::Cos, HardWeight::Fixed, false),
        ];
        let variant = |(form, weight, easy_margin)| {
            let (scale, t) = (scale.into(), t.into());
            MvSoftmaxConfig { scale, t, form, weight, easy_margin, ..Default::default() }
        };
        kinds.map(variant).to_vec()
    }

    /// The paper's softmax: ln of f or of h exp(s cos θ_j), in f64, as if target cosines were larger by `shift`.
    fn logits(x: &Rows, w: &Rows, labels: &[usize], config: &MvSoftmaxConfig, shift: f64) -> Rows {
        let at = |schedule: &Schedule| schedule.at(Progress::END);
        let (s, m, t) = (at(&config.scale), at(&config.margin), at(&config.t));
        let row = |(x, y): (&Vec<f64>, &usize)| -> Vec<f64> {
            let target = cosine(x, &w[*y]) + shift;
            let margined = match config.form {
                Form::Arc => (target.clamp(-1.0, 1.0).acos() + m).cos(),
                Form::Cos => target - m,
            };
            let logit = |(j, w): (usize, &Vec<f64>)| {
                let c = cosine(x, w);
                if j == *y {
                    return s * if config.easy_margin && target <= 0.0 { target } else { margined };
                }
                let ln_h = match config.weight {
                    HardWeight::Fixed => s * (t - 1.0),
                    HardWeight::Adaptive => s * (t - 1.0) * (c + 1.0),
                };
                if c > margined { ln_h + s * c } else { s * c }
            };
            w.iter().enumerate().map(logit).collect()
        };
        x.iter().zip(labels).map(row).collect()
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for config in variants(32.0, 1.2) {
            for case in Case::all() {
                check_head("mv_softmax", &case, head(&config), |x, w, labels| {
                    logits(x, w, labels, &config, 0.0)
                });
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        for config in variants(16.0, 1.4) {
            let m: f64 = 0.35;
            // Where the first other class of the case, at 0.6 sin θ, turns from easy to hard.
            let turning = match config.form {
                Form::Arc => (m.cos() / (0.6 + m.sin())).atan(),
                // cos θ − 0.6 sin θ = √1.36 cos(θ + arctan 0.6)
                Form::Cos => (m / 1.36f64.sqrt()).acos() - 0.6f64.atan(),
            };
            let angles = [0.0, 1e-3, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI];
            for theta in angles.into_iter().chain([turning, turning - 1e-3, turning + 1e-3]) {
                let case = Case::at_angle(theta);
                check_head_at_kink("mv_softmax", &case, head(&config), 16.0, |shift| {
                    logits(&case.x, &case.w, &case.labels, &config, shift)
                });
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let config = MvSoftmaxConfig::default();
        check_head_of_many_classes("mv_softmax", &Case::many_classes(), head(&config), |x, w, labels| {
            logits(x, w, labels, &config, 0.0)
        });
    }

    #[test]
    fn a_weight_of_one_without_easy_margin_gives_cosface_and_arcface() {
        for form in Form::ALL.iter().copied() {
            let t = Schedule::Constant(1.0);
            let config = MvSoftmaxConfig { t, form, easy_margin: false, ..Default::default() };
            let case = Case::random("plain", 5, 7, 6, 1.0);
            check_head("mv_softmax with t = 1", &case, head(&config), |x, w, labels| {
                Case::cosine_logits(x, w, labels, 32.0, |c| match form {
                    Form::Arc => (c.acos() + 0.35).cos(),
                    Form::Cos => c - 0.35,
                })
            });
        }
    }

    #[test]
    fn the_curve_is_the_logits_over_the_scale() {
        for config in variants(1.0, 1.2) {
            let curve = config.curve(Progress::END);
            for theta in [0.1, 1.0, 1.6, 2.7, 3.1] {
                let case = Case::at_angle(theta);
                let z = logits(&case.x, &case.w, &case.labels, &config, 0.0);
                assert!(((curve.target)(theta) - z[0][0]).abs() < 1e-6, "{theta}");
            }
            let nearest = if config.weight == HardWeight::Adaptive { 1.4 } else { 1.2 };
            assert!(((curve.other)(0.0, PI / 3.0) - nearest).abs() < 1e-12);
            assert_eq!((curve.other)(PI, PI / 3.0), -1.0);
        }
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        for config in variants(32.0, 1.2) {
            check_first_loss(&config);
        }
        let none = MvSoftmaxConfig { margin: 0.0.into(), ..Default::default() };
        check_first_loss(&none);
    }

    #[test]
    fn a_bad_key_is_named_with_its_value_and_range() {
        check_bad_keys::<MvSoftmaxConfig>(&[
            ("t = 0.2", "head.t is 0.2; it must be from 1 to 3"),
            ("scale = -1", "head.scale is -1; it must be more than 0 and at most 1000"),
            ("form = 'am'", "head.form is \"am\"; it must be one of arc, cos"),
        ]);
    }
}
