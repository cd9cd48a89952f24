//! Embeddings of images, from a model or from a file of them.

use std::{collections::BTreeMap, ops::Range};

use facegrad_embeddings::{EmbeddingError, EmbeddingFile, Whitening, WhiteningError};
use facegrad_faces::FaceError;
use facegrad_files::hexadecimal;
use facegrad_pictures::{Picture, plain};
use facegrad_verification::{Flip, FlipError, Provenance, Similarity};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{Images, model::EmbeddingModel};

/// What gives the embeddings of images.
#[derive(Clone, Copy)]
pub struct Embedder<'a> {
    source: Source<'a>,
    /// What is done to embeddings, fitted on training data.
    whitening: Option<&'a Whitening>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Model { model: &'a EmbeddingModel, batch: usize, backend: &'a str },
    File { file: &'a EmbeddingFile, name: &'a str },
}

/// The embeddings of some images.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageEmbeddings {
    /// `[images, dim]`, fused from image and mirror image, not normalised.
    pub rows: Vec<f32>,
    /// Length of an embedding.
    pub dim: usize,
    /// SHA-256 of the pixels that were embedded, in order; of those of all images of a file of embeddings.
    pub images_sha256: String,
    /// Height and width of the images before they were resized, where they were decoded and all are equal.
    pub image_size: Option<[usize; 2]>,
}

/// The embeddings of those images that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct UsableEmbeddings {
    /// Of these, in their order.
    pub embedded: ImageEmbeddings,
    /// Whether each image cannot be used.
    pub is_lost: Vec<bool>,
    /// The first that cannot, and why.
    pub first_lost: Option<FaceError>,
}

impl UsableEmbeddings {
    /// Those of `images` images, all of which could be used.
    pub fn all(embedded: ImageEmbeddings, images: usize) -> Self {
        Self { embedded, is_lost: vec![false; images], first_lost: None }
    }

    /// How many images cannot be used.
    pub fn lost(&self) -> usize {
        self.is_lost.iter().filter(|lost| **lost).count()
    }
}

