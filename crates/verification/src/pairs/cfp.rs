//! Celebrities in Frontal-Profile (Sengupta et al. 2016), from its Protocol folder as it is distributed.
//!
//! `Protocol/Pair_list_F.txt` and `Pair_list_P.txt` number the frontal and the profile images, from 1:
//! `1 ../Data/Images/001/frontal/01.jpg`, relative to the Protocol folder. Copies are about where these are called
//! `image_list_F.txt` and `image_list_P.txt`, or say `Data/Images/001/frontal/01.jpg`. `Protocol/Split/FF/01` to `10`, and
//! `Split/FP` likewise, each have a `same.txt` and a `diff.txt` with pairs of such numbers, `12,5`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use facegrad_settings::choice;

use super::{PairList, reading::Reading};
use crate::{
    ListError,
    list_file::{Line, lines, read_text},
};

/// Files beyond this size are not read: the list of frontal images has 180 kB.
const MAX_BYTES: u64 = 16 << 20;
/// The number of folds.
const FOLDS: usize = 10;

choice! {
    /// Which images of CFP are compared.
    pub enum CfpProtocol {
        /// Frontal with frontal images.
        FrontalFrontal = "ff",
        /// Frontal with profile images.
        FrontalProfile = "fp",
    }
}

impl PairList {
    /// Reads a protocol of CFP from the data set's folder `root`, the one that has `Protocol` and `Data`.
    ///
    /// The list has 10 folds, each with the genuine and then the impostor pairs, 350 of each in the files as
    /// published. Images are named relative to `root`, such as `Data/Images/001/frontal/01.jpg`; in pairs of
    /// [`CfpProtocol::FrontalProfile`] the frontal one comes first. The folder above `frontal` and `profile` says
    /// who is on an image; should a pair contradict it, people are taken to be unknown.
    ///
    /// # Errors
    /// If one of the files cannot be read, a line is not as described, an image is outside `root`, or a fold lacks
    /// a class.
    pub fn cfp(root: &Path, protocol: CfpProtocol) -> Result<Self, ListError> {
        Self::cfp_from(root, protocol, &mut |file| read_text(file, MAX_BYTES))
    }

    /// The same with the text of each file from `read`, which is given its path: `root` and what is described
    /// above.
    ///
    /// # Errors
    /// As [`PairList::cfp`], and those of `read`.
    pub fn cfp_from(
        root: &Path,
        protocol: CfpProtocol,
        read: &mut dyn FnMut(&Path) -> Result<String, ListError>,
    ) -> Result<Self, ListError> {
        let mut numbered = |kind: &str| {
            let [file, other] =
                ["Pair_list", "image_list"].map(|name| root.join(format!("Protocol/{name}_{kind}.txt")));
            match read(&file) {
                Ok(text) => numbered_images(&text, &file),
                Err(error) => match read(&other) {
                    Ok(text) => numbered_images(&text, &other),
                    Err(_) => Err(error),
                },
            }
        };
        let frontal = numbered("F")?;
        let (folder, profile) = match protocol {
            CfpProtocol::FrontalFrontal => ("FF", None),
            CfpProtocol::FrontalProfile => ("FP", Some(numbered("P")?)),
        };
        let lists = (&frontal, profile.as_ref().unwrap_or(&frontal));

        let mut reading = Reading::default();
        for fold in 0..FOLDS {
            for (same, name) in [(true, "same.txt"), (false, "diff.txt")] {
                let file = [root, "Protocol/Split".as_ref(), folder.as_ref()].iter().collect::<PathBuf>();
                let file = file.join(format!("{:02}", fold + 1)).join(name);
                let text = read(&file)?;
                let mut is_empty = true;
                for line in lines(&text, &file).filter(Line::has_text) {
                    let [a, b] = parse_pair(line.text)
                        .ok_or_else(|| line.wrong("two numbers of images with a comma between"))?;
                    let (Some(a), Some(b)) = (lists.0.get(&a), lists.1.get(&b)) else {
                        return Err(line.wrong("two numbers that the lists of images have"));
                    };
                    reading.push(&line, [a, b].map(String::clone), same, fold)?;
                    is_empty = false;
                }
                if is_empty {
                    let first = Line { file: &file, number: 1, text: &text };
                    return Err(first.found("at least one pair of numbers, such as 12,5", "none"));
                }
            }
        }
        reading.finish(|path| path.rsplit('/').nth(2))
    }
}

