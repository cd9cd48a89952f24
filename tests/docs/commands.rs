//! The commands of a block, and what becomes of each.

use std::path::Path;

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// It runs in a shell.
    Run(String),
    /// A variable for all commands that follow in the file.
    Export(String, String),
    /// It is for the reader's machine alone, and all there is to check has been.
    PassedOver,
}

/// What a shell has anyway, and does nothing beyond the folder.
const TOOLS: [&str; 15] = [
    "cat", "cp", "echo", "grep", "head", "ls", "mkdir", "mv", "printf", "rm", "sort", "tail", "test",
    "touch", "wc",
];

/// What builds, installs or fetches, so that a reader's machine alone runs it.
const OTHERS: [&str; 7] = ["apt-get", "git", "pip", "python3", "rustup", "sudo", "docker"];

/// The lines of a block in which a command begins, and the commands, with their further lines.
pub fn commands(text: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let (start, command) = match open.take() {
            Some((start, before)) => (start, before + "\n" + line),
            None => (number, line.trim_start().to_owned()),
        };
        // A quote that is open, too, goes on in the next line.
        if command.ends_with('\\') || !command.starts_with('#') && shlex::split(&command).is_none() {
            open = Some((start, command));
        } else if !command.trim().is_empty() && !command.starts_with('#') {
            commands.push((start, command));
        }
    }
    commands.extend(open);
    commands
}

/// What becomes of a command, in a repository at `root`.
pub fn read(command: &str, root: &Path) -> Result<Command, String> {
    let words =
        shlex::split(command).ok_or_else(|| "a quote or a backslash that nothing follows".to_owned())?;
    let is_variable = |word: &&String| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    let words: Vec<&str> = words.iter().skip_while(is_variable).map(String::as_str).collect();
    match words[..] {
        ["facegrad", ..] => Ok(Command::Run(command.into())),
        ["cargo", "run", "--release", "--", ..] => {
            Ok(Command::Run(command.replacen("cargo run --release --", "facegrad", 1)))
        }
        ["cargo", ..] => cargo(&words, root).map(|()| Command::PassedOver),
        ["export", assignment] => match assignment.split_once('=') {
            Some((name, value)) => Ok(Command::Export(name.into(), value.into())),
            None => Err(format!("export {assignment} says no value")),
        },
        [tool, ..] if TOOLS.contains(&tool) => Ok(Command::Run(command.into())),
        [other, ..] if OTHERS.contains(&other) => Ok(Command::PassedOver),
        [script, ..] if script.starts_with("benches/") && !script.contains("venv") => {
            if root.join(script).exists() {
                Ok(Command::PassedOver)
            } else {
                Err(format!("there is no {script}"))
            }
        }
        [word, ..] => Err(format!("{word} is not run here; say why by <!-- not run: REASON -->")),
        [] => Err("a variable without a command, where export would keep it".into()),
    }
}

/// Whether what a line of cargo names is there: packages, examples, tests.
fn cargo(words: &[&str], root: &Path) -> Result<(), String> {
    let own = words.split(|word| *word == "--").next().unwrap_or_default();
    let crates = || root.join("crates").read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let in_some =
        |path: String| root.join(&path).exists() || crates().any(|folder| folder.join(&path).exists());
    for pair in own.windows(2) {
        let [option, value] = pair else { continue };
        let is_there = match *option {
            "-p" | "--package" => value
                .strip_prefix("facegrad-")
                .map_or(*value == "facegrad", |name| root.join("crates").join(name).is_dir()),
            "--example" => in_some(format!("examples/{value}.rs")),
            "--test" => in_some(format!("tests/{value}.rs")),
            "--bench" => in_some(format!("benches/{value}.rs")),
            "--manifest-path" => root.join(value).is_file(),
            _ => true,
        };
        if !is_there {
            return Err(format!("there is no {value} for {option}"));
        }
    }
    Ok(())
}
