//! A folder per identity: the layout that most face data sets unpack to.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use facegrad_files::name_of;
use facegrad_pictures::decode::read_file;
use facegrad_settings::settings;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::{
    Endings, Format, LabelNeed, OpenSet, SourceError, SourceKind, Summary, has_extension,
    labelled::{Images, LabelledImages},
    labels::Labels,
};
use crate::StoredImage;

/// Extensions of the files that are taken for images, in any case.
pub const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "pgm", "ppm"];

/// Folders that systems keep among those of people: thumbnails, copies and what was deleted.
const OF_SYSTEMS: [&str; 9] = [
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "@Recently-Snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "__MACOSX",
];

/// Folders that a note names.
const SHOWN: usize = 3;

/// What folders are called that are parts of a set and no people, in lower case.
const PARTS: [&str; 28] = [
    "train",
    "training",
    "train_set",
    "trainset",
    "val",
    "valid",
    "validation",
    "dev",
    "test",
    "testing",
    "test_set",
    "testset",
    "eval",
    "gallery",
    "probe",
    "probes",
    "query",
    "image",
    "images",
    "img",
    "imgs",
    "face",
    "faces",
    "photos",
    "crops",
    "aligned",
    "data",
    "dataset",
];

settings! {
    /// Images on disk, one folder per identity.
    pub struct FolderConfig {
        /// The folder that holds one folder per identity.
        path: PathBuf = PathBuf::new();
    }
}

/// Why a folder is no data set.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum FolderError {
    /// No folder was named.
    #[error("no image folder is given; set path to a folder that holds one folder of images per identity")]
    NoPath,
    /// There is nothing at the path.
    #[error("the image folder {} does not exist", .0.display())]
    Missing(PathBuf),
    /// The path is that of a file.
    #[error("{} is not a folder; a folder that holds one folder of images per identity is expected", .0.display())]
    NotAFolder(PathBuf),
    /// A folder, or what a file is, cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// No folder inside the root holds an image.
    #[error(
        "{} holds no images in folders of its own ({summary}); one folder of images ({}) per identity is expected",
        path.display(), EXTENSIONS.join(", ")
    )]
    NoIdentities { path: PathBuf, summary: Summary },
    /// There is no image at all.
    #[error("{} holds no images ({})", .0.display(), EXTENSIONS.join(", "))]
    NoImages(PathBuf),
}

impl Format for FolderConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        path.is_dir().then(|| Self { path: path.into() }.into())
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "the folder that holds one folder of images an identity"))
    }

    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError> {
        Ok(FolderImages::find(&self.path, need)?.open())
    }
}

/// Images on disk, one folder per identity: `<root>/<identity>/**/<image>`.
///
/// Identities and the images of each are ordered by the bytes of their names, whatever order the file system
/// gives. Links are followed.
#[derive(Debug)]
struct FolderImages {
    root: PathBuf,
    /// Relative to the root.
    paths: Vec<PathBuf>,
}

/// A file below the root.
struct FolderFile {
    path: PathBuf,
    size: u64,
}

impl FolderImages {
    /// Lists the images in folders of `root`; if there are none and labels are optional, those of `root` itself, of which
    /// nobody knows who is on them. None is opened: unreadable ones show when they are loaded.
    fn find(root: &Path, need: LabelNeed) -> Result<LabelledImages<Self>, FolderError> {
        check_root(root)?;
        let Files { in_folders, beside, junk, endings } = find_images(root)?;
        let mut summary = Summary { endings, ..Summary::default() };
        summary.notes.extend(level_note(root, &in_folders));
        summary.leave_out(junk, "junk file", "junk files");
        let images = match (in_folders.is_empty(), need) {
            (true, LabelNeed::Optional) => beside,
            _ => {
                summary.leave_out(
                    beside.len(),
                    "image in no person's folder",
                    "images in no person's folder",
                );
                in_folders
            }
        };
        let labels = match (images.first(), need) {
            (None, LabelNeed::Optional) => return Err(FolderError::NoImages(root.into())),
            (None, LabelNeed::Required) => {
                return Err(FolderError::NoIdentities { path: root.into(), summary });
            }
            (Some(first), _) if first.path.components().count() == 1 => Labels::unknown(images.len()),
            _ => labels(&images),
        };
        let fingerprint = fingerprint(&images);
        let paths = images.into_iter().map(|file| file.path).collect();
        Ok(LabelledImages { images: Self { root: root.into(), paths }, labels, summary, fingerprint })
    }

