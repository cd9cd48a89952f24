//! The records of a RecordIO file, and what image records begin with.
//!
//! A record is a magic number, a word with its length and how it goes on, its bytes, and zeros up to a multiple of
//! four. Where the bytes hold the magic number at a multiple of four, it is left out and the record is cut there
//! into parts (dmlc-core, `include/dmlc/recordio.h` and `src/recordio.cc`). An image record begins with a header of
//! 24 bytes (MXNet, `python/mxnet/recordio.py`: `IRHeader`). All numbers are little-endian.

use std::{fs::File, io, path::Path};

use facegrad_files::fill_at;
use facegrad_pictures::decode::MAX_FILE_SIZE;

/// What every part begins with.
pub(crate) const MAGIC: [u8; 4] = 0xCED7_230A_u32.to_le_bytes();
/// Magic number and length.
pub(crate) const HEAD: u64 = 8;
/// Bytes of an image record before its labels: flag, label, id and a second id.
pub(crate) const IMAGE_HEADER: usize = 24;
/// Longest part: the upper three bits say how the record goes on.
pub(crate) const MAX_PART: u64 = (1 << 29) - 1;
/// Most labels of an image; insightface has two.
const MAX_LABELS: u32 = 4096;
/// Longest record: the largest image file, its header and its labels.
const MAX_RECORD: u64 = MAX_FILE_SIZE + IMAGE_HEADER as u64 + MAX_LABELS as u64 * 4;

/// Where a record is not what it should be.
#[derive(Debug)]
pub(crate) struct RecordError {
    /// The byte of the file.
    pub at: u64,
    /// What is wrong, as a clause.
    pub reason: String,
}

impl RecordError {
    fn new(at: u64, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    fn io(at: u64, error: &io::Error) -> Self {
        Self::new(at, format!("it cannot be read: {error}"))
    }
}

/// What a record says of its image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ImageHeader {
    /// How many labels lie between the header and the image; with 0 the header has the label.
    pub flag: u32,
    /// The first two labels; the header's own one if there are none, and NaN for what is not there.
    pub labels: [f32; 2],
    /// The number of the record.
    pub id: u64,
    /// Whether anything follows the labels.
    pub has_image: bool,
}

impl ImageHeader {
    /// Where the image begins.
    fn image(&self) -> usize {
        IMAGE_HEADER + self.flag as usize * 4
    }

    /// Both labels as keys, if this is a record of insightface's that has two keys and no image.
    pub fn keys(&self) -> Option<[u32; 2]> {
        let [first, last] = self.labels;
        (self.flag == 2 && !self.has_image).then(|| Some([whole(first)?, whole(last)?]))?
    }

    /// The first label as the number of an identity.
    pub fn number(&self) -> Option<u32> {
        whole(self.labels[0])
    }
}

/// A number that is a whole one and can be counted to.
fn whole(number: f32) -> Option<u32> {
    (number >= 0.0 && number < (1u32 << 31) as f32 && number.fract() == 0.0).then_some(number as u32)
}

/// How a part continues its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    First,
    Middle,
    Last,
}

/// An open RecordIO file.
#[derive(Debug)]
pub(crate) struct RecordFile {
    file: File,
    length: u64,
}

