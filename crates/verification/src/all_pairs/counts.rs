//! Scores counted on a fine grid, and what follows from the counts.

use serde::{Deserialize, Serialize};

use crate::{Roc, RocPoint, TarAtFar, Unmeasurable};

/// Grid cells in a unit of the score. A power of two, so that the cell of a score is exact.
const CELLS_PER_UNIT: i32 = 1 << 20;

/// Cells from −1 to 1; the last holds the score 1 alone.
pub(super) const CELLS: usize = 2 * CELLS_PER_UNIT as usize + 1;

/// The width of a grid cell, 2⁻²⁰: about the rounding error of an f32 product of 512 numbers, so that a finer
/// threshold would tell rounding errors apart.
const RESOLUTION: f64 = 1.0 / CELLS_PER_UNIT as f64;

/// The cell of a score from −1 to 1: the lower edge of the cell is at most the score.
#[inline(always)]
pub(super) fn cell(score: f32) -> usize {
    // Scaling by a power of two is exact. The conversion rounds towards zero, so it is too high by one for
    // negative numbers that are not whole.
    let scaled = score * CELLS_PER_UNIT as f32;
    let whole = scaled as i32;
    (whole - i32::from(whole as f32 > scaled) + CELLS_PER_UNIT) as usize
}

/// The lower edge of a cell.
fn edge(cell: usize) -> f64 {
    (cell as f64 - f64::from(CELLS_PER_UNIT)) * RESOLUTION
}

/// How many genuine and impostor pairs have a score in each cell of a grid over −1 to 1.
///
/// The thresholds of the curve are edges of cells, and what they accept is counted exactly: a false-accept
/// rate is never above its target. What a threshold inside a cell would accept is not known; the lowest
/// allowed threshold is met to within [`ScoreCounts::RESOLUTION`].
#[derive(Clone, PartialEq)]
pub struct ScoreCounts {
    genuine: Vec<u64>,
    impostor: Vec<u64>,
}

impl std::fmt::Debug for ScoreCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScoreCounts")
            .field("genuine", &self.genuine())
            .field("impostor", &self.impostor())
            .finish_non_exhaustive()
    }
}

impl ScoreCounts {
    /// The width of a grid cell, 2⁻²⁰.
    pub const RESOLUTION: f64 = RESOLUTION;

    /// No pairs.
    pub(super) fn new() -> Self {
        Self { genuine: vec![0; CELLS], impostor: vec![0; CELLS] }
    }

    /// Adds the counts of cells, of impostor pairs and then of genuine pairs, and sets them to zero.
    pub(super) fn take(&mut self, counts: &mut [u32]) {
        let (impostor, genuine) = counts.split_at_mut(CELLS);
        for (sums, counts) in [(&mut self.impostor, impostor), (&mut self.genuine, genuine)] {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += u64::from(std::mem::take(count));
            }
        }
    }

    /// The number of genuine pairs.
    pub fn genuine(&self) -> usize {
        self.genuine.iter().sum::<u64>() as usize
    }

    /// The number of impostor pairs.
    pub fn impostor(&self) -> usize {
        self.impostor.iter().sum::<u64>() as usize
    }

    /// Whether all scores of several pairs are equal but for rounding, which is that of a cell.
    pub fn are_equal(&self) -> bool {
        let taken = |cell: &usize| self.genuine[*cell] + self.impostor[*cell] > 0;
        let (lowest, highest) = ((0..CELLS).find(taken), (0..CELLS).rev().find(taken));
        self.genuine() + self.impostor() > 1 && highest <= lowest.map(|cell| cell + 1)
    }

    /// Why error rates of these pairs cannot be weighed against each other, if they cannot.
    pub fn unmeasurable(&self) -> Option<Unmeasurable> {
        Unmeasurable::of_classes(self.genuine() > 0, self.impostor() > 0)
    }

    /// The receiver operating characteristic: one point for each cell that holds a pair, and one that rejects
    /// every pair. Every point is exact; what lies between two neighbouring points is not known.
    ///
    /// # Errors
    /// If the pairs are not of both classes.
    pub fn roc(&self) -> Result<Roc, Unmeasurable> {
        if let Some(reason) = self.unmeasurable() {
            return Err(reason);
        }
        let taken = |&cell: &usize| self.genuine[cell] + self.impostor[cell] > 0;
        let cells: Vec<usize> = (0..CELLS).rev().filter(taken).collect();
        let reject_all = edge(cells.first().map_or(CELLS, |highest| highest + 1));
        let mut point = RocPoint { threshold: reject_all, true_accepts: 0, false_accepts: 0 };
        let mut points = Vec::with_capacity(cells.len() + 1);
        points.push(point);
        for cell in cells {
            point = RocPoint {
                threshold: edge(cell),
                true_accepts: point.true_accepts + self.genuine[cell] as usize,
                false_accepts: point.false_accepts + self.impostor[cell] as usize,
            };
            points.push(point);
        }
        Ok(Roc::through(points))
    }

    /// Both classes in `bins` bins of equal width from −1 to 1, for a picture.
    ///
    /// Exact if `bins` divides 2²¹, such as 512; else a pair may be counted in the neighbouring bin if its
    /// score is within the resolution of their edge.
    ///
    /// # Panics
    /// If `bins` is zero.
    pub fn histogram(&self, bins: usize) -> ScoreHistogram {
        assert!(bins > 0, "a histogram of no bins");
        let merge = |counts: &[u64]| {
            let mut merged = vec![0; bins];
            for (cell, count) in counts.iter().enumerate() {
                merged[(cell * bins / (CELLS - 1)).min(bins - 1)] += count;
            }
            merged
        };
        ScoreHistogram {
            low: -1.0,
            high: 1.0,
            genuine: merge(&self.genuine),
            impostor: merge(&self.impostor),
        }
    }
}

