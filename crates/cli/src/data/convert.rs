//! `facegrad data convert`.

use std::{path::PathBuf, process::ExitCode};

use facegrad::faces::convert::{
    ConversionFormat, ConversionTarget, ConvertEnd, ConvertStep, OnUnreadable, convert,
};
use facegrad_files::name_of;
use serde_json::json;

use crate::{
    command_line,
    failure::{Failure, INTERRUPTED, stop_on_signal},
    progress::Stages,
    say,
    skipped::list_skipped,
    source::source_config,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad data convert faces faces.rec\n          facegrad data convert train.rec shards --to webdataset --shard-images 5000\n          facegrad data convert train.rec faces --to folder --set min_images=10\n\nKilled or stopped by Ctrl-C, the same command goes on where it was and writes the same files. Until then its\nwork is kept in DST.part."
)]
pub struct Args {
    /// The set to read, of any kind that is known: a folder, a .rec file, tar shards, and so on.
    src: PathBuf,
    /// What to write: a file that ends with .rec, .tar or .parquet, or a folder.
    dst: PathBuf,
    /// The format of DST, where its name does not say: folder, recordio, webdataset or parquet.
    #[arg(long)]
    to: Option<ConversionFormat>,
    /// Images of a shard, where DST is a folder of shards.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    shard_images: u32,
    /// What to do about images that cannot be read: stop at the first, or skip them and list them in
    /// DST.skipped.txt.
    #[arg(long, default_value_t = OnUnreadable::Stop)]
    on_error: OnUnreadable,
    /// Set a key of SRC, such as label_gaps=close or kind=folder; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print what was written as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// How many skipped images are named on the screen.
const NAMED: usize = 10;

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let kind = args.to.or_else(|| ConversionFormat::of_path(&args.dst)).ok_or_else(|| {
        let kinds: Vec<&str> = ConversionFormat::ALL.iter().map(|kind| kind.as_str()).collect();
        Failure::input(format!(
            "the name of {} does not say what to write; name the format with --to ({})",
            args.dst.display(),
            kinds.join(", ")
        ))
    })?;
    let config = source_config(&args.src, &args.overrides)?;
    let opened = config.open_any()?;
    crate::remark!("{}: {}", args.src.display(), opened.summary);
    crate::output::notes(&opened.summary.notes);
    let source = opened.source;
    let target = ConversionTarget {
        kind,
        path: args.dst.clone(),
        shard_images: args.shard_images as usize,
        on_unreadable: args.on_error,
    };
    let stop = stop_on_signal("this batch and saving")?;

    let mut stages = Stages::default();
    let end = convert(source.as_ref(), &target, &mut |step| {
        match step {
            ConvertStep::Reading(done) => stages.show("images read", done, source.len()),
            ConvertStep::Writing(done) => stages.show("images", done, source.len()),
        }
        !stop.is_asked()
    });
    stages.finish();
    let written = match end? {
        ConvertEnd::Done(written) => written,
        ConvertEnd::Stopped { images, work } => {
            say!("stopped: {images} of {} images are written and kept in {}", source.len(), work.display());
            say!("continue with: {}", command_line::typed());
            return Ok(INTERRUPTED.into());
        }
    };
    let list = list_skipped(&args.dst, written.skipped.iter().map(|image| (&image.name, &image.reason)))?;
    if args.json {
        let text = json!({
            "source": name_of(&args.src), "source_sha256": source.fingerprint(), "kind": kind.as_str(),
            "images": written.images, "identities": written.identities, "files": written.files.iter().map(|path| name_of(path)).collect::<Vec<_>>(),
            "skipped": written.skipped.iter().map(|error| &error.name).collect::<Vec<_>>(),
            "images_per_second": stages.rate(),
        });
        say!("{text:#}");
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}: {} images of {} identities ({kind})", args.dst.display(), written.images, written.identities);
    if let Some(list) = list {
        say!("skipped {} images that cannot be read, listed in {}", written.skipped.len(), list.display());
        for error in written.skipped.iter().take(NAMED) {
            say!("        {error}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
