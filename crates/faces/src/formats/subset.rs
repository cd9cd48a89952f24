//! A part of a set: without some images, without small identities, the first identities only.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use facegrad_files::{read_bounded, sha256};
use facegrad_pictures::Picture;
use facegrad_settings::{at_least, settings};
use sha2::{Digest, Sha256};

use super::{OpenSet, Place, SourceError};
use crate::{FaceError, FaceSource, StoredImage};

/// Longest list of what to leave out, in bytes: millions of paths.
const MAX_LIST: u64 = 1 << 30;

settings! {
    /// Which images of a set are taken.
    pub struct SubsetConfig {
        /// Identities with fewer images than this are left out.
        min_images: usize = 1, at_least(1);
        /// Take only the first so many identities, in their order, of those with enough images; all if absent.
        max_identities: Option<usize> = None, at_least(2);
        /// A list of images to leave out, such as `facegrad data audit` writes: CSV with a column `image`, or one
        /// image a line, each called as the set calls it (a path relative to its folder, the number of a record).
        exclude: Option<PathBuf> = None;
    }
}

impl SubsetConfig {
    /// The part of a set, which `title` names in errors.
    pub(super) fn take(&self, opened: OpenSet, title: &str) -> Result<OpenSet, SourceError> {
        let OpenSet { source, mut summary } = opened;
        if source.is_empty() {
            return Err(SourceError::Empty { set: title.into() });
        }
        let excluded = match &self.exclude {
            Some(list) => Some(find_excluded(list, source.as_ref(), title)?),
            None => None,
        };
        let is_in = |index: usize| excluded.as_ref().is_none_or(|excluded| !excluded.is_excluded[index]);
        let mut counts = vec![0; source.identities().len()];
        (0..source.len()).filter(|&index| is_in(index)).for_each(|index| counts[source.label(index)] += 1);
        let mut labels = vec![None; counts.len()];
        let enough = |count: usize| count > 0 && count >= self.min_images;
        let mut kept = 0;
        for (label, &count) in labels.iter_mut().zip(&counts) {
            if enough(count) && kept < self.max_identities.unwrap_or(usize::MAX) {
                *label = Some(kept as u32);
                kept += 1;
            }
        }
        let able = counts.iter().filter(|count| enough(**count)).count();
        if let Some(excluded) = &excluded {
            summary.leave_out(excluded.images, "excluded image", "excluded images");
            if excluded.strange > 0 {
                let list = "line of the exclusion list that names no image";
                summary.leave_out(excluded.strange, list, "lines of the exclusion list that name no image");
            }
        }
        summary.leave_out(
            counts.len() - able,
            "identity with too few images",
            "identities with too few images",
        );
        summary.leave_out(able - kept, "identity beyond max_identities", "identities beyond max_identities");
        if kept == counts.len() && excluded.is_none() {
            return Ok(OpenSet { source, summary });
        }
        let indices: Vec<u32> = (0..source.len())
            .filter(|&index| is_in(index) && labels[source.label(index)].is_some())
            .map(|index| index as u32)
            .collect();
        let identities = source.identities().iter().zip(&labels);
        let identities =
            identities.filter(|(_, label)| label.is_some()).map(|(name, _)| name.clone()).collect();
        summary.images = indices.len();
        summary.identities = kept;
        Ok(OpenSet { source: Arc::new(Subset { source, indices, labels, identities }), summary })
    }
}

/// An error if a set cannot show what tells people apart.
pub(super) fn check_identities(title: &str, opened: &OpenSet, min_images: usize) -> Result<(), SourceError> {
    let source = &opened.source;
    if source.identities().len() >= 2 {
        return Ok(());
    }
    let mut counts = vec![0; source.identities().len()];
    (0..source.len()).for_each(|index| counts[source.label(index)] += 1);
    let (set, identities) = (title.into(), counts.len());
    Err(SourceError::TooFewIdentities {
        set,
        identities,
        min_images,
        most: counts.into_iter().max().unwrap_or(0),
        notes: opened.summary.notes.clone(),
    })
}

