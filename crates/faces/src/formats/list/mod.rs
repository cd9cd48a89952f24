//! A list of images: a text file of `path label` lines, a table in CSV or TSV, or a `.lst` of im2rec or insightface.

use std::path::{Path, PathBuf};

use facegrad_files::{LookAlike, folder_of, hexadecimal, name_of, path_of, read_bounded, text_of};
use facegrad_settings::{choice, settings};
use sha2::{Digest, Sha256};

use self::parse::Texts;
use facegrad_pictures::decode::read_file;

use super::{
    Format, LabelGaps, LabelNeed, OpenSet, Place, SourceError, SourceKind, Summary, has_extension,
    labelled::{Images, LabelledImages, add_text},
    labels::Labels,
};
use crate::{StoredImage, find_image, without_extension};

mod columns;
mod parse;
mod table;

/// Extensions of the files that are taken for lists, in any case.
const EXTENSIONS: [&str; 4] = ["txt", "csv", "tsv", "lst"];

/// Images that are looked for when a list is opened.
const LOOKED_FOR: usize = 16;

/// Longest list, in bytes: some 17 million lines.
const MAX_LIST: u64 = 1 << 30;

choice! {
    /// What comes first on a line of a list without a header.
    pub enum ListOrder {
        /// What looks like an image file is the path; the path comes first if nothing does.
        Auto = "auto",
        /// The path, then the label.
        PathLabel = "path_label",
        /// The label, then the path.
        LabelPath = "label_path",
    }
}

settings! {
    /// Images that a text file lists with their labels.
    pub struct ListConfig {
        /// The list, one image a line: path and label separated by a tab, a comma, a semicolon or spaces, a table whose
        /// first line names its columns, or a `.lst` of im2rec or insightface. Lines that begin with # are comments.
        path: PathBuf = PathBuf::new();
        /// The folder that paths of the list are relative to; that of the list if absent. The list may lead out of it.
        root: Option<PathBuf> = None;
        /// What comes first on a line. A header and the columns of a `.lst` say it themselves.
        order: ListOrder = ListOrder::Auto;
        /// The column of paths of a list with a header; found by its name, or as the only one of images, if absent.
        image_key: Option<String> = None;
        /// The column of labels of a list with a header; found by its name, or as the only one left, if absent.
        label_key: Option<String> = None;
        /// What to do if the labels are numbers and some number below the greatest has no image.
        label_gaps: LabelGaps = LabelGaps::Refuse;
    }
}

impl Format for ListConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        let is_list = path.is_file() && has_extension(path, &EXTENSIONS);
        is_list.then(|| Self { path: path.into(), ..Self::default() }.into())
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "the list of images with their labels"))
    }

    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError> {
        let bytes = read_bounded(&self.path, MAX_LIST).map_err(|source| {
            SourceError::unreadable(&self.path, "a list of images with their labels", source)
        })?;
        let mut list = read(bytes, self, need)?;
        let note = check_images(&list.images, &self.path)?;
        list.summary.notes.extend(note);
        Ok(list.open())
    }
}

impl ListConfig {
    /// The folder that paths are relative to.
    fn root(&self) -> &Path {
        self.root.as_deref().unwrap_or_else(|| folder_of(&self.path))
    }
}

/// Images on disk that a list names.
///
/// They are in the order of the list. Of their files only some are looked for when the list is opened: the others
/// show when they are loaded.
#[derive(Debug)]
pub(crate) struct ImageList {
    root: PathBuf,
    /// As the list has them, in one spelling.
    paths: Texts,
}

/// Reads the content of a list without looking for images.
fn read(
    bytes: Vec<u8>,
    config: &ListConfig,
    need: LabelNeed,
) -> Result<LabelledImages<ImageList>, SourceError> {
    let text = text_of(bytes).map_err(|error| {
        SourceError::malformed(&config.path, Place::Whole, format!("a list of images is expected: {error}"))
    })?;
    let mut rows = parse::parse(&text, config, need, &|path| config.root().join(path_of(path)).is_file())?;
    drop(text);
    let doubled = rows.drop_doubles(&config.path)?;
    let labels = match rows.numbers(&config.path)? {
        _ if !rows.are_labelled() => Labels::unknown(rows.len()),
        Some(numbers) => Labels::of_numbers(numbers, need.gaps(config.label_gaps), &config.path)?,
        None => Labels::of_names(&rows.labels.iter().collect::<Vec<_>>()),
    };
    let mut summary = Summary::default();
    summary.leave_out(doubled, "line that repeats another", "lines that repeat others");
    summary.notes.append(&mut rows.notes);
    let root = config.root().into();
    let fingerprint = fingerprint(&rows.paths, &labels);
    Ok(LabelledImages { images: ImageList { root, paths: rows.paths }, labels, summary, fingerprint })
}

