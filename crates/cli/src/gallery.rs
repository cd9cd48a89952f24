//! Galleries of `facegrad identify`: made, brought up to date, and what is told of them.

use std::{collections::HashSet, ffi::OsString, path::Path};

use facegrad::Chosen;
use facegrad::embeddings::{Gallery, GalleryError, GalleryImages, GalleryRecord, Origin};
use facegrad::faces::FaceError;
use facegrad::pictures::Picture;
use facegrad::recognition::{
    Embedder, EmbeddingModel, GalleryState, ImageEmbeddings, ImageSet, Images, UnreadableImage, people_of,
};
use facegrad::verification::Flip;
use facegrad_files::{Moment, name_of, path_of};
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use crate::{
    arguments::BATCH,
    command_line,
    embedding_facts::origin_rows,
    failure::Failure,
    progress::{Stages, counted},
    source::image_set,
};

/// What makes the embeddings of a gallery.
pub struct GalleryMaker<'a> {
    pub model: &'a EmbeddingModel,
    pub chosen: &'a Chosen,
    pub batch: usize,
    pub flip: Flip,
}

impl GalleryMaker<'_> {
    /// The embeddings of all `images`.
    pub fn embed(&self, images: &dyn Images) -> Result<ImageEmbeddings, Failure> {
        let embedder = Embedder::model(self.model, self.batch, &self.chosen.description);
        Ok(embedder.embed(images, self.flip, &mut counted(images.len()))?)
    }

    /// A gallery of `images` that is not kept.
    pub fn make(&self, images: &ImageSet) -> Result<Gallery, Failure> {
        let ImageEmbeddings { rows, dim, images_sha256, .. } = self.embed(images)?;
        let origin = self.model.origin(self.flip, &self.chosen.description, Some(images_sha256));
        Ok(Gallery::new(dim, rows, images.names().to_vec(), people_of(images), origin)?)
    }

    /// A gallery of `images`, which are of `source` with the keys `settings`, to be kept, and what is to be told of that: what `before` has of them
    /// is not embedded again.
    pub fn make_to_keep(
        &self,
        images: &ImageSet,
        source: &Path,
        settings: &[String],
        before: Option<&Gallery>,
    ) -> Result<(Gallery, String), Failure> {
        // Whatever is written from now on is newer than the gallery.
        let made = Moment::now();
        let source = from_anywhere(source);
        let image_size = self.model.card.preprocessing.size;
        let mut stages = Stages::default();
        stages.show("images read", 0, images.len());
        let survey = images.survey(image_size, &mut |done| {
            stages.show("images read", done, images.len());
            true
        });
        stages.finish();
        let survey = survey.ok_or_else(|| Failure::input("stopped before any image was embedded"))?;
        if let Some(UnreadableImage { name, reason, .. }) = survey.unreadable.first() {
            return Err(Failure::input(format!("the image {name}: {reason}; every image is needed")));
        }
        let origin = self.model.origin(self.flip, &self.chosen.description, Some(survey.pixels_sha256));
        let people = people_of(images);
        let named = GalleryImages { names: images.names(), identities: &people };
        let continued = before.filter(|before| before.is_continued_by(&origin, self.batch));
        let (gallery, told) = match (continued, before) {
            (Some(before), _) => {
                let changes = before.changes(named, &survey.fingerprints);
                let fresh = (0..images.len()).filter(|image| changes.kept[*image].is_none()).collect();
                let embedded = self.embed(&SomeOf { images, indices: fresh })?;
                let gallery = before.updated(named, &changes, embedded.rows, origin)?;
                let other = before.record().map(|record| &record.source).filter(|of| **of != source);
                let other = other.map(|of| format!("; until now it was one of {of}")).unwrap_or_default();
                (gallery, format!("brought up to date, {changes}{other}"))
            }
            (None, before) => {
                let told = match before {
                    None => format!("{} images of the gallery", images.len()),
                    Some(before) => {
                        let (embedded, why) = (images.len(), why_anew(before, &origin));
                        format!("made anew, {embedded} images embedded: what was there {why}")
                    }
                };
                let ImageEmbeddings { rows, dim, .. } = self.embed(images)?;
                (Gallery::new(dim, rows, images.names().to_vec(), people.clone(), origin)?, told)
            }
        };
        let pixels = survey.fingerprints;
        let settings = settings.iter().map(|setting| match setting.strip_prefix("root=") {
            Some(root) => format!("root={}", from_anywhere(Path::new(root))),
            None => setting.clone(),
        });
        let settings = settings.collect();
        let record = GalleryRecord { made, source, settings, image_size, batch: self.batch, pixels };
        Ok((gallery.recorded(record)?, told))
    }
}

