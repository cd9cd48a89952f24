//! What is in a face set: counts, duplicates, mislabelled images, overlaps.
//!
//! An [`Audit`] looks through a set from beginning to end. A [`SetSurvey`] reads every image once and keeps a record of
//! fixed size of each; [`Findings`] is what the records say, with [`duplicates`] and [`common`]; [`LabelledEmbeddings`]
//! is what embeddings say of labels. [`table`], [`json`] and [`Audit::page`] show what was found, and [`exclusions`] is what
//! the trainer should not see. Nothing here trains, asks for arguments or depends on the number of threads.
//!
//! ```
//! use facegrad_audit::{Audit, AuditOptions, Exclude, exclusions};
//! use facegrad_faces::SourceConfig;
//! use facegrad_pictures::ImageFormat;
//! use facegrad_synthetic::{SyntheticConfig, write_folder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let drawn = SyntheticConfig { identities: 3, images: 4, size: 24, ..Default::default() };
//! let faces = folder.path().join("faces");
//! write_folder(&drawn, ImageFormat::Png, &faces, &mut |_done, _total| {})?;
//! // One image lies under another person as well.
//! std::fs::copy(faces.join("000000/0000.png"), faces.join("000001/copy.png"))?;
//!
//! let set = SourceConfig::of_path(&faces)?.open_any()?;
//! let options = AuditOptions::default();
//! let audit = Audit { set: &set, against: None, options: &options, embeddings: None };
//! let findings = audit.run(&mut |_stage, _done, _total| true)?;
//! let left_out = exclusions(&findings, set.source.as_ref(), None, &[Exclude::CrossIdentity]);
//! assert_eq!(left_out.len(), 2, "nobody knows which of them is right");
//! # Ok(())
//! # }
//! ```

mod audit;
mod content;
mod duplicates;
mod exclusion;
mod findings;
mod frame;
mod hamming;
mod identity;
mod likeness;
pub mod names;
mod output;
mod page;
mod perceptual;
mod sample;
mod survey;

pub use audit::{Audit, AuditEmbeddings, AuditError, Stage, Watch};
pub use content::{Content, FileFormat};
pub use duplicates::{DuplicateGroup, Nearness, Sameness, SharedImage, Thumbnails, common, duplicates};
pub use exclusion::{Exclude, Exclusion, emptied, exclusions, write_exclusions, write_images};
pub use findings::{
    ALIGNED_LIKENESS, AuditOptions, EvaluationSet, Findings, LEAST_LIKENESS, LabelFindings, MOST_OFF,
    Overlap, labels,
};
pub use hamming::HammingIndex;
pub use identity::{
    Affinity, AffinityStatistics, IdentityPair, LabelledEmbeddings, MixedIdentity, SuspectLabel, TRUSTED,
};
pub use likeness::MeanFace;
pub use output::{json, table};
pub use page::{PageOptions, PageOrigin};
pub use perceptual::{Fingerprint, SIDE, Thumbnail};
pub use sample::SetSample;
pub use survey::{GREY_SHARE, GREY_TOLERANCE, ImageRecord, SetSurvey, UnreadableEntry, thumbnail};
