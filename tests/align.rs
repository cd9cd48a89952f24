//! Photographs to aligned faces, by a table of landmarks and by the detector.

#[path = "support/server.rs"]
mod server;
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use facegrad::pictures::{ARCFACE_LANDMARKS, Picture, Similarity2d, decode::read_picture, warp, write_png};
use facegrad::synthetic::{SyntheticConfig, SyntheticFaces};
use serde_json::Value;
use server::{Answer, Server};
use support::{FACEGRAD, Place};

/// The faces on the photographs.
fn faces() -> SyntheticFaces {
    SyntheticFaces::new(&SyntheticConfig { difficulty: 0.5, ..Default::default() })
}

/// Photographs of 240 x 300 pixels of two synthetic people, on which the template was turned, scaled and shifted, and
/// the table of their landmarks.
fn photographs(place: &Place, images: usize) {
    let faces = faces();
    let mut table = String::new();
    for i in 0..2 * images {
        let name = format!("00000{}/{:04}", i % 2, i / 2);
        let angle = (i as f32 * 0.4).sin() * 0.4;
        let scale = 1.0 + 0.5 * (i as f32).cos();
        let known = ARCFACE_LANDMARKS.map(|[x, y]| {
            let (x, y) = ((x - 56.0) * scale, (y - 56.0) * scale);
            [150.0 + x * angle.cos() - y * angle.sin(), 120.0 + x * angle.sin() + y * angle.cos()]
        });
        let photograph = Similarity2d::estimate(ARCFACE_LANDMARKS, known).unwrap();
        let face = faces.render(i % 2, i / 2, 112);
        let path = place.path(&format!("photos/{name}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_png(&warp(&face, &photograph, [240, 300]), &path).unwrap();
        let numbers: Vec<String> = known.as_flattened().iter().map(f32::to_string).collect();
        table += &format!("{name}.png {}\n", numbers.join(" "));
    }
    place.write("landmarks.txt", table);
}

const ALIGN: [&str; 5] = ["align", "photos", "faces", "--landmarks", "landmarks.txt"];

fn align<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    [&ALIGN[..], changes].concat()
}

/// The files of a folder of faces but for the journal, whose lines come as they are done.
fn files(place: &Place, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = place.path(folder);
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_hidden = path.file_name().unwrap().to_str().unwrap().starts_with('.');
            match path.is_dir() {
                true => folders.push(path),
                false if is_hidden => {}
                false => files.push((path.strip_prefix(&root).unwrap().to_owned(), fs::read(path).unwrap())),
            }
        }
    }
    files.sort_unstable();
    files
}

/// The mean difference of the middle of two pictures of 112 x 112 pixels.
fn difference(a: &Picture, b: &Picture) -> f64 {
    let middle = (40..90).flat_map(|y| (40 * 3..72 * 3).map(move |x| y * 112 * 3 + x));
    let differences: Vec<f64> = middle.map(|at| f64::from(a.pixels()[at].abs_diff(b.pixels()[at]))).collect();
    differences.iter().sum::<f64>() / differences.len() as f64
}

#[test]
fn a_table_of_landmarks_brings_faces_onto_the_template() {
    let place = Place::new();
    photographs(&place, 3);
    place.write("photos/readme.txt", "junk");
    place.write("photos/broken\nname.jpg", "no image");
    place.write("photos/000001/faceless.pgm", "P5 1 1 255\nx");
    let ended = place.facegrad(&align(&[])).done();
    for line in [
        "faces: 6 of 8 images aligned to 112x112 (height x width)",
        "passed    1 files that are no images, are empty or hidden",
        "left out  1 images without a face and 1 unreadable, listed in faces/alignment.csv",
        "          000001/faceless.pgm: it has no face",
        "          broken\\x0Aname.jpg: its content is not a JPEG, PNG, WebP, BMP or PNM image",
    ] {
        assert!(ended.stdout.lines().any(|said| said == line), "{line}\n{ended}");
    }
    for i in 0..6 {
        let name = format!("00000{}/{:04}.png", i % 2, i / 2);
        let aligned = read_picture(&place.path(&format!("faces/{name}"))).unwrap();
        let original = faces().render(i % 2, i / 2, 112);
        let difference = difference(&aligned, &original);
        assert!(difference < 8.0, "{name}: {difference}");
    }
    let json = place.facegrad(&align(&["--json"])).done().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["statistics"]["aligned"], &json["done_before"]), (&6.into(), &7.into()));
    assert_eq!(json["left_out"][1]["image"], "broken\\x0Aname.jpg");

    // The table that was written serves for another size.
    let again = [
        "align",
        "photos",
        "again",
        "--landmarks",
        "faces/alignment.csv",
        "--size",
        "112x96",
        "--format",
        "jpg",
    ];
    place.facegrad(&again).done();
    let narrow = read_picture(&place.path("again/000001/0002.jpg")).unwrap();
    assert_eq!((narrow.height(), narrow.width()), (112, 96));
}

