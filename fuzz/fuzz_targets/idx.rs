//! MNIST's idx files: any bytes as images with any labels, plain and compressed, are a set or a sentence.
//!
//! The first byte says how many of the others are the file of labels.

#![no_main]

use std::{fs, sync::LazyLock};

use facegrad_faces::{LabelGaps, MnistConfig, SourceConfig};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|bytes: &[u8]| {
    let Some((&length, bytes)) = bytes.split_first() else { return };
    let (labels, images) = bytes.split_at(usize::from(length).min(bytes.len()));
    for suffix in ["", ".gz"] {
        let folder = FOLDER.path().join(if suffix.is_empty() { "plain" } else { "packed" });
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("train-images-idx3-ubyte{suffix}")), images)
            .expect("room for a small file");
        fs::write(folder.join(format!("train-labels-idx1-ubyte{suffix}")), labels)
            .expect("room for a small file");
        let config = MnistConfig { path: folder, label_gaps: LabelGaps::Close, ..MnistConfig::default() };
        match SourceConfig::from(config).open_any() {
            Ok(opened) => {
                let source = opened.source;
                for index in (0..source.len()).take(3) {
                    let picture = source.load(index, [28, 28]).expect("all pixels are there");
                    assert!(picture.pixels().chunks(3).all(|pixel| pixel[0] == pixel[2]));
                    assert!(source.label(index) < source.identities().len());
                }
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
});
