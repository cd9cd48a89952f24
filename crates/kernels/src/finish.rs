//! What is done to the rows of an output while they are in the cache: at the end of a forward pass, and at the end of a
//! backward pass.

use pulp::Simd;

use crate::transform::{Output, Prepared, Spread, Sums, TransformGradients, prelu};

/// The gradients of a convolution; empty where not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConvGradients {
    /// Of the input, before its transform.
    pub x: Vec<f32>,
    /// Of the weight, in its shape.
    pub weight: Vec<f32>,
    /// Of the bias.
    pub bias: Vec<f32>,
    /// Of the parameters of the transform.
    pub transform: TransformGradients,
}

/// What is done to rows of an output as soon as they are there.
pub(crate) trait Sink: Sync {
    /// Sums over rows.
    type Sum: Send;
    /// The sums over no rows.
    fn start(&self) -> Self::Sum;
    /// Takes `rows`, which lie at `offset` of the output.
    fn rows<S: Simd>(&self, simd: S, offset: usize, rows: &mut [f32], sum: &mut Self::Sum);
}

/// Adds the bias, does prelu, adds other maps, and measures the moments.
#[derive(Default)]
pub(crate) struct Finish<'a> {
    pub(crate) channels: usize,
    pub(crate) bias: Option<&'a [f32]>,
    /// The slopes of prelu.
    pub(crate) slope: Option<&'a [f32]>,
    /// Maps of the size of the output.
    pub(crate) add: Option<&'a [f32]>,
    pub(crate) moments: bool,
}

impl Finish<'_> {
    #[inline(always)]
    fn prelu<S: Simd>(&self, simd: S, bias: Option<&[f32]>, slope: &[f32], rows: &mut [f32]) {
        for start in (0..self.channels).step_by(S::F32_LANES) {
            let range = start..(start + S::F32_LANES).min(self.channels);
            let load = |vector: &[f32]| simd.partial_load_f32s(&vector[range.clone()]);
            let (bias, slope) = (bias.map_or(simd.splat_f32s(0.0), load), load(slope));
            for pixel in rows.chunks_exact_mut(self.channels) {
                let y = &mut pixel[range.clone()];
                let value = prelu(simd, simd.add_f32s(simd.partial_load_f32s(y), bias), slope);
                simd.partial_store_f32s(y, value);
            }
        }
    }

    pub(crate) fn output(&self, y: Vec<f32>, spreads: &[Option<Spread>]) -> Output {
        let moments = self
            .moments
            .then(|| spreads.iter().flatten().fold(Spread::new(self.channels), Spread::merge).moments());
        Output { y, moments }
    }
}

impl Sink for Finish<'_> {
    type Sum = Option<Spread>;

    fn start(&self) -> Self::Sum {
        self.moments.then(|| Spread::new(self.channels))
    }

    #[inline(always)]
    fn rows<S: Simd>(&self, simd: S, offset: usize, rows: &mut [f32], sum: &mut Self::Sum) {
        match (self.bias, self.slope) {
            (None, None) => {}
            (Some(bias), None) => {
                for pixel in rows.chunks_exact_mut(self.channels) {
                    pixel.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                }
            }
            (bias, Some(slope)) => self.prelu(simd, bias, slope, rows),
        }
        if let Some(add) = self.add {
            rows.iter_mut().zip(&add[offset..]).for_each(|(y, add)| *y += add);
        }
        if let Some(spread) = sum {
            spread.add(simd, rows);
        }
    }
}

/// Takes gradients back through the transform of the input.
pub(crate) struct Back<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) x: &'a [f32],
    pub(crate) channels: usize,
}

impl Back<'_> {
    pub(crate) fn gradients(&self, g: Vec<f32>, sums: &[Sums]) -> ConvGradients {
        let (x, transform) = self.prepared.conclude(self.x, g, sums);
        ConvGradients { x, transform, ..ConvGradients::default() }
    }
}

impl Sink for Back<'_> {
    type Sum = Sums;

    fn start(&self) -> Sums {
        Sums::new(self.channels)
    }

    #[inline(always)]
    fn rows<S: Simd>(&self, simd: S, offset: usize, rows: &mut [f32], sum: &mut Sums) {
        self.prepared.backward(simd, &self.x[offset..offset + rows.len()], rows, sum);
    }
}
