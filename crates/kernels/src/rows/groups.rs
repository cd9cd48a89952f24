//! The largest of groups of neighbours: sub-centres of classes.

use rayon::prelude::*;

use super::{CHUNK, scope};
use crate::scratch;

/// The largest of every `group` neighbours; NaN where one of them is.
///
/// # Panics
/// If `group` is 0 or does not divide the length.
pub fn group_max(x: &[f32], group: usize) -> Vec<f32> {
    assert!(x.len().is_multiple_of(group));
    let _profile = scope("largest of groups of", group, "forward", x.len() + x.len() / group);
    let mut y = Vec::new();
    scratch::fill(&mut y, scratch::pieces(x.len() / group, CHUNK), |_, offset, y| {
        for (y, x) in y.iter_mut().zip(x[offset * group..].chunks_exact(group)) {
            *y = x[first_largest(x)];
        }
    });
    y
}

/// The gradient of [`group_max`] from `g` = ∂L/∂y, in the memory of `x`.
///
/// # Panics
/// As [`group_max`] does, and if the length of `g` is not that of its result.
pub fn group_max_backward(mut x: Vec<f32>, group: usize, g: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), g.len() * group);
    let _profile = scope("largest of groups of", group, "backward", 2 * x.len() + g.len());
    x.par_chunks_mut(CHUNK * group).zip(g.par_chunks(CHUNK)).for_each(|(x, g)| {
        for (x, g) in x.chunks_exact_mut(group).zip(g) {
            let best = first_largest(x);
            x.iter_mut().enumerate().for_each(|(i, x)| *x = if i == best { *g } else { 0.0 });
        }
    });
    x
}

/// The index of the first NaN, or else of the first largest.
#[inline(always)]
fn first_largest(x: &[f32]) -> usize {
    let mut best = 0;
    for (i, number) in x.iter().enumerate() {
        if *number > x[best] || (number.is_nan() && !x[best].is_nan()) {
            best = i;
        }
    }
    best
}
