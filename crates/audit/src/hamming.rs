//! All pairs of 64-bit hashes that differ in few bits, without comparing all with all.

use rayon::prelude::*;

/// The parts that hashes are cut into, of 16 bits each.
const PARTS: u32 = 4;
const PART_BITS: u32 = 16;

/// Hashes to search among.
///
/// Two hashes of 64 bits that differ in at most d bits agree, but for d / 4 bits, in one of four parts of 16 bits.
/// So only hashes that are near in a part are compared as a whole.
///
/// Source: Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012.
pub struct HammingIndex {
    hashes: Vec<u64>,
    /// For each part: where in `order` the hashes begin that have each value of it.
    starts: Vec<Vec<u32>>,
    /// For each part: positions in `hashes`, by the value of the part and then in their order.
    order: Vec<Vec<u32>>,
    distance: u32,
    /// What a part may differ by.
    changes: Vec<u16>,
}

impl HammingIndex {
    /// Takes in at most 2³² hashes, to find those that differ in at most `distance` bits.
    pub fn new(hashes: Vec<u64>, distance: u32) -> Self {
        let (starts, order) = (0..PARTS)
            .into_par_iter()
            .map(|part| {
                let mut starts = vec![0u32; (1 << PART_BITS) + 1];
                hashes.iter().for_each(|&hash| starts[value(hash, part) + 1] += 1);
                for i in 1..starts.len() {
                    starts[i] += starts[i - 1];
                }
                let mut next = starts.clone();
                let mut order = vec![0u32; hashes.len()];
                for (position, &hash) in hashes.iter().enumerate() {
                    let next = &mut next[value(hash, part)];
                    order[*next as usize] = position as u32;
                    *next += 1;
                }
                (starts, order)
            })
            .unzip();
        let changes = (0..=u16::MAX).filter(|change| change.count_ones() <= distance / PARTS).collect();
        Self { hashes, starts, order, distance, changes }
    }

    /// The positions of the hashes that differ from `hash` in few enough bits, in rising order, each with the number
    /// of these bits.
    pub fn near(&self, hash: u64) -> Vec<(usize, u32)> {
        let mut found = Vec::new();
        for part in 0..PARTS {
            let (starts, order) = (&self.starts[part as usize], &self.order[part as usize]);
            for &change in &self.changes {
                let bucket = value(hash, part) ^ usize::from(change);
                for &position in &order[starts[bucket] as usize..starts[bucket + 1] as usize] {
                    let bits = (self.hashes[position as usize] ^ hash).count_ones();
                    if bits <= self.distance {
                        found.push((position as usize, bits));
                    }
                }
            }
        }
        // Hashes that are near in several parts were found as often.
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn value(hash: u64, part: u32) -> usize {
    (hash >> (part * PART_BITS) & 0xFFFF) as usize
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;

    #[test]
    fn every_near_hash_is_found_and_no_other() {
        let mut stream = Stream::new(5, Purpose::Benchmark, 0, 0);
        let mut draw = || u64::from(stream.bits()) << 32 | u64::from(stream.bits());
        let mut hashes: Vec<u64> = (0..300).map(|_| draw()).collect();
        for i in 0..300 {
            // Some differ in up to 20 bits, wherever these are.
            let mut near = hashes[i];
            (0..i % 20).for_each(|_| near ^= 1 << (draw() % 64));
            hashes.push(near);
        }
        hashes.push(hashes[0]);
        for distance in [0, 3, 4, 8, 11, 13] {
            let index = HammingIndex::new(hashes.clone(), distance);
            for &hash in hashes.iter().step_by(7) {
                let all = hashes.iter().map(|other| (other ^ hash).count_ones()).enumerate();
                let expected: Vec<(usize, u32)> = all.filter(|(_, bits)| *bits <= distance).collect();
                assert_eq!(index.near(hash), expected, "{distance}");
            }
        }
        assert_eq!(HammingIndex::new(Vec::new(), 8).near(1), []);
    }
}
