//! Landmarks from a table instead of a detector.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use facegrad_files::{TooLong, read_bounded, text_of};

use crate::{PointOrder, point_order::is_on_its_head};

/// Largest file that is read, in bytes: some ten million lines.
const MAX_FILE_SIZE: u64 = 1 << 30;
/// Longest line of a table without quotes, in bytes.
const MAX_LINE: usize = 1 << 16;
/// No coordinate is larger, in pixels; no photograph is.
const MAX_COORDINATE: f32 = 1e6;

/// Column names for the path of the image, without case, `_`, `-` and blanks.
const PATH_NAMES: [&str; 6] = ["path", "image", "imageid", "file", "filename", "name"];
/// Column names of the coordinates, likewise.
const COORDINATE_NAMES: [[&str; 2]; 10] = [
    ["lefteyex", "x1"],
    ["lefteyey", "y1"],
    ["righteyex", "x2"],
    ["righteyey", "y2"],
    ["nosex", "x3"],
    ["nosey", "y3"],
    ["leftmouthx", "x4"],
    ["leftmouthy", "y4"],
    ["rightmouthx", "x5"],
    ["rightmouthy", "y5"],
];

/// Why a file gives no landmarks.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum LandmarkFileError {
    /// It cannot be read.
    #[error("the landmarks {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// It is too large.
    #[error("the landmarks {} have more than {} MiB", path.display(), MAX_FILE_SIZE >> 20)]
    TooLarge { path: PathBuf },
    /// A line is wrong.
    #[error("the landmarks {}, line {line}: {problem}", path.display())]
    Line {
        path: PathBuf,
        /// The line, from 1; where a quoted name has several or blank ones come before, the first of these.
        line: u64,
        problem: String,
    },
    /// Most lines are of another make.
    #[error(
        "the landmarks {}: {odd} of {lines} lines do not have left eye, right eye, nose, left and right corner of the mouth \
         as one sees them, each as x and y in pixels; the first of them, of {image:?}, would fit as {order}",
        path.display()
    )]
    OtherOrder { path: PathBuf, odd: usize, lines: usize, image: String, order: PointOrder },
    /// There are no landmarks in it.
    #[error(
        "the landmarks {} have no line with a path and ten coordinates x1 y1 ... x5 y5",
        path.display()
    )]
    Empty { path: PathBuf },
}

/// The five landmarks of the face on each of many photographs, by their paths.
///
/// A line is `path x1 y1 x2 y2 x3 y3 x4 y4 x5 y5` in the order of [`Face::landmarks`](crate::Face::landmarks), between
/// commas (`.csv`), tabs (`.tsv`), or blanks; other files have the separator that their first line shows. Before the
/// lines there may be CelebA's number of lines, and a header. A header that names the columns, such as the table
/// that alignment itself writes, may have others besides; there an image without coordinates has no face.
#[derive(Debug)]
pub struct LandmarkFile {
    sha256: String,
    faces: HashMap<String, [[f32; 2]; 5]>,
    odd: HashMap<String, PointOrder>,
    /// The image of its first line with landmarks.
    first: String,
}

