//! Lists of pairs as people write them, and folds for lists without.
//!
//! A line names two images and says 1 if both show the same person and 0 if not (`True` and `False` will do);
//! a fourth field is the number of the fold:
//!
//! ```text
//! image1,image2,same,fold
//! ann/1.jpg,ann/2.jpg,1,0
//! ann/1.jpg,"bob, jr/1.jpg",0,0
//! ```
//!
//! Fields are separated by tabs, commas or white space, the first of these by which the first pair has three or
//! four fields; between tabs and commas, a field may be in double quotes, with a quote in it doubled. The 0 or 1
//! may also come first (`1 ann/1.jpg ann/2.jpg`, as in OpenSphere). Blank lines and lines that begin with `#`
//! are left out; the first of the others may be a header, whose fields are words rather than paths and numbers.
//!
//! Paths are relative to a folder that the user names, with forward slashes; `.` and doubled slashes in them are
//! taken out, absolute paths and `..` are refused. A list without folds is one fold: nothing in the file says
//! where another would begin. [`PairList::in_folds`] cuts it into more.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt::{self, Write as _},
    io,
    path::Path,
};

use super::{Images, Pair, PairList, PairsError, people};
use crate::{
    ListError,
    list_file::{Line, Separator, excerpt, lines, read_text},
};

/// Files beyond this size are not read.
const MAX_BYTES: u64 = 256 << 20;
/// Longer lists are not read: 4 million pairs take some 200 MB.
const MAX_PAIRS: usize = 4_000_000;
/// The first line of the lists that are written here.
const HEADER: &str = "image1,image2,same,fold";

const PAIR: &str = "a pair: two image paths and 0 or 1, or 0 or 1 and two image paths, and a fold if the list has \
                    folds, separated by tabs, commas or white space";
const PATHS: &str = "image paths relative to the folder of the images, with forward slashes and without ..";

impl PairList {
    /// Reads any list of pairs: a file of LFW ([`PairList::lfw`]) if its first line is one number or two, and
    /// the lists of [`PairList::list`] otherwise.
    ///
    /// # Errors
    /// If the file cannot be read, is not UTF-8 or is not what these take.
    pub fn read(file: &Path) -> Result<Self, ListError> {
        Self::parse(&read_text(file, MAX_BYTES)?, file)
    }

