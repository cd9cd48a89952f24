//! The product of a batch of vectors with a matrix.

use std::fmt;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    gemm::{self, PANEL, Product, Target},
    profile, simd,
};

/// A matrix made ready to be multiplied from the left by batches of vectors.
pub struct Linear {
    /// `[outputs / PANEL, input, PANEL]`.
    packed: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linear").field("inputs", &self.inputs).field("outputs", &self.outputs()).finish()
    }
}

/// Numbers of the summed index that are multiplied at a time: their panel stays in the cache while all vectors
/// pass.
const LENGTH: usize = 1024;

impl Linear {
    /// `weight(input, output)` gives the elements.
    pub fn new(inputs: usize, bias: Vec<f32>, weight: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let mut packed = vec![0.0; bias.len().div_ceil(PANEL) * inputs * PANEL];
        packed.par_chunks_mut((inputs * PANEL).max(1)).enumerate().for_each(|(p, packed)| {
            let width = PANEL.min(bias.len() - p * PANEL);
            for (i, row) in packed.chunks_exact_mut(PANEL).enumerate() {
                row[..width].iter_mut().enumerate().for_each(|(j, to)| *to = weight(i, p * PANEL + j));
            }
        });
        Self { packed, bias, inputs }
    }

    /// Length of an output.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// `x·W + b`.
    ///
    /// # Shapes
    /// - `x`: `[batch, inputs]`
    /// - output: `[batch, outputs]`
    pub fn apply(&self, x: &[f32], batch: usize) -> Vec<f32> {
        let outputs = self.bias.len();
        let _profile = profile::operator(|| profile::linear([batch, self.inputs, outputs]));
        assert_eq!(x.len(), batch * self.inputs);
        let panels: Vec<Vec<f32>> = self
            .packed
            .par_chunks((self.inputs * PANEL).max(1))
            .map(|panel| {
                let mut y = vec![0.0; batch * PANEL];
                simd::dispatch(Multiply { x, panel, inputs: self.inputs, batch, y: &mut y });
                y
            })
            .collect();
        let mut y = Vec::with_capacity(batch * outputs);
        for row in 0..batch {
            for (bias, panel) in self.bias.chunks(PANEL).zip(&panels) {
                y.extend(bias.iter().zip(&panel[row * PANEL..]).map(|(bias, y)| y + bias));
            }
        }
        y
    }
}

struct Multiply<'a> {
    x: &'a [f32],
    panel: &'a [f32],
    inputs: usize,
    batch: usize,
    y: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, panel, inputs, batch, y } = self;
        for start in (0..inputs).step_by(LENGTH) {
            let length = LENGTH.min(inputs - start);
            let product = Product::rows(length, inputs);
            let panel = &panel[start * PANEL..];
            let target = Target { c: &mut *y, row: PANEL, rows: batch, columns: PANEL, add: start > 0 };
            gemm::multiply(simd, &product, &x[start..], panel, target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{error, noise, on_each_isa};

    #[test]
    fn products_are_sums() {
        for (inputs, outputs, batch) in [(1, 1, 1), (2500, 40, 3), (7, 33, 20), (30, 64, 0)] {
            let (weight, bias, x) = (noise(inputs * outputs, 1), noise(outputs, 2), noise(batch * inputs, 3));
            let mut expected = Vec::new();
            for x in x.chunks_exact(inputs) {
                for (o, bias) in bias.iter().enumerate() {
                    let product = |(i, x): (usize, &f32)| f64::from(*x) * f64::from(weight[i * outputs + o]);
                    expected.push((f64::from(*bias) + x.iter().enumerate().map(product).sum::<f64>()) as f32);
                }
            }
            on_each_isa(|isa| {
                let linear = Linear::new(inputs, bias.clone(), |i, o| weight[i * outputs + o]);
                let error = error(&linear.apply(&x, batch), &expected);
                assert!(error < 1e-5, "{inputs} to {outputs}, {batch}: {error} off with {}", isa.name());
            });
        }
    }
}
