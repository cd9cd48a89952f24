//! From the bytes of an image file to a [`Picture`], with nothing trusted on the way.

use std::{
    io::{self, Cursor},
    path::Path,
};

use crate::{
    Picture,
    jpeg::{Jpeg, JpegError},
    orientation::orientation_of,
};
use facegrad_files::{LookAlike, TooLong, read_bounded};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, error::LimitErrorKind,
    metadata::Orientation,
};

/// Longest side of a decoded picture, in pixels.
pub const MAX_SIDE: usize = 10_000;

/// Most pixels of a decoded picture.
pub const MAX_PIXELS: usize = 64_000_000;

/// Longest side of a JPEG, which is decoded smaller where it is longer than [`MAX_SIDE`], in pixels.
pub const MAX_JPEG_SIDE: usize = 65_535;

/// Most pixels of a JPEG, which is decoded smaller where it has more than [`MAX_PIXELS`].
pub const MAX_JPEG_PIXELS: usize = 256_000_000;

/// Largest file that is read, in bytes.
pub const MAX_FILE_SIZE: u64 = 64 << 20;

/// Most memory a decoder may take, in bytes: 64 megapixels of 16-bit RGBA.
const MAX_DECODER_MEMORY: u64 = MAX_PIXELS as u64 * 8;

/// Why an image file cannot be used. Each message is a clause that follows the name of the file.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum DecodeError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// The file is larger than [`MAX_FILE_SIZE`].
    #[error("the file is larger than {} MiB", MAX_FILE_SIZE >> 20)]
    FileTooLarge,
    /// The content is no image of a known format.
    #[error("its content is not a JPEG, PNG, WebP, BMP or PNM image")]
    UnknownFormat,
    /// The header claims a side longer than [`MAX_SIDE`], more than [`MAX_PIXELS`] pixels, or none at all; in a JPEG,
    /// [`MAX_JPEG_SIDE`] and [`MAX_JPEG_PIXELS`].
    #[error(
        "its header claims {width} x {height} pixels; from 1 to {MAX_SIDE} a side and {} megapixels in all are \
         accepted, and as a JPEG {} megapixels of any sides, so store it smaller",
        MAX_PIXELS / 1_000_000, MAX_JPEG_PIXELS / 1_000_000
    )]
    Dimensions {
        /// Claimed pixels in a row.
        width: usize,
        height: usize,
    },
    /// Decoding would take more memory than is allowed.
    #[error("the {0} decoder would need more than {limit} MiB of memory", limit = MAX_DECODER_MEMORY >> 20)]
    Memory(&'static str),
    /// The data stops before the image is complete.
    #[error("the {0} data ends early")]
    Truncated(&'static str),
    /// The data is damaged, or uses a part of the format that is not supported.
    #[error("the {format} data cannot be decoded: {detail}")]
    Malformed { format: &'static str, detail: String },
    /// The decoder itself failed on this data.
    #[error("the {0} decoder failed on this data")]
    DecoderFailed(&'static str),
}

/// Reads and decodes the image file at `path`; see [`decode`].
pub fn read_picture(path: &Path) -> Result<Picture, DecodeError> {
    decode(&read_file(path)?)
}

/// Reads and decodes the image file at `path` for a network that takes `size` (height, width); see [`decode_at_least`].
pub fn read_at_least(path: &Path, size: [usize; 2]) -> Result<Picture, DecodeError> {
    decode_at_least(&read_file(path)?, size)
}

/// The content of the image file at `path`, of at most [`MAX_FILE_SIZE`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, DecodeError> {
    read_bounded(path, MAX_FILE_SIZE).map_err(|error| match TooLong::of(&error) {
        Some(_) => DecodeError::FileTooLarge,
        None => match LookAlike::of_missing(path) {
            Some(alike) => io::Error::new(error.kind(), format!("{error}; {alike}")).into(),
            None => error.into(),
        },
    })
}

/// Decodes a JPEG, PNG, WebP, BMP or PNM image, told apart by content.
///
/// Grey, 16-bit and CMYK images become 8-bit RGB, alpha is dropped, and the orientation that EXIF gives is
/// applied. Size limits are checked on the header, before memory is taken for pixels. Truncated files are
/// errors; of other damage to a JPEG only what breaks its coding is noticed, as the format has no checksum.
pub fn decode(bytes: &[u8]) -> Result<Picture, DecodeError> {
    decode_for(bytes, None)
}

/// As [`decode`], but a JPEG may come out smaller, at a half, a quarter or an eighth of its size, as long as it is
/// upright and at least `size` (height, width) in pixels. That is several times as fast for a large photograph.
///
/// The smaller picture is made of the low frequencies of each block (ITU-T T.81, as libjpeg's `scale_denom`): it
/// looks as if the large one had been averaged, but is not the same to the bit. Variants of JPEG other than
/// baseline, and other formats, are decoded in full.
///
/// Whatever a network is given is read so: images of a data set in training (at the size that the augmentation cuts
/// from), and those of pair lists, verification sets, folders and single files. Aligned faces of a network's size, and
/// anything less than twice as large, are decoded in full. [`Picture::original_size`] is that of the file in any case.
/// Faces that are cut out of a photograph by landmarks, by `facegrad align` or for IJB, are cut from all its pixels.
pub fn decode_at_least(bytes: &[u8], size: [usize; 2]) -> Result<Picture, DecodeError> {
    decode_for(bytes, Some(size))
}

fn decode_for(bytes: &[u8], least: Option<[usize; 2]>) -> Result<Picture, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(DecodeError::FileTooLarge);
    }
    let format = image::guess_format(bytes).map_err(|_| DecodeError::UnknownFormat)?;
    let name = match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Pnm => "PNM",
        _ => return Err(DecodeError::UnknownFormat),
    };
    // Most decoders are not ours: should one of them panic on crafted bytes, the image is bad, not the run.
    facegrad_files::caught(|| match format {
        ImageFormat::Jpeg => decode_jpeg(bytes, least),
        _ => decode_other(bytes, format, name),
    })
    .unwrap_or(Err(DecodeError::DecoderFailed(name)))
}

