//! What stands below the help of a command: examples, and what else is to say.

use clap::Command;

/// The text below the help of a command.
pub struct Footer {
    /// Commands as they are typed, which may go on in further lines.
    pub examples: Vec<String>,
    /// Paragraphs.
    pub notes: Vec<String>,
}

impl Footer {
    pub fn of(command: &Command) -> Self {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut footer = Self { examples: Vec::new(), notes: Vec::new() };
        for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
            let examples = ["Examples:", "Example:"].iter().find_map(|word| paragraph.strip_prefix(word));
            match examples {
                Some(examples) => footer.take(examples),
                None => footer.notes.push(one_line(paragraph)),
            }
        }
        footer
    }

    fn take(&mut self, examples: &str) {
        for line in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match self.examples.last_mut().filter(|before| before.ends_with('\\')) {
                Some(before) => *before += &format!("\n    {line}"),
                None => self.examples.push(line.into()),
            }
        }
    }
}

/// A text whose lines were broken for a terminal.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
