//! Verification of a model on pairs of images, during training and after it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use facegrad_faces::{
    FaceError, FaceSource, Picture, SourceError, decode::read_picture, folder::EXTENSIONS, load_plain, plain,
};
use facegrad_verification::{
    Flip, FlipError, PairList, PairsError, Provenance, ScoreError, Scores, VerificationResult,
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{config::EvaluationConfig, files, model::EmbeddingModel};

/// Pairs and their images, ready to measure models on.
pub struct EvaluationSet {
    /// What it is called.
    pub name: String,
    protocol: String,
    flip: Flip,
    seed: Option<u64>,
    test: Pairs,
    /// Pairs to choose the threshold on.
    development: Option<Pairs>,
}

/// A list of pairs and where its images are.
struct Pairs {
    list: PairList,
    images: Images,
}

enum Images {
    Files(Vec<PathBuf>),
    Source(Arc<dyn FaceSource>, Vec<usize>),
}

/// What was measured, with the scores behind it for pictures.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The numbers.
    pub result: VerificationResult,
    /// The scores of the test pairs.
    pub scores: Scores,
}

/// Why a model cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The list of pairs.
    #[error(transparent)]
    Pairs(#[from] PairsError),
    /// The source of images.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An image of the list that is not there.
    #[error(
        "{} names {image}, and {} has no such image (tried .jpg, .png and the like); {missing} of its {total} images are missing",
        pairs.display(),
        folder.display()
    )]
    MissingImage {
        /// The pair file.
        pairs: PathBuf,
        /// The first image that is missing, without extension.
        image: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// How many are missing.
        missing: usize,
        /// How many there should be.
        total: usize,
    },
    /// An image that cannot be decoded: a score cannot be left out without changing the protocol.
    #[error("the evaluation image {0}; every image of a protocol is needed")]
    Image(FaceError),
    /// The embeddings.
    #[error("evaluation {name}: {source}")]
    Score {
        /// The evaluation.
        name: String,
        /// What is wrong with them.
        source: ScoreError,
    },
    /// Embeddings and mirror embeddings do not fit.
    #[error(transparent)]
    Flip(#[from] FlipError),
    /// Whoever watched it asked for an end.
    #[error("the evaluation was stopped before its end")]
    Stopped,
    /// The backend could not hand the embeddings back.
    #[error("the backend could not compute the embeddings: {0}")]
    Backend(String),
}

impl Pairs {
    fn from_file(pairs: &Path, folder: &Path) -> Result<Self, EvaluationError> {
        let list = PairList::read_lfw(pairs)?;
        let find = |stem: &String| {
            EXTENSIONS.iter().map(|e| folder.join(format!("{stem}.{e}"))).find(|path| path.is_file())
        };
        let found: Vec<Option<PathBuf>> = list.images().iter().map(find).collect();
        if let Some(first) = found.iter().position(Option::is_none) {
            return Err(EvaluationError::MissingImage {
                pairs: pairs.into(),
                image: list.images()[first].clone(),
                folder: folder.into(),
                missing: found.iter().filter(|f| f.is_none()).count(),
                total: found.len(),
            });
        }
        let files = found.into_iter().flatten().collect();
        Ok(Self { list, images: Images::Files(files) })
    }
}

impl Images {
    fn len(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Source(_, indices) => indices.len(),
        }
    }

    fn load(&self, range: std::ops::Range<usize>, size: [usize; 2]) -> Vec<Result<Picture, FaceError>> {
        match self {
            Self::Source(source, indices) => load_plain(source.as_ref(), &indices[range], size),
            Self::Files(files) => {
                let read = |path: &PathBuf| match read_picture(path) {
                    Ok(picture) => Ok(plain(picture, size)),
                    Err(error) => {
                        Err(FaceError { name: path.display().to_string(), reason: error.to_string() })
                    }
                };
                files[range].par_iter().map(read).collect()
            }
        }
    }
}

impl EvaluationSet {
    /// Reads the pairs and finds their images.
    pub fn open(config: &EvaluationConfig) -> Result<Self, EvaluationError> {
        let name = config.name().to_owned();
        match config {
            EvaluationConfig::PairFile(c) => {
                let test = Pairs::from_file(&c.pairs, &c.images)?;
                let development =
                    c.threshold_pairs.as_ref().map(|pairs| Pairs::from_file(pairs, &c.images)).transpose()?;
                let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let view = if test.list.folds() > 1 { "LFW View 2 format" } else { "LFW View 1 format" };
                let threshold = match &c.threshold_pairs {
                    Some(path) => format!(", threshold from {}", file(path)),
                    None => String::new(),
                };
                let protocol = format!("{name}: {} ({view}{threshold})", file(&c.pairs));
                Ok(Self { name, protocol, flip: c.flip, seed: None, test, development })
            }
            EvaluationConfig::DrawnPairs(c) => {
                let source = c.source.open()?.source;
                let labels: Vec<usize> = (0..source.len()).map(|i| source.label(i)).collect();
                let drawn = PairList::<usize>::generate(&labels, c.folds, c.pairs_per_fold, c.seed)?;
                let indices = drawn.images().to_vec();
                let list = drawn.rename(|index| source.name(index));
                let protocol = format!(
                    "{name}: {} pairs in {} folds without common identities",
                    list.pairs().len(),
                    c.folds
                );
                let test = Pairs { list, images: Images::Source(source, indices) };
                Ok(Self { name, protocol, flip: c.flip, seed: Some(c.seed), test, development: None })
            }
        }
    }

