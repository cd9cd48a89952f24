//! Heads: logits from embeddings and class weights.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use facegrad_settings::SettingsError;

use crate::{
    ClassLogits, CriterionConfig, Curve, Description, EmbeddingBatch, Progress, Scoring, Setup, Telemetry,
    classes::{self, Cosines},
    registry::modules,
};

mod a_softmax;
mod adaface;
mod am_softmax;
mod angular;
mod arcface;
mod circle;
mod coco;
mod combined_margin;
mod cosface;
mod curricularface;
mod elasticface;
mod first_loss;
mod l_softmax;
mod magface;
mod modified_softmax;
mod mv_softmax;
mod normface;
mod softmax;
mod sphereface2;
mod subcenter_arcface;

pub use a_softmax::{ASoftmax, ASoftmaxConfig};
pub use adaface::{AdaFace, AdaFaceConfig};
pub use am_softmax::{AmSoftmax, AmSoftmaxConfig};
pub use angular::{Fallback, Form};
pub use arcface::{ArcFace, ArcFaceConfig, Gradient};
pub use circle::{Circle, CircleConfig, WeightGradient};
pub use coco::{Alpha, Coco, CocoConfig};
pub use combined_margin::{CombinedFallback, CombinedMargin, CombinedMarginConfig};
pub use cosface::{CosFace, CosFaceConfig};
pub use curricularface::{CurricularFace, CurricularFaceConfig};
pub use elasticface::{ElasticFace, ElasticFaceConfig};
pub use l_softmax::{LSoftmax, LSoftmaxConfig};
pub use magface::{MagFace, MagFaceConfig};
pub use modified_softmax::{ModifiedSoftmax, ModifiedSoftmaxConfig};
pub use mv_softmax::{HardWeight, MvSoftmax, MvSoftmaxConfig};
pub use normface::{NormFace, NormFaceConfig};
pub use softmax::{Softmax, SoftmaxConfig};
pub use sphereface2::{SharpeningGradient, SphereFace2, SphereFace2Config};
pub use subcenter_arcface::{SubcentreArcFace, SubcentreArcFaceConfig};

/// What a head makes of a batch.
#[derive(Debug, Clone)]
pub struct ClassHeadOutput {
    /// `[batch, classes]`, for a criterion.
    pub logits: ClassLogits,
    /// `[1]`, added to what the criterion makes of the logits.
    pub penalty: Option<Tensor<1>>,
    /// How the head sees the batch.
    pub telemetry: Telemetry,
    /// What the head will have to remember once the step is taken, for [`HeadModule::remember`].
    pub memory: Option<Tensor<1>>,
}

impl ClassHeadOutput {
    /// Logits and telemetry, with no penalty and nothing to remember.
    pub fn new(logits: ClassLogits, telemetry: Telemetry) -> Self {
        Self { logits, penalty: None, telemetry, memory: None }
    }

    /// The same with a measure that is known.
    pub(crate) fn known(self, name: &str, value: f64) -> Self {
        Self { telemetry: self.telemetry.known(name, value), ..self }
    }

    /// The same with the mean of a measure that is still on the device.
    pub(crate) fn mean(self, name: &str, values: Tensor<1>) -> Self {
        Self { telemetry: self.telemetry.mean(name, values), ..self }
    }

    /// The loss `[1]`: what `criterion` makes of the logits, and the penalty.
    pub fn loss(&self, criterion: &CriterionConfig) -> Tensor<1> {
        let loss = criterion.loss(&self.logits);
        match &self.penalty {
            Some(penalty) => loss + penalty.clone(),
            None => loss,
        }
    }
}

/// What every head's config provides.
pub trait HeadKind {
    /// The head in words.
    fn description(&self) -> Description;

    /// The initial class weights, `[classes, embedding]`, which depend on the seed only.
    fn weights(&self, setup: &Setup) -> Param<Tensor<2>> {
        setup.weights()
    }

