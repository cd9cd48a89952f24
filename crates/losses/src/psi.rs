//! ψ, the multiplicative angular margin of L-Softmax and A-Softmax, and the λ that blends it in.

use std::f64::consts::PI;

use burn::tensor::Tensor;

/// ψ(θ) = (−1)^k cos(mθ) − 2k for θ in [kπ/m, (k+1)π/m], from c = cos θ; m = 1 is c itself.
///
/// cos(mθ) is the Chebyshev polynomial T_m(c), from T_{n+1} = 2c T_n − T_{n−1}, so value and slope are finite for
/// every c, also for one that rounding has pushed past ±1. k comes from comparisons of c with cos(kπ/m) and is a
/// constant of the derivative; where it changes cos(mθ) is ±1 with slope 0, so ψ has no step there and no corner.
///
/// # Shapes
/// - `cosine`: `[batch]`, output: `[batch]`
pub(crate) fn psi(cosine: Tensor<1>, margin: usize) -> Tensor<1> {
    let (mut previous, mut multiple) = (cosine.ones_like(), cosine.clone());
    for _ in 1..margin {
        let next = cosine.clone() * multiple.clone() * 2.0 - previous;
        (previous, multiple) = (multiple, next);
    }
    let mut k = cosine.zeros_like();
    let mut sign = cosine.ones_like();
    for passed in 1..margin {
        let past = cosine.clone().lower_elem((passed as f64 * PI / margin as f64).cos()).float();
        sign = sign * (past.clone() * -2.0 + 1.0);
        k = k + past;
    }
    multiple * sign - k * 2.0
}

/// (λ c + ψ(θ)) / (1 + λ) − c: what a λ makes of the margin, to be added to a cosine c. Shapes `[batch]`.
pub(crate) fn blended_margin(cosine: Tensor<1>, margin: usize, lambda: f64) -> Tensor<1> {
    (psi(cosine.clone(), margin) - cosine) / (1.0 + lambda)
}

