//! Files from a server that is good, slow, broken or a liar.

#[path = "../../../tests/support/server.rs"]
mod server;

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    thread,
    time::Duration,
};

use facegrad_datasets::{Download, FetchError, FetchOptions, FetchResult, fetch};
use facegrad_files::{Stop, sha256};
use server::{Answer, Server};
use tempfile::TempDir;

const SAME: &str = "\"version 1\"";

/// More than one chunk, no two places alike.
fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn options() -> FetchOptions {
    FetchOptions { backoff: Duration::from_millis(1), attempts: 3, ..FetchOptions::default() }
}

/// A folder to fetch into.
struct Place {
    folder: TempDir,
    content: Vec<u8>,
    sha256: String,
}

impl Place {
    fn new() -> Self {
        let content = content();
        Self { folder: tempfile::tempdir().unwrap(), sha256: sha256(&content), content }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fetch(&self, url: &str) -> Result<FetchResult, FetchError> {
        self.fetch_with(url, &options(), &Stop::default(), &mut |_| {})
    }

    fn fetch_with(
        &self,
        url: &str,
        options: &FetchOptions,
        stop: &Stop,
        progress: &mut dyn FnMut(u64),
    ) -> Result<FetchResult, FetchError> {
        let destination = self.path("file");
        let bytes = self.content.len() as u64;
        fetch(
            &Download { url, bytes, sha256: &self.sha256, destination: &destination },
            options,
            stop,
            progress,
        )
    }

    /// The names in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The file is there, and nothing else.
    fn is_complete(&self) {
        assert_eq!(self.names(), ["file"]);
        assert!(fs::read(self.path("file")).unwrap() == self.content);
    }
}

fn message(result: Result<FetchResult, FetchError>) -> String {
    let message = result.unwrap_err().to_string();
    assert!(!message.contains('\n') && message.len() < 600, "{message}");
    message
}

#[test]
fn a_file_arrives_whole_and_only_once() {
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| Answer::ranged(request, &body, SAME));
    let mut seen = Vec::new();
    let stop = Stop::default();
    let fetched =
        place.fetch_with(&server.url("/a"), &options(), &stop, &mut |done| seen.push(done)).unwrap();
    assert_eq!(fetched, FetchResult::Downloaded { resumed_at: 0 });
    place.is_complete();
    assert!(seen.is_sorted() && seen.last() == Some(&(place.content.len() as u64)), "{seen:?}");
    assert_eq!(place.fetch(&server.url("/a")).unwrap(), FetchResult::AlreadyThere);
    assert_eq!(server.requests().len(), 1);
    let headers = &server.requests()[0].headers;
    assert!(headers["user-agent"].starts_with("facegrad/") && headers["accept-encoding"] == "identity");
    // Without a length the hash still decides.
    let body = place.content.clone();
    let server = Server::new(move |_| Answer::new(200, &body).without_length());
    fs::remove_file(place.path("file")).unwrap();
    place.fetch(&server.url("/a")).unwrap();
    place.is_complete();
}

#[test]
fn a_connection_that_drops_is_taken_up_where_it_was() {
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| {
        let answer = Answer::ranged(request, &body, SAME);
        if request.number < 2 { answer.cut(400_000) } else { answer }
    });
    assert_eq!(place.fetch(&server.url("/a")).unwrap(), FetchResult::Downloaded { resumed_at: 0 });
    place.is_complete();
    assert_eq!(server.starts(), [0, 400_000, 800_000]);
    assert_eq!(server.requests()[1].headers["if-range"], SAME);
    assert!(!server.requests()[0].headers.contains_key("range"));
}

