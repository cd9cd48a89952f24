//! `facegrad bench`: the arguments and the output of what `facegrad_bench` measures.

mod heads;
mod loader;
mod network;
mod operators;
mod output;

pub use output::billions;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use facegrad::BackboneConfig;
use facegrad::settings::{Setting, toml};
use facegrad_bench::{ImageShape, Length};
use facegrad_kernels::simd::{self, Isa};

use crate::{
    arguments::{DeviceArgs, size},
    failure::Failure,
};

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples: facegrad bench train --backbone iresnet18 --batch 16 --profile\n          facegrad bench infer --backbone mobilefacenet --batch 32 --threads 2 --json\n          facegrad bench loader --images my-faces --backbone nano\n          facegrad bench loader --threads 1 --set augmentation.low_resolution=0.2\n          facegrad bench ops --backbone iresnet18 --batch 16 --plot roofline.svg\n          facegrad bench heads --batch 128 --classes 1000,10000 --heads arcface,cosface"
)]
pub enum Command {
    /// Steps of training on images in memory: forward, ArcFace, backward, optimizer.
    Train(TrainArgs),
    /// Embeddings of images in memory, as an evaluation computes them.
    Infer(InferArgs),
    /// Images decoded, augmented and put into batches; with --backbone also what training loses by it.
    Loader(LoaderArgs),
    /// Each head alone, forward and backward, beside plain softmax: time and peak memory over the number of classes.
    Heads(HeadsArgs),
    /// Each operator of a backbone alone, forward and backward, beside what the machine could do.
    Ops(OpsArgs),
}

