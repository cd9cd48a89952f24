//! The people that a probe is compared with.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use facegrad_verification::Similarity;
use rayon::prelude::*;

use crate::{
    EmbeddingError, EmbeddingFile, Origin,
    error::Problem,
    file::check_labels,
    formats::safetensors::{self, Opened, PIXELS},
    gallery_record::{GalleryChanges, GalleryImages, GalleryRecord},
    limits::check_loaded,
    stored::Set,
    writer::{Target, rows_to_bytes},
};

/// The version of the file; another is refused.
const FORMAT: &str = "1";

/// How far the length of an embedding in the file may be from 1: what rounding to f32 leaves, and more.
const UNIT: f64 = 1e-3;

/// Embeddings of known people, by one model, to find a probe among.
///
/// Made of images by `facegrad identify`, it has a [`GalleryRecord`] of when and of what, by which it is brought up to
/// date.
///
/// A gallery file is a `.safetensors` file of embeddings (so every tool that reads these reads it, too) with
/// `facegrad = gallery` in its metadata. Where embeddings are compared by their cosine they have length 1; where
/// they are compared by their distance their length counts, and they are as they leave the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Gallery {
    dim: usize,
    embeddings: Vec<f32>,
    names: Vec<String>,
    identities: Vec<String>,
    origin: Origin,
    model_sha256: String,
    record: Option<GalleryRecord>,
}

/// An embedding of the gallery, and how alike it is to the probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The name of its image.
    pub name: String,
    /// Who is on the image.
    pub identity: String,
    /// The score by the rule of the model; larger is more alike.
    pub score: f64,
}

/// Why a gallery cannot be made, read or searched.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum GalleryError {
    /// Its file cannot be read or written.
    #[error(transparent)]
    File(#[from] EmbeddingError),
    /// The file is another one.
    #[error("{} is not a gallery: {problem}", path.display())]
    NoGallery { path: PathBuf, problem: String },
    /// What it is to be made of does not go together.
    #[error("there can be no gallery of these embeddings: {problem}")]
    Content { problem: String },
    /// The embeddings to compare are of another model.
    #[error(
        "the gallery was made with the model whose SHA-256 is {gallery} and the probe with {probe}; their embeddings cannot be compared: make the gallery again with the model of the probe"
    )]
    OtherModel { gallery: String, probe: String },
    /// The embeddings to compare were made in another way.
    #[error("the gallery was made with {what} {gallery} and the probe with {probe}; use the same for both")]
    OtherSwitch { what: &'static str, gallery: String, probe: String },
    /// The probe cannot be compared.
    #[error("the embedding of the probe {problem}")]
    Probe { problem: String },
}

impl Gallery {
    /// A gallery of embeddings.
    ///
    /// # Shapes
    /// - `embeddings`: `[names.len(), dim]`, row by row, as they leave the network after flip fusion
    /// - `names` (no two the same), `identities`: one for each row
    ///
    /// # Errors
    /// If these do not go together, `origin` names no model, or an embedding is not finite, or zero where the
    /// cosine is compared.
    pub fn new(
        dim: usize,
        mut embeddings: Vec<f32>,
        names: Vec<String>,
        identities: Vec<String>,
        origin: Origin,
    ) -> Result<Self, GalleryError> {
        let content = |problem: String| GalleryError::Content { problem };
        let check = || {
            check_loaded(names.len(), dim)?;
            check_labels(&names, Some(&identities))
        };
        check().map_err(|problem: Problem| content(problem.to_string()))?;
        if embeddings.len() != names.len() * dim {
            let (numbers, rows) = (embeddings.len(), names.len());
            return Err(content(format!("{numbers} numbers are not {rows} embeddings of {dim}")));
        }
        let model_sha256 = origin.model_sha256.clone();
        let model_sha256 =
            model_sha256.ok_or_else(|| content("the model they come from is unknown".into()))?;
        for (row, name) in embeddings.chunks_mut(dim).zip(&names) {
            prepare(origin.scoring, row).map_err(|problem| content(format!("that of {name:?} {problem}")))?;
        }
        let origin =
            Origin { normalised: origin.normalised || origin.scoring == Similarity::Cosine, ..origin };
        Ok(Self { dim, embeddings, names, identities, origin, model_sha256, record: None })
    }

