//! What stands between the pixels of a JPEG (ITU-T T.81, annex B).
//!
//! Read as libjpeg reads it: bytes between segments that belong to none, segments that nobody knows, and words of Adobe
//! that are short or strange are passed over.

use super::{JpegError, standard};

/// A component: Y, Cb or Cr, a colour, or grey.
#[derive(Debug, Clone, Copy)]
pub struct Component {
    id: u8,
    /// Samples across and down, in proportion to those of the other components: 1 to 4.
    pub across: usize,
    pub down: usize,
    /// Its quantization table.
    pub quantization: usize,
}

/// The frame: what the whole image is.
#[derive(Debug)]
pub struct Frame {
    pub width: usize,
    pub height: usize,
    pub components: Vec<Component>,
    pub is_progressive: bool,
}

impl Frame {
    /// The most samples across and down that a component has.
    pub fn finest(&self) -> [usize; 2] {
        let most = |of: fn(&Component) -> usize| self.components.iter().map(of).max().unwrap_or(1);
        [most(|component| component.across), most(|component| component.down)]
    }
}

/// A component in a scan.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its place in the frame.
    pub component: usize,
    /// Its Huffman tables.
    pub dc: usize,
    pub ac: usize,
}

/// What a scan holds.
#[derive(Debug)]
pub struct ScanHeader {
    pub members: Vec<Member>,
    /// The first and last coefficient in zigzag order; 0 and 63 in a sequential JPEG.
    pub first: usize,
    pub last: usize,
    /// By how many bits the values are shifted.
    pub shift: u32,
    /// Whether it adds a bit to what scans before it have given.
    pub is_refinement: bool,
}

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    Grey,
    YCbCr,
    Rgb,
    /// As Adobe's programs store them: 255 is no ink.
    Cmyk,
    Ycck,
}

