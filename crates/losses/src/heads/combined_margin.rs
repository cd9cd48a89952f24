//! Combined margin: a factor and a constant on the target's angle, and a constant off its cosine.

use std::f64::consts::PI;

use burn::tensor::Tensor;
use facegrad_settings::{above, choice, settings, within};

use super::{
    ClassHeadOutput, ClassRule, ClassWeights, Cosines, Description, HeadKind,
    angular::{EPSILON, sine},
};
use crate::{
    Curve, EmbeddingBatch, Progress, Schedule,
    telemetry::{ADDED_ANGLE, ANGLE_FACTOR, MARGIN},
};

choice! {
    /// What the target logit is past θ₀ = (π − m2)/m1, where cos(m1 θ + m2) would rise again.
    pub enum CombinedFallback {
        /// s (cos θ − cos θ₀ − 1 − (m2 sin m2 + cos m2 − 1) − m3): falls on, after the small step down at θ₀
        /// that ArcFace's linear fallback has. No step with m2 = 0.
        Linear = "linear",
        /// s (cos θ − cos θ₀ − 1 − m3): falls on without a step.
        Continuous = "continuous",
        /// s (cos(m1 θ + m2) − m3) everywhere, as the authors' MXNet code computes it.
        None = "none",
    }
}

settings! {
    /// The margins of SphereFace, ArcFace and CosFace at once.
    pub struct CombinedMarginConfig {
        /// Scale s of the cosines.
        scale: Schedule = Schedule::Constant(64.0), above(0.0).up_to(1000.0);
        /// Factor on the target's angle; need not be whole.
        m1: Schedule = Schedule::Constant(1.0), above(0.0).up_to(10.0);
        /// Margin on the target's angle, in radians.
        m2: Schedule = Schedule::Constant(0.3), within(0.0, 1.5);
        /// Margin on the target's cosine.
        m3: Schedule = Schedule::Constant(0.2), within(0.0, 1.0);
        /// What the target logit is past θ = (π − m2)/m1.
        fallback: CombinedFallback = CombinedFallback::Linear;
    }
}

/// z_y = s (cos(m1 θ_y + m2) − m3), z_j = s cos θ_j.
pub type CombinedMargin = ClassWeights<CombinedMarginConfig>;

/// θ from cosines in [−1, 1], shapes `[batch]`: tan(θ/4) = sin(θ/2)/(1 + cos(θ/2)), halved twice more to a
/// tangent below 0.2, where five terms of the arctangent are exact to f32.
///
/// Unlike arccos the slope −1/sin θ is finite at ±1, with the ε of ArcFace under the roots, so that that of the
/// target logit stays below 1e5 m1; and GPUs are allowed an arccos, and an arctangent, that is wrong in the fourth
/// digit.
fn angle(cosine: Tensor<1>) -> Tensor<1> {
    let root = |square: Tensor<1>| (square * 0.5 + EPSILON / 4.0).sqrt();
    let (sine, cosine) = (root(cosine.clone().neg() + 1.0), root(cosine + 1.0));
    let half = |tangent: Tensor<1>| tangent.clone() / ((tangent.square() + 1.0).sqrt() + 1.0);
    let t = half(half(sine / (cosine + 1.0)));
    let t2 = t.clone().square();
    let series = [-1.0 / 7.0, 1.0 / 5.0, -1.0 / 3.0, 1.0];
    let series = series.into_iter().fold(t2.full_like(1.0 / 9.0), |sum, term| sum * t2.clone() + term);
    t * series * 16.0
}

impl HeadKind for CombinedMarginConfig {
    fn description(&self) -> Description {
        Description {
            formula: "z_y = s (cos(m1 θ_y + m2) − m3);  z_j = s cos θ_j;  past θ_y = (π − m2)/m1: see fallback",
            source: "Deng et al., ArcFace, CVPR 2019, eq. 4; defaults: its CM1, (1, 0.3, 0.2)",
            gradient: "∂z_y/∂cos θ_y = s m1 sin(m1 θ_y + m2)/sin θ_y, and s past (π − m2)/m1; to embeddings and weights through unit vectors, so along the sphere only",
        }
    }

