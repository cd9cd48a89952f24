//! What is wrong with a config is told in one sentence, before anything is trained or written.

mod support;

use support::{Place, TINY};

/// A sentence with the lists of names in it.
fn whole(sentence: &str) -> String {
    sentence
        .replace("{heads}", &facegrad_losses::HeadConfig::kinds().join(", "))
        .replace("{criteria}", &facegrad_losses::CriterionConfig::KINDS.join(", "))
        .replace("{activations}", &activations().join(", "))
}

fn activations() -> Vec<&'static str> {
    facegrad_backbones::Activation::ALL.iter().map(|kind| kind.as_str()).collect()
}

/// Values for `--set` on the tiny config, and the whole sentence after the name of the file.
const OVERRIDES: &[(&str, &str)] = &[
    // Keys that are not there.
    ("head.margn=0.3", "head.margn is not a key of this section; did you mean head.margin?"),
    ("hed.kind=arcface", "hed is not a key of this section; did you mean head?"),
    ("run.epoch=3", "run.epoch is not a key of this section; did you mean run.epochs?"),
    (
        "backbone.depth=3",
        "backbone.depth is not a key of this section; the keys are embedding, activation, dropout, width, stem_stride",
    ),
    // Keys without effect.
    (
        "head.fallback=linear",
        "head.fallback has no effect with head.kind = \"cosface\"; it belongs to arcface, combined_margin, elasticface, magface, subcenter_arcface",
    ),
    (
        "optimizer.beta1=0.9",
        "optimizer.beta1 has no effect with optimizer.kind = \"sgd\"; it belongs to adamw",
    ),
    (
        "data.train.path=faces",
        "data.train.path has no effect with data.train.kind = \"synthetic\"; it belongs to recordio, webdataset, \
         list, parquet, mnist, insightface_bin, folder",
    ),
    (
        "evaluation.0.images=faces",
        "evaluation.0.images has no effect with evaluation.0.kind = \"drawn_pairs\"; it belongs to pair_file, identification, blufr",
    ),
    // Types.
    ("run.batch=\"many\"", "run.batch is the text \"many\"; it must be a whole number, 2 or more"),
    ("run.batch=2.5", "run.batch is 2.5; it must be a whole number, 2 or more"),
    (
        "run.log_every=1979-05-27",
        "run.log_every is the date 1979-05-27; it must be a whole number, 1 or more",
    ),
    ("run.folder=3", "run.folder is 3; it must be a path in quotes"),
    ("run.select_by=true", "run.select_by is true; it must be text in quotes"),
    ("run.seed.x=2", "run.seed is a table; it must be a whole number"),
    ("run=3", "run is 3; it must be a table, written [run]"),
    (
        "head=\"arcface\"",
        "head is the text \"arcface\"; it must be a table, written [head], with the key kind",
    ),
    ("head.kind=3", "head.kind is 3; it must be one of {heads}"),
    (
        "head.margin=wide",
        "head.margin is the text \"wide\"; it must be a number from 0 to 1, or a schedule such as { kind = \"linear\", from = 0.0, to = 0.5, until = 0.25 }",
    ),
    ("optimizer.nesterov=yes", "optimizer.nesterov is the text \"yes\"; it must be true or false"),
    ("data.size=64", "data.size is 64; it must be a list of two values"),
    ("data.size=[64, 64, 3]", "data.size is a list; it must be a list of two values"),
    ("data.size=[20, 20.5]", "data.size.1 is 20.5; it must be a whole number from 16 to 1024"),
    ("evaluation=3", "evaluation is 3; it must be a list"),
    ("evaluation=[3]", "evaluation.0 is 3; it must be a table, written [evaluation.0], with the key kind"),
    (
        "run.evaluate_every=2 days",
        "run.evaluate_every is the text \"2 days\"; it must be a whole number of steps, or epochs as in \"2 epochs\"",
    ),
    // Numbers that are none, or out of range.
    ("run.checkpoint_every=0", "run.checkpoint_every is 0; it must be more than 0"),
    ("run.evaluate_every=-1 epochs", "run.evaluate_every is -1; it must be more than 0"),
    ("head.margin=inf", "head.margin is inf; it must be a finite number from 0 to 1"),
    (
        "optimizer.learning_rate=nan",
        "optimizer.learning_rate is NaN; it must be a finite number, more than 0 and at most 100",
    ),
    ("run.seed=-1", "run.seed is -1; it must be a whole number, 0 or more"),
    ("run.batch=-5", "run.batch is -5; it must be a whole number, 2 or more"),
    ("run.batch=1", "run.batch is 1; it must be 2 or more"),
    ("run.steps=0", "run.steps is 0; it must be 1 or more"),
    ("run.keep=0", "run.keep is 0; it must be 1 or more"),
    ("head.margin=1.5", "head.margin is 1.5; it must be from 0 to 1"),
    ("head.scale=0", "head.scale is 0; it must be more than 0 and at most 1000"),
    ("backbone.width=100", "backbone.width is 100; it must be from 0.25 to 8"),
    ("backbone.embedding=0", "backbone.embedding is 0; it must be from 1 to 65536"),
    ("optimizer.learning_rate=0", "optimizer.learning_rate is 0; it must be more than 0 and at most 100"),
    ("optimizer.clip_norm=-1", "optimizer.clip_norm is -1; it must be more than 0"),
    ("augmentation.flip=1.5", "augmentation.flip is 1.5; it must be from 0 to 1"),
    ("data.size=[8, 8]", "data.size.0 is 8; it must be from 16 to 1024"),
    ("data.loader.workers=100000000", "data.loader.workers is 100000000; it must be from 0 to 1024"),
    ("data.loader.max_bad_share=2", "data.loader.max_bad_share is 2; it must be from 0 to 1"),
    ("data.train.identities=0", "data.train.identities is 0; it must be from 1 to 10000000"),
    ("evaluation.0.folds=1", "evaluation.0.folds is 1; it must be from 2 to 1000"),
    // Words.
    ("head.kind=arcfaec", "head.kind is \"arcfaec\"; it must be one of {heads}; did you mean \"arcface\"?"),
    (
        "schedule.kind=linear",
        "schedule.kind is \"linear\"; it must be one of cosine, polynomial, step, constant",
    ),
    (
        "criterion.kind=focus",
        "criterion.kind is \"focus\"; it must be one of {criteria}; did you mean \"focal\"?",
    ),
    (
        "backbone.activation=gelu",
        "backbone.activation is \"gelu\"; it must be one of {activations}; did you mean \"relu\"?",
    ),
    (
        "evaluation.0.flip=both",
        "evaluation.0.flip is \"both\"; it must be one of none, add, norm_weighted, unit, concat",
    ),
    // Kinds that are not given.
    ("schedule.warmup=0.1", "schedule.kind is missing; it is one of cosine, polynomial, step, constant"),
    ("head.margin={from=0.0, to=0.1}", "head.margin.kind is missing; it is one of linear, cosine, lambda"),
    (
        "data.train.kind=folder",
        "data.train.path is missing; it is the folder that holds one folder of images an identity",
    ),
    ("evaluation.0.kind=pair_file", "evaluation.0.pairs is missing; it is the path of the pair file"),
    // Keys that do not go together.
    (
        "run.select_by=other",
        "run.select_by is \"other\", which no [[evaluation]] is called; there are: unseen",
    ),
    (
        "run.name=../elsewhere",
        "run.name is \"../elsewhere\"; it names a folder, so it must be letters, digits, '-', '_', '.' and spaces",
    ),
    // Losses that do not go together with the rest.
    (
        "head.kind=triplet",
        "head.kind is \"triplet\", which compares images of one person with others, and sampler.kind = \"random\" seldom puts two of one person into a batch; add [sampler] with kind = \"pk\" and images = 4",
    ),
    (
        "head.kind=center",
        "head.kind is \"center\", which only pulls embeddings together; write it as [[auxiliary]] kind = \"center\" beside a head with classes, such as softmax",
    ),
    ("head.scale=-5", "head.scale is -5; it must be more than 0 and at most 1000"),
    // Entries of lists.
    ("evaluation.1.folds=3", "evaluation.1 names no entry of the list; it has 1, counted from 0"),
    ("evaluation.folds=3", "evaluation is not a table; name an entry of it, as in name.0.key"),
];

