//! `facegrad data audit`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use facegrad_alignment::LandmarkFile;
use facegrad_audit::{
    Against, AuditOptions, Exclude, Exclusion, Findings, LabelledEmbeddings, PageOptions, Survey, TRUSTED,
};
use facegrad_embeddings::EmbeddingFile;
use facegrad_faces::{FaceError, FaceSource, Opened};
use facegrad_pictures::Picture;
use facegrad_recognition::{Embedder, EmbeddingModel, EmbeddingsError, Images};
use facegrad_report::{Block, PageSection};
use facegrad_results::{Fact, numbers::thousands};
use facegrad_verification::Flip;

use super::source::source_config;
use crate::{
    ModelArgs,
    failure::{Failure, INTERRUPTED},
    progress::Progress,
    say,
    train::command_line,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad data audit my-faces --report audit.html --exclude exclude.csv\n          facegrad data audit my-faces --against lfw/images --model checkpoints/quickstart\n          facegrad train configs/folder.toml --set data.train.path=my-faces --set data.train.exclude=exclude.csv\n\nFrom the files: counts, sizes, formats, unreadable images, duplicates, names in several spellings, faces that lie\nelsewhere. With a model, or embeddings of `facegrad embed`: images with wrong labels, identities of two people, people\nunder two labels. With --against: what the evaluation set has too."
)]
pub struct Args {
    /// The set: a folder with one folder of images an identity, or a file of another kind that `facegrad train` reads.
    set: PathBuf,
    /// Keys of the set, as in the section data.train of a config.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// An evaluation set that training must not have seen.
    #[arg(long, value_name = "SET")]
    against: Option<PathBuf>,
    /// Identities with fewer images are listed.
    #[arg(long, default_value_t = 2)]
    min_images: usize,
    /// The size that images should have, such as 112x112 (width x height); without it that of most of them.
    #[arg(long, value_parser = size)]
    size: Option<[usize; 2]>,
    /// Landmarks of the faces where they are on the images of the set, such as alignment.csv of `facegrad align`: which
    /// faces lie elsewhere than in the template.
    #[arg(long, value_name = "FILE")]
    landmarks: Option<PathBuf>,
    /// Embeddings of the set, by `facegrad embed`, in place of a model.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    embeddings: Option<PathBuf>,
    /// Embeddings of the evaluation set by the same model.
    #[arg(long, value_name = "FILE", requires = "embeddings", requires = "against")]
    against_embeddings: Option<PathBuf>,
    /// How an image and its mirror image become one embedding: none, add, norm_weighted, unit, concat.
    #[arg(long, default_value_t = Flip::Add)]
    flip: Flip,
    /// Write a page with the images side by side.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// So many findings of each kind are on the page.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=1000))]
    shown: u16,
    /// Write the list of images to leave out, which data.train.exclude takes.
    #[arg(long, value_name = "FILE.csv")]
    exclude: Option<PathBuf>,
    /// Reasons to leave images out: unreadable, duplicate, near-duplicate, cross-identity, mislabelled, overlap, odd,
    /// wrong-size, unaligned; without it the first six.
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    exclude_what: Vec<Exclude>,
    /// Print everything that was found as JSON on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// `WIDTHxHEIGHT` as (height, width).
fn size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once('x').and_then(|(width, height)| {
        let side = |text: &str| text.parse::<u16>().ok().filter(|side| *side > 0).map(usize::from);
        Some([side(height)?, side(width)?])
    });
    sides.ok_or_else(|| "a width and a height in pixels are expected, such as 112x112".into())
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    for path in args.report.iter().chain(&args.exclude) {
        // Found out before any work: whether there can be a file of that name.
        facegrad_files::temporary_beside(path)
            .map_err(|error| Failure::input(format!("cannot write {}: {error}", path.display())))?;
    }
    let opened = open(&args.set, &args.overrides)?;
    let against = args.against.as_deref().map(|path| open(path, &[])).transpose()?;
    let landmarks = match &args.landmarks {
        Some(path) => landmarks(path, opened.source.as_ref())?,
        None => Vec::new(),
    };
    let embedder = Source::of(&args)?;
    let stop = Stop::watch()?;

