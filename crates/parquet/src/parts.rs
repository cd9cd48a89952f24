//! Values that are read out of the middle of a page.
//!
//! Photographs make pages of hundreds of megabytes: pyarrow looks at the size of a page, and of a dictionary, once in
//! 1024 rows. Where such a page is not compressed, or by snappy, no more of it than a value is read: every writer of
//! snappy compresses blocks of 64 KiB on their own, so that each can be inflated without those before it. Where the
//! blocks and the values begin is noted on a first pass, which has one block in memory.
//!
//! What zstd or gzip compressed is inflated from its beginning on, and thrown away up to the value: see [`Streams`].
//!
//! Source: google/snappy, format_description.txt and snappy.h (`kBlockSize`).

use std::{fs::File, io, ops::Range, sync::Arc};

use facegrad_files::{PooledFile, fill_at};

use crate::{
    ParquetFault,
    streams::{Codec, Streams},
};

/// Bytes of a block, inflated.
const BLOCK: u64 = 1 << 16;

/// Bytes that are read at a time where few of them matter.
const WINDOW: usize = 1024;

/// A stretch of a file whose bytes, inflated, are read from any place on.
#[derive(Debug)]
pub(crate) struct Parts {
    content: Content,
    /// Its bytes, inflated; of a stream those that are claimed.
    pub(crate) length: u64,
}

#[derive(Debug)]
enum Content {
    /// Stored, or compressed by snappy.
    Blocks(Blocks),
    /// Compressed by another.
    Streams(Streams),
}

/// Blocks that are each read on their own.
#[derive(Debug)]
struct Blocks {
    file: Arc<PooledFile>,
    /// Where they begin in the file.
    start: u64,
    /// Where each begins, and where the last one ends; none where nothing is compressed.
    compressed: Option<Vec<u64>>,
}

/// A part of a page that has been read, by its number, for values that follow one another.
pub type KeptBlock = Option<(usize, Vec<u8>)>;

impl Parts {
    /// The bytes at `place` as they are.
    pub(crate) fn stored(file: Arc<PooledFile>, place: Range<u64>) -> Self {
        Self {
            content: Content::Blocks(Blocks { file, start: place.start, compressed: None }),
            length: place.end - place.start,
        }
    }

    /// What the bytes at `place` were before a codec compressed them: `length`, or fewer.
    pub(crate) fn streamed(file: Arc<PooledFile>, place: Range<u64>, codec: Codec, length: u64) -> Self {
        Self { content: Content::Streams(Streams::new(file, place, codec)), length }
    }

    /// What the bytes at `place` were before snappy compressed them; none if its blocks depend on others.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    pub(crate) fn compressed(file: Arc<PooledFile>, place: Range<u64>) -> Result<Option<Self>, ParquetFault> {
        let start = place.start;
        let handle = file.handle()?;
        let mut bytes =
            Window { file: &handle, at: place.start, end: place.end, start: 0, bytes: Vec::new() };
        let mut length = 0;
        for shift in (0..35).step_by(7) {
            let byte = bytes.number(1)?;
            length |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        if length > u64::from(u32::MAX) {
            return Err(ParquetFault::content("a page that is compressed by snappy claims more than 4 GiB"));
        }
        let (mut blocks, mut done) = (vec![bytes.at], 0);
        while done < length {
            let within = done % BLOCK;
            let tag = bytes.number(1)?;
            let (count, offset) = match tag & 3 {
                0 => {
                    let count = match tag >> 2 {
                        short @ 0..60 => short + 1,
                        long => bytes.number(long - 59)? + 1,
                    };
                    bytes.at += count;
                    (count, 0)
                }
                1 => (4 + (tag >> 2 & 7), (tag >> 5 << 8) + bytes.number(1)?),
                2 => ((tag >> 2) + 1, bytes.number(2)?),
                _ => ((tag >> 2) + 1, bytes.number(4)?),
            };
            if offset > within || within + count > BLOCK {
                return Ok(None);
            }
            done += count;
            if done.is_multiple_of(BLOCK) || done == length {
                blocks.push(bytes.at);
            }
        }
        match done == length && bytes.at <= place.end {
            true => Ok(Some(Self {
                content: Content::Blocks(Blocks { file, start, compressed: Some(blocks) }),
                length,
            })),
            false => Err(ParquetFault::content("a page that is compressed by snappy is damaged")),
        }
    }

    /// The bytes of `range`. What is read for them beyond it is `kept`, for those that follow.
    ///
    /// # Errors
    /// If there are fewer, they cannot be read, or are damaged.
    pub(crate) fn read(&self, range: Range<u64>, kept: &mut KeptBlock) -> Result<Vec<u8>, ParquetFault> {
        if range.start > range.end || range.end > self.length {
            return Err(ParquetFault::content("a value reaches beyond its page"));
        }
        let blocks = match &self.content {
            Content::Blocks(blocks) => blocks,
            Content::Streams(streams) => return streams.read(range),
        };
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        while at < range.end {
            let number = (at / BLOCK) as usize;
            let block = match kept.take() {
                Some((kept, block)) if kept == number => block,
                _ => blocks.read(number, self.length)?,
            };
            let first = (at % BLOCK) as usize;
            let last = block.len().min(first + (range.end - at) as usize);
            bytes.extend_from_slice(&block[first..last]);
            at += (last - first) as u64;
            *kept = Some((number, block));
        }
        Ok(bytes)
    }

