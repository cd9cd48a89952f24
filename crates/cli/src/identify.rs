//! `facegrad identify`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use facegrad::Chosen;
use facegrad::embeddings::{Gallery, Match};
use facegrad::recognition::{Embedder, EmbeddingModel, ImageEmbeddings, ImageFiles, ImageSet, Images};
use facegrad::verification::Flip;
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use crate::{
    arguments::{BatchArgs, ModelArgs, file_to_read},
    failure::Failure,
    progress::counted,
    say,
};

#[derive(clap::Args)]
#[command(
    after_help = "Examples: facegrad identify people probe.jpg --model checkpoints/quickstart --top 5\n          facegrad identify people --model checkpoints/quickstart --save people.safetensors\n          facegrad identify people.safetensors *.jpg --model checkpoints/quickstart"
)]
pub struct Args {
    /// The people: a folder with one folder of images a person, or with one image a person, called as the person;
    /// a text list with lines `path person`; or an index that --save wrote.
    #[arg(value_parser = file_to_read())]
    gallery: PathBuf,
    /// The images to tell who is on.
    #[arg(required_unless_present = "save", value_parser = file_to_read())]
    probes: Vec<PathBuf>,
    /// How many people to name for each probe.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Keep the gallery as an index, a .safetensors file, which saves embedding it again.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How an image and its mirror image become one embedding: none, add, norm_weighted, unit, concat; default
    /// add, or that of the index.
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
        None => Some(ImageSet::open(&args.gallery, None)?),
        Some(_) => None,
    };
    crate::output::notes(images.as_ref().map_or(&[], ImageSet::notes));
    let (model, chosen) = args.model.load()?;
    let embed = |images: &dyn Images, flip: Flip| embed(&args, &model, &chosen, images, flip);
    let gallery = match (stored, images) {
        (Some(gallery), _) => gallery,
        (None, Some(images)) => {
            let flip = args.flip.unwrap_or(Flip::Add);
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
    if let Some(file) = &args.save {
        gallery.save(file)?;
        crate::remark!("{}: {} images of the gallery", file.display(), gallery.len());
    }

    let named = |path: &PathBuf| (path.display().to_string(), path.clone());
    let probes = ImageFiles::new(args.probes.iter().map(named));
    let found = embed(&probes, flip)?
        .rows
        .chunks(gallery.dim())
        .map(|probe| gallery.identify(probe, args.top.into()))
        .collect::<Result<Vec<_>, _>>()?;
    let found: Vec<(String, Vec<Match>)> =
        (0..probes.len()).map(|probe| probes.name(probe)).zip(found).collect();
    if args.json {
        let text = json!({
            "gallery": { "path": args.gallery, "images": gallery.len(), "origin": gallery.origin() },
            "probes": found.iter().map(|(probe, people)| of_probe(probe, people)).collect::<Vec<_>>(),
        });
        say!("{text:#}");
        return Ok(ExitCode::SUCCESS);
    }
    for (i, (probe, people)) in found.iter().enumerate() {
        if i > 0 {
            say!("");
        }
        say!("{probe}");
        let mut table = TextTable::new(&[Align::Right, Align::Left, Align::Left, Align::Right]);
        table.row(["rank", "person", "image", &gallery.origin().scoring.to_string()]);
        for (rank, Match { name, identity, score }) in (1..).zip(people) {
            table.row([rank.to_string(), identity.clone(), name.clone(), format!("{score:.4}")]);
        }
        say!("{}", table.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn of_probe(probe: &str, people: &[Match]) -> Value {
    let people = (1..).zip(people).map(|(rank, Match { name, identity, score }): (usize, _)| {
        json!({ "rank": rank, "person": identity, "image": name, "score": score })
    });
    json!({ "probe": probe, "people": people.collect::<Vec<_>>() })
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
