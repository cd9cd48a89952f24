//! The numbers and rows of labels, and what is known of the others.

use pulp::{Simd, WithSimd};

use super::{
    check,
    rule::Scaled,
    scope,
    terms::Plain,
    walk::{Part, largest, parts, sum},
};
use crate::simd;

/// The number of the label in each row.
///
/// # Shapes
/// - `products`: `[batch, classes]`
/// - output: `[batch]`
///
/// # Panics
/// If the lengths do not fit or a label is out of range.
pub fn pick(products: &[f32], classes: usize, labels: &[usize]) -> Vec<f32> {
    check(products, classes, labels);
    labels.iter().enumerate().map(|(row, label)| products[row * classes + label]).collect()
}

/// Adds `x`, of shape `[batch]`, to the numbers that [`pick`] gives.
///
/// # Panics
/// As [`pick`] does.
pub fn add_to_picked(products: &mut [f32], classes: usize, labels: &[usize], x: &[f32]) {
    check(products, classes, labels);
    assert_eq!(x.len(), labels.len());
    for (row, (label, x)) in labels.iter().zip(x).enumerate() {
        products[row * classes + label] += x;
    }
}

/// Rows of a matrix, `[batch, length]`.
///
/// # Panics
/// If a label is out of range.
pub fn pick_rows(weight: &[f32], length: usize, labels: &[usize]) -> Vec<f32> {
    labels.iter().flat_map(|label| &weight[label * length..][..length]).copied().collect()
}

/// Adds the rows of `x`, of shape `[batch, length]`, to those that [`pick_rows`] gives.
///
/// # Panics
/// If the lengths do not fit or a label is out of range.
pub fn add_to_picked_rows(weight: &mut [f32], length: usize, labels: &[usize], x: &[f32]) {
    assert_eq!(x.len(), labels.len() * length);
    for (label, x) in labels.iter().zip(x.chunks_exact(length.max(1))) {
        weight[label * length..][..length].iter_mut().zip(x).for_each(|(weight, x)| *weight += x);
    }
}

/// Mean and largest of the numbers of each row without that of the label; NaN and −∞ where there are none.
///
/// # Shapes
/// - `products`: `[batch, classes]`
/// - outputs: `[batch]`
///
/// # Panics
/// If the lengths do not fit or a label is out of range.
pub fn others(products: &[f32], classes: usize, labels: &[usize]) -> [Vec<f32>; 2] {
    check(products, classes, labels);
    let _profile = scope("others", classes, "", products.len());
    let sums = parts(products, labels, classes, Part::with_terms, |_, p| simd::dispatch(Others(p)));
    let mean = sums.iter().map(|part| (part.sum / (classes - 1) as f64) as f32).collect();
    [mean, sums.iter().map(|part| part.largest).collect()]
}

/// Sum and largest of some numbers.
struct Others<'a>(&'a [f32]);

impl WithSimd for Others<'_> {
    type Output = Part;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Part {
        let plain = Scaled { scale: 1.0, offset: 0.0 };
        Part { largest: largest(simd, self.0, plain), sum: sum(simd, self.0, plain, Plain) }
    }
}
