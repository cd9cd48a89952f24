//! `facegrad data audit`: planted faults are found, nothing else is, and training takes the list of what to leave out.

mod support;

use std::{collections::BTreeMap, fs};

use facegrad::pictures::{ARCFACE_LANDMARKS, ImageFormat, Picture, encode};
use facegrad::synthetic::{SyntheticConfig, SyntheticFaces};
use serde_json::Value;
use support::{Ended, FACEGRAD, Place, TINY};

const SIDE: usize = 64;

/// People that a folder holds, and more.
fn people() -> SyntheticFaces {
    SyntheticFaces::new(&SyntheticConfig { identities: 40, size: SIDE, ..Default::default() })
}

fn jpg(picture: &Picture) -> Vec<u8> {
    encode(picture, ImageFormat::Jpeg).unwrap()
}

fn png(picture: &Picture) -> Vec<u8> {
    encode(picture, ImageFormat::Png).unwrap()
}

fn each_pixel(picture: &Picture, change: impl Fn([u8; 3]) -> [u8; 3]) -> Picture {
    let pixels = picture.pixels().chunks_exact(3).flat_map(|pixel| change([pixel[0], pixel[1], pixel[2]]));
    Picture::new(picture.width(), picture.height(), pixels.collect())
}

fn dim(picture: &Picture) -> Picture {
    each_pixel(picture, |pixel| pixel.map(|v| (f32::from(v) * 0.8 + 10.0) as u8))
}

fn mirrored(picture: &Picture) -> Picture {
    let rows = picture.pixels().chunks_exact(picture.width() * 3);
    let pixels = rows.flat_map(|row| row.chunks_exact(3).rev().flatten()).copied().collect();
    Picture::new(picture.width(), picture.height(), pixels)
}

/// A folder of six people with six images each and one fault of every kind, and an evaluation set beside it.
fn faults() -> Place {
    let place = Place::new();
    let people = people();
    let names = ["a", "b", "c", "d", "Ann_Lee", "ann lee"];
    let picture = |person: usize, picture: usize| people.render(person, picture, SIDE);
    for (person, name) in names.iter().enumerate() {
        (0..6).for_each(|k| place.write(&format!("faces/{name}/{k}.jpg"), jpg(&picture(person, k))));
    }
    place.write("faces/a/copy.jpg", place.read("faces/a/1.jpg"));
    place.write("faces/b/dim.jpg", jpg(&dim(&picture(1, 2))));
    place.write("faces/b/mirror.png", png(&mirrored(&picture(1, 4))));
    let whole = place.read("faces/c/0.jpg");
    place.write("faces/c/cut.jpg", &whole[..whole.len() * 2 / 3]);
    place.write("faces/c/other.jpg", png(&picture(2, 40)));
    place.write("faces/c/text.png", "no image, and a name with \"quotes\"");
    let grey = each_pixel(&picture(3, 40), |[r, g, b]| {
        [((u16::from(r) + u16::from(g) + u16::from(b)) / 3) as u8; 3]
    });
    place.write("faces/d/grey.png", png(&grey));
    place.write("faces/d/empty.jpg", "");
    place.write("faces/d/large.png", png(&people.render(3, 41, 80)));
    place.write("faces/ann lee/5, again.jpg", place.read("faces/Ann_Lee/5.jpg"));
    place.write("faces/tiny/0.png", png(&picture(7, 0)));

    place.write("test/ANN-LEE/0.png", png(&picture(20, 0)));
    place.write("test/zed/0.jpg", jpg(&dim(&picture(3, 3))));
    place.write("test/zed/1.jpg", jpg(&picture(21, 1)));
    place
}

fn audit(place: &Place, arguments: &[&str]) -> Ended {
    place.facegrad(&[&["data", "audit", "faces"][..], arguments].concat())
}

fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.done().stdout).unwrap()
}

/// The images of groups of duplicates.
fn groups(found: &Value) -> Vec<Vec<&str>> {
    let groups = found.as_array().unwrap().iter();
    groups
        .map(|group| group.as_array().unwrap().iter().map(|one| one["image"].as_str().unwrap()).collect())
        .collect()
}

