//! What a card says of a data set.

use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// A card is a page of text; nothing longer is read.
const LONGEST: u64 = 1 << 20;

/// A data set: `datasets/<name>.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// What it is asked for by: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// The people who made it, their institution, and the year.
    pub made_by: String,
    /// The publication to cite, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// What it is used for.
    pub uses: Vec<CardPurpose>,
    /// What it shows, in a sentence or two.
    pub about: String,
    /// The licence in a few words.
    pub licence: String,
    /// The whole situation: under which terms it may be used, and what is not known.
    pub terms: String,
    /// Who is shown, and whether they agreed.
    pub people: String,
    /// How the files lie on the disk.
    pub layout: String,
    /// Its page on the web, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Where and how to get it.
    pub ask: String,
    /// What is known to be wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// How much it holds; several where it has parts or versions, the usual one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<CardCount>,
    /// How facegrad reads it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reading: Vec<CardReading>,
    /// Numbers that were measured on it, each with the command that prints it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<CardMeasurement>,
    /// The files that may be fetched from a public address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

/// What a set is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardPurpose {
    /// Training a network.
    Training,
    /// Comparing pairs of images or templates.
    Verification,
    /// Searching probes in a gallery.
    Identification,
}

impl fmt::Display for CardPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Training => "training",
            Self::Verification => "verification",
            Self::Identification => "identification",
        })
    }
}

/// How much a set, or a part of it, holds. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardCount {
    /// Which part or version this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Number of people, or of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identities: Option<u64>,
    /// Number of still images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// Number of frames of videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Number of videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub videos: Option<u64>,
    /// Number of templates: sets of images of one person that are compared as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<u64>,
    /// Number of pairs to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<u64>,
}

impl CardCount {
    /// What is known, each number with what it counts.
    pub fn known(&self) -> Vec<(u64, &'static str)> {
        let all = [
            (self.identities, "identities"),
            (self.images, "images"),
            (self.frames, "frames"),
            (self.videos, "videos"),
            (self.templates, "templates"),
            (self.pairs, "pairs"),
        ];
        all.into_iter().filter_map(|(number, what)| Some((number?, what))).collect()
    }
}

/// A way to read the set: a piece of a config file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardReading {
    /// What it is good for, and what has to be done before.
    pub what: String,
    /// `[data.train]` or `[[evaluation]]`, as it stands in a config file.
    pub config: String,
}

/// A number that was measured on the set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardMeasurement {
    /// What was measured.
    pub what: String,
    /// As the command printed it.
    pub value: f64,
    /// The command that prints it.
    pub command: String,
}

/// A file that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What it is called on the disk: a file name, without a folder.
    pub name: String,
    /// Where it is: http or https.
    pub url: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// What it is packed in.
    #[serde(default, skip_serializing_if = "Packing::is_none")]
    pub unpack: Packing,
    /// What comes out of it: the folder of an archive, the file of a `gz`. It has no folder above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Folders to leave out at the start of each path in an archive.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub strip: usize,
    /// The most bytes that may come out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unpacked_bytes: Option<u64>,
    /// The most files and folders that may come out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u64>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What a file is packed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Packing {
    /// Nothing: it is used as it is.
    #[default]
    #[serde(rename = "none")]
    None,
    /// A tar archive.
    #[serde(rename = "tar")]
    Tar,
    /// A tar archive compressed with gzip.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// A zip archive.
    #[serde(rename = "zip")]
    Zip,
    /// One file compressed with gzip.
    #[serde(rename = "gz")]
    Gz,
}

impl Packing {
    /// Whether the file is used as it is.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
            Self::Gz => "gz",
        })
    }
}

impl File {
    /// What is there when the file has been fetched and unpacked.
    pub fn result(&self) -> &str {
        self.into.as_deref().unwrap_or(&self.name)
    }

    /// What may come out of it.
    pub fn limits(&self) -> Limits {
        let bytes = self.max_unpacked_bytes.unwrap_or(0);
        Limits { bytes, entries: self.max_entries.unwrap_or(1), strip: self.strip, ..Limits::default() }
    }
}

/// Why a card cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum CardError {
    /// Path of the file that this is about.
    #[error("cannot read the card {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        /// What the system or the reader of the file says.
        source: std::io::Error,
    },
    /// What it says.
    #[error("the card {}: {what}", path.display())]
    Wrong { path: PathBuf, what: String },
}

impl Card {
    /// Reads a card from a file.
    ///
    /// # Errors
    /// The file cannot be read, or is no card.
    pub fn open(path: &Path) -> Result<Self, CardError> {
        let unreadable = |source| CardError::Unreadable { path: path.into(), source };
        let text = facegrad_files::read_text_bounded(path, LONGEST).map_err(unreadable)?;
        Self::parse(&text, path)
    }

    /// Reads a card from its text; `path` is what errors call it.
    ///
    /// # Errors
    /// It is no card.
    pub fn parse(text: &str, path: &Path) -> Result<Self, CardError> {
        let wrong = |what: String| CardError::Wrong { path: path.into(), what };
        // The library's own message draws the line over several lines; one is enough here.
        let card: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            wrong(format!("{place}{}", error.message().replace('\n', ", ")))
        })?;
        card.check().map_err(wrong)?;
        Ok(card)
    }

    /// Whether facegrad can fetch it.
    pub fn is_fetchable(&self) -> bool {
        !self.files.is_empty()
    }

    fn check(&self) -> Result<(), String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(is_plain) {
            return Err(format!(
                "name = {:?}: write lower-case letters, digits and hyphens, such as \"my-faces\"",
                self.name
            ));
        }
        if self.uses.is_empty() {
            return Err("uses is empty: write at least one of training, verification, identification".into());
        }
        let mut taken = HashSet::new();
        for file in &self.files {
            let at = |what: String| format!("files, {:?}: {what}", file.name);
            file.check().map_err(at)?;
            for name in [Some(file.name.as_str()), file.into.as_deref()].into_iter().flatten() {
                // A file system may not tell letters from capitals.
                if !taken.insert(name.to_lowercase()) {
                    return Err(at(format!("{name:?} is the name of two things; give each its own")));
                }
            }
        }
        Ok(())
    }
}

