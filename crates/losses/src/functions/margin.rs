//! Losses of two classes by the margin f y: the score f of a sample times its label y, −1 or 1. The sign of the
//! margin tells whether the sample is on its side; all but `zero_one` are bounds of that count, up to a factor.

use burn::tensor::{Tensor, activation};

/// Zero-one loss: the share of samples with f y ≤ 0, so a score of 0 is wrong for both classes.
///
/// Its gradient is 0: to train, take one of the other losses here.
///
/// # Shapes
/// - `scores`, `labels` of −1 or 1: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, section 10.6.
pub fn zero_one<const D: usize>(scores: Tensor<D>, labels: Tensor<D>) -> Tensor<1> {
    // By the sign, which autodiff knows to be flat: a comparison would leave nothing to differentiate.
    let right = activation::relu((scores * labels).sign());
    (right.neg() + 1.0).mean()
}

/// Squared loss of the margin: mean (1 − f y)², which is (y − f)² since y² = 1.
///
/// Beyond |f| of about 1e19 the square is not an f32 any more, and the loss is infinite.
///
/// # Shapes
/// - `scores`, `labels` of −1 or 1: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, section 10.6.
pub fn square<const D: usize>(scores: Tensor<D>, labels: Tensor<D>) -> Tensor<1> {
    (scores * labels - 1.0).square().mean()
}

/// Exponential loss: mean exp(−f y).
///
/// Below f y of about −88 it is not an f32 any more, and infinite.
///
/// # Shapes
/// - `scores`, `labels` of −1 or 1: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: Freund & Schapire, AdaBoost, 1997; Friedman, Hastie & Tibshirani, Additive logistic regression, 2000,
/// section 4.
pub fn exponential<const D: usize>(scores: Tensor<D>, labels: Tensor<D>) -> Tensor<1> {
    (scores * labels).neg().exp().mean()
}

/// Hinge loss: mean max(0, 1 − f y). At f y = 1 its gradient is 0.
///
/// # Shapes
/// - `scores`, `labels` of −1 or 1: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: Cortes & Vapnik, Support-vector networks, 1995.
pub fn hinge<const D: usize>(scores: Tensor<D>, labels: Tensor<D>) -> Tensor<1> {
    activation::relu((scores * labels).neg() + 1.0).mean()
}

/// Logistic loss: mean ln(1 + exp(−f y)), in nats, finite for any score.
///
/// # Shapes
/// - `scores`, `labels` of −1 or 1: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: Friedman, Hastie & Tibshirani, Additive logistic regression, 2000, section 4, with 2 f for f.
pub fn logistic<const D: usize>(scores: Tensor<D>, labels: Tensor<D>) -> Tensor<1> {
    softplus((scores * labels).neg()).mean()
}

/// Binary cross-entropy on logits: mean of −t ln σ(z) − (1 − t) ln(1 − σ(z)), in nats, finite for any logit.
///
/// With t of 0 or 1 it is the logistic loss with y = 2 t − 1. Its gradient is (σ(z) − t) / n.
///
/// # Shapes
/// - `logits`, `targets` from 0 to 1: `[...]`, the same; output: `[1]`
///
/// # Panics
/// If the shapes differ.
///
/// Source: Bishop, Pattern Recognition and Machine Learning, eq. 4.90.
pub fn binary_cross_entropy<const D: usize>(logits: Tensor<D>, targets: Tensor<D>) -> Tensor<1> {
    // −ln σ(z) = softplus(−z) and −ln(1 − σ(z)) = softplus(z). The shorter softplus(z) − t z would be a difference
    // of large numbers where z is large and right.
    let wrong_if_one = softplus(logits.clone().neg());
    let wrong_if_zero = softplus(logits);
    (targets.clone() * wrong_if_one + (targets.neg() + 1.0) * wrong_if_zero).mean()
}

