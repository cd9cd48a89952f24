//! A decoder for JPEG: sequential and progressive, of 8 bits, by Huffman's method, with any number of scans and any whole
//! proportions of its components.
//!
//! It gives the bytes that libjpeg-turbo gives (so Pillow and OpenCV), and decodes a large photograph at a half, a
//! quarter or an eighth of its size. It passes over what libjpeg passes over, but never over missing data.

mod coded;
mod colour;
mod enlarge;
mod header;
mod huffman;
mod idct;
mod progressive;
mod sequential;
mod standard;

use self::{
    coded::{CodedData, Units},
    enlarge::Plane,
    header::{Frame, ScanHeader, Segments},
    progressive::{Coefficients, Progressive},
    sequential::Sequential,
};
use crate::lanes::{Lanes, Work, run};

/// Most scans that are read. One for each coefficient of each component would be 192.
const MAX_SCANS: usize = 1000;

/// Why a JPEG cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    #[error("the data ends early")]
    Truncated,
    #[error("{0}, which is not read")]
    Unsupported(&'static str),
    #[error("{0}")]
    Damaged(&'static str),
}

impl JpegError {
    const NO_TABLE: Self = Self::Damaged("a quantization table is missing");
}

/// A JPEG whose header has been read.
pub struct Jpeg<'a> {
    segments: Segments<'a>,
    scan: ScanHeader,
}

/// A decoded image, upright or not.
pub struct JpegPixels {
    pub width: usize,
    pub height: usize,
    /// RGB bytes, `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

impl<'a> Jpeg<'a> {
    /// Reads up to the first scan.
    pub fn read(bytes: &'a [u8]) -> Result<Self, JpegError> {
        let mut segments = Segments::new(bytes);
        let scan = segments.next_scan()?.ok_or(JpegError::Damaged("it has no pixels"))?;
        Ok(Self { segments, scan })
    }

    /// Pixels across and down.
    pub fn dimensions(&self) -> Result<(usize, usize), JpegError> {
        self.segments.frame().map(|frame| (frame.width, frame.height))
    }

    /// How many bytes of memory decoding takes at most, beside those of the file.
    pub fn memory(&self, side: usize) -> Result<usize, JpegError> {
        let frame = self.segments.frame()?;
        let parts = Part::all_of(frame, side)?;
        let sum = |of: fn(&Part) -> usize| parts.iter().map(of).sum::<usize>();
        let pixels = scaled(frame.width, side) * scaled(frame.height, side) * 3;
        let planes = sum(Part::samples) + pixels;
        let largest = parts.iter().map(Part::samples).max().unwrap_or(0);
        let coefficients = sum(Coefficients::memory) + largest;
        Ok(if frame.is_progressive { planes.max(coefficients) } else { planes })
    }

    /// The image with blocks of 8 pixels decoded to `side`, which is 8, 4, 2 or 1.
    pub fn decode(self, side: usize) -> Result<JpegPixels, JpegError> {
        run(Decode { jpeg: self, side })
    }
}

/// So many pixels when blocks of 8 become `side`.
fn scaled(pixels: usize, side: usize) -> usize {
    (pixels * side).div_ceil(8)
}

struct Decode<'a> {
    jpeg: Jpeg<'a>,
    side: usize,
}

impl Work for Decode<'_> {
    type Output = Result<JpegPixels, JpegError>;

    #[inline(always)]
    fn compute<L: Lanes>(self, lanes: L) -> Self::Output {
        decode(lanes, self.jpeg, self.side)
    }
}

/// How a component lies in an image that is decoded to a given side.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Samples across and down that one of its blocks becomes.
    side: usize,
    /// Its blocks in a unit of an interleaved scan, across and down.
    in_unit: [usize; 2],
    /// Blocks in the units of an interleaved scan, across and down.
    blocks: [usize; 2],
    /// Blocks that have samples of the image in them, which a scan of this component alone holds.
    own_blocks: [usize; 2],
    /// Samples that belong to the image, across and down.
    size: [usize; 2],
    /// How many pixels a sample stands for, across and down.
    pixels: [usize; 2],
    quantization: usize,
}