impl File {
    fn check(&self) -> Result<(), String> {
        check_name("name", &self.name)?;
        crate::fetch::check_url(&self.url)?;
        crate::fetch::check_sha256(&self.sha256)?;
        if self.bytes == 0 {
            return Err("bytes = 0: write the size of the file".into());
        }
        let packing = self.unpack;
        match (&self.into, packing) {
            (Some(_), Packing::None) => {
                return Err("into is of no use with unpack = \"none\"; leave it out".into());
            }
            (None, Packing::None) => {}
            (None, _) => {
                return Err(format!("unpack = \"{packing}\" needs into, the name of what comes out of it"));
            }
            (Some(into), _) => check_name("into", into)?,
        }
        let is_archive = matches!(packing, Packing::Tar | Packing::TarGz | Packing::Zip);
        let needed = [
            ("max_unpacked_bytes", self.max_unpacked_bytes, !packing.is_none()),
            ("max_entries", self.max_entries, is_archive),
            ("strip", (self.strip > 0).then_some(self.strip as u64), is_archive),
        ];
        for (key, value, is_of_use) in needed {
            match value {
                Some(0) => {
                    return Err(format!("{key} = 0 lets nothing be unpacked; write the most there may be"));
                }
                Some(_) if !is_of_use => {
                    return Err(format!("{key} is of no use with unpack = \"{packing}\"; leave it out"));
                }
                None if is_of_use && key != "strip" => {
                    return Err(format!(
                        "unpack = \"{packing}\" needs {key}, the most that may come out of it"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A name that cannot lead out of its folder, nor be taken for what facegrad itself keeps there.
fn check_name(key: &str, name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    let is_ours = name == crate::RECORD || name.ends_with(".part") || name.ends_with(".etag");
    if name.is_empty() || name.len() > 128 || name.starts_with('.') || is_ours || !name.chars().all(is_plain)
    {
        return Err(format!(
            "{key} = {name:?}: write a plain name of letters, digits and - _ . + that does not start with a dot, \
             nor ends in .part or .etag"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn card(files: &str) -> Result<Card, CardError> {
        let text = format!(
            "name = \"a\"\ntitle = \"A\"\nmade_by = \"us\"\nuses = [\"training\"]\nabout = \"faces\"\n\
             licence = \"ours\"\nterms = \"ours\"\npeople = \"us\"\nlayout = \"folders\"\nask = \"us\"\n{files}"
        );
        Card::parse(&text, Path::new("a.toml"))
    }

    fn file(keys: &str) -> String {
        format!("[[files]]\nurl = \"https://a.example/b\"\nsha256 = \"{SHA}\"\nbytes = 3\n{keys}")
    }

    #[test]
    fn a_card_is_written_as_it_was_read() {
        let keys =
            "name = \"b.tgz\"\nunpack = \"tar.gz\"\ninto = \"b\"\nmax_unpacked_bytes = 9\nmax_entries = 2\n";
        let card = card(&file(keys)).unwrap();
        let again = Card::parse(&toml::to_string(&card).unwrap(), Path::new("b.toml")).unwrap();
        assert_eq!(card, again);
        assert_eq!((card.files[0].result(), card.files[0].limits().entries), ("b", 2));
    }

    #[test]
    fn what_is_wrong_is_one_sentence_with_what_would_be_right() {
        let archive = "name = \"b.tgz\"\nunpack = \"tar.gz\"\n";
        let cases = [
            ("colour = 1".to_owned(), "unknown field `colour`"),
            ("[[counts]]\npeople = 3".to_owned(), "line 12: unknown field `people`"),
            (file("name = \"../b\""), "name = \"../b\": write a plain name"),
            (file("name = \".b\""), "write a plain name"),
            (file("name = \"facegrad-fetch.json\""), "write a plain name"),
            (file("name = \"b.part\""), "write a plain name"),
            (file("name = \"b\"\ninto = \"c\""), "into is of no use with unpack = \"none\""),
            (file("name = \"b\"\nunpack = \"rar\""), "unknown variant `rar`"),
            (file(archive), "needs into"),
            (file(&format!("{archive}into = \"a/b\"")), "into = \"a/b\": write a plain name"),
            (file(&format!("{archive}into = \"b\"")), "needs max_unpacked_bytes"),
            (file(&format!("{archive}into = \"b\"\nmax_unpacked_bytes = 5")), "needs max_entries"),
            (
                file("name = \"b.gz\"\nunpack = \"gz\"\ninto = \"b\"\nmax_unpacked_bytes = 5\nstrip = 1"),
                "strip is of no use with unpack = \"gz\"",
            ),
            (file("name = \"b\"\n") + &file("name = \"B\"\n"), "\"B\" is the name of two things"),
            (file("name = \"b\"").replace("https:", "ftp:"), "http"),
            (file("name = \"b\"").replace("= 3", "= 0"), "bytes = 0"),
            (file("name = \"b\"").replace("ba78", "xx78"), "64 hexadecimal digits"),
        ];
        for (files, expected) in cases {
            let message = card(&files).unwrap_err().to_string();
            assert!(message.contains(expected) && message.starts_with("the card a.toml: "), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        let message = Card::open(Path::new("nowhere.toml")).unwrap_err().to_string();
        assert!(message.starts_with("cannot read the card nowhere.toml: "), "{message}");
    }
}
