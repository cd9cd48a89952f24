//! Archives: whatever the bytes, what comes out are files and folders inside of the folder and within the limits.

#![no_main]

use std::{fs, path::Path};

use facegrad_datasets::{Limits, Packing, UnpackedContent, unpack};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { bytes: 100_000, entries: 50, ratio: 1000, strip: 0 };

fuzz_target!(|bytes: &[u8]| {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| place.path().join(name);
    // As a tar archive, with the checksums made right, which no fuzzer finds.
    let mut tar = bytes.to_vec();
    correct_checksums(&mut tar);
    for (packing, bytes) in [(Packing::Tar, &tar[..]), (Packing::Zip, bytes)] {
        let (archive, folder) = (path("archive"), path("folder"));
        fs::write(&archive, bytes).expect("a file");
        match unpack(&archive, packing, &folder, &LIMITS, &Default::default(), &mut || Ok(()), &mut |_| {}) {
            Ok(unpacked) => {
                assert_eq!(unpacked, count(&folder));
                assert!(unpacked.bytes <= LIMITS.bytes, "{unpacked:?}");
                assert!(unpacked.files + unpacked.folders <= LIMITS.entries, "{unpacked:?}");
                fs::remove_dir_all(&folder).expect("a folder");
            }
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() < 1000 && !message.contains('\n'), "{message}");
            }
        }
    }
    // Nothing beside them.
    let names = fs::read_dir(place.path()).expect("the place").flatten().map(|e| e.file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["archive"]);
});

/// What lies in a folder, where nothing but files and folders may lie.
fn count(folder: &Path) -> UnpackedContent {
    let mut all = UnpackedContent::default();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("a kind");
        assert!(kind.is_dir() || kind.is_file(), "{:?}", entry.path());
        if kind.is_dir() {
            let below = count(&entry.path());
            all.files += below.files;
            all.folders += below.folders + 1;
            all.bytes += below.bytes;
        } else {
            all.files += 1;
            all.bytes += entry.metadata().expect("a file").len();
        }
    }
    all
}

/// Gives the headers of a tar archive the checksums they should have.
fn correct_checksums(tar: &mut [u8]) {
    let mut start = 0;
    while let Some(header) = tar.get_mut(start..start + 512) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        if sum == 8 * 32 {
            header[148..156].fill(0);
            return;
        }
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136].iter().skip_while(|byte| **byte == b' ');
        let digits = digits.take_while(|byte| (b'0'..=b'7').contains(*byte));
        let size =
            digits.fold(0_usize, |size, digit| size.saturating_mul(8).saturating_add((digit - b'0').into()));
        start = start.saturating_add(512).saturating_add(size.saturating_add(511) / 512 * 512);
        if start > tar.len() {
            return;
        }
    }
}
