//! SphereFace2: one binary classifier a class instead of a softmax over all of them.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use facegrad_settings::{above, choice, settings, within};

use super::{
    ClassHeadOutput, Cosines, Description, HeadKind, HeadModule, Setup,
    first_loss::{RandomAngles, softplus},
};
use crate::{
    CriterionConfig, Curve, EmbeddingBatch, LogitRule, Progress, Schedule,
    criteria::BinaryLogisticConfig,
    logits::sharpened,
    telemetry::{BIAS, MARGIN, SCALE},
};

choice! {
    /// How the sharpened cosines are differentiated.
    pub enum SharpeningGradient {
        /// As the formula says: ∂g/∂c = t ((c + 1)/2)^(t−1).
        Exact = "exact",
        /// As OpenSphere does since October 2023: g(c) − c and the margin are constants, so the derivative is 1.
        Detached = "detached",
    }
}

settings! {
    /// Binary classification of each class, with an additive margin on the cosine (SphereFace2-C).
    pub struct SphereFace2Config {
        /// Scale r of the cosines.
        scale: Schedule = Schedule::Constant(40.0), above(0.0).up_to(500.0);
        /// Margin m: taken off the target's sharpened cosine and added to the others'.
        margin: Schedule = Schedule::Constant(0.4), within(0.0, 1.0);
        /// Power t that sharpens cosines, g(c) = 2 ((c + 1)/2)^t − 1.
        sharpness: f64 = 3.0, within(1.0, 20.0);
        /// Share λ of the target's class in the loss, where there is no [criterion].
        balance: f64 = 0.7, above(0.0).up_to(0.999);
        /// What the loss is multiplied by beside 1/r, where there is no [criterion]. The paper has 1; the
        /// authors' code 50, for its learning rates.
        loss_weight: f64 = 50.0, above(0.0);
        /// Whether the sharpening is part of the gradient.
        gradient: SharpeningGradient = SharpeningGradient::Exact;
    }
}

/// z_y = r (g(cos θ_y) − m) + b, z_j = r (g(cos θ_j) + m) + b.
///
/// The authors' OpenSphere has had both gradients: in April 2022 g(c) ± m was c plus a constant to it, from October
/// 2022 the file of variant C differentiated the formula, and since October 2023 the difference is a constant again.
/// [`SharpeningGradient`] says which.
#[derive(Module, Debug)]
pub struct SphereFace2 {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    /// The bias of every class, `[1]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    config: SphereFace2Config,
}

impl HeadKind for SphereFace2Config {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = r (g(cos θ_y) − m) + b;  z_j = r (g(cos θ_j) + m) + b;  g(c) = 2 ((c + 1)/2)^t − 1, b learned\n\
         under w/r [λ ln(1 + e^{−z_y}) + (1 − λ) Σ_{j≠y} ln(1 + e^{z_j})], the mean over the batch",
            source: "Wen et al., SphereFace2, ICLR 2022, variant C (margin on the cosine); w and the start of b as in the authors' OpenSphere,\n\
         whose gradient was detached in April 2022, exact for variant C in October 2022, and is detached since October 2023",
            gradient: "∂z/∂cos θ = r t ((cos θ + 1)/2)^(t−1) of target and others, or r with gradient = \"detached\"; to embeddings and weights along the sphere only, and to b",
        }
    }

    /// The mean of each binary classifier.
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        let angles = RandomAngles::new(embedding, 1, 1.0 / self.scale.at(Progress::START));
        self.mean_loss(classes, Progress::START, |of| angles.mean(of))
    }

    /// At the best bias, which makes all angles alike.
    fn guessing_loss(&self, classes: usize, progress: Progress) -> f64 {
        self.mean_loss(classes, progress, |of| of(std::f64::consts::FRAC_PI_2))
    }

    /// Without the bias.
    fn curve(&self, progress: Progress) -> Curve {
        let margin = self.margin.at(progress);
        let (target, other) = (self.clone(), self.clone());
        Curve::new(
            self.scale.at(progress),
            move |theta| target.sharpen(theta.cos()) - margin,
            move |theta| other.sharpen(theta.cos()) + margin,
        )
    }

    fn criterion(&self) -> CriterionConfig {
        CriterionConfig::BinaryLogistic(BinaryLogisticConfig {
            balance: self.balance,
            weight: self.loss_weight,
            over_scale: true,
        })
    }
}

