//! An open file.

use std::{
    fs::File,
    ops::Range,
    path::Path,
    sync::{Arc, OnceLock},
};

use facegrad_files::{PooledFile, fill_at};
use parquet::{
    basic::Type as Physical,
    column::reader::ColumnReaderImpl,
    data_type::DataType,
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
    schema::types::ColumnDescPtr,
};

use crate::{
    ColumnPages, MAX_PAGE, ParquetFault,
    bounded::{BoundedPages, FileBytes, check_compression},
    caught,
};

/// Bytes at the end of a file: the length of its metadata and a magic number.
const TAIL: u64 = 8;

/// Longest metadata: those of some ten million images in row groups of a hundred.
const MAX_METADATA: u64 = 64 << 20;

/// Values that are read at a time.
const BATCH: usize = 8192;

/// An open file: its metadata, checked for what may be claimed, and its columns.
#[derive(Debug)]
pub struct ParquetFile {
    bytes: FileBytes,
    pub(crate) metadata: ParquetMetaData,
}

impl ParquetFile {
    /// Reads the metadata of a file, which is open only while it is among those used last.
    ///
    /// # Errors
    /// If it cannot be read, is no Parquet file, or claims more rows than it has bytes.
    pub fn open(path: &Path) -> Result<Self, ParquetFault> {
        let pooled = PooledFile::open(path)?;
        let (file, length) = (pooled.handle()?, pooled.length());
        check_footer(&file, length)?;
        let metadata =
            caught(|| Ok::<_, ParquetFault>(ParquetMetaDataReader::new().parse_and_finish(&*file)?))?;
        let columns = metadata.file_metadata().schema_descr().num_columns();
        let mut rows = 0_u64;
        for group in metadata.row_groups() {
            let here = u64::try_from(group.num_rows());
            rows = rows
                .saturating_add(here.map_err(|_| ParquetFault::content("a row group has a negative size"))?);
            if group.num_columns() != columns {
                return Err(ParquetFault::content("a row group has other columns than the file"));
            }
        }
        if rows > length {
            return Err(ParquetFault::Content(format!("it claims {rows} rows in {length} bytes")));
        }
        Ok(Self { bytes: FileBytes { file: Arc::new(pooled), headers: None }, metadata })
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.bytes.file.length()
    }

    /// What the metadata of other programs has under `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        let pairs = self.metadata.file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// A column by its number.
    pub fn column(&self, column: usize) -> ColumnDescPtr {
        self.metadata.file_metadata().schema_descr().column(column)
    }

    /// Rows of a row group.
    pub fn rows(&self, group: usize) -> usize {
        self.metadata.row_group(group).num_rows() as usize
    }

    /// A reader of the values of a column in a row group, from the first page to the last. To be used within
    /// [`caught`], and for small batches: a value is as long as a page at most.
    ///
    /// # Errors
    /// If the column is not within the file.
    pub fn reader<T: DataType>(
        &self,
        group: usize,
        column: usize,
    ) -> Result<ColumnReaderImpl<T>, ParquetFault> {
        let about = self.metadata.row_group(group).column(column);
        let (place, column) = (self.place(group, column)?, self.column(column));
        let values = u64::try_from(about.num_values()).unwrap_or(0);
        let pages = BoundedPages::new(&self.bytes, &column, about.compression(), &[place], values)?;
        Ok(ColumnReaderImpl::new(column, Box::new(pages)))
    }

