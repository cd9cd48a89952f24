//! `.safetensors`: an eight-byte length, a JSON header of that length, then the bytes of all tensors.
//!
//! Tensors: `embeddings` F32 `[rows, dim]`; `names` and `identities` U8 `[bytes]`, each a JSON list of text, as
//! readers bound the header. The origin is in the header's metadata. Source: the format section of the README of
//! huggingface/safetensors.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::File,
    io::{BufReader, BufWriter, Seek, Write},
    path::Path,
};

use facegrad_files::{FileSection, fill_at};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, SeqAccess, Visitor},
};
use serde_json::json;

use super::{Format, WrittenFormat};
use crate::{
    Origin,
    error::Problem,
    limits::{Names, check_shape},
    stored::{Element, Number, Rows, Set, StoredEmbeddings},
};

/// The tensor of a gallery with what tells the pixels of each image apart.
pub(crate) const PIXELS: &str = "pixels";

/// The header of ours has six entries.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Tensor files.
pub(crate) struct Safetensors;

impl Format for Safetensors {
    fn extension(&self) -> &'static str {
        "safetensors"
    }

    fn open(&self, path: &Path) -> Result<StoredEmbeddings, Problem> {
        Ok(open(facegrad_files::open(path)?)?.embeddings)
    }
}

impl WrittenFormat for Safetensors {
    fn write(&self, set: &mut Set<'_>, file: &mut File) -> Result<(), Problem> {
        write(set, file, &[("facegrad", "embeddings")], &[])
    }
}

