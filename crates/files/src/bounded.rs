//! Files that are not trusted to be as short as they should be.

use std::{
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

/// Reads a file of at most `limit` bytes. No more than these are read, also of a file that grows meanwhile or that does
/// not know its length.
///
/// # Errors
/// [`TooLong`], or those of the file system.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = crate::open(path)?;
    let length = file.metadata()?.len();
    let too_long = |length| Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong { length, limit }));
    if length > limit {
        return too_long(Some(length));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { too_long(None) } else { Ok(bytes) }
}

/// Reads a text of at most `limit` bytes; a byte order mark is left out.
///
/// # Errors
/// As [`read_bounded`], and [`NoText`] of the kind `InvalidData`.
pub fn read_text_bounded(path: &Path, limit: u64) -> io::Result<String> {
    text_of(read_bounded(path, limit)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The bytes of a file are no UTF-8, and what they seem to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoText {
    /// Two bytes a character.
    #[error("it is text in UTF-16; store it as UTF-8, such as with `iconv -f utf-16 -t utf-8`")]
    Utf16,
    /// One byte a character.
    #[error(
        "line {line} is no UTF-8; if it is text in Latin-1, store it as UTF-8, such as with \
         `iconv -f latin1 -t utf-8`"
    )]
    OneByte {
        /// The first line that is none, from 1.
        line: usize,
    },
    /// Something else.
    #[error("it is no text")]
    Binary,
}

impl NoText {
    /// What bytes that begin with line `first` of a file seem to be, if not text.
    fn of(bytes: &[u8], first: usize) -> Self {
        let is_marked = [[0xFF, 0xFE], [0xFE, 0xFF]].iter().any(|mark| bytes.starts_with(mark));
        let nul = bytes.iter().filter(|&&byte| byte == 0).count();
        let is_control = |&byte: &u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C);
        // Without its mark, most of a text in UTF-16 has a zero in every other byte.
        if is_marked || nul * 3 > bytes.len() {
            return Self::Utf16;
        }
        match std::str::from_utf8(bytes) {
            Err(error) if !bytes.iter().any(is_control) => {
                let before = &bytes[..error.valid_up_to()];
                Self::OneByte { line: first + before.iter().filter(|&&byte| byte == b'\n').count() }
            }
            _ => Self::Binary,
        }
    }
}

/// The text that `bytes` are in UTF-8, without a byte order mark.
///
/// # Errors
/// [`NoText`].
pub fn text_of(bytes: Vec<u8>) -> Result<String, NoText> {
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err(NoText::of(text.as_bytes(), 1)),
        Ok(mut text) => {
            if text.starts_with(MARK) {
                text.drain(..MARK.len());
            }
            Ok(text)
        }
        Err(error) => Err(NoText::of(error.as_bytes(), 1)),
    }
}

/// The text of line `number` of a file, from 1, as [`text_of`] has that of a whole one.
///
/// # Errors
/// [`NoText`].
pub fn line_of(bytes: &[u8], number: usize) -> Result<&str, NoText> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') && number == 1 => Ok(text.strip_prefix(MARK).unwrap_or(text)),
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(NoText::of(bytes, number)),
    }
}

/// The byte order mark, which text in UTF-8 may begin with.
const MARK: &str = "\u{feff}";

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

    #[test]
    fn what_is_no_utf8_is_named() {
        assert_eq!(text_of(b"\xef\xbb\xbfZo\xc3\xab".into()).unwrap(), "Zoë");
        assert_eq!(text_of(b"a\nb\nZo\xeb\n".into()), Err(NoText::OneByte { line: 3 }));
        let wide = || -> Vec<u8> { "Zoe 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect() };
        assert_eq!(text_of(wide()), Err(NoText::Utf16));
        let marked: Vec<u8> = [0xFF, 0xFE].into_iter().chain(wide()).collect();
        assert_eq!(text_of(marked), Err(NoText::Utf16));
        // Letters that are no ASCII, without the mark.
        let wide: Vec<u8> = "Zo\u{eb} 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text_of(wide), Err(NoText::Utf16));
        assert_eq!(line_of(b"\xef\xbb\xbfZoe", 1), Ok("Zoe"));
        assert_eq!(line_of(b"Zo\xeb", 7), Err(NoText::OneByte { line: 7 }));
        assert_eq!(line_of(b"\xff\xfeZ\0", 1), Err(NoText::Utf16));
        assert_eq!(text_of(b"\x93NUMPY\x01\x00".into()), Err(NoText::Binary));
        assert_eq!(text_of(b"PK\x03\x04\x00 and more".into()), Err(NoText::Binary));
    }

    // It does not say how long it is.
    #[cfg(unix)]
    #[test]
    fn what_does_not_know_its_length_is_read_to_the_limit() {
        let bound = read_bounded(Path::new("/proc/self/maps"), 10).unwrap_err();
        assert_eq!(bound.to_string(), "it has more than the 10 bytes it could need");
        assert!(read_bounded(Path::new("/proc/self/maps"), 1 << 24).unwrap().len() > 10);
    }
}
