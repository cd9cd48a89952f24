//! Many files, few of them open.
//!
//! A system lets a process have a certain number of files open, often 1,024. A set may have more shards than that, and
//! a checkpoint that cannot be opened is lost work.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// The files of the pool that are open, those used last at the end.
static OPEN: Mutex<Vec<(u64, Arc<File>)>> = Mutex::new(Vec::new());

/// How many files of the pool are open at a time: half of what the process may have beyond what it needs for
/// itself.
static CAPACITY: LazyLock<usize> = LazyLock::new(|| {
    let soft = open_file_limits().map_or(256, |(soft, _)| soft);
    (soft.saturating_sub(32) / 2).clamp(4, 512) as usize
});

/// Allows the process as many open files as the system lets it have without asking anybody.
pub fn raise_open_files() {
    // What cannot be raised is lived with: the pool keeps within what there is.
    let _ = rlimit::increase_nofile_limit(1 << 16);
}

/// How many files this process may have open at a time, where the system has such a limit: now, and at most.
pub fn open_file_limits() -> Option<(u64, u64)> {
    #[cfg(unix)]
    return rlimit::Resource::NOFILE.get().ok();
    // What Windows limits is the files of the C library, which this program does not open.
    #[cfg(not(unix))]
    return None;
}

/// A file to read at places, which is open only while it is among those used last.
#[derive(Debug)]
pub struct PooledFile {
    id: u64,
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl PooledFile {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`crate::open`].
    pub fn open(path: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let file = crate::open(path)?;
        let metadata = file.metadata()?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        keep(id, Arc::new(file));
        Ok(Self { id, path: path.to_owned(), length: metadata.len(), modified: metadata.modified().ok() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes when it was opened first.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A handle that others may use as well: read at places, do not seek.
    ///
    /// # Errors
    /// Those of the file system, and if there is another file by now than the one that was opened first.
    pub fn handle(&self) -> io::Result<Arc<File>> {
        if let Some(file) = kept(self.id) {
            return Ok(file);
        }
        let file = crate::open(&self.path)?;
        let metadata = file.metadata()?;
        if (metadata.len(), metadata.modified().ok()) != (self.length, self.modified) {
            return Err(io::Error::other("the file was changed since it was opened"));
        }
        let file = Arc::new(file);
        keep(self.id, file.clone());
        Ok(file)
    }
}

impl Drop for PooledFile {
    fn drop(&mut self) {
        open_files(|files| files.retain(|(id, _)| *id != self.id));
    }
}

fn open_files<T>(work: impl FnOnce(&mut Vec<(u64, Arc<File>)>) -> T) -> T {
    work(&mut OPEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

fn kept(id: u64) -> Option<Arc<File>> {
    open_files(|files| {
        let place = files.iter().rposition(|(other, _)| *other == id)?;
        let entry = files.remove(place);
        let file = entry.1.clone();
        files.push(entry);
        Some(file)
    })
}

fn keep(id: u64, file: Arc<File>) {
    open_files(|files| {
        if files.len() >= *CAPACITY {
            files.remove(0);
        }
        files.push((id, file));
    });
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn more_files_than_may_be_open_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: usize| folder.path().join(name.to_string());
        let files: Vec<PooledFile> = (0..*CAPACITY + 30)
            .map(|name| {
                std::fs::write(path(name), name.to_string()).unwrap();
                PooledFile::open(&path(name)).unwrap()
            })
            .collect();
        for _ in 0..2 {
            for (name, file) in files.iter().enumerate() {
                let expected = name.to_string();
                assert_eq!(file.length(), expected.len() as u64);
                let mut text = vec![0; expected.len()];
                crate::fill_at(&file.handle().unwrap(), 0, &mut text).unwrap();
                assert_eq!(text, expected.as_bytes());
            }
        }
        assert!(open_files(|files| files.len()) <= *CAPACITY);
        std::fs::write(path(0), "longer").unwrap();
        let error = files[0].handle().unwrap_err().to_string();
        assert_eq!(error, "the file was changed since it was opened");
        let ids: Vec<u64> = files.iter().map(|file| file.id).collect();
        drop(files);
        assert!(open_files(|files| files.iter().all(|(id, _)| !ids.contains(id))));
    }
}
