//! What was compressed as a whole, read from any place on without being in memory.
//!
//! zstd and gzip let nothing be read but from the beginning. Some streams are kept where they are, so that threads that
//! read values in order, or nearly so, inflate a page once; what lies before all of them begins anew.

use std::{
    fmt,
    io::{self, Read},
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use facegrad_files::{FileSection, PooledFile};
use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;

use crate::ParquetFault;

/// Streams of a page that are open at a time; threads wait for one.
const MOST: usize = 4;

/// A compression that is inflated from the beginning on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Zstd,
    Gzip,
}

impl Codec {
    /// That of a column; none if it has none, or blocks of its own.
    pub(crate) fn of(compression: Compression) -> Option<Self> {
        match compression {
            Compression::ZSTD(_) => Some(Self::Zstd),
            Compression::GZIP(_) => Some(Self::Gzip),
            _ => None,
        }
    }

    /// What `compressed` was before.
    ///
    /// # Errors
    /// If there is no memory for a decoder.
    pub(crate) fn inflated<'a>(
        self,
        compressed: impl Read + Send + 'a,
    ) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Zstd => Box::new(zstd::Decoder::new(compressed)?),
            Self::Gzip => Box::new(MultiGzDecoder::new(compressed)),
        })
    }
}

/// A stretch of a file that is inflated as far as the end of a value.
#[derive(Debug)]
pub(crate) struct Streams {
    file: Arc<PooledFile>,
    place: Range<u64>,
    codec: Codec,
    open: Mutex<Open>,
    /// Told when a stream is no longer in use.
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    /// Streams that are not in use, the one used last at the end.
    idle: Vec<Stream>,
    /// All streams.
    count: usize,
}

/// A stream, and how many bytes of it have been inflated.
struct Stream {
    at: u64,
    inflated: Box<dyn Read + Send>,
}

/// A stream in use, which is idle again when this ends; none if it has yet to be begun, or is damaged.
struct InUse<'a> {
    streams: &'a Streams,
    stream: Option<Stream>,
}

impl Streams {
    /// Bytes of memory that they take: at the usual levels of zstd the window of a large page has 2 MiB.
    pub(crate) const SIZE: usize = MOST << 21;

    pub(crate) fn new(file: Arc<PooledFile>, place: Range<u64>, codec: Codec) -> Self {
        Self { file, place, codec, open: Mutex::default(), returned: Condvar::new() }
    }

    /// The inflated bytes of `range`.
    ///
    /// # Errors
    /// If there are fewer, they cannot be read, or are damaged.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ParquetFault> {
        self.with_nearest(range.start, |stream| stream.read(range))
    }

    /// An error unless they have `length` bytes, and the checksum behind those, if there is one.
    pub(crate) fn check_end(&self, length: u64) -> Result<(), ParquetFault> {
        self.with_nearest(length, |stream| {
            stream.read(length..length)?;
            match stream.inflated.read(&mut [0])? {
                0 => Ok(()),
                _ => Err(ParquetFault::content("a page is longer than it claims")),
            }
        })
    }

    /// The result of `work` with the stream that has least to pass over up to byte `start`.
    fn with_nearest<T>(
        &self,
        start: u64,
        work: impl FnOnce(&mut Stream) -> Result<T, ParquetFault>,
    ) -> Result<T, ParquetFault> {
        let mut used = self.nearest(start);
        let mut stream = match used.stream.take() {
            Some(stream) => stream,
            None => {
                let Range { start: at, end } = self.place;
                let stored = StoredBytes { file: self.file.clone(), at, end };
                Stream { at: 0, inflated: self.codec.inflated(stored)? }
            }
        };
        let result = work(&mut stream)?;
        used.stream = Some(stream);
        Ok(result)
    }

    /// The stream that has least to pass over up to byte `start`.
    fn nearest(&self, start: u64) -> InUse<'_> {
        let mut open = self.lock();
        let stream = loop {
            let before = open.idle.iter().enumerate().filter(|(_, stream)| stream.at <= start);
            if let Some((nearest, _)) = before.max_by_key(|(_, stream)| stream.at) {
                break Some(open.idle.remove(nearest));
            }
            if open.count < MOST {
                open.count += 1;
                break None;
            }
            if !open.idle.is_empty() {
                open.idle.remove(0);
                break None;
            }
            open = self.returned.wait(open).unwrap_or_else(PoisonError::into_inner);
        };
        InUse { streams: self, stream }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        match self.stream.take() {
            Some(stream) => open.idle.push(stream),
            None => open.count -= 1,
        }
        self.streams.returned.notify_one();
    }
}

