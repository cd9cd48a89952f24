//! Principal components of embeddings.

use facegrad_matrices::{View, add_product};
use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;

use crate::EmbeddingMoments;
use crate::rows::{RowsError, check};

/// Rows that are projected in one task.
const BLOCK: usize = 256;

/// Why there are no principal components.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum PcaError {
    /// The rows are no embeddings.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Too few rows to vary.
    #[error("principal components need at least 2 embeddings, there are {rows}")]
    TooFew { rows: usize },
    /// Moments of the mean only.
    #[error(
        "only the mean of the embeddings was summed, so there is no covariance; use EmbeddingMoments::new"
    )]
    MeanOnly,
    /// More components than there are.
    #[error("{asked} components were asked for, the embeddings vary in {rank} directions only")]
    TooMany { asked: usize, rank: usize },
    /// The iteration for the eigenvalues came to no end.
    #[error("the eigenvalues of the covariance were not found in {iterations} iterations")]
    NotConverged { iterations: usize },
    /// A projected number that f32 cannot hold.
    #[error("embedding {row}, counted from 0, is projected to a number too large for 32 bits")]
    Overflow {
        /// The row, from 0.
        row: usize,
    },
}

/// The principal components of embeddings: the directions of largest variance about the mean, in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    components: Vec<f64>,
    variances: Vec<f64>,
    total: f64,
}

impl Pca {
    /// The components of the embeddings `[n, dim]` in `rows`.
    ///
    /// # Errors
    /// As [`Pca::of`], or if the slice is not of this shape or a number is not finite.
    pub fn fit(rows: &[f32], dim: usize) -> Result<Self, PcaError> {
        let mut moments = EmbeddingMoments::new(dim)?;
        moments.add(rows)?;
        Self::of(moments)
    }

    /// The components of the embeddings whose moments these are.
    ///
    /// Variances are divided by n − 1. A direction has variance if its own is above `dim` times the rounding of
    /// f64 relative to the largest; there are at most n − 1 such directions, and only they are components. The
    /// sign of a component is such that its largest coordinate is positive (the first of several as large).
    ///
    /// # Errors
    /// If there are fewer than 2 embeddings, no covariance was summed, or the iteration does not converge.
    pub fn of(moments: EmbeddingMoments) -> Result<Self, PcaError> {
        let dim = moments.dim();
        let (rows, mean, scatter) = moments.finish();
        let scatter = scatter.ok_or(PcaError::MeanOnly)?;
        if rows < 2 {
            return Err(PcaError::TooFew { rows });
        }
        let scale = 1.0 / (rows - 1) as f64;
        let covariance = DMatrix::from_fn(dim, dim, |i, j| scatter[i.min(j) * dim + i.max(j)] * scale);
        drop(scatter);
        let total = covariance.trace();
        // Two or three iterations an eigenvalue are usual.
        let iterations = 100 * dim;
        let eigen = SymmetricEigen::try_new(covariance, f64::EPSILON, iterations)
            .ok_or(PcaError::NotConverged { iterations })?;

        let value = |i: usize| eigen.eigenvalues[i];
        let mut order: Vec<usize> = (0..dim).collect();
        order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
        let smallest = value(order[0]) * dim as f64 * f64::EPSILON;
        order.retain(|&i| value(i) > smallest.max(0.0));
        order.truncate(rows - 1);

        let mut components = Vec::with_capacity(order.len() * dim);
        for &i in &order {
            let vector = eigen.eigenvectors.column(i);
            let sign = sign(vector.as_slice());
            components.extend(vector.iter().map(|x| x * sign));
        }
        let variances = order.into_iter().map(value).collect();
        Ok(Self { mean, components, variances, total })
    }

    /// The length of an embedding.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// How many components there are; none if all embeddings are equal.
    pub fn rank(&self) -> usize {
        self.variances.len()
    }

    /// The mean embedding, `[dim]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The variances along the components, largest first, `[rank]`.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// The components, orthonormal rows `[rank, dim]`.
    pub fn components(&self) -> &[f64] {
        &self.components
    }

    /// The share of the variance that the first `k` components hold, from 0 to 1; 0 if there is no variance.
    pub fn share(&self, k: usize) -> f64 {
        let sum: f64 = self.variances.iter().take(k).sum();
        if self.total > 0.0 { (sum / self.total).min(1.0) } else { 0.0 }
    }

    /// The coordinates of embeddings along the first `k` components, from the mean.
    ///
    /// # Shapes
    /// - `rows`: `[n, dim]`, row by row
    /// - result: `[n, k]`
    ///
    /// # Errors
    /// If the slice is not of this shape, a number is not finite, or there are fewer than `k` components.
    pub fn project(&self, rows: &[f32], k: usize) -> Result<Vec<f32>, PcaError> {
        if k > self.rank() {
            return Err(PcaError::TooMany { asked: k, rank: self.rank() });
        }
        project(rows, &self.mean, &self.components[..k * self.dim()])
    }
}

