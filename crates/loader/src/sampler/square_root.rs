//! Identities in proportion to the square root of what they have.

use facegrad_faces::FaceSource;
use facegrad_settings::settings;

use super::{Sampler, SamplerError, SamplerKind, by_identity::ByIdentity, quotas::Quotas};

settings! {
    /// An identity is visited in proportion to the square root of its number of images: between random order,
    /// where those with many images prevail, and class_balanced, where the images of those with few do.
    ///
    /// Square-root sampling (Kang et al., "Decoupling representation and classifier for long-tailed
    /// recognition", ICLR 2020, after Mahajan et al., "Exploring the limits of weakly supervised pretraining",
    /// ECCV 2018). An epoch is still as many images as the set has.
    pub struct SquareRootConfig {}
}

impl SamplerKind for SquareRootConfig {
    fn build(
        &self,
        source: &dyn FaceSource,
        seed: u64,
        batch: usize,
    ) -> Result<Box<dyn Sampler>, SamplerError> {
        let images = ByIdentity::new(source);
        let roots: Vec<f64> = images.counts().map(|count| (count as f64).sqrt()).collect();
        let visits = (source.len() / batch * batch) as f64;
        let scale = visits / roots.iter().sum::<f64>();
        let able = || roots.iter().filter(|root| **root > 0.0);
        let (least, most) = able().fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), root| {
            (least.min(*root), most.max(*root))
        });
        let about = format!(
            "square_root, {} identities with {:.1} to {:.1} visits an epoch",
            able().count(),
            least * scale,
            most * scale
        );
        Ok(Box::new(Quotas::new(images, &roots, seed, batch, about)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::labels, *};

    #[test]
    fn visits_follow_the_square_root_of_the_images() {
        // Roots 10, 5, 2 and 1 of 130 images: 6 steps of 20, and so 120/18 visits for each unit.
        let set = [100, 25, 4, 1];
        let (source, config) = (labels(&set), SquareRootConfig::default());
        let mut sampler = config.build(&source, 3, 20).unwrap();
        assert_eq!(sampler.describe(), "square_root, 4 identities with 6.7 to 66.7 visits an epoch");
        let mut seen = [0; 4];
        for step in 0..6 * 9 {
            sampler.batch(step).iter().for_each(|visit| seen[source.label(visit.index)] += 1);
        }
        for (seen, due) in seen.into_iter().zip([600.0f64, 300.0, 120.0, 60.0]) {
            assert!((f64::from(seen) - due).abs() < 2.0, "{seen} for {due}");
        }
    }

    #[test]
    fn identities_of_one_image_take_turns_where_an_epoch_has_not_room_for_all() {
        let source = labels(&[1; 15]);
        let mut sampler = SquareRootConfig::default().build(&source, 3, 12).unwrap();
        let mut seen = [0u32; 15];
        for step in 0..100 {
            sampler.batch(step).iter().for_each(|visit| seen[visit.index] += 1);
        }
        assert!(seen.iter().all(|seen| seen.abs_diff(80) < 2), "{seen:?}");
    }
}
