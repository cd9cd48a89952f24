//! The operations on the backends whose tensors are in the processor's memory.

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{Shape, TensorData},
};
use facegrad_kernels::{
    self as kernels, Conv, Dims, GradientMask, Input, Norm, Output, Transform, affine::Affine,
};

use crate::extension::{Operand, OperandMoments, OperandNorm, Operators, Optional, OptionalOperand};

/// A backend whose tensors are in the processor's memory.
pub(crate) trait Host: Backend {
    /// `tensor` with its elements one after the other; a copy only where they are not.
    fn contiguous(tensor: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The elements of a contiguous tensor of f32.
    fn slice(tensor: &FloatTensor<Self>) -> &[f32];

    /// The elements of a tensor of f32; the tensor as it is where that would take a copy.
    fn try_into_vec(tensor: FloatTensor<Self>) -> Result<Vec<f32>, FloatTensor<Self>>;

    /// The elements of a tensor of f32; a copy only where another tensor shares them.
    fn into_vec(tensor: FloatTensor<Self>) -> Vec<f32> {
        let moved = Self::try_into_vec(tensor).or_else(|tensor| Self::try_into_vec(Self::contiguous(tensor)));
        moved.unwrap_or_else(|shared| Self::slice(&shared).to_vec())
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
const NOT_F32: &str = "supports() lets contiguous tensors of f32 in only";

#[cfg(feature = "flex")]
impl Host for burn::backend::Flex {
    fn contiguous(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
    }

    fn slice(tensor: &FloatTensor<Self>) -> &[f32] {
        tensor.as_slice().expect(NOT_F32)
    }

    fn try_into_vec(tensor: FloatTensor<Self>) -> Result<Vec<f32>, FloatTensor<Self>> {
        let whole =
            tensor.layout().contiguous_offsets() == Some((0, tensor.bytes().len() / size_of::<f32>()));
        match tensor.is_unique() && whole {
            true => Ok(tensor.into_data().try_into_vec().expect(NOT_F32)),
            false => Err(tensor),
        }
    }
}

#[cfg(feature = "ndarray")]
mod ndarray {
    use burn::backend::{NdArray, ndarray::NdArrayTensor, tensor::FloatTensor};

    use super::{Host, NOT_F32};

    impl Host for NdArray {
        fn contiguous(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
            match tensor {
                NdArrayTensor::F32(storage) if !storage.view().is_standard_layout() => {
                    storage.view().as_standard_layout().into_owned().into_shared().into()
                }
                tensor => tensor,
            }
        }

        fn slice(tensor: &FloatTensor<Self>) -> &[f32] {
            match tensor {
                NdArrayTensor::F32(storage) => storage.view().to_slice().expect(NOT_F32),
                _ => panic!("{NOT_F32}"),
            }
        }

        fn try_into_vec(tensor: FloatTensor<Self>) -> Result<Vec<f32>, FloatTensor<Self>> {
            let NdArrayTensor::F32(storage) = tensor else { panic!("{NOT_F32}") };
            if !storage.view().is_standard_layout() {
                return Err(NdArrayTensor::F32(storage));
            }
            let array = storage.into_shared().try_into_owned_nocopy().map_err(NdArrayTensor::from)?;
            let length = array.len();
            let (mut elements, offset) = array.into_raw_vec_and_offset();
            // A view of a part of a buffer owns all of it.
            elements.truncate(offset.unwrap_or(0) + length);
            elements.drain(..offset.unwrap_or(0));
            Ok(elements)
        }
    }
}

pub(crate) fn tensor<B: Host>(
    values: Vec<f32>,
    shape: impl Into<Shape>,
    device: &B::Device,
) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values, shape.into()), device)
}

pub(crate) fn vector<B: Host>(values: Vec<f32>, device: &B::Device) -> FloatTensor<B> {
    let length = values.len();
    tensor::<B>(values, [length], device)
}

fn pair<B: Host>(moments: kernels::Moments, device: &B::Device) -> OperandMoments<B> {
    OperandMoments {
        mean: vector::<B>(moments.mean, device),
        variance: vector::<B>(moments.variance, device),
    }
}

fn shape(dims: Dims) -> [usize; 4] {
    [dims.batch, dims.height, dims.width, dims.channels]
}

fn dims<B: Host>(x: &FloatTensor<B>) -> Dims {
    let [batch, height, width, channels] = x.shape().dims();
    Dims { batch, height, width, channels }
}

