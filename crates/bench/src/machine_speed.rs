//! What this machine is worth, in some seconds: to look at before a long run, and to put into a report.

use std::time::Duration;

use facegrad_backbones::{BackboneConfig, NanoConfig};
use facegrad_devices::Chosen;
use facegrad_kernels::peak;

use crate::{
    BenchError, ImageShape, Length, NetworkTask, NetworkTiming, PEAK_TIME, operators::MachineLimits,
};

/// What a batch of the check is.
const IMAGES: ImageShape = ImageShape { batch: 32, size: [112, 112] };
/// Identities of its head.
const CLASSES: usize = 1000;
/// How long training is measured.
const TRAINING: Duration = Duration::from_secs(2);

/// The speed of a machine.
#[derive(Debug, Clone)]
pub struct MachineSpeed {
    /// Floating-point operations a second of a large matrix product on one thread.
    pub one_thread: f64,
    /// What all threads reach together.
    pub all_threads: MachineLimits,
    /// Steps of training.
    pub training: NetworkTiming,
}

impl MachineSpeed {
    /// Measures it, in about five seconds.
    ///
    /// # Errors
    /// If the device fails.
    pub fn measure(chosen: Chosen) -> Result<Self, BenchError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| BenchError::Backend(error.to_string()))?;
        let one_thread = pool.install(|| peak::operations_per_second(PEAK_TIME));
        let all_threads = MachineLimits::measure();
        // The network of our own for processors.
        let backbone = BackboneConfig::Nano(NanoConfig::default());
        let length = Length::Time(TRAINING);
        let task = NetworkTask { backbone, images: IMAGES, length, profile: false, chosen };
        Ok(Self { one_thread, all_threads, training: task.train(CLASSES)? })
    }

    /// What was trained, in words.
    pub fn task() -> String {
        let [height, width] = IMAGES.size;
        format!("nano, batches of {} images of {height}x{width} pixels", IMAGES.batch)
    }

    /// How many times as fast all threads are as one.
    pub fn of_threads(&self) -> f64 {
        self.all_threads.operations / self.one_thread
    }
}
