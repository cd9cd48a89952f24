//! The operations as Burn's dispatch sees them: on primitive tensors, of any backend that has them.

use burn::{
    backend::{Backend, Dispatch, ExtensionType, backend_extension, tensor::FloatTensor},
    tensor::Tensor,
};
use facegrad_kernels::Conv;

/// A tensor or none.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) enum Optional<B: Backend> {
    Absent,
    Given(FloatTensor<B>),
}

/// A [`Norm`](crate::Norm).
#[derive(Debug, Clone, ExtensionType)]
pub(crate) enum OperandNorm<B: Backend> {
    Absent,
    Given {
        gamma: FloatTensor<B>,
        beta: FloatTensor<B>,
        mean: FloatTensor<B>,
        variance: FloatTensor<B>,
        epsilon: f32,
        of_batch: bool,
    },
}

/// A [`Map`](crate::Map).
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct Operand<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    #[extension_type]
    pub(crate) norm: OperandNorm<B>,
    #[extension_type]
    pub(crate) slope: Optional<B>,
}

/// A second map or none.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) enum OptionalOperand<B: Backend> {
    Absent,
    Given(#[extension_type] Operand<B>),
}

/// [`Moments`](crate::Moments).
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct OperandMoments<B: Backend> {
    pub(crate) mean: FloatTensor<B>,
    pub(crate) variance: FloatTensor<B>,
}

/// What the functions at the top of this crate run.
#[backend_extension(Autodiff, Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub(crate) trait Operators: Backend {
    fn conv(
        #[extension_type] input: Operand<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        conv: Conv,
        moments: bool,
    ) -> (FloatTensor<Self>, Option<OperandMoments<Self>>);

    fn join(
        #[extension_type] input: Operand<Self>,
        #[extension_type] other: OptionalOperand<Self>,
        moments: bool,
    ) -> (FloatTensor<Self>, Option<OperandMoments<Self>>);

    fn moments(x: FloatTensor<Self>) -> OperandMoments<Self>;

    fn fork(x: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
    ) -> FloatTensor<Self>;
}

impl Optional<Dispatch> {
    pub(crate) fn of(tensor: Option<Tensor<1>>) -> Self {
        match tensor {
            Some(tensor) => Self::Given(tensor.into_dispatch()),
            None => Self::Absent,
        }
    }
}
