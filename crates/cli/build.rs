//! Tells the program what it was built from: the commit, the compiler, the version of Burn.

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=FACEGRAD_COMMIT");
    for (name, value) in [("COMMIT", commit()), ("RUSTC", compiler()), ("BURN", burn())] {
        println!("cargo::rustc-env=FACEGRAD_BUILT_{name}={}", value.unwrap_or_else(|| "unknown".into()));
    }
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=FACEGRAD_BUILT_TARGET={target}");
}

/// The commit: as a packager says, as the package of a registry has it, or as git knows.
fn commit() -> Option<String> {
    if let Ok(commit) = env::var("FACEGRAD_COMMIT") {
        return Some(commit);
    }
    if let Ok(info) = fs::read_to_string(".cargo_vcs_info.json") {
        return info.split('"').find(|word| word.len() == 40).map(|hash| hash[..12].to_owned());
    }
    // Another commit is another line of this file, whatever branch it is on.
    if let Some(log) = line_of("git", &["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    line_of("git", &["rev-parse", "--short=12", "HEAD"])
}

fn compiler() -> Option<String> {
    let line = line_of(&env::var("RUSTC").ok()?, &["--version"])?;
    // rustc 1.95.0 (hash date)
    line.split(' ').nth(1).map(str::to_owned)
}

/// The version of Burn in the lock file.
fn burn() -> Option<String> {
    let lock = ["../../Cargo.lock", "Cargo.lock"].into_iter().find(|path| Path::new(path).exists())?;
    println!("cargo::rerun-if-changed={lock}");
    let text = fs::read_to_string(lock).ok()?;
    let (_, package) = text.split_once("name = \"burn\"\nversion = \"")?;
    package.split('"').next().map(str::to_owned)
}

/// The first line that a program prints.
fn line_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.to_owned())
}
