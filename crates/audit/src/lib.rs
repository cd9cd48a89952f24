//! What is in a face set: counts, duplicates, mislabelled images, overlaps.
//!
//! [`Survey`] reads every image once and keeps a record of fixed size of each; [`Findings`] is what the records say,
//! with [`duplicates`] and [`common`]; [`LabelledEmbeddings`] is what embeddings say of labels. [`table`], [`json`] and
//! [`report`] show what was found, and [`exclusions`] is what the trainer should not see. Nothing here knows of models
//! or depends on the number of threads.

mod content;
mod duplicates;
mod exclusion;
mod findings;
mod hamming;
mod identity;
mod likeness;
pub mod names;
mod output;
mod page;
mod perceptual;
mod survey;

pub use content::{Content, FileFormat};
pub use duplicates::{Common, DuplicateGroup, Nearness, Sameness, Thumbnails, common, duplicates};
pub use exclusion::{Exclude, Exclusion, exclusions, write_exclusions};
pub use findings::{
    ALIGNED_LIKENESS, Against, AuditOptions, Findings, LEAST_LIKENESS, LabelFindings, MOST_OFF, Overlap,
    labels,
};
pub use hamming::HammingIndex;
pub use identity::{Affinity, Alike, IdentityError, LabelledEmbeddings, Merged, Mislabelled, TRUSTED, Usual};
pub use likeness::MeanFace;
pub use output::{json, table};
pub use page::{PageOptions, report};
pub use perceptual::{Fingerprint, SIDE, Thumbnail};
pub use survey::{GREY_SHARE, GREY_TOLERANCE, Record, Survey, Unreadable, thumbnail};
