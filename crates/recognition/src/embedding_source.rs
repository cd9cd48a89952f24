//! Where embeddings come from: a model, or a file of those that it once gave.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use facegrad_embeddings::{
    EmbeddingError, EmbeddingFile, Origin, Whitening, WhiteningError, is_embedding_file,
};
use facegrad_files::name_of;
use serde::Serialize;
use serde_json::Value;

use crate::{Embedder, EmbeddingModel, ModelError};

/// A model, or a file of embeddings; an [`Embedder`] of it answers either way.
#[derive(Debug)]
pub enum EmbeddingSource {
    /// Images are embedded.
    Model {
        /// As it was named: a model file, a checkpoint or a run.
        path: PathBuf,
        /// The network.
        model: Box<EmbeddingModel>,
        /// What computes, for results.
        backend: String,
    },
    /// Embeddings are looked up by the names of images.
    File {
        /// Where it is.
        path: PathBuf,
        /// What results call it.
        name: String,
        /// The embeddings.
        file: Box<EmbeddingFile>,
    },
}

/// Why there is neither a model nor a file of embeddings.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingSourceError {
    /// What looked like a model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// What looked like a file of embeddings.
    #[error(transparent)]
    File(#[from] EmbeddingError),
    /// Embeddings that the whitening was fitted on.
    #[error(transparent)]
    Whitening(#[from] WhiteningError),
}

impl EmbeddingSource {
    /// The file of embeddings at `path`, if it is one, or else the model, to compute on `device`, which results call
    /// `backend`.
    ///
    /// # Errors
    /// If it cannot be read as what it looks like.
    pub fn open(path: &Path, device: &Device, backend: &str) -> Result<Self, EmbeddingSourceError> {
        let file = match is_embedding_file(path) {
            true => Some(EmbeddingFile::open(path)?),
            // Both models and embeddings are kept in .safetensors.
            false => EmbeddingFile::open(path).ok(),
        };
        Ok(match file {
            Some(file) => Self::File { path: path.into(), name: last_part(path), file: Box::new(file) },
            None => {
                let model = Box::new(EmbeddingModel::load(path, device)?);
                Self::Model { path: path.into(), model, backend: backend.into() }
            }
        })
    }

    /// Whether embeddings are at hand and no image is needed.
    pub fn is_stored(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Where stored embeddings come from, if their file says so.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Model { .. } => None,
            Self::File { file, .. } => file.origin(),
        }
    }

    /// Refuses embeddings that `whitening` was fitted on.
    ///
    /// # Errors
    /// If they are the same, or the file cannot be read again.
    pub fn refuse_fit_set(&self, whitening: &Whitening) -> Result<(), EmbeddingSourceError> {
        let Self::File { path, .. } = self else { return Ok(()) };
        let sha256 = facegrad_files::sha256_of(path);
        let sha256 =
            sha256.map_err(|source| EmbeddingError::Io { doing: "read", path: path.clone(), source })?;
        Ok(whitening.refuse_fit_set(&sha256)?)
    }

    /// What gives its embeddings, `batch` images at a time where they are computed.
    pub fn embedder(&self, batch: usize) -> Embedder<'_> {
        match self {
            Self::Model { model, backend, .. } => Embedder::model(model, batch, backend),
            Self::File { name, file, .. } => Embedder::file(file, name),
        }
    }

    /// What a person would call it: the run, or the file.
    pub fn name(&self) -> String {
        let path = match self {
            Self::File { name, .. } => return name.clone(),
            Self::Model { path, .. } => path,
        };
        let own = last_part(path);
        // A checkpoint is known by its run.
        match path.parent().map(last_part) {
            Some(run) if own.starts_with("checkpoint-") || own == "best" || own == "last" => {
                format!("{run}/{own}")
            }
            _ if own.is_empty() => name_of(path),
            _ => own,
        }
    }

    /// What is known of it, each with its name, as a page says it.
    pub fn facts(&self) -> Vec<(String, String)> {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        match self {
            Self::Model { path, model, .. } => {
                let mut facts = vec![fact("file", name_of(path))];
                facts.extend(fields(&model.card));
                facts.extend(model.sha256.iter().map(|sha256| fact("SHA-256", sha256.clone())));
                facts
            }
            Self::File { name, file, .. } => {
                let size = format!("{} of {} numbers", file.len(), file.dim());
                let mut facts = vec![fact("file", name.clone()), fact("embeddings", size)];
                facts.extend(file.origin().map(fields).unwrap_or_default());
                facts
            }
        }
    }
}

fn last_part(path: &Path) -> String {
    name_of(Path::new(path.file_name().unwrap_or_default()))
}

/// The fields of a record in words.
fn fields(record: &impl Serialize) -> Vec<(String, String)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(record) else { return Vec::new() };
    let field = |(name, value): (String, Value)| {
        (name.replace('_', " "), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    fields.into_iter().map(field).collect()
}
