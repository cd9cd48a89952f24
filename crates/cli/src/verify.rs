//! `facegrad verify`.

use std::{path::PathBuf, process::ExitCode};

use facegrad::recognition::{Embedder, EmbedderError, ImageFiles, Images, operating_points::ThresholdTarget};
use facegrad_files::name_of;
use serde_json::json;

use crate::{
    arguments::{ModelArgs, file_to_read},
    failure::Failure,
    points::{DIFFERENT, check_sizes, choose_for_pairs, unreadable},
    say,
};

/// Tell whether two images show the same person, by a model with operating points (`facegrad calibrate`).
#[derive(clap::Args)]
#[command(
    after_help = "Example: facegrad verify a.jpg b.jpg --model checkpoints/lfw-arcface --at far=1e-2\n\nExit codes: 0 decided, 1 failed, 2 wrong input; with --exit-code 0 same person, 3 different people."
)]
pub struct Args {
    /// An image of a face, aligned as those that the model was trained on.
    #[arg(value_parser = file_to_read())]
    a: PathBuf,
    /// Another one.
    #[arg(value_parser = file_to_read())]
    b: PathBuf,
    /// The operating point: far=<rate>, eer or accuracy; not needed if the model has only one.
    #[arg(long, value_name = "POINT")]
    at: Option<ThresholdTarget>,
    /// Accept images of another size than those the point was measured on: they are resized, and must be aligned
    /// to the same template.
    #[arg(long)]
    any_size: bool,
    /// End with exit code 3 if they are different people.
    #[arg(long)]
    exit_code: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let path = args.model.path()?;
    let (model, chosen) = args.model.load()?;
    let point = choose_for_pairs(&model.card.operating_points, args.at, &path)?;
    let names = [&args.a, &args.b].map(|image| name_of(image));
    let images = ImageFiles::new(names.iter().cloned().zip([args.a, args.b]));
    if !args.any_size {
        check_sizes(&images, point, model.card.preprocessing.size)?;
    }
    let embedder = Embedder::model(&model, images.len(), &chosen.description);
    let embedded = embedder.embed(&images, point.flip, &mut |_| true).map_err(|error| match error {
        EmbedderError::Image(error) => unreadable(error),
        error => error.into(),
    })?;
    let score = point.score_of(&embedded.rows, embedded.dim, names.clone())?;
    let same = point.accepts(score);
    if args.json {
        let facts = json!({
            "same": same,
            "score": score,
            "point": point,
            "images": names,
            "model": name_of(&path),
            "model_sha256": model.sha256,
            "backend": chosen.description,
        });
        say!("{}", serde_json::to_string_pretty(&facts)?);
    } else {
        say!("{}", if same { "same person" } else { "different people" });
        let (relation, by) = (if same { "not below" } else { "below" }, point.score);
        say!("score {score:.4} ({by}), {relation} the threshold {:.4} of {}", point.threshold, point.target);
        say!("{}", point.describe());
    }
    Ok(if args.exit_code && !same { DIFFERENT.into() } else { ExitCode::SUCCESS })
}
