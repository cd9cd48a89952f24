//! `facegrad eval`: a model measured on pair files.

mod support;

use std::{fmt::Write, fs};

use facegrad::faces::InsightfaceBin;
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
        for (i, step) in [(1, 1), (3, 2), (5, 3)] {
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
            "accuracy {:.2} % ± {:.2} ",
            number(&accuracy["mean"]) * 100.0,
            number(&accuracy["standard_error"]) * 100.0
        ),
        format!("AUC {auc:.4}"),
        format!("EER {:.2} %", eer * 100.0),
        format!("pairs 24 genuine, 24 impostor, SHA-256 {}", result["pairs_sha256"].as_str().unwrap()),
        format!("backend {}", result["backend"].as_str().unwrap()),
        "fold accuracy threshold false rejects false accepts".into(),
    ];
    assert!(table.starts_with("view2: view2.txt (2 folds)\n"), "{table}");
    // How wide the columns are is no matter here.
    let found: Vec<String> =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in &lines[1..] {
        assert!(found.iter().any(|found| found.starts_with(line.as_str())), "{line}\n{table}");
    }

    // View 1: the threshold comes from the development pairs.
    let table = eval(&place, "runs/lfw", &VIEW_1).done().stdout;
    assert!(table.starts_with("test: test.txt (one fold, threshold from train.txt)\n"), "{table}");
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
fn stored_embeddings_are_of_their_own_flip_fusion() {
    let place = lab();
    for flip in ["none", "add"] {
        let out = format!("{flip}.npz");
        place.facegrad(&["embed", "lfw", "--model", "runs/lfw", "--flip", flip, "--out", &out]).done();
    }
    let several = |more: &[&str]| eval(&place, "none.npz", &[&VIEW_2[..], more].concat());
    let told = several(&["add.npz"]).done();
    let note = "note: none.npz and add.npz on view2: the flip fusions are none and add, so that not only the models differ";
    assert!(told.stderr.lines().any(|line| line == note), "{told}");
    let same = eval(&place, "add.npz", &[&VIEW_2[..], &["runs/lfw"]].concat()).done();
    assert!(!same.stderr.contains("flip fusions"), "{same}");
    // A flip fusion that is asked for has to be that of all.
    let said = several(&["runs/lfw", "--flip", "add"]).refused(2);
    assert_eq!(
        said,
        "--flip add: none.npz was made with flip none; measure it with that, or embed its images again with --flip add"
    );
    several(&["runs/lfw", "--flip", "none"]).done();
    let protocol = "pair_file:pairs=view2.txt,images=lfw,flip=concat";
    let said = eval(&place, "none.npz", &["--protocol", protocol]).refused(2);
    assert!(
        said.starts_with(&format!("--protocol {protocol}: none.npz was made with flip none; ")),
        "{said}"
    );
}

#[test]
fn what_is_wrong_with_pairs_or_images_is_named() {
    let place = lab();
    fs::remove_file(place.path("lfw/Carl Gauss/Carl Gauss_0003.png")).unwrap();
    let said = eval(&place, "runs/lfw", &VIEW_2).refused(2);
    let missing = "view2.txt names Carl Gauss/Carl Gauss_0003, and lfw has no such image (tried .jpg, .png and the like); 1 of its 40 images is missing, in 2 of its 48 pairs; missing = \"skip\" (--missing skip) leaves these out and counts them, \"wrong\" counts them as errors";
    assert_eq!(said, missing);
    let said = eval(&place, "runs/lfw", &VIEW_1).refused(2);
    let of_train = missing.replace("view2.txt", "train.txt").replace("of its 40", "of its 20");
    assert_eq!(said, of_train.replace("of its 48", "of its 24"));
    fs::remove_file(place.path("lfw/Fay/Fay_0001.png")).unwrap();
    let said = eval(&place, "runs/lfw", &VIEW_2).refused(2);
    let both = "view2.txt names Carl Gauss/Carl Gauss_0003 and Fay/Fay_0001, and lfw has no such images (tried .jpg, .png and the like); 2 of its 40 images are missing, in ";
    assert!(said.starts_with(both), "{said}");
    let said = eval(&place, "runs/lfw", &["--pairs", "view2.txt", "--images", "absent"]).refused(2);
    assert!(said.ends_with("; 40 of its 40 images are missing"), "{said}");

    let png = place.read("lfw/Bob/Bob_0002.png");
    place.write("lfw/Bob/Bob_0002.png", &png[..100]);
    place.write("short.txt", "1\nBob\t1\t2\nBob\t1\tGus\t1\n");
    let said = eval(&place, "runs/lfw", &["--pairs", "short.txt", "--images", "lfw"]).refused(2);
    let damaged = "evaluation short: the image lfw/Bob/Bob_0002.png: the PNG data ends early; every image is needed, or missing = \"skip\" (--missing skip) leaves these out and counts them, \"wrong\" counts them as errors";
    assert_eq!(said, damaged);

    place.write("wrong.txt", "1\nBob\t1\ttwo\nBob\t1\tFay\t1\n");
    let said = eval(&place, "runs/lfw", &["--pairs", "wrong.txt", "--images", "lfw"]).refused(2);
    assert!(
        said.starts_with("wrong.txt:2: expected a genuine pair: ")
            && said.ends_with("found \"Bob\\t1\\ttwo\""),
        "{said}"
    );
    let said = eval(&place, "runs/lfw", &["--pairs", "absent.txt", "--images", "lfw"]).refused(2);
    assert!(said.starts_with("cannot read the list absent.txt: "), "{said}");
}

