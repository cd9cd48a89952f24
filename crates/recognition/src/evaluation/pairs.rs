//! Verification: what all protocols over pairs share.

use std::{collections::BTreeSet, path::Path};

use facegrad_pictures::{Picture, plain};
use facegrad_settings::settings;
use facegrad_verification::{
    Accuracy, Centring, LostImages, LostPairs, MeasureError, Missing, PairList, People, RemainingPairs,
    Resampling, ScoreError, Scores, Unmeasurable, VerificationResult, accuracy, insightface, k_fold_centred,
};

use super::{
    EvaluationError, Fusion, ImageNeed, Listed, Measurement, MeasurementError, OpenProtocol, PairOutcome,
    ProtocolOutcome, ScoreRule, embed_listed,
};
use crate::{Embedder, ImageEmbeddings, Images};

settings! {
    /// How the pairs of a protocol are compared.
    pub struct PairComparison {
        ..fusion: Fusion;
        /// How embeddings are compared.
        score: ScoreRule = ScoreRule::Head;
        /// What is subtracted from embeddings before they are compared.
        centring: Centring = Centring::None;
        /// What becomes of pairs with an image that is not there or cannot be read.
        missing: Missing = Missing::Error;
    }
}

/// A list of pairs and its images, in the order of [`PairList::images`].
pub(super) struct Pairs {
    pub list: PairList,
    pub images: Box<dyn Images>,
}

impl Pairs {
    /// The pairs of `list`, which is read from `file`, with their images in `folder`.
    pub fn find(
        list: PairList,
        file: &Path,
        folder: &Path,
        missing: Missing,
        wanted: ImageNeed,
    ) -> Result<Self, EvaluationError> {
        let listed = Listed { list: file, folder, names: list.images(), missing };
        let images = listed.find(wanted, |is_lost| touched(&list, is_lost))?;
        Ok(Self { list, images })
    }

    /// The embeddings of the images that can be used, and the pairs of these.
    fn embed(
        &self,
        embedder: &Embedder<'_>,
        comparison: &PairComparison,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<EmbeddedPairs, MeasurementError> {
        let PairComparison { fusion: Fusion { flip }, missing, .. } = *comparison;
        let touched = |is_lost: &[bool]| touched(&self.list, is_lost);
        let usable = embed_listed(embedder, self.images.as_ref(), flip, missing, progress, touched)?;
        let pairs = self.list.without(&usable.is_lost);
        let first_lost = usable.first_lost.map(|error| error.to_string());
        Ok(EmbeddedPairs { pairs, first_lost, embedded: usable.embedded })
    }
}

/// How many pairs of `list` have an image that is lost, in words.
fn touched(list: &PairList, is_lost: &[bool]) -> String {
    let touched = list.pairs().iter().filter(|pair| is_lost[pair.a] || is_lost[pair.b]).count();
    format!("in {touched} of its {} pairs", list.pairs().len())
}

/// Pairs whose images have embeddings.
struct EmbeddedPairs {
    pairs: RemainingPairs,
    /// The first image that cannot be used, and why.
    first_lost: Option<String>,
    /// Of the images of the remaining pairs.
    embedded: ImageEmbeddings,
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
    fn score(&self, embedder: &Embedder<'_>, of: &EmbeddedPairs) -> Result<Scores, ScoreError> {
        let similarity = self.comparison.score.similarity(embedder.scoring());
        let ImageEmbeddings { rows, dim, .. } = &of.embedded;
        Scores::of_centred(similarity, self.comparison.centring, rows, *dim, &of.pairs.list)
    }

    /// The pairs to measure on, and those to choose the threshold on.
    fn all(&self) -> impl Iterator<Item = &Pairs> {
        std::iter::once(&self.test).chain(&self.development)
    }