    /// Calls `take` with each value of a column without lists in a row group, and none where it is absent.
    ///
    /// # Errors
    /// Those of `take`, or if the column cannot be read.
    pub fn values<T: DataType, E: From<ParquetFault>>(
        &self,
        group: usize,
        column: usize,
        take: impl FnMut(Option<&T::T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rows = self.rows(group);
        if rows == 0 {
            return Ok(());
        }
        let greatest = self.column(column).max_def_level();
        caught(|| each_value(&mut self.reader::<T>(group, column)?, rows, greatest, take))
    }

    /// The pages of a column of byte strings without lists in a row group.
    ///
    /// # Errors
    /// If the column is not within the file.
    pub fn pages(&self, group: usize, column: usize) -> Result<ColumnPages, ParquetFault> {
        let rows = u32::try_from(self.rows(group));
        Ok(ColumnPages {
            bytes: self.bytes.clone(),
            column: self.column(column),
            compression: self.metadata.row_group(group).column(column).compression(),
            place: self.place(group, column)?,
            rows: rows.map_err(|_| ParquetFault::content("a row group has more than 4294967295 rows"))?,
            whole: MAX_PAGE as u64,
            found: OnceLock::new(),
        })
    }

    /// Where in the file a column of a row group is.
    ///
    /// # Errors
    /// If that is not within the file, or it is compressed in a way that is not read.
    fn place(&self, group: usize, column: usize) -> Result<Range<u64>, ParquetFault> {
        let about = self.metadata.row_group(group).column(column);
        check_compression(about.compression())?;
        if about.file_path().is_some() {
            return Err(ParquetFault::content("its columns are in other files"));
        }
        // Some writers say 0 where there is no dictionary.
        let dictionary = about.dictionary_page_offset().filter(|offset| *offset > 0);
        let start = dictionary.unwrap_or(i64::MAX).min(about.data_page_offset());
        let (Ok(start), Ok(size)) = (u64::try_from(start), u64::try_from(about.compressed_size())) else {
            return Err(ParquetFault::content("the place of a column is negative"));
        };
        match start.checked_add(size).filter(|end| *end <= self.length()) {
            Some(end) => Ok(start..end),
            None => Err(ParquetFault::content("a column is not within the file, which may be truncated")),
        }
    }
}

/// Calls `take` with each of `rows` values, and none where it is absent.
pub(crate) fn each_value<T: DataType, E: From<ParquetFault>>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    greatest: i16,
    mut take: impl FnMut(Option<&T::T>) -> Result<(), E>,
) -> Result<(), E> {
    // One string may be as long as a page, however few bytes it is written in.
    let batch = if T::get_physical_type() == Physical::BYTE_ARRAY { 1 } else { BATCH };
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        levels.clear();
        values.clear();
        let read = reader.read_records(left.min(batch), Some(&mut levels), None, &mut values);
        let (read, _, _) = read.map_err(ParquetFault::from)?;
        if read == 0 {
            return Err(ParquetFault::content("a column holds fewer rows than it claims").into());
        }
        let mut values = values.iter();
        for row in 0..read {
            // What must be there has no levels.
            let is_there = levels.get(row).is_none_or(|level| *level == greatest);
            take(if is_there { values.next() } else { None })?;
        }
        left -= read.min(left);
    }
    Ok(())
}

/// An error unless a file ends as a Parquet file does: with its metadata, their length and a magic number.
fn check_footer(file: &File, length: u64) -> Result<(), ParquetFault> {
    let mut tail = [0; TAIL as usize];
    match length.checked_sub(TAIL) {
        Some(start) if length > 2 * TAIL => fill_at(file, start, &mut tail)?,
        _ => return Err(ParquetFault::Content(format!("it has {length} bytes, too few for a Parquet file"))),
    }
    let [a, b, c, d, magic @ ..] = tail;
    if magic != *b"PAR1" {
        let what = if magic == *b"PARE" { "encrypted" } else { "truncated, or no Parquet file" };
        return Err(ParquetFault::Content(format!("it is {what}: it does not end with PAR1")));
    }
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    if size > MAX_METADATA || size + TAIL > length {
        return Err(ParquetFault::Content(format!(
            "its metadata claim {size} bytes; at most {} MiB are read, in a file of {length} bytes",
            MAX_METADATA >> 20
        )));
    }
    Ok(())
}
