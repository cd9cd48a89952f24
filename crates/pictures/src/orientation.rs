//! How a photograph is to be turned, as EXIF says it in every container.

use std::io::Read;

use flate2::read::ZlibDecoder;
use image::{ImageFormat, metadata::Orientation};

/// Most bytes of EXIF that are inflated. The tag stands at their beginning.
const MAX_EXIF: u64 = 1 << 20;

/// What EXIF is called in some containers.
const NAME: &[u8] = b"Exif\0\0";

/// Whether EXIF says that the image in `bytes` is to be turned or mirrored, which [`decode`](crate::decode::decode) does.
pub fn is_turned(bytes: &[u8]) -> bool {
    let format = image::guess_format(bytes).ok();
    format.is_some_and(|format| orientation_of(bytes, format) != Orientation::NoTransforms)
}

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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;
    use crate::decode::decode;

    /// EXIF of nothing but an orientation, as SHORT or LONG.
    fn exif(orientation: u8, is_long: bool, is_little: bool) -> Vec<u8> {
        let order: &[u8] = if is_little { b"II*\0\x08\0\0\0" } else { b"MM\0*\0\0\0\x08" };
        let numbers: [(u32, usize); 5] = [
            (1, 2),
            (0x0112, 2),
            (if is_long { 4 } else { 3 }, 2),
            (1, 4),
            (u32::from(orientation), if is_long { 4 } else { 2 }),
        ];
        let mut bytes = order.to_vec();
        for (number, length) in numbers {
            let little = number.to_le_bytes();
            let number = little[..length].iter().copied();
            if is_little { bytes.extend(number) } else { bytes.extend(number.rev()) }
        }
        bytes.resize(bytes.len() + 6, 0);
        bytes
    }

    fn segment(exif: &[u8]) -> Vec<u8> {
        let length = (2 + NAME.len() + exif.len()) as u16;
        [&[0xFF, 0xE1], &length.to_be_bytes()[..], NAME, exif].concat()
    }

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut crc = flate2::Crc::new();
        crc.update(&[kind, data].concat());
        let length = (data.len() as u32).to_be_bytes();
        [&length[..], kind, data, &crc.sum().to_be_bytes()].concat()
    }

    /// What ImageMagick writes of a profile.
    fn profile_text(name: &str, profile: &[u8]) -> Vec<u8> {
        let digits: String = profile.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines: Vec<&str> = (0..digits.len().div_ceil(72))
            .map(|line| &digits[line * 72..digits.len().min((line + 1) * 72)])
            .collect();
        format!("\n{name}\n{:8}\n{}\n", profile.len(), lines.join("\n")).into_bytes()
    }

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let image = image::RgbImage::from_fn(24, 16, |x, y| image::Rgb([(x * 10) as u8, (y * 15) as u8, 90]));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// `inserted` behind the first segment of a JPEG or behind the header of a PNG, or at the end of its chunks.
    fn with(format: ImageFormat, inserted: &[u8], at_the_end: bool) -> Vec<u8> {
        let bytes = encoded(format);
        let place = match format {
            ImageFormat::Jpeg => 2,
            _ if at_the_end => bytes.len() - 12,
            _ => 33,
        };
        [&bytes[..place], inserted, &bytes[place..]].concat()
    }

    /// A WebP with a chunk at its end. The file that is extended has no chunk that says which there are.
    fn webp(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let plain = encoded(ImageFormat::WebP);
        let extended = [&[8, 0, 0, 0], &23u32.to_le_bytes()[..3], &15u32.to_le_bytes()[..3]].concat();
        let mut bytes = plain[..12].to_vec();
        for (name, data) in [(b"VP8X", &extended[..]), (name, data)] {
            if name != b"VP8X" {
                bytes.extend_from_slice(&plain[12..]);
            }
            bytes.extend_from_slice(name);
            bytes.extend((data.len() as u32).to_le_bytes());
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(2), 0);
        }
        let length = (bytes.len() - 8) as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn the_orientation_counts_in_every_container_and_form() {
        use ImageFormat::{Jpeg, Png};
        for tag in 1..=8 {
            for (is_long, is_little) in [(false, false), (false, true), (true, false), (true, true)] {
                let exif = exif(tag, is_long, is_little);
                let named = [NAME, &exif].concat();
                let text = [b"Raw profile type exif\0", &profile_text("exif", &named)[..]].concat();
                let app1 =
                    [b"Raw profile type APP1\0\0", &deflated(&profile_text("APP1", &named))[..]].concat();
                let packed =
                    [b"Raw profile type exif\0\0", &deflated(&profile_text("exif", &named))[..]].concat();
                let international =
                    [b"Raw profile type exif\0\0\0\0\0", &profile_text("exif", &exif)[..]].concat();
                let files = [
                    ("JPEG", with(Jpeg, &segment(&exif), false)),
                    ("PNG, eXIf", with(Png, &chunk(b"eXIf", &exif), false)),
                    ("PNG, eXIf behind the data", with(Png, &chunk(b"eXIf", &exif), true)),
                    ("PNG, eXIf with a name", with(Png, &chunk(b"eXIf", &named), true)),
                    ("PNG, text", with(Png, &chunk(b"tEXt", &text), false)),
                    ("PNG, text behind the data", with(Png, &chunk(b"tEXt", &text), true)),
                    ("PNG, packed text", with(Png, &chunk(b"zTXt", &packed), false)),
                    ("PNG, APP1", with(Png, &chunk(b"zTXt", &app1), false)),
                    ("PNG, international text", with(Png, &chunk(b"iTXt", &international), false)),
                    ("WebP", webp(b"EXIF", &exif)),
                    ("WebP with a name", webp(b"EXIF", &named)),
                ];
                for (what, file) in files {
                    let format = image::guess_format(&file).unwrap();
                    let plain = decode(&encoded(format)).unwrap();
                    let (width, height) = (plain.width(), plain.height());
                    let found = decode(&file).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(is_turned(&file), tag != 1, "{what}, {tag}");
                    // Where the first pixel of the stored rows lands (EXIF 2.3).
                    let (x, y) = match tag {
                        1 | 5 => (0, 0),
                        2 => (width - 1, 0),
                        3 => (width - 1, height - 1),
                        4 => (0, height - 1),
                        6 => (height - 1, 0),
                        7 => (height - 1, width - 1),
                        _ => (0, width - 1),
                    };
                    let turned = if tag >= 5 { (height, width) } else { (width, height) };
                    assert_eq!((found.width(), found.height()), turned, "{what}, {tag}");
                    let at = (y * found.width() + x) * 3;
                    assert_eq!(found.pixels()[at..at + 3], plain.pixels()[..3], "{what}, {tag}");
                }
            }
        }
    }

    #[test]
    fn the_first_exif_counts() {
        let [turned, upright] = [6, 1].map(|tag| segment(&exif(tag, false, true)));
        let of =
            |inserted: &[u8]| orientation_of(&with(ImageFormat::Jpeg, inserted, false), ImageFormat::Jpeg);
        assert_eq!(of(&[&turned[..], &upright].concat()), Orientation::Rotate90);
        assert_eq!(of(&[&upright[..], &turned].concat()), Orientation::NoTransforms);
        // Bytes between segments, and segments of XMP.
        let xmp = b"\xFF\xE1\0\x20http://ns.adobe.com/xap/1.0/\0".to_vec();
        assert_eq!(of(&[b"stray", &xmp[..], &[0xFF, 0], &turned].concat()), Orientation::Rotate90);
        // In a PNG the chunk counts before the text.
        let text = [b"Raw profile type exif\0", &profile_text("exif", &exif(3, false, false))[..]].concat();
        let [chunk_of_3, chunk_of_6] = [chunk(b"tEXt", &text), chunk(b"eXIf", &exif(6, false, false))];
        let both = with(ImageFormat::Png, &[chunk_of_3, chunk_of_6].concat(), false);
        assert_eq!(orientation_of(&both, ImageFormat::Png), Orientation::Rotate90);
    }

    #[test]
    fn broken_exif_is_none() {
        let whole = exif(6, false, true);
        for length in 0..whole.len() - 6 {
            assert_eq!(orientation(&whole[..length]), None, "{length}");
        }
        for tag in [0, 9, 255] {
            assert_eq!(orientation(&exif(tag, true, true)), None);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xFF;
            let _ = orientation(&damaged);
        }
        let files = [
            (ImageFormat::Jpeg, with(ImageFormat::Jpeg, &segment(&whole), false)),
            (ImageFormat::Png, with(ImageFormat::Png, &chunk(b"eXIf", &whole), true)),
            (ImageFormat::WebP, webp(b"EXIF", &whole)),
        ];
        for (format, file) in files {
            for at in 0..file.len() {
                let _ = orientation_of(&file[..at], format);
                let mut damaged = file.clone();
                damaged[at] ^= 0xFF;
                let _ = orientation_of(&damaged, format);
            }
        }
        // Text that inflates without end.
        let bomb = [b"Raw profile type exif\0\0", &deflated(&vec![b'0'; 64 << 20])[..]].concat();
        assert_eq!(png_orientation(&with(ImageFormat::Png, &chunk(b"zTXt", &bomb), false)), None);
    }
}
