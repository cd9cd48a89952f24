//! Images from files to batches, alone and under training.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use facegrad_faces::{FaceSource, FolderConfig, SourceConfig};
use facegrad_loader::{Batch, LoaderConfig, LoaderError, Plan, SamplerConfig};
use facegrad_pictures::{AugmentationConfig, ImageFormat};
use facegrad_settings::{Override, Setting, apply_overrides, toml};
use facegrad_synthetic::{SyntheticConfig, write_folder};
use facegrad_training::Experiment;

use super::{
    Loader, Until, backbone, can_train, measure, median,
    network::Training,
    output::{Facts, memory, peak_memory, percent, processor, processor_seconds},
    seconds,
};
use crate::failure::Failure;

/// Rounds that a measurement is divided into.
const ROUNDS: usize = 5;
/// Identities of the synthetic faces.
const IDENTITIES: usize = 8;
/// The fewest synthetic faces.
const FACES: usize = 256;

pub fn run(args: Loader) -> Result<(), Failure> {
    let (size, batch) = (args.common.apply()?, args.common.batch);
    let round = seconds(args.seconds)?.div_f64(ROUNDS as f64);
    let kind = args.backbone.as_deref().map(|kind| backbone(kind, size)).transpose()?;
    if kind.is_some() {
        can_train(batch)?;
    } else if args.device.backend.is_some() || args.device.adapter.is_some() {
        return Err(Failure::input("--backend and --adapter have no effect without --backbone"));
    }
    let chosen = kind.as_ref().map(|_| args.device.choose(crate::default_backend())).transpose()?;
    // Kept until the end of the measurement.
    let written = tempfile::tempdir().map_err(|e| Failure::work(format!("no temporary folder: {e}")))?;
    let folder = match &args.images {
        Some(folder) => folder,
        None => {
            write_faces(written.path(), batch, size)?;
            written.path()
        }
    };
    let source = SourceConfig::from(FolderConfig { path: folder.into() });
    let opened = source.open().map_err(Failure::input)?;
    let source = opened.source;
    let data = match &args.images {
        Some(folder) => format!("{}: {}", folder.display(), opened.summary),
        None => format!("{} synthetic faces as JPEGs", source.len()),
    };

    let augmentation = augmentation(&args.overrides)?;
    let Alone { speeds, batches, memory, processor_seconds } =
        alone(&source, &augmentation, batch, size, round)?;
    let speed = median(&speeds);
    let threads = rayon::current_num_threads();
    let per_core = processor_seconds.map(|seconds| (batches * batch) as f64 / seconds);
    let mut facts = Facts::new("loader", &args.common, size, kind.as_ref());
    facts.add("data", &data);
    facts.line("data", data);
    facts.line("loader", format!("{threads} thread{}", if threads == 1 { "" } else { "s" }));
    if !args.overrides.is_empty() {
        facts.line("augmentation", args.overrides.join(", "));
    }
    facts.add("augmentation", &args.overrides);
    facts.add("steps", batches);
    facts.add_speed(speed, &speeds, "rounds");
    facts.add("images_per_core_second", per_core);
    if let Some(per_core) = per_core {
        facts.line("", format!("{per_core:.2} images for each second that a core works"));
    }
    facts.add("peak_memory_bytes", peak_memory());
    facts.add("memory_bytes_after_first_round", memory[0]);
    facts.add("memory_bytes_after_last_round", memory[1]);
    if let (Some(peak), [Some(first), Some(last)]) = (peak_memory(), memory) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let [peak, first, last] = [peak, first, last].map(mib);
        let steady = format!("{first:.1} MiB after the first round, {last:.1} after the last");
        facts.line("memory", format!("{peak:.1} MiB at most; {steady}"));
    }
    facts.add("step_ms", batch as f64 / speed * 1e3);
    if let Some((kind, chosen)) = kind.zip(chosen) {
        let classes = source.identities().len().max(2);
        let mut training = Training::new(kind, size, classes, &chosen)?;
        let rounds = train(&mut training, &source, &augmentation, batch, size, speed, round)?;
        let of = |value: fn(&[f64; 2]) -> f64| median(&rounds.iter().map(value).collect::<Vec<_>>());
        let (memory, loaded) = (of(|[memory, _]| *memory), of(|[_, loaded]| *loaded));
        let share = of(|[memory, loaded]| loaded / memory);
        facts.add("backend", chosen.backend.as_str());
        facts.add("training_images_per_second_from_memory", memory);
        facts.add("training_images_per_second_from_loader", loaded);
        facts.add("loader_share_of_memory", share);
        let device = format!("{} on {}", chosen.backend, processor());
        facts.line("training", format!("{memory:.2} images/s from memory, {device}"));
        let share = format!("{}, median of {ROUNDS} rounds", percent(share));
        facts.line("", format!("{loaded:.2} images/s from the loader: {share}"));
    }
    facts.print(args.common.json)
}

