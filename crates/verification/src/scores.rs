//! The similarity of the two images of each pair.

use std::fmt;

use facegrad_settings::choice;
use serde::{Deserialize, Serialize};

use crate::{LostPair, PairList, text::are_equal};

choice! {
    /// How alike two embeddings are; larger is more alike.
    pub enum Similarity {
        /// The cosine of the angle between them, from −1 to 1.
        Cosine = "cosine",
        /// Minus the distance between them, 0 at most.
        Euclidean = "euclidean",
    }
}

// The choice! macro takes no attributes on a variant.
#[allow(clippy::derivable_impls)]
impl Default for Similarity {
    fn default() -> Self {
        Self::Cosine
    }
}

/// The score of one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredPair {
    /// How alike the two images are; larger is more alike.
    pub score: f64,
    /// Whether both show the same person.
    pub same: bool,
    /// The fold of the pair.
    pub fold: usize,
}

/// The scores of a list of pairs, all finite, and the pairs that have none and count as errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    pairs: Vec<ScoredPair>,
    lost: Vec<LostPair>,
}

/// Why pairs cannot be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ScoreError {
    /// The embeddings are not one row for each image.
    #[error("{numbers} numbers are not the embeddings of {images} images with {dim} numbers each")]
    Shape { numbers: usize, images: usize, dim: usize },
    /// An embedding without direction.
    #[error(
        "the embedding of {image} is {problem}, so it has no direction to compare; the model is broken or diverged"
    )]
    Embedding {
        image: String,
        /// `zero`, `not finite` or `equal to the mean of the other folds`.
        problem: &'static str,
    },
    /// The mean of the other folds is asked for where there are none.
    #[error(
        "the mean of the other folds cannot be subtracted, as the list of pairs has a single fold; take a list \
         with more folds, or centring none"
    )]
    OneFold,
    /// A score that is not a number.
    #[error("the score of pair {index} is {score}; scores must be finite")]
    NotFinite {
        /// The pair, from 0.
        index: usize,
        score: f64,
    },
}

impl Scores {
    /// Scores from elsewhere.
    ///
    /// # Errors
    /// If a score is infinite or not a number.
    pub fn new(pairs: Vec<ScoredPair>) -> Result<Self, ScoreError> {
        match pairs.iter().position(|pair| !pair.score.is_finite()) {
            Some(index) => Err(ScoreError::NotFinite { index, score: pairs[index].score }),
            None => Ok(Self { pairs, lost: Vec::new() }),
        }
    }

    /// How alike the two embeddings of each pair are, computed in f64.
    ///
    /// # Shapes
    /// - `embeddings`: `[list.images(), dim]`, row by row; of any length but zero for the cosine
    ///
    /// # Errors
    /// If the slice is not of this shape, or an embedding is not finite, or zero where the cosine is asked for.
    pub fn of<I: fmt::Display>(
        similarity: Similarity,
        embeddings: &[f32],
        dim: usize,
        list: &PairList<I>,
    ) -> Result<Self, ScoreError> {
        let lengths = lengths(embeddings, dim, list.images(), similarity == Similarity::Cosine)?;
        let row = |image: usize| &embeddings[image * dim..(image + 1) * dim];
        let score = |a, b| match similarity {
            Similarity::Cosine => cosine(dot(row(a), row(b)), lengths[a], lengths[b]),
            Similarity::Euclidean => -squared_distance(row(a), row(b)).sqrt(),
        };
        let scored = list.pairs().iter().map(|pair| ScoredPair {
            score: score(pair.a, pair.b),
            same: pair.same,
            fold: pair.fold,
        });
        Ok(Self { pairs: scored.collect(), lost: Vec::new() })
    }

    /// The same with further pairs that have no score and count as decided wrongly at every threshold: in place of those
    /// that there were before.
    pub fn with_errors(self, lost: Vec<LostPair>) -> Self {
        Self { lost, ..self }
    }

    /// The pairs with their scores, in the order of the list.
    pub fn pairs(&self) -> &[ScoredPair] {
        &self.pairs
    }

