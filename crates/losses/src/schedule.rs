//! Values that change over a run, such as a margin that warms up.

use facegrad_settings::toml::Value;
use facegrad_settings::{KeyPath, Range, Schema, Setting, SettingsError, above, kinds, settings};

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total: usize,
}

impl Progress {
    /// The share of the run that is done, in [0, 1].
    pub fn share(self) -> f64 {
        if self.total == 0 { 1.0 } else { (self.step as f64 / self.total as f64).min(1.0) }
    }
}

settings! {
    /// A value that goes from `from` to `to` over the first part of the run and stays there.
    pub struct LinearSchedule {
        /// The value at step 0.
        from: f64 = 0.0;
        /// The value from `until` on.
        to: f64 = 0.0;
        /// The share of the run at which `to` is reached.
        until: f64 = 0.25, above(0.0).up_to(1.0);
    }
}

kinds! {
    /// A value that changes over the run.
    pub enum Change {
        /// Straight from `from` to `to`, reached at the share `until` of the run.
        Linear(LinearSchedule) = "linear",
        /// Along half a cosine from `from` to `to`, reached at the share `until` of the run.
        Cosine(LinearSchedule) = "cosine",
    }
}

/// A number, or a number that changes over the run.
///
/// In a config `margin = 0.5` or `margin = { kind = "linear", from = 0.0, to = 0.5, until = 0.25 }`.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// The same value throughout.
    Constant(f64),
    /// A value that changes.
    Changing(Change),
}

impl Schedule {
    /// The value at `progress`.
    pub fn at(&self, progress: Progress) -> f64 {
        let between = |ends: &LinearSchedule, curve: fn(f64) -> f64| {
            ends.from + (ends.to - ends.from) * curve((progress.share() / ends.until).min(1.0))
        };
        match self {
            Self::Constant(value) => *value,
            Self::Changing(Change::Linear(ends)) => between(ends, |t| t),
            Self::Changing(Change::Cosine(ends)) => {
                between(ends, |t| 0.5 - 0.5 * (std::f64::consts::PI * t).cos())
            }
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

impl Setting for Schedule {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        match value {
            Value::Table(_) => Change::read(value, at).map(Self::Changing),
            Value::Integer(_) | Value::Float(_) => f64::read(value, at).map(Self::Constant),
            other => Err(SettingsError::wrong_type(
                at,
                other,
                "a number, or a schedule such as { kind = \"linear\", from = 0.0, to = 0.5, until = 0.25 }",
            )),
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Constant(value) => value.write(),
            Self::Changing(change) => change.write(),
        }
    }

    fn schema() -> Schema {
        Schema::Value("number or schedule".into())
    }

    fn check(&self, range: &Range, at: &KeyPath) -> Result<(), SettingsError> {
        match self {
            Self::Constant(value) => value.check(range, at),
            Self::Changing(Change::Linear(ends) | Change::Cosine(ends)) => {
                ends.from.check(range, &at.join("from"))?;
                ends.to.check(range, &at.join("to"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facegrad_settings::within;

    fn read(text: &str) -> Result<Schedule, SettingsError> {
        let table: facegrad_settings::toml::Table = text.parse().unwrap();
        let schedule = Schedule::read(&table["margin"], &"margin".into())?;
        schedule.check(&within(0.0, 1.0), &"margin".into())?;
        Ok(schedule)
    }

    #[test]
    fn a_linear_schedule_reaches_its_end_at_its_share_of_the_run() {
        let schedule = read("margin = { kind = 'linear', from = 0, to = 0.5, until = 0.25 }").unwrap();
        let at = |step| schedule.at(Progress { step, total: 100 });
        assert_eq!([at(0), at(5), at(25), at(90), at(1000)], [0.0, 0.1, 0.5, 0.5, 0.5]);
        let cosine = read("margin = { kind = 'cosine', from = 0, to = 1, until = 1.0 }").unwrap();
        assert!((cosine.at(Progress { step: 50, total: 100 }) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_bad_schedule_names_its_key() {
        for (text, sentence) in [
            ("margin = 'x'", "margin is the text \"x\"; it must be a number, or a schedule such as"),
            ("margin = 2", "margin is 2; it must be from 0 to 1"),
            ("margin = { kind = 'linear', to = 3 }", "margin.to is 3; it must be from 0 to 1"),
            (
                "margin = { kind = 'linear', until = 0 }",
                "margin.until is 0; it must be more than 0 and at most 1",
            ),
            ("margin = { kind = 'step' }", "margin.kind is \"step\"; it must be one of linear, cosine"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
