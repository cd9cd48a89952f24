//! Verification: what all protocols over pairs share.

use std::{collections::BTreeSet, path::Path};

use facegrad_pictures::{Picture, plain};
use facegrad_settings::settings;
use facegrad_verification::{
    Centring, MeasureError, PairList, People, Resampling, Scores, VerificationResult, accuracy, insightface,
    k_fold_centred,
};

use super::{EvaluationError, Fusion, Measurement, OpenProtocol, PairOutcome, ProtocolOutcome, ScoreRule};
use crate::{Embedder, ImageEmbeddings, Images, image_size::SizeRecorder};

settings! {
    /// How the pairs of a protocol are compared.
    pub struct PairComparison {
        ..fusion: Fusion;
        /// How embeddings are compared.
        score: ScoreRule = ScoreRule::Head;
        /// What is subtracted from embeddings before they are compared.
        centring: Centring = Centring::None;
    }
}

/// A list of pairs and its images, in the order of [`PairList::images`].
pub(super) struct Pairs {
    pub list: PairList,
    pub images: Box<dyn Images>,
}

/// Pairs to measure models on.
pub(super) struct PairProtocol {
    pub name: String,
    /// The protocol in words.
    pub protocol: String,
    pub comparison: PairComparison,
    /// The seed of what was drawn.
    pub seed: Option<u64>,
    pub test: Pairs,
    /// Pairs to choose the threshold on.
    pub development: Option<Pairs>,
}

impl PairProtocol {
    fn embed(
        &self,
        embedder: &Embedder<'_>,
        images: &dyn Images,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImageEmbeddings, EvaluationError> {
        let embedded = embedder.embed(images, self.comparison.fusion.flip, progress);
        embedded.map_err(|source| EvaluationError::Embeddings { name: self.name.clone(), source })
    }

    fn score(
        &self,
        embedder: &Embedder<'_>,
        embedded: &ImageEmbeddings,
        list: &PairList,
    ) -> Result<Scores, EvaluationError> {
        let similarity = self.comparison.score.similarity(embedder.scoring());
        Scores::of_centred(similarity, self.comparison.centring, &embedded.rows, embedded.dim, list)
            .map_err(|source| EvaluationError::Score { name: self.name.clone(), source })
    }

    fn scored(&self, error: MeasureError) -> Result<facegrad_verification::Unmeasurable, EvaluationError> {
        match error {
            MeasureError::Unmeasurable(reason) => Ok(reason),
            MeasureError::Scores(source) => Err(EvaluationError::Score { name: self.name.clone(), source }),
        }
    }
}

impl OpenProtocol for PairProtocol {
    fn images(&self) -> usize {
        self.test.images.len() + self.development.as_ref().map_or(0, |pairs| pairs.images.len())
    }

    fn sha256(&self) -> String {
        self.test.list.sha256()
    }

    /// The folders that the images are in, which is how lists of faces name people.
    fn people(&self) -> Vec<String> {
        let folder = |image: &String| {
            let folder = Path::new(image).parent()?.file_name()?;
            Some(folder.to_string_lossy().into_owned())
        };
        let names: BTreeSet<String> = self.test.list.images().iter().filter_map(folder).collect();
        names.into_iter().collect()
    }

    fn picture(&self, index: usize, size: [usize; 2]) -> Option<Picture> {
        Some(plain(self.test.images.load(index, size).ok()?, size))
    }

    fn measure(
        &self,
        embedder: &Embedder<'_>,
        measurement: &Measurement,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ProtocolOutcome, EvaluationError> {
        let list = &self.test.list;
        let noted = SizeRecorder::new(self.test.images.as_ref());
        let embedded = self.embed(embedder, &noted, progress)?;
        let scores = self.score(embedder, &embedded, list)?;
        let development = match &self.development {
            Some(pairs) => {
                let embedded = self.embed(embedder, pairs.images.as_ref(), progress)?;
                Some(self.score(embedder, &embedded, &pairs.list)?)
            }
            None => None,
        };
        let similarity = self.comparison.score.similarity(embedder.scoring());
        let images = embedded.images_sha256.clone();
        let mut provenance = embedder.provenance(
            self.protocol.clone(),
            self.sha256(),
            images,
            self.comparison.fusion.flip,
            similarity,
        );
        provenance.seed = self.seed;
        provenance.centring = self.comparison.centring;
        let (rows, dim) = (&embedded.rows[..], embedded.dim);
        let accuracy = if self.comparison.centring == Centring::None || development.is_some() {
            accuracy(&scores, development.as_ref())
        } else {
            match k_fold_centred(similarity, self.comparison.centring, rows, dim, list) {
                Ok(accuracy) => Ok(accuracy),
                Err(error) => Err(self.scored(error)?),
            }
        };
        let people = People::of(list);
        let Measurement { bootstrap_rounds: rounds, seed, as_insightface } = *measurement;
        let resampling = Resampling { people: Some(&people), rounds, seed };
        let mut result = VerificationResult::of(&scores, accuracy, provenance, &resampling);
        if as_insightface {
            result.insightface = match insightface::evaluate(rows, dim, list) {
                Ok(compat) => Some(compat),
                Err(error) => self.scored(error).map(|_| None)?,
            };
        }
        let (list, image_size) = (list.clone(), noted.common());
        let pairs = PairOutcome { list, scores, development, image_size, embedded };
        Ok(ProtocolOutcome { pairs: Some(pairs), ..ProtocolOutcome::without_pairs(result) })
    }
}
