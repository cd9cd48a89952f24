//! Verification: what all protocols over pairs share.

use std::collections::BTreeSet;

use facegrad_pictures::{Picture, plain};
use facegrad_settings::settings;
use facegrad_verification::{
    Centring, MeasureError, PairList, People, Resampling, ScoreError, Scores, Unmeasurable,
    VerificationResult, accuracy, insightface, k_fold_centred,
};

use super::{Fusion, Measurement, MeasurementError, OpenProtocol, PairOutcome, ProtocolOutcome, ScoreRule};
use crate::{Embedder, ImageEmbeddings, Images};

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
    fn score(
        &self,
        embedder: &Embedder<'_>,
        embedded: &ImageEmbeddings,
        list: &PairList,
    ) -> Result<Scores, ScoreError> {
        let similarity = self.comparison.score.similarity(embedder.scoring());
        Scores::of_centred(similarity, self.comparison.centring, &embedded.rows, embedded.dim, list)
    }
}

/// A number, or why the pairs do not support it.
fn supported<T>(measured: Result<T, MeasureError>) -> Result<Result<T, Unmeasurable>, ScoreError> {
    match measured {
        Ok(number) => Ok(Ok(number)),
        Err(MeasureError::Unmeasurable(reason)) => Ok(Err(reason)),
        Err(MeasureError::Scores(error)) => Err(error),
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
            let (folders, _) = image.rsplit_once('/')?;
            folders.rsplit('/').next().map(str::to_owned)
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
    ) -> Result<ProtocolOutcome, MeasurementError> {
        let list = &self.test.list;
        let flip = self.comparison.fusion.flip;
        let embedded = embedder.embed(self.test.images.as_ref(), flip, progress)?;
        let scores = self.score(embedder, &embedded, list)?;
        let development = match &self.development {
            Some(pairs) => {
                let embedded = embedder.embed(pairs.images.as_ref(), flip, progress)?;
                Some(self.score(embedder, &embedded, &pairs.list)?)
            }
            None => None,
        };
        let similarity = self.comparison.score.similarity(embedder.scoring());
        let images = embedded.images_sha256.clone();
        let mut provenance =
            embedder.provenance(self.protocol.clone(), self.sha256(), images, flip, similarity);
        provenance.seed = self.seed;
        provenance.centring = self.comparison.centring;
        let (rows, dim) = (&embedded.rows[..], embedded.dim);
        let accuracy = if self.comparison.centring == Centring::None || development.is_some() {
            accuracy(&scores, development.as_ref())
        } else {
            supported(k_fold_centred(similarity, self.comparison.centring, rows, dim, list))?
        };
        let people = People::of(list);
        let Measurement { bootstrap_rounds: rounds, seed, as_insightface } = *measurement;
        let resampling = Resampling { people: Some(&people), rounds, seed };
        let mut result = VerificationResult::of(&scores, accuracy, provenance, &resampling).of_list(list);
        result.list_remarks.extend(self.test.images.remark());
        if as_insightface {
            result.insightface = supported(insightface::evaluate(rows, dim, list))?.ok();
        }
        let pairs = PairOutcome { list: list.clone(), scores, development, embedded };
        Ok(ProtocolOutcome { pairs: Some(pairs), ..ProtocolOutcome::without_pairs(result) })
    }
}
