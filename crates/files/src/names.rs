//! Names of files as text: two names never become one, and none is more than a line.
//!
//! A system takes nearly any bytes for a name, and lists, tables, archives and pages hold text. Every name that a set, a
//! list or a result has of a file is [`name_of`] it, and [`path_of`] a name is the file again.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fmt, fs,
    path::{Component, Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Entries of a folder that are compared with a name that is not there.
const COMPARED: usize = 1 << 20;

/// How many missing files are looked for by their look. With a wrong folder every image of a list is missing, and reading a
/// folder of a hundred thousand people takes a while.
const SOUGHT: usize = 100;
static LEFT: AtomicUsize = AtomicUsize::new(SOUGHT);

/// A path as text: what it is, but for bytes that are no UTF-8, control characters and backslashes, which are `\x` and two
/// hexadecimal digits each, such as `caf\xE9`. Different paths are different texts. On Windows, where it parts folders, the
/// backslash stays.
pub fn name_of(path: &Path) -> String {
    name_of_bytes(path.as_os_str().as_encoded_bytes())
}

/// A path in an archive as text, as [`name_of`] has it.
pub fn name_of_bytes(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match is_escaped(c) {
                true => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(byte, &mut text)),
                false => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|&byte| escape(byte, &mut text));
    }
    text
}

fn is_escaped(c: char) -> bool {
    c.is_control() || c == '\\' && cfg!(not(windows))
}

fn escape(byte: u8, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push_str("\\x");
    [byte >> 4, byte & 15].iter().for_each(|&digit| text.push(DIGITS[usize::from(digit)].into()));
}

/// The path whose [`name_of`] is `name`. Backslashes with anything but the digits of such a byte behind them are
/// themselves.
pub fn path_of(name: &str) -> PathBuf {
    #[cfg(unix)]
    if has_escapes(name) {
        use std::os::unix::ffi::OsStringExt;
        return std::ffi::OsString::from_vec(bytes_of(name)).into();
    }
    name.into()
}

/// The [`name_of`] a file as a list has it: one by another program has control characters and backslashes as they are.
pub fn listed_name(name: &str) -> String {
    name_of(&path_of(name))
}

/// The bytes of the path whose name this is.
fn bytes_of(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once("\\x") {
        bytes.extend(before.bytes());
        let byte = behind.get(..2).and_then(escaped);
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(b"\\x"),
        }
        rest = &behind[if byte.is_some() { 2 } else { 0 }..];
    }
    bytes.extend(rest.bytes());
    bytes
}

/// A path as its name, in what is kept as JSON: `#[serde(with = "facegrad_files::as_name")]`.
pub mod as_name {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the name of a path.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::name_of(path))
    }

    /// Reads the path of a name.
    ///
    /// # Errors
    /// Those of the format.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        String::deserialize(deserializer).map(|name| super::path_of(&name))
    }

    /// Writes the name of a path that may not be there.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => serializer.serialize_some(&super::name_of(path)),
            None => serializer.serialize_none(),
        }
    }
}

/// The byte that is written with these two digits, if it is one that has to be.
fn escaped(digits: &str) -> Option<u8> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(is_digit))?;
    (!byte.is_ascii() || byte.is_ascii_control() || byte == b'\\').then_some(byte)
}

/// Whether a name holds a byte that is written with digits.
pub fn has_escapes(name: &str) -> bool {
    name.match_indices('\\').any(|(at, _)| is_escape(&name[at..]))
}

/// Whether a name holds a backslash that is no part of such a byte, as paths of Windows do.
pub fn has_backslash(name: &str) -> bool {
    name.match_indices('\\').any(|(at, _)| !is_escape(&name[at..]))
}

fn is_escape(text: &str) -> bool {
    text.strip_prefix("\\x").and_then(|behind| escaped(behind.get(..2)?)).is_some()
}

