//! Depthwise convolutions whose filter is as large as the map: one output for each image and channel.

use pulp::{Simd, WithSimd};

use crate::{
    finish::{ConvGradients, Finish, Sink},
    map::Dims,
    pixels::{images_of_task, padded, pitch, store, sum_of_tasks},
    problem::{Conv, GradientMask},
    scratch,
    simd::{self, fma},
    transform::{Input, Prepared, Spread, Sums, prelu},
};

/// Pixels that are transformed at a time.
const PIXELS: usize = 8;

/// Whether a convolution on maps of size `dims` is of the kind done here.
pub(crate) fn applies(conv: &Conv, dims: Dims) -> bool {
    conv.groups == conv.inputs
        && conv.groups == conv.outputs
        && conv.padding == 0
        && conv.kernel == [dims.height, dims.width]
}

/// The convolution of the transformed input with [`packed`] weights, to `y`; without the maps that `finish` adds.
pub(crate) fn convolve(
    x: &[f32],
    dims: Dims,
    prepared: &Prepared,
    weights: &[f32],
    finish: &Finish<'_>,
    y: &mut Vec<f32>,
) -> Vec<Option<Spread>> {
    let bias = padded(finish.bias.unwrap_or_default(), dims.channels);
    let slope = finish.slope.map(|slope| padded(slope, dims.channels));
    let images = images_of_task(dims.batch);
    let lengths = scratch::pieces(dims.batch * dims.channels, images * dims.channels);
    scratch::fill(y, lengths, |i, _, y| {
        let x = &x[i * images * dims.image()..][..y.len() / dims.channels * dims.image()];
        let mut spread = finish.start();
        let (bias, slope) = (&bias, slope.as_deref());
        simd::dispatch(Forward { dims, x, prepared, weights, bias, slope, y, spread: spread.as_mut() });
        spread
    })
}

/// As [`crate::conv::backward`], but for the bias.
pub(crate) fn backward(
    conv: &Conv,
    input: Input<'_>,
    weight: &[f32],
    g: &[f32],
    mask: GradientMask,
) -> ConvGradients {
    let dims = input.dims;
    let (prepared, weights) = (Prepared::new(&input.transform, dims.channels), packed(weight, dims));
    let images = images_of_task(dims.batch);
    let mut gx = Vec::new();
    let lengths = scratch::pieces(dims.elements(), images * dims.image());
    let (sums, parts): (Vec<Sums>, Vec<Vec<f32>>) = scratch::fill(&mut gx, lengths, |i, offset, gx| {
        let x = &input.x[offset..offset + gx.len()];
        let g = &g[i * images * dims.channels..][..gx.len() / dims.image() * dims.channels];
        let mut sums = Sums::new(dims.channels);
        let (prepared, weights) = (&prepared, &weights);
        let part = simd::dispatch(Backward { dims, x, prepared, weights, g, gx, sums: &mut sums });
        (sums, part)
    })
    .into_iter()
    .unzip();
    let mut gradients = ConvGradients::default();
    if mask.weight {
        let packed = sum_of_tasks(&parts, weights.len());
        gradients.weight = unpacked(&packed, dims, conv.weights());
    }
    if mask.input {
        (gradients.x, gradients.transform) = prepared.conclude(input.x, gx, &sums);
    }
    gradients
}

/// From `[channels, pixels]` to `[pixels, pitch]`.
pub(crate) fn packed(weight: &[f32], dims: Dims) -> Vec<f32> {
    let (pixels, pitch) = (dims.height * dims.width, pitch(dims.channels));
    let mut packed = vec![0.0; pixels * pitch];
    for (pixel, packed) in packed.chunks_exact_mut(pitch.max(1)).enumerate() {
        (0..dims.channels).for_each(|channel| packed[channel] = weight[channel * pixels + pixel]);
    }
    packed
}

