//! 1:1: pairs of templates.

use std::{iter, mem, path::Path};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{PairFile, TemplatePair, Templates};
use crate::{
    FAR_TARGETS, ListError, RocPoint, ScoreError, TarAtFar, Unmeasurable, roc::Classes, text::are_equal,
};

/// Pairs that are read while as many are scored.
const PAIRS_AT_ONCE: usize = 1 << 20;

/// The scores of many pairs, 4 bytes each, from the highest to the lowest.
#[derive(Debug, Clone, PartialEq)]
pub struct PairScores {
    genuine: Vec<f32>,
    impostor: Vec<f32>,
}

impl PairScores {
    /// Scores from elsewhere, in any order.
    ///
    /// # Errors
    /// If a score is infinite or not a number.
    pub fn new(genuine: Vec<f32>, impostor: Vec<f32>) -> Result<Self, ScoreError> {
        for scores in [&genuine, &impostor] {
            if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
                return Err(ScoreError::NotFinite { index, score: scores[index].into() });
            }
        }
        Ok(Self::sorted(genuine, impostor))
    }

    /// Of finite scores.
    pub(super) fn sorted(mut genuine: Vec<f32>, mut impostor: Vec<f32>) -> Self {
        for scores in [&mut genuine, &mut impostor] {
            scores.par_sort_unstable_by(|a, b| b.total_cmp(a));
        }
        Self { genuine, impostor }
    }

    /// The cosines of the pairs of a file, computed in f32, and the SHA-256 of the file.
    ///
    /// The pairs are read in parts; memory is that of two parts and the scores.
    ///
    /// # Errors
    /// If the file is not as [`PairFile`] takes it.
    pub fn read(templates: &Templates, file: &Path) -> Result<(Self, String), ListError> {
        let mut pairs = PairFile::open(file, templates.ids())?;
        let (mut now, mut next) = (Vec::new(), Vec::new());
        let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
        pairs.next(&mut now, PAIRS_AT_ONCE)?;
        while !now.is_empty() {
            let (scores, read) =
                rayon::join(|| cosines(templates, &now), || pairs.next(&mut next, PAIRS_AT_ONCE));
            for (score, pair) in scores.into_iter().zip(&now) {
                if pair.same { genuine.push(score) } else { impostor.push(score) }
            }
            read?;
            mem::swap(&mut now, &mut next);
        }
        Ok((Self::sorted(genuine, impostor), pairs.sha256()))
    }

    /// Why error rates of these pairs cannot be weighed against each other, if they cannot.
    pub fn unmeasurable(&self) -> Option<Unmeasurable> {
        Unmeasurable::of_classes(!self.genuine.is_empty(), !self.impostor.is_empty())
    }

    /// What each threshold accepts, from the one just above the highest score down through the distinct
    /// scores; no points without pairs.
    pub fn points(&self) -> impl Iterator<Item = RocPoint> {
        let mut point = RocPoint { threshold: 0.0, true_accepts: 0, false_accepts: 0 };
        let rest = iter::from_fn(move || {
            let ahead = (self.genuine.get(point.true_accepts), self.impostor.get(point.false_accepts));
            let threshold = match ahead {
                (Some(&genuine), Some(&impostor)) => genuine.max(impostor),
                (Some(&score), None) | (None, Some(&score)) => score,
                (None, None) => return None,
            };
            let tied = |scores: &[f32]| scores.iter().take_while(|&&score| score == threshold).count();
            point = RocPoint {
                threshold: threshold.into(),
                true_accepts: point.true_accepts + tied(&self.genuine[point.true_accepts..]),
                false_accepts: point.false_accepts + tied(&self.impostor[point.false_accepts..]),
            };
            Some(point)
        });
        let highest = self.genuine.first().into_iter().chain(self.impostor.first());
        let above = highest.copied().max_by(f32::total_cmp).map(|highest| RocPoint {
            threshold: highest.next_up().into(),
            true_accepts: 0,
            false_accepts: 0,
        });
        above.into_iter().chain(rest)
    }

    /// Whether all scores of several pairs are equal but for rounding.
    fn are_equal(&self) -> bool {
        are_equal(self.genuine.iter().chain(&self.impostor).copied().map(f64::from))
    }

    fn classes(&self) -> Classes {
        Classes { genuine: self.genuine.len(), impostor: self.impostor.len() }
    }

    /// The area under the ROC: see [`Roc::auc`](crate::Roc::auc). Of pairs of both classes only.
    pub fn auc(&self) -> f64 {
        self.classes().auc(self.points())
    }

    /// The equal error rate: see [`Roc::eer`](crate::Roc::eer). Of pairs of both classes only.
    pub fn eer(&self) -> f64 {
        self.classes().eer(self.points())
    }

    /// The true-accept rate at the lowest threshold whose false-accept rate is not above `target`, in (0, 1]:
    /// see [`Roc::tar_at_far`](crate::Roc::tar_at_far). Not measurable without genuine pairs.
    pub fn tar_at_far(&self, target: f64) -> TarAtFar {
        self.classes().tar_at_far(self.points(), target)
    }

    /// What insightface prints for each of `targets`. Of pairs of both classes only.
    ///
    /// Its curve is that of scikit-learn's `roc_curve`: the point that accepts no pair, and of the others those
    /// that are not in the middle of a straight line. Of these it takes the one whose false-accept rate is
    /// nearest to the target, and of equally near ones the one with the lowest threshold.
    pub fn nearest(&self, targets: &[f64]) -> Vec<NearestPoint> {
        let classes = self.classes();
        let mut nearest: Vec<Option<NearestPoint>> = vec![None; targets.len()];
        let mut offer = |point: &RocPoint| {
            let (far, tar) = (classes.far(point), classes.tar(point));
            for (nearest, &target) in nearest.iter_mut().zip(targets) {
                if nearest.is_none_or(|known| (far - target).abs() <= (known.far - target).abs()) {
                    *nearest = Some(NearestPoint { target, far, tar, threshold: point.threshold });
                }
            }
        };
        let mut points = self.points();
        points.next().iter().for_each(&mut offer);
        let (mut before, mut middle): (Option<RocPoint>, Option<RocPoint>) = (None, None);
        for after in points {
            if let Some(middle) = middle {
                let step = |from: &RocPoint, to: &RocPoint| {
                    (to.true_accepts - from.true_accepts, to.false_accepts - from.false_accepts)
                };
                if before.is_none_or(|before| step(&before, &middle) != step(&middle, &after)) {
                    offer(&middle);
                }
            }
            (before, middle) = (middle, Some(after));
        }
        middle.iter().for_each(offer);
        nearest.into_iter().flatten().collect()
    }
}

