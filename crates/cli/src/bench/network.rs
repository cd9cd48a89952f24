//! `facegrad bench train` and `facegrad bench infer`.

use facegrad::Backend;
use facegrad_bench::{NetworkTask, NetworkTiming};
use facegrad_kernels::profile;
use serde_json::{Value, json};

use super::{
    InferArgs, TrainArgs, backbone, can_train,
    output::{self, Facts, billions, percent},
};
use crate::failure::Failure;

pub fn train(args: TrainArgs) -> Result<(), Failure> {
    let (images, length) = (args.common.apply()?, args.length.get()?);
    let backbone = backbone(&args.backbone, images.size)?;
    can_train(images)?;
    if args.classes < 2 {
        return Err(Failure::input("--classes must be at least 2"));
    }
    let chosen = args.device.choose()?;
    let task = NetworkTask { backbone, images, length, profile: args.profile, chosen };
    let timing = task.train(args.classes)?;
    let mut facts = Facts::new("train", images, Some(&task.backbone));
    facts.add("classes", args.classes);
    facts.add("loss", timing.loss);
    tell(facts, &task, &timing, args.common.json)
}

pub fn infer(args: InferArgs) -> Result<(), Failure> {
    let (images, length) = (args.common.apply()?, args.length.get()?);
    let backbone = backbone(&args.backbone, images.size)?;
    let chosen = args.device.choose()?;
    let task = NetworkTask { backbone, images, length, profile: args.profile, chosen };
    let timing = task.infer()?;
    let facts = Facts::new("infer", images, Some(&task.backbone));
    tell(facts, &task, &timing, args.common.json)
}

fn tell(mut facts: Facts, task: &NetworkTask, timing: &NetworkTiming, json: bool) -> Result<(), Failure> {
    let (step, achieved, peak) = (timing.step(), timing.operations_per_second(), timing.peak);
    let speeds: Vec<f64> = timing.seconds.iter().map(|seconds| timing.batch as f64 / seconds).collect();
    let device = match task.chosen.backend {
        Backend::Wgpu => task.chosen.description.clone(),
        backend => format!("{backend} on {}", output::processor()),
    };
    facts.add("backend", task.chosen.backend.as_str());
    facts.line("backend", device);
    facts.add("steps", timing.seconds.len());
    facts.add_speed(timing.images_per_second(), &speeds, "steps");
    facts.add("step_ms", step * 1e3);
    facts.line("step", format!("{:.1} ms", step * 1e3));
    facts.add("gflops", achieved / 1e9);
    facts.add("peak_gflops", peak.map(|peak| peak / 1e9));
    facts.add("share_of_peak", peak.map(|peak| achieved / peak));
    let of_peak = peak.map(|peak| {
        let share = percent(achieved / peak);
        format!(", {share} of the {} that a large matrix product reaches", billions(peak))
    });
    facts.line("rate", format!("{} GFLOP/s{}", billions(achieved), of_peak.unwrap_or_default()));
    facts.add("peak_memory_bytes", timing.peak_memory);
    if let Some(memory) = timing.peak_memory {
        facts.line("memory", format!("{:.0} MiB at most", memory as f64 / (1 << 20) as f64));
    }
    if let Some(profile) = &timing.profile {
        facts.add("profile", profile.iter().map(|entry| entry_json(entry, peak)).collect::<Value>());
        facts.table(output::profile_table(profile));
    }
    facts.print(json)
}

fn entry_json(entry: &profile::Entry, peak: Option<f64>) -> Value {
    let seconds = entry.time.as_secs_f64();
    let rate = |amount: u64| (amount > 0 && seconds > 0.0).then(|| amount as f64 / seconds);
    let operations = rate(entry.work.operations);
    json!({
        "phase": output::phase(entry),
        "operator": output::operator(entry),
        "count": entry.count,
        "ms": seconds * 1e3,
        "gflops": operations.map(|rate| rate / 1e9),
        "gigabytes_per_second": rate(entry.work.bytes).map(|rate| rate / 1e9),
        "share_of_peak": operations.zip(peak).map(|(rate, peak)| rate / peak),
    })
}
