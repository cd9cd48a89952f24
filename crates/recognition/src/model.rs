//! A trained embedding network as a file that says how its input must look.

use std::{
    io,
    path::{Path, PathBuf},
};

use burn::{module::Module, tensor::Device};
use facegrad_backbones::{Backbone, BackboneConfig, BackboneError};
use facegrad_files as files;
use facegrad_kernels::infer::Network;
use facegrad_verification::Similarity;
use serde::{Deserialize, Serialize};

use crate::{
    checkpoint::{self, CheckpointError},
    input::{normalised, to_input},
    operating_points::{self, NamedPoint},
    phase::Phase,
    weights::{from_safetensors, safetensors_metadata, tensors_sha256, to_safetensors},
};

/// The file of a checkpoint that holds the embedding network.
pub const MODEL: &str = "model.safetensors";

/// The version of what a model file says of itself; a file of another version is refused.
const FORMAT: u32 = 1;

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
    /// Thresholds for its scores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operating_points: Vec<NamedPoint>,
}

/// A card as a file has it.
#[derive(Serialize)]
struct WrittenCard<'a> {
    format: u32,
    #[serde(flatten)]
    card: &'a ModelCard,
}

/// What the card of every format says.
#[derive(Deserialize)]
struct Version {
    /// The first files do not say it.
    #[serde(default = "first_format")]
    format: u32,
}

fn first_format() -> u32 {
    1
}

