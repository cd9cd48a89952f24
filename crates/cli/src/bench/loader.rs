//! `facegrad bench loader`.

use facegrad::devices::process;
use facegrad::faces::{FolderConfig, SourceConfig};
use facegrad::pictures::AugmentationConfig;
use facegrad::settings::{Override, Setting, apply_overrides, toml};
use facegrad::training::Experiment;
use facegrad_bench::{LoaderTask, TrainingTurn, median, write_faces};

use super::{
    LoaderArgs, backbone, can_train,
    output::{Facts, percent, processor},
    seconds,
};
use crate::failure::Failure;

pub fn run(args: LoaderArgs) -> Result<(), Failure> {
    let (images, time) = (args.common.apply()?, seconds(args.seconds)?);
    let kind = args.backbone.as_deref().map(|kind| backbone(kind, images.size)).transpose()?;
    if kind.is_some() {
        can_train(images)?;
    } else if args.device.backend.is_some() || args.device.adapter.is_some() {
        return Err(Failure::input("--backend and --adapter have no effect without --backbone"));
    }
    let chosen = kind.as_ref().map(|_| args.device.choose()).transpose()?;
    // Kept until the end of the measurement.
    let written = tempfile::tempdir().map_err(|e| Failure::work(format!("no temporary folder: {e}")))?;
    let folder = match &args.images {
        Some(folder) => folder,
        None => {
            write_faces(written.path(), images)?;
            written.path()
        }
    };
    let source = SourceConfig::from(FolderConfig { path: folder.into() });
    let opened = source.open()?;
    let source = opened.source;
    let data = match &args.images {
        Some(folder) => format!("{}: {}", folder.display(), opened.summary),
        None => format!("{} synthetic faces as JPEGs", source.len()),
    };

    let task = LoaderTask { source, augmentation: augmentation(&args.overrides)?, images, time };
    let timing = task.alone()?;
    let speed = timing.images_per_second();
    let threads = rayon::current_num_threads();
    let mut facts = Facts::new("loader", images, kind.as_ref());
    facts.add("data", &data);
    facts.line("data", data);
    facts.line("loader", format!("{threads} thread{}", if threads == 1 { "" } else { "s" }));
    if !args.overrides.is_empty() {
        facts.line("augmentation", args.overrides.join(", "));
    }
    facts.add("augmentation", &args.overrides);
    facts.add("steps", timing.batches);
    facts.add_speed(speed, &timing.speeds, "rounds");
    facts.add("images_per_core_second", timing.images_per_core_second);
    if let Some(per_core) = timing.images_per_core_second {
        facts.line("", format!("{per_core:.2} images for each second that a core works"));
    }
    let peak = process::peak_memory();
    facts.add("peak_memory_bytes", peak);
    facts.add("memory_bytes_after_first_round", timing.memory[0]);
    facts.add("memory_bytes_after_last_round", timing.memory[1]);
    if let (Some(peak), [Some(first), Some(last)]) = (peak, timing.memory) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let [peak, first, last] = [peak, first, last].map(mib);
        let steady = format!("{first:.1} MiB after the first round, {last:.1} after the last");
        facts.line("memory", format!("{peak:.1} MiB at most; {steady}"));
    }
    facts.add("step_ms", images.batch as f64 / speed * 1e3);
    if let Some((kind, chosen)) = kind.zip(chosen) {
        let turns = task.under_training(&kind, &chosen, speed)?;
        let of = |value: fn(&TrainingTurn) -> f64| median(&turns.iter().map(value).collect::<Vec<_>>());
        let (memory, loaded) = (of(|turn| turn.from_memory), of(|turn| turn.from_loader));
        let share = of(|turn| turn.from_loader / turn.from_memory);
        facts.add("backend", chosen.backend.as_str());
        facts.add("training_images_per_second_from_memory", memory);
        facts.add("training_images_per_second_from_loader", loaded);
        facts.add("loader_share_of_memory", share);
        let device = format!("{} on {}", chosen.backend, processor());
        facts.line("training", format!("{memory:.2} images/s from memory, {device}"));
        let share = format!("{}, median of {} rounds", percent(share), turns.len());
        facts.line("", format!("{loaded:.2} images/s from the loader: {share}"));
    }
    facts.print(args.common.json)
}

/// The augmentation that `--set` asks for.
fn augmentation(overrides: &[String]) -> Result<AugmentationConfig, Failure> {
    let section = "augmentation";
    let mut table = toml::Table::from_iter([(section.into(), toml::Table::new().into())]);
    for argument in overrides {
        let set: Override = argument.parse()?;
        if set.key().split('.').next() != Some(section) {
            return Err(Failure::input(format!(
                "--set {} has no effect on the loader alone: it takes keys of the augmentation, such as \
                 augmentation.blur",
                set.key()
            )));
        }
        apply_overrides(&mut table, &[set], &Experiment::schema())?;
    }
    Ok(AugmentationConfig::read(&table[section], &section.into())?)
}
