//! Epochs in random order.

use facegrad_faces::FaceSource;
use facegrad_random::{Purpose, Stream};
use facegrad_settings::settings;

use super::{Sampler, SamplerError, SamplerKind, Visit};

settings! {
    /// Every image once an epoch; those that are left when no whole batch remains are dropped.
    pub struct RandomConfig {}
}

impl SamplerKind for RandomConfig {
    fn build(
        &self,
        source: &dyn FaceSource,
        seed: u64,
        batch: usize,
    ) -> Result<Box<dyn Sampler>, SamplerError> {
        let steps_per_epoch = source.len() / batch;
        Ok(Box::new(Random {
            seed,
            batch,
            images: source.len(),
            steps_per_epoch,
            epoch: None,
            order: Vec::new(),
        }))
    }
}

/// Epoch `e` visits the images in the order that `Stream(seed, Order, e, 0)` shuffles them into.
///
/// It takes 4 bytes for each image.
struct Random {
    seed: u64,
    batch: usize,
    images: usize,
    steps_per_epoch: usize,
    /// The epoch whose order was computed last.
    epoch: Option<usize>,
    /// That order, whose memory the next one takes over.
    order: Vec<u32>,
}

impl Sampler for Random {
    fn batch(&mut self, step: usize) -> Vec<Visit> {
        let (epoch, position) = (step / self.steps_per_epoch, step % self.steps_per_epoch);
        if self.epoch != Some(epoch) {
            self.order.clear();
            self.order.extend((0..self.images).map(|index| index as u32));
            Stream::new(self.seed, Purpose::Order, epoch as u64, 0).shuffle(&mut self.order);
            self.epoch = Some(epoch);
        }
        let images = &self.order[position * self.batch..][..self.batch];
        images.iter().map(|&index| Visit { index: index as usize, number: epoch as u64 }).collect()
    }

    fn describe(&self) -> String {
        match self.images - self.steps_per_epoch * self.batch {
            0 => "random, every image once an epoch".into(),
            rest => format!("random, every image once an epoch but for {rest}, others each time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::labels, *};

    /// Runs that were begun before there were samplers go on in the order they had.
    #[test]
    fn the_order_of_a_seed_never_changes() {
        let mut sampler = RandomConfig::default().build(&labels(&[3; 14]), 9, 8).unwrap();
        let mut indices = |step| sampler.batch(step).iter().map(|visit| visit.index).collect::<Vec<_>>();
        assert_eq!(indices(0), [10, 6, 31, 20, 30, 39, 4, 11]);
        assert_eq!(indices(4), [2, 19, 41, 28, 1, 40, 38, 26]);
        assert_eq!(indices(5), [9, 32, 4, 1, 38, 28, 34, 40]);
    }

    #[test]
    fn an_epoch_has_every_image_at_most_once_and_drops_the_rest() {
        let mut sampler = RandomConfig::default().build(&labels(&[4, 17, 1, 20]), 2, 8).unwrap();
        for epoch in 0..4 {
            let mut visits: Vec<_> =
                (epoch * 5..epoch * 5 + 5).flat_map(|step| sampler.batch(step)).collect();
            assert!(visits.iter().all(|visit| visit.number == epoch as u64));
            visits.sort_unstable();
            visits.dedup();
            assert_eq!(visits.len(), 40);
        }
    }
}
