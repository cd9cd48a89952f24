//! Where a model is on disk, for writing operating points into it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use facegrad_files::{self as files, Lock, LockError};

use crate::{
    MODEL, ModelCard, ModelError, NamedPoint, checkpoint,
    model::{find, read},
    weights::{safetensors_metadata, with_metadata},
};

/// A model on disk.
#[derive(Debug)]
pub struct ModelFile {
    /// As it was named.
    path: PathBuf,
    /// What that is without links.
    resolved: PathBuf,
    /// The folder of the checkpoint that it belongs to.
    checkpoint: Option<PathBuf>,
    /// Kept from other processes while this lives.
    lock: Option<Lock>,
}

impl ModelFile {
    /// Finds the model that `path` means: a model file, a checkpoint folder, or the best checkpoint of a run folder.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(path: &Path) -> Result<Self, ModelError> {
        let path = find(path)?;
        // The file that is replaced and the folders around it, not links to them.
        let resolved = fs::canonicalize(&path)
            .map_err(|error| ModelError::Unusable { path: path.clone(), reason: error.to_string() })?;
        let checkpoint = checkpoint::of_file(&resolved).map(Path::to_path_buf);
        Ok(Self { path, resolved, checkpoint, lock: None })
    }

    /// The model file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the model says of itself.
    ///
    /// # Errors
    /// If it cannot be read, or is no model of facegrad.
    pub fn card(&self) -> Result<ModelCard, ModelError> {
        let (path, bytes) = read(&self.path)?;
        let unusable = |reason: String| ModelError::Unusable { path: path.clone(), reason };
        let metadata = safetensors_metadata(&bytes).map_err(unusable)?;
        ModelCard::of_metadata(&metadata).map_err(unusable)
    }

    /// Keeps training out of the run that the model belongs to while this lives.
    ///
    /// # Errors
    /// [`ModelError::InUse`] if it is at work there.
    pub fn lock(&mut self) -> Result<(), ModelError> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let run = checkpoint::run_of(checkpoint);
        let path = run.join(checkpoint::LOCK);
        let lock = Lock::take(&path).map_err(|error| match error {
            LockError::Held(_) => ModelError::InUse(run.into()),
            LockError::Io(source) => ModelError::Unwritable { path, source },
        });
        self.lock = Some(lock?);
        Ok(())
    }

    /// Writes `points` into the model in place of those it has; all else stays the same bytes, and what is there
    /// is either the old or the new model, whenever this process ends. `sha256` is that of the file as it was
    /// when it was measured.
    ///
    /// # Errors
    /// If the file is not that any more, or cannot be written.
    pub fn write_points(&self, points: &[NamedPoint], sha256: &str) -> Result<(), ModelError> {
        let bytes = self.with_points(points, sha256)?;
        let written = match &self.checkpoint {
            Some(checkpoint) => checkpoint::replace_file(checkpoint, MODEL, &bytes),
            None => files::replace(&self.resolved, &bytes),
        };
        written.map_err(|source| ModelError::Unwritable { path: self.path.clone(), source })
    }

    /// Writes a copy of the model with `points` to `out` and leaves the model as it is.
    ///
    /// # Errors
    /// As for [`write_points`](Self::write_points), and if `out` is a file of a checkpoint, whose manifest would
    /// not fit it.
    pub fn write_copy(&self, out: &Path, points: &[NamedPoint], sha256: &str) -> Result<(), ModelError> {
        let unwritable = |source| ModelError::Unwritable { path: out.into(), source };
        if checkpoint::of_file(out).is_some() {
            return Err(unwritable(io::Error::other("it belongs to a checkpoint; choose another place")));
        }
        files::replace(out, &self.with_points(points, sha256)?).map_err(unwritable)
    }

    /// The bytes of the model with `points`.
    fn with_points(&self, points: &[NamedPoint], sha256: &str) -> Result<Vec<u8>, ModelError> {
        // Of a checkpoint every file is verified: what is damaged is not to get a new manifest.
        let (path, bytes) = read(self.checkpoint.as_deref().unwrap_or(&self.resolved))?;
        if files::sha256(&bytes) != sha256 {
            return Err(ModelError::Changed(path));
        }
        let with_points = || {
            // Keys of the card that this version does not know stay.
            let mut card: serde_json::Value =
                serde_json::from_str(&safetensors_metadata(&bytes)?).map_err(|error| error.to_string())?;
            let keys = card.as_object_mut().ok_or("its card is no object")?;
            let points = serde_json::to_value(points).map_err(|error| error.to_string())?;
            keys.insert("operating_points".into(), points);
            with_metadata(&bytes, &card.to_string())
        };
        with_points().map_err(|reason| ModelError::Unusable { path, reason })
    }
}
