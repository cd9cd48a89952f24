//! Where photographs are, and where the aligned faces go.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use facegrad_faces::{
    Endings,
    folder::{FolderError, ImagePaths, with_slashes},
};
use facegrad_pictures::ImageFormat;

/// Why folders cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum PlaceError {
    /// The photographs.
    #[error(transparent)]
    Input(#[from] FolderError),
    /// There are none.
    #[error("{} holds no images", .0.display())]
    NoImages(PathBuf),
    /// The faces would be photographs, or the photographs lie among the faces.
    #[error(
        "{} and {} lie within each other; the aligned faces need a folder beside that of the photographs",
        input.display(), output.display()
    )]
    Nested { input: PathBuf, output: PathBuf },
    /// The path of a folder leads nowhere.
    #[error("{} cannot be used as a folder: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    /// Two photographs would become one face.
    #[error("{} and another image beside it would both become {}; rename one of them", image.display(), output.display())]
    Ambiguous { image: PathBuf, output: PathBuf },
}

/// The photographs below a folder, and the files that their faces become in another one.
///
/// Folders stay as they are and files keep their names, but for the extension, which is that of the format written.
/// Where photographs in a folder differ in nothing else, they keep it, too: `a.jpg` and `a.png` become `a.jpg.png`
/// and `a.png.png`.
#[derive(Debug)]
pub struct Places {
    input: PathBuf,
    output: PathBuf,
    format: ImageFormat,
    images: Vec<PathBuf>,
    /// By the number of the image.
    keeps_extension: HashSet<usize>,
    junk_files: usize,
    endings: Endings,
    in_no_folder: usize,
}

impl Places {
    /// The images below `input`, whose faces go to `output` in files of `format`.
    ///
    /// # Errors
    /// If `input` holds no images or cannot be read, the folders lie within each other, or names are ambiguous.
    pub fn open(input: &Path, output: &Path, format: ImageFormat) -> Result<Self, PlaceError> {
        let ImagePaths { in_folders, beside, junk_files, endings } = ImagePaths::below(input)?;
        let unusable = |source| PlaceError::Unusable { path: output.into(), source };
        let (real_input, real_output) = (
            fs::canonicalize(input).map_err(|source| PlaceError::Unusable { path: input.into(), source })?,
            canonical(output).map_err(unusable)?,
        );
        if real_input.starts_with(&real_output) || real_output.starts_with(&real_input) {
            return Err(PlaceError::Nested { input: input.into(), output: output.into() });
        }
        let in_no_folder = beside.len();
        let mut images = [in_folders, beside].concat();
        images.sort_unstable();
        if images.is_empty() {
            return Err(PlaceError::NoImages(input.into()));
        }
        let mut places = Self {
            input: real_input,
            output: real_output,
            format,
            images,
            keeps_extension: HashSet::new(),
            junk_files,
            endings,
            in_no_folder,
        };
        for index in places.clashes() {
            places.keeps_extension.insert(index);
        }
        if let Some(&index) = places.clashes().first() {
            let (image, output) = (places.images[index].clone(), places.relative_output(index));
            return Err(PlaceError::Ambiguous { image, output });
        }
        Ok(places)
    }

    /// Images whose face would go to the same file as another's.
    fn clashes(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        order.sort_by_cached_key(|&index| self.relative_output(index));
        let same = |pair: &[usize]| self.relative_output(pair[0]) == self.relative_output(pair[1]);
        let mut clashes: Vec<usize> = order.windows(2).filter(|pair| same(pair)).flatten().copied().collect();
        clashes.sort_unstable();
        clashes.dedup();
        clashes
    }

    /// Number of photographs.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none, which [`open`](Self::open) refuses.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Photographs that lie in no folder of the folder, so that nothing says who is on them.
    pub fn in_no_folder(&self) -> usize {
        self.in_no_folder
    }

    /// Files and hidden folders passed over.
    pub fn junk_files(&self) -> usize {
        self.junk_files
    }

    /// Files among these that are no images by their ending.
    pub fn endings(&self) -> &Endings {
        &self.endings
    }

    /// The folder of the photographs, as the system names it.
    pub fn input_folder(&self) -> &Path {
        &self.input
    }

    /// The folder of the faces, as the system names it.
    pub fn output_folder(&self) -> &Path {
        &self.output
    }

    /// The format of the faces.
    pub fn format(&self) -> ImageFormat {
        self.format
    }

    /// The name of photograph `index`: its path within the folder as text, with `/` between the parts.
    pub fn name(&self, index: usize) -> String {
        with_slashes(&self.images[index])
    }

    /// The file of photograph `index`.
    pub fn input(&self, index: usize) -> PathBuf {
        self.input.join(&self.images[index])
    }

    /// The file of the face of photograph `index`.
    pub fn output(&self, index: usize) -> PathBuf {
        self.output.join(self.relative_output(index))
    }

