//! Pages in a real browser, at the widths of a phone, a tablet and a desk.
//!
//! Without Chromium or Chrome such tests are skipped, unless `FACEGRAD_REQUIRE_BROWSER` is set.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The widths that pages are shown at, in pixels.
pub const WIDTHS: [u32; 3] = [360, 800, 1400];

/// What the system is said to prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Dark,
    Light,
}

/// A browser, if the PATH has one.
///
/// # Panics
/// If it has none and must have.
pub fn find() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let mut files = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = files.find(|file| file.is_file());
    if found.is_none() {
        assert!(env::var_os("FACEGRAD_REQUIRE_BROWSER").is_none(), "no Chromium or Chrome on the PATH");
        eprintln!("skipped: no Chromium or Chrome on the PATH");
    }
    found
}

/// Opens pages of a folder at each width, and gives the fields that a script in each of them posts to the page around it,
/// with unit separators between them.
///
/// # Panics
/// If a page posts nothing.
pub fn show(browser: &Path, folder: &Path, addresses: &[String], scheme: Scheme) -> Vec<Vec<String>> {
    // A window has a least width; a frame has not.
    let frames: String = addresses
        .iter()
        .flat_map(|address| WIDTHS.map(|width| (address, width)))
        .map(|(address, width)| {
            format!("<iframe src=\"{address}\" style=\"width:{width}px;height:900px;border:0\"></iframe>\n")
        })
        .collect();
    // A line for each frame.
    let frames = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><pre id=\"found\"></pre><script>\n\
         addEventListener('message', ({{data}}) =>\n\
           document.getElementById('found').textContent += data.replaceAll('\\n', ' ') + '\\n');\n\
         </script>\n{frames}"
    );
    fs::write(folder.join("frames.html"), frames).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-extensions", "--dump-dom"])
        .args(["--window-size=1600,1000", "--virtual-time-budget=30000"])
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(scheme == Scheme::Light)))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", folder.join("frames.html").display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let lines = found.unwrap_or_default().lines().filter(|line| !line.is_empty());
    let shown: Vec<Vec<String>> =
        lines.map(|line| line.split('\u{241F}').map(str::to_owned).collect()).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    let frames = addresses.len() * WIDTHS.len();
    assert_eq!(shown.len(), frames, "a frame said nothing; the browser said: {errors}");
    shown
}
