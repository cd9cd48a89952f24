//! Walks along the numbers of a row, and how the parts of a row are put together.

use pulp::Simd;
use rayon::prelude::*;

use super::{CHUNK, rule::Logit, terms::Term};

/// A part of the others of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// The largest logit; NaN if there is one.
    pub(super) largest: f32,
    /// Of the exponentials of the distances from the largest, or of what else the reduction adds up.
    pub(super) sum: f64,
}

impl Part {
    pub(super) const EMPTY: Self = Self { largest: f32::NEG_INFINITY, sum: 0.0 };

    /// Both parts together, where the sums are of terms.
    pub(super) fn with_terms(self, other: Self) -> Self {
        let first = self.largest >= other.largest || self.largest.is_nan();
        Self { largest: if first { self.largest } else { other.largest }, sum: self.sum + other.sum }
    }

    /// Both parts together, where the sums are of exponentials.
    pub(super) fn with_exponentials(self, other: Self) -> Self {
        let largest = self.with_terms(other).largest;
        // A part of nothing has a largest of −∞, whose distance from itself would be NaN.
        let sum = |part: Self| match part.sum == 0.0 {
            true => 0.0,
            false => part.sum * (f64::from(part.largest) - f64::from(largest)).exp(),
        };
        Self { largest, sum: sum(self) + sum(other) }
    }
}

/// Calls `f` with the row and every chunk of it, without the label, and merges what it gives, in order.
pub(super) fn parts(
    products: &[f32],
    labels: &[usize],
    classes: usize,
    merge: fn(Part, Part) -> Part,
    f: impl Fn(usize, &[f32]) -> Part + Sync,
) -> Vec<Part> {
    let chunks = classes.div_ceil(CHUNK).max(1);
    let found: Vec<Part> = (0..labels.len() * chunks)
        .into_par_iter()
        .map(|i| {
            let (row, start) = (i / chunks, i % chunks * CHUNK);
            let p = &products[row * classes..][..classes];
            let (label, end) = (labels[row], (start + CHUNK).min(classes));
            match (start..end).contains(&label) {
                true => merge(f(row, &p[start..label]), f(row, &p[label + 1..end])),
                false => f(row, &p[start..end]),
            }
        })
        .collect();
    found.chunks_exact(chunks).map(|parts| parts.iter().copied().fold(Part::EMPTY, merge)).collect()
}

/// The largest logit, −∞ of none; NaN if there is one.
#[inline(always)]
pub(super) fn largest<S: Simd, F: Logit>(simd: S, p: &[f32], f: F) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(p);
    let none = simd.splat_f32s(f32::NEG_INFINITY);
    // NaN is kept apart, for comparisons may lose it.
    let (mut most, mut nan) = ([none; 2], [none; 2]);
    macro_rules! compare {
        ($k:expr, $p:expr) => {{
            let z = f.at(simd, $p);
            let number = simd.equal_f32s(z, z);
            nan[$k] = simd.select_f32s(number, nan[$k], z);
            most[$k] = simd.max_f32s(most[$k], simd.select_f32s(number, z, none));
        }};
    }
    let (pairs, left) = vectors.as_chunks::<2>();
    for pair in pairs {
        compare!(0, pair[0]);
        compare!(1, pair[1]);
    }
    for vector in left {
        compare!(0, *vector);
    }
    if !rest.is_empty() {
        // The first of them once more in the place of those that are missing.
        let mut last = [rest[0]; 16];
        last[..rest.len()].copy_from_slice(rest);
        compare!(0, simd.partial_load_f32s(&last[..S::F32_LANES]));
    }
    let mut lanes = [0.0; 32];
    let (first, second) = lanes.split_at_mut(16);
    simd.partial_store_f32s(&mut first[..S::F32_LANES], nan[0]);
    simd.partial_store_f32s(&mut second[..S::F32_LANES], nan[1]);
    match lanes.iter().find(|z| z.is_nan()) {
        Some(nan) => *nan,
        None => simd.reduce_max_f32s(simd.max_f32s(most[0], most[1])),
    }
}

/// Σ of the terms of the logits.
#[inline(always)]
pub(super) fn sum<S: Simd, F: Logit, T: Term>(simd: S, p: &[f32], f: F, term: T) -> f64 {
    let (vectors, rest) = S::as_simd_f32s(p);
    let mut sums = [simd.splat_f32s(0.0); 2];
    let (pairs, left) = vectors.as_chunks::<2>();
    for pair in pairs {
        sums[0] = simd.add_f32s(sums[0], term.at(simd, f.at(simd, pair[0])));
        sums[1] = simd.add_f32s(sums[1], term.at(simd, f.at(simd, pair[1])));
    }
    for vector in left {
        sums[0] = simd.add_f32s(sums[0], term.at(simd, f.at(simd, *vector)));
    }
    let mut tail = 0.0;
    if !rest.is_empty() {
        let mut terms = [0.0; 16];
        let terms = &mut terms[..rest.len()];
        simd.partial_store_f32s(terms, term.at(simd, f.at(simd, simd.partial_load_f32s(rest))));
        tail = terms.iter().map(|term| f64::from(*term)).sum();
    }
    f64::from(simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1]))) + tail
}

/// Turns products into `g` times the derivative of their terms, and gives the sum of `weight` of the logits.
#[inline(always)]
pub(super) fn change<S: Simd, F: Logit, T: Term>(simd: S, p: &mut [f32], f: F, weight: T, g: f32) -> f64 {
    let (vectors, rest) = S::as_mut_simd_f32s(p);
    let g = simd.splat_f32s(g);
    let mut sum = simd.splat_f32s(0.0);
    for p in vectors {
        let weight = weight.at(simd, f.at(simd, *p));
        sum = simd.add_f32s(sum, weight);
        *p = simd.mul_f32s(simd.mul_f32s(g, weight), f.slope(simd, *p));
    }
    let mut tail = 0.0;
    if !rest.is_empty() {
        let p = simd.partial_load_f32s(rest);
        let weight = weight.at(simd, f.at(simd, p));
        let mut weights = [0.0; 16];
        let weights = &mut weights[..rest.len()];
        simd.partial_store_f32s(weights, weight);
        tail = weights.iter().map(|weight| f64::from(*weight)).sum();
        simd.partial_store_f32s(rest, simd.mul_f32s(simd.mul_f32s(g, weight), f.slope(simd, p)));
    }
    f64::from(simd.reduce_sum_f32s(sum)) + tail
}
