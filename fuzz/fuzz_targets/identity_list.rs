//! Lists of galleries and probes: any text is a list or a sentence.

#![no_main]

use std::{collections::HashSet, path::Path};

use facegrad_verification::IdentityList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match IdentityList::parse(text, Path::new("gallery.csv")) {
        Ok(list) => {
            assert!(!list.images.is_empty() && list.images.len() == list.identities.len());
            assert_eq!(list.images.iter().collect::<HashSet<_>>().len(), list.images.len());
            for image in &list.images {
                assert!(
                    !image.starts_with('/') && image.split(['/', '\\']).all(|part| part != ".."),
                    "{image}"
                );
            }
            assert!(list.identities.iter().all(|identity| !identity.is_empty()));
            assert!(list.disjoint(&list).is_err());
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 2000 && !message.contains('\n'), "{message}");
        }
    }
});
