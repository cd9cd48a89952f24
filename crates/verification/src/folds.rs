//! Accuracy at a threshold that was chosen on other pairs.

use std::{cmp::Ordering, collections::BTreeSet};

use facegrad_results::Interval;
use facegrad_settings::choice;
use serde::{Deserialize, Serialize};

use crate::{
    LostPair, ScoredPair, Scores, Unmeasurable,
    interval::mean_and_deviation,
    roc::{descending, sweep_sorted},
    wilson,
};

choice! {
    /// On which pairs the threshold of an accuracy was chosen.
    pub enum ThresholdFrom {
        /// For each fold on the other folds.
        OtherFolds = "other_folds",
        /// On a list of other pairs, such as the training pairs of LFW View 1.
        OtherPairs = "other_pairs",
        /// On the pairs it is applied to: the accuracy is flattered.
        SamePairs = "same_pairs",
    }
}

/// A threshold, and how many of the pairs it was chosen on it decides correctly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Pairs with at least this score are accepted.
    pub value: f64,
    /// The number of pairs decided correctly.
    pub correct: usize,
}

/// The share of pairs decided correctly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The mean accuracy of the folds, from 0 to 1.
    pub mean: f64,
    /// The standard deviation of the accuracies of the folds (divisor n − 1); absent for a single fold.
    pub standard_deviation: Option<f64>,
    /// The standard error of the mean: over folds, the standard deviation divided by the root of their
    /// number; for a single fold that of a binomial share.
    pub standard_error: f64,
    /// The 95 % interval (Wilson) of the share of correct decisions over all pairs.
    pub interval: Interval,
    /// Where the thresholds come from.
    pub threshold_from: ThresholdFrom,
    /// Each fold, in order.
    pub folds: Vec<FoldAccuracy>,
}

/// The decisions in one fold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FoldAccuracy {
    /// The fold, from 0.
    pub fold: usize,
    /// Pairs with at least this score are accepted.
    pub threshold: f64,
    /// The share of pairs decided correctly.
    pub accuracy: f64,
    /// The number of pairs.
    pub pairs: usize,
    /// The number of genuine pairs below the threshold.
    pub false_rejects: usize,
    /// The number of impostor pairs at or above the threshold.
    pub false_accepts: usize,
}

/// The threshold that decides most of `pairs` correctly, out of all thresholds.
///
/// The decisions change only at the scores themselves, so one candidate in the middle between each two
/// neighbouring distinct scores, one that accepts every pair (the lowest score) and one that rejects every
/// pair (just above the highest score) cover all. Among equally good ones the middle of the widest gap wins,
/// as it leaves most room on both sides; among equally wide gaps the lowest; the two outer candidates only
/// if nothing between is as good.
///
/// # Errors
/// If the pairs are not of both classes: a threshold beyond all scores would then be perfect and useless.
pub fn best_threshold(pairs: &[ScoredPair]) -> Result<Threshold, Unmeasurable> {
    best_of_descending(&descending(pairs))
}

/// [`best_threshold`] for pairs from the highest score to the lowest.
fn best_of_descending(sorted: &[ScoredPair]) -> Result<Threshold, Unmeasurable> {
    if let Some(reason) = Unmeasurable::of(sorted) {
        return Err(reason);
    }
    let points = sweep_sorted(sorted);
    let reject_all = points[0];
    let accept_all = points[points.len() - 1];
    let impostors = accept_all.false_accepts;
    let correct = |point: &crate::RocPoint| point.true_accepts + impostors - point.false_accepts;

    let outer = [&accept_all, &reject_all].map(|point| (correct(point), 0.0, point.threshold));
    // The point whose threshold is the score above a gap says what a threshold within the gap accepts.
    let inner = points[1..].windows(2).rev().map(|gap| {
        let (above, below) = (gap[0].threshold, gap[1].threshold);
        // Between neighbouring floating-point numbers there is no middle; the threshold must not reach below.
        let middle = below.midpoint(above);
        (correct(&gap[0]), above - below, if middle > below { middle } else { above })
    });
    let better = |best: (usize, f64, f64), next: (usize, f64, f64)| match next
        .0
        .cmp(&best.0)
        .then(next.1.total_cmp(&best.1))
    {
        Ordering::Greater => next,
        _ => best,
    };
    let (correct, _, value) = inner.chain(outer).fold((0, 0.0, accept_all.threshold), better);
    Ok(Threshold { value, correct })
}

