//! `.parquet`: columns `name`, `identity` and `embedding`, a list of floats in the standard three levels.
//!
//! The column `identity` is there only if identities are. The origin and the length of an embedding, which a
//! file without rows would lose, are in the key-value metadata. Source: apache/parquet-format, LogicalTypes.md,
//! "Lists".

use std::{fs::File, io, path::Path, sync::Arc};

use facegrad_parquet::{ParquetFault, ParquetFile, caught};
use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical},
    column::reader::ColumnReaderImpl,
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, Type},
};

use super::{Format, WrittenFormat};
use crate::{
    Origin,
    error::Problem,
    limits::{Names, check_loaded, check_shape},
    stored::{Rows, Set, StoredEmbeddings, narrow},
};

const ORIGIN: &str = "facegrad.origin";
const DIM: &str = "facegrad.dim";

/// Rows of a group: this many bytes of embeddings, which is what a reader has in memory at a time.
const GROUP_BYTES: usize = 16 << 20;

/// Rows that are read at a time.
const READ_ROWS: usize = 256;

/// Columns.
pub(crate) struct Parquet;

impl From<ParquetError> for Problem {
    fn from(error: ParquetError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

impl From<ParquetFault> for Problem {
    fn from(fault: ParquetFault) -> Self {
        match fault {
            ParquetFault::Io(error) => Self::Io(error),
            ParquetFault::Content(reason) => Self::Content(reason),
        }
    }
}

impl Format for Parquet {
    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn open(&self, path: &Path) -> Result<StoredEmbeddings, Problem> {
        let file = ParquetFile::open(path)?;
        let columns = Columns::find(&file)?;
        let origin = file.value(ORIGIN).map(Origin::parse).transpose()?;
        let (rows, dim) = shape(&file, &columns)?;
        check_loaded(rows, dim)?;

        let (mut names, mut identities) = (Names::default(), Names::default());
        let mut numbers = Vec::new();
        for group in (0..file.metadata().num_row_groups()).filter(|group| file.rows(*group) > 0) {
            let texts = |column, texts: &mut Names| read_texts(&file, group, column, texts);
            texts(columns.name, &mut names)?;
            if let Some(column) = columns.identity {
                texts(column, &mut identities)?;
            }
            let (column, rows) = (columns.embedding, file.rows(group));
            caught(|| match file.column(column).physical_type() {
                Physical::FLOAT => read_numbers(file.reader::<FloatType>(group, column)?, rows, dim, |row| {
                    numbers.extend_from_slice(row);
                    Ok(())
                }),
                _ => read_numbers(file.reader::<DoubleType>(group, column)?, rows, dim, |row| {
                    for number in row {
                        let number = narrow(*number);
                        numbers.push(number.ok_or(Problem::TooLarge(numbers.len() / dim))?);
                    }
                    Ok(())
                }),
            })?;
        }
        let identities = columns.identity.map(|_| identities.into_vec());
        Ok(StoredEmbeddings { dim, names: names.into_vec(), identities, origin, rows: Rows::Loaded(numbers) })
    }
}

impl WrittenFormat for Parquet {
    fn write(&self, set: &mut Set<'_>, file: &mut File) -> Result<(), Problem> {
        let mut metadata = vec![KeyValue::new(DIM.into(), set.dim.to_string())];
        if let Some(origin) = set.origin {
            metadata.push(KeyValue::new(ORIGIN.into(), origin.to_json()?));
        }
        let numbers = ColumnPath::from(vec!["embedding".into(), "list".into(), "element".into()]);
        let properties = WriterProperties::builder()
            .set_created_by(concat!("facegrad ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(metadata))
            .set_compression(Compression::SNAPPY)
            // Embeddings are noise to a compressor, and no two of their numbers are the same.
            .set_column_compression(numbers.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(numbers.clone(), false)
            .set_column_encoding(numbers.clone(), Encoding::PLAIN)
            .set_column_statistics_enabled(numbers, EnabledStatistics::None)
            .build();
        let schema = Arc::new(schema(set.identities.is_some())?);
        let mut out = SerializedFileWriter::new(file, schema, Arc::new(properties))?;

        let (names, identities, dim) = (set.names, set.identities, set.dim);
        let group = (GROUP_BYTES / (dim * 4)).max(1);
        let mut numbers = Vec::with_capacity(group.min(names.len()) * dim);
        // The first number of a list starts a row, the others repeat at level 1; none is absent.
        let new_row = |i: usize| i16::from(!i.is_multiple_of(dim));
        let repetition: Vec<i16> = (0..group.min(names.len()) * dim).map(new_row).collect();
        let definition = vec![1; repetition.len()];
        set.for_each_batch(|rows, bytes| {
            let mut bytes = bytes.chunks(dim * 4);
            for row in rows {
                let row_bytes = bytes.next().unwrap_or_default().as_chunks().0;
                numbers.extend(row_bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)));
                let in_group = numbers.len() / dim;
                if in_group < group && row + 1 < names.len() {
                    continue;
                }
                let rows = row + 1 - in_group..row + 1;
                let mut columns = out.next_row_group()?;
                for texts in [Some(names), identities].into_iter().flatten() {
                    let texts: Vec<ByteArray> =
                        texts[rows.clone()].iter().map(|text| text.as_str().into()).collect();
                    if let Some(mut column) = columns.next_column()? {
                        column.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
                        column.close()?;
                    }
                }
                if let Some(mut column) = columns.next_column()? {
                    let (definition, repetition) =
                        (&definition[..numbers.len()], &repetition[..numbers.len()]);
                    column.typed::<FloatType>().write_batch(&numbers, Some(definition), Some(repetition))?;
                    column.close()?;
                }
                columns.close()?;
                numbers.clear();
            }
            Ok(())
        })?;
        out.close()?;
        Ok(())
    }
}

fn schema(with_identities: bool) -> ParquetResult<Type> {
    let text = |name| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(Some(LogicalType::String))
            .build()
            .map(Arc::new)
    };
    let group = |name, repetition, logical, field| {
        Type::group_type_builder(name)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .with_fields(vec![Arc::new(field)])
            .build()
    };
    let element = Type::primitive_type_builder("element", Physical::FLOAT);
    let element = element.with_repetition(Repetition::REQUIRED).build()?;
    let list = group("list", Repetition::REPEATED, None, element)?;
    let list = group("embedding", Repetition::REQUIRED, Some(LogicalType::List), list)?;
    let mut fields = vec![text("name")?];
    if with_identities {
        fields.push(text("identity")?);
    }
    fields.push(Arc::new(list));
    Type::group_type_builder("embeddings").with_fields(fields).build()
}

/// Where in the file the columns are.
struct Columns {
    name: usize,
    identity: Option<usize>,
    embedding: usize,
}

impl Columns {
    fn find(file: &ParquetFile) -> Result<Self, Problem> {
        let all = file.metadata().file_metadata().schema_descr().columns();
        let (mut name, mut identity, mut embedding) = (None, None, None);
        for (i, column) in all.iter().enumerate() {
            let root = column.path().parts().first().map(String::as_str);
            let (kind, lists, levels) =
                (column.physical_type(), column.max_rep_level(), column.max_def_level());
            match (root, kind) {
                (Some("name"), Physical::BYTE_ARRAY) if lists == 0 && levels <= 1 => name = Some(i),
                (Some("identity"), Physical::BYTE_ARRAY) if lists == 0 && levels <= 1 => identity = Some(i),
                (Some("embedding"), Physical::FLOAT | Physical::DOUBLE) if lists == 1 => embedding = Some(i),
                _ => {}
            }
        }
        let missing =
            || Problem::content("it needs the columns name (text) and embedding (list of float or double)");
        Ok(Self { name: name.ok_or_else(missing)?, identity, embedding: embedding.ok_or_else(missing)? })
    }
}

/// Rows of the file and numbers of a row, from what the groups claim; reading checks it.
fn shape(file: &ParquetFile, columns: &Columns) -> Result<(usize, usize), Problem> {
    let parse =
        |dim: &str| dim.parse().map_err(|_| Problem::Content(format!("{DIM} is {dim:?}, not a number")));
    let mut dim: Option<u64> = file.value(DIM).map(parse).transpose()?;
    let mut all = 0_u64;
    for group in file.metadata().row_groups() {
        let numbers = u64::try_from(group.column(columns.embedding).num_values());
        let numbers = numbers.map_err(|_| Problem::content("a row group has a negative size"))?;
        let rows = group.num_rows() as u64;
        if rows == 0 {
            continue;
        }
        let here = *dim.get_or_insert(numbers / rows);
        if rows.checked_mul(here) != Some(numbers) {
            return Err(Problem::Content(format!(
                "a row group has {numbers} numbers in {rows} rows; every row has to have {here}"
            )));
        }
        all = all.saturating_add(rows);
    }
    let dim = dim.ok_or_else(|| Problem::content("it has no rows, and no length of them"))?;
    let usize_of = |number| usize::try_from(number).unwrap_or(usize::MAX);
    check_shape(usize_of(all), usize_of(dim))?;
    Ok((usize_of(all), usize_of(dim)))
}

/// Reads a column of text without gaps.
fn read_texts(file: &ParquetFile, group: usize, column: usize, texts: &mut Names) -> Result<(), Problem> {
    file.values::<ByteArrayType, Problem>(group, column, |text| {
        let row = texts.len();
        let text =
            text.ok_or_else(|| Problem::Content(format!("the name or identity of row {row} is missing")))?;
        texts.push(text.as_utf8()?.into())
    })
}

/// Reads a column of lists that all have `dim` numbers, in blocks of whole rows.
fn read_numbers<T: DataType>(
    mut column: ColumnReaderImpl<T>,
    rows: usize,
    dim: usize,
    mut take: impl FnMut(&[T::T]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        definition.clear();
        repetition.clear();
        values.clear();
        let (read, found, _) = column.read_records(
            left.min(READ_ROWS),
            Some(&mut definition),
            Some(&mut repetition),
            &mut values,
        )?;
        let starts = |(i, level): (usize, &i16)| (*level == 0) == i.is_multiple_of(dim);
        if read == 0
            || found != read * dim
            || repetition.len() != found
            || !repetition.iter().enumerate().all(starts)
        {
            return Err(Problem::Content(format!(
                "embeddings are of different length, or numbers are missing; every row has to have {dim}"
            )));
        }
        take(&values)?;
        left -= read;
    }
    Ok(())
}