/// (λ cos θ + ψ(θ)) / (1 + λ) of an angle in radians.
pub(crate) fn blended_angle(theta: f64, margin: usize, lambda: f64) -> f64 {
    let m = margin as f64;
    let k = (m * theta / PI).floor().min(m - 1.0);
    let sign = if k % 2.0 == 0.0 { 1.0 } else { -1.0 };
    (lambda * theta.cos() + sign * (m * theta).cos() - 2.0 * k) / (1.0 + lambda)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::for_each_form;
    use burn::tensor::{Device, Tolerance};

    fn cosines(count: usize, device: &Device) -> (Vec<f64>, Tensor<1>) {
        let angles: Vec<f64> = (0..=count).map(|i| PI * i as f64 / count as f64).collect();
        let cosines: Vec<f32> = angles.iter().map(|theta| theta.cos() as f32).collect();
        (angles, Tensor::from_data(cosines.as_slice(), device))
    }

    fn numbers(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn psi_falls_without_a_step_from_1_to_minus_2m_minus_1() {
        for_each_form("ψ", |device, what| {
            let count = 1200;
            for margin in 1..=4 {
                let values = numbers(psi(cosines(count, device).1, margin));
                let last = -(2.0 * margin as f32 - 1.0);
                assert!((values[0] - 1.0).abs() < 1e-6, "{what}, m = {margin}: ψ(0) = {}", values[0]);
                assert!(
                    (values[count] - last).abs() < 1e-5,
                    "{what}, m = {margin}: ψ(π) = {}",
                    values[count]
                );
                // |dψ/dθ| ≤ m; a rounded cosine moves ψ by up to m² roundings and T_m rounds as well.
                let step = (margin as f64 * PI / count as f64) as f32 + 1e-5;
                for (i, pair) in values.windows(2).enumerate() {
                    let fall = pair[0] - pair[1];
                    assert!((-5e-6..=step).contains(&fall), "{what}, m = {margin}, {i}: falls by {fall}");
                }
            }
        });
    }

    #[test]
    fn psi_and_its_slope_match_the_formula_in_the_angle() {
        for_each_form("ψ", |device, what| {
            let device = device.clone().autodiff();
            for margin in 1..=4 {
                let m = margin as f64;
                // (−1)^k cos(mθ) − 2k with k found by counting.
                let formula = |theta: f64| {
                    let k = (1..margin).filter(|k| theta >= *k as f64 * PI / m).count();
                    (if k % 2 == 0 { 1.0 } else { -1.0 }) * (m * theta).cos() - 2.0 * k as f64
                };
                let (angles, c) = cosines(97, &device);
                let c = c.require_grad();
                let value = psi(c.clone(), margin);
                let slopes = numbers(c.grad(&value.clone().sum().backward()).unwrap());
                for (i, theta) in angles.iter().enumerate() {
                    let found = f64::from(numbers(value.clone().inner())[i]);
                    assert!(
                        (found - formula(*theta)).abs() < 1e-5,
                        "{what}, m = {margin}, θ = {theta}: {found}"
                    );
                    assert!((blended_angle(*theta, margin, 0.0) - formula(*theta)).abs() < 1e-12);
                    // dψ/dc by central differences; c is no function of θ that can be inverted at 0 and π.
                    let step = 1e-6;
                    if (1e-3..PI - 1e-3).contains(theta) {
                        let by_theta = (formula(theta + step) - formula(theta - step)) / (2.0 * step);
                        let expected = -by_theta / theta.sin();
                        let found = f64::from(slopes[i]);
                        assert!(
                            (found - expected).abs() < 1e-4 * m * m,
                            "{what}, m = {margin}, θ = {theta}: slope {found} against {expected}"
                        );
                    }
                }
                // The limit there is m², which no form with a sine in the denominator reaches.
                for end in [slopes[0], slopes[97]] {
                    assert!(
                        (f64::from(end) - m * m).abs() < 1e-4 * m * m,
                        "{what}, m = {margin}: slope {end}"
                    );
                }
            }
        });
    }

    #[test]
    fn psi_has_no_corner_where_k_changes() {
        for_each_form("ψ", |device, what| {
            let device = device.clone().autodiff();
            for margin in 2..=4 {
                for k in 1..margin {
                    let (m, k) = (margin as f64, k as f64);
                    let at = (k * PI / m).cos();
                    // The slope falls to 0 on both sides; one f32 beside, it is a curvature times 1e-7.
                    let c = [at as f32, at as f32 - 1e-7, at as f32 + 1e-7];
                    let c = Tensor::<1>::from_floats(c, &device).require_grad();
                    let value = psi(c.clone(), margin);
                    let slopes = numbers(c.grad(&value.clone().sum().backward()).unwrap());
                    assert!(
                        slopes.iter().all(|slope| slope.abs() < 2e-5),
                        "{what}, m = {m}, k = {k}: {slopes:?}"
                    );
                    for value in numbers(value.inner()) {
                        let expected = 1.0 - 2.0 * k as f32;
                        assert!((value - expected).abs() < 5e-6, "{what}, m = {m}, k = {k}: {value}");
                    }
                }
            }
        });
    }

    #[test]
    fn a_cosine_past_1_is_as_good_as_1() {
        let device = Device::flex().autodiff();
        let c = Tensor::<1>::from_floats([1.000_001, -1.000_001], &device).require_grad();
        for margin in 1..=4 {
            let value = psi(c.clone(), margin);
            let slopes = c.grad(&value.clone().sum().backward()).unwrap();
            assert!(numbers(slopes).iter().all(|slope| slope.is_finite()));
            let ends = [1.0, 1.0 - 2.0 * margin as f32];
            value.inner().into_data().assert_approx_eq::<f32>(&ends.into(), Tolerance::absolute(5e-5));
        }
    }

    #[test]
    fn a_lambda_blends_the_margin_in() {
        let device = Device::flex();
        for (lambda, theta) in [(5.0, 1.2), (0.0, 2.0), (1000.0, 0.3)] {
            let c = Tensor::<1>::from_floats([f64::cos(theta) as f32], &device);
            let blended = f64::from((c.clone() + blended_margin(c, 4, lambda)).into_scalar::<f32>());
            assert!((blended - blended_angle(theta, 4, lambda)).abs() < 1e-6);
        }
    }
}
