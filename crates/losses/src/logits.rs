//! Logits as heads leave them: a rule on the products with the class weights, and the target's beside it.
//!
//! The margin of a head changes one logit of a row, and most criteria reduce a row to one number. So logits
//! are not written out: a criterion asks for a [`Reduction`] of each row. On CPU backends that is one pass
//! over the products with a backward pass of its own; elsewhere, or inside [`composed`], it is made of Burn's
//! operations.

use std::cell::Cell;

use burn::tensor::{IndexingUpdateOp, Tensor, activation};
use facegrad_operators::classes as operators;
pub use facegrad_operators::classes::{LogitRule, Reduction};

use crate::Labels;

/// The logits of a batch.
#[derive(Debug, Clone)]
pub struct ClassLogits {
    products: Tensor<2>,
    target: Tensor<1>,
    offset: Option<Tensor<1>>,
    threshold: Option<Tensor<1>>,
    labels: Labels,
    rule: LogitRule,
}

impl ClassLogits {
    /// z_y = `target`; z_j = `rule`(p_j) for the other classes.
    ///
    /// # Shapes
    /// - `products`: `[batch, classes]`; what is at the target there has no effect
    /// - `target`: `[batch]`
    pub fn new(products: Tensor<2>, target: Tensor<1>, labels: Labels, rule: LogitRule) -> Self {
        Self { products, target, offset: None, threshold: None, labels, rule }
    }

    /// The same with `offset`, `[batch]`, added to the logits of the other classes.
    pub fn with_offset(self, offset: Tensor<1>) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// The same with the `threshold`, `[batch]` and without a graph, that [`LogitRule::Hard`] takes.
    pub fn with_threshold(self, threshold: Tensor<1>) -> Self {
        Self { threshold: Some(threshold), ..self }
    }

    /// z_y, `[batch]`.
    pub fn target(&self) -> Tensor<1> {
        self.target.clone()
    }

    /// What the cosines of the other classes are multiplied by; 1 where it is learned, or no number of its own.
    pub fn scale(&self) -> f64 {
        self.rule.scale()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.products.dims()[1]
    }

    /// One number a row, `[batch]`.
    pub fn reduce(&self, reduction: Reduction) -> Tensor<1> {
        if has_operators(&self.products) {
            let Self { products, target, offset, threshold, labels, rule } = self.clone();
            let labels = labels.classes();
            return operators::reduce(products, target, offset, threshold, labels, rule, reduction);
        }
        let of_row = |z: Tensor<2>| z.squeeze_dim::<1>(1);
        match reduction {
            Reduction::LogSumExp => {
                let z = self.written();
                // The maximum is a constant of the derivative: it cancels.
                let max = z.clone().inner().max_dim(1);
                let max = if z.is_autodiff() { Tensor::from_inner(max) } else { max };
                of_row((z - max.clone()).exp().sum_dim(1).log() + max)
            }
            Reduction::Sum => of_row(self.written().sum_dim(1)),
            Reduction::HingeSum { delta } => of_row(self.violations(delta).sum_dim(1)),
            Reduction::HingeMax { delta } => of_row(self.violations(delta).max_dim(1)),
            Reduction::Softplus => {
                // ln(1 + e^z) is 0 at the target, whatever its logit.
                let z = self.written_with(self.target.clone().inner().full_like(-1e4));
                of_row(activation::softplus(z, 1.0).sum_dim(1))
            }
        }
    }

    /// max(0, z_j − z_y + Δ), 0 for the target itself.
    fn violations(&self, delta: f64) -> Tensor<2> {
        // Below any other logit: a target that is lowered by Δ + 1 rounds back to z_y where that is large.
        let z = self.written_with(self.target.full_like(-1e38));
        activation::relu(z - self.target.clone().unsqueeze_dim::<2>(1) + delta)
    }

    /// Every logit, `[batch, classes]`.
    pub fn written(&self) -> Tensor<2> {
        self.written_with(self.target.clone())
    }

    fn written_with(&self, target: Tensor<1>) -> Tensor<2> {
        let p = self.products.clone();
        let z = match self.rule {
            LogitRule::Scaled { scale } => p * scale,
            LogitRule::Hard { scale, polynomial: [a, b, c] } => {
                let threshold = self.threshold.clone().expect("hard examples need a threshold");
                let hard = p.clone().greater(threshold.unsqueeze_dim(1));
                let harder = p.clone().square() * a + p.clone() * b + c;
                p.mask_where(hard, harder) * scale
            }
            LogitRule::Circle { scale, margin, detached } => {
                let weight = activation::relu(p.clone() + margin);
                let weight = if detached { weight.detach() } else { weight };
                weight * (p - margin) * scale
            }
            LogitRule::Sharpened { scale, power, shift, detached } => {
                sharpened(p, power, detached) * scale + shift
            }
        };
        let z = match &self.offset {
            Some(offset) => z + offset.clone().unsqueeze_dim(1),
            None => z,
        };
        z.scatter(1, self.labels.column(), target.unsqueeze_dim(1), IndexingUpdateOp::Assign)
    }
}

/// SphereFace2's g(p) = 2 ((p + 1)/2)^t − 1 of cosines p, clamped to their range; `detached`, its derivative is 1.
pub(crate) fn sharpened<const D: usize>(p: Tensor<D>, power: f64, detached: bool) -> Tensor<D> {
    let sharp = ((p.clone().clamp(-1.0, 1.0) + 1.0) * 0.5).powf_scalar(power) * 2.0 - 1.0;
    match detached {
        // What is added is 0, so that the value is the same to the last bit.
        true => sharp.detach() + (p.clone() - p.detach()),
        false => sharp,
    }
}

thread_local! {
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the losses of this thread have an operator of their own for `tensor`.
pub(crate) fn has_operators<const D: usize>(tensor: &Tensor<D>) -> bool {
    !COMPOSED.get() && facegrad_operators::supports(tensor)
}

/// Runs `work` with every loss of this thread made of Burn's operations, to compare and to measure.
pub fn composed<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            COMPOSED.set(self.0);
        }
    }
    let _restore = Restore(COMPOSED.replace(true));
    work()
}
