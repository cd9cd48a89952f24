//! `facegrad eval`: a model measured on pair files.

mod support;

use std::{fmt::Write, fs};

use facegrad_random::{Purpose, Stream};
use serde_json::Value;
use support::{Ended, Place, TINY};

const NAMES: [&str; 8] =
    ["Ada_Lovelace", "Bob", "Carl Gauss", "Émile_Zola", "Fay", "Gus", "Hans Müller", "Ida"];

/// A folder with a small trained model, images as LFW has them, and pair files of both views.
fn lab() -> Place {
    let place = Place::new();
    let synth = ["data", "synth", "--identities", "8", "--images", "5", "--size", "24"];
    place.facegrad(&[&synth[..], &["--first-identity", "2000", "--out", "raw"]].concat()).done();
    for (identity, name) in NAMES.iter().enumerate() {
        fs::create_dir_all(place.path(&format!("lfw/{name}"))).unwrap();
        for image in 0..5 {
            let from = place.path(&format!("raw/{:06}/{image:04}.png", 2000 + identity));
            fs::rename(from, place.path(&format!("lfw/{name}/{name}_{:04}.png", image + 1))).unwrap();
        }
    }
    place.write("view2.txt", format!("2\t12\n{}{}", pairs(&NAMES[..4]), pairs(&NAMES[4..])));
    place.write("train.txt", format!("12\n{}", pairs(&NAMES[..4])));
    place.write("test.txt", format!("12\n{}", pairs(&NAMES[4..])));

    let (before, _) = TINY.split_once("[[evaluation]]").unwrap();
    let evaluation = "kind = \"pair_file\"\npairs = \"view2.txt\"\nimages = \"lfw\"\n";
    place.write("lfw.toml", format!("{before}[[evaluation]]\n{evaluation}"));
    place.facegrad(&support::train("lfw.toml", &["run.name=lfw"])).done();
    place
}

/// Twelve genuine and twelve impostor pairs of four people.
fn pairs(names: &[&str]) -> String {
    let mut text = String::new();
    for name in names {
        for (i, j) in [(1, 2), (3, 4), (2, 5)] {
            writeln!(text, "{name}\t{i}\t{j}").unwrap();
        }
    }
    for (k, name) in names.iter().enumerate() {
        for (i, step) in [(1, 1), (3, 2), (4, 3)] {
            writeln!(text, "{name}\t{i}\t{}\t{}", names[(k + step) % 4], k + 1).unwrap();
        }
    }
    text
}

fn eval(place: &Place, model: &str, more: &[&str]) -> Ended {
    place.facegrad(&[&["eval", model][..], more].concat())
}

fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.done().stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

const VIEW_2: [&str; 4] = ["--pairs", "view2.txt", "--images", "lfw"];
const VIEW_1: [&str; 6] = ["--pairs", "test.txt", "--threshold-pairs", "train.txt", "--images", "lfw"];

#[test]
fn a_model_is_measured_by_the_protocols_of_lfw() {
    let place = lab();
    // View 2: the threshold of each fold comes from the others.
    let table = eval(&place, "runs/lfw", &VIEW_2).done().stdout;
    let result = json(eval(&place, "runs/lfw", &[&VIEW_2[..], &["--json"]].concat()));
    let accuracy = &result["accuracy"];
    assert_eq!((result["genuine"].as_u64(), result["impostor"].as_u64()), (Some(24), Some(24)));
    assert_eq!(accuracy["threshold_from"], "other_folds");
    let folds: Vec<f64> =
        accuracy["folds"].as_array().unwrap().iter().map(|f| number(&f["accuracy"])).collect();
    let [a, b] = folds[..] else { panic!("{folds:?}") };
    assert!((number(&accuracy["mean"]) - (a + b) / 2.0).abs() < 1e-12);
    // The deviation of two numbers over the root of two.
    assert!((number(&accuracy["standard_error"]) - (a - b).abs() / 2.0).abs() < 1e-12, "{accuracy}");
    let (auc, eer) = (number(&result["auc"]), number(&result["eer"]));
    assert!((0.0..=1.0).contains(&auc) && (0.0..=1.0).contains(&eer) && auc != 0.5, "{result}");
    let lines = [
        "lines of the table".into(),
        format!(
            "accuracy           {:.2} % ± {:.2} standard error (95 %: ",
            number(&accuracy["mean"]) * 100.0,
            number(&accuracy["standard_error"]) * 100.0
        ),
        format!("AUC                {auc:.4}"),
        format!("EER                {:.2} %", eer * 100.0),
        format!(
            "pairs              24 genuine, 24 impostor, SHA-256 {}",
            result["pairs_sha256"].as_str().unwrap()
        ),
        format!("backend            {}", result["backend"].as_str().unwrap()),
        "fold  accuracy  threshold  false rejects  false accepts".into(),
    ];
    assert!(table.starts_with("view2: view2.txt (LFW View 2 format)\n"), "{table}");
    for line in &lines[1..] {
        assert!(table.lines().any(|found| found.starts_with(line.as_str())), "{line}\n{table}");
    }

    // View 1: the threshold comes from the development pairs.
    let table = eval(&place, "runs/lfw", &VIEW_1).done().stdout;
    assert!(table.starts_with("test: test.txt (LFW View 1 format, threshold from train.txt)\n"), "{table}");
    assert!(table.contains(", the best on the development pairs\n"), "{table}");
    let result = json(eval(&place, "runs/lfw", &[&VIEW_1[..], &["--json"]].concat()));
    assert_eq!(result["accuracy"]["threshold_from"], "other_pairs");
    assert_eq!(result["accuracy"]["folds"].as_array().unwrap().len(), 1);
    // Without them it comes from the very same pairs, can only be better, and says so.
    let alone = ["--pairs", "test.txt", "--images", "lfw"];
    let table = eval(&place, "runs/lfw", &alone).done().stdout;
    assert!(table.contains("the best on these very pairs: the accuracy is flattered\n"), "{table}");
    let flattered = json(eval(&place, "runs/lfw", &[&alone[..], &["--json"]].concat()));
    assert_eq!(flattered["auc"], result["auc"]);
    assert!(number(&flattered["accuracy"]["mean"]) >= number(&result["accuracy"]["mean"]));
}

