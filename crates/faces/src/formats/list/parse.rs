//! From the text of a list to paths and labels.
//!
//! The separator and the columns are those of the first line, and every other line has to follow it. A `.lst` of
//! im2rec has `index TAB label (TAB more labels) TAB path` (mxnet/tools/im2rec.py, `read_list`); insightface's has
//! `aligned TAB path TAB label (TAB bounding box and landmarks)` (insightface, `face_preprocess.parse_lst_line`). The
//! two are told apart by their second column, which is a number in the former.

use std::path::Path;

use super::{ListConfig, ListOrder};
use crate::formats::{Place, SourceError, folder, has_extension};

/// Longest path or label, in bytes.
const MAX_TEXT: usize = 4096;

/// Bytes that an error quotes.
const QUOTED: usize = 80;

/// What a header may call the column of paths, in the order in which they are looked for.
const PATH_COLUMNS: [&str; 8] =
    ["path", "image", "file", "image_path", "file_path", "filename", "file_name", "image_id"];

/// What a header may call the column of labels.
const LABEL_COLUMNS: [&str; 7] = ["label", "identity", "class", "name", "identity_id", "person", "id"];

/// Strings one after the other, without an allocation for each.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    all: String,
    /// Where each ends; a list has less than 4 GiB.
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len() as u32);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.all[start as usize..self.ends[index] as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// The lines of a list.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub paths: Texts,
    pub labels: Texts,
    /// The line of each, from 1.
    lines: Vec<u32>,
    /// Whether the format says that labels are numbers.
    are_numbers: bool,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Drops lines that say what another says, and returns how many.
    ///
    /// # Errors
    /// If an image has two labels.
    pub fn drop_doubles(&mut self, path: &Path) -> Result<usize, SourceError> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_unstable_by_key(|&row| (self.paths.get(row as usize), row));
        let mut doubles = Vec::new();
        for pair in order.windows(2) {
            let (one, other) = (pair[0] as usize, pair[1] as usize);
            if self.paths.get(one) != self.paths.get(other) {
                continue;
            }
            if self.labels.get(one) != self.labels.get(other) {
                let reason = format!(
                    "{} has the label {} here and {} on line {}; an image has one label",
                    excerpt(self.paths.get(other)),
                    excerpt(self.labels.get(other)),
                    excerpt(self.labels.get(one)),
                    self.lines[one]
                );
                return Err(SourceError::malformed(path, Place::Line(self.lines[other].into()), reason));
            }
            doubles.push(other);
        }
        if doubles.is_empty() {
            return Ok(0);
        }
        drop(order);
        doubles.sort_unstable();
        let mut kept = Self { are_numbers: self.are_numbers, ..Self::default() };
        for row in (0..self.len()).filter(|row| doubles.binary_search(row).is_err()) {
            kept.push(self.paths.get(row), self.labels.get(row), self.lines[row].into());
        }
        *self = kept;
        Ok(doubles.len())
    }

    /// The labels as numbers, if that is what all of them are: `7`, but not `007`, which is a name.
    ///
    /// # Errors
    /// If one is not, in a format where they have to be.
    pub fn numbers(&self, path: &Path) -> Result<Option<Vec<u32>>, SourceError> {
        let mut numbers = Vec::with_capacity(self.len());
        for (row, label) in self.labels.iter().enumerate() {
            match if self.are_numbers { whole(label) } else { canonical(label) } {
                Some(number) => numbers.push(number),
                None if self.are_numbers => {
                    let reason = format!(
                        "the label {} is not a whole number from 0 to {}, which the columns of a .lst have",
                        excerpt(label),
                        u32::MAX
                    );
                    return Err(SourceError::malformed(path, Place::Line(self.lines[row].into()), reason));
                }
                None => return Ok(None),
            }
        }
        Ok(Some(numbers))
    }

    fn push(&mut self, path: &str, label: &str, line: u64) {
        self.paths.push(path);
        self.labels.push(label);
        self.lines.push(line.try_into().unwrap_or(u32::MAX));
    }

    /// Adds a line if it is right.
    fn take(&mut self, path: &str, label: &str, line: u64, list: &Path) -> Result<(), SourceError> {
        let (path, label) = (path.strip_prefix("./").unwrap_or(path), label.trim());
        let wrong = |reason: String| Err(SourceError::malformed(list, Place::Line(line), reason));
        for (text, what) in [(path, "path"), (label, "label")] {
            if text.is_empty() {
                return wrong(format!("the {what} is missing; a path and a label are expected"));
            }
            if text.len() > MAX_TEXT {
                return wrong(format!(
                    "the {what} has {} bytes; at most {MAX_TEXT} are expected",
                    text.len()
                ));
            }
        }
        self.push(path, label, line);
        Ok(())
    }
}

