//! Images that a person points at: sets of any kind, and single files.

use std::{
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use facegrad_faces::{
    FaceError, FaceSource, OpenSet, SourceConfig, SourceError, StoredImage, Summary, folder::EXTENSIONS,
};
use facegrad_files::{hexadecimal, name_of, sha256};
use facegrad_pictures::{Picture, decode::read_file, plain};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::Images;

/// Images decoded at a time when all of them are looked at.
const SURVEYED: usize = 256;

/// Images of sets and single files, in the order of these, and who is on them where that is known.
#[derive(Clone, Default)]
pub struct ImageSet {
    sources: Vec<Arc<dyn FaceSource>>,
    /// For each image its source, and its index there.
    places: Vec<[u32; 2]>,
    names: Vec<String>,
    identities: Option<Vec<String>>,
    summary: Summary,
}

/// Why there are no images.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ImageSetError {
    /// There is nothing at the path.
    #[error("there is no {}; an image, or a set of images such as a folder, a list, a .rec or a .tar is expected", .0.display())]
    Missing(PathBuf),
    /// What is there is no set, or cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Some sources say who is on their images and others do not.
    #[error(
        "{} says who is on each image and {} does not; embed them into files of their own",
        with.display(), without.display()
    )]
    Mixed { with: PathBuf, without: PathBuf },
}

/// What a look at every image found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSurvey {
    /// SHA-256 of the pixels of all readable images, as the network sees them, in order.
    pub pixels_sha256: String,
    /// The images that cannot be read, in order.
    pub unreadable: Vec<UnreadableImage>,
    /// The start of the SHA-256 of the pixels of each readable image.
    pub fingerprints: Vec<u64>,
}

/// An image that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableImage {
    /// Its place in the set.
    pub index: usize,
    /// What it is called there.
    pub name: String,
    /// Why, as a clause.
    pub reason: String,
}

impl ImageSet {
    /// What lies at `path`: a single image, or a set of any kind that is known, as [`SourceConfig::of_path`] finds it.
    ///
    /// # Errors
    /// If there are no images, or nobody can read them.
    pub fn open(path: &Path) -> Result<Self, ImageSetError> {
        match Self::photograph(path)? {
            Some(image) => Ok(image),
            None => Ok(Self::of(SourceConfig::of_path(path)?.open_images()?)),
        }
    }

    /// The single image at `path`, if it is one by its ending or by its first bytes. Nobody knows who is on it.
    ///
    /// # Errors
    /// If there is nothing.
    pub fn photograph(path: &Path) -> Result<Option<Self>, ImageSetError> {
        if !is_photograph(path)? {
            return Ok(None);
        }
        let name = name_of(Path::new(path.file_name().unwrap_or_default()));
        Ok(Some(Self::of_file(path, name)))
    }

    /// What lies at `path` for whoever looks for the people on it: as [`ImageSet::open`], but each image is called by
    /// where it is ([`FaceSource::name`]), and a file that is no set is an image, which shows when it is loaded.
    ///
    /// # Errors
    /// If there are no images, or nobody can read them.
    pub fn open_by_place(path: &Path) -> Result<Self, ImageSetError> {
        let by_itself = || Self::of_file(path, name_of(path));
        if is_photograph(path)? {
            return Ok(by_itself());
        }
        let set = match SourceConfig::of_path(path) {
            Ok(config) => config.open_images()?,
            Err(SourceError::Unknown { .. }) => return Ok(by_itself()),
            Err(error) => return Err(error.into()),
        };
        let names = (0..set.source.len()).map(|index| set.source.name(index)).collect();
        Ok(Self { names, ..Self::of(set) })
    }

    fn of_file(path: &Path, name: String) -> Self {
        let size = path.metadata().map_or(0, |about| about.len());
        let photograph = Photograph { path: path.into(), name, size, identity: [String::new()] };
        let summary = Summary { images: 1, ..Summary::default() };
        Self::of(OpenSet { source: Arc::new(photograph), summary })
    }

