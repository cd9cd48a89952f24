//! The lines of a table of text, of cells that may stand in double quotes.

use std::borrow::Cow;

/// The records of a table, one after the other, without empty lines and comments.
pub(super) struct Records<'a> {
    rest: &'a str,
    separator: u8,
    /// The line that `rest` begins with, from 1.
    line: u64,
}

impl<'a> Records<'a> {
    pub fn new(text: &'a str, separator: u8) -> Self {
        Self { rest: text, separator, line: 1 }
    }

    /// The next record and the line where it begins. Blanks around a cell are no part of it, unless in quotes.
    ///
    /// # Errors
    /// The line, and what is wrong with its quotes.
    #[allow(clippy::type_complexity)]
    pub fn next(&mut self) -> Result<Option<(u64, Vec<Cow<'a, str>>)>, (u64, String)> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let line = self.line;
            if self.rest.starts_with('#') {
                self.skip_line();
                continue;
            }
            let mut cells = Vec::new();
            loop {
                cells.push(self.cell()?);
                if self.rest.as_bytes().first() != Some(&self.separator) {
                    break;
                }
                self.rest = &self.rest[1..];
            }
            self.skip_line();
            if cells.iter().any(|cell| !cell.is_empty()) {
                return Ok(Some((line, cells)));
            }
        }
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.line += 1;
    }

    /// The next cell; what follows it is a separator or the end of the line.
    fn cell(&mut self) -> Result<Cow<'a, str>, (u64, String)> {
        let separator = char::from(self.separator);
        let is_blank = |c: char| c.is_whitespace() && c != '\n' && c != separator;
        let text = self.rest.trim_start_matches(is_blank);
        if let Some(quoted) = text.strip_prefix('"') {
            self.rest = quoted;
            return self.quoted(is_blank);
        }
        let end = text.find([separator, '\n']).unwrap_or(text.len());
        let (cell, rest) = text.split_at(end);
        self.rest = rest;
        Ok(cell.trim().into())
    }

    /// The rest of a cell whose opening quote was read.
    fn quoted(&mut self, is_blank: impl Fn(char) -> bool) -> Result<Cow<'a, str>, (u64, String)> {
        let (first, mut cell) = (self.line, Cow::Borrowed(""));
        loop {
            let Some((part, rest)) = self.rest.split_once('"') else {
                return Err((first, "a double quote opens a cell here, and none closes it".into()));
            };
            self.line += part.bytes().filter(|byte| *byte == b'\n').count() as u64;
            match cell.is_empty() {
                true => cell = part.into(),
                false => cell.to_mut().push_str(part),
            }
            match rest.strip_prefix('"') {
                Some(rest) => {
                    cell.to_mut().push('"');
                    self.rest = rest;
                }
                None => {
                    self.rest = rest.trim_start_matches(&is_blank);
                    break;
                }
            }
        }
        match self.rest.chars().next() {
            None | Some('\n') => Ok(cell),
            Some(next) if next == char::from(self.separator) => Ok(cell),
            Some(_) => Err((first, "text follows the double quote that closes a cell".into())),
        }
    }
}