    /// A gallery of `images`, with the embeddings of this one for those that it has already: the same as
    /// [`Gallery::new`] of all embeddings.
    ///
    /// # Shapes
    /// - `changes`: what [`changes`](Self::changes) says of `images`
    /// - `embeddings`: `[changes.to_embed(), dim]`, of the images that are not kept, in their order, as they leave the
    ///   network after flip fusion
    ///
    /// # Errors
    /// Like [`Gallery::new`].
    pub fn updated(
        &self,
        images: GalleryImages<'_>,
        changes: &GalleryChanges,
        embeddings: Vec<f32>,
        origin: Origin,
    ) -> Result<Self, GalleryError> {
        let dim = self.dim;
        let names_of = |kept: bool| {
            let wanted = images.names.iter().zip(&changes.kept).filter(move |(_, row)| row.is_some() == kept);
            wanted.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let embedded = names_of(false);
        let fresh = Self::new(dim, embeddings, embedded.clone(), embedded, origin)?;
        let mut next = 0;
        let mut rows = Vec::with_capacity(images.names.len() * dim);
        for kept in &changes.kept {
            let (of, row) = match kept {
                Some(row) => (&self.embeddings, *row),
                None => {
                    next += 1;
                    (&fresh.embeddings, next - 1)
                }
            };
            rows.extend_from_slice(&of[row * dim..(row + 1) * dim]);
        }
        check_labels(images.names, Some(images.identities))
            .map_err(|problem| GalleryError::Content { problem: problem.to_string() })?;
        let (names, identities) = (images.names.to_vec(), images.identities.to_vec());
        Ok(Self { embeddings: rows, names, identities, ..fresh })
    }

    /// The same with the record of how it was made.
    ///
    /// # Errors
    /// If that is not of as many images.
    pub fn recorded(self, record: GalleryRecord) -> Result<Self, GalleryError> {
        let (recorded, images) = (record.pixels.len(), self.names.len());
        if recorded != images {
            let problem = format!("its record is of {recorded} images and it has {images}");
            return Err(GalleryError::Content { problem });
        }
        Ok(Self { record: Some(record), ..self })
    }

    /// How it was made, where the file says so.
    pub fn record(&self) -> Option<&GalleryRecord> {
        self.record.as_ref()
    }

    /// Whether embeddings of `origin`, computed so many images at a time, are those that stand in the gallery where the
    /// pixels are the same.
    pub fn is_continued_by(&self, origin: &Origin, batch: usize) -> bool {
        let of_rows = |origin: &Origin| Origin { pixels_sha256: None, normalised: false, ..origin.clone() };
        self.record.as_ref().is_some_and(|record| record.batch == batch)
            && of_rows(&self.origin) == of_rows(origin)
    }

    /// What is different about `images`, with `pixels` for each; all are new to a gallery without a record.
    pub fn changes(&self, images: GalleryImages<'_>, pixels: &[u64]) -> GalleryChanges {
        let recorded = self.record.as_ref().map_or(&[][..], |record| &record.pixels);
        let rows: HashMap<&str, (usize, u64)> = self
            .names
            .iter()
            .zip(recorded)
            .enumerate()
            .map(|(row, (name, pixels))| (name.as_str(), (row, *pixels)))
            .collect();
        let mut changes =
            GalleryChanges { images: images.names.len(), gone: self.names.len(), ..Default::default() };
        for (i, name) in images.names.iter().enumerate() {
            let kept = match rows.get(name.as_str()) {
                None => {
                    changes.new += 1;
                    None
                }
                Some((row, before)) => {
                    changes.gone -= 1;
                    let same = pixels.get(i) == Some(before);
                    let same_person = images.identities.get(i) == self.identities.get(*row);
                    changes.changed += usize::from(!same || !same_person);
                    same.then_some(*row)
                }
            };
            changes.kept.push(kept);
        }
        changes
    }

    /// Reads a gallery file.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or is not a gallery of this version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GalleryError> {
        let path = path.as_ref();
        let reading = |problem: Problem| GalleryError::File(problem.reading(path));
        let opened =
            facegrad_files::open(path).map_err(Problem::from).and_then(safetensors::open).map_err(reading)?;
        let Opened { embeddings: opened, metadata, pixels } = opened;
        let not = |problem: String| GalleryError::NoGallery { path: path.into(), problem };
        let of = |key: &str| metadata.get(key).map(String::as_str);
        if of("facegrad") != Some("gallery") {
            return Err(not(
                "its metadata lack facegrad = gallery; facegrad identify writes galleries".into()
            ));
        }
        if of("gallery_format") != Some(FORMAT) {
            let found = of("gallery_format").unwrap_or("none");
            return Err(not(format!(
                "it has gallery format {found:?} and this facegrad reads format {FORMAT:?}"
            )));
        }
        check_loaded(opened.names.len(), opened.dim).map_err(reading)?;
        let file = EmbeddingFile::of(path, opened)?;
        let identities = file.identities().ok_or_else(|| not("it has no identities".into()))?.to_vec();
        let origin = file.origin().cloned().ok_or_else(|| not("it has no origin".into()))?;
        let model_sha256 =
            origin.model_sha256.clone().ok_or_else(|| not("its origin names no model".into()))?;
        let (dim, embeddings, names) = (file.dim(), file.all()?, file.names().to_vec());
        if origin.scoring == Similarity::Cosine {
            let odd = embeddings.chunks(dim).position(|row| (dot(row, row).sqrt() - 1.0).abs() > UNIT);
            if let Some(row) = odd {
                return Err(not(format!("the embedding of {:?} is not of length 1", names[row])));
            }
        }
        let record = of("made").map(|json| GalleryRecord::parse(json, pixels)).transpose().map_err(not)?;
        Ok(Self { dim, embeddings, names, identities, origin, model_sha256, record })
    }

