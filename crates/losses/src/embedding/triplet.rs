//! Triplet loss: an image shall be nearer to its own person than to anyone else, by a margin.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{SettingsError, at_least, choice, settings};

use super::{
    BatchLoss, BatchRule, Description, EmbeddingLossKind, Embeddings, LossOutput,
    pairs::{FAR, Pairs, filled, rooted, squared_distances},
};
use crate::{
    EmbeddingBatch, Progress, Schedule, Scoring,
    telemetry::{ACTIVE_SHARE, FEATURE_NORM, MARGIN, NEGATIVE_DISTANCE, POSITIVE_DISTANCE, Telemetry},
};

choice! {
    /// What d(a, b) is.
    pub enum Distance {
        /// ‖a − b‖², as FaceNet: no slope at 0.
        Squared = "squared",
        /// ‖a − b‖, the slope rounded off below 1e-5.
        Plain = "plain",
    }
}

choice! {
    /// Which triplets of anchor, positive and negative a batch gives.
    pub enum Mining {
        /// All of them.
        All = "all",
        /// One per anchor: its farthest positive and its nearest negative.
        Hard = "hard",
        /// One per anchor and positive: the nearest negative that is farther than the positive, or the farthest negative where none is.
        SemiHard = "semi_hard",
        /// One per anchor and positive: a negative drawn so that all distances are equally likely, from 0.5 to 1.4; any where none is nearer than 1.4.
        DistanceWeighted = "distance_weighted",
    }
}

choice! {
    /// What the sum over triplets is divided by.
    pub enum Average {
        /// The triplets that mining gives.
        All = "all",
        /// Those of them that are not 0, so that the loss does not fade as they become few.
        Active = "active",
    }
}

settings! {
    /// Keeps each image nearer to the images of its person than to those of others, by a margin.
    pub struct TripletConfig {
        /// Margin α between the two distances.
        margin: Schedule = Schedule::Constant(0.2), at_least(0.0);
        /// Squared or plain distance.
        distance: Distance = Distance::Squared;
        /// Which embeddings are compared.
        embeddings: Embeddings = Embeddings::Unit;
        /// Which triplets count.
        mining: Mining = Mining::SemiHard;
        /// What the sum over triplets is divided by.
        average: Average = Average::All;
    }
}

/// Mean of [d(a, p) − d(a, n) + α]₊.
///
/// `semi_hard` is FaceNet's rule as TensorFlow Addons completes it: it never leaves an anchor and positive
/// without a negative. insightface (MXNet) draws one of the semi-hard negatives and drops the pair without;
/// pytorch-metric-learning's loss is the mean over active triplets of plain distances, margin 0.05.
pub type Triplet = BatchLoss<TripletConfig>;

impl EmbeddingLossKind for TripletConfig {
    fn description(&self) -> Description {
        Description {
            formula: "L = mean over triplets of [ d(a, p) − d(a, n) + α ]₊,  d = ‖·‖² or ‖·‖; which triplets: see mining; over how many: see average",
            source: "Schroff et al., FaceNet, CVPR 2015, eq. 3; hard: Hermans et al., arXiv 1703.07737, eq. 5; distance_weighted: Wu et al., Sampling Matters, ICCV 2017, section 4",
            gradient: "of an active triplet, 2 (n − p) to the anchor, 2 (p − a) to the positive and 2 (a − n) to the negative, over the number of triplets (plain distances: unit vectors instead); which triplets are mined is a constant",
        }
    }

    /// Cosines of random directions are normal with variance 1/D, so that d(a, p) − d(a, n) is normal about 0 with
    /// variance 8/D for squared and 1/D for plain distances. For mined negatives it is not.
    fn expected_first_loss(&self, _classes: usize, embedding: usize) -> Option<f64> {
        let variance = match self.distance {
            Distance::Squared => 8.0 / embedding as f64,
            Distance::Plain => 1.0 / embedding as f64,
        };
        let (mean, active) = normal_hinge(self.margin.at(Progress::START), variance.sqrt());
        let mean = match self.average {
            Average::All => mean,
            Average::Active => mean / active,
        };
        ((self.embeddings, self.mining) == (Embeddings::Unit, Mining::All)).then_some(mean)
    }