/// Where path and label are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Columns of a table; `columns` in all.
    Table { separator: u8, columns: usize, path: usize, label: usize, header: bool },
    /// The label is the last word, or the first; the rest of the line is the path.
    Words { label_first: bool, header: bool },
    /// The label is the second column, the path the last.
    Im2rec,
    /// The path is the second column, the label the third.
    Insightface,
}

/// Reads a list.
pub(crate) fn parse(bytes: &[u8], config: &ListConfig) -> Result<Rows, SourceError> {
    let list = &config.path;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        SourceError::malformed(
            list,
            Place::Line(line as u64 + 1),
            "it is not UTF-8; a list of images is expected",
        )
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match Layout::of(text, config)? {
        Layout::Table { separator, columns, path, label, header } => {
            let mut rows = Rows::default();
            let mut reader = table(text, separator);
            let mut record = csv::StringRecord::new();
            let mut is_header = header;
            while reader
                .read_record(&mut record)
                .map_err(|error| SourceError::malformed(list, Place::Whole, error.to_string()))?
            {
                if std::mem::take(&mut is_header) {
                    continue;
                }
                if record.len() == 1 && record.iter().all(|cell| cell.trim().is_empty()) {
                    continue;
                }
                let line = line_of(text, record.position());
                if record.len() != columns {
                    let reason = format!("it has {} columns, and the first line {columns}", record.len());
                    return Err(SourceError::malformed(list, Place::Line(line), reason));
                }
                // Both are within the columns of the first line.
                let cell = |column| record.get(column).unwrap_or_default();
                rows.take(cell(path), cell(label), line, list)?;
            }
            rows
        }
        Layout::Words { label_first, header } => {
            let mut rows = Rows::default();
            for (line, text) in lines(text).skip(usize::from(header)) {
                let split = split_words(text, label_first);
                let (path, label) = split.ok_or_else(|| no_label(list, line, text))?;
                rows.take(path, label, line, list)?;
            }
            rows
        }
        layout => {
            let mut rows = Rows { are_numbers: true, ..Rows::default() };
            for (line, text) in lines(text) {
                let cells: Vec<&str> = text.split('\t').collect();
                let (path, label) = match (layout, &cells[..]) {
                    (Layout::Im2rec, [_, label, .., path]) => (path, label),
                    (Layout::Insightface, [_, path, label, ..]) => (path, label),
                    _ => return Err(no_label(list, line, text)),
                };
                rows.take(path, label, line, list)?;
            }
            rows
        }
    };
    if rows.len() == 0 {
        return Err(SourceError::malformed(
            list,
            Place::Whole,
            "it lists no images; a path and a label a line are expected",
        ));
    }
    Ok(rows)
}

