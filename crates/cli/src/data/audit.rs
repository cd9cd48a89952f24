//! `facegrad data audit`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::embeddings::EmbeddingFile;
use facegrad::faces::{FaceSource, OpenSet};
use facegrad::recognition::EmbeddingSource;
use facegrad::verification::Flip;
use facegrad_alignment::LandmarkFile;
use facegrad_audit::{
    Audit, AuditEmbeddings, AuditError, AuditOptions, Exclude, Exclusion, Findings, PageOptions, PageOrigin,
    Stage,
};
use facegrad_files::{LookAlike, name_of};
use facegrad_results::numbers::thousands;

use crate::{
    arguments::{BatchArgs, ModelArgs, file_to_read, size_within},
    command_line,
    failure::{Failure, INTERRUPTED, check_output, stop_on_signal, write_file},
    progress::Stages,
    say,
    source::source_config,
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
    /// The size that images should have, such as 112, or 112x96 (height x width); without it that of most of them.
    #[arg(long, value_parser = size)]
    size: Option<[usize; 2]>,
    /// Landmarks of the faces where they are on the images of the set, such as alignment.csv of `facegrad align`: which
    /// faces lie elsewhere than in the template.
    #[arg(long, value_name = "FILE", value_parser = file_to_read())]
    landmarks: Option<PathBuf>,
    /// Embeddings of the set, by `facegrad embed`, in place of a model.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    embeddings: Option<PathBuf>,
    /// Embeddings of the evaluation set by the same model.
    #[arg(long, value_name = "FILE", requires = "embeddings", requires = "against")]
    against_embeddings: Option<PathBuf>,
    /// How an image and its mirror image become one embedding: none, add, norm_weighted, unit, concat; without it add.
    /// Stored embeddings are as they were made.
    #[arg(long)]
    flip: Option<Flip>,
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
    /// wrong-size, unaligned, plain; without it the first six.
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    exclude_what: Vec<Exclude>,
    /// Print everything that was found as JSON on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    batch: BatchArgs,
}

/// How many identities of which nothing is left are named on the screen.
const NAMED: usize = 20;

#[cfg(test)]
impl Args {
    pub fn size(&self) -> Option<[usize; 2]> {
        self.size
    }
}

