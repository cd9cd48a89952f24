//! What every verb prints and writes, kept in `tests/golden/`: a change of output shows as a change of a file.
//!
//! What is computed from given embeddings is kept with five digits of every number. What a trained network
//! says depends on the processor, so there the words are kept and each number is `#`.

mod support;

use std::{fmt::Write, fs, path::Path};

use expect_test::expect_file;

use support::{
    Place, TINY, train,
    transcript::{Transcript, as_it_is, five_digits, no_numbers},
};

/// A number from -1 to 1 that follows from three others.
fn arithmetic(a: usize, b: usize, c: usize) -> f64 {
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    for value in [a, b, c] {
        x = (x ^ value as u64).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23) ^ (x >> 29);
    }
    (x % 257) as f64 / 128.0 - 1.0
}

const PEOPLE: usize = 40;
const IMAGES: usize = 8;

fn image(person: usize, number: usize) -> String {
    format!("p{person:02}/p{person:02}_{number:04}.png")
}

/// Embeddings of 8 images each of 40 people, and lists that name them, in every form that results come from.
fn measured() -> Place {
    let place = Place::new();
    for (name, noise) in [("faces.csv", 0.9), ("better.csv", 0.6)] {
        let mut csv = String::from("name,identity");
        (0..12).for_each(|d| write!(csv, ",e{d}").unwrap());
        for (person, number) in (0..PEOPLE).flat_map(|p| (1..=IMAGES).map(move |n| (p, n))) {
            write!(csv, "\n{},p{person:02}", image(person, number)).unwrap();
            for d in 0..12 {
                let value = arithmetic(person, 0, d) + noise * arithmetic(person, number, d);
                write!(csv, ",{value}").unwrap();
            }
        }
        place.write(name, csv + "\n");
    }
    // Four folds of ten people each, LFW's form and a list of paths.
    let (mut lfw, mut list) = ("4\t60\n".to_owned(), "image1,image2,same,fold\n".to_owned());
    for fold in 0..4 {
        for (person, (i, j)) in (10 * fold..10 * fold + 10)
            .flat_map(|p| [(1, 2), (3, 4), (5, 6), (7, 8), (1, 8), (2, 7)].map(|pair| (p, pair)))
        {
            writeln!(lfw, "p{person:02}\t{i}\t{j}").unwrap();
            writeln!(list, "{},{},1,{fold}", image(person, i), image(person, j)).unwrap();
        }
        for (person, step) in (0..10).flat_map(|p| (1..=6).map(move |step| (p, step))) {
            let (a, b, j) = (10 * fold + person, 10 * fold + (person + step) % 10, step + 1);
            writeln!(lfw, "p{a:02}\t{step}\tp{b:02}\t{j}").unwrap();
            writeln!(list, "{},{},0,{fold}", image(a, step), image(b, j)).unwrap();
        }
    }
    place.write("few.csv", list.lines().take(11).collect::<Vec<_>>().join("\n"));
    place.write("lfw.txt", lfw);
    place.write("list.csv", list);

    // A gallery of two images of thirty people; probes of all.
    let (mut gallery, mut probes) = (String::new(), String::new());
    for (person, number) in (0..PEOPLE).flat_map(|p| (1..=IMAGES).map(move |n| (p, n))) {
        let to = if number > 2 { &mut probes } else { &mut gallery };
        if number > 2 || person < 30 {
            writeln!(to, "{} p{person:02}", image(person, number)).unwrap();
        }
    }
    place.write("gallery.txt", gallery);
    place.write("probes.txt", probes);
    blufr(&place);
    ijb(&place);
    place
}

/// Two trials of BLUFR: a gallery of one image of thirty people, everything else a probe.
fn blufr(place: &Place) {
    let all: Vec<(usize, usize)> = (0..PEOPLE).flat_map(|p| (1..=IMAGES).map(move |n| (p, n))).collect();
    let file = |&(p, n): &(usize, usize)| format!("p{p:02}_{n:04}.jpg");
    place.write("blufr/image_list.txt", all.iter().map(|image| file(image) + "\n").collect::<String>());
    place.write("blufr/labels.txt", all.iter().map(|(p, _)| format!("{}\n", p + 1)).collect::<String>());
    let set = |is_in: &dyn Fn(usize, usize) -> bool| {
        let chosen: Vec<usize> = (0..all.len()).filter(|i| is_in(all[*i].0, all[*i].1)).collect();
        let lines: String = chosen.iter().map(|i| format!("{}, {}\n", i + 1, file(&all[*i]))).collect();
        format!("{}\n{lines}", chosen.len())
    };
    let trials = |is_in: &dyn Fn(usize, usize, usize) -> bool| {
        format!("2\n{}{}", set(&|p, n| is_in(1, p, n)), set(&|p, n| is_in(2, p, n)))
    };
    place.write("blufr/test_set.txt", trials(&|_, _, _| true));
    place.write("blufr/gallery_set.txt", trials(&|trial, p, n| p < 30 && n == trial));
    place.write("blufr/probe_set.txt", trials(&|trial, p, n| !(p < 30 && n == trial)));
}