fn check_dimensions(width: usize, height: usize) -> Result<(), DecodeError> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) || width * height > MAX_PIXELS {
        return Err(DecodeError::Dimensions { width, height });
    }
    Ok(())
}

/// Decodes a JPEG to at least `least` (height, width), and no larger than the limits allow.
fn decode_jpeg(bytes: &[u8], least: Option<[usize; 2]>) -> Result<Picture, DecodeError> {
    let jpeg = Jpeg::read(bytes)?;
    let (width, height) = jpeg.dimensions()?;
    let sides = 1..=MAX_JPEG_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) || width * height > MAX_JPEG_PIXELS {
        return Err(DecodeError::Dimensions { width, height });
    }
    let orientation = orientation_of(bytes, ImageFormat::Jpeg);
    let wanted = least.map_or(8, |size| block_side([height, width], orientation, size));
    let mut side = 8;
    while side > wanted || !is_within(&jpeg, side)? {
        if side == 1 {
            return Err(DecodeError::Memory("JPEG"));
        }
        side /= 2;
    }
    let decoded = jpeg.decode(side)?;
    let original = if is_turned(orientation) { [width, height] } else { [height, width] };
    let picture = jpeg_upright(decoded.width, decoded.height, decoded.pixels, orientation)?;
    Ok(picture.decoded_from(original, 8 / side))
}

/// Whether decoding blocks of `jpeg` to `side` keeps within the limits of pixels and memory.
fn is_within(jpeg: &Jpeg, side: usize) -> Result<bool, JpegError> {
    let (width, height) = jpeg.dimensions()?;
    let [width, height] = [width, height].map(|stored| (stored * side).div_ceil(8));
    let is_small = width.max(height) <= MAX_SIDE && width * height <= MAX_PIXELS;
    Ok(is_small && jpeg.memory(side)? as u64 <= MAX_DECODER_MEMORY)
}

impl From<JpegError> for DecodeError {
    fn from(error: JpegError) -> Self {
        match error {
            JpegError::Truncated => Self::Truncated("JPEG"),
            other => Self::Malformed { format: "JPEG", detail: other.to_string() },
        }
    }
}

