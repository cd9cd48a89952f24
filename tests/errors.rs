//! What is wrong is told in one sentence, before anything is trained or written: each is in
//! `tests/golden/errors.txt`.

mod support;

use support::{Place, TINY, transcript::Transcript};

/// Lists that grow with the program become their names: a new head is no change of what is said here.
fn without_lists(sentence: &str) -> String {
    let activations: Vec<_> = facegrad::backbones::Activation::ALL.iter().map(|kind| kind.as_str()).collect();
    let lists = [
        (facegrad::losses::HeadConfig::kinds().join(", "), "HEADS"),
        (facegrad::losses::CriterionConfig::KINDS.join(", "), "CRITERIA"),
        (activations.join(", "), "ACTIVATIONS"),
        (facegrad::backbones::BackboneConfig::KINDS.join(", "), "BACKBONES"),
        (facegrad::recognition::EvaluationConfig::KINDS.join(", "), "PROTOCOLS"),
    ];
    let text = lists.iter().fold(sentence.to_owned(), |text, (list, name)| text.replace(list, name));
    match text.split_once("it belongs to ") {
        Some((before, kinds)) if kinds.contains(", ") => format!("{before}it belongs to KINDS"),
        _ => text,
    }
}

/// Values for `--set` on the tiny config.
const OVERRIDES: &[&str] = &[
    // Keys that are not there.
    "head.margn=0.3",
    "hed.kind=arcface",
    "run.epoch=3",
    "backbone.depth=3",
    // Keys without effect.
    "head.fallback=linear",
    "optimizer.beta1=0.9",
    "data.train.path=faces",
    "evaluation.0.images=faces",
    // Types.
    "run.batch=\"many\"",
    "run.batch=2.5",
    "run.log_every=1979-05-27",
    "run.folder=3",
    "run.select_by=true",
    "run.seed.x=2",
    "run=3",
    "head=\"arcface\"",
    "head.kind=3",
    "head.margin=wide",
    "optimizer.nesterov=yes",
    "data.size=64",
    "data.size=[64, 64, 3]",
    "data.size=[20, 20.5]",
    "evaluation=3",
    "evaluation=[3]",
    "run.evaluate_every=2 days",
    // Numbers that are none, or out of range.
    "run.checkpoint_every=0",
    "run.evaluate_every=-1 epochs",
    "head.margin=inf",
    "optimizer.learning_rate=nan",
    "run.seed=-1",
    "run.batch=-5",
    "run.batch=1",
    "run.steps=0",
    "run.keep=0",
    "head.margin=1.5",
    "head.scale=0",
    "backbone.width=100",
    "backbone.embedding=0",
    "optimizer.learning_rate=0",
    "optimizer.clip_norm=-1",
    "augmentation.flip=1.5",
    "data.size=[8, 8]",
    "data.loader.workers=100000000",
    "data.loader.max_bad_share=2",
    "data.train.identities=0",
    "evaluation.0.folds=1",
    // Words.
    "head.kind=arcfaec",
    "schedule.kind=linear",
    "criterion.kind=focus",
    "backbone.activation=gelu",
    "evaluation.0.flip=both",
    // Kinds that are not given.
    "schedule.warmup=0.1",
    "head.margin={from=0.0, to=0.1}",
    "data.train.kind=folder",
    "evaluation.0.kind=pair_file",
    // Keys that do not go together.
    "run.select_by=other",
    "run.name=../elsewhere",
    // Losses that do not go together with the rest.
    "head.kind=triplet",
    "head.kind=center",
    "head.scale=-5",
    // Entries of lists.
    "evaluation.1.folds=3",
    "evaluation.folds=3",
];

