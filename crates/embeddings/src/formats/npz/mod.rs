//! `.npz`: a zip archive of numpy arrays.
//!
//! Arrays: `embeddings` `[rows, dim]` in C order, `names` and `identities` `[rows]` of text, `origin` a single
//! text. Written stored, not deflated, so that rows can be read by their position.

use std::{
    fs::File,
    io::{self, BufWriter, Seek, Write},
    path::Path,
};

use facegrad_files::FileSection;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use self::{
    directory::{Directory, Entry, unpacked},
    npy::{Array, end, header},
};
use super::{Format, WrittenFormat};
use crate::{
    Origin,
    error::Problem,
    limits::{MAX_NAME_BYTES, MAX_ORIGIN_BYTES, Names},
    stored::{Rows, Set, StoredEmbeddings},
};

mod directory;
mod npy;

/// Archives with numpy arrays.
pub(crate) struct Npz;

impl Format for Npz {
    fn extension(&self) -> &'static str {
        "npz"
    }

    fn open(&self, path: &Path) -> Result<StoredEmbeddings, Problem> {
        let file = facegrad_files::open(path)?;
        let directory = Directory::read(&file)?;
        let entry = directory.entry("embeddings.npy")?;
        let entry = entry.ok_or_else(|| missing(&directory, "embeddings"))?;
        let (dim, rows, numbers) = open_rows(entry, &file).map_err(|problem| of("embeddings", problem))?;
        let text = |name: &str| match directory.entry(&format!("{name}.npy"))? {
            Some(entry) => read_texts(entry, &file, rows).map(Some).map_err(|problem| of(name, problem)),
            None => Ok(None),
        };
        let names = text("names")?;
        let names = names.ok_or_else(|| missing(&directory, "names"))?;
        let identities = text("identities")?;
        let origin = match directory.entry("origin.npy")? {
            Some(entry) => Some(read_origin(entry, &file).map_err(|problem| of("origin", problem))?),
            None => None,
        };
        Ok(StoredEmbeddings { dim, names, identities, origin, rows: numbers })
    }
}

impl WrittenFormat for Npz {
    fn write(&self, set: &mut Set<'_>, file: &mut File) -> Result<(), Problem> {
        let mut zip = ZipWriter::new(BufWriter::new(file));
        start(&mut zip, "embeddings", set.bytes())?;
        zip.write_all(&header("<f4", &[set.names.len(), set.dim]))?;
        set.for_each_batch(|_, bytes| Ok(zip.write_all(bytes)?))?;
        write_text(&mut zip, "names", &[set.names.len()], set.names)?;
        if let Some(identities) = set.identities {
            write_text(&mut zip, "identities", &[identities.len()], identities)?;
        }
        if let Some(origin) = set.origin {
            write_text(&mut zip, "origin", &[], &[origin.to_json()?])?;
        }
        zip.finish().map_err(io::Error::from)?.flush()?;
        Ok(())
    }
}

/// One array, `[rows, dim]`, whose rows are called by their numbers.
pub(crate) struct Npy;

impl Format for Npy {
    fn extension(&self) -> &'static str {
        "npy"
    }

    fn open(&self, path: &Path) -> Result<StoredEmbeddings, Problem> {
        let file = facegrad_files::open(path)?;
        let found = file.metadata()?.len();
        let array = Array::read(&mut FileSection { file: &file, at: 0, end: found })?;
        let (dim, count, rows) = array.stored(found, &file, 0)?;
        let mut names = Names::default();
        (0..count).try_for_each(|row| names.push(row.to_string()))?;
        Ok(StoredEmbeddings { dim, names: names.into_vec(), identities: None, origin: None, rows })
    }
}

/// That an array is missing, and which there are.
fn missing(directory: &Directory, name: &str) -> Problem {
    Problem::Content(format!(
        "it has no array called {name}; it has {}, and embeddings [rows, dim] and names [rows] are expected (identities \
         [rows] may be there), as numpy.savez(path, embeddings=…, names=…) writes them",
        directory.names()
    ))
}

/// A problem of the array `name`.
fn of(name: &str, problem: Problem) -> Problem {
    match problem {
        Problem::Content(text) => Problem::Content(format!("{name}: {text}")),
        other => other,
    }
}

/// Begins the file of an array of `bytes`.
fn start(zip: &mut ZipWriter<impl Write + Seek>, name: &str, bytes: u64) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        // With room for the header; beyond 4 GiB sizes take 64 bits.
        .large_file(bytes > u64::from(u32::MAX) - (64 << 10));
    zip.start_file(format!("{name}.npy"), options).map_err(io::Error::from)
}

