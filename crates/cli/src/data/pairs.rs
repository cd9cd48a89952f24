//! `facegrad data pairs`.

use std::{collections::HashSet, path::PathBuf, process::ExitCode};

use facegrad::verification::PairList;
use facegrad_files::name_of;
use serde_json::json;

use crate::{
    command_line::word,
    failure::{Failure, check_output},
    say,
    source::source_config,
};

#[derive(clap::Args)]
#[command(
    after_help = "Example: facegrad data pairs my-faces --folds 10 --seed 1 --out pairs.csv\n         \
                  facegrad eval checkpoints/quickstart --pairs pairs.csv --images my-faces"
)]
pub struct Args {
    /// A set of any kind that can be trained on: a folder with one folder of images an identity, a list, a .rec file,
    /// tar shards, and so on.
    set: PathBuf,
    /// Number of folds; no two share an identity.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    folds: u16,
    /// Genuine pairs in a fold, and as many impostor pairs.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    per_fold: u32,
    /// Decides which pairs are drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Set a key of the set, such as min_images=2; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The list to write: lines `image1,image2,same,fold`, with paths relative to the folder, or what else the set calls
    /// its images.
    #[arg(long)]
    out: PathBuf,
    /// Print what the list holds as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { set, folds, per_fold, seed, overrides, out, json } = args;
    check_output("--out", &out, &[&set])?;
    let opened = source_config(&set, &overrides)?.open_images()?;
    crate::output::notes(&opened.summary.notes);
    if !opened.is_labelled() {
        return Err(Failure::input(format!(
            "{} does not say who is on its images, which pairs are drawn by; one folder of images a person is expected, or a set with labels",
            set.display()
        )));
    }
    let faces = opened.source;
    let labels: Vec<usize> = (0..faces.len()).map(|image| faces.label(image)).collect();
    let drawn = PairList::<usize>::generate(&labels, folds.into(), per_fold as usize, seed)?;
    let list = drawn.rename(|image| faces.key(image));
    list.write(&out)?;
    let people = list.people().iter().collect::<HashSet<_>>().len();
    let (pairs, genuine, impostor) = (list.pairs().len(), list.genuine(), list.impostor());
    let (images, of_images, of_people) = (list.images().len(), labels.len(), faces.identities().len());
    if json {
        let text = json!({
            "out": name_of(&out), "folder": name_of(&set), "folds": folds, "pairs": pairs, "genuine": genuine, "impostor": impostor,
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
    say!("measure a model: facegrad eval MODEL --pairs {} --images {}", word(&out), word(&set));
    Ok(ExitCode::SUCCESS)
}