    /// The pairs without a score, which count as decided wrongly at every threshold.
    pub fn lost(&self) -> &[LostPair] {
        &self.lost
    }

    /// The scores of the pairs that show the same person.
    pub fn genuine(&self) -> Vec<f64> {
        self.of_class(true)
    }

    /// The scores of the pairs that show different people.
    pub fn impostor(&self) -> Vec<f64> {
        self.of_class(false)
    }

    fn of_class(&self, same: bool) -> Vec<f64> {
        self.pairs.iter().filter(|pair| pair.same == same).map(|pair| pair.score).collect()
    }

    /// Whether all scores of several pairs are equal but for rounding.
    pub fn are_equal(&self) -> bool {
        are_equal(self.pairs.iter().map(|pair| pair.score))
    }

    /// Why error rates of the pairs with scores cannot be weighed against each other, if they cannot.
    pub fn unmeasurable(&self) -> Option<Unmeasurable> {
        Unmeasurable::of(&self.pairs)
    }
}

/// The lengths of `embeddings`, `[images.len(), dim]` row by row: finite, and not zero where a direction is
/// needed.
pub(crate) fn lengths<I: fmt::Display>(
    embeddings: &[f32],
    dim: usize,
    images: &[I],
    directions: bool,
) -> Result<Vec<f64>, ScoreError> {
    if dim == 0 || images.len().checked_mul(dim) != Some(embeddings.len()) {
        return Err(ScoreError::Shape { numbers: embeddings.len(), images: images.len(), dim });
    }
    let length = |(image, embedding): (&I, &[f32])| {
        // The square of any finite f32 but zero is neither infinite nor zero in f64.
        let length = dot(embedding, embedding).sqrt();
        let problem = if !length.is_finite() {
            "not finite"
        } else if directions && length == 0.0 {
            "zero"
        } else {
            return Ok(length);
        };
        Err(ScoreError::Embedding { image: image.to_string(), problem })
    };
    images.iter().zip(embeddings.chunks(dim)).map(length).collect()
}

pub(crate) fn cosine(dot: f64, length_a: f64, length_b: f64) -> f64 {
    (dot / (length_a * length_b)).clamp(-1.0, 1.0)
}

pub(crate) fn dot<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    sum_over(a, b, |x, y| x * y)
}

pub(crate) fn squared_distance<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> f64 {
    sum_over(a, b, |x, y| (x - y) * (x - y))
}

/// The sum of `term` over two vectors of the same length, in eight partial sums: a single one would wait for
/// each addition before it begins the next.
fn sum_over<T: Copy + Into<f64>>(a: &[T], b: &[T], term: impl Fn(f64, f64) -> f64) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for (sum, (&x, &y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += term(x.into(), y.into());
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&x, &y)| term(x.into(), y.into())).sum();
    sums.iter().sum::<f64>() + rest
}

/// Why a list of pairs does not support a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmeasurable {
    /// There are no pairs.
    NoPairs,
    /// There are only genuine pairs: any threshold low enough makes no error.
    OnlyGenuine,
    /// There are only impostor pairs: any threshold high enough makes no error.
    OnlyImpostor,
    /// There is no second fold to choose a threshold on.
    OneFold,
    /// There are fewer pairs than folds to split them into.
    FewerPairsThanFolds,
    /// The pairs of some fold are all genuine or all impostor, so one of its error rates does not exist.
    FoldOfOneClass,
    /// So many impostor pairs are lost and count as accepted that no threshold keeps within a false-accept rate.
    LostImpostors,
}

impl Unmeasurable {
    pub(crate) fn of(pairs: &[ScoredPair]) -> Option<Self> {
        Self::of_classes(pairs.iter().any(|pair| pair.same), pairs.iter().any(|pair| !pair.same))
    }

