//! `--set section.key=value`: one key of a config replaced on the command line.

use toml::{Table, Value};

use crate::{Schema, SettingsError};

/// One parsed `--set` argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    path: Vec<String>,
    value: Value,
}

/// A key of the file that an override made meaningless, and that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct UnusedKey {
    /// Where it was, such as `head.margin`.
    pub key: String,
    /// Why, such as `head.kind=softmax does not have it`.
    pub why: String,
}

impl Override {
    /// The key it sets, such as `head.kind`.
    pub fn key(&self) -> String {
        self.path.join(".")
    }
}

impl std::str::FromStr for Override {
    type Err = SettingsError;

    /// Parses `a.b=c`; `c` is a TOML value, or text where it is none (`head.kind=arcface`).
    fn from_str(argument: &str) -> Result<Self, SettingsError> {
        let malformed = || SettingsError::MalformedOverride { argument: argument.into() };
        let (path, text) = argument.split_once('=').ok_or_else(malformed)?;
        let path: Vec<String> = path.split('.').map(|part| part.trim().to_owned()).collect();
        if path.iter().any(String::is_empty) {
            return Err(malformed());
        }
        let value = format!("value = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| if table.len() == 1 { table.remove("value") } else { None })
            .unwrap_or_else(|| Value::String(text.into()));
        Ok(Self { path, value })
    }
}

/// Applies `overrides` in order to `config`, whose shape is `schema`.
///
/// Overriding a `kind` drops the keys of that section which the new kind does not have, so that
/// `--set head.kind=softmax` works on a config that sets a margin; what was dropped is returned.
pub fn apply_overrides(
    config: &mut Table,
    overrides: &[Override],
    schema: &Schema,
) -> Result<Vec<UnusedKey>, SettingsError> {
    let mut left_out = Vec::new();
    let mut root = Value::Table(std::mem::take(config));
    let result = overrides.iter().try_for_each(|o| apply(&mut root, o, schema, &mut left_out));
    if let Value::Table(table) = root {
        *config = table;
    }
    result.map(|()| left_out)
}

fn apply(
    root: &mut Value,
    Override { path, value }: &Override,
    schema: &Schema,
    left_out: &mut Vec<UnusedKey>,
) -> Result<(), SettingsError> {
    let (last, parents) = path.split_last().expect("an override has a key");
    let mut here = root;
    let mut schema = Some(schema);
    for (depth, name) in parents.iter().enumerate() {
        let at = || path[..=depth].join(".");
        schema = schema.and_then(|s| s.child(name));
        here = match here {
            Value::Table(table) => table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new())),
            Value::Array(items) => {
                let len = items.len();
                name.parse::<usize>().ok().and_then(|i| items.get_mut(i)).ok_or_else(|| {
                    SettingsError::conflict(
                        at(),
                        format!("names no entry of the list; it has {len}, counted from 0"),
                    )
                })?
            }
            _ => return Err(SettingsError::conflict(at(), "is a single value and has no keys below it")),
        };
    }
    let Value::Table(table) = here else {
        return Err(SettingsError::conflict(
            parents.join("."),
            "is not a table; name an entry of it, as in name.0.key",
        ));
    };
    if let (Some(Schema::Kinds(kinds)), "kind", Value::String(new)) = (schema, last.as_str(), value)
        && let Some(kind) = kinds.iter().find(|k| k.name == new || k.aliases.contains(&new.as_str()))
    {
        table.retain(|key, _| {
            let stays = key == "kind" || kind.keys.iter().any(|k| k.name == key);
            if !stays {
                let why = format!("{}={new} does not have it", path.join("."));
                left_out.push(UnusedKey { key: format!("{}.{key}", parents.join(".")), why });
            }
            stays
        });
    }
    table.insert(last.clone(), value.clone());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Setting, above, kinds, settings, within};

    settings! {
        /// No margin.
        pub struct Plain {
            /// Whether there is a bias.
            bias: bool = true;
        }
    }
    settings! {
        /// A margin.
        pub struct Margin {
            /// The margin.
            margin: f64 = 0.5, within(0.0, 1.0);
        }
    }
    kinds! {
        /// A head.
        pub enum Head {
            /// Plain.
            Plain(Plain) = "plain",
            /// Margin.
            Margin(Margin) = "margin" | "additive",
        }
    }
    settings! {
        /// All.
        pub struct Root {
            /// The head.
            head: Head = Head::Plain(Plain::default());
            /// Some numbers.
            sizes: Vec<usize> = vec![1, 2];
            /// How often.
            times: usize = 1, within(1, 4);
            /// Two numbers.
            pair: [usize; 2] = [2, 2], above(1);
            /// A name.
            name: Option<String> = None;
            /// A place.
            place: std::path::PathBuf = std::path::PathBuf::new();
        }
    }

    fn resolve(text: &str, sets: &[&str]) -> Result<(Root, Vec<UnusedKey>), SettingsError> {
        let mut table: Table = text.parse().unwrap();
        let overrides: Vec<Override> = sets.iter().map(|s| s.parse()).collect::<Result<_, _>>()?;
        let left_out = apply_overrides(&mut table, &overrides, &Root::schema())?;
        Ok((Root::read(&Value::Table(table), &"".into())?, left_out))
    }

    #[test]
    fn a_bare_word_is_text_and_a_number_is_a_number() {
        let (root, _) =
            resolve("", &["head.kind=margin", "head.margin=0.25", "name=a b", "sizes=[3]"]).unwrap();
        assert_eq!(root.head, Head::Margin(Margin { margin: 0.25 }));
        assert_eq!((root.name.as_deref(), root.sizes), (Some("a b"), vec![3]));
    }

    #[test]
    fn changing_the_kind_leaves_out_the_keys_it_lacks() {
        let (root, left_out) =
            resolve("[head]\nkind = \"margin\"\nmargin = 0.1", &["head.kind=plain"]).unwrap();
        assert_eq!(root.head, Head::Plain(Plain::default()));
        assert_eq!(
            left_out,
            [UnusedKey { key: "head.margin".into(), why: "head.kind=plain does not have it".into() }]
        );
    }

    #[test]
    fn errors_name_the_key_and_what_would_be_right() {
        for (text, sets, sentence) in [
            ("", &["head"][..], "--set head is not of the form section.key=value"),
            (
                "",
                &["head.kind=margn"],
                "head.kind is \"margn\"; it must be one of plain, margin; did you mean \"margin\"?",
            ),
            ("", &["head.margin=0.1"], "head.kind is missing; it is one of plain, margin"),
            (
                "[head]\nkind='plain'\nmargin=0.1",
                &[],
                "head.margin has no effect with head.kind = \"plain\"; it belongs to margin",
            ),
            ("[head]\nkind='additive'\nmargin=2", &[], "head.margin is 2; it must be from 0 to 1"),
            (
                "[head]\nkind='margin'\nmargin='x'",
                &[],
                "head.margin is the text \"x\"; it must be a finite number from 0 to 1",
            ),
            (
                "[head]\nkind='margin'\nmargin=nan",
                &[],
                "head.margin is NaN; it must be a finite number from 0 to 1",
            ),
            ("sizes=[1,-2]", &[], "sizes.1 is -2; it must be a whole number, 0 or more"),
            ("times=1.5", &[], "times is 1.5; it must be a whole number from 1 to 4"),
            ("times=-1", &[], "times is -1; it must be a whole number from 1 to 4"),
            ("times=5", &[], "times is 5; it must be from 1 to 4"),
            ("pair=[2,2.5]", &[], "pair.1 is 2.5; it must be a whole number, more than 1"),
            ("head=3", &[], "head is 3; it must be a table, written [head], with the key kind"),
            ("nam='x'", &[], "nam is not a key of this section; did you mean name?"),
            (
                "[head]\nkindd='margin'",
                &[],
                "head.kindd is not a key of this section; did you mean head.kind?",
            ),
            (
                "[head]\nkind='margin'",
                &["head.kindd=plain"],
                "head.kindd is not a key of this section; did you mean head.kind?",
            ),
            ("[head]\nkidn='plain'", &[], "head.kidn is not a key of this section; did you mean head.kind?"),
            (
                "[head]\nkind='margin'\nmargn=1",
                &[],
                "head.margn is not a key of this section; did you mean head.margin?",
            ),
            ("", &["sizes.7.x=1"], "sizes.7 names no entry of the list; it has 0, counted from 0"),
        ] {
            let text = if sets.first().is_some_and(|s| s.starts_with("sizes")) { "sizes=[]" } else { text };
            assert_eq!(resolve(text, sets).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn a_path_takes_in_environment_variables() {
        let value = std::env::var("PATH").unwrap();
        let (root, _) = resolve("place = 'a${PATH}/x${'", &[]).unwrap();
        assert_eq!(root.place, std::path::PathBuf::from(format!("a{value}/x${{")));
        let error = resolve("place = '${FACEGRAD_ABSENT}/x'", &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("place refers to the environment variable FACEGRAD_ABSENT, which"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_path_may_be_any_bytes() {
        use std::{ffi::OsString, os::unix::ffi::OsStringExt};
        let place = std::path::PathBuf::from(OsString::from_vec(b"caf\xe9/a\\b\n".into()));
        let (root, _) = resolve(r"place = 'caf\xE9/a\b\x0A'", &[]).unwrap();
        assert_eq!(root.place, place);
        assert_eq!(root.write().unwrap()["place"].as_str(), Some(r"caf\xE9/a\x5Cb\x0A"));
        assert_eq!(serde_roundtrip(&root), root);
        assert_eq!(resolve("", &[r"place=caf\xE9/a\b\x0A"]).unwrap().0.place, place);
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let (root, _) = resolve("", &["head.kind=margin", "head.margin=0.3"]).unwrap();
        assert_eq!(Root::read(&root.write().unwrap(), &"".into()).unwrap(), root);
        assert_eq!(serde_roundtrip(&root), root);
    }

    fn serde_roundtrip(root: &Root) -> Root {
        toml::from_str(&toml::to_string(root).unwrap()).unwrap()
    }
}
