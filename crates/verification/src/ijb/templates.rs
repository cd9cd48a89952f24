//! One vector for each template.

use facegrad_settings::choice;
use serde::{Deserialize, Serialize};

use super::{FaceList, MediaList, TemplateIds};

/// More numbers than this are not pooled: benchmark C has 23,124 templates of 512.
const MAX_NUMBERS: usize = 1 << 29;

choice! {
    /// What becomes of the lengths of image embeddings before they are pooled.
    pub enum TemplateNorm {
        /// They stay: an image that the network gives a longer embedding weighs more (insightface N1).
        Keep = "keep",
        /// Every image embedding is made a unit vector first (insightface N0).
        Unit = "unit",
    }
}

/// What templates were made of, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooling {
    /// The number of images.
    pub images: usize,
    /// The number of media of templates.
    pub media: usize,
    /// The number of templates.
    pub templates: usize,
    /// What became of the lengths of image embeddings.
    pub norm: TemplateNorm,
    /// Whether image embeddings were multiplied by the scores of the detector (insightface D1).
    pub detector_score: bool,
    /// SHA-256 of the list of media.
    pub media_sha256: String,
    /// SHA-256 of the list of faces, if its scores were used.
    pub faces_sha256: Option<String>,
}

/// A unit vector for each template.
#[derive(Debug, Clone, PartialEq)]
pub struct Templates {
    ids: TemplateIds,
    vectors: Vec<f32>,
    dim: usize,
    pooled: Pooling,
}

/// Why there are no templates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum PoolError<E> {
    /// The embedding of an image cannot be had.
    #[error("there is no embedding of {image}, image {row} of the list: {cause}")]
    Row {
        image: String,
        /// Its place in the list, from 1.
        row: usize,
        cause: E,
    },
    /// An embedding that cannot be pooled.
    #[error("the embedding of {image} is {problem}; the model is broken or diverged")]
    Embedding {
        image: String,
        /// `not finite`, or `zero` where it is to become a unit vector.
        problem: &'static str,
    },
    /// The embeddings of a template cancel out, or their detector scores are all zero.
    #[error("the weighted images of template {id} sum to zero, which has no direction to compare")]
    Template { id: u32 },
    /// Embeddings of a length that cannot be pooled.
    #[error(
        "embeddings of {dim} numbers for {templates} templates: there must be 1 to {MAX_NUMBERS} numbers in all"
    )]
    Dim { dim: usize, templates: usize },
}

