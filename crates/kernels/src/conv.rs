//! Convolutions over channels-last maps, with what is done to their input.

use rayon::prelude::*;

use crate::{
    dense, depthwise,
    finish::{ConvGradients, Finish},
    map::Dims,
    problem::{Conv, GradientMask},
    profile,
    transform::{CHUNK, Input, Output, Prepared, Spread},
    winograd,
};

/// Whether `conv` is computed by Winograd's algorithm on maps of shape `input`.
pub fn is_winograd(conv: &Conv, input: Dims) -> bool {
    Packed::kind(conv, input) == Kind::Winograd
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

/// The gradients of [`forward`], from `g` = ∂L/∂y.
pub fn backward(
    conv: &Conv,
    input: Input<'_>,
    weight: &[f32],
    g: &[f32],
    mask: GradientMask,
) -> ConvGradients {
    check(conv, input, weight, None);
    assert_eq!(g.len(), conv.output(input.dims).elements());
    let _profile = profile::operator(|| profile::conv_backward(conv, input.dims, mask));
    let mut gradients = match Packed::kind(conv, input.dims) {
        Kind::Depthwise => depthwise::backward(conv, input, weight, g, mask),
        Kind::Winograd => winograd::backward(conv, input, weight, g, mask),
        Kind::Dense if conv.groups == 1 => dense::backward(conv, input, weight, g, mask),
        Kind::Dense => {
            let gradients = dense::backward(&conv.ungrouped(), input, &conv.with_zeros(weight), g, mask);
            ConvGradients { weight: conv.without_zeros(gradients.weight), ..gradients }
        }
    };
    if mask.bias {
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
