//! Images that a list names not quite as their files are called.

use std::path::{Path, PathBuf};

use facegrad_files::path_of;

use crate::folder::EXTENSIONS;

/// The image that `name` names below `folder`: a path, or one without its extension.
///
/// Where there is no such file, one that differs in its extension alone will do (`1.png` for `1.jpg`, as after
/// `facegrad align`, or `1.JPG`), and then one whose number is not padded (`Ann_1.jpg` for `Ann_0001`, as in some copies
/// of LFW).
pub fn find_image(folder: &Path, name: &str) -> Option<PathBuf> {
    let stem = without_extension(name);
    let as_it_is = folder.join(path_of(name));
    if stem.is_some() && as_it_is.is_file() {
        return Some(as_it_is);
    }
    let with_any = |stem: &str| {
        let lower = EXTENSIONS.iter().map(|extension| format!("{stem}.{extension}"));
        let upper = EXTENSIONS.iter().map(|extension| format!("{stem}.{}", extension.to_ascii_uppercase()));
        lower.chain(upper).map(|file| folder.join(path_of(&file))).find(|path| path.is_file())
    };
    let unpadded = || {
        let (person, number) = stem.unwrap_or(name).rsplit_once('_')?;
        let short = number.trim_start_matches('0');
        let is_padded = short.len() < number.len() && short.starts_with(|c: char| c.is_ascii_digit());
        (is_padded && short.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| with_any(&format!("{person}_{short}")))?
    };
    with_any(name).or_else(|| with_any(stem?)).or_else(unpadded)
}

/// A name without its extension, if it has that of an image.
pub fn without_extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is_known = EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension));
    (is_known && !stem.is_empty() && !stem.ends_with('/')).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_with_and_without_extension() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "b.v2.png", "c.JPG"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let find = |name: &str| {
            let file = find_image(folder.path(), name)?;
            Some(file.file_name()?.to_string_lossy().into_owned())
        };
        assert_eq!(find("a").as_deref(), Some("a.jpg"));
        assert_eq!(find("a.jpg").as_deref(), Some("a.jpg"));
        assert_eq!(find("b.v2").as_deref(), Some("b.v2.png"));
        assert_eq!(find("c.JPG").as_deref(), Some("c.JPG"));
        assert_eq!(find("d"), None);
        // Another extension, or none of the list's spelling.
        assert_eq!(find("a.png").as_deref(), Some("a.jpg"));
        assert_eq!(find("a.JPEG").as_deref(), Some("a.jpg"));
        assert_eq!(find("c.jpg").as_deref(), Some("c.JPG"));
        assert_eq!(find("c").as_deref(), Some("c.JPG"));
        assert_eq!(find("b").as_deref(), None);
        // Numbers that are not padded.
        std::fs::write(folder.path().join("Ann_1.jpg"), "").unwrap();
        assert_eq!(find("Ann_0001").as_deref(), Some("Ann_1.jpg"));
        assert_eq!(find("Ann_0001.png").as_deref(), Some("Ann_1.jpg"));
        assert_eq!(find("Ann_0010"), None);
        assert_eq!(find("Ann_0000"), None);
    }
}