impl Templates {
    /// Pools the embeddings of images as insightface does: their mean over each medium of a template, the sum
    /// of these over its media, divided by its length.
    ///
    /// `row(i, embedding)` writes the embedding of image `i` of `media`, `[dim]`; it is called once for each
    /// image, in order. With `faces`, each embedding is multiplied by the score of its detector. Memory is
    /// 12 bytes for each number of a template: the images are summed in f64.
    ///
    /// # Errors
    /// The first error of `row`, an embedding that is not finite, or zero where `norm` is to make it a unit
    /// vector, a template that sums to zero, or too many numbers.
    ///
    /// # Panics
    /// If `faces` was read for another list of media.
    ///
    /// Source: `image2template_feature` in insightface's `eval_ijbc.py`.
    pub fn pool<E>(
        media: &MediaList,
        norm: TemplateNorm,
        faces: Option<&FaceList>,
        dim: usize,
        mut row: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<Self, PoolError<E>> {
        let ids = media.templates();
        let templates = ids.ids().len();
        let numbers = templates.checked_mul(dim).filter(|&numbers| 0 < numbers && numbers <= MAX_NUMBERS);
        let numbers = numbers.ok_or(PoolError::Dim { dim, templates })?;
        if let Some(faces) = faces {
            assert_eq!(faces.faces.len(), media.images(), "a face for each image");
        }
        let mut sums = vec![0.0f64; numbers];
        let mut embedding = vec![0.0f32; dim];
        for image in 0..media.images() {
            let name = || media.name(image).to_owned();
            row(image, &mut embedding).map_err(|cause| PoolError::Row {
                image: name(),
                row: image + 1,
                cause,
            })?;
            let length = length(embedding.iter().map(|&x| x.into()));
            if !length.is_finite() {
                return Err(PoolError::Embedding { image: name(), problem: "not finite" });
            }
            if length == 0.0 && norm == TemplateNorm::Unit {
                return Err(PoolError::Embedding { image: name(), problem: "zero" });
            }
            let (template, images) = media.place(image);
            // The mean over a medium is a sum with weights, so no sums of media have to be kept.
            let mut weight = faces.map_or(1.0, |faces| faces.faces[image].score.into()) / images as f64;
            if norm == TemplateNorm::Unit {
                weight /= length;
            }
            for (sum, &x) in sums[template * dim..][..dim].iter_mut().zip(&embedding) {
                *sum += weight * f64::from(x);
            }
        }
        let mut vectors = Vec::with_capacity(numbers);
        for (sum, &id) in sums.chunks_exact(dim).zip(ids.ids()) {
            let length = length(sum.iter().copied());
            if length == 0.0 {
                return Err(PoolError::Template { id });
            }
            vectors.extend(sum.iter().map(|x| (x / length) as f32));
        }
        let pooled = Pooling {
            images: media.images(),
            media: media.media(),
            templates,
            norm,
            detector_score: faces.is_some(),
            media_sha256: media.sha256().into(),
            faces_sha256: faces.map(|faces| faces.sha256.clone()),
        };
        Ok(Self { ids: ids.clone(), vectors, dim, pooled })
    }

    /// The numbers of the templates in the lists.
    pub fn ids(&self) -> &TemplateIds {
        &self.ids
    }

    /// The length of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The unit vector of the template at a position, `[dim]`.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn vector(&self, position: usize) -> &[f32] {
        &self.vectors[position * self.dim..][..self.dim]
    }

    /// What the templates were made of.
    pub fn pooled(&self) -> &Pooling {
        &self.pooled
    }
}

