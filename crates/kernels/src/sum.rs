//! Sums of arrays.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    profile::{self, Work},
    simd,
};

/// Numbers that a task takes at a time.
const CHUNK: usize = 1 << 14;

/// Adds `x` to `sum`.
///
/// # Panics
/// If the lengths differ.
pub fn add_to(sum: &mut [f32], x: &[f32]) {
    assert_eq!(sum.len(), x.len());
    let _profile = profile::operator(|| ("sum".into(), Work { operations: 0, bytes: 12 * x.len() as u64 }));
    if x.len() <= CHUNK {
        return simd::dispatch(Add(sum, x));
    }
    sum.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sum, x)| simd::dispatch(Add(sum, x)));
}

struct Add<'a>(&'a mut [f32], &'a [f32]);

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.iter_mut().zip(self.1).for_each(|(sum, x)| *sum += x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{noise, on_each_isa};

    #[test]
    fn each_number_is_the_sum() {
        for length in [0, 5, CHUNK, 3 * CHUNK + 7] {
            let (a, mut b) = (noise(length, 1), noise(length, 2));
            if let Some(last) = b.last_mut() {
                *last = f32::NAN;
            }
            on_each_isa(|_| {
                let mut sum = a.clone();
                add_to(&mut sum, &b);
                let expected = a.iter().zip(&b).map(|(a, b)| a + b);
                assert!(sum.iter().zip(expected).all(|(sum, expected)| sum.to_bits() == expected.to_bits()));
            });
        }
    }
}
