//! Which vector instructions are used.

use std::{
    any::TypeId,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use pulp::{Scalar256b, Simd, WithSimd};

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every processor has, eight numbers at a time.
    Portable,
    /// Neon of AArch64: vectors of four.
    Neon,
    /// AVX2 and FMA of x86-64: vectors of eight.
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL of x86-64: vectors of sixteen.
    Avx512,
}

impl Isa {
    /// Every set of this architecture, the slowest first.
    pub const ALL: &'static [Self] = if cfg!(target_arch = "x86_64") {
        &[Self::Portable, Self::Avx2, Self::Avx512]
    } else if cfg!(target_arch = "aarch64") {
        &[Self::Portable, Self::Neon]
    } else {
        &[Self::Portable]
    };

    /// The name for logs and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "Neon",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
        }
    }

    /// Whether this processor has it.
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::is_available(),
            _ => false,
        }
    }
}

/// The best set that this processor has.
pub fn detected() -> Isa {
    static DETECTED: OnceLock<Isa> = OnceLock::new();
    let best = || Isa::ALL.iter().copied().rfind(|isa| isa.is_available());
    *DETECTED.get_or_init(|| best().unwrap_or(Isa::Portable))
}

static LIMIT: AtomicU8 = AtomicU8::new(Isa::Avx512 as u8);

/// Uses no set better than `isa` from here on, in the whole process: for tests and benchmarks.
pub fn limit(isa: Isa) {
    LIMIT.store(isa as u8, Ordering::Relaxed);
}

/// Keeps [`on_each_isa`] from changing the set, which is one for the process, while the guard lives: for tests.
pub fn hold() -> MutexGuard<'static, ()> {
    static HELD: Mutex<()> = Mutex::new(());
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f` under each set that this processor has, one caller at a time: for tests.
pub fn on_each_isa(f: impl Fn(Isa)) {
    let _held = hold();
    for isa in Isa::ALL.iter().copied().filter(|isa| *isa <= detected()) {
        limit(isa);
        f(isa);
    }
    limit(Isa::Avx512);
}

/// The set in use.
pub fn isa() -> Isa {
    let limit = LIMIT.load(Ordering::Relaxed);
    let allowed = |isa: &Isa| *isa as u8 <= limit && *isa <= detected();
    Isa::ALL.iter().copied().rfind(allowed).unwrap_or(Isa::Portable)
}

/// Runs `op` compiled for the set in use.
#[inline]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            if let Some(simd) = pulp::x86::V4::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => {
            if let Some(simd) = pulp::aarch64::Neon::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        _ => {}
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