/// What a name looks like: equal for names that differ only in how Unicode writes letters with marks (é as U+00E9, or as e and
/// U+0301), or of which one is in Latin-1.
pub fn look_of(name: &str) -> String {
    match has_escapes(name) {
        true => decomposed(&decoded(&bytes_of(name))),
        false => decomposed(name),
    }
}

/// A text with letters and their marks apart, as in Unicode's form NFD but for the order of several marks on a letter.
fn decomposed(text: &str) -> String {
    static PARTS: LazyLock<HashMap<char, String>> = LazyLock::new(|| {
        let of_code = |code: &str| u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        let line = |line: &str| {
            let mut codes = line.split(' ').filter_map(of_code);
            Some((codes.next()?, codes.collect()))
        };
        include_str!("decompositions.txt").lines().skip(1).filter_map(line).collect()
    });
    if text.is_ascii() {
        return text.into();
    }
    let mut parts = String::with_capacity(2 * text.len());
    for c in text.chars() {
        match PARTS.get(&c) {
            Some(of_letter) => parts.push_str(of_letter),
            None if ('\u{AC00}'..='\u{D7A3}').contains(&c) => parts.extend(hangul(u32::from(c) - 0xAC00)),
            None => parts.push(c),
        }
    }
    parts
}

/// The two or three letters of a syllable of Hangul, by its number (The Unicode Standard, 3.12).
fn hangul(syllable: u32) -> impl Iterator<Item = char> {
    let [last, middle, first] = [syllable % 28, syllable / 28 % 21, syllable / (28 * 21)];
    let last = (last > 0).then_some(0x11A7 + last);
    [0x1100 + first, 0x1161 + middle].into_iter().chain(last).filter_map(char::from_u32)
}

/// The text that the bytes of a name were meant to be.
fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// How the letters with marks of a name are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// é as U+00E9.
    Composed,
    /// é as e and U+0301.
    Decomposed,
    /// é as the byte E9.
    Latin1,
}

impl Form {
    fn of(name: &str) -> Self {
        match String::from_utf8(bytes_of(name)) {
            Err(_) => Self::Latin1,
            Ok(text) if decomposed(&text) == text => Self::Decomposed,
            Ok(_) => Self::Composed,
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Composed => "composed (NFC)",
            Self::Decomposed => "decomposed (NFD)",
            Self::Latin1 => "Latin-1",
        })
    }
}

/// That there is a name which looks like one that is not there, as a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookAlike(String);

impl LookAlike {
    /// That `name` is there, and `wanted` is not.
    fn new(name: &str, wanted: &str) -> Self {
        let [there, missing] = [name, wanted].map(Form::of);
        let how = match there == missing {
            true => "in other code points".to_owned(),
            false => format!("{there}, not {missing}"),
        };
        Self(format!("{name} is there, which looks the same and is another name ({how})"))
    }

    /// The one of `names` that looks like `wanted` and is another.
    pub fn among(names: impl IntoIterator<Item = String>, wanted: &str) -> Option<Self> {
        let look = look_of(wanted);
        // What is written in one way only looks like nothing else.
        let is_alike = |name: &String| {
            (!name.is_ascii() || name.contains('\\')) && name != wanted && look_of(name) == look
        };
        let name = names.into_iter().find(is_alike)?;
        Some(Self::new(&name, wanted))
    }

    /// What looks like `path`, where nothing is; whether it has the same ending makes no difference. A process looks for the
    /// first hundred only.
    pub fn of_missing(path: &Path) -> Option<Self> {
        let there = path.ancestors().find(|folder| folder.as_os_str().is_empty() || folder.exists())?;
        let missing = path.strip_prefix(there).ok()?;
        // A name of ASCII is written in one way.
        if missing.as_os_str().as_encoded_bytes().is_ascii() {
            return None;
        }
        LEFT.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).ok()?;
        let (mut found, mut is_other) = (there.to_owned(), false);
        for part in missing.components() {
            let Component::Normal(part) = part else { return None };
            let (part, own) = (Path::new(part), found.join(part));
            let entry = if own.exists() { part.into() } else { entry_alike(&found, part)? };
            is_other |= ![part.as_os_str(), stem(part)].contains(&stem(&entry)) && entry != part;
            found.push(entry);
        }
        let name = name_of(found.strip_prefix(there).ok()?);
        is_other.then(|| Self::new(&name, &name_of(missing)))
    }
}

