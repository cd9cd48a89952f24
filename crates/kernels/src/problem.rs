//! What is to be computed: a convolution, its sizes, and which gradients of it.

use crate::map::Dims;

/// A two-dimensional convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Height and width of the filter.
    pub kernel: [usize; 2],
    /// Distance of neighbouring outputs, in pixels of the input.
    pub stride: usize,
    /// Zeros around the transformed input, in pixels.
    pub padding: usize,
    /// Groups of channels; an output sees the inputs of its group only.
    pub groups: usize,
}

impl Conv {
    /// The shape of the output on an input of shape `input`.
    pub fn output(&self, input: Dims) -> Dims {
        let extent = |size: usize, kernel: usize| (size + 2 * self.padding - kernel) / self.stride + 1;
        Dims {
            batch: input.batch,
            height: extent(input.height, self.kernel[0]),
            width: extent(input.width, self.kernel[1]),
            channels: self.outputs,
        }
    }

    /// The same convolution with every output seeing every input: wasteful, for groups of many channels, which
    /// no network here has.
    pub(crate) fn ungrouped(&self) -> Self {
        Self { groups: 1, ..*self }
    }

    /// Where in the weight of [`Conv::ungrouped`] the weight of each output begins.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let (area, group) = (self.kernel[0] * self.kernel[1], self.inputs / self.groups);
        let (inputs, outputs) = (self.inputs, self.outputs / self.groups);
        (0..self.outputs).map(move |o| (o * inputs + o / outputs * group) * area)
    }

    /// `weight` for [`Conv::ungrouped`].
    pub(crate) fn with_zeros(&self, weight: &[f32]) -> Vec<f32> {
        let mut all = vec![0.0; self.ungrouped().weights()];
        let length = self.weights() / self.outputs;
        for (start, weight) in self.starts().zip(weight.chunks_exact(length)) {
            all[start..start + length].copy_from_slice(weight);
        }
        all
    }

    /// The reverse of [`Conv::with_zeros`].
    pub(crate) fn without_zeros(&self, all: Vec<f32>) -> Vec<f32> {
        let length = self.weights() / self.outputs;
        match all.is_empty() {
            true => all,
            false => self.starts().flat_map(|start| all[start..start + length].to_vec()).collect(),
        }
    }

    /// Numbers of the weight, of shape `[outputs, inputs / groups, kernel height, kernel width]`.
    pub fn weights(&self) -> usize {
        self.outputs * (self.inputs / self.groups) * self.kernel[0] * self.kernel[1]
    }
}

/// Which gradients a backward pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradientMask {
    /// Those of the input and, where there is one, of the parameters of its transform.
    pub input: bool,
    /// That of the weight.
    pub weight: bool,
    /// That of the bias.
    pub bias: bool,
}
