//! The parts of the work that the profile of a step or a forward pass shows.

use burn::tensor::Device;
use facegrad_kernels::profile;

/// A part of the work, for the profile, until it is dropped.
#[derive(Debug)]
pub struct Phase<'a> {
    device: &'a Device,
    _time: profile::Scope,
}

impl<'a> Phase<'a> {
    /// Begins the part `name` on `device`.
    pub fn begin(name: &'static str, device: &'a Device) -> Self {
        Self { device, _time: profile::phase(name) }
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        // What a device still has to do belongs to the phase that asked for it.
        if profile::is_on() {
            let _ = self.device.sync();
        }
    }
}
