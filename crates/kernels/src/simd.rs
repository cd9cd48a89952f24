//! Which vector instructions are used.

use std::{
    any::TypeId,
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use pulp::{Scalar256b, Simd, WithSimd};

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every processor has, eight numbers at a time.
    Portable,
    /// AVX2 and FMA: vectors of eight.
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL: vectors of sixteen.
    Avx512,
}

impl Isa {
    /// Every set, the slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The name for logs and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
        }
    }
}

/// The best set that this processor has.
pub fn detected() -> Isa {
    static DETECTED: OnceLock<Isa> = OnceLock::new();
    *DETECTED.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if pulp::x86::V4::is_available() {
                return Isa::Avx512;
            }
            if pulp::x86::V3::is_available() {
                return Isa::Avx2;
            }
        }
        Isa::Portable
    })
}

static LIMIT: AtomicU8 = AtomicU8::new(Isa::Avx512 as u8);

/// Uses no set better than `isa` from here on, in the whole process: for tests and benchmarks.
pub fn limit(isa: Isa) {
    LIMIT.store(isa as u8, Ordering::Relaxed);
}

/// The set in use.
pub fn isa() -> Isa {
    let limit = LIMIT.load(Ordering::Relaxed);
    let limit = Isa::ALL.into_iter().find(|isa| *isa as u8 == limit).unwrap_or(Isa::Portable);
    detected().min(limit)
}

/// Runs `op` compiled for the set in use.
#[inline]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    match isa() {
        Isa::Avx512 => {
            if let Some(simd) = pulp::x86::V4::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        Isa::Avx2 => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        Isa::Portable => {}
    }
    Simd::vectorize(Scalar256b, op)
}

/// `a·b + c`, rounded once where the processor can do that at no cost.
#[inline(always)]
pub(crate) fn fma<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // The portable set would call a library function for each number.
    if TypeId::of::<S>() == TypeId::of::<Scalar256b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_e_f32s(a, b, c)
    }
}
