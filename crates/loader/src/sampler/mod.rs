//! Samplers: which images make the batch of a step.
//!
//! A batch depends on the seed, the step and the labels of the set only, so that a run goes on at any step
//! without saved state and the number of loader threads changes nothing. An epoch is as many images as the set
//! has, in whole batches, whatever the sampler.

use facegrad_settings::{KeyPath, SettingsError, kinds};

use facegrad_faces::FaceSource;

mod by_identity;
mod class_balanced;
mod passes;
mod pk;
mod quotas;
mod random;
mod square_root;

pub use class_balanced::ClassBalancedConfig;
pub use pk::PkConfig;
pub use random::RandomConfig;
pub use square_root::SquareRootConfig;

/// An image in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Visit {
    /// The index of the image in the source.
    pub index: usize,
    /// Tells the visits of an image apart, so that each has an augmentation of its own.
    pub number: u64,
}

/// The order in which a run sees its images.
pub trait Sampler: Send {
    /// The images of step `step`, `[batch]`. The sampler may keep what it computed, but no answer depends on
    /// which steps were asked for before; the next step is the one that must be quick.
    fn batch(&mut self, step: usize) -> Vec<Visit>;

    /// The kind, and what it makes of the set, in a few words.
    fn describe(&self) -> String;
}

/// What every sampler's config provides.
pub trait SamplerKind {
    /// Whether every batch holds several images of several identities, which losses on pairs need.
    fn makes_pairs(&self) -> bool {
        false
    }

    /// What is wrong with its keys for batches of `batch` images, whatever the set.
    fn validate(&self, _batch: usize) -> Result<(), SettingsError> {
        Ok(())
    }

    /// The sampler for batches of `batch` images, which are valid and no more than `source` has.
    fn build(
        &self,
        source: &dyn FaceSource,
        seed: u64,
        batch: usize,
    ) -> Result<Box<dyn Sampler>, SamplerError>;
}

/// A set from which a sampler cannot make batches.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum SamplerError {
    /// The keys, whatever the set.
    #[error(transparent)]
    Keys(#[from] SettingsError),
    /// The source cannot fill one batch.
    #[error(
        "the data set has {images} images, too few for one batch of {batch}; choose a smaller batch size"
    )]
    TooFewImages { images: usize, batch: usize },
    /// More images than an order can name.
    #[error("the data set has {images} images, more than the {} that a sampler can put in order", u32::MAX)]
    TooManyImages { images: usize },
    /// There are not as many identities to form pairs with as a batch takes.
    #[error(
        "the data set has {able} of the {wanted} identities with at least 2 images that a batch takes with run.batch = {batch} and sampler.images = {images}; {advice}"
    )]
    TooFewIdentities {
        able: usize,
        wanted: usize,
        batch: usize,
        /// The key `sampler.images`.
        images: usize,
        advice: String,
    },
}

kinds! {
    /// Which images make a batch: `[sampler]`.
    pub enum SamplerConfig: dyn SamplerKind {
        /// Each epoch in an order of its own, every image once.
        Random(RandomConfig) = "random",
        /// Batches of P identities with K images each, for losses on pairs.
        Pk(PkConfig) = "pk",
        /// Every identity equally often, with a cap on the visits of an image.
        ClassBalanced(ClassBalancedConfig) = "class_balanced",
        /// Every identity in proportion to the square root of its number of images.
        SquareRoot(SquareRootConfig) = "square_root",
    }
}

impl SamplerConfig {
    /// What is wrong with the keys for batches of `batch` images, whatever the set.
    pub fn validate(&self, batch: usize) -> Result<(), SettingsError> {
        if batch == 0 {
            let (found, range) = ("0".into(), "1 or more".into());
            return Err(SettingsError::OutOfRange { key: KeyPath::from("run.batch"), found, range });
        }
        (**self).validate(batch)
    }

    /// The sampler of a run over `source` with `batch` images a step.
    pub fn build(
        &self,
        source: &dyn FaceSource,
        seed: u64,
        batch: usize,
    ) -> Result<Box<dyn Sampler>, SamplerError> {
        self.validate(batch)?;
        if batch > source.len() {
            return Err(SamplerError::TooFewImages { images: source.len(), batch });
        }
        if u32::try_from(source.len()).is_err() {
            return Err(SamplerError::TooManyImages { images: source.len() });
        }
        (**self).build(source, seed, batch)
    }
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self::Random(RandomConfig::default())
    }
}

