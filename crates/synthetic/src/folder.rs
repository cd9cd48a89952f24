//! Synthetic faces as files: a folder of them, and a contact sheet.

use std::{
    fs,
    path::{Path, PathBuf},
};

use facegrad_pictures::{ImageFormat, Picture, WriteError, contact_sheet, write_picture, write_png};
use facegrad_settings::toml;
use rayon::prelude::*;

use crate::{RECIPE, SyntheticConfig, SyntheticFaces};

/// Rows and columns of the contact sheet that [`write_folder`] adds.
const SHEET: [usize; 2] = [16, 12];
/// The file that says what a folder of synthetic faces was made from.
const RECIPE_FILE: &str = "recipe.toml";

/// What [`write_folder`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFolder {
    /// Number of images.
    pub images: usize,
    /// Bytes of the images on disk.
    pub bytes: u64,
    /// The contact sheet.
    pub contact_sheet: PathBuf,
}

/// Writes the synthetic faces of `config` to `<out>/<identity>/<number>.png` (or `.jpg`), with a
/// `contact-sheet.png` of the first of them (a row for each identity) and the config as `recipe.toml`.
///
/// `progress(done, total)` is called with the number of images after each identity. A folder that holds the
/// same recipe is completed or written again; one that holds anything else is left alone.
///
/// # Errors
/// If `out` holds something else, or the system refuses to write.
pub fn write_folder(
    config: &SyntheticConfig,
    format: ImageFormat,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<WrittenFolder, WriteError> {
    let faces = SyntheticFaces::new(config);
    claim(out, &recipe(&faces, format))?;
    let (mut bytes, images) = (0, config.identities * config.images);
    for (label, name) in faces.names().iter().enumerate() {
        let folder = out.join(name);
        create_folder(&folder)?;
        bytes += (0..config.images)
            .into_par_iter()
            .map(|picture| {
                let path = folder.join(format!("{picture:04}.{}", format.extension()));
                write_picture(&faces.render(label, picture, config.size), format, &path)
            })
            .try_reduce(|| 0, |a, b| Ok(a + b))?;
        progress((label + 1) * config.images, images);
    }
    let contact_sheet = out.join("contact-sheet.png");
    write_png(&synthetic_sheet(&faces, SHEET[0], SHEET[1]), &contact_sheet)?;
    Ok(WrittenFolder { images, bytes, contact_sheet })
}

/// The first pictures (columns) of the first identities (rows), at most `rows` x `columns` of them.
pub fn synthetic_sheet(faces: &SyntheticFaces, rows: usize, columns: usize) -> Picture {
    let config = faces.config();
    let columns = columns.min(config.images).max(1);
    let pictures: Vec<_> = (0..rows.min(config.identities) * columns)
        .into_par_iter()
        .map(|k| faces.render(k / columns, k % columns, config.size))
        .collect();
    contact_sheet(&pictures, columns, 4)
}

/// What a folder of synthetic faces was made from.
fn recipe(faces: &SyntheticFaces, format: ImageFormat) -> String {
    let table = toml::to_string(faces.config()).unwrap_or_default();
    format!(
        "# Synthetic faces, made by `facegrad data synth`.\n# recipe {}, {format}\n# sha256 {}\n{table}",
        RECIPE,
        faces.fingerprint()
    )
}

/// Makes `out` a folder that holds `recipe` and nothing that belongs to another.
fn claim(out: &Path, recipe: &str) -> Result<(), WriteError> {
    create_folder(out)?;
    let path = out.join(RECIPE_FILE);
    if fs::read_to_string(&path).is_ok_and(|found| found == recipe) {
        return Ok(());
    }
    let error = |source| WriteError::Io { path: out.into(), source };
    if fs::read_dir(out).map_err(error)?.next().is_some() {
        return Err(WriteError::Occupied { path: out.into() });
    }
    facegrad_files::replace(&path, recipe.as_bytes()).map_err(|source| WriteError::Io { path, source })
}

fn create_folder(path: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(path).map_err(|source| WriteError::Io { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SyntheticConfig {
        SyntheticConfig { identities: 3, images: 2, size: 32, ..SyntheticConfig::default() }
    }

    fn read(path: &Path) -> Picture {
        let image = image::open(path).unwrap().to_rgb8();
        Picture::new(image.width() as usize, image.height() as usize, image.into_raw())
    }

    #[test]
    fn a_folder_holds_the_pictures_and_a_sheet_of_them() {
        let out = tempfile::tempdir().unwrap();
        let mut calls = Vec::new();
        let written = write_folder(&config(), ImageFormat::Png, out.path(), &mut |done, total| {
            calls.push((done, total))
        })
        .unwrap();
        assert_eq!(calls, [(2, 6), (4, 6), (6, 6)]);
        assert_eq!(written.images, 6);
        let faces = SyntheticFaces::new(&config());
        assert_eq!(read(&out.path().join("000002/0001.png")), faces.render(2, 1, 32));
        assert_eq!(read(&written.contact_sheet), synthetic_sheet(&faces, 3, 2));
        let files: Vec<_> = walkdir::WalkDir::new(out.path())
            .into_iter()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(files.len(), 8, "six images, the sheet and the recipe: {files:?}");
        assert!(files.iter().all(|name| !name.starts_with(".writing-")));
    }

    #[test]
    fn a_folder_is_completed_by_its_own_recipe_only() {
        let out = tempfile::tempdir().unwrap();
        let write =
            |config: &SyntheticConfig, format| write_folder(config, format, out.path(), &mut |_, _| ());
        write(&config(), ImageFormat::Jpeg).unwrap();
        let lost = out.path().join("000001/0000.jpg");
        fs::remove_file(&lost).unwrap();
        write(&config(), ImageFormat::Jpeg).unwrap();
        assert!(lost.exists());
        let other = SyntheticConfig { seed: 2, ..config() };
        for error in [write(&other, ImageFormat::Jpeg), write(&config(), ImageFormat::Png)] {
            let message = error.unwrap_err().to_string();
            assert!(message.ends_with("name a new or an empty folder"), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = write_folder(&config(), ImageFormat::Png, &file, &mut |_, _| ()).unwrap_err();
        assert!(matches!(&error, WriteError::Io { path, .. } if *path == file), "{error}");
    }
}
