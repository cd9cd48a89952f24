//! `facegrad embed`, `facegrad identify` and `facegrad data pairs`: a model used on folders of images.

mod support;

use std::{collections::HashMap, fs, path::PathBuf};

use facegrad::embeddings::{EmbeddingFile, EmbeddingJournal, EmbeddingJournalHeader, Gallery};
use facegrad::faces::{InsightfaceBin, SourceConfig};
use facegrad::verification::PairList;
use serde_json::Value;
use support::{Ended, FACEGRAD, Place};

const MODEL: [&str; 2] = ["--model", "runs/tiny"];

/// A folder with a small trained model, and six people with five images each.
fn lab() -> Place {
    let place = Place::new();
    place.train(&["run.checkpoint_every=20"]).done();
    synth(&place, "faces", "6", "5");
    place
}

/// Synthetic people that the model has not seen.
fn synth(place: &Place, out: &str, identities: &str, images: &str) {
    let people = ["--identities", identities, "--images", images, "--first-identity", "2000"];
    place.facegrad(&[&["data", "synth", "--size", "20", "--out", out][..], &people].concat()).done();
}

fn embed(place: &Place, arguments: &[&str]) -> Ended {
    place.facegrad(&[&["embed"][..], arguments, &MODEL].concat())
}

fn identify(place: &Place, arguments: &[&str]) -> Ended {
    place.facegrad(&[&["identify"][..], arguments, &MODEL].concat())
}

fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.done().stdout).unwrap()
}

fn open(place: &Place, name: &str) -> EmbeddingFile {
    EmbeddingFile::open(place.path(name)).unwrap()
}

