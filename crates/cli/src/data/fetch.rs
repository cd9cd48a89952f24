//! `facegrad data fetch`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad_datasets::{Card, CardFileResult, FetchOptions, FetchResult, FetchStep, fetch_card};
use facegrad_files::name_of;
use facegrad_results::numbers::thousands;
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::card::find;
use crate::{
    command_line,
    failure::{Failure, INTERRUPTED, stop_on_signal},
    progress::{self, Stages},
    say,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad data fetch mnist\n          facegrad data fetch our-faces.toml --to faces\n\nStopped by Ctrl-C or cut off, the same command goes on where it was. Sizes and SHA-256 are checked, and archives\ncannot write outside of the folder. Where everything came from is kept in the folder, in facegrad-fetch.json."
)]
pub struct Args {
    /// The name of a card (facegrad data list has them all), or a card of your own: a file that ends in .toml.
    card: String,
    /// The folder to fetch into; without it one with the name of the card.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Print what is there as JSON on standard output, and all else on standard error.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let card = find(&args.card)?;
    let folder = args.to.unwrap_or_else(|| PathBuf::from(&card.name));
    if card.is_fetchable() {
        head(&card, &folder, args.json);
    }
    let stop = stop_on_signal("this piece and saving")?;
    let mut stages = Stages::default();
    let result = fetch_card(&card, &folder, &FetchOptions::default(), &stop, &mut |step| match step {
        FetchStep::Downloading { file, done } => {
            stages.file(&file.name, done, file.bytes).set(done as usize, "");
        }
        FetchStep::Unpacking { file, done } => {
            let files = thousands(done.files);
            stages.file(&file.name, file.bytes, file.bytes).note(&format!("unpacking: {files} files"));
        }
    });
    drop(stages);
    match result {
        Ok(arrived) => {
            done(&card, &folder, &arrived, args.json);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.is_stop() => {
            let text = format!("{error}\ncontinue with: {}", command_line::typed());
            if args.json {
                crate::remark!("{text}");
                say!("{:#}", outcome(&card, &folder, "stopped", &[]));
            } else {
                say!("{text}");
            }
            Ok(INTERRUPTED.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// What will be fetched, and under which terms, before it is.
fn head(card: &Card, folder: &Path, is_json: bool) {
    let bytes = card.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let files = if card.files.len() == 1 { "file" } else { "files" };
    let text = format!(
        "{}: {} in {} {files}, into {}\nlicence: {}. {}\npeople: {}",
        card.title,
        HumanBytes(bytes),
        card.files.len(),
        folder.display(),
        card.licence,
        card.terms,
        card.people,
    );
    progress::head(is_json, &text);
}

/// What is there in the end.
fn done(card: &Card, folder: &Path, arrived: &[CardFileResult], is_json: bool) {
    if is_json {
        say!("{:#}", outcome(card, folder, "complete", arrived));
        return;
    }
    for file in arrived {
        let how = match file.how {
            FetchResult::AlreadyThere if file.unpacked.is_none() => "was there already".to_owned(),
            FetchResult::AlreadyThere => "the archive was there".to_owned(),
            FetchResult::Downloaded { resumed_at: 0 } => "fetched, SHA-256 right".to_owned(),
            FetchResult::Downloaded { resumed_at } => {
                format!("fetched from {} on, SHA-256 right", HumanBytes(resumed_at))
            }
        };
        let unpacked = match file.unpacked {
            Some(out) if out.folders > 0 => {
                format!("; unpacked: {} files in {} folders", thousands(out.files), thousands(out.folders))
            }
            Some(out) => format!("; unpacked: {}", HumanBytes(out.bytes)),
            None => String::new(),
        };
        say!("{}: {how}{unpacked}", file.path.display());
    }
    say!("how to read it: facegrad data show {}", card.name);
}

fn outcome(card: &Card, folder: &Path, outcome: &str, arrived: &[CardFileResult]) -> Value {
    let file = |file: &CardFileResult| {
        let resumed_at = match file.how {
            FetchResult::AlreadyThere => None,
            FetchResult::Downloaded { resumed_at } => Some(resumed_at),
        };
        let unpacked = file
            .unpacked
            .map(|out| json!({ "files": out.files, "folders": out.folders, "bytes": out.bytes }));
        json!({
            "path": name_of(&file.path), "downloaded": resumed_at.is_some(), "resumed_at": resumed_at, "unpacked": unpacked,
        })
    };
    let files: Vec<Value> = arrived.iter().map(file).collect();
    json!({ "outcome": outcome, "card": card.name, "licence": card.licence, "folder": name_of(folder), "files": files })
}
