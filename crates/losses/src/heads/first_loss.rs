//! The loss before the first step: the mean cross-entropy of random directions.

use std::f64::consts::PI;

use crate::Curve;

/// The angle between two random directions, or to the nearest of several, as angles with their probabilities.
///
/// The density of θ is ∝ sin^(d−2) θ. Sums over equal steps are exact to rounding here: what is summed is smooth, and
/// vanishes at both ends.
pub struct RandomAngles(Vec<(f64, f64)>);

impl RandomAngles {
    /// In `embedding` dimensions, to the nearest of `nearest_of` directions, finely enough for functions that change
    /// within an angle of `width`.
    pub fn new(embedding: usize, nearest_of: usize, width: f64) -> Self {
        let deviation = (embedding as f64).powf(-0.5);
        let reach = (14.0 * deviation).min(PI / 2.0);
        let half = (reach / (0.25 * deviation).min(0.5 * width)).ceil() as i32;
        let density = |from_right: f64| from_right.cos().max(0.0).powf(embedding as f64 - 2.0);
        // None at a right angle, where easy margins jump.
        let from_right = |i: i32| reach * (f64::from(i) + 0.5) / f64::from(half);
        let total: f64 = (-half..half).map(|i| density(from_right(i))).sum();
        let mut beyond = 1.0_f64;
        let angles = (-half..half).map(|i| {
            let before = beyond;
            beyond = (beyond - density(from_right(i)) / total).max(0.0);
            let all_beyond = |share: f64| share.powi(nearest_of as i32);
            (PI / 2.0 + from_right(i), all_beyond(before) - all_beyond(beyond))
        });
        Self(angles.filter(|angle| angle.1 > 1e-15).collect())
    }

    /// The mean of a function of the angle.
    pub fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.0.iter().map(|(angle, probability)| probability * of(*angle)).sum()
    }
}

/// The mean of ln(e^{z_y} + Σ_j e^{z_j}) − z_y over random directions, where each class has `nearest_of` of them.
///
/// With S the sum of the K − 1 independent e^{z_j}, E ln(e^{z_y} + S) = ∫ [e^{−t} − E e^{−t e^{z_y}} (E e^{−t e^{z_j}})^{K−1}] dt/t:
/// an integral of means over one angle, at any K. With t = e^u its integrand is analytic and falls as fast
/// as an exponential of an exponential, so that the sum over steps of ¼ is exact to rounding.
pub fn cross_entropy(classes: usize, embedding: usize, nearest_of: usize, curve: &Curve) -> f64 {
    const STEP: f64 = 0.25;
    // Beyond it e^{−e^u} is 0, and as far below 0 nothing is left of 1 − e^{−e^u}.
    const ABOVE: f64 = 4.0;
    const BELOW: f64 = 32.0;
    let scale = curve.scale;
    let others = (classes - 1) as f64;
    let own = RandomAngles::new(embedding, nearest_of, PI);
    let all = RandomAngles::new(embedding, nearest_of, 1.0 / scale.max(1.0));
    let targets: Vec<f64> = own.0.iter().map(|(angle, _)| scale * (curve.target)(*angle)).collect();
    let lowest = targets.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = targets.iter().copied().fold(f64::NEG_INFINITY, f64::max);

    // (E e^{−t e^{z_j}})^{K−1} at each u, which hardly any head makes depend on the target.
    let (mut logits, mut absent, mut first) = (Vec::new(), Vec::new(), 0.0);
    own.0
        .iter()
        .zip(&targets)
        .map(|((angle, probability), target)| {
            let of_others: Vec<f64> =
                all.0.iter().map(|(other, _)| scale * (curve.other)(*other, *angle)).collect();
            if of_others != logits {
                let most = of_others.iter().copied().fold(highest, f64::max);
                first = -(most + others.ln() + BELOW);
                let steps = ((ABOVE - lowest - first) / STEP).ceil() as usize;
                let mean_absent = |u: f64| -> f64 {
                    let present = |((_, p), z): (&(f64, f64), &f64)| p * -(-(u + z).exp()).exp_m1();
                    let present: f64 = all.0.iter().zip(&of_others).map(present).sum();
                    (others * (-present.min(1.0)).ln_1p()).exp()
                };
                absent = (0..=steps).map(|i| mean_absent(first + STEP * i as f64)).collect();
                logits = of_others;
            }
            let integrand = |(i, absent): (usize, &f64)| {
                let u = first + STEP * i as f64;
                (-u.exp()).exp() - (-(u + target).exp()).exp() * absent
            };
            probability * (STEP * absent.iter().enumerate().map(integrand).sum::<f64>() - target)
        })
        .sum()
}

/// The least of ln(1 + Σ_j e^{z_j − z_y}) where all angles are one, an acute one: beyond it margins have their
/// fallbacks, which no training goes to.
pub fn of_one_angle(classes: usize, curve: &Curve) -> f64 {
    const STEPS: u32 = 256;
    let others = ((classes - 1) as f64).ln();
    let at = |i: u32| {
        let theta = PI / 2.0 * f64::from(i) / f64::from(STEPS);
        softplus(others + curve.scale * ((curve.other)(theta, theta) - (curve.target)(theta)))
    };
    (0..STEPS).map(at).fold(f64::INFINITY, f64::min)
}

/// ln(1 + e^z).
pub fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_those_of_random_directions() {
        for embedding in [2, 3, 8, 128, 512] {
            let angles = RandomAngles::new(embedding, 1, 0.1);
            assert!((angles.mean(|_| 1.0) - 1.0).abs() < 1e-9, "{embedding}");
            assert!(angles.mean(f64::cos).abs() < 1e-9, "{embedding}");
            let square = angles.mean(|theta| theta.cos().powi(2));
            assert!((square * embedding as f64 - 1.0).abs() < 2e-2, "{embedding}: {square}");
        }
        // The larger of two normal numbers has mean 1/√π.
        let nearest = RandomAngles::new(4096, 2, 0.01).mean(f64::cos) * 64.0;
        assert!((nearest * PI.sqrt() - 1.0).abs() < 2e-2, "{nearest}");
    }

    #[test]
    fn one_angle_is_no_better_than_guessing() {
        let ln = |classes: usize| (classes as f64).ln();
        for classes in [2, 6, 10_572] {
            let plain = of_one_angle(classes, &Curve::new(64.0, f64::cos, f64::cos));
            assert!((plain - ln(classes)).abs() < 1e-12);
        }
        let cosface = of_one_angle(10_572, &Curve::new(64.0, |theta| theta.cos() - 0.4, f64::cos));
        let arcface = of_one_angle(10_572, &Curve::new(64.0, |theta| (theta + 0.5).cos(), f64::cos));
        assert!((cosface - (ln(10_571) + 25.6)).abs() < 1e-4, "{cosface}");
        assert!((arcface - (ln(10_571) + 64.0 * (1.0 - 0.5f64.cos()))).abs() < 1e-4, "{arcface}");
    }

    #[test]
    fn without_a_scale_it_is_the_logarithm_of_the_number_of_classes() {
        for classes in [2, 3, 1_000, 1_000_000] {
            let loss = cross_entropy(classes, 64, 1, &Curve::new(1e-6, f64::cos, f64::cos));
            assert!((loss - (classes as f64).ln()).abs() < 1e-5, "{classes}: {loss}");
        }
    }
}