#[test]
fn killed_or_stopped_it_goes_on_to_the_same_files() {
    let place = Place::new();
    photographs(&place, 40);
    place.facegrad(&["align", "photos", "whole", "--landmarks", "landmarks.txt"]).done();
    let whole = files(&place, "whole");
    assert_eq!(whole.len(), 82);
    for signal in ["KILL", "INT"] {
        let out = format!("out-{signal}");
        let arguments = ["align", "photos", &out, "--landmarks", "landmarks.txt"];
        let journal = place.path(&format!("{out}/.alignment.jsonl"));
        loop {
            let mut running = place.start(FACEGRAD, &arguments);
            running.until(|| fs::read_to_string(&journal).is_ok_and(|text| text.lines().count() > 5));
            running.signal(&[signal]);
            let ended = running.wait();
            // On a busy machine the signal may come too late.
            if ended.code == Some(0) {
                fs::remove_dir_all(place.path(&out)).unwrap();
                continue;
            }
            if signal == "INT" {
                let ended = ended.code(130);
                let go_on = format!("continue with: facegrad align photos {out}");
                assert!(ended.stdout.contains(&go_on), "{ended}");
            }
            break;
        }
        assert!(!place.path(&format!("{out}/alignment.csv")).exists());
        let ended = place.facegrad(&arguments).done();
        assert!(ended.stderr.contains("going on after "), "{ended}");
        assert!(files(&place, &out) == whole, "{signal}");
    }
}

/// The lines of the table of landmarks, each as its name and its numbers.
fn lines(place: &Place) -> Vec<(String, Vec<f32>)> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(' ').unwrap();
        (name.to_owned(), numbers.split(' ').map(|number| number.parse().unwrap()).collect())
    };
    place.text("landmarks.txt").lines().map(line).collect()
}

/// A table of which `change` makes the first `changed` lines.
fn table(place: &Place, changed: usize, change: impl Fn(&[f32]) -> Vec<f32>) -> String {
    let line = |(i, (name, numbers)): (usize, (String, Vec<f32>))| {
        let numbers = if i < changed { change(&numbers) } else { numbers };
        let numbers: Vec<String> = numbers.iter().map(f32::to_string).collect();
        format!("{name} {}\n", numbers.join(" "))
    };
    lines(place).into_iter().enumerate().map(line).collect()
}