impl<B: Host> Optional<B> {
    pub(crate) fn contiguous(self) -> Self {
        match self {
            Self::Given(tensor) => Self::Given(B::contiguous(tensor)),
            Self::Absent => Self::Absent,
        }
    }

    pub(crate) fn slice(&self) -> Option<&[f32]> {
        match self {
            Self::Given(tensor) => Some(B::slice(tensor)),
            Self::Absent => None,
        }
    }
}

impl<B: Host> Operand<B> {
    pub(crate) fn contiguous(self) -> Self {
        let norm = match self.norm {
            OperandNorm::Given { gamma, beta, mean, variance, epsilon, of_batch } => {
                let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(B::contiguous);
                OperandNorm::Given { gamma, beta, mean, variance, epsilon, of_batch }
            }
            OperandNorm::Absent => OperandNorm::Absent,
        };
        Self { x: B::contiguous(self.x), norm, slope: self.slope.contiguous() }
    }

    fn input(&self) -> Input<'_> {
        let norm = match &self.norm {
            OperandNorm::Given { gamma, beta, mean, variance, epsilon, of_batch } => Some(Norm {
                gamma: B::slice(gamma),
                beta: B::slice(beta),
                mean: B::slice(mean),
                variance: B::slice(variance),
                epsilon: *epsilon,
                of_batch: *of_batch,
            }),
            OperandNorm::Absent => None,
        };
        let transform = Transform { norm, slope: self.slope.slice() };
        Input { x: B::slice(&self.x), dims: dims::<B>(&self.x), transform }
    }
}

impl<B: Host> Operators for B {
    fn conv(
        input: Operand<B>,
        weight: FloatTensor<B>,
        bias: Optional<B>,
        conv: Conv,
        moments: bool,
    ) -> (FloatTensor<B>, Option<OperandMoments<B>>) {
        let (input, weight, bias) = (input.contiguous(), B::contiguous(weight), bias.contiguous());
        let input_view = input.input();
        let output = kernels::conv::forward(&conv, input_view, B::slice(&weight), bias.slice(), moments);
        lift::<B>(output, conv.output(input_view.dims), &input.x.device())
    }

    fn join(
        input: Operand<B>,
        other: OptionalOperand<B>,
        moments: bool,
    ) -> (FloatTensor<B>, Option<OperandMoments<B>>) {
        let input = input.contiguous();
        let other = match other {
            OptionalOperand::Given(other) => Some(other.contiguous()),
            OptionalOperand::Absent => None,
        };
        let output = kernels::join(input.input(), other.as_ref().map(Operand::input), moments);
        lift::<B>(output, dims::<B>(&input.x), &input.x.device())
    }

    fn moments(x: FloatTensor<B>) -> OperandMoments<B> {
        let x = B::contiguous(x);
        pair::<B>(kernels::moments(B::slice(&x), dims::<B>(&x)), &x.device())
    }

    fn fork(x: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
        (x.clone(), x)
    }

    fn affine(x: FloatTensor<B>, weight: FloatTensor<B>, bias: Optional<B>) -> FloatTensor<B> {
        let (x, weight, bias) = (B::contiguous(x), B::contiguous(weight), bias.contiguous());
        let affine = extent::<B>(&x, &weight);
        let y = affine.forward(B::slice(&x), B::slice(&weight), bias.slice());
        tensor::<B>(y, [affine.batch, affine.outputs], &x.device())
    }
}

fn extent<B: Host>(x: &FloatTensor<B>, weight: &FloatTensor<B>) -> Affine {
    let [batch, inputs] = x.shape().dims();
    let [_, outputs] = weight.shape().dims();
    Affine { batch, inputs, outputs }
}

/// The gradients of the input, the weight and the bias of a linear layer, from `g` = ∂L/∂y.
pub(crate) fn linear_backward<B: Host>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    g: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let device = x.device();
    let [x, weight, g] = [x, weight, g].map(B::contiguous);
    let affine = extent::<B>(&x, &weight);
    let found = affine.backward(B::slice(&x), B::slice(&weight), B::slice(&g));
    [
        tensor::<B>(found.x, [affine.batch, affine.inputs], &device),
        tensor::<B>(found.weight, [affine.inputs, affine.outputs], &device),
        vector::<B>(found.bias, &device),
    ]
}

fn lift<B: Host>(
    output: Output,
    dims: Dims,
    device: &B::Device,
) -> (FloatTensor<B>, Option<OperandMoments<B>>) {
    let moments = output.moments.map(|moments| pair::<B>(moments, device));
    (tensor::<B>(output.y, shape(dims), device), moments)
}

