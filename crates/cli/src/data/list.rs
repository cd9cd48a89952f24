//! `facegrad data list`.

use std::process::ExitCode;

use facegrad_datasets::{Card, CardPurpose, cards};
use facegrad_results::{Align, TextTable, numbers::thousands};

use crate::{failure::Failure, say};

#[derive(clap::Args)]
pub struct Args {
    /// Print all cards as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.json {
        say!("{}", serde_json::to_string_pretty(cards())?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", table(cards()).to_string().trim_end());
    say!("\nfacegrad data show NAME: the whole card; facegrad data fetch NAME: where it says fetch");
    Ok(ExitCode::SUCCESS)
}

fn table(cards: &[Card]) -> TextTable {
    let mut table =
        TextTable::new(&[Align::Left, Align::Right, Align::Right, Align::Left, Align::Left, Align::Left]);
    table.row(["name", "identities", "images", "for", "get it by", "licence"]);
    for card in cards {
        let count = card.counts.first().cloned().unwrap_or_default();
        let number = |number: Option<u64>| number.map(thousands).unwrap_or_else(|| "-".into());
        let uses: Vec<&str> = card.uses.iter().map(short).collect();
        let way = if card.is_fetchable() { "fetch" } else { "asking" };
        table.row([
            card.name.clone(),
            number(count.identities),
            number(count.images),
            uses.join(", "),
            if card.name == "synthetic" { "drawing" } else { way }.into(),
            card.licence.clone(),
        ]);
    }
    table
}

fn short(purpose: &CardPurpose) -> &'static str {
    match purpose {
        CardPurpose::Training => "training",
        CardPurpose::Verification => "1:1",
        CardPurpose::Identification => "1:N",
    }
}
