//! Kernels for CPUs, on plain slices: convolutions with the batch normalisation and prelu before them, forward
//! and backward, on channels-last maps.
//!
//! A network of convolutions, normalisations and prelus is a chain of two operators: [`conv::forward`], which
//! transforms its input on the way in, and [`join`], which ends a branch. Each gives the moments of its output,
//! which the next normalisation needs, while it is still in the cache. Only what is between the operators is
//! in memory, and it is all that the backward pass needs.
//!
//! Results are the same whatever the number of threads, to the last bit; they differ in rounding between
//! the instruction sets of [`simd::Isa`]. The room knows nothing of tensors, gradients' bookkeeping, networks or faces.
//!
//! ```
//! use facegrad_kernels::{Conv, Dims, Input, Transform, conv};
//!
//! // A 3x3 sum over one channel of a 2x2 map, which lies in zeros.
//! let sum = Conv { inputs: 1, outputs: 1, kernel: [3, 3], stride: 1, padding: 1, groups: 1 };
//! let dims = Dims { batch: 1, height: 2, width: 2, channels: 1 };
//! let input = Input { x: &[1.0, 2.0, 3.0, 4.0], dims, transform: Transform::default() };
//! assert_eq!(conv::forward(&sum, input, &[1.0; 9], None, false).y, [10.0; 4]);
//! ```

pub mod affine;
pub mod classes;
pub mod conv;
mod dense;
mod depthwise;
mod finish;
pub mod gemm;
mod global;
pub mod infer;
pub mod linear;
mod map;
mod math;
pub mod optimizer;
pub mod peak;
mod pixels;
pub mod pool;
mod problem;
pub mod profile;
#[cfg(test)]
mod reference;
pub mod rows;
mod scratch;
pub mod simd;
mod sum;
mod transform;
mod winograd;

pub use finish::ConvGradients;
pub use map::Dims;
pub use problem::{Conv, GradientMask};
pub use sum::add_to;
pub use transform::{
    Input, Moments, Norm, Output, Transform, TransformGradients, join, moments, transform_backward,
    transform_backward_from,
};

#[cfg(test)]
mod tests;
