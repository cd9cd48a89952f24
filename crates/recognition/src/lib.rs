//! A trained model and what it is used for.
//!
//! An [`EmbeddingModel`] is a model file, in a [`checkpoint`] or alone, ready to embed. An [`Embedder`] gives the
//! embeddings of [`Images`], from a model or from a file of them; an [`EmbeddingJob`] writes such a file for an
//! [`ImageSet`]. [`EvaluationConfig`] is the registry of protocols; what one of them measures is a [`ProtocolResult`].
//!
//! Losses, optimizers and the loop are not known here, so that a model can be used without what trained it.
//!
//! ```
//! use std::sync::Arc;
//!
//! use facegrad_backbones::BackboneConfig;
//! use facegrad_devices::{Backend, choose};
//! use facegrad_recognition::{Embedder, EmbeddingModel, ModelCard, Preprocessing, SourceImages};
//! use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};
//! use facegrad_verification::{Flip, Similarity};
//!
//! // A network as it is before training; EmbeddingModel::load reads one from a file.
//! let chosen = choose(Backend::Flex, None)?;
//! let card = ModelCard {
//!     backbone: BackboneConfig::of_kind("nano").ok_or("no such network")?,
//!     preprocessing: Preprocessing::of_size([32, 32]),
//!     trained_on: String::new(),
//!     identities: 0,
//!     step: 0,
//!     scoring: Similarity::Cosine,
//!     operating_points: Vec::new(),
//! };
//! let model = EmbeddingModel::untrained(card, 1, &chosen.device)?;
//!
//! // Three images of two people, two images at a time.
//! let faces = SyntheticFaces::new(&SyntheticConfig { identities: 2, images: 2, size: 32, ..Default::default() });
//! let images = SourceImages::new(Arc::new(faces), vec![0, 1, 2]);
//! let embedder = Embedder::model(&model, 2, &chosen.description);
//! let embeddings = embedder.embed(&images, Flip::Add, &mut |_| true)?;
//! assert_eq!(embeddings.dim, model.embedding_size());
//! assert_eq!(embeddings.rows.len(), 3 * embeddings.dim);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checkpoint;
mod embedder;
mod embedding_job;
mod embedding_source;
pub mod evaluation;
mod gallery_state;
mod image_set;
mod images;
mod input;
mod listed_images;
mod model;
mod model_file;
pub mod operating_points;
mod phase;
pub mod weights;

pub use embedder::{Embedder, EmbedderError, EmbeddingStream, ImageEmbeddings, UsableEmbeddings};
pub use embedding_job::{EmbeddingJob, EmbeddingJobEnd, JobError};
pub use embedding_source::{EmbeddingSource, EmbeddingSourceError};
pub use evaluation::{
    Contestant, EvaluationConfig, EvaluationError, ImageNeed, Measurement, MeasurementError, OpenProtocol,
    PairOutcome, Protocol, ProtocolOutcome, ProtocolResult, ScoreRule,
};
pub use gallery_state::{GalleryState, people_of};
pub use image_set::{ImageSet, ImageSetError, ImageSurvey, UnreadableImage};
pub use images::{ImageFiles, ImageNames, Images, MissingImages, SourceImages};
pub use input::to_input;
pub use model::{EmbeddingModel, MODEL, ModelCard, ModelError, Preprocessing, to_bytes};
pub use model_file::ModelFile;
pub use operating_points::NamedPoint;
pub use phase::Phase;
