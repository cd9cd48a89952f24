//! A linear layer in training, y = x·W + b, with a weight that is read and written where it lies.
//!
//! Its weight is by far larger than the batch in face networks, so both passes go through it once, by rows.

use std::borrow::Cow;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    gemm::{self, PANEL, Product, Target},
    profile::{self, Scope, Work},
    scratch, simd,
};

/// Numbers of a linear layer and of the batch that passes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affine {
    /// Vectors.
    pub batch: usize,
    /// Length of a vector.
    pub inputs: usize,
    /// Length of a result.
    pub outputs: usize,
}

/// Rows of W that are multiplied at a time: with 512 outputs, they fill a part of a core's cache.
const ROWS: usize = 64;

/// Rows of W in a task of the forward pass, each of which has sums of its own.
const SUMMED: usize = 16 * ROWS;

/// The gradients of [`Affine::forward`].
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// ∂L/∂x, of shape `[batch, inputs]`.
    pub x: Vec<f32>,
    /// ∂L/∂W, of shape `[inputs, outputs]`.
    pub weight: Vec<f32>,
    /// ∂L/∂b, of shape `[outputs]`.
    pub bias: Vec<f32>,
}

impl Affine {
    /// x·W + b.
    ///
    /// # Shapes
    /// - `x`: `[batch, inputs]`
    /// - `weight`: `[inputs, outputs]`
    /// - `bias`: `[outputs]`
    /// - output: `[batch, outputs]`
    ///
    /// # Panics
    /// If a length is another.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let Self { inputs, outputs, .. } = *self;
        self.check(x, weight);
        assert!(bias.is_none_or(|bias| bias.len() == outputs));
        let _profile = self.scope("forward", 1);
        let mut y = vec![0.0; self.batch * outputs];
        if y.is_empty() || inputs == 0 {
            add_to_rows(&mut y, bias);
            return y;
        }
        let sums: Vec<Vec<f32>> = weight
            .par_chunks(SUMMED * outputs)
            .enumerate()
            .map(|(i, weight)| {
                let mut y = vec![0.0; self.batch * outputs];
                simd::dispatch(Forward { affine: self, x: &x[i * SUMMED..], weight, y: &mut y });
                y
            })
            .collect();
        y.par_chunks_mut(outputs).enumerate().for_each(|(n, y)| {
            for sum in &sums {
                y.iter_mut().zip(&sum[n * outputs..]).for_each(|(y, sum)| *y += sum);
            }
            add_to_rows(y, bias);
        });
        y
    }

    /// The gradients from `g` = ∂L/∂y.
    ///
    /// # Panics
    /// If a length is another than that of [`Affine::forward`].
    pub fn backward(&self, x: &[f32], weight: &[f32], g: &[f32]) -> Gradients {
        let Self { batch, inputs, outputs } = *self;
        self.check(x, weight);
        assert_eq!(g.len(), batch * outputs);
        let _profile = self.scope("backward", 2);
        if batch == 0 {
            return Gradients { x: Vec::new(), weight: vec![0.0; weight.len()], bias: vec![0.0; outputs] };
        }
        let mut bias = vec![0.0f64; outputs];
        for g in g.chunks_exact(outputs.max(1)) {
            bias.iter_mut().zip(g).for_each(|(sum, g)| *sum += f64::from(*g));
        }
        let transposed = transposed_panels(g, batch, outputs);
        let panels = whole_panels(g, outputs);
        let mut grad = Vec::new();
        // Each task gives its part of ∂L/∂x, of shape [batch, rows].
        let lengths = scratch::pieces(weight.len(), ROWS * outputs);
        let tiles = scratch::fill(&mut grad, lengths, |_, offset, grad| {
            let rows = grad.len() / outputs;
            let mut tile = vec![0.0; batch * rows];
            simd::dispatch(Backward {
                affine: self,
                x: &x[offset / outputs..],
                weight: &weight[offset..offset + grad.len()],
                transposed: &transposed,
                g: &panels,
                grad,
                tile: &mut tile,
            });
            tile
        });
        let mut gx = vec![0.0; x.len()];
        gx.par_chunks_mut(inputs.max(1)).enumerate().for_each(|(n, gx)| {
            for (gx, tile) in gx.chunks_mut(ROWS).zip(&tiles) {
                gx.copy_from_slice(&tile[n * gx.len()..][..gx.len()]);
            }
        });
        Gradients { x: gx, weight: grad, bias: bias.iter().map(|sum| *sum as f32).collect() }
    }

    fn check(&self, x: &[f32], weight: &[f32]) {
        assert_eq!(x.len(), self.batch * self.inputs);
        assert_eq!(weight.len(), self.inputs * self.outputs);
    }

    fn scope(&self, what: &str, products: usize) -> Scope {
        let Self { batch, inputs, outputs } = *self;
        profile::operator(|| {
            let (weights, ends) = (inputs * outputs, batch * (inputs + outputs));
            let operations = (2 * products * batch * weights) as u64;
            let work = Work { operations, bytes: (4 * products * (weights + ends)) as u64 };
            (format!("linear {inputs}->{outputs} {what}"), work)
        })
    }
}