    /// Rows of the weights for each class.
    fn weights_of_a_class(&self) -> usize {
        1
    }

    /// The loss to expect before the first step from random unit features and class weights, under
    /// [`HeadKind::criterion`].
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
        first_loss::cross_entropy(classes, embedding, 1, &self.curve(Progress::START))
    }

    /// The loss, without penalties, of an embedding that is the same for every image, at the angle to all class weights
    /// that is best, under [`HeadKind::criterion`]: ln K without a margin.
    fn guessing_loss(&self, classes: usize, progress: Progress) -> f64 {
        first_loss::of_one_angle(classes, &self.curve(progress))
    }

    /// The logits over the angle: cosines, without a margin, and for embeddings and weights of one length.
    fn curve(&self, _progress: Progress) -> Curve {
        Curve::new(1.0, f64::cos, f64::cos)
    }

    /// What no single key can say; `section` is where the keys are.
    fn validate(&self, _section: &str) -> Result<(), SettingsError> {
        Ok(())
    }

    /// The criterion of the paper.
    fn criterion(&self) -> CriterionConfig {
        CriterionConfig::default()
    }

    /// How embeddings that were trained with this head are compared.
    fn scoring(&self) -> Scoring {
        Scoring::Cosine
    }
}

/// What every head does.
pub trait HeadModule {
    /// Logits for a batch, whose labels are in `0..classes`.
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput;

    /// Number of classes.
    fn classes(&self) -> usize;

    /// Takes up what an output said is to be remembered, once the step is taken; see [`ClassHeadOutput::memory`].
    fn remember(&mut self, _memory: Tensor<1>) {}
}

/// What a head with class weights and no other parameter makes of them.
pub trait ClassRule: HeadKind {
    /// Logits for a batch, whose labels are in `0..classes`, with the weights `[classes, embedding]`.
    fn forward(&self, weight: Tensor<2>, batch: &EmbeddingBatch) -> ClassHeadOutput;
}

/// Class weights, `[classes, embedding]`, and the head that computes with them.
#[derive(Module, Debug)]
pub struct ClassWeights<K> {
    /// The weights of a class are side by side.
    pub weight: Param<Tensor<2>>,
    #[module(skip)]
    config: K,
}

impl<K: HeadKind + Clone> ClassWeights<K> {
    pub(crate) fn new(config: &K, setup: &Setup) -> Self {
        Self { weight: config.weights(setup), config: config.clone() }
    }
}

impl<K: ClassRule> HeadModule for ClassWeights<K> {
    fn forward(&self, batch: &EmbeddingBatch) -> ClassHeadOutput {
        self.config.forward(self.weight.val(), batch)
    }

    fn classes(&self) -> usize {
        self.weight.dims()[0] / self.config.weights_of_a_class()
    }
}

