//! `facegrad bench`, as a person would run it.

mod support;

use serde_json::Value;
use support::Place;

/// The smallest network on small images.
const TINY: [&str; 6] = ["--backbone", "nano", "--batch", "4", "--size", "32x24"];

/// Runs `facegrad bench` with `--json` and without: the object and the text.
fn bench(place: &Place, arguments: &[&str]) -> (Value, String) {
    let arguments = [&["bench"], arguments].concat();
    let text = place.facegrad(&arguments).done().stdout;
    let json = place.facegrad(&[&arguments[..], &["--json"]].concat()).done().stdout;
    (serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}")), text)
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("{key} in {json:#}"))
}

#[track_caller]
fn assert_positive(json: &Value, keys: &[&str]) {
    for key in keys {
        assert!(number(json, key) > 0.0, "{key} in {json:#}");
    }
}

#[test]
fn the_doctor_tells_what_this_machine_is_and_can() {
    let place = Place::new();
    let text = place.facegrad(&["doctor", "--no-speed"]).done().stdout;
    for line in ["facegrad ", "commit ", "\nsystem  ", "\nprocessor  ", "\nbackend  "] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("images/s"), "{text}");
    let json = place.facegrad(&["doctor", "--json"]).done().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["facegrad"]["version"], env!("CARGO_PKG_VERSION"));
    assert_positive(&json, &["threads"]);
    assert_positive(
        &json["speed"],
        &["gflops", "gflops_of_one_thread", "gigabytes_per_second", "images_per_second"],
    );
    if cfg!(target_os = "linux") {
        assert_positive(&json, &["memory_bytes", "available_memory_bytes"]);
        assert_positive(&json["open_files"], &["now", "most"]);
        assert_positive(&json["disks"][0], &["free_bytes"]);
    }
    // A backend that is not there is known before anything is measured.
    let ended = place.facegrad(&["doctor", "--adapter", "no such card"]).code(2);
    assert!(ended.stderr.contains("no such card"), "{ended}");
}

#[test]
fn training_and_embedding_tell_their_speed() {
    let place = Place::new();
    let backend = if cfg!(feature = "flex") { "flex" } else { "ndarray" };
    for task in ["train", "infer"] {
        let options = ["--steps", "4", "--threads", "1", "--isa", "portable"];
        let device = ["--backend", backend];
        let (json, text) = bench(&place, &[&[task], &TINY[..], &options, &device].concat());
        for (key, value) in [("task", task), ("backbone", "nano"), ("backend", backend), ("isa", "portable")]
        {
            assert_eq!(json[key], value, "{json:#}");
        }
        for (key, value) in [("batch", 4), ("threads", 1), ("steps", 4)] {
            assert_eq!(json[key], value, "{json:#}");
        }
        assert_eq!(json["size"], serde_json::json!([32, 24]));
        assert_positive(&json, &["step_ms", "gflops", "peak_gflops", "share_of_peak"]);
        let speed = number(&json, "images_per_second");
        let (slowest, fastest) =
            (number(&json, "images_per_second_min"), number(&json, "images_per_second_max"));
        assert!(0.0 < slowest && slowest <= speed && speed <= fastest, "{json:#}");
        assert!((speed * number(&json, "step_ms") / 4000.0 - 1.0).abs() < 1e-6, "{json:#}");
        let share = number(&json, "gflops") / number(&json, "peak_gflops");
        assert!((share / number(&json, "share_of_peak") - 1.0).abs() < 1e-6, "{json:#}");
        if cfg!(target_os = "linux") {
            assert!(number(&json, "peak_memory_bytes") > 1e6, "{json:#}");
        }
        assert_eq!(json.get("profile"), None);
        assert_eq!(json.get("loss").is_some(), task == "train");
        assert!(text.starts_with(&format!("{task}: nano, batches of 4 images of 32x24 pixels\n")), "{text}");
        assert!(text.contains("images/s, median of 4 steps") && text.contains("on 1 thread with"), "{text}");
    }
}

