//! Embeddings against class weights: what every head begins with.

use burn::tensor::{IndexingUpdateOp, Tensor};
use facegrad_operators::classes as operators;

use crate::{
    EmbeddingBatch, Labels, l2_normalise,
    logits::has_operators,
    normalise::EPSILON,
    telemetry::{FEATURE_NORM, HARDEST_COSINE, OTHER_COSINE, TARGET_COSINE, Telemetry},
};

/// p_j = x·w_j + b_j, or x·ŵ_j + b_j with weights of length 1.
///
/// # Shapes
/// - `x`: `[batch, embedding]`, `weight`: `[classes, embedding]`, `bias`: `[classes]`
/// - output: `[batch, classes]`
pub(crate) fn products(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, unit: bool) -> Tensor<2> {
    if has_operators(&x) {
        return operators::class_products(x, weight, bias, unit.then_some(EPSILON));
    }
    let weight = if unit { l2_normalise(weight).0 } else { weight };
    let products = x.matmul(weight.transpose());
    match bias {
        Some(bias) => products + bias.unsqueeze(),
        None => products,
    }
}

/// What each row of `products`, `[batch, classes]`, has at its target: `[batch]`.
pub(crate) fn pick(products: &Tensor<2>, labels: &Labels) -> Tensor<1> {
    if has_operators(products) {
        return operators::pick(products.clone(), labels.classes());
    }
    products.clone().gather(1, labels.column()).squeeze_dim(1)
}

/// The weights of the targets: of `weight`, `[classes, embedding]`, the rows `[batch, embedding]`.
pub(crate) fn pick_rows(weight: Tensor<2>, labels: &Labels) -> Tensor<2> {
    if has_operators(&weight) {
        return operators::pick_rows(weight, labels.classes());
    }
    weight.select(0, labels.indices())
}

/// The largest of each `size` products side by side, and where several are, the first of them.
///
/// # Shapes
/// - `products`: `[batch, groups * size]`, output: `[batch, groups]`
pub(crate) fn group_max(products: Tensor<2>, size: usize) -> Tensor<2> {
    if has_operators(&products) {
        return operators::group_max(products, size);
    }
    let [batch, columns] = products.dims();
    products.reshape([batch * columns / size, size]).max_dim(1).reshape([batch, columns / size])
}

/// Mean and largest number of each row but for the target, both `[batch]` and without a graph.
pub(crate) fn others(products: &Tensor<2>, labels: &Labels) -> [Tensor<1>; 2] {
    let products = products.clone().inner();
    if has_operators(&products) {
        return operators::others(products, labels.classes());
    }
    let target = products.clone().gather(1, labels.column().inner());
    let others = (products.dims()[1] - 1) as f64;
    let mean = (products.clone().sum_dim(1) - target.clone()) / others;
    let low = target.full_like(f32::MIN);
    let max = products.scatter(1, labels.column().inner(), low, IndexingUpdateOp::Assign).max_dim(1);
    [mean.squeeze_dim(1), max.squeeze_dim(1)]
}

/// The cosines of a batch with every class, for heads that compute with unit vectors.
pub(crate) struct Cosines {
    /// cos θ_j, `[batch, classes]`.
    pub(crate) all: Tensor<2>,
    /// cos θ_y, `[batch]`.
    pub(crate) target: Tensor<1>,
    /// ‖x‖, `[batch]`, with a graph.
    pub(crate) norm: Tensor<1>,
}

impl Cosines {
    /// With class weights `[classes, embedding]`.
    pub(crate) fn of(batch: &EmbeddingBatch, weight: Tensor<2>) -> Self {
        let (unit, norm) = l2_normalise(batch.embeddings.clone());
        let all = products(unit, weight, None, true);
        let target = pick(&all, &batch.labels);
        Self { all, target, norm: norm.squeeze_dim(1) }
    }

    /// Target, mean other and hardest other cosine, and the length of the embeddings.
    pub(crate) fn telemetry(&self, batch: &EmbeddingBatch) -> Telemetry {
        let telemetry = Telemetry::default().mean(TARGET_COSINE, self.target.clone());
        other_cosines(telemetry, batch, &self.all, None).mean(FEATURE_NORM, self.norm.clone())
    }
}

/// Adds mean and hardest cosine with other classes, from products that are cosines after a division by
/// `length`, `[batch]`.
pub(crate) fn other_cosines(
    telemetry: Telemetry,
    batch: &EmbeddingBatch,
    products: &Tensor<2>,
    length: Option<Tensor<1>>,
) -> Telemetry {
    if !batch.watched {
        return telemetry;
    }
    let [mean, max] = others(products, &batch.labels).map(|cosine| match &length {
        Some(length) => cosine / length.clone().inner(),
        None => cosine,
    });
    telemetry.mean(OTHER_COSINE, mean).mean(HARDEST_COSINE, max)
}
