//! Kinds of data sets: one file and one line here for each.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use facegrad_settings::{KeyPath, Schema, Section, Setting, SettingsError, kinds, toml};

use crate::FaceSource;

mod endings;
mod error;
pub mod folder;
mod insightface_bin;
mod labelled;
mod labels;
mod list;
mod mnist;
mod offset;
mod parquet;
pub(crate) mod positioned;
pub(crate) mod recordio;
mod several;
mod subset;
mod summary;
mod synthetic;
mod webdataset;

pub use endings::Endings;
pub use error::{Place, SourceError};
pub use folder::FolderConfig;
pub use insightface_bin::InsightfaceBinSetConfig;
pub use labels::LabelGaps;
pub use list::{ListConfig, ListOrder};
pub use mnist::{MnistConfig, MnistPart};
pub use parquet::ParquetConfig;
pub use recordio::RecordIoConfig;
pub use several::SourcesConfig;
pub use subset::SubsetConfig;
pub use summary::Summary;
pub use synthetic::SyntheticConfig;
pub use webdataset::WebDatasetConfig;

/// A source that is ready to be read.
#[derive(Clone)]
pub struct OpenSet {
    /// The images.
    pub source: Arc<dyn FaceSource>,
    /// What was found and what was left out.
    pub summary: Summary,
}

impl OpenSet {
    /// Whether anything says who is on the images. If not, all are of one identity without a name.
    pub fn is_labelled(&self) -> bool {
        !matches!(self.source.identities(), [only] if only.is_empty())
    }
}

/// What a set is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelNeed {
    /// To tell people apart: every image has a label.
    Required,
    /// For its images: who is on them is taken along where the set says so, and numbers of identities without an
    /// image are nothing to complain of.
    Optional,
}

impl LabelNeed {
    /// What to do about gaps between labels, where a config says `gaps`.
    fn gaps(self, gaps: LabelGaps) -> LabelGaps {
        match self {
            Self::Required => gaps,
            Self::Optional => LabelGaps::Close,
        }
    }
}

/// What the config of every kind of data set provides.
pub trait Format {
    /// The config of the set at `path`, if what lies there looks like this kind; see [`SourceConfig::of_path`].
    fn of_path(&self, path: &Path) -> Option<SourceKind>;

    /// Where the set is, and what is expected there; `None` for a set that is nowhere.
    fn path(&self) -> Option<(&Path, &'static str)>;

    /// A short name for the set, such as that of its file.
    fn title(&self) -> String {
        self.path().map(|(path, _)| title_of(path)).unwrap_or_default()
    }

    /// Opens the set: its labels are read, no image is decoded.
    ///
    /// # Errors
    /// If it cannot be read, or says not who is on its images where that is needed.
    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError>;

    /// Opens the set to tell people apart in it.
    ///
    /// # Errors
    /// Those of [`Format::open_for`].
    fn open(&self) -> Result<OpenSet, SourceError> {
        self.open_for(LabelNeed::Required)
    }
}

kinds! {
    /// Where labelled face images come from. What lies at a path is taken for the first kind that recognises it.
    pub enum SourceKind: dyn Format {
        /// Faces drawn by the program: nothing to download.
        Synthetic(SyntheticConfig) = "synthetic",
        /// A RecordIO file of insightface or MXNet.
        RecordIo(RecordIoConfig) = "recordio",
        /// Shards of samples in tar files.
        WebDataset(WebDatasetConfig) = "webdataset",
        /// Images that a text file lists with their labels.
        List(ListConfig) = "list",
        /// Images in the rows of Parquet files.
        Parquet(ParquetConfig) = "parquet",
        /// Grey pictures in idx files, as MNIST has them.
        Mnist(MnistConfig) = "mnist",
        /// The images of a verification set of insightface.
        InsightfaceBin(InsightfaceBinSetConfig) = "insightface_bin",
        /// A folder with one folder of images an identity.
        Folder(FolderConfig) = "folder",
    }
}

impl<T: Into<SourceKind>> From<T> for SourceConfig {
    fn from(kind: T) -> Self {
        Self { kind: kind.into(), subset: SubsetConfig::default() }
    }
}

/// A labelled set of images: its kind, and which part of it is taken.
///
/// In a config both are keys of one section.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// Where the images come from.
    pub kind: SourceKind,
    /// Which of them are taken.
    pub subset: SubsetConfig,
}

