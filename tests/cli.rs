//! The verbs that train nothing, and what every verb has.

mod support;

use std::fs;

use serde_json::Value;
use support::{FACEGRAD, Place};

const VERBS: [&[&str]; 13] = [
    &["new"],
    &["train"],
    &["eval"],
    &["calibrate"],
    &["show"],
    &["verify"],
    &["data", "synth"],
    &["bench"],
    &["explain"],
    &["plot", "logits"],
    &["doctor"],
    &["devices"],
    &["completions"],
];

#[test]
fn every_verb_has_help_with_an_example_that_names_it() {
    let place = Place::new();
    let overview = place.facegrad(&["--help"]).done().stdout;
    for verb in VERBS {
        assert!(overview.contains(&format!("\n  {} ", verb[0])), "{overview}");
        let help = place.facegrad(&[verb, &["--help"]].concat()).done().stdout;
        let (_, example) = help.split_once("Example").unwrap_or_else(|| panic!("{verb:?}: {help}"));
        assert!(example.contains(&format!("facegrad {}", verb.join(" "))), "{help}");
        assert!(help.contains("Usage: facegrad"), "{help}");
    }
    assert!(overview.contains("Exit codes: 0 done, 1 failed, 2 wrong input, 130 "), "{overview}");
    let version = place.facegrad(&["--version"]).done().stdout;
    let (first, built) = version.split_once('\n').unwrap();
    assert_eq!(first, concat!("facegrad ", env!("CARGO_PKG_VERSION")));
    for fact in ["commit ", "rustc ", "Burn 0.22.1\n", "\nbackends: ", "\nfeatures: "] {
        assert!(built.contains(fact), "{version}");
    }
    let short = place.facegrad(&["-V"]).done().stdout;
    assert_eq!(short.trim_end(), first);
    // Nothing asked for: help, as wrong input.
    let ended = place.facegrad(&[]).code(2);
    assert!(ended.stderr.contains("Usage: facegrad"), "{ended}");
}

#[test]
fn completions_are_written_for_each_shell() {
    let place = Place::new();
    for (shell, part) in
        [("bash", "_facegrad()"), ("zsh", "#compdef facegrad"), ("fish", "complete -c facegrad")]
    {
        let script = place.facegrad(&["completions", shell]).done().stdout;
        assert!(script.contains(part) && script.contains("resume"), "{shell}");
    }
}

#[test]
fn a_broken_model_ends_every_verb_alike() {
    let place = Place::new();
    place
        .facegrad(&["data", "synth", "--identities", "2", "--images", "2", "--size", "20", "--out", "faces"])
        .done();
    place.write("pairs.csv", "000000/0000,000000/0001,1\n000000/0000,000001/0000,0\n");
    place.write("cut.safetensors", b"\x10\0\0\0\0\0\0\0{}");
    place.write("none/readme", "no checkpoint");
    let image = "faces/000000/0000.png";
    let pairs = ["--pairs", "pairs.csv", "--images", "faces"];
    for model in ["cut.safetensors", "none", "absent"] {
        let named = ["--model", model];
        let verbs: [Vec<&str>; 7] = [
            [&["verify", image, image][..], &named].concat(),
            [&["embed", "faces", "--out", "out.npz"][..], &named].concat(),
            [&["identify", "faces", image][..], &named].concat(),
            [&["data", "audit", "faces"][..], &named].concat(),
            [&["eval", model][..], &pairs].concat(),
            [&["calibrate", model][..], &pairs].concat(),
            vec!["show", model],
        ];
        let ended = verbs.each_ref().map(|verb| place.facegrad(verb));
        let [first, ..] = &ended;
        for other in &ended {
            assert_eq!((other.code, other.sentence()), (Some(2), first.sentence()), "{other}");
        }
        // The model of the environment is the same model.
        let variable = format!("FACEGRAD_MODEL={model}");
        for verb in [
            &["verify", image, image][..],
            &["embed", "faces", "--out", "out.npz"],
            &["identify", "faces", image],
        ] {
            let other = place.start("env", &[&[&variable, FACEGRAD][..], verb].concat()).wait();
            assert_eq!((other.code, other.sentence()), (Some(2), first.sentence()), "{other}");
            let unset =
                place.start("env", &[&["-u", "FACEGRAD_MODEL", FACEGRAD][..], verb].concat()).wait().code(2);
            let sentence = "no model is given; say which with --model, or set FACEGRAD_MODEL";
            assert_eq!(unset.sentence(), sentence, "{unset}");
        }
    }
}

