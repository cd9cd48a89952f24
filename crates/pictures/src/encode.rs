//! Pictures as files, and many of them on one contact sheet.

use std::{
    io,
    path::{Path, PathBuf},
};

use facegrad_settings::choice;
use image::{ExtendedColorType, ImageEncoder, codecs};

use crate::Picture;

/// Quality of JPEG files, 1 to 100.
const JPEG_QUALITY: u8 = 95;

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
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum WriteError {
    /// The system refused.
    #[error("cannot write {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// The picture cannot be encoded.
    #[error("cannot write {path}: the {format} encoder refused the picture: {reason}")]
    Encode { path: PathBuf, format: ImageFormat, reason: String },
    /// The folder holds something else.
    #[error("{path} already holds files of something else; name a new or an empty folder")]
    Occupied { path: PathBuf },
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

/// Writes the picture, as [`write_png`] does, and returns the size of the file in bytes.
///
/// # Errors
/// If the picture has no pixels or the system refuses.
pub fn write_picture(picture: &Picture, format: ImageFormat, path: &Path) -> Result<u64, WriteError> {
    let bytes =
        encode(picture, format).map_err(|reason| WriteError::Encode { path: path.into(), format, reason })?;
    facegrad_files::replace(path, &bytes).map_err(|source| WriteError::Io { path: path.into(), source })?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn jpeg_files_are_near_the_pictures() {
        let out = tempfile::tempdir().unwrap();
        let wave = |x: usize, y: usize| {
            (127.0 + 60.0 * (x as f32 / 9.0).sin() + 50.0 * (y as f32 / 7.0).cos()) as u8
        };
        let pixels =
            (0..112 * 112).flat_map(|k| [wave(k % 112, k / 112), wave(k / 112, k % 112), wave(k % 112, 3)]);
        let picture = Picture::new(112, 112, pixels.collect());
        let path = out.path().join("face.jpg");
        write_picture(&picture, ImageFormat::Jpeg, &path).unwrap();
        let found = crate::decode::read_picture(&path).unwrap();
        let differences = picture.pixels().iter().zip(found.pixels()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        let mean = differences.sum::<f64>() / picture.pixels().len() as f64;
        assert!(mean < 6.0, "{mean}");
    }

    #[test]
    fn what_cannot_be_encoded_is_named() {
        let out = tempfile::tempdir().unwrap();
        let empty = write_png(&Picture::new(0, 0, Vec::new()), &out.path().join("empty.png")).unwrap_err();
        assert!(empty.to_string().contains("it has no pixels"), "{empty}");
    }
}