/// Changes of the text of the tiny config.
const TEXTS: &[(&str, &str)] = &[
    ("steps = 40", ""),
    ("steps = 40", "steps = 40\nepochs = 2"),
    ("kind = \"cosface\"", ""),
    ("kind = \"nano\"", "kind = \"nanno\""),
    ("margin = 0.1", "margin = \"0.1\""),
    ("margin = 0.1", "margins = 0.1"),
    ("[augmentation]", "[augmentations]"),
    ("[augmentation]", "[augmentation.shift]"),
    ("[[evaluation]]", "[evaluation]"),
    ("kind = \"cosface\"\nscale = 16.0\nmargin = 0.1", "kind = \"a_softmax\"\nmargin = 1.5"),
    ("kind = \"cosface\"\nscale = 16.0\nmargin = 0.1", "kind = \"triplet\"\nmining = \"hardest\""),
    (
        "kind = \"cosface\"\nscale = 16.0\nmargin = 0.1",
        "kind = \"triplet\"\n[sampler]\nkind = \"pk\"\n[[auxiliary]]\nkind = \"center\"",
    ),
    (
        "kind = \"cosface\"\nscale = 16.0\nmargin = 0.1",
        "kind = \"supcon\"\n[sampler]\nkind = \"pk\"\n[criterion]\nkind = \"focal\"",
    ),
    ("[augmentation]", "[[auxiliary]]\nkind = \"contrastive\"\n[augmentation]"),
    ("[augmentation]", "[[auxiliary]]\nkind = \"center\"\nweight = -1\n[augmentation]"),
    ("name = \"unseen\"", "name = 1"),
    ("folder = \"runs\"", "folder = \"${FACEGRAD_UNSET}/runs\""),
    (
        "first_identity = 1000",
        "first_identity = 1000\n[[evaluation]]\nkind = \"drawn_pairs\"\nname = \"unseen\"",
    ),
];

#[test]
fn sentences() {
    let place = Place::new();
    let mut errors = Transcript::new(&place, without_lists);
    configs(&place, &mut errors);
    files(&place, &mut errors);
    sets(&place, &mut errors);
    assert!(!place.path("runs").exists(), "a refused config left something");
    models(&place, &mut errors);
    comparisons(&place, &mut errors);
    assert!(!place.path("checkpoints").exists(), "a refused comparison left something");
    data(&place, &mut errors);
    errors.is("errors.txt");
}

fn configs(place: &Place, errors: &mut Transcript) {
    errors.about("One key of a config");
    for change in OVERRIDES {
        errors.refuse(&["train", "tiny.toml", "--set", change]);
    }
    errors.about("Two keys that only go wrong together, in whatever order they are given");
    for [one, other] in [
        ["run.steps=3", "run.epochs=2"],
        ["optimizer.nesterov=true", "optimizer.momentum=0.0"],
        ["optimizer.decay_all=true", "optimizer.weight_decay=0"],
    ] {
        for [one, other] in [[one, other], [other, one]] {
            errors.refuse(&["train", "tiny.toml", "--set", one, "--set", other]);
        }
    }
    for malformed in ["=3", "run..seed=2", ".seed=2", "run.seed"] {
        errors.refuse(&["train", "tiny.toml", "--set", malformed]);
    }
    errors.about("The text of a config");
    for (from, to) in TEXTS {
        assert!(TINY.contains(from), "{from}");
        place.write("wrong.toml", TINY.replacen(*from, to, 1));
        errors.about_change(from, to).refuse(&["train", "wrong.toml"]);
    }
}

fn files(place: &Place, errors: &mut Transcript) {
    errors.about("What is no config");
    place.write("folder/file", "");
    place.write("huge.toml", vec![b'#'; (1 << 20) + 1]);
    place.write("binary.toml", b"[run]\nname = \"\xff\xfe\"\n");
    place.write("empty.toml", "");
    for config in ["absent.toml", "folder", "huge.toml", "binary.toml", "empty.toml"] {
        errors.refuse(&["train", config]);
    }
    for (from, to) in [
        ("batch = 16", "batch = "),
        ("batch = 16", "batch 16"),
        ("batch = 16", "steps = 40"),
        ("[head]", "[head"),
        ("[head]", "[backbone]"),
        ("name = \"tiny\"", "name = \"tiny"),
    ] {
        place.write("broken.toml", TINY.replacen(from, to, 1));
        errors.about_change(from, to).refuse(&["train", "broken.toml"]);
    }
}

