//! Entropy-coded blocks (ITU-T T.81, annexes C and F).

use std::{cell::RefCell, ops::Range, rc::Rc};

use super::JpegError;

/// So many bits are looked up at once; longer codes are rare.
const LOOK: u32 = 10;

/// Tables that a thread keeps: files of one set mostly have the same.
const KEPT: usize = 16;

/// The skip of the symbol that ends a block.
const END: u32 = 64;

/// The place of coefficient `k` of a block, in rows of eight.
pub const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What the symbols of a [`HuffmanTable`] mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Dc,
    /// AC coefficients of a sequential JPEG.
    Ac,
    /// AC coefficients of a progressive JPEG, where one symbol may end several blocks.
    ProgressiveAc,
}

/// A Huffman table, made for look-ups.
pub struct HuffmanTable {
    /// By the next [`LOOK`] bits, what [`entry`] says; 0 where the code is longer or there is none.
    short: [u32; 1 << LOOK],
    /// For each length, its codes and the place of their first symbol.
    codes: [(Range<u32>, usize); 17],
    symbols: Vec<u8>,
    class: Class,
}

/// A symbol as one number: the bits of code and value together, of the code alone, of the value alone, and by how
/// many coefficients to go on, eight bits each from the lowest. 0 for a symbol that there is not.
fn entry(class: Class, length: u32, symbol: u8) -> u32 {
    let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
    let skip = match (class, run, size) {
        (Class::Dc, 0, ..=11) => 0,
        (Class::Ac, 0, 0) => END,
        // Sixteen zeros, of which the last is written like any value.
        (Class::Ac | Class::ProgressiveAc, 15, 0) => 16,
        (Class::Ac | Class::ProgressiveAc, _, 1..=10) => run + 1,
        // As many bits as the run says how many blocks end here.
        (Class::ProgressiveAc, _, 0) => END,
        _ => return 0,
    };
    let size = if class == Class::ProgressiveAc && skip == END { run } else { size };
    (length + size) | length << 8 | size << 16 | skip << 24
}

impl HuffmanTable {
    /// A table from its sixteen counts and symbols; nothing if there are more codes than bits allow.
    fn new(stored: &[u8], class: Class) -> Option<Self> {
        let (counts, symbols) = stored.split_at_checked(16)?;
        let codes = std::array::from_fn(|_| (0..0, 0));
        let mut table = Self { short: [0; 1 << LOOK], codes, symbols: symbols.to_vec(), class };
        let (mut code, mut place) = (0u32, 0);
        for (length, &count) in (1u32..).zip(counts) {
            table.codes[length as usize] = (code..code + u32::from(count), place);
            for _ in 0..count {
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let entry = entry(class, length, *symbols.get(place)?);
                    let first = (code << (LOOK - length)) as usize;
                    table.short[first..first + (1 << (LOOK - length))].fill(entry);
                }
                (code, place) = (code + 1, place + 1);
            }
            code <<= 1;
        }
        Some(table)
    }

    /// Table `number` of those that are `stored`, from those of this thread if it has met it.
    pub fn of(stored: &[Option<&[u8]>; 4], number: usize, class: Class) -> Result<Rc<Self>, JpegError> {
        let stored = stored.get(number).copied().flatten();
        let stored = stored.ok_or(JpegError::Damaged("a Huffman table is missing"))?;
        type Known = (Vec<u8>, Rc<HuffmanTable>);
        thread_local! {
            static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
        }
        KNOWN.with_borrow_mut(|known| {
            let met = known.iter().find(|(bytes, table)| bytes == stored && table.class == class);
            if let Some((_, table)) = met {
                return Ok(table.clone());
            }
            let table = Self::new(stored, class).ok_or(JpegError::Damaged("a Huffman table is none"))?;
            let table = Rc::new(table);
            if known.len() == KEPT {
                known.remove(0);
            }
            known.push((stored.to_vec(), table.clone()));
            Ok(table)
        })
    }

    /// The entry of the symbol that `bits` begin with.
    #[inline(always)]
    fn find(&self, bits: u64) -> Option<u32> {
        match self.short[(bits >> (64 - LOOK)) as usize] {
            0 => self.find_long(bits),
            entry => Some(entry),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_long(&self, bits: u64) -> Option<u32> {
        for length in LOOK + 1..=16 {
            let code = (bits >> (64 - length)) as u32;
            let (codes, place) = &self.codes[length as usize];
            if codes.contains(&code) {
                let symbol = self.symbols.get(place + (code - codes.start) as usize)?;
                return Some(entry(self.class, length, *symbol)).filter(|entry| *entry != 0);
            }
        }
        None
    }
}

/// Bits from the first of the first byte on.
pub struct Bits<'a> {
    /// Bytes that are not taken into `next` yet.
    rest: &'a [u8],
    /// The next bits, from the highest on, of which `count` are counted.
    next: u64,
    count: u32,
    /// How many bits there are.
    all: usize,
}

