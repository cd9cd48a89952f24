//! From the text of a list to paths and labels.
//!
//! The separator and the columns are those of the first line, and every other line has to follow it. A `.lst` of
//! im2rec has `index TAB label (TAB more labels) TAB path` (mxnet/tools/im2rec.py, `read_list`); insightface's has
//! `aligned TAB path TAB label (TAB bounding box and landmarks)` (insightface, `face_preprocess.parse_lst_line`). The
//! two are told apart by their second column, which is a number in the former.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use facegrad_files::name_of;

use super::{
    ListConfig, ListOrder,
    columns::{Columns, Header},
    table::Records,
};
use crate::formats::{LabelNeed, Place, SourceError, folder, has_extension, summary::counted};

/// Longest path or label, in bytes.
const MAX_TEXT: usize = 4096;

/// Bytes that an error quotes.
const QUOTED: usize = 80;

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
    /// How the list was read where it does not say so itself, a sentence each.
    pub notes: Vec<String>,
    /// The line of each, from 1.
    lines: Vec<u32>,
    kind: LabelKind,
    /// Absolute paths of the folder that paths are relative to, each with a `/` at its end.
    roots: Vec<String>,
}

/// What labels are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum LabelKind {
    /// Numbers if all look like numbers, and names else.
    #[default]
    Seen,
    /// Numbers by the format.
    Numbers,
    /// Names of folders.
    Names,
    /// There are none.
    Nobody,
}

