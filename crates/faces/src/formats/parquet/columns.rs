//! Which columns hold the images and the labels, and what the labels are.

use std::collections::HashMap;

use facegrad_parquet::{ParquetFault, ParquetFile};
use parquet::{
    basic::{ConvertedType, LogicalType, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type},
    schema::types::{ColumnDescPtr, ColumnDescriptor},
};

use crate::formats::LabelNeed;

/// Names of the column of images or their paths, in the order in which they are looked for.
const IMAGE_COLUMNS: [&str; 15] = [
    "image",
    "img",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "bytes",
    "image_bytes",
    "picture",
    "photo",
    "path",
    "file",
    "file_name",
    "filename",
    "image_path",
];

/// Names of the column of labels.
const LABEL_COLUMNS: [&str; 9] =
    ["label", "identity", "class", "cls", "name", "labels", "identity_id", "person", "subject"];

/// Columns that a sentence lists; sets may have an attribute in each of hundreds.
const LISTED: usize = 20;

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
    /// The content of images, or what stands for it if there are only paths.
    pub image: Option<usize>,
    /// Where images lie beside the file.
    pub path: Option<usize>,
    /// None where labels are optional and no column is called like one of them.
    pub label: Option<usize>,
}

impl Columns {
    /// Looks for the columns, by what the config calls them if it does.
    pub fn find(
        file: &ParquetFile,
        image: Option<&str>,
        label: Option<&str>,
        need: LabelNeed,
    ) -> Result<Self, Problem> {
        let all = file.metadata().file_metadata().schema_descr().columns();
        let place = |name: &str, is_right: fn(&ColumnDescriptor) -> bool| {
            let is_it = |column: &ColumnDescPtr| column.path().string() == name && is_right(column);
            all.iter().position(is_it)
        };
        let images = |name: &&str| {
            // A group has the content in `bytes` and the name of a file in `path`.
            let bytes = place(&format!("{name}.bytes"), is_bytes).or_else(|| place(name, is_bytes));
            let path = place(&format!("{name}.path"), is_text).or_else(|| place(name, is_text));
            (bytes.is_some() || path.is_some()).then_some((bytes, path))
        };
        let names = image.map_or(IMAGE_COLUMNS.to_vec(), |name| vec![name]);
        let (image, path) = names.iter().find_map(images).ok_or_else(|| {
            missing(all, "images", "bytes, or a group with bytes", "image_key", image, &names)
        })?;
        let names = label.map_or(LABEL_COLUMNS.to_vec(), |name| vec![name]);
        let labels =
            |name: &&str| place(name, is_label).filter(|column| ![image, path].contains(&Some(*column)));
        let found = names.iter().find_map(labels);
        if found.is_none() && (label.is_some() || need == LabelNeed::Required) {
            return Err(missing(all, "labels", "whole numbers or text", "label_key", label, &names));
        }
        Ok(Self { image, path, label: found })
    }

    /// The names of the numbers in the column of labels, if the metadata of Hugging Face has them: a `ClassLabel`.
    pub fn class_names(self, file: &ParquetFile) -> Option<Vec<String>> {
        let text = file.value("huggingface")?;
        let json: serde_json::Value = serde_json::from_str(text).ok()?;
        let column = file.column(self.label?);
        let names = json.get("info")?.get("features")?.get(column.path().parts().first()?)?.get("names")?;
        names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    }
}

fn is_bytes(column: &ColumnDescriptor) -> bool {
    column.max_rep_level() == 0 && column.physical_type() == Physical::BYTE_ARRAY && !is_text(column)
}

fn is_text(column: &ColumnDescriptor) -> bool {
    let says_so = column.converted_type() == ConvertedType::UTF8
        || matches!(column.logical_type_ref(), Some(LogicalType::String));
    column.max_rep_level() == 0 && column.physical_type() == Physical::BYTE_ARRAY && says_so
}

fn is_label(column: &ColumnDescriptor) -> bool {
    use Physical::{BYTE_ARRAY, DOUBLE, FLOAT, INT32, INT64};
    column.max_rep_level() == 0
        && [INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY].contains(&column.physical_type())
        && column.converted_type() != ConvertedType::DECIMAL
}

