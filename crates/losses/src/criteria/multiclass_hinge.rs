//! Multiclass hinge loss: the multiclass support vector machine.

use burn::tensor::Tensor;
use facegrad_settings::{above, choice, settings};

use super::CriterionKind;
use crate::{ClassLogits, Reduction};

choice! {
    /// Which classes count.
    pub enum Form {
        /// All that come within the margin: Σ_{j≠y} max(0, z_j − z_y + Δ).
        Sum = "sum",
        /// The one that comes nearest: max(0, max_{j≠y} z_j − z_y + Δ).
        Max = "max",
    }
}

settings! {
    /// How far other classes come within a margin of the target.
    pub struct MulticlassHingeConfig {
        /// Margin Δ between the target's logit and the others, in units of the logits: beside a head with a scale
        /// s of the cosines, Δ = s stands for a whole 1 of cosine.
        delta: f64 = 1.0, above(0.0);
        /// Which classes count.
        form: Form = Form::Sum;
    }
}

impl CriterionKind for MulticlassHingeConfig {
    fn formula(&self) -> &'static str {
        "Σ_{j≠y} max(0, z_j − z_y + Δ), or with form = \"max\": max(0, max_{j≠y} z_j − z_y + Δ)"
    }

    fn source(&self) -> &'static str {
        "sum: Weston and Watkins, ESANN 1999; max: Crammer and Singer, JMLR 2001"
    }

    fn loss(&self, logits: &ClassLogits) -> Tensor<1> {
        let delta = self.delta;
        let reduction = match self.form {
            Form::Sum => Reduction::HingeSum { delta },
            Form::Max => Reduction::HingeMax { delta },
        };
        logits.reduce(reduction).mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CriterionConfig,
        reference::{check_bad_keys, check_criterion, for_each_form, loss_of_rows},
    };

    fn hinge(delta: f64, form: Form) -> CriterionConfig {
        CriterionConfig::MulticlassHinge(MulticlassHingeConfig { delta, form })
    }

    fn of_row(row: &[f64], y: usize, delta: f64, form: Form) -> f64 {
        let (mut sum, mut max) = (0.0, 0.0f64);
        for (j, z) in row.iter().enumerate() {
            if j != y {
                let violation = (z - row[y] + delta).max(0.0);
                sum += violation;
                max = max.max(violation);
            }
        }
        match form {
            Form::Sum => sum,
            Form::Max => max,
        }
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for (delta, form) in [(1.0, Form::Sum), (5.0, Form::Max)] {
            check_criterion(&format!("{form} hinge"), &hinge(delta, form), |row, y| {
                of_row(row, y, delta, form)
            });
        }
    }

    #[test]
    fn hinge_losses_of_the_worked_example() {
        for_each_form("worked example", |device, what| {
            let loss = |delta, form, row: &[f64], y| {
                loss_of_rows(&hinge(delta, form), &vec![row.to_vec()], &[y], device).0
            };
            let scores = [15.0, -3.0, 7.0];
            // With label 0 the others are 18 and 8 below; with label 1 they are 18 and 10 above.
            assert_eq!(loss(1.0, Form::Sum, &scores, 0), 0.0, "{what}");
            assert_eq!(loss(1.0, Form::Sum, &scores, 1), 30.0, "{what}");
            assert_eq!(loss(1.0, Form::Max, &scores, 1), 19.0, "{what}");
            assert_eq!(loss(20.0, Form::Sum, &scores, 0), 14.0, "{what}");
            // 38 + 30. The 48 that is sometimes given for it is the loss of Δ = 10.
            assert_eq!(loss(10.0, Form::Sum, &scores, 1), 48.0, "{what}");
            assert_eq!(loss(20.0, Form::Sum, &scores, 1), 68.0, "{what}");
        });
    }

    #[test]
    fn hinge_losses_of_dog_bird_and_truck() {
        let samples = [([3.0, 6.2, -2.1], 0, 4.2), ([0.9, 5.1, 3.4], 1, 0.0), ([1.6, 2.3, -4.5], 2, 14.9)];
        for_each_form("dog, bird and truck", |device, what| {
            for (row, y, expected) in samples {
                let (loss, _) = loss_of_rows(&hinge(1.0, Form::Sum), &vec![row.to_vec()], &[y], device);
                assert!((loss - expected).abs() < 1e-5, "{what}: {loss} not {expected}");
            }
            let rows: Vec<Vec<f64>> = samples.iter().map(|(row, ..)| row.to_vec()).collect();
            let (mean, _) = loss_of_rows(&hinge(1.0, Form::Sum), &rows, &[0, 1, 2], device);
            assert!((mean - 19.1 / 3.0).abs() < 1e-5, "{what}: {mean}");
        });
    }

    #[test]
    fn with_two_classes_both_forms_are_the_binary_hinge() {
        for_each_form("two classes", |device, what| {
            for (a, b) in [(0.3, 0.9), (0.9, 0.3), (-4.0, 2.0), (2.0, -4.0)] {
                for (label, sign) in [(0, -1.0), (1, 1.0)] {
                    // max(0, 1 − t f) with t = ±1 and f = z_1 − z_0.
                    let expected = f64::max(0.0, 1.0 - sign * (b - a));
                    let slope = if expected > 0.0 { -sign } else { 0.0 };
                    for form in Form::ALL.iter().copied() {
                        let (loss, gradient) =
                            loss_of_rows(&hinge(1.0, form), &vec![vec![a, b]], &[label], device);
                        assert!((loss - expected).abs() < 1e-6, "{what}: {loss} not {expected}");
                        assert_eq!(gradient, [-slope, slope], "{what}");
                    }
                }
            }
        });
    }

    #[test]
    fn a_target_far_above_the_others_leaves_no_loss_however_large_its_logit() {
        for_each_form("large logits", |device, what| {
            for form in Form::ALL.iter().copied() {
                for z in [1e4, 1e8, 1e30] {
                    let of =
                        |row: [f64; 3]| loss_of_rows(&hinge(1.0, form), &vec![row.to_vec()], &[0], device);
                    assert_eq!(of([z, -z, 0.0]), (0.0, vec![0.0; 3]), "{what}, {z}");
                    let (loss, gradient) = of([-z, z, -3.0 * z]);
                    assert!((loss - 2.0 * z).abs() <= 1e-5 * z + 1.0, "{what}, {z}: {loss}");
                    assert_eq!(gradient, [-1.0, 1.0, 0.0], "{what}, {z}");
                }
            }
        });
    }

    #[test]
    fn at_the_kink_the_loss_is_0_and_the_slope_between_those_beside_it() {
        for_each_form("kink", |device, what| {
            for form in Form::ALL.iter().copied() {
                let (loss, gradient) = loss_of_rows(&hinge(1.0, form), &vec![vec![2.0, 1.0]], &[0], device);
                assert_eq!(loss, 0.0, "{what}");
                assert!((-1.0..=0.0).contains(&gradient[0]) && gradient[1] == -gradient[0], "{what}");
            }
        });
    }

    #[test]
    fn a_bad_key_is_named_with_its_value_and_range() {
        check_bad_keys::<MulticlassHingeConfig>(&[
            ("delta = -1", "head.delta is -1; it must be more than 0"),
            ("form = 'mean'", "head.form is \"mean\"; it must be one of sum, max; did you mean \"max\"?"),
        ]);
    }
}
