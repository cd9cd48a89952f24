//! Convolutions of few channels a group: depthwise ones, and those of a few inputs and outputs a group.
//!
//! These do little arithmetic for what they read, so each map is read once. A task takes neighbouring rows and
//! keeps the rows in use, transformed and with zeros at both sides, in a ring that stays in the cache. It works
//! on a few pixels and a vector of channels at a time, and goes through the vectors of these pixels before it
//! goes along the row: the other way spares loads of the weight but jumps about in memory, and is slower.
//!
//! A group of several channels is as many depthwise convolutions, on copies of the rows in which the channels
//! of each group are turned round: output `o` of a group sees input `o` in the first, `o + 1` in the next, and
//! so on round the group.
//!
//! The backward pass gathers. An input pixel and the gradients of the outputs that see it give both the
//! gradient of that pixel and its part of the weight's gradient, so there is one pass over the maps.
//!
//! Zeros at the sides are multiplied like other numbers: a weight or pixel that is not finite makes NaN
//! of all it meets there.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    finish::{ConvGradients, Finish, Sink},
    global,
    map::Dims,
    pixels::{images_of_task, padded, pitch, store, sum_of_tasks},
    problem::{Conv, GradientMask},
    scratch,
    simd::{self, fma},
    transform::{CHUNK, Input, Prepared, Spread, Sums, Transform, prelu},
};

/// Channels of a group, at most.
const GROUP: usize = 4;

/// Pixels that a sum is taken over while they are in the cache, at least.
const BLOCK: usize = 64;

/// Pixels after which the sums of the weight's gradient go from f32 to f64, at least.
const SUMMED: usize = 512;

/// Columns of the filter that are multiplied together, at most.
const STRIP: usize = 3;

/// Whether a convolution is of the kind done here.
pub(crate) fn applies(conv: &Conv) -> bool {
    conv.inputs == conv.outputs && (1..=GROUP).contains(&(conv.inputs / conv.groups.max(1)))
}

/// The weight, ready for maps of one size.
pub(crate) struct Packed {
    /// None where the filter is as large as the map.
    filter: Option<Filter>,
    weights: Vec<f32>,
}

impl Packed {
    pub(crate) fn new(conv: &Conv, dims: Dims, weight: &[f32]) -> Self {
        if global::applies(conv, dims) {
            return Self { filter: None, weights: global::packed(weight, dims) };
        }
        let filter = Filter::new(conv, Pass::Forward);
        Self { weights: filter.pack(weight), filter: Some(filter) }
    }

