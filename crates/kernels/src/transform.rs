//! Batch normalisation and prelu, done to elements on their way into an operator.
//!
//! With u = γ·(x − μ)/√(σ² + ε) + β (Ioffe & Szegedy, 2015) and z = u where u ≥ 0, a·u elsewhere (He et al.,
//! 2015), an operator that reads z needs x alone in memory: z is made again wherever it is needed, in the
//! backward pass too.

use pulp::Simd;
use rayon::prelude::*;

use crate::{
    map::Dims,
    profile, scratch,
    simd::{self, fma},
};

/// Batch normalisation of each channel.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// γ, of shape `[channels]`.
    pub gamma: &'a [f32],
    /// β, of shape `[channels]`.
    pub beta: &'a [f32],
    /// μ, of shape `[channels]`.
    pub mean: &'a [f32],
    /// σ², of shape `[channels]`.
    pub variance: &'a [f32],
    /// ε.
    pub epsilon: f32,
    /// Whether μ and σ² are those of this very batch, so that the gradient passes through them.
    pub of_batch: bool,
}

/// Batch normalisation, prelu, both or neither.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transform<'a> {
    /// The normalisation.
    pub norm: Option<Norm<'a>>,
    /// The slopes of prelu, of shape `[channels]`; relu is the slope 0.
    pub slope: Option<&'a [f32]>,
}

impl Transform<'_> {
    /// Whether nothing is done.
    pub fn is_identity(&self) -> bool {
        self.norm.is_none() && self.slope.is_none()
    }
}

/// A batch of maps and what is done to each element before it is used.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The elements, of shape `dims`.
    pub x: &'a [f32],
    /// Their shape.
    pub dims: Dims,
    /// What is done to them.
    pub transform: Transform<'a>,
}

/// The gradients of the parameters of a [`Transform`], each of shape `[channels]`; empty where it has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TransformGradients {
    /// Of γ.
    pub gamma: Vec<f32>,
    /// Of β.
    pub beta: Vec<f32>,
    /// Of the slopes.
    pub slope: Vec<f32>,
}

/// A transform made ready for use: u = scale·x + shift.
#[derive(Debug)]
pub(crate) struct Prepared {
    channels: usize,
    norm: Option<PreparedNorm>,
    slope: Option<Vec<f32>>,
}

#[derive(Debug)]
struct PreparedNorm {
    scale: Vec<f32>,
    shift: Vec<f32>,
    mean: Vec<f32>,
    /// 1/√(σ² + ε).
    inverse: Vec<f32>,
    of_batch: bool,
}

/// Sums over pixels, of shape `[channels]` each.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    /// Σ ∂L/∂u.
    beta: Vec<f64>,
    /// Σ ∂L/∂u·(x − μ)/√(σ² + ε).
    gamma: Vec<f64>,
    /// Σ ∂L/∂z·u over u < 0.
    slope: Vec<f64>,
}

impl Sums {
    pub(crate) fn new(channels: usize) -> Self {
        let zeros = vec![0.0; channels];
        Self { beta: zeros.clone(), gamma: zeros.clone(), slope: zeros }
    }

    fn merge(mut self, other: &Self) -> Self {
        for (to, from) in
            [(&mut self.beta, &other.beta), (&mut self.gamma, &other.gamma), (&mut self.slope, &other.slope)]
        {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }
        self
    }
}

impl Prepared {
    pub(crate) fn new(transform: &Transform<'_>, channels: usize) -> Self {
        let norm = transform.norm.map(|norm| {
            let vectors = [norm.gamma, norm.beta, norm.mean, norm.variance];
            assert!(vectors.iter().all(|vector| vector.len() == channels));
            let inverse: Vec<f32> =
                norm.variance.iter().map(|variance| (variance + norm.epsilon).sqrt().recip()).collect();
            let scale: Vec<f32> =
                norm.gamma.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
            let shift = (0..channels).map(|c| norm.beta[c] - scale[c] * norm.mean[c]).collect();
            PreparedNorm { scale, shift, mean: norm.mean.to_vec(), inverse, of_batch: norm.of_batch }
        });
        assert!(transform.slope.is_none_or(|slope| slope.len() == channels));
        Self { channels, norm, slope: transform.slope.map(<[f32]>::to_vec) }
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.norm.is_none() && self.slope.is_none()
    }

