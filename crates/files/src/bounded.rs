//! Files that are not trusted to be as short as they should be.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// A file is longer than what it could need; inside an [`io::Error`] of the kind `FileTooLarge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has {}", match length {
    Some(length) => format!("{length} bytes, more than the {limit} it could need"),
    None => format!("more than the {limit} bytes it could need"),
})]
pub struct TooLong {
    /// How many bytes the file system says it has; pipes and the like do not say.
    pub length: Option<u64>,
    /// How many are read at most.
    pub limit: u64,
}

impl TooLong {
    /// Whether `error` says so.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Reads a file of at most `limit` bytes. No more than these are read, whatever the file is: a pipe, a device, or
/// a file that grows meanwhile.
///
/// # Errors
/// [`TooLong`], or those of the file system.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let length = if metadata.is_file() { metadata.len() } else { 0 };
    let too_long = |length| Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong { length, limit }));
    if length > limit {
        return too_long(Some(length));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { too_long(None) } else { Ok(bytes) }
}

/// Reads a file of at most `limit` bytes of UTF-8.
///
/// # Errors
/// As [`read_bounded`], and if it is not UTF-8.
pub fn read_text_bounded(path: &Path, limit: u64) -> io::Result<String> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(read_bounded(path, limit)?).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beyond_the_limit_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seven");
        std::fs::write(&path, "1234567").unwrap();
        assert_eq!(read_bounded(&path, 7).unwrap(), b"1234567");
        let error = read_bounded(&path, 6).unwrap_err();
        assert_eq!(TooLong::of(&error), Some(TooLong { length: Some(7), limit: 6 }));
        assert_eq!(error.to_string(), "it has 7 bytes, more than the 6 it could need");
        assert!(TooLong::of(&read_bounded(folder.path(), 6).unwrap_err()).is_none());
        std::fs::write(&path, b"a\xff").unwrap();
        assert_eq!(read_text_bounded(&path, 6).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    // Neither says how long it is.
    #[cfg(unix)]
    #[test]
    fn what_does_not_end_is_read_to_the_limit() {
        let error = read_bounded(Path::new("/dev/zero"), 100).unwrap_err();
        assert_eq!(error.to_string(), "it has more than the 100 bytes it could need");

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let written = |bytes: usize| {
            let pipe = pipe.clone();
            // Writing ends with an error when the reader has had enough.
            std::thread::spawn(move || drop(std::fs::write(pipe, vec![b'a'; bytes])))
        };
        let writer = written(1 << 20);
        assert!(TooLong::of(&read_bounded(&pipe, 100).unwrap_err()).is_some());
        writer.join().unwrap();
        let writer = written(100);
        assert_eq!(read_text_bounded(&pipe, 100).unwrap(), "a".repeat(100));
        writer.join().unwrap();
    }
}
