//! Pictures to look at: contact sheets, and synthetic faces as files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use facegrad_settings::{choice, toml};
use image::{ExtendedColorType, ImageEncoder, codecs};
use rayon::prelude::*;

use crate::{FaceSource, Picture, SyntheticConfig, SyntheticFaces};

/// Rows and columns of the contact sheet that [`write_folder`] adds.
const SHEET: [usize; 2] = [16, 12];
/// Quality of JPEG files, 1 to 100.
const JPEG_QUALITY: u8 = 95;
/// The file that says what a folder of synthetic faces was made from.
const RECIPE_FILE: &str = "recipe.toml";

choice! {
    /// How pictures are stored.
    pub enum ImageFormat {
        /// Lossless.
        Png = "png",
        /// JPEG of quality 95.
        Jpeg = "jpeg" | "jpg",
    }
}

impl ImageFormat {
    /// The ending of file names, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }
}

/// A file or folder that could not be written, and why.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refused.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The picture cannot be encoded.
    #[error("cannot write {path}: the {format} encoder refused the picture: {reason}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: ImageFormat,
        /// What the encoder said.
        reason: String,
    },
    /// The folder holds something else.
    #[error("{path} already holds files of something else; name a new or an empty folder")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
}

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

/// The pictures side by side, `columns` to a row, on white with `gap` pixels between them.
///
/// Each cell is as large as the largest picture; smaller ones lie in its top left corner. Without pictures or
/// columns the sheet has no pixels.
pub fn contact_sheet(pictures: &[Picture], columns: usize, gap: usize) -> Picture {
    let columns = columns.min(pictures.len());
    if columns == 0 {
        return Picture::new(0, 0, Vec::new());
    }
    let largest = |side: fn(&Picture) -> usize| pictures.iter().map(side).max().unwrap_or(0);
    let (cell_width, cell_height) = (largest(Picture::width) + gap, largest(Picture::height) + gap);
    let (width, height) = (columns * cell_width + gap, pictures.len().div_ceil(columns) * cell_height + gap);
    let mut pixels = vec![255; width * height * 3];
    for (k, picture) in pictures.iter().enumerate() {
        let (left, top) = (gap + k % columns * cell_width, gap + k / columns * cell_height);
        for (y, row) in picture.pixels().chunks_exact((picture.width() * 3).max(1)).enumerate() {
            pixels[((top + y) * width + left) * 3..][..row.len()].copy_from_slice(row);
        }
    }
    Picture::new(width, height, pixels)
}

/// Writes the picture as a PNG file, first under another name, so that the file is never seen half written.
///
/// # Errors
/// If the picture has no pixels or the system refuses.
pub fn write_png(picture: &Picture, path: &Path) -> Result<(), WriteError> {
    write_picture(picture, ImageFormat::Png, path).map(|_| ())
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
    let mut bytes = 0;
    for (label, name) in faces.identities().iter().enumerate() {
        let folder = out.join(name);
        create_folder(&folder)?;
        bytes += (0..config.images)
            .into_par_iter()
            .map(|picture| {
                let path = folder.join(format!("{picture:04}.{}", format.extension()));
                write_picture(&faces.render(label, picture, config.size), format, &path)
            })
            .try_reduce(|| 0, |a, b| Ok(a + b))?;
        progress((label + 1) * config.images, faces.len());
    }
    let contact_sheet = out.join("contact-sheet.png");
    write_png(&synthetic_sheet(&faces, SHEET[0], SHEET[1]), &contact_sheet)?;
    Ok(WrittenFolder { images: faces.len(), bytes, contact_sheet })
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
        crate::synthetic::RECIPE,
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
    write_bytes(recipe.as_bytes(), &path)
}

fn create_folder(path: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(path).map_err(|source| WriteError::Io { path: path.into(), source })
}

/// Writes the picture and returns its size in bytes.
fn write_picture(picture: &Picture, format: ImageFormat, path: &Path) -> Result<u64, WriteError> {
    let bytes =
        encode(picture, format).map_err(|reason| WriteError::Encode { path: path.into(), format, reason })?;
    write_bytes(&bytes, path)?;
    Ok(bytes.len() as u64)
}

/// The picture as the bytes of a file.
///
/// # Errors
/// Why it cannot be encoded: it has no pixels, or too many.
pub fn encode(picture: &Picture, format: ImageFormat) -> Result<Vec<u8>, String> {
    let side = |n: usize| u32::try_from(n).map_err(|_| format!("{n} pixels are too many"));
    let (width, height) = (side(picture.width())?, side(picture.height())?);
    if width == 0 || height == 0 {
        return Err("it has no pixels".into());
    }
    let mut bytes = Vec::new();
    let colour = ExtendedColorType::Rgb8;
    match format {
        ImageFormat::Png => {
            codecs::png::PngEncoder::new(&mut bytes).write_image(picture.pixels(), width, height, colour)
        }
        ImageFormat::Jpeg => codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
            .write_image(picture.pixels(), width, height, colour),
    }
    .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Writes a file completely or not at all.
fn write_bytes(bytes: &[u8], path: &Path) -> Result<(), WriteError> {
    facegrad_files::replace(path, bytes).map_err(|source| WriteError::Io { path: path.into(), source })
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
    fn a_sheet_holds_every_picture_in_reading_order() {
        let picture = |value| Picture::new(2, 1, vec![value; 6]);
        let sheet = contact_sheet(&[picture(1), picture(2), picture(3)], 2, 1);
        assert_eq!((sheet.width(), sheet.height()), (7, 5));
        let at = |x: usize, y: usize| sheet.pixels()[(y * 7 + x) * 3];
        let rows: Vec<Vec<u8>> = (0..5).map(|y| (0..7).map(|x| at(x, y)).collect()).collect();
        assert_eq!(rows[1], [255, 1, 1, 255, 2, 2, 255]);
        assert_eq!(rows[3], [255, 3, 3, 255, 255, 255, 255]);
        assert!([0, 2, 4].iter().all(|&y| rows[y] == [255; 7]));
        assert_eq!(contact_sheet(&[], 4, 1).width(), 0);
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
    fn jpeg_files_are_near_the_pictures() {
        let out = tempfile::tempdir().unwrap();
        let faces = SyntheticFaces::new(&config());
        let picture = faces.render(0, 0, 112);
        let path = out.path().join("face.jpg");
        write_picture(&picture, ImageFormat::Jpeg, &path).unwrap();
        let found = read(&path);
        let differences = picture.pixels().iter().zip(found.pixels()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        let mean = differences.sum::<f64>() / picture.pixels().len() as f64;
        assert!(mean < 6.0, "{mean}");
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = write_folder(&config(), ImageFormat::Png, &file, &mut |_, _| ()).unwrap_err();
        assert!(matches!(&error, WriteError::Io { path, .. } if *path == file), "{error}");
        let empty = write_png(&Picture::new(0, 0, Vec::new()), &out.path().join("empty.png")).unwrap_err();
        assert!(empty.to_string().contains("it has no pixels"), "{empty}");
    }
}