    /// z of whole pixels; pixel `i` goes to `i·pitch` of `z`, where numbers beyond the channels are left as
    /// they are.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&self, simd: S, x: &[f32], z: &mut [f32], pitch: usize) {
        match (&self.norm, &self.slope) {
            (None, None) => {
                for (x, z) in x.chunks_exact(self.channels).zip(z.chunks_mut(pitch)) {
                    z[..self.channels].copy_from_slice(x);
                }
            }
            (Some(norm), None) => {
                self.map(simd, x, z, pitch, [&norm.scale, &norm.shift], |simd, x, [a, b]| fma(simd, x, a, b))
            }
            (None, Some(slope)) => self.map(simd, x, z, pitch, [slope], |simd, u, [a]| prelu(simd, u, a)),
            (Some(norm), Some(slope)) => {
                self.map(simd, x, z, pitch, [&norm.scale, &norm.shift, slope], |simd, x, [a, b, slope]| {
                    prelu(simd, fma(simd, x, a, b), slope)
                });
            }
        }
    }

    #[inline(always)]
    fn map<S: Simd, const N: usize>(
        &self,
        simd: S,
        x: &[f32],
        z: &mut [f32],
        pitch: usize,
        parameters: [&Vec<f32>; N],
        f: impl Fn(S, S::f32s, [S::f32s; N]) -> S::f32s,
    ) {
        let whole = self.channels / S::F32_LANES * S::F32_LANES;
        for (x, z) in x.chunks_exact(self.channels).zip(z.chunks_mut(pitch)) {
            let (x, x_rest) = S::as_simd_f32s(x);
            let (z, z_rest) = S::as_mut_simd_f32s(&mut z[..self.channels]);
            let vectors = parameters.map(|parameter| S::as_simd_f32s(parameter).0);
            for (i, (x, z)) in x.iter().zip(z).enumerate() {
                *z = f(simd, *x, vectors.map(|vector| vector[i]));
            }
            if !x_rest.is_empty() {
                let rest = parameters.map(|parameter| simd.partial_load_f32s(&parameter[whole..]));
                simd.partial_store_f32s(z_rest, f(simd, simd.partial_load_f32s(x_rest), rest));
            }
        }
    }

    /// From ∂L/∂z to ∂L/∂u of whole pixels, in place, and the sums over them.
    ///
    /// Where u = 0 the derivative is 1, and 0 for relu, as Burn has it.
    #[inline(always)]
    pub(crate) fn backward<S: Simd>(&self, simd: S, x: &[f32], g: &mut [f32], sums: &mut Sums) {
        let lanes = S::F32_LANES;
        assert_eq!(x.len(), g.len());
        if self.is_identity() {
            return;
        }
        for start in (0..self.channels).step_by(lanes) {
            let range = start..(start + lanes).min(self.channels);
            let load = |vector: &[f32]| simd.partial_load_f32s(&vector[range.clone()]);
            let zero = simd.splat_f32s(0.0);
            let one = simd.splat_f32s(1.0);
            let (scale, shift, mean, inverse) = match &self.norm {
                Some(norm) => (load(&norm.scale), load(&norm.shift), load(&norm.mean), load(&norm.inverse)),
                None => (one, zero, zero, zero),
            };
            let (mut beta, mut gamma, mut slopes) = (zero, zero, zero);
            let threshold = self.slope.as_ref().map_or(zero, |slope| {
                simd.select_f32s(simd.equal_f32s(load(slope), zero), simd.splat_f32s(f32::from_bits(1)), zero)
            });
            let whole = range.len() == lanes;
            for (x, g) in x.chunks_exact(self.channels).zip(g.chunks_exact_mut(self.channels)) {
                let (x, g) = (&x[range.clone()], &mut g[range.clone()]);
                let (x, mut gradient) = match whole {
                    true => (S::as_simd_f32s(x).0[0], S::as_simd_f32s(g).0[0]),
                    false => (simd.partial_load_f32s(x), simd.partial_load_f32s(g)),
                };
                if let Some(slope) = &self.slope {
                    let u = fma(simd, x, scale, shift);
                    // NaN is not, and passes.
                    let positive = simd.greater_than_or_equal_f32s(u, threshold);
                    let lower = simd.select_f32s(positive, zero, gradient);
                    slopes = fma(simd, lower, u, slopes);
                    let slope = match whole {
                        true => S::as_simd_f32s(&slope[range.clone()]).0[0],
                        false => load(slope),
                    };
                    gradient = simd.select_f32s(positive, gradient, simd.mul_f32s(gradient, slope));
                    match whole {
                        true => S::as_mut_simd_f32s(g).0[0] = gradient,
                        false => simd.partial_store_f32s(g, gradient),
                    }
                }
                beta = simd.add_f32s(beta, gradient);
                let normalised = simd.mul_f32s(simd.sub_f32s(x, mean), inverse);
                gamma = fma(simd, gradient, normalised, gamma);
            }
            for (sum, vector) in [(&mut sums.beta, beta), (&mut sums.gamma, gamma), (&mut sums.slope, slopes)]
            {
                let mut values = [0.0f32; 64];
                simd.partial_store_f32s(&mut values[..range.len()], vector);
                sum[range.clone()].iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
            }
        }
    }

    /// From ∂L/∂u of all maps to ∂L/∂x and the gradients of the parameters, with the sums of all tasks.
    pub(crate) fn conclude(
        &self,
        x: &[f32],
        mut g: Vec<f32>,
        sums: &[Sums],
    ) -> (Vec<f32>, TransformGradients) {
        let sums = sums.iter().fold(Sums::new(self.channels), Sums::merge);
        self.finish(x, &mut g, &sums);
        (g, self.gradients(&sums))
    }

    /// From ∂L/∂u to ∂L/∂x of all maps, in place, with the sums over all of them.
    fn finish(&self, x: &[f32], g: &mut [f32], sums: &Sums) {
        let Some(norm) = &self.norm else { return };
        let count = (x.len() / self.channels.max(1)) as f64;
        // gx = scale·(gu − Σgu/n − x̂·Σ(gu·x̂)/n) = scale·gu + b·x + c.
        let per_channel = |c: usize| {
            let scale = f64::from(norm.scale[c]);
            let (beta, gamma) = (sums.beta[c] / count, sums.gamma[c] / count);
            let b = -scale * f64::from(norm.inverse[c]) * gamma;
            (b as f32, (-scale * beta - b * f64::from(norm.mean[c])) as f32)
        };
        let (b, c): (Vec<f32>, Vec<f32>) = match norm.of_batch {
            true => (0..self.channels).map(per_channel).unzip(),
            false => (vec![0.0; self.channels], vec![0.0; self.channels]),
        };
        struct Finish<'a>(&'a [f32], &'a mut [f32], [&'a [f32]; 3]);
        impl pulp::WithSimd for Finish<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Self(x, g, [a, b, c]) = self;
                let channels = a.len();
                let whole = channels / S::F32_LANES * S::F32_LANES;
                for (x, g) in x.chunks_exact(channels).zip(g.chunks_exact_mut(channels)) {
                    let (x, x_rest) = S::as_simd_f32s(x);
                    let (g, g_rest) = S::as_mut_simd_f32s(g);
                    let [a_whole, b_whole, c_whole] = [a, b, c].map(|vector| S::as_simd_f32s(vector).0);
                    for (i, (x, g)) in x.iter().zip(g).enumerate() {
                        *g = fma(simd, *g, a_whole[i], fma(simd, *x, b_whole[i], c_whole[i]));
                    }
                    if !x_rest.is_empty() {
                        let [a, b, c] = [a, b, c].map(|vector| simd.partial_load_f32s(&vector[whole..]));
                        let (x, g) = (simd.partial_load_f32s(x_rest), simd.partial_load_f32s(g_rest));
                        simd.partial_store_f32s(g_rest, fma(simd, g, a, fma(simd, x, b, c)));
                    }
                }
            }
        }
        let chunk = self.channels * CHUNK;
        x.par_chunks(chunk).zip(g.par_chunks_mut(chunk)).for_each(|(x, g)| {
            simd::dispatch(Finish(x, g, [&norm.scale, &b, &c]));
        });
    }

    /// The gradients of the parameters.
    fn gradients(&self, sums: &Sums) -> TransformGradients {
        let of = |sum: &[f64], wanted: bool| match wanted {
            true => sum.iter().map(|sum| *sum as f32).collect(),
            false => Vec::new(),
        };
        TransformGradients {
            gamma: of(&sums.gamma, self.norm.is_some()),
            beta: of(&sums.beta, self.norm.is_some()),
            slope: of(&sums.slope, self.slope.is_some()),
        }
    }
}

