//! Reads at a position of a file, by any number of threads at once.

use std::{fs::File, io};

use facegrad_files::fill_at;
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn no_more_is_read_than_an_image_file_may_have() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert_eq!(read_at(&file, 3, 4).unwrap(), b"3456");
        assert!(read_at(&file, 0, u64::MAX).unwrap_err().to_string().contains("are the most"));
    }
}