impl Stream {
    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, ParquetFault> {
        let before = range.start - self.at;
        let passed = io::copy(&mut self.inflated.by_ref().take(before), &mut io::sink())?;
        let mut bytes = Vec::new();
        self.inflated.by_ref().take(range.end - range.start).read_to_end(&mut bytes)?;
        match passed == before && bytes.len() as u64 == range.end - range.start {
            true => {
                self.at = range.end;
                Ok(bytes)
            }
            false => Err(ParquetFault::content("a value reaches beyond its page")),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Stream").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A stretch of a file that is open only while it is read.
struct StoredBytes {
    file: Arc<PooledFile>,
    at: u64,
    end: u64,
}

impl Read for StoredBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let handle = self.file.handle()?;
        let read = FileSection { file: &*handle, at: self.at, end: self.end }.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    /// What is at `at` in the content of the tests.
    fn byte(at: u64) -> u8 {
        (at * at % 251) as u8
    }

    const LENGTH: u64 = 300_000;

    fn streams(codec: Codec, end: impl Fn(u64) -> u64) -> Streams {
        let content: Vec<u8> = (0..LENGTH).map(byte).collect();
        let compressed = match codec {
            Codec::Zstd => zstd::encode_all(&content[..], 1).unwrap(),
            Codec::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&content).unwrap();
                encoder.finish().unwrap()
            }
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(&compressed).unwrap();
        let place = 6..6 + end(compressed.len() as u64);
        Streams::new(Arc::new(PooledFile::open(file.path()).unwrap()), place, codec)
    }

    #[test]
    fn bytes_are_read_from_any_place_on() {
        for codec in [Codec::Zstd, Codec::Gzip] {
            let streams = streams(codec, |length| length);
            let read = |start: u64, length: u64| {
                let bytes = streams.read(start..start + length).unwrap();
                assert!(bytes.iter().copied().eq((start..start + length).map(byte)), "{codec:?} {start}");
            };
            for start in (0..LENGTH - 100).step_by(9_973).chain([7, 200_000, 3, 299_000, 150_000, 0]) {
                read(start, 100);
                read(start, 0);
            }
            std::thread::scope(|scope| {
                for thread in 0..3 * MOST as u64 {
                    let read = &read;
                    scope
                        .spawn(move || (0..20).for_each(|i| read((i * 13_007 + thread * 31) % 290_000, 500)));
                }
            });
            let open = streams.lock();
            assert!((1..=MOST).contains(&open.count) && open.idle.len() == open.count, "{open:?}");
        }
    }

    /// Values in order are read by one pass, however often another is begun in between.
    #[test]
    fn the_nearest_stream_goes_on() {
        let streams = streams(Codec::Zstd, |length| length);
        let places = || {
            let mut places: Vec<u64> = streams.lock().idle.iter().map(|stream| stream.at).collect();
            places.sort_unstable();
            places
        };
        streams.read(100..200).unwrap();
        streams.read(5_000..6_000).unwrap();
        assert_eq!(places(), [6_000]);
        streams.read(50..60).unwrap();
        streams.read(6_001..6_002).unwrap();
        assert_eq!(places(), [60, 6_002]);
        for start in [40, 30, 20, 10] {
            streams.read(start..start + 1).unwrap();
        }
        // Most are open: the one that has been idle for longest is given up.
        assert_eq!(places(), [11, 21, 31, 41]);
    }

    #[test]
    fn what_is_damaged_ends_in_a_sentence() {
        for codec in [Codec::Zstd, Codec::Gzip] {
            let whole = streams(codec, |length| length);
            let error = whole.read(LENGTH - 1..LENGTH + 1).unwrap_err().to_string();
            assert_eq!(error, "a value reaches beyond its page");
            assert_eq!(whole.read(LENGTH + 5..LENGTH + 6).unwrap_err().to_string(), error);
            assert_eq!(whole.lock().count, 0);
            assert_eq!(whole.read(0..1).unwrap(), [byte(0)]);
            whole.check_end(LENGTH).unwrap();
            assert_eq!(
                whole.check_end(LENGTH - 1).unwrap_err().to_string(),
                "a page is longer than it claims"
            );
            assert_eq!(whole.check_end(LENGTH + 1).unwrap_err().to_string(), error);
            let cut = streams(codec, |length| length / 2);
            assert!(cut.read(0..LENGTH).is_err(), "{codec:?}");
            assert!(streams(codec, |_| 0).read(0..1).is_err(), "{codec:?}");
        }
    }
}