/// The accuracy over folds, the threshold of each being the best on all other folds (LFW View 2).
///
/// # Errors
/// If there is a single fold, or the pairs outside some fold are not of both classes.
pub fn k_fold(scores: &Scores) -> Result<Accuracy, Unmeasurable> {
    let folds = fold_numbers(scores)?;
    // Sorted once: what is left after a fold is taken out is still in order.
    let sorted = descending(scores.pairs());
    let folds: Result<Vec<_>, _> = folds.into_iter().map(|fold| leave_out(fold, &sorted)).collect();
    Ok(Accuracy::new(folds?, ThresholdFrom::OtherFolds))
}

/// [`k_fold`] where leaving out a fold changes the scores: `scores_without(fold)` are those of all pairs when
/// `fold` is left out, and both its threshold and its decisions are taken from them.
///
/// # Errors
/// As for [`k_fold`], and what `scores_without` returns.
pub(crate) fn k_fold_rescored<E: From<Unmeasurable>>(
    folds: BTreeSet<usize>,
    scores_without: impl Fn(usize) -> Result<Scores, E>,
) -> Result<Accuracy, E> {
    let folds: Result<Vec<_>, E> = folds
        .into_iter()
        .map(|fold| Ok(leave_out(fold, &descending(scores_without(fold)?.pairs()))?))
        .collect();
    Ok(Accuracy::new(folds?, ThresholdFrom::OtherFolds))
}

/// The folds, of which there are at least two, of pairs of both classes.
fn fold_numbers(scores: &Scores) -> Result<BTreeSet<usize>, Unmeasurable> {
    if let Some(reason) = scores.unmeasurable() {
        return Err(reason);
    }
    let folds: BTreeSet<usize> = scores.pairs().iter().map(|pair| pair.fold).collect();
    if folds.len() < 2 { Err(Unmeasurable::OneFold) } else { Ok(folds) }
}

/// The decisions in `fold` at the threshold that is best on the others.
fn leave_out(fold: usize, sorted: &[ScoredPair]) -> Result<FoldAccuracy, Unmeasurable> {
    let (inside, others): (Vec<_>, Vec<_>) = sorted.iter().copied().partition(|pair| pair.fold == fold);
    Ok(FoldAccuracy::new(fold, &inside, best_of_descending(&others)?.value))
}

/// The accuracy on `test` at the threshold that is best on `development` (LFW View 1).
///
/// # Errors
/// If the development pairs are not of both classes, or there are no test pairs.
pub fn transfer(development: &Scores, test: &Scores) -> Result<Accuracy, Unmeasurable> {
    if test.pairs().is_empty() {
        return Err(Unmeasurable::NoPairs);
    }
    let threshold = best_threshold(development.pairs())?.value;
    Ok(Accuracy::new(vec![FoldAccuracy::new(0, test.pairs(), threshold)], ThresholdFrom::OtherPairs))
}

/// The accuracy at the threshold that is best on the very same pairs: an upper bound, not a measurement.
///
/// # Errors
/// If the pairs are not of both classes.
pub fn same_pairs(scores: &Scores) -> Result<Accuracy, Unmeasurable> {
    let threshold = best_threshold(scores.pairs())?.value;
    Ok(Accuracy::new(vec![FoldAccuracy::new(0, scores.pairs(), threshold)], ThresholdFrom::SamePairs))
}

