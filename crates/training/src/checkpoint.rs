//! Checkpoints: complete sets of files, written so that a kill at any instant leaves the one before intact.
//!
//! `checkpoint-<step>/` holds its files and a `manifest.json` with the SHA-256 of each. It is written under a
//! temporary name, synced and renamed, so a folder of that name is complete; what the disk does to it later
//! is found when it is loaded. The files `best` and `last` of the run folder hold the name of a checkpoint.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::files;

/// The version of the layout; a folder of another version is refused.
const FORMAT: u32 = 1;

/// Larger files than this are not read: a network of four billion weights.
const MAX_FILE_BYTES: u64 = 16 << 30;

const MANIFEST: &str = "manifest.json";

/// What `manifest.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    facegrad: String,
    step: usize,
    files: BTreeMap<String, FileEntry>,
}

/// What the manifest of every format says.
#[derive(Deserialize)]
struct Version {
    format: u32,
    facegrad: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileEntry {
    bytes: u64,
    sha256: String,
}

/// A checkpoint that was verified and read.
#[derive(Debug)]
pub struct Loaded {
    /// Its folder.
    pub path: PathBuf,
    /// Optimizer steps done.
    pub step: usize,
    files: BTreeMap<String, Vec<u8>>,
}

impl Loaded {
    /// The bytes of one of its files.
    pub fn file(&self, name: &str) -> Result<&[u8], CheckpointError> {
        self.files.get(name).map(Vec::as_slice).ok_or_else(|| CheckpointError::Damaged {
            path: self.path.join(MANIFEST),
            reason: format!("names no {name}"),
            hint: String::new(),
        })
    }
}

/// Why a checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk is full, or the like.
    #[error("cannot write {}: {source}; {kept}", path.display())]
    Unwritable {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// What is still there.
        kept: String,
    },
    /// There is none.
    #[error("{} holds no checkpoint; a run folder has folders called checkpoint-<step>", path.display())]
    None {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file is missing, short, or not what it was.
    #[error("{} {reason}{hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// An intact checkpoint to use instead.
        hint: String,
    },
    /// Written by another version.
    #[error("{} has checkpoint format {found} and this facegrad reads format {FORMAT}; use the version that wrote it ({writer}){hint}", path.display())]
    OtherVersion {
        /// The checkpoint.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The version that wrote it.
        writer: String,
        /// An intact checkpoint to use instead.
        hint: String,
    },
}

/// The folder name of the checkpoint at `step`.
pub fn folder_name(step: usize) -> String {
    format!("checkpoint-{step:06}")
}