/// Writes the set with further metadata, and further texts for each row.
pub(crate) fn write(
    set: &mut Set<'_>,
    file: &mut File,
    metadata: &[(&str, &str)],
    more: &[(&str, &[String])],
) -> Result<(), Problem> {
    let mut metadata: BTreeMap<&str, String> =
        metadata.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    if let Some(origin) = set.origin {
        metadata.insert("origin", origin.to_json()?);
    }
    let json =
        |names: &[String]| serde_json::to_vec(names).map_err(|error| Problem::content(error.to_string()));
    let texts: Vec<(&str, Vec<u8>)> = [("names", Some(set.names)), ("identities", set.identities)]
        .into_iter()
        .filter_map(|(name, texts)| Some((name, texts?)))
        .chain(more.iter().copied())
        .map(|(name, texts)| (name, json(texts)))
        .map(|(name, bytes)| Ok((name, bytes?)))
        .collect::<Result<_, Problem>>()?;

    let mut end = set.bytes();
    let mut header = json!({
        "__metadata__": metadata,
        "embeddings": {"dtype": "F32", "shape": [set.names.len(), set.dim], "data_offsets": [0, end]},
    });
    for (name, bytes) in &texts {
        let start = end;
        end += bytes.len() as u64;
        header[*name] = json!({"dtype": "U8", "shape": [bytes.len()], "data_offsets": [start, end]});
    }
    // The tensors begin at a multiple of 8 bytes.
    let mut header = header.to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));

    let mut out = BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    set.for_each_batch(|_, bytes| Ok(out.write_all(bytes)?))?;
    for (_, bytes) in texts {
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

/// What is in a file.
pub(crate) struct Opened {
    pub(crate) embeddings: StoredEmbeddings,
    pub(crate) metadata: HashMap<String, String>,
    /// Of a gallery: what tells the pixels of each image apart, where it says so.
    pub(crate) pixels: Option<Vec<String>>,
}

/// Opens a set, with what else is there.
pub(crate) fn open(mut file: File) -> Result<Opened, Problem> {
    let length = file.seek(std::io::SeekFrom::End(0))?;
    let mut start = [0; 8];
    fill_at(&file, 0, &mut start)?;
    let header_bytes = u64::from_le_bytes(start);
    if header_bytes > MAX_HEADER_BYTES || header_bytes > length - 8 {
        return Err(Problem::Content(format!(
            "it has {length} bytes and a header of {header_bytes}; it is truncated, or not a safetensors file of embeddings"
        )));
    }
    let mut header = vec![0; header_bytes as usize];
    fill_at(&file, 8, &mut header)?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|error| {
        Problem::Content(format!("its header is not that of a safetensors file: {error}"))
    })?;
    let data = 8 + header_bytes;

    let found = |name: &str| {
        header.info(name).ok_or_else(|| {
            let mut all: Vec<String> = header.tensors().into_keys().collect();
            all.sort_unstable();
            let all = if all.is_empty() { "none".into() } else { all.join(", ") };
            Problem::Content(format!(
                "it has no tensor called {name}; it has {all}, and embeddings and names are expected (identities may be there)"
            ))
        })
    };
    let (bytes, at) = (|info: &TensorInfo| section(info, data, length), found("embeddings")?);
    let number = match at.dtype {
        Dtype::F16 => Number::F16,
        Dtype::F32 => Number::F32,
        Dtype::F64 => Number::F64,
        other => {
            return Err(Problem::Content(format!(
                "embeddings are {other:?}; they have to be F16, F32 or F64"
            )));
        }
    };
    let element = Element { number, big_endian: false };
    let &[rows, dim] = at.shape.as_slice() else {
        let shape = &at.shape;
        return Err(Problem::Content(format!("embeddings has the shape {shape:?} instead of [rows, dim]")));
    };
    check_shape(rows, dim)?;
    let (start, end) = bytes(at)?;
    if end - start != (rows * dim * element.size()) as u64 {
        return Err(Problem::content("embeddings has other bytes than its shape takes"));
    }
    let texts = |info: &TensorInfo, name: &str| {
        if info.dtype != Dtype::U8 {
            return Err(Problem::Content(format!("{name} has to be U8, the bytes of a JSON list of text")));
        }
        let (at, end) = bytes(info)?;
        let section = BufReader::new(FileSection { file: &file, at, end });
        let mut json = serde_json::Deserializer::from_reader(section);
        let texts = Texts { count: rows }.deserialize(&mut json).and_then(|texts| json.end().map(|()| texts));
        texts.map_err(|error| {
            Problem::Content(format!(
                "{name} is not a JSON list with a text for each of {rows} rows: {error}"
            ))
        })
    };
    let names = texts(found("names")?, "names")?;
    let identities = header.info("identities").map(|info| texts(info, "identities")).transpose()?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let origin = metadata.get("origin").map(|json| Origin::parse(json)).transpose()?;
    let is_gallery = metadata.get("facegrad").is_some_and(|of| of == "gallery");
    let pixels = header.info(PIXELS).filter(|_| is_gallery).map(|info| texts(info, PIXELS)).transpose()?;
    let rows = Rows::Stored { file: file.try_clone()?, at: start, element };
    Ok(Opened { embeddings: StoredEmbeddings { dim, names, identities, origin, rows }, metadata, pixels })
}

/// Where in the file a tensor is; `data` is where the first begins.
fn section(info: &TensorInfo, data: u64, length: u64) -> Result<(u64, u64), Problem> {
    let (start, end) = info.data_offsets;
    let within = |at: usize| data.checked_add(at as u64).filter(|at| *at <= length);
    match (within(start), within(end)) {
        (Some(start), Some(end)) if start <= end => Ok((start, end)),
        _ => Err(Problem::Content(format!(
            "it has {length} bytes, fewer than its header says; it is truncated"
        ))),
    }
}

/// Reads exactly `count` texts within bounds.
struct Texts {
    count: usize,
}

impl<'de> DeserializeSeed<'de> for Texts {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} texts", self.count)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Names::default();
        while let Some(text) = list.next_element()? {
            if texts.len() == self.count {
                return Err(A::Error::custom("there are more texts than rows"));
            }
            texts.push(text).map_err(|problem| match problem {
                Problem::Content(text) => A::Error::custom(text),
                other => A::Error::custom(format!("{other:?}")),
            })?;
        }
        if texts.len() < self.count {
            return Err(A::Error::custom("there are fewer texts than rows"));
        }
        Ok(texts.into_vec())
    }
}