/// 1 if the first of the largest coordinates of `vector` is positive, else −1.
fn sign(vector: &[f64]) -> f64 {
    let largest = vector.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    // Coordinates equal but for rounding count as equal, so that the sign is the same on every machine.
    let first = vector.iter().find(|x| x.abs() >= largest * (1.0 - 1e-6));
    if first.is_some_and(|x| *x < 0.0) { -1.0 } else { 1.0 }
}

/// The products of `rows − mean` with the rows of `matrix`, computed in f64.
///
/// # Shapes
/// - `rows`: `[n, dim]`
/// - `mean`: `[dim]`
/// - `matrix`: `[k, dim]`
/// - result: `[n, k]`
pub(crate) fn project(rows: &[f32], mean: &[f64], matrix: &[f64]) -> Result<Vec<f32>, PcaError> {
    let dim = mean.len();
    let (n, k) = (check(rows, dim)?, matrix.len() / dim);
    let mut projected = vec![0.0; n * k];
    if k == 0 {
        return Ok(projected);
    }
    projected.par_chunks_mut(BLOCK * k).zip(rows.par_chunks(BLOCK * dim)).for_each(|(projected, rows)| {
        let centred: Vec<f64> = rows
            .chunks_exact(dim)
            .flat_map(|row| row.iter().zip(mean).map(|(x, m)| f64::from(*x) - m))
            .collect();
        let mut sums = vec![0.0; projected.len()];
        let left = View::rows(&centred, dim);
        let transposed = View::columns(matrix, dim);
        add_product([rows.len() / dim, k, dim], &mut sums, k, left, transposed);
        projected.iter_mut().zip(&sums).for_each(|(p, s)| *p = *s as f32);
    });
    match projected.par_chunks(k).position_first(|row| !row.iter().all(|x| x.is_finite())) {
        Some(row) => Err(PcaError::Overflow { row }),
        None => Ok(projected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, cases, in_threads, normal, wide};

    #[test]
    fn components_are_those_of_numpy() {
        for case in cases() {
            let pca = Pca::fit(&case.rows, case.dim).unwrap();
            let name = &case.name;
            assert_eq!(pca.rank(), case.variances.len(), "{name}");
            assert_close(name, pca.mean(), &case.mean, 1e-12);
            assert_close(name, pca.variances(), &case.variances, 1e-11);
            assert_close(name, pca.components(), &case.components, 1e-10);
            assert!((pca.share(1) - case.variances[0] / case.total).abs() < 1e-12, "{name}");
            assert!((pca.share(99) - 1.0).abs() < 1e-12, "{name}");
            let projected = pca.project(&case.other, pca.rank()).unwrap();
            assert_close(name, &wide(&projected), &case.projected, 1e-6);
        }
    }

    #[test]
    fn portions_and_threads_change_no_bit() {
        let (dim, n) = (70, 2500);
        let rows = normal(n, dim, 1);
        let whole = in_threads(1, || Pca::fit(&rows, dim).unwrap());
        for portion in [1, 1000, 1024, 1025, 2500] {
            let in_portions = in_threads(3, || {
                let mut moments = EmbeddingMoments::new(dim).unwrap();
                rows.chunks(portion * dim).for_each(|rows| moments.add(rows).unwrap());
                Pca::of(moments).unwrap()
            });
            assert_eq!(in_portions, whole, "{portion}");
        }
    }

    #[test]
    fn a_large_mean_costs_no_digits_of_a_small_variance() {
        // Steps of 1/16 about 300,000: f32 holds them exactly, the squares in one sum would lose them.
        let n = 5000;
        let step = |i: usize| (i % 7) as f64 / 16.0;
        let rows: Vec<f32> =
            (0..n).flat_map(|i| [300_000.0 + step(i) as f32, -300_000.0 + step(i * i) as f32]).collect();
        let pca = Pca::fit(&rows, 2).unwrap();
        let variance = |x: &dyn Fn(usize) -> f64| {
            let mean = (0..n).map(x).sum::<f64>() / n as f64;
            (0..n).map(|i| (x(i) - mean).powi(2)).sum::<f64>() / (n - 1) as f64
        };
        let total = variance(&|i| step(i)) + variance(&|i| step(i * i));
        assert!((pca.variances().iter().sum::<f64>() / total - 1.0).abs() < 1e-9);
    }

    #[test]
    fn ranks_far_below_the_length() {
        // Rank 5 of 200 numbers in f32, whose rounding adds variance at 1e-14 of the largest.
        let (n, dim, rank) = (300, 200, 5);
        let (left, right) = (normal(n, rank, 2), normal(rank, dim, 3));
        let mut rows: Vec<f32> = Vec::new();
        for i in 0..n {
            rows.extend(
                (0..dim).map(|j| (0..rank).map(|r| left[i * rank + r] * right[r * dim + j]).sum::<f32>()),
            );
        }
        let pca = Pca::fit(&rows, dim).unwrap();
        assert!((rank..rank + 200).contains(&pca.rank()));
        assert!(pca.share(rank) > 1.0 - 1e-12);
        assert!(pca.variances()[rank - 1] > 1e-2 * pca.variances()[0]);
        // Whatever the rank, the components are orthonormal.
        for (i, a) in pca.components().chunks(dim).enumerate() {
            for (j, b) in pca.components().chunks(dim).enumerate() {
                let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                assert!((product - f64::from(i == j)).abs() < 1e-10, "{i}, {j}: {product}");
            }
        }
        // Whole numbers have no rounding: the rank is exact. So it is with fewer rows than numbers.
        let whole = |numbers: Vec<f32>| numbers.iter().map(|x| (x * 8.0).round()).collect::<Vec<f32>>();
        let (left, right) = (whole(left), whole(right));
        for n in [300, 40, 4] {
            let rows: Vec<f32> = (0..n * dim)
                .map(|at| {
                    (0..rank).map(|r| left[at / dim * rank + r] * right[r * dim + at % dim]).sum::<f32>()
                })
                .collect();
            assert_eq!(Pca::fit(&rows, dim).unwrap().rank(), rank.min(n - 1), "{n}");
        }
    }

    #[test]
    fn components_and_variances_give_back_the_covariance() {
        // Whole numbers with many ties and zeros, of every small shape.
        for dim in 1..=7 {
            for n in 2..=9 {
                let rows: Vec<f32> =
                    normal(n, dim, (10 * dim + n) as u64).iter().map(|x| x.round()).collect();
                let pca = Pca::fit(&rows, dim).unwrap();
                assert!(pca.rank() <= dim.min(n - 1));
                for at in 0..dim * dim {
                    let (j, k) = (at / dim, at % dim);
                    let deviation = |row: &[f32], j: usize| f64::from(row[j]) - pca.mean()[j];
                    let sum: f64 = rows.chunks(dim).map(|row| deviation(row, j) * deviation(row, k)).sum();
                    let components = pca.components().chunks(dim).zip(pca.variances());
                    let back: f64 = components.map(|(component, v)| component[j] * component[k] * v).sum();
                    assert!((back - sum / (n - 1) as f64).abs() < 1e-12, "{n}, {dim}: {j}, {k}");
                }
            }
        }
    }

    #[test]
    fn equal_rows_have_no_components() {
        for (row, n) in [([0.1_f32, -7.3, 1e30], 3000), ([0.0; 3], 2), ([f32::MAX, f32::MIN, 1e-45], 1500)] {
            let pca = Pca::fit(&row.repeat(n), 3).unwrap();
            assert_eq!((pca.rank(), pca.share(3)), (0, 0.0));
            assert_eq!(pca.project(&row, 0), Ok(vec![]));
            assert_eq!(
                pca.project(&row, 1).unwrap_err().to_string(),
                "1 components were asked for, the embeddings vary in 0 directions only"
            );
        }
    }

    #[test]
    fn the_largest_and_the_smallest_numbers() {
        let rows = normal(50, 4, 5);
        let plain = Pca::fit(&rows, 4).unwrap();
        for scale in [1e30_f32, 1e-30] {
            let scaled: Vec<f32> = rows.iter().map(|x| x * scale).collect();
            let pca = Pca::fit(&scaled, 4).unwrap();
            assert_close("components", pca.components(), plain.components(), 1e-5);
            let square = f64::from(scale).powi(2);
            let variances: Vec<f64> = pca.variances().iter().map(|v| v / square).collect();
            assert_close("variances", &variances, plain.variances(), 1e-6);
            assert!(pca.project(&scaled, 4).unwrap().iter().all(|x| x.is_finite()));
        }
        let pca = Pca::fit(&[f32::MAX, f32::MAX, f32::MIN, f32::MIN], 2).unwrap();
        assert_eq!(pca.rank(), 1);
        assert_eq!(
            pca.project(&[0.0, 0.0, f32::MAX, f32::MAX], 1).unwrap_err().to_string(),
            "embedding 1, counted from 0, is projected to a number too large for 32 bits"
        );
    }

    #[test]
    fn what_has_no_components_says_why() {
        assert_eq!(
            Pca::fit(&[1.0, 2.0], 2).unwrap_err().to_string(),
            "principal components need at least 2 embeddings, there are 1"
        );
        assert_eq!(Pca::of(EmbeddingMoments::mean_only(2).unwrap()), Err(PcaError::MeanOnly));
        assert!(matches!(
            Pca::fit(&[1.0, f32::INFINITY], 1),
            Err(PcaError::Rows(RowsError::NotFinite { row: 1 }))
        ));
        // Rows that are refused leave nothing behind.
        let mut moments = EmbeddingMoments::new(2).unwrap();
        assert!(moments.add(&[1.0, 2.0, f32::NAN, 0.0]).is_err());
        assert_eq!(Pca::of(moments), Err(PcaError::TooFew { rows: 0 }));
        assert!(EmbeddingMoments::new(0).is_err() && EmbeddingMoments::new(usize::MAX).is_err());
    }

    #[test]
    fn signs() {
        assert_eq!(sign(&[0.1, -0.9, 0.3]), -1.0);
        assert_eq!(sign(&[0.5, -0.5 - 1e-12]), 1.0);
        assert_eq!(sign(&[-0.5, 0.5 + 1e-12]), -1.0);
    }
}
