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
use facegrad_kernels::rows;

use crate::extension::Optional;

/// How a product p of another class than the label's becomes a logit z, where s is `scale`.
// There is one a step, so the size of a tensor's handle does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub enum Rule {
    /// z = s·p.
    Scaled {
        /// s.
        scale: f64,
    },
    /// z = s·p, and s·(a·p² + b·p + c) where p is above the threshold of its row: a = 0 for MV-softmax (Wang et
    /// al., AAAI 2020, equation 8), c = 0 for CurricularFace (Huang et al., CVPR 2020, equation 10).
    Hard {
        /// s.
        scale: f64,
        /// Of shape `[batch]`, untracked.
        threshold: Tensor<1>,
        /// a, b and c.
        polynomial: [f64; 3],
    },
    /// z = s·α·(p − m), where α = max(0, p + m) (Sun et al., Circle loss, CVPR 2020, equations 5 and 8).
    Circle {
        /// s.
        scale: f64,
        /// m.
        margin: f64,
        /// Whether α is a constant to the gradient.
        detached: bool,
    },
    /// z = s·g(p) + shift, where g(p) = 2·((p + 1) / 2)ᵗ − 1 of p clamped to −1..1 (Wen et al., SphereFace2,
    /// ICLR 2022, equation 9).
    Sharpened {
        /// s.
        scale: f64,
        /// t, above 0.
        power: f64,
        /// What is added.
        shift: f64,
    },
}

/// What becomes of the logits of a row, those of the other classes zⱼ and that of the label z_y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reduction {
    /// ln(e^z_y + Σ e^zⱼ).
    LogSumExp,
    /// z_y + Σ zⱼ.
    Sum,
    /// Σ max(0, zⱼ − z_y + δ).
    HingeSum {
        /// δ.
        delta: f64,
    },
    /// max(0, max zⱼ − z_y + δ). The gradient is that of the first largest.
    HingeMax {
        /// δ.
        delta: f64,
    },
    /// Σ ln(1 + e^zⱼ), without z_y.
    Softplus,
}

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
/// `rule(p_ij) + offset[i]`.
///
/// # Shapes
/// - products: `[batch, classes]`
/// - target, offset, output: `[batch]`
/// - labels: `[batch]`, each in `0..classes`
///
/// # Panics
/// If the shapes do not fit together, a label is out of range, or [`supports`](crate::supports) is false.
pub fn reduce(
    products: Tensor<2>,
    target: Tensor<1>,
    offset: Option<Tensor<1>>,
    labels: &Arc<[usize]>,
    rule: Rule,
    reduction: Reduction,
) -> Tensor<1> {
    check_labels(&products, labels);
    let (rule, threshold) = rule.into_parts();
    let vectors = [Some(&target), offset.as_ref(), threshold.as_ref()];
    assert!(
        vectors.into_iter().flatten().all(|vector| vector.dims() == [labels.len()]),
        "a target, an offset and a threshold have one number a row"
    );
    let rest = (Optional::of(offset), Optional::of(threshold));
    Tensor::from_dispatch(Dispatch::reduce(
        products.into_dispatch(),
        target.into_dispatch(),
        rest.0,
        rest.1,
        labels.clone(),
        rule,
        reduction.of_kernels(),
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

impl Rule {
    /// The same for the kernels, and the threshold.
    fn into_parts(self) -> (rows::Rule, Option<Tensor<1>>) {
        match self {
            Self::Scaled { scale } => (rows::Rule::Scaled { scale: scale as f32 }, None),
            Self::Hard { scale, threshold, polynomial } => {
                let polynomial = polynomial.map(|number| number as f32);
                (rows::Rule::Hard { scale: scale as f32, polynomial }, Some(threshold))
            }
            Self::Circle { scale, margin, detached } => {
                (rows::Rule::Circle { scale: scale as f32, margin: margin as f32, detached }, None)
            }
            Self::Sharpened { scale, power, shift } => {
                let [scale, power, shift] = [scale, power, shift].map(|number| number as f32);
                (rows::Rule::Sharpened { scale, power, shift }, None)
            }
        }
    }
}

impl Reduction {
    fn of_kernels(self) -> rows::Reduction {
        match self {
            Self::LogSumExp => rows::Reduction::LogSumExp,
            Self::Sum => rows::Reduction::Sum,
            Self::HingeSum { delta } => rows::Reduction::HingeSum { delta: delta as f32 },
            Self::HingeMax { delta } => rows::Reduction::HingeMax { delta: delta as f32 },
            Self::Softplus => rows::Reduction::Softplus,
        }
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
        rule: rows::Rule,
        reduction: rows::Reduction,
    ) -> FloatTensor<Self>;

    fn others(products: FloatTensor<Self>, labels: Arc<[usize]>) -> (FloatTensor<Self>, FloatTensor<Self>);
}
