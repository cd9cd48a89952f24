//! The language of facegrad's config files.
//!
//! A section of a config file is one Rust struct, declared with [`settings!`]: each field has its type,
//! default, range and documentation in one place. From that declaration come the reader (unknown keys,
//! wrong types and values out of range are errors that name the key and what would be right), the
//! writer (the resolved config saved with a run) and the [`Schema`] that `facegrad explain` prints.
//!
//! - [`settings!`] declares a section,
//! - [`choice!`] a key that takes one of several words,
//! - [`kinds!`] a section whose `kind` key decides which other keys it has (heads, backbones, schedules).
//!
//! ```
//! use facegrad_settings::{Setting, choice, settings, within};
//!
//! choice! {
//!     /// How fast to go.
//!     pub enum Pace {
//!         /// One step at a time.
//!         Slow = "slow",
//!         /// Running.
//!         Fast = "fast",
//!     }
//! }
//! settings! {
//!     /// A walk.
//!     pub struct Walk {
//!         /// Chance of rain.
//!         rain: f64 = 0.25, within(0.0, 1.0);
//!         /// How fast.
//!         pace: Pace = Pace::Slow;
//!     }
//! }
//! let walk = Walk::read(&toml::toml! { rain = 0.5 }.into(), &"walk".into()).unwrap();
//! assert_eq!((walk.rain, walk.pace), (0.5, Pace::Slow));
//! let wrong = Walk::read(&toml::toml! { rian = 0.5 }.into(), &"walk".into()).unwrap_err();
//! assert_eq!(wrong.to_string(), "walk.rian is not a key of this section; did you mean walk.rain?");
//! ```

mod declare;
mod error;
mod overrides;
mod range;
mod schema;
mod setting;

pub use declare::{read_keys, split_kind};
pub use error::SettingsError;
pub use overrides::{LeftOut, Override, apply_overrides};
pub use range::{Range, above, at_least, within};
pub use schema::{Key, Kind, Schema};
pub use setting::{KeyPath, Section, Setting, nearest};

#[doc(hidden)]
pub use serde;
/// The TOML library whose values settings are read from.
pub use toml;
