//! The data of a scan: from bytes to blocks.

use super::{
    JpegError,
    huffman::{Bits, PADDING},
};

/// Entropy-coded data without stuffed bytes, in the parts between restart markers.
pub struct CodedData {
    /// Each part with [`PADDING`] behind it.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Whether the file ends here, without a marker.
    is_last: bool,
}

/// Something that is done with every block of a scan.
pub trait BlockCoder {
    /// Forgets what blocks pass on to the next.
    fn restart(&mut self);

    /// Reads the next block, which is the one in column `x` and row `y` of component `member` of the scan; nothing if
    /// the bits mean nothing.
    fn block(&mut self, bits: &mut Bits, member: usize, x: usize, y: usize) -> Option<()>;
}

/// The order of blocks in a scan.
pub struct Units<'a> {
    /// How many there are, across and down.
    pub count: [usize; 2],
    /// The blocks of each component in one, across and down.
    pub blocks: &'a [[usize; 2]],
    /// How many there are between restart markers; 0 if there are none.
    pub restart: usize,
}

impl CodedData {
    /// Takes stuffed bytes and restart markers out of what `rest` begins with, and leaves what follows: the next marker, or
    /// nothing.
    #[inline(always)]
    pub fn take(rest: &mut &[u8]) -> Result<Self, JpegError> {
        let mut data =
            Self { bytes: Vec::with_capacity(rest.len() + PADDING), ends: Vec::new(), is_last: false };
        loop {
            let run = plain_run(rest);
            data.bytes.extend_from_slice(&rest[..run]);
            *rest = &rest[run..];
            match rest.get(1) {
                Some(0) => data.bytes.push(0xFF),
                // A filling byte.
                Some(0xFF) => {
                    *rest = &rest[1..];
                    continue;
                }
                Some(marker @ 0xD0..=0xD7) => {
                    if usize::from(marker & 7) != data.ends.len() % 8 {
                        return Err(JpegError::Damaged("its restart markers are out of order"));
                    }
                    data.end();
                }
                Some(_) => {
                    data.end();
                    return Ok(data);
                }
                None => {
                    data.end();
                    data.is_last = true;
                    return Ok(data);
                }
            }
            *rest = &rest[2..];
        }
    }

    /// Whether the file ends with this data, without the mark that ends an image.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len());
        self.bytes.extend([0; PADDING]);
    }

    /// Gives every block of `units` to `coder`.
    #[inline(always)]
    pub fn read<C: BlockCoder>(&self, units: &Units, mut coder: C) -> Result<(), JpegError> {
        let [across, down] = units.count;
        let all = across * down;
        let interval = if units.restart == 0 { all } else { units.restart };
        let parts = all.div_ceil(interval);
        if parts > self.ends.len() {
            return Err(self.missing());
        }
        if self.ends.len() > parts + 1
            || self.ends.get(parts).is_some_and(|end| self.ends[parts - 1] + PADDING < *end)
        {
            return Err(JpegError::Damaged("it has more restart markers than it says"));
        }
        let (mut begin, mut x, mut y) = (0, 0, 0);
        for (part, &end) in self.ends[..parts].iter().enumerate() {
            let available = (end - begin) * 8;
            let mut bits = Bits::new(&self.bytes[begin..end + PADDING]);
            coder.restart();
            for _ in part * interval..((part + 1) * interval).min(all) {
                for (member, &[across, down]) in units.blocks.iter().enumerate() {
                    for v in 0..down {
                        for h in 0..across {
                            if coder.block(&mut bits, member, x * across + h, y * down + v).is_none() {
                                // The longest code has 16 bits.
                                let is_cut = bits.taken() + 16 > available;
                                return Err(if is_cut { self.missing() } else { UNKNOWN_CODE });
                            }
                        }
                    }
                }
                if bits.taken() > available {
                    return Err(self.missing());
                }
                x += 1;
                if x == across {
                    (x, y) = (0, y + 1);
                }
            }
            // A whole image ends within its last byte. What other programs leave behind it is filling.
            let left = &self.bytes[begin + bits.taken().div_ceil(8)..end];
            let is_filling = left.iter().all(|&byte| byte == 0) || left.iter().all(|&byte| byte == 0xFF);
            if self.is_last && !left.is_empty() {
                return Err(JpegError::Truncated);
            }
            if !is_filling {
                return Err(JpegError::Damaged("it has more data than pixels"));
            }
            begin = end + PADDING;
        }
        Ok(())
    }

    fn missing(&self) -> JpegError {
        if self.is_last { JpegError::Truncated } else { JpegError::Damaged("data is missing in it") }
    }
}

const UNKNOWN_CODE: JpegError = JpegError::Damaged("it has a code that its tables do not have");

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