    /// All distances are 0.
    fn guessing_loss(&self, _batch: usize, progress: Progress) -> Option<f64> {
        Some(self.margin.at(progress))
    }

    fn validate(&self, section: &str) -> Result<(), SettingsError> {
        if (self.mining, self.embeddings) == (Mining::DistanceWeighted, Embeddings::Raw) {
            return Err(SettingsError::conflict(
                format!("{section}.mining"),
                format!(
                    "is \"distance_weighted\", which knows how distances on the unit sphere are spread; set {section}.embeddings = \"unit\", or mine otherwise"
                ),
            ));
        }
        Ok(())
    }

    fn scoring(&self) -> Scoring {
        self.embeddings.scoring()
    }
}

/// The mean of [α + σ z]₊ for a standard normal z, and the probability that it is not 0.
fn normal_hinge(margin: f64, deviation: f64) -> (f64, f64) {
    let step = 1e-3;
    let density = |z: f64| (-0.5 * z * z).exp() * step / std::f64::consts::TAU.sqrt();
    let active = (-8000..=8000).map(|i| f64::from(i) * step).filter(|z| margin + deviation * z > 0.0);
    active.fold((0.0, 0.0), |(mean, share), z| {
        (mean + density(z) * (margin + deviation * z), share + density(z))
    })
}

impl BatchRule for TripletConfig {
    fn forward(&self, batch: &EmbeddingBatch, seed: u64) -> LossOutput {
        let margin = self.margin.at(batch.progress);
        let (rows, norm) = self.embeddings.rows(batch.embeddings.clone());
        let embedding = rows.dims()[1];
        let squared = squared_distances(rows);
        let plain = rooted(squared.clone());
        let distances = match self.distance {
            Distance::Squared => squared,
            Distance::Plain => plain.clone(),
        };
        let pairs = Pairs::of(batch);
        let mut triplets = Triplets::new(&pairs, distances.clone().detach(), margin);
        match self.mining {
            Mining::All => triplets.add_all(),
            Mining::Hard => triplets.add_hard(),
            Mining::SemiHard => triplets.add_semi_hard(),
            Mining::DistanceWeighted => {
                let stream = Stream::new(seed, Purpose::Mining, 1, batch.progress.step as u64);
                triplets.add_distance_weighted(plain.clone().detach(), embedding, stream);
            }
        }
        let sum = (triplets.slopes * distances).sum() + triplets.active.clone() * margin;
        let all = triplets.number.max(1) as f64;
        let loss = match self.average {
            Average::All => sum / all,
            Average::Active => sum / triplets.active.clone().clamp_min(1.0),
        };
        let mut telemetry = Telemetry::default()
            .known(MARGIN, margin)
            .mean(FEATURE_NORM, norm)
            .mean(ACTIVE_SHARE, triplets.active / all);
        if batch.watched {
            telemetry = pairs.means(telemetry, &plain, [POSITIVE_DISTANCE, NEGATIVE_DISTANCE]);
        }
        LossOutput { loss, telemetry }
    }
}

/// The active triplets of a batch, and their loss as a function of the distances.
///
/// As long as the same triplets are active, Σ [d(a, p) − d(a, n) + α]₊ is linear in the distances: each is added
/// as often as it is that of a positive and subtracted as often as it is that of a negative. These slopes, a
/// `[batch, batch]` matrix of counts that is a constant of the derivative, give the loss and its gradient
/// exactly; the triplets themselves, of the order of batch³, are never written out.
struct Triplets<'a> {
    pairs: &'a Pairs,
    /// `[batch, batch]`, without a graph.
    distances: Tensor<2>,
    margin: f64,
    /// How often each distance counts, `[batch, batch]`.
    slopes: Tensor<2>,
    /// How many triplets are not 0, `[1]`.
    active: Tensor<1>,
    /// How many triplets there are.
    number: usize,
}

