//! People and images that are in the training data and in an evaluation.

use std::collections::HashSet;

use facegrad_faces::FaceSource;
use facegrad_recognition::OpenProtocol;

/// A note for each evaluation that takes images from a set which training takes as well, whatever its people are called.
pub(crate) fn common_images(
    source: &dyn FaceSource,
    evaluations: &[(String, Box<dyn OpenProtocol>)],
) -> Vec<String> {
    let note = |(evaluation, protocol): &(String, Box<dyn OpenProtocol>)| {
        let names: HashSet<String> = protocol.set_images().into_iter().collect();
        if names.is_empty() {
            return None;
        }
        let mut common =
            (0..source.len()).map(|image| source.name(image)).filter(|name| names.contains(name));
        let first = common.next()?;
        let (count, total) = (1 + common.count(), names.len());
        Some(format!(
            "{count} of {total} images of evaluation {evaluation} are trained on, such as {first}: what it measures is not about strangers; data.train.exclude takes a list of those to leave out"
        ))
    };
    evaluations.iter().filter_map(note).collect()
}

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

        fn set_images(&self) -> Vec<String> {
            self.people()
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
    fn images_that_are_trained_on_are_told_whatever_their_people_are_called() {
        let source = crate::preflight::tests::TestSource {
            identities: vec!["0001".into()],
            labels: vec![0; 4],
            image: |_| Err("never read"),
        };
        let evaluation = |name: &str, images: &[&'static str]| -> (String, Box<dyn OpenProtocol>) {
            (name.into(), Box::new(People(images.to_vec())))
        };
        let evaluations =
            [evaluation("unseen", &["image 9", "image 2", "image 3"]), evaluation("lfw", &["x"])];
        let notes = common_images(&source, &evaluations);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(
            notes[0].starts_with("2 of 3 images of evaluation unseen are trained on, such as image 2: "),
            "{notes:?}"
        );
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
