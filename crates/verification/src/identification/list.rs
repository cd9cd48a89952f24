//! Lists of images and who is on each, for galleries and probes.

use std::{collections::HashMap, path::Path};

use facegrad_files::hexadecimal;
use sha2::{Digest, Sha256};

use crate::{
    ListError,
    list_file::{Line, Separator, excerpt, lines, read_text, stays_inside},
};

/// Files beyond this size are not read: ten million images take about as much.
const MAX_BYTES: u64 = 512 << 20;

/// First lines of these two words are a header.
const HEADERS: (&[&str], &[&str]) = (
    &["path", "file", "filename", "image"],
    &["identity", "id", "label", "name", "person", "subject", "subject_id"],
);

/// Images, and who is on each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityList {
    /// The image of each entry: a path inside a folder, with `/` between its parts.
    pub images: Vec<String>,
    /// The person of each entry, as the list names them.
    pub identities: Vec<String>,
}

/// Reads a list of `path identity` lines, separated by tabs, commas (CSV with quotes) or white space; a header
/// such as `path,identity` may come first, and blank lines are skipped.
///
/// What separates the two is decided by the first line: a tab, else a comma, else white space. Paths may
/// contain spaces only with tabs or commas; between commas a field may be in quotes. A path must be relative and must not lead out of its folder.
///
/// # Errors
/// If the file cannot be read, is not UTF-8 or is not what [`IdentityList::parse`] takes.
pub fn read_identity_list(file: &Path) -> Result<IdentityList, ListError> {
    IdentityList::parse(&read_text(file, MAX_BYTES)?, file)
}

/// What a line says, or what it should.
fn fields(separator: Separator, line: &str) -> Result<(String, String), &'static str> {
    let fields = match separator {
        // Quotes between tabs are part of a name.
        Separator::Tab => Some(line.split('\t').map(|field| field.trim().into()).collect()),
        separator => separator.split(line),
    };
    match fields.as_deref() {
        Some([path, identity]) => Ok((path.to_string(), identity.to_string())),
        _ => Err(match separator {
            Separator::Tab => "a path and an identity, separated by a tab",
            Separator::Comma => "a path and an identity, separated by a comma",
            _ => "a path and an identity, separated by a space; with more spaces, use tabs or commas",
        }),
    }
}

impl IdentityList {
    /// Reads the text of a list as [`read_identity_list`] does; `file` names it in errors.
    ///
    /// # Errors
    /// The first line that is not a path inside a folder and an identity, or that repeats a path; a list
    /// without images.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ListError> {
        let first = lines(text, file).find(Line::has_text).map_or("", |line| line.text);
        let separator = if first.contains('\t') {
            Separator::Tab
        } else if first.contains(',') {
            Separator::Comma
        } else {
            Separator::Space
        };
        let mut list = Self::default();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (index, line) in lines(text, file).filter(Line::has_text).enumerate() {
            let (path, identity) = fields(separator, line.text).map_err(|expected| line.wrong(expected))?;
            if index == 0 && is_header(&path, &identity) {
                continue;
            }
            if !stays_inside(&path) {
                return Err(line.found("a relative path without `..`", excerpt(&path)));
            }
            if identity.is_empty() || identity.contains(char::is_control) {
                let found = format!("{} without a name", excerpt(&path));
                return Err(line.found("a path and an identity", found));
            }
            if let Some(before) = seen.insert(path.clone(), line.number) {
                let found = format!("{}, as in line {before}", excerpt(&path));
                return Err(line.found("each path once", found));
            }
            list.images.push(path);
            list.identities.push(identity);
        }
        if list.images.is_empty() {
            return Err(ListError::Empty { file: file.into() });
        }
        Ok(list)
    }

    /// SHA-256, in hexadecimal, of the paths and identities of some lists, in order, such as gallery and
    /// probes. It does not depend on how the files separate them, nor on the pixels.
    pub fn sha256(lists: &[&Self]) -> String {
        let mut hash = Sha256::new();
        for list in lists {
            for (image, identity) in list.images.iter().zip(&list.identities) {
                hash.update(format!("{image}\t{identity}\n"));
            }
            hash.update("\n");
        }
        hexadecimal(&hash.finalize())
    }

    /// Numbers for the identities of some lists, the same for the same name in all of them.
    pub fn numbers(lists: &[&Self]) -> Vec<Vec<usize>> {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut number = |identity| {
            let next = numbers.len();
            *numbers.entry(identity).or_insert(next)
        };
        lists.iter().map(|list| list.identities.iter().map(|identity| number(identity)).collect()).collect()
    }

    /// Checks that no image of this list is also in `other`.
    ///
    /// # Errors
    /// The first image that is in both.
    pub fn disjoint(&self, other: &Self) -> Result<(), ListError> {
        let own: std::collections::HashSet<&String> = self.images.iter().collect();
        match other.images.iter().find(|image| own.contains(image)) {
            Some(image) => Err(ListError::Shared { image: image.clone() }),
            None => Ok(()),
        }
    }
}

