//! Tables of pairs: which column holds what, and what the cells mean.
//!
//! A header names the columns, in any order and among others. Without one, the cells have to say it: an
//! [`Arrangement`] is one way to read three or four of them.

use std::borrow::Cow;

use super::list::is_number;

/// What a list may answer in the column of same or different: one row of this table throughout.
const ANSWERS: [(&str, &str); 12] = [
    ("1", "0"),
    ("1", "-1"),
    ("true", "false"),
    ("t", "f"),
    ("yes", "no"),
    ("same", "different"),
    ("same", "diff"),
    ("genuine", "impostor"),
    ("genuine", "imposter"),
    ("match", "mismatch"),
    ("match", "nonmatch"),
    ("positive", "negative"),
];
/// From here on answers say what they mean, whatever the column is called.
const FIRST_WORD: usize = 5;

/// The answers of a column, read one after the other.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    /// The rows of [`ANSWERS`] that all answers so far are of.
    possible: [bool; ANSWERS.len()],
    /// Whether the column asks if the two are different.
    is_inverted: bool,
}

impl Answers {
    pub fn new(is_inverted: bool) -> Self {
        Self { possible: [true; ANSWERS.len()], is_inverted }
    }

    /// Whether the two are the same person; nothing if that is no answer, or none of the kind of those before.
    pub fn read(&mut self, cell: &str) -> Option<bool> {
        let word = cell.to_ascii_lowercase();
        let word = word.strip_suffix(".0").unwrap_or(&word);
        let (mut possible, mut answer) = ([false; ANSWERS.len()], None);
        for (row, &(yes, no)) in ANSWERS.iter().enumerate() {
            if self.possible[row] && (word == yes || word == no) {
                possible[row] = true;
                answer = Some((word == yes) != (self.is_inverted && row < FIRST_WORD));
            }
        }
        if answer.is_some() {
            self.possible = possible;
        }
        answer
    }
}

/// What the columns of images may be called beside their number or side ([`SIDES`]), in small letters without
/// anything between them.
const IMAGES: [&str; 24] = [
    "image",
    "img",
    "im",
    "path",
    "file",
    "filename",
    "filepath",
    "imagepath",
    "imgpath",
    "imagefile",
    "imgfile",
    "imagename",
    "imgname",
    "imageid",
    "imgid",
    "imagefilename",
    "face",
    "facepath",
    "photo",
    "photopath",
    "picture",
    "pic",
    "name",
    "p",
];
/// How the two columns of images are told apart.
const SIDES: [[&str; 2]; 7] =
    [["1", "2"], ["a", "b"], ["x", "y"], ["0", "1"], ["left", "right"], ["first", "second"], ["one", "two"]];
/// What the column may be called that says 1 for the same person.
const SAME: [&str; 24] = [
    "same",
    "issame",
    "actualissame",
    "sameperson",
    "issameperson",
    "sameidentity",
    "issameidentity",
    "sameid",
    "match",
    "ismatch",
    "matched",
    "label",
    "labels",
    "target",
    "y",
    "gt",
    "groundtruth",
    "genuine",
    "isgenuine",
    "mated",
    "positive",
    "ispositive",
    "identical",
    "flag",
];
/// What the column may be called that says 1 for different people.
const DIFFERENT: [&str; 12] = [
    "different",
    "isdifferent",
    "differentperson",
    "differentpeople",
    "diff",
    "isdiff",
    "impostor",
    "isimpostor",
    "imposter",
    "mismatch",
    "ismismatch",
    "notsame",
];
/// What the column of folds may be called.
const FOLD: [&str; 7] = ["fold", "folds", "foldid", "foldno", "foldnumber", "foldindex", "cvfold"];

/// The names that a header may use, in words.
pub(super) const NAMES: &str = "image1 and image2 (or path, file, img or p with 1 and 2, a and b, left and right), \
     same (or issame, match, label, genuine; different and impostor for the contrary), and fold if there are folds";

/// Which columns of a table hold what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub images: [usize; 2],
    pub same: usize,
    /// Whether that column says 1 for different people.
    pub is_inverted: bool,
    pub fold: Option<usize>,
    /// How many columns there are.
    pub width: usize,
}

