//! A number that was measured, or why it was not.

use serde::{Deserialize, Serialize};

use crate::numbers::{duration, number, percent, points, span};

/// A 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end; of a share at least 0.
    pub low: f64,
    /// Upper end; of a share at most 1.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies in the interval, its ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// What a number means, which decides how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// A share from 0 to 1, written in per cent.
    Percent,
    /// A number without unit, written with this many digits after the point.
    Digits(usize),
    /// A training loss.
    Loss,
    /// A rate a second.
    PerSecond,
    /// A time in seconds.
    Seconds,
}

impl Scale {
    /// The number with its unit.
    pub fn write(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "–".into(),
            Self::Percent => percent(value),
            Self::Digits(digits) => format!("{value:.digits$}"),
            Self::Loss if value.abs() < 100.0 => format!("{value:.3}"),
            Self::Loss | Self::PerSecond => number(value.round()),
            Self::Seconds => duration(value),
        }
    }

    /// The ends of an interval, without unit.
    pub fn span(self, interval: Interval) -> String {
        match self {
            Self::Percent => span(interval),
            _ => format!("{} to {}", self.write(interval.low), self.write(interval.high)),
        }
    }

    /// A distance between two numbers of this scale, without unit.
    pub fn distance(self, value: f64) -> String {
        match self {
            Self::Percent => points(value, 2),
            _ => self.write(value),
        }
    }
}

/// Which of two values of a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// The larger.
    Higher,
    /// The smaller.
    Lower,
}

/// What an interval was drawn over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// Pairs or searches, as if they were independent (Wilson).
    Pairs,
    /// People, since pairs share them (bootstrap).
    People,
}

/// How far a figure varies: what follows ±.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FigureSpread {
    /// The distance, on the scale of the figure.
    pub value: f64,
    /// What it is, such as `standard error`.
    pub of: &'static str,
}

/// A number that was measured, or why it was not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its name in files, such as `tar_at_far_1e-3`; unique in a section.
    pub key: String,
    /// Its name for people, such as `TAR at FAR 0.1 %`.
    pub label: String,
    /// How it is written.
    pub scale: Scale,
    /// Which way is better.
    pub better: Better,
    /// The number. Absent if nobody asked for it, or with `reason`.
    pub value: Option<f64>,
    /// Why there is no number.
    pub reason: Option<String>,
    /// What follows ±.
    pub spread: Option<FigureSpread>,
    /// The 95 % intervals that such a figure may have, and those it has.
    pub intervals: Vec<(Population, Option<Interval>)>,
    /// What is to be known beside the number, such as the threshold, as text after it.
    pub note: String,
    /// Further columns of CSV that stand after the figure's own: name and value.
    #[serde(skip)]
    pub columns: Vec<(String, String)>,
}

impl Figure {
    /// A figure, or why it cannot be measured.
    pub fn new(
        key: impl Into<String>,
        label: impl Into<String>,
        scale: Scale,
        better: Better,
        measured: Result<f64, String>,
    ) -> Self {
        let (value, reason) = match measured {
            Ok(value) => (Some(value), None),
            Err(reason) => (None, Some(reason)),
        };
        Self {
            key: key.into(),
            label: label.into(),
            scale,
            better,
            value,
            reason,
            spread: None,
            intervals: Vec::new(),
            note: String::new(),
            columns: Vec::new(),
        }
    }

    /// A figure that is only measured on request, or by newer versions.
    pub fn optional(
        key: impl Into<String>,
        label: impl Into<String>,
        scale: Scale,
        better: Better,
        value: Option<f64>,
    ) -> Self {
        let figure = Self::new(key, label, scale, better, Err(String::new()));
        Self { value, reason: None, ..figure }
    }

    /// With an interval that takes pairs or searches as independent, where there is one.
    pub fn by_pairs(mut self, interval: Option<Interval>) -> Self {
        self.intervals.push((Population::Pairs, interval));
        self
    }

    /// With an interval over people, where there is one.
    pub fn by_people(mut self, interval: Option<Interval>) -> Self {
        self.intervals.push((Population::People, interval));
        self
    }

    /// With what follows ±.
    pub fn spread(mut self, value: Option<f64>, of: &'static str) -> Self {
        self.spread = value.map(|value| FigureSpread { value, of });
        self
    }

    /// With text after the number.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// With a further column of CSV.
    pub fn column(mut self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        self.columns.push((name.into(), value.map(|value| value.to_string()).unwrap_or_default()));
        self
    }

    /// With an interval as two further columns of CSV.
    pub fn interval_columns(self, name: &str, interval: Option<Interval>) -> Self {
        self.column(format!("{name}_low"), interval.map(|interval| interval.low))
            .column(format!("{name}_high"), interval.map(|interval| interval.high))
    }

    /// The interval over such a population, if there is one.
    pub fn interval(&self, over: Population) -> Option<Interval> {
        self.intervals.iter().find(|(population, _)| *population == over)?.1
    }

    /// Whether it is shown at all: it was measured, or there is a reason why not.
    pub fn is_present(&self) -> bool {
        self.value.is_some() || self.reason.is_some()
    }

    /// The number with what follows ±; a dash without one.
    pub fn text(&self) -> String {
        let Some(value) = self.value else { return "–".into() };
        match self.spread {
            Some(spread) => format!("{} ± {}", self.scale.write(value), self.scale.distance(spread.value)),
            None => self.scale.write(value),
        }
    }
}

/// The figure that several models are compared by, over the runs of one of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MeanFigure {
    /// What it is, such as `accuracy` or `rank-1 rate`.
    pub name: String,
    /// The mean over the runs, a share from 0 to 1.
    pub mean: f64,
    /// Half the width of the 95 % interval around it; 0 where there is none.
    pub half_width: f64,
    /// What the interval is over.
    pub over: IntervalOver,
    /// That of each run.
    pub of_runs: Vec<f64>,
}

/// What the interval of a [`MeanFigure`] is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalOver {
    /// Student's t over the runs: how much another seed may change the figure.
    Seeds,
    /// 1.96 times the standard error of the only run over its folds: how much other pairs may change it.
    Folds,
    /// There is none: a single run of a protocol without folds.
    #[default]
    Nothing,
}

impl MeanFigure {
    /// What the interval is over, such as `3 seeds`; nothing where there is none.
    pub fn over(&self) -> Option<String> {
        match self.over {
            IntervalOver::Seeds => Some(format!("{} seeds", self.of_runs.len())),
            IntervalOver::Folds => Some("folds".into()),
            IntervalOver::Nothing => None,
        }
    }
}
