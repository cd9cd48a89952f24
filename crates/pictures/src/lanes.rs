//! Eight numbers at a time, with the same results on every processor.

#[cfg(target_arch = "aarch64")]
use core::arch::aarch64::{int16x8_t, uint8x16_t};

#[cfg(target_arch = "aarch64")]
use pulp::{Simd, WithSimd, aarch64::Neon, cast, f32x4, i32x4};
#[cfg(target_arch = "x86_64")]
use pulp::{Simd, WithSimd, cast, x86::V3};

/// Work that is compiled for the instructions of the processor. Products and sums are the same and in the same order
/// with all of them, so that an image is the same to the bit everywhere.
pub(crate) trait Work {
    /// What it gives.
    type Output;

    fn compute<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// The vector instructions of this architecture that are used where a processor has them.
#[cfg(target_arch = "aarch64")]
type Instructions = Neon;
#[cfg(target_arch = "x86_64")]
type Instructions = V3;

/// Does `work` with the best instructions there are.
pub(crate) fn run<W: Work>(work: W) -> W::Output {
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    if let Some(simd) = Instructions::try_new() {
        return Simd::vectorize(simd, Vectorized(work, simd));
    }
    work.compute(Portable)
}

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
struct Vectorized<W>(W, Instructions);

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
impl<W: Work> WithSimd for Vectorized<W> {
    type Output = W::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> W::Output {
        self.0.compute(self.1)
    }
}

/// Vectors of eight numbers.
pub(crate) trait Lanes: Copy {
    /// Eight integers.
    type Vector: Copy;
    /// Eight floating-point numbers.
    type Floats: Copy;

    fn splat(self, value: i32) -> Self::Vector;
    fn load(self, values: &[i32; 8]) -> Self::Vector;
    fn store(self, vector: Self::Vector) -> [i32; 8];
    /// `sum + a * b`, modulo 2^32.
    fn add_product(self, sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Divided by 2 to the power of `BITS`, rounded down.
    fn shift<const BITS: i32>(self, vector: Self::Vector) -> Self::Vector;
    /// The nearest bytes.
    fn bytes(self, vectors: [Self::Vector; 4]) -> [[u8; 8]; 4];
    /// The three colours of the eight pixels that `pixels` begins with.
    fn split(self, pixels: &[u8; 28]) -> [Self::Vector; 3];
    /// Two times four pixels of the bytes nearest to three colours; four bytes behind each twelve have no meaning.
    fn merge(self, colours: [Self::Vector; 3]) -> [[u8; 16]; 2];

    fn to_floats(self, vector: Self::Vector) -> Self::Floats;
    /// Rounded towards 0; the values are less than 2^31.
    fn truncate(self, values: Self::Floats) -> Self::Vector;
    fn splat_float(self, value: f32) -> Self::Floats;
    fn load_floats(self, values: &[f32; 8]) -> Self::Floats;
    fn join(self, halves: [&[f32; 4]; 2]) -> Self::Floats;
    /// `sum + a * b`, rounded twice.
    fn add_product_floats(self, sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Two times four pixels of three bytes, of their values rounded towards 0, which are less than 2^31. Pixel `i`
    /// has the first three values of vector `i`, pixel `i + 4` the fifth to the seventh. Four bytes behind each
    /// twelve have no meaning.
    fn pixels(self, values: [Self::Floats; 4]) -> [[u8; 16]; 2];
}

/// What every processor can do.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    type Vector = [i32; 8];
    type Floats = [f32; 8];

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

    #[inline(always)]
    fn split(self, pixels: &[u8; 28]) -> [[i32; 8]; 3] {
        std::array::from_fn(|colour| std::array::from_fn(|i| i32::from(pixels[i * 3 + colour])))
    }

    #[inline(always)]
    fn merge(self, colours: [[i32; 8]; 3]) -> [[u8; 16]; 2] {
        let byte = |half: usize, i: usize| {
            if i < 12 { colours[i % 3][half * 4 + i / 3].clamp(0, 255) as u8 } else { 0 }
        };
        [0, 1].map(|half| std::array::from_fn(|i| byte(half, i)))
    }

    #[inline(always)]
    fn to_floats(self, vector: [i32; 8]) -> [f32; 8] {
        vector.map(|value| value as f32)
    }

    #[inline(always)]
    fn truncate(self, values: [f32; 8]) -> [i32; 8] {
        values.map(|value| value as i32)
    }

    #[inline(always)]
    fn splat_float(self, value: f32) -> [f32; 8] {
        [value; 8]
    }

    #[inline(always)]
    fn load_floats(self, values: &[f32; 8]) -> [f32; 8] {
        *values
    }

    #[inline(always)]
    fn join(self, halves: [&[f32; 4]; 2]) -> [f32; 8] {
        std::array::from_fn(|i| halves[i / 4][i % 4])
    }

    #[inline(always)]
    fn add_product_floats(self, sum: [f32; 8], a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| sum[i] + a[i] * b[i])
    }