impl Layout {
    /// As the first line has it.
    fn of(text: &str, config: &ListConfig) -> Result<Self, SourceError> {
        let list = &config.path;
        let Some((line, first)) = lines(text).next() else {
            // Without a line there is nothing to tell, and nothing to read either.
            return Ok(Self::Words { label_first: false, header: false });
        };
        let cells: Vec<&str> = first.split('\t').collect();
        if let [index, second, third, ..] = cells[..]
            && index.parse::<i64>().is_ok()
        {
            if second.parse::<f64>().is_ok() {
                return Ok(Self::Im2rec);
            }
            if third.parse::<f64>().is_ok() {
                return Ok(Self::Insightface);
            }
        }
        let mut other = None;
        for separator in *b"\t,;" {
            if !first.as_bytes().contains(&separator) {
                continue;
            }
            let mut record = csv::StringRecord::new();
            // A damaged line shows again when the lines are read.
            if !table(text, separator).read_record(&mut record).unwrap_or(false) || record.len() < 2 {
                continue;
            }
            let columns = record.len();
            match header(record.iter()) {
                Header::Columns(path, label) => {
                    return Ok(Self::Table { separator, columns, path, label, header: true });
                }
                Header::Half(what) => {
                    let reason = format!("its header names no column of {what}");
                    return Err(SourceError::malformed(list, Place::Line(line), reason));
                }
                Header::None => {}
            }
            let cells: Vec<&str> = record.iter().collect();
            let images: Vec<usize> = (0..columns).filter(|&column| is_image(cells[column])).collect();
            if columns == 2 {
                let found = Self::Table { separator, columns, path: 0, label: 1, header: false };
                let turned = Self::Table { separator, columns, path: 1, label: 0, header: false };
                match (config.order, &images[..]) {
                    (ListOrder::Auto, [0]) | (ListOrder::PathLabel, _) => return Ok(found),
                    (ListOrder::Auto, [1]) | (ListOrder::LabelPath, _) => return Ok(turned),
                    // Perhaps a comma inside a path.
                    (ListOrder::Auto, _) => other = other.or(Some(found)),
                }
            } else if !images.is_empty() {
                let reason = format!(
                    "it has {columns} columns and no header; a first line that calls two of them path and label is expected"
                );
                return Err(SourceError::malformed(list, Place::Line(line), reason));
            }
        }
        let last_first = |label_first| split_words(first, label_first).map(|(path, _)| path);
        if let (Some(without_last), Some(without_first)) = (last_first(false), last_first(true)) {
            if let Header::Columns(path, _) = header(first.split_whitespace())
                && first.split_whitespace().count() == 2
            {
                return Ok(Self::Words { label_first: path == 1, header: true });
            }
            let label_first = match config.order {
                ListOrder::PathLabel => Some(false),
                ListOrder::LabelPath => Some(true),
                ListOrder::Auto if is_image(without_last) => Some(false),
                ListOrder::Auto if is_image(without_first) => Some(true),
                ListOrder::Auto => other.is_none().then_some(false),
            };
            if let Some(label_first) = label_first {
                return Ok(Self::Words { label_first, header: false });
            }
        }
        other.ok_or_else(|| no_label(list, line, first))
    }
}

/// What the cells of a first line are.
enum Header {
    /// Names of columns: where the paths are, and where the labels.
    Columns(usize, usize),
    /// The name of one of the columns; the other is missing.
    Half(&'static str),
    /// Something else.
    None,
}

fn header<'a>(cells: impl Iterator<Item = &'a str>) -> Header {
    let cells: Vec<String> = cells.map(|cell| cell.trim().to_ascii_lowercase()).collect();
    let find = |names: &[&str]| names.iter().find_map(|name| cells.iter().position(|cell| cell == name));
    match (find(&PATH_COLUMNS), find(&LABEL_COLUMNS)) {
        (Some(path), Some(label)) => Header::Columns(path, label),
        (Some(_), None) => Header::Half("labels (label, identity, class or name)"),
        // A label may be called anything, and a path that looks like an image shows that this is no header.
        (None, Some(_)) if !cells.iter().any(|cell| is_image(cell)) => {
            Header::Half("paths (path, image or file)")
        }
        _ => Header::None,
    }
}

