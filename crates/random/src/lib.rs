//! Counter-based random numbers.
//!
//! A [`Stream`] is named by a seed, a purpose and two indices (such as epoch and image). Its draws depend on
//! that name only, so data order and augmentation come out the same whatever the number of worker threads,
//! and a resumed run needs no generator state on disk.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). Nothing here knows what is drawn.
//!
//! ```
//! use facegrad_random::{Purpose, Stream};
//!
//! // The augmentation of image 3 in epoch 2, whichever thread asks and whatever was drawn before.
//! let mut stream = Stream::new(1, Purpose::Augmentation, 2, 3);
//! let (mirrored, shift) = (stream.chance(0.5), stream.range(-0.1, 0.1));
//! let mut again = Stream::new(1, Purpose::Augmentation, 2, 3);
//! assert_eq!((again.chance(0.5), again.range(-0.1, 0.1)), (mirrored, shift));
//! ```

use std::f64::consts::TAU;

/// What a stream of random numbers is for. Streams of different purposes never overlap.
///
/// The numbers are part of what makes a run repeatable: do not reuse or change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// The order of the training images in an epoch.
    Order = 1,
    /// The augmentation of one image.
    Augmentation = 2,
    /// The image that stands in for an unreadable one.
    Replacement = 3,
    /// What makes a synthetic identity.
    SyntheticIdentity = 4,
    /// What makes one picture of a synthetic identity.
    SyntheticPicture = 5,
    /// The choice of evaluation pairs.
    Pairs = 6,
    /// The initial weights of a parameter.
    Initialisation = 7,
    /// Dropout and other draws inside the network.
    Network = 8,
    /// Resampling for confidence intervals.
    Bootstrap = 9,
    /// Images and numbers to measure speed on.
    Benchmark = 10,
    /// Margins that a loss draws.
    Margin = 11,
    /// The pairs and triplets that a loss draws from a batch.
    Mining = 12,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u32; 2],
    /// Words 1 to 3 name the stream, word 0 counts its blocks of four draws.
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of `purpose` under `seed` for the pair of indices `(major, minor)`, such as (epoch, image).
    ///
    /// Streams are distinct for `major` below 2^16 and `minor` below 2^64; larger values of `major` wrap.
    pub fn new(seed: u64, purpose: Purpose, major: u64, minor: u64) -> Self {
        let name = ((purpose as u32) << 16) ^ (major as u32 & 0xffff);
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, minor as u32, (minor >> 32) as u32, name],
            block: [0; 4],
            used: 4,
        }
    }

    /// 32 uniform bits.
    pub fn bits(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    /// 64 uniform bits.
    pub fn bits64(&mut self) -> u64 {
        u64::from(self.bits()) << 32 | u64::from(self.bits())
    }

    /// Uniform in [0, 1), with 24 random bits, exactly representable.
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f32 {
        // 1 − u lies in (0, 1], so the logarithm is finite.
        let u = 1.0 - f64::from(self.uniform());
        let v = f64::from(self.uniform());
        ((-2.0 * u.ln()).sqrt() * (TAU * v).cos()) as f32
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        f64::from(self.uniform()) < probability
    }

    /// Uniform in `0..n`, without bias (Lemire 2019). `n` must not be zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a draw below zero");
        let n = n as u64;
        loop {
            let product = u128::from(self.bits64()) * u128::from(n);
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as usize;
            }
        }
    }

    /// A uniformly random order of `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Ten rounds of Philox4x32.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the Random123 library.
    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn streams_differ_by_every_part_of_their_name() {
        let first = |seed, purpose, major, minor| Stream::new(seed, purpose, major, minor).bits64();
        let base = first(1, Purpose::Order, 2, 3);
        assert_eq!(base, first(1, Purpose::Order, 2, 3));
        for other in [
            first(2, Purpose::Order, 2, 3),
            first(1 << 40, Purpose::Order, 2, 3),
            first(1, Purpose::Augmentation, 2, 3),
            first(1, Purpose::Order, 3, 3),
            first(1, Purpose::Order, 2, 4),
            first(1, Purpose::Order, 2, 3 | 1 << 40),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let mut stream = Stream::new(7, Purpose::Network, 0, 0);
        let n = 200_000;
        let normals: Vec<f64> = (0..n).map(|_| f64::from(stream.normal())).collect();
        let mean = normals.iter().sum::<f64>() / n as f64;
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        // Five standard errors: 1/√n for the mean, √(2/n) for the variance.
        assert!(mean.abs() < 5.0 / (n as f64).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{variance}");
        let mut counts = [0usize; 7];
        (0..n).for_each(|_| counts[stream.below(7)] += 1);
        for count in counts {
            assert!((count as f64 - n as f64 / 7.0).abs() < 5.0 * (n as f64 / 7.0).sqrt(), "{counts:?}");
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..1000).collect();
        Stream::new(1, Purpose::Order, 0, 0).shuffle(&mut items);
        assert_ne!(items, (0..1000).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }
}
