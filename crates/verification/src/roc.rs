//! The receiver operating characteristic: how many genuine and impostor pairs each threshold accepts.

use serde::{Deserialize, Serialize};

use crate::{ScoredPair, Scores, Unmeasurable, missing::by_class, wilson};
use facegrad_results::Interval;

/// The false-accept rates at which a true-accept rate is asked for, each if there are impostor pairs enough.
pub const FAR_TARGETS: [f64; 6] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

/// The costs of errors that a minimum is asked for: those of the NIST evaluations of 2016 and 2010.
pub const DETECTION_COSTS: [DetectionCost; 2] = [DetectionCost::equal(0.01), DetectionCost::equal(0.001)];

/// What a threshold accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RocPoint {
    /// Pairs with at least this score are accepted.
    pub threshold: f64,
    /// The number of genuine pairs accepted.
    pub true_accepts: usize,
    /// The number of impostor pairs accepted.
    pub false_accepts: usize,
}

/// The exact receiver operating characteristic: one point for each distinct score, and one that rejects
/// every pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Roc {
    points: Vec<RocPoint>,
    classes: Classes,
}

/// How many pairs of each class there are; what follows from that and from the points of a curve, from the one that
/// rejects every pair to the one that accepts every pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Classes {
    pub genuine: usize,
    pub impostor: usize,
}

impl Classes {
    /// The false-accept rate at a point.
    pub fn far(self, point: &RocPoint) -> f64 {
        point.false_accepts as f64 / self.impostor as f64
    }

    /// The true-accept rate at a point.
    pub fn tar(self, point: &RocPoint) -> f64 {
        point.true_accepts as f64 / self.genuine as f64
    }

    /// See [`Roc::auc`].
    pub fn auc(self, points: impl Iterator<Item = RocPoint>) -> f64 {
        // Twice the area in units of pairs of pairs is a whole number, so the sum is exact.
        let twice = steps(points).map(|[before, after]| {
            let width = (after.false_accepts - before.false_accepts) as u128;
            width * (before.true_accepts + after.true_accepts) as u128
        });
        twice.sum::<u128>() as f64 / (2.0 * self.genuine as f64 * self.impostor as f64)
    }

    /// See [`Roc::eer`].
    pub fn eer(self, points: impl Iterator<Item = RocPoint>) -> f64 {
        let gap = |point: &RocPoint| self.far(point) + self.tar(point) - 1.0;
        // The gap grows from −1 to 1, so it has a first point that is not below zero.
        let crossing = steps(points).find(|[_, after]| gap(after) >= 0.0);
        crossing.map_or(f64::NAN, |[before, after]| {
            let part = gap(&before) / (gap(&before) - gap(&after));
            self.far(&before) + part * (self.far(&after) - self.far(&before))
        })
    }

    /// See [`Roc::tar_at_far`]; not measurable without genuine pairs either.
    pub fn tar_at_far(self, points: impl Iterator<Item = RocPoint>, target: f64) -> TarAtFar {
        let impostors_needed = needed(target);
        let enough = self.impostor >= impostors_needed && self.genuine > 0;
        let point = points.take_while(|point| enough && self.far(point) <= target).last();
        let measured = point.map(|point| OperatingPoint {
            threshold: point.threshold,
            far: self.far(&point),
            tar: self.tar(&point),
            interval: wilson(point.true_accepts, self.genuine),
            far_interval: Some(wilson(point.false_accepts, self.impostor)),
        });
        TarAtFar { target, impostors_needed, measured }
    }
}

/// Each point with the one before.
fn steps(mut points: impl Iterator<Item = RocPoint>) -> impl Iterator<Item = [RocPoint; 2]> {
    let first = points.next();
    points.scan(first, |before, after| Some([before.replace(after)?, after]))
}

