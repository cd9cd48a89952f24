//! Kinds of data sets: one file and one line here for each.

use std::{
    fs, io,
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
    /// If it cannot be read.
    fn open(&self) -> Result<OpenSet, SourceError>;
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
    /// The set at `path`, of whatever kind it looks like, with every key at its default.
    ///
    /// # Errors
    /// If there is nothing, or nothing that is known.
    pub fn of_path(path: &Path) -> Result<Self, SourceError> {
        let kinds = SourceKind::KINDS.iter().filter_map(|kind| SourceKind::of_kind(kind));
        if let Some(kind) = kinds.filter_map(|kind| kind.of_path(path)).next() {
            return Ok(kind.into());
        }
        if !path.exists() {
            return Err(SourceError::Missing { path: path.into(), expected: "a set of face images".into() });
        }
        let kinds = SourceKind::KINDS.join(", ");
        let reason = format!("it is not a set of face images of a kind that is known ({kinds})");
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
        self.subset.take(self.kind.open()?, &self.title())
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

/// The last part of a path, without extension if it is a file's, as a short name of a set.
pub(crate) fn title_of(path: &Path) -> String {
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
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
        std::fs::write(root.path().join("a.exe"), "MZ").unwrap();
        assert!(
            error("a.exe").starts_with("ROOT/a.exe: it is not a set of face images of a kind that is known")
        );
    }
}
