//! Training on a folder of images as people have them: damaged files, junk, names in any script.

mod support;

use std::{fs, path::Path};

use support::{Place, TINY};

/// A folder of four identities with eight good images each, junk, and seven images that cannot be used.
struct Faces {
    place: Place,
    /// Each unusable file, and a part of what is wrong with it.
    bad: Vec<(&'static str, &'static str)>,
}

impl Faces {
    fn new() -> Self {
        let place = Place::new();
        for (format, first) in [("png", "0"), ("jpg", "2")] {
            let synth =
                ["data", "synth", "--identities", "2", "--images", "8", "--size", "24", "--out", format];
            place.facegrad(&[&synth[..], &["--format", format, "--first-identity", first]].concat()).done();
        }
        let people = [
            ("png/000000", "Zoë Müller"),
            ("png/000001", "山田 太郎"),
            ("jpg/000002", "ann lee"),
            ("jpg/000003", "o'brien"),
        ];
        fs::create_dir(place.path("faces")).unwrap();
        for (from, to) in people {
            fs::rename(place.path(from), place.path(&format!("faces/{to}"))).unwrap();
        }
        // Images below a folder of an identity's own are that identity's.
        fs::create_dir(place.path("faces/ann lee/2019")).unwrap();
        fs::rename(place.path("faces/ann lee/0007.jpg"), place.path("faces/ann lee/2019/x.JPG")).unwrap();

        let png = place.read("faces/Zoë Müller/0000.png");
        let jpg = place.read("faces/ann lee/0000.jpg");
        let mut corrupt = png.clone();
        let middle = corrupt.len() / 2;
        corrupt[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0xA5);
        place.write("faces/Zoë Müller/corrupt.png", corrupt);
        place.write("faces/Zoë Müller/cut.png", &png[..png.len() / 2]);
        place.write("faces/ann lee/cut.jpg", &jpg[..jpg.len() - 40]);
        place.write("faces/ann lee/text.jpg", "this is no image");
        place.write("faces/o'brien/large.pgm", "P5\n60000 60000\n255\n0");
        // A start-of-frame segment (ITU-T T.81, B.2.2): length, precision, height, width.
        let mut huge = jpg;
        let frame = huge.windows(2).position(|pair| pair == [0xFF, 0xC0] || pair == [0xFF, 0xC2]).unwrap();
        huge[frame + 5..frame + 9].fill(0xFF);
        place.write("faces/o'brien/huge.jpg", huge);
        place.write("faces/o'brien/wrong name.png", "GIF89a and so on");

        let junk = ["readme.txt", "loose.png", "ann lee/.DS_Store", "ann lee/list.csv", ".cache/a/b.jpg"];
        junk.iter().for_each(|name| place.write(&format!("faces/{name}"), "junk"));
        place.write("faces/o'brien/empty.jpg", "");

        let train = "kind = \"folder\"\npath = \"faces\"";
        let config = TINY.replace("kind = \"synthetic\"\nidentities = 20\nimages = 8\nsize = 20", train);
        // 39 images: three steps an epoch visit each once.
        place.write("faces.toml", config.replace("batch = 16", "batch = 13"));
        let bad = vec![
            ("Zoë Müller/corrupt.png", "the PNG data cannot be decoded: "),
            ("Zoë Müller/cut.png", "the PNG data ends early"),
            ("ann lee/cut.jpg", "the JPEG data ends early"),
            ("ann lee/text.jpg", "its content is not a JPEG, PNG, WebP, BMP or PNM image"),
            ("o'brien/huge.jpg", "its header claims 65535 x 65535 pixels; "),
            ("o'brien/large.pgm", "its header claims 60000 x 60000 pixels; "),
            ("o'brien/wrong name.png", "its content is not a JPEG, PNG, WebP, BMP or PNM image"),
        ];
        Self { place, bad }
    }

    fn train(&self, changes: &[&str]) -> support::Ended {
        let few = ["run.steps=9", "run.evaluate_every=9", "run.checkpoint_every=3"];
        self.place.facegrad(&support::train("faces.toml", &[&few[..], changes].concat()))
    }
}

#[test]
fn unusable_images_are_named_once_and_training_goes_on() {
    let faces = Faces::new();
    let ended = faces.train(&["data.loader.max_bad_share=0.2"]).done();
    let data = "data     39 images of 4 identities; left out: 5 junk files, 1 image in no person's folder; \
                endings that are not read: 1 .csv, 1 .txt\n";
    assert!(ended.stdout.contains(data), "{ended}");

    let skipped: Vec<&str> = ended.stderr.lines().filter_map(|line| line.strip_prefix("skipped ")).collect();
    assert_eq!(skipped.len(), faces.bad.len(), "{ended}");
    let events = faces.place.events("runs/tiny", "skipped");
    assert_eq!(events.len(), faces.bad.len());
    let report = faces.place.text("runs/tiny/report.html");
    for (file, reason) in &faces.bad {
        let file = Path::new("faces").join(file);
        let line = format!("{}: {reason}", file.display());
        assert_eq!(skipped.iter().filter(|said| said.starts_with(&line)).count(), 1, "{line}\n{ended}");
        let event = events.iter().find(|event| event["image"] == file.to_str().unwrap()).unwrap();
        assert!(event["reason"].as_str().unwrap().starts_with(reason), "{event}");
        assert!(report.contains(file.to_str().unwrap()), "{} is not in the report", file.display());
    }
    let metrics = faces.place.metrics("runs/tiny");
    assert!(metrics.last().unwrap().starts_with("9,3,"), "{metrics:?}");

    // What stands in for them depends on the seed alone.
    faces.train(&["data.loader.max_bad_share=0.2", "data.loader.workers=3"]).done();
    assert!(faces.place.weights("runs/tiny") == faces.place.weights("runs/tiny-2"));
}

#[test]
fn too_many_unusable_images_end_the_run() {
    let faces = Faces::new();
    for (share, allowed) in [("0", 0), ("0.05", 2), ("0.15", 6)] {
        let sentence = faces.train(&[&format!("data.loader.max_bad_share={share}")]).code(1).sentence();
        // A step meets several at once.
        let (bad, rest) = sentence.split_once(" of 39 images (").unwrap();
        let bad: usize = bad.parse().unwrap();
        assert!(bad > allowed && bad <= faces.bad.len(), "{sentence}");
        let percent = bad as f64 / 39.0 * 100.0;
        let expected = format!(
            "{percent:.2} %) cannot be used, more than max_bad_share = {share} allows; the first is faces/"
        );
        assert!(rest.starts_with(&expected), "{sentence}");
        let first = &rest[expected.len()..];
        let is_named = |(file, reason): &(&str, &str)| first.starts_with(&format!("{file}: {reason}"));
        assert!(faces.bad.iter().any(is_named), "{sentence}");
    }
    // Exactly as many as there are is not too many.
    faces.train(&["data.loader.max_bad_share=0.18"]).done();
}

#[test]
fn identities_with_few_images_are_left_out_by_key() {
    let faces = Faces::new();
    for file in fs::read_dir(faces.place.path("faces/山田 太郎")).unwrap().skip(3) {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let changes = ["data.train.min_images=4", "data.loader.max_bad_share=0.3", "run.batch=4"];
    let ended = faces.train(&changes).done();
    let data = "data     31 images of 3 identities; left out: 5 junk files, 1 image in no person's folder, \
                1 identity with too few images; \
                endings that are not read: 1 .csv, 1 .txt\n";
    assert!(ended.stdout.contains(data), "{ended}");
}