#[test]
fn a_missing_device_ends_every_verb_alike() {
    let place = Place::new();
    let pairs = ["--pairs", "pairs.csv", "--images", "faces"];
    place
        .facegrad(&["data", "synth", "--identities", "2", "--images", "2", "--size", "20", "--out", "faces"])
        .done();
    let image = "faces/000000/0000.png";
    let device = ["--backend", if cfg!(feature = "flex") { "flex" } else { "ndarray" }, "--adapter", "none"];
    for verb in [
        &["train", "tiny.toml"][..],
        &["compare", "tiny.toml", "--steps", "2", "--seeds", "1"],
        &["verify", image, image, "--model", "m"],
        &["embed", "faces", "--out", "out.npz", "--model", "m"],
        &["identify", "faces", image, "--model", "m"],
        &["data", "audit", "faces", "--model", "m"],
        &[&["eval", "m"][..], &pairs].concat(),
        &["bench", "infer", "--backbone", "nano"],
    ] {
        let sentence = place.facegrad(&[verb, &device].concat()).code(2).sentence();
        assert!(
            sentence.starts_with("--adapter \"none\" has no effect with --backend "),
            "{verb:?}: {sentence}"
        );
    }
}

#[test]
fn devices_tells_what_would_be_used_and_why() {
    let place = Place::new();
    let table = place.facegrad(&["devices"]).done().stdout;
    let json: Value = serde_json::from_str(&place.facegrad(&["devices", "--json"]).done().stdout).unwrap();
    let backends = json["backends"].as_array().unwrap();
    let first = backends.iter().find(|backend| backend["built_in"] == true).unwrap();
    assert_eq!(json["default"], first["backend"]);
    let names: Vec<&str> = backends.iter().map(|b| b["backend"].as_str().unwrap()).collect();
    assert_eq!(names, ["flex", "ndarray", "wgpu"]);
    for backend in backends {
        let said = backend["would_use"].as_str().or(backend["problem"].as_str()).unwrap();
        assert!(table.contains(said), "{said}\n{table}");
        let built_in = match backend["backend"].as_str().unwrap() {
            "flex" => cfg!(feature = "flex"),
            "ndarray" => cfg!(feature = "ndarray"),
            _ => cfg!(feature = "wgpu"),
        };
        assert_eq!(backend["built_in"], built_in, "{backend}");
        assert_eq!(said.starts_with("this binary was built without the "), !built_in, "{said}");
    }
    for adapter in json["adapters"].as_array().unwrap() {
        assert!(table.contains(adapter["name"].as_str().unwrap()), "{table}");
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_is_used_on_a_graphics_card_and_on_nothing_else_unasked() {
    let place = Place::new();
    let json: Value = serde_json::from_str(&place.facegrad(&["devices", "--json"]).done().stdout).unwrap();
    let adapters = json["adapters"].as_array().unwrap();
    let train = ["train", "tiny.toml", "--backend", "wgpu"];
    let changes = ["--set", "run.steps=2", "--set", "run.evaluate_every=2"];
    let ended = place.facegrad(&[&train[..], &changes].concat());
    match adapters.first() {
        None => {
            let none = "wgpu found no graphics adapter: install a Vulkan driver (on Debian mesa-vulkan-drivers or the vendor's), or use --backend flex";
            assert_eq!(ended.code(2).sentence(), none);
        }
        Some(best) if best["kind"] == "software" => {
            let only = format!(
                "the only graphics adapter is {}, a software rasteriser far slower than --backend flex; name it with --adapter to use it all the same",
                best["name"].as_str().unwrap()
            );
            assert_eq!(ended.code(2).sentence(), only);
        }
        Some(best) => {
            let ended = ended.done();
            assert!(ended.stdout.contains(&format!("wgpu on {}", best["name"].as_str().unwrap())), "{ended}");
        }
    }
    let absent = place.facegrad(&[&train[..], &["--adapter", "no such card"]].concat()).code(2);
    if adapters.is_empty() {
        assert!(absent.sentence().starts_with("wgpu found no graphics adapter: "), "{absent}");
    } else {
        let sentence = absent.sentence();
        assert!(
            sentence.starts_with("no graphics adapter is called \"no such card\"; there are: "),
            "{sentence}"
        );
    }
    assert!(!place.path("runs/tiny-2").exists());
}

#[test]
fn explain_tells_what_the_config_reads() {
    let place = Place::new();
    let explain = |topic: &str| place.facegrad(&["explain", topic]).done().stdout;
    let sections = place.facegrad(&["explain"]).done().stdout;
    for section in [
        "run",
        "data",
        "augmentation",
        "backbone",
        "head",
        "criterion",
        "optimizer",
        "schedule",
        "evaluation",
    ] {
        assert!(sections.contains(&format!("[{section}]")), "{sections}");
        assert!(!explain(section).is_empty(), "{section}");
    }
    let run = explain("run");
    assert!(run.contains("  batch: whole number, 2 or more, default 64\n      Images in a step."), "{run}");
    assert!(run.contains("  epochs: number, more than 0, may be left out\n"), "{run}");
    let arcface = explain("arcface");
    for part in [
        "head.kind = \"arcface\"",
        "formula   z_y = s cos(θ_y + m)",
        "source    Deng et al.",
        "margin: ",
        "first loss with 1000 identities",
    ] {
        assert!(arcface.contains(part), "{part}\n{arcface}");
    }
    assert!(explain("head.margin").contains("head.kind = \"cosface\""));
    let backbones = explain("backbone");
    // The published figures for 112x112.
    for (kind, parameters, operations) in
        [("iresnet18", "24.0", "2.6"), ("iresnet50", "43.59", "6.309"), ("mobilefacenet", "1.20", "0.22")]
    {
        let row = backbones.lines().find(|line| line.split_whitespace().next() == Some(kind));
        let row = row.unwrap_or_else(|| panic!("{backbones}"));
        assert!(row.contains(parameters) && row.contains(operations), "{row}");
    }
    let small = place.facegrad(&["explain", "backbone", "--size", "64x48"]).done().stdout;
    assert!(small.starts_with("At 64x48 pixels"), "{small}");

    let said = place.facegrad(&["explain", "arcfaec"]).refused(2);
    assert_eq!(said, "there is nothing called arcfaec to explain; did you mean arcface?");
    let said = place.facegrad(&["explain", "xylophone"]).refused(2);
    assert_eq!(said, "there is nothing called xylophone to explain; `facegrad explain` lists the sections");
    for wrong in ["8", "112,112"] {
        let ended = place.facegrad(&["explain", "backbone", "--size", wrong]).code(2);
        let said = format!(
            "invalid value '{wrong}' for '--size <SIZE>': a side such as 112, or height and width such as 112x96,"
        );
        assert!(ended.stderr.contains(&said), "{ended}");
    }
}

#[test]
fn synthetic_faces_are_written_once_and_again_as_they_were() {
    let place = Place::new();
    let synth = |more: &[&str]| {
        let few = ["data", "synth", "--identities", "3", "--images", "4", "--size", "32", "--out", "faces"];
        place.facegrad(&[&few[..], more].concat())
    };
    let ended = synth(&[]).done();
    let said = "12 images of 3 identities in faces\ncontact sheet: faces/contact-sheet.png\n";
    assert_eq!(ended.stdout, said);
    let files = ["000000/0000.png", "000002/0003.png", "contact-sheet.png", "recipe.toml"];
    let bytes = || files.map(|file| place.read(&format!("faces/{file}")));
    let first = bytes();
    // A file that was lost comes back; the rest is as it was.
    fs::remove_file(place.path("faces/000002/0003.png")).unwrap();
    synth(&[]).done();
    assert!(bytes() == first);
    // Another recipe does not mix with it.
    let said = synth(&["--seed", "2"]).code(2).sentence();
    assert_eq!(said, "faces already holds files of something else; name a new or an empty folder");
    assert!(bytes() == first);
    let said = place.facegrad(&["data", "synth", "--size", "3", "--out", "small"]).refused(2);
    assert_eq!(said, "--size is 3; it must be from 16 to 1024");
    let said = place.facegrad(&["data", "synth", "--identities", "0", "--out", "none"]).refused(2);
    assert_eq!(said, "--identities is 0; it must be from 1 to 10000000");
    let ended = place.facegrad(&["data", "synth", "--format", "gif", "--out", "gif"]).code(2);
    assert!(ended.stderr.contains("expected one of png, jpeg"), "{ended}");
}

#[test]
fn plot_logits_draws_the_heads_it_is_given() {
    let place = Place::new();
    let options = ["plot", "logits", "--heads", "arcface,cosface,softmax", "--set", "head.margin=0.3"];
    let printed = place.facegrad(&options).done().stdout;
    for part in ["<svg ", ">arcface, margin=0.3<", ">cosface, margin=0.3<", ">softmax<"] {
        assert!(printed.contains(part), "{part:?} in {printed}");
    }
    let said = place.facegrad(&[&options[..], &["--out", "logits.svg"]].concat()).done().stdout;
    assert_eq!(said, "");
    assert_eq!(fs::read_to_string(place.path("logits.svg")).unwrap().trim_end(), printed.trim_end());
    for (options, sentence) in [
        ("--heads arcfce", "--heads: there is no head called \"arcfce\"; did you mean arcface?"),
        (
            "--heads arcface --out a.png",
            "--out is a.png; the picture is an SVG, so a name in .svg is expected",
        ),
        ("--heads arcface --out no/a.svg", "--out is no/a.svg, but there is no folder no"),
    ] {
        let options: Vec<&str> = ["plot", "logits"].into_iter().chain(options.split(' ')).collect();
        assert_eq!(place.facegrad(&options).refused(2), sentence);
    }
}

#[test]
fn what_cannot_be_written_is_a_failure_and_a_reader_who_left_is_none() {
    let place = Place::new();
    for command in [&["explain", "arcface"][..], &["devices", "--json"], &["completions", "bash"]] {
        let unheard = place.facegrad_into(support::closed_pipe(), command).done();
        assert_eq!(unheard.stderr, "");
        if let Some(full) = support::full_disk() {
            let sentence = place.facegrad_into(full, command).refused(1);
            assert!(sentence.starts_with("standard output cannot be written: "), "{sentence}");
        }
    }
}
