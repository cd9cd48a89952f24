//! Images from files to batches, alone and under training.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use facegrad_faces::{
    AugmentationConfig, Batch, FaceSource, FolderConfig, ImageFormat, LoaderConfig, Plan, SamplerConfig,
    SourceConfig, SyntheticConfig, loader::LoaderError, write_folder,
};

use super::{
    Loader, Until, backbone, can_train, measure, median,
    network::Training,
    output::{Facts, percent, processor},
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

    let (speeds, batches) = alone(&source, batch, size, round)?;
    let speed = median(&speeds);
    let mut facts = Facts::new("loader", &args.common, size, kind.as_ref());
    facts.add("data", &data);
    facts.line("data", data);
    facts.line("loader", format!("{} threads", rayon::current_num_threads()));
    facts.add("steps", batches);
    facts.add_speed(speed, &speeds, "rounds");
    facts.add("step_ms", batch as f64 / speed * 1e3);
    if let Some((kind, chosen)) = kind.zip(chosen) {
        let classes = source.identities().len().max(2);
        let mut training = Training::new(kind, size, classes, &chosen)?;
        let rounds = train(&mut training, &source, batch, size, speed, round)?;
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

/// The speed of each round with nothing else to do, in images a second, and the batches of all of them.
fn alone(
    source: &Arc<dyn FaceSource>,
    batch: usize,
    size: [usize; 2],
    round: Duration,
) -> Result<(Vec<f64>, usize), Failure> {
    let mut loader = load(source, batch, size)?;
    next(&mut loader)?;
    let (mut speeds, mut batches) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let (begin, before) = (Instant::now(), batches);
        while batches == before || begin.elapsed() < round {
            next(&mut loader)?;
            batches += 1;
        }
        speeds.push(((batches - before) * batch) as f64 / begin.elapsed().as_secs_f64());
    }
    Ok((speeds, batches))
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
    batch: usize,
    size: [usize; 2],
) -> Result<facegrad_faces::Loader, Failure> {
    let plan = Plan { seed: 1, batch, size, start_step: 0, end_step: usize::MAX };
    let config = LoaderConfig { workers: rayon::current_num_threads(), ..LoaderConfig::default() };
    let (sampler, augmentation) = (SamplerConfig::default(), AugmentationConfig::default());
    facegrad_faces::Loader::start(source.clone(), plan, &sampler, augmentation, config).map_err(failed)
}

fn next(loader: &mut facegrad_faces::Loader) -> Result<Batch, Failure> {
    loader.next().ok_or_else(|| Failure::work("the loader ended before its plan"))?.map_err(failed)
}

fn failed(error: LoaderError) -> Failure {
    facegrad_training::TrainError::from(error).into()
}

/// Images a second in training from memory and from a loader that alone gives `alone`, in turns.
fn train(
    training: &mut Training,
    source: &Arc<dyn FaceSource>,
    batch: usize,
    size: [usize; 2],
    alone: f64,
    round: Duration,
) -> Result<Vec<[f64; 2]>, Failure> {
    let mut loader = load(source, batch, size)?;
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
