//! WebDataset: any bytes are a shard of samples or a sentence, and every image of it bytes or a sentence.
//!
//! The checksums of headers are put right first, or all but a few inputs would end there.

#![no_main]

use std::{fs, sync::LazyLock};

use facegrad_faces::{SourceConfig, WebDatasetConfig};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    let path = FOLDER.path().join("x.tar");
    fs::write(&path, &bytes).expect("room for a small file");
    let config: SourceConfig = WebDatasetConfig { path, ..Default::default() }.into();
    match config.open_any() {
        Ok(opened) => {
            let source = opened.source;
            assert!(source.len() <= bytes.len() / 512 && source.identities().len() <= source.len());
            for image in 0..source.len() {
                assert!(source.label(image) < source.identities().len());
                let _ = (source.stored(image), source.key(image), source.name(image));
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 200_000 && !message.contains('\n'), "{message}");
        }
    }
});
