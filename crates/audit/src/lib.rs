//! What is in a face set: counts, duplicates, mislabelled images, overlaps.

mod content;
mod duplicates;
mod hamming;
mod identity;
mod likeness;
pub mod names;
mod perceptual;
mod survey;

pub use content::{Content, FileFormat};
pub use duplicates::{Common, DuplicateGroup, Nearness, Sameness, Thumbnails, common, duplicates};
pub use hamming::HammingIndex;
pub use identity::{Affinity, Alike, IdentityError, LabelledEmbeddings, Merged, Mislabelled, Usual};
pub use likeness::MeanFace;
pub use perceptual::{Fingerprint, SIDE, Thumbnail};
pub use survey::{GREY_SHARE, GREY_TOLERANCE, Record, Survey, Unreadable, thumbnail};