    /// The convolution of the transformed input, to `y`.
    pub(crate) fn convolve(
        &self,
        x: &[f32],
        dims: Dims,
        prepared: &Prepared,
        finish: &Finish<'_>,
        y: &mut Vec<f32>,
    ) -> Vec<Option<Spread>> {
        let weights = &self.weights;
        let spreads = match &self.filter {
            None => global::convolve(x, dims, prepared, weights, finish, y),
            Some(filter) => {
                let out = filter.conv.output(dims);
                let bias = padded(finish.bias.unwrap_or_default(), out.channels);
                let slope = finish.slope.map(|slope| padded(slope, out.channels));
                let operator = Forward { filter, x, dims, out, prepared, weights, bias, slope };
                let rows = rows_of_task(out);
                scratch::fill(y, scratch::pieces(out.elements(), rows * out.row()), |i, _, y| {
                    let (operator, first, mut spread) = (&operator, i * rows, finish.start());
                    simd::dispatch(ForwardTask { operator, first, y, spread: spread.as_mut() });
                    spread
                })
            }
        };
        if let Some(add) = finish.add {
            let length = dims.channels.max(1) * CHUNK;
            y.par_chunks_mut(length).zip(add.par_chunks(length)).for_each(|(y, add)| {
                y.iter_mut().zip(add).for_each(|(y, add)| *y += add);
            });
        }
        spreads
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
    match mask.input || mask.weight {
        true if global::applies(conv, input.dims) => global::backward(conv, input, weight, g, mask),
        true => gathered(conv, input, weight, g, mask),
        false => ConvGradients::default(),
    }
}

/// The gradients of input and weight.
fn gathered(conv: &Conv, input: Input<'_>, weight: &[f32], g: &[f32], mask: GradientMask) -> ConvGradients {
    let (dims, out) = (input.dims, conv.output(input.dims));
    let filter = Filter::new(conv, Pass::Backward);
    let operator = Backward {
        conv,
        input,
        out,
        prepared: Prepared::new(&input.transform, conv.inputs),
        copy: Prepared::new(&Transform::default(), conv.outputs),
        weights: filter.pack(weight),
        filter,
        g,
    };
    let mut x = Vec::new();
    let rows = rows_of_task(dims);
    let (sums, weights): (Vec<Sums>, Vec<Vec<f64>>) =
        scratch::fill(&mut x, scratch::pieces(dims.elements(), rows * dims.row()), |i, _, gx| {
            let mut sums = Sums::new(conv.inputs);
            let task = BackwardTask { operator: &operator, first: i * rows, gx, sums: &mut sums };
            let weight = simd::dispatch(task);
            (sums, weight)
        })
        .into_iter()
        .unzip();
    let mut gradients = ConvGradients::default();
    if mask.weight {
        let packed = sum_of_tasks(&weights, operator.weights.len());
        gradients.weight = operator.filter.unpack(&packed, weight.len());
    }
    if mask.input {
        (gradients.x, gradients.transform) = operator.prepared.conclude(input.x, x, &sums);
    }
    gradients
}

/// Rows that a task takes, counted through all images: fixed by the size, never by the number of threads.
fn rows_of_task(dims: Dims) -> usize {
    match dims.batch {
        // Few images: parts of them, not so thin that the rows around them cost much.
        0..8 => (dims.batch * dims.height).div_ceil(8).max(4),
        // Many: several to a task, so that adding up the sums of the tasks costs little.
        _ => dims.height.max(1) * images_of_task(dims.batch),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    Backward,
}

/// One number of the filter for each channel.
#[derive(Debug, Clone, Copy)]
struct Tap {
    /// How far the channels of a group are turned round.
    turn: usize,
    row: usize,
    column: usize,
}

/// Taps that meet neighbouring pixels of one row of the ring; neighbours are a stride apart in the forward
/// pass.
#[derive(Debug, Clone, Copy)]
struct Strip {
    turn: usize,
    row: usize,
    /// The columns, modulo the stride.
    phase: usize,
    /// The column of the ring that the first tap meets, beyond that of the pixel the sum is for.
    offset: usize,
    /// The first tap.
    tap: usize,
    /// How many there are.
    length: usize,
}

/// The taps in the order in which they are used.
#[derive(Debug)]
struct Filter {
    conv: Conv,
    pass: Pass,
    strips: Vec<Strip>,
    taps: Vec<Tap>,
}

impl Filter {
    fn new(conv: &Conv, pass: Pass) -> Self {
        let [height, width] = conv.kernel;
        let mut filter = Self { conv: *conv, pass, strips: Vec::new(), taps: Vec::new() };
        for turn in 0..conv.inputs / conv.groups {
            for row in 0..height {
                for phase in 0..conv.stride.min(width) {
                    let mut columns: Vec<usize> = (phase..width).step_by(conv.stride).collect();
                    if pass == Pass::Backward {
                        columns.reverse();
                    }
                    for columns in columns.chunks(STRIP) {
                        let offset = match pass {
                            Pass::Forward => columns[0],
                            Pass::Backward => reach(conv) - columns[0] / conv.stride,
                        };
                        let (tap, length) = (filter.taps.len(), columns.len());
                        filter.strips.push(Strip { turn, row, phase, offset, tap, length });
                        filter.taps.extend(columns.iter().map(|column| Tap { turn, row, column: *column }));
                    }
                }
            }
        }
        filter
    }

    /// Where the number of a tap is in the weight: `channel` is the output in the forward pass, the input in
    /// the backward pass.
    fn index(&self, tap: &Tap, channel: usize) -> usize {
        let size = self.conv.inputs / self.conv.groups;
        let place = channel % size;
        let other = (place + tap.turn) % size;
        let (output, input) = match self.pass {
            Pass::Forward => (channel, other),
            Pass::Backward => (channel - place + other, place),
        };
        ((output * size + input) * self.conv.kernel[0] + tap.row) * self.conv.kernel[1] + tap.column
    }

    /// From the shape of the weight to `[taps, pitch]`.
    fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let pitch = pitch(self.conv.inputs);
        let mut packed = vec![0.0; self.taps.len() * pitch];
        for (tap, packed) in self.taps.iter().zip(packed.chunks_exact_mut(pitch.max(1))) {
            (0..self.conv.inputs).for_each(|channel| packed[channel] = weight[self.index(tap, channel)]);
        }
        packed
    }

    /// From `[taps, pitch]` to the shape of the weight, of `length` numbers.
    fn unpack(&self, packed: &[f32], length: usize) -> Vec<f32> {
        let mut weight = vec![0.0; length];
        for (tap, packed) in self.taps.iter().zip(packed.chunks_exact(pitch(self.conv.inputs).max(1))) {
            (0..self.conv.inputs).for_each(|channel| weight[self.index(tap, channel)] = packed[channel]);
        }
        weight
    }
}

/// Outputs in a row that see one input pixel, less one: the zeros to the left of the gradients.
fn reach(conv: &Conv) -> usize {
    (conv.kernel[1] - 1) / conv.stride
}

/// The rows in use, each with its copies whose channels are turned round.
struct Ring {
    numbers: Vec<f32>,
    /// Rows that fit.
    slots: usize,
    /// Copies of a row: the channels of a group.
    turns: usize,
    /// Numbers of a row.
    length: usize,
    /// The row after the last one loaded.
    next: usize,
}

impl Ring {
    fn new(conv: &Conv, slots: usize, width: usize) -> Self {
        let (turns, length) = (conv.inputs / conv.groups, width * pitch(conv.inputs));
        Self { numbers: vec![0.0; slots * turns * length], slots, turns, length, next: 0 }
    }

