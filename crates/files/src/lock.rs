//! One process at a time.

use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Once,
};

/// Another process has the lock of a file.
#[derive(Debug, thiserror::Error)]
#[error("{} is in use by another process", .0.display())]
pub struct LockHeld(pub PathBuf);

/// Why a file is not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(transparent)]
    Held(#[from] LockHeld),
    /// The file cannot be made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Keeps other processes out as long as it lives; the system lifts it when this process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the file at `path`, which is made if it is not there and has no content.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process has it, or those of the file system.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let file = File::create(path)?;
        lock(&file, path)?;
        Ok(Self { _file: file })
    }
}

/// Locks `file`, which is called `path`, as long as it is open.
///
/// Not every file system has locks. Better to work there than not to: once in the life of the process standard error
/// is told that nothing keeps a second one out.
///
/// # Errors
/// If another process has it.
pub fn lock(file: &File, path: &Path) -> Result<(), LockHeld> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(LockHeld(path.into())),
        // ENOLCK, ENOTSUP, ENOSYS, by file system.
        Err(TryLockError::Error(error)) => {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                let _ = writeln!(
                    io::stderr(),
                    "note: {} cannot be locked ({error}); see to it that no second process works on the same",
                    path.display()
                );
            });
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_lock_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = Lock::take(&path).unwrap();
        let second = Lock::take(&path).unwrap_err();
        assert!(matches!(&second, LockError::Held(LockHeld(held)) if *held == path));
        assert_eq!(second.to_string(), format!("{} is in use by another process", path.display()));
        drop(first);
        Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&folder.path().join("no/lock")), Err(LockError::Io(_))));
    }
}
