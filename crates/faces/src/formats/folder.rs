//! A folder per identity: the layout that most face data sets unpack to.

use std::{
    io,
    path::{Path, PathBuf},
};

use facegrad_pictures::decode::read_file;
use facegrad_settings::settings;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::{
    Endings, Format, OpenSet, SourceError, SourceKind, Summary, has_extension,
    labelled::{Images, LabelledImages},
    labels::Labels,
};
use crate::StoredImage;

/// Extensions of the files that are taken for images, in any case.
pub const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "pgm", "ppm"];

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
}

impl Format for FolderConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        path.is_dir().then(|| Self { path: path.into() }.into())
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "the folder that holds one folder of images an identity"))
    }

    fn open(&self) -> Result<OpenSet, SourceError> {
        Ok(FaceFolder::open(self)?.0.open())
    }
}

/// Images on disk, one folder per identity: `<root>/<identity>/**/<image>`.
///
/// Identities and the images of each are ordered by the bytes of their names, whatever order the file system
/// gives. Links are followed.
#[derive(Debug)]
pub struct FaceFolder(LabelledImages<FolderImages>);

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

impl FaceFolder {
    /// Lists the images below `config.path`. None is opened: unreadable ones show when they are loaded.
    pub fn open(config: &FolderConfig) -> Result<Self, FolderError> {
        let root = &config.path;
        check_root(root)?;
        let Files { in_folders, beside, junk, endings } = find_images(root)?;
        let mut summary = Summary { endings, ..Summary::default() };
        summary.leave_out(junk + beside.len(), "junk file", "junk files");
        if in_folders.is_empty() {
            return Err(FolderError::NoIdentities { path: root.clone(), summary });
        }
        let mut labels = Labels { labels: Vec::with_capacity(in_folders.len()), identities: Vec::new() };
        for person in in_folders.chunk_by(|a, b| identity(&a.path) == identity(&b.path)) {
            labels.labels.extend(person.iter().map(|_| labels.identities.len() as u32));
            labels.identities.push(identity(&person[0].path).display().to_string());
        }
        let fingerprint = fingerprint(&in_folders);
        let paths = in_folders.into_iter().map(|file| file.path).collect();
        let images = FolderImages { root: root.clone(), paths };
        Ok(Self(LabelledImages { images, labels, summary, fingerprint }))
    }

    /// The name of each identity, by label.
    pub fn identities(&self) -> &[String] {
        &self.0.labels.identities
    }

    /// The label of each image.
    pub fn labels(&self) -> &[u32] {
        &self.0.labels.labels
    }

    /// The path of image `index`.
    pub fn path(&self, index: usize) -> PathBuf {
        self.0.images.path(index)
    }

    /// The path of image `index` relative to the folder.
    pub fn relative(&self, index: usize) -> &Path {
        &self.0.images.paths[index]
    }
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

/// A relative path with `/` between its parts, as lists and files of embeddings have it; `None` if it is not UTF-8.
pub fn with_slashes(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
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

impl FolderImages {
    fn path(&self, index: usize) -> PathBuf {
        self.root.join(&self.paths[index])
    }
}

impl Images for FolderImages {
    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn key(&self, index: usize) -> String {
        let path = &self.paths[index];
        with_slashes(path).unwrap_or_else(|| path.display().to_string())
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        read_file(&self.path(index)).map(StoredImage::Encoded).map_err(|error| error.to_string())
    }
}

/// The first level of a path relative to the root.
fn identity(path: &Path) -> &Path {
    Path::new(path.components().next().map_or(path.as_os_str(), |first| first.as_os_str()))
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
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
                return Err(FolderError::Unreadable { path, source: error.into() });
            }
        };
        if is_hidden(entry.file_name()) {
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
        let names: Vec<String> = found.in_folders.iter().map(|path| with_slashes(path).unwrap()).collect();
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
        assert_eq!(open(root.path()).summary.left_out[0].0, 5);
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
            "6 images of 3 identities; left out: 8 junk files; endings that are not read: 2 .txt, 1 .db"
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

    #[cfg(unix)]
    #[test]
    fn names_need_not_be_utf8_and_links_may_loop() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt, os::unix::fs::symlink};
        let root = three();
        let odd = root.path().join(OsStr::from_bytes(b"caf\xe9"));
        // Some file systems refuse such names.
        if fs::create_dir(&odd).is_ok() {
            fs::write(odd.join(OsStr::from_bytes(b"\xff.jpg")), b"image").unwrap();
        }
        symlink(root.path(), root.path().join("Bo/loop")).unwrap();
        symlink("nothing.jpg", root.path().join("Bo/dangling.jpg")).unwrap();
        symlink("x.JPeG", root.path().join("Bo/y.jpg")).unwrap();
        let folder = open(root.path());
        assert_eq!(folder.summary.left_out, [(2, "junk file", "junk files")]);
        assert_eq!(names(&folder)[..2], ["Bo/x.JPeG", "Bo/y.jpg"]);
        if odd.exists() {
            assert_eq!(folder.source.identities()[3], "caf\u{fffd}");
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
            let message = FaceFolder::open(config).unwrap_err().to_string();
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
            "ROOT holds no images in folders of its own (0 images of 0 identities; left out: 1 junk file); \
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
        let error =
            fs::read_dir(&locked).is_err().then(|| FaceFolder::open(&config(root.path())).unwrap_err());
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