#[test]
fn each_wrong_value_has_its_sentence() {
    let place = Place::new();
    for (change, sentence) in OVERRIDES {
        let ended = place.train(&[*change]).code(2);
        // A kind that is changed leaves keys out, which is said before.
        let notes = ended.stderr.lines().filter(|line| line.starts_with("note: ")).count();
        assert_eq!(notes + 1, ended.stderr.lines().count(), "{ended}");
        assert_eq!(ended.stdout, "", "{ended}");
        assert_eq!(ended.sentence(), format!("tiny.toml: {}", whole(sentence)));
    }
    // Two changes that only go wrong together.
    let pairs = [
        ("run.steps=3", "run.epochs=2", "run.steps and run.epochs exclude each other; give one of them"),
        (
            "optimizer.nesterov=true",
            "optimizer.momentum=0.0",
            "optimizer.nesterov has no effect with optimizer.momentum = 0",
        ),
        (
            "optimizer.decay_all=true",
            "optimizer.weight_decay=0",
            "optimizer.decay_all has no effect with optimizer.weight_decay = 0",
        ),
    ];
    for (one, other, sentence) in pairs {
        assert_eq!(place.train(&[one, other]).refused(2), format!("tiny.toml: {sentence}"));
        assert_eq!(place.train(&[other, one]).refused(2), format!("tiny.toml: {sentence}"));
    }
    for malformed in ["=3", "run..seed=2", ".seed=2"] {
        let sentence = place.train(&[malformed]).refused(2);
        assert_eq!(sentence, format!("--set {malformed} is not of the form section.key=value"));
    }
    let sentence = place.facegrad(&["train", "tiny.toml", "--set", "run.seed"]).refused(2);
    assert_eq!(sentence, "--set run.seed is not of the form section.key=value");
    assert!(!place.path("runs").exists(), "a refused config left something");
}

