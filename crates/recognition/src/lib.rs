//! A trained model and what it is used for.
//!
//! [`EmbeddingModel`] is a model file, in a [`checkpoint`] or alone, ready to embed. Which embeddings of which
//! images: an [`EmbeddingSource`] is a model or a file of embeddings, its [`Embedder`] gives those of [`Images`]; an
//! [`EmbeddingJob`] writes such a file for an [`ImageSet`]. [`EvaluationConfig`] is the registry of protocols; what one of them measures is an [`Outcome`].

pub mod checkpoint;
mod embedder;
mod embedding_job;
mod embedding_source;
pub mod evaluation;
mod image_set;
mod image_size;
mod images;
mod input;
mod model;
mod model_file;
pub mod operating_points;
mod phase;
pub mod weights;

pub use embedder::{Embedded, Embedder, EmbeddingStream, EmbeddingsError};
pub use embedding_job::{EmbeddingJob, JobEnd, JobError};
pub use embedding_source::{EmbeddingSource, EmbeddingSourceError};
pub use evaluation::{
    Contestant, EvaluationConfig, EvaluationError, Measured, MeasuredPairs, Measurement, OpenProtocol,
    Outcome, Protocol, Rule, Wanted,
};
pub use image_set::{ImageSet, ImageSetError, Survey, Unreadable};
pub use images::{ImageFiles, ImageNames, Images, SourceImages, find_image};
pub use input::to_input;
pub use model::{EmbeddingModel, MODEL, ModelCard, ModelError, Preprocessing, to_bytes};
pub use model_file::ModelFile;
pub use operating_points::NamedPoint;
pub use phase::Phase;