    fn path(&self, index: usize) -> PathBuf {
        self.root.join(&self.paths[index])
    }
}

/// The labels of images by the folders that they are in.
fn labels(images: &[FolderFile]) -> Labels {
    let mut labels = Labels { labels: Vec::with_capacity(images.len()), identities: Vec::new() };
    for person in images.chunk_by(|a, b| identity(&a.path) == identity(&b.path)) {
        labels.labels.extend(person.iter().map(|_| labels.identities.len() as u32));
        labels.identities.push(name_of(identity(&person[0].path)));
    }
    labels
}

/// Image files below a folder, by their paths relative to it, in the order of the bytes of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePaths {
    /// Those in folders of the folder, such as one folder an identity.
    pub in_folders: Vec<PathBuf>,
    /// Those in the folder itself.
    pub beside: Vec<PathBuf>,
    /// Files and hidden folders passed over: hidden, empty, without an image extension, or links that lead
    /// nowhere or back to a folder above them.
    pub junk_files: usize,
    /// Those without an image extension, by the one that they have.
    pub endings: Endings,
}

impl ImagePaths {
    /// Lists the images below `root`. None is opened.
    ///
    /// # Errors
    /// If `root` is no folder, or something in it cannot be read.
    pub fn below(root: &Path) -> Result<Self, FolderError> {
        check_root(root)?;
        let Files { in_folders, beside, junk, endings } = find_images(root)?;
        let paths = |files: Vec<FolderFile>| files.into_iter().map(|file| file.path).collect();
        Ok(Self { in_folders: paths(in_folders), beside: paths(beside), junk_files: junk, endings })
    }
}

/// A relative path as text ([`name_of`]) with `/` between its parts, as lists and files of embeddings have it.
pub fn with_slashes(path: &Path) -> String {
    path.iter().map(|part| name_of(Path::new(part))).collect::<Vec<_>>().join("/")
}

/// An error unless images can be looked for in `root`.
fn check_root(root: &Path) -> Result<(), FolderError> {
    if root.as_os_str().is_empty() {
        return Err(FolderError::NoPath);
    }
    match root.metadata() {
        Ok(metadata) if !metadata.is_dir() => Err(FolderError::NotAFolder(root.into())),
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(FolderError::Missing(root.into())),
        Err(source) => Err(FolderError::Unreadable { path: root.into(), source }),
    }
}

impl Images for FolderImages {
    fn name(&self, index: usize) -> String {
        name_of(&self.path(index))
    }

    fn key(&self, index: usize) -> String {
        with_slashes(&self.paths[index])
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        read_file(&self.path(index)).map(StoredImage::Encoded).map_err(|error| error.to_string())
    }
}

/// The first level of a path relative to the root.
fn identity(path: &Path) -> &Path {
    Path::new(path.components().next().map_or(path.as_os_str(), |first| first.as_os_str()))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// A folder that holds folders or images, one of several in the same folder.
struct Top<'a> {
    name: &'a OsStr,
    /// What lies in it and in folders of it.
    images: &'a [FolderFile],
    /// The folders in it that hold images.
    folders: Vec<&'a OsStr>,
    /// Whether it has images of its own.
    has_images: bool,
}

