//! `.csv`: a line for each embedding, under the header `name,identity,e0,e1,...`.
//!
//! The column `identity` is there only if identities are. The origin is in a first line that begins with
//! `# facegrad origin `. Numbers have as many digits as it takes to read the same f32 again.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write as _},
    path::Path,
};

use facegrad_files::{NoText, line_of};

use super::{Format, WrittenFormat};
use crate::{
    Origin,
    error::Problem,
    limits::{MAX_DIM, MAX_ORIGIN_BYTES, Names, check_loaded},
    stored::{Rows, Set, StoredEmbeddings},
};

const ORIGIN: &str = "# facegrad origin ";

/// The longest line: the longest embedding with room for 60 characters a number.
const MAX_LINE_BYTES: u64 = 60 * MAX_DIM as u64;

/// Lines of text.
pub(crate) struct Csv;

impl Format for Csv {
    fn extension(&self) -> &'static str {
        "csv"
    }

    fn open(&self, path: &Path) -> Result<StoredEmbeddings, Problem> {
        let file = facegrad_files::open(path)?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        let start = file.fill_buf()?;
        if let Some(end) = start.iter().position(|&byte| byte == b'\n') {
            line_of(&start[..end], 1).map_err(|error| Problem::Content(error.to_string()))?;
        }
        let origin = read_origin(&mut file)?;
        let first_line = 1 + u64::from(origin.is_some());
        let line_of =
            |position: Option<&csv::Position>| position.map_or(0, csv::Position::line) + first_line - 1;
        let mut csv =
            csv::ReaderBuilder::new().has_headers(false).from_reader(Bounded { inner: file, left: 0 });
        let mut record = csv::StringRecord::new();
        let mut next = |record: &mut csv::StringRecord| {
            // What the reader has buffered was read for lines before.
            csv.get_mut().left = MAX_LINE_BYTES;
            csv.read_record(record).map_err(|error| {
                let line = line_of(error.position());
                match error.into_kind() {
                    csv::ErrorKind::Io(error) => Problem::Io(error),
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Problem::Content(format!(
                        "line {line} has {len} fields and the header has {expected_len}"
                    )),
                    _ => Problem::Content(NoText::OneByte { line: line as usize }.to_string()),
                }
            })
        };

        next(&mut record)?;
        let with_identities = record.get(1) == Some("identity");
        let before = 1 + usize::from(with_identities);
        let numbered = record.iter().skip(before).enumerate().all(|(i, column)| column == format!("e{i}"));
        if record.get(0) != Some("name") || !numbered || record.len() <= before {
            return Err(Problem::Content(format!(
                "line {first_line} is not the header name,identity,e0,e1,... (identity may be absent)"
            )));
        }
        let dim = record.len() - before;
        let (mut names, mut identities, mut numbers) = (Names::default(), Names::default(), Vec::new());
        while next(&mut record)? {
            check_loaded(names.len() + 1, dim)?;
            names.push(record[0].into())?;
            if with_identities {
                identities.push(record[1].into())?;
            }
            for number in record.iter().skip(before) {
                let content = |reason| {
                    let line = line_of(record.position());
                    Problem::Content(format!("line {line} has {number:?} {reason}"))
                };
                let read: f32 = number.parse().map_err(|_| content("where a number has to be"))?;
                if read.is_infinite() && !number.to_lowercase().contains("inf") {
                    return Err(content("which is too large for 32 bits"));
                }
                numbers.push(read);
            }
        }
        let identities = with_identities.then(|| identities.into_vec());
        Ok(StoredEmbeddings { dim, names: names.into_vec(), identities, origin, rows: Rows::Loaded(numbers) })
    }
}

impl WrittenFormat for Csv {
    fn write(&self, set: &mut Set<'_>, file: &mut File) -> Result<(), Problem> {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        if let Some(origin) = set.origin {
            writeln!(out, "{ORIGIN}{}", origin.to_json()?)?;
        }
        let mut csv = csv::Writer::from_writer(out);
        let columns = ["name"].into_iter().chain(set.identities.map(|_| "identity"));
        let numbers: Vec<String> = (0..set.dim).map(|i| format!("e{i}")).collect();
        csv.write_record(columns.chain(numbers.iter().map(String::as_str))).map_err(io::Error::from)?;
        let (names, identities, dim) = (set.names, set.identities, set.dim);
        let mut digits = String::new();
        set.for_each_batch(|rows, bytes| {
            for (row, bytes) in rows.zip(bytes.chunks(dim * 4)) {
                csv.write_field(&names[row]).map_err(io::Error::from)?;
                if let Some(identities) = identities {
                    csv.write_field(&identities[row]).map_err(io::Error::from)?;
                }
                for number in bytes.as_chunks().0 {
                    digits.clear();
                    let _ = write!(digits, "{:?}", f32::from_le_bytes(*number));
                    csv.write_field(&digits).map_err(io::Error::from)?;
                }
                csv.write_record(None::<&[u8]>).map_err(io::Error::from)?;
            }
            Ok(())
        })?;
        Ok(csv.flush()?)
    }
}

/// Reads the first line if it is an origin.
fn read_origin(file: &mut impl BufRead) -> Result<Option<Origin>, Problem> {
    if !file.fill_buf()?.starts_with(ORIGIN.as_bytes()) {
        return Ok(None);
    }
    let mut line = String::new();
    file.take((ORIGIN.len() + MAX_ORIGIN_BYTES + 1) as u64).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(Problem::Content(format!(
            "its first line is longer than {MAX_ORIGIN_BYTES} bytes, or all there is"
        )));
    }
    Ok(Some(Origin::parse(line[ORIGIN.len()..].trim_end())?))
}

/// A reader that refuses to be read on for one line without end.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.left as usize);
        if length == 0 && !buffer.is_empty() {
            let text =
                format!("a line has more than {MAX_LINE_BYTES} bytes; a quotation mark may not be closed");
            return Err(io::Error::other(text));
        }
        let read = self.inner.read(&mut buffer[..length])?;
        self.left -= read as u64;
        Ok(read)
    }
}