    let options =
        AuditOptions { min_images: args.min_images, size: args.size, landmarks, ..Default::default() };
    let audited = audit(&args, &options, &opened, against.as_ref(), embedder.as_ref(), &stop)?;
    let Some(findings) = audited else {
        eprintln!("stopped before its end; nothing was written");
        return Ok(INTERRUPTED.into());
    };
    let source = opened.source.as_ref();
    let other = against.as_ref().map(|against| against.source.as_ref());
    let what =
        if args.exclude_what.is_empty() { Exclude::usual(&findings) } else { args.exclude_what.clone() };
    let exclusions = facegrad_audit::exclusions(&findings, source, other, &what);
    if let Some(path) = &args.exclude {
        facegrad_audit::write_exclusions(&exclusions, source, path)
            .map_err(|error| Failure::work(format!("cannot write {}: {error}", path.display())))?;
    }
    if let Some(path) = &args.report {
        let page = page(&args, &findings, &opened, against.as_ref(), embedder.as_ref())?;
        facegrad_files::replace(path, page.as_bytes())
            .map_err(|error| Failure::work(format!("cannot write {}: {error}", path.display())))?;
    }
    if args.json {
        let mut found = facegrad_audit::json(&findings, source, other, &exclusions);
        if let Some(found) = found.as_object_mut() {
            let entry = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).into();
            found.insert("set".into(), args.set.display().to_string().into());
            found.insert("fingerprint".into(), source.fingerprint().into());
            found.insert("report".into(), entry(&args.report));
            found.insert("exclude".into(), entry(&args.exclude));
        }
        say!("{found:#}");
        return Ok(ExitCode::SUCCESS);
    }
    tell(&args, &findings, &opened, other, &exclusions);
    Ok(ExitCode::SUCCESS)
}

/// Opens the set at `path` with `overrides` of its keys.
fn open(path: &Path, overrides: &[String]) -> Result<Opened, Failure> {
    source_config(path, overrides)?.open_any().map_err(Failure::input)
}

/// The landmarks of each image of a set, by what the set calls it.
fn landmarks(path: &Path, source: &dyn FaceSource) -> Result<Vec<Option<[[f32; 2]; 5]>>, Failure> {
    let file = LandmarkFile::read(path).map_err(Failure::input)?;
    let landmarks: Vec<_> = (0..source.len()).map(|image| file.get(&source.key(image))).collect();
    if landmarks.iter().all(Option::is_none) {
        let example = if source.is_empty() { String::new() } else { format!(", such as {}", source.key(0)) };
        let path = path.display();
        return Err(Failure::input(format!("{path} has no landmarks of any image of the set{example}")));
    }
    Ok(landmarks)
}

/// Whether Ctrl-C was pressed.
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn watch() -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let watched = stop.clone();
        let handler = move || {
            if watched.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
        };
        ctrlc::set_handler(handler)
            .map_err(|error| Failure::work(format!("cannot watch for Ctrl-C: {error}")))?;
        Ok(Self(stop))
    }

    fn goes_on(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// Work of some images that is shown as it goes on.
struct Shown<'a> {
    progress: Progress,
    began: Instant,
    stop: &'a Stop,
}

impl<'a> Shown<'a> {
    fn new(what: &str, total: usize, stop: &'a Stop) -> Self {
        Self { progress: Progress::new(what, 0, total), began: Instant::now(), stop }
    }

    /// Shows how many are done; whether to go on.
    fn done(&mut self, done: usize) -> bool {
        let rate = done as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
        self.progress.set(done, &format!("{rate:.0} images/s"));
        self.stop.goes_on()
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.progress.finish();
    }
}

fn survey(opened: &Opened, what: &str, stop: &Stop) -> Option<Survey> {
    let source = opened.source.as_ref();
    let mut shown = Shown::new(what, source.len(), stop);
    Survey::of(source, &mut |done| shown.done(done))
}