/// What a list leaves out of a set.
struct Exclusions {
    /// For each image of the set.
    is_excluded: Vec<bool>,
    /// How many.
    images: usize,
    /// Lines that name no image.
    strange: usize,
}

fn find_excluded(list: &Path, source: &dyn FaceSource, title: &str) -> Result<Exclusions, SourceError> {
    let bytes = read_bounded(list, MAX_LIST)
        .map_err(|error| SourceError::unreadable(list, "a list of images to leave out", error))?;
    // Each with whether an image has it. Some sets read a key from the disk, so each is asked for once.
    let mut names: HashMap<String, bool> =
        read_list(&bytes, list)?.into_iter().map(|name| (name, false)).collect();
    let mut is_named = |index: usize| match names.get_mut(&source.key(index)) {
        Some(is_there) => {
            *is_there = true;
            true
        }
        None => false,
    };
    let is_excluded: Vec<bool> = (0..source.len()).map(&mut is_named).collect();
    let images = is_excluded.iter().filter(|excluded| **excluded).count();
    if images == 0 && !names.is_empty() {
        let (list, set, example) = (list.into(), title.into(), source.key(0));
        return Err(SourceError::ExcludesNothing { list, set, example });
    }
    let strange = names.values().filter(|is_there| !**is_there).count();
    Ok(Exclusions { is_excluded, images, strange })
}

/// The images of a list: of its column `image` if its first line has one, or else its lines.
fn read_list(bytes: &[u8], path: &Path) -> Result<HashSet<String>, SourceError> {
    let malformed = |place, reason: &str| SourceError::malformed(path, place, reason);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        malformed(Place::Byte(error.valid_up_to() as u64), "it is not UTF-8; a list of images is expected")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let column = reader.headers().ok().and_then(|headers| headers.iter().position(|name| name == "image"));
    let Some(column) = column else {
        return Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect());
    };
    let mut names = HashSet::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(Place::Whole, |at| Place::Line(at.line()));
            malformed(line, "the line has another number of columns than the first")
        })?;
        names.insert(record.get(column).unwrap_or_default().to_owned());
    }
    Ok(names)
}

/// Some images of another set.
struct Subset {
    source: Arc<dyn FaceSource>,
    /// Of the images, in the other set.
    indices: Vec<u32>,
    /// The label of each identity of the other set, if it has one here.
    labels: Vec<Option<u32>>,
    identities: Vec<String>,
}

impl Subset {
    fn there(&self, index: usize) -> usize {
        self.indices[index] as usize
    }
}

