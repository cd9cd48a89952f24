//! `facegrad verify`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::recognition::{
    Embedder, EmbedderError, ImageFiles, Images, NamedPoint, operating_points::ThresholdTarget,
};
use serde_json::json;

use crate::{
    arguments::{ModelArgs, file_to_read},
    failure::Failure,
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

/// Exit code for different people, where it is asked for.
const DIFFERENT: u8 = 3;

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let path = args.model.path()?;
    let (model, chosen) = args.model.load()?;
    let point = choose(&model.card.operating_points, args.at, &path)?;
    let names = [&args.a, &args.b].map(|image| image.display().to_string());
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
            "model": path,
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

/// The point `at`, or the only one there is.
fn choose<'a>(
    points: &'a [NamedPoint],
    at: Option<ThresholdTarget>,
    path: &Path,
) -> Result<&'a NamedPoint, Failure> {
    let model = path.display();
    let names: Vec<String> = points.iter().map(|point| point.target.to_string()).collect();
    let there_are = names.join(", ");
    match (at, points) {
        (_, []) => Err(Failure::input(format!(
            "{model} has no operating point, so no score means same or different; measure some with facegrad calibrate"
        ))),
        (Some(at), _) => points.iter().find(|point| point.target == at).ok_or_else(|| {
            Failure::input(format!(
                "{model} has no operating point {at}, only {there_are}; take one of these, or measure it with facegrad calibrate --at {at}"
            ))
        }),
        (None, [point]) => Ok(point),
        (None, _) => Err(Failure::input(format!(
            "{model} has several operating points, {there_are}; choose one with --at"
        ))),
    }
}

/// Refuses images of another size than `point` was measured on: they are hardly aligned in the same way.
fn check_sizes(images: &ImageFiles, point: &NamedPoint, size: [usize; 2]) -> Result<(), Failure> {
    let Some([height, width]) = point.image_size else { return Ok(()) };
    for index in 0..images.len() {
        let picture = images.load(index, size).map_err(unreadable)?;
        let [own_height, own_width] = picture.original_size();
        if [own_height, own_width] != [height, width] {
            return Err(Failure::input(format!(
                "{} has {own_height}x{own_width} pixels and {} was measured on images of {height}x{width}; align and crop it like those, or pass --any-size if it is",
                images.name(index),
                point.target
            )));
        }
    }
    Ok(())
}

fn unreadable(error: facegrad::faces::FaceError) -> Failure {
    Failure::input(format!("the image {error}"))
}
