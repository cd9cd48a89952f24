//! Faces drawn by the program, as a data set.

use std::{path::Path, sync::Arc};

use facegrad_pictures::Picture;
pub use facegrad_synthetic::SyntheticConfig;
use facegrad_synthetic::SyntheticFaces;

use super::{Format, LabelNeed, OpenSet, SourceError, SourceKind, Summary};
use crate::{FaceError, FaceSource, StoredImage};

impl Format for SyntheticConfig {
    fn of_path(&self, _path: &Path) -> Option<SourceKind> {
        None
    }

    fn title(&self) -> String {
        "synthetic".into()
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        None
    }

    fn open_for(&self, _need: LabelNeed) -> Result<OpenSet, SourceError> {
        let (images, identities) = (self.identities * self.images, self.identities);
        let summary = Summary { images, identities, ..Summary::default() };
        Ok(OpenSet { source: Arc::new(SyntheticFaces::new(self)), summary })
    }
}

impl FaceSource for SyntheticFaces {
    fn len(&self) -> usize {
        self.config().identities * self.config().images
    }

    fn identities(&self) -> &[String] {
        self.names()
    }

    fn label(&self, index: usize) -> usize {
        index / self.config().images
    }

    fn name(&self, index: usize) -> String {
        format!("synthetic/{}", self.key(index))
    }

    fn key(&self, index: usize) -> String {
        format!("{}/{:04}", self.names()[self.label(index)], index % self.config().images)
    }

    /// The picture at the size of the config.
    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        self.load(index, [self.config().size; 2]).map(StoredImage::Pixels)
    }

    /// Draws image `index` at the size asked for, but no larger than the config's.
    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let side = size[0].max(size[1]).clamp(1, self.config().size.max(1));
        Ok(self.render(self.label(index), index % self.config().images, side))
    }

    fn fingerprint(&self) -> String {
        self.fingerprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faces(config: SyntheticConfig) -> SyntheticFaces {
        SyntheticFaces::new(&config)
    }

    #[test]
    fn an_image_is_a_picture_of_its_identity() {
        let small = faces(SyntheticConfig { identities: 3, images: 2, ..SyntheticConfig::default() });
        let large = faces(SyntheticConfig { identities: 50, images: 9, ..SyntheticConfig::default() });
        let later = faces(SyntheticConfig { first_identity: 2, ..SyntheticConfig::default() });
        let picture = small.load(2 * 2 + 1, [112, 112]).unwrap();
        assert_eq!(picture, large.load(2 * 9 + 1, [112, 112]).unwrap());
        assert_eq!(picture, later.load(1, [112, 112]).unwrap());
        let reseeded = faces(SyntheticConfig { seed: 2, ..SyntheticConfig::default() });
        assert_ne!(picture, reseeded.load(2 * 20 + 1, [112, 112]).unwrap());
    }

    #[test]
    fn a_picture_is_no_larger_than_it_is_wanted() {
        let small = faces(SyntheticConfig::default()).load(0, [48, 40]).unwrap();
        assert_eq!(small.width(), 48);
    }

    #[test]
    fn labels_names_and_fingerprints_are_those_of_the_config() {
        let set =
            faces(SyntheticConfig { identities: 3, images: 4, first_identity: 120, ..Default::default() });
        assert_eq!((set.len(), set.label(11), set.identities().len()), (12, 2, 3));
        assert_eq!(set.name(7), "synthetic/000121/0003");
        assert_eq!(set.fingerprint(), faces(set.config().clone()).fingerprint());
        let other = faces(SyntheticConfig { seed: 9, ..set.config().clone() });
        assert_ne!(set.fingerprint(), other.fingerprint());
    }
}