/// IJB-C: templates of five and of three images.
fn ijb(place: &Place) {
    const COLUMNS: &str = "TEMPLATE_ID,SUBJECT_ID,FILENAME\n";
    let (mut media, mut points, mut pairs) = (String::new(), String::new(), String::new());
    let (mut gallery, mut probes) = ([COLUMNS.to_owned(), COLUMNS.to_owned()], COLUMNS.to_owned());
    let mut embeddings = String::new();
    let faces = place.text("faces.csv");
    let mut rows = faces.lines();
    writeln!(embeddings, "{}", rows.next().unwrap()).unwrap();
    for (i, row) in rows.enumerate() {
        let (person, number) = (i / IMAGES, i % IMAGES);
        let name = format!("{}.jpg", i + 1);
        writeln!(embeddings, "{name},{}", row.split_once(',').unwrap().1).unwrap();
        let template = 10 * (person + 1) + usize::from(number > 4);
        writeln!(media, "{name} {template} {}", 100 * person + number / 2).unwrap();
        writeln!(points, "{name} 30 30 60 30 45 45 32 60 58 60 0.{}", 90 + number).unwrap();
        let list = if number > 4 { &mut probes } else { &mut gallery[person % 2] };
        writeln!(list, "{template},{},{name}", person + 1).unwrap();
    }
    for (a, b) in (1..=PEOPLE).flat_map(|a| (1..=PEOPLE).map(move |b| (a, b))) {
        writeln!(pairs, "{} {} {}", 10 * a, 10 * b + 1, u8::from(a == b)).unwrap();
    }
    place.write("ijb.csv", embeddings);
    place.write_ijbc([&media, &points, &pairs, &gallery[0], &gallery[1], &probes]);
}

#[test]
fn results_of_given_embeddings() {
    let place = measured();
    let pairs = ["--protocol", "pairs:pairs=list.csv,images=faces"];
    let protocols: [(&str, &[&str]); 6] = [
        ("pairs", &["faces.csv", pairs[0], pairs[1], "--bootstrap", "50", "--compat", "insightface"]),
        ("few-pairs", &["faces.csv", "--protocol", "pairs:pairs=few.csv,images=faces", "--bootstrap", "50"]),
        ("all-pairs", &["faces.csv", "--protocol", "all_pairs"]),
        (
            "identification",
            &[
                "faces.csv",
                "--protocol",
                "identification:gallery=gallery.txt,probes=probes.txt,images=faces",
                "--bootstrap",
                "50",
            ],
        ),
        ("blufr", &["faces.csv", "--protocol", "blufr:lists=blufr,images=faces"]),
        ("ijb", &["ijb.csv", "--protocol", "ijb:folder=IJBC"]),
    ];
    for (name, arguments) in protocols {
        let eval = [&["eval"], arguments].concat();
        let mut transcript = Transcript::new(&place, five_digits);
        transcript.run(&[&eval[..], &["--report", "page.html"]].concat()).file("page.html");
        transcript.run(&[&eval[..], &["--json"]].concat());
        transcript.run(&[&eval[..], &["--csv", "table.csv"]].concat()).file("table.csv");
        transcript.is(&format!("eval-{name}.txt"));
    }
    // Two models, two protocols, every switch.
    let mut transcript = Transcript::new(&place, five_digits);
    let two =
        ["eval", "faces.csv", "better.csv", pairs[0], pairs[1], "--pairs", "lfw.txt", "--images", "faces"];
    let switches = ["--score", "euclidean", "--centring", "other_folds", "--bootstrap", "50"];
    let files = ["--csv", "both.csv", "--report", "both.html"];
    transcript.run(&[&two[..], &switches, &files].concat()).file("both.csv").file("both.html");
    transcript.run(&[&two[..], &["--json", "--bootstrap", "0"]].concat());
    transcript.run(&[
        "eval",
        "faces.csv",
        pairs[0],
        pairs[1],
        "--whiten-on",
        "better.csv",
        "--components",
        "6",
        "--bootstrap",
        "0",
    ]);
    transcript.is("eval-two-models.txt");
}

