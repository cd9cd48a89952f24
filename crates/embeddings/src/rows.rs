//! What rows of embeddings must be before anything is computed from them.

use rayon::prelude::*;

/// The longest embedding that principal components are computed of; their covariance is 128 MiB large.
pub const MAX_DIM: usize = 4096;

/// Rows that are not embeddings to compute with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum RowsError {
    /// An embedding without numbers, or one too long.
    #[error("embeddings of {dim} numbers cannot be used here; from 1 to {MAX_DIM} numbers are allowed")]
    Dim { dim: usize },
    /// Not a whole number of rows.
    #[error("{numbers} numbers are not a whole number of embeddings of {dim} numbers each")]
    Shape { numbers: usize, dim: usize },
    /// A number that is infinite or not a number.
    #[error(
        "embedding {row}, counted from 0, has a number that is not finite; the model is broken or diverged"
    )]
    NotFinite {
        /// The row, from 0.
        row: usize,
    },
    /// An embedding that cannot be brought to unit length.
    #[error("embedding {row}, counted from 0, is zero, so it has no direction; the model is broken")]
    Zero {
        /// The row, from 0.
        row: usize,
    },
}

/// An error unless embeddings of this length can be used.
pub(crate) fn check_dim(dim: usize) -> Result<(), RowsError> {
    if (1..=MAX_DIM).contains(&dim) { Ok(()) } else { Err(RowsError::Dim { dim }) }
}

/// The number of rows in `rows`, which must be finite.
pub(crate) fn check(rows: &[f32], dim: usize) -> Result<usize, RowsError> {
    check_dim(dim)?;
    if !rows.len().is_multiple_of(dim) {
        return Err(RowsError::Shape { numbers: rows.len(), dim });
    }
    match rows.par_chunks(dim).position_first(|row| !row.iter().all(|x| x.is_finite())) {
        Some(row) => Err(RowsError::NotFinite { row }),
        None => Ok(rows.len() / dim),
    }
}

/// The rows brought to unit Euclidean length.
pub(crate) fn unit_length(rows: &[f32], dim: usize) -> Result<Vec<f32>, RowsError> {
    check(rows, dim)?;
    let mut units = vec![0.0; rows.len()];
    let zero = units
        .par_chunks_mut(dim)
        .zip(rows.par_chunks(dim))
        .map(|(unit, row)| {
            // The square of any finite f32 is neither infinite nor zero in f64.
            let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            for (u, x) in unit.iter_mut().zip(row) {
                *u = (f64::from(*x) / length) as f32;
            }
            length == 0.0
        })
        .position_first(|zero| zero);
    match zero {
        Some(row) => Err(RowsError::Zero { row }),
        None => Ok(units),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_none_say_why() {
        assert_eq!(check(&[1.0; 6], 2), Ok(3));
        let error = |rows: &[f32], dim| check(rows, dim).unwrap_err().to_string();
        assert_eq!(error(&[1.0; 5], 2), "5 numbers are not a whole number of embeddings of 2 numbers each");
        assert!(
            error(&[1.0, 2.0, 3.0, f32::NAN], 2).starts_with("embedding 1, counted from 0, has a number")
        );
        assert!(error(&[], 0).starts_with("embeddings of 0 numbers cannot be used"));
        assert!(check(&[], MAX_DIM + 1).is_err());
    }

    #[test]
    fn unit_lengths() {
        assert_eq!(
            unit_length(&[3.0, 4.0, 0.0, -1e38, 1e-45, 0.0], 2),
            Ok(vec![0.6, 0.8, 0.0, -1.0, 1.0, 0.0])
        );
        assert_eq!(unit_length(&[1.0, 0.0, 0.0, 0.0], 2), Err(RowsError::Zero { row: 1 }));
    }
}