modules! {
    /// How embeddings become logits of classes.
    pub enum ClassHeadConfig: dyn HeadKind;
    /// A head with class weights, of any kind.
    pub enum ClassHead: dyn HeadModule;
    /// Multiplicative angular margin on unit class weights: SphereFace.
    ASoftmax(ASoftmaxConfig) = "a_softmax",
    /// A margin that grows or shrinks with the length of the embedding.
    AdaFace(AdaFaceConfig) = "adaface",
    /// Additive cosine margin, with the scale of AM-Softmax's authors.
    AmSoftmax(AmSoftmaxConfig) = "am_softmax",
    /// Additive angular margin.
    ArcFace(ArcFaceConfig) = "arcface",
    /// Circle loss: each cosine weighted by how far it is from where it should be.
    Circle(CircleConfig) = "circle",
    /// Cosines with class centroids, scaled to fit the number of classes.
    Coco(CocoConfig) = "coco",
    /// Margins on the angle, by a factor and a constant, and on the cosine.
    CombinedMargin(CombinedMarginConfig) = "combined_margin",
    /// Additive cosine margin.
    CosFace(CosFaceConfig) = "cosface",
    /// Angular margin, and weights of hard negatives that grow as training goes on.
    CurricularFace(CurricularFaceConfig) = "curricularface",
    /// A margin drawn anew for each sample.
    ElasticFace(ElasticFaceConfig) = "elasticface",
    /// Multiplicative angular margin with class weights of any length.
    LSoftmax(LSoftmaxConfig) = "l_softmax",
    /// A margin that grows with the length of the embedding, which is pulled to be long.
    MagFace(MagFaceConfig) = "magface",
    /// Plain softmax on unit class weights, without a bias.
    ModifiedSoftmax(ModifiedSoftmaxConfig) = "modified_softmax",
    /// Angular or cosine margin, and a fixed weight of hard negatives.
    MvSoftmax(MvSoftmaxConfig) = "mv_softmax",
    /// Scaled cosines without a margin.
    NormFace(NormFaceConfig) = "normface",
    /// Plain multinomial logistic regression.
    Softmax(SoftmaxConfig) = "softmax",
    /// One binary classifier a class, without a softmax over them.
    SphereFace2(SphereFace2Config) = "sphereface2",
    /// Additive angular margin to the nearest of several sub-centres of a class.
    SubcentreArcFace(SubcentreArcFaceConfig) = "subcenter_arcface",
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::reference::Case;

    fn arcface(scale: f64) -> ArcFaceConfig {
        ArcFaceConfig { scale: scale.into(), ..Default::default() }
    }

    fn cosface() -> CosFaceConfig {
        CosFaceConfig { margin: 0.4.into(), ..Default::default() }
    }

    #[test]
    fn the_expected_first_losses_of_casia_and_ms1m_at_512_dimensions() {
        let normface = NormFaceConfig { scale: 64.0.into(), learned: false };
        for (classes, expected) in [(10_572, [38.8, 43.9, 24.5, 13.2]), (85_742, [40.9, 46.0, 26.6, 15.3])] {
            let found = [
                HeadKind::expected_first_loss(&cosface(), classes, 512),
                HeadKind::expected_first_loss(&arcface(64.0), classes, 512),
                HeadKind::expected_first_loss(&arcface(30.0), classes, 512),
                HeadKind::expected_first_loss(&normface, classes, 512),
            ];
            assert_eq!(found.map(|loss| (10.0 * loss).round() / 10.0), expected);
        }
    }

    /// ln(K − 1) + s (1 − cos m), ln(K − 1) + s m: up to the 1 beside K − 1 that the target itself adds.
    #[test]
    fn collapsed_features_and_weights_stay_at_the_plateau_of_their_head() {
        let device = Device::flex();
        let (classes, direction) = (10_572, vec![0.5, -1.0, 2.0]);
        let case = Case { x: vec![direction.clone()], w: vec![direction; classes], ..Case::at_angle(0.0) };
        let batch = case.batch_on(&device);
        let setup = Setup { classes: 2, embedding: 3, seed: 1, device: &device };
        let mut arcface = ArcFace::new(&arcface(64.0), &setup);
        let mut cosface = CosFace::new(&cosface(), &setup);
        arcface.weight = Param::from_tensor(case.weights_on(&device));
        cosface.weight = arcface.weight.clone();
        let criterion = CriterionConfig::default();
        let found = [arcface.forward(&batch), cosface.forward(&batch)]
            .map(|output| f64::from(criterion.loss(&output.logits).into_scalar::<f32>()));
        let plateau = |drop: f64| (classes as f64 - 1.0).ln() + 64.0 * drop;
        for (found, expected) in found.into_iter().zip([plateau(1.0 - 0.5f64.cos()), plateau(0.4)]) {
            // A cosine that is a rounding of 2⁻²³ below 1 has a sine of 5e-4, which costs s sin m times as much.
            assert!((found - expected).abs() < 2e-2, "{found} against {expected}");
        }
        assert_eq!(format!("{:.1}", found[0]), "17.1");
    }
}