impl Default for SourceConfig {
    fn default() -> Self {
        SyntheticConfig::default().into()
    }
}

impl SourceConfig {
    /// The set at `path`, of whatever kind it looks like, with every key at its default. Text is a list, whatever it is
    /// called.
    ///
    /// # Errors
    /// If there is nothing, or nothing that is known.
    pub fn of_path(path: &Path) -> Result<Self, SourceError> {
        let kinds = SourceKind::KINDS.iter().filter_map(|kind| SourceKind::of_kind(kind));
        if let Some(kind) = kinds.filter_map(|kind| kind.of_path(path)).next() {
            return Ok(kind.into());
        }
        let expected = "a set of face images";
        let start = start_of(path).map_err(|error| SourceError::unreadable(path, expected, error))?;
        if is_text(&start) {
            return Ok(ListConfig { path: path.into(), ..ListConfig::default() }.into());
        }
        let reason = format!("it is {}; {expected} is expected: {SETS}", looks_like(&start));
        Err(SourceError::Unknown { path: path.into(), reason })
    }

    /// A short name for the set.
    pub fn title(&self) -> String {
        self.kind.title()
    }

    /// What is wrong with the keys at `at` before anything is read.
    pub fn validate(&self, at: &KeyPath) -> Result<(), SettingsError> {
        match self.kind.path() {
            Some((path, what)) if path.as_os_str().is_empty() => {
                Err(SettingsError::Missing { key: at.join("path"), expected: format!("it is {what}") })
            }
            _ => Ok(()),
        }
    }

    /// Opens the set to tell people apart in it: its labels are read, no image is decoded.
    ///
    /// # Errors
    /// If it cannot be read, or fewer than two identities are left.
    pub fn open(&self) -> Result<OpenSet, SourceError> {
        let opened = self.open_any()?;
        subset::check_identities(&self.title(), &opened, self.subset.min_images)?;
        Ok(opened)
    }

    /// Opens the set, however few identities it has.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_any(&self) -> Result<OpenSet, SourceError> {
        self.taken(self.kind.open()?)
    }

    /// The part of a set that is taken.
    fn taken(&self, mut opened: OpenSet) -> Result<OpenSet, SourceError> {
        opened.summary.notes.extend(self.passed_over());
        self.subset.take(opened, &self.title())
    }

    /// That there are folders of images where a file was taken for the set.
    fn passed_over(&self) -> Option<String> {
        let (path, _) = self.kind.path().filter(|(path, _)| path.is_dir())?;
        if matches!(self.kind, SourceKind::Folder(_)) {
            return None;
        }
        let has_images = |folder: &Path| {
            let is_image = |file: &Path| {
                let ending = file.extension().and_then(|ending| ending.to_str());
                ending.is_some_and(|ending| {
                    folder::EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(ending))
                })
            };
            std::fs::read_dir(folder)
                .is_ok_and(|entries| entries.flatten().any(|entry| is_image(&entry.path())))
        };
        let folders = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
        let count = folders.filter(|folder| folder.is_dir() && has_images(folder)).count();
        // One may be anything; people are several.
        (count > 1).then(|| {
            format!(
                "{} holds {count} folders of images, and a {} set that was taken in their place; kind = \"folder\" takes the folders",
                path.display(),
                self.kind.kind()
            )
        })
    }

    /// Opens the set for its images, whether it says who is on them or not ([`OpenSet::is_labelled`]).
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_images(&self) -> Result<OpenSet, SourceError> {
        self.taken(self.kind.open_for(LabelNeed::Optional)?)
    }
}

