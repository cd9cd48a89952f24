//! Subtracting a mean embedding before comparison.

use std::{collections::BTreeMap, fmt};

use facegrad_settings::choice;

use crate::{
    Accuracy, MeasureError, Pair, PairList, ScoreError, ScoredPair, Scores, Similarity, Unmeasurable,
    folds::k_fold_rescored,
    k_fold,
    scores::{cosine, dot, lengths, squared_distance},
};

choice! {
    /// Which mean is subtracted from the embeddings of a pair before they are compared.
    ///
    /// The choices give different cosines, so the choice is part of every result. A distance does not change.
    pub enum Centring {
        /// None.
        None = "none",
        /// For each fold the mean over the other folds, without a look at their labels (SphereFace).
        OtherFolds = "other_folds",
    }
}

// The choice! macro takes no attributes on a variant.
#[allow(clippy::derivable_impls)]
impl Default for Centring {
    fn default() -> Self {
        Self::None
    }
}

impl Scores {
    /// [`Scores::of`] after centring: each pair is compared with the mean for its own fold subtracted.
    ///
    /// The mean over the other folds counts an image as often as pairs name it, as SphereFace does.
    ///
    /// These scores serve for curves over all pairs. For the accuracy over folds take [`k_fold_centred`]: were
    /// [`k_fold`] to choose the threshold of a fold on these scores, the other pairs would be centred with
    /// means that contain images of that fold.
    ///
    /// # Shapes
    /// - `embeddings`: `[list.images(), dim]`, row by row; as they leave the network, of any length
    ///
    /// # Errors
    /// As for [`Scores::of`]; if an embedding equals the mean, up to the rounding of f32, where the cosine is
    /// asked for; and if the list has a single fold, so that there are no others.
    pub fn of_centred<I: fmt::Display>(
        similarity: Similarity,
        centring: Centring,
        embeddings: &[f32],
        dim: usize,
        list: &PairList<I>,
    ) -> Result<Self, ScoreError> {
        if centring == Centring::None {
            return Self::of(similarity, embeddings, dim, list);
        }
        let centred = Centred::new(similarity, embeddings, dim, list)?;
        let mut scored = vec![None; list.pairs().len()];
        for (&fold, inside) in &centred.folds {
            let mean = centred.mean_without(fold);
            for &index in inside {
                scored[index] = Some(centred.score(&list.pairs()[index], &mean)?);
            }
        }
        Self::new(scored.into_iter().flatten().collect())
    }
}

/// The accuracy over folds, where everything about a fold comes from the others: the mean that is subtracted
/// and the threshold that is the best with that mean.
///
/// With [`Centring::OtherFolds`] and the cosine this is the protocol of SphereFace on LFW (its
/// `evaluation.m`), but with exact thresholds in place of 20,001 steps.
///
/// Source: Liu et al., "SphereFace: deep hypersphere embedding for face recognition", CVPR 2017.
///
/// # Shapes
/// - `embeddings`: `[list.images(), dim]`, row by row; as they leave the network, of any length
///
/// # Errors
/// As for [`Scores::of_centred`] and [`k_fold`].
pub fn k_fold_centred<I: fmt::Display>(
    similarity: Similarity,
    centring: Centring,
    embeddings: &[f32],
    dim: usize,
    list: &PairList<I>,
) -> Result<Accuracy, MeasureError> {
    if centring == Centring::None {
        return Ok(k_fold(&Scores::of(similarity, embeddings, dim, list)?)?);
    }
    // What the labels do not support is said first, as by `k_fold`.
    if let Some(reason) = Unmeasurable::of_classes(list.genuine() > 0, list.impostor() > 0) {
        return Err(reason.into());
    }
    let centred = Centred::new(similarity, embeddings, dim, list)?;
    k_fold_rescored(centred.folds.keys().copied().collect(), |fold| {
        let mean = centred.mean_without(fold);
        let scored: Result<_, _> = list.pairs().iter().map(|pair| centred.score(pair, &mean)).collect();
        Ok(Scores::new(scored?)?)
    })
}

/// What it takes to compare pairs around the mean of some folds.
struct Centred<'a, I> {
    similarity: Similarity,
    embeddings: &'a [f32],
    lengths: Vec<f64>,
    dim: usize,
    list: &'a PairList<I>,
    /// The positions of the pairs of each fold in the list.
    folds: BTreeMap<usize, Vec<usize>>,
    /// The sum of both sides of all pairs.
    total: Vec<f64>,
}

