//! A part of a set: without some images, without small identities, the first identities only.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use facegrad_files::{LookAlike, has_escapes, listed_name, look_of, read_bounded, sha256, text_of};
use facegrad_pictures::Picture;
use facegrad_settings::{at_least, settings};
use sha2::{Digest, Sha256};

use super::{OpenSet, Place, SourceError, folder::EXTENSIONS, has_extension};
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
        /// A list of the images to keep, as `exclude` has them; all others are left out.
        keep: Option<PathBuf> = None;
    }
}

impl SubsetConfig {
    /// The part of a set, which `title` names in errors.
    pub(super) fn take(&self, opened: OpenSet, title: &str) -> Result<OpenSet, SourceError> {
        let OpenSet { source, mut summary } = opened;
        if source.is_empty() {
            return Err(SourceError::Empty { set: title.into() });
        }
        let named = |list: &Option<PathBuf>| {
            list.as_deref().map(|list| Named::of(list, source.as_ref(), title)).transpose()
        };
        let (kept_list, excluded) = (named(&self.keep)?, named(&self.exclude)?);
        let is_kept = |index: usize| kept_list.as_ref().is_none_or(|kept| kept.is_named[index]);
        let is_in = |index: usize| {
            is_kept(index) && excluded.as_ref().is_none_or(|excluded| !excluded.is_named[index])
        };
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
        if let Some(kept) = &kept_list {
            let (one, many) =
                ("image that the list to keep does not name", "images that the list to keep does not name");
            summary.leave_out(source.len() - kept.images, one, many);
            let (one, many) = (
                "line of the list to keep that names no image",
                "lines of the list to keep that name no image",
            );
            summary.leave_out(kept.strange, one, many);
        }
        if let Some(excluded) = &excluded {
            let images =
                (0..source.len()).filter(|&index| is_kept(index) && excluded.is_named[index]).count();
            summary.leave_out(images, "excluded image", "excluded images");
            let (one, many) = (
                "line of the exclusion list that names no image",
                "lines of the exclusion list that name no image",
            );
            summary.leave_out(excluded.strange, one, many);
        }
        summary.leave_out(
            counts.len() - able,
            "identity with too few images",
            "identities with too few images",
        );
        summary.leave_out(able - kept, "identity beyond max_identities", "identities beyond max_identities");
        for (named, list) in [(&kept_list, &self.keep), (&excluded, &self.exclude)] {
            summary.notes.extend(named.as_ref().and_then(|named| named.note(list.as_deref())));
        }
        if kept == counts.len() && excluded.is_none() && kept_list.is_none() {
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

/// What a list names of a set.
struct Named {
    /// For each image of the set.
    is_named: Vec<bool>,
    /// How many.
    images: usize,
    /// Lines that name no image.
    strange: usize,
    /// An image that looks like one of these.
    alike: Option<LookAlike>,
}

impl Named {
    fn of(list: &Path, source: &dyn FaceSource, title: &str) -> Result<Self, SourceError> {
        let bytes = read_bounded(list, MAX_LIST)
            .map_err(|error| SourceError::unreadable(list, "a list of images", error))?;
        // Each with whether an image has it. Some sets read a key from the disk, so each is asked for once.
        let mut names: HashMap<String, bool> =
            read_list(bytes, list)?.iter().map(|name| (listed_name(name), false)).collect();
        let mut is_named = |index: usize| match names.get_mut(&source.key(index)) {
            Some(is_there) => {
                *is_there = true;
                true
            }
            None => false,
        };
        let is_named: Vec<bool> = (0..source.len()).map(&mut is_named).collect();
        let images = is_named.iter().filter(|named| **named).count();
        let strange: Vec<&String> =
            names.iter().filter(|(_, is_there)| !**is_there).map(|(name, _)| name).collect();
        let alike = look_alike(&strange, source);
        if images == 0 && !names.is_empty() {
            let (list, set, example) = (list.into(), title.into(), source.key(0));
            return Err(SourceError::NamesNothing { list, set, example, alike });
        }
        Ok(Self { is_named, images, strange: strange.len(), alike })
    }

    /// That a line names no image, and one that looks the same is there.
    fn note(&self, list: Option<&Path>) -> Option<String> {
        Some(format!("{} names an image that is not there; {}", list?.display(), self.alike.as_ref()?))
    }
}

/// An image of a set that looks like one of `strange`, which name none.
fn look_alike(strange: &[&String], source: &dyn FaceSource) -> Option<LookAlike> {
    let looks: HashMap<String, &String> =
        strange.iter().filter(|name| may_be_alike(name)).map(|name| (look_of(name), *name)).collect();
    if looks.is_empty() {
        return None;
    }
    let keys = (0..source.len()).map(|index| source.key(index)).filter(|key| may_be_alike(key));
    keys.into_iter().find_map(|key| LookAlike::among([key.clone()], looks.get(&look_of(&key))?))
}

/// Whether there may be other names that look like this one.
fn may_be_alike(name: &str) -> bool {
    !name.is_ascii() || has_escapes(name)
}

/// The images of a list: of its column `image` if its first line has one, or else its lines.
fn read_list(bytes: Vec<u8>, path: &Path) -> Result<HashSet<String>, SourceError> {
    let malformed = |place, reason: &str| SourceError::malformed(path, place, reason);
    let text = text_of(bytes)
        .map_err(|error| malformed(Place::Whole, &format!("a list of images is expected: {error}")))?;
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let column = reader.headers().ok().and_then(|headers| headers.iter().position(|name| name == "image"));
    let Some(column) = column else {
        return Ok(text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| image_of(line).to_owned())
            .collect());
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

/// What a line calls an image: all of it, or the path before a label.
fn image_of(line: &str) -> &str {
    let is_image = |text: &str| has_extension(Path::new(text), &EXTENSIONS);
    let before = line.trim_end().rsplit_once([' ', '\t', ',', ';']).map(|(path, _)| path.trim_end());
    match before.filter(|path| !is_image(line) && is_image(path)) {
        Some(path) => path,
        None => line,
    }
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

    #[cfg(unix)]
    #[test]
    fn names_of_one_look_are_two_and_the_list_says_which() {
        let (root, list) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let names = ["Ann/1.jpg", "Jose\u{301}/1.jpg", "Jos\u{e9}/2.jpg", r"caf\xE8/1.jpg", r"caf\xE9/1.jpg"];
        for name in names {
            let path = root.path().join(facegrad_files::path_of(name));
            // Some file systems refuse such names, or take two for one.
            if fs::create_dir(path.parent().unwrap()).is_err() || fs::write(path, b"image").is_err() {
                return;
            }
        }
        let open = |text: &str, keep: bool| {
            fs::write(&list, text).unwrap();
            let path = Some(list.path().to_owned());
            let (keep, exclude) = if keep { (path, None) } else { (None, path) };
            let subset = SubsetConfig { keep, exclude, ..Default::default() };
            let config = crate::FolderConfig { path: root.path().into() };
            let opened = SourceConfig { subset, ..SourceConfig::from(config) }.open_any();
            let said = |text: String| text.replace(&list.path().display().to_string(), "LIST");
            opened
                .map(|set| (keys(&set), set.summary.notes.into_iter().map(said).collect::<Vec<_>>()))
                .map_err(|e| said(e.to_string()))
        };
        for (at, name) in names.iter().enumerate() {
            let (kept, notes) = open(&format!("image,reason\n{name},odd\n"), true).unwrap();
            assert_eq!((kept, notes), (vec![names[at].to_owned()], vec![]));
            let (left, notes) = open(&format!("{name}\n"), false).unwrap();
            assert_eq!(left.len(), 4);
            assert!(!left.contains(&name.to_string()) && notes.is_empty());
        }
        let (left, notes) = open("Ann/1.jpg\nJos\u{e9}/1.jpg\n", false).unwrap();
        assert_eq!(left.len(), 4);
        let alike = "Jose\u{301}/1.jpg is there, which looks the same and is another name (decomposed (NFD), not composed (NFC))";
        assert_eq!(notes, [format!("LIST names an image that is not there; {alike}")]);
        let error = open("Jos\u{e9}/1.jpg\n", true).unwrap_err();
        assert!(error.ends_with(&format!(", such as Ann/1.jpg; {alike}")), "{error}");
        let error = open("caf\u{e9}/1.jpg\n", true).unwrap_err();
        assert!(error.ends_with("is another name (Latin-1, not composed (NFC))"), "{error}");
    }

    #[test]
    fn only_listed_images_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let list = root.path().join("keep.txt");
        let keep = |text: &str, exclude: Option<PathBuf>| {
            fs::write(&list, text).unwrap();
            open(SubsetConfig { keep: Some(list.clone()), exclude, ..Default::default() })
        };
        let kept = keep("ann lee/deep.ppm\nBo/x.JPeG 7\nnobody/1.jpg\n", None).unwrap();
        assert_eq!(keys(&kept), ["Bo/x.JPeG", "ann lee/deep.ppm"]);
        assert_eq!(
            kept.summary.to_string(),
            "2 images of 2 identities; left out: 4 images that the list to keep does not name, 1 line of the list to \
             keep that names no image, 1 identity with too few images"
        );
        let excluded = root.path().join("exclude.txt");
        fs::write(&excluded, "ann lee/deep.ppm\nann lee/10.jpg\n").unwrap();
        let both = keep("Zoë Müller/1.jpg\nBo/x.JPeG\nann lee/deep.ppm\n", Some(excluded)).unwrap();
        assert_eq!(keys(&both), ["Bo/x.JPeG", "Zoë Müller/1.jpg"]);
        assert!(both.summary.to_string().contains("1 excluded image,"), "{}", both.summary);
        assert!(keep("10.jpg\n", None).err().unwrap().contains("names none of the images of ROOT"));
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
