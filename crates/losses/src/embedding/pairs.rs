//! What the losses on pairs share: which pairs are genuine, and how far apart their embeddings are.

use burn::tensor::{Bool, Int, Tensor, TensorData, activation};
use facegrad_settings::choice;

use crate::{EmbeddingBatch, Scoring, Telemetry, l2_normalise, telemetry::HARDEST_COSINE};

choice! {
    /// Which embeddings are compared.
    pub enum Embeddings {
        /// Scaled to length 1, so that distances are from 0 to 2.
        Unit = "unit",
        /// As the network gives them.
        Raw = "raw",
    }
}

/// Added to the squared distance inside the root: a distance is exact to 5e-5 from 1e-3 on, and the slope
/// 1/(2d) of the root stays below 1e5.
const EPSILON: f64 = 1e-10;

/// Larger than any distance or cosine: what stands in for an entry that is left out of a minimum.
pub(super) const FAR: f32 = 1e30;

impl Embeddings {
    /// The embeddings `[batch, embedding]` to compare, and their lengths before, `[batch, 1]`.
    pub(super) fn rows(self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (unit, norm) = l2_normalise(x.clone());
        match self {
            Self::Unit => (unit, norm),
            Self::Raw => (x, norm),
        }
    }

    /// Unit embeddings have d² = 2 − 2 cos θ, so that cosines order pairs as distances do.
    pub(super) fn scoring(self) -> Scoring {
        match self {
            Self::Unit => Scoring::Cosine,
            Self::Raw => Scoring::Euclidean,
        }
    }
}

/// The pairs of a batch. Both orders of a pair are in the masks, an image with itself in neither.
pub(super) struct Pairs {
    /// `[batch, batch]`: two images of one person.
    pub(super) genuine: Tensor<2, Bool>,
    /// `[batch, batch]`: images of two people.
    pub(super) impostor: Tensor<2, Bool>,
    /// The other images of the person of each image.
    pub(super) positives: Vec<Vec<usize>>,
}

impl Pairs {
    pub(super) fn of(batch: &EmbeddingBatch) -> Self {
        let classes = batch.labels.classes();
        let of_image = |i: usize| (0..classes.len()).filter(move |j| *j != i && classes[*j] == classes[i]);
        Self {
            genuine: mask(batch, |i, j| i != j && classes[i] == classes[j]),
            impostor: mask(batch, |i, j| classes[i] != classes[j]),
            positives: (0..classes.len()).map(|i| of_image(i).collect()).collect(),
        }
    }

    /// How many images of other people an image has in the batch.
    pub(super) fn negatives_of(&self, image: usize) -> usize {
        self.positives.len() - 1 - self.positives[image].len()
    }

    /// Genuine pairs, both orders counted.
    pub(super) fn genuine_count(&self) -> usize {
        self.positives.iter().map(Vec::len).sum()
    }

    /// Impostor pairs, both orders counted.
    pub(super) fn impostor_count(&self) -> usize {
        (0..self.positives.len()).map(|image| self.negatives_of(image)).sum()
    }

    /// Adds the mean of `values`, `[batch, batch]`, over the genuine and over the impostor pairs, under these
    /// names; nothing for pairs that the batch does not have.
    pub(super) fn means(&self, mut telemetry: Telemetry, values: &Tensor<2>, names: [&str; 2]) -> Telemetry {
        let sides = [(&self.genuine, self.genuine_count()), (&self.impostor, self.impostor_count())];
        for ((mask, count), name) in sides.into_iter().zip(names) {
            if count > 0 {
                telemetry = telemetry.mean(name, kept_sum(values.clone(), mask.clone()) / count as f64);
            }
        }
        telemetry
    }

    /// Adds the mean over the batch of the largest cosine with another person.
    pub(super) fn hardest(&self, telemetry: Telemetry, cosines: &Tensor<2>) -> Telemetry {
        let images: Vec<i32> = self.images_with_negatives().map(|image| image as i32).collect();
        if images.is_empty() {
            return telemetry;
        }
        let images = Tensor::<1, Int>::from_data(images.as_slice(), &cosines.device());
        let hardest = filled(cosines.clone(), &self.impostor, -FAR).max_dim(1);
        telemetry.mean(HARDEST_COSINE, hardest.select(0, images))
    }

