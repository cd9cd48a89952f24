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

use super::thrift::{self, Encoding, PageHeader, PageKind};
use crate::formats::positioned::{fill_at, read_at};

/// Largest page, compressed or not, in bytes. A writer cuts pages at about a mebibyte, but pyarrow looks only once in
/// 1024 rows, so that 100 large photographs are a page of their own.
const MAX_PAGE: usize = 256 << 20;

/// Longest page header: the statistics in it may hold two values, which writers cut at some kibibytes.
const MAX_HEADER: usize = 1 << 20;

/// Most values of a page of images, or of a dictionary.
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
    /// A clause about a row of the set.
    Row(usize, String),
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
            Self::Content(reason) | Self::Row(_, reason) => f.write_str(reason),
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
            None => chunk.by_walking(file, start..end, rows)?,
        };
        let found: u64 = pages.iter().map(|page| page.rows as u64).sum();
        if found != rows {
            return Err(wrong_rows(found, rows));
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
        let bytes = read_at(file, place.start, length)?;
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
    fn by_walking(
        &mut self,
        file: &File,
        within: std::ops::Range<u64>,
        rows: u64,
    ) -> Result<Vec<PageAt>, Problem> {
        let mut pages = Vec::new();
        let (mut at, mut found) = (within.start, 0);
        while at < within.end {
            let header = read_header(file, at..within.end)?;
            let length = header.length + header.compressed;
            check_size(length.max(header.uncompressed))?;
            if length as u64 > within.end - at {
                return Err(Problem::content("a page is longer than its column"));
            }
            match header.kind {
                PageKind::Data if header.values == 0 => {}
                PageKind::Data => {
                    pages.push(PageAt { offset: at, length, rows: header.values });
                    found += header.values as u64;
                    if found > rows {
                        return Err(wrong_rows(found, rows));
                    }
                }
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
            bytes.resize(start + length, 0);
            fill_at(file, offset, &mut bytes[start..])?;
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
            check_encoding(&header, self.dictionary.is_some())?;
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
    pub fn decode(&self, file: &File, page: PageAt, column: &ColumnDescPtr) -> Result<PageValues, Problem> {
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
        Ok(PageValues { values, size })
    }
}

/// The values of a page.
#[derive(Debug)]
pub(super) struct PageValues {
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

fn wrong_rows(found: u64, rows: u64) -> Problem {
    Problem::Content(format!("the pages of a column have {found} rows, and its row group {rows}"))
}

/// An error if the library would take a page at its word, or fail an assertion.
fn check_encoding(header: &PageHeader, has_dictionary: bool) -> Result<(), Problem> {
    match header.encoding {
        // Delta encodings state a number of values of their own, for which the library takes memory.
        Encoding::Other(number) => {
            Err(Problem::Content(format!("a page has the encoding {number}; plain and dictionary are read")))
        }
        Encoding::Coded if header.kind == PageKind::Data && !has_dictionary => {
            Err(Problem::content("a page needs a dictionary, and there is none"))
        }
        _ if !header.has_levels => Err(damaged_header()),
        // A value of a dictionary has 4 bytes at least, which are a length if it is a string.
        _ if header.kind == PageKind::Dictionary
            && (header.values > header.uncompressed / 4 || header.values > MAX_VALUES) =>
        {
            Err(Problem::Content(format!(
                "a dictionary claims {} values in {} bytes; at most {MAX_VALUES} are read",
                header.values, header.uncompressed
            )))
        }
        _ => Ok(()),
    }
}

fn damaged_header() -> Problem {
    Problem::content("the header of a page is damaged")
}

/// The header at the start of a part of a file.
fn read_header(file: &File, within: std::ops::Range<u64>) -> Result<PageHeader, Problem> {
    let left = within.end - within.start;
    for length in [256, 16 << 10, MAX_HEADER] {
        let bytes = read_at(file, within.start, left.min(length as u64))?;
        match PageHeader::parse(&bytes) {
            Ok(header) => return Ok(header),
            Err(thrift::Fault::Ended) if bytes.len() as u64 != left => {}
            Err(_) => return Err(damaged_header()),
        }
    }
    Err(damaged_header())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parquet::{
        basic::{Repetition, Type as Physical},
        schema::types::{ColumnDescriptor, ColumnPath, Type},
    };

    use super::*;

    fn column() -> ColumnDescPtr {
        let kind = Type::primitive_type_builder("image", Physical::BYTE_ARRAY);
        let kind = Arc::new(kind.with_repetition(Repetition::REQUIRED).build().unwrap());
        Arc::new(ColumnDescriptor::new(kind, 0, 0, ColumnPath::from("image")))
    }

    fn number(value: i64) -> Vec<u8> {
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        let mut bytes = Vec::new();
        while zigzag >= 0x80 {
            bytes.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        bytes.push(zigzag as u8);
        bytes
    }

    /// A data page of version 1, or a dictionary, with a header that claims what it likes.
    fn page(kind: u8, uncompressed: i64, compressed: i64, values: i64, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15, kind << 1, 0x15];
        bytes.extend(number(uncompressed));
        bytes.push(0x15);
        bytes.extend(number(compressed));
        bytes.extend([if kind == 0 { 0x2c } else { 0x4c }, 0x15]);
        bytes.extend(number(values));
        // PLAIN values, RLE levels.
        bytes.extend([0x15, 0x00]);
        if kind == 0 {
            bytes.extend([0x15, 0x06, 0x15, 0x06]);
        }
        bytes.extend([0x00, 0x00]);
        bytes.extend(content);
        bytes
    }

    fn string(text: &[u8]) -> Vec<u8> {
        [&(text.len() as u32).to_le_bytes()[..], text].concat()
    }

    /// The strings of a column that is a whole file.
    fn read(bytes: &[u8], compression: Compression, rows: u64) -> Result<Vec<Vec<u8>>, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let about = ColumnChunkMetaData::builder(column())
            .set_compression(compression)
            .set_total_compressed_size(bytes.len() as i64)
            .build()
            .unwrap();
        let strings = || {
            let (chunk, pages) = Chunk::find(&file, bytes.len() as u64, &about, rows)?;
            let mut strings = Vec::new();
            for page in pages {
                let decoded = caught(|| chunk.decode(&file, page, &column()))?;
                strings.extend(decoded.values.into_iter().flatten().map(|value| value.data().to_vec()));
            }
            Ok(strings)
        };
        strings().map_err(|problem: Problem| problem.to_string())
    }

    #[test]
    fn pages_are_read_one_after_the_other() {
        let first = [string(b"one"), string(b"")].concat();
        let second = string(b"three");
        let length = |bytes: &[u8]| bytes.len() as i64;
        let file = [
            page(0, length(&first), length(&first), 2, &first),
            // An index page is passed over.
            page(1, 3, 3, 9, b"abc"),
            page(0, length(&second), length(&second), 1, &second),
        ]
        .concat();
        let plain = Compression::UNCOMPRESSED;
        assert_eq!(read(&file, plain, 3).unwrap(), [&b"one"[..], b"", b"three"]);
        assert_eq!(
            read(&file, plain, 4).unwrap_err(),
            "the pages of a column have 3 rows, and its row group 4"
        );
        assert_eq!(read(&file[..file.len() - 1], plain, 3).unwrap_err(), "a page is longer than its column");
        assert_eq!(read(&file[..20], plain, 3).unwrap_err(), "a page is longer than its column");
        assert_eq!(read(&file[..10], plain, 3).unwrap_err(), "the header of a page is damaged");
        assert_eq!(
            read(&file, Compression::LZ4, 3).unwrap_err(),
            "it is compressed with LZ4; snappy, zstd or none is read"
        );
    }

    #[test]
    fn claims_are_checked_before_memory_is_taken() {
        let text = string(b"one");
        let two_gib = i64::from(i32::MAX);
        let refused = |kind, uncompressed, compressed, values| {
            read(&page(kind, uncompressed, compressed, values, &text), Compression::SNAPPY, 1).unwrap_err()
        };
        let large = |size: i64| {
            format!(
                "a page has or claims {size} bytes; at most 256 MiB are read, which smaller row groups have"
            )
        };
        assert_eq!(refused(0, two_gib, 7, 1), large(two_gib));
        assert!(refused(0, 7, two_gib, 1).starts_with("a page has or claims 21474836"));
        assert_eq!(refused(0, -1, 7, 1), "the header of a page is damaged");
        assert_eq!(refused(0, 7, 7, -1), "the header of a page is damaged");
        assert!(refused(0, i64::MAX, i64::MAX, 1).starts_with("a page has or claims 92233720368547"));
        assert!(refused(0, 200 << 20, 7, 1).len() < 200);
        // Values beyond those that are there.
        let many = (MAX_VALUES + 1) as u64;
        let file = page(0, 7, 7, many as i64, &text);
        assert_eq!(
            read(&file, Compression::UNCOMPRESSED, many).unwrap_err(),
            "a page has 1048577 images; at most 1048576 are read"
        );
        assert!(read(&page(0, 7, 7, 2, &text), Compression::UNCOMPRESSED, 2).is_err());
        // A string that claims more than its page.
        let long = [&u32::MAX.to_le_bytes()[..], b"abc"].concat();
        assert!(read(&page(0, 7, 7, 1, &long), Compression::UNCOMPRESSED, 1).is_err());
        let dictionary = page(2, 7, 7, 1, &text);
        assert_eq!(
            read(&[dictionary.clone(), dictionary].concat(), Compression::UNCOMPRESSED, 0).unwrap_err(),
            "a column has two dictionaries"
        );
        let encoded = |encoding: u8| {
            let mut page = page(0, 7, 7, 1, &text);
            let at = page.len() - 7 - 7;
            assert_eq!(page[at], 0x00);
            page[at] = encoding << 1;
            read(&page, Compression::UNCOMPRESSED, 1)
        };
        assert_eq!(encoded(0).unwrap(), [b"one"]);
        assert_eq!(encoded(8).unwrap_err(), "a page needs a dictionary, and there is none");
        for delta in [5, 6, 7] {
            let expected = format!("a page has the encoding {delta}; plain and dictionary are read");
            assert_eq!(encoded(delta).unwrap_err(), expected);
        }
        let dictionary = page(2, 7, 7, two_gib, &text);
        assert_eq!(
            read(&[dictionary, page(0, 7, 7, 1, &text)].concat(), Compression::UNCOMPRESSED, 1).unwrap_err(),
            "a dictionary claims 2147483647 values in 7 bytes; at most 1048576 are read"
        );
    }

    #[test]
    fn columns_lie_within_their_file() {
        let bytes = page(0, 7, 7, 1, &string(b"one"));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let refused = |offset: i64, size: i64, dictionary| {
            let about = ColumnChunkMetaData::builder(column())
                .set_total_compressed_size(size)
                .set_data_page_offset(offset)
                .set_dictionary_page_offset(dictionary)
                .build()
                .unwrap();
            Chunk::find(&file, bytes.len() as u64, &about, 1).unwrap_err().to_string()
        };
        let without = "a column is not within the file, which may be truncated";
        assert_eq!(refused(1, bytes.len() as i64, None), without);
        assert_eq!(refused(i64::MAX, i64::MAX, None), without);
        assert_eq!(refused(-1, 10, None), "the place of a column is negative");
        assert_eq!(refused(0, -1, None), "the place of a column is negative");
        assert_eq!(refused(0, 10, Some(i64::MIN)), refused(0, 10, None));
    }
}
