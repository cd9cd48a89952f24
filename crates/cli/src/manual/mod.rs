//! `facegrad manual`: man pages, completions, and the pages of the book that are the program's own words. Whoever packs
//! the program or changes what it takes runs it; `--help` does not list it.

mod commands;
mod footer;
mod keys;
mod man;

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Command, ValueEnum};
use clap_complete::Shell;

use crate::{
    failure::{Failure, write_file},
    say,
};

#[derive(clap::Args)]
#[command(after_help = "Example: facegrad manual man completions --out share")]
pub struct Args {
    /// What to write.
    #[arg(required = true)]
    what: Vec<What>,
    /// The folder for the files.
    #[arg(long)]
    out: PathBuf,
}

/// What there is to write.
#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// A man page for each command: facegrad.1, facegrad-train.1, …
    Man,
    /// A completion script for each shell.
    Completions,
    /// commands.md: each command with its arguments and options.
    Commands,
    /// keys.md: each key of a config.
    Keys,
}

pub fn run(args: Args, program: Command) -> Result<ExitCode, Failure> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    fs::create_dir_all(&args.out).map_err(|error| Failure::unwritable(&args.out, error))?;
    for what in args.what {
        let files = match what {
            What::Man => man::pages(&program),
            What::Completions => completions(&program),
            What::Commands => vec![("commands.md".to_owned(), commands::page(&program).into_bytes())],
            What::Keys => vec![("keys.md".to_owned(), keys::page().into_bytes())],
        };
        for (name, content) in files {
            let path = args.out.join(name);
            write_file(&path, &content)?;
            say!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A script for each shell, under the name that it looks for.
fn completions(program: &Command) -> Vec<(String, Vec<u8>)> {
    Shell::value_variants()
        .iter()
        .map(|shell| {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut program.clone(), "facegrad", &mut script);
            (clap_complete::Generator::file_name(shell, "facegrad"), script)
        })
        .collect()
}

/// The program and each of its commands that `--help` lists, from above.
fn visible(program: &Command) -> Vec<&Command> {
    let below = program.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(visible);
    std::iter::once(program).chain(below).collect()
}

/// What is typed for a command, such as `facegrad data audit`.
fn typed(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::Cli;

    #[test]
    fn every_example_of_the_help_is_a_command_of_the_program() {
        let mut program = Cli::command();
        program.build();
        let mut count = 0;
        for command in visible(&program) {
            for example in footer::Footer::of(command).examples {
                let words = shlex::split(&example.replace("\\\n", " ")).unwrap();
                let words = words.iter().take_while(|word| *word != ">");
                let read = Cli::try_parse_from(words);
                let is_about_files =
                    |error: &clap::Error| error.kind() == clap::error::ErrorKind::ValueValidation;
                assert!(read.as_ref().err().is_none_or(is_about_files), "{example}: {}", read.err().unwrap());
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn there_is_a_man_page_for_each_command_and_a_script_for_each_shell() {
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        let names: Vec<String> = man::pages(&program).into_iter().map(|(name, _)| name).collect();
        for name in ["facegrad.1", "facegrad-train.1", "facegrad-data-audit.1", "facegrad-bench-heads.1"] {
            assert!(names.iter().any(|found| found == name), "{names:?}");
        }
        assert!(names.iter().all(|name| !name.contains("manual")), "{names:?}");
        let scripts: Vec<String> = completions(&program).into_iter().map(|(name, _)| name).collect();
        assert_eq!(scripts, ["facegrad.bash", "facegrad.elv", "facegrad.fish", "_facegrad.ps1", "_facegrad"]);
    }
}
