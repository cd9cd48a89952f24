//! `facegrad identify`.

use std::{path::PathBuf, process::ExitCode};

use facegrad::embeddings::{Gallery, Match};
use facegrad::recognition::{
    ImageSet, Images, NamedPoint,
    operating_points::{MeasuredRates, ThresholdTarget},
};
use facegrad::verification::{Flip, Similarity};
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use crate::{
    arguments::{BatchArgs, ModelArgs, file_to_read},
    failure::Failure,
    gallery::{self, GalleryFacts, GalleryMaker, is_gallery_file, people_in},
    points::{DIFFERENT, check_sizes, choose},
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
    /// fpir=<rate>, measured by searches of strangers in a gallery, or far=<rate>, eer or accuracy, measured on pairs.
    /// Whoever is on an image that nobody reaches is nobody of the gallery.
    #[arg(long, value_name = "POINT")]
    at: Option<ThresholdTarget>,
    /// Accept images of another size than those the point was measured on: they are resized, and must be aligned
    /// to the same template.
    #[arg(long, requires = "at")]
    any_size: bool,
    /// End with exit code 3 if nobody of the gallery is on an image.
    #[arg(long, requires = "at")]
    exit_code: bool,
    /// Keep the gallery as an index, a .safetensors file, which saves embedding it again. One that is there is brought up
    /// to date: only images that are new or have changed are embedded, and those that are gone are left out.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How an image and its mirror image become one embedding: none, add, norm_weighted, unit, concat; default
    /// that of the index, also of the one that --save brings up to date, or of the operating point, or add.
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
    // What is wrong with lists and folders shows before a model is loaded.
    let before = args.save.as_deref().map(gallery::before).transpose()?.flatten();
    let stored = is_gallery_file(&args.gallery).then(|| Gallery::open(&args.gallery)).transpose()?;
    let is_stored = stored.is_some();
    if is_stored && !args.overrides.is_empty() {
        return Err(Failure::input(format!(
            "--set has no effect on {}, which is a gallery that is made already; give it where the gallery is made",
            args.gallery.display()
        )));
    }
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
    let maker = |flip: Flip| GalleryMaker { model: &model, chosen: &chosen, batch: args.batch.size(), flip };
    let mut told = None;
    let gallery = match (stored, images) {
        (Some(gallery), _) => gallery,
        (None, Some(images)) => {
            let of_model = |before: &&Gallery| before.origin().model_sha256 == model.tensors_sha256;
            let as_before = before.as_ref().filter(of_model).map(|before| before.origin().flip);
            let flip = args.flip.or(as_before).or(point.map(|point| point.flip)).unwrap_or(Flip::Add);
            if args.save.is_some() {
                let (gallery, said) =
                    maker(flip).make_to_keep(&images, &args.gallery, &args.overrides, before.as_ref())?;
                told = Some(said);
                gallery
            } else {
                maker(flip).make(&images)?
            }
        }
        (None, None) => unreachable!("images are opened where nothing is stored"),
    };
    let flip = args.flip.unwrap_or(gallery.origin().flip);
    gallery.check(&model.origin(flip, &chosen.description, None))?;
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
        let told = told.unwrap_or_else(|| format!("{} images of the gallery", gallery.len()));
        crate::remark!("{}: {told}", file.display());
    }

    if let Some(point) = point.filter(|_| !args.any_size) {
        check_sizes(&probes, point, model.card.preprocessing.size)?;
    }
    let found = maker(flip)
        .embed(&probes)?
        .rows
        .chunks(gallery.dim())
        .map(|probe| gallery.identify(probe, args.top.into()))
        .collect::<Result<Vec<_>, _>>()?;
    let found: Vec<Found> = (0..probes.len())
        .map(|probe| probes.name(probe))
        .zip(found)
        .map(|(probe, people)| Found::of(probe, people, point))
        .collect();
    let facts = is_stored.then(|| GalleryFacts::of(&args.gallery, &gallery));
    if let Some(facts) = &facts {
        crate::remark!("{}", facts.line());
        if let Some(command) = facts.renewal(&args.model.path()?) {
            crate::remark!("note: bring it up to date with {command}");
        }
    }
    let nobody = found.iter().filter(|found| found.people.is_empty()).count();
    if point.is_none() && !found.is_empty() {
        let usable = points.iter().filter(holds).max_by_key(|point| point.target.is_of_searches());
        crate::remark!("note: {}", without_threshold(&found, usable));
    }
    let (people, images) = (people_in(gallery.identities()), gallery.len());
    if args.json {
        let gallery = match &facts {
            Some(facts) => facts.to_json(),
            None => gallery::to_json(&args.gallery, &gallery, None),
        };
        let probes: Vec<Value> = found.iter().map(Found::to_json).collect();
        let threshold = point.map(|point| point.threshold);
        let expected = point.map(|point| point.expected_fpir(people, images));
        let text = json!({
            "gallery": gallery, "threshold": threshold, "point": point, "expected_fpir": expected, "probes": probes,
        });
        say!("{text:#}");
    } else {
        let texts: Vec<String> = found.iter().map(|found| found.to_text(scoring, point)).collect();
        if !texts.is_empty() {
            say!("{}", texts.join("\n\n"));
        }
        if let Some(point) = point.filter(|_| !texts.is_empty()) {
            say!("\n{}", point.describe());
            say!("{}", false_positives(point, people, images));
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
    let [low, high] = point.expected_fpir(people, images);
    let percent = |rate: f64| format!("{:.3} %", rate * 100.0);
    if let MeasuredRates::Searches(rates) = &point.rates {
        let among = rates.gallery_people;
        return match people == among {
            true => format!("this gallery has {people} people, as many as that was measured among"),
            false => format!(
                "this gallery has {people} people and that was measured among {among}: here a stranger is named in about {} of searches (1 - (1 - FPIR)^({people} / {among}), if comparisons are independent); to measure it, calibrate with a gallery of as many",
                percent(low)
            ),
        };
    }
    let rate = match people == images {
        true => percent(low),
        false => {
            format!("{} (one comparison a person) to {} (one an image)", percent(low), percent(high))
        }
    };
    format!(
        "a search compares with everybody: of {people} people, a stranger is named in about {rate} of searches (FPIR = 1 - (1 - FAR)^N, if comparisons are independent)"
    )
}
