//! Tar archives: ustar, GNU's long names, and pax.
//!
//! Headers are read one by one and not by the library's own handling of long names, which would take as much memory
//! as the archive says.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

use super::{
    UnpackError,
    names::{LONGEST_PATH, shown},
    output::Output,
};

/// The most bytes of the attributes of one entry.
const LONGEST_ATTRIBUTES: u64 = 64 * 1024;

/// Unpacks a tar archive that is not compressed, or no longer.
pub(super) fn read(reader: impl Read, output: &mut Output<'_>) -> Result<(), UnpackError> {
    // Headers and attributes of all entries that may be there, and the padding: beyond that nothing is read.
    let overhead = output.most_entries().saturating_add(16).saturating_mul(8192);
    let left = output.most_bytes().saturating_add(overhead);
    let mut archive = Archive::new(Bounded { reader, left });
    let entries = archive.entries().map_err(|error| output.unreadable(error))?;
    let mut long_name: Option<Vec<u8>> = None;
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|error| unreadable(error, output))?;
        let kind = entry.header().entry_type();
        let name_of_next = match kind {
            EntryType::GNULongName => {
                let mut name = attributes(&mut entry, output)?;
                while name.last() == Some(&0) {
                    name.pop();
                }
                Some(name)
            }
            EntryType::XHeader => name_in_pax(&mut entry, output)?,
            // What holds for all entries: a comment, mostly.
            EntryType::XGlobalHeader => {
                attributes(&mut entry, output)?;
                None
            }
            _ => {
                let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
                match kind {
                    EntryType::Directory => output.folder(&name)?,
                    // Before 1988 a folder was a file whose name ends so.
                    EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => {
                        output.folder(&name)?
                    }
                    EntryType::Regular | EntryType::Continuous => {
                        let size = entry.size();
                        output.file(&name, size, &mut entry)?;
                    }
                    other => {
                        let what = format!("is {}, and only files and folders are unpacked", kind_of(other));
                        return Err(output.refuse(&name, what));
                    }
                }
                continue;
            }
        };
        if let Some(name) = name_of_next
            && long_name.replace(name).is_some()
        {
            let what = "gives the name of the next entry a second time";
            return Err(output.refuse(&entry.path_bytes(), what));
        }
    }
    match long_name {
        Some(name) => Err(output.refuse(&name, "is named, but not there: the archive ends before it")),
        None => Ok(()),
    }
}

/// The content of an entry that says something of other entries.
fn attributes(entry: &mut Entry<'_, impl Read>, output: &Output<'_>) -> Result<Vec<u8>, UnpackError> {
    check_attributes(entry, output)?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| unreadable(error, output))?;
    Ok(bytes)
}

fn check_attributes(entry: &Entry<'_, impl Read>, output: &Output<'_>) -> Result<(), UnpackError> {
    if entry.size() > LONGEST_ATTRIBUTES {
        let what = format!("has {} bytes of attributes, and {LONGEST_ATTRIBUTES} are allowed", entry.size());
        return Err(output.refuse(&entry.path_bytes(), what));
    }
    Ok(())
}

/// The name that a pax header gives to the next entry, if it does.
fn name_in_pax(
    entry: &mut Entry<'_, impl Read>,
    output: &Output<'_>,
) -> Result<Option<Vec<u8>>, UnpackError> {
    check_attributes(entry, output)?;
    let header = entry.path_bytes().into_owned();
    let mut name = None;
    let pax = entry.pax_extensions().map_err(|error| unreadable(error, output))?;
    for attribute in pax.into_iter().flatten() {
        let attribute = attribute.map_err(|error| unreadable(error, output))?;
        match attribute.key_bytes() {
            b"path" => name = Some(attribute.value_bytes().to_vec()),
            // Two readers that disagree on the size see two different archives.
            b"size" => return Err(output.refuse(&header, "gives the size of the next entry a second time")),
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(
                    output.refuse(&header, "announces a sparse file, and only whole files are unpacked")
                );
            }
            _ => {}
        }
    }
    match name {
        Some(name) if name.len() > LONGEST_PATH => {
            Err(output.refuse(&name, format!("has a path of more than {LONGEST_PATH} bytes")))
        }
        name => Ok(name),
    }
}

fn kind_of(kind: EntryType) -> String {
    match kind {
        EntryType::Symlink => "a symbolic link".into(),
        EntryType::Link => "a hard link".into(),
        EntryType::Char | EntryType::Block => "a device".into(),
        EntryType::Fifo => "a named pipe".into(),
        EntryType::GNUSparse => "a sparse file".into(),
        other => format!("of the kind {:?}", shown(&[other.as_byte()])),
    }
}

fn unreadable(error: io::Error, output: &Output<'_>) -> UnpackError {
    match error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) {
        true => output.too_much(format!("{} bytes and what describes them", output.most_bytes())),
        false => output.unreadable(error),
    }
}

/// A reader that ends with an error where nothing can follow that is wanted.
struct Bounded<R> {
    reader: R,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the archive is longer than what may be in it")]
struct TooLong;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(TooLong));
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.reader.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}
