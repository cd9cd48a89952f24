//! Checkpoints: complete sets of files, written so that a kill at any instant leaves the one before intact.
//!
//! `checkpoint-<step>/` holds its files and a `manifest.json` with the SHA-256 of each. It is written under a
//! temporary name, synced and renamed, so a folder of that name is complete; what the disk does to it later
//! is found when it is loaded. The files `best` and `last` of the run folder hold the name of a checkpoint.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use facegrad_files as files;
use serde::{Deserialize, Serialize};

use crate::MODEL;

/// The version of the layout; a folder of another version is refused.
const FORMAT: u32 = 1;

/// Larger files than this are not read: a network of four billion weights.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// The file by which a folder is known to be a checkpoint.
pub const MANIFEST: &str = "manifest.json";

const MAX_MANIFEST_BYTES: u64 = 1 << 20;

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
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Optimizer steps done.
    pub step: usize,
    files: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
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
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum CheckpointError {
    /// The disk is full, or the like.
    #[error("cannot write {}: {source}; {kept}", path.display())]
    Unwritable { path: PathBuf, source: io::Error, kept: String },
    /// There is none.
    #[error("{} holds no checkpoint; a run folder has folders called checkpoint-<step>", path.display())]
    None { path: PathBuf },
    /// A file is missing, short, or not what it was.
    #[error("{} {reason}{hint}", path.display())]
    Damaged { path: PathBuf, reason: String, hint: String },
    /// Written by another version.
    #[error("{} has checkpoint format {found} and this facegrad reads format {FORMAT}; use the version that wrote it ({writer}){hint}", path.display())]
    OtherVersion { path: PathBuf, found: u32, writer: String, hint: String },
}

/// The folder name of the checkpoint at `step`.
pub fn folder_name(step: usize) -> String {
    format!("checkpoint-{step:06}")
}

/// Writes the checkpoint of `step` into `run`, complete or not at all, and points `last` to it.
pub fn save(run: &Path, step: usize, parts: &[(&str, Vec<u8>)]) -> Result<PathBuf, CheckpointError> {
    let target = run.join(folder_name(step));
    let temporary = hidden(&target, TEMPORARY);
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
pub fn kept(run: &Path) -> String {
    match list(run).last() {
        Some((_, path)) => format!("the last complete checkpoint is {}", path.display()),
        None => "there is no complete checkpoint yet".into(),
    }
}

/// The run folder that holds a checkpoint folder.
pub fn run_of(checkpoint: &Path) -> &Path {
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

/// The file whose [`Lock`](facegrad_files::Lock) keeps other processes out of a run folder.
pub const LOCK: &str = ".lock";

/// Replaces the file `name` of the checkpoint folder `checkpoint` and its entry in the manifest, both or neither:
/// a complete folder is built beside it, then the two folders change places.
///
/// A kill at any instant leaves a checkpoint that can be used. Until the folders change places it is the old one,
/// and the new folder is hidden; after that it is the new one, and the old folder is. What a kill leaves hidden is
/// removed by the next call. Where a system cannot exchange two folders in one step, the old one is set aside
/// before the new one takes its place, and [`locate`] puts it back if that never happened.
///
/// The caller holds the [`LOCK`] of the run.
///
/// # Errors
/// If the manifest cannot be read, or those of the file system; the checkpoint is then as it was.
pub fn replace_file(checkpoint: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let run = run_of(checkpoint);
    // A folder that takes no files gives none up either, so that the old one could not be removed.
    files::check_writable(checkpoint)?;
    remove_hidden(run)?;
    let [new, aside] = [TEMPORARY, ASIDE].map(|ending| hidden(checkpoint, ending));
    let build = || {
        fs::create_dir(&new)?;
        for entry in fs::read_dir(checkpoint)? {
            let from = entry?;
            if from.file_name() == MANIFEST || from.file_name() == name {
                continue;
            }
            let to = new.join(from.file_name());
            // No file of a checkpoint is ever written to, so the two folders may share it; where the file system
            // has no such links it is copied.
            if fs::hard_link(from.path(), &to).is_err() {
                fs::copy(from.path(), &to)?;
                File::open(&to)?.sync_all()?;
            }
        }
        let manifest = files::read_bounded(&checkpoint.join(MANIFEST), MAX_MANIFEST_BYTES)?;
        let mut manifest: Manifest = serde_json::from_slice(&manifest)?;
        files::write_synced(&new.join(name), bytes)?;
        let entry = FileEntry { bytes: bytes.len() as u64, sha256: files::sha256(bytes) };
        manifest.files.insert(name.into(), entry);
        files::write_synced(&new.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
        files::sync_folder(&new)?;
        exchange(&new, checkpoint, &aside)
    };
    build().inspect_err(|_| {
        // Best effort: give back the room. The checkpoint itself has not changed.
        let _ = files::remove_folder(&new);
    })?;
    // The new folder is in its place, whatever becomes of the old one: the next call tries to remove it again.
    let _ = files::sync_folder(run).and_then(|()| remove_hidden(run));
    Ok(())
}

/// How the names of hidden folders end: those that are not complete, or are no longer needed.
const TEMPORARY: &str = ".tmp";
/// And those of checkpoints that were set aside for a new one to take their place.
const ASIDE: &str = ".aside";

/// The hidden folder beside `checkpoint` with this ending.
fn hidden(checkpoint: &Path, ending: &str) -> PathBuf {
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    run_of(checkpoint).join(format!(".{name}{ending}"))
}

/// The hidden folders of `run` with this ending, each with the checkpoint that it belongs to.
fn all_hidden(run: &Path, ending: &str) -> Vec<(PathBuf, PathBuf)> {
    let Ok(entries) = fs::read_dir(run) else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let checkpoint = name.to_str()?.strip_prefix('.')?.strip_suffix(ending)?;
        step_of(checkpoint).map(|_| (entry.path(), run.join(checkpoint)))
    });
    found.collect()
}

/// Exchanges the folders `new` and `old`; or else the old one is `aside` afterwards.
fn exchange(new: &Path, old: &Path, aside: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
            // Not on this file system, or not with this kernel.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return Ok(result?),
        }
    }
    exchange_by_renaming(new, old, aside)
}

