//! A card by its name, or from a file.

use std::{borrow::Cow, path::Path};

use facegrad_datasets::Card;

use crate::failure::Failure;

/// The card that `word` names: one of the program's, or a file of one's own, which ends in .toml.
pub fn find(word: &str) -> Result<Cow<'static, Card>, Failure> {
    if word.ends_with(".toml") {
        return Ok(Cow::Owned(Card::open(Path::new(word))?));
    }
    Ok(Cow::Borrowed(facegrad_datasets::card(word)?))
}
