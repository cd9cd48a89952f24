//! Names in archives, and what of them may become a path.

use std::path::PathBuf;

/// The longest name of a file that every file system takes, in bytes.
const LONGEST_NAME: usize = 255;
/// The longest path in an archive, in bytes.
pub(super) const LONGEST_PATH: usize = 4096;
/// How many folders may lie in each other.
const DEEPEST: usize = 32;

/// The path that an entry has in the folder that is unpacked into; empty for that folder itself, and for what is above
/// the `strip` folders that are left out.
///
/// # Errors
/// What is wrong with the name, to stand behind it.
pub(super) fn relative(name: &[u8], strip: usize) -> Result<PathBuf, String> {
    if name.len() > LONGEST_PATH {
        return Err(format!("has a path of {} bytes, and {LONGEST_PATH} are allowed", name.len()));
    }
    let name = std::str::from_utf8(name).map_err(|_| "has a name that is not UTF-8".to_owned())?;
    if name.chars().any(char::is_control) {
        return Err("has a control character in its name".into());
    }
    if name.starts_with('/') {
        return Err("has an absolute path".into());
    }
    // On Windows it separates folders, and elsewhere it is no letter for a name.
    if name.contains('\\') {
        return Err("has a backslash in its name".into());
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.len() > DEEPEST + strip {
        return Err(format!("lies {} folders deep, and {DEEPEST} are allowed", parts.len()));
    }
    for part in &parts {
        let bytes = part.as_bytes();
        if *part == ".." {
            return Err("leads out of its folder".into());
        }
        if bytes.get(1) == Some(&b':') && bytes[0].is_ascii_alphabetic() {
            return Err("has the letter of a drive in its name".into());
        }
        if bytes.len() > LONGEST_NAME {
            return Err(format!("has a name of {} bytes, and {LONGEST_NAME} are allowed", bytes.len()));
        }
        if cfg!(windows) && !is_possible_on_windows(part) {
            return Err("has a name that Windows cannot store".into());
        }
    }
    Ok(parts.into_iter().skip(strip).collect())
}

/// Windows gives other meanings to these: streams, devices, and names that end in a dot or space.
fn is_possible_on_windows(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let numbered = ["COM", "LPT"].iter().any(|name| {
        stem.strip_prefix(name)
            .is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_digit()))
    });
    let is_device = numbered || matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL");
    !is_device && !part.contains(['<', '>', ':', '"', '|', '?', '*']) && !part.ends_with(['.', ' '])
}

/// A name as it can stand in an error.
pub(super) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_that_stay_in_the_folder_become_paths() {
        for (name, strip, expected) in [
            ("a/b.jpg", 0, "a/b.jpg"),
            ("./a//b.jpg", 0, "a/b.jpg"),
            ("lfw/a/b.jpg", 1, "a/b.jpg"),
            ("lfw/", 1, ""),
            ("./", 0, ""),
            ("Zoë..jpg", 0, "Zoë..jpg"),
        ] {
            assert_eq!(relative(name.as_bytes(), strip).unwrap(), Path::new(expected), "{name}");
        }
    }

    #[test]
    fn names_that_lead_out_or_are_no_names_are_refused() {
        let deep = "a/".repeat(33);
        let long = "x".repeat(256);
        let longer = "x/".repeat(2100);
        let cases: [(&[u8], &str); 13] = [
            (b"/etc/passwd", "absolute"),
            (b"//server/share", "absolute"),
            (b"..", "leads out"),
            (b"a/../../b", "leads out"),
            (b"a/..", "leads out"),
            (b"..\\b", "backslash"),
            (b"C:/b", "drive"),
            (b"a/c:b", "drive"),
            (b"a\nb", "control character"),
            (b"a\0b", "control character"),
            (b"\xff\xfe", "UTF-8"),
            (deep.as_bytes(), "33 folders deep"),
            (long.as_bytes(), "256 bytes"),
        ];
        for (name, expected) in cases {
            let message = relative(name, 0).unwrap_err();
            assert!(message.contains(expected), "{name:?}: {message}");
        }
        assert!(relative(longer.as_bytes(), 0).unwrap_err().contains("4096 are allowed"));
        // What is left out is checked as well.
        assert!(relative(b"../b", 1).unwrap_err().contains("leads out"));
        assert_eq!(shown("é".repeat(200).as_bytes()).chars().count(), 83);
    }

    #[test]
    fn names_of_devices_are_told_from_others() {
        assert!(["Con Air.jpg", "COMPANY", "COM10", "a"].iter().all(|name| is_possible_on_windows(name)));
        assert!(!["con", "NUL.txt", "com1.jpg", "a:b", "a."].iter().any(|name| is_possible_on_windows(name)));
    }
}