/// Changes of the text of the tiny config, and the whole sentence.
const TEXTS: &[(&str, &str, &str)] = &[
    ("steps = 40", "", "run.epochs is missing; say how long to train with run.epochs or run.steps"),
    ("steps = 40", "steps = 40\nepochs = 2", "run.steps and run.epochs exclude each other; give one of them"),
    ("kind = \"cosface\"", "", "head.kind is missing; it is one of {heads}"),
    (
        "kind = \"nano\"",
        "kind = \"nanno\"",
        "backbone.kind is \"nanno\"; it must be one of nano, iresnet18, iresnet34, iresnet50, iresnet100, iresnet200, mobilefacenet, mobilefacenet_mbf, sfnet4, sfnet10, sfnet20, sfnet36, sfnet64; did you mean \"nano\"?",
    ),
    (
        "margin = 0.1",
        "margin = \"0.1\"",
        "head.margin is the text \"0.1\"; it must be a number from 0 to 1, or a schedule such as { kind = \"linear\", from = 0.0, to = 0.5, until = 0.25 }",
    ),
    ("margin = 0.1", "margins = 0.1", "head.margins is not a key of this section; did you mean head.margin?"),
    (
        "[augmentation]",
        "[augmentations]",
        "augmentations is not a key of this section; did you mean augmentation?",
    ),
    (
        "[augmentation]",
        "[augmentation.shift]",
        "augmentation.shift is a table; it must be a finite number from 0 to 0.5",
    ),
    ("[[evaluation]]", "[evaluation]", "evaluation is a table; it must be a list"),
    (
        "kind = \"cosface\"\nscale = 16.0\nmargin = 0.1",
        "kind = \"a_softmax\"\nmargin = 1.5",
        "head.margin is 1.5; it must be a whole number from 1 to 4",
    ),
    (
        "kind = \"cosface\"\nscale = 16.0\nmargin = 0.1",
        "kind = \"triplet\"\nmining = \"hardest\"",
        "head.mining is \"hardest\"; it must be one of all, hard, semi_hard, distance_weighted; did you mean \"hard\"?",
    ),
    (
        "kind = \"cosface\"\nscale = 16.0\nmargin = 0.1",
        "kind = \"triplet\"\n[sampler]\nkind = \"pk\"\n[[auxiliary]]\nkind = \"center\"",
        "auxiliary.0.kind is \"center\", which needs a head with classes, such as softmax or arcface; head.kind is \"triplet\"",
    ),
    (
        "kind = \"cosface\"\nscale = 16.0\nmargin = 0.1",
        "kind = \"supcon\"\n[sampler]\nkind = \"pk\"\n[criterion]\nkind = \"focal\"",
        "criterion has no effect with head.kind = \"supcon\", which is a loss already; leave it out",
    ),
    (
        "[augmentation]",
        "[[auxiliary]]\nkind = \"contrastive\"\n[augmentation]",
        "auxiliary.0.kind is \"contrastive\", which compares images of one person with others, and sampler.kind = \"random\" seldom puts two of one person into a batch; add [sampler] with kind = \"pk\" and images = 4",
    ),
    (
        "[augmentation]",
        "[[auxiliary]]\nkind = \"center\"\nweight = -1\n[augmentation]",
        "auxiliary.0.weight is -1; it must be 0 or more",
    ),
    ("name = \"unseen\"", "name = 1", "evaluation.0.name is 1; it must be text in quotes"),
    (
        "folder = \"runs\"",
        "folder = \"${FACEGRAD_UNSET}/runs\"",
        "run.folder refers to the environment variable FACEGRAD_UNSET, which is not set; set it, or give the path with --set run.folder=PATH",
    ),
    (
        "first_identity = 1000",
        "first_identity = 1000\n[[evaluation]]\nkind = \"drawn_pairs\"\nname = \"unseen\"",
        "evaluation.1.name \"unseen\" is used twice; give each evaluation its own",
    ),
];

