//! The kernels of `facegrad-kernels` as operations on Burn tensors, with gradients. Nothing here knows of networks, of
//! losses or of their settings: who calls has found out by [`supports`] that there is an operation of this crate.
//!
//! Maps are channels-last here, of shape `[batch, height, width, channels]`. A batch normalisation and a prelu
//! are not operations of their own: they wait in a [`Map`] for the operation that reads it, [`conv`] or
//! [`join`]. Burn's graph holds the map as it was before them, so that is all a backward pass keeps.
//!
//! Every backend whose tensors are in the processor's memory shares this code, the gradients included; whether
//! a tensor is on one of them, [`supports`] tells.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use burn::tensor::{Device, Tensor};
//! use facegrad_operators::{Map, Stencil, conv, supports};
//!
//! let device = Device::flex().autodiff();
//! // One map of 3x3 pixels with a channel, and a filter of 2x2.
//! let x = Tensor::<4>::ones([1, 3, 3, 1], &device).require_grad();
//! let weight = Tensor::<4>::ones([1, 1, 2, 2], &device);
//! assert!(supports(&x));
//! let stencil = Stencil { stride: 1, padding: 0, groups: 1 };
//! let (y, _) = conv(Map::new(x.clone()), weight, None, stencil, false);
//! assert_eq!(y.dims(), [1, 2, 2, 1]);
//! // The pixel in the middle is seen four times.
//! let gradient = x.grad(&y.sum().backward()).unwrap();
//! assert_eq!(gradient.max().into_scalar::<f32>(), 4.0);
//! # }
//! ```

// The attribute of Burn that lists the backends names ndarray's, which Burn marks as deprecated.
#![allow(deprecated)]
// Without such a backend what it generates passes arguments to nobody.
#![cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(unused_variables))]

mod autodiff;
pub mod classes;
mod extension;
mod host;
pub mod optimizer;
#[cfg(test)]
mod tests;

use burn::{
    backend::Dispatch,
    tensor::{DType, Tensor},
};
use facegrad_kernels::Conv;

use crate::extension::{Operand, OperandMoments, OperandNorm, Operators, Optional, OptionalOperand};

/// Maps, and what an operation that reads them does to each element first: the normalisation, then the prelu.
#[derive(Debug, Clone)]
pub struct Map {
    /// The elements, of shape `[batch, height, width, channels]`.
    pub x: Tensor<4>,
    /// The normalisation.
    pub norm: Option<Norm>,
    /// The slopes of prelu, of shape `[channels]`; relu is the slope 0.
    pub slope: Option<Tensor<1>>,
}

/// Batch normalisation, γ·(x − μ)/√(σ² + ε) + β of each channel (Ioffe & Szegedy, 2015).
#[derive(Debug, Clone)]
pub struct Norm {
    /// γ, of shape `[channels]`.
    pub gamma: Tensor<1>,
    /// β, of shape `[channels]`.
    pub beta: Tensor<1>,
    /// μ and σ². They get no gradient of their own.
    pub moments: Moments,
    /// ε.
    pub epsilon: f64,
    /// Whether μ and σ² are those of this very batch, so that the gradient of the elements passes through them.
    pub of_batch: bool,
}

/// Mean and variance of each channel, untracked.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Of shape `[channels]`.
    pub mean: Tensor<1>,
    /// The mean squared distance from the mean (not the unbiased estimate), of shape `[channels]`.
    pub variance: Tensor<1>,
}

/// How a filter moves over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stencil {
    /// Distance of neighbouring outputs, in pixels of the input.
    pub stride: usize,
    /// Zeros around the input (after its normalisation and prelu), in pixels.
    pub padding: usize,
    /// Groups of channels; an output sees the inputs of its group only.
    pub groups: usize,
}

/// Whether the operations of this crate take `tensor`: it has to be of f32, on the flex or ndarray backend.
pub fn supports<const D: usize>(tensor: &Tensor<D>) -> bool {
    let on_host = match tensor.device().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        burn::backend::DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        burn::backend::DispatchDevice::NdArray(_) => true,
        #[allow(unreachable_patterns)]
        _ => false,
    };
    on_host && tensor.dtype() == DType::F32
}

