//! 3x3 convolutions of stride 1 by Winograd's minimal filtering F(4x4, 3x3) (Lavin & Gray, 2016): a quarter of
//! the multiplications.
//!
//! A tile of 4x4 outputs needs 6x6 inputs d. With the interpolation points 0, ±a, ±b and ∞,
//! y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A, where the elementwise product, summed over channels, is a matrix product
//! for each of the 36 points. The gradient of the input is the same convolution of ∂L/∂y with the filter
//! turned round; that of the weight is ∂L/∂w = Gᵀ[Σ (A ∂L/∂y Aᵀ) ⊙ (Bᵀ d B)]G over tiles.
//!
//! a = 5/8 and b = 3/2 round less than the usual 1 and 2: see the test of the error.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    dense::{AddProduct, Source},
    finish::{Back, ConvGradients, Sink},
    gemm::{self, PANEL, Product, Target},
    map::Dims,
    problem::{Conv, GradientMask},
    scratch::{self, Scratch},
    simd::{self, fma},
    transform::{Input, Prepared},
};

const A: f32 = 0.625;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
/// What the filter's value at 0, ±a and ±b is multiplied by.
const AT_0: f32 = 1.0 / (A2 * B2);
const AT_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const AT_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

/// Points of a transformed tile.
const POINTS: usize = 36;

/// Whether this is the way to compute `conv` on maps of shape `input`.
pub(crate) fn applies(conv: &Conv, input: Dims) -> bool {
    let out = conv.output(input);
    // With few channels the transforms cost more than the products they save, in a map of few pixels most of a
    // tile is cut off, and for few tiles reading the filters, four times the weight, is most of the work.
    conv.kernel == [3, 3]
        && conv.stride == 1
        && conv.groups == 1
        && conv.padding <= 2
        && conv.inputs.min(conv.outputs) >= 16
        && Tiles::of(out).in_a_map() * out.batch >= 16
        && Tiles::of(out).in_a_map() * POINTS * 3 <= out.height * out.width * 9 * 2
}

/// How a map is cut into tiles of 4x4.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(out: Dims) -> Self {
        Self { rows: out.height.div_ceil(4), columns: out.width.div_ceil(4) }
    }

    fn in_a_map(&self) -> usize {
        self.rows * self.columns
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
    let out = conv.output(input.dims);
    let mut gradients = match mask.input {
        true => {
            let filters = Filters::new(conv, weight, true);
            let identity = Prepared::new(&crate::Transform::default(), conv.outputs);
            let sink = Back { prepared: &prepared, x: input.x, channels: conv.inputs };
            let mut gz = Vec::new();
            let to = (&mut gz, input.dims);
            let sums = filters.convolve(g, out, &identity, 2 - conv.padding, &sink, to);
            sink.gradients(gz, &sums)
        }
        false => ConvGradients::default(),
    };
    if mask.weight {
        gradients.weight = weight_gradient(conv, input, &prepared, g);
    }
    gradients
}

/// G w Gᵀ in panels: `[point, columns / PANEL, summed channel, PANEL]`.
pub(crate) struct Filters {
    packed: Scratch,
    summed: usize,
    columns: usize,
}

impl Filters {
    /// The outputs are the columns of the product, or with `turned` the inputs, and the filter is turned round.
    pub(crate) fn new(conv: &Conv, weight: &[f32], turned: bool) -> Self {
        let (summed, columns) = match turned {
            false => (conv.inputs, conv.outputs),
            true => (conv.outputs, conv.inputs),
        };
        let panels = columns.div_ceil(PANEL);
        let mut packed = scratch::take(POINTS * panels * summed * PANEL);
        let mut rows = by_point(&mut packed, summed * PANEL);
        rows.par_iter_mut().enumerate().for_each(|(p, points)| {
            let width = PANEL.min(columns - p * PANEL);
            for k in 0..summed {
                let mut filter = [[0.0f32; PANEL]; 9];
                for column in p * PANEL..p * PANEL + width {
                    let (o, i) = if turned { (k, column) } else { (column, k) };
                    for (tap, w) in weight[(o * conv.inputs + i) * 9..][..9].iter().enumerate() {
                        filter[if turned { 8 - tap } else { tap }][column % PANEL] = *w;
                    }
                }
                simd::dispatch(TransformFilter { filter: &filter, points, at: k * PANEL });
            }
        });
        drop(rows);
        Self { packed, summed, columns }
    }
}

