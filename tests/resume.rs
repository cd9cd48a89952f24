//! `facegrad train --resume`: whatever happens to a run, it goes on as if nothing had.

mod support;

use std::{
    fs,
    sync::OnceLock,
    thread,
    time::{Duration, Instant, SystemTime},
};

use facegrad_random::{Purpose, Stream};
use support::{FACEGRAD, Place, TINY};

/// A run of 60 steps with a checkpoint at every fourth.
const CHANGES: [&str; 4] = ["run.steps=60", "run.checkpoint_every=4", "run.evaluate_every=12", "run.keep=4"];

/// That run, uninterrupted, in `runs/tiny`, and how long it took.
fn uninterrupted() -> &'static (Place, Duration) {
    static RUN: OnceLock<(Place, Duration)> = OnceLock::new();
    RUN.get_or_init(|| {
        let place = Place::new();
        let started = Instant::now();
        place.train(&CHANGES).done();
        (place, started.elapsed())
    })
}

/// The run in `place` ended as if it had never been interrupted.
fn is_as_uninterrupted(place: &Place) {
    let (reference, _) = uninterrupted();
    assert!(place.weights("runs/tiny") == reference.weights("runs/tiny"), "the weights differ");
    assert_eq!(place.metrics("runs/tiny"), reference.metrics("runs/tiny"));
    assert_eq!(place.text("runs/tiny/best"), reference.text("runs/tiny/best"));
    let accuracies = |place: &Place| -> Vec<(u64, f64)> {
        let events = place.events("runs/tiny", "evaluation");
        let number = |event: &serde_json::Value| {
            (event["step"].as_u64().unwrap(), event["result"]["accuracy"]["mean"].as_f64().unwrap())
        };
        let mut all: Vec<_> = events.iter().map(number).collect();
        // A run killed before its first checkpoint measures the untrained network once more.
        all.dedup();
        all
    };
    assert_eq!(accuracies(place), accuracies(reference));
}

fn resume(place: &Place, run: &str) -> support::Ended {
    place.facegrad(&["train", "--resume", run])
}

/// Draws that differ from test run to test run; to repeat them, set FACEGRAD_TEST_SEED to what is printed.
fn random(test: u64) -> Stream {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("FACEGRAD_TEST_SEED").ok().map_or(now, |seed| seed.parse().unwrap());
    println!("FACEGRAD_TEST_SEED={seed}");
    Stream::new(seed, Purpose::Order, test, 0)
}

/// Begins the run in `place` and kills it six times, each within `limit` of its start; says how often that hit a
/// process that was at work. A run may be over sooner.
fn kill_again_and_again(place: &Place, limit: Duration, random: &mut Stream) -> usize {
    for session in 0..6 {
        if place.path("runs/tiny").exists() && !place.path("runs/tiny/config.toml").exists() {
            // Killed as it made its folder: there is no run yet.
            fs::remove_dir_all(place.path("runs/tiny")).unwrap();
        }
        let mut arguments = support::train("tiny.toml", &CHANGES);
        if place.path("runs/tiny").exists() {
            arguments = vec!["train", "--resume", "runs/tiny"];
        }
        let mut running = place.start(FACEGRAD, &arguments);
        let moment = limit.mul_f32(random.uniform());
        thread::sleep(moment);
        if running.is_over() {
            running.wait().done();
            return session;
        }
        running.kill();
        let last = fs::read_to_string(place.path("runs/tiny/last")).unwrap_or("no checkpoint".into());
        println!("session {session} was killed after {moment:?} with {}", last.trim());
    }
    6
}

#[test]
fn a_run_killed_at_random_moments_ends_with_the_same_bytes() {
    let (_, duration) = uninterrupted();
    let mut random = random(0);
    let mut limit = *duration / 3;
    loop {
        let place = Place::new();
        let kills = kill_again_and_again(&place, limit, &mut random);
        match place.path("runs/tiny/config.toml").exists() {
            true => resume(&place, "runs/tiny").done(),
            false => place.train(&CHANGES).done(),
        };
        is_as_uninterrupted(&place);
        if kills >= 4 {
            break;
        }
        // The machine was busier when the time was taken than it is now.
        println!("only {kills} kills hit a running process");
        limit /= 2;
    }
}

