//! Convolutions over channels-last maps, with what is done to their input.

use rayon::prelude::*;

use crate::{
    dense::{self, Finish},
    depthwise,
    map::{Dims, Input},
    profile,
    transform::{CHUNK, Output, Prepared, Spread, TransformGradients},
    winograd,
};

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

    /// Whether it is computed by Winograd's algorithm on maps of shape `input`.
    pub fn is_winograd(&self, input: Dims) -> bool {
        Packed::kind(self, input) == Kind::Winograd
    }

    /// The same convolution with every output seeing every input: wasteful, for groups of many channels, which
    /// no network here has.
    fn ungrouped(&self) -> Self {
        Self { groups: 1, ..*self }
    }

    /// Where in the weight of [`Conv::ungrouped`] the weight of each output begins.
    fn starts(&self) -> impl Iterator<Item = usize> {
        let (area, group) = (self.kernel[0] * self.kernel[1], self.inputs / self.groups);
        let (inputs, outputs) = (self.inputs, self.outputs / self.groups);
        (0..self.outputs).map(move |o| (o * inputs + o / outputs * group) * area)
    }

    /// `weight` for [`Conv::ungrouped`].
    fn with_zeros(&self, weight: &[f32]) -> Vec<f32> {
        let mut all = vec![0.0; self.ungrouped().weights()];
        let length = self.weights() / self.outputs;
        for (start, weight) in self.starts().zip(weight.chunks_exact(length)) {
            all[start..start + length].copy_from_slice(weight);
        }
        all
    }

    /// The reverse of [`Conv::with_zeros`].
    fn without_zeros(&self, all: Vec<f32>) -> Vec<f32> {
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

/// The convolution of the transformed input, and the moments of the output where asked for.
///
/// `weight` has shape `[outputs, inputs / groups, kernel height, kernel width]`, `bias` `[outputs]`.
pub fn forward(conv: &Conv, input: Input<'_>, weight: &[f32], bias: Option<&[f32]>, moments: bool) -> Output {
    check(conv, input, weight, bias);
    let _profile = profile::operator(|| profile::conv_forward(conv, input.dims));
    let prepared = Prepared::new(&input.transform, conv.inputs);
    let finish = Finish { channels: conv.outputs, bias, moments, ..Finish::default() };
    let mut y = Vec::new();
    let packed = Packed::new(conv, input.dims, weight);
    let spreads = packed.convolve(conv, input.x, input.dims, &prepared, &finish, &mut y);
    finish.output(y, &spreads)
}

/// The weight of a convolution, made ready for maps of one size.
pub(crate) enum Packed {
    Depthwise(depthwise::Packed),
    Dense(dense::Packed),
    Winograd(winograd::Filters),
}

/// The ways to compute a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Depthwise,
    Dense,
    Winograd,
}

impl Packed {
    /// Which way is taken for maps of shape `dims`.
    pub(crate) fn kind(conv: &Conv, dims: Dims) -> Kind {
        match () {
            () if depthwise::applies(conv) => Kind::Depthwise,
            () if winograd::applies(conv, dims) => Kind::Winograd,
            () => Kind::Dense,
        }
    }

    pub(crate) fn new(conv: &Conv, dims: Dims, weight: &[f32]) -> Self {
        match Self::kind(conv, dims) {
            Kind::Depthwise => Self::Depthwise(depthwise::Packed::new(conv, dims, weight)),
            Kind::Winograd => Self::Winograd(winograd::Filters::new(conv, weight, false)),
            Kind::Dense if conv.groups == 1 => Self::Dense(dense::Packed::new(conv, weight)),
            Kind::Dense => Self::Dense(dense::Packed::new(&conv.ungrouped(), &conv.with_zeros(weight))),
        }
    }

    /// In memory of its own, to be kept for long.
    pub(crate) fn fitted(self) -> Self {
        match self {
            Self::Depthwise(packed) => Self::Depthwise(packed),
            Self::Dense(packed) => Self::Dense(packed.fitted()),
            Self::Winograd(filters) => Self::Winograd(filters.fitted()),
        }
    }

    pub(crate) fn convolve(
        &self,
        conv: &Conv,
        x: &[f32],
        dims: Dims,
        prepared: &Prepared,
        finish: &Finish<'_>,
        y: &mut Vec<f32>,
    ) -> Vec<Option<Spread>> {
        match self {
            Self::Depthwise(packed) => packed.convolve(x, dims, prepared, finish, y),
            Self::Dense(packed) => packed.convolve(conv, x, dims, prepared, finish, y),
            Self::Winograd(filters) => {
                filters.convolve(x, dims, prepared, conv.padding, finish, (y, conv.output(dims)))
            }
        }
    }
}

/// What a backward pass is to compute, beside the gradients of the transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The gradients of the input and of the parameters of its transform.
    pub input: bool,
    /// That of the weight.
    pub weight: bool,
    /// That of the bias.
    pub bias: bool,
}

/// Gradients; empty where not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gradients {
    /// Of the input, before its transform.
    pub x: Vec<f32>,
    /// Of the weight, in its shape.
    pub weight: Vec<f32>,
    /// Of the bias.
    pub bias: Vec<f32>,
    /// Of the parameters of the transform.
    pub transform: TransformGradients,
}

/// The gradients of [`forward`], from `g` = ∂L/∂y.
pub fn backward(conv: &Conv, input: Input<'_>, weight: &[f32], g: &[f32], wanted: Wanted) -> Gradients {
    check(conv, input, weight, None);
    assert_eq!(g.len(), conv.output(input.dims).elements());
    let _profile = profile::operator(|| profile::conv_backward(conv, input.dims, wanted));
    let mut gradients = match Packed::kind(conv, input.dims) {
        Kind::Depthwise => depthwise::backward(conv, input, weight, g, wanted),
        Kind::Winograd => winograd::backward(conv, input, weight, g, wanted),
        Kind::Dense if conv.groups == 1 => dense::backward(conv, input, weight, g, wanted),
        Kind::Dense => {
            let gradients = dense::backward(&conv.ungrouped(), input, &conv.with_zeros(weight), g, wanted);
            Gradients { weight: conv.without_zeros(gradients.weight), ..gradients }
        }
    };
    if wanted.bias {
        gradients.bias = bias_gradient(conv.outputs, g);
    }
    gradients
}

/// Σ g over pixels.
fn bias_gradient(channels: usize, g: &[f32]) -> Vec<f32> {
    let sums: Vec<Vec<f32>> = g
        .par_chunks(channels * CHUNK)
        .map(|g| {
            let mut sums = vec![0.0f32; channels];
            for pixel in g.chunks_exact(channels) {
                sums.iter_mut().zip(pixel).for_each(|(sum, g)| *sum += g);
            }
            sums
        })
        .collect();
    let mut total = vec![0.0f64; channels];
    for sums in sums {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(sum));
    }
    total.into_iter().map(|sum| sum as f32).collect()
}

fn check(conv: &Conv, input: Input<'_>, weight: &[f32], bias: Option<&[f32]>) {
    assert_eq!(input.dims.channels, conv.inputs);
    assert_eq!(input.x.len(), input.dims.elements());
    assert_eq!(weight.len(), conv.weights());
    assert!(bias.is_none_or(|bias| bias.len() == conv.outputs));
}
