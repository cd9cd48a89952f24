//! Are two images of the same person, and whose face is this? Protocols and metrics over embeddings of images.
//!
//! What comes in are lists and embeddings, row by row in the order of a list; what comes out are results with every
//! switch that changes their numbers. Models and images are not known here.
//!
//! # The terms
//!
//! A pair is *genuine* if both images show the same person and *impostor* otherwise; it is *accepted* if its
//! score is at least the threshold. TAR, the true-accept rate, is the share of genuine pairs accepted; FAR,
//! the false-accept rate, the share of impostor pairs accepted. A *probe* is searched for in a *gallery* and *mated*
//! if its person is there; FPIR and FNIR are the error rates of such a search, over probes without and with a mate.
//!
//! # What is where
//!
//! | step | here |
//! |---|---|
//! | which pairs to compare | [`PairList`], from the files in [`pairs`] or drawn from a labelled set |
//! | which images are known and which are searched for | [`IdentityList`], [`BlufrLists`], the lists in [`ijb`] |
//! | an image and its mirror image to one embedding | [`Flip`] |
//! | a mean that is subtracted | [`Centring`] |
//! | pairs of images that are not there | [`PairList::without`], left out or counted as errors by [`Missing`] |
//! | one score for each pair of a list | [`Scores`], by a [`Similarity`] |
//! | the cosines of all pairs of a set, counted | [`ScoreCounts`] of [`LabelledUnitEmbeddings`] [`UnitEmbeddings`] |
//! | every probe against a gallery | [`Search`] |
//! | accuracy at a threshold chosen elsewhere | [`Accuracy`], by [`k_fold`] or [`transfer`] |
//! | error rates at every threshold | [`Roc`] |
//! | intervals | by pairs [`wilson`], by people [`Bootstrap`], over folds [`student_half_width`] |
//! | two models on the same pairs: more than noise? | [`compare`] |
//! | insightface's own numbers, for published tables | [`insightface`], and in [`ijb`] |
//!
//! Each protocol ends in a result that can be written as JSON, and that gives a
//! [`ResultSheet`](facegrad_results::ResultSheet): lists of figures, curves and facts, which whoever shows results renders:
//!
//! | protocol | result |
//! |---|---|
//! | a list of pairs: LFW, CFP, and such | [`VerificationResult`] |
//! | all pairs of a labelled set | [`AllPairsResult`] |
//! | gallery and probes, closed and open set | [`IdentificationResult`] |
//! | BLUFR, both of these on LFW, ten times | [`BlufrResult`] |
//! | IJB-B and IJB-C, pairs of templates and galleries of them | [`ijb::IjbResult`] |
//!
//! What the data cannot support is not reported: it is absent, with the reason ([`Unmeasurable`]) or with how much it
//! would take. What several files of this crate use and nobody else does is in `list_file` (reading lists) and `text`
//! (what all sheets say in the same words).
//!
//! A new metric is a figure in the `sheet` of its result: terminal, CSV, pages and comparisons show it from there.
//!
//! ```
//! use facegrad_verification::{Roc, Scores, ScoredPair};
//!
//! // Three pairs of one person and three of two, already scored.
//! let pair = |score, same| ScoredPair { score, same, fold: 0 };
//! let scores = Scores::new(vec![
//!     pair(0.9, true), pair(0.8, true), pair(0.4, true), pair(0.5, false), pair(0.2, false), pair(0.1, false),
//! ])?;
//! let roc = Roc::new(&scores)?;
//! assert!((roc.auc() - 8.0 / 9.0).abs() < 1e-12, "one of nine impostors outscores a genuine pair");
//! assert!(roc.tar_at_far(0.1).measured.is_none(), "three impostor pairs say nothing of one in ten");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ijb;
pub mod insightface;
pub mod pairs;

mod all_pairs;
mod bootstrap;
mod centring;
mod flip;
mod folds;
mod identification;
mod interval;
mod list_file;
mod missing;
mod paired;
#[cfg(test)]
mod reference;
mod result;
mod roc;
mod scores;
mod text;

pub use all_pairs::{
    AllPairsResult, GridTarAtFar, LabelledUnitEmbeddings, ScoreCounts, ScoreHistogram, UnitEmbeddings,
    UnitEmbeddingsError,
};
pub use bootstrap::{Bootstrap, DcfInterval, NoBootstrap, People, Resampling, TarInterval};
pub use centring::{Centring, k_fold_centred};
pub use flip::{Flip, FlipError};
pub use folds::{
    Accuracy, FoldAccuracy, Threshold, ThresholdFrom, best_threshold, k_fold, same_pairs, transfer,
};
pub use identification::{
    BlufrLists, BlufrResult, BlufrSets, BlufrTrial, ClosedSet, FnirAtFpir, IdentificationResult,
    IdentityBootstrap, IdentityList, IdentityScore, LostBlufr, LostFaces, LostProbes, Mate,
    MeanMinusDeviation, OpenSetPoint, ProbeMatch, RankRate, Rate, RemainingProbes, Search, SearchError,
    SearchThreshold, TooFewStrangers, read_identity_list,
};
pub use interval::{normal_half_width, student_half_width, wilson};
pub use list_file::ListError;
pub use missing::{LostImages, LostPair, LostPairs, Missing, RemainingPairs};
pub use paired::{
    AccuracyDifference, Contender, FoldTest, McNemar, PairedComparison, PairedDifference, PairedError,
    TarDifference, Verdict, compare,
};
pub use pairs::{CfpProtocol, Pair, PairList, PairsError};
pub use result::{Provenance, VerificationResult, accuracy};
pub use roc::{
    CostPoint, DETECTION_COSTS, DetectionCost, FAR_TARGETS, MinDcf, OperatingPoint, Roc, RocPoint, TarAtFar,
};
pub use scores::{MeasureError, ScoreError, ScoredPair, Scores, Similarity, Unmeasurable};
