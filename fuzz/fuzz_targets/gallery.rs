//! Galleries: any bytes are one that can be searched, or a sentence.

#![no_main]

use std::{fs, sync::LazyLock};

use facegrad_embeddings::Gallery;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("x.safetensors");
    fs::write(&path, bytes).expect("room for a small file");
    match Gallery::open(&path) {
        Ok(gallery) => {
            assert_eq!(gallery.names().len(), gallery.identities().len());
            let matches = gallery.search(&vec![1.0; gallery.dim()], 3).expect("a probe of ones");
            assert_eq!(matches.len(), gallery.len().min(3));
            assert!(matches.is_sorted_by(|a, b| a.score >= b.score));
            // What was read can be written, and is the same again.
            gallery.save(&path).expect("a gallery that was read");
            assert_eq!(Gallery::open(&path).expect("a gallery that was written"), gallery);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 20_000 && !message.contains('\n'), "{message}");
        }
    }
});
