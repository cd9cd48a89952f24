//! `facegrad calibrate` and `facegrad verify`: thresholds in the model file, and what they are used for.

mod support;

use std::{
    fs,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use facegrad_random::{Purpose, Stream};
use serde_json::Value;
use support::{Ended, FACEGRAD, Place, TINY};

/// The lowest false-accept rate that the pairs of [`lab`] are enough for is 0.1.
const POINT: &str = "far=1e-1";

/// A run of the tiny config, tested on 200 genuine and 200 impostor pairs, and images of three people.
fn lab() -> Place {
    static LAB: OnceLock<Place> = OnceLock::new();
    let lab = LAB.get_or_init(|| {
        let place = Place::new();
        let config = TINY
            .replace("pairs_per_fold = 20", "pairs_per_fold = 100")
            .replace("identities = 10\nimages = 4", "identities = 40\nimages = 4");
        place.write("tiny.toml", config);
        place.train(&["run.keep=10"]).done();
        let synth = ["data", "synth", "--identities", "3", "--images", "2", "--first-identity", "3000"];
        place.facegrad(&[&synth[..], &["--size", "20", "--out", "faces"]].concat()).done();
        place
    });
    let place = Place::new();
    place.copy(lab.path("").to_str().unwrap(), "");
    place
}

fn calibrate(place: &Place, model: &str, more: &[&str]) -> Ended {
    place.facegrad(&[&["calibrate", model][..], more].concat())
}

fn name(image: &str) -> String {
    format!("faces/{image}.png")
}

fn verify(place: &Place, images: [&str; 2], model: &str, more: &[&str]) -> Ended {
    let images = images.map(name);
    place.facegrad(&[&["verify", &images[0], &images[1], "--model", model][..], more].concat())
}

fn json(ended: Ended) -> Value {
    serde_json::from_str(&ended.done().stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

/// The folder of the best checkpoint.
fn best(place: &Place) -> String {
    format!("runs/tiny/{}", place.text("runs/tiny/best").trim())
}

/// The bytes of a safetensors file: eight of length, a JSON header, the tensors.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    file[8..].split_at(length)
}

/// The same with another card.
fn with_card(file: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let (header, tensors) = split(file);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    let mut card: Value = serde_json::from_str(header["__metadata__"]["facegrad"].as_str().unwrap()).unwrap();
    change(&mut card);
    header["__metadata__"]["facegrad"] = card.to_string().into();
    let mut header = header.to_string();
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), tensors].concat()
}

