//! How the loss went over a run, in a few numbers that a checkpoint can hold.

use serde::{Deserialize, Serialize};

/// Stretches of a run at most; two become one when there would be more.
const MOST: usize = 64;

/// The losses of a run, summed over stretches of equal length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// Steps done before the first loss.
    before: usize,
    /// Steps of a stretch.
    each: usize,
    stretches: Vec<Stretch>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Stretch {
    steps: usize,
    sum: f64,
    squares: f64,
}

impl Stretch {
    fn with(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }
}

/// The loss over a part of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PartOfCourse {
    /// The step in the middle of it.
    pub(crate) step: usize,
    /// The mean.
    pub(crate) mean: f64,
    /// The standard error of the mean, were the losses of steps independent.
    pub(crate) error: f64,
}

impl Course {
    /// Adds the loss of step `step`, counted from 1.
    pub(crate) fn add(&mut self, step: usize, loss: f64) {
        if self.stretches.is_empty() {
            (self.before, self.each) = (step.saturating_sub(1), 1);
        }
        let one = Stretch { steps: 1, sum: loss, squares: loss * loss };
        match self.stretches.last_mut() {
            Some(last) if last.steps < self.each => *last = last.with(one),
            _ => self.stretches.push(one),
        }
        if self.stretches.len() > MOST {
            let pair = |pair: &[Stretch]| pair.iter().copied().fold(Stretch::default(), Stretch::with);
            self.stretches = self.stretches.chunks(2).map(pair).collect();
            self.each *= 2;
        }
    }

    /// The part between two shares of what is done; none where that is less than two steps.
    pub(crate) fn part(&self, from: f64, to: f64) -> Option<PartOfCourse> {
        let count = self.stretches.len() as f64;
        let [first, end] = [from, to].map(|share| (share * count).round() as usize);
        let part = self.stretches.get(first..end)?.iter().copied().fold(Stretch::default(), Stretch::with);
        if part.steps < 2 {
            return None;
        }
        let steps = part.steps as f64;
        let mean = part.sum / steps;
        let variance = (part.squares / steps - mean * mean).max(0.0);
        let step = self.before + first * self.each + part.steps / 2;
        Some(PartOfCourse { step, mean, error: (variance / (steps - 1.0)).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_long_and_short_courses_have_their_mean() {
        for steps in [8, 63, 64, 65, 1000, 10_000] {
            let mut course = Course::default();
            (1..=steps).for_each(|step| course.add(step, step as f64));
            assert!(course.stretches.len() <= MOST);
            let half = course.part(0.5, 1.0).unwrap();
            // Of the losses from the half to the end, up to a stretch.
            let off = (half.mean / (0.75 * steps as f64 + 0.5) - 1.0).abs();
            assert!(off < 0.07, "{steps}: {half:?}");
            assert!(
                (half.step as f64 / half.mean - 1.0).abs() < 0.02 + 1.0 / steps as f64,
                "{steps}: {half:?}"
            );
            let deviation = 0.5 * steps as f64 / 12f64.sqrt();
            let error = deviation / (0.5 * steps as f64).sqrt();
            assert!((half.error / error - 1.0).abs() < 0.2, "{steps}: {half:?}");
        }
    }

    #[test]
    fn a_course_that_is_written_down_goes_on_as_it_would_have() {
        let mut course = Course::default();
        // Sums that JSON has without rounding.
        let loss = |step: usize| (step % 7) as f64 * 0.25;
        (1..=100).for_each(|step| course.add(step, loss(step)));
        let mut again: Course = serde_json::from_str(&serde_json::to_string(&course).unwrap()).unwrap();
        for step in 101..=300 {
            course.add(step, loss(step));
            again.add(step, loss(step));
        }
        assert_eq!(course, again);
        assert!(Course::default().part(0.0, 1.0).is_none());
    }
}
