//! The products of embeddings with the weights of classes, which may be divided by the lengths of the weights.
//!
//! In a face network the classes are many and the batch is small, so both passes go once through the weights
//! as they lie, by blocks of classes that stay in a core's cache. Neither keeps unit weights, nor a second array
//! of the size of the weights besides their gradient.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    gemm::{self, PANEL, Product, Target},
    problem::GradientMask,
    profile::{self, Scope, Work},
    scratch::{self, Unset},
    simd::{self, fma},
};

/// Embeddings and classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classes {
    /// Embeddings.
    pub batch: usize,
    /// Length of an embedding and of a weight.
    pub length: usize,
    /// Classes.
    pub classes: usize,
    /// ε of the root, where products are divided by the length of the weight, √(|w|² + ε).
    pub normalise: Option<f32>,
}

/// The gradients of [`Classes::forward`], empty where not asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassGradients {
    /// ∂L/∂x, of shape `[batch, length]`.
    pub x: Vec<f32>,
    /// ∂L/∂W, of shape `[classes, length]`.
    pub weight: Vec<f32>,
    /// ∂L/∂b, of shape `[classes]`.
    pub bias: Vec<f32>,
}

/// Classes that are multiplied at a time: whole blocks of the rows that the matrix kernel holds in registers,
/// and with a length of 512 a part of a core's cache.
const ROWS: usize = 84;

/// Tasks of a backward pass at most, each of which has a sum of the size of the embeddings.
const TASKS: usize = 64;

impl Classes {
    /// x·wⱼ + bⱼ, or x·wⱼ / √(|wⱼ|² + ε) + bⱼ.
    ///
    /// # Shapes
    /// - `x`: `[batch, length]`
    /// - `weight`: `[classes, length]`
    /// - `bias`: `[classes]`
    /// - output: `[batch, classes]`
    ///
    /// # Panics
    /// If a length is another, or `length` is 0.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let Self { batch, length, classes, .. } = *self;
        self.check(x, weight);
        assert!(bias.is_none_or(|bias| bias.len() == classes));
        let _profile = self.scope("forward", 1);
        let panels = self.transposed_panels(x);
        let mut y = Vec::new();
        let each = self.each().min(4 * ROWS);
        scratch::fill_columns(&mut y, [batch, classes], each, |first, y| {
            let weight = &weight[first * length..(first + each).min(classes) * length];
            let bias = bias.map(|bias| &bias[first..]);
            simd::dispatch(Forward { classes: self, panels: &panels, weight, bias, y });
        });
        y
    }

    /// The gradients from `g` = ∂L/∂y.
    ///
    /// # Panics
    /// If a length is another than that of [`Classes::forward`].
    pub fn backward(&self, x: &[f32], weight: &[f32], g: &[f32], mask: GradientMask) -> ClassGradients {
        let Self { batch, length, classes, .. } = *self;
        self.check(x, weight);
        assert_eq!(g.len(), batch * classes);
        let _profile = self.scope("backward", usize::from(mask.input) + usize::from(mask.weight));
        let panels = if mask.weight { self.panels(x) } else { Vec::new() };
        let each = self.each();
        let task = |first: usize, gradient: Option<&mut Unset<'_>>| {
            let count = each.min(classes - first);
            let mut x = vec![0.0; if mask.input { batch * length } else { 0 }];
            let mut bias = vec![0.0f64; if mask.bias { count } else { 0 }];
            let weight = &weight[first * length..(first + count) * length];
            let (x_sum, bias_sum) = (&mut x, &mut bias);
            simd::dispatch(Backward {
                classes: self,
                panels: &panels,
                weight,
                first,
                g,
                gradient,
                x_sum,
                bias_sum,
            });
            (x, bias)
        };
        let mut weight = Vec::new();
        let sums: Vec<(Vec<f32>, Vec<f64>)> = match mask.weight {
            true => {
                let pieces = scratch::pieces(classes * length, each * length);
                scratch::fill_in_parts(&mut weight, pieces, |_, offset, unset| {
                    task(offset / length, Some(unset))
                })
            }
            false => {
                let tasks = classes.div_ceil(each);
                (0..tasks).into_par_iter().map(|i| task(i * each, None)).collect()
            }
        };
        let mut gx = vec![0.0; if mask.input { batch * length } else { 0 }];
        gx.par_chunks_mut(length).enumerate().for_each(|(n, gx)| {
            for (sum, _) in &sums {
                gx.iter_mut().zip(&sum[n * length..]).for_each(|(gx, sum)| *gx += sum);
            }
        });
        let bias = sums.iter().flat_map(|(_, bias)| bias).map(|sum| *sum as f32).collect();
        ClassGradients { x: gx, weight, bias }
    }

    fn check(&self, x: &[f32], weight: &[f32]) {
        assert!(self.length > 0, "an embedding has at least one number");
        assert_eq!(x.len(), self.batch * self.length);
        assert_eq!(weight.len(), self.classes * self.length);
    }

    /// Classes of a task of the backward pass: whole blocks, of a number that depends on the sizes only.
    fn each(&self) -> usize {
        self.classes.div_ceil(TASKS).next_multiple_of(ROWS).max(ROWS)
    }

    /// The transpose of `x` in panels of [`PANEL`] embeddings, zeros past `batch`: `[batch / PANEL, length, PANEL]`.
    fn transposed_panels(&self, x: &[f32]) -> Vec<f32> {
        let Self { batch, length, .. } = *self;
        let mut panels = vec![0.0; batch.div_ceil(PANEL) * length * PANEL];
        panels.par_chunks_exact_mut(length * PANEL).enumerate().for_each(|(p, panel)| {
            let x = &x[p * PANEL * length..];
            let columns = PANEL.min(batch - p * PANEL);
            for (k, row) in panel.chunks_exact_mut(PANEL).enumerate() {
                row[..columns].iter_mut().enumerate().for_each(|(n, to)| *to = x[n * length + k]);
            }
        });
        panels
    }

    /// `x` in panels of [`PANEL`] of its columns, zeros past `length`: `[length / PANEL, batch, PANEL]`.
    fn panels(&self, x: &[f32]) -> Vec<f32> {
        let Self { batch, length, .. } = *self;
        let mut panels = vec![0.0; length.div_ceil(PANEL) * batch * PANEL];
        for (p, panel) in panels.chunks_exact_mut((batch * PANEL).max(1)).enumerate() {
            pack(&x[p * PANEL..], length, PANEL.min(length - p * PANEL), panel);
        }
        panels
    }

    fn scope(&self, what: &str, products: usize) -> Scope {
        let Self { batch, length, classes, normalise } = *self;
        profile::operator(|| {
            let (weights, ends) = (length * classes, batch * (length + classes));
            let operations = (2 * products * batch * weights) as u64;
            // A gradient of the weights is written beside what is read.
            let bytes = (4 * (products * weights + ends)) as u64;
            let kind = if normalise.is_some() { "cosines of classes" } else { "class products" };
            (format!("{kind} {length}->{classes} {what}"), Work { operations, bytes })
        })
    }
}

