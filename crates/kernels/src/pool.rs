//! Pooling.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{
    map::Dims,
    profile::{self, Work},
    simd,
    transform::{Input, Prepared},
};

/// The largest of each block of `kernel` x `kernel` transformed pixels, `stride` pixels from the next, for each channel;
/// blocks at the end count even where they are not whole (`ceil_mode` of PyTorch, Caffe's way).
///
/// # Panics
/// With a `stride` of 0 or of more than `kernel`, which would leave pixels out.
pub fn max_pool(input: Input<'_>, kernel: usize, stride: usize) -> (Vec<f32>, Dims) {
    let Input { x, dims, transform } = input;
    assert!((1..=kernel).contains(&stride));
    assert_eq!(x.len(), dims.elements());
    let extent = |size: usize| if size == 0 { 0 } else { size.saturating_sub(kernel).div_ceil(stride) + 1 };
    let out = Dims { height: extent(dims.height), width: extent(dims.width), ..dims };
    let bytes = ((dims.elements() + out.elements()) * size_of::<f32>()) as u64;
    let _profile = profile::operator(|| ("max pool".into(), Work { operations: 0, bytes }));
    let prepared = Prepared::new(&transform, dims.channels);
    let mut y = vec![0.0; out.elements()];
    if !y.is_empty() {
        y.par_chunks_exact_mut(out.row()).enumerate().for_each(|(i, y)| {
            let (image, row) = (i / out.height, i % out.height);
            let rows = row * stride..(row * stride + kernel).min(dims.height);
            let x = &x[image * dims.image()..][..dims.image()];
            let x = &x[rows.start * dims.row()..rows.end * dims.row()];
            simd::dispatch(Row {
                prepared: &prepared,
                x,
                width: dims.row(),
                channels: dims.channels,
                kernel,
                stride,
                y,
            });
        });
    }
    (y, out)
}

/// A row of the output.
struct Row<'a> {
    prepared: &'a Prepared,
    /// The rows of the map that it is made of, `width` numbers each.
    x: &'a [f32],
    width: usize,
    channels: usize,
    kernel: usize,
    stride: usize,
    y: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { prepared, x, width, channels, kernel, stride, y } = self;
        // First down the columns, then along what is left of them.
        let mut rows = x.chunks_exact(width);
        let mut column = vec![0.0; width];
        let mut next = if x.len() > width && !prepared.is_identity() { vec![0.0; width] } else { Vec::new() };
        if let Some(row) = rows.next() {
            prepared.apply(simd, row, &mut column, channels);
        }
        for row in rows {
            let row = match next.is_empty() {
                true => row,
                false => {
                    prepared.apply(simd, row, &mut next, channels);
                    &next
                }
            };
            raise(simd, &mut column, row);
        }
        for (i, y) in y.chunks_exact_mut(channels).enumerate() {
            let pixels = i * stride * channels..((i * stride + kernel) * channels).min(width);
            let mut pixels = column[pixels].chunks_exact(channels);
            if let Some(pixel) = pixels.next() {
                y.copy_from_slice(pixel);
            }
            pixels.for_each(|pixel| raise(simd, y, pixel));
        }
    }
}

/// Takes the larger of each two numbers.
#[inline(always)]
fn raise<S: Simd>(simd: S, to: &mut [f32], by: &[f32]) {
    let (to, to_rest) = S::as_mut_simd_f32s(to);
    let (by, by_rest) = S::as_simd_f32s(by);
    to.iter_mut().zip(by).for_each(|(to, by)| *to = simd.max_f32s(*to, *by));
    to_rest.iter_mut().zip(by_rest).for_each(|(to, by)| *to = to.max(*by));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Transform,
        tests::{Vectors, noise, on_each_isa},
    };

    #[test]
    fn blocks_give_their_largest_number() {
        for (batch, [height, width], channels, kernel, stride) in [
            (1, [1, 1], 1, 2, 2),
            (2, [5, 6], 10, 2, 2),
            (1, [22, 21], 28, 3, 2),
            (3, [7, 4], 33, 3, 3),
            (1, [9, 9], 64, 2, 1),
            (0, [4, 4], 3, 2, 2),
            (2, [0, 4], 3, 2, 2),
        ] {
            let dims = Dims { batch, height, width, channels };
            let x = noise(dims.elements(), 3);
            let vectors = Vectors::new(channels);
            let slope = vectors.transform(false, true, false).slope;
            for slope in [None, slope] {
                let at = |image: usize, row: usize, column: usize, channel: usize| {
                    let x = x[((image * height + row) * width + column) * channels + channel];
                    if x > 0.0 { x } else { x * slope.map_or(1.0, |slope| slope[channel]) }
                };
                let starts = |size: usize| {
                    (0..size).step_by(stride).take_while(move |i| {
                        i + stride < size + kernel && (*i == 0 || i + kernel < size + stride)
                    })
                };
                let mut expected = Vec::new();
                for image in 0..batch {
                    for row in starts(height) {
                        for column in starts(width) {
                            expected.extend((0..channels).map(|channel| {
                                let rows = row..(row + kernel).min(height);
                                let block = rows.flat_map(|y| {
                                    (column..(column + kernel).min(width)).map(move |x| (y, x))
                                });
                                block.map(|(y, x)| at(image, y, x, channel)).fold(f32::NEG_INFINITY, f32::max)
                            }));
                        }
                    }
                }
                on_each_isa(|isa| {
                    let (y, out) = max_pool(
                        Input { x: &x, dims, transform: Transform { norm: None, slope } },
                        kernel,
                        stride,
                    );
                    assert_eq!(y.len(), out.elements());
                    assert_eq!(y, expected, "{dims:?} by {kernel} and {stride} with {}", isa.name());
                });
            }
        }
    }

    /// As PyTorch with ceil_mode.
    #[test]
    fn blocks_at_the_end_count() {
        let height = |height, kernel| {
            let dims = Dims { batch: 1, height, width: 1, channels: 1 };
            let x = vec![0.0; dims.elements()];
            max_pool(Input { x: &x, dims, transform: Transform::default() }, kernel, 2).1.height
        };
        assert_eq!([1, 2, 3, 10, 11].map(|size| height(size, 2)), [1, 1, 2, 5, 6]);
        assert_eq!([1, 3, 4, 5, 22, 46].map(|size| height(size, 3)), [1, 1, 2, 2, 11, 23]);
    }
}
