//! How the embedding of an image and that of its mirror image become one.

use facegrad_settings::choice;

use crate::scores::dot;

choice! {
    /// Flip fusion: how the embedding of an image and that of its mirror image become one.
    ///
    /// The choices give different scores, so the choice is part of every result.
    pub enum Flip {
        /// The image alone; half the work.
        None = "none",
        /// The sum of both embeddings as they leave the network (insightface, CVLFace).
        Add = "add",
        /// The sum of both embeddings at length 1, each weighted by its length (AdaFace). For
        /// embeddings as they leave the network this is the same as add; it has a name of its own so that a
        /// result can say which recipe it follows.
        NormWeighted = "norm_weighted",
        /// The sum of both embeddings at length 1: only their directions count.
        Unit = "unit",
        /// Both embeddings one after the other, twice as long (SphereFace).
        Concat = "concat",
    }
}

/// Embeddings of images and of mirror images that cannot be fused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum FlipError {
    /// They do not go together.
    #[error(
        "{plain} numbers for the images and {mirrored} for their mirror images are not the same number of embeddings of {dim} numbers"
    )]
    Shape { plain: usize, mirrored: usize, dim: usize },
    /// An embedding without direction where directions are added.
    #[error(
        "the embedding of {what} {index} (from 0) is {problem}, so it cannot be brought to length 1 for flip fusion unit; the model is broken or diverged"
    )]
    Direction {
        /// `image` or `mirror image`.
        what: &'static str,
        /// The image, from 0.
        index: usize,
        /// `zero` or `not finite`.
        problem: &'static str,
    },
}

impl Flip {
    /// Whether the mirror images have to be embedded, too.
    pub fn needs_mirror(self) -> bool {
        self != Self::None
    }

    /// The length of the fused embedding for a network with embeddings of length `dim`.
    pub fn fused_dim(self, dim: usize) -> usize {
        if self == Self::Concat { 2 * dim } else { dim }
    }

    /// Fuses the embeddings of images and of their mirror images.
    ///
    /// # Shapes
    /// - `plain`: `[images, dim]`, row by row
    /// - `mirrored`: `[images, dim]`; not looked at by [`Flip::None`]
    /// - result: `[images, fused_dim(dim)]`
    ///
    /// # Errors
    /// If the slices are not of these shapes, or an embedding is zero or not finite where [`Flip::Unit`] needs
    /// its direction.
    pub fn fuse(self, plain: Vec<f32>, mirrored: &[f32], dim: usize) -> Result<Vec<f32>, FlipError> {
        if self == Self::None {
            return Ok(plain);
        }
        if dim == 0 || plain.len() != mirrored.len() || !plain.len().is_multiple_of(dim) {
            return Err(FlipError::Shape { plain: plain.len(), mirrored: mirrored.len(), dim });
        }
        Ok(match self {
            Self::None => plain,
            // A weight by the length undoes the division by the length.
            Self::Add | Self::NormWeighted => plain.iter().zip(mirrored).map(|(a, b)| a + b).collect(),
            Self::Concat => {
                plain.chunks(dim).zip(mirrored.chunks(dim)).flat_map(|(a, b)| [a, b].concat()).collect()
            }
            Self::Unit => {
                let a = unit("image", &plain, dim)?;
                let b = unit("mirror image", mirrored, dim)?;
                a.iter().zip(&b).map(|(a, b)| (a + b) as f32).collect()
            }
        })
    }
}

/// The embeddings at length 1.
fn unit(what: &'static str, embeddings: &[f32], dim: usize) -> Result<Vec<f64>, FlipError> {
    let mut unit = Vec::with_capacity(embeddings.len());
    for (index, row) in embeddings.chunks(dim).enumerate() {
        let length = dot(row, row).sqrt();
        if length == 0.0 || !length.is_finite() {
            let problem = if length == 0.0 { "zero" } else { "not finite" };
            return Err(FlipError::Direction { what, index, problem });
        }
        unit.extend(row.iter().map(|&x| f64::from(x) / length));
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fused_embeddings() {
        let (plain, mirrored) = (vec![1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]);
        let fuse = |flip: Flip| flip.fuse(plain.clone(), &mirrored, 2).unwrap();
        assert_eq!(fuse(Flip::None), plain);
        assert_eq!(fuse(Flip::Add), [11.0, 22.0, 33.0, 44.0]);
        assert_eq!(fuse(Flip::Concat), [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0]);
        assert_eq!(fuse(Flip::NormWeighted), fuse(Flip::Add));
        assert_eq!(Flip::Concat.fused_dim(2), 4);
        assert!(!Flip::None.needs_mirror() && Flip::Add.needs_mirror());
        assert_eq!(
            Flip::Add.fuse(plain.clone(), &mirrored[..2], 2).unwrap_err().to_string(),
            "4 numbers for the images and 2 for their mirror images are not the same number of embeddings of 2 numbers"
        );
        assert!(Flip::Concat.fuse(plain.clone(), &mirrored, 3).is_err());
        assert!(Flip::Concat.fuse(plain.clone(), &mirrored, 0).is_err());
    }

    #[test]
    fn weighting_by_length_is_the_sum_as_it_leaves_the_network() {
        // The recipe of AdaFace, step by step: unit embeddings and lengths, weighted and added.
        let (plain, mirrored) =
            (vec![0.3_f32, -1.2, 2.5, 0.1, 0.7, -0.4], [1.1_f32, 0.2, -0.6, 3.0, 0.5, 0.9]);
        let length = |row: &[f32]| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let fused = Flip::NormWeighted.fuse(plain.clone(), &mirrored, 3).unwrap();
        for (i, fused) in fused.iter().enumerate() {
            let weighted = |all: &[f32]| {
                let length = length(&all[i / 3 * 3..i / 3 * 3 + 3]);
                f64::from(all[i]) / length * length
            };
            assert!((f64::from(*fused) - weighted(&plain) - weighted(&mirrored)).abs() < 1e-6);
        }
    }

    #[test]
    fn of_unit_embeddings_only_the_direction_counts() {
        let fused = Flip::Unit.fuse(vec![3.0, 4.0, 1e-30, 0.0], &[0.0, 10.0, 0.0, -1e30], 2).unwrap();
        assert_eq!(fused, [0.6, 1.8, 1.0, -1.0]);
        let error = |plain: [f32; 4], mirrored: [f32; 4]| {
            Flip::Unit.fuse(plain.to_vec(), &mirrored, 2).unwrap_err().to_string()
        };
        assert_eq!(
            error([1.0, 0.0, 0.0, 0.0], [1.0; 4]),
            "the embedding of image 1 (from 0) is zero, so it cannot be brought to length 1 for flip fusion unit; the model is broken or diverged"
        );
        assert!(
            error([1.0; 4], [f32::INFINITY, 1.0, 1.0, 1.0])
                .starts_with("the embedding of mirror image 0 (from 0) is not finite")
        );
        assert!(error([1.0, 1.0, 1.0, f32::NAN], [1.0; 4]).contains("image 1 (from 0) is not finite"));
    }
}