/// The square of any finite f32 is neither infinite nor zero in f64.
fn length(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
pub(super) mod tests {
    use std::{convert::Infallible, fs, path::Path};

    use facegrad_random::{Purpose, Stream};

    use super::*;

    /// The lists of images `(template, medium, detector score)` in `folder`.
    pub fn lists(folder: &Path, images: &[(u32, u32, f32)]) -> (MediaList, FaceList) {
        let (mut media, mut faces) = (String::new(), String::new());
        for (i, (template, medium, score)) in images.iter().enumerate() {
            media += &format!("{i}.jpg {template} {medium}\n");
            faces += &format!("{i}.jpg 1 2 3 4 5 6 7 8 9 10 {score}\n");
        }
        fs::write(folder.join("media"), media).unwrap();
        fs::write(folder.join("faces"), faces).unwrap();
        let media = MediaList::read(&folder.join("media")).unwrap();
        let faces = FaceList::read(&folder.join("faces"), &media).unwrap();
        (media, faces)
    }

    pub fn rows(embeddings: &[Vec<f32>]) -> impl FnMut(usize, &mut [f32]) -> Result<(), Infallible> {
        |image, into| {
            into.copy_from_slice(&embeddings[image]);
            Ok(())
        }
    }

    /// As it is written in the paper: mean over each medium, sum over the media, unit length.
    fn by_definition(images: &[(u32, u32, f32)], embeddings: &[Vec<f64>], id: u32) -> Vec<f64> {
        let mut media: Vec<u32> = images.iter().filter(|i| i.0 == id).map(|i| i.1).collect();
        media.sort_unstable();
        media.dedup();
        let mut sum = vec![0.0; embeddings[0].len()];
        for medium in media {
            let of: Vec<usize> =
                (0..images.len()).filter(|&i| (images[i].0, images[i].1) == (id, medium)).collect();
            for (k, sum) in sum.iter_mut().enumerate() {
                *sum += of.iter().map(|&i| embeddings[i][k]).sum::<f64>() / of.len() as f64;
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        sum.iter().map(|x| x / length).collect()
    }

    #[test]
    fn pooling_is_by_media() {
        let folder = tempfile::tempdir().unwrap();
        for seed in 0..20 {
            let mut stream = Stream::new(seed, Purpose::Pairs, 0, 0);
            let dim = 1 + stream.below(9);
            let images: Vec<(u32, u32, f32)> = (0..60)
                .map(|_| (stream.below(5) as u32 * 3, stream.below(4) as u32, stream.range(0.1, 1.0)))
                .collect();
            let embeddings: Vec<Vec<f32>> =
                (0..60).map(|_| (0..dim).map(|_| stream.normal() + 0.3).collect()).collect();
            let (media, faces) = lists(folder.path(), &images);
            for (norm, weighted) in
                [TemplateNorm::Keep, TemplateNorm::Unit].into_iter().flat_map(|n| [(n, false), (n, true)])
            {
                let used: Vec<Vec<f64>> = embeddings
                    .iter()
                    .zip(&faces.faces)
                    .map(|(embedding, face)| {
                        let length = length(embedding.iter().map(|&x| f64::from(x)));
                        let unit = if norm == TemplateNorm::Unit { 1.0 / length } else { 1.0 };
                        let score = if weighted { f64::from(face.score) } else { 1.0 };
                        embedding.iter().map(|&x| f64::from(x) * unit * score).collect()
                    })
                    .collect();
                let faces = weighted.then_some(&faces);
                let templates = Templates::pool(&media, norm, faces, dim, rows(&embeddings)).unwrap();
                assert_eq!((templates.pooled().norm, templates.pooled().detector_score), (norm, weighted));
                for (position, &id) in templates.ids().ids().iter().enumerate() {
                    for (x, y) in templates.vector(position).iter().zip(by_definition(&images, &used, id)) {
                        assert!((f64::from(*x) - y).abs() < 1e-7, "{norm} {weighted}: {x} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn errors_name_the_image_or_the_template() {
        let folder = tempfile::tempdir().unwrap();
        let (media, faces) = lists(folder.path(), &[(4, 1, 0.0), (9, 1, 1.0), (9, 2, 1.0)]);
        let pool = |norm, faces, dim, embeddings: &[f32]| {
            let row = |image: usize, into: &mut [f32]| -> Result<(), String> {
                into[0] = *embeddings.get(image).ok_or("the file ends")?;
                Ok(())
            };
            Templates::pool(&media, norm, faces, dim, row).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(pool(TemplateNorm::Keep, None, 1, &[1.0, 2.0, 3.0]), Ok(()));
        assert_eq!(pool(TemplateNorm::Keep, None, 1, &[1.0, 0.0, 3.0]), Ok(()));
        let errors = [
            (
                pool(TemplateNorm::Unit, None, 1, &[1.0, 0.0, 3.0]),
                "the embedding of 1.jpg is zero; the model is broken or diverged",
            ),
            (
                pool(TemplateNorm::Keep, None, 1, &[1.0, 1.0, f32::NAN]),
                "the embedding of 2.jpg is not finite; the model is broken or diverged",
            ),
            (
                pool(TemplateNorm::Keep, None, 1, &[1.0, 3.0, -3.0]),
                "the weighted images of template 9 sum to zero, which has no direction to compare",
            ),
            (
                pool(TemplateNorm::Keep, Some(&faces), 1, &[1.0, 2.0, 3.0]),
                "the weighted images of template 4 sum to zero, which has no direction to compare",
            ),
            (
                pool(TemplateNorm::Keep, None, 1, &[1.0, 2.0]),
                "there is no embedding of 2.jpg, image 3 of the list: the file ends",
            ),
            (
                pool(TemplateNorm::Keep, None, 0, &[]),
                "embeddings of 0 numbers for 2 templates: there must be 1 to 536870912 numbers in all",
            ),
        ];
        for (found, expected) in errors {
            assert_eq!(found.unwrap_err(), expected);
        }
        assert!(pool(TemplateNorm::Keep, None, usize::MAX, &[]).is_err());
    }
}
