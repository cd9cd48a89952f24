//! `facegrad train` from a config file to a run folder.

mod support;

use support::{Place, TINY};

#[test]
fn a_run_in_which_nothing_is_learned_says_so_at_its_end() {
    let place = Place::new();
    let synth = ["data", "synth", "--size", "20", "--identities", "6", "--images", "8", "--out", "faces"];
    place.facegrad(&synth).done();
    let image = place.read("faces/000000/0000.png");
    for copy in 0..8 {
        ["a", "b"].iter().for_each(|person| place.write(&format!("copies/{person}/{copy}.png"), &image));
        place.write(&format!("dup/a/{copy}.png"), &image);
        place.write(&format!("dup/b/{copy}.png"), place.read("faces/000001/0000.png"));
    }
    let run = |folder: &str, changes: &[&str]| {
        let data = format!("data.train={{kind=\"folder\", path=\"{folder}\"}}");
        let always = ["run.batch=8", "run.log_every=10", "evaluation=[]", "backbone.dropout=0.0", &data];
        let ended = place.train(&[&always, changes].concat()).done();
        let report = ended.stdout.lines().find_map(|line| line.strip_prefix("report   ")).unwrap();
        let folder = report.strip_suffix("/report.html").unwrap();
        let logged = place.events(folder, "finding");
        let logged: Vec<String> =
            logged.iter().map(|event| event["finding"].as_str().unwrap().to_owned()).collect();
        let page = place.text(&format!("{folder}/report.html"));
        for finding in &logged {
            assert!(ended.stdout.contains(&format!("\nnote     {finding}\n")), "{ended}");
            assert!(page.contains(finding.as_str()), "{finding}");
        }
        logged
    };
    let arcface = ["run.steps=150", "head.kind=arcface", "head.scale=32", "head.margin=0.5"];
    let arcface = |more: &'static str| [&arcface[..], &[more]].concat();
    let is_guess = |found: &[String]| matches!(found, [one] if one.starts_with("the loss stayed at that of guessing or above: it was "));
    for (folder, change) in [
        ("copies", "optimizer.momentum=0.9"),
        ("faces", "optimizer.learning_rate=1e-6"),
        ("faces", "optimizer.learning_rate=10"),
    ] {
        let found = run(folder, &arcface(change));
        assert!(is_guess(&found), "{folder}, {change}: {found:?}");
    }
    let none: [String; 0] = [];
    assert_eq!(run("faces", &arcface("optimizer.momentum=0.9")), none);
    assert_eq!(run("faces", &arcface("run.steps=40")), none, "too short to tell");
    let triplet =
        ["run.steps=20", "sampler.kind=pk", "sampler.images=4", "head.kind=triplet", "augmentation.shift=0"];
    let found = run("dup", &triplet);
    assert!(found[0].starts_with("no triplet was active in 3 of 3 logged steps, "), "{found:?}");
}

const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.toml");

