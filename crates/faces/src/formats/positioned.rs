//! Reads at a position of a file, by any number of threads at once.

use std::{fs::File, io};

use facegrad_pictures::decode::MAX_FILE_SIZE;

/// `length` bytes of a file from `offset` on.
///
/// # Errors
/// Those of the system, if the file ends before, or if that is more than any image file may have.
pub(crate) fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    if length > MAX_FILE_SIZE {
        let reason = format!("{length} bytes are wanted; {MAX_FILE_SIZE} at a time are the most");
        return Err(io::Error::other(reason));
    }
    let mut bytes = vec![0; length as usize];
    fill_at(file, offset, &mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` with those of a file from `offset` on.
///
/// # Errors
/// Those of the system, or if the file ends before.
#[cfg(unix)]
pub(crate) fn fill_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Fills `bytes` with those of a file from `offset` on.
///
/// # Errors
/// Those of the system, or if the file ends before.
#[cfg(windows)]
pub(crate) fn fill_at(file: &File, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_are_read_where_they_are() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(read_at(&file, 3, 4).unwrap(), b"3456");
        assert_eq!(read_at(&file, 10, 0).unwrap(), b"");
        assert_eq!(read_at(&file, 8, 4).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(read_at(&file, 0, u64::MAX).unwrap_err().to_string().contains("are the most"));
    }
}
