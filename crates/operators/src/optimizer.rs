//! Steps of optimizers, in the memory of the tensors they are given.

#![cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(unused))]

use burn::{
    backend::{TensorMetadata, tensor::FloatTensor},
    tensor::{Shape, Tensor},
};
pub use facegrad_kernels::optimizer::{AdamW, Sgd};

use crate::host::{self, Host};

/// Evaluates `$body` with `$B` the backend of `$tensor` and `$primitive`, a function from tensors to its own.
macro_rules! on_host {
    ($tensor:expr, |$B:ident, $primitive:ident| $body:expr) => {
        match $tensor.device().as_dispatch() {
            #[cfg(feature = "flex")]
            burn::backend::DispatchDevice::Flex(_) => {
                type $B = burn::backend::Flex;
                let $primitive = |tensor: Tensor<_>| tensor.try_into_primitive::<$B>().expect(ONE_BACKEND);
                $body
            }
            #[cfg(feature = "ndarray")]
            burn::backend::DispatchDevice::NdArray(_) => {
                type $B = burn::backend::NdArray;
                let $primitive = |tensor: Tensor<_>| tensor.try_into_primitive::<$B>().expect(ONE_BACKEND);
                $body
            }
            #[allow(unreachable_patterns)]
            other => panic!("an optimizer in the processor's memory got a tensor on {other:?}"),
        }
    };
}

const ONE_BACKEND: &str = "all tensors of a step are without autodiff and on one backend";

/// Σ x² of untracked `x`, as exact as f64.
///
/// # Panics
/// If [`supports`](crate::supports) is false.
pub fn squared_norm<const D: usize>(x: Tensor<D>) -> f64 {
    on_host!(x, |B, primitive| {
        let x = B::contiguous(primitive(x));
        facegrad_kernels::optimizer::squared_norm(B::slice(&x))
    })
}

/// The new weight, and the new velocity where there is momentum; without an old one it begins at 0. All tensors
/// are untracked, of one shape. No memory is taken for those that nothing else shares.
///
/// # Panics
/// If the shapes differ, or [`supports`](crate::supports) is false.
pub fn sgd<const D: usize>(
    step: &Sgd,
    weight: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
) -> (Tensor<D>, Option<Tensor<D>>) {
    if step.momentum == 0.0 {
        let [weight] = on_host!(weight, |B, primitive| {
            let run = |[weight]: [&mut [f32]; 1], gradient: &[f32]| step.step(weight, gradient, None);
            changed::<B, 1>([Some(primitive(weight))], primitive(gradient), run)
                .map(Tensor::from_primitive::<B>)
        });
        return (weight, None);
    }
    let [weight, velocity] = on_host!(weight, |B, primitive| {
        let run = |[weight, velocity]: [&mut [f32]; 2], gradient: &[f32]| {
            step.step(weight, gradient, Some(velocity));
        };
        changed::<B, 2>([Some(primitive(weight)), velocity.map(primitive)], primitive(gradient), run)
            .map(Tensor::from_primitive::<B>)
    });
    (weight, Some(velocity))
}

/// The new weight and moments; without old ones they begin at 0. The tensors are as for [`sgd`].
///
/// # Panics
/// If the shapes differ, or [`supports`](crate::supports) is false.
pub fn adamw<const D: usize>(
    step: &AdamW,
    weight: Tensor<D>,
    gradient: Tensor<D>,
    moments: Option<[Tensor<D>; 2]>,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let [weight, first, second] = on_host!(weight, |B, primitive| {
        let [first, second] = match moments {
            Some(moments) => moments.map(|moment| Some(primitive(moment))),
            None => [None, None],
        };
        let run = |[weight, first, second]: [&mut [f32]; 3], gradient: &[f32]| {
            step.step(weight, gradient, [first, second]);
        };
        changed::<B, 3>([Some(primitive(weight)), first, second], primitive(gradient), run)
            .map(Tensor::from_primitive::<B>)
    });
    (weight, [first, second])
}

/// `tensors`, with zeros for absent ones, after `step` changed them; it gets the elements of `gradient` too.
fn changed<B: Host, const N: usize>(
    tensors: [Option<FloatTensor<B>>; N],
    gradient: FloatTensor<B>,
    step: impl FnOnce([&mut [f32]; N], &[f32]),
) -> [FloatTensor<B>; N] {
    let (shape, device): (Shape, _) = (gradient.shape(), gradient.device());
    let fits = |tensor: &FloatTensor<B>| tensor.shape() == shape;
    assert!(tensors.iter().flatten().all(fits), "an optimizer got a gradient of another shape, {shape:?}");
    let gradient = B::contiguous(gradient);
    let elements = B::slice(&gradient);
    let mut buffers = tensors.map(|tensor| match tensor {
        Some(tensor) => B::into_vec(tensor),
        None => vec![0.0; elements.len()],
    });
    step(buffers.each_mut().map(Vec::as_mut_slice), elements);
    drop(gradient);
    buffers.map(|buffer| host::tensor::<B>(buffer, shape.clone(), &device))
}
