//! `facegrad eval`.

mod whitening;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::recognition::{
    Contestant, EmbeddingSource, ImageNeed, Measurement, OpenProtocol, ProtocolResult,
    evaluation::{self, GalleryOptions, PairedModels},
};
use facegrad_report::{Block, Page, PageSection, PairedTable, result_sections};
use facegrad_results::{Fact, ResultSheet, ResultTable, to_csv};
use serde_json::json;

use crate::{
    arguments::{BatchArgs, DeviceArgs},
    command_line,
    failure::{Failure, check_output, write_file},
    progress::counted,
    protocols::ProtocolArgs,
    say,
};
use whitening::WhiteningArgs;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  facegrad eval checkpoints/lfw-arcface --pairs lfw/pairs.txt --images lfw/images --report report.html
  facegrad eval checkpoints/run-a checkpoints/run-b --bin cfp_fp.bin --bin agedb_30.bin --report both.html
  facegrad eval faces.npz --protocol all_pairs
  facegrad eval checkpoints/quickstart        # the [[evaluation]] sections of the run")]
pub struct Args {
    /// Models: run folders (their best checkpoint), checkpoint folders or model files; or files of embeddings
    /// (`facegrad embed`). Several are compared.
    #[arg(required = true)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    protocols: ProtocolArgs,
    #[command(flatten)]
    whitening: WhiteningArgs,
    /// Rounds of the bootstrap over people, for intervals; 0 leaves it out.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    bootstrap: u32,
    /// Decides what the bootstrap draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also measure pairs by the procedure of another program, for comparison with published tables.
    #[arg(long, value_name = "PROGRAM", value_parser = ["insightface"])]
    compat: Option<String>,
    /// Write a page with all numbers, curves, the worst errors and maps of the embeddings: one HTML file that
    /// loads nothing.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// People on the maps of the page.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=100))]
    map_people: u16,
    /// Write a line a result, for spreadsheets.
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    batch: BatchArgs,
    /// Print JSON: the result, or a list of results where there are several.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let mut inputs: Vec<&Path> = args.models.iter().map(PathBuf::as_path).collect();
    inputs.extend(args.protocols.lists());
    for (option, path) in [("--report", &args.report), ("--csv", &args.csv)] {
        path.as_ref().map_or(Ok(()), |path| check_output(option, path, &inputs))?;
    }
    let chosen = args.device.choose()?;
    let open = |path: &PathBuf| EmbeddingSource::open(path, &chosen.device, &chosen.description);
    let subjects = args.models.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let whitening = args.whitening.fit()?;
    if let Some(whitening) = &whitening {
        subjects.iter().try_for_each(|subject| subject.refuse_fit_set(whitening))?;
    }
    let stored = subjects.iter().all(|subject| subject.is_stored());
    let wanted = if stored { ImageNeed::Names } else { ImageNeed::Pixels };
    if stored && args.protocols.sets_flip() {
        return Err(Failure::input(
            "--flip has no effect on stored embeddings, whose images and mirror images are fused already",
        ));
    }
    for (by, flip) in args.protocols.asked_flips()? {
        let other = subjects.iter().find_map(|subject| {
            let stored = subject.origin()?.flip;
            (stored != flip).then(|| (subject.name(), stored))
        });
        if let Some((name, stored)) = other {
            return Err(Failure::input(format!(
                "{by}: {name} was made with flip {stored}; measure it with that, or embed its images again with --flip {flip}"
            )));
        }
    }
    let configs = args.protocols.configs(&args.models[0], wanted)?;
    let protocols = configs
        .iter()
        .map(|config| Ok((config.name(), config.open(wanted)?)))
        .collect::<Result<Vec<(String, Box<dyn OpenProtocol>)>, Failure>>()?;
    if let Some(program) = &args.compat
        && !protocols.iter().any(|(_, protocol)| protocol.compares_pairs())
    {
        return Err(Failure::input(format!(
            "--compat {program} has no effect: none of these protocols compares a list of pairs"
        )));
    }
    let measurement = Measurement {
        bootstrap_rounds: args.bootstrap as usize,
        seed: args.seed,
        as_insightface: args.compat.is_some(),
    };
    let images: usize = protocols.iter().map(|(_, protocol)| protocol.images()).sum();
    let mut progress = counted(images * subjects.len());
    let mut contestants = Vec::new();
    for subject in &subjects {
        let embedder = subject.embedder(args.batch.size()).whitened(whitening.as_ref());
        let mut measured = Vec::new();
        for (name, protocol) in &protocols {
            let outcome = protocol.measure(&embedder, &measurement, &mut progress);
            measured.push(outcome.map_err(|error| error.of(name))?);
        }
        let card = subject.facts().into_iter().map(|(name, value)| Fact::new(name, value)).collect();
        contestants.push(Contestant { name: subject.name(), card, measured });
    }
    drop(progress);
    tell_apart(&mut contestants);
    let comparisons = if args.report.is_some() || !args.json {
        evaluation::comparisons(&protocols, &contestants, &measurement)
    } else {
        Vec::new()
    };
    for PairedModels { protocol, a, b, flips: [of_a, of_b], .. } in &comparisons {
        if of_a != of_b {
            crate::remark!(
                "note: {a} and {b} on {protocol}: the flip fusions are {of_a} and {of_b}, so that not only the models differ"
            );
        }
    }
    if let Some(path) = &args.report {
        let options = GalleryOptions { people: args.map_people.into(), ..GalleryOptions::default() };
        let sheets = evaluation::sheets(&protocols, &contestants, &options);
        let page = page(&args, &chosen.description, &contestants, &sheets, &comparisons)?;
        write_file(path, page.to_html().as_bytes())?;
    }
    let outcomes: Vec<(&str, &ProtocolResult)> = contestants
        .iter()
        .flat_map(|c| c.measured.iter().map(|measured| (c.name.as_str(), &measured.outcome)))
        .collect();
    if let Some(path) = &args.csv {
        let sheets: Vec<ResultSheet> = outcomes.iter().map(|(_, outcome)| outcome.sheet()).collect();
        write_file(path, to_csv(&sheets.iter().collect::<Vec<_>>()).as_bytes())?;
    }
    if args.json {
        // One result is one object, as it always was.
        let value = match &outcomes[..] {
            [(_, outcome)] => json!(outcome),
            several => {
                several.iter().map(|(model, outcome)| json!({ "model": model, "result": outcome })).collect()
            }
        };
        say!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(ExitCode::SUCCESS);
    }
    let several = contestants.len() > 1;
    let tables = outcomes.iter().map(|(model, outcome)| match several {
        true => format!("{model}\n{}", outcome.sheet().to_text()),
        false => outcome.sheet().to_text(),
    });
    let mut text = tables.collect::<Vec<_>>().join("\n");
    for PairedModels { protocol, a, b, outcome, .. } in &comparisons {
        let table = match outcome {
            Ok(comparison) => comparison.to_text(a, b),
            Err(error) => format!("{error}\n"),
        };
        text.push_str(&format!("\n{a} and {b} on {protocol}\n{table}"));
    }
    say!("{}", text.trim_end());
    if let Some(path) = &args.report {
        say!("report: {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The page of an evaluation.
fn page(
    args: &Args,
    backend: &str,
    contestants: &[Contestant],
    sheets: &[ResultSheet],
    comparisons: &[PairedModels],
) -> Result<Page, Failure> {
    let names: Vec<&str> = contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    let paired = comparisons.iter().filter_map(|PairedModels { protocol, a, b, outcome, .. }| {
        let (table, tests) = outcome.as_ref().ok()?.tables(a, b);
        let title = format!("Paired difference on {protocol}: {a} against {b}");
        Some(PairedTable { table: ResultTable { title, ..table }, tests })
    });
    let mut sections = result_sections(sheets, &paired.collect::<Vec<_>>());
    let version = env!("CARGO_PKG_VERSION");
    let run = vec![
        Fact::new("facegrad", version),
        Fact::new("backend", backend),
        Fact::new("bootstrap", format!("{} rounds, seed {}", args.bootstrap, args.seed)),
    ];
    let mut blocks = vec![Block::Facts(String::new(), run), Block::Command(command_line::typed())];
    let cards = contestants
        .iter()
        .map(|contestant| Block::Facts(format!("Model card: {}", contestant.name), contestant.card.clone()));
    blocks.extend(cards);
    sections.push(PageSection { title: "Reproducing this".into(), blocks });
    let title = format!("Evaluation of {}", names.join(", "));
    let facts = vec![format!("facegrad {version}"), backend.to_owned()];
    Ok(Page { title, facts, sections, ..Page::default() })
}

/// Gives models of one name a number each.
fn tell_apart(contestants: &mut [Contestant]) {
    let names: Vec<String> = contestants.iter().map(|contestant| contestant.name.clone()).collect();
    for (i, contestant) in contestants.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == names[i]).count() > 1 {
            contestant.name = format!("{} ({})", names[i], i + 1);
        }
    }
}