impl FaceSource for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn label(&self, index: usize) -> usize {
        // Only images of identities that have a label are here.
        self.labels[self.source.label(self.there(index))].unwrap_or_default() as usize
    }

    fn name(&self, index: usize) -> String {
        self.source.name(self.there(index))
    }

    fn key(&self, index: usize) -> String {
        self.source.key(self.there(index))
    }

    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        self.source.stored(self.there(index))
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        self.source.load(self.there(index), size)
    }

    fn advice(&self) -> Option<String> {
        self.source.advice()
    }

    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.source.fingerprint());
        self.indices.iter().for_each(|index| hash.update(index.to_le_bytes()));
        sha256(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use facegrad_synthetic::SyntheticConfig;

    use crate::{SourceConfig, formats::folder::tests::three};

    fn open(config: SubsetConfig) -> Result<OpenSet, String> {
        let root = three();
        let folder = crate::FolderConfig { path: root.path().into() };
        let config = SourceConfig { subset: config, ..SourceConfig::from(folder) };
        let title = config.title();
        config.open().map_err(|error| error.to_string().replace(&title, "ROOT"))
    }

    fn keys(opened: &OpenSet) -> Vec<String> {
        (0..opened.source.len()).map(|index| opened.source.key(index)).collect()
    }

    #[test]
    fn small_and_surplus_identities_are_left_out() {
        let all = open(SubsetConfig::default()).unwrap();
        assert_eq!(all.source.identities(), ["Bo", "Zoë Müller", "ann lee"]);
        let large = open(SubsetConfig { min_images: 2, ..Default::default() }).unwrap();
        assert_eq!(large.source.identities(), ["Zoë Müller", "ann lee"]);
        assert_eq!((large.source.label(0), large.source.label(4)), (0, 1));
        assert_eq!(
            large.summary.to_string(),
            "5 images of 2 identities; left out: 1 identity with too few images"
        );
        let first = open(SubsetConfig { max_identities: Some(2), ..Default::default() }).unwrap();
        assert_eq!(first.source.identities(), ["Bo", "Zoë Müller"]);
        assert_eq!(keys(&first), ["Bo/x.JPeG", "Zoë Müller/1.jpg", "Zoë Müller/2.PNG"]);
        assert_eq!(
            first.summary.to_string(),
            "3 images of 2 identities; left out: 1 identity beyond max_identities"
        );
        let prints = [&all, &large, &first].map(|opened| opened.source.fingerprint());
        assert!(prints[0] != prints[1] && prints[1] != prints[2] && prints[2].len() == 64);
        assert_eq!(
            open(SubsetConfig { min_images: 3, ..Default::default() }).err().unwrap(),
            "ROOT has 1 identity with at least 3 images (min_images); at least 2 are needed, and the largest has 3 images"
        );
    }

    #[test]
    fn listed_images_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let list = root.path().join("exclude.csv");
        let exclude = |text: &str| {
            fs::write(&list, text).unwrap();
            let opened = open(SubsetConfig { exclude: Some(list.clone()), ..Default::default() });
            opened.map_err(|error| error.replace(&list.display().to_string(), "LIST"))
        };
        let lines = exclude("ann lee/deep.ppm\r\nBo/x.JPeG\nnobody/1.jpg\n").unwrap();
        assert_eq!(
            lines.summary.to_string(),
            "4 images of 2 identities; left out: 2 excluded images, 1 line of the exclusion list that names no image, \
             1 identity with too few images"
        );
        assert_eq!(lines.source.identities(), ["Zoë Müller", "ann lee"]);
        let table = exclude("reason,image\n\"a, b\",ann lee/10.jpg\nx,\"Zoë Müller/2.PNG\"\n").unwrap();
        assert_eq!(
            keys(&table),
            ["Bo/x.JPeG", "Zoë Müller/1.jpg", "ann lee/deep/er/9.webp", "ann lee/deep.ppm"]
        );
        assert_eq!(exclude("").unwrap().source.len(), 6);
        assert_eq!(
            exclude("10.jpg\n").err().unwrap(),
            "LIST names none of the images of ROOT; a line is expected to be what the set calls an image, such as Bo/x.JPeG"
        );
        assert_eq!(
            exclude("image,reason\na\n").err().unwrap(),
            "LIST, line 2: the line has another number of columns than the first"
        );
        fs::write(&list, b"\xff\n").unwrap();
        assert!(open(SubsetConfig { exclude: Some(list.clone()), ..Default::default() }).is_err());
    }

    #[test]
    fn the_parts_of_one_set_load_the_same_pictures() {
        let faces = SyntheticConfig { identities: 3, images: 2, size: 16, ..Default::default() };
        let all = SourceConfig::from(faces.clone());
        let mut some = all.clone();
        some.subset.max_identities = Some(2);
        let (all, some) = (all.open().unwrap().source, some.open().unwrap().source);
        assert_eq!(some.len(), 4);
        assert_eq!(some.load(3, [16, 16]), all.load(3, [16, 16]));
        assert_eq!(some.stored(1), all.stored(1));
        assert_eq!(some.name(2), all.name(2));
    }
}