/// A positive of each anchor, for those that have one.
struct Positive {
    /// `[batch, 1]`, 0 where there is none.
    image: Tensor<2, Int>,
    /// `[batch, 1]`, 1 or 0.
    exists: Tensor<2>,
}

impl<'a> Triplets<'a> {
    fn new(pairs: &'a Pairs, distances: Tensor<2>, margin: f64) -> Self {
        let (slopes, active) = (distances.zeros_like(), Tensor::zeros([1], &distances.device()));
        Self { pairs, distances, margin, slopes, active, number: 0 }
    }

    fn add_all(&mut self) {
        for positive in self.positives() {
            let bound = self.bound(&positive);
            // [batch, batch]: the negatives that are too near for this positive.
            let near = self.distances.clone().lower(bound).bool_and(self.pairs.impostor.clone());
            let near = near.float() * positive.exists;
            self.slopes = self.slopes.clone() - near.clone();
            self.count(positive.image, near.sum_dim(1));
        }
        let of_image = |image: usize| self.pairs.positives[image].len() * self.pairs.negatives_of(image);
        self.number = (0..self.pairs.positives.len()).map(of_image).sum();
    }

    fn add_hard(&mut self) {
        let exists = self.anchors().map(|anchor| if anchor { 1.0 } else { 0.0 }).collect();
        let image = filled(self.distances.clone(), &self.pairs.genuine, -1.0).argmax(1);
        let nearest = filled(self.distances.clone(), &self.pairs.impostor, FAR).argmin(1);
        let exists = self.column(exists);
        self.add(Positive { image, exists }, nearest);
        self.number = self.anchors().filter(|anchor| *anchor).count();
    }

    fn add_semi_hard(&mut self) {
        let farthest = filled(self.distances.clone(), &self.pairs.impostor, -1.0).argmax(1);
        for positive in self.positives() {
            let distance = self.distances.clone().gather(1, positive.image.clone());
            let farther = self.distances.clone().greater(distance).bool_and(self.pairs.impostor.clone());
            let farther = filled(self.distances.clone(), &farther, FAR);
            let none = farther.clone().min_dim(1).equal_elem(FAR);
            self.add(positive, farther.argmin(1).mask_where(none, farthest.clone()));
        }
        self.number = self.anchors_with_positives();
    }

    /// On the unit sphere of `embedding` dimensions distances have the density q(d) ∝ d^{D−2} (1 − d²/4)^{(D−3)/2};
    /// a negative is drawn with weight 1/q, as its noisy logarithm is the largest (Gumbel's trick).
    fn add_distance_weighted(&mut self, plain: Tensor<2>, embedding: usize, mut stream: Stream) {
        let images = self.pairs.positives.len();
        let near = plain.clone().lower_elem(NO_LOSS).bool_and(self.pairs.impostor.clone());
        let none_near = near.clone().float().max_dim(1).equal_elem(0.0);
        let candidates =
            near.bool_or(self.pairs.impostor.clone().bool_and(none_near.expand([images, images])));
        let d = plain.clamp(FLOOR, NO_LOSS);
        let dimensions = embedding as f64;
        let log_weights = d.clone().log() * (2.0 - dimensions)
            - ((d.square() * -0.25) + 1.0).log() * (0.5 * (dimensions - 3.0));
        for positive in self.positives() {
            let noise: Vec<f32> = (0..images * images).map(|_| gumbel(&mut stream)).collect();
            let noise = Tensor::from_data(TensorData::new(noise, [images, images]), &self.distances.device());
            let drawn = filled(log_weights.clone() + noise, &candidates, -FAR).argmax(1);
            self.add(positive, drawn);
        }
        self.number = self.anchors_with_positives();
    }

    /// Adds the triplets of each anchor with this positive and this negative, `[batch, 1]`.
    fn add(&mut self, positive: Positive, negative: Tensor<2, Int>) {
        let distance = self.distances.clone().gather(1, negative.clone());
        let near = distance.lower(self.bound(&positive)).float() * positive.exists;
        self.slopes = self.slopes.clone().scatter(1, negative, near.clone().neg(), IndexingUpdateOp::Add);
        self.count(positive.image, near);
    }