/// Looks for some images all over the list, and whether their files have other endings than it says.
///
/// # Errors
/// If none is there: then the root is wrong, and so are all.
fn check_images(images: &ImageList, list: &Path) -> Result<Option<String>, SourceError> {
    let last = images.paths.len() - 1;
    let mut tried: Vec<usize> = (0..LOOKED_FOR).map(|i| i * last / (LOOKED_FOR - 1)).collect();
    // Absolute paths say nothing of the root.
    let is_relative = |index: &usize| Path::new(images.paths.get(*index)).is_relative();
    if tried.iter().any(is_relative) {
        tried.retain(is_relative);
    }
    let mut is_there = false;
    for index in tried {
        let path = images.path(index);
        is_there |= path.is_file();
        if let Some(found) = images.by_another_name(&path, index) {
            let (named, list) = (images.paths.get(index), list.display());
            return Ok(Some(match without_extension(named) {
                None => format!(
                    "the paths of {list} have no ending: the image of {named:?} is the file that has one, {found:?}"
                ),
                Some(_) => format!(
                    "{list} names {named:?}, and the file is {found:?}: images that are not there as they are called are \
                     those with another ending or number"
                ),
            }));
        }
    }
    if is_there {
        return Ok(None);
    }
    let first = images.path(0);
    let above =
        images.root.ancestors().skip(1).find(|folder| folder.join(path_of(images.paths.get(0))).is_file());
    let root = match above {
        Some(folder) if folder.as_os_str().is_empty() => "set root to .".into(),
        Some(folder) => format!("set root to {}", folder.display()),
        None => "set root to the folder that its paths are relative to".into(),
    };
    // A path of a table may hold line breaks.
    let reason = match LookAlike::of_missing(&first) {
        Some(alike) => format!("its first image would be {first:?}, and {alike}"),
        None => format!("its first image would be {first:?}, which is no file; {root}"),
    };
    Err(SourceError::malformed(list, Place::Whole, reason))
}

/// SHA-256 over the path and the identity of each image, in order.
fn fingerprint(paths: &Texts, labels: &Labels) -> String {
    let mut hash = Sha256::new();
    for (path, &label) in paths.iter().zip(&labels.labels) {
        add_text(&mut hash, path);
        add_text(&mut hash, &labels.identities[label as usize]);
    }
    hexadecimal(&hash.finalize())
}

impl ImageList {
    /// Where image `index` is by its name.
    fn path(&self, index: usize) -> PathBuf {
        // An absolute path replaces the root.
        self.root.join(path_of(self.paths.get(index)))
    }

    /// The file of image `index` where there is none at `path` and one with another ending or number is there.
    fn by_another_name(&self, path: &Path, index: usize) -> Option<PathBuf> {
        // A pipe is named, and not looked around.
        if path.exists() {
            return None;
        }
        find_image(&self.root, self.paths.get(index))
    }
}

impl Images for ImageList {
    fn name(&self, index: usize) -> String {
        name_of(&self.path(index))
    }

