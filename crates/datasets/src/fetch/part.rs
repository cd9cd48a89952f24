//! What has arrived of a file.

use std::{
    fs,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use facegrad_files::{Journal, LockError, Stop, hexadecimal, read_text_bounded, sync_folder};
use sha2::{Digest, Sha256};
use ureq::http;

use super::{CHUNK, Download};
use crate::error::FetchError;

/// The longest mark of a version that is kept; servers use some dozens of bytes.
const LONGEST_MARK: u64 = 512;

/// A path with something behind its file name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What has arrived of a file. It is locked against other processes as long as this lives.
pub(super) struct Part<'a> {
    pub(super) download: &'a Download<'a>,
    pub(super) path: PathBuf,
    mark_path: PathBuf,
    file: Journal,
    hash: Sha256,
    pub(super) length: u64,
    /// Bytes that an earlier call has left, as long as they are used.
    pub(super) resumed_at: u64,
    /// What the server calls the version of the file that this is a part of.
    pub(super) mark: Option<String>,
    /// Whether it comes from an earlier call or from several answers, and so may mix two versions of the file. Then
    /// the hash is wrong through no fault of the server's, and one start from nothing settles it.
    pub(super) is_mixed: bool,
}

impl<'a> Part<'a> {
    pub(super) fn open(download: &'a Download<'a>) -> Result<Self, FetchError> {
        let path = with_suffix(download.destination, ".part");
        let mark_path = with_suffix(download.destination, ".etag");
        let file = match Journal::open_locked(&path) {
            Err(LockError::Held(_)) => return Err(FetchError::Busy { part: path }),
            Err(LockError::Io(source)) => return Err(FetchError::Unwritable { path, source }),
            Ok(file) => file,
        };
        let mark = read_text_bounded(&mark_path, LONGEST_MARK).ok().filter(|mark| is_mark(mark));
        Ok(Self {
            download,
            path,
            mark_path,
            file,
            hash: Sha256::new(),
            length: 0,
            resumed_at: 0,
            mark,
            is_mixed: false,
        })
    }

    fn unwritable(&self, source: io::Error) -> FetchError {
        FetchError::Unwritable { path: self.path.clone(), source }
    }

    /// Hashes what an earlier call has left.
    pub(super) fn read_again(
        &mut self,
        stop: &Stop,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let there = self.file.end();
        if there > self.download.bytes {
            self.start_over()?;
        }
        let unwritable = |source| FetchError::Unwritable { path: self.path.clone(), source };
        let mut left = self.file.read_from(0).map_err(unwritable)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            if stop.is_asked() {
                drop(left);
                return Err(self.stopped(there));
            }
            match left.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.hash.update(&buffer[..count]);
                    self.length += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(unwritable(error)),
            }
            progress(self.length);
        }
        drop(left);
        self.is_mixed = self.length > 0;
        self.resumed_at = self.length;
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.append(bytes).map_err(|error| self.unwritable(error))?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn start_over(&mut self) -> Result<(), FetchError> {
        self.set_mark(None)?;
        self.file.cut(0).map_err(|error| self.unwritable(error))?;
        self.hash = Sha256::new();
        self.length = 0;
        self.resumed_at = 0;
        self.is_mixed = false;
        Ok(())
    }

    pub(super) fn set_mark(&mut self, mark: Option<String>) -> Result<(), FetchError> {
        if mark != self.mark {
            let written = match &mark {
                Some(mark) => facegrad_files::replace(&self.mark_path, mark.as_bytes()),
                None => fs::remove_file(&self.mark_path).or_else(|error| match error.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                }),
            };
            written.map_err(|source| FetchError::Unwritable { path: self.mark_path.clone(), source })?;
            self.mark = mark;
        }
        Ok(())
    }

    pub(super) fn sha256(&self) -> String {
        hexadecimal(&self.hash.clone().finalize())
    }

    pub(super) fn stopped(&self, done: u64) -> FetchError {
        FetchError::Stopped { done, bytes: self.download.bytes, part: self.path.clone() }
    }

    /// Gives the complete file its name.
    pub(super) fn commit(self) -> Result<(), FetchError> {
        let destination = self.download.destination;
        let done = self.file.sync().and_then(|()| fs::rename(&self.path, destination));
        let done = done.and_then(|()| sync_folder(facegrad_files::folder_of(destination)));
        done.map_err(|source| FetchError::Unwritable { path: destination.into(), source })?;
        // Of no use any more; that it stays behind would do no harm.
        let _ = fs::remove_file(&self.mark_path);
        Ok(())
    }

    /// Takes away what turned out wrong. That it stays behind would do no harm, since it is checked again.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.mark_path);
    }
}

/// Something a header may hold.
fn is_mark(mark: &str) -> bool {
    !mark.is_empty() && mark.len() as u64 <= LONGEST_MARK && mark.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// What a server calls this version of a file. A weak ETag is not for parts of a file (RFC 9110, 13.1.5).
pub(super) fn mark_of(headers: &http::HeaderMap) -> Option<String> {
    let header = |name| headers.get(name)?.to_str().ok().filter(|mark| is_mark(mark));
    let etag = header("etag").filter(|etag| !etag.starts_with("W/"));
    etag.or_else(|| header("last-modified")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_marked_by_a_strong_etag_or_a_date() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            });
            pairs.collect::<http::HeaderMap>()
        };
        let date = ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(mark_of(&headers(&[("etag", "\"a\""), date])).unwrap(), "\"a\"");
        assert_eq!(mark_of(&headers(&[("etag", "W/\"a\""), date])).unwrap(), date.1);
        assert_eq!(mark_of(&headers(&[("etag", "W/\"a\"")])), None);
    }
}