/// Reads segment after segment.
pub struct Segments<'a> {
    /// What is still to be read.
    pub rest: &'a [u8],
    frame: Option<Frame>,
    /// Quantization tables, in zigzag order.
    pub quantization: [Option<[i32; 64]>; 4],
    /// Huffman tables as they are stored: sixteen counts, then the symbols.
    pub dc: [Option<&'a [u8]>; 4],
    pub ac: [Option<&'a [u8]>; 4],
    /// Units between restart markers; 0 if there are none.
    pub restart: usize,
    is_jfif: bool,
    /// Adobe's word on the colours.
    adobe: Option<u8>,
}

impl<'a> Segments<'a> {
    /// Those of a JPEG, which begins with its marker.
    pub fn new(bytes: &'a [u8]) -> Self {
        // Motion JPEG leaves out the usual tables.
        let [dc, ac] = standard::TABLES.map(|[luma, chroma]| [Some(luma), Some(chroma), None, None]);
        Self {
            rest: bytes.get(2..).unwrap_or_default(),
            frame: None,
            quantization: [None; 4],
            dc,
            ac,
            restart: 0,
            is_jfif: false,
            adobe: None,
        }
    }

    /// Reads up to the data of the next scan; nothing where the image ends.
    pub fn next_scan(&mut self) -> Result<Option<ScanHeader>, JpegError> {
        while let Some((marker, segment)) = self.next_segment()? {
            match marker {
                0xC0..=0xC2 => self.read_frame(segment, marker == 0xC2)?,
                0xC3 => return Err(JpegError::Unsupported("it is lossless JPEG")),
                0xC5..=0xC7 => return Err(JpegError::Unsupported("it is hierarchical JPEG")),
                0xC9..=0xCB | 0xCD..=0xCF => {
                    return Err(JpegError::Unsupported("it uses arithmetic coding"));
                }
                0xF7 => return Err(JpegError::Unsupported("it is JPEG-LS")),
                0xC4 => self.read_huffman(segment)?,
                0xDB => self.read_quantization(segment)?,
                0xDD => {
                    let &[high, low] = segment else {
                        return Err(JpegError::Damaged("its restart interval is no number"));
                    };
                    self.restart = usize::from(u16::from_be_bytes([high, low]));
                }
                0xDA => return self.scan_header(segment).map(Some),
                0xE0 => self.is_jfif |= segment.len() >= 14 && segment.starts_with(b"JFIF\0"),
                0xEE if segment.starts_with(b"Adobe") => {
                    self.adobe = segment.get(11).copied().or(self.adobe);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The next marker that a segment belongs to, and the segment; nothing at the mark that ends the image.
    fn next_segment(&mut self) -> Result<Option<(u8, &'a [u8])>, JpegError> {
        loop {
            let at = self.rest.iter().position(|&byte| byte == 0xFF).ok_or(JpegError::Truncated)?;
            self.rest = &self.rest[at + 1..];
            match self.rest {
                [] => return Err(JpegError::Truncated),
                // A filling byte; the next may be a marker.
                [0xFF, ..] => continue,
                [0xD9, ..] => return Ok(None),
                // Nothing, or a marker that has no segment.
                [0 | 0x01 | 0xD0..=0xD8, ..] => {}
                [marker, rest @ ..] => {
                    let (length, rest) = rest.split_first_chunk().ok_or(JpegError::Truncated)?;
                    let length = usize::from(u16::from_be_bytes(*length)).saturating_sub(2);
                    let (segment, rest) = rest.split_at_checked(length).ok_or(JpegError::Truncated)?;
                    self.rest = rest;
                    return Ok(Some((*marker, segment)));
                }
            }
        }
    }

    fn read_frame(&mut self, segment: &[u8], is_progressive: bool) -> Result<(), JpegError> {
        if self.frame.is_some() {
            return Err(JpegError::Damaged("it has two frames"));
        }
        let Some((&[precision, h1, h2, w1, w2, count], stored)) = segment.split_first_chunk() else {
            return Err(JpegError::Damaged("the header of its frame is short"));
        };
        let [height, width] = [[h1, h2], [w1, w2]].map(|side| usize::from(u16::from_be_bytes(side)));
        if precision != 8 {
            return Err(JpegError::Unsupported("its samples have another depth than 8 bits"));
        }
        if height == 0 {
            return Err(JpegError::Unsupported("its height is not in its header"));
        }
        if ![1, 3, 4].contains(&count) {
            return Err(JpegError::Unsupported("it has neither one component nor three or four"));
        }
        if stored.len() != usize::from(count) * 3 {
            return Err(JpegError::Damaged("the header of its frame has the wrong length"));
        }
        let mut components = Vec::with_capacity(4);
        for component in stored.as_chunks::<3>().0 {
            let [id, sampling, quantization] = *component;
            let [across, down] = [sampling >> 4, sampling & 15].map(usize::from);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || quantization > 3 {
                return Err(JpegError::Damaged(
                    "a component of its frame is sampled or coded as none can be",
                ));
            }
            components.push(Component { id, across, down, quantization: usize::from(quantization) });
        }
        self.frame = Some(Frame { width, height, components, is_progressive });
        Ok(())
    }

    fn read_quantization(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        const DAMAGED: JpegError = JpegError::Damaged("its quantization tables have the wrong length");
        while let Some((&kind, rest)) = segment.split_first() {
            let bytes = if kind < 16 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * bytes).ok_or(DAMAGED)?;
            let table = self.quantization.get_mut(usize::from(kind & 15)).ok_or(DAMAGED)?;
            let mut entries = [0; 64];
            for (entry, value) in entries.iter_mut().zip(values.chunks_exact(bytes)) {
                *entry = value.iter().fold(0, |value, &byte| value << 8 | i32::from(byte));
            }
            *table = Some(entries);
            segment = rest;
        }
        Ok(())
    }

    fn read_huffman(&mut self, mut segment: &'a [u8]) -> Result<(), JpegError> {
        const DAMAGED: JpegError = JpegError::Damaged("its Huffman tables have the wrong length");
        while let Some((&kind, table)) = segment.split_first() {
            let counts = table.get(..16).ok_or(DAMAGED)?;
            let symbols: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let (table, rest) = table.split_at_checked(16 + symbols).ok_or(DAMAGED)?;
            let tables = if kind & 16 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(kind & !16)).ok_or(DAMAGED)? = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn scan_header(&self, segment: &[u8]) -> Result<ScanHeader, JpegError> {
        const DAMAGED: JpegError = JpegError::Damaged("the header of a scan is damaged");
        let frame = self.frame()?;
        let (&count, rest) = segment.split_first().ok_or(DAMAGED)?;
        let (named, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or(DAMAGED)?;
        let &[first, last, bits] = rest else { return Err(DAMAGED) };
        let mut members: Vec<Member> = Vec::with_capacity(4);
        for &[id, tables] in named.as_chunks::<2>().0 {
            let is_it = |&place: &usize| {
                frame.components[place].id == id && members.iter().all(|member| member.component != place)
            };
            let component = (0..frame.components.len()).find(is_it).ok_or(DAMAGED)?;
            members.push(Member { component, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) });
        }
        if members.is_empty() {
            return Err(DAMAGED);
        }
        if !frame.is_progressive {
            return Ok(ScanHeader { members, first: 0, last: 63, shift: 0, is_refinement: false });
        }
        let (before, shift) = (bits >> 4, bits & 15);
        let is_band = if first == 0 { last == 0 } else { first <= last && last < 64 && members.len() == 1 };
        if !is_band || shift > 13 || (before != 0 && before != shift + 1) {
            return Err(DAMAGED);
        }
        Ok(ScanHeader {
            members,
            first: usize::from(first),
            last: usize::from(last),
            shift: u32::from(shift),
            is_refinement: before != 0,
        })
    }

    /// The frame, which comes before the first scan.
    pub fn frame(&self) -> Result<&Frame, JpegError> {
        self.frame.as_ref().ok_or(JpegError::Damaged("it has no header of a frame"))
    }

    /// What the components mean, by what JFIF or Adobe say, and the names of the components where neither says it.
    pub fn colours(&self) -> Result<Colours, JpegError> {
        let components = &self.frame()?.components;
        Ok(match (components.len(), self.adobe) {
            (1, _) => Colours::Grey,
            (3, _) if self.is_jfif => Colours::YCbCr,
            (3, Some(0)) => Colours::Rgb,
            (3, None) if components.iter().map(|component| component.id).eq(*b"RGB") => Colours::Rgb,
            (3, _) => Colours::YCbCr,
            (_, None | Some(0)) => Colours::Cmyk,
            _ => Colours::Ycck,
        })
    }
}