    /// The same within the folder of the faces.
    pub fn relative_output(&self, index: usize) -> PathBuf {
        let image = &self.images[index];
        let extension = self.format.extension();
        if self.keeps_extension.contains(&index) {
            let mut name = image.as_os_str().to_owned();
            name.push(".");
            name.push(extension);
            return name.into();
        }
        image.with_extension(extension)
    }
}

/// The path of a folder that need not be there yet, without links and dots.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut existing = path.as_path();
    let mut missing = Vec::new();
    loop {
        match fs::canonicalize(existing) {
            Ok(mut found) => {
                found.extend(missing.iter().rev());
                return Ok(found);
            }
            // A link to nothing is no place for a folder.
            Err(error) if error.kind() != io::ErrorKind::NotFound || existing.is_symlink() => {
                return Err(error);
            }
            Err(error) => match (existing.parent(), existing.file_name()) {
                (Some(parent), Some(name)) => {
                    missing.push(name.to_owned());
                    existing = parent;
                }
                _ => return Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(images: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for image in images {
            let path = folder.path().join("in").join(image);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "image").unwrap();
        }
        folder
    }

    fn outputs(images: &[&str], format: ImageFormat) -> Result<Vec<String>, String> {
        let folder = folder(images);
        let places = Places::open(&folder.path().join("in"), &folder.path().join("out"), format)
            .map_err(|error| error.to_string())?;
        assert!(places.len() == images.len() && !places.is_empty());
        let beside = images.iter().filter(|image| !image.contains('/')).count();
        assert_eq!(places.in_no_folder(), beside);
        Ok((0..places.len())
            .map(|i| format!("{} {}", places.name(i), places.relative_output(i).display()))
            .collect())
    }

    #[test]
    fn names_and_folders_stay() {
        let images = ["b/c/3.webp", "loose.JPG", "a/1.jpg", "a/line\nbreak.png"];
        assert_eq!(
            outputs(&images, ImageFormat::Png).unwrap(),
            [
                "a/1.jpg a/1.png",
                "a/line\\x0Abreak.png a/line\nbreak.png",
                "b/c/3.webp b/c/3.png",
                "loose.JPG loose.png"
            ]
        );
        assert_eq!(outputs(&["a/1.png"], ImageFormat::Jpeg).unwrap(), ["a/1.png a/1.jpg"]);
    }

    #[test]
    fn names_that_differ_in_the_extension_only_keep_it() {
        assert_eq!(
            outputs(&["a/1.jpg", "a/1.png", "a/1.x.jpg", "b/1.jpg"], ImageFormat::Png).unwrap(),
            ["a/1.jpg a/1.jpg.png", "a/1.png a/1.png.png", "a/1.x.jpg a/1.x.png", "b/1.jpg b/1.png"]
        );
        // Then 1.jpg would become what 1.jpg.png is.
        assert_eq!(
            outputs(&["1.jpg", "1.png", "1.jpg.png"], ImageFormat::Png).unwrap_err(),
            "1.jpg and another image beside it would both become 1.jpg.png; rename one of them"
        );
    }

    #[test]
    fn folders_within_each_other_are_refused() {
        let folder = folder(&["a/1.jpg"]);
        let open = |input: &str, output: &str| {
            Places::open(&folder.path().join(input), &folder.path().join(output), ImageFormat::Png)
        };
        for (input, output) in
            [("in", "in"), ("in", "in/out"), ("in", "in/../in/a/b"), ("in", "."), ("in", "")]
        {
            let error = open(input, output).unwrap_err();
            assert!(matches!(error, PlaceError::Nested { .. }), "{input} {output}: {error}");
        }
        // A name that begins in the same way is no folder within.
        open("in", "in-aligned").unwrap();
        open("in", "new/folders/out").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path().join("in"), folder.path().join("link")).unwrap();
            assert!(matches!(open("in", "link/out").unwrap_err(), PlaceError::Nested { .. }));
            std::os::unix::fs::symlink(folder.path().join("nothing"), folder.path().join("dangling"))
                .unwrap();
            assert!(matches!(open("in", "dangling/out").unwrap_err(), PlaceError::Unusable { .. }));
        }
    }

    #[test]
    fn a_folder_without_images_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let error = Places::open(folder.path(), Path::new("out"), ImageFormat::Png).unwrap_err();
        assert_eq!(error.to_string(), format!("{} holds no images", folder.path().display()));
        let missing = folder.path().join("missing");
        let error = Places::open(&missing, Path::new("out"), ImageFormat::Png).unwrap_err().to_string();
        assert_eq!(error, format!("the image folder {} does not exist", missing.display()));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf_8_are_shown_all_the_same() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let folder = folder(&["1.jpg"]);
        // Some file systems refuse such names.
        if fs::write(folder.path().join("in").join(OsStr::from_bytes(b"\xff.jpg")), "image").is_ok() {
            let output = folder.path().join("out");
            let places = Places::open(&folder.path().join("in"), &output, ImageFormat::Png).unwrap();
            assert_eq!((places.name(0), places.name(1)), ("1.jpg".into(), r"\xFF.jpg".into()));
        }
    }
}