#[test]
fn a_run_killed_before_its_first_checkpoint_starts_over_in_its_folder() {
    let place = Place::new();
    let mut running = place.start(FACEGRAD, &support::train("tiny.toml", &CHANGES));
    running.until(|| place.path("runs/tiny/metrics.csv").exists());
    running.kill();
    // Whatever it had come to, all checkpoints are taken away.
    let run = place.path("runs/tiny");
    for entry in fs::read_dir(&run).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    ["best", "last"].iter().for_each(|name| drop(fs::remove_file(run.join(name))));
    let ended = resume(&place, "runs/tiny").done();
    assert!(ended.stdout.contains("runs/tiny, 60 steps"), "{ended}");
    is_as_uninterrupted(&place);
}

#[cfg(unix)]
#[test]
fn a_signal_saves_and_the_run_goes_on_from_there() {
    // No checkpoint of its own before the end.
    let changes = ["run.steps=60", "run.checkpoint_every=60", "run.evaluate_every=12", "run.keep=4"];
    let (place, ended) = loop {
        let place = Place::new();
        let mut running = place.start(FACEGRAD, &support::train("tiny.toml", &changes));
        running.until(|| {
            fs::read_to_string(place.path("runs/tiny/metrics.csv")).is_ok_and(|text| text.lines().count() > 2)
        });
        // As `timeout` does: to the process and to its group, which is one wish.
        running.signal(&["TERM", "TERM"]);
        let ended = running.wait();
        // On a busy machine the signal may come too late.
        if ended.code != Some(0) {
            break (place, ended);
        }
    };
    let ended = ended.code(130);
    assert!(ended.stderr.contains("stopping after this step and saving"), "{ended}");
    let continue_with = "continue with: facegrad train --resume runs/tiny";
    assert_eq!(ended.stdout.lines().last(), Some(continue_with), "{ended}");
    let end = place.events("runs/tiny", "end").pop().unwrap();
    let step = end["step"].as_u64().unwrap();
    assert!((5..60).contains(&step) && end["interrupted"] == true, "{end}");
    assert!(ended.stdout.contains(&format!("stopped: {step} steps in ")), "{ended}");
    assert_eq!(place.text("runs/tiny/last"), format!("checkpoint-{step:06}\n"));
    let report = place.text("runs/tiny/report.html");
    assert!(report.contains(&format!("stopped after {step} of 60 steps")));

    let ended = resume(&place, "runs/tiny").done();
    assert!(ended.stdout.contains(&format!(", continued after step {step}\n")), "{ended}");
    is_as_uninterrupted(&place);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_evaluation_and_resuming_makes_up_for_it() {
    let changes = [
        "run.steps=5",
        "run.evaluate_every=5",
        "evaluation.0.pairs_per_fold=2000",
        "evaluation.0.source.identities=400",
        "evaluation.0.source.images=20",
    ];
    let (place, ended) = loop {
        let place = Place::new();
        let mut running = place.start(FACEGRAD, &support::train("tiny.toml", &changes));
        // The line of the last step is written before the evaluation that follows it.
        running.until(|| {
            fs::read_to_string(place.path("runs/tiny/metrics.csv")).is_ok_and(|text| text.contains("\n5,"))
        });
        running.signal(&["INT"]);
        let ended = running.wait();
        // On a busy machine the signal may come too late.
        if ended.code != Some(0) {
            break (place, ended);
        }
    };
    ended.code(130);
    let steps = |place: &Place| -> Vec<u64> {
        place.events("runs/tiny", "evaluation").iter().map(|event| event["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps(&place), [0]);
    resume(&place, "runs/tiny").done();
    assert_eq!(steps(&place), [0, 5]);
    assert_eq!(place.text("runs/tiny/best"), "checkpoint-000005\n");
}

#[test]
fn to_resume_a_finished_run_changes_nothing() {
    let (reference, _) = uninterrupted();
    let place = Place::new();
    place.copy(reference.path("runs").to_str().unwrap(), "runs");
    let ended = resume(&place, "runs/tiny").done();
    assert!(ended.stdout.contains("done: 60 steps"), "{ended}");
    is_as_uninterrupted(&place);
    // From inside the folder as well.
    for run in [".", "last", "checkpoint-000060"] {
        place.start_in("runs/tiny", FACEGRAD, &["train", "--resume", run]).wait().done();
        is_as_uninterrupted(&place);
    }
}

/// The notes before the first step.
fn notes(ended: &support::Ended) -> Vec<&str> {
    ended.stdout.lines().filter_map(|line| line.strip_prefix("note     ")).collect()
}

#[test]
fn a_changed_config_is_told_key_by_key_with_what_it_does_and_only_once() {
    let place = Place::new();
    place.train(&["run.epochs=4", "run.checkpoint_every=10", "evaluation=[]"]).done();
    let config = place.text("runs/tiny/config.toml");
    let changed =
        config.replace("epochs = 4.0\n", "epochs = 8.0\n").replace("scale = 16.0\n", "scale = 12.0\n");
    place.write("runs/tiny/config.toml", changed);
    // Stopped before it has saved anything, it has still to be told.
    for _ in 0..2 {
        place.copy("runs/tiny", "again");
        let ended = resume(&place, "again").done();
        assert_eq!(
            notes(&ended),
            [
                "the config was changed after step 40: head.scale is 12.0, was 16.0; run.epochs is 8.0, was 4.0; the run is 80 steps long now, and was 40; its learning rate goes from 0.000171 in step 40 to 0.0541 in step 41"
            ]
        );
        let start = place.events("again", "start").pop().unwrap();
        assert_eq!(start["notes"][0], notes(&ended)[0]);
        assert!(place.text("again/report.html").contains("head.scale is 12.0, was 16.0"));
        // From then on it is the config of the run.
        let ended = resume(&place, "again").done();
        assert!(!ended.stdout.contains("changed"), "{ended}");
        fs::remove_dir_all(place.path("again")).unwrap();
    }
    let set = [
        "train",
        "--resume",
        "runs/tiny",
        "--set",
        "optimizer.kind=adamw",
        "--set",
        "run.batch=32",
        "--set",
        "run.epochs=9",
    ];
    let ended = place.facegrad(&set).done();
    let note = notes(&ended)[0];
    for part in [
        "; optimizer.kind is \"adamw\", was \"sgd\"; ",
        "; run.batch is 32, was 16; ",
        "; an epoch has 5 steps now, and had 10; ",
        "; what sgd knew of earlier gradients is left behind, and adamw begins anew",
    ] {
        assert!(note.contains(part) || note.contains("and ") && part.contains("run.batch"), "{part}: {note}");
    }
}

#[test]
fn a_finished_run_says_so_and_goes_on_for_longer() {
    let (reference, _) = uninterrupted();
    let place = Place::new();
    place.copy(reference.path("runs").to_str().unwrap(), "runs");
    let longer = "facegrad train --resume runs/tiny --set run.steps=120";
    let ended = resume(&place, "runs/tiny").done();
    assert_eq!(notes(&ended), [format!("the run is finished (60 of 60 steps); to train longer: {longer}")]);
    // A new run of the name says how that one stands.
    let ended = place.train(&["run.steps=4"]).done();
    assert_eq!(
        notes(&ended),
        [format!(
            "runs/tiny is there already and is finished (60 of 60 steps), so that this is another run; to train that one longer: {longer}"
        )]
    );
    let preflight = place.train(&["run.steps=4", "--preflight"]).done();
    assert!(preflight.stdout.contains("note     runs/tiny is there already"), "{preflight}");
    // What it says is done.
    let ended = place.facegrad(&["train", "--resume", "runs/tiny", "--set", "run.steps=64"]).done();
    assert!(
        notes(&ended)[0].contains(": run.steps is 64, was 60; the run is 64 steps long now, and was 60; ")
    );
    assert!(ended.stdout.contains("done: 64 steps"), "{ended}");
    assert!(place.text("runs/tiny/config.toml").contains("steps = 64\n"));
    let metrics = place.metrics("runs/tiny");
    assert_eq!(metrics.last().unwrap().split(',').next(), Some("64"));
    // Less than is done is no run.
    let config = place.text("runs/tiny/config.toml");
    let said = place.facegrad(&["train", "--resume", "runs/tiny", "--set", "run.steps=20"]).refused(2);
    assert_eq!(
        said,
        "runs/tiny has done 64 steps, and run.steps = 20 makes 20 of it; give it more, such as run.steps=128"
    );
    assert_eq!(place.text("runs/tiny/config.toml"), config);
    let said = place.facegrad(&["train", "--resume", "runs/tiny", "--set", "run.stepps=20"]).refused(2);
    assert!(said.starts_with("cannot resume: runs/tiny/config.toml: run.stepps"), "{said}");
}

#[test]
fn what_the_weights_of_a_checkpoint_cannot_be_is_refused_by_its_key() {
    let (reference, _) = uninterrupted();
    let place = Place::new();
    place.copy(reference.path("runs").to_str().unwrap(), "runs");
    let config = place.text("runs/tiny/config.toml");
    for (set, sentence) in [
        (
            "data.size=[24, 24]",
            "data.size is [24, 24], and the checkpoint was trained with [20, 20]: its weights are for images of that size; set the key back, or begin a new run",
        ),
        (
            "backbone.width=0.5",
            "backbone.width is 0.5, and the checkpoint was trained with 0.25: its weights are of that network; set the key back, or begin a new run",
        ),
        (
            "head.kind=softmax",
            "head.kind is \"softmax\", and the checkpoint was trained with \"cosface\": its weights are of that head; set the key back, or begin a new run",
        ),
    ] {
        let ended = place.facegrad(&["train", "--resume", "runs/tiny", "--set", set]).code(2);
        assert_eq!((ended.stdout.as_str(), ended.sentence().as_str()), ("", sentence), "{ended}");
        assert_eq!(place.text("runs/tiny/config.toml"), config);
    }
}

#[test]
fn a_checkpoint_of_an_earlier_version_goes_on_with_what_is_known() {
    let place = Place::new();
    place.train(&["run.steps=5", "evaluation=[]"]).done();
    // As it was written before it held the config.
    let checkpoint = "runs/tiny/checkpoint-000005";
    let state = place.text(&format!("{checkpoint}/state.json"));
    let mut state: serde_json::Value = serde_json::from_str(&state).unwrap();
    for key in ["config", "changes", "data_size", "course"] {
        state.as_object_mut().unwrap().remove(key).unwrap();
    }
    let (state, manifest) = (state.to_string(), format!("{checkpoint}/manifest.json"));
    let mut entries: serde_json::Value = serde_json::from_str(&place.text(&manifest)).unwrap();
    entries["files"]["state.json"] =
        serde_json::json!({"bytes": state.len(), "sha256": facegrad_files::sha256(state.as_bytes())});
    place.write(&format!("{checkpoint}/state.json"), state);
    place.write(&manifest, entries.to_string());
    let set = ["train", "--resume", "runs/tiny", "--set", "run.steps=8"];
    let ended = place.facegrad(&set).done();
    assert_eq!(
        notes(&ended),
        [
            "the config was changed after step 5, and it is no longer the same run; which keys is not known of a checkpoint of an earlier version"
        ]
    );
    assert!(ended.stdout.contains("done: 8 steps"), "{ended}");
}

#[cfg(unix)]
#[test]
fn a_set_of_more_files_than_may_be_open_trains_saves_and_resumes() {
    let place = Place::new();
    let synth = ["data", "synth", "--size", "20", "--identities", "50", "--images", "4", "--out", "faces"];
    place.facegrad(&synth).done();
    for (kind, set, length) in
        [("webdataset", "shards", "--shard-images"), ("parquet", "table.parquet", "--file-images")]
    {
        let _ = (kind, length);
        let limited = |arguments: &[&str]| {
            let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
            let script = format!("ulimit -n 64 && exec '{FACEGRAD}' {}", words.join(" "));
            place.start("sh", &["-c", &script]).wait().done()
        };
        let _ = (limited, set);
    }
}

#[test]
fn a_run_is_resumed_by_one_process_at_a_time() {
    let place = Place::new();
    let changes = ["run.steps=100000", "run.checkpoint_every=10", "run.evaluate_every=100000"];
    let mut running = place.start(FACEGRAD, &support::train("tiny.toml", &changes));
    running.until(|| place.path("runs/tiny/last").exists());
    let sentence = resume(&place, "runs/tiny").refused(2);
    assert_eq!(sentence, "runs/tiny is in use by another facegrad process; wait for it or stop it");
    assert!(!running.is_over());
    running.kill();
}

/// A way to spoil a checkpoint, and what is said of it.
type Harm = (fn(&Place, &str), &'static str);

const HARMS: [Harm; 6] = [
    (
        |place, checkpoint| {
            let file = format!("{checkpoint}/model.safetensors");
            let mut bytes = place.read(&file);
            let place_of_bit = random(1).below(bytes.len() * 8);
            println!("bit {place_of_bit}");
            bytes[place_of_bit / 8] ^= 1 << (place_of_bit % 8);
            place.write(&file, bytes);
        },
        "/model.safetensors does not have the SHA-256 its manifest gives",
    ),
    (
        |place, checkpoint| {
            let file = format!("{checkpoint}/optimizer.bpk");
            let bytes = place.read(&file);
            place.write(&file, &bytes[..bytes.len() / 2]);
        },
        "/optimizer.bpk has ",
    ),
    (
        |place, checkpoint| {
            fs::remove_file(place.path(&format!("{checkpoint}/head.safetensors"))).unwrap();
        },
        "/head.safetensors is missing",
    ),
    (
        |place, checkpoint| fs::remove_file(place.path(&format!("{checkpoint}/manifest.json"))).unwrap(),
        "/manifest.json is missing",
    ),
    (
        |place, checkpoint| place.write(&format!("{checkpoint}/manifest.json"), b"\0\0\0\0"),
        "/manifest.json is not a manifest: ",
    ),
    (
        |place, checkpoint| {
            let file = format!("{checkpoint}/manifest.json");
            let manifest = place.text(&file);
            assert!(manifest.contains("\"format\": 1,"), "{manifest}");
            place.write(&file, manifest.replace("\"format\": 1,", "\"format\": 2,"));
        },
        " has checkpoint format 2 and this facegrad reads format 1; use the version that wrote it (",
    ),
];

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_it_goes_on() {
    let (reference, _) = uninterrupted();
    for (harm, sentence) in HARMS {
        let place = Place::new();
        place.copy(reference.path("runs").to_str().unwrap(), "runs");
        harm(&place, "runs/tiny/checkpoint-000060");
        let said = resume(&place, "runs/tiny").refused(2);
        assert!(said.starts_with(&format!("runs/tiny/checkpoint-000060{sentence}")), "{said}");
        let (_, offered) = said.rsplit_once("; ").unwrap();
        assert_eq!(offered, "runs/tiny/checkpoint-000056 is intact, use that instead", "{said}");

        let ended = resume(&place, "runs/tiny/checkpoint-000056").done();
        assert!(ended.stdout.contains(", continued after step 56\n"), "{ended}");
        is_as_uninterrupted(&place);
        // The damage is gone as well.
        resume(&place, "runs/tiny").done();
    }
}

#[test]
fn checkpoints_ahead_of_where_a_run_goes_on_are_not_in_its_way() {
    let (reference, _) = uninterrupted();
    let place = Place::new();
    place.copy(reference.path("runs").to_str().unwrap(), "runs");
    // All but the oldest are damaged, and the run is killed again before it is past the damage.
    let mut steps: Vec<String> = fs::read_dir(place.path("runs/tiny"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with("checkpoint-"))
        .collect();
    steps.sort();
    assert!(steps.len() > 1);
    for damaged in &steps[1..] {
        fs::remove_file(place.path(&format!("runs/tiny/{damaged}/state.json"))).unwrap();
    }
    let said = resume(&place, "runs/tiny").refused(2);
    assert!(said.ends_with(&format!("; runs/tiny/{} is intact, use that instead", steps[0])), "{said}");
    let mut running = place.start(FACEGRAD, &["train", "--resume", &format!("runs/tiny/{}", steps[0])]);
    while place.text("runs/tiny/last") == "checkpoint-000060\n" && !running.is_over() {
        thread::sleep(Duration::from_millis(1));
    }
    running.kill();
    resume(&place, "runs/tiny").done();
    is_as_uninterrupted(&place);
}

#[test]
fn a_run_is_not_resumed_on_other_data() {
    let place = Place::new();
    let synth = ["data", "synth", "--identities", "4", "--images", "8", "--size", "20", "--out", "faces"];
    place.facegrad(&synth).done();
    let config = TINY.replace(
        "kind = \"synthetic\"\nidentities = 20\nimages = 8\nsize = 20",
        "kind = \"folder\"\npath = \"faces\"",
    );
    place.write("tiny.toml", config);
    place.train(&["run.steps=4", "run.evaluate_every=4"]).done();
    let weights = place.weights("runs/tiny");
    place.copy("faces/000000", "faces/new");
    let said = resume(&place, "runs/tiny").refused(2);
    assert_eq!(
        said,
        "runs/tiny was trained on 32 images of 4 identities, and the data is now 40 images of 5 identities; resuming would not continue the same run"
    );
    fs::remove_dir_all(place.path("faces/new")).unwrap();
    // As many, and others; the changed key is named.
    let set = ["train", "--resume", "runs/tiny", "--set"];
    let said = place.facegrad(&[&set[..], &["data.train.max_identities=3"]].concat()).refused(2);
    let changed =
        "the data is now 24 images of 3 identities (data.train.max_identities is 3, was not given); ";
    assert!(said.contains(changed), "{said}");
    let file = fs::read_dir(place.path("faces/000001")).unwrap().next().unwrap().unwrap().path();
    fs::rename(&file, file.with_file_name("other.jpg")).unwrap();
    let said = resume(&place, "runs/tiny").refused(2);
    let as_many = "runs/tiny was trained on 32 images of 4 identities with other names, labels or sizes, and the data is now that of SHA-256 ";
    assert!(said.starts_with(as_many), "{said}");
    fs::rename(file.with_file_name("other.jpg"), &file).unwrap();
    resume(&place, "runs/tiny").done();
    fs::remove_dir_all(place.path("faces")).unwrap();
    assert_eq!(resume(&place, "runs/tiny").refused(2), "the image folder faces does not exist");
    assert!(place.weights("runs/tiny") == weights);
}

#[test]
fn what_is_no_run_cannot_be_resumed() {
    let place = Place::new();
    place.write("empty/note.txt", "");
    for path in ["absent", "empty", "tiny.toml"] {
        let said = resume(&place, path).refused(2);
        assert!(said.starts_with(&format!("{path} holds no checkpoint; ")), "{said}");
    }
}
