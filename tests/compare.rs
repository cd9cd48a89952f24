//! `facegrad compare`: several configs, several seeds, one table.

mod support;

use serde_json::Value;
use support::{FACEGRAD, Place, TINY};

/// [`TINY`] with another head, as `<name>.toml`.
fn config(place: &Place, name: &str, head: &str) {
    let (before, rest) = TINY.split_once("[head]").unwrap();
    let after = &rest[rest.find("[optimizer]").unwrap()..];
    place.write(&format!("{name}.toml"), format!("{before}[head]\n{head}\n\n{after}"));
}

/// A place with two configs that train, and one that diverges.
fn place() -> Place {
    let place = Place::new();
    config(&place, "cos", "kind = \"cosface\"\nscale = 16.0\nmargin = 0.1");
    config(&place, "soft", "kind = \"softmax\"");
    let wild = TINY.replace("learning_rate = 0.1", "learning_rate = 100.0\nclip_norm = 1e30");
    place.write("wild.toml", wild.replace("cosface\"\nscale = 16.0\nmargin = 0.1", "softmax\""));
    place
}

fn json(place: &Place, name: &str) -> Value {
    serde_json::from_str(&place.text(name)).unwrap()
}

/// The rows of a table, without what a slow machine changes.
fn timeless(table: &Value) -> Value {
    let mut rows = table["rows"].clone();
    let mut remove = |from: &mut Value| {
        for key in ["seconds", "images_per_second"] {
            from.as_object_mut().unwrap().remove(key);
        }
    };
    for row in rows.as_array_mut().unwrap() {
        remove(row);
        row["runs"].as_array_mut().unwrap().iter_mut().for_each(&mut remove);
    }
    rows
}

#[test]
fn configs_and_seeds_become_one_table() {
    let place = place();
    let command =
        ["compare", "cos.toml", "wild.toml", "soft.toml", "--steps", "20", "--seeds", "1,2", "--out", "out"];
    let ended = place.facegrad(&command).done();

    let table = json(&place, "out/compare.json");
    let rows = table["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &table["runs_over"], &table["runs"]), (3, &6.into(), &6.into()));
    for row in &rows[..2] {
        let number = |value: &Value| value.as_f64().unwrap();
        let runs = row["runs"].as_array().unwrap();
        let of_runs: Vec<f64> = runs.iter().map(|run| number(&run["result"]["accuracy"]["mean"])).collect();
        let accuracy = &row["accuracy"];
        assert!((number(&accuracy["mean"]) - (of_runs[0] + of_runs[1]) / 2.0).abs() < 1e-12);
        // Two values: the deviation is their distance by the root of 2, the error that by the root of 2 again.
        let half = 12.706_204_736 * (of_runs[0] - of_runs[1]).abs() / 2.0;
        assert!((number(&accuracy["half_width"]) - half).abs() < 1e-9);
        assert_eq!(accuracy["over"], "seeds");
        // The log of the runs says the same.
        for run in runs {
            let folder = run["folder"].as_str().unwrap();
            assert!(folder.starts_with(&format!("out/{}-seed", row["config"].as_str().unwrap())));
            let steps = place.events(folder, "step");
            assert_eq!(steps[0]["loss"], run["first_loss"]);
            let started = &place.events(folder, "start")[0];
            assert_eq!(started["expected_first_loss"], run["expected_first_loss"]);
            assert_eq!(steps.last().unwrap()["loss"], run["last_loss"]);
            let evaluated: Vec<_> =
                place.events(folder, "evaluation").iter().map(|event| event["step"].clone()).collect();
            assert_eq!(evaluated, [0, 20]);
        }
    }
    assert!(rows[0]["accuracy"]["mean"].as_f64() >= rows[1]["accuracy"]["mean"].as_f64());
    assert_eq!((&rows[2]["config"], &rows[2]["accuracy"]), (&"wild".into(), &Value::Null));
    for run in rows[2]["runs"].as_array().unwrap() {
        assert_eq!(run["state"], "diverged");
        assert!(run["step"].as_u64().unwrap() > 1);
    }
    // Both seeds see the same images in the same order, whatever the head.
    let order = |run: &str| place.events(run, "step").iter().map(|e| e["epoch"].clone()).collect::<Vec<_>>();
    assert_eq!(order("out/cos-seed1"), order("out/soft-seed1"));

    let unequal = "optimizer.learning_rate is 0.1, but 100.0 in wild";
    assert!(
        ended.stderr.contains("note: not under the same budget: optimizer.")
            && ended.stderr.contains(unequal),
        "{ended}"
    );
    assert!(ended.stderr.contains("[2/6] wild, seed 1: diverged at step "), "{ended}");
    assert!(ended.stderr.lines().count() < 20 && !ended.stderr.contains('\u{1b}'), "{ended}");
    let (page, markdown) = (place.text("out/compare.html"), place.text("out/compare.md"));
    for text in ["Not under the same budget: ", unequal, "seed 2: diverged at step ", "2 seeds"] {
        assert!(page.contains(text) && markdown.contains(text), "{text}");
    }
    assert_eq!(markdown.lines().filter(|line| line.starts_with('|')).count(), 5);
    assert!(page.contains("<svg") && place.text("out/compare.svg").contains("chance"));

    // What is done is not done again, and a diverged run would diverge again.
    let again = place.facegrad(&[&command[..], &["--json"]].concat()).done();
    assert!(
        again.stderr.contains("6 runs of 20 steps in out") || again.stderr.contains("6 of them done before")
    );
    assert!(!again.stderr.contains(" begins") && !again.stderr.contains(" goes on"), "{again}");
    let printed: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(printed["rows"], table["rows"]);

    // One seed has no spread: the interval is that of the folds. A changed config has a folder of its own.
    let one = ["compare", "cos.toml", "--steps", "20", "--seeds", "2", "--out", "out"];
    place.facegrad(&one).done();
    assert_eq!(json(&place, "out/compare.json")["rows"][0]["accuracy"]["over"], "folds");
    place.facegrad(&[&one[..], &["--set", "head.margin=0.2"]].concat()).done();
    let changed = json(&place, "out/compare.json");
    assert_eq!(changed["rows"][0]["runs"][0]["folder"], "out/cos-seed2-2");
}

#[test]
fn a_comparison_goes_on_where_it_was() {
    let place = place();
    let command = |out: &'static str| {
        let fixed = ["compare", "cos.toml", "soft.toml", "--steps", "30", "--seeds", "1,2"];
        [&fixed[..], &["--set", "run.checkpoint_every=5", "--out", out]].concat()
    };
    place.facegrad(&command("whole")).done();

    // Killed in the middle of the second run, and once more after Ctrl-C in the third.
    let mut killed = place.start(FACEGRAD, &command("out"));
    killed.until(|| place.path("out/soft-seed1/checkpoint-000010").is_dir());
    killed.kill();
    let mut stopped = place.start(FACEGRAD, &command("out"));
    stopped.until(|| place.path("out/cos-seed2/checkpoint-000005").is_dir());
    stopped.signal(&["INT"]);
    let stopped = stopped.wait().code(130);
    assert!(stopped.stderr.contains("[2/4] soft, seed 1: goes on after step "), "{stopped}");
    assert!(!stopped.stderr.contains("[1/4]"), "{stopped}");
    assert!(stopped.stdout.ends_with(" of 4 runs are done; the same command goes on\n"), "{stopped}");
    assert!(place.text("out/compare.md").contains(" of 4 runs so far"));
    place.facegrad(&command("out")).done();

    let as_whole = |text: String| text.replace("whole", "out");
    let rows = |out: &str| as_whole(timeless(&json(&place, &format!("{out}/compare.json"))).to_string());
    assert_eq!(rows("out"), rows("whole"));
    for run in ["cos-seed1", "soft-seed1", "cos-seed2", "soft-seed2"] {
        assert!(place.weights(&format!("out/{run}")) == place.weights(&format!("whole/{run}")), "{run}");
    }
}

