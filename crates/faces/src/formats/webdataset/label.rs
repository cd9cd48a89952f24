//! Labels of samples: numbers or names, of `.cls` and `.json` members.

use std::{collections::HashMap, fmt, path::Path};

use facegrad_files::text_of;
use serde_json::Value;

use crate::{LabelGaps, SourceError, formats::labels::Labels};

/// Largest member that is read for a label, in bytes.
pub(super) const MAX_LABEL: u64 = 1 << 20;
/// Longest label or name, in bytes.
const MAX_TEXT: usize = 4096;
/// Fields of `.json` members that are tried for a label.
const FIELDS: [&str; 3] = ["label", "cls", "class"];
/// Fields that an error names.
const FIELDS_SHOWN: usize = 5;
/// The field of `.json` members that names the identity where the label is a number.
const NAME_FIELD: &str = "identity";

/// A label as a sample has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// A number in digits, or a name.
    pub value: String,
    /// What the identity is called beside its number.
    pub name: Option<String>,
}

/// What the members of a sample say of its label.
#[derive(Debug, Default)]
pub(super) struct SampleLabel {
    cls: Option<String>,
    json: Option<String>,
    name: Option<String>,
    /// What a `.json` member without the label is, as a clause.
    unlabelled: Option<String>,
}

impl SampleLabel {
    /// Whether a member of this ending may hold the label.
    pub fn is_label(&self, ending: &str) -> bool {
        matches!(ending, "cls" | "json")
    }

    /// Takes the content of such a member, or says what is wrong with it. With `label_key` the label is that field
    /// and nothing else.
    pub fn read(&mut self, ending: &str, content: &[u8], label_key: Option<&str>) -> Result<(), String> {
        if ending == "cls" {
            if label_key.is_none() {
                let text =
                    text_of(content.into()).map_err(|error| format!("its label cannot be read: {error}"))?;
                self.cls = Some(bounded(text.trim())?);
            }
            return Ok(());
        }
        let no_object = |error: &dyn fmt::Display| format!("a JSON object is expected: {error}");
        let text = text_of(content.into()).map_err(|error| no_object(&error))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| no_object(&error))?;
        if let Some(Value::String(name)) = value.get(NAME_FIELD) {
            // A name may be anything, also empty.
            self.name = Some(if name.is_empty() { String::new() } else { bounded(name)? });
        }
        let found = match label_key {
            Some(key) => field(&value, key).map(|label| (key, label)),
            None => FIELDS.iter().find_map(|key| value.get(key).map(|label| (*key, label))),
        };
        self.json = match found {
            Some((_, Value::String(label))) => Some(bounded(label)?),
            Some((_, Value::Number(label))) if label.is_u64() => Some(label.to_string()),
            Some((key, other)) => {
                let other: String = other.to_string().chars().take(40).collect();
                return Err(format!("the field {key:?} is {other}; a name or a whole number is expected"));
            }
            None => {
                self.unlabelled = Some(unlabelled(&value, label_key));
                None
            }
        };
        Ok(())
    }

    /// Why there is no label though there is a member that could have it, as a clause.
    pub fn unlabelled(&mut self) -> Option<String> {
        self.unlabelled.take().filter(|_| self.cls.is_none() && self.json.is_none())
    }

    /// The label, if any member has one.
    pub fn value(self) -> Option<Label> {
        Some(Label { value: self.cls.or(self.json)?, name: self.name })
    }
}

/// A field of an object, also one of an object in it, as `meta.person`.
fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).or_else(|| key.split('.').try_fold(value, |value, key| value.get(key)))
}

/// What a `.json` member without the label holds, and what would be right.
fn unlabelled(value: &Value, label_key: Option<&str>) -> String {
    let expected = match label_key {
        Some(key) => format!("{key:?} (label_key)"),
        None => "label, cls or class".into(),
    };
    match value.as_object() {
        None => format!("its .json is no object; one with {expected} is expected"),
        Some(object) => {
            let mut fields: Vec<String> = object
                .keys()
                .take(FIELDS_SHOWN)
                .map(|key| format!("{:?}", key.chars().take(40).collect::<String>()))
                .collect();
            if object.len() > FIELDS_SHOWN {
                fields.push("…".into());
            }
            let fields = if fields.is_empty() {
                "no fields".into()
            } else {
                format!("the fields {}", fields.join(", "))
            };
            format!("its .json has {fields}, and not {expected}; set label_key to the one that is the label")
        }
    }
}

/// A label or a name, which is not empty and not a file of something else.
fn bounded(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("its label is empty".into()),
        length if length > MAX_TEXT => Err(format!("its label has {length} bytes; {MAX_TEXT} are the most")),
        _ => Ok(text.into()),
    }
}

/// Distinct labels, numbered in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct DistinctLabels {
    of: HashMap<String, u32>,
    values: Vec<String>,
    /// What each is called beside, unless samples disagree.
    names: Vec<Name>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    None,
    One(String),
    Several,
}

impl Name {
    fn merge(&mut self, other: Self) {
        match (&*self, other) {
            (Self::None, other) => *self = other,
            (Self::One(a), Self::One(b)) if *a != b => *self = Self::Several,
            (_, Self::Several) => *self = Self::Several,
            _ => {}
        }
    }
}

impl DistinctLabels {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of a label.
    pub fn add(&mut self, label: Label) -> u32 {
        self.add_named(label.value, label.name.map_or(Name::None, Name::One))
    }

    fn add_named(&mut self, value: String, name: Name) -> u32 {
        if let Some(&number) = self.of.get(&value) {
            self.names[number as usize].merge(name);
            return number;
        }
        let number = self.values.len() as u32;
        self.of.insert(value.clone(), number);
        self.values.push(value);
        self.names.push(name);
        number
    }

    /// Adds those of another shard; what number each of them has here.
    pub fn merge(&mut self, other: Self) -> Vec<u32> {
        let others = other.values.into_iter().zip(other.names);
        others.map(|(value, name)| self.add_named(value, name)).collect()
    }

    /// Labels without gaps from those of the images, and the names of the identities.
    ///
    /// Numbers stay what they are, and are called by what stands beside them if that is one name for each of them.
    ///
    /// # Errors
    /// If all labels are numbers and some are not used.
    pub fn labels(self, mut images: Vec<u32>, gaps: LabelGaps, path: &Path) -> Result<Labels, SourceError> {
        // `017` is a name.
        let number = |value: &String| value.parse().ok().filter(|number: &u32| number.to_string() == *value);
        let numbers: Option<Vec<u32>> = self.values.iter().map(number).collect();
        let Some(numbers) = numbers else {
            let names: Vec<&str> = self.values.iter().map(String::as_str).collect();
            let Labels { labels, identities } = Labels::of_names(&names);
            images.iter_mut().for_each(|label| *label = labels[*label as usize]);
            return Ok(Labels { labels: images, identities });
        };
        let Labels { labels, mut identities } = Labels::of_numbers(numbers, gaps, path)?;
        let mut names: Vec<Option<String>> = vec![None; identities.len()];
        let mut is_named = true;
        for (label, name) in labels.iter().zip(self.names) {
            let place = &mut names[*label as usize];
            match name {
                Name::One(name) if place.as_ref().is_none_or(|other| *other == name) => *place = Some(name),
                _ => is_named = false,
            }
        }
        if let (true, Some(names)) = (is_named, names.into_iter().collect()) {
            identities = names;
        }
        images.iter_mut().for_each(|label| *label = labels[*label as usize]);
        Ok(Labels { labels: images, identities })
    }
}
