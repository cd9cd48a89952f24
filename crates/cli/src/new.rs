//! `facegrad new`.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::Chosen;
use facegrad::devices::{Adapter, AdapterKind, Backend, adapters};
use facegrad::faces::{FaceSource, SourceConfig, SubsetConfig};
use facegrad::loader::allowed_bad;
use facegrad::training::{Experiment, Preflight, Proposal, ProposalFacts};
use facegrad_audit::{SetSample, write_images};
use facegrad_results::numbers::thousands;

use crate::{
    arguments::default_backend,
    command_line::word,
    failure::{Failure, check_output, write_file},
    output, say,
    source::source_config,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad new my-faces\n          facegrad new faces.rec --out configs/mine.toml"
)]
pub struct Args {
    /// The faces: a folder with one folder of images a person, or a file of another kind that `facegrad train` reads.
    set: PathBuf,
    /// Keys of the set, as in the section data.train of a config.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The config to write; without it the name of the set with .toml, here.
    #[arg(long, value_name = "FILE.toml")]
    out: Option<PathBuf>,
    /// Write a config even if the faces do not look aligned.
    #[arg(long)]
    unaligned: bool,
    /// Replace a config that is there already.
    #[arg(long)]
    force: bool,
}

/// Images that are looked at.
const LOOKED_AT: usize = 2000;

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = source_config(&args.set, &args.overrides)?;
    let title = name_of(&args.set);
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{title}.toml")));
    let name = name_of(&out);
    // A run is a folder, whose name has fewer kinds of characters than names of files.
    let allowed = |c: char| if c.is_alphanumeric() || "-_. ".contains(c) { c } else { '-' };
    let run: String = name.chars().map(allowed).collect();
    let test_list = out.with_file_name(format!("{name}-test.csv"));
    let has_list = config.subset.exclude.is_some();
    let exclude_list =
        if has_list { out.with_file_name(format!("{name}-exclude.csv")) } else { test_list.clone() };
    let files = [&out, &test_list, &exclude_list];
    let lists = [&config.subset.keep, &config.subset.exclude];
    let read: Vec<&Path> = lists.into_iter().flatten().chain([&args.set]).map(PathBuf::as_path).collect();
    files.into_iter().try_for_each(|path| check_output("--out", path, &read))?;
    if let Some(there) = files.into_iter().find(|path| path.exists() && !args.force) {
        let there = there.display();
        return Err(Failure::input(format!(
            "{there} is there already; --force replaces it, and --out takes another name"
        )));
    }
    let opened = config.open()?;
    let source = opened.source.as_ref();
    let sample = SetSample::of(source, LOOKED_AT);
    let [height, width] = sample.size.ok_or_else(|| {
        Failure::input(format!(
            "none of {} images of {} can be read; facegrad data audit tells why",
            thousands(sample.looked_at),
            args.set.display()
        ))
    })?;
    say!(
        "{} images of {} people; {} of {} that were looked at are of {height}x{width} pixels",
        thousands(source.len()),
        thousands(source.identities().len()),
        thousands(sample.of_size),
        thousands(sample.looked_at - sample.unreadable)
    );
    if sample.unreadable > 0 {
        say!("{} of {} cannot be read", thousands(sample.unreadable), thousands(sample.looked_at));
    }
    let set = word(&args.set);
    if let Some(reason) = sample.unaligned().filter(|_| !args.unaligned) {
        let aligned = format!("{title}-aligned");
        say!("\nthe faces do not look aligned: {reason}. No config was written; first");
        let aligned = word(&aligned);
        say!("  facegrad align {set} {aligned} --detector-weights mtcnn");
        say!("  facegrad new {aligned}");
        say!("(--unaligned writes one all the same)");
        return Ok(ExitCode::SUCCESS);
    }
    let card = card();
    let has_card = card.is_some();
    let facts = ProposalFacts {
        name: &run,
        config: &config,
        source,
        size: [height, width],
        has_card,
        test_list: &test_list,
        exclude_list: &exclude_list,
    };
    let proposal = Proposal::of(&facts);
    let made: Vec<&PathBuf> = files.into_iter().filter(|path| !path.exists()).collect();
    let chosen = card.map_or_else(|| facegrad::choose(default_backend(), None), Ok)?;
    if !proposal.test.is_empty() {
        write_images(&proposal.test, source, &test_list)
            .map_err(|error| Failure::unwritable(&test_list, error))?;
        if has_list {
            write_left_out(&config, source, &proposal.test, &exclude_list)?;
        }
    }
    write_file(&out, proposal.config.as_bytes())?;
    // What was written is read as `train` will, so that what cannot work is known now, and does not stay.
    let read = Experiment::load(&out, &[]).map_err(Failure::from);
    let bad_share = read.as_ref().ok().map(|(experiment, _)| experiment.data.loader.max_bad_share);
    let mut preflight = read
        .and_then(|(experiment, _)| Ok(Preflight::of(experiment, &chosen)?))
        .inspect_err(|_| made.into_iter().for_each(|path| drop(fs::remove_file(path))))?;
    if !proposal.test.is_empty() {
        say!("{}: {} images of people for the test", test_list.display(), thousands(proposal.test.len()));
    }
    say!("{}: the config, to be read and changed", out.display());
    if let Some(time) = &preflight.time {
        say!("time     {time}");
    }
    if let Some(memory) = &preflight.memory {
        say!("memory   {memory}");
    }
    if let Some(share) = bad_share.filter(|share| sample.unreadable > allowed_bad(*share, sample.looked_at)) {
        let list = word(format!("{name}-exclude.csv"));
        preflight.notes.push(format!(
            "{} of {} images cannot be read, and train stops above data.loader.max_bad_share = {share}; `facegrad data audit {set} --exclude {list}` lists them, and `facegrad new {set} --set exclude={list}` leaves them out",
            thousands(sample.unreadable),
            thousands(sample.looked_at)
        ));
    }
    output::notes(&preflight.notes);
    say!("\nnext");
    let out = word(&out);
    let card = if has_card { " --backend wgpu" } else { "" };
    say!("  facegrad data audit {set} --report {}", word(format!("{name}-audit.html")));
    say!("  facegrad train {out} --preflight{card}");
    say!("  facegrad train {out}{card}");
    Ok(ExitCode::SUCCESS)
}