/// The augmentation that `--set` asks for.
fn augmentation(overrides: &[String]) -> Result<AugmentationConfig, Failure> {
    let section = "augmentation";
    let mut table = toml::Table::from_iter([(section.into(), toml::Table::new().into())]);
    for argument in overrides {
        let set: Override = argument.parse().map_err(Failure::input)?;
        if set.key().split('.').next() != Some(section) {
            return Err(Failure::input(format!(
                "--set {} has no effect on the loader alone: it takes keys of the augmentation, such as \
                 augmentation.blur",
                set.key()
            )));
        }
        apply_overrides(&mut table, &[set], &Experiment::schema()).map_err(Failure::input)?;
    }
    AugmentationConfig::read(&table[section], &section.into()).map_err(Failure::input)
}

/// What was measured of the loader with nothing else to do.
struct Alone {
    /// Images a second in each round.
    speeds: Vec<f64>,
    /// Batches of all rounds.
    batches: usize,
    /// Bytes that the process held after the first round and after the last, where the system tells.
    memory: [Option<u64>; 2],
    /// Seconds that cores worked in all rounds, where the system tells.
    processor_seconds: Option<f64>,
}

fn alone(
    source: &Arc<dyn FaceSource>,
    augmentation: &AugmentationConfig,
    batch: usize,
    size: [usize; 2],
    round: Duration,
) -> Result<Alone, Failure> {
    let mut loader = load(source, augmentation, batch, size)?;
    next(&mut loader)?;
    let mut alone = Alone { speeds: Vec::new(), batches: 0, memory: [None; 2], processor_seconds: None };
    let worked = processor_seconds();
    for number in 0..ROUNDS {
        let (begin, before) = (Instant::now(), alone.batches);
        while alone.batches == before || begin.elapsed() < round {
            next(&mut loader)?;
            alone.batches += 1;
        }
        alone.speeds.push(((alone.batches - before) * batch) as f64 / begin.elapsed().as_secs_f64());
        alone.memory[usize::from(number > 0)] = memory();
    }
    alone.processor_seconds = processor_seconds().zip(worked).map(|(now, before)| now - before);
    Ok(alone)
}

/// JPEGs of synthetic faces, enough for a batch.
fn write_faces(folder: &Path, batch: usize, [height, width]: [usize; 2]) -> Result<(), Failure> {
    let config = SyntheticConfig {
        identities: IDENTITIES,
        images: batch.max(FACES).div_ceil(IDENTITIES),
        size: height.max(width),
        ..SyntheticConfig::default()
    };
    let written = write_folder(&config, ImageFormat::Jpeg, folder, &mut |_, _| {});
    written.map(|_| ()).map_err(Failure::work)
}

fn load(
    source: &Arc<dyn FaceSource>,
    augmentation: &AugmentationConfig,
    batch: usize,
    size: [usize; 2],
) -> Result<facegrad_loader::Loader, Failure> {
    let plan = Plan { seed: 1, batch, size, start_step: 0, end_step: usize::MAX };
    let config = LoaderConfig { workers: rayon::current_num_threads(), ..LoaderConfig::default() };
    let (sampler, augmentation) = (SamplerConfig::default(), augmentation.clone());
    facegrad_loader::Loader::start(source.clone(), plan, &sampler, augmentation, config).map_err(failed)
}

fn next(loader: &mut facegrad_loader::Loader) -> Result<Batch, Failure> {
    loader.next().ok_or_else(|| Failure::work("the loader ended before its plan"))?.map_err(failed)
}

fn failed(error: LoaderError) -> Failure {
    facegrad_training::TrainError::from(error).into()
}

/// Images a second in training from memory and from a loader that alone gives `alone`, in turns.
fn train(
    training: &mut Training,
    source: &Arc<dyn FaceSource>,
    augmentation: &AugmentationConfig,
    batch: usize,
    size: [usize; 2],
    alone: f64,
    round: Duration,
) -> Result<Vec<[f64; 2]>, Failure> {
    let mut loader = load(source, augmentation, batch, size)?;
    let kept = next(&mut loader)?;
    let queue = LoaderConfig::default().queue;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        // The loader fills its queue and then rests: neither turn pays for what the other one uses.
        std::thread::sleep(Duration::from_secs_f64((queue * batch) as f64 / alone));
        let memory = turn(batch, round, || training.step(&kept.pixels, &kept.labels))?;
        let loaded = turn(batch, round, || {
            let batch = next(&mut loader)?;
            training.step(&batch.pixels, &batch.labels)
        })?;
        rounds.push([memory, loaded]);
    }
    Ok(rounds)
}

/// Images a second of steps with `batch` images each, after a warm-up of two.
fn turn(
    batch: usize,
    round: Duration,
    mut step: impl FnMut() -> Result<f64, Failure>,
) -> Result<f64, Failure> {
    let steps = measure(&Until::Time(round), || step().map(|_| ()))?;
    Ok((steps.len() * batch) as f64 / steps.iter().sum::<f64>())
}
