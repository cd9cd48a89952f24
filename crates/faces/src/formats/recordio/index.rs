//! The `.idx` file beside a RecordIO file: a line for each record, its key, a tab and the byte it begins at.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use facegrad_files::{line_of, open};

use crate::{Place, SourceError};

/// Longest line: two numbers of 20 digits, the tab and the end, with room to spare.
const MAX_LINE: u64 = 64;

/// Calls `each` with the number, the key and the byte of every line of the index at `path`. The byte may be beyond
/// the end of the RecordIO file. The index is not held in memory.
///
/// # Errors
/// If the file cannot be read, a line is not what it should be, or `each` says so.
pub(super) fn each_line(
    path: &Path,
    mut each: impl FnMut(u64, u32, u64) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.into(), source };
    let mut reader = BufReader::with_capacity(1 << 18, open(path).map_err(unreadable)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        // Bounded, whatever the file is.
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        let text = line.trim_ascii_end();
        if text.is_empty() && line.len() < MAX_LINE as usize {
            continue;
        }
        let text = line_of(text, number as usize)
            .map_err(|error| SourceError::malformed(path, Place::Whole, error.to_string()))?;
        let (key, offset) =
            parse(text).map_err(|reason| SourceError::malformed(path, Place::Line(number), reason))?;
        each(number, key, offset)?;
    }
    Ok(())
}

/// Key and byte of a line, or what is wrong with it.
fn parse(line: &str) -> Result<(u32, u64), String> {
    let mut parts = line.split(['\t', ' ']).filter(|part| !part.is_empty());
    let (Some(key), Some(offset), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err("a key, a tab and the byte where its record begins are expected".into());
    };
    let key = digits(key).and_then(|key| u32::try_from(key).ok()).ok_or_else(|| {
        format!("the key {} is not a whole number from 0 to {}", key.escape_debug(), u32::MAX)
    })?;
    let offset = digits(offset)
        .ok_or_else(|| format!("the byte {} of key {key} is not a whole number", offset.escape_debug()))?;
    if offset % 4 != 0 {
        return Err(format!("key {key} is said to be at byte {offset}; records begin at multiples of 4"));
    }
    Ok((key, offset))
}

/// A number in decimal digits and nothing else.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(u64, u32, u64)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut lines = Vec::new();
        each_line(file.path(), |number, key, offset| {
            lines.push((number, key, offset));
            Ok(())
        })
        .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "IDX"))?;
        Ok(lines)
    }

    #[test]
    fn lines_are_keys_and_bytes() {
        assert_eq!(read("0\t0\n4\t500\n\n1 996\r\n").unwrap(), [(1, 0, 0), (2, 4, 500), (4, 1, 996)]);
        assert_eq!(read("7\t8").unwrap(), [(1, 7, 8)]);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn lines_that_are_not_are_one_sentence() {
        let expected = "IDX, line 2: a key, a tab and the byte where its record begins are expected";
        for line in ["5", "5\t4\t4", "\u{1}"] {
            assert_eq!(read(&format!("0\t0\n{line}\n")).unwrap_err(), expected, "{line:?}");
        }
        for (line, reason) in [
            ("-1\t0", "the key -1 is not a whole number from 0 to 4294967295"),
            ("4294967296\t0", "the key 4294967296 is not a whole number from 0 to 4294967295"),
            ("1.5\t0", "the key 1.5 is not a whole number from 0 to 4294967295"),
            ("1\t-4", "the byte -4 of key 1 is not a whole number"),
            ("1\t99999999999999999999", "the byte 99999999999999999999 of key 1 is not a whole number"),
            ("1\t6", "key 1 is said to be at byte 6; records begin at multiples of 4"),
        ] {
            assert_eq!(read(line).unwrap_err(), format!("IDX, line 1: {reason}"));
        }
        // A line without an end is not read to its end.
        assert!(read(&" ".repeat(1 << 20)).unwrap_err().starts_with("IDX, line 1: a key, a tab"));
    }
}
