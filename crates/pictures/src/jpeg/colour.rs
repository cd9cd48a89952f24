//! From the rows of a JPEG's components to RGB, by libjpeg's integers (`jdcolor.c`).

use super::{
    enlarge::{Plane, Scratch},
    header::Colours,
};

/// Writes the RGB pixels, `[height, width, 3]`, of planes that mean `colours`.
#[inline(always)]
pub fn write(planes: &[Plane], colours: Colours, width: usize, pixels: &mut [u8]) {
    let mut scratch: [Scratch; 4] = Default::default();
    for (y, row) in pixels.chunks_exact_mut(width * 3).enumerate() {
        let mut rows: [&[u8]; 4] = [&[]; 4];
        for ((row, plane), scratch) in rows.iter_mut().zip(planes).zip(&mut scratch) {
            *row = plane.row(y, scratch);
        }
        let [a, b, c, black] = rows;
        match colours {
            Colours::Grey => grey(a, row),
            Colours::YCbCr => convert(a, b, c, row),
            Colours::Rgb => interleave(a, b, c, row),
            Colours::Cmyk => {
                interleave(a, b, c, row);
                darken(black, row);
            }
            Colours::Ycck => {
                convert(a, b, c, row);
                row.iter_mut().for_each(|value| *value = 255 - *value);
                darken(black, row);
            }
        }
    }
}

#[inline(always)]
fn grey(values: &[u8], row: &mut [u8]) {
    for (pixel, &value) in row.as_chunks_mut::<3>().0.iter_mut().zip(values) {
        *pixel = [value; 3];
    }
}

#[inline(always)]
fn interleave(red: &[u8], green: &[u8], blue: &[u8], row: &mut [u8]) {
    let pixels = row.as_chunks_mut::<3>().0.iter_mut();
    for (((pixel, &red), &green), &blue) in pixels.zip(red).zip(green).zip(blue) {
        *pixel = [red, green, blue];
    }
}

/// Takes away what black ink hides, `black` being 255 where there is none; rounded as Pillow does.
#[inline(always)]
fn darken(black: &[u8], row: &mut [u8]) {
    for (pixel, &black) in row.as_chunks_mut::<3>().0.iter_mut().zip(black) {
        *pixel = pixel.map(|value| {
            let hidden = u32::from(255 - value) * u32::from(black) + 128;
            black - (((hidden >> 8) + hidden) >> 8) as u8
        });
    }
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