/// The names in a folder, but for the lock, in order.
fn names(place: &Place, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(place.path(folder)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

#[test]
fn thresholds_are_those_of_the_evaluation_and_decide() {
    let place = lab();
    let measured = json(place.facegrad(&["eval", "runs/tiny", "--json"]));
    let before = names(&place, "runs/tiny");
    let table = calibrate(&place, "runs/tiny", &[]).done().stdout;
    let line = table.lines().nth(1).unwrap_or_default();
    assert!(line.starts_with(POINT), "{table}");
    for line in [
        "on 200 genuine and 200 impostor pairs of unseen: 400 pairs in 2 folds without common identities",
        "flip add, score cosine, images of 20x20 pixels",
        "not written: far=1e-2 needs 1000 impostor pairs, and there are 200",
        "not written: far=1e-3 needs 10000 impostor pairs, and there are 200",
    ] {
        assert!(table.lines().any(|found| found == line), "{line}\n{table}");
    }
    assert!(table.ends_with(&format!("\nwritten to {}/model.safetensors\n", best(&place))), "{table}");
    assert_eq!(names(&place, "runs/tiny"), before);

    // With one point none need be named; the decision follows from score and threshold.
    let mut answers = Vec::new();
    for images in [
        ["003000/0000", "003000/0000"],
        ["003000/0000", "003000/0001"],
        ["003001/0000", "003001/0001"],
        ["003002/0000", "003002/0001"],
        ["003000/0000", "003001/0000"],
        ["003000/0000", "003002/0000"],
        ["003001/0001", "003002/0001"],
        ["003000/0001", "003001/0001"],
        ["003001/0000", "003002/0000"],
    ] {
        let result = json(verify(&place, images, "runs/tiny", &["--json"]));
        let same = result["same"].as_bool().unwrap();
        assert_eq!(same, number(&result["score"]) >= number(&result["point"]["threshold"]), "{result}");
        let said = verify(&place, images, "runs/tiny", &["--at", "far=0.1"]).done().stdout;
        let lines: Vec<&str> = said.lines().collect();
        let [answer, score, from] = lines[..] else { panic!("{said}") };
        assert_eq!(answer, if same { "same person" } else { "different people" });
        assert!(score.starts_with(&format!("score {:.4} (cosine), ", number(&result["score"]))), "{said}");
        assert!(score.ends_with(&format!(" of {POINT}")), "{said}");
        assert!(
            from.starts_with("FAR ") && from.contains(" to ") && from.contains("unseen: 400 pairs"),
            "{said}"
        );
        let code = if same { 0 } else { 3 };
        verify(&place, images, "runs/tiny", &["--exit-code"]).code(code);
        // Nobody who listens, or a full disk: never "the same person".
        let command = ["verify", &name(images[0]), &name(images[1]), "--model", "runs/tiny", "--exit-code"];
        let unheard = place.facegrad_into(support::closed_pipe(), &command).code(code);
        assert_eq!(unheard.stderr, "");
        if let Some(full) = support::full_disk() {
            let sentence = place.facegrad_into(full, &command).refused(1);
            assert!(sentence.starts_with("standard output cannot be written: "), "{sentence}");
        }
        // The order of the images does not matter.
        let turned = json(verify(&place, [images[1], images[0]], "runs/tiny", &["--json"]));
        assert!((number(&turned["score"]) - number(&result["score"])).abs() < 1e-5);
        answers.push(same);

        let point = &result["point"];
        let at_far = &measured["tar_at_far"][0]["measured"];
        // Shortened to twelve digits.
        let above = number(&at_far["threshold"]) - number(&point["threshold"]);
        assert!((0.0..1e-11).contains(&above), "{above}");
        for (key, theirs) in
            [("far", "far"), ("tar", "tar"), ("tar_interval", "interval"), ("far_interval", "far_interval")]
        {
            assert_eq!(point[key], at_far[theirs], "{key}");
        }
        for key in
            ["pairs_sha256", "images_sha256", "protocol", "flip", "score", "genuine", "impostor", "backend"]
        {
            assert_eq!(point[key], measured[key], "{key}");
        }
    }
    assert!(answers[0], "an image and itself");
    assert!(answers.contains(&false), "{answers:?}");

    // The model from the environment.
    let model = format!("FACEGRAD_MODEL={}", place.path("runs/tiny").display());
    let images = ["faces/003000/0000.png", "faces/003000/0000.png"];
    let ended = place.start("env", &[&[&model, FACEGRAD, "verify"][..], &images].concat()).wait().done();
    assert!(ended.stdout.starts_with("same person\n"), "{ended}");
    let unset = ["-u", "FACEGRAD_MODEL", FACEGRAD, "verify"];
    let said = place.start("env", &[&unset[..], &images].concat()).wait().refused(2);
    assert_eq!(said, "no model is given; say which with --model, or set FACEGRAD_MODEL");
}

#[test]
fn a_calibrated_checkpoint_is_the_same_model_and_resumes() {
    let place = lab();
    let checkpoint = "runs/tiny/checkpoint-000020";
    let file = format!("{checkpoint}/model.safetensors");
    let (before, weights) = (place.read(&file), place.weights("runs/tiny"));
    let others = |place: &Place| {
        names(place, checkpoint)
            .into_iter()
            .filter(|name| !["manifest.json", "model.safetensors"].contains(&name.as_str()))
            .map(|name| (place.read(&format!("{checkpoint}/{name}")), name))
            .collect::<Vec<_>>()
    };
    let kept = others(&place);
    let measured = json(place.facegrad(&["eval", checkpoint, "--json"]));
    calibrate(&place, checkpoint, &["--at", POINT]).done();
    let after = place.read(&file);
    assert!(before != after && split(&before).1 == split(&after).1 && others(&place) == kept);
    // But for the SHA-256 of the file it measures the same.
    let mut now = json(place.facegrad(&["eval", checkpoint, "--json"]));
    assert_ne!(now["model_sha256"], measured["model_sha256"]);
    now["model_sha256"] = measured["model_sha256"].clone();
    assert_eq!(now, measured);

    // A second time gives the same bytes; other points are added, points of the same name replaced.
    calibrate(&place, checkpoint, &["--at", POINT]).done();
    assert!(place.read(&file) == after);
    let told = json(calibrate(&place, &file, &["--at", "accuracy,eer", "--json"]));
    assert_eq!(told["kept"], serde_json::json!([POINT]));
    assert_eq!(told["points"].as_array().unwrap().len(), 2);
    let said = verify(&place, ["003000/0000", "003000/0001"], checkpoint, &[]).refused(2);
    assert_eq!(
        said,
        format!("{checkpoint} has several operating points, {POINT}, eer, accuracy; choose one with --at")
    );

    let shown = place.facegrad(&["show", checkpoint]).done().stdout;
    for line in ["score     cosine", "trained   20 steps on 20 identities"] {
        assert!(shown.lines().any(|found| found == line), "{shown}");
    }
    let points: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("point ")).collect();
    assert!(points[1].starts_with(POINT) && points[2].starts_with("eer ") && points.len() == 6, "{shown}");
    let shown = json(place.facegrad(&["show", checkpoint, "--json"]));
    let names = |points: &Value| -> Vec<Value> {
        points.as_array().unwrap().iter().map(|point| point["name"].clone()).collect()
    };
    assert_eq!(names(&shown["card"]["operating_points"]), [POINT, "eer", "accuracy"]);

    // The run goes on from there to the same weights, and its other checkpoints have no points.
    place.facegrad(&["train", "--resume", checkpoint]).done();
    assert!(place.weights("runs/tiny") == weights);
    verify(&place, ["003000/0000", "003000/0001"], checkpoint, &["--at", "eer"]).done();
    // A run that is over stays as it is when it is resumed.
    calibrate(&place, "runs/tiny/last", &["--at", POINT]).done();
    let last = format!("runs/tiny/{}/model.safetensors", place.text("runs/tiny/last").trim());
    let calibrated = place.read(&last);
    place.facegrad(&["train", "--resume", "runs/tiny"]).done();
    assert!(place.read(&last) == calibrated);
}

#[test]
fn a_copy_leaves_the_model_as_it_was() {
    let place = lab();
    let file = format!("{}/model.safetensors", best(&place));
    let before = place.read(&file);
    calibrate(&place, "runs/tiny", &["--at", POINT, "--out", "out.safetensors"]).done();
    assert!(place.read(&file) == before);
    let images = ["003000/0000", "003000/0000"];
    assert!(verify(&place, images, "out.safetensors", &[]).done().stdout.starts_with("same person\n"));
    // A model file alone is rewritten itself, through a link, too.
    let protocol = ["--config", "tiny.toml"];
    calibrate(&place, "out.safetensors", &[&protocol[..], &["--at", "eer"]].concat()).done();
    verify(&place, images, "out.safetensors", &["--at", "eer"]).done();
    verify(&place, images, "out.safetensors", &["--at", POINT]).done();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path("out.safetensors"), place.path("link.safetensors")).unwrap();
        calibrate(&place, "link.safetensors", &[&protocol[..], &["--at", "accuracy"]].concat()).done();
        assert!(place.path("link.safetensors").is_symlink());
        verify(&place, images, "out.safetensors", &["--at", "accuracy"]).done();
    }
    assert!(split(&place.read("out.safetensors")).1 == split(&before).1);

    // Pairs from a list, whose images lie below a folder; those for the threshold of an accuracy have no part.
    for (identity, name) in ["A", "B"].into_iter().enumerate() {
        for image in 0..11 {
            let png = place.read(&format!("faces/00300{identity}/000{}.png", image % 2));
            place.write(&format!("lfw/{name}/{name}_{:04}.png", image + 1), png);
        }
    }
    let all = |limit: fn(usize) -> usize| (1..12).flat_map(move |i| (limit(i)..12).map(move |j| (i, j)));
    let genuine = all(|i| i + 1).flat_map(|(i, j)| ["A", "B"].map(|name| format!("{name}\t{i}\t{j}\n")));
    let impostor = all(|_| 1).map(|(i, j)| format!("A\t{i}\tB\t{j}\n"));
    let (genuine, impostor): (String, String) = (genuine.take(100).collect(), impostor.take(100).collect());
    place.write("list.txt", format!("100\n{genuine}{impostor}"));
    let list = ["--pairs", "list.txt", "--images", "lfw", "--at", POINT];
    let alone = calibrate(&place, "out.safetensors", &list).done();
    assert!(alone.stdout.contains("on 100 genuine and 100 impostor pairs of list: list.txt"), "{alone}");
    let both =
        calibrate(&place, "out.safetensors", &[&list[..], &["--threshold-pairs", "list.txt"]].concat());
    assert_eq!(both.stdout, alone.stdout);
    assert!(both.stderr.starts_with("note: list.txt has no part in this: "), "{both}");

    // Another number is told. An image that is lost takes 7 genuine and 9 impostor pairs along.
    let image = |name: &str| place.path(&format!("lfw/B/{name}.png"));
    fs::rename(image("B_0011"), image("B_11")).unwrap();
    let noted = calibrate(&place, "out.safetensors", &list).done();
    let note = "note: list: Of 22 images, 1 has another ending or number than the list says, such as lfw/B/B_11.png for B/B_0011.\n";
    assert_eq!((noted.stderr.contains(note), noted.stdout == alone.stdout), (true, true), "{noted}");
    fs::remove_file(image("B_11")).unwrap();
    let said = calibrate(&place, "out.safetensors", &list).refused(2);
    assert!(said.contains("1 of its 22 images is missing, in 16 of its 200 pairs; missing = "), "{said}");
    let with =
        |missing: &str| calibrate(&place, "out.safetensors", &[&list[..], &["--missing", missing]].concat());
    let said = with("skip").refused(2);
    assert_eq!(said, "no point can be measured on list: far=1e-1 needs 100 impostor pairs, and there are 91");
    let wrong = with("wrong").done().stdout;
    let lost = "lost: 7 genuine, 9 impostor, of 1 image that cannot be used, counted as errors at every threshold (first: B/B_0011: there is no such image)\n";
    assert!(wrong.contains("9.00 %") && wrong.contains(lost), "{wrong}");
    let shown = place.facegrad(&["show", "out.safetensors"]).done().stdout;
    assert!(shown.contains(lost), "{shown}");

    let said = calibrate(&place, "runs/tiny", &["--out", "out.bin"]).refused(2);
    assert_eq!(said, "--out out.bin does not end in .safetensors, as model files do");
    let said = calibrate(&place, "runs/tiny", &["--out", &file]).refused(2);
    assert!(said.ends_with(" a file of a checkpoint; choose another name"), "{said}");
    assert!(place.read(&file) == before);
    let said = calibrate(&place, "runs/tiny", &["--out", "absent/out.safetensors"]).refused(1);
    assert!(said.starts_with("cannot write absent/out.safetensors: "), "{said}");
}

