//! Alignment: a face moved, turned and scaled so that its five landmarks come to lie where a network expects
//! them.

use crate::Picture;

/// Where ArcFace has the landmarks of a face in a picture of 112 x 112 pixels: left eye, right eye, nose, left
/// and right corner of the mouth as one sees them; (x, y) in pixels from the centre of the first.
///
/// Source: insightface, `face_align.py`.
pub const ARCFACE_LANDMARKS: [[f32; 2]; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// [`ARCFACE_LANDMARKS`] for pictures of `size` (height, width), in the middle of the width: of 112 x 96 they
/// are 8 pixels further left, of 224 x 224 all numbers are doubled, as insightface does it.
pub fn arcface_landmarks([height, width]: [usize; 2]) -> [[f32; 2]; 5] {
    let scale = height as f32 / 112.0;
    ARCFACE_LANDMARKS.map(|[x, y]| [(x - 56.0) * scale + width as f32 / 2.0, y * scale])
}

/// Shrinking by less than this takes no more than the four pixels around each point.
const MAX_PLAIN_SHRINK: f64 = 1.5;

/// Why landmarks give no transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LandmarkError {
    /// A landmark that is nowhere.
    #[error("landmark {number} of 5 is not at finite coordinates")]
    NotFinite {
        /// The landmark, from 1.
        number: usize,
    },
    /// Landmarks without extent.
    #[error("the five landmarks are all in one place, which gives no scale or angle")]
    OnePlace,
    /// Landmarks that no turn and scale bring nearer to where they should be.
    #[error("the five landmarks fit the template at no scale and angle; are they in another order?")]
    NoFit,
}

/// A shift, turn and scale of the plane, without reflection: x' = a x − b y + shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity2d {
    a: f64,
    b: f64,
    shift: [f64; 2],
}

impl Similarity2d {
    /// The shift, turn and scale that bring the points `from` nearest to `to`, in the sum of squared distances.
    ///
    /// Mirrored points are not mirrored back: a face that was flipped keeps the side it has.
    ///
    /// # Errors
    /// If a coordinate is not finite, all of `from` or all of `to` is one point, or no turn brings them nearer.
    ///
    /// Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    /// 1991; in the plane, where a turn with a scale is a complex factor, it is linear regression.
    pub fn estimate(from: [[f32; 2]; 5], to: [[f32; 2]; 5]) -> Result<Self, LandmarkError> {
        let is_finite = |point: &[f32; 2]| point.iter().all(|x| x.is_finite());
        if let Some(number) = (0..5).find(|&i| !is_finite(&from[i]) || !is_finite(&to[i])) {
            return Err(LandmarkError::NotFinite { number: number + 1 });
        }
        let (from, to) = (from.map(|p| p.map(f64::from)), to.map(|p| p.map(f64::from)));
        let (mean_from, mean_to) = (mean(&from), mean(&to));
        let (mut a, mut b, mut extent_from, mut extent_to) = (0.0, 0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(&to) {
            let [x, y] = [p[0] - mean_from[0], p[1] - mean_from[1]];
            let [u, v] = [q[0] - mean_to[0], q[1] - mean_to[1]];
            a += x * u + y * v;
            b += x * v - y * u;
            extent_from += x * x + y * y;
            extent_to += u * u + v * v;
        }
        // What rounding to f32 makes of one point, and a little more.
        let is_point = |extent: f64, mean: [f64; 2]| extent.sqrt() <= 1e-5 * mean[0].hypot(mean[1]);
        if is_point(extent_from, mean_from) || is_point(extent_to, mean_to) {
            return Err(LandmarkError::OnePlace);
        }
        if a.hypot(b) <= 1e-5 * (extent_from * extent_to).sqrt() {
            return Err(LandmarkError::NoFit);
        }
        let (a, b) = (a / extent_from, b / extent_from);
        let [x, y] = mean_from;
        Ok(Self { a, b, shift: [mean_to[0] - a * x + b * y, mean_to[1] - b * x - a * y] })
    }

    /// Where a point comes to lie.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.shift[0], self.b * x + self.a * y + self.shift[1]]
    }

