//! `facegrad data pairs`.

use std::{collections::HashSet, path::PathBuf, process::ExitCode};

use facegrad::faces::{FaceFolder, FolderConfig, folder::with_slashes};
use facegrad::verification::PairList;
use serde_json::json;

use crate::{command_line::word, failure::Failure, say};

#[derive(clap::Args)]
#[command(
    after_help = "Example: facegrad data pairs my-faces --folds 10 --seed 1 --out pairs.csv\n         \
                  facegrad eval checkpoints/quickstart --pairs pairs.csv --images my-faces"
)]
pub struct Args {
    /// The folder that holds one folder of images an identity.
    folder: PathBuf,
    /// Number of folds; no two share an identity.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    folds: u16,
    /// Genuine pairs in a fold, and as many impostor pairs.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_fold: u32,
    /// Decides which pairs are drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The list to write: lines `image1,image2,same,fold`, with paths relative to the folder.
    #[arg(long)]
    out: PathBuf,
    /// Print what the list holds as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { folder, folds, per_fold, seed, out, json } = args;
    let config = FolderConfig { path: folder.clone() };
    let faces = FaceFolder::open(&config)?;
    crate::output::notes(faces.notes());
    let labels: Vec<usize> = faces.labels().iter().map(|label| *label as usize).collect();
    let drawn = PairList::<usize>::generate(&labels, folds.into(), per_fold as usize, seed)?;
    if let Some(image) = drawn.images().iter().find(|image| with_slashes(faces.relative(**image)).is_none()) {
        let path = faces.path(*image);
        return Err(Failure::input(format!("the name of {} is not UTF-8; rename it", path.display())));
    }
    let list = drawn.rename(|image| with_slashes(faces.relative(image)).unwrap_or_default());
    list.write(&out)?;
    let people = list.people().iter().collect::<HashSet<_>>().len();
    let (pairs, genuine, impostor) = (list.pairs().len(), list.genuine(), list.impostor());
    let (images, of_images, of_people) = (list.images().len(), labels.len(), faces.identities().len());
    if json {
        let text = json!({
            "out": out, "folder": folder, "folds": folds, "pairs": pairs, "genuine": genuine, "impostor": impostor,
            "people": people, "people_in_folder": of_people, "images": images, "images_in_folder": of_images,
            "seed": seed, "sha256": list.sha256(),
        });
        say!("{text:#}");
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}: {pairs} pairs, {genuine} genuine and {impostor} impostor", out.display());
    say!("folds    {folds}, without common people");
    say!("people   {people} of {of_people}");
    say!("images   {images} of {of_images}");
    say!("seed     {seed}, SHA-256 {}", list.sha256());
    let [out, folder] = [&out, &folder].map(|path| path.to_string_lossy());
    say!("measure a model: facegrad eval MODEL --pairs {} --images {}", word(&out), word(&folder));
    Ok(ExitCode::SUCCESS)
}
