//! What classification heads end in: the products of embeddings with the weights of classes, and what a loss
//! makes of each row of them. There is one array `[batch, classes]`, the products; logits are not written, and the
//! gradient of the products is in the memory of the products where nothing else holds them.
//!
//! A head takes the product of each label with [`pick`], makes the label's logit of it, and gives both to
//! [`reduce`]. The backward pass of [`pick`] has no array of its own either, if that of [`reduce`] came before it,
//! as it does where the label's logit is computed from what is picked.

mod autodiff;
mod host;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use burn::{
    backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor},
    tensor::Tensor,
};
pub use facegrad_kernels::rows::{LogitRule, Reduction};

use crate::extension::Optional;

/// p_ij = xᵢ·wⱼ + bⱼ, or xᵢ·wⱼ / √(|wⱼ|² + ε) + bⱼ where `normalise` gives ε.
///
/// # Shapes
/// - x: `[batch, embedding]`
/// - weight: `[classes, embedding]`
/// - bias: `[classes]`
/// - output: `[batch, classes]`
///
/// # Panics
/// If the shapes do not fit together, ε is not above 0 in f32, or [`supports`](crate::supports) is false.
pub fn class_products(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    normalise: Option<f64>,
) -> Tensor<2> {
    let ([_, length], [classes, inputs]) = (x.dims(), weight.dims());
    assert!(
        length == inputs && length > 0 && bias.as_ref().is_none_or(|bias| bias.dims() == [classes]),
        "class weights {:?} do not fit embeddings {:?}",
        weight.dims(),
        x.dims()
    );
    let normalise = normalise.map(|epsilon| epsilon as f32);
    assert!(normalise.is_none_or(|epsilon| epsilon > 0.0), "a root needs an epsilon above 0");
    let p =
        Dispatch::class_products(x.into_dispatch(), weight.into_dispatch(), Optional::of(bias), normalise);
    Tensor::from_dispatch(p)
}

/// The number of the label in each row of products.
///
/// # Shapes
/// - products: `[batch, classes]`
/// - labels: `[batch]`, each in `0..classes`
/// - output: `[batch]`
///
/// # Panics
/// If the shapes do not fit together, a label is out of range, or [`supports`](crate::supports) is false.
pub fn pick(products: Tensor<2>, labels: &Arc<[usize]>) -> Tensor<1> {
    check_labels(&products, labels);
    Tensor::from_dispatch(Dispatch::pick(products.into_dispatch(), labels.clone()))
}

/// The rows of the labels.
///
/// # Shapes
/// - weight: `[classes, embedding]`
/// - labels: `[batch]`, each in `0..classes`
/// - output: `[batch, embedding]`
///
/// # Panics
/// If a label is out of range, or [`supports`](crate::supports) is false.
pub fn pick_rows(weight: Tensor<2>, labels: &Arc<[usize]>) -> Tensor<2> {
    check_range(labels, weight.dims()[0]);
    Tensor::from_dispatch(Dispatch::pick_rows(weight.into_dispatch(), labels.clone()))
}

/// The largest of every `group` neighbouring columns: of several products of a class, that with its nearest
/// sub-centre (Deng et al., Sub-center ArcFace, ECCV 2020). The gradient goes to the first largest.
///
/// # Shapes
/// - products: `[batch, classes * group]`
/// - output: `[batch, classes]`
///
/// # Panics
/// If `group` is 0 or does not divide the columns, or [`supports`](crate::supports) is false.
pub fn group_max(products: Tensor<2>, group: usize) -> Tensor<2> {
    let [_, columns] = products.dims();
    assert!(group > 0 && columns.is_multiple_of(group), "{columns} columns are not in groups of {group}");
    Tensor::from_dispatch(Dispatch::group_max(products.into_dispatch(), group))
}

/// One number a row from its logits z, which are never written: z_iy is `target[i]`, and z_ij for j ≠ y is
/// `rule(p_ij) + offset[i]`. [`LogitRule::Hard`] takes a `threshold`, untracked.
///
/// # Shapes
/// - products: `[batch, classes]`
/// - target, offset, threshold, output: `[batch]`
/// - labels: `[batch]`, each in `0..classes`
///
/// # Panics
/// If the shapes do not fit together, a label is out of range, [`LogitRule::Hard`] lacks its threshold, or
/// [`supports`](crate::supports) is false.
pub fn reduce(
    products: Tensor<2>,
    target: Tensor<1>,
    offset: Option<Tensor<1>>,
    threshold: Option<Tensor<1>>,
    labels: &Arc<[usize]>,
    rule: LogitRule,
    reduction: Reduction,
) -> Tensor<1> {
    check_labels(&products, labels);
    let vectors = [Some(&target), offset.as_ref(), threshold.as_ref()];
    assert!(
        vectors.into_iter().flatten().all(|vector| vector.dims() == [labels.len()]),
        "a target, an offset and a threshold have one number a row"
    );
    Tensor::from_dispatch(Dispatch::reduce(
        products.into_dispatch(),
        target.into_dispatch(),
        Optional::of(offset),
        Optional::of(threshold),
        labels.clone(),
        rule,
        reduction,
    ))
}

/// Mean and largest product of each row without that of its label, untracked.
///
/// # Shapes
/// - products: `[batch, classes]`, with at least two classes
/// - labels: `[batch]`, each in `0..classes`
/// - outputs: `[batch]`
///
/// # Panics
/// If the shapes do not fit together, a label is out of range, or [`supports`](crate::supports) is false.
pub fn others(products: Tensor<2>, labels: &[usize]) -> [Tensor<1>; 2] {
    check_labels(&products, labels);
    assert!(products.dims()[1] > 1, "a single class has no others");
    let (mean, largest) = Dispatch::others(products.into_dispatch(), labels.into());
    [mean, largest].map(Tensor::from_dispatch)
}

fn check_labels(products: &Tensor<2>, labels: &[usize]) {
    let [batch, classes] = products.dims();
    assert_eq!(batch, labels.len(), "each row has one label");
    check_range(labels, classes);
}

fn check_range(labels: &[usize], classes: usize) {
    if let Some(label) = labels.iter().find(|label| **label >= classes) {
        panic!("label {label} is not below the number of classes, {classes}");
    }
}

/// What the functions above run.
#[backend_extension(Autodiff, Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub(crate) trait ClassOperators: Backend {
    fn class_products(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        normalise: Option<f32>,
    ) -> FloatTensor<Self>;

    fn pick(products: FloatTensor<Self>, labels: Arc<[usize]>) -> FloatTensor<Self>;

    fn pick_rows(weight: FloatTensor<Self>, labels: Arc<[usize]>) -> FloatTensor<Self>;

    fn group_max(products: FloatTensor<Self>, group: usize) -> FloatTensor<Self>;

    fn reduce(
        products: FloatTensor<Self>,
        target: FloatTensor<Self>,
        #[extension_type] offset: Optional<Self>,
        #[extension_type] threshold: Optional<Self>,
        labels: Arc<[usize]>,
        rule: LogitRule,
        reduction: Reduction,
    ) -> FloatTensor<Self>;

    fn others(products: FloatTensor<Self>, labels: Arc<[usize]>) -> (FloatTensor<Self>, FloatTensor<Self>);
}
