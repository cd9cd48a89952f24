//! What this machine can do at best, to compare other measurements with.
//!
//! Both are measured on all threads of the current rayon pool and with the instructions of [`crate::simd::isa`],
//! as often as `time` allows and at least twice; the best run counts, since whatever else runs on the machine
//! only ever slows a run down.

use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    gemm::{self, PANEL, Product, Target},
    simd::{self, fma},
};

/// Rows of `A` that a task takes: full blocks of the matrix kernel on every instruction set, in the cache of a
/// core together with a panel.
const ROWS: usize = 84;
/// Columns of `A` that a task takes at a time.
const DEPTH: usize = 384;
/// Columns of `A`.
const SUMMED: usize = 2 * DEPTH;
/// Panels of `B`.
const PANELS: usize = 36;
/// Tasks for each thread: a product of some milliseconds, so that not all of them are interrupted.
const TASKS: usize = 4;
/// Numbers of each of the two arrays that pass through the memory, more than caches hold.
const STREAM: usize = 1 << 25;

/// Floating-point operations a second of a large plain matrix product.
pub fn operations_per_second(time: Duration) -> f64 {
    let rows = ROWS * TASKS * rayon::current_num_threads();
    let columns = PANELS * PANEL;
    let a = vec![0.5f32; rows * SUMMED];
    let b = vec![0.25f32; SUMMED * columns];
    let mut c = vec![0.0f32; rows * columns];
    let best = best(time, || {
        a.par_chunks(ROWS * SUMMED).zip(c.par_chunks_mut(ROWS * columns)).for_each(|(a, c)| {
            simd::dispatch(Rows { a, b: &b, c });
        });
    });
    // Nobody else looks at the product, and it must be computed all the same.
    assert!(c.iter().all(|c| *c == SUMMED as f32 * 0.125), "the matrix kernel gave a wrong product");
    2.0 * (rows * columns * SUMMED) as f64 / best.as_secs_f64()
}

struct Rows<'a> {
    a: &'a [f32],
    b: &'a [f32],
    c: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let product = Product::rows(DEPTH, SUMMED);
        let c_row = PANELS * PANEL;
        for (part, b) in self.b.chunks_exact(DEPTH * c_row).enumerate() {
            for (n, panel) in b.chunks_exact(DEPTH * PANEL).enumerate() {
                let (a, c) = (&self.a[part * DEPTH..], &mut self.c[n * PANEL..]);
                let target = Target { c, row: c_row, rows: ROWS, columns: PANEL, add: part > 0 };
                gemm::multiply(simd, &product, a, panel, target);
            }
        }
    }
}

/// Bytes a second that can be read from memory and written to it, where two are read for each one written.
pub fn bytes_per_second(time: Duration) -> f64 {
    const CHUNK: usize = 1 << 16;
    // Each thread is the first to write its part, so that the pages lie near it where that matters.
    let [x, mut y] = [0.5f32, 1.0].map(|value| {
        let mut numbers = vec![0.0f32; STREAM];
        numbers.par_chunks_mut(CHUNK).for_each(|numbers| numbers.fill(value));
        numbers
    });
    // y = x + y/2, which stays what it is.
    let best = best(time, || {
        x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK)).for_each(|(x, y)| simd::dispatch(Stream(x, y)));
    });
    assert!(y.iter().all(|y| *y == 1.0), "the memory kernel gave a wrong sum");
    (3 * STREAM * size_of::<f32>()) as f64 / best.as_secs_f64()
}

struct Stream<'a>(&'a [f32], &'a mut [f32]);

impl WithSimd for Stream<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let half = simd.splat_f32s(0.5);
        let (x, y) = (S::as_simd_f32s(self.0).0, S::as_mut_simd_f32s(self.1).0);
        x.iter().zip(y).for_each(|(x, y)| *y = fma(simd, *y, half, *x));
    }
}

/// The shortest time that `work` takes.
fn best(time: Duration, mut work: impl FnMut()) -> Duration {
    let begin = Instant::now();
    let mut best = Duration::MAX;
    for run in 0.. {
        if run >= 2 && begin.elapsed() >= time {
            break;
        }
        let begin = Instant::now();
        work();
        best = best.min(begin.elapsed());
    }
    best.max(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_those_of_a_computer() {
        let operations = operations_per_second(Duration::ZERO);
        assert!((1e8..1e15).contains(&operations), "{operations}");
        let bytes = bytes_per_second(Duration::ZERO);
        assert!((1e8..1e14).contains(&bytes), "{bytes}");
    }
}
