//! Large pages, of which no more is read than a value.

use std::{ops::Range, sync::Arc};

use facegrad_files::fill_at;
use parquet::{
    basic::{Compression, Encoding},
    column::page::Page,
    data_type::ByteArray,
};

use crate::{
    ColumnPages, ParquetFault,
    bounded::{BoundedPages, Headers, MAX_DICTIONARY, check_size},
    delta::varint,
    pages::PageAt,
    parts::{KeptBlock, Parts},
    streams::Codec,
};

/// Bytes from which on a page, or a dictionary, is read in parts, if each can be read on its own.
const LARGE: u64 = 256 << 10;

/// Bytes of the length in front of a string.
const LENGTH: u64 = 4;

/// Most bytes of the levels of a page.
const MAX_LEVELS: u64 = 4 << 20;

/// Strings, one behind the other, that are read in parts.
#[derive(Debug)]
pub(crate) struct PartedValues {
    parts: Parts,
    /// Where each begins, behind its length, and where one more would.
    starts: Vec<u32>,
}

impl PartedValues {
    /// Looks for the first `count` values from byte `at` on.
    fn find(parts: Parts, mut at: u64, count: u32) -> Result<Self, ParquetFault> {
        let (mut starts, mut kept) = (Vec::new(), None);
        for _ in 0..count {
            starts.push((at + LENGTH) as u32);
            at += LENGTH + parts.length_at(at, &mut kept)?;
        }
        if at > parts.length {
            return Err(ParquetFault::content("a value reaches beyond its page"));
        }
        parts.check_end()?;
        starts.push((at + LENGTH) as u32);
        Ok(Self { parts, starts })
    }

    /// The value of a number.
    pub(crate) fn value(&self, number: usize, kept: &mut KeptBlock) -> Result<Vec<u8>, ParquetFault> {
        let start = self.starts.get(number).zip(self.starts.get(number + 1));
        let (start, next) =
            start.ok_or_else(|| ParquetFault::content("a dictionary has fewer values than a page"))?;
        let place = u64::from(*start)..u64::from(*next) - LENGTH;
        check_size(place.end - place.start)?;
        self.parts.read(place, kept)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn size(&self) -> usize {
        self.starts.len() * size_of::<u32>() + self.parts.size()
    }
}

/// The values of a page, and which one each of its rows has.
type ValuesOfRows = (Arc<PartedValues>, Vec<Option<u32>>);

impl ColumnPages {
    /// Whether the page at `place` is too large to be read as a whole where it need not be.
    pub(crate) fn is_large(&self, place: &Range<u64>) -> Result<bool, ParquetFault> {
        let length = place.end - place.start;
        match Codec::of(self.compression) {
            None => Ok(length >= LARGE),
            Some(_) => Ok(length.max(self.claimed(place)?) > self.whole),
        }
    }

    /// The bytes that the page at `place` claims to be, inflated.
    fn claimed(&self, place: &Range<u64>) -> Result<u64, ParquetFault> {
        // A header begins with its kind and this size, each behind a byte that says so; the library keeps it to itself.
        let mut start = [0; 16];
        let length = start.len().min((place.end - place.start) as usize);
        fill_at(&*self.bytes.file.handle()?, place.start, &mut start[..length])?;
        let mut rest = &start[1..];
        let _kind = varint(&mut rest);
        // Negative numbers are the odd ones.
        let size = rest.split_off_first().and_then(|_| varint(&mut rest)).filter(|size| size % 2 == 0);
        Ok(size.unwrap_or(0) / 2)
    }

    /// The values of a page that is large, or whose dictionary is; none if it is to be read as a whole.
    pub(crate) fn parted(&self, page: &PageAt) -> Result<Option<ValuesOfRows>, ParquetFault> {
        let found = self.found()?;
        match &found.dictionary {
            Some(place) if page.is_coded && self.is_large(place)? => {
                // Where streams are open, they are closed with the page.
                let values = match found.parted.get() {
                    Some(values) => values.clone(),
                    None if Codec::of(self.compression).is_some() => self.parted_dictionary(place)?,
                    None => {
                        let values = self.parted_dictionary(place)?;
                        found.parted.get_or_init(|| values).clone()
                    }
                };
                let Some(values) = values else { return Ok(None) };
                let codes = self.codes(page, values.starts.len() as u32 - 1)?;
                Ok(Some((values, codes)))
            }
            _ if !page.is_coded && self.is_large(&page.place())? => self.parted_page(page),
            _ => Ok(None),
        }
    }

    fn parted_dictionary(&self, place: &Range<u64>) -> Result<Option<Arc<PartedValues>>, ParquetFault> {
        let header = Headers::new(&self.bytes, &self.column, place)?.next()?;
        let Some((Page::DictionaryPage { num_values, encoding, .. }, content)) = header else {
            return Ok(None);
        };
        let is_plain = matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY);
        // One that claims more is refused as a whole.
        if !is_plain || num_values > MAX_DICTIONARY {
            return Ok(None);
        }
        let Some(parts) = self.parts(content, true, self.claimed(place)?)? else { return Ok(None) };
        Ok(Some(Arc::new(PartedValues::find(parts, 0, num_values)?)))
    }