/// Why there are no embeddings.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum EmbedderError {
    /// An image that cannot be decoded.
    #[error("the image {0}; every image is needed")]
    Image(FaceError),
    /// Embeddings and mirror embeddings do not fit.
    #[error(transparent)]
    Flip(#[from] FlipError),
    /// Whoever watched it asked for an end.
    #[error("stopped before its end")]
    Stopped,
    /// The backend could not hand the embeddings back.
    #[error("the backend could not compute the embeddings: {0}")]
    Backend(String),
    /// The file of embeddings.
    #[error(transparent)]
    File(#[from] EmbeddingError),
    /// An image that the file has no embedding of.
    #[error("{file} has no embedding called {first}; {missing} of the {total} images asked for are missing")]
    Missing { file: String, first: String, missing: usize, total: usize },
    /// Embeddings that the whitening was not fitted for.
    #[error(transparent)]
    Whitening(#[from] WhiteningError),
}

impl<'a> Embedder<'a> {
    /// Embeds with `model`, `batch` images at a time; `backend` says what computes, for results.
    pub fn model(model: &'a EmbeddingModel, batch: usize, backend: &'a str) -> Self {
        Self { source: Source::Model { model, batch, backend }, whitening: None }
    }

    /// Looks embeddings up in `file`, which results call `name`.
    pub fn file(file: &'a EmbeddingFile, name: &'a str) -> Self {
        Self { source: Source::File { file, name }, whitening: None }
    }

    /// The same with `whitening` applied to each embedding.
    pub fn whitened(self, whitening: Option<&'a Whitening>) -> Self {
        Self { whitening, ..self }
    }

    /// The file of embeddings, if that is the source.
    pub fn stored(&self) -> Option<&'a EmbeddingFile> {
        match self.source {
            Source::File { file, .. } => Some(file),
            Source::Model { .. } => None,
        }
    }

    /// Length of an embedding whose images are fused by `flip`.
    pub fn dim(&self, flip: Flip) -> usize {
        match (self.whitening, self.source) {
            (Some(whitening), _) => whitening.output_dim(),
            (None, Source::Model { model, .. }) => flip.fused_dim(model.embedding_size()),
            (None, Source::File { file, .. }) => file.dim(),
        }
    }

    /// How image and mirror image are fused where a protocol asks for `flip`: so by a model; a file has them
    /// fused already.
    pub fn flip(&self, flip: Flip) -> Flip {
        match self.source {
            Source::Model { .. } => flip,
            Source::File { file, .. } => file.origin().map_or(Flip::None, |origin| origin.flip),
        }
    }

    /// How the embeddings are meant to be compared: by the rule of the loss.
    pub fn scoring(&self) -> Similarity {
        match self.source {
            Source::Model { model, .. } => model.card.scoring,
            Source::File { file, .. } => file.origin().map(|origin| origin.scoring).unwrap_or_default(),
        }
    }

    /// Where numbers come from that are measured on `embedded`, fused by `flip` and compared by `score`.
    pub fn provenance(
        &self,
        protocol: String,
        pairs_sha256: String,
        images_sha256: String,
        flip: Flip,
        score: Similarity,
    ) -> Provenance {
        let mut switches = BTreeMap::new();
        let (model_sha256, backend) = match self.source {
            Source::Model { model, backend, .. } => (model.sha256.clone(), backend.to_owned()),
            Source::File { file, name } => {
                let origin = file.origin();
                let of_rows = match origin {
                    None => ", whose origin and flip fusion are unknown",
                    Some(origin) if origin.normalised => ", each divided by its length",
                    Some(_) => "",
                };
                switches.insert("embeddings".into(), format!("stored in {name}{of_rows}"));
                (
                    origin.and_then(|origin| origin.model_sha256.clone()),
                    origin.map_or_else(|| "unknown".into(), |origin| origin.backend.clone()),
                )
            }
        };
        if let Some(whitening) = self.whitening {
            switches.insert("whitening".into(), whitening.description().to_string());
        }
        Provenance {
            protocol,
            pairs_sha256,
            images_sha256,
            model_sha256,
            backend,
            seed: None,
            flip: self.flip(flip),
            score,
            centring: Default::default(),
            switches,
            image_remarks: Vec::new(),
        }
    }

    /// The embeddings of `images`; `progress` is told how many more are done, and says whether to go on.
    ///
    /// # Errors
    /// [`EmbedderError::Stopped`] if `progress` said no, or what kept an image from being embedded.
    pub fn embed(
        &self,
        images: &dyn Images,
        flip: Flip,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImageEmbeddings, EmbedderError> {
        let mut stream = self.stream(images, flip)?;
        self.collect(&mut stream, images.len(), flip, progress)
    }

    /// The embeddings of those of `images` that can be used: that are there and can be read, or that the file has;
    /// `progress` is told how many more are done, and says whether to go on.
    ///
    /// # Errors
    /// [`EmbedderError::Stopped`] if `progress` said no, what kept images from being embedded that can be read, or if none
    /// can be used.
    pub fn embed_usable(
        &self,
        images: &dyn Images,
        flip: Flip,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<UsableEmbeddings, EmbedderError> {
        let mut stream = self.stream_over(images, flip, self.found(images))?;
        stream.lost = Some(Vec::new());
        let embedded = self.collect(&mut stream, images.len(), flip, progress)?;
        let mut lost = stream.lost.take().unwrap_or_default().into_iter();
        let mut is_lost = vec![false; images.len()];
        let first = lost.next();
        first.iter().for_each(|(index, _)| is_lost[*index] = true);
        lost.for_each(|(index, _)| is_lost[index] = true);
        match first.map(|(_, error)| error) {
            Some(error) if is_lost.iter().all(|lost| *lost) => Err(EmbedderError::Image(error)),
            first_lost => Ok(UsableEmbeddings { embedded, is_lost, first_lost }),
        }
    }

    /// Whether each of `images` has no embedding in the file; nothing where a model gives them.
    pub fn absent(&self, images: &dyn Images) -> Vec<bool> {
        self.found(images).iter().map(Option::is_none).collect()
    }

    /// What is left of `stream`, which is over `images` images.
    fn collect(
        &self,
        stream: &mut EmbeddingStream<'_>,
        images: usize,
        flip: Flip,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<ImageEmbeddings, EmbedderError> {
        let mut rows = Vec::with_capacity(images * self.dim(flip));
        let mut done = 0;
        while let Some(part) = stream.next()? {
            rows.extend_from_slice(part);
            if !progress(stream.next - done) {
                return Err(EmbedderError::Stopped);
            }
            done = stream.next;
        }
        Ok(ImageEmbeddings {
            rows,
            dim: self.dim(flip),
            images_sha256: stream.images_sha256(),
            image_size: match stream.sizes[..] {
                [common] => Some(common),
                _ => None,
            },
        })
    }

    /// The embeddings of `images` one portion after the other, in bounded memory.
    ///
    /// # Errors
    /// If the source is a file that some images are not in, or the whitening was fitted on embeddings that were made
    /// in another way.
    pub fn stream<'s>(
        &'s self,
        images: &'s dyn Images,
        flip: Flip,
    ) -> Result<EmbeddingStream<'s>, EmbedderError> {
        let positions = self.found(images);
        if let (Source::File { name, .. }, Some(first)) =
            (self.source, positions.iter().position(Option::is_none))
        {
            return Err(EmbedderError::Missing {
                file: name.into(),
                first: images.name(first),
                missing: positions.iter().filter(|position| position.is_none()).count(),
                total: images.len(),
            });
        }
        self.stream_over(images, flip, positions)
    }

    /// [`Embedder::stream`] where the embeddings of a file are at `positions`.
    fn stream_over<'s>(
        &'s self,
        images: &'s dyn Images,
        flip: Flip,
        positions: Vec<Option<usize>>,
    ) -> Result<EmbeddingStream<'s>, EmbedderError> {
        if let Some(whitening) = self.whitening {
            let origin = match self.source {
                Source::Model { model, backend, .. } => Some(model.origin(flip, backend, None)),
                Source::File { file, .. } => file.origin().cloned(),
            };
            origin.map_or(Ok(()), |origin| whitening.check_origin(&origin))?;
        }
        let (hash, sizes, rows) = (Sha256::new(), Vec::new(), Vec::new());
        Ok(EmbeddingStream {
            embedder: self,
            images,
            flip,
            positions,
            lost: None,
            hash,
            sizes,
            next: 0,
            rows,
        })
    }

    /// Where in the file the embedding of each of `images` is; nothing where a model gives them.
    fn found(&self, images: &dyn Images) -> Vec<Option<usize>> {
        let Source::File { file, .. } = self.source else { return Vec::new() };
        // Lists often name images without extension.
        let stem = |name: &'a String| Some(name.rsplit_once('.').filter(|(_, e)| !e.contains('/'))?.0);
        let stems = file.names().iter().enumerate().filter_map(|(row, name)| Some((stem(name)?, row)));
        let stems: BTreeMap<&str, usize> = stems.collect();
        let position = |image| {
            let wanted = images.name(image);
            file.position(&wanted).or_else(|| stems.get(wanted.as_str()).copied())
        };
        (0..images.len()).map(position).collect()
    }
}

