//! Training and embedding with images already in memory.

use std::time::{Duration, Instant};

use facegrad_backbones::BackboneConfig;
use facegrad_devices::{Backend, Chosen};
use facegrad_kernels::{peak, profile};
use facegrad_losses::Progress;
use facegrad_recognition::{EmbeddingModel, ModelCard, Preprocessing};
use facegrad_training::{Experiment, Learner};
use serde_json::{Value, json};

use super::{
    Infer, Train, backbone, can_train, measure, median, noise,
    output::{self, Facts, billions, percent},
};
use crate::failure::Failure;

/// Time to measure a peak of the machine.
pub const PEAK_TIME: Duration = Duration::from_millis(500);

/// A model in training, as `facegrad train` trains it, with all keys at their defaults.
pub struct Training {
    learner: Learner,
    step: usize,
}

impl Training {
    pub fn new(
        backbone: BackboneConfig,
        size: [usize; 2],
        classes: usize,
        chosen: &Chosen,
    ) -> Result<Self, Failure> {
        let mut experiment = Experiment { backbone, ..Experiment::default() };
        experiment.data.size = size;
        let learner = Learner::new(&experiment, classes, &chosen.device)?;
        Ok(Self { learner, step: 0 })
    }

    /// One step, as early in a long run as it is; gives the loss.
    pub fn step(&mut self, pixels: &[u8], labels: &[usize]) -> Result<f64, Failure> {
        let progress = Progress { step: self.step, total: 1_000_000 };
        self.step += 1;
        let stepped = self.learner.step(progress, false, pixels, labels);
        stepped.map(|stepped| stepped.loss).map_err(Failure::work)
    }
}

pub fn train(args: Train) -> Result<(), Failure> {
    let (size, until) = (args.common.apply()?, args.length.until()?);
    let backbone = backbone(&args.backbone, size)?;
    can_train(args.common.batch)?;
    if args.classes < 2 {
        return Err(Failure::input("--classes must be at least 2"));
    }
    let chosen = args.device.choose(crate::default_backend())?;
    let batch = args.common.batch;
    let pixels = noise(batch, size);
    let labels: Vec<usize> = (0..batch).map(|image| image % args.classes).collect();
    let mut training = Training::new(backbone.clone(), size, args.classes, &chosen)?;
    let mut loss = f64::NAN;
    let mut step = || {
        loss = training.step(&pixels, &labels)?;
        Ok(())
    };
    let seconds = measure(&until, &mut step)?;
    let profile = args.profile.then(|| profiled(&mut step)).transpose()?;
    // The backward pass takes a product for the gradient of the input and one for that of the weight.
    let operations = 3.0 * forward_operations(&backbone, size);
    let mut facts = Facts::new("train", &args.common, size, Some(&backbone));
    facts.add("classes", args.classes);
    facts.add("loss", loss);
    tell(facts, &chosen, batch, operations, &seconds, profile, args.common.json)
}

pub fn infer(args: Infer) -> Result<(), Failure> {
    let (size, until) = (args.common.apply()?, args.length.until()?);
    let backbone = backbone(&args.backbone, size)?;
    let chosen = args.device.choose(crate::default_backend())?;
    let batch = args.common.batch;
    let card = ModelCard {
        backbone: backbone.clone(),
        preprocessing: Preprocessing::of_size(size),
        trained_on: String::new(),
        identities: 0,
        step: 0,
        scoring: Default::default(),
        operating_points: Vec::new(),
    };
    let model = EmbeddingModel::untrained(card, 1, &chosen.device).map_err(Failure::input)?;
    let pixels = noise(batch, size);
    let mut embed = || model.embed(&pixels).map(|_| ()).map_err(Failure::work);
    let seconds = measure(&until, &mut embed)?;
    let profile = args.profile.then(|| profiled(&mut embed)).transpose()?;
    let operations = forward_operations(&backbone, size);
    let facts = Facts::new("infer", &args.common, size, Some(&backbone));
    tell(facts, &chosen, batch, operations, &seconds, profile, args.common.json)
}

/// Floating-point operations of a forward pass on one image.
fn forward_operations(backbone: &BackboneConfig, size: [usize; 2]) -> f64 {
    // The network was built, so its cost exists.
    2.0 * backbone.cost(size).unwrap_or_default().multiply_adds as f64
}

/// The profile of one more step.
fn profiled(step: &mut impl FnMut() -> Result<(), Failure>) -> Result<Vec<profile::Entry>, Failure> {
    profile::start();
    let begin = Instant::now();
    let done = step();
    let profile = profile::stop(begin.elapsed());
    done.map(|()| profile)
}

/// Reports steps that took `seconds` each, with `operations` for each image.
fn tell(
    mut facts: Facts,
    chosen: &Chosen,
    batch: usize,
    operations: f64,
    seconds: &[f64],
    profile: Option<Vec<profile::Entry>>,
    json: bool,
) -> Result<(), Failure> {
    // Before the peak is measured, which takes memory of its own.
    let memory = output::peak_memory();
    let step = median(seconds);
    let speed = batch as f64 / step;
    let speeds: Vec<f64> = seconds.iter().map(|seconds| batch as f64 / seconds).collect();
    let achieved = speed * operations;
    // The processor's peak says nothing of a graphics card.
    let peak = (chosen.backend != Backend::Wgpu).then(|| peak::operations_per_second(PEAK_TIME));

    let device = match chosen.backend {
        Backend::Wgpu => chosen.description.clone(),
        backend => format!("{backend} on {}", output::processor()),
    };
    facts.add("backend", chosen.backend.as_str());
    facts.line("backend", device);
    facts.add("steps", seconds.len());
    facts.add_speed(speed, &speeds, "steps");
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
    facts.add("peak_memory_bytes", memory);
    if let Some(memory) = memory {
        facts.line("memory", format!("{:.0} MiB at most", memory as f64 / (1 << 20) as f64));
    }
    if let Some(profile) = &profile {
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