/// `data` of `[POINTS, n, length]` as `n` times the slices of all points.
fn by_point(data: &mut [f32], length: usize) -> Vec<Vec<&mut [f32]>> {
    let n = data.len() / POINTS / length;
    let mut all: Vec<Vec<&mut [f32]>> = (0..n).map(|_| Vec::with_capacity(POINTS)).collect();
    for point in data.chunks_exact_mut(n * length) {
        for (all, part) in all.iter_mut().zip(point.chunks_exact_mut(length)) {
            all.push(part);
        }
    }
    all
}

/// Applies `$once` to the columns and then to the rows of a square whose elements `$load` gives: the points of
/// a tile or the tile from its points.
///
/// A macro, since closures would not be compiled for the instructions in use.
macro_rules! twice {
    ($simd:ident, |$y:ident, $x:ident| $load:expr, $once:ident, $n:literal -> $m:literal) => {{
        let mut half = [[$simd.splat_f32s(0.0); $n]; $m];
        for $x in 0..$n {
            let mut column = [$simd.splat_f32s(0.0); $n];
            for $y in 0..$n {
                column[$y] = $load;
            }
            let column = $once($simd, column);
            for i in 0..$m {
                half[i][$x] = column[i];
            }
        }
        let mut all = [[$simd.splat_f32s(0.0); $m]; $m];
        for i in 0..$m {
            all[i] = $once($simd, half[i]);
        }
        all
    }};
}

/// G of a filter's row or column.
#[inline(always)]
fn filter_points<S: Simd>(simd: S, [w0, w1, w2]: [S::f32s; 3]) -> [S::f32s; 6] {
    let even_a = fma(simd, w2, simd.splat_f32s(A2 * AT_A), simd.mul_f32s(w0, simd.splat_f32s(AT_A)));
    let even_b = fma(simd, w2, simd.splat_f32s(B2 * AT_B), simd.mul_f32s(w0, simd.splat_f32s(AT_B)));
    let (odd_a, odd_b) =
        (simd.mul_f32s(w1, simd.splat_f32s(A * AT_A)), simd.mul_f32s(w1, simd.splat_f32s(B * AT_B)));
    [
        simd.mul_f32s(w0, simd.splat_f32s(AT_0)),
        simd.add_f32s(even_a, odd_a),
        simd.sub_f32s(even_a, odd_a),
        simd.add_f32s(even_b, odd_b),
        simd.sub_f32s(even_b, odd_b),
        w2,
    ]
}

/// Gᵀ, the transpose of [`filter_points`].
#[inline(always)]
fn filter_from_points<S: Simd>(simd: S, [u0, u1, u2, u3, u4, u5]: [S::f32s; 6]) -> [S::f32s; 3] {
    let (sum_a, sum_b) = (simd.add_f32s(u1, u2), simd.add_f32s(u3, u4));
    let (odd_a, odd_b) = (simd.sub_f32s(u1, u2), simd.sub_f32s(u3, u4));
    [
        fma(
            simd,
            u0,
            simd.splat_f32s(AT_0),
            fma(simd, sum_a, simd.splat_f32s(AT_A), simd.mul_f32s(sum_b, simd.splat_f32s(AT_B))),
        ),
        fma(simd, odd_a, simd.splat_f32s(A * AT_A), simd.mul_f32s(odd_b, simd.splat_f32s(B * AT_B))),
        fma(simd, sum_a, simd.splat_f32s(A2 * AT_A), fma(simd, sum_b, simd.splat_f32s(B2 * AT_B), u5)),
    ]
}

