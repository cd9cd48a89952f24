//! `facegrad doctor`.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::devices::{Adapter, AdapterKind, Backend, adapters, choose, machine, process};
use facegrad_bench::MachineSpeed;
use facegrad_files::name_of;
use facegrad_kernels::simd::{self, Isa};
use facegrad_results::{
    Align, TextTable,
    numbers::{bytes, thousands},
};
use serde_json::json;

use crate::{
    arguments::{DeviceArgs, default_backend},
    bench::{billions, word_of},
    failure::Failure,
    output, say, version,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad doctor\n          facegrad doctor --json > doctor.json\n          facegrad doctor --backend wgpu"
)]
pub struct Args {
    /// Leave out the measurement of speed, which takes about five seconds.
    #[arg(long)]
    no_speed: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Room that a run with its checkpoints hardly does without, in bytes.
const LITTLE_DISK: u64 = 1 << 30;
/// Memory that a training of a small network with the usual batch takes, in bytes.
const LITTLE_MEMORY: u64 = 2 << 30;
/// Open files that sets of many shards and a checkpoint take.
const FEW_FILES: u64 = 1024;
/// What a second thread should add at least, as a share of what the first does.
const POOR_THREADS: f64 = 0.6;

/// What there is on this machine.
struct Machine {
    system: String,
    processor: String,
    threads: usize,
    isa: Isa,
    memory: Option<u64>,
    available: Option<u64>,
    /// Folders of which the room counts, each with what is free.
    disks: Vec<(PathBuf, Option<u64>)>,
    /// How many files may be open, now and at most.
    open_files: Option<(u64, u64)>,
    /// What each backend would run on, or why it would not.
    backends: Vec<(Backend, Result<String, String>)>,
    adapters: Vec<Adapter>,
    /// Variables of the environment that change what facegrad does, where they are set.
    environment: Vec<(&'static str, String)>,
}

/// Variables of the environment that change what facegrad does.
const VARIABLES: [&str; 5] =
    ["FACEGRAD_MODEL", "RAYON_NUM_THREADS", "MESA_VK_DEVICE_SELECT", "VK_DRIVER_FILES", "TMPDIR"];

impl Machine {
    fn look() -> Self {
        let folders = [PathBuf::from("."), env::temp_dir()];
        let set = |name: &'static str| Some((name, name_of(Path::new(&env::var_os(name)?))));
        let backends = Backend::ALL.iter().map(|backend| {
            let chosen = choose(*backend, None);
            (*backend, chosen.map(|chosen| chosen.description).map_err(|error| error.to_string()))
        });
        Self {
            system: machine::system(),
            processor: machine::processor().unwrap_or_else(|| env::consts::ARCH.into()),
            threads: rayon::current_num_threads(),
            isa: simd::isa(),
            memory: machine::memory(),
            available: process::available_memory(),
            disks: folders
                .into_iter()
                .map(|path| (path.clone(), facegrad_files::free_space(&path)))
                .collect(),
            open_files: facegrad_files::open_file_limits(),
            backends: backends.collect(),
            adapters: adapters(),
            environment: VARIABLES.into_iter().filter_map(set).collect(),
        }
    }