    fn curve(&self, progress: Progress) -> Curve {
        let margins = self.margins(progress);
        Curve::new(self.scale.at(progress), move |theta| margins.of_angle(theta), f64::cos)
    }
}

impl CombinedMarginConfig {
    fn margins(&self, progress: Progress) -> Margins {
        let [m1, m2, m3] = [&self.m1, &self.m2, &self.m3].map(|margin| margin.at(progress));
        Margins { m1, m2, m3, fallback: self.fallback }
    }
}

impl ClassRule for CombinedMarginConfig {
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput {
        let margins = self.margins(batch.progress);
        let cosines = Cosines::of(batch, weight);
        let target = margins.of_cosine(cosines.target.clone());
        cosines
            .scaled(target, self.scale.at(batch.progress))
            .known(ANGLE_FACTOR, margins.m1)
            .known(ADDED_ANGLE, margins.m2)
            .known(MARGIN, margins.m3)
    }
}

/// The margins of one step.
#[derive(Debug, Clone, Copy)]
struct Margins {
    m1: f64,
    m2: f64,
    m3: f64,
    fallback: CombinedFallback,
}

impl Margins {
    /// Where the fallback begins and what it takes off the cosine, without m3; `None` where m1 θ + m2 stays
    /// below π or the logit may rise again.
    fn turn(self) -> Option<(f64, f64)> {
        let theta = (PI - self.m2) / self.m1;
        let step = match self.fallback {
            CombinedFallback::None => return None,
            CombinedFallback::Continuous => 0.0,
            CombinedFallback::Linear => self.m2 * self.m2.sin() + self.m2.cos() - 1.0,
        };
        (theta < PI).then(|| (theta, theta.cos() + 1.0 + step))
    }

    /// The target logit divided by the scale, of an angle in radians.
    fn of_angle(self, theta: f64) -> f64 {
        let target = match self.turn() {
            Some((turn, off)) if theta >= turn => theta.cos() - off,
            _ => (self.m1 * theta + self.m2).cos(),
        };
        target - self.m3
    }

    /// The target logit divided by the scale, of cosines. Shapes `[batch]`.
    fn of_cosine(self, cosine: Tensor<1>) -> Tensor<1> {
        // Rounding can push a cosine past 1, where the roots would be NaN.
        let c = cosine.clamp(-1.0, 1.0);
        let (cos, sin) = if self.m1 == 1.0 {
            (c.clone(), sine(c.clone()))
        } else {
            let multiple = angle(c.clone()) * self.m1;
            (multiple.clone().cos(), multiple.sin())
        };
        let shifted = cos * self.m2.cos() - sin * self.m2.sin();
        let target = match self.turn() {
            Some((turn, off)) => shifted.mask_where(c.clone().lower_equal_elem(turn.cos()), c - off),
            None => shifted,
        };
        target - self.m3
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use burn::module::Param;

    use super::super::{ArcFace, CosFace, NormFace};
    use super::*;
    use crate::{
        heads::{ArcFaceConfig, CosFaceConfig, NormFaceConfig},
        reference::{
            Case, check_bad_keys, check_equal_heads, check_first_loss, check_head,
            check_head_of_many_classes, check_kink, for_each_form, setup,
        },
    };

    fn config(scale: f64, [m1, m2, m3]: [f64; 3], fallback: CombinedFallback) -> CombinedMarginConfig {
        CombinedMarginConfig { scale: scale.into(), m1: m1.into(), m2: m2.into(), m3: m3.into(), fallback }
    }

    fn head(config: &CombinedMarginConfig) -> impl Fn(Tensor<2>) -> CombinedMargin + '_ {
        move |weight| CombinedMargin { weight: Param::from_tensor(weight), config: config.clone() }
    }

