//! `facegrad data`: sets that are converted, and trained on.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::{FACEGRAD, Place};

/// A folder with 6 identities of 5 images, `faces`.
fn lab() -> Place {
    let place = Place::new();
    synth(&place, 6, 5);
    place
}

fn synth(place: &Place, identities: usize, images: usize) {
    let (identities, images) = (identities.to_string(), images.to_string());
    let synth = ["data", "synth", "--identities", &identities, "--images", &images, "--size", "20"];
    place.facegrad(&[&synth[..], &["--out", "faces"]].concat()).done();
}

fn convert<'a>(from: &'a str, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["data", "convert", from, to][..], more].concat()
}

/// The contents of the files of each identity, in the order of their names.
fn people(place: &Place, folder: &str) -> BTreeMap<String, Vec<Vec<u8>>> {
    let sorted = |path: &Path| {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let folders = sorted(&place.path(folder)).into_iter().filter(|path| path.is_dir());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let images = |path: &Path| sorted(path).iter().map(|image| fs::read(image).unwrap()).collect();
    folders.map(|path| (name(&path), images(&path))).collect()
}

#[test]
fn a_set_goes_through_every_format_and_keeps_every_byte() {
    let place = lab();
    let said = place.facegrad(&convert("faces", "a.rec", &[])).done();
    assert_eq!(said.stdout, "a.rec: 30 images of 6 identities (recordio)\n");
    assert!(said.stderr.starts_with("faces: 30 images of 6 identities"), "{said}");
    place.facegrad(&convert("a.rec", "shards", &["--to", "webdataset", "--shard-images", "7"])).done();
    assert_eq!(fs::read_dir(place.path("shards")).unwrap().count(), 5);
    place.facegrad(&convert("shards", "one.tar", &[])).done();
    place.facegrad(&convert("one.tar", "rows.parquet", &[])).done();
    let told = place.facegrad(&convert("rows.parquet", "back", &["--to", "folder", "--json"])).done();
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told["images"].as_u64(), told["identities"].as_u64()), (Some(30), Some(6)));
    assert_eq!((told["kind"].as_str(), &told["skipped"]), (Some("folder"), &serde_json::json!([])));
    let before = people(&place, "faces");
    assert_eq!(before.len(), 6);
    assert!(before == people(&place, "back"));
    // A part of a set, under the names that it has.
    let part = ["--to", "folder", "--set", "max_identities=2"];
    place.facegrad(&convert("a.rec", "part", &part)).done();
    assert!(people(&place, "part").iter().eq(before.iter().take(2)));
}

#[test]
fn sets_in_one_file_are_trained_on() {
    let place = lab();
    place.facegrad(&convert("faces", "a.rec", &[])).done();
    place.facegrad(&convert("faces", "a.tar", &[])).done();
    for (kind, path) in [("recordio", "a.rec"), ("webdataset", "a.tar")] {
        let (kind, path, name) = (
            format!("data.train.kind={kind}"),
            format!("data.train.path={path}"),
            format!("run.name={kind}"),
        );
        place.train(&[&kind, &path, &name, "run.steps=5", "run.batch=4"]).done();
    }
    // The same images in the same order, and so the same run.
    assert_eq!(place.metrics("runs/recordio"), place.metrics("runs/webdataset"));
}