/// Embeddings that arrive in portions, in the order of their images.
pub struct EmbeddingStream<'s> {
    embedder: &'s Embedder<'s>,
    images: &'s dyn Images,
    flip: Flip,
    /// The rows of a file.
    positions: Vec<Option<usize>>,
    /// Images that cannot be used, where these are passed over.
    lost: Option<Vec<(usize, FaceError)>>,
    hash: Sha256,
    /// Heights and widths of images before they were resized: the first two that differ.
    sizes: Vec<[usize; 2]>,
    next: usize,
    rows: Vec<f32>,
}

/// Rows read from a file at a time.
const FILE_ROWS: usize = 1024;

impl EmbeddingStream<'_> {
    /// The next portion, `[images, dim]`; `None` after the last.
    ///
    /// # Errors
    /// What kept an image from being embedded.
    // It cannot be an iterator: a portion is borrowed from it.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<&[f32]>, EmbedderError> {
        if self.next == self.images.len() {
            return Ok(None);
        }
        self.rows.clear();
        match self.embedder.source {
            Source::Model { model, batch, .. } => {
                let range = self.next..(self.next + batch).min(self.images.len());
                let each = LoadedImage::each(self.images, range.clone(), model.card.preprocessing.size);
                let mut loaded = Vec::with_capacity(each.len());
                for (index, image) in range.clone().zip(each) {
                    match (image, &mut self.lost) {
                        (Ok(image), _) => loaded.push(image),
                        (Err(error), Some(lost)) => lost.push((index, error)),
                        (Err(error), None) => return Err(EmbedderError::Image(error)),
                    }
                }
                for LoadedImage { picture, original } in &loaded {
                    self.hash.update(picture.pixels());
                    if self.sizes.len() < 2 && !self.sizes.contains(original) {
                        self.sizes.push(*original);
                    }
                }
                self.rows = model.embed_loaded(&loaded, batch, self.flip)?;
                self.next = range.end;
            }
            Source::File { file, name } => {
                let end = (self.next + FILE_ROWS).min(self.images.len());
                for (index, row) in (self.next..end).zip(&self.positions[self.next..end]) {
                    if let Some(row) = row {
                        let start = self.rows.len();
                        self.rows.resize(start + file.dim(), 0.0);
                        file.read_row(*row, &mut self.rows[start..])?;
                    } else if let Some(lost) = &mut self.lost {
                        let reason = format!("{name} has no embedding of it");
                        lost.push((index, FaceError { name: self.images.name(index), reason }));
                    }
                }
                self.next = end;
            }
        }
        if let Some(whitening) = self.embedder.whitening.filter(|_| !self.rows.is_empty()) {
            self.rows = whitening.apply(&self.rows)?;
        }
        Ok(Some(&self.rows))
    }

    /// SHA-256 of the pixels embedded so far, in order; of those of all images of a file of embeddings, empty
    /// where it does not say.
    pub fn images_sha256(&self) -> String {
        match self.embedder.source {
            Source::Model { .. } => hexadecimal(&self.hash.clone().finalize()),
            Source::File { file, .. } => {
                file.origin().and_then(|origin| origin.pixels_sha256.clone()).unwrap_or_default()
            }
        }
    }
}

