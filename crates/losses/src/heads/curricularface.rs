//! CurricularFace: ArcFace in which hard negatives weigh more as training goes on.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use facegrad_settings::{above, settings, within};

use super::{
    ClassHeadOutput, Cosines, Description, Fallback, Gradient, HeadKind, HeadModule, Setup,
    arcface::with_angular_margin,
};
use crate::{
    Curve, EmbeddingBatch, Progress, Schedule,
    telemetry::{HARD_WEIGHT, MARGIN},
};

settings! {
    /// Adaptive curriculum learning loss: hard negatives weigh more as training goes on.
    pub struct CurricularFaceConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Margin m on the target's angle, in radians.
        margin: Schedule = Schedule::Constant(0.5), within(0.0, 1.5);
        /// Share that the mean target cosine of a batch has in the new t.
        rate: f64 = 0.01, above(0.0).up_to(1.0);
    }
}

/// z_y = s cos(θ_y + m); z_j = s c_j, and s c_j (t + c_j) where c_j > cos(θ_y + m), with c_j = cos θ_j.
///
/// As the authors' code: t takes the batch in before it is used, hard is what exceeds cos(θ_y + m) even where the
/// target itself is past θ_y = π − m and falls back to c_y − m sin m. Unlike it, the root in cos(θ_y + m) has an
/// ε, without which the slope at θ_y = 0 is infinite, and t is kept only when the step is taken.
#[derive(Module, Debug)]
pub struct CurricularFace {
    /// Class weights, `[classes, embedding]`, normalised in the forward pass.
    pub weight: Param<Tensor<2>>,
    /// t, `[1]`: state that is saved, and that no optimizer changes.
    pub t: Param<Tensor<1>>,
    #[module(skip)]
    config: CurricularFaceConfig,
}

impl CurricularFace {
    pub(crate) fn new(config: &CurricularFaceConfig, setup: &Setup) -> Self {
        let t = Param::from_tensor(Tensor::zeros([1], setup.device)).set_require_grad(false);
        Self { weight: config.weights(setup), t, config: config.clone() }
    }
}

impl HeadKind for CurricularFaceConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s cos(θ_y + m), s (cos θ_y − m sin m) past θ_y = π − m;  z_j = s c_j, or s c_j (t + c_j) where c_j > cos(θ_y + m);  t ← (1 − rate) t + rate mean(cos θ_y) from t = 0",
            source: "Huang et al., CurricularFace, CVPR 2020, and the authors' code",
            gradient: "∂z_y/∂cos θ_y = s sin(θ_y + m)/sin θ_y;  ∂z_j/∂c_j = s, or s (t + 2 c_j) where hard;  t and the bound of what is hard are constants; to embeddings and weights through unit vectors, so along the sphere only",
        }
    }

    /// The other logit depends on the target's angle and on t, which starts at 0; it is about ½ at the end.
    fn curve(&self, progress: Progress) -> Curve {
        let margin = self.margin.at(progress);
        let t = 0.5 * progress.share();
        Curve::beside_target(
            self.scale.at(progress),
            move |theta| match theta > std::f64::consts::PI - margin {
                true => theta.cos() - margin * margin.sin(),
                false => (theta + margin).cos(),
            },
            move |theta: f64, own: f64| match theta.cos() > (own + margin).cos() {
                true => theta.cos() * (t + theta.cos()),
                false => theta.cos(),
            },
        )
    }
}

impl HeadModule for CurricularFace {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let (scale, margin) = (self.config.scale.at(batch.progress), self.config.margin.at(batch.progress));
        let cosines = Cosines::of(batch, self.weight.val());
        let margined =
            |fallback| with_angular_margin(cosines.target.clone(), margin, fallback, Gradient::Exact);
        let (target, threshold) = (margined(Fallback::Linear), margined(Fallback::None).detach());