impl Part {
    /// The parts of an image, with luma (or what is finest) decoded to `side`.
    fn all_of(frame: &Frame, side: usize) -> Result<Vec<Self>, JpegError> {
        let (finest, image) = (frame.finest(), [frame.width, frame.height]);
        let parts = frame.components.iter().map(|component| {
            let in_unit = [component.across, component.down];
            // What is coarser is decoded finer where that is possible, and not enlarged.
            let is_possible = |finer: usize| {
                finer <= 8
                    && finest.iter().zip(in_unit).all(|(most, own)| (most * side).is_multiple_of(own * finer))
            };
            let mut own = side;
            while is_possible(own * 2) {
                own *= 2;
            }
            let at = |axis: usize| {
                let (share, whole) = (image[axis] * in_unit[axis], finest[axis] * 8);
                let units = image[axis].div_ceil(whole);
                let pixels = finest[axis] * side / (in_unit[axis] * own);
                (units * in_unit[axis], share.div_ceil(whole), (share * own).div_ceil(whole), pixels)
            };
            if !is_possible(own) {
                return Err(JpegError::Unsupported(
                    "its components are sampled in proportions that are not whole",
                ));
            }
            let [across, down] = [at(0), at(1)];
            Ok(Self {
                side: own,
                in_unit,
                blocks: [across.0, down.0],
                own_blocks: [across.1, down.1],
                size: [across.2, down.2],
                pixels: [across.3, down.3],
                quantization: component.quantization,
            })
        });
        parts.collect()
    }

    /// Samples of its plane, those outside of the image included.
    fn samples(&self) -> usize {
        self.blocks[0] * self.side * self.blocks[1] * self.side
    }

    fn plane(&self) -> Plane {
        Plane {
            samples: vec![0; self.samples()],
            stride: self.blocks[0] * self.side,
            size: self.size,
            pixels: self.pixels,
        }
    }
}