/// From `[pixels, pitch]` to `[channels, pixels]`, of `length` numbers.
fn unpacked(packed: &[f32], dims: Dims, length: usize) -> Vec<f32> {
    let pixels = dims.height * dims.width;
    let mut weight = vec![0.0; length];
    for (pixel, packed) in packed.chunks_exact(pitch(dims.channels).max(1)).enumerate() {
        (0..dims.channels).for_each(|channel| weight[channel * pixels + pixel] = packed[channel]);
    }
    weight
}

struct Forward<'a> {
    dims: Dims,
    x: &'a [f32],
    prepared: &'a Prepared,
    weights: &'a [f32],
    bias: &'a [f32],
    slope: Option<&'a [f32]>,
    y: &'a mut [f32],
    spread: Option<&'a mut Spread>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { dims, x, prepared, weights, bias, slope, y, spread } = self;
        let (channels, pitch) = (dims.channels, pitch(dims.channels));
        let vectors = pitch / S::F32_LANES;
        let (mut z, mut sums) = (vec![0.0; PIXELS * pitch], vec![0.0; pitch]);
        for (x, y) in x.chunks_exact(dims.image()).zip(y.chunks_exact_mut(channels)) {
            sums.copy_from_slice(bias);
            for (x, weights) in x.chunks(PIXELS * channels).zip(weights.chunks(PIXELS * pitch)) {
                prepared.apply(simd, x, &mut z, pitch);
                let sums = S::as_mut_simd_f32s(&mut sums).0;
                let (z, weights) = (S::as_simd_f32s(&z).0, S::as_simd_f32s(weights).0);
                for (vector, sum) in sums.iter_mut().enumerate() {
                    let mut part = simd.splat_f32s(0.0);
                    for at in (vector..weights.len()).step_by(vectors) {
                        part = fma(simd, z[at], weights[at], part);
                    }
                    *sum = simd.add_f32s(*sum, part);
                }
            }
            if let Some(slope) = slope {
                let slopes = S::as_simd_f32s(slope).0;
                for (sum, slope) in S::as_mut_simd_f32s(&mut sums).0.iter_mut().zip(slopes) {
                    *sum = prelu(simd, *sum, *slope);
                }
            }
            y.copy_from_slice(&sums[..channels]);
        }
        if let Some(spread) = spread {
            spread.add(simd, y);
        }
    }
}

/// Gives the gradient of the weight, packed.
struct Backward<'a> {
    dims: Dims,
    x: &'a [f32],
    prepared: &'a Prepared,
    weights: &'a [f32],
    g: &'a [f32],
    gx: &'a mut [f32],
    sums: &'a mut Sums,
}

impl WithSimd for Backward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { dims, x, prepared, weights, g, gx, sums } = self;
        let (channels, pitch) = (dims.channels, pitch(dims.channels));
        let vectors = pitch / S::F32_LANES;
        let mut z = vec![0.0; pitch];
        let mut part = vec![0.0; weights.len()];
        for ((x, gx), g) in
            x.chunks_exact(dims.image()).zip(gx.chunks_exact_mut(dims.image())).zip(g.chunks_exact(channels))
        {
            let g = padded(g, channels);
            let g = S::as_simd_f32s(&g).0;
            let pixels = x.chunks_exact(channels).zip(gx.chunks_exact_mut(channels));
            let weights = weights.chunks_exact(pitch).zip(part.chunks_exact_mut(pitch));
            for ((x, gx), (weights, part)) in pixels.zip(weights) {
                prepared.apply(simd, x, &mut z, pitch);
                let (z, weights) = (S::as_simd_f32s(&z).0, S::as_simd_f32s(weights).0);
                let part = S::as_mut_simd_f32s(part).0;
                for vector in 0..channels.div_ceil(S::F32_LANES).min(vectors) {
                    store(simd, gx, vector, simd.mul_f32s(g[vector], weights[vector]));
                    part[vector] = fma(simd, g[vector], z[vector], part[vector]);
                }
            }
            prepared.backward(simd, x, gx, sums);
        }
        part
    }
}