fn files(place: &Place, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(place.path(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_format_holds_the_same_embeddings_and_where_they_come_from() {
    let place = lab();
    let mut all = Vec::new();
    for format in ["npz", "safetensors", "csv", "parquet"] {
        let out = format!("e.{format}");
        let ended = embed(&place, &["faces", "--out", &out]).done();
        let first = ended.stdout.lines().next().unwrap();
        assert_eq!(first, format!("{out}: 30 embeddings of 16 numbers of 6 people"), "{ended}");
        // The contact sheet and the recipe of the synthetic faces are no images of people.
        assert!(ended.stdout.contains("\nleft out 1 junk file, 1 image in no person's folder"), "{ended}");
        let file = open(&place, &out);
        assert_eq!((file.names()[7].as_str(), file.len()), ("002001/0002.png", 30));
        assert_eq!(file.identities().unwrap()[7], "002001");
        let shown = json(place.facegrad(&["show", &out, "--json"]));
        assert_eq!(shown["origin"], serde_json::to_value(file.origin()).unwrap(), "{shown}");
        assert_eq!((&shown["embeddings"], &shown["people"]), (&30.into(), &6.into()), "{shown}");
        let shown = place.facegrad(&["show", &out]).done().stdout;
        assert!(shown.contains("\nimages      30 of 6 people\n"), "{shown}");
        all.push((file.all().unwrap(), file.names().to_vec(), file.origin().cloned().unwrap()));
    }
    assert!(all.iter().all(|one| *one == all[0]));
    let (rows, _, origin) = &all[0];
    assert!(rows.chunks(16).all(|row| row.iter().any(|number| *number != 0.0)));
    // Of the weights alone, which calibration leaves as they are.
    let shown = place.facegrad(&["show", "runs/tiny", "--json"]).done().stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(origin.model_sha256.as_deref(), shown["tensors_sha256"].as_str(), "{shown}");
    assert!(origin.model_sha256.is_some());
    assert!(origin.preprocessing.as_deref().unwrap().starts_with("20x20 RGB, "));
    assert!(origin.backend.starts_with("flex on ") && !origin.normalised, "{origin:?}");
    assert_eq!((origin.flip.as_str(), origin.pixels_sha256.as_deref().map(str::len)), ("add", Some(64)));

    // Other switches, the model from the environment, a list without extensions in another order.
    place.write("list.txt", "faces/002003/0001 Cy\nfaces/002000/0004.png Ada\n");
    let variable = format!("FACEGRAD_MODEL={}", place.path("runs/tiny").display());
    let arguments = ["embed", "list.txt", "--out", "two.npz", "--flip", "none", "--json"];
    let ended = place.start("env", &[&[&variable, FACEGRAD][..], &arguments].concat()).wait();
    let told = json(ended);
    assert_eq!((&told["embeddings"], &told["people"], &told["dim"]), (&2.into(), &2.into(), &16.into()));
    assert_eq!(told["origin"]["flip"], "none");
    let two = open(&place, "two.npz");
    assert_eq!(two.names(), ["faces/002003/0001", "faces/002000/0004.png"]);
    assert_eq!(two.identities().unwrap(), ["Cy", "Ada"]);
    assert_eq!(serde_json::to_value(two.origin().unwrap()).unwrap(), told["origin"]);
    // The sum with the mirror image is not the image alone, and the same images give the same numbers.
    embed(&place, &["faces", "--out", "none.npz", "--flip", "none"]).done();
    let none = open(&place, "none.npz").all().unwrap();
    assert_ne!(none, *rows);
    let two = two.all().unwrap();
    assert_eq!((&two[..16], &two[16..]), (&none[16 * 16..17 * 16], &none[4 * 16..5 * 16]));
    embed(&place, &["faces", "--out", "concat.csv", "--flip", "concat"]).done();
    assert_eq!(open(&place, "concat.csv").dim(), 32);
    // Single images, whose people nobody knows.
    embed(&place, &["faces/002000/0001.png", "faces/002000/0002.png", "--out", "single.npz"]).done();
    let single = open(&place, "single.npz");
    assert_eq!(
        (single.names(), single.identities()),
        (&["0001.png", "0002.png"].map(String::from)[..], None)
    );
    assert_eq!(single.all().unwrap(), rows[16..48]);
}

/// The number of each name among the distinct ones, in the order in which they come.
fn parts(names: &[String]) -> Vec<usize> {
    let mut seen: Vec<&String> = Vec::new();
    let number = |name| {
        seen.iter().position(|other| *other == name).unwrap_or_else(|| {
            seen.push(name);
            seen.len() - 1
        })
    };
    names.iter().map(number).collect()
}

/// The images of the folder `faces`, in its order.
fn paths(place: &Place) -> Vec<String> {
    let mut paths: Vec<String> =
        files(place, "faces").into_iter().filter(|name| !name.contains('.')).collect();
    paths = paths
        .iter()
        .flat_map(|person| {
            files(place, &format!("faces/{person}")).into_iter().map(move |image| format!("{person}/{image}"))
        })
        .collect();
    paths
}

#[test]
fn a_set_of_any_kind_is_embedded() {
    let place = lab();
    let paths = paths(&place);
    let lines = |line: &dyn Fn(usize, &str) -> String| -> String {
        paths.iter().enumerate().map(|(number, path)| line(number, path)).collect()
    };
    place.write("faces/list.txt", lines(&|_, path| format!("{path} {}\n", &path[..6])));
    place.write(
        "faces/table.csv",
        "id,img\n".to_owned() + &lines(&|_, path| format!("{},{path}\n", &path[..6])),
    );
    place.write("faces/train.lst", lines(&|number, path| format!("{number}\t{}\t{path}\n", &path[5..6])));
    place.write("faces/bare", lines(&|_, path| format!("{path}\n")));
    for (to, more) in [
        ("a.rec", &[][..]),
        ("a.tar", &[]),
        ("a.parquet", &[]),
        ("shards", &["--to", "webdataset", "--shard-images", "7"]),
        ("tables", &["--to", "parquet", "--shard-images", "7"]),
    ] {
        place.facegrad(&[&["data", "convert", "faces", to][..], more].concat()).done();
    }
    for file in ["rec", "identities.json"] {
        fs::copy(place.path(&format!("a.{file}")), place.path(&format!("scanned.{file}"))).unwrap();
    }
    let image = |index: usize| place.read(&format!("faces/{}", paths[index]));
    let pairs = (0..30).filter(|index| index % 5 < 4).map(|index| (image(index), image(index + 1), true));
    InsightfaceBin::write(&place.path("a.bin"), pairs).unwrap();

    embed(&place, &["faces", "--out", "folder.npz"]).done();
    let folder = open(&place, "folder.npz");
    let (rows, people) = (folder.all().unwrap(), folder.identities().unwrap());
    let pixels = |file: &EmbeddingFile| file.origin().unwrap().pixels_sha256.clone();
    assert_eq!(folder.names(), paths);
    for (set, third) in [
        ("faces/list.txt", &*paths[2]),
        ("faces/table.csv", &paths[2]),
        ("faces/train.lst", &paths[2]),
        ("faces/bare", &paths[2]),
        ("a.rec", "3"),
        ("scanned.rec", "3"),
        ("a.tar", "00000002"),
        ("a.parquet", "2"),
        ("shards", "shard-000000/00000002"),
        ("tables", "train-00000-of-00005.parquet/2"),
        // Its pairs have the second image twice before.
        ("a.bin", "3"),
    ] {
        let said = embed(&place, &[set, "--out", "e.npz"]).done();
        assert!(said.stdout.starts_with("e.npz: 30 embeddings of 16 numbers of 6 people\n"), "{set}: {said}");
        let file = open(&place, "e.npz");
        assert!(file.all().unwrap() == rows, "{set}");
        assert_eq!((file.names()[2].as_str(), pixels(&file)), (third, pixels(&folder)), "{set}");
        let named = file.identities().unwrap();
        match set {
            "faces/train.lst" | "a.bin" => assert_eq!(parts(named), parts(people), "{set}"),
            _ => assert_eq!(named, people, "{set}"),
        }
    }

    // Several sets, and keys of a set.
    embed(&place, &["a.rec", "a.tar", "--out", "e.npz"]).done();
    assert_eq!(open(&place, "e.npz").len(), 60);
    embed(&place, &["a.rec", "--set", "max_identities=2", "--out", "e.npz"]).done();
    assert_eq!((open(&place, "e.npz").len(), open(&place, "e.npz").names()[9].as_str()), (10, "10"));
    place.write("elsewhere.csv", "photo;who;a\n002001/0001.png;Ada;1\n002003/0000.png;Bob;2\n");
    let keys = ["--set", "image_key=photo", "--set", "label_key=who"];
    embed(&place, &[&["elsewhere.csv", "--images", "faces", "--out", "e.npz"][..], &keys].concat()).done();
    assert_eq!(open(&place, "e.npz").identities().unwrap(), ["Ada", "Bob"]);
    // Gaps between labels are nobody's business here.
    place.write("faces/gaps.lst", "0\t3\t002001/0001.png\n1\t9\t002003/0000.png\n");
    embed(&place, &["faces/gaps.lst", "--out", "e.npz"]).done();
    assert_eq!(open(&place, "e.npz").identities().unwrap(), ["3", "9"]);
}

#[test]
fn a_set_that_does_not_say_who_is_on_its_images_is_embedded_without() {
    let place = lab();
    let tar = "for n in 0 1 2; do cp faces/002000/000$n.png flat/$n.png; done; tar cf flat.tar -C flat 0.png 1.png 2.png";
    fs::create_dir(place.path("flat")).unwrap();
    place.start("sh", &["-c", tar]).wait().done();
    place.write("flat/list.csv", "path\n0.png\n1\n2.jpg\n");
    let image = |index| place.read(&format!("flat/{index}.png"));
    let pairs = [(0, 1, true), (1, 2, true), (0, 2, false)];
    let pairs = pairs.map(|(a, b, same)| (image(a), image(b), same));
    InsightfaceBin::write(&place.path("odd.bin"), pairs).unwrap();
    embed(&place, &["flat", "--out", "flat.npz"]).done();
    let flat = open(&place, "flat.npz");
    assert_eq!((flat.names().len(), flat.identities()), (3, None));
    for (set, note) in [
        ("flat.tar", ""),
        ("flat/list.csv", "note: the paths of flat/list.csv have no ending"),
        ("odd.bin", "note: odd.bin: pair 2 is of different people"),
    ] {
        let said = embed(&place, &[set, "--out", "e.npz"]).done();
        assert!(said.stdout.starts_with("e.npz: 3 embeddings of 16 numbers\n"), "{set}: {said}");
        assert!(said.stderr.contains(note), "{set}: {said}");
        let file = open(&place, "e.npz");
        assert_eq!((file.identities(), file.all().unwrap()), (None, flat.all().unwrap()), "{set}");
    }
    let sentence = embed(&place, &["flat.tar", "faces", "--out", "e.npz"]).refused(2);
    assert!(sentence.starts_with("faces says who is on each image and flat.tar does not"), "{sentence}");
}

#[test]
fn what_is_no_set_is_one_sentence() {
    let place = lab();
    place.write("a.zip", b"PK\x03\x04\0\0");
    place.write("cut.parquet", "PAR1");
    place.write("page.html", "<!DOCTYPE html>\n<p>Not found</p>\n");
    place.write("junk.tar", "no archive");
    for (set, expected) in [
        (
            "a.zip",
            "a.zip: it is a zip archive (of images, or an .npz), which has to be unpacked; a set of face images",
        ),
        ("runs/tiny", "runs/tiny holds no images"),
        ("cut.parquet", "cut.parquet: "),
        ("page.html", "page.html"),
        ("junk.tar", "junk.tar"),
        ("gone", "there is no gone; an image, or a set of images"),
    ] {
        for verb in ["embed", "identify"] {
            let more: &[&str] =
                if verb == "embed" { &["--out", "e.npz"] } else { &["faces/002000/0000.png"] };
            let sentence = place.facegrad(&[&[verb, set][..], more, &MODEL].concat()).refused(2);
            assert!(sentence.starts_with(expected), "{verb} {set}: {sentence}");
        }
    }
}

#[test]
fn a_job_on_a_container_that_was_killed_goes_on_for_the_same_container_only() {
    let place = lab();
    place.facegrad(&["data", "convert", "faces", "a.rec"]).done();
    embed(&place, &["a.rec", "--out", "whole.csv", "--batch", "4"]).done();
    let whole = open(&place, "whole.csv");
    let target = place.path("e.csv");
    let fingerprint =
        SourceConfig::of_path(&place.path("a.rec")).unwrap().open_images().unwrap().source.fingerprint();
    let begin = |sets_sha256: String| {
        let header =
            EmbeddingJournalHeader::new(&target, 16, whole.origin(), whole.names(), whole.identities());
        let header =
            EmbeddingJournalHeader { batch: Some(4), sets_sha256: Some(sets_sha256), ..header.unwrap() };
        let (mut journal, _) = EmbeddingJournal::open_or_create(&target, header).unwrap();
        journal.append(&whole.all().unwrap()[..9 * 16]).unwrap();
    };
    begin(fingerprint);
    let said = embed(&place, &["a.rec", "--out", "e.csv", "--batch", "4"]).done();
    assert!(said.stderr.contains("going on after 9 of 30 images"), "{said}");
    assert_eq!(place.read("e.csv"), place.read("whole.csv"));
    begin("0".repeat(64));
    let sentence = embed(&place, &["a.rec", "--out", "e.csv", "--batch", "4"]).refused(2);
    assert!(sentence.contains("another value of the set of images (SHA-256): "), "{sentence}");
}

#[test]
fn a_job_that_was_killed_goes_on_to_the_same_bytes() {
    let place = lab();
    synth(&place, "many", "20", "60");
    let arguments = ["many", "--out", "many.npz", "--batch", "7"];
    embed(&place, &arguments).done();
    let whole = place.read("many.npz");
    for signal in ["KILL", "INT"] {
        loop {
            fs::remove_file(place.path("many.npz")).unwrap();
            let all = [&["embed"][..], &arguments, &MODEL].concat();
            let mut running = place.start(FACEGRAD, &all);
            let rows = place.path("many.npz.part/rows.f32");
            running.until(|| rows.metadata().is_ok_and(|about| about.len() > 0));
            running.signal(&[signal]);
            let ended = running.wait();
            // On a busy machine the signal may come too late.
            if ended.code == Some(0) {
                continue;
            }
            assert!(!place.path("many.npz").exists());
            if signal == "INT" {
                let ended = ended.code(130);
                let [stopped, go_on] = ended.stdout.lines().collect::<Vec<_>>()[..] else {
                    panic!("{ended}")
                };
                let kept = " of 1200 images are embedded and kept in many.npz.part";
                assert!(stopped.starts_with("stopped: ") && stopped.ends_with(kept), "{ended}");
                assert_eq!(go_on, format!("continue with: facegrad {}", all.join(" ")));
            }
            break;
        }
        let ended = embed(&place, &arguments).done();
        assert!(
            ended.stderr.contains("going on after ") && ended.stderr.contains(" of 1200 images"),
            "{ended}"
        );
        assert!(place.read("many.npz") == whole, "{signal}");
        assert!(!place.path("many.npz.part").exists());
    }
}

/// The rows of the unfinished job for `target` are not computed again, at whatever row it was cut off.
#[test]
fn only_what_is_missing_is_computed_and_only_for_the_same_job() {
    let place = lab();
    embed(&place, &["faces", "--out", "whole.csv", "--batch", "4"]).done();
    let whole = open(&place, "whole.csv");
    let (rows, target) = (whole.all().unwrap(), place.path("e.csv"));
    let set =
        SourceConfig::of_path(&place.path("faces")).unwrap().open_images().unwrap().source.fingerprint();
    let header = || {
        let header =
            EmbeddingJournalHeader::new(&target, 16, whole.origin(), whole.names(), whole.identities());
        let sets_sha256 = Some(set.clone());
        EmbeddingJournalHeader { batch: Some(4), sets_sha256, ..header.unwrap() }
    };
    for done in [0, 1, 4, 6, 29, 30] {
        // What is done already is recognised by its being wrong.
        let wrong: Vec<f32> = rows[..done * 16].iter().map(|number| number + 1.0).collect();
        let (mut journal, _) = EmbeddingJournal::open_or_create(&target, header()).unwrap();
        journal.append(&wrong).unwrap();
        drop(journal);
        embed(&place, &["faces", "--out", "e.csv", "--batch", "4"]).done();
        let file = open(&place, "e.csv");
        assert_eq!(file.all().unwrap(), [&wrong, &rows[done * 16..]].concat(), "{done}");
    }

    let (mut journal, _) = EmbeddingJournal::open_or_create(&target, header()).unwrap();
    journal.append(&rows[..32]).unwrap();
    drop(journal);
    place.facegrad(&support::train("tiny.toml", &["run.name=other", "run.seed=2"])).done();
    let refused = |arguments: &[&str]| {
        let sentence = place.facegrad(&[&["embed", "--out", "e.csv"][..], arguments].concat()).refused(2);
        assert!(sentence.starts_with("e.csv.part is an unfinished job with another value of "), "{sentence}");
        sentence
    };
    assert!(refused(&["faces", "--model", "runs/other"]).contains("of the model (SHA-256): "));
    assert!(
        refused(&["faces", "--model", "runs/tiny", "--batch", "4", "--flip", "none"])
            .contains("of flip fusion: add instead")
    );
    assert!(refused(&["faces/002000", "--model", "runs/tiny"]).contains("of the list of images (SHA-256): "));
    assert!(refused(&["faces", "--model", "runs/tiny"]).contains("of the batch size: 4 instead of 64"));
    // The same names, another picture.
    let other = place.read("faces/002001/0000.png");
    let before = place.read("faces/002000/0000.png");
    place.write("faces/002000/0000.png", other);
    assert!(
        refused(&["faces", "--model", "runs/tiny", "--batch", "4"]).contains("of the pixels (SHA-256): ")
    );
    place.write("faces/002000/0000.png", before);
    embed(&place, &["faces", "--out", "e.csv", "--batch", "4"]).done();
    assert_eq!(place.read("e.csv"), place.read("whole.csv"));
}

#[test]
fn images_that_cannot_be_read_stop_the_job_or_are_skipped() {
    let place = lab();
    embed(&place, &["faces", "--out", "all.npz"]).done();
    place.write("faces/002001/0001.png", "this is no image");
    place.write("faces/002004/0000.png", &place.read("faces/002004/0001.png")[..100]);
    let sentence = embed(&place, &["faces", "--out", "e.npz"]).refused(2);
    assert_eq!(
        sentence,
        "the image 002001/0001.png of 30: its content is not a JPEG, PNG, WebP, BMP or PNM image, and 1 more \
         cannot be read either; --on-error skip leaves such images out"
    );
    assert!(!place.path("e.npz").exists() && !place.path("e.npz.part").exists());

    let ended = embed(&place, &["faces", "--out", "e.npz", "--on-error", "skip"]).done();
    assert!(ended.stdout.starts_with("e.npz: 28 embeddings of 16 numbers of 6 people\n"), "{ended}");
    let skipped = "\nskipped  2 images that cannot be read, listed in e.npz.skipped.txt\n         002001/0001.png: its content";
    assert!(ended.stdout.contains(skipped), "{ended}");
    let list = place.text("e.npz.skipped.txt");
    assert!(list.starts_with("002001/0001.png\tits content is not") && list.lines().count() == 2, "{list}");
    assert!(list.lines().nth(1).unwrap().starts_with("002004/0000.png\t"), "{list}");
    let (all, e) = (open(&place, "all.npz"), open(&place, "e.npz"));
    assert_eq!((e.position("002001/0001.png"), e.position("002004/0000.png")), (None, None));
    let row = |file: &EmbeddingFile, name: &str| {
        let mut row = [0.0; 16];
        file.read_row(file.position(name).unwrap(), &mut row).unwrap();
        row
    };
    for name in e.names() {
        // Other places in a batch may round otherwise.
        for (a, b) in row(&e, name).iter().zip(row(&all, name)) {
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{name}: {a} {b}");
        }
    }

    // Lists that name what is not there.
    place.write("list.txt", "faces/002000/0000\nfaces/nobody/1\n");
    let sentence = embed(&place, &["list.txt", "--out", "l.npz"]).code(2).sentence();
    assert!(sentence.starts_with("the image faces/nobody/1 of 2: it cannot be read: "), "{sentence}");
    embed(&place, &["list.txt", "--out", "l.npz", "--on-error", "skip"]).done();
    assert_eq!(open(&place, "l.npz").names(), ["faces/002000/0000"]);
    // Nothing to embed; and once all can be read, the list of those that could not is no more.
    place.write("list.txt", "faces/nobody/1\n");
    embed(&place, &["list.txt", "--out", "l.npz", "--on-error", "skip"]).refused(2);
    place.write("list.txt", "faces/002000/0000\n");
    embed(&place, &["list.txt", "--out", "l.npz"]).done();
    assert!(!place.path("l.npz.skipped.txt").exists());
}

#[test]
fn what_cannot_be_embedded_leaves_nothing() {
    let place = lab();
    let sentence = embed(&place, &["faces", "--out", "no/e.npz"]).refused(1);
    assert!(sentence.starts_with("cannot write no/e.npz: "), "{sentence}");
    embed(&place, &["faces/002000", "faces/002001", "--out", "e.npz"]).refused(2);
    let sentence = place.facegrad(&["embed", "faces", "--out", "e.npz"]).refused(2);
    assert!(sentence.starts_with("no model is given; say which with --model"), "{sentence}");
    let names = files(&place, "");
    assert!(!names.iter().any(|name| name.starts_with("e.") || name.starts_with(".writing")), "{names:?}");
}

#[test]
fn a_probe_is_found_among_the_people_of_a_gallery() {
    let place = lab();
    // Two probes leave the folder of their people, so that they do not find themselves.
    for (person, image) in [("002002", "0003"), ("002005", "0000")] {
        let path = format!("faces/{person}/{image}.png");
        fs::rename(place.path(&path), place.path(&format!("probe-{person}.png"))).unwrap();
    }
    let probes = ["probe-002002.png", "probe-002005.png"];
    let arguments = [&["faces"][..], &probes, &["--top", "3", "--json"]].concat();
    let told = json(identify(&place, &arguments));
    assert_eq!(told["gallery"]["images"], 28);

    // By hand, from files of embeddings.
    embed(&place, &["faces", "--out", "gallery.npz"]).done();
    embed(&place, &[&probes[..], &["--out", "probes.npz"]].concat()).done();
    let (gallery, probe) = (open(&place, "gallery.npz"), open(&place, "probes.npz").all().unwrap());
    let rows = gallery.all().unwrap();
    let cosine = |a: &[f32], b: &[f32]| {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    for (i, told) in told["probes"].as_array().unwrap().iter().enumerate() {
        assert_eq!(told["probe"], probes[i]);
        let mut best: HashMap<&str, (f64, &str)> = HashMap::new();
        for (row, name) in rows.chunks(16).zip(gallery.names()) {
            let score = cosine(&probe[i * 16..][..16], row);
            let best = best.entry(&name[..6]).or_insert((score, name));
            if score > best.0 {
                *best = (score, name);
            }
        }
        let mut people: Vec<(&str, (f64, &str))> = best.into_iter().collect();
        people.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
        let found = told["people"].as_array().unwrap();
        assert_eq!(found.len(), 3);
        for (rank, (found, (person, (score, image)))) in found.iter().zip(&people).enumerate() {
            assert_eq!(
                (&found["rank"], &found["person"], &found["image"]),
                (&(rank + 1).into(), &(*person).into(), &(*image).into())
            );
            assert!((found["score"].as_f64().unwrap() - score).abs() < 1e-5, "{found} {score}");
        }
    }

    // An image that is in the gallery finds itself; the table says so.
    let table = identify(&place, &["faces", "faces/002004/0002.png", "--top", "2"]).done().stdout;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert_eq!(lines[0], ["faces/002004/0002.png"]);
    assert_eq!(lines[1], ["rank", "person", "image", "cosine"]);
    assert_eq!(lines[2], ["1", "002004", "002004/0002.png", "1.0000"]);

    // One image a person, called as the person.
    for (person, name) in [("002000", "Ada Lovelace"), ("002001", "Bob")] {
        place.write(&format!("flat/{name}.png"), place.read(&format!("faces/{person}/0001.png")));
    }
    let told = json(identify(&place, &["flat", "faces/002000/0001.png", "--json"]));
    let people = told["probes"][0]["people"].as_array().unwrap();
    assert_eq!((people.len(), &people[0]["person"]), (2, &"Ada Lovelace".into()));
}

#[test]
fn an_index_is_used_with_its_own_model_only() {
    let place = lab();
    let probe = "faces/002003/0001.png";
    let from_folder =
        identify(&place, &["faces", probe, "--save", "people.safetensors", "--flip", "concat"]).done();
    let [saved, note] = from_folder.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{from_folder}") };
    assert_eq!(saved, "people.safetensors: 30 images of the gallery");
    assert_eq!(
        note,
        "note: no threshold was applied, so that somebody is named whoever is on an image; facegrad calibrate \
         measures thresholds, and --at applies one"
    );
    assert_eq!(Gallery::open(place.path("people.safetensors")).unwrap().len(), 30);
    // Without probes the index alone is written, the same.
    identify(&place, &["faces", "--save", "again.safetensors", "--flip", "concat"]).done();
    assert!(without_date(place.read("again.safetensors")) == without_date(place.read("people.safetensors")));
    // The index says how it was made; the folder is not needed any more.
    fs::rename(place.path("faces"), place.path("moved")).unwrap();
    fs::create_dir_all(place.path("faces/002003")).unwrap();
    fs::copy(place.path("moved/002003/0001.png"), place.path(probe)).unwrap();
    let from_index = identify(&place, &["people.safetensors", probe]).done();
    assert_eq!(from_index.stdout, from_folder.stdout);

    place.facegrad(&support::train("tiny.toml", &["run.name=other", "run.seed=2"])).done();
    let sentence =
        place.facegrad(&["identify", "people.safetensors", probe, "--model", "runs/other"]).refused(2);
    assert!(sentence.starts_with("the gallery was made with the model whose SHA-256 is "), "{sentence}");
    let sentence = identify(&place, &["people.safetensors", probe, "--flip", "add"]).refused(2);
    assert!(sentence.contains("flip fusion concat and the probe with add"), "{sentence}");
    embed(&place, &["moved", "--out", "e.safetensors"]).done();
    let sentence = identify(&place, &["e.safetensors", probe]).refused(2);
    assert!(sentence.starts_with("e.safetensors is not a gallery: "), "{sentence}");
    let sentence = identify(&place, &["people.safetensors", "gone.png"]).refused(2);
    assert!(sentence.starts_with("there is no gone.png; an image, or a set"), "{sentence}");
    let sentence = identify(&place, &["moved", probe, "--save", "people.npz"]).refused(2);
    assert!(sentence.starts_with("--save people.npz: an index is kept in a file that ends in"), "{sentence}");
}

/// A gallery file without the moment it was made at.
fn without_date(mut file: Vec<u8>) -> Vec<u8> {
    let before = br#"\"made\":\""#;
    let at = file.windows(before.len()).position(|bytes| bytes == before).unwrap() + before.len();
    file[at..at + "2026-11-29T12:05:31Z".len()].fill(b'#');
    file
}

#[test]
fn a_gallery_says_of_what_it_was_made_and_is_brought_up_to_date() {
    let place = lab();
    let probe = "faces/002003/0001.png";
    identify(&place, &["faces", "--save", "g.safetensors"]).done();
    let source = place.path("faces").display().to_string();
    let line = |ended: &Ended| ended.stderr.lines().next().unwrap_or_default().to_owned();
    let used = identify(&place, &["g.safetensors", probe]).done();
    let said = line(&used);
    assert!(said.starts_with("g.safetensors: 30 images of 6 people, made 20"), "{said}");
    assert!(said.ends_with(&format!(" UTC of {source}, which is as it was")), "{said}");
    assert!(!used.stderr.contains("up to date"), "{used}");
    let shown = place.facegrad(&["show", "g.safetensors"]).done().stdout;
    for row in [
        "gallery     g.safetensors",
        "images      30 of 6 people",
        "embeddings  of 16 numbers, flip add, score cosine, each divided by its length",
    ] {
        assert!(shown.lines().any(|line| line == row), "{row}\n{shown}");
    }
    assert!(shown.contains(&format!("\nof          {source}, which is as it was\n")), "{shown}");

    // One is new, one another picture, one gone; one is written again as it was, with the time of long ago.
    let old = |path: &str| {
        let file = fs::File::options().write(true).open(place.path(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    };
    place.write("faces/new/0.png", place.read("faces/002000/0000.png"));
    place.write("faces/002002/0002.png", place.read("faces/002004/0000.png"));
    old("faces/002002/0002.png");
    place.write("faces/002005/0000.png", place.read("faces/002005/0000.png"));
    fs::remove_file(place.path("faces/002001/0001.png")).unwrap();
    let used = identify(&place, &["g.safetensors", probe]).done();
    assert!(line(&used).ends_with("which has changed since: 1 new, 1 changed, 1 gone"), "{used}");
    let command = format!("facegrad identify {source} --model runs/tiny --save g.safetensors");
    assert_eq!(used.stderr.lines().nth(1), Some(&*format!("note: bring it up to date with {command}")));
    let told = json(identify(&place, &["g.safetensors", probe, "--json"]));
    let record = &told["gallery"]["record"];
    assert_eq!((&record["source"], &record["batch"]), (&source.clone().into(), &64.into()));
    let images =
        serde_json::json!({ "state": "changed", "new": 1, "changed": 1, "gone": 1, "written_since": 0 });
    assert_eq!(record["images"], images);
    assert_eq!(json(place.facegrad(&["show", "g.safetensors", "--json"]))["record"], *record);

    // Brought up to date it is what is made from nothing, but for the date.
    let update =
        |file: &str, more: &[&str]| identify(&place, &[&["faces", "--save", file][..], more].concat()).done();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let updated = place.facegrad(&words).done();
    assert_eq!(
        line(&updated),
        "g.safetensors: brought up to date, 30 images: 1 new, 1 changed, 1 gone, 28 kept"
    );
    update("scratch.safetensors", &[]);
    let scratch = without_date(place.read("scratch.safetensors"));
    assert!(without_date(place.read("g.safetensors")) == scratch);
    let again = update("g.safetensors", &[]);
    assert_eq!(
        line(&again),
        "g.safetensors: brought up to date, 30 images: 0 new, 0 changed, 0 gone, 30 kept"
    );
    let used = identify(&place, &["g.safetensors", probe]).done();
    assert!(line(&used).ends_with("which is as it was"), "{used}");
    // With a date of its own the file is the same to the last byte.
    let dated = |file: &str| {
        let words = ["SOURCE_DATE_EPOCH=1764417931", FACEGRAD, "identify", "faces", "--save", file];
        place.start("env", &[&words[..], &MODEL].concat()).wait().done();
    };
    dated("g.safetensors");
    dated("dated.safetensors");
    assert!(place.read("g.safetensors") == place.read("dated.safetensors"));
    let record = &json(place.facegrad(&["show", "dated.safetensors", "--json"]))["record"];
    assert_eq!(record["made"], "2025-11-29T12:05:31Z");

    // The flip fusion stays that of the gallery; what cannot be continued is made anew.
    update("c.safetensors", &["--flip", "concat"]);
    assert!(line(&update("c.safetensors", &[])).contains(" 30 kept"));
    let anew = update("c.safetensors", &["--flip", "none"]);
    assert_eq!(
        line(&anew),
        "c.safetensors: made anew, 30 images embedded: what was there was made in another way, the flip fusions concat and none"
    );
    let anew = update("c.safetensors", &["--flip", "none", "--batch", "7"]);
    assert!(line(&anew).ends_with("by another version of facegrad, or with another --batch"), "{anew}");
    place.facegrad(&support::train("tiny.toml", &["run.name=other", "run.seed=2"])).done();
    let anew =
        place.facegrad(&["identify", "faces", "--save", "g.safetensors", "--model", "runs/other"]).done();
    assert!(line(&anew).contains("made in another way, the models with the SHA-256 "), "{anew}");

    // A gallery of before there were dates is read, and made anew.
    let rows = open(&place, "scratch.safetensors");
    let (names, people) = (rows.names().to_vec(), rows.identities().unwrap().to_vec());
    let origin = rows.origin().unwrap().clone();
    Gallery::new(16, rows.all().unwrap(), names, people, origin)
        .unwrap()
        .save(place.path("old.safetensors"))
        .unwrap();
    let used = identify(&place, &["old.safetensors", probe]).done();
    assert_eq!(
        line(&used),
        "old.safetensors: 30 images of 7 people, which do not say when and of what they were made"
    );
    assert_eq!(used.stdout, identify(&place, &["scratch.safetensors", probe]).done().stdout);
    let anew = update("old.safetensors", &[]);
    assert!(line(&anew).ends_with("what was there does not say of what images it was made"), "{anew}");
    assert!(without_date(place.read("old.safetensors")) == scratch);

    // Nothing else is written over, and an image that cannot be read is named.
    let model = format!("runs/tiny/{}/model.safetensors", place.text("runs/tiny/best").trim());
    let weights = place.read(&model);
    let said = identify(&place, &["faces", "--save", &model]).refused(2);
    assert!(said.contains("a file of that name is there and is no gallery ("), "{said}");
    assert!(place.read(&model) == weights);
    place.write("faces/new/0.png", "to whom it may concern");
    let said = identify(&place, &["faces", "--save", "old.safetensors"]).refused(2);
    assert!(
        said.starts_with("the image new/0.png: its content is not a JPEG")
            && said.ends_with("; every image is needed"),
        "{said}"
    );
    assert!(without_date(place.read("old.safetensors")) == scratch);
    // What it was made of need not be there.
    fs::rename(place.path("faces"), place.path("moved")).unwrap();
    let used = identify(&place, &["scratch.safetensors", "moved/002003/0001.png"]).done();
    assert!(line(&used).contains("faces, which cannot be looked at: there is no "), "{used}");
}

#[test]
fn drawn_pairs_share_no_person_between_folds_and_can_be_measured() {
    let place = lab();
    synth(&place, "many", "24", "4");
    let draw = |out: &str, more: &[&str]| {
        let arguments = ["data", "pairs", "many", "--folds", "4", "--per-fold", "20", "--out", out];
        place.facegrad(&[&arguments[..], more].concat()).done().stdout
    };
    let text = draw("pairs.csv", &["--seed", "5"]);
    assert!(text.starts_with("pairs.csv: 160 pairs, 80 genuine and 80 impostor\nfolds    4, "), "{text}");
    assert!(text.contains("\npeople   24 of 24\n") && text.contains(" of 96\n"), "{text}");
    assert!(
        place.text("pairs.csv").starts_with("image1,image2,same,fold\n0020"),
        "{}",
        place.text("pairs.csv")
    );
    draw("again.csv", &["--seed", "5"]);
    assert_eq!(place.read("pairs.csv"), place.read("again.csv"));
    let told: Value = serde_json::from_str(&draw("other.csv", &["--seed", "6", "--json"])).unwrap();
    assert_ne!(place.read("pairs.csv"), place.read("other.csv"));
    assert_eq!((&told["pairs"], &told["people"], &told["seed"]), (&160.into(), &24.into(), &6.into()));

    let list = PairList::read(&place.path("pairs.csv"), None).unwrap();
    let mut fold_of: HashMap<&str, usize> = HashMap::new();
    for pair in list.pairs() {
        let [a, b] = [pair.a, pair.b].map(|image| list.images()[image].as_str());
        assert!(place.path(&format!("many/{a}")).is_file());
        let [of_a, of_b] = [a, b].map(|name| name.split_once('/').unwrap().0);
        assert_eq!(of_a == of_b, pair.same);
        for person in [of_a, of_b] {
            assert_eq!(*fold_of.entry(person).or_insert(pair.fold), pair.fold, "{person}");
        }
    }

    let eval = ["eval", "runs/tiny", "--pairs", "pairs.csv", "--images", "many", "--json"];
    let result = json(place.facegrad(&eval));
    assert_eq!((&result["genuine"], &result["impostor"]), (&80.into(), &80.into()));
    assert_eq!(result["accuracy"]["folds"].as_array().unwrap().len(), 4);
    assert!(text.contains(result["pairs_sha256"].as_str().unwrap()), "{text}");

    // The same pairs of the same images, called as a container calls them.
    place.facegrad(&["data", "convert", "many", "many.rec"]).done();
    let draw =
        ["data", "pairs", "many.rec", "--folds", "4", "--per-fold", "20", "--seed", "5", "--out", "rec.csv"];
    let text = place.facegrad(&draw).done().stdout;
    assert!(
        text.contains("\nmeasure a model: facegrad eval MODEL --pairs rec.csv --images many.rec\n"),
        "{text}"
    );
    let of_rec = PairList::read(&place.path("rec.csv"), None).unwrap();
    assert_eq!(of_rec.pairs(), list.pairs());
    assert!(of_rec.images().iter().all(|key| key.parse::<usize>().is_ok_and(|key| (1..=96).contains(&key))));

    let of_set = |pairs: &str, set: &str| {
        let told = json(place.facegrad(&["eval", "runs/tiny", "--pairs", pairs, "--images", set, "--json"]));
        ["accuracy", "auc", "eer", "images_sha256"].map(|key| told[key].clone())
    };
    assert_eq!(of_set("rec.csv", "many.rec"), of_set("pairs.csv", "many"));
    let refused = |pairs: &str, set: &str| {
        place.facegrad(&["eval", "runs/tiny", "--pairs", pairs, "--images", set]).refused(2)
    };
    let sentence = refused("pairs.csv", "many.rec");
    assert!(
        sentence.contains("and many.rec has no such images (it calls them such as \"1\"); 9"),
        "{sentence}"
    );
    place.write("a.zip", b"PK\x03\x04\0\0");
    assert!(refused("pairs.csv", "a.zip").starts_with("a.zip: it is a zip archive"));
    // Too few pairs for a threshold, all of whose images are found.
    let at = ["--at", "eer"];
    let calibrate = ["calibrate", "runs/tiny", "--pairs", "rec.csv", "--images", "many.rec"];
    let sentence = place.facegrad(&[&calibrate[..], &at].concat()).refused(2);
    assert!(sentence.starts_with("no point can be measured on rec: "), "{sentence}");

    let out: PathBuf = place.path("more.csv");
    let sentence =
        place.facegrad(&["data", "pairs", "many", "--folds", "20", "--out", "more.csv"]).refused(2);
    assert!(sentence.contains("ask for fewer folds or fewer pairs") && !out.exists(), "{sentence}");
    place.facegrad(&["data", "pairs", "gone", "--out", "more.csv"]).refused(2);
    let sentence = place.facegrad(&["data", "pairs", "many/002000", "--out", "more.csv"]).refused(2);
    assert!(sentence.starts_with("many/002000 does not say who is on its images"), "{sentence}");
}

#[test]
fn galleries_and_probes_may_be_sets_of_any_kind() {
    let place = lab();
    for to in ["a.rec", "a.tar", "a.parquet"] {
        place.facegrad(&["data", "convert", "faces", to]).done();
    }
    let probes = ["faces/002002/0003.png", "faces/002005/0000.png"];
    place.write("probes.txt", probes.join("\n"));
    let search = |gallery: &str, probes: &[&str]| {
        let told = json(identify(&place, &[&[gallery][..], probes, &["--top", "3", "--json"]].concat()));
        let probes = told["probes"].as_array().unwrap().clone();
        let found = |probe: &Value| {
            let people = probe["people"].as_array().unwrap().clone();
            people.iter().map(|found| (found["person"].clone(), found["score"].clone())).collect::<Vec<_>>()
        };
        let names: Vec<String> = probes.iter().map(|probe| probe["probe"].as_str().unwrap().into()).collect();
        (names, probes.iter().map(found).collect::<Vec<_>>())
    };
    let (names, found) = search("faces", &probes);
    assert_eq!(names, probes);
    for gallery in ["a.rec", "a.tar", "a.parquet"] {
        assert_eq!(search(gallery, &probes).1, found, "{gallery}");
    }
    let listed = names.iter().map(|name| format!("./{name}")).collect();
    assert_eq!(search("faces", &["probes.txt"]), (listed, found.clone()));
    // The fourth image of the third person, and the first of the sixth.
    place.facegrad(&["data", "convert", "faces", "two.rec", "--set", "keep=probes.csv"]).refused(2);
    place.write("probes.csv", "image\n002002/0003.png\n002005/0000.png\n");
    place.facegrad(&["data", "convert", "faces", "two.rec", "--set", "keep=probes.csv"]).done();
    let (names, again) = search("a.tar", &["two.rec", "faces/002000"]);
    assert_eq!(
        (names.len(), &names[1], &names[2]),
        (7, &"two.rec, record 2".into(), &"faces/002000/0000.png".into())
    );
    assert_eq!(again[..2], found);
    // The keys of a gallery.
    place.write("who.csv", "photo,person,hair\nfaces/002002/0001.png,Ada,1\nfaces/002005/0001.png,Bob,1\n");
    let keys = ["--set", "image_key=photo", "--set", "label_key=person", "--json"];
    let told = json(identify(&place, &[&["who.csv", probes[0]][..], &keys].concat()));
    assert_eq!(told["gallery"]["people"], 2);
    assert_eq!(told["probes"][0]["people"][0]["person"], "Ada");
}

/// A command of a shell that has process substitution, with the program as `$F` and no file left in `tmp`.
#[cfg(unix)]
fn bash(place: &Place, script: &str) -> Ended {
    let variables = [format!("F={FACEGRAD}"), format!("TMPDIR={}", place.path("tmp").display())];
    let shell = ["timeout", "60", "bash", "-c", script];
    let ended = place.start("env", &[&[&*variables[0], &variables[1]][..], &shell].concat()).wait();
    assert_eq!(files(place, "tmp"), [""; 0], "{ended}");
    ended
}

#[cfg(unix)]
#[test]
fn pipes_are_read_where_a_person_names_them_and_nowhere_else() {
    let place = lab();
    fs::create_dir(place.path("tmp")).unwrap();
    let probe = "faces/002004/0002.png";
    let told = identify(&place, &["faces", probe, "--top", "2"]).done().stdout;
    let (_, table) = told.split_once('\n').unwrap();
    for (script, name) in [
        (format!("$F identify faces <(cat {probe}) --top 2 --model runs/tiny"), "/dev/fd/"),
        (format!("cat {probe} | $F identify faces /dev/stdin --top 2 --model runs/tiny"), "/dev/stdin"),
        (format!("mkfifo p && (cat {probe} > p &) && $F identify faces p --top 2 --model runs/tiny"), "p"),
    ] {
        let piped = bash(&place, &script).done();
        let (named, found) = piped.stdout.split_once('\n').unwrap();
        assert!(named.starts_with(name) && found == table, "{piped}");
    }
    let list = "ls faces/00200*/0001.png";
    bash(&place, &format!("$F embed <({list}) --images . --out e.npz --model runs/tiny")).done();
    assert_eq!(open(&place, "e.npz").len(), 6);
    // A pipe that holds an image is one, whatever it is called.
    bash(&place, &format!("cat {probe} | $F embed /dev/stdin --out one.npz --model runs/tiny")).done();
    assert_eq!(open(&place, "one.npz").names(), ["stdin"]);
    bash(&place, "$F train <(sed s/tiny/piped/ tiny.toml) --set run.steps=1 --set run.checkpoint_every=1")
        .done();
    assert!(place.path("runs/piped/last").exists());

    // Nobody writes to these, and nobody named them.
    bash(&place, "mkfifo silent silent.npz silent.tar silent.rec silent.bin faces/002000/silent.jpg").done();
    place.write("list.txt", "002000/0001.png a\n002000/silent.jpg a\n002001/0001.png b\n002001/0002.png b\n");
    let train = |kind: &str, path: &str| {
        let set = format!(
            "--set data.train.kind={kind} --set data.train.path={path} --set data.train.min_images=1"
        );
        bash(
            &place,
            &format!(
                "$F train tiny.toml --set run.name=silent --set run.steps=3 --set run.batch=2 {set} --set data.train.root=faces"
            ),
        )
    };
    let reason = "it cannot be read: it is a pipe, and no regular file";
    let ended = train("list", "list.txt").done();
    assert!(ended.stderr.contains(&format!("skipped faces/002000/silent.jpg: {reason}")), "{ended}");
    let sentence = bash(&place, "$F embed list.txt --images faces --out e.npz --model runs/tiny").refused(2);
    assert!(sentence.starts_with(&format!("the image 002000/silent.jpg of 4: {reason}")), "{sentence}");
    for (kind, path) in [
        ("list", "silent"),
        ("webdataset", "silent.tar"),
        ("recordio", "silent.rec"),
        ("insightface_bin", "silent.bin"),
    ] {
        let set = format!("--set kind={kind}");
        let sentence = bash(&place, &format!("$F data audit {path} {set}")).refused(2);
        assert!(
            sentence.contains(path) && sentence.contains("it is a pipe, and no regular file"),
            "{sentence}"
        );
    }
    for script in [
        "$F eval silent.npz --protocol all_pairs",
        "$F train tiny.toml --set data.train.exclude=silent",
        "$F identify faces /dev/zero --model runs/tiny",
    ] {
        let sentence = bash(&place, script).refused(2);
        assert!(sentence.contains(", and no regular file"), "{script}: {sentence}");
    }
}

#[test]
fn no_output_replaces_what_is_read_or_a_file_of_a_checkpoint() {
    let place = lab();
    let run = MODEL[1];
    let checkpoint = place.path(run).read_dir().unwrap().map(|entry| entry.unwrap().path());
    let checkpoint = checkpoint.into_iter().find(|path| path.join("manifest.json").is_file()).unwrap();
    let model = checkpoint.join("model.safetensors");
    let before = std::fs::read(&model).unwrap();
    let said = place.facegrad(&["embed", "faces", "--model", run, "--out", model.to_str().unwrap()]).code(2);
    assert!(said.stderr.contains("a file of a checkpoint; choose another name"), "{said}");
    assert_eq!(std::fs::read(&model).unwrap(), before);

    place.write("list.csv", "image,label\nfaces/000000/0000.png,a\nfaces/000000/0001.png,a\nfaces/000001/0000.png,b\nfaces/000001/0001.png,b\n");
    let list = place.text("list.csv");
    for command in [
        &["embed", "list.csv", "--model", run, "--out", "list.csv"][..],
        &["data", "pairs", "list.csv", "--folds", "1", "--per-fold", "1", "--out", "list.csv"],
        &["data", "audit", "list.csv", "--exclude", "list.csv"],
    ] {
        let said = place.facegrad(command).code(2);
        assert!(said.stderr.contains("would replace list.csv, which is read"), "{said}");
        assert_eq!(place.text("list.csv"), list);
    }
}