/// Copies `columns` numbers of each row, `row` numbers apart, to the rows of a panel.
#[inline(always)]
fn pack(rows: &[f32], row: usize, columns: usize, panel: &mut [f32]) {
    for (i, to) in panel.chunks_exact_mut(PANEL).enumerate() {
        to[..columns].copy_from_slice(&rows[i * row..][..columns]);
    }
}

/// a·b.
#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let mut sums = [simd.mul_f32s(simd.partial_load_f32s(a_rest), simd.partial_load_f32s(b_rest)); 1];
    let mut others = [simd.splat_f32s(0.0); 3];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a.iter().zip(b) {
        sums[0] = fma(simd, a[0], b[0], sums[0]);
        for k in 0..3 {
            others[k] = fma(simd, a[k + 1], b[k + 1], others[k]);
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sums[0] = fma(simd, *a, *b, sums[0]);
    }
    let [first, second] = [simd.add_f32s(sums[0], others[0]), simd.add_f32s(others[1], others[2])];
    simd.reduce_sum_f32s(simd.add_f32s(first, second))
}

/// 1 / √(|w|² + ε) of each weight, or 1.
#[inline(always)]
fn inverse_lengths<S: Simd>(simd: S, classes: &Classes, weight: &[f32], inverse: &mut [f32]) {
    match classes.normalise {
        Some(epsilon) => {
            for (weight, inverse) in weight.chunks_exact(classes.length).zip(inverse) {
                *inverse = 1.0 / (dot(simd, weight, weight) + epsilon).sqrt();
            }
        }
        None => inverse.fill(1.0),
    }
}

