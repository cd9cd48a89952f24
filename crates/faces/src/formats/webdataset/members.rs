//! The members of a tar file: where each one's bytes are, found from header to header.
//!
//! Nothing is unpacked. What a header claims is checked against the length of the file, and the parts that are read
//! (names, extended headers) are bounded, whatever their claimed size.

use std::fs::File;

use facegrad_files::name_of_bytes;
use tar::{EntryType, Header, PaxExtensions};

use crate::formats::positioned::read_at;

/// Bytes of a block: headers are one, and content is padded to whole ones.
const BLOCK: u64 = 512;
/// Longest name of a member, in bytes: the longest path that Linux has.
const MAX_NAME: u64 = 4096;
/// Largest extended header, in bytes.
const MAX_EXTENDED: u64 = 1 << 20;
/// Bytes read at a time when going through a file.
const AHEAD: u64 = 1 << 16;

/// Where a tar file is not what it should be.
#[derive(Debug)]
pub(super) struct TarError {
    /// The byte of the file.
    pub at: u64,
    /// What is wrong, as a clause.
    pub reason: String,
}

impl TarError {
    fn new(at: u64, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link, a device, or something unknown.
    Other,
}

/// A member of a tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its path in the archive as text ([`name_of_bytes`]).
    pub name: String,
    pub kind: Kind,
    /// Bytes of its content, which lie in the file.
    pub size: u64,
    /// Where its first header begins.
    pub start: u64,
    /// Where its content begins.
    pub content: u64,
}

/// Goes through a tar file.
pub(super) struct Members<'a> {
    file: &'a File,
    length: u64,
    at: u64,
    /// Bytes read at a time.
    ahead: u64,
    /// What was read last, and from where.
    window: (u64, Vec<u8>),
    /// Whether the empty block that ends an archive was met.
    is_ended: bool,
}

/// What extended headers say of the member that follows.
#[derive(Default)]
struct ExtendedHeader {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<'a> Members<'a> {
    /// All members of a file of `length` bytes.
    pub fn of(file: &'a File, length: u64) -> Self {
        Self { file, length, at: 0, ahead: AHEAD, window: (0, Vec::new()), is_ended: false }
    }

    /// The member whose first header is at `start`.
    pub fn at(file: &'a File, length: u64, start: u64) -> Result<Member, TarError> {
        let mut members =
            Self { file, length, at: start, ahead: BLOCK, window: (0, Vec::new()), is_ended: false };
        members.next()?.ok_or_else(|| TarError::new(start, "no member begins here"))
    }

    /// The next member; `None` at the end of the archive.
    pub fn next(&mut self) -> Result<Option<Member>, TarError> {
        let start = self.at;
        let mut extended = ExtendedHeader::default();
        loop {
            let at = self.at;
            if at == self.length && at == start {
                // Archives without the empty blocks at their end are read by other programs as well.
                return Ok(None);
            }
            let block = self.bytes(at, BLOCK)?;
            let header = Header::from_byte_slice(&block);
            if block.iter().all(|byte| *byte == 0) {
                self.is_ended = at == start;
                return match self.is_ended {
                    true => Ok(None),
                    false => {
                        Err(TarError::new(at, "the archive ends after a header that belongs to a member"))
                    }
                };
            }
            if !is_checked(header) {
                let reason = "a member is expected here, and its header has a wrong checksum";
                return Err(TarError::new(at, reason));
            }
            let size = header
                .entry_size()
                .map_err(|_| TarError::new(at, "the header of the member gives no readable size"))?;
            let content = at + BLOCK;
            let kind = header.entry_type();
            match kind {
                EntryType::GNULongName => {
                    let mut name = self.short(content, size, MAX_NAME, "name")?;
                    while name.last() == Some(&0) {
                        name.pop();
                    }
                    extended.name = Some(name);
                    self.skip(content, size)?;
                }
                EntryType::GNULongLink | EntryType::XGlobalHeader => self.skip(content, size)?,
                EntryType::XHeader => {
                    let bytes = self.short(content, size, MAX_EXTENDED, "extended header")?;
                    read_extended(&bytes, &mut extended).map_err(|reason| TarError::new(content, reason))?;
                    self.skip(content, size)?;
                }
                EntryType::GNUSparse => {
                    return Err(TarError::new(at, "the member is stored as a sparse file; store it whole"));
                }
                _ => {
                    let name = extended.name.unwrap_or_else(|| header.path_bytes().into_owned());
                    let name = name_of_bytes(&name);
                    let kind = match kind {
                        // Archives older than folders mark them by the end of their name.
                        EntryType::Regular | EntryType::Continuous if !name.ends_with('/') => Kind::File,
                        EntryType::Regular | EntryType::Continuous | EntryType::Directory => Kind::Folder,
                        _ => Kind::Other,
                    };
                    // Only files have content, whatever the size of others may say.
                    let size = if kind == Kind::File { extended.size.unwrap_or(size) } else { 0 };
                    self.skip(content, size)?;
                    return Ok(Some(Member { name, kind, size, start, content }));
                }
            }
        }
    }