    /// Adds to the slopes of the positives, `[batch, 1]`, how many triplets they are active in, `[batch, 1]`.
    fn count(&mut self, positive: Tensor<2, Int>, active: Tensor<2>) {
        self.active = self.active.clone() + active.clone().sum();
        self.slopes = self.slopes.clone().scatter(1, positive, active, IndexingUpdateOp::Add);
    }

    /// d(a, p) + α, `[batch, 1]`: a negative below it makes an active triplet.
    fn bound(&self, positive: &Positive) -> Tensor<2> {
        self.distances.clone().gather(1, positive.image.clone()) + self.margin
    }

    /// The first positive of each anchor, the second, and so on.
    fn positives(&self) -> Vec<Positive> {
        let of = |(image, anchor): (usize, bool)| {
            if anchor { self.pairs.positives[image].as_slice() } else { &[] }
        };
        let positives: Vec<&[usize]> = self.anchors().enumerate().map(of).collect();
        let most = positives.iter().map(|of_anchor| of_anchor.len()).max().unwrap_or(0);
        let device = self.distances.device();
        let of_rank = |rank: usize| {
            let images =
                positives.iter().map(|of_anchor| of_anchor.get(rank).map_or(0, |image| *image as i32));
            let images = TensorData::new(images.collect::<Vec<i32>>(), [positives.len(), 1]);
            let exists = positives.iter().map(|of_anchor| if rank < of_anchor.len() { 1.0 } else { 0.0 });
            Positive { image: Tensor::from_data(images, &device), exists: self.column(exists.collect()) }
        };
        (0..most).map(of_rank).collect()
    }

    /// Of each image, whether it has a positive and a negative.
    fn anchors(&self) -> impl Iterator<Item = bool> {
        let positives = self.pairs.positives.iter().enumerate();
        positives.map(|(image, positives)| !positives.is_empty() && self.pairs.negatives_of(image) > 0)
    }

    fn anchors_with_positives(&self) -> usize {
        let positives = self.anchors().zip(&self.pairs.positives);
        positives.map(|(anchor, positives)| if anchor { positives.len() } else { 0 }).sum()
    }

    fn column(&self, values: Vec<f32>) -> Tensor<2> {
        let shape = [values.len(), 1];
        Tensor::from_data(TensorData::new(values, shape), &self.distances.device())
    }
}

/// Below it all distances have the same weight: the density of smaller ones is next to 0, and its inverse would
/// leave only them.
const FLOOR: f64 = 0.5;

/// Negatives at a larger distance are not drawn: just under √2, where nearly all random pairs are, and with
/// nothing to lose.
const NO_LOSS: f64 = 1.4;

/// A draw from the standard Gumbel distribution.
fn gumbel(stream: &mut Stream) -> f32 {
    // In the middle of the 2⁻²⁴ that a draw stands for, so neither 0 nor 1.
    let uniform = f64::from(stream.uniform()) + 0.5f64.powi(25);
    -(-uniform.ln()).ln() as f32
}

#[cfg(test)]
mod tests {
    use super::super::EmbeddingLossModule;
    use super::super::pairs::reference::{cases, loss_of, plain, rows, squared};
    use super::*;
    use crate::reference::{Case, Rows, check_loss, for_each_form, read_keys, setup, tensor};
    use crate::{Labels, embedding::EmbeddingLossConfig};
    use burn::tensor::Device;

    const SEED: u64 = 9;