    /// The list in `text`, as [`PairList::read`]; `file` names it in errors.
    ///
    /// # Errors
    /// If the text is not what [`PairList::lfw`] or [`PairList::list`] take.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ListError> {
        let first = lines(text, file).next().map_or("", |line| line.text);
        let numbers = first.split_whitespace().all(|field| field.bytes().all(|byte| byte.is_ascii_digit()));
        if numbers && matches!(first.split_whitespace().count(), 1 | 2) {
            Self::lfw(text, file)
        } else {
            Self::list(text, file)
        }
    }

    /// The list in `text`, with the images named by their paths; `file` names it in errors.
    ///
    /// ```text
    /// ann/1.jpg  ann/2.jpg  1
    /// ann/1.jpg  bob/1.jpg  0
    /// ```
    ///
    /// Fields are separated by tabs, commas (quotes as in CSV) or white space; 0 or 1 may come first; a fourth
    /// field is the fold, any number; a header, blank lines and lines that begin with `#` may be there. Without
    /// folds the list is one fold.
    ///
    /// Who is on each image is taken from the paths if each is `identity/file`, and if genuine pairs are of one
    /// folder and impostor pairs of two throughout.
    ///
    /// # Errors
    /// The first line that is not as described, or pairs an image with itself.
    pub fn list(text: &str, file: &Path) -> Result<Self, ListError> {
        let mut all = lines(text, file)
            .filter(|line| line.has_text() && !line.text.trim_start().starts_with('#'))
            .peekable();
        let header = all.next_if(|line| Layout::of(line.text).is_none() && is_header(line.text));
        let Some(&first) = all.peek() else {
            let number = text.lines().count().max(1);
            return Err(Line { file, number, text }.found(PAIR, "no more lines"));
        };
        let layout = match header {
            Some(line) if line.text.trim() == HEADER => Some(Layout::WRITTEN),
            _ => Layout::of(first.text),
        }
        .ok_or_else(|| first.wrong(PAIR))?;

        let mut images = Images::default();
        let mut pairs = Vec::new();
        for line in all {
            if pairs.len() == MAX_PAIRS {
                return Err(line.wrong(format!("at most {MAX_PAIRS} pairs")));
            }
            let parsed = layout.parse(line.text).ok_or_else(|| line.wrong(layout.to_string()))?;
            let (a, b, same, fold) = parsed;
            let (Some(a), Some(b)) = (relative(&a), relative(&b)) else { return Err(line.wrong(PATHS)) };
            if a == b {
                return Err(line.wrong("two different images"));
            }
            pairs.push(Pair { a: images.position(a), b: images.position(b), same, fold });
        }
        renumber(&mut pairs);
        let people = people(&images.names, &pairs, |path| match path.split_once('/') {
            Some((identity, file)) if !file.contains('/') => Some(identity),
            _ => None,
        });
        Ok(Self::new(images.names, pairs, people))
    }

    /// Writes the list as CSV with a header, folds numbered from 0: first under a temporary name, then renamed.
    /// [`PairList::read`] gives the same images, pairs and folds.
    ///
    /// # Errors
    /// If the list is empty, an image has a name that a list cannot hold (see [`PairList::list`]), or the system
    /// refuses.
    pub fn write(&self, file: &Path) -> Result<(), PairsError> {
        let unwritable = |cause| PairsError::Unwritable { file: file.into(), cause };
        let text =
            self.csv().map_err(|reason| unwritable(io::Error::new(io::ErrorKind::InvalidInput, reason)))?;
        facegrad_files::replace(file, text.as_bytes()).map_err(unwritable)
    }

    /// The text that [`PairList::write`] writes.
    ///
    /// # Errors
    /// Why there is none, as a clause.
    fn csv(&self) -> Result<String, String> {
        if self.pairs.is_empty() {
            return Err("the list has no pairs".into());
        }
        let writable =
            |image: &str| relative(image).as_deref() == Some(image) && !image.contains(['\n', '\r']);
        if let Some(image) = self.images.iter().find(|image| !writable(image)) {
            return Err(format!("the image {} does not have one of the {PATHS}", excerpt(image)));
        }
        let mut text = format!("{HEADER}\n");
        for pair in &self.pairs {
            let (a, b) = (quoted(&self.images[pair.a]), quoted(&self.images[pair.b]));
            // Writing to a string does not fail.
            let _ = writeln!(text, "{a},{b},{},{}", u8::from(pair.same), pair.fold);
        }
        Ok(text)
    }
}

impl<I> PairList<I> {
    /// The same pairs in `folds` folds, whatever folds they had: the genuine pairs are cut into as many runs of
    /// consecutive pairs, and so are the impostor pairs, the first ones longer by one where the number does not
    /// divide; fold k is run k of both.
    ///
    /// Where a file lists equal folds one after the other, each with as many pairs of a class, as those of
    /// insightface do, these are the folds of insightface (consecutive pairs, not shuffled). Unlike there, each
    /// fold has pairs of both classes however the file is sorted. Folds cut so may share identities.
    ///
    /// # Errors
    /// If `folds` is 0, or a class has pairs but fewer than folds.
    pub fn in_folds(mut self, folds: usize) -> Result<Self, PairsError> {
        for same in [true, false] {
            let pairs = self.pairs.iter().filter(|pair| pair.same == same).count();
            if folds == 0 || (1..folds).contains(&pairs) {
                let class = if same { "genuine" } else { "impostor" };
                return Err(PairsError::Folds { folds, class, pairs });
            }
            let (short, longer) = (pairs / folds, pairs % folds);
            let fold = |k| if k < longer * (short + 1) { k / (short + 1) } else { (k - longer) / short };
            for (k, pair) in self.pairs.iter_mut().filter(|pair| pair.same == same).enumerate() {
                pair.fold = fold(k);
            }
        }
        self.pairs.sort_by_key(|pair| pair.fold);
        Ok(self)
    }
}