    /// The formula with arccos and cos, in f64.
    fn target(cosine: f64, [m1, m2, m3]: [f64; 3], fallback: CombinedFallback) -> f64 {
        let phi = m1 * cosine.clamp(-1.0, 1.0).acos() + m2;
        let falling = cosine - ((PI - m2) / m1).cos() - 1.0;
        let target = match fallback {
            CombinedFallback::Linear if phi >= PI => falling + 1.0 - m2.cos() - m2 * m2.sin(),
            CombinedFallback::Continuous if phi >= PI => falling,
            _ => phi.cos(),
        };
        target - m3
    }

    const ALL: [[f64; 3]; 4] = [[1.0, 0.3, 0.2], [0.9, 0.4, 0.15], [3.5, 0.2, 0.1], [1.35, 0.0, 0.0]];

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (margins, fallback) in ALL.into_iter().zip(CombinedFallback::ALL.iter().copied()) {
            let config = config(30.0, margins, fallback);
            for case in Case::all() {
                check_head(&format!("combined {margins:?}"), &case, head(&config), |x, w, labels| {
                    Case::cosine_logits(x, w, labels, 30.0, |c| target(c, margins, fallback))
                });
            }
        }
    }

    #[test]
    fn angles_at_and_beside_the_kinks_give_the_formula_and_finite_gradients() {
        // At θ = 0 and π the slope is infinite where m2 > 0 or m1 is not whole, and at θ₀ there may be a step:
        // the value is to be that of a cosine within rounding, the gradient finite.
        for (margins, fallback) in ALL.into_iter().zip([
            CombinedFallback::Linear,
            CombinedFallback::Continuous,
            CombinedFallback::Linear,
            CombinedFallback::None,
        ]) {
            let config = config(16.0, margins, fallback);
            let turn = (PI - margins[1]) / margins[0];
            for theta in [0.0, 1e-3, PI / 2.0, turn - 1e-3, turn, turn + 1e-3, PI] {
                let case = Case::at_angle(theta);
                check_kink(&format!("combined {margins:?}"), &case, head(&config), 16.0, |c| {
                    target(c, margins, fallback)
                });
            }
        }
    }

    #[test]
    fn the_angle_of_a_cosine_is_exact_to_f32() {
        for_each_form("angle", |device, what| {
            let device = device.clone().autodiff();
            let cosines: Vec<f32> = (0..=1000).map(|i| (i - 500) as f32 / 500.0).collect();
            let c = Tensor::<1>::from_data(cosines.as_slice(), &device).require_grad();
            let theta = angle(c.clone());
            let slopes = c.grad(&theta.clone().sum().backward()).unwrap();
            let numbers = |t: Tensor<1>| t.into_data().try_to_vec::<f32>().unwrap();
            for ((c, theta), slope) in cosines.iter().zip(numbers(theta.inner())).zip(numbers(slopes)) {
                let (c, theta, slope) = (f64::from(*c), f64::from(theta), f64::from(slope));
                if c.abs() == 1.0 {
                    // √ε from the end, where the slope is 1/√ε.
                    assert!((theta - c.acos()).abs() < 1.1e-5, "{what}, c = {c}: {theta}");
                    assert!((slope + 1e5).abs() < 2e2, "{what}, c = {c}: slope {slope}");
                } else {
                    assert!((theta - c.acos()).abs() < 6e-7, "{what}, c = {c}: {theta}");
                    let expected = -1.0 / (1.0 - c * c).sqrt();
                    assert!((slope / expected - 1.0).abs() < 2e-6, "{what}, c = {c}: slope {slope}");
                }
            }
        });
    }

    #[test]
    fn a_hundred_thousand_classes_match_the_reference() {
        let margins = [0.9, 0.4, 0.15];
        let config = config(64.0, margins, CombinedFallback::Linear);
        check_head_of_many_classes("combined", &Case::many_classes(), head(&config), |x, w, labels| {
            Case::cosine_logits(x, w, labels, 64.0, |c| target(c, margins, CombinedFallback::Linear))
        });
    }

    #[test]
    fn the_target_logit_keeps_falling_and_has_no_step_but_that_of_arcface() {
        for margins in ALL.into_iter().chain([[2.0, 1.5, 1.0], [10.0, 0.5, 0.0], [0.1, 1.5, 0.0]]) {
            let [m1, m2, _] = margins;
            for fallback in [CombinedFallback::Linear, CombinedFallback::Continuous] {
                let curve = config(64.0, margins, fallback).curve(Progress::END).target;
                let (turn, count) = ((PI - m2) / m1, 20_000);
                // The finite step that a linear fallback has by its formula.
                let step =
                    if fallback == CombinedFallback::Linear { m2 * m2.sin() + m2.cos() - 1.0 } else { 0.0 };
                for i in 0..count {
                    let [theta, next] = [i, i + 1].map(|i| PI * f64::from(i) / f64::from(count));
                    let fall = curve(theta) - curve(next);
                    let jump = if theta < turn && turn <= next { step } else { 0.0 };
                    assert!(fall > -1e-12, "{margins:?}: rises at {theta}");
                    // |dz/dθ| is at most m1, or 1 past the turn.
                    let most = m1.max(1.0) * (next - theta) + jump;
                    assert!(fall <= most + 1e-9, "{margins:?}: falls by {fall} at {theta}");
                    assert!(jump == 0.0 || fall >= jump - 1e-9, "{margins:?}: step of {fall} at {theta}");
                }
            }
        }
    }

    #[test]
    fn margins_of_1_0_0_are_normface_and_1_m_0_arcface_and_1_0_m_cosface() {
        let s = 16.0;
        let device = Device::flex();
        let setup = setup(2, 1, 1, &device);
        let normface = NormFace::new(&NormFaceConfig { scale: s.into(), learned: false }, &setup);
        let arcface = ArcFaceConfig { scale: s.into(), margin: 0.5.into(), ..Default::default() };
        let arcface = ArcFace::new(&arcface, &setup);
        let cosface = CosFace::new(&CosFaceConfig { scale: s.into(), margin: 0.35.into() }, &setup);
        let angles = [0.0, PI - 0.501, PI - 0.499, PI].map(Case::at_angle);
        // Awkward weights are those of all three heads alike.
        let names = ["plain", "one sample", "a zero embedding", "norms of 1e-6"];
        let cases = Case::all().into_iter().filter(|case| names.contains(&case.name.as_str()));
        for case in cases.chain(angles) {
            let of = |margins| {
                let config = config(s, margins, CombinedFallback::Linear);
                move |weight| head(&config)(weight)
            };
            check_equal_heads("combined (1, 0, 0) = normface", &case, of([1.0, 0.0, 0.0]), |weight| {
                let mut head = normface.clone();
                head.weight = Param::from_tensor(weight);
                head
            });
            check_equal_heads("combined (1, m, 0) = arcface", &case, of([1.0, 0.5, 0.0]), |weight| {
                let mut head = arcface.clone();
                head.weight = Param::from_tensor(weight);
                head
            });
            check_equal_heads("combined (1, 0, m) = cosface", &case, of([1.0, 0.0, 0.35]), |weight| {
                let mut head = cosface.clone();
                head.weight = Param::from_tensor(weight);
                head
            });
        }
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        for margins in [[1.0, 0.3, 0.2], [1.35, 0.1, 0.1]] {
            check_first_loss(&config(16.0, margins, CombinedFallback::Linear));
        }
    }

    #[test]
    fn a_margin_out_of_range_names_key_value_and_range() {
        check_bad_keys::<CombinedMarginConfig>(&[
            ("m1 = 0", "head.m1 is 0; it must be more than 0 and at most 10"),
            ("m2 = 2", "head.m2 is 2; it must be from 0 to 1.5"),
            ("m3 = -1", "head.m3 is -1; it must be from 0 to 1"),
        ]);
    }
}