impl<'a> Top<'a> {
    /// Those of `images` at `depth` below the root.
    fn all(images: &'a [FolderFile], depth: usize) -> Vec<Self> {
        let same = images.chunk_by(|a, b| a.path.iter().nth(depth) == b.path.iter().nth(depth));
        let top = |images: &'a [FolderFile]| {
            let mut top = Self {
                name: images.first()?.path.iter().nth(depth)?,
                images,
                folders: Vec::new(),
                has_images: false,
            };
            for image in images {
                let mut rest = image.path.iter().skip(depth + 1);
                match (rest.next(), rest.next()) {
                    (Some(folder), Some(_)) if top.folders.last() != Some(&folder) => {
                        top.folders.push(folder)
                    }
                    (Some(_), Some(_)) => {}
                    _ => top.has_images = true,
                }
            }
            Some(top)
        };
        same.filter_map(top).collect()
    }

    fn is_part(&self) -> bool {
        self.name.to_str().is_some_and(|name| PARTS.contains(&name.to_ascii_lowercase().as_str()))
    }

    fn is_nested(&self) -> bool {
        !self.has_images
    }
}

/// That the folders of `root` are taken for people and seem to be parts of a set, and where the people are then.
fn level_note(root: &Path, images: &[FolderFile]) -> Option<String> {
    let tops = Top::all(images, 0);
    if !are_parts(&tops, 0) {
        return None;
    }
    let shown = |name: &OsStr| name_of(Path::new(name));
    let mut names: Vec<String> = tops.iter().take(SHOWN).map(|top| shown(top.name)).collect();
    if tops.len() > SHOWN {
        names.push("…".into());
    }
    let folders = match &names[..] {
        [only] => format!("the folder {only} of {} is taken for one person", root.display()),
        [others @ .., last] => {
            format!("the folders {} and {last} of {} are taken for people", others.join(", "), root.display())
        }
        [] => return None,
    };
    Some(match people_below(&tops, 0) {
        Some((place, person)) => format!(
            "{folders}, and there are folders in {}, such as {}; if those are the people, the path is {}",
            if names.len() == 1 { "it" } else { "them" },
            shown(person),
            root.join(place).display()
        ),
        None => {
            format!(
                "{folders}, which by the name are parts of a set; a folder of images a person is expected"
            )
        }
    })
}

/// Whether the folders at `depth` seem to be parts of a set and no people:
/// - they are called so,
/// - or there is one, and it holds nothing but folders,
/// - or each holds folders only, more than there are folders here, and mostly of the same names: the sessions of people
///   have the same names, too, but are fewer than the people.
fn are_parts(tops: &[Top], depth: usize) -> bool {
    let (mut all, mut parts) = (0, 0);
    for top in tops {
        all += top.images.len();
        parts += if top.is_part() { top.images.len() } else { 0 };
    }
    let are_nested = tops.iter().all(Top::is_nested);
    if all > 0 && (parts == all || are_nested && parts * 2 > all) {
        return true;
    }
    if let [only] = tops {
        return are_nested
            && (only.folders.len() > 1 || are_parts(&Top::all(only.images, depth + 1), depth + 1));
    }
    let mut holders: HashMap<&OsStr, usize> = HashMap::new();
    tops.iter().flat_map(|top| &top.folders).for_each(|folder| *holders.entry(folder).or_default() += 1);
    let is_shared = |top: &Top| {
        let shared = top.folders.iter().filter(|folder| holders[**folder] > 1).count();
        top.folders.len() > 1 && shared * 2 >= top.folders.len()
    };
    are_nested && holders.len() > tops.len() && tops.iter().all(is_shared)
}

/// Where below folders that are parts of a set the people are, by the part to train on or the largest, and one of them.
fn people_below<'a>(tops: &[Top<'a>], depth: usize) -> Option<(PathBuf, &'a OsStr)> {
    let is_training = |top: &Top| top.name.to_string_lossy().to_ascii_lowercase().starts_with("train");
    let nested = tops.iter().filter(|top| top.is_nested());
    let top = nested.max_by_key(|top| (is_training(top), top.images.len()))?;
    let below = Top::all(top.images, depth + 1);
    let deeper = are_parts(&below, depth + 1).then(|| people_below(&below, depth + 1)).flatten();
    let place = Path::new(top.name);
    match deeper {
        Some((deeper, person)) => Some((place.join(deeper), person)),
        None => Some((place.into(), below.first()?.name)),
    }
}