/// Everything there is to find; `None` if it was stopped.
fn audit(
    args: &Args,
    options: &AuditOptions,
    opened: &Opened,
    against: Option<&Opened>,
    embedder: Option<&Source>,
    stop: &Stop,
) -> Result<Option<Findings>, Failure> {
    let Some(surveyed) = survey(opened, "images read", stop) else { return Ok(None) };
    let other = match against {
        Some(against) => match survey(against, "images of the evaluation set read", stop) {
            Some(survey) => Some((against, survey)),
            None => return Ok(None),
        },
        None => None,
    };
    let readable = |survey: &Survey| -> Vec<usize> {
        let images = survey.records.iter().enumerate();
        images.filter(|(_, record)| record.is_some()).map(|(image, _)| image).collect()
    };
    let images = readable(&surveyed);
    let compared = {
        let mut shown = Shown::new("images compared", opened.source.len(), stop);
        let against =
            other.as_ref().map(|(against, survey)| Against { source: against.source.as_ref(), survey });
        Findings::of(opened, surveyed, against, options, &mut |done| shown.done(done))
    };
    let Some(mut findings) = compared else { return Ok(None) };
    let Some(embedder) = embedder else { return Ok(Some(findings)) };
    let Some(embeddings) = embedder.embed(opened, &images, "images embedded", args, stop)? else {
        return Ok(None);
    };
    let of_other = match &other {
        Some((against, survey)) if embedder.knows_other() => {
            let images = readable(survey);
            let what = "images of the evaluation set embedded";
            match embedder.embed_other(against, &images, what, args, stop)? {
                Some(embeddings) => Some(embeddings),
                None => return Ok(None),
            }
        }
        _ => None,
    };
    findings.add_embeddings(&embeddings, &images, of_other.as_ref());
    Ok(Some(findings))
}

/// Where embeddings come from.
enum Source {
    Model { model: Box<EmbeddingModel>, backend: String },
    Files { own: Box<EmbeddingFile>, other: Option<Box<EmbeddingFile>> },
}

/// Images by the names that a set gives them, which are those that `facegrad embed` writes.
struct Keyed<'a> {
    source: &'a dyn FaceSource,
    images: &'a [usize],
}

impl Images for Keyed<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.key(self.images[index])
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        self.source.load(self.images[index], size)
    }
}

impl Source {
    fn of(args: &Args) -> Result<Option<Self>, Failure> {
        if let Some(path) = &args.embeddings {
            let own = EmbeddingFile::open(path).map_err(Failure::input)?;
            let other = args.against_embeddings.as_ref().map(EmbeddingFile::open).transpose();
            let other = other.map_err(Failure::input)?;
            if let Some(other) = other.as_ref().filter(|other| other.dim() != own.dim()) {
                let path = args.against_embeddings.as_deref().unwrap_or(path).display();
                return Err(Failure::input(format!(
                    "{path} has embeddings of {} numbers and --embeddings of {}; both must be by one model",
                    other.dim(),
                    own.dim()
                )));
            }
            return Ok(Some(Self::Files { own: Box::new(own), other: other.map(Box::new) }));
        }
        // Without --model there is none: the environment must not make an audit take hours.
        if args.model.model.is_none() {
            return Ok(None);
        }
        let (model, chosen) = args.model.load()?;
        Ok(Some(Self::Model { model: Box::new(model), backend: chosen.description }))
    }

    fn knows_other(&self) -> bool {
        matches!(self, Self::Model { .. } | Self::Files { other: Some(_), .. })
    }

    fn embed(
        &self,
        opened: &Opened,
        images: &[usize],
        what: &str,
        args: &Args,
        stop: &Stop,
    ) -> Result<Option<LabelledEmbeddings>, Failure> {
        let name =
            |path: &Option<PathBuf>| path.as_ref().map_or_else(String::new, |p| p.display().to_string());
        let name = name(&args.embeddings);
        let embedder = match self {
            Self::Model { model, backend } => Embedder::model(model, args.model.batch.into(), backend),
            Self::Files { own, .. } => Embedder::file(own, &name),
        };
        embed(&embedder, opened, images, what, args.flip, stop)
    }

    fn embed_other(
        &self,
        opened: &Opened,
        images: &[usize],
        what: &str,
        args: &Args,
        stop: &Stop,
    ) -> Result<Option<LabelledEmbeddings>, Failure> {
        match self {
            Self::Files { other: Some(file), .. } => {
                let path = args.against_embeddings.as_ref();
                let name = path.map_or_else(String::new, |path| path.display().to_string());
                embed(&Embedder::file(file, &name), opened, images, what, args.flip, stop)
            }
            _ => self.embed(opened, images, what, args, stop),
        }
    }

    /// What it is, for the page.
    fn entries(&self, args: &Args) -> Vec<Fact> {
        match self {
            Self::Model { model, backend } => {
                let path = args.model.model.as_ref().map(|path| path.display().to_string());
                let mut entries = vec![Fact::new("model", path.unwrap_or_default())];
                entries.extend(model.sha256.iter().map(|sha256| Fact::new("model SHA-256", sha256)));
                entries.push(Fact::new("flip fusion", args.flip.to_string()));
                entries.push(Fact::new("backend", backend));
                entries
            }
            Self::Files { own, .. } => {
                let path = args.embeddings.as_ref().map(|path| path.display().to_string());
                let size = format!("{} of {} numbers", own.len(), own.dim());
                vec![Fact::new("embeddings", format!("{}: {size}", path.unwrap_or_default()))]
            }
        }
    }
}