    /// Writes the gallery to `path`, which ends in `.safetensors`, completely or not at all.
    ///
    /// # Errors
    /// If the extension is another, or the file system refuses.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), GalleryError> {
        let path = path.as_ref();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            let problem = Problem::content("a gallery is kept in a file that ends in .safetensors");
            return Err(problem.writing(path, &[]).into());
        }
        let mut bytes = Vec::with_capacity(self.embeddings.len() * 4);
        let collected = rows_to_bytes(&self.embeddings, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        });
        collected.map_err(|error| Problem::from(error).writing(path, &[]))?;
        let mut set = Set {
            dim: self.dim,
            names: &self.names,
            identities: Some(&self.identities),
            origin: Some(&self.origin),
            rows: &mut bytes.as_slice(),
        };
        let (made, pixels) = self.record.as_ref().map(GalleryRecord::written).unzip();
        let mut metadata = vec![("facegrad", "gallery"), ("gallery_format", FORMAT)];
        metadata.extend(made.as_deref().map(|made| ("made", made)));
        let more: Vec<(&str, &[String])> = pixels.iter().map(|pixels| (PIXELS, &pixels[..])).collect();
        let write = |set: &mut Set<'_>, file: &mut _| safetensors::write(set, file, &metadata, &more);
        Ok(Target::create(path)?.write(&self.names, &mut set, write)?)
    }

    /// How many embeddings there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many numbers an embedding has.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The names of the images.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Who is on each image.
    pub fn identities(&self) -> &[String] {
        &self.identities
    }

    /// Where the embeddings come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Refuses probes of another model, or made in another way.
    ///
    /// # Errors
    /// If the model, the flip fusion, the score, or the preprocessing where both name one, are not those of the gallery.
    pub fn check(&self, probe: &Origin) -> Result<(), GalleryError> {
        let model = probe.model_sha256.as_deref().unwrap_or("not known");
        if !model.eq_ignore_ascii_case(&self.model_sha256) {
            let (gallery, probe) = (self.model_sha256.clone(), model.into());
            return Err(GalleryError::OtherModel { gallery, probe });
        }
        let own = &self.origin;
        let prepared = own.preprocessing.as_deref().zip(probe.preprocessing.as_deref());
        let (what, gallery, probe) = if own.flip != probe.flip {
            ("flip fusion", own.flip.to_string(), probe.flip.to_string())
        } else if let Some((gallery, probe)) = prepared.filter(|(gallery, probe)| gallery != probe) {
            ("preprocessing", format!("{gallery:?}"), format!("{probe:?}"))
        } else if own.scoring != probe.scoring {
            ("score", own.scoring.to_string(), probe.scoring.to_string())
        } else {
            return Ok(());
        };
        Err(GalleryError::OtherSwitch { what, gallery, probe })
    }

    /// The `top` embeddings most like the probe, best first, ties by name.
    ///
    /// # Shapes
    /// - `probe`: `[dim]`, as it leaves the network after flip fusion
    ///
    /// # Errors
    /// If the probe is of another length, not finite, or zero where the cosine is compared.
    pub fn search(&self, probe: &[f32], top: usize) -> Result<Vec<Match>, GalleryError> {
        if probe.len() != self.dim {
            let (found, dim) = (probe.len(), self.dim);
            let problem = format!("has {found} numbers and those of the gallery {dim}");
            return Err(GalleryError::Probe { problem });
        }
        let mut probe = probe.to_vec();
        prepare(self.origin.scoring, &mut probe)
            .map_err(|problem| GalleryError::Probe { problem: problem.into() })?;
        let score = |row: &[f32]| match self.origin.scoring {
            Similarity::Cosine => dot(row, &probe).clamp(-1.0, 1.0),
            Similarity::Euclidean => -distance(row, &probe),
        };
        let mut best: Vec<(f64, usize)> = self
            .embeddings
            .par_chunks(self.dim)
            .enumerate()
            .map(|(row, numbers)| (score(numbers), row))
            .collect();
        let order = |a: &(f64, usize), b: &(f64, usize)| -> Ordering {
            b.0.total_cmp(&a.0).then_with(|| self.names[a.1].cmp(&self.names[b.1]))
        };
        if top < best.len() {
            best.select_nth_unstable_by(top, order);
            best.truncate(top);
        }
        best.sort_unstable_by(order);
        let named = |(score, row): (f64, usize)| Match {
            name: self.names[row].clone(),
            identity: self.identities[row].clone(),
            score,
        };
        Ok(best.into_iter().map(named).collect())
    }

    /// The `top` people most like the probe, best first, each with their image most like it, ties by its name.
    ///
    /// # Shapes
    /// - `probe`: `[dim]`, as it leaves the network after flip fusion
    ///
    /// # Errors
    /// Like [`search`](Self::search).
    pub fn identify(&self, probe: &[f32], top: usize) -> Result<Vec<Match>, GalleryError> {
        let mut searched = top.saturating_mul(4);
        loop {
            let mut seen = HashSet::new();
            let mut people = self.search(probe, searched)?;
            people.retain(|found| seen.insert(found.identity.clone()));
            if people.len() >= top || searched >= self.len() {
                people.truncate(top);
                return Ok(people);
            }
            searched = searched.saturating_mul(4);
        }
    }
}

