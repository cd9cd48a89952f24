//! Writing Parquet in the layout of Hugging Face's image sets; see [`crate::formats`] for the reader.

use std::{io, path::Path, path::PathBuf, sync::Arc};

use facegrad_files::{commit, temporary_beside};
use parquet::{
    basic::{Compression, ConvertedType, Encoding, LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, Int64Type},
    errors::Result as ParquetResult,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, Type},
};
use serde_json::json;
use tempfile::NamedTempFile;

use super::{Image, shards::Shard};
use facegrad_pictures::decode::MAX_FILE_SIZE;

/// Most images of a row group, as Hugging Face cuts them.
const GROUP_IMAGES: usize = 100;

/// Bytes of images after which a row group ends before it has so many.
const GROUP_BYTES: usize = 32 << 20;

/// Bytes after which a page ends: what is read for one image.
const PAGE_BYTES: usize = 64 << 10;

/// A Parquet file that is being written; it has its name when it is finished, and is gone if it is dropped before.
pub(super) struct ParquetShard {
    path: PathBuf,
    writer: SerializedFileWriter<NamedTempFile>,
    identities: usize,
    bytes: Vec<ByteArray>,
    keys: Vec<ByteArray>,
    labels: Vec<i64>,
    /// Of `bytes`.
    size: usize,
}

impl Shard for ParquetShard {
    fn create(path: &Path, identities: &[String]) -> io::Result<Self> {
        let column =
            |parts: &[&str]| ColumnPath::from(parts.iter().map(|&part| part.into()).collect::<Vec<_>>());
        let bytes = column(&["image", "bytes"]);
        let label = json!({"names": identities, "_type": "ClassLabel"});
        let info = json!({"info": {"features": {"image": {"_type": "Image"}, "label": label}}});
        let properties = WriterProperties::builder()
            .set_created_by(concat!("facegrad ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".into(), info.to_string())]))
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_enabled(false)
            .set_column_dictionary_enabled(column(&["label"]), true)
            // Images are compressed already, and are all different.
            .set_column_compression(bytes.clone(), Compression::UNCOMPRESSED)
            .set_column_encoding(bytes.clone(), Encoding::PLAIN)
            .set_column_data_page_size_limit(bytes, PAGE_BYTES)
            // The size of a page is looked at after each image.
            .set_write_batch_size(1)
            .set_offset_index_disabled(false)
            .build();
        let schema = Arc::new(schema().map_err(io::Error::other)?);
        let writer = SerializedFileWriter::new(temporary_beside(path)?, schema, Arc::new(properties))
            .map_err(io::Error::other)?;
        let (bytes, keys, labels) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { path: path.into(), writer, identities: identities.len(), bytes, keys, labels, size: 0 })
    }

    fn append(&mut self, image: &Image) -> io::Result<()> {
        let Image { ref key, label, bytes, .. } = *image;
        let invalid = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        if label as usize >= self.identities {
            return invalid(format!(
                "{key:?} has the label {label}, and there are {} identities",
                self.identities
            ));
        }
        if bytes.len() as u64 > MAX_FILE_SIZE {
            return invalid(format!("{key:?} has more than {} MiB", MAX_FILE_SIZE >> 20));
        }
        self.bytes.push(bytes.to_vec().into());
        self.keys.push(key.as_str().into());
        self.labels.push(label.into());
        self.size += bytes.len();
        if self.labels.len() == GROUP_IMAGES || self.size >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.end_group()?;
        let file = self.writer.into_inner().map_err(io::Error::other)?;
        commit(file, &self.path)
    }
}

impl ParquetShard {
    fn end_group(&mut self) -> io::Result<()> {
        if !self.labels.is_empty() {
            self.write_group().map_err(io::Error::other)?;
            self.bytes.clear();
            self.keys.clear();
            self.labels.clear();
            self.size = 0;
        }
        Ok(())
    }

    fn write_group(&mut self) -> ParquetResult<()> {
        let mut group = self.writer.next_row_group()?;
        // Nothing is absent: two levels of the group are there, and one of the label.
        let (in_group, alone) = (vec![2; self.labels.len()], vec![1; self.labels.len()]);
        for texts in [&self.bytes, &self.keys] {
            if let Some(mut column) = group.next_column()? {
                column.typed::<ByteArrayType>().write_batch(texts, Some(&in_group), None)?;
                column.close()?;
            }
        }
        if let Some(mut column) = group.next_column()? {
            column.typed::<Int64Type>().write_batch(&self.labels, Some(&alone), None)?;
            column.close()?;
        }
        group.close().map(drop)
    }
}