impl FoldAccuracy {
    fn new(fold: usize, pairs: &[ScoredPair], threshold: f64) -> Self {
        let false_rejects = pairs.iter().filter(|pair| pair.same && pair.score < threshold).count();
        let false_accepts = pairs.iter().filter(|pair| !pair.same && pair.score >= threshold).count();
        let correct = pairs.len() - false_rejects - false_accepts;
        let accuracy = correct as f64 / pairs.len() as f64;
        Self { fold, threshold, accuracy, pairs: pairs.len(), false_rejects, false_accepts }
    }

    /// The number of pairs decided correctly.
    pub fn correct(&self) -> usize {
        self.pairs - self.false_rejects - self.false_accepts
    }
}

impl Accuracy {
    /// The accuracy over `folds`, of which there is at least one, each with at least one pair.
    fn new(folds: Vec<FoldAccuracy>, threshold_from: ThresholdFrom) -> Self {
        let n = folds.len() as f64;
        let pairs: usize = folds.iter().map(|fold| fold.pairs).sum();
        let correct: usize = folds.iter().map(FoldAccuracy::correct).sum();
        let accuracies: Vec<f64> = folds.iter().map(|fold| fold.accuracy).collect();
        let (mean, standard_deviation, standard_error) = match mean_and_deviation(&accuracies) {
            Some((mean, deviation)) => (mean, Some(deviation), deviation / n.sqrt()),
            // Of a single fold the pairs are what varies.
            None => (accuracies[0], None, (accuracies[0] * (1.0 - accuracies[0]) / pairs as f64).sqrt()),
        };
        Self {
            mean,
            standard_deviation,
            standard_error,
            interval: wilson(correct, pairs),
            threshold_from,
            folds,
        }
    }

    /// The same where `lost` pairs count as decided wrongly.
    ///
    /// A fold that has nothing but lost pairs has an accuracy of 0 and the mean threshold of the others: none would have
    /// decided otherwise.
    pub fn with_errors(self, lost: &[LostPair]) -> Self {
        let (threshold, is_one) = (self.threshold(), self.threshold_from != ThresholdFrom::OtherFolds);
        let Self { mut folds, threshold_from, .. } = self;
        for pair in lost {
            let known = folds.iter().position(|fold| is_one || fold.fold == pair.fold);
            let at = known.unwrap_or(folds.len());
            if known.is_none() {
                folds.push(FoldAccuracy::new(pair.fold, &[], threshold));
            }
            let fold = &mut folds[at];
            fold.pairs += 1;
            *(if pair.same { &mut fold.false_rejects } else { &mut fold.false_accepts }) += 1;
            fold.accuracy = fold.correct() as f64 / fold.pairs as f64;
        }
        folds.sort_by_key(|fold| fold.fold);
        Self::new(folds, threshold_from)
    }

