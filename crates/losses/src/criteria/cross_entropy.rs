//! Cross-entropy of the softmax.

use burn::tensor::Tensor;
use facegrad_settings::{settings, within};

use super::CriterionKind;
use crate::{ClassLogits, Reduction};

settings! {
    /// Cross-entropy of the softmax.
    pub struct CrossEntropyConfig {
        /// Share ε of the target probability that is spread evenly over all classes.
        label_smoothing: f64 = 0.0, within(0.0, 0.9);
    }
}

impl CriterionKind for CrossEntropyConfig {
    fn formula(&self) -> &'static str {
        "−(1 − ε) log p_y − (ε / K) Σ_j log p_j,  p = softmax(z)"
    }

    fn source(&self) -> &'static str {
        "label smoothing: Szegedy et al., CVPR 2016, section 7"
    }

    fn loss(&self, logits: &ClassLogits) -> Tensor<1> {
        // −log p_j is ln Σ_k e^{z_k} − z_j: finite for any finite logits.
        let partition = logits.reduce(Reduction::LogSumExp);
        let target = (partition.clone() - logits.target()).mean();
        if self.label_smoothing == 0.0 {
            return target;
        }
        let all = (partition - logits.reduce(Reduction::Sum) / logits.classes() as f64).mean();
        target * (1.0 - self.label_smoothing) + all * self.label_smoothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CriterionConfig,
        criteria::of_rows,
        reference::{check_criterion, log_sum_exp},
    };
    use burn::tensor::Device;

    fn loss(config: &CrossEntropyConfig, rows: &[[f32; 3]]) -> f32 {
        let device = Device::flex();
        let logits =
            Tensor::from_data(burn::tensor::TensorData::new(rows.concat(), [rows.len(), 3]), &device);
        config.loss(&of_rows(logits, &vec![0; rows.len()])).into_scalar()
    }

    #[test]
    fn softmax_losses_of_the_worked_example() {
        let plain = CrossEntropyConfig::default();
        // ln(1 + e⁻³ + e⁻⁵) and ln(1 + 2 e⁻¹).
        assert!((loss(&plain, &[[10.0, 7.0, 5.0]]) - 0.054_985_2).abs() < 1e-6);
        assert!((loss(&plain, &[[10.0, 9.0, 9.0]]) - 0.551_444_7).abs() < 1e-6);
        // ln(1 + 2 e⁻²⁰) is 4e-9, which takes f64, or ln_1p: in f32 1 + 2 e⁻²⁰ is 1. So the loss is 0, and neither
        // infinite nor negative; its gradient, p − 1, is 0 likewise.
        let x = 2.0 * f64::exp(-20.0);
        assert!((x.ln_1p() - 4.122_307e-9).abs() < 1e-14 && ((1.0 + x).ln() - 4.122e-9).abs() < 1e-12);
        assert_eq!(((1.0 + x as f32).ln(), loss(&plain, &[[10.0, -10.0, -10.0]])), (0.0, 0.0));
    }

    #[test]
    fn value_and_gradient_match_the_reference() {
        for label_smoothing in [0.0, 0.2] {
            let criterion = CriterionConfig::CrossEntropy(CrossEntropyConfig { label_smoothing });
            let name = format!("cross-entropy smoothed by {label_smoothing}");
            check_criterion(&name, &criterion, |row, y| {
                let partition = log_sum_exp(row);
                let mean = row.iter().sum::<f64>() / row.len() as f64;
                partition - (1.0 - label_smoothing) * row[y] - label_smoothing * mean
            });
        }
    }

    #[test]
    fn logits_of_any_size_give_a_finite_loss() {
        let plain = CrossEntropyConfig::default();
        assert_eq!(loss(&plain, &[[-1e30, 1e30, 0.0]]), 2e30);
        assert_eq!(loss(&plain, &[[1e30, -1e30, 0.0]]), 0.0);
    }

    #[test]
    fn label_smoothing_is_the_mixture_of_the_target_and_the_uniform_distribution() {
        let rows = [[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]];
        let epsilon = 0.1;
        let mut expected = 0.0;
        for row in rows {
            let sum: f64 = row.iter().map(|z: &f32| f64::from(*z).exp()).sum();
            for (j, z) in row.iter().enumerate() {
                let q = epsilon / 3.0 + if j == 0 { 1.0 - epsilon } else { 0.0 };
                expected -= q * (f64::from(*z) - sum.ln()) / 2.0;
            }
        }
        let smoothed = CrossEntropyConfig { label_smoothing: epsilon };
        assert!((f64::from(loss(&smoothed, &rows)) - expected).abs() < 1e-6);
    }
}
