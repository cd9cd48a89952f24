//! The mean and the covariance of embeddings in one pass, in bounded memory.

use facegrad_matrices::{View, add_product};
use rayon::prelude::*;

use crate::rows::{RowsError, check, check_dim};

/// Rows that are centred and multiplied together.
const BLOCK: usize = 1024;
/// Rows of the covariance that are one task.
const STRIP: usize = 64;

/// The mean and the covariance of embeddings, which come in any portions.
///
/// Rows are taken in blocks of 1,024: each is centred on its own mean in f64, and blocks are merged by the
/// update of Chan, Golub and LeVeque (1983), so that a large mean costs no digits of a small variance. The
/// numbers depend neither on the portions nor on the number of threads. The memory is that of the covariance
/// and a few blocks, whatever the number of rows.
#[derive(Debug, Clone)]
pub struct EmbeddingMoments {
    dim: usize,
    rows: usize,
    mean: Vec<f64>,
    /// Upper triangle of the sum of (x − mean)(x − mean)ᵀ, `[dim, dim]`; not summed where only the mean is asked.
    scatter: Option<Vec<f64>>,
    pending: Vec<f32>,
}

impl EmbeddingMoments {
    /// For the mean and the covariance of embeddings of `dim` numbers.
    ///
    /// # Errors
    /// If `dim` is 0 or above [`MAX_DIM`](crate::MAX_DIM).
    pub fn new(dim: usize) -> Result<Self, RowsError> {
        let moments = Self::mean_only(dim)?;
        Ok(Self { scatter: Some(vec![0.0; dim * dim]), ..moments })
    }

    /// For the mean alone, which is much less work.
    ///
    /// # Errors
    /// If `dim` is 0 or above [`MAX_DIM`](crate::MAX_DIM).
    pub fn mean_only(dim: usize) -> Result<Self, RowsError> {
        check_dim(dim)?;
        Ok(Self { dim, rows: 0, mean: vec![0.0; dim], scatter: None, pending: Vec::new() })
    }

    /// The length of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many embeddings there are so far.
    pub fn rows(&self) -> usize {
        self.rows + self.pending.len() / self.dim
    }

    /// Takes further embeddings.
    ///
    /// # Shapes
    /// - `rows`: `[n, dim]`, row by row
    ///
    /// # Errors
    /// If the slice is not of this shape or a number is not finite; nothing is taken then.
    pub fn add(&mut self, mut rows: &[f32]) -> Result<(), RowsError> {
        check(rows, self.dim)?;
        let block = BLOCK * self.dim;
        if !self.pending.is_empty() {
            let (head, rest) = rows.split_at(rows.len().min(block - self.pending.len()));
            self.pending.extend_from_slice(head);
            rows = rest;
            if self.pending.len() == block {
                let pending = std::mem::take(&mut self.pending);
                self.merge(&pending);
            }
        }
        let mut blocks = rows.chunks_exact(block);
        for block in &mut blocks {
            self.merge(block);
        }
        self.pending.extend_from_slice(blocks.remainder());
        Ok(())
    }

    /// The number of embeddings, their mean `[dim]` and, if it was asked for, the upper triangle of the sum of
    /// the products of their deviations `[dim, dim]`.
    pub(crate) fn finish(mut self) -> (usize, Vec<f64>, Option<Vec<f64>>) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            self.merge(&pending);
        }
        (self.rows, self.mean, self.scatter)
    }

    fn merge(&mut self, block: &[f32]) {
        let (dim, n) = (self.dim, block.len() / self.dim);
        let mut mean = vec![0.0; dim];
        for row in block.chunks_exact(dim) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x));
        }
        mean.iter_mut().for_each(|m| *m /= n as f64);

        let before = self.rows as f64;
        let after = before + n as f64;
        let delta: Vec<f64> = mean.iter().zip(&self.mean).map(|(block, all)| block - all).collect();
        self.mean.iter_mut().zip(&delta).for_each(|(m, d)| *m += d * (n as f64 / after));
        self.rows += n;

        let Some(scatter) = &mut self.scatter else { return };
        let centred: Vec<f64> = block
            .chunks_exact(dim)
            .flat_map(|row| row.iter().zip(&mean).map(|(x, m)| f64::from(*x) - m))
            .collect();
        let weight = before * (n as f64 / after);
        scatter.par_chunks_mut(STRIP * dim).enumerate().for_each(|(strip, sums)| {
            let (first, height) = (strip * STRIP, sums.len() / dim);
            let transposed = View::columns(&centred[first..], dim);
            let right = View::rows(&centred[first..], dim);
            add_product([height, dim - first, n], &mut sums[first..], dim, transposed, right);
            for (row, d) in sums.chunks_exact_mut(dim).zip(&delta[first..]) {
                row[first..].iter_mut().zip(&delta[first..]).for_each(|(s, e)| *s += weight * d * e);
            }
        });
    }
}
