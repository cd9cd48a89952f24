//! Changes of light and colour, pixel by pixel.

use crate::lanes::{Lanes, Work, run};

/// Multiplies colours by `brightness`, and then their distance from the mean grey by `contrast`.
pub(crate) fn change_light(pixels: &mut [u8], brightness: f32, contrast: f32) {
    run(Light { pixels, brightness, contrast });
}

/// Multiplies the distance of each pixel's colours from its grey by `factor`.
pub(crate) fn change_saturation(pixels: &mut [u8], factor: f32) {
    run(Saturation { pixels, factor });
}

/// The grey of an RGB pixel is the sum of these shares of its colours (ITU-R BT.601), in 256ths.
const LUMA: [i32; 3] = [77, 150, 29];

struct Light<'a> {
    pixels: &'a mut [u8],
    brightness: f32,
    contrast: f32,
}

impl Work for Light<'_> {
    type Output = ();

    #[inline(always)]
    fn compute<L: Lanes>(self, lanes: L) {
        let Self { pixels, brightness, contrast } = self;
        let mean = total_luma(pixels) as f32 / 256.0 / (pixels.len() / 3) as f32;
        let black = (1.0 - contrast) * mean;
        each_eight(LightChange { lanes, brightness, contrast, black }, pixels);
    }
}

/// The sum of the greys of all pixels, in 256ths.
#[inline(always)]
fn total_luma(pixels: &[u8]) -> i64 {
    // So many sums side by side, a multiple of three; each is of at most 2^24 bytes.
    const LANES: usize = 48;
    let mut total = 0;
    for part in pixels.chunks(LANES << 16) {
        let mut sums = [0u32; LANES];
        let (blocks, rest) = part.as_chunks::<LANES>();
        for block in blocks {
            for (sum, &value) in sums.iter_mut().zip(block) {
                *sum += u32::from(value);
            }
        }
        for (sum, &value) in sums.iter_mut().zip(rest) {
            *sum += u32::from(value);
        }
        total +=
            sums.iter().zip(LUMA.iter().cycle()).map(|(&s, &l)| i64::from(s) * i64::from(l)).sum::<i64>();
    }
    total
}

struct Saturation<'a> {
    pixels: &'a mut [u8],
    factor: f32,
}

impl Work for Saturation<'_> {
    type Output = ();

    #[inline(always)]
    fn compute<L: Lanes>(self, lanes: L) {
        let factor = (self.factor * 256.0).round() as i32;
        each_eight(SaturationChange { lanes, factor }, self.pixels);
    }
}

/// A change of eight pixels.
trait Change {
    /// The eight pixels that `pixels` begins with, changed; twelve bytes of each half.
    fn change(&self, pixels: &[u8; 28]) -> [[u8; 16]; 2];
}

/// Changes all of `pixels`.
#[inline(always)]
fn each_eight(change: impl Change, pixels: &mut [u8]) {
    let mut rest = pixels;
    while let Some(pixels) = rest.first_chunk_mut::<28>() {
        let changed = change.change(pixels);
        pixels[..12].copy_from_slice(&changed[0][..12]);
        pixels[12..24].copy_from_slice(&changed[1][..12]);
        rest = &mut rest[24..];
    }
    // At most nine pixels.
    for rest in rest.chunks_mut(24) {
        let mut pixels = [0; 28];
        pixels[..rest.len()].copy_from_slice(rest);
        let changed = change.change(&pixels);
        let bytes = changed.iter().flat_map(|half| &half[..12]);
        rest.iter_mut().zip(bytes).for_each(|(value, byte)| *value = *byte);
    }
}

struct LightChange<L> {
    lanes: L,
    brightness: f32,
    contrast: f32,
    black: f32,
}

impl<L: Lanes> Change for LightChange<L> {
    #[inline(always)]
    fn change(&self, pixels: &[u8; 28]) -> [[u8; 16]; 2] {
        let [r, g, b] = self.lanes.split(pixels);
        self.lanes.merge([self.one(r), self.one(g), self.one(b)])
    }
}

