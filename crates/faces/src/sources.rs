//! The registry of data sets: one line a kind of source.

use std::sync::Arc;

use facegrad_settings::{KeyPath, SettingsError, kinds};

use crate::{FaceFolder, FaceSource, FolderConfig, SyntheticConfig, SyntheticFaces, folder::FolderError};

kinds! {
    /// Where labelled face images come from.
    pub enum SourceConfig {
        /// Faces drawn by the program: nothing to download.
        Synthetic(SyntheticConfig) = "synthetic",
        /// A folder with one folder of images an identity.
        Folder(FolderConfig) = "folder",
    }
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self::Synthetic(SyntheticConfig::default())
    }
}

/// A source that is ready to be read.
#[derive(Clone)]
pub struct Opened {
    /// The images.
    pub source: Arc<dyn FaceSource>,
    /// What was found, in one line.
    pub summary: String,
}

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A folder of images.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl SourceConfig {
    /// What is wrong with the keys at `at` before anything is read.
    pub fn validate(&self, at: &KeyPath) -> Result<(), SettingsError> {
        match self {
            Self::Folder(folder) if folder.path.as_os_str().is_empty() => Err(SettingsError::Missing {
                key: at.join("path"),
                expected: "it is the folder that holds one folder of images an identity".into(),
            }),
            Self::Folder(_) | Self::Synthetic(_) => Ok(()),
        }
    }

    /// Opens the source; a folder is listed, no image is decoded.
    pub fn open(&self) -> Result<Opened, SourceError> {
        match self {
            Self::Folder(config) => {
                let folder = FaceFolder::open(config)?;
                let summary = folder.summary().to_string();
                Ok(Opened { source: Arc::new(folder), summary })
            }
            Self::Synthetic(config) => {
                let faces = SyntheticFaces::new(config);
                let summary =
                    format!("{} images of {} synthetic identities", faces.len(), faces.identities().len());
                Ok(Opened { source: Arc::new(faces), summary })
            }
        }
    }
}
