//! The documentation runs: every command that README.md, `docs/` and the others show is executed on small data, every
//! output that they show is the program's own, every piece of a config is read, and every link leads somewhere.
//! CONTRIBUTING.md says how they are written. `FACEGRAD_DOCS=docs/start.md` runs that file alone.

#![cfg(unix)]

mod support;

#[path = "docs/book.rs"]
mod book;
#[path = "support/browser.rs"]
mod browser;
#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/output.rs"]
mod output;
#[path = "docs/page.rs"]
mod page;
#[path = "docs/place.rs"]
mod place;
#[path = "docs/run.rs"]
mod run;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use book::Shown;
use page::{Fault, Page, broken_links};
use run::run_page;
use support::Place;

/// Texts outside of `docs/` whose commands are run.
const OTHERS: [&str; 4] = ["README.md", "CONTRIBUTING.md", "checkpoints/README.md", "datasets/README.md"];

/// Texts whose links are checked, and that have no commands for everyone.
const LINKS_ALONE: [&str; 3] = ["CHANGELOG.md", "benches/README.md", "fuzz/README.md"];

/// What `facegrad manual` writes, and a test of it compares as a whole.
const GENERATED: [&str; 2] = ["docs/commands.md", "docs/keys.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Names of all markdown files of `docs/`.
fn chapters() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                names.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.sort();
    names
}

fn read(name: &str) -> Page {
    Page::new(name, &fs::read_to_string(root().join(name)).unwrap())
}

/// The texts that are run, or that one which is asked for.
fn pages() -> Vec<Page> {
    let asked = env::var("FACEGRAD_DOCS").ok();
    let names: Vec<String> = OTHERS.map(str::to_owned).into_iter().chain(chapters()).collect();
    let is_run = |name: &&String| match &asked {
        Some(asked) => *name == asked,
        None => !GENERATED.contains(&name.as_str()),
    };
    let pages: Vec<Page> = names.iter().filter(is_run).map(|name| read(name)).collect();
    assert!(!pages.is_empty(), "FACEGRAD_DOCS is none of {}", names.join(", "));
    pages
}

/// Fails with everything that is wrong.
fn none(faults: Vec<Fault>) {
    let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "\n\n{}\n", faults.join("\n\n"));
}

#[test]
fn every_command_and_every_output_is_what_the_program_does() {
    let pages = pages();
    let started = Instant::now();
    let prepared = place::prepared(&root());
    eprintln!("{:4.1} s  the place", started.elapsed().as_secs_f64());
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let place = Place::new();
                    fs::remove_file(place.path("tiny.toml")).unwrap();
                    support::copy(&prepared.path(""), &place.path(""));
                    let found = run_page(page, &place, &root());
                    faults.lock().unwrap().extend(found);
                }
            });
        }
    });
    none(faults.into_inner().unwrap());
}

#[test]
fn every_link_leads_somewhere() {
    let names = OTHERS.into_iter().chain(LINKS_ALONE).map(str::to_owned).chain(chapters());
    let pages: Vec<Page> = names.map(|name| read(&name)).collect();
    none(broken_links(&pages, |path| root().join(path).exists()));
}

#[test]
fn every_page_is_in_the_book() {
    let summary = read("docs/SUMMARY.md");
    let left_out: Vec<String> = chapters()
        .into_iter()
        .filter(|name| name != "docs/SUMMARY.md")
        .filter(|name| summary.links.iter().all(|link| format!("docs/{}", link.target) != *name))
        .collect();
    assert!(left_out.is_empty(), "docs/SUMMARY.md names all pages but {}", left_out.join(", "));
}

/// Builds the book and reads it: every link of every page leads somewhere, nothing comes from elsewhere, a search
/// finds something without a network, and no page is wider than a phone.
#[test]
fn the_book_is_whole() {
    let Some(mdbook) = book::mdbook() else {
        assert!(env::var_os("FACEGRAD_REQUIRE_BOOK").is_none(), "no mdBook, and FACEGRAD_MDBOOK names none");
        eprintln!("skipped: no mdBook on the PATH, and FACEGRAD_MDBOOK names none");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let built = Command::new(mdbook)
        .arg("build")
        .arg(root().join("docs"))
        .arg("-d")
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "{said}");
    let faults = book::faults(folder.path());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let files = book::files(folder.path());
    assert!(files.iter().any(|name| name.starts_with("searchindex") && name.ends_with(".js")), "{files:?}");

    let Some(browser) = browser::find() else { return };
    let pages = chapters().into_iter().filter(|name| name != "docs/SUMMARY.md");
    let pages = pages.map(|name| name.replace("docs/", "").replace(".md", ".html"));
    let addresses: Vec<String> = pages.chain(["index.html?search=margin".into()]).collect();
    // A page that is too wide, to see that the measuring finds it.
    fs::write(
        folder.path().join("wide.html"),
        "<head></head><main><p style=\"width:2000px\">wide</p></main>",
    )
    .unwrap();
    let addresses = [addresses, vec!["wide.html".into()]].concat();
    let (wide, shown): (Vec<Shown>, _) = book::show(&browser, folder.path(), &addresses)
        .into_iter()
        .partition(|shown| shown.page == "wide.html");
    assert!(!wide.is_empty() && wide.iter().all(|shown| shown.leaves == ["P: wide"]), "{wide:?}");
    for shown in &shown {
        let Shown { page, width, leaves, .. } = shown;
        assert!(leaves.is_empty(), "{page} at {width} pixels: {}", leaves.join("\n"));
    }
    assert!(shown.iter().any(|shown| shown.page == "index.html" && shown.results > 3), "{shown:?}");
}

