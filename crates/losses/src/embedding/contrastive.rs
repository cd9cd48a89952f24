//! Contrastive loss: genuine pairs are pulled together, impostor pairs pushed apart up to a margin.

use std::collections::HashSet;

use burn::tensor::activation;
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{above, choice, settings};

use super::{
    BatchLoss, BatchRule, Description, EmbeddingLossKind, Embeddings, LossOutput,
    pairs::{Pairs, kept_sum, mask, rooted, squared_distances},
};
use crate::{
    EmbeddingBatch, Progress, Schedule, Scoring,
    telemetry::{ACTIVE_SHARE, FEATURE_NORM, MARGIN, NEGATIVE_DISTANCE, POSITIVE_DISTANCE, Telemetry},
};

choice! {
    /// Which pairs of a batch count.
    pub enum PairChoice {
        /// Every pair; of P identities with K images only K − 1 in P K − 1 are genuine.
        All = "all",
        /// Every genuine pair, and as many impostor pairs, drawn anew in each step.
        Balanced = "balanced",
    }
}

settings! {
    /// Pulls the two images of a genuine pair together and pushes those of an impostor pair apart.
    pub struct ContrastiveConfig {
        /// The distance from which on an impostor pair is left alone.
        margin: Schedule = Schedule::Constant(1.0), above(0.0);
        /// Which embeddings are compared.
        embeddings: Embeddings = Embeddings::Unit;
        /// Which pairs of a batch count.
        pairs: PairChoice = PairChoice::All;
    }
}

/// ½ mean[ y d² + (1 − y) max(m − d, 0)² ], each pair once.
///
/// As Caffe's `ContrastiveLossLayer`. pytorch-metric-learning differs: its hinges are not squared, and it takes
/// the means over genuine and impostor pairs apart, each without the pairs that are 0.
///
/// Balanced impostor pairs are drawn, not the hardest: a draw shows the network what evaluation does, and a
/// wrong label is no more likely to be taken than a right one.
pub type Contrastive = BatchLoss<ContrastiveConfig>;

impl EmbeddingLossKind for ContrastiveConfig {
    fn description(&self) -> Description {
        Description {
            formula: "L = ½ mean over pairs of [ y d² + (1 − y) max(m − d, 0)² ],  d = ‖x_i − x_j‖, y = 1 for a genuine pair",
            source: "Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, eq. 4",
            gradient: "x_i − x_j to the images of a genuine pair, −(m − d)/d of it to those of an impostor pair nearer than m, both over the number of pairs; with unit embeddings along the sphere only",
        }
    }

    /// All of d² = 2, and half of the pairs genuine. Of all pairs the sampler decides how many are genuine.
    fn expected_first_loss(&self, _classes: usize, _embedding: usize) -> Option<f64> {
        let known = (self.embeddings, self.pairs) == (Embeddings::Unit, PairChoice::Balanced);
        let missing = (self.margin.at(Progress::START) - 2f64.sqrt()).max(0.0);
        known.then_some(0.5 * (0.5 * 2.0 + 0.5 * missing * missing))
    }

    fn scoring(&self) -> Scoring {
        self.embeddings.scoring()
    }
}

impl BatchRule for ContrastiveConfig {
    fn forward(&self, batch: &EmbeddingBatch, seed: u64) -> LossOutput {
        let margin = self.margin.at(batch.progress);
        let (rows, norm) = self.embeddings.rows(batch.embeddings.clone());
        let squared = squared_distances(rows);
        let distances = rooted(squared.clone());
        let pairs = Pairs::of(batch);
        let (impostor, impostors) = match self.pairs {
            PairChoice::All => (pairs.impostor.clone(), pairs.impostor_count()),
            PairChoice::Balanced => {
                let drawn = draw_impostors(&pairs, batch.labels.classes(), seed, batch.progress.step);
                (mask(batch, |i, j| drawn.contains(&(i, j)) || drawn.contains(&(j, i))), 2 * drawn.len())
            }
        };
        // Both orders of a pair are in the sums and in their number.
        let number = (pairs.genuine_count() + impostors).max(1) as f64;
        let missing = activation::relu(distances.clone().neg() + margin);
        let pulled = kept_sum(squared, pairs.genuine.clone());
        let pushed = kept_sum(missing.clone().square(), impostor.clone());
        let loss = (pulled + pushed) * (0.5 / number);
        let mut telemetry = Telemetry::default().mean(FEATURE_NORM, norm).known(MARGIN, margin);
        if batch.watched {
            telemetry = pairs.means(telemetry, &distances, [POSITIVE_DISTANCE, NEGATIVE_DISTANCE]);
            let active = kept_sum(missing.greater_elem(0.0).float(), impostor) + pairs.genuine_count() as f64;
            telemetry = telemetry.mean(ACTIVE_SHARE, active / number);
        }
        LossOutput { loss, telemetry }
    }
}