#[test]
fn a_profile_adds_up() {
    let place = Place::new();
    for (task, phases) in [
        ("train", &["input", "forward", "head and loss", "backward", "optimizer", "between"][..]),
        ("infer", &["input", "forward", "between"]),
    ] {
        let (json, text) = bench(&place, &[&[task, "--profile", "--steps", "2"], &TINY[..]].concat());
        let profile = json["profile"].as_array().unwrap();
        let mut found: Vec<&str> = profile.iter().map(|entry| entry["phase"].as_str().unwrap()).collect();
        found.dedup();
        assert_eq!(found, phases, "{json:#}");
        for entry in profile {
            assert!(number(entry, "ms") >= 0.0 && number(entry, "count") >= 1.0, "{entry:#}");
        }
        let sum: f64 = profile.iter().map(|entry| number(entry, "ms")).sum();
        // Another step than those measured, and a busy machine.
        let step = number(&json, "step_ms");
        assert!((step / 20.0..step * 20.0).contains(&sum), "{sum} ms, and a step takes {step} ms");
        assert!(text.contains("phase and operator"), "{text}");
    }
}

#[test]
fn the_loader_is_measured_alone_and_under_training() {
    let place = Place::new();
    let common = ["loader", "--batch", "4", "--size", "24", "--seconds", "0.2"];
    let (json, text) = bench(&place, &common);
    assert_positive(&json, &["images_per_second", "images_per_second_min", "steps"]);
    assert_eq!(json.get("loader_share_of_memory"), None);
    assert!(text.contains("256 synthetic faces as JPEGs"), "{text}");
    let (json, _) = bench(&place, &[&common[..], &["--backbone", "nano", "--threads", "1"]].concat());
    assert_positive(
        &json,
        &[
            "images_per_second",
            "training_images_per_second_from_memory",
            "training_images_per_second_from_loader",
            "loader_share_of_memory",
        ],
    );

    let synth = ["data", "synth", "--identities", "3", "--images", "4", "--size", "24", "--out", "faces"];
    place.facegrad(&synth).done();
    let (json, _) = bench(&place, &[&common[..], &["--images", "faces"]].concat());
    assert!(json["data"].as_str().unwrap().contains("12 images"), "{json:#}");
    let refused = place.facegrad(&["bench", "loader", "--images", "nowhere"]).refused(2);
    assert_eq!(refused, "the image folder nowhere does not exist");
    let refused = place.facegrad(&["bench", "loader", "--images", "faces", "--batch", "13"]).refused(2);
    assert!(refused.starts_with("the data set has 12 images, too few for one batch of 13"), "{refused}");
}

#[test]
fn operators_are_measured_beside_the_roofline() {
    let place = Place::new();
    let (json, text) = bench(&place, &[&["ops", "--seconds", "0.001"], &TINY[..]].concat());
    assert_positive(&json, &["peak_gflops", "peak_gigabytes_per_second", "step_ms", "images_per_second"]);
    let operators = json["operators"].as_array().unwrap();
    let mut sum = 0.0;
    for operator in operators {
        assert_positive(operator, &["ms", "count", "gigabytes_per_second", "share_of_roofline"]);
        sum += number(operator, "ms") * number(operator, "count");
        assert!(text.contains(operator["name"].as_str().unwrap()), "{text}");
    }
    assert!((sum / number(&json, "step_ms") - 1.0).abs() < 1e-6, "{json:#}");
    let names: Vec<&str> = operators.iter().map(|operator| operator["name"].as_str().unwrap()).collect();
    for part in ["forward", "backward", "join of 2", "transform backward"] {
        assert!(names.iter().any(|name| name.contains(part)), "{names:?}");
    }
}

#[test]
fn operators_are_drawn_below_the_roofline() {
    let place = Place::new();
    let options = ["--seconds", "0.001", "--threads", "1", "--plot", "roofline.svg", "--json"];
    let ended = place.facegrad(&[&["bench", "ops"], &TINY[..], &options].concat()).done();
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let svg = place.text("roofline.svg");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(svg.contains("nano, batch 4, 1 thread with"), "{svg}");
    let operators = json["operators"].as_array().unwrap();
    assert_eq!(svg.matches("<g><title>").count(), operators.len());
    for operator in operators {
        let name = operator["name"].as_str().unwrap().replace("->", "-&gt;");
        assert!(svg.contains(&format!("<title>{name}: ")), "{name} in {svg}");
    }
    // Nothing is left of the temporary file.
    let files = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.filter(|name| name != "tiny.toml").collect::<Vec<_>>(), ["roofline.svg"]);
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
#[test]
fn the_operators_are_those_that_training_uses() {
    let place = Place::new();
    for backbone in ["nano", "mobilefacenet", "iresnet18,squeeze_excitation=true"] {
        let common = ["--backbone", backbone, "--batch", "2", "--size", "32", "--json"];
        let run = |task: &[&str]| -> Value {
            let ended = place.facegrad(&[&["bench"], task, &common].concat()).done();
            serde_json::from_str(&ended.stdout).unwrap()
        };
        let trained = run(&["train", "--steps", "1", "--profile"]);
        let used = |name: &Value| -> u64 {
            let profile = trained["profile"].as_array().unwrap();
            let of_name = profile.iter().filter(|entry| entry["operator"] == *name);
            of_name.map(|entry| entry["count"].as_u64().unwrap()).sum()
        };
        let alone = run(&["ops", "--seconds", "0.001"]);
        assert_eq!(alone["backbone"], backbone);
        for operator in alone["operators"].as_array().unwrap() {
            // Burn's own backward pass is not recorded.
            let name = operator["name"].as_str().unwrap();
            if name.starts_with("squeeze and excitation") && name.ends_with("backward") {
                assert_eq!(operator["count"], 2, "{name}");
                continue;
            }
            assert_eq!(operator["count"], used(&operator["name"]), "{backbone}: {operator:#}");
        }
    }
}

