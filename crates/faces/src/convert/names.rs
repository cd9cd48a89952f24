//! Names of files, of names that may be anything.

use std::collections::{HashMap, hash_map::Entry};

use facegrad_files::{has_backslash, look_of};

use crate::formats::folder::EXTENSIONS;

/// Longest name, in bytes; file systems have 255, and an ending and a number may follow.
const MAX_NAME: usize = 200;
/// Digits of the number of an image.
const DIGITS: usize = 8;
/// Names that Windows keeps for devices.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// The ending of an image file with this content, by which it is no image if there is none.
pub(super) fn extension(bytes: &[u8]) -> Option<&'static str> {
    use image::ImageFormat::{Bmp, Jpeg, Png, Pnm, WebP};
    Some(match image::guess_format(bytes).ok()? {
        Jpeg => "jpg",
        Png => "png",
        WebP => "webp",
        Bmp => "bmp",
        Pnm if matches!(bytes.get(1), Some(b'2' | b'5')) => "pgm",
        Pnm => "ppm",
        _ => return None,
    })
}

/// What `text` is called as a file or folder: without what leads elsewhere, is reserved, hidden or cannot be typed.
/// Ordinary names stay as they are.
pub(super) fn sanitized(text: &str) -> String {
    let is_bad = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c) || c == '\u{2028}' || c == '\u{2029}';
    let mut name: String = text.chars().map(|c| if is_bad(c) { '_' } else { c }).collect();
    if name.len() > MAX_NAME {
        let end = (0..=MAX_NAME).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        name.truncate(end);
    }
    // Dots and spaces at the end are lost on Windows.
    let kept = name.trim_end_matches(['.', ' ']).len();
    name.replace_range(kept.., &"_".repeat(name.len() - kept));
    if name.starts_with(['.', ' ']) {
        name.replace_range(..1, "_");
    }
    if name.is_empty() || is_device(&name) {
        name.insert(0, '_');
    }
    name
}

/// `con`, `Com1.jpg` and the like.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let letters = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = stem.len() - letters.len();
    DEVICES.iter().position(|device| *device == letters).is_some_and(|at| digits == usize::from(at >= 4))
}

/// The name of an image file without its ending: the last part of what its set calls it. Numbers are padded, so that
/// the order of names is theirs.
pub(super) fn stem(key: &str) -> String {
    let has_backslash = has_backslash(key);
    let file = key.rsplit(|c| c == '/' || c == '\\' && has_backslash).next().unwrap_or(key);
    let stem = match file.rsplit_once('.') {
        Some((stem, ending)) if EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(ending)) => stem,
        _ => file,
    };
    let is_number = !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("{stem:0>DIGITS$}") } else { sanitized(stem) }
}

/// Folders of identities: sanitised, all different, and numbers with as many digits each, so that the order of names
/// is theirs.
pub(super) fn folders(identities: &[String]) -> Vec<String> {
    let is_number = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let width = match identities.iter().all(is_number) {
        true => identities.iter().map(String::len).max().unwrap_or(0).min(MAX_NAME),
        false => 0,
    };
    let mut unique = UniqueNames::default();
    identities.iter().map(|name| unique.name(&sanitized(&format!("{name:0>width$}")))).collect()
}

/// Gives names that are all different, also where capitals or forms of Unicode are not told apart.
#[derive(Default)]
pub(super) struct UniqueNames {
    /// The names given, by how they look in lower case, and the last number that was added to each.
    used: HashMap<String, usize>,
}

impl UniqueNames {
    /// `wanted`, or that with a number if it was given before.
    pub fn name(&mut self, wanted: &str) -> String {
        let lower = look_of(&wanted.to_lowercase());
        let Some(mut number) = self.used.get(&lower).copied() else {
            self.used.insert(lower, 1);
            return wanted.into();
        };
        loop {
            number += 1;
            let name = format!("{wanted}_{number}");
            if let Entry::Vacant(free) = self.used.entry(look_of(&name.to_lowercase())) {
                free.insert(1);
                self.used.insert(lower, number);
                return name;
            }
        }
    }

