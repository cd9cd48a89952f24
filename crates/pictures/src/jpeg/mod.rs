//! A decoder for the JPEGs that face sets are made of: baseline, grey or YCbCr, in one scan.
//!
//! It gives the bytes that libjpeg-turbo gives (so Pillow and OpenCV), and decodes a large photograph at a half, a
//! quarter or an eighth of its size. It knows no errors: what is damaged, or in another variant of the format,
//! is left to a decoder that can say what is wrong.

mod colour;
mod header;
mod huffman;
mod idct;

use std::rc::Rc;

use self::{
    colour::{Chroma, Plane},
    header::JpegHeader,
    huffman::{Bits, Class, HuffmanTable},
};
use crate::lanes::{Lanes, Work, run};

/// Fewer pixels than this a side are left to the other decoder, as libjpeg treats them in a way of its own.
const MIN_SIDE: usize = 16;

/// A baseline JPEG whose header has been read.
pub struct Baseline<'a>(JpegHeader<'a>);

/// A decoded image, upright or not.
pub struct JpegPixels {
    pub width: usize,
    pub height: usize,
    /// RGB bytes, `[height, width, 3]`.
    pub pixels: Vec<u8>,
}

impl<'a> Baseline<'a> {
    /// Reads the header, if this is a JPEG of the variant that can be decoded here.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = JpegHeader::read(bytes)?;
        (header.width >= MIN_SIDE && header.height >= MIN_SIDE).then_some(Self(header))
    }

    /// Pixels across and down.
    pub fn dimensions(&self) -> (usize, usize) {
        (self.0.width, self.0.height)
    }

    /// The EXIF block, without its name.
    pub fn exif(&self) -> Option<&'a [u8]> {
        self.0.exif
    }

    /// The image with blocks of 8 pixels decoded to `side`, which is 8, 4, 2 or 1; nothing if the data is damaged.
    /// Memory is taken for as many pixels as the header says.
    pub fn decode(&self, side: usize) -> Option<JpegPixels> {
        run(Decode { header: &self.0, side })
    }
}

struct Decode<'a> {
    header: &'a JpegHeader<'a>,
    side: usize,
}

impl Work for Decode<'_> {
    type Output = Option<JpegPixels>;

    #[inline(always)]
    fn compute<L: Lanes>(self, lanes: L) -> Option<JpegPixels> {
        decode(lanes, self.header, self.side)
    }
}

/// A component while its blocks are decoded.
struct CodedComponent {
    plane: Plane,
    /// Blocks across and down in a minimum coded unit.
    across: usize,
    down: usize,
    /// Samples across and down that a block becomes.
    side: usize,
    tables: [Rc<HuffmanTable>; 2],
    quantization: [i32; 64],
    /// The DC coefficient of the block before.
    previous: i32,
}

#[inline(always)]
fn decode<L: Lanes>(lanes: L, header: &JpegHeader, side: usize) -> Option<JpegPixels> {
    let (width, height) = ((header.width * side).div_ceil(8), (header.height * side).div_ceil(8));
    let luma = header.components.first()?;
    let units = [header.width.div_ceil(8 * luma.across), header.height.div_ceil(8 * luma.down)];
    // Chroma of half the size is decoded twice as fine as luma where that is possible, and not enlarged.
    let is_finer = (luma.across, luma.down) == (2, 2) && side < 8;
    let chroma = match (luma.across, luma.down) {
        (2, 2) if !is_finer => Chroma::Half,
        (2, 1) => Chroma::HalfAcross,
        _ => Chroma::Full,
    };
    let mut coded = Vec::with_capacity(3);
    for (number, component) in header.components.iter().enumerate() {
        let side = if is_finer && number > 0 { side * 2 } else { side };
        let stride = units[0] * component.across * side;
        let is_coarse = |factor| number > 0 && !is_finer && factor == 2;
        let plane = Plane {
            samples: vec![0; stride * units[1] * component.down * side],
            stride,
            width: if is_coarse(luma.across) { width.div_ceil(2) } else { width },
            height: if is_coarse(luma.down) { height.div_ceil(2) } else { height },
        };
        coded.push(CodedComponent {
            plane,
            across: component.across,
            down: component.down,
            side,
            tables: [
                HuffmanTable::of((*header.dc.get(component.dc)?)?, Class::Dc)?,
                HuffmanTable::of((*header.ac.get(component.ac)?)?, Class::Ac)?,
            ],
            quantization: (*header.quantization.get(component.quantization)?)?,
            previous: 0,
        });
    }
    fill(lanes, &mut coded, units, header)?;
    let mut pixels = vec![0; width * height * 3];
    let mut planes = coded.into_iter().map(|component| component.plane);
    match (planes.next()?, planes.next(), planes.next()) {
        (luma, Some(blue), Some(red)) => colour::rgb(&[luma, blue, red], chroma, &mut pixels),
        (luma, ..) => colour::grey(&luma, &mut pixels),
    }
    Some(JpegPixels { width, height, pixels })
}