    /// Those of the rows needed, of the same image and no higher than before, that are to be loaded.
    fn missing(&mut self, needed: Range<usize>) -> Range<usize> {
        let missing = self.next.max(needed.start)..needed.end.max(self.next);
        self.next = missing.end;
        missing
    }

    fn start(&self, row: usize, turn: usize) -> usize {
        ((row % self.slots) * self.turns + turn) * self.length
    }

    fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let start = self.start(row, 0);
        &mut self.numbers[start..][..self.length]
    }

    /// Makes the copies of a row.
    #[inline(always)]
    fn turn(&mut self, row: usize, channels: usize) {
        if self.turns == 1 {
            return;
        }
        let (start, turns, pitch) = (self.start(row, 0), self.turns, pitch(channels));
        let (row, copies) = self.numbers[start..][..turns * self.length].split_at_mut(self.length);
        if turns == 2 {
            // A pixel is a whole number of pairs, and so are the zeros beyond its channels.
            for (copy, row) in copies.as_chunks_mut::<2>().0.iter_mut().zip(row.as_chunks::<2>().0) {
                *copy = [row[1], row[0]];
            }
            return;
        }
        for (turn, copy) in copies.chunks_exact_mut(self.length).enumerate() {
            for (copy, row) in copy.chunks_exact_mut(pitch).zip(row.chunks_exact(pitch)) {
                let groups = copy[..channels].chunks_exact_mut(turns).zip(row.chunks_exact(turns));
                for (copy, row) in groups {
                    let (left, right) = row.split_at(turn + 1);
                    copy[..right.len()].copy_from_slice(right);
                    copy[right.len()..].copy_from_slice(left);
                }
            }
        }
    }
}

/// A strip whose row is inside the map.
#[derive(Clone, Copy)]
struct Active {
    /// Where its first pixel is in the ring, in vectors.
    start: usize,
    /// Where its first tap is, in vectors.
    tap: usize,
    length: usize,
}

/// Calls `$call::<N>` for tiles of `N` ≤ `$most` ≤ 8 pixels, as equal as possible, that make up `$pixels`.
macro_rules! tiles {
    ($pixels:expr, $most:expr, |$first:ident, $n:ident| $call:expr) => {{
        let (pixels, most): (usize, usize) = ($pixels, $most);
        let count = pixels.div_ceil(most);
        for i in 0..count {
            let $first = i * pixels / count;
            let length = (i + 1) * pixels / count - $first;
            macro_rules! of_length {
                ($literal:literal) => {{
                    const $n: usize = $literal;
                    $call
                }};
            }
            match length {
                1 => of_length!(1),
                2 => of_length!(2),
                3 => of_length!(3),
                4 => of_length!(4),
                5 if most > 4 => of_length!(5),
                6 if most > 4 => of_length!(6),
                7 if most > 4 => of_length!(7),
                8 if most > 4 => of_length!(8),
                _ => unreachable!("tiles are at most 8 pixels long"),
            }
        }
    }};
}

