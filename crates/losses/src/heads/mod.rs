//! Heads: logits from embeddings and class weights.

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor},
};
use facegrad_settings::kinds;

use crate::Progress;

/// What a head makes of a batch.
#[derive(Debug, Clone)]
pub struct HeadOutput {
    /// `[batch, classes]`, for a criterion.
    pub logits: Tensor<2>,
    /// How the head sees the batch.
    pub telemetry: Telemetry,
}

/// What is worth watching in a head; tensors are scalars still on the device, outside autodiff.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Mean over the batch of cos θ_y, the cosine between an embedding and the weight of its class.
    pub target_cosine: Tensor<1>,
    /// Mean length of the embeddings.
    pub feature_norm: Tensor<1>,
    /// The margin of this step, for heads that have one.
    pub margin: Option<f64>,
    /// The scale of this step, for heads that have one.
    pub scale: Option<f64>,
}

/// A head that cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// A single class cannot be told from anything.
    #[error("a classification head needs at least 2 identities, and the training data has {classes}")]
    TooFewClasses {
        /// The number of classes.
        classes: usize,
    },
}

/// What every head's config provides.
pub trait HeadKind {
    /// The module it builds.
    type Head: HeadModule;

    /// The target logit and the other logits, in one or two lines.
    const FORMULA: &'static str;
    /// Paper and equation.
    const SOURCE: &'static str;

    /// Builds the head with its initial weights, which depend on `seed` only.
    fn init(&self, classes: usize, embedding: usize, seed: u64, device: &Device) -> Self::Head;

    /// The loss to expect before the first step from random unit features, under cross-entropy.
    fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64;
}

/// What every head does.
pub trait HeadModule: Module {
    /// Logits for a batch.
    ///
    /// # Shapes
    /// - `embeddings`: `[batch, embedding]`, of any length
    /// - `labels`: `[batch]`, each in `0..classes`; the caller checks this when the data set is opened
    fn forward(&self, embeddings: Tensor<2>, labels: Tensor<1, Int>, progress: Progress) -> HeadOutput;
}

/// The registry: one line a head.
macro_rules! heads {
    ($( $(#[doc = $doc:literal])* $variant:ident: $file:ident::$config:ident = $kind:literal $(| $alias:literal)*; )*) => {
        $( mod $file; pub use $file::{$config, $variant}; )*

        kinds! {
            /// How embeddings become logits: `[head]`.
            pub enum HeadConfig {
                $( $(#[doc = $doc])* $variant($config) = $kind $(| $alias)*, )*
            }
        }

        /// A head of any kind.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant)]
        pub enum Head {
            $( $(#[doc = $doc])* $variant($variant), )*
        }

        impl HeadConfig {
            /// Builds the head for `classes` identities and embeddings of size `embedding`.
            pub fn init(
                &self, classes: usize, embedding: usize, seed: u64, device: &Device,
            ) -> Result<Head, HeadError> {
                if classes < 2 {
                    return Err(HeadError::TooFewClasses { classes });
                }
                Ok(match self { $( Self::$variant(c) => Head::$variant(c.init(classes, embedding, seed, device)), )* })
            }

            /// The loss to expect before the first step from random unit features, under cross-entropy.
            pub fn expected_first_loss(&self, classes: usize, embedding: usize) -> f64 {
                match self { $( Self::$variant(c) => c.expected_first_loss(classes, embedding), )* }
            }

            /// The target logit and the other logits, as text.
            pub fn formula(&self) -> &'static str {
                match self { $( Self::$variant(_) => <$config as HeadKind>::FORMULA, )* }
            }

            /// Paper and equation.
            pub fn source(&self) -> &'static str {
                match self { $( Self::$variant(_) => <$config as HeadKind>::SOURCE, )* }
            }
        }

        impl Head {
            /// Logits `[batch, classes]` of embeddings `[batch, embedding]` with labels `[batch]`.
            pub fn forward(&self, embeddings: Tensor<2>, labels: Tensor<1, Int>, progress: Progress) -> HeadOutput {
                match self { $( Self::$variant(h) => h.forward(embeddings, labels, progress), )* }
            }
        }
    };
}

heads! {
    /// Additive angular margin.
    ArcFace: arcface::ArcFaceConfig = "arcface";
    /// Additive cosine margin.
    CosFace: cosface::CosFaceConfig = "cosface" | "am_softmax";
    /// Plain multinomial logistic regression.
    Softmax: softmax::SoftmaxConfig = "softmax";
}

/// Class weights `[classes, embedding]` from a normal distribution, the same on every backend.
fn normal_weights(classes: usize, embedding: usize, std: f32, seed: u64, device: &Device) -> Tensor<2> {
    use facegrad_random::{Purpose, Stream};
    // Major index 1: the backbone's parameters draw from major index 0.
    let mut stream = Stream::new(seed, Purpose::Initialisation, 1, 0);
    let values: Vec<f32> = (0..classes * embedding).map(|_| stream.normal() * std).collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, [classes, embedding]), device)
}

/// ln(K − 1) + s²/(2d): cross-entropy of cosine logits from random directions, whose variance is 1/d.
fn expected_cosine_loss(classes: usize, embedding: usize, scale: f64) -> f64 {
    ((classes - 1) as f64).ln() + scale * scale / (2.0 * embedding as f64)
}

/// The part that heads with a margin on the cosine share: unit vectors, cosines, the target's logit replaced
/// by `margin(cos θ_y)`, scaled.
///
/// # Shapes
/// - `embeddings`: `[batch, embedding]`, `weight`: `[classes, embedding]`, `labels`: `[batch]`
/// - `margin`: from cos θ_y `[batch, 1]` to the target logit before scaling `[batch, 1]`
fn cosine_logits(
    embeddings: Tensor<2>,
    weight: Tensor<2>,
    labels: Tensor<1, Int>,
    scale: f64,
    margin: impl FnOnce(Tensor<2>) -> Tensor<2>,
) -> (Tensor<2>, Tensor<1>, Tensor<1>) {
    use burn::tensor::IndexingUpdateOp;
    let (embeddings, norm) = crate::l2_normalise(embeddings);
    let (weight, _) = crate::l2_normalise(weight);
    let cosine = embeddings.matmul(weight.transpose());
    let target: Tensor<2, Int> = labels.unsqueeze_dim(1);
    // The margin touches `batch` values, not `[batch, classes]`.
    let cosine_y = cosine.clone().gather(1, target.clone());
    let change = margin(cosine_y.clone()) - cosine_y.clone();
    let logits = cosine.scatter(1, target, change, IndexingUpdateOp::Add) * scale;
    (logits, cosine_y.inner().mean(), norm.inner().mean())
}

#[cfg(test)]
pub(crate) mod reference;
