//! The `facegrad` program: arguments, printing, exit codes. It knows nothing of tensors.

mod align;
mod bench;
mod calibrate;
mod compare;
mod data;
mod devices;
mod embed;
mod eval;
mod explain;
mod failure;
mod identify;
mod memory;
mod plot;
mod progress;
mod protocols;
mod show;
mod skipped;
mod train;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use facegrad_devices::{Backend, Chosen};
use facegrad_recognition::EmbeddingModel;

use failure::Failure;

/// Train, evaluate and ship face-recognition embedding models from one binary.
///
/// Exit codes: 0 done, 1 failed, 2 wrong input, 130 stopped by Ctrl-C with everything saved.
#[derive(Parser)]
#[command(name = "facegrad", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model from a config file, or continue a run.
    Train(train::Args),
    /// Train several configs with several seeds under one budget, and write one table and one picture.
    Compare(compare::Args),
    /// Measure a model on pairs of images.
    Eval(eval::Args),
    /// Measure thresholds on pairs of images and write them into a model.
    Calibrate(calibrate::Args),
    /// Print what a model file says of itself, and its operating points.
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
}

/// What computes: shared by every verb that does.
#[derive(clap::Args, Clone)]
struct DeviceArgs {
    /// flex or ndarray on the CPU, wgpu on a graphics card; default flex, or what a resumed run used.
    #[arg(long, value_parser = backend)]
    backend: Option<Backend>,
    /// A graphics adapter by part of its name, or by kind: "discrete GPU", "software".
    #[arg(long)]
    adapter: Option<String>,
}

fn backend(word: &str) -> Result<Backend, String> {
    word.parse()
}

impl DeviceArgs {
    /// What was asked for, or else what a run used before, described as in
    /// [`Chosen::description`].
    fn or_as_before(&self, before: Option<&str>) -> Self {
        let named = before.and_then(|text| text.split_once(" on "));
        let Some((backend, device)) = named.filter(|_| self.backend.is_none()) else { return self.clone() };
        let backend = backend.parse().ok();
        let is_gpu = backend == Some(Backend::Wgpu);
        let adapter = device.rsplit_once(" (").filter(|_| is_gpu).map(|(name, _)| name.to_owned());
        Self { backend, adapter: self.adapter.clone().or(adapter) }
    }

    fn choose(&self, otherwise: Backend) -> Result<Chosen, Failure> {
        let backend = self.backend.unwrap_or(otherwise);
        facegrad_devices::choose(backend, self.adapter.as_deref()).map_err(Failure::input)
    }
}

/// The model: shared by every verb that uses one.
#[derive(clap::Args, Clone)]
struct ModelArgs {
    /// A run folder (its best checkpoint), a checkpoint folder, or a model file; without it what the environment
    /// variable FACEGRAD_MODEL says.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Images embedded at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    #[command(flatten)]
    device: DeviceArgs,
}

impl ModelArgs {
    /// The model, and what computes it.
    fn load(&self) -> Result<(EmbeddingModel, Chosen), Failure> {
        let named = self.model.clone().or_else(|| std::env::var_os("FACEGRAD_MODEL").map(Into::into));
        let path = named.filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
            Failure::input(
                "no model is named; name one with --model PATH or in the environment variable FACEGRAD_MODEL",
            )
        })?;
        let chosen = self.device.choose(default_backend())?;
        let model = EmbeddingModel::load(&path, &chosen.device).map_err(Failure::input)?;
        Ok((model, chosen))
    }
}

/// The backend when none is named: flex where it is built in.
fn default_backend() -> Backend {
    Backend::built_in()[0]
}

fn main() -> ExitCode {
    memory::keep();
    // Before any thread: Burn looks here for the device of tensors that name none.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("BURN_DEVICE", default_backend().as_str()) };
    // Mesa's Vulkan layer that puts cards in order complains on standard error where no desktop runs. Adapters
    // are put in order here anyway, so it is left out, unless its user has told it which card to take.
    if ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT"].iter().all(|name| std::env::var_os(name).is_none()) {
        // SAFETY: as above.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    let cli = Cli::parse();
    let result = match cli.command {
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
        Command::Devices(args) => devices::run(args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "facegrad", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        failure.code()
    })
}

/// Prints a line to standard output; a reader that has gone away (`| head`) ends the program quietly.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        if writeln!(std::io::stdout(), $($text)*).is_err() {
            std::process::exit(0);
        }
    }};
}
