//! Separable resampling: resizing, shifting, zooming, flipping and blurring are all one table of weights
//! per axis.

use std::{ops::Range, slice::ChunksExact};

use crate::{
    Picture,
    lanes::{Lanes, Work, run},
};

/// The kernel of a resampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kernel {
    /// The nearest pixel, without smoothing: what careless thumbnails are made with.
    Nearest,
    /// The mean over the area of a new pixel.
    Area,
    /// A triangle: bilinear, as wide as a new pixel when shrinking.
    Triangle,
    /// Catmull and Rom's cubic (a = −1/2), as wide as a new pixel when shrinking.
    Cubic,
}

impl Kernel {
    pub const ALL: [Self; 4] = [Self::Nearest, Self::Area, Self::Triangle, Self::Cubic];

    /// Half its width for new pixels of the size of the old.
    #[inline(always)]
    fn support(self) -> f32 {
        match self {
            Self::Nearest | Self::Area => 0.5,
            Self::Triangle => 1.0,
            Self::Cubic => 2.0,
        }
    }

    /// Its value `distance` pixels from the centre when it is `width` times as wide.
    #[inline(always)]
    fn weight(self, distance: f32, width: f32) -> f32 {
        let x = distance / width;
        match self {
            Self::Nearest => 1.0,
            // What the old pixel and the new have in common.
            Self::Area => ((width + 1.0) / 2.0 - distance).clamp(0.0, 1.0),
            Self::Triangle => (1.0 - x).max(0.0),
            Self::Cubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Cubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Cubic => 0.0,
        }
    }
}

/// A part of a picture, in pixels from its top left corner. It may reach beyond the edges, where the
/// pixels at the edge go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    pub left: f32,
    pub top: f32,
    pub width: f32,
    pub height: f32,
}

impl Window {
    /// All of `picture`.
    pub fn whole(picture: &Picture) -> Self {
        Self { left: 0.0, top: 0.0, width: picture.width() as f32, height: picture.height() as f32 }
    }

    /// The largest centred part of `picture` that has the proportions of `size` (height, width).
    pub fn fitting(picture: &Picture, [height, width]: [usize; 2]) -> Self {
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        let scale = (w / width as f32).min(h / height as f32);
        let (fit_w, fit_h) = (width as f32 * scale, height as f32 * scale);
        Self { left: (w - fit_w) / 2.0, top: (h - fit_h) / 2.0, width: fit_w, height: fit_h }
    }
}

/// `window` of `picture` as a picture of `size` (height, width), mirrored left to right if `flip`.
pub(crate) fn resample(
    picture: Picture,
    window: Window,
    size: [usize; 2],
    kernel: Kernel,
    flip: bool,
) -> Picture {
    if is_whole(&picture, window, size) && !flip {
        return picture;
    }
    let [height, width] = size;
    let mut pixels = vec![0; height * width * 3];
    resample_to(&picture, window, size, kernel, flip, &mut pixels);
    Picture::new(width, height, pixels)
}

/// As [`resample`], into `pixels`, `[height, width, 3]`.
pub(crate) fn resample_to(
    picture: &Picture,
    window: Window,
    size: [usize; 2],
    kernel: Kernel,
    flip: bool,
    pixels: &mut [u8],
) {
    if is_whole(picture, window, size) {
        match flip {
            true => mirror(picture, pixels),
            false => pixels.copy_from_slice(picture.pixels()),
        }
        return;
    }
    run(Resampling { picture, window, size, kernel, flip, pixels });
}

/// Whether each pixel of the result is one of the picture.
fn is_whole(picture: &Picture, window: Window, size: [usize; 2]) -> bool {
    window == Window::whole(picture) && [picture.height(), picture.width()] == size
}