    fn parted_page(&self, page: &PageAt) -> Result<Option<ValuesOfRows>, ParquetFault> {
        let Some((header, content)) = Headers::new(&self.bytes, &self.column, &page.place())?.next()? else {
            return Ok(None);
        };
        let claimed = self.claimed(&page.place())?;
        let has_levels = self.column.max_def_level() > 0;
        // What is read in parts, where its levels are, and what they are behind.
        let (parts, levels, values) = match header {
            Page::DataPage { encoding: Encoding::PLAIN, def_level_encoding: Encoding::RLE, .. } => {
                let Some(parts) = self.parts(content, true, claimed)? else { return Ok(None) };
                let end = if has_levels { LENGTH + parts.length_at(0, &mut None)? } else { 0 };
                let levels = LENGTH.min(end)..end;
                check_levels(&levels)?;
                let levels = parts.read(levels, &mut None)?;
                (parts, levels, end)
            }
            // The second version compresses what is behind the levels, or nothing.
            Page::DataPageV2 {
                encoding: Encoding::PLAIN,
                def_levels_byte_len,
                rep_levels_byte_len: 0,
                is_compressed,
                ..
            } => {
                let levels = 0..def_levels_byte_len.into();
                check_levels(&levels)?;
                let values = content.start + levels.end;
                let levels =
                    Parts::stored(self.bytes.file.clone(), content.clone()).read(levels, &mut None)?;
                let claimed = claimed.saturating_sub(def_levels_byte_len.into());
                let Some(parts) = self.parts(values..content.end, is_compressed, claimed)? else {
                    return Ok(None);
                };
                (parts, levels, 0)
            }
            _ => return Ok(None),
        };
        let of_rows = match has_levels {
            true => self.present(page, levels)?,
            false => (0..page.rows).map(Some).collect(),
        };
        let count = of_rows.iter().flatten().count() as u32;
        Ok(Some((Arc::new(PartedValues::find(parts, values, count)?), of_rows)))
    }

    /// The content of a page, which claims so many bytes; none if it cannot be read in parts.
    fn parts(
        &self,
        place: Range<u64>,
        is_compressed: bool,
        claimed: u64,
    ) -> Result<Option<Parts>, ParquetFault> {
        let file = self.bytes.file.clone();
        match Codec::of(self.compression) {
            Some(codec) if is_compressed => Ok(Some(Parts::streamed(file, place, codec, claimed))),
            None if is_compressed && self.compression == Compression::SNAPPY => {
                Parts::compressed(file, place)
            }
            _ => Ok(Some(Parts::stored(file, place))),
        }
    }

    /// The number in the dictionary, which has `count` values, of each row of a page: the library decodes the page with
    /// a dictionary of numbers.
    fn codes(&self, page: &PageAt, count: u32) -> Result<Vec<Option<u32>>, ParquetFault> {
        let length = LENGTH as u32;
        let numbers = Page::DictionaryPage {
            buf: (0..count).flat_map(|number| [length, number]).flat_map(u32::to_le_bytes).collect(),
            num_values: count,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut codes = Vec::with_capacity(page.rows as usize);
        self.each_of(page, numbers, &[page.place()], |value| {
            let number = value.and_then(|value| value.data().first_chunk());
            codes.push(number.map(|number| u32::from_le_bytes(*number)));
        })?;
        Ok(codes)
    }

    /// The number of the value of each row, by the levels of a page: the library decodes a page of the same levels and
    /// of empty strings.
    fn present(&self, page: &PageAt, levels: Vec<u8>) -> Result<Vec<Option<u32>>, ParquetFault> {
        let strings = vec![0; page.rows as usize * LENGTH as usize];
        let empty = Page::DataPageV2 {
            def_levels_byte_len: levels.len() as u32,
            buf: [levels, strings].concat().into(),
            num_values: page.rows,
            encoding: Encoding::PLAIN,
            num_nulls: 0,
            num_rows: page.rows,
            rep_levels_byte_len: 0,
            is_compressed: false,
            statistics: None,
        };
        let (mut count, mut numbers) = (0, Vec::with_capacity(page.rows as usize));
        self.each_of(page, empty, &[], |value| {
            numbers.push(value.map(|_| count));
            count += u32::from(value.is_some());
        })?;
        Ok(numbers)
    }

    /// Calls `take` with the value of each row of a page that is at `places`, or `first` itself.
    fn each_of(
        &self,
        page: &PageAt,
        first: Page,
        places: &[Range<u64>],
        mut take: impl FnMut(Option<&ByteArray>),
    ) -> Result<(), ParquetFault> {
        let pages = BoundedPages::new(&self.bytes, &self.column, self.compression, places, page.rows.into())?;
        self.each_value(pages.behind(first), page.rows, |value| {
            take(value);
            Ok(())
        })
    }
}

fn check_levels(levels: &Range<u64>) -> Result<(), ParquetFault> {
    match levels.end - levels.start <= MAX_LEVELS {
        true => Ok(()),
        false => Err(ParquetFault::content("a page is damaged: its levels are longer than any may be")),
    }
}
