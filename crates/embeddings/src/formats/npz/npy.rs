//! numpy's array files: a header that is a Python literal, then the items.
//!
//! Source: numpy, `numpy/lib/format.py`, "Format Version 1.0" to "3.0".

use std::{
    fs::File,
    io::{BufReader, Read},
};

use facegrad_files::FileSection;

use crate::{
    error::Problem,
    limits::{check_loaded, check_shape},
    stored::{Element, Number, Rows},
};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// numpy refuses longer ones itself.
const MAX_HEADER_BYTES: usize = 10_000;

/// Numbers that are read at a time.
const ITEMS: usize = 4096;

/// What the items of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers.
    Number(Element),
    /// `width` code points of 32 bits.
    Unicode { width: usize, big_endian: bool },
    /// `width` bytes, taken for UTF-8.
    Bytes { width: usize },
}

/// What the header of an array says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Array {
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    /// Whether its columns come one after the other (Fortran order), in place of its rows.
    pub(super) by_columns: bool,
    /// Bytes before the first item.
    pub(super) header_bytes: u64,
}

/// The header, format version 1.0, of an array in C order.
pub(super) fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let mut axes: String = shape.iter().map(|length| format!("{length}, ")).collect();
    if shape.len() > 1 {
        axes.truncate(axes.len() - 2);
    }
    let mut text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", axes.trim_end());
    // The items begin at a multiple of 64 bytes, and a line ends before them.
    let length = (MAGIC.len() + 4 + text.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    text.push_str(&" ".repeat(length - 1 - text.len()));
    text.push('\n');
    [MAGIC.as_slice(), &[1, 0], &(length as u16).to_le_bytes(), text.as_bytes()].concat()
}

impl Array {
    /// Reads the header.
    pub(super) fn read(content: &mut dyn Read) -> Result<Self, Problem> {
        let mut start = [0; 8];
        content.read_exact(&mut start)?;
        if start[..6] != *MAGIC {
            return Err(Problem::content("it is no numpy array"));
        }
        let (length, before) = match start[6..] {
            [1, 0] => {
                let mut length = [0; 2];
                content.read_exact(&mut length)?;
                (usize::from(u16::from_le_bytes(length)), 10)
            }
            [2 | 3, 0] => {
                let mut length = [0; 4];
                content.read_exact(&mut length)?;
                (u32::from_le_bytes(length) as usize, 12)
            }
            [major, minor, ..] => {
                return Err(Problem::Content(format!(
                    "it has version {major}.{minor} of numpy's format; versions 1.0, 2.0 and 3.0 are read"
                )));
            }
            _ => return Err(Problem::content("it is no numpy array")),
        };
        if length > MAX_HEADER_BYTES {
            return Err(Problem::Content(format!(
                "its header has {length} bytes; it may have {MAX_HEADER_BYTES}"
            )));
        }
        let mut text = vec![0; length];
        content.read_exact(&mut text)?;
        let text = String::from_utf8(text).map_err(|_| Problem::content("its header is not text"))?;
        let (kind, shape, by_columns) = parse(&text)?;
        Ok(Self { kind, shape, by_columns, header_bytes: (before + length) as u64 })
    }

    /// The rows of an array of numbers that takes `found` bytes with its header and lies in `file` from `start` on: the
    /// length of one, how many there are, and where. Only their columns are loaded if they come one after the other.
    pub(super) fn stored(
        &self,
        found: u64,
        file: &File,
        start: u64,
    ) -> Result<(usize, usize, Rows), Problem> {
        let at = start + self.header_bytes;
        if self.by_columns {
            return self.loaded(found, &mut BufReader::new(FileSection { file, at, end: start + found }));
        }
        let (rows, dim, element) = self.rows(found)?;
        Ok((dim, rows, Rows::Stored { file: file.try_clone()?, at, element }))
    }

    /// The same of an array whose items are read from `content`, to its end.
    pub(super) fn loaded(&self, found: u64, content: &mut dyn Read) -> Result<(usize, usize, Rows), Problem> {
        let (rows, dim, element) = self.rows(found)?;
        check_loaded(rows, dim)?;
        // Grows with what is there: the size is a claim.
        let mut numbers = Vec::new();
        let mut bytes = vec![0; ITEMS * element.size()];
        let mut items = [0.0; ITEMS];
        let row_of = |item: usize| if self.by_columns { item % rows } else { item / dim };
        while numbers.len() < rows * dim {
            let items = &mut items[..ITEMS.min(rows * dim - numbers.len())];
            let bytes = &mut bytes[..items.len() * element.size()];
            content.read_exact(bytes)?;
            let converted = element.convert(bytes, items);
            converted.map_err(|at| Problem::TooLarge(row_of(numbers.len() + at)))?;
            numbers.extend_from_slice(items);
        }
        end(content)?;
        if self.by_columns {
            let row = |row: usize| numbers.iter().skip(row).step_by(rows).copied();
            numbers = (0..rows).flat_map(row).collect();
        }
        Ok((dim, rows, Rows::Loaded(numbers)))
    }

