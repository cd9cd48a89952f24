//! What `[head]` may be: a head with class weights, or a loss on the embeddings alone.

use burn::{
    module::{Module, Param},
    tensor::{Device, Tensor, TensorData},
};
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{
    KeyPath, Schema, Setting, SettingsError, serde_through_toml, split_kind, toml::Value,
};

use crate::{
    CriterionConfig, EmbeddingBatch, Progress,
    embedding::{EmbeddingLoss, EmbeddingLossConfig, LossOutput},
    heads::{ClassHead, ClassHeadConfig, ClassHeadOutput},
};

/// How embeddings become a loss: `[head]`.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadConfig {
    /// Through class weights, logits and a criterion.
    Classes(ClassHeadConfig),
    /// From the embeddings and their labels alone.
    Embedding(EmbeddingLossConfig),
}

/// A head of any kind.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Head {
    /// With class weights.
    Classes(ClassHead),
    /// Without.
    Embedding(EmbeddingLoss),
}

/// What a head makes of a batch.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)]
pub enum HeadOutput {
    /// Logits, for a criterion.
    Logits(ClassHeadOutput),
    /// A loss.
    Loss(LossOutput),
}

/// How two embeddings are compared, so that evaluation matches training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// The cosine of the angle between them.
    Cosine,
    /// The distance between them.
    Euclidean,
}

/// A head or a loss in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The target logit and the other logits, or the loss of a batch, in one or two lines.
    pub formula: &'static str,
    /// Paper and equation.
    pub source: &'static str,
    /// Where the gradient goes, and what is a constant of it.
    pub gradient: &'static str,
}

/// What a head or a loss is built for.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// Number of identities.
    pub classes: usize,
    /// Length of an embedding.
    pub embedding: usize,
    /// Decides the initial weights and whatever the loss draws.
    pub seed: u64,
    /// Where the parameters are.
    pub device: &'a Device,
}

impl Setup<'_> {
    /// Weights `[classes, embedding]` of a head that normalises them.
    pub fn weights(&self) -> Param<Tensor<2>> {
        self.normal_weights(0.01)
    }

    /// Weights `[classes, embedding]` with a length of about 1.
    pub fn unit_weights(&self) -> Param<Tensor<2>> {
        self.normal_weights(1.0 / (self.embedding as f32).sqrt())
    }

    /// Weights from a normal distribution, the same on every backend.
    fn normal_weights(&self, deviation: f32) -> Param<Tensor<2>> {
        let shape = [self.classes, self.embedding];
        // Major index 1: the backbone's parameters draw from major index 0.
        let mut stream = Stream::new(self.seed, Purpose::Initialisation, 1, 0);
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| stream.normal() * deviation).collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}

/// Logits over the angle between embedding and class weight, in radians.
pub struct Curve {
    /// What the functions are multiplied by.
    pub scale: f64,
    /// Of the target class, over θ_y.
    pub target: Box<dyn Fn(f64) -> f64>,
    /// Of another class, over θ_j and θ_y, which few heads look at.
    pub other: Box<dyn Fn(f64, f64) -> f64>,
}

impl Curve {
    /// Of a head whose other logits depend on their own angles alone.
    pub fn new(
        scale: f64,
        target: impl Fn(f64) -> f64 + 'static,
        other: impl Fn(f64) -> f64 + 'static,
    ) -> Self {
        Self::beside_target(scale, target, move |theta, _| other(theta))
    }

    /// Of a head whose other logits depend on the target's angle as well.
    pub fn beside_target(
        scale: f64,
        target: impl Fn(f64) -> f64 + 'static,
        other: impl Fn(f64, f64) -> f64 + 'static,
    ) -> Self {
        Self { scale, target: Box::new(target), other: Box::new(other) }
    }
}

/// A head that cannot be built, or cannot take a batch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum HeadError {
    /// A single class cannot be told from anything.
    #[error("a classification head needs at least 2 identities, and the training data has {classes}")]
    TooFewClasses { classes: usize },
    /// A label that is no class.
    #[error("sample {sample} of the batch has label {label}; with {classes} classes labels are from 0 to {}", classes - 1)]
    Label {
        /// Which sample, from 0.
        sample: usize,
        label: usize,
        classes: usize,
    },
}