/// A reader of all records, the first among them.
fn table(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(separator).comment(Some(b'#'));
    builder.from_reader(text.as_bytes())
}

/// The line of a record, from 1. The library has it begin with the empty lines and comments in front of it.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let rest = text.get(position.byte() as usize..).unwrap_or_default();
    let skipped = rest.lines().take_while(|line| line.is_empty() || line.starts_with('#')).count();
    position.line() + skipped as u64
}

/// The lines that are neither empty nor comments, with their numbers from 1.
fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let numbered = text.lines().enumerate().map(|(i, line)| (i as u64 + 1, line));
    numbered.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

/// Path and label of a line of words.
fn split_words(line: &str, label_first: bool) -> Option<(&str, &str)> {
    let line = line.trim();
    let (path, label) = if label_first {
        line.split_once(char::is_whitespace).map(|(label, path)| (path, label))?
    } else {
        line.rsplit_once(char::is_whitespace)?
    };
    Some((path.trim(), label))
}

fn is_image(text: &str) -> bool {
    has_extension(Path::new(text.trim()), &folder::EXTENSIONS)
}

/// A number in the one way to write it.
fn canonical(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A whole number, also as `7.000000`, which im2rec writes.
fn whole(text: &str) -> Option<u32> {
    let number: f64 = text.parse().ok()?;
    let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    is_whole.then_some(number as u32)
}

fn no_label(list: &Path, line: u64, text: &str) -> SourceError {
    let reason = format!("{} is not a path and a label", excerpt(text));
    SourceError::malformed(list, Place::Line(line), reason)
}

/// The start of a text, in quotes.
fn excerpt(text: &str) -> String {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= QUOTED);
    match end {
        Some(end) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a list as `path|label`, or what is wrong with it.
    fn rows(text: impl AsRef<[u8]>, order: ListOrder) -> Result<Vec<String>, String> {
        let config = ListConfig { path: "list".into(), order, ..ListConfig::default() };
        let mut rows = parse(text.as_ref(), &config).map_err(|error| error.to_string())?;
        rows.drop_doubles(&config.path).map_err(|error| error.to_string())?;
        Ok(rows.paths.iter().zip(rows.labels.iter()).map(|(path, label)| format!("{path}|{label}")).collect())
    }

    fn read(text: &str) -> Vec<String> {
        rows(text, ListOrder::Auto).unwrap()
    }

    fn error(text: impl AsRef<[u8]>) -> String {
        rows(text, ListOrder::Auto).unwrap_err()
    }

    #[test]
    fn every_separator_is_read() {
        let expected = ["a b/1.jpg|0", "c,d;/2.jpg|1"];
        for text in [
            "a b/1.jpg 0\nc,d;/2.jpg 1\n",
            "a b/1.jpg\t0\nc,d;/2.jpg\t1",
            "a b/1.jpg;0\n\"c,d;/2.jpg\";1\n",
            "a b/1.jpg,0\n\"c,d;/2.jpg\",1\n",
            "0 a b/1.jpg\n1 c,d;/2.jpg\n",
            "0\ta b/1.jpg\n1\tc,d;/2.jpg\n",
            "\u{feff}# a comment\r\n\r\n./a b/1.jpg   0 \r\n#\r\nc,d;/2.jpg\t1\r\n",
            "image label\na b/1.jpg 0\nc,d;/2.jpg 1\n",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        // A comma of the path separates nothing.
        assert_eq!(read("Smith, Jo/1.jpg 0\nDoe, Al/2.jpg 1"), ["Smith, Jo/1.jpg|0", "Doe, Al/2.jpg|1"]);
        assert_eq!(read("one,bob\n\n  \ntwo,ann"), ["one|bob", "two|ann"]);
        assert_eq!(read("one bob"), ["one|bob"]);
    }

    #[test]
    fn the_order_is_what_the_key_says() {
        assert_eq!(rows("1.jpg 2.jpg", ListOrder::PathLabel).unwrap(), ["1.jpg|2.jpg"]);
        assert_eq!(rows("1.jpg 2.jpg", ListOrder::LabelPath).unwrap(), ["2.jpg|1.jpg"]);
        assert_eq!(rows("bob,one", ListOrder::LabelPath).unwrap(), ["one|bob"]);
        // A header says it itself.
        assert_eq!(rows("path,label\none,bob", ListOrder::LabelPath).unwrap(), ["one|bob"]);
    }

    #[test]
    fn a_header_names_the_columns() {
        let text = "Split,Identity,Path\ntrain,\"Zo\u{eb}\nM, Jr\",\"a\nb.jpg\"\ntest,Bo,c.jpg\n";
        assert_eq!(read(text), ["a\nb.jpg|Zo\u{eb}\nM, Jr", "c.jpg|Bo"]);
        // The label before the name, the path before the image.
        assert_eq!(read("name\timage\tlabel\tpath\nBo\tx\t7\tc.jpg"), ["c.jpg|7"]);
        assert_eq!(
            error("image,sex\nc.jpg,m"),
            "list, line 1: its header names no column of labels (label, identity, class or name)"
        );
        assert_eq!(
            error("label,photo\n7,c.jpg"),
            "list, line 1: its header names no column of paths (path, image or file)"
        );
        assert_eq!(error("path,label\n"), "list: it lists no images; a path and a label a line are expected");
    }

    #[test]
    fn lists_of_im2rec_and_insightface_are_told_apart_by_their_second_column() {
        // mxnet/tools/im2rec.py writes labels as %f.
        assert_eq!(
            read("0\t0.000000\ta b/1.jpg\n5\t1.000000\tc/2.jpg\n"),
            ["a b/1.jpg|0.000000", "c/2.jpg|1.000000"]
        );
        assert_eq!(read("0\t3\t7\t8\ta/1.jpg\n1\t4\tb/1.jpg"), ["a/1.jpg|3", "b/1.jpg|4"]);
        assert_eq!(
            read("1\t/data/a/1.jpg\t3\n0\tb/1.jpg\t4\t1\t2\t3\t4\n"),
            ["/data/a/1.jpg|3", "b/1.jpg|4"]
        );
        let numbers = |text: &str| {
            let config = ListConfig { path: "list".into(), ..ListConfig::default() };
            parse(text.as_bytes(), &config).unwrap().numbers(&config.path).map_err(|error| error.to_string())
        };
        assert_eq!(numbers("0\t2.000000\ta/1.jpg\n1\t3\tb/1.jpg"), Ok(Some(vec![2, 3])));
        for wrong in ["0.5", "-1", "4294967296", "nan", "x"] {
            assert_eq!(
                numbers(&format!("0\t2\ta/1.jpg\n1\t{wrong}\tb/1.jpg")).unwrap_err(),
                format!(
                    "list, line 2: the label {wrong:?} is not a whole number from 0 to 4294967295, which the columns of a .lst have"
                )
            );
        }
        // In other lists they are names then, and so are numbers with zeros in front.
        assert_eq!(numbers("a.jpg 1\nb.jpg 2"), Ok(Some(vec![1, 2])));
        for names in ["a.jpg 01\nb.jpg 2", "a.jpg -1", "a.jpg 0.5", "a.jpg 4294967296"] {
            assert_eq!(numbers(names), Ok(None));
        }
        assert_eq!(error("0\t2\ta/1.jpg\n1\t2"), "list, line 2: \"1\\t2\" is not a path and a label");
    }

    #[test]
    fn lines_that_repeat_are_dropped_and_contradictions_refused() {
        assert_eq!(read("a.jpg 1\nb.jpg 2\n./a.jpg 1\na.jpg 1"), ["a.jpg|1", "b.jpg|2"]);
        assert_eq!(
            error("a.jpg 1\n\nb.jpg 2\na.jpg 3"),
            "list, line 4: \"a.jpg\" has the label \"3\" here and \"1\" on line 1; an image has one label"
        );
        assert_eq!(
            error("path,label\n\n# more\na.jpg,1\n\nb.jpg,2\na.jpg,3"),
            "list, line 7: \"a.jpg\" has the label \"3\" here and \"1\" on line 4; an image has one label"
        );
    }

    #[test]
    fn what_is_no_line_of_a_list_is_one_sentence() {
        assert_eq!(error(""), "list: it lists no images; a path and a label a line are expected");
        assert_eq!(error("\n  \n#x\n"), error(""));
        assert_eq!(error("a.jpg"), "list, line 1: \"a.jpg\" is not a path and a label");
        assert_eq!(error("a.jpg 1\n\nb.jpg\n"), "list, line 3: \"b.jpg\" is not a path and a label");
        assert_eq!(error("a.jpg,1\nb.jpg\n"), "list, line 2: it has 1 columns, and the first line 2");
        assert_eq!(
            error("a.jpg,1\nb.jpg,\n"),
            "list, line 2: the label is missing; a path and a label are expected"
        );
        assert_eq!(
            error("a.jpg,1,2"),
            "list, line 1: it has 3 columns and no header; a first line that calls two of them path and label is expected"
        );
        assert_eq!(
            error(b"a.jpg 1\nb.jp\xff 2"),
            "list, line 2: it is not UTF-8; a list of images is expected"
        );
        assert_eq!(error(b"\xff\xfea\0"), "list, line 1: it is not UTF-8; a list of images is expected");
        let long = "x".repeat(MAX_TEXT + 1);
        assert_eq!(
            error(format!("a.jpg 1\n{long} 1")),
            "list, line 2: the path has 4097 bytes; at most 4096 are expected"
        );
        assert_eq!(
            error(format!("a.jpg,1\nb.jpg,\"{long}")),
            "list, line 2: the label has 4097 bytes; at most 4096 are expected"
        );
        assert!(error(&long).len() < 150);
        // An open quote takes the rest of the file, not more.
        assert!(
            error(format!("a.jpg,1\n\"{}", "\n,".repeat(100_000)))
                .starts_with("list, line 2: it has 1 columns")
        );
    }

    /// Random damage ends in rows or a sentence.
    #[test]
    fn damaged_lists_never_panic() {
        use facegrad_random::{Purpose, Stream};
        let lists = [
            "a b/1.jpg 0\nc/2.jpg 1\nd/3.jpg 1\n",
            "name;file\r\nbo;a.jpg\r\n\"x\ny\";\"b,c\"\r\n",
            "0\t0.000000\ta.jpg\n4\t1.000000\tb/c.jpg\n",
            "1\ta.jpg\t0\n1\tb/c.jpg\t1\t1\t2\t3\t4\n",
        ];
        let bytes = b"\t\t,,;; \n\n\r\"\"#a0.-jpg/\xc3\xa4\xff\0";
        let mut stream = Stream::new(7, Purpose::SyntheticPicture, 0, 0);
        let mut read = 0;
        for round in 0..4000 {
            let mut damaged = lists[round % lists.len()].as_bytes().to_vec();
            for _ in 0..1 + stream.below(6) {
                let (at, byte) = (stream.below(damaged.len()), bytes[stream.below(bytes.len())]);
                match stream.below(3) {
                    0 => damaged[at] = byte,
                    1 => damaged.insert(at, byte),
                    _ => drop(damaged.remove(at)),
                }
            }
            match rows(&damaged, ListOrder::Auto) {
                Ok(mut rows) => {
                    read += 1;
                    let count = rows.len();
                    rows.sort_unstable();
                    rows.dedup();
                    assert!(count > 0 && rows.len() == count);
                }
                Err(message) => assert!(message.starts_with("list") && !message.contains('\n'), "{message}"),
            }
        }
        assert!((400..3600).contains(&read), "{read}");
    }
}
