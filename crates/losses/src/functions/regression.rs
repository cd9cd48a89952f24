//! Losses of a residual r = prediction − target.

use burn::tensor::Tensor;

/// Mean squared error: mean r².
///
/// Its gradient, 2 r / n, grows with the residual, so outliers lead. Beyond |r| of about 1e19 the square is not an
/// f32 any more, and the loss is infinite.
///
/// # Shapes
/// - `prediction`, `target`: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: least squares, Legendre 1805.
pub fn mse<const D: usize>(prediction: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    (prediction - target).square().mean()
}

/// Root mean squared error: √(mean r²), in the units of the target.
///
/// The residuals are divided by the largest of them before they are squared, so that a loss which is an f32 comes
/// out as one. Where all residuals are 0 the root has no slope; the gradient there is 0.
///
/// # Shapes
/// - `prediction`, `target`: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: least squares, Legendre 1805.
pub fn rmse<const D: usize>(prediction: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    // Inside the root, where the mean is at least 1/n unless all residuals are nearly 0: relatively n/2 · ε.
    const EPSILON: f64 = 1e-12;
    // Keeps the division by the largest residual finite.
    const SMALLEST: f64 = 1e-20;
    let residual = prediction - target;
    // A constant in the derivative: the loss does not depend on it but through ε.
    let largest = residual.clone().detach().abs().max().clamp_min(SMALLEST);
    let share = residual / largest.clone().reshape([1; D]);
    (share.square().mean() + EPSILON).sqrt() * largest
}

/// Mean absolute error: mean |r|.
///
/// Its gradient is sign(r) / n whatever the size of the residual, and 0 at r = 0; the constant prediction that
/// minimises it is the median.
///
/// # Shapes
/// - `prediction`, `target`: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: least absolute deviations, Boscovich 1757.
pub fn mae<const D: usize>(prediction: Tensor<D>, target: Tensor<D>) -> Tensor<1> {
    (prediction - target).abs().mean()
}

/// Huber loss: mean of ½ r² where |r| ≤ δ, δ (|r| − ½ δ) elsewhere.
///
/// Squared near 0, where it has a slope to slow down on, and absolute for outliers.
///
/// # Shapes
/// - `prediction`, `target`: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ, or `delta` is not above 0.
///
/// Source: Huber, Robust estimation of a location parameter, 1964.
pub fn huber<const D: usize>(prediction: Tensor<D>, target: Tensor<D>, delta: f64) -> Tensor<1> {
    assert!(delta > 0.0, "the delta of the Huber loss is {delta}; it must be above 0");
    let size = (prediction - target).abs();
    // q (|r| − ½ q) with q = min(|r|, δ) is both pieces, and never squares a large residual.
    let inner = size.clone().clamp_max(delta);
    (inner.clone() * (size - inner * 0.5)).mean()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Loss, check, mean, value_and_gradients};
    use super::*;

    /// Predictions and targets whose residuals lie beside no kink: −10 −2.5 −0.25 0.125 1.5 5 20.
    const PREDICTIONS: [f64; 7] = [-7.0, 0.5, 0.75, -1.875, 3.5, 9.0, 16.0];
    const TARGETS: [f64; 7] = [3.0, 3.0, 1.0, -2.0, 2.0, 4.0, -4.0];

    fn huber_of(r: f64, delta: f64) -> f64 {
        if r.abs() <= delta { r * r / 2.0 } else { delta * (r.abs() - delta / 2.0) }
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formulas() {
        let inputs = [&PREDICTIONS[..], &TARGETS];
        check("mse", inputs, mse, mean(|a, b| (a - b).powi(2)));
        check("rmse", inputs, rmse, |a, b| mean(|a, b| (a - b).powi(2))(a, b).sqrt());
        check("mae", inputs, mae, mean(|a, b| (a - b).abs()));
        for delta in [0.5, 1.0, 10.5, 100.0] {
            check("huber", inputs, |a, b| huber(a, b, delta), mean(|a, b| huber_of(a - b, delta)));
        }
    }

    /// MAE, RMSE, and mean Huber loss for δ = 1 and δ = 10 of the residuals, on every backend.
    fn of_residuals(residuals: [f64; 5], expected: [f64; 4]) {
        for chosen in facegrad_test_devices::devices() {
            let loss = |loss: Loss| value_and_gradients(&chosen.device, [&residuals, &[0.0; 5]], loss).0;
            let found =
                [loss(&mae), loss(&rmse), loss(&|a, b| huber(a, b, 1.0)), loss(&|a, b| huber(a, b, 10.0))];
            for (found, expected) in found.into_iter().zip(expected) {
                // To the digits of the source.
                assert!((found - expected).abs() < 0.005, "{residuals:?}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn residuals_of_minus_10_to_10_have_mae_6_rmse_7_07_and_huber_5_6_and_25() {
        of_residuals([-10.0, -5.0, 0.0, 5.0, 10.0], [6.0, 7.07, 5.6, 25.0]);
    }

    #[test]
    fn an_outlier_of_100_raises_rmse_most_and_huber_of_a_small_delta_least() {
        of_residuals([-10.0, -5.0, 0.0, 5.0, 100.0], [24.0, 45.06, 23.6, 205.0]);
    }

    #[test]
    fn no_residual_has_loss_0_and_gradient_0() {
        for chosen in facegrad_test_devices::devices() {
            let losses: [Loss; 4] = [&mse, &rmse, &mae, &|a, b| huber(a, b, 1.0)];
            for (i, loss) in losses.into_iter().enumerate() {
                let (value, gradients) =
                    value_and_gradients(&chosen.device, [&[3.0, 0.0], &[3.0, 0.0]], loss);
                assert!((0.0..1e-20).contains(&value), "{i} on {}: {value}", chosen.description);
                assert_eq!(gradients, [vec![0.0; 2], vec![0.0; 2]], "{i} on {}", chosen.description);
            }
        }
    }

    #[test]
    fn residuals_of_1e30_and_1e_minus_15_are_finite_where_the_loss_is_an_f32() {
        for chosen in facegrad_test_devices::devices() {
            for size in [1e30, 1e-15] {
                let (a, b) = ([size, -size, 0.0, size], [0.0; 4]);
                let losses: [(Loss, f64, f64); 3] = [
                    (&rmse, size * 0.75f64.sqrt(), 1.0 / 12f64.sqrt()),
                    (&mae, size * 0.75, 0.25),
                    (&|a, b| huber(a, b, 2.0), mean(|a, _| huber_of(a, 2.0))(&a, &b), size.min(2.0) / 4.0),
                ];
                for (i, (loss, expected, slope)) in losses.into_iter().enumerate() {
                    let what = format!("{i} at {size} on {}", chosen.description);
                    let (value, [gradient, _]) = value_and_gradients(&chosen.device, [&a, &b], loss);
                    assert!((value - expected).abs() <= 1e-5 * expected, "{what}: {value} is not {expected}");
                    for (found, sign) in gradient.iter().zip([1.0, -1.0, 0.0, 1.0]) {
                        let close = (found - sign * slope).abs() <= 1e-5 * slope;
                        assert!(close, "{what}: {gradient:?} is not ±{slope}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the delta of the Huber loss is -1; it must be above 0")]
    fn a_delta_of_no_use_is_refused() {
        let x = Tensor::<1>::zeros([1], &burn::tensor::Device::flex());
        huber(x.clone(), x, -1.0);
    }
}
