//! RecordIO: any index of a good file is a set or a sentence. The file has records without a header record.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use facegrad_faces::{RecordIoConfig, SourceConfig};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Written by MXNet; see `crates/faces/reference/write_records.py`.
const RECORDS: [&[u8]; 2] = [
    include_bytes!("../../crates/faces/reference/insightface.rec"),
    include_bytes!("../../crates/faces/reference/im2rec.rec"),
];

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));
static FILES: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let write = |(number, records): (usize, &&[u8])| {
        let path = FOLDER.path().join(format!("{number}.rec"));
        fs::write(&path, records).expect("room for a small file");
        path
    };
    RECORDS.iter().enumerate().map(write).collect()
});

fuzz_target!(|index: &[u8]| {
    for path in FILES.iter() {
        fs::write(path.with_extension("idx"), index).expect("room for a small file");
        let config: SourceConfig = RecordIoConfig { path: path.clone(), ..Default::default() }.into();
        match config.open_any() {
            Ok(opened) => {
                let lines = index.split(|byte| *byte == b'\n').count();
                assert!(opened.source.len() <= lines);
                (0..opened.source.len()).for_each(|image| drop(opened.source.stored(image)));
            }
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() < 1000 && !message.contains('\n'), "{message}");
            }
        }
    }
});
