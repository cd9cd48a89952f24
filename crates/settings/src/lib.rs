//! The language of facegrad's config files.
//!
//! A section of a config file is one Rust struct, declared with [`settings!`]: each field has its type,
//! default, range and documentation in one place. From that declaration come the reader (unknown keys,
//! wrong types and values out of range are errors that name the key and what would be right), the
//! writer (the resolved config saved with a run) and the [`Schema`] that `facegrad explain` prints. What the keys are
//! for, this crate does not know: each room declares its own.
//!
//! - [`settings!`] declares a section, which may take in the keys of another,
//! - [`choice!`] a key that takes one of several words,
//! - [`kinds!`] a section whose `kind` key decides which other keys it has (heads, backbones, schedules), and with a
//!   trait a registry.
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
//!     /// The weather on the way.
//!     pub struct Weather {
//!         /// Chance of rain.
//!         rain: f64 = 0.25, within(0.0, 1.0);
//!     }
//! }
//! settings! {
//!     /// A walk.
//!     pub struct Walk {
//!         /// How fast.
//!         #[formerly = "speed"]
//!         pace: Pace = Pace::Slow;
//!         ..weather: Weather;
//!     }
//! }
//! let walk = |text: &str| Walk::read(&toml::Value::Table(text.parse().unwrap()), &"walk".into());
//! let found = walk("rain = 0.5").unwrap();
//! assert_eq!((found.weather.rain, found.pace), (0.5, Pace::Slow));
//! let error = |text| walk(text).unwrap_err().to_string();
//! assert_eq!(error("rian = 0.5"), "walk.rian is not a key of this section; did you mean walk.rain?");
//! assert_eq!(error("rain = 2"), "walk.rain is 2; it must be from 0 to 1");
//! assert_eq!(error("speed = 3"), "walk.speed is not a key of this section; it is called walk.pace now");
//! ```

mod declare;
mod error;
mod overrides;
mod range;
mod schema;
mod setting;

pub use declare::{read_keys, split_kind};
pub use error::SettingsError;
pub use overrides::{Override, UnusedKey, apply_overrides};
pub use range::{Range, above, at_least, within};
pub use schema::{Key, Kind, Schema};
pub use setting::{KeyPath, Section, Setting, nearest};

#[doc(hidden)]
pub use serde;
/// The TOML library whose values settings are read from.
pub use toml;
