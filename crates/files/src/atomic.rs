//! Files that are there completely or not at all.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use tempfile::NamedTempFile;

/// What the names of files begin with that are not complete.
const UNFINISHED: &str = ".writing-";

/// Writes `bytes` to `path` and has the disk confirm it.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Has the disk confirm the names in `folder`.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Only Unix can open a folder to sync it; elsewhere the rename has to do.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The folder a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file in the folder of `path`, to be written and then given that name by [`commit`]; until then it is
/// called `.writing-` and something, and is removed when it is dropped.
///
/// # Errors
/// Those of the file system.
pub fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Readable by others as the user's umask allows, like any file a program writes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(UNFINISHED).tempfile_in(folder_of(path)).map_err(of_system)
}

/// What the system said, without the name of the temporary file, which tells a person nothing.
fn of_system(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((said, _)) => io::Error::new(error.kind(), said),
        None => error,
    }
}

/// The bytes that a person without privileges can still write to the file system of `folder`, where the system tells.
pub fn free_space(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(folder).ok().map(|there| there.f_bavail.saturating_mul(there.f_frsize));
    #[cfg(not(unix))]
    return None;
}

/// Whether files can be made in `folder`, or, where it is not there yet, in the nearest folder above it.
///
/// # Errors
/// Why not.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    let there =
        folder.ancestors().find(|folder| folder.exists()).filter(|there| !there.as_os_str().is_empty());
    temporary_beside(&there.unwrap_or(Path::new(".")).join("file")).map(drop)
}

/// Whether it is what a file of [`temporary_beside`] is called, left by a process that was killed.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
}

/// Has the disk confirm a file of [`temporary_beside`], and gives it the name `path`, in place of what had it.
///
/// # Errors
/// Those of the file system; the temporary file is removed.
pub fn commit(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder_of(path))
}

/// Replaces the file `path` by `bytes`: under a temporary name in its folder, synced, renamed.
///
/// # Errors
/// Those of the file system.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)?;
    commit(file, path)
}

/// Removes a folder with all in it, if it is there.
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_completely_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        replace(&path, b"first").unwrap();
        let mut second = temporary_beside(&path).unwrap();
        second.write_all(b"second").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"first".into(), 2));
        drop(second);
        assert_eq!(names(folder.path()), ["a.txt"]);
        let mut third = temporary_beside(&path).unwrap();
        third.write_all(b"third").unwrap();
        commit(third, &path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"third".into(), 1));
        // A folder cannot be replaced by a file, and nothing is left of the attempt.
        assert!(replace(folder.path(), b"").is_err());
        fs::create_dir(folder.path().join("b")).unwrap();
        assert!(replace(&folder.path().join("b"), b"x").is_err());
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn a_path_without_a_folder_lies_in_the_current_one() {
        assert_eq!(folder_of(Path::new("a")), Path::new("."));
        assert_eq!(folder_of(Path::new("b/a")), Path::new("b"));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_takes_no_files_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(folder.path()).unwrap();
        check_writable(&folder.path().join("none/yet")).unwrap();
        assert_eq!(names(folder.path()).len(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = check_writable(&file.join("below")).unwrap_err().to_string();
        assert_eq!(error, "Not a directory (os error 20)");
    }
}