/// Numbers the folds from 0 without gaps and sorts the pairs by them.
fn renumber(pairs: &mut [Pair]) {
    let folds: BTreeSet<usize> = pairs.iter().map(|pair| pair.fold).collect();
    let numbers: HashMap<usize, usize> = folds.into_iter().zip(0..).collect();
    for pair in pairs.iter_mut() {
        pair.fold = numbers[&pair.fold];
    }
    pairs.sort_by_key(|pair| pair.fold);
}

/// A path that stays in the folder it is relative to, in its shortest form.
fn relative(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains(['\\', '\0']) {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    // A colon in the first part would name a drive on Windows.
    let leads_out = |first: &&str| first.contains(':') || parts.contains(&"..");
    (!parts.first().is_none_or(leads_out)).then(|| parts.join("/"))
}

/// A field of CSV.
fn quoted(field: &str) -> Cow<'_, str> {
    if field.contains([',', '"', '#']) || field.trim() != field {
        Cow::Owned(format!("\"{}\"", field.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(field)
    }
}

/// How the lines of a list are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    separator: Separator,
    same_first: bool,
    has_fold: bool,
}

impl Layout {
    /// That of the lists that are written here.
    const WRITTEN: Self = Self { separator: Separator::Comma, same_first: false, has_fold: true };

    /// How `line` is written, if it is a pair.
    fn of(line: &str) -> Option<Self> {
        Separator::ALL.into_iter().find_map(|separator| {
            let fields = separator.split(line)?;
            let (first, third) = (parse_same(fields.first()?), parse_same(fields.get(2)?));
            // If both could be, nothing tells which is meant.
            let same_first = first.is_some();
            let layout = Self { separator, same_first, has_fold: fields.len() == 4 };
            (same_first != third.is_some() && layout.parse(line).is_some()).then_some(layout)
        })
    }

    /// The images, whether they are the same, and the fold.
    fn parse<'a>(&self, line: &'a str) -> Option<(Cow<'a, str>, Cow<'a, str>, bool, usize)> {
        let mut fields = self.separator.split(line)?.into_iter();
        let [x, y, z] = [fields.next()?, fields.next()?, fields.next()?];
        let (same, a, b) = if self.same_first { (x, y, z) } else { (z, x, y) };
        let fold = if self.has_fold { fields.next()?.parse().ok()? } else { 0 };
        fields.next().is_none().then_some(())?;
        Some((a, b, parse_same(&same)?, fold))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.same_first {
            "0 or 1 and two image paths"
        } else {
            "two image paths and 0 or 1"
        })?;
        f.write_str(if self.has_fold { " and a fold, " } else { ", " })?;
        f.write_str(match self.separator {
            Separator::Tab => "separated by tabs",
            Separator::Comma => "separated by commas",
            Separator::Space => "separated by white space",
        })
    }
}

fn parse_same(field: &str) -> Option<bool> {
    match field {
        "1" | "True" | "true" => Some(true),
        "0" | "False" | "false" => Some(false),
        _ => None,
    }
}

