//! Pages: where those of a column are in a file, and what is in one.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    basic::Compression,
    column::{page::PageReader, reader::ColumnReaderImpl},
    data_type::{ByteArray, ByteArrayType, DataType},
    errors::ParquetError,
    file::{metadata::ColumnChunkMetaData, serialized_reader::SerializedPageReader},
    schema::types::ColumnDescPtr,
};

use super::thrift::{self, PageHeader, PageKind};
use crate::{decode::MAX_FILE_SIZE, formats::positioned::read_at};

/// Largest page, compressed or not, in bytes. A writer cuts pages at about a mebibyte, but pyarrow looks only once in
/// 1024 rows, so that 100 large photographs are a page of their own.
const MAX_PAGE: usize = 256 << 20;

/// Longest page header: the statistics in it may hold two values, which writers cut at some kibibytes.
const MAX_HEADER: usize = 1 << 20;

/// Most values of a page of images.
const MAX_VALUES: usize = 1 << 20;

/// Longest offset index of a row group.
const MAX_INDEX: u64 = 16 << 20;

/// Why a file or a page cannot be used.
#[derive(Debug)]
pub(super) enum Problem {
    /// What the system says.
    Io(io::Error),
    /// A clause.
    Content(String),
}

impl Problem {
    pub fn content(reason: impl Into<String>) -> Self {
        Self::Content(reason.into())
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::content("it ends too early"),
            _ => Self::Io(error),
        }
    }
}

impl From<ParquetError> for Problem {
    fn from(error: ParquetError) -> Self {
        // The library's messages may hold what the file does.
        Self::Content(error.to_string().replace(char::is_control, " "))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
            Self::Content(reason) => f.write_str(reason),
        }
    }
}

/// The library asserts some of what a damaged file may violate.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Problem::content("it is damaged in a way that its decoder does not expect")))
}

/// The pages of a column in a row group.
#[derive(Debug)]
pub(super) struct Chunk {
    compression: Compression,
    /// Where the dictionary is and how long, if there is one.
    dictionary: Option<(u64, usize)>,
}

/// A data page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageAt {
    pub offset: u64,
    /// With the header.
    pub length: usize,
    /// Rows, absent values too.
    pub rows: usize,
}

