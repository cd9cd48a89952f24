//! Images that a person points at: a folder, a list or a file.

use std::{
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use facegrad_faces::{
    Endings, FaceError,
    folder::{EXTENSIONS, FolderError, ImagePaths, with_slashes},
};
use facegrad_files::hexadecimal;
use facegrad_pictures::{Picture, decode::read_at_least, plain};
use facegrad_verification::{ListError, read_image_list};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{Images, find_image};

/// Images decoded at a time when all of them are looked at.
const SURVEYED: usize = 256;

/// Images in the order of their names or of their list, and who is on them where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageSet {
    names: Vec<String>,
    files: Vec<PathBuf>,
    identities: Option<Vec<String>>,
    left_out: usize,
    endings: Endings,
    notes: Vec<String>,
}

/// Why there are no images.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ImageSetError {
    /// There is nothing at the path.
    #[error("there is no {}; a folder of images, a text list of images or an image is expected", .0.display())]
    Missing(PathBuf),
    /// The folder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The list is none.
    #[error(transparent)]
    List(#[from] ListError),
    /// The folder is empty.
    #[error("{} holds no images ({})", .0.display(), EXTENSIONS.join(", "))]
    NoImages(PathBuf),
    /// A name that files of embeddings cannot hold.
    #[error("the name of {} is not UTF-8; rename it", .0.display())]
    Name(PathBuf),
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
    /// The images that `source` means:
    /// - a folder with images in folders of its own: each of these is a person, and images beside them are left out;
    /// - a folder with images in itself only: nobody knows who is on them;
    /// - an image;
    /// - any other file: a list (see [`read_image_list`]) of images in `folder`, or in the folder of the list,
    ///   by path with or without extension. Images that are not there show when they are loaded.
    ///
    /// Names are paths relative to the folder, with `/`; for lists, what the list says.
    ///
    /// # Errors
    /// If there are no images, or the list is not one.
    pub fn open(source: &Path, folder: Option<&Path>) -> Result<Self, ImageSetError> {
        let Ok(about) = source.metadata() else { return Err(ImageSetError::Missing(source.into())) };
        if about.is_dir() {
            return Self::of_folder(source);
        }
        let parent = source.parent().filter(|parent| !parent.as_os_str().is_empty());
        let is_image = |found| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(found));
        if source.extension().is_some_and(|found| found.to_str().is_some_and(is_image))
            || begins_as_image(source)
        {
            let name = source.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| ImageSetError::Name(source.into()))?;
            return Ok(Self { names: vec![name.into()], files: vec![source.into()], ..Self::default() });
        }
        let folder = folder.or(parent).unwrap_or(Path::new("."));
        let (names, identities) = read_image_list(source)?;
        let file = |name: &String| find_image(folder, name).unwrap_or_else(|| folder.join(name));
        Ok(Self { files: names.iter().map(file).collect(), names, identities, ..Self::default() })
    }

    fn of_folder(root: &Path) -> Result<Self, ImageSetError> {
        let ImagePaths { in_folders, beside, junk_files, endings, note } = ImagePaths::below(root)?;
        let (paths, has_people, left_out) = match in_folders.is_empty() {
            true => (beside, false, junk_files),
            false => (in_folders, true, junk_files + beside.len()),
        };
        if paths.is_empty() {
            return Err(ImageSetError::NoImages(root.into()));
        }
        let files: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
        let name = |path: &PathBuf| with_slashes(path).ok_or_else(|| ImageSetError::Name(root.join(path)));
        let names = paths.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        let person = |name: &String| name.split('/').next().unwrap_or_default().to_owned();
        let identities = has_people.then(|| names.iter().map(person).collect());
        let notes = note.into_iter().collect();
        Ok(Self { names, files, identities, left_out, endings, notes })
    }

    /// The images of several sources, one source after the other.
    ///
    /// # Errors
    /// If one of them has no images, or only some say who is on them.
    pub fn open_all(sources: &[PathBuf], folder: Option<&Path>) -> Result<Self, ImageSetError> {
        let mut all = Self::default();
        for (i, source) in sources.iter().enumerate() {
            let Self { names, files, identities, left_out, endings, notes } = Self::open(source, folder)?;
            if i == 0 {
                all.identities = identities;
            } else {
                match (&mut all.identities, identities) {
                    (Some(all), Some(identities)) => all.extend(identities),
                    (None, None) => {}
                    (all, _) => {
                        let two = [&sources[0], source];
                        let [with, without] = if all.is_some() { two } else { [two[1], two[0]] };
                        return Err(ImageSetError::Mixed { with: with.clone(), without: without.clone() });
                    }
                }
            }
            all.names.extend(names);
            all.files.extend(files);
            all.left_out += left_out;
            all.endings.add(&endings);
            all.notes.extend(notes);
        }
        Ok(all)
    }

    /// What each image is called.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Who is on each image, where that is known.
    pub fn identities(&self) -> Option<&[String]> {
        self.identities.as_deref()
    }

    /// How many files in the folders were passed over: those that are no images, are hidden or empty, and
    /// images beside folders of people.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Files among these that are no images by their ending.
    pub fn endings(&self) -> &Endings {
        &self.endings
    }

    /// What need not be wrong and may be, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// When image `index` was last written, where that is known.
    pub fn last_written(&self, index: usize) -> Option<SystemTime> {
        facegrad_files::last_written(&self.files[index])
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
        retain(&mut self.files, &keep);
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

        let people = ImageSet::open(&root.join("people"), None).unwrap();
        assert_eq!(people.names(), texts(&["a c/1.pgm", "b/1/x.pgm", "b/2.pgm"]));
        assert_eq!(people.identities().unwrap(), texts(&["a c", "b", "b"]));
        assert_eq!(people.left_out(), 2);
        assert_eq!(people.load(2, [2, 2]).unwrap().pixels()[0], 0);

        let flat = ImageSet::open(&root.join("flat"), None).unwrap();
        assert_eq!((flat.names(), flat.identities()), (&texts(&["1.pgm", "2.pgm"])[..], None));

        let image = ImageSet::open(&root.join("flat/2.pgm"), None).unwrap();
        assert_eq!((image.names(), image.identities()), (&texts(&["2.pgm"])[..], None));

        let list = root.join("list.txt");
        fs::write(&list, "people/b/2 Bob\npeople/b/gone Bob\n").unwrap();
        let listed = ImageSet::open(&list, None).unwrap();
        assert_eq!(listed.names(), texts(&["people/b/2", "people/b/gone"]));
        assert_eq!(listed.identities().unwrap(), texts(&["Bob", "Bob"]));
        assert_eq!(listed.load(0, [2, 2]).unwrap().pixels()[0], 0);
        assert!(listed.load(1, [2, 2]).unwrap_err().reason.contains("cannot be read"));
        fs::write(&list, "2.pgm\n1\n").unwrap();
        let listed = ImageSet::open(&list, Some(&root.join("flat"))).unwrap();
        assert_eq!((listed.names(), listed.identities()), (&texts(&["2.pgm", "1"])[..], None));
        assert_eq!(listed.load(1, [2, 2]).unwrap().pixels()[0], 4);

        let sources = ["flat/1.pgm", "flat/2.pgm"].map(|path| root.join(path));
        assert_eq!(ImageSet::open_all(&sources, None).unwrap().names(), texts(&["1.pgm", "2.pgm"]));
        let mixed = [root.join("flat"), root.join("people")];
        let error = ImageSet::open_all(&mixed, None).unwrap_err().to_string();
        let expected = format!("{} says who is on each image and", mixed[1].display());
        assert!(error.starts_with(&expected), "{error}");

        fs::create_dir(root.join("empty")).unwrap();
        assert!(matches!(ImageSet::open(&root.join("empty"), None), Err(ImageSetError::NoImages(_))));
        assert!(matches!(ImageSet::open(&root.join("no"), None), Err(ImageSetError::Missing(_))));
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
        let set = ImageSet::open(folder.path(), None).unwrap();
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
        assert_eq!(set.survey([2, 2], &mut |done| done < 300), None);
    }
}