    fn images_with_negatives(&self) -> impl Iterator<Item = usize> {
        (0..self.positives.len()).filter(|image| self.negatives_of(*image) > 0)
    }
}

/// `[batch, batch]`, on the device of the embeddings.
pub(super) fn mask(batch: &EmbeddingBatch, keep: impl Fn(usize, usize) -> bool) -> Tensor<2, Bool> {
    let images = batch.labels.classes().len();
    let kept: Vec<bool> = (0..images * images).map(|at| keep(at / images, at % images)).collect();
    Tensor::from_data(TensorData::new(kept, [images, images]), &batch.embeddings.device())
}

/// `values` where `mask` is, `other` elsewhere. Shapes `[batch, batch]`.
pub(super) fn filled(values: Tensor<2>, mask: &Tensor<2, Bool>, other: f32) -> Tensor<2> {
    values.mask_fill(mask.clone().bool_not(), other)
}

/// The sum of `values` where `mask` is, `[1]`.
pub(super) fn kept_sum(values: Tensor<2>, mask: Tensor<2, Bool>) -> Tensor<1> {
    filled(values, &mask, 0.0).sum()
}

/// ln Σ_j e^{z_j} over the entries of each row of `z` that `mask` keeps; below −1e29 where it keeps none.
///
/// # Shapes
/// - `z`, `mask`: `[batch, batch]`, output: `[batch, 1]`
pub(super) fn log_sum_exp(z: Tensor<2>, mask: &Tensor<2, Bool>) -> Tensor<2> {
    let z = filled(z, mask, -FAR);
    // The maximum is a constant of the derivative: it cancels.
    let max = z.clone().detach().max_dim(1);
    (z - max.clone()).exp().sum_dim(1).log() + max
}

/// ln(1 + Σ_j e^{z_j}), otherwise as [`log_sum_exp`]; 0 where `mask` keeps nothing.
pub(super) fn log_one_plus_sum_exp(z: Tensor<2>, mask: &Tensor<2, Bool>) -> Tensor<2> {
    activation::softplus(log_sum_exp(z, mask), 1.0)
}

/// ‖x_i − x_j‖² of all rows from their products.
///
/// Differences of products, so off by some roundings of the largest squared distance from the mean of the rows:
/// a distance far below that is not resolved.
///
/// # Shapes
/// - `x`: `[batch, embedding]`, output: `[batch, batch]`
pub(super) fn squared_distances(x: Tensor<2>) -> Tensor<2> {
    // Distances do not change when all rows move, and seen from their mean the products are smallest. For the
    // same reason the mean is a constant of the derivative.
    let x = x.clone() - x.detach().mean_dim(0);
    let products = x.clone().matmul(x.transpose());
    // From the same products, so that rows that are equal are at a distance of 0.
    let images = products.dims()[0] as i64;
    let diagonal = Tensor::<1, Int>::arange(0..images, &products.device()).unsqueeze_dim(1);
    let lengths = products.clone().gather(1, diagonal);
    activation::relu(lengths.clone() + lengths.transpose() - products * 2.0)
}

/// √(d² + ε) of squared distances.
pub(super) fn rooted(squared: Tensor<2>) -> Tensor<2> {
    (squared + EPSILON).sqrt()
}

/// What the tests of losses on pairs share; the sums are written anew, from the formulas.
#[cfg(test)]
pub(super) mod reference {
    use burn::tensor::Tensor;

    use super::Embeddings;
    use crate::{
        embedding::LossOutput,
        reference::{Case, Rows, check_telemetry, dot},
    };

    /// The loss, once its telemetry was found to be finite.
    pub fn loss_of(output: LossOutput) -> Tensor<1> {
        check_telemetry(output.telemetry);
        output.loss
    }

