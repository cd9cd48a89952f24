//! Runs the program as a person would, in a folder of its own.

// Each test file takes what it needs.
#![allow(dead_code)]

pub mod transcript;

use std::{
    fs::{self, File},
    io::{Read, Seek},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than this nothing here takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);

/// The program.
pub const FACEGRAD: &str = env!("CARGO_BIN_EXE_facegrad");

/// The config that runs in about a second.
pub const TINY: &str = include_str!("tiny.toml");

/// A folder in which the program runs, with [`TINY`] as `tiny.toml`.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write("tiny.toml", TINY);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Writes the lists of IJB-C below `IJBC/meta`: media, landmarks, pairs of templates, the two galleries, probes.
    pub fn write_ijbc(&self, lists: [&String; 6]) {
        let names = [
            "face_tid_mid.txt",
            "name_5pts_score.txt",
            "template_pair_label.txt",
            "1N_gallery_G1.csv",
            "1N_gallery_G2.csv",
            "1N_probe_mixed.csv",
        ];
        for (name, list) in names.iter().zip(lists) {
            self.write(&format!("IJBC/meta/ijbc_{name}"), list);
        }
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// A command that runs here with nothing to read and its output kept.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Running {
        self.start_in("", program, arguments)
    }

    /// The same in a folder of this one.
    pub fn start_in(&self, folder: &str, program: &str, arguments: &[&str]) -> Running {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.path(folder))
            .env_remove("FACEGRAD_UNSET")
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap())
            .spawn()
            .unwrap();
        Running { command: format!("{program} {}", arguments.join(" ")), child, stdout, stderr }
    }

    /// Runs the program to its end.
    pub fn facegrad(&self, arguments: &[&str]) -> Ended {
        self.start(FACEGRAD, arguments).wait()
    }

    /// Runs the program to its end with its standard output somewhere else, of which nothing is kept.
    pub fn facegrad_into(&self, stdout: impl Into<Stdio>, arguments: &[&str]) -> Ended {
        let ended = Command::new(FACEGRAD)
            .args(arguments)
            .current_dir(self.path(""))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        Ended { command: arguments.join(" "), code: ended.status.code(), stdout: String::new(), stderr }
    }

    /// `facegrad train tiny.toml`, with `--set` before each of `changes`.
    pub fn train(&self, changes: &[&str]) -> Ended {
        self.facegrad(&train("tiny.toml", changes))
    }

    /// What `metrics.csv` of `run` says that a slow machine does not change: all but the last two columns.
    pub fn metrics(&self, run: &str) -> Vec<String> {
        let timeless = |line: &str| line.rsplitn(3, ',').last().unwrap().to_owned();
        self.text(&format!("{run}/metrics.csv")).lines().map(timeless).collect()
    }

    /// The events called `name` in the log of `run`.
    pub fn events(&self, run: &str, name: &str) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let log = self.text(&format!("{run}/log.jsonl"));
        log.lines().map(parse).filter(|event| event["event"] == name).collect()
    }

    /// Weights of the backbone and of the head in the last checkpoint of `run`.
    pub fn weights(&self, run: &str) -> [Vec<u8>; 2] {
        let last = self.text(&format!("{run}/last"));
        ["model", "head"].map(|part| self.read(&format!("{run}/{}/{part}.safetensors", last.trim())))
    }

    /// Copies the folder `from` to `to`.
    pub fn copy(&self, from: &str, to: &str) {
        copy(&self.path(from), &self.path(to));
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The arguments of `facegrad train <config>` with `--set` before each of `changes`; `--backend …` and the
/// like stay as they are.
pub fn train<'a>(config: &'a str, changes: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", config];
    for change in changes {
        arguments.extend([&["--set"][..], &[]][usize::from(!change.contains('='))]);
        arguments.push(change);
    }
    arguments
}

/// A process; it is killed when dropped.
pub struct Running {
    command: String,
    child: Child,
    stdout: File,
    stderr: File,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has ended by itself.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGKILL: the process gets no chance to do anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until `condition` holds.
    pub fn until(&mut self, mut condition: impl FnMut() -> bool) {
        let started = Instant::now();
        while !condition() {
            // What ended meanwhile may have brought it about.
            if self.is_over() && !condition() {
                panic!("{} ended early:\n{}", self.command, contents(&mut self.stderr));
            }
            assert!(started.elapsed() < DEADLINE, "{} takes too long", self.command);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends signals to the process, one right after the other.
    #[cfg(unix)]
    pub fn signal(&self, signals: &[&str]) {
        let id = self.id();
        let kill: Vec<String> = signals.iter().map(|signal| format!("kill -{signal} {id}")).collect();
        assert!(Command::new("sh").args(["-c", &kill.join(" && ")]).status().unwrap().success());
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < DEADLINE, "{} takes too long", self.command);
            thread::sleep(Duration::from_millis(2));
        };
        let (stdout, stderr) = (contents(&mut self.stdout), contents(&mut self.stderr));
        Ended { command: std::mem::take(&mut self.command), code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn contents(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A pipe whose reader has gone away.
pub fn closed_pipe() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// A disk without room, where the system has one.
pub fn full_disk() -> Option<File> {
    File::options().write(true).open("/dev/full").ok()
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub command: String,
    /// None after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The process did what it was told.
    pub fn done(self) -> Self {
        self.code(0)
    }

    /// The process ended with `code`, and not by a panic.
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }

    /// The process ended with `code` and said nothing but one sentence, which is returned.
    pub fn refused(self, code: i32) -> String {
        let ended = self.code(code);
        assert_eq!(ended.stdout, "", "{ended}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
        ended.sentence()
    }

    /// The last thing the process said: the sentence after `error: `.
    pub fn sentence(&self) -> String {
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && self.stderr.ends_with('\n'), "{self}");
        last["error: ".len()..].to_owned()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(f, "{command}\nexit code {code:?}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }
}
