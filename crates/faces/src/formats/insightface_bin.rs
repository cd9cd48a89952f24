//! insightface's verification sets as labelled images, for what needs labels: an audit, or a comparison with a set.

use std::path::{Path, PathBuf};

use facegrad_settings::settings;

use super::{
    Format, LabelNeed, OpenSet, Place, SourceError, SourceKind, Summary, has_extension,
    labelled::{Images, LabelledImages},
    labels::Labels,
};
use crate::{InsightfaceBin, StoredImage};

settings! {
    /// The images of a verification set of insightface, such as lfw.bin.
    pub struct InsightfaceBinSetConfig {
        /// The file. Its pairs of the same person say who is who: images that they connect are one identity. Two
        /// identities may still be the same person, where no pair says so.
        path: PathBuf = PathBuf::new();
    }
}

impl Format for InsightfaceBinSetConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        (has_extension(path, &["bin"]) && path.is_file()).then(|| Self { path: path.into() }.into())
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "a verification set of insightface, such as lfw.bin"))
    }

    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError> {
        let set = InsightfaceBin::open(&self.path)?;
        let mut summary = Summary::default();
        let labels = match (labels(&set), need) {
            (Ok(labels), _) => labels,
            (Err(reason), LabelNeed::Required) => {
                return Err(SourceError::malformed(&self.path, Place::Whole, reason));
            }
            (Err(reason), LabelNeed::Optional) => {
                let who = "so that nobody knows who is on its images";
                summary.notes.push(format!("{}: {reason}, {who}", self.path.display()));
                Labels::unknown(set.images())
            }
        };
        let fingerprint = set.fingerprint();
        Ok(LabelledImages { images: set, labels, summary, fingerprint }.open())
    }
}

/// The distinct images of a set, labelled by what its pairs connect; an error, as a clause, if these contradict one
/// another. An identity is called by the place of its first image.
fn labels(set: &InsightfaceBin) -> Result<Labels, String> {
    let mut groups = Groups((0..set.images() as u32).collect());
    for &(a, b, same) in set.pairs() {
        if same {
            groups.join(a as u32, b as u32);
        }
    }
    let mut contradicts = |&(a, b, same): &(usize, usize, bool)| !same && groups.of(a) == groups.of(b);
    if let Some(pair) = set.pairs().iter().position(&mut contradicts) {
        return Err(format!(
            "pair {pair} is of different people, and other pairs have its images as the same person"
        ));
    }
    // The least image of a group is its first, so that labels count up along the images.
    let (mut labels, mut identities) = (Vec::with_capacity(set.images()), Vec::new());
    for image in 0..set.images() {
        let first = groups.of(image);
        let label = if first == image {
            identities.push(format!("person of image {}", set.position(image)));
            identities.len() as u32 - 1
        } else {
            labels[first]
        };
        labels.push(label);
    }
    Ok(Labels { labels, identities })
}

/// Images that belong together: for each an earlier one of its group, or itself if it is the first.
struct Groups(Vec<u32>);

impl Groups {
    /// The first of the group of an image. The way there is halved, so that long chains of pairs are short work.
    fn of(&mut self, image: usize) -> usize {
        let mut image = image;
        while self.0[image] as usize != image {
            self.0[image] = self.0[self.0[image] as usize];
            image = self.0[image] as usize;
        }
        image
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.of(a as usize), self.of(b as usize));
        let first = a.min(b);
        self.0[a.max(b)] = first as u32;
    }
}

impl Images for InsightfaceBin {
    fn name(&self, index: usize) -> String {
        self.name(index)
    }

    fn key(&self, index: usize) -> String {
        self.position(index).to_string()
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        self.encoded(index).map(StoredImage::Encoded).map_err(|error| error.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceConfig;

    /// A set of one-byte images, each pair with whether it is the same person.
    fn write(pairs: &[(u8, u8, bool)]) -> (tempfile::TempDir, InsightfaceBinSetConfig) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.BIN");
        InsightfaceBin::write(&path, pairs.iter().map(|&(a, b, same)| ([a], [b], same))).unwrap();
        (root, InsightfaceBinSetConfig { path })
    }

    #[test]
    fn images_that_genuine_pairs_connect_are_one_identity() {
        let pairs = [
            (10, 11, true),
            (12, 13, false),
            (14, 12, true),
            (15, 11, true),
            (14, 16, true),
            (10, 17, false),
        ];
        let (_root, config) = write(&pairs);
        assert_eq!(SourceConfig::of_path(&config.path).unwrap(), SourceConfig::from(config.clone()));
        let opened = SourceConfig::from(config.clone()).open().unwrap();
        assert_eq!(opened.summary.to_string(), "8 images of 4 identities");
        let source = opened.source;
        let labels: Vec<(u8, usize)> = (0..source.len())
            .map(|index| match source.stored(index).unwrap() {
                StoredImage::Encoded(bytes) => (bytes[0], source.label(index)),
                StoredImage::Pixels(_) => unreachable!(),
            })
            .collect();
        assert_eq!(labels, [(10, 0), (11, 0), (12, 1), (13, 2), (14, 1), (15, 0), (16, 1), (17, 3)]);
        assert_eq!(
            source.identities(),
            ["person of image 0", "person of image 2", "person of image 3", "person of image 11"]
        );
        // The place in the list of the file, where images that come again count.
        assert_eq!((source.key(5), source.name(5)), ("6".into(), "x.BIN image 6".into()));
        assert_eq!(source.fingerprint(), InsightfaceBin::open(&config.path).unwrap().fingerprint());
        assert!(source.load(0, [1, 1]).unwrap_err().reason.contains("not a JPEG"));
    }

    #[test]
    fn pairs_that_contradict_one_another_are_refused() {
        let (_root, config) = write(&[(1, 2, true), (2, 3, true), (1, 3, false)]);
        let message = config.open().err().unwrap().to_string();
        assert!(
            message.ends_with(
                "x.BIN: pair 2 is of different people, and other pairs have its images as the same person"
            ),
            "{message}"
        );
    }

    #[test]
    fn long_chains_of_pairs_are_short_work() {
        let mut groups = Groups((0..1_000_000).collect());
        (0..999_999).rev().for_each(|image| groups.join(image, image + 1));
        assert!((0..1_000_000).all(|image| groups.of(image) == 0));
    }

    #[test]
    fn what_is_no_set_is_one_sentence() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.bin");
        assert_eq!(InsightfaceBinSetConfig::default().of_path(&path), None);
        std::fs::write(&path, b"\x89PNG\r\n").unwrap();
        let message =
            InsightfaceBinSetConfig::default().of_path(&path).unwrap().open().err().unwrap().to_string();
        assert!(
            message.ends_with("x.bin, byte 0: 0x89 is not an opcode of a pickle")
                || message.contains("x.bin, byte "),
            "{message}"
        );
        let (_root, config) = write(&[(1, 1, true)]);
        let message = SourceConfig::from(config).open().err().unwrap().to_string();
        assert!(message.starts_with("x has 1 identity"), "{message}");
    }
}