impl RecordFile {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = facegrad_files::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Makes reads that are scattered over the file, for which the system need not read ahead.
    pub fn scattered<T>(&self, reads: impl FnOnce() -> T) -> T {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // It is advice: where it is not taken, reads take longer.
            let _ = fadvise(&self.file, 0, None, Advice::Random);
            let done = reads();
            let _ = fadvise(&self.file, 0, None, Advice::Normal);
            done
        }
        #[cfg(not(target_os = "linux"))]
        reads()
    }

    /// The kind and the length of the part at `offset`, which lies in the file with all its bytes.
    fn part(&self, offset: u64, head: [u8; 8]) -> Result<(Part, u64), RecordError> {
        let [a, b, c, d, word @ ..] = head;
        if [a, b, c, d] != MAGIC {
            return Err(RecordError::new(offset, "no record begins here: its magic number is missing"));
        }
        let word = u32::from_le_bytes(word);
        let part = match word >> 29 {
            0 => Part::Whole,
            1 => Part::First,
            2 => Part::Middle,
            3 => Part::Last,
            other => {
                let reason = format!("the record has the continuation flag {other}; 0 to 3 are known");
                return Err(RecordError::new(offset, reason));
            }
        };
        let length = u64::from(word) & MAX_PART;
        let rest = self.length.saturating_sub(offset + HEAD);
        if length > rest {
            let reason = format!("the record claims {length} bytes, and the file ends after {rest}");
            return Err(RecordError::new(offset, reason));
        }
        Ok((part, length))
    }

    /// The head of the part at `offset`, as bytes.
    fn head(&self, offset: u64) -> Result<[u8; 8], RecordError> {
        let mut head = [0; 8];
        if self.length.checked_sub(offset).is_none_or(|rest| rest < HEAD) {
            let reason = format!("a record is expected here, and the file has {} bytes", self.length);
            return Err(RecordError::new(offset, reason));
        }
        fill_at(&self.file, offset, &mut head).map_err(|error| RecordError::io(offset, &error))?;
        Ok(head)
    }

    /// The bytes of the record at `offset`, put together from its parts, and where the next one begins.
    fn record(&self, offset: u64) -> Result<(Vec<u8>, u64), RecordError> {
        let (mut bytes, mut at) = (Vec::new(), offset);
        loop {
            let (part, length) = self.part(at, self.head(at)?)?;
            match part {
                Part::Whole | Part::First if at != offset => {
                    return Err(RecordError::new(
                        at,
                        "another record begins before the last part of this one",
                    ));
                }
                Part::Middle | Part::Last if at == offset => {
                    return Err(RecordError::new(at, "the record begins with its middle"));
                }
                Part::Middle | Part::Last => bytes.extend_from_slice(&MAGIC),
                Part::Whole | Part::First => {}
            }
            if bytes.len() as u64 + length > MAX_RECORD {
                let reason = format!("the record claims more than the {} MiB of a file", MAX_FILE_SIZE >> 20);
                return Err(RecordError::new(offset, reason));
            }
            let start = bytes.len();
            bytes.resize(start + length as usize, 0);
            let rest = &mut bytes[start..];
            fill_at(&self.file, at + HEAD, rest).map_err(|error| RecordError::io(at, &error))?;
            at += HEAD + length.next_multiple_of(4);
            if matches!(part, Part::Whole | Part::Last) {
                return Ok((bytes, at));
            }
        }
    }

    /// What the record at `offset` says of its image, and where the next record begins.
    pub fn header(&self, offset: u64) -> Result<(ImageHeader, u64), RecordError> {
        // One read has all there is to know of nearly every record.
        let mut start = [0; HEAD as usize + IMAGE_HEADER + 8];
        let there = self.length.saturating_sub(offset).min(start.len() as u64) as usize;
        fill_at(&self.file, offset, &mut start[..there]).map_err(|error| RecordError::io(offset, &error))?;
        if there < HEAD as usize {
            // The error is the same one wherever a record is cut short.
            self.head(offset)?;
        }
        let (head, rest) = start[..there.max(HEAD as usize)].split_at(HEAD as usize);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(head);
        let (part, length) = self.part(offset, bytes)?;
        if part != Part::Whole {
            let (bytes, next) = self.record(offset)?;
            return Ok((image_header(&bytes, bytes.len() as u64, offset)?, next));
        }
        let rest = &rest[..rest.len().min(length as usize)];
        Ok((image_header(rest, length, offset)?, offset + HEAD + length.next_multiple_of(4)))
    }

    /// Where the next record begins that is whole and has the header of an image, from `offset` on.
    pub fn resume(&self, offset: u64) -> Option<u64> {
        let mut at = offset.next_multiple_of(4);
        let mut window = vec![0; 1 << 16];
        while at < self.length {
            let there = (self.length - at).min(window.len() as u64) as usize;
            fill_at(&self.file, at, &mut window[..there]).ok()?;
            let magics = window[..there].chunks_exact(4).enumerate().filter(|(_, word)| *word == MAGIC);
            // Where its bytes would hold the magic number there, a record is cut: it begins a part.
            let mut found = magics.map(|(word, _)| at + word as u64 * 4);
            if let Some(found) = found.find(|found| self.header(*found).is_ok()) {
                return Some(found);
            }
            at += there as u64;
        }
        None
    }

    /// The image of the record at `offset`: what follows its labels.
    pub fn image(&self, offset: u64) -> Result<Vec<u8>, RecordError> {
        let mut bytes = self.record(offset)?.0;
        let header = image_header(&bytes, bytes.len() as u64, offset)?;
        if !header.has_image {
            return Err(RecordError::new(offset, "the record has no image"));
        }
        bytes.drain(..header.image());
        Ok(bytes)
    }
}