/// Pixels that one task takes at a time. Sums are taken over these in order, so they do not depend on the
/// number of threads.
pub(crate) const CHUNK: usize = 256;

/// `u` where it is positive, `slope·u` elsewhere.
#[inline(always)]
pub(crate) fn prelu<S: Simd>(simd: S, u: S::f32s, slope: S::f32s) -> S::f32s {
    // Not a maximum, which would swallow NaN.
    let positive = simd.greater_than_f32s(u, simd.splat_f32s(0.0));
    simd.select_f32s(positive, u, simd.mul_f32s(u, slope))
}

/// Mean and variance of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Of shape `[channels]`.
    pub mean: Vec<f32>,
    /// The mean squared distance from the mean (not the unbiased estimate), of shape `[channels]`.
    pub variance: Vec<f32>,
}

/// Mean and squared distances of the pixels so far.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    count: usize,
    mean: Vec<f64>,
    /// Σ (x − mean)².
    square: Vec<f64>,
}

impl Spread {
    pub(crate) fn new(channels: usize) -> Self {
        Self { count: 0, mean: vec![0.0; channels], square: vec![0.0; channels] }
    }

    /// Adds whole pixels.
    #[inline(always)]
    pub(crate) fn add<S: Simd>(&mut self, simd: S, x: &[f32]) {
        let (lanes, channels) = (S::F32_LANES, self.mean.len());
        let count = x.len() / channels.max(1);
        if count == 0 {
            return;
        }
        let n = count as f64;
        for start in (0..channels).step_by(lanes) {
            let range = start..(start + lanes).min(channels);
            // Distances from the first pixel: no cancellation where the mean is large beside the spread.
            let origin = simd.partial_load_f32s(&x[range.clone()]);
            let (mut sum, mut square) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
            for x in x.chunks_exact(channels) {
                let x = &x[range.clone()];
                let x = match x.len() == lanes {
                    true => S::as_simd_f32s(x).0[0],
                    false => simd.partial_load_f32s(x),
                };
                let distance = simd.sub_f32s(x, origin);
                sum = simd.add_f32s(sum, distance);
                square = fma(simd, distance, distance, square);
            }
            let mut values = [[0.0f32; 64]; 3];
            for (values, vector) in values.iter_mut().zip([origin, sum, square]) {
                simd.partial_store_f32s(&mut values[..range.len()], vector);
            }
            let [origin, sum, square] = values;
            for (i, c) in range.enumerate() {
                let shift = f64::from(sum[i]) / n;
                let spread = f64::from(square[i]) - n * shift * shift;
                self.merge_channel(c, count, f64::from(origin[i]) + shift, spread);
            }
        }
        self.count += count;
    }