#[test]
fn a_conversion_that_was_killed_goes_on_and_writes_the_same_bytes() {
    let place = Place::new();
    synth(&place, 50, 60);
    for (kind, target) in [("folder", "copy"), ("recordio", "x.rec"), ("webdataset", "shards")] {
        let whole = format!("whole/{target}");
        let killed = format!("killed/{target}");
        let more = ["--to", kind, "--shard-images", "500"];
        fs::create_dir_all(place.path("whole")).unwrap();
        fs::create_dir_all(place.path("killed")).unwrap();
        place.facegrad(&convert("faces", &whole, &more)).done();
        let mut running = place.start(FACEGRAD, &convert("faces", &killed, &more));
        let state = place.path(&format!("{killed}.part/.convert.json"));
        let target = place.path(&killed);
        // Until some of it can be kept, which is a second line, unless the program is faster than that.
        let has_begun = || fs::read_to_string(&state).is_ok_and(|state| state.lines().count() > 1);
        running.until(|| has_begun() || target.exists());
        running.kill();
        // Where it was killed: while it wrote, while it gave names, or when all was done.
        let kept = fs::read_to_string(&state).unwrap_or_default();
        let named = place.path(&format!("{killed}/.convert.json"));
        let is_done = kept.is_empty() && !named.exists() && target.exists();
        let again = place.facegrad(&convert("faces", &killed, &more));
        if is_done {
            assert!(again.refused(2).contains(" is there already; "));
        } else {
            let said = again.done();
            let goes_on = !kept.is_empty() && !kept.contains("\"is_written\":true");
            assert!(!goes_on || said.stderr.contains("going on after "), "{said}");
        }
        assert!(!place.path(&format!("{killed}.part")).exists());
    }
    let files = |folder: &str| -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![place.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(found.insert(path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        let root = place.path(folder);
        found.into_iter().map(|(path, bytes)| (path.strip_prefix(&root).unwrap().into(), bytes)).collect()
    };
    let whole = files("whole");
    assert!(whole.len() > 3000 && whole == files("killed"));
}

#[test]
fn what_cannot_be_converted_is_one_sentence() {
    let place = lab();
    let refused = |arguments: &[&str]| {
        let ended = place.facegrad(arguments).code(2);
        assert_eq!(ended.stdout, "");
        ended.sentence()
    };
    place.write("faces/000000/0000.png", "GIF89a");
    assert_eq!(
        refused(&convert("faces", "a.rec", &[])),
        "faces/000000/0000.png: its content is not a JPEG, PNG, WebP, BMP or PNM image; --on-error skip leaves such \
         images out"
    );
    let said = place.facegrad(&convert("faces", "b.rec", &["--on-error", "skip"])).done().stdout;
    assert!(said.starts_with("b.rec: 29 images of 6 identities (recordio)\nskipped 1 images"), "{said}");
    assert_eq!(
        place.text("b.rec.skipped.txt"),
        "faces/000000/0000.png\tits content is not a JPEG, PNG, WebP, BMP or PNM image\n"
    );
    place.write("cut.rec", &place.read("b.rec")[..2000]);
    fs::copy(place.path("b.idx"), place.path("cut.idx")).unwrap();
    let sentence = refused(&convert("cut.rec", "c.tar", &[]));
    assert!(
        sentence.starts_with("cut.rec, byte ") && sentence.contains(", and the file ends after "),
        "{sentence}"
    );
}

/// People whose names are hard to write down, as text.
#[cfg(unix)]
const HARD_NAMES: [&str; 10] = [
    " blank ",
    "#1",
    "Jos\u{e9}",
    "Jose\u{301}",
    r"back\x5Cslash",
    r"caf\xE8",
    r"caf\xE9",
    "comma, \"quoted\"",
    r"line\x0Abreak",
    r"tab\x09",
];

#[cfg(unix)]
#[test]
fn no_two_names_become_one_in_any_verb() {
    use facegrad::embeddings::EmbeddingFile;
    use facegrad_files::path_of;

    let place = Place::new();
    synth(&place, HARD_NAMES.len(), 3);
    fs::create_dir(place.path("hard")).unwrap();
    for (number, name) in HARD_NAMES.iter().enumerate() {
        let person = place.path("hard").join(path_of(name));
        if fs::rename(place.path(&format!("faces/{number:06}")), person).is_err() {
            return; // A file system that refuses such names, or takes two for one.
        }
    }
    let twin = |number: &str| place.path("hard").join(path_of(r"caf\xE9")).join(number);
    fs::copy(twin("0000.png"), twin("9.png")).unwrap();
    place.train(&[]).done();
    let facegrad = |line: &[&str]| place.facegrad(line).done();

    let mut all: Vec<String> =
        HARD_NAMES.iter().flat_map(|name| [0, 1, 2].map(|image| format!("{name}/{image:04}.png"))).collect();
    all.push(r"caf\xE9/9.png".into());
    all.sort();
    for format in ["npz", "safetensors", "csv", "parquet"] {
        let out = format!("e.{format}");
        facegrad(&["embed", "hard", "--model", "runs/tiny", "--out", &out]);
        let file = EmbeddingFile::open(place.path(&out)).unwrap();
        let mut names = file.names().to_vec();
        names.sort();
        assert_eq!(names, all, "{format}");
        for (name, identity) in file.names().iter().zip(file.identities().unwrap()) {
            assert_eq!(name.split_once('/').unwrap().0, identity);
            assert!(place.path("hard").join(path_of(name)).is_file(), "{name}");
        }
    }

    // Lists are read back as they were written.
    facegrad(&["data", "pairs", "hard", "--folds", "2", "--per-fold", "6", "--out", "pairs.csv"]);
    let told = facegrad(&["eval", "runs/tiny", "--pairs", "pairs.csv", "--images", "hard"]);
    assert!(told.stdout.contains("12 genuine, 12 impostor"), "{told}");
    facegrad(&["data", "audit", "hard", "--exclude", "exclude.csv", "--exclude-what", "duplicate"]);
    let excluded = place.text("exclude.csv");
    assert!(excluded.lines().nth(1).unwrap().starts_with(r"caf\xE9/9.png,duplicate,caf\xE9,"), "{excluded}");
    let without = convert("hard", "without.tar", &["--set", "exclude=exclude.csv"]);
    let said = facegrad(&without);
    assert!(said.stderr.contains("30 images of 10 identities; left out: 1 excluded image\n"), "{said}");
    facegrad(&["embed", "hard", "--model", "runs/tiny", "--out", "e.npz"]);

    // From format to format everybody stays one.
    let (from, mut before) = ("without.tar", Vec::new());
    for (from, to) in
        [(from, "a.rec"), ("a.rec", "b.parquet"), ("b.parquet", "c"), ("c", "d.tar"), ("d.tar", "e")]
    {
        let more: &[&str] = if to.contains('.') { &[] } else { &["--to", "folder"] };
        let said = facegrad(&convert(from, to, more));
        assert!(said.stdout.contains("30 images of 10 identities"), "{said}");
        if !to.contains('.') {
            let mut images: Vec<Vec<Vec<u8>>> = people(&place, to).into_values().collect();
            images.sort();
            assert!(before.is_empty() || before == images, "{to}");
            before = images;
        }
    }
    let names: Vec<String> = people(&place, "c").into_keys().collect();
    for name in ["Jose\u{301}", "Jos\u{e9}_2", "caf_xE8", "caf_xE9", "_blank_"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }

    // A person is found under their own name, from the folder and from an index of it.
    let probes: [&str; 2] = ["hard/Jose\u{301}/0001.png", "hard/Jos\u{e9}/0001.png"];
    let save = ["--save", "index.safetensors", "--json"];
    for gallery in [&["identify", "hard"][..], &["identify", "index.safetensors"]] {
        let save = if gallery[1] == "hard" { &save[..] } else { &save[2..] };
        let told = facegrad(&[gallery, &probes, &["--model", "runs/tiny"], save].concat());
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        for (probe, name) in probes.iter().zip(told["probes"].as_array().unwrap()) {
            assert_eq!(format!("hard/{}", name["people"][0]["image"].as_str().unwrap()), *probe);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_name_of_the_same_look_is_pointed_at() {
    let place = Place::new();
    synth(&place, 2, 2);
    place.train(&[]).done();
    if fs::rename(place.path("faces/000000"), place.path("faces/Jose\u{301}")).is_err()
        || fs::rename(
            place.path("faces/000001"),
            place.path("faces").join(facegrad_files::path_of(r"caf\xE9")),
        )
        .is_err()
    {
        return; // A file system that refuses such names.
    }
    let refused = |arguments: &[&str]| place.facegrad(arguments).code(2).sentence();
    let jose = "Jose\u{301}/0000.png is there, which looks the same and is another name (decomposed (NFD), not composed \
                (NFC))";
    place.write(
        "pairs.txt",
        "Jos\u{e9}/0000.png Jos\u{e9}/0001.png 1\nJos\u{e9}/0000.png caf\u{e9}/0000.png 0\n",
    );
    let said = refused(&["eval", "runs/tiny", "--pairs", "pairs.txt", "--images", "faces"]);
    assert!(said.ends_with(&format!("3 of its 3 images are missing; {jose}")), "{said}");
    place.write("list.txt", "Jos\u{e9}/0000.png jose\ncaf\u{e9}/0000.png cafe\n");
    let said = refused(&convert("list.txt", "a.tar", &["--set", "root=faces"]));
    assert!(said.ends_with(&format!("Jos\u{e9}/0000.png\", and {jose}")), "{said}");
    let said = refused(&["embed", "list.txt", "--images", "faces", "--model", "runs/tiny", "--out", "e.npz"]);
    assert!(said.contains(jose), "{said}");
    place.write("keep.txt", "caf\u{e9}/0000.png\nJos\u{e9}/0001.png\n");
    let said = refused(&convert("faces", "a.tar", &["--set", "keep=keep.txt"]));
    assert!(said.contains("is there, which looks the same and is another name ("), "{said}");
    place.write("keep.txt", "Jos\u{e9}/0001.png\ncaf\\xE9/0000.png\n");
    let said = place.facegrad(&convert("faces", "a.tar", &["--set", "keep=keep.txt"])).done();
    let note =
        "keep.txt names an image that is not there; Jose\u{301}/0001.png is there, which looks the same";
    assert!(said.stderr.contains(note), "{said}");
}

#[cfg(unix)]
#[test]
fn folders_and_files_may_be_called_anything() {
    let place = Place::new();
    synth(&place, 4, 3);
    if fs::rename(place.path("faces"), place.path("").join(facegrad_files::path_of(r"caf\xE9"))).is_err() {
        return; // A file system that refuses such names.
    }
    // The shell hands over the bytes.
    let run = |line: &str| place.start("sh", &["-c", line, FACEGRAD]).wait().done();
    let json = |line: &str| serde_json::from_str::<Value>(&run(line).stdout).unwrap();
    assert_eq!(json("$0 data pairs caf* --folds 1 --per-fold 3 --out p.csv --json")["folder"], r"caf\xE9");
    assert_eq!(json("$0 data audit caf* --json --report \"$(echo caf*).html\"")["set"], r"caf\xE9");
    let told = json("$0 data convert \"$(echo caf?)\" \"$(echo caf?).tar\" --json");
    assert_eq!((&told["source"], &told["files"][0]), (&r"caf\xE9".into(), &r"caf\xE9.tar".into()));
    // A config can name it, and so can its copy in the run.
    place
        .train(&[
            "data.train.kind=folder",
            r#"data.train.path='caf\xE9'"#,
            r#"run.folder='runs-\xFF'"#,
            "run.batch=8",
            "evaluation=[]",
        ])
        .done();
    let run = place.path("").join(facegrad_files::path_of(r"runs-\xFF")).join("tiny");
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains(r#"path = 'caf\xE9'"#) || config.contains(r#"path = "caf\\xE9""#), "{config}");
    assert!(fs::read_dir(run).unwrap().count() > 3);
}