#[test]
fn each_wrong_text_has_its_sentence() {
    let place = Place::new();
    for (from, to, sentence) in TEXTS {
        assert!(TINY.contains(from), "{from}");
        place.write("wrong.toml", TINY.replacen(*from, to, 1));
        let said = place.facegrad(&["train", "wrong.toml"]).refused(2);
        assert_eq!(said, format!("wrong.toml: {}", whole(sentence)));
    }
}

#[test]
fn a_file_that_is_no_config_is_named() {
    let place = Place::new();
    place.write("folder/file", "");
    place.write("huge.toml", vec![b'#'; (1 << 20) + 1]);
    place.write("binary.toml", b"[run]\nname = \"\xff\xfe\"\n");
    place.write("empty.toml", "");
    let cases = [
        ("absent.toml", "cannot read the config absent.toml: "),
        ("folder", "cannot read the config folder: "),
        (
            "huge.toml",
            "cannot read the config huge.toml: it has 1048577 bytes, more than a config can have (1048576)",
        ),
        ("binary.toml", "cannot read the config binary.toml: "),
        (
            "empty.toml",
            "empty.toml: run.epochs is missing; say how long to train with run.epochs or run.steps",
        ),
    ];
    for (config, sentence) in cases {
        let said = place.facegrad(&["train", config]).refused(2);
        assert!(said.starts_with(sentence), "{said}");
    }
    // What the parser expected is its own words; the line is ours.
    let line_of = |text: &str| TINY.lines().position(|line| line == text).unwrap() + 1;
    let broken = [
        ("batch = 16", "batch = ", line_of("batch = 16")),
        ("batch = 16", "batch 16", line_of("batch = 16")),
        ("batch = 16", "steps = 40", line_of("batch = 16")),
        ("[head]", "[head", line_of("[head]")),
        ("[head]", "[backbone]", line_of("[head]")),
        ("name = \"tiny\"", "name = \"tiny", line_of("name = \"tiny\"")),
    ];
    for (from, to, line) in broken {
        place.write("broken.toml", TINY.replacen(from, to, 1));
        let said = place.facegrad(&["train", "broken.toml"]).refused(2);
        assert!(said.starts_with(&format!("broken.toml, line {line}: ")), "{to}: {said}");
        assert!(said.len() > "broken.toml, line 10: ".len(), "{said}");
    }
}