/// The header that `bytes` begin with; they are the first ones of a record of `length` bytes at `offset`.
fn image_header(bytes: &[u8], length: u64, offset: u64) -> Result<ImageHeader, RecordError> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    let number = |at: usize| word(at).map(u32::from_le_bytes);
    let real = |at: usize| word(at).map(f32::from_le_bytes);
    let header = || {
        let flag = number(0)?;
        let id = u64::from(number(8)?) | u64::from(number(12)?) << 32;
        let first = real(if flag > 0 { IMAGE_HEADER } else { 4 })?;
        let second = if flag > 1 { real(IMAGE_HEADER + 4)? } else { f32::NAN };
        Some((flag, [first, second], id))
    };
    let short = |needed: u64| {
        let reason = format!("the record has {length} bytes; the header of an image has at least {needed}");
        RecordError::new(offset, reason)
    };
    if length < IMAGE_HEADER as u64 {
        return Err(short(IMAGE_HEADER as u64));
    }
    let Some((flag, labels, id)) = header() else {
        return Err(short(IMAGE_HEADER as u64 + 4 * u64::from(number(0).unwrap_or(0))));
    };
    if flag > MAX_LABELS {
        let reason = format!("the record claims {flag} labels; {MAX_LABELS} are the most");
        return Err(RecordError::new(offset, reason));
    }
    let needed = IMAGE_HEADER as u64 + 4 * u64::from(flag);
    if length < needed {
        return Err(short(needed));
    }
    Ok(ImageHeader { flag, labels, id, has_image: length > needed })
}

/// The bytes of a record: framed, cut into parts where they hold the magic number, and padded.
///
/// `None` if they are more than a record can have.
pub(crate) fn framed(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() as u64 > MAX_PART {
        return None;
    }
    let mut framed = Vec::with_capacity(bytes.len() + 16);
    let mut part = |flag: u32, bytes: &[u8]| {
        framed.extend_from_slice(&MAGIC);
        framed.extend_from_slice(&(flag << 29 | bytes.len() as u32).to_le_bytes());
        framed.extend_from_slice(bytes);
        framed.resize(framed.len().next_multiple_of(4), 0);
    };
    let mut start = 0;
    for (word, four) in bytes.chunks_exact(4).enumerate() {
        if four == MAGIC {
            part(if start == 0 { 1 } else { 2 }, &bytes[start..word * 4]);
            start = word * 4 + 4;
        }
    }
    part(if start == 0 { 0 } else { 3 }, &bytes[start..]);
    Some(framed)
}

