//! Writes WebDataset shards: `00000017.jpg`, `00000017.cls` with the label, and `00000017.json` with label, identity
//! and what the set called the image.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use facegrad_files::{NamedTempFile, commit, temporary_beside};
use serde_json::json;
use tar::{Builder, Header};

use super::{Image, shards::Shard};

pub(super) struct TarShard {
    path: PathBuf,
    builder: Builder<BufWriter<NamedTempFile>>,
}

impl TarShard {
    /// Adds a member; what is not its content is the same on every machine and at every time.
    fn member(&mut self, number: usize, extension: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.builder.append_data(&mut header, format!("{number:08}.{extension}"), content)
    }
}

impl Shard for TarShard {
    fn create(path: &Path, _identities: &[String]) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 20, temporary_beside(path)?);
        Ok(Self { path: path.into(), builder: Builder::new(file) })
    }

    fn append(&mut self, image: &Image) -> io::Result<()> {
        let about = json!({ "label": image.label, "identity": image.identity, "key": image.key });
        self.member(image.number, image.extension, image.bytes)?;
        self.member(image.number, "cls", image.label.to_string().as_bytes())?;
        self.member(image.number, "json", about.to_string().as_bytes())
    }

    fn finish(self) -> io::Result<()> {
        let mut file = self.builder.into_inner()?;
        file.flush()?;
        commit(file.into_inner().map_err(|error| error.into_error())?, &self.path)
    }
}
