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

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (5_822_653, "5,822,653"), (10_000, "10,000")];
        for (number, expected) in cases {
            assert_eq!(grouped(number), expected);
        }
    }
}
