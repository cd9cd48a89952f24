//! How a gallery stands to the images that it was made of.

use std::{collections::HashMap, fmt, fs, path::Path, time::SystemTime};

use facegrad_embeddings::{Gallery, GalleryRecord};
use facegrad_files::last_written;
use facegrad_pictures::plain;
use rayon::prelude::*;
use serde::Serialize;

use crate::{ImageSet, Images, image_set::fingerprint};

/// Images written since a gallery was made that are looked at; more take as long as embedding some of them.
const LOOKED_AT: usize = 256;

/// How a gallery stands to the images that it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum GalleryState {
    /// Its file does not say what it was made of.
    Unknown,
    /// What it was made of cannot be looked at.
    Unreachable {
        /// Why.
        reason: String,
    },
    /// The images are as they were.
    UpToDate,
    /// They are not.
    Changed {
        /// Images that it does not have.
        new: usize,
        /// Images with other pixels, or of another person.
        changed: usize,
        /// Images that are no longer there.
        gone: usize,
        /// Images that were written since and not looked at, as they are many.
        written_since: usize,
    },
}

impl GalleryState {
    /// How `gallery` stands to what its record says it was made of, which `open` opens.
    ///
    /// Names and people of the images are compared with those of the gallery, and the pixels of those that were written
    /// since it was made, 256 at most; the others are taken to be what they were. Where images are no files of their own,
    /// the newest file of the set tells.
    pub fn of<E: fmt::Display>(
        gallery: &Gallery,
        open: impl FnOnce(&GalleryRecord) -> Result<ImageSet, E>,
    ) -> Self {
        let Some(record) = gallery.record() else { return Self::Unknown };
        let images = match open(record) {
            Ok(images) => images,
            Err(error) => return Self::Unreachable { reason: error.to_string() },
        };
        let (people, of_set) = (people_of(&images), newest(Path::new(&record.source)));
        let rows: HashMap<&String, usize> = gallery.names().iter().zip(0..).collect();
        let (mut new, mut changed, mut found, mut written) = (0, 0, 0, Vec::new());
        for (index, (name, person)) in images.names().iter().zip(&people).enumerate() {
            let Some(&row) = rows.get(name) else {
                new += 1;
                continue;
            };
            found += 1;
            if gallery.identities()[row] != *person {
                changed += 1;
            } else if images.last_written(index).or(of_set).is_none_or(|time| time >= record.made.time()) {
                written.push((index, record.pixels[row]));
            }
        }
        let looked_at = &written[..written.len().min(LOOKED_AT)];
        let differs = |&(index, pixels): &(usize, u64)| {
            let picture = images.load(index, record.image_size);
            picture.map_or(true, |picture| fingerprint(&plain(picture, record.image_size)) != pixels)
        };
        changed += looked_at.par_iter().filter(|image| differs(image)).count();
        let (gone, written_since) = (gallery.len() - found, written.len() - looked_at.len());
        match (new, changed, gone, written_since) {
            (0, 0, 0, 0) => Self::UpToDate,
            _ => Self::Changed { new, changed, gone, written_since },
        }
    }
}

impl fmt::Display for GalleryState {
    /// As a clause about what it was made of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("of which the file says nothing"),
            Self::Unreachable { reason } => write!(f, "which cannot be looked at: {reason}"),
            Self::UpToDate => f.write_str("which is as it was"),
            Self::Changed { new, changed, gone, written_since } => {
                write!(f, "which has changed since: {new} new, {changed} changed, {gone} gone")?;
                match written_since {
                    0 => Ok(()),
                    more => write!(f, ", and {more} written since that were not looked at"),
                }
            }
        }
    }
}

/// When the newest of the files of a set was written: that file, or those in the folder.
fn newest(set: &Path) -> Option<SystemTime> {
    match fs::read_dir(set) {
        Ok(files) => files.filter_map(|file| last_written(&file.ok()?.path())).max(),
        Err(_) => last_written(set),
    }
}

/// Who is on each of `images`: as their folders or their list say; or, where nobody says so, each image is called as the
/// person on it.
pub fn people_of(images: &ImageSet) -> Vec<String> {
    let stem = |name: &String| name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
    match images.identities() {
        Some(identities) => identities.to_vec(),
        None => images.names().iter().map(stem).collect(),
    }
}

#[cfg(test)]
mod tests {
    use facegrad_embeddings::Origin;
    use facegrad_verification::{Flip, Similarity};

    use super::*;

    fn put(root: &Path, name: &str, grey: u8) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [b"P5 2 2 255\n".as_slice(), &[grey; 4]].concat()).unwrap();
    }

    /// A gallery of the images of a folder, made at `made`.
    fn gallery(root: &Path, made: &str) -> Gallery {
        let images = ImageSet::open(root).unwrap();
        let survey = images.survey([2, 2], &mut |_| true).unwrap();
        let origin = Origin {
            facegrad: "0".into(),
            model_sha256: Some("ab".into()),
            preprocessing: None,
            flip: Flip::Add,
            scoring: Similarity::Cosine,
            backend: "flex".into(),
            pixels_sha256: None,
            normalised: false,
        };
        let (names, rows) = (images.names().to_vec(), vec![1.0; images.len()]);
        let gallery = Gallery::new(1, rows, names, people_of(&images), origin).unwrap();
        let record = GalleryRecord {
            made: made.parse().unwrap(),
            source: facegrad_files::name_of(root),
            settings: Vec::new(),
            image_size: [2, 2],
            batch: 1,
            pixels: survey.fingerprints,
        };
        gallery.recorded(record).unwrap()
    }

    fn state(gallery: &Gallery) -> GalleryState {
        GalleryState::of(gallery, |record| ImageSet::open(Path::new(&record.source)))
    }

    #[test]
    fn what_became_of_the_images_of_a_gallery_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("people");
        (0..3).for_each(|i| put(&root, &format!("a/{i}.pgm"), i));
        let old = gallery(&root, "2020-01-01T00:00:00Z");
        // All were written since, and have the same pixels: so has one that is written again.
        put(&root, "a/1.pgm", 1);
        assert_eq!(state(&old), GalleryState::UpToDate);
        put(&root, "a/1.pgm", 100);
        put(&root, "b/0.pgm", 7);
        fs::remove_file(root.join("a/2.pgm")).unwrap();
        let now = state(&old);
        assert_eq!(now, GalleryState::Changed { new: 1, changed: 1, gone: 1, written_since: 0 });
        assert_eq!(now.to_string(), "which has changed since: 1 new, 1 changed, 1 gone");
        // What was not written since is not read.
        let later = gallery(&root, "2100-01-01T00:00:00Z");
        put(&root, "a/1.pgm", 101);
        assert_eq!(state(&later), GalleryState::UpToDate);
        fs::write(root.join("a/0.pgm"), "no image").unwrap();
        let now = state(&old);
        assert_eq!(now, GalleryState::Changed { new: 1, changed: 2, gone: 1, written_since: 0 });
        fs::rename(&root, folder.path().join("moved")).unwrap();
        assert!(matches!(state(&old), GalleryState::Unreachable { .. }));
    }

    #[test]
    fn of_many_images_written_since_some_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        (0..LOOKED_AT + 10).for_each(|i| put(root, &format!("a/{i:04}.pgm"), 1));
        let now = state(&gallery(root, "2020-01-01T00:00:00Z"));
        assert_eq!(now, GalleryState::Changed { new: 0, changed: 0, gone: 0, written_since: 10 });
        assert!(now.to_string().ends_with(", and 10 written since that were not looked at"));
    }
}
