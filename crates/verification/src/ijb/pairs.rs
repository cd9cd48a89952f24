//! The pairs of templates to compare, read as they are needed.

use std::path::Path;

use super::{
    TemplateIds,
    lists::{Lines, fields, whole},
};
use crate::{ListError, list_file::Line};

/// More pairs are not read: benchmark C has 15,658,489.
const MAX_PAIRS: usize = 1 << 28;

/// Two templates to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplatePair {
    /// Position of the one template.
    pub a: u32,
    /// Position of the other.
    pub b: u32,
    /// Whether both are of the same person.
    pub same: bool,
}

/// A file of pairs of templates: `ijbc_template_pair_label.txt`.
///
/// A line is `template template label`, separated by spaces; the label is 1 for the same person and 0 for
/// different people. The file of benchmark C has 15,658,489 lines, so it is read in parts and never held.
pub struct PairFile<'a> {
    lines: Lines,
    /// How many pairs were read.
    read: usize,
    templates: &'a TemplateIds,
}

impl<'a> PairFile<'a> {
    /// Opens a file of pairs of `templates`.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(file: &Path, templates: &'a TemplateIds) -> Result<Self, ListError> {
        Ok(Self { lines: Lines::open(file)?, read: 0, templates })
    }

    /// Replaces `pairs` by the next pairs, `limit` at most; by none at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read, the first line that is not as described, names a template that is not among the
    /// templates, or compares a template with itself, or more than 2^28 lines.
    pub fn next(&mut self, pairs: &mut Vec<TemplatePair>, limit: usize) -> Result<(), ListError> {
        pairs.clear();
        while pairs.len() < limit {
            let Some(line) = self.lines.next()? else { break };
            self.read += 1;
            if self.read > MAX_PAIRS {
                return Err(line.wrong(format!("at most {MAX_PAIRS} pairs")));
            }
            pairs.push(parse(&line, self.templates)?);
        }
        Ok(())
    }

    /// SHA-256, in hexadecimal, of a file that was read to its end.
    pub fn sha256(self) -> String {
        self.lines.sha256()
    }
}

fn parse(line: &Line<'_>, templates: &TemplateIds) -> Result<TemplatePair, ListError> {
    let fields = fields(line).and_then(|[a, b, label]| {
        let same = ["0", "1"].iter().position(|&known| known == label)?;
        Some((whole(a)?, whole(b)?, same == 1))
    });
    let Some((a, b, same)) = fields else {
        return Err(line.wrong("two template numbers and a label of 0 or 1, separated by spaces"));
    };
    let (Some(a), Some(b)) = (templates.position(a), templates.position(b)) else {
        return Err(line.wrong("two templates of the list of media"));
    };
    if a == b {
        return Err(line.wrong("two different templates"));
    }
    Ok(TemplatePair { a: a as u32, b: b as u32, same })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ijb::MediaList;

    fn read(text: &str, limit: usize) -> Result<Vec<Vec<TemplatePair>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let [media, file] = ["media", "pairs"].map(|name| folder.path().join(name));
        fs::write(&media, "1 7 1\n2 3 1\n3 9 1\n").unwrap();
        fs::write(&file, text).unwrap();
        let media = MediaList::read(&media).unwrap();
        let mut pairs = PairFile::open(&file, media.templates()).unwrap();
        let (mut parts, mut part) = (Vec::new(), Vec::new());
        loop {
            let prefix = format!("{}/", folder.path().display());
            pairs.next(&mut part, limit).map_err(|error| error.to_string().replace(&prefix, ""))?;
            if part.is_empty() {
                return Ok(parts);
            }
            parts.push(part.clone());
        }
    }

    #[test]
    fn pairs_come_in_parts() {
        let pair = |a, b, same| TemplatePair { a, b, same };
        let text = "3 7 1\n9 3 0\r\n7 9 0\n\n";
        let (one, two, three) = (pair(0, 1, true), pair(2, 0, false), pair(1, 2, false));
        assert_eq!(read(text, 2).unwrap(), [vec![one, two], vec![three]]);
        assert_eq!(read(text, 3).unwrap(), [vec![one, two, three]]);
        assert_eq!(read("", 3).unwrap(), Vec::<Vec<TemplatePair>>::new());
    }

    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        const EXPECTED: &str = "expected two template numbers and a label of 0 or 1, separated by spaces";
        for (line, message) in [
            ("3 7 2", format!("{EXPECTED}, found \"3 7 2\"")),
            ("3 7", format!("{EXPECTED}, found \"3 7\"")),
            ("3 7 1 1", format!("{EXPECTED}, found \"3 7 1 1\"")),
            ("3 7.0 1", format!("{EXPECTED}, found \"3 7.0 1\"")),
            ("3 8 1", "expected two templates of the list of media, found \"3 8 1\"".into()),
            ("7 7 1", "expected two different templates, found \"7 7 1\"".into()),
        ] {
            assert_eq!(read(&format!("3 7 1\n{line}\n"), 1).unwrap_err(), format!("pairs:2: {message}"));
        }
    }
}
