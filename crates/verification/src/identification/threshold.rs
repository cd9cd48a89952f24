//! A threshold for searches, chosen on people who are not in the gallery.

use std::collections::HashSet;

use super::Search;
use crate::roc::needed;

/// A threshold, and what a search answers with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchThreshold {
    /// Somebody is named if their score reaches this.
    pub threshold: f64,
    /// The number of probes of strangers, whose person is not in the gallery.
    pub strangers: usize,
    /// The number of people on these.
    pub stranger_identities: usize,
    /// How many of these probes somebody is named for.
    pub false_positives: usize,
    /// The number of probes whose person is in the gallery.
    pub mated: usize,
    /// How many of these have their own person named first.
    pub true_positives: usize,
}

/// The probes of strangers are too few for a rate, or more of them than that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFewStrangers {
    /// So many probes it takes: ten times the inverse of the rate.
    pub needed: usize,
    /// So many there are.
    pub found: usize,
    /// So many of these are lost and count as false alarms at every threshold.
    pub lost: usize,
}

impl Search {
    /// A threshold at which not more than the share `fpir` of the probes of strangers have somebody named.
    ///
    /// All thresholds between two neighbouring scores decide these probes alike; the middle of the lowest such gap is
    /// taken, so that the last digit of a score, on which backends do not agree, decides nothing. Ties count against the
    /// system.
    ///
    /// # Errors
    /// If the probes of strangers are too few for the rate, or more than that are lost and count as false alarms.
    pub fn threshold_at_fpir(&self, fpir: f64) -> Result<SearchThreshold, TooFewStrangers> {
        // What a computation in f32 has above 1 is rounding.
        let clamped = |score: f32| f64::from(score).clamp(-1.0, 1.0);
        let others = || self.probes.iter().filter(|probe| probe.mate.is_none());
        let mut strangers: Vec<f64> = others().map(|probe| clamped(probe.top_score)).collect();
        strangers.sort_by(|a, b| b.total_cmp(a));
        let mates = self.probes.iter().filter_map(|probe| probe.mate);
        let first: Vec<f64> = mates.filter(|mate| mate.rank == 1).map(|mate| clamped(mate.score)).collect();
        let lost = self.lost.nonmated.len();
        let count = strangers.len() + lost;
        let too_few = TooFewStrangers { needed: needed(fpir), found: count, lost };
        if count < too_few.needed || lost as f64 / count as f64 > fpir {
            return Err(too_few);
        }
        let mut named = lost;
        let refused = strangers.chunk_by(|a, b| a == b).find(|tied| {
            let allowed = (named + tied.len()) as f64 / count as f64 <= fpir;
            named += if allowed { tied.len() } else { 0 };
            !allowed
        });
        let refused = refused.map_or(-1.0, |tied| tied[0]);
        let above = strangers.iter().chain(&first).copied().filter(|score| *score > refused);
        let next = above.fold(f64::INFINITY, f64::min);
        let threshold = match next.is_finite() {
            true => refused + (next - refused) / 2.0,
            // Nobody else's score is higher: just above, by more than the rounding of a cosine in f32.
            false => (refused + 1e-6).min(1.0 + f64::EPSILON),
        };
        Ok(SearchThreshold {
            threshold,
            strangers: count,
            stranger_identities: (others().map(|probe| probe.identity))
                .chain(self.lost.nonmated.iter().copied())
                .collect::<HashSet<_>>()
                .len(),
            false_positives: strangers.iter().filter(|score| **score >= threshold).count() + lost,
            mated: self.probes.len() - strangers.len() + self.lost.mated.len(),
            true_positives: first.iter().filter(|score| **score >= threshold).count(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IdentityScore, LostProbes, Mate, ProbeMatch};

    /// Strangers by their highest score, three of each person, and mated probes by score and rank.
    fn search(strangers: &[f32], mated: &[(f32, usize)]) -> Search {
        let stranger = |(i, &top_score): (usize, &f32)| ProbeMatch {
            identity: 1000 + i / 3,
            top_identity: 0,
            top_score,
            mate: None,
        };
        let own = |&(score, rank): &(f32, usize)| ProbeMatch {
            identity: 1,
            top_identity: 1,
            top_score: score,
            mate: Some(Mate { score, rank, average_precision: 1.0 }),
        };
        Search {
            probes: strangers.iter().enumerate().map(stranger).chain(mated.iter().map(own)).collect(),
            gallery_images: 4,
            gallery_identities: 2,
            rule: IdentityScore::Max,
            lost: LostProbes::default(),
        }
    }

    #[test]
    fn lost_probes_are_false_alarms_and_misses() {
        let strangers: Vec<f32> = (0..95).map(|i| i as f32 / 100.0).collect();
        let search = search(&strangers, &[(0.999, 1)]);
        let lost = |mated, nonmated| LostProbes { mated: vec![1; mated], nonmated: vec![2; nonmated] };
        let found = search.clone().with_errors(lost(3, 5)).threshold_at_fpir(0.1).unwrap();
        // Five more may be named: 0.90 to 0.94.
        assert!(found.threshold > 0.89 && found.threshold <= 0.9, "{found:?}");
        assert_eq!((found.false_positives, found.strangers, found.stranger_identities), (10, 100, 33));
        assert_eq!((found.mated, found.true_positives), (4, 1));
        let refused = search.clone().with_errors(lost(0, 20)).threshold_at_fpir(0.1);
        assert_eq!(refused, Err(TooFewStrangers { needed: 100, found: 115, lost: 20 }));
    }

    #[test]
    fn a_threshold_names_as_many_strangers_as_are_allowed_and_not_one_more() {
        // 0.00 to 0.99, and mated probes between them and above; one is not of rank 1.
        let strangers: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
        let mated = [(0.895, 1), (0.901, 1), (0.95, 2), (0.999, 1), (0.2, 1)];
        let search = search(&strangers, &mated);
        let found = search.threshold_at_fpir(0.1).unwrap();
        assert!(found.threshold > 0.89 && found.threshold <= 0.895, "{found:?}");
        assert!((found.threshold - 0.8925).abs() < 1e-6, "{found:?}");
        assert_eq!((found.false_positives, found.true_positives), (10, 3));
        assert_eq!((found.strangers, found.stranger_identities, found.mated), (100, 34, 5));
        // Between two rates that the number of strangers can have, the lower one holds.
        assert_eq!(search.threshold_at_fpir(0.199).unwrap().false_positives, 19);
        assert_eq!(search.threshold_at_fpir(0.2).unwrap().false_positives, 20);
        assert_eq!(search.threshold_at_fpir(0.05), Err(TooFewStrangers { needed: 200, found: 100, lost: 0 }));
    }

    #[test]
    fn ties_count_against_the_system_and_what_is_equal_to_the_gallery_too() {
        let tied = search(&[0.5; 100], &[(0.6, 1)]).threshold_at_fpir(0.5).unwrap();
        assert_eq!((tied.false_positives, tied.true_positives), (0, 1));
        assert!((tied.threshold - 0.55).abs() < 1e-6);
        // Copies of the gallery among the strangers, one of them above 1 by rounding: nothing is above these.
        let copies =
            search(&[1.0_f32.next_up(), 1.0].repeat(50), &[(1.0, 1)]).threshold_at_fpir(0.1).unwrap();
        assert_eq!((copies.false_positives, copies.true_positives), (0, 0));
        assert_eq!(copies.threshold, 1.0 + f64::EPSILON);
        // Without mated probes there is a threshold nevertheless.
        let alone = search(&[0.25; 20], &[]).threshold_at_fpir(0.5).unwrap();
        assert_eq!((alone.mated, alone.false_positives), (0, 0));
        assert!(alone.threshold > 0.25);
    }
}