/// The products with some classes.
struct Forward<'a, 'y> {
    classes: &'a Classes,
    /// By [`Classes::transposed_panels`].
    panels: &'a [f32],
    /// Of those classes.
    weight: &'a [f32],
    /// From the first of them on.
    bias: Option<&'a [f32]>,
    /// Their part of each row.
    y: &'a mut [&'y mut [f32]],
}

impl WithSimd for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { classes, panels, weight, bias, y } = self;
        let length = classes.length;
        let product = Product::rows(length, length);
        let mut sums = scratch::take(ROWS * PANEL);
        let (mut inverse, mut biases) = ([1.0; ROWS], [0.0; ROWS]);
        for (i, weight) in weight.chunks(ROWS * length).enumerate() {
            let (first, rows) = (i * ROWS, weight.len() / length);
            inverse_lengths(simd, classes, weight, &mut inverse[..rows]);
            if let Some(bias) = bias {
                biases[..rows].copy_from_slice(&bias[first..first + rows]);
            }
            for (panel, y) in panels.chunks_exact(length * PANEL).zip(y.chunks_mut(PANEL)) {
                let target = Target { c: &mut sums, row: PANEL, rows, columns: y.len(), add: false };
                gemm::multiply(simd, &product, weight, panel, target);
                for (n, y) in y.iter_mut().enumerate() {
                    let columns = sums.chunks_exact(PANEL).zip(inverse.iter().zip(&biases));
                    for (y, (sums, (inverse, bias))) in y[first..first + rows].iter_mut().zip(columns) {
                        *y = sums[n] * inverse + bias;
                    }
                }
            }
        }
    }
}

/// The gradients of some classes, and their part of that of the embeddings.
struct Backward<'a, 'g> {
    classes: &'a Classes,
    /// By [`Classes::panels`], where the gradient of the weights is mask.
    panels: &'a [f32],
    /// Of those classes.
    weight: &'a [f32],
    /// The first of those classes.
    first: usize,
    /// ∂L/∂y of all classes.
    g: &'a [f32],
    gradient: Option<&'a mut Unset<'g>>,
    /// Of shape `[batch, length]`, or empty.
    x_sum: &'a mut [f32],
    /// A number a class, or empty.
    bias_sum: &'a mut [f64],
}

impl WithSimd for Backward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { classes, panels, weight, first, g, mut gradient, x_sum, bias_sum } = self;
        let &Classes { batch, length, classes: all, .. } = classes;
        let mut scaled = scratch::take(batch * ROWS);
        let mut panel = scratch::take(ROWS * PANEL);
        let mut inverse = [1.0; ROWS];
        for (i, weight) in weight.chunks(ROWS * length).enumerate() {
            let (start, rows) = (i * ROWS, weight.len() / length);
            inverse_lengths(simd, classes, weight, &mut inverse[..rows]);
            // ∂L/∂(x·w), of shape [batch, rows].
            let scaled = &mut scaled[..batch * rows];
            for (n, scaled) in scaled.chunks_exact_mut(rows).enumerate() {
                let g = &g[n * all + first + start..][..rows];
                for ((scaled, g), inverse) in scaled.iter_mut().zip(g).zip(&inverse) {
                    *scaled = g * inverse;
                }
                for (sum, g) in bias_sum.iter_mut().skip(start).zip(g) {
                    *sum += f64::from(*g);
                }
            }
            if let Some(gradient) = &mut gradient {
                let gradient = gradient.zeros(rows * length);
                let product = Product::transposed(batch, rows);
                for (p, panel) in panels.chunks_exact((batch * PANEL).max(1)).enumerate() {
                    let columns = PANEL.min(length - p * PANEL);
                    let target =
                        Target { c: &mut gradient[p * PANEL..], row: length, rows, columns, add: false };
                    gemm::multiply(simd, &product, scaled, panel, target);
                }
                if classes.normalise.is_some() {
                    let each = gradient.chunks_exact_mut(length).zip(weight.chunks_exact(length));
                    for ((gradient, weight), inverse) in each.zip(&inverse) {
                        remove_along(simd, gradient, weight, *inverse);
                    }
                }
            }
            if !x_sum.is_empty() {
                let product = Product::rows(rows, rows);
                for column in (0..length).step_by(PANEL) {
                    let columns = PANEL.min(length - column);
                    pack(&weight[column..], length, columns, &mut panel[..rows * PANEL]);
                    let target =
                        Target { c: &mut x_sum[column..], row: length, rows: batch, columns, add: i > 0 };
                    gemm::multiply(simd, &product, scaled, &panel, target);
                }
            }
        }
    }
}

