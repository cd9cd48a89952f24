//! The lists of the benchmark.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use facegrad_files::{hexadecimal, line_of};
use facegrad_settings::choice;
use sha2::{Digest, Sha256};

use crate::{
    ListError,
    list_file::{Line, stays_inside},
};

/// Lists of more images are not read: benchmark C has 469,375.
const MAX_IMAGES: usize = 1 << 24;

/// Longer lines are not read: those of the lists have some 150 bytes.
const MAX_LINE: u64 = 4096;

choice! {
    /// The two benchmarks whose lists insightface distributes.
    pub enum IjbSet {
        /// IJB-B: 227,630 images, 12,115 templates, 8,010,270 pairs.
        B = "ijbb",
        /// IJB-C: 469,375 images, 23,124 templates, 15,658,489 pairs.
        C = "ijbc",
    }
}

/// Where the files of a benchmark are in the folder that insightface distributes, `IJBB` or `IJBC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IjbFolder {
    /// The images, 1.jpg and so on, each a loose crop around one face.
    pub images: PathBuf,
    /// Image, template, medium: see [`MediaList`].
    pub media: PathBuf,
    /// Image, landmarks, detector score: see [`FaceList`].
    pub faces: PathBuf,
    /// Template, template, same or different: see [`PairFile`](super::PairFile).
    pub pairs: PathBuf,
    /// The two galleries: see [`SubjectList`].
    pub galleries: [PathBuf; 2],
    /// The probes of still images and video frames: see [`SubjectList`].
    pub probes: PathBuf,
}

impl IjbFolder {
    /// The files of `set` in `folder`; none of them is opened.
    pub fn new(folder: &Path, set: IjbSet) -> Self {
        let meta = |name: &str| folder.join("meta").join(format!("{set}_{name}"));
        let galleries = match set {
            IjbSet::B => ["1N_gallery_S1.csv", "1N_gallery_S2.csv"],
            IjbSet::C => ["1N_gallery_G1.csv", "1N_gallery_G2.csv"],
        };
        Self {
            images: folder.join("loose_crop"),
            media: meta("face_tid_mid.txt"),
            faces: meta("name_5pts_score.txt"),
            pairs: meta("template_pair_label.txt"),
            galleries: galleries.map(meta),
            probes: meta("1N_probe_mixed.csv"),
        }
    }
}

/// The lines of a file, one at a time, hashed on the way.
pub(super) struct Lines {
    file: PathBuf,
    reader: BufReader<File>,
    hash: Sha256,
    line: usize,
    bytes: Vec<u8>,
}

impl Lines {
    pub fn open(file: &Path) -> Result<Self, ListError> {
        let unreadable = |cause| ListError::Unreadable { file: file.into(), cause };
        let opened = facegrad_files::open(file).map_err(unreadable)?;
        let reader = BufReader::with_capacity(1 << 18, opened);
        Ok(Self { file: file.into(), reader, hash: Sha256::new(), line: 0, bytes: Vec::new() })
    }

    /// The next line. Nothing but empty lines may follow an empty line.
    pub fn next(&mut self) -> Result<Option<Line<'_>>, ListError> {
        let was_read = self.advance()?;
        let number = self.line;
        if was_read && self.text()?.is_empty() {
            while self.advance()? {
                if !self.text()?.is_empty() {
                    return Err(self.wrong(
                        number,
                        "a line with text before other such lines",
                        "an empty line",
                    ));
                }
            }
            return Ok(None);
        }
        // The borrow of a text that is returned early would last, so it is taken again.
        Ok(if was_read { Some(Line { file: &self.file, number, text: self.text()? }) } else { None })
    }

    fn advance(&mut self) -> Result<bool, ListError> {
        self.bytes.clear();
        let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.bytes);
        let read = read.map_err(|cause| ListError::Unreadable { file: self.file.clone(), cause })?;
        self.hash.update(&self.bytes);
        self.line += 1;
        if read as u64 == MAX_LINE && self.bytes.last() != Some(&b'\n') {
            let expected = format!("at most {MAX_LINE} bytes");
            return Err(self.wrong(self.line, &expected, "more"));
        }
        Ok(read > 0)
    }

    fn text(&self) -> Result<&str, ListError> {
        let text = line_of(&self.bytes, self.line).map_err(|error| ListError::Unreadable {
            file: self.file.clone(),
            cause: io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
        Ok(text.trim_end())
    }

    /// An error that does not show the line.
    pub fn wrong(&self, number: usize, expected: &str, found: &str) -> ListError {
        Line { file: &self.file, number, text: "" }.found(expected, found)
    }

    /// An error for what is missing at the end of the file.
    pub fn ended(&self, expected: &str) -> ListError {
        self.wrong(self.line, expected, "the end of the file")
    }

    /// SHA-256, in hexadecimal, of the bytes of a file that was read to its end.
    pub fn sha256(self) -> String {
        hexadecimal(&self.hash.finalize())
    }
}

/// Exactly `N` fields, separated by white space.
pub(super) fn fields<'a, const N: usize>(line: &Line<'a>) -> Option<[&'a str; N]> {
    let mut fields = line.text.split_ascii_whitespace();
    let mut found = [""; N];
    for field in &mut found {
        *field = fields.next()?;
    }
    fields.next().is_none().then_some(found)
}