/// Zeros behind the bytes that [`Bits`] are taken from: eight bytes are read at a time, eight bytes ahead.
pub const PADDING: usize = 16;

impl<'a> Bits<'a> {
    /// Those of `data`, whose last [`PADDING`] bytes are none.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data, next: 0, count: 0, all: data.len() * 8 }
    }

    /// Makes sure of 56 bits; beyond the end they are zeros.
    #[inline(always)]
    fn refill(&mut self) {
        match self.rest.first_chunk() {
            Some(word) => {
                self.next |= u64::from_be_bytes(*word) >> self.count;
                self.rest = &self.rest[(63 - self.count as usize) >> 3 & 7..];
            }
            // More are taken than there are.
            None => self.rest = &[],
        }
        self.count |= 56;
    }

    #[inline(always)]
    fn drop(&mut self, bits: u32) {
        self.next <<= bits;
        self.count -= bits;
    }

    /// The next bit.
    #[inline(always)]
    fn bit(&mut self) -> bool {
        if self.count == 0 {
            self.refill();
        }
        let bit = self.next >> 63 != 0;
        self.drop(1);
        bit
    }

    /// Bits taken so far; beyond the end, some number that is beyond it as well.
    pub fn taken(&self) -> usize {
        self.all - self.rest.len() * 8 - self.count as usize
    }
}

/// The first `size` bits of `bits`, 63 at most.
#[inline(always)]
fn leading(bits: u64, size: u32) -> u32 {
    (bits >> 1 >> (63 - size)) as u32
}

/// The value of `size` bits that `bits` begin with, where the lower half stands for negative ones.
#[inline(always)]
fn extend(bits: u64, size: u32) -> i32 {
    let value = leading(bits, size) as i32;
    let is_positive = ((bits as i64) >> 63) as i32;
    value + (!is_positive & (1 - (1 << size)))
}

/// By how much the DC coefficient differs from that of the block before.
#[inline(always)]
fn difference(bits: &mut Bits, dc: &HuffmanTable) -> Option<i32> {
    bits.refill();
    let found = dc.find(bits.next)?;
    let value = extend(bits.next << (found >> 8 & 31), found >> 16 & 15);
    bits.drop(found & 31);
    Some(value)
}

/// Reads a block into `coefficients`, which must be 0, multiplied by the quantization table; the number of the
/// last one that was coded, in zigzag order.
#[inline(always)]
pub fn block(
    bits: &mut Bits,
    [dc, ac]: [&HuffmanTable; 2],
    quantization: &[i32; 64],
    previous: &mut i32,
    coefficients: &mut [i32; 64],
) -> Option<usize> {
    *previous = previous.wrapping_add(difference(bits, dc)?);
    coefficients[0] = previous.wrapping_mul(quantization[0]);
    let mut at = 0;
    loop {
        // Enough for two symbols, of 26 bits at most.
        bits.refill();
        for _ in 0..2 {
            let found = ac.find(bits.next)?;
            let value = extend(bits.next << (found >> 8 & 31), found >> 16 & 15);
            bits.drop(found & 31);
            let skip = found >> 24;
            let next = at + skip as usize;
            if next > 63 {
                return (skip == END).then_some(at);
            }
            at = next;
            coefficients[usize::from(ZIGZAG[at] & 63)] = value.wrapping_mul(quantization[at]);
            if at == 63 {
                return Some(at);
            }
        }
    }
}

/// A block of a progressive JPEG, whose coefficients come in several scans.
pub struct KeptBlock<'a> {
    /// The first so many coefficients in zigzag order.
    pub coefficients: &'a mut [i16],
    /// By bit, which AC coefficients are not 0, whether they are kept or not.
    pub known: &'a mut u64,
}

