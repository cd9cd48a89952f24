//! Runs a text from top to bottom.

use std::{path::Path, time::Instant};

use facegrad::Experiment;
use facegrad::settings::toml::{Table, Value, map::Entry};

use crate::{
    commands::{self, Command},
    output,
    page::{Block, Fault, Mark, Page},
    support::{FACEGRAD, Place, TINY},
};

/// Seconds from which on a command is named, with `--nocapture`.
const SLOW: f64 = 1.0;

/// What the commands of a block printed.
#[derive(Debug, Default)]
struct Printed {
    stdout: String,
    stderr: String,
}

/// Runs the commands of `page` in `place`, and compares what it shows with what they print.
pub fn run_page(page: &Page, place: &Place, root: &Path) -> Vec<Fault> {
    let mut run = Run { page, place, root, variables: Vec::new(), faults: page.faults.clone() };
    // The commands before, what they printed unless they were not run, and their exit code.
    let mut before: Option<(&Block, Option<Printed>)> = None;
    for block in &page.blocks {
        let shown = before.take().filter(|_| block.follows);
        match block.language.as_str() {
            "sh" => before = Some((block, run.commands(block))),
            "text" => run.output(block, shown),
            "toml" if block.not_run().is_none() => {
                if let Err(what) = read_fragment(&block.text) {
                    run.fault(block.line, what);
                }
            }
            _ => {}
        }
    }
    run.faults
}

struct Run<'a> {
    page: &'a Page,
    place: &'a Place,
    root: &'a Path,
    variables: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Run<'_> {
    fn fault(&mut self, line: usize, what: impl Into<String>) {
        self.faults.push(Fault { file: self.page.name.clone(), line, what: what.into() });
    }

    /// Runs the commands of a block, unless it is marked, or they are for the reader's machine alone.
    fn commands(&mut self, block: &Block) -> Option<Printed> {
        if block.not_run().is_some() {
            return None;
        }
        let mut added = String::new();
        for mark in &block.marks {
            match mark {
                Mark::RunWith(words) => added += &format!(" {words}"),
                Mark::Before(hidden) => {
                    for (_, command) in commands::commands(hidden) {
                        self.command(block.line, &command, "", 0);
                    }
                }
                _ => {}
            }
        }
        let listed = commands::commands(&block.text);
        let mut printed = None;
        for (number, (line, command)) in listed.iter().enumerate() {
            let code = if number + 1 == listed.len() { block.exit() } else { 0 };
            if let Some(more) = self.command(block.line + line, command, &added, code) {
                let all: &mut Printed = printed.get_or_insert_default();
                all.stdout += &more.stdout;
                all.stderr += &more.stderr;
            }
        }
        printed
    }

    /// Runs a command with `added` words behind the program's own, and tells what it printed.
    fn command(&mut self, line: usize, command: &str, added: &str, code: i32) -> Option<Printed> {
        let command = match commands::read(command, self.root) {
            Ok(Command::Run(command)) => command,
            Ok(Command::Export(name, value)) => {
                self.variables.push((name, value));
                return None;
            }
            Ok(Command::PassedOver) => return None,
            Err(what) => {
                self.fault(line, what);
                return None;
            }
        };
        let command = without(&command, added);
        // A variable before the name of a function is the function's, too.
        let mut script = format!("facegrad() {{ {} \"$@\"{added}; }}\n", quoted(FACEGRAD));
        script += "unset FACEGRAD_MODEL FACEGRAD_FACES FACEGRAD_LFW FACEGRAD_MTCNN\n";
        for (name, value) in &self.variables {
            script += &format!("export {name}={}\n", quoted(value));
        }
        let started = Instant::now();
        let ended = self.place.start("bash", &["-o", "pipefail", "-c", &(script + &command)]).wait();
        let seconds = started.elapsed().as_secs_f64();
        if seconds > SLOW {
            eprintln!("{seconds:4.1} s  {}:{line}: {command}", self.page.name);
        }
        if ended.code != Some(code) {
            let said = if ended.stderr.is_empty() { &ended.stdout } else { &ended.stderr };
            let ending = ended.code.map_or("by a signal".into(), |code| format!("with {code}"));
            self.fault(line, format!("{command}\nended {ending}, not with {code}:\n{}", indented(said)));
        }
        Some(Printed { stdout: ended.stdout, stderr: ended.stderr })
    }

    /// Compares what a block shows with what the commands before it printed.
    fn output(&mut self, block: &Block, before: Option<(&Block, Option<Printed>)>) {
        if block.not_run().is_some() {
            return;
        }
        let (commands, printed) = match before {
            Some((commands, Some(printed))) => (commands, printed),
            // The reason of the commands is that of their output.
            Some((commands, None)) if commands.not_run().is_some() => return,
            Some(_) => return self.fault(block.line, "the commands before this output are not run here"),
            None => {
                let why =
                    "no commands stand right before this output; <!-- not run: REASON --> says what it is";
                return self.fault(block.line, why);
            }
        };
        // Where a command fails, what it says is the point.
        let with_stderr = commands.exit() != 0 || block.marks.contains(&Mark::WithStderr);
        let printed = if with_stderr { printed.stdout + &printed.stderr } else { printed.stdout };
        if let Some((line, what)) = output::difference(&block.text, &printed) {
            self.fault(block.line + line, format!("{what}. All that it printed:\n{}", indented(&printed)));
        }
    }
}

/// A command without the options that are added to it with another value; `--set` may come again.
fn without(command: &str, added: &str) -> String {
    let mut command = command.to_owned();
    for option in added.split_whitespace().filter(|word| word.starts_with("--") && *word != "--set") {
        let Some(at) = command.find(&format!(" {option} ")) else { continue };
        let value = at + option.len() + 2;
        let end = command[value..].find(char::is_whitespace).map_or(command.len(), |end| value + end);
        command.replace_range(at..end, "");
    }
    command
}

/// Reads a piece of a config as a part of a small one.
pub fn read_fragment(text: &str) -> Result<(), String> {
    // Variables of the environment are the reader's.
    let text = text.replace("${", "").replace("}/", "/").replace("}\"", "\"");
    let part: Table = text.parse().map_err(|error| format!("no TOML: {error}"))?;
    let mut whole: Table = TINY.parse().map_err(|error| format!("no TOML: {error}"))?;
    let has = |key: &str| part.get("run").is_some_and(|run| run.get(key).is_some());
    if has("epochs")
        && let Some(run) = whole.get_mut("run").and_then(Value::as_table_mut)
    {
        run.remove("steps");
    }
    merge(&mut whole, part);
    Experiment::resolve(whole, &[]).map(drop).map_err(|error| error.to_string())
}

/// Puts a part into a whole: key by key, but for sections of another kind.
fn merge(whole: &mut Table, part: Table) {
    for (key, value) in part {
        match (whole.entry(key), value) {
            (Entry::Occupied(mut old), Value::Table(new))
                if !new.contains_key("kind") && old.get().is_table() =>
            {
                if let Some(old) = old.get_mut().as_table_mut() {
                    merge(old, new);
                }
            }
            (Entry::Occupied(mut old), new) => drop(old.insert(new)),
            (Entry::Vacant(new), value) => drop(new.insert(value)),
        }
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
