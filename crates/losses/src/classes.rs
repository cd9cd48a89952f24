//! Embeddings against class weights: what every head begins with.

use burn::tensor::{IndexingUpdateOp, Tensor};
use facegrad_operators::classes as operators;

use crate::{
    ClassLogits, EmbeddingBatch, Labels, LogitRule,
    heads::ClassHeadOutput,
    l2_normalise,
    logits::has_operators,
    normalise::{EPSILON, norms},
    telemetry::{FEATURE_NORM, HARDEST_COSINE, OTHER_COSINE, SCALE, TARGET_COSINE, Telemetry},
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

/// The cosines of a batch with every class, or these times a length: what heads with class weights of length 1 compute
/// with, and make their output of.
pub(crate) struct Cosines<'a> {
    batch: &'a EmbeddingBatch,
    /// cos θ_j, `[batch, classes]`.
    all: Tensor<2>,
    /// cos θ_y, `[batch]`.
    pub(crate) target: Tensor<1>,
    /// ‖x‖, `[batch]`, with a graph.
    pub(crate) norm: Tensor<1>,
    /// What the cosines are multiplied by, `[batch]` or `[1]`.
    length: Option<Tensor<1>>,
}

impl<'a> Cosines<'a> {
    /// With class weights `[classes, embedding]`.
    pub(crate) fn of(batch: &'a EmbeddingBatch, weight: Tensor<2>) -> Self {
        Self::nearest_of(batch, weight, 1)
    }

    /// With the nearest of `size` class weights side by side, `[classes * size, embedding]`.
    pub(crate) fn nearest_of(batch: &'a EmbeddingBatch, weight: Tensor<2>, size: usize) -> Self {
        let (unit, norm) = l2_normalise(batch.embeddings.clone());
        let all = products(unit, weight, None, true);
        let all = if size == 1 { all } else { group_max(all, size) };
        Self::new(batch, all, norm, None)
    }

    /// Each times ‖x‖.
    pub(crate) fn times_length(batch: &'a EmbeddingBatch, weight: Tensor<2>) -> Self {
        let all = products(batch.embeddings.clone(), weight, None, true);
        let norm = norms(batch.embeddings.clone());
        Self::new(batch, all, norm.clone(), Some(norm.squeeze_dim(1)))
    }

    /// Each times `scale`, `[1]`.
    pub(crate) fn times(batch: &'a EmbeddingBatch, weight: Tensor<2>, scale: Tensor<1>) -> Self {
        let (unit, norm) = l2_normalise(batch.embeddings.clone());
        let all = products(unit * scale.clone().unsqueeze(), weight, None, true);
        Self::new(batch, all, norm, Some(scale))
    }

    fn new(batch: &'a EmbeddingBatch, all: Tensor<2>, norm: Tensor<2>, length: Option<Tensor<1>>) -> Self {
        let target = pick(&all, &batch.labels);
        Self { batch, all, target, norm: norm.squeeze_dim(1), length }
    }

    /// Target, mean other and hardest other cosine, and the length of the embeddings.
    pub(crate) fn telemetry(&self) -> Telemetry {
        let target = self.target.clone().inner();
        let target = match &self.length {
            Some(length) => target / length.clone().inner(),
            None => target,
        };
        let telemetry = Telemetry::default().mean(TARGET_COSINE, target);
        let telemetry = other_cosines(telemetry, self.batch, &self.all, self.length.clone());
        telemetry.mean(FEATURE_NORM, self.norm.clone())
    }

    /// z_y = `target`, `[batch]`; z_j by `rule` of what is here.
    pub(crate) fn logits(self, target: Tensor<1>, rule: LogitRule) -> ClassHeadOutput {
        let telemetry = self.telemetry();
        ClassHeadOutput::new(ClassLogits::new(self.all, target, self.batch.labels.clone(), rule), telemetry)
    }

    /// z_y = `target`, `[batch]`; z_j as they are here.
    pub(crate) fn unscaled(self, target: Tensor<1>) -> ClassHeadOutput {
        self.logits(target, LogitRule::Scaled { scale: 1.0 })
    }

    /// z_y = s `target`, `[batch]`; z_j = s cos θ_j.
    pub(crate) fn scaled(self, target: Tensor<1>, scale: f64) -> ClassHeadOutput {
        self.logits(target * scale, LogitRule::Scaled { scale }).known(SCALE, scale)
    }

    /// z_y = s `target`, `[batch]`; z_j = s c_j of the cosines c_j, or s times a `polynomial` of them, from the square to
    /// the constant, where they are above `threshold`, `[batch]`.
    pub(crate) fn weighted(
        self,
        target: Tensor<1>,
        threshold: Tensor<1>,
        scale: f64,
        polynomial: [f64; 3],
    ) -> ClassHeadOutput {
        let output = self.logits(target * scale, LogitRule::Hard { scale, polynomial });
        let logits = output.logits.with_threshold(threshold);
        ClassHeadOutput { logits, ..output }.known(SCALE, scale)
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
