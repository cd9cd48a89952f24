//! Identification: who is on a probe image, among the people of a gallery?
//!
//! A [`Search`] compares every probe with the whole gallery, in blocks. A probe is *mated* if its person is in
//! the gallery. In the *closed set*, mated probes only, the cumulative match characteristic (CMC) at rank k is
//! the share of probes whose person is among the k highest scores. In the *open set* a system answers with the
//! highest score only if it reaches a threshold: the false-positive identification rate (FPIR) is the share of
//! non-mated probes with such an answer, the false-negative identification rate (FNIR) the share of mated
//! probes without their own person in it.
//!
//! Source of the terms and of the open-set rates: Grother, Ngan & Hanaoka, "Face Recognition Vendor Test,
//! Part 2: Identification", NISTIR 8271.

mod blufr;
mod list;
mod result;
mod search;
mod threshold;

pub use {
    blufr::{BlufrLists, BlufrResult, BlufrSets, BlufrTrial, LostBlufr, MeanMinusDeviation},
    list::{IdentityList, read_identity_list},
    result::{
        ClosedSet, FnirAtFpir, IdentificationResult, IdentityBootstrap, LostFaces, OpenSetPoint, RankRate,
        Rate,
    },
    search::{IdentityScore, LostProbes, Mate, ProbeMatch, RemainingProbes, Search, SearchError},
    threshold::{SearchThreshold, TooFewStrangers},
};
