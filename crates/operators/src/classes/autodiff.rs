//! The gradients of the operations of heads.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use burn::{
    backend::{
        Autodiff, TensorMetadata,
        autodiff::{
            NodeId,
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        tensor::FloatTensor,
    },
    tensor::Shape,
};
use facegrad_kernels::{GradientMask, rows};

use super::{
    ClassOperators, LogitRule, Reduction,
    host::{self, RowTerms},
};
use crate::{
    autodiff::{Tracked, nobody, register},
    extension::Optional,
    host::{Host, add, tensor},
};

/// The latest nodes whose gradients the backward passes here have registered: Burn tells nobody whether a node
/// has one, and asking for one that it has not is a panic.
///
/// A node that is no leaf keeps the gradient it is given here until its own backward pass, and has one such pass
/// at most, so what is in this list is true as long as anything can ask for it. A node that dropped out of it costs
/// time only.
static REGISTERED: Mutex<VecDeque<NodeId>> = Mutex::new(VecDeque::new());

/// Nodes that are remembered; between two operations that share products there are a few.
const REMEMBERED: usize = 256;

fn is_registered(node: NodeId) -> bool {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).contains(&node)
}

fn remember(node: NodeId) {
    let mut nodes = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if nodes.contains(&node) {
        return;
    }
    if nodes.len() == REMEMBERED {
        nodes.pop_front();
    }
    nodes.push_back(node);
}

/// The type of a parent has no public name, so functions take the whole operation.
fn without_state<S, const N: usize>(ops: Ops<S, N>) -> (Ops<(), N>, S) {
    (Ops { parents: ops.parents, node: ops.node, state: () }, ops.state)
}

/// Changes the gradient of the only parent of `ops` by `change`: where it is, if it was registered here, and from
/// zeros of the given shape otherwise.
fn change_gradient<B: Host>(
    ops: Ops<(), 1>,
    shape: Shape,
    device: &B::Device,
    gradients: &mut Gradients,
    change: impl FnOnce(&mut [f32]),
) {
    let [Some(parent)] = ops.parents else { return };
    // The gradient of a leaf stays registered when it is asked for.
    let is_leaf = parent.order == 0;
    let mut gradient = match !is_leaf && is_registered(parent.id) {
        true => B::into_vec(gradients.consume::<B>(&parent)),
        false => vec![0.0; shape.num_elements()],
    };
    change(&mut gradient);
    gradients.register::<B>(parent.id, tensor::<B>(gradient, shape, device));
    if !is_leaf {
        remember(parent.id);
    }
}

/// Registers the gradient of the first parent of `ops`, an array of the size of the products.
fn register_products<B: Host, const N: usize>(
    ops: &Ops<(), N>,
    gradient: FloatTensor<B>,
    gradients: &mut Gradients,
) {
    let Some(parent) = &ops.parents[0] else { return };
    if parent.order == 0 {
        return gradients.register::<B>(parent.id, gradient);
    }
    // Burn adds on one thread.
    let gradient = match is_registered(parent.id) {
        true => add::<B>(gradients.consume::<B>(parent), gradient),
        false => gradient,
    };
    gradients.register::<B>(parent.id, gradient);
    remember(parent.id);
}

#[derive(Debug)]
struct ClassProductsBackward;

impl<B: Host> Backward<B, 3> for ClassProductsBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, Option<f32>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (x, weight, normalise) = ops.state;
        let parents = ops.parents.map(|parent| parent.map(|parent| parent.id));
        let mask = GradientMask {
            input: parents[0].is_some(),
            weight: parents[1].is_some(),
            bias: parents[2].is_some(),
        };
        let found = host::class_products_backward::<B>(x, weight, normalise, g, mask);
        register::<B>(parents, found, gradients);
    }
}

#[derive(Debug)]
struct PickBackward;

impl<B: Host> Backward<B, 1> for PickBackward {
    /// The shape of the products: the products themselves would keep their memory from their gradient.
    type State = (Shape, Arc<[usize]>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = B::contiguous(gradients.consume::<B>(&ops.node));
        let (ops, (shape, labels)) = without_state(ops);
        let [_, classes] = shape.dims();
        change_gradient::<B>(ops, shape, &g.device(), gradients, |products| {
            rows::add_to_picked(products, classes, &labels, B::slice(&g));
        });
    }
}

#[derive(Debug)]
struct PickRowsBackward;

