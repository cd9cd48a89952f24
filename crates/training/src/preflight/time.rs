//! How long a run will take.

use std::{fmt, thread, time::Duration};

use facegrad_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::learner::{Learner, StepError};

/// What the measurement may take, beside the first images.
const BUDGET: f64 = 0.6;
/// Time to embed an image and its mirror image, beside that of a step of training for each image:
/// docs/performance.md has 3.6 to 3.8 times as many images a second without the mirror image.
const EVALUATION: f64 = 0.55;

/// How long a run will take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimeEstimate {
    /// All of it.
    pub total: f64,
    /// One step, with its share of reading images on the same processor.
    pub step: f64,
    /// Steps that are to be done.
    pub steps: usize,
    /// All evaluations together.
    pub evaluation: f64,
}

impl TimeEstimate {
    fn of(costs: Costs, batch: usize, steps: usize, evaluations: &Evaluations) -> Self {
        let Costs { network, losses, reading } = costs;
        let image = (EVALUATION * network + reading) / batch as f64;
        let evaluation = image * (evaluations.times * evaluations.images) as f64;
        Self::new(network + losses + reading, steps, evaluation)
    }

    fn new(step: f64, steps: usize, evaluation: f64) -> Self {
        Self { total: step * steps as f64 + evaluation, step, steps, evaluation }
    }
}

impl fmt::Display for TimeEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, step, steps, evaluation } = *self;
        write!(f, "about {}: {steps} steps of {}", in_words(total), in_words(step))?;
        match evaluation > 0.0 {
            true => write!(f, ", evaluations of {}", in_words(evaluation)),
            false => Ok(()),
        }
    }
}

/// A time with two digits or so.
fn in_words(seconds: f64) -> String {
    match seconds {
        172_800.0.. => format!("{:.0} days", seconds / 86_400.0),
        7200.0.. => format!("{:.0} h", seconds / 3600.0),
        120.0.. => format!("{:.0} min", seconds / 60.0),
        9.95.. => format!("{seconds:.0} s"),
        0.9995.. => format!("{seconds:.1} s"),
        _ => format!("{:.0} ms", seconds * 1e3),
    }
}

/// The evaluations of a run.
pub(crate) struct Evaluations {
    /// How often they are made.
    pub(crate) times: usize,
    /// Images of all of them together.
    pub(crate) images: usize,
}

/// Estimates the time of `steps` steps of `batch` images and of `evaluations`, where an image takes `reading` seconds to read on one
/// thread; none if a step cannot be measured.
///
/// The network computes a few small batches and the losses whole ones, forward and backward, without taking a step.
pub(crate) fn estimate(
    learner: &Learner,
    batch: usize,
    classes: usize,
    steps: usize,
    evaluations: &Evaluations,
    reading: f64,
) -> Option<TimeEstimate> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let seconds = |time: Result<Duration, StepError>| Some(time.ok()?.as_secs_f64());
    let [height, width] = learner.size();
    let pixels = pixels(height * width * 3 * batch);
    let network = |few: usize| seconds(learner.rehearse_network(&pixels[..pixels.len() / batch * few]));
    let network = of_batch(batch, threads, network)?;
    // Two of a class, as losses on pairs need.
    let labels: Vec<usize> = (0..batch).map(|i| i / 2 % classes).collect();
    let losses = again(|| seconds(learner.rehearse_losses(&labels)))?;
    // Threads that read images and those that compute share the processor.
    let reading = reading / threads as f64 * batch as f64;
    Some(TimeEstimate::of(Costs { network, losses, reading }, batch, steps, evaluations))
}

/// What a step takes its time for, in seconds.
#[derive(Clone, Copy)]
struct Costs {
    network: f64,
    /// The head and the losses beside it, which an evaluation does not compute.
    losses: f64,
    reading: f64,
}

/// The least time of several, the first of which asks the system for memory and does not count.
fn again(mut time: impl FnMut() -> Option<f64>) -> Option<f64> {
    let first = time()?;
    let mut least = time()?;
    let mut spent = first + least;
    while spent + least < BUDGET / 3.0 {
        let time = time()?;
        spent += time;
        least = least.min(time);
    }
    Some(least)
}