/// Decodes every block into its plane.
#[inline(always)]
fn fill<L: Lanes>(
    lanes: L,
    coded: &mut [CodedComponent],
    units: [usize; 2],
    header: &JpegHeader,
) -> Option<()> {
    let segments = segments(header.scan)?;
    let interval = if header.restart == 0 { units[0] * units[1] } else { header.restart };
    if segments.ends.len() != (units[0] * units[1]).div_ceil(interval) {
        return None;
    }
    let mut begins = 0;
    for (segment, &end) in segments.ends.iter().enumerate() {
        let mut bits = Bits::new(&segments.bytes[begins..end + PADDING]);
        coded.iter_mut().for_each(|component| component.previous = 0);
        for unit in segment * interval..((segment + 1) * interval).min(units[0] * units[1]) {
            let [x, y] = [unit % units[0], unit / units[0]];
            for component in &mut *coded {
                let CodedComponent { plane, across, down, side, tables: [dc, ac], quantization, previous } =
                    component;
                for v in 0..*down {
                    for h in 0..*across {
                        let mut coefficients = [0; 64];
                        let last = huffman::block(
                            &mut bits,
                            [&**dc, &**ac],
                            quantization,
                            previous,
                            &mut coefficients,
                        )?;
                        let place = (y * *down + v) * *side * plane.stride + (x * *across + h) * *side;
                        idct::inverse(
                            lanes,
                            *side,
                            &coefficients,
                            last,
                            &mut plane.samples[place..],
                            plane.stride,
                        );
                    }
                }
            }
            if bits.taken() > (end - begins) * 8 {
                return None;
            }
        }
        // Less than a byte is left: a damaged file mostly ends elsewhere.
        if (end - begins) * 8 - bits.taken() >= 8 {
            return None;
        }
        begins = end + PADDING;
    }
    Some(())
}

/// Zeros behind each segment, so that bits can be taken eight bytes at a time.
const PADDING: usize = 8;

/// Entropy-coded data without stuffed bytes, between restart markers.
struct Segments {
    /// Each with [`PADDING`] behind it.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// Takes stuffed bytes and markers out of `scan`; nothing if it does not end with the marker that ends an image.
#[inline(always)]
fn segments(scan: &[u8]) -> Option<Segments> {
    let mut segments = Segments { bytes: Vec::with_capacity(scan.len() + PADDING), ends: Vec::new() };
    let mut rest = scan;
    loop {
        let run = plain_run(rest);
        segments.bytes.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
        match rest.get(1)? {
            0 => segments.bytes.push(0xFF),
            marker @ (0xD9 | 0xD0..=0xD7) => {
                let next = 0xD0 + segments.ends.len() % 8;
                segments.ends.push(segments.bytes.len());
                segments.bytes.extend([0; PADDING]);
                if *marker == 0xD9 {
                    return Some(segments);
                }
                if usize::from(*marker) != next {
                    return None;
                }
            }
            _ => return None,
        }
        rest = &rest[2..];
    }
}

/// How many bytes there are before the first 0xFF.
#[inline(always)]
fn plain_run(bytes: &[u8]) -> usize {
    const LANES: usize = 32;
    let whole = bytes.as_chunks::<LANES>().0;
    let free = whole.iter().take_while(|chunk| chunk.iter().fold(0, |most, &byte| most.max(byte)) < 0xFF);
    let begin = free.count() * LANES;
    let tail = &bytes[begin..];
    begin + tail.iter().position(|&byte| byte == 0xFF).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::lanes::Portable;

    #[test]
    fn every_processor_gives_the_same_bytes() {
        let image = image::RgbImage::from_fn(75, 50, |x, y| {
            image::Rgb([(x * 37 + y * 11) as u8, (x * y) as u8, (x * 3 + y * 50) as u8])
        });
        for quality in [20, 75, 100] {
            let mut bytes = Cursor::new(Vec::new());
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality)
                .encode_image(&image)
                .unwrap();
            let bytes = bytes.into_inner();
            let baseline = Baseline::read(&bytes).unwrap();
            for side in [8, 4, 2, 1] {
                let portable = Decode { header: &baseline.0, side }.compute(Portable).unwrap();
                assert!(portable.pixels == baseline.decode(side).unwrap().pixels, "{quality} {side}");
            }
        }
    }
}