impl<L: Lanes> LightChange<L> {
    #[inline(always)]
    fn one(&self, colour: L::Vector) -> L::Vector {
        let lanes = self.lanes;
        let [contrast, black] = [lanes.splat_float(self.contrast), lanes.splat_float(self.black)];
        let light = lanes.add_product_floats(black, lanes.to_floats(colour), contrast);
        let half = lanes.splat_float(0.5);
        lanes.truncate(lanes.add_product_floats(half, light, lanes.splat_float(self.brightness)))
    }
}

struct SaturationChange<L> {
    lanes: L,
    factor: i32,
}

impl<L: Lanes> Change for SaturationChange<L> {
    #[inline(always)]
    fn change(&self, pixels: &[u8; 28]) -> [[u8; 16]; 2] {
        let lanes = self.lanes;
        let [r, g, b] = lanes.split(pixels);
        let half = lanes.splat(128);
        let grey = lanes.add_product(half, r, lanes.splat(LUMA[0]));
        let grey = lanes.add_product(grey, g, lanes.splat(LUMA[1]));
        let grey = lanes.shift::<8>(lanes.add_product(grey, b, lanes.splat(LUMA[2])));
        // Of 256 - self.factor parts of grey and factor parts of the colour.
        let base = lanes.add_product(half, grey, lanes.splat(256 - self.factor));
        let factor = lanes.splat(self.factor);
        let r = lanes.shift::<8>(lanes.add_product(base, r, factor));
        let g = lanes.shift::<8>(lanes.add_product(base, g, factor));
        let b = lanes.shift::<8>(lanes.add_product(base, b, factor));
        lanes.merge([r, g, b])
    }
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::lanes::Portable;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut stream = Stream::new(4, Purpose::Augmentation, 0, 0);
        (0..bytes).map(|_| stream.bits() as u8).collect()
    }

    #[test]
    fn every_processor_gives_the_same_bytes() {
        for pixels in [1, 7, 8, 9, 10, 17, 200] {
            let noise = noise(pixels * 3);
            for factor in [0.0, 0.3, 1.0, 1.9] {
                let [mut here, mut portable] = [noise.clone(), noise.clone()];
                change_saturation(&mut here, factor);
                Saturation { pixels: &mut portable, factor }.compute(Portable);
                assert_eq!(here, portable, "{pixels} pixels");
                let [mut here, mut portable] = [noise.clone(), noise.clone()];
                change_light(&mut here, factor, 2.0 - factor);
                let contrast = 2.0 - factor;
                Light { pixels: &mut portable, brightness: factor, contrast }.compute(Portable);
                assert_eq!(here, portable, "{pixels} pixels");
            }
        }
    }

    #[test]
    fn light_and_saturation_are_the_formulas() {
        let before = noise(300);
        let mean = before.chunks(3).map(grey).sum::<f64>() / 100.0;
        let mut lit = before.clone();
        change_light(&mut lit, 1.3, 0.7);
        for (before, after) in before.iter().zip(&lit) {
            let expected = (1.3 * (mean + 0.7 * (f64::from(*before) - mean))).clamp(0.0, 255.0);
            assert!((f64::from(*after) - expected).abs() < 0.51, "{before}: {after} for {expected}");
        }
        let mut saturated = before.clone();
        change_saturation(&mut saturated, 1.4);
        for (before, after) in before.chunks(3).zip(saturated.chunks(3)) {
            for (value, after) in before.iter().zip(after) {
                let expected = (grey(before) + 1.4 * (f64::from(*value) - grey(before))).clamp(0.0, 255.0);
                // The grey is rounded before.
                assert!((f64::from(*after) - expected).abs() < 0.9, "{value}: {after} for {expected}");
            }
        }
    }

    fn grey(pixel: &[u8]) -> f64 {
        pixel.iter().zip(LUMA).map(|(&value, share)| f64::from(value) * f64::from(share) / 256.0).sum()
    }
}
