//! The macros that declare sections, choices and kinds.

use toml::{Table, Value};

use crate::{Key, KeyPath, SettingsError, nearest};

/// Declares a section of the config: a struct whose fields are keys.
///
/// Each field reads `name: Type = default;` or `name: Type = default, range;` where `range` comes from
/// [`within`](crate::within), [`at_least`](crate::at_least) or [`above`](crate::above). An `Option` field
/// with default `None` may be left out. `#[formerly = "old"]` before a key names what it was called once, so that an
/// error about the old name says the new one. A field `..name: Group;` takes in the keys of another section: in a
/// config they stand among the others, in Rust they are `section.name.key`.
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $first_doc:literal])*
                $(#[formerly = $first_old:literal])?
                $first:ident : $first_type:ty = $first_default:expr $(, $first_range:expr)? ;
            )*
            $(
                ..$group:ident : $group_type:ty;
                $(
                    $(#[doc = $key_doc:literal])*
                    $(#[formerly = $key_old:literal])?
                    $key:ident : $type:ty = $default:expr $(, $range:expr)? ;
                )*
            )*
        }
    ) => {
        $crate::section! {
            $([$doc])*
            $name
            $( key [$($first_doc)*] [$($first_old)?] $first: $first_type = $first_default, [$($first_range)?]; )*
            $(
                group ["What it shares with other sections."] [] $group: $group_type = Default::default(), [];
                $( key [$($key_doc)*] [$($key_old)?] $key: $type = $default, [$($range)?]; )*
            )*
        }
    };
}

/// What [`settings!`] declares, with keys and groups of keys in one list.
#[doc(hidden)]
#[macro_export]
macro_rules! section {
    (
        $([$doc:literal])*
        $name:ident
        $( $entry:ident [$($key_doc:literal)*] $old:tt $key:ident : $type:ty = $default:expr, $range:tt; )*
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $key_doc])* pub $key: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )* }
            }
        }

        #[allow(unused_variables)]
        impl $crate::Section for $name {
            fn update(
                &mut self, table: &$crate::toml::Table, at: &$crate::KeyPath,
            ) -> Result<(), $crate::SettingsError> {
                $( $crate::entry!(update $entry self.$key: $type, table, at, $range); )*
                Ok(())
            }

            fn write_into(&self, table: &mut $crate::toml::Table) {
                $( $crate::entry!(write $entry self.$key, table); )*
            }

            fn keys() -> Vec<$crate::Key> {
                #[allow(unused_mut)]
                let (defaults, mut keys) = (Self::default(), Vec::new());
                $( $crate::entry!(keys $entry defaults.$key: $type, keys, [$($key_doc)*], $old, $range); )*
                keys
            }
        }

        $crate::serde_through_toml!($name);
    };
}

/// What a section does with one of its entries, a key or a group of keys.
#[doc(hidden)]
#[macro_export]
macro_rules! entry {
    (update key $this:ident.$key:ident: $type:ty, $table:ident, $at:ident, [$($range:expr)?]) => {
        if let Some(value) = $table.get(stringify!($key)) {
            let at = $at.join(stringify!($key));
            $this.$key = $crate::read_key!($type, value, &at $(, &$range)?)?;
        }
    };
    (update group $this:ident.$key:ident: $type:ty, $table:ident, $at:ident, []) => {
        $crate::Section::update(&mut $this.$key, $table, $at)?
    };
    (write key $this:ident.$key:ident, $table:ident) => {
        if let Some(value) = $crate::Setting::write(&$this.$key) {
            $table.insert(stringify!($key).into(), value);
        }
    };
    (write group $this:ident.$key:ident, $table:ident) => {
        $crate::Section::write_into(&$this.$key, $table)
    };
    (
        keys key $this:ident.$key:ident: $type:ty, $keys:ident, [$($key_doc:literal)*], [$($old:literal)?],
        [$($range:expr)?]
    ) => {
        $keys.push($crate::Key {
            name: stringify!($key),
            formerly: None $( .or(Some($old)) )?,
            doc: concat!($($key_doc, "\n"),*).trim().into(),
            schema: <$type as $crate::Setting>::schema(),
            choices: <$type as $crate::Setting>::choices(),
            default: match $crate::Setting::write(&$this.$key) {
                Some(value) => value.to_string(),
                None => String::new(),
            },
            range: None $( .or(Some($range.to_string())) )?,
        })
    };
    (keys group $this:ident.$key:ident: $type:ty, $keys:ident, $key_doc:tt, [], []) => {
        $keys.extend(<$type as $crate::Section>::keys())
    };
}