/// Writes `picture` from right to left into `pixels`.
fn mirror(picture: &Picture, pixels: &mut [u8]) {
    let stride = picture.width() * 3;
    for (target, source) in pixels.chunks_exact_mut(stride).zip(picture.pixels().chunks_exact(stride)) {
        let targets = target.as_chunks_mut::<3>().0.iter_mut();
        targets.zip(source.as_chunks::<3>().0.iter().rev()).for_each(|(target, source)| *target = *source);
    }
}

/// `picture` under a Gaussian of standard deviation `sigma` pixels, cut off at three of them, into `pixels`, which
/// are as many.
pub(crate) fn gaussian_blur(picture: &Picture, sigma: f32, pixels: &mut [u8]) {
    run(Blur { picture, sigma, pixels });
}

struct Resampling<'a> {
    picture: &'a Picture,
    window: Window,
    size: [usize; 2],
    kernel: Kernel,
    flip: bool,
    pixels: &'a mut [u8],
}

impl Work for Resampling<'_> {
    type Output = ();

    #[inline(always)]
    fn compute<L: Lanes>(self, lanes: L) {
        let Self { picture, window, size: [height, width], kernel, flip, pixels } = self;
        let rows = Taps::window(window.top, window.height, picture.height(), height, kernel);
        let mut columns = Taps::window(window.left, window.width, picture.width(), width, kernel);
        if flip {
            columns.reverse();
        }
        convolve(lanes, picture, &rows, &columns, pixels);
    }
}

struct Blur<'a> {
    picture: &'a Picture,
    sigma: f32,
    pixels: &'a mut [u8],
}

impl Work for Blur<'_> {
    type Output = ();

    #[inline(always)]
    fn compute<L: Lanes>(self, _: L) {
        let Self { picture, sigma, pixels } = self;
        let reach = (3.0 * sigma).ceil() as usize;
        let distances = (0..2 * reach + 1).map(|place| place.abs_diff(reach) as f32);
        let mut weights: Vec<f32> = distances.map(|x| (-0.5 * (x / sigma).powi(2)).exp()).collect();
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        let (stride, last) = (picture.width() * 3, picture.height() - 1);
        // Beyond the edge the pixel at the edge goes on.
        let mut mixed = vec![0.0; stride + 6 * reach];
        for (y, target) in pixels.chunks_exact_mut(stride).enumerate() {
            let rows = (0..weights.len()).map(|k| (y + k).saturating_sub(reach).min(last) * stride);
            let inner = &mut mixed[3 * reach..][..stride];
            mix_many_rows(rows.map(|begin| &picture.pixels()[begin..][..stride]), &weights, inner);
            let [left, right] = [0, stride - 3].map(|at| [inner[at], inner[at + 1], inner[at + 2]]);
            mixed[..3 * reach].as_chunks_mut().0.fill(left);
            mixed[3 * reach + stride..].as_chunks_mut().0.fill(right);
            slide(&mixed, &weights, target);
        }
    }
}

/// For each pixel along one axis of the result: which pixels of the source it is made of, by what weights.
struct Taps {
    /// The first source pixel of each.
    first: Vec<usize>,
    /// `count` weights of each, which sum to 1; where fewer are needed, the others are 0.
    weights: Vec<f32>,
    count: usize,
}

impl Taps {
    #[inline(always)]
    fn window(start: f32, extent: f32, source: usize, target: usize, kernel: Kernel) -> Self {
        let scale = extent / target as f32;
        // When shrinking, a kernel as wide as the new pixels keeps what they cannot show from aliasing.
        let width = if kernel == Kernel::Nearest { 1.0 } else { scale.max(1.0) };
        Self::new(source, target, |index| {
            let centre = start + (index + 0.5) * scale - 0.5;
            let centre = if kernel == Kernel::Nearest { (centre + 0.5).floor() } else { centre };
            let reach = kernel.support() * width + if kernel == Kernel::Area { 0.5 } else { 0.0 };
            (centre - reach, centre + reach, move |x: f32| kernel.weight((x - centre).abs(), width))
        })
    }

