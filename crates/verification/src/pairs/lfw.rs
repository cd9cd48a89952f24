//! The pair files of Labeled Faces in the Wild (Huang et al. 2007).
//!
//! View 2, `pairs.txt`: the first line is the number of folds, a tab, and the number of pairs of each class
//! in a fold; then follow for each fold that many genuine and that many impostor pairs. View 1,
//! `pairsDevTrain.txt` and `pairsDevTest.txt`: the first line is one number; then follow that many genuine
//! and that many impostor pairs. A genuine pair is `name i j`, an impostor pair `name1 i name2 j`, separated
//! by tabs.

use std::{borrow::Cow, path::Path};

use super::{PairList, reading::Reading};
use crate::{
    ListError,
    list_file::{Line, lines},
};

const GENUINE: &str = "a genuine pair: name, image number, image number, separated by tabs";
const IMPOSTOR: &str = "an impostor pair: name, image number, other name, image number, separated by tabs";

impl PairList {
    /// Reads the text of an LFW pair file; `file` names it in errors.
    ///
    /// Image `i` of `name` is called `name/name_<i with four digits>`: the extension is left to the caller.
    /// Names may contain spaces where tabs separate the fields; a line without tabs is split at white space.
    /// View 1 has one fold.
    ///
    /// # Errors
    /// The first line that is not as described, or a number of pairs other than the first line says.
    pub fn lfw(text: &str, file: &Path) -> Result<Self, ListError> {
        let all: Vec<Line> = lines(text.trim_end(), file).collect();
        let header = all.first().copied().unwrap_or(Line { file, number: 1, text: "" });
        let (folds, per_class) = parse_header(header.text).ok_or_else(|| {
            header.wrong("the number of folds, a tab and the number of pairs, or one number of pairs")
        })?;
        // Checked before anything is allocated by these numbers.
        let number = all.len() - 1;
        if folds.checked_mul(per_class).and_then(|n| n.checked_mul(2)) != Some(number) {
            let expected = format!("{folds} x 2 x {per_class} pairs after the first line, as that line says");
            return Err(all[number].found(expected, format!("the last of {number}")));
        }

        let mut reading = Reading::default();
        for (index, line) in all[1..].iter().enumerate() {
            let (fold, same) = (index / (2 * per_class), index % (2 * per_class) < per_class);
            let expected = if same { GENUINE } else { IMPOSTOR };
            let (a, b) = parse_pair(&fields(line.text), same).ok_or_else(|| line.wrong(expected))?;
            if !same && a.0 == b.0 {
                return Err(line.wrong("two different names"));
            }
            reading.push(line, [a, b].map(image), same, fold)?;
        }
        reading.finish(lfw_person)
    }
}

/// The pair of a line without a first line that says which class it is of: three fields are a genuine pair, four an
/// impostor pair. Images are numbered from 1.
pub(super) fn lfw_pair(fields: &[Cow<'_, str>]) -> Option<([String; 2], bool)> {
    let fields: Vec<&str> = fields.iter().map(|field| &**field).collect();
    let same = fields.len() == 3;
    let (a, b) = parse_pair(&fields, same)?;
    let is_pair = (a.0 == b.0) == same && a != b && a.1 > 0 && b.1 > 0;
    is_pair.then(|| ([a, b].map(image), same))
}

/// Who is on an image.
pub(super) fn lfw_person(image: &str) -> Option<&str> {
    image.split('/').next()
}

/// What an image is called.
fn image((name, number): Image<'_>) -> String {
    format!("{name}/{name}_{number:04}")
}

fn parse_header(line: &str) -> Option<(usize, usize)> {
    let numbers: Vec<usize> = line.split_whitespace().map(|n| n.parse().ok()).collect::<Option<_>>()?;
    match numbers[..] {
        [per_class] if per_class > 0 => Some((1, per_class)),
        [folds, per_class] if folds > 0 && per_class > 0 => Some((folds, per_class)),
        _ => None,
    }
}

type Image<'a> = (&'a str, u32);

