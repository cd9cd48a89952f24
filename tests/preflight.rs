//! What `facegrad train` tells before it trains, and what it refuses to begin.

mod support;

use serde_json::Value;
use support::{Place, TINY};

/// [`TINY`] with `train` as its `[data.train]`.
fn config(train: &str) -> String {
    TINY.replace(
        "kind = \"synthetic\"\nidentities = 20\nimages = 8\nsize = 20\n\n[backbone]",
        &format!("{train}\n\n[backbone]"),
    )
}

/// The line of `text` that begins with `word`, without it.
fn line<'a>(text: &'a str, word: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in\n{text}")).trim_start()
}

/// The text up to the first line that does not belong to the preflight.
fn block(text: &str) -> Vec<&str> {
    let words = ["backend", "data", "sampler", "model", "classes", "loss", "memory", "note"];
    text.lines().filter(|line| words.iter().any(|word| line.starts_with(&format!("{word} ")))).collect()
}

#[test]
fn a_run_begins_with_what_it_is_about_to_do() {
    let place = Place::new();
    let ended = place.train(&["run.steps=12"]).done();
    let said = &ended.stdout;
    assert_eq!(line(said, "classes"), "20, with 8 images each");
    assert!(line(said, "sampler").starts_with("random"), "{ended}");
    let first: f64 =
        line(said, "loss").trim_start_matches("about ").trim_end_matches(" at first").parse().unwrap();
    let memory = line(said, "memory");
    assert!(memory.starts_with("about ") && memory.contains(" MiB"), "{ended}");
    let time = line(said, "time");
    assert!(
        time.starts_with("about ") && time.contains(": 12 steps of ") && time.contains("evaluations of "),
        "{ended}"
    );
    assert!(!said.contains("note "), "{ended}");

    let start = place.events("runs/tiny", "start").pop().unwrap();
    assert_eq!(start["images_per_identity"], serde_json::json!({ "least": 8, "median": 8, "most": 8 }));
    assert_eq!(
        (&start["identities"], &start["images"], &start["total"]),
        (&20.into(), &160.into(), &12.into())
    );
    assert!((start["expected_first_loss"].as_f64().unwrap() - first).abs() < 1e-3, "{start}");
    assert!(start["memory"]["total"].as_u64().unwrap() > 1 << 20, "{start}");
    assert!(start["time"]["total"].as_f64().unwrap() > 0.0, "{start}");
}

#[test]
fn the_preflight_alone_trains_and_writes_nothing() {
    let place = Place::new();
    let alone = place.facegrad(&["train", "tiny.toml", "--preflight"]).done();
    assert!(!place.path("runs").exists());
    assert_eq!(line(&alone.stdout, "run"), "40 steps, 10 an epoch");

    let json: Value =
        serde_json::from_str(&place.facegrad(&["train", "tiny.toml", "--preflight", "--json"]).done().stdout)
            .unwrap();
    assert_eq!(
        (&json["total"], &json["steps_per_epoch"], &json["notes"]),
        (&40.into(), &10.into(), &Value::Array(vec![]))
    );
    assert!(json["sampler"].as_str().unwrap().starts_with("random") && json.get("step").is_none());
    assert!(!place.path("runs").exists());

    // A run says the same, but for what a machine does differently each time.
    let stable = |text: &str| -> Vec<String> {
        block(text).iter().filter(|line| !line.starts_with("memory")).map(|line| line.to_string()).collect()
    };
    assert_eq!(stable(&place.train(&[]).done().stdout), stable(&alone.stdout));

    let said = place.facegrad(&["train", "--resume", "runs/tiny", "--preflight"]).code(2).stderr;
    assert!(said.contains("--preflight") && said.contains("--resume"), "{said}");
}

/// A comparison measures no time before its runs, and trains to the same bytes.
#[test]
fn the_preflight_changes_nothing_in_the_run() {
    let place = Place::new();
    place.train(&[]).done();
    place.facegrad(&["compare", "tiny.toml", "--steps", "40", "--seeds", "1", "--out", "out"]).done();
    let folder = place.path("out").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let run = folder.filter(|path| path.join("last").exists()).collect::<Vec<_>>();
    let [run] = &run[..] else { panic!("{run:?}") };
    let run = run.strip_prefix(place.path("")).unwrap().to_str().unwrap().to_owned();
    let start = |run: &str| place.events(run, "start").pop().unwrap();
    assert!(start("runs/tiny")["time"].is_object() && start(&run)["time"].is_null());
    assert!(place.weights("runs/tiny") == place.weights(&run));
}

