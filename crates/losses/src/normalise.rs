//! Unit vectors.

use burn::tensor::Tensor;

/// Added to the squared norm inside the root. Small enough to leave a norm of 1e-4 exact to 0.5 %, large
/// enough that the gradient of a zero row stays below 1e5.
pub(crate) const EPSILON: f64 = 1e-10;

/// Rows scaled to length 1: x / √(‖x‖² + ε). A zero row stays zero and has a finite gradient.
///
/// # Shapes
/// - `x`: `[rows, columns]`
/// - output: the unit rows `[rows, columns]`, and the norms `[rows, 1]`
pub fn l2_normalise(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let norm = norms(x.clone());
    (x / norm.clone(), norm)
}

/// √(‖x‖² + ε) of rows `[rows, columns]`: `[rows, 1]`.
pub(crate) fn norms(x: Tensor<2>) -> Tensor<2> {
    (x.square().sum_dim(1) + EPSILON).sqrt()
}