/// A band of AC coefficients in zigzag order, and by how many bits its values are shifted.
#[derive(Debug, Clone, Copy)]
pub struct Band {
    pub first: usize,
    pub last: usize,
    pub shift: u32,
}

/// Reads the DC coefficient but for its `shift` lowest bits.
#[inline(always)]
pub fn dc_first(
    bits: &mut Bits,
    dc: &HuffmanTable,
    shift: u32,
    previous: &mut i32,
    block: KeptBlock,
) -> Option<()> {
    *previous = previous.wrapping_add(difference(bits, dc)?);
    *block.coefficients.first_mut()? = (*previous << shift) as i16;
    Some(())
}

/// Reads bit `shift` of the DC coefficient.
#[inline(always)]
pub fn dc_again(bits: &mut Bits, shift: u32, block: KeptBlock) -> Option<()> {
    *block.coefficients.first_mut()? |= i16::from(bits.bit()) << shift;
    Some(())
}

/// Reads a band but for its lowest bits. `ended` counts blocks to come that have nothing there.
#[inline(always)]
pub fn ac_first(
    bits: &mut Bits,
    ac: &HuffmanTable,
    band: Band,
    ended: &mut u32,
    block: KeptBlock,
) -> Option<()> {
    if *ended > 0 {
        *ended -= 1;
        return Some(());
    }
    let mut at = band.first - 1;
    loop {
        // Enough for a value, of 26 bits at most, and the end of blocks, of 30.
        bits.refill();
        for _ in 0..2 {
            let found = ac.find(bits.next)?;
            let (skip, size) = (found >> 24, found >> 16 & 15);
            let extra = bits.next << (found >> 8 & 31);
            bits.drop(found & 31);
            if skip == END {
                *ended = (1 << size) + leading(extra, size) - 1;
                return Some(());
            }
            at += skip as usize;
            if at > band.last {
                return None;
            }
            if size > 0 {
                *block.known |= 1 << at;
                if let Some(kept) = block.coefficients.get_mut(at) {
                    *kept = (extend(extra, size) << band.shift) as i16;
                }
            }
            if at == band.last {
                return Some(());
            }
        }
    }
}

/// Reads one more bit of the coefficients of a band that are not 0, and those that this bit makes known
/// (ITU-T T.81, G.1.2.3).
#[inline(always)]
pub fn ac_again(
    bits: &mut Bits,
    ac: &HuffmanTable,
    band: Band,
    ended: &mut u32,
    mut block: KeptBlock,
) -> Option<()> {
    let mut at = band.first;
    while *ended == 0 && at <= band.last {
        bits.refill();
        let found = ac.find(bits.next)?;
        let (skip, size) = (found >> 24, found >> 16 & 15);
        let extra = bits.next << (found >> 8 & 31);
        bits.drop(found & 31);
        if skip == END {
            *ended = (1 << size) + leading(extra, size);
            break;
        }
        at = correct(bits, band, at, skip - 1, &mut block);
        match size {
            0 => {}
            1 if at <= band.last => {
                *block.known |= 1 << at;
                if let Some(kept) = block.coefficients.get_mut(at) {
                    *kept = (extend(extra, 1) << band.shift) as i16;
                }
            }
            _ => return None,
        }
        at += 1;
    }
    if *ended > 0 {
        correct(bits, band, at, u64::BITS, &mut block);
        *ended -= 1;
    }
    Some(())
}

/// Goes on from coefficient `at` past `zeros` that are 0, to the one that follows them or beyond the band, and reads a
/// bit for each on the way that is not.
#[inline(always)]
fn correct(bits: &mut Bits, band: Band, mut at: usize, mut zeros: u32, block: &mut KeptBlock) -> usize {
    while at <= band.last {
        let gap = (*block.known >> at).trailing_zeros();
        if zeros < gap {
            return (at + zeros as usize).min(band.last + 1);
        }
        zeros -= gap;
        at += gap as usize;
        if at > band.last {
            break;
        }
        let unit = 1i16 << band.shift;
        if bits.bit()
            && let Some(kept) = block.coefficients.get_mut(at)
            && *kept & unit == 0
        {
            *kept = kept.wrapping_add(if *kept < 0 { -unit } else { unit });
        }
        at += 1;
    }
    band.last + 1
}