struct Forward<'a> {
    filter: &'a Filter,
    x: &'a [f32],
    dims: Dims,
    out: Dims,
    prepared: &'a Prepared,
    weights: &'a [f32],
    bias: Vec<f32>,
    slope: Option<Vec<f32>>,
}

struct ForwardTask<'a> {
    operator: &'a Forward<'a>,
    /// The first row, counted through all images.
    first: usize,
    y: &'a mut [f32],
    spread: Option<&'a mut Spread>,
}

impl WithSimd for ForwardTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Forward { filter, x, dims, out, prepared, .. } = *self.operator;
        let conv = &filter.conv;
        let pitch = pitch(conv.inputs);
        let vectors = pitch / S::F32_LANES;
        let mut ring = Ring::new(conv, conv.kernel[0], dims.width + 2 * conv.padding);
        let mut active = Vec::with_capacity(filter.strips.len());
        let mut spread = self.spread;
        let block = BLOCK.div_ceil(out.width);
        for (i, y) in self.y.chunks_mut(block * out.row()).enumerate() {
            for (j, y) in y.chunks_exact_mut(out.row()).enumerate() {
                let row = self.first + i * block + j;
                let (image, row) = (row / out.height, row % out.height);
                if row == 0 {
                    ring.next = 0;
                }
                let top = row * conv.stride;
                let inside = |row: usize| row.saturating_sub(conv.padding).min(dims.height);
                for row in ring.missing(inside(top)..inside(top + conv.kernel[0])) {
                    let x = &x[image * dims.image() + row * dims.row()..][..dims.row()];
                    prepared.apply(simd, x, &mut ring.row_mut(row)[conv.padding * pitch..], pitch);
                    ring.turn(row, conv.inputs);
                }
                active.clear();
                active.extend(filter.strips.iter().filter_map(|strip| {
                    let row = (top + strip.row).checked_sub(conv.padding).filter(|row| *row < dims.height)?;
                    Some(Active {
                        start: ring.start(row, strip.turn) / S::F32_LANES + strip.offset * vectors,
                        tap: strip.tap * vectors,
                        length: strip.length,
                    })
                }));
                self.operator.row(simd, &ring, &active, y);
            }
            if let Some(spread) = &mut spread {
                spread.add(simd, y);
            }
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, ring: &Ring, active: &[Active], y: &mut [f32]) {
        let ring = S::as_simd_f32s(&ring.numbers).0;
        tiles!(self.out.width, 8, |first, N| self.tile::<S, N>(simd, ring, active, first, y));
    }

    /// `N` outputs from column `first` on.
    #[inline(always)]
    fn tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        ring: &[S::f32s],
        active: &[Active],
        first: usize,
        y: &mut [f32],
    ) {
        let (channels, lanes) = (self.out.channels, S::F32_LANES);
        let vectors = pitch(channels) / lanes;
        let step = self.filter.conv.stride * vectors;
        let weights = S::as_simd_f32s(self.weights).0;
        let bias = S::as_simd_f32s(&self.bias).0;
        let slope = self.slope.as_ref().map(|slope| S::as_simd_f32s(slope).0);
        for vector in 0..channels.div_ceil(lanes) {
            let mut sums = [bias[vector]; N];
            for strip in active {
                let row = &ring[strip.start + first * step + vector..];
                let taps = &weights[strip.tap + vector..];
                match strip.length {
                    1 => multiply::<S, N, 1>(simd, row, step, taps, vectors, &mut sums),
                    2 => multiply::<S, N, 2>(simd, row, step, taps, vectors, &mut sums),
                    _ => multiply::<S, N, 3>(simd, row, step, taps, vectors, &mut sums),
                }
            }
            if let Some(slope) = slope {
                sums.iter_mut().for_each(|sum| *sum = prelu(simd, *sum, slope[vector]));
            }
            for (n, sum) in sums.into_iter().enumerate() {
                store(simd, &mut y[(first + n) * channels..][..channels], vector, sum);
            }
        }
    }
}

/// `sums[n] += Σ row[n + k]·taps[k]` over `K` taps; the row goes in steps of `step`, the taps of `vectors`.
#[inline(always)]
fn multiply<S: Simd, const N: usize, const K: usize>(
    simd: S,
    row: &[S::f32s],
    step: usize,
    taps: &[S::f32s],
    vectors: usize,
    sums: &mut [S::f32s; N],
) {
    let mut weights = [simd.splat_f32s(0.0); K];
    for (k, weight) in weights.iter_mut().enumerate() {
        *weight = taps[k * vectors];
    }
    for i in 0..N + K - 1 {
        let value = row[i * step];
        for k in 0..K {
            if i >= k && i - k < N {
                sums[i - k] = fma(simd, value, weights[k], sums[i - k]);
            }
        }
    }
}