impl<B: Host> Backward<B, 1> for PickRowsBackward {
    /// The weight with its node, for it is a leaf as a rule, whose gradient is removed through its tensor only.
    type State = (Tracked<B>, Arc<[usize]>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = B::contiguous(gradients.consume::<B>(&ops.node));
        let (weight, labels) = ops.state;
        let (shape, device) = (weight.shape(), weight.device());
        let mut gradient = match gradients.remove::<B>(&weight) {
            Some(gradient) => B::into_vec(gradient),
            None => vec![0.0; shape.num_elements()],
        };
        let [_, length] = shape.dims();
        rows::add_to_picked_rows(&mut gradient, length, &labels, B::slice(&g));
        gradients.register::<B>(weight.id(), tensor::<B>(gradient, shape, &device));
    }
}

#[derive(Debug)]
struct GroupMaxBackward;

impl<B: Host> Backward<B, 1> for GroupMaxBackward {
    type State = (FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (ops, (products, group)) = without_state(ops);
        register_products::<B, 1>(&ops, host::group_max_backward::<B>(products, group, g), gradients);
    }
}

#[derive(Debug)]
struct ReduceBackward;

impl<B: Host> Backward<B, 3> for ReduceBackward {
    /// The products, what is beside them, and the result.
    type State = (FloatTensor<B>, RowTerms<B>, Vec<f64>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let g = gradients.consume::<B>(&ops.node);
        let (ops, (products, rest, value)) = without_state(ops);
        let [found, target, offset] = rest.backward(products, &value, g);
        register_products::<B, 3>(&ops, found, gradients);
        let [_, target_node, offset_node] = ops.parents.map(|parent| parent.map(|parent| parent.id));
        register::<B>([target_node, offset_node], [Some(target), Some(offset)], gradients);
    }
}

impl<B: Host, C: CheckpointStrategy> ClassOperators for Autodiff<B, C> {
    fn class_products(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Optional<Self>,
        normalise: Option<f32>,
    ) -> FloatTensor<Self> {
        let nobody = nobody::<B>(&x);
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (x, weight) = (B::contiguous(x), B::contiguous(weight));
        let (bias, bias_node) = bias.into_parts(&nobody);
        let parents = [x_node, weight_node, bias_node];
        match Backward::<B, 3>::prepare::<C>(ClassProductsBackward, parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let p = B::class_products(x.clone(), weight.clone(), bias, normalise);
                step.finish((x, weight, normalise), p)
            }
            OpsKind::UnTracked(step) => step.finish(B::class_products(x, weight, bias, normalise)),
        }
    }

    fn pick(products: FloatTensor<Self>, labels: Arc<[usize]>) -> FloatTensor<Self> {
        let (products, node) = products.into_parts();
        let shape = products.shape();
        let picked = B::pick(products, labels.clone());
        match Backward::<B, 1>::prepare::<C>(PickBackward, [node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((shape, labels), picked),
            OpsKind::UnTracked(step) => step.finish(picked),
        }
    }

    fn pick_rows(weight: FloatTensor<Self>, labels: Arc<[usize]>) -> FloatTensor<Self> {
        let picked = B::pick_rows(weight.primitive().clone(), labels.clone());
        match Backward::<B, 1>::prepare::<C>(PickRowsBackward, [weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((weight, labels), picked),
            OpsKind::UnTracked(step) => step.finish(picked),
        }
    }

    fn group_max(products: FloatTensor<Self>, group: usize) -> FloatTensor<Self> {
        let (products, node) = products.into_parts();
        let products = B::contiguous(products);
        match Backward::<B, 1>::prepare::<C>(GroupMaxBackward, [node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let largest = B::group_max(products.clone(), group);
                step.finish((products, group), largest)
            }
            OpsKind::UnTracked(step) => step.finish(B::group_max(products, group)),
        }
    }

    fn reduce(
        products: FloatTensor<Self>,
        target: FloatTensor<Self>,
        offset: Optional<Self>,
        threshold: Optional<Self>,
        labels: Arc<[usize]>,
        rule: LogitRule,
        reduction: Reduction,
    ) -> FloatTensor<Self> {
        let nobody = nobody::<B>(&products);
        let ((products, products_node), (target, target_node)) = (products.into_parts(), target.into_parts());
        let (offset, offset_node) = offset.into_parts(&nobody);
        let (threshold, _) = threshold.into_parts(&nobody);
        let parents = [products_node, target_node, offset_node];
        let products = B::contiguous(products);
        let rest = RowTerms { target, offset, threshold, labels, rule, reduction }.contiguous();
        match Backward::<B, 3>::prepare::<C>(ReduceBackward, parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let (value, exact) = rest.forward(&products);
                step.finish((products, rest, exact), value)
            }
            OpsKind::UnTracked(step) => step.finish(rest.forward(&products).0),
        }
    }

    fn others(products: FloatTensor<Self>, labels: Arc<[usize]>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (mean, largest) = B::others(products.into_primitive(), labels);
        (<Tracked<B>>::new(mean), <Tracked<B>>::new(largest))
    }
}
