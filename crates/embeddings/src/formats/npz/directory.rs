//! The directory of a zip archive: where its files are.
//!
//! It is read here, within bounds, because what an archive claims about itself would otherwise decide how much
//! memory is taken. Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.14 to 4.3.16.

use std::{
    fs::File,
    io::{self, BufReader, Read},
};

use facegrad_files::{FileSection, fill_at};

use crate::error::Problem;

/// Arrays that numpy wrote for something else may lie in the archive as well.
const MAX_ENTRIES: u64 = 4096;
const MAX_DIRECTORY_BYTES: u64 = 1 << 20;

/// The end record, without its comment, and the longest comment.
const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: u64 = 65_535;

/// The files of an archive.
#[derive(Debug)]
pub(super) struct Directory(Vec<Entry>);

/// One file of an archive.
#[derive(Debug)]
pub(super) struct Entry {
    name: Vec<u8>,
    /// Bytes in the archive.
    packed: u64,
    /// Bytes of the file itself.
    pub(super) size: u64,
    /// Whether it is deflated; it is stored otherwise.
    pub(super) deflated: bool,
    /// The problem of a file that cannot be read.
    problem: Option<&'static str>,
    /// Where its local header is.
    header: u64,
    /// What it must end before.
    end: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn damaged() -> Problem {
    Problem::content("it is no intact zip archive (.npz); it may be truncated")
}

impl Directory {
    /// Reads the directory of the archive.
    pub(super) fn read(file: &File) -> Result<Self, Problem> {
        let length = file.metadata()?.len();
        let (start, bytes, entries) = find(file, length)?.ok_or_else(damaged)?;
        if bytes > MAX_DIRECTORY_BYTES || entries > MAX_ENTRIES {
            return Err(Problem::Content(format!(
                "it is an archive of {entries} files; an .npz with embeddings has four"
            )));
        }
        if start.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(damaged());
        }
        let mut directory = vec![0; bytes as usize];
        fill_at(file, start, &mut directory)?;
        let mut rest = directory.as_slice();
        let parsed: Option<Vec<Entry>> = (0..entries).map(|_| entry(&mut rest, start)).collect();
        Ok(Self(parsed.ok_or_else(damaged)?))
    }

    /// What the arrays are called, as one would say them.
    pub(super) fn names(&self) -> String {
        let name = |entry: &Entry| {
            let name = String::from_utf8_lossy(&entry.name);
            name.strip_suffix(".npy").unwrap_or(&name).to_owned()
        };
        match self.0.len() {
            0 => "none".into(),
            _ => self.0.iter().map(name).collect::<Vec<_>>().join(", "),
        }
    }

    /// The file called `name`, if there is one.
    pub(super) fn entry(&self, name: &str) -> Result<Option<&Entry>, Problem> {
        let mut found = self.0.iter().filter(|entry| entry.name == name.as_bytes());
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Problem::Content(format!("it holds {name} twice"))),
            (Some(Entry { problem: Some(problem), .. }), _) => {
                Err(Problem::Content(format!("{name} {problem}; save it with numpy.savez")))
            }
            (entry, _) => Ok(entry),
        }
    }
}