#[test]
fn the_measure_is_that_of_training_and_of_the_switches_given() {
    let place = lab();
    let batch = ["--batch", "16", "--json"];
    // The best checkpoint, the folder of it, its model file: the same model.
    let best = format!("runs/lfw/{}", place.text("runs/lfw/best").trim());
    let file = format!("{best}/model.safetensors");
    let of_run = json(eval(&place, "runs/lfw", &[&VIEW_2[..], &batch].concat()));
    for model in [&best, &file, "runs/lfw/best"] {
        assert_eq!(json(eval(&place, model, &[&VIEW_2[..], &batch].concat())), of_run, "{model}");
    }
    let manifest: Value = serde_json::from_slice(&place.read(&format!("{best}/manifest.json"))).unwrap();
    assert_eq!(of_run["model_sha256"], manifest["files"]["model.safetensors"]["sha256"]);
    // What training measured at that step, but for what only a file has.
    let mut events = place.events("runs/lfw", "evaluation");
    let then = events.iter_mut().find(|event| event["step"] == manifest["step"]).unwrap()["result"].take();
    for key in ["accuracy", "auc", "eer", "tar_at_far", "pairs_sha256", "backend", "flip", "genuine"] {
        assert_eq!(then[key], of_run[key], "{key}");
    }
    // The size of batches does not matter; the fusion of mirror images does.
    let other = |more: &[&str]| {
        number(&json(eval(&place, "runs/lfw", &[&VIEW_2[..], &["--json"], more].concat()))["auc"])
    };
    assert!((other(&["--batch", "7"]) - number(&of_run["auc"])).abs() < 0.01);
    if cfg!(feature = "ndarray") {
        assert!((other(&["--backend", "ndarray"]) - number(&of_run["auc"])).abs() < 0.01);
    }
    let none = json(eval(&place, "runs/lfw", &[&VIEW_2[..], &["--flip", "none", "--json"]].concat()));
    assert_eq!((&none["flip"], &of_run["flip"]), (&"none".into(), &"add".into()));
    assert_ne!(none["accuracy"]["folds"], of_run["accuracy"]["folds"]);
}

#[test]
fn what_is_wrong_with_pairs_or_images_is_named() {
    let place = lab();
    fs::remove_file(place.path("lfw/Carl Gauss/Carl Gauss_0003.png")).unwrap();
    let said = eval(&place, "runs/lfw", &VIEW_2).refused(2);
    let missing = "view2.txt names Carl Gauss/Carl Gauss_0003, and lfw has no such image (tried .jpg, .png and the like); 1 of its 40 images are missing";
    assert_eq!(said, missing);
    let said = eval(&place, "runs/lfw", &VIEW_1).refused(2);
    assert_eq!(said, missing.replace("view2.txt", "train.txt").replace("of its 40", "of its 20"));

    let png = place.read("lfw/Bob/Bob_0002.png");
    place.write("lfw/Bob/Bob_0002.png", &png[..100]);
    place.write("short.txt", "1\nBob\t1\t2\nBob\t1\tFay\t1\n");
    let said = eval(&place, "runs/lfw", &["--pairs", "short.txt", "--images", "lfw"]).refused(2);
    let damaged = "the evaluation image lfw/Bob/Bob_0002.png: the PNG data ends early; every image of a protocol is needed";
    assert_eq!(said, damaged);

    place.write("wrong.txt", "1\nBob\t1\ttwo\nBob\t1\tFay\t1\n");
    let said = eval(&place, "runs/lfw", &["--pairs", "wrong.txt", "--images", "lfw"]).refused(2);
    assert!(
        said.starts_with("wrong.txt:2: expected a genuine pair: ")
            && said.ends_with("found \"Bob\\t1\\ttwo\""),
        "{said}"
    );
    let said = eval(&place, "runs/lfw", &["--pairs", "absent.txt", "--images", "lfw"]).refused(2);
    assert!(said.starts_with("cannot read the pair list absent.txt: "), "{said}");
}

