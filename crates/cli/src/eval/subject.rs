//! What is evaluated: a model, or embeddings that were stored before.

use std::path::{Path, PathBuf};

use facegrad_devices::Chosen;
use facegrad_embeddings::{EmbeddingFile, FitSet, Keep, Whitening, WhiteningConfig, WhiteningFit};
use facegrad_recognition::{Embedder, EmbeddingModel};
use facegrad_results::Fact;
use serde_json::Value;

use crate::failure::Failure;

/// A model or a file of embeddings.
pub enum Subject {
    Model { path: PathBuf, model: Box<EmbeddingModel> },
    File { path: PathBuf, name: String, file: Box<EmbeddingFile> },
}

impl Subject {
    pub fn open(path: &Path, chosen: &Chosen) -> Result<Self, Failure> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let file = match extension.as_str() {
            "npz" | "csv" | "parquet" => Some(EmbeddingFile::open(path).map_err(Failure::input)?),
            // Both models and embeddings are kept in this format.
            "safetensors" => EmbeddingFile::open(path).ok(),
            _ => None,
        };
        if let Some(file) = file {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Self::File { path: path.into(), name, file: Box::new(file) });
        }
        let model = EmbeddingModel::load(path, &chosen.device).map_err(Failure::input)?;
        Ok(Self::Model { path: path.into(), model: Box::new(model) })
    }

    pub fn is_stored(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Refuses embeddings that `whitening` was fitted on.
    pub fn check(&self, whitening: Option<&Whitening>) -> Result<(), Failure> {
        let (Self::File { path, .. }, Some(whitening)) = (self, whitening) else { return Ok(()) };
        whitening.refuse_fit_set(&sha256_of(path)?).map_err(Failure::input)
    }

    pub fn embedder<'a>(&'a self, batch: usize, backend: &'a str) -> Embedder<'a> {
        match self {
            Self::Model { model, .. } => Embedder::model(model, batch, backend),
            Self::File { name, file, .. } => Embedder::file(file, name),
        }
    }

    /// What a person would call it: the run, or the file.
    pub fn name(&self) -> String {
        match self {
            Self::File { name, .. } => name.clone(),
            Self::Model { path, .. } => {
                let part = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let own = part(path);
                // A checkpoint is known by its run.
                match path.parent().map(part) {
                    Some(run) if own.starts_with("checkpoint-") || own == "best" || own == "last" => {
                        format!("{run}/{own}")
                    }
                    _ if own.is_empty() => path.display().to_string(),
                    _ => own,
                }
            }
        }
    }

    /// What is known of it, for the page.
    pub fn card(&self) -> Vec<Fact> {
        match self {
            Self::Model { path, model } => {
                let mut entries = vec![Fact::new("file", path.display().to_string())];
                if let Ok(Value::Object(card)) = serde_json::to_value(&model.card) {
                    entries.extend(card.iter().map(|(name, value)| {
                        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        Fact::new(name.replace('_', " "), value)
                    }));
                }
                entries.extend(model.sha256.iter().map(|sha256| Fact::new("SHA-256", sha256)));
                entries
            }
            Self::File { name, file, .. } => {
                let mut entries = vec![
                    Fact::new("file", name),
                    Fact::new("embeddings", format!("{} of {} numbers", file.len(), file.dim())),
                ];
                if let Some(Value::Object(origin)) = file.origin().and_then(|o| serde_json::to_value(o).ok())
                {
                    entries.extend(origin.iter().map(|(name, value)| {
                        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        Fact::new(name.replace('_', " "), value)
                    }));
                }
                entries
            }
        }
    }
}

/// What is done to embeddings before they are compared, fitted on embeddings of training data.
#[derive(clap::Args, Clone)]
pub struct WhiteningArgs {
    /// Whiten embeddings by the principal components of these, a file of embeddings of TRAINING data of the
    /// same model (`facegrad embed`).
    #[arg(long, value_name = "EMBEDDINGS", conflicts_with = "centre_on")]
    whiten_on: Option<PathBuf>,
    /// How many components --whiten-on keeps; without it all that have variance.
    #[arg(long, requires = "whiten_on")]
    components: Option<usize>,
    /// Subtract the mean of these from embeddings, a file of embeddings of TRAINING data of the same model.
    #[arg(long, value_name = "EMBEDDINGS")]
    centre_on: Option<PathBuf>,
}

fn sha256_of(path: &Path) -> Result<String, Failure> {
    facegrad_files::sha256_of(path)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))
}

/// Rows read at a time.
const ROWS: usize = 4096;

impl WhiteningArgs {
    /// The transform, if one is asked for.
    pub fn fit(&self) -> Result<Option<Whitening>, Failure> {
        let (path, keep) = match (&self.whiten_on, &self.centre_on) {
            (Some(path), _) => (path, self.components.map_or(Keep::Share(1.0), Keep::Components)),
            (None, Some(path)) => (path, Keep::Centre),
            (None, None) => return Ok(None),
        };
        let file = EmbeddingFile::open(path).map_err(Failure::input)?;
        let sha256 = sha256_of(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let config = WhiteningConfig { keep, ..WhiteningConfig::default() };
        let mut fit =
            WhiteningFit::new(config, file.dim(), FitSet { name, sha256 }).map_err(Failure::input)?;
        let mut rows = Vec::new();
        for start in (0..file.len()).step_by(ROWS) {
            let range = start..(start + ROWS).min(file.len());
            rows.resize(range.len() * file.dim(), 0.0);
            file.read_rows(range, &mut rows).map_err(Failure::input)?;
            fit.add(&rows).map_err(Failure::input)?;
        }
        fit.finish().map(Some).map_err(Failure::input)
    }
}