impl<'a, I: fmt::Display> Centred<'a, I> {
    fn new(
        similarity: Similarity,
        embeddings: &'a [f32],
        dim: usize,
        list: &'a PairList<I>,
    ) -> Result<Self, ScoreError> {
        let lengths = lengths(embeddings, dim, list.images(), false)?;
        let mut folds: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, pair) in list.pairs().iter().enumerate() {
            folds.entry(pair.fold).or_default().push(index);
        }
        if folds.len() == 1 {
            return Err(ScoreError::OneFold);
        }
        let mut this = Self { similarity, embeddings, lengths, dim, list, folds, total: Vec::new() };
        this.total = this.sum(list.pairs().iter());
        Ok(this)
    }

    fn row(&self, image: usize) -> &[f32] {
        &self.embeddings[image * self.dim..(image + 1) * self.dim]
    }

    /// The mean of both sides of all pairs outside `fold`.
    fn mean_without(&self, fold: usize) -> Vec<f64> {
        let inside = self.folds.get(&fold).map(Vec::as_slice).unwrap_or_default();
        let own = self.sum(inside.iter().map(|&index| &self.list.pairs()[index]));
        let count = 2 * (self.list.pairs().len() - inside.len());
        self.total.iter().zip(own).map(|(total, own)| (total - own) / count as f64).collect()
    }

    /// The sum of both sides of `pairs`.
    fn sum<'b>(&self, pairs: impl Iterator<Item = &'b Pair>) -> Vec<f64> {
        let mut sum = vec![0.0; self.dim];
        for image in pairs.flat_map(|pair| [pair.a, pair.b]) {
            sum.iter_mut().zip(self.row(image)).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        sum
    }

    fn score(&self, pair: &Pair, mean: &[f64]) -> Result<ScoredPair, ScoreError> {
        let [a, b] = [pair.a, pair.b].map(|image| -> Vec<f64> {
            self.row(image).iter().zip(mean).map(|(&x, m)| f64::from(x) - m).collect()
        });
        let score = match self.similarity {
            Similarity::Euclidean => -squared_distance(&a, &b).sqrt(),
            Similarity::Cosine => cosine(dot(&a, &b), self.length(pair.a, &a)?, self.length(pair.b, &b)?),
        };
        Ok(ScoredPair { score, same: pair.same, fold: pair.fold })
    }

    /// The length of the centred embedding of `image`.
    fn length(&self, image: usize, centred: &[f64]) -> Result<f64, ScoreError> {
        let length = dot(centred, centred).sqrt();
        // What is left of equal embeddings is the rounding of their mean, which has no meaning as a direction.
        if length <= f64::from(f32::EPSILON) * self.lengths[image] {
            let problem = "equal to the mean of the other folds";
            return Err(ScoreError::Embedding { image: self.list.images()[image].to_string(), problem });
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::best_threshold;

    /// Pairs of `folds` folds over images that pairs share, and their embeddings around a common offset.
    fn random(folds: usize, dim: usize, offset: f32, seed: u64) -> (Vec<f32>, PairList<usize>) {
        let mut stream = Stream::new(seed, Purpose::Pairs, 3, 0);
        let images = folds * 12;
        let pairs = (0..folds * 20)
            .map(|i| {
                let a = stream.below(images);
                let b =
                    if i % 2 == 0 { (a + images / 2) % images } else { (a + 1 + stream.below(3)) % images };
                Pair { a, b, same: i % 2 == 0, fold: 7 * (i % folds) }
            })
            .collect();
        // Image i and the one half the list away show the same person.
        let people: Vec<Vec<f32>> =
            (0..images / 2).map(|_| (0..dim).map(|_| stream.normal()).collect()).collect();
        let embeddings = (0..images)
            .flat_map(|i| {
                people[i % (images / 2)]
                    .iter()
                    .map(|x| x + offset + 0.7 * stream.normal())
                    .collect::<Vec<_>>()
            })
            .collect();
        (embeddings, PairList::new((0..images).collect(), pairs, None))
    }

    /// The cosine around the mean over all pairs that are not in `fold`, straight from the definition.
    fn direct(embeddings: &[f32], dim: usize, list: &PairList<usize>, pair: &Pair, fold: usize) -> f64 {
        let named: Vec<usize> =
            list.pairs().iter().filter(|p| p.fold != fold).flat_map(|p| [p.a, p.b]).collect();
        let x = |image: usize, k: usize| {
            let mean =
                named.iter().map(|&i| f64::from(embeddings[i * dim + k])).sum::<f64>() / named.len() as f64;
            f64::from(embeddings[image * dim + k]) - mean
        };
        let dot = |a, b| (0..dim).map(|k| x(a, k) * x(b, k)).sum::<f64>();
        dot(pair.a, pair.b) / (dot(pair.a, pair.a) * dot(pair.b, pair.b)).sqrt()
    }

    #[test]
    fn each_pair_is_centred_for_its_fold() {
        let (embeddings, list) = random(3, 5, 2.0, 1);
        let scores =
            Scores::of_centred(Similarity::Cosine, Centring::OtherFolds, &embeddings, 5, &list).unwrap();
        for (scored, pair) in scores.pairs().iter().zip(list.pairs()) {
            assert_eq!((scored.same, scored.fold), (pair.same, pair.fold));
            assert!((scored.score - direct(&embeddings, 5, &list, pair, pair.fold)).abs() < 1e-12);
        }
    }

    #[test]
    fn a_fold_is_decided_with_mean_and_threshold_of_the_others() {
        let (embeddings, list) = random(4, 6, 1.0, 2);
        let accuracy =
            k_fold_centred(Similarity::Cosine, Centring::OtherFolds, &embeddings, 6, &list).unwrap();
        assert_eq!(accuracy.folds.len(), 4);
        for fold in &accuracy.folds {
            let scored = |inside: bool| -> Vec<ScoredPair> {
                let pairs = list.pairs().iter().filter(|pair| (pair.fold == fold.fold) == inside);
                pairs
                    .map(|pair| ScoredPair {
                        score: direct(&embeddings, 6, &list, pair, fold.fold),
                        same: pair.same,
                        fold: pair.fold,
                    })
                    .collect()
            };
            let threshold = best_threshold(&scored(false)).unwrap().value;
            assert!((fold.threshold - threshold).abs() < 1e-12);
            let correct = scored(true).iter().filter(|p| (p.score >= threshold) == p.same).count();
            assert_eq!(fold.accuracy, correct as f64 / fold.pairs as f64);
        }
    }

    #[test]
    fn a_common_offset_is_taken_away() {
        let of = |offset, centring| {
            let (embeddings, list) = random(5, 8, offset, 3);
            Scores::of_centred(Similarity::Cosine, centring, &embeddings, 8, &list).unwrap()
        };
        let (near, far) = (of(0.0, Centring::OtherFolds), of(40.0, Centring::OtherFolds));
        for (a, b) in near.pairs().iter().zip(far.pairs()) {
            assert!((a.score - b.score).abs() < 1e-4, "{a:?} {b:?}");
        }
        assert!(far.impostor().iter().any(|score| *score < 0.0));
        assert!(of(40.0, Centring::None).pairs().iter().all(|pair| pair.score > 0.9));
    }

    #[test]
    fn distances_do_not_change() {
        let (embeddings, list) = random(3, 4, 1.0, 4);
        let of =
            |centring| Scores::of_centred(Similarity::Euclidean, centring, &embeddings, 4, &list).unwrap();
        for (a, b) in of(Centring::None).pairs().iter().zip(of(Centring::OtherFolds).pairs()) {
            assert!((a.score - b.score).abs() < 1e-12);
        }
        let plain = Scores::of(Similarity::Euclidean, &embeddings, 4, &list).unwrap();
        assert_eq!(of(Centring::None), plain);
        let accuracy = k_fold_centred(Similarity::Euclidean, Centring::None, &embeddings, 4, &list).unwrap();
        assert_eq!(accuracy, k_fold(&plain).unwrap());
    }

    #[test]
    fn what_cannot_be_centred_is_said() {
        let score = |embeddings: &[f32], list: &PairList<usize>| {
            Scores::of_centred(Similarity::Cosine, Centring::OtherFolds, embeddings, 2, list)
                .unwrap_err()
                .to_string()
        };
        let (embeddings, one) = random(1, 2, 0.0, 5);
        let sentence = "the mean of the other folds cannot be subtracted, as the list of pairs has a single fold; take a list with more folds, or centring none";
        assert_eq!(score(&embeddings, &one), sentence);
        let accuracy = |embeddings: &[f32], list: &PairList<usize>| {
            k_fold_centred(Similarity::Cosine, Centring::OtherFolds, embeddings, 2, list)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(accuracy(&embeddings, &one), sentence);

        let (embeddings, two) = random(2, 2, 0.0, 6);
        // 0.1 has no exact representation, so that sums of it round.
        let equal = vec![0.1; embeddings.len()];
        assert!(
            score(&equal, &two).contains(" is equal to the mean of the other folds, so it has no direction")
        );
        assert!(score(&embeddings[1..], &two).contains("numbers are not the embeddings of 24 images"));
        let broken = [&[f32::NAN], &embeddings[1..]].concat();
        assert!(score(&broken, &two).starts_with("the embedding of 0 is not finite"));

        let same = two.pairs().iter().map(|pair| Pair { same: true, ..*pair }).collect();
        let same = PairList::new(two.images().to_vec(), same, None);
        assert_eq!(accuracy(&embeddings, &same), "not measurable: only genuine pairs");
        let empty = PairList::new(vec![0], Vec::new(), None);
        assert_eq!(accuracy(&[1.0, 2.0], &empty), "not measurable: no pairs");
        let none = Scores::of_centred(Similarity::Cosine, Centring::OtherFolds, &[1.0, 2.0], 2, &empty);
        assert!(none.unwrap().pairs().is_empty());
    }
}