/// What every task takes.
#[derive(clap::Args)]
struct CommonArgs {
    /// Images in a batch.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Height and width of the images in pixels, such as 112 or 112x96.
    #[arg(long, default_value = "112", value_parser = size)]
    size: [usize; 2],
    /// Threads that compute; without it as many as the processor has.
    #[arg(long)]
    threads: Option<usize>,
    /// Instructions for facegrad's own kernels: avx512, avx2, portable; without it the best there are.
    #[arg(long)]
    isa: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How long a task is measured.
#[derive(clap::Args)]
struct LengthArgs {
    /// Measure for so many seconds after the warm-up, but at least three steps.
    #[arg(long, default_value_t = 10.0, conflicts_with = "steps")]
    seconds: f64,
    /// Measure so many steps.
    #[arg(long)]
    steps: Option<usize>,
}

#[derive(clap::Args)]
pub struct TrainArgs {
    /// The network, such as iresnet18 or iresnet18,squeeze_excitation=true; `facegrad explain backbone` lists them.
    #[arg(long, value_name = "KIND")]
    backbone: String,
    /// Identities of the ArcFace head.
    #[arg(long, default_value_t = 1000)]
    classes: usize,
    /// Also tell where the time of one more step goes.
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    length: LengthArgs,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(clap::Args)]
pub struct InferArgs {
    /// The network, such as iresnet18 or iresnet18,squeeze_excitation=true; `facegrad explain backbone` lists them.
    #[arg(long, value_name = "KIND")]
    backbone: String,
    /// Also tell where the time of one more batch goes.
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    length: LengthArgs,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(clap::Args)]
pub struct LoaderArgs {
    /// A folder of images, one folder an identity; without it synthetic faces, written as JPEGs first.
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Set a key of the augmentation, such as augmentation.blur=0.2; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Also train this network from the loader and from memory in turns.
    #[arg(long, value_name = "KIND")]
    backbone: Option<String>,
    /// Seconds of each measurement, after the warm-up.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(clap::Args)]
pub struct OpsArgs {
    /// The network, such as iresnet18 or iresnet18,squeeze_excitation=true; `facegrad explain backbone` lists them.
    #[arg(long, value_name = "KIND")]
    backbone: String,
    /// Seconds for each operator.
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Also draw the operators below the roofline of the machine, as SVG.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(clap::Args)]
pub struct HeadsArgs {
    /// The heads, such as arcface,a_softmax; without it every one with class weights.
    #[arg(long, value_delimiter = ',')]
    heads: Vec<String>,
    /// Numbers of classes.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000, 100_000])]
    classes: Vec<usize>,
    /// Length of an embedding.
    #[arg(long, default_value_t = 512)]
    embedding: usize,
    /// The criterion, such as focal; without it that of each head's paper.
    #[arg(long)]
    criterion: Option<String>,
    /// Forward and backward passes of each measurement, after one to warm up.
    #[arg(long, default_value_t = 5)]
    passes: usize,
    /// Times that every head is measured, in turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Make the losses of Burn's operations, in place of facegrad's own.
    #[arg(long)]
    composed: bool,
    /// Measure one head in this process.
    #[arg(long, hide = true)]
    alone: bool,
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Train(args) => network::train(args),
        Command::Infer(args) => network::infer(args),
        Command::Loader(args) => loader::run(args),
        Command::Heads(args) => heads::run(args),
        Command::Ops(args) => operators::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
impl Command {
    pub fn size(&self) -> [usize; 2] {
        let common = match self {
            Self::Train(args) => &args.common,
            Self::Infer(args) => &args.common,
            Self::Loader(args) => &args.common,
            Self::Heads(args) => &args.common,
            Self::Ops(args) => &args.common,
        };
        common.size
    }
}

impl CommonArgs {
    /// Checks the batch, which is returned with the size, and sets threads and instructions for the process.
    fn apply(&self) -> Result<ImageShape, Failure> {
        if self.batch == 0 {
            return Err(Failure::input("--batch must be at least 1"));
        }
        if let Some(word) = &self.isa {
            let isa = Isa::ALL.iter().copied().find(|isa| word_of(*isa) == word);
            let words = || Isa::ALL.iter().rev().map(|isa| word_of(*isa)).collect::<Vec<_>>().join(", ");
            let isa =
                isa.ok_or_else(|| Failure::input(format!("--isa is {word}, not one of {}", words())))?;
            if isa > simd::detected() {
                let best = simd::detected().name();
                return Err(Failure::input(format!(
                    "this processor has no {}, its best is {best}",
                    isa.name()
                )));
            }
            simd::limit(isa);
        }
        if let Some(threads) = self.threads {
            if !(1..=1024).contains(&threads) {
                return Err(Failure::input("--threads must be from 1 to 1024"));
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build_global().map_err(|e| Failure::work(format!("cannot start {threads} threads: {e}")))?;
        }
        Ok(ImageShape { batch: self.batch, size: self.size })
    }
}

/// The word for `--isa` and in JSON.
pub fn word_of(isa: Isa) -> &'static str {
    match isa {
        Isa::Portable => "portable",
        Isa::Neon => "neon",
        Isa::Avx2 => "avx2",
        Isa::Avx512 => "avx512",
    }
}

fn seconds(seconds: f64) -> Result<Duration, Failure> {
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| Failure::input("--seconds must be more than 0"))
}

/// The backbone of `text`, a kind and perhaps keys of it, as in `iresnet18,squeeze_excitation=true`, if it takes images
/// of `size`.
fn backbone(text: &str, size: [usize; 2]) -> Result<BackboneConfig, Failure> {
    let (kind, keys) = text.split_once(',').unwrap_or((text, ""));
    if BackboneConfig::of_kind(kind).is_none() {
        let kinds = BackboneConfig::KINDS.join(", ");
        return Err(Failure::input(format!("--backbone is {kind}, not one of {kinds}")));
    }
    let table = format!("kind = \"{kind}\"\n{}", keys.replace(',', "\n")).parse();
    let table = table.map_err(|_| Failure::input(format!("--backbone is {text}, not KIND,KEY=VALUE,…")))?;
    let backbone = BackboneConfig::read(&toml::Value::Table(table), &"--backbone".into());
    let backbone = backbone.map_err(Failure::input)?;
    backbone.cost(size)?;
    Ok(backbone)
}

/// The kind of a backbone and those of its keys that are not as usual: the reverse of [`backbone`].
fn in_words(backbone: &BackboneConfig) -> String {
    let keys = |backbone: &BackboneConfig| match backbone.write() {
        Some(toml::Value::Table(table)) => table,
        _ => toml::Table::new(),
    };
    let usual = BackboneConfig::of_kind(backbone.kind()).map(|usual| keys(&usual)).unwrap_or_default();
    let others = keys(backbone).into_iter().filter(|(key, value)| usual.get(key) != Some(value));
    others.fold(backbone.kind().into(), |text: String, (key, value)| format!("{text},{key}={value}"))
}

/// One image has no statistics to normalise by.
fn can_train(images: ImageShape) -> Result<(), Failure> {
    if images.batch < 2 {
        return Err(Failure::input("--batch must be at least 2 to train"));
    }
    Ok(())
}

impl LengthArgs {
    fn get(&self) -> Result<Length, Failure> {
        match self.steps {
            Some(0) => Err(Failure::input("--steps must be at least 1")),
            Some(steps) => Ok(Length::Steps(steps)),
            None => seconds(self.seconds).map(Length::Time),
        }
    }
}
