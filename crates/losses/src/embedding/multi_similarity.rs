//! Multi-similarity loss: pairs are mined against the hardest of the other kind, and weighted by how hard they are.

use facegrad_settings::{above, settings, within};

use super::{
    BatchLoss, BatchRule, Description, EmbeddingLossKind, Embeddings, LossOutput,
    pairs::{FAR, Pairs, filled, log_one_plus_sum_exp},
};
use crate::{
    EmbeddingBatch,
    telemetry::{ACTIVE_SHARE, FEATURE_NORM, OTHER_COSINE, TARGET_COSINE, Telemetry},
};

settings! {
    /// Pulls and pushes the pairs that are hard for their image, the harder the more.
    pub struct MultiSimilarityConfig {
        /// Sharpness α of the weights of genuine pairs.
        alpha: f64 = 2.0, above(0.0).up_to(1000.0);
        /// Sharpness β of the weights of impostor pairs.
        beta: f64 = 50.0, above(0.0).up_to(1000.0);
        /// The cosine λ that genuine pairs shall be above and impostor pairs below.
        base: f64 = 0.5, within(-1.0, 1.0);
        /// How much ε easier than the hardest pair of the other kind a pair may be and still count.
        epsilon: f64 = 0.1, within(0.0, 2.5);
    }
}

/// Per image (1/α) ln(1 + Σ_p e^{−α(c_p − λ)}) + (1/β) ln(1 + Σ_n e^{β(c_n − λ)}) over mined pairs.
///
/// The paper has λ = 1, its code 0.5 (and β 40 or 50). That code drops genuine pairs of a cosine above 1 − 1e-5
/// to drop each image's pair with itself; here only the latter is, so copies of an image count. An image without
/// genuine or without impostor pairs loses nothing, as in that code. Unit embeddings.
pub type MultiSimilarity = BatchLoss<MultiSimilarityConfig>;

impl EmbeddingLossKind for MultiSimilarityConfig {
    fn description(&self) -> Description {
        Description {
            formula: "L = mean over images of (1/α) ln(1 + Σ_p e^{−α(c_p − λ)}) + (1/β) ln(1 + Σ_n e^{β(c_n − λ)}),  p with c_p < max_n c_n + ε, n with c_n > min_p c_p − ε",
            source: "Wang et al., Multi-Similarity Loss with General Pair Weighting, CVPR 2019, section 4\n\
         λ is 1 in the paper, 0.5 in its code and in pytorch-metric-learning, as here",
            gradient: "−e^{−α(c_p − λ)}/(1 + Σ) to the cosine of a genuine pair, e^{β(c_n − λ)}/(1 + Σ) to that of an impostor pair; which pairs are mined is a constant",
        }
    }
}