struct Backward<'a> {
    conv: &'a Conv,
    input: Input<'a>,
    out: Dims,
    prepared: Prepared,
    /// What brings gradients into the ring.
    copy: Prepared,
    filter: Filter,
    weights: Vec<f32>,
    g: &'a [f32],
}

/// Gives the gradient of the weight, packed.
struct BackwardTask<'a> {
    operator: &'a Backward<'a>,
    /// The first row of the input, counted through all images.
    first: usize,
    gx: &'a mut [f32],
    sums: &'a mut Sums,
}

impl WithSimd for BackwardTask<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
        let Backward { conv, input, out, g, .. } = *self.operator;
        let Backward { prepared, copy, filter, weights, .. } = self.operator;
        let (pitch, dims) = (pitch(conv.inputs), input.dims);
        let vectors = pitch / S::F32_LANES;
        let left = reach(conv);
        let right = ((dims.width + conv.padding).saturating_sub(1) / conv.stride + 1).max(out.width);
        let mut ring = Ring::new(conv, (conv.kernel[0] - 1) / conv.stride + 1, left + right);
        let mut active = Vec::with_capacity(filter.strips.len());
        let mut z = vec![0.0; dims.width * pitch];
        let (mut part, mut total) = (vec![0.0; weights.len()], vec![0.0f64; weights.len()]);
        let mut summed = 0;
        let block = BLOCK.div_ceil(dims.width);
        for (i, gx) in self.gx.chunks_mut(block * dims.row()).enumerate() {
            let first = self.first + i * block;
            let x = &input.x[first * dims.row()..][..gx.len()];
            for (j, gx) in gx.chunks_exact_mut(dims.row()).enumerate() {
                let (image, row) = ((first + j) / dims.height, (first + j) % dims.height);
                if row == 0 {
                    ring.next = 0;
                }
                let row = row + conv.padding;
                let top = (row + 1).saturating_sub(conv.kernel[0]).div_ceil(conv.stride);
                let bottom = (row / conv.stride + 1).min(out.height);
                for row in ring.missing(top.min(bottom)..bottom) {
                    let g = &g[image * out.image() + row * out.row()..][..out.row()];
                    copy.apply(simd, g, &mut ring.row_mut(row)[left * pitch..], pitch);
                    ring.turn(row, conv.outputs);
                }
                prepared.apply(simd, &x[j * dims.row()..][..dims.row()], &mut z, pitch);
                for phase in 0..conv.stride {
                    active.clear();
                    active.extend(filter.strips.iter().filter(|strip| strip.phase == phase).filter_map(
                        |strip| {
                            let row = row.checked_sub(strip.row).filter(|row| row % conv.stride == 0)?;
                            let row = row / conv.stride;
                            (row < out.height).then(|| Active {
                                start: ring.start(row, strip.turn) / S::F32_LANES + strip.offset * vectors,
                                tap: strip.tap * vectors,
                                length: strip.length,
                            })
                        },
                    ));
                    self.operator.row(simd, &ring, &active, phase, &z, gx, &mut part);
                }
                summed += dims.width;
                if summed >= SUMMED {
                    summed = 0;
                    flush(&mut part, &mut total);
                }
            }
            prepared.backward(simd, x, gx, self.sums);
        }
        flush(&mut part, &mut total);
        total
    }
}

#[inline(always)]
fn flush(part: &mut [f32], total: &mut [f64]) {
    for (part, total) in part.iter_mut().zip(total) {
        *total += f64::from(*part);
        *part = 0.0;
    }
}