/// A whole number of digits only.
pub(super) fn whole(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn finite(text: &str) -> Option<f32> {
    text.parse().ok().filter(|number: &f32| number.is_finite())
}

/// The numbers by which lists call templates, in ascending order: the position of a template is that of its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateIds(Vec<u32>);

impl TemplateIds {
    fn new(mut ids: Vec<u32>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self(ids)
    }

    /// The numbers in ascending order.
    pub fn ids(&self) -> &[u32] {
        &self.0
    }

    /// The position of the template that lists call `id`.
    pub fn position(&self, id: u32) -> Option<usize> {
        self.0.binary_search(&id).ok()
    }
}

/// Which image belongs to which template and medium: `ijbc_face_tid_mid.txt`.
///
/// A line is `image template medium`, separated by spaces: a path below the folder of the images and two
/// whole numbers. The frames of one video are images of one medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaList {
    /// The names of all images one after the other, and where each ends.
    names: (String, Vec<u32>),
    templates: TemplateIds,
    /// The position of the template of each image.
    template_of: Vec<u32>,
    /// How many images of its template are of the medium of each image.
    images_of_medium: Vec<u32>,
    media: usize,
    sha256: String,
}

impl MediaList {
    /// Reads the list; lines of a template or medium need not stand together.
    ///
    /// # Errors
    /// If the file cannot be read, the first line that is not as described, or more than 2^24 lines.
    pub fn read(file: &Path) -> Result<Self, ListError> {
        const EXPECTED: &str = "image, template number and medium number, separated by spaces";
        let mut lines = Lines::open(file)?;
        let mut names = (String::new(), Vec::new());
        let mut rows: Vec<(u32, u32)> = Vec::new();
        while let Some(line) = lines.next()? {
            if rows.len() == MAX_IMAGES {
                return Err(line.wrong(format!("at most {MAX_IMAGES} images")));
            }
            let parsed = fields(&line).and_then(|[name, template, medium]| {
                Some((name, whole(template)?, whole(medium)?)).filter(|_| stays_inside(name))
            });
            let (name, template, medium) = parsed.ok_or_else(|| line.wrong(EXPECTED))?;
            names.0.push_str(name);
            let end = u32::try_from(names.0.len()).map_err(|_| line.wrong("less than 4 GiB of names"))?;
            names.1.push(end);
            rows.push((template, medium));
        }
        if rows.is_empty() {
            return Err(lines.ended(EXPECTED));
        }
        let mut media: HashMap<(u32, u32), u32> = HashMap::new();
        for &row in &rows {
            *media.entry(row).or_default() += 1;
        }
        let templates = TemplateIds::new(rows.iter().map(|row| row.0).collect());
        Ok(Self {
            names,
            template_of: rows.iter().filter_map(|row| Some(templates.position(row.0)? as u32)).collect(),
            images_of_medium: rows.iter().map(|row| media[row]).collect(),
            media: media.len(),
            templates,
            sha256: lines.sha256(),
        })
    }

    /// The number of images, which are to be embedded in the order of the list.
    pub fn images(&self) -> usize {
        self.template_of.len()
    }

    /// The number of media of templates; a medium that is in two templates counts twice.
    pub fn media(&self) -> usize {
        self.media
    }

    /// The templates.
    pub fn templates(&self) -> &TemplateIds {
        &self.templates
    }

    /// The path of an image below the folder of the images.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn name(&self, image: usize) -> &str {
        let (names, ends) = &self.names;
        let start = if image == 0 { 0 } else { ends[image - 1] };
        &names[start as usize..ends[image] as usize]
    }

    /// The position of the template of an image, and how many images of that template are of its medium.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn place(&self, image: usize) -> (usize, usize) {
        (self.template_of[image] as usize, self.images_of_medium[image] as usize)
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// What a detector found in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IjbFace {
    /// Left eye, right eye, nose, left and right corner of the mouth, as one sees them; (x, y) in pixels.
    pub landmarks: [[f32; 2]; 5],
    /// How sure the detector was, 0 at least and 1 at most in the published lists.
    pub score: f32,
}