    /// `support` gives, for a target index, the ends of the kernel and the kernel itself, both in source
    /// pixels counted from 0 at the centre of the first.
    #[inline(always)]
    fn new<K: Fn(f32) -> f32>(source: usize, target: usize, support: impl Fn(f32) -> (f32, f32, K)) -> Self {
        // First source pixel and range of `weights` of each pixel.
        let mut spans: Vec<(usize, Range<usize>)> = Vec::with_capacity(target);
        let mut weights = Vec::with_capacity(target * 4);
        let last = source as isize - 1;
        for index in 0..target {
            let (low, high, kernel) = support(index as f32);
            let (low, high) = (low.ceil() as isize, high.floor() as isize);
            let first = low.clamp(0, last) as usize;
            let begin = weights.len();
            weights.resize(begin + high.clamp(0, last) as usize - first + 1, 0.0);
            let own = &mut weights[begin..];
            for x in low..=high {
                // Beyond the edge the pixel at the edge goes on.
                own[x.clamp(0, last) as usize - first] += kernel(x as f32);
            }
            let total: f32 = own.iter().sum();
            own.iter_mut().for_each(|w| *w /= total);
            let leading = own.iter().take_while(|weight| **weight == 0.0).count();
            let trailing = own.iter().rev().take_while(|weight| **weight == 0.0).count();
            spans.push((first + leading, begin + leading..(weights.len() - trailing).max(begin + leading)));
        }
        let count = spans.iter().map(|(_, span)| span.len()).max().unwrap_or(1).max(1);
        let mut taps = Self { first: Vec::with_capacity(target), weights: vec![0.0; target * count], count };
        for ((begin, span), even) in spans.into_iter().zip(taps.weights.chunks_exact_mut(count)) {
            let first = begin.min(source - count);
            even[begin - first..][..span.len()].copy_from_slice(&weights[span]);
            taps.first.push(first);
        }
        taps
    }

    /// The weights of each pixel.
    fn all(&self) -> ChunksExact<'_, f32> {
        self.weights.chunks_exact(self.count)
    }

    fn reverse(&mut self) {
        self.first.reverse();
        // Of each pixel the weights keep their order.
        self.weights.reverse();
        self.weights.chunks_exact_mut(self.count).for_each(<[f32]>::reverse);
    }
}

/// The pixels that `rows` and `columns` make of `picture`.
#[inline(always)]
fn convolve<L: Lanes>(lanes: L, picture: &Picture, rows: &Taps, columns: &Taps, pixels: &mut [u8]) {
    let stride = picture.width() * 3;
    // One row is finished at a time, so that what is between the two passes stays in the cache. Pixels are read as
    // four values, so there is one more.
    let mut mixed = vec![0.0; stride + 1];
    let columns = Columns::new(columns);
    let targets = pixels.chunks_exact_mut(columns.width * 3);
    for ((target, weights), first) in targets.zip(rows.all()).zip(&rows.first) {
        let (sources, mix) = (&picture.pixels()[first * stride..], &mut mixed[..stride]);
        match rows.count {
            1 => mix_rows::<1>(sources, weights, mix),
            2 => mix_rows::<2>(sources, weights, mix),
            3 => mix_rows::<3>(sources, weights, mix),
            4 => mix_rows::<4>(sources, weights, mix),
            _ => mix_many_rows(sources.chunks_exact(stride), weights, mix),
        }
        match columns.count {
            1 => columns.mix::<L, 1, 4>(lanes, &mixed, target),
            2 => columns.mix::<L, 2, 7>(lanes, &mixed, target),
            3 => columns.mix::<L, 3, 10>(lanes, &mixed, target),
            4 => columns.mix::<L, 4, 13>(lanes, &mixed, target),
            _ => columns.mix_many(lanes, &mixed, target),
        }
    }
}