fn embed(
    embedder: &Embedder,
    opened: &Opened,
    images: &[usize],
    what: &str,
    flip: Flip,
    stop: &Stop,
) -> Result<Option<LabelledEmbeddings>, Failure> {
    let source = opened.source.as_ref();
    let mut shown = Shown::new(what, images.len(), stop);
    let mut done = 0;
    let embedded = embedder.embed(&Keyed { source, images }, flip, &mut |more| {
        done += more;
        shown.done(done)
    });
    let embedded = match embedded {
        Err(EmbeddingsError::Stopped) => return Ok(None),
        Err(error @ EmbeddingsError::Backend(_)) => return Err(Failure::work(error)),
        other => other.map_err(Failure::input)?,
    };
    let labels = images.iter().map(|&image| source.label(image)).collect();
    LabelledEmbeddings::new(embedded.rows, embedded.dim, labels, source.identities().len())
        .map(Some)
        .map_err(Failure::work)
}

fn page(
    args: &Args,
    findings: &Findings,
    opened: &Opened,
    against: Option<&Opened>,
    embedder: Option<&Source>,
) -> Result<String, Failure> {
    let options = PageOptions { shown: args.shown.into(), ..Default::default() };
    let nearness = AuditOptions::default().nearness;
    let other = against.map(|against| against.source.as_ref());
    let mut report = facegrad_audit::report(findings, opened.source.as_ref(), other, &nearness, options)
        .map_err(Failure::work)?;
    report.title = format!("Audit of {}", args.set.display());
    report.facts = vec![opened.summary.to_string()];
    if let (Some(path), Some(against)) = (&args.against, against) {
        report.facts.push(format!("against {}: {}", path.display(), against.summary));
    }
    if let Some(labels) = &findings.labels {
        if labels.usual.recognised < TRUSTED {
            report.warnings.push(format!(
                "The embeddings tell these identities apart for {:.1} % of the images only: what they say of labels is not \
                 to be trusted.",
                100.0 * labels.usual.recognised
            ));
        }
        report.warnings.push(
            "What embeddings say of labels is likely, not certain: look at the images. A model that was trained on these \
             labels tends to confirm them."
                .into(),
        );
    }
    let mut run =
        vec![Fact::new("facegrad", env!("CARGO_PKG_VERSION")), Fact::new("set", opened.source.fingerprint())];
    run.extend(other.map(|other| Fact::new("evaluation set", other.fingerprint())));
    run.extend(embedder.into_iter().flat_map(|embedder| embedder.entries(args)));
    let blocks = vec![Block::Facts(String::new(), run), Block::Command(command_line())];
    report.sections.push(PageSection { title: "Reproducing this".into(), blocks });
    Ok(report.to_html())
}

/// The table, and what to do next.
fn tell(
    args: &Args,
    findings: &Findings,
    opened: &Opened,
    other: Option<&dyn FaceSource>,
    exclusions: &[Exclusion],
) {
    let left_out = opened.summary.to_string();
    if let Some((_, left_out)) = left_out.split_once("left out: ") {
        say!("passed over: {left_out}");
    }
    for line in facegrad_audit::table(findings, opened.source.as_ref(), other).lines() {
        say!("{line}");
    }
    if let Some(path) = &args.report {
        say!("page: {}", path.display());
    }
    let images = |count: usize| format!("{} images", thousands(count));
    match &args.exclude {
        Some(path) if exclusions.is_empty() => {
            say!("{} is empty: there is nothing to leave out", path.display())
        }
        Some(path) => {
            say!("{}: {} to leave out", path.display(), images(exclusions.len()));
            for &reason in Exclude::ALL {
                let count = exclusions.iter().filter(|exclusion| exclusion.reason == reason).count();
                if count > 0 {
                    say!("  {reason:15} {}", thousands(count));
                }
            }
            say!("train without them: facegrad train CONFIG --set data.train.exclude={}", path.display());
        }
        None if exclusions.is_empty() => say!("there is nothing to leave out"),
        None => say!("{} could be left out: --exclude FILE.csv writes the list", images(exclusions.len())),
    }
}
