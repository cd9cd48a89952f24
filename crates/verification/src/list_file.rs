//! What the readers of lists share: the error, lines with their numbers, and the fields of a line.

use std::{
    borrow::Cow,
    fmt, io,
    path::{Path, PathBuf},
};

use facegrad_files::read_text_bounded;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ListError {
    /// The file cannot be read, or is larger than any such list.
    #[error("cannot read the list {}: {cause}", file.display())]
    Unreadable { file: PathBuf, cause: io::Error },
    /// A line does not say what it should.
    #[error("{}:{line}: expected {expected}, found {found}", file.display())]
    Line {
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        expected: String,
        found: String,
    },
    /// Two lines say different things of the same two images.
    #[error("{}:{line}: {pair} are {here} here and {there}; a pair is one or the other", file.display())]
    Contradiction {
        file: PathBuf,
        line: usize,
        /// The two images.
        pair: String,
        /// `one person` or `two people`.
        here: &'static str,
        /// The contrary, and the line that says so, with its file if it is another.
        there: String,
    },
    /// Nothing is listed.
    #[error("{} lists no image; each line is a path, or a path and an identity", file.display())]
    Empty { file: PathBuf },
    /// An image is in the gallery and among the probes.
    #[error("{image} is in the gallery and among the probes; it would find itself")]
    Shared { image: String },
}

/// Reads the text of a list of at most `limit` bytes.
pub(crate) fn read_text(file: &Path, limit: u64) -> Result<String, ListError> {
    read_text_bounded(file, limit).map_err(|cause| ListError::Unreadable { file: file.into(), cause })
}

/// A line of a list, without its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub file: &'a Path,
    /// From 1.
    pub number: usize,
    pub text: &'a str,
}

/// The lines of a text; `file` names it in errors.
pub(crate) fn lines<'a>(text: &'a str, file: &'a Path) -> impl Iterator<Item = Line<'a>> + Clone {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..).zip(text.lines()).map(move |(number, text)| Line { file, number, text })
}

impl Line<'_> {
    /// Whether there is something on it.
    pub fn has_text(&self) -> bool {
        !self.text.trim().is_empty()
    }

    /// An error that shows the line.
    pub fn wrong(&self, expected: impl Into<String>) -> ListError {
        self.found(expected, excerpt(self.text))
    }

    /// An error that says what is there instead.
    pub fn found(&self, expected: impl Into<String>, found: impl Into<String>) -> ListError {
        let (expected, found) = (expected.into(), found.into());
        ListError::Line { file: self.file.into(), line: self.number, expected, found }
    }
}

/// What stands between the fields of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    Tab,
    Comma,
    Semicolon,
    Space,
}

impl Separator {
    pub const ALL: [Self; 4] = [Self::Tab, Self::Comma, Self::Semicolon, Self::Space];

    /// The fields of a line, or nothing if its quotes do not match.
    pub fn split(self, line: &str) -> Option<Vec<Cow<'_, str>>> {
        match self {
            Self::Tab => split_quoted(line, '\t'),
            Self::Comma => split_quoted(line, ','),
            Self::Semicolon => split_quoted(line, ';'),
            Self::Space => Some(line.split_whitespace().map(Cow::Borrowed).collect()),
        }
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tab => "separated by tabs",
            Self::Comma => "separated by commas",
            Self::Semicolon => "separated by semicolons",
            Self::Space => "separated by white space",
        })
    }
}

/// The fields of a line of CSV: without the blanks around them, unless those are in quotes.
fn split_quoted(line: &str, separator: char) -> Option<Vec<Cow<'_, str>>> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let Some(mut quoted) = text.trim_start_matches(' ').strip_prefix('"') else {
            let (field, more) = text.split_once(separator).map_or((text, None), |(a, b)| (a, Some(b)));
            fields.push(Cow::Borrowed(field.trim()));
            rest = more;
            continue;
        };
        let mut field = String::new();
        let after = loop {
            let (part, more) = quoted.split_once('"')?;
            field.push_str(part);
            match more.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    quoted = more;
                }
                None => break more.trim_start_matches(' '),
            }
        };
        fields.push(Cow::Owned(field));
        rest = match after.strip_prefix(separator) {
            Some(more) => Some(more),
            None if after.trim().is_empty() => None,
            None => return None,
        };
    }
    Some(fields)
}

/// Whether a path names something inside a folder, on any system.
pub(crate) fn stays_inside(path: &str) -> bool {
    let is_drive = path.as_bytes().get(1) == Some(&b':');
    let parts = path.split(['/', '\\']);
    let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    !is_drive && !path.contains(char::is_control) && parts.into_iter().all(inside)
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
        let error = |limit| read_text(&file, limit).unwrap_err().to_string();
        assert!(error(6).starts_with(&format!("cannot read the list {}: ", file.display())));
        fs::write(&file, "a b 1\n\n").unwrap();
        assert_eq!(read_text(&file, 7).unwrap(), "a b 1\n\n");
        assert!(error(6).ends_with("/list: it has 7 bytes, more than the 6 it could need"), "{}", error(6));
        fs::write(&file, b"a\xff b 1\n").unwrap();
        assert!(error(99).contains("UTF-8"));
        // It states no size and does not end.
        #[cfg(unix)]
        assert!(read_text(Path::new("/dev/zero"), 6).is_err());
    }

    #[test]
    fn excerpts_are_short() {
        assert_eq!(excerpt("a\tb"), r#""a\tb""#);
        let long = excerpt(&"é".repeat(81));
        assert_eq!(long, format!("\"{}\" and more", "é".repeat(80)));
    }
}