/// How many pairs of each class have a score in each of some bins of equal width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreHistogram {
    /// The lower edge of the first bin.
    pub low: f64,
    /// The upper edge of the last bin, which belongs to it.
    pub high: f64,
    /// Genuine pairs in each bin.
    pub genuine: Vec<u64>,
    /// Impostor pairs in each bin.
    pub impostor: Vec<u64>,
}

/// A true-accept rate at a false-accept rate, from counts on a grid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GridTarAtFar {
    /// The operating point, on the grid. Its interval takes pairs as independent; all pairs of a set share
    /// images and people, so the true interval is much wider.
    #[serde(flatten)]
    pub at: TarAtFar,
    /// No threshold with an allowed false-accept rate has a true-accept rate above this one; absent where
    /// the operating point is.
    pub tar_at_most: Option<f64>,
}

impl GridTarAtFar {
    /// [`Roc::tar_at_far`] on the curve of counted scores ([`ScoreCounts::roc`]).
    pub fn of(roc: &Roc, target: f64) -> Self {
        let at = roc.tar_at_far(target);
        // No threshold between the point measured and the next one accepts more than the latter.
        let next = roc.points().partition_point(|point| roc.far(point) <= target);
        let next = roc.points().get(next).or(roc.points().last());
        Self { at, tar_at_most: at.measured.and(next).map(|point| roc.tar(point)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facegrad_random::{Purpose, Stream};

    #[test]
    fn the_edge_of_a_cell_is_at_most_the_score() {
        let mut stream = Stream::new(1, Purpose::Bootstrap, 0, 0);
        let random = (0..100_000).map(|i| stream.range(-1.0, 1.0) / [1.0, 1e-3, 1e-6, 1e-9][i % 4]);
        for score in random.collect::<Vec<_>>().into_iter().chain([-1.0, -0.0, 0.0, 1.0, f32::MIN_POSITIVE]) {
            let score = score.clamp(-1.0, 1.0);
            let cell = cell(score);
            assert!(cell < CELLS);
            assert!(edge(cell) <= f64::from(score) && f64::from(score) < edge(cell + 1), "{score}");
        }
        assert_eq!((cell(-1.0), cell(0.0), cell(1.0)), (0, CELLS_PER_UNIT as usize, CELLS - 1));
    }

    fn counts(genuine: &[f32], impostor: &[f32]) -> ScoreCounts {
        let mut counts = ScoreCounts::new();
        genuine.iter().for_each(|&score| counts.genuine[cell(score)] += 1);
        impostor.iter().for_each(|&score| counts.impostor[cell(score)] += 1);
        counts
    }

    #[test]
    fn by_hand() {
        // As for the exact curve: g .9, g+i .7, i .5, g .3, i .1.
        let roc = counts(&[0.3, 0.9, 0.7], &[0.5, 0.1, 0.7]).roc().unwrap();
        let curve: Vec<_> = roc.points().iter().map(|p| (p.true_accepts, p.false_accepts)).collect();
        assert_eq!(curve, [(0, 0), (1, 0), (2, 1), (2, 2), (3, 2), (3, 3)]);
        // The pair that shares a cell is one of nine, a half of which is in doubt.
        assert_eq!((roc.auc(), roc.auc_error()), (6.5 / 9.0, 0.5 / 9.0));
        assert!((roc.eer() - 1.0 / 3.0).abs() < 1e-15);
        assert!(roc.points()[0].threshold > 0.9 && roc.points()[1].threshold <= 0.9_f32.into());
        assert_eq!(roc.thinned(), roc.points());
    }

    #[test]
    fn a_cell_that_would_carry_the_rate_over_the_target_is_left_out() {
        let impostor = [vec![1.0_f32; 30], vec![0.0; 70]].concat();
        let at = GridTarAtFar::of(&counts(&[1.0, 0.5], &impostor).roc().unwrap(), 0.1);
        let point = at.at.measured.unwrap();
        assert_eq!((point.far, point.tar, at.tar_at_most), (0.0, 0.0, Some(0.5)));
        assert!(point.threshold > 1.0);
        let few = GridTarAtFar::of(&counts(&[1.0, 0.5], &impostor[1..]).roc().unwrap(), 0.1);
        assert_eq!((few.at.measured, few.tar_at_most, few.at.impostors_needed), (None, None, 100));
    }

    #[test]
    fn histograms_keep_every_pair() {
        let counts = counts(&[-1.0, 1.0, 0.999, 0.0], &[-0.0001, 0.0]);
        let histogram = counts.histogram(4);
        assert_eq!((histogram.genuine, histogram.impostor), (vec![1, 0, 1, 2], vec![0, 1, 1, 0]));
        assert_eq!(counts.histogram(300).genuine.iter().sum::<u64>(), 4);
    }

    #[test]
    fn one_class_has_no_curve() {
        assert_eq!(counts(&[0.5], &[]).roc(), Err(Unmeasurable::OnlyGenuine));
        assert_eq!(counts(&[], &[0.5]).roc(), Err(Unmeasurable::OnlyImpostor));
        assert_eq!(counts(&[], &[]).roc(), Err(Unmeasurable::NoPairs));
    }
}