impl Columns {
    /// The columns that a header names, if it names those of the images and of the answer; `row` are the cells
    /// of the line after it.
    ///
    /// The images may also have names that are not known where they are the only two columns that are left, or
    /// the only two whose cells end like files of images.
    ///
    /// # Errors
    /// Why there is no telling which they are, as a clause after "columns".
    pub fn named(header: &[Cow<'_, str>], row: Option<&[Cow<'_, str>]>) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let one_of = |known: &[&str], more: &[&str]| {
            let mut found = (0..names.len())
                .filter(|&k| known.contains(&names[k].as_str()) || more.contains(&names[k].as_str()));
            match (found.next(), found.next()) {
                (Some(first), Some(second)) => {
                    Err(format!("of which {:?} and {:?} could say the same", header[first], header[second]))
                }
                (found, _) => Ok(found),
            }
        };
        let fold = one_of(&FOLD, &[])?;
        let same = one_of(&SAME, &DIFFERENT)?;
        let images = Self::images(&names).or_else(|| {
            let others: Vec<usize> =
                (0..names.len()).filter(|&k| Some(k) != same && Some(k) != fold).collect();
            let ends_like_an_image =
                |k: &&usize| row.and_then(|row| row.get(**k)).is_some_and(|cell| is_image_file(cell));
            let files: Vec<usize> = others.iter().filter(ends_like_an_image).copied().collect();
            [files, others].into_iter().find_map(|found| <[usize; 2]>::try_from(found).ok())
        });
        match (images, same) {
            (Some(images), Some(same)) => Ok(Self {
                images,
                same,
                is_inverted: DIFFERENT.contains(&names[same].as_str()),
                fold,
                width: names.len(),
            }),
            (None, _) => Err("of which none, or more than one, are the two of the images".into()),
            (_, None) => Err("of which none says whether two images show the same person".into()),
        }
    }

    /// Whether a header names all that it has to by names that are known.
    pub fn are_all_known(header: &[Cow<'_, str>]) -> bool {
        let names: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let is_answer = |name: &String| SAME.contains(&name.as_str()) || DIFFERENT.contains(&name.as_str());
        Self::images(&names).is_some() && names.iter().any(is_answer)
    }

    /// The two columns whose names differ by their sides, if these are the only two.
    fn images(names: &[String]) -> Option<[usize; 2]> {
        // Name without side, kind of side, side, column.
        let mut sides = Vec::new();
        for (column, name) in names.iter().enumerate() {
            for (kind, pair) in SIDES.iter().enumerate() {
                for (side, word) in pair.iter().enumerate() {
                    for (at, _) in name.match_indices(word) {
                        let rest = format!("{}{}", &name[..at], &name[at + word.len()..]);
                        let alone = rest.is_empty() && word.len() > 1;
                        if alone || IMAGES.contains(&rest.as_str()) {
                            sides.push((rest, kind, side, column));
                        }
                    }
                }
            }
        }
        let second = |(rest, kind, side, _): &(String, usize, usize, usize)| {
            let other = sides.iter().find(|other| (&other.0, other.1, other.2) == (rest, *kind, 1))?;
            (*side == 0).then_some(other.3)
        };
        let mut found = sides.iter().filter_map(|first| Some([first.3, second(first)?]));
        found.next().filter(|_| found.next().is_none())
    }
}

/// A name of a column in small letters, without what is neither letter nor digit.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether a cell ends like a file of an image.
fn is_image_file(cell: &str) -> bool {
    let extension = cell.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "pgm", "ppm", "pnm"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// A way to read the cells of a table without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// `image image same`.
    SameLast,
    /// `same image image`.
    SameFirst,
    /// `image image same fold`.
    FoldLast,
    /// `same image image fold`.
    SameFirstFoldLast,
    /// `fold image image same`.
    FoldFirst,
}

impl Arrangement {
    pub const ALL: [Self; 5] =
        [Self::SameLast, Self::SameFirst, Self::FoldLast, Self::SameFirstFoldLast, Self::FoldFirst];

    pub fn columns(self) -> Columns {
        let (images, same, fold, width) = match self {
            Self::SameLast => ([0, 1], 2, None, 3),
            Self::SameFirst => ([1, 2], 0, None, 3),
            Self::FoldLast => ([0, 1], 2, Some(3), 4),
            Self::SameFirstFoldLast => ([1, 2], 0, Some(3), 4),
            Self::FoldFirst => ([1, 2], 3, Some(0), 4),
        };
        Columns { images, same, is_inverted: false, fold, width }
    }

    /// What a line says, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SameLast => "two image paths and 0 or 1",
            Self::SameFirst => "0 or 1 and two image paths",
            Self::FoldLast => "two image paths and 0 or 1 and a fold",
            Self::SameFirstFoldLast => "0 or 1 and two image paths and a fold",
            Self::FoldFirst => "a fold and two image paths and 0 or 1",
        }
    }
}

/// A line of a table.
pub(super) struct Row<'a> {
    pub images: [Cow<'a, str>; 2],
    pub same: bool,
    pub fold: usize,
}

/// Why a line is none of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadRow {
    Width(usize),
    Answer,
    Fold,
    /// A number stands where a path is expected.
    Path,
}

/// Reads the lines of a table.
#[derive(Debug, Clone)]
pub(super) struct TableReader {
    pub columns: Columns,
    answers: Answers,
    /// Whether the images are numbers, if that is to be the same throughout and was seen.
    are_numbers: Option<bool>,
    has_header: bool,
}