#[test]
fn what_cannot_be_calibrated_is_refused_and_nothing_is_written() {
    let place = lab();
    let file = format!("{}/model.safetensors", best(&place));
    let before = place.read(&file);
    let few = "drawn_pairs:name=few,folds=2,pairs_per_fold=20,source.kind=synthetic,source.identities=10,source.images=4,source.size=20";
    let cases: [(&[&str], &str); 6] = [
        (
            &["--protocol", few, "--at", "far=1e-1,eer"],
            "no point can be measured on few: far=1e-1 needs 100 impostor pairs, and there are 40; eer needs 100 impostor pairs, and there are 40",
        ),
        (
            &["--at", "far=1e-3"],
            "no point can be measured on unseen: far=1e-3 needs 10000 impostor pairs, and there are 200",
        ),
        (
            &["--protocol", few, "--protocol", "drawn_pairs:name=more,source.kind=synthetic"],
            "thresholds come from one protocol, and there are 2: few, more; name one with --protocol, --pairs, --bin or --gallery",
        ),
        (
            &["--centring", "other_folds"],
            "with centring other_folds the mean of many embeddings is subtracted; two images alone cannot be compared in that way, so its thresholds would not hold for them",
        ),
        (&["--at", "far=0.1,eer,far=1e-1"], "--at names far=1e-1 twice, at first and as number 3"),
        (&["--pairs", "absent.txt", "--images", "faces"], "cannot read the list absent.txt: "),
    ];
    for (more, sentence) in cases {
        let said = calibrate(&place, "runs/tiny", more).refused(2);
        assert!(said.starts_with(sentence), "{said}\nshould be\n{sentence}");
    }
    let ended = calibrate(&place, "runs/tiny", &["--at", "far=2"]).code(2);
    assert!(ended.stderr.contains("\"far=2\" is no operating point; they are far=<rate "), "{ended}");
    let said = calibrate(&place, "absent", &[]).refused(2);
    assert_eq!(said, "absent: there is no such model file, checkpoint or run folder");
    // While a run is in use nothing is written into it.
    let lock = fs::File::create(place.path("runs/tiny/.lock")).unwrap();
    lock.try_lock().unwrap();
    for model in ["runs/tiny", &file] {
        let said = calibrate(&place, model, &[]).refused(2);
        assert!(
            said.ends_with("runs/tiny is in use by another facegrad process; wait for it or stop it"),
            "{said}"
        );
    }
    calibrate(&place, "runs/tiny", &["--out", "out.safetensors"]).done();
    drop(lock);
    assert!(place.read(&file) == before);
}

