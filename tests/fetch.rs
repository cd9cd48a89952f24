//! `facegrad data list`, `show` and `fetch`: cards of data sets, and what they name brought from a server here.

#[path = "support/server.rs"]
mod server;
mod support;

use std::{fs, process::Command};

use facegrad::training::Experiment;
use facegrad_datasets::cards;
use facegrad_files::sha256;
use serde_json::Value;
use server::{Answer, Server};
use support::{Ended, FACEGRAD, Place};

const ETAG: &str = "\"one\"";

/// A tar archive of a folder with two people, compressed, and a list beside it.
struct Faces {
    archive: Vec<u8>,
    list: Vec<u8>,
}

impl Faces {
    fn new() -> Self {
        // Hardly compressible, so that the archive is long enough to be cut.
        let noise: Vec<u8> = (0..3125_u32).flat_map(|i| sha256(&i.to_le_bytes()).into_bytes()).collect();
        let place = Place::new();
        for name in ["faces/Ann/1.jpg", "faces/Ann/2.jpg", "faces/Bob/1.jpg"] {
            place.write(name, &noise);
        }
        let made =
            Command::new("tar").args(["-czf", "faces.tgz", "faces"]).current_dir(place.path("")).status();
        assert!(made.unwrap().success());
        Self { archive: place.read("faces.tgz"), list: b"Ann/1.jpg Ann/2.jpg 1\n".to_vec() }
    }

    fn answer(&self, request: &server::Request) -> Answer {
        match request.path.as_str() {
            "/faces.tgz" => Answer::ranged(request, &self.archive, ETAG),
            "/pairs.txt" => Answer::ranged(request, &self.list, ETAG),
            _ => Answer::new(404, b""),
        }
    }

    /// A card of one's own, for a server.
    fn card(&self, server: &Server) -> String {
        format!(
            "name = \"our-faces\"\ntitle = \"Our faces\"\nmade_by = \"us, 2026\"\nuses = [\"training\"]\n\
             about = \"Two people.\"\nlicence = \"internal\"\nterms = \"Not to leave the house.\"\n\
             people = \"Two of us, who agreed.\"\nlayout = \"One folder an identity.\"\nask = \"the office\"\n\
             [[counts]]\nidentities = 2\nimages = 3\n\
             [[reading]]\nwhat = \"Training.\"\nconfig = \"\"\"\n[data.train]\nkind = \"folder\"\n\
             path = \"our-faces/images\"\n\"\"\"\n\
             [[files]]\nname = \"faces.tgz\"\nurl = \"{}\"\nbytes = {}\nsha256 = \"{}\"\nunpack = \"tar.gz\"\n\
             into = \"images\"\nstrip = 1\nmax_unpacked_bytes = 1000000\nmax_entries = 10\n\
             [[files]]\nname = \"pairs.txt\"\nurl = \"{}\"\nbytes = {}\nsha256 = \"{}\"\n",
            server.url("/faces.tgz"),
            self.archive.len(),
            sha256(&self.archive),
            server.url("/pairs.txt"),
            self.list.len(),
            sha256(&self.list),
        )
    }
}

/// A server of the faces, which may do something else, and a place with the card.
fn lab(other: impl Fn(&server::Request, Answer) -> Answer + Send + Sync + 'static) -> (Place, Server, Faces) {
    let faces = Faces::new();
    let served = Faces { archive: faces.archive.clone(), list: faces.list.clone() };
    let server = Server::new(move |request| other(request, served.answer(request)));
    let place = Place::new();
    place.write("card.toml", faces.card(&server));
    (place, server, faces)
}

fn fetch(place: &Place, arguments: &[&str]) -> Ended {
    place.facegrad(&[&["data", "fetch"][..], arguments].concat())
}