/// Start, bytes and number of entries of the directory.
fn find(file: &File, length: u64) -> io::Result<Option<(u64, u64, u64)>> {
    let tail = length.min(END_BYTES as u64 + MAX_COMMENT_BYTES);
    let mut bytes = vec![0; tail as usize];
    fill_at(file, length - tail, &mut bytes)?;
    // The comment must reach to the end of the file.
    let is_end = |at: &usize| {
        let comment = bytes.len() - at - END_BYTES;
        bytes[*at..].starts_with(b"PK\x05\x06") && u16_at(&bytes, at + 20) == Some(comment as u64)
    };
    let last = bytes.len().checked_sub(END_BYTES);
    let Some(at) = last.and_then(|last| (0..=last).rev().find(is_end)) else { return Ok(None) };
    let end = &bytes[at..];
    let small = || Some((u32_at(end, 16)?, u32_at(end, 12)?, u16_at(end, 10)?));
    let Some((start, size, entries)) = small() else { return Ok(None) };
    if start != u64::from(u32::MAX) && size != u64::from(u32::MAX) && entries != u64::from(u16::MAX) {
        return Ok(Some((start, size, entries)));
    }
    // Numbers of 64 bits are in a record of their own; where it is, is said just before.
    let Some(locator) = at.checked_sub(20).map(|at| &bytes[at..]) else { return Ok(None) };
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    let Some(at) = u64_at(locator, 8).filter(|at| at.checked_add(56).is_some_and(|end| end <= length)) else {
        return Ok(None);
    };
    let mut record = [0; 56];
    fill_at(file, at, &mut record)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Ok(None);
    }
    let large = || Some((u64_at(&record, 48)?, u64_at(&record, 40)?, u64_at(&record, 32)?));
    Ok(large())
}

/// Takes an entry from the front of the directory, which starts at `end` of the file.
fn entry(rest: &mut &[u8], end: u64) -> Option<Entry> {
    if !rest.starts_with(b"PK\x01\x02") {
        return None;
    }
    let (flags, method) = (u16_at(rest, 8)?, u16_at(rest, 10)?);
    let (mut packed, mut size, mut header) = (u32_at(rest, 20)?, u32_at(rest, 24)?, u32_at(rest, 42)?);
    let lengths = [u16_at(rest, 28)?, u16_at(rest, 30)?, u16_at(rest, 32)?].map(|length| length as usize);
    let (name, behind) = rest.get(46..)?.split_at_checked(lengths[0])?;
    let (mut extra, behind) = behind.split_at_checked(lengths[1])?;
    *rest = behind.get(lengths[2]..)?;
    while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let (field, behind) = extra.get(4..)?.split_at_checked(length as usize)?;
        if id == 1 {
            // Only numbers that do not fit into 32 bits are there, in this order.
            let mut at = 0;
            for number in [&mut size, &mut packed, &mut header] {
                if *number == u64::from(u32::MAX) {
                    *number = u64_at(field, at)?;
                    at += 8;
                }
            }
        }
        extra = behind;
    }
    let problem = match (method, flags & 1) {
        (_, 1) => Some("is encrypted"),
        (0 | 8, _) => None,
        _ => Some("is compressed in a way that numpy does not use"),
    };
    if method == 0 && packed != size {
        return None;
    }
    Some(Entry { name: name.into(), packed, size, deflated: method == 8, problem, header, end })
}

impl Entry {
    /// Where its bytes begin.
    pub(super) fn data_start(&self, file: &File) -> Result<u64, Problem> {
        if self.header.checked_add(30).is_none_or(|end| end > self.end) {
            return Err(damaged());
        }
        let mut local = [0; 30];
        fill_at(file, self.header, &mut local)?;
        let lengths = || Some(30 + u16_at(&local, 26)? + u16_at(&local, 28)?);
        let start = lengths().filter(|_| local.starts_with(b"PK\x03\x04")).map(|length| self.header + length);
        let fits = |start: &u64| start.checked_add(self.packed).is_some_and(|end| end <= self.end);
        start.filter(fits).ok_or_else(damaged)
    }

    /// Its bytes as they are in the archive, behind the local header that [`unpacked`] reads.
    pub(super) fn packed<'a>(&self, file: &'a File) -> Result<FileSection<&'a File>, Problem> {
        let end = self.data_start(file)? + self.packed;
        // Whatever the local header says: nothing behind the end can be read.
        Ok(FileSection { file, at: self.header, end })
    }
}

/// The bytes of a file of an archive; reading to the end checks their checksum.
pub(super) fn unpacked<'a>(packed: &'a mut FileSection<&File>) -> Result<impl Read + 'a, Problem> {
    let file = zip::read::read_zipfile_from_stream(packed).map_err(io::Error::from)?;
    Ok(BufReader::new(file.ok_or_else(damaged)?))
}
