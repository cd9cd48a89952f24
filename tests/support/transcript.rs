//! What commands print and write, kept in files of `tests/golden/`.
//!
//! `UPDATE_EXPECT=1 cargo test --release --workspace --test golden --test errors` writes the files anew;
//! FACEGRAD_PROGRAM names another build of the program, to see whether two builds say the same.

use std::{env, fmt::Write, path::Path};

use expect_test::expect_file;

use super::{FACEGRAD, Place};

/// What commands printed and wrote, one after the other.
pub struct Transcript<'a> {
    place: &'a Place,
    text: String,
    /// Turns what was printed into what is kept.
    keep: fn(&str) -> String,
}

impl<'a> Transcript<'a> {
    pub fn new(place: &'a Place, keep: fn(&str) -> String) -> Self {
        Self { place, text: String::new(), keep }
    }

    /// What the path of anything in the place begins with.
    fn here(&self) -> String {
        format!("{}/", self.place.path("").canonicalize().unwrap().display())
    }

    /// Runs the program, and writes down what it printed, without the path of the place, and its exit code.
    pub fn run(&mut self, arguments: &[&str]) -> &mut Self {
        let ended = self.place.start(&program(), arguments).wait();
        let words: Vec<&str> =
            arguments.iter().map(|word| if word.is_empty() { "''" } else { word }).collect();
        writeln!(self.text, "$ facegrad {}", words.join(" ")).unwrap();
        for (name, printed) in [("", &ended.stdout), ("standard error:\n", &ended.stderr)] {
            if !printed.is_empty() {
                write!(self.text, "{name}{}", (self.keep)(&printed.replace(&self.here(), ""))).unwrap();
            }
        }
        match ended.code {
            Some(0) => {}
            code => writeln!(self.text, "exit code {}", code.expect("no signal ends the program")).unwrap(),
        }
        self.text.push('\n');
        self
    }

    /// Runs the program, which must refuse with exit code 2 and one sentence, and writes that down, with notes
    /// before it and without the path of the place.
    pub fn refuse(&mut self, arguments: &[&str]) -> &mut Self {
        let ended = self.place.start(&program(), arguments).wait().code(2);
        assert_eq!(ended.stdout, "", "{ended}");
        ended.sentence();
        let here = self.here();
        writeln!(self.text, "{}", arguments.join(" ")).unwrap();
        for line in ended.stderr.lines() {
            writeln!(self.text, "    {}", (self.keep)(&line.replace(&here, ""))).unwrap();
        }
        self
    }

    /// Writes down a line about what comes next.
    pub fn about(&mut self, title: &str) -> &mut Self {
        writeln!(self.text, "\n# {title}\n").unwrap();
        self
    }

    /// Writes down what was changed in a file before the next command.
    pub fn about_change(&mut self, from: &str, to: &str) -> &mut Self {
        writeln!(self.text, "{from} -> {}", to.trim_end().replace('\n', "; ")).unwrap();
        self
    }

    /// Writes down a file that the program wrote.
    pub fn file(&mut self, name: &str) -> &mut Self {
        let text = self.place.text(name);
        let text = if name.ends_with(".html") { words_of_page(&text) } else { text };
        writeln!(self.text, "--- {name}\n{}", (self.keep)(&text)).unwrap();
        self
    }

    /// Compares with `tests/golden/<name>`.
    pub fn is(&self, name: &str) {
        expect_file![Path::new("../golden").join(name)].assert_eq(&self.text);
    }
}

/// The program, or the build of it that is to be compared.
fn program() -> String {
    env::var("FACEGRAD_PROGRAM").unwrap_or_else(|_| FACEGRAD.into())
}

