//! What comes out of an archive: counted, bounded, written once.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::Path,
};

use super::{
    Limits, UnpackError, UnpackedContent,
    names::{relative, shown},
};
use facegrad_files::Stop;

/// Bytes copied at a time.
const CHUNK: usize = 64 * 1024;
/// Bytes that may come out of an archive however small it is.
const FREE: u64 = 1 << 20;

/// The folder that an archive is unpacked into, or the file.
pub(super) struct Output<'a> {
    archive: &'a Path,
    place: &'a Path,
    limits: Limits,
    stop: &'a Stop,
    progress: &'a mut dyn FnMut(&UnpackedContent),
    done: UnpackedContent,
    /// The most bytes: by the limits, or by the size of the archive.
    most: (u64, String),
}

impl<'a> Output<'a> {
    /// `place` is a folder that is new and empty, or a file that is not there; `size` is that of the archive in bytes.
    pub(super) fn new(
        archive: &'a Path,
        place: &'a Path,
        limits: Limits,
        size: u64,
        stop: &'a Stop,
        progress: &'a mut dyn FnMut(&UnpackedContent),
    ) -> Self {
        let by_ratio = size.saturating_mul(limits.ratio).max(FREE);
        let most = match limits.bytes <= by_ratio {
            true => (limits.bytes, format!("{} bytes", limits.bytes)),
            false => (by_ratio, format!("{} times its own size", limits.ratio)),
        };
        Self { archive, place, limits, stop, progress, done: UnpackedContent::default(), most }
    }

    /// The most bytes that may come out.
    pub(super) fn most_bytes(&self) -> u64 {
        self.most.0
    }

    /// The most files and folders that may come out.
    pub(super) fn most_entries(&self) -> u64 {
        self.limits.entries
    }

    pub(super) fn unreadable(&self, source: io::Error) -> UnpackError {
        // The libraries quote what is in the archive as it is.
        let text = source.to_string();
        let is_plain = text.len() <= 200 && !text.contains(char::is_control);
        let source = match is_plain {
            true => source,
            false => io::Error::new(source.kind(), shown(text.escape_debug().to_string().as_bytes())),
        };
        UnpackError::Unreadable { archive: self.archive.into(), source }
    }

    pub(super) fn refuse(&self, entry: &[u8], what: impl Into<String>) -> UnpackError {
        UnpackError::Entry { archive: self.archive.into(), entry: shown(entry), what: what.into() }
    }

    pub(super) fn too_much(&self, limit: String) -> UnpackError {
        UnpackError::TooMuch { archive: self.archive.into(), limit }
    }

    fn too_many_bytes(&self) -> UnpackError {
        self.too_much(self.most.1.clone())
    }

    fn check_entries(&self) -> Result<(), UnpackError> {
        if self.stop.is_asked() {
            return Err(UnpackError::Stopped { archive: self.archive.into() });
        }
        if self.done.files + self.done.folders > self.limits.entries {
            return Err(self.too_much(format!("{} files and folders", self.limits.entries)));
        }
        Ok(())
    }

    /// A folder; it may come again.
    pub(super) fn folder(&mut self, name: &[u8]) -> Result<(), UnpackError> {
        let path = relative(name, self.limits.strip).map_err(|what| self.refuse(name, what))?;
        self.make_folders(name, &path)
    }

