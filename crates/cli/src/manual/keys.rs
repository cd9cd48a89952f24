//! `docs/keys.md`: each key of a config, from the declarations behind `facegrad explain`.

use std::fmt::Write;

use facegrad::settings::{Key, Kind, Schema, Setting};
use facegrad::training::Experiment;

use super::{commands::prose, footer::one_line};
use crate::explain::{facts, keys, value_of};

/// Identities and size of embeddings for which the first loss of a head is given, as in `facegrad explain`.
const FIRST_LOSS: [usize; 2] = [1000, 512];

/// The page.
pub fn page() -> String {
    let root = Experiment::schema();
    let mut page = Page::default();
    for key in keys(&root) {
        page.key(key.name, key);
    }
    let sections: Vec<String> =
        page.sections.iter().map(|path| format!("[`{path}`](#{})", anchor(path))).collect();
    format!(
        "# Keys\n\nEverything that a config can say, as `facegrad explain` tells it: each key with its type, its range and \
         its default. Any of them can be set on the command line, as `--set head.margin=0.4`. `facegrad manual keys` \
         writes this page.\n\n{}.\n{}",
        sections.join(", "),
        page.text
    )
}

#[derive(Default)]
struct Page {
    text: String,
    /// Paths of the sections, in order.
    sections: Vec<String>,
    /// Sections with kinds that have been written, which others may have as well.
    written: Vec<(String, Schema)>,
}

impl Page {
    /// The section that is the value of a key.
    fn key(&mut self, path: &str, key: &Key) {
        self.sections.push(path.into());
        let (schema, is_list) = match &key.schema {
            Schema::List(inner) => (inner.as_ref(), true),
            schema => (schema, false),
        };
        let _ = writeln!(self.text, "\n## {path}\n\n{}", prose(&one_line(&key.doc)));
        if is_list {
            let _ = writeln!(self.text, "\nAny number of times, as `[[{path}]]`.");
        }
        match schema {
            Schema::Value(_) => {}
            Schema::Section(keys) => self.keys(path, keys),
            Schema::Kinds(kinds) => self.kinds(path, schema, kinds),
            Schema::List(_) => {}
        }
    }

    fn kinds(&mut self, path: &str, schema: &Schema, kinds: &[Kind]) {
        if let Some((same, _)) = self.written.iter().find(|(_, other)| other == schema) {
            let _ = writeln!(self.text, "\nIts kinds and keys are those of [`{same}`](#{}).", anchor(same));
            return;
        }
        self.written.push((path.into(), schema.clone()));
        let _ = writeln!(self.text, "\n`{path}.kind` is one of\n");
        for kind in kinds {
            let names: Vec<String> =
                std::iter::once(&kind.name).chain(kind.aliases).map(|name| format!("`{name}`")).collect();
            let heading = heading(path, kind.name);
            let first = kind.doc.lines().next().unwrap_or_default();
            let _ =
                writeln!(self.text, "- [{}](#{}): {}", names.join(", also "), anchor(&heading), prose(first));
        }
        let mut below = Vec::new();
        for kind in kinds {
            let _ = writeln!(self.text, "\n### {}\n\n{}", heading(path, kind.name), paragraphs(&kind.doc));
            let facts = facts(path, kind, FIRST_LOSS[0], FIRST_LOSS[1]);
            for (label, fact) in &facts.lines {
                match *label {
                    "formula" => {
                        let _ = writeln!(self.text, "\n```text\n{fact}\n```");
                    }
                    label => {
                        let label = format!("{}{}", label[..1].to_uppercase(), &label[1..]);
                        let _ = writeln!(self.text, "\n{label}: {}", prose(&one_line(fact)));
                    }
                }
            }
            if let Some(loss) = facts.first_loss {
                let _ = writeln!(self.text, "\nThe {}.", prose(&loss));
            }
            self.lines(&kind.keys);
            for key in kind.keys.iter().filter(|key| !is_value(key)) {
                if below.iter().all(|(name, _)| *name != key.name) {
                    below.push((key.name, key));
                }
            }
        }
        for (name, key) in below {
            self.key(&format!("{path}.{name}"), key);
        }
    }

    fn keys(&mut self, path: &str, keys: &[Key]) {
        self.lines(keys);
        for key in keys.iter().filter(|key| !is_value(key)) {
            self.key(&format!("{path}.{}", key.name), key);
        }
    }

    /// A line a key.
    fn lines(&mut self, keys: &[Key]) {
        if !keys.is_empty() {
            self.text += "\n";
        }
        for key in keys {
            let what = match &key.schema {
                Schema::Value(_) => value_of(key),
                _ if key.default.is_empty() => "a section of its own, may be left out".into(),
                _ => "a section of its own".into(),
            };
            let doc = prose(&one_line(&key.doc));
            let _ = writeln!(self.text, "- `{}`: {}. {doc}", key.name, prose(&what));
            for (word, meaning) in key.choices.iter().filter(|(_, meaning)| !meaning.is_empty()) {
                let _ = writeln!(self.text, "  - `\"{word}\"`: {}", prose(&one_line(meaning)));
            }
        }
    }
}

fn is_value(key: &Key) -> bool {
    match &key.schema {
        Schema::Value(_) => true,
        Schema::List(inner) => matches!(**inner, Schema::Value(_)),
        _ => false,
    }
}

/// The heading of a kind.
fn heading(path: &str, kind: &str) -> String {
    format!("{path}: {kind}")
}

/// What a link to a heading says.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn paragraphs(doc: &str) -> String {
    doc.split("\n\n").map(|text| prose(&one_line(text))).collect::<Vec<_>>().join("\n\n")
}
