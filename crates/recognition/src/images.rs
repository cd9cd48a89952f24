//! Images in a fixed order, by name, as protocols and commands ask for their embeddings.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use facegrad_faces::{FaceError, FaceSource, folder::EXTENSIONS};
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

/// The image that `name` names below `folder`: a path, or one without its extension.
pub fn find_image(folder: &Path, name: &str) -> Option<PathBuf> {
    let as_it_is = folder.join(name);
    let has_extension = as_it_is
        .extension()
        .and_then(|found| found.to_str())
        .is_some_and(|found| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(found)));
    if has_extension && as_it_is.is_file() {
        return Some(as_it_is);
    }
    EXTENSIONS.iter().map(|extension| folder.join(format!("{name}.{extension}"))).find(|path| path.is_file())
}

impl Images for ImageFiles {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, index: usize) -> String {
        self.names[index].clone()
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let file = &self.files[index];
        read_at_least(file, size)
            .map_err(|error| FaceError { name: file.display().to_string(), reason: error.to_string() })
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
        for name in ["a.jpg", "b.v2.png", "c.JPG"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let find = |name: &str| {
            let file = find_image(folder.path(), name)?;
            Some(file.file_name()?.to_string_lossy().into_owned())
        };
        assert_eq!(find("a").as_deref(), Some("a.jpg"));
        assert_eq!(find("a.jpg").as_deref(), Some("a.jpg"));
        assert_eq!(find("b.v2").as_deref(), Some("b.v2.png"));
        assert_eq!(find("c.JPG").as_deref(), Some("c.JPG"));
        assert_eq!(find("d"), None);
        let names = ["a", "d", "e"].map(String::from);
        let missing = ImageFiles::find(folder.path(), &names).unwrap_err();
        assert_eq!(missing, MissingImages { first: "d".into(), missing: 2, total: 3 });
    }
}