fn add_to_rows(y: &mut [f32], bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        for y in y.chunks_exact_mut(bias.len().max(1)) {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
    }
}

/// Rows of whole panels, of zeros past `columns`; a copy only where there are any such.
fn whole_panels(rows: &[f32], columns: usize) -> Cow<'_, [f32]> {
    if columns.is_multiple_of(PANEL) {
        return rows.into();
    }
    let width = columns.next_multiple_of(PANEL);
    let mut padded = vec![0.0; rows.len() / columns * width];
    for (row, to) in rows.chunks_exact(columns).zip(padded.chunks_exact_mut(width)) {
        to[..columns].copy_from_slice(row);
    }
    padded.into()
}

/// The transpose of `g`, of shape `[batch, outputs]`, in panels of [`PANEL`] columns, zeros past `batch`.
fn transposed_panels(g: &[f32], batch: usize, outputs: usize) -> Vec<f32> {
    let mut panels = vec![0.0; batch.div_ceil(PANEL) * outputs * PANEL];
    for (n, g) in g.chunks_exact(outputs.max(1)).enumerate() {
        let panel = &mut panels[n / PANEL * outputs * PANEL + n % PANEL..];
        g.iter().enumerate().for_each(|(o, g)| panel[o * PANEL] = *g);
    }
    panels
}

/// Adds the products with some rows of W to y.
struct Forward<'a> {
    affine: &'a Affine,
    /// From the first input of those rows on.
    x: &'a [f32],
    weight: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { affine: &Affine { batch, inputs, outputs }, x, weight, y } = self;
        for (i, weight) in weight.chunks(ROWS * outputs).enumerate() {
            let rows = weight.len() / outputs;
            let (panels, width) = (whole_panels(weight, outputs), outputs.next_multiple_of(PANEL));
            let product = Product::rows(rows, inputs).unpacked(width);
            for column in (0..outputs).step_by(PANEL) {
                let columns = PANEL.min(outputs - column);
                let c = &mut y[column..];
                let target = Target { c, row: outputs, rows: batch, columns, add: true };
                gemm::multiply(simd, &product, &x[i * ROWS..], &panels[column..], target);
            }
        }
    }
}

