//! Batches of P identities with K images each.

use facegrad_faces::FaceSource;
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{SettingsError, at_least, settings};

use super::{Sampler, SamplerError, SamplerKind, Visit, by_identity::ByIdentity, passes::Passes};

/// An identity with fewer images forms no pair.
const MIN_IMAGES: usize = 2;
/// With fewer identities in a batch there are no pairs of different ones.
const MIN_IDENTITIES: usize = 2;

settings! {
    /// As many images of each identity in a batch, and as many identities as make it full.
    ///
    /// Each identity with at least two images comes once in every pass over them, in an order that differs from
    /// pass to pass; its images come in turn, so that all are used equally often. Identities with a single
    /// image take no part. An epoch is still as many images as the set has.
    pub struct PkConfig {
        /// K: images of an identity in a batch; run.batch / images is P, the number of identities in it. An
        /// identity with fewer repeats them, each time with another augmentation.
        images: usize = 4, at_least(2);
    }
}

impl SamplerKind for PkConfig {
    fn makes_pairs(&self) -> bool {
        true
    }

    fn validate(&self, batch: usize) -> Result<(), SettingsError> {
        let images = self.images;
        let least = images.saturating_mul(MIN_IDENTITIES);
        if batch >= least && batch.is_multiple_of(images) {
            return Ok(());
        }
        let below = batch / images * images;
        let mut fitting = vec![below, below.saturating_add(images)];
        fitting.iter_mut().for_each(|batch| *batch = least.max(*batch));
        fitting.dedup();
        let fitting: Vec<_> = fitting.iter().map(usize::to_string).collect();
        let problem = format!(
            "is {batch}; with sampler.images = {images} it must be a multiple of {images}, at least {least}, such as {}",
            fitting.join(" or ")
        );
        Err(SettingsError::conflict("run.batch", problem))
    }

    fn build(
        &self,
        source: &dyn FaceSource,
        seed: u64,
        batch: usize,
    ) -> Result<Box<dyn Sampler>, SamplerError> {
        let images = ByIdentity::new(source);
        let able = images.counts().enumerate().filter(|(_, count)| *count >= MIN_IMAGES);
        let turns = |(label, count)| Identity { label, passes: Passes::new(count, self.images) };
        let identities: Vec<_> = able.map(turns).collect();
        let wanted = batch / self.images;
        if identities.len() < wanted {
            let (able, images) = (identities.len(), self.images);
            let advice = advice(able, batch, images);
            return Err(SamplerError::TooFewIdentities { able, wanted, batch, images, advice });
        }
        let passes = Passes::new(identities.len(), wanted);
        Ok(Box::new(Pk { seed, images, in_batch: wanted, in_identity: self.images, identities, passes }))
    }
}

/// What would work with `able` identities, which are too few for `batch` / `images`.
fn advice(able: usize, batch: usize, images: usize) -> String {
    if able < MIN_IDENTITIES {
        return "it needs data with more images an identity, or sampler.kind = \"random\" with a loss that compares no pairs, such as head.kind = \"arcface\"".into();
    }
    // The set can fill the larger batch that was asked for, so it can fill this one.
    let smaller = able * images;
    let fits = |k: &usize| batch.is_multiple_of(*k) && batch / k <= able;
    match (images..=batch / MIN_IDENTITIES).find(fits) {
        Some(more) => format!("run.batch = {smaller} or sampler.images = {more} would work"),
        None => format!("run.batch = {smaller} would work"),
    }
}

/// An identity that takes part.
struct Identity {
    label: usize,
    /// Over its images; window `n` is for pass `n` over the identities.
    passes: Passes,
}

/// Pass `n` over the identities is shuffled by `Stream(seed, Order, 0, n)`, pass `n` over the images of identity
/// `i` by `Stream(seed, Order, 1, i << 32 | n)`.
///
/// It takes 8 bytes for each image of the set, and about 90 for each identity.
struct Pk {
    seed: u64,
    images: ByIdentity,
    /// P.
    in_batch: usize,
    /// K.
    in_identity: usize,
    identities: Vec<Identity>,
    /// Over the identities; window `n` is for step `n`.
    passes: Passes,
}

