//! What was fetched into a folder, and where it came from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::card::{Card, File};

/// The name of the record in the folder.
pub const RECORD: &str = "facegrad-fetch.json";
/// It has a few lines for each file of a card.
const LONGEST: u64 = 1 << 20;

/// What was fetched into a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchRecord {
    /// The card's name.
    pub(crate) card: String,
    /// The card's licence, in a few words.
    pub(crate) licence: String,
    /// Where each file of the card came from.
    pub(crate) files: Vec<Source>,
}

/// Where a file came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// What is there: the file, or what was unpacked from it.
    pub(crate) result: String,
    /// The address it came from.
    pub(crate) url: String,
    /// Size of what came, in bytes.
    pub(crate) bytes: u64,
    /// SHA-256 of what came.
    pub(crate) sha256: String,
}

impl FetchRecord {
    fn path(folder: &Path) -> PathBuf {
        folder.join(RECORD)
    }

    /// The record of a folder; an empty one where there is none. What is no record is an error, since it would be
    /// overwritten.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let path = Self::path(folder);
        let bytes = match facegrad_files::read_bounded(&path, LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes?,
        };
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{error}; move it away"));
        serde_json::from_slice(&bytes).map_err(invalid)
    }

    /// Whether `file` is what was fetched last under the name of its result.
    pub(crate) fn has(&self, file: &File) -> bool {
        let is_it = |source: &Source| {
            source.result == file.result() && source.sha256.eq_ignore_ascii_case(&file.sha256)
        };
        self.files.iter().any(is_it)
    }

    /// Notes that `file` of `card` is there, and writes it down.
    pub(crate) fn add(&mut self, card: &Card, file: &File, folder: &Path) -> io::Result<()> {
        self.card.clone_from(&card.name);
        self.licence.clone_from(&card.licence);
        self.files.retain(|source| source.result != file.result());
        self.files.push(Source {
            result: file.result().into(),
            url: file.url.clone(),
            bytes: file.bytes,
            sha256: file.sha256.to_lowercase(),
        });
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::create_dir_all(folder)?;
        facegrad_files::replace(&Self::path(folder), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(FetchRecord::open(folder.path()).unwrap(), FetchRecord::default());
        fs::write(folder.path().join(RECORD), "[]").unwrap();
        assert!(FetchRecord::open(folder.path()).unwrap_err().to_string().contains("move it away"));
    }
}
