//! Faces found on photographs and brought into the position that networks expect.
//!
//! [`Mtcnn`] finds the five landmarks of faces, [`LandmarkFile`] reads them from a table; [`AlignJob`] takes a folder
//! of photographs to a folder of faces that [`facegrad_pictures::warp`] moved, turned and scaled to the ArcFace template.
//! Nothing here knows who is on a photograph or what a face is used for.
//!
//! ```
//! use facegrad_alignment::{Face, Rect, choose_face};
//!
//! // Of two faces on a photograph of 300 x 400 pixels, the large one in the middle is meant.
//! let face = |left, top, side| Face {
//!     score: 0.99,
//!     bounds: Rect { left, top, right: left + side, bottom: top + side },
//!     landmarks: [[left, top]; 5],
//! };
//! let faces = [face(5.0, 5.0, 40.0), face(140.0, 90.0, 110.0)];
//! assert_eq!(choose_face(&faces, [300, 400]), Some(&faces[1]));
//! ```

mod face;
mod job;
mod landmark_file;
mod mtcnn;
mod places;
mod point_order;
mod record;
mod statistics;

pub use face::{Face, Rect, choose_face};
pub use job::{AlignError, AlignJob, AlignmentJobEnd, Finder, WithoutFace};
pub use landmark_file::{LandmarkFile, LandmarkFileError};
pub use mtcnn::{Mtcnn, WEIGHT_FILES, WeightError, WeightFile, read_weights};
pub use places::{PlaceError, Places};
pub use point_order::PointOrder;
pub use record::{AlignmentOutcome, AlignmentRecord, TABLE};
pub use statistics::{Spread, Statistics};