#[test]
fn tables_of_other_makes_give_no_wrong_faces() {
    let place = Place::new();
    photographs(&place, 3);
    type Change = fn(&[f32]) -> Vec<f32>;
    let changes: [(&str, Change); 5] = [
        ("right eye, left eye, nose, right and left corner of the mouth", |n| {
            [&n[2..4], &n[..2], &n[4..6], &n[8..], &n[6..8]].concat()
        }),
        ("the corners of the mouth before the eyes, or with y counted from below", |n| {
            [&n[6..], &n[4..6], &n[..4]].concat()
        }),
        ("right eye, left eye, nose, left and right corner of the mouth", |n| {
            [&n[2..4], &n[..2], &n[4..]].concat()
        }),
        ("all x, then all y", |n| (0..10).map(|i| n[2 * (i % 5) + i / 5]).collect()),
        ("shares of width and height, from 0 to 1, in place of pixels", |n| {
            n.iter().map(|x| x / 300.0).collect()
        }),
    ];
    for (i, (order, change)) in changes.into_iter().enumerate() {
        // Most lines: another make of table. Few: these are named.
        place.write("other.txt", table(&place, 5, change));
        let arguments = ["align", "photos", "none", "--landmarks", "other.txt"];
        let sentence = place.facegrad(&arguments).refused(2);
        assert!(
            sentence.starts_with("the landmarks other.txt: 5 of 6 lines do not have left eye"),
            "{sentence}"
        );
        assert!(sentence.ends_with(&format!("\"000000/0000.png\", would fit as {order}")), "{sentence}");
        assert!(!place.path("none").exists());

        place.write("other.txt", table(&place, 2, change));
        let out = format!("few-{i}");
        let ended = place.facegrad(&["align", "photos", &out, "--landmarks", "other.txt"]).done();
        assert!(ended.stdout.starts_with(&format!("{out}: 4 of 6 images aligned")), "{ended}");
        for name in ["000000/0000.png", "000001/0000.png"] {
            let said = format!("          {name}: its landmarks would fit as {order}");
            assert!(ended.stdout.lines().any(|line| line == said), "{said}\n{ended}");
            assert!(!place.path(&format!("{out}/{name}")).exists());
        }
    }
}

/// Points outside of the photographs made black faces, and faces of one point.
#[test]
fn points_outside_of_a_photograph_give_no_face() {
    let place = Place::new();
    photographs(&place, 3);
    let near = |n: &[f32]| {
        // The mouth three pixels below the photograph: a face that is cut off.
        let down = n[7].max(n[9]) - 242.5;
        (0..10).map(|i| if i % 2 == 1 { n[i] - down } else { n[i] }).collect::<Vec<_>>()
    };
    type Change = fn(&[f32]) -> Vec<f32>;
    let all = "5 of its five landmarks lie outside of it";
    let shifted: [(Change, &str, &str); 4] = [
        (|n| n.iter().map(|x| x + 1000.0).collect(), all, "left eye"),
        (|n| n.iter().map(|x| x * 3.0).collect(), all, "left eye"),
        (
            |n| [&n[..8], &[n[8] + 1000.0, n[9]]].concat(),
            "1 of its five landmarks lie far outside of it",
            "right corner of the mouth",
        ),
        (
            |n| [&n[..6], &[n[6], n[7] + 400.0, n[8], n[9] + 400.0]].concat(),
            "2 of its five landmarks lie far outside of it",
            "left corner of the mouth",
        ),
    ];
    for (i, (change, reason, part)) in shifted.into_iter().enumerate() {
        place.write("other.txt", table(&place, 1, change));
        let out = format!("few-{i}");
        let ended = place.facegrad(&["align", "photos", &out, "--landmarks", "other.txt"]).done();
        let said = format!("          000000/0000.png: {reason}");
        assert!(ended.stdout.lines().any(|line| line == said), "{ended}");
        assert!(!place.path(&format!("{out}/000000/0000.png")).exists());

        place.write("other.txt", table(&place, 5, change));
        let sentence = place.facegrad(&["align", "photos", "none", "--landmarks", "other.txt"]).refused(2);
        let began = format!(
            "the table of landmarks has points outside of 5 of the 6 photographs that were looked at first, such as \
             \"000000/0000.png\" of 300x240 pixels (width x height), whose {part} would be at "
        );
        assert!(sentence.starts_with(&began), "{sentence}");
        assert!(!place.path("none").exists());
    }
    place.write("other.txt", table(&place, 6, near));
    let ended = place.facegrad(&["align", "photos", "near", "--landmarks", "other.txt"]).done();
    assert!(ended.stdout.starts_with("near: 6 of 6 images aligned"), "{ended}");

    // Points that are no face on any of them.
    place.write("other.txt", table(&place, 6, |_| vec![100.0; 10]));
    let ended = place.facegrad(&["align", "photos", "points", "--landmarks", "other.txt"]).code(2);
    let sentence = "none of the 6 images of photos was aligned; the first is 000000/0000.png: ";
    assert!(ended.sentence().starts_with(sentence), "{ended}");
}