/// Bᵀ of a row or column of inputs.
#[inline(always)]
fn input_points<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5]: [S::f32s; 6]) -> [S::f32s; 6] {
    let (product, sum) = (simd.splat_f32s(A2 * B2), simd.splat_f32s(-(A2 + B2)));
    let even_a = fma(simd, d2, simd.splat_f32s(-B2), d4);
    let odd_a = fma(simd, d1, simd.splat_f32s(-B2), d3);
    let even_b = fma(simd, d2, simd.splat_f32s(-A2), d4);
    let odd_b = fma(simd, d1, simd.splat_f32s(-A2), d3);
    [
        fma(simd, d0, product, fma(simd, d2, sum, d4)),
        fma(simd, odd_a, simd.splat_f32s(A), even_a),
        fma(simd, odd_a, simd.splat_f32s(-A), even_a),
        fma(simd, odd_b, simd.splat_f32s(B), even_b),
        fma(simd, odd_b, simd.splat_f32s(-B), even_b),
        fma(simd, d1, product, fma(simd, d3, sum, d5)),
    ]
}

/// Aᵀ of a row or column of sums.
#[inline(always)]
fn outputs_from_points<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5]: [S::f32s; 6]) -> [S::f32s; 4] {
    let (sum_a, sum_b) = (simd.add_f32s(m1, m2), simd.add_f32s(m3, m4));
    let (odd_a, odd_b) = (simd.sub_f32s(m1, m2), simd.sub_f32s(m3, m4));
    [
        simd.add_f32s(m0, simd.add_f32s(sum_a, sum_b)),
        fma(simd, odd_a, simd.splat_f32s(A), simd.mul_f32s(odd_b, simd.splat_f32s(B))),
        fma(simd, sum_a, simd.splat_f32s(A2), simd.mul_f32s(sum_b, simd.splat_f32s(B2))),
        fma(simd, odd_a, simd.splat_f32s(A * A2), fma(simd, odd_b, simd.splat_f32s(B * B2), m5)),
    ]
}

/// A of a row or column of gradients, the transpose of [`outputs_from_points`].
#[inline(always)]
fn gradient_points<S: Simd>(simd: S, [g0, g1, g2, g3]: [S::f32s; 4]) -> [S::f32s; 6] {
    let even_a = fma(simd, g2, simd.splat_f32s(A2), g0);
    let odd_a = fma(simd, g3, simd.splat_f32s(A2), g1);
    let even_b = fma(simd, g2, simd.splat_f32s(B2), g0);
    let odd_b = fma(simd, g3, simd.splat_f32s(B2), g1);
    [
        g0,
        fma(simd, odd_a, simd.splat_f32s(A), even_a),
        fma(simd, odd_a, simd.splat_f32s(-A), even_a),
        fma(simd, odd_b, simd.splat_f32s(B), even_b),
        fma(simd, odd_b, simd.splat_f32s(-B), even_b),
        g3,
    ]
}

struct TransformFilter<'a, 'b> {
    filter: &'a [[f32; PANEL]; 9],
    points: &'a mut [&'b mut [f32]],
    at: usize,
}

impl WithSimd for TransformFilter<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for start in (0..PANEL).step_by(S::F32_LANES) {
            let range = start..start + S::F32_LANES;
            let points = twice!(
                simd,
                |y, x| simd.partial_load_f32s(&self.filter[y * 3 + x][range.clone()]),
                filter_points,
                3 -> 6
            );
            for (to, point) in self.points.iter_mut().zip(points.as_flattened()) {
                simd.partial_store_f32s(&mut to[self.at..][range.clone()], *point);
            }
        }
    }
}

/// Some rows of tiles, counted through all maps, and all that a task needs to compute them.
struct Block<'a, K: Sink> {
    source: &'a Source<'a>,
    filters: &'a Filters,
    out: Dims,
    first: usize,
    count: usize,
    /// Room for six rows of the input.
    z: &'a mut [f32],
    /// `[point, tile, channel]`, with `pitch(channels)` numbers a tile.
    points: &'a mut [f32],
    /// The same of the output.
    products: &'a mut [f32],
    offset: usize,
    y: &'a mut [f32],
    sink: &'a K,
    sum: &'a mut K::Sum,
}

/// Numbers of a tile at one point.
fn pitch(channels: usize) -> usize {
    channels.next_multiple_of(PANEL)
}