/// The name of a path that holds in every folder, as a gallery may be used from another one.
fn from_anywhere(path: &Path) -> String {
    name_of(&std::path::absolute(path).unwrap_or_else(|_| path.into()))
}

/// Why none of the embeddings of `before` can be kept, as a clause.
fn why_anew(before: &Gallery, origin: &Origin) -> String {
    match (before.record(), before.origin().difference(origin)) {
        (None, _) => "does not say of what images it was made".into(),
        (_, Some(difference)) => format!("was made in another way, {difference}"),
        _ => "was made on another backend or number of threads, by another version of facegrad, or with another --batch".into(),
    }
}

/// Some of a set of images.
struct SomeOf<'a> {
    images: &'a ImageSet,
    indices: Vec<usize>,
}

impl Images for SomeOf<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(self.indices[index])
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        self.images.load(self.indices[index], size)
    }
}

/// Whether a path is that of a file which may be a gallery.
pub fn is_gallery_file(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "safetensors")
}

/// The gallery at the place where one is to be kept, if there is one: anything else is not written over.
pub fn before(place: &Path) -> Result<Option<Gallery>, Failure> {
    if place.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Failure::input(format!(
            "--save {}: an index is kept in a file that ends in .safetensors",
            place.display()
        )));
    }
    if !place.exists() {
        return Ok(None);
    }
    Gallery::open(place).map(Some).map_err(|error| {
        let why = match error {
            GalleryError::NoGallery { problem, .. } => problem,
            other => other.to_string(),
        };
        Failure::input(format!(
            "--save {}: a file of that name is there and is no gallery ({why}); it is left as it is, so remove it or name another",
            place.display()
        ))
    })
}

/// What is known of a gallery in a file, and how it stands to its images.
pub struct GalleryFacts<'a> {
    pub path: &'a Path,
    pub gallery: &'a Gallery,
    pub state: GalleryState,
}

impl<'a> GalleryFacts<'a> {
    /// Looks at the images that it was made of.
    pub fn of(path: &'a Path, gallery: &'a Gallery) -> Self {
        let open = |record: &GalleryRecord| image_set(&path_of(&record.source), &record.settings, None);
        Self { path, gallery, state: GalleryState::of(gallery, open) }
    }

    /// When and of what it was made, as one line.
    pub fn line(&self) -> String {
        let (images, people) = (self.gallery.len(), people_in(self.gallery.identities()));
        let made = match self.gallery.record() {
            None => "which do not say when and of what they were made".into(),
            Some(record) => format!("made {} of {}, {}", record.made.in_words(), record.source, self.state),
        };
        format!("{}: {images} images of {people} people, {made}", self.path.display())
    }

    /// The command that brings it up to date with `model`, where it is not.
    pub fn renewal(&self, model: &Path) -> Option<String> {
        let (GalleryState::Changed { .. }, Some(record)) = (&self.state, self.gallery.record()) else {
            return None;
        };
        let source = path_of(&record.source);
        let mut words: Vec<OsString> = vec!["facegrad".into(), "identify".into(), source.into()];
        words.extend(["--model".into(), model.into(), "--save".into(), self.path.into()]);
        for setting in &record.settings {
            words.extend(["--set".into(), setting.into()]);
        }
        if record.batch != usize::from(BATCH) {
            words.extend(["--batch".into(), record.batch.to_string().into()]);
        }
        Some(command_line::quoted(words))
    }

    /// All of it; `record` is null where the file does not say.
    pub fn to_json(&self) -> Value {
        let record = self.gallery.record().map(|record| {
            json!({
                "made": record.made, "source": record.source, "settings": record.settings, "image_size": record.image_size,
                "batch": record.batch, "images": self.state,
            })
        });
        to_json(self.path, self.gallery, record)
    }

    /// All of it as a table.
    pub fn to_text(&self) -> String {
        let gallery = self.gallery;
        let mut table = TextTable::new(&[Align::Left]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("gallery", name_of(self.path));
        row("images", format!("{} of {} people", gallery.len(), people_in(gallery.identities())));
        match gallery.record() {
            None => row("made", "not known: the file does not say when and of what".into()),
            Some(record) => {
                row("made", record.made.in_words());
                row("of", format!("{}, {}", record.source, self.state));
            }
        }
        origin_rows(&mut table, gallery.dim(), gallery.origin());
        table.to_string().trim_end().to_owned()
    }
}

/// A gallery as JSON.
pub fn to_json(path: &Path, gallery: &Gallery, record: Option<Value>) -> Value {
    json!({
        "path": name_of(path), "images": gallery.len(), "people": people_in(gallery.identities()), "origin": gallery.origin(),
        "record": record,
    })
}

/// How many people there are, by who is on each image.
pub fn people_in(identities: &[String]) -> usize {
    identities.iter().collect::<HashSet<_>>().len()
}
