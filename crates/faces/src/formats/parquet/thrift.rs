//! As much of Thrift's compact protocol as it takes to read page headers and offset indexes, which the library keeps
//! to itself: the sizes that they claim are checked before anything is inflated.
//!
//! Source: apache/thrift, doc/specs/thrift-compact-protocol.md; apache/parquet-format, parquet.thrift.

/// Why some bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// They end too early; more of the file may help.
    Ended,
    /// They are not what they should be.
    Damaged,
}

/// Structures inside structures; those of Parquet are three deep.
const MAX_DEPTH: u32 = 16;

/// What a page header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub kind: PageKind,
    /// Bytes of the header itself.
    pub length: usize,
    /// Bytes behind it.
    pub compressed: usize,
    /// Bytes that these become.
    pub uncompressed: usize,
    /// Values, absent ones too.
    pub values: usize,
    /// How they are written.
    pub encoding: Encoding,
    /// Whether it is known how their levels are.
    pub has_levels: bool,
}

/// How the values of a page are written, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// One after the other.
    Plain,
    /// As numbers of entries of a dictionary.
    Coded,
    /// Another way, by its number.
    Other(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    Data,
    Dictionary,
    Other,
}

/// Where an offset index has a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageLocation {
    pub offset: u64,
    /// With the header.
    pub length: usize,
    /// In its row group.
    pub first_row: u64,
}