impl Filters {
    /// In memory of its own.
    pub(crate) fn fitted(self) -> Self {
        Self { packed: self.packed.fitted(), ..self }
    }

    /// The convolution of the transformed `x`, of shape `dims`, to `y`, of shape `out`.
    pub(crate) fn convolve<K: Sink>(
        &self,
        x: &[f32],
        dims: Dims,
        prepared: &Prepared,
        padding: usize,
        sink: &K,
        (y, out): (&mut Vec<f32>, Dims),
    ) -> Vec<K::Sum> {
        let tiles = Tiles::of(out);
        let source = source(x, dims, prepared, padding, tiles);
        let total = out.batch * tiles.rows;
        // An even number of tasks of equal size.
        let tasks = (total * tiles.columns).div_ceil(self.block()).next_multiple_of(2);
        let rows = total.div_ceil(tasks).max(1);
        let start = |row: usize| (row / tiles.rows * out.height + row % tiles.rows * 4) * out.row();
        let firsts = (0..total).step_by(rows);
        let lengths = firsts.map(|first| start((first + rows).min(total)) - start(first));
        scratch::fill(y, lengths, |task, offset, y| {
            let (first, mut sum) = (task * rows, sink.start());
            let count = rows.min(total - first);
            let n = POINTS * count * tiles.columns;
            let [mut z, mut points, mut products] =
                [6 * source.pitch(), n * pitch(self.summed), n * pitch(self.columns)].map(scratch::take);
            let (source, filters, sums) = (&source, self, &mut sum);
            let (z, points, products) = (&mut z, &mut points, &mut products);
            simd::dispatch(Block {
                source,
                filters,
                out,
                first,
                count,
                z,
                points,
                products,
                offset,
                y,
                sink,
                sum: sums,
            });
            sum
        })
    }

    /// Tiles that one task takes, about: few enough that their points stay in a thread's own cache, and
    /// enough that reading filters that do not fit in any cache is worth it.
    fn block(&self) -> usize {
        if self.packed.len() > 4 << 20 { 56 } else { 28 }
    }
}

/// The rows of `x` with zeros to the left and to the end of the last tile.
fn source<'a>(x: &'a [f32], dims: Dims, prepared: &'a Prepared, padding: usize, tiles: Tiles) -> Source<'a> {
    Source::new(x, dims, prepared, [padding, tiles.columns * 4 + 2 - dims.width - padding])
}

impl<K: Sink> WithSimd for Block<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, filters, out, first, count, z, points, products, offset, y, sink, sum } = self;
        let tiles = Tiles::of(out);
        let n = count * tiles.columns;
        let (wide, narrow) = (pitch(filters.summed), pitch(filters.columns));
        for (i, row) in (first..first + count).enumerate() {
            let at = i * tiles.columns * wide;
            transform_row(simd, source, tiles, row, z, (points, n * wide, at));
        }
        let panel = filters.summed * PANEL;
        let panels = filters.columns.div_ceil(PANEL);
        let product = Product::rows(filters.summed, wide);
        let all = points.chunks_exact(n * wide).zip(products.chunks_exact_mut(n * narrow));
        for ((points, products), filters) in all.zip(filters.packed.chunks_exact(panels * panel)) {
            for (p, filters) in filters.chunks_exact(panel).enumerate() {
                let c = &mut products[p * PANEL..];
                let target = Target { c, row: narrow, rows: n, columns: PANEL, add: false };
                gemm::multiply(simd, &product, points, filters, target);
            }
        }
        let mut start = 0;
        for (i, row) in (first..first + count).enumerate() {
            let rows = (out.height - row % tiles.rows * 4).min(4);
            let y = &mut y[start..][..rows * out.row()];
            outputs_of_row(simd, products, n * narrow, i * tiles.columns * narrow, narrow, out, y);
            start += y.len();
        }
        sink.rows(simd, offset, y, sum);
    }
}

