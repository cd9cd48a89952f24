//! Eight integers at a time, the same on every processor.

#[cfg(target_arch = "x86_64")]
use pulp::{cast, x86::V3};

/// What the inverse transform needs of vectors.
pub trait Lanes: Copy {
    type Vector: Copy;

    fn splat(self, value: i32) -> Self::Vector;
    fn load(self, values: &[i32; 8]) -> Self::Vector;
    fn store(self, vector: Self::Vector) -> [i32; 8];
    /// `sum + a * b`, modulo 2^32.
    fn add_product(self, sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Divided by 2 to the power of `BITS`, rounded down.
    fn shift<const BITS: i32>(self, vector: Self::Vector) -> Self::Vector;
    /// The nearest bytes.
    fn bytes(self, vectors: [Self::Vector; 4]) -> [[u8; 8]; 4];
}

/// What every processor can do.
#[derive(Clone, Copy)]
pub struct Portable;

impl Lanes for Portable {
    type Vector = [i32; 8];

    #[inline(always)]
    fn splat(self, value: i32) -> [i32; 8] {
        [value; 8]
    }

    #[inline(always)]
    fn load(self, values: &[i32; 8]) -> [i32; 8] {
        *values
    }

    #[inline(always)]
    fn store(self, vector: [i32; 8]) -> [i32; 8] {
        vector
    }

    #[inline(always)]
    fn add_product(self, sum: [i32; 8], a: [i32; 8], b: [i32; 8]) -> [i32; 8] {
        std::array::from_fn(|i| sum[i].wrapping_add(a[i].wrapping_mul(b[i])))
    }

    #[inline(always)]
    fn shift<const BITS: i32>(self, vector: [i32; 8]) -> [i32; 8] {
        vector.map(|value| value >> BITS)
    }

    #[inline(always)]
    fn bytes(self, vectors: [[i32; 8]; 4]) -> [[u8; 8]; 4] {
        vectors.map(|vector| vector.map(|value| value.clamp(0, 255) as u8))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for V3 {
    type Vector = core::arch::x86_64::__m256i;

    #[inline(always)]
    fn splat(self, value: i32) -> Self::Vector {
        self.avx._mm256_set1_epi32(value)
    }

    #[inline(always)]
    fn load(self, values: &[i32; 8]) -> Self::Vector {
        cast(*values)
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector) -> [i32; 8] {
        cast(vector)
    }

    #[inline(always)]
    fn add_product(self, sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        self.avx2._mm256_add_epi32(sum, self.avx2._mm256_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn shift<const BITS: i32>(self, vector: Self::Vector) -> Self::Vector {
        self.avx2._mm256_srai_epi32::<BITS>(vector)
    }

    #[inline(always)]
    fn bytes(self, [a, b, c, d]: [Self::Vector; 4]) -> [[u8; 8]; 4] {
        let pairs = [self.avx2._mm256_packs_epi32(a, b), self.avx2._mm256_packs_epi32(c, d)];
        let halves = self.avx2._mm256_packus_epi16(pairs[0], pairs[1]);
        // The first halves of all rows, then the second ones.
        let order = cast([0i32, 4, 1, 5, 2, 6, 3, 7]);
        cast(self.avx2._mm256_permutevar8x32_epi32(halves, order))
    }
}
