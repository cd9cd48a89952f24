//! Images in a fixed order, by name, as protocols and commands ask for their embeddings.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use facegrad_faces::{FaceError, FaceSource, find_image, without_extension};
use facegrad_files::{LookAlike, name_of, path_of};
use facegrad_pictures::{Picture, decode::read_at_least};

/// Images in a fixed order.
pub trait Images: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What image `index` is called, in results and in files of embeddings.
    fn name(&self, index: usize) -> String;

    /// What is to be told of how the images were found, a sentence.
    fn remark(&self) -> Option<String> {
        None
    }

    /// Decodes image `index` as training does, at least as large as `size` (height, width) where the original is; the
    /// caller resizes.
    ///
    /// # Errors
    /// Why the image cannot be used.
    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError>;
}

/// Files, called as a list calls them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFiles {
    names: Vec<String>,
    /// None where there is no such image.
    files: Vec<Option<PathBuf>>,
}

/// Images of a list that are not there; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImages {
    /// What the list calls them.
    pub names: Vec<String>,
    /// Whether each image of the list is missing.
    pub is_missing: Vec<bool>,
    /// What is there and looks like the first.
    pub alike: Option<LookAlike>,
    /// What the set calls one of its images, where they are not files that lists name by their paths.
    pub example: Option<String>,
}

/// So many of the images that are missing are named.
const NAMED: usize = 3;

impl MissingImages {
    /// Those of `names` that are missing, if there are any; `example` is what the set calls one of its images, if these are
    /// no files.
    pub(crate) fn of(names: &[String], is_missing: Vec<bool>, example: Option<String>) -> Option<Self> {
        let missing = names.iter().zip(&is_missing).filter(|(_, missing)| **missing);
        let names: Vec<String> = missing.map(|(name, _)| name.clone()).collect();
        (!names.is_empty()).then_some(Self { names, is_missing, example, alike: None })
    }

    /// How many there should be.
    pub fn total(&self) -> usize {
        self.is_missing.len()
    }

    /// Whether none is there.
    pub fn are_all(&self) -> bool {
        self.names.len() == self.total()
    }

    /// The first by name, and how many more there are, such as `a/1.jpg, b/2.jpg, c/3.jpg and 4 more`.
    pub(crate) fn named(&self) -> String {
        let shown = &self.names[..self.names.len().min(NAMED)];
        match (shown, self.names.len() - shown.len()) {
            ([one], 0) => one.clone(),
            ([before @ .., last], 0) => format!("{} and {last}", before.join(", ")),
            (all, more) => format!("{} and {more} more", all.join(", ")),
        }
    }

    /// That there are no such images, with what was tried to find the first.
    pub(crate) fn not_there(&self) -> String {
        let images = if self.names.len() == 1 { "image" } else { "images" };
        let tried = match (&self.example, self.names.first().and_then(|first| without_extension(first))) {
            (Some(example), _) => format!("it calls them such as {example:?}"),
            (None, Some(_)) => "nor one with another ending".into(),
            (None, None) => "tried .jpg, .png and the like".into(),
        };
        format!("no such {images} ({tried})")
    }

    /// How many of how many.
    pub(crate) fn count(&self) -> String {
        let (missing, total) = (self.names.len(), self.total());
        format!("{missing} of its {total} images {} missing", if missing == 1 { "is" } else { "are" })
    }
}

impl ImageFiles {
    /// The images that `names` names below `folder`, by path with or without its extension; those that are not there cannot be
    /// loaded, and are told.
    pub fn search(folder: &Path, names: &[String]) -> (Self, Option<MissingImages>) {
        let files: Vec<Option<PathBuf>> = names.iter().map(|name| find_image(folder, name)).collect();
        let is_missing = files.iter().map(Option::is_none).collect();
        let missing = MissingImages::of(names, is_missing, None).map(|missing| {
            let alike = LookAlike::of_missing(&folder.join(path_of(&missing.names[0])));
            MissingImages { alike, ..missing }
        });
        (Self { names: names.to_vec(), files }, missing)
    }

    /// The file of image `index`.
    ///
    /// # Errors
    /// If there is no such image.
    pub fn file(&self, index: usize) -> Result<&Path, FaceError> {
        let not_there =
            || FaceError { name: self.names[index].clone(), reason: "there is no such image".into() };
        self.files[index].as_deref().ok_or_else(not_there)
    }