/// A face on its head has its mouth above its eyes, and so has a table that is written backwards.
#[test]
fn faces_on_their_heads_are_counted_and_named() {
    let place = Place::new();
    photographs(&place, 3);
    let backwards = |n: &[f32]| -> Vec<f32> { (0..10).map(|i| n[8 - i / 2 * 2 + i % 2]).collect() };
    place.write("other.txt", table(&place, 2, backwards));
    let ended = place.facegrad(&["align", "photos", "few", "--landmarks", "other.txt"]).done();
    let said = "on heads  2 faces by their landmarks, which have the mouth above the eyes; the first is 000000/0000.png";
    assert!(ended.stdout.lines().any(|line| line == said), "{ended}");
    place.write("other.txt", table(&place, 4, backwards));
    let sentence = place.facegrad(&["align", "photos", "none", "--landmarks", "other.txt"]).refused(2);
    assert!(
        sentence.starts_with("the landmarks other.txt: 4 of 6 lines do not have left eye")
            && sentence
                .ends_with("would fit as right and left corner of the mouth, nose, right eye, left eye"),
        "{sentence}"
    );
}

#[test]
fn a_table_of_other_photographs_is_an_error() {
    let place = Place::new();
    photographs(&place, 1);
    place.write("other.txt", place.text("landmarks.txt").replace("00000", "p"));
    let sentence = place.facegrad(&["align", "photos", "out", "--landmarks", "other.txt"]).refused(2);
    assert_eq!(
        sentence,
        "the table of landmarks names none of the 2 photographs: its first line is of \"p0/0000.png\", and the first \
         photograph is \"000000/0000.png\""
    );
    assert!(!place.path("out").exists());
}

