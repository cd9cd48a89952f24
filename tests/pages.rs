//! The pages of evaluations and audits in a real browser: nothing comes from outside and nothing is cut off.
//!
//! With `FACEGRAD_EXAMPLE_PAGE=FILE` the realistic example is written there, to be looked at.

#[path = "support/browser.rs"]
mod browser;
#[path = "pages/example.rs"]
mod example;

use std::{env, fs, path::Path};

use browser::{Scheme, WIDTHS};
use facegrad_report::Page;

const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\" \
    content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">";

/// A page with one of each fault, to see that the measuring finds them. Nothing listens on that port.
const BROKEN: &str = "<!DOCTYPE html><title>broken</title><link rel=\"stylesheet\" href=\"http://127.0.0.1:9/asset.css\"><body><div style=\"width:5000px\">wide</div>\
    <div style=\"width:50px\">unbreakableunbreakableunbreakable</div>\
    <div style=\"height:5px;overflow:hidden\">high</div>\
    <svg aria-label=\"cut\" width=\"100\" height=\"100\"><text x=\"90\" y=\"50\">leaves</text>\
    <text x=\"5\" y=\"50\">one</text><text x=\"7\" y=\"50\">other</text></svg>\
    <img src=\"missing.png\"><script>hacked = 'yes'</script>";

/// What the measuring script says of one page at one width.
#[derive(Debug)]
struct Measured {
    page: String,
    counts: String,
    faults: Vec<String>,
}

impl Measured {
    fn count(&self, name: &str) -> &str {
        let word = self.counts.split(&format!("{name}=")).nth(1).unwrap_or_default();
        word.split(' ').next().unwrap_or_default()
    }
}

/// What the script in each page found at each width.
fn measure(browser: &Path, folder: &Path, pages: &[&str], scheme: Scheme) -> Vec<Measured> {
    let addresses: Vec<String> = pages.iter().map(|&page| page.to_owned()).collect();
    let shown = browser::show(browser, folder, &addresses, scheme).into_iter();
    shown
        .map(|fields| {
            let mut fields = fields.into_iter();
            let (page, counts) = (fields.next().unwrap(), fields.next().unwrap());
            Measured { page, counts, faults: fields.collect() }
        })
        .collect()
}

/// A copy of a page that measures itself, without the policy that would forbid it.
fn instrumented(page: &str) -> String {
    assert_eq!(page.matches("<script").count(), 0);
    assert_eq!(page.matches(POLICY).count(), 1);
    let script = format!("<script>{}</script>\n</head>", include_str!("pages/measure.js"));
    page.replace(POLICY, "").replacen("</head>", &script, 1)
}

#[test]
fn nothing_is_loaded_and_nothing_is_cut_off() {
    let Some(browser) = browser::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, page: Page| {
        fs::write(folder.path().join(name), instrumented(&page.to_html())).unwrap();
    };
    write("realistic.html", example::realistic());
    write("hostile.html", example::hostile());
    write("audit.html", example::audit(false));
    write("hostile-audit.html", example::audit(true));
    let broken =
        BROKEN.replacen("<body>", &format!("<script>{}</script><body>", include_str!("pages/measure.js")), 1);
    fs::write(folder.path().join("broken.html"), broken).unwrap();

    for scheme in [Scheme::Light, Scheme::Dark] {
        let dark = scheme == Scheme::Dark;
        let pages = ["realistic.html", "hostile.html", "audit.html", "hostile-audit.html", "broken.html"];
        let found = measure(&browser, folder.path(), &pages, scheme);
        for measured in &found {
            assert_eq!(measured.count("dark"), dark.to_string(), "{measured:?}");
            assert!(
                WIDTHS.iter().any(|width| measured.count("width") == width.to_string())
                    || measured.page == "broken",
                "{measured:?}"
            );
            if measured.page.ends_with("broken.html") {
                for fault in [
                    "the page scrolls sideways",
                    "wide in 50",
                    "high in 5",
                    "leaves the picture cut",
                    "lies on TEXT",
                    "shows nothing",
                    "asset.css",
                    "run as a script: yes",
                ] {
                    let is_found = measured
                        .faults
                        .iter()
                        .any(|text| text.to_lowercase().contains(&fault.to_lowercase()));
                    assert!(is_found, "{fault} is not in {measured:?}");
                }
                continue;
            }
            assert!(measured.faults.is_empty(), "dark: {dark}: {measured:#?}");
            let is_audit = measured.page.ends_with("audit.html");
            // Two models with twenty pairs of either kind, but for the one that is no image.
            let images = if is_audit { example::AUDIT_IMAGES } else { 2 * (2 * 20 + 2 * 20) - 2 };
            assert_eq!(measured.count("images"), images.to_string());
            let texts = if is_audit { 8 } else { 200 };
            assert!(measured.count("texts").parse::<usize>().unwrap() > texts, "{measured:?}");
            let back = if dark { "rgb(27,\u{A0}31,\u{A0}36)" } else { "rgb(255,\u{A0}255,\u{A0}255)" };
            assert!(measured.counts.replace(", ", ",\u{A0}").contains(back), "{measured:?}");
        }
    }
}

/// The attributes of all elements, as (name, value).
fn attributes(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for tag in page.split('<').skip(1) {
        let mut rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
        while let Some((name, after)) = rest.split_once("=\"") {
            // Beyond the end of the tag is text.
            if name.contains('>') {
                break;
            }
            let (value, after) = after.split_once('"').expect("a quoted value ends");
            found.push((name.trim().to_lowercase(), value.to_owned()));
            rest = after;
        }
    }
    found
}

#[test]
fn the_page_refers_to_nothing_outside() {
    let evaluations = [example::realistic(), example::hostile(), Page::default()];
    for page in evaluations.into_iter().chain([false, true].map(example::audit)) {
        let page = page.to_html();
        assert!(page.contains(POLICY));
        for (name, value) in attributes(&page) {
            assert!(!name.starts_with("on"), "{name}={value}");
            match name.as_str() {
                "src" => assert!(value.starts_with("data:image/png;base64,"), "{value}"),
                "href" => assert!(value.starts_with("#section-"), "{value}"),
                "style" | "srcset" | "action" | "data" | "xlink:href" => panic!("{name}={value}"),
                _ => {}
            }
        }
        let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        assert!(!style.contains("url(") && !style.contains("@import"));
        for tag in ["<script", "<link", "<iframe", "<object", "<embed", "<form", "<base"] {
            assert!(!page.contains(tag), "{tag}");
        }
    }
}

#[test]
fn the_example_can_be_looked_at() {
    let page = example::realistic().to_html();
    if let Some(file) = env::var_os("FACEGRAD_EXAMPLE_PAGE") {
        fs::write(file, &page).unwrap();
    }
    assert!(page.len() < 4 << 20, "{} bytes", page.len());
}