#[test]
fn data_that_cannot_be_used_is_named() {
    let place = Place::new();
    let synth = ["data", "synth", "--identities", "3", "--images", "6", "--size", "20", "--out", "faces"];
    place.facegrad(&synth).done();
    place.write("file", "");
    place.write("none/note.txt", "no image");
    place.copy("faces/000000", "one/000000");
    place.write("pairs.txt", "1\na\t1\t2\na\t1\tb\t1\n");
    place.write("words.txt", "not a pair file\n");
    let folder = |path: &str| {
        let train = format!("kind = \"folder\"\npath = \"{path}\"");
        TINY.replace("kind = \"synthetic\"\nidentities = 20\nimages = 8\nsize = 20", &train)
    };
    let pairs = |pairs: &str, images: &str| {
        let (before, _) = TINY.split_once("[[evaluation]]").unwrap();
        format!("{before}[[evaluation]]\nkind = \"pair_file\"\npairs = \"{pairs}\"\nimages = \"{images}\"\n")
    };
    let extensions = "jpg, jpeg, png, webp, bmp, pgm, ppm";
    let cases = [
        (folder("absent"), "the image folder absent does not exist".into()),
        (folder("file"), "file is not a folder; a folder that holds one folder of images per identity is expected".into()),
        (
            folder("none"),
            format!("none holds no images in folders of its own (0 images of 0 identities; left out: 1 junk file); one folder of images ({extensions}) per identity is expected"),
        ),
        (
            folder("one"),
            "one has 1 identity with at least 1 image (min_images); at least 2 are needed, and the largest has 6 images".into(),
        ),
        (
            folder("faces").replace("batch = 16", "batch = 19"),
            "the data set has 18 images, too few for one batch of 19; choose a smaller batch size".into(),
        ),
        (
            TINY.replace("identities = 20", "identities = 1").replace("batch = 16", "batch = 4"),
            "synthetic has 1 identity with at least 1 image (min_images); at least 2 are needed, and the largest has 8 images".into(),
        ),
        (
            TINY.replace("[20, 20]", "[16, 16]"),
            "backbone nano halves the image too often for 16x16 pixels (height x width); the smallest it takes is 17x17; change data.size or backbone.kind".into(),
        ),
        (
            TINY.replace("pairs_per_fold = 20", "pairs_per_fold = 1000"),
            "the images that fall to fold 0 (5 identities, 20 images) form only 30 genuine pairs, not 1000; ask for fewer folds or fewer pairs, or add images".into(),
        ),
        (pairs("absent.txt", "faces"), "cannot read the pair list absent.txt: ".into()),
        (
            pairs("words.txt", "faces"),
            "words.txt:1: expected a pair: two image paths and 0 or 1, or 0 or 1 and two image paths, and a fold if the list has folds, separated by tabs, commas or white space, found no more lines".into(),
        ),
        (
            pairs("pairs.txt", "faces"),
            "pairs.txt names a/a_0001, and faces has no such image (tried .jpg, .png and the like); 3 of its 3 images are missing".into(),
        ),
        (
            pairs("pairs.txt", "absent"),
            "pairs.txt names a/a_0001, and absent has no such image (tried .jpg, .png and the like); 3 of its 3 images are missing".into(),
        ),
    ];
    for (config, sentence) in cases {
        let sentence: String = sentence;
        place.write("wrong.toml", config);
        let said = place.facegrad(&["train", "wrong.toml"]).refused(2);
        // What the system says of a missing file is its own words.
        let fits = if sentence.ends_with(": ") { said.starts_with(&sentence) } else { said == sentence };
        assert!(fits, "{said}\nshould be\n{sentence}");
    }
    assert!(!place.path("runs").exists(), "a run that could not begin left something");
}

#[test]
fn a_wrong_command_line_is_told_what_would_be_right() {
    let place = Place::new();
    let wrong: [(&[&str], &str); 6] = [
        (&["train"], "required arguments were not provided"),
        (&["train", "tiny.toml", "--resume", "runs/tiny"], "cannot be used with"),
        (&["train", "--resume", "runs/tiny", "--set", "run.steps=3"], "cannot be used with"),
        (&["train", "tiny.toml", "--backend", "quantum"], "expected one of flex, ndarray, wgpu"),
        (&["train", "tiny.toml", "--stes", "a=b"], "tip: "),
        (&["trian", "tiny.toml"], "tip: a similar subcommand exists: 'train'"),
    ];
    for (arguments, part) in wrong {
        let ended = place.facegrad(arguments).code(2);
        assert!(ended.stdout.is_empty() && ended.stderr.starts_with("error: "), "{ended}");
        assert!(ended.stderr.contains(part), "{ended}");
    }
    let sentence = place.facegrad(&["train", "tiny.toml", "--adapter", "llvmpipe"]).refused(2);
    let expected = "--adapter \"llvmpipe\" has no effect with --backend flex; it belongs to --backend wgpu";
    assert_eq!(sentence, expected);
}
