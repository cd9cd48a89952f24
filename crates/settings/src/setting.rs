//! The types a key can have, how they are read, written and described.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use facegrad_files::{name_of, path_of};
use toml::{Table, Value};

use crate::{Key, Range, Schema, SettingsError, at_least, read_keys};

/// Where in the config a key is, such as `head.margin` or `evaluation.0.pairs`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPath(String);

impl KeyPath {
    /// The key `name` below this one.
    pub fn join(&self, name: impl fmt::Display) -> Self {
        if self.0.is_empty() { Self(name.to_string()) } else { Self(format!("{}.{name}", self.0)) }
    }
}

impl From<&str> for KeyPath {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl From<String> for KeyPath {
    fn from(path: String) -> Self {
        Self(path)
    }
}

impl From<&KeyPath> for KeyPath {
    fn from(path: &KeyPath) -> Self {
        path.clone()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value of a config key.
///
/// Implemented for numbers, text, paths, `bool`, pairs, `Option`, `Vec` and everything declared with
/// [`settings!`](crate::settings), [`choice!`](crate::choice) and [`kinds!`](crate::kinds).
///
/// What holds numbers implements [`Setting::read_within`], all else [`Setting::read`].
pub trait Setting: Sized {
    /// Reads the value found at `at`.
    ///
    /// # Errors
    /// If it is not of this type.
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        Self::read_within(value, at, &Range::ALL)
    }

    /// Reads a value whose numbers must lie in `range`, which an error about its type names as well.
    ///
    /// # Errors
    /// If it is not of this type, or a number of it is out of range.
    fn read_within(value: &Value, at: &KeyPath, _range: &Range) -> Result<Self, SettingsError> {
        Self::read(value, at)
    }

    /// The value as it would be written; `None` for an absent optional value.
    fn write(&self) -> Option<Value>;

    /// What the value may be.
    fn schema() -> Schema;

    /// The words that the value may be and what each means, where it is one of several.
    fn choices() -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// A section of a config, as [`settings!`](crate::settings) declares it: keys with their defaults.
pub trait Section: Default {
    /// Takes the values of its keys from `table`, which is at `at` and may have other keys.
    ///
    /// # Errors
    /// The first value that is wrong.
    fn update(&mut self, table: &Table, at: &KeyPath) -> Result<(), SettingsError>;

    /// Writes its keys into `table`, in the order of their declaration.
    fn write_into(&self, table: &mut Table);

    /// Its keys, in the order of their declaration.
    fn keys() -> Vec<Key>;
}

impl<T: Section> Setting for T {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        let mut this = T::default();
        this.update(read_keys(value, at, &T::keys())?, at)?;
        Ok(this)
    }

    fn write(&self) -> Option<Value> {
        let mut table = Table::new();
        self.write_into(&mut table);
        Some(Value::Table(table))
    }

    fn schema() -> Schema {
        Schema::Section(T::keys())
    }
}

impl Setting for f64 {
    fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
        let number = match value {
            Value::Float(f) if f.is_finite() => *f,
            Value::Integer(i) => *i as f64,
            other => return Err(SettingsError::wrong_type(at, other, range.of("a finite number"))),
        };
        range.check(number, at)?;
        Ok(number)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }

    fn schema() -> Schema {
        Schema::Value("number".into())
    }
}

macro_rules! whole_number {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
                let Value::Integer(i) = value else {
                    return Err(SettingsError::wrong_type(at, value, range.of("a whole number")));
                };
                // TOML integers are i64, so the upper bound of what can be written is i64::MAX.
                let number = <$type>::try_from(*i).map_err(|_| SettingsError::OutOfRange {
                    key: at.clone(),
                    found: i.to_string(),
                    range: (if *range == Range::ALL { at_least(0) } else { *range }).of("a whole number"),
                })?;
                range.check(number as f64, at)?;
                Ok(number)
            }

            fn write(&self) -> Option<Value> {
                Some(Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX)))
            }

            fn schema() -> Schema {
                Schema::Value("whole number".into())
            }
        }
    )*};
}
whole_number!(usize, u64);

impl Setting for bool {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        value.as_bool().ok_or_else(|| SettingsError::wrong_type(at, value, "true or false"))
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }

    fn schema() -> Schema {
        Schema::Value("true | false".into())
    }
}

impl Setting for String {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| SettingsError::wrong_type(at, value, "text in quotes"))
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }

    fn schema() -> Schema {
        Schema::Value("text".into())
    }
}

impl Setting for PathBuf {
    fn read(value: &Value, at: &KeyPath) -> Result<Self, SettingsError> {
        match value.as_str() {
            Some(path) => expand(path, at).map(|path| path_of(&path)),
            None => Err(SettingsError::wrong_type(at, value, "a path in quotes")),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(name_of(self)))
    }

    fn schema() -> Schema {
        Schema::Value("path".into())
    }
}

/// Replaces each `${NAME}` of a path by that environment variable.
fn expand(path: &str, at: &KeyPath) -> Result<String, SettingsError> {
    let mut expanded = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        let value = std::env::var_os(name)
            .ok_or_else(|| SettingsError::UnsetVariable { key: at.clone(), variable: name.into() })?;
        expanded.push_str(before);
        expanded.push_str(&name_of(Path::new(&value)));
        rest = behind;
    }
    Ok(expanded + rest)
}

impl<T: Setting> Setting for Option<T> {
    fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
        T::read_within(value, at, range).map(Some)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(T::write)
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn choices() -> Vec<(&'static str, &'static str)> {
        T::choices()
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
        let Value::Array(items) = value else {
            return Err(SettingsError::wrong_type(at, value, "a list"));
        };
        items.iter().enumerate().map(|(i, item)| T::read_within(item, &at.join(i), range)).collect()
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(T::write).collect()))
    }

    fn schema() -> Schema {
        match T::schema() {
            Schema::Value(name) => Schema::Value(format!("list of {name}")),
            other => Schema::List(Box::new(other)),
        }
    }

    fn choices() -> Vec<(&'static str, &'static str)> {
        T::choices()
    }
}

impl<T: Setting> Setting for [T; 2] {
    fn read_within(value: &Value, at: &KeyPath, range: &Range) -> Result<Self, SettingsError> {
        match value.as_array().map(Vec::as_slice) {
            Some([a, b]) => {
                Ok([T::read_within(a, &at.join(0), range)?, T::read_within(b, &at.join(1), range)?])
            }
            _ => Err(SettingsError::wrong_type(at, value, "a list of two values")),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(T::write).collect()))
    }

    fn schema() -> Schema {
        match T::schema() {
            Schema::Value(name) => Schema::Value(format!("[{name}, {name}]")),
            other => other,
        }
    }
}

/// The candidate most like `word`, if any is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (candidate, strsim::damerau_levenshtein(word, candidate)))
        .filter(|(candidate, distance)| *distance * 2 <= candidate.len().max(word.len()))
        .min_by_key(|(_, distance)| *distance)
        .map(|(candidate, _)| candidate)
}