/// The gradients of some rows of W and of the inputs they are multiplied with.
struct Backward<'a> {
    affine: &'a Affine,
    /// From the first of those inputs on.
    x: &'a [f32],
    weight: &'a [f32],
    /// By [`transposed_panels`].
    transposed: &'a [f32],
    /// By [`whole_panels`].
    g: &'a [f32],
    /// ∂L/∂W.
    grad: &'a mut [f32],
    /// ∂L/∂x, of shape `[batch, rows]`.
    tile: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { affine: &Affine { batch, inputs, outputs }, x, weight, transposed, g, grad, tile } = self;
        let rows = grad.len() / outputs;
        let product = Product::transposed(batch, inputs).unpacked(outputs.next_multiple_of(PANEL));
        for column in (0..outputs).step_by(PANEL) {
            let columns = PANEL.min(outputs - column);
            let target = Target { c: &mut grad[column..], row: outputs, rows, columns, add: false };
            gemm::multiply(simd, &product, x, &g[column..], target);
        }
        let product = Product::rows(outputs, outputs);
        let mut sums = [0.0; ROWS * PANEL];
        for (p, panel) in transposed.chunks_exact(outputs * PANEL).enumerate() {
            let columns = PANEL.min(batch - p * PANEL);
            let target = Target { c: &mut sums, row: PANEL, rows, columns, add: false };
            gemm::multiply(simd, &product, weight, panel, target);
            for (n, tile) in tile[p * PANEL * rows..].chunks_exact_mut(rows).take(columns).enumerate() {
                tile.iter_mut().enumerate().for_each(|(i, tile)| *tile = sums[i * PANEL + n]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{error, noise, on_each_isa};

    /// By the formulas, in f64.
    fn reference(affine: &Affine, x: &[f32], w: &[f32], b: &[f32], g: &[f32]) -> (Vec<f32>, Gradients) {
        let Affine { batch, inputs, outputs } = *affine;
        let product = |a: f32, b: f32| f64::from(a) * f64::from(b);
        let each = |rows: usize, columns: usize, f: &dyn Fn(usize, usize) -> f64| -> Vec<f32> {
            (0..rows * columns).map(|i| f(i / columns, i % columns) as f32).collect()
        };
        let y = each(batch, outputs, &|n, o| {
            let sum: f64 = (0..inputs).map(|i| product(x[n * inputs + i], w[i * outputs + o])).sum();
            sum + f64::from(b[o])
        });
        let gradients = Gradients {
            x: each(batch, inputs, &|n, i| {
                (0..outputs).map(|o| product(g[n * outputs + o], w[i * outputs + o])).sum()
            }),
            weight: each(inputs, outputs, &|i, o| {
                (0..batch).map(|n| product(x[n * inputs + i], g[n * outputs + o])).sum()
            }),
            bias: each(1, outputs, &|_, o| (0..batch).map(|n| f64::from(g[n * outputs + o])).sum()),
        };
        (y, gradients)
    }

    #[test]
    fn values_and_gradients_are_the_formulas_whatever_the_threads() {
        let sizes = [
            (1, 1, 1),
            (3, 2 * SUMMED + 77, 40),
            (40, 70, 64),
            (16, ROWS, 33),
            (0, 2 * SUMMED, 7),
            (33, 9, 32),
        ];
        for (batch, inputs, outputs) in sizes {
            let affine = Affine { batch, inputs, outputs };
            let lengths = [batch * inputs, inputs * outputs, outputs, batch * outputs];
            let [x, w, b, g] = [0, 1, 2, 3].map(|i| noise(lengths[i], i as u64 + 1));
            let (y, gradients) = reference(&affine, &x, &w, &b, &g);
            on_each_isa(|isa| {
                let [(found, back), again] = [1, 3].map(|threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| (affine.forward(&x, &w, Some(&b)), affine.backward(&x, &w, &g)))
                });
                assert_eq!((&found, &back), (&again.0, &again.1), "another number of threads");
                let pairs = [
                    (&found, &y),
                    (&back.x, &gradients.x),
                    (&back.weight, &gradients.weight),
                    (&back.bias, &gradients.bias),
                ];
                for (found, expected) in pairs {
                    let error = error(found, expected);
                    assert!(error < 1e-5, "{affine:?}: {error} off with {}", isa.name());
                }
                let zeros = vec![0.0; outputs];
                assert_eq!(affine.forward(&x, &w, None), affine.forward(&x, &w, Some(&zeros)));
            });
        }
    }

    #[test]
    fn nan_stays_in_its_row() {
        let affine = Affine { batch: 3, inputs: 50, outputs: 36 };
        let (mut x, w) = (noise(150, 1), noise(1800, 2));
        x[60] = f32::NAN;
        let y = affine.forward(&x, &w, None);
        assert!(y.iter().enumerate().all(|(i, y)| y.is_nan() == (i / 36 == 1)));
    }
}