#[test]
fn the_next_call_goes_on_where_the_last_one_gave_up() {
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| match request.number {
        0 => Answer::ranged(request, &body, SAME).cut(500_000),
        1 | 2 => Answer::new(200, b"").without_length().cut(0),
        _ => Answer::ranged(request, &body, SAME),
    });
    // The second answer has no end either, but is a new beginning: nothing of it is kept.
    let error = message(place.fetch(&server.url("/a")));
    assert!(error.contains("cannot be reached (the connection ended; attempts: 3)"), "{error}");
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| {
        let answer = Answer::ranged(request, &body, SAME);
        match request.number {
            0 => answer.cut(500_000),
            1 | 2 => answer.cut(0),
            _ => answer,
        }
    });
    let error = message(place.fetch(&server.url("/a")));
    assert!(error.contains("broke off after 500000 of 1200000 bytes"), "{error}");
    assert!(error.contains("kept in") && error.contains("file.part"), "{error}");
    assert_eq!(place.names(), ["file.etag", "file.part"]);
    assert_eq!(place.fetch(&server.url("/a")).unwrap(), FetchResult::Downloaded { resumed_at: 500_000 });
    place.is_complete();
    assert_eq!(server.starts(), [0, 500_000, 500_000, 500_000]);
    assert_eq!(server.requests()[3].headers["if-range"], SAME);
}

#[test]
fn a_server_that_cannot_resume_sends_it_all_again() {
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| {
        let answer = Answer::new(200, &body);
        if request.number == 0 { answer.cut(300_000) } else { answer }
    });
    place.fetch(&server.url("/a")).unwrap();
    place.is_complete();
    assert_eq!(server.starts(), [0, 300_000]);
}

#[test]
fn a_file_that_changes_between_two_parts_starts_over() {
    // A server that understands If-Range, one that does not, and one without marks.
    for (etags, understands) in [(["\"a\"", "\"b\""], true), (["\"a\"", "\"b\""], false), (["", ""], false)] {
        let place = Place::new();
        let (old, new) = (vec![7; place.content.len()], place.content.clone());
        let server = Server::new(move |request| {
            let mut request = request.clone();
            if !understands {
                request.headers.remove("if-range");
            }
            match request.number {
                0 => Answer::ranged(&request, &old, etags[0]).cut(300_000),
                _ => Answer::ranged(&request, &new, etags[1]),
            }
        });
        place.fetch(&server.url("/a")).unwrap();
        place.is_complete();
        let expected: &[usize] = if understands { &[0, 300_000] } else { &[0, 300_000, 0] };
        assert_eq!(server.starts(), expected);
    }
}

#[test]
fn a_part_of_something_else_is_given_up_for_the_file() {
    // Of the same length as the file, shorter, and longer; the last cannot be a part at all.
    for (length, starts) in [(1_200_000, &[0][..]), (1000, &[1000, 0]), (1_300_000, &[0])] {
        let place = Place::new();
        fs::write(place.path("file.part"), vec![1; length]).unwrap();
        fs::write(place.path("file.etag"), "no\nmark").unwrap();
        let body = place.content.clone();
        let server = Server::new(move |request| Answer::ranged(request, &body, ""));
        assert_eq!(place.fetch(&server.url("/a")).unwrap(), FetchResult::Downloaded { resumed_at: 0 });
        assert!(fs::read(place.path("file")).unwrap() == place.content);
        assert_eq!(server.starts(), starts, "{length}");
    }
    // A server that has less than the part.
    let place = Place::new();
    fs::write(place.path("file.part"), vec![1; 5000]).unwrap();
    let body = place.content.clone();
    let server = Server::new(move |request| match request.start() {
        0 => Answer::new(200, &body),
        _ => Answer::new(416, b""),
    });
    place.fetch(&server.url("/a")).unwrap();
    place.is_complete();
    // A server that sends another piece than the one that was asked for.
    let place = Place::new();
    fs::write(place.path("file.part"), &place.content[..5000]).unwrap();
    let body = place.content.clone();
    let server = Server::new(move |request| match request.start() {
        0 => Answer::new(200, &body),
        _ => Answer::new(206, &body[1..]).with("Content-Range", "bytes 1-1199999/1200000".into()),
    });
    place.fetch(&server.url("/a")).unwrap();
    place.is_complete();
}