fn fields(line: &str) -> Vec<&str> {
    if line.contains('\t') {
        line.trim_end().split('\t').map(str::trim).collect()
    } else {
        line.split_whitespace().collect()
    }
}

fn parse_pair<'a>(fields: &[&'a str], same: bool) -> Option<(Image<'a>, Image<'a>)> {
    match fields[..] {
        [name, i, j] if same => Some((parse_image(name, i)?, parse_image(name, j)?)),
        [a, i, b, j] if !same => Some((parse_image(a, i)?, parse_image(b, j)?)),
        _ => None,
    }
}

/// A name is a folder name: it must not lead out of the folder of the images.
fn parse_image<'a>(name: &'a str, number: &str) -> Option<Image<'a>> {
    let is_folder_name = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\']);
    is_folder_name.then_some((name, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use facegrad_random::{Purpose, Stream};

    use super::{super::Pair, *};

    fn read(text: &str) -> Result<PairList, String> {
        PairList::lfw(text, Path::new("pairs.txt")).map_err(|error| error.to_string())
    }

    #[test]
    fn view_2_gives_folds_of_genuine_then_impostor_pairs() {
        let list = read(
            "2\t1\r\nAda Lovelace\t1\t4\r\nAda Lovelace\t1\tBob\t2\r\nBob\t2\t3\r\nBob\t12345\tÉmile\t1\r\n\r\n\n",
        )
        .unwrap();
        assert_eq!(
            list.images(),
            [
                "Ada Lovelace/Ada Lovelace_0001",
                "Ada Lovelace/Ada Lovelace_0004",
                "Bob/Bob_0002",
                "Bob/Bob_0003",
                "Bob/Bob_12345",
                "Émile/Émile_0001"
            ]
        );
        let pair = |a, b, same, fold| Pair { a, b, same, fold };
        assert_eq!(
            list.pairs(),
            [pair(0, 1, true, 0), pair(0, 2, false, 0), pair(2, 3, true, 1), pair(4, 5, false, 1)]
        );
        assert_eq!((list.folds(), list.genuine(), list.impostor()), (2, 2, 2));
        assert_eq!(list.people(), [0, 0, 1, 1, 1, 2]);
    }

    #[test]
    fn view_1_is_one_fold_and_white_space_separates_without_tabs() {
        let list = read("\u{feff}2\na 1 2\nb  1 2\na 1 b 1\nb 2 a 2").unwrap();
        assert_eq!((list.folds(), list.genuine(), list.impostor()), (1, 2, 2));
        assert_eq!(list.images().len(), 4);
    }

    #[test]
    fn the_hash_is_of_the_pairs_not_of_the_bytes() {
        let list = read("1\na\t1\t2\na\t1\tb\t1\n").unwrap();
        assert_eq!(list.sha256(), read("1\r\na 1 2\r\na 1 b 1").unwrap().sha256());
        assert_ne!(list.sha256(), read("1\na\t1\t2\na\t1\tb\t2\n").unwrap().sha256());
        // printf '0\t1\ta/a_0001\ta/a_0002\n0\t0\ta/a_0001\tb/b_0001\n' | sha256sum
        assert_eq!(list.sha256(), "18b62e72ec80d25b47bf23a64cdcbfd25e929e09e986764c6307fa3f032d1207");
    }

    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        let header = "pairs.txt:1: expected the number of folds, a tab and the number of pairs, \
                      or one number of pairs, found";
        let cases = [
            ("", format!("{header} \"\"")),
            ("ten\t300\n", format!("{header} \"ten\\t300\"")),
            ("0\n", format!("{header} \"0\"")),
            ("1\t2\t3\n", format!("{header} \"1\\t2\\t3\"")),
            ("-1\n", format!("{header} \"-1\"")),
            (
                "18446744073709551615\t2\na\t1\t2\n",
                "pairs.txt:2: expected 18446744073709551615 x 2 x 2 pairs after the first line, as that line says, \
                 found the last of 1"
                    .into(),
            ),
            (
                "2\na\t1\t2\na\t1\tb\t1\n",
                "pairs.txt:3: expected 1 x 2 x 2 pairs after the first line, as that line says, \
                 found the last of 2"
                    .into(),
            ),
            ("1\na\t1\tb\t1\na\t1\t2\n", format!("pairs.txt:2: expected {GENUINE}, found \"a\\t1\\tb\\t1\"")),
            ("1\na\t1\t2\na\t1\t2\n", format!("pairs.txt:3: expected {IMPOSTOR}, found \"a\\t1\\t2\"")),
            ("1\na\t1\ttwo\na\t1\tb\t2\n", format!("pairs.txt:2: expected {GENUINE}, found \"a\\t1\\ttwo\"")),
            ("1\n../x\t1\t2\na\t1\tb\t2\n", format!("pairs.txt:2: expected {GENUINE}, found \"../x\\t1\\t2\"")),
            ("1\na\t1\t1\na\t1\tb\t2\n", "pairs.txt:2: expected two different images, found \"a\\t1\\t1\"".into()),
            ("1\na\t1\t2\na\t1\ta\t2\n", "pairs.txt:3: expected two different names, found \"a\\t1\\ta\\t2\"".into()),
            ("1\n\na\t1\t2\n", format!("pairs.txt:2: expected {GENUINE}, found \"\"")),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).unwrap_err(), message, "{text:?}");
        }
        let long = read(&format!("1\n{}\nb", "é".repeat(1000))).unwrap_err();
        assert!(long.ends_with("é\" and more") && long.chars().count() < 250, "{long}");
    }

    #[test]
    fn damaged_text_ends_in_a_sentence_or_a_list() {
        let text =
            "2\t2\na\t1\t2\nb\t1\t2\na\t1\tb\t1\na\t2\tb\t2\nc\t1\t2\nd\t1\t2\nc\t1\td\t1\nc\t2\td\t2\n";
        let mut stream = Stream::new(1, Purpose::Bootstrap, 0, 0);
        for _ in 0..20_000 {
            let mut damaged: Vec<char> = text.chars().collect();
            for _ in 0..=stream.below(3) {
                let place = stream.below(damaged.len());
                damaged[place] = ['\t', '\n', '\r', ' ', '9', '-', 'é', '\0', '/', '.'][stream.below(10)];
            }
            damaged.truncate(1 + stream.below(2 * damaged.len()));
            match read(&damaged.into_iter().collect::<String>()) {
                Ok(list) if list.repeats() == 0 => assert_eq!(list.genuine(), list.impostor()),
                Ok(list) => assert!(list.genuine().abs_diff(list.impostor()) <= list.repeats()),
                Err(message) => assert!(message.starts_with("pairs.txt:"), "{message}"),
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("pairs.txt");
        let message = PairList::read(&missing, None).unwrap_err().to_string();
        assert!(message.contains("pairs.txt") && message.starts_with("cannot read the list"), "{message}");
        fs::write(&missing, b"1\na\xff\t1\t2\na\t1\tb\t2\n").unwrap();
        let message = PairList::read(&missing, None).unwrap_err().to_string();
        assert!(message.contains("UTF-8"), "{message}");
    }

    #[test]
    fn the_published_lists_are_read() {
        let Some(folder) = std::env::var_os("FACEGRAD_LFW").map(std::path::PathBuf::from) else {
            eprintln!(
                "skipped: FACEGRAD_LFW does not name a folder with pairsDevTrain.txt and pairsDevTest.txt"
            );
            return;
        };
        for (file, per_class) in [("pairsDevTrain.txt", 1100), ("pairsDevTest.txt", 500)] {
            let list = PairList::read(&folder.join(file), None).unwrap();
            assert_eq!((list.folds(), list.genuine(), list.impostor()), (1, per_class, per_class));
            for pair in list.pairs() {
                let [a, b] = [pair.a, pair.b].map(|i| list.images()[i].split('/').next().unwrap());
                assert_eq!(a == b, pair.same);
            }
            for image in list.images() {
                let path = folder.join("images").join(format!("{image}.jpg"));
                assert!(path.exists(), "{}", path.display());
            }
        }
    }
}