/// Brings an embedding to length 1 where only its direction counts.
fn prepare(scoring: Similarity, row: &mut [f32]) -> Result<(), &'static str> {
    // The square of any finite f32 is neither infinite nor zero in f64.
    let length = dot(row, row).sqrt();
    if !length.is_finite() {
        return Err("is not finite; the model is broken or diverged");
    }
    if scoring == Similarity::Cosine {
        if length == 0.0 {
            return Err("is zero, so it has no direction to compare; the model is broken or diverged");
        }
        row.iter_mut().for_each(|number| *number = (f64::from(*number) / length) as f32);
    }
    Ok(())
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use facegrad_verification::Flip;

    use super::*;
    use crate::origin;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    fn gallery(scoring: Similarity) -> Gallery {
        let embeddings = vec![3.0, 0.0, 0.0, 2.0, 1.0, 1.0, 5.0, 0.0];
        let (names, identities) =
            (strings(&["b.jpg", "c.jpg", "d.jpg", "a.jpg"]), strings(&["x", "y", "y", "x"]));
        Gallery::new(2, embeddings, names, identities, Origin { scoring, ..origin::example() }).unwrap()
    }

    fn found(matches: &[Match]) -> Vec<(&str, &str, f64)> {
        matches.iter().map(|m| (m.name.as_str(), m.identity.as_str(), m.score)).collect()
    }

    #[test]
    fn the_best_come_first_and_ties_by_name() {
        let gallery = gallery(Similarity::Cosine);
        let matches = gallery.search(&[10.0, 0.0], 10).unwrap();
        let cos45 = f64::from(0.5_f32.sqrt());
        assert_eq!(
            found(&matches),
            [("a.jpg", "x", 1.0), ("b.jpg", "x", 1.0), ("d.jpg", "y", cos45), ("c.jpg", "y", 0.0)]
        );
        for top in 0..4 {
            assert_eq!(gallery.search(&[10.0, 0.0], top).unwrap(), matches[..top]);
        }
    }

    #[test]
    fn people_come_once_with_their_best_image() {
        // Person i has images that get less alike with their number; whoever has more comes first.
        let (dim, people) = (2, 30);
        let (mut rows, mut names, mut identities) = (Vec::new(), Vec::new(), Vec::new());
        for person in 0..people {
            for image in 0..people - person {
                let angle = 0.03 * person as f32 + 0.001 * image as f32;
                rows.extend([angle.cos(), angle.sin()]);
                names.push(format!("{person:02}/{image:02}"));
                identities.push(format!("p{person}"));
            }
        }
        let gallery = Gallery::new(dim, rows, names, identities, origin::example()).unwrap();
        let probe = [1.0, 0.0];
        let mut all = gallery.search(&probe, usize::MAX).unwrap();
        all.dedup_by(|later, earlier| later.identity == earlier.identity);
        for top in [0, 1, 2, 7, 30, 1000] {
            let found = gallery.identify(&probe, top).unwrap();
            assert_eq!(found[..], all[..top.min(people)], "{top}");
            for (person, found) in found.iter().enumerate() {
                assert_eq!(found.name, format!("{person:02}/00"));
            }
        }
        assert!(gallery.identify(&[0.0, 0.0], 1).is_err());
    }

    #[test]
    fn where_the_distance_counts_lengths_do() {
        let matches = gallery(Similarity::Euclidean).search(&[5.0, 0.0], 3).unwrap();
        assert_eq!(
            found(&matches),
            [("a.jpg", "x", 0.0), ("b.jpg", "x", -2.0), ("d.jpg", "y", -f64::sqrt(17.0))]
        );
    }

    #[test]
    fn probes_that_cannot_be_compared_are_refused() {
        let error = |probe: &[f32]| gallery(Similarity::Cosine).search(probe, 1).unwrap_err().to_string();
        assert_eq!(error(&[1.0]), "the embedding of the probe has 1 numbers and those of the gallery 2");
        assert!(error(&[0.0, 0.0]).contains("is zero"));
        assert!(error(&[f32::NAN, 0.0]).contains("not finite"));
        assert!(gallery(Similarity::Euclidean).search(&[0.0, 0.0], 1).is_ok());

        let gallery = gallery(Similarity::Cosine);
        let (model, other) = ("ab".repeat(32), "cd".repeat(32));
        let refused = |change: fn(&mut Origin)| {
            let mut probe = origin::example();
            change(&mut probe);
            gallery.check(&probe).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(|_| {}), "");
        assert_eq!(refused(|probe| probe.preprocessing = None), "");
        assert_eq!(refused(|probe| probe.model_sha256 = Some("AB".repeat(32))), "");
        assert_eq!(refused(|probe| probe.backend = "wgpu".into()), "");
        let error = refused(|probe| probe.model_sha256 = Some("cd".repeat(32)));
        assert!(error.contains(&model) && error.contains(&other), "{error}");
        assert!(refused(|probe| probe.model_sha256 = None).contains("and the probe with not known"));
        let error = refused(|probe| probe.flip = Flip::None);
        assert!(error.contains("flip fusion add and the probe with none"), "{error}");
        assert!(refused(|probe| probe.preprocessing = Some("224 x 224".into())).contains("preprocessing"));
        let error = refused(|probe| probe.scoring = Similarity::Euclidean);
        assert!(error.contains("score cosine and the probe with euclidean"), "{error}");
    }

    #[test]
    fn what_makes_no_gallery() {
        let make = |embeddings: &[f32], names: &[&str], identities: &[&str], origin| {
            let (names, identities) = (strings(names), strings(identities));
            Gallery::new(2, embeddings.to_vec(), names, identities, origin).unwrap_err().to_string()
        };
        let origin = origin::example;
        assert!(make(&[0.0, 0.0], &["a"], &["x"], origin()).contains("\"a\" is zero"));
        assert!(make(&[f32::NAN, 0.0], &["a"], &["x"], origin()).contains("\"a\" is not finite"));
        assert!(make(&[1.0; 3], &["a"], &["x"], origin()).contains("3 numbers"));
        assert!(make(&[1.0; 4], &["a", "a"], &["x", "y"], origin()).contains("both named \"a\""));
        assert!(make(&[1.0; 4], &["a", "b"], &["x"], origin()).contains("2 names and 1 identities"));
        assert!(
            make(&[1.0; 2], &["a"], &["x"], Origin { model_sha256: None, ..origin() }).contains("unknown")
        );
    }

    #[test]
    fn a_gallery_is_saved_and_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gallery.safetensors");
        for scoring in [Similarity::Cosine, Similarity::Euclidean] {
            gallery(scoring).save(&path).unwrap();
            assert_eq!(Gallery::open(&path).unwrap(), gallery(scoring));
            // It is a file of embeddings as well.
            assert_eq!(EmbeddingFile::open(&path).unwrap().names(), gallery(scoring).names());
        }
        assert!(gallery(Similarity::Cosine).save(folder.path().join("gallery.npz")).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    fn recorded(gallery: Gallery, pixels: &[u64]) -> Gallery {
        let record = GalleryRecord {
            made: "2026-11-29T12:05:31Z".parse().unwrap(),
            source: "/photos/Zoë".into(),
            settings: vec!["min_images=2".into()],
            image_size: [112, 96],
            batch: 32,
            pixels: pixels.to_vec(),
        };
        gallery.recorded(record).unwrap()
    }

    #[test]
    fn a_gallery_says_when_and_of_what_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gallery.safetensors");
        let made = recorded(gallery(Similarity::Cosine), &[1, 0, u64::MAX, 7]);
        made.save(&path).unwrap();
        assert_eq!(Gallery::open(&path).unwrap(), made);
        assert_eq!(EmbeddingFile::open(&path).unwrap().names(), made.names());
        let other = recorded(gallery(Similarity::Cosine), &[1, 0, u64::MAX, 7]);
        assert!(other.recorded(GalleryRecord { pixels: vec![1], ..made.record().unwrap().clone() }).is_err());
        let whole = std::fs::read(&path).unwrap();
        for (from, to, sentence) in [
            ("2026-11-29T", "2026-13-29T", "no moment of the form"),
            ("\\\"batch\\\"", "\\\"botch\\\"", "its record is not one that facegrad writes"),
            (
                "\"ffffffffffffffff\"",
                "\"ffffffffffffffxx\"",
                "its record is not one that facegrad writes: \"ffffffffffffffxx\" tells no",
            ),
            ("\"pixels\"", "\"pexels\"", "its record says nothing of the pixels"),
        ] {
            let at = whole.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
            let mut bytes = whole.clone();
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            std::fs::write(&path, bytes).unwrap();
            let error = Gallery::open(&path).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}\nshould say\n{sentence}");
        }
    }

    #[test]
    fn what_is_new_changed_or_gone_is_found_and_the_rest_kept() {
        let all =
            [("b.jpg", [3.0, 0.1]), ("c.jpg", [0.0, 2.0]), ("d.jpg", [1.0, 1.3]), ("a.jpg", [5.0, 0.7])];
        let people = ["x", "y", "y", "x"];
        let made = |which: &[usize], pixels: &[u64]| {
            let rows = which.iter().flat_map(|&i| all[i].1).collect();
            let names = which.iter().map(|&i| all[i].0.to_owned()).collect();
            let identities = which.iter().map(|&i| people[i].to_owned()).collect();
            recorded(Gallery::new(2, rows, names, identities, origin::example()).unwrap(), pixels)
        };
        let old = made(&[0, 1, 2], &[10, 11, 12]);
        // b.jpg is gone, c.jpg another picture, d.jpg as it was, a.jpg new.
        let new = made(&[1, 2, 3], &[99, 12, 13]);
        let images = GalleryImages { names: new.names(), identities: new.identities() };
        let changes = old.changes(images, &[99, 12, 13]);
        assert_eq!((changes.kept.clone(), changes.to_embed()), (vec![None, Some(2), None], 2));
        assert_eq!(changes.to_string(), "3 images: 1 new, 1 changed, 1 gone, 1 kept");
        let embedded = [all[1].1, all[3].1].concat();
        let updated = old.updated(images, &changes, embedded, origin::example()).unwrap();
        assert_eq!(updated.recorded(new.record().unwrap().clone()).unwrap(), new);
        assert!(!changes.is_none());
        let same =
            old.changes(GalleryImages { names: old.names(), identities: old.identities() }, &[10, 11, 12]);
        assert!(same.is_none() && same.to_embed() == 0, "{same}");
        // Another person's, the embedding is the same and the gallery is not.
        let others = strings(&["x", "x", "y"]);
        let moved = old.changes(GalleryImages { names: old.names(), identities: &others }, &[10, 11, 12]);
        assert_eq!(moved.to_string(), "3 images: 0 new, 1 changed, 0 gone, 2 kept");
        assert_eq!(moved.to_embed(), 0);
        // Without a record nothing can be kept.
        let bare = Gallery { record: None, ..old.clone() };
        let all_new = bare.changes(images, &[99, 12, 13]);
        assert_eq!(all_new.to_embed(), 3);

        let origin = origin::example();
        assert!(old.is_continued_by(&origin, 32) && !old.is_continued_by(&origin, 16));
        assert!(!bare.is_continued_by(&origin, 32));
        let pixels = Origin { pixels_sha256: Some("ef".repeat(32)), ..origin.clone() };
        assert!(old.is_continued_by(&pixels, 32));
        for other in [
            Origin { backend: "wgpu".into(), ..origin.clone() },
            Origin { facegrad: "0.2.0".into(), ..origin.clone() },
            Origin { model_sha256: None, ..origin.clone() },
        ] {
            assert!(!old.is_continued_by(&other, 32), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_gallery_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gallery.safetensors");
        let error = || Gallery::open(&path).unwrap_err().to_string();
        assert!(error().contains("cannot read"), "{}", error());
        let mut writer = crate::EmbeddingWriter::create(&path, 1, None).unwrap();
        writer.append(&strings(&["a"]), None, &[2.0]).unwrap();
        writer.finish().unwrap();
        assert!(error().contains("is not a gallery: its metadata lack"), "{}", error());

        gallery(Similarity::Cosine).save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let swap = |from: &str, to: &str| {
            let at = whole.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
            let mut bytes = whole.clone();
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            std::fs::write(&path, bytes).unwrap();
        };
        swap(r#""gallery_format":"1""#, r#""gallery_format":"2""#);
        assert!(error().contains(r#"gallery format "2""#), "{}", error());
        // The rows, 4 x 2 numbers, lie behind the header and before the names.
        let header = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize + 8;
        for (number, sentence) in [(f32::NAN, "not finite"), (0.5, "\"b.jpg\" is not of length 1")] {
            let mut bytes = whole.clone();
            bytes[header..header + 4].copy_from_slice(&number.to_le_bytes());
            std::fs::write(&path, bytes).unwrap();
            assert!(error().contains(sentence), "{}", error());
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Gallery::open(&path).is_err(), "{length}");
        }
    }
}
