//! Epochs in which every identity has a given share.

use facegrad_random::{Purpose, Stream};

use super::{Sampler, Visit, by_identity::ByIdentity};

/// Bits behind the point of what adds up to an epoch.
const FRACTION: u32 = 32;

/// The golden ratio's fraction of a turn, in units of 2^-32.
const GOLDEN: u32 = 0x9E37_79B9;

/// Epochs of as many visits as the set has images in whole batches, of which each identity has its quota.
///
/// A quota need not be a whole number, and an epoch is exactly as long as it should be: the quotas stand end to
/// end on a line, and an identity is visited once for each mark of a ruler that falls into its stretch
/// (systematic sampling; Madow, "On the theory of systematic sampling, II", 1949). So it has its quota
/// rounded down or up. From epoch to epoch the ruler moves on by the golden ratio, which spreads what is left
/// over evenly: after any number of epochs an identity has had its due within a few visits, and one with a quota
/// of 0.3 comes in three of ten epochs.
///
/// The images of an identity come in passes, each pass in an order of its own, so that at any time all of them
/// have been visited equally often but for one visit. The order of epoch `e` is shuffled by
/// `Stream(seed, Order, 0, e)`, pass `n` over the images of identity `i` by `Stream(seed, Order, 1, i << 32 | n)`,
/// and the ruler begins where `Stream(seed, Order, 2, 0)` says.
///
/// It takes 12 bytes for each image of the set and 24 for each identity.
pub(super) struct Quotas {
    seed: u64,
    batch: usize,
    steps_per_epoch: usize,
    images: ByIdentity,
    /// Where the quota of each identity begins on the line, and the end of the last, in units of 2^-32.
    line: Vec<u64>,
    /// Where the ruler begins.
    begin: u32,
    about: String,
    /// The epoch that was computed last.
    epoch: Option<usize>,
    /// Visits of each identity in the epochs before it.
    before: Vec<u64>,
    /// Where the visits of each identity to this epoch begin in `visits`, and the end of the last.
    starts: Vec<u32>,
    /// The images visited in this epoch, by identity and in the order of its passes.
    visits: Vec<u32>,
    /// The order of the epoch: places in `visits`.
    order: Vec<u32>,
}

