//! What every data set is to the loader.

use crate::Picture;

/// A set of face images labelled by identity.
///
/// Labels run from 0 to `identities().len() - 1` without gaps.
pub trait FaceSource: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are no images at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of each identity, indexed by label.
    fn identities(&self) -> &[String];

    /// The label of image `index`.
    fn label(&self, index: usize) -> usize;

    /// What a person would call image `index`: its path, or how it is made.
    fn name(&self, index: usize) -> String;

    /// Decodes image `index`, at least as large as `size` (height, width) where the original is;
    /// the caller resizes.
    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError>;

    /// SHA-256 (hex) over what the set is: names, labels and sizes of its files, or its recipe.
    fn fingerprint(&self) -> String;
}

/// An image that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct FaceError {
    /// The image, as [`FaceSource::name`] gives it.
    pub name: String,
    /// One clause, such as `the JPEG data is truncated`.
    pub reason: String,
}