    /// The images of a set, called as the set calls them ([`FaceSource::key`]).
    pub fn of(set: OpenSet) -> Self {
        let identity = |index| set.source.identities()[set.source.label(index)].clone();
        Self {
            places: (0..set.source.len() as u32).map(|index| [0, index]).collect(),
            names: (0..set.source.len()).map(|index| set.source.key(index)).collect(),
            identities: set.is_labelled().then(|| (0..set.source.len()).map(identity).collect()),
            sources: vec![set.source],
            summary: set.summary,
        }
    }

    /// The images of several sets, each with where it was found, one set after the other.
    ///
    /// # Errors
    /// If only some say who is on their images.
    pub fn join(sets: Vec<(PathBuf, Self)>) -> Result<Self, ImageSetError> {
        let is_labelled = |(_, set): &&(PathBuf, Self)| set.identities.is_some();
        let (with, without) = (sets.iter().find(is_labelled), sets.iter().find(|set| !is_labelled(set)));
        if let (Some((with, _)), Some((without, _))) = (with, without) {
            return Err(ImageSetError::Mixed { with: with.clone(), without: without.clone() });
        }
        Ok(Self::concatenate(sets.into_iter().map(|(_, set)| set).collect()))
    }

    /// The images of several sets, one set after the other. Who is on them is known if every set says so.
    pub fn concatenate(sets: Vec<Self>) -> Self {
        let mut sets = sets.into_iter();
        let mut all = sets.next().unwrap_or_default();
        for mut set in sets {
            let before = all.sources.len() as u32;
            all.places.extend(set.places.iter().map(|[source, image]| [before + source, *image]));
            all.sources.append(&mut set.sources);
            all.names.append(&mut set.names);
            all.identities = all.identities.zip(set.identities).map(|(mut all, mut identities)| {
                all.append(&mut identities);
                all
            });
            all.summary.add(&set.summary);
        }
        all
    }

    /// What each image is called.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Who is on each image, where that is known.
    pub fn identities(&self) -> Option<&[String]> {
        self.identities.as_deref()
    }

    /// What was left out of the sets, and what need not be wrong with them and may be.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What need not be wrong and may be, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.summary.notes
    }

    /// SHA-256 (hex) over what the sets are, all images counted: names, labels and sizes of files.
    pub fn fingerprint(&self) -> String {
        match &self.sources[..] {
            [only] => only.fingerprint(),
            several => {
                sha256(several.iter().map(|source| source.fingerprint()).collect::<String>().as_bytes())
            }
        }
    }

    /// When the file of image `index` was last written, where it has one of its own.
    pub fn last_written(&self, index: usize) -> Option<SystemTime> {
        let [source, image] = self.places[index];
        facegrad_files::last_written(Path::new(&self.sources[source as usize].name(image as usize)))
    }

    /// The set without some of its images.
    pub fn without(mut self, left_out: &[UnreadableImage]) -> Self {
        let mut keep = vec![true; self.len()];
        left_out.iter().for_each(|image| keep[image.index] = false);
        fn retain<T>(all: &mut Vec<T>, keep: &[bool]) {
            let mut keep = keep.iter();
            all.retain(|_| keep.next().is_some_and(|keep| *keep));
        }
        retain(&mut self.names, &keep);
        retain(&mut self.places, &keep);
        if let Some(identities) = &mut self.identities {
            retain(identities, &keep);
        }
        self
    }

    /// Decodes every image as a network sees it that takes images of `size` (height, width): which cannot be
    /// read, and what is on the others, before any is embedded. `progress` is told how many are done, and says
    /// whether to go on; without that there is no survey.
    pub fn survey(&self, size: [usize; 2], progress: &mut dyn FnMut(usize) -> bool) -> Option<ImageSurvey> {
        let (mut hash, mut unreadable, mut fingerprints) = (Sha256::new(), Vec::new(), Vec::new());
        for start in (0..self.len()).step_by(SURVEYED) {
            let end = (start + SURVEYED).min(self.len());
            let look = |index| {
                let picture = plain(self.load(index, size)?, size);
                let fingerprint = fingerprint(&picture);
                Ok((picture, fingerprint))
            };
            let looks: Vec<Result<_, FaceError>> = (start..end).into_par_iter().map(look).collect();
            for (index, look) in (start..).zip(looks) {
                match look {
                    Ok((picture, fingerprint)) => {
                        hash.update(picture.pixels());
                        fingerprints.push(fingerprint);
                    }
                    Err(FaceError { reason, .. }) => {
                        unreadable.push(UnreadableImage { index, name: self.name(index), reason });
                    }
                }
            }
            if !progress(end) {
                return None;
            }
        }
        Some(ImageSurvey { pixels_sha256: hexadecimal(&hash.finalize()), unreadable, fingerprints })
    }
}

