//! From the planes of a JPEG to RGB: chroma enlarged as libjpeg's "fancy upsampling" does (`jdsample.c`), colours
//! by its integers (`jdcolor.c`).

/// The samples of a component.
pub struct Plane {
    pub samples: Vec<u8>,
    /// From one row to the next.
    pub stride: usize,
    /// Samples across and down that belong to the picture.
    pub width: usize,
    pub height: usize,
}

impl Plane {
    #[inline(always)]
    fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.width]
    }
}

/// How much coarser chroma is than luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    Full,
    HalfAcross,
    Half,
}

/// Copies a grey plane to all three channels of `pixels`, `[height, width, 3]`.
#[inline(always)]
pub fn grey(plane: &Plane, pixels: &mut [u8]) {
    for (y, row) in pixels.chunks_exact_mut(plane.width * 3).enumerate() {
        for (pixel, &value) in row.as_chunks_mut::<3>().0.iter_mut().zip(plane.row(y)) {
            *pixel = [value; 3];
        }
    }
}

/// Writes the RGB pixels, `[height, width, 3]`, of planes Y, Cb and Cr.
#[inline(always)]
pub fn rgb(planes: &[Plane; 3], chroma: Chroma, pixels: &mut [u8]) {
    let [luma, blue, red] = planes;
    let width = luma.width;
    let mut wide = [vec![0; blue.width * 2], vec![0; blue.width * 2]];
    let mut sums = vec![0; blue.width];
    for (y, row) in pixels.chunks_exact_mut(width * 3).enumerate() {
        if chroma == Chroma::Full {
            convert(luma.row(y), blue.row(y), red.row(y), row);
            continue;
        }
        for (plane, wide) in [blue, red].into_iter().zip(&mut wide) {
            if chroma == Chroma::HalfAcross {
                let weights = plane.row(y).iter().map(|&value| u16::from(value));
                sums.iter_mut().zip(weights).for_each(|(sum, value)| *sum = value);
                enlarge::<4, 1, 2>(&sums, wide);
            } else {
                let near = y / 2;
                let far = if y % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(plane.height - 1) };
                for ((sum, &near), &far) in sums.iter_mut().zip(plane.row(near)).zip(plane.row(far)) {
                    *sum = 3 * u16::from(near) + u16::from(far);
                }
                enlarge::<16, 8, 7>(&sums, wide);
            }
        }
        convert(luma.row(y), &wide[0], &wide[1], row);
    }
}

/// Twice as many values, each of three quarters of the nearest and a quarter of the next one, divided by
/// `WHOLE / 4` times the weight that `sums` have; `LEFT` and `RIGHT` are added for rounding.
#[inline(always)]
fn enlarge<const WHOLE: u16, const LEFT: u16, const RIGHT: u16>(sums: &[u16], wide: &mut [u8]) {
    let (pairs, _) = wide.as_chunks_mut::<2>();
    let last = sums.len() - 1;
    let inner = sums.windows(3).zip(&mut pairs[1..]);
    for (sums, pair) in inner {
        let near = 3 * sums[1];
        *pair = [((near + sums[0] + LEFT) / WHOLE) as u8, ((near + sums[2] + RIGHT) / WHOLE) as u8];
    }
    let (second, before) = (sums[1.min(last)], sums[last.saturating_sub(1)]);
    let edge = |sum: u16, rounding| if WHOLE == 4 { sum as u8 } else { ((4 * sum + rounding) / WHOLE) as u8 };
    pairs[0] = [edge(sums[0], LEFT), ((3 * sums[0] + second + RIGHT) / WHOLE) as u8];
    pairs[last] = [((3 * sums[last] + before + LEFT) / WHOLE) as u8, edge(sums[last], RIGHT)];
}

/// Factors of 2^16.
const fn fixed(factor: f64) -> i32 {
    (factor * 65536.0 + 0.5) as i32
}

#[inline(always)]
fn convert(luma: &[u8], blue: &[u8], red: &[u8], row: &mut [u8]) {
    const HALF: i32 = 1 << 15;
    let pixels = row.as_chunks_mut::<3>().0.iter_mut();
    for (((pixel, &y), &cb), &cr) in pixels.zip(luma).zip(blue).zip(red) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let r = y + ((fixed(1.402) * cr + HALF) >> 16);
        let g = y + ((HALF - fixed(0.344_14) * cb - fixed(0.714_14) * cr) >> 16);
        let b = y + ((fixed(1.772) * cb + HALF) >> 16);
        *pixel = [r.clamp(0, 255) as u8, g.clamp(0, 255) as u8, b.clamp(0, 255) as u8];
    }
}
