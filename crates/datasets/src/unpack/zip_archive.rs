//! Zip archives.

use std::io::{Read, Seek};

use zip::{ZipArchive, result::ZipError};

use super::{UnpackError, output::Output};

/// The kind of file in a Unix mode.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

pub(super) fn read(reader: impl Read + Seek, output: &mut Output<'_>) -> Result<(), UnpackError> {
    let mut archive = ZipArchive::new(reader).map_err(|error| unreadable(error, output))?;
    if archive.len() as u64 > output.most_entries() {
        return Err(output.too_much(format!("{} files and folders", output.most_entries())));
    }
    for index in 0..archive.len() {
        // Without decompression first, so that what is wrong with an entry can be said with its name.
        let entry = archive.by_index_raw(index).map_err(|error| unreadable(error, output))?;
        let name = entry.name().as_bytes().to_vec();
        if entry.encrypted() {
            return Err(
                output.refuse(&name, "is encrypted; unpack it yourself, with the password you were given")
            );
        }
        let kind = entry.unix_mode().map_or(0, |mode| mode & KIND);
        let (is_folder, size) = (entry.is_dir(), entry.size());
        drop(entry);
        if !matches!(kind, 0 | REGULAR | FOLDER) {
            return Err(
                output.refuse(&name, "is a link or a device, and only files and folders are unpacked")
            );
        }
        if is_folder {
            output.folder(&name)?;
            continue;
        }
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(error) => return Err(output.refuse(&name, format!("cannot be read ({error})"))),
        };
        output.file(&name, size, &mut entry)?;
    }
    Ok(())
}

fn unreadable(error: ZipError, output: &Output<'_>) -> UnpackError {
    output.unreadable(error.into())
}
