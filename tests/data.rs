//! `facegrad data`: sets that are converted, and trained on.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::{FACEGRAD, Place};

/// A folder with 6 identities of 5 images, `faces`.
fn lab() -> Place {
    let place = Place::new();
    synth(&place, 6, 5);
    place
}

fn synth(place: &Place, identities: usize, images: usize) {
    let (identities, images) = (identities.to_string(), images.to_string());
    let synth = ["data", "synth", "--identities", &identities, "--images", &images, "--size", "20"];
    place.facegrad(&[&synth[..], &["--out", "faces"]].concat()).done();
}

fn convert<'a>(from: &'a str, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["data", "convert", from, to][..], more].concat()
}

/// The contents of the files of each identity, in the order of their names.
fn people(place: &Place, folder: &str) -> BTreeMap<String, Vec<Vec<u8>>> {
    let sorted = |path: &Path| {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let folders = sorted(&place.path(folder)).into_iter().filter(|path| path.is_dir());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let images = |path: &Path| sorted(path).iter().map(|image| fs::read(image).unwrap()).collect();
    folders.map(|path| (name(&path), images(&path))).collect()
}

#[test]
fn a_set_goes_through_every_format_and_keeps_every_byte() {
    let place = lab();
    let said = place.facegrad(&convert("faces", "a.rec", &[])).done();
    assert_eq!(said.stdout, "a.rec: 30 images of 6 identities (recordio)\n");
    assert!(said.stderr.starts_with("faces: 30 images of 6 identities"), "{said}");
    place.facegrad(&convert("a.rec", "shards", &["--to", "webdataset", "--shard-images", "7"])).done();
    assert_eq!(fs::read_dir(place.path("shards")).unwrap().count(), 5);
    place.facegrad(&convert("shards", "one.tar", &[])).done();
    place.facegrad(&convert("one.tar", "rows.parquet", &[])).done();
    let told = place.facegrad(&convert("rows.parquet", "back", &["--to", "folder", "--json"])).done();
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told["images"].as_u64(), told["identities"].as_u64()), (Some(30), Some(6)));
    assert_eq!((told["kind"].as_str(), &told["skipped"]), (Some("folder"), &serde_json::json!([])));
    let before = people(&place, "faces");
    assert_eq!(before.len(), 6);
    assert!(before == people(&place, "back"));
    // A part of a set, under the names that it has.
    let part = ["--to", "folder", "--set", "max_identities=2"];
    place.facegrad(&convert("a.rec", "part", &part)).done();
    assert!(people(&place, "part").iter().eq(before.iter().take(2)));
}

#[test]
fn sets_in_one_file_are_trained_on() {
    let place = lab();
    place.facegrad(&convert("faces", "a.rec", &[])).done();
    place.facegrad(&convert("faces", "a.tar", &[])).done();
    for (kind, path) in [("recordio", "a.rec"), ("webdataset", "a.tar")] {
        let (kind, path, name) = (
            format!("data.train.kind={kind}"),
            format!("data.train.path={path}"),
            format!("run.name={kind}"),
        );
        place.train(&[&kind, &path, &name, "run.steps=5", "run.batch=4"]).done();
    }
    // The same images in the same order, and so the same run.
    assert_eq!(place.metrics("runs/recordio"), place.metrics("runs/webdataset"));
}

#[test]
fn a_conversion_that_was_killed_goes_on_and_writes_the_same_bytes() {
    let place = Place::new();
    synth(&place, 50, 60);
    for (kind, target) in [("folder", "copy"), ("recordio", "x.rec"), ("webdataset", "shards")] {
        let whole = format!("whole/{target}");
        let killed = format!("killed/{target}");
        let more = ["--to", kind, "--shard-images", "500"];
        fs::create_dir_all(place.path("whole")).unwrap();
        fs::create_dir_all(place.path("killed")).unwrap();
        place.facegrad(&convert("faces", &whole, &more)).done();
        let mut running = place.start(FACEGRAD, &convert("faces", &killed, &more));
        let state = place.path(&format!("{killed}.part/.convert.json"));
        let target = place.path(&killed);
        // Until some of it can be kept, which is a second line, unless the program is faster than that.
        let has_begun = || fs::read_to_string(&state).is_ok_and(|state| state.lines().count() > 1);
        running.until(|| has_begun() || target.exists());
        running.kill();
        // Where it was killed: while it wrote, while it gave names, or when all was done.
        let kept = fs::read_to_string(&state).unwrap_or_default();
        let named = place.path(&format!("{killed}/.convert.json"));
        let is_done = kept.is_empty() && !named.exists() && target.exists();
        let again = place.facegrad(&convert("faces", &killed, &more));
        if is_done {
            assert!(again.refused(2).contains(" is there already; "));
        } else {
            let said = again.done();
            let goes_on = !kept.is_empty() && !kept.contains("\"is_written\":true");
            assert!(!goes_on || said.stderr.contains("going on after "), "{said}");
        }
        assert!(!place.path(&format!("{killed}.part")).exists());
    }
    let files = |folder: &str| -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![place.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(found.insert(path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        let root = place.path(folder);
        found.into_iter().map(|(path, bytes)| (path.strip_prefix(&root).unwrap().into(), bytes)).collect()
    };
    let whole = files("whole");
    assert!(whole.len() > 3000 && whole == files("killed"));
}

#[test]
fn what_cannot_be_converted_is_one_sentence() {
    let place = lab();
    let refused = |arguments: &[&str]| {
        let ended = place.facegrad(arguments).code(2);
        assert_eq!(ended.stdout, "");
        ended.sentence()
    };
    place.write("faces/000000/0000.png", "GIF89a");
    assert_eq!(
        refused(&convert("faces", "a.rec", &[])),
        "faces/000000/0000.png: its content is not a JPEG, PNG, WebP, BMP or PNM image; --on-error skip leaves such \
         images out"
    );
    let said = place.facegrad(&convert("faces", "b.rec", &["--on-error", "skip"])).done().stdout;
    assert!(said.starts_with("b.rec: 29 images of 6 identities (recordio)\nskipped 1 images"), "{said}");
    assert_eq!(
        place.text("b.rec.skipped.txt"),
        "faces/000000/0000.png\tits content is not a JPEG, PNG, WebP, BMP or PNM image\n"
    );
    place.write("cut.rec", &place.read("b.rec")[..2000]);
    fs::copy(place.path("b.idx"), place.path("cut.idx")).unwrap();
    let sentence = refused(&convert("cut.rec", "c.tar", &[]));
    assert!(
        sentence.starts_with("cut.rec, byte ") && sentence.contains(", and the file ends after "),
        "{sentence}"
    );
}
