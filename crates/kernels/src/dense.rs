//! Convolutions in which every output sees every input channel, as matrix products without a copy for each tap.
//!
//! In channels-last data the taps of one row of the filter are contiguous, so an output row is a product whose
//! summed index runs over the rows of the filter, and over taps and channels within each. The only copy is
//! that of the transformed input with zeros around it. The gradient of the input is such a product for each
//! phase of the stride; that of the weight sums over the pixels.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    finish::{Back, ConvGradients, Finish, Sink},
    gemm::{self, PANEL, Product, Target},
    map::Dims,
    problem::{Conv, GradientMask},
    scratch::{self, Scratch},
    simd,
    transform::{Input, Prepared, Spread},
};

/// Output pixels that one task takes, about.
const TASK: usize = 336;

/// Rows of maps, transformed, with zeros around them.
pub(crate) struct Source<'a> {
    x: &'a [f32],
    dims: Dims,
    prepared: &'a Prepared,
    /// Pixels of zeros before and after each row.
    left: usize,
    right: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn new(x: &'a [f32], dims: Dims, prepared: &'a Prepared, [left, right]: [usize; 2]) -> Self {
        Self { x, dims, prepared, left, right }
    }

    /// Zeros before each row, and as many rows of zeros before each map, in pixels.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn channels(&self) -> usize {
        self.dims.channels
    }

    /// Numbers of a row with its zeros.
    pub(crate) fn pitch(&self) -> usize {
        (self.left + self.dims.width + self.right) * self.dims.channels
    }

    /// Row `row` of map `image`; rows outside the map are zeros.
    #[inline(always)]
    pub(crate) fn row<S: Simd>(&self, simd: S, image: usize, row: isize, out: &mut [f32]) {
        let Some(row) = usize::try_from(row).ok().filter(|row| *row < self.dims.height) else {
            return out.fill(0.0);
        };
        let start = (image * self.dims.height + row) * self.dims.row();
        let (left, rest) = out.split_at_mut(self.left * self.dims.channels);
        let (middle, right) = rest.split_at_mut(self.dims.row());
        left.fill(0.0);
        self.prepared.apply(simd, &self.x[start..start + self.dims.row()], middle, self.dims.channels);
        right.fill(0.0);
    }
}

