//! insightface's verification sets: any bytes are a set or a sentence.

#![no_main]

use std::io::Write;

use facegrad_faces::InsightfaceBin;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    match InsightfaceBin::open(file.path()) {
        Ok(set) => {
            assert!(set.pairs().iter().all(|&(a, b, _)| a < set.images() && b < set.images()));
            // The decoders are not what is tested here, so a few images will do.
            for index in 0..set.images().min(2) {
                let _ = set.load(index, [112, 112]);
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 1000 && !message.contains('\n'), "{message}");
        }
    }
});