/// The faces of all images: `ijbc_name_5pts_score.txt`.
///
/// A line is `image x y x y x y x y x y score`, separated by spaces, for the same images in the same order as
/// in the [`MediaList`].
#[derive(Debug, Clone, PartialEq)]
pub struct FaceList {
    /// The faces, in the order of the images.
    pub faces: Vec<IjbFace>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl FaceList {
    /// Reads the faces of the images of `media`.
    ///
    /// # Errors
    /// If the file cannot be read, or the first line that is not as described.
    pub fn read(file: &Path, media: &MediaList) -> Result<Self, ListError> {
        let mut lines = Lines::open(file)?;
        let mut faces = Vec::with_capacity(media.images());
        while let Some(line) = lines.next()? {
            if faces.len() == media.images() {
                return Err(line.wrong(format!("{} images, as the list of media has", faces.len())));
            }
            let fields: Option<[&str; 12]> = fields(&line);
            let face = fields.and_then(|fields| parse_face(&fields[1..]));
            let (Some([name, ..]), Some(face)) = (fields, face) else {
                return Err(line.wrong("image, ten numbers and a score of 0 at least, separated by spaces"));
            };
            if name != media.name(faces.len()) {
                let expected =
                    format!("image {} as in this line of the list of media", media.name(faces.len()));
                return Err(line.wrong(expected));
            }
            faces.push(face);
        }
        if faces.len() < media.images() {
            return Err(lines.ended(&format!("{} images, as the list of media has", media.images())));
        }
        Ok(Self { faces, sha256: lines.sha256() })
    }
}

fn parse_face(fields: &[&str]) -> Option<IjbFace> {
    let mut numbers = [0.0; 11];
    for (number, field) in numbers.iter_mut().zip(fields) {
        *number = finite(field)?;
    }
    let landmarks = std::array::from_fn(|i| [numbers[2 * i], numbers[2 * i + 1]]);
    (numbers[10] >= 0.0).then_some(IjbFace { landmarks, score: numbers[10] })
}

/// The templates of a gallery or the probes, with the people on them: `ijbc_1N_gallery_G1.csv`,
/// `ijbc_1N_gallery_G2.csv`, `ijbc_1N_probe_mixed.csv`.
///
/// The first line names the columns; `TEMPLATE_ID` and `SUBJECT_ID` are among them and the others are not
/// looked at. Each further line is an image of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectList {
    /// The file that was read.
    pub file: PathBuf,
    /// The position of each template and the number of the person on it, in the order of the positions.
    pub subjects: Vec<(u32, u32)>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl SubjectList {
    /// Reads the list.
    ///
    /// # Errors
    /// If the file cannot be read, the first line that is not as described or names a template that is not
    /// among `templates`, a template of two people, or more than 2^24 lines.
    pub fn read(file: &Path, templates: &TemplateIds) -> Result<Self, ListError> {
        const COLUMNS: &str =
            "the names of columns, TEMPLATE_ID and SUBJECT_ID among them, separated by commas";
        let mut lines = Lines::open(file)?;
        let column = |line: &Line<'_>, name| line.text.split(',').position(|column| column.trim() == name);
        let columns = lines.next()?.map(|line| {
            let columns = column(&line, "TEMPLATE_ID").zip(column(&line, "SUBJECT_ID"));
            columns.ok_or_else(|| line.wrong(COLUMNS))
        });
        let (template_column, subject_column) = columns.unwrap_or_else(|| Err(lines.ended(COLUMNS)))?;

        let mut subject_of: HashMap<u32, u32> = HashMap::new();
        let mut images = 0;
        while let Some(line) = lines.next()? {
            images += 1;
            if images > MAX_IMAGES {
                return Err(line.wrong(format!("at most {MAX_IMAGES} images")));
            }
            let field = |column| line.text.split(',').nth(column).and_then(|field| whole(field.trim()));
            let (Some(template), Some(subject)) = (field(template_column), field(subject_column)) else {
                return Err(line.wrong("whole numbers as TEMPLATE_ID and SUBJECT_ID"));
            };
            let Some(position) = templates.position(template) else {
                return Err(line.wrong("a template of the list of media"));
            };
            match subject_of.entry(position as u32) {
                Entry::Vacant(entry) => _ = entry.insert(subject),
                Entry::Occupied(entry) if *entry.get() != subject => {
                    return Err(line.wrong(format!("subject {} as before for this template", entry.get())));
                }
                Entry::Occupied(_) => {}
            }
        }
        let mut subjects: Vec<(u32, u32)> = subject_of.into_iter().collect();
        subjects.sort_unstable();
        Ok(Self { file: file.into(), subjects, sha256: lines.sha256() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use facegrad_random::{Purpose, Stream};

    use super::*;

    const MEDIA: &str = "1.jpg 7 100\n2.jpg 3 100\n3.jpg 7 101\n4.jpg 7 100\n";

    /// `read` of a file `list` with `text`, or what it says, without the folder.
    fn read<T>(text: impl AsRef<[u8]>, read: impl Fn(&Path) -> Result<T, ListError>) -> Result<T, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list");
        fs::write(&file, text).unwrap();
        let prefix = format!("{}/", folder.path().display());
        read(&file).map_err(|error| error.to_string().replace(&prefix, ""))
    }

    fn media() -> MediaList {
        read(MEDIA, MediaList::read).unwrap()
    }

    #[test]
    fn media_of_templates_need_not_stand_together() {
        let media = media();
        assert_eq!((media.images(), media.media(), media.templates().ids()), (4, 3, &[3, 7][..]));
        let places: Vec<_> = (0..4).map(|image| media.place(image)).collect();
        assert_eq!(places, [(1, 2), (0, 1), (1, 1), (1, 2)]);
        assert_eq!([0, 3].map(|image| media.name(image)), ["1.jpg", "4.jpg"]);
        assert_eq!((media.templates().position(7), media.templates().position(8)), (Some(1), None));
        // printf '1.jpg 7 100\n2.jpg 3 100\n3.jpg 7 101\n4.jpg 7 100\n' | sha256sum
        assert_eq!(media.sha256(), "4ec1e7a8b7910337e5ec8812948dfea152afa3a3d69eb9df8ff3fc99d953c17a");
        let spaced = read(
            "\u{feff}1.jpg  7\t100\r\n2.jpg 3 100 \r\n3.jpg 7 101\n4.jpg 7 100\n\n\r\n",
            MediaList::read,
        );
        assert_eq!(spaced.unwrap().place(0), (1, 2));
    }

    #[test]
    fn faces_are_those_of_the_media() {
        let line = |i| format!("{i}.jpg 1 2 3.5 4 -5 6 7 8e1 9 10 0.{i}\n");
        let faces = |lines: &[String]| read(lines.concat(), |file| FaceList::read(file, &media()));
        let list = faces(&[line(1), line(2), line(3), line(4)]).unwrap();
        let landmarks = [[1.0, 2.0], [3.5, 4.0], [-5.0, 6.0], [7.0, 80.0], [9.0, 10.0]];
        assert_eq!(list.faces[2], IjbFace { landmarks, score: 0.3 });
        assert_eq!(list.faces.len(), 4);
        assert_eq!(
            faces(&[line(1), line(2), line(4)]).unwrap_err(),
            "list:3: expected image 3.jpg as in this line of the list of media, \
             found \"4.jpg 1 2 3.5 4 -5 6 7 8e1 9 10 0.4\""
        );
        assert_eq!(
            faces(&[line(1)]).unwrap_err(),
            "list:2: expected 4 images, as the list of media has, found the end of the file"
        );
        let five = faces(&[line(1), line(2), line(3), line(4), line(5)]).unwrap_err();
        assert!(
            five.starts_with("list:5: expected 4 images, as the list of media has, found \"5.jpg"),
            "{five}"
        );
        for field in ["nan", "inf", "1e99", "x", "1,5", "1 2"] {
            let error = faces(&[line(1).replace("3.5", field)]).unwrap_err();
            assert!(error.starts_with("list:1: expected image, ten numbers and a score"), "{field}: {error}");
        }
        assert!(faces(&[line(1).replace("0.1", "-0.1")]).is_err());
    }

    #[test]
    fn people_of_templates() {
        let subjects = |text: &str| read(text, |file| SubjectList::read(file, media().templates()));
        let list = subjects("TEMPLATE_ID,SUBJECT_ID,FILENAME\n7,12,img/1.jpg\n3,5,a\n7,12,b\n").unwrap();
        assert_eq!(list.subjects, [(0, 5), (1, 12)]);
        assert_eq!(list.file.file_name().unwrap(), "list");
        let other = subjects("FILENAME,SUBJECT_ID, TEMPLATE_ID\na,5,3\nb,12,7").unwrap();
        assert_eq!(other.subjects, list.subjects);
        for (text, message) in [
            (
                "",
                "list:1: expected the names of columns, TEMPLATE_ID and SUBJECT_ID among them, separated by commas, found the end of the file",
            ),
            (
                "TEMPLATE,SUBJECT_ID\n",
                "list:1: expected the names of columns, TEMPLATE_ID and SUBJECT_ID among them, separated by commas, found \"TEMPLATE,SUBJECT_ID\"",
            ),
            (
                "TEMPLATE_ID,SUBJECT_ID\n7\n",
                "list:2: expected whole numbers as TEMPLATE_ID and SUBJECT_ID, found \"7\"",
            ),
            (
                "TEMPLATE_ID,SUBJECT_ID\n7,+1\n",
                "list:2: expected whole numbers as TEMPLATE_ID and SUBJECT_ID, found \"7,+1\"",
            ),
            (
                "TEMPLATE_ID,SUBJECT_ID\n4,1\n",
                "list:2: expected a template of the list of media, found \"4,1\"",
            ),
            (
                "TEMPLATE_ID,SUBJECT_ID\n7,1\n7,2\n",
                "list:3: expected subject 1 as before for this template, found \"7,2\"",
            ),
        ] {
            assert_eq!(subjects(text).unwrap_err(), message);
        }
    }

    #[test]
    fn errors_name_the_line_and_what_would_be_right() {
        const EXPECTED: &str = "expected image, template number and medium number, separated by spaces";
        for (text, message) in [
            ("".to_owned(), format!("list:1: {EXPECTED}, found the end of the file")),
            ("1.jpg 1\n".into(), format!("list:1: {EXPECTED}, found \"1.jpg 1\"")),
            ("1.jpg 1 2 3\n".into(), format!("list:1: {EXPECTED}, found \"1.jpg 1 2 3\"")),
            ("1.jpg 1 2\n2.jpg -1 2\n".into(), format!("list:2: {EXPECTED}, found \"2.jpg -1 2\"")),
            ("1.jpg 4294967296 2\n".into(), format!("list:1: {EXPECTED}, found \"1.jpg 4294967296 2\"")),
            ("../1.jpg 1 2\n".into(), format!("list:1: {EXPECTED}, found \"../1.jpg 1 2\"")),
            ("/1.jpg 1 2\n".into(), format!("list:1: {EXPECTED}, found \"/1.jpg 1 2\"")),
            (
                "1.jpg 1 2\n\n \n2.jpg 1 2\n".into(),
                "list:2: expected a line with text before other such lines, found an empty line".into(),
            ),
            ("x".repeat(5000), "list:1: expected at most 4096 bytes, found more".into()),
        ] {
            assert_eq!(read(&text, MediaList::read).unwrap_err(), message, "{text:?}");
        }
        assert_eq!(
            read(b"1.jpg 1 2\n\xff 1 2\n", MediaList::read).unwrap_err(),
            "cannot read the list list: line 2 is no UTF-8; if it is text in Latin-1, store it as UTF-8, such as with `iconv -f latin1 -t utf-8`"
        );
        let missing = MediaList::read(Path::new("missing/list")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read the list missing/list: "), "{missing}");
    }

    #[test]
    fn damaged_text_ends_in_a_sentence_or_a_list() {
        let mut stream = Stream::new(1, Purpose::Pairs, 0, 0);
        for _ in 0..2000 {
            let mut damaged = MEDIA.as_bytes().to_vec();
            for _ in 0..=stream.below(3) {
                let place = stream.below(damaged.len());
                damaged[place] =
                    [b'\t', b'\n', b'\r', b' ', b'9', b'-', 0xff, 0, b'/', b'.'][stream.below(10)];
            }
            damaged.truncate(1 + stream.below(2 * damaged.len()));
            match read(&damaged, MediaList::read) {
                Ok(list) => assert!((1..=4).contains(&list.images()) && list.media() <= list.images()),
                Err(message) => {
                    let begins = ["list:", "cannot read the list list: "];
                    assert!(begins.iter().any(|begin| message.starts_with(begin)), "{message}");
                }
            }
        }
    }

    #[test]
    fn files_of_a_benchmark() {
        let folder = IjbFolder::new(Path::new("data/IJBC"), IjbSet::C);
        assert_eq!(folder.media, Path::new("data/IJBC/meta/ijbc_face_tid_mid.txt"));
        assert_eq!(folder.galleries[1], Path::new("data/IJBC/meta/ijbc_1N_gallery_G2.csv"));
        let folder = IjbFolder::new(Path::new("IJBB"), IjbSet::B);
        assert_eq!(folder.galleries[0], Path::new("IJBB/meta/ijbb_1N_gallery_S1.csv"));
        assert_eq!(folder.pairs, Path::new("IJBB/meta/ijbb_template_pair_label.txt"));
    }
}
