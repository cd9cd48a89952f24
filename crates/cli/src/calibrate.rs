//! `facegrad calibrate`.

use std::{path::PathBuf, process::ExitCode};

use facegrad::recognition::{
    Embedder, EmbeddingModel, EvaluationConfig, ImageNeed, Measurement, ModelFile, NamedPoint,
    operating_points::{self, Calibration, MeasuredRates, ThresholdTarget, TooFew, rate},
};
use facegrad::verification::Similarity;
use facegrad_files::name_of;
use facegrad_results::{Align, TextTable};
use serde_json::json;

use crate::{
    arguments::{BatchArgs, DeviceArgs},
    failure::{Failure, check_output},
    progress::counted,
    protocols::ProtocolArgs,
    say,
};

/// Measure thresholds for the scores of a model on pairs of images, or on searches in a gallery, and write them into
/// the model file.
///
/// Each point replaces the one of its name; others that the model has stay. `facegrad verify` uses those of pairs,
/// `facegrad identify` both: far=<rate> is how often two people are taken for one, fpir=<rate> how often a stranger is
/// given a name in a gallery of as many people as it was measured among.
#[derive(clap::Args)]
#[command(
    after_help = "Example: facegrad calibrate checkpoints/lfw-arcface --pairs lfw/pairs.txt --images lfw/images \\\n           --at far=1e-2,eer\n         facegrad calibrate checkpoints/lfw-arcface --gallery people --probes strangers --at fpir=1e-2"
)]
pub struct Args {
    /// A run folder (its best checkpoint), a checkpoint folder, or a model file.
    model: PathBuf,
    #[command(flatten)]
    protocols: ProtocolArgs,
    /// The points: far=<rate> for the lowest threshold whose false-accept rate is not above it, eer, accuracy; or, of a
    /// protocol identification, fpir=<rate> for a threshold that not more than this share of the probes of strangers
    /// reach. Default 1e-1, 1e-2 and 1e-3 of far, or of fpir.
    #[arg(long, value_name = "POINT,…", value_delimiter = ',')]
    at: Vec<ThresholdTarget>,
    /// Write a copy of the model with the points to this .safetensors file, and leave the model as it is.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    batch: BatchArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// The rates that are asked for without --at.
const RATES: [f64; 3] = [1e-1, 1e-2, 1e-3];

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    if let Some(out) = args.out.as_ref().filter(|out| out.extension().is_none_or(|e| e != "safetensors")) {
        let said = format!("--out {} does not end in .safetensors, as model files do", out.display());
        return Err(Failure::input(said));
    }
    args.out.as_ref().map_or(Ok(()), |out| check_output("--out", out, &[&args.model]))?;
    if let Some((i, twice)) = args.at.iter().enumerate().find(|(i, at)| args.at[..*i].contains(at)) {
        return Err(Failure::input(format!("--at names {twice} twice, at first and as number {}", i + 1)));
    }
    let mut file = ModelFile::find(&args.model)?;
    if args.out.is_none() {
        // Before minutes of measuring, and until the end.
        file.lock()?;
    }
    let mut configs = args.protocols.configs(&args.model, ImageNeed::Pixels)?;
    let [config] = &mut configs[..] else {
        let names: Vec<String> = configs.iter().map(|config| config.name()).collect();
        let said = format!(
            "thresholds come from one protocol, and there are {}: {}; name one with --protocol, --pairs, --bin or --gallery",
            names.len(),
            names.join(", ")
        );
        return Err(Failure::input(said));
    };
    if let EvaluationConfig::PairFile(pairs) = config
        && let Some(path) = pairs.threshold_pairs.take()
    {
        crate::remark!(
            "note: {} has no part in this: thresholds are chosen on the pairs that their error rates are measured on",
            path.display()
        );
    }
    let searches = matches!(config, EvaluationConfig::Identification(_));
    let targets = match &args.at[..] {
        [] if searches => RATES.map(ThresholdTarget::Fpir).to_vec(),
        [] => RATES.map(ThresholdTarget::Far).to_vec(),
        targets => targets.to_vec(),
    };
    let chosen = args.device.choose()?;
    let model = EmbeddingModel::load(file.path(), &chosen.device)?;
    if searches && model.card.scoring != Similarity::Cosine {
        return Err(Failure::input(format!(
            "{} compares embeddings by their {} distance, and a protocol identification by the cosine: facegrad identify could not use its thresholds; measure far=<rate> on pairs",
            args.model.display(),
            model.card.scoring
        )));
    }
    let (Some(sha256), Some(tensors_sha256)) = (&model.sha256, &model.tensors_sha256) else {
        return Err(Failure::input(format!("{} is not from a file", args.model.display())));
    };
    let protocol = config.open(ImageNeed::Pixels)?;
    for remark in protocol.remarks() {
        crate::remark!("note: {}: {remark}", config.name());
    }
    let embedder = Embedder::model(&model, args.batch.size(), &chosen.description);
    let images = protocol.images();
    let measured = protocol.measure(&embedder, &Measurement::default(), &mut counted(images));
    let measured = measured.map_err(|error| error.of(&config.name()))?;
    let Calibration { points, too_few } =
        operating_points::calibrate(&measured, tensors_sha256, &targets).map_err(Failure::input)?;
    if points.is_empty() {
        let reasons: Vec<String> = too_few.iter().map(TooFew::to_string).collect();
        let said = format!("no point can be measured on {}: {}", config.name(), reasons.join("; "));
        return Err(Failure::input(said));
    }
    let all = operating_points::merged(&model.card.operating_points, &points);
    let written = match &args.out {
        Some(out) => file.write_copy(out, &all, sha256).map(|()| out.as_path()),
        None => file.write_points(&all, sha256).map(|()| file.path()),
    }?;
    let kept: Vec<String> = all
        .iter()
        .filter(|point| !points.iter().any(|new| new.target == point.target))
        .map(|point| point.target.to_string())
        .collect();
    if args.json {
        let facts = json!({ "model": name_of(written), "points": points, "kept": kept, "too_few": too_few });
        say!("{}", serde_json::to_string_pretty(&facts)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", to_text(&points).trim_end());
    for too_few in &too_few {
        say!("not written: {too_few}");
    }
    if !kept.is_empty() {
        say!("kept from before: {}", kept.join(", "));
    }
    say!("written to {}", written.display());
    Ok(ExitCode::SUCCESS)
}

/// The points as tables, one for each set of pairs or searches that they were measured on.
pub fn to_text(points: &[NamedPoint]) -> String {
    let mut groups: Vec<(String, TextTable)> = Vec::new();
    for point in points {
        let size = match point.image_size {
            Some([height, width]) => format!("of {height}x{width} pixels"),
            None => "of several sizes".into(),
        };
        let lost = point.lost.as_ref().map(|lost| format!("lost: {lost}\n"));
        let measured_on = format!(
            "on {}\n{}flip {}, score {}, images {size}\n",
            point.measured_on(),
            lost.unwrap_or_default(),
            point.flip,
            point.score
        );
        let (rates, [wrong, right]) = match point.rates {
            MeasuredRates::Pairs(rates) => (
                ["FAR (95 % interval)", "TAR (95 % interval)"],
                [rate(rates.far, rates.far_interval), rate(rates.tar, rates.tar_interval)],
            ),
            MeasuredRates::Searches(rates) => (
                ["FPIR (95 % interval)", "TPIR (95 % interval)"],
                [
                    rate(rates.fpir, rates.fpir_interval),
                    match rates.tpir.zip(rates.tpir_interval) {
                        Some((tpir, interval)) => rate(tpir, interval),
                        None => "no mated probes".into(),
                    },
                ],
            ),
        };
        let found = groups.iter().position(|(group, _)| *group == measured_on).unwrap_or_else(|| {
            let mut table = TextTable::new(&[Align::Left, Align::Right, Align::Right, Align::Right]);
            table.row(["point", "threshold", rates[0], rates[1]]);
            groups.push((measured_on, table));
            groups.len() - 1
        });
        groups[found].1.row([point.target.to_string(), format!("{:.4}", point.threshold), wrong, right]);
    }
    groups.iter().map(|(measured_on, table)| format!("{table}{measured_on}")).collect::<Vec<_>>().join("\n")
}