#[test]
fn a_small_quickstart_learns_to_tell_strangers_apart() {
    let place = Place::new();
    let ended = place.facegrad(&support::train(
        QUICKSTART,
        &[
            "data.size=[32, 32]",
            "data.train.identities=120",
            "data.train.images=8",
            "data.train.size=32",
            "backbone.width=0.25",
            "backbone.embedding=64",
            "run.epochs=6",
            "run.batch=32",
            "evaluation.0.pairs_per_fold=50",
            "evaluation.0.source.identities=100",
            "evaluation.0.source.images=6",
            "evaluation.0.source.size=32",
        ],
    ));
    let ended = ended.done();
    let run = "checkpoints/quickstart";

    let accuracies: Vec<(u64, f64)> = place
        .events(run, "evaluation")
        .iter()
        .map(|e| (e["step"].as_u64().unwrap(), e["result"]["accuracy"]["mean"].as_f64().unwrap()))
        .collect();
    let (&(first_step, untrained), &(last_step, trained)) =
        (accuracies.first().unwrap(), accuracies.last().unwrap());
    assert_eq!((first_step, last_step), (0, 180));
    assert!(trained > 0.78 && trained > untrained + 0.15, "untrained {untrained}, trained {trained}");

    // The last lines say the same.
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let starts = [
        "backend  flex on ",
        "data     960 images of 120 identities",
        "sampler  random",
        "model    nano at 32x32: ",
    ];
    starts.iter().zip(&lines).for_each(|(start, line)| assert!(line.starts_with(start), "{ended}"));
    assert_eq!(lines[4], format!("run      {run}, 180 steps, 30 an epoch"));
    let done = lines.iter().position(|line| line.starts_with("done: 180 steps in ")).unwrap();
    let summary = lines[done + 1].strip_prefix("unseen: accuracy ").unwrap();
    assert!(summary.starts_with(&format!("{:.2} % ± ", trained * 100.0)), "{ended}");
    assert!(summary.contains(&format!("; untrained {:.2} % ± ", untrained * 100.0)), "{ended}");
    assert_eq!(lines[done + 2..], [format!("report   {run}/report.html")]);
    // Not on a terminal there are lines, no bar that is painted over and over.
    assert!(!ended.stderr.contains(['\r', '\u{1b}']) && ended.stderr.lines().count() < 20, "{ended}");
    let first = ended.stderr.lines().find(|line| line.starts_with("step 1: loss ")).unwrap();
    let first: Vec<f64> = first.split([' ', ';']).filter_map(|word| word.parse().ok()).collect();
    let [loss, expected] = first[..] else { panic!("{ended}") };
    assert!((loss - expected).abs() < 0.2 * expected, "{ended}");

    // Everything a run leaves.
    for file in ["config.toml", "log.jsonl", "best", "last", "report.html", "loss.svg", "roc-unseen.svg"] {
        assert!(!place.read(&format!("{run}/{file}")).is_empty(), "{file}");
    }
    let metrics = place.metrics(run);
    assert_eq!(
        metrics[0],
        "step,epoch,loss,learning_rate,gradient_norm,feature_norm,hardest_cosine,margin,other_cosine,scale,target_cosine"
    );
    assert!(metrics.last().unwrap().starts_with("180,6,"), "{metrics:?}");
    let last = place.text(&format!("{run}/last"));
    assert_eq!(last, "checkpoint-000180\n");
    for file in ["manifest.json", "model.safetensors", "head.safetensors", "state.json"] {
        assert!(!place.read(&format!("{run}/{}/{file}", last.trim())).is_empty(), "{file}");
    }
    let report = place.text(&format!("{run}/report.html"));
    assert!(report.contains("finished after 180 steps") && report.contains("<svg"));
    assert!(place.text(&format!("{run}/config.toml")).contains("embedding = 64"));
    assert!(
        place.path(run).read_dir().unwrap().all(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            !name.contains(".tmp") && !name.starts_with(".writing")
        }),
        "a temporary file is left"
    );
}

#[test]
fn equal_seeds_give_equal_bytes_whatever_the_number_of_loader_threads() {
    let place = Place::new();
    let runs = [
        place.train(&["data.loader.workers=1"]),
        place.train(&["data.loader.workers=1"]),
        place.train(&["data.loader.workers=3", "data.loader.queue=1"]),
        // Evaluations and checkpoints in between are no part of training.
        place.train(&["run.evaluate_every=7", "run.checkpoint_every=3"]),
        place.train(&["run.seed=2"]),
    ];
    runs.into_iter().for_each(|run| assert!(run.done().stdout.contains("40 steps")));
    // A name that is taken gets a number, and the run there stays as it was.
    let runs = ["", "-2", "-3", "-4", "-5"].map(|number| format!("runs/tiny{number}"));
    let [first, again, three_workers, other_intervals, other_seed] = runs;
    for same in [&again, &three_workers, &other_intervals] {
        assert!(place.weights(&first) == place.weights(same), "{same}");
        assert_eq!(place.metrics(&first), place.metrics(same), "{same}");
    }
    let (first, other_seed) = (place.weights(&first), place.weights(&other_seed));
    assert!(first[0] != other_seed[0] && first[1] != other_seed[1]);
}