/// ln(1 + exp(x)) = max(0, x) + ln(1 + exp(−|x|)), whose exponential never overflows.
///
/// Burn's `log_sigmoid` takes log and not log1p of that exponential, which rounds losses below 6e-8 to 0.
fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // −|x| by choice of a sign: the slope of `abs` at 0 is 0, and that of softplus ½.
    let positive = x.clone().greater_elem(0.0);
    let minus_size = x.clone().mask_where(positive, x.clone().neg());
    activation::relu(x) + minus_size.exp().log1p()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use std::f64::consts::LN_2;

    use super::super::tests::{check, mean, tensor, value_and_gradients};
    use super::*;
    use crate::{CriterionConfig, criteria::of_rows};

    /// Beside no kink.
    const SCORES: [f64; 8] = [-3.0, -0.5, 0.25, 0.75, 1.5, 4.0, -2.0, 0.5];
    const LABELS: [f64; 8] = [-1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0];

    fn softplus_of(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    fn bce_of(z: f64, t: f64) -> f64 {
        t * softplus_of(-z) + (1.0 - t) * softplus_of(z)
    }

    #[test]
    fn values_and_gradients_are_those_of_the_formulas() {
        let inputs = [&SCORES[..], &LABELS];
        check("zero_one", inputs, zero_one, mean(|f, y| if f * y > 0.0 { 0.0 } else { 1.0 }));
        check("square", inputs, square, mean(|f, y| (1.0 - f * y).powi(2)));
        check("exponential", inputs, exponential, mean(|f, y| (-f * y).exp()));
        check("hinge", inputs, hinge, mean(|f, y| (1.0 - f * y).max(0.0)));
        check("logistic", inputs, logistic, mean(|f, y| (1.0 + (-f * y).exp()).ln()));
        let targets = [0.0, 1.0, 0.25, 0.75, 1.0, 0.0, 0.5, 0.125];
        check("binary_cross_entropy", [&SCORES, &targets], binary_cross_entropy, mean(bce_of));
    }

    #[test]
    fn a_score_of_0_counts_as_wrong_and_pulls_to_its_side() {
        for chosen in facegrad_test_devices::devices() {
            let at = |loss: fn(Tensor<1>, Tensor<1>) -> Tensor<1>, label| {
                let (value, [slope, _]) = value_and_gradients(&chosen.device, [&[0.0], &[label]], loss);
                (value, slope[0])
            };
            for y in [-1.0, 1.0] {
                assert_eq!(at(zero_one, y), (1.0, 0.0));
                assert_eq!(at(square, y), (1.0, -2.0 * y));
                assert_eq!(at(exponential, y), (1.0, -y));
                assert_eq!(at(hinge, y), (1.0, -y));
                for (value, slope) in [at(logistic, y), at(binary_cross_entropy, (y + 1.0) / 2.0)] {
                    assert!(
                        (value - LN_2).abs() < 1e-6 && (slope + y / 2.0).abs() < 1e-6,
                        "{value}, {slope}"
                    );
                }
            }
        }
    }

    #[test]
    fn scores_of_any_size_give_the_loss_and_gradient_where_these_are_f32() {
        let (scores, labels) = ([1e30, -1e30, 1e30, -1e30, 0.0], [1.0, -1.0, -1.0, 1.0, 1.0]);
        let targets: Vec<f64> = labels.iter().map(|y| (y + 1.0) / 2.0).collect();
        for chosen in facegrad_test_devices::devices() {
            let run = |loss: fn(Tensor<1>, Tensor<1>) -> Tensor<1>, second: &[f64]| {
                value_and_gradients(&chosen.device, [&scores, second], loss)
            };
            let close =
                |found: f64, expected: f64| (found - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            assert!(close(run(zero_one, &labels).0, 0.6), "{}", chosen.description);
            let (value, [slopes, _]) = run(hinge, &labels);
            assert!(close(value, 0.4e30), "{}: {value}", chosen.description);
            assert!(slopes.iter().zip([0.0, 0.0, 0.2, -0.2, -0.2]).all(|(a, b)| close(*a, b)), "{slopes:?}");
            for (value, [slopes, _]) in [run(logistic, &labels), run(binary_cross_entropy, &targets)] {
                assert!(close(value, 0.4e30), "{}: {value}", chosen.description);
                assert!(
                    slopes.iter().zip([0.0, 0.0, 0.2, -0.2, -0.1]).all(|(a, b)| close(*a, b)),
                    "{}: {slopes:?}",
                    chosen.description
                );
            }
            // Large margins on the right side only: elsewhere the exponential is no f32.
            let right =
                value_and_gradients(&chosen.device, [&[1e30, -1e30, 0.0], &[1.0, -1.0, 1.0]], exponential);
            assert!(close(right.0, 1.0 / 3.0), "{}: {}", chosen.description, right.0);
            assert!(
                right.1[0].iter().zip([0.0, 0.0, -1.0 / 3.0]).all(|(a, b)| close(*a, b)),
                "{:?}",
                right.1
            );
        }
    }

    #[test]
    fn a_loss_below_the_rounding_of_1_is_not_0() {
        let device = Device::flex();
        // ln(1 + e⁻²⁰) = 2.06e-9.
        for loss in [
            logistic(tensor(&[20.0], &device), tensor(&[1.0], &device)),
            binary_cross_entropy(tensor(&[20.0], &device), tensor(&[1.0], &device)),
        ] {
            let loss = f64::from(loss.into_scalar::<f32>());
            assert!((loss - 2.061_153_6e-9).abs() < 1e-14, "{loss}");
        }
    }

    #[test]
    fn binary_cross_entropy_is_the_logistic_loss_and_the_softmax_of_two_classes() {
        let targets: Vec<f64> = LABELS.iter().map(|y| (y + 1.0) / 2.0).collect();
        for chosen in facegrad_test_devices::devices() {
            let device = &chosen.device;
            let logits = tensor(&SCORES, device);
            let binary = binary_cross_entropy(logits.clone(), tensor(&targets, device)).into_scalar::<f32>();
            let by_margin = logistic(logits.clone(), tensor(&LABELS, device)).into_scalar::<f32>();
            let two = Tensor::stack::<2>(vec![logits.zeros_like(), logits], 1);
            let classes: Vec<usize> = targets.iter().map(|target| *target as usize).collect();
            let softmax = CriterionConfig::default().loss(&of_rows(two, &classes)).into_scalar::<f32>();
            assert!((binary - by_margin).abs() < 1e-6, "{binary} and {by_margin}");
            assert!((binary - softmax).abs() < 1e-6, "{binary} and {softmax}");
        }
    }

    /// z with σ(z) = p.
    fn logit(p: f64) -> f64 {
        (p / (1.0 - p)).ln()
    }

    #[test]
    fn true_class_probabilities_of_0_4_0_4_0_5_0_1_cost_6_966_bits_and_0_7_0_8_0_9_0_4_cost_2_310() {
        for (probabilities, bits) in [([0.4, 0.4, 0.5, 0.1], 6.966), ([0.7, 0.8, 0.9, 0.4], 2.310)] {
            let logits = probabilities.map(logit);
            for chosen in facegrad_test_devices::devices() {
                let logits = tensor(&logits, &chosen.device);
                let binary = binary_cross_entropy(logits.clone(), logits.ones_like());
                // The true class against two others that share the rest.
                let rest = logits.zeros_like() + LN_2;
                let rows = Tensor::stack::<2>(vec![logits + 2.0 * LN_2, rest.clone(), rest], 1);
                for nats in [binary, CriterionConfig::default().loss(&of_rows(rows, &[0; 4]))] {
                    let found = 4.0 * f64::from(nats.into_scalar::<f32>()) / LN_2;
                    assert!((found - bits).abs() < 5e-4, "{found} bits are not {bits}");
                }
            }
        }
    }

    #[test]
    fn a_probability_of_0_4_has_an_entropy_of_0_971_bits_and_0_99_of_0_081() {
        // The cross-entropy of a distribution with itself.
        for (p, bits) in [(0.4, 0.971), (0.99, 0.081)] {
            for chosen in facegrad_test_devices::devices() {
                let inputs = [&[logit(p)][..], &[p]];
                let (nats, [slope, _]) = value_and_gradients(&chosen.device, inputs, binary_cross_entropy);
                assert!((nats / LN_2 - bits).abs() < 5e-4, "{} bits are not {bits}", nats / LN_2);
                assert!(slope[0].abs() < 1e-6, "no other logit costs less, but the slope is {}", slope[0]);
            }
        }
    }

    #[test]
    fn the_weight_of_a_weak_classifier_in_adaboost_minimises_the_exponential_loss() {
        // 16 samples of equal weight, some of them wrong: y h = −1.
        for wrong in [1, 3, 7, 8, 12] {
            let error = f64::from(wrong) / 16.0;
            let best = 0.5 * ((1.0 - error) / error).ln();
            let labels: Vec<f64> = (0..16).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
            let votes: Vec<f64> =
                labels.iter().enumerate().map(|(i, y)| if i < wrong as usize { -y } else { *y }).collect();
            for chosen in facegrad_test_devices::devices() {
                let device = chosen.device.clone().autodiff();
                let loss = |weight: f64| {
                    let weight = tensor(&[weight], &device).require_grad();
                    let loss =
                        exponential(tensor(&votes, &device) * weight.clone(), tensor(&labels, &device));
                    let slope = weight.grad(&loss.clone().backward()).unwrap();
                    (f64::from(loss.into_scalar::<f32>()), f64::from(slope.into_scalar::<f32>()))
                };
                let (least, slope) = loss(best);
                // The least loss is that of the bound on AdaBoost's training error.
                assert!((least - 2.0 * (error * (1.0 - error)).sqrt()).abs() < 1e-6, "{error}: {least}");
                assert!(slope.abs() < 1e-6, "{error}: the slope at {best} is {slope}");
                for beside in [best - 0.1, best + 0.1] {
                    assert!(loss(beside).0 > least, "{error}: {beside} is better than {best}");
                }
            }
        }
    }

    /// Points of a plane, and labels that no line through 0 gets all right.
    const POINTS: [[f64; 2]; 5] = [[1.0, 2.0], [2.0, 0.5], [-1.0, -1.5], [-2.0, 1.0], [0.5, 0.25]];
    const SIDES: [f64; 5] = [1.0, 1.0, -1.0, -1.0, -1.0];

    /// Mean hinge loss + λ ‖w‖² of a linear classifier without bias, and its gradient.
    fn hinge_with_l2(w: [f64; 2], lambda: f64, device: &Device) -> (f64, Vec<f64>) {
        let device = device.clone().autodiff();
        let w = tensor(&w, &device).require_grad();
        let x = tensor(POINTS.as_flattened(), &device).reshape([5, 2]);
        let scores = x.matmul(w.clone().reshape([2, 1])).reshape([5]);
        let loss = hinge(scores, tensor(&SIDES, &device)) + w.clone().square().sum() * lambda;
        let slope: Vec<f32> = w.grad(&loss.clone().backward()).unwrap().into_data().try_to_vec().unwrap();
        (f64::from(loss.into_scalar::<f32>()), slope.into_iter().map(f64::from).collect())
    }

    /// The least slack ξ ≥ 0 with y w·x ≥ 1 − ξ, by halving.
    fn slack(w: [f64; 2], x: [f64; 2], y: f64) -> f64 {
        let is_enough = |xi: f64| y * (w[0] * x[0] + w[1] * x[1]) >= 1.0 - xi;
        if is_enough(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, 100.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if is_enough(middle) { high = middle } else { low = middle }
        }
        high
    }

    #[test]
    fn hinge_with_l2_is_the_objective_of_the_soft_margin_svm() {
        // ½ ‖w‖² + C Σ ξ = n C (mean hinge + λ ‖w‖²) with λ = 1 / (2 n C).
        let n = POINTS.len() as f64;
        for chosen in facegrad_test_devices::devices() {
            for c in [0.01, 0.5, 10.0] {
                let lambda = 1.0 / (2.0 * n * c);
                for w in [[0.0, 0.0], [0.4, -0.3], [1.5, 2.0], [-1.0, 0.7]] {
                    let slacks: f64 = POINTS.iter().zip(SIDES).map(|(x, y)| slack(w, *x, y)).sum();
                    let svm = 0.5 * (w[0] * w[0] + w[1] * w[1]) + c * slacks;
                    let found = n * c * hinge_with_l2(w, lambda, &chosen.device).0;
                    assert!((found - svm).abs() <= 1e-5 * svm, "C = {c}, w = {w:?}: {found} is not {svm}");
                }
            }
            // With C so small that all points lie within the margin, every multiplier of the dual problem is at
            // its bound C, hence w = C Σ y x; there the slope must vanish.
            let c = 0.01;
            let sum = |axis: usize| POINTS.iter().zip(SIDES).map(|(x, y)| c * y * x[axis]).sum::<f64>();
            let (_, slope) = hinge_with_l2([sum(0), sum(1)], 1.0 / (2.0 * n * c), &chosen.device);
            assert!(slope.iter().all(|s| s.abs() < 1e-6), "{slope:?} on {}", chosen.description);
        }
    }
}
