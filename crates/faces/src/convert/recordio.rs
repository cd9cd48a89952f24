//! Writes a RecordIO file in insightface's convention: a header record at key 0, the images as keys 1 and on,
//! identity by identity, and the range of keys of each identity after them
//! (insightface, `recognition/common/face2rec2.py`). The names of the identities lie beside it.

use std::{
    io,
    path::{Path, PathBuf},
};

use facegrad_files::Journal;

use super::{Image, Mark, Writer, plan::Plan};
use crate::formats::recordio::{
    names_file,
    record::{framed, image_record},
};

/// Labels and keys in records are 32-bit floating-point numbers, which hold whole numbers exactly up to this.
pub(super) const MAX_EXACT: usize = 1 << 24;

/// The files of a set, the one it is known by last.
pub(super) fn files(path: &Path) -> [PathBuf; 3] {
    [path.with_extension("idx"), names_file(path), path.to_owned()]
}

pub(super) struct RecordWriter<'a> {
    plan: &'a Plan<'a>,
    names: PathBuf,
    records: Journal,
    index: Journal,
    /// Of the index, since the last checkpoint.
    lines: String,
    written: usize,
}

/// The file at `path`, without what follows its first `length` bytes.
fn go_on_with(path: &Path, length: u64) -> io::Result<Journal> {
    let mut file = Journal::open(path)?;
    let there = file.end();
    if there < length {
        let reason = format!("{} has {there} bytes, fewer than the {length} written before", path.display());
        return Err(io::Error::other(reason));
    }
    file.cut(length)?;
    Ok(file)
}

impl<'a> RecordWriter<'a> {
    /// Goes on after `mark` with the file at `path` and those beside it.
    pub fn go_on(path: &Path, plan: &'a Plan<'a>, mark: &Mark) -> io::Result<Self> {
        let [index, names, records] = files(path);
        let [records_length, index_length] = match mark.lengths[..] {
            [a, b] => [a, b],
            _ => [0, 0],
        };
        let mut writer = Self {
            plan,
            names,
            records: go_on_with(&records, records_length)?,
            index: go_on_with(&index, index_length)?,
            lines: String::new(),
            written: mark.images,
        };
        if mark.lengths.is_empty() && writer.has_header() {
            writer.add(0, &[writer.end() as f32, (writer.end() + plan.identities().len()) as f32], &[])?;
        }
        Ok(writer)
    }

    /// Whether all keys can be written exactly. A set with more has no header record, as those of MXNet's im2rec.
    fn has_header(&self) -> bool {
        self.plan.len() + 1 + self.plan.identities().len() <= MAX_EXACT
    }

    /// The key after those of the images.
    fn end(&self) -> usize {
        self.plan.len() + 1
    }

    fn add(&mut self, key: usize, labels: &[f32], image: &[u8]) -> io::Result<()> {
        let record = framed(&image_record(key as u64, labels, image))
            .ok_or_else(|| io::Error::other(format!("an image of {} bytes is too large", image.len())))?;
        self.lines.push_str(&format!("{key}\t{}\n", self.records.end()));
        self.records.append(&record)
    }
}

impl Writer for RecordWriter<'_> {
    fn append(&mut self, image: &Image) -> io::Result<()> {
        let key = image.number + usize::from(self.has_header());
        self.add(key, &[image.label as f32], image.bytes)?;
        self.written += 1;
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Mark> {
        self.index.append(self.lines.as_bytes())?;
        self.lines.clear();
        self.records.sync()?;
        self.index.sync()?;
        Ok(Mark { images: self.written, lengths: vec![self.records.end(), self.index.end()] })
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.has_header() {
            for label in 0..self.plan.identities().len() as u32 {
                let images = self.plan.images(label);
                let range = [images.start + 1, images.end + 1].map(|key| key as f32);
                self.add(self.end() + label as usize, &range, &[])?;
            }
        }
        self.checkpoint()?;
        let names = serde_json::to_vec_pretty(self.plan.identities()).map_err(io::Error::other)?;
        facegrad_files::replace(&self.names, &names)
    }
}
