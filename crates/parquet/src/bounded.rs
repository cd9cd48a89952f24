//! Pages within bounds: what the library is given is checked first, and inflated here.
//!
//! The library would take the memory that the header of a page claims. To it a column is uncompressed; what is
//! compressed is inflated behind it, as far as there is something to inflate.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufReader, Read},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use facegrad_files::{FileSection, PooledFile, fill_at};
use parquet::{
    basic::{Compression, Encoding},
    column::page::{Page, PageMetadata, PageReader},
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::ColumnChunkMetaData,
        reader::{ChunkReader, Length},
        serialized_reader::SerializedPageReader,
    },
    schema::types::ColumnDescPtr,
};

use crate::{MAX_PAGE, ParquetFault, delta, streams::Codec};

/// Longest page header: the statistics in it may hold two values, which writers cut at some kibibytes.
const MAX_HEADER: u64 = 1 << 20;

/// Most values of a dictionary.
pub(crate) const MAX_DICTIONARY: u32 = 1 << 20;

/// A file that threads read parts of at once; of the library's own reader they would move the one position.
#[derive(Debug, Clone)]
pub(crate) struct FileBytes {
    pub(crate) file: Arc<PooledFile>,
    /// Where the content of the page is whose header has been read last, if only headers are: pages are empty then.
    pub(crate) headers: Option<Arc<Mutex<Range<u64>>>>,
}

impl Length for FileBytes {
    fn len(&self) -> u64 {
        self.file.length()
    }
}

impl ChunkReader for FileBytes {
    type T = BufReader<FileSection<Arc<File>>>;

    fn get_read(&self, at: u64) -> ParquetResult<Self::T> {
        let (file, end) = (self.file.handle()?, at.saturating_add(MAX_HEADER).min(self.file.length()));
        Ok(BufReader::with_capacity(256, FileSection { file, at, end }))
    }

    fn get_bytes(&self, at: u64, length: usize) -> ParquetResult<Bytes> {
        if let Some(content) = &self.headers {
            *content.lock().unwrap_or_else(PoisonError::into_inner) = at..at + length as u64;
            return Ok(Bytes::new());
        }
        check_size(length as u64)?;
        let mut bytes = vec![0; length];
        fill_at(&*self.file.handle()?, at, &mut bytes)?;
        Ok(bytes.into())
    }
}

/// The pages of a column in a part of a file, as the library has them: as if they were not compressed.
fn raw_pages(
    bytes: &FileBytes,
    column: &ColumnDescPtr,
    place: &Range<u64>,
) -> ParquetResult<SerializedPageReader<FileBytes>> {
    let about = ColumnChunkMetaData::builder(column.clone())
        .set_data_page_offset(place.start as i64)
        .set_total_compressed_size((place.end - place.start) as i64)
        .build()?;
    SerializedPageReader::new(Arc::new(bytes.clone()), &about, 0, None)
}

/// The headers of the pages of a column in a part of a file, each with the place of its content.
pub(crate) struct Headers {
    pages: SerializedPageReader<FileBytes>,
    content: Arc<Mutex<Range<u64>>>,
}

impl Headers {
    pub(crate) fn new(bytes: &FileBytes, column: &ColumnDescPtr, place: &Range<u64>) -> ParquetResult<Self> {
        let content = Arc::default();
        let bytes = FileBytes { headers: Some(Arc::clone(&content)), ..bytes.clone() };
        Ok(Self { pages: raw_pages(&bytes, column, place)?, content })
    }