fn exchange_by_renaming(new: &Path, old: &Path, aside: &Path) -> io::Result<()> {
    fs::rename(old, aside)?;
    fs::rename(new, old).inspect_err(|_| drop(fs::rename(aside, old)))
}

/// Puts back what a kill between two renames left aside.
fn restore(run: &Path) {
    for (aside, checkpoint) in all_hidden(run, ASIDE) {
        if !checkpoint.exists() {
            // If this fails, the checkpoint is not there, which is what the caller will say.
            let _ = fs::rename(aside, checkpoint);
        }
    }
}

/// Removes what writers that were killed left behind.
fn remove_hidden(run: &Path) -> io::Result<()> {
    restore(run);
    let left = [TEMPORARY, ASIDE].into_iter().flat_map(|ending| all_hidden(run, ending));
    left.map(|(folder, _)| folder).try_for_each(|folder| files::remove_folder(&folder))
}

/// The checkpoint folder that the model file `path` belongs to, if it does.
pub(crate) fn of_file(path: &Path) -> Option<&Path> {
    let folder = path.parent().filter(|_| path.file_name().is_some_and(|name| name == MODEL))?;
    folder.join(MANIFEST).is_file().then_some(folder)
}

/// The checkpoint that `path` means: a checkpoint folder, a `best` or `last` file, or a run folder, of which
/// it is the one that the file `prefer` names, else the newest.
pub fn locate(path: &Path, prefer: &str) -> Result<PathBuf, CheckpointError> {
    let none = || CheckpointError::None { path: path.into() };
    [path, run_of(path)].into_iter().for_each(restore);
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
pub fn load(path: &Path) -> Result<Checkpoint, CheckpointError> {
    load_those(path, &|_| true)
}

/// As [`load`], but of the files only `name` is kept, so that no more memory is taken than it needs.
pub fn load_only(path: &Path, name: &str) -> Result<Checkpoint, CheckpointError> {
    load_those(path, &|file| file == name)
}

fn load_those(path: &Path, is_kept: &dyn Fn(&str) -> bool) -> Result<Checkpoint, CheckpointError> {
    verify(path, is_kept).map_err(|mut error| {
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
    let intact = list(run).into_iter().rev().find(|(s, path)| *s < step && verify(path, &|_| false).is_ok());
    match intact {
        Some((_, path)) => format!("; {} is intact, use that instead", path.display()),
        None => "; no checkpoint before it can be used either".into(),
    }
}

/// Holds every file against the manifest, and those that `is_kept` in memory.
fn verify(path: &Path, is_kept: &dyn Fn(&str) -> bool) -> Result<Checkpoint, CheckpointError> {
    let damaged = |file: &str, reason: String| CheckpointError::Damaged {
        path: path.join(file),
        reason,
        hint: String::new(),
    };
    let unreadable = |file: &str, error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => damaged(file, "is missing".into()),
        _ => damaged(file, format!("cannot be read: {error}")),
    };
    let read = |file: &str, limit| {
        files::read_bounded(&path.join(file), limit).map_err(|error| unreadable(file, error))
    };
    let manifest = read(MANIFEST, MAX_MANIFEST_BYTES)?;
    let not_manifest = |error| damaged(MANIFEST, format!("is not a manifest: {error}"));
    let Version { format, facegrad } = serde_json::from_slice(&manifest).map_err(not_manifest)?;
    if format != FORMAT {
        let (path, hint) = (path.into(), String::new());
        return Err(CheckpointError::OtherVersion { path, found: format, writer: facegrad, hint });
    }
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(not_manifest)?;
    // A manifest has no hash of its own, but the step in it is known from the name of the folder.
    let named = path.file_name().and_then(|name| name.to_str()).and_then(step_of);
    if let Some(named) = named.filter(|named| *named != manifest.step) {
        let reason = format!("says step {}, and its folder is that of step {named}", manifest.step);
        return Err(damaged(MANIFEST, reason));
    }
    let mut files = BTreeMap::new();
    for (name, entry) in manifest.files {
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(damaged(MANIFEST, format!("names a file outside the checkpoint, {name}")));
        }
        let (length, sha256) = if is_kept(&name) {
            let bytes = read(&name, MAX_FILE_BYTES)?;
            let found = (bytes.len() as u64, files::sha256(&bytes));
            files.insert(name.clone(), bytes);
            found
        } else {
            let file = path.join(&name);
            let found = fs::metadata(&file).and_then(|of| Ok((of.len(), files::sha256_of(&file)?)));
            found.map_err(|error| unreadable(&name, error))?
        };
        if length != entry.bytes {
            return Err(damaged(&name, format!("has {length} bytes instead of {}", entry.bytes)));
        }
        if sha256 != entry.sha256 {
            return Err(damaged(&name, "does not have the SHA-256 its manifest gives".into()));
        }
    }
    Ok(Checkpoint { path: path.into(), step: manifest.step, files })
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
        let harms: [(&str, Harm); 6] = [
            ("says step 600, and its folder is that of step 200", |p| {
                let manifest = fs::read_to_string(p.join(MANIFEST)).unwrap();
                fs::write(p.join(MANIFEST), manifest.replace("\"step\": 200", "\"step\": 600")).unwrap();
            }),
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

    /// Bytes by which the memory of this process grows at most while `work` is done.
    #[cfg(target_os = "linux")]
    fn growth(work: impl FnOnce()) -> u64 {
        let memory = |key: &str| {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() << 10
        };
        // Forgets the highest so far.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = memory("VmRSS:");
        work();
        memory("VmHWM:").saturating_sub(before)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_model_is_loaded_without_the_rest_of_its_checkpoint_in_memory() {
        const LARGE: u64 = 256 << 20;
        let run = run_with(&[100]);
        let path = run.path().join(folder_name(100));
        let optimizer = path.join("optimizer.bpk");
        File::create(&optimizer).unwrap().set_len(LARGE).unwrap();
        let mut manifest: Manifest = serde_json::from_slice(&fs::read(path.join(MANIFEST)).unwrap()).unwrap();
        let entry = FileEntry { bytes: LARGE, sha256: files::sha256_of(&optimizer).unwrap() };
        manifest.files.insert("optimizer.bpk".into(), entry);
        fs::write(path.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();

        let one = growth(|| {
            let loaded = load_only(&path, MODEL).unwrap();
            assert_eq!(loaded.file(MODEL).unwrap(), [100; 64]);
            assert!(loaded.file("optimizer.bpk").is_err());
        });
        assert!(one < LARGE / 2, "{one}");
        assert!(growth(|| drop(load(&path).unwrap())) > LARGE / 2);
        // What is not kept is verified all the same.
        File::options().write(true).open(&optimizer).unwrap().set_len(LARGE - 1).unwrap();
        let error = load_only(&path, MODEL).unwrap_err().to_string();
        assert!(error.contains("has 268435455 bytes instead of 268435456"), "{error}");
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
    const NEW: [u8; 32] = [7; 32];

    /// The names in a folder, in order.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_replaced_file_leaves_the_rest_of_the_checkpoint_as_it_was() {
        let run = run_with(&[100, 200]);
        let checkpoint = run.path().join(folder_name(100));
        fs::write(checkpoint.join("notes.txt"), "mine").unwrap();
        replace_file(&checkpoint, "model.safetensors", &NEW).unwrap();
        let loaded = load(&checkpoint).unwrap();
        assert_eq!((loaded.step, loaded.file("model.safetensors").unwrap()), (100, &NEW[..]));
        assert_eq!(loaded.file("state.json").unwrap(), b"{}");
        assert_eq!(names(&checkpoint), [MANIFEST, "model.safetensors", "notes.txt", "state.json"]);
        assert_eq!(names(run.path()), ["checkpoint-000100", "checkpoint-000200", "last"]);
        let other = load(&run.path().join(folder_name(200))).unwrap();
        assert_eq!(other.file("model.safetensors").unwrap(), [200; 64]);
        // What is no file cannot be taken along, so nothing is done.
        fs::create_dir(checkpoint.join("folder")).unwrap();
        assert!(replace_file(&checkpoint, "model.safetensors", &[8]).is_err());
        assert_eq!(load(&checkpoint).unwrap().file("model.safetensors").unwrap(), NEW);
        assert_eq!(names(run.path()), ["checkpoint-000100", "checkpoint-000200", "last"]);
    }

    #[test]
    fn a_kill_while_a_file_is_replaced_leaves_a_usable_checkpoint() {
        type Kill = fn(&Path, &Path, &Path);
        /// The folder that takes the place of the checkpoint, complete.
        fn build(checkpoint: &Path, new: &Path) {
            let elsewhere = tempfile::tempdir().unwrap();
            let parts = [("model.safetensors", NEW.to_vec()), ("state.json", b"{}".to_vec())];
            let built = save(elsewhere.path(), 200, &parts).unwrap();
            fs::create_dir(new).unwrap();
            for name in names(&built) {
                fs::copy(built.join(&name), new.join(&name)).unwrap();
            }
            assert_eq!(names(new), names(checkpoint));
        }
        // Each with whether the new file is there afterwards.
        let kills: [(Kill, bool); 6] = [
            (|_, new, _| fs::create_dir(new).unwrap(), false),
            (
                |checkpoint, new, _| {
                    fs::create_dir(new).unwrap();
                    fs::hard_link(checkpoint.join("state.json"), new.join("state.json")).unwrap();
                    fs::write(new.join("model.safetensors"), &NEW[..9]).unwrap();
                },
                false,
            ),
            (|checkpoint, new, _| build(checkpoint, new), false),
            (
                |checkpoint, new, aside| {
                    build(checkpoint, new);
                    exchange(new, checkpoint, aside).unwrap();
                },
                true,
            ),
            // The last two where folders cannot be exchanged: between the renames, and after them.
            (
                |checkpoint, new, aside| {
                    build(checkpoint, new);
                    fs::rename(checkpoint, aside).unwrap();
                },
                false,
            ),
            (
                |checkpoint, new, aside| {
                    build(checkpoint, new);
                    exchange_by_renaming(new, checkpoint, aside).unwrap();
                },
                true,
            ),
        ];
        for (i, (kill, is_new)) in kills.into_iter().enumerate() {
            for by_run in [true, false] {
                let run = run_with(&[100, 200]);
                let checkpoint = run.path().join(folder_name(200));
                kill(&checkpoint, &hidden(&checkpoint, TEMPORARY), &hidden(&checkpoint, ASIDE));
                let located = locate(if by_run { run.path() } else { &checkpoint }, "last").unwrap();
                assert_eq!(located, checkpoint, "{i}");
                let model = load(&located).unwrap().file("model.safetensors").unwrap().to_vec();
                assert_eq!(model, if is_new { &NEW[..] } else { &[200; 64] }, "{i}");
                assert_eq!(list(run.path()).len(), 2, "{i}");
                // The next one finds nothing in its way and clears up.
                replace_file(&checkpoint, "model.safetensors", &[9]).unwrap();
                assert_eq!(load(&checkpoint).unwrap().file("model.safetensors").unwrap(), [9], "{i}");
                assert_eq!(names(run.path()), ["checkpoint-000100", "checkpoint-000200", "last"], "{i}");
            }
        }
    }
}
