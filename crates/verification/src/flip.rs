//! How the embedding of an image and that of its mirror image become one.

use facegrad_settings::choice;

choice! {
    /// Flip fusion: how the embedding of an image and that of its mirror image become one.
    ///
    /// The choices give different scores, so the choice is part of every result.
    pub enum Flip {
        /// The image alone; half the work.
        None = "none",
        /// The sum of both embeddings as they leave the network (insightface, CVLFace).
        Add = "add",
        /// Both embeddings one after the other, twice as long (SphereFace).
        Concat = "concat",
    }
}

/// Embeddings of images and of mirror images that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{plain} numbers for the images and {mirrored} for their mirror images are not the same number of embeddings of {dim} numbers"
)]
pub struct FlipError {
    plain: usize,
    mirrored: usize,
    dim: usize,
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
    /// If the slices are not of these shapes.
    pub fn fuse(self, plain: Vec<f32>, mirrored: &[f32], dim: usize) -> Result<Vec<f32>, FlipError> {
        if self == Self::None {
            return Ok(plain);
        }
        if dim == 0 || plain.len() != mirrored.len() || !plain.len().is_multiple_of(dim) {
            return Err(FlipError { plain: plain.len(), mirrored: mirrored.len(), dim });
        }
        Ok(match self {
            Self::None => plain,
            Self::Add => plain.iter().zip(mirrored).map(|(a, b)| a + b).collect(),
            Self::Concat => {
                plain.chunks(dim).zip(mirrored.chunks(dim)).flat_map(|(a, b)| [a, b].concat()).collect()
            }
        })
    }
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
        assert_eq!(Flip::Concat.fused_dim(2), 4);
        assert!(!Flip::None.needs_mirror() && Flip::Add.needs_mirror());
        assert_eq!(
            Flip::Add.fuse(plain.clone(), &mirrored[..2], 2).unwrap_err().to_string(),
            "4 numbers for the images and 2 for their mirror images are not the same number of embeddings of 2 numbers"
        );
        assert!(Flip::Concat.fuse(plain.clone(), &mirrored, 3).is_err());
        assert!(Flip::Concat.fuse(plain.clone(), &mirrored, 0).is_err());
    }
}
