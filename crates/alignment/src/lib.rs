//! Faces found on photographs and brought into the position that networks expect.
//!
//! [`Mtcnn`] finds the five landmarks of faces, [`LandmarkFile`] reads them from a table; [`AlignJob`] takes a folder
//! of photographs to a folder of faces that [`facegrad_pictures::warp`] moved, turned and scaled to the ArcFace template.

mod face;
mod job;
mod landmark_file;
mod mtcnn;
mod places;
mod record;
mod statistics;

pub use face::{Face, Rect, choose_face};
pub use job::{AlignError, AlignJob, AlignmentJobEnd, Finder, WithoutFace};
pub use landmark_file::{LandmarkFile, LandmarkFileError};
pub use mtcnn::{Mtcnn, WEIGHT_FILES, WeightError, WeightFile, read_weights};
pub use places::{PlaceError, Places};
pub use record::{AlignmentOutcome, AlignmentRecord, TABLE};
pub use statistics::{Spread, Statistics};
