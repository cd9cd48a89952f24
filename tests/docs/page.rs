//! A markdown file as those who run it see it: its blocks with the comments before them, its links and its headings.

use std::{collections::HashMap, fmt};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Something that is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub file: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// What a comment before a block says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It is not run, for this reason.
    NotRun(String),
    /// Words behind each `facegrad` of it, which make it quick.
    RunWith(String),
    /// Commands that are run first and not shown.
    Before(String),
    /// The exit code of its last command.
    Exit(i32),
    /// What was printed to standard error is shown, too.
    WithStderr,
}

impl Mark {
    /// What the text of a comment means.
    fn read(comment: &str) -> Result<Self, String> {
        let comment = comment.trim();
        if comment == "with stderr" {
            return Ok(Self::WithStderr);
        }
        let (name, rest) = comment.split_once(':').unwrap_or((comment, ""));
        let rest = rest.trim();
        let something = |what: &str| match rest {
            "" => Err(format!("the comment \"{name}\" wants {what} behind a colon")),
            rest => Ok(rest.to_owned()),
        };
        match name.trim() {
            "not run" => Ok(Self::NotRun(something("the reason")?)),
            "run with" => Ok(Self::RunWith(something("the words to add")?)),
            "before" => Ok(Self::Before(something("the commands")?)),
            "exit" => match rest.parse() {
                Ok(code) => Ok(Self::Exit(code)),
                Err(_) => Err(format!("the comment \"exit\" wants a number behind a colon, not \"{rest}\"")),
            },
            _ => Err(format!(
                "a comment of another kind than not run, run with, before, exit and with stderr: \"{comment}\""
            )),
        }
    }
}

/// A fenced block of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its first line of text.
    pub line: usize,
    /// The word behind the fence.
    pub language: String,
    pub text: String,
    pub marks: Vec<Mark>,
    /// Whether nothing but comments stands between it and the block before it.
    pub follows: bool,
}

impl Block {
    /// Why it is not run.
    pub fn not_run(&self) -> Option<&str> {
        self.marks.iter().find_map(|mark| match mark {
            Mark::NotRun(reason) => Some(reason.as_str()),
            _ => None,
        })
    }

    /// The exit code of its last command.
    pub fn exit(&self) -> i32 {
        self.marks
            .iter()
            .find_map(|mark| if let Mark::Exit(code) = mark { Some(*code) } else { None })
            .unwrap_or(0)
    }
}

/// A link or picture of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub line: usize,
    pub target: String,
}

/// A markdown file.
#[derive(Debug, Default)]
pub struct Page {
    /// Where it is in the repository.
    pub name: String,
    pub blocks: Vec<Block>,
    pub links: Vec<Link>,
    /// What a link to a heading says behind `#`.
    pub anchors: Vec<String>,
    /// What is wrong with the text itself.
    pub faults: Vec<Fault>,
}

impl Page {
    pub fn new(name: &str, text: &str) -> Self {
        let mut page = Page { name: name.into(), ..Self::default() };
        // The line of a byte.
        let starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line_of = |at: usize| starts.partition_point(|start| *start <= at);
        let mut marks: Vec<(usize, Mark)> = Vec::new();
        let mut follows = false;
        let mut block: Option<Block> = None;
        let mut comment = String::new();
        let mut heading: Option<String> = None;
        let mut taken: HashMap<String, usize> = HashMap::new();
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            let line = line_of(range.start);
            // Text that is no block parts a block from the one before, and a comment from its block.
            let parts = matches!(
                event,
                Event::Text(_) | Event::Code(_) | Event::Rule | Event::Start(Tag::Image { .. })
            );
            if parts && block.is_none() {
                follows = false;
                for (line, _) in marks.drain(..) {
                    page.fault(line, BEFORE_NOTHING);
                }
            }
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(info) => {
                            info.split([' ', ',']).next().unwrap_or_default().to_owned()
                        }
                        CodeBlockKind::Indented => String::new(),
                    };
                    if language.is_empty() {
                        page.fault(
                            line,
                            "a block without a language: sh for commands, text for what they print",
                        );
                    }
                    let marks = marks.drain(..).map(|(_, mark)| mark).collect();
                    block = Some(Block { line: line + 1, language, text: String::new(), marks, follows });
                }
                Event::End(TagEnd::CodeBlock) => {
                    page.blocks.extend(block.take());
                    follows = true;
                }
                Event::Start(Tag::HtmlBlock) => comment.clear(),
                Event::Html(html) => comment.push_str(&html),
                Event::End(TagEnd::HtmlBlock) => {
                    for found in comments(&comment) {
                        match Mark::read(found) {
                            Ok(mark) => marks.push((line, mark)),
                            Err(what) => page.fault(line, what),
                        }
                    }
                }
                Event::InlineHtml(html) if html.starts_with("<!--") => {
                    page.fault(
                        line,
                        "a comment within a text: it stands on a line of its own, before a block",
                    );
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let times = taken.entry(anchor.clone()).or_default();
                    page.anchors.push(if *times == 0 { anchor } else { format!("{anchor}-{times}") });
                    *times += 1;
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(Link { line, target: dest_url.into_string() });
                }
                Event::Text(piece) | Event::Code(piece) => {
                    if let Some(open) = block.as_mut().map(|block| &mut block.text).or(heading.as_mut()) {
                        open.push_str(&piece);
                    }
                }
                _ => {}
            }
        }
        for (line, _) in marks {
            page.fault(line, BEFORE_NOTHING);
        }
        page
    }

    fn fault(&mut self, line: usize, what: impl Into<String>) {
        self.faults.push(Fault { file: self.name.clone(), line, what: what.into() });
    }
}

const BEFORE_NOTHING: &str = "a comment that stands before no block";

/// The comments of a piece of HTML.
fn comments(html: &str) -> impl Iterator<Item = &str> {
    html.split("<!--").skip(1).filter_map(|rest| rest.split("-->").next())
}

/// What a link to a heading says, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Faults of links between files; `exists` tells of a path in the repository, and `pages` are the texts.
pub fn broken_links(pages: &[Page], exists: impl Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for page in pages {
        for link in &page.links {
            let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            if path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let mut fault = |what: String| {
                faults.push(Fault { file: page.name.clone(), line: link.line, what });
            };
            let Some(target) = join(&page.name, path) else {
                fault(format!("the link {} leads out of the repository", link.target));
                continue;
            };
            if page.name.starts_with("docs/") && !target.starts_with("docs/") {
                fault(format!(
                    "the link {} leads out of the book; the name of the file as code does not",
                    link.target
                ));
            } else if !exists(&target) {
                fault(format!("the link {} leads to no file", link.target));
            } else if let Some(to) = pages.iter().find(|other| other.name == target)
                && !anchor.is_empty()
                && to.anchors.iter().all(|known| known != anchor)
            {
                fault(format!("{} has no heading #{anchor}", to.name));
            }
        }
    }
    faults
}

/// Where a link of a file leads, from the top of the repository.
fn join(file: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(file.into());
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