    /// Forgets all names.
    pub fn clear(&mut self) {
        self.used.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay() {
        for name in ["Ann Lee", "Zoë Müller", "0001", "a.b-c_d", "com", "console", "com12", "李雷"] {
            assert_eq!(sanitized(name), name);
        }
    }

    #[test]
    fn names_cannot_lead_elsewhere() {
        for (name, expected) in [
            ("", "_"),
            (".", "_"),
            ("..", "__"),
            ("../../etc", "_._.._etc"),
            ("/etc/passwd", "_etc_passwd"),
            ("a\\b:c", "a_b_c"),
            ("new\nline\0", "new_line_"),
            (".hidden", "_hidden"),
            ("dots..", "dots__"),
            ("space ", "space_"),
            ("NUL", "_NUL"),
            ("com1.jpg", "_com1.jpg"),
        ] {
            let name = sanitized(name);
            assert_eq!(name, expected);
            assert_eq!(sanitized(&name), name);
        }
        let long = sanitized(&"ü".repeat(300));
        assert_eq!((long.len(), long.chars().next()), (200, Some('ü')));
    }

    #[test]
    fn images_are_called_by_the_last_part_of_their_keys() {
        assert_eq!(stem("Ann Lee/deep/1.JPG"), "00000001");
        assert_eq!(stem("Ann Lee/Ann_0001.jpg"), "Ann_0001");
        assert_eq!(stem("17"), "00000017");
        assert_eq!(stem("123456789"), "123456789");
        assert_eq!(stem("s-00/a.b"), "a.b");
        assert_eq!(stem(r"Ann\1.jpg"), "00000001");
        assert_eq!(stem(r"Ann/caf\xE9.jpg"), "caf_xE9");
        assert_eq!(stem("../.."), "__");
        assert_eq!(stem(".jpg"), "_");
        assert_eq!(stem(""), "_");
    }

    #[test]
    fn equal_names_get_numbers() {
        let mut unique = UniqueNames::default();
        let names = ["a", "A", "a", "a_2", "a", "b"].map(|name| unique.name(name));
        assert_eq!(names, ["a", "A_2", "a_3", "a_2_2", "a_4", "b"]);
        let lower: std::collections::HashSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(lower.len(), names.len());
        let mut unique = UniqueNames::default();
        let forms = ["Jos\u{e9}", "Jose\u{301}", "JOS\u{c9}"].map(|name| unique.name(name));
        assert_eq!(forms, ["Jos\u{e9}", "Jose\u{301}_2", "JOS\u{c9}_3"]);
        let mut unique = UniqueNames::default();
        let many: std::collections::HashSet<String> = (0..20_000).map(|_| unique.name("x")).collect();
        assert_eq!(many.len(), 20_000);
    }

    #[test]
    fn numbers_of_identities_have_as_many_digits_each() {
        assert_eq!(folders(&["9", "10", "0"].map(String::from)), ["09", "10", "00"]);
        assert_eq!(folders(&["9", "x", "../x"].map(String::from)), ["9", "x", "_._x"]);
        assert_eq!(folders(&["a/b", "a_b"].map(String::from)), ["a_b", "a_b_2"]);
    }

    #[test]
    fn endings_follow_the_content() {
        assert_eq!(extension(&[0xFF, 0xD8, 0xFF, 0xE0]), Some("jpg"));
        assert_eq!(extension(b"\x89PNG\r\n\x1a\n"), Some("png"));
        assert_eq!(extension(b"P5 1 1 255\n0"), Some("pgm"));
        assert_eq!(extension(b"P6 1 1 255\n000"), Some("ppm"));
        assert_eq!(extension(b"GIF89a"), None);
        assert_eq!(extension(b""), None);
    }
}