fn stem(name: &Path) -> &OsStr {
    name.file_stem().unwrap_or_default()
}

/// What in `folder` looks like `name`, or else what does but for the ending.
fn entry_alike(folder: &Path, name: &Path) -> Option<PathBuf> {
    let look = |name: &OsStr| look_of(&name_of(Path::new(name)));
    let (whole, own) = (look(name.as_os_str()), look(stem(name)));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut but_for_ending = None;
    for entry in fs::read_dir(folder).ok()?.take(COMPARED).filter_map(Result::ok) {
        let entry = PathBuf::from(entry.file_name());
        if look(entry.as_os_str()) == whole {
            return Some(entry);
        }
        if [&whole, &own].contains(&&look(stem(&entry))) {
            but_for_ending.get_or_insert(entry);
        }
    }
    but_for_ending
}

impl fmt::Display for LookAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{collections::HashSet, ffi::OsString, os::unix::ffi::OsStringExt};

    use super::*;

    fn path(bytes: &[u8]) -> PathBuf {
        OsString::from_vec(bytes.into()).into()
    }

    #[test]
    fn ordinary_names_stay() {
        for name in ["Ann Lee/1.jpg", "Jos\u{e9}", "Jose\u{301}", "a,b\"c", " x ", "#1", "李雷", "100%", ""]
        {
            assert_eq!(name_of(Path::new(name)), name);
            assert_eq!(path_of(name), Path::new(name));
        }
    }

    #[test]
    fn a_list_may_have_characters_as_they_are() {
        for listed in ["a\nb/1.jpg", r"a\x0Ab/1.jpg"] {
            assert_eq!(listed_name(listed), r"a\x0Ab/1.jpg");
        }
        assert_eq!(listed_name(r"a\b"), r"a\x5Cb");
        assert_eq!(listed_name("Ann Lee/1.jpg"), "Ann Lee/1.jpg");
    }

    #[test]
    fn every_path_is_a_text_of_its_own_on_one_line_and_the_text_is_the_path_again() {
        let names: [(&[u8], &str); 10] = [
            (b"caf\xe9/1.jpg", r"caf\xE9/1.jpg"),
            (b"caf\xe8/1.jpg", r"caf\xE8/1.jpg"),
            (b"caf\xc3\xa9/1.jpg", "café/1.jpg"),
            (br"caf\xE9/1.jpg", r"caf\x5CxE9/1.jpg"),
            (br"a\b", r"a\x5Cb"),
            (b"a\nb\t\x7f", r"a\x0Ab\x09\x7F"),
            ("\u{85}".as_bytes(), r"\xC2\x85"),
            (b"\xff\xfe", r"\xFF\xFE"),
            (b"\xf0\x9f\x98", r"\xF0\x9F\x98"),
            (b"\\\xe9", r"\x5C\xE9"),
        ];
        for (bytes, name) in names {
            assert_eq!(name_of(&path(bytes)), name);
            assert_eq!(path_of(name), path(bytes), "{name}");
        }
        // All names of up to three of these bytes.
        let bytes = [b'\\', b'x', b'E', b'9', 0xE9, b'\n', 0xC3, 0xA9];
        let mut all: Vec<Vec<u8>> = vec![Vec::new()];
        for length in 0..5 {
            let longer = all.iter().filter(|name| name.len() == length);
            let longer: Vec<_> =
                longer.flat_map(|name| bytes.map(|byte| [&name[..], &[byte]].concat())).collect();
            all.extend(longer);
        }
        let names: HashSet<String> = all.iter().map(|bytes| name_of(&path(bytes))).collect();
        assert_eq!(names.len(), all.len());
        for bytes in &all {
            let name = name_of(&path(bytes));
            assert_eq!(path_of(&name), path(bytes), "{name}");
            assert!(!name.contains(char::is_control));
        }
    }

    #[test]
    fn what_is_no_escape_is_itself() {
        for name in [r"\x", r"\x4", r"\x41", r"\xe9", r"C:\xyz", r"\xé", r"a\", r"\x+9", r"\x\"] {
            assert_eq!(path_of(name), Path::new(name));
            assert!(!has_escapes(name) && has_backslash(name));
        }
        assert!(has_escapes(r"a\x5C") && !has_backslash(r"a\x5C\xE9"));
        assert_eq!(path_of(r"\x\xE9"), path(b"\\x\xe9"));
    }

    #[test]
    fn letters_are_parted_from_their_marks() {
        for (composed, parts) in [
            ("Jos\u{e9}", "Jose\u{301}"),
            // Two marks, and a letter that is decomposed in part.
            ("Vi\u{1ec7}t", "Vie\u{323}\u{302}t"),
            ("Vi\u{1eb9}\u{302}t", "Vie\u{323}\u{302}t"),
            ("\u{419}\u{438}", "\u{418}\u{306}\u{438}"),
            ("\u{304c}", "\u{304b}\u{3099}"),
            ("\u{ac00}\u{d55c}", "\u{1100}\u{1161}\u{1112}\u{1161}\u{11ab}"),
            ("\u{d7a3}", "\u{1112}\u{1175}\u{11c2}"),
            ("\u{1d1c0}", "\u{1d1ba}\u{1d165}\u{1d16f}"),
            ("\u{674e}\u{96f7} \u{df}", "\u{674e}\u{96f7} \u{df}"),
        ] {
            assert_eq!(look_of(composed), parts);
            assert_eq!(look_of(parts), parts);
        }
    }

    #[test]
    fn names_that_look_alike_are_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in
            [&b"Jose\xcc\x81/1.png"[..], b"caf\xe9/2.jpg", b"Zo\xc3\xab/Zoe\xcc\x88_1.jpg", b"Ann/1.jpg"]
        {
            let path = root.join(path(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "image").unwrap();
        }
        let alike = |name: &str| LookAlike::of_missing(&root.join(name)).map(|found| found.to_string());
        let said = |name: &str, how: &str| {
            Some(format!("{name} is there, which looks the same and is another name ({how})"))
        };
        let nfd = "decomposed (NFD), not composed (NFC)";
        assert_eq!(alike("Jos\u{e9}/1.png"), said("Jose\u{301}/1.png", nfd));
        // With another ending, or none.
        assert_eq!(alike("Jos\u{e9}/1.jpg"), said("Jose\u{301}/1.png", nfd));
        assert_eq!(alike("Jos\u{e9}/1"), said("Jose\u{301}/1.png", nfd));
        assert_eq!(alike("caf\u{e9}/2.jpg"), said(r"caf\xE9/2.jpg", "Latin-1, not composed (NFC)"));
        assert_eq!(alike("cafe\u{301}/2.jpg"), said(r"caf\xE9/2.jpg", "Latin-1, not decomposed (NFD)"));
        assert_eq!(alike("Zo\u{eb}/Zo\u{eb}_1.jpg"), said("Zoe\u{308}_1.jpg", nfd));
        for name in
            ["Jos\u{e9}/2.png", "Jose/1.png", "caf\u{e8}/2.jpg", "Ann/1.png", "Ann/1.jpg", "Bob/1.jpg"]
        {
            assert_eq!(alike(name), None, "{name}");
        }
        let among = |wanted: &str| {
            let names = ["Ann", "Jose\u{301}", r"caf\xE9"].map(String::from);
            LookAlike::among(names, wanted).map(|found| found.to_string())
        };
        assert_eq!(among("Jos\u{e9}"), said("Jose\u{301}", nfd));
        assert_eq!(among("caf\u{e9}"), said(r"caf\xE9", "Latin-1, not composed (NFC)"));
        assert_eq!(among("Jose\u{301}"), None);
        assert_eq!(among("Bob"), None);
    }
}