/// As pyarrow has it, where everything may be absent.
fn schema() -> ParquetResult<Type> {
    let field = |name, kind| Type::primitive_type_builder(name, kind).with_repetition(Repetition::OPTIONAL);
    let bytes = field("bytes", Physical::BYTE_ARRAY).build()?;
    let path = field("path", Physical::BYTE_ARRAY)
        .with_logical_type(Some(LogicalType::String))
        .with_converted_type(ConvertedType::UTF8)
        .build()?;
    let image = Type::group_type_builder("image")
        .with_repetition(Repetition::OPTIONAL)
        .with_fields(vec![Arc::new(bytes), Arc::new(path)])
        .build()?;
    let label = field("label", Physical::INT64).build()?;
    Type::group_type_builder("schema").with_fields(vec![Arc::new(image), Arc::new(label)]).build()
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;
    use crate::{LabelGaps, SourceConfig, SourceKind, StoredImage};

    const IDENTITIES: usize = 7;

    /// The content of image `i`: as many different bytes as pages of one, of several and of parts of a group need.
    fn content(i: usize) -> Vec<u8> {
        let length = [0, 1, 5_000, 70_000][i % 4];
        (0..length + i % 3).map(|at| (at * 31 + i * 7) as u8).collect()
    }

    fn add(shard: &mut ParquetShard, key: &str, label: u32, bytes: &[u8]) -> io::Result<()> {
        shard.append(&Image { number: 0, label, identity: "", key: key.into(), bytes, extension: "jpg" })
    }

    fn write(path: &Path, images: usize) {
        let identities: Vec<String> = (0..IDENTITIES).map(|i| format!("Zoë \"{i}\"\n")).collect();
        let mut shard = ParquetShard::create(path, &identities).unwrap();
        for i in 0..images {
            add(&mut shard, &format!("a/{i}.jpg"), (i % IDENTITIES) as u32, &content(i)).unwrap();
        }
        shard.finish().unwrap();
    }

    #[test]
    fn what_is_written_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("train-00000-of-00001.parquet");
        write(&path, 257);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        let source = SourceConfig::of_path(root.path()).unwrap().open().unwrap().source;
        assert_eq!((source.len(), source.identities().len()), (257, IDENTITIES));
        assert_eq!(source.identities()[6], "Zoë \"6\"\n");
        for i in (0..257).rev() {
            assert_eq!(source.stored(i).unwrap(), StoredImage::Encoded(content(i)), "{i}");
            assert_eq!(source.label(i), i % IDENTITIES);
        }
    }

    #[test]
    fn a_shard_that_is_not_finished_is_no_file() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        let mut shard = ParquetShard::create(&path, &["a".into()]).unwrap();
        add(&mut shard, "a", 0, b"image").unwrap();
        assert_eq!(
            add(&mut shard, "b", 1, b"image").unwrap_err().to_string(),
            "\"b\" has the label 1, and there are 1 identities"
        );
        let large = vec![0; MAX_FILE_SIZE as usize + 1];
        assert_eq!(add(&mut shard, "b", 0, &large).unwrap_err().to_string(), "\"b\" has more than 64 MiB");
        drop(shard);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        // Without images there is still a file, with the names.
        ParquetShard::create(&path, &["a".into()]).unwrap().finish().unwrap();
        let config = SourceConfig::of_path(&path).unwrap();
        assert!(
            matches!(&config.kind, SourceKind::Parquet(config) if config.label_gaps == LabelGaps::Refuse)
        );
        assert_eq!(config.open_any().err().unwrap().to_string(), "x has no images");
    }

    #[test]
    fn pyarrow_and_datasets_read_what_is_written() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("train-00000-of-00001.parquet");
        write(&path, 257);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/read_parquet.py");
        let python = std::env::var("FACEGRAD_PYTHON").unwrap_or_else(|_| "python3".into());
        let output = match Command::new(&python).arg(script).arg(&path).output() {
            Ok(output) => output,
            Err(error) => return eprintln!("skipped: {python} does not run: {error}"),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.code() == Some(77) {
            return eprintln!("skipped: {}", text.trim());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        let mut hash = 0_u64;
        for i in 0..257 {
            for byte in format!("a/{i}.jpg {} ", i % IDENTITIES).bytes().chain(content(i)) {
                hash = (hash.wrapping_mul(31).wrapping_add(byte.into())) % 1_000_000_007;
            }
        }
        assert!(text.starts_with(&format!("257 rows of {IDENTITIES} names, {hash}\n")), "{text}");
    }
}
