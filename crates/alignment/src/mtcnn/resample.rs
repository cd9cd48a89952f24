//! Parts of a picture at another size, without aliasing.

use std::ops::Range;

use facegrad_pictures::Picture;

use crate::Rect;

/// What is at the places beyond the edges of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    /// Nothing: the mean is that of what is there.
    Nothing,
    /// Black.
    Black,
}

/// A picture and its halves, quarters and so on, so that shrinking a lot costs no more than shrinking a little.
pub(super) struct Halves<'a> {
    picture: &'a Picture,
    halves: Vec<Picture>,
}

impl<'a> Halves<'a> {
    /// Those of `picture` that are wanted to shrink it `shrink` times.
    pub fn of(picture: &'a Picture, shrink: f32) -> Self {
        let mut halves: Vec<Picture> = Vec::new();
        for _ in 0..halvings(shrink) {
            let last = halves.last().unwrap_or(picture);
            if last.width().max(last.height()) < 2 {
                break;
            }
            halves.push(half(last));
        }
        Self { picture, halves }
    }

    /// `window` at `size` (height, width) as colour values from 0 to 255, `[height, width, 3]`.
    pub fn resample(&self, window: &Rect, [height, width]: [usize; 2], beyond: Beyond) -> Vec<f32> {
        let shrink = (window.width() / width as f32).min(window.height() / height as f32);
        let halvings = halvings(shrink).min(self.halves.len());
        let source = if halvings == 0 { self.picture } else { &self.halves[halvings - 1] };
        let scale = 0.5f32.powi(halvings as i32);
        let axis = |from: f32, to: f32, len, target| Taps::new(from * scale..to * scale, len, target, beyond);
        let rows = axis(window.top, window.bottom, source.height(), height);
        let columns = axis(window.left, window.right, source.width(), width);
        convolve(source, &rows, &columns)
    }
}

/// How often a picture is halved on the way to being shrunk `shrink` times: what is left to the filter is a factor
/// from 2 to 4, at which its shape still tells.
fn halvings(shrink: f32) -> usize {
    // The conversion saturates, and makes 0 of NaN.
    (shrink.log2().floor() as usize).saturating_sub(1)
}