#[test]
fn wrong_input_is_one_sentence() {
    let place = Place::new();
    for (arguments, sentence) in [
        ("train --backbone vgg", "--backbone is vgg, not one of nano, iresnet18, "),
        ("ops --backbone vgg", "--backbone is vgg, not one of nano, iresnet18, "),
        ("ops --backbone nano,wide=2", "--backbone.wide is not a key of this section; "),
        ("ops --backbone nano --plot a.png", "--plot is a.png; the picture is an SVG, so a name in .svg"),
        ("ops --backbone nano --plot no/a.svg", "--plot is no/a.svg, but there is no folder no"),
        ("infer --backbone nano --batch 0", "--batch must be at least 1"),
        ("train --backbone nano --batch 1", "--batch must be at least 2 to train"),
        ("train --backbone nano --classes 1", "--classes must be at least 2"),
        ("infer --backbone nano --seconds 0", "--seconds must be more than 0"),
        ("infer --backbone nano --seconds nan", "--seconds must be more than 0"),
        ("infer --backbone nano --steps 0", "--steps must be at least 1"),
        ("infer --backbone nano --threads 0", "--threads must be from 1 to 1024"),
        ("infer --backbone nano --isa sse", "--isa is sse, not one of avx512, avx2, portable"),
        ("infer --backbone nano --backend flex --adapter x", "--adapter \"x\" has no effect with "),
        ("loader --backend flex", "--backend and --adapter have no effect without --backbone"),
    ] {
        let arguments: Vec<&str> = std::iter::once("bench").chain(arguments.split(' ')).collect();
        let refused = place.facegrad(&arguments).refused(2);
        assert!(refused.starts_with(sentence), "{arguments:?}: {refused}");
    }
}

#[test]
fn heads_are_measured_beside_softmax() {
    let place = Place::new();
    let options =
        ["heads", "--heads", "cosface,subcenter_arcface", "--classes", "20,50", "--embedding", "16"];
    let length = ["--batch", "4", "--rounds", "2", "--passes", "2"];
    for form in [&[][..], &["--composed", "--criterion", "focal"]] {
        let (json, text) = bench(&place, &[&options[..], &length, form].concat());
        let heads = json["heads"].as_array().unwrap();
        let names: Vec<_> = heads.iter().map(|head| (&head["head"], &head["classes"])).collect();
        let expected = [20, 50]
            .into_iter()
            .flat_map(|classes| ["softmax", "cosface", "subcenter_arcface"].map(|head| (head, classes)));
        assert!(names.iter().zip(expected).all(|(found, (head, k))| *found.0 == head && *found.1 == k));
        assert_eq!(names.len(), 6, "{json:#}");
        for head in heads {
            assert_positive(head, &["ms", "to_softmax"]);
            // Softmax is measured against itself.
            assert!(head["head"] != "softmax" || head["to_softmax"] == 1.0, "{json:#}");
        }
        assert_eq!(json["composed"], !form.is_empty());
        assert!(text.contains("subcenter_arcface") && text.contains("50 classes: ms"), "{text}");
    }
    for (wrong, sentence) in [
        (["--heads", "cosfase"], "--heads has cosfase, not one of "),
        (["--classes", "1"], "--classes has 1; it must be from 2 to 10000000"),
        (["--rounds", "0"], "--embedding, --rounds and --passes must be at least 1"),
    ] {
        let said = place.facegrad(&[&["bench", "heads"], &wrong[..]].concat()).refused(2);
        assert!(said.starts_with(sentence), "{said}");
    }
}