    /// How many rows there are, of how many numbers, and how these are stored, in `found` bytes with the header.
    fn rows(&self, found: u64) -> Result<(usize, usize, Element), Problem> {
        let &[rows, dim] = self.shape.as_slice() else {
            let axes = self.shape.len();
            return Err(Problem::Content(format!("it has {axes} axes instead of two, [rows, dim]")));
        };
        check_shape(rows, dim)?;
        let Kind::Number(element) = self.kind else {
            return Err(Problem::content("it is an array of text; it has to be of numbers"));
        };
        let bytes = self.header_bytes + (rows * dim * element.size()) as u64;
        if found != bytes {
            return Err(Problem::Content(format!(
                "it has {found} bytes, and {rows} rows of {dim} numbers take {bytes}"
            )));
        }
        Ok((rows, dim, element))
    }

    /// Reads `count` texts of at most `limit` bytes, as UTF-8, without the zeros that fill them up.
    pub(super) fn read_texts(
        &self,
        count: usize,
        limit: usize,
        content: &mut dyn Read,
        mut take: impl FnMut(String) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (width, bytes) = match self.kind {
            Kind::Unicode { width, .. } => (width, width.saturating_mul(4)),
            Kind::Bytes { width } => (width, width),
            Kind::Number(_) => {
                return Err(Problem::content("it is an array of numbers; it has to be of text"));
            }
        };
        // A character takes one byte at least.
        if width > limit {
            return Err(Problem::Content(format!(
                "its items have up to {width} characters; they may have {limit}"
            )));
        }
        let mut item = vec![0; bytes];
        for index in 0..count {
            content.read_exact(&mut item)?;
            let text = match self.kind {
                Kind::Unicode { big_endian, .. } => unicode(&item, big_endian),
                _ => String::from_utf8(item[..length(&item)].to_vec()).ok(),
            };
            take(text.ok_or_else(|| Problem::Content(format!("item {index} is not valid Unicode")))?)?;
        }
        Ok(())
    }
}

/// Nothing may follow; reading to the end also checks the checksum.
pub(super) fn end(content: &mut dyn Read) -> Result<(), Problem> {
    match content.read(&mut [0; 1])? {
        0 => Ok(()),
        _ => Err(Problem::content("an array is longer than its shape says")),
    }
}

/// How many items there are up to the last that is not zero.
fn length<T: PartialEq + Default>(items: &[T]) -> usize {
    items.iter().rposition(|item| *item != T::default()).map_or(0, |last| last + 1)
}

fn unicode(bytes: &[u8], big_endian: bool) -> Option<String> {
    let read = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let points: Vec<u32> = bytes.as_chunks().0.iter().map(|bytes| read(*bytes)).collect();
    points[..length(&points)].iter().map(|point| char::from_u32(*point)).collect()
}

/// A strict reader of `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, its keys in any order.
fn parse(header: &str) -> Result<(Kind, Vec<usize>, bool), Problem> {
    let not_read = || Problem::Content(format!("its header {:?} is not understood", header.trim_end()));
    let mut rest = Literal(header);
    let (mut kind, mut order, mut shape) = (None, None, None);
    rest.expect('{').ok_or_else(not_read)?;
    while rest.expect('}').is_none() {
        let key = rest.text().ok_or_else(not_read)?;
        rest.expect(':').ok_or_else(not_read)?;
        // A key that comes twice is not understood, either.
        match key {
            "descr" if kind.is_none() => kind = Some(kind_of(rest.text().ok_or_else(not_read)?)?),
            "fortran_order" if order.is_none() => order = Some(rest.boolean().ok_or_else(not_read)?),
            "shape" if shape.is_none() => shape = Some(rest.shape().ok_or_else(not_read)?),
            _ => return Err(not_read()),
        }
        if rest.expect(',').is_none() {
            rest.expect('}').ok_or_else(not_read)?;
            break;
        }
    }
    let (Some(kind), Some(fortran), Some(shape), "") = (kind, order, shape, rest.0.trim()) else {
        return Err(not_read());
    };
    // With one axis both orders are the same.
    let by_columns = fortran && shape.len() > 1;
    Ok((kind, shape, by_columns))
}

