//! Images of a set of any kind, as a list names them.

use std::{collections::HashMap, path::Path, sync::Arc};

use facegrad_faces::{FaceError, FaceSource, SourceConfig, SourceError, SourceKind, without_extension};
use facegrad_files::LookAlike;
use facegrad_pictures::Picture;

use crate::{Images, images::MissingImages};

/// Images of a set, called as a list calls them.
pub(crate) struct ListedImages {
    source: Arc<dyn FaceSource>,
    names: Vec<String>,
    /// Where each is in the set; none where it is not.
    places: Vec<Option<usize>>,
}

impl ListedImages {
    /// The images that `names` names in the set at `path`, by what the set calls them ([`FaceSource::key`]), with or
    /// without an ending. None if there is no set, or it is a folder of files, which are found by their paths.
    ///
    /// # Errors
    /// If the set cannot be read, or what is there is none.
    pub fn search(path: &Path, names: &[String]) -> Result<Option<Self>, SourceError> {
        if !path.exists() {
            return Ok(None);
        }
        let config = SourceConfig::of_path(path)?;
        if matches!(config.kind, SourceKind::Folder(_)) {
            return Ok(None);
        }
        Ok(Some(Self::of(config.open_images()?.source, names)))
    }

    fn of(source: Arc<dyn FaceSource>, names: &[String]) -> Self {
        let stem = |name: &str| without_extension(name).unwrap_or(name).to_owned();
        let mut exact: HashMap<&str, usize> = HashMap::new();
        let mut by_stem: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            exact.insert(name, at);
            by_stem.entry(stem(name)).or_default().push(at);
        }
        let mut places = vec![None; names.len()];
        let mut likely = vec![None; names.len()];
        // Some sets read a key from the disk, so each is asked for once.
        for image in 0..source.len() {
            let key = source.key(image);
            if let Some(&at) = exact.get(key.as_str()) {
                places[at] = Some(image);
            }
            for &at in by_stem.get(&stem(&key)).into_iter().flatten() {
                likely[at] = likely[at].or(Some(image));
            }
        }
        let places = places.into_iter().zip(likely).map(|(place, likely)| place.or(likely)).collect();
        Self { source, names: names.to_vec(), places }
    }

    /// Those that the set does not have, if there are any.
    pub fn missing(&self) -> Option<MissingImages> {
        let is_missing = self.places.iter().map(Option::is_none).collect();
        let example = (!self.source.is_empty()).then(|| self.source.key(0));
        let keys = (0..self.source.len()).map(|image| self.source.key(image));
        let missing = MissingImages::of(&self.names, is_missing, example)?;
        Some(MissingImages { alike: LookAlike::among(keys, &missing.names[0]), ..missing })
    }
}

impl Images for ListedImages {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn name(&self, index: usize) -> String {
        self.names[index].clone()
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let not_there =
            || FaceError { name: self.names[index].clone(), reason: "there is no such image".into() };
        self.source.load(self.places[index].ok_or_else(not_there)?, size)
    }
}

#[cfg(test)]
mod tests {
    use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    #[test]
    fn images_are_found_by_what_the_set_calls_them() {
        let faces = SyntheticFaces::new(&SyntheticConfig { identities: 2, images: 2, ..Default::default() });
        let names = ["000001/0001", "000000/0000.jpg", "gone", "000001/0001.png"].map(String::from);
        let images = ListedImages::of(Arc::new(faces), &names);
        assert_eq!(images.places, [Some(3), Some(0), None, Some(3)]);
        let missing = images.missing().unwrap();
        assert_eq!(
            (&missing.names[..], &missing.is_missing[..]),
            (&names[2..3], &[false, false, true, false][..])
        );
        assert_eq!(missing.not_there(), "no such image (it calls them such as \"000000/0000\")");
        assert_eq!(images.name(1), names[1]);
        assert_eq!(images.load(0, [16, 16]), images.load(3, [16, 16]));
        assert_eq!(images.load(2, [16, 16]).unwrap_err().reason, "there is no such image");
    }
}