/// The tiny run, with pairs of people of whom there are enough for a bootstrap.
#[test]
fn a_run_and_what_is_made_of_it() {
    let place = Place::new();
    place.write("tiny.toml", TINY.replace("identities = 10\nimages = 4", "identities = 12\nimages = 4"));
    let mut run = Transcript::new(&place, no_numbers);
    run.run(&train("tiny.toml", &["--preflight"]));
    run.run(&train("tiny.toml", &[]));
    for name in ["config.toml", "log.jsonl", "metrics.csv", "report.html"] {
        run.file(&format!("runs/tiny/{name}"));
    }
    run.run(&train("tiny.toml", &["run.name=json", "run.steps=2", "--json"]));
    run.is("train.txt");

    let mut used = Transcript::new(&place, no_numbers);
    let synth = ["data", "synth", "--identities", "12", "--images", "6", "--size", "20"];
    used.run(&[&synth[..], &["--first-identity", "1000", "--out", "faces"]].concat());
    let pairs = ["data", "pairs", "faces", "--folds", "2", "--per-fold", "60", "--out", "pairs.csv"];
    used.run(&pairs);
    used.run(&["show", "runs/tiny"]).run(&["show", "runs/tiny", "--json"]);
    let measured = ["--pairs", "pairs.csv", "--images", "faces"];
    used.run(&[&["eval", "runs/tiny"][..], &measured].concat());
    used.run(
        &[&["calibrate", "runs/tiny", "--at", "eer", "--out", "model.safetensors"][..], &measured].concat(),
    );
    used.run(&[&["calibrate", "runs/tiny", "--at", "eer,accuracy", "--json"][..], &measured].concat());
    used.run(&["show", "model.safetensors"]);
    let two = ["faces/001000/0000.png", "faces/001000/0001.png", "--model", "model.safetensors"];
    used.run(&[&["verify"][..], &two].concat()).run(&[&["verify"][..], &two, &["--json"]].concat());
    let identify = ["identify", "faces", two[0], "--model", "model.safetensors", "--top", "2"];
    used.run(&identify).run(&[&identify[..], &["--json", "--save", "gallery.safetensors"]].concat());
    used.run(&["identify", "gallery.safetensors", two[1], "--model", "model.safetensors", "--top", "1"]);
    let embed = ["embed", "faces", "--model", "model.safetensors", "--out"];
    used.run(&[&embed[..], &["faces.csv"]].concat()).run(&[&embed[..], &["faces.npz", "--json"]].concat());
    used.run(&["eval", "faces.npz", "--protocol", "all_pairs"]);
    used.is("model.txt");

    let mut compared = Transcript::new(&place, no_numbers);
    let compare = ["compare", "tiny.toml", "--steps", "4", "--seeds", "1,2", "--out", "out"];
    compared.run(&compare).run(&[&compare[..], &["--json"]].concat());
    compared.file("out/compare.md").file("out/compare.html").file("out/compare.json");
    compared.is("compare.txt");
}

#[test]
fn data_and_what_is_told_of_it() {
    let place = Place::new();
    let mut data = Transcript::new(&place, no_numbers);
    let synth = ["data", "synth", "--identities", "6", "--images", "5", "--size", "24", "--out", "faces"];
    data.run(&synth).run(&[
        "data",
        "synth",
        "--identities",
        "2",
        "--images",
        "2",
        "--size",
        "24",
        "--out",
        "faces",
    ]);
    // A copy under another person, and a file that is no image.
    fs::copy(place.path("faces/000000/0000.png"), place.path("faces/000001/0009.png")).unwrap();
    place.write("faces/000002/0000.png", "no image");
    place.write("faces/notes.txt", "no image either");
    data.run(&["data", "audit", "faces", "--report", "audit.html"]).file("audit.html");
    data.run(&["data", "audit", "faces", "--json"]);
    data.run(&["data", "convert", "faces", "shards", "--to", "webdataset", "--on-error", "skip"]);
    data.run(&["data", "convert", "faces", "faces.parquet"]);
    data.run(&["data", "list"]).run(&["data", "show", "lfw"]);
    place.write("marks.csv", "000003/0000.png,8,9,15,9,12,13,9,17,15,17\n");
    data.run(&["align", "faces", "aligned", "--landmarks", "marks.csv", "--size", "32x24"]);
    data.run(&["align", "faces", "aligned-too", "--landmarks", "marks.csv", "--json"]);
    data.file("aligned/alignment.csv");
    data.is("data.txt");
}

#[test]
fn help_of_every_verb_and_explanations() {
    let place = Place::new();
    let mut help = Transcript::new(&place, as_it_is);
    help.run(&["--help"]);
    let verbs = [
        "train",
        "compare",
        "eval",
        "calibrate",
        "show",
        "verify",
        "embed",
        "identify",
        "align",
        "data synth",
        "data convert",
        "data pairs",
        "data list",
        "data show",
        "data fetch",
        "data audit",
        "bench train",
        "bench infer",
        "bench loader",
        "bench heads",
        "bench ops",
        "explain",
        "plot logits",
        "devices",
    ];
    for verb in verbs {
        help.run(&[&verb.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat());
    }
    help.is("help.txt");

    let mut explain = Transcript::new(&place, as_it_is);
    explain.run(&["explain"]);
    for topic in [
        "run",
        "data",
        "data.loader",
        "augmentation",
        "optimizer",
        "schedule",
        "functions",
        "head.margin",
        "iresnet18",
        "arcface",
        "triplet",
        "center",
        "magface",
        "sgd",
        "adamw",
        "pk",
        "pair_file",
        "folder",
        "recordio",
        "focal",
    ] {
        explain.run(&["explain", topic]);
    }
    explain.is("explain.txt");
}

/// The pages of the book that are the program's own words.
#[test]
fn pages_of_commands_and_keys() {
    let place = Place::new();
    place.facegrad(&["manual", "commands", "keys", "--out", "made"]).done();
    for name in ["commands.md", "keys.md"] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        expect_file![kept].assert_eq(&place.text(&format!("made/{name}")));
    }
}
