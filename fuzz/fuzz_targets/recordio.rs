//! RecordIO: any records with any index are a set or a sentence, and every image of a set bytes or a sentence.
//!
//! The first two bytes say how many of the rest are the index; with none of them there is no index.

#![no_main]

use std::{fs, sync::LazyLock};

use facegrad_faces::{RecordIoConfig, SourceConfig};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (index, records) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let path = FOLDER.path().join("x.rec");
    fs::write(&path, records).expect("room for a small file");
    let _ = fs::remove_file(path.with_extension("idx"));
    if !index.is_empty() {
        fs::write(path.with_extension("idx"), index).expect("room for a small file");
    }
    let config: SourceConfig = RecordIoConfig { path, ..Default::default() }.into();
    match config.open_any() {
        Ok(opened) => {
            let source = opened.source;
            assert!(source.len() <= rest.len() / 8 && source.identities().len() <= source.len());
            for image in 0..source.len() {
                assert!(source.label(image) < source.identities().len());
                let _ = (source.stored(image), source.key(image));
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 1000 && !message.contains('\n'), "{message}");
        }
    }
});