fn size(word: &str) -> Result<[usize; 2], String> {
    size_within(word, 1..=u16::MAX.into())
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let inputs: Vec<&Path> =
        [&args.set].into_iter().chain(&args.against).chain(&args.embeddings).map(PathBuf::as_path).collect();
    for (option, path) in [("--report", &args.report), ("--exclude", &args.exclude)] {
        path.as_ref().map_or(Ok(()), |path| check_output(option, path, &inputs))?;
    }
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
    let embeddings = embeddings(&args)?;
    let stop = stop_on_signal("this image")?;

    let options =
        AuditOptions { min_images: args.min_images, size: args.size, landmarks, ..Default::default() };
    let audit =
        Audit { set: &opened, against: against.as_ref(), options: &options, embeddings: embeddings.as_ref() };
    let mut stages = Stages::default();
    let findings = audit.run(&mut |stage, done, total| {
        stages.show(name(stage), done, total);
        !stop.is_asked()
    });
    drop(stages);
    let findings = match findings {
        Err(AuditError::Stopped) => {
            crate::remark!("stopped before its end; nothing was written");
            return Ok(INTERRUPTED.into());
        }
        findings => findings?,
    };
    let source = opened.source.as_ref();
    let other = against.as_ref().map(|against| against.source.as_ref());
    let what =
        if args.exclude_what.is_empty() { Exclude::usual(&findings) } else { args.exclude_what.clone() };
    let exclusions = facegrad_audit::exclusions(&findings, source, other, &what);
    if let Some(path) = &args.exclude {
        facegrad_audit::write_exclusions(&exclusions, source, path)
            .map_err(|error| Failure::unwritable(path, error))?;
    }
    if let Some(path) = &args.report {
        let origin = PageOrigin {
            set: args.set.clone(),
            against: args.against.clone(),
            command: command_line::typed(),
        };
        let shown = PageOptions { shown: args.shown.into(), ..Default::default() };
        let page = audit.page(&findings, &exclusions, &origin, shown).to_html();
        write_file(path, page.as_bytes())?;
    }
    if args.json {
        let mut found = facegrad_audit::json(&findings, source, other, &exclusions);
        if let Some(found) = found.as_object_mut() {
            let entry = |path: &Option<PathBuf>| path.as_ref().map(|path| name_of(path)).into();
            found.insert("set".into(), name_of(&args.set).into());
            found.insert("fingerprint".into(), source.fingerprint().into());
            found.insert("notes".into(), opened.summary.notes.clone().into());
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
fn open(path: &Path, overrides: &[String]) -> Result<OpenSet, Failure> {
    let opened = source_config(path, overrides)?.open_any()?;
    crate::output::notes(&opened.summary.notes);
    Ok(opened)
}

/// The landmarks of each image of a set, by what the set calls it.
fn landmarks(path: &Path, source: &dyn FaceSource) -> Result<Vec<Option<[[f32; 2]; 5]>>, Failure> {
    let file = LandmarkFile::read(path)?;
    let landmarks: Vec<_> = (0..source.len()).map(|image| file.get(&source.key(image))).collect();
    if landmarks.iter().all(Option::is_none) {
        let example = if source.is_empty() { String::new() } else { format!(", such as {}", source.key(0)) };
        let keys = (0..source.len()).map(|image| source.key(image));
        let alike =
            LookAlike::among(keys, file.first()).map(|alike| format!("; {alike}")).unwrap_or_default();
        let path = path.display();
        return Err(Failure::input(format!(
            "{path} has no landmarks of any image of the set{example}{alike}"
        )));
    }
    Ok(landmarks)
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Read => "images read",
        Stage::ReadAgainst => "images of the evaluation set read",
        Stage::Compare => "images compared",
        Stage::Embed => "images embedded",
        Stage::EmbedAgainst => "images of the evaluation set embedded",
    }
}

/// Where embeddings come from, if from anywhere.
fn embeddings(args: &Args) -> Result<Option<AuditEmbeddings>, Failure> {
    let (source, against) = if let Some(path) = &args.embeddings {
        let stored = |path: &Path| -> Result<_, Failure> {
            let file = Box::new(EmbeddingFile::open(path)?);
            Ok(EmbeddingSource::File { path: path.into(), name: name_of(path), file })
        };
        (stored(path)?, args.against_embeddings.as_deref().map(stored).transpose()?)
    } else if let Some(path) = &args.model.model {
        let (model, chosen) = args.model.load()?;
        let (model, backend) = (Box::new(model), chosen.description);
        (EmbeddingSource::Model { path: path.clone(), model, backend }, None)
    } else {
        // Without --model there is none: the environment must not make an audit take hours.
        return Ok(None);
    };
    let embeddings =
        AuditEmbeddings { source, against, batch: args.batch.size(), flip: args.flip.unwrap_or(Flip::Add) };
    for file in [Some(&embeddings.source), embeddings.against.as_ref()].into_iter().flatten() {
        if let Some((asked, origin)) = args.flip.zip(file.origin())
            && asked != origin.flip
        {
            return Err(Failure::input(format!(
                "--flip {asked}: {} was made with flip {}; leave --flip away, or embed the images again",
                file.name(),
                origin.flip
            )));
        }
    }
    if let (EmbeddingSource::File { file: own, .. }, Some(EmbeddingSource::File { file: other, name, .. })) =
        (&embeddings.source, &embeddings.against)
    {
        if let Some(difference) =
            own.origin().zip(other.origin()).and_then(|(own, other)| own.difference(other))
        {
            return Err(Failure::input(format!(
                "--embeddings and {name} were made in different ways, so that they cannot be compared: {difference}"
            )));
        }
        if other.dim() != own.dim() {
            return Err(Failure::input(format!(
                "{name} has embeddings of {} numbers and --embeddings of {}; both must be by one model",
                other.dim(),
                own.dim()
            )));
        }
    }
    Ok(Some(embeddings))
}

/// The table, and what to do next.
fn tell(
    args: &Args,
    findings: &Findings,
    opened: &OpenSet,
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
            let exclude = format!("data.train.exclude={}", name_of(path));
            say!("train without them: facegrad train CONFIG --set {}", command_line::word(&exclude));
        }
        None if exclusions.is_empty() => say!("there is nothing to leave out"),
        None => say!("{} could be left out: --exclude FILE.csv writes the list", images(exclusions.len())),
    }
    let source = opened.source.as_ref();
    let emptied = facegrad_audit::emptied(findings, source, exclusions);
    if !emptied.is_empty() {
        let name = |&label: &usize| source.identities()[label].replace(char::is_control, "?");
        let names: Vec<String> = emptied.iter().take(NAMED).map(name).collect();
        let more = match emptied.len() - names.len() {
            0 => String::new(),
            more => format!(" and {} more, whom --json and --report name", thousands(more)),
        };
        let count = if emptied.len() == 1 {
            "1 identity".into()
        } else {
            format!("{} identities", thousands(emptied.len()))
        };
        say!("nothing would be left of {count}: {}{more}", names.join(", "));
    }
}
