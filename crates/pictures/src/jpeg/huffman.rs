//! Entropy-coded blocks (ITU-T T.81, annexes C and F).

use std::{cell::RefCell, ops::Range, rc::Rc};

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

/// What a symbol of a [`HuffmanTable`] means for DC or AC coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Dc,
    Ac,
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
        (Class::Ac, 15, 0) => 16,
        (Class::Ac, _, 1..=10) => run + 1,
        _ => return 0,
    };
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

    /// The table that is stored so, from those of this thread if it has met it.
    pub fn of(stored: &[u8], class: Class) -> Option<Rc<Self>> {
        type Known = (Vec<u8>, Rc<HuffmanTable>);
        thread_local! {
            static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
        }
        KNOWN.with_borrow_mut(|known| {
            let met = known.iter().find(|(bytes, table)| bytes == stored && table.class == class);
            if let Some((_, table)) = met {
                return Some(table.clone());
            }
            let table = Rc::new(Self::new(stored, class)?);
            if known.len() == KEPT {
                known.remove(0);
            }
            known.push((stored.to_vec(), table.clone()));
            Some(table)
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
    data: &'a [u8],
    /// Bytes taken into `next`.
    at: usize,
    /// The next bits, from the highest on, of which `count` are counted.
    next: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, next: 0, count: 0 }
    }

    /// Makes sure of 56 bits; beyond the end they are zeros.
    #[inline(always)]
    fn refill(&mut self) {
        let word = self.data.get(self.at..).and_then(|rest| rest.first_chunk());
        self.next |= word.map_or(0, |word| u64::from_be_bytes(*word)) >> self.count;
        self.at += (63 - self.count as usize) >> 3;
        self.count |= 56;
    }

    #[inline(always)]
    fn drop(&mut self, bits: u32) {
        self.next <<= bits;
        self.count -= bits;
    }

    /// Bits taken so far.
    pub fn taken(&self) -> usize {
        self.at * 8 - self.count as usize
    }
}

/// The value of `size` bits that `bits` begin with, where the lower half stands for negative ones.
#[inline(always)]
fn extend(bits: u64, size: u32) -> i32 {
    let value = (bits >> 1 >> (63 - size)) as i32;
    let is_positive = ((bits as i64) >> 63) as i32;
    value + (!is_positive & (1 - (1 << size)))
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
    bits.refill();
    let found = dc.find(bits.next)?;
    *previous = previous.wrapping_add(extend(bits.next << (found >> 8 & 31), found >> 16 & 15));
    bits.drop(found & 31);
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