/// Reads the value of a key, in its range if it has one.
#[doc(hidden)]
#[macro_export]
macro_rules! read_key {
    ($type:ty, $value:expr, $at:expr) => {
        <$type as $crate::Setting>::read($value, $at)
    };
    ($type:ty, $value:expr, $at:expr, $range:expr) => {
        <$type as $crate::Setting>::read_within($value, $at, $range)
    };
}

/// Declares a key that takes one of several words: an enum without data.
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $(
                $(#[doc = $variant_doc:literal])*
                $variant:ident = $word:literal $(| $alias:literal)*
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[doc = $variant_doc])* $variant, )*
        }

        impl $name {
            /// Every value, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word that stands for this value in a config.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// What this value means.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => concat!($($variant_doc, "\n"),*).trim()),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word $(| $alias)* => Ok(Self::$variant),)*
                    _ => Err(format!("expected one of {}", [$($word),*].join(", "))),
                }
            }
        }

        impl $crate::Setting for $name {
            fn read(value: &$crate::toml::Value, at: &$crate::KeyPath) -> Result<Self, $crate::SettingsError> {
                let words = [$($word),*];
                let Some(word) = value.as_str() else {
                    return Err($crate::SettingsError::wrong_type(at, value, format!("one of {}", words.join(", "))));
                };
                word.parse().map_err(|_: String| $crate::SettingsError::unknown_choice(at, word, &words))
            }

            fn write(&self) -> Option<$crate::toml::Value> {
                Some(self.as_str().into())
            }

            fn schema() -> $crate::Schema {
                $crate::Schema::Value([$(concat!("\"", $word, "\"")),*].join(" | "))
            }

            fn choices() -> Vec<(&'static str, &'static str)> {
                Self::ALL.iter().map(|value| (value.as_str(), value.doc())).collect()
            }
        }

        $crate::serde_through_toml!($name);
    };
}