    fn make_folders(&mut self, name: &[u8], path: &Path) -> Result<(), UnpackError> {
        let mut here = self.place.to_owned();
        for part in path {
            here.push(part);
            match fs::create_dir(&here) {
                Ok(()) => {
                    self.done.folders += 1;
                    self.check_entries()?;
                }
                // Nothing but this writes here, so it is what an earlier entry has left: no link can be among it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && here.is_dir() => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(self.refuse(name, "lies in a folder that is a file in another entry"));
                }
                Err(source) => return Err(UnpackError::Unwritable { path: here, source }),
            }
        }
        self.check_entries()
    }

    /// A regular file of `size` bytes, and the folders above it.
    pub(super) fn file(&mut self, name: &[u8], size: u64, content: &mut dyn Read) -> Result<(), UnpackError> {
        let relative = relative(name, self.limits.strip).map_err(|what| self.refuse(name, what))?;
        if relative.as_os_str().is_empty() {
            let what = match self.limits.strip {
                0 => "is a file without a name".to_owned(),
                strip => format!("lies above the {strip} folders that are left out"),
            };
            return Err(self.refuse(name, what));
        }
        // Before anything is written: what it says of itself is enough.
        if size > self.most.0.saturating_sub(self.done.bytes) {
            return Err(self.too_many_bytes());
        }
        if let Some(folder) = relative.parent() {
            self.make_folders(name, folder)?;
        }
        self.done.files += 1;
        self.check_entries()?;
        let path = self.place.join(&relative);
        let file = match File::options().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(self.refuse(name, "is there twice, or differs from another in capitals only"));
            }
            Err(source) => return Err(UnpackError::Unwritable { path, source }),
        };
        let unreadable = |error| self.refuse(name, format!("cannot be read ({error})"));
        // The rest may be without end, and only what it says of itself was held against the limits.
        let too_long = || self.refuse(name, format!("has more than the {size} bytes that it says it has"));
        let length = self.copy(content, file, &path, size, &unreadable, &too_long)?;
        if length != size {
            return Err(self.refuse(name, format!("has {length} bytes, and says that it has {size}")));
        }
        self.done.bytes += length;
        (self.progress)(&self.done);
        Ok(())
    }

    /// The file that was compressed, in place of a folder.
    pub(super) fn only_file(&mut self, mut content: impl Read) -> Result<(), UnpackError> {
        let path = self.place;
        let unwritable = |source| UnpackError::Unwritable { path: path.into(), source };
        let file = File::create_new(path).map_err(unwritable)?;
        self.done.files = 1;
        (self.progress)(&self.done);
        let unreadable = |error| self.unreadable(error);
        let too_long = || self.too_much(format!("{} bytes", self.limits.bytes));
        self.done.bytes = self.copy(&mut content, file, path, self.limits.bytes, &unreadable, &too_long)?;
        (self.progress)(&self.done);
        Ok(())
    }

    /// Writes `content` of at most `most` bytes to the file at `path`; how many they are.
    fn copy(
        &self,
        content: &mut dyn Read,
        mut file: File,
        path: &Path,
        most: u64,
        unreadable: &dyn Fn(io::Error) -> UnpackError,
        too_long: &dyn Fn() -> UnpackError,
    ) -> Result<u64, UnpackError> {
        let unwritable = |source| UnpackError::Unwritable { path: path.into(), source };
        let mut buffer = vec![0; CHUNK];
        let mut length = 0;
        loop {
            if self.stop.is_asked() {
                return Err(UnpackError::Stopped { archive: self.archive.into() });
            }
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            length += count as u64;
            if length > most {
                return Err(too_long());
            }
            file.write_all(&buffer[..count]).map_err(unwritable)?;
        }
        // Where the whole file system can be synced at once, that is done in the end.
        if cfg!(not(target_os = "linux")) {
            file.sync_all().map_err(unwritable)?;
        }
        Ok(length)
    }

    /// Has the disk confirm what came out.
    pub(super) fn finish(self) -> Result<UnpackedContent, UnpackError> {
        let unwritable = |source| UnpackError::Unwritable { path: self.place.into(), source };
        #[cfg(target_os = "linux")]
        {
            let place = File::open(self.place).map_err(unwritable)?;
            rustix::fs::syncfs(&place).map_err(|error| unwritable(error.into()))?;
        }
        #[cfg(not(target_os = "linux"))]
        facegrad_files::sync_folder(self.place).map_err(unwritable)?;
        Ok(self.done)
    }
}