/// Writes text as numpy keeps it: every item as long as the longest, filled up with zeros.
fn write_text(
    zip: &mut ZipWriter<impl Write + Seek>,
    name: &str,
    shape: &[usize],
    items: &[String],
) -> Result<(), Problem> {
    let width = items.iter().map(|item| item.chars().count()).max().unwrap_or(0).max(1);
    start(zip, name, items.len() as u64 * width as u64 * 4)?;
    zip.write_all(&header(&format!("<U{width}"), shape))?;
    let mut bytes = Vec::with_capacity(width * 4);
    for item in items {
        bytes.clear();
        bytes.extend(item.chars().flat_map(|c| u32::from(c).to_le_bytes()));
        bytes.resize(width * 4, 0);
        zip.write_all(&bytes)?;
    }
    Ok(())
}

/// The length of a row, how many there are, and where.
fn open_rows(entry: &Entry, file: &File) -> Result<(usize, usize, Rows), Problem> {
    let mut packed = entry.packed(file)?;
    if entry.deflated {
        let mut content = unpacked(&mut packed)?;
        return Array::read(&mut content)?.loaded(entry.size, &mut content);
    }
    let start = entry.data_start(file)?;
    packed.at = start;
    Array::read(&mut packed)?.stored(entry.size, file, start)
}

/// One text for each row.
fn read_texts(entry: &Entry, file: &File, rows: usize) -> Result<Vec<String>, Problem> {
    let mut packed = entry.packed(file)?;
    let mut content = unpacked(&mut packed)?;
    let array = Array::read(&mut content)?;
    if array.shape != [rows] {
        let shape = array.shape;
        return Err(Problem::Content(format!("its shape is {shape:?} and there are {rows} embeddings")));
    }
    let mut texts = Names::default();
    array.read_texts(rows, MAX_NAME_BYTES, &mut content, |text| texts.push(text))?;
    end(&mut content)?;
    Ok(texts.into_vec())
}

fn read_origin(entry: &Entry, file: &File) -> Result<Origin, Problem> {
    let mut packed = entry.packed(file)?;
    let mut content = unpacked(&mut packed)?;
    let array = Array::read(&mut content)?;
    if !array.shape.is_empty() {
        return Err(Problem::content("it has to be a single text, without axes"));
    }
    let mut origin = None;
    array.read_texts(1, MAX_ORIGIN_BYTES, &mut content, |text| {
        origin = Some(Origin::parse(&text)?);
        Ok(())
    })?;
    end(&mut content)?;
    origin.ok_or_else(|| Problem::content("it is empty"))
}

#[cfg(test)]
mod tests {
    use crate::EmbeddingFile;

    /// Written by numpy 2.4.6: `reference/write_embeddings.py`.
    #[test]
    fn files_that_numpy_writes_are_read() {
        let files: [(&str, &[u8]); 5] = [
            ("savez", include_bytes!("../../../reference/numpy_savez.npz")),
            ("savez_compressed", include_bytes!("../../../reference/numpy_savez_compressed.npz")),
            ("half, big-endian, bytes", include_bytes!("../../../reference/numpy_half.npz")),
            ("fortran", include_bytes!("../../../reference/numpy_fortran.npz")),
            ("double, big-endian", include_bytes!("../../../reference/numpy_double.npz")),
        ];
        for (what, bytes) in files {
            let file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let file = EmbeddingFile::open(file.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((file.len(), file.dim(), file.origin()), (3, 4, None), "{what}");
            // Entries i / 8 − 0.5, exact in every size.
            let expected: Vec<f32> = (0..12).map(|i| i as f32 / 8.0 - 0.5).collect();
            assert_eq!(file.all().unwrap(), expected, "{what}");
            assert_eq!(file.names(), ["a/1.jpg", "ü, \"b\"\n.jpg", "c 😀"], "{what}");
            match what {
                "savez_compressed" => assert_eq!(file.identities().unwrap(), ["a", "", "ç"]),
                _ => assert_eq!(file.identities(), None),
            }
        }
    }

    #[test]
    fn what_numpy_writes_otherwise_is_refused_with_what_to_do() {
        let files: [(&[u8], &str); 2] = [
            (include_bytes!("../../../reference/numpy_object.npz"), "astype(str)"),
            (include_bytes!("../../../reference/numpy_integer.npz"), "astype('float32')"),
        ];
        for (bytes, advice) in files {
            let file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let error = EmbeddingFile::open(file.path()).unwrap_err().to_string();
            assert!(error.contains(advice), "{error}");
        }
    }
}