fn cosines(templates: &Templates, pairs: &[TemplatePair]) -> Vec<f32> {
    let vector = |position: u32| templates.vector(position as usize);
    pairs
        .par_iter()
        .with_min_len(1024)
        .map(|pair| dot(vector(pair.a), vector(pair.b)).clamp(-1.0, 1.0))
        .collect()
}

/// The product of two unit vectors. The order of the sums is fixed, whatever the processor.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// A point of the ROC by the rule of insightface; for comparison with published tables only: its false-accept
/// rate may be above the target, and it is given however few impostors decide it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NearestPoint {
    /// The false-accept rate asked for.
    pub target: f64,
    /// The false-accept rate of the point.
    pub far: f64,
    /// The true-accept rate of the point.
    pub tar: f64,
    /// Pairs with at least this score are accepted.
    pub threshold: f64,
}

/// What the 1:1 protocol measured.
///
/// Intervals take the pairs as independent, which pairs of the same templates are not quite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IjbVerification {
    /// SHA-256 of the file of pairs.
    pub pairs_sha256: String,
    /// The number of genuine pairs.
    pub genuine: usize,
    /// The number of impostor pairs.
    pub impostor: usize,
    /// The area under the ROC.
    pub auc: Option<f64>,
    /// The equal error rate.
    pub eer: Option<f64>,
    /// The true-accept rates at false-accept rates of 1e-1 to 1e-6, never above these.
    pub tar_at_far: Vec<TarAtFar>,
    /// The numbers that insightface prints for these rates.
    pub insightface: Vec<NearestPoint>,
    /// Why there are no rates.
    pub unmeasurable: Option<Unmeasurable>,
    /// Whether all scores are equal, so that nobody is told apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub equal_scores: bool,
}

