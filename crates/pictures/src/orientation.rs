//! How a photograph is to be turned, as EXIF says it in every container.

use std::io::Read;

use flate2::read::ZlibDecoder;
use image::{ImageFormat, metadata::Orientation};

/// Most bytes of EXIF that are inflated. The tag stands at their beginning.
const MAX_EXIF: u64 = 1 << 20;

/// What EXIF is called in some containers.
const NAME: &[u8] = b"Exif\0\0";

/// The orientation of an image file; none where there is no EXIF, or it cannot be read: the pixels matter, not the
/// metadata.
///
/// The first EXIF block counts. In a JPEG that is the first APP1 segment with the name of EXIF before the pixels, in a PNG
/// the chunk `eXIf` wherever it stands, or else the text that ImageMagick writes, in a WebP the chunk `EXIF`.
pub(crate) fn orientation_of(bytes: &[u8], format: ImageFormat) -> Orientation {
    let found = match format {
        ImageFormat::Jpeg => jpeg_exif(bytes).and_then(orientation),
        ImageFormat::WebP => webp_exif(bytes).and_then(orientation),
        ImageFormat::Png => png_orientation(bytes),
        _ => None,
    };
    found.unwrap_or(Orientation::NoTransforms)
}

/// The orientation (tag 0x0112 of EXIF 2.3) in a block of EXIF, with or without its name; as SHORT, or as LONG.
fn orientation(exif: &[u8]) -> Option<Orientation> {
    const TAG: u16 = 0x0112;
    let tiff = exif.strip_prefix(NAME).unwrap_or(exif);
    let is_little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| -> Option<u16> {
        let bytes = tiff.get(at..)?.first_chunk()?;
        Some(if is_little { u16::from_le_bytes(*bytes) } else { u16::from_be_bytes(*bytes) })
    };
    let long = |at: usize| -> Option<u32> {
        let bytes = tiff.get(at..)?.first_chunk()?;
        Some(if is_little { u32::from_le_bytes(*bytes) } else { u32::from_be_bytes(*bytes) })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    let mut places = (0..entries).map(|entry| directory + 2 + 12 * entry);
    let entry = places.find(|&at| short(at) == Some(TAG))?;
    let value = match (short(entry + 2)?, long(entry + 4)?) {
        (3, 1) => u32::from(short(entry + 8)?),
        (4, 1) => long(entry + 8)?,
        _ => return None,
    };
    Orientation::from_exif(u8::try_from(value).ok()?)
}

/// The first EXIF segment before the pixels (ITU-T T.81, annex B).
fn jpeg_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(2..)?;
    loop {
        let at = rest.iter().position(|&byte| byte == 0xFF)?;
        rest = &rest[at + 1..];
        match rest {
            [] | [0xDA | 0xD9, ..] => return None,
            [0xFF | 0 | 0x01 | 0xD0..=0xD8, ..] => {}
            [marker, after @ ..] => {
                let (length, after) = after.split_first_chunk()?;
                let length = usize::from(u16::from_be_bytes(*length)).saturating_sub(2);
                let (segment, after) = after.split_at_checked(length)?;
                if *marker == 0xE1 && segment.starts_with(NAME) {
                    return Some(segment);
                }
                rest = after;
            }
        }
    }
}

/// The first EXIF chunk.
fn webp_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.get(12..)?;
    loop {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        let chunk = after.get(..length)?;
        if name == b"EXIF" {
            return Some(chunk);
        }
        // Chunks are filled up to whole pairs of bytes.
        rest = after.get(length.checked_next_multiple_of(2)?..)?;
    }
}

/// The orientation in the chunk `eXIf`, or else in the first text that ImageMagick keeps EXIF in.
fn png_orientation(bytes: &[u8]) -> Option<Orientation> {
    let mut in_text = None;
    let mut rest = bytes.get(8..)?;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((name, after)) = after.split_first_chunk::<4>() else { break };
        let Some(chunk) = after.get(..length) else { break };
        match name {
            b"eXIf" => return orientation(chunk),
            b"tEXt" | b"zTXt" | b"iTXt" if in_text.is_none() => {
                in_text = profile(name, chunk).and_then(|exif| orientation(&exif));
            }
            _ => {}
        }
        // A checksum follows.
        rest = after.get(length + 4..).unwrap_or_default();
    }
    in_text
}

/// The EXIF block in a text chunk `Raw profile type exif` or `APP1` of a PNG.
fn profile(kind: &[u8; 4], chunk: &[u8]) -> Option<Vec<u8>> {
    let chunk = chunk.strip_prefix(b"Raw profile type ")?;
    let chunk = chunk.strip_prefix(b"exif\0").or_else(|| chunk.strip_prefix(b"APP1\0"))?;
    let (is_compressed, text) = match (kind, chunk) {
        (b"tEXt", text) => (false, text),
        (b"zTXt", [0, text @ ..]) => (true, text),
        // Whether it is compressed, how, a language and a keyword in it.
        (b"iTXt", [is_compressed, 0, rest @ ..]) => {
            (*is_compressed == 1, rest.splitn(3, |&byte| byte == 0).nth(2)?)
        }
        _ => return None,
    };
    let mut inflated = Vec::new();
    if is_compressed {
        // What comes before damage is good enough.
        let _ = ZlibDecoder::new(text).take(MAX_EXIF).read_to_end(&mut inflated);
    } else {
        inflated.extend_from_slice(text);
    }
    // Its name, its length, and its bytes in hexadecimal digits, in lines.
    let mut words = inflated.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.nth(1)?;
    let digits: Vec<u8> =
        words.flatten().map_while(|&digit| char::from(digit).to_digit(16)).map(|digit| digit as u8).collect();
    Some(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}