/// The parts of a range of rows, counted through all maps, that lie in one map each: the map and its rows.
pub(crate) fn parts(
    rows: Range<usize>,
    height: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> + Clone {
    let images = rows.start / height..rows.end.div_ceil(height);
    images.map(move |image| {
        let start = rows.start.max(image * height) - image * height;
        let end = rows.end.min((image + 1) * height) - image * height;
        (image, start..end)
    })
}

/// The weight of a convolution, ready to be multiplied.
pub(crate) struct Packed(Phase);

impl Packed {
    pub(crate) fn new(conv: &Conv, weight: &[f32]) -> Self {
        let taps = Taps {
            rows: (0..conv.kernel[0]).collect(),
            columns: (0..conv.kernel[1]).collect(),
            first: [-(conv.padding as isize); 2],
        };
        let weights = taps.pack(conv, weight, false);
        Self(Phase { taps, weights, grid: Grid { stride: conv.stride, spacing: 1, offset: [0; 2] } })
    }

    /// In memory of its own.
    pub(crate) fn fitted(self) -> Self {
        let Phase { taps, weights, grid } = self.0;
        Self(Phase { taps, weights: weights.fitted(), grid })
    }

    /// The convolution of the transformed input, to `y`.
    pub(crate) fn convolve(
        &self,
        conv: &Conv,
        x: &[f32],
        dims: Dims,
        prepared: &Prepared,
        finish: &Finish<'_>,
        y: &mut Vec<f32>,
    ) -> Vec<Option<Spread>> {
        let source = Source::new(x, dims, prepared, [conv.padding; 2]);
        run(&source, conv.output(dims), std::slice::from_ref(&self.0), finish, y)
    }
}

/// Which outputs a phase computes, and where their inputs are: output row `offset + spacing·i` reads the input
/// rows from `first + stride·i`, and so for columns.
struct Grid {
    stride: usize,
    spacing: usize,
    offset: [usize; 2],
}

/// Taps of a filter, neighbours in the map they read.
struct Taps {
    /// Rows of the filter in the order in which they are read.
    rows: Vec<usize>,
    columns: Vec<usize>,
    /// Row and column that the first tap reads for the first output.
    first: [isize; 2],
}

impl Taps {
    /// The weights in panels: `[columns of the product / PANEL, row of taps, column of taps, channel, PANEL]`.
    /// The product has the outputs as columns, or with `transposed` the inputs.
    fn pack(&self, conv: &Conv, weight: &[f32], transposed: bool) -> Scratch {
        let [kh, kw] = conv.kernel;
        let (summed, columns) = match transposed {
            false => (conv.inputs, conv.outputs),
            true => (conv.outputs, conv.inputs),
        };
        let panel = self.rows.len() * self.columns.len() * summed * PANEL;
        let mut packed = scratch::take(columns.div_ceil(PANEL) * panel);
        packed.par_chunks_mut(panel.max(1)).enumerate().for_each(|(p, packed)| {
            let width = PANEL.min(columns - p * PANEL);
            let mut rows = packed.chunks_exact_mut(PANEL);
            for ky in &self.rows {
                for kx in &self.columns {
                    for (k, row) in (0..summed).zip(&mut rows) {
                        row[width..].fill(0.0);
                        for (j, to) in row[..width].iter_mut().enumerate() {
                            let (o, i) = match transposed {
                                false => (p * PANEL + j, k),
                                true => (k, p * PANEL + j),
                            };
                            *to = weight[((o * conv.inputs + i) * kh + ky) * kw + kx];
                        }
                    }
                }
            }
        });
        packed
    }
}

/// One regular part of a convolution.
struct Phase {
    taps: Taps,
    weights: Scratch,
    grid: Grid,
}

/// Computes maps of shape `out` phase by phase, several rows at a time, to `y`; zeros where a phase has no taps.
fn run<K: Sink>(source: &Source<'_>, out: Dims, phases: &[Phase], sink: &K, y: &mut Vec<f32>) -> Vec<K::Sum> {
    // A single small map is work for several threads too.
    let rows = TASK.div_ceil(out.width.max(1)).min((out.batch * out.height).div_ceil(4)).max(1);
    let pitch = source.pitch();
    scratch::fill(y, scratch::pieces(out.elements(), rows * out.row()), |task, offset, y| {
        let first = task * rows;
        let parts: Vec<Part> = parts(first..first + y.len() / out.row(), out.height)
            .map(|(image, rows)| Part { image, needed: needed(phases, &rows), rows })
            .collect();
        let inside = |part: &Part| part.needed.start >= 0 && part.needed.end <= source.dims.height as isize;
        let in_place =
            source.prepared.is_identity() && source.left + source.right == 0 && parts.iter().all(inside);
        let rows: usize = if in_place { 0 } else { parts.iter().map(|part| part.needed.len()).sum() };
        let (mut z, mut sum) = (scratch::take(rows * pitch), sink.start());
        let (parts, z) = (&parts, &mut z);
        simd::dispatch(Task { source, out, phases, parts, z, offset, y, sink, sum: &mut sum });
        sum
    })
}

struct Task<'a, K: Sink> {
    source: &'a Source<'a>,
    out: Dims,
    phases: &'a [Phase],
    parts: &'a [Part],
    /// Room for the transformed input; empty if that is read where it lies.
    z: &'a mut [f32],
    /// Where `y` lies in the output.
    offset: usize,
    y: &'a mut [f32],
    sink: &'a K,
    sum: &'a mut K::Sum,
}

impl<K: Sink> WithSimd for Task<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, out, phases, parts, z, offset, y, sink, sum } = self;
        let pitch = source.pitch();
        let in_place = z.is_empty();
        let (mut z_start, mut y_start) = (0, 0);
        for part in parts {
            let length = part.needed.len() * pitch;
            let z = match in_place {
                true => {
                    let start = part.image * source.dims.height + part.needed.start as usize;
                    &source.x[start * pitch..][..length]
                }
                false => {
                    let z = &mut z[z_start..][..length];
                    for (row, z) in part.needed.clone().zip(z.chunks_exact_mut(pitch)) {
                        source.row(simd, part.image, row, z);
                    }
                    &*z
                }
            };
            let y = &mut y[y_start..][..part.rows.len() * out.row()];
            for phase in phases {
                part.compute(simd, source, phase, out, z, y);
            }
            z_start += length;
            y_start += y.len();
        }
        sink.rows(simd, offset, y, sum);
    }
}

/// The rows of the input that some rows of the output need.
fn needed(phases: &[Phase], rows: &Range<usize>) -> Range<isize> {
    let of_phase = |phase: &Phase| {
        let steps = phase.steps(0, rows);
        let first = phase.taps.first[0] + (steps.start * phase.grid.stride) as isize;
        let last =
            phase.taps.first[0] + (steps.end * phase.grid.stride) as isize - phase.grid.stride as isize;
        (!steps.is_empty() && !phase.taps.rows.is_empty())
            .then(|| first..last + phase.taps.rows.len() as isize)
    };
    let ranges = phases.iter().filter_map(of_phase);
    ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
}

