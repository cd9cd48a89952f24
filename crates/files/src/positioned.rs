//! Reads at a position of a file, by any number of threads at once.

use std::{
    borrow::Borrow,
    fs::File,
    io::{self, Read},
};

/// Fills `bytes` with those of a file from `offset` on.
///
/// # Errors
/// Those of the system, or if the file ends before.
#[cfg(unix)]
pub fn fill_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` with those of a file from `offset` on.
///
/// # Errors
/// Those of the system, or if the file ends before.
#[cfg(windows)]
pub fn fill_at(file: &File, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The bytes from `at` to `end` of a file.
#[derive(Debug)]
pub struct FileSection<F> {
    /// The file.
    pub file: F,
    /// What is read next.
    pub at: u64,
    /// Where nothing more is read.
    pub end: u64,
}

impl<F: Borrow<File>> Read for FileSection<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.end.saturating_sub(self.at).min(buffer.len() as u64) as usize;
        fill_at(self.file.borrow(), self.at, &mut buffer[..length])?;
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_are_read_where_they_are() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut bytes = [0; 4];
        fill_at(&file, 3, &mut bytes).unwrap();
        assert_eq!(&bytes, b"3456");
        fill_at(&file, 10, &mut []).unwrap();
        assert_eq!(fill_at(&file, 8, &mut bytes).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let read = |at, end| io::read_to_string(FileSection { file: &file, at, end });
        assert_eq!((read(2, 9).unwrap(), read(5, 4).unwrap()), ("2345678".into(), String::new()));
        assert_eq!(read(8, 12).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