impl IjbVerification {
    /// Compares the pairs of templates of a file.
    ///
    /// # Errors
    /// See [`PairScores::read`].
    pub fn measure(templates: &Templates, pairs: &Path) -> Result<Self, ListError> {
        let (scores, pairs_sha256) = PairScores::read(templates, pairs)?;
        Ok(Self::of(&scores, pairs_sha256))
    }

    /// What follows from the scores of pairs.
    pub fn of(scores: &PairScores, pairs_sha256: String) -> Self {
        let unmeasurable = scores.unmeasurable();
        let is_measurable = unmeasurable.is_none();
        let targets: &[f64] = if is_measurable { &FAR_TARGETS } else { &[] };
        Self {
            pairs_sha256,
            genuine: scores.genuine.len(),
            impostor: scores.impostor.len(),
            auc: is_measurable.then(|| scores.auc()),
            eer: is_measurable.then(|| scores.eer()),
            tar_at_far: targets.iter().map(|&target| scores.tar_at_far(target)).collect(),
            insightface: scores.nearest(targets),
            unmeasurable,
            equal_scores: scores.are_equal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::{
        Roc,
        ijb::{
            TemplateNorm,
            templates::tests::{lists, rows},
        },
        scores::scores,
        wilson,
    };

    /// Scores of two overlapping classes on a grid of `levels`, so that there are ties.
    fn random(genuine: usize, impostor: usize, levels: f32, seed: u64) -> [Vec<f32>; 2] {
        let mut stream = Stream::new(seed, Purpose::Pairs, 0, 0);
        let mut draw = |n: usize, shift: f32| -> Vec<f32> {
            (0..n).map(|_| ((stream.normal() + shift) * levels).round() / levels).collect()
        };
        [draw(genuine, 1.5), draw(impostor, 0.0)]
    }

    fn wide(scores: &[f32]) -> Vec<f64> {
        scores.iter().map(|&score| score.into()).collect()
    }

    #[test]
    fn as_the_curve_of_few_pairs() {
        for (seed, levels) in [(1, 4.0), (2, 64.0), (3, 1e5)] {
            let [genuine, impostor] = random(300, 2500, levels, seed);
            let roc = Roc::new(&scores(&wide(&genuine), &wide(&impostor))).unwrap();
            let many = PairScores::new(genuine, impostor).unwrap();
            let points: Vec<RocPoint> = many.points().collect();
            assert_eq!(points[1..], roc.points()[1..]);
            assert!(points[0].threshold > points[1].threshold && points[0].true_accepts == 0);
            assert_eq!((many.auc(), many.eer()), (roc.auc(), roc.eer()));
            for target in [0.5, 0.1, 0.03, 0.01, 0.004, 0.001] {
                let [found, expected] = [many.tar_at_far(target), roc.tar_at_far(target)];
                if expected.measured.is_none_or(|point| point.far > 0.0) {
                    assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn far_is_never_above_the_target_and_too_few_impostors_are_said() {
        let impostor: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        let of =
            |genuine: &[f32], impostor: &[f32]| PairScores::new(genuine.into(), impostor.into()).unwrap();
        let many = of(&[0.9905, 0.9895, 0.5], &impostor);
        let point = many.tar_at_far(0.01).measured.unwrap();
        // Ten impostors score 0.99 and above; the genuine pair below them accepts no more.
        assert_eq!((point.far, point.tar, point.threshold), (0.01, 2.0 / 3.0, f64::from(0.9895f32)));
        assert_eq!(point.interval, wilson(2, 3));
        assert_eq!(many.tar_at_far(0.001).measured, None);
        assert_eq!(many.tar_at_far(0.001).impostors_needed, 10_000);
        let tied = of(&[1.0], &[1.0; 100]).tar_at_far(0.1).measured.unwrap();
        assert_eq!((tied.far, tied.tar), (0.0, 0.0));
        assert!(tied.threshold > 1.0);
        assert_eq!(of(&[], &[1.0; 100]).tar_at_far(0.1).measured, None);
    }

    #[test]
    fn what_cannot_be_measured_is_absent() {
        for (genuine, impostor, reason) in [
            (vec![], vec![], Unmeasurable::NoPairs),
            (vec![0.5], vec![], Unmeasurable::OnlyGenuine),
            (vec![], vec![0.5], Unmeasurable::OnlyImpostor),
        ] {
            let result = IjbVerification::of(&PairScores::new(genuine, impostor).unwrap(), "c0ffee".into());
            assert_eq!(result.unmeasurable, Some(reason));
            assert!(result.auc.is_none() && result.eer.is_none());
            assert!(result.tar_at_far.is_empty() && result.insightface.is_empty());
        }
        assert_eq!(
            PairScores::new(vec![0.5], vec![1.0, f32::NAN]).unwrap_err().to_string(),
            "the score of pair 1 is NaN; scores must be finite"
        );
    }

    #[test]
    fn pairs_of_a_file_are_scored() {
        let folder = tempfile::tempdir().unwrap();
        let mut stream = Stream::new(5, Purpose::Pairs, 0, 0);
        // Neither a multiple of the lanes nor of anything else.
        let dim = 37;
        let images: Vec<(u32, u32, f32)> = (0..40).map(|i| (i * 3 % 40, 0, 1.0)).collect();
        let embeddings: Vec<Vec<f32>> =
            (0..40).map(|_| (0..dim).map(|_| stream.normal()).collect()).collect();
        let (media, _) = lists(folder.path(), &images);
        let templates = Templates::pool(&media, TemplateNorm::Keep, None, dim, rows(&embeddings)).unwrap();
        let of = |id: u32| &embeddings[images.iter().position(|image| image.0 == id).unwrap()];
        let (mut text, mut expected) = (String::new(), [Vec::new(), Vec::new()]);
        for (a, b) in (0..40).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let same = (a + b) % 7 == 0;
            text += &format!("{a} {b} {}\n", u8::from(same));
            let sum = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
            let cosine = sum(of(a), of(b)) / (sum(of(a), of(a)) * sum(of(b), of(b))).sqrt();
            expected[usize::from(same)].push(cosine);
        }
        let file = folder.path().join("pairs");
        fs::write(&file, &text).unwrap();
        let (found, sha256) = PairScores::read(&templates, &file).unwrap();
        for (found, expected) in [&found.impostor, &found.genuine].into_iter().zip(&mut expected) {
            expected.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(found.len(), expected.len());
            for (x, y) in found.iter().zip(expected) {
                assert!((f64::from(*x) - *y).abs() < 5e-7, "{x} {y}");
            }
        }
        assert_eq!(sha256.len(), 64);
        // The order of the lines is nothing to the scores.
        let reversed: String = text.lines().rev().flat_map(|line| [line, "\n"]).collect();
        fs::write(&file, reversed).unwrap();
        let (other, other_sha256) = PairScores::read(&templates, &file).unwrap();
        assert_eq!(other, found);
        assert_ne!(other_sha256, sha256);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| PairScores::read(&templates, &file)).unwrap().0, found);
        fs::write(&file, "1 2 0\n1 x 0\n").unwrap();
        let error = PairScores::read(&templates, &file).unwrap_err().to_string();
        assert!(error.contains("pairs:2: expected two template numbers"), "{error}");
    }
}