/// The bytes of a safetensors file: eight of length, a JSON header, the tensors.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8..].split_at(length)
}

fn join(header: &[u8], tensors: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, tensors].concat()
}

#[test]
fn a_file_that_is_no_model_of_ours_is_refused_in_a_sentence() {
    let place = lab();
    let best = format!("runs/lfw/{}", place.text("runs/lfw/best").trim());
    let model = place.read(&format!("{best}/model.safetensors"));
    let (header, tensors) = split(&model);
    let header = std::str::from_utf8(header).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(header.contains(from), "{from} is not in {header}");
        join(header.replacen(from, to, 1).as_bytes(), tensors)
    };
    let foreign = join(br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]);
    let ours = "this facegrad prepares 20x20 RGB, (v - 127.5) / 127.5, aligned to arcface-112, scaled to the size; the scores would mean nothing";
    let cases = [
        (
            "bgr.safetensors",
            changed("RGB", "BGR"),
            format!(
                "bgr.safetensors was trained on images prepared as 20x20 BGR, (v - 127.5) / 127.5, aligned to arcface-112, scaled to the size, and {ours}"
            ),
        ),
        (
            "foreign.safetensors",
            foreign,
            "foreign.safetensors: it is not a facegrad model: it was not written by facegrad".into(),
        ),
        ("empty.safetensors", Vec::new(), "empty.safetensors: it is not a facegrad model: ".into()),
        (
            "text.safetensors",
            b"to whom it may concern".to_vec(),
            "text.safetensors: it is not a facegrad model: ".into(),
        ),
        (
            "header.safetensors",
            model[..100].to_vec(),
            "header.safetensors: it is not a facegrad model: ".into(),
        ),
        ("cut.safetensors", model[..model.len() - 100].to_vec(), "cut.safetensors: ".into()),
        (
            "renamed.safetensors",
            changed("embed.norm.running_mean", "embed.norm.running_mode"),
            "renamed.safetensors: it holds no embed.norm.running_mean".into(),
        ),
        (
            "large.safetensors",
            changed("[20,20]", "[9,900]"),
            "large.safetensors: its input size [9, 900] is not from 16 to 1024 pixels".into(),
        ),
        ("model.txt", model.clone(), "model.txt holds no checkpoint; ".into()),
    ];
    for (name, bytes, sentence) in cases {
        place.write(name, bytes);
        let said = eval(&place, name, &VIEW_2).refused(2);
        assert!(said.starts_with(&sentence), "{said}\nshould be\n{sentence}");
    }
    let said = eval(&place, "absent", &VIEW_2).refused(2);
    assert_eq!(said, "absent: there is no such model file, checkpoint or run folder");
    // In a run folder the manifest finds damage before anything is decoded.
    place.write(&format!("{best}/model.safetensors"), &model[..model.len() - 1]);
    let said = eval(&place, "runs/lfw", &VIEW_2).refused(2);
    assert!(
        said.starts_with(&format!("{best}/model.safetensors has {} bytes instead of", model.len() - 1)),
        "{said}"
    );
}

#[test]
fn no_damage_to_the_header_of_a_model_is_more_than_a_sentence() {
    let place = lab();
    let best = format!("runs/lfw/{}", place.text("runs/lfw/best").trim());
    let model = place.read(&format!("{best}/model.safetensors"));
    let header = 8 + split(&model).0.len();
    let mut stream = Stream::new(1, Purpose::Bootstrap, 0, 0);
    place.write("short.txt", "1\nBob\t1\t2\nBob\t1\tFay\t1\n");
    for _ in 0..40 {
        let mut damaged = model.clone();
        let place_of_damage = stream.below(header);
        damaged[place_of_damage] = [b'9', b'"', b'}', 0xFF, b'-', b',', 0][stream.below(7)];
        place.write("damaged.safetensors", damaged);
        let ended = eval(&place, "damaged.safetensors", &["--pairs", "short.txt", "--images", "lfw"]);
        // Some damage changes nothing that matters, such as the number of identities.
        if ended.code != Some(0) {
            ended.refused(2);
        }
    }
}