/// What the lost images of a result did: images, genuine and impostor pairs, both accuracies.
fn lost(result: &Value) -> ([u64; 3], [f64; 2]) {
    let lost = &result["lost"];
    let count = |key: &str| lost[key].as_u64().unwrap_or_else(|| panic!("{result}"));
    let accuracies = [number(&lost["accuracy_of_rest"]), number(&lost["accuracy_with_errors"])];
    (["images", "genuine", "impostor"].map(count), accuracies)
}

#[test]
fn lost_images_are_left_out_or_counted_as_errors_in_every_list() {
    let place = lab();
    let whole = json(eval(&place, "runs/lfw", &[&VIEW_2[..], &["--json"]].concat()));
    assert!(whole["lost"].is_null() && whole.get("image_remarks").is_none(), "{whole}");
    place.facegrad(&["embed", "lfw", "--model", "runs/lfw", "--out", "whole.npz"]).done();
    // One image is not there, another is damaged.
    fs::remove_file(place.path("lfw/Carl Gauss/Carl Gauss_0003.png")).unwrap();
    let png = place.read("lfw/Bob/Bob_0002.png");
    place.write("lfw/Bob/Bob_0002.png", &png[..100]);
    let with = |missing: &str, more: &[&str]| {
        json(eval(&place, "runs/lfw", &[&["--missing", missing, "--json"][..], more].concat()))
    };
    let compat = [&VIEW_2[..], &["--compat", "insightface"]].concat();
    let (skipped, wrong) = (with("skip", &compat), with("wrong", &compat));
    // A genuine and an impostor pair of Carl Gauss 3, two genuine pairs of Bob 2.
    let ([lost_images, genuine, impostor], [of_rest, with_errors]) = lost(&skipped);
    assert_eq!((lost_images, genuine, impostor), (2, 3, 1));
    assert_eq!(lost(&wrong), lost(&skipped));
    assert!(with_errors < of_rest, "{with_errors} {of_rest}");
    let pairs = |of: &Value| of["genuine"].as_u64().unwrap() + of["impostor"].as_u64().unwrap();
    assert_eq!((pairs(&skipped), pairs(&wrong)), (44, 48));
    assert_eq!(
        (number(&skipped["accuracy"]["mean"]), number(&wrong["accuracy"]["mean"])),
        (of_rest, with_errors)
    );
    assert!(number(&wrong["auc"]) < number(&skipped["auc"]));
    let folds = |of: &Value| {
        of["insightface"]["folds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["pairs"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((folds(&skipped), folds(&wrong)), (44, 48));
    // Thresholds are chosen on the pairs that are there.
    for (skipped, wrong) in skipped["accuracy"]["folds"]
        .as_array()
        .unwrap()
        .iter()
        .zip(wrong["accuracy"]["folds"].as_array().unwrap())
    {
        assert_eq!(skipped["threshold"], wrong["threshold"]);
    }
    // In words, on the page and in CSV.
    let files = ["--missing", "wrong", "--csv", "r.csv", "--report", "r.html"];
    let said = eval(&place, "runs/lfw", &[&VIEW_2[..], &files].concat()).done().stdout;
    let line = "3 genuine, 1 impostor, of 2 images that cannot be used, counted as errors at every threshold (first: ";
    assert!(said.contains(line) && said.contains("accuracy without lost pairs"), "{said}");
    let row = &csv(&place.text("r.csv"))[0];
    assert_eq!((&row["missing"][..], &row["lost_images"][..]), ("wrong", "2"));
    assert!(
        !row["accuracy_of_rest"].is_empty()
            && place.text("r.html").contains("counted as errors at every threshold")
    );
    // The list that the threshold comes from: what is lost there is left out.
    let view_1 = with("wrong", &VIEW_1);
    assert_eq!((lost(&view_1).0, &view_1["lost"]["development"]), ([0, 0, 0], &4.into()));
    // Means of other folds are those of the images that are there.
    let centred = with("wrong", &[&VIEW_2[..], &["--centring", "other_folds"]].concat());
    assert_eq!(lost(&centred).0, [lost_images, genuine, impostor]);

    // In training.
    let said = place.facegrad(&support::train("lfw.toml", &["run.name=refused"])).refused(2);
    assert!(
        said.starts_with("view2.txt names Carl Gauss/Carl Gauss_0003, and lfw has no such image"),
        "{said}"
    );
    let images = "images = \"lfw\"\n";
    place
        .write("skip.toml", place.text("lfw.toml").replace(images, &format!("{images}missing = \"skip\"\n")));
    fs::rename(place.path("lfw/Ida/Ida_0001.png"), place.path("lfw/Ida/Ida_1.png")).unwrap();
    let ended = place.facegrad(&support::train("skip.toml", &["run.name=skip"])).done();
    let note = "evaluation view2: Of 40 images, 1 has another ending or number than the list says";
    assert!(format!("{}{}", ended.stdout, ended.stderr).matches(note).count() == 1, "{ended}");
    for event in place.events("runs/skip", "evaluation") {
        assert_eq!(lost(&event["result"]).0, [2, genuine, impostor]);
    }
    fs::rename(place.path("lfw/Ida/Ida_1.png"), place.path("lfw/Ida/Ida_0001.png")).unwrap();

    // Stored embeddings that lack two names.
    let mut names = String::new();
    for name in NAMES {
        for image in 1..=5 {
            if (name, image) != ("Carl Gauss", 3) && (name, image) != ("Bob", 2) {
                writeln!(names, "{name}/{name}_{image:04}.png\t{name}").unwrap();
            }
        }
    }
    place.write("there.tsv", names);
    let embed = ["embed", "there.tsv", "--images", "lfw", "--model", "runs/lfw", "--out", "there.npz"];
    place.facegrad(&embed).done();
    let said = eval(&place, "there.npz", &VIEW_2).refused(2);
    let sentence = "evaluation view2: there.npz has no embedding called Bob/Bob_0002; 2 of the 40 images asked for are missing, in 4 of its 48 pairs; missing = ";
    assert!(said.starts_with(sentence), "{said}");
    let stored = json(eval(&place, "there.npz", &[&VIEW_2[..], &["--missing", "skip", "--json"]].concat()));
    assert_eq!(lost(&stored).0, [lost_images, genuine, impostor]);
    assert_eq!(stored["lost"]["first"], "Bob/Bob_0002: there.npz has no embedding of it");
    let said = eval(&place, "there.npz", &["--pairs", "absent.txt", "--images", "x"]).refused(2);
    assert!(said.starts_with("cannot read the list absent.txt"), "{said}");

    // Gallery and probes. Bob loses his only image of the gallery, and so all probes.
    let list = |number: usize| {
        NAMES.iter().map(|name| format!("{name}/{name}_{number:04}.png\t{name}\n")).collect::<String>()
    };
    place.write("gallery.tsv", list(2));
    place.write("probes.tsv", format!("{}{}", list(3), list(4)));
    let search = "identification:gallery=gallery.tsv,probes=probes.tsv,images=lfw";
    let said = eval(&place, "runs/lfw", &["--protocol", search]).refused(2);
    let sentence = "probes.tsv names Carl Gauss/Carl Gauss_0003.png, and lfw has no such image (nor one with another ending); 1 of its 16 images is missing, of 1 of its 8 people; missing = ";
    assert!(said.starts_with(sentence), "{said}");
    let (skipped, wrong) = (with("skip", &["--protocol", search]), with("wrong", &["--protocol", search]));
    for (found, probes) in [(&skipped, 13), (&wrong, 16)] {
        assert_eq!((&found["mated_probes"], &found["lost"]["mated"]), (&probes.into(), &3.into()));
        assert_eq!((&found["lost"]["gallery"], &found["lost"]["images"]), (&1.into(), &2.into()));
    }
    let rank_1 = |found: &Value| number(&found["closed_set"]["ranks"][0]["measured"]["value"]);
    assert_eq!(rank_1(&skipped), number(&wrong["lost"]["rank_1_of_rest"]));
    assert_eq!(rank_1(&wrong), number(&skipped["lost"]["rank_1_with_errors"]));

    // A protocol without such a list.
    let said = eval(&place, "whole.npz", &["--protocol", "all_pairs", "--missing", "skip"]).refused(2);
    assert_eq!(said, "--missing has no effect: none of these protocols has the key missing");
    let said = eval(&place, "whole.npz", &["--protocol", "all_pairs", "--compat", "insightface"]).refused(2);
    assert_eq!(said, "--compat insightface has no effect: none of these protocols compares a list of pairs");
    let said = eval(&place, "runs/lfw", &[&VIEW_2[..], &["--missing", "perhaps"]].concat()).refused(2);
    assert!(said.contains("error, skip, wrong"), "{said}");
}

#[test]
fn an_embedding_without_direction_names_its_image() {
    let place = Place::new();
    let rows = "name,identity,e0,e1\na/1.png,a,1,0\na/2.png,a,0,0\nb/1.png,b,0,1\n";
    place.write("e.csv", rows);
    let said = eval(&place, "e.csv", &["--protocol", "all_pairs"]).refused(1);
    let sentence = "evaluation all-pairs: the embedding of a/2.png is zero, so it has no direction to compare; the model is broken or diverged";
    assert_eq!(said, sentence);
    place.write("g.tsv", "a/1.png\ta\n");
    place.write("p.tsv", "a/2.png\ta\nb/1.png\tb\n");
    let said = eval(&place, "e.csv", &["--protocol", "identification:gallery=g.tsv,probes=p.tsv"]).refused(1);
    assert_eq!(said, sentence.replace("all-pairs", "p"));
    place.write("equal.csv", rows.replace("0,0", "1,0").replace("0,1", "1,0"));
    for protocol in ["all_pairs", "identification:gallery=g.tsv,probes=p.tsv"] {
        let said = eval(&place, "equal.csv", &["--protocol", protocol]).done().stdout;
        // A gallery of one person tells nobody apart in any case.
        let is_said =
            said.contains("All scores are equal: the model tells nobody apart, as one that has collapsed.");
        assert_eq!(is_said, protocol == "all_pairs", "{said}");
    }
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

/// The rows of a CSV file: its header with each line.
fn csv(text: &str) -> Vec<std::collections::HashMap<String, String>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    // Values with commas are quoted; those looked at here have none.
    lines
        .map(|line| {
            header.iter().map(|name| (*name).to_owned()).zip(line.split(',').map(str::to_owned)).collect()
        })
        .collect()
}

#[test]
fn without_arguments_the_evaluations_of_the_run_are_measured() {
    let place = lab();
    let of_run = json(eval(&place, "runs/lfw", &["--json"]));
    let by_hand = json(eval(&place, "runs/lfw", &[&VIEW_2[..], &["--json"]].concat()));
    assert_eq!(of_run, by_hand);
    // Of a config, and under the name it gives.
    let section = "[run]\nepochs = 1\n[[evaluation]]\nkind = \"pair_file\"\nname = \"mine\"\npairs = \"view2.txt\"\nimages = \"lfw\"\nflip = \"none\"\n";
    place.write("eval.toml", section);
    let other = json(eval(&place, "runs/lfw", &["--config", "eval.toml", "--json"]));
    assert_eq!(other["protocol"], "mine: view2.txt (2 folds)");
    assert_eq!(other["flip"], "none");
    // Flags take the place of what the config says.
    let flipped = json(eval(&place, "runs/lfw", &["--config", "eval.toml", "--flip", "concat", "--json"]));
    assert_eq!(flipped["flip"], "concat");
    let said = eval(
        &place,
        &format!("runs/lfw/{}/model.safetensors", place.text("runs/lfw/best").trim()),
        &["--json"],
    );
    assert_eq!(json(said), of_run);
}

#[test]
fn every_protocol_and_switch_is_measured_and_named() {
    let place = lab();
    // A list of paths, cut into folds.
    let mut list = String::from("image1,image2,same\n");
    for line in place.text("view2.txt").lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let image = |name: &str, number: &str| format!("{name}/{name}_000{number}.png");
        match fields[..] {
            [name, i, j] => writeln!(list, "{},{},1", image(name, i), image(name, j)).unwrap(),
            [a, i, b, j] => writeln!(list, "{},{},0", image(a, i), image(b, j)).unwrap(),
            _ => panic!("{line}"),
        }
    }
    place.write("list.csv", list);
    let of_list = ["--protocol", "pairs:pairs=list.csv,images=lfw,folds=4", "--json"];
    let of_list = json(eval(&place, "runs/lfw", &of_list));
    let of_view = json(eval(&place, "runs/lfw", &[&VIEW_2[..], &["--json"]].concat()));
    assert_eq!(
        (&of_list["auc"], of_list["accuracy"]["folds"].as_array().unwrap().len()),
        (&of_view["auc"], 4)
    );
    assert_eq!(of_list["people"], 8);

    // A gallery of the first image of six people, probes of all eight.
    let (mut gallery, mut probes) = (String::new(), String::new());
    for (i, name) in NAMES.iter().enumerate() {
        for number in 1..=5 {
            let to = if number == 1 { &mut gallery } else { &mut probes };
            if number > 1 || i < 6 {
                writeln!(to, "{name}/{name}_000{number}.png\t{name}").unwrap();
            }
        }
    }
    place.write("gallery.tsv", gallery);
    place.write("probes.tsv", probes);
    let search = "identification:gallery=gallery.tsv,probes=probes.tsv,images=lfw";
    let found = json(eval(&place, "runs/lfw", &["--protocol", search, "--bootstrap", "50", "--json"]));
    assert_eq!((&found["measures"], &found["mated_probes"]), (&"identification".into(), &24.into()));
    assert_eq!((&found["nonmated_probes"], &found["gallery_identities"]), (&8.into(), &6.into()));
    // How good so small a model is depends on the processor's rounding; that all are found among six does not.
    let found_within: Vec<f64> = found["closed_set"]["cmc"].as_array().unwrap().iter().map(number).collect();
    assert!(found_within.len() == 6 && found_within.is_sorted() && found_within[5] == 1.0, "{found}");
    assert_eq!(number(&found["closed_set"]["ranks"][0]["measured"]["value"]), found_within[0]);
    assert_eq!(number(&found["closed_set"]["ranks"][1]["measured"]["value"]), found_within[4]);
    assert!(found["open_set"][0]["measured"].is_null(), "eight probes are too few for a rate: {found}");

    // Every pair of the folder: 8 people of 5 images.
    let all = "all_pairs:source.kind=folder,source.path=lfw";
    let all = json(eval(&place, "runs/lfw", &["--protocol", all, "--json"]));
    assert_eq!((&all["genuine"], &all["impostor"]), (&80.into(), &700.into()));
    let [ten, percent] = [0, 1].map(|i| &all["tar_at_far"][i]);
    assert!(number(&ten["measured"]["far"]) <= 0.1 && percent["measured"].is_null(), "{all}");

    // Several at once, several models, into files of every kind.
    let ended = eval(
        &place,
        "runs/lfw",
        &[
            &["runs/lfw/last", "--protocol", search, "--flip", "unit", "--score", "euclidean"][..],
            &VIEW_2,
            &["--compat", "insightface", "--bootstrap", "100", "--csv", "r.csv", "--report", "r.html"],
        ]
        .concat(),
    );
    let table = ended.done().stdout;
    for line in ["flip fusion unit", "euclidean", "accuracy as insightface", "difference", "report: r.html"] {
        assert!(table.contains(line), "{line}\n{table}");
    }
    let rows = csv(&place.text("r.csv"));
    assert_eq!(rows.len(), 4, "two models on two protocols");
    assert!(rows[1]["protocol"].starts_with("probes: ") && rows[1]["genuine"].is_empty());
    assert_eq!((&rows[0]["flip"][..], &rows[0]["genuine"][..]), ("unit", "24"));
    let page = place.text("r.html");
    for part in ["Content-Security-Policy", "view2", "probes", "data:image/jpeg;base64,", "t-SNE", "McNemar"]
    {
        assert!(page.contains(part), "{part}");
    }
    // A mean taken from the other folds.
    let centred =
        json(eval(&place, "runs/lfw", &[&VIEW_2[..], &["--centring", "other_folds", "--json"]].concat()));
    assert_eq!(centred["centring"], "other_folds");
    assert_ne!(centred["accuracy"]["folds"], of_view["accuracy"]["folds"]);
}

#[test]
fn a_file_of_insightface_is_measured_and_a_hostile_one_is_refused() {
    let place = lab();
    let image = |name: &str, number: usize| place.read(&format!("lfw/{name}/{name}_000{number}.png"));
    let mut pairs = Vec::new();
    for (k, name) in NAMES.iter().enumerate() {
        for number in 1..4 {
            pairs.push((image(name, number), image(name, number + 1), true));
            pairs.push((image(name, number), image(NAMES[(k + number) % 8], number), false));
        }
    }
    InsightfaceBin::write(&place.path("set.bin"), pairs.iter().map(|(a, b, same)| (&a[..], &b[..], *same)))
        .unwrap();
    let result = json(eval(&place, "runs/lfw", &["--bin", "set.bin", "--json", "--compat", "insightface"]));
    assert_eq!((&result["genuine"], &result["impostor"]), (&24.into(), &24.into()));
    assert_eq!((&result["people_named"], &result["images"]), (&false.into(), &32.into()));
    assert_eq!(result["accuracy"]["folds"].as_array().unwrap().len(), 10);
    assert_eq!(result["insightface"]["folds"].as_array().unwrap().len(), 10);

    InsightfaceBin::write(
        &place.path("same.bin"),
        pairs.iter().filter(|p| p.2).map(|(a, b, _)| (&a[..], &b[..], true)),
    )
    .unwrap();
    let table = eval(&place, "runs/lfw", &["--bin", "same.bin"]).done().stdout;
    assert!(table.contains("not measurable: only genuine pairs"), "{table}");

    place.write("evil.bin", b"cos\nsystem\n(S'touch pwned'\ntR.");
    let said = eval(&place, "runs/lfw", &["--bin", "evil.bin"]).refused(2);
    assert!(said.starts_with("evil.bin") && said.contains("os.system"), "{said}");
    assert!(!place.path("pwned").exists());
}

/// Every image of the eight people, by person.
fn faces(place: &Place) -> Vec<(usize, Vec<u8>)> {
    let image = |name: &str, number: usize| place.read(&format!("lfw/{name}/{name}_000{number}.png"));
    NAMES.iter().enumerate().flat_map(|(p, name)| (1..=5).map(move |n| (p, image(name, n)))).collect()
}

#[test]
fn the_published_layouts_of_cfp_blufr_and_ijb_are_measured() {
    let place = lab();
    let faces = faces(&place);

    // CFP: three frontal and two profile images of each person, ten folds.
    let (mut frontal, mut profile) = (String::new(), String::new());
    for (i, (person, bytes)) in faces.iter().enumerate() {
        let (kind, list, number) =
            if i % 5 < 3 { ("frontal", &mut frontal, i % 5) } else { ("profile", &mut profile, i % 5 - 3) };
        let path = format!("Data/Images/{:03}/{kind}/{:02}.jpg", person + 1, number + 1);
        place.write(&format!("cfp/{path}"), bytes);
        let index = list.lines().count() + 1;
        writeln!(list, "{index} ../{path}").unwrap();
    }
    place.write("cfp/Protocol/Pair_list_F.txt", &frontal);
    place.write("cfp/Protocol/Pair_list_P.txt", &profile);
    for fold in 0..10 {
        // No pair twice: the last folds take the next frontal image.
        let (a, b, next) = (fold % 8, (fold + 3) % 8, fold / 8);
        place.write(
            &format!("cfp/Protocol/Split/FP/{:02}/same.txt", fold + 1),
            format!("{},{}\n", 3 * a + 1 + next, 2 * a + 1),
        );
        place.write(
            &format!("cfp/Protocol/Split/FP/{:02}/diff.txt", fold + 1),
            format!("{},{}\n", 3 * a + 1 + next, 2 * b + 2),
        );
    }
    let cfp = json(eval(&place, "runs/lfw", &["--protocol", "cfp:folder=cfp,protocol=fp", "--json"]));
    assert_eq!(
        (&cfp["genuine"], &cfp["people"], &cfp["people_named"]),
        (&10.into(), &8.into(), &true.into())
    );
    assert_eq!(cfp["accuracy"]["folds"].as_array().unwrap().len(), 10);

    // BLUFR: two trials, a gallery of one image of four people, everything else a probe.
    let names: Vec<&str> = NAMES.iter().copied().filter(|name| !name.contains(' ')).collect();
    let (mut images, mut labels) = (Vec::new(), String::new());
    for (label, name) in names.iter().enumerate() {
        for number in 1..=5 {
            images.push(format!("{name}_000{number}.jpg"));
            writeln!(labels, "{}", label + 1).unwrap();
        }
    }
    place.write("blufr/image_list.txt", images.join("\n") + "\n");
    place.write("blufr/labels.txt", labels);
    let of = |all: &[usize]| {
        let lines: String = all.iter().map(|i| format!("{}, {}\n", i + 1, images[*i])).collect();
        format!("{}\n{lines}", all.len())
    };
    let gallery = [[0, 5, 10, 15], [1, 6, 11, 16]];
    let probes = gallery.map(|g| (0..images.len()).filter(|i| !g.contains(i)).collect::<Vec<_>>());
    let test: Vec<usize> = (0..images.len()).collect();
    place.write("blufr/test_set.txt", format!("2\n{0}{0}", of(&test)));
    place.write("blufr/gallery_set.txt", format!("2\n{}{}", of(&gallery[0]), of(&gallery[1])));
    place.write("blufr/probe_set.txt", format!("2\n{}{}", of(&probes[0]), of(&probes[1])));
    let blufr = json(eval(&place, "runs/lfw", &["--protocol", "blufr:lists=blufr,images=lfw", "--json"]));
    assert_eq!(blufr["trials"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&blufr["trials"][0]["gallery_images"], &blufr["trials"][0]["mated_probes"]),
        (&4.into(), &16.into())
    );
    assert!(blufr["verification"].is_null(), "a few hundred impostor pairs are too few for 0.1 %: {blufr}");

    // A lost image is left out of every trial, with its pairs.
    fs::rename(place.path("lfw/Ida/Ida_0005.png"), place.path("lfw/Ida/Ida_0005.gone")).unwrap();
    let with = |missing: &str| {
        let command = ["--protocol", "blufr:lists=blufr,images=lfw", "--missing", missing, "--json"];
        json(eval(&place, "runs/lfw", &command))
    };
    let said = eval(&place, "runs/lfw", &["--protocol", "blufr:lists=blufr,images=lfw"]).refused(2);
    assert!(
        said.contains("1 of its 30 images is missing, 2 times in the test sets of its 2 trials; missing = "),
        "{said}"
    );
    for (missing, genuine) in [("skip", 56), ("wrong", 60)] {
        let lost = with(missing);
        assert_eq!((&lost["trials"][0]["genuine"], &lost["lost"]["images"]), (&genuine.into(), &1.into()));
    }
    fs::rename(place.path("lfw/Ida/Ida_0005.gone"), place.path("lfw/Ida/Ida_0005.png")).unwrap();

    // IJB-C: crops with landmarks where the template has them; a template of two media and one of one medium each.
    let scale = 24.0 / 112.0;
    let template =
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];
    let landmarks: Vec<String> =
        template.iter().flatten().map(|x: &f64| format!("{:.4}", x * scale)).collect();
    let landmarks = landmarks.join(" ");
    let (mut media, mut points, mut gallery, mut probes, mut pairs) =
        (String::new(), String::new(), [const { String::new() }; 2], String::new(), String::new());
    const COLUMNS: &str = "TEMPLATE_ID,SUBJECT_ID,FILENAME\n";
    gallery.iter_mut().chain([&mut probes]).for_each(|list| list.push_str(COLUMNS));
    for (i, (person, bytes)) in faces.iter().enumerate() {
        let name = format!("{}.jpg", i + 1);
        place.write(&format!("IJBC/loose_crop/{name}"), bytes);
        // Images 1 to 3 are the template of the gallery, in two media, 4 and 5 that of the probe.
        let template = 10 * (person + 1) + usize::from(i % 5 > 2);
        writeln!(media, "{name} {template} {}", 100 * person + i % 5 / 2).unwrap();
        writeln!(points, "{name} {landmarks} 0.99").unwrap();
        let list = if i % 5 > 2 { &mut probes } else { &mut gallery[person % 2] };
        writeln!(list, "{template},{},{name}", person + 1).unwrap();
    }
    for a in 1..=8 {
        for b in 1..=8 {
            writeln!(pairs, "{} {} {}", 10 * a, 10 * b + 1, u8::from(a == b)).unwrap();
        }
    }
    place.write_ijbc([&media, &points, &pairs, &gallery[0], &gallery[1], &probes]);
    let ijb = json(eval(&place, "runs/lfw", &["--protocol", "ijb:folder=IJBC", "--json"]));
    assert_eq!((&ijb["verification"]["genuine"], &ijb["verification"]["impostor"]), (&8.into(), &56.into()));
    assert_eq!(ijb["templates"], 16);
    let auc = number(&ijb["verification"]["auc"]);
    assert!(auc > 0.6, "{ijb}");
    assert_eq!(ijb["search"]["galleries"].as_array().unwrap().len(), 2);
    // Another ending is found and told; what is not there is known before the work, and named.
    let crop = |name: &str| place.path(&format!("IJBC/loose_crop/{name}"));
    fs::rename(crop("3.jpg"), crop("3.JPG")).unwrap();
    let renamed = json(eval(&place, "runs/lfw", &["--protocol", "ijb:folder=IJBC", "--json"]));
    assert_eq!(renamed["verification"], ijb["verification"]);
    let remark = renamed["image_remarks"][0].as_str().unwrap();
    assert!(
        remark.starts_with("Of 40 images, 1 has another ending or number than the list says"),
        "{remark}"
    );
    fs::rename(crop("3.JPG"), crop("elsewhere.JPG")).unwrap();
    let said = eval(&place, "runs/lfw", &["--protocol", "ijb:folder=IJBC"]).refused(2);
    assert!(
        said.ends_with(
            "loose_crop has no such image (nor one with another ending); 1 of its 40 images is missing"
        ),
        "{said}"
    );
    assert!(said.contains(" names 3.jpg, and "), "{said}");
    place.write("IJBC/loose_crop/3.jpg", "no image");
    let said = eval(&place, "runs/lfw", &["--protocol", "ijb:folder=IJBC"]).refused(2);
    assert!(said.starts_with("evaluation ijbc: the image IJBC/loose_crop/3.jpg: "), "{said}");
    fs::rename(crop("elsewhere.JPG"), crop("3.jpg")).unwrap();

    // From stored embeddings of crops that are aligned already, such as these, about the same.
    let embed = ["embed", "IJBC/loose_crop", "--model", "runs/lfw", "--out", "ijb.npz"];
    place.facegrad(&embed).done();
    let stored = json(eval(&place, "ijb.npz", &["--protocol", "ijb:folder=IJBC", "--json"]));
    assert!((number(&stored["verification"]["auc"]) - auc).abs() < 0.1, "{stored}");
    assert_eq!(stored["switches"]["embeddings"], "stored in ijb.npz");

    // Whitened by embeddings of others; the very embeddings under test are refused.
    place.facegrad(&["embed", "lfw", "--model", "runs/lfw", "--out", "train.npz"]).done();
    let whiten =
        ["--protocol", "ijb:folder=IJBC,search=false", "--whiten-on", "train.npz", "--components", "8"];
    let whitened = json(eval(&place, "ijb.npz", &[&whiten[..], &["--json"]].concat()));
    let switch = whitened["switches"]["whitening"].as_str().unwrap();
    assert!(switch.starts_with("whitening: 8 of ") && switch.contains("train.npz"), "{switch}");
    let said = eval(&place, "train.npz", &["--protocol", "all_pairs", "--centre-on", "train.npz"]).refused(2);
    assert!(said.contains("train.npz"), "{said}");
}
