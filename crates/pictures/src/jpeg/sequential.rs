//! Scans of a sequential JPEG, whose blocks become samples at once.

use std::rc::Rc;

use super::{
    JpegError, Part,
    coded::BlockCoder,
    enlarge::Plane,
    header::{self, ScanHeader, Segments},
    huffman::{self, Bits, Class, HuffmanTable},
    idct,
};
use crate::lanes::Lanes;

/// A scan that is being read.
pub struct Sequential<'a, L> {
    lanes: L,
    members: Vec<Member<'a>>,
}

/// A component of it.
struct Member<'a> {
    samples: &'a mut [u8],
    stride: usize,
    /// Samples across and down that a block becomes.
    side: usize,
    tables: [Rc<HuffmanTable>; 2],
    quantization: [i32; 64],
    /// The DC coefficient of the block before.
    previous: i32,
}

impl<'a, L: Lanes> Sequential<'a, L> {
    /// Blocks of `scan` are written into `planes`; these, `parts` and the tables in `quantization` are by component.
    pub fn new(
        lanes: L,
        scan: &ScanHeader,
        segments: &Segments,
        parts: &[Part],
        quantization: &[Option<[i32; 64]>],
        planes: &'a mut [Plane],
    ) -> Result<Self, JpegError> {
        let mut planes: Vec<Option<&mut Plane>> = planes.iter_mut().map(Some).collect();
        let mut members = Vec::with_capacity(scan.members.len());
        for &header::Member { component, dc, ac } in &scan.members {
            let plane = planes[component].take().ok_or(JpegError::Damaged("a scan has a component twice"))?;
            members.push(Member {
                samples: &mut plane.samples,
                stride: plane.stride,
                side: parts[component].side,
                tables: [
                    HuffmanTable::of(&segments.dc, dc, Class::Dc)?,
                    HuffmanTable::of(&segments.ac, ac, Class::Ac)?,
                ],
                quantization: quantization[component].ok_or(JpegError::NO_TABLE)?,
                previous: 0,
            });
        }
        Ok(Self { lanes, members })
    }
}

impl<L: Lanes> BlockCoder for Sequential<'_, L> {
    #[inline(always)]
    fn restart(&mut self) {
        self.members.iter_mut().for_each(|member| member.previous = 0);
    }

    #[inline(always)]
    fn block(&mut self, bits: &mut Bits, member: usize, x: usize, y: usize) -> Option<()> {
        let Member { samples, stride, side, tables: [dc, ac], quantization, previous } =
            &mut self.members[member];
        let mut coefficients = idct::Block([0; 64]);
        let last = huffman::block(bits, [&**dc, &**ac], quantization, previous, &mut coefficients.0)?;
        let place = y * *side * *stride + x * *side;
        idct::inverse(self.lanes, *side, &coefficients.0, last, &mut samples[place..], *stride);
        Some(())
    }
}
