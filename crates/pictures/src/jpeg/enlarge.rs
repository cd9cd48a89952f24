//! Rows of a component as wide and as many as those of the image: by libjpeg's "fancy upsampling" where a sample stands
//! for two pixels (`jdsample.c`), and by repeating samples elsewhere.

/// The samples of a component.
pub struct Plane {
    pub samples: Vec<u8>,
    /// From one row to the next.
    pub stride: usize,
    /// Samples across and down that belong to the image.
    pub size: [usize; 2],
    /// How many pixels a sample stands for, across and down.
    pub pixels: [usize; 2],
}

/// What is needed for a row at a time.
#[derive(Default)]
pub struct Scratch {
    sums: Vec<u16>,
    row: Vec<u8>,
}

impl Plane {
    #[inline(always)]
    fn stored(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.size[0]]
    }

    /// Row `y` of the image, at least as wide as it.
    #[inline(always)]
    pub fn row<'a>(&'a self, y: usize, scratch: &'a mut Scratch) -> &'a [u8] {
        let [width, height] = self.size;
        // The row that is nearest, and the next one on the side where `y` lies in it.
        let near = y / self.pixels[1];
        let far = if y % 2 == 1 { (near + 1).min(height - 1) } else { near.saturating_sub(1) };
        let Scratch { sums, row } = scratch;
        sums.resize(width, 0);
        row.resize(width * self.pixels[0], 0);
        match self.pixels {
            [1, 1] => return self.stored(y),
            [1, 2] => {
                let rounding = 1 + (y % 2) as u16;
                for ((value, &near), &far) in row.iter_mut().zip(self.stored(near)).zip(self.stored(far)) {
                    *value = ((3 * u16::from(near) + u16::from(far) + rounding) / 4) as u8;
                }
            }
            // libjpeg repeats one or two samples.
            [2, 1] if width > 2 => {
                let weights = self.stored(near).iter().map(|&value| u16::from(value));
                sums.iter_mut().zip(weights).for_each(|(sum, value)| *sum = value);
                enlarge::<4, 1, 2>(sums, row);
            }
            [2, 2] if width > 2 => {
                for ((sum, &near), &far) in sums.iter_mut().zip(self.stored(near)).zip(self.stored(far)) {
                    *sum = 3 * u16::from(near) + u16::from(far);
                }
                enlarge::<16, 8, 7>(sums, row);
            }
            [1, _] => return self.stored(near),
            [across, _] => {
                for (pixels, &value) in row.chunks_exact_mut(across).zip(self.stored(near)) {
                    pixels.fill(value);
                }
            }
        }
        row
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
