//! The list of images that were left out of a result.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// Writes names and reasons to `<out>.skipped.txt`, a line each; without any, removes the list of an earlier call.
pub fn list_skipped<'a>(
    out: &Path,
    skipped: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<Option<PathBuf>, Failure> {
    let mut path = out.as_os_str().to_owned();
    path.push(".skipped.txt");
    let path = PathBuf::from(path);
    let lines: String = skipped.map(|(name, reason)| format!("{name}\t{reason}\n")).collect();
    let written = match lines.is_empty() {
        true => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        },
        false => facegrad_files::replace(&path, lines.as_bytes()).map(|()| Some(path)),
    };
    written.map_err(|error| Failure::work(format!("cannot list the skipped images: {error}")))
}
