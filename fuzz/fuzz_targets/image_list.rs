//! Lists of images: any text is a set or a sentence.

#![no_main]

use std::{collections::HashSet, fs, sync::LazyLock};

use facegrad_faces::{LabelGaps, ListConfig, SourceConfig};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// The list, and the image that it has to begin with to be a set.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a.jpg"), "a").expect("room for a byte");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("list.txt");
    fs::write(&path, bytes).expect("room for a small file");
    for label_gaps in [LabelGaps::Refuse, LabelGaps::Close] {
        let config =
            SourceConfig::from(ListConfig { path: path.clone(), label_gaps, ..ListConfig::default() });
        for open in [SourceConfig::open_any, SourceConfig::open_images] {
            match open(&config) {
                Ok(opened) => {
                    let source = opened.source;
                    let keys: HashSet<String> = (0..source.len()).map(|index| source.key(index)).collect();
                    assert!(!source.is_empty() && keys.len() == source.len());
                    assert!((0..source.len()).all(|index| source.label(index) < source.identities().len()));
                }
                Err(error) => {
                    let message = error.to_string();
                    assert!(message.len() < 20_000 && !message.contains('\n'), "{message}");
                }
            }
        }
    }
});
