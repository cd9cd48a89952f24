//! Protocols: what to embed, what to compare, what to measure.

use std::path::{Path, PathBuf};

use facegrad_faces::{BinError, SourceError};
use facegrad_files::name_of;
use facegrad_pictures::Picture;
use facegrad_settings::{SettingsError, choice, kinds, settings};
use facegrad_verification::{
    Flip, ListError, Missing, PairsError, ScoreError, SearchError, Similarity, UnitEmbeddings,
    UnitEmbeddingsError, ijb as ijb_lists,
};

use crate::{
    Embedder, ImageEmbeddings, ImageFiles, ImageNames, Images,
    embedder::{EmbedderError, UsableEmbeddings},
    images::MissingImages,
    listed_images::ListedImages,
};

mod all_pairs;
mod blufr;
mod cfp;
mod drawn_pairs;
mod gallery;
mod identification;
mod ijb;
mod insightface_bin;
mod outcome;
mod pair_file;
mod pairs;

pub use all_pairs::AllPairsConfig;
pub use blufr::BlufrConfig;
pub use cfp::CfpConfig;
pub use drawn_pairs::DrawnPairsConfig;
pub use gallery::{Contestant, GalleryOptions, PairedModels, comparisons, sheets};
pub use identification::IdentificationConfig;
pub use ijb::IjbConfig;
pub use insightface_bin::InsightfacePairsConfig;
pub use outcome::{PairOutcome, ProtocolOutcome, ProtocolResult, SearchOutcome};
pub use pair_file::PairFileConfig;
pub use pairs::PairComparison;

kinds! {
    /// A test of a model, during training and after it: `[[evaluation]]`.
    pub enum EvaluationConfig: dyn Protocol {
        /// Pairs from a file: LFW's format, or a list of two paths and 0 or 1.
        PairFile(PairFileConfig) = "pair_file" | "pairs" | "lfw",
        /// Pairs drawn from a labelled set.
        DrawnPairs(DrawnPairsConfig) = "drawn_pairs",
        /// Pairs with their images in one file of insightface: LFW, CFP-FP, AgeDB-30, CALFW, CPLFW.
        InsightfaceBin(InsightfacePairsConfig) = "insightface_bin" | "bin",
        /// Celebrities in Frontal-Profile: 500 people, frontal against frontal or profile images.
        Cfp(CfpConfig) = "cfp",
        /// Probes searched in a gallery: rank-k, mAP, FNIR at FPIR.
        Identification(IdentificationConfig) = "identification",
        /// Every pair of a labelled set.
        AllPairs(AllPairsConfig) = "all_pairs",
        /// The benchmark of large-scale unconstrained face recognition on LFW: ten trials.
        Blufr(BlufrConfig) = "blufr",
        /// IJB-B or IJB-C: templates of images and video frames, 1:1 and 1:N.
        Ijb(IjbConfig) = "ijb",
    }
}

settings! {
    /// How images become embeddings.
    pub struct Fusion {
        /// How an image and its mirror image become one embedding.
        flip: Flip = Flip::Add;
    }
}

/// What the config of every protocol provides.
pub trait Protocol {
    /// What the evaluation is called in logs and results.
    fn name(&self) -> String;

    /// What is wrong with the keys before anything is read; `at` names a key.
    ///
    /// # Errors
    /// The first key that is missing or wrong.
    fn validate(&self, at: &dyn Fn(&str) -> String, wanted: ImageNeed) -> Result<(), SettingsError>;

    /// Reads the lists and finds the images, if these are wanted.
    ///
    /// # Errors
    /// What is missing, or is not what it should be.
    fn open(&self, wanted: ImageNeed) -> Result<Box<dyn OpenProtocol>, EvaluationError>;
}

/// A protocol with its lists and images at hand, ready to measure models on.
pub trait OpenProtocol: Send + Sync {
    /// Number of images that have to be embedded.
    fn images(&self) -> usize;

    /// SHA-256 of the lists.
    fn sha256(&self) -> String;

    /// Whether it compares a list of pairs.
    fn compares_pairs(&self) -> bool {
        false
    }