#[inline(always)]
fn decode<L: Lanes>(lanes: L, jpeg: Jpeg, side: usize) -> Result<JpegPixels, JpegError> {
    let Jpeg { mut segments, mut scan } = jpeg;
    let frame = segments.frame()?;
    let (width, height, is_progressive) =
        (scaled(frame.width, side), scaled(frame.height, side), frame.is_progressive);
    let parts = Part::all_of(frame, side)?;
    let colours = segments.colours()?;
    // A component keeps the table that it has when its first scan begins.
    let mut quantization = vec![None; parts.len()];
    let mut planes = Vec::with_capacity(4);
    let mut coefficients = Vec::with_capacity(4);
    match is_progressive {
        false => planes.extend(parts.iter().map(Part::plane)),
        true => coefficients.extend(parts.iter().map(Coefficients::new)),
    }
    for number in 1.. {
        if number > MAX_SCANS {
            return Err(JpegError::Damaged("it has too many scans"));
        }
        for member in &scan.members {
            let table = segments.quantization[parts[member.component].quantization];
            let table = table.ok_or(JpegError::NO_TABLE)?;
            quantization[member.component].get_or_insert(table);
        }
        let blocks: Vec<[usize; 2]> = match scan.members[..] {
            // The blocks of a component alone are not in units.
            [_] => vec![[1, 1]],
            _ => scan.members.iter().map(|member| parts[member.component].in_unit).collect(),
        };
        let first = &parts[scan.members[0].component];
        let count = match scan.members[..] {
            [_] => first.own_blocks,
            _ => [first.blocks[0] / first.in_unit[0], first.blocks[1] / first.in_unit[1]],
        };
        let units = Units { count, blocks: &blocks, restart: segments.restart };
        let data = CodedData::take(&mut segments.rest)?;
        if is_progressive {
            data.read(&units, Progressive::new(&scan, &segments, &mut coefficients)?)?;
        } else {
            let tables = &quantization;
            data.read(&units, Sequential::new(lanes, &scan, &segments, &parts, tables, &mut planes)?)?;
        }
        let is_read = quantization.iter().all(Option::is_some);
        if !is_progressive && is_read {
            break;
        }
        if data.is_last() {
            // Nothing but the mark of the end is missing if no bit of a coefficient is.
            if is_progressive && is_read && coefficients.iter().all(Coefficients::is_whole) {
                break;
            }
            return Err(JpegError::Truncated);
        }
        match segments.next_scan()? {
            Some(next) => scan = next,
            None if is_read => break,
            None => return Err(JpegError::Damaged("a component has no data")),
        }
    }
    for ((part, table), coefficients) in parts.iter().zip(&quantization).zip(coefficients) {
        let table = table.as_ref().ok_or(JpegError::Damaged("a component has no data"))?;
        planes.push(coefficients.into_plane(lanes, part, table));
    }
    let mut pixels = vec![0; width * height * 3];
    colour::write(&planes, colours, width, &mut pixels);
    Ok(JpegPixels { width, height, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Portable;

    #[test]
    fn every_processor_gives_the_same_bytes() {
        let image = image::RgbImage::from_fn(75, 50, |x, y| {
            image::Rgb([(x * 37 + y * 11) as u8, (x * y) as u8, (x * 3 + y * 50) as u8])
        });
        for quality in [20, 75, 100] {
            let mut bytes = std::io::Cursor::new(Vec::new());
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality)
                .encode_image(&image)
                .unwrap();
            let bytes = bytes.into_inner();
            for side in [8, 4, 2, 1] {
                let jpeg = || Jpeg::read(&bytes).unwrap();
                let portable = Decode { jpeg: jpeg(), side }.compute(Portable).unwrap();
                assert!(portable.pixels == jpeg().decode(side).unwrap().pixels, "{quality} {side}");
            }
        }
    }

    /// `reference/layouts.py` says what these files are.
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/reference/layouts");

    fn stored(name: &str) -> Vec<u8> {
        std::fs::read(format!("{FOLDER}/{name}")).unwrap()
    }

    fn decode(bytes: &[u8]) -> Result<JpegPixels, JpegError> {
        Jpeg::read(bytes)?.decode(8)
    }

    /// Width, height and pixels of a PPM file.
    fn ppm(bytes: &[u8]) -> JpegPixels {
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
        let header = std::str::from_utf8(&bytes[..end]).unwrap();
        let numbers: Vec<usize> = header.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
        JpegPixels { width: numbers[0], height: numbers[1], pixels: bytes[end + 1..].to_vec() }
    }

    #[test]
    fn every_layout_has_the_pixels_of_libjpeg() {
        let mut seen = 0;
        for entry in std::fs::read_dir(FOLDER).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let Some(name) = file.strip_suffix(".jpg") else { continue };
            let kinds = ["-baseline", "-progressive", "-scans", "-restarts"];
            let mut base = name;
            while let Some(shorter) = kinds.iter().find_map(|kind| base.strip_suffix(kind)) {
                base = shorter;
            }
            let expected = ppm(&stored(&format!("{base}.ppm")));
            let found = decode(&stored(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!((found.width, found.height), (expected.width, expected.height), "{file}");
            let apart = found.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).max();
            assert_eq!(apart, Some(0), "{file}: levels between ours and libjpeg's");
            seen += 1;
        }
        assert!(seen > 150, "{seen} files");
    }

    #[test]
    fn every_layout_is_the_same_picture_at_a_fraction() {
        let [width, height] = [33, 25];
        for sampling in ["1x1", "2x1", "1x2", "2x2", "3x1", "2x3", "4x2", "1x1_2x2", "2x2_1x2_2x1"] {
            let [baseline, progressive, scans, restarts] = ["baseline", "progressive", "scans", "restarts"]
                .map(|kind| stored(&format!("{sampling}-{width}x{height}-{kind}.jpg")));
            let whole = decode(&baseline).unwrap();
            for side in [4, 2, 1] {
                let part = |file: &[u8]| Jpeg::read(file).unwrap().decode(side).unwrap();
                let expected = part(&baseline);
                assert_eq!([expected.width, expected.height], [scaled(width, side), scaled(height, side)]);
                for file in [&progressive, &scans, &restarts] {
                    assert!(part(file).pixels == expected.pixels, "{sampling} {side}");
                }
                // About the mean of the pixels that a pixel stands for, where chroma is not coarser than that.
                if side == 1 || !["1x1", "2x2"].contains(&sampling) {
                    continue;
                }
                let factor = 8 / side;
                let (mut sum, mut count) = (0, 0);
                for y in 0..height / factor {
                    for x in 0..width / factor {
                        for colour in 0..3 {
                            let of = |row: usize, column: usize| {
                                usize::from(whole.pixels[(row * width + column) * 3 + colour])
                            };
                            let all = (0..factor * factor)
                                .map(|i| of(y * factor + i / factor, x * factor + i % factor))
                                .sum::<usize>();
                            let found = expected.pixels[(y * expected.width + x) * 3 + colour];
                            sum += (all / (factor * factor)).abs_diff(usize::from(found));
                            count += 1;
                        }
                    }
                }
                assert!(sum < count * 6, "{sampling} {side}: {sum} of {count}");
            }
        }
    }

    /// The segments of a JPEG, each with its marker, and then what begins with the first scan.
    fn parts(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut segments, mut at) = (Vec::new(), 2);
        while bytes[at + 1] != 0xDA {
            let length = 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            segments.push(bytes[at..at + length].to_vec());
            at += length;
        }
        (segments, bytes[at..].to_vec())
    }

    fn joined(segments: &[Vec<u8>], scans: &[u8]) -> Vec<u8> {
        [&[0xFF, 0xD8], &segments.concat()[..], scans].concat()
    }

    #[test]
    fn what_other_programs_pass_over_is_passed_over() {
        for kind in ["baseline", "progressive", "scans", "restarts"] {
            let file = stored(&format!("2x2-33x25-{kind}.jpg"));
            let expected = decode(&file).unwrap().pixels;
            let (segments, scans) = parts(&file);
            let with = |place: usize, bytes: &[u8]| {
                let mut segments = segments.clone();
                segments.insert(place, bytes.to_vec());
                joined(&segments, &scans)
            };
            let adobe =
                |transform: u8| [b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0".to_vec(), vec![transform]].concat();
            for place in 0..=segments.len() {
                for (what, bytes) in [
                    ("a short word of Adobe", b"\xFF\xEE\0\x07Adobe".to_vec()),
                    ("Adobe's RGB beside JFIF", adobe(0)),
                    ("an unknown word of Adobe", adobe(3)),
                    ("an unknown word of Adobe", adobe(255)),
                    ("a segment that is shorter than its length", vec![0xFF, 0xE5, 0, 1]),
                    ("stray bytes", b"stray".to_vec()),
                    ("a stuffed byte", vec![0xFF, 0]),
                    ("filling bytes", vec![0xFF; 3]),
                    ("a mark of the beginning", vec![0xFF, 0xD8]),
                    ("a restart marker", vec![0xFF, 0xD3]),
                    ("arithmetic conditions", vec![0xFF, 0xCC, 0, 4, 0, 0]),
                ] {
                    let found =
                        decode(&with(place, &bytes)).unwrap_or_else(|e| panic!("{kind}, {what}: {e}"));
                    assert!(found.pixels == expected, "{kind}, {what} at {place}");
                }
            }
            // Filling before the marker that ends the data, and anything behind the end.
            let end = file.len() - 2;
            for filling in [&[0; 9][..], &[0xFF; 5], &[0xFF, 0, 0xFF, 0]] {
                let filled = [&file[..end], filling, &file[end..]].concat();
                assert!(decode(&filled).unwrap().pixels == expected, "{kind}, {filling:?}");
            }
            let filled = [&file[..], b"\xFF\xD8 another image"].concat();
            assert!(decode(&filled).unwrap().pixels == expected, "{kind}");
        }
        // The same names of the components without JFIF and Adobe, and the tables of Motion JPEG.
        let file = stored("1x1-33x25-baseline.jpg");
        let (mut segments, scans) = parts(&file);
        let expected = decode(&file).unwrap().pixels;
        segments.retain(|segment| ![0xE0, 0xC4].contains(&segment[1]));
        assert!(decode(&joined(&segments, &scans)).unwrap().pixels == expected);
        // Quantization in 16 bits.
        for segment in segments.iter_mut().filter(|segment| segment[1] == 0xDB) {
            let wide = segment[5..].iter().flat_map(|&value| [0, value]);
            *segment = [0xFF, 0xDB, 0, 131, 0x10 | segment[4]].into_iter().chain(wide).collect();
        }
        assert!(decode(&joined(&segments, &scans)).unwrap().pixels == expected);
        // Without JFIF Adobe's word counts: the components are colours.
        segments.push(b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\0".to_vec());
        let colours = decode(&joined(&segments, &scans)).unwrap().pixels;
        assert!(colours != expected);
        let mean = |pixels: &[u8], channel| {
            let values = pixels.iter().skip(channel).step_by(3).map(|&value| usize::from(value));
            values.sum::<usize>() / (pixels.len() / 3)
        };
        // Luma where red would be.
        let weighted =
            (299 * mean(&expected, 0) + 587 * mean(&expected, 1) + 114 * mean(&expected, 2)) / 1000;
        assert!(mean(&colours, 0).abs_diff(weighted) <= 2);
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        let file = stored("2x1-33x25-baseline.jpg");
        let (segments, scans) = parts(&file);
        let frame = segments.iter().position(|segment| segment[1] == 0xC0).unwrap();
        let message = |place: usize, value: u8| {
            let mut segments = segments.clone();
            segments[frame][place] = value;
            decode(&joined(&segments, &scans)).err().map(|error| error.to_string())
        };
        for (place, value, expected) in [
            (1, 0xC3, "it is lossless JPEG, which is not read"),
            (1, 0xC5, "it is hierarchical JPEG, which is not read"),
            (1, 0xC9, "it uses arithmetic coding, which is not read"),
            (1, 0xCA, "it uses arithmetic coding, which is not read"),
            (1, 0xF7, "it is JPEG-LS, which is not read"),
            (4, 12, "its samples have another depth than 8 bits, which is not read"),
            (6, 0, "its height is not in its header, which is not read"),
            (9, 2, "it has neither one component nor three or four, which is not read"),
            (9, 4, "the header of its frame has the wrong length"),
            (11, 0x51, "a component of its frame is sampled or coded as none can be"),
            (12, 4, "a component of its frame is sampled or coded as none can be"),
            (12, 3, "a quantization table is missing"),
        ] {
            assert_eq!(message(place, value).as_deref(), Some(expected), "{place} = {value}");
        }
        let mut thirds = segments.clone();
        (thirds[frame][11], thirds[frame][14]) = (0x31, 0x21);
        assert_eq!(
            decode(&joined(&thirds, &scans)).err().map(|error| error.to_string()).as_deref(),
            Some("its components are sampled in proportions that are not whole, which is not read")
        );
        let without_pixels = joined(&segments, &[0xFF, 0xD9]);
        assert_eq!(decode(&without_pixels).err(), Some(JpegError::Damaged("it has no pixels")));
        // The scans of one or two components of three.
        let scans = stored("2x2-33x25-scans.jpg");
        let starts: Vec<usize> =
            (0..scans.len() - 1).filter(|&at| scans[at..].starts_with(&[0xFF, 0xDA])).collect();
        for &start in &starts[1..] {
            let ended = [&scans[..start], &[0xFF, 0xD9]].concat();
            assert_eq!(decode(&ended).err(), Some(JpegError::Damaged("a component has no data")));
            assert_eq!(decode(&scans[..start]).err(), Some(JpegError::Truncated));
        }
        // A restart marker less.
        let mut restarts = stored("2x2-33x25-restarts.jpg");
        let at =
            restarts.windows(2).rposition(|pair| pair[0] == 0xFF && (0xD0..0xD8).contains(&pair[1])).unwrap();
        restarts.drain(at..at + 2);
        assert!(matches!(decode(&restarts).err(), Some(JpegError::Damaged(_))));
    }
}