impl Rows {
    fn of(config: &ListConfig, kind: LabelKind) -> Self {
        let root = config.root();
        let absolute = [std::path::absolute(root), fs::canonicalize(root)];
        let mut roots: Vec<String> = absolute
            .into_iter()
            .flatten()
            .map(|root| name_of(&root))
            .map(|root| if root.ends_with('/') { root } else { root + "/" })
            .collect();
        roots.dedup();
        Self { kind, roots, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the list says who is on its images.
    pub fn are_labelled(&self) -> bool {
        self.kind != LabelKind::Nobody
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
        let mut kept = Self { kind: self.kind, notes: std::mem::take(&mut self.notes), ..Self::default() };
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
    pub fn numbers(&mut self, path: &Path) -> Result<Option<Vec<u32>>, SourceError> {
        if matches!(self.kind, LabelKind::Names | LabelKind::Nobody) {
            return Ok(None);
        }
        let are_numbers = self.kind == LabelKind::Numbers;
        let mut numbers = Vec::with_capacity(self.len());
        for (row, label) in self.labels.iter().enumerate() {
            match if are_numbers { whole(label) } else { canonical(label) } {
                Some(number) => numbers.push(number),
                None if are_numbers => {
                    let reason = format!(
                        "the label {} is not a whole number from 0 to {}, which the columns of a .lst have",
                        excerpt(label),
                        u32::MAX
                    );
                    return Err(SourceError::malformed(path, Place::Line(self.lines[row].into()), reason));
                }
                None => {
                    self.notes.extend(self.odd_label(path));
                    return Ok(None);
                }
            }
        }
        Ok(Some(numbers))
    }

    /// That labels are names since a few of them are no numbers, which may be a slip.
    fn odd_label(&self, path: &Path) -> Option<String> {
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let odd = self.labels.iter().filter(|label| !is_number(label)).count();
        let first = self.labels.iter().position(|label| !is_number(label))?;
        (odd * 2 < self.len()).then(|| {
            format!(
                "the labels of {} are taken for names, since {} on line {} is no whole number; {} of {} are",
                path.display(),
                excerpt(self.labels.get(first)),
                self.lines[first],
                self.len() - odd,
                self.len()
            )
        })
    }

    fn push(&mut self, path: &str, label: &str, line: u64) {
        self.paths.push(path);
        self.labels.push(label);
        self.lines.push(line.try_into().unwrap_or(u32::MAX));
    }

    /// Adds a line if it is right.
    fn take(&mut self, path: &str, label: &str, line: u64, list: &Path) -> Result<(), SourceError> {
        let (path, label) = (one_spelling(path, &self.roots), label.trim());
        let wrong = |reason: String| Err(SourceError::malformed(list, Place::Line(line), reason));
        for (text, what) in [(&*path, "path"), (label, "label")] {
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
        self.push(&path, label, line);
        Ok(())
    }

    /// Labels each path, which so far has none, by its folder.
    ///
    /// # Errors
    /// If it is not plain which folder that is, and labels are needed.
    fn label_by_folders(&mut self, list: &Path, need: LabelNeed) -> Result<(), SourceError> {
        let shared = self.paths.iter().map(|path| folders_of(path).to_owned()).reduce(|shared, other| {
            let parts = shared.split('/').zip(other.split('/')).take_while(|(a, b)| a == b);
            parts.map(|(part, _)| part).collect::<Vec<_>>().join("/")
        });
        let shared = shared.unwrap_or_default();
        let is_one = self.paths.iter().all(|path| folders_of(path) == shared);
        // One folder is where the images are, rather than who is on all of them.
        if is_one && need == LabelNeed::Optional {
            self.kind = LabelKind::Nobody;
            return Ok(());
        }
        let mut labels = Texts::default();
        for (row, path) in self.paths.iter().enumerate() {
            // All images are in one folder, or each in one below what they share.
            let own = match is_one {
                true => shared.rsplit('/').next().unwrap_or_default(),
                false => folders_of(path)[shared.len()..].trim_start_matches('/'),
            };
            if own.is_empty() || own.contains('/') {
                if need == LabelNeed::Optional {
                    self.kind = LabelKind::Nobody;
                    return Ok(());
                }
                let reason = format!(
                    "{} has no label, and its folders do not say plainly who it is; a path and a label a line are \
                     expected, or paths with one folder a person",
                    excerpt(path)
                );
                return Err(SourceError::malformed(list, Place::Line(self.lines[row].into()), reason));
            }
            labels.push(own);
        }
        self.labels = labels;
        self.notes.push(format!(
            "{} has paths and no labels: the folder of an image is its label, such as {} of {}",
            list.display(),
            excerpt(self.labels.get(0)),
            excerpt(self.paths.get(0))
        ));
        Ok(())
    }
}

/// Where path and label are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    /// Columns of a table; `columns` in all.
    Table { separator: u8, columns: usize, found: Columns, header: bool },
    /// The label is the last word, or the first; the rest of the line is the path.
    Words { label_first: bool, header: bool },
    /// The label is the second column, the path the last.
    Im2rec,
    /// The path is the second column, the label the third.
    Insightface,
    /// Paths alone.
    Paths { header: bool },
}

/// Reads a list. `is_there` says whether a path of it is that of a file.
pub(crate) fn parse(
    text: &str,
    config: &ListConfig,
    need: LabelNeed,
    is_there: &dyn Fn(&str) -> bool,
) -> Result<Rows, SourceError> {
    let list = &config.path;
    let rows = match Layout::of(text, config, need, is_there)? {
        Layout::Table { separator, columns, found, header } => {
            read_table(text, config, separator, columns, found, header)?
        }
        Layout::Words { label_first, header } => {
            let mut rows = Rows::of(config, LabelKind::Seen);
            for (line, text) in lines(text).skip(usize::from(header)) {
                let split = split_words(text, label_first);
                let (path, label) = split.ok_or_else(|| no_label(list, line, text))?;
                if config.order == ListOrder::Auto && !is_image(path) && is_image(label) {
                    let order = if label_first { "label and path" } else { "path and label" };
                    let reason = format!("{} is no {order}, which come in this order before", excerpt(text));
                    return Err(SourceError::malformed(list, Place::Line(line), reason));
                }
                rows.take(path, label, line, list)?;
            }
            rows
        }
        Layout::Paths { header } => {
            let mut rows = Rows::of(config, LabelKind::Names);
            for (line, text) in lines(text).skip(usize::from(header)) {
                let path = unquoted(text);
                let is_bare = need == LabelNeed::Optional && is_word(path);
                if !is_image(path) && !is_bare {
                    return Err(no_path(list, line, text));
                }
                // The folders give the labels when all paths are known.
                rows.take(path, "-", line, list)?;
            }
            if rows.len() > 0 {
                rows.label_by_folders(list, need)?;
            }
            rows
        }
        layout => {
            let mut rows = Rows::of(config, LabelKind::Numbers);
            for (line, text) in lines(text) {
                let cells: Vec<&str> = text.split('\t').collect();
                let (path, label) = match (&layout, &cells[..]) {
                    (Layout::Im2rec, [_, label, .., path]) => (path.trim(), label),
                    (Layout::Insightface, [_, path, label, ..]) => (path.trim(), label),
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

fn read_table(
    text: &str,
    config: &ListConfig,
    separator: u8,
    columns: usize,
    found: Columns,
    header: bool,
) -> Result<Rows, SourceError> {
    let list = &config.path;
    let wrong = |line, reason: String| SourceError::malformed(list, Place::Line(line), reason);
    let mut rows = Rows::of(config, LabelKind::Seen);
    rows.notes.extend(found.note.as_ref().map(|note| format!("{}: {note}", list.display())));
    // Who is on each image by the other columns that may be labels.
    let mut others: Vec<Texts> = found.others.iter().map(|_| Texts::default()).collect();
    let mut records = Records::new(text, separator);
    let mut is_header = header;
    while let Some((line, cells)) = records.next().map_err(|(line, reason)| wrong(line, reason))? {
        if std::mem::take(&mut is_header) {
            continue;
        }
        if cells.len() != columns {
            let quotes = match cells.len() > columns {
                true => "; a cell that holds the separator stands in double quotes",
                false => "",
            };
            let here = counted(cells.len(), "column", "columns");
            return Err(wrong(line, format!("it has {here}, and the first line {columns}{quotes}")));
        }
        // Both are within the columns of the first line.
        let (path, label) = (&cells[found.path], &cells[found.label]);
        let shifted = cells.iter().enumerate().find(|(column, cell)| *column != found.path && is_image(cell));
        if let Some((_, other)) = shifted
            && found.is_guarded
            && !is_image(path)
        {
            let reason = format!(
                "its path is {} and its label {}, and {} is that of an image; a cell that holds the separator stands in \
                 double quotes",
                excerpt(path),
                excerpt(label),
                excerpt(other)
            );
            return Err(wrong(line, reason));
        }
        rows.take(path, label, line, list)?;
        for (texts, column) in others.iter_mut().zip(&found.others) {
            texts.push(cells[*column].trim());
        }
    }
    for ((_, name), texts) in found.others.iter().zip(&found.other_names).zip(&others) {
        rows.check_other(name, &found.label_name, texts, list)?;
    }
    Ok(rows)
}

impl Rows {
    /// An error if another column, which may as well be that of labels, tells other people apart.
    fn check_other(&self, name: &str, own: &str, other: &Texts, list: &Path) -> Result<(), SourceError> {
        let distinct = |texts: &Texts| texts.iter().collect::<HashSet<_>>().len();
        // A number for each image is no label.
        if other.len() > 1 && distinct(other) == other.len() && distinct(&self.labels) < self.len() {
            return Ok(());
        }
        let (mut there, mut here): (HashMap<&str, &str>, HashMap<&str, &str>) = Default::default();
        for (row, (label, other)) in self.labels.iter().zip(other.iter()).enumerate() {
            if *there.entry(label).or_insert(other) != other || *here.entry(other).or_insert(label) != label {
                let reason = format!(
                    "the columns {own} and {name} could both be the labels, and differ in who is whom from here on; set \
                     label_key to one of them"
                );
                return Err(SourceError::malformed(list, Place::Line(self.lines[row].into()), reason));
            }
        }
        Ok(())
    }
}

impl Layout {
    /// As the first line has it.
    fn of(
        text: &str,
        config: &ListConfig,
        need: LabelNeed,
        is_there: &dyn Fn(&str) -> bool,
    ) -> Result<Self, SourceError> {
        let list = &config.path;
        let Some((line, first)) = lines(text).next() else {
            // Without a line there is nothing to tell, and nothing to read either.
            return Ok(Self::Words { label_first: false, header: false });
        };
        let wrong = |reason: String| Err(SourceError::malformed(list, Place::Line(line), reason));
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
        let is_path = |line: &str| {
            let line = unquoted(line);
            match is_image(line) {
                true => is_word(line) || is_there(line),
                false => need == LabelNeed::Optional && is_word(line),
            }
        };
        let is_keyed = config.image_key.is_some() || config.label_key.is_some();
        if Columns::is_path_name(unquoted(first))
            && lines(text).nth(1).is_some_and(|(_, second)| is_path(second))
        {
            return Ok(Self::Paths { header: true });
        }
        if is_path(first) && !is_keyed {
            return Ok(Self::Paths { header: false });
        }
        let mut other = None;
        for separator in *b"\t,;" {
            if !first.as_bytes().contains(&separator) {
                continue;
            }
            let mut records = Records::new(text, separator);
            // A damaged line shows again when the lines are read.
            let record = match records.next() {
                Ok(Some((_, record))) if record.len() > 1 => record,
                Ok(_) => continue,
                Err((line, reason)) => {
                    return Err(SourceError::malformed(list, Place::Line(line), reason));
                }
            };
            let columns = record.len();
            let second = records.next().ok().flatten().map(|(_, cells)| cells).unwrap_or_default();
            match Columns::header(&record, &second, config) {
                Header::Columns(found) => return Ok(Self::Table { separator, columns, found, header: true }),
                Header::Wrong(reason) => return wrong(reason),
                Header::None => {}
            }
            let images: Vec<usize> = (0..columns).filter(|&column| is_image(&record[column])).collect();
            if columns == 2 {
                let is_auto = config.order == ListOrder::Auto;
                let table = |path, label| {
                    let found = Columns::at(path, label, is_auto);
                    Self::Table { separator, columns, found, header: false }
                };
                match (config.order, &images[..]) {
                    (ListOrder::Auto, [0]) | (ListOrder::PathLabel, _) => return Ok(table(0, 1)),
                    (ListOrder::Auto, [1]) | (ListOrder::LabelPath, _) => return Ok(table(1, 0)),
                    // Perhaps a comma inside a path.
                    (ListOrder::Auto, _) => other = other.or(Some(table(0, 1))),
                }
            } else if !images.is_empty() {
                return wrong(format!(
                    "it has {columns} columns and no header; a first line that calls two of them path and label is \
                     expected, and double quotes around a cell that holds the separator"
                ));
            }
        }
        if is_keyed {
            return wrong("its first line names no columns, which image_key and label_key need".into());
        }
        let last_first = |label_first| split_words(first, label_first).map(|(path, _)| path);
        if let (Some(without_last), Some(without_first)) = (last_first(false), last_first(true)) {
            let words: Vec<Cow<str>> = first.split_whitespace().map(Cow::from).collect();
            if words.len() == 2 {
                let second = lines(text).nth(1).and_then(|(_, second)| {
                    let (path, label) = split_words(second, false)?;
                    if is_image(path) {
                        return Some(vec![Cow::from(path), Cow::from(label)]);
                    }
                    let (path, label) = split_words(second, true)?;
                    is_image(path).then(|| vec![Cow::from(label), Cow::from(path)])
                });
                if let Header::Columns(found) = Columns::header(&words, &second.unwrap_or_default(), config) {
                    return Ok(Self::Words { label_first: found.path == 1, header: true });
                }
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

/// A line without blanks and quotes around it.
fn unquoted(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or(line)
}

pub(super) fn is_image(text: &str) -> bool {
    has_extension(Path::new(text.trim()), &folder::EXTENSIONS)
}

/// Whether a text is one word, which holds no separator.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '\t', ',', ';'])
}

/// A path in the one spelling that its file has in a list: without `.`, without doubled slashes, and relative if it
/// is below one of `roots`. What `..` means depends on links, so it stays.
fn one_spelling<'a>(path: &'a str, roots: &[String]) -> Cow<'a, str> {
    let path = roots.iter().find_map(|root| path.strip_prefix(root.as_str())).unwrap_or(path);
    let start = if path.starts_with('/') { "/" } else { "" };
    let is_plain = |part: &str| !part.is_empty() && part != ".";
    if path[start.len()..].split('/').all(is_plain) {
        return path.into();
    }
    let parts: Vec<&str> = path.split('/').filter(|part| is_plain(part)).collect();
    format!("{start}{}", parts.join("/")).into()
}

/// The folders of a path.
fn folders_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folders, _)| folders)
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

fn no_path(list: &Path, line: u64, text: &str) -> SourceError {
    let reason = format!("{} is no path of an image, which the lines before are alone", excerpt(text));
    SourceError::malformed(list, Place::Line(line), reason)
}

/// The start of a text, in quotes.
pub(super) fn excerpt(text: &str) -> String {
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
        let text = String::from_utf8_lossy(text.as_ref());
        let text = text.trim_start_matches('\u{feff}');
        let mut rows =
            parse(text, &config, LabelNeed::Required, &|_| false).map_err(|error| error.to_string())?;
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
            error("image,sex,age\nc.jpg,m,7"),
            "list, line 1: its header names no column of labels (label, identity, class, name or the like); its \
             columns are \"image\", \"sex\", \"age\"; set label_key"
        );
        assert_eq!(
            error("label,where\n7,c"),
            "list, line 1: its header names no column of paths (path, image, file or the like); its columns are \
             \"label\", \"where\"; set image_key"
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
            parse(text, &config, LabelNeed::Required, &|_| false)
                .unwrap()
                .numbers(&config.path)
                .map_err(|error| error.to_string())
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
        assert_eq!(error("ajpg"), "list, line 1: \"ajpg\" is not a path and a label");
        assert_eq!(error("a.jpg 1\n\nb.jpg\n"), "list, line 3: \"b.jpg\" is not a path and a label");
        assert_eq!(error("a.jpg,1\nb.jpg\n"), "list, line 2: it has 1 column, and the first line 2");
        assert_eq!(
            error("a.jpg,1\nb.jpg,\n"),
            "list, line 2: the label is missing; a path and a label are expected"
        );
        assert_eq!(
            error("a.jpg,1,2"),
            "list, line 1: it has 3 columns and no header; a first line that calls two of them path and label is expected, and double quotes around a cell that holds the separator"
        );
        let long = "x".repeat(MAX_TEXT + 1);
        assert_eq!(
            error(format!("a.jpg 1\n{long} 1")),
            "list, line 2: the path has 4097 bytes; at most 4096 are expected"
        );
        assert_eq!(
            error(format!("a.jpg,1\nb.jpg,\"{long}\"")),
            "list, line 2: the label has 4097 bytes; at most 4096 are expected"
        );
        assert!(error(&long).len() < 150);
        let open = "list, line 2: a double quote opens a cell here, and none closes it";
        assert_eq!(error(format!("a.jpg,1\n\"{}", "\n,".repeat(100_000))), open);
        assert_eq!(
            error("a.jpg,1\n\"b\"c.jpg,1"),
            "list, line 2: text follows the double quote that closes a cell"
        );
    }

    #[test]
    fn cells_that_a_comma_shifted_are_refused_with_their_line() {
        let shifted = "its path is \"Do\" and its label \"Jane/1.jpg\", and \"Jane/1.jpg\" is that of an image; a cell \
                       that holds the separator stands in double quotes";
        assert_eq!(
            error("path,label,note\nA/1.jpg,0,x\nDo, Jane/1.jpg,6\n"),
            format!("list, line 3: {shifted}")
        );
        assert_eq!(error("path,label,note\nDo, Jane/1.jpg,6\n"), format!("list, line 2: {shifted}"));
        assert!(
            error("label,path,note\n0,A/1.jpg,x\n6,Do, Jane/1.jpg\n")
                .starts_with("list, line 3: its path is")
        );
        assert!(error("A/1.jpg,0\n1,A/2.jpg\n").starts_with("list, line 2: its path is \"1\""));
        assert!(error("A/1.jpg 0\n1 A/2.jpg\n").starts_with("list, line 2: "));
        assert_eq!(
            error("A/1.jpg,0\nDo, Jane/1.jpg,6\n"),
            "list, line 2: it has 3 columns, and the first line 2; a cell that holds the separator stands in double \
             quotes"
        );
    }

    #[test]
    fn blanks_around_cells_are_none_of_them() {
        let expected = ["A/1.jpg|0", "A/2.jpg|0", "Do, Jane/1.jpg|6"];
        assert_eq!(read("0,A/1.jpg\n0, \"A/2.jpg\" \n6, \"Do, Jane/1.jpg\"\n"), expected);
        assert_eq!(read("6, \"Do, Jane/1.jpg\"\n0, A/1.jpg\n"), ["Do, Jane/1.jpg|6", "A/1.jpg|0"]);
    }

    #[test]
    fn two_columns_of_labels_have_to_agree() {
        assert_eq!(
            read("path,label,name\na.jpg,0,Ann\nb.jpg,0,Ann\nc.jpg,1,Bo"),
            ["a.jpg|0", "b.jpg|0", "c.jpg|1"]
        );
        assert_eq!(
            error("path,label,identity\na.jpg,0,Ann\nb.jpg,0,Bo\nc.jpg,1,Bo"),
            "list, line 3: the columns \"label\" and \"identity\" could both be the labels, and differ in who is whom \
             from here on; set label_key to one of them"
        );
        // A number for each line is no label.
        assert_eq!(read("id,path,label\n0,a.jpg,0\n1,b.jpg,0"), ["a.jpg|0", "b.jpg|0"]);
    }

    #[test]
    fn headers_of_other_tools_are_read_where_one_reading_is_possible() {
        let notes = |text: &str| {
            let config = ListConfig { path: "list".into(), ..ListConfig::default() };
            parse(text, &config, LabelNeed::Required, &|_| false).unwrap().notes
        };
        for header in ["id,label", "Id,Category", "img,class_id", "fname,identity", "image,who"] {
            assert_eq!(
                read(&format!("{header}\nA/1.jpg,5\nA/2.jpg,5")),
                ["A/1.jpg|5", "A/2.jpg|5"],
                "{header}"
            );
        }
        for header in [",id,label", "Unnamed: 0,path,label", "index,fname,who"] {
            assert_eq!(
                read(&format!("{header}\n0,A/1.jpg,5\n1,A/2.jpg,5")),
                ["A/1.jpg|5", "A/2.jpg|5"],
                "{header}"
            );
        }
        assert_eq!(
            notes("id,label\nA/1.jpg,0"),
            ["list: its column \"id\" is taken for the paths and \"label\" for the labels"]
        );
        assert_eq!(notes("path,label\nA/1.jpg,0"), [""; 0]);
        assert!(error("foto,wer\nA/1.jpg,0").contains("none of its columns, \"foto\", \"wer\", is known"));
    }

    #[test]
    fn bare_paths_are_labelled_by_their_folders() {
        assert_eq!(read("A/1.jpg\nB/2.jpg\n"), ["A/1.jpg|A", "B/2.jpg|B"]);
        assert_eq!(
            read("image\nx/train/A/1.jpg\nx/train/B/2.jpg\n"),
            ["x/train/A/1.jpg|A", "x/train/B/2.jpg|B"]
        );
        assert_eq!(read("A/1.jpg\nA/2.jpg\n"), ["A/1.jpg|A", "A/2.jpg|A"]);
        for text in ["A/cam1/1.jpg\nB/cam1/1.jpg", "1.jpg\n2.jpg", "A/1.jpg\n2.jpg"] {
            assert!(error(text).contains("has no label, and its folders do not say plainly"), "{text}");
        }
        assert!(
            error("A/1.jpg\nA/2.jpg 1").starts_with("list, line 2: \"A/2.jpg 1\" is no path of an image")
        );
    }

    #[test]
    fn a_label_that_makes_names_of_numbers_is_told() {
        let note = |text: &str| {
            let config = ListConfig { path: "list".into(), ..ListConfig::default() };
            let mut rows = parse(text, &config, LabelNeed::Required, &|_| false).unwrap();
            assert_eq!(rows.numbers(&config.path).unwrap(), None);
            rows.notes
        };
        assert_eq!(
            note("a.jpg 0\nb.jpg 1\nc.jpg x"),
            ["the labels of list are taken for names, since \"x\" on line 3 is no whole number; 2 of 3 are"]
        );
        assert_eq!(note("a.jpg Ann\nb.jpg Bo\nc.jpg 7"), [""; 0]);
        assert_eq!(note("a.jpg 007\nb.jpg 12"), [""; 0]);
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
