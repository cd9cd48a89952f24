//! What an image file is, told from its bytes: its format, and what in it a decoder changes on the way to 8-bit RGB.

use std::fmt;

use facegrad_pictures::is_turned;

/// The format of an image file, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// PBM, PGM or PPM.
    Pnm,
    /// None of these.
    Other,
}

impl FileFormat {
    /// The format of a file that begins with `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Self::Png,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'B', b'M', ..] => Self::Bmp,
            [b'P', b'1'..=b'6', ..] => Self::Pnm,
            _ => Self::Other,
        }
    }

    /// The format that the ending of a name stands for; `None` without an ending that is known.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" | "jpe" | "jfif" => Some(Self::Jpeg),
            "png" => Some(Self::Png),
            "webp" => Some(Self::WebP),
            "bmp" => Some(Self::Bmp),
            "pbm" | "pgm" | "ppm" | "pnm" => Some(Self::Pnm),
            _ => None,
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Pnm => "PNM",
            Self::Other => "unknown",
        })
    }
}

/// What is to be known of an image file beside its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// The format.
    pub format: FileFormat,
    /// Whether its EXIF data asks for the picture to be turned or mirrored.
    pub turned: bool,
    /// Whether it has more than 8 bits a sample.
    pub deep: bool,
    /// Whether it is a JPEG of four colours, CMYK or YCCK.
    pub cmyk: bool,
}

impl Content {
    /// Looks at the headers in `bytes`; what cannot be read is taken for usual.
    pub fn of(bytes: &[u8]) -> Self {
        let format = FileFormat::of(bytes);
        let usual = Self { format, turned: is_turned(bytes), deep: false, cmyk: false };
        match format {
            FileFormat::Jpeg => jpeg(bytes, usual),
            // The depth of a sample follows width and height in the first chunk (PNG, 11.2.2).
            FileFormat::Png => Self { deep: bytes.get(24) == Some(&16), ..usual },
            FileFormat::Pnm => Self { deep: is_deep_pnm(bytes), ..usual },
            _ => usual,
        }
    }
}

/// Walks over the segments before the first scan (ITU-T T.81, annex B).
fn jpeg(bytes: &[u8], usual: Content) -> Content {
    let mut found = usual;
    let mut at = 2;
    while let Some(&[0xFF, marker]) = bytes.get(at..at + 2) {
        if marker == 0xFF {
            at += 1;
            continue;
        }
        if matches!(marker, 0x01 | 0xD0..=0xD8) {
            at += 2;
            continue;
        }
        let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { break };
        let length = usize::from(u16::from_be_bytes([high, low])).max(2);
        let segment = bytes.get(at + 4..at + 2 + length).unwrap_or_default();
        match marker {
            // A frame: precision, height, width, number of components.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                found.deep = segment.first().is_some_and(|&bits| bits > 8);
                found.cmyk = segment.get(5) == Some(&4);
                break;
            }
            0xDA | 0xD9 => break,
            _ => {}
        }
        at += 2 + length;
    }
    found
}

/// Whether the largest value in the header (the third number) takes more than 8 bits.
fn is_deep_pnm(bytes: &[u8]) -> bool {
    let header = bytes.get(2..bytes.len().min(256)).unwrap_or_default();
    let mut numbers = header
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.starts_with(b"#"))
        .flat_map(|line| line.split(u8::is_ascii_whitespace))
        .filter(|word| !word.is_empty());
    // Bitmaps have no third number, and one bit a pixel.
    let has_depth = !matches!(bytes.get(1), Some(b'1' | b'4'));
    let largest = numbers.nth(2).and_then(|word| std::str::from_utf8(word).ok()?.parse::<u32>().ok());
    has_depth && largest.is_some_and(|largest| (256..=65_535).contains(&largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_content_and_by_name() {
        assert_eq!(FileFormat::of(&[0xFF, 0xD8, 0xFF, 0xE0]), FileFormat::Jpeg);
        assert_eq!(FileFormat::of(b"\x89PNG\r\n\x1a\n"), FileFormat::Png);
        assert_eq!(FileFormat::of(b"RIFF....WEBPVP8 "), FileFormat::WebP);
        assert_eq!(FileFormat::of(b"P6 2 2 255\n"), FileFormat::Pnm);
        assert_eq!(FileFormat::of(b"GIF89a"), FileFormat::Other);
        assert_eq!(FileFormat::of(b""), FileFormat::Other);
        assert_eq!(FileFormat::of_name("a/b.c/x.JPEG"), Some(FileFormat::Jpeg));
        assert_eq!(FileFormat::of_name("a/b.png"), Some(FileFormat::Png));
        assert_eq!(FileFormat::of_name("b.jpg/000012"), None);
        assert_eq!(FileFormat::of_name("000012"), None);
    }

    /// A JPEG of nothing but an EXIF segment and the header of a frame.
    fn jpeg_with(orientation: Option<u8>, precision: u8, components: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8];
        if let Some(orientation) = orientation {
            let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
            exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
            bytes.extend([0xFF, 0xE1, 0, exif.len() as u8 + 2]);
            bytes.extend(exif);
        }
        bytes.extend([0xFF, 0xC2, 0, 11, precision, 0, 8, 0, 8, components, 0, 0, 0]);
        bytes
    }

    #[test]
    fn what_decoders_change_is_seen() {
        let of = |orientation, precision, components| {
            let Content { turned, deep, cmyk, .. } =
                Content::of(&jpeg_with(orientation, precision, components));
            (turned, deep, cmyk)
        };
        assert_eq!(of(None, 8, 3), (false, false, false));
        assert_eq!(of(Some(1), 8, 3), (false, false, false));
        assert_eq!(of(Some(6), 8, 3), (true, false, false));
        assert_eq!(of(Some(9), 8, 1), (false, false, false));
        assert_eq!(of(Some(8), 12, 4), (true, true, true));
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01".to_vec();
        png.push(16);
        assert!(Content::of(&png).deep);
        assert!(Content::of(b"P5\n# made by hand\n2 2\n65535\n").deep);
        assert!(!Content::of(b"P6 2 2 255\n").deep && !Content::of(b"P4 2 2\n").deep);
    }

    #[test]
    fn headers_cut_anywhere_are_no_trouble() {
        let whole = jpeg_with(Some(6), 12, 4);
        for length in 0..whole.len() {
            Content::of(&whole[..length]);
            let mut damaged = whole.clone();
            damaged[length] ^= 0xFF;
            Content::of(&damaged);
        }
    }
}
