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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFiles {
    names: Vec<String>,
    files: Vec<PathBuf>,
}

/// The first image that is not there, and how many are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImages {
    /// What the list calls the first.
    pub first: String,
    /// How many are missing.
    pub missing: usize,
    /// How many there should be.
    pub total: usize,
    /// What is there and looks like the first.
    pub alike: Option<LookAlike>,
    /// What the set calls one of its images, where they are not files that lists name by their paths.
    pub example: Option<String>,
}

impl MissingImages {
    /// What was tried to find the first, in words.
    pub(crate) fn tried(&self) -> String {
        match (&self.example, without_extension(&self.first)) {
            (Some(example), _) => format!("it calls them such as {example:?}"),
            (None, Some(_)) => "nor one with another ending".into(),
            (None, None) => "tried .jpg, .png and the like".into(),
        }
    }
}

impl ImageFiles {
    /// The images that `names` names below `folder`, by path with or without its extension.
    ///
    /// # Errors
    /// If some are not there.
    pub fn find(folder: &Path, names: &[String]) -> Result<Self, MissingImages> {
        let found: Vec<Option<PathBuf>> = names.iter().map(|name| find_image(folder, name)).collect();
        if let Some(first) = found.iter().position(Option::is_none) {
            return Err(MissingImages {
                first: names[first].clone(),
                missing: found.iter().filter(|file| file.is_none()).count(),
                total: found.len(),
                alike: LookAlike::of_missing(&folder.join(path_of(&names[first]))),
                example: None,
            });
        }
        Ok(Self { names: names.to_vec(), files: found.into_iter().flatten().collect() })
    }

    /// Each name with its file.
    pub fn new(images: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let (names, files) = images.into_iter().unzip();
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
        let is_other = |(name, file): &(&String, &PathBuf)| {
            let file = name_of(file);
            let stem = without_extension(&file).unwrap_or(&file);
            !file.ends_with(name.as_str()) && !stem.ends_with(name.as_str())
        };
        let mut others = self.names.iter().zip(&self.files).filter(is_other);
        let (name, file) = others.next()?;
        let (number, total) = (others.count() + 1, self.names.len());
        Some(format!(
            "Of {total} images, {number} have another ending or number than the list says, such as {} for {name}.",
            name_of(file)
        ))
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let file = &self.files[index];
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
            ImageFiles::find(folder.path(), &names).unwrap().remark()
        };
        assert_eq!(listed(&["a", "a.jpg", "b.v2", "c.JPG"]), None);
        let said = listed(&["a.png", "a.jpg", "Ann_0001"]).unwrap();
        assert!(
            said.starts_with("Of 3 images, 2 have another ending or number than the list says"),
            "{said}"
        );
        let names = ["a", "d", "e"].map(String::from);
        let missing = ImageFiles::find(folder.path(), &names).unwrap_err();
        let first = "d".into();
        assert_eq!(missing, MissingImages { first, missing: 2, total: 3, alike: None, example: None });
    }
}