    /// What is to be known of how lists and images were read, a sentence each.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of the people on the images, each once, where lists or folders have them.
    fn people(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the images are called where the protocol takes them from a labelled set, as `FaceSource::name` has them; an
    /// empty list otherwise.
    fn set_images(&self) -> Vec<String> {
        Vec::new()
    }

    /// Image `index` of those that the protocol lists ([`PairOutcome::positions`]) as a model of input `size` sees it, for protocols of pairs whose
    /// pixels are at hand.
    fn picture(&self, _index: usize, _size: [usize; 2]) -> Option<Picture> {
        None
    }

    /// Measures what `embedder` embeds; `progress` is told how many more images are done, and says whether to
    /// go on.
    ///
    /// # Errors
    /// [`EmbedderError::Stopped`] if `progress` said no, or what kept it from being measured.
    fn measure(
        &self,
        embedder: &Embedder<'_>,
        measurement: &Measurement,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ProtocolOutcome, MeasurementError>;
}

/// What a protocol needs of the images it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageNeed {
    /// Their pixels, to embed them.
    Pixels,
    /// Their names, to look their embeddings up.
    Names,
}

/// How thorough to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measurement {
    /// Rounds of the bootstrap over people; 0 leaves it out.
    pub bootstrap_rounds: usize,
    /// Decides what the bootstrap draws.
    pub seed: u64,
    /// Whether pairs are also measured by insightface's procedure.
    pub as_insightface: bool,
}

choice! {
    /// How embeddings are compared.
    pub enum ScoreRule {
        /// As the loss that the model was trained with compares them.
        Head = "head",
        /// By the cosine of the angle between them.
        Cosine = "cosine",
        /// By the distance between them.
        Euclidean = "euclidean",
    }
}

impl ScoreRule {
    /// The similarity that this means for embeddings whose loss compares them by `of_loss`.
    pub fn similarity(self, of_loss: Similarity) -> Similarity {
        match self {
            Self::Head => of_loss,
            Self::Cosine => Similarity::Cosine,
            Self::Euclidean => Similarity::Euclidean,
        }
    }
}