/// That no column is one of `what`, and which one was meant, if one is called by one of `names`.
fn missing(
    all: &[ColumnDescPtr],
    what: &str,
    kind: &str,
    key: &str,
    named: Option<&str>,
    names: &[&str],
) -> Problem {
    let other = names.iter().find_map(|name| Some((name, other_type(all, name)?)));
    let wanted = match (other, named) {
        (Some((name, other)), Some(_)) => format!("the column {name} is of type {other}; {what} are {kind}"),
        (Some((name, other)), None) => {
            format!(
                "the column {name} is of type {other}; {what} are {kind}; set {key} if they are in another"
            )
        }
        (None, Some(name)) => format!("it has no column {name:?} of {what} ({kind})"),
        (None, None) => format!("no column looks like one of {what} ({kind}); set {key}"),
    };
    let mut there =
        all.iter().take(LISTED).map(|column| column.path().string()).collect::<Vec<_>>().join(", ");
    if all.len() > LISTED {
        there.push_str(&format!(" and {} more", all.len() - LISTED));
    }
    Problem::content(format!("{wanted}; its columns are {there:?}"))
}

/// The type of the column or group `name`, if it is there and holds neither images nor labels.
fn other_type(all: &[ColumnDescPtr], name: &str) -> Option<String> {
    let mut under = all.iter().filter_map(|column| {
        let path = column.path().string();
        let rest = path.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| (column, rest.to_owned()))
    });
    let (column, rest) = under.next()?;
    let kind = match column.converted_type() {
        ConvertedType::DECIMAL => format!("DECIMAL({}, {})", column.type_precision(), column.type_scale()),
        _ => column.physical_type().to_string(),
    };
    match column.max_rep_level() {
        0 if rest.is_empty() && (is_label(column) || is_bytes(column)) => None,
        0 if rest.is_empty() => Some(kind),
        0 => Some(format!("group, with {}", rest.trim_start_matches('.'))),
        _ => Some(format!("list of {kind}")),
    }
}

/// Labels of a set, as they are read.
#[derive(Debug)]
pub(super) enum LabelColumn {
    /// Nothing yet.
    Nothing,
    /// So many images, and no column of labels.
    Unknown(usize),
    /// Whole numbers.
    Numbers(Vec<u32>),
    /// Text: which of the distinct ones each image has.
    Names { of: HashMap<String, u32>, labels: Vec<u32> },
}

impl LabelColumn {
    pub fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Unknown(images) => *images,
            Self::Numbers(labels) | Self::Names { labels, .. } => labels.len(),
        }
    }

    /// Adds `images` of a file without a column of labels.
    pub fn pass(&mut self, images: usize) -> Result<(), Problem> {
        match self {
            Self::Nothing => *self = Self::Unknown(images),
            Self::Unknown(before) => *before += images,
            _ => {
                return Err(Problem::content("it has no column of labels, and the files before it have one"));
            }
        }
        Ok(())
    }

    /// Adds the labels of a row group.
    pub fn read_group(&mut self, file: &ParquetFile, group: usize, column: usize) -> Result<(), Problem> {
        if let Self::Unknown(_) = self {
            return Err(Problem::content("it has a column of labels, and the files before it have none"));
        }
        match file.column(column).physical_type() {
            Physical::INT32 => file.values::<Int32Type, _>(group, column, |label| {
                let label = self.present(label)?;
                self.number((*label).into())
            }),
            Physical::INT64 => file.values::<Int64Type, _>(group, column, |label| {
                let label = self.present(label)?;
                self.number(*label)
            }),
            Physical::FLOAT => file.values::<FloatType, _>(group, column, |label| {
                let label = self.present(label)?;
                self.real((*label).into())
            }),
            Physical::DOUBLE => file.values::<DoubleType, _>(group, column, |label| {
                let label = self.present(label)?;
                self.real(*label)
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

    /// What whole numbers become in a table where one was missing for a while.
    fn real(&mut self, label: f64) -> Result<(), Problem> {
        let whole = label as i64;
        if whole as f64 != label {
            let row = self.len();
            return Err(Problem::Row(row, format!("the label is {label}; a whole number is expected")));
        }
        self.number(whole)
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