/// The time of a step with `batch` images on `threads` threads, from that of smaller batches.
fn of_batch(batch: usize, threads: usize, mut time: impl FnMut(usize) -> Option<f64>) -> Option<f64> {
    // Every thread has work, and a normalisation has a variance.
    let small = threads.max(2).min(batch);
    // The first time draws weights and asks the system for memory.
    let first = time(small)?;
    if small == batch && first > BUDGET {
        return Some(first);
    }
    let few = time(small)?;
    let affordable = (BUDGET / few * small as f64) as usize / small * small;
    let large = affordable.min(batch);
    if large < 2 * small {
        return Some(few * batch as f64 / small as f64);
    }
    let mut many = time(large)?;
    let mut spent = many;
    // The first time asks the system for memory, and whatever else runs on the machine only ever slows one down.
    while spent + many < BUDGET {
        let again = time(large)?;
        spent += again;
        many = many.min(again);
    }
    let image = ((many - few) / (large - small) as f64).max(0.0);
    Some(many + image * (batch - large) as f64)
}

/// As many bytes of noise.
fn pixels(bytes: usize) -> Vec<u8> {
    let mut stream = Stream::new(0, Purpose::Benchmark, 0, 0);
    std::iter::repeat_with(|| stream.bits().to_le_bytes()).flatten().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that takes `fixed` seconds for a step and `image` for each of its images, more the first time;
    /// gives the estimate and what it took.
    fn estimated(batch: usize, threads: usize, fixed: f64, image: f64) -> (f64, f64) {
        let (mut taken, mut calls) = (0.0, 0);
        let time = |batch: usize| {
            calls += 1;
            let time = fixed + image * batch as f64;
            taken += time;
            Some(if calls == 1 { 3.0 * time } else { time })
        };
        let estimate = of_batch(batch, threads, time).unwrap();
        (estimate, taken)
    }

    #[test]
    fn a_step_is_estimated_from_few_images() {
        for (batch, threads, fixed, image) in
            [(64, 2, 0.001, 0.001), (512, 2, 0.01, 0.002), (128, 16, 0.0, 0.01), (64, 2, 0.1, 0.05)]
        {
            let (estimate, taken) = estimated(batch, threads, fixed, image);
            let real = fixed + image * batch as f64;
            assert!((estimate / real - 1.0).abs() < 0.01, "{estimate} for {real}");
            assert!(taken < 1.5, "{taken}");
        }
        // A network so slow that two images are all there is time for.
        let (estimate, _) = estimated(128, 2, 0.0, 0.25);
        assert!((estimate - 32.0).abs() < 1e-9, "{estimate}");
        let (estimate, taken) = estimated(4, 8, 0.0, 5.0);
        assert_eq!((estimate, taken), (60.0, 20.0), "the first time has to do");
        assert_eq!(of_batch(8, 2, |_| None), None);
    }

    #[test]
    fn evaluations_do_not_depend_on_the_number_of_people() {
        let evaluations = Evaluations { times: 3, images: 1000 };
        let of =
            |losses| TimeEstimate::of(Costs { network: 0.64, losses, reading: 0.0 }, 64, 10, &evaluations);
        let (few, many) = (of(0.01), of(30.0));
        assert_eq!(few.evaluation, many.evaluation);
        assert!((many.evaluation - 3000.0 * 0.01 * EVALUATION).abs() < 1e-9, "{many:?}");
        assert!((many.step - 30.64).abs() < 1e-9 && (many.total - 306.4 - many.evaluation).abs() < 1e-9);
    }

    #[test]
    fn the_first_time_does_not_count() {
        let mut times = [9.0, 1.5].into_iter();
        assert_eq!(again(|| times.next()), Some(1.5));
        let mut times = [0.1, 0.04, 0.02, 0.5].into_iter();
        assert_eq!(again(|| times.next()), Some(0.02));
    }

    #[test]
    fn times_are_told_in_the_unit_of_their_size() {
        let times = [0.071, 2.25, 25.4, 600.0, 10_800.0, 864_000.0].map(in_words);
        assert_eq!(times, ["71 ms", "2.2 s", "25 s", "10 min", "3 h", "10 days"]);
        let estimate = TimeEstimate::new(0.071, 281, 5.2);
        assert_eq!(estimate.to_string(), "about 25 s: 281 steps of 71 ms, evaluations of 5.2 s");
        let without = TimeEstimate::new(0.071, 281, 0.0);
        assert_eq!(without.to_string(), "about 20 s: 281 steps of 71 ms");
    }
}