/// Why a model cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum EvaluationError {
    /// Pairs that cannot be drawn or cut into folds.
    #[error(transparent)]
    Pairs(#[from] PairsError),
    /// The source of images.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Images of the list that are not there.
    #[error(
        "{} names {}, and {} has {}; {}{}{hint}",
        list.display(), missing.named(), folder.display(), missing.not_there(), missing.count(),
        missing.alike.as_ref().map(|alike| format!("; {alike}")).unwrap_or_default()
    )]
    MissingImages {
        list: PathBuf,
        folder: PathBuf,
        missing: Box<MissingImages>,
        /// What is touched by that and what can be done, as the end of the sentence.
        hint: String,
    },
    /// What was opened cannot be measured.
    #[error("evaluation {name}: {source}")]
    Measurement { name: String, source: Box<MeasurementError> },
    /// A file of insightface.
    #[error(transparent)]
    Bin(#[from] BinError),
    /// A list of the protocol.
    #[error(transparent)]
    List(#[from] ListError),
}

/// Why a model cannot be measured on a protocol whose lists and images are at hand.
#[derive(Debug, thiserror::Error)]
pub enum MeasurementError {
    /// An image that cannot be embedded: a score cannot be left out without changing the protocol.
    #[error(transparent)]
    Embeddings(#[from] EmbedderError),
    /// The same, in a protocol that may leave it out if it is told to.
    #[error("{error}{hint}")]
    Lost {
        /// The first, or how many.
        error: EmbedderError,
        /// What is touched by that and what can be done, as the end of the sentence.
        hint: String,
    },
    /// Embeddings that cannot be compared.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// Embeddings that have no direction.
    #[error(transparent)]
    Unit(#[from] UnitEmbeddingsError),
    /// Embeddings that cannot be searched.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Embeddings that cannot be pooled to templates.
    #[error(transparent)]
    Templates(#[from] ijb_lists::PoolError<EmbedderError>),
    /// Templates that cannot be searched.
    #[error(transparent)]
    TemplateSearch(#[from] ijb_lists::SearchError),
    /// A list that is read while it is measured.
    #[error(transparent)]
    List(#[from] ListError),
    /// All pairs of nothing.
    #[error("it takes labelled images: give source, or evaluate a file of embeddings with identities")]
    NoSource,
}

impl MeasurementError {
    /// Whether it is no error but the wish of whoever watched.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Embeddings(EmbedderError::Stopped))
    }

    /// The error of the evaluation called `name`.
    pub fn of(self, name: &str) -> EvaluationError {
        match self {
            // It names its file.
            Self::List(error) => error.into(),
            error => EvaluationError::Measurement { name: name.into(), source: error.into() },
        }
    }
}

/// How a list names images, and what becomes of those that are not there.
struct Listed<'a> {
    list: &'a Path,
    folder: &'a Path,
    names: &'a [String],
    missing: Missing,
}

impl Listed<'_> {
    /// The images; `touched` says in words what is compared with those of which the answer is given, such as `5 of its 60
    /// pairs`.
    fn find(
        self,
        wanted: ImageNeed,
        touched: impl FnOnce(&[bool]) -> String,
    ) -> Result<Box<dyn Images>, EvaluationError> {
        let Self { list, folder, names, missing: policy } = self;
        let (images, missing): (Box<dyn Images>, _) = match ImageFiles::search(folder, names) {
            (files, None) => return Ok(Box::new(files)),
            (files, Some(missing)) => match ListedImages::search(folder, names) {
                Ok(Some(images)) => {
                    let missing = images.missing();
                    (Box::new(images), missing)
                }
                Ok(None) => (Box::new(files), Some(missing)),
                // Only their names are needed.
                Err(_) if wanted == ImageNeed::Names => (Box::new(files), Some(missing)),
                Err(error) => return Err(error.into()),
            },
        };
        match missing {
            None => Ok(images),
            // Where they are there, the page can show them.
            Some(_) if wanted == ImageNeed::Names => Ok(Box::new(ImageNames(names.to_vec()))),
            Some(missing) if policy == Missing::Error || missing.are_all() => {
                let hint = match missing.are_all() {
                    true => String::new(),
                    false => format!(", {}; {}", touched(&missing.is_missing), what_to_do()),
                };
                let (list, folder, missing) = (list.into(), folder.into(), missing.into());
                Err(EvaluationError::MissingImages { list, folder, missing, hint })
            }
            Some(_) => Ok(images),
        }
    }
}

/// What can be done where images are lost, in words.
fn what_to_do() -> &'static str {
    "missing = \"skip\" (--missing skip) leaves these out and counts them, \"wrong\" counts them as errors"
}

/// Embeds `images` where it is `missing` that says what becomes of those that cannot be used; `touched` is as for
/// [`Listed::find`].
fn embed_listed(
    embedder: &Embedder<'_>,
    images: &dyn Images,
    flip: Flip,
    missing: Missing,
    progress: &mut dyn FnMut(usize) -> bool,
    touched: impl FnOnce(&[bool]) -> String,
) -> Result<UsableEmbeddings, MeasurementError> {
    if missing != Missing::Error {
        return Ok(embedder.embed_usable(images, flip, progress)?);
    }
    let hint = |error: &EmbedderError| match error {
        EmbedderError::Image(_) => Some(format!(", or {}", what_to_do())),
        EmbedderError::Missing { missing, total, .. } if missing < total => {
            Some(format!(", {}; {}", touched(&embedder.absent(images)), what_to_do()))
        }
        _ => None,
    };
    match embedder.embed(images, flip, progress) {
        Ok(embedded) => Ok(UsableEmbeddings::all(embedded, images.len())),
        Err(error) => Err(match hint(&error) {
            Some(hint) => MeasurementError::Lost { error, hint },
            None => error.into(),
        }),
    }
}

/// The embeddings of `usable`, which are of `images`, scaled to length one; they are taken out of it.
///
/// # Errors
/// The image whose embedding has no direction.
fn unit(usable: &mut UsableEmbeddings, images: &dyn Images) -> Result<UnitEmbeddings, MeasurementError> {
    let ImageEmbeddings { rows, dim, .. } = &mut usable.embedded;
    let unit = UnitEmbeddings::new(std::mem::take(rows), *dim);
    Ok(unit.map_err(|error| {
        error.named(|row| {
            let mut there = (0..images.len()).filter(|&image| !usable.is_lost[image]);
            there.nth(row).map_or_else(String::new, |image| images.name(image))
        })
    })?)
}

/// An error if pixels are wanted and there is no folder to find them in.
fn needs_images(folder: &Path, key: String, wanted: ImageNeed) -> Result<(), SettingsError> {
    match wanted {
        ImageNeed::Pixels => needs_path(folder, key, "the folder with the images"),
        ImageNeed::Names => Ok(()),
    }
}

/// An error if no path is given under the key `key`.
fn needs_path(path: &Path, key: String, what: &str) -> Result<(), SettingsError> {
    if path.as_os_str().is_empty() {
        return Err(SettingsError::Missing {
            key: key.into(),
            expected: format!("it is the path of {what}"),
        });
    }
    Ok(())
}

/// The name of a file, without its folder and extension.
fn stem(path: &Path) -> String {
    name_of(Path::new(path.file_stem().unwrap_or_default()))
}

/// The name of a file, without its folder.
fn file_name(path: &Path) -> String {
    name_of(Path::new(path.file_name().unwrap_or_default()))
}