#[test]
fn a_head_is_swapped_by_one_key() {
    let place = Place::new();
    let ended = place.train(&["head.kind=softmax", "run.name=softmax"]).done();
    for key in ["scale", "margin"] {
        let note = format!("note: head.{key} of tiny.toml is left out: head.kind=softmax does not have it\n");
        assert!(ended.stderr.contains(&note), "{ended}");
    }
    assert!(ended.stdout.contains("loss softmax"), "{ended}");
    assert!(place.text("runs/softmax/config.toml").contains("kind = \"softmax\""));

    // ArcFace has both keys, and keeps them.
    let ended = place.train(&["head.kind=arcface", "run.name=arcface"]).done();
    assert!(ended.stdout.contains("loss arcface") && !ended.stderr.contains("note:"), "{ended}");
    let config = place.text("runs/arcface/config.toml");
    assert!(config.contains("margin = 0.1") && config.contains("scale = 16.0"), "{config}");

    let weights = ["softmax", "arcface"].map(|run| place.weights(&format!("runs/{run}")));
    assert!(weights[0][0] != weights[1][0]);

    // The saved config is itself a config, and gives the same run.
    place.facegrad(&support::train("runs/arcface/config.toml", &["run.name=again"])).done();
    assert!(place.weights("runs/again") == weights[1]);
}

#[test]
fn the_outcome_is_told_as_json_too() {
    let place = Place::new();
    let ended = place.train(&["run.epochs=2", "--json"]).done();
    let outcome: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((outcome["step"].as_u64(), outcome["interrupted"].as_bool()), (Some(20), Some(false)));
    assert!(ended.stderr.contains("note: run.steps of tiny.toml is left out: run.epochs takes its place\n"));
    let accuracies = |records: &[serde_json::Value], path: &str| -> Vec<(u64, f64)> {
        let number = |r: &serde_json::Value| {
            (r["step"].as_u64().unwrap(), r.pointer(path).and_then(|a| a.as_f64()).unwrap())
        };
        records.iter().map(number).collect()
    };
    let told = accuracies(outcome["evaluations"].as_array().unwrap(), "/accuracy");
    let logged = accuracies(&place.events("runs/tiny", "evaluation"), "/result/accuracy/mean");
    assert_eq!(told, logged);
    assert_eq!(told.len(), 2);
}

#[test]
fn a_run_without_an_evaluation_trains() {
    let place = Place::new();
    let ended = place.train(&["evaluation=[]"]).done();
    assert!(!ended.stdout.contains("accuracy"), "{ended}");
    assert!(place.text("runs/tiny/report.html").contains("finished after 40 steps"));
    assert_eq!(place.text("runs/tiny/last"), "checkpoint-000040\n");
    assert!(!place.path("runs/tiny/best").exists());
}

#[cfg(all(feature = "flex", feature = "ndarray"))]
#[test]
fn ndarray_trains_as_flex_does() {
    let place = Place::new();
    // Dropout draws differently on each backend.
    let changes = ["run.steps=5", "run.log_every=1", "run.evaluate_every=5", "backbone.dropout=0.0"];
    place.train(&changes).done();
    let ended = place.train(&[&changes[..], &["--backend", "ndarray"]].concat()).done();
    assert!(ended.stdout.starts_with("backend  ndarray on "), "{ended}");
    let start = &place.events("runs/tiny-2", "start")[0];
    assert!(start["backend"].as_str().unwrap().starts_with("ndarray on "), "{start}");
    let losses = |run: &str| -> Vec<f64> {
        place.events(run, "step").iter().map(|step| step["loss"].as_f64().unwrap()).collect()
    };
    let (flex, ndarray) = (losses("runs/tiny"), losses("runs/tiny-2"));
    assert_eq!((flex.len(), ndarray.len()), (5, 5));
    for (flex, ndarray) in flex.iter().zip(&ndarray) {
        assert!((flex - ndarray).abs() < 1e-3 * flex, "{flex} and {ndarray}");
    }
}

