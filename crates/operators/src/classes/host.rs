//! The operations of heads on the backends whose tensors are in the processor's memory.

use std::sync::Arc;

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use facegrad_kernels::{
    GradientMask,
    classes::Classes,
    rows::{self, Logits},
};

use super::{ClassOperators, LogitRule, Reduction};
use crate::{
    extension::Optional,
    host::{Host, tensor, vector},
};

impl<B: Host> ClassOperators for B {
    fn class_products(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Optional<B>,
        normalise: Option<f32>,
    ) -> FloatTensor<B> {
        let (x, weight, bias) = (B::contiguous(x), B::contiguous(weight), bias.contiguous());
        let classes = extent::<B>(&x, &weight, normalise);
        let p = classes.forward(B::slice(&x), B::slice(&weight), bias.slice());
        tensor::<B>(p, [classes.batch, classes.classes], &x.device())
    }

    fn pick(products: FloatTensor<B>, labels: Arc<[usize]>) -> FloatTensor<B> {
        let products = B::contiguous(products);
        vector::<B>(rows::pick(B::slice(&products), columns::<B>(&products), &labels), &products.device())
    }

    fn pick_rows(weight: FloatTensor<B>, labels: Arc<[usize]>) -> FloatTensor<B> {
        let weight = B::contiguous(weight);
        let length = columns::<B>(&weight);
        let rows = rows::pick_rows(B::slice(&weight), length, &labels);
        tensor::<B>(rows, [labels.len(), length], &weight.device())
    }

    fn group_max(products: FloatTensor<B>, group: usize) -> FloatTensor<B> {
        let products = B::contiguous(products);
        let [batch, columns] = products.shape().dims();
        let largest = rows::group_max(B::slice(&products), group);
        tensor::<B>(largest, [batch, columns / group], &products.device())
    }

    fn reduce(
        products: FloatTensor<B>,
        target: FloatTensor<B>,
        offset: Optional<B>,
        threshold: Optional<B>,
        labels: Arc<[usize]>,
        rule: LogitRule,
        reduction: Reduction,
    ) -> FloatTensor<B> {
        let products = B::contiguous(products);
        RowTerms { target, offset, threshold, labels, rule, reduction }.contiguous().forward(&products).0
    }

    fn others(products: FloatTensor<B>, labels: Arc<[usize]>) -> (FloatTensor<B>, FloatTensor<B>) {
        let products = B::contiguous(products);
        let [mean, largest] = rows::others(B::slice(&products), columns::<B>(&products), &labels);
        (vector::<B>(mean, &products.device()), vector::<B>(largest, &products.device()))
    }
}

fn extent<B: Host>(x: &FloatTensor<B>, weight: &FloatTensor<B>, normalise: Option<f32>) -> Classes {
    let [batch, length] = x.shape().dims();
    let [classes, _] = weight.shape().dims();
    Classes { batch, length, classes, normalise }
}

fn columns<B: Host>(matrix: &FloatTensor<B>) -> usize {
    let [_, columns] = matrix.shape().dims();
    columns
}

/// The gradients of the embeddings, the weights and the biases, from `g` = ∂L/∂p; `None` where not mask.
pub(super) fn class_products_backward<B: Host>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    normalise: Option<f32>,
    g: FloatTensor<B>,
    mask: GradientMask,
) -> [Option<FloatTensor<B>>; 3] {
    let g = B::contiguous(g);
    let classes = extent::<B>(&x, &weight, normalise);
    let found = classes.backward(B::slice(&x), B::slice(&weight), B::slice(&g), mask);
    [
        mask.input.then(|| tensor::<B>(found.x, x.shape(), &x.device())),
        mask.weight.then(|| tensor::<B>(found.weight, weight.shape(), &x.device())),
        mask.bias.then(|| vector::<B>(found.bias, &x.device())),
    ]
}

/// The gradient of [`group_max`](super::group_max), from `g` = ∂L/∂output, in the memory of the products where
/// nothing else shares it.
pub(super) fn group_max_backward<B: Host>(
    products: FloatTensor<B>,
    group: usize,
    g: FloatTensor<B>,
) -> FloatTensor<B> {
    let (shape, device, g) = (products.shape(), products.device(), B::contiguous(g));
    let found = rows::group_max_backward(B::into_vec(products), group, B::slice(&g));
    tensor::<B>(found, shape, &device)
}

/// What [`reduce`](super::reduce) takes beside the products.
#[derive(Debug, Clone)]
pub(super) struct RowTerms<B: Host> {
    pub(super) target: FloatTensor<B>,
    pub(super) offset: Optional<B>,
    pub(super) threshold: Optional<B>,
    pub(super) labels: Arc<[usize]>,
    pub(super) rule: LogitRule,
    pub(super) reduction: Reduction,
}

impl<B: Host> RowTerms<B> {
    pub(super) fn contiguous(self) -> Self {
        Self {
            target: B::contiguous(self.target),
            offset: self.offset.contiguous(),
            threshold: self.threshold.contiguous(),
            ..self
        }
    }

    fn logits(&self, classes: usize) -> Logits<'_> {
        Logits {
            labels: &self.labels,
            classes,
            target: B::slice(&self.target),
            offset: self.offset.slice(),
            threshold: self.threshold.slice(),
            rule: self.rule,
            reduction: self.reduction,
        }
    }

    /// The reduction of contiguous products, and the same in f64 for the backward pass.
    pub(super) fn forward(&self, products: &FloatTensor<B>) -> (FloatTensor<B>, Vec<f64>) {
        let exact = self.logits(columns::<B>(products)).forward(B::slice(products));
        let value = exact.iter().map(|value| *value as f32).collect();
        (vector::<B>(value, &products.device()), exact)
    }

    /// The gradients of the products, the target and the offset, from the `value` of the reduction and
    /// `g` = ∂L/∂value: the first in the memory of the products where nothing else shares it.
    pub(super) fn backward(
        &self,
        products: FloatTensor<B>,
        value: &[f64],
        g: FloatTensor<B>,
    ) -> [FloatTensor<B>; 3] {
        let (shape, device) = (products.shape(), products.device());
        let g = B::contiguous(g);
        let logits = self.logits(columns::<B>(&products));
        let g = B::slice(&g);
        let found = match B::try_into_vec(products) {
            Ok(products) => logits.backward(products, value, g),
            Err(products) => logits.backward_from(B::slice(&B::contiguous(products)), value, g),
        };
        [
            tensor::<B>(found.products, shape, &device),
            vector::<B>(found.target, &device),
            vector::<B>(found.offset, &device),
        ]
    }
}
