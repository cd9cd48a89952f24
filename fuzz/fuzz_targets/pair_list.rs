//! Lists of pairs: any text is a list or a sentence.

#![no_main]

use std::path::Path;

use facegrad_verification::PairList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match PairList::parse(text, Path::new("pairs.csv"), Some(Path::new("/faces"))) {
        Ok(list) => {
            for pair in list.pairs() {
                assert!(pair.a != pair.b && pair.fold < list.folds());
                if list.names_people() {
                    assert_eq!(list.people()[pair.a] == list.people()[pair.b], pair.same);
                }
            }
            for image in list.images() {
                assert!(!image.starts_with('/') && image.split('/').all(|part| part != ".."), "{image}");
            }
            if let Ok(cut) = list.clone().in_folds(3) {
                assert_eq!((cut.folds(), cut.genuine()), (3, list.genuine()));
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 2000 && !message.contains('\n'), "{message}");
        }
    }
});