/// A side that is no whole number of pixels when scaled is rounded up, which moves what is in the picture; it may do so
/// by one in so many.
const MAX_STRETCH: usize = 400;

/// The smallest side that blocks of an image of `stored` (height, width) can be decoded to, so that it is not
/// smaller than `least` once it is upright.
fn block_side(stored: [usize; 2], orientation: Orientation, [height, width]: [usize; 2]) -> usize {
    let least = if is_turned(orientation) { [width, height] } else { [height, width] };
    let is_enough = |side: &usize| {
        stored.iter().zip(least).all(|(stored, least)| {
            let scaled = (stored * side).div_ceil(8);
            scaled >= least && (scaled * 8 - stored * side) * MAX_STRETCH <= stored * side
        })
    };
    [1, 2, 4].into_iter().find(is_enough).unwrap_or(8)
}

/// Whether rows become columns.
fn is_turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

fn jpeg_upright(
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    orientation: Orientation,
) -> Result<Picture, DecodeError> {
    if orientation == Orientation::NoTransforms {
        return Ok(Picture::new(width, height, pixels));
    }
    let image = image::RgbImage::from_raw(width as u32, height as u32, pixels)
        .ok_or(DecodeError::DecoderFailed("JPEG"))?;
    Ok(upright(DynamicImage::ImageRgb8(image), orientation))
}

fn decode_other(bytes: &[u8], format: ImageFormat, name: &'static str) -> Result<Picture, DecodeError> {
    // WebP states its length (the RIFF header), and its decoder calls a short file corrupt.
    if format == ImageFormat::WebP
        && let Some(&[a, b, c, d]) = bytes.get(4..8)
        && (u32::from_le_bytes([a, b, c, d]) as usize).saturating_add(8) > bytes.len()
    {
        return Err(DecodeError::Truncated(name));
    }
    let fail = |error| image_error(error, name);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_MEMORY);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(fail)?;
    let (width, height) = decoder.dimensions();
    check_dimensions(width as usize, height as usize)?;
    let image = DynamicImage::from_decoder(decoder).map_err(fail)?;
    Ok(upright(image, orientation_of(bytes, format)))
}

fn image_error(error: ImageError, format: &'static str) -> DecodeError {
    match error {
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::InsufficientMemory => {
            DecodeError::Memory(format)
        }
        ImageError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => DecodeError::Truncated(format),
        ImageError::IoError(e) => DecodeError::Malformed { format, detail: e.to_string() },
        other => DecodeError::Malformed { format, detail: other.to_string() },
    }
}