#[test]
fn planted_faults_are_found_and_nothing_else() {
    let place = faults();
    let found = json(audit(&place, &["--against", "test", "--json"]));
    assert_eq!((&found["images"], &found["identities"]), (&46.into(), &7.into()));
    assert_eq!(found["images_per_identity"], serde_json::json!({ "least": 1, "median": 7, "most": 9 }));
    let unreadable: BTreeMap<&str, &str> = found["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bad| (bad["image"].as_str().unwrap(), bad["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(unreadable.len(), 2, "{unreadable:?}");
    assert_eq!(unreadable["c/cut.jpg"], "the JPEG data ends early");
    assert!(unreadable["c/text.png"].starts_with("its content is not"), "{unreadable:?}");

    assert_eq!(
        groups(&found["duplicates"]),
        [vec!["a/1.jpg", "a/copy.jpg"], vec!["b/2.jpg", "b/dim.jpg"], vec!["b/4.jpg", "b/mirror.png"]]
    );
    assert_eq!(found["duplicates"][0][1]["same"], "file");
    assert_eq!(found["duplicates"][1][1]["same"], "near");
    assert_eq!(found["duplicates"][2][1]["mirrored"], true);
    assert_eq!(groups(&found["cross_identity"]), [vec!["Ann_Lee/5.jpg", "ann lee/5, again.jpg"]]);

    assert_eq!(found["misnamed"], serde_json::json!(["c/other.jpg"]));
    assert_eq!(found["size"], serde_json::json!({ "width": 64, "height": 64 }));
    assert_eq!(found["wrong_size"], serde_json::json!(["d/large.png"]));
    assert_eq!(found["few_images"], serde_json::json!([{ "identity": "tiny", "images": 1 }]));
    assert_eq!(found["names_alike"], serde_json::json!([["Ann_Lee", "ann lee"]]));
    let against = &found["against"];
    assert_eq!(against["by_name"], serde_json::json!([["Ann_Lee", "ANN-LEE"], ["ann lee", "ANN-LEE"]]));
    let images = against["by_image"].as_array().unwrap();
    assert_eq!(images.len(), 1, "{images:?}");
    assert_eq!((&images[0]["image"], &images[0]["other"]), (&"d/3.jpg".into(), &"zed/0.jpg".into()));

    let said = audit(&place, &[]).done().stdout;
    for line in
        ["passed over: 1 junk file", "46 images of 7 identities", "2 images (4.3 %)", "--exclude FILE.csv"]
    {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }

    // Some of the others are grey as well.
    let grey = |found: &Value| found["grey"].as_u64().unwrap();
    fs::remove_file(place.path("faces/d/grey.png")).unwrap();
    let without = json(audit(&place, &["--json"]));
    assert_eq!(grey(&without) + 1, grey(&found));
}

#[test]
fn who_would_lose_every_image_is_named() {
    let place = faults();
    // The only image of one person is one of another's, too.
    place.write("faces/lost/0.jpg", place.read("faces/d/2.jpg"));
    let named = "nothing would be left of 1 identity: lost";
    let arguments = ["--exclude", "out.csv", "--report", "page.html"];
    for arguments in [&[][..], &arguments] {
        let said = audit(&place, arguments).done().stdout;
        assert!(said.lines().any(|line| line == named), "{said}");
    }
    let found = json(audit(&place, &["--json"]));
    assert_eq!(found["excluded"]["identities_emptied"], serde_json::json!(["lost"]));
    let page = place.text("page.html");
    let (_, table) = page.split_once("Identities of which nothing is left").unwrap();
    assert!(table.contains("lost"), "{table}");
    // Without that reason nobody is.
    let said = audit(&place, &["--exclude", "out.csv", "--exclude-what", "duplicate"]).done().stdout;
    assert!(!said.contains("nothing would be left"), "{said}");
}

#[test]
fn landmarks_tell_faces_that_lie_elsewhere() {
    let place = faults();
    let scale = SIDE as f32 / 112.0;
    // One face is where it should be, one within the tolerance, one is not; a file that cannot be read has no say.
    let line = |name: &str, off: f32| {
        let points = ARCFACE_LANDMARKS.map(|[x, y]| format!("{},{}", (x + off) * scale, y * scale));
        format!("{name},{}\n", points.join(","))
    };
    let lines = [("a/0.jpg", 0.0), ("a/1.jpg", 5.5), ("Ann_Lee/3.jpg", 9.0), ("c/text.png", 30.0)];
    place.write("points.csv", lines.map(|(name, off)| line(name, off)).concat());
    let arguments = ["--landmarks", "points.csv", "--exclude", "out.csv", "--exclude-what", "unaligned"];
    let found = json(audit(&place, &[&arguments[..], &["--json"]].concat()));
    assert_eq!(found["with_landmarks"], 3);
    let misplaced = found["misplaced"].as_array().unwrap();
    assert_eq!((misplaced.len(), &misplaced[0]["image"]), (1, &"Ann_Lee/3.jpg".into()), "{misplaced:?}");
    assert!((misplaced[0]["eyes_off"].as_f64().unwrap() - 9.0).abs() < 1e-3, "{misplaced:?}");
    let list = place.text("out.csv");
    assert!(list.contains("Ann_Lee/3.jpg") && list.contains("eyes 9.0 pixels off"), "{list}");
    let table = audit(&place, &arguments).done().stdout;
    assert!(
        table.contains("1 image with an eye more than 6 pixels off its place, of 3 images with landmarks"),
        "{table}"
    );

    place.write("others.csv", line("nobody/0.jpg", 0.0));
    let refused = audit(&place, &["--landmarks", "others.csv"]).refused(2);
    assert_eq!(refused, "others.csv has no landmarks of any image of the set, such as Ann_Lee/0.jpg");
}

#[test]
fn the_list_is_what_training_leaves_out() {
    let place = faults();
    let files = ["--against", "test", "--exclude", "out.csv", "--report", "audit.html"];
    let said = audit(&place, &files).done().stdout;
    assert!(said.contains("data.train.exclude=out.csv"), "{said}");
    let list = place.text("out.csv");
    assert_eq!(list.lines().next(), Some("image,reason,identity,detail"));
    let reason = |image: &str| {
        let cell = if image.contains(',') { format!("\"{image}\",") } else { format!("{image},") };
        let rest = list.lines().find_map(|line| line.strip_prefix(&cell))?;
        rest.split(',').next()
    };
    for (image, expected) in [
        ("a/copy.jpg", "duplicate"),
        ("b/dim.jpg", "near-duplicate"),
        ("b/mirror.png", "near-duplicate"),
        ("c/cut.jpg", "unreadable"),
        ("c/text.png", "unreadable"),
        ("d/3.jpg", "overlap"),
        ("Ann_Lee/5.jpg", "cross-identity"),
        ("ann lee/5, again.jpg", "cross-identity"),
        // By the name of the person.
        ("Ann_Lee/0.jpg", "overlap"),
    ] {
        assert_eq!(reason(image), Some(expected), "{image}\n{list}");
    }
    for image in ["a/1.jpg", "b/2.jpg", "d/large.png", "c/other.jpg", "tiny/0.png"] {
        assert_eq!(reason(image), None, "{image}\n{list}");
    }
    // Two people, with six images and seven, are in the evaluation set; six other images are left out.
    assert_eq!(list.lines().count(), 1 + 13 + 6);

    let page = place.text("audit.html");
    assert!(page.matches("data:image/jpeg;base64,").count() >= 14);
    assert!(page.contains("5, again.jpg") && !page.contains("<script") && !page.contains("src=\"http"));

    // The same bytes from one thread.
    let again = [&["RAYON_NUM_THREADS=1", FACEGRAD, "data", "audit", "faces"][..], &files[..2]].concat();
    place.start("env", &[&again[..], &["--exclude", "again.csv"]].concat()).wait().done();
    assert_eq!(place.text("again.csv"), list);

    // Fewer reasons, fewer images.
    audit(&place, &["--exclude", "some.csv", "--exclude-what", "duplicate,wrong-size"]).done();
    let some = place.text("some.csv");
    let images: Vec<&str> = some.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(images, ["a/copy.jpg", "d/large.png"]);

    let folder = "kind = \"folder\"\npath = \"faces\"";
    let config = TINY.replace("kind = \"synthetic\"\nidentities = 20\nimages = 8\nsize = 20", folder);
    place.write("faces.toml", config);
    let few = ["run.steps=2", "run.evaluate_every=2", "run.checkpoint_every=2", "run.batch=8"];
    let changes = [&few[..], &["data.train.exclude=out.csv"]].concat();
    let ended = place.facegrad(&support::train("faces.toml", &changes)).done();
    assert!(ended.stdout.contains("27 images of 5 identities"), "{ended}");
    assert!(ended.stdout.contains("19 excluded images"), "{ended}");
    assert!(!ended.stderr.contains("skipped"), "{ended}");
}

#[test]
fn a_model_and_its_stored_embeddings_say_the_same() {
    let place = Place::new();
    place.train(&["run.checkpoint_every=20"]).done();
    let synth = |out: &str, identities: &str, first: &str| {
        let who = ["--identities", identities, "--images", "9", "--first-identity", first];
        place.facegrad(&[&["data", "synth", "--size", "20", "--out", out][..], &who].concat()).done();
    };
    synth("faces", "8", "2000");
    synth("test", "4", "3000");
    // One image of one person among those of another.
    fs::copy(place.path("faces/002000/0000.png"), place.path("faces/002003/zz.png")).unwrap();
    fs::remove_file(place.path("faces/002000/0000.png")).unwrap();

    let by_model =
        json(audit(&place, &["--against", "test", "--model", "runs/tiny", "--json", "--report", "a.html"]));
    for (set, out) in [("faces", "faces.npz"), ("test", "test.npz")] {
        place.facegrad(&["embed", set, "--model", "runs/tiny", "--out", out]).done();
    }
    let stored = ["--embeddings", "faces.npz", "--against-embeddings", "test.npz"];
    let by_file =
        json(audit(&place, &[&["--against", "test", "--json", "--report", "a.html"][..], &stored].concat()));
    assert_eq!(by_model, by_file);
    let usual = &by_model["labels"]["usual"];
    let of = |name: &str| usual[name].as_f64().unwrap();
    assert!(of("own_median") > of("own_lower_quartile") && of("own_median") <= 1.0, "{usual}");
    for findings in ["mislabelled", "odd", "merged", "split"] {
        assert!(by_model["labels"][findings].is_array(), "{findings}");
    }
    assert!(by_model["against"]["by_looks"].is_array());
    assert!(place.text("a.html").contains("embeddings say of labels is likely"));

    // Of another flip fusion, or another model, looks are no likeness.
    place.facegrad(&["embed", "test", "--model", "runs/tiny", "--flip", "none", "--out", "plain.npz"]).done();
    let mixed = ["--against", "test", "--embeddings", "faces.npz", "--against-embeddings", "plain.npz"];
    let mixed = audit(&place, &mixed).refused(2);
    assert!(mixed.ends_with("cannot be compared: the flip fusions add and none"), "{mixed}");
    let said = audit(&place, &["--embeddings", "faces.npz", "--flip", "none"]).refused(2);
    assert!(said.starts_with("--flip none: faces.npz was made with flip add; leave --flip away"), "{said}");
    let whitened = ["eval", "faces.npz", "--protocol", "all_pairs", "--centre-on", "plain.npz"];
    let whitened = place.facegrad(&whitened).refused(2);
    assert!(whitened.contains("plain.npz, made in another way"), "{whitened}");

    let missing = audit(&place, &["--embeddings", "test.npz"]).refused(2);
    assert!(missing.contains("test.npz has no embedding called 002000/0001.png"), "{missing}");
}

#[test]
fn what_cannot_be_audited() {
    let place = faults();
    let sentence = place.facegrad(&["data", "audit", "nowhere"]).refused(2);
    assert!(sentence.contains("nowhere"), "{sentence}");
    let sentence = audit(&place, &["--against", "nowhere"]).refused(2);
    assert!(sentence.contains("nowhere"), "{sentence}");
    let sentence = audit(&place, &["--exclude", "no/such/folder/out.csv"]).refused(2);
    assert!(sentence.starts_with("cannot write no/such/folder/out.csv: "), "{sentence}");
    let sentence = audit(&place, &["--set", "min_image=2"]).refused(2);
    assert!(sentence.contains("min_image") && sentence.contains("min_images"), "{sentence}");
    let sentence = audit(&place, &["--embeddings", "none.npz"]).refused(2);
    assert!(sentence.contains("none.npz"), "{sentence}");
    for wrong in
        [["--size", "112x"], ["--size", "0x5"], ["--exclude-what", "ugly"], ["--against-embeddings", "a.npz"]]
    {
        let ended = audit(&place, &wrong).code(2);
        assert!(ended.stderr.contains(wrong[0]), "{ended}");
    }
    // What is left after `--set` is what is audited.
    let found = json(audit(&place, &["--set", "min_images=2", "--json"]));
    assert_eq!((&found["identities"], &found["few_images"]), (&6.into(), &serde_json::json!([])));
}