/// The means over blocks of 2 x 2 pixels; at an odd edge, over what there is.
fn half(picture: &Picture) -> Picture {
    let (width, height) = (picture.width().div_ceil(2), picture.height().div_ceil(2));
    let stride = picture.width() * 3;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for rows in picture.pixels().chunks(stride * 2) {
        for x in 0..width {
            let columns = 2.min(picture.width() - x * 2);
            let count = (columns * (rows.len() / stride)) as u32;
            for channel in 0..3 {
                let mut sum = 0u32;
                for row in rows.chunks_exact(stride) {
                    sum += (0..columns).map(|i| u32::from(row[(x * 2 + i) * 3 + channel])).sum::<u32>();
                }
                pixels.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    Picture::new(width, height, pixels)
}

/// For each new pixel along one axis: which old ones it is made of, by what weights.
struct Taps {
    /// First old pixel, and where the weights are.
    spans: Vec<(usize, Range<usize>)>,
    weights: Vec<f32>,
}

impl Taps {
    /// A triangle as wide as two new pixels, or two old ones where these are larger.
    fn new(window: Range<f32>, source: usize, target: usize, beyond: Beyond) -> Self {
        let scale = (window.end - window.start) / target as f32;
        let reach = scale.max(1.0);
        let mut taps = Self { spans: Vec::with_capacity(target), weights: Vec::new() };
        for index in 0..target {
            let centre = window.start + (index as f32 + 0.5) * scale - 0.5;
            let kernel = |x: f32| (1.0 - (x - centre).abs() / reach).max(0.0);
            let (low, high) = ((centre - reach).ceil(), (centre + reach).floor());
            let first = low.max(0.0) as usize;
            let end = ((high + 1.0).max(0.0) as usize).min(source);
            let begin = taps.weights.len();
            taps.weights.extend((first..end).map(|x| kernel(x as f32)));
            let weights = &mut taps.weights[begin..];
            let total: f32 = match beyond {
                Beyond::Nothing => weights.iter().sum(),
                // Also counts what the pixels beyond the edges would weigh.
                Beyond::Black => {
                    let outside = |from: f32, to: f32| {
                        let count = (to - from).max(0.0) as usize;
                        (0..count).map(|i| kernel(from + i as f32)).sum::<f32>()
                    };
                    let inside: f32 = weights.iter().sum();
                    inside
                        + outside(low, 0f32.min(high + 1.0))
                        + outside((source as f32).max(low), high + 1.0)
                }
            };
            weights.iter_mut().for_each(|weight| *weight /= total);
            taps.spans.push((first, begin..taps.weights.len()));
        }
        taps
    }
}

fn convolve(picture: &Picture, rows: &Taps, columns: &Taps) -> Vec<f32> {
    let stride = picture.width() * 3;
    let mut values = Vec::with_capacity(rows.spans.len() * columns.spans.len() * 3);
    // The part of a row that any new pixel wants.
    let inner = columns.spans.iter().filter(|(_, span)| !span.is_empty());
    let from = inner.clone().map(|(first, _)| *first).min().unwrap_or(0);
    let to = inner.map(|(first, span)| first + span.len()).max().unwrap_or(from);
    let mut mixed = vec![0.0; (to - from) * 3];
    for (top, span) in &rows.spans {
        mixed.fill(0.0);
        for (row, weight) in (*top..).zip(&rows.weights[span.clone()]) {
            let source = &picture.pixels()[row * stride + from * 3..row * stride + to * 3];
            for (sum, &value) in mixed.iter_mut().zip(source) {
                *sum += weight * f32::from(value);
            }
        }
        for (first, span) in &columns.spans {
            let mut sum = [0.0; 3];
            for (column, weight) in (*first..).zip(&columns.weights[span.clone()]) {
                let at = (column - from) * 3;
                for (sum, value) in sum.iter_mut().zip(&mixed[at..at + 3]) {
                    *sum += weight * value;
                }
            }
            values.extend(sum);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(left: f32, top: f32, width: f32, height: f32) -> Rect {
        Rect { left, top, right: left + width, bottom: top + height }
    }

    /// Red grows to the right, green downwards.
    fn ramp(width: usize, height: usize) -> Picture {
        let pixel = |i: usize| [(i % width) as u8 * 2, (i / width) as u8 * 3, 100];
        Picture::new(width, height, (0..width * height).flat_map(pixel).collect())
    }

    fn all(picture: &Picture, window: Rect, size: [usize; 2], beyond: Beyond) -> Vec<f32> {
        let shrink = (window.width() / size[1] as f32).min(window.height() / size[0] as f32);
        Halves::of(picture, shrink).resample(&window, size, beyond)
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let picture = ramp(9, 7);
        for beyond in [Beyond::Nothing, Beyond::Black] {
            let values = all(&picture, rect(0.0, 0.0, 9.0, 7.0), [7, 9], beyond);
            assert!(values.iter().zip(picture.pixels()).all(|(a, &b)| *a == f32::from(b)));
        }
        let part = all(&picture, rect(2.0, 3.0, 4.0, 2.0), [2, 4], Beyond::Black);
        assert_eq!(part[..6], [4.0, 9.0, 100.0, 6.0, 9.0, 100.0]);
        assert_eq!(part[12..15], [4.0, 12.0, 100.0]);
    }

    #[test]
    fn a_ramp_stays_a_ramp_at_any_size() {
        let picture = ramp(100, 80);
        for (width, height) in [(50, 40), (30, 20), (17, 23), (7, 5), (100, 160)] {
            let values = all(&picture, rect(0.0, 0.0, 100.0, 80.0), [height, width], Beyond::Nothing);
            for (i, pixel) in values.chunks_exact(3).enumerate() {
                let (x, y) = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
                let expected =
                    [(x * 100.0 / width as f32 - 0.5) * 2.0, (y * 80.0 / height as f32 - 0.5) * 3.0];
                // At the edges the kernel is cut off, and every halving rounds.
                let is_inner = x > 1.0 && y > 1.0 && x < width as f32 - 1.0 && y < height as f32 - 1.0;
                assert!((pixel[2] - 100.0).abs() < 1e-3);
                for (found, expected) in pixel.iter().zip(expected) {
                    assert!(!is_inner || (found - expected).abs() < 0.8, "{width} {i} {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn beyond_the_edges_a_crop_is_black() {
        let white = Picture::new(10, 10, vec![255; 300]);
        let values = all(&white, rect(-5.0, -5.0, 20.0, 20.0), [20, 20], Beyond::Black);
        for (i, pixel) in values.chunks_exact(3).enumerate() {
            let is_inside = (5..15).contains(&(i % 20)) && (5..15).contains(&(i / 20));
            assert_eq!(pixel, [if is_inside { 255.0 } else { 0.0 }; 3], "{i}");
        }
        // Half of the area is beyond, whatever the size.
        for size in [2, 5, 40] {
            let values = all(&white, rect(-5.0, 0.0, 10.0, 10.0), [size, size], Beyond::Black);
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            assert!((mean - 127.5).abs() < 30.0, "{size}: {mean}");
        }
        for far in [rect(500.0, 0.0, 9.0, 9.0), rect(0.0, -1e6, 9.0, 9.0)] {
            assert_eq!(all(&white, far, [2, 2], Beyond::Black), [0.0; 12]);
        }
    }

    #[test]
    fn shrinking_averages() {
        // A fine checkerboard becomes grey, through halves or without them.
        let board = |i: usize| [if (i % 64 + i / 64).is_multiple_of(2) { 255 } else { 0 }; 3];
        let board = Picture::new(64, 64, (0..64 * 64).flat_map(board).collect());
        for size in [30, 16, 9, 3] {
            let values = all(&board, rect(0.0, 0.0, 64.0, 64.0), [size, size], Beyond::Nothing);
            assert!(values.iter().all(|value| (value - 127.5).abs() < 6.0), "{size}: {values:?}");
        }
        assert_eq!([1.0, 2.0, 3.9, 4.0, 7.9, 8.0, 1e30, f32::NAN].map(halvings), [0, 0, 0, 1, 1, 2, 98, 0]);
    }

    #[test]
    fn halves_of_odd_sizes_keep_their_place() {
        let picture = Picture::new(3, 1, vec![10, 0, 0, 20, 0, 0, 99, 0, 0]);
        assert_eq!(half(&picture), Picture::new(2, 1, vec![15, 0, 0, 99, 0, 0]));
        let one = Picture::new(1, 1, vec![7, 8, 9]);
        assert_eq!(half(&one), one);
        assert_eq!(Halves::of(&one, 1e9).halves.len(), 0);
    }
}