/// The convolution of a map, and the moments of the output where asked for.
///
/// # Shapes
/// - weight: `[outputs, inputs / groups, kernel height, kernel width]`
/// - bias: `[outputs]`
/// - output: `[batch, height, width, outputs]`
///
/// # Panics
/// If the shapes do not fit together, or [`supports`] is false.
pub fn conv(
    map: Map,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stencil: Stencil,
    moments: bool,
) -> (Tensor<4>, Option<Moments>) {
    let [outputs, inputs, height, width] = weight.dims();
    let Stencil { stride, padding, groups } = stencil;
    let inputs = inputs * groups;
    let conv = Conv { inputs, outputs, kernel: [height, width], stride, padding, groups };
    let [_, rows, columns, channels] = map.x.dims();
    assert!(
        channels == inputs && outputs.is_multiple_of(groups) && map.fits(),
        "a convolution of weight {:?} in {groups} groups does not fit a map of shape {:?}",
        weight.dims(),
        map.x.dims()
    );
    assert!(bias.as_ref().is_none_or(|bias| bias.dims() == [outputs]), "a bias has one number an output");
    assert!(
        stride > 0 && rows + 2 * padding >= height && columns + 2 * padding >= width,
        "a filter of {height}x{width} does not fit a map of {rows}x{columns} with padding {padding}"
    );
    let (y, moments) =
        Dispatch::conv(map.into_operand(), weight.into_dispatch(), Optional::of(bias), conv, moments);
    (Tensor::from_dispatch(y), moments.map(Moments::from_dispatch))
}

/// The sum of two maps of the same size, or one map alone, and the moments of the output where asked for.
///
/// # Shapes
/// - output: that of the maps
///
/// # Panics
/// If the shapes differ, or [`supports`] is false.
pub fn join(map: Map, other: Option<Map>, moments: bool) -> (Tensor<4>, Option<Moments>) {
    let shape = map.x.dims();
    assert!(map.fits(), "a normalisation or prelu does not fit a map of shape {shape:?}");
    let other = match other {
        Some(other) => {
            let theirs = other.x.dims();
            assert!(theirs == shape && other.fits(), "a map of shape {theirs:?} is not added to {shape:?}");
            OptionalOperand::Given(other.into_operand())
        }
        None => OptionalOperand::Absent,
    };
    let (y, moments) = Dispatch::join(map.into_operand(), other, moments);
    (Tensor::from_dispatch(y), moments.map(Moments::from_dispatch))
}

/// Mean and variance of each channel of `x`, of shape `[batch, height, width, channels]`.
///
/// # Panics
/// If [`supports`] is false.
pub fn moments(x: Tensor<4>) -> Moments {
    Moments::from_dispatch(Dispatch::moments(x.into_dispatch()))
}

/// `x` twice, for two operations to read. Their gradients are added in one pass on all threads, while Burn adds
/// those of a tensor that two operations read on one.
///
/// # Panics
/// If [`supports`] is false.
pub fn fork(x: Tensor<4>) -> [Tensor<4>; 2] {
    let (first, second) = Dispatch::fork(x.into_dispatch());
    [first, second].map(Tensor::from_dispatch)
}

/// x·W + b, for weights that are large beside the batch.
///
/// # Shapes
/// - x: `[batch, inputs]`
/// - weight: `[inputs, outputs]`
/// - bias: `[outputs]`
/// - output: `[batch, outputs]`
///
/// # Panics
/// If the shapes do not fit together, or [`supports`] is false.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let ([_, inputs], [rows, outputs]) = (x.dims(), weight.dims());
    assert!(
        inputs == rows && bias.as_ref().is_none_or(|bias| bias.dims() == [outputs]),
        "a linear layer of weight {:?} does not fit vectors of length {inputs}",
        weight.dims()
    );
    let y = Dispatch::affine(x.into_dispatch(), weight.into_dispatch(), Optional::of(bias));
    Tensor::from_dispatch(y)
}

impl Map {
    /// `x`, and nothing done to it.
    pub fn new(x: Tensor<4>) -> Self {
        Self { x, norm: None, slope: None }
    }

    /// Whether nothing is done to `x`.
    pub fn is_plain(&self) -> bool {
        self.norm.is_none() && self.slope.is_none()
    }

    /// Whether every vector has one number a channel.
    fn fits(&self) -> bool {
        let channels = [self.x.dims()[3]];
        self.slope.as_ref().is_none_or(|slope| slope.dims() == channels)
            && self.norm.as_ref().is_none_or(|norm| {
                [&norm.gamma, &norm.beta, &norm.moments.mean, &norm.moments.variance]
                    .iter()
                    .all(|vector| vector.dims() == channels)
            })
    }

    fn into_operand(self) -> Operand<Dispatch> {
        let norm = match self.norm {
            Some(norm) => OperandNorm::Given {
                gamma: norm.gamma.into_dispatch(),
                beta: norm.beta.into_dispatch(),
                mean: norm.moments.mean.into_dispatch(),
                variance: norm.moments.variance.into_dispatch(),
                epsilon: norm.epsilon as f32,
                of_batch: norm.of_batch,
            },
            None => OperandNorm::Absent,
        };
        Operand { x: self.x.into_dispatch(), norm, slope: Optional::of(self.slope) }
    }
}

impl Moments {
    fn from_dispatch(pair: OperandMoments<Dispatch>) -> Self {
        Self { mean: Tensor::from_dispatch(pair.mean), variance: Tensor::from_dispatch(pair.variance) }
    }
}
