//! How fast this machine trains, embeds and loads, and where the time goes.
//!
//! Every task yields numbers: [`NetworkTask`] of a whole network, [`LoaderTask`] of images from files, [`HeadTask`] of
//! one head, [`operators`] of the layers of a backbone beside the roofline of the machine. A duration is that of wall
//! clock; of many equal steps all are given, and [`median`] is what they come to. This room knows nothing of
//! arguments, tables and pictures.
//!
//! ```
//! use facegrad_backbones::BackboneConfig;
//! use facegrad_bench::{ImageShape, Length, NetworkTask};
//! use facegrad_devices::{Backend, choose};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let task = NetworkTask {
//!     backbone: BackboneConfig::of_kind("nano").ok_or("there is no nano")?,
//!     images: ImageShape { batch: 2, size: [32, 32] },
//!     length: Length::Steps(3),
//!     profile: false,
//!     chosen: choose(Backend::built_in()[0], None)?,
//! };
//! let timing = task.infer()?;
//! assert_eq!(timing.seconds.len(), 3);
//! assert!(timing.images_per_second() > 0.0);
//! # Ok(())
//! # }
//! ```

mod heads;
mod loader;
mod machine_speed;
mod network;
pub mod operators;

use std::time::{Duration, Instant};

use facegrad_backbones::BackboneError;
use facegrad_losses::HeadError;
use facegrad_random::{Purpose, Stream};
use facegrad_recognition::ModelError;
use facegrad_training::{StepError, TrainError};

pub use heads::{HeadComparison, HeadCost, HeadSummary, HeadTask};
pub use loader::{LoaderTask, LoaderTiming, TrainingTurn, write_faces};
pub use machine_speed::MachineSpeed;
pub use network::{NetworkTask, NetworkTiming};

/// Time to measure a peak of the machine.
const PEAK_TIME: Duration = Duration::from_millis(500);

/// Why there is nothing measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A network that does not take images of this size.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// A head that does not go with so many classes.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A model in training, or the loader that feeds it.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A step of training.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A model for inference.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed.
    #[error("{0}")]
    Backend(String),
    /// The loader has no batch although its plan has no end.
    #[error("the loader ended before its plan")]
    Ended,
}

/// The images of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Images in a batch.
    pub batch: usize,
    /// Height and width in pixels.
    pub size: [usize; 2],
}

impl ImageShape {
    /// RGB bytes `[batch, height, width, 3]`, all values equally likely.
    fn noise(self) -> Vec<u8> {
        let mut stream = Stream::new(1, Purpose::Benchmark, 0, 0);
        let [height, width] = self.size;
        (0..self.batch * height * width * 3).map(|_| stream.bits() as u8).collect()
    }
}

/// How long a measurement goes on after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// So long, but at least three steps.
    Time(Duration),
    /// So many steps.
    Steps(usize),
}

/// The duration of each of many equal steps, in seconds, after a warm-up of two.
fn measure<E>(length: Length, mut step: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    for _ in 0..2 {
        step()?;
    }
    let (begin, mut steps) = (Instant::now(), Vec::new());
    loop {
        let is_enough = match length {
            Length::Time(time) => steps.len() >= 3 && begin.elapsed() >= time,
            Length::Steps(count) => steps.len() >= count,
        };
        if is_enough {
            return Ok(steps);
        }
        let begin = Instant::now();
        step()?;
        steps.push(begin.elapsed().as_secs_f64());
    }
}

/// The middle one of `values`, or the mean of the two in the middle; NaN where there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_measurement_is_as_long_as_it_is_to_be() {
        let mut steps = 0;
        let mut step = || {
            steps += 1;
            Ok::<_, ()>(())
        };
        assert_eq!(measure(Length::Steps(5), &mut step).unwrap().len(), 5);
        assert!(measure(Length::Time(Duration::ZERO), &mut step).unwrap().len() == 3);
        assert_eq!(steps, 2 + 5 + 2 + 3);
        assert_eq!(measure(Length::Steps(1), || Err(7)), Err(7));
    }
}