impl ModelCard {
    /// The card in the metadata of a model file.
    pub(crate) fn of_metadata(metadata: &str) -> Result<Self, String> {
        if !metadata.starts_with('{') {
            let what = "it is another kind of facegrad's files, which `facegrad show` describes";
            return Err(format!("it is not a facegrad model: {what}"));
        }
        let not_ours = |error| format!("it is not a facegrad model: {error}");
        let Version { format } = serde_json::from_str(metadata).map_err(not_ours)?;
        if format != FORMAT {
            return Err(format!(
                "it has model format {format} and this facegrad reads format {FORMAT}; use the version that wrote it"
            ));
        }
        serde_json::from_str(metadata).map_err(not_ours)
    }
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ModelError {
    /// The checkpoint it is in.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file itself.
    #[error("{}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    /// It wants other images than this program makes.
    #[error("{} was trained on images prepared as {theirs}, and this facegrad prepares {ours}; the scores would mean nothing", path.display())]
    OtherPreprocessing { path: PathBuf, theirs: String, ours: String },
    /// Another process trains or calibrates it.
    #[error("{} is in use by another facegrad process; wait for it or stop it", .0.display())]
    InUse(PathBuf),
    /// The file is no longer what was loaded.
    #[error("{} was changed by something else since it was loaded; nothing was written", .0.display())]
    Changed(PathBuf),
    /// The disk is full, or the like.
    #[error("cannot write {}: {source}; the model is as it was", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

/// The bytes of the model that `path` means, a model file, a checkpoint folder or the best checkpoint of a run
/// folder, and where they are. Every file of a checkpoint is verified.
pub(crate) fn read(path: &Path) -> Result<(PathBuf, Vec<u8>), ModelError> {
    if is_model_file(path) {
        let bytes = files::read_bounded(path, MAX_MODEL_BYTES);
        let bytes = bytes.map_err(|e| ModelError::Unusable { path: path.into(), reason: e.to_string() })?;
        return Ok((path.into(), bytes));
    }
    let loaded = checkpoint::load_only(&locate(path)?, MODEL)?;
    Ok((loaded.path.join(MODEL), loaded.file(MODEL)?.to_vec()))
}

/// Where the bytes of the model that `path` means are, unread.
pub(crate) fn find(path: &Path) -> Result<PathBuf, ModelError> {
    if is_model_file(path) { Ok(path.into()) } else { Ok(locate(path)?.join(MODEL)) }
}

fn is_model_file(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "safetensors") && path.exists()
}

fn locate(path: &Path) -> Result<PathBuf, ModelError> {
    // A pipe or device is no folder either, and has a sentence of its own.
    if path.metadata().is_ok_and(|found| !found.is_dir() && !found.is_file()) {
        let reason = |error: io::Error| ModelError::Unusable { path: path.into(), reason: error.to_string() };
        files::open(path).map_err(reason)?;
    }
    let located = checkpoint::locate(path, "best");
    // Only now: it may have been put back.
    if !path.exists() {
        let reason = "there is no such model file, checkpoint or run folder".into();
        return Err(ModelError::Unusable { path: path.into(), reason });
    }
    Ok(located?)
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
    /// SHA-256 of the tensors in it, which stays the same when operating points are written.
    pub tensors_sha256: Option<String>,
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
pub fn to_bytes(backbone: &Backbone, card: &ModelCard) -> Result<Vec<u8>, String> {
    let card = serde_json::to_string(&WrittenCard { format: FORMAT, card });
    to_safetensors(backbone, &card.map_err(|error| error.to_string())?)
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
        let computation = match backbone.into_inference() {
            Ok(network) => Computation::Kernels(Box::new(network)),
            Err(backbone) => Computation::Layers(backbone),
        };
        Self { computation, embedding_size, card, sha256, tensors_sha256: None, device: device.clone() }
    }

    /// Loads a model file, a checkpoint folder, or the best checkpoint of a run folder.
    pub fn load(path: &Path, device: &Device) -> Result<Self, ModelError> {
        let unusable = |path: &Path, reason: String| ModelError::Unusable { path: path.into(), reason };
        let (path, bytes) = read(path)?;
        let not_ours = |reason: String| unusable(&path, format!("it is not a facegrad model: {reason}"));
        let metadata = safetensors_metadata(&bytes).map_err(not_ours)?;
        let card = ModelCard::of_metadata(&metadata).map_err(|reason| unusable(&path, reason))?;
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
        let tensors = tensors_sha256(&bytes).map_err(not_ours)?;
        operating_points::check(&card.operating_points, &tensors)
            .map_err(|reason| unusable(&path, reason))?;
        let sha256 = files::sha256(&bytes);
        drop(bytes);
        Ok(Self { tensors_sha256: Some(tensors), ..Self::new(backbone, card, Some(sha256), device) })
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
    /// The recipe on one line, as messages and files of embeddings have it.
    pub fn describe(&self) -> String {
        let Self { size: [height, width], colour, normalisation, alignment } = self;
        format!("{height}x{width} {colour}, {normalisation}, aligned to {alignment}")
    }
}

#[cfg(test)]
mod tests {
    use facegrad_devices::{Backend, choose};

    use super::*;
    use crate::weights::with_metadata;

    #[test]
    fn a_model_of_a_format_to_come_is_refused_and_one_that_names_none_is_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MODEL);
        let device = choose(Backend::Flex, None).unwrap().device;
        let card = ModelCard {
            backbone: BackboneConfig::of_kind("nano").unwrap(),
            preprocessing: Preprocessing::of_size([32, 32]),
            trained_on: String::new(),
            identities: 0,
            step: 0,
            scoring: Similarity::Cosine,
            operating_points: Vec::new(),
        };
        let backbone = card.backbone.init([32, 32], 1, &device).unwrap();
        let bytes = to_bytes(&backbone, &card).unwrap();
        let written: serde_json::Value =
            serde_json::from_str(&safetensors_metadata(&bytes).unwrap()).unwrap();
        assert_eq!(written["format"], 1);
        let load = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
            let mut keys = written.clone();
            change(keys.as_object_mut().unwrap());
            std::fs::write(&path, with_metadata(&bytes, &keys.to_string()).unwrap()).unwrap();
            EmbeddingModel::load(&path, &device).map(|model| model.card)
        };
        assert_eq!(load(&|_| {}).unwrap(), card);
        assert_eq!(load(&|keys| drop(keys.remove("format"))).unwrap(), card);
        // Whatever else such a card says or lacks.
        let error = load(&|keys| {
            keys.clear();
            keys.insert("format".into(), 2.into());
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            format!(
                "{}: it has model format 2 and this facegrad reads format 1; use the version that wrote it",
                path.display()
            )
        );
    }
}
