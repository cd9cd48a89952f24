//! People who are in the training data and in an evaluation.

use std::collections::HashSet;

use facegrad_recognition::OpenProtocol;

/// A note for each evaluation that has people with the names of training identities, such as
/// `"George_W_Bush"`, whatever the case and the characters between the parts; names without letters are numbers
/// of the set and say nothing.
pub(crate) fn overlap(identities: &[String], evaluations: &[(String, Box<dyn OpenProtocol>)]) -> Vec<String> {
    let people: Vec<(&String, Vec<String>)> =
        evaluations.iter().map(|(name, protocol)| (name, protocol.people())).collect();
    if people.iter().all(|(_, people)| people.is_empty()) {
        return Vec::new();
    }
    let trained: HashSet<String> = identities.iter().filter_map(|name| bare(name)).collect();
    let note = |(evaluation, people): (&String, Vec<String>)| {
        let common = |name: &&String| bare(name).is_some_and(|name| trained.contains(&name));
        let mut common = people.iter().filter(common);
        let first = common.next()?;
        let count = 1 + common.count();
        let (people, has) = if count == 1 { ("person", "has") } else { ("people", "have") };
        Some(format!(
            "{count} {people} of evaluation {evaluation} {has} the name of a training identity, such as {first}: what it measures is not about strangers only"
        ))
    };
    people.into_iter().filter_map(note).collect()
}

/// The letters and digits of the last part of a name, in lower case; none without a letter.
fn bare(name: &str) -> Option<String> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let bare: String = last.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    bare.chars().any(char::is_alphabetic).then_some(bare)
}

#[cfg(test)]
mod tests {
    use facegrad_recognition::{Embedder, Measurement, MeasurementError, ProtocolOutcome};

    use super::*;

    struct People(Vec<&'static str>);

    impl OpenProtocol for People {
        fn images(&self) -> usize {
            0
        }

        fn sha256(&self) -> String {
            String::new()
        }

        fn people(&self) -> Vec<String> {
            self.0.iter().map(|name| name.to_string()).collect()
        }

        fn measure(
            &self,
            _embedder: &Embedder<'_>,
            _measurement: &Measurement,
            _progress: &mut dyn FnMut(usize) -> bool,
        ) -> Result<ProtocolOutcome, MeasurementError> {
            unreachable!("only its people are asked for")
        }
    }

    #[test]
    fn people_are_recognised_by_their_names() {
        let identities = ["casia/George W. Bush", "casia/Zoë", "casia/0017", "lfw/Ann_Lee"].map(String::from);
        let evaluation = |name: &str, people: &[&'static str]| -> (String, Box<dyn OpenProtocol>) {
            (name.into(), Box::new(People(people.to_vec())))
        };
        let notes = overlap(
            &identities,
            &[
                evaluation("lfw", &["Aaron_Peirsol", "George_W_Bush", "ZOË", "Zo"]),
                evaluation("agedb", &["Ann Lee"]),
                evaluation("cfp", &["0017", "Bush"]),
                evaluation("bin", &[]),
            ],
        );
        assert_eq!(
            notes,
            [
                "2 people of evaluation lfw have the name of a training identity, such as George_W_Bush: what it measures is not about strangers only",
                "1 person of evaluation agedb has the name of a training identity, such as Ann Lee: what it measures is not about strangers only",
            ]
        );
    }
}