impl SphereFace2Config {
    /// g(c).
    fn sharpen(&self, cosine: f64) -> f64 {
        2.0 * ((cosine + 1.0) / 2.0).powf(self.sharpness) - 1.0
    }

    /// The loss with the bias that is best at cosines of 0, where `mean` takes the mean over the angles.
    fn mean_loss(
        &self,
        classes: usize,
        progress: Progress,
        mean: impl Fn(&dyn Fn(f64) -> f64) -> f64,
    ) -> f64 {
        let (curve, bias) = (self.curve(progress), self.best_bias(classes, progress));
        let target = mean(&|theta| softplus(-(curve.scale * (curve.target)(theta) + bias)));
        let other = mean(&|theta| softplus(curve.scale * (curve.other)(theta, theta) + bias));
        let others = (classes - 1) as f64;
        let weight = self.loss_weight / curve.scale;
        weight * (self.balance * target + (1.0 - self.balance) * others * other)
    }

    /// The bias at which the loss is smallest when all cosines are 0:
    /// λ (1 − σ(r (g(0) − m) + b)) = (1 − λ) (K − 1) σ(r (g(0) + m) + b).
    ///
    /// OpenSphere solves the same equation as a quadratic in e^b; with ζ = λ/((1 − λ)(K − 1)) its root is
    /// written with sinh here, because the quadratic's cancels for few classes, where ζ > 1.
    fn best_bias(&self, classes: usize, progress: Progress) -> f64 {
        let (scale, margin) = (self.scale.at(progress), self.margin.at(progress));
        let half = 0.5 * (self.balance / ((1.0 - self.balance) * (classes - 1) as f64)).ln();
        half + ((scale * margin).exp() * half.sinh()).asinh() - scale * self.sharpen(0.0)
    }
}

impl SphereFace2 {
    pub(crate) fn new(config: &SphereFace2Config, setup: &Setup) -> Self {
        let bias =
            Tensor::from_floats([config.best_bias(setup.classes, Progress::START) as f32], setup.device);
        Self { weight: config.weights(setup), bias: Param::from_tensor(bias), config: config.clone() }
    }
}

impl HeadModule for SphereFace2 {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (scale, margin) = (self.config.scale.at(batch.progress), self.config.margin.at(batch.progress));
        let (power, detached) = (self.config.sharpness, self.config.gradient == SharpeningGradient::Detached);
        let cosines = Cosines::of(batch, self.weight.val());
        let bias = self.bias.val().expand([cosines.target.dims()[0]]);
        let target = (sharpened(cosines.target.clone(), power, detached) - margin) * scale + bias.clone();
        let output =
            cosines.logits(target, LogitRule::Sharpened { scale, power, shift: scale * margin, detached });
        let output = output.known(MARGIN, margin).known(SCALE, scale).mean(BIAS, self.bias.val());
        ClassHeadOutput { logits: output.logits.with_offset(bias), ..output }
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;
    use crate::reference::{
        Case, Rows, check_bad_keys, check_first_loss, check_head, check_head_of_many_classes, check_loss,
        cosine, for_each_form, read_keys,
    };

    const BIAS_OF_TESTS: f64 = -7.5;