/// The gradients of the elements, γ, β and the slopes; `None` where there is no such parameter.
pub(crate) type OperandGradients<B> = [Option<FloatTensor<B>>; 4];

/// The gradients of the input, the weight and the bias of a convolution, from `g` = ∂L/∂y; `None` where not
/// asked for.
pub(crate) fn conv_backward<B: Host>(
    conv: &Conv,
    input: &Operand<B>,
    weight: FloatTensor<B>,
    g: FloatTensor<B>,
    mask: GradientMask,
) -> (OperandGradients<B>, [Option<FloatTensor<B>>; 2]) {
    let (weight, g, device) = (B::contiguous(weight), B::contiguous(g), input.x.device());
    let view = input.input();
    let found = kernels::conv::backward(conv, view, B::slice(&weight), B::slice(&g), mask);
    let operand = match mask.input {
        true => operand_gradients::<B>(&view, found.x, found.transform, &device),
        false => Default::default(),
    };
    let weight = mask.weight.then(|| tensor::<B>(found.weight, weight.shape(), &device));
    (operand, [weight, mask.bias.then(|| vector::<B>(found.bias, &device))])
}

/// The sum of two tensors of one shape, in the memory of one of them that nothing else shares.
pub(crate) fn add<B: Host>(a: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
    let (shape, device) = (a.shape(), a.device());
    let (mut sum, other) = match (B::try_into_vec(a), b) {
        (Ok(a), b) => (a, b),
        (Err(a), b) => (B::into_vec(b), a),
    };
    kernels::add_to(&mut sum, B::slice(&B::contiguous(other)));
    tensor::<B>(sum, shape, &device)
}

/// The gradients of one map of a sum, from `g` = ∂L/∂y.
pub(crate) fn transform_backward<B: Host>(input: &Operand<B>, g: FloatTensor<B>) -> OperandGradients<B> {
    let view = input.input();
    if view.transform.is_identity() {
        return [Some(g), None, None, None];
    }
    let (x, transform) = match B::try_into_vec(g) {
        Ok(g) => kernels::transform_backward(view, g),
        Err(g) => kernels::transform_backward_from(view, B::slice(&B::contiguous(g))),
    };
    operand_gradients::<B>(&view, x, transform, &input.x.device())
}

fn operand_gradients<B: Host>(
    input: &Input<'_>,
    x: Vec<f32>,
    transform: kernels::TransformGradients,
    device: &B::Device,
) -> OperandGradients<B> {
    let of = |given: bool, values: Vec<f32>| given.then(|| vector::<B>(values, device));
    let (norm, slope) = (input.transform.norm.is_some(), input.transform.slope.is_some());
    [
        Some(tensor::<B>(x, shape(input.dims), device)),
        of(norm, transform.gamma),
        of(norm, transform.beta),
        of(slope, transform.slope),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round trip through a tensor, of a shared and of an unshared one.
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    fn check<B: Host>() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let device = B::Device::default();
        let start = values.as_ptr();
        let x = tensor::<B>(values.clone(), [2, 3, 4], &device);
        let shared = x.clone();
        assert_eq!(B::into_vec(x), values);
        assert_eq!(B::slice(&shared), values);
        // Rows 1 and 2 of the second image.
        let part = B::float_slice(shared, &[(1..2).into(), (1..3).into(), (0..4).into()]);
        assert_eq!(B::slice(&B::contiguous(part.clone())), &values[16..]);
        assert_eq!(B::into_vec(part), &values[16..]);
        let swapped = B::float_permute(tensor::<B>(values.clone(), [4, 6], &device), &[1, 0]);
        let expected: Vec<f32> = (0..24).map(|i| (i % 4 * 6 + i / 4) as f32).collect();
        assert_eq!(B::slice(&B::contiguous(swapped.clone())), expected);
        assert_eq!(B::into_vec(swapped), expected);
        let back = B::into_vec(tensor::<B>(values, [24], &device));
        assert_eq!(back.as_ptr(), start, "copied on the way");
    }

    #[cfg(feature = "flex")]
    #[test]
    fn flex_tensors_are_read_and_made_without_a_copy() {
        check::<burn::backend::Flex>();
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn ndarray_tensors_are_read_and_made_without_a_copy() {
        check::<burn::backend::NdArray>();
    }
}
