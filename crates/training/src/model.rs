//! A trained embedding network as a file that says how its input must look.

use std::path::{Path, PathBuf};

use burn::{module::Module, tensor::Device};
use facegrad_backbones::{Backbone, BackboneConfig, BackboneError};
use facegrad_kernels::infer::Network;
use facegrad_verification::Similarity;
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{self, CheckpointError},
    files,
    recognizer::{from_safetensors, normalised, safetensors_metadata, to_input, to_safetensors},
    step::Phase,
};

/// The file of a checkpoint that holds the embedding network.
pub(crate) const MODEL: &str = "model.safetensors";

/// Larger model files are not read.
const MAX_MODEL_BYTES: u64 = 16 << 30;

/// How the pixels of an image become the input of the network. A model is used with its own only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Order of the colour channels.
    pub colour: String,
    /// What is done to each value v from 0 to 255.
    pub normalisation: String,
    /// Where the eyes, nose and mouth are in the image.
    pub alignment: String,
}

impl Preprocessing {
    /// What this program does to images of `size`.
    pub fn of_size(size: [usize; 2]) -> Self {
        Self {
            size,
            colour: "RGB".into(),
            normalisation: "(v - 127.5) / 127.5".into(),
            alignment: "arcface-112, scaled to the size".into(),
        }
    }
}

/// What a model file says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The network.
    pub backbone: BackboneConfig,
    /// How its input must look.
    pub preprocessing: Preprocessing,
    /// SHA-256 of the data it was trained on.
    pub trained_on: String,
    /// Number of identities it was trained on.
    pub identities: usize,
    /// Optimizer steps of training.
    pub step: usize,
    /// How its embeddings are compared, by the rule of the loss it was trained with.
    #[serde(default)]
    pub scoring: Similarity,
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint it is in.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file itself.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It wants other images than this program makes.
    #[error("{} was trained on images prepared as {theirs}, and this facegrad prepares {ours}; the scores would mean nothing", path.display())]
    OtherPreprocessing {
        /// The file.
        path: PathBuf,
        /// The recipe of the model.
        theirs: String,
        /// The recipe of this program.
        ours: String,
    },
}

/// A network that embeds images.
#[derive(Debug)]
pub struct EmbeddingModel {
    computation: Computation,
    embedding_size: usize,
    /// What the file says of itself.
    pub card: ModelCard,
    /// SHA-256 of the file, where there is one.
    pub sha256: Option<String>,
    device: Device,
}

/// The network, ready to embed.
#[derive(Debug)]
enum Computation {
    /// Made ready for CPUs.
    Kernels(Box<Network>),
    /// Layer by layer on a device.
    Layers(Box<Backbone>),
}

/// The network of `card` and its weights as the bytes of a model file.
pub(crate) fn to_bytes(backbone: &Backbone, card: &ModelCard) -> Result<Vec<u8>, String> {
    let card = serde_json::to_string(card).map_err(|error| error.to_string())?;
    to_safetensors(backbone, &card)
}

impl EmbeddingModel {
    /// The network of `card` with its initial weights.
    ///
    /// # Errors
    /// If the images are too small for it.
    pub fn untrained(card: ModelCard, seed: u64, device: &Device) -> Result<Self, BackboneError> {
        let backbone = card.backbone.init(card.preprocessing.size, seed, device)?;
        Ok(Self::new(backbone, card, None, device))
    }

    /// The network as it is in training, ready to embed.
    pub fn from_backbone(backbone: &Backbone, card: ModelCard, device: &Device) -> Self {
        Self::new(backbone.valid(), card, None, device)
    }

    /// `backbone` is without autodiff.
    fn new(backbone: Backbone, card: ModelCard, sha256: Option<String>, device: &Device) -> Self {
        let embedding_size = backbone.embedding_size();
        let computation = match backbone.into_inference(card.preprocessing.size) {
            Ok(network) => Computation::Kernels(Box::new(network)),
            Err(backbone) => Computation::Layers(backbone),
        };
        Self { computation, embedding_size, card, sha256, device: device.clone() }
    }

    /// Loads a model file, a checkpoint folder, or the best checkpoint of a run folder.
    pub fn load(path: &Path, device: &Device) -> Result<Self, ModelError> {
        let unusable = |path: &Path, reason: String| ModelError::Unusable { path: path.into(), reason };
        let is_file = path.extension().is_some_and(|e| e == "safetensors");
        if !path.exists() {
            return Err(unusable(path, "there is no such model file, checkpoint or run folder".into()));
        }
        let (path, bytes) = if is_file {
            let bytes =
                files::read_bounded(path, MAX_MODEL_BYTES).map_err(|e| unusable(path, e.to_string()))?;
            (path.to_path_buf(), bytes)
        } else {
            let loaded = checkpoint::load(&checkpoint::locate(path, "best")?)?;
            (loaded.path.join(MODEL), loaded.file(MODEL)?.to_vec())
        };
        let not_ours = |reason: String| unusable(&path, format!("it is not a facegrad model: {reason}"));
        let metadata = safetensors_metadata(&bytes).map_err(not_ours)?;
        let card: ModelCard = serde_json::from_str(&metadata).map_err(|e| not_ours(e.to_string()))?;
        let ours = Preprocessing::of_size(card.preprocessing.size);
        if card.preprocessing != ours {
            return Err(ModelError::OtherPreprocessing {
                path,
                theirs: card.preprocessing.describe(),
                ours: ours.describe(),
            });
        }
        let size = card.preprocessing.size;
        if size.iter().any(|s| !(16..=1024).contains(s)) {
            return Err(unusable(&path, format!("its input size {size:?} is not from 16 to 1024 pixels")));
        }
        let fresh =
            card.backbone.init(size, 0, device).map_err(|e: BackboneError| unusable(&path, e.to_string()))?;
        let backbone = from_safetensors(fresh, &bytes).map_err(|reason| unusable(&path, reason))?;
        let sha256 = files::sha256(&bytes);
        drop(bytes);
        Ok(Self::new(backbone, card, Some(sha256), device))
    }

    /// Embeds a batch of RGB bytes.
    ///
    /// # Shapes
    /// - `pixels`: `[images, height, width, 3]`
    /// - output: `[images, embedding]`, not normalised
    ///
    /// # Errors
    /// What the backend says when it fails.
    ///
    /// # Panics
    /// If the bytes are not a whole number of images.
    pub fn embed(&self, pixels: &[u8]) -> Result<Vec<f32>, String> {
        let [height, width] = self.card.preprocessing.size;
        let phase = |name| Phase::begin(name, &self.device);
        let input = phase("input");
        match &self.computation {
            Computation::Kernels(network) => {
                let values = normalised(pixels);
                drop(input);
                let _forward = phase("forward");
                Ok(network.run(&values, pixels.len() / (height * width * 3)))
            }
            Computation::Layers(backbone) => {
                let images = to_input(pixels, [height, width], &self.device);
                drop(input);
                let _forward = phase("forward");
                let embeddings = backbone.forward(images);
                embeddings.into_data().try_to_vec::<f32>().map_err(|error| format!("{error:?}"))
            }
        }
    }

    /// Length of an embedding.
    pub fn embedding_size(&self) -> usize {
        self.embedding_size
    }
}

impl Preprocessing {
    fn describe(&self) -> String {
        let Self { size: [height, width], colour, normalisation, alignment } = self;
        format!("{height}x{width} {colour}, {normalisation}, aligned to {alignment}")
    }
}