/// g − ŵ·(ŵ·g), with ŵ = w·`inverse`.
#[inline(always)]
fn remove_along<S: Simd>(simd: S, g: &mut [f32], weight: &[f32], inverse: f32) {
    // In this order, so that neither the square of the inverse nor that of the weight leaves the range.
    let along = simd.splat_f32s(-(dot(simd, weight, g) * inverse * inverse));
    let ((g, g_rest), (weight, weight_rest)) = (S::as_mut_simd_f32s(g), S::as_simd_f32s(weight));
    for (g, weight) in g.iter_mut().zip(weight) {
        *g = fma(simd, along, *weight, *g);
    }
    if !g_rest.is_empty() {
        let weight = simd.partial_load_f32s(weight_rest);
        let g = fma(simd, along, weight, simd.partial_load_f32s(g_rest));
        simd.partial_store_f32s(g_rest, g);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{error, noise, on_each_isa};

    const ALL: GradientMask = GradientMask { input: true, weight: true, bias: true };

    /// By the formulas, in f64.
    fn reference(c: &Classes, x: &[f32], w: &[f32], b: &[f32], g: &[f32]) -> (Vec<f32>, ClassGradients) {
        let Classes { batch, length, classes, normalise } = *c;
        let product = |a: f32, b: f32| f64::from(a) * f64::from(b);
        let each = |rows: usize, columns: usize, f: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            (0..rows * columns).map(|i| f(i / columns, i % columns) as f32).collect()
        };
        let lengths: Vec<f64> = w
            .chunks_exact(length)
            .map(|w| {
                normalise
                    .map_or(1.0, |e| (w.iter().map(|w| product(*w, *w)).sum::<f64>() + f64::from(e)).sqrt())
            })
            .collect();
        let y = each(batch, classes, &|n, j| {
            let sum: f64 = (0..length).map(|i| product(x[n * length + i], w[j * length + i])).sum();
            sum / lengths[j] + f64::from(b[j])
        });
        let d = |j: usize, i: usize| -> f64 {
            (0..batch).map(|n| product(g[n * classes + j], x[n * length + i])).sum()
        };
        let gradients = ClassGradients {
            x: each(batch, length, &|n, i| {
                (0..classes).map(|j| product(g[n * classes + j], w[j * length + i]) / lengths[j]).sum()
            }),
            weight: each(classes, length, &|j, i| {
                let along: f64 = match normalise {
                    Some(_) => (0..length).map(|k| f64::from(w[j * length + k]) * d(j, k)).sum(),
                    None => 0.0,
                };
                d(j, i) / lengths[j] - f64::from(w[j * length + i]) * along / lengths[j].powi(3)
            }),
            bias: each(1, classes, &|_, j| (0..batch).map(|n| f64::from(g[n * classes + j])).sum()),
        };
        (y, gradients)
    }

    fn on_threads<R: Send>(threads: usize, f: impl Fn() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
    }

    #[test]
    fn values_and_gradients_are_the_formulas_whatever_the_threads() {
        // Batch, length, classes: less than a panel and more, and classes of several tasks with a rest.
        for (batch, length, classes) in [
            (1, 1, 1),
            (1, 7, 2),
            (3, 33, 5),
            (40, 13, ROWS + 3),
            (33, 64, 3 * ROWS),
            (5, 9, TASKS * ROWS + 61),
        ] {
            let lengths = [batch * length, classes * length, classes, batch * classes];
            let [x, w, b, g] = [0, 1, 2, 3].map(|i| noise(lengths[i], i as u64 + 1));
            for normalise in [None, Some(1e-10), Some(0.5)] {
                let sizes = Classes { batch, length, classes, normalise };
                let (y, gradients) = reference(&sizes, &x, &w, &b, &g);
                on_each_isa(|isa| {
                    let run = || (sizes.forward(&x, &w, Some(&b)), sizes.backward(&x, &w, &g, ALL));
                    let [(found, back), again] = [1, 3].map(|threads| on_threads(threads, run));
                    assert_eq!((&found, &back), (&again.0, &again.1), "another number of threads");
                    let pairs = [
                        (&found, &y),
                        (&back.x, &gradients.x),
                        (&back.weight, &gradients.weight),
                        (&back.bias, &gradients.bias),
                    ];
                    for (i, (found, expected)) in pairs.into_iter().enumerate() {
                        let error = error(found, expected);
                        assert!(error < 1e-5, "{i} of {sizes:?}: {error} off with {}", isa.name());
                    }
                    let zeros = vec![0.0; classes];
                    assert_eq!(sizes.forward(&x, &w, None), sizes.forward(&x, &w, Some(&zeros)));
                });
            }
        }
    }

    #[test]
    fn only_mask_gradients_are_made() {
        let sizes = Classes { batch: 3, length: 40, classes: 2 * ROWS + 1, normalise: Some(1e-10) };
        let [x, w, g] = [3 * 40, 40 * sizes.classes, 3 * sizes.classes].map(|length| noise(length, 4));
        on_each_isa(|_| {
            let all = sizes.backward(&x, &w, &g, ALL);
            for i in 0..8 {
                let mask = GradientMask { input: i & 1 > 0, weight: i & 2 > 0, bias: i & 4 > 0 };
                let found = sizes.backward(&x, &w, &g, mask);
                let kept = |mask: bool, all: &Vec<f32>| if mask { all.clone() } else { Vec::new() };
                assert_eq!(found.x, kept(mask.input, &all.x));
                assert_eq!(found.weight, kept(mask.weight, &all.weight));
                assert_eq!(found.bias, kept(mask.bias, &all.bias));
            }
        });
    }

    #[test]
    fn no_embeddings_give_no_products_and_gradients_of_zero() {
        let sizes = Classes { batch: 0, length: 5, classes: 7, normalise: Some(1e-10) };
        assert!(sizes.forward(&[], &[1.0; 35], Some(&[1.0; 7])).is_empty());
        let found = sizes.backward(&[], &[1.0; 35], &[], ALL);
        assert_eq!(found, ClassGradients { x: Vec::new(), weight: vec![0.0; 35], bias: vec![0.0; 7] });
    }

    #[test]
    fn a_weight_of_zeros_gives_finite_numbers() {
        let sizes = Classes { batch: 3, length: 20, classes: 4, normalise: Some(1e-10) };
        let (x, mut w, g) = (noise(60, 1), noise(80, 2), noise(12, 3));
        w[20..40].fill(0.0);
        on_each_isa(|_| {
            let y = sizes.forward(&x, &w, None);
            assert!((0..3).all(|n| y[n * 4 + 1] == 0.0));
            let back = sizes.backward(&x, &w, &g, ALL);
            let numbers = back.x.iter().chain(&back.weight);
            assert!(numbers.clone().all(|x| x.is_finite()));
            // D / √ε, with nothing along the weight.
            let d: f32 = (0..3).map(|n| g[n * 4 + 1] * x[n * 20]).sum();
            assert!((back.weight[20] - d * 1e5).abs() < 1.0);
        });
    }

    #[test]
    fn nan_stays_in_its_row_and_its_class() {
        let sizes = Classes { batch: 3, length: 50, classes: 36, normalise: Some(1e-10) };
        let (mut x, mut w, mut g) = (noise(150, 1), noise(1800, 2), noise(108, 3));
        x[60] = f32::NAN;
        on_each_isa(|_| {
            let y = sizes.forward(&x, &w, None);
            assert!(y.iter().enumerate().all(|(i, y)| y.is_nan() == (i / 36 == 1)));
        });
        (x[60], w[70]) = (0.0, f32::NAN);
        on_each_isa(|_| {
            let y = sizes.forward(&x, &w, None);
            assert!(y.iter().enumerate().all(|(i, y)| y.is_nan() == (i % 36 == 1)));
        });
        (w[70], g[5]) = (0.0, f32::NAN);
        on_each_isa(|_| {
            let back = sizes.backward(&x, &w, &g, ALL);
            assert!(back.x.iter().enumerate().all(|(i, g)| g.is_nan() == (i < 50)));
            assert!(back.weight.iter().enumerate().all(|(i, g)| g.is_nan() == (i / 50 == 5)));
        });
    }
}