/// Writes Bᵀ d B of one row of tiles: that of point `p` and tile `t` to `p·stride + at + t·pitch(channels)`.
#[inline(always)]
fn transform_row<S: Simd>(
    simd: S,
    source: &Source<'_>,
    tiles: Tiles,
    row: usize,
    z: &mut [f32],
    (points, stride, at): (&mut [f32], usize, usize),
) {
    let (image, first) = (row / tiles.rows, (row % tiles.rows * 4) as isize - source.left() as isize);
    let (length, channels) = (source.pitch(), source.channels());
    for (i, z) in z.chunks_exact_mut(length).enumerate() {
        source.row(simd, image, first + i as isize, z);
    }
    let pitch = pitch(channels);
    for tile in 0..tiles.columns {
        for start in (0..channels).step_by(S::F32_LANES) {
            let lanes = S::F32_LANES.min(channels - start);
            let from = tile * 4 * channels + start;
            let all = twice!(
                simd,
                |y, x| {
                    let z = &z[y * length + x * channels + from..][..lanes];
                    match lanes == S::F32_LANES {
                        true => S::as_simd_f32s(z).0[0],
                        false => simd.partial_load_f32s(z),
                    }
                },
                input_points,
                6 -> 6
            );
            for (p, point) in all.as_flattened().iter().enumerate() {
                let to = &mut points[p * stride + at + tile * pitch + start..][..S::F32_LANES];
                S::as_mut_simd_f32s(to).0[0] = *point;
            }
        }
    }
}

/// Writes Aᵀ m A of one row of tiles to the rows `y` of a map.
#[inline(always)]
fn outputs_of_row<S: Simd>(
    simd: S,
    products: &[f32],
    stride: usize,
    at: usize,
    pitch: usize,
    out: Dims,
    y: &mut [f32],
) {
    for tile in 0..out.width.div_ceil(4) {
        let columns = (out.width - tile * 4).min(4);
        for start in (0..out.channels).step_by(S::F32_LANES) {
            let lanes = S::F32_LANES.min(out.channels - start);
            let from = at + tile * pitch + start;
            let outputs = twice!(
                simd,
                |y, x| S::as_simd_f32s(&products[(y * 6 + x) * stride + from..][..S::F32_LANES]).0[0],
                outputs_from_points,
                6 -> 4
            );
            for (y, outputs) in y.chunks_exact_mut(out.row()).zip(outputs) {
                let pixels = y[tile * 4 * out.channels..].chunks_exact_mut(out.channels);
                for (pixel, value) in pixels.zip(outputs).take(columns) {
                    let to = &mut pixel[start..start + lanes];
                    match lanes == S::F32_LANES {
                        true => S::as_mut_simd_f32s(to).0[0] = value,
                        false => simd.partial_store_f32s(to, value),
                    }
                }
            }
        }
    }
}

/// Numbers of transformed input and gradient that are gathered before they are multiplied: they should stay in
/// the cache that threads share.
const GATHERED: usize = 3 << 20;

fn weight_gradient(conv: &Conv, input: Input<'_>, prepared: &Prepared, g: &[f32]) -> Vec<f32> {
    let out = conv.output(input.dims);
    let tiles = Tiles::of(out);
    let source = source(input.x, input.dims, prepared, conv.padding, tiles);
    let (wide, narrow) = (pitch(conv.inputs), pitch(conv.outputs));
    let panels = conv.outputs.div_ceil(PANEL);
    let total = out.batch * tiles.rows;
    let per_row = POINTS * tiles.columns * (wide + narrow);
    let block = (GATHERED / per_row).clamp(1, total.max(1));
    // [point, panel, input, PANEL]
    let mut sums = scratch::take(POINTS * panels * conv.inputs * PANEL);
    sums.fill(0.0);
    for first in (0..total).step_by(block) {
        let count = block.min(total - first);
        let n = count * tiles.columns;
        let [mut points, mut gradients] = [wide, narrow].map(|pitch| scratch::take(POINTS * n * pitch));
        let rows = by_point(&mut points, tiles.columns * wide);
        let rows = rows.into_par_iter().zip(by_point(&mut gradients, tiles.columns * narrow));
        rows.enumerate().for_each(|(i, (points, gradients))| {
            let row = first + i;
            let [mut z, mut room] = [6 * source.pitch(), POINTS * tiles.columns * wide].map(scratch::take);
            let (source, z, room) = (&source, &mut z, &mut room);
            simd::dispatch(Gather { source, tiles, row, z, room, g, out, points, gradients });
        });
        let length = conv.inputs * PANEL;
        sums.par_chunks_mut(length).enumerate().for_each(|(i, sums)| {
            let (point, panel) = (i / panels, i % panels);
            let product = Product::transposed(n, wide).unpacked(narrow);
            let a = &points[point * n * wide..][..n * wide];
            let b = &gradients[point * n * narrow + panel * PANEL..];
            simd::dispatch(AddProduct { product: &product, a, b, c: sums, rows: conv.inputs });
        });
    }
    let mut gradient = Vec::new();
    let lengths = scratch::pieces(conv.weights(), conv.inputs * 9 * PANEL);
    scratch::fill(&mut gradient, lengths, |panel, _, gradient| {
        simd::dispatch(FilterGradient { sums: &sums, panel, panels, inputs: conv.inputs, gradient });
    });
    gradient
}

