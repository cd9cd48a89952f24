//! What every data set is to the loader.

use facegrad_pictures::{Picture, decode::decode_at_least};

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

    /// What the set itself calls image `index`, wherever the set lies: a path relative to its folder with `/`
    /// between the parts, or the number of a record. Lists about a set, such as what to exclude, hold these.
    fn key(&self, index: usize) -> String;

    /// Image `index` as the set has it.
    ///
    /// # Errors
    /// If it cannot be read, or is larger than an image file may be.
    fn stored(&self, index: usize) -> Result<StoredImage, FaceError>;

    /// Decodes image `index`, at least as large as `size` (height, width) where the original is;
    /// the caller resizes.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        match self.stored(index)? {
            StoredImage::Encoded(bytes) => decode_at_least(&bytes, size)
                .map_err(|error| FaceError { name: self.name(index), reason: error.to_string() }),
            StoredImage::Pixels(picture) => Ok(picture),
        }
    }

    /// What makes single images of the set costly to read, and what mends it, in a sentence; mostly nothing.
    fn advice(&self) -> Option<String> {
        None
    }

    /// SHA-256 (hex) over what the set is: names, labels and sizes of its files, or its recipe.
    fn fingerprint(&self) -> String;
}

/// An image as a data set has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredImage {
    /// The content of an image file, not yet looked at.
    Encoded(Vec<u8>),
    /// Pixels, of sets that are drawn or have no files.
    Pixels(Picture),
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
