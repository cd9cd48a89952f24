//! Files that older versions wrote, in `tests/fixtures/v<version>`: this version reads them, and they mean the same.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::Place;

/// What another processor's rounding may change a score by.
const SCORE: f64 = 1e-4;

/// And a loss, by the share of it, after some steps.
const LOSS: f64 = 1e-2;

/// What tells of the program, the machine or where a file lies, and not of what is in it.
const OF_THE_RUN: [&str; 4] = ["backend", "embeddings", "facegrad", "record"];

/// For each version a place with its files.
fn versions() -> Vec<(String, Place)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let folders = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path());
    let versions = folders.filter(|path| path.is_dir()).map(|folder| {
        let place = Place::new();
        place.copy(folder.to_str().unwrap(), "");
        (folder.file_name().unwrap().to_str().unwrap().to_owned(), place)
    });
    let versions: Vec<_> = versions.collect();
    assert!(!versions.is_empty());
    versions
}

/// Whether everything that `then` says is said by `now` too.
fn same(then: &Value, now: &Value, place: &str) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, then) in then.iter().filter(|(key, _)| !OF_THE_RUN.contains(&key.as_str())) {
                let now = now.get(key).unwrap_or_else(|| panic!("{place}: there is no {key} any more"));
                same(then, now, &format!("{place}.{key}"));
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            assert_eq!(then.len(), now.len(), "{place}");
            for (index, (then, now)) in then.iter().zip(now).enumerate() {
                same(then, now, &format!("{place}[{index}]"));
            }
        }
        (Value::Number(then), Value::Number(now)) => {
            let (then, now) = (then.as_f64().unwrap(), now.as_f64().unwrap());
            assert!((then - now).abs() <= SCORE * then.abs().max(1.0), "{place}: {then} became {now}");
        }
        _ => assert_eq!(then, now, "{place}"),
    }
}

/// Runs a command whose output was kept in the file `kept`, and compares.
fn says_the_same(version: &str, place: &Place, kept: &str, arguments: &[&str]) {
    let said = place.facegrad(&[arguments, &["--json"]].concat()).done();
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    same(&json(&place.text(kept)), &json(&said.stdout), &format!("{version}, {kept}"));
}

#[test]
fn models_of_older_versions_give_the_same_scores() {
    for (version, place) in versions() {
        let evaluation = ["eval", "runs/tiny", "--pairs", "pairs.csv", "--images", "faces"];
        says_the_same(&version, &place, "eval.json", &evaluation);
        let pair = ["faces/001000/0000.png", "faces/001001/0001.png"];
        let verification = [&["verify"], &pair[..], &["--model", "runs/tiny", "--at", "eer"]].concat();
        says_the_same(&version, &place, "verify.json", &verification);
    }
}

#[test]
fn galleries_of_older_versions_name_the_same_people() {
    for (version, place) in versions() {
        let search = ["identify", "gallery.safetensors", "faces/001000/0001.png", "--model", "runs/tiny"];
        says_the_same(&version, &place, "identify.json", &search);
    }
}

#[test]
fn embeddings_of_older_versions_are_read_in_every_format() {
    for (version, place) in versions() {
        for kind in ["npz", "safetensors", "csv", "parquet"] {
            let file = format!("faces.{kind}");
            says_the_same(&version, &place, "stored.json", &["eval", &file, "--pairs", "pairs.csv"]);
        }
    }
}

#[test]
fn runs_of_older_versions_go_on() {
    for (version, place) in versions() {
        place.facegrad(&["train", "--resume", "runs/tiny", "--set", "run.steps=30"]).done();
        let losses = |file: &str| -> Vec<(String, f64)> {
            let text = place.text(file);
            let lines = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
            lines.map(|columns| (columns[0].to_owned(), columns[2].parse().unwrap())).collect()
        };
        let (then, now) = (losses("resumed.csv"), losses("runs/tiny/metrics.csv"));
        assert_eq!(then.last().unwrap().0, "30", "{version}");
        assert_eq!(then.len(), now.len(), "{version}");
        for ((step, then), (same_step, now)) in then.iter().zip(&now) {
            assert_eq!(step, same_step, "{version}");
            assert!(
                (then - now).abs() <= LOSS * then,
                "{version}, step {step}: a loss of {then} became {now}"
            );
        }
    }
}
