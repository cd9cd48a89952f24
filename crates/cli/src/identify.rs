//! `facegrad identify`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::Chosen;
use facegrad::embeddings::{Gallery, Match};
use facegrad::recognition::{
    Embedder, EmbeddingModel, ImageEmbeddings, ImageSet, Images, NamedPoint,
    operating_points::ThresholdTarget,
};
use facegrad::verification::{Flip, Similarity};
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use crate::{
    arguments::{BatchArgs, ModelArgs, file_to_read},
    failure::Failure,
    points::{DIFFERENT, check_sizes, choose},
    progress::counted,
    say,
    source::image_set,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad identify people probe.jpg --model checkpoints/quickstart --top 5\n          facegrad identify people --model checkpoints/quickstart --save people.safetensors\n          facegrad identify people.safetensors *.jpg --model checkpoints/quickstart\n          facegrad identify people.safetensors door.jpg --at far=1e-3 --exit-code --model checkpoints/quickstart\n\nExit codes: 0 done, 1 failed, 2 wrong input; with --exit-code 3 if somebody is nobody of the gallery."
)]
pub struct Args {
    /// The people: a folder with one folder of images a person, or with one image a person, called as the person;
    /// a list with lines `path person`, or a set of any other kind that can be trained on; or an index that --save wrote.
    #[arg(value_parser = file_to_read())]
    gallery: PathBuf,
    /// The images to tell who is on, or sets of them.
    #[arg(required_unless_present = "save", value_parser = file_to_read())]
    probes: Vec<PathBuf>,
    /// Set a key of the gallery, such as label_key=person; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// How many people to name for each probe.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Name only people whose score reaches the threshold of this operating point of the model (`facegrad calibrate`):
    /// far=<rate>, eer or accuracy. Whoever is on an image that nobody reaches is nobody of the gallery.
    #[arg(long, value_name = "POINT")]
    at: Option<ThresholdTarget>,
    /// Accept images of another size than those the point was measured on: they are resized, and must be aligned
    /// to the same template.
    #[arg(long, requires = "at")]
    any_size: bool,
    /// End with exit code 3 if nobody of the gallery is on an image.
    #[arg(long, requires = "at")]
    exit_code: bool,
    /// Keep the gallery as an index, a .safetensors file, which saves embedding it again.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How an image and its mirror image become one embedding: none, add, norm_weighted, unit, concat; default
    /// that of the index, or of the operating point, or add.
    #[arg(long)]
    flip: Option<Flip>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    batch: BatchArgs,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let is_index = |path: &Path| path.is_file() && path.extension().is_some_and(|e| e == "safetensors");
    if let Some(file) =
        args.save.as_deref().filter(|file| file.extension().is_none_or(|e| e != "safetensors"))
    {
        let file = file.display();
        return Err(Failure::input(format!(
            "--save {file}: an index is kept in a file that ends in .safetensors"
        )));
    }
    // What is wrong with lists and folders shows before a model is loaded.
    let stored = is_index(&args.gallery).then(|| Gallery::open(&args.gallery)).transpose()?;
    let images = match &stored {
        None => Some(image_set(&args.gallery, &args.overrides, None)?),
        Some(_) => None,
    };
    crate::output::notes(images.as_ref().map_or(&[], ImageSet::notes));
    let open = |path: &PathBuf| ImageSet::open_by_place(path);
    let probes = ImageSet::concatenate(args.probes.iter().map(open).collect::<Result<_, _>>()?);
    crate::output::notes(probes.notes());
    let (model, chosen) = args.model.load()?;
    let points = &model.card.operating_points;
    let point = match args.at {
        Some(at) => Some(choose(points, Some(at), &args.model.path()?)?),
        None => None,
    };
    let embed = |images: &dyn Images, flip: Flip| embed(&args, &model, &chosen, images, flip);
    let gallery = match (stored, images) {
        (Some(gallery), _) => gallery,
        (None, Some(images)) => {
            let flip = args.flip.or(point.map(|point| point.flip)).unwrap_or(Flip::Add);
            make(&model, &chosen, &images, flip, embed(&images, flip)?)?
        }
        (None, None) => unreachable!("images are opened where nothing is stored"),
    };
    let flip = args.flip.unwrap_or(gallery.origin().flip);
    let origin = model.origin(flip, &chosen.description, None);
    gallery.check(
        origin.model_sha256.as_deref().unwrap_or_default(),
        flip,
        origin.preprocessing.as_deref(),
    )?;
    let scoring = gallery.origin().scoring;
    let holds = |point: &&NamedPoint| point.flip == flip && point.score == scoring;
    if let Some(point) = point.filter(|point| !holds(point)) {
        return Err(Failure::input(format!(
            "{} was measured with flip {} and score {}, and the gallery was made with flip {flip} and score {scoring}; its threshold holds for the same only",
            point.target, point.flip, point.score
        )));
    }
    if let Some(file) = &args.save {
        gallery.save(file)?;
        crate::remark!("{}: {} images of the gallery", file.display(), gallery.len());
    }

