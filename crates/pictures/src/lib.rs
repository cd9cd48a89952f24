//! Pictures: from the bytes of a file to the pixels that a network is given.
//!
//! [`decode`] reads image files without trusting them, in full or at a fraction of their size; [`plain`] is the resizing
//! of every use of a network, [`AugmentationConfig`] the random changes of training, [`warp`] brings a face into the
//! position that networks expect; [`encode`] writes. Nothing here knows of identities, data sets or models, and the
//! bytes of every result are the same on every processor.
//!
//! ```
//! use facegrad_pictures::{ImageFormat, Picture, decode::decode, encode, plain};
//!
//! let grey = Picture::new(40, 30, vec![128; 40 * 30 * 3]);
//! let file = encode(&grey, ImageFormat::Png)?;
//! let picture = decode(&file).map_err(|error| error.to_string())?;
//! assert_eq!(picture, grey);
//! // The centred square of it, as a network of 20 x 20 pixels sees it.
//! let input = plain(picture, [20, 20]);
//! assert_eq!((input.width(), input.height()), (20, 20));
//! # Ok::<(), String>(())
//! ```

mod augment;
pub mod decode;
mod encode;
mod jpeg;
mod lanes;
mod light;
mod orientation;
mod picture;
mod resize;
mod warp;

pub use augment::{AugmentationConfig, plain};
pub use encode::{ImageFormat, WriteError, contact_sheet, encode, write_picture, write_png};
pub use orientation::is_turned;
pub use picture::Picture;
pub use warp::{ARCFACE_LANDMARKS, LandmarkError, Similarity2d, arcface_landmarks, warp};