impl LandmarkFile {
    /// Reads the table `path`.
    ///
    /// # Errors
    /// If it cannot be read, is too large, a line is wrong, or most have their points in another order.
    pub fn read(path: &Path) -> Result<Self, LandmarkFileError> {
        let bytes = read_bounded(path, MAX_FILE_SIZE).map_err(|source| match TooLong::of(&source) {
            Some(_) => LandmarkFileError::TooLarge { path: path.into() },
            None => LandmarkFileError::Unreadable { path: path.into(), source },
        })?;
        let sha256 = facegrad_files::sha256(&bytes);
        let text = text_of(bytes).map_err(|error| LandmarkFileError::Unreadable {
            path: path.into(),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
        let mut table = Table {
            path,
            faces: HashMap::new(),
            odd: Vec::new(),
            on_head: Vec::new(),
            first: String::new(),
            columns: None,
            stated: None,
            lines: 0,
        };
        match separator(path, text.as_bytes()) {
            Some(separator) => table.add_separated(text.as_bytes(), separator)?,
            None => table.add_blanks(&text)?,
        }
        table.finish(sha256)
    }

    /// The landmarks on the image `path`, with `/` between its parts.
    pub fn get(&self, path: &str) -> Option<[[f32; 2]; 5]> {
        self.faces.get(path).copied()
    }

    /// In which order, if not in that of the table, the landmarks on the image `path` look like a face.
    pub fn odd(&self, path: &str) -> Option<PointOrder> {
        self.odd.get(path).copied()
    }

    /// The image of the first line that has landmarks.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// How many images have landmarks.
    pub fn len(&self) -> usize {
        self.faces.len()
    }

    /// Whether no image has landmarks.
    pub fn is_empty(&self) -> bool {
        self.faces.is_empty()
    }

    /// The SHA-256 of the file in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// What separates the fields of a table, if it is not blanks: by its name, or by the first line with something in it,
/// where a count alone says nothing.
fn separator(path: &Path, text: &[u8]) -> Option<u8> {
    let mut lines = text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let telling = lines.find(|line| line.iter().any(|b| !b.is_ascii_digit())).unwrap_or_default();
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    match extension.as_ref().and_then(|extension| extension.to_str()) {
        Some("csv") => Some(b','),
        Some("tsv") => Some(b'\t'),
        _ => [b'\t', b','].into_iter().find(|separator| telling.contains(separator)),
    }
}

/// The fields between blanks; if there are more than eleven, the name has blanks in it.
fn by_blanks(line: &str) -> Vec<&str> {
    let mut rest = line.trim();
    let mut fields = Vec::new();
    while fields.len() < 10
        && let Some((before, last)) = rest.rsplit_once(char::is_whitespace)
    {
        fields.push(last);
        rest = before.trim_end();
    }
    fields.push(rest);
    fields.reverse();
    fields
}

/// What is being read.
struct Table<'a> {
    path: &'a Path,
    faces: HashMap<String, [[f32; 2]; 5]>,
    /// Images whose points look like a face in another order, in the order of the lines.
    odd: Vec<(String, PointOrder)>,
    /// Images whose face stands on its head, likewise.
    on_head: Vec<String>,
    first: String,
    /// Which columns the path and the ten coordinates are in, once a header or a first line has told.
    columns: Option<Columns>,
    /// How many lines the file says it has.
    stated: Option<u64>,
    lines: u64,
}

struct Columns {
    path: usize,
    coordinates: [usize; 10],
    count: usize,
    /// Whether a header names them.
    are_named: bool,
}

/// A path and ten coordinates, nothing else.
const IN_ORDER: Columns =
    Columns { path: 0, coordinates: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], count: 11, are_named: false };

impl Table<'_> {
    fn wrong(&self, line: u64, problem: impl Into<String>) -> LandmarkFileError {
        LandmarkFileError::Line { path: self.path.into(), line, problem: problem.into() }
    }