#[test]
fn a_run_that_diverges_stops_before_its_weights_are_lost() {
    let place = Place::new();
    let changes = [
        "head.kind=softmax",
        "optimizer.learning_rate=100",
        "optimizer.clip_norm=1e30",
        "schedule.kind=constant",
        "run.checkpoint_every=1",
        "run.steps=2000",
    ];
    let ended = place.train(&changes).code(1);
    let sentence = ended.sentence();
    let events = place.events("runs/tiny", "not_finite");
    let step = events[0]["step"].as_u64().unwrap();
    assert!(sentence.starts_with(&format!("step {step}: the ")), "{sentence}");
    let kept = format!("the last complete checkpoint is runs/tiny/checkpoint-{:06}", step - 1);
    assert!(sentence.contains(&kept), "{sentence}");
    let images = events[0]["images"].as_array().unwrap();
    assert_eq!(images.len(), 16);
    assert!(images[..3].iter().all(|image| sentence.contains(image.as_str().unwrap())), "{sentence}");
    assert!(sentence.contains(" and 13 more, listed in runs/tiny/log.jsonl. "), "{sentence}");
    // The kept weights are numbers.
    let again = place.facegrad(&["train", "--resume", "runs/tiny"]).code(1);
    assert_eq!(again.sentence(), sentence);
}

#[test]
fn nothing_is_left_of_a_run_that_could_not_begin() {
    let place = Place::new();
    place.train(&["data.train.kind=folder", "data.train.path=absent"]).code(2);
    assert!(!place.path("runs/tiny").exists());
    // A folder that was there before is not touched.
    place.write("runs/tiny/note.txt", "mine");
    place.train(&["run.batch=5000"]).code(2);
    assert_eq!(place.text("runs/tiny/note.txt"), "mine");
    assert!(!place.path("runs/tiny-2").exists());
    assert_eq!(TINY, place.text("tiny.toml"));
}