impl Backward<'_> {
    /// The pixels of a row whose column in the padded input is `phase` modulo the stride.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the buffers of one task")]
    fn row<S: Simd>(
        &self,
        simd: S,
        ring: &Ring,
        active: &[Active],
        phase: usize,
        z: &[f32],
        gx: &mut [f32],
        part: &mut [f32],
    ) {
        let Conv { stride, padding, .. } = *self.conv;
        // The first such column, in the padded input: stride·`at` + phase.
        let at = padding.saturating_sub(phase).div_ceil(stride);
        let column = at * stride + phase - padding;
        let pixels = self.input.dims.width.saturating_sub(column).div_ceil(stride);
        let row = Row {
            ring: S::as_simd_f32s(&ring.numbers).0,
            active,
            z: S::as_simd_f32s(z).0,
            weights: S::as_simd_f32s(&self.weights).0,
            stride,
        };
        let part = S::as_mut_simd_f32s(part).0;
        let channels = self.conv.inputs;
        let most = if S::REGISTER_COUNT >= 32 { 8 } else { 4 };
        tiles!(pixels, most, |first, N| row.tile::<S, N>(
            simd,
            channels,
            at + first,
            column + first * stride,
            gx,
            part
        ));
    }
}

struct Row<'a, V> {
    ring: &'a [V],
    active: &'a [Active],
    z: &'a [V],
    weights: &'a [V],
    stride: usize,
}

impl<V> Row<'_, V> {
    /// `N` inputs from column `column` on, whose outputs are from column `at` of the ring on.
    #[inline(always)]
    fn tile<S: Simd<f32s = V>, const N: usize>(
        &self,
        simd: S,
        channels: usize,
        at: usize,
        column: usize,
        gx: &mut [f32],
        part: &mut [V],
    ) where
        V: Copy,
    {
        let vectors = pitch(channels) / S::F32_LANES;
        for vector in 0..channels.div_ceil(S::F32_LANES) {
            let mut z = [simd.splat_f32s(0.0); N];
            for (n, z) in z.iter_mut().enumerate() {
                *z = self.z[(column + n * self.stride) * vectors + vector];
            }
            let mut sums = [simd.splat_f32s(0.0); N];
            for strip in self.active {
                let row = &self.ring[strip.start + at * vectors + vector..];
                let taps = &self.weights[strip.tap + vector..];
                let part = &mut part[strip.tap + vector..];
                match strip.length {
                    1 => multiply_back::<S, N, 1>(simd, row, taps, vectors, &z, &mut sums, part),
                    2 => multiply_back::<S, N, 2>(simd, row, taps, vectors, &z, &mut sums, part),
                    _ => multiply_back::<S, N, 3>(simd, row, taps, vectors, &z, &mut sums, part),
                }
            }
            for (n, sum) in sums.into_iter().enumerate() {
                let pixel = &mut gx[(column + n * self.stride) * channels..][..channels];
                store(simd, pixel, vector, sum);
            }
        }
    }
}