impl Phase {
    /// The steps of the grid whose outputs lie in `range` along an axis.
    fn steps(&self, axis: usize, range: &Range<usize>) -> Range<usize> {
        let until = |end: usize| end.saturating_sub(self.grid.offset[axis]).div_ceil(self.grid.spacing);
        until(range.start)..until(range.end)
    }
}

/// Rows of one map.
struct Part {
    image: usize,
    rows: Range<usize>,
    /// The rows of the input.
    needed: Range<isize>,
}

impl Part {
    #[inline(always)]
    fn compute<S: Simd>(
        &self,
        simd: S,
        source: &Source<'_>,
        phase: &Phase,
        out: Dims,
        z: &[f32],
        y: &mut [f32],
    ) {
        let Phase { taps, weights, grid } = phase;
        let (channels, pitch) = (source.dims.channels, source.pitch());
        let length = taps.columns.len() * channels;
        let panel = taps.rows.len() * length * PANEL;
        if panel == 0 {
            return;
        }
        let product =
            Product::rows(length, grid.stride * channels).segments(taps.rows.len(), pitch, length * PANEL);
        let columns = phase.steps(1, &(0..out.width));
        let left = (taps.first[1] + source.left as isize) as usize * channels;
        let rows = phase.steps(0, &self.rows);
        // Rows of a pointwise convolution follow each other without a gap.
        let joined = product.segments == 1
            && grid.stride == 1
            && grid.spacing == 1
            && taps.columns.len() == 1
            && pitch == columns.len() * channels;
        let (calls, width) = match joined {
            true => (rows.start..rows.start + 1, rows.len() * columns.len()),
            false => (rows, columns.len()),
        };
        for (p, weights) in weights.chunks_exact(panel).enumerate() {
            let n = p * PANEL..(p * PANEL + PANEL).min(out.channels);
            for step in calls.clone() {
                let row = taps.first[0] + (step * grid.stride) as isize - self.needed.start;
                let a = &z[row as usize * pitch + left..];
                let y_row = grid.offset[0] + step * grid.spacing - self.rows.start;
                let start = (y_row * out.width + grid.offset[1]) * out.channels + n.start;
                let c_row = grid.spacing * out.channels;
                let y = &mut y[start..];
                let target = Target { c: y, row: c_row, rows: width, columns: n.len(), add: false };
                gemm::multiply(simd, &product, a, weights, target);
            }
        }
    }
}

/// As [`crate::conv::backward`], but for the bias.
pub(crate) fn backward(
    conv: &Conv,
    input: Input<'_>,
    weight: &[f32],
    g: &[f32],
    mask: GradientMask,
) -> ConvGradients {
    let prepared = Prepared::new(&input.transform, conv.inputs);
    let mut gradients = match mask.input {
        true => input_gradient(conv, input, &prepared, weight, g),
        false => ConvGradients::default(),
    };
    if mask.weight {
        gradients.weight = weight_gradient(conv, input, &prepared, g);
    }
    gradients
}

fn input_gradient(
    conv: &Conv,
    input: Input<'_>,
    prepared: &Prepared,
    weight: &[f32],
    g: &[f32],
) -> ConvGradients {
    let out = conv.output(input.dims);
    let [kh, kw] = conv.kernel;
    let (s, padding) = (conv.stride, conv.padding);
    // Input `i` is read by output `o` at tap `k` where o·s + k = i + padding. Inputs whose `i + padding` have the
    // same remainder `r` share their taps: k = r, r + s, …, which read the outputs (i + padding − k)/s.
    let axis = |size: usize, kernel: usize| {
        (0..s.min(size)).map(move |offset| {
            let taps: Vec<usize> = ((offset + padding) % s..kernel).step_by(s).collect();
            let last = taps.last().copied().unwrap_or(0);
            ((offset, (offset + padding) as isize / s as isize - (last / s) as isize), taps)
        })
    };
    let mut phases = Vec::new();
    for ((row, first_row), rows) in axis(input.dims.height, kh) {
        for ((column, first_column), columns) in axis(input.dims.width, kw) {
            // The highest tap reads the first output.
            let taps = Taps {
                rows: rows.iter().rev().copied().collect(),
                columns: columns.iter().rev().copied().collect(),
                first: [first_row, first_column],
            };
            let weights = taps.pack(conv, weight, true);
            phases.push(Phase { taps, weights, grid: Grid { stride: 1, spacing: s, offset: [row, column] } });
        }
    }
    let reach = |phase: &Phase| {
        let columns = phase.steps(1, &(0..input.dims.width)).len();
        let first = phase.taps.first[1];
        (-first, first + (columns + phase.taps.columns.len()) as isize - 1 - out.width as isize)
    };
    let beyond = phases.iter().filter(|phase| !phase.taps.columns.is_empty()).map(reach);
    let (left, right) = beyond.fold((0, 0), |(l, r), (left, right)| (l.max(left), r.max(right)));
    let identity = Prepared::new(&crate::Transform::default(), conv.outputs);
    let source = Source::new(g, out, &identity, [left as usize, right as usize]);
    let sink = Back { prepared, x: input.x, channels: conv.inputs };
    let mut gz = Vec::new();
    let sums = run(&source, input.dims, &phases, &sink, &mut gz);
    sink.gradients(gz, &sums)
}