impl PageHeader {
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut input = Input { bytes, at: 0 };
        let (mut kind, mut uncompressed, mut compressed) = (None, None, None);
        let (mut values, mut encoding, mut has_levels) = (0, Encoding::Plain, true);
        input.structure(|input, field, of| {
            match (field, of) {
                (1, I32) => {
                    kind = Some(match input.number()? {
                        0 | 3 => PageKind::Data,
                        2 => PageKind::Dictionary,
                        _ => PageKind::Other,
                    });
                }
                (2, I32) => uncompressed = Some(input.size()?),
                (3, I32) => compressed = Some(input.size()?),
                // The headers of data pages of both versions and of dictionaries begin with the number of values.
                (5 | 7 | 8, STRUCT) => input.structure(|input, inner, of| {
                    match (field, inner, of) {
                        (_, 1, I32) => values = input.size()?,
                        // Where version 1 and a dictionary have the encoding, and version 2.
                        (5 | 7, 2, I32) | (8, 4, I32) => {
                            encoding = match input.number()? {
                                0 => Encoding::Plain,
                                // PLAIN_DICTIONARY and RLE_DICTIONARY.
                                2 | 8 => Encoding::Coded,
                                other => Encoding::Other(other),
                            }
                        }
                        // RLE and BIT_PACKED.
                        (5, 3 | 4, I32) => has_levels &= matches!(input.number()?, 3 | 4),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match (kind, uncompressed, compressed) {
            (Some(kind), Some(uncompressed), Some(compressed)) => {
                Ok(Self { kind, length: input.at, compressed, uncompressed, values, encoding, has_levels })
            }
            _ => Err(Fault::Damaged),
        }
    }
}

/// The pages of an offset index.
pub(super) fn offset_index(bytes: &[u8]) -> Result<Vec<PageLocation>, Fault> {
    let mut pages = Vec::new();
    let mut input = Input { bytes, at: 0 };
    input.structure(|input, field, of| {
        if (field, of) != (1, LIST) {
            return Ok(false);
        }
        let (count, of) = input.list()?;
        if of != STRUCT {
            return Err(Fault::Damaged);
        }
        for _ in 0..count {
            let mut page = PageLocation { offset: 0, length: 0, first_row: 0 };
            input.structure(|input, field, of| {
                match (field, of) {
                    (1, I64) => page.offset = input.size()? as u64,
                    (2, I32) => page.length = input.size()?,
                    (3, I64) => page.first_row = input.size()? as u64,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            // A page has a byte here at least, so that the list is no longer than its bytes.
            pages.push(page);
        }
        Ok(true)
    })?;
    Ok(pages)
}

const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let byte = *self.bytes.get(self.at).ok_or(Fault::Ended)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::Damaged)
    }

    fn number(&mut self) -> Result<i64, Fault> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// A number that cannot be negative.
    fn size(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.number()?).map_err(|_| Fault::Damaged)
    }

    /// How many elements follow, and of what kind.
    fn list(&mut self) -> Result<(u64, u8), Fault> {
        let byte = self.byte()?;
        let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        Ok((count, byte & 15))
    }

    /// Calls `take` with the number and the kind of each field; one that it does not take is skipped.
    fn structure(
        &mut self,
        mut take: impl FnMut(&mut Self, i64, u8) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let mut field: i64 = 0;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Ok(());
            }
            field = match byte >> 4 {
                0 => self.number()?,
                delta => field.saturating_add(delta.into()),
            };
            if !take(self, field, byte & 15)? {
                self.skip(byte & 15, 0, false)?;
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: u32, is_element: bool) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::Damaged);
        }
        match kind {
            // A field has its truth in its kind, an element in a byte.
            1 | 2 if is_element => self.byte().map(drop),
            1 | 2 => Ok(()),
            BYTE => self.byte().map(drop),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.jump(8),
            BINARY => {
                let length = self.varint()?;
                self.jump(length)
            }
            LIST | SET => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip(kind, depth + 1, true))
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip(kinds >> 4, depth + 1, true)?;
                    self.skip(kinds & 15, depth + 1, true)
                })
            }
            STRUCT => loop {
                let byte = self.byte()?;
                if byte == 0 {
                    return Ok(());
                }
                if byte >> 4 == 0 {
                    self.varint()?;
                }
                self.skip(byte & 15, depth + 1, false)?;
            },
            _ => Err(Fault::Damaged),
        }
    }

    fn jump(&mut self, length: u64) -> Result<(), Fault> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(length) {
            Ok(length) if length <= left => {
                self.at += length;
                Ok(())
            }
            _ => Err(Fault::Ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page of version 1 with statistics, as pyarrow writes it: type 0, sizes 300 and 200, 3 values.
    const HEADER: &[u8] = &[
        0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x2c, 0x15, 0x06, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06,
        0x1c, 0x36, 0x00, 0x28, 0x02, b'a', b'b', 0x00, 0x00, 0x00,
    ];

    #[test]
    fn headers_are_read_and_what_is_not_needed_skipped() {
        let header = PageHeader {
            kind: PageKind::Data,
            length: HEADER.len(),
            compressed: 200,
            uncompressed: 300,
            values: 3,
            encoding: Encoding::Plain,
            has_levels: true,
        };
        assert_eq!(PageHeader::parse(HEADER), Ok(header));
        assert_eq!(PageHeader::parse(&[HEADER, b"more"].concat()), Ok(header));
        for length in 0..HEADER.len() {
            assert_eq!(PageHeader::parse(&HEADER[..length]), Err(Fault::Ended), "{length}");
        }
        // Version 1 has the encoding behind the values, here PLAIN_DICTIONARY.
        let mut coded = HEADER.to_vec();
        coded[12] = 0x04;
        assert_eq!(PageHeader::parse(&coded), Ok(PageHeader { encoding: Encoding::Coded, ..header }));
        coded[12] = 0x0e;
        assert_eq!(PageHeader::parse(&coded), Ok(PageHeader { encoding: Encoding::Other(7), ..header }));
        let mut levels = HEADER.to_vec();
        levels[16] = 0x00;
        assert_eq!(PageHeader::parse(&levels), Ok(PageHeader { has_levels: false, ..header }));
        let mut negative = HEADER.to_vec();
        negative[3] |= 1;
        assert_eq!(PageHeader::parse(&negative), Err(Fault::Damaged));
        assert_eq!(PageHeader::parse(&[0]), Err(Fault::Damaged));
        assert_eq!(PageHeader::parse(&[0xff; 64]), Err(Fault::Damaged));
    }

    #[test]
    fn deep_and_endless_structures_end() {
        // Lists in lists, and a list that claims 2^60 elements.
        assert_eq!(PageHeader::parse(&[0x19; 1000]), Err(Fault::Damaged));
        assert_eq!(PageHeader::parse(&[0x1c; 1000]), Err(Fault::Damaged));
        let endless = [&[0x19, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 100]].concat();
        assert_eq!(PageHeader::parse(&endless), Err(Fault::Ended));
        let pages = [&[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 100]].concat();
        assert_eq!(offset_index(&pages), Err(Fault::Ended));
    }

    #[test]
    fn an_offset_index_is_its_pages() {
        // Two pages: at 4 with 100 bytes from row 0 on, at 104 with 50 bytes from row 7 on.
        let bytes = [
            0x19, 0x2c, 0x16, 0x08, 0x15, 0xc8, 0x01, 0x16, 0x00, 0x00, 0x16, 0xd0, 0x01, 0x15, 0x64, 0x16,
            0x0e, 0x00, 0x00,
        ];
        let pages = [
            PageLocation { offset: 4, length: 100, first_row: 0 },
            PageLocation { offset: 104, length: 50, first_row: 7 },
        ];
        assert_eq!(offset_index(&bytes).unwrap(), pages);
        assert_eq!(offset_index(&[0]).unwrap(), []);
    }
}
