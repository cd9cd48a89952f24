//! Image sets in Parquet: any bytes are a set or a sentence, and so is each of its images.

#![no_main]

use std::{
    fs,
    panic::{self, Location},
    process,
    sync::LazyLock,
};

use facegrad_faces::{LabelGaps, ParquetConfig, SourceConfig};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

/// The Parquet library asserts some of what damaged files violate, and the reader turns its panics into errors; any
/// other panic ends the run as usual.
fn let_parquet_panic() {
    drop(panic::take_hook());
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |about| {
        let is_expected = |place: &Location| place.file().contains("/parquet-");
        if !about.location().is_some_and(is_expected) {
            hook(about);
            process::abort();
        }
    }));
}

fuzz_target!(init: let_parquet_panic(), |bytes: &[u8]| {
    let path = FOLDER.path().join("x.parquet");
    fs::write(&path, bytes).expect("room for a small file");
    let config = ParquetConfig { path, label_gaps: LabelGaps::Close, ..ParquetConfig::default() };
    match SourceConfig::from(config).open_any() {
        Ok(opened) => {
            let source = opened.source;
            for index in (0..source.len()).take(50) {
                assert!(source.label(index) < source.identities().len());
                if let Err(error) = source.stored(index) {
                    assert!(!error.reason.contains('\n'), "{error}");
                }
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 20_000 && !message.contains('\n'), "{message}");
        }
    }
});