fn is_header(path: &str, identity: &str) -> bool {
    let is_one_of = |word: &str, words: &[&str]| words.contains(&word.to_lowercase().as_str());
    is_one_of(path, HEADERS.0) && is_one_of(identity, HEADERS.1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use facegrad_random::{Purpose, Stream};

    use super::*;

    fn read(text: &str) -> Result<IdentityList, String> {
        IdentityList::parse(text, Path::new("gallery.csv")).map_err(|error| error.to_string())
    }

    #[test]
    fn separators_and_headers() {
        let plain = read("a/1.jpg Ada\nb/1.jpg Bob\n").unwrap();
        assert_eq!((plain.images[1].as_str(), plain.identities[1].as_str()), ("b/1.jpg", "Bob"));
        for text in [
            "\u{feff}path,identity\r\na/1.jpg,Ada\r\n\r\nb/1.jpg,Bob\r\n",
            "Image\tLabel\na/1.jpg\tAda\nb/1.jpg\t Bob \n",
            "\n  path   subject\n\na/1.jpg \t Ada\nb/1.jpg Bob",
            "\"a/1.jpg\",\"Ada\"\nb/1.jpg,Bob",
        ] {
            // The third has a tab in a later line only, so that white space separates.
            assert_eq!(read(text).unwrap(), plain, "{text:?}");
        }
        let quoted = read("\"a b, c/1.jpg\",\"Lovelace, Ada\"\n").unwrap();
        assert_eq!((&*quoted.images[0], &*quoted.identities[0]), ("a b, c/1.jpg", "Lovelace, Ada"));
        let spaces = read("a b/1 2.jpg\tAda \"L\" Lovelace\n").unwrap();
        assert_eq!((&*spaces.images[0], &*spaces.identities[0]), ("a b/1 2.jpg", "Ada \"L\" Lovelace"));
    }

    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        let cases = [
            ("", "gallery.csv lists no image; each line is a path, or a path and an identity"),
            ("path,identity\n", "gallery.csv lists no image; each line is a path, or a path and an identity"),
            (
                "a.jpg 1\nb c.jpg 2\n",
                "gallery.csv:2: expected a path and an identity, separated by a space; with more spaces, use tabs \
                 or commas, found \"b c.jpg 2\"",
            ),
            (
                "a.jpg,1\n\nb.jpg,2,3\n",
                "gallery.csv:3: expected a path and an identity, separated by a comma, found \"b.jpg,2,3\"",
            ),
            (
                "a.jpg\t1\nb.jpg 2\n",
                "gallery.csv:2: expected a path and an identity, separated by a tab, found \"b.jpg 2\"",
            ),
            ("a.jpg,1\na.jpg,2\n", "gallery.csv:2: expected each path once, found \"a.jpg\", as in line 1"),
            ("a.jpg,\n", "gallery.csv:1: expected a path and an identity, found \"a.jpg\" without a name"),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).unwrap_err(), message, "{text:?}");
        }
        for path in
            ["../a.jpg", "/a.jpg", "a/../../b.jpg", "C:\\a.jpg", "a\\..\\b", "a//b", "./a", "a\u{0}b", ""]
        {
            let message = read(&format!("ok.jpg,1\n\"{path}\",2\n")).unwrap_err();
            let expected = "gallery.csv:2: expected a relative path without `..`, found ";
            assert!(message.starts_with(expected), "{path:?}: {message}");
        }
    }

    #[test]
    fn lists_together() {
        let [a, b] = ["x.jpg Ada\ny.jpg Bob\n", "z.jpg Cy\nw.jpg Ada\n"].map(|text| read(text).unwrap());
        assert_eq!(IdentityList::numbers(&[&a, &b]), [[0, 1], [2, 0]]);
        assert!(a.disjoint(&b).is_ok());
        let shared = a.disjoint(&read("y.jpg Bob\n").unwrap()).unwrap_err().to_string();
        assert_eq!(shared, "y.jpg is in the gallery and among the probes; it would find itself");
        // printf 'x.jpg\tAda\ny.jpg\tBob\n\nz.jpg\tCy\nw.jpg\tAda\n\n' | sha256sum
        assert_eq!(
            IdentityList::sha256(&[&a, &b]),
            "4b9b084a3da797176232823836cd3be100245d2c37e3c049097d60d173e307ed"
        );
        assert_ne!(IdentityList::sha256(&[&a, &b]), IdentityList::sha256(&[&b, &a]));
    }

    #[test]
    fn damaged_text_ends_in_a_sentence_or_a_list() {
        let mut stream = Stream::new(1, Purpose::Bootstrap, 0, 0);
        for text in ["a/1.jpg,\"A, B\"\nb/2.jpg,C\n", "a/1.jpg\tA\nb/2.jpg\tC\n", "a/1.jpg A\nb/2.jpg C\n"] {
            for _ in 0..5_000 {
                let mut damaged: Vec<char> = text.chars().collect();
                for _ in 0..=stream.below(3) {
                    let place = stream.below(damaged.len());
                    damaged[place] = ['\t', '\n', '\r', ' ', ',', '"', 'é', '\0', '/', '.'][stream.below(10)];
                }
                damaged.truncate(1 + stream.below(2 * damaged.len()));
                match read(&damaged.into_iter().collect::<String>()) {
                    Ok(list) => {
                        assert_eq!(list.images.len(), list.identities.len());
                        assert!(list.images.iter().all(|path| stays_inside(path)));
                    }
                    Err(message) => assert!(message.starts_with("gallery.csv"), "{message}"),
                }
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("probes.txt");
        let message = read_identity_list(&file).unwrap_err().to_string();
        assert!(message.starts_with("cannot read the list") && message.contains("probes.txt"), "{message}");
        fs::write(&file, b"a\xff.jpg x\n").unwrap();
        assert!(read_identity_list(&file).unwrap_err().to_string().contains("UTF-8"));
        fs::write(&file, "a.jpg x\n").unwrap();
        assert_eq!(read_identity_list(&file).unwrap().images, ["a.jpg"]);
    }
}