impl TableReader {
    pub fn with_header(columns: Columns) -> Self {
        Self { answers: Answers::new(columns.is_inverted), columns, are_numbers: None, has_header: true }
    }

    pub fn without_header(arrangement: Arrangement) -> Self {
        Self { has_header: false, ..Self::with_header(arrangement.columns()) }
    }

    pub fn read<'a>(&mut self, mut cells: Vec<Cow<'a, str>>) -> Result<Row<'a>, BadRow> {
        let Columns { images, same, fold, width, .. } = self.columns;
        if cells.len() != width {
            return Err(BadRow::Width(cells.len()));
        }
        let same = self.answers.read(&cells[same]).ok_or(BadRow::Answer)?;
        let fold = fold.map_or(Some(0), |fold| whole(&cells[fold])).ok_or(BadRow::Fold)?;
        let images = images.map(|column| std::mem::take(&mut cells[column]));
        // Where nothing but the cells says which are paths, a number beside a path is none.
        if !self.has_header {
            let are_numbers = images.each_ref().map(|image| is_number(image));
            let expected = *self.are_numbers.get_or_insert(are_numbers[0]);
            if are_numbers != [expected; 2] {
                return Err(BadRow::Path);
            }
        }
        Ok(Row { images, same, fold })
    }
}

/// A whole number, also as pandas writes those of a column where some are missing.
fn whole(cell: &str) -> Option<usize> {
    cell.strip_suffix(".0").unwrap_or(cell).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(header: &str, row: &str) -> Result<Columns, String> {
        let cells = |line: &str| line.split(',').map(|cell| Cow::Owned(cell.to_owned())).collect::<Vec<_>>();
        Columns::named(&cells(header), Some(&cells(row)))
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let row = "0,1,2,3,4,5";
        for (header, images, same, is_inverted, fold) in [
            ("image1,image2,same,fold", [0, 1], 2, false, Some(3)),
            ("img1,img2,issame,score", [0, 1], 2, false, None),
            ("fold,p1,p2,label", [1, 2], 3, false, Some(0)),
            ("fold,p1,p2,label,id1,id2,att1,att2,a1,a2,g1,g2,e1,e2", [1, 2], 3, false, Some(0)),
            ("p1,p2,different", [0, 1], 2, true, None),
            (",Path_1,Path_2,Is Same", [1, 2], 3, false, None),
            ("image_1_path,image_2_path,match", [0, 1], 2, false, None),
            ("left_image,right_image,label", [0, 1], 2, false, None),
            ("label,first,second", [1, 2], 0, false, None),
            ("file_b,file_a,target", [1, 0], 2, false, None),
            ("path_x,path_y,impostor", [0, 1], 2, true, None),
            ("img0,img1,y", [0, 1], 2, false, None),
        ] {
            let width = header.split(',').count();
            let expected = Columns { images, same, is_inverted, fold, width };
            assert_eq!(named(header, row), Ok(expected), "{header}");
        }
        // By what is left, or by what the cells end in.
        assert_eq!(named("probe,reference,same", "a,b,1").unwrap().images, [0, 1]);
        assert_eq!(named("probe,who,reference,same", "a.jpg,x,b.PNG,1").unwrap().images, [0, 2]);
        for (header, error) in [
            ("probe,who,reference,same", "of which none, or more than one, are the two of the images"),
            ("image0,image1,image2,same", "of which none, or more than one, are the two of the images"),
            ("image1,image2,verdict", "of which none says whether two images show the same person"),
            ("image1,image2,label,match", "of which \"label\" and \"match\" could say the same"),
            ("image1,image2,same,different", "of which \"same\" and \"different\" could say the same"),
        ] {
            assert_eq!(named(header, "a,b,c,1"), Err(error.into()), "{header}");
        }
    }

    #[test]
    fn answers_are_of_one_kind() {
        let read = |is_inverted: bool, cells: &[&str]| {
            let mut answers = Answers::new(is_inverted);
            cells.iter().map(|cell| answers.read(cell)).collect::<Vec<_>>()
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(read(false, &["1", "0", "1.0", "0.0", "-1", "True"]), [yes, no, yes, no, None, None]);
        assert_eq!(read(false, &["1", "-1", "0", "-1.0"]), [yes, no, None, no]);
        assert_eq!(read(false, &["TRUE", "False", "1"]), [yes, no, None]);
        assert_eq!(read(false, &["Same", "diff", "different"]), [yes, no, None]);
        assert_eq!(read(true, &["1", "0"]), [no, yes]);
        assert_eq!(read(true, &["yes", "no"]), [no, yes]);
        assert_eq!(read(true, &["same", "different"]), [yes, no]);
        assert_eq!(read(false, &["2", "0.5", "", "10"]), [None; 4]);
    }
}
