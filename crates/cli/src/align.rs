//! `facegrad align`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::pictures::ImageFormat;
use facegrad_alignment::{
    AlignJob, AlignmentJobEnd, Finder, LandmarkFile, Mtcnn, Places, Spread, TABLE, WEIGHT_FILES, WithoutFace,
};
use facegrad_datasets::{Download, FetchOptions, fetch};
use facegrad_files::{Stop, name_of};
use serde_json::json;

use crate::{
    arguments::{file_to_read, size},
    command_line,
    failure::{Failure, INTERRUPTED, stop_on_signal},
    progress::Stages,
    say,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad align photographs faces --detector-weights mtcnn\n          facegrad align img_celeba faces --landmarks list_landmarks_celeba.txt --size 112x96\n\nKilled or stopped by Ctrl-C, the same command goes on where it was. What became of each image, with its box and\nlandmarks, is in OUT/alignment.csv at the end, which --landmarks reads for another size."
)]
pub struct Args {
    /// The folder of the photographs.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The folder for the faces, new, empty, or of the same work before; folders within it and names are those of
    /// IN.
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// A table of landmarks, a line an image: path x1 y1 ... x5 y5 (eyes, nose, corners of the mouth, from left to
    /// right), by commas, tabs or blanks, with or without a header; CelebA's lists are read as they are.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["detector_weights", "detector_url", "min_face"], value_parser = file_to_read())]
    landmarks: Option<PathBuf>,
    /// The folder with the detector's weights: pnet.safetensors, rnet.safetensors and onet.safetensors of MTCNN;
    /// without it what the environment variable FACEGRAD_MTCNN says.
    #[arg(long, value_name = "DIR")]
    detector_weights: Option<PathBuf>,
    /// Where the three files are on the web, without their names: those that the folder of weights lacks are fetched
    /// from there first. Their sizes and SHA-256 are known, and nothing else is taken.
    #[arg(long, value_name = "URL")]
    detector_url: Option<String>,
    /// Height and width of the faces in pixels, such as 112x96, or one side; the template is scaled by the height and centred in the width.
    #[arg(long, default_value = "112x112", value_parser = size)]
    size: [usize; 2],
    /// The format of the faces: png, or jpg of quality 95.
    #[arg(long, default_value_t = ImageFormat::Png)]
    format: ImageFormat,
    /// What to do about images without a face: leave them out, take the rectangle in their middle that has the
    /// proportions of --size and 55 % of the shorter side as its height, or stop.
    #[arg(long, default_value = "skip")]
    without_face: Policy,
    /// The smallest face that is looked for, in pixels, 12 at least; 40 if absent.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(12..))]
    min_face: Option<u16>,
    /// Print what was done as JSON on standard output.
    #[arg(long)]
    json: bool,
}

#[cfg(test)]
impl Args {
    pub fn size(&self) -> [usize; 2] {
        self.size
    }
}

/// What to do about images without a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Policy {
    Skip,
    Centre,
    Fail,
}

/// A smaller face would be enlarged more than twice on the way to 112 x 112 pixels.
const MIN_FACE: u16 = 40;
/// How many images left out are named on the screen.
const NAMED: usize = 10;

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let places = Places::open(&args.input, &args.output, args.format)?;
    let landmarks = landmarks(&args)?;
    let stop = stop_on_signal("this image and saving")?;
    let (finder, by) = finder(&args, landmarks, &stop)?;
    let without_face = match args.without_face {
        Policy::Skip => WithoutFace::Skip,
        Policy::Centre => WithoutFace::Centre,
        Policy::Fail => WithoutFace::Fail,
    };
    let job = AlignJob { places: &places, finder, size: args.size, without_face };

    let total = places.len();
    let mut stages = Stages::default();
    let end = job.run(rayon::current_num_threads(), &mut |done| {
        stages.show("images", done, total);
        !stop.is_asked()
    })?;
    drop(stages);
    if !end.is_finished {
        say!("stopped: {} of {total} images are done and kept", end.before + end.done);
        say!("continue with: {}", command_line::typed());
        return Ok(INTERRUPTED.into());
    }
    if args.json {
        let text = json!({
            "out": name_of(&args.output), "size": args.size, "statistics": end.statistics, "landmarks_by": by,
            "done_before": end.before, "images_per_second": rate(&end), "finding_ms": finding_ms(&end),
            "junk_files": places.junk_files(), "endings": places.endings().counts(), "in_no_folder": places.in_no_folder(), "unused_landmarks": end.unused_landmarks,
            "on_their_heads": end.on_head,
            "left_out": end.left_out.iter().map(|(name, reason)| json!({ "image": name, "reason": reason }))
                .collect::<Vec<_>>(),
        });
        say!("{text:#}");
    } else {
        print(&args, &places, &end, &by);
    }
    match end.left_out.first() {
        Some((name, reason)) if end.left_out.len() == total => Err(Failure::input(format!(
            "none of the {total} images of {} was aligned; the first is {name}: {reason}",
            args.input.display()
        ))),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The table of landmarks, if one is named.
fn landmarks(args: &Args) -> Result<Option<(LandmarkFile, String)>, Failure> {
    let Some(file) = &args.landmarks else { return Ok(None) };
    Ok(Some((LandmarkFile::read(file)?, file.display().to_string())))
}

/// What finds landmarks, and a name for it.
fn finder(
    args: &Args,
    landmarks: Option<(LandmarkFile, String)>,
    stop: &Stop,
) -> Result<(Finder, String), Failure> {
    if let Some((file, name)) = landmarks {
        return Ok((Finder::File(file), name));
    }
    let named = args.detector_weights.clone().or_else(|| std::env::var_os("FACEGRAD_MTCNN").map(Into::into));
    let folder = named.filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
        Failure::input(format!(
            "nothing says where the faces are: name a table of landmarks with --landmarks FILE, or a folder with \
             MTCNN's weights ({}, converted from kpzhang93/MTCNN_face_detection_alignment) with --detector-weights \
             DIR or in the environment variable FACEGRAD_MTCNN",
            WEIGHT_FILES.map(|file| file.name).join(", ")
        ))
    })?;
    if let Some(url) = &args.detector_url {
        fetch_weights(url, &folder, stop)?;
    }
    let min_face = args.min_face.unwrap_or(MIN_FACE).into();
    let detector = Mtcnn::load(&folder, min_face)?;
    Ok((Finder::Detector(Box::new(detector)), format!("MTCNN for faces from {min_face} pixels")))
}