/// Declares a section whose `kind` key decides which other keys it has: an enum of sections.
///
/// Each line reads `Variant(SectionType) = "kind",` with optional aliases: `= "kind" | "alias"`.
///
/// With `pub enum Name: dyn Trait` every section implements `Trait`, and the enum dereferences to it: a registry. A
/// section is then of one kind only, and becomes the enum by `into()`.
#[macro_export]
macro_rules! kinds {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident: dyn $behaviour:ident {
            $(
                $(#[doc = $variant_doc:literal])*
                $variant:ident($config:ty) = $kind:literal $(| $alias:literal)*
            ),* $(,)?
        }
    ) => {
        $crate::kinds! {
            $(#[doc = $doc])*
            pub enum $name { $( $(#[doc = $variant_doc])* $variant($config) = $kind $(| $alias)*, )* }
        }

        impl std::ops::Deref for $name {
            type Target = dyn $behaviour;

            fn deref(&self) -> &Self::Target {
                match self { $(Self::$variant(config) => config),* }
            }
        }

        $(
            impl From<$config> for $name {
                fn from(config: $config) -> Self {
                    Self::$variant(config)
                }
            }
        )*
    };
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $(
                $(#[doc = $variant_doc:literal])*
                $variant:ident($config:ty) = $kind:literal $(| $alias:literal)*
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $( $(#[doc = $variant_doc])* $variant($config), )*
        }

        #[allow(dead_code)]
        impl $name {
            /// Every kind, in the order of its declaration.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The value of the `kind` key.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind),* }
            }

            /// The kind called `kind`, with every other key at its default.
            pub fn of_kind(kind: &str) -> Option<Self> {
                match kind {
                    $($kind $(| $alias)* => Some(Self::$variant(<$config>::default())),)*
                    _ => None,
                }
            }
        }

        impl $crate::Setting for $name {
            fn read(value: &$crate::toml::Value, at: &$crate::KeyPath) -> Result<Self, $crate::SettingsError> {
                let $crate::Schema::Kinds(kinds) = Self::schema() else { unreachable!("declared as kinds") };
                let (kind, rest) = $crate::split_kind(value, at, &kinds)?;
                match kind {
                    $($kind => <$config as $crate::Setting>::read(&rest, at).map(Self::$variant),)*
                    _ => unreachable!("split_kind returns a declared kind"),
                }
            }

            fn write(&self) -> Option<$crate::toml::Value> {
                match self {
                    $(Self::$variant(config) => {
                        let mut table = $crate::toml::Table::new();
                        table.insert("kind".into(), $kind.into());
                        $crate::Section::write_into(config, &mut table);
                        Some($crate::toml::Value::Table(table))
                    })*
                }
            }

            fn schema() -> $crate::Schema {
                $crate::Schema::Kinds(vec![$(
                    $crate::Kind {
                        name: $kind,
                        aliases: &[$($alias),*],
                        doc: concat!($($variant_doc, "\n"),*).trim().into(),
                        keys: <$config as $crate::Section>::keys(),
                    }
                ),*])
            }
        }

        $crate::serde_through_toml!($name);
    };
}

/// Serde for a [`Setting`](crate::Setting), through its TOML value.
#[doc(hidden)]
#[macro_export]
macro_rules! serde_through_toml {
    ($name:ident) => {
        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::serde::Serialize::serialize(&$crate::Setting::write(self), serializer)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <$crate::toml::Value as $crate::serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::Setting>::read(&value, &$crate::KeyPath::default())
                    .map_err(<D::Error as $crate::serde::de::Error>::custom)
            }
        }
    };
}

/// The table at `at`, after a check that it has no keys but `known`.
///
/// # Errors
/// The first key that is not, with what was meant by it.
pub fn read_keys<'a>(value: &'a Value, at: &KeyPath, known: &[Key]) -> Result<&'a Table, SettingsError> {
    let Value::Table(table) = value else {
        return Err(SettingsError::wrong_type(at, value, format!("a table, written [{at}]")));
    };
    let names: Vec<_> = known.iter().map(|key| key.name).collect();
    let Some(key) = table.keys().find(|key| !names.contains(&key.as_str())) else { return Ok(table) };
    let renamed = known.iter().find(|known| known.formerly == Some(key));
    let hint = match (renamed, nearest(key, names.iter().copied())) {
        (Some(renamed), _) => format!("it is called {} now", at.join(renamed.name)),
        (None, Some(near)) => return Err(misspelt(at, key, near)),
        (None, None) if known.is_empty() => "it takes none".into(),
        (None, None) => format!("the keys are {}", names.join(", ")),
    };
    Err(SettingsError::UnknownKey { key: at.join(key), hint })
}

/// The key of the table at `at` that was meant by `key`.
fn misspelt(at: &KeyPath, key: &str, meant: &str) -> SettingsError {
    SettingsError::UnknownKey { key: at.join(key), hint: format!("did you mean {}?", at.join(meant)) }
}

/// The kind of the table at `at`, and its other keys; a key that only another kind has is named as such.
#[doc(hidden)]
pub fn split_kind(
    value: &Value,
    at: &KeyPath,
    kinds: &[crate::Kind],
) -> Result<(&'static str, Value), SettingsError> {
    let Value::Table(table) = value else {
        return Err(SettingsError::wrong_type(
            at,
            value,
            format!("a table, written [{at}], with the key kind"),
        ));
    };
    let names: Vec<_> = kinds.iter().map(|k| k.name).collect();
    let kind_key = at.join("kind");
    // No kind has it, and it is more like "kind" than like any key that one has.
    let all = || kinds.iter().flat_map(|kind| &kind.keys).map(|key| key.name);
    let is_kind = |key: &str| nearest(key, all().chain(["kind"])) == Some("kind");
    if let Some(key) =
        table.keys().find(|key| *key != "kind" && all().all(|name| name != *key) && is_kind(key))
    {
        return Err(misspelt(at, key, "kind"));
    }
    let kind = match table.get("kind") {
        None => {
            return Err(SettingsError::Missing {
                key: kind_key,
                expected: format!("it is one of {}", names.join(", ")),
            });
        }
        Some(Value::String(word)) => kinds
            .iter()
            .find(|k| k.name == word || k.aliases.contains(&word.as_str()))
            .ok_or_else(|| SettingsError::unknown_choice(&kind_key, word, &names))?,
        Some(other) => {
            return Err(SettingsError::wrong_type(&kind_key, other, format!("one of {}", names.join(", "))));
        }
    };
    let mut rest = table.clone();
    rest.remove("kind");
    for key in rest.keys() {
        if kind.keys.iter().any(|k| k.name == key) {
            continue;
        }
        let others: Vec<_> =
            kinds.iter().filter(|k| k.keys.iter().any(|k| k.name == key)).map(|k| k.name).collect();
        if !others.is_empty() {
            return Err(SettingsError::NoEffect {
                key: at.join(key),
                kind_key,
                kind: kind.name.into(),
                belongs_to: others.join(", "),
            });
        }
    }
    Ok((kind.name, Value::Table(rest)))
}

impl SettingsError {
    /// A [`SettingsError::UnknownChoice`] at `key`.
    #[doc(hidden)]
    pub fn unknown_choice(key: &KeyPath, found: &str, choices: &[&str]) -> Self {
        let hint = match nearest(found, choices.iter().copied()) {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None => String::new(),
        };
        Self::UnknownChoice { key: key.clone(), found: found.into(), choices: choices.join(", "), hint }
    }
}