#[test]
fn evaluations_of_several_kinds_are_made_on_the_way() {
    let place = Place::new();
    let synth = ["data", "synth", "--identities", "6", "--images", "4", "--size", "20"];
    place.facegrad(&[&synth[..], &["--first-identity", "3000", "--out", "faces"]].concat()).done();
    let mut lists = [String::new(), String::new()];
    for identity in 3000..3006 {
        for image in 0..4 {
            // The first image of four people is the gallery; the others are probes, some without a mate.
            let is_gallery = image == 0 && identity < 3004;
            lists[usize::from(!is_gallery)] += &format!("{identity:06}/{image:04}.png {identity}\n");
        }
    }
    place.write("gallery.txt", &lists[0]);
    place.write("probes.txt", &lists[1]);
    let more = "
[[evaluation]]
kind = \"all_pairs\"
source = { kind = \"folder\", path = \"faces\" }

[[evaluation]]
kind = \"identification\"
gallery = \"gallery.txt\"
probes = \"probes.txt\"
images = \"faces\"
";
    place.write("several.toml", format!("{TINY}{more}"));
    let run = ["run.name=several", "run.select_by=probes"];
    let said = place.facegrad(&support::train("several.toml", &run)).done();
    let events = place.events("runs/several", "evaluation");
    let names: Vec<&str> = events.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(names[names.len() - 3..], ["unseen", "all-pairs", "probes"]);
    let last = &events[events.len() - 3..];
    assert_eq!(last[1]["result"]["impostor"], 240);
    assert_eq!(
        (&last[2]["result"]["mated_probes"], &last[2]["result"]["nonmated_probes"]),
        (&12.into(), &8.into())
    );
    assert!(last[0]["result"]["bootstrap"].is_null(), "during training there is no time for it");
    // The best checkpoint is chosen by the rank-1 rate.
    let is_best = |event: &&serde_json::Value| event["best"] == true;
    assert!(events.iter().filter(is_best).all(|event| event["name"] == "probes"));
    assert!(events.iter().any(|event| event["best"] == true));
    assert!(said.stderr.contains("rank-1 rate") || said.stdout.contains("probes"), "{}", said.stderr);
    let page = place.text("runs/several/report.html");
    assert!(page.contains("rank 1") && page.contains("240"), "the page has the tables of all three");
}

#[test]
fn a_new_config_is_trained_as_it_is_and_tests_on_people_it_does_not_see() {
    let place = Place::new();
    let synth = ["data", "synth", "--identities", "66", "--images", "3", "--size", "20", "--out", "my faces"];
    place.facegrad(&synth).done();
    let told = place.facegrad(&["new", "my faces", "--out", "mine.toml"]).done().stdout;
    assert!(
        told.starts_with("198 images of 66 people; 198 of 198 that were looked at are of 20x20 pixels\n"),
        "{told}"
    );
    assert!(
        told.contains("\n  facegrad train mine.toml --preflight\n  facegrad train mine.toml\n"),
        "{told}"
    );
    assert!(told.contains("\n  facegrad data audit 'my faces' --report mine-audit.html\n"), "{told}");
    // A file that somebody may have changed is not replaced.
    let again = place.facegrad(&["new", "my faces", "--out", "mine.toml"]).code(2);
    assert!(again.stderr.contains("mine.toml is there already; --force replaces it"), "{again}");

    let short = ["--set", "run.steps=2", "--set", "run.folder=\"runs\""];
    let trained = place.facegrad(&[&["train", "mine.toml"], &short[..]].concat()).done().stdout;
    assert!(trained.contains("\nunseen: accuracy "), "{trained}");
    let model = place.text("runs/mine/config.toml");
    assert!(
        model.contains("exclude = \"mine-test.csv\"") && model.contains("keep = \"mine-test.csv\""),
        "{model}"
    );

    // Another list in place of the one that keeps them aside is told, though the people have numbers for names.
    place.write("other.csv", "image\n000000/0000.png\n");
    let told =
        place.facegrad(&["train", "mine.toml", "--preflight", "--set", "data.train.exclude=other.csv"]);
    assert!(told.done().stdout.contains(" images of evaluation unseen are trained on, such as "));
    // What cannot be trained leaves nothing, and a run's name is one that a folder may have.
    place.copy("my faces", "mom's, faces");
    place.facegrad(&["new", "mom's, faces"]).done();
    assert!(place.text("mom's, faces.toml").contains("name = \"mom-s- faces\""));
    place
        .facegrad(&["data", "synth", "--identities", "1", "--images", "2", "--size", "20", "--out", "one"])
        .done();
    place.facegrad(&["new", "one"]).code(2);
    assert!(!place.path("one.toml").exists());

    // A list of an audit stays, and the test is drawn from what it leaves.
    place.facegrad(&["new", "my faces", "--set", "exclude=other.csv", "--out", "audited.toml"]).done();
    let (config, left_out) = (place.text("audited.toml"), place.text("audited-exclude.csv"));
    assert!(
        config.contains("exclude = \"audited-exclude.csv\"")
            && config.contains("keep = \"audited-test.csv\""),
        "{config}"
    );
    assert!(!config.contains("other.csv"), "{config}");
    assert!(left_out.contains("\n000000/0000.png,"), "{left_out}");
    assert_eq!(left_out.lines().count(), place.text("audited-test.csv").lines().count() + 1);
    let told = place.facegrad(&["train", "audited.toml", "--preflight"]).done().stdout;
    assert!(!told.contains("are trained on"), "{told}");
    // What is read is never replaced by what is written.
    let list = "exclude=audited-exclude.csv";
    let again = place.facegrad(&["new", "my faces", "--set", list, "--out", "audited.toml", "--force"]);
    let refused = again.code(2).sentence();
    assert!(refused.contains("would replace audited-exclude.csv, which is read"), "{refused}");
    assert_eq!(place.text("audited-exclude.csv"), left_out);

    // Photographs are to be aligned first.
    place
        .facegrad(&[
            "data",
            "synth",
            "--identities",
            "3",
            "--images",
            "8",
            "--size",
            "300",
            "--out",
            "photos",
        ])
        .done();
    let told = place.facegrad(&["new", "photos"]).done().stdout;
    assert!(told.contains("they are of 300x300 pixels"), "{told}");
    assert!(told.contains("\n  facegrad align photos photos-aligned --detector-weights mtcnn\n"), "{told}");
    assert!(!place.path("photos.toml").exists());
    // Too many images for the default of max_bad_share cannot be read.
    for image in ["000001/0002", "000002/0000"] {
        place.write(&format!("photos/{image}.png"), "no image");
    }
    let ended = place.facegrad(&["new", "photos", "--unaligned"]).done();
    assert!(place.path("photos.toml").exists());
    let note = "note: 2 of 24 images cannot be read, and train stops above data.loader.max_bad_share = 0.01; \
                `facegrad data audit photos --exclude photos-exclude.csv` lists them";
    assert!(ended.stderr.contains(note), "{ended}");
}