    #[inline(always)]
    fn pixels(self, values: [[f32; 8]; 4]) -> [[u8; 16]; 2] {
        let byte = |half: usize, i: usize| if i < 12 { values[i / 3][half * 4 + i % 3] as u8 } else { 0 };
        [0, 1].map(|half| std::array::from_fn(|i| byte(half, i)))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for V3 {
    type Vector = core::arch::x86_64::__m256i;
    type Floats = core::arch::x86_64::__m256;

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

    #[inline(always)]
    fn split(self, pixels: &[u8; 28]) -> [Self::Vector; 3] {
        let (Some(low), Some(high)) = (pixels.first_chunk::<16>(), pixels.last_chunk::<16>()) else {
            return [self.splat(0); 3];
        };
        let pixels = cast([*low, *high]);
        // Each colour goes to the lowest byte of its number.
        const fn order(colour: i8) -> [[i8; 4]; 8] {
            let mut order = [[-1; 4]; 8];
            let mut i = 0;
            while i < 8 {
                order[i][0] = (i % 4) as i8 * 3 + colour;
                i += 1;
            }
            order
        }
        const ORDERS: [[[i8; 4]; 8]; 3] = [order(0), order(1), order(2)];
        [
            self.avx2._mm256_shuffle_epi8(pixels, cast(ORDERS[0])),
            self.avx2._mm256_shuffle_epi8(pixels, cast(ORDERS[1])),
            self.avx2._mm256_shuffle_epi8(pixels, cast(ORDERS[2])),
        ]
    }

    #[inline(always)]
    fn merge(self, [r, g, b]: [Self::Vector; 3]) -> [[u8; 16]; 2] {
        // In each half four bytes of r, g, b and b again.
        let pairs = [self.avx2._mm256_packs_epi32(r, g), self.avx2._mm256_packs_epi32(b, b)];
        let bytes = self.avx2._mm256_packus_epi16(pairs[0], pairs[1]);
        let order = [0i8, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1];
        cast(self.avx2._mm256_shuffle_epi8(bytes, cast([order, order])))
    }

    #[inline(always)]
    fn to_floats(self, vector: Self::Vector) -> Self::Floats {
        self.avx._mm256_cvtepi32_ps(vector)
    }

    #[inline(always)]
    fn truncate(self, values: Self::Floats) -> Self::Vector {
        self.avx._mm256_cvttps_epi32(values)
    }

    #[inline(always)]
    fn splat_float(self, value: f32) -> Self::Floats {
        self.avx._mm256_set1_ps(value)
    }

    #[inline(always)]
    fn load_floats(self, values: &[f32; 8]) -> Self::Floats {
        cast(*values)
    }

    #[inline(always)]
    fn join(self, [low, high]: [&[f32; 4]; 2]) -> Self::Floats {
        self.avx._mm256_set_m128(cast(*high), cast(*low))
    }

    #[inline(always)]
    fn add_product_floats(self, sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        self.avx._mm256_add_ps(sum, self.avx._mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn pixels(self, [a, b, c, d]: [Self::Floats; 4]) -> [[u8; 16]; 2] {
        let whole = |floats| self.avx._mm256_cvttps_epi32(floats);
        let pairs = [
            self.avx2._mm256_packs_epi32(whole(a), whole(b)),
            self.avx2._mm256_packs_epi32(whole(c), whole(d)),
        ];
        // Four bytes a pixel; the fourth is dropped.
        let bytes = self.avx2._mm256_packus_epi16(pairs[0], pairs[1]);
        let order = [0i8, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1];
        cast(self.avx2._mm256_shuffle_epi8(bytes, cast([order, order])))
    }
}

/// Two vectors of four.
#[cfg(target_arch = "aarch64")]
impl Lanes for Neon {
    type Vector = [i32x4; 2];
    type Floats = [f32x4; 2];

    #[inline(always)]
    fn splat(self, value: i32) -> Self::Vector {
        [self.splat_i32s(value); 2]
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
        [0, 1].map(|half| self.add_i32s(sum[half], self.mul_i32s(a[half], b[half])))
    }

    #[inline(always)]
    fn shift<const BITS: i32>(self, vector: Self::Vector) -> Self::Vector {
        vector.map(|half| self.shr_const_i32x4::<BITS>(half))
    }

    #[inline(always)]
    fn bytes(self, vectors: [Self::Vector; 4]) -> [[u8; 8]; 4] {
        let [a, b, c, d] = vectors.map(|vector| narrow(self, vector));
        cast([bytes_of(self, [a, b]), bytes_of(self, [c, d])])
    }

    #[inline(always)]
    fn split(self, pixels: &[u8; 28]) -> [Self::Vector; 3] {
        let (Some(low), Some(high)) = (pixels.first_chunk::<16>(), pixels.last_chunk::<16>()) else {
            return [self.splat(0); 3];
        };
        // Each colour goes to the lowest byte of its number; what lies outside of the table is 0.
        [0, 1, 2].map(|colour| {
            let order = [0, 1, 2, 3].map(|i| [3 * i + colour, 255u8, 255, 255]);
            [low, high].map(|half| cast(self.neon.vqtbl1q_u8(cast(*half), cast(order))))
        })
    }

    #[inline(always)]
    fn merge(self, [r, g, b]: [Self::Vector; 3]) -> [[u8; 16]; 2] {
        // In each half four bytes of r, g, b and b again.
        let order = [0u8, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, 255, 255, 255, 255];
        [0, 1].map(|half| {
            let pairs = [[r[half], g[half]], [b[half], b[half]]].map(|pair| narrow(self, pair));
            cast(self.neon.vqtbl1q_u8(bytes_of(self, pairs), cast(order)))
        })
    }

    #[inline(always)]
    fn to_floats(self, vector: Self::Vector) -> Self::Floats {
        vector.map(|half| cast(self.neon.vcvtq_f32_s32(cast(half))))
    }

    #[inline(always)]
    fn truncate(self, values: Self::Floats) -> Self::Vector {
        values.map(|half| cast(self.neon.vcvtq_s32_f32(cast(half))))
    }

    #[inline(always)]
    fn splat_float(self, value: f32) -> Self::Floats {
        [self.splat_f32s(value); 2]
    }

    #[inline(always)]
    fn load_floats(self, values: &[f32; 8]) -> Self::Floats {
        cast(*values)
    }

    #[inline(always)]
    fn join(self, [low, high]: [&[f32; 4]; 2]) -> Self::Floats {
        [cast(*low), cast(*high)]
    }

    #[inline(always)]
    fn add_product_floats(self, sum: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        [0, 1].map(|half| self.add_f32s(sum[half], self.mul_f32s(a[half], b[half])))
    }

    #[inline(always)]
    fn pixels(self, [a, b, c, d]: [Self::Floats; 4]) -> [[u8; 16]; 2] {
        let [a, b, c, d] = [a, b, c, d].map(|floats| self.truncate(floats));
        // Four bytes a pixel; the fourth is dropped.
        let order = [0u8, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 255, 255, 255, 255];
        [0, 1].map(|half| {
            let pairs = [[a[half], b[half]], [c[half], d[half]]].map(|pair| narrow(self, pair));
            cast(self.neon.vqtbl1q_u8(bytes_of(self, pairs), cast(order)))
        })
    }
}

/// The nearest numbers of 16 bits.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn narrow(simd: Neon, [low, high]: [i32x4; 2]) -> int16x8_t {
    simd.neon.vqmovn_high_s32(simd.neon.vqmovn_s32(cast(low)), cast(high))
}

/// The nearest bytes.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn bytes_of(simd: Neon, [low, high]: [int16x8_t; 2]) -> uint8x16_t {
    simd.neon.vqmovun_high_s16(simd.neon.vqmovun_s16(low), high)
}
