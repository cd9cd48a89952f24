//! Cards of known face sets, and fetching those that may be fetched.
//!
//! A card ([`Card`]) says of a set who made it, what it is for, its licence and what is known of the consent of the
//! people on it, what it counts, how it lies on the disk, where to ask for it, and how facegrad reads it. The cards
//! of `datasets/*.toml` are part of the program ([`cards`]); anybody may write one of their own ([`Card::open`]).
//!
//! [`fetch`] brings one file from the web: resumed where it was, checked for its size and SHA-256, renamed when it
//! is complete. [`unpack`] takes an archive that is not trusted apart. [`fetch_card`] does both for all files of a
//! card. Nothing here reads an image or a label: what was fetched is read by the room of sets.
//!
//! ```
//! let lfw = facegrad_datasets::card("lfw")?;
//! assert_eq!(lfw.title, "Labeled Faces in the Wild");
//! // The name that a person may have meant is in the sentence.
//! let error = facegrad_datasets::card("lwf").unwrap_err().to_string();
//! assert!(error.contains("lfw"), "{error}");
//! # Ok::<(), facegrad_datasets::UnknownCard>(())
//! ```

mod card;
mod error;
mod fetch;
mod limits;
mod record;
mod registry;
mod set;
mod unpack;

pub use card::{Card, CardCount, CardError, CardMeasurement, CardPurpose, CardReading, File, Packing};
pub use error::FetchError;
pub use fetch::{Download, FetchOptions, FetchResult, fetch};
pub use limits::Limits;
pub use record::RECORD;
pub use registry::{UnknownCard, card, cards};
pub use set::{CardFileResult, FetchStep, SetError, fetch_card};
pub use unpack::{UnpackError, UnpackedContent, unpack};
