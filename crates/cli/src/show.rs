//! `facegrad show`.

use std::{path::PathBuf, process::ExitCode};

use facegrad::embeddings::Gallery;
use facegrad::recognition::{EmbeddingModel, ModelFile};
use facegrad_files::name_of;
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use crate::{
    arguments::default_backend,
    calibrate,
    embedding_facts::{EmbeddingFacts, embedding_file},
    failure::Failure,
    gallery::{GalleryFacts, is_gallery_file},
    say,
};

#[derive(clap::Args)]
#[command(after_help = "Example: facegrad show checkpoints/lfw-arcface")]
pub struct Args {
    /// A run folder (its best checkpoint), a checkpoint folder, or a model file; or a gallery that
    /// `facegrad identify --save` wrote, or a file of embeddings.
    model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    if is_gallery_file(&args.model)
        && let Ok(gallery) = Gallery::open(&args.model)
    {
        let facts = GalleryFacts::of(&args.model, &gallery);
        return Ok(tell(args.json, &facts.to_json(), &facts.to_text()));
    }
    if let Some(file) = embedding_file(&args.model)? {
        let facts = EmbeddingFacts { path: &args.model, file: &file };
        return Ok(tell(args.json, &facts.to_json(), &facts.to_text()));
    }
    let file = ModelFile::find(&args.model)?;
    let chosen = facegrad::choose(default_backend(), None)?;
    let model = EmbeddingModel::load(&args.model, &chosen.device)?;
    let card = &model.card;
    if args.json {
        let facts = json!({ "model": name_of(file.path()), "sha256": model.sha256, "tensors_sha256": model.tensors_sha256, "card": card });
        say!("{}", serde_json::to_string_pretty(&facts)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = TextTable::new(&[Align::Left]);
    table.row(["model".into(), name_of(file.path())]);
    table.row(["SHA-256".into(), model.sha256.clone().unwrap_or_default()]);
    let dim = model.embedding_size();
    table.row(["backbone".into(), format!("{}, embeddings of {dim} numbers", card.backbone.kind())]);
    table.row(["images".into(), card.preprocessing.describe()]);
    table.row(["score".into(), card.scoring.to_string()]);
    table.row(["trained".into(), format!("{} steps on {} identities", card.step, card.identities)]);
    table.row(["data".into(), format!("SHA-256 {}", card.trained_on)]);
    say!("{}", table.to_string().trim_end());
    match &card.operating_points[..] {
        [] => say!("no operating points; facegrad calibrate measures some"),
        points => say!("\n{}", calibrate::to_text(points).trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints facts in one of their two forms.
fn tell(as_json: bool, json: &Value, text: &str) -> ExitCode {
    match as_json {
        true => say!("{json:#}"),
        false => say!("{text}"),
    }
    ExitCode::SUCCESS
}
