//! Every loss from its config file, through training, checkpoints and evaluation.

mod support;

use std::path::{Path, PathBuf};

use support::{Place, TINY};

/// The configs that ship with the program.
fn configs() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/losses");
    let mut paths: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// Changes that make such a config a matter of a second: few, small images.
const SMALL: [&str; 8] = [
    "run.steps=4",
    "run.batch=16",
    "run.log_every=2",
    "run.folder=runs",
    "data.size=[32, 32]",
    "data.train.identities=12",
    "evaluation.0.pairs_per_fold=4",
    "evaluation.0.source.identities=40",
];

#[test]
fn every_config_trains_logs_its_measures_and_goes_on_from_a_checkpoint() {
    let configs = configs();
    assert!(configs.len() >= 20, "{}", configs.len());
    let kinds: Vec<_> = facegrad::losses::HeadConfig::kinds();
    for kind in kinds.iter().filter(|kind| **kind != "center") {
        let named = |(_, text): &(String, String)| text.contains(&format!("kind = \"{kind}\""));
        assert!(configs.iter().any(named), "no config in configs/losses shows {kind}");
    }
    let workers = std::thread::available_parallelism().map_or(2, |n| n.get());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((name, text)) =
                    configs.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    check(name, text);
                }
            });
        }
    });
}

/// Trains four steps at once, and two and two with a checkpoint between: the same weights and the same log.
fn check(name: &str, text: &str) {
    let place = Place::new();
    place.write("loss.toml", text);
    let train = |more: &[&str]| {
        let changes: Vec<&str> = SMALL.iter().chain(more).copied().collect();
        place.facegrad(&support::train("loss.toml", &changes))
    };
    train(&["run.checkpoint_every=2"]).done();
    let run = format!("runs/{name}");
    let step = place.events(&run, "step").pop().unwrap();
    assert!(step["loss"].as_f64().unwrap().is_finite() && step["step"] == 4, "{name}: {step}");
    let measures = place.text(&format!("{run}/metrics.csv"));
    let columns: Vec<&str> = measures.lines().next().unwrap().split(',').collect();
    // Beside step, epoch, loss, learning rate, gradient norm, speed and waiting.
    assert!(columns.len() > 7, "{name} tells nothing of itself: {columns:?}");
    for column in &columns {
        assert!(step[column].as_f64().is_some_and(f64::is_finite), "{name}: {column} of {step}");
    }

    // Back to the checkpoint in the middle.
    place.copy(&run, "again");
    std::fs::remove_dir_all(place.path("again/checkpoint-000004")).unwrap();
    place.write("again/last", "checkpoint-000002\n");
    place.facegrad(&["train", "--resume", "again"]).done();
    assert!(place.weights(&run) == place.weights("again"), "{name}: the weights differ after a resume");
    assert_eq!(place.metrics(&run), place.metrics("again"), "{name}");
    let auxiliary = |run: &str| {
        let path = place.path(&format!("{run}/checkpoint-000004/auxiliary.safetensors"));
        std::fs::read(path).ok()
    };
    assert_eq!(auxiliary(&run), auxiliary("again"), "{name}");
    assert_eq!(auxiliary(&run).is_some(), text.contains("[[auxiliary]]"), "{name}");
}

#[test]
fn penalties_are_for_the_parameters_that_a_pattern_picks() {
    let place = Place::new();
    let penalised = |pattern: &str| {
        let penalty =
            format!("[[regularisation]]\nkind = \"l2\"\nweight = 0.01\nparameters = \"{pattern}\"\n");
        place.write("penalty.toml", format!("{TINY}\n{penalty}"));
        place.facegrad(&support::train("penalty.toml", &["run.steps=2", "run.log_every=1"]))
    };
    penalised("^head").done();
    let step = &place.events("runs/tiny", "step")[1];
    let number = |name: &str| step[name].as_f64().unwrap_or_else(|| panic!("{name} in {step}"));
    assert!(number("l2_penalty") > 0.0);
    let sum = number("head_loss") + number("l2_penalty");
    assert!((number("loss") - sum).abs() < 1e-4 * sum, "{step}");
    let said = penalised("^tail").refused(2);
    let sentence =
        "regularisation.0.parameters matches no parameter of the model; their names go from backbone.";
    assert!(said.starts_with(sentence) && said.contains(" to head."), "{said}");
}

#[test]
fn embeddings_that_were_trained_by_distance_are_compared_by_distance() {
    let place = Place::new();
    let contrastive = "kind = \"contrastive\"\nembeddings = \"raw\"\n\n[sampler]\nkind = \"pk\"\nimages = 4";
    place.write("raw.toml", TINY.replace("kind = \"cosface\"\nscale = 16.0\nmargin = 0.1", contrastive));
    let ended = place.facegrad(&support::train("raw.toml", &["run.steps=3", "run.log_every=1"])).done();
    assert!(ended.stdout.contains("loss contrastive"), "{ended}");
    let evaluation = &place.events("runs/tiny", "evaluation")[1];
    assert_eq!(evaluation["result"]["score"], "euclidean", "{evaluation}");
    assert!(place.text("runs/tiny/report.html").contains("euclidean"));
}