impl Sampler for Pk {
    /// The images of an identity stand together.
    fn batch(&mut self, step: usize) -> Vec<Visit> {
        let seed = self.seed;
        let order = |pass| Stream::new(seed, Purpose::Order, 0, pass);
        let mut batch = Vec::with_capacity(self.in_batch * self.in_identity);
        for (identity, pass) in self.passes.window(step as u64, order) {
            let Identity { label, passes } = &mut self.identities[identity];
            let images = self.images.of(*label);
            let order = |pass| Stream::new(seed, Purpose::Order, 1, (*label as u64) << 32 | pass);
            let turn = passes.window(pass, order).into_iter();
            batch.extend(turn.map(|(image, number)| Visit { index: images[image] as usize, number }));
        }
        batch
    }

    fn describe(&self) -> String {
        let all = self.images.identities();
        let left_out = match all - self.identities.len() {
            0 => String::new(),
            n => format!("; {n} of {all} identities have fewer than {MIN_IMAGES} images and take no part"),
        };
        let few = self.images.counts().filter(|count| (MIN_IMAGES..self.in_identity).contains(count));
        let (few, least) = few.fold((0, usize::MAX), |(few, least), count| (few + 1, least.min(count)));
        let repeated = match few {
            0 => String::new(),
            n => format!(
                "; {n} of {all} have fewer than {}, so that one image of theirs is up to {} times in a batch",
                self.in_identity,
                self.in_identity.div_ceil(least)
            ),
        };
        format!("pk, {} identities x {} images a batch{left_out}{repeated}", self.in_batch, self.in_identity)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::tests::labels, *};
    use crate::SamplerConfig;

    /// Images of each identity; the fourth and the last form no pair.
    const SET: [usize; 11] = [7, 2, 9, 1, 4, 30, 3, 8, 5, 6, 1];
    const ABLE: usize = 9;

    fn build(set: &[usize], batch: usize, images: usize) -> Result<Box<dyn Sampler>, SamplerError> {
        SamplerConfig::Pk(PkConfig { images }).build(&labels(set), 7, batch)
    }

    /// Every P from 2 to all identities, and K below, at and above what identities have.
    fn shapes() -> impl Iterator<Item = (usize, usize)> {
        (2..=ABLE).flat_map(|p| [2, 3, 4, 7].map(|k| (p, k)))
    }

    #[test]
    fn a_batch_has_p_identities_with_k_images_each() {
        let source = labels(&SET);
        for (p, k) in shapes() {
            let mut sampler = build(&SET, p * k, k).unwrap();
            for step in 0..150 {
                let batch = sampler.batch(step);
                assert_eq!(batch.len(), p * k);
                let mut met = Vec::new();
                for images in batch.chunks(k) {
                    let label = source.label(images[0].index);
                    assert!(images.iter().all(|visit| source.label(visit.index) == label));
                    assert!(SET[label] >= 2 && !met.contains(&label), "{p} x {k}, step {step}: {batch:?}");
                    met.push(label);
                    // No image twice where there are enough, and as few times as can be where there are not.
                    let mut counts = BTreeMap::new();
                    images.iter().for_each(|visit| *counts.entry(visit.index).or_insert(0) += 1);
                    assert_eq!(counts.len(), k.min(SET[label]));
                    assert!(counts.values().all(|n| *n <= k.div_ceil(SET[label])));
                }
            }
        }
    }

    #[test]
    fn identities_and_their_images_are_used_equally_often() {
        let source = labels(&SET);
        for (p, k) in shapes() {
            let mut sampler = build(&SET, p * k, k).unwrap();
            let mut images = vec![0; source.len()];
            let mut identities = [0; SET.len()];
            for step in 0..200 {
                for visit in sampler.batch(step) {
                    images[visit.index] += 1;
                    identities[source.label(visit.index)] += 1;
                }
                // At any time: within one turn of an identity, and within one visit of an image.
                for (label, size) in SET.iter().enumerate() {
                    let of_label: Vec<_> =
                        (0..images.len()).filter(|&i| source.label(i) == label).map(|i| images[i]).collect();
                    let (least, most) = (of_label.iter().min().unwrap(), of_label.iter().max().unwrap());
                    assert!(most - least <= 1, "{p} x {k}, step {step}: {of_label:?}");
                    let turns = (step + 1) * p / ABLE * k;
                    let expected = if *size < 2 { 0..=0 } else { turns..=turns + k };
                    assert!(expected.contains(&identities[label]), "{p} x {k}, step {step}: {identities:?}");
                }
            }
        }
    }

