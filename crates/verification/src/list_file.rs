//! What the readers of lists share.

use std::{io, path::Path};

use facegrad_files::{TooLong, read_text_bounded};

/// Why a file gave no text.
#[derive(Debug)]
pub(crate) enum Unread {
    /// What the system says, or that the bytes are not UTF-8.
    Io(io::Error),
    /// It has this many bytes at least, more than the limit.
    TooLarge(u64),
}

/// Reads a text file of at most `limit` bytes.
pub(crate) fn read_text(file: &Path, limit: u64) -> Result<String, Unread> {
    read_text_bounded(file, limit).map_err(|error| match TooLong::of(&error) {
        Some(TooLong { length, limit }) => Unread::TooLarge(length.unwrap_or(limit + 1)),
        None => Unread::Io(error),
    })
}

/// The start of a text, in quotes.
pub(crate) fn excerpt(text: &str) -> String {
    const LENGTH: usize = 80;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{:?} and more", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn text_is_read_up_to_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list");
        assert!(matches!(read_text(&file, 6), Err(Unread::Io(_))));
        fs::write(&file, "a b 1\n\n").unwrap();
        assert_eq!(read_text(&file, 7).unwrap(), "a b 1\n\n");
        assert!(matches!(read_text(&file, 6), Err(Unread::TooLarge(7))));
        fs::write(&file, b"a\xff b 1\n").unwrap();
        assert!(matches!(read_text(&file, 99), Err(Unread::Io(_))));
        // It states no size and does not end.
        #[cfg(unix)]
        assert!(matches!(read_text(Path::new("/dev/zero"), 6), Err(Unread::TooLarge(7))));
    }

    #[test]
    fn excerpts_are_short() {
        assert_eq!(excerpt("a\tb"), r#""a\tb""#);
        let long = excerpt(&"é".repeat(81));
        assert_eq!(long, format!("\"{}\" and more", "é".repeat(80)));
    }
}