    /// Chan, Golub & LeVeque, 1979.
    #[inline(always)]
    fn merge_channel(&mut self, c: usize, count: usize, mean: f64, square: f64) {
        let (ours, theirs) = (self.count as f64, count as f64);
        let delta = mean - self.mean[c];
        self.mean[c] += delta * theirs / (ours + theirs);
        self.square[c] += square + delta * delta * ours * theirs / (ours + theirs);
    }

    pub(crate) fn merge(mut self, other: &Self) -> Self {
        if other.count > 0 {
            for c in 0..self.mean.len() {
                self.merge_channel(c, other.count, other.mean[c], other.square[c]);
            }
            self.count += other.count;
        }
        self
    }

    pub(crate) fn moments(&self) -> Moments {
        let n = self.count.max(1) as f64;
        Moments {
            mean: self.mean.iter().map(|mean| *mean as f32).collect(),
            // Rounding can take a spread of zero a little below it; NaN stays.
            variance: self
                .square
                .iter()
                .map(|square| if *square < 0.0 { 0.0 } else { (square / n) as f32 })
                .collect(),
        }
    }
}

/// Maps and, where asked for, their moments.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The elements.
    pub y: Vec<f32>,
    /// Their mean and variance.
    pub moments: Option<Moments>,
}

/// Mean and variance of each channel of `x`, of shape `dims`.
pub fn moments(x: &[f32], dims: Dims) -> Moments {
    let _profile = profile::operator(|| profile::maps("moments", dims, 1));
    assert_eq!(x.len(), dims.elements());
    let chunk = dims.channels.max(1) * CHUNK;
    let spreads: Vec<Spread> = x
        .par_chunks(chunk)
        .map(|x| {
            let mut spread = Spread::new(dims.channels);
            simd::dispatch(AddTo(&mut spread, x));
            spread
        })
        .collect();
    spreads.iter().fold(Spread::new(dims.channels), Spread::merge).moments()
}

struct AddTo<'a>(&'a mut Spread, &'a [f32]);

impl pulp::WithSimd for AddTo<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.add(simd, self.1);
    }
}