/// The images of a list by their numbers, as paths relative to the root.
fn numbered_images(text: &str, file: &Path) -> Result<HashMap<usize, String>, ListError> {
    let mut images = HashMap::new();
    for line in lines(text, file).filter(Line::has_text) {
        let (index, path) = line
            .text
            .trim()
            .split_once(char::is_whitespace)
            .and_then(|(index, path)| Some((index.parse().ok()?, path.trim())))
            .ok_or_else(|| line.wrong("a number, a space and the path of an image"))?;
        let path = from_root(path).ok_or_else(|| {
            line.wrong("a path relative to the Protocol folder that stays in the folder of the data set")
        })?;
        if images.insert(index, path).is_some() {
            return Err(line.wrong("a number that no line before has"));
        }
    }
    Ok(images)
}

/// A path relative to the Protocol folder, or from `Data` on, as one relative to the folder that holds both, which it
/// must not leave.
fn from_root(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\\', '\0', ':']) {
        return None;
    }
    let path = path.trim_start_matches("./");
    let mut parts = if path.starts_with("Data/") { Vec::new() } else { vec!["Protocol"] };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn parse_pair(line: &str) -> Option<[usize; 2]> {
    let (a, b) = line.split_once(',')?;
    Some([a.trim().parse().ok()?, b.trim().parse().ok()?])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A Protocol folder of `people` people with 10 frontal and 4 profile images, as the real one is laid out:
    /// fold k has the people k, k + 10, ..., `per_class` pairs of each class.
    fn write_protocol(root: &Path, people: usize, per_class: usize) {
        let protocol = root.join("Protocol");
        fs::create_dir_all(&protocol).unwrap();
        for (name, folder, each) in [("Pair_list_F.txt", "frontal", 10), ("Pair_list_P.txt", "profile", 4)] {
            let line = |k: usize| {
                format!("{} ../Data/Images/{:03}/{folder}/{:02}.jpg\r\n", k + 1, k / each + 1, k % each + 1)
            };
            fs::write(protocol.join(name), (0..people * each).map(line).collect::<String>()).unwrap();
        }
        for (folder, each) in [("FF", 10), ("FP", 4)] {
            for fold in 0..10 {
                let split = protocol.join("Split").join(folder).join(format!("{:02}", fold + 1));
                fs::create_dir_all(&split).unwrap();
                let of_fold = people / 10;
                let pair = |k: usize, other: usize| {
                    let person = |k: usize| fold + 10 * (k % of_fold);
                    // The second image is never the first, also among frontal ones, and no pair comes twice.
                    let frontal = [0, 1, 2, 4, 5, 6, 7][k / of_fold % 7];
                    let (a, b) = (person(k) * 10 + frontal, person(k + other) * each + 3);
                    format!("{},{}\n", a + 1, b + 1)
                };
                let text = |other| (0..per_class).map(|k| pair(k, other)).collect::<String>();
                fs::write(split.join("same.txt"), text(0)).unwrap();
                fs::write(split.join("diff.txt"), text(1)).unwrap();
            }
        }
    }

    #[test]
    fn both_protocols_are_read_as_distributed() {
        let root = tempfile::tempdir().unwrap();
        write_protocol(root.path(), 500, 350);
        for (protocol, second) in
            [(CfpProtocol::FrontalFrontal, "frontal"), (CfpProtocol::FrontalProfile, "profile")]
        {
            let list = PairList::cfp(root.path(), protocol).unwrap();
            assert_eq!((list.folds(), list.genuine(), list.impostor()), (10, 3500, 3500));
            assert!(list.names_people());
            for (k, pair) in list.pairs().iter().enumerate() {
                assert_eq!((pair.fold, pair.same), (k / 700, k % 700 < 350));
                let [a, b] = [pair.a, pair.b].map(|i| list.images()[i].split('/').collect::<Vec<_>>());
                assert_eq!((a.len(), a[..2].join("/"), a[3]), (5, "Data/Images".into(), "frontal"));
                assert_eq!(b[3], second);
                assert_eq!(a[2] == b[2], pair.same);
                assert_eq!(list.people()[pair.a] == list.people()[pair.b], pair.same);
                assert_eq!(a[2].parse::<usize>().unwrap() % 10, (pair.fold + 1) % 10);
            }
        }
        let list = PairList::cfp(root.path(), CfpProtocol::FrontalProfile).unwrap();
        assert_eq!(list.images()[..2], ["Data/Images/001/frontal/01.jpg", "Data/Images/001/profile/04.jpg"]);
    }

    #[test]
    fn both_layouts_are_read() {
        let root = tempfile::tempdir().unwrap();
        write_protocol(root.path(), 20, 2);
        let published = PairList::cfp(root.path(), CfpProtocol::FrontalProfile).unwrap();
        for kind in ["F", "P"] {
            let [file, other] = ["Pair_list", "image_list"]
                .map(|name| root.path().join(format!("Protocol/{name}_{kind}.txt")));
            let text = fs::read_to_string(&file).unwrap();
            fs::write(other, text.replace("../Data", "Data")).unwrap();
            fs::remove_file(file).unwrap();
        }
        assert_eq!(PairList::cfp(root.path(), CfpProtocol::FrontalProfile).unwrap(), published);
    }

    #[test]
    fn errors_name_the_file_the_line_and_what_would_be_right() {
        let root = tempfile::tempdir().unwrap();
        let protocol = root.path().join("Protocol");
        let frontal = protocol.join("Pair_list_F.txt");
        let same = protocol.join("Split/FP/03/same.txt");
        let read = || PairList::cfp(root.path(), CfpProtocol::FrontalProfile).unwrap_err().to_string();
        assert!(read().starts_with(&format!("cannot read the list {}", frontal.display())));
        let stays = "a path relative to the Protocol folder that stays in the folder of the data set";
        let numbers = "two numbers that the lists of images have";
        for (file, text, line, expected, found) in [
            (&frontal, "1 ../../x.jpg\n", 1, stays, "\"1 ../../x.jpg\""),
            (&frontal, "1 ../Data/../../x.jpg\n", 1, stays, "\"1 ../Data/../../x.jpg\""),
            (&frontal, "1 /x.jpg\n", 1, stays, "\"1 /x.jpg\""),
            (&frontal, "1 ..\n", 1, stays, "\"1 ..\""),
            (&frontal, "1 ..\\x.jpg\n", 1, stays, "\"1 ..\\\\x.jpg\""),
            (&frontal, "1 ../a\n\n1 ../b\n", 3, "a number that no line before has", "\"1 ../b\""),
            (&frontal, "one ../a\n", 1, "a number, a space and the path of an image", "\"one ../a\""),
            (&frontal, "1\n", 1, "a number, a space and the path of an image", "\"1\""),
            (&same, "", 1, "at least one pair of numbers, such as 12,5", "none"),
            (&same, "1,4\n1 4\n", 2, "two numbers of images with a comma between", "\"1 4\""),
            (&same, "0,4\n", 1, numbers, "\"0,4\""),
            (&same, "1,81\n", 1, numbers, "\"1,81\""),
        ] {
            write_protocol(root.path(), 20, 2);
            fs::write(file, text).unwrap();
            assert_eq!(read(), format!("{}:{line}: expected {expected}, found {found}", file.display()));
        }
        write_protocol(root.path(), 20, 2);
        fs::write(protocol.join("Split/FF/01/diff.txt"), "5,5\n").unwrap();
        let message = PairList::cfp(root.path(), CfpProtocol::FrontalFrontal).unwrap_err().to_string();
        assert!(
            message.ends_with("FF/01/diff.txt:1: expected two different images, found \"5,5\""),
            "{message}"
        );
        fs::remove_file(protocol.join("Split/FF/10/same.txt")).unwrap();
        write_protocol(root.path(), 20, 2);
        fs::remove_file(protocol.join("Split/FF/10/same.txt")).unwrap();
        assert!(PairList::cfp(root.path(), CfpProtocol::FrontalFrontal).is_err());
    }

    #[test]
    fn people_are_unknown_if_a_pair_contradicts_the_folders() {
        let root = tempfile::tempdir().unwrap();
        write_protocol(root.path(), 20, 2);
        fs::write(root.path().join("Protocol/Split/FP/01/diff.txt"), "1,1\n").unwrap();
        assert!(!PairList::cfp(root.path(), CfpProtocol::FrontalProfile).unwrap().names_people());
        assert!(PairList::cfp(root.path(), CfpProtocol::FrontalFrontal).unwrap().names_people());
    }

    #[test]
    fn what_two_files_say_of_a_pair_is_held_against_each_other() {
        let root = tempfile::tempdir().unwrap();
        let read = || PairList::cfp(root.path(), CfpProtocol::FrontalProfile);
        let split = root.path().join("Protocol/Split/FP");
        write_protocol(root.path(), 20, 2);
        let of = |fold: &str, class: &str| fs::read_to_string(split.join(fold).join(class)).unwrap();
        fs::write(split.join("02/same.txt"), of("02", "same.txt") + &of("01", "same.txt")).unwrap();
        let list = read().unwrap();
        assert_eq!((list.repeats(), list.genuine(), list.folds()), (2, 20, 10));
        fs::write(split.join("03/diff.txt"), of("01", "same.txt")).unwrap();
        let message = read().unwrap_err().to_string();
        let (here, there) = (split.join("03/diff.txt"), split.join("01/same.txt"));
        assert!(
            message.starts_with(&format!("{}:1: Data/Images/", here.display()))
                && message.contains(&format!("two people here and one person in {}:1; ", there.display())),
            "{message}"
        );
    }
}
