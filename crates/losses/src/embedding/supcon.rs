//! Supervised contrastive loss: each image shall find the others of its person among the whole batch.

use burn::tensor::{Tensor, TensorData};
use facegrad_settings::{above, settings};

use super::{
    BatchLoss, BatchRule, Description, EmbeddingLossKind, Embeddings, LossOutput,
    pairs::{Pairs, filled, log_sum_exp, mask},
};
use crate::{
    EmbeddingBatch, Progress, Schedule,
    telemetry::{FEATURE_NORM, OTHER_COSINE, SCALE, TARGET_COSINE, Telemetry},
};

settings! {
    /// Cross-entropy of finding the other images of a person among all others of the batch.
    pub struct SupConConfig {
        /// Temperature τ that cosines are divided by: 0.1 as in the paper, whose code says 0.07.
        temperature: Schedule = Schedule::Constant(0.1), above(0.0).up_to(100.0);
    }
}

/// L_out of the paper, over the images that have another of their person in the batch.
///
/// The official code also multiplies by τ over a base temperature, 1 by default, and divides by the whole batch;
/// the same if every image has a positive. Unit embeddings.
pub type SupCon = BatchLoss<SupConConfig>;

impl EmbeddingLossKind for SupConConfig {
    fn description(&self) -> Description {
        Description {
            formula: "L = mean over images i with a positive of −1/|P(i)| Σ_{p∈P(i)} log( e^{c_ip/τ} / Σ_{a≠i} e^{c_ia/τ} ),  c = cosine",
            source: "Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, eq. 2 (L_out)",
            gradient: "∂L_i/∂c_ia = (softmax_a(c_i/τ) − [a ∈ P(i)]/|P(i)|)/τ; to both embeddings of a pair, along the sphere only",
        }
    }

    /// All cosines are 1.
    fn guessing_loss(&self, batch: usize, _progress: Progress) -> Option<f64> {
        Some((batch as f64 - 1.0).ln())
    }
}

impl BatchRule for SupConConfig {
    fn forward(&self, batch: &EmbeddingBatch, _seed: u64) -> LossOutput {
        let temperature = self.temperature.at(batch.progress);
        let (unit, norm) = Embeddings::Unit.rows(batch.embeddings.clone());
        let cosines = unit.clone().matmul(unit.transpose());
        let pairs = Pairs::of(batch);
        let logits = cosines.clone() / temperature;
        let all = log_sum_exp(logits.clone(), &mask(batch, |i, j| i != j));
        let positives = filled(logits, &pairs.genuine, 0.0).sum_dim(1);
        // 1/(anchors |P(i)|) for each term of the sum over P(i); 0 without positives.
        let anchors = pairs.positives.iter().filter(|of_image| !of_image.is_empty()).count();
        let per_anchor = pairs.positives.iter().map(|of_image| match of_image.len() {
            0 => [0.0, 0.0],
            positives => [1.0 / anchors as f32, 1.0 / (anchors as f32 * positives as f32)],
        });
        let weights: Vec<f32> = per_anchor.flatten().collect();
        let weights = TensorData::new(weights, [pairs.positives.len(), 2]);
        let weights = Tensor::<2>::from_data(weights, &cosines.device());
        let loss = (all * weights.clone().narrow(1, 0, 1) - positives * weights.narrow(1, 1, 1)).sum();
        let mut telemetry = Telemetry::default();
        if batch.watched {
            telemetry = pairs.means(telemetry, &cosines, [TARGET_COSINE, OTHER_COSINE]);
            telemetry = pairs.hardest(telemetry, &cosines);
        }
        let telemetry = telemetry.mean(FEATURE_NORM, norm).known(SCALE, 1.0 / temperature);
        LossOutput { loss, telemetry }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EmbeddingLossModule;
    use super::super::pairs::reference::{cases, loss_of, rows};
    use super::*;
    use crate::Labels;
    use crate::reference::{Rows, check_loss, dot, for_each_form, log_sum_exp, setup};

    fn reference(x: &Rows, labels: &[usize], temperature: f64) -> f64 {
        let x = rows(x, Embeddings::Unit);
        let (mut sum, mut anchors) = (0.0, 0);
        for i in 0..x.len() {
            let others = || (0..x.len()).filter(|a| *a != i);
            let positives: Vec<usize> = others().filter(|p| labels[*p] == labels[i]).collect();
            if positives.is_empty() {
                continue;
            }
            let z = |a: usize| dot(&x[i], &x[a]) / temperature;
            let partition = log_sum_exp(&others().map(z).collect::<Vec<_>>());
            sum += positives.iter().map(|p| partition - z(*p)).sum::<f64>() / positives.len() as f64;
            anchors += 1;
        }
        sum / f64::from(anchors.max(1))
    }

    #[test]
    fn value_and_gradient_match_the_loop_over_anchors() {
        for temperature in [0.1, 1.0] {
            let config = SupConConfig { temperature: temperature.into() };
            for mut case in cases(Embeddings::Unit) {
                // Smooth wherever the embeddings have a direction.
                case.smooth |= case.name.contains("coincide");
                let loss = |batch: &EmbeddingBatch, _| {
                    loss_of(SupCon::new(&config, &setup(0, 0, 0, &batch.embeddings.device())).forward(batch))
                };
                check_loss("supcon", &case, loss, |x, _, labels| reference(x, labels, temperature));
            }
        }
    }

    #[test]
    fn coinciding_embeddings_lose_the_logarithm_of_the_others_in_the_batch() {
        for_each_form("supcon", |device, what| {
            let batch = EmbeddingBatch {
                embeddings: Tensor::<2>::ones([6, 3], device),
                labels: Labels::new(&[0, 0, 1, 1, 2, 2], device),
                progress: Progress::START,
                watched: true,
            };
            let found = SupCon::new(&SupConConfig::default(), &setup(3, 3, 1, device))
                .forward(&batch)
                .loss
                .into_scalar::<f32>();
            assert!((found - 5f32.ln()).abs() < 1e-5, "{what}: {found}");
        });
    }

    #[test]
    fn images_without_a_positive_only_stand_among_the_others() {
        let loss = |labels: &[usize], x: &Rows| reference(x, labels, 0.1);
        let x = vec![vec![1.0, 0.0], vec![0.6, 0.8], vec![0.0, 1.0]];
        assert!(loss(&[0, 0, 1], &x) > loss(&[0, 0], &x[..2].to_vec()));
        assert_eq!(loss(&[0, 1, 2], &x), 0.0);
    }
}
