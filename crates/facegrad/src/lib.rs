//! Face recognition from Rust: train a model, embed faces with it, tell what it is worth.
//!
//! This is the library behind the program `facegrad`: what a Rust program may rely on, under one roof. It computes
//! nothing itself; every module is a room of the workspace under its own name. It knows nothing of arguments, of
//! printing, or of exit codes.
//!
//! | step | here |
//! |---|---|
//! | what computes | [`choose`] among [`Backend`]s |
//! | which faces | [`faces`], from [`synthetic`] or from files; [`pictures`] are single images |
//! | what is trained | [`Experiment`], made of [`backbones`] and [`losses`] |
//! | training | [`Trainer`], which tells an [`Event`] at a time, ends in a [`RunOutcome`], and earlier at a [`Stop`] |
//! | a trained model | [`EmbeddingModel`]; an [`Embedder`] gives the embeddings of [`Images`] |
//! | embeddings with names, galleries of people | [`embeddings`] |
//! | what embeddings are worth | [`verification`] |
//!
//! # Train, embed, verify
//!
//! An experiment is a config file, read as `facegrad train` reads it; here it is a text. The faces are drawn, so that
//! nothing is downloaded.
//!
//! ```
//! use facegrad::{
//!     Backend, Embedder, EmbeddingModel, Experiment, SourceImages, Stop, Trainer, choose, settings::toml,
//!     verification::{Flip, PairList, Roc, Scores, Similarity},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runs = tempfile::tempdir()?;
//! let config: toml::Table = r#"
//!     run = { steps = 20, batch = 16 }
//!     data.size = [20, 20]
//!     data.train = { kind = "synthetic", identities = 8, images = 4, size = 20 }
//!     backbone = { kind = "nano", width = 0.25, embedding = 16 }
//!     head = { kind = "arcface", scale = 16.0, margin = 0.1 }
//! "#
//! .parse()?;
//! // As `--set` of the program does.
//! let folder = format!("run.folder={}", runs.path().display()).parse()?;
//! let (experiment, _left_out) = Experiment::resolve(config, &[folder])?;
//!
//! let chosen = choose(Backend::built_in()[0], None)?;
//! let faces = experiment.data.train.open()?.source;
//! let trainer = Trainer::new(experiment, chosen.clone(), "a program of mine".into())?;
//! let outcome = trainer.run(&Stop::default(), &mut |_event| {})?;
//! assert_eq!(outcome.step, 20);
//!
//! // Pairs of the same and of different people, and the embeddings of their images.
//! let labels: Vec<usize> = (0..faces.len()).map(|image| faces.label(image)).collect();
//! let pairs = PairList::<usize>::generate(&labels, 2, 8, 1)?;
//! let images = SourceImages::new(faces, pairs.images().to_vec());
//! // A run folder is a model: that of its best checkpoint.
//! let model = EmbeddingModel::load(&outcome.folder, &chosen.device)?;
//! let embedder = Embedder::model(&model, 32, &chosen.description);
//! let embedded = embedder.embed(&images, Flip::Add, &mut |_done| true)?;
//! assert_eq!(embedded.dim, 16);
//!
//! // All that can be said of pairs follows from one score for each.
//! let scores = Scores::of(Similarity::Cosine, &embedded.rows, embedded.dim, &pairs)?;
//! let roc = Roc::new(&scores)?;
//! assert!(roc.auc() > 0.5, "better than guessing: {}", roc.auc());
//! # Ok(())
//! # }
//! ```
//!
//! Programs are in `examples/` at the top of the repository, among them a head and a backbone that facegrad has not.

pub use burn;
pub use facegrad_backbones as backbones;
pub use facegrad_devices as devices;
pub use facegrad_embeddings as embeddings;
pub use facegrad_faces as faces;
pub use facegrad_loader as loader;
pub use facegrad_losses as losses;
pub use facegrad_pictures as pictures;
pub use facegrad_recognition as recognition;
pub use facegrad_settings as settings;
pub use facegrad_synthetic as synthetic;
pub use facegrad_training as training;
pub use facegrad_verification as verification;

pub use backbones::{Backbone, BackboneConfig};
pub use devices::{Backend, Chosen, choose};
pub use embeddings::{EmbeddingFile, Gallery};
pub use facegrad_files::Stop;
pub use faces::{FaceSource, SourceConfig};
pub use losses::{CriterionConfig, HeadConfig};
pub use recognition::{Embedder, EmbeddingModel, ImageFiles, Images, SourceImages};
pub use training::{Event, Experiment, RunOutcome, SavedRun, Trainer};
