//! What a section, key or kind is, as data: for `facegrad explain` and for error messages.

/// The shape of a value in a config file.
#[derive(Debug, Clone, PartialEq)]
pub enum Schema {
    /// A single value; the text names its type, such as `number` or `"linear" | "none"`.
    Value(String),
    /// A table with these keys.
    Section(Vec<Key>),
    /// A table whose `kind` key decides which other keys it has.
    Kinds(Vec<Kind>),
    /// A list of tables (`[[name]]`).
    List(Box<Schema>),
}

/// One key of a section.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it was called once.
    pub formerly: Option<&'static str>,
    /// What it does.
    pub doc: String,
    /// What it holds.
    pub schema: Schema,
    /// The words it may be and what each means, where it takes one of several.
    pub choices: Vec<(&'static str, &'static str)>,
    /// Its default as it would be written, empty where there is none.
    pub default: String,
    /// The values it may take, in words, where that says more than the type.
    pub range: Option<String>,
}

/// One value of a `kind` key and the keys that come with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// The value of `kind`.
    pub name: &'static str,
    /// Other names it may be given.
    pub aliases: &'static [&'static str],
    /// What it is.
    pub doc: String,
    /// The keys it takes beside `kind`.
    pub keys: Vec<Key>,
}

impl Schema {
    /// The sub-schema under `name`, looking through lists; for kinds, that of the kind called `kind`.
    pub fn child(&self, name: &str) -> Option<&Schema> {
        match self {
            Schema::Section(keys) => keys.iter().find(|k| k.name == name).map(|k| &k.schema),
            Schema::List(inner) if name.parse::<usize>().is_ok() => Some(inner),
            Schema::List(inner) => inner.child(name),
            Schema::Kinds(_) | Schema::Value(_) => None,
        }
    }
}