    /// How many times longer distances become.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The transform as rows of a matrix that is applied to (x, y, 1).
    pub fn matrix(&self) -> [[f64; 3]; 2] {
        [[self.a, -self.b, self.shift[0]], [self.b, self.a, self.shift[1]]]
    }

    /// The way back.
    fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        let [x, y] = self.shift;
        Self { a, b, shift: [b * y - a * x, -b * x - a * y] }
    }
}

fn mean(points: &[[f64; 2]; 5]) -> [f64; 2] {
    [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / 5.0)
}

/// `picture` under `transform`, the part from 0 to `size` (height, width); black where there was no picture.
///
/// Between pixels it is bilinear, as `cv2.warpAffine` with its usual settings. Where the picture shrinks by more
/// than 1.5, what the new pixels cannot show would turn into noise there; here the picture is first averaged
/// over blocks of whole pixels, so that 1.5 at most is left.
pub fn warp(picture: &Picture, transform: &Similarity2d, size: [usize; 2]) -> Picture {
    let back = transform.inverse();
    let shrink = back.scale();
    if shrink <= MAX_PLAIN_SHRINK {
        return bilinear(picture, &back, size);
    }
    // A block is no larger than the picture needs to be: far beyond that everything is one pixel.
    let block = (shrink.round() as usize).clamp(2, picture.width().max(picture.height()).max(2));
    let reduced = block_means(picture, block);
    // The centre of the first block is between pixels.
    let centre = (block - 1) as f64 / 2.0;
    let block = block as f64;
    let back = Similarity2d {
        a: back.a / block,
        b: back.b / block,
        shift: back.shift.map(|shift| (shift - centre) / block),
    };
    bilinear(&reduced, &back, size)
}

/// The means over blocks of `block` x `block` pixels, black beyond the edges.
fn block_means(picture: &Picture, block: usize) -> Picture {
    let [width, height] = [picture.width(), picture.height()].map(|len| len.div_ceil(block));
    let stride = picture.width() * 3;
    let mut pixels = Vec::with_capacity(width * height * 3);
    let area = (block * block) as f64;
    for rows in picture.pixels().chunks(stride.max(1) * block) {
        let mut sums = vec![0u64; width * 3];
        for row in rows.chunks_exact(stride) {
            for (sums, pixels) in sums.chunks_exact_mut(3).zip(row.chunks(block * 3)) {
                for pixel in pixels.chunks_exact(3) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += u64::from(value);
                    }
                }
            }
        }
        pixels.extend(sums.iter().map(|&sum| (sum as f64 / area + 0.5) as u8));
    }
    Picture::new(width, height, pixels)
}