impl HeadConfig {
    /// Every kind, those with class weights first.
    pub fn kinds() -> Vec<&'static str> {
        ClassHeadConfig::KINDS.iter().chain(EmbeddingLossConfig::KINDS).copied().collect()
    }

    /// The head called `kind`, with every other key at its default.
    pub fn of_kind(kind: &str) -> Option<Self> {
        let classes = ClassHeadConfig::of_kind(kind).map(Self::Classes);
        classes.or_else(|| EmbeddingLossConfig::of_kind(kind).map(Self::Embedding))
    }

    /// The value of the `kind` key.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Classes(head) => head.kind(),
            Self::Embedding(loss) => loss.kind(),
        }
    }

    /// Builds the head for `classes` identities and embeddings of size `embedding`.
    ///
    /// # Errors
    /// If there are fewer than two classes.
    pub fn init(
        &self,
        classes: usize,
        embedding: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Head, HeadError> {
        if classes < 2 {
            return Err(HeadError::TooFewClasses { classes });
        }
        let setup = Setup { classes, embedding, seed, device };
        Ok(match self {
            Self::Classes(head) => Head::Classes(head.init(&setup)),
            Self::Embedding(loss) => Head::Embedding(loss.init(&setup)),
        })
    }

    /// Rows of weights, each as long as an embedding, for `classes` identities: what a head is large by. Known
    /// without building it.
    pub fn weight_rows(&self, classes: usize) -> u64 {
        match self {
            Self::Classes(head) => classes as u64 * head.weights_of_a_class() as u64,
            Self::Embedding(_) => 0,
        }
    }

    /// The loss to expect before the first step from random unit features, where there is a formula for it.
    pub fn expected_first_loss(&self, classes: usize, embedding: usize) -> Option<f64> {
        match self {
            Self::Classes(head) => Some(head.expected_first_loss(classes, embedding)),
            Self::Embedding(loss) => loss.expected_first_loss(classes, embedding),
        }
    }

    /// The loss, without penalties, of embeddings and class weights that do not depend on the image, at its best, in
    /// batches of `batch`, where there is a formula for it. A smaller one is of something learned.
    pub fn guessing_loss(&self, classes: usize, batch: usize, progress: Progress) -> Option<f64> {
        match self {
            Self::Classes(head) => Some(head.guessing_loss(classes, progress)),
            Self::Embedding(loss) => loss.guessing_loss(batch, progress),
        }
    }

    /// The head in words.
    pub fn description(&self) -> Description {
        match self {
            Self::Classes(head) => head.description(),
            Self::Embedding(loss) => loss.description(),
        }
    }

    /// The logits over the angle at the end of all schedules; `None` without class weights.
    pub fn curve(&self) -> Option<Curve> {
        match self {
            Self::Classes(head) => Some(head.curve(Progress::END)),
            Self::Embedding(_) => None,
        }
    }

    /// The criterion of the paper; `None` for a head that is a loss itself.
    pub fn criterion(&self) -> Option<CriterionConfig> {
        match self {
            Self::Classes(head) => Some(head.criterion()),
            Self::Embedding(_) => None,
        }
    }

    /// How embeddings that were trained with this head are compared.
    pub fn scoring(&self) -> Scoring {
        match self {
            Self::Classes(head) => head.scoring(),
            Self::Embedding(loss) => loss.scoring(),
        }
    }

    /// Whether the loss compares the images of a batch, so that several must show the same person.
    pub fn needs_pairs(&self) -> bool {
        match self {
            Self::Classes(_) => false,
            Self::Embedding(loss) => loss.needs_pairs(),
        }
    }

    /// What no single key can say; `section` is where the keys are.
    ///
    /// # Errors
    /// Names the key to change.
    pub fn validate(&self, section: &str) -> Result<(), SettingsError> {
        match self {
            Self::Classes(head) => head.validate(section),
            Self::Embedding(loss) if loss.needs_classes() => Err(SettingsError::conflict(
                format!("{section}.kind"),
                format!(
                    "is \"{0}\", which only pulls embeddings together; write it as [[auxiliary]] kind = \"{0}\" beside a head with classes, such as softmax",
                    loss.kind()
                ),
            )),
            Self::Embedding(loss) => loss.validate(section),
        }
    }
}

impl Head {
    /// Logits or a loss for a batch.
    ///
    /// # Errors
    /// If a label is no class of the head.
    pub fn forward(&self, batch: &EmbeddingBatch) -> Result<HeadOutput, HeadError> {
        Ok(match self {
            Self::Classes(head) => {
                batch.labels.check(head.classes())?;
                HeadOutput::Logits(head.forward(batch))
            }
            Self::Embedding(loss) => HeadOutput::Loss(loss_of(loss, batch)?),
        })
    }

    /// The head after a step was taken from an output with this memory.
    pub fn remember(mut self, memory: Tensor<1>) -> Self {
        if let Self::Classes(head) = &mut self {
            head.remember(memory);
        }
        self
    }
}

/// The loss of a batch.
///
/// # Errors
/// If a label is none of the classes that the loss has state for.
pub(crate) fn loss_of(loss: &EmbeddingLoss, batch: &EmbeddingBatch) -> Result<LossOutput, HeadError> {
    if let Some(classes) = loss.classes() {
        batch.labels.check(classes)?;
    }
    Ok(loss.forward(batch))
}

impl Setting for HeadConfig {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        let Schema::Kinds(kinds) = Self::schema() else { unreachable!("made of kinds") };
        // Of all kinds, so that an error names them all.
        let (kind, _) = split_kind(value, at, &kinds)?;
        match ClassHeadConfig::KINDS.contains(&kind) {
            true => ClassHeadConfig::read(value, at).map(Self::Classes),
            false => EmbeddingLossConfig::read(value, at).map(Self::Embedding),
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::Classes(head) => head.write(),
            Self::Embedding(loss) => loss.write(),
        }
    }

    fn schema() -> Schema {
        let (Schema::Kinds(mut kinds), Schema::Kinds(losses)) =
            (ClassHeadConfig::schema(), EmbeddingLossConfig::schema())
        else {
            unreachable!("declared as kinds")
        };
        kinds.extend(losses);
        Schema::Kinds(kinds)
    }
}

serde_through_toml!(HeadConfig);