    /// The next page, without its content, and where that is.
    pub(crate) fn next(&mut self) -> Result<Option<(Page, Range<u64>)>, ParquetFault> {
        let page = self.pages.get_next_page().map_err(|error| match error.into() {
            ParquetFault::Content(_) => ParquetFault::content("a page is damaged, or longer than its column"),
            fault => fault,
        })?;
        Ok(page.map(|page| (page, self.content.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }
}

/// The pages of a column in some parts of a file, one after the other.
pub(crate) struct BoundedPages {
    /// What comes before them.
    first: Option<Page>,
    parts: VecDeque<SerializedPageReader<FileBytes>>,
    compression: Compression,
    column: ColumnDescPtr,
    /// Values that the pages may have together, absent ones too.
    left: u64,
}

impl BoundedPages {
    pub(crate) fn new(
        bytes: &FileBytes,
        column: &ColumnDescPtr,
        compression: Compression,
        places: &[Range<u64>],
        values: u64,
    ) -> ParquetResult<Self> {
        let parts = places.iter().map(|place| raw_pages(bytes, column, place)).collect::<Result<_, _>>()?;
        Ok(Self { first: None, parts, compression, column: column.clone(), left: values })
    }

    /// The same behind a page that was made here.
    pub(crate) fn behind(self, first: Page) -> Self {
        Self { first: Some(first), ..self }
    }
}

impl PageReader for BoundedPages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let mut page = loop {
            let Some(part) = self.parts.front_mut() else { return Ok(None) };
            match part.get_next_page()? {
                Some(page) => break page,
                None => self.parts.pop_front(),
            };
        };
        inflate_page(&mut page, self.compression)?;
        if page.is_dictionary_page() {
            check_dictionary(&page)?;
        } else {
            let more = || ParquetError::General("its pages hold more values than it has".into());
            self.left = self.left.checked_sub(page.num_values().into()).ok_or_else(more)?;
            check_lengths(&page, &self.column)?;
        }
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        while let Some(part) = self.parts.front_mut() {
            if let Some(about) = part.peek_next_page()? {
                return Ok(Some(about));
            }
            self.parts.pop_front();
        }
        Ok(None)
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.get_next_page().map(drop)
    }
}

impl Iterator for BoundedPages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// An error if a page is larger than one that is read.
pub(crate) fn check_size(size: u64) -> Result<(), ParquetFault> {
    match size <= MAX_PAGE as u64 {
        true => Ok(()),
        false => Err(ParquetFault::Content(format!(
            "a page has or claims {size} bytes; of a value, and of a page that is not of plain values, at most {} MiB are \
             read, which smaller row groups have (pyarrow: row_group_size=100)",
            MAX_PAGE >> 20
        ))),
    }
}

/// An error for a compression that is not read.
pub(crate) fn check_compression(compression: Compression) -> Result<(), ParquetFault> {
    use Compression::{GZIP, SNAPPY, UNCOMPRESSED, ZSTD};
    match compression {
        UNCOMPRESSED | SNAPPY | ZSTD(_) | GZIP(_) => Ok(()),
        other => Err(ParquetFault::Content(format!(
            "it is compressed with {other}; snappy, zstd, gzip or none is read"
        ))),
    }
}

fn inflate_page(page: &mut Page, compression: Compression) -> ParquetResult<()> {
    let (buffer, levels) = match page {
        // The second version compresses what is behind the levels, or nothing.
        Page::DataPageV2 { is_compressed: false, .. } => return Ok(()),
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            (buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)
        }
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
    };
    // What has no values has nothing that is compressed.
    if compression == Compression::UNCOMPRESSED || buffer.len() == levels {
        return Ok(());
    }
    let mut inflated = buffer.get(..levels).unwrap_or_default().to_vec();
    inflate(buffer.get(levels..).unwrap_or_default(), compression, &mut inflated)?;
    *buffer = inflated.into();
    Ok(())
}

/// Adds to `out` what `bytes` were before they were compressed.
fn inflate(bytes: &[u8], compression: Compression, out: &mut Vec<u8>) -> ParquetResult<()> {
    if let Some(codec) = Codec::of(compression) {
        codec.inflated(bytes)?.take(MAX_PAGE as u64 + 1).read_to_end(out)?;
        return Ok(check_size(out.len() as u64)?);
    }
    check_compression(compression)?;
    let length = snap::raw::decompress_len(bytes).map_err(io::Error::other)?;
    check_size(length as u64)?;
    let start = out.len();
    out.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(bytes, &mut out[start..]).map_err(io::Error::other)?;
    Ok(())
}

/// An error if a dictionary claims more values than it can have: one has 4 bytes at least, which are a length if it is
/// a string.
fn check_dictionary(page: &Page) -> ParquetResult<()> {
    let (values, bytes) = (page.num_values(), page.buffer().len());
    if values > MAX_DICTIONARY || values as usize > bytes / 4 {
        return Err(ParquetError::General(format!(
            "a dictionary claims {values} values in {bytes} bytes; at most {MAX_DICTIONARY} are read"
        )));
    }
    Ok(())
}

/// An error if a page has delta-coded lengths that claim to be more than its values.
fn check_lengths(page: &Page, column: &ColumnDescPtr) -> ParquetResult<()> {
    let streams = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // Lengths of what is the same as in the value before, and of what is not.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    let buffer = page.buffer();
    let mut levels = 0;
    match page {
        Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
            levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
        }
        _ => {
            for _ in [column.max_rep_level(), column.max_def_level()].iter().filter(|greatest| **greatest > 0)
            {
                let length = buffer.get(levels..).and_then(|rest| rest.first_chunk());
                levels += 4 + length.map_or(0, |length| u32::from_le_bytes(*length) as usize);
            }
        }
    }
    let values = buffer.get(levels..).unwrap_or_default();
    delta::check(values, streams, page.num_values().into())
        .map_err(|reason| ParquetError::General(reason.into()))
}