/// An image as a network sees it.
pub(crate) struct LoadedImage {
    pub(crate) picture: Picture,
    /// Height and width before it was resized.
    original: [usize; 2],
}

impl LoadedImage {
    /// The images in `range`, for a network that takes images of `size` (height, width).
    ///
    /// # Errors
    /// The first that cannot be decoded.
    pub(crate) fn all(
        images: &dyn Images,
        range: Range<usize>,
        size: [usize; 2],
    ) -> Result<Vec<Self>, EmbedderError> {
        let loaded = Self::each(images, range, size).into_iter();
        loaded.collect::<Result<_, _>>().map_err(EmbedderError::Image)
    }

    /// Each of the images in `range`, or why it cannot be decoded.
    fn each(images: &dyn Images, range: Range<usize>, size: [usize; 2]) -> Vec<Result<Self, FaceError>> {
        let load = |index| {
            let picture = images.load(index, size)?;
            let original = picture.original_size();
            Ok(Self { picture: plain(picture, size), original })
        };
        range.into_par_iter().map(load).collect()
    }
}

impl EmbeddingModel {
    /// Embeds at most `batch` images, `[images, dim]`: the batch is filled up, so that a GPU sees one shape only and an
    /// embedding does not depend on how many images follow it.
    ///
    /// # Errors
    /// What the backend says when it fails.
    pub(crate) fn embed_loaded(
        &self,
        images: &[LoadedImage],
        batch: usize,
        flip: Flip,
    ) -> Result<Vec<f32>, EmbedderError> {
        let Some(first) = images.first() else { return Ok(Vec::new()) };
        let dim = self.embedding_size();
        let forward = |pixels: &dyn Fn(&Picture) -> Vec<u8>| {
            let padding = std::iter::repeat_n(first, batch.saturating_sub(images.len()));
            let pixels: Vec<u8> =
                images.iter().chain(padding).flat_map(|image| pixels(&image.picture)).collect();
            let mut embeddings = self.embed(&pixels).map_err(EmbedderError::Backend)?;
            embeddings.truncate(images.len() * dim);
            Ok::<_, EmbedderError>(embeddings)
        };
        let plain = forward(&|picture| picture.pixels().to_vec())?;
        let mirrored = if flip.needs_mirror() { forward(&mirror)? } else { Vec::new() };
        Ok(flip.fuse(plain, &mirrored, dim)?)
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