    fn key(&self, index: usize) -> String {
        self.paths.get(index).into()
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        let path = self.path(index);
        let read = match self.by_another_name(&path, index) {
            Some(found) => read_file(&found),
            None => read_file(&path),
        };
        read.map(StoredImage::Encoded).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::{SourceConfig, formats::folder::tests::three};

    /// A list in `name`, in a folder with images.
    fn write(name: &str, text: &str) -> (TempDir, ListConfig) {
        let root = three();
        let path = root.path().join(name);
        fs::write(&path, text).unwrap();
        (root, ListConfig { path, ..ListConfig::default() })
    }

    const LINES: &str =
        "Zo\u{eb} M\u{fc}ller/2.PNG zoe\nBo/x.JPeG bo\nZo\u{eb} M\u{fc}ller/2.PNG zoe\nann lee/10.jpg ann\n";

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_unicode_or_look_the_same_are_told_apart() {
        let (root, config) =
            write("list.csv", "path,label\ncaf\\xE9/1.jpg,caf\\xE9\ncaf\\xE8/1.jpg,caf\\xE8\n");
        for (name, content) in [(r"caf\xE9", "acute"), (r"caf\xE8", "grave"), ("Jose\u{301}", "jose")] {
            let folder = root.path().join(path_of(name));
            if fs::create_dir(&folder).is_err() {
                return; // A file system that refuses such names.
            }
            fs::write(folder.join("1.jpg"), content).unwrap();
        }
        let source = config.open().unwrap().source;
        assert_eq!(source.identities(), [r"caf\xE8", r"caf\xE9"]);
        assert_eq!(source.stored(0).unwrap(), StoredImage::Encoded(b"acute".into()));
        assert_eq!(source.stored(1).unwrap(), StoredImage::Encoded(b"grave".into()));
        assert_eq!(source.key(1), r"caf\xE8/1.jpg");

        fs::write(&config.path, "Jos\u{e9}/1.jpg jose\n").unwrap();
        let error = config.open().err().unwrap().to_string();
        let alike = "Jose\u{301}/1.jpg is there, which looks the same and is another name (decomposed (NFD), not \
                     composed (NFC))";
        assert!(error.ends_with(alike), "{error}");
        // Where others are there, it shows when it is loaded.
        fs::write(&config.path, "Jos\u{e9}/1.jpg jose\ncaf\\xE9/1.jpg acute\n").unwrap();
        let error = config.open().unwrap().source.stored(0).unwrap_err().to_string();
        assert!(error.ends_with(alike), "{error}");
    }

    #[test]
    fn images_are_in_the_order_of_the_list() {
        let (root, config) = write("train.txt", LINES);
        assert_eq!(SourceConfig::of_path(&config.path).unwrap(), SourceConfig::from(config.clone()));
        let opened = SourceConfig::from(config.clone()).open().unwrap();
        assert_eq!(
            opened.summary.to_string(),
            "3 images of 3 identities; left out: 1 line that repeats another"
        );
        let source = opened.source;
        assert_eq!(source.identities(), ["ann", "bo", "zoe"]);
        assert_eq!((0..3).map(|index| source.label(index)).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!((source.key(1), config.title()), ("Bo/x.JPeG".into(), "train".into()));
        assert_eq!(source.name(2), root.path().join("ann lee/10.jpg").display().to_string());
        assert_eq!(source.stored(1).unwrap(), StoredImage::Encoded(b"image".into()));
        assert_eq!(
            source.load(1, [8, 8]).unwrap_err().reason,
            "its content is not a JPEG, PNG, WebP, BMP or PNM image"
        );
    }

    #[test]
    fn the_root_may_be_elsewhere_and_paths_may_be_absolute() {
        let (root, _) = write("train.txt", "");
        let elsewhere = tempfile::tempdir().unwrap();
        let path = elsewhere.path().join("list.CSV");
        let absolute = root.path().join("Bo/x.JPeG");
        fs::write(&path, format!("label,path\nann,ann lee/10.jpg\nbo,{}\n", absolute.display())).unwrap();
        let config = ListConfig { path, root: Some(root.path().into()), ..ListConfig::default() };
        let opened = config.open().unwrap();
        assert_eq!(opened.source.stored(0).unwrap(), StoredImage::Encoded(b"image".into()));
        assert_eq!(opened.source.stored(1).unwrap(), StoredImage::Encoded(b"image".into()));
        assert_eq!(opened.source.key(1), "Bo/x.JPeG");
        let message = ListConfig { root: None, ..config.clone() }.open().err().unwrap().to_string();
        assert!(
            message.ends_with(
                "ann lee/10.jpg\", which is no file; set root to the folder that its paths are relative to"
            ),
            "{message}"
        );
    }

    #[test]
    fn numbers_may_not_have_gaps() {
        let (_root, mut config) = write("train.lst", "0\t1\tBo/x.JPeG\n1\t3\tann lee/10.jpg\n");
        let message = config.open().err().unwrap().to_string();
        assert!(message.contains("from 1 to 3, and 1 number of these has no image (2)"), "{message}");
        config.label_gaps = LabelGaps::Close;
        assert_eq!(config.open().unwrap().source.identities(), ["1", "3"]);
    }

    #[test]
    fn a_list_for_its_images_need_not_say_who_is_on_them() {
        let images = |text: &str| {
            let (root, config) = write("a.lst", text);
            fs::write(root.path().join("Bo/z.jpg"), "image").unwrap();
            let opened = config.open_for(LabelNeed::Optional).unwrap();
            drop(root);
            let keys: Vec<String> = (0..opened.source.len()).map(|index| opened.source.key(index)).collect();
            (opened.is_labelled().then(|| opened.source.identities().to_vec()), keys.join(" "))
        };
        let unknown = |keys: &str| (None, keys.to_owned());
        assert_eq!(images("Bo/x.JPeG\n"), unknown("Bo/x.JPeG"));
        // Without endings, below a header, at several depths.
        assert_eq!(images("path\nBo/z\nBo/y\n"), unknown("Bo/z Bo/y"));
        assert_eq!(images("Bo/z\nann lee.jpg\n"), unknown("Bo/z ann lee.jpg"));
        let known = |people: &[&str], keys: &str| {
            (Some(people.iter().map(|&name| name.into()).collect()), keys.to_owned())
        };
        assert_eq!(images("Bo/x.JPeG\nCy/10\n"), known(&["Bo", "Cy"], "Bo/x.JPeG Cy/10"));
        assert_eq!(images("0\t1\tBo/x.JPeG\n1\t3\tCy/10.jpg\n"), known(&["1", "3"], "Bo/x.JPeG Cy/10.jpg"));
        assert_eq!(images("Bo/z bob\n"), known(&["bob"], "Bo/z"));
        let (_root, config) = write("a.txt", "Bo/x.JPeG\nBo/y.jpg Bob\n");
        let error = config.open_for(LabelNeed::Optional).err().unwrap().to_string();
        assert!(error.contains("line 2: \"Bo/y.jpg Bob\" is no path of an image"), "{error}");
    }

    #[test]
    fn images_are_found_by_another_ending_where_theirs_is_not_there() {
        let (root, config) = write("a.txt", "Bo/z.png 0\nann lee/10.jpg 1\n");
        fs::write(root.path().join("Bo/z.JPG"), "image").unwrap();
        let opened = config.open().unwrap();
        assert!(
            opened.summary.notes[0].contains("names \"Bo/z.png\", and the file is"),
            "{:?}",
            opened.summary.notes
        );
        assert_eq!(opened.source.stored(0).unwrap(), StoredImage::Encoded(b"image".into()));
        assert_eq!(opened.source.key(0), "Bo/z.png");
        fs::remove_file(root.path().join("Bo/z.JPG")).unwrap();
        assert!(opened.source.stored(0).unwrap_err().reason.starts_with("it cannot be read: "));
    }

    #[test]
    fn a_missing_image_is_named_when_it_is_loaded() {
        let (_root, config) = write("a.txt", "Bo/x.JPeG 0\nBo/none.jpg 1\nBo 1\n");
        let source = config.open().unwrap().source;
        let error = source.stored(1).unwrap_err();
        assert!(
            error.name.ends_with("Bo/none.jpg") && error.reason.starts_with("it cannot be read: "),
            "{error}"
        );
        assert!(source.stored(2).is_err());
    }

    #[test]
    fn the_fingerprint_is_of_paths_and_identities() {
        let of = |text: &str| {
            let (root, config) = write("a.txt", text);
            let print = config.open().unwrap().source.fingerprint();
            drop(root);
            print
        };
        assert_eq!(of("Bo/x.JPeG 0\n"), of("# x\nBo/x.JPeG\t0"));
        assert_ne!(of("Bo/x.JPeG a\n"), of("Bo/x.JPeG b\n"));
        assert_ne!(of("Bo/x.JPeG a\nann lee/10.jpg b"), of("ann lee/10.jpg b\nBo/x.JPeG a"));
    }

    #[test]
    fn one_image_in_four_spellings_is_one_image() {
        let (root, config) = write("a.txt", "");
        let absolute = root.path().join("Bo/x.JPeG").display().to_string();
        let with = |label: &str| {
            let spellings = ["Bo/x.JPeG", "./Bo/x.JPeG", "././Bo//x.JPeG", &absolute];
            let lines =
                spellings.map(|path| format!("{path},{}\n", if path == absolute { label } else { "0" }));
            fs::write(&config.path, lines.concat() + "ann lee/10.jpg,1\n").unwrap();
            config.open()
        };
        let same = with("0").unwrap().summary.to_string();
        assert_eq!(same, "2 images of 2 identities; left out: 3 lines that repeat others");
        let error = with("1").err().unwrap().to_string();
        assert!(
            error.contains("line 4: \"Bo/x.JPeG\" has the label \"1\" here and \"0\" on line 3"),
            "{error}"
        );
    }

    #[test]
    fn paths_without_endings_are_found_and_bare_paths_are_labelled_by_their_folders() {
        let (_root, config) =
            write("a.csv", "img,class_id\nann lee/10,0\nBo/x,1\nZo\u{eb} M\u{fc}ller/2,1\n");
        let opened = config.open().unwrap();
        assert!(opened.summary.notes[0].contains("have no ending"), "{:?}", opened.summary.notes);
        assert!((0..3).any(|index| opened.source.stored(index).is_ok()));
        let (_root, config) = write("a.txt", "ann lee/10.jpg\nBo/x.JPeG\n");
        let opened = config.open().unwrap();
        assert_eq!(opened.source.identities(), ["Bo", "ann lee"]);
        assert!(
            opened.summary.notes[0].contains("the folder of an image is its label"),
            "{:?}",
            opened.summary.notes
        );
    }

    #[test]
    fn an_image_that_is_not_there_does_not_make_the_root_wrong() {
        let (root, config) = write("a.txt", "Bo/none.jpg 0\nBo/x.JPeG 1\n");
        assert_eq!(config.open().unwrap().source.len(), 2);
        fs::create_dir(root.path().join("lists")).unwrap();
        let path = root.path().join("lists/a.txt");
        fs::write(&path, "Bo/x.JPeG 0\nann lee/10.jpg 1\n").unwrap();
        let error = ListConfig { path, ..ListConfig::default() }.open().err().unwrap().to_string();
        assert!(error.ends_with(&format!("set root to {}", root.path().display())), "{error}");
    }

    #[test]
    fn what_is_no_list_is_one_sentence() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| ListConfig { path: root.path().join(name), ..ListConfig::default() };
        let message = |config: ListConfig| {
            config.open().err().unwrap().to_string().replace(&root.path().display().to_string(), "ROOT")
        };
        assert_eq!(
            message(at("no.txt")),
            "there is no ROOT/no.txt; a list of images with their labels is expected"
        );
        assert!(message(at("")).starts_with("ROOT/ cannot be read: "));
        fs::write(root.path().join("empty.csv"), "").unwrap();
        assert_eq!(
            message(at("empty.csv")),
            "ROOT/empty.csv: it lists no images; a path and a label a line are expected"
        );
        let large = fs::File::create(root.path().join("large.txt")).unwrap();
        large.set_len(MAX_LIST + 1).unwrap();
        assert!(message(at("large.txt")).contains("1073741825 bytes, more than the 1073741824"));
        fs::write(root.path().join("breaks.csv"), "path,label\n\"a\nb.jpg\",1\n").unwrap();
        let breaks = message(at("breaks.csv"));
        assert!(breaks.contains("would be \"ROOT/a\\nb.jpg\", which is no file"), "{breaks}");
        assert_eq!(ListConfig::default().of_path(&root.path().join("no.txt")), None);
        assert_eq!(ListConfig::default().of_path(root.path()), None);
        let error =
            SourceConfig::from(ListConfig::default()).validate(&"data.train".into()).unwrap_err().to_string();
        assert_eq!(error, "data.train.path is missing; it is the list of images with their labels");
    }
}