impl Roc {
    /// The characteristic of `scores`; pairs that have none are [errors](Self::with_errors).
    ///
    /// # Errors
    /// If the pairs with scores are not of both classes.
    pub fn new(scores: &Scores) -> Result<Self, Unmeasurable> {
        match scores.unmeasurable() {
            Some(reason) => Err(reason),
            None => {
                let [genuine, impostor] = by_class(scores.lost());
                Ok(Self::through(sweep(scores.pairs())).with_errors(genuine, impostor))
            }
        }
    }

    /// The characteristic with these points, of which the first rejects every pair and the last accepts pairs of
    /// both classes, all there are.
    pub(crate) fn through(points: Vec<RocPoint>) -> Self {
        let last = points[points.len() - 1];
        let classes = Classes { genuine: last.true_accepts, impostor: last.false_accepts };
        Self { points, classes }
    }

    /// The same with further pairs that every threshold decides wrongly: `genuine` pairs that are rejected and `impostor`
    /// pairs that are accepted. The curve then begins at a false-accept rate above 0 and ends at a true-accept rate below 1;
    /// in the area such a pair is outscored by all of the other class.
    pub fn with_errors(mut self, genuine: usize, impostor: usize) -> Self {
        self.points.iter_mut().for_each(|point| point.false_accepts += impostor);
        self.classes.genuine += genuine;
        self.classes.impostor += impostor;
        self
    }

    /// The points, from the threshold just above the highest score, which rejects every pair, to the lowest
    /// score, which accepts every pair.
    pub fn points(&self) -> &[RocPoint] {
        &self.points
    }

    /// The number of genuine pairs.
    pub fn genuine(&self) -> usize {
        self.classes.genuine
    }

    /// The number of impostor pairs.
    pub fn impostor(&self) -> usize {
        self.classes.impostor
    }

    /// The false-accept rate at a point.
    pub fn far(&self, point: &RocPoint) -> f64 {
        self.classes.far(point)
    }

    /// The true-accept rate at a point.
    pub fn tar(&self, point: &RocPoint) -> f64 {
        self.classes.tar(point)
    }

    /// The curve, as (FAR, TAR), from (0, 0) to (1, 1) but for pairs that are [errors](Self::with_errors).
    pub fn curve(&self) -> Vec<(f64, f64)> {
        self.points.iter().map(|point| (self.far(point), self.tar(point))).collect()
    }

    /// Enough of the points for a picture with a logarithmic FAR axis: the first and the last, and one
    /// wherever the count of false accepts has grown by a hundredth or the true-accept rate by a thousandth.
    pub fn thinned(&self) -> Vec<RocPoint> {
        let Some((&last, points)) = self.points.split_last() else { return Vec::new() };
        let mut kept: Vec<RocPoint> = Vec::new();
        for &point in points {
            let is_new = kept.last().is_none_or(|before| {
                (point.false_accepts - before.false_accepts) * 100 > before.false_accepts
                    || (point.true_accepts - before.true_accepts) * 1000 >= self.classes.genuine
            });
            if is_new {
                kept.push(point);
            }
        }
        kept.push(last);
        kept
    }

    /// The area under the curve: the chance that a genuine pair scores above an impostor pair, equal scores
    /// counting one half (Mann and Whitney 1947).
    pub fn auc(&self) -> f64 {
        self.classes.auc(self.points.iter().copied())
    }

    /// How far the area under the curve of counted scores may be from that of the scores themselves: pairs of both
    /// classes in one cell count as equal.
    pub fn auc_error(&self) -> f64 {
        let tied = steps(self.points.iter().copied()).map(|[before, after]| {
            let impostor = (after.false_accepts - before.false_accepts) as u128;
            impostor * (after.true_accepts - before.true_accepts) as u128
        });
        tied.sum::<u128>() as f64 / (2.0 * self.classes.genuine as f64 * self.classes.impostor as f64)
    }

