//! Where the pages of a column are, and what is in one.

use std::{
    iter,
    ops::Range,
    sync::{Arc, OnceLock},
};

use parquet::{
    basic::{Compression, Encoding},
    column::reader::ColumnReaderImpl,
    data_type::{ByteArray, ByteArrayType},
    schema::types::ColumnDescPtr,
};

use crate::{
    ParquetFault,
    bounded::{BoundedPages, FileBytes, Headers, check_size},
    caught,
    file::each_value,
    parted::PartedValues,
    parts::KeptBlock,
    streams::Codec,
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
    /// Most bytes of a page that is read as a whole where its compression has no parts.
    pub(crate) whole: u64,
    /// Found when the first page is asked for.
    pub(crate) found: OnceLock<Found>,
}

/// The pages of a column.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What the values of pages may refer to, if there is such a page.
    pub(crate) dictionary: Option<Range<u64>>,
    /// Its values, if they are read in parts; found when the first is asked for.
    pub(crate) parted: OnceLock<Option<Arc<PartedValues>>>,
    pages: Vec<PageAt>,
}

/// A page of values.
#[derive(Debug)]
pub(crate) struct PageAt {
    offset: u64,
    /// Bytes, with the header.
    length: u32,
    /// The first of its rows in the row group.
    first: u32,
    pub(crate) rows: u32,
    /// Whether its values are in the dictionary.
    pub(crate) is_coded: bool,
}

impl PageAt {
    /// Where it is in the file.
    pub(crate) fn place(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.length)
    }
}

/// What it costs to read a value that does not follow the one before; 0 where no more is read than the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageCost {
    /// Bytes that are read and inflated: the page, and what it refers to.
    pub inflated: u64,
    /// Bytes of memory.
    pub memory: u64,
}

/// The values of a page, or where they are.
#[derive(Debug)]
pub struct DecodedPage {
    pub(crate) values: Values,
    /// Bytes that it takes.
    size: usize,
}

/// The values of the rows of a page; none where one is absent.
#[derive(Debug)]
pub(crate) enum Values {
    /// Themselves.
    Whole(Vec<Option<ByteArray>>),
    /// The number of one among those that are read in parts.
    Parted(Arc<PartedValues>, Vec<Option<u32>>),
}

impl DecodedPage {
    /// The value of a row of the page; none if it is absent. What is read for it may be `kept` for the next of the
    /// page.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn value(&self, row: usize, kept: &mut KeptBlock) -> Result<Option<Vec<u8>>, ParquetFault> {
        match &self.values {
            Values::Whole(values) => Ok(values[row].as_ref().map(|value| value.data().to_vec())),
            Values::Parted(values, of_rows) => {
                of_rows[row].map(|number| values.value(number as usize, kept)).transpose()
            }
        }
    }

    /// Rows of the page.
    pub fn rows(&self) -> usize {
        match &self.values {
            Values::Whole(values) => values.len(),
            Values::Parted(_, of_rows) => of_rows.len(),
        }
    }

    /// Bytes of memory that it takes.
    pub fn size(&self) -> usize {
        self.size
    }
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
    /// If the page cannot be read, is damaged, or is larger than [`MAX_PAGE`](crate::MAX_PAGE) and not of plain values.
    pub fn decode(&self, number: usize) -> Result<DecodedPage, ParquetFault> {
        let page = &self.found()?.pages[number];
        let rows = page.rows;
        if rows > MAX_VALUES {
            return Err(ParquetFault::Content(format!(
                "a page has {rows} values; at most {MAX_VALUES} are read"
            )));
        }
        if let Some((values, of_rows)) = caught(|| self.parted(page))? {
            let size = values.size() + of_rows.len() * size_of::<Option<u32>>();
            return Ok(DecodedPage { values: Values::Parted(values, of_rows), size });
        }
        let places = self.places(page)?;
        let bytes: u64 = places.iter().map(|place| place.end - place.start).sum();
        let pages = BoundedPages::new(&self.bytes, &self.column, self.compression, &places, rows.into())?;
        let (mut values, mut size) = (Vec::with_capacity(rows as usize), 0);
        self.each_value(pages, rows, |value| {
            // Where strings are what they share with the one before, few bytes of a page may be many.
            size += value.map_or(0, ByteArray::len) + size_of::<Option<ByteArray>>();
            values.push(value.cloned());
            if page.is_coded { Ok(()) } else { check_size(size as u64) }
        })?;
        // A dictionary is kept as a whole for any of its values.
        Ok(DecodedPage { values: Values::Whole(values), size: size.max(bytes as usize) })
    }

    /// What it costs to read a value of a page.
    ///
    /// # Errors
    /// If the pages are damaged.
    pub fn cost(&self, number: usize) -> Result<PageCost, ParquetFault> {
        let places = self.places(&self.found()?.pages[number])?;
        let bytes = places.iter().map(|place| place.end - place.start).sum();
        let mut has_parts = Codec::of(self.compression).is_none();
        let inflated = if has_parts { 0 } else { bytes };
        for place in &places {
            has_parts |= self.is_large(place)?;
        }
        Ok(PageCost { inflated, memory: if has_parts { 0 } else { 2 * bytes } })
    }

    /// Where a page is, behind what it refers to.
    fn places(&self, page: &PageAt) -> Result<Vec<Range<u64>>, ParquetFault> {
        let dictionary = self.found()?.dictionary.iter().filter(|_| page.is_coded);
        Ok(dictionary.cloned().chain(iter::once(page.place())).collect())
    }

    /// Calls `take` with the value of each of `rows` rows of `pages`.
    pub(crate) fn each_value(
        &self,
        pages: BoundedPages,
        rows: u32,
        take: impl FnMut(Option<&ByteArray>) -> Result<(), ParquetFault>,
    ) -> Result<(), ParquetFault> {
        let mut reader = ColumnReaderImpl::<ByteArrayType>::new(self.column.clone(), Box::new(pages));
        caught(|| each_value(&mut reader, rows as usize, self.column.max_def_level(), take))
    }

    pub(crate) fn found(&self) -> Result<&Found, ParquetFault> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let found = caught(|| self.walk())?;
        Ok(self.found.get_or_init(|| found))
    }

    /// The pages as their headers, one after the other, have them.
    fn walk(&self) -> Result<Found, ParquetFault> {
        let mut headers = Headers::new(&self.bytes, &self.column, &self.place)?;
        let (mut found, mut first, mut offset) = (Found::default(), 0, self.place.start);
        while let Some((header, content)) = headers.next()? {
            let place = offset..content.end;
            offset = content.end;
            if header.is_dictionary_page() {
                if found.dictionary.replace(place).is_some() {
                    return Err(ParquetFault::content("a column has two dictionaries"));
                }
                continue;
            }
            // Without lists a value is a row.
            let rows = header.num_values();
            let is_coded = matches!(header.encoding(), Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY);
            let too_long = |_| ParquetFault::content("a page has more than 4 GiB");
            let length = u32::try_from(place.end - place.start).map_err(too_long)?;
            if rows > 0 {
                found.pages.push(PageAt { offset: place.start, length, first, rows, is_coded });
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
