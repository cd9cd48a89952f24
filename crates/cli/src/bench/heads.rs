//! `facegrad bench heads`: each head with each number of classes in a process of its own, so that its peak memory is
//! that of a process which does nothing else.

use std::process::{Command, Stdio};

use facegrad::losses::{CriterionConfig, HeadConfig};
use facegrad::settings::nearest;
use facegrad_bench::{HeadComparison, HeadCost, HeadTask};
use facegrad_results::{Align, TextTable};
use serde_json::json;

use super::{HeadsArgs, output};
use crate::{failure::Failure, progress::Progress, say};

/// The head that the others are measured against.
const BASELINE: &str = "softmax";

pub fn run(args: HeadsArgs) -> Result<(), Failure> {
    args.common.apply()?;
    for classes in &args.classes {
        if !(2..=10_000_000).contains(classes) {
            return Err(Failure::input(format!("--classes has {classes}; it must be from 2 to 10000000")));
        }
    }
    if args.embedding == 0 || args.rounds == 0 || args.passes == 0 {
        return Err(Failure::input("--embedding, --rounds and --passes must be at least 1"));
    }
    if args.alone {
        let head = head(&args.heads[0])?;
        let cost = task(&args, head)?.measure(&args.device.choose()?.device)?;
        say!("{}", serde_json::to_string(&cost)?);
        return Ok(());
    }
    let kinds = kinds(&args)?;
    let mut progress = Progress::new("heads", 0, args.classes.len() * args.rounds * kinds.len());
    let mut done = 0;
    let compared = HeadComparison::new(kinds, args.classes.clone(), args.rounds, &mut |kind, classes| {
        progress.note(&format!("{kind} with {classes} classes"));
        let cost = in_a_process(&args, kind, classes)?;
        done += 1;
        progress.set(done, "");
        Ok::<_, Failure>(cost)
    })?;
    progress.finish();
    tell(&args, &compared)
}

/// The head called `kind`.
fn head(kind: &str) -> Result<HeadConfig, Failure> {
    HeadConfig::of_kind(kind).ok_or_else(|| {
        let all = HeadConfig::kinds();
        let near = nearest(kind, all.iter().copied()).map(|near| format!(", did you mean {near}?"));
        Failure::input(format!(
            "--heads has {kind}, not one of {}{}",
            all.join(", "),
            near.unwrap_or_default()
        ))
    })
}

/// The kinds to measure, the baseline first.
fn kinds(args: &HeadsArgs) -> Result<Vec<&'static str>, Failure> {
    let kinds: Vec<&'static str> = if args.heads.is_empty() {
        // Of a loss without class weights the classes are no dimension.
        let with_classes = |kind: &&str| matches!(HeadConfig::of_kind(kind), Some(HeadConfig::Classes(_)));
        HeadConfig::kinds().into_iter().filter(with_classes).collect()
    } else {
        args.heads.iter().map(|kind| Ok(head(kind)?.kind())).collect::<Result<_, Failure>>()?
    };
    Ok(std::iter::once(BASELINE).chain(kinds.into_iter().filter(|kind| *kind != BASELINE)).collect())
}

/// What is measured of `head` in this process.
fn task(args: &HeadsArgs, head: HeadConfig) -> Result<HeadTask, Failure> {
    let criterion = match &args.criterion {
        Some(kind) => Some(CriterionConfig::of_kind(kind).ok_or_else(|| {
            Failure::input(format!("--criterion is {kind}, not one of {}", CriterionConfig::KINDS.join(", ")))
        })?),
        None => head.criterion(),
    };
    Ok(HeadTask {
        head,
        criterion: criterion.unwrap_or_default(),
        classes: args.classes[0],
        embedding: args.embedding,
        batch: args.common.batch,
        passes: args.passes,
        composed: args.composed,
    })
}

/// Runs this program once more, for one head.
fn in_a_process(args: &HeadsArgs, kind: &str, classes: usize) -> Result<HeadCost, Failure> {
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

fn tell(args: &HeadsArgs, compared: &HeadComparison) -> Result<(), Failure> {
    let HeadComparison { kinds, classes, .. } = compared;
    if args.common.json {
        let mut rows = Vec::new();
        for (c, classes) in classes.iter().enumerate() {
            for (i, kind) in kinds.iter().enumerate() {
                let summary = compared.summary(i, c);
                rows.push(json!({
                    "head": kind, "classes": classes, "ms": summary.seconds * 1e3, "to_softmax": summary.ratio,
                    "peak_memory_bytes": summary.memory,
                }));
            }
        }
        let facts = json!({
            "task": "heads", "batch": args.common.batch, "embedding": args.embedding,
            "threads": rayon::current_num_threads(), "rounds": args.rounds, "composed": args.composed,
            "heads": rows,
        });
        say!("{}", serde_json::to_string_pretty(&facts)?);
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
    columns.extend(classes.iter().flat_map(|_| [Align::Right; 3]));
    let mut table = TextTable::new(&columns);
    let header = classes.iter().flat_map(|classes| {
        [format!("{classes} classes: ms"), format!("to {BASELINE}"), "peak MiB".to_owned()]
    });
    table.row(std::iter::once("head".to_owned()).chain(header));
    for (i, kind) in kinds.iter().enumerate() {
        let cells = (0..classes.len()).flat_map(|c| {
            let summary = compared.summary(i, c);
            let mebibytes = summary.memory.map(|bytes| format!("{:.0}", bytes as f64 / (1 << 20) as f64));
            let times = [format!("{:.2}", summary.seconds * 1e3), format!("{:.2}", summary.ratio)];
            times.into_iter().chain([mebibytes.unwrap_or_default()])
        });
        table.row(std::iter::once((*kind).to_owned()).chain(cells));
    }
    say!("\n{}", table.to_string().trim_end());
    Ok(())
}
