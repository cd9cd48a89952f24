//! How fast a run is between two lines of its log.

use std::time::{Duration, Instant};

use facegrad_loader::Loader;

/// Speed since the last line of the log, without evaluations and checkpoints.
pub(crate) struct Window {
    started: Instant,
    before: Duration,
    counted: f64,
    pub(crate) images: usize,
    waited: Duration,
}

impl Window {
    pub(crate) fn start(loader: &Loader) -> Self {
        Self {
            started: Instant::now(),
            before: Duration::ZERO,
            counted: 0.0,
            images: 0,
            waited: loader.waited(),
        }
    }

    /// Stops the clock, and adds what it ran to the seconds of the run.
    pub(crate) fn pause(&mut self, seconds: &mut f64) {
        self.before += self.started.elapsed();
        *seconds += self.before.as_secs_f64() - self.counted;
        self.counted = self.before.as_secs_f64();
        self.started = Instant::now();
    }

    pub(crate) fn resume(&mut self) {
        self.started = Instant::now();
    }

    /// Images per second and the share of time spent waiting since the last call; starts anew.
    pub(crate) fn close(&mut self, loader: &Loader, seconds: &mut f64) -> (f64, f64) {
        self.pause(seconds);
        let time = self.before.as_secs_f64().max(1e-9);
        let waited = (loader.waited() - self.waited).as_secs_f64();
        let speed = (self.images as f64 / time, (waited / time).min(1.0));
        *self = Self::start(loader);
        speed
    }
}