    fn loss(config: &TripletConfig) -> impl Fn(&EmbeddingBatch, Tensor<2>) -> Tensor<1> + '_ {
        move |batch, _| {
            let output = Triplet::new(config, &setup(0, 0, SEED, &batch.embeddings.device())).forward(batch);
            loss_of(output)
        }
    }

    /// The triplets (a, p, n) of a batch, in plain loops.
    fn triplets(config: &TripletConfig, x: &Rows, labels: &[usize]) -> Vec<(usize, usize, usize)> {
        let d = |i: usize, j: usize| distance(config, &x[i], &x[j]);
        let images = 0..x.len();
        let mut found = Vec::new();
        // Ranks from the outside, as the draws are taken.
        for rank in images.clone() {
            let noise: Vec<Vec<f64>> = noise_of(rank, x.len());
            for a in images.clone() {
                let positives: Vec<usize> =
                    images.clone().filter(|p| *p != a && labels[*p] == labels[a]).collect();
                let negatives: Vec<usize> = images.clone().filter(|n| labels[*n] != labels[a]).collect();
                if negatives.is_empty() || rank >= positives.len() {
                    continue;
                }
                let p = positives[rank];
                let nearest = |of: &[usize]| of.iter().copied().min_by(|m, n| d(a, *m).total_cmp(&d(a, *n)));
                let farthest = |of: &[usize]| of.iter().copied().min_by(|m, n| d(a, *n).total_cmp(&d(a, *m)));
                match config.mining {
                    Mining::All => found.extend(negatives.iter().map(|n| (a, p, *n))),
                    Mining::Hard if rank > 0 => {}
                    Mining::Hard => {
                        found.push((a, farthest(&positives).unwrap(), nearest(&negatives).unwrap()))
                    }
                    Mining::SemiHard => {
                        let farther: Vec<usize> =
                            negatives.iter().copied().filter(|n| d(a, *n) > d(a, p)).collect();
                        found.push((a, p, nearest(&farther).or(farthest(&negatives)).unwrap()));
                    }
                    Mining::DistanceWeighted => {
                        let near: Vec<usize> =
                            negatives.iter().copied().filter(|n| plain(&x[a], &x[*n]) < 1.4).collect();
                        let candidates = if near.is_empty() { &negatives } else { &near };
                        let score =
                            |n: usize| log_weight(plain(&x[a], &x[n]), x[0].len() as f64) + noise[a][n];
                        let drawn = candidates.iter().copied().max_by(|m, n| score(*m).total_cmp(&score(*n)));
                        found.push((a, p, drawn.unwrap()));
                    }
                }
            }
        }
        found
    }

    /// The draws of the positives of this rank.
    fn noise_of(rank: usize, images: usize) -> Vec<Vec<f64>> {
        let mut stream = Stream::new(SEED, Purpose::Mining, 1, Progress::END.step as u64);
        (0..rank * images * images).for_each(|_| _ = stream.bits());
        (0..images).map(|_| (0..images).map(|_| f64::from(gumbel(&mut stream))).collect()).collect()
    }

    /// ln(1/q(d)) as Wu et al. give q, with d between 0.5 and 1.4.
    fn log_weight(d: f64, dimensions: f64) -> f64 {
        let d = d.clamp(0.5, 1.4);
        -(dimensions - 2.0) * d.ln() - (dimensions - 3.0) / 2.0 * (1.0 - d * d / 4.0).ln()
    }

    fn distance(config: &TripletConfig, a: &[f64], b: &[f64]) -> f64 {
        match config.distance {
            Distance::Squared => squared(a, b),
            Distance::Plain => plain(a, b),
        }
    }

    fn reference(config: &TripletConfig, x: &Rows, labels: &[usize]) -> f64 {
        let x = rows(x, config.embeddings);
        let triplets = triplets(config, &x, labels);
        let margin = config.margin.at(Progress::END);
        let d = |i: usize, j: usize| distance(config, &x[i], &x[j]);
        let hinges = triplets.iter().map(|(a, p, n)| (d(*a, *p) - d(*a, *n) + margin).max(0.0));
        let active = hinges.clone().filter(|hinge| *hinge > 0.0).count();
        let number = match config.average {
            Average::All => triplets.len(),
            Average::Active => active,
        };
        hinges.sum::<f64>() / number.max(1) as f64
    }

    fn check(config: &TripletConfig) {
        let what = format!("triplet {} {} {}", config.mining, config.distance, config.embeddings);
        for mut case in cases(config.embeddings) {
            // Squared distances are smooth where embeddings coincide, and which triplets are active does not
            // change there with `all`; the others have ties to break.
            case.smooth |= case.name.contains("coincide")
                && (config.distance, config.mining) == (Distance::Squared, Mining::All);
            check_loss(&what, &case, loss(config), |x, _, labels| reference(config, x, labels));
        }
    }

    #[test]
    fn all_equals_the_brute_force_triple_loop() {
        for (distance, embeddings, average, margin) in [
            (Distance::Squared, Embeddings::Unit, Average::All, 0.2),
            (Distance::Plain, Embeddings::Unit, Average::Active, 0.3),
            (Distance::Squared, Embeddings::Raw, Average::Active, 2.0),
            (Distance::Plain, Embeddings::Raw, Average::All, 1.0),
        ] {
            let mining = Mining::All;
            check(&TripletConfig { margin: margin.into(), distance, embeddings, mining, average });
        }
    }

    #[test]
    fn mined_triplets_match_the_loop_over_anchors() {
        for mining in [Mining::Hard, Mining::SemiHard] {
            for (distance, embeddings, average) in [
                (Distance::Squared, Embeddings::Unit, Average::All),
                (Distance::Plain, Embeddings::Raw, Average::Active),
            ] {
                check(&TripletConfig { distance, embeddings, mining, average, margin: 0.5.into() });
            }
        }
    }

    #[test]
    fn distance_weighted_triplets_match_the_loop_with_the_same_draws() {
        for distance in Distance::ALL.iter().copied() {
            let mining = Mining::DistanceWeighted;
            check(&TripletConfig { distance, mining, margin: 0.5.into(), ..Default::default() });
        }
    }

    #[test]
    fn collapsed_embeddings_lose_exactly_the_margin() {
        for mining in Mining::ALL.iter().copied() {
            for distance in Distance::ALL.iter().copied() {
                for embeddings in Embeddings::ALL.iter().copied() {
                    let config = TripletConfig { distance, embeddings, mining, ..Default::default() };
                    for_each_form("triplet", |device, what| {
                        let batch = EmbeddingBatch {
                            embeddings: Tensor::<2>::from_floats([[0.3, -1.7, 5.1]], device).repeat_dim(0, 6),
                            labels: Labels::new(&[0, 0, 0, 1, 1, 1], device),
                            progress: Progress::START,
                            watched: false,
                        };
                        let found = Triplet::new(&config, &setup(2, 3, 1, device))
                            .forward(&batch)
                            .loss
                            .into_scalar::<f32>();
                        assert!((found - 0.2).abs() < 1e-6, "{what}, {mining}, {distance}: {found}");
                    });
                }
            }
        }
    }

    #[test]
    fn semi_hard_takes_the_nearest_negative_that_is_farther_or_else_the_farthest() {
        let device = Device::flex();
        let loss_of = |positive: f32, negatives: [f32; 2]| {
            let config = TripletConfig {
                margin: 1.0.into(),
                distance: Distance::Plain,
                embeddings: Embeddings::Raw,
                ..Default::default()
            };
            // The anchor at 0, the positive to the right, the negatives to the left: for the positive as the
            // anchor both negatives are farther by its distance from the anchor.
            let x = [[0.0], [positive], [-negatives[0]], [-negatives[1]]];
            let batch = EmbeddingBatch {
                embeddings: Tensor::<2>::from_floats(x, &device),
                labels: Labels::new(&[0, 0, 1, 2], &device),
                progress: Progress::START,
                watched: false,
            };
            2.0 * Triplet::new(&config, &setup(3, 1, 1, &device)).forward(&batch).loss.into_scalar::<f32>()
        };
        // Anchor: 2 − 2.5 + 1; positive: 2 − 3 + 1, the negative at a distance of 3.
        assert!((loss_of(2.0, [1.0, 2.5]) - 0.5).abs() < 1e-4);
        // No negative is farther than 2: 2 − 1.5 + 1.
        assert!((loss_of(2.0, [1.0, 1.5]) - 1.5).abs() < 1e-4);
        // The nearest that is farther is beyond the margin: nothing.
        assert!(loss_of(2.0, [1.0, 3.5]).abs() < 1e-4);
    }

    /// Angles drawn with weight 1/q are spread evenly over distances, so that short ones are not as rare as they
    /// are on the sphere.
    #[test]
    fn distance_weighting_draws_by_the_inverse_density() {
        let device = Device::flex();
        let dimensions = 4;
        // The anchor, its positive, and negatives at distances 0.7, 1.0, 1.3 and, never drawn, 1.6.
        let at = |d: f32| {
            let cosine = 1.0 - d * d / 2.0;
            [cosine, (1.0 - cosine * cosine).sqrt(), 0.0, 0.0]
        };
        let x = Tensor::<2>::from_floats([at(0.0), at(0.1), at(0.7), at(1.0), at(1.3), at(1.6)], &device);
        let plain = rooted(squared_distances(x.clone()));
        let mut drawn = [0.0; 6];
        let steps = 4000;
        for step in 0..steps {
            let batch = EmbeddingBatch {
                embeddings: x.clone(),
                labels: Labels::new(&[0, 0, 1, 2, 3, 4], &device),
                progress: Progress { step, total: steps },
                watched: false,
            };
            let pairs = Pairs::of(&batch);
            let mut triplets = Triplets::new(&pairs, plain.clone(), 10.0);
            let stream = Stream::new(3, Purpose::Mining, 1, step as u64);
            triplets.add_distance_weighted(plain.clone(), dimensions, stream);
            let slopes: Vec<f32> = triplets.slopes.into_data().try_to_vec().unwrap();
            (0..6).for_each(|n| drawn[n] -= f64::from(slopes[n]).min(0.0) / steps as f64);
        }
        let weights = [0.7, 1.0, 1.3].map(|d| log_weight(d, dimensions as f64).exp());
        let sum: f64 = weights.iter().sum();
        for (n, weight) in weights.iter().enumerate() {
            // Five standard errors.
            let error = 5.0 * (0.25 / steps as f64).sqrt();
            assert!((drawn[n + 2] - weight / sum).abs() < error, "{drawn:?} against {weights:?}");
        }
        assert_eq!(drawn[5], 0.0);
    }

    #[test]
    fn the_expected_first_loss_is_what_random_features_give() {
        for distance in Distance::ALL.iter().copied() {
            for average in Average::ALL.iter().copied() {
                let config = TripletConfig { distance, average, mining: Mining::All, ..Default::default() };
                let case = Case::random("random", 120, 2, 128, 1.0);
                let device = Device::flex();
                let batch = EmbeddingBatch {
                    embeddings: tensor(&case.x, &device),
                    labels: Labels::new(&(0..120).map(|i| i / 30).collect::<Vec<_>>(), &device),
                    progress: Progress::START,
                    watched: false,
                };
                let found = Triplet::new(&config, &setup(4, 128, 1, &device))
                    .forward(&batch)
                    .loss
                    .into_scalar::<f32>();
                let expected = config.expected_first_loss(4, 128).unwrap();
                assert!((f64::from(found) - expected).abs() < 0.05 * expected, "{found} against {expected}");
            }
        }
    }

    #[test]
    fn a_wrong_key_is_named() {
        let error = |keys: &str| match read_keys::<EmbeddingLossConfig>(keys) {
            Ok(loss) => loss.validate("head").unwrap_err().to_string(),
            Err(error) => error,
        };
        assert_eq!(
            error("kind = 'triplet'\nmining = 'hardest'"),
            "head.mining is \"hardest\"; it must be one of all, hard, semi_hard, distance_weighted; did you mean \"hard\"?"
        );
        assert_eq!(error("kind = 'triplet'\nmargin = -0.2"), "head.margin is -0.2; it must be 0 or more");
        assert_eq!(
            error("kind = 'triplet'\nmining = 'distance_weighted'\nembeddings = 'raw'"),
            "head.mining is \"distance_weighted\", which knows how distances on the unit sphere are spread; set head.embeddings = \"unit\", or mine otherwise"
        );
    }
}