/// One row of tiles for the gradient of the weight.
struct Gather<'a, 'b> {
    source: &'a Source<'a>,
    tiles: Tiles,
    row: usize,
    z: &'a mut [f32],
    room: &'a mut [f32],
    g: &'a [f32],
    out: Dims,
    points: Vec<&'b mut [f32]>,
    gradients: Vec<&'b mut [f32]>,
}

impl WithSimd for Gather<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { source, tiles, row, z, room, g, out, mut points, mut gradients } = self;
        let length = tiles.columns * pitch(source.channels());
        transform_row(simd, source, tiles, row, z, (room, length, 0));
        for (to, from) in points.iter_mut().zip(room.chunks_exact(length)) {
            to.copy_from_slice(from);
        }
        let first = row % tiles.rows * 4;
        let rows = (out.height - first).min(4);
        let g = &g[(row / tiles.rows * out.height + first) * out.row()..][..rows * out.row()];
        let pitch = pitch(out.channels);
        for tile in 0..tiles.columns {
            let columns = (out.width - tile * 4).min(4);
            for start in (0..out.channels).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(out.channels - start);
                let all = twice!(
                    simd,
                    |y, x| match y < rows && x < columns {
                        true => {
                            let pixel = y * out.width + tile * 4 + x;
                            simd.partial_load_f32s(&g[pixel * out.channels + start..][..lanes])
                        }
                        false => simd.splat_f32s(0.0),
                    },
                    gradient_points,
                    4 -> 6
                );
                for (to, point) in gradients.iter_mut().zip(all.as_flattened()) {
                    S::as_mut_simd_f32s(&mut to[tile * pitch + start..][..S::F32_LANES]).0[0] = *point;
                }
            }
        }
    }
}

/// Gᵀ u G for one panel of outputs, to `[output, input, 3, 3]`.
struct FilterGradient<'a> {
    sums: &'a [f32],
    panel: usize,
    panels: usize,
    inputs: usize,
    gradient: &'a mut [f32],
}

impl WithSimd for FilterGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums, panel, panels, inputs, gradient } = self;
        let stride = panels * inputs * PANEL;
        for input in 0..inputs {
            for start in (0..PANEL).step_by(S::F32_LANES) {
                let from = (panel * inputs + input) * PANEL + start;
                let filter = twice!(
                    simd,
                    |y, x| simd.partial_load_f32s(&sums[(y * 6 + x) * stride + from..][..S::F32_LANES]),
                    filter_from_points,
                    6 -> 3
                );
                for (tap, value) in filter.as_flattened().iter().enumerate() {
                    let mut values = [0.0f32; 64];
                    simd.partial_store_f32s(&mut values[..S::F32_LANES], *value);
                    let outputs = gradient.chunks_exact_mut(inputs * 9).skip(start);
                    for (output, value) in outputs.zip(&values[..S::F32_LANES]) {
                        output[input * 9 + tap] = *value;
                    }
                }
            }
        }
    }
}