/// Brings the weights that are not in `folder` from `url`.
fn fetch_weights(url: &str, folder: &Path, stop: &Stop) -> Result<(), Failure> {
    let unwritable = |error| Failure::work(format!("cannot make the folder {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(unwritable)?;
    let mut stages = Stages::default();
    for file in WEIGHT_FILES {
        let url = format!("{}/{}", url.trim_end_matches('/'), file.name);
        let download = Download {
            url: &url,
            bytes: file.size,
            sha256: file.sha256,
            destination: &folder.join(file.name),
        };
        let progress = stages.file(file.name, 0, file.size);
        let mut show = |done| progress.set(done as usize, "");
        fetch(&download, &FetchOptions::default(), stop, &mut show).map_err(Failure::work)?;
    }
    Ok(())
}

/// Images a second in this run.
fn rate(end: &AlignmentJobEnd) -> f64 {
    end.done as f64 / end.elapsed.as_secs_f64().max(1e-9)
}

/// Milliseconds that looking for the faces on an image took one thread, on average.
fn finding_ms(end: &AlignmentJobEnd) -> f64 {
    1e3 * end.finding.as_secs_f64() / end.done.max(1) as f64
}

fn print(args: &Args, places: &Places, end: &AlignmentJobEnd, by: &str) {
    let [height, width] = args.size;
    let found = &end.statistics;
    let out = args.output.display();
    say!("{out}: {} of {} images aligned to {height}x{width} (height x width)", found.aligned, found.images);
    say!("landmarks by {by}");
    if found.several_faces > 0 {
        say!(
            "several   {} images have more faces; the largest and most central was taken",
            found.several_faces
        );
    }
    if found.centred > 0 {
        say!("centred   {} images without a face; their middle was taken", found.centred);
    }
    if let Some(score) = found.mean_score {
        say!("score     {score:.4} on average");
    }
    let spread = |Spread { low, median, high }: Spread| {
        format!("{low:.2} to {high:.2} for 90 % of them, median {median:.2}")
    };
    if let Some(rotation) = found.rotation {
        say!("turned    by degrees: {}", spread(rotation));
    }
    if let Some(scale) = found.scale {
        say!("enlarged  by a factor: {}; more than twice {} images", spread(scale), found.enlarged_twice);
    }
    say!("speed     {:.1} images/s, finding takes {:.1} ms an image on a thread", rate(end), finding_ms(end));
    if end.before > 0 {
        say!("before    {} images were done", end.before);
    }
    if places.junk_files() > 0 {
        say!("passed    {} files that are no images, are empty or hidden", places.junk_files());
    }
    if !places.endings().is_empty() {
        say!("endings   that are not read: {}", places.endings());
    }
    let folder = args.input.display();
    match places.in_no_folder() {
        0 => {}
        all if all == places.len() => say!(
            "people    none are known: the images lie in no folders of {folder}, and training takes one folder a person"
        ),
        some => say!("people    of {some} images are not known: these lie in no folder of {folder}"),
    }
    if let Some(first) = end.on_head.first() {
        let (count, first) = (end.on_head.len(), first.replace(char::is_control, "?"));
        say!(
            "on heads  {count} faces by their landmarks, which have the mouth above the eyes; the first is {first}"
        );
    }
    if end.unused_landmarks > 0 {
        say!("unused    landmarks of {} images that are not there", end.unused_landmarks);
    }
    if !end.left_out.is_empty() {
        let (without, bad) = (found.without_face, found.unreadable);
        let list = args.output.join(TABLE);
        say!("left out  {without} images without a face and {bad} unreadable, listed in {}", list.display());
        for (name, reason) in end.left_out.iter().take(NAMED) {
            // A name may hold a line break.
            say!("          {}: {reason}", name.replace(char::is_control, "?"));
        }
    }
}