impl BatchRule for MultiSimilarityConfig {
    fn forward(&self, batch: &EmbeddingBatch, _seed: u64) -> LossOutput {
        let MultiSimilarityConfig { alpha, beta, base, epsilon } = *self;
        let (unit, norm) = Embeddings::Unit.rows(batch.embeddings.clone());
        let cosines = unit.clone().matmul(unit.transpose());
        let pairs = Pairs::of(batch);
        let fixed = cosines.clone().detach();
        // Without impostors every genuine pair is easier than the hardest of none, and the reverse.
        let nearest = filled(fixed.clone(), &pairs.impostor, -FAR).max_dim(1) + epsilon;
        let farthest = filled(fixed.clone(), &pairs.genuine, FAR).min_dim(1);
        let genuine = pairs.genuine.clone().bool_and(fixed.clone().lower(nearest));
        let impostor = pairs.impostor.clone().bool_and((fixed + epsilon).greater(farthest));
        let excess = cosines.clone() - base;
        let pulled = log_one_plus_sum_exp(excess.clone() * -alpha, &genuine) / alpha;
        let pushed = log_one_plus_sum_exp(excess * beta, &impostor) / beta;
        let loss = (pulled + pushed).mean();
        let mut telemetry = Telemetry::default();
        if batch.watched {
            telemetry = pairs.means(telemetry, &cosines, [TARGET_COSINE, OTHER_COSINE]);
            telemetry = pairs.hardest(telemetry, &cosines);
            let all = (pairs.genuine_count() + pairs.impostor_count()).max(1) as f64;
            let mined = genuine.float().sum() + impostor.float().sum();
            telemetry = telemetry.mean(ACTIVE_SHARE, mined / all);
        }
        LossOutput { loss, telemetry: telemetry.mean(FEATURE_NORM, norm) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EmbeddingLossModule;
    use super::super::pairs::reference::{cases, loss_of, rows};
    use super::*;
    use crate::reference::{Rows, check_loss, dot, for_each_form, reading, setup};
    use crate::{Labels, Progress};
    use burn::tensor::Tensor;

    fn reference(x: &Rows, labels: &[usize], config: &MultiSimilarityConfig) -> f64 {
        let x = rows(x, Embeddings::Unit);
        let mut sum = 0.0;
        for i in 0..x.len() {
            let cosines = |genuine: bool| -> Vec<f64> {
                let others = (0..x.len()).filter(|j| *j != i && (labels[*j] == labels[i]) == genuine);
                others.map(|j| dot(&x[i], &x[j])).collect()
            };
            let (positives, negatives) = (cosines(true), cosines(false));
            if positives.is_empty() || negatives.is_empty() {
                continue;
            }
            let farthest = positives.iter().copied().fold(f64::INFINITY, f64::min);
            let nearest = negatives.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let term = |c: f64, sharpness: f64| (sharpness * (c - config.base)).exp();
            let p: f64 = positives
                .iter()
                .filter(|c| **c < nearest + config.epsilon)
                .map(|c| term(*c, -config.alpha))
                .sum();
            let n: f64 = negatives
                .iter()
                .filter(|c| **c + config.epsilon > farthest)
                .map(|c| term(*c, config.beta))
                .sum();
            sum += p.ln_1p() / config.alpha + n.ln_1p() / config.beta;
        }
        sum / x.len() as f64
    }

    #[test]
    fn value_and_gradient_match_the_loop_over_images() {
        let mining_nothing_away = MultiSimilarityConfig { epsilon: 2.5, ..Default::default() };
        let paper = MultiSimilarityConfig { base: 1.0, ..Default::default() };
        let steep = MultiSimilarityConfig { beta: 400.0, alpha: 60.0, ..Default::default() };
        for config in [MultiSimilarityConfig::default(), mining_nothing_away, paper, steep] {
            for mut case in cases(Embeddings::Unit) {
                // Smooth wherever the embeddings have a direction and mining is not at its limit.
                case.smooth |= case.name.contains("coincide");
                let loss = |batch: &EmbeddingBatch, _| {
                    loss_of(
                        MultiSimilarity::new(&config, &setup(0, 0, 0, &batch.embeddings.device()))
                            .forward(batch),
                    )
                };
                check_loss("multi-similarity", &case, loss, |x, _, labels| reference(x, labels, &config));
            }
        }
    }

    #[test]
    fn pairs_that_are_easier_than_the_hardest_of_the_other_kind_are_mined_away() {
        for_each_form("multi-similarity", |device, what| {
            let share = |angles: [f32; 4]| {
                let rows: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
                let embeddings = Tensor::from_data(burn::tensor::TensorData::new(rows, [4, 2]), device);
                let labels = Labels::new(&[0, 0, 1, 1], device);
                let batch = EmbeddingBatch { embeddings, labels, progress: Progress::START, watched: true };
                let output = MultiSimilarity::new(&MultiSimilarityConfig::default(), &setup(2, 2, 0, device))
                    .forward(&batch);
                (reading(output.telemetry, ACTIVE_SHARE), output.loss.into_scalar::<f32>())
            };
            // Two tight identities at a right angle: nothing left to learn.
            assert_eq!(share([0.0, 0.1, 1.6, 1.7]), (0.0, 0.0), "{what}");
            // Interleaved: every pair counts.
            assert_eq!(share([0.0, 0.2, 0.1, 0.3]).0, 1.0, "{what}");
        });
    }
}
