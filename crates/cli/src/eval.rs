//! `facegrad eval`.

use std::{path::PathBuf, process::ExitCode};

use facegrad_training::{EmbeddingModel, EvaluationConfig, EvaluationSet, config::PairFileConfig};
use facegrad_verification::Flip;

use crate::{DeviceArgs, failure::Failure, progress::Progress, say};

#[derive(clap::Args)]
#[command(
    after_help = "Example: facegrad eval checkpoints/lfw-arcface --pairs lfw/pairsDevTest.txt \\\n           --threshold-pairs lfw/pairsDevTrain.txt --images lfw/images"
)]
pub struct Args {
    /// A run folder (its best checkpoint), a checkpoint folder, or a model file.
    model: PathBuf,
    /// A pair file, LFW View 1 or View 2 format.
    #[arg(long)]
    pairs: PathBuf,
    /// The folder that holds the images, one folder an identity.
    #[arg(long)]
    images: PathBuf,
    /// A pair file to choose the threshold on (LFW View 1: pairsDevTrain.txt); without it the best threshold
    /// on the other folds, or with a single fold on the same pairs, which the result says.
    #[arg(long)]
    threshold_pairs: Option<PathBuf>,
    /// How an image and its mirror image become one embedding: none, add, concat.
    #[arg(long, default_value = "add", value_parser = flip)]
    flip: Flip,
    /// Images embedded at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

fn flip(word: &str) -> Result<Flip, String> {
    word.parse()
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let chosen = args.device.choose(crate::default_backend())?;
    let model = EmbeddingModel::load(&args.model, &chosen.device).map_err(Failure::input)?;
    let name = args.pairs.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let config = EvaluationConfig::PairFile(PairFileConfig {
        name,
        pairs: args.pairs,
        threshold_pairs: args.threshold_pairs,
        images: args.images,
        flip: args.flip,
    });
    let set = EvaluationSet::open(&config)?;
    let mut progress = Progress::new("images", 0, set.images());
    let measured = set.measure(&model, args.batch.into(), &chosen.description, &mut |done| {
        progress.set(done, "");
        true
    })?;
    progress.finish();
    if args.json {
        let text = serde_json::to_string_pretty(&measured.result).map_err(Failure::work)?;
        say!("{text}");
    } else {
        say!("{}", measured.result.to_table().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
