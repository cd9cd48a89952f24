//! Ranges of numeric keys.

use std::fmt;

use crate::{KeyPath, SettingsError};

/// The values a numeric key may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    low: f64,
    low_excluded: bool,
    high: f64,
}

/// From `low` to `high`, both included.
pub fn within(low: impl Into<f64>, high: impl Into<f64>) -> Range {
    Range { low: low.into(), low_excluded: false, high: high.into() }
}

/// `low` or more.
pub fn at_least(low: impl Into<f64>) -> Range {
    Range { low: low.into(), low_excluded: false, high: f64::INFINITY }
}

/// More than `low`.
pub fn above(low: impl Into<f64>) -> Range {
    Range { low: low.into(), low_excluded: true, high: f64::INFINITY }
}

impl Range {
    /// Every finite number.
    pub const ALL: Self = Self { low: f64::NEG_INFINITY, low_excluded: false, high: f64::INFINITY };

    /// The same range with `high` as its included upper end.
    pub fn up_to(self, high: impl Into<f64>) -> Self {
        Self { high: high.into(), ..self }
    }

    /// Whether `value` lies in the range; NaN and infinities never do.
    pub fn contains(&self, value: f64) -> bool {
        let low_ok = if self.low_excluded { value > self.low } else { value >= self.low };
        value.is_finite() && low_ok && value <= self.high
    }

    /// An error unless `value`, which is at `at`, lies in the range.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn check(&self, value: f64, at: &KeyPath) -> Result<(), SettingsError> {
        if self.contains(value) {
            return Ok(());
        }
        Err(SettingsError::OutOfRange { key: at.clone(), found: value.to_string(), range: self.to_string() })
    }

    /// `what`, such as "a whole number", in this range.
    pub fn of(&self, what: &str) -> String {
        if *self == Self::ALL {
            return what.into();
        }
        let comma = if self.low_excluded || self.high.is_infinite() { "," } else { "" };
        format!("{what}{comma} {self}")
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low_excluded, self.high.is_finite()) {
            (false, true) => write!(f, "from {} to {}", self.low, self.high),
            (false, false) => write!(f, "{} or more", self.low),
            (true, true) => write!(f, "more than {} and at most {}", self.low, self.high),
            (true, false) => write!(f, "more than {}", self.low),
        }
    }
}