fn kind_of(descr: &str) -> Result<Kind, Problem> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let (kind, size) = kind.split_at_checked(1).unwrap_or_default();
    let refuse = |advice: &str| Problem::Content(format!("its items are of type {descr:?}; {advice}"));
    // numpy's own machine, always written as one of the other two.
    let big_endian = match order {
        "<" | "|" => false,
        ">" => true,
        _ => return Err(refuse("the type has to begin with <, > or |")),
    };
    let number = |number| Ok(Kind::Number(Element { number, big_endian }));
    let width = size.parse::<usize>();
    match (kind, size, width) {
        ("f", "2", _) => number(Number::F16),
        ("f", "4", _) => number(Number::F32),
        ("f", "8", _) => number(Number::F64),
        ("U", _, Ok(width)) => Ok(Kind::Unicode { width, big_endian }),
        ("S", _, Ok(width)) => Ok(Kind::Bytes { width }),
        ("O", ..) => Err(refuse("objects of Python are not read; save text with .astype(str)")),
        _ => Err(refuse("save numbers with .astype('float32') and text with .astype(str)")),
    }
}

/// What is left of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn expect(&mut self, mark: char) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(mark)?;
        Some(())
    }

    /// Text in single or double quotes, without escapes.
    fn text(&mut self) -> Option<&'a str> {
        let quote = if self.expect('\'').is_some() { '\'' } else { self.expect('"').map(|()| '"')? };
        let (text, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        (!text.contains('\\')).then_some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        let text = self.0.trim_start();
        let (value, rest) = match text.strip_prefix("True") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("False")?),
        };
        self.0 = rest;
        Some(value)
    }

    /// `()`, `(3,)` or `(3, 4)`; numpy has 64 axes at most.
    fn shape(&mut self) -> Option<Vec<usize>> {
        self.expect('(')?;
        let mut axes = Vec::new();
        while self.expect(')').is_none() {
            let text = self.0.trim_start();
            let digits = text.find(|c: char| !c.is_ascii_digit())?;
            axes.push(text[..digits].parse().ok()?);
            // Python 2 marks long integers.
            self.0 = text[digits..].strip_prefix('L').unwrap_or(&text[digits..]);
            if self.expect(',').is_none() {
                self.expect(')')?;
                break;
            }
        }
        (axes.len() <= 64).then_some(axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: Kind = Kind::Number(Element::F32);

    #[test]
    fn headers_as_numpy_writes_them() {
        // numpy 2.4.6: numpy.save of float32 arrays of these shapes, up to the first item.
        for (shape, text) in
            [(vec![], "()"), (vec![3], "(3,)"), (vec![3, 4], "(3, 4)"), (vec![470_000, 512], "(470000, 512)")]
        {
            let written = header("<f4", &shape);
            assert_eq!((written.len(), &written[..10]), (128, b"\x93NUMPY\x01\0v\0".as_slice()));
            let expected = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {text}, }}");
            assert_eq!(std::str::from_utf8(&written[10..]).unwrap().trim_end(), expected);
            assert_eq!(written[127], b'\n');
            let array = Array::read(&mut written.as_slice()).unwrap();
            assert_eq!(array, Array { kind: F32, shape, by_columns: false, header_bytes: 128 });
        }
    }

    #[test]
    fn headers_that_others_write() {
        let two = |text: &str| {
            let length = (text.len() as u32).to_le_bytes();
            [b"\x93NUMPY\x02\0", length.as_slice(), text.as_bytes()].concat()
        };
        let read = |text: &str| Array::read(&mut two(text).as_slice());
        let array = read(r#"{"shape":(2L, 3),"fortran_order" : False , "descr":"<f4"}   "#).unwrap();
        assert_eq!((array.kind, array.shape), (F32, vec![2, 3]));
        // One column after the other is the same as one row after the other if there is one.
        assert!(read("{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}").is_ok());
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3",
            "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': 'é', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<i4', 'fortran_order': False, 'shape': (3,)}",
        ] {
            assert!(matches!(read(text), Err(Problem::Content(_))), "{text}");
        }
        let error = format!("{:?}", Array::read(&mut b"\x93NUMPY\x04\0".as_slice()).unwrap_err());
        assert!(error.contains("version 4.0"), "{error}");
        assert!(Array::read(&mut b"\x93NUMPY\x03\0\xff\xff\xff\xff".as_slice()).is_err());
    }
}
