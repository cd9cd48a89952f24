//! What a protocol measured.

use facegrad_verification::{
    AllPairsResult, BlufrResult, IdentificationResult, PairList, Scores, VerificationResult, ijb::IjbResult,
};
use serde::{Deserialize, Serialize};

use crate::ImageEmbeddings;

/// The numbers of a protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measures", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum Outcome {
    /// Are two images of one person?
    Verification(VerificationResult),
    /// Who of a gallery is on an image?
    Identification(IdentificationResult),
    /// Every pair of a set.
    AllPairs(AllPairsResult),
    /// Both on LFW, over ten trials.
    Blufr(BlufrResult),
    /// Both on templates.
    Ijb(IjbResult),
}

/// The number by which a model is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headline {
    /// What it is, such as `accuracy`.
    pub name: &'static str,
    /// From 0 to 1, the larger the better.
    pub value: f64,
    /// Its standard error, where there is one.
    pub standard_error: Option<f64>,
}

impl Outcome {
    /// The number by which a model is chosen, if it can be measured.
    pub fn headline(&self) -> Option<Headline> {
        let plain = |name, value| Headline { name, value, standard_error: None };
        match self {
            Self::Verification(result) => result.accuracy.as_ref().map(|accuracy| Headline {
                standard_error: Some(accuracy.standard_error),
                ..plain("accuracy", accuracy.mean)
            }),
            Self::Identification(result) => {
                let first = result.closed_set.as_ref()?.ranks.first()?.measured?;
                Some(plain("rank-1 rate", first.value))
            }
            Self::AllPairs(result) => Some(plain("AUC", result.auc?)),
            Self::Blufr(result) => {
                Some(plain("verification rate µ − σ", result.verification?.mean_minus_deviation))
            }
            Self::Ijb(result) => {
                let at = |target: f64| {
                    let all = &result.verification.as_ref()?.tar_at_far;
                    all.iter().find(|at| at.target == target)?.measured
                };
                let of_pairs = at(1e-4).map(|point| plain("TAR at FAR 0.01 %", point.tar));
                of_pairs.or_else(|| {
                    let rank = result.search.as_ref()?.mean_ranks.first()?.rate?;
                    Some(plain("rank-1 rate", rank))
                })
            }
        }
    }

    /// The result of pairs, if it is one.
    pub fn verification(&self) -> Option<&VerificationResult> {
        match self {
            Self::Verification(result) => Some(result),
            _ => None,
        }
    }

    /// The area under the ROC of pairs.
    pub fn auc(&self) -> Option<f64> {
        match self {
            Self::Verification(result) => result.auc,
            Self::AllPairs(result) => result.auc,
            Self::Ijb(result) => result.verification.as_ref()?.auc,
            Self::Identification(_) | Self::Blufr(_) => None,
        }
    }

    /// The equal error rate of pairs.
    pub fn eer(&self) -> Option<f64> {
        match self {
            Self::Verification(result) => result.eer,
            Self::AllPairs(result) => result.eer,
            Self::Ijb(result) => result.verification.as_ref()?.eer,
            Self::Identification(_) | Self::Blufr(_) => None,
        }
    }

    /// The numbers as aligned plain text; ends with a line feed.
    pub fn to_table(&self) -> String {
        match self {
            Self::Verification(result) => result.to_table(),
            Self::Identification(result) => result.to_table(),
            Self::AllPairs(result) => result.to_table(),
            Self::Blufr(result) => result.to_table(),
            Self::Ijb(result) => result.to_table(),
        }
    }
}

/// What was measured, with what is behind it for pictures.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The numbers.
    pub outcome: Outcome,
    /// The scores of pairs, for protocols that list pairs.
    pub pairs: Option<MeasuredPairs>,
    /// The ROC as (FAR, TAR), for protocols that compare too many pairs to list.
    pub curve: Option<Vec<(f64, f64)>>,
}

impl Measured {
    pub(super) fn without_pairs(outcome: Outcome) -> Self {
        Self { outcome, pairs: None, curve: None }
    }
}

/// Pairs and their scores, in the same order.
#[derive(Debug, Clone)]
pub struct MeasuredPairs {
    /// The pairs and what their images are called.
    pub list: PairList,
    /// Their scores.
    pub scores: Scores,
    /// The scores of the pairs that the threshold was chosen on, where there are such.
    pub development: Option<Scores>,
    /// Height and width of the images of `list` before they were resized, where they are decoded and all equal.
    pub image_size: Option<[usize; 2]>,
    /// The embeddings of the images of `list`.
    pub embedded: ImageEmbeddings,
}