/// Training data and evaluations that cannot be used.
fn sets(place: &Place, errors: &mut Transcript) {
    errors.about("What cannot be trained or evaluated on");
    let synth = ["data", "synth", "--identities", "3", "--images", "6", "--size", "20", "--out", "faces"];
    place.facegrad(&synth).done();
    place.write("file", "");
    place.write("none/note.txt", "no image");
    place.copy("faces/000000", "one/000000");
    place.write("pairs.txt", "1\na\t1\t2\na\t1\tb\t1\n");
    place.write("words.txt", "not a pair file\n");
    let synthetic = "kind = \"synthetic\"\nidentities = 20\nimages = 8\nsize = 20";
    for path in ["absent", "file", "none", "one"] {
        let to = format!("kind = \"folder\"\npath = \"{path}\"");
        place.write("wrong.toml", TINY.replace(synthetic, &to));
        errors.about_change("the set", &to).refuse(&["train", "wrong.toml"]);
    }
    let small = [
        ("data.train.identities=1", "run.batch=4"),
        ("data.train.identities=2", "run.batch=19"),
        ("data.size=[16, 16]", "run.batch=16"),
        ("evaluation.0.pairs_per_fold=1000", "run.batch=16"),
    ];
    for (one, other) in small {
        errors.refuse(&["train", "tiny.toml", "--set", one, "--set", other]);
    }
    let (before, _) = TINY.split_once("[[evaluation]]").unwrap();
    for (pairs, images) in
        [("absent.txt", "faces"), ("words.txt", "faces"), ("pairs.txt", "faces"), ("pairs.txt", "absent")]
    {
        let to =
            format!("[[evaluation]]\nkind = \"pair_file\"\npairs = \"{pairs}\"\nimages = \"{images}\"\n");
        place.write("wrong.toml", format!("{before}{to}"));
        errors.about_change("[[evaluation]]", &to).refuse(&["train", "wrong.toml"]);
    }
    errors.refuse(&["train", "tiny.toml", "--adapter", "llvmpipe"]);
}

/// What verbs that take a model, or embeddings, refuse.
fn models(place: &Place, errors: &mut Transcript) {
    errors.about("Measuring and using a model");
    place.train(&["run.steps=2", "run.folder=trained"]).done();
    let model = "trained/tiny";
    let pairs = ["--pairs", "pairs.txt", "--images", "faces"];
    for arguments in [
        &["--protocol", "lwf:pairs=x"][..],
        &["--protocol", "pairs:pears=pairs.txt,images=faces"],
        &["--protocol", "pairs:pairs"],
        &["--protocol", "pairs:images=faces"],
        &["--protocol", "all_pairs"],
        &["--protocol", "blufr:lists=nowhere,images=faces"],
        &["--protocol", "ijb:folder=nowhere"],
        &["--protocol", "cfp:folder=nowhere"],
        &["--bin", "pairs.txt"],
        &["--protocol", "blufr:lists=x,images=faces", "--centring", "other_folds"],
        &[pairs[0], pairs[1], pairs[2], pairs[3], "--flip", "sideways"],
        &[pairs[0], pairs[1], pairs[2], pairs[3], "--whiten-on", "absent.npz"],
        &["--pairs", "absent.txt", "--images", "faces"],
    ] {
        errors.refuse(&[&["eval", model], arguments].concat());
    }
    for arguments in [
        &["--at", "far=1e-3"][..],
        &["--at", "far=0.1,eer,far=1e-1"],
        &["--centring", "other_folds"],
        &["--pairs", "absent.txt", "--images", "faces"],
    ] {
        errors.refuse(&[&["calibrate", model], arguments].concat());
    }
    let image = "faces/000000/0000.png";
    place.write("cut.png", &place.read(image)[..100]);
    place.write("text.png", "to whom it may concern");
    place.write("list.txt", "a.jpg Ada\na.jpg Bob\n");
    for arguments in [
        &["show", "absent"][..],
        &["eval", "absent"],
        &["calibrate", "absent"],
        &["verify", image, image, "--model", model],
        &["verify", image, image, "--model", "absent"],
        &["identify", "gone", image, "--model", model],
        &["identify", "faces", "absent.png", "--model", model],
        &["identify", "faces", "cut.png", "--model", model],
        &["identify", "faces", "text.png", "--model", model],
        &["embed", "faces", "--model", model, "--out", "e.txt"],
        &["embed", "gone", "--model", model, "--out", "e.npz"],
        &["embed", "none", "--model", model, "--out", "e.npz"],
        &["embed", "list.txt", "--model", model, "--out", "e.npz"],
        &["embed", "faces", "faces/000000", "--model", model, "--out", "e.npz"],
        &["embed", "faces/000000", "faces/000001", "--model", model, "--out", "e.npz"],
    ] {
        errors.refuse(arguments);
    }
}

