//! `facegrad data`.

pub mod audit;
mod card;
mod convert;
mod fetch;
mod list;
mod pairs;
mod show;

use std::{path::PathBuf, process::ExitCode};

use facegrad::pictures::ImageFormat;
use facegrad::settings::{Setting, toml};
use facegrad::synthetic::{SyntheticConfig, write_folder};

use crate::{failure::Failure, progress::Progress, say};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Write synthetic faces as a folder with one folder an identity, and a contact sheet.
    Synth(Synth),
    /// Write a set in another format: folder, RecordIO, WebDataset or Parquet.
    Convert(convert::Args),
    /// Draw a verification list from a set of labelled images.
    Pairs(pairs::Args),
    /// List known data sets: size, purpose, licence, and whether they can be fetched.
    List(list::Args),
    /// Print the card of a data set: who made it, terms, people, layout, problems, and how to read it.
    Show(show::Args),
    /// Fetch a data set that may be fetched: resumed, checked, safely unpacked.
    Fetch(fetch::Args),
    /// Tell what is in a set of faces: counts, duplicates, wrong labels, what an evaluation set has too.
    Audit(Box<audit::Args>),
}

#[derive(clap::Args)]
#[command(after_help = "Example: facegrad data synth --identities 200 --images 20 --out synthetic")]
pub struct Synth {
    /// Number of identities.
    #[arg(long, default_value_t = 200)]
    identities: usize,
    /// Images of each identity.
    #[arg(long, default_value_t = 20)]
    images: usize,
    /// Side of an image in pixels.
    #[arg(long, default_value_t = 112)]
    size: usize,
    /// Decides how the identities look.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first identity; sets that do not overlap share nobody.
    #[arg(long, default_value_t = 0)]
    first_identity: usize,
    /// The file format: png or jpg.
    #[arg(long, default_value = "png")]
    format: ImageFormat,
    /// The folder to write to; new, empty, or holding the same recipe.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Synth(args) => synth(args),
        Command::Convert(args) => convert::run(args),
        Command::Pairs(args) => pairs::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Audit(args) => audit::run(*args),
    }
}

fn synth(args: Synth) -> Result<ExitCode, Failure> {
    let config = SyntheticConfig {
        identities: args.identities,
        images: args.images,
        size: args.size,
        seed: args.seed,
        first_identity: args.first_identity,
        ..Default::default()
    };
    // The ranges of the config hold on the command line as well.
    let written = config.write().unwrap_or(toml::Value::Boolean(false));
    let config = SyntheticConfig::read(&written, &"--".into())
        .map_err(|e| Failure::input(e.to_string().replace("--.", "--")))?;
    let mut progress = Progress::new("images", 0, config.identities.saturating_mul(config.images));
    let written = write_folder(&config, args.format, &args.out, &mut |done, _| progress.set(done, ""));
    let written = written?;
    progress.finish();
    say!("{} images of {} identities in {}", written.images, args.identities, args.out.display());
    say!("contact sheet: {}", written.contact_sheet.display());
    Ok(ExitCode::SUCCESS)
}
