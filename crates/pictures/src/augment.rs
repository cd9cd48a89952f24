//! From a decoded picture to the network's input: resizing, and the random changes of training.

use facegrad_random::Stream;
use facegrad_settings::{above, settings, within};

use crate::{
    Picture,
    light::{change_light, change_saturation},
    resize::{Kernel, Window, gaussian_blur, resample, resample_to},
};

settings! {
    /// Random changes to training images. A probability of 0 turns one off.
    pub struct AugmentationConfig {
        /// Probability of mirroring left to right.
        flip: f64 = 0.5, within(0.0, 1.0);
        /// Probability of cutting out a random part and enlarging it to the full size. (AdaFace leaves it where it
        /// is, in black, and keeps a fifth of the area or more.)
        crop: f64 = 0.0, within(0.0, 1.0);
        /// Smallest share of the area that a crop keeps; its proportions vary from 3:4 to 4:3.
        crop_scale: f64 = 0.6, above(0.0).up_to(1.0);
        /// Every image moves by up to this share of its sides; the pixels at the edge are repeated.
        shift: f64 = 0.0, within(0.0, 0.5);
        /// The view of every image is wider or narrower by up to this share.
        scale: f64 = 0.0, within(0.0, 0.5);
        /// Probability of changing brightness, contrast and saturation. (AdaFace: 0.2, the strengths below 0.5 each,
        /// one after the other in an order drawn at random; here contrast and brightness come first.)
        colour_jitter: f64 = 0.0, within(0.0, 1.0);
        /// Colours are multiplied by a factor from 1 - brightness to 1 + brightness.
        brightness: f64 = 0.2, within(0.0, 1.0);
        /// Distances from the mean grey are multiplied by a factor from 1 - contrast to 1 + contrast.
        contrast: f64 = 0.2, within(0.0, 1.0);
        /// Distances from each pixel's grey are multiplied by a factor from 1 - saturation to 1 + saturation.
        saturation: f64 = 0.2, within(0.0, 1.0);
        /// Probability of shrinking and enlarging again, each with a kernel drawn at random. (AdaFace: 0.2. Its
        /// kernels do not smooth when shrinking, but for one; here all do but nearest, and there is no Lanczos.)
        low_resolution: f64 = 0.0, within(0.0, 1.0);
        /// Smallest share of the sides that it shrinks to.
        low_resolution_min: f64 = 0.2, above(0.0).up_to(1.0);
        /// Probability of a Gaussian blur.
        blur: f64 = 0.0, within(0.0, 1.0);
        /// Largest standard deviation of the blur, in pixels of the network's input.
        blur_sigma: f64 = 2.0, above(0.0).up_to(20.0);
        /// Probability of losing all colour.
        grey: f64 = 0.0, within(0.0, 1.0);
        /// Probability of replacing a rectangle by noise.
        erasing: f64 = 0.0, within(0.0, 1.0);
        /// Largest share of the area that is erased.
        erasing_area: f64 = 0.2, above(0.0).up_to(1.0);
    }
}

/// `picture` at `size` (height, width), in pixels: the largest centred part of those proportions, smoothed
/// when shrunk. This is what a network sees when it is used.
pub fn plain(picture: Picture, size: [usize; 2]) -> Picture {
    let window = Window::fitting(&picture, size);
    resample(picture, window, size, Kernel::Triangle, false)
}

impl AugmentationConfig {
    /// Keys that have no effect because the probability they belong to is 0, each with that key.
    pub fn idle_keys(&self) -> Vec<(&'static str, &'static str)> {
        let strengths: [(&str, f64, &[&str]); 5] = [
            ("crop", self.crop, &["crop_scale"]),
            ("colour_jitter", self.colour_jitter, &["brightness", "contrast", "saturation"]),
            ("low_resolution", self.low_resolution, &["low_resolution_min"]),
            ("blur", self.blur, &["blur_sigma"]),
            ("erasing", self.erasing, &["erasing_area"]),
        ];
        let idle = strengths.into_iter().filter(|(_, probability, _)| *probability == 0.0);
        idle.flat_map(|(switch, _, keys)| keys.iter().map(move |key| (*key, switch))).collect()
    }

    /// How large (height, width) an image should be decoded, if it is larger than `size`, so that the smallest part
    /// that is cut out has all the detail that the network can see.
    pub fn source_size(&self, size: [usize; 2]) -> [usize; 2] {
        let crop = if self.crop > 0.0 { (self.crop_scale * 0.75).sqrt() } else { 1.0 };
        let share = crop * (1.0 - self.scale);
        size.map(|side| (side as f64 / share).ceil() as usize)
    }