    /// The length that is at byte `at`, in front of a string.
    pub(crate) fn length_at(&self, at: u64, kept: &mut KeptBlock) -> Result<u64, ParquetFault> {
        let bytes = self.read(at..at + 4, kept)?;
        Ok(bytes.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    /// An error if they are known to be damaged only where they end.
    pub(crate) fn check_end(&self) -> Result<(), ParquetFault> {
        match &self.content {
            Content::Blocks(_) => Ok(()),
            Content::Streams(streams) => streams.check_end(self.length),
        }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Blocks(blocks) => {
                blocks.compressed.as_ref().map_or(0, |blocks| size_of_val(&blocks[..]))
            }
            Content::Streams(_) => Streams::SIZE,
        }
    }
}

impl Blocks {
    /// A block by its number, of blocks that have `length` bytes in all.
    fn read(&self, number: usize, length: u64) -> Result<Vec<u8>, ParquetFault> {
        let start = number as u64 * BLOCK;
        let length = (length - start).min(BLOCK) as usize;
        let Some(blocks) = &self.compressed else {
            let mut block = vec![0; length];
            fill_at(&*self.file.handle()?, self.start + start, &mut block)?;
            return Ok(block);
        };
        // A stream of its own: how long it is inflated, in seven bits a byte, and the block.
        let [low, middle, high] =
            [length & 0x7f | 0x80, length >> 7 & 0x7f | 0x80, length >> 14].map(|n| n as u8);
        let mut stream = vec![0; 3 + (blocks[number + 1] - blocks[number]) as usize];
        stream[..3].copy_from_slice(&[low, middle, high]);
        fill_at(&*self.file.handle()?, blocks[number], &mut stream[3..])?;
        Ok(snap::raw::Decoder::new().decompress_vec(&stream).map_err(io::Error::other)?)
    }
}

/// Bytes of a file of which few are looked at.
struct Window<'a> {
    file: &'a File,
    /// What is looked at next.
    at: u64,
    end: u64,
    /// Where what has been read begins.
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The next number, of `count` bytes, the least first.
    fn number(&mut self, count: u64) -> Result<u64, ParquetFault> {
        let mut number = 0;
        for shift in 0..count {
            let inside = self.at.checked_sub(self.start).and_then(|at| self.bytes.get(at as usize));
            let byte = match inside {
                Some(byte) => *byte,
                None => {
                    let length = self.end.saturating_sub(self.at).min(WINDOW as u64) as usize;
                    self.bytes.resize(length, 0);
                    fill_at(self.file, self.at, &mut self.bytes)?;
                    self.start = self.at;
                    let ended =
                        || ParquetFault::content("a page that is compressed by snappy ends too early");
                    *self.bytes.first().ok_or_else(ended)?
                }
            };
            number |= u64::from(byte) << (8 * shift);
            self.at += 1;
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file that is open, and outlives its name.
    fn file_of(bytes: &[u8]) -> Arc<PooledFile> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(PooledFile::open(file.path()).unwrap())
    }

    fn compressed(bytes: &[u8]) -> Result<Option<Parts>, ParquetFault> {
        Parts::compressed(file_of(bytes), 6..6 + bytes.len() as u64)
    }

    /// Bytes that do not compress, those that do, and some that repeat over blocks.
    fn content() -> Vec<u8> {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let noise: Vec<u8> = noise.take(100_000).collect();
        [&noise[..], &[7; 200_000], &noise, b"the end"].concat()
    }

    #[test]
    fn bytes_are_read_from_any_place_on() {
        let content = content();
        let stored = Parts::stored(file_of(&content), 6..6 + content.len() as u64);
        let stream = snap::raw::Encoder::new().compress_vec(&content).unwrap();
        assert!(stream.len() < 220_000);
        for parts in [stored, compressed(&stream).unwrap().unwrap()] {
            assert_eq!(parts.length, content.len() as u64);
            let mut kept = None;
            for start in (0..content.len()).step_by(9_973) {
                for length in [0, 1, 5, 70_000, 200_000] {
                    let end = content.len().min(start + length);
                    let read = parts.read(start as u64..end as u64, &mut kept).unwrap();
                    assert!(read == content[start..end], "{start} {end}");
                }
            }
            let error = parts.read(0..content.len() as u64 + 1, &mut kept).unwrap_err();
            assert_eq!(error.to_string(), "a value reaches beyond its page");
        }
        assert_eq!(compressed(&[0]).unwrap().unwrap().length, 0);
    }

    #[test]
    fn what_depends_on_other_blocks_or_is_damaged_is_no_parts() {
        // 65,536 bytes and one more that repeats the first: a literal, and copies of the byte before.
        let mut stream = vec![0x81, 0x80, 0x04, 0x00, b'a'];
        stream.extend([0xfe, 0x01, 0x00].repeat(1023));
        // 65,473 bytes so far, and 63 more, which end the block.
        stream.extend([0xfa, 0x01, 0x00]);
        let aligned = [&stream[..], &[0x00, b'b']].concat();
        assert_eq!(snap::raw::Decoder::new().decompress_vec(&aligned).unwrap().len(), 65_537);
        assert!(compressed(&aligned).unwrap().is_some());
        let behind = [&stream[..], &[0x02, 0x01, 0x00]].concat();
        assert_eq!(snap::raw::Decoder::new().decompress_vec(&behind).unwrap().len(), 65_537);
        assert!(compressed(&behind).unwrap().is_none());
        let whole = snap::raw::Encoder::new().compress_vec(&content()).unwrap();
        for length in [0, 1, 3, 100, whole.len() - 1] {
            assert!(compressed(&whole[..length]).is_err(), "{length}");
        }
    }
}
