//! The preflight: what a run is about to do, what it will take, and why it might not work, before it begins.
//!
//! Everything here looks on: neither the weights nor the random numbers of a run depend on it.

mod look;
mod memory;
mod overlap;
mod time;

use std::fmt;

use facegrad_faces::FaceSource;
use serde::{Deserialize, Serialize};

pub(crate) use look::look;
pub use memory::MemoryEstimate;
pub(crate) use memory::Workload;
pub(crate) use overlap::{common_images, overlap};
pub use time::TimeEstimate;
pub(crate) use time::{Evaluations, estimate as estimate_time};

/// What a run is about to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preflight {
    /// What computes.
    pub backend: String,
    /// The training data and what was left out of it, in a line.
    pub data: String,
    /// Number of images.
    pub images: usize,
    /// Number of identities, and so of classes.
    pub identities: usize,
    /// How many images they have.
    pub images_per_identity: ImagesPerIdentity,
    /// The sampler and what it makes of the data, in a few words.
    pub sampler: String,
    /// The network, in a line.
    pub model: String,
    /// Steps of the whole run.
    pub total: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// The loss that random features would give, where there is a formula for it.
    pub expected_first_loss: Option<f64>,
    /// The most memory that the run will take at a time, on backends that compute on the CPU.
    pub memory: Option<MemoryEstimate>,
    /// How long the run will take, where that was measured; see [`Trainer::timed`](crate::Trainer::timed).
    pub time: Option<TimeEstimate>,
    /// What need not be wrong and may be, a sentence each.
    pub notes: Vec<String>,
}

/// How many images the identities of a set have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesPerIdentity {
    /// The fewest of an identity.
    pub least: usize,
    /// Half of the identities have as many or fewer, half as many or more.
    pub median: usize,
    /// The most of an identity.
    pub most: usize,
}

impl ImagesPerIdentity {
    /// Counts the images of `source`.
    pub(crate) fn of(source: &dyn FaceSource) -> Self {
        let mut counts = vec![0; source.identities().len()];
        (0..source.len()).for_each(|index| counts[source.label(index)] += 1);
        counts.sort_unstable();
        let at = |place: usize| counts.get(place).copied().unwrap_or(0);
        Self { least: at(0), median: at(counts.len() / 2), most: at(counts.len().saturating_sub(1)) }
    }
}

impl fmt::Display for ImagesPerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, median, most } = self;
        match least == most {
            true => write!(f, "{least} images each"),
            false => write!(f, "{least} to {most} images each, median {median}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use facegrad_faces::{FaceError, StoredImage};
    use facegrad_pictures::Picture;

    use super::*;

    /// A set whose images are made by a function of their index.
    pub(crate) struct TestSource<F> {
        pub(crate) identities: Vec<String>,
        pub(crate) labels: Vec<usize>,
        pub(crate) image: F,
    }

    impl<F: Fn(usize) -> Result<StoredImage, &'static str> + Send + Sync> FaceSource for TestSource<F> {
        fn len(&self) -> usize {
            self.labels.len()
        }

        fn identities(&self) -> &[String] {
            &self.identities
        }

        fn label(&self, index: usize) -> usize {
            self.labels[index]
        }

        fn name(&self, index: usize) -> String {
            format!("image {index}")
        }

        fn key(&self, index: usize) -> String {
            self.name(index)
        }

        fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
            let error = |reason: &str| FaceError { name: self.name(index), reason: reason.into() };
            (self.image)(index).map_err(error)
        }

        fn fingerprint(&self) -> String {
            String::new()
        }
    }

    /// A set with `images[i]` images of identity `i`.
    pub(crate) fn made<F>(images: &[usize], image: F) -> TestSource<F> {
        let identities = (0..images.len()).map(|label| format!("person {label}")).collect();
        let of = |(label, count): (usize, &usize)| std::iter::repeat_n(label, *count);
        TestSource { identities, labels: images.iter().enumerate().flat_map(of).collect(), image }
    }

    #[test]
    fn the_images_of_identities_are_counted() {
        let pixel = |_| Ok(StoredImage::Pixels(Picture::new(1, 1, vec![0; 3])));
        let counted = |images: &[usize]| ImagesPerIdentity::of(&made(images, pixel)).to_string();
        assert_eq!(counted(&[5, 1, 30, 2, 9]), "1 to 30 images each, median 5");
        assert_eq!(counted(&[4, 4]), "4 images each");
    }
}