    #[test]
    fn orders_differ_from_pass_to_pass_and_from_seed_to_seed() {
        let sampler =
            |seed| SamplerConfig::Pk(PkConfig { images: 4 }).build(&labels(&[8; 6]), seed, 24).unwrap();
        let mut first = sampler(1);
        // Every batch has all identities; with every second one all images are used once more.
        let batches: Vec<_> = (0..20).map(|step| first.batch(step)).collect();
        for (step, batch) in batches.iter().enumerate() {
            assert!(batch.iter().all(|visit| visit.number == step as u64 / 2));
            let order = |batch: &[Visit]| batch.iter().map(|visit| visit.index).collect::<Vec<_>>();
            assert!(batches[..step].iter().all(|other| order(other) != order(batch)));
        }
        assert_ne!(sampler(2).batch(0), batches[0]);
    }

    #[test]
    fn what_the_sampler_makes_of_the_set_is_told() {
        assert_eq!(
            build(&SET, 12, 4).unwrap().describe(),
            "pk, 3 identities x 4 images a batch; 2 of 11 identities have fewer than 2 images and take no part; 2 of 11 have fewer than 4, so that one image of theirs is up to 2 times in a batch"
        );
        assert_eq!(
            build(&[3; 5], 14, 7).unwrap().describe(),
            "pk, 2 identities x 7 images a batch; 5 of 5 have fewer than 7, so that one image of theirs is up to 3 times in a batch"
        );
        assert_eq!(build(&[5; 6], 12, 2).unwrap().describe(), "pk, 6 identities x 2 images a batch");
    }

    #[test]
    fn a_batch_that_does_not_divide_is_one_sentence() {
        let error = |batch, images| PkConfig { images }.validate(batch).unwrap_err().to_string();
        assert_eq!(
            error(30, 4),
            "run.batch is 30; with sampler.images = 4 it must be a multiple of 4, at least 8, such as 28 or 32"
        );
        // A single identity, or less than one.
        for batch in [4, 3, 5] {
            let end = "; with sampler.images = 4 it must be a multiple of 4, at least 8, such as 8";
            assert_eq!(error(batch, 4), format!("run.batch is {batch}{end}"));
        }
        assert!(error(9, 4).ends_with("such as 8 or 12"));
        assert!(error(64, usize::MAX).starts_with("run.batch is 64; "));
        assert!(
            [(8, 4), (12, 4), (4, 2)]
                .iter()
                .all(|&(batch, images)| PkConfig { images }.validate(batch).is_ok())
        );
    }

    #[test]
    fn too_few_identities_are_one_sentence_with_a_way_out_that_works() {
        let error = |set: &[usize], batch, images| build(set, batch, images).err().unwrap().to_string();
        let start = "the data set has 9 of the 16 identities with at least 2 images that a batch takes with run.batch = 64 and sampler.images = 4; ";
        assert_eq!(error(&SET, 64, 4), format!("{start}run.batch = 36 or sampler.images = 8 would work"));
        assert!(build(&SET, 36, 4).is_ok() && build(&SET, 64, 8).is_ok());
        // 13 identities cannot be divided among fewer.
        assert!(error(&SET, 26, 2).ends_with("; run.batch = 18 or sampler.images = 13 would work"));
        assert!(build(&SET, 18, 2).is_ok() && build(&SET, 26, 13).is_ok());
        for set in [&[1; 40][..], &[1, 1, 30, 1]] {
            assert!(
                error(set, 8, 4)
                    .ends_with("; it needs data with more images an identity, or sampler.kind = \"random\" with a loss that compares no pairs, such as head.kind = \"arcface\"")
            );
        }
    }
}
