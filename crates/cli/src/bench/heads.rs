//! Heads alone: forward and backward with each number of classes, in a process of its own for each.
//!
//! What a process has held at most cannot be taken back, so the peak memory of a head is that of a process
//! which does nothing else.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use facegrad_losses::{CriterionConfig, HeadConfig, composed};
use facegrad_results::{Align, TextTable};
use facegrad_settings::nearest;
use facegrad_training::LoneHead;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Heads, median, output};
use crate::{failure::Failure, progress::Progress, say};

/// The head that the others are measured against.
const BASELINE: &str = "softmax";

/// One head with one number of classes, in one process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measured {
    /// Median of a forward and a backward pass, in seconds.
    seconds: f64,
    /// The most memory held beside what the process had before it built the head, in bytes.
    memory: Option<u64>,
}

pub fn run(args: Heads) -> Result<(), Failure> {
    args.common.apply()?;
    let kinds = kinds(&args)?;
    for classes in &args.classes {
        if !(2..=10_000_000).contains(classes) {
            return Err(Failure::input(format!("--classes has {classes}; it must be from 2 to 10000000")));
        }
    }
    if args.embedding == 0 || args.rounds == 0 || args.passes == 0 {
        return Err(Failure::input("--embedding, --rounds and --passes must be at least 1"));
    }
    if args.alone {
        let (kind, classes) = (kinds[0], args.classes[0]);
        let measured = measure(&args, kind, classes)?;
        say!("{}", serde_json::to_string(&measured).map_err(Failure::work)?);
        return Ok(());
    }
    let total = args.classes.len() * args.rounds * kinds.len();
    let mut progress = Progress::new("heads", 0, total);
    let mut done = 0;
    let mut results = Vec::new();
    for classes in &args.classes {
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            let mut measured = Vec::new();
            for kind in &kinds {
                progress.note(&format!("{kind} with {classes} classes"));
                measured.push(in_a_process(&args, kind, *classes)?);
                done += 1;
                progress.set(done, "");
            }
            rounds.push(measured);
        }
        results.push((*classes, rounds));
    }
    progress.finish();
    tell(&args, &kinds, &results)
}

/// The kinds to measure, the baseline first.
fn kinds(args: &Heads) -> Result<Vec<&'static str>, Failure> {
    let all = HeadConfig::kinds();
    if args.alone {
        return Ok(all.into_iter().filter(|kind| args.heads.iter().any(|head| head == kind)).collect());
    }
    // Of a loss without class weights the classes are no dimension.
    let with_classes = |kind: &&&str| matches!(HeadConfig::of_kind(kind), Some(HeadConfig::Classes(_)));
    let mut kinds: Vec<&'static str> = vec![BASELINE];
    match args.heads.is_empty() {
        true => kinds.extend(all.iter().filter(with_classes).filter(|kind| **kind != BASELINE)),
        false => {
            for head in &args.heads {
                let config = HeadConfig::of_kind(head).ok_or_else(|| {
                    let near =
                        nearest(head, all.iter().copied()).map(|near| format!(", did you mean {near}?"));
                    Failure::input(format!(
                        "--heads has {head}, not one of {}{}",
                        all.join(", "),
                        near.unwrap_or_default()
                    ))
                })?;
                if config.kind() != BASELINE {
                    kinds.push(config.kind());
                }
            }
        }
    }
    Ok(kinds)
}

/// Runs this program once more, for one head.
fn in_a_process(args: &Heads, kind: &str, classes: usize) -> Result<Measured, Failure> {
    let program = std::env::current_exe().map_err(Failure::work)?;
    let mut command = Command::new(program);
    command.args(["bench", "heads", "--alone", "--heads", kind]);
    for (name, value) in [
        ("--classes", classes),
        ("--batch", args.common.batch),
        ("--embedding", args.embedding),
        ("--passes", args.passes),
    ] {
        command.arg(name).arg(value.to_string());
    }
    for (name, value) in [
        ("--threads", args.common.threads.map(|threads| threads.to_string())),
        ("--isa", args.common.isa.clone()),
        ("--backend", args.device.backend.map(|backend| backend.to_string())),
        ("--adapter", args.device.adapter.clone()),
        ("--criterion", args.criterion.clone()),
    ] {
        if let Some(value) = value {
            command.arg(name).arg(value);
        }
    }
    if args.composed {
        command.arg("--composed");
    }
    let done = command.stderr(Stdio::inherit()).output().map_err(Failure::work)?;
    let failed = || Failure::work(format!("the process that measured {kind} with {classes} classes failed"));
    if !done.status.success() {
        return Err(failed());
    }
    serde_json::from_slice(&done.stdout).map_err(|_| failed())
}