    /// `picture` at `size` (height, width), in pixels, changed at random as [`plain`] would not.
    ///
    /// Crop (Szegedy et al. 2015), low resolution and light (Kim, Jain, Liu, "AdaFace", CVPR 2022, and its
    /// `dataset/augmenter.py`) and erasing (Zhong et al., "Random erasing data augmentation", AAAI 2020) follow their
    /// sources, but crop, shift, scale and flip are one resampling; the keys tell the other differences. The draws do
    /// not depend on what is turned on: with one change added, the others stay as they were. The bytes do not depend
    /// on the processor.
    pub fn apply(&self, picture: &Picture, size: [usize; 2], stream: &mut Stream) -> Picture {
        let mut pixels = vec![0; size[0] * size[1] * 3];
        self.apply_to(picture, size, stream, &mut pixels);
        Picture::new(size[1], size[0], pixels)
    }

    /// As [`apply`](Self::apply), into `pixels`, `[height, width, 3]`.
    ///
    /// # Panics
    /// If the number of bytes is not `height * width * 3`.
    pub fn apply_to(&self, picture: &Picture, size: [usize; 2], stream: &mut Stream, pixels: &mut [u8]) {
        assert_eq!(pixels.len(), size[0] * size[1] * 3, "bytes of a picture of {size:?} pixels");
        let mut window = Window::fitting(picture, size);
        let flip = stream.chance(self.flip);

        let crop = stream.chance(self.crop);
        let area = stream.range(self.crop_scale as f32, 1.0);
        let ratio = stream.range(-1.0, 1.0) * (4.0f32 / 3.0).ln();
        let [across, down] = [stream.uniform(), stream.uniform()];
        if crop {
            let (width, height) =
                ((area * ratio.exp()).sqrt().min(1.0), (area / ratio.exp()).sqrt().min(1.0));
            window.left += window.width * (1.0 - width) * across;
            window.top += window.height * (1.0 - height) * down;
            window.width *= width;
            window.height *= height;
        }

        let factor = 1.0 + symmetric(self.scale, stream);
        window.left += window.width * (1.0 - factor) / 2.0;
        window.top += window.height * (1.0 - factor) / 2.0;
        window.width *= factor;
        window.height *= factor;
        window.left += window.width * symmetric(self.shift, stream);
        window.top += window.height * symmetric(self.shift, stream);

        let low_resolution = stream.chance(self.low_resolution);
        let share = stream.range(self.low_resolution_min as f32, 1.0);
        let [shrink, enlarge] = [(); 2].map(|()| Kernel::ALL[stream.below(Kernel::ALL.len())]);
        let blur = stream.chance(self.blur);
        let sigma = self.blur_sigma as f32 * (1.0 - stream.uniform());

        // Each change reads what the one before has written; the last one writes into `pixels`.
        let mut small = None;
        let (source, window, kernel, flip) = if low_resolution {
            let [height, width] = size.map(|side| ((side as f32 * share).round() as usize).max(1));
            let mut pixels = vec![0; height * width * 3];
            resample_to(picture, window, [height, width], shrink, flip, &mut pixels);
            let small = small.insert(Picture::new(width, height, pixels));
            (&*small, Window::whole(small), enlarge, false)
        } else {
            (picture, window, Kernel::Triangle, flip)
        };
        if blur {
            let mut sharp = vec![0; pixels.len()];
            resample_to(source, window, size, kernel, flip, &mut sharp);
            gaussian_blur(&Picture::new(size[1], size[0], sharp), sigma, pixels);
        } else {
            resample_to(source, window, size, kernel, flip, pixels);
        }

        let colour_jitter = stream.chance(self.colour_jitter);
        let brightness = 1.0 + symmetric(self.brightness, stream);
        let contrast = 1.0 + symmetric(self.contrast, stream);
        let saturation = 1.0 + symmetric(self.saturation, stream);
        if colour_jitter {
            change_light(pixels, brightness, contrast);
            change_saturation(pixels, saturation);
        }
        if stream.chance(self.grey) {
            change_saturation(pixels, 0.0);
        }

        if stream.chance(self.erasing) {
            erase(pixels, size, self.erasing_area as f32, stream);
        }
    }
}

/// Uniform from `-strength` to `strength`.
fn symmetric(strength: f64, stream: &mut Stream) -> f32 {
    strength as f32 * stream.range(-1.0, 1.0)
}

