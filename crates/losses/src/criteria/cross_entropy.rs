//! Cross-entropy of the softmax.

use burn::tensor::{Int, Tensor, activation::log_softmax};
use facegrad_settings::{settings, within};

use super::CriterionKind;

settings! {
    /// Cross-entropy of the softmax.
    pub struct CrossEntropyConfig {
        /// Share ε of the target probability that is spread evenly over all classes.
        label_smoothing: f64 = 0.0, within(0.0, 0.9);
    }
}

impl CriterionKind for CrossEntropyConfig {
    const FORMULA: &'static str = "−(1 − ε) log p_y − (ε / K) Σ_j log p_j,  p = softmax(z)";
    const SOURCE: &'static str = "label smoothing: Szegedy et al., CVPR 2016, section 7";

    fn loss(&self, logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        // Log-sum-exp inside: finite for any finite logits.
        let log_p = log_softmax(logits, 1);
        let target = log_p.clone().gather(1, labels.unsqueeze_dim(1)).mean().neg();
        if self.label_smoothing == 0.0 {
            return target;
        }
        // The mean over [batch, classes] is (1/B) Σ_i (1/K) Σ_j.
        target * (1.0 - self.label_smoothing) - log_p.mean() * self.label_smoothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn loss(config: &CrossEntropyConfig, rows: &[[f32; 3]]) -> f32 {
        let device = Device::flex();
        let data: Vec<f32> = rows.iter().flatten().copied().collect();
        let logits = Tensor::from_data(burn::tensor::TensorData::new(data, [rows.len(), 3]), &device);
        config.loss(logits, Tensor::zeros([rows.len()], &device)).into_scalar()
    }

    #[test]
    fn softmax_losses_of_the_worked_example() {
        let plain = CrossEntropyConfig::default();
        // ln(1 + e⁻³ + e⁻⁵) and ln(1 + 2 e⁻¹).
        assert!((loss(&plain, &[[10.0, 7.0, 5.0]]) - 0.054_985_2).abs() < 1e-6);
        assert!((loss(&plain, &[[10.0, 9.0, 9.0]]) - 0.551_444_7).abs() < 1e-6);
        // The exact value is 4.1e-9; f32 cannot tell it from 0, and must not make it infinite or negative.
        assert!((0.0..1e-6).contains(&loss(&plain, &[[10.0, -10.0, -10.0]])));
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