/// Forward and backward passes in this process.
fn measure(args: &Heads, kind: &str, classes: usize) -> Result<Measured, Failure> {
    let config =
        HeadConfig::of_kind(kind).ok_or_else(|| Failure::input(format!("there is no head called {kind}")))?;
    let criterion = match &args.criterion {
        Some(kind) => Some(CriterionConfig::of_kind(kind).ok_or_else(|| {
            Failure::input(format!("--criterion is {kind}, not one of {}", CriterionConfig::KINDS.join(", ")))
        })?),
        None => config.criterion(),
    };
    let device = args.device.choose(crate::default_backend())?.device;
    let before = output::memory();
    let head = LoneHead::new(&config, criterion, classes, args.embedding, args.common.batch, &device);
    let head = head.map_err(Failure::input)?;
    let timed = || -> Result<f64, Failure> {
        let begin = Instant::now();
        head.pass().map_err(Failure::work)?;
        Ok(begin.elapsed().as_secs_f64())
    };
    let passes = || -> Result<Vec<f64>, Failure> {
        timed()?;
        (0..args.passes).map(|_| timed()).collect()
    };
    let seconds = if args.composed { composed(passes) } else { passes() }?;
    let memory = output::peak_memory().zip(before).map(|(peak, before)| peak.saturating_sub(before));
    Ok(Measured { seconds: median(&seconds), memory })
}

/// For each number of classes, the heads of each round.
type Results = [(usize, Vec<Vec<Measured>>)];

fn tell(args: &Heads, kinds: &[&str], results: &Results) -> Result<(), Failure> {
    let summary = |rounds: &[Vec<Measured>], i: usize| {
        let of =
            |value: &dyn Fn(&Vec<Measured>) -> f64| median(&rounds.iter().map(value).collect::<Vec<_>>());
        let seconds = of(&|round| round[i].seconds);
        // To the baseline of the same round, which had the machine in the same mood.
        let ratio = of(&|round| round[i].seconds / round[0].seconds);
        let memory = rounds.iter().filter_map(|round| round[i].memory).min();
        (seconds, ratio, memory)
    };
    if args.common.json {
        let mut rows = Vec::new();
        for (classes, rounds) in results {
            for (i, kind) in kinds.iter().enumerate() {
                let (seconds, ratio, memory) = summary(rounds, i);
                rows.push(json!({
                    "head": kind, "classes": classes, "ms": seconds * 1e3, "to_softmax": ratio,
                    "peak_memory_bytes": memory,
                }));
            }
        }
        let facts = json!({
            "task": "heads", "batch": args.common.batch, "embedding": args.embedding,
            "threads": rayon::current_num_threads(), "rounds": args.rounds, "composed": args.composed,
            "heads": rows,
        });
        say!("{}", serde_json::to_string_pretty(&facts).map_err(Failure::work)?);
        return Ok(());
    }
    let form = if args.composed { ", made of Burn's operations" } else { "" };
    say!(
        "heads: forward and backward, {} embeddings of length {}{form}; {}",
        args.common.batch,
        args.embedding,
        output::processor()
    );
    let mut columns = vec![Align::Left];
    columns.extend(results.iter().flat_map(|_| [Align::Right; 3]));
    let mut table = TextTable::new(&columns);
    let header = results.iter().flat_map(|(classes, _)| {
        [format!("{classes} classes: ms"), format!("to {BASELINE}"), "peak MiB".to_owned()]
    });
    table.row(std::iter::once("head".to_owned()).chain(header));
    for (i, kind) in kinds.iter().enumerate() {
        let cells = results.iter().flat_map(|(_, rounds)| {
            let (seconds, ratio, memory) = summary(rounds, i);
            let mebibytes = memory.map(|bytes| format!("{:.0}", bytes as f64 / (1 << 20) as f64));
            [format!("{:.2}", seconds * 1e3), format!("{ratio:.2}"), mebibytes.unwrap_or_default()]
        });
        table.row(std::iter::once((*kind).to_owned()).chain(cells));
    }
    say!("\n{}", table.to_string().trim_end());
    Ok(())
}