/// The sum of two transformed maps of the same size, or one transformed map alone.
pub fn join(input: Input<'_>, other: Option<Input<'_>>, moments: bool) -> Output {
    let dims = input.dims;
    let operator = if other.is_some() { "join of 2" } else { "join of 1" };
    let _profile = profile::operator(|| profile::maps(operator, dims, 2 + usize::from(other.is_some())));
    assert_eq!(input.x.len(), dims.elements());
    assert!(other.is_none_or(|other| other.dims == dims && other.x.len() == dims.elements()));
    let first = Prepared::new(&input.transform, dims.channels);
    let second = other.map(|other| (other.x, Prepared::new(&other.transform, dims.channels)));
    let mut y = Vec::new();
    let lengths = scratch::pieces(dims.elements(), dims.channels * CHUNK);
    let spreads = scratch::fill(&mut y, lengths, |_, offset, y| {
        let part = offset..offset + y.len();
        let mut spread = moments.then(|| Spread::new(dims.channels));
        simd::dispatch(Join {
            x: &input.x[part.clone()],
            first: &first,
            other: second.as_ref().map(|(x, second)| (&x[part], second)),
            y,
            spread: spread.as_mut(),
        });
        spread
    });
    let moments =
        moments.then(|| spreads.iter().flatten().fold(Spread::new(dims.channels), Spread::merge).moments());
    Output { y, moments }
}

/// The transform of `x`, of shape `dims`, with `add` added to it, to `y`.
pub(crate) fn join_to(prepared: &Prepared, x: &[f32], add: Option<&[f32]>, dims: Dims, y: &mut Vec<f32>) {
    let operator = if add.is_some() { "join of 2" } else { "join of 1" };
    let _profile = profile::operator(|| profile::maps(operator, dims, 2 + usize::from(add.is_some())));
    let identity = Prepared::new(&Transform::default(), dims.channels);
    scratch::fill(y, scratch::pieces(dims.elements(), dims.channels * CHUNK), |_, offset, y| {
        let part = offset..offset + y.len();
        let (x, other) = (&x[part.clone()], add.map(|add| (&add[part], &identity)));
        simd::dispatch(Join { x, first: prepared, other, y, spread: None });
    });
}

struct Join<'a> {
    x: &'a [f32],
    first: &'a Prepared,
    other: Option<(&'a [f32], &'a Prepared)>,
    y: &'a mut [f32],
    spread: Option<&'a mut Spread>,
}

impl pulp::WithSimd for Join<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.first.apply(simd, self.x, self.y, self.first.channels);
        if let Some((x, second)) = self.other {
            let mut scratch = Vec::new();
            let x = match second.is_identity() {
                true => x,
                false => {
                    scratch.resize(x.len(), 0.0);
                    second.apply(simd, x, &mut scratch, second.channels);
                    &scratch
                }
            };
            self.y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
        }
        if let Some(spread) = self.spread {
            spread.add(simd, self.y);
        }
    }
}

/// ∂L/∂x and the gradients of the parameters, from ∂L/∂z of a transformed map.
pub fn transform_backward(input: Input<'_>, mut g: Vec<f32>) -> (Vec<f32>, TransformGradients) {
    let dims = input.dims;
    let _profile = profile::operator(|| profile::maps("transform backward", dims, 3));
    assert!(input.x.len() == dims.elements() && g.len() == dims.elements());
    let prepared = Prepared::new(&input.transform, dims.channels);
    let chunk = dims.channels.max(1) * CHUNK;
    let sums: Vec<Sums> = input
        .x
        .par_chunks(chunk)
        .zip(g.par_chunks_mut(chunk))
        .map(|(x, g)| {
            let mut sums = Sums::new(dims.channels);
            simd::dispatch(Back(&prepared, x, g, &mut sums));
            sums
        })
        .collect();
    prepared.conclude(input.x, g, &sums)
}

/// [`transform_backward`] for a `g` that something else needs as it is.
pub fn transform_backward_from(input: Input<'_>, g: &[f32]) -> (Vec<f32>, TransformGradients) {
    let dims = input.dims;
    let _profile = profile::operator(|| profile::maps("transform backward", dims, 4));
    assert!(input.x.len() == dims.elements() && g.len() == dims.elements());
    let prepared = Prepared::new(&input.transform, dims.channels);
    let mut gx = Vec::new();
    let lengths = scratch::pieces(dims.elements(), dims.channels * CHUNK);
    let sums = scratch::fill(&mut gx, lengths, |_, offset, gx| {
        let part = offset..offset + gx.len();
        gx.copy_from_slice(&g[part.clone()]);
        let mut sums = Sums::new(dims.channels);
        simd::dispatch(Back(&prepared, &input.x[part], gx, &mut sums));
        sums
    });
    prepared.conclude(input.x, gx, &sums)
}

struct Back<'a>(&'a Prepared, &'a [f32], &'a mut [f32], &'a mut Sums);

impl pulp::WithSimd for Back<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.backward(simd, self.1, self.2, self.3);
    }
}