/// Writes the checkpoint of `step` into `run`, complete or not at all, and points `last` to it.
pub fn save(run: &Path, step: usize, parts: &[(&str, Vec<u8>)]) -> Result<PathBuf, CheckpointError> {
    let target = run.join(folder_name(step));
    let temporary = run.join(format!(".{}.tmp", folder_name(step)));
    let write = || -> io::Result<()> {
        files::remove_folder(&temporary)?;
        fs::create_dir(&temporary)?;
        let mut manifest = Manifest {
            format: FORMAT,
            facegrad: env!("CARGO_PKG_VERSION").into(),
            step,
            files: BTreeMap::new(),
        };
        for (name, bytes) in parts {
            files::write_synced(&temporary.join(name), bytes)?;
            let entry = FileEntry { bytes: bytes.len() as u64, sha256: files::sha256(bytes) };
            manifest.files.insert((*name).into(), entry);
        }
        files::write_synced(&temporary.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
        files::sync_folder(&temporary)?;
        // A damaged checkpoint of this step may be in the way after resuming from the one before.
        files::remove_folder(&target)?;
        fs::rename(&temporary, &target)?;
        files::sync_folder(run)?;
        point(run, "last", step)
    };
    write().map_err(|source| {
        // Best effort: give back what room the half-written folder takes.
        let _ = files::remove_folder(&temporary);
        CheckpointError::Unwritable { path: target.clone(), source, kept: kept(run) }
    })?;
    Ok(target)
}

/// Makes the file `name` (`best` or `last`) of `run` name the checkpoint of `step`.
pub fn point(run: &Path, name: &str, step: usize) -> io::Result<()> {
    files::replace(&run.join(name), format!("{}\n", folder_name(step)).as_bytes())
}

/// The step of the checkpoint that the file `name` of `run` names.
pub fn pointed(run: &Path, name: &str) -> Option<usize> {
    let text = files::read_bounded(&run.join(name), 100).ok()?;
    step_of(std::str::from_utf8(&text).ok()?.trim())
}

fn step_of(name: &str) -> Option<usize> {
    name.strip_prefix("checkpoint-")?.parse().ok()
}

/// The checkpoints of `run` by step; unverified.
pub fn list(run: &Path) -> Vec<(usize, PathBuf)> {
    let Ok(entries) = fs::read_dir(run) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((step_of(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    found.sort();
    found
}

/// What of `run` is there to go on with, as a clause.
pub(crate) fn kept(run: &Path) -> String {
    match list(run).last() {
        Some((_, path)) => format!("the last complete checkpoint is {}", path.display()),
        None => "there is no complete checkpoint yet".into(),
    }
}

/// The run folder that holds a checkpoint folder.
pub(crate) fn run_of(checkpoint: &Path) -> &Path {
    checkpoint.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Of the checkpoints up to `step`, removes all but the newest `keep` and the best one. Those of later steps
/// are what a run that was resumed further back comes to yet.
pub fn prune(run: &Path, step: usize, keep: usize) -> io::Result<()> {
    let best = pointed(run, "best");
    let mut all = list(run);
    all.retain(|(s, _)| *s <= step);
    let old = all.len().saturating_sub(keep);
    all[..old]
        .iter()
        .filter(|(step, _)| Some(*step) != best)
        .try_for_each(|(_, path)| files::remove_folder(path))
}

/// The checkpoint that `path` means: a checkpoint folder, a `best` or `last` file, or a run folder, of which
/// it is the one that the file `prefer` names, else the newest.
pub fn locate(path: &Path, prefer: &str) -> Result<PathBuf, CheckpointError> {
    let none = || CheckpointError::None { path: path.into() };
    if path.is_file() {
        let (Some(run), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
            return Err(none());
        };
        return pointed(run, name).map(|step| run.join(folder_name(step))).ok_or_else(none);
    }
    let is_checkpoint = path.file_name().and_then(|n| n.to_str()).and_then(step_of).is_some();
    if is_checkpoint && path.is_dir() {
        return Ok(path.into());
    }
    let preferred = pointed(path, prefer).map(|step| path.join(folder_name(step))).filter(|p| p.is_dir());
    preferred.or_else(|| list(path).pop().map(|(_, newest)| newest)).ok_or_else(none)
}

/// Reads a checkpoint folder and verifies every file against the manifest.
pub fn load(path: &Path) -> Result<Loaded, CheckpointError> {
    verify(path).map_err(|mut error| {
        if let CheckpointError::Damaged { hint, .. } | CheckpointError::OtherVersion { hint, .. } = &mut error
        {
            *hint = intact_instead(path);
        }
        error
    })
}

/// Offers the newest intact checkpoint before one that cannot be used.
fn intact_instead(damaged: &Path) -> String {
    let run = run_of(damaged);
    let step = damaged.file_name().and_then(|n| n.to_str()).and_then(step_of).unwrap_or(usize::MAX);
    let intact = list(run).into_iter().rev().find(|(s, path)| *s < step && verify(path).is_ok());
    match intact {
        Some((_, path)) => format!("; {} is intact, use that instead", path.display()),
        None => "; no checkpoint before it can be used either".into(),
    }
}

fn verify(path: &Path) -> Result<Loaded, CheckpointError> {
    let damaged = |file: &str, reason: String| CheckpointError::Damaged {
        path: path.join(file),
        reason,
        hint: String::new(),
    };
    let read = |file: &str, limit: u64| match files::read_bounded(&path.join(file), limit) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(damaged(file, "is missing".into())),
        Err(error) => Err(damaged(file, format!("cannot be read: {error}"))),
        Ok(bytes) => Ok(bytes),
    };
    let manifest = read(MANIFEST, 1 << 20)?;
    let not_manifest = |error| damaged(MANIFEST, format!("is not a manifest: {error}"));
    let Version { format, facegrad } = serde_json::from_slice(&manifest).map_err(not_manifest)?;
    if format != FORMAT {
        let (path, hint) = (path.into(), String::new());
        return Err(CheckpointError::OtherVersion { path, found: format, writer: facegrad, hint });
    }
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(not_manifest)?;
    let mut files = BTreeMap::new();
    for (name, entry) in manifest.files {
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(damaged(MANIFEST, format!("names a file outside the checkpoint, {name}")));
        }
        let bytes = read(&name, MAX_FILE_BYTES)?;
        if bytes.len() as u64 != entry.bytes {
            return Err(damaged(&name, format!("has {} bytes instead of {}", bytes.len(), entry.bytes)));
        }
        if files::sha256(&bytes) != entry.sha256 {
            return Err(damaged(&name, "does not have the SHA-256 its manifest gives".into()));
        }
        files.insert(name, bytes);
    }
    Ok(Loaded { path: path.into(), step: manifest.step, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(steps: &[usize]) -> tempfile::TempDir {
        let run = tempfile::tempdir().unwrap();
        for step in steps {
            let parts = [("model.safetensors", vec![*step as u8; 64]), ("state.json", b"{}".to_vec())];
            save(run.path(), *step, &parts).unwrap();
        }
        run
    }

    #[test]
    fn what_is_saved_is_loaded_and_the_newest_is_last() {
        let run = run_with(&[100, 200]);
        let path = locate(run.path(), "best").unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!((loaded.step, loaded.file("model.safetensors").unwrap()), (200, &[200u8; 64][..]));
        assert!(loaded.file("absent").is_err());
        point(run.path(), "best", 100).unwrap();
        assert_eq!(load(&locate(run.path(), "best").unwrap()).unwrap().step, 100);
        assert_eq!(load(&locate(&run.path().join("best"), "last").unwrap()).unwrap().step, 100);
        assert_eq!(load(&locate(run.path(), "last").unwrap()).unwrap().step, 200);
    }

    #[test]
    fn damage_of_every_kind_is_a_sentence_that_offers_the_checkpoint_before() {
        type Harm = fn(&Path);
        let harms: [(&str, Harm); 5] = [
            ("does not have the SHA-256", |p| {
                let mut bytes = fs::read(p.join("model.safetensors")).unwrap();
                bytes[7] ^= 1;
                fs::write(p.join("model.safetensors"), bytes).unwrap();
            }),
            ("has 10 bytes instead of 64", |p| fs::write(p.join("model.safetensors"), [0; 10]).unwrap()),
            ("is missing", |p| fs::remove_file(p.join("state.json")).unwrap()),
            ("manifest.json is missing", |p| fs::remove_file(p.join(MANIFEST)).unwrap()),
            ("is not a manifest", |p| fs::write(p.join(MANIFEST), "{").unwrap()),
        ];
        for (sentence, harm) in harms {
            let run = run_with(&[100, 200]);
            let newest = run.path().join(folder_name(200));
            harm(&newest);
            let error = load(&newest).unwrap_err().to_string();
            assert!(error.contains(sentence) && error.contains("checkpoint-000100 is intact"), "{error}");
        }
    }

    #[test]
    fn another_format_names_the_version_that_wrote_it() {
        let run = run_with(&[100]);
        let path = run.path().join(folder_name(100));
        // Nothing but the version is expected of another format.
        fs::write(path.join(MANIFEST), r#"{"format": 9, "facegrad": "2.0.0"}"#).unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(
            error.contains("has checkpoint format 9") && error.contains("(2.0.0); no checkpoint"),
            "{error}"
        );
        save(run.path(), 50, &[]).unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("(2.0.0); ") && error.contains("checkpoint-000050 is intact"), "{error}");
    }

    #[test]
    fn pruning_keeps_the_newest_and_the_best() {
        let run = run_with(&[100, 200, 300, 400]);
        point(run.path(), "best", 100).unwrap();
        let steps = || list(run.path()).iter().map(|(s, _)| *s).collect::<Vec<_>>();
        prune(run.path(), 400, 2).unwrap();
        assert_eq!(steps(), [100, 300, 400]);
        // Resumed from 100 and now at 150: what lies ahead is not in the way.
        save(run.path(), 150, &[]).unwrap();
        prune(run.path(), 150, 1).unwrap();
        assert_eq!(steps(), [100, 150, 300, 400]);
    }

    #[test]
    fn a_failed_write_leaves_no_trace_and_names_what_is_kept() {
        let run = run_with(&[100]);
        // A part whose name is a folder that does not exist cannot be written.
        let error = save(run.path(), 200, &[("absent/file", vec![1])]).unwrap_err().to_string();
        assert!(
            error.contains("the last complete checkpoint is") && error.contains("checkpoint-000100"),
            "{error}"
        );
        assert_eq!(fs::read_dir(run.path()).unwrap().count(), 2);
    }
}
