//! Which columns hold the images and the labels, and what the labels are.

use std::collections::HashMap;

use facegrad_parquet::{ParquetFault, ParquetFile};
use parquet::{
    basic::Type as Physical,
    data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type},
    schema::types::ColumnDescriptor,
};

/// Names of the column of images, in the order in which they are looked for.
const IMAGE_COLUMNS: [&str; 10] =
    ["image", "img", "jpg", "jpeg", "png", "webp", "bytes", "image_bytes", "picture", "photo"];

/// Names of the column of labels.
const LABEL_COLUMNS: [&str; 9] =
    ["label", "identity", "class", "cls", "name", "labels", "identity_id", "person", "subject"];

/// Longest name of an identity, in bytes.
const MAX_NAME: usize = 4096;

/// Why a file is not part of a set.
#[derive(Debug)]
pub(super) enum Problem {
    /// What is wrong with it.
    File(ParquetFault),
    /// A clause about an image, counted from the first of the set.
    Row(usize, String),
}

impl Problem {
    pub fn content(reason: impl Into<String>) -> Self {
        Self::File(ParquetFault::Content(reason.into()))
    }
}

impl From<ParquetFault> for Problem {
    fn from(fault: ParquetFault) -> Self {
        Self::File(fault)
    }
}

/// Where in the file the columns are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub image: usize,
    pub label: usize,
}

impl Columns {
    /// Looks for the columns, by what the config calls them if it does.
    pub fn find(file: &ParquetFile, image: Option<&str>, label: Option<&str>) -> Result<Self, Problem> {
        let all = file.metadata().file_metadata().schema_descr().columns();
        let find = |names: &[&str], is_right: &dyn Fn(&ColumnDescriptor, &str) -> bool| {
            names.iter().find_map(|name| all.iter().position(|column| is_right(column, name)))
        };
        let is_image = |column: &ColumnDescriptor, name: &str| {
            // A group has the content in `bytes` and the name of a file in `path`.
            let parts = column.path().parts();
            let is_named = parts == [name] || parts == [name, "bytes"];
            is_named && column.max_rep_level() == 0 && column.physical_type() == Physical::BYTE_ARRAY
        };
        let is_label = |column: &ColumnDescriptor, name: &str| {
            let kinds = [Physical::INT32, Physical::INT64, Physical::BYTE_ARRAY];
            column.path().parts() == [name]
                && column.max_rep_level() == 0
                && kinds.contains(&column.physical_type())
        };
        let missing = |what: &str, kind: &str, key: &str, named: Option<&str>| {
            let there: Vec<String> = all.iter().take(20).map(|column| column.path().string()).collect();
            let wanted = match named {
                Some(name) => format!("it has no column {name:?} of {what} ({kind})"),
                None => format!("no column looks like one of {what} ({kind}); set {key}"),
            };
            Problem::content(format!("{wanted}; its columns are {:?}", there.join(", ")))
        };
        let image_names = image.map_or(IMAGE_COLUMNS.to_vec(), |name| vec![name]);
        let label_names = label.map_or(LABEL_COLUMNS.to_vec(), |name| vec![name]);
        let kind = "bytes, or a group with bytes";
        let image_column =
            find(&image_names, &is_image).ok_or_else(|| missing("images", kind, "image_key", image))?;
        let other = |column: &ColumnDescriptor, name: &str| {
            is_label(column, name) && column.path().parts() != all[image_column].path().parts()
        };
        let label = find(&label_names, &other)
            .ok_or_else(|| missing("labels", "whole numbers or text", "label_key", label))?;
        Ok(Self { image: image_column, label })
    }

    /// The names of the numbers in the column of labels, if the metadata of Hugging Face has them: a `ClassLabel`.
    pub fn class_names(self, file: &ParquetFile) -> Option<Vec<String>> {
        let text = file.value("huggingface")?;
        let json: serde_json::Value = serde_json::from_str(text).ok()?;
        let column = file.column(self.label);
        let names = json.get("info")?.get("features")?.get(column.path().parts().first()?)?.get("names")?;
        names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    }
}

/// Labels of a set, as they are read.
#[derive(Debug)]
pub(super) enum LabelColumn {
    /// Nothing yet.
    Nothing,
    /// Whole numbers.
    Numbers(Vec<u32>),
    /// Text: which of the distinct ones each image has.
    Names { of: HashMap<String, u32>, labels: Vec<u32> },
}

impl LabelColumn {
    pub fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Numbers(labels) | Self::Names { labels, .. } => labels.len(),
        }
    }

    /// Adds the labels of a row group.
    pub fn read_group(&mut self, file: &ParquetFile, group: usize, column: usize) -> Result<(), Problem> {
        match file.column(column).physical_type() {
            Physical::INT32 => file.values::<Int32Type, _>(group, column, |label| {
                let label = self.present(label)?;
                self.number((*label).into())
            }),
            Physical::INT64 => file.values::<Int64Type, _>(group, column, |label| {
                let label = self.present(label)?;
                self.number(*label)
            }),
            _ => file.values::<ByteArrayType, _>(group, column, |label| {
                let label = self.present(label.map(ByteArray::data))?;
                self.name(label)
            }),
        }
    }

    /// The label of the next image.
    fn present<T>(&self, label: Option<T>) -> Result<T, Problem> {
        label.ok_or_else(|| Problem::Row(self.len(), "the label is missing".into()))
    }

    fn number(&mut self, label: i64) -> Result<(), Problem> {
        let row = self.len();
        let label = u32::try_from(label).map_err(|_| {
            Problem::Row(row, format!("the label is {label}; a number from 0 to {} is expected", u32::MAX))
        })?;
        if let Self::Nothing = self {
            *self = Self::Numbers(Vec::new());
        }
        match self {
            Self::Numbers(labels) => labels.push(label),
            _ => {
                return Err(Problem::content(
                    "its labels are numbers, and those of files before it are text",
                ));
            }
        }
        Ok(())
    }

    fn name(&mut self, label: &[u8]) -> Result<(), Problem> {
        let row = self.len();
        let label = std::str::from_utf8(label)
            .ok()
            .filter(|label| !label.is_empty() && label.len() <= MAX_NAME)
            .ok_or_else(|| Problem::Row(row, "the label is empty, too long or not UTF-8".into()))?;
        if let Self::Nothing = self {
            *self = Self::Names { of: HashMap::new(), labels: Vec::new() };
        }
        let Self::Names { of, labels } = self else {
            return Err(Problem::content("its labels are text, and those of files before it are numbers"));
        };
        let number = match of.get(label) {
            Some(number) => *number,
            None => {
                let number = of.len() as u32;
                of.insert(label.to_owned(), number);
                number
            }
        };
        labels.push(number);
        Ok(())
    }
}