/// The picture at `back` of each pixel of the result.
fn bilinear(picture: &Picture, back: &Similarity2d, [height, width]: [usize; 2]) -> Picture {
    let (source_width, source_height) = (picture.width() as isize, picture.height() as isize);
    let stride = picture.width() * 3;
    let source = picture.pixels();
    let mut pixels = vec![0; height * width * 3];
    for (y, row) in pixels.chunks_exact_mut((width * 3).max(1)).enumerate() {
        let [first_x, first_y] = back.apply([0.0, y as f64]);
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let (x, y) = (first_x + back.a * x as f64, first_y + back.b * x as f64);
            // The conversion saturates, so a point far away stays outside.
            let (left, top) = (x.floor() as isize, y.floor() as isize);
            let (right, bottom) = ((x - left as f64) as f32, (y - top as f64) as f32);
            if left >= 0 && top >= 0 && left < source_width - 1 && top < source_height - 1 {
                let at = top as usize * stride + left as usize * 3;
                let (above, below) = (&source[at..at + 6], &source[at + stride..at + stride + 6]);
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let mix = |pair: &[u8]| {
                        let (first, second) = (f32::from(pair[channel]), f32::from(pair[channel + 3]));
                        first + right * (second - first)
                    };
                    let (above, below) = (mix(above), mix(below));
                    *value = (above + bottom * (below - above) + 0.5) as u8;
                }
            } else if left >= -1 && top >= -1 && left < source_width && top < source_height {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let at = |x: isize, y: isize| {
                        let is_inside = (0..source_width).contains(&x) && (0..source_height).contains(&y);
                        let index = || y as usize * stride + x as usize * 3 + channel;
                        if is_inside { f32::from(source[index()]) } else { 0.0 }
                    };
                    let mix = |y| at(left, y) + right * (at(left + 1, y) - at(left, y));
                    let (above, below) = (mix(top), mix(top + 1));
                    *value = (above + bottom * (below - above) + 0.5) as u8;
                }
            }
        }
    }
    Picture::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use facegrad_random::{Purpose, Stream};
    use serde_json::Value;

    use super::*;

    fn similarity(scale: f64, angle: f64, shift: [f64; 2]) -> Similarity2d {
        Similarity2d { a: scale * angle.cos(), b: scale * angle.sin(), shift }
    }

    fn moved(transform: &Similarity2d, points: [[f32; 2]; 5]) -> [[f32; 2]; 5] {
        points.map(|point| transform.apply(point.map(f64::from)).map(|x| x as f32))
    }

    #[test]
    fn known_transforms_are_recovered() {
        let mut stream = Stream::new(1, Purpose::Augmentation, 0, 0);
        let mut draw = |low, high| f64::from(stream.range(low, high));
        for _ in 0..200 {
            let known =
                similarity(draw(0.05, 8.0), draw(-3.1, 3.1), [draw(-300.0, 300.0), draw(-300.0, 300.0)]);
            let found = Similarity2d::estimate(ARCFACE_LANDMARKS, moved(&known, ARCFACE_LANDMARKS)).unwrap();
            // The points are rounded to f32.
            for (x, y) in found.matrix().as_flattened().iter().zip(known.matrix().as_flattened()) {
                assert!((x - y).abs() < 2e-5 * (1.0 + y.abs()), "{found:?} {known:?}");
            }
            let [x, y] = known.inverse().apply(known.apply([3.0, -7.0]));
            assert!((x - 3.0).abs() < 1e-9 && (y + 7.0).abs() < 1e-9);
            assert!((found.scale() - known.scale()).abs() < 1e-5);
        }
        let line = [0.0, 1.0, 2.0, 3.0, 4.0].map(|x| [x, 2.0 * x]);
        let known = similarity(2.0, 1.0, [5.0, 6.0]);
        let found = Similarity2d::estimate(line, moved(&known, line)).unwrap();
        assert!((found.a - known.a).abs() < 1e-6 && (found.shift[1] - 6.0).abs() < 1e-5);
    }

    #[test]
    fn no_other_transform_is_nearer() {
        let mut stream = Stream::new(2, Purpose::Augmentation, 0, 0);
        for _ in 0..50 {
            let mut from = ARCFACE_LANDMARKS;
            from.as_flattened_mut().iter_mut().for_each(|x| *x += stream.range(-9.0, 9.0));
            let best = Similarity2d::estimate(from, ARCFACE_LANDMARKS).unwrap();
            let distance = |transform: &Similarity2d| -> f64 {
                let pairs = from.iter().zip(ARCFACE_LANDMARKS);
                pairs
                    .map(|(p, q)| {
                        let [x, y] = transform.apply(p.map(f64::from));
                        (x - f64::from(q[0])).powi(2) + (y - f64::from(q[1])).powi(2)
                    })
                    .sum()
            };
            for change in 0..8 {
                let mut other = best;
                let by = if change % 2 == 0 { 1e-3 } else { -1e-3 };
                match change / 2 {
                    0 => other.a += by,
                    1 => other.b += by,
                    axis => other.shift[axis - 2] += by,
                }
                assert!(distance(&other) > distance(&best));
            }
        }
    }

    #[test]
    fn landmarks_without_a_transform() {
        let same = [[31.4159, 27.1828]; 5];
        for (from, to) in [(same, ARCFACE_LANDMARKS), (ARCFACE_LANDMARKS, same), ([[0.0; 2]; 5], same)] {
            assert_eq!(Similarity2d::estimate(from, to), Err(LandmarkError::OnePlace));
        }
        let mut lost = ARCFACE_LANDMARKS;
        lost[3][1] = f32::NAN;
        assert_eq!(
            Similarity2d::estimate(lost, ARCFACE_LANDMARKS).unwrap_err().to_string(),
            "landmark 4 of 5 is not at finite coordinates"
        );
        // A square with a point in the middle and its mirror image: every turn is as bad.
        let square = [[1.0, 1.0], [-1.0, 1.0], [0.0, 0.0], [-1.0, -1.0], [1.0, -1.0]];
        let mirrored = square.map(|[x, y]| [-x, y]);
        assert_eq!(Similarity2d::estimate(square, mirrored), Err(LandmarkError::NoFit));
        // A mirrored face is turned and scaled, never mirrored.
        let flipped = ARCFACE_LANDMARKS.map(|[x, y]| [112.0 - x, y]);
        let [[a, b, _], [c, d, _]] = Similarity2d::estimate(flipped, ARCFACE_LANDMARKS).unwrap().matrix();
        assert!(a * d - b * c > 0.0);
    }

    #[test]
    fn the_template_for_other_sizes() {
        assert_eq!(arcface_landmarks([112, 112]), ARCFACE_LANDMARKS);
        let narrow = arcface_landmarks([112, 96]);
        // SphereFace and insightface for 112 x 96.
        let known = [30.2946, 65.5318, 48.0252, 33.5493, 62.7299];
        for (i, point) in narrow.iter().enumerate() {
            assert!((point[0] - known[i]).abs() < 1e-4 && point[1] == ARCFACE_LANDMARKS[i][1]);
        }
        let double = arcface_landmarks([224, 224]);
        assert!((double[0][0] - 76.5892).abs() < 1e-4 && (double[4][1] - 184.4082).abs() < 1e-4);
    }

    /// Smooth spots of radius `sigma` at `points`, one to a channel in turn, on black.
    fn spots(width: usize, height: usize, points: &[[f32; 2]; 5], sigma: f32) -> Picture {
        let mut pixels = vec![0; width * height * 3];
        for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            for (k, point) in points.iter().enumerate() {
                let square = (x - point[0]).powi(2) + (y - point[1]).powi(2);
                let value = 250.0 * (-square / (2.0 * sigma * sigma)).exp();
                pixel[k % 3] = pixel[k % 3].max((value + 0.5) as u8);
            }
        }
        Picture::new(width, height, pixels)
    }

    /// The centre of the light of one channel within `reach` pixels of a point.
    fn centre(picture: &Picture, channel: usize, near: [f32; 2], reach: f32) -> [f32; 2] {
        let (mut sum, mut total) = ([0.0; 2], 0.0);
        for (i, pixel) in picture.pixels().chunks_exact(3).enumerate() {
            let point = [(i % picture.width()) as f32, (i / picture.width()) as f32];
            if (point[0] - near[0]).hypot(point[1] - near[1]) < reach {
                let light = f32::from(pixel[channel]);
                total += light;
                sum = [sum[0] + light * point[0], sum[1] + light * point[1]];
            }
        }
        sum.map(|sum| sum / total)
    }

    #[test]
    fn landmarks_land_where_they_should() {
        for (scale, angle, [width, height]) in [
            (1.0, 0.0, [140, 140]),
            (0.6, 0.3, [160, 150]),
            (1.3, -0.4, [260, 260]),
            (1.45, 0.1, [300, 280]),
            (1.6, 0.7, [300, 300]),
            (3.3, -0.2, [460, 460]),
            (8.0, 2.0, [1300, 1300]),
        ] {
            let middle = [width as f64 / 2.0, height as f64 / 2.0];
            let out = similarity(scale, angle, [0.0; 2]);
            let [x, y] = out.apply([56.0, 72.0]);
            let out = Similarity2d { shift: [middle[0] - x + 0.3, middle[1] - y + 0.7], ..out };
            for size in [[112, 112], [112, 96]] {
                let template = arcface_landmarks(size);
                let from = moved(&out, template);
                let picture = spots(width, height, &from, 2.5 * scale as f32);
                let found = Similarity2d::estimate(from, template).unwrap();
                let aligned = warp(&picture, &found, size);
                assert_eq!([aligned.height(), aligned.width()], size);
                for (k, point) in template.iter().enumerate() {
                    let [x, y] = centre(&aligned, k % 3, *point, 9.0);
                    let distance = (x - point[0]).hypot(y - point[1]);
                    assert!(distance < 0.1, "{scale} {angle}: landmark {k} is {distance} pixels away");
                }
            }
        }
    }

    /// Texture of every frequency, as in reference/warp.py.
    fn texture(width: usize, height: usize) -> Picture {
        let value = |i: usize| {
            let (x, y, channel) = (i / 3 % width, i / 3 / width, i % 3);
            ((x * x + 3 * y * y + 7 * x * y + 50 * channel) / 16 % 256) as u8
        };
        Picture::new(width, height, (0..width * height * 3).map(value).collect())
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    #[test]
    fn as_scikit_image_and_opencv() {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("reference/warp.json");
        let reference: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        for case in reference["cases"].as_array().unwrap() {
            let [width, height, out_height, out_width] = ["width", "height", "out_height", "out_width"]
                .map(|key| case[key].as_u64().unwrap() as usize);
            let given = numbers(&case["landmarks"]);
            let landmarks = std::array::from_fn(|i| [given[2 * i] as f32, given[2 * i + 1] as f32]);
            let size = [out_height, out_width];
            let found = Similarity2d::estimate(landmarks, arcface_landmarks(size)).unwrap();
            for (x, y) in found.matrix().as_flattened().iter().zip(numbers(&case["matrix"])) {
                assert!((x - y).abs() < 1e-4, "{found:?}");
            }
            let step = case["step"].as_u64().unwrap() as usize;
            let warped = warp(&texture(width, height), &found, size);
            let expected = numbers(&case["pixels"]);
            let chosen = warped.pixels().chunks_exact(3).step_by(step).flatten();
            let differences: Vec<f64> =
                chosen.zip(&expected).map(|(&x, &y)| (f64::from(x) - y).abs()).collect();
            assert_eq!(differences.len(), expected.len());
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            let worst = differences.iter().copied().fold(0.0, f64::max);
            assert!(mean < 0.05 && worst <= 2.0, "{width} x {height}: {mean} on average, {worst} at most");
        }
    }

    /// The mean of the picture over the square that each new pixel covers, from `fine` x `fine` points of it.
    fn by_areas(
        picture: &Picture,
        transform: &Similarity2d,
        [height, width]: [usize; 2],
        fine: usize,
    ) -> Vec<f64> {
        let back = transform.inverse();
        let mut means = Vec::new();
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let mut sum = [0.0; 3];
            for (v, u) in (0..fine).flat_map(|v| (0..fine).map(move |u| (v, u))) {
                let part = |i: usize| (i as f64 + 0.5) / fine as f64 - 0.5;
                let [x, y] = back.apply([x as f64 + part(u), y as f64 + part(v)]).map(f64::round);
                if x >= 0.0 && y >= 0.0 && x < picture.width() as f64 && y < picture.height() as f64 {
                    let at = (y as usize * picture.width() + x as usize) * 3;
                    sum.iter_mut().zip(&picture.pixels()[at..]).for_each(|(sum, &v)| *sum += f64::from(v));
                }
            }
            means.extend(sum.map(|sum| sum / (fine * fine) as f64));
        }
        means
    }

    #[test]
    fn shrinking_averages() {
        let mut stream = Stream::new(3, Purpose::Augmentation, 0, 0);
        let (width, height) = (640, 600);
        let noise =
            Picture::new(width, height, (0..width * height * 3).map(|_| stream.bits() as u8).collect());
        let deviation = |values: &mut dyn Iterator<Item = f64>| {
            let values: Vec<f64> = values.map(|value| value - 127.5).collect();
            (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
        };
        for (scale, angle) in [(3.0, 0.0), (4.0, 0.5), (5.4, -1.0)] {
            let transform = similarity(1.0 / scale, angle, [0.0; 2]);
            let [x, y] = transform.apply([width as f64 / 2.0, height as f64 / 2.0]);
            let transform = Similarity2d { shift: [30.0 - x, 30.0 - y], ..transform };
            let size = [60, 60];
            let warped = warp(&noise, &transform, size);
            let areas = by_areas(&noise, &transform, size, 12);
            let spread = deviation(&mut warped.pixels().iter().map(|&v| f64::from(v)));
            let of_areas = deviation(&mut areas.into_iter());
            // Averages over n pixels of noise spread by 1 / √n; four pixels alone would by 1/2 to 1.
            assert!(
                spread < 1.2 * of_areas && spread < 74.0 / scale * 1.3,
                "{scale}: {spread}, areas {of_areas}"
            );
        }
        // Something smooth is the same either way.
        let smooth = |i: usize| {
            let (x, y) = ((i / 3 % width) as f32, (i / 3 / width) as f32);
            (127.0 + 60.0 * (x / 40.0).sin() + 60.0 * (y / 50.0).cos()) as u8
        };
        let smooth = Picture::new(width, height, (0..width * height * 3).map(smooth).collect());
        let transform = similarity(0.3, 0.4, [60.0, -20.0]);
        let size = [100, 100];
        let warped = warp(&smooth, &transform, size);
        for (i, (x, y)) in warped.pixels().iter().zip(by_areas(&smooth, &transform, size, 16)).enumerate() {
            let [x_at, y_at] = transform.inverse().apply([(i / 3 % 100) as f64, (i / 300) as f64]);
            let is_inner = x_at > 8.0 && y_at > 8.0 && x_at < 632.0 && y_at < 592.0;
            assert!(!is_inner || (f64::from(*x) - y).abs() < 3.0, "{x} {y}");
        }
    }

    #[test]
    fn extremes_are_pictures_too() {
        let picture = texture(5, 3);
        for transform in [
            similarity(1e-9, 0.1, [0.0; 2]),
            similarity(1e9, 0.1, [-1e12, 0.0]),
            similarity(1.0, 0.0, [1e300, -1e300]),
            similarity(1e-200, 0.0, [f64::MAX, 0.0]),
        ] {
            assert_eq!(warp(&picture, &transform, [4, 6]).pixels().len(), 72);
        }
        assert_eq!(warp(&picture, &similarity(1.0, 0.0, [0.0; 2]), [3, 5]), picture);
        assert_eq!(warp(&picture, &similarity(1.0, 0.0, [0.0; 2]), [0, 0]).pixels().len(), 0);
        let empty = Picture::new(0, 0, Vec::new());
        for scale in [0.1, 1.0] {
            assert_eq!(warp(&empty, &similarity(scale, 0.0, [0.0; 2]), [1, 1]).pixels(), [0, 0, 0]);
        }
    }
}