/// Numbers of transformed input and gradient that are gathered before they are multiplied: they should stay in
/// the cache.
const GATHERED: usize = 1 << 20;

fn weight_gradient(conv: &Conv, input: Input<'_>, prepared: &Prepared, g: &[f32]) -> Vec<f32> {
    let out = conv.output(input.dims);
    let [kh, kw] = conv.kernel;
    let source = Source::new(input.x, input.dims, prepared, [conv.padding; 2]);
    let pitch = source.pitch();
    let (length, panels) = (kw * conv.inputs, conv.outputs.div_ceil(PANEL));
    let per_row = conv.stride * pitch + panels * PANEL * out.width;
    let block = (GATHERED / per_row.max(1)).clamp(1, (out.batch * out.height).max(1));
    // [panel, row of the filter, column of the filter, input, PANEL]
    let mut sums = scratch::take(panels * kh * length * PANEL);
    sums.fill(0.0);
    for start in (0..out.batch * out.height).step_by(block) {
        let rows = start..(start + block).min(out.batch * out.height);
        let count = rows.len();
        let needed = |rows: &Range<usize>| {
            let first = (rows.start * conv.stride) as isize - conv.padding as isize;
            first..first + ((rows.len() - 1) * conv.stride + kh) as isize
        };
        let parts: Vec<_> = parts(rows.clone(), out.height).collect();
        let z_rows: Vec<_> =
            parts.iter().flat_map(|(image, rows)| needed(rows).map(|row| (*image, row))).collect();
        let mut z = scratch::take(z_rows.len() * pitch);
        z.par_chunks_mut(pitch).zip(&z_rows).for_each(|(z, (image, row))| {
            simd::dispatch(FillRow { source: &source, image: *image, row: *row, z });
        });
        let row_panel = out.width * PANEL;
        let mut packed = scratch::take(panels * count * row_panel);
        packed.par_chunks_mut(row_panel).enumerate().for_each(|(i, packed)| {
            let (panel, row) = (i / count, rows.start + i % count);
            let g = &g[row * out.row()..][..out.row()];
            let columns = panel * PANEL..((panel + 1) * PANEL).min(out.channels);
            for (g, packed) in g.chunks_exact(out.channels).zip(packed.chunks_exact_mut(PANEL)) {
                packed[..columns.len()].copy_from_slice(&g[columns.clone()]);
                packed[columns.len()..].fill(0.0);
            }
        });
        sums.par_chunks_mut(length * PANEL).enumerate().for_each(|(i, sums)| {
            let (panel, ky) = (i / kh, i % kh);
            let (mut z_row, mut row) = (0, 0);
            for (_, rows) in &parts {
                let product = Product::transposed(out.width, conv.stride * conv.inputs).segments(
                    rows.len(),
                    conv.stride * pitch,
                    row_panel,
                );
                let a = &z[(z_row + ky) * pitch..];
                let b = &packed[(panel * count + row) * row_panel..];
                simd::dispatch(AddProduct { product: &product, a, b, c: sums, rows: length });
                z_row += needed(rows).len();
                row += rows.len();
            }
        });
    }
    // To [output, input, row of the filter, column of the filter].
    let area = kh * kw;
    let mut gradient = Vec::new();
    scratch::fill(&mut gradient, scratch::pieces(conv.weights(), conv.inputs * area), |o, _, gradient| {
        let sums = &sums[o / PANEL * kh * length * PANEL + o % PANEL..];
        for (i, taps) in gradient.chunks_exact_mut(area).enumerate() {
            for (tap, to) in taps.iter_mut().enumerate() {
                *to = sums[(tap * conv.inputs + i) * PANEL];
            }
        }
    });
    gradient
}

struct FillRow<'a> {
    source: &'a Source<'a>,
    image: usize,
    row: isize,
    z: &'a mut [f32],
}

impl WithSimd for FillRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.source.row(simd, self.image, self.row, self.z);
    }
}

/// `C += A·B` for one panel.
pub(crate) struct AddProduct<'a> {
    pub(crate) product: &'a Product,
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
    pub(crate) c: &'a mut [f32],
    pub(crate) rows: usize,
}

impl WithSimd for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let target = Target { c: self.c, row: PANEL, rows: self.rows, columns: PANEL, add: true };
        gemm::multiply(simd, self.product, self.a, self.b, target);
    }
}