/// Whether a line names columns: three or four words without dots, slashes and numbers.
fn is_header(line: &str) -> bool {
    let is_word = |field: &Cow<str>| {
        field.starts_with(char::is_alphabetic)
            && field.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
    };
    Separator::ALL
        .iter()
        .filter_map(|separator| separator.split(line))
        .any(|fields| matches!(fields.len(), 3 | 4) && fields.iter().all(is_word))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use facegrad_random::{Purpose, Stream};

    use super::*;

    fn read(text: &str) -> Result<PairList, String> {
        PairList::parse(text, Path::new("pairs.csv")).map_err(|error| error.to_string())
    }

    /// Each pair as text, to compare with.
    fn pairs(list: &PairList) -> Vec<String> {
        let pair = |p: &Pair| {
            format!("{} {} {} {}", list.images()[p.a], list.images()[p.b], u8::from(p.same), p.fold)
        };
        list.pairs().iter().map(pair).collect()
    }

    #[test]
    fn separators_headers_and_orders_are_told_apart() {
        let expected = ["ann/1.jpg ann/2.jpg 1 0", "ann/1.jpg bob/1.jpg 0 0"];
        for text in [
            "ann/1.jpg ann/2.jpg 1\nann/1.jpg bob/1.jpg 0\n",
            "ann/1.jpg\tann/2.jpg\t1\nann/1.jpg\tbob/1.jpg\t0",
            "ann/1.jpg,ann/2.jpg,1\r\nann/1.jpg, bob/1.jpg , 0\r\n\r\n",
            "\u{feff}# by hand\n\npath1,path2,label\n  # more\n\"ann/1.jpg\",ann/2.jpg,True\nann/1.jpg,bob/1.jpg,False\n",
            "image_a image_b same\nann/1.jpg  ann/2.jpg  1\nann/1.jpg bob/1.jpg 0",
            "1 ann/1.jpg ann/2.jpg\n0 ann/1.jpg bob/1.jpg\n",
            "label,image 1,image 2\n1,ann/1.jpg,ann/2.jpg\n0,ann/1.jpg,bob/1.jpg\n",
            "./ann/1.jpg ann//2.jpg 1\nann/./1.jpg bob/1.jpg 0\n",
            "image1,image2,same,fold\nann/1.jpg,ann/2.jpg,1,3\nann/1.jpg,bob/1.jpg,0,3\n",
        ] {
            let list = read(text).unwrap();
            assert_eq!(pairs(&list), expected, "{text:?}");
            assert_eq!(list.images().len(), 3);
            assert!(list.names_people());
            assert_eq!(list.people(), [0, 0, 1]);
        }
        let list = read("Ann L/1, a.jpg\tAnn L/2.jpg\t1\n").unwrap();
        assert_eq!(pairs(&list), ["Ann L/1, a.jpg Ann L/2.jpg 1 0"]);
        let list = read("\"a, \"\"b\"\"/1.jpg\",\" c.jpg\" ,0\n").unwrap();
        assert_eq!(list.images(), ["a, \"b\"/1.jpg", " c.jpg"]);
        // What LFW publishes, by the same function.
        assert_eq!(
            pairs(&read("1\na\t1\t2\na\t1\tb\t3\n").unwrap()),
            ["a/a_0001 a/a_0002 1 0", "a/a_0001 b/b_0003 0 0"]
        );
    }

    #[test]
    fn folds_are_numbered_and_sorted() {
        let list = read("a b 1 7\nc d 0 2\na c 0 7\ne f 1 30\n").unwrap();
        assert_eq!(pairs(&list), ["c d 0 0", "a b 1 1", "a c 0 1", "e f 1 2"]);
        assert_eq!(list.folds(), 3);
        // Images stay in the order of the file.
        assert_eq!(list.images(), ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn people_are_named_only_where_paths_and_pairs_agree() {
        assert!(read("a/1 a/2 1\na/1 b/1 0\n").unwrap().names_people());
        for text in [
            "a/1 b/1 1\na/1 c/1 0\n",
            "a/1 a/2 1\na/1 a/3 0\n",
            "a/1 a/2 1\na/1 b 0\n",
            "x/a/1 x/a/2 1\nx/a/1 x/b/1 0\n",
        ] {
            assert!(!read(text).unwrap().names_people(), "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        let spaces = "two image paths and 0 or 1, separated by white space";
        for (text, line, expected, found) in [
            ("", 1, PAIR, "no more lines"),
            ("# nothing\n\n", 2, PAIR, "no more lines"),
            ("path1,path2,label\n", 1, PAIR, "no more lines"),
            ("a b\n", 1, PAIR, "\"a b\""),
            ("1 a 0\n", 1, PAIR, "\"1 a 0\""),
            ("a/1.jpg b/1.jpg 2\n", 1, PAIR, "\"a/1.jpg b/1.jpg 2\""),
            ("a b c d\na b 1\nname 1 2 3 4", 3, spaces, "\"name 1 2 3 4\""),
            ("a b 1\na b yes\n", 2, spaces, "\"a b yes\""),
            ("a b 1\n\n# c\na b 1 0\n", 4, spaces, "\"a b 1 0\""),
            (
                "a,b,1,0\na,b,1\n",
                2,
                "two image paths and 0 or 1 and a fold, separated by commas",
                "\"a,b,1\"",
            ),
            ("1\ta\tb\na\tb\t1\n", 2, "0 or 1 and two image paths, separated by tabs", "\"a\\tb\\t1\""),
            ("a,b,1\na,\"b,1\n", 2, "two image paths and 0 or 1, separated by commas", "\"a,\\\"b,1\""),
            (
                "a,b,1\na,\"b\"c,1\n",
                2,
                "two image paths and 0 or 1, separated by commas",
                "\"a,\\\"b\\\"c,1\"",
            ),
            ("a ./a 1\n", 1, "two different images", "\"a ./a 1\""),
            ("a /b 1\n", 1, PATHS, "\"a /b 1\""),
            ("a b/../../c 1\n", 1, PATHS, "\"a b/../../c 1\""),
            ("a b\\c 1\n", 1, PATHS, "\"a b\\\\c 1\""),
            ("a C:/b 1\n", 1, PATHS, "\"a C:/b 1\""),
            ("a ./ 1\n", 1, PATHS, "\"a ./ 1\""),
        ] {
            assert_eq!(
                read(text).unwrap_err(),
                format!("pairs.csv:{line}: expected {expected}, found {found}"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn cutting_gives_the_folds_of_insightface_where_those_have_both_classes() {
        // 10 folds of 3 genuine, then 3 impostor pairs each.
        let lines = |sorted: bool| {
            let mut same: Vec<bool> = (0..60).map(|k| k % 6 < 3).collect();
            if sorted {
                same.sort_by_key(|same| !same);
            }
            (0..).zip(same).map(|(k, same)| format!("a{k} b{k} {}\n", u8::from(same))).collect::<String>()
        };
        let cut = read(&lines(false)).unwrap().in_folds(10).unwrap();
        // sklearn's KFold(10, shuffle=False) on 60 pairs: blocks of 6.
        let folds: Vec<usize> = cut.pairs().iter().map(|pair| pair.fold).collect();
        assert_eq!(folds, (0..60).map(|k| k / 6).collect::<Vec<_>>());
        assert_eq!(pairs(&cut)[6], "a6 b6 1 1");
        // Sorted by class the folds have both all the same.
        let cut = read(&lines(true)).unwrap().in_folds(10).unwrap();
        for fold in 0..10 {
            let (same, different): (Vec<&Pair>, Vec<&Pair>) =
                cut.pairs().iter().filter(|pair| pair.fold == fold).partition(|pair| pair.same);
            assert_eq!((same.len(), different.len()), (3, 3));
        }
        // What does not divide: np.array_split of 7 in 3 gives 3, 2, 2.
        let seven: String = (0..7).map(|k| format!("a{k} b{k} 1\n")).collect();
        let cut = read(&seven).unwrap().in_folds(3).unwrap();
        assert_eq!(cut.pairs().iter().map(|pair| pair.fold).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 2, 2]);
        for (folds, message) in [
            (0, "7 genuine pairs cannot be cut into 0 folds; from 1 to as many folds as pairs are right"),
            (8, "7 genuine pairs cannot be cut into 8 folds; from 1 to as many folds as pairs are right"),
        ] {
            assert_eq!(read(&seven).unwrap().in_folds(folds).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_written_list_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pairs.csv");
        let labels: Vec<usize> = (0..60).map(|k| k / 3).collect();
        let list = PairList::generate(&labels, 4, 10, 1).unwrap().rename(|k| format!("p {}/{k}.png", k / 3));
        list.write(&file).unwrap();
        let again = PairList::read(&file).unwrap();
        assert_eq!(
            (again.images(), again.pairs(), again.sha256()),
            (list.images(), list.pairs(), list.sha256())
        );
        assert!(again.names_people());
        for a in 0..again.images().len() {
            for b in 0..a {
                assert_eq!(again.people()[a] == again.people()[b], list.people()[a] == list.people()[b]);
            }
        }
        assert!(fs::read_to_string(&file).unwrap().starts_with("image1,image2,same,fold\np "));

        // Names that need quotes, and such as look like something else.
        let names = ["a,b", "\"", "#c", " d ", "0", "1", "e\tf", "True"].map(String::from).to_vec();
        let chain =
            (1..names.len()).map(|k| Pair { a: k - 1, b: k, same: k % 2 == 0, fold: k / 4 }).collect();
        let list = PairList::new(names, chain, None);
        list.write(&file).unwrap();
        assert_eq!(PairList::read(&file).unwrap(), list);

        for bad in ["../x", "/x", "a\\b", "a\nb", "a//b", ""] {
            let list = list.clone().rename(|name| if name == "0" { bad.to_owned() } else { name });
            let message = list.write(&file).unwrap_err().to_string();
            assert!(
                message.starts_with("cannot write the pair list") && message.contains(PATHS),
                "{message}"
            );
        }
        assert_eq!(PairList::read(&file).unwrap(), list);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let message = list.write(&folder.path().join("no/pairs.csv")).unwrap_err().to_string();
        assert!(message.starts_with("cannot write the pair list"), "{message}");
    }

    #[test]
    fn damaged_text_ends_in_a_sentence_or_a_list_that_can_be_written() {
        let texts = [
            "image1,image2,same,fold\nann/1.jpg,\"ann, x/2.jpg\",1,0\nann/1.jpg,bob/1.jpg,0,1\n",
            "1 ann/1.jpg ann/2.jpg\n0 ann/1.jpg bob/1.jpg\n",
            "ann/1\tann/2\t1\t0\nann/1\tbob/1\t0\t2\n",
        ];
        let mut stream = Stream::new(2, Purpose::Pairs, 0, 0);
        let mut lists = 0;
        for round in 0..30_000 {
            let mut damaged: Vec<char> = texts[round % 3].chars().collect();
            for _ in 0..=stream.below(4) {
                let place = stream.below(damaged.len());
                let noise = ['\t', '\n', '\r', ' ', '1', '0', ',', '"', '#', 'é', '\0', '/', '.'];
                damaged[place] = noise[stream.below(noise.len())];
            }
            match read(&damaged.into_iter().collect::<String>()) {
                Ok(list) => {
                    // A carriage return inside a line is the one thing that is read but not written.
                    if let Ok(text) = list.csv() {
                        let again = read(&text).unwrap();
                        assert_eq!(again.sha256(), list.sha256(), "{text:?}");
                        lists += 1;
                    }
                }
                Err(message) => assert!(message.starts_with("pairs.csv:"), "{message}"),
            }
        }
        assert!(lists > 3_000, "{lists}");
    }

    #[test]
    fn files_that_are_not_text_or_too_large_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pairs.csv");
        let message = PairList::read(&file).unwrap_err().to_string();
        assert!(message.starts_with("cannot read the list"), "{message}");
        fs::write(&file, b"a\xff b 1\n").unwrap();
        assert!(PairList::read(&file).unwrap_err().to_string().contains("UTF-8"));
        assert!(PairList::read(folder.path()).is_err());
    }
}