impl Quotas {
    /// Epochs over `images`, no fewer than a batch, with visits in proportion to `quotas`, `[identities]`, of
    /// which some are above zero and those of identities without images are zero; `about` describes them.
    pub(super) fn new(images: ByIdentity, quotas: &[f64], seed: u64, batch: usize, about: String) -> Self {
        let identities = images.identities();
        let steps_per_epoch = images.counts().sum::<usize>() / batch;
        let length = ((steps_per_epoch * batch) as u64) << FRACTION;
        let mut sum = 0.0;
        let ends: Vec<f64> = std::iter::once(0.0)
            .chain(quotas.iter().map(|quota| {
                sum += quota;
                sum
            }))
            .collect();
        // The last end is that of the line: a sum divided by itself is 1.
        let line = ends.into_iter().map(|end| ((end / sum * length as f64) as u64).min(length)).collect();
        let begin = Stream::new(seed, Purpose::Order, 2, 0).bits();
        Self {
            seed,
            batch,
            steps_per_epoch,
            images,
            line,
            begin,
            about,
            epoch: None,
            before: vec![0; identities],
            starts: vec![0; identities + 1],
            visits: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Lays the ruler of `epoch` on the line: `starts` becomes the number of marks before each end.
    fn measure(&mut self, epoch: usize) {
        let ruler = self.begin.wrapping_add(GOLDEN.wrapping_mul(epoch as u32));
        for (start, end) in self.starts.iter_mut().zip(&self.line) {
            *start = ((end + u64::from(ruler)) >> FRACTION) as u32;
        }
    }

    /// Computes the order of `epoch`, counting what the epochs before it visited.
    fn go_to(&mut self, epoch: usize) {
        let from = match self.epoch {
            Some(at) if at == epoch => return,
            Some(at) if at < epoch => at,
            _ => {
                self.before.fill(0);
                0
            }
        };
        for past in from..epoch {
            self.measure(past);
            for (before, ends) in self.before.iter_mut().zip(self.starts.windows(2)) {
                *before += u64::from(ends[1] - ends[0]);
            }
        }
        self.measure(epoch);
        self.epoch = Some(epoch);
        self.choose_images();
        self.shuffle(epoch);
    }

    /// Fills `visits`: the next images of the passes of each identity.
    fn choose_images(&mut self) {
        self.visits.clear();
        let mut order: Vec<u32> = Vec::new();
        for (identity, ends) in self.starts.windows(2).enumerate() {
            let images = self.images.of(identity);
            let (mut next, mut missing) = (self.before[identity], (ends[1] - ends[0]) as usize);
            while missing > 0 {
                let (pass, position) = (next / images.len() as u64, (next % images.len() as u64) as usize);
                order.clear();
                order.extend_from_slice(images);
                let minor = (identity as u64) << 32 | pass;
                Stream::new(self.seed, Purpose::Order, 1, minor).shuffle(&mut order);
                let taken = &order[position..][..missing.min(order.len() - position)];
                self.visits.extend_from_slice(taken);
                next += taken.len() as u64;
                missing -= taken.len();
            }
        }
    }

    /// Fills `order`: identities in random order, and for each its places in `visits` one after the other.
    fn shuffle(&mut self, epoch: usize) {
        self.order.clear();
        for (identity, ends) in self.starts.windows(2).enumerate() {
            self.order.extend(std::iter::repeat_n(identity as u32, (ends[1] - ends[0]) as usize));
        }
        Stream::new(self.seed, Purpose::Order, 0, epoch as u64).shuffle(&mut self.order);
        let mut next = self.starts.clone();
        for place in &mut self.order {
            let next = &mut next[*place as usize];
            *place = *next;
            *next += 1;
        }
    }
}

impl Sampler for Quotas {
    fn batch(&mut self, step: usize) -> Vec<Visit> {
        self.go_to(step / self.steps_per_epoch);
        let position = step % self.steps_per_epoch;
        let visit = |&place: &u32| {
            // The last identity that begins here or before; one without visits begins where the next does.
            let identity = self.starts.partition_point(|start| *start <= place) - 1;
            let number = self.before[identity] + u64::from(place - self.starts[identity]);
            Visit {
                index: self.visits[place as usize] as usize,
                number: number / self.images.of(identity).len() as u64,
            }
        };
        self.order[position * self.batch..][..self.batch].iter().map(visit).collect()
    }

    fn describe(&self) -> String {
        self.about.clone()
    }
}

#[cfg(test)]
mod tests {
    use facegrad_faces::FaceSource;

    use super::{super::tests::labels, *};

    /// Images of each identity; two have none.
    const SET: [usize; 9] = [7, 0, 9, 1, 4, 30, 3, 0, 5];
    /// 48 of the 59 visits that they stand for, and so quotas of 4/5 of this and a little more; some are below 1.
    const SHARES: [f64; 9] = [20.0, 0.0, 0.37, 9.0, 5.5, 20.13, 1.0, 0.0, 3.0];
    const BATCH: usize = 12;
    const STEPS: usize = 4;

    fn sampler(seed: u64) -> Quotas {
        Quotas::new(ByIdentity::new(&labels(&SET)), &SHARES, seed, BATCH, String::new())
    }

    #[test]
    fn an_identity_has_its_quota_in_every_epoch_and_in_the_long_run() {
        let source = labels(&SET);
        for seed in 0..5 {
            let mut sampler = sampler(seed);
            let mut seen = [0usize; 9];
            for epoch in 0..400 {
                let mut now = [0usize; 9];
                for step in epoch * STEPS..(epoch + 1) * STEPS {
                    sampler.batch(step).iter().for_each(|visit| now[source.label(visit.index)] += 1);
                }
                assert_eq!(now.iter().sum::<usize>(), STEPS * BATCH);
                for (label, now) in now.into_iter().enumerate() {
                    let quota = SHARES[label] / 59.0 * 48.0;
                    assert!((now as f64 - quota).abs() < 1.0 + 1e-6, "{label}: {now} for {quota}");
                    seen[label] += now;
                    let due = quota * (epoch + 1) as f64;
                    assert!((seen[label] as f64 - due).abs() < 3.0, "{label}: {} for {due}", seen[label]);
                }
            }
        }
    }

    #[test]
    fn the_images_of_an_identity_are_visited_equally_often_at_any_time() {
        let source = labels(&SET);
        let mut sampler = sampler(3);
        let mut seen = vec![0u64; source.len()];
        for step in 0..600 {
            for visit in sampler.batch(step) {
                assert_eq!(visit.number, seen[visit.index], "step {step}");
                seen[visit.index] += 1;
                let label = source.label(visit.index);
                let of_label = (0..source.len()).filter(|&index| source.label(index) == label);
                let (least, most) = of_label.fold((u64::MAX, 0), |(least, most), index| {
                    (least.min(seen[index]), most.max(seen[index]))
                });
                assert!(most - least <= 1, "step {step}: identity {label}");
            }
        }
    }

    #[test]
    fn orders_differ_from_epoch_to_epoch_and_from_seed_to_seed() {
        let order = |seed, epoch: usize| -> Vec<usize> {
            let mut sampler = sampler(seed);
            let steps = epoch * STEPS..(epoch + 1) * STEPS;
            steps.flat_map(|step| sampler.batch(step)).map(|visit| visit.index).collect()
        };
        let orders = [order(1, 0), order(1, 1), order(1, 2), order(2, 0)];
        for (i, one) in orders.iter().enumerate() {
            assert!(orders[..i].iter().all(|other| one != other));
        }
        // Not by identity: the three most frequent take turns.
        let labels = labels(&SET);
        let changes = orders[0].windows(2).filter(|w| labels.label(w[0]) != labels.label(w[1])).count();
        assert!(changes > 24, "{changes}");
    }
}