    /// What may stand in somebody's way here.
    fn notes(&self, speed: Option<&MachineSpeed>) -> Vec<String> {
        let mut notes = Vec::new();
        if self.isa == Isa::Portable {
            notes.push(
                "the processor has none of the vector instructions that facegrad's kernels are written for \
                 (AVX2 with FMA, AVX-512, Neon); training takes several times as long"
                    .into(),
            );
        }
        if let Some(available) = self.available.filter(|available| *available < LITTLE_MEMORY) {
            notes.push(format!(
                "{} of memory are available; facegrad train CONFIG --preflight tells what a run needs",
                bytes(available)
            ));
        }
        for (path, free) in &self.disks {
            if let Some(free) = free.filter(|free| *free < LITTLE_DISK) {
                notes.push(format!(
                    "{} are free in {}; a run with its checkpoints may need more",
                    bytes(free),
                    shown(path)
                ));
            }
        }
        if let Some((now, _)) = self.open_files.filter(|(now, _)| *now < FEW_FILES) {
            notes.push(format!(
                "{now} files may be open at a time, and the system allows no more; ulimit -n or its administrator can raise it"
            ));
        }
        if !self.adapters.is_empty()
            && self.adapters.iter().all(|adapter| adapter.kind == AdapterKind::Software)
        {
            notes.push("the only graphics adapter is a software rasteriser; on this machine the CPU backends are faster".into());
        }
        if let Some(speed) = speed.filter(|_| self.threads > 1) {
            let share = speed.of_threads() / self.threads as f64;
            if share < POOR_THREADS {
                notes.push(format!(
                    "{} threads are worth {:.1}; something else runs on this machine, or its cores are halves of cores",
                    self.threads,
                    speed.of_threads()
                ));
            }
        }
        notes
    }
}

/// A folder as a person would look for it.
fn shown(path: &Path) -> String {
    name_of(&std::path::absolute(path).unwrap_or_else(|_| path.into()))
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    // A device that was asked for and is not there is known before five seconds of measuring.
    let chosen = args.device.choose()?;
    let machine = Machine::look();
    let speed = if args.no_speed { None } else { Some(MachineSpeed::measure(chosen.clone())?) };
    let notes = machine.notes(speed.as_ref());
    if args.json {
        say!("{:#}", to_json(&machine, speed.as_ref(), &chosen.description, &notes));
    } else {
        say!("facegrad {}\n", version::long());
        say!("{}", to_table(&machine, speed.as_ref(), &chosen.description).to_string().trim_end());
        output::notes(&notes);
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(
    machine: &Machine,
    speed: Option<&MachineSpeed>,
    device: &str,
    notes: &[String],
) -> serde_json::Value {
    let disks: Vec<_> = machine
        .disks
        .iter()
        .map(|(path, free)| json!({ "folder": shown(path), "free_bytes": free }))
        .collect();
    let backends: Vec<_> = machine
        .backends
        .iter()
        .map(|(backend, state)| match state {
            Ok(device) => json!({ "backend": backend, "would_use": device }),
            Err(problem) => json!({ "backend": backend, "problem": problem }),
        })
        .collect();
    let environment: serde_json::Map<_, _> =
        machine.environment.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "facegrad": version::to_json(),
        "system": machine.system,
        "processor": machine.processor,
        "threads": machine.threads,
        "isa": word_of(machine.isa),
        "memory_bytes": machine.memory,
        "available_memory_bytes": machine.available,
        "disks": disks,
        "open_files": machine.open_files.map(|(now, most)| json!({ "now": now, "most": most })),
        "default_backend": default_backend(),
        "backends": backends,
        "adapters": machine.adapters,
        "environment": environment,
        "speed": speed.map(|speed| json!({
            "gflops": speed.all_threads.operations / 1e9,
            "gflops_of_one_thread": speed.one_thread / 1e9,
            "gigabytes_per_second": speed.all_threads.bytes / 1e9,
            "training": MachineSpeed::task(),
            "device": device,
            "images_per_second": speed.training.images_per_second(),
        })),
        "notes": notes,
    })
}

fn to_table(machine: &Machine, speed: Option<&MachineSpeed>, device: &str) -> TextTable {
    let mut table = TextTable::new(&[Align::Left]);
    let mut line = |name: &str, text: String| table.row([name.to_owned(), text]);
    line("system", machine.system.clone());
    line("processor", machine.processor.clone());
    let plural = if machine.threads == 1 { "" } else { "s" };
    line("", format!("{} thread{plural}, kernels with {}", machine.threads, machine.isa.name()));
    if let (Some(memory), Some(available)) = (machine.memory, machine.available) {
        line("memory", format!("{}, {} available", bytes(memory), bytes(available)));
    }
    for (path, free) in &machine.disks {
        if let Some(free) = free {
            line("disk", format!("{} free in {}", bytes(*free), shown(path)));
        }
    }
    if let Some((now, most)) = machine.open_files {
        line("open files", format!("{} at a time, {} at most", thousands(now), thousands(most)));
    }
    for (backend, state) in &machine.backends {
        let is_default = if *backend == default_backend() { ", the default" } else { "" };
        let state = state.as_ref().unwrap_or_else(|problem| problem);
        line("backend", format!("{backend}{is_default}: {state}"));
    }
    for adapter in &machine.adapters {
        line("adapter", format!("{adapter}  {}", adapter.driver).trim_end().to_owned());
    }
    for (name, value) in &machine.environment {
        line("environment", format!("{name}={value}"));
    }
    if let Some(speed) = speed {
        let MachineSpeed { one_thread, all_threads, training } = speed;
        line(
            "speed",
            format!(
                "{} GFLOP/s of a large matrix product, {} on one thread; {} GB/s of memory",
                billions(all_threads.operations),
                billions(*one_thread),
                billions(all_threads.bytes)
            ),
        );
        line(
            "",
            format!(
                "{:.0} images/s in training: {} on {device}",
                training.images_per_second(),
                MachineSpeed::task()
            ),
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            system: "Linux".into(),
            processor: "x".into(),
            threads: 2,
            isa: Isa::Avx2,
            memory: Some(16 << 30),
            available: Some(8 << 30),
            disks: vec![(".".into(), Some(20 << 30))],
            open_files: Some((65_536, 1 << 20)),
            backends: Vec::new(),
            adapters: Vec::new(),
            environment: Vec::new(),
        }
    }

    #[test]
    fn what_may_stand_in_the_way_is_told_and_nothing_else() {
        assert_eq!(machine().notes(None), [""; 0]);
        let poor = Machine {
            isa: Isa::Portable,
            available: Some(1 << 30),
            disks: vec![("/data".into(), Some(100 << 20)), ("/".into(), None)],
            open_files: Some((64, 64)),
            ..machine()
        };
        let notes = poor.notes(None);
        let begins =
            ["the processor has none", "1.0 GiB of memory", "100 MiB are free in /data", "64 files may"];
        assert_eq!(notes.len(), begins.len(), "{notes:?}");
        for (note, begin) in notes.iter().zip(begins) {
            assert!(note.starts_with(begin), "{note}");
        }
    }
}
