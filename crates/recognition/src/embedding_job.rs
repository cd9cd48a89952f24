//! Embedding many images into a file, so that it can be stopped and continued.

use std::{path::Path, sync::mpsc::sync_channel, thread};

use facegrad_embeddings::{EmbeddingError, EmbeddingJournal, EmbeddingJournalHeader, Origin};
use facegrad_verification::Flip;

use crate::{
    EmbedderError, EmbeddingModel, ImageSet, Images,
    embedder::LoadedImage,
    image_set::{ImageSurvey, fingerprint},
};

/// How images are embedded into a file.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingJob<'a> {
    /// The model.
    pub model: &'a EmbeddingModel,
    /// Images embedded at a time.
    pub batch: usize,
    /// How an image and its mirror image become one embedding.
    pub flip: Flip,
    /// What computes.
    pub backend: &'a str,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingJobEnd {
    /// The file is written.
    Finished,
    /// Whoever watched it asked for an end: so many images are done, and the same job goes on behind them.
    Stopped {
        /// Number of images.
        done: usize,
    },
}

/// Why a job cannot be done.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum JobError {
    /// The images or the model.
    #[error(transparent)]
    Embeddings(#[from] EmbedderError),
    /// The file, or the unfinished one.
    #[error(transparent)]
    File(#[from] EmbeddingError),
    /// An image is not what it was when all were looked at.
    #[error("the image {name} was changed while the images were being embedded; run the command again")]
    Changed { name: String },
}

impl EmbeddingModel {
    /// Where embeddings of this model come from.
    pub fn origin(&self, flip: Flip, backend: &str, pixels_sha256: Option<String>) -> Origin {
        Origin {
            facegrad: env!("CARGO_PKG_VERSION").into(),
            model_sha256: self.tensors_sha256.clone(),
            preprocessing: Some(self.card.preprocessing.describe()),
            flip,
            scoring: self.card.scoring,
            backend: backend.into(),
            pixels_sha256,
            normalised: false,
        }
    }
}

impl EmbeddingJob<'_> {
    /// Embeds `images`, all of which `survey` could read, into the file `target`, or goes on with it. `progress` is
    /// told how many images are done, first how many were before, and says whether to go on.
    ///
    /// The file is the same whether the job was stopped in between or not: a batch that was cut off is computed
    /// again as a whole.
    ///
    /// # Errors
    /// If an unfinished job for `target` is another one, an image is no longer what it was, or the disk is full.
    pub fn run(
        &self,
        images: &ImageSet,
        survey: &ImageSurvey,
        target: &Path,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<EmbeddingJobEnd, JobError> {
        let (names, identities) = (images.names(), images.identities());
        let dim = self.flip.fused_dim(self.model.embedding_size());
        let origin = self.model.origin(self.flip, self.backend, Some(survey.pixels_sha256.clone()));
        let header = EmbeddingJournalHeader::new(target, dim, Some(&origin), names, identities)?;
        let sets_sha256 = Some(images.fingerprint());
        let header = EmbeddingJournalHeader { batch: Some(self.batch), sets_sha256, ..header };
        let (mut journal, before) = EmbeddingJournal::open_or_create(target, header)?;
        if !progress(before) {
            return Ok(EmbeddingJobEnd::Stopped { done: before });
        }
        let first = before / self.batch * self.batch;
        let starts = (first..images.len()).step_by(self.batch);
        let batches = starts.map(|start| (start, (start + self.batch).min(images.len())));
        let size = self.model.card.preprocessing.size;
        let stopped = thread::scope(|scope| {
            // The next batch is decoded while this one is embedded.
            let (send, receive) = sync_channel(1);
            scope.spawn(move || {
                for (start, end) in batches {
                    // Whoever embeds has ended: stopped, or by an error.
                    if send.send((start, LoadedImage::all(images, start..end, size))).is_err() {
                        break;
                    }
                }
            });
            for (start, loaded) in receive {
                let loaded = loaded?;
                let rows = self.model.embed_loaded(&loaded, self.batch, self.flip)?;
                for (index, LoadedImage { picture, .. }) in (start..).zip(&loaded) {
                    if survey.fingerprints.get(index) != Some(&fingerprint(picture)) {
                        return Err(JobError::Changed { name: images.name(index) });
                    }
                }
                let done = journal.done() - start;
                journal.append(&rows[done * dim..])?;
                if !progress(journal.done()) && journal.done() < images.len() {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        if stopped {
            journal.sync()?;
            return Ok(EmbeddingJobEnd::Stopped { done: journal.done() });
        }
        journal.finish(names, identities)?;
        Ok(EmbeddingJobEnd::Finished)
    }
}
