//! The `facegrad` program: arguments, printing, exit codes. It knows nothing of tensors.

mod align;
mod arguments;
mod bench;
mod calibrate;
mod command_line;
mod compare;
mod data;
mod devices;
mod doctor;
mod embed;
mod embedding_facts;
mod eval;
mod explain;
mod failure;
mod gallery;
mod identify;
mod manual;
mod memory;
mod new;
mod output;
mod plot;
mod points;
mod progress;
mod protocols;
mod show;
mod skipped;
mod source;
mod train;
mod verify;
mod version;

use std::process::ExitCode;

use arguments::default_backend;
use clap::{CommandFactory, Parser, Subcommand};

/// Train, evaluate and ship face-recognition embedding models from one binary.
///
/// Exit codes: 0 done, 1 failed, 2 wrong input, 130 stopped by Ctrl-C with everything saved.
#[derive(Parser)]
#[command(name = "facegrad", version, long_version = version::long())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look at a set of faces, and write a config for it.
    New(new::Args),
    /// Train a model from a config file, or continue a run.
    Train(train::Args),
    /// Train several configs with several seeds under one budget, and write one table and one picture.
    Compare(compare::Args),
    /// Measure a model on pairs of images.
    Eval(eval::Args),
    /// Measure thresholds on pairs of images, or on searches in a gallery, and write them into a model.
    Calibrate(calibrate::Args),
    /// Print what a model file says of itself, and its operating points; or a gallery, or a file of embeddings.
    Show(show::Args),
    /// Tell whether two images show the same person.
    Verify(verify::Args),
    /// Write the embeddings of images to a file.
    Embed(embed::Args),
    /// Tell who is on images, among the people of a gallery.
    Identify(identify::Args),
    /// Find the faces on photographs, and bring them into the position that networks expect.
    Align(align::Args),
    /// Make and check data.
    #[command(subcommand)]
    Data(data::Command),
    /// Measure how fast this machine trains, embeds and loads, and where the time goes.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Tell what a config section, head or backbone is: keys, defaults, ranges, formula, source.
    Explain(explain::Args),
    /// Draw pictures for documents.
    #[command(subcommand)]
    Plot(plot::Command),
    /// Tell all about this machine that matters here, on one page: for a look before a long run, or a report of a fault.
    Doctor(doctor::Args),
    /// List backends and graphics adapters, and which would be used.
    Devices(devices::Args),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example: facegrad completions bash > ~/.local/share/bash-completion/completions/facegrad"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages, completion scripts, and the pages of the book that are the program's own words.
    #[command(hide = true)]
    Manual(manual::Args),
}

impl Command {
    /// Whether tensors of the same sizes are made again and again.
    fn computes_in_batches(&self) -> bool {
        use Command::{Bench, Calibrate, Compare, Doctor, Embed, Eval, Identify, Train};
        matches!(
            self,
            Train(_) | Compare(_) | Eval(_) | Calibrate(_) | Embed(_) | Identify(_) | Bench(_) | Doctor(_)
        )
    }
}

fn main() -> ExitCode {
    facegrad_files::raise_open_files();
    let cli = Cli::parse();
    if cli.command.computes_in_batches() {
        memory::keep();
    }
    // Before any thread: Burn looks here for the device of tensors that name none.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("BURN_DEVICE", default_backend().as_str()) };
    // Mesa's Vulkan layer that puts cards in order complains on standard error where no desktop runs. Adapters
    // are put in order here anyway, so it is left out, unless its user has told it which card to take.
    if ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT"].iter().all(|name| std::env::var_os(name).is_none()) {
        // SAFETY: as above.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    let result = match cli.command {
        Command::New(args) => new::run(args),
        Command::Train(args) => train::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Show(args) => show::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Embed(args) => embed::run(args),
        Command::Identify(args) => identify::run(args),
        Command::Align(args) => align::run(args),
        Command::Data(command) => data::run(command),
        Command::Bench(command) => bench::run(command),
        Command::Explain(args) => explain::run(args),
        Command::Plot(command) => plot::run(command),
        Command::Doctor(args) => doctor::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "facegrad", &mut script);
            output::write(&script);
            Ok(ExitCode::SUCCESS)
        }
        Command::Manual(args) => manual::run(args, Cli::command()),
    };
    output::end(result.unwrap_or_else(|failure| {
        crate::remark!("error: {failure}");
        failure.code()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a verb makes of `--size`.
    fn size_of(verb: &[&str], size: &str) -> Option<[usize; 2]> {
        let words = [&["facegrad"][..], verb, &["--size", size]].concat();
        match Cli::try_parse_from(words).ok()?.command {
            Command::Align(args) => Some(args.size()),
            Command::Data(data::Command::Audit(args)) => args.size(),
            Command::Bench(command) => Some(command.size()),
            Command::Explain(args) => Some(args.size()),
            _ => None,
        }
    }

    #[test]
    fn arguments_of_a_verb_do_not_collide() {
        Cli::command().debug_assert();
    }

    #[test]
    fn size_is_height_and_width_in_every_verb() {
        for verb in [
            &["align", "in", "out"][..],
            &["data", "audit", "set"],
            &["bench", "infer", "--backbone", "nano"],
            &["bench", "ops", "--backbone", "nano"],
            &["explain", "backbone"],
        ] {
            assert_eq!(size_of(verb, "112x96"), Some([112, 96]), "{verb:?}");
            assert_eq!(size_of(verb, "64"), Some([64, 64]), "{verb:?}");
            assert_eq!(size_of(verb, "112x"), None, "{verb:?}");
        }
    }
}
