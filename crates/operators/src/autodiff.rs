//! The gradients of the operations, once for every backend in the processor's memory.

use burn::{
    backend::{
        Autodiff, Backend, TensorMetadata,
        autodiff::{
            NodeId,
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, NodeGuard, Ops, OpsKind},
        },
        tensor::FloatTensor,
    },
    tensor::Shape,
};
use facegrad_kernels::{Conv, GradientMask};

use crate::{
    extension::{Operand, OperandMoments, OperandNorm, Operators, Optional, OptionalOperand},
    host::{self, Host},
};

/// A tensor of Burn's graph, whatever its strategy for checkpoints.
pub(crate) type Tracked<B> = FloatTensor<Autodiff<B>>;

/// Burn's graph wants as many parents of every operation of a kind; this one stands for an absent one.
pub(crate) fn nobody<B: Backend>(like: &Tracked<B>) -> Tracked<B> {
    <Tracked<B>>::new(B::float_zeros(Shape::new([1]), &like.device(), like.dtype().into()))
}

impl<B: Host, C: CheckpointStrategy> Optional<Autodiff<B, C>> {
    pub(crate) fn into_parts(self, nobody: &Tracked<B>) -> (Optional<B>, NodeGuard) {
        match self {
            Self::Given(tensor) => {
                let (tensor, node) = tensor.into_parts();
                (Optional::Given(tensor), node)
            }
            Self::Absent => (Optional::Absent, nobody.node()),
        }
    }
}

impl<B: Host, C: CheckpointStrategy> Operand<Autodiff<B, C>> {
    /// What is computed with, contiguous, and the parents: the elements, γ, β and the slopes.
    fn into_parts(self, nobody: &Tracked<B>) -> (Operand<B>, [NodeGuard; 4]) {
        let (x, x_node) = self.x.into_parts();
        let (norm, gamma_node, beta_node) = match self.norm {
            OperandNorm::Given { gamma, beta, mean, variance, epsilon, of_batch } => {
                let ((gamma, gamma_node), (beta, beta_node)) = (gamma.into_parts(), beta.into_parts());
                let (mean, variance) = (mean.into_primitive(), variance.into_primitive());
                let norm = OperandNorm::Given { gamma, beta, mean, variance, epsilon, of_batch };
                (norm, gamma_node, beta_node)
            }
            OperandNorm::Absent => (OperandNorm::Absent, nobody.node(), nobody.node()),
        };
        let (slope, slope_node) = self.slope.into_parts(nobody);
        // Here, so that the backward pass does not copy once more.
        (Operand { x, norm, slope }.contiguous(), [x_node, gamma_node, beta_node, slope_node])
    }
}

fn untracked<B: Backend, C: CheckpointStrategy>(pair: OperandMoments<B>) -> OperandMoments<Autodiff<B, C>> {
    OperandMoments { mean: <Tracked<B>>::new(pair.mean), variance: <Tracked<B>>::new(pair.variance) }
}

pub(crate) fn register<B: Backend>(
    parents: impl IntoIterator<Item = Option<NodeId>>,
    found: impl IntoIterator<Item = Option<FloatTensor<B>>>,
    gradients: &mut Gradients,
) {
    for (parent, gradient) in parents.into_iter().zip(found) {
        if let (Some(parent), Some(gradient)) = (parent, gradient) {
            gradients.register::<B>(parent, gradient);
        }
    }
}

#[derive(Debug)]
struct ConvBackward;

impl<B: Host> Backward<B, 6> for ConvBackward {
    type State = (Operand<B>, FloatTensor<B>, Conv);

    fn backward(self, ops: Ops<Self::State, 6>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (input, weight, conv) = ops.state;
        let parents = ops.parents.map(|parent| parent.map(|parent| parent.id));
        let [x, gamma, beta, slope, weight_tracked, bias] = parents.map(|parent| parent.is_some());
        let mask = GradientMask { input: x || gamma || beta || slope, weight: weight_tracked, bias };
        let (operand, rest) = host::conv_backward::<B>(&conv, &input, weight, g, mask);
        register::<B>(parents, operand.into_iter().chain(rest), gradients);
    }
}

#[derive(Debug)]
struct JoinBackward;

impl<B: Host> Backward<B, 8> for JoinBackward {
    type State = (Operand<B>, Option<Operand<B>>);

    fn backward(self, ops: Ops<Self::State, 8>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (input, other) = ops.state;
        let parents = ops.parents.map(|parent| parent.map(|parent| parent.id));
        let wanted = |parents: &[Option<NodeId>]| parents.iter().any(Option::is_some);
        let (first, second) = parents.split_at(4);
        // The last to use `g` may have its memory.
        let (first, second) = match (wanted(first), other.filter(|_| wanted(second))) {
            (true, Some(other)) => {
                (host::transform_backward::<B>(&input, g.clone()), host::transform_backward::<B>(&other, g))
            }
            (true, None) => (host::transform_backward::<B>(&input, g), Default::default()),
            (false, Some(other)) => (Default::default(), host::transform_backward::<B>(&other, g)),
            (false, None) => return,
        };
        register::<B>(parents, first.into_iter().chain(second), gradients);
    }
}

