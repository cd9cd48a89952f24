//! The cards that are part of the program.

use std::{path::Path, sync::LazyLock};

use crate::card::Card;

/// The registry: one line a card. `cards` is a link to `datasets` at the top of the repository: what a package of this room
/// holds lies below it.
macro_rules! registry {
    ($($name:literal),* $(,)?) => {
        &[$( ($name, include_str!(concat!("../cards/", $name, ".toml"))), )*]
    };
}

/// Name and text of each card, in the order of `facegrad data list`.
const TEXTS: &[(&str, &str)] = registry![
    "synthetic",
    "mnist",
    "lfw",
    "cfp",
    "agedb-30",
    "calfw",
    "cplfw",
    "ijb-b",
    "ijb-c",
    "casia-webface",
    "ms1mv2",
    "ms1mv3",
    "glint360k",
    "webface260m",
    "digiface-1m",
];

static CARDS: LazyLock<Vec<Card>> = LazyLock::new(|| {
    let parse = |(name, text): &(&str, &str)| Card::parse(text, Path::new(&format!("cards/{name}.toml")));
    // They are part of the program, and a test reads them all.
    TEXTS.iter().map(parse).collect::<Result<_, _>>().expect("the cards of the program are in order")
});

/// All cards.
pub fn cards() -> &'static [Card] {
    &CARDS
}

/// The card called `name`, whatever its capitals.
///
/// # Errors
/// There is none; the error knows the nearest name.
pub fn card(name: &str) -> Result<&'static Card, UnknownCard> {
    let wanted = name.to_lowercase();
    cards().iter().find(|card| card.name == wanted).ok_or_else(|| {
        let nearest = facegrad_settings::nearest(&wanted, cards().iter().map(|card| card.name.as_str()));
        UnknownCard { name: name.into(), nearest: nearest.map(str::to_owned) }
    })
}

/// No card has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no card {name:?}{}; facegrad data list has them all",
    nearest.as_ref().map(|name| format!(", did you mean {name:?}?")).unwrap_or_default()
)]
pub struct UnknownCard {
    /// What was asked for.
    pub name: String,
    /// The name most like it.
    pub nearest: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_card_of_the_folder_is_registered_under_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cards");
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let there: BTreeSet<String> =
            paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let registered: BTreeSet<String> = TEXTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(there, registered);
        for ((name, text), card) in TEXTS.iter().zip(cards()) {
            assert_eq!(*name, card.name);
            let again = Card::parse(text, Path::new(name)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(again, *card);
        }
    }

    #[test]
    fn every_card_says_how_facegrad_reads_it_and_where_it_comes_from() {
        let sources =
            ["folder", "list", "recordio", "webdataset", "parquet", "mnist", "insightface_bin", "synthetic"];
        let protocols = [
            "pair_file",
            "drawn_pairs",
            "insightface_bin",
            "cfp",
            "identification",
            "all_pairs",
            "blufr",
            "ijb",
        ];
        for card in cards() {
            assert!(!card.reading.is_empty() && !card.counts.is_empty(), "{}", card.name);
            assert!(card.homepage.as_deref().is_none_or(|url| url.starts_with("http")), "{}", card.name);
            for reading in &card.reading {
                let table: toml::Table =
                    reading.config.parse().unwrap_or_else(|error| panic!("{}: {error}", card.name));
                let kind = |value: Option<&toml::Value>| {
                    value.and_then(|v| v.get("kind")?.as_str()).map(str::to_owned)
                };
                let train = kind(table.get("data").and_then(|data| data.get("train")));
                let evaluations = table.get("evaluation").and_then(toml::Value::as_array);
                let tests: Vec<String> =
                    evaluations.into_iter().flatten().filter_map(|e| kind(Some(e))).collect();
                assert!(train.is_some() || !tests.is_empty(), "{}: {}", card.name, reading.config);
                assert!(
                    train.iter().all(|kind| sources.contains(&kind.as_str())),
                    "{}: {train:?}",
                    card.name
                );
                assert!(
                    tests.iter().all(|kind| protocols.contains(&kind.as_str())),
                    "{}: {tests:?}",
                    card.name
                );
            }
        }
    }

    #[test]
    fn a_card_is_found_by_its_name_or_the_nearest_is_named() {
        assert_eq!(card("LFW").unwrap().title, "Labeled Faces in the Wild");
        let message = card("agedb30").unwrap_err().to_string();
        assert!(message.contains("there is no card \"agedb30\", did you mean \"agedb-30\"?"), "{message}");
        assert_eq!(card("something else entirely").unwrap_err().nearest, None);
    }
}