    /// The average precision: over the points, the rise in TAR times the precision there, which is the share
    /// of genuine pairs among those accepted. Pairs of equal scores are accepted together.
    ///
    /// Unlike the area under the curve it depends on how many impostor pairs there are for each genuine one.
    /// The definition is that of scikit-learn's `average_precision_score`, without interpolation.
    pub fn average_precision(&self) -> f64 {
        let terms = steps(self.points.iter().copied()).map(|[before, after]| {
            let precision = after.true_accepts as f64 / (after.true_accepts + after.false_accepts) as f64;
            (after.true_accepts - before.true_accepts) as f64 * precision
        });
        terms.sum::<f64>() / self.classes.genuine as f64
    }

    /// The equal error rate: where FAR equals 1 − TAR on the straight lines between neighbouring points.
    pub fn eer(&self) -> f64 {
        self.classes.eer(self.points.iter().copied())
    }

    /// The true-accept rate at the lowest threshold whose false-accept rate is not above `target`.
    ///
    /// `target` is in (0, 1]. It is not measurable with fewer than 10 / `target` impostor pairs: fewer than
    /// ten accepted pairs would decide the threshold; nor where more pairs than that are accepted at every threshold.
    pub fn tar_at_far(&self, target: f64) -> TarAtFar {
        self.classes.tar_at_far(self.points.iter().copied(), target)
    }

    /// The lowest detection cost of all thresholds, and the highest threshold that has it.
    ///
    /// It is not measurable where a single pair changes the cost by more than a tenth.
    pub fn min_dcf(&self, cost: DetectionCost) -> MinDcf {
        let [per_miss, per_false_accept] = cost.per_rate();
        let (genuine_needed, impostors_needed) = (tenths(per_miss), tenths(per_false_accept));
        let measured = (self.classes.genuine >= genuine_needed && self.classes.impostor >= impostors_needed)
            .then(|| {
                let of = |point: &RocPoint| CostPoint {
                    threshold: point.threshold,
                    cost: cost.of(self.far(point), 1.0 - self.tar(point)),
                    far: self.far(point),
                    frr: 1.0 - self.tar(point),
                };
                self.points[1..]
                    .iter()
                    .map(of)
                    .fold(of(&self.points[0]), |best, next| if next.cost < best.cost { next } else { best })
            });
        MinDcf { at: cost, genuine_needed, impostors_needed, measured }
    }
}

/// How many trials it takes to measure at a rate of errors: those of which ten are errors.
pub(crate) fn needed(rate: f64) -> usize {
    tenths(1.0 / rate)
}

/// Ten times `weight`, rounded up: how many pairs it takes for one to weigh at most a tenth.
fn tenths(weight: f64) -> usize {
    // Rounded before it is rounded up, so that 10 / 0.001 needs 10,000 and not 10,001.
    (10.0 * weight * (1.0 - 2.0 * f64::EPSILON)).ceil() as usize
}

/// What errors cost, and how often pairs are genuine where the model is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DetectionCost {
    /// The share of genuine pairs, above 0 and below 1.
    pub p_target: f64,
    /// The cost of rejecting a genuine pair, above 0.
    pub c_miss: f64,
    /// The cost of accepting an impostor pair, above 0.
    pub c_fa: f64,
}

impl DetectionCost {
    /// Both errors cost 1.
    pub const fn equal(p_target: f64) -> Self {
        Self { p_target, c_miss: 1.0, c_fa: 1.0 }
    }

    /// The normalised detection cost at a false-accept and a false-reject rate: the expected cost divided by that
    /// of accepting or rejecting every pair, whichever is cheaper.
    ///
    /// Source: NIST, evaluation plans of the Speaker Recognition Evaluations of 2010 (share 0.001) and 2016
    /// (share 0.01).
    pub fn of(&self, far: f64, frr: f64) -> f64 {
        let [per_miss, per_false_accept] = self.per_rate();
        per_miss * frr + per_false_accept * far
    }

