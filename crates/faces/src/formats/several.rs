//! Several sets as one.

use std::sync::Arc;

use facegrad_files::sha256;
use facegrad_pictures::Picture;
use facegrad_settings::{KeyPath, Schema, Setting, SettingsError, toml};

use super::{OpenSet, SourceConfig, SourceError, Summary};
use crate::{FaceError, FaceSource, StoredImage};

/// One set, or several whose identities are kept apart: `[data.train]`, or `[[data.train]]` for each.
///
/// An identity of one set is another person than any of the other sets, whatever they are called.
#[derive(Debug, Clone, PartialEq)]
pub struct SourcesConfig(pub Vec<SourceConfig>);

impl Default for SourcesConfig {
    fn default() -> Self {
        Self(vec![SourceConfig::default()])
    }
}

impl SourcesConfig {
    /// Where the keys of each set are.
    fn places<'a>(&self, at: &'a KeyPath) -> impl Fn(usize) -> KeyPath + use<'a> {
        let is_one = self.0.len() == 1;
        move |i| if is_one { at.clone() } else { at.join(i) }
    }

    /// What is wrong with the keys at `at` before anything is read.
    pub fn validate(&self, at: &KeyPath) -> Result<(), SettingsError> {
        if self.0.is_empty() {
            let expected = "it is where training images come from".into();
            return Err(SettingsError::Missing { key: at.clone(), expected });
        }
        let place = self.places(at);
        self.0.iter().enumerate().try_for_each(|(i, source)| source.validate(&place(i)))
    }

    /// Opens every set; see [`SourceConfig::open`].
    ///
    /// # Errors
    /// If one cannot be read, or fewer than two identities are left in all.
    pub fn open(&self) -> Result<OpenSet, SourceError> {
        if let [only] = &self.0[..] {
            return only.open();
        }
        let mut parts = Vec::new();
        for config in &self.0 {
            parts.push((config.title(), config.open_any()?));
        }
        let titles: Vec<String> = parts.iter().map(|(title, _)| title.clone()).collect();
        let opened = join(parts);
        super::subset::check_identities(&titles.join(" and "), &opened, 1)?;
        Ok(opened)
    }
}

impl Setting for SourcesConfig {
    fn read(value: &toml::Value, at: &KeyPath) -> Result<Self, SettingsError> {
        match value {
            toml::Value::Array(_) => Vec::read(value, at).map(Self),
            _ => SourceConfig::read(value, at).map(|only| Self(vec![only])),
        }
    }

    fn write(&self) -> Option<toml::Value> {
        match &self.0[..] {
            [only] => only.write(),
            several => several.to_vec().write(),
        }
    }

    fn schema() -> Schema {
        SourceConfig::schema()
    }
}

facegrad_settings::serde_through_toml!(SourcesConfig);

/// Sets one after the other, each with its title.
fn join(parts: Vec<(String, OpenSet)>) -> OpenSet {
    let mut joined = Several { parts: Vec::new(), identities: Vec::new() };
    let mut summary = Summary::default();
    for (number, (title, opened)) in parts.iter().enumerate() {
        let is_double = parts.iter().filter(|(other, _)| other == title).count() > 1;
        let title = if is_double { format!("{title} {}", number + 1) } else { title.clone() };
        let (first_image, first_label) = (summary.images, joined.identities.len());
        joined.identities.extend(opened.source.identities().iter().map(|name| format!("{title}/{name}")));
        joined.parts.push(Part { source: opened.source.clone(), title, first_image, first_label });
        summary.add(&opened.summary);
    }
    OpenSet { source: Arc::new(joined), summary }
}

struct Several {
    parts: Vec<Part>,
    identities: Vec<String>,
}

struct Part {
    source: Arc<dyn FaceSource>,
    title: String,
    first_image: usize,
    first_label: usize,
}

impl Several {
    /// The set that image `index` is in, and its index there.
    fn part(&self, index: usize) -> (&Part, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.first_image <= index) - 1];
        (part, index - part.first_image)
    }
}

impl FaceSource for Several {
    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.source.len()).sum()
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn label(&self, index: usize) -> usize {
        let (part, there) = self.part(index);
        part.first_label + part.source.label(there)
    }

    fn name(&self, index: usize) -> String {
        let (part, there) = self.part(index);
        part.source.name(there)
    }

    fn key(&self, index: usize) -> String {
        let (part, there) = self.part(index);
        format!("{}/{}", part.title, part.source.key(there))
    }

    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        let (part, there) = self.part(index);
        part.source.stored(there)
    }

    fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let (part, there) = self.part(index);
        part.source.load(there, size)
    }

    fn advice(&self) -> Option<String> {
        self.parts.iter().find_map(|part| part.source.advice())
    }

    fn fingerprint(&self) -> String {
        let prints: Vec<String> = self.parts.iter().map(|part| part.source.fingerprint()).collect();
        sha256(prints.concat().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
        [[train]]
        kind = \"synthetic\"
        identities = 2
        images = 3
        size = 16
        [[train]]
        kind = \"synthetic\"
        identities = 4
        images = 2
        size = 16
        max_identities = 3";

    fn read(text: &str) -> Result<SourcesConfig, SettingsError> {
        let table: toml::Table = text.parse().unwrap();
        SourcesConfig::read(&table["train"], &"data.train".into())
    }

    #[test]
    fn a_table_is_one_set_and_a_list_is_several() {
        let one = read("[train]\nkind = \"synthetic\"").unwrap();
        assert_eq!(one, SourcesConfig::default());
        assert!(one.write().unwrap().is_table());
        let two = read(TWO).unwrap();
        assert_eq!(two.0.len(), 2);
        assert_eq!(SourcesConfig::read(&two.write().unwrap(), &"".into()).unwrap(), two);
        let empty = read("train = []").unwrap().validate(&"data.train".into()).unwrap_err();
        assert_eq!(empty.to_string(), "data.train is missing; it is where training images come from");
        let second = read("[[train]]\nkind = \"synthetic\"\n[[train]]\nkind = \"folder\"").unwrap();
        let error = second.validate(&"data.train".into()).unwrap_err().to_string();
        assert!(error.starts_with("data.train.1.path is missing"), "{error}");
    }

    #[test]
    fn people_of_several_sets_are_kept_apart() {
        let opened = read(TWO).unwrap().open().unwrap();
        assert_eq!(
            opened.summary.to_string(),
            "12 images of 5 identities; left out: 1 identity beyond max_identities"
        );
        let source = opened.source;
        assert_eq!(
            source.identities(),
            [
                "synthetic 1/000000",
                "synthetic 1/000001",
                "synthetic 2/000000",
                "synthetic 2/000001",
                "synthetic 2/000002"
            ]
        );
        let labels: Vec<_> = (0..source.len()).map(|index| source.label(index)).collect();
        assert_eq!(labels, [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4]);
        // The first person of both sets is drawn from the same seed.
        assert_eq!(source.load(0, [16, 16]), source.load(6, [16, 16]));
        assert_ne!(source.load(0, [16, 16]), source.load(8, [16, 16]));
        assert_eq!(source.key(7), format!("synthetic 2/{}", "000000/0001"));
        assert_eq!(source.fingerprint().len(), 64);
    }
}