    fn add_separated(&mut self, text: &[u8], separator: u8) -> Result<(), LandmarkFileError> {
        let mut builder = csv::ReaderBuilder::new();
        let builder = builder.delimiter(separator).has_headers(false).flexible(true);
        let mut reader = builder.from_reader(text);
        let mut record = csv::StringRecord::new();
        let line = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(()),
                Ok(true) => self.add(line(record.position()), &record.iter().collect::<Vec<_>>())?,
                Err(error) => {
                    let problem = format!("it is no line of a table ({:?})", error.kind());
                    return Err(self.wrong(line(error.position()), problem));
                }
            }
        }
    }

    fn add_blanks(&mut self, text: &str) -> Result<(), LandmarkFileError> {
        for (line, text) in (1..).zip(text.split('\n')) {
            if text.len() > MAX_LINE {
                return Err(self.wrong(line, format!("it is longer than {MAX_LINE} bytes")));
            }
            self.add(line, &by_blanks(text))?;
        }
        Ok(())
    }

    fn add(&mut self, line: u64, fields: &[&str]) -> Result<(), LandmarkFileError> {
        if fields.iter().all(|field| field.trim().is_empty()) {
            return Ok(());
        }
        let Some(columns) = &self.columns else {
            if let ([only], None) = (fields, self.stated)
                && let Ok(count) = only.trim().parse()
            {
                self.stated = Some(count);
                return Ok(());
            }
            let is_header = fields.iter().skip(1).all(|field| field.trim().parse::<f32>().is_err());
            if !is_header {
                self.columns = Some(IN_ORDER);
                return self.add(line, fields);
            }
            self.columns = Some(match named(fields) {
                Some(columns) => columns,
                // CelebA's header has no name for the path.
                None if fields.len() == 10 || fields.len() == 11 => IN_ORDER,
                None => {
                    let problem = format!(
                        "a header of {} columns in which path, left_eye_x, left_eye_y, right_eye_x, ... nose_x, \
                         ... left_mouth_x, ... right_mouth_y are not all named",
                        fields.len()
                    );
                    return Err(self.wrong(line, problem));
                }
            });
            return Ok(());
        };
        self.lines += 1;
        let (found, count) = (fields.len(), columns.count);
        if found != count {
            let problem = match columns.are_named {
                true => format!("{found} fields where the header has {count}"),
                false => format!("{found} fields instead of {count}: a path and ten coordinates"),
            };
            return Err(self.wrong(line, problem));
        }
        let (image, coordinates) = (fields[columns.path], columns.coordinates.map(|column| fields[column]));
        if image.is_empty() {
            return Err(self.wrong(line, "the path is empty"));
        }
        if coordinates.iter().all(|field| field.trim().is_empty()) {
            return Ok(());
        }
        let mut values = [0.0; 10];
        for (value, field) in values.iter_mut().zip(coordinates) {
            *value = match field.trim().parse::<f32>() {
                Ok(value) if value.abs() <= MAX_COORDINATE => value,
                _ => return Err(self.wrong(line, format!("{field:?} is no coordinate in pixels"))),
            };
        }
        let landmarks = std::array::from_fn(|i| [values[2 * i], values[2 * i + 1]]);
        let name = &facegrad_files::listed_name(image.strip_prefix("./").unwrap_or(image));
        if self.faces.is_empty() {
            self.first = name.to_owned();
        }
        self.odd.extend(PointOrder::of_odd(values).map(|order| (name.to_owned(), order)));
        if is_on_its_head(landmarks) {
            self.on_head.push(name.to_owned());
        }
        match self.faces.insert(name.to_owned(), landmarks) {
            None => Ok(()),
            Some(_) => Err(self.wrong(line, format!("a second face for the image {name:?}"))),
        }
    }

    fn finish(self, sha256: String) -> Result<LandmarkFile, LandmarkFileError> {
        let (path, lines) = (self.path, self.lines);
        if let Some(count) = self.stated.filter(|&count| count != lines) {
            return Err(self.wrong(1, format!("it says that {count} lines follow, and there are {lines}")));
        }
        if self.faces.is_empty() {
            return Err(LandmarkFileError::Empty { path: path.into() });
        }
        // One face may stand on its head; where most do, it is the table that does.
        let on_head = self.on_head.iter().map(|image| (image, PointOrder::Backwards));
        let odd = self.odd.iter().map(|(image, order)| (image, *order));
        let (odd, lines): (Vec<_>, _) = (odd.chain(on_head).collect(), self.faces.len());
        if let Some(&(image, order)) = odd.first().filter(|_| 2 * odd.len() > lines) {
            let (path, image) = (path.into(), image.clone());
            return Err(LandmarkFileError::OtherOrder { path, odd: odd.len(), lines, image, order });
        }
        Ok(LandmarkFile { sha256, faces: self.faces, odd: self.odd.into_iter().collect(), first: self.first })
    }
}

