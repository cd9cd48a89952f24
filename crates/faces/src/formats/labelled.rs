//! What the sets of all kinds have alike: labels that are known when they are opened.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{OpenSet, Summary, labels::Labels};
use crate::{FaceError, FaceSource, StoredImage};

/// Images of one kind of set, by their numbers.
pub(super) trait Images: Send + Sync + 'static {
    /// As [`FaceSource::name`].
    fn name(&self, index: usize) -> String;

    /// As [`FaceSource::key`].
    fn key(&self, index: usize) -> String;

    /// As [`FaceSource::stored`], or why not, as a clause.
    fn stored(&self, index: usize) -> Result<StoredImage, String>;

    /// As [`FaceSource::advice`].
    fn advice(&self) -> Option<String> {
        None
    }
}

/// Images with their labels.
#[derive(Debug)]
pub(super) struct LabelledImages<I> {
    pub images: I,
    pub labels: Labels,
    /// What was left out; the images and identities are counted by [`LabelledImages::open`].
    pub summary: Summary,
    pub fingerprint: String,
}

impl<I: Images> LabelledImages<I> {
    /// As a set that is ready to be read.
    pub fn open(mut self) -> OpenSet {
        let mut summary = std::mem::take(&mut self.summary);
        (summary.images, summary.identities) = (self.len(), self.labels.identities.len());
        OpenSet { source: Arc::new(self), summary }
    }
}

impl<I: Images> FaceSource for LabelledImages<I> {
    fn len(&self) -> usize {
        self.labels.labels.len()
    }

    fn identities(&self) -> &[String] {
        &self.labels.identities
    }

    fn label(&self, index: usize) -> usize {
        self.labels.labels[index] as usize
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn key(&self, index: usize) -> String {
        self.images.key(index)
    }

    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        self.images.stored(index).map_err(|reason| FaceError { name: self.name(index), reason })
    }

    fn advice(&self) -> Option<String> {
        self.images.advice()
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

/// Adds a text to a hash, such that it cannot run into the next one.
pub(super) fn add_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}