/// As many impostor pairs (i, j) with i < j as there are genuine ones, or all if there are fewer.
fn draw_impostors(pairs: &Pairs, classes: &[usize], seed: u64, step: usize) -> HashSet<(usize, usize)> {
    let images = classes.len();
    let impostor = |(i, j): &(usize, usize)| classes[*i] != classes[*j];
    let mut all: Vec<_> =
        (0..images).flat_map(|i| (i + 1..images).map(move |j| (i, j))).filter(impostor).collect();
    Stream::new(seed, Purpose::Mining, 0, step as u64).shuffle(&mut all);
    all.truncate(pairs.genuine_count() / 2);
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::EmbeddingLossModule;
    use super::super::pairs::reference::{cases, loss_of, plain, rows, squared};
    use super::*;
    use crate::Labels;
    use crate::reference::{Case, Rows, check_loss, for_each_form, reading, setup, tensor};
    use burn::tensor::{Device, Tensor};

    fn loss(config: &ContrastiveConfig) -> impl Fn(&EmbeddingBatch, Tensor<2>) -> Tensor<1> + '_ {
        move |batch, _| {
            let output = Contrastive::new(config, &setup(0, 0, 5, &batch.embeddings.device())).forward(batch);
            loss_of(output)
        }
    }

    /// The formula over the pairs i < j for which `keep` is true.
    fn reference(
        x: &Rows,
        labels: &[usize],
        embeddings: Embeddings,
        margin: f64,
        keep: impl Fn(usize, usize) -> bool,
    ) -> f64 {
        let x = rows(x, embeddings);
        let (mut sum, mut number) = (0.0, 0);
        for i in 0..x.len() {
            for j in (i + 1..x.len()).filter(|j| keep(i, *j)) {
                sum += match labels[i] == labels[j] {
                    true => squared(&x[i], &x[j]),
                    false => (margin - plain(&x[i], &x[j])).max(0.0).powi(2),
                };
                number += 1;
            }
        }
        0.5 * sum / f64::from(number.max(1))
    }

    #[test]
    fn value_and_gradient_match_the_loop_over_pairs() {
        for (embeddings, margin) in [(Embeddings::Unit, 1.3), (Embeddings::Raw, 4.0)] {
            let config = ContrastiveConfig { margin: margin.into(), embeddings, ..Default::default() };
            for case in cases(embeddings) {
                check_loss("contrastive", &case, loss(&config), |x, _, labels| {
                    reference(x, labels, embeddings, margin, |_, _| true)
                });
            }
        }
    }

    #[test]
    fn balanced_pairs_are_every_genuine_and_as_many_drawn_impostor_pairs() {
        let embeddings = Embeddings::Unit;
        let config = ContrastiveConfig { margin: 1.5.into(), embeddings, pairs: PairChoice::Balanced };
        for case in cases(embeddings) {
            let mut all: Vec<(usize, usize)> = Vec::new();
            let mut genuine = 0;
            for i in 0..case.labels.len() {
                for j in i + 1..case.labels.len() {
                    if case.labels[i] == case.labels[j] {
                        genuine += 1;
                    } else {
                        all.push((i, j));
                    }
                }
            }
            Stream::new(5, Purpose::Mining, 0, Progress::END.step as u64).shuffle(&mut all);
            let drawn = &all[..genuine.min(all.len())];
            check_loss("contrastive balanced", &case, loss(&config), |x, _, labels| {
                reference(x, labels, embeddings, 1.5, |i, j| {
                    labels[i] == labels[j] || drawn.contains(&(i, j))
                })
            });
        }
    }

    #[test]
    fn each_step_draws_other_impostor_pairs() {
        let labels = [0, 0, 1, 1, 2, 2];
        let device = Device::flex();
        let batch = |step| EmbeddingBatch {
            embeddings: Tensor::zeros([6, 2], &device),
            labels: Labels::new(&labels, &device),
            progress: Progress { step, total: 10 },
            watched: false,
        };
        let draw = |seed, step| draw_impostors(&Pairs::of(&batch(step)), &labels, seed, step);
        assert_eq!(draw(1, 2), draw(1, 2));
        assert!((0..5).any(|step| draw(1, step) != draw(1, 7)));
        assert_eq!(draw(1, 0).len(), 3);
    }

    #[test]
    fn coinciding_embeddings_lose_half_the_squared_margin_per_impostor_pair() {
        for_each_form("contrastive", |device, what| {
            let batch = EmbeddingBatch {
                embeddings: Tensor::<2>::ones([4, 3], device) * 7.0,
                labels: Labels::new(&[0, 0, 1, 1], device),
                progress: Progress::START,
                watched: true,
            };
            let output =
                Contrastive::new(&ContrastiveConfig::default(), &setup(2, 3, 1, device)).forward(&batch);
            let found = output.loss.into_scalar::<f32>();
            // 4 of 6 pairs are impostors; the ε under the root takes 1e-5 from the margin.
            let expected = 0.5 * (1.0f32 - 1e-5).powi(2) * 4.0 / 6.0;
            assert!((found - expected).abs() < 1e-6, "{what}: {found}");
            let names: Vec<_> = output.telemetry.into_values().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, [FEATURE_NORM, MARGIN, POSITIVE_DISTANCE, NEGATIVE_DISTANCE, ACTIVE_SHARE]);
        });
    }

    #[test]
    fn the_share_of_pairs_that_are_pushed_is_told() {
        let device = Device::flex();
        let batch = EmbeddingBatch {
            // Distances 0.5, 2 and 2.5 on a line.
            embeddings: Tensor::from_floats([[0.0], [0.5], [2.5]], &device),
            labels: Labels::new(&[0, 1, 0], &device),
            progress: Progress::START,
            watched: true,
        };
        let config = ContrastiveConfig { embeddings: Embeddings::Raw, ..Default::default() };
        let telemetry = Contrastive::new(&config, &setup(2, 1, 1, &device)).forward(&batch).telemetry;
        let reading = |name| reading(telemetry.clone(), name);
        assert!((reading(ACTIVE_SHARE) - 2.0 / 3.0).abs() < 1e-6);
        assert!((reading(POSITIVE_DISTANCE) - 2.5).abs() < 1e-6);
        assert!((reading(NEGATIVE_DISTANCE) - 1.25).abs() < 1e-6);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        for margin in [1.0, 1.9] {
            let config = ContrastiveConfig {
                margin: margin.into(),
                pairs: PairChoice::Balanced,
                ..Default::default()
            };
            let case = Case::random("random", 128, 2, 256, 1.0);
            let labels: Vec<usize> = (0..128).map(|i| i / 4).collect();
            let device = Device::flex();
            let (embeddings, labels) = (tensor(&case.x, &device), Labels::new(&labels, &device));
            let batch = EmbeddingBatch { embeddings, labels, progress: Progress::START, watched: false };
            let found = Contrastive::new(&config, &setup(32, 256, 1, &device))
                .forward(&batch)
                .loss
                .into_scalar::<f32>();
            let expected = config.expected_first_loss(32, 256).unwrap();
            assert!((f64::from(found) - expected).abs() < 0.03 * expected, "{found} against {expected}");
        }
    }
}
