//! What a protocol measured.

use facegrad_results::{CurveKind, ResultCurve, ResultSheet, ScoreDistribution};
use facegrad_verification::{
    AllPairsResult, BlufrResult, IdentificationResult, PairList, Roc, Scores, Search, VerificationResult,
    ijb::IjbResult,
};
use serde::{Deserialize, Serialize};

use crate::ImageEmbeddings;

/// The registry of results: one line a kind.
macro_rules! outcomes {
    ($($(#[$doc:meta])* $kind:ident($result:ty),)*) => {
        /// The numbers of a protocol.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "measures", rename_all = "snake_case")]
        #[allow(clippy::large_enum_variant)]
        pub enum ProtocolResult { $($(#[$doc])* $kind($result),)* }

        impl ProtocolResult {
            /// The numbers as lists of figures, curves, facts and tables.
            pub fn sheet(&self) -> ResultSheet {
                match self { $(Self::$kind(result) => result.sheet(),)* }
            }
        }

        $(impl From<$result> for ProtocolResult {
            fn from(result: $result) -> Self {
                Self::$kind(result)
            }
        })*
    };
}

outcomes! {
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

impl ProtocolResult {
    /// The result of pairs, if it is one.
    pub fn verification(&self) -> Option<&VerificationResult> {
        match self {
            Self::Verification(result) => Some(result),
            _ => None,
        }
    }
}

/// What was measured, with what is behind it for pictures.
#[derive(Debug, Clone)]
pub struct ProtocolOutcome {
    /// The numbers.
    pub outcome: ProtocolResult,
    /// The scores of pairs, for protocols that list pairs.
    pub pairs: Option<PairOutcome>,
    /// What each probe found, for protocols that search one gallery.
    pub search: Option<SearchOutcome>,
    /// A curve of more points than the result keeps.
    pub curve: Option<ResultCurve>,
}

impl ProtocolOutcome {
    pub(super) fn without_pairs(result: impl Into<ProtocolResult>) -> Self {
        Self { outcome: result.into(), pairs: None, search: None, curve: None }
    }

    /// The numbers as lists, with the curves and scores that only stand here.
    pub fn sheet(&self) -> ResultSheet {
        let mut sheet = self.outcome.sheet();
        sheet.curves.extend(self.curve.clone());
        if let Some(pairs) = &self.pairs {
            let (genuine, impostor) = (pairs.scores.genuine(), pairs.scores.impostor());
            sheet.curves.extend(Roc::new(&pairs.scores).ok().map(|roc| ResultCurve {
                kind: CurveKind::Roc,
                points: roc.curve(),
                support: impostor.len(),
            }));
            let also: Vec<f64> = sheet.thresholds.iter().map(|threshold| threshold.value).collect();
            sheet.scores = Some(ScoreDistribution::of(&genuine, &impostor, &also));
        }
        sheet
    }
}

/// Pairs and their scores, in the same order.
#[derive(Debug, Clone)]
pub struct PairOutcome {
    /// The pairs that were compared, and what their images are called.
    pub list: PairList,
    /// Where each image of `list` is among the images of the protocol, of which some may be lost.
    pub positions: Vec<usize>,
    /// The scores of the pairs.
    pub scores: Scores,
    /// The scores of the pairs that the threshold was chosen on, where there are such.
    pub development: Option<Scores>,
    /// The embeddings of the images of `list`.
    pub embedded: ImageEmbeddings,
}

/// What the probes found in a gallery.
#[derive(Debug, Clone)]
pub struct SearchOutcome {
    /// The scores, in the order of the probes.
    pub search: Search,
    /// Height and width of all images, of gallery and probes, before they were resized; absent if they differ.
    pub image_size: Option<[usize; 2]>,
}