impl Setting for SourceConfig {
    fn read(value: &toml::Value, at: &KeyPath) -> Result<Self, SettingsError> {
        // The keys of both together, so that a misspelt one is compared with all of them.
        let Schema::Kinds(kinds) = Self::schema() else { unreachable!("declared as kinds") };
        let (name, keys) = facegrad_settings::split_kind(value, at, &kinds)?;
        let known = kinds.iter().find(|kind| kind.name == name).map(|kind| &kind.keys[..]);
        facegrad_settings::read_keys(&keys, at, known.unwrap_or_default())?;
        let (mut kind, mut subset) = (value.clone(), toml::Table::new());
        if let Some(table) = kind.as_table_mut() {
            for key in SubsetConfig::keys() {
                subset.extend(table.remove(key.name).map(|value| (key.name.to_owned(), value)));
            }
        }
        Ok(Self {
            kind: SourceKind::read(&kind, at)?,
            subset: SubsetConfig::read(&toml::Value::Table(subset), at)?,
        })
    }

    fn write(&self) -> Option<toml::Value> {
        let mut value = self.kind.write()?;
        if let (Some(table), Some(toml::Value::Table(subset))) = (value.as_table_mut(), self.subset.write()) {
            table.extend(subset);
        }
        Some(value)
    }

    fn schema() -> Schema {
        let mut schema = SourceKind::schema();
        if let Schema::Kinds(kinds) = &mut schema {
            for kind in kinds {
                kind.keys.extend(SubsetConfig::keys());
            }
        }
        schema
    }
}

facegrad_settings::serde_through_toml!(SourceConfig);

/// What sets there are, for whoever named something else.
const SETS: &str = "a folder, a list of paths, a RecordIO file (.rec), tar shards, Parquet files, a folder of idx files or \
                    a .bin of insightface";

/// What a file may begin with that people take for a set, and what it is.
const OTHERS: [(&[u8], &str); 15] = [
    (b"\xFF\xD8\xFF", "a single image"),
    (b"\x89PNG", "a single image"),
    (b"RIFF", "a single image"),
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"PK\x03\x04", "a zip archive (of images, or an .npz), which has to be unpacked"),
    (b"7z\xBC\xAF", "a 7z archive, which has to be unpacked"),
    (b"\x1F\x8B", "compressed by gzip, and has to be decompressed"),
    (b"BZh", "compressed by bzip2, and has to be decompressed"),
    (b"\xFD7zXZ", "compressed by xz, and has to be decompressed"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x89HDF", "an HDF5 file"),
];

/// Bytes that are looked at to tell what a file is.
const LOOKED_AT: u64 = 4096;

/// The first bytes of a file.
fn start_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    facegrad_files::open(path)?.take(LOOKED_AT).read_to_end(&mut start)?;
    Ok(start)
}

/// Whether a file that begins so is text, of whatever encoding, which whoever reads it as a list names.
fn is_text(start: &[u8]) -> bool {
    let is_other = OTHERS.iter().any(|(known, _)| start.starts_with(known));
    // A letter may be cut in two at the end.
    !is_other && !matches!(facegrad_files::text_of(start.to_vec()), Err(facegrad_files::NoText::Binary))
}

/// What a file seems to be that begins so, after `it is`.
fn looks_like(start: &[u8]) -> &'static str {
    OTHERS
        .iter()
        .find(|(known, _)| start.starts_with(known))
        .map_or("of no kind that is known", |(_, what)| what)
}

/// The last part of a path, without extension if it is a file's, as a short name of a set.
pub(crate) fn title_of(path: &Path) -> String {
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    facegrad_files::name_of(Path::new(name.unwrap_or(path.as_os_str())))
}

/// Whether a name ends with one of these extensions, in any case.
pub(crate) fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().is_some_and(|found| known.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// What lies in a folder and not in folders of it and `is_wanted`, by name.
fn files_in(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path());
    }
    found.retain(|path| is_wanted(path));
    found.sort_unstable();
    Ok(found)
}

/// The image that `reference/write_records.py` calls number `number`: no image, but bytes with the magic number of
/// RecordIO among them.
#[cfg(test)]
pub(crate) fn reference_content(number: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..20 + number).map(|at| (number * 31 + at * 7) as u8).collect();
    if !number.is_multiple_of(4) {
        let at = [0, 0, 8, 5][number % 4];
        bytes.splice(at..at, recordio::record::MAGIC.repeat(number));
    }
    bytes
}