    /// What the false-reject and the false-accept rate are multiplied by.
    pub(crate) fn per_rate(&self) -> [f64; 2] {
        let (miss, false_accept) = (self.c_miss * self.p_target, self.c_fa * (1.0 - self.p_target));
        [miss, false_accept].map(|cost| cost / miss.min(false_accept))
    }
}

/// The lowest detection cost of all thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MinDcf {
    /// What errors cost.
    #[serde(flatten)]
    pub at: DetectionCost,
    /// How many genuine pairs it takes for one to change the cost by at most a tenth.
    pub genuine_needed: usize,
    /// How many impostor pairs it takes for that.
    pub impostors_needed: usize,
    /// The minimum; absent if there are fewer pairs than that.
    pub measured: Option<CostPoint>,
}

/// A threshold and what its errors cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CostPoint {
    /// Pairs with at least this score are accepted.
    pub threshold: f64,
    /// The normalised detection cost, from 0 to 1.
    pub cost: f64,
    /// The false-accept rate.
    pub far: f64,
    /// The false-reject rate.
    pub frr: f64,
}

/// A threshold and its error rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Pairs with at least this score are accepted.
    pub threshold: f64,
    /// The false-accept rate.
    pub far: f64,
    /// The true-accept rate.
    pub tar: f64,
    /// The 95 % interval of the true-accept rate (Wilson).
    pub interval: Interval,
    /// The 95 % interval of the false-accept rate (Wilson); absent in results of older versions.
    #[serde(default)]
    pub far_interval: Option<Interval>,
}

/// The true-accept rate at a false-accept rate that is not above a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TarAtFar {
    /// The false-accept rate not to exceed.
    pub target: f64,
    /// How many impostor pairs it takes to measure at this target: 10 / `target`.
    pub impostors_needed: usize,
    /// The operating point; absent if there are fewer impostor pairs than that, or if so many are lost and count as accepted
    /// that no threshold keeps within the target.
    pub measured: Option<OperatingPoint>,
}

/// What each threshold accepts, from the one just above the highest score down through the distinct scores.
pub(crate) fn sweep(pairs: &[ScoredPair]) -> Vec<RocPoint> {
    sweep_sorted(&descending(pairs))
}

/// The pairs from the highest score to the lowest.
pub(crate) fn descending(pairs: &[ScoredPair]) -> Vec<ScoredPair> {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    sorted
}

