//! Image files: any bytes are a picture within the limits or one sentence, the same in full and at a fraction.

#![no_main]

use facegrad_pictures::decode::{MAX_PIXELS, MAX_SIDE, decode, decode_at_least};
use libfuzzer_sys::fuzz_target;

const WANTED: [usize; 2] = [5, 4];

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(bytes);
    let part = decode_at_least(bytes, WANTED);
    match (whole, part) {
        (Ok(whole), Ok(part)) => {
            let sides = [whole.height(), whole.width()];
            assert!(
                sides.iter().all(|side| (1..=MAX_SIDE).contains(side)) && sides[0] * sides[1] <= MAX_PIXELS
            );
            for ((part, whole), wanted) in [part.height(), part.width()].into_iter().zip(sides).zip(WANTED) {
                assert!(part <= whole && part >= wanted.min(whole), "{part} of {whole}");
            }
        }
        (Err(error), Err(_)) => assert!(!error.to_string().contains('\n'), "{error}"),
        (whole, part) => panic!("{:?} and {:?}", whole.err(), part.err()),
    }
});
