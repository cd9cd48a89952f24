//! `[sampler]`: batches of identities, for losses on pairs.

mod support;

use support::{Place, TINY};

/// Passes over the identities and over their images end within batches, which are of 4 identities x 4 images.
const CHANGES: [&str; 8] = [
    "sampler.kind=pk",
    "data.train.identities=18",
    "data.train.images=7",
    "run.steps=10",
    "run.log_every=1",
    "run.evaluate_every=10",
    "run.checkpoint_every=3",
    "run.keep=4",
];

#[test]
fn a_run_in_batches_of_identities_resumes_to_the_same_weights() {
    let place = Place::new();
    let ended = place.train(&CHANGES).done();
    let sampler = "pk, 4 identities x 4 images a batch";
    let data = format!("data     126 images of 18 identities\nsampler  {sampler}\n");
    // As long as with any sampler: 126 images make 7 batches of 16.
    assert!(ended.stdout.contains(&data) && ended.stdout.contains(", 10 steps, 7 an epoch\n"), "{ended}");
    let start = place.events("runs/tiny", "start").pop().unwrap();
    assert_eq!(start["sampler"], sampler, "{start}");
    let config = place.text("runs/tiny/config.toml");
    assert!(config.contains("[sampler]\nkind = \"pk\"\nimages = 4\n"), "{config}");

    // From within the first epoch, at its end, and within the second: the loss of every step is as it was.
    for step in [3, 6, 9] {
        let again = Place::new();
        again.copy(place.path("runs").to_str().unwrap(), "runs");
        let ended =
            again.facegrad(&["train", "--resume", &format!("runs/tiny/checkpoint-00000{step}")]).done();
        assert!(ended.stdout.contains(&format!(", continued after step {step}\n")), "{ended}");
        assert_eq!(again.metrics("runs/tiny"), place.metrics("runs/tiny"), "from step {step}");
        assert!(again.weights("runs/tiny") == place.weights("runs/tiny"), "from step {step}");
    }

    // Other threads change nothing, another order does.
    let trained = |change: &str| {
        let place = Place::new();
        place.train(&[&CHANGES[..], &[change]].concat()).done();
        (place.metrics("runs/tiny"), place.weights("runs/tiny"))
    };
    let reference = (place.metrics("runs/tiny"), place.weights("runs/tiny"));
    assert!(trained("data.loader.workers=3") == reference);
    for other in ["sampler.kind=random", "sampler.images=2"] {
        assert_ne!(trained(other).0, reference.0, "{other}");
    }
}

#[test]
fn batches_that_cannot_be_made_are_refused() {
    let place = Place::new();
    let refused = |config: &str, changes: &[&str]| {
        place.write("wrong.toml", config);
        place.facegrad(&support::train("wrong.toml", changes)).refused(2)
    };
    let pk = TINY.replace("[head]", "[sampler]\nkind = \"pk\"\n\n[head]");
    let of_random = TINY.replace("[head]", "[sampler]\nkind = \"random\"\nimages = 4\n\n[head]");
    for (config, changes, sentence) in [
        (
            &pk,
            &["run.batch=30"][..],
            "wrong.toml: run.batch is 30; with sampler.images = 4 it must be a multiple of 4, at least 8, such as 28 or 32",
        ),
        (
            &pk,
            &["run.batch=4"],
            "wrong.toml: run.batch is 4; with sampler.images = 4 it must be a multiple of 4, at least 8, such as 8",
        ),
        (&pk, &["sampler.images=1"], "wrong.toml: sampler.images is 1; it must be 2 or more"),
        (
            &of_random,
            &[],
            "wrong.toml: sampler.images has no effect with sampler.kind = \"random\"; it belongs to pk",
        ),
        (
            &pk,
            &["sampler.kind=pairs"],
            "wrong.toml: sampler.kind is \"pairs\"; it must be one of random, pk, class_balanced, square_root",
        ),
        (
            &pk,
            &["data.train.identities=3", "data.train.images=20"],
            "the data set has 3 of the 4 identities with at least 2 images that a batch takes with run.batch = 16 and sampler.images = 4; run.batch = 12 or sampler.images = 8 would work",
        ),
        (
            &pk,
            &["data.train.images=1"],
            "the data set has 0 of the 4 identities with at least 2 images that a batch takes with run.batch = 16 and sampler.images = 4; it needs data with more images an identity, or sampler.kind = \"random\" with a loss that compares no pairs, such as head.kind = \"arcface\"",
        ),
    ] {
        assert_eq!(refused(config, changes), sentence);
    }
    assert!(!place.path("runs").exists(), "a run that could not begin left something");
}

#[test]
fn samplers_are_explained() {
    let place = Place::new();
    let explain = |topic: &str| place.facegrad(&["explain", topic]).done().stdout;
    assert!(place.facegrad(&["explain"]).done().stdout.contains("[sampler]"));
    let sampler = explain("sampler");
    assert!(sampler.contains("random") && sampler.contains("Batches of P identities"), "{sampler}");
    assert!(explain("pk").contains("  images: whole number, 2 or more, default 4\n"));
    assert!(explain("sampler.images").contains("sampler.kind = \"pk\""));
}
