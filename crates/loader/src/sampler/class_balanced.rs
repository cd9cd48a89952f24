//! Every identity equally often, within reason.

use facegrad_faces::FaceSource;
use facegrad_settings::{at_least, settings};

use super::{Sampler, SamplerError, SamplerKind, by_identity::ByIdentity, quotas::Quotas};

settings! {
    /// Every identity is visited equally often, however many images it has, but none of its images more than a
    /// few times an epoch.
    ///
    /// Class-balanced sampling (Kang et al., "Decoupling representation and classifier for long-tailed
    /// recognition", ICLR 2020) with a cap: an identity with n images is visited at most cap x n times an epoch,
    /// and what is left over goes to the others in equal parts. An epoch is still as many images as the set has.
    pub struct ClassBalancedConfig {
        /// The most visits of an image in an epoch, on average over epochs; at 1 every image is visited once.
        cap: f64 = 4.0, at_least(1.0);
    }
}

impl SamplerKind for ClassBalancedConfig {
    fn build(
        &self,
        source: &dyn FaceSource,
        seed: u64,
        batch: usize,
    ) -> Result<Box<dyn Sampler>, SamplerError> {
        let images = ByIdentity::new(source);
        let visits = source.len() / batch * batch;
        let level = level(images.counts().collect(), self.cap, visits);
        let most = |count: usize| self.cap * count as f64;
        let quotas: Vec<f64> = images.counts().map(|count| most(count).min(level)).collect();
        let able = images.counts().filter(|count| *count > 0);
        let (identities, capped) =
            able.fold((0, 0), |(all, capped), count| (all + 1, capped + usize::from(most(count) < level)));
        let equal = quotas.iter().copied().fold(0.0, f64::max);
        let capped = match capped {
            0 => String::new(),
            n => format!("; {n} of them fewer, as an image is visited {} times an epoch at most", self.cap),
        };
        let about =
            format!("class_balanced, {identities} identities with {equal:.1} visits an epoch{capped}");
        Ok(Box::new(Quotas::new(images, &quotas, seed, batch, about)))
    }
}

/// The visits of an identity that has images enough, so that `visits` are made in all: those with too few have
/// `cap` for each image, `counts` by identity. Infinite if none has enough.
fn level(mut counts: Vec<usize>, cap: f64, visits: usize) -> f64 {
    counts.retain(|count| *count > 0);
    counts.sort_unstable();
    let mut left = visits as f64;
    for (done, count) in counts.iter().enumerate() {
        let share = left / (counts.len() - done) as f64;
        let most = cap * *count as f64;
        if most >= share {
            return share;
        }
        left -= most;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::{super::tests::labels, *};
    use crate::SamplerConfig;

    fn build(set: &[usize], cap: f64, batch: usize) -> Box<dyn Sampler> {
        SamplerConfig::ClassBalanced(ClassBalancedConfig { cap }).build(&labels(set), 7, batch).unwrap()
    }

    /// Visits of each image in `epochs` epochs, by identity.
    fn visits(set: &[usize], cap: f64, batch: usize, epochs: usize) -> Vec<Vec<usize>> {
        let (source, mut sampler) = (labels(set), build(set, cap, batch));
        let mut seen = vec![0; source.len()];
        let steps = epochs * (source.len() / batch);
        (0..steps).flat_map(|step| sampler.batch(step)).for_each(|visit| seen[visit.index] += 1);
        let mut by_identity = vec![Vec::new(); set.len()];
        (0..seen.len()).for_each(|index| by_identity[source.label(index)].push(seen[index]));
        by_identity
    }

    #[test]
    fn identities_are_visited_equally_often_whatever_their_number_of_images() {
        // 120 images of 6 identities: 20 visits each.
        for seen in visits(&[60, 20, 10, 10, 15, 5], 4.0, 12, 9) {
            assert_eq!(seen.iter().sum::<usize>(), 9 * 20, "{seen:?}");
            assert!(seen.iter().max().unwrap() - seen.iter().min().unwrap() <= 1, "{seen:?}");
        }
    }

    #[test]
    fn no_image_is_visited_more_than_the_cap_allows_and_the_others_share_what_is_left() {
        // 120 images; 2 and 3 of them are capped to 5 and 7.5 visits, and 107.5 are left for three identities.
        let set = [60, 2, 3, 30, 25];
        let seen = visits(&set, 2.5, 12, 10);
        let sums: Vec<usize> = seen.iter().map(|seen| seen.iter().sum()).collect();
        for (sum, due) in sums.iter().zip([358.3, 50.0, 75.0, 358.3, 358.3]) {
            assert!((*sum as f64 - due).abs() < 2.0, "{sums:?}");
        }
        assert!(seen[1].iter().chain(&seen[2]).all(|visits| *visits <= 26), "{seen:?}");
        // At 1 nothing is balanced, and nobody is visited twice.
        assert!(visits(&set, 1.0, 12, 1).concat().iter().all(|visits| *visits == 1));
    }

    #[test]
    fn the_level_is_where_the_visits_are_used_up() {
        assert_eq!(level(vec![10, 10, 10], 4.0, 30), 10.0);
        assert_eq!(level(vec![0, 1, 50, 0, 9], 2.0, 60), 40.0);
        assert_eq!(level(vec![1, 5, 54], 1.0, 59), 53.0);
        assert_eq!(level(Vec::new(), 1.0, 0), f64::INFINITY);
    }

    #[test]
    fn what_the_sampler_makes_of_the_set_is_told() {
        let described = |set: &[usize], cap, batch| build(set, cap, batch).describe();
        assert_eq!(
            described(&[60, 20, 10, 10, 15, 5], 4.0, 12),
            "class_balanced, 6 identities with 20.0 visits an epoch"
        );
        assert_eq!(
            described(&[60, 2, 3, 30, 25, 0], 2.5, 12),
            "class_balanced, 5 identities with 35.8 visits an epoch; 2 of them fewer, as an image is visited 2.5 times an epoch at most"
        );
    }
}