    /// Each name with its file.
    pub fn new(images: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let (names, files) = images.into_iter().map(|(name, file)| (name, Some(file))).unzip();
        Self { names, files }
    }
}

impl Images for ImageFiles {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, index: usize) -> String {
        self.names[index].clone()
    }

    fn remark(&self) -> Option<String> {
        let found = |(name, file)| Option::as_ref(file).map(|file: &PathBuf| (name, file));
        let is_other = |(name, file): &(&String, &PathBuf)| {
            let file = name_of(file);
            let stem = without_extension(&file).unwrap_or(&file);
            !file.ends_with(name.as_str()) && !stem.ends_with(name.as_str())
        };
        let mut others = self.names.iter().zip(&self.files).filter_map(found).filter(is_other);
        let (name, file) = others.next()?;
        let (number, total) = (others.count() + 1, self.names.len());
        let have = if number == 1 { "has" } else { "have" };
        Some(format!(
            "Of {total} images, {number} {have} another ending or number than the list says, such as {} for {name}.",
            name_of(file)
        ))
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let file = self.file(index)?;
        read_at_least(file, size)
            .map_err(|error| FaceError { name: name_of(file), reason: error.to_string() })
    }
}

/// Names without images, whose embeddings are at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageNames(pub Vec<String>);

impl Images for ImageNames {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> String {
        self.0[index].clone()
    }

    fn load(&self, index: usize, _size: [usize; 2]) -> Result<Picture, FaceError> {
        Err(FaceError { name: self.name(index), reason: "only its embedding is at hand".into() })
    }
}

/// Some images of a labelled set.
#[derive(Clone)]
pub struct SourceImages {
    source: Arc<dyn FaceSource>,
    indices: Vec<usize>,
    by_key: bool,
}

impl SourceImages {
    /// The images of `source` at `indices`, called as a person would call them ([`FaceSource::name`]).
    pub fn new(source: Arc<dyn FaceSource>, indices: Vec<usize>) -> Self {
        Self { source, indices, by_key: false }
    }

    /// The same, called as the set calls them ([`FaceSource::key`]), and so as `facegrad embed` does.
    pub fn by_key(source: Arc<dyn FaceSource>, indices: Vec<usize>) -> Self {
        Self { by_key: true, ..Self::new(source, indices) }
    }
}

impl Images for SourceImages {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn name(&self, index: usize) -> String {
        let image = self.indices[index];
        if self.by_key { self.source.key(image) } else { self.source.name(image) }
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        self.source.load(self.indices[index], size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_with_and_without_extension() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "b.v2.png", "c.JPG", "Ann_1.jpg"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let listed = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let (files, missing) = ImageFiles::search(folder.path(), &names);
            assert_eq!(missing, None);
            files.remark()
        };
        assert_eq!(listed(&["a", "a.jpg", "b.v2", "c.JPG"]), None);
        let said = listed(&["a.png", "a.jpg", "Ann_0001"]).unwrap();
        assert!(
            said.starts_with("Of 3 images, 2 have another ending or number than the list says"),
            "{said}"
        );
        let names = ["a", "d", "e"].map(String::from);
        let (files, missing) = ImageFiles::search(folder.path(), &names);
        let missing = missing.unwrap();
        assert_eq!((&missing.names[..], &missing.is_missing[..]), (&names[1..], &[false, true, true][..]));
        assert_eq!(
            (missing.named(), missing.count()),
            ("d and e".into(), "2 of its 3 images are missing".into())
        );
        assert!(!missing.are_all() && files.remark().is_none());
        assert_eq!(files.load(1, [8, 8]).unwrap_err().to_string(), "d: there is no such image");
        let many = MissingImages {
            names: (0..9).map(|i| format!("{i}.jpg")).collect(),
            is_missing: vec![true; 9],
            example: None,
            alike: None,
        };
        assert_eq!(many.named(), "0.jpg, 1.jpg, 2.jpg and 6 more");
        assert_eq!(many.not_there(), "no such images (nor one with another ending)");
        assert!(many.are_all());
    }
}