    if let Some(point) = point.filter(|_| !args.any_size) {
        check_sizes(&probes, point, model.card.preprocessing.size)?;
    }
    let found = embed(&probes, flip)?
        .rows
        .chunks(gallery.dim())
        .map(|probe| gallery.identify(probe, args.top.into()))
        .collect::<Result<Vec<_>, _>>()?;
    let found: Vec<Found> = (0..probes.len())
        .map(|probe| probes.name(probe))
        .zip(found)
        .map(|(probe, people)| Found::of(probe, people, point))
        .collect();
    let nobody = found.iter().filter(|found| found.people.is_empty()).count();
    if point.is_none() && !found.is_empty() {
        let usable = points.iter().find(holds);
        crate::remark!("note: {}", without_threshold(&found, usable));
    }
    if args.json {
        let gallery = json!({
            "path": args.gallery, "images": gallery.len(), "people": people_in(&gallery), "origin": gallery.origin(),
        });
        let probes: Vec<Value> = found.iter().map(Found::to_json).collect();
        let threshold = point.map(|point| point.threshold);
        let text = json!({ "gallery": gallery, "threshold": threshold, "point": point, "probes": probes });
        say!("{text:#}");
    } else {
        let texts: Vec<String> = found.iter().map(|found| found.to_text(scoring, point)).collect();
        if !texts.is_empty() {
            say!("{}", texts.join("\n\n"));
        }
        if let Some(point) = point.filter(|_| !texts.is_empty()) {
            say!("\n{}", point.describe());
            say!("{}", false_positives(point, people_in(&gallery), gallery.len()));
        }
    }
    Ok(if args.exit_code && nobody > 0 { DIFFERENT.into() } else { ExitCode::SUCCESS })
}

/// Who may be on an image.
struct Found {
    probe: String,
    /// Those that reach the threshold, if there is one; best first.
    people: Vec<Match>,
    /// Whoever is most alike, whether that reaches the threshold or not.
    nearest: Option<Match>,
}

impl Found {
    fn of(probe: String, mut people: Vec<Match>, point: Option<&NamedPoint>) -> Self {
        let nearest = people.first().cloned();
        people.retain(|found| point.is_none_or(|point| point.accepts(found.score)));
        Self { probe, people, nearest }
    }

    fn to_json(&self) -> Value {
        let person = |rank: usize, Match { name, identity, score }: &Match| json!({ "rank": rank, "person": identity, "image": name, "score": score });
        let people: Vec<Value> = (1..).zip(&self.people).map(|(rank, found)| person(rank, found)).collect();
        let nearest = self.nearest.as_ref().map(|found| person(1, found));
        json!({ "probe": self.probe, "people": people, "nearest": nearest })
    }

    fn to_text(&self, scoring: Similarity, point: Option<&NamedPoint>) -> String {
        let probe = &self.probe;
        if let (Some(point), Some(nearest), []) = (point, &self.nearest, &self.people[..]) {
            return format!(
                "{probe}\nnobody: the most alike, {}, has {:.4} ({scoring}), below the threshold {:.4} of {}",
                nearest.identity, nearest.score, point.threshold, point.target
            );
        }
        let mut table = TextTable::new(&[Align::Right, Align::Left, Align::Left, Align::Right]);
        table.row(["rank", "person", "image", &scoring.to_string()]);
        for (rank, Match { name, identity, score }) in (1..).zip(&self.people) {
            table.row([rank.to_string(), identity.clone(), name.clone(), format!("{score:.4}")]);
        }
        format!("{probe}\n{}", table.to_string().trim_end())
    }
}

/// How many people a gallery has.
fn people_in(gallery: &Gallery) -> usize {
    gallery.identities().iter().collect::<HashSet<_>>().len()
}

/// What it means that no threshold was applied, and what one of the model would have said.
fn without_threshold(found: &[Found], point: Option<&NamedPoint>) -> String {
    let said = "no threshold was applied, so that somebody is named whoever is on an image";
    let Some(point) = point else {
        return format!("{said}; facegrad calibrate measures thresholds, and --at applies one");
    };
    let below = |found: &&Found| found.nearest.as_ref().is_some_and(|nearest| !point.accepts(nearest.score));
    format!(
        "{said}; by --at {} (threshold {:.4}) it would be nobody on {} of {}",
        point.target,
        point.threshold,
        found.iter().filter(below).count(),
        found.len()
    )
}

/// How often a stranger is named in a gallery of so many people and images.
fn false_positives(point: &NamedPoint, people: usize, images: usize) -> String {
    let percent = |comparisons| format!("{:.3} %", point.false_positive_rate(comparisons) * 100.0);
    let rate = match people == images {
        true => percent(people),
        false => {
            format!("{} (one comparison a person) to {} (one an image)", percent(people), percent(images))
        }
    };
    format!(
        "a search compares with everybody: of {people} people, a stranger is named in about {rate} of searches (FPIR = 1 - (1 - FAR)^N, if comparisons are independent)"
    )
}

/// A gallery of embedded images.
fn make(
    model: &EmbeddingModel,
    chosen: &Chosen,
    images: &ImageSet,
    flip: Flip,
    embedded: ImageEmbeddings,
) -> Result<Gallery, Failure> {
    // A single image of a person is called as the person.
    let stem = |name: &String| name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
    let identities = match images.identities() {
        Some(identities) => identities.to_vec(),
        None => images.names().iter().map(stem).collect(),
    };
    let origin = model.origin(flip, &chosen.description, Some(embedded.images_sha256));
    Ok(Gallery::new(embedded.dim, embedded.rows, images.names().to_vec(), identities, origin)?)
}

/// The embeddings of all `images`.
fn embed(
    args: &Args,
    model: &EmbeddingModel,
    chosen: &Chosen,
    images: &dyn Images,
    flip: Flip,
) -> Result<ImageEmbeddings, Failure> {
    let embedder = Embedder::model(model, args.batch.size(), &chosen.description);
    Ok(embedder.embed(images, flip, &mut counted(images.len()))?)
}