/// The columns of a header that names them all.
fn named(fields: &[&str]) -> Option<Columns> {
    let bare = |field: &&str| -> String {
        let kept = field.chars().filter(|c| !matches!(c, '_' | '-') && !c.is_whitespace());
        kept.flat_map(char::to_lowercase).collect()
    };
    let bare: Vec<String> = fields.iter().map(bare).collect();
    let find = |names: &[&str]| bare.iter().position(|field| names.contains(&field.as_str()));
    let path = find(&PATH_NAMES)?;
    let mut coordinates = [0; 10];
    for (column, names) in coordinates.iter_mut().zip(&COORDINATE_NAMES) {
        *column = find(names)?;
    }
    Some(Columns { path, coordinates, count: fields.len(), are_named: true })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FACE: [[f32; 2]; 5] = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.5], [-7.0, 8.0], [9.0, 10.0]];

    fn read(name: &str, content: impl AsRef<[u8]>) -> Result<LandmarkFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        LandmarkFile::read(&path)
            .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn tables_by_commas_tabs_and_blanks() {
        let blanks = "a/1.jpg 1 2 3 4 5 6.5 -7 8 9 10\n";
        for (name, content) in [
            ("l.csv", "a/1.jpg,1,2,3,4,5,6.5,-7,8,9,10\n".to_owned()),
            (
                "l.csv",
                "\u{feff}path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\r\n./a/1.jpg, 1,2,3,4,5,6.5,-7,8,9,10\r\n".into(),
            ),
            ("l.csv", "\"a/1.jpg\",1,2,3,4,5,6.5,-7,8,9,10".into()),
            ("l.tsv", "a/1.jpg\t1\t2\t3\t4\t5\t6.5\t-7\t8\t9\t10\n".into()),
            ("l.txt", "a/1.jpg\t1\t2\t3\t4\t5\t6.5\t-7\t8\t9\t10\n".into()),
            ("l.txt", "1\na/1.jpg,1,2,3,4,5,6.5,-7,8,9,10\n".into()),
            ("list", blanks.into()),
            ("list", blanks.replace(' ', "  ").replace('\n', " \r\n\r\n")),
            ("list", format!("1\nleft_x left_y right_x right_y nose_x nose_y ml_x ml_y mr_x mr_y\n{blanks}")),
        ] {
            let file = read(name, &content).unwrap_or_else(|error| panic!("{content:?}: {error}"));
            assert_eq!((file.len(), file.get("a/1.jpg")), (1, Some(FACE)), "{content:?}");
            assert_eq!(file.sha256(), facegrad_files::sha256(content.as_bytes()));
            assert!(!file.is_empty() && file.get("a/2.jpg").is_none());
        }
    }

    #[test]
    fn celeba_as_it_is() {
        let header = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y \
                      rightmouth_x rightmouth_y";
        let lines = "000001.jpg  69 109  106 113   77 142   73 152  108 154\n\
                     000002.jpg  69 110  107 112   81 135   70 151  108 153\n";
        let file = read("list_landmarks_align_celeba.txt", format!("2\n{header}\n{lines}")).unwrap();
        assert_eq!(file.get("000002.jpg").unwrap()[2], [81.0, 135.0]);
        let error = read("l.txt", format!("3\n{header}\n{lines}")).unwrap_err();
        assert_eq!(error, "the landmarks l.txt, line 1: it says that 3 lines follow, and there are 2");
        let kaggle = format!(
            "image_id,{}\n{}",
            header.replace(' ', ","),
            "000001.jpg,69,109,106,113,77,142,73,152,108,154\n"
        );
        assert_eq!(read("l.csv", kaggle).unwrap().get("000001.jpg").unwrap()[0], [69.0, 109.0]);
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let text = "score,Right Mouth Y,right_mouth_x,left_mouth_y,left_mouth_x,nose_y,nose_x,right_eye_y,\
                    right_eye_x,left_eye_y,left_eye_x,path\n\
                    0.9,10,9,8,-7,6.5,5,4,3,2,1,a/1.jpg\n,,,,,,,,,,,none.jpg\n";
        let file = read("l.csv", text).unwrap();
        assert_eq!((file.len(), file.get("a/1.jpg")), (1, Some(FACE)));
    }

    #[test]
    fn names_may_hold_blanks_commas_and_line_breaks() {
        let rest = "1,2,3,4,5,6.5,-7,8,9,10";
        let file = read("l.csv", format!("\"a\n\"\"b\"\", c.jpg\",{rest}\n")).unwrap();
        assert_eq!(file.get("a\\x0A\"b\", c.jpg"), Some(FACE));
        let file = read("l.txt", format!("ann lee/my  photo 2.jpg {}\n", rest.replace(',', " "))).unwrap();
        assert_eq!(file.get("ann lee/my  photo 2.jpg"), Some(FACE));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let good = "a.jpg,1,2,3,4,5,6,7,8,9,10\n";
        let long = "x".repeat(70_000);
        for (content, expected) in [
            (format!("{good}b.jpg,1,2\n"), "line 2: 3 fields instead of 11: a path and ten coordinates"),
            (format!("{good}{good}"), "line 2: a second face for the image \"a.jpg\""),
            (format!("{good}b.jpg,1,2,3,4,5,6,7,8,9,ten\n"), "line 2: \"ten\" is no coordinate in pixels"),
            (format!("{good}b.jpg,1,2,3,4,5,6,7,8,9,NaN\n"), "line 2: \"NaN\" is no coordinate in pixels"),
            (format!("{good}b.jpg,1,2,3,4,5,6,7,8,9,1e9\n"), "line 2: \"1e9\" is no coordinate in pixels"),
            (
                format!("\"b\nc.jpg\",1,2,3,4,5,6,7,8,9,10\n{good}\"d\ne\",1\n"),
                "line 4: 2 fields instead of 11: a path and ten coordinates",
            ),
            (good.replace("a.jpg", ""), "line 1: the path is empty"),
            (
                "path,x,y\n".into(),
                "line 1: a header of 3 columns in which path, left_eye_x, left_eye_y, right_eye_x, ... nose_x, ... left_mouth_x, ... right_mouth_y are not all named",
            ),
        ] {
            assert_eq!(read("l.csv", content).unwrap_err(), format!("the landmarks l.csv, {expected}"));
        }
        let error = read("l.csv", [good.as_bytes(), b"\xff,1,2,3,4,5,6,7,8,9,10\n"].concat()).unwrap_err();
        assert!(error.starts_with("the landmarks l.csv cannot be read: line 2 is no UTF-8; "), "{error}");
        let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let error = read("l.csv", [&b"\xff\xfe"[..], &utf16].concat()).unwrap_err();
        assert!(error.starts_with("the landmarks l.csv cannot be read: it is text in UTF-16; "), "{error}");
        assert_eq!(
            read("l.txt", long).unwrap_err(),
            "the landmarks l.txt, line 1: it is longer than 65536 bytes"
        );
        for empty in ["", "\n\n", "path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n"] {
            let error = read("l.csv", empty).unwrap_err();
            assert_eq!(
                error,
                "the landmarks l.csv have no line with a path and ten coordinates x1 y1 ... x5 y5"
            );
        }
        let missing = LandmarkFile::read(Path::new("no/such.csv")).unwrap_err().to_string();
        assert!(missing.starts_with("the landmarks no/such.csv cannot be read: "), "{missing}");
    }
}
