//! Rows of numbers: where a file keeps them, and how they pass from a writer into a format.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
};

use facegrad_files::fill_at;

use crate::{Origin, error::Problem};

/// How much is read, converted and written at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// How a number is stored; always converted to f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    F16,
    F32,
    F64,
}

/// A stored number and the order of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) number: Number,
    pub(crate) big_endian: bool,
}

impl Element {
    /// What facegrad writes.
    #[cfg(test)]
    pub(crate) const F32: Self = Self { number: Number::F32, big_endian: false };

    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self.number {
            Number::F16 => 2,
            Number::F32 => 4,
            Number::F64 => 8,
        }
    }

    /// Converts as many numbers as `out` has.
    ///
    /// # Errors
    /// The place of one that is finite, but not in 32 bits.
    pub(crate) fn convert(self, bytes: &[u8], out: &mut [f32]) -> Result<(), usize> {
        fn each<const N: usize>(
            bytes: &[u8],
            out: &mut [f32],
            big_endian: bool,
            mut read: impl FnMut([u8; N]) -> f32,
        ) {
            for (out, number) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
                let mut number = *number;
                if big_endian {
                    number.reverse();
                }
                *out = read(number);
            }
        }
        match self.number {
            Number::F16 => each(bytes, out, self.big_endian, |b| half(u16::from_le_bytes(b))),
            Number::F32 => each(bytes, out, self.big_endian, f32::from_le_bytes),
            Number::F64 => {
                let (mut at, mut too_large) = (0, None);
                each(bytes, out, self.big_endian, |b| {
                    let number = narrow(f64::from_le_bytes(b));
                    if number.is_none() {
                        too_large.get_or_insert(at);
                    }
                    at += 1;
                    number.unwrap_or(f32::INFINITY)
                });
                return too_large.map_or(Ok(()), Err);
            }
        }
        Ok(())
    }
}

/// A number in 32 bits, unless it is finite and would no longer be.
pub(crate) fn narrow(number: f64) -> Option<f32> {
    let narrow = number as f32;
    (narrow.is_finite() || !number.is_finite()).then_some(narrow)
}

/// The value of an IEEE 754 half-precision number.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// Where the rows of an open file are.
#[derive(Debug)]
pub(crate) enum Rows {
    /// One after the other in the file, from a position on.
    Stored { file: File, at: u64, element: Element },
    /// In memory.
    Loaded(Vec<f32>),
}

impl Rows {
    /// Copies the rows of `dim` numbers from `row` on.
    pub(crate) fn read(&self, row: usize, dim: usize, out: &mut [f32]) -> Result<(), Problem> {
        let first = row * dim;
        let (file, at, element) = match self {
            Self::Loaded(numbers) => {
                let numbers = numbers.get(first..first + out.len());
                out.copy_from_slice(numbers.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
                return Ok(());
            }
            Self::Stored { file, at, element } => (file, *at, *element),
        };
        let size = element.size();
        let mut bytes = vec![0; CHUNK_BYTES.min(out.len() * size)];
        let mut at = at + (first * size) as u64;
        for (number, out) in (first..).step_by(CHUNK_BYTES / size).zip(out.chunks_mut(CHUNK_BYTES / size)) {
            let bytes = &mut bytes[..out.len() * size];
            fill_at(file, at, bytes)?;
            element.convert(bytes, out).map_err(|at| Problem::TooLarge((number + at) / dim))?;
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

/// What a format finds in a file.
#[derive(Debug)]
pub(crate) struct StoredEmbeddings {
    pub(crate) dim: usize,
    pub(crate) names: Vec<String>,
    pub(crate) identities: Option<Vec<String>>,
    pub(crate) origin: Option<Origin>,
    pub(crate) rows: Rows,
}

/// What a format writes: complete, its rows one after the other.
pub(crate) struct Set<'a> {
    pub(crate) dim: usize,
    pub(crate) names: &'a [String],
    pub(crate) identities: Option<&'a [String]>,
    pub(crate) origin: Option<&'a Origin>,
    /// f32, little-endian.
    pub(crate) rows: &'a mut dyn Read,
}

impl Set<'_> {
    /// Hands out all rows in their order: which they are, and their bytes (f32, little-endian).
    pub(crate) fn for_each_batch(
        &mut self,
        mut write: impl FnMut(Range<usize>, &[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let row = self.dim * 4;
        let batch = (CHUNK_BYTES / row).max(1);
        let mut bytes = vec![0; row * batch.min(self.names.len())];
        for start in (0..self.names.len()).step_by(batch) {
            let end = (start + batch).min(self.names.len());
            let bytes = &mut bytes[..(end - start) * row];
            self.rows.read_exact(bytes)?;
            // All bits of the exponent are set in what is not finite, and in nothing else.
            let finite = |b: &[u8; 4]| u32::from_le_bytes(*b) & 0x7f80_0000 != 0x7f80_0000;
            if let Some(at) = bytes.as_chunks().0.iter().position(|b| !finite(b)) {
                return Err(Problem::NotFinite(start + at / self.dim));
            }
            write(start..end, bytes)?;
        }
        Ok(())
    }

    /// Bytes of all rows.
    pub(crate) fn bytes(&self) -> u64 {
        self.names.len() as u64 * self.dim as u64 * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_and_order() {
        let f16 = Element { number: Number::F16, big_endian: false };
        // 1, −2, the largest, the smallest normal, the smallest: IEEE 754-2008, table 3.5.
        let bits: [u16; 5] = [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001];
        let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let mut out = [0.0; 5];
        f16.convert(&bytes, &mut out).unwrap();
        assert_eq!(out, [1.0, -2.0, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8]);
        assert!(half(0x7c00) == f32::INFINITY && half(0xfc00) == f32::NEG_INFINITY && half(0x7e00).is_nan());

        let mut one = [0.0];
        Element { number: Number::F32, big_endian: true }.convert(&1.5f32.to_be_bytes(), &mut one).unwrap();
        assert_eq!(one, [1.5]);
        Element { number: Number::F64, big_endian: false }
            .convert(&(-0.1f64).to_le_bytes(), &mut one)
            .unwrap();
        assert_eq!(one, [-0.1]);
        let f64 = Element { number: Number::F64, big_endian: true };
        let mut two = [0.0; 2];
        let bytes = |numbers: [f64; 2]| numbers.map(f64::to_be_bytes).concat();
        assert_eq!(f64.convert(&bytes([1.0, 1e300]), &mut two), Err(1));
        f64.convert(&bytes([f64::NEG_INFINITY, f64::NAN]), &mut two).unwrap();
        assert!(two[0] == f32::NEG_INFINITY && two[1].is_nan());
    }
}
