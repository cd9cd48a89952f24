//! The folder in which the commands of a text run: small faces, lists, models, and the configs of the repository.

use std::{fmt::Write, fs, path::Path};

use facegrad::pictures::{ARCFACE_LANDMARKS, Similarity2d, decode::read_picture, warp, write_png};

use crate::support::{Place, copy};

/// People of `my-faces`: as many as `facegrad new` wants to keep some of them aside.
const MINE: usize = 66;
/// People of `lfw`, ten folds of six.
const OTHERS: usize = 60;
const IMAGES: usize = 4;

const GIVEN: [&str; 10] = ["Ada", "Bea", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Juno"];
const FAMILY: [&str; 6] = ["Abel", "Brook", "Cohn", "Diaz", "Eliot", "Faber"];

/// A small run on drawn faces, a few seconds long.
const QUICKSTART: [&str; 16] = [
    "run.epochs=1",
    "run.batch=32",
    "data.size=[32, 32]",
    "data.train.identities=100",
    "data.train.images=24",
    "data.train.size=32",
    "backbone.width=0.5",
    "backbone.embedding=64",
    "evaluation.0.folds=2",
    "evaluation.0.pairs_per_fold=20",
    "evaluation.0.source.identities=20",
    "evaluation.0.source.images=4",
    "evaluation.0.source.size=32",
    "run.name=quickstart",
    "run.keep=2",
    "run.log_every=5",
];

/// The place that the others are copies of.
pub fn prepared(repository: &Path) -> Place {
    let place = Place::new();
    fs::remove_file(place.path("tiny.toml")).unwrap();
    copy(&repository.join("configs"), &place.path("configs"));
    synth(&place, "my-faces", MINE, 0);
    synth(&place, "lfw-faces", OTHERS, 5000);
    for person in 0..OTHERS {
        let name = name(person);
        fs::create_dir_all(place.path(&format!("lfw/images/{name}"))).unwrap();
        for image in 0..IMAGES {
            let from = place.path(&format!("lfw-faces/{:06}/{image:04}.jpg", 5000 + person));
            fs::rename(from, place.path(&format!("lfw/images/{name}/{name}_{:04}.jpg", image + 1))).unwrap();
        }
    }
    fs::remove_dir_all(place.path("lfw-faces")).unwrap();
    let folds: String = (0..OTHERS).step_by(6).map(|first| pairs(first..first + 6)).collect();
    place.write("lfw/pairs.txt", format!("10\t36\n{folds}"));
    place.write("lfw/pairsDevTrain.txt", format!("180\n{}", pairs(0..30)));
    place.write("lfw/pairsDevTest.txt", format!("180\n{}", pairs(30..60)));
    for (copy, of) in [
        ("a.jpg", "lfw/images/Ada_Abel/Ada_Abel_0001.jpg"),
        ("b.jpg", "lfw/images/Ada_Abel/Ada_Abel_0002.jpg"),
        ("probe.jpg", "my-faces/000003/0003.jpg"),
        ("other.jpg", "my-faces/000007/0003.jpg"),
    ] {
        fs::copy(place.path(of), place.path(copy)).unwrap();
    }
    photographs(&place);
    let train = |config: &str, changes: &[&str]| {
        place.facegrad(&crate::support::train(config, changes)).done();
    };
    train("configs/quickstart.toml", &QUICKSTART);
    // The same network under the name and with the test of the run on real faces.
    let test = [
        "run.name=lfw-arcface",
        "head.kind=arcface",
        "head.margin=0.2",
        "evaluation=[{kind = \"pair_file\", name = \"lfw\", pairs = \"lfw/pairs.txt\", images = \"lfw/images\"}]",
    ];
    let arcface: Vec<&str> = QUICKSTART
        .into_iter()
        .filter(|change| !change.contains("evaluation") && !change.starts_with("run.name"))
        .chain(test)
        .collect();
    train("configs/quickstart.toml", &arcface);
    place
}

/// Draws people into a folder with one folder of images each.
fn synth(place: &Place, folder: &str, identities: usize, first: usize) {
    let (identities, images, first) = (identities.to_string(), IMAGES.to_string(), first.to_string());
    let people = ["--identities", &identities, "--images", &images, "--first-identity", &first];
    place.facegrad(&[&["data", "synth", "--format", "jpg", "--out", folder][..], &people].concat()).done();
    // A folder of one's own has faces only.
    for beside in ["contact-sheet.png", "recipe.toml"] {
        fs::remove_file(place.path(&format!("{folder}/{beside}"))).unwrap();
    }
}

fn name(person: usize) -> String {
    format!("{}_{}", GIVEN[person / 6], FAMILY[person % 6])
}

/// Six pairs of each of some people, and as many of different ones, in LFW's form.
fn pairs(people: std::ops::Range<usize>) -> String {
    let mut text = String::new();
    let count = people.len();
    for person in people.clone() {
        for (i, j) in [(1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)] {
            writeln!(text, "{}\t{i}\t{j}", name(person)).unwrap();
        }
    }
    for (k, person) in people.clone().enumerate() {
        for i in 0..6 {
            let other = people.start + (k + 1 + i % (count - 1)) % count;
            writeln!(text, "{}\t{}\t{}\t{}", name(person), 1 + i % 4, name(other), 1 + (i + k) % 4).unwrap();
        }
    }
    text
}

/// Faces of `my-faces` turned and on larger pictures, as `photographs`, with the table of their landmarks.
fn photographs(place: &Place) {
    let mut table = String::new();
    for i in 0..12 {
        let file = format!("{:06}/{:04}", i % 4, i / 4);
        let (angle, scale) = ((i as f32 * 0.4).sin() * 0.4, 1.0 + 0.5 * (i as f32).cos());
        let known = ARCFACE_LANDMARKS.map(|[x, y]| {
            let (x, y) = ((x - 56.0) * scale, (y - 56.0) * scale);
            [150.0 + x * angle.cos() - y * angle.sin(), 120.0 + x * angle.sin() + y * angle.cos()]
        });
        let turned = Similarity2d::estimate(ARCFACE_LANDMARKS, known).unwrap();
        let face = read_picture(&place.path(&format!("my-faces/{file}.jpg"))).unwrap();
        let path = place.path(&format!("photographs/{file}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_png(&warp(&face, &turned, [240, 300]), &path).unwrap();
        let numbers: Vec<String> = known.as_flattened().iter().map(f32::to_string).collect();
        writeln!(table, "{file}.png {}", numbers.join(" ")).unwrap();
    }
    place.write("landmarks.txt", table);
}
