//! Heads: logits from embeddings and class weights.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use facegrad_settings::{SettingsError, kinds};

use crate::{
    Batch, CriterionConfig, Curve, Logits, Scoring, Telemetry,
    classes::{self, Cosines},
};

mod angular;

pub use angular::Form;
pub use arcface::{Fallback, Gradient};
pub use circle::WeightGradient;
pub use coco::Alpha;
pub use combined_margin::Beyond;
pub use mv_softmax::HardWeight;

/// What a head makes of a batch.
#[derive(Debug, Clone)]
pub struct HeadOutput {
    /// `[batch, classes]`, for a criterion.
    pub logits: Logits,
    /// `[1]`, added to what the criterion makes of the logits.
    pub penalty: Option<Tensor<1>>,
    /// How the head sees the batch.
    pub telemetry: Telemetry,
    /// What the head will have to remember once the step is taken, for [`HeadModule::remember`].
    pub memory: Option<Tensor<1>>,
}

impl HeadOutput {
    /// Logits and telemetry, with no penalty and nothing to remember.
    pub fn new(logits: Logits, telemetry: Telemetry) -> Self {
        Self { logits, penalty: None, telemetry, memory: None }
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
    /// The module it builds.
    type Head: HeadModule;

    /// The target logit and the other logits, in one or two lines.
    const FORMULA: &'static str;
    /// Paper and equation.
    const SOURCE: &'static str;
    /// Where the gradient goes, and what is a constant of it.
    const GRADIENT: &'static str;

    /// Builds the head with its initial weights, which depend on `seed` only.
    fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> Self::Head;

    /// The loss to expect before the first step from random unit features, under [`HeadKind::criterion`];
    /// `None` where no formula is at hand.
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> Option<f64>;

    /// The logits over the angle, divided by the scale, at the end of all schedules.
    fn curve(&self) -> Curve;

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
pub trait HeadModule: Module {
    /// Logits for a batch, whose labels are in `0..classes`.
    fn forward(&self, batch: &Batch) -> HeadOutput;

    /// Number of classes.
    fn classes(&self) -> usize;

    /// The head after a step was taken from an output with this [`HeadOutput::memory`].
    fn remember(self, _memory: Tensor<1>) -> Self {
        self
    }
}

/// The registry: one line a head.
macro_rules! heads {
    ($( $(#[doc = $doc:literal])* $variant:ident: $file:ident::$config:ident = $kind:literal $(| $alias:literal)*; )*) => {
        $( mod $file; pub use $file::{$config, $variant}; )*

        kinds! {
            /// How embeddings become logits of classes.
            pub enum ClassHeadConfig {
                $( $(#[doc = $doc])* $variant($config) = $kind $(| $alias)*, )*
            }
        }

        /// A head with class weights, of any kind.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant)]
        pub enum ClassHead {
            $( $(#[doc = $doc])* $variant($variant), )*
        }

        impl ClassHeadConfig {
            pub(crate) fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> ClassHead {
                match self { $( Self::$variant(c) => ClassHead::$variant(c.init(classes, embedding, seed, device)), )* }
            }

            pub(crate) fn as_kind(&self) -> &dyn AnyHeadKind {
                match self { $( Self::$variant(c) => c, )* }
            }
        }

        impl ClassHead {
            pub(crate) fn forward(&self, batch: &Batch) -> HeadOutput {
                match self { $( Self::$variant(h) => h.forward(batch), )* }
            }

            pub(crate) fn classes(&self) -> usize {
                match self { $( Self::$variant(h) => h.classes(), )* }
            }

            pub(crate) fn remember(self, memory: Tensor<1>) -> Self {
                match self { $( Self::$variant(h) => Self::$variant(h.remember(memory)), )* }
            }
        }
    };
}

heads! {
    /// Multiplicative angular margin on unit class weights: SphereFace.
    ASoftmax: a_softmax::ASoftmaxConfig = "a_softmax";
    /// A margin that grows or shrinks with the length of the embedding.
    AdaFace: adaface::AdaFaceConfig = "adaface";
    /// Additive angular margin.
    ArcFace: arcface::ArcFaceConfig = "arcface";
    /// Circle loss: each cosine weighted by how far it is from where it should be.
    Circle: circle::CircleConfig = "circle";
    /// Cosines with class centroids, scaled to fit the number of classes.
    Coco: coco::CocoConfig = "coco";
    /// Margins on the angle, by a factor and a constant, and on the cosine.
    CombinedMargin: combined_margin::CombinedMarginConfig = "combined_margin";
    /// Additive cosine margin.
    CosFace: cosface::CosFaceConfig = "cosface" | "am_softmax";
    /// Angular margin, and weights of hard negatives that grow as training goes on.
    CurricularFace: curricularface::CurricularFaceConfig = "curricularface";
    /// A margin drawn anew for each sample.
    ElasticFace: elasticface::ElasticFaceConfig = "elasticface";
    /// Multiplicative angular margin with class weights of any length.
    LSoftmax: l_softmax::LSoftmaxConfig = "l_softmax";
    /// A margin that grows with the length of the embedding, which is pulled to be long.
    MagFace: magface::MagFaceConfig = "magface";
    /// Plain softmax on unit class weights, without a bias.
    ModifiedSoftmax: modified_softmax::ModifiedSoftmaxConfig = "modified_softmax";
    /// Angular or cosine margin, and a fixed weight of hard negatives.
    MvSoftmax: mv_softmax::MvSoftmaxConfig = "mv_softmax";
    /// Scaled cosines without a margin.
    NormFace: normface::NormFaceConfig = "normface";
    /// Plain multinomial logistic regression.
    Softmax: softmax::SoftmaxConfig = "softmax";
    /// One binary classifier a class, without a softmax over them.
    SphereFace2: sphereface2::SphereFace2Config = "sphereface2";
    /// Additive angular margin to the nearest of several sub-centres of a class.
    SubcentreArcFace: subcenter_arcface::SubcentreArcFaceConfig = "subcenter_arcface";
}

/// A [`HeadKind`] whatever its module.
pub(crate) trait AnyHeadKind {
    fn formula(&self) -> &'static str;
    fn source(&self) -> &'static str;
    fn gradient(&self) -> &'static str;
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> Option<f64>;
    fn curve(&self) -> Curve;
    fn validate(&self, section: &str) -> Result<(), SettingsError>;
    fn criterion(&self) -> CriterionConfig;
    fn scoring(&self) -> Scoring;
}

impl<K: HeadKind> AnyHeadKind for K {
    fn formula(&self) -> &'static str {
        K::FORMULA
    }

    fn source(&self) -> &'static str {
        K::SOURCE
    }

    fn gradient(&self) -> &'static str {
        K::GRADIENT
    }

    fn expected_first_loss(&self, classes: usize, embedding: usize) -> Option<f64> {
        HeadKind::expected_first_loss(self, classes, embedding)
    }

    fn curve(&self) -> Curve {
        HeadKind::curve(self)
    }

    fn validate(&self, section: &str) -> Result<(), SettingsError> {
        HeadKind::validate(self, section)
    }

    fn criterion(&self) -> CriterionConfig {
        HeadKind::criterion(self)
    }

    fn scoring(&self) -> Scoring {
        HeadKind::scoring(self)
    }
}

/// Class weights `[classes, embedding]` from a normal distribution, the same on every backend.
fn normal_weights(classes: usize, embedding: usize, std: f32, seed: u64, device: &Device) -> Tensor<2> {
    use facegrad_random::{Purpose, Stream};
    // Major index 1: the backbone's parameters draw from major index 0.
    let mut stream = Stream::new(seed, Purpose::Initialisation, 1, 0);
    let values: Vec<f32> = (0..classes * embedding).map(|_| stream.normal() * std).collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, [classes, embedding]), device)
}

/// ln(K − 1) + s²/(2d): cross-entropy of cosine logits from random directions, whose variance is 1/d. Where s is so
/// large that the largest of K − 1 logits is all that counts, s √(2 ln(K − 1)/d), as in the random-energy model
/// (Derrida, 1981).
fn expected_cosine_loss(classes: usize, embedding: usize, scale: f64) -> f64 {
    let (deviation, count) = (scale / (embedding as f64).sqrt(), ((classes - 1) as f64).ln());
    let freezes = (2.0 * count).sqrt();
    if deviation <= freezes { count + 0.5 * deviation * deviation } else { deviation * freezes }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;
    use crate::reference::{Case, first_loss};

    fn arcface(scale: f64) -> ArcFaceConfig {
        ArcFaceConfig { scale: scale.into(), ..Default::default() }
    }

    fn cosface() -> CosFaceConfig {
        CosFaceConfig { margin: 0.4.into(), ..Default::default() }
    }

    #[test]
    fn the_expected_first_losses_of_casia_and_ms1m_at_512_dimensions() {
        let normface = NormFaceConfig { scale: 64.0.into(), learned: false };
        for (classes, expected) in [(10_572, [38.9, 43.9, 24.5, 13.3]), (85_742, [41.0, 46.0, 26.6, 15.4])] {
            let found = [
                HeadKind::expected_first_loss(&cosface(), classes, 512),
                HeadKind::expected_first_loss(&arcface(64.0), classes, 512),
                HeadKind::expected_first_loss(&arcface(30.0), classes, 512),
                HeadKind::expected_first_loss(&normface, classes, 512),
            ];
            assert_eq!(found.map(|loss| (10.0 * loss.unwrap()).round() / 10.0), expected);
        }
    }

    #[test]
    fn short_embeddings_under_a_large_scale_begin_at_the_largest_of_their_logits() {
        let normface = NormFaceConfig { scale: 64.0.into(), learned: false };
        let expected = HeadKind::expected_first_loss(&normface, 1000, 64).unwrap();
        // ln 999 + 64²/(2·64) would be 38.9.
        let found = first_loss(&normface, 1000, 64);
        assert!((found - expected).abs() < 0.15 * expected, "{found} against {expected}");
    }

    /// ln(K − 1) + s (1 − cos m), ln(K − 1) + s m: up to the 1 beside K − 1 that the target itself adds.
    #[test]
    fn collapsed_features_and_weights_stay_at_the_plateau_of_their_head() {
        let device = Device::flex();
        let (classes, direction) = (10_572, vec![0.5, -1.0, 2.0]);
        let case = Case { x: vec![direction.clone()], w: vec![direction; classes], ..Case::at_angle(0.0) };
        let batch = case.batch_on(&device);
        let mut arcface = arcface(64.0).init(2, 3, 1, &device);
        arcface.weight = Param::from_tensor(case.weights_on(&device));
        let mut cosface = cosface().init(2, 3, 1, &device);
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
