//! Reading at a place of a file that several threads share.

use std::{fs::File, io};

use crate::decode::MAX_FILE_SIZE;

/// The `len` bytes from byte `offset` on, whatever other threads read.
///
/// # Errors
/// If there are fewer, if `len` is more than an image file may have, and those of the system.
pub(crate) fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    if len as u64 > MAX_FILE_SIZE {
        let reason = format!("{len} bytes are asked for; at most {MAX_FILE_SIZE} are read at once");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let mut bytes = vec![0; len];
    fill(file, offset, &mut bytes)?;
    Ok(bytes)
}

#[cfg(unix)]
fn fill(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn fill(file: &File, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        match file.seek_read(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
