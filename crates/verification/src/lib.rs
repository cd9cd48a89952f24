//! Verification: are two images of the same person? Protocols and metrics over pairs of images.
//!
//! A [`PairList`] says which pairs to compare, from a protocol file or drawn from a labelled set. Embeddings
//! of its images give [`Scores`], one similarity for each pair. From these come the accuracy at a threshold
//! chosen elsewhere ([`Accuracy`]), the receiver operating characteristic ([`Roc`]) and, all together with
//! every switch that changes the numbers, a [`VerificationResult`].
//!
//! A pair is *genuine* if both images show the same person and *impostor* otherwise; it is *accepted* if its
//! score is at least the threshold. TAR, the true-accept rate, is the share of genuine pairs accepted; FAR,
//! the false-accept rate, the share of impostor pairs accepted.
//!
//! What a list of pairs cannot support is not reported: it is absent, with the reason ([`Unmeasurable`]).

mod flip;
mod folds;
mod interval;
pub mod pairs;
mod result;
mod roc;
mod scores;
mod table;

pub use flip::{Flip, FlipError};
pub use folds::{
    Accuracy, FoldAccuracy, Threshold, ThresholdFrom, best_threshold, k_fold, same_pairs, transfer,
};
pub use interval::{Interval, normal_half_width, student_half_width, wilson};
pub use pairs::{Pair, PairList, PairsError};
pub use result::{Provenance, VerificationResult};
pub use roc::{OperatingPoint, Roc, RocPoint, TarAtFar};
pub use scores::{ScoreError, ScoredPair, Scores, Similarity, Unmeasurable};
pub use table::{Align, Table};