    /// The reason where there are not both genuine and impostor pairs.
    pub(crate) fn of_classes(genuine: bool, impostor: bool) -> Option<Self> {
        match (genuine, impostor) {
            (true, true) => None,
            (true, false) => Some(Self::OnlyGenuine),
            (false, true) => Some(Self::OnlyImpostor),
            (false, false) => Some(Self::NoPairs),
        }
    }
}

impl std::error::Error for Unmeasurable {}

/// Why embeddings and a list of pairs do not give a number.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// The pairs cannot be scored.
    #[error(transparent)]
    Scores(#[from] ScoreError),
    /// The pairs do not support the number.
    #[error(transparent)]
    Unmeasurable(#[from] Unmeasurable),
}

impl fmt::Display for Unmeasurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoPairs => "not measurable: no pairs",
            Self::OnlyGenuine => "not measurable: only genuine pairs",
            Self::OnlyImpostor => "not measurable: only impostor pairs",
            Self::OneFold => "not measurable: a single fold",
            Self::FewerPairsThanFolds => "not measurable: fewer pairs than folds",
            Self::FoldOfOneClass => "not measurable: a fold has only genuine or only impostor pairs",
            Self::LostImpostors => {
                "not measurable: more impostor pairs than that are of lost images and count as accepted"
            }
        })
    }
}

/// Pairs of one fold with the given scores.
#[cfg(test)]
pub(crate) fn scores(genuine: &[f64], impostor: &[f64]) -> Scores {
    let of = |same| move |&score: &f64| ScoredPair { score, same, fold: 0 };
    Scores::new(genuine.iter().map(of(true)).chain(impostor.iter().map(of(false))).collect()).unwrap()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn list() -> PairList {
        PairList::lfw("1\na 1 2\na 1 b 1\n", Path::new("pairs.txt")).unwrap()
    }

    #[test]
    fn cosines() {
        // Images a1, a2, b1; cos 45 degrees and cos 180 degrees, whatever the lengths.
        let scores =
            Scores::of(Similarity::Cosine, &[3.0, 0.0, 1e-30, 1e-30, -1e30, 0.0], 2, &list()).unwrap();
        assert!((scores.genuine()[0] - 0.5_f64.sqrt()).abs() < 1e-15);
        assert_eq!(scores.impostor(), [-1.0]);
        assert_eq!(scores.pairs()[1], ScoredPair { score: -1.0, same: false, fold: 0 });
    }

    #[test]
    fn a_distance_is_a_score_of_which_nearer_is_larger() {
        let scores = Scores::of(Similarity::Euclidean, &[3.0, 0.0, 0.0, 4.0, 0.0, 0.0], 2, &list()).unwrap();
        assert_eq!((scores.genuine(), scores.impostor()), (vec![-5.0], vec![-3.0]));
        assert!(Scores::of(Similarity::Euclidean, &[f32::NAN; 6], 2, &list()).is_err());
    }

    #[test]
    fn an_embedding_without_direction_names_its_image() {
        let error = |embeddings: &[f32]| {
            Scores::of(Similarity::Cosine, embeddings, 2, &list()).unwrap_err().to_string()
        };
        assert_eq!(
            error(&[1.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
            "the embedding of a/a_0002 is zero, so it has no direction to compare; the model is broken or diverged"
        );
        assert!(error(&[1.0, 0.0, 1.0, f32::NAN, 1.0, 1.0]).contains("a/a_0002 is not finite"));
        assert!(error(&[1.0, f32::INFINITY, 1.0, 0.0, 1.0, 1.0]).contains("a/a_0001 is not finite"));
        assert_eq!(error(&[1.0; 5]), "5 numbers are not the embeddings of 3 images with 2 numbers each");
        assert!(Scores::of(Similarity::Cosine, &[], 0, &list()).is_err());
    }

    #[test]
    fn scores_are_finite() {
        let pair = |score| ScoredPair { score, same: true, fold: 0 };
        let error = Scores::new(vec![pair(0.5), pair(f64::NAN)]).unwrap_err();
        assert_eq!(error.to_string(), "the score of pair 1 is NaN; scores must be finite");
    }
}