    fn head(config: &SphereFace2Config) -> impl Fn(Tensor<2>) -> SphereFace2 + '_ {
        move |weight| SphereFace2 {
            bias: Param::from_tensor(Tensor::from_floats([BIAS_OF_TESTS as f32], &weight.device())),
            weight: Param::from_tensor(weight),
            config: config.clone(),
        }
    }

    fn logits(x: &Rows, w: &Rows, labels: &[usize], [r, m, t, b]: [f64; 4]) -> Rows {
        let logit = |i: usize, j: usize| {
            let c = cosine(&x[i], &w[j]).clamp(-1.0, 1.0);
            let g = 2.0 * (0.5 * c + 0.5).powf(t) - 1.0;
            r * if labels[i] == j { g - m } else { g + m } + b
        };
        (0..x.len()).map(|i| (0..w.len()).map(|j| logit(i, j)).collect()).collect()
    }

    /// The same with what the sharpening and the margin add to the cosines taken at `at`: a constant to the gradient.
    fn detached_logits(
        x: &Rows,
        w: &Rows,
        at: (&Rows, &Rows),
        labels: &[usize],
        [r, m, t, b]: [f64; 4],
    ) -> Rows {
        let mut z = logits(at.0, at.1, labels, [r, m, t, b]);
        for (i, row) in z.iter_mut().enumerate() {
            for (j, z) in row.iter_mut().enumerate() {
                *z += r * (cosine(&x[i], &w[j]) - cosine(&at.0[i], &at.1[j]));
            }
        }
        z
    }

    /// w/r of the paper's loss, in plain loops.
    fn paper(z: &Rows, labels: &[usize], balance: f64, weight: f64) -> f64 {
        let mut loss = 0.0;
        for (z, y) in z.iter().zip(labels) {
            for (j, z) in z.iter().enumerate() {
                let (share, signed) = if j == *y { (balance, -z) } else { (1.0 - balance, *z) };
                loss += share * (signed.max(0.0) + (1.0 + (-signed.abs()).exp()).ln());
            }
        }
        weight * loss / labels.len() as f64
    }

    fn config(r: f64, m: f64, t: f64) -> SphereFace2Config {
        SphereFace2Config { scale: r.into(), margin: m.into(), sharpness: t, ..Default::default() }
    }

    const SETTINGS: [[f64; 3]; 3] = [[40.0, 0.4, 3.0], [10.0, 0.0, 1.0], [16.0, 0.2, 2.5]];

    #[test]
    fn value_and_gradient_of_its_own_criterion_match_the_reference() {
        for [r, m, t] in SETTINGS {
            let config = config(r, m, t);
            for case in Case::all() {
                check_loss(
                    "sphereface2",
                    &case,
                    |batch, w| config.criterion().loss(&head(&config)(w).forward(batch).logits),
                    |x, w, labels| {
                        paper(&logits(x, w, labels, [r, m, t, BIAS_OF_TESTS]), labels, 0.7, 50.0 / r)
                    },
                );
            }
        }
    }

    #[test]
    fn the_detached_gradient_takes_the_sharpening_and_the_margin_as_constants() {
        for [r, m, t] in SETTINGS {
            let config = SphereFace2Config { gradient: SharpeningGradient::Detached, ..config(r, m, t) };
            for case in Case::all() {
                let at = (&case.x, &case.w);
                let numbers = [r, m, t, BIAS_OF_TESTS];
                check_loss(
                    "sphereface2, detached",
                    &case,
                    |batch, w| config.criterion().loss(&head(&config)(w).forward(batch).logits),
                    |x, w, labels| paper(&detached_logits(x, w, at, labels, numbers), labels, 0.7, 50.0 / r),
                );
                check_head("sphereface2, detached", &case, head(&config), |x, w, labels| {
                    detached_logits(x, w, at, labels, numbers)
                });
            }
        }
    }

    #[test]
    fn a_scheduled_scale_divides_the_loss_by_what_it_is_at_the_step() {
        let schedule = "scale = { kind = 'linear', from = 10.0, to = 40.0, until = 1.0 }";
        let scheduled: SphereFace2Config = read_keys(schedule).expect(schedule);
        let case = Case::random("in the middle of a run", 5, 7, 6, 1.0);
        for (step, r) in [(0, 10.0), (2, 25.0), (4, 40.0)] {
            let fixed = config(r, 0.4, 3.0);
            let z = logits(&case.x, &case.w, &case.labels, [r, 0.4, 3.0, BIAS_OF_TESTS]);
            let expected = paper(&z, &case.labels, 0.7, 50.0 / r);
            for_each_form("sphereface2", |device, what| {
                let batch = EmbeddingBatch { progress: Progress { step, total: 4 }, ..case.batch_on(device) };
                let [found, of_fixed] = [&scheduled, &fixed].map(|config| {
                    let output = head(config)(case.weights_on(device)).forward(&batch);
                    config.criterion().loss(&output.logits).into_scalar::<f32>()
                });
                assert_eq!(found, of_fixed, "{what}, step {step}");
                let found = f64::from(found);
                assert!((found - expected).abs() < 1e-5 * expected, "{what}: {found} against {expected}");
            });
        }
        check_first_loss(&scheduled);
    }

    #[test]
    fn value_and_gradient_under_cross_entropy_match_the_reference() {
        let [r, m, t] = SETTINGS[0];
        for case in Case::all() {
            check_head("sphereface2", &case, head(&config(r, m, t)), |x, w, labels| {
                logits(x, w, labels, [r, m, t, BIAS_OF_TESTS])
            });
        }
    }

    /// g is smooth, but the angle is not at 0 and π: there the value keeps the tolerance of `check_loss`, and
    /// the gradients are finite. Whole powers only: WGSL allows a logarithm, hence any other power, an error of
    /// 2⁻²¹ near 1, and at θ = 0 the loss is e^{−z_y}, which turns the error of the logit into its own.
    #[test]
    fn angles_from_0_to_pi_give_the_formula_and_finite_gradients() {
        for [r, m, t] in [[40.0, 0.4, 3.0], [10.0, 0.0, 1.0], [16.0, 0.2, 2.0]] {
            let config = config(r, m, t);
            for theta in [0.0, 1e-3, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI] {
                check_loss(
                    "sphereface2",
                    &Case::at_angle(theta),
                    |batch, w| config.criterion().loss(&head(&config)(w).forward(batch).logits),
                    |x, w, labels| {
                        paper(&logits(x, w, labels, [r, m, t, BIAS_OF_TESTS]), labels, 0.7, 50.0 / r)
                    },
                );
            }
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let case = Case::many_classes();
        let config = SphereFace2Config::default();
        check_head_of_many_classes("sphereface2", &case, head(&config), |x, w, labels| {
            logits(x, w, labels, [40.0, 0.4, 3.0, BIAS_OF_TESTS])
        });
    }

    #[test]
    fn the_gradient_of_the_bias_is_that_of_the_formula() {
        let case = Case::random("bias", 5, 7, 6, 1.0);
        let (config, step) = (SphereFace2Config::default(), 1e-5);
        let at = |bias| {
            paper(&logits(&case.x, &case.w, &case.labels, [40.0, 0.4, 3.0, bias]), &case.labels, 0.7, 1.25)
        };
        let expected = (at(BIAS_OF_TESTS + step) - at(BIAS_OF_TESTS - step)) / (2.0 * step);
        for_each_form("sphereface2", |device, what| {
            let device = device.clone().autodiff();
            let head = head(&config)(case.weights_on(&device));
            let output = head.forward(&case.batch_on(&device));
            let grads = config.criterion().loss(&output.logits).backward();
            let found = f64::from(head.bias.val().grad(&grads).expect("a gradient").into_scalar::<f32>());
            assert!((found - expected).abs() < 1e-4 * expected.abs(), "{what}: {found} against {expected}");
        });
    }

    #[test]
    fn the_bias_begins_where_orthogonal_embeddings_cost_least() {
        for classes in [2, 3, 4, 100, 10_572, 10_000_000] {
            for config in [SphereFace2Config::default(), config(500.0, 1.0, 3.0), config(1.0, 0.0, 1.0)] {
                let (r, m) = (config.scale.at(Progress::START), config.margin.at(Progress::START));
                let (bias, g) = (config.best_bias(classes, Progress::START), config.sharpen(0.0));
                // The two sides of its equation, as logarithms: ln(1 − σ(z)) = −softplus(z).
                let target = 0.7f64.ln() - softplus(r * (g - m) + bias);
                let others = (0.3 * (classes - 1) as f64).ln() - softplus(-(r * (g + m) + bias));
                assert!((target - others).abs() < 1e-9, "{classes} classes: {target} and {others}");
            }
        }
    }

    #[test]
    fn the_bias_of_ten_thousand_classes_is_the_quadratic_root_of_open_sphere() {
        // ζ = 0.7/(0.3 · 10571), a_y = 40 (2/8 − 1 − 0.4), a_i = 40 (2/8 − 1 + 0.4).
        let (zeta, a_y, a_i) = (0.7f64 / (0.3 * 10_571.0), -46.0f64, -14.0f64);
        let root = ((1.0 - zeta).powi(2) + 4.0 * zeta * (a_y - a_i).exp()).sqrt();
        let expected = (2.0 * zeta).ln() - a_i - (1.0 - zeta + root).ln();
        assert!((SphereFace2Config::default().best_bias(10_572, Progress::START) - expected).abs() < 1e-9);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        let config = SphereFace2Config::default();
        check_first_loss(&config);
    }

    #[test]
    fn a_power_below_one_is_named_with_its_range() {
        let errors = [
            ("sharpness = 0.5", "head.sharpness is 0.5; it must be from 1 to 20"),
            ("gradient = 'constant'", "head.gradient is \"constant\"; it must be one of exact, detached"),
        ];
        check_bad_keys::<SphereFace2Config>(&errors);
    }
}