fn comparisons(place: &Place, errors: &mut Transcript) {
    errors.about("What cannot be compared");
    place.write("other/tiny.toml", TINY);
    place.write("a+b.toml", TINY);
    let (before, _) = TINY.split_once("[[evaluation]]").unwrap();
    place.write("blind.toml", before.replace("evaluate_every = 20\n", ""));
    for arguments in [
        &["tiny.toml", "other/tiny.toml"][..],
        &["a+b.toml"],
        &["tiny.toml", "--set", "run.seed=3"],
        &["tiny.toml", "--eval", "lfw"],
        &["tiny.toml", "blind.toml"],
        &["tiny.toml", "--seeds", "2,1"],
    ] {
        errors.refuse(&[&["compare"], arguments, &["--steps", "5", "--seeds", "1"]].concat());
    }
}

fn data(place: &Place, errors: &mut Transcript) {
    errors.about("Making, converting and checking data");
    place.write("wrong.csv", "000000/0000.png,1,2\n");
    place.write("mine/notes.txt", "mine");
    place.write("gif/000000/0000.png", "GIF89a");
    for arguments in [
        &["data", "convert", "nothing", "a.rec"][..],
        &["data", "convert", "faces", "a"],
        &["data", "convert", "faces", "a.rec", "--to", "folder"],
        &["data", "convert", "faces", "faces", "--to", "folder"],
        &["data", "convert", "faces", "a.rec", "--set", "min_image=2"],
        &["data", "convert", "gif", "a.rec"],
        &["data", "pairs", "nowhere", "--out", "p.csv"],
        &["data", "pairs", "faces", "--folds", "9", "--out", "p.csv"],
        &["data", "show", "lwf"],
        &["data", "fetch", "lwf"],
        &["data", "audit", "nowhere"],
        &["data", "audit", "faces", "--against", "nowhere"],
        &["data", "audit", "faces", "--set", "min_image=2"],
        &["data", "audit", "faces", "--embeddings", "none.npz"],
        &["align", "faces", "mine", "--landmarks", "wrong.csv"],
        &["align", "faces", "faces/out", "--landmarks", "wrong.csv"],
        &["align", "nothing", "out", "--landmarks", "wrong.csv"],
        &["align", "faces", "out", "--landmarks", "wrong.csv"],
        &["align", "faces", "out", "--detector-weights", "faces"],
        &["explain", "arcfaec"],
        &["bench", "train", "--backbone", "resnet"],
    ] {
        errors.refuse(arguments);
    }
}

#[test]
fn a_wrong_command_line_is_told_what_would_be_right() {
    let place = Place::new();
    let wrong: [(&[&str], &str); 5] = [
        (&["train"], "required arguments were not provided"),
        (&["train", "tiny.toml", "--resume", "runs/tiny"], "cannot be used with"),
        (&["train", "tiny.toml", "--backend", "quantum"], "expected one of flex, ndarray, wgpu"),
        (&["train", "tiny.toml", "--stes", "a=b"], "tip: "),
        (&["trian", "tiny.toml"], "tip: a similar subcommand exists: 'train'"),
    ];
    for (arguments, part) in wrong {
        let ended = place.facegrad(arguments).code(2);
        assert!(ended.stdout.is_empty() && ended.stderr.starts_with("error: "), "{ended}");
        assert!(ended.stderr.contains(part), "{ended}");
    }
}