/// An image record: its header, its labels if there are any, and its content.
///
/// With `labels` of one number the header has it, as MXNet's `pack` does.
pub(crate) fn image_record(id: u64, labels: &[f32], image: &[u8]) -> Vec<u8> {
    let alone = if let [label] = labels { Some(*label) } else { None };
    let flag = if alone.is_some() { 0 } else { labels.len() as u32 };
    let mut bytes = Vec::with_capacity(IMAGE_HEADER + labels.len() * 4 + image.len());
    bytes.extend_from_slice(&flag.to_le_bytes());
    bytes.extend_from_slice(&alone.unwrap_or(0.0).to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&0u64.to_le_bytes());
    if alone.is_none() {
        labels.iter().for_each(|label| bytes.extend_from_slice(&label.to_le_bytes()));
    }
    bytes.extend_from_slice(image);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use facegrad_random::{Purpose, Stream};

    use super::*;

    fn file(bytes: &[u8]) -> RecordFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        RecordFile { file, length: bytes.len() as u64 }
    }

    fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn records_are_laid_out_as_dmlc_core_does() {
        assert_eq!(framed(b"").unwrap(), words(&[0xCED7_230A, 0]));
        assert_eq!(framed(b"abcde").unwrap(), [&words(&[0xCED7_230A, 5])[..], b"abcde\0\0\0"].concat());
        // Cut at the magic number, which is left out; only at multiples of four.
        let bytes = [&MAGIC[..], b"abcd", &MAGIC, b"e", &MAGIC].concat();
        let parts = [
            words(&[0xCED7_230A, 1 << 29, 0xCED7_230A, 2 << 29 | 4]),
            b"abcd".to_vec(),
            words(&[0xCED7_230A, 3 << 29 | 5]),
            [b"e", &MAGIC[..], b"\0\0\0"].concat(),
        ];
        assert_eq!(framed(&bytes).unwrap(), parts.concat());
    }

    #[test]
    fn what_was_framed_is_read_again() {
        let mut stream = Stream::new(5, Purpose::SyntheticPicture, 0, 0);
        for length in 0..200 {
            let mut image: Vec<u8> = (0..length).map(|_| stream.bits() as u8).collect();
            for _ in 0..stream.below(4) {
                let at = stream.below(image.len() + 1);
                image.splice(at..at, MAGIC);
            }
            let labels: &[f32] = if length % 2 == 0 { &[3.0] } else { &[3.0, 1.0] };
            let record = framed(&image_record(7, labels, &image)).unwrap();
            let two = file(&[record.clone(), record.clone()].concat());
            let (header, next) = two.header(0).unwrap();
            assert_eq!(next, record.len() as u64);
            assert_eq!((header.number(), header.id), (Some(3), 7));
            assert_eq!(header.has_image, !image.is_empty());
            for offset in [0, next] {
                match two.image(offset) {
                    Ok(read) => assert_eq!(read, image),
                    Err(error) => assert!(image.is_empty() && error.reason == "the record has no image"),
                }
            }
        }
    }

    #[test]
    fn records_that_lie_are_one_sentence() {
        let good = framed(&image_record(1, &[2.0], b"image")).unwrap();
        let error = |bytes: &[u8], offset| {
            let file = file(bytes);
            let (header, image) = (file.header(offset).unwrap_err(), file.image(offset).unwrap_err());
            assert_eq!((header.at, &header.reason), (image.at, &image.reason));
            header.reason
        };
        let changed = |at: usize, bytes: &[u8]| {
            let mut record = good.clone();
            record[at..at + bytes.len()].copy_from_slice(bytes);
            record
        };
        assert_eq!(error(&good, 4), "no record begins here: its magic number is missing");
        assert_eq!(error(&good, 400), "a record is expected here, and the file has 40 bytes");
        assert_eq!(error(&good[..6], 0), "a record is expected here, and the file has 6 bytes");
        assert_eq!(error(&good[..20], 0), "the record claims 29 bytes, and the file ends after 12");
        assert_eq!(
            error(&changed(4, &MAX_PART.to_le_bytes()[..4]), 0),
            "the record claims 536870911 bytes, and the file ends after 32"
        );
        assert_eq!(
            error(&changed(7, &[0xE0]), 0),
            "the record has the continuation flag 7; 0 to 3 are known"
        );
        assert_eq!(error(&changed(7, &[2 << 5]), 0), "the record begins with its middle");
        assert_eq!(
            error(&changed(4, &[23]), 0),
            "the record has 23 bytes; the header of an image has at least 24"
        );
        assert_eq!(
            error(&changed(8, &[2]), 0),
            "the record has 29 bytes; the header of an image has at least 32"
        );
        assert!(error(&changed(8, &[0xFF; 4]), 0).starts_with("the record"));
        let first = changed(7, &[1 << 5]);
        assert_eq!(error(&first, 0), "a record is expected here, and the file has 40 bytes");
        assert_eq!(
            error(&[first, good.clone()].concat(), 0),
            "another record begins before the last part of this one"
        );
    }

    #[test]
    fn a_record_larger_than_any_image_is_not_read() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 29).unwrap();
        let mut file = RecordFile { file, length: 1 << 29 };
        file.file.write_all(&words(&[0xCED7_230A, (1 << 29) - 100])).unwrap();
        let error = file.image(0).unwrap_err();
        assert_eq!(error.reason, "the record claims more than the 64 MiB of a file");
    }

    #[test]
    fn labels_are_whole_numbers_or_none() {
        for (label, number) in [
            (0.0, Some(0)),
            (85741.0, Some(85741)),
            (16_777_216.0, Some(1 << 24)),
            (-0.0, Some(0)),
            (-1.0, None),
            (0.5, None),
            (f32::NAN, None),
            (f32::INFINITY, None),
            (3e9, None),
        ] {
            assert_eq!(whole(label), number, "{label}");
        }
    }
}