#[derive(Debug)]
struct ForkBackward;

impl<B: Host> Backward<B, 1> for ForkBackward {
    /// Of no graph: where a gradient of this tensor is registered, the other branch was here before.
    type State = Tracked<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let ([Some(parent)], mark) = (ops.parents, ops.state) else { return };
        let second = gradients.remove::<B>(&mark).is_some();
        if !second {
            gradients.register::<B>(mark.id(), mark.into_primitive());
        }
        // The gradient of a leaf stays registered when it is asked for.
        let is_leaf = parent.order == 0;
        let g = if second && !is_leaf { host::add::<B>(gradients.consume::<B>(&parent), g) } else { g };
        gradients.register::<B>(parent.id, g);
    }
}

#[derive(Debug)]
struct LinearBackward;

impl<B: Host> Backward<B, 3> for LinearBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (x, weight) = ops.state;
        let parents = ops.parents.map(|parent| parent.map(|parent| parent.id));
        register::<B>(parents, host::linear_backward::<B>(x, weight, g).map(Some), gradients);
    }
}

impl<B: Host, C: CheckpointStrategy> Operators for Autodiff<B, C> {
    fn conv(
        input: Operand<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        conv: Conv,
        moments: bool,
    ) -> (FloatTensor<Self>, Option<OperandMoments<Self>>) {
        let nobody = nobody::<B>(&input.x);
        let (input, [x, gamma, beta, slope]) = input.into_parts(&nobody);
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts(&nobody);
        let parents = [x, gamma, beta, slope, weight_node, bias_node];
        let run = |input, weight| B::conv(input, weight, bias, conv, moments);
        match Backward::<B, 6>::prepare::<C>(ConvBackward, parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (y, moments) = run(input.clone(), weight.clone());
                (step.finish((input, weight, conv), y), moments.map(untracked))
            }
            OpsKind::UnTracked(step) => {
                let (y, moments) = run(input, weight);
                (step.finish(y), moments.map(untracked))
            }
        }
    }

    fn join(
        input: Operand<Self>,
        other: OptionalOperand<Self>,
        moments: bool,
    ) -> (FloatTensor<Self>, Option<OperandMoments<Self>>) {
        let nobody = nobody::<B>(&input.x);
        let (input, [x, gamma, beta, slope]) = input.into_parts(&nobody);
        let (other, [x2, gamma2, beta2, slope2]) = match other {
            OptionalOperand::Given(other) => {
                let (other, nodes) = other.into_parts(&nobody);
                (Some(other), nodes)
            }
            OptionalOperand::Absent => (None, [(); 4].map(|()| nobody.node())),
        };
        let parents = [x, gamma, beta, slope, x2, gamma2, beta2, slope2];
        let run = |input, other: Option<_>| {
            B::join(input, other.map_or(OptionalOperand::Absent, OptionalOperand::Given), moments)
        };
        match Backward::<B, 8>::prepare::<C>(JoinBackward, parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (y, moments) = run(input.clone(), other.clone());
                (step.finish((input, other), y), moments.map(untracked))
            }
            OpsKind::UnTracked(step) => {
                let (y, moments) = run(input, other);
                (step.finish(y), moments.map(untracked))
            }
        }
    }

    fn moments(x: FloatTensor<Self>) -> OperandMoments<Self> {
        untracked(B::moments(x.into_primitive()))
    }
    fn fork(x: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let mark = nobody::<B>(&x);
        let branch = || {
            let primitive = x.primitive().clone();
            match Backward::<B, 1>::prepare::<C>(ForkBackward, [x.node()]).compute_bound().stateful() {
                OpsKind::Tracked(step) => step.finish(mark.clone(), primitive),
                OpsKind::UnTracked(step) => step.finish(primitive),
            }
        };
        (branch(), branch())
    }

    fn affine(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: Optional<Self>) -> FloatTensor<Self> {
        let nobody = nobody::<B>(&x);
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (x, weight) = (B::contiguous(x), B::contiguous(weight));
        let (bias, bias_node) = bias.into_parts(&nobody);
        let parents = [x_node, weight_node, bias_node];
        match Backward::<B, 3>::prepare::<C>(LinearBackward, parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let y = B::affine(x.clone(), weight.clone(), bias);
                step.finish((x, weight), y)
            }
            OpsKind::UnTracked(step) => step.finish(B::affine(x, weight, bias)),
        }
    }
}
