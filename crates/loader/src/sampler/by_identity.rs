//! The images of a set, grouped by identity.

use facegrad_faces::FaceSource;

/// The images of each identity, in the order of the set; 4 bytes an image and 4 an identity.
pub(super) struct ByIdentity {
    /// Where the images of each identity begin, and where those of the last one end.
    starts: Vec<u32>,
    images: Vec<u32>,
}

impl ByIdentity {
    /// Groups the images of `source`, which are no more than a `u32` counts.
    pub(super) fn new(source: &dyn FaceSource) -> Self {
        let (identities, len) = (source.identities().len(), source.len());
        // Counted two places ahead: a start moves to the end of its identity as the images are put in, and is
        // then the start of the next.
        let mut starts = vec![0; identities + 2];
        (0..len).for_each(|index| starts[source.label(index) + 2] += 1);
        (2..starts.len()).for_each(|i| starts[i] += starts[i - 1]);
        let mut images = vec![0; len];
        for index in 0..len {
            let place = &mut starts[source.label(index) + 1];
            images[*place as usize] = index as u32;
            *place += 1;
        }
        starts.truncate(identities + 1);
        Self { starts, images }
    }

    /// Number of identities, those without images included.
    pub(super) fn identities(&self) -> usize {
        self.starts.len() - 1
    }

    /// The images of `identity`.
    pub(super) fn of(&self, identity: usize) -> &[u32] {
        &self.images[self.starts[identity] as usize..self.starts[identity + 1] as usize]
    }

    /// Images of each identity, by label.
    pub(super) fn counts(&self) -> impl Iterator<Item = usize> {
        self.starts.windows(2).map(|ends| (ends[1] - ends[0]) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::labels, *};

    #[test]
    fn every_image_is_with_its_identity_in_the_order_of_the_set() {
        let source = labels(&[3, 0, 1, 5, 0]);
        let grouped = ByIdentity::new(&source);
        assert_eq!(grouped.identities(), 5);
        assert_eq!(grouped.counts().collect::<Vec<_>>(), [3, 0, 1, 5, 0]);
        for identity in 0..5 {
            let of_label = (0..source.len()).filter(|&index| source.label(index) == identity);
            assert_eq!(grouped.of(identity), of_label.map(|index| index as u32).collect::<Vec<_>>());
        }
    }
}