/// The words of a page: a line for each row of a table and each other piece of text, none of the markup, the
/// style, the drawings.
fn words_of_page(page: &str) -> String {
    let (mut lines, mut line, mut rest, mut in_row) = (Vec::new(), String::new(), page, false);
    let mut end = |line: &mut String| {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.trim_matches(|c| c == '|' || c == ' ');
        if !words.is_empty() {
            lines.push(words.to_owned());
        }
        line.clear();
    };
    while let Some(at) = rest.find('<') {
        line.push_str(&rest[..at]);
        let tag = &rest[at..=at + rest[at..].find('>').expect("a tag ends")];
        rest = &rest[at + tag.len()..];
        let name = tag[1..].split(|c: char| c.is_whitespace() || c == '>').next().unwrap();
        for (open, close, kept) in
            [("style", "</style>", ""), ("svg", "</svg>", "[drawing]"), ("title", "</title>", "")]
        {
            if name == open {
                line.push_str(kept);
                rest = rest.split_once(close).expect("what is opened is closed").1;
            }
        }
        match name {
            "img" => line.push_str("[image]"),
            "/td" | "/th" => line.push_str(" | "),
            "tr" | "/tr" => {
                end(&mut line);
                in_row = name == "tr";
            }
            "span" | "/span" | "b" | "/b" | "strong" | "/strong" | "em" | "/em" | "i" | "/i" | "a" | "/a"
            | "code" | "/code" | "sup" | "/sup" | "sub" | "/sub" | "small" | "/small" => {}
            _ if in_row => line.push(' '),
            _ => end(&mut line),
        }
    }
    end(&mut line);
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(lines.join("\n") + "\n", |text, (entity, is)| text.replace(entity, is))
}

/// The text with each number replaced by what `number` makes of it; digits within words stay.
fn with_numbers(text: &str, number: impl Fn(&str) -> String) -> String {
    let (mut out, mut rest, mut within) = (String::new(), text, false);
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() && !within {
            let digits = |s: &str| s.len() - s.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let mut length = digits(rest);
            while rest[length..].starts_with(',')
                && digits(&rest[length + 1..]) == 3
                && !rest[..length].contains('.')
            {
                length += 4;
            }
            if rest[length..].starts_with('.') {
                let fraction = digits(&rest[length + 1..]);
                length += if fraction > 0 { fraction + 1 } else { 0 };
            }
            if let Some(exponent) = rest[length..].strip_prefix('e') {
                let sign = usize::from(exponent.starts_with(['-', '+']));
                let digits = digits(&exponent[sign..]);
                length += if digits > 0 { 1 + sign + digits } else { 0 };
            }
            out.push_str(&number(&rest[..length]));
            rest = &rest[length..];
            within = true;
        } else {
            within = c.is_alphanumeric() || c == '_';
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Numbers with no more than five digits that count; neither the version nor the number of threads.
pub fn five_digits(text: &str) -> String {
    let text = text.replace(concat!("facegrad ", env!("CARGO_PKG_VERSION")), "facegrad #");
    with_numbers(&without_threads(&text), |number| {
        let digits = number.split('e').next().unwrap().trim_start_matches(['0', '.']).replace('.', "");
        match number.parse::<f64>() {
            Ok(value) if number.contains('.') && digits.len() > 5 => {
                let rounded: f64 = format!("{value:.4e}").parse().unwrap();
                rounded.to_string()
            }
            _ => number.to_owned(),
        }
    })
}

/// `on 2 CPU threads` without the number.
fn without_threads(text: &str) -> String {
    let mut parts = text.split(" CPU thread");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.truncate(out.trim_end_matches(|c: char| c.is_ascii_digit()).len());
        out.push_str("# CPU threads");
        out.push_str(part.strip_prefix('s').unwrap_or(part));
    }
    out
}

/// Every number as `#`, and so every hash; runs of blanks, which numbers of other lengths change, as one.
pub fn no_numbers(text: &str) -> String {
    let mut out = String::new();
    for line in without_threads(text).lines() {
        let indent = line.len() - line.trim_start().len();
        let words = line.split_whitespace().map(|word| {
            let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let hash = bare.len() >= 12 && bare.chars().all(|c| c.is_ascii_hexdigit());
            let word = if hash { word.replace(bare, "#") } else { with_numbers(word, |_| "#".into()) };
            if word.starts_with("-#") { word[1..].to_owned() } else { word }
        });
        let mut words = words.collect::<Vec<_>>().join(" ");
        // The sign of a number, its unit, and whether an evaluation is the best may change with it.
        for (from, to) in [
            ("−#", "#"),
            (":-#", ":#"),
            (",-#", ",#"),
            ("# ms", "# s"),
            ("# min # s", "# s"),
            ("GiB", "MiB"),
            ("KiB", "MiB"),
            (", best so far", ""),
            ("\"best\":true", "\"best\":#"),
            ("\"best\":false", "\"best\":#"),
        ] {
            words = words.replace(from, to);
        }
        writeln!(out, "{}{}", &line[..indent], words).unwrap();
    }
    out
}

pub fn as_it_is(text: &str) -> String {
    text.to_owned()
}