#[cfg(test)]
mod tests {
    use facegrad_settings::toml;

    use super::*;
    use facegrad_faces::{FaceError, StoredImage};

    /// A set of labels without pictures.
    pub(super) struct Labels {
        identities: Vec<String>,
        labels: Vec<usize>,
        /// What the set says it has.
        len: usize,
    }

    /// `images[i]` images of identity `i`, the identities taking turns.
    pub(super) fn labels(images: &[usize]) -> Labels {
        let most = images.iter().copied().max().unwrap_or(0);
        let turn = |n| (0..images.len()).filter(move |&label| n < images[label]);
        let identities = (0..images.len()).map(|label| format!("person {label}")).collect();
        let labels: Vec<_> = (0..most).flat_map(turn).collect();
        Labels { identities, len: labels.len(), labels }
    }

    impl FaceSource for Labels {
        fn len(&self) -> usize {
            self.len
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
            Err(FaceError { name: self.name(index), reason: "there are no pictures".into() })
        }

        fn fingerprint(&self) -> String {
            String::new()
        }
    }

    /// Every kind, for batches of 12 from a set that suits it.
    fn samplers() -> Vec<Box<dyn Sampler>> {
        let set = labels(&[7, 2, 9, 1, 5, 30, 3, 8]);
        let of_kind = |kind: &&str| SamplerConfig::of_kind(kind).unwrap().build(&set, 5, 12).unwrap();
        SamplerConfig::KINDS.iter().map(of_kind).collect()
    }

    #[test]
    fn a_batch_depends_on_the_step_alone() {
        for (mut in_order, mut jumping) in samplers().into_iter().zip(samplers()) {
            let batches: Vec<_> = (0..60).map(|step| in_order.batch(step)).collect();
            for step in [59, 3, 4, 40, 17, 0, 1, 30] {
                assert_eq!(jumping.batch(step), batches[step], "{}, step {step}", jumping.describe());
            }
        }
    }

    #[test]
    fn no_two_visits_of_a_run_are_the_same() {
        for mut sampler in samplers() {
            let mut visits: Vec<_> = (0..200).flat_map(|step| sampler.batch(step)).collect();
            visits.sort_unstable();
            visits.dedup();
            assert_eq!(visits.len(), 200 * 12, "{}", sampler.describe());
        }
    }

    #[test]
    fn a_config_without_a_sampler_is_random() {
        assert_eq!(SamplerConfig::default().kind(), "random");
        assert_eq!(SamplerConfig::default(), SamplerConfig::of_kind("random").unwrap());
        let written = toml::Value::try_from(SamplerConfig::Pk(PkConfig { images: 8 })).unwrap();
        assert_eq!(written.to_string(), "{ kind = \"pk\", images = 8 }");
        let makes_pairs = |kind| SamplerConfig::of_kind(kind).unwrap().makes_pairs();
        assert!(makes_pairs("pk") && !makes_pairs("random"));
    }

    #[test]
    fn a_batch_that_the_set_cannot_fill_is_one_sentence() {
        for kind in SamplerConfig::KINDS {
            let sampler = SamplerConfig::of_kind(kind).unwrap();
            let error = |batch| sampler.build(&labels(&[5, 5]), 1, batch).err().unwrap().to_string();
            assert_eq!(
                error(16),
                "the data set has 10 images, too few for one batch of 16; choose a smaller batch size"
            );
            assert_eq!(error(0), "run.batch is 0; it must be 1 or more");
        }
    }

    #[test]
    fn a_set_beyond_all_orders_is_one_sentence_and_takes_no_memory() {
        let set = Labels { len: 5_000_000_000, ..labels(&[5, 5]) };
        for kind in SamplerConfig::KINDS {
            let error = SamplerConfig::of_kind(kind).unwrap().build(&set, 1, 8).err().unwrap().to_string();
            assert_eq!(
                error,
                "the data set has 5000000000 images, more than the 4294967295 that a sampler can put in order"
            );
        }
    }
}