/// Fills a rectangle with noise: from 2 % of the area to `largest`, sides from 3:10 to 10:3.
fn erase(pixels: &mut [u8], [height, width]: [usize; 2], largest: f32, stream: &mut Stream) {
    let area = stream.range(largest.min(0.02), largest) * (height * width) as f32;
    let ratio = (stream.range(-1.0, 1.0) * (10.0f32 / 3.0).ln()).exp();
    let side = |length: f32, most: usize| (length.round() as usize).clamp(1, most);
    let (rows, columns) = (side((area * ratio).sqrt(), height), side((area / ratio).sqrt(), width));
    let (top, left) = (stream.below(height - rows + 1), stream.below(width - columns + 1));
    for row in pixels.chunks_exact_mut(width * 3).skip(top).take(rows) {
        for four in row[left * 3..(left + columns) * 3].chunks_mut(4) {
            four.copy_from_slice(&stream.bits().to_le_bytes()[..four.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use facegrad_random::Purpose;
    use facegrad_settings::Setting;

    use super::*;

    const OFF: fn() -> AugmentationConfig = || AugmentationConfig { flip: 0.0, ..Default::default() };

    fn stream(index: u64) -> Stream {
        Stream::new(5, Purpose::Augmentation, 0, index)
    }

    /// Colours that say where in the picture they are.
    fn picture() -> Picture {
        let value = |i: usize| match i % 3 {
            0 => (i / 3 % 112 * 2) as u8,
            1 => (i / 336 * 2) as u8,
            _ => 60,
        };
        Picture::new(112, 112, (0..112 * 112 * 3).map(value).collect())
    }

    fn apply(config: &AugmentationConfig, index: u64) -> Picture {
        config.apply(&picture(), [64, 64], &mut stream(index))
    }

    fn mean(picture: &Picture, channel: usize) -> f64 {
        let values = picture.pixels().iter().skip(channel).step_by(3);
        values.clone().map(|&v| f64::from(v)).sum::<f64>() / values.count() as f64
    }

    #[test]
    fn nothing_turned_on_is_plain() {
        for index in 0..5 {
            assert_eq!(apply(&OFF(), index), plain(picture(), [64, 64]));
        }
        assert_eq!(plain(picture(), [112, 112]), picture());
    }

    #[test]
    fn the_default_flips_half_of_the_images() {
        let flipped = plain(OFF().apply(&picture(), [64, 64], &mut stream(0)), [64, 64]);
        let count = (0..200).filter(|&i| apply(&AugmentationConfig::default(), i) != flipped).count();
        assert!((70..130).contains(&count), "{count}");
        let always = apply(&AugmentationConfig { flip: 1.0, ..OFF() }, 0);
        for (row, mirrored) in always.pixels().chunks(192).zip(flipped.pixels().chunks(192)) {
            assert!(row.chunks(3).eq(mirrored.chunks(3).rev()));
        }
    }

    #[test]
    fn the_same_stream_gives_the_same_picture() {
        let config = everything();
        let pictures: Vec<_> = (0..20).map(|i| apply(&config, i)).collect();
        for (index, first) in pictures.iter().enumerate() {
            assert_eq!(*first, apply(&config, index as u64));
            assert!((first.width(), first.height()) == (64, 64));
            assert!(pictures[..index].iter().all(|other| other != first));
        }
    }

    fn everything() -> AugmentationConfig {
        AugmentationConfig {
            crop: 1.0,
            shift: 0.1,
            scale: 0.1,
            colour_jitter: 1.0,
            low_resolution: 1.0,
            blur: 1.0,
            grey: 1.0,
            erasing: 1.0,
            ..Default::default()
        }
    }

    #[test]
    fn sizes_and_proportions_of_every_kind_work() {
        for (width, height) in [(1, 1), (3, 200), (200, 3), (64, 64), (500, 400)] {
            for size in [[1, 1], [64, 64], [112, 96], [7, 301]] {
                let picture = Picture::new(width, height, vec![9; width * height * 3]);
                let out = everything().apply(&picture, size, &mut stream(1));
                assert_eq!([out.height(), out.width()], size);
            }
        }
    }

    #[test]
    fn adding_one_change_leaves_the_others() {
        let shifted = AugmentationConfig { shift: 0.2, flip: 0.5, ..OFF() };
        let also_grey = AugmentationConfig { grey: 1.0, ..shifted.clone() };
        for index in 0..10 {
            let mut pixels = apply(&shifted, index).into_pixels();
            change_saturation(&mut pixels, 0.0);
            assert_eq!(apply(&also_grey, index).pixels(), pixels);
        }
    }

    #[test]
    fn shift_scale_and_crop_move_what_is_seen() {
        let before = mean(&plain(picture(), [64, 64]), 0);
        let spread = |config: &AugmentationConfig| {
            let means: Vec<_> = (0..60).map(|i| mean(&apply(config, i), 0) - before).collect();
            let range = means.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                - means.iter().copied().fold(f64::INFINITY, f64::min);
            (range, means.iter().sum::<f64>() / 60.0)
        };
        // The first channel rises by 2 a pixel: a shift of ±10 % of 112 moves its mean by about ±20.
        let (range, bias) = spread(&AugmentationConfig { shift: 0.1, ..OFF() });
        assert!((28.0..46.0).contains(&range) && bias.abs() < 6.0, "{range} {bias}");
        let (range, bias) = spread(&AugmentationConfig { crop: 1.0, crop_scale: 0.5, ..OFF() });
        assert!(range > 15.0 && bias.abs() < 6.0, "{range} {bias}");
        // Zooming keeps the centre.
        let (range, _) = spread(&AugmentationConfig { scale: 0.3, ..OFF() });
        assert!(range < 4.0, "{range}");
        let extent = |p: &Picture| p.pixels()[63 * 3].abs_diff(p.pixels()[0]);
        let zooms: Vec<_> =
            (0..60).map(|i| extent(&apply(&AugmentationConfig { scale: 0.3, ..OFF() }, i))).collect();
        assert!(zooms.iter().min() < Some(&175) && zooms.iter().max() > Some(&215), "{zooms:?}");
    }

    #[test]
    fn light_and_colour_change_as_stated() {
        let mut pixels = vec![100, 100, 100, 50, 50, 50];
        change_light(&mut pixels, 1.2, 1.0);
        assert_eq!(pixels, [120, 120, 120, 60, 60, 60]);
        change_light(&mut pixels, 1.0, 0.5);
        assert_eq!(pixels, [105, 105, 105, 75, 75, 75]);
        change_light(&mut pixels, 9.0, 1.0);
        assert_eq!(pixels, [255; 6]);
        let mut pixels = vec![200, 100, 50, 0, 0, 0, 255, 255, 255];
        change_saturation(&mut pixels, 1.0);
        assert_eq!(pixels, [200, 100, 50, 0, 0, 0, 255, 255, 255]);
        change_saturation(&mut pixels, 0.0);
        assert_eq!(pixels, [124, 124, 124, 0, 0, 0, 255, 255, 255]);
        for index in 0..20 {
            let jittered = apply(
                &AugmentationConfig {
                    colour_jitter: 1.0,
                    brightness: 0.3,
                    contrast: 0.0,
                    saturation: 0.0,
                    ..OFF()
                },
                index,
            );
            let factor = mean(&jittered, 2) / 60.0;
            assert!((0.68..1.32).contains(&factor), "{factor}");
        }
    }

    #[test]
    fn low_resolution_and_blur_lose_detail() {
        let noise: Vec<u8> = (0..64 * 64 * 3).map(|i| (i * 7919 % 251) as u8).collect();
        let noise = Picture::new(64, 64, noise);
        let detail = |p: &Picture| -> u64 {
            p.pixels().iter().zip(&p.pixels()[3..]).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
        };
        for config in [
            AugmentationConfig { blur: 1.0, ..OFF() },
            AugmentationConfig { low_resolution: 1.0, low_resolution_min: 0.2, ..OFF() },
        ] {
            let left: u64 = (0..20).map(|i| detail(&config.apply(&noise, [64, 64], &mut stream(i)))).sum();
            assert!(left < detail(&noise) * 20 * 3 / 4, "{left} of {}", detail(&noise) * 20);
        }
    }

    #[test]
    fn erasing_covers_at_most_its_area() {
        let before = plain(picture(), [64, 64]);
        let config = AugmentationConfig { erasing: 1.0, erasing_area: 0.3, ..OFF() };
        for index in 0..50 {
            let after = apply(&config, index);
            let changed =
                after.pixels().chunks(3).zip(before.pixels().chunks(3)).filter(|(a, b)| a != b).count();
            // Rounding of the sides may add a row and a column.
            assert!(changed > 0 && changed as f64 <= 0.3 * 4096.0 + 64.0, "{changed}");
        }
    }

    #[test]
    fn a_photograph_is_decoded_large_enough_for_the_smallest_part() {
        assert_eq!(OFF().source_size([112, 96]), [112, 96]);
        let cropped = AugmentationConfig { crop: 0.1, crop_scale: 0.25, ..OFF() };
        // A quarter of the area at 3:4 is 0.43 of one side.
        assert_eq!(cropped.source_size([112, 112]), [259, 259]);
        let zoomed = AugmentationConfig { scale: 0.5, ..OFF() };
        assert_eq!(zoomed.source_size([100, 50]), [200, 100]);
    }

    #[test]
    fn probabilities_are_probabilities() {
        let value = facegrad_settings::toml::Value::Table("blur = 1.5".parse().unwrap());
        let error = AugmentationConfig::read(&value, &"augmentation".into()).unwrap_err();
        assert_eq!(error.to_string(), "augmentation.blur is 1.5; it must be from 0 to 1");
    }
}