/// The sum of the `COUNT` rows that `sources` begins with, by their weights.
#[inline(always)]
fn mix_rows<const COUNT: usize>(sources: &[u8], weights: &[f32], mixed: &mut [f32]) {
    let stride = mixed.len();
    let Some(weights) = weights.first_chunk::<COUNT>() else { return };
    let sources: [&[u8]; COUNT] = std::array::from_fn(|k| &sources[k * stride..][..stride]);
    for (i, sum) in mixed.iter_mut().enumerate() {
        *sum = 0.0;
        for k in 0..COUNT {
            *sum += weights[k] * f32::from(sources[k][i]);
        }
    }
}

/// As [`mix_rows`], for any number of rows.
#[inline(always)]
fn mix_many_rows<'a>(mut sources: impl Iterator<Item = &'a [u8]>, weights: &[f32], mixed: &mut [f32]) {
    mixed.fill(0.0);
    let (groups, rest) = weights.as_chunks::<4>();
    // Four at a time, so that sums are written less often.
    for [a, b, c, d] in groups {
        let (Some(p), Some(q), Some(r), Some(s)) =
            (sources.next(), sources.next(), sources.next(), sources.next())
        else {
            return;
        };
        for ((((sum, &p), &q), &r), &s) in mixed.iter_mut().zip(p).zip(q).zip(r).zip(s) {
            let [p, q, r, s] = [f32::from(p), f32::from(q), f32::from(r), f32::from(s)];
            *sum = *sum + a * p + b * q + c * r + d * s;
        }
    }
    for (weight, source) in rest.iter().zip(sources) {
        for (sum, &value) in mixed.iter_mut().zip(source) {
            *sum += weight * f32::from(value);
        }
    }
}

/// The row of pixels that the same `weights` make of `mixed` everywhere, the first of them at its beginning.
#[inline(always)]
fn slide(mixed: &[f32], weights: &[f32], target: &mut [u8]) {
    const LANES: usize = 32;
    let (blocks, rest) = target.as_chunks_mut::<LANES>();
    let begin_of_rest = blocks.len() * LANES;
    for (block, values) in
        blocks.iter_mut().zip(mixed.chunks(LANES).enumerate().map(|(i, _)| &mixed[i * LANES..]))
    {
        let mut sums = [0.5; LANES];
        for (weight, values) in weights.iter().zip(values.windows(LANES).step_by(3)) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += weight * value;
            }
        }
        for (byte, sum) in block.iter_mut().zip(sums) {
            *byte = sum as u8;
        }
    }
    for (i, byte) in rest.iter_mut().enumerate() {
        let values = mixed[begin_of_rest + i..].iter().step_by(3);
        *byte = weights.iter().zip(values).fold(0.5, |sum, (weight, value)| sum + weight * value) as u8;
    }
}

/// Pixels of a row that are computed together.
const TOGETHER: usize = 8;

/// The taps of a row, arranged for vectors: of eight pixels, the first and the fifth share one, and so on.
struct Columns {
    /// Where each pixel begins in a row of floating-point numbers, three a pixel; eight of each group.
    begin: Vec<[usize; TOGETHER]>,
    /// Of each group, for each pair, `count` times four copies of the weight of each of the two.
    weights: Vec<[f32; 8]>,
    count: usize,
    width: usize,
}

impl Columns {
    #[inline(always)]
    fn new(taps: &Taps) -> Self {
        let (width, count) = (taps.first.len(), taps.count);
        let mut columns = Self { begin: Vec::new(), weights: Vec::new(), count, width };
        for group in (0..width).step_by(TOGETHER) {
            // Behind the last pixel it is computed again, and dropped.
            let pixel = |i: usize| (group + i).min(width - 1);
            columns.begin.push(std::array::from_fn(|i| taps.first[pixel(i)] * 3));
            for i in 0..4 {
                let pair = [pixel(i), pixel(i + 4)];
                let weights = |k| std::array::from_fn(|lane| taps.weights[pair[lane / 4] * count + k]);
                columns.weights.extend((0..count).map(weights));
            }
        }
        columns
    }