/// The folder with real files of other programs, where it is at hand.
#[cfg(test)]
pub(crate) fn shared_fixtures() -> Option<std::path::PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("FACEGRAD_SHARED_DATA").map_or_else(beside, Into::into);
    let fixtures = data.join("fixtures");
    if !fixtures.is_dir() {
        println!("skipped: {} is not there", fixtures.display());
        return None;
    }
    Some(fixtures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SourceConfig, SettingsError> {
        SourceConfig::read(&toml::Value::Table(text.parse().unwrap()), &"data.train".into())
    }

    #[test]
    fn the_keys_of_a_kind_and_of_the_subset_are_one_section() {
        let config = read("kind = \"folder\"\npath = \"faces\"\nmax_identities = 7").unwrap();
        assert_eq!(config.subset, SubsetConfig { max_identities: Some(7), ..Default::default() });
        assert_eq!(config.kind, SourceKind::Folder(FolderConfig { path: "faces".into() }));
        let written = config.write().unwrap();
        assert_eq!(
            written.to_string(),
            "{ kind = \"folder\", path = \"faces\", min_images = 1, max_identities = 7 }"
        );
        assert_eq!(SourceConfig::read(&written, &"".into()).unwrap(), config);
    }

    #[test]
    fn folders_beside_a_file_that_is_taken_for_the_set_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/reference/set_plain.parquet");
        std::fs::copy(reference, folder.path().join("set.parquet")).unwrap();
        let notes = || {
            let config = SourceConfig::of_path(folder.path()).unwrap();
            assert_eq!(config.kind.kind(), "parquet");
            config.open_images().unwrap().summary.notes
        };
        let told = |notes: Vec<String>| notes.into_iter().find(|note| note.contains("folders of images"));
        for (person, is_told) in [("ann", false), ("bob", true)] {
            std::fs::create_dir(folder.path().join(person)).unwrap();
            std::fs::write(folder.path().join(person).join("1.JPG"), "x").unwrap();
            assert_eq!(told(notes()).is_some(), is_told, "{person}");
        }
        let note = told(notes()).unwrap();
        assert!(
            note.contains(" holds 2 folders of images, and a parquet set that was taken in their place"),
            "{note}"
        );
    }

    #[test]
    fn errors_name_the_key() {
        let error = |text| read(text).unwrap_err().to_string();
        assert_eq!(
            error("kind = \"folder\"\nmin_images = 0"),
            "data.train.min_images is 0; it must be 1 or more"
        );
        assert_eq!(
            error("kind = \"folder\"\nmin_image = 2"),
            "data.train.min_image is not a key of this section; did you mean data.train.min_images?"
        );
        assert_eq!(
            error("kind = \"folder\"\nidentities = 2"),
            "data.train.identities has no effect with data.train.kind = \"folder\"; it belongs to synthetic"
        );
        assert_eq!(
            read("kind = \"folder\"").unwrap().validate(&"data.train".into()).unwrap_err().to_string(),
            "data.train.path is missing; it is the folder that holds one folder of images an identity"
        );
    }

    #[test]
    fn what_is_no_set_is_one_sentence() {
        let root = tempfile::tempdir().unwrap();
        let error = |name: &str| {
            let error = SourceConfig::of_path(&root.path().join(name)).unwrap_err().to_string();
            error.replace(&root.path().display().to_string(), "ROOT")
        };
        assert_eq!(error("nothing"), "there is no ROOT/nothing; a set of face images is expected");
        for (name, start, what) in [
            ("a.exe", &b"MZ\x90\0\x03\0"[..], "of no kind that is known"),
            ("a.jpg", b"\xFF\xD8\xFF\xE0", "a single image"),
            ("a.html", b"<!DOCTYPE html>\n", "a web page"),
            ("a.zip", b"PK\x03\x04", "a zip archive (of images, or an .npz), which has to be unpacked"),
        ] {
            std::fs::write(root.path().join(name), start).unwrap();
            let expected =
                format!("ROOT/{name}: it is {what}; a set of face images is expected: a folder, a list");
            assert!(error(name).starts_with(&expected), "{}", error(name));
        }
        for text in ["a.jpg 1\n", "", "\u{feff}Zo\u{eb}.jpg"] {
            std::fs::write(root.path().join("names"), text).unwrap();
            let config = SourceConfig::of_path(&root.path().join("names")).unwrap();
            assert!(matches!(config.kind, SourceKind::List(_)), "{text}");
        }
    }
}