    /// Batches for losses on pairs, without kinks for a loss that is smooth in the distances of `embeddings`.
    pub fn cases(embeddings: Embeddings) -> Vec<Case> {
        let unit = embeddings == Embeddings::Unit;
        let case = |name: &str, labels: &[usize], norm: f64| {
            let mut case = Case::random(name, labels.len(), 2, 6, norm);
            case.labels = labels.to_vec();
            case
        };
        let three_by_three = [0, 1, 2, 0, 1, 2, 0, 1, 2];
        let mut cases = vec![
            case("three identities with three images", &three_by_three, 1.0),
            case("identities with different numbers of images", &[3, 3, 3, 3, 1, 2, 2], 1.0),
            case("one identity only", &[4; 5], 1.0),
            case("all identities different", &[0, 3, 1, 2], 1.0),
            case("a genuine pair", &[1, 1], 1.0),
            case("an impostor pair", &[0, 1], 1.0),
            case("one image", &[0], 1.0),
            case("norms of 1e4", &three_by_three, 1e4),
        ];
        // Without normalisation such embeddings are one point, and differences of the loss are all rounding.
        let mut short = case("norms of 1e-6", &three_by_three, 1e-6);
        short.smooth = unit;
        let mut zero = case("a zero embedding", &three_by_three, 1.0);
        zero.x[3] = vec![0.0; 6];
        zero.smooth = false;
        let mut collapsed = case("all embeddings coincide", &three_by_three, 1.0);
        collapsed.x = vec![collapsed.x[0].clone(); 9];
        collapsed.smooth = false;
        let mut coinciding = case("two pairs coincide", &three_by_three, 1.0);
        coinciding.x[3] = coinciding.x[0].clone();
        coinciding.x[4] = coinciding.x[2].clone();
        coinciding.smooth = false;
        for case in &mut cases {
            case.host_only = !["norms of 1e4", "three identities with three images", "one identity only"]
                .contains(&case.name.as_str());
        }
        cases.extend([short, zero, collapsed, coinciding]);
        cases
    }

    /// The rows that a loss compares, with the stated ε = 1e-10 under the root of their length.
    pub fn rows(x: &Rows, embeddings: Embeddings) -> Rows {
        let length = |row: &[f64]| match embeddings {
            Embeddings::Unit => (dot(row, row) + 1e-10).sqrt(),
            Embeddings::Raw => 1.0,
        };
        x.iter().map(|row| row.iter().map(|v| v / length(row)).collect()).collect()
    }

    /// ‖a − b‖².
    pub fn squared(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    /// ‖a − b‖, with the stated ε = 1e-10 under the root.
    pub fn plain(a: &[f64], b: &[f64]) -> f64 {
        (squared(a, b) + 1e-10).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::for_each_form;

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn distances_far_from_the_origin_are_as_exact_as_near_it() {
        for_each_form("distances", |device, what| {
            let near = Tensor::<2>::from_floats([[0.0, 0.0], [0.25, 0.0], [0.0, 0.5]], device);
            let far = near.clone() + 4096.0;
            for x in [near, far] {
                let distances = read(squared_distances(x));
                let expected = [0.0, 0.0625, 0.25, 0.0625, 0.0, 0.3125, 0.25, 0.3125, 0.0];
                for (found, expected) in distances.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-6, "{what}: {distances:?}");
                }
            }
        });
    }

    #[test]
    fn the_log_sum_exp_is_over_what_the_mask_keeps() {
        for_each_form("log-sum-exp", |device, what| {
            let z = Tensor::<2>::from_floats([[1.0, 2.0], [1000.0, -1000.0], [3.0, 4.0]], device);
            let keep = TensorData::new(vec![true, true, true, false, false, false], [3, 2]);
            let keep = Tensor::<2, Bool>::from_data(keep, device);
            let sums = read(log_sum_exp(z.clone(), &keep));
            let expected = (1f32.exp() + 2f32.exp()).ln();
            assert!(
                (sums[0] - expected).abs() < 1e-6 && sums[1] == 1000.0 && sums[2] < -1e29,
                "{what}: {sums:?}"
            );
            let sums = read(log_one_plus_sum_exp(z, &keep));
            let expected = (1.0 + 1f32.exp() + 2f32.exp()).ln();
            assert!(
                (sums[0] - expected).abs() < 1e-6 && sums[1] == 1000.0 && sums[2] == 0.0,
                "{what}: {sums:?}"
            );
        });
    }
}