/// [`sweep`] for pairs that are [`descending`] already.
pub(crate) fn sweep_sorted(sorted: &[ScoredPair]) -> Vec<RocPoint> {
    let Some(highest) = sorted.first() else { return Vec::new() };
    let mut point = RocPoint { threshold: highest.score.next_up(), true_accepts: 0, false_accepts: 0 };
    let mut points = vec![point];
    for tied in sorted.chunk_by(|a, b| a.score == b.score) {
        let genuine = tied.iter().filter(|pair| pair.same).count();
        point = RocPoint {
            threshold: tied[0].score,
            true_accepts: point.true_accepts + genuine,
            false_accepts: point.false_accepts + tied.len() - genuine,
        };
        points.push(point);
    }
    points
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::scores::scores;

    /// Two overlapping classes, on a grid of `levels` scores so that there are ties.
    fn random(genuine: usize, impostor: usize, shift: f64, levels: f64, seed: u64) -> Scores {
        let mut stream = Stream::new(seed, Purpose::Bootstrap, 0, 0);
        let mut draw = |n: usize, shift: f64| -> Vec<f64> {
            (0..n).map(|_| ((f64::from(stream.normal()) + shift) * levels).round() / levels).collect()
        };
        let (genuine, impostor) = (draw(genuine, shift), draw(impostor, 0.0));
        scores(&genuine, &impostor)
    }

    fn roc(genuine: &[f64], impostor: &[f64]) -> Roc {
        Roc::new(&scores(genuine, impostor)).unwrap()
    }

    #[test]
    fn by_hand() {
        // Descending: g .9, g+i .7, i .5, g .3, i .1.
        let roc = roc(&[0.3, 0.9, 0.7], &[0.5, 0.1, 0.7]);
        let curve: Vec<_> = roc.points().iter().map(|p| (p.true_accepts, p.false_accepts)).collect();
        assert_eq!(curve, [(0, 0), (1, 0), (2, 1), (2, 2), (3, 2), (3, 3)]);
        // g .9 beats three, .7 beats two and ties with one, .3 beats one: 6.5 of 9.
        assert_eq!(roc.auc(), 6.5 / 9.0);
        // FAR 1/3 and 1 − TAR 1/3 meet at the third point.
        assert!((roc.eer() - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(roc.curve()[3], (2.0 / 3.0, 2.0 / 3.0));
    }

    #[test]
    fn eer_lies_on_the_line_between_points() {
        // (0, 0), (0, 1/2), (1, 1): the line from (0, 1/2) meets FAR = 1 − TAR where x = 1/2 − x/2.
        assert!((roc(&[2.0, 1.0], &[1.0]).eer() - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn brute_force_agrees() {
        for (seed, levels) in [(1, 4.0), (2, 1000.0), (3, 1.0)] {
            let scores = random(150, 230, 1.0, levels, seed);
            let roc = Roc::new(&scores).unwrap();
            let (genuine, impostor) = (scores.genuine(), scores.impostor());
            let wins: f64 = genuine
                .iter()
                .flat_map(|g| {
                    impostor.iter().map(move |i| {
                        if g > i {
                            1.0
                        } else if g == i {
                            0.5
                        } else {
                            0.0
                        }
                    })
                })
                .sum();
            assert!((roc.auc() - wins / (150.0 * 230.0)).abs() < 1e-14);
            for point in roc.points() {
                let accepted = |of: &[f64]| of.iter().filter(|score| **score >= point.threshold).count();
                assert_eq!(point.true_accepts, accepted(&genuine));
                assert_eq!(point.false_accepts, accepted(&impostor));
            }
            for target in [0.05, 0.1, 0.3, 1.0] {
                let rates = |threshold: f64| {
                    let share =
                        |of: &[f64]| of.iter().filter(|s| **s >= threshold).count() as f64 / of.len() as f64;
                    (share(&impostor), share(&genuine))
                };
                let best =
                    scores.pairs().iter().map(|pair| rates(pair.score)).filter(|(far, _)| *far <= target);
                let best = best.fold(0.0, |best: f64, (_, tar)| best.max(tar));
                let measured = roc.tar_at_far(target).measured.unwrap();
                assert_eq!(measured.tar, best);
                assert!(measured.far <= target);
            }
        }
    }

    #[test]
    fn the_curve_rises_and_does_not_depend_on_the_order() {
        let scores = random(300, 300, 0.5, 20.0, 4);
        let roc = Roc::new(&scores).unwrap();
        for step in roc.points().windows(2) {
            assert!(step[0].threshold > step[1].threshold);
            assert!(step[0].true_accepts <= step[1].true_accepts);
            assert!(step[0].false_accepts <= step[1].false_accepts);
        }
        let mut pairs = scores.pairs().to_vec();
        Stream::new(1, Purpose::Order, 0, 0).shuffle(&mut pairs);
        assert_eq!(Roc::new(&Scores::new(pairs).unwrap()).unwrap(), roc);
    }

    #[test]
    fn perfect_separation_and_its_opposite() {
        let perfect = roc(&[0.8, 0.9], &[0.1, 0.2, 0.3]);
        assert_eq!((perfect.auc(), perfect.eer()), (1.0, 0.0));
        let inverse = roc(&[0.1], &[0.9]);
        assert_eq!((inverse.auc(), inverse.eer()), (0.0, 1.0));
        let equal = roc(&[0.5; 4], &[0.5; 9]);
        assert_eq!((equal.auc(), equal.eer()), (0.5, 0.5));
    }

    #[test]
    fn scores_without_meaning_are_at_chance() {
        let roc = Roc::new(&random(2000, 2000, 0.0, 1e6, 5)).unwrap();
        // Standard error of the AUC under chance: √((m + n + 1) / (12 m n)) = 0.0091.
        assert!((roc.auc() - 0.5).abs() < 0.045, "{}", roc.auc());
        assert!((roc.eer() - 0.5).abs() < 0.06, "{}", roc.eer());
    }

    #[test]
    fn far_is_never_above_the_target() {
        let impostor: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        // Ten impostors score 0.9 and above: exactly a tenth.
        let at = roc(&[0.905, 0.895, 0.885], &impostor).tar_at_far(0.1);
        let point = at.measured.unwrap();
        assert_eq!((point.far, point.tar, point.threshold), (0.1, 2.0 / 3.0, 0.895));
        assert_eq!((point.interval, point.far_interval), (wilson(2, 3), Some(wilson(10, 100))));
        // A tie that would carry the rate over the target is left out as a whole.
        let tied = roc(&[2.0, 1.0], &[vec![1.0; 30], vec![0.0; 70]].concat()).tar_at_far(0.1);
        assert_eq!(tied.measured.map(|p| (p.far, p.tar, p.threshold)), Some((0.0, 0.5, 2.0)));
        let all_tied = roc(&[1.0], &[1.0; 100]).tar_at_far(0.1).measured.unwrap();
        assert_eq!((all_tied.far, all_tied.tar), (0.0, 0.0));
        assert!(all_tied.threshold > 1.0 && all_tied.threshold.is_finite());
    }

    #[test]
    fn too_few_impostors_are_said() {
        for (target, needed) in
            FAR_TARGETS.into_iter().zip([100, 1000, 10_000, 100_000, 1_000_000, 10_000_000])
        {
            let at = roc(&[1.0], &vec![0.0; needed.min(10_000)]).tar_at_far(target);
            assert_eq!(at.impostors_needed, needed);
            assert_eq!(at.measured.is_some(), needed <= 10_000);
            assert!(roc(&[1.0], &vec![0.0; needed.min(10_000) - 1]).tar_at_far(target).measured.is_none());
        }
    }

    #[test]
    fn the_detection_cost_by_hand() {
        let cost = DetectionCost { p_target: 0.1, c_miss: 2.0, c_fa: 0.5 };
        // 0.2 · FRR + 0.45 · FAR, divided by 0.2.
        assert!((cost.of(0.1, 0.3) - 0.525).abs() < 1e-15);
        // Rejecting every pair costs 1, accepting every pair more; where genuine pairs are common, the reverse.
        assert_eq!((cost.of(0.0, 1.0), cost.of(1.0, 0.0)), (1.0, 2.25));
        assert_eq!(DetectionCost::equal(0.9).of(1.0, 0.0), 1.0);
        assert!((DetectionCost::equal(0.9).of(0.0, 1.0) - 9.0).abs() < 1e-12);
    }

    #[test]
    fn the_minimum_of_the_detection_cost_is_that_of_all_thresholds() {
        for (seed, cost) in [
            (1, DetectionCost::equal(0.2)),
            (2, DetectionCost { p_target: 0.05, c_miss: 10.0, c_fa: 1.0 }),
            (3, DetectionCost::equal(0.7)),
        ] {
            let scores = random(150, 230, 1.5, 10.0, seed);
            let (genuine, impostor) = (scores.genuine(), scores.impostor());
            let at = |threshold: f64| {
                let accepted = |of: &[f64]| of.iter().filter(|score| **score >= threshold).count() as f64;
                let (far, frr) = (accepted(&impostor) / 230.0, 1.0 - accepted(&genuine) / 150.0);
                let expected = cost.c_miss * cost.p_target * frr + cost.c_fa * (1.0 - cost.p_target) * far;
                expected / (cost.c_miss * cost.p_target).min(cost.c_fa * (1.0 - cost.p_target))
            };
            let least = (-700..700).map(|i| at(f64::from(i) / 100.0 + 0.001)).fold(f64::INFINITY, f64::min);
            let measured = Roc::new(&scores).unwrap().min_dcf(cost).measured.unwrap();
            assert!((measured.cost - least).abs() < 1e-12);
            assert!((at(measured.threshold) - least).abs() < 1e-12);
            assert!((cost.of(measured.far, measured.frr) - least).abs() < 1e-12 && least <= 1.0);
        }
    }

    #[test]
    fn a_detection_cost_that_hangs_on_single_pairs_is_not_measured() {
        // At shares of 0.01 and 0.001 a false-accept rate weighs 99 and 999 times as much as a miss.
        let at = |genuine: usize, impostor: usize| {
            let roc = roc(&vec![1.0; genuine], &vec![0.0; impostor]);
            DETECTION_COSTS.map(|cost| roc.min_dcf(cost).measured.map(|measured| measured.cost))
        };
        assert_eq!(at(10, 990), [Some(0.0), None]);
        assert_eq!(at(10, 989), [None, None]);
        assert_eq!(at(9, 9990), [None, None]);
        assert_eq!(at(10, 9990), [Some(0.0), Some(0.0)]);
    }

    #[test]
    fn one_class_has_no_curve() {
        assert_eq!(Roc::new(&scores(&[0.1, 0.2], &[])), Err(Unmeasurable::OnlyGenuine));
        assert_eq!(Roc::new(&scores(&[], &[0.1])), Err(Unmeasurable::OnlyImpostor));
        assert_eq!(Roc::new(&scores(&[], &[])), Err(Unmeasurable::NoPairs));
    }

    /// The score lists of `reference/scikit_learn.py`.
    fn made(of: &serde_json::Value) -> Scores {
        let number = |name: &str| of[name].as_i64().unwrap();
        let mut state = number("seed") as u64;
        let mut draw = |shift: i64| {
            let sum: i64 = (0..4)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 33) as i64 % 65536
                })
                .sum();
            (sum + shift).div_euclid(number("step")) as f64
        };
        let genuine: Vec<f64> = (0..number("genuine")).map(|_| draw(number("shift"))).collect();
        let impostor: Vec<f64> = (0..number("impostor")).map(|_| draw(0)).collect();
        scores(&genuine, &impostor)
    }

    #[test]
    fn scikit_learn_agrees() {
        let stored = crate::reference::read(include_str!("../reference/scikit_learn.json"));
        let lists = stored["lists"].as_array().unwrap();
        assert_eq!(lists.len(), 10);
        for list in lists {
            let name = &list["name"];
            let numbers = |key: &str| serde_json::from_value::<Vec<f64>>(list[key].clone()).unwrap();
            let roc = Roc::new(&made(&list["scores"])).unwrap();
            // Every point, to the last bit.
            let rate = |of: fn(&Roc, &RocPoint) -> f64| -> Vec<f64> {
                roc.points().iter().map(|point| of(&roc, point)).collect()
            };
            assert_eq!(rate(Roc::far), numbers("fpr"), "{name}");
            assert_eq!(rate(Roc::tar), numbers("tpr"), "{name}");
            let thresholds: Vec<f64> = roc.points()[1..].iter().map(|point| point.threshold).collect();
            assert_eq!(thresholds, numbers("thresholds"), "{name}");
            for (value, key) in [(roc.auc(), "auc"), (roc.average_precision(), "average_precision")] {
                assert!((value - list[key].as_f64().unwrap()).abs() < 1e-12, "{name}: {key} {value}");
            }
        }
    }

    #[test]
    fn average_precision_by_hand() {
        // Descending: g .9, g+i .7, i .5, g .3, i .1: precisions 1, 2/3 and 3/5 for a third of the pairs each.
        let precision = roc(&[0.3, 0.9, 0.7], &[0.5, 0.1, 0.7]).average_precision();
        assert!((precision - (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0).abs() < 1e-15);
    }
}