fn names(place: &Place, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(place.path(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_card_of_ones_own_is_fetched_unpacked_and_known_again() {
    let (place, server, faces) = lab(|_, answer| answer);
    let ended = fetch(&place, &["card.toml"]).done();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(
        lines[0].starts_with("Our faces: ") && lines[0].ends_with("in 2 files, into our-faces"),
        "{ended}"
    );
    assert_eq!(lines[1], "licence: internal. Not to leave the house.");
    assert_eq!(lines[2], "people: Two of us, who agreed.");
    assert_eq!(lines[3], "our-faces/images: fetched, SHA-256 right; unpacked: 3 files in 2 folders");
    assert_eq!(lines[4], "our-faces/pairs.txt: fetched, SHA-256 right");
    assert_eq!(names(&place, "our-faces"), ["facegrad-fetch.json", "images", "pairs.txt"]);
    assert_eq!(names(&place, "our-faces/images"), ["Ann", "Bob"]);
    assert_eq!(place.read("our-faces/pairs.txt"), faces.list);
    let record: Value = serde_json::from_str(&place.text("our-faces/facegrad-fetch.json")).unwrap();
    assert_eq!(record["files"][0]["sha256"], sha256(&faces.archive));
    assert_eq!(record["licence"], "internal");
    // Once more: nothing is asked for.
    let before = server.requests().len();
    let again = fetch(&place, &["card.toml", "--json"]).done();
    let json: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (&json["outcome"], &json["files"][0]["downloaded"]),
        (&"complete".into(), &false.into()),
        "{again}"
    );
    assert!(again.stderr.contains("Not to leave the house."), "{again}");
    let again = fetch(&place, &["card.toml"]).done();
    assert!(again.stdout.contains("our-faces/images: was there already\n"), "{again}");
    assert_eq!(server.requests().len(), before);
    // What is changed is not overwritten, and what is gone comes again.
    place.write("our-faces/pairs.txt", "mine");
    let sentence = fetch(&place, &["card.toml"]).code(2).sentence();
    assert!(sentence.contains("our-faces/pairs.txt is there already and is another file"), "{sentence}");
    assert_eq!(place.text("our-faces/pairs.txt"), "mine");
    fs::remove_dir_all(place.path("our-faces/images")).unwrap();
    fs::remove_file(place.path("our-faces/pairs.txt")).unwrap();
    fetch(&place, &["card.toml"]).done();
    assert_eq!(names(&place, "our-faces/images"), ["Ann", "Bob"]);
    // Another folder of that name is not touched.
    place.write("other/images/mine.txt", "mine");
    let sentence = fetch(&place, &["card.toml", "--to", "other"]).code(2).sentence();
    assert!(sentence.contains("other/images is there already"), "{sentence}");
    assert_eq!(names(&place, "other/images"), ["mine.txt"]);
}

#[test]
fn an_interrupted_fetch_goes_on_where_it_was() {
    let (place, server, _) =
        lab(|request, answer| if request.number == 0 { answer.hang(100_000) } else { answer });
    let mut running = place.start(FACEGRAD, &["data", "fetch", "card.toml"]);
    let part = place.path("our-faces/faces.tgz.part");
    running.until(|| fs::metadata(&part).is_ok_and(|part| part.len() == 100_000));
    running.signal(&["INT"]);
    let ended = running.wait().code(130);
    assert!(ended.stdout.contains("stopped after 100000 of "), "{ended}");
    assert!(ended.stdout.ends_with("continue with: facegrad data fetch card.toml\n"), "{ended}");
    let ended = fetch(&place, &["card.toml"]).done();
    assert!(ended.stdout.contains("our-faces/images: fetched from 97.66 KiB on, SHA-256 right"), "{ended}");
    assert_eq!(server.starts()[..2], [0, 100_000]);
    assert_eq!(names(&place, "our-faces"), ["facegrad-fetch.json", "images", "pairs.txt"]);
    // A process that is killed leaves its part as well.
    let (place, server, _) =
        lab(|request, answer| if request.number == 0 { answer.hang(150_000) } else { answer });
    let mut running = place.start(FACEGRAD, &["data", "fetch", "card.toml"]);
    let part = place.path("our-faces/faces.tgz.part");
    running.until(|| fs::metadata(&part).is_ok_and(|part| part.len() == 150_000));
    running.kill();
    fetch(&place, &["card.toml"]).done();
    assert_eq!(server.starts()[..2], [0, 150_000]);
    assert_eq!(names(&place, "our-faces"), ["facegrad-fetch.json", "images", "pairs.txt"]);
}

#[test]
fn what_goes_wrong_is_one_sentence() {
    // Another file than the card says, of the same length.
    let (place, _server, faces) = lab(|request, mut answer| {
        if request.path == "/pairs.txt" {
            answer.body[0] ^= 1;
        }
        answer
    });
    let sentence = fetch(&place, &["card.toml"]).code(1).sentence();
    assert!(sentence.contains("pairs.txt has the SHA-256"), "{sentence}");
    assert!(sentence.contains(&sha256(&faces.list)), "{sentence}");
    // What came before stays.
    assert_eq!(names(&place, "our-faces"), ["facegrad-fetch.json", "images"]);
    let card = place.text("card.toml");
    place.write("card.toml", card.replace("/pairs.txt", "/nothing"));
    let sentence = fetch(&place, &["card.toml"]).code(1).sentence();
    assert!(sentence.contains("answers with status 404: the file is no longer there"), "{sentence}");
    let sentence = fetch(&place, &["card.toml", "--to", "new"]).code(1).sentence();
    assert!(sentence.contains("404"), "{sentence}");
    assert_eq!(names(&place, "new"), ["facegrad-fetch.json", "images"]);
    place.write("gone.toml", card.replace("/faces.tgz", "/nothing"));
    fetch(&place, &["gone.toml", "--to", "gone"]).code(1);
    assert!(!place.path("gone").exists());
    // An archive with more in it than the card says.
    place.write("card.toml", card.replace("max_unpacked_bytes = 1000000", "max_unpacked_bytes = 599999"));
    let sentence = fetch(&place, &["card.toml", "--to", "small"]).code(1).sentence();
    assert!(sentence.contains("faces.tgz is not unpacked: it holds more than 599999 bytes"), "{sentence}");
    assert_eq!(names(&place, "small"), ["faces.tgz"]);
    for (from, to, expected) in [
        ("internal", "internal\"\ncolour = \"red", "the card card.toml: line 7: unknown field `colour`"),
        ("name = \"pairs.txt\"", "name = \"../pairs.txt\"", "write a plain name"),
        ("http://", "ftp://", "neither http nor https"),
    ] {
        place.write("card.toml", card.replace(from, to));
        let sentence = fetch(&place, &["card.toml"]).refused(2);
        assert!(sentence.contains(expected), "{sentence}");
    }
    let sentence = fetch(&place, &["nowhere.toml"]).refused(2);
    assert!(sentence.contains("cannot read the card nowhere.toml"), "{sentence}");
}

#[test]
fn a_set_that_has_to_be_asked_for_says_where() {
    let place = Place::new();
    let sentence = fetch(&place, &["webface260m"]).refused(2);
    assert!(sentence.starts_with("webface260m cannot be fetched: sign the agreement"), "{sentence}");
    let sentence = fetch(&place, &["ms1mv3"]).refused(2);
    assert!(sentence.contains("withdrawn by Microsoft in 2019"), "{sentence}");
    let sentence = fetch(&place, &["mnits"]).refused(2);
    assert!(sentence.contains("did you mean \"mnist\"?"), "{sentence}");
    assert_eq!(names(&place, ""), ["tiny.toml"]);
}

#[test]
fn the_cards_are_listed_and_shown() {
    let place = Place::new();
    let list = place.facegrad(&["data", "list"]).done().stdout;
    let line = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("lfw").contains("5,749") && line("lfw").contains("13,233") && line("lfw").contains("fetch"));
    assert!(line("glint360k").contains("asking") && line("synthetic").contains("drawing"), "{list}");
    assert!(list.lines().all(|line| line.chars().count() <= 110), "{list}");
    let json: Value =
        serde_json::from_str(&place.facegrad(&["data", "list", "--json"]).done().stdout).unwrap();
    let cards = json.as_array().unwrap();
    assert_eq!(cards.len(), list.lines().count() - 3);
    let shown = place.facegrad(&["data", "show", "CASIA-WebFace"]).done().stdout;
    assert!(shown.starts_with("CASIA-WebFace (casia-webface)\n\n"), "{shown}");
    assert!(shown.contains("10,572 identities, 490,623 images (insightface's RecordIO)"), "{shown}");
    assert!(shown.contains("              kind = \"recordio\"\n"), "{shown}");
    let json = place.facegrad(&["data", "show", "mnist", "--json"]).done().stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, *cards.iter().find(|card| card["name"] == "mnist").unwrap());
    let sentence = place.facegrad(&["data", "show", "webface"]).refused(2);
    assert!(sentence.contains("did you mean \"webface260m\"?"), "{sentence}");
}

/// What a card says is put into a config file as it stands.
#[test]
fn every_card_is_read_as_it_says() {
    for card in cards() {
        for reading in &card.reading {
            let table = format!("[run]\nepochs = 1\n{}", reading.config).parse().unwrap();
            if let Err(error) = Experiment::resolve(table, &[]) {
                panic!("{}: {error}\n{}", card.name, reading.config);
            }
        }
    }
}
