//! Separable resampling: resizing, shifting, zooming, flipping and blurring are all one table of weights
//! per axis.

use crate::Picture;

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
    fn support(self) -> f32 {
        match self {
            Self::Nearest | Self::Area => 0.5,
            Self::Triangle => 1.0,
            Self::Cubic => 2.0,
        }
    }

    /// Its value `distance` pixels from the centre when it is `width` times as wide.
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
    [height, width]: [usize; 2],
    kernel: Kernel,
    flip: bool,
) -> Picture {
    if window == Window::whole(&picture) && [picture.height(), picture.width()] == [height, width] {
        return if flip { mirrored(picture) } else { picture };
    }
    let rows = Taps::window(window.top, window.height, picture.height(), height, kernel);
    let mut columns = Taps::window(window.left, window.width, picture.width(), width, kernel);
    if flip {
        columns.reverse();
    }
    convolve(&picture, &rows, &columns)
}

fn mirrored(picture: Picture) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let mut pixels = picture.into_pixels();
    for row in pixels.chunks_exact_mut(width * 3) {
        for x in 0..width / 2 {
            for channel in 0..3 {
                row.swap(x * 3 + channel, (width - 1 - x) * 3 + channel);
            }
        }
    }
    Picture::new(width, height, pixels)
}

/// `picture` under a Gaussian of standard deviation `sigma` pixels, cut off at three of them.
pub(crate) fn gaussian_blur(picture: &Picture, sigma: f32) -> Picture {
    let taps = |len| {
        Taps::new(len, len, |centre| {
            let reach = (3.0 * sigma).ceil();
            (centre - reach, centre + reach, move |x: f32| (-0.5 * ((x - centre) / sigma).powi(2)).exp())
        })
    };
    convolve(picture, &taps(picture.height()), &taps(picture.width()))
}

/// For each pixel along one axis of the result: which pixels of the source it is made of, by what weights.
struct Taps {
    /// First source pixel and range of `weights` of each pixel.
    spans: Vec<(usize, std::ops::Range<usize>)>,
    /// Those of one pixel sum to 1.
    weights: Vec<f32>,
}

impl Taps {
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
    fn new<K: Fn(f32) -> f32>(source: usize, target: usize, support: impl Fn(f32) -> (f32, f32, K)) -> Self {
        let mut taps = Self { spans: Vec::with_capacity(target), weights: Vec::new() };
        let last = source as isize - 1;
        for index in 0..target {
            let (low, high, kernel) = support(index as f32);
            let (low, high) = (low.ceil() as isize, high.floor() as isize);
            let first = low.clamp(0, last) as usize;
            let begin = taps.weights.len();
            taps.weights.resize(begin + high.clamp(0, last) as usize - first + 1, 0.0);
            let weights = &mut taps.weights[begin..];
            for x in low..=high {
                // Beyond the edge the pixel at the edge goes on.
                weights[x.clamp(0, last) as usize - first] += kernel(x as f32);
            }
            let total: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= total);
            taps.spans.push((first, begin..taps.weights.len()));
        }
        taps
    }

    fn reverse(&mut self) {
        self.spans.reverse();
    }
}

fn convolve(picture: &Picture, rows: &Taps, columns: &Taps) -> Picture {
    let stride = picture.width() * 3;
    let mut pixels = vec![0; rows.spans.len() * columns.spans.len() * 3];
    // One row is finished at a time, so that what is between the two passes stays in the cache.
    let mut mixed = vec![0.0; stride];
    for (target, (first, span)) in pixels.chunks_exact_mut(columns.spans.len() * 3).zip(&rows.spans) {
        mixed.fill(0.0);
        let sources = picture.pixels()[first * stride..].chunks_exact(stride);
        for (weight, source) in rows.weights[span.clone()].iter().zip(sources) {
            for (sum, &value) in mixed.iter_mut().zip(source) {
                *sum += weight * f32::from(value);
            }
        }
        for (pixel, (first, span)) in target.chunks_exact_mut(3).zip(&columns.spans) {
            let mut sum = [0.5; 3];
            for (i, weight) in columns.weights[span.clone()].iter().enumerate() {
                let at = (first + i) * 3;
                for (sum, value) in sum.iter_mut().zip(&mixed[at..at + 3]) {
                    *sum += weight * value;
                }
            }
            // The conversion saturates.
            pixel.copy_from_slice(&sum.map(|value| value as u8));
        }
    }
    Picture::new(columns.spans.len(), rows.spans.len(), pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn flat(picture: &Picture) -> bool {
        picture.pixels().chunks(3).all(|pixel| pixel == &picture.pixels()[..3])
    }

    #[test]
    fn the_same_size_changes_nothing_but_the_side_when_flipped() {
        let picture = ramp(13, 9);
        let whole = Window::whole(&picture);
        for kernel in Kernel::ALL {
            let taps = |len| Taps::window(0.0, len as f32, len, len, kernel);
            assert_eq!(convolve(&picture, &taps(9), &taps(13)), picture, "{kernel:?}");
        }
        let flipped = resample(picture.clone(), whole, [9, 13], Kernel::Area, true);
        let mut columns = Taps::window(0.0, 13.0, 13, 13, Kernel::Area);
        columns.reverse();
        assert_eq!(convolve(&picture, &Taps::window(0.0, 9.0, 9, 9, Kernel::Area), &columns), flipped);
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
        let blurred = gaussian_blur(&Picture::new(31, 31, pixels), 1.0);
        let at = |x: usize, y: usize| f32::from(blurred.pixels()[(y * 31 + x) * 3]);
        // 255/(2π) at the centre, e^(-1/2) of it one pixel off.
        assert!((at(15, 15) - 40.6).abs() < 1.0, "{}", at(15, 15));
        assert!((at(16, 15) - 24.6).abs() < 1.0, "{}", at(16, 15));
        assert_eq!(at(15, 17), at(13, 15));
        assert_eq!(blurred.pixels().iter().skip(1).step_by(3).max(), Some(&0));
        let grey = Picture::new(5, 4, vec![77; 60]);
        assert_eq!(gaussian_blur(&grey, 9.0), grey);
    }
}
