//! What is told of a file of embeddings.

use std::path::Path;

use facegrad::embeddings::{EmbeddingFile, Origin, is_embedding_file};
use facegrad_files::name_of;
use facegrad_results::{Align, TextTable};
use serde_json::{Value, json};

use crate::{failure::Failure, gallery::people_in};

/// The file of embeddings at `path`, if there is one. A `.safetensors` may be of another kind as well, and is none then.
pub fn embedding_file(path: &Path) -> Result<Option<EmbeddingFile>, Failure> {
    if !path.is_file() {
        return Ok(None);
    }
    match is_embedding_file(path) {
        true => Ok(Some(EmbeddingFile::open(path)?)),
        false => Ok(EmbeddingFile::open(path).ok()),
    }
}

/// All that a file says of its embeddings.
pub struct EmbeddingFacts<'a> {
    pub path: &'a Path,
    pub file: &'a EmbeddingFile,
}

impl EmbeddingFacts<'_> {
    /// How many people are in the file, if it says who is on each image.
    fn people(&self) -> Option<usize> {
        self.file.identities().map(people_in)
    }

    /// `people` and `origin` are null where the file does not say.
    pub fn to_json(&self) -> Value {
        json!({
            "path": name_of(self.path), "embeddings": self.file.len(), "dim": self.file.dim(), "people": self.people(),
            "origin": self.file.origin(),
        })
    }

    /// A table.
    pub fn to_text(&self) -> String {
        let mut table = TextTable::new(&[Align::Left]);
        table.row(["file".into(), name_of(self.path)]);
        let of = match self.people() {
            Some(people) => format!("of {people} people"),
            None => "of people whom the file does not name".into(),
        };
        table.row(["images".into(), format!("{} {of}", self.file.len())]);
        match self.file.origin() {
            Some(origin) => origin_rows(&mut table, self.file.dim(), origin),
            None => {
                table.row(["embeddings".into(), format!("of {} numbers", self.file.dim())]);
                table.row(["made by", "not known: the file does not say"]);
            }
        }
        table.to_string().trim_end().to_owned()
    }
}

/// Where embeddings of `dim` numbers come from.
pub fn origin_rows(table: &mut TextTable, dim: usize, origin: &Origin) {
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("model", format!("SHA-256 {}", origin.model_sha256.as_deref().unwrap_or("unknown")));
    let normalised = if origin.normalised { ", each divided by its length" } else { "" };
    let Origin { flip, scoring, .. } = origin;
    row("embeddings", format!("of {dim} numbers, flip {flip}, score {scoring}{normalised}"));
    row("seen as", origin.preprocessing.clone().unwrap_or_else(|| "unknown".into()));
    row("backend", format!("{}, facegrad {}", origin.backend, origin.facegrad));
}
