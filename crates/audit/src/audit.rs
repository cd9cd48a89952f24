//! An audit from its beginning to its end: read, compare, embed.

use facegrad_faces::OpenSet;
use facegrad_recognition::{EmbedderError, EmbeddingSource, Images, SourceImages};
use facegrad_verification::{Flip, UnitEmbeddingsError};

use crate::{AuditOptions, EvaluationSet, Findings, LabelledEmbeddings, SetSurvey};

/// A set to be looked through.
pub struct Audit<'a> {
    /// The set.
    pub set: &'a OpenSet,
    /// An evaluation set that must not share images with it.
    pub against: Option<&'a OpenSet>,
    /// What counts as wrong.
    pub options: &'a AuditOptions,
    /// Without them nothing is said of labels.
    pub embeddings: Option<&'a AuditEmbeddings>,
}

/// Where the embeddings of an audit come from.
pub struct AuditEmbeddings {
    /// A model, or stored embeddings of the set.
    pub source: EmbeddingSource,
    /// Stored embeddings of the evaluation set; a model embeds that too.
    pub against: Option<EmbeddingSource>,
    /// Images that a model embeds at a time.
    pub batch: usize,
    /// How an image and its mirror image become one embedding.
    pub flip: Flip,
}

/// What an audit does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Every image of the set is read.
    Read,
    /// Every image of the evaluation set is read.
    ReadAgainst,
    /// Images that look alike are compared.
    Compare,
    /// The set is embedded.
    Embed,
    /// The evaluation set is embedded.
    EmbedAgainst,
}

/// Whoever follows the work: told how many images of how many are done at a stage, it says whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(Stage, usize, usize) -> bool;

/// Why an audit has no end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Whoever watched it asked for an end.
    #[error("stopped before its end")]
    Stopped,
    /// The embeddings cannot be had.
    #[error(transparent)]
    Embeddings(EmbedderError),
    /// The embeddings cannot be used.
    #[error(transparent)]
    Unusable(#[from] UnitEmbeddingsError),
}

impl From<EmbedderError> for AuditError {
    fn from(error: EmbedderError) -> Self {
        match error {
            EmbedderError::Stopped => Self::Stopped,
            error => Self::Embeddings(error),
        }
    }
}

impl Audit<'_> {
    /// Everything there is to find.
    ///
    /// # Errors
    /// [`AuditError::Stopped`] if `watch` says so, or what is wrong with the embeddings. Unreadable images are findings.
    pub fn run(&self, watch: Watch) -> Result<Findings, AuditError> {
        let survey = survey(self.set, Stage::Read, watch)?;
        let images = readable(&survey);
        let other = match self.against {
            Some(against) => Some((against, self::survey(against, Stage::ReadAgainst, watch)?)),
            None => None,
        };
        let against =
            other.as_ref().map(|(set, survey)| EvaluationSet { source: set.source.as_ref(), survey });
        let findings = {
            let mut compared = stage(Stage::Compare, self.set.source.len(), watch)?;
            Findings::of(self.set, survey, against, self.options, &mut compared)
        };
        let mut findings = findings.ok_or(AuditError::Stopped)?;
        let Some(embeddings) = self.embeddings else { return Ok(findings) };
        let of_set = embeddings.of(&embeddings.source, self.set, &images, Stage::Embed, watch)?;
        let of_other = match (&other, embeddings.source_of_other()) {
            (Some((set, survey)), Some(source)) => {
                Some(embeddings.of(source, set, &readable(survey), Stage::EmbedAgainst, watch)?)
            }
            _ => None,
        };
        findings.add_embeddings(&of_set, &images, of_other.as_ref());
        Ok(findings)
    }
}

/// Begins a stage of `total` images; what it gives is told how many are done.
fn stage(stage: Stage, total: usize, watch: Watch) -> Result<impl FnMut(usize) -> bool, AuditError> {
    if !watch(stage, 0, total) {
        return Err(AuditError::Stopped);
    }
    Ok(move |done| watch(stage, done, total))
}

fn survey(set: &OpenSet, at: Stage, watch: Watch) -> Result<SetSurvey, AuditError> {
    let source = set.source.as_ref();
    SetSurvey::of(source, &mut stage(at, source.len(), watch)?).ok_or(AuditError::Stopped)
}

/// The images that could be read.
fn readable(survey: &SetSurvey) -> Vec<usize> {
    let images = survey.records.iter().enumerate();
    images.filter(|(_, record)| record.is_some()).map(|(image, _)| image).collect()
}

impl AuditEmbeddings {
    fn source_of_other(&self) -> Option<&EmbeddingSource> {
        if self.source.is_stored() { self.against.as_ref() } else { Some(&self.source) }
    }

    /// The embeddings of `images` of `set` by `source`.
    fn of(
        &self,
        source: &EmbeddingSource,
        set: &OpenSet,
        images: &[usize],
        at: Stage,
        watch: Watch,
    ) -> Result<LabelledEmbeddings, AuditError> {
        let mut embedded = stage(at, images.len(), watch)?;
        let mut done = 0;
        // By the names that `facegrad embed` writes.
        let named = SourceImages::by_key(set.source.clone(), images.to_vec());
        let rows = source.embedder(self.batch).embed(&named, self.flip, &mut |more| {
            done += more;
            embedded(done)
        })?;
        let labels = images.iter().map(|&image| set.source.label(image)).collect();
        let identities = set.source.identities().len();
        let embeddings = LabelledEmbeddings::new(rows.rows, rows.dim, labels, identities);
        Ok(embeddings.map_err(|error| error.named(|row| named.name(row)))?)
    }
}