/// What lies in a folder, in the order of the paths, which compare part by part, each by its bytes.
#[derive(Default)]
struct Files {
    /// Images in folders of the folder.
    in_folders: Vec<FolderFile>,
    /// Images in the folder itself.
    beside: Vec<FolderFile>,
    /// How much else.
    junk: usize,
    endings: Endings,
}

fn find_images(root: &Path) -> Result<Files, FolderError> {
    let mut files = Files::default();
    let mut walk = WalkDir::new(root).min_depth(1).follow_links(true).into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                // A link to a folder above it, or to nothing, is junk; anything else hides images.
                let dangling = error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound);
                if error.loop_ancestor().is_some() || dangling {
                    files.junk += 1;
                    continue;
                }
                // The path is named once.
                let text = error.to_string();
                let source = error.into_io_error().unwrap_or_else(|| io::Error::other(text));
                return Err(FolderError::Unreadable { path, source });
            }
        };
        let is_of_system = || OF_SYSTEMS.iter().any(|name| entry.file_name() == *name);
        if is_hidden(entry.file_name()) || entry.file_type().is_dir() && is_of_system() {
            files.junk += 1;
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        if entry.file_type().is_dir() {
            continue;
        }
        if !entry.file_type().is_file() {
            files.junk += 1;
            continue;
        }
        if !has_extension(entry.path(), &EXTENSIONS) {
            files.junk += 1;
            files.endings.count(entry.path());
            continue;
        }
        let unreadable = |error: walkdir::Error| FolderError::Unreadable {
            path: entry.path().to_owned(),
            source: error.into(),
        };
        let size = entry.metadata().map_err(unreadable)?.len();
        match entry.path().strip_prefix(root) {
            Ok(path) if size > 0 => {
                let images = if entry.depth() > 1 { &mut files.in_folders } else { &mut files.beside };
                images.push(FolderFile { path: path.to_owned(), size });
            }
            _ => files.junk += 1,
        }
    }
    for images in [&mut files.in_folders, &mut files.beside] {
        images.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(files)
}