        let rate = self.config.rate;
        let memory = self.t.val().inner() * (1.0 - rate) + cosines.target.clone().inner().mean() * rate;
        // Read back, as a rule has plain numbers.
        let t = f64::from(memory.clone().into_scalar::<f32>());
        let output = cosines
            .weighted(target, threshold, scale, [1.0, t, 0.0])
            .known(MARGIN, margin)
            .known(HARD_WEIGHT, t);
        ClassHeadOutput { memory: Some(memory), ..output }
    }

    fn remember(&mut self, memory: Tensor<1>) {
        self.t = self.t.clone().map(|_| Tensor::from_inner(memory));
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{
        Case, Rows, check_head, check_head_at_kink, check_head_of_many_classes, cosine, for_each_form, setup,
    };
    use std::f64::consts::PI;

    /// A head whose memory holds `t`.
    fn head(config: &CurricularFaceConfig, t: f64) -> impl Fn(Tensor<2>) -> CurricularFace + '_ {
        move |weight| {
            let t = Tensor::from_floats([t as f32], &weight.device());
            let t = Param::from_tensor(t).set_require_grad(false);
            CurricularFace { weight: Param::from_tensor(weight), t, config: config.clone() }
        }
    }

    /// The t in use in a batch, after `before`.
    fn moved(before: f64, case: &Case, rate: f64) -> f64 {
        let cosines = case.target_cosines();
        (1.0 - rate) * before + rate * cosines.iter().sum::<f64>() / cosines.len() as f64
    }

    /// The formula with arccos and cos, in f64, as if target cosines were larger by `shift`.
    fn logits(x: &Rows, w: &Rows, labels: &[usize], [s, m, t]: [f64; 3], shift: f64) -> Rows {
        let row = |(x, y): (&Vec<f64>, &usize)| -> Vec<f64> {
            let target = cosine(x, &w[*y]) + shift;
            let theta = target.clamp(-1.0, 1.0).acos();
            let logit = |(j, w): (usize, &Vec<f64>)| {
                let c = cosine(x, w);
                match () {
                    () if j == *y && theta >= PI - m => target - m * m.sin(),
                    () if j == *y => (theta + m).cos(),
                    () if c > (theta + m).cos() => c * (t + c),
                    () => c,
                }
            };
            w.iter().enumerate().map(|pair| s * logit(pair)).collect()
        };
        x.iter().zip(labels).map(row).collect()
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (s, m, before) in [(64.0, 0.5, 0.0), (8.0, 1.2, 0.6)] {
            let config = CurricularFaceConfig { scale: s.into(), margin: m.into(), ..Default::default() };
            for case in Case::all() {
                // A constant of the derivative.
                let t = moved(before, &case, 0.01);
                check_head("curricularface", &case, head(&config, before), |x, w, labels| {
                    logits(x, w, labels, [s, m, t], 0.0)
                });
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        let (s, m): (f64, f64) = (16.0, 0.5);
        let config = CurricularFaceConfig { scale: s.into(), margin: m.into(), ..Default::default() };
        // Where the first other class of the case, at 0.6 sin θ, turns from easy to hard.
        let turning = (m.cos() / (0.6 + m.sin())).atan();
        assert!((0.6 * turning.sin() - (turning + m).cos()).abs() < 1e-12);
        let angles = [0.0, 1e-3, PI / 2.0, PI - m, PI - m - 1e-3, PI - m + 1e-3, PI];
        for theta in angles.into_iter().chain([turning, turning - 1e-3, turning + 1e-3]) {
            let case = Case::at_angle(theta);
            let t = moved(0.4, &case, 0.01);
            check_head_at_kink("curricularface", &case, head(&config, 0.4), s, |shift| {
                logits(&case.x, &case.w, &case.labels, [s, m, t], shift)
            });
        }
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let (config, case) = (CurricularFaceConfig::default(), Case::many_classes());
        let t = moved(0.3, &case, 0.01);
        check_head_of_many_classes("curricularface", &case, head(&config, 0.3), |x, w, labels| {
            logits(x, w, labels, [64.0, 0.5, t], 0.0)
        });
    }

    #[test]
    fn the_curve_is_the_logits_over_the_scale() {
        let (config, m) = (CurricularFaceConfig::default(), 0.5);
        let curve = config.curve(Progress::END);
        for theta in [0.1, 1.0, 2.0, 2.6, 2.7, 3.1] {
            let case = Case::at_angle(theta);
            let z = logits(&case.x, &case.w, &case.labels, [1.0, m, 0.5], 0.0);
            assert!(((curve.target)(theta) - z[0][0]).abs() < 1e-6, "{theta}");
        }
        // Hard is what is nearer than 60° + m.
        let [nearest, beside, farthest] = [0.0, PI / 2.0, PI].map(|theta| (curve.other)(theta, PI / 3.0));
        assert_eq!((nearest, farthest), (1.5, -1.0));
        assert!(beside.abs() < 1e-12);
    }

    #[test]
    fn t_follows_the_mean_target_cosine_from_zero_once_a_step_is_taken() {
        let case = Case::random("memory", 5, 7, 6, 1.0);
        let mean = moved(0.0, &case, 1.0);
        for_each_form("memory of curricularface", |device, what| {
            let device = device.clone().autodiff();
            let config = CurricularFaceConfig { rate: 0.25, ..Default::default() };
            let mut head = CurricularFace::new(&config, &setup(7, 6, 1, &device));
            head.weight = Param::from_tensor(case.weights_on(&device));
            let read = |head: &CurricularFace| f64::from(head.t.val().into_scalar::<f32>());
            for step in 1..4 {
                let before = read(&head);
                let output = head.forward(&case.batch_on(&device));
                assert_eq!(read(&head), before, "{what}: nothing moves before the step");
                head.remember(output.memory.expect("t"));
                let expected = mean * (1.0 - 0.75f64.powi(step));
                assert!((read(&head) - expected).abs() < 1e-6, "{what}: {} not {expected}", read(&head));
                assert!(!head.t.is_require_grad(), "{what}");
            }
        });
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        crate::reference::check_first_loss(&CurricularFaceConfig::default());
    }
}
