//! The similarity of the two images of each pair.

use std::fmt;

use facegrad_settings::choice;
use serde::{Deserialize, Serialize};

use crate::PairList;

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

/// The scores of a list of pairs, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores(Vec<ScoredPair>);

/// Why pairs cannot be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// The embeddings are not one row for each image.
    #[error("{numbers} numbers are not the embeddings of {images} images with {dim} numbers each")]
    Shape {
        /// How many numbers there are.
        numbers: usize,
        /// How many images the list of pairs has.
        images: usize,
        /// The length of an embedding.
        dim: usize,
    },
    /// An embedding without direction.
    #[error(
        "the embedding of {image} is {problem}, so it has no direction to compare; the model is broken or diverged"
    )]
    Embedding {
        /// The image.
        image: String,
        /// `zero` or `not finite`.
        problem: &'static str,
    },
    /// A score that is not a number.
    #[error("the score of pair {index} is {score}; scores must be finite")]
    NotFinite {
        /// The pair, from 0.
        index: usize,
        /// Its score.
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
            None => Ok(Self(pairs)),
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
        let images = list.images();
        if dim == 0 || images.len().checked_mul(dim) != Some(embeddings.len()) {
            return Err(ScoreError::Shape { numbers: embeddings.len(), images: images.len(), dim });
        }
        // The square of any finite f32 is neither infinite nor zero in f64.
        let mut lengths = Vec::with_capacity(images.len());
        for (image, embedding) in images.iter().zip(embeddings.chunks(dim)) {
            let length = dot(embedding, embedding).sqrt();
            if !length.is_finite() || (length == 0.0 && similarity == Similarity::Cosine) {
                let problem = if length == 0.0 { "zero" } else { "not finite" };
                return Err(ScoreError::Embedding { image: image.to_string(), problem });
            }
            lengths.push(length);
        }
        let row = |image: usize| &embeddings[image * dim..(image + 1) * dim];
        let score = |a, b| match similarity {
            Similarity::Cosine => (dot(row(a), row(b)) / (lengths[a] * lengths[b])).clamp(-1.0, 1.0),
            Similarity::Euclidean => -distance(row(a), row(b)),
        };
        let scored = list.pairs().iter().map(|pair| ScoredPair {
            score: score(pair.a, pair.b),
            same: pair.same,
            fold: pair.fold,
        });
        Ok(Self(scored.collect()))
    }

    /// The pairs with their scores, in the order of the list.
    pub fn pairs(&self) -> &[ScoredPair] {
        &self.0
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
        self.0.iter().filter(|pair| pair.same == same).map(|pair| pair.score).collect()
    }

    /// Why error rates of these pairs cannot be weighed against each other, if they cannot.
    pub fn unmeasurable(&self) -> Option<Unmeasurable> {
        Unmeasurable::of(&self.0)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2));
    squares.sum::<f64>().sqrt()
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
}

impl Unmeasurable {
    pub(crate) fn of(pairs: &[ScoredPair]) -> Option<Self> {
        match (pairs.iter().any(|pair| pair.same), pairs.iter().any(|pair| !pair.same)) {
            (true, true) => None,
            (true, false) => Some(Self::OnlyGenuine),
            (false, true) => Some(Self::OnlyImpostor),
            (false, false) => Some(Self::NoPairs),
        }
    }
}

impl fmt::Display for Unmeasurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoPairs => "not measurable: no pairs",
            Self::OnlyGenuine => "not measurable: only genuine pairs",
            Self::OnlyImpostor => "not measurable: only impostor pairs",
            Self::OneFold => "not measurable: a single fold",
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