#[test]
fn a_file_of_another_size_is_refused_before_it_comes() {
    let place = Place::new();
    for (length, found) in [(1_199_999, "has 1199999 bytes"), (u64::MAX, "has 18446744073709551615 bytes")] {
        let server =
            Server::new(move |_| Answer::new(200, &[0; 10]).with("Content-Length", length.to_string()));
        let error = message(place.fetch(&server.url("/a")));
        assert!(error.contains(found) && error.contains("1200000 are expected"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    // The rest of another file.
    fs::write(place.path("file.part"), &place.content[..1000]).unwrap();
    for (range, length, found) in [
        ("bytes 1000-1999/2000", 1000, "has 2000 bytes"),
        ("bytes 1000-1300999/*", 1_300_000, "has 1301000 bytes"),
    ] {
        let server = Server::new(move |_| {
            Answer::new(206, &[0; 10])
                .with("Content-Range", range.into())
                .with("Content-Length", length.to_string())
        });
        let error = message(place.fetch(&server.url("/a")));
        assert!(error.contains(found), "{error}");
    }
}

#[test]
fn no_more_than_the_expected_bytes_reach_the_disk() {
    let place = Place::new();
    let mut body = place.content.clone();
    body.extend([0; 100_000]);
    let server = Server::new(move |_| Answer::new(200, &body).without_length());
    let mut most = 0;
    let part = place.path("file.part");
    let stop = Stop::default();
    let result = place.fetch_with(&server.url("/a"), &options(), &stop, &mut |_| {
        most = most.max(fs::metadata(&part).unwrap().len());
    });
    let error = message(result);
    assert!(error.contains("has more than 1200000 bytes, and 1200000 are expected"), "{error}");
    assert!(most > 0 && most <= 1_200_000, "{most}");
    assert!(place.names().is_empty());
}

#[test]
fn another_hash_is_refused_with_both_and_leaves_nothing() {
    let place = Place::new();
    let mut body = place.content.clone();
    body[777_777] ^= 1;
    let found = sha256(&body);
    let server = Server::new(move |request| Answer::ranged(request, &body, SAME));
    let error = message(place.fetch(&server.url("/a")));
    assert!(
        error.contains(&found) && error.contains(&place.sha256) && error.contains("was deleted"),
        "{error}"
    );
    assert!(place.names().is_empty());
    assert_eq!(server.requests().len(), 1);
    // After a resumed part it is tried once from nothing, and not for ever.
    fs::write(place.path("file.part"), &place.content[..1000]).unwrap();
    assert!(message(place.fetch(&server.url("/a"))).contains(&found));
    assert_eq!(server.starts(), [0, 1000, 0]);
    assert!(place.names().is_empty());
}

#[test]
fn redirects_are_followed_a_few_times_and_only_to_the_web() {
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| match request.path.as_str() {
        "/a" => Answer::new(302, b"").with("Location", "/b".into()),
        "/b" => Answer::new(301, b"").with("Location", "/c?d=e".into()),
        "/c?d=e" => Answer::ranged(request, &body, SAME),
        "/loop" => Answer::new(302, b"").with("Location", "/loop".into()),
        "/file" => Answer::new(302, b"").with("Location", "file:///etc/passwd".into()),
        "/ftp" => Answer::new(302, b"").with("Location", "ftp://127.0.0.1/x".into()),
        "/nowhere" => Answer::new(302, b""),
        _ => Answer::new(404, b""),
    });
    for (path, expected) in [
        ("/loop", "from one address to another more than 5 times"),
        // The client takes it for a path on the same server: nothing of this machine is read.
        ("/file", "status 404"),
        ("/ftp", "/ftp leads to"),
        ("/nowhere", "missing a location"),
    ] {
        let before = server.requests().len();
        let error = message(place.fetch(&server.url(path)));
        assert!(error.contains(expected), "{path}: {error}");
        assert!(server.requests().len() - before <= 6, "{path}");
        assert!(place.names().is_empty(), "{path}");
    }
    place.fetch(&server.url("/a")).unwrap();
    place.is_complete();
}

#[test]
fn a_status_says_whose_turn_it_is() {
    let place = Place::new();
    for (status, expected, requests) in [
        (404, "no longer there", 1),
        (403, "without permission", 1),
        (202, "what a browser saves", 1),
        (400, "answers with status 400", 1),
        (503, "in trouble; try again later", 3),
        (429, "asks for patience", 3),
    ] {
        let server = Server::new(move |_| Answer::new(status, b"<html>sorry</html>"));
        let error = message(place.fetch(&server.url("/a")));
        assert!(error.contains(expected) && error.contains(&server.url("/a")), "{error}");
        assert_eq!(server.requests().len(), requests);
    }
    // A server that is there again.
    let body = place.content.clone();
    let server = Server::new(move |request| match request.number {
        0 => Answer::new(503, b""),
        _ => Answer::ranged(request, &body, SAME),
    });
    place.fetch(&server.url("/a")).unwrap();
    place.is_complete();
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let place = Place::new();
    // The port was free a moment ago.
    let url = Server::new(|_| Answer::new(404, b"")).url("/a");
    let error = message(place.fetch(&url));
    assert!(
        error.contains(&url) && error.contains("cannot be reached") && error.contains("attempts: 3"),
        "{error}"
    );
    let error = message(place.fetch("http://nothing.invalid/a"));
    assert!(error.contains("nothing.invalid") && error.contains("cannot be reached"), "{error}");
    // One that speaks no TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/a", listener.local_addr().unwrap());
    let plain = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = message(place.fetch(&url));
    plain.join().unwrap();
    assert!(error.contains("does not answer as https should"), "{error}");
    let error = message(place.fetch("ftp://127.0.0.1/a"));
    assert!(error.contains("neither http nor https"), "{error}");
}

#[test]
fn a_server_that_goes_silent_is_left_and_asked_again() {
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| {
        let answer = Answer::ranged(request, &body, SAME);
        if request.number == 0 { answer.hang(200_000) } else { answer }
    });
    // Silence of the second answer for that long would only bring a third.
    let options = FetchOptions { idle: Duration::from_millis(300), attempts: 100, ..options() };
    place.fetch_with(&server.url("/a"), &options, &Stop::default(), &mut |_| {}).unwrap();
    place.is_complete();
    assert_eq!(server.starts()[..2], [0, 200_000]);
    // One that never says anything.
    let place = Place::new();
    let server = Server::new(|_| Answer::new(200, &[0; 10]).with("Content-Length", "1200000".into()).hang(0));
    let options = FetchOptions { idle: Duration::from_millis(50), attempts: 2, ..options };
    let error = message(place.fetch_with(&server.url("/a"), &options, &Stop::default(), &mut |_| {}));
    assert!(error.contains("cannot be reached") && error.contains("attempts: 2"), "{error}");
}

#[test]
fn stopping_keeps_what_is_there_even_if_the_server_is_silent() {
    let place = Place::new();
    let body = place.content.clone();
    let server = Server::new(move |request| {
        let answer = Answer::ranged(request, &body, SAME);
        if request.number == 0 { answer.hang(600_000) } else { answer }
    });
    let stop = Stop::default();
    // Half a minute of silence would be allowed.
    let result = place.fetch_with(&server.url("/a"), &options(), &stop, &mut |done| {
        if done == 600_000 {
            stop.ask();
        }
    });
    assert!(matches!(result, Err(FetchError::Stopped { done: 600_000, bytes: 1_200_000, .. })), "{result:?}");
    assert_eq!(place.names(), ["file.etag", "file.part"]);
    assert_eq!(place.fetch(&server.url("/a")).unwrap(), FetchResult::Downloaded { resumed_at: 600_000 });
    place.is_complete();
    // From the start, and while an old part is read again.
    let place = Place::new();
    fs::write(place.path("file.part"), &place.content[..100_000]).unwrap();
    let stop = Stop::default();
    stop.ask();
    let result = place.fetch_with(&server.url("/a"), &options(), &stop, &mut |_| {});
    assert!(matches!(result, Err(FetchError::Stopped { done: 100_000, .. })), "{result:?}");
}

#[test]
fn what_has_the_name_already_is_not_touched() {
    let place = Place::new();
    fs::write(place.path("file"), "mine").unwrap();
    let error = message(place.fetch("http://127.0.0.1:9/a"));
    assert!(
        error.contains("is there already and is another file") && error.contains(&place.sha256),
        "{error}"
    );
    assert_eq!(fs::read(place.path("file")).unwrap(), b"mine");
    assert_eq!(place.names(), ["file"]);
}

#[test]
fn two_processes_do_not_write_the_same_file() {
    let place = Place::new();
    let part = File::create(place.path("file.part")).unwrap();
    part.lock().unwrap();
    let error = message(place.fetch("http://127.0.0.1:9/a"));
    assert!(error.contains("file.part is being written by another process"), "{error}");
}
