//! Embeddings of length one, and who each is of.

use facegrad_matrices::row_products;

/// Embeddings scaled to length one: the product of two is their cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitEmbeddings {
    numbers: Vec<f32>,
    dim: usize,
}

/// Why embeddings cannot be compared all with all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum UnitEmbeddingsError {
    /// The numbers are not whole rows.
    #[error("{numbers} numbers are not embeddings with {dim} numbers each")]
    Shape { numbers: usize, dim: usize },
    /// An embedding without direction.
    #[error(
        "embedding {index} (from 0) is {problem}, so it has no direction to compare; the model is broken or diverged"
    )]
    Direction {
        /// The embedding, from 0.
        index: usize,
        /// `zero` or `not finite`.
        problem: &'static str,
    },
    /// The same, of an embedding with a name.
    #[error(
        "the embedding of {image} is {problem}, so it has no direction to compare; the model is broken or diverged"
    )]
    Named {
        image: String,
        /// `zero` or `not finite`.
        problem: &'static str,
    },
    /// Not one identity for each embedding.
    #[error("{identities} identities for {embeddings} embeddings; it takes one for each")]
    Identities { embeddings: usize, identities: usize },
    /// Two sets from networks of different width.
    #[error("embeddings of {left} and of {right} numbers cannot be compared; both must be of one model")]
    Widths { left: usize, right: usize },
}

impl UnitEmbeddingsError {
    /// The same with the name of an embedding in place of its number.
    pub fn named(self, name: impl FnOnce(usize) -> String) -> Self {
        match self {
            Self::Direction { index, problem } => Self::Named { image: name(index), problem },
            other => other,
        }
    }
}

impl UnitEmbeddings {
    /// Scales each embedding to length one, in place.
    ///
    /// # Shapes
    /// - `numbers`: `[images, dim]`, row by row, of any length but zero
    ///
    /// # Errors
    /// If the numbers are not whole rows, or an embedding is zero or not finite.
    pub fn new(mut numbers: Vec<f32>, dim: usize) -> Result<Self, UnitEmbeddingsError> {
        if dim == 0 || !numbers.len().is_multiple_of(dim) {
            return Err(UnitEmbeddingsError::Shape { numbers: numbers.len(), dim });
        }
        for (index, row) in numbers.chunks_mut(dim).enumerate() {
            // The square of any finite f32 is neither infinite nor zero in f64.
            let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            if length == 0.0 || !length.is_finite() {
                let problem = if length == 0.0 { "zero" } else { "not finite" };
                return Err(UnitEmbeddingsError::Direction { index, problem });
            }
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
        Ok(Self { numbers, dim })
    }

    /// How many embeddings there are.
    pub fn len(&self) -> usize {
        self.numbers.len() / self.dim
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The length of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The embedding at a position, `[dim]`.
    ///
    /// # Panics
    /// If `position` is not below [`UnitEmbeddings::len`].
    pub fn row(&self, position: usize) -> &[f32] {
        self.rows(position, position + 1)
    }

    /// The embeddings from `start` up to `end`: `[end − start, dim]`, row by row.
    pub(crate) fn rows(&self, start: usize, end: usize) -> &[f32] {
        &self.numbers[start * self.dim..end * self.dim]
    }

    /// A copy of the embeddings at `positions`, in this order.
    ///
    /// # Panics
    /// If a position is not below [`UnitEmbeddings::len`].
    pub fn select(&self, positions: &[usize]) -> Self {
        let numbers = positions.iter().flat_map(|&i| self.row(i)).copied().collect();
        Self { numbers, dim: self.dim }
    }
}

/// Embeddings, and as a number who each is of.
#[derive(Debug, Clone, Copy)]
pub struct LabelledUnitEmbeddings<'a> {
    embeddings: &'a UnitEmbeddings,
    identities: &'a [usize],
}

impl<'a> LabelledUnitEmbeddings<'a> {
    /// `identities[i]` is the person of embedding `i`; any numbers that tell people apart.
    ///
    /// # Errors
    /// If there is not one identity for each embedding.
    pub fn new(embeddings: &'a UnitEmbeddings, identities: &'a [usize]) -> Result<Self, UnitEmbeddingsError> {
        if identities.len() != embeddings.len() {
            return Err(UnitEmbeddingsError::Identities {
                embeddings: embeddings.len(),
                identities: identities.len(),
            });
        }
        Ok(Self { embeddings, identities })
    }

    /// The embeddings.
    pub fn embeddings(&self) -> &'a UnitEmbeddings {
        self.embeddings
    }

    /// Who each embedding is of.
    pub fn identities(&self) -> &'a [usize] {
        self.identities
    }

    /// # Errors
    /// If the embeddings of `other` are not of the same length.
    pub(crate) fn matches(&self, other: &Self) -> Result<(), UnitEmbeddingsError> {
        let (left, right) = (self.embeddings.dim, other.embeddings.dim);
        if left == right { Ok(()) } else { Err(UnitEmbeddingsError::Widths { left, right }) }
    }
}

/// The cosines of every row of `left` with every row of `right`, on the calling thread: their products, whose shapes
/// these are.
pub(crate) fn cosines(left: &[f32], right: &[f32], dim: usize, cosines: &mut [f32]) {
    row_products(left, right, dim, cosines);
    // Rounding may carry the cosine of nearly equal directions past its range.
    cosines.iter_mut().for_each(|cosine| *cosine = cosine.clamp(-1.0, 1.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_length_one_whatever_their_scale() {
        let unit = UnitEmbeddings::new(vec![3e-30, 4e-30, 0.0, -2e38], 2).unwrap();
        assert_eq!((unit.rows(0, 2), unit.len(), unit.dim()), (&[0.6, 0.8, 0.0, -1.0][..], 2, 2));
        assert_eq!(unit.select(&[1, 1, 0]).rows(0, 3), [0.0, -1.0, 0.0, -1.0, 0.6, 0.8]);
    }

    #[test]
    fn errors_say_which_embedding() {
        let error =
            |numbers: &[f32], dim| UnitEmbeddings::new(numbers.to_vec(), dim).unwrap_err().to_string();
        assert_eq!(error(&[1.0; 5], 2), "5 numbers are not embeddings with 2 numbers each");
        assert!(UnitEmbeddings::new(vec![], 0).is_err());
        assert!(UnitEmbeddings::new(vec![], 3).unwrap().is_empty());
        assert!(error(&[1.0, 0.0, 0.0, 0.0], 2).starts_with("embedding 1 (from 0) is zero"));
        assert!(error(&[f32::NAN, 0.0], 2).starts_with("embedding 0 (from 0) is not finite"));
        let named = UnitEmbeddings::new(vec![0.0, 0.0], 2).unwrap_err().named(|row| format!("{row}.jpg"));
        let sentence = "the embedding of 0.jpg is zero, so it has no direction to compare; the model is broken or diverged";
        assert_eq!(named.to_string(), sentence);
        let unit = UnitEmbeddings::new(vec![1.0; 4], 2).unwrap();
        assert_eq!(
            LabelledUnitEmbeddings::new(&unit, &[1]).unwrap_err().to_string(),
            "1 identities for 2 embeddings; it takes one for each"
        );
    }

    #[test]
    fn products_of_all_rows() {
        let left = [1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
        let mut out = [f32::NAN; 6];
        cosines(&left, &[0.8, 0.6, -1.0, 0.0], 2, &mut out);
        for (got, expected) in out.iter().zip([0.8, -1.0, 0.6, 0.0, 0.96, -0.6]) {
            assert!((got - expected).abs() < 1e-6, "{out:?}");
        }
    }
}