    /// Whether the archive has the empty block that says that nothing was cut off, once all members were met.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The content of a member of at most `limit` bytes, as what is called `what`.
    pub fn short(&mut self, content: u64, size: u64, limit: u64, what: &str) -> Result<Vec<u8>, TarError> {
        if size > limit {
            let reason = format!("a {what} of {size} bytes is claimed; {limit} are the most");
            return Err(TarError::new(content, reason));
        }
        self.bytes(content, size)
    }

    /// Goes on after content at `content`.
    fn skip(&mut self, content: u64, size: u64) -> Result<(), TarError> {
        let rest = self.length - content;
        if size > rest {
            let reason = format!("a member claims {size} bytes, and the file ends after {rest}");
            return Err(TarError::new(content, reason));
        }
        // Content at the very end may lack what pads it.
        self.at = (content + size.next_multiple_of(BLOCK)).min(self.length);
        Ok(())
    }

    /// `length` bytes from `at` on, of the window if they are in there.
    fn bytes(&mut self, at: u64, length: u64) -> Result<Vec<u8>, TarError> {
        let rest = self.length - at;
        if length > rest {
            let reason = format!("{length} bytes are expected here, and the file ends after {rest}");
            return Err(TarError::new(at, reason));
        }
        let (start, window) = &self.window;
        let is_in = at >= *start && at + length <= start + window.len() as u64;
        if !is_in {
            let read = read_at(self.file, at, length.max(self.ahead).min(rest));
            let read = read.map_err(|error| TarError::new(at, format!("it cannot be read: {error}")))?;
            self.window = (at, read);
        }
        let from = (at - self.window.0) as usize;
        Ok(self.window.1[from..from + length as usize].to_vec())
    }
}

/// Whether the sum of the bytes of a header is the one it has; some old programs added them with signs.
fn is_checked(header: &Header) -> bool {
    let Ok(expected) = header.cksum() else { return false };
    let bytes = header.as_bytes();
    // The sum counts as spaces.
    let others = || bytes[..148].iter().chain(&bytes[156..]);
    let unsigned = others().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    let signed = others().map(|byte| i32::from(*byte as i8)).sum::<i32>() + 8 * 32;
    unsigned == expected || i64::from(signed) == i64::from(expected)
}

fn read_extended(bytes: &[u8], extended: &mut ExtendedHeader) -> Result<(), String> {
    for extension in PaxExtensions::new(bytes) {
        let extension = extension.map_err(|_| "the extended header is damaged")?;
        match extension.key_bytes() {
            b"path" => {
                let name = extension.value_bytes();
                if name.len() as u64 > MAX_NAME {
                    return Err(format!(
                        "a name of {} bytes is claimed; {MAX_NAME} are the most",
                        name.len()
                    ));
                }
                extended.name = Some(name.to_vec());
            }
            b"size" => {
                let size = extension.value().ok().and_then(|size| size.parse().ok());
                extended.size = Some(size.ok_or("the extended header gives no readable size")?);
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err("the member is stored as a sparse file; store it whole".into());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> (File, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        (file, bytes.len() as u64)
    }

    fn read(bytes: &[u8]) -> Result<Vec<Member>, String> {
        let (file, length) = file(bytes);
        let (mut members, mut all) = (Members::of(&file, length), Vec::new());
        loop {
            match members.next() {
                Ok(Some(member)) => {
                    assert_eq!(Members::at(&file, length, member.start).unwrap(), member);
                    all.push(member);
                }
                Ok(None) => return Ok(all),
                Err(TarError { at, reason }) => return Err(format!("{at}: {reason}")),
            }
        }
    }

    fn header(name: &str, kind: EntryType, size: u64) -> Vec<u8> {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn padded(bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn what_the_tar_library_writes_is_read() {
        let long = format!("{}/x.jpg", "folder".repeat(40));
        for pax in [false, true] {
            let mut builder = tar::Builder::new(Vec::new());
            for (name, content) in [("a/1.jpg", &b"one"[..]), (&long, &[7; 600]), ("empty.cls", b"")] {
                let mut header = if pax { Header::new_ustar() } else { Header::new_gnu() };
                header.set_size(content.len() as u64);
                if pax {
                    builder.append_pax_extensions([("path", name.as_bytes())]).unwrap();
                    header.set_path("short").unwrap();
                    header.set_cksum();
                    builder.append(&header, content).unwrap();
                } else {
                    builder.append_data(&mut header, name, content).unwrap();
                }
            }
            let bytes = builder.into_inner().unwrap();
            let members = read(&bytes).unwrap();
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            assert_eq!(names, ["a/1.jpg", &long, "empty.cls"]);
            assert_eq!(members.iter().map(|member| member.size).collect::<Vec<_>>(), [3, 600, 0]);
            let second = &members[1];
            assert_eq!(bytes[second.content as usize..][..600], [7; 600]);
        }
    }

    #[test]
    fn links_and_folders_have_no_content() {
        let archive = [
            header("folder", EntryType::Directory, 5),
            header("old/", EntryType::Regular, 0),
            header("link", EntryType::Symlink, 99_999),
            header("device", EntryType::Block, 0),
            header("../../up.jpg", EntryType::Regular, 3),
            padded(b"abc"),
        ];
        let members = read(&archive.concat()).unwrap();
        let kinds: Vec<Kind> = members.iter().map(|member| member.kind).collect();
        assert_eq!(kinds, [Kind::Folder, Kind::Folder, Kind::Other, Kind::Other, Kind::File]);
        assert_eq!(members[4].name, "../../up.jpg");
        assert_eq!(members[4].content, 5 * 512);
    }

    #[test]
    fn sizes_may_be_octal_binary_or_extended() {
        let mut large = Header::new_gnu();
        // Base 256, as GNU tar writes sizes from 8 GiB on.
        large.as_mut_bytes()[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
        large.as_mut_bytes()[0] = b'x';
        large.set_cksum();
        assert_eq!(read(&[large.as_bytes().to_vec(), padded(b"abc")].concat()).unwrap()[0].size, 3);
        let extended = b"9 size=4\n";
        let archive = [
            header("pax", EntryType::XHeader, extended.len() as u64),
            padded(extended),
            header("x", EntryType::Regular, 0),
            padded(b"abcd"),
        ];
        assert_eq!(read(&archive.concat()).unwrap()[0].size, 4);
    }

    #[test]
    fn what_lies_or_ends_early_is_one_sentence() {
        let huge = header("x", EntryType::Regular, 0o77_777_777_777);
        assert_eq!(
            read(&huge).unwrap_err(),
            "512: a member claims 8589934591 bytes, and the file ends after 0"
        );
        let mut binary = Header::new_gnu();
        binary.as_mut_bytes()[124..136].copy_from_slice(&[0xFF; 12]);
        binary.set_cksum();
        let message = read(binary.as_bytes()).unwrap_err();
        assert!(message.starts_with("512: a member claims "), "{message}");
        for (kind, what, limit) in [
            (EntryType::GNULongName, "name", MAX_NAME),
            (EntryType::XHeader, "extended header", MAX_EXTENDED),
        ] {
            let (file, _) = file(&header("x", kind, 1 << 32));
            file.set_len(1 << 33).unwrap();
            let error = Members::of(&file, 1 << 33).next().unwrap_err();
            assert_eq!(
                error.reason,
                format!("a {what} of 4294967296 bytes is claimed; {limit} are the most")
            );
        }
        let whole = [header("x", EntryType::Regular, 600), padded(&[1; 600])].concat();
        assert_eq!(
            read(&whole[..700]).unwrap_err(),
            "512: a member claims 600 bytes, and the file ends after 188"
        );
        assert_eq!(
            read(&whole[..100]).unwrap_err(),
            "0: 512 bytes are expected here, and the file ends after 100"
        );
        assert_eq!(read(&whole[..1112]).unwrap().len(), 1);
        assert_eq!(
            read(&[&whole[..], b"rubbish"].concat()).unwrap_err(),
            "1536: 512 bytes are expected here, and the file ends after 7"
        );
        assert_eq!(
            read(&[&whole[..], &[b'r'; 512]].concat()).unwrap_err(),
            "1536: a member is expected here, and its header has a wrong checksum"
        );
        let name = [header("x", EntryType::GNULongName, 3), padded(b"abc")].concat();
        assert_eq!(read(&name).unwrap_err(), "1024: 512 bytes are expected here, and the file ends after 0");
        assert_eq!(
            read(&[name, vec![0; 1024]].concat()).unwrap_err(),
            "1024: the archive ends after a header that belongs to a member"
        );
        assert_eq!(
            read(&header("x", EntryType::GNUSparse, 0)).unwrap_err(),
            "0: the member is stored as a sparse file; store it whole"
        );
        let extended = b"22 GNU.sparse.major=1\n";
        let sparse = [header("x", EntryType::XHeader, 22), padded(extended)].concat();
        assert_eq!(read(&sparse).unwrap_err(), "512: the member is stored as a sparse file; store it whole");
        let long = format!("5014 path={}\n", "x".repeat(5003));
        let named = [header("x", EntryType::XHeader, 5014), padded(long.as_bytes())].concat();
        assert_eq!(read(&named).unwrap_err(), "512: a name of 5003 bytes is claimed; 4096 are the most");
        let damaged = [header("x", EntryType::XHeader, 4), padded(b"99 x")].concat();
        assert_eq!(read(&damaged).unwrap_err(), "512: the extended header is damaged");
    }
}
