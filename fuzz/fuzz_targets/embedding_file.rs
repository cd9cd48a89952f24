//! Files of embeddings: any bytes, read as each format, are embeddings or a sentence.

#![no_main]

use std::{
    collections::HashSet,
    fs,
    panic::{self, Location},
    process,
    sync::LazyLock,
};

use facegrad_embeddings::EmbeddingFile;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Rows are read by position, so they have to be in a file.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

/// The Parquet library asserts some of what damaged files violate, and `open` turns its panics into errors; any other
/// panic ends the run as usual.
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
    for format in ["npz", "npy", "safetensors", "csv", "parquet"] {
        let path = FOLDER.path().join(format!("x.{format}"));
        fs::write(&path, bytes).expect("room for a small file");
        let read = EmbeddingFile::open(&path).and_then(|file| {
            let rows = file.all()?;
            Ok((file, rows))
        });
        match read {
            Ok((file, rows)) => {
                assert_eq!(rows.len(), file.len() * file.dim());
                assert!(rows.iter().all(|number| number.is_finite()));
                assert_eq!(file.names().iter().collect::<HashSet<_>>().len(), file.len());
                assert!(file.identities().is_none_or(|identities| identities.len() == file.len()));
                for (row, name) in file.names().iter().enumerate().take(3) {
                    assert_eq!(file.position(name), Some(row));
                }
            }
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() < 20_000 && !message.contains('\n'), "{message}");
            }
        }
    }
});
