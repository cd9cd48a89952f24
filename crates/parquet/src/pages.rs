//! Where the pages of a column are, and what is in one.

use std::{
    iter,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parquet::{
    basic::{Compression, Encoding},
    column::{page::PageReader, reader::ColumnReaderImpl},
    data_type::{ByteArray, ByteArrayType},
    schema::types::ColumnDescPtr,
};

use crate::{
    ParquetFault,
    bounded::{BoundedPages, FileBytes, check_size, raw_pages},
    caught,
    file::each_value,
};

/// Most values of a page.
const MAX_VALUES: u32 = 1 << 20;

/// A column of byte strings in a row group, of which pages are read at random, by any number of threads at once. It
/// outlives the open file.
#[derive(Debug)]
pub struct ColumnPages {
    pub(crate) bytes: FileBytes,
    pub(crate) column: ColumnDescPtr,
    pub(crate) compression: Compression,
    pub(crate) place: Range<u64>,
    pub(crate) rows: u32,
    /// Found when the first page is asked for.
    pub(crate) found: OnceLock<Found>,
}

/// The pages of a column.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What the values of pages may refer to, if there is such a page.
    dictionary: Option<Range<u64>>,
    pages: Vec<PageAt>,
}

/// A page of values.
#[derive(Debug)]
struct PageAt {
    offset: u64,
    /// Bytes, with the header.
    length: u32,
    /// The first of its rows in the row group.
    first: u32,
    rows: u32,
    /// Whether its values are in the dictionary.
    is_coded: bool,
}

/// The values of a page.
#[derive(Debug)]
pub struct DecodedPage {
    /// Of each row; none where it is absent.
    pub values: Vec<Option<ByteArray>>,
    /// Bytes that it takes.
    pub size: usize,
}

impl ColumnPages {
    /// Where in the file the column begins.
    pub fn start(&self) -> u64 {
        self.place.start
    }

    /// The number of the page that has a row of the row group, and the number of the row in it.
    ///
    /// # Errors
    /// If the pages are damaged or have other rows than the row group.
    pub fn page_of(&self, row: usize) -> Result<(usize, usize), ParquetFault> {
        let pages = &self.found()?.pages;
        // The first page begins with row 0.
        let number = pages.partition_point(|page| page.first as usize <= row).saturating_sub(1);
        match pages.get(number) {
            Some(page) if row - (page.first as usize) < page.rows as usize => {
                Ok((number, row - page.first as usize))
            }
            _ => Err(ParquetFault::Content(format!("its row group has no row {row}"))),
        }
    }

    /// The content of a page.
    ///
    /// # Errors
    /// If the page cannot be read, is damaged, or is larger than [`MAX_PAGE`](crate::MAX_PAGE).
    pub fn decode(&self, number: usize) -> Result<DecodedPage, ParquetFault> {
        let Found { dictionary, pages } = self.found()?;
        let PageAt { offset, length, rows, is_coded, .. } = pages[number];
        if rows > MAX_VALUES {
            return Err(ParquetFault::Content(format!(
                "a page has {rows} values; at most {MAX_VALUES} are read"
            )));
        }
        let dictionary = dictionary.iter().filter(|_| is_coded);
        let place = offset..offset + u64::from(length);
        let places: Vec<_> = dictionary.cloned().chain(iter::once(place)).collect();
        let bytes: u64 = places.iter().map(|place| place.end - place.start).sum();
        let column = &self.column;
        caught(|| {
            let pages = BoundedPages::new(&self.bytes, column, self.compression, &places, rows.into())?;
            let mut reader = ColumnReaderImpl::<ByteArrayType>::new(column.clone(), Box::new(pages));
            let (mut values, mut size) = (Vec::with_capacity(rows as usize), 0);
            each_value(&mut reader, rows as usize, column.max_def_level(), |value| {
                // Where strings are what they share with the one before, few bytes of a page may be many.
                size += value.map_or(0, ByteArray::len) + size_of::<Option<ByteArray>>();
                values.push(value.cloned());
                if is_coded { Ok(()) } else { check_size(size as u64) }
            })?;
            // A dictionary is kept as a whole for any of its values.
            Ok(DecodedPage { values, size: size.max(bytes as usize) })
        })
    }

    fn found(&self) -> Result<&Found, ParquetFault> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let found = caught(|| self.walk())?;
        Ok(self.found.get_or_init(|| found))
    }

    /// The pages as their headers, one after the other, have them.
    fn walk(&self) -> Result<Found, ParquetFault> {
        let end = Arc::new(AtomicU64::new(self.place.start));
        let bytes = FileBytes { headers: Some(end.clone()), ..self.bytes.clone() };
        let mut headers = raw_pages(&bytes, &self.column, &self.place)?;
        let (mut found, mut first) = (Found::default(), 0);
        loop {
            let offset = end.load(Ordering::Relaxed);
            let header = headers.get_next_page().map_err(|error| match error.into() {
                ParquetFault::Content(_) => {
                    ParquetFault::content("a page is damaged, or longer than its column")
                }
                fault => fault,
            })?;
            let Some(header) = header else { break };
            let place = offset..end.load(Ordering::Relaxed);
            check_size(place.end - place.start)?;
            if header.is_dictionary_page() {
                if found.dictionary.replace(place).is_some() {
                    return Err(ParquetFault::content("a column has two dictionaries"));
                }
                continue;
            }
            // Without lists a value is a row.
            let rows = header.num_values();
            let is_coded = matches!(header.encoding(), Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY);
            let length = (place.end - place.start) as u32;
            if rows > 0 {
                found.pages.push(PageAt { offset, length, first, rows, is_coded });
            }
            first = first.saturating_add(rows);
            if first > self.rows {
                break;
            }
        }
        match first == self.rows {
            true => Ok(found),
            false => Err(ParquetFault::Content(format!(
                "the pages of a column have {first} rows, and its row group {}",
                self.rows
            ))),
        }
    }
}