/// What is found in a text of one's own, without the place that is prepared for others.
fn found(text: &str) -> Vec<String> {
    let place = Place::new();
    let page = Page::new("page.md", text);
    run_page(&page, &place, &root()).iter().map(|fault| fault.to_string().replace('\n', " ")).collect()
}

#[test]
fn a_text_that_works_has_no_faults() {
    let text = "\
# Title

```sh
# a comment, a variable, a line that goes on
export WORD=optimizer
facegrad explain $WORD | head -1
cargo run --release -- explain \\
    sgd
cargo test --release -p facegrad-losses
```
```text
optimizer.kind is one of
…
  learning_rate: number…
…
```

<!-- not run: a reason -->
```sh
facegrad nonsense
```

1. In a list

   <!-- run with: --json -->
   <!-- before: mkdir -p here -->
   ```sh
   facegrad data list
   ls here
   ```

<!-- exit: 2 -->
```sh
facegrad explain nonsense
```
```text
error: there is nothing called nonsense to explain; …
```

```toml
[head]
kind = \"coco\"

[[auxiliary]]
kind = \"center\"
weight = 0.003

[run]
epochs = 2
```
";
    assert_eq!(found(text), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_text_is_found_with_its_line() {
    let block = |marks: &str, commands: &str| format!("Text.\n\n{marks}```sh\n{commands}\n```\n");
    for (text, faults) in [
        // Another output, a longer one, a shorter one.
        (
            block("", "echo one; echo two") + "```text\none\nthree\n```\n",
            &["page.md:8: the text shows \"three\", and it printed \"two\""][..],
        ),
        (
            block("", "echo one; echo two") + "```text\none\n```\n",
            &["page.md:8: the text ends here, and it printed \"two\" after that"],
        ),
        (
            block("", "echo one") + "```text\none\n…\ntwo\n```\n",
            &["page.md:9: the text shows \"two\", and no such line follows"],
        ),
        (
            block("", "echo one") + "```text\none\ntwo\n```\n",
            &["page.md:8: the text shows \"two\", and it printed no more lines"],
        ),
        // Standard error counts where it is said so.
        (
            block("", "echo one; echo two >&2") + "<!-- with stderr -->\n```text\none\nthree\n```\n",
            &["page.md:9: the text shows \"three\", and it printed \"two\""],
        ),
        // Commands that fail, are unknown, are not there any more.
        (block("", "facegrad frobnicate"), &["page.md:4: facegrad frobnicate ended with 2, not with 0"]),
        (
            block("<!-- exit: 2 -->\n", "facegrad explain"),
            &["page.md:5: facegrad explain ended with 0, not with 2"],
        ),
        (block("", "wget file"), &["page.md:4: wget is not run here"]),
        (block("", "ls\ncargo run --release --example gone"), &["page.md:5: there is no gone for --example"]),
        (block("", "cargo test -p facegrad-gone"), &["page.md:4: there is no facegrad-gone for -p"]),
        (block("", "benches/gone.sh"), &["page.md:4: there is no benches/gone.sh"]),
        (block("<!-- before: wget file -->\n", "ls"), &["page.md:5: wget is not run here"]),
        // Marks that say nothing or stand nowhere.
        (block("<!-- not run -->\n", "ls"), &["page.md:3: the comment \"not run\" wants the reason"]),
        (block("<!-- to do -->\n", "ls"), &["page.md:3: a comment of another kind than not run"]),
        ("<!-- exit: 2 -->\n\nText.\n".into(), &["page.md:1: a comment that stands before no block"]),
        ("Text <!-- exit: 2 --> goes on.\n".into(), &["page.md:1: a comment within a text"]),
        // Outputs of nothing, blocks of nothing.
        (
            block("", "ls") + "\nText.\n\n```text\nfile\n```\n",
            &["page.md:10: no commands stand right before"],
        ),
        (
            block("", "cargo test") + "```text\nok\n```\n",
            &["page.md:7: the commands before this output are not run"],
        ),
        ("```\nls\n```\n".into(), &["page.md:1: a block without a language"]),
        ("Text.\n\n    ls\n".into(), &["page.md:3: a block without a language"]),
        // Pieces of configs.
        (
            "```toml\n[head]\nkind = \"cosface\"\nmargn = 1\n```\n".into(),
            &["page.md:2: head.margn is not a key"],
        ),
        ("```toml\n[head\n```\n".into(), &["page.md:2: no TOML"]),
    ] {
        let found = found(&text);
        assert_eq!(found.len(), faults.len(), "{text}\n{found:?}");
        for (found, fault) in found.iter().zip(faults) {
            assert!(found.starts_with(fault), "{text}\n{found}\n{fault}");
        }
    }
}

#[test]
fn links_that_lead_nowhere_are_found() {
    let page = |name: &str, text: &str| Page::new(name, text);
    let pages = [
        page("README.md", "# One\n[a](docs/a.md) [b](docs/a.md#two-of-it) [c](#one) [d](https://elsewhere)"),
        page(
            "docs/a.md",
            "# Two, of `it`\n# Two of it\n[a](../README.md#one) ![b](gone.png) [c](#two-of-it-1)",
        ),
        page("docs/b.md", "[a](a.md#three) [b](../../out.md)\n[c](#four)"),
    ];
    let exists = |path: &str| ["README.md", "docs/a.md", "docs/b.md"].contains(&path);
    let faults: Vec<String> = broken_links(&pages, exists).iter().map(Fault::to_string).collect();
    assert_eq!(
        faults,
        [
            "docs/a.md:3: the link ../README.md#one leads out of the book; the name of the file as code does not",
            "docs/a.md:3: the link gone.png leads to no file",
            "docs/b.md:1: docs/a.md has no heading #three",
            "docs/b.md:1: the link ../../out.md leads out of the repository",
            "docs/b.md:2: docs/b.md has no heading #four",
        ]
    );
}