/// Whether what lies at `path` is an image by its ending or by its first bytes.
///
/// # Errors
/// If there is nothing.
fn is_photograph(path: &Path) -> Result<bool, ImageSetError> {
    let Ok(about) = path.metadata() else { return Err(ImageSetError::Missing(path.into())) };
    let is_image = |found: &OsStr| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known));
    let has_ending = || path.extension().is_some_and(is_image);
    Ok(!about.is_dir() && (has_ending() || begins_as_image(path)))
}

/// Whether a file that may be called anything, such as a pipe, begins as a JPEG, PNG or WebP image does, and no text.
fn begins_as_image(path: &Path) -> bool {
    const STARTS: [&[u8]; 3] = [b"\xFF\xD8\xFF", b"\x89PNG", b"RIFF"];
    let mut start = [0; 4];
    let read = facegrad_files::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && STARTS.iter().any(|known| start.starts_with(known))
}

/// What tells pictures apart: the start of the SHA-256 of their pixels.
pub(crate) fn fingerprint(picture: &Picture) -> u64 {
    let hash = Sha256::digest(picture.pixels());
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Images for ImageSet {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn name(&self, index: usize) -> String {
        self.names[index].clone()
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let [source, image] = self.places[index];
        self.sources[source as usize].load(image as usize, size)
    }
}

/// An image file that was named by itself, as a set of one image.
struct Photograph {
    path: PathBuf,
    name: String,
    size: u64,
    /// Nobody knows.
    identity: [String; 1],
}

impl FaceSource for Photograph {
    fn len(&self) -> usize {
        1
    }

    fn identities(&self) -> &[String] {
        &self.identity
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn name(&self, _index: usize) -> String {
        name_of(&self.path)
    }

    fn key(&self, _index: usize) -> String {
        self.name.clone()
    }

    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        let read = read_file(&self.path).map(StoredImage::Encoded);
        read.map_err(|error| FaceError { name: self.name(index), reason: error.to_string() })
    }

    fn fingerprint(&self) -> String {
        sha256(format!("{}\0{}", self.name, self.size).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A picture of 2 x 2 pixels of one grey.
    fn put(root: &Path, path: &str, grey: u8) -> PathBuf {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [b"P5 2 2 255\n".as_slice(), &[grey; 4]].concat()).unwrap();
        path
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    #[test]
    fn what_each_kind_of_source_means() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (i, path) in
            ["people/b/2.pgm", "people/b/1/x.pgm", "people/a c/1.pgm", "flat/2.pgm", "flat/1.pgm"]
                .into_iter()
                .enumerate()
        {
            put(root, path, i as u8);
        }
        put(root, "people/sheet.pgm", 9);
        fs::write(root.join("people/b/notes.txt"), "").unwrap();
        let open = |path: &str| ImageSet::open(&root.join(path));

        let people = open("people").unwrap();
        assert_eq!(people.names(), texts(&["a c/1.pgm", "b/1/x.pgm", "b/2.pgm"]));
        assert_eq!(people.identities().unwrap(), texts(&["a c", "b", "b"]));
        assert_eq!(people.summary().left_out_in_words(), "1 junk file, 1 image in no person's folder");
        assert_eq!(people.load(2, [2, 2]).unwrap().pixels()[0], 0);

        let flat = open("flat").unwrap();
        assert_eq!((flat.names(), flat.identities()), (&texts(&["1.pgm", "2.pgm"])[..], None));

        let image = open("flat/2.pgm").unwrap();
        assert_eq!((image.names(), image.identities()), (&texts(&["2.pgm"])[..], None));
        assert_eq!(image.load(0, [2, 2]).unwrap().pixels()[0], 3);

        let list = root.join("list.txt");
        fs::write(&list, "people/b/2 Bob\npeople/b/gone Bob\n").unwrap();
        let listed = open("list.txt").unwrap();
        assert_eq!(listed.names(), texts(&["people/b/2", "people/b/gone"]));
        assert_eq!(listed.identities().unwrap(), texts(&["Bob", "Bob"]));
        assert_eq!(listed.load(0, [2, 2]).unwrap().pixels()[0], 0);
        assert!(listed.load(1, [2, 2]).unwrap_err().reason.contains("cannot be read"));
        fs::write(&list, "flat/2.pgm\nflat/1\n").unwrap();
        let listed = open("list.txt").unwrap();
        assert_eq!((listed.names(), listed.identities()), (&texts(&["flat/2.pgm", "flat/1"])[..], None));
        assert_eq!(listed.load(1, [2, 2]).unwrap().pixels()[0], 4);
        // Two folders tell people apart, whatever the list is called.
        fs::write(root.join("paths"), "people/b/2.pgm\npeople/a c/1.pgm\n").unwrap();
        assert_eq!(open("paths").unwrap().identities().unwrap(), texts(&["b", "a c"]));

        let all = |paths: &[&str]| {
            ImageSet::join(paths.iter().map(|path| (root.join(path), open(path).unwrap())).collect())
        };
        let two = all(&["flat/1.pgm", "flat/2.pgm"]).unwrap();
        assert_eq!(two.names(), texts(&["1.pgm", "2.pgm"]));
        assert_eq!([0, 1].map(|image| two.load(image, [2, 2]).unwrap().pixels()[0]), [4, 3]);
        assert_ne!(two.fingerprint(), flat.fingerprint());
        let error = all(&["flat", "people"]).err().unwrap().to_string();
        let expected = format!("{} says who is on each image and", root.join("people").display());
        assert!(error.starts_with(&expected), "{error}");

        fs::create_dir(root.join("empty")).unwrap();
        let error = |path: &str| open(path).err().unwrap().to_string();
        assert!(
            error("empty")
                .ends_with("empty holds no images (jpg, jpeg, jpe, jfif, png, webp, bmp, pgm, ppm)")
        );
        assert!(error("no").ends_with(
            "no; an image, or a set of images such as a folder, a list, a .rec or a .tar is expected"
        ));
        fs::write(root.join("a.zip"), b"PK\x03\x04").unwrap();
        assert!(error("a.zip").contains("a.zip: it is a zip archive"));
    }

    #[test]
    fn a_survey_finds_what_cannot_be_read_and_hashes_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..600 {
            put(folder.path(), &format!("{i:03}.pgm"), (i % 251) as u8);
        }
        for i in [0, 255, 300, 599] {
            fs::write(folder.path().join(format!("{i:03}.pgm")), "no image").unwrap();
        }
        let set = ImageSet::open(folder.path()).unwrap();
        let mut told = Vec::new();
        let survey = set.survey([2, 2], &mut |done| {
            told.push(done);
            true
        });
        let survey = survey.unwrap();
        assert_eq!(told, [256, 512, 600]);
        let bad: Vec<usize> = survey.unreadable.iter().map(|image| image.index).collect();
        assert_eq!(bad, [0, 255, 300, 599]);
        assert_eq!(survey.unreadable[1].name, "255.pgm");
        assert!(survey.unreadable[1].reason.contains("not a JPEG"));
        let pixels: Vec<u8> =
            (0..600).filter(|i| !bad.contains(i)).flat_map(|i| [(i % 251) as u8; 12]).collect();
        assert_eq!(survey.pixels_sha256, facegrad_files::sha256(&pixels));

        let rest = set.clone().without(&survey.unreadable);
        assert_eq!(rest.len(), 596);
        assert_eq!((rest.name(0).as_str(), rest.name(595).as_str()), ("001.pgm", "598.pgm"));
        let again = rest.survey([2, 2], &mut |_| true).unwrap();
        assert_eq!(again, ImageSurvey { unreadable: Vec::new(), ..survey });
        assert!(set.survey([2, 2], &mut |done| done < 300).is_none());
    }
}
