//! Values that change over a run, such as a margin that warms up.

use facegrad_settings::toml::Value;
use facegrad_settings::{
    KeyPath, Range, Schema, Setting, SettingsError, above, at_least, kinds, settings, within,
};

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total: usize,
}

impl Progress {
    /// Before the first step.
    pub const START: Self = Self { step: 0, total: 1 };
    /// After the last step of a long run.
    pub const END: Self = Self { step: usize::MAX, total: 1 };

    /// The share of the run that is done, in [0, 1].
    pub fn share(self) -> f64 {
        if self.total == 0 { 1.0 } else { (self.step as f64 / self.total as f64).min(1.0) }
    }
}

settings! {
    /// λ = max(`minimum`, `base` (1 + `gamma` t)^−`power`) after t steps: what blends a margin in.
    ///
    /// λ depends on the step alone, which a checkpoint holds; so a resumed run goes on with the λ it had.
    pub struct Annealing {
        /// λ at step 0.
        base: f64 = 1000.0, within(0.0, 1e9);
        /// γ: how soon λ falls.
        gamma: f64 = 0.12, at_least(0.0);
        /// p: how fast λ falls.
        power: f64 = 1.0, at_least(0.0);
        /// The least λ. Only with 0 is what it blends in complete in the end.
        minimum: f64 = 5.0, within(0.0, 1e9);
    }
}

impl Annealing {
    /// λ at `progress`.
    pub fn at(&self, progress: Progress) -> f64 {
        (self.base * (1.0 + self.gamma * progress.step as f64).powf(-self.power)).max(self.minimum)
    }
}

settings! {
    /// A value that goes from `from` to `to` as the λ of A-Softmax falls with the step.
    pub struct LambdaSchedule {
        /// The value for an infinite λ.
        from: f64 = 0.0;
        /// The value for λ = 0.
        to: f64 = 0.0;
        ..annealing: Annealing;
    }
}

impl LambdaSchedule {
    fn at(&self, progress: Progress) -> f64 {
        let lambda = self.annealing.at(progress);
        (lambda * self.from + self.to) / (1.0 + lambda)
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
        /// (λ `from` + `to`) / (1 + λ) with λ = max(`minimum`, `base` (1 + `gamma` t)^−`power`) after t steps.
        Lambda(LambdaSchedule) = "lambda",
    }
}

/// A number, or a number that changes over the run.
///
/// In a config `margin = 0.5`, `margin = { kind = "linear", from = 0.0, to = 0.5, until = 0.25 }`, or
/// `margin = { kind = "lambda", from = 0.0, to = 0.5, minimum = 0.0 }`.
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
            Self::Changing(Change::Lambda(schedule)) => schedule.at(progress),
        }
    }
}

/// For messages about a value that is neither.
const OR_SCHEDULE: &str = ", or a schedule such as { kind = \"linear\", from = 0.0, to = 0.5, until = 0.25 }";

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

impl Setting for Schedule {
    fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
        match value {
            Value::Table(_) => {
                let change = Change::read(value, at)?;
                let (Change::Linear(LinearSchedule { from, to, .. })
                | Change::Cosine(LinearSchedule { from, to, .. })
                | Change::Lambda(LambdaSchedule { from, to, .. })) = change;
                range.check(from, &at.join("from"))?;
                range.check(to, &at.join("to"))?;
                Ok(Self::Changing(change))
            }
            Value::Integer(_) | Value::Float(_) => f64::read_within(value, at, range).map(Self::Constant),
            other => {
                let number = range.of("a number");
                Err(SettingsError::wrong_type(at, other, format!("{number}{OR_SCHEDULE}")))
            }
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Constant(value) => value.write(),
            Self::Changing(change) => change.write(),
        }
    }

    fn schema() -> Schema {
        Schema::Value(format!("number or schedule ({})", Change::KINDS.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Schedule, SettingsError> {
        let table: facegrad_settings::toml::Table = text.parse().unwrap();
        Schedule::read_within(&table["margin"], &"margin".into(), &within(0.0, 1.0))
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
    fn the_lambda_of_a_softmax_is_about_8_at_step_1000_and_5_from_about_1660() {
        let at = |step| Annealing::default().at(Progress { step, total: 1 });
        assert_eq!(at(0), 1000.0);
        assert!((at(1000) - 1000.0 / 121.0).abs() < 1e-12, "{}", at(1000));
        assert!(at(1658) > 5.0);
        assert_eq!([at(1659), at(10_000), Annealing::default().at(Progress::END)], [5.0; 3]);
        // A power other than 1, and no minimum.
        let annealing = Annealing { base: 100.0, gamma: 0.5, power: 2.0, minimum: 0.0 };
        assert!((annealing.at(Progress { step: 8, total: 1 }) - 4.0).abs() < 1e-12);
        assert!(annealing.at(Progress::END) < 1e-9);
    }

    #[test]
    fn a_lambda_schedule_is_the_mean_of_its_ends_with_weights_lambda_and_1() {
        let schedule = read("margin = { kind = 'lambda', from = 0.2, to = 0.8 }").unwrap();
        let at = |step| schedule.at(Progress { step, total: 1 });
        assert!((at(0) - (1000.0 * 0.2 + 0.8) / 1001.0).abs() < 1e-12);
        assert!((at(5000) - (5.0 * 0.2 + 0.8) / 6.0).abs() < 1e-12);
        let whole = read("margin = { kind = 'lambda', from = 1, to = 0.5, minimum = 0 }").unwrap();
        assert!((whole.at(Progress::END) - 0.5).abs() < 1e-9);
        assert_eq!(Schedule::read(&schedule.write().unwrap(), &"".into()), Ok(schedule));
    }

    #[test]
    fn a_bad_schedule_names_its_key() {
        for (text, sentence) in [
            (
                "margin = 'x'",
                "margin is the text \"x\"; it must be a number from 0 to 1, or a schedule such as",
            ),
            ("margin = nan", "margin is NaN; it must be a finite number from 0 to 1"),
            ("margin = 2", "margin is 2; it must be from 0 to 1"),
            ("margin = { kind = 'linear', to = 3 }", "margin.to is 3; it must be from 0 to 1"),
            ("margin = { kind = 'lambda', from = -1 }", "margin.from is -1; it must be from 0 to 1"),
            ("margin = { kind = 'lambda', to = 3 }", "margin.to is 3; it must be from 0 to 1"),
            ("margin = { kind = 'lambda', gamma = -0.1 }", "margin.gamma is -0.1; it must be 0 or more"),
            (
                "margin = { kind = 'lambda', until = 0.5 }",
                "margin.until has no effect with margin.kind = \"lambda\"; it belongs to linear, cosine",
            ),
            (
                "margin = { kind = 'linear', until = 0 }",
                "margin.until is 0; it must be more than 0 and at most 1",
            ),
            (
                "margin = { kind = 'step' }",
                "margin.kind is \"step\"; it must be one of linear, cosine, lambda",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