#[test]
fn every_sampler_tells_what_it_makes_of_the_set() {
    let place = Place::new();
    std::fs::create_dir(place.path("faces")).unwrap();
    for (images, first) in [("20", 0), ("3", 2), ("1", 4)] {
        let first_identity = first.to_string();
        let synth = ["data", "synth", "--size", "20", "--out", "drawn", "--first-identity", &first_identity];
        place.facegrad(&[&synth[..], &["--identities", "2", "--images", images]].concat()).done();
        for identity in first..first + 2 {
            let [from, to] = ["drawn", "faces"].map(|folder| place.path(&format!("{folder}/{identity:06}")));
            std::fs::rename(from, to).unwrap();
        }
        std::fs::remove_dir_all(place.path("drawn")).unwrap();
    }
    place.write("folder.toml", config("kind = \"folder\"\npath = \"faces\""));
    let preflight = |changes: &[&str]| {
        place.facegrad(&[&support::train("folder.toml", changes)[..], &["--preflight"]].concat())
    };
    let sampler = |changes: &[&str]| line(&preflight(changes).done().stdout, "sampler").to_owned();
    assert_eq!(sampler(&[]), "random, every image once an epoch");
    assert_eq!(line(&preflight(&[]).done().stdout, "classes"), "6, with 1 to 20 images each, median 3");
    assert_eq!(
        sampler(&["sampler.kind=class_balanced", "sampler.cap=2"]),
        "class_balanced, 6 identities with 16.0 visits an epoch; 4 of them fewer, as an image is visited 2 times an epoch at most"
    );
    assert_eq!(
        sampler(&["sampler.kind=square_root"]),
        "square_root, 6 identities with 3.3 to 14.9 visits an epoch"
    );
    assert_eq!(
        sampler(&["sampler.kind=pk"]),
        "pk, 4 identities x 4 images a batch; 2 of 6 identities have fewer than 2 images and take no part; 2 of 6 have fewer than 4, so that one image of theirs is up to 2 times in a batch"
    );
    // What cannot be filled.
    let said = preflight(&["sampler.kind=pk", "sampler.images=2"]).refused(2);
    assert!(said.starts_with("the data set has 4 of the 8 identities with at least 2 images"), "{said}");
    assert!(!place.path("runs").exists());

    // They train, resume and learn as any other.
    for kind in ["class_balanced", "square_root"] {
        let set = ["sampler.kind=".to_owned() + kind, format!("run.name={kind}"), "run.keep=9".into()];
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        place.facegrad(&support::train("folder.toml", &set)).done();
        let (metrics, weights) =
            (place.metrics(&format!("runs/{kind}")), place.weights(&format!("runs/{kind}")));
        let middle = format!("runs/{kind}/checkpoint-000020");
        place.facegrad(&["train", "--resume", &middle]).done();
        assert_eq!(place.metrics(&format!("runs/{kind}")), metrics, "{kind}");
        assert!(place.weights(&format!("runs/{kind}")) == weights, "{kind}");
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let place = Place::new();
    let synth = ["data", "synth", "--identities", "3", "--images", "6", "--size", "20", "--out", "faces"];
    place.facegrad(&synth).done();
    place.write("folder.toml", config("kind = \"folder\"\npath = \"faces\""));
    let refused = |changes: &[&str]| {
        let train = place.facegrad(&support::train("folder.toml", changes)).refused(2);
        let alone = support::train("folder.toml", changes);
        let alone = place.facegrad(&[&alone[..], &["--preflight"]].concat()).refused(2);
        assert_eq!(train, alone);
        assert!(!place.path("runs").exists());
        train
    };
    let said = refused(&["run.batch=19"]);
    assert_eq!(said, "the data set has 18 images, too few for one batch of 19; choose a smaller batch size");
    let said = refused(&["data.train.max_identities=1"]);
    assert!(said.contains("identit"), "{said}");
    for identity in 0..3 {
        for image in place.path(&format!("faces/{identity:06}")).read_dir().unwrap() {
            std::fs::write(image.unwrap().path(), "no image at all").unwrap();
        }
    }
    let said = refused(&[]);
    assert!(
        said.starts_with("none of the 16 training images that were tried can be read; the first is ")
            && said.ends_with("its content is not a JPEG, PNG, WebP, BMP or PNM image"),
        "{said}"
    );
}

#[test]
fn what_may_be_wrong_is_noted() {
    let place = Place::new();
    let synth = ["data", "synth", "--identities", "4", "--images", "6", "--size", "24", "--out", "faces"];
    place.facegrad(&synth).done();
    for (number, name) in ["Ann_Lee", "Bo Li", "Zoë", "x"].iter().enumerate() {
        let from = place.path(&format!("faces/{number:06}"));
        std::fs::rename(from, place.path(&format!("faces/{name}"))).unwrap();
    }
    let pairs = "faces/Ann_Lee/0000 faces/Ann_Lee/0001 1\nfaces/Ann_Lee/0000 faces/Zoë/0000 0\n";
    place.write("pairs.txt", pairs);
    let evaluation = TINY.find("[[evaluation]]").unwrap();
    let without = config("kind = \"folder\"\npath = \"faces\"").replace(&TINY[evaluation..], "");
    let test =
        "[[evaluation]]\nkind = \"pair_file\"\nname = \"friends\"\npairs = \"pairs.txt\"\nimages = \".\"\n";
    place.write("folder.toml", without + test);
    let ended = place.facegrad(&["train", "folder.toml", "--preflight"]).done();
    let notes: Vec<&str> = ended.stdout.lines().filter_map(|line| line.strip_prefix("note     ")).collect();
    assert_eq!(
        notes,
        [
            "images are 24x24 (width x height) and are resized to 20x20; if the faces are not aligned yet, see facegrad align",
            "2 people of evaluation friends have the name of a training identity, such as Ann_Lee: what it measures is not about strangers only",
        ],
        "{ended}"
    );
}