/// `sums[n] += Σ row[n + k]·taps[k]` and `part[k] += Σ row[n + k]·z[n]`, all in steps of `vectors`.
#[inline(always)]
fn multiply_back<S: Simd, const N: usize, const K: usize>(
    simd: S,
    row: &[S::f32s],
    taps: &[S::f32s],
    vectors: usize,
    z: &[S::f32s; N],
    sums: &mut [S::f32s; N],
    part: &mut [S::f32s],
) {
    let mut weights = [simd.splat_f32s(0.0); K];
    let mut parts = [simd.splat_f32s(0.0); K];
    for k in 0..K {
        weights[k] = taps[k * vectors];
        parts[k] = part[k * vectors];
    }
    for i in 0..N + K - 1 {
        let value = row[i * vectors];
        for k in 0..K {
            if i >= k && i - k < N {
                sums[i - k] = fma(simd, value, weights[k], sums[i - k]);
                parts[k] = fma(simd, value, z[i - k], parts[k]);
            }
        }
    }
    for k in 0..K {
        part[k * vectors] = parts[k];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conv,
        tests::{check_conv, noise, on_each_isa},
    };

    fn convolution(channels: usize, group: usize, kernel: [usize; 2], stride: usize, padding: usize) -> Conv {
        Conv { inputs: channels, outputs: channels, kernel, stride, padding, groups: channels / group }
    }

    fn check(conv: Conv, [batch, height, width]: [usize; 3]) {
        assert!(applies(&conv));
        check_conv(conv, Dims { batch, height, width, channels: conv.inputs }, 2e-5);
    }

    #[test]
    fn depthwise_is_that_of_the_reference() {
        for channels in [1, 5, 16, 40] {
            for stride in 1..=3 {
                let conv = convolution(channels, 1, [3, 3], stride, 1);
                [[1, 9, 11], [2, 7, 1], [1, 1, 6], [1, 1, 1]].into_iter().for_each(|map| check(conv, map));
            }
        }
        check(convolution(16, 1, [3, 3], 1, 1), [9, 19, 17]);
        // Long enough for sums to go from f32 to f64 within a task.
        check(convolution(3, 1, [3, 3], 2, 1), [33, 17, 19]);
    }

    #[test]
    fn any_filter_stride_and_padding() {
        for kernel in [[1, 1], [5, 3], [2, 7], [1, 4]] {
            for (stride, padding) in [(1, 0), (1, 2), (2, 0), (2, 3), (4, 1), (3, 6)] {
                check(convolution(5, 1, kernel, stride, padding), [2, 8, 9]);
            }
        }
    }

    #[test]
    fn groups_of_several_channels() {
        for (channels, group) in [(2, 2), (6, 2), (34, 2), (32, 2), (9, 3), (40, 4)] {
            for stride in 1..=3 {
                check(convolution(channels, group, [3, 3], stride, 1), [2, 7, 10]);
            }
        }
    }

    #[test]
    fn filters_as_large_as_the_map() {
        for channels in [1, 5, 16, 40] {
            check(convolution(channels, 1, [7, 7], 1, 0), [3, 7, 7]);
            check(convolution(channels, 1, [2, 5], 2, 0), [1, 2, 5]);
        }
        check(convolution(6, 2, [3, 4], 1, 0), [2, 3, 4]);
        check(convolution(16, 1, [7, 7], 1, 0), [70, 7, 7]);
    }

    /// A NaN reaches the outputs that see it, the gradients of what they see, and no other image.
    #[test]
    fn nan_passes() {
        for conv in [
            convolution(6, 1, [3, 3], 1, 1),
            convolution(6, 2, [3, 3], 1, 1),
            convolution(6, 1, [5, 5], 1, 0),
        ] {
            let dims = Dims { batch: 2, height: 5, width: 5, channels: 6 };
            let out = conv.output(dims);
            let (weight, slope) = (noise(conv.weights(), 1), noise(6, 2));
            let transform = Transform { norm: None, slope: Some(&slope) };
            let centre = (2 * 5 + 2) * 6 + 3;
            let (mut x, mut g) = (noise(dims.elements(), 3), noise(out.elements(), 4));
            let mask = GradientMask { input: true, weight: true, bias: true };
            x[centre] = f32::NAN;
            on_each_isa(|_| {
                let input = Input { x: &x, dims, transform };
                let output = conv::forward(&conv, input, &weight, None, true);
                let nans = output.y.iter().filter(|y| y.is_nan()).count();
                let seen = if out.width == 1 { 1 } else { 9 };
                assert_eq!(nans, seen * conv.inputs / conv.groups);
                assert!(output.y[out.image()..].iter().all(|y| y.is_finite()));
                assert!(output.moments.unwrap().mean[3].is_nan());
                let gradients = conv::backward(&conv, input, &weight, &g, mask);
                assert!(gradients.weight.iter().any(|g| g.is_nan()));
                assert!(gradients.transform.slope[3].is_nan());
            });
            x[centre] = 1.0;
            g[3] = f32::NAN;
            on_each_isa(|_| {
                let gradients = conv::backward(&conv, Input { x: &x, dims, transform }, &weight, &g, mask);
                assert!(gradients.x[3].is_nan() && gradients.bias[3].is_nan());
                assert!(gradients.weight.iter().any(|g| g.is_nan()));
                assert!(gradients.x[dims.image()..].iter().all(|g| g.is_finite()));
            });
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        for (conv, batch) in [
            (convolution(20, 1, [3, 3], 1, 1), 1),
            (convolution(20, 2, [3, 3], 2, 1), 3),
            (convolution(20, 1, [12, 12], 1, 0), 40),
        ] {
            let dims = Dims { batch, height: 12, width: 12, channels: 20 };
            let (x, weight) = (noise(dims.elements(), 1), noise(conv.weights(), 2));
            let g = noise(conv.output(dims).elements(), 3);
            let input = Input { x: &x, dims, transform: Transform::default() };
            let mask = GradientMask { input: true, weight: true, bias: true };
            on_each_isa(|_| {
                let run = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| {
                        let forward = conv::forward(&conv, input, &weight, None, true);
                        (forward, conv::backward(&conv, input, &weight, &g, mask))
                    })
                };
                assert_eq!(run(1), run(3));
            });
        }
    }
}