    /// The row of pixels that columns with `COUNT` weights make of `mixed`; `READ` is `3 * COUNT + 1`.
    #[inline(always)]
    fn mix<L: Lanes, const COUNT: usize, const READ: usize>(
        &self,
        lanes: L,
        mixed: &[f32],
        target: &mut [u8],
    ) {
        let (weights, _) = self.weights.as_chunks::<COUNT>();
        for ((group, begin), weights) in self.begin.iter().enumerate().zip(weights.chunks_exact(4)) {
            let mut sums = [lanes.splat_float(0.5); 4];
            for (i, sum) in sums.iter_mut().enumerate() {
                let low = mixed[begin[i]..].first_chunk::<READ>();
                let high = mixed[begin[i + 4]..].first_chunk::<READ>();
                let (Some(low), Some(high)) = (low, high) else { continue };
                for (k, weights) in weights[i].iter().enumerate() {
                    let [low, high] = [low, high].map(|values| values[k * 3..].first_chunk());
                    let (Some(low), Some(high)) = (low, high) else { continue };
                    *sum =
                        lanes.add_product_floats(*sum, lanes.load_floats(weights), lanes.join([low, high]));
                }
            }
            put(lanes.pixels(sums), &mut target[group * TOGETHER * 3..]);
        }
    }

    /// As [`mix`](Self::mix), for any number of weights.
    #[inline(always)]
    fn mix_many<L: Lanes>(&self, lanes: L, mixed: &[f32], target: &mut [u8]) {
        let weights = self.weights.chunks_exact(4 * self.count);
        for ((group, begin), weights) in self.begin.iter().enumerate().zip(weights) {
            let mut sums = [lanes.splat_float(0.5); 4];
            for (i, (sum, weights)) in sums.iter_mut().zip(weights.chunks_exact(self.count)).enumerate() {
                let [low, high] = [begin[i], begin[i + 4]].map(|begin| mixed[begin..].windows(4).step_by(3));
                for ((weights, low), high) in weights.iter().zip(low).zip(high) {
                    let (Some(low), Some(high)) = (low.first_chunk(), high.first_chunk()) else { continue };
                    *sum =
                        lanes.add_product_floats(*sum, lanes.load_floats(weights), lanes.join([low, high]));
                }
            }
            put(lanes.pixels(sums), &mut target[group * TOGETHER * 3..]);
        }
    }
}

/// Puts eight pixels, twelve bytes of each half, at the beginning of `target`, or as many as it has room for.
#[inline(always)]
fn put(halves: [[u8; 16]; 2], target: &mut [u8]) {
    match target.first_chunk_mut::<28>() {
        // What is behind the last pixel is overwritten by the next ones.
        Some(target) => {
            target[..16].copy_from_slice(&halves[0]);
            target[12..].copy_from_slice(&halves[1]);
        }
        None => put_last(halves, target),
    }
}