impl Chunk {
    /// The column `about` of a row group with `rows` rows, and its pages in order.
    pub fn find(
        file: &File,
        file_length: u64,
        about: &ColumnChunkMetaData,
        rows: u64,
    ) -> Result<(Self, Vec<PageAt>), Problem> {
        let compression = about.compression();
        if !matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)) {
            return Err(Problem::Content(format!(
                "it is compressed with {compression}; snappy, zstd or none is read"
            )));
        }
        if about.file_path().is_some() {
            return Err(Problem::content("its columns are in other files"));
        }
        let data = u64::try_from(about.data_page_offset());
        // Some writers say 0 where there is none.
        let dictionary = about.dictionary_page_offset().filter(|offset| *offset > 0).map(u64::try_from);
        let (Ok(data), Ok(dictionary), Ok(length)) =
            (data, dictionary.transpose(), u64::try_from(about.compressed_size()))
        else {
            return Err(Problem::content("the place of a column is negative"));
        };
        let start = dictionary.unwrap_or(data).min(data);
        let end = start.checked_add(length).filter(|end| *end <= file_length);
        let end =
            end.ok_or_else(|| Problem::content("a column is not within the file, which may be truncated"))?;

        let mut chunk = Self { compression, dictionary: None };
        let pages = match chunk.by_index(file, file_length, about, start..end, rows)? {
            Some(pages) => pages,
            None => chunk.by_walking(file, start..end)?,
        };
        let found: u64 = pages.iter().map(|page| page.rows as u64).sum();
        if found != rows {
            return Err(Problem::Content(format!(
                "the pages of a column have {found} rows, and its row group {rows}"
            )));
        }
        Ok((chunk, pages))
    }

    /// The pages as the offset index has them; none if there is no index, or it is not right.
    fn by_index(
        &mut self,
        file: &File,
        file_length: u64,
        about: &ColumnChunkMetaData,
        within: std::ops::Range<u64>,
        rows: u64,
    ) -> Result<Option<Vec<PageAt>>, Problem> {
        let Some(place) = about.offset_index_range() else { return Ok(None) };
        let length = place.end.saturating_sub(place.start);
        if place.end > file_length || length > MAX_INDEX {
            return Ok(None);
        }
        let bytes = read_at(file, place.start, length as usize)?;
        let Ok(locations) = thrift::offset_index(&bytes) else { return Ok(None) };
        let Some(first) = locations.first() else { return Ok((rows == 0).then(Vec::new)) };
        let (mut at, before) = (first.offset, first.offset.checked_sub(within.start));
        let mut pages = Vec::with_capacity(locations.len());
        for (i, page) in locations.iter().enumerate() {
            let next_row = locations.get(i + 1).map_or(rows, |next| next.first_row);
            let here = next_row.checked_sub(page.first_row).and_then(|here| usize::try_from(here).ok());
            let (Some(here), true) = (here, page.offset >= at && (i > 0 || page.first_row == 0)) else {
                return Ok(None);
            };
            match page.offset.checked_add(page.length as u64) {
                Some(end) if end <= within.end => at = end,
                _ => return Ok(None),
            }
            check_size(page.length)?;
            pages.push(PageAt { offset: page.offset, length: page.length, rows: here });
        }
        match before {
            // What is in front of the first data page is the dictionary.
            Some(0) => {}
            Some(before) if before <= MAX_PAGE as u64 => {
                self.dictionary = Some((within.start, before as usize))
            }
            _ => return Ok(None),
        }
        Ok(Some(pages))
    }

    /// The pages as their headers, one after the other, have them.
    fn by_walking(&mut self, file: &File, within: std::ops::Range<u64>) -> Result<Vec<PageAt>, Problem> {
        let mut pages = Vec::new();
        let mut at = within.start;
        while at < within.end {
            let header = read_header(file, at..within.end)?;
            let length = header.length + header.compressed;
            check_size(length.max(header.uncompressed))?;
            if length as u64 > within.end - at {
                return Err(Problem::content("a page is longer than its column"));
            }
            match header.kind {
                PageKind::Data => pages.push(PageAt { offset: at, length, rows: header.values }),
                PageKind::Dictionary if self.dictionary.is_none() && pages.is_empty() => {
                    self.dictionary = Some((at, length));
                }
                PageKind::Dictionary => return Err(Problem::content("a column has two dictionaries")),
                PageKind::Other => {}
            }
            at += length as u64;
        }
        Ok(pages)
    }

    /// A reader of the values of one page, and how many bytes it takes.
    ///
    /// What its header claims is checked anew: an index does not say it, and the file may have changed.
    pub fn reader<T: DataType>(
        &self,
        file: &File,
        page: PageAt,
        column: &ColumnDescPtr,
    ) -> Result<(ColumnReaderImpl<T>, usize), Problem> {
        let mut bytes = Vec::new();
        let mut size = 0;
        let dictionary = self.dictionary.map_or(0, |(_, length)| length);
        let places = self.dictionary.into_iter().map(|place| (place, PageKind::Dictionary));
        for ((offset, length), kind) in places.chain([((page.offset, page.length), PageKind::Data)]) {
            let start = bytes.len();
            check_size(length)?;
            append(file, offset, length, &mut bytes)?;
            let header = PageHeader::parse(&bytes[start..]).map_err(|_| damaged_header())?;
            if header.kind != kind || header.length + header.compressed != length {
                return Err(Problem::content("a page is not what the index of the file says"));
            }
            if kind == PageKind::Data && header.values != page.rows {
                return Err(Problem::Content(format!(
                    "a page has {} values where {} are expected",
                    header.values, page.rows
                )));
            }
            check_size(header.uncompressed)?;
            size += length + header.uncompressed;
        }
        let about = ColumnChunkMetaData::builder(column.clone())
            .set_compression(self.compression)
            .set_num_values(page.rows as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_data_page_offset(dictionary as i64)
            .set_dictionary_page_offset(self.dictionary.map(|_| 0))
            .build()?;
        let pages = SerializedPageReader::new(Arc::new(Bytes::from(bytes)), &about, page.rows, None)?;
        let pages: Box<dyn PageReader> = Box::new(pages);
        Ok((ColumnReaderImpl::new(column.clone(), pages), size))
    }

    /// The content of a page of byte strings.
    pub fn decode(&self, file: &File, page: PageAt, column: &ColumnDescPtr) -> Result<Decoded, Problem> {
        if page.rows > MAX_VALUES {
            return Err(Problem::Content(format!(
                "a page has {} images; at most {MAX_VALUES} are read",
                page.rows
            )));
        }
        let (mut reader, size) = self.reader::<ByteArrayType>(file, page, column)?;
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let (rows, found, _) = reader.read_records(page.rows, Some(&mut levels), None, &mut values)?;
        if rows != page.rows || found != values.len() {
            return Err(Problem::content("a page holds fewer rows than it claims"));
        }
        let greatest = column.max_def_level();
        let is_there = |row: usize| levels.get(row).is_none_or(|level| *level == greatest);
        let mut values = values.into_iter();
        let values: Vec<Option<ByteArray>> =
            (0..rows).map(|row| if is_there(row) { values.next() } else { None }).collect();
        let size = size + rows * size_of::<Option<ByteArray>>();
        Ok(Decoded { values, size })
    }
}

/// The values of a page.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Of each row; none where it is absent.
    pub values: Vec<Option<ByteArray>>,
    /// Bytes that it takes.
    pub size: usize,
}

fn check_size(size: usize) -> Result<(), Problem> {
    match size <= MAX_PAGE {
        true => Ok(()),
        false => Err(Problem::Content(format!(
            "a page has or claims {size} bytes; at most {} MiB are read, which smaller row groups have",
            MAX_PAGE >> 20
        ))),
    }
}

fn damaged_header() -> Problem {
    Problem::content("the header of a page is damaged")
}

/// The header at the start of a part of a file.
fn read_header(file: &File, within: std::ops::Range<u64>) -> Result<PageHeader, Problem> {
    let left = within.end - within.start;
    for length in [256, 16 << 10, MAX_HEADER] {
        let bytes = read_at(file, within.start, left.min(length as u64) as usize)?;
        match PageHeader::parse(&bytes) {
            Ok(header) => return Ok(header),
            Err(thrift::Fault::Ended) if bytes.len() as u64 != left => {}
            Err(_) => return Err(damaged_header()),
        }
    }
    Err(damaged_header())
}

/// Reads to the end of `bytes`, in pieces that may be read at once.
fn append(file: &File, offset: u64, length: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut done = 0;
    while done < length {
        let piece = read_at(file, offset + done as u64, (length - done).min(MAX_FILE_SIZE as usize))?;
        done += piece.len();
        if bytes.is_empty() {
            *bytes = piece;
        } else {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(())
}