fn upright(mut image: DynamicImage, orientation: Orientation) -> Picture {
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    Picture::new(image.width() as usize, image.height() as usize, image.into_raw())
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

    use super::*;
    use facegrad_random::{Purpose, Stream};

    const FORMATS: [ImageFormat; 5] =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Pnm];

    /// A picture with detail everywhere, so that no row compresses to nothing.
    fn image(width: u32, height: u32) -> DynamicImage {
        let mut stream = Stream::new(3, Purpose::SyntheticPicture, 0, 0);
        DynamicImage::ImageRgb8(image::RgbImage::from_fn(width, height, |x, y| {
            let noise = stream.below(24) as u32;
            image::Rgb([x * 3 + noise, y * 3 + noise, 90 + noise].map(|v| v.min(255) as u8))
        }))
    }

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn message(bytes: &[u8]) -> String {
        decode(bytes).unwrap_err().to_string()
    }

    #[test]
    fn every_format_and_colour_type_becomes_rgb() {
        let original = image(20, 10);
        for format in FORMATS {
            let picture = decode(&encode(&original, format)).unwrap();
            assert_eq!((picture.width(), picture.height()), (20, 10), "{format:?}");
            let worst =
                picture.pixels().iter().zip(original.as_bytes()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= if format == ImageFormat::Jpeg { 60 } else { 0 }, "{format:?}: {worst}");
        }
        for (colour, formats) in [
            (DynamicImage::ImageLuma8(original.to_luma8()), &FORMATS[..]),
            (DynamicImage::ImageLumaA8(original.to_luma_alpha8()), &FORMATS[1..3]),
            (DynamicImage::ImageRgba8(original.to_rgba8()), &FORMATS[1..4]),
            (DynamicImage::ImageLuma16(original.to_luma16()), &FORMATS[1..2]),
            (DynamicImage::ImageRgb16(original.to_rgb16()), &FORMATS[1..2]),
            (DynamicImage::ImageRgba16(original.to_rgba16()), &FORMATS[1..2]),
        ] {
            for &format in formats {
                let picture = decode(&encode(&colour, format)).unwrap();
                assert_eq!(
                    (picture.width(), picture.height()),
                    (20, 10),
                    "{:?} as {format:?}",
                    colour.color()
                );
                let grey = !colour.color().has_color();
                for (pixel, expected) in picture.pixels().chunks(3).zip(colour.to_rgb8().pixels()) {
                    assert!(!grey || (pixel[0] == pixel[1] && pixel[1] == pixel[2]));
                    assert!(format == ImageFormat::Jpeg || pixel == expected.0);
                }
            }
        }
    }

    #[test]
    fn a_file_cut_short_is_never_half_an_image() {
        for format in FORMATS {
            let bytes = encode(&image(64, 64), format);
            decode(&bytes).unwrap();
            for share in 0..100 {
                let cut = &bytes[..bytes.len() * share / 100];
                let error = decode(cut).expect_err(&format!("{format:?} at {share} %"));
                assert!(!matches!(error, DecodeError::DecoderFailed(_)), "{format:?} at {share} %");
            }
            let most = &bytes[..bytes.len() * 9 / 10];
            let name = format!("{format:?}").replace("Jpeg", "JPEG").replace("Png", "PNG");
            let name = name.replace("Bmp", "BMP").replace("Pnm", "PNM");
            assert_eq!(message(most), format!("the {name} data ends early"));
        }
        // The marker that ends a thumbnail is not that of the image.
        let bytes = encode(&image(64, 64), ImageFormat::Jpeg);
        let mut thumbnail = bytes[..2].to_vec();
        thumbnail.extend([0xFF, 0xEF, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9]);
        thumbnail.extend(&bytes[2..]);
        decode(&thumbnail).unwrap();
        assert_eq!(message(&thumbnail[..thumbnail.len() / 2]), "the JPEG data ends early");
        // Blocks that a download never filled.
        let mut hole = bytes.clone();
        hole[bytes.len() / 2..].fill(0);
        decode(&hole).unwrap_err();
    }

    #[test]
    fn a_jpeg_that_lacks_only_the_mark_of_its_end_is_whole() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/reference/layouts");
        for name in ["2x2-33x25-baseline", "2x2-33x25-progressive", "2x2-33x25-scans", "2x2-33x25-restarts"] {
            let bytes = std::fs::read(format!("{folder}/{name}.jpg")).unwrap();
            let whole = decode(&bytes).unwrap();
            for missing in 1..=2 {
                assert_eq!(decode(&bytes[..bytes.len() - missing]).unwrap(), whole, "{name} - {missing}");
            }
            for missing in 3..bytes.len() - 3 {
                let error = message(&bytes[..bytes.len() - missing]);
                assert_eq!(error, "the JPEG data ends early", "{name} - {missing}");
            }
            // Zeros in place of the rest are missing data as well.
            let mut hole = bytes.clone();
            hole[bytes.len() * 3 / 4..].fill(0);
            decode(&hole).unwrap_err();
        }
    }

    #[test]
    fn what_is_not_an_image_is_named() {
        assert_eq!(message(b""), "the file is empty");
        assert_eq!(message(b"hello"), "its content is not a JPEG, PNG, WebP, BMP or PNM image");
        assert_eq!(message(b"GIF89a......"), "its content is not a JPEG, PNG, WebP, BMP or PNM image");
        let missing = read_picture(Path::new("no/such/file.jpg")).unwrap_err().to_string();
        assert!(missing.starts_with("it cannot be read: "), "{missing}");
    }

    #[test]
    fn absurd_headers_are_refused_before_memory_is_taken() {
        let mut bmp = encode(&image(8, 8), ImageFormat::Bmp);
        bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
        bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
        let pnm = b"P6 100000 100000 255\n".to_vec();
        let mut jpeg = encode(&image(8, 8), ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
        jpeg[frame + 5..frame + 9].fill(0xFF);
        for (bytes, claim) in [
            (png_header(100_000, 100_000), "100000 x 100000"),
            (bmp, "60000 x 60000"),
            (pnm, "100000 x 100000"),
            (jpeg, "65535 x 65535"),
        ] {
            let message = message(&bytes);
            assert!(message.starts_with(&format!("its header claims {claim} pixels; ")), "{message}");
        }
        // Short enough a side, too many pixels in all.
        assert!(matches!(decode(&png_header(9_000, 9_000)), Err(DecodeError::Dimensions { .. })));
    }

    /// A valid PNG header for an image of 8-bit RGB pixels, and the start of their data.
    fn png_header(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = encode(&image(8, 8), ImageFormat::Png);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xEDB8_8320 & (c & 1).wrapping_neg()))
        })
    }

    /// A JPEG with an EXIF orientation.
    fn oriented(original: &DynamicImage, tag: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([tag, 0, 0, 0, 0, 0, 0, 0]);
        encoder.set_exif_metadata(exif).unwrap();
        let (width, height) = (original.width(), original.height());
        encoder.write_image(original.as_bytes(), width, height, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    #[test]
    fn the_orientation_of_exif_is_applied() {
        let original = image(48, 16);
        let plain = decode(&encode(&original, ImageFormat::Jpeg)).unwrap();
        for tag in 1..=8 {
            let picture = decode(&oriented(&original, tag)).unwrap();
            let turned = tag >= 5;
            assert_eq!((picture.width(), picture.height()), if turned { (16, 48) } else { (48, 16) });
            // Where the first pixel of the stored rows lands (EXIF 2.3, orientation tag).
            let (x, y) = match tag {
                1 | 5 => (0, 0),
                2 => (47, 0),
                3 => (47, 15),
                4 => (0, 15),
                6 => (15, 0),
                7 => (15, 47),
                _ => (0, 47),
            };
            let at = (y * picture.width() + x) * 3;
            let worst = (0..3).map(|c| picture.pixels()[at + c].abs_diff(plain.pixels()[c])).max().unwrap();
            assert!(worst <= 40, "orientation {tag}: {worst}");
        }
    }

    /// The mean difference of two pictures at the same size.
    fn difference(a: Picture, b: Picture, size: [usize; 2]) -> f64 {
        let [a, b] = [a, b].map(|picture| crate::plain(picture, size).into_pixels());
        a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn a_large_photograph_is_decoded_smaller_and_looks_the_same() {
        // Waves, so that there is something to see at every size.
        let wave = |x: u32, y: u32, length: f32| {
            (127.0 + 60.0 * (x as f32 / length).sin() + 50.0 * (y as f32 / length / 1.3).cos()) as u8
        };
        let photograph = DynamicImage::ImageRgb8(image::RgbImage::from_fn(336, 256, |x, y| {
            image::Rgb([wave(x, y, 30.0), wave(y, x, 21.0), wave(x + y, x, 45.0)])
        }));
        for tag in 1..=8 {
            let bytes = oriented(&photograph, tag);
            let full = decode(&bytes).unwrap();
            let [height, width] = [full.height(), full.width()];
            let mut sides = Vec::new();
            for size in [[20, 20], [32, 42], [40, 30], [63, 80], [112, 112], [125, 100], [129, 90], [251, 10]]
            {
                let scaled = decode_at_least(&bytes, size).unwrap();
                let [small_height, small_width] = [scaled.height(), scaled.width()];
                let factor = height / small_height;
                assert!([1, 2, 4, 8].contains(&factor), "{factor}");
                assert!(small_height >= size[0].min(height) && small_width >= size[1].min(width), "{size:?}");
                assert_eq!([small_height * factor, small_width * factor], [height, width], "{tag}");
                assert_eq!(scaled.original_size(), [height, width], "{tag}");
                let apart = difference(full.clone(), scaled, size.map(|side| side.min(64)));
                assert!(apart < 1.5, "orientation {tag}, {size:?}: {apart}");
                sides.push(small_height);
            }
            let expected = if tag < 5 {
                [32, 32, 64, 64, 128, 128, 256, 256]
            } else {
                [42, 84, 42, 168, 168, 168, 168, 336]
            };
            assert_eq!(sides, expected, "orientation {tag}");
            // No larger than it is, however large it is wanted.
            assert_eq!(decode_at_least(&bytes, [4000, 4000]).unwrap(), full);
        }
        // An eighth or a quarter of 250 would be stretched.
        let bytes = encode(&photograph.crop_imm(0, 0, 250, 200), ImageFormat::Jpeg);
        assert_eq!(decode_at_least(&bytes, [10, 10]).unwrap().width(), 125);
        // Other formats and small images are decoded as they are.
        for format in FORMATS {
            let bytes = encode(&image(40, 30), format);
            assert_eq!(decode_at_least(&bytes, [30, 20]).unwrap(), decode(&bytes).unwrap());
        }
    }

    /// A grey JPEG of so many pixels across and down, all 128.
    fn flat_jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        let grey = image::GrayImage::from_pixel(8, 8, image::Luma([128]));
        JpegEncoder::new_with_quality(&mut bytes, 75).encode_image(&grey).unwrap();
        let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
        let length = usize::from(u16::from_be_bytes([bytes[scan + 2], bytes[scan + 3]]));
        bytes.truncate(scan + 2 + length);
        // The codes of no difference and of the end of a block: four blocks in three bytes.
        let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8);
        bytes.extend([0x28, 0xA2, 0x8A].into_iter().cycle().take((blocks * 6).div_ceil(8)));
        bytes.extend([0xFF, 0xD9]);
        bytes
    }

    #[test]
    fn photographs_beyond_the_limit_are_decoded_smaller() {
        for (width, height, reduction) in [
            (8000, 8000, 1),
            (8001, 8000, 2),
            (12_000, 9000, 2),
            (16_320, 12_240, 2),
            (40_000, 300, 4),
            (65_000, 3900, 8),
        ] {
            let bytes = flat_jpeg(width, height);
            let [width, height] = [width, height].map(usize::from);
            let picture = decode(&bytes).unwrap();
            assert_eq!(picture.reduction(), reduction, "{width} x {height}");
            assert_eq!(picture.original_size(), [height, width]);
            assert_eq!(picture.width(), width.div_ceil(reduction));
            assert_eq!(picture.height(), height.div_ceil(reduction));
            assert!(picture.pixels().iter().all(|&value| value == 128));
            assert!(picture.width() <= MAX_SIDE && picture.width() * picture.height() <= MAX_PIXELS);
            assert_eq!(decode_at_least(&bytes, [4, 4]).unwrap().original_size(), [height, width]);
        }
        assert_eq!(
            message(&flat_jpeg(16_001, 16_000)),
            "its header claims 16001 x 16000 pixels; from 1 to 10000 a side and 64 megapixels in all are accepted, and \
             as a JPEG 256 megapixels of any sides, so store it smaller"
        );
    }

    #[test]
    fn a_large_photograph_cut_short_is_an_error_at_every_scale() {
        let bytes = encode(&image(400, 300), ImageFormat::Jpeg);
        for size in [[16, 16], [60, 60], [112, 112], [300, 300]] {
            decode_at_least(&bytes, size).unwrap();
            for share in (0..100).step_by(7) {
                let error = decode_at_least(&bytes[..bytes.len() * share / 100], size).unwrap_err();
                assert!(!matches!(error, DecodeError::DecoderFailed(_)), "{size:?} at {share} %");
            }
            let mut hole = bytes.clone();
            hole[bytes.len() / 2..].fill(0);
            decode_at_least(&hole, size).unwrap_err();
        }
    }

    /// What `reference/jpeg.py` writes.
    #[derive(serde::Deserialize)]
    struct Reference {
        name: String,
        jpeg: String,
        size: [usize; 2],
        mean: [f64; 3],
        sha256: String,
    }

    #[test]
    fn the_pixels_are_those_of_libjpeg() {
        let references: Vec<Reference> =
            serde_json::from_str(include_str!("../reference/jpeg.json")).unwrap();
        assert!(references.len() >= 10);
        for Reference { name, jpeg, size: [width, height], mean, sha256 } in references {
            let bytes: Vec<u8> = (0..jpeg.len() / 2)
                .map(|i| u8::from_str_radix(&jpeg[i * 2..i * 2 + 2], 16).unwrap())
                .collect();
            let picture = decode(&bytes).unwrap();
            assert_eq!((picture.width(), picture.height()), (width, height), "{name}");
            for (channel, mean) in mean.into_iter().enumerate() {
                let values = picture.pixels().iter().skip(channel).step_by(3);
                let found = values.map(|&v| f64::from(v)).sum::<f64>() / (width * height) as f64;
                assert!((found - mean).abs() < 1.0, "{name}: {found} for {mean}");
            }
            assert_eq!(facegrad_files::sha256(picture.pixels()), sha256, "{name}");
            // Every scale of every variant gives a picture of that size.
            for side in [1, 2, 4] {
                let small = Jpeg::read(&bytes).unwrap().decode(side).unwrap();
                let expected = [width, height].map(|length| (length * side).div_ceil(8));
                assert_eq!([small.width, small.height], expected, "{name}");
            }
        }
    }

    #[test]
    fn the_name_of_a_file_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        for (format, name) in FORMATS.into_iter().zip(["a.png", "b.jpg", "c.bmp", "d.webp", "e.txt"]) {
            let path = folder.path().join(name);
            std::fs::write(&path, encode(&image(20, 20), format)).unwrap();
            assert_eq!(read_picture(&path).unwrap().width(), 20, "{format:?} as {name}");
        }
        let empty = folder.path().join("empty.jpg");
        std::fs::write(&empty, b"").unwrap();
        assert_eq!(read_picture(&empty).unwrap_err().to_string(), "the file is empty");
    }

    /// PNG data and text that are thousands of times larger once inflated than what the header announces.
    #[test]
    fn data_that_inflates_without_end_is_cut_off() {
        let deflated = |bytes: usize| {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::copy(&mut std::io::Read::take(std::io::repeat(0), bytes as u64), &mut encoder).unwrap();
            encoder.finish().unwrap()
        };
        let chunk = |kind: &[u8; 4], data: &[u8]| {
            let named = [kind, data].concat();
            let length = (data.len() as u32).to_be_bytes();
            [&length[..], &named, &crc32(&named).to_be_bytes()].concat()
        };
        let header = &encode(&image(8, 8), ImageFormat::Png)[..33];
        let bomb = deflated(64 << 20);
        let data = chunk(b"IDAT", &bomb);
        let text = chunk(b"zTXt", &[b"Comment\0\0", &bomb[..]].concat());
        let end = chunk(b"IEND", b"");
        let picture = decode(&[header, &data, &end].concat());
        assert!(picture.is_ok_and(|picture| picture.pixels().len() == 8 * 8 * 3));
        let usual = chunk(b"IDAT", &deflated(8 * 25));
        let picture = decode(&[header, &text, &usual, &end].concat());
        assert!(picture.is_ok_and(|picture| picture.pixels().iter().all(|&value| value == 0)));
    }

    /// Damaged files must come back as an error or a picture, whatever the decoders do.
    #[test]
    fn damaged_bytes_never_panic() {
        let mut stream = Stream::new(11, Purpose::SyntheticPicture, 0, 1);
        for format in FORMATS {
            let bytes = encode(&image(32, 32), format);
            for _ in 0..200 {
                let mut damaged = bytes.clone();
                for _ in 0..1 + stream.below(8) {
                    let at = stream.below(damaged.len());
                    damaged[at] = stream.bits() as u8;
                }
                for picture in [decode(&damaged), decode_at_least(&damaged, [8, 8])] {
                    assert!(picture.map_or(0, |picture| picture.width()) <= MAX_SIDE);
                }
            }
        }
    }
}