/// SHA-256 over the relative path (parts ended by `/`) and the size in bytes of each image, in order.
fn fingerprint(images: &[FolderFile]) -> String {
    let mut hash = Sha256::new();
    for image in images {
        for part in image.path.components() {
            hash.update(part.as_os_str().as_encoded_bytes());
            hash.update(b"/");
        }
        // No name holds a NUL, so that names and sizes cannot run into each other.
        hash.update(b"\0");
        hash.update(image.size.to_le_bytes());
    }
    format!("{:x}", hash.finalize())
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use facegrad_files::path_of;
    use tempfile::TempDir;

    use super::*;

    fn put(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn config(root: &Path) -> FolderConfig {
        FolderConfig { path: root.into() }
    }

    fn open(root: &Path) -> OpenSet {
        config(root).open().unwrap()
    }

    fn names(set: &OpenSet) -> Vec<String> {
        (0..set.source.len()).map(|image| set.source.key(image)).collect()
    }

    /// Three identities; files are made in an order that is not that of their names.
    pub fn three() -> TempDir {
        let root = TempDir::new().unwrap();
        for path in [
            "Zoë Müller/2.PNG",
            "Zoë Müller/1.jpg",
            "ann lee/deep/er/9.webp",
            "ann lee/deep.ppm",
            "ann lee/10.jpg",
            "Bo/x.JPeG",
        ] {
            put(root.path(), path, b"image");
        }
        root
    }

    #[test]
    fn images_in_folders_and_beside_them_are_told_apart() {
        let root = three();
        for path in ["b.png", "a.JPG", "list.txt", ".hidden.png", "Bo/empty.png"] {
            put(root.path(), path, if path.contains("empty") { b"" } else { b"image" });
        }
        let found = ImagePaths::below(root.path()).unwrap();
        assert_eq!(found.beside, [Path::new("a.JPG"), Path::new("b.png")]);
        let names: Vec<String> = found.in_folders.iter().map(|path| with_slashes(path)).collect();
        assert_eq!(
            names,
            [
                "Bo/x.JPeG",
                "Zoë Müller/1.jpg",
                "Zoë Müller/2.PNG",
                "ann lee/10.jpg",
                "ann lee/deep/er/9.webp",
                "ann lee/deep.ppm"
            ]
        );
        assert_eq!(found.junk_files, 3);
        let left_out: Vec<usize> =
            open(root.path()).summary.left_out.iter().map(|(count, ..)| *count).collect();
        assert_eq!(left_out, [3, 2]);
        assert!(matches!(ImagePaths::below(&root.path().join("b.png")), Err(FolderError::NotAFolder(_))));
    }

    #[test]
    fn images_are_ordered_by_the_bytes_of_their_names() {
        let root = three();
        let folder = open(root.path());
        assert_eq!(folder.source.identities(), ["Bo", "Zoë Müller", "ann lee"]);
        assert_eq!(
            names(&folder),
            [
                "Bo/x.JPeG",
                "Zoë Müller/1.jpg",
                "Zoë Müller/2.PNG",
                "ann lee/10.jpg",
                "ann lee/deep/er/9.webp",
                "ann lee/deep.ppm",
            ]
        );
        assert_eq!((0..6).map(|i| folder.source.label(i)).collect::<Vec<_>>(), [0, 1, 1, 2, 2, 2]);
        assert_eq!(folder.source.len(), 6);
        assert_eq!(folder.summary.to_string(), "6 images of 3 identities");
        assert!(folder.source.name(1).ends_with("Zoë Müller/1.jpg"), "{}", folder.source.name(1));
    }

    #[test]
    fn junk_is_skipped_and_counted() {
        let root = three();
        for path in [
            "readme.txt",
            "loose.jpg",
            "Bo/notes.txt",
            "Bo/.hidden.jpg",
            "Bo/noextension",
            ".git/a/b.jpg",
            "Bo/Thumbs.db",
        ] {
            put(root.path(), path, b"junk");
        }
        put(root.path(), "Bo/empty.jpg", b"");
        fs::create_dir(root.path().join("nobody")).unwrap();
        let folder = open(root.path());
        assert_eq!(folder.source.identities().len(), 3);
        // .git counts once: what is inside a hidden folder is not looked at.
        assert_eq!(
            folder.summary.to_string(),
            "6 images of 3 identities; left out: 7 junk files, 1 image in no person's folder; endings that are not \
             read: 2 .txt, 1 .db"
        );
    }

    #[test]
    fn endings_that_are_not_read_are_counted() {
        let root = three();
        for i in 0..12 {
            put(root.path(), &format!("Bo/{i}.HEIC"), b"image");
            put(root.path(), &format!("Bo/{i}.{}", ["tif", "gif", "avif"][i % 3]), b"image");
        }
        for path in ["Bo/a.jfif", "Bo/b.JPE", "Bo/c.d1", "Bo/c.d2", "Bo/c.d3", "Bo/of Dr. Miller", ".x.heic"]
        {
            put(root.path(), path, b"image");
        }
        let folder = open(root.path());
        assert_eq!(
            folder.summary.to_string(),
            "8 images of 3 identities; left out: 29 junk files; endings that are not read: 12 .heic, 4 .avif, \
             4 .gif, 4 .tif, 1 .d1, 1 .d2, 1 more"
        );
        let found = ImagePaths::below(root.path()).unwrap();
        assert_eq!(found.endings, folder.summary.endings);
        assert_eq!(found.endings.counts()[".heic"], 12);
    }

    /// What is noted of a folder with images at `paths`, and its path in place of `ROOT` there.
    fn note(paths: &[&str]) -> Option<String> {
        let root = TempDir::new().unwrap();
        paths.iter().for_each(|path| put(root.path(), path, b"image"));
        let mut notes = open(root.path()).summary.notes;
        assert!(notes.len() < 2, "{notes:?}");
        notes.pop().map(|note| note.replace(&root.path().display().to_string(), "ROOT"))
    }

    #[test]
    fn a_root_that_is_one_level_too_high_is_told_with_the_path_that_was_meant() {
        let note = |paths: &[&str]| note(paths).unwrap();
        assert_eq!(
            note(&["train/A/1.jpg", "train/A/2.jpg", "train/B/1.jpg", "val/A/1.jpg", "val/B/1.jpg"]),
            "the folders train and val of ROOT are taken for people, and there are folders in them, such as A; if \
             those are the people, the path is ROOT/train"
        );
        // By their names, though others have one person each.
        assert!(note(&["Test/C/1.jpg", "train/A/1.jpg"]).ends_with("the path is ROOT/train"));
        assert!(
            note(&["images/A/1.jpg", "images/B/1.jpg"])
                .starts_with("the folder images of ROOT is taken for one")
        );
        assert!(
            note(&["w/images/A/1.jpg", "w/images/B/1.jpg"])
                .ends_with("such as A; if those are the people, the path is ROOT/w/images")
        );
        assert!(note(&["data/train/A/1.jpg", "data/test/A/1.jpg"]).ends_with("the path is ROOT/data/train"));
        // By what is in them.
        assert!(note(&["MS1M/A/1.jpg", "MS1M/B/1.jpg"]).ends_with("the path is ROOT/MS1M"));
        let same: Vec<String> = ["one", "two"]
            .iter()
            .flat_map(|top| ["A", "B", "C"].map(|person| format!("{top}/{person}/1.jpg")))
            .collect();
        let same: Vec<&str> = same.iter().map(String::as_str).collect();
        assert!(note(&same).starts_with("the folders one and two of ROOT are taken for people"));
        assert_eq!(
            note(&["test/1.jpg", "train/1.jpg"]),
            "the folders test and train of ROOT are taken for people, which by the name are parts of a set; a folder \
             of images a person is expected"
        );
    }

    #[test]
    fn people_with_folders_of_their_own_are_no_parts_of_a_set() {
        for paths in [
            &["A/cam1/1.jpg", "A/cam2/1.jpg", "B/cam1/1.jpg", "B/cam2/1.jpg", "C/cam1/1.jpg"][..],
            // CFP.
            &["001/frontal/1.jpg", "001/profile/1.jpg", "002/frontal/1.jpg", "002/profile/1.jpg"],
            &["A/1.jpg", "B/x/1.jpg"],
            &["Val/1.jpg", "Ann/1.jpg"],
            &["A/1/1.jpg", "A/2/1.jpg", "B/3/1.jpg", "B/4/1.jpg"],
        ] {
            assert_eq!(note(paths), None, "{paths:?}");
        }
    }

    #[test]
    fn folders_of_systems_are_no_people() {
        let root = three();
        for path in
            ["@eaDir/A/x.jpg", "Bo/@eaDir/x.JPeG/SYNOPHOTO_THUMB_M.jpg", "#recycle/1.jpg", "lost+found/1.jpg"]
        {
            put(root.path(), path, b"thumbnail");
        }
        assert_eq!(open(root.path()).summary.to_string(), "6 images of 3 identities; left out: 4 junk files");
    }

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_utf8_and_links_may_loop() {
        use std::os::unix::fs::symlink;
        let root = three();
        // Some file systems refuse such names.
        let odd = [
            r"caf\xE8/\xFF.jpg",
            r"caf\xE9/\xFE.jpg",
            r"caf\xE9/\xFF.jpg",
            "cafe\u{301}/1.jpg",
            "caf\u{e9}/1.jpg",
        ];
        let are_possible = odd.iter().all(|name| {
            let path = root.path().join(path_of(name));
            fs::create_dir_all(path.parent().unwrap()).is_ok() && fs::write(path, b"image").is_ok()
        });
        symlink(root.path(), root.path().join("Bo/loop")).unwrap();
        symlink("nothing.jpg", root.path().join("Bo/dangling.jpg")).unwrap();
        symlink("x.JPeG", root.path().join("Bo/y.jpg")).unwrap();
        let folder = open(root.path());
        assert_eq!(folder.summary.left_out, [(2, "junk file", "junk files")]);
        assert_eq!(names(&folder)[..2], ["Bo/x.JPeG", "Bo/y.jpg"]);
        if are_possible {
            let mut found = names(&folder)[folder.source.len() - 5..].to_vec();
            found.sort_unstable();
            let mut expected = odd.map(String::from);
            expected.sort_unstable();
            assert_eq!(found, expected);
            assert_eq!(folder.source.identities().len(), 7);
            for name in ["cafe\u{301}", "caf\u{e9}", r"caf\xE8", r"caf\xE9"] {
                assert!(folder.source.identities().iter().any(|identity| identity == name), "{name}");
            }
            assert_eq!(
                folder.source.stored(folder.source.len() - 1).unwrap(),
                StoredImage::Encoded(b"image".into())
            );
        }
    }

    #[test]
    fn the_fingerprint_is_of_names_and_sizes() {
        let (a, b) = (three(), three());
        let print = |root: &TempDir| open(root.path()).source.fingerprint();
        let before = print(&a);
        assert_eq!(before.len(), 64);
        assert_eq!(before, print(&b));
        fs::write(a.path().join("Bo/x.JPeG"), b"larger image").unwrap();
        assert_ne!(before, print(&a));
        fs::rename(b.path().join("Bo/x.JPeG"), b.path().join("Bo/y.JPeG")).unwrap();
        assert_ne!(before, print(&b));
    }

    #[test]
    fn what_is_no_data_set_is_one_sentence() {
        let root = TempDir::new().unwrap();
        let message = |config: &FolderConfig| {
            let message = FolderImages::find(&config.path, LabelNeed::Required).unwrap_err().to_string();
            message.replace(&root.path().display().to_string(), "ROOT")
        };
        assert_eq!(
            message(&FolderConfig::default()),
            "no image folder is given; set path to a folder that holds one folder of images per identity"
        );
        assert_eq!(
            message(&config(&root.path().join("faces"))),
            "the image folder ROOT/faces does not exist"
        );
        put(root.path(), "loose.jpg", b"image");
        assert_eq!(
            message(&config(&root.path().join("loose.jpg"))),
            "ROOT/loose.jpg is not a folder; a folder that holds one folder of images per identity is expected"
        );
        assert_eq!(
            message(&config(root.path())),
            "ROOT holds no images in folders of its own (0 images of 0 identities; left out: 1 image in no person's folder); \
             one folder of images (jpg, jpeg, jpe, jfif, png, webp, bmp, pgm, ppm) per identity is expected"
        );
    }

    #[cfg(unix)]
    #[test]
    fn an_unreadable_folder_is_an_error_not_fewer_images() {
        use std::os::unix::fs::PermissionsExt;
        let root = three();
        let locked = root.path().join("Bo");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        // The superuser reads everything.
        let error = fs::read_dir(&locked)
            .is_err()
            .then(|| FolderImages::find(root.path(), LabelNeed::Required).unwrap_err());
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(error) = error {
            assert!(error.to_string().contains("/Bo cannot be read: "), "{error}");
        }
    }

    #[test]
    fn a_corrupt_image_is_named_when_it_is_loaded() {
        let root = three();
        let folder = open(root.path());
        let error = folder.source.load(1, [8, 8]).unwrap_err();
        assert!(error.name.ends_with("Zoë Müller/1.jpg"), "{}", error.name);
        assert_eq!(error.reason, "its content is not a JPEG, PNG, WebP, BMP or PNM image");
    }
}
