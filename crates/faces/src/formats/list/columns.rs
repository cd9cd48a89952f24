//! Which columns of a table are the paths and the labels.

use std::borrow::Cow;

use super::{
    ListConfig,
    parse::{excerpt, is_image},
};

/// What a header may call the column of paths, in the order in which they are looked for.
const PATHS: [&str; 18] = [
    "path",
    "image",
    "file",
    "image_path",
    "file_path",
    "filename",
    "file_name",
    "image_id",
    "img",
    "img_path",
    "image_name",
    "img_name",
    "image_file",
    "fname",
    "filepath",
    "imgpath",
    "photo",
    "picture",
];

/// What a header may call the column of labels.
const LABELS: [&str; 18] = [
    "label",
    "identity",
    "class",
    "name",
    "identity_id",
    "person",
    "id",
    "class_id",
    "label_id",
    "person_id",
    "category",
    "category_id",
    "subject",
    "subject_id",
    "target",
    "class_name",
    "person_name",
    "identity_name",
];

/// What a header may call the number of a line.
const INDICES: [&str; 3] = ["", "index", "idx"];

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub path: usize,
    pub label: usize,
    /// What the header calls the latter.
    pub label_name: String,
    /// Other columns that may be labels, and their names.
    pub others: Vec<usize>,
    pub other_names: Vec<String>,
    /// Whether the image of a line has to be in the column of paths.
    pub is_guarded: bool,
    /// How the columns were found, where their names do not say it.
    pub note: Option<String>,
}

/// What the cells of a first line are.
pub(super) enum Header {
    /// Names of columns.
    Columns(Columns),
    /// Names of columns, and why they do not do, as a clause.
    Wrong(String),
    /// Something else.
    None,
}

impl Columns {
    /// Those of a table without a header.
    pub fn at(path: usize, label: usize, is_guarded: bool) -> Self {
        let (others, other_names) = Default::default();
        Self { path, label, label_name: String::new(), others, other_names, is_guarded, note: None }
    }

    pub fn is_path_name(name: &str) -> bool {
        PATHS.contains(&name.to_ascii_lowercase().as_str())
    }

    /// By the cells of the first line and of the next one.
    pub fn header(first: &[Cow<str>], second: &[Cow<str>], config: &ListConfig) -> Header {
        let names: Vec<String> = first.iter().map(|cell| cell.trim().to_ascii_lowercase()).collect();
        let keys = [("image_key", &config.image_key), ("label_key", &config.label_key)];
        let listed = || first.iter().map(|name| excerpt(name)).collect::<Vec<_>>().join(", ");
        for (key, name) in keys.iter().filter_map(|(key, name)| Some((key, name.as_ref()?))) {
            if !first.iter().any(|cell| cell == name) {
                return Header::Wrong(format!("{key} is {name:?}, and its columns are {}", listed()));
            }
        }
        let keyed = |key: &Option<String>| first.iter().position(|cell| Some(&**cell) == key.as_deref());
        let (image_key, label_key) = (keyed(&config.image_key), keyed(&config.label_key));
        let are_keyed = image_key.is_some() || label_key.is_some();
        // A path that looks like an image shows that this is no header.
        if first.iter().any(|cell| is_image(cell)) && !are_keyed {
            return Header::None;
        }
        let images: Vec<usize> =
            (0..second.len().min(first.len())).filter(|&at| is_image(&second[at])).collect();
        let known = |known: &[&str], but: Option<usize>| -> Vec<usize> {
            let places = known.iter().filter_map(|known| names.iter().position(|name| name == known));
            places.filter(|place| Some(*place) != but).collect()
        };
        let (paths, labels) = (known(&PATHS, None), known(&LABELS, None));
        if paths.is_empty() && labels.is_empty() && !are_keyed {
            let is_name = |cell: &Cow<str>| !cell.contains('/') && cell.parse::<f64>().is_err();
            return match !images.is_empty() && first.iter().all(is_name) {
                true => Header::Wrong(format!(
                    "none of its columns, {}, is known as paths or labels; set image_key and label_key",
                    listed()
                )),
                false => Header::None,
            };
        }
        // Where names do not say it, the only column of images does.
        let by_name = paths.iter().find(|path| images.contains(path)).or(paths.first()).copied();
        let by_image = match images[..] {
            [only] => Some(only),
            _ => None,
        };
        let Some(path) = image_key.or(by_name).or(by_image) else {
            return match labels.is_empty() {
                true => Header::None,
                false => Header::Wrong(format!(
                    "its header names no column of paths (path, image, file or the like); its columns are {}; set \
                     image_key",
                    listed()
                )),
            };
        };
        let is_index = |at: usize| INDICES.contains(&names[at].as_str()) || names[at].starts_with("unnamed:");
        let mut labels = match label_key {
            Some(label) => vec![label],
            None => known(&LABELS, Some(path)),
        };
        let is_named = !labels.is_empty();
        if labels.is_empty() {
            labels = (0..first.len()).filter(|&at| at != path && !is_index(at)).collect();
        }
        // What is left over is the label if it is one column, of numbers or names.
        let is_taken =
            is_named || labels.len() == 1 && by_name.is_none_or(|_| paths.len() == 1) && first.len() > 1;
        let [label, others @ ..] = &labels[..] else {
            return Header::Wrong(format!(
                "its header names no column of labels; its columns are {}",
                listed()
            ));
        };
        if !is_taken {
            return Header::Wrong(format!(
                "its header names no column of labels (label, identity, class, name or the like); its columns are \
                 {}; set label_key",
                listed()
            ));
        }
        let is_plain = is_named && (image_key.is_some() || by_name.is_some());
        Header::Columns(Self {
            path,
            label: *label,
            label_name: excerpt(&first[*label]),
            others: others.to_vec(),
            other_names: others.iter().map(|other| excerpt(&first[*other])).collect(),
            is_guarded: image_key.is_none(),
            note: (!is_plain).then(|| {
                format!(
                    "its column {} is taken for the paths and {} for the labels",
                    excerpt(&first[path]),
                    excerpt(&first[*label])
                )
            }),
        })
    }
}