    /// What the lost images did, if there are any: `of_rest` is the accuracy over the pairs that are left.
    fn lost(
        &self,
        test: &EmbeddedPairs,
        development: Option<&EmbeddedPairs>,
        of_rest: &Result<Accuracy, Unmeasurable>,
    ) -> Option<LostPairs> {
        let all = [Some(test), development].into_iter().flatten();
        let first = all.filter_map(|of| of.first_lost.clone()).next()?;
        let lost = &test.pairs.lost;
        let genuine = lost.iter().filter(|pair| pair.same).count();
        let of_rest = of_rest.as_ref().ok();
        Some(LostPairs {
            of: LostImages {
                missing: self.comparison.missing,
                images: self.test.list.images().len() - test.pairs.positions.len(),
                first,
            },
            genuine,
            impostor: lost.len() - genuine,
            development: development.map_or(0, |of| of.pairs.lost.len()),
            accuracy_of_rest: of_rest.map(|accuracy| accuracy.mean),
            accuracy_with_errors: of_rest.map(|accuracy| accuracy.clone().with_errors(lost).mean),
        })
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

    fn compares_pairs(&self) -> bool {
        true
    }

    fn remarks(&self) -> Vec<String> {
        let of = |pairs: &Pairs| {
            let repeats = pairs.list.repeats_in_words().map(|repeats| format!("{repeats}."));
            let list = pairs.list.remarks().iter().cloned();
            list.chain(repeats).chain(pairs.images.remark()).collect::<Vec<String>>()
        };
        self.all().flat_map(of).collect()
    }

    fn set_images(&self) -> Vec<String> {
        // Pairs that are drawn have a seed, and their images the names of the set.
        let is_drawn = self.seed.is_some();
        if is_drawn { self.test.list.images().to_vec() } else { Vec::new() }
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
        let flip = self.comparison.fusion.flip;
        let mut embed = |pairs: &Pairs| pairs.embed(embedder, &self.comparison, progress);
        let test = embed(&self.test)?;
        let development = self.development.as_ref().map(embed).transpose()?;
        let scores = self.score(embedder, &test)?;
        let development_scores = development.as_ref().map(|pairs| self.score(embedder, pairs)).transpose()?;
        let similarity = self.comparison.score.similarity(embedder.scoring());
        let images = test.embedded.images_sha256.clone();
        let mut provenance =
            embedder.provenance(self.protocol.clone(), self.sha256(), images, flip, similarity);
        provenance.seed = self.seed;
        provenance.centring = self.comparison.centring;
        provenance.image_remarks = self.all().filter_map(|pairs| pairs.images.remark()).collect();
        let (rows, dim, list) = (&test.embedded.rows[..], test.embedded.dim, &test.pairs.list);
        let of_rest = if self.comparison.centring == Centring::None || development.is_some() {
            accuracy(&scores, development_scores.as_ref())
        } else {
            supported(k_fold_centred(similarity, self.comparison.centring, rows, dim, list))?
        };
        let lost = self.lost(&test, development.as_ref(), &of_rest);
        // Pairs that are left out have no part in what follows.
        let errors = match self.comparison.missing {
            Missing::Wrong => &test.pairs.lost[..],
            _ => &[],
        };
        let (scores, accuracy) =
            (scores.with_errors(errors.into()), of_rest.map(|accuracy| accuracy.with_errors(errors)));
        let people = People::with_lost(list, errors);
        let Measurement { bootstrap_rounds: rounds, seed, as_insightface } = *measurement;
        let resampling = Resampling { people: Some(&people), rounds, seed };
        let result = VerificationResult::of(&scores, accuracy, provenance, &resampling);
        let mut result = result.of_list(list).with_lost(lost);
        if as_insightface {
            let measured = insightface::evaluate_with_errors(rows, dim, list, errors);
            result.insightface = supported(measured)?.ok();
        }
        let EmbeddedPairs { pairs: RemainingPairs { list, positions, .. }, embedded, .. } = test;
        let pairs = PairOutcome { list, positions, scores, development: development_scores, embedded };
        Ok(ProtocolOutcome { pairs: Some(pairs), ..ProtocolOutcome::without_pairs(result) })
    }
}