    /// SHA-256 of the list of pairs.
    pub fn sha256(&self) -> String {
        self.test.list.sha256()
    }

    /// Number of images that have to be embedded.
    pub fn images(&self) -> usize {
        self.test.images.len() + self.development.as_ref().map_or(0, |d| d.images.len())
    }

    /// Measures `model`; `progress` is told the number of images done, and says whether to go on.
    ///
    /// # Errors
    /// [`EvaluationError::Stopped`] if `progress` said no, or what kept the model from being measured.
    pub fn measure(
        &self,
        model: &EmbeddingModel,
        batch: usize,
        backend: &str,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Measured, EvaluationError> {
        let mut done = 0;
        let mut score = |pairs: &Pairs, hash: &mut Sha256| {
            let embeddings = self.embed(model, &pairs.images, batch, hash, &mut |images| {
                done += images;
                progress(done)
            })?;
            let dim = self.flip.fused_dim(model.embedding_size());
            Scores::of(model.card.scoring, &embeddings, dim, &pairs.list)
                .map_err(|source| EvaluationError::Score { name: self.name.clone(), source })
        };
        let mut hash = Sha256::new();
        let scores = score(&self.test, &mut hash)?;
        let images_sha256 = files::hexadecimal(&hash.finalize());
        let development =
            self.development.as_ref().map(|pairs| score(pairs, &mut Sha256::new())).transpose()?;
        let provenance = Provenance {
            protocol: self.protocol.clone(),
            pairs_sha256: self.sha256(),
            images_sha256,
            model_sha256: model.sha256.clone(),
            backend: backend.into(),
            seed: self.seed,
            flip: self.flip,
            score: model.card.scoring,
        };
        let result = VerificationResult::measure(&scores, development.as_ref(), provenance);
        Ok(Measured { result, scores })
    }

    /// Fused embeddings `[images, fused_dim]` of the images, whose pixels go into `hash`, in batches of constant size: the last one is filled up, so that
    /// a GPU sees one shape only and an embedding does not depend on how many images follow it.
    fn embed(
        &self,
        model: &EmbeddingModel,
        images: &Images,
        batch: usize,
        hash: &mut Sha256,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<f32>, EvaluationError> {
        let (size, dim) = (model.card.preprocessing.size, model.embedding_size());
        let mut plain = Vec::with_capacity(images.len() * dim);
        let mut mirrored = Vec::new();
        let forward = |pixels: &[u8], count: usize, out: &mut Vec<f32>| {
            let values = model.embed(pixels).map_err(EvaluationError::Backend)?;
            out.extend_from_slice(&values[..count * dim]);
            Ok::<_, EvaluationError>(())
        };
        for start in (0..images.len()).step_by(batch) {
            let end = (start + batch).min(images.len());
            let pictures = images.load(start..end, size).into_iter().collect::<Result<Vec<_>, _>>();
            let pictures = pictures.map_err(EvaluationError::Image)?;
            pictures.iter().for_each(|picture| hash.update(picture.pixels()));
            let fill = |picture: &dyn Fn(&Picture) -> Vec<u8>| -> Vec<u8> {
                let padding = std::iter::repeat_n(&pictures[0], batch - pictures.len());
                pictures.iter().chain(padding).flat_map(picture).collect()
            };
            forward(&fill(&|p| p.pixels().to_vec()), end - start, &mut plain)?;
            if self.flip.needs_mirror() {
                forward(&fill(&mirror), end - start, &mut mirrored)?;
            }
            if !progress(end - start) {
                return Err(EvaluationError::Stopped);
            }
        }
        Ok(self.flip.fuse(plain, &mirrored, dim)?)
    }
}

/// The pixels `[height, width, 3]` with left and right exchanged.
fn mirror(picture: &Picture) -> Vec<u8> {
    let row = picture.width() * 3;
    picture.pixels().chunks_exact(row).flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_image_exchanges_left_and_right_only() {
        let picture = Picture::new(2, 2, (0..12).collect());
        assert_eq!(mirror(&picture), [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
    }
}
