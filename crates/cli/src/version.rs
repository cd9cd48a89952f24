//! What this program is: its version, what it was built from, and what it holds.

use std::sync::LazyLock;

use facegrad::Backend;
use serde_json::{Value, json};

/// The version alone.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const COMMIT: &str = env!("FACEGRAD_BUILT_COMMIT");
const TARGET: &str = env!("FACEGRAD_BUILT_TARGET");
const RUSTC: &str = env!("FACEGRAD_BUILT_RUSTC");
const BURN: &str = env!("FACEGRAD_BUILT_BURN");

/// The features of this build that are no backends.
const FEATURES: [(&str, bool); 3] = [
    ("gpu", cfg!(feature = "gpu")),
    ("gpu-fusion", cfg!(feature = "gpu-fusion")),
    ("dashboard", cfg!(feature = "dashboard")),
];

/// What `--version` prints after the name of the program.
pub fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let built = format!("commit {COMMIT}, {TARGET}, rustc {RUSTC}, Burn {BURN}");
        format!("{VERSION}\n{built}\nbackends: {}\nfeatures: {}", list(&backends()), list(&features()))
    });
    &LONG
}

/// The same for JSON.
pub fn to_json() -> Value {
    json!({
        "version": VERSION,
        "commit": COMMIT,
        "target": TARGET,
        "rustc": RUSTC,
        "burn": BURN,
        "backends": backends(),
        "features": features(),
    })
}

fn backends() -> Vec<&'static str> {
    Backend::built_in().into_iter().map(Backend::as_str).collect()
}

fn features() -> Vec<&'static str> {
    FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect()
}

fn list(words: &[&str]) -> String {
    if words.is_empty() { "none".into() } else { words.join(", ") }
}
