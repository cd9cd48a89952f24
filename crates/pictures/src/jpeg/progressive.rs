//! Scans of a progressive JPEG, which bring the coefficients of blocks in bands and bit by bit.

use std::rc::Rc;

use super::{
    JpegError, Part,
    coded::BlockCoder,
    enlarge::Plane,
    header::{ScanHeader, Segments},
    huffman::{self, Band, Bits, Class, HuffmanTable, KeptBlock, ZIGZAG},
    idct,
};
use crate::lanes::Lanes;

/// What [`Coefficients::missing`] says of a coefficient that no scan has brought.
const ALL: u8 = u8::MAX;

/// The coefficients of a component.
pub struct Coefficients {
    /// Blocks across.
    blocks: usize,
    /// Of each block so many are kept, in zigzag order: those that its samples are made of.
    kept: usize,
    /// `[block, kept]`.
    values: Vec<i16>,
    /// By bit, which AC coefficients of a block are not 0, kept or not.
    known: Vec<u64>,
    /// By coefficient, how many of its bits are missing.
    missing: [u8; 64],
}

/// Of a block that becomes `side` x `side` samples, the coefficients that have a part in it, and what lies between.
fn kept(side: usize) -> usize {
    let has_part = |at: &u8| usize::from(at / 8).max(usize::from(at % 8)) < side;
    ZIGZAG.iter().rposition(has_part).map_or(1, |last| last + 1)
}

impl Coefficients {
    /// Those of a component of which nothing is known.
    pub fn new(part: &Part) -> Self {
        let (kept, blocks) = (kept(part.side), part.blocks[0] * part.blocks[1]);
        Self {
            blocks: part.blocks[0],
            kept,
            values: vec![0; blocks * kept],
            known: vec![0; blocks],
            missing: [ALL; 64],
        }
    }

    /// How many bytes of memory they take.
    pub fn memory(part: &Part) -> usize {
        part.blocks[0] * part.blocks[1] * (kept(part.side) * size_of::<i16>() + size_of::<u64>())
    }

    /// Whether no bit of any coefficient is missing.
    pub fn is_whole(&self) -> bool {
        self.missing == [0; 64]
    }

    #[inline(always)]
    fn block(&mut self, x: usize, y: usize) -> KeptBlock<'_> {
        let block = y * self.blocks + x;
        KeptBlock {
            coefficients: &mut self.values[block * self.kept..][..self.kept],
            known: &mut self.known[block],
        }
    }

    /// The samples that they stand for.
    #[inline(always)]
    pub fn into_plane<L: Lanes>(self, lanes: L, part: &Part, quantization: &[i32; 64]) -> Plane {
        let mut plane = part.plane();
        let is_kept = u64::MAX >> (64 - self.kept);
        for (block, (values, known)) in self.values.chunks_exact(self.kept).zip(&self.known).enumerate() {
            let [x, y] = [block % self.blocks, block / self.blocks];
            if x >= part.own_blocks[0] || y >= part.own_blocks[1] {
                continue;
            }
            let mut left = known & is_kept | 1;
            let last = 63 - left.leading_zeros() as usize;
            let mut coefficients = [0; 64];
            while left != 0 {
                let at = left.trailing_zeros() as usize;
                let value = i32::from(values[at]).wrapping_mul(quantization[at]);
                coefficients[usize::from(ZIGZAG[at] & 63)] = value;
                left &= left - 1;
            }
            let place = y * part.side * plane.stride + x * part.side;
            idct::inverse(lanes, part.side, &coefficients, last, &mut plane.samples[place..], plane.stride);
        }
        plane
    }
}

/// A scan that is being read.
pub struct Progressive<'a> {
    members: Vec<Member>,
    coefficients: &'a mut [Coefficients],
    band: Band,
    is_refinement: bool,
    /// Blocks to come that have nothing in the band.
    ended: u32,
}

/// A component of it.
struct Member {
    /// Its place in the frame.
    component: usize,
    /// For the DC or AC coefficients, whichever the scan has.
    table: Rc<HuffmanTable>,
    /// The DC coefficient of the block before.
    previous: i32,
}

impl<'a> Progressive<'a> {
    /// Blocks of `scan` are added to `coefficients`, which are by component.
    pub fn new(
        scan: &ScanHeader,
        segments: &Segments,
        coefficients: &'a mut [Coefficients],
    ) -> Result<Self, JpegError> {
        let mut members = Vec::with_capacity(scan.members.len());
        for member in &scan.members {
            coefficients[member.component].missing[scan.first..=scan.last].fill(scan.shift as u8);
            let table = match scan.first {
                0 => HuffmanTable::of(&segments.dc, member.dc, Class::Dc)?,
                _ => HuffmanTable::of(&segments.ac, member.ac, Class::ProgressiveAc)?,
            };
            members.push(Member { component: member.component, table, previous: 0 });
        }
        let band = Band { first: scan.first, last: scan.last, shift: scan.shift };
        Ok(Self { members, coefficients, band, is_refinement: scan.is_refinement, ended: 0 })
    }
}

impl BlockCoder for Progressive<'_> {
    #[inline(always)]
    fn restart(&mut self) {
        self.members.iter_mut().for_each(|member| member.previous = 0);
        self.ended = 0;
    }

    #[inline(always)]
    fn block(&mut self, bits: &mut Bits, member: usize, x: usize, y: usize) -> Option<()> {
        let Self { members, coefficients, band, is_refinement, ended } = self;
        let Member { component, table, previous } = &mut members[member];
        let block = coefficients[*component].block(x, y);
        match (band.first, *is_refinement) {
            (0, false) => huffman::dc_first(bits, table, band.shift, previous, block),
            (0, true) => huffman::dc_again(bits, band.shift, block),
            (_, false) => huffman::ac_first(bits, table, *band, ended, block),
            (_, true) => huffman::ac_again(bits, table, *band, ended, block),
        }
    }
}
