//! What can be wrong with a config, each as one sentence.

use crate::setting::KeyPath;

/// A key or value that a config must not hold, and what would be right.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum SettingsError {
    /// A key that the section does not have.
    #[error("{key} is not a key of this section; {hint}")]
    UnknownKey { key: KeyPath, hint: String },
    /// A key that exists for another `kind` of this section only.
    #[error("{key} has no effect with {kind_key} = \"{kind}\"; it belongs to {belongs_to}")]
    NoEffect {
        key: KeyPath,
        /// The `kind` key that decides.
        kind_key: KeyPath,
        kind: String,
        belongs_to: String,
    },
    /// A value of another type than the key takes.
    #[error("{key} is {found}; it must be {expected}")]
    WrongType { key: KeyPath, found: String, expected: String },
    /// A number outside the range of its key.
    #[error("{key} is {found}; it must be {range}")]
    OutOfRange {
        key: KeyPath,
        found: String,
        /// The range in words, such as "from 0 to 1".
        range: String,
    },
    /// A word that is none of those the key takes.
    #[error("{key} is \"{found}\"; it must be one of {choices}{hint}")]
    UnknownChoice { key: KeyPath, found: String, choices: String, hint: String },
    /// A key that has no default and is missing.
    #[error("{key} is missing; {expected}")]
    Missing { key: KeyPath, expected: String },
    /// A path that refers to an environment variable which is not set.
    #[error(
        "{key} refers to the environment variable {variable}, which is not set; set it, or give the path with --set {key}=PATH"
    )]
    UnsetVariable {
        key: KeyPath,
        /// Its name, without `$`.
        variable: String,
    },
    /// Keys or values that do not go together.
    #[error("{key} {problem}")]
    Conflict {
        key: KeyPath,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A `--set` argument that is not `key=value`.
    #[error("--set {argument} is not of the form section.key=value")]
    MalformedOverride {
        /// What followed `--set`.
        argument: String,
    },
}

impl SettingsError {
    /// A [`SettingsError::Conflict`] at `key`.
    pub fn conflict(key: impl Into<KeyPath>, problem: impl Into<String>) -> Self {
        Self::Conflict { key: key.into(), problem: problem.into() }
    }

    /// A [`SettingsError::WrongType`] at `key` for the value found there.
    pub fn wrong_type(key: &KeyPath, found: &toml::Value, expected: impl Into<String>) -> Self {
        Self::WrongType { key: key.clone(), found: describe(found), expected: expected.into() }
    }
}

/// A value as a person would name it: `the text "abc"`, `3`.
fn describe(value: &toml::Value) -> String {
    match value {
        toml::Value::String(s) => format!("the text \"{s}\""),
        toml::Value::Integer(i) => i.to_string(),
        toml::Value::Float(f) => f.to_string(),
        toml::Value::Boolean(b) => format!("{b}"),
        toml::Value::Datetime(d) => format!("the date {d}"),
        toml::Value::Array(_) => "a list".into(),
        toml::Value::Table(_) => "a table".into(),
    }
}