#[test]
fn what_fails_is_a_row_and_the_others_are_trained() {
    let place = place();
    place.write(
        "lost.toml",
        TINY.replacen(
            "kind = \"synthetic\"\nidentities = 20\nimages = 8\nsize = 20",
            "kind = \"folder\"\npath = \"nowhere\"",
            1,
        ),
    );
    let command = ["compare", "lost.toml", "cos.toml", "--steps", "4", "--seeds", "1", "--out", "out"];
    let ended = place.facegrad(&command).code(1);
    assert_eq!(ended.sentence(), "1 of 2 runs failed; the same command tries them again");
    let table = json(&place, "out/compare.json");
    assert_eq!(table["rows"][0]["config"], "cos");
    let failed = &table["rows"][1]["runs"][0];
    assert_eq!(failed["state"], "failed");
    assert!(failed["reason"].as_str().unwrap().contains("nowhere"), "{failed}");
}

/// A comparison by an evaluation that is not of pairs comes to its end, and shows what such a model is chosen by.
#[test]
fn an_evaluation_that_is_not_of_pairs_is_compared_too() {
    let place = place();
    let synth = ["data", "synth", "--identities", "6", "--images", "4", "--size", "20"];
    place.facegrad(&[&synth[..], &["--first-identity", "1000", "--out", "faces"]].concat()).done();
    let list = |images: std::ops::Range<usize>| -> String {
        let line = |person, image| format!("{person:06}/{image:04}.png\t{person:06}\n");
        (1000..1006).flat_map(|person| images.clone().map(move |image| line(person, image))).collect()
    };
    place.write("gallery.tsv", list(0..1));
    place.write("probes.tsv", list(1..4));
    let lists = "gallery = \"gallery.tsv\"\nprobes = \"probes.tsv\"\nimages = \"faces\"\n";
    for name in ["cos", "soft"] {
        let text = place.text(&format!("{name}.toml"));
        let (before, _) = text.split_once("[[evaluation]]").unwrap();
        let search = format!("{before}[[evaluation]]\nkind = \"identification\"\n{lists}");
        place.write(&format!("{name}.toml"), search);
    }
    let command = ["compare", "cos.toml", "soft.toml", "--steps", "4", "--seeds", "1,2", "--out", "out"];
    let ended = place.facegrad(&command).done();
    assert!(ended.stdout.contains("rank-1 rate") && ended.stdout.contains("mAP"), "{ended}");
    let table = json(&place, "out/compare.json");
    assert_eq!((&table["runs_over"], &table["runs"]), (&4.into(), &4.into()));
    for row in table["rows"].as_array().unwrap() {
        let rank_1 = |run: usize| {
            row["runs"][run]["result"]["closed_set"]["ranks"][0]["measured"]["value"].as_f64().unwrap()
        };
        assert_eq!(row["accuracy"]["name"], "rank-1 rate");
        let mean = row["accuracy"]["mean"].as_f64().unwrap();
        assert!((mean - (rank_1(0) + rank_1(1)) / 2.0).abs() < 1e-12, "{row}");
    }
    assert!(place.text("out/compare.html").contains("mAP"));
    // All of it is done.
    let again = place.facegrad(&command).done();
    assert!(!again.stderr.contains(" goes on"), "{again}");
}