#[test]
fn photographs_of_nobody_in_particular_are_told() {
    let place = Place::new();
    photographs(&place, 1);
    fs::rename(place.path("photos/000000/0000.png"), place.path("photos/loose.png")).unwrap();
    place.write("landmarks.txt", place.text("landmarks.txt").replace("000000/0000", "loose"));
    let ended = place.facegrad(&align(&[])).done();
    let said = "people    of 1 images are not known: these lie in no folder of photos";
    assert!(ended.stdout.lines().any(|line| line == said), "{ended}");
    fs::remove_dir_all(place.path("photos/000001")).unwrap();
    let ended = place.facegrad(&align(&[])).done();
    let said = "people    none are known: the images lie in no folders of photos, and training takes one folder a person";
    assert!(ended.stdout.lines().any(|line| line == said), "{ended}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_table_is_no_endless_wait() {
    let place = Place::new();
    photographs(&place, 1);
    assert!(std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    for arguments in [
        ["align", "photos", "out", "--landmarks", "pipe"],
        ["data", "audit", "photos", "--landmarks", "pipe"],
    ] {
        let sentence = place.facegrad(&arguments).refused(2);
        assert_eq!(sentence, "the landmarks pipe cannot be read: it is a pipe, and no regular file");
    }
}

#[test]
fn what_cannot_be_done_is_one_sentence() {
    let place = Place::new();
    photographs(&place, 1);
    place.facegrad(&align(&[])).done();
    let refused = |arguments: &[&str]| {
        let sentence = place.facegrad(arguments).refused(2);
        let folder = fs::canonicalize(place.path("")).unwrap();
        sentence.replace(&format!("{}/", folder.display()), "")
    };
    assert_eq!(
        refused(&align(&["--size", "112x96"])),
        "faces holds faces that were aligned in another way (the size: 112x112 there, 112x96 now); use the settings \
         of then, or another folder"
    );
    place.write("mine/notes.txt", "mine");
    assert_eq!(
        refused(&["align", "photos", "mine", "--landmarks", "landmarks.txt"]),
        "mine holds files that alignment did not write; name a new or an empty folder for the faces"
    );
    let empty = refused(&["align", "photos", "out", "--detector-weights", "photos"]);
    assert!(empty.starts_with("the weights photos/pnet.safetensors cannot be read: "), "{empty}");
    let one = place.text("landmarks.txt").lines().next().unwrap().to_owned();
    place.write("one.txt", one);
    assert_eq!(
        refused(&["align", "photos", "out", "--landmarks", "one.txt", "--without-face", "fail"]),
        "the image 000001/0000.png: it has no face; other answers to that are to skip such images or to take their centre"
    );
    let unnamed = ["-u", "FACEGRAD_MTCNN", FACEGRAD, "align", "photos", "out"];
    let sentence = place.start("env", &unnamed).wait().refused(2);
    assert!(sentence.starts_with("nothing says where the faces are: name a table"), "{sentence}");
    for wrong in [["--size", "112x"], ["--size", "8x8"], ["--min-face", "11"], ["--format", "gif"]] {
        let ended = place.facegrad(&["align", "photos", "out", wrong[0], wrong[1]]).code(2);
        assert!(ended.stderr.contains(wrong[1]), "{ended}");
    }
}

/// The folder of the weights that the shared data has, if it is there.
fn weights() -> Option<PathBuf> {
    let named = std::env::var_os("FACEGRAD_SHARED_DATA").map(PathBuf::from);
    let shared = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let weights = shared.join("mtcnn");
    if !weights.is_dir() {
        println!("skipped: no weights of MTCNN in {}", weights.display());
        return None;
    }
    Some(weights)
}

#[test]
fn other_weights_than_the_known_ones_are_not_taken_from_the_web() {
    let place = Place::new();
    photographs(&place, 1);
    let server = Server::new(|request| match request.path.as_str() {
        "/right/pnet.safetensors" => Answer::new(200, &[7; 27_568]),
        "/short/pnet.safetensors" => Answer::new(200, b"short"),
        _ => Answer::new(404, b""),
    });
    for (path, sentence) in [("/right", "c58d68e5"), ("/short/", "5"), ("/nothing", "status 404")] {
        let url = server.url(path);
        let arguments = ["align", "photos", "out", "--detector-weights", "mtcnn", "--detector-url", &url];
        let refused = place.facegrad(&arguments).refused(1);
        assert!(refused.contains(sentence) && refused.contains("pnet.safetensors"), "{refused}");
        assert!(!place.path("mtcnn/pnet.safetensors").exists());
    }
    assert!(!place.path("out").exists());
}

/// With the weights that the shared data has.
#[test]
fn the_detector_is_fetched_once() {
    let Some(weights) = weights() else { return };
    let place = Place::new();
    photographs(&place, 1);
    let server = Server::new(move |request| match fs::read(weights.join(&request.path[1..])) {
        Ok(bytes) => Answer::new(200, &bytes),
        Err(_) => Answer::new(404, b""),
    });
    for out in ["one", "two"] {
        let url = server.url("/");
        let arguments = ["align", "photos", out, "--detector-weights", "mtcnn", "--detector-url", &url];
        place.facegrad(&arguments).done();
        assert_eq!(server.requests().len(), 3);
    }
}

/// With the weights that the shared data has.
#[test]
fn the_detector_finds_the_faces() {
    let Some(weights) = weights() else { return };
    let place = Place::new();
    photographs(&place, 10);
    let weights = weights.display().to_string();
    let align = |out, more: &[&str]| {
        let arguments = ["align", "photos", out, "--detector-weights", &weights];
        let json = place.facegrad(&[&arguments[..], &["--json"], more].concat()).done().stdout;
        serde_json::from_str::<Value>(&json).unwrap()
    };
    let found = align("faces", &[]);
    let aligned = found["statistics"]["aligned"].as_u64().unwrap();
    println!("{aligned} of 20 synthetic faces found");
    assert!(aligned >= 10, "{found}");
    // On one thread, the same files.
    let arguments =
        ["RAYON_NUM_THREADS=1", FACEGRAD, "align", "photos", "one", "--detector-weights", &weights];
    place.start("env", &arguments).wait().done();
    assert!(files(&place, "one") == files(&place, "faces"));
    // Another smallest face is another job.
    let arguments = ["align", "photos", "faces", "--detector-weights", &weights, "--min-face", "60"];
    let sentence = place.facegrad(&arguments).refused(2);
    assert!(
        sentence.contains("MTCNN for faces from 40 pixels there, MTCNN for faces from 60 pixels now"),
        "{sentence}"
    );
}
