//! The Protocol folder of CFP: any four texts in place of its lists are a protocol or a sentence.

#![no_main]

use std::path::Path;

use facegrad_verification::{CfpProtocol, PairList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The lists of frontal and profile images, and the same and different pairs of each fold.
    let texts: Vec<&str> = text.splitn(4, '\0').collect();
    let text_of = |file: &Path| {
        let k = match file.file_name().and_then(|name| name.to_str()) {
            Some("Pair_list_F.txt") => 0,
            Some("Pair_list_P.txt") => 1,
            Some("same.txt") => 2,
            _ => 3,
        };
        Ok(texts.get(k).copied().unwrap_or_default().to_owned())
    };
    for &protocol in CfpProtocol::ALL {
        match PairList::cfp_from(Path::new("cfp"), protocol, &mut |file| text_of(file)) {
            Ok(list) => {
                // Pairs that are said again are left out, and a fold of nothing else with them.
                let least = if list.repeats() == 0 { 10 } else { 1 };
                assert!((least..=10).contains(&list.folds()));
                assert!(list.genuine() >= least && list.impostor() >= least);
                for image in list.images() {
                    assert!(!image.starts_with('/') && image.split('/').all(|part| part != ".."), "{image}");
                }
            }
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() < 2000 && !message.contains('\n'), "{message}");
            }
        }
    }
});
