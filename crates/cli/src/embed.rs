//! `facegrad embed`.

use std::{path::PathBuf, process::ExitCode};

use facegrad::embeddings::{EmbeddingJournal, EmbeddingWriter};
use facegrad::recognition::{EmbeddingJob, EmbeddingJobEnd, ImageSet, Images, UnreadableImage};
use facegrad::verification::Flip;
use facegrad_files::name_of;
use serde_json::json;

use crate::{
    arguments::{BatchArgs, ModelArgs, file_to_read},
    command_line,
    failure::{Failure, INTERRUPTED, check_output, stop_on_signal},
    progress::Stages,
    say,
    skipped::list_skipped,
    source::image_set,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad embed my-faces --model checkpoints/quickstart --out my-faces.npz\n          facegrad embed list.txt --images my-faces --model model.safetensors --out some.parquet\n\nKilled or stopped by Ctrl-C, the same command goes on where it was and writes the same file. Until then its\nwork is kept in OUT.part."
)]
pub struct Args {
    /// Images, or sets of them of any kind that can be trained on: folders with one folder of images an identity or
    /// without, lists with lines `path` or `path identity`, tables, .rec files, tar shards, Parquet files, idx files,
    /// .bin files.
    #[arg(required = true, value_parser = file_to_read())]
    sources: Vec<PathBuf>,
    /// The folder that holds the images of lists; without it that of the list.
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Set a key of the sets, such as image_key=photo or exclude=list.csv; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The file to write: .npz, .safetensors, .csv or .parquet.
    #[arg(long)]
    out: PathBuf,
    /// How an image and its mirror image become one embedding: none, add, norm_weighted, unit, concat.
    #[arg(long, default_value_t = Flip::Add)]
    flip: Flip,
    /// What to do about images that cannot be read: stop before any is embedded, or skip them and list them in
    /// OUT.skipped.txt.
    #[arg(long, default_value = "stop")]
    on_error: OnError,
    /// Print what was written as JSON on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    batch: BatchArgs,
}

/// What to do about images that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    Stop,
    Skip,
}

/// How many skipped images are named on the screen.
const NAMED: usize = 10;

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let out = &args.out;
    check_output("--out", out, &args.sources.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    // Found out before any work: whether there can be a file of that name.
    EmbeddingWriter::create(out, 1, None)?;
    let open = |path: &PathBuf| Ok((path.clone(), image_set(path, &args.overrides, args.images.as_deref())?));
    let images = ImageSet::join(args.sources.iter().map(open).collect::<Result<_, Failure>>()?)?;
    crate::output::notes(images.notes());
    let (model, chosen) = args.model.load()?;
    let stop = stop_on_signal("this batch and saving")?;

    let mut stages = Stages::default();
    stages.show("images read", 0, images.len());
    let survey = images.survey(model.card.preprocessing.size, &mut |done| {
        stages.show("images read", done, images.len());
        !stop.is_asked()
    });
    stages.finish();
    let Some(survey) = survey else {
        crate::remark!("stopped before any image was embedded");
        return Ok(INTERRUPTED.into());
    };
    let skipped = &survey.unreadable;
    if args.on_error == OnError::Stop || skipped.len() == images.len() {
        refuse(skipped, images.len(), args.on_error)?;
    }
    let images = images.without(skipped);

    let job = EmbeddingJob {
        model: &model,
        batch: args.batch.size(),
        flip: args.flip,
        backend: &chosen.description,
    };
    let end = job.run(&images, &survey, out, &mut |done| {
        stages.show("images", done, images.len());
        !stop.is_asked()
    })?;
    stages.finish();
    let rate = stages.rate();
    if let EmbeddingJobEnd::Stopped { done } = end {
        let folder = EmbeddingJournal::folder(out);
        say!("stopped: {done} of {} images are embedded and kept in {}", images.len(), folder.display());
        say!("continue with: {}", command_line::typed());
        return Ok(INTERRUPTED.into());
    }
    let list = list_skipped(out, skipped.iter().map(|image| (&image.name, &image.reason)))?;

    let dim = args.flip.fused_dim(model.embedding_size());
    let mut people: Vec<&String> = images.identities().into_iter().flatten().collect();
    people.sort_unstable();
    people.dedup();
    let summary = images.summary();
    if args.json {
        let left_out: usize = summary.left_out.iter().map(|(count, ..)| count).sum();
        let text = json!({
            "out": name_of(out), "embeddings": images.len(), "dim": dim, "people": images.identities().map(|_| people.len()),
            "skipped": skipped.iter().map(|image| &image.name).collect::<Vec<_>>(), "left_out": left_out, "endings": summary.endings.counts(),
            "images_per_second": rate,
            "origin": model.origin(args.flip, &chosen.description, Some(survey.pixels_sha256.clone())),
        });
        say!("{text:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let people = match images.identities() {
        Some(_) => format!(" of {} people", people.len()),
        None => String::new(),
    };
    say!("{}: {} embeddings of {dim} numbers{people}", out.display(), images.len());
    say!("model    SHA-256 {}", model.tensors_sha256.as_deref().unwrap_or("unknown"));
    say!("pixels   SHA-256 {}", survey.pixels_sha256);
    say!("switches flip fusion {}, {}, {rate:.1} images/s", args.flip, chosen.description);
    if !summary.left_out.is_empty() {
        say!("left out {}", summary.left_out_in_words());
    }
    if !summary.endings.is_empty() {
        say!("endings  that are not read: {}", summary.endings);
    }
    if let Some(list) = list {
        say!("skipped  {} images that cannot be read, listed in {}", skipped.len(), list.display());
        for UnreadableImage { name, reason, .. } in skipped.iter().take(NAMED) {
            say!("         {name}: {reason}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error if there are images that cannot be read.
fn refuse(unreadable: &[UnreadableImage], total: usize, on_error: OnError) -> Result<(), Failure> {
    let Some(UnreadableImage { name, reason, .. }) = unreadable.first() else { return Ok(()) };
    let hint = if on_error == OnError::Stop { "; --on-error skip leaves such images out" } else { "" };
    let bad = unreadable.len();
    let others =
        if bad == 1 { String::new() } else { format!(", and {} more cannot be read either", bad - 1) };
    Err(Failure::input(format!("the image {name} of {total}: {reason}{others}{hint}")))
}