    /// The mean of the thresholds.
    pub fn threshold(&self) -> f64 {
        self.folds.iter().map(|fold| fold.threshold).sum::<f64>() / self.folds.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::scores::scores;

    fn best(genuine: &[f64], impostor: &[f64]) -> Threshold {
        best_threshold(scores(genuine, impostor).pairs()).unwrap()
    }

    /// `per_class` pairs of each class in each fold.
    fn random(folds: usize, per_class: usize, shift: f32, seed: u64) -> Scores {
        let mut stream = Stream::new(seed, Purpose::Bootstrap, 1, 0);
        let mut pairs = Vec::new();
        for fold in 0..folds {
            for same in [true, false] {
                for _ in 0..per_class {
                    let score = f64::from(stream.normal() + if same { shift } else { 0.0 });
                    pairs.push(ScoredPair { score, same, fold });
                }
            }
        }
        Scores::new(pairs).unwrap()
    }

    #[test]
    fn the_threshold_is_the_middle_of_the_widest_gap() {
        assert_eq!(best(&[0.75, 0.5], &[0.25, 0.0]), Threshold { value: 0.375, correct: 4 });
        // i 0, g 1, i 2, g 5: three correct in the gaps 0 to 1 and 2 to 5, the second is wider.
        assert_eq!(best(&[1.0, 5.0], &[0.0, 2.0]), Threshold { value: 3.5, correct: 3 });
        // Equally wide: the lower.
        assert_eq!(best(&[1.0, 3.0], &[0.0, 2.0]), Threshold { value: 0.5, correct: 3 });
    }

    #[test]
    fn outer_thresholds_are_the_last_resort() {
        // Everything is the wrong way round: accepting all decides two of three correctly.
        assert_eq!(best(&[0.1, 0.2], &[0.9]), Threshold { value: 0.1, correct: 2 });
        let reject_all = best(&[0.1], &[0.8, 0.9]);
        assert_eq!(reject_all.correct, 2);
        assert!(reject_all.value > 0.9 && reject_all.value < 0.9 + 1e-9);
        // All scores are equal: there is no gap.
        assert_eq!(best(&[0.5], &[0.5]).correct, 1);
    }

    #[test]
    fn neighbouring_numbers_are_told_apart() {
        for low in [0.3_f64, 0.1, 1e-300, -0.7] {
            let high = low.next_up();
            assert_eq!(best(&[high], &[low]), Threshold { value: high, correct: 2 });
        }
    }

    #[test]
    fn brute_force_agrees() {
        for seed in 0..20 {
            let scores = random(1, 40, 0.8, seed);
            // Rounded, so that there are ties.
            let pairs: Vec<_> = scores
                .pairs()
                .iter()
                .map(|pair| ScoredPair { score: (pair.score * 8.0).round() / 8.0, ..*pair })
                .collect();
            let count = |t: f64| pairs.iter().filter(|pair| (pair.score >= t) == pair.same).count();
            let most = (-600..=600).map(|i| count(f64::from(i) / 100.0 + 0.001)).max().unwrap();
            let threshold = best_threshold(&pairs).unwrap();
            assert_eq!(threshold.correct, most);
            assert_eq!(count(threshold.value), most);
        }
    }

    #[test]
    fn folds_by_hand() {
        let pair = |score, same, fold| ScoredPair { score, same, fold };
        let scores = Scores::new(vec![
            pair(9.0, true, 0),
            pair(1.0, false, 0),
            pair(5.0, true, 1),
            pair(4.0, false, 1),
            pair(3.0, true, 2),
            pair(2.0, false, 2),
        ])
        .unwrap();
        let accuracy = k_fold(&scores).unwrap();
        // Outside fold 0 i 2, g 3, i 4, g 5: the lower of two equal gaps. Outside fold 1 i 1, i 2, g 3, g 9.
        // Outside fold 2 i 1, i 4, g 5, g 9.
        let thresholds: Vec<f64> = accuracy.folds.iter().map(|fold| fold.threshold).collect();
        assert_eq!(thresholds, [2.5, 2.5, 4.5]);
        let accuracies: Vec<f64> = accuracy.folds.iter().map(|fold| fold.accuracy).collect();
        assert_eq!(accuracies, [1.0, 0.5, 0.5]);
        assert_eq!((accuracy.folds[1].false_accepts, accuracy.folds[2].false_rejects), (1, 1));
        assert!((accuracy.mean - 2.0 / 3.0).abs() < 1e-15);
        // Deviations 1/3, −1/6, −1/6: √((1/9 + 2/36) / 2) = √(1/12).
        let deviation = accuracy.standard_deviation.unwrap();
        assert!((deviation - (1.0_f64 / 12.0).sqrt()).abs() < 1e-15);
        assert!((accuracy.standard_error - deviation / 3.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(accuracy.interval, wilson(4, 6));
    }

    #[test]
    fn ten_folds_against_a_direct_computation() {
        let scores = random(10, 30, 2.0, 3);
        let accuracy = k_fold(&scores).unwrap();
        assert_eq!(accuracy.threshold_from, ThresholdFrom::OtherFolds);
        for fold in &accuracy.folds {
            let correct = |inside: bool, t: f64| {
                scores
                    .pairs()
                    .iter()
                    .filter(|p| (p.fold == fold.fold) == inside && (p.score >= t) == p.same)
                    .count()
            };
            let most = scores.pairs().iter().map(|pair| correct(false, pair.score)).max().unwrap();
            assert_eq!(correct(false, fold.threshold), most);
            assert_eq!(fold.accuracy, correct(true, fold.threshold) as f64 / 60.0);
        }
        // Φ(1) = 0.841 is the best there is.
        assert!((accuracy.mean - 0.841).abs() < 0.06, "{}", accuracy.mean);
    }

    #[test]
    fn the_order_of_pairs_does_not_matter() {
        let scores = random(5, 40, 1.0, 8);
        let mut pairs = scores.pairs().to_vec();
        Stream::new(2, Purpose::Order, 0, 0).shuffle(&mut pairs);
        assert_eq!(k_fold(&Scores::new(pairs).unwrap()), k_fold(&scores));
    }

    #[test]
    fn scores_without_meaning_are_at_chance() {
        let accuracy = k_fold(&random(10, 300, 0.0, 6)).unwrap();
        // Five binomial standard errors of 6,000 pairs.
        assert!((accuracy.mean - 0.5).abs() < 5.0 * (0.25_f64 / 6000.0).sqrt(), "{}", accuracy.mean);
        assert!(accuracy.interval.low < 0.5 && accuracy.interval.high > 0.5, "{accuracy:?}");
    }

    #[test]
    fn view_1_takes_the_threshold_from_elsewhere() {
        let development = scores(&[0.9, 0.8], &[0.2, 0.4]);
        let test = scores(&[0.7, 0.5], &[0.1, 0.3]);
        let accuracy = transfer(&development, &test).unwrap();
        assert!((accuracy.threshold() - 0.6).abs() < 1e-12);
        assert_eq!((accuracy.mean, accuracy.threshold_from), (0.75, ThresholdFrom::OtherPairs));
        assert_eq!(accuracy.standard_deviation, None);
        assert_eq!(accuracy.standard_error, (0.75_f64 * 0.25 / 4.0).sqrt());
        assert_eq!(accuracy.interval, wilson(3, 4));
        let flattered = same_pairs(&test).unwrap();
        assert_eq!((flattered.mean, flattered.threshold_from), (1.0, ThresholdFrom::SamePairs));
        // Given a threshold, a list of one class has an accuracy.
        assert_eq!(transfer(&development, &scores(&[0.9, 0.5], &[])).unwrap().mean, 0.5);
    }

    #[test]
    fn what_cannot_be_measured_is_said() {
        let both = scores(&[0.9], &[0.1]);
        let genuine = scores(&[0.9, 0.8], &[]);
        assert_eq!(same_pairs(&genuine), Err(Unmeasurable::OnlyGenuine));
        assert_eq!(k_fold(&genuine), Err(Unmeasurable::OnlyGenuine));
        assert_eq!(k_fold(&both), Err(Unmeasurable::OneFold));
        assert_eq!(transfer(&genuine, &both), Err(Unmeasurable::OnlyGenuine));
        assert_eq!(transfer(&both, &scores(&[], &[])), Err(Unmeasurable::NoPairs));
        // Both classes, but apart: outside fold 0 there are only impostors.
        let apart = [(true, 0), (false, 1)].map(|(same, fold)| ScoredPair { score: 0.5, same, fold });
        assert_eq!(k_fold(&Scores::new(apart.to_vec()).unwrap()), Err(Unmeasurable::OnlyImpostor));
    }
}
