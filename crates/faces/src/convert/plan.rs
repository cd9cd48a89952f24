//! Which images are written, in which order, and whose they are.

use crate::{FaceError, FaceSource};

/// The images of a source that can be read, identity by identity, with labels without gaps.
pub(super) struct Plan<'a> {
    source: &'a dyn FaceSource,
    /// Images of the source, in the order of the target.
    order: Vec<u32>,
    /// For each identity, the first image of it in the target; then the number of images.
    starts: Vec<usize>,
    identities: Vec<String>,
}

impl<'a> Plan<'a> {
    /// All images of a source but the `skipped` ones, which are in order. Identities of which nothing is left have
    /// no label.
    pub fn new(source: &'a dyn FaceSource, skipped: &[(usize, FaceError)]) -> Self {
        let images = || {
            (0..source.len())
                .filter(|image| skipped.binary_search_by_key(image, |(index, _)| *index).is_err())
        };
        let mut counts = vec![0usize; source.identities().len()];
        images().for_each(|image| counts[source.label(image)] += 1);
        // Where the next image of each identity goes.
        let mut next = Vec::with_capacity(counts.len());
        let (mut starts, mut identities, mut total) = (Vec::new(), Vec::new(), 0);
        for (count, name) in counts.into_iter().zip(source.identities()) {
            next.push(total);
            if count > 0 {
                starts.push(total);
                identities.push(name.clone());
            }
            total += count;
        }
        starts.push(total);
        let mut order = vec![0; total];
        for image in images() {
            let place = &mut next[source.label(image)];
            order[*place] = image as u32;
            *place += 1;
        }
        Self { source, order, starts, identities }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The name of each identity, by label.
    pub fn identities(&self) -> &[String] {
        &self.identities
    }

    /// The image of the source that is number `number` of the target.
    pub fn image(&self, number: usize) -> usize {
        self.order[number] as usize
    }

    /// The label of image `number` of the target.
    pub fn label(&self, number: usize) -> u32 {
        (self.starts.partition_point(|start| *start <= number) - 1) as u32
    }

    /// The images of identity `label` in the target.
    pub fn images(&self, label: u32) -> std::ops::Range<usize> {
        self.starts[label as usize]..self.starts[label as usize + 1]
    }

    /// What the source calls image `number` of the target.
    pub fn key(&self, number: usize) -> String {
        self.source.key(self.image(number))
    }
}