#[cold]
#[inline(never)]
fn put_last(halves: [[u8; 16]; 2], target: &mut [u8]) {
    let bytes = halves.iter().flat_map(|half| &half[..12]);
    target.iter_mut().zip(bytes).for_each(|(target, byte)| *target = *byte);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Portable;

    fn ramp(width: usize, height: usize) -> Picture {
        let value = |i: usize| ((i % (width * 3)) / 3 * 2 + i / (width * 3) * 3 + i % 3 * 20) as u8;
        Picture::new(width, height, (0..width * height * 3).map(value).collect())
    }

    fn resized(picture: &Picture, size: [usize; 2], kernel: Kernel) -> Picture {
        resample(picture.clone(), Window::whole(picture), size, kernel, false)
    }

    fn cut(picture: &Picture, window: Window, kernel: Kernel) -> Picture {
        resample(picture.clone(), window, [10, 10], kernel, false)
    }

    fn convolved(picture: &Picture, rows: &Taps, columns: &Taps) -> Picture {
        let [height, width] = [rows.first.len(), columns.first.len()];
        let mut pixels = vec![0; height * width * 3];
        convolve(Portable, picture, rows, columns, &mut pixels);
        Picture::new(width, height, pixels)
    }

    fn blurred(picture: &Picture, sigma: f32) -> Picture {
        let mut pixels = vec![0; picture.pixels().len()];
        gaussian_blur(picture, sigma, &mut pixels);
        Picture::new(picture.width(), picture.height(), pixels)
    }

    fn flat(picture: &Picture) -> bool {
        picture.pixels().chunks(3).all(|pixel| pixel == &picture.pixels()[..3])
    }

    #[test]
    fn the_same_size_changes_nothing_but_the_side_when_flipped() {
        let picture = ramp(13, 9);
        let whole = Window::whole(&picture);
        for kernel in Kernel::ALL {
            let taps = |len| Taps::window(0.0, len as f32, len, len, kernel);
            assert_eq!(convolved(&picture, &taps(9), &taps(13)), picture, "{kernel:?}");
        }
        let flipped = resample(picture.clone(), whole, [9, 13], Kernel::Area, true);
        let mut columns = Taps::window(0.0, 13.0, 13, 13, Kernel::Area);
        columns.reverse();
        assert_eq!(convolved(&picture, &Taps::window(0.0, 9.0, 9, 9, Kernel::Area), &columns), flipped);
        assert_eq!(flipped.pixels()[..3], picture.pixels()[36..39]);
        assert_eq!(resample(flipped, whole, [9, 13], Kernel::Area, true), picture);
    }

    #[test]
    fn halving_by_area_is_the_mean_of_four() {
        let picture = ramp(16, 8);
        let half = resized(&picture, [4, 8], Kernel::Area);
        for y in 0..4 {
            for x in 0..8 {
                for c in 0..3 {
                    let at = |dy, dx| u32::from(picture.pixels()[((y * 2 + dy) * 16 + x * 2 + dx) * 3 + c]);
                    let mean = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4;
                    assert_eq!(u32::from(half.pixels()[(y * 8 + x) * 3 + c]), mean);
                }
            }
        }
    }

    #[test]
    fn a_linear_ramp_stays_one_under_every_smooth_kernel() {
        let picture = ramp(40, 40);
        for kernel in [Kernel::Area, Kernel::Triangle, Kernel::Cubic] {
            for size in [23, 71] {
                let scale = 40.0 / size as f32;
                let other = resized(&picture, [size, size], kernel);
                // Away from the edges, where the ramp ends.
                for y in size / 8..size - size / 8 {
                    for x in size / 8..size - size / 8 {
                        let position = |i: usize| (i as f32 + 0.5) * scale - 0.5;
                        let expected = position(x) * 2.0 + position(y) * 3.0;
                        let found = f32::from(other.pixels()[(y * size + x) * 3]);
                        assert!((found - expected).abs() <= 1.1, "{kernel:?} {size}: {found} for {expected}");
                    }
                }
            }
        }
    }

    /// One-pixel stripes have no place in a picture of less than half the size: a kernel that does not
    /// smooth would show false ones.
    #[test]
    fn shrinking_does_not_alias() {
        let stripes = Picture::new(112, 112, (0..112 * 112 * 3).map(|i| (i / 3 % 2 * 255) as u8).collect());
        let spread = |kernel| {
            let small = resized(&stripes, [40, 40], kernel);
            let inner = small.pixels().chunks(40 * 3).flat_map(|row| &row[6..114]);
            inner.clone().max().unwrap() - inner.min().unwrap()
        };
        assert_eq!(spread(Kernel::Nearest), 255);
        assert!(spread(Kernel::Triangle) < 30, "{}", spread(Kernel::Triangle));
        assert!(spread(Kernel::Cubic) < 40, "{}", spread(Kernel::Cubic));
    }

    #[test]
    fn beyond_the_edge_the_edge_goes_on() {
        let picture = ramp(8, 8);
        for kernel in Kernel::ALL {
            let beyond = Window { left: -30.0, top: -30.0, width: 8.0, height: 8.0 };
            let corner = cut(&picture, beyond, kernel);
            assert!(flat(&corner));
            assert_eq!(corner.pixels()[..3], picture.pixels()[..3], "{kernel:?}");
            let beyond = Window { left: 500.0, top: 500.0, width: 80.0, height: 8.0 };
            let corner = cut(&picture, beyond, kernel);
            assert_eq!(corner.pixels()[..3], picture.pixels()[8 * 8 * 3 - 3..], "{kernel:?}");
        }
    }

    #[test]
    fn a_whole_shift_moves_pixels() {
        let picture = ramp(10, 10);
        let shifted = Window { left: 2.0, top: 1.0, width: 10.0, height: 10.0 };
        for kernel in Kernel::ALL {
            let moved = cut(&picture, shifted, kernel);
            for y in 0..9 {
                assert_eq!(
                    moved.pixels()[y * 30..y * 30 + 24],
                    picture.pixels()[(y + 1) * 30 + 6..(y + 2) * 30]
                );
            }
        }
    }

    #[test]
    fn a_single_pixel_fills_any_size() {
        let dot = Picture::new(1, 1, vec![10, 20, 30]);
        for kernel in Kernel::ALL {
            let wide = resample(dot.clone(), Window::fitting(&dot, [3, 7]), [3, 7], kernel, false);
            assert!(flat(&wide) && wide.pixels()[..3] == [10, 20, 30]);
        }
    }

    #[test]
    fn the_window_keeps_proportions() {
        let picture = ramp(112, 112);
        let narrow = Window::fitting(&picture, [112, 96]);
        assert_eq!(narrow, Window { left: 8.0, top: 0.0, width: 96.0, height: 112.0 });
        assert_eq!(Window::fitting(&picture, [64, 64]), Window::whole(&picture));
    }

    #[test]
    fn a_blur_spreads_a_dot_as_a_gaussian() {
        let mut pixels = vec![0; 31 * 31 * 3];
        pixels[(15 * 31 + 15) * 3] = 255;
        let spread = blurred(&Picture::new(31, 31, pixels), 1.0);
        let at = |x: usize, y: usize| f32::from(spread.pixels()[(y * 31 + x) * 3]);
        // 255/(2π) at the centre, e^(-1/2) of it one pixel off.
        assert!((at(15, 15) - 40.6).abs() < 1.0, "{}", at(15, 15));
        assert!((at(16, 15) - 24.6).abs() < 1.0, "{}", at(16, 15));
        assert_eq!(at(15, 17), at(13, 15));
        assert_eq!(spread.pixels().iter().skip(1).step_by(3).max(), Some(&0));
        let grey = Picture::new(5, 4, vec![77; 60]);
        assert_eq!(blurred(&grey, 9.0), grey);
    }

    #[test]
    fn every_processor_gives_the_same_bytes() {
        let picture = ramp(61, 47);
        let window = Window { left: -3.3, top: 2.7, width: 50.1, height: 44.9 };
        for kernel in Kernel::ALL {
            for (size, flip) in [([30, 41], false), ([112, 112], true), ([9, 5], true), ([47, 200], false)] {
                let mut pixels = [vec![0; size[0] * size[1] * 3], vec![0; size[0] * size[1] * 3]];
                let [here, portable] = &mut pixels;
                run(Resampling { picture: &picture, window, size, kernel, flip, pixels: here });
                Resampling { picture: &picture, window, size, kernel, flip, pixels: portable }
                    .compute(Portable);
                assert!(here == portable, "{kernel:?} to {size:?}");
            }
        }
        for sigma in [0.1, 0.9, 2.0, 11.0] {
            let mut portable = vec![0; picture.pixels().len()];
            Blur { picture: &picture, sigma, pixels: &mut portable }.compute(Portable);
            assert_eq!(blurred(&picture, sigma).pixels(), portable);
        }
    }
}