/// Writes the list of all images of a set that `source`, a part of it, has not, and of those of the `test`.
fn write_left_out(
    config: &SourceConfig,
    source: &dyn FaceSource,
    test: &[usize],
    path: &Path,
) -> Result<(), Failure> {
    let whole = SourceConfig { subset: SubsetConfig::default(), ..config.clone() }.open_any()?.source;
    let tested: HashSet<usize> = test.iter().copied().collect();
    let trained = (0..source.len()).filter(|image| !tested.contains(image));
    let trained: HashSet<String> = trained.map(|image| source.key(image)).collect();
    let left_out: Vec<usize> =
        (0..whole.len()).filter(|&image| !trained.contains(&whole.key(image))).collect();
    write_images(&left_out, whole.as_ref(), path).map_err(|error| Failure::unwritable(path, error))
}

/// The graphics card that would compute, if there is one.
fn card() -> Option<Chosen> {
    let is_card = |adapter: &Adapter| matches!(adapter.kind, AdapterKind::Discrete | AdapterKind::Virtual);
    let there = Backend::Wgpu.is_built_in() && adapters().iter().any(is_card);
    there.then(|| facegrad::choose(Backend::Wgpu, None).ok()).flatten()
}

/// The name of a file or folder without its ending, such as `faces` of `data/faces.rec`.
fn name_of(path: &Path) -> String {
    // `.` and `..` have a name only where they are.
    let path = path.canonicalize().unwrap_or_else(|_| path.into());
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    stem.map_or_else(|| "faces".into(), |stem| facegrad_files::name_of(Path::new(stem)))
}