/// Runs as somebody whom rights bind: root is made nobody, if that is possible.
#[cfg(unix)]
fn as_no_root(place: &Place, arguments: &[&str]) -> Option<Ended> {
    use std::os::unix::fs::MetadataExt;
    if tempfile::tempfile().unwrap().metadata().unwrap().uid() != 0 {
        return Some(place.facegrad(arguments));
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", FACEGRAD];
    let works = std::process::Command::new("setpriv").args(nobody).arg("--version").output();
    if !works.is_ok_and(|output| output.status.success()) {
        println!("skipped: the tests run as root, and the program cannot be run as somebody else");
        return None;
    }
    let owner = std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(place.path("")).status();
    assert!(owner.unwrap().success());
    Some(place.start("setpriv", &[&nobody[..], arguments].concat()).wait())
}

#[cfg(unix)]
#[test]
fn a_checkpoint_that_cannot_be_replaced_is_as_it_was_and_nothing_stays_in_the_way() {
    use std::os::unix::fs::PermissionsExt;
    let place = lab();
    let folder = best(&place);
    let (before, clean) = (place.read(&format!("{folder}/model.safetensors")), names(&place, "runs/tiny"));
    let mode =
        |mode: u32| fs::set_permissions(place.path(&folder), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let arguments = ["calibrate", "runs/tiny", "--at", POINT];
    let Some(ended) = as_no_root(&place, &arguments) else { return };
    let said = ended.code(1).sentence();
    assert!(said.ends_with("; the model is as it was"), "{said}");
    let unchanged = place.read(&format!("{folder}/model.safetensors")) == before;
    assert!(unchanged, "{said}");
    assert_eq!(names(&place, "runs/tiny"), clean);
    mode(0o755);
    as_no_root(&place, &arguments).unwrap().done();
    assert!(place.read(&format!("{folder}/model.safetensors")) != before);
    assert_eq!(names(&place, "runs/tiny"), clean);
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let place = lab();
    let images = ["003000/0000", "003000/0001"];
    let said = verify(&place, images, "runs/tiny", &["--at", POINT]).refused(2);
    assert_eq!(
        said,
        "runs/tiny has no operating point, so no score means same or different; measure some with facegrad calibrate"
    );
    calibrate(&place, "runs/tiny", &["--at", "far=1e-1,eer"]).done();
    let said = verify(&place, images, "runs/tiny", &["--at", "far=1e-3"]).refused(2);
    assert_eq!(
        said,
        "runs/tiny has no operating point far=1e-3, only far=1e-1, eer; take one of these, or measure it with facegrad calibrate --at far=1e-3"
    );
    let said = verify(&place, images, "runs/tiny", &[]).refused(2);
    assert_eq!(said, "runs/tiny has several operating points, far=1e-1, eer; choose one with --at");

    // Images of another size are not aligned as those were, unless one says so.
    let synth = ["data", "synth", "--identities", "1", "--images", "2", "--size", "30", "--out", "large"];
    place.facegrad(&synth).done();
    fs::rename(place.path("large/000000"), place.path("faces/large")).unwrap();
    let large = [images[0], "large/0000"];
    let said = verify(&place, large, "runs/tiny", &["--at", POINT]).refused(2);
    assert_eq!(
        said,
        "faces/large/0000.png has 30x30 pixels and far=1e-1 was measured on images of 20x20; align and crop it like those, or pass --any-size if it is"
    );
    verify(&place, large, "runs/tiny", &["--at", POINT, "--any-size"]).done();

    let png = place.read("faces/003000/0000.png");
    place.write("faces/cut.png", &png[..100]);
    place.write("faces/text.png", "to whom it may concern");
    for (image, sentence) in [
        ("cut", "the image faces/cut.png: the PNG data ends early"),
        ("text", "the image faces/text.png: its content is not a JPEG, PNG, WebP, BMP or PNM image"),
        ("absent", "the image faces/absent.png: it cannot be read: "),
    ] {
        for more in [&["--at", POINT][..], &["--at", POINT, "--any-size"]] {
            let said = verify(&place, [images[0], image], "runs/tiny", more).refused(2);
            assert!(said.starts_with(sentence), "{said}\nshould be\n{sentence}");
        }
    }
}

#[test]
fn damaged_operating_points_are_refused() {
    let place = lab();
    calibrate(&place, "runs/tiny", &["--at", POINT, "--out", "out.safetensors"]).done();
    let file = place.read("out.safetensors");
    type Harm = fn(&mut Value);
    let harms: [(Harm, &str); 7] = [
        (
            |card| card["operating_points"][0]["threshold"] = 3.0.into(),
            "operating point far=1e-1 has a threshold that no score can be at; calibrate it anew",
        ),
        (|card| card["operating_points"][0]["threshold"] = Value::Null, "it is not a facegrad model: "),
        (
            |card| card["operating_points"][0]["name"] = "far=7".into(),
            "it is not a facegrad model: \"far=7\" is no operating point",
        ),
        (
            |card| card["operating_points"][0]["far"] = 0.2.into(),
            "its operating point far=1e-1 has error rates that cannot be",
        ),
        (
            |card| card["operating_points"][0]["tensors_sha256"] = "".into(),
            "its operating point far=1e-1 was measured with other weights",
        ),
        (
            |card| {
                let point = card["operating_points"][0].clone();
                card["operating_points"].as_array_mut().unwrap().push(point);
            },
            "its operating point far=1e-1 is there twice",
        ),
        (
            |card| card["preprocessing"]["colour"] = "BGR".into(),
            "was trained on images prepared as 20x20 BGR",
        ),
    ];
    for (harm, sentence) in harms {
        place.write("damaged.safetensors", with_card(&file, harm));
        let said = verify(&place, ["003000/0000", "003000/0001"], "damaged.safetensors", &[]).refused(2);
        assert!(
            said.starts_with("damaged.safetensors") && said.contains(sentence),
            "{said}\nshould say\n{sentence}"
        );
    }
    // The points of one model on the weights of another.
    let mut moved = file.clone();
    *moved.last_mut().unwrap() ^= 1;
    place.write("moved.safetensors", moved);
    let said = verify(&place, ["003000/0000", "003000/0001"], "moved.safetensors", &[]).refused(2);
    assert!(said.contains("was measured with other weights; calibrate it anew"), "{said}");
    // No damage to the header is more than a sentence.
    let header = 8 + split(&file).0.len();
    let mut stream = Stream::new(1, Purpose::Bootstrap, 0, 0);
    for _ in 0..40 {
        let mut damaged = file.clone();
        damaged[stream.below(header)] = [b'9', b'"', b'}', 0xFF, b'-', b',', 0][stream.below(7)];
        place.write("damaged.safetensors", damaged);
        let ended = verify(&place, ["003000/0000", "003000/0001"], "damaged.safetensors", &[]);
        // Some damage changes nothing that matters, such as the number of identities.
        if ended.code != Some(0) {
            ended.refused(2);
        }
    }
}

#[test]
fn a_kill_at_any_moment_leaves_a_model_that_can_be_used() {
    let place = lab();
    let best = best(&place);
    let file = format!("{best}/model.safetensors");
    let before = place.read(&file);
    let started = Instant::now();
    calibrate(&place, "runs/tiny", &["--at", "eer"]).done();
    let duration = started.elapsed();
    let after = place.read(&file);
    let seed = std::env::var("FACEGRAD_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut stream = Stream::new(seed, Purpose::Order, 0, 0);
    let clean = names(&place, "runs/tiny");
    for kill in 0..12 {
        // Half of them about the time when the files are written.
        let share = if kill % 2 == 0 { stream.uniform() } else { 0.85 + 0.15 * stream.uniform() };
        place.copy(lab().path(&best).to_str().unwrap(), &best);
        assert!(place.read(&file) == before);
        let mut running = place.start(FACEGRAD, &["calibrate", "runs/tiny", "--at", "eer"]);
        thread::sleep(duration.mul_f32(share).max(Duration::from_millis(1)));
        let is_over = running.is_over();
        running.kill();
        let now = place.read(&file);
        println!("kill {kill} at {share:.2}: over {is_over}, calibrated {}", now == after);
        assert!(now == before || now == after);
        assert!(!is_over || now == after);
        place.facegrad(&["eval", "runs/tiny", "--json"]).done();
        calibrate(&place, "runs/tiny", &["--at", "eer"]).done();
        assert!(place.read(&file) == after);
        assert_eq!(names(&place, "runs/tiny"), clean);
    }
}

#[test]
fn a_search_with_a_threshold_names_nobody_below_it() {
    let place = lab();
    calibrate(&place, "runs/tiny", &["--at", POINT]).done();
    // A grey square is nobody, and finds whoever is nearest if no threshold is applied.
    place.write("grey.ppm", [&b"P6 20 20 255\n"[..], &[128; 1200]].concat());
    let own = name("003000/0000");
    let search = |more: &[&str]| {
        let search = ["identify", "faces", &own, "grey.ppm", "--model", "runs/tiny"];
        place.facegrad(&[&search[..], more].concat())
    };
    let plain = search(&["--json"]);
    let note = plain.stderr.lines().last().unwrap().to_owned();
    assert!(note.starts_with("note: no threshold was applied"), "{note}");
    let plain = json(plain);
    assert_eq!((&plain["threshold"], &plain["point"]), (&Value::Null, &Value::Null));
    let searched = json(search(&["--json", "--at", POINT]));
    let threshold = number(&searched["threshold"]);
    assert_eq!(searched["threshold"], searched["point"]["threshold"]);
    assert_eq!((&searched["point"]["name"], &searched["gallery"]["people"]), (&POINT.into(), &3.into()));
    let mut nobody = 0;
    for (with, without) in
        searched["probes"].as_array().unwrap().iter().zip(plain["probes"].as_array().unwrap())
    {
        let all = without["people"].as_array().unwrap();
        let accepted: Vec<&Value> = all.iter().filter(|found| number(&found["score"]) >= threshold).collect();
        assert_eq!(with["people"].as_array().unwrap().iter().collect::<Vec<_>>(), accepted, "{with}");
        assert_eq!((&with["nearest"], &without["nearest"]), (&all[0], &all[0]));
        nobody += usize::from(accepted.is_empty());
    }
    assert!(
        note.contains(&format!("(threshold {threshold:.4}) it would be nobody on {nobody} of 2")),
        "{note}"
    );
    assert_eq!(searched["probes"][0]["people"][0]["person"], "003000");
    let code = if nobody > 0 { 3 } else { 0 };
    let ended = search(&["--at", POINT, "--exit-code"]).code(code);
    assert_eq!(ended.stdout.matches("\nnobody: the most alike, ").count(), nobody, "{ended}");
    // 1 - 0.9^3 of three people, 1 - 0.9^6 of their six images.
    let rates = "27.100 % (one comparison a person) to 46.856 % (one an image)";
    assert!(ended.stdout.contains(rates) && !ended.stderr.contains("no threshold"), "{ended}");
    search(&["--at", POINT]).done();

    // Where only an image itself is like enough, what is no face is nobody, and so is who is not in the gallery.
    let file = place.read(&format!("{}/model.safetensors", best(&place)));
    let strict = with_card(&file, |card| card["operating_points"][0]["threshold"] = 0.99999.into());
    place.write("strict.safetensors", strict);
    place.write("white.ppm", [&b"P6 20 20 255\n"[..], &[250; 1200]].concat());
    let strict = |probes: &[&str]| {
        let search = ["--model", "strict.safetensors", "--at", POINT, "--exit-code"];
        place.facegrad(&[&["identify", "known"][..], probes, &search].concat())
    };
    place.write("known/003000/0000.png", place.read(&own));
    place.write("known/003001/0000.png", place.read(&name("003001/0000")));
    let stranger = name("003002/0000");
    let others = strict(&["grey.ppm", "white.ppm", &stranger]).code(3);
    assert_eq!(others.stdout.matches("\nnobody: the most alike, ").count(), 3, "{others}");
    let all = strict(&[&own, "grey.ppm"]).code(3);
    assert!(
        all.stdout.contains("   1  003000  003000/0000.png") && all.stdout.contains("\nnobody: "),
        "{all}"
    );
    assert!(!strict(&[&own]).code(0).stdout.contains("nobody"));

    let sentence = search(&["--at", "far=1e-2"]).refused(2);
    assert!(sentence.contains("has no operating point far=1e-2, only far=1e-1"), "{sentence}");
    let sentence = search(&["--at", POINT, "--flip", "none"]).refused(2);
    assert!(sentence.contains("its threshold holds for the same only"), "{sentence}");
    place.write("large.ppm", [&b"P6 40 40 255\n"[..], &[128; 4800]].concat());
    let large = ["identify", "faces", "large.ppm", "--model", "runs/tiny", "--at", POINT];
    assert!(place.facegrad(&large).refused(2).contains("--any-size"));
    place.facegrad(&[&large[..], &["--any-size"]].concat()).done();
    search(&["--exit-code"]).code(2);
}

#[test]
fn a_rate_of_strangers_is_measured_by_searches_and_used_by_them() {
    let place = lab();
    let synth = ["data", "synth", "--identities", "35", "--images", "4", "--first-identity", "4000"];
    place.facegrad(&[&synth[..], &["--size", "20", "--out", "set"]].concat()).done();
    let image = |person: usize, image: usize| format!("{:06}/{image:04}.png", 4000 + person);
    let line = |person, number| format!("{} {}\n", image(person, number), 4000 + person);
    // Ten people with two images are known; 25 are strangers with four each.
    let gallery: String = (0..10).flat_map(|person| [0, 1].map(|i| line(person, i))).collect();
    let mated: String = (0..10).flat_map(|person| [2, 3].map(|i| line(person, i))).collect();
    let strangers: String = (10..35).flat_map(|person| (0..4).map(move |i| line(person, i))).collect();
    place.write("gallery.txt", &gallery);
    place.write("probes.txt", format!("{mated}{strangers}"));
    place.write("strangers.txt", &strangers);
    let lists = |probes: &'static str| ["--gallery", "gallery.txt", "--probes", probes, "--images", "set"];

    let table = calibrate(&place, "runs/tiny", &lists("probes.txt")).done().stdout;
    for line in [
        "on 100 probes of 25 people who are not in the gallery, and 20 of people in it, searched among 10 people (20 images): probes: probes.txt in gallery.txt",
        "flip add, score cosine, images of 20x20 pixels",
        "not written: fpir=1e-2 needs 1000 probes of people who are not in the gallery, and there are 100",
    ] {
        assert!(table.lines().any(|found| found == line), "{line}\n{table}");
    }
    assert!(table.starts_with("point ") && table.contains("\nfpir=1e-1 "), "{table}");
    let head: Vec<&str> =
        table.lines().next().unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(head, ["point", "threshold", "FPIR (95 % interval)", "TPIR (95 % interval)"]);
    // It is that of the evaluation, and of counting.
    let measured =
        json(place.facegrad(&[&["eval", "runs/tiny", "--json"][..], &lists("probes.txt")].concat()));
    let shown = json(place.facegrad(&["show", "runs/tiny", "--json"]));
    let point = &shown["card"]["operating_points"][0];
    let open = &measured["open_set"][0]["measured"];
    assert_eq!((&point["name"], &point["fpir"]), (&"fpir=1e-1".into(), &open["fpir"]));
    assert!((number(&point["tpir"]) - 1.0 + number(&open["fnir"]["value"])).abs() < 1e-12, "{point} {open}");
    assert!(number(&point["threshold"]) >= number(&open["threshold"]) - 1e-7, "{point} {open}");

    // The same people, searched by identify: so many strangers have a name, in a gallery of as many.
    let people = |folder: &str, numbers: std::ops::Range<usize>| {
        for (person, number) in numbers.flat_map(|person| [0, 1].map(|i| (person, i))) {
            place.write(
                &format!("{folder}/{}", image(person, number)),
                place.read(&format!("set/{}", image(person, number))),
            );
        }
    };
    people("known", 0..10);
    let probes: Vec<String> = (10..35)
        .flat_map(|person| (0..4).map(move |i| format!("set/{:06}/{i:04}.png", 4000 + person)))
        .collect();
    let search = |gallery: &str, more: &[&str]| {
        let probes: Vec<&str> = probes.iter().map(String::as_str).collect();
        place.facegrad(&[&["identify", gallery, "--model", "runs/tiny"][..], &probes, more].concat())
    };
    let found = json(search("known", &["--at", "fpir=0.1", "--json"]));
    let named =
        found["probes"].as_array().unwrap().iter().filter(|found| found["people"] != serde_json::json!([]));
    assert_eq!(named.count() as f64 / 100.0, number(&point["fpir"]));
    assert_eq!(found["expected_fpir"][0], point["fpir"]);
    let said = search("known", &["--at", "fpir=0.1", "--exit-code"]).code(3).stdout;
    assert!(said.contains("\nFPIR ") && said.contains(" searched among 10 people (20 images) "), "{said}");
    assert!(said.ends_with("this gallery has 10 people, as many as that was measured among\n"), "{said}");
    // Folders are the same as lists: of people, or of images that are one stranger each.
    for (i, probe) in probes.iter().enumerate() {
        place.write(&format!("probes/{i:03}.png"), place.read(probe));
    }
    let by_folder = ["--gallery", "known", "--probes", "probes", "--at", "fpir=1e-1", "--json"];
    let by_folder = json(calibrate(&place, "runs/tiny", &by_folder));
    let of_folder = &by_folder["points"][0];
    assert_eq!((&of_folder["fpir"], &of_folder["strangers"]), (&point["fpir"], &100.into()));
    assert_eq!((&of_folder["stranger_people"], &of_folder["gallery_people"]), (&100.into(), &10.into()));
    assert_eq!((&of_folder["mated"], &of_folder["tpir"]), (&0.into(), &Value::Null));
    let itself = ["--gallery", "known", "--probes", "known", "--at", "fpir=1e-1"];
    calibrate(&place, "runs/tiny", &itself).refused(2);
    // A gallery of another size is told what it was measured among.
    people("few", 0..5);
    let said = search("few", &["--at", "fpir=0.1"]).done().stdout;
    let here = (1.0 - (1.0 - number(&point["fpir"])).sqrt()) * 100.0;
    let sentence = format!(
        "this gallery has 5 people and that was measured among 10: here a stranger is named in about {here:.3} % of searches"
    );
    assert!(said.contains(&sentence), "{sentence}\n{said}");

    // Without mated probes there is a threshold, too; points of pairs stay, and `verify` takes these only.
    calibrate(&place, "runs/tiny", &["--at", POINT]).done();
    let alone =
        calibrate(&place, "runs/tiny", &[&lists("strangers.txt")[..], &["--at", "fpir=1e-1"]].concat())
            .done();
    assert!(
        alone.stdout.contains("no mated probes") && alone.stdout.contains("kept from before: far=1e-1"),
        "{alone}"
    );
    verify(&place, ["003000/0000", "003000/0000"], "runs/tiny", &[]).done();
    let said = verify(&place, ["003000/0000", "003000/0001"], "runs/tiny", &["--at", "fpir=0.1"]).refused(2);
    assert!(
        said.starts_with("fpir=1e-1 is for a search in a gallery, facegrad identify; two images"),
        "{said}"
    );
    // A model that compares by the distance has no use for thresholds of cosines, nor for a gallery of them.
    let file = place.read(&format!("{}/model.safetensors", best(&place)));
    place.write("far.safetensors", with_card(&file, |card| card["scoring"] = "euclidean".into()));
    let said = calibrate(&place, "far.safetensors", &lists("probes.txt")).refused(2);
    assert!(said.starts_with("far.safetensors compares embeddings by their euclidean distance, "), "{said}");
    place.facegrad(&["identify", "known", "--save", "known.safetensors", "--model", "runs/tiny"]).done();
    let other = ["identify", "known.safetensors", &probes[0], "--model", "far.safetensors"];
    let said = place.facegrad(&other).refused(2);
    assert_eq!(
        said,
        "the gallery was made with score cosine and the probe with euclidean; use the same for both"
    );
    // What was not applied is said of the point of searches rather than of pairs.
    assert!(search("known", &[]).done().stderr.contains("by --at fpir=1e-1 (threshold "));

    for (more, sentence) in [
        (
            &[&lists("probes.txt")[..], &["--at", "eer"]].concat()[..],
            "eer is measured on pairs of images, and probes: ",
        ),
        (
            &["--at", "fpir=1e-1"],
            "fpir=1e-1 is measured on probes searched in a gallery (--protocol identification), and unseen: ",
        ),
        (
            &[&lists("probes.txt")[..], &["--at", "fpir=1e-2"]].concat(),
            "no point can be measured on probes: fpir=1e-2 needs 1000 probes of people who",
        ),
        (
            &[
                "--protocol",
                "identification:gallery=gallery.txt,probes=probes.txt,images=set,identity_score=mean",
            ],
            "it was measured with identity_score mean; two images alone cannot be compared in that way",
        ),
        (
            &["--images", "set"],
            "--images is the folder of the images of --pairs, or of --gallery and --probes, and neither",
        ),
    ] {
        let said = calibrate(&place, "runs/tiny", more).refused(2);
        assert!(said.starts_with(sentence), "{said}\nshould be\n{sentence}");
    }
}

#[test]
fn going_on_with_a_calibrated_run_says_what_becomes_of_the_points() {
    let place = lab();
    calibrate(&place, "runs/tiny", &["--at", POINT]).done();
    let told = |set: &str| {
        let ended = place.facegrad(&["train", "--resume", "runs/tiny", "--set", set]).done();
        format!("{}{}", ended.stdout, ended.stderr)
    };
    let on = told("run.steps=50");
    assert!(
        on.contains(&format!("the best model so far is calibrated ({POINT}), and a better one will not be")),
        "{on}"
    );
}
