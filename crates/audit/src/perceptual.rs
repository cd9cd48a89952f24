//! Whether two pictures are the same photograph: a perceptual hash to find candidates, and small grey pictures to
//! judge them by.

use facegrad_pictures::{Picture, plain};

use crate::frame::unframed;

/// Side of a [`Thumbnail`] in pixels.
pub const SIDE: usize = 32;

/// The frequencies of a [`Fingerprint`] along each axis: 1 to 8 periods over two widths.
const FREQUENCIES: usize = 8;

/// What surrounds a face differs from one grey value by no more levels.
const SURROUND_TOLERANCE: u8 = 3;
/// One over the share of the edge that is of one grey if anything surrounds the rest.
const SURROUND_SHARE: usize = 4;
/// Fewer pixels have nothing to be compared.
const LEAST_COMPARED: usize = 32;
/// A deviation of fewer grey levels is a wall, or noise.
const LEAST_DEVIATION: f32 = 2.0;

/// The middle square of a picture in grey, 32 x 32, rows from top to bottom; with that of what a straight frame encloses,
/// if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    grey: Box<[u8; SIDE * SIDE]>,
    within: Option<Box<Thumbnail>>,
}

impl Thumbnail {
    /// The thumbnail of a picture: smoothed, shrunk, and its luma by ITU-R BT.601.
    pub fn of(picture: Picture) -> Self {
        let within = unframed(&picture).map(|within| Box::new(Self { grey: grey(within), within: None }));
        Self { grey: grey(picture), within }
    }

    /// The grey values, `[32, 32]`.
    pub fn pixels(&self) -> &[u8; SIDE * SIDE] {
        &self.grey
    }

    /// Whether the grey values are all about the same.
    fn is_featureless(&self) -> bool {
        moments(&self.grey.map(f32::from)).is_none()
    }

    /// How far the thumbnail is from another, in grey levels: the mean absolute difference once both have mean 128
    /// and deviation 48, so that brightness and contrast do not count. What is of one grey around both is left out, or
    /// all faces on white would be alike; and what frames enclose is compared as well, of which the least difference
    /// counts. `None` if either is featureless.
    ///
    /// With `mirrored`, the other is mirrored first.
    pub fn difference(&self, other: &Self, mirrored: bool) -> Option<f32> {
        let whole = self.difference_of_whole(other, mirrored)?;
        let [a, b] = [self, other].map(|thumbnail| thumbnail.within.as_deref());
        let within = match (a, b) {
            (None, None) => None,
            (a, b) => a.unwrap_or(self).difference_of_whole(b.unwrap_or(other), mirrored),
        };
        Some(within.map_or(whole, |within| within.min(whole)))
    }

    fn difference_of_whole(&self, other: &Self, mirrored: bool) -> Option<f32> {
        let at = |i: usize| if mirrored { i / SIDE * SIDE + SIDE - 1 - i % SIDE } else { i };
        let [surround_a, surround_b] = [self, other].map(|thumbnail| surround(&thumbnail.grey));
        let compared = (0..SIDE * SIDE).filter(|&i| !(surround_a[i] && surround_b[at(i)]));
        let (a, b): (Vec<f32>, Vec<f32>) =
            compared.map(|i| (f32::from(self.grey[i]), f32::from(other.grey[at(i)]))).unzip();
        let ([mean_a, deviation_a], [mean_b, deviation_b]) = (moments(&a)?, moments(&b)?);
        let apart = |(a, b): (&f32, &f32)| ((a - mean_a) / deviation_a - (b - mean_b) / deviation_b).abs();
        Some(48.0 * a.iter().zip(&b).map(apart).sum::<f32>() / a.len() as f32)
    }

    /// The perceptual hash; `None` if the picture is featureless, so that its hash would be that of its noise.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        if self.is_featureless() {
            return None;
        }
        let coefficients = self.frequencies();
        let mut mirrored = coefficients;
        for row in mirrored.chunks_exact_mut(FREQUENCIES) {
            // Mirrored, waves with an odd number of half periods change their sign.
            row.iter_mut().step_by(2).for_each(|c| *c = -*c);
        }
        Some(Fingerprint { hash: signs(&coefficients), mirrored: signs(&mirrored) })
    }

    /// The perceptual hash of what a frame encloses; `None` without a frame, or if that is featureless.
    pub fn fingerprint_within(&self) -> Option<Fingerprint> {
        self.within.as_ref()?.fingerprint()
    }

    /// The lowest frequencies of the discrete cosine transform, without those along one axis only, `[8, 8]`.
    fn frequencies(&self) -> [f32; FREQUENCIES * FREQUENCIES] {
        let waves = waves();
        // Along rows first.
        let mut rows = [[0.0f32; FREQUENCIES]; SIDE];
        for (sums, pixels) in rows.iter_mut().zip(self.grey.chunks_exact(SIDE)) {
            for (sum, wave) in sums.iter_mut().zip(&waves) {
                *sum = pixels.iter().zip(wave).map(|(&pixel, w)| f32::from(pixel) * w).sum();
            }
        }
        let mut found = [0.0; FREQUENCIES * FREQUENCIES];
        for (i, value) in found.iter_mut().enumerate() {
            let (vertical, horizontal) = (i / FREQUENCIES, i % FREQUENCIES);
            *value = rows.iter().zip(&waves[vertical]).map(|(row, w)| row[horizontal] * w).sum();
        }
        found
    }
}

fn grey(picture: Picture) -> Box<[u8; SIDE * SIDE]> {
    let small = plain(picture, [SIDE, SIDE]);
    let mut grey = Box::new([0; SIDE * SIDE]);
    for (grey, pixel) in grey.iter_mut().zip(small.pixels().chunks_exact(3)) {
        let [r, g, b] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
        *grey = ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8;
    }
    grey
}

/// Mean and deviation of grey values; `None` of few, or if they are all about the same.
fn moments(values: &[f32]) -> Option<[f32; 2]> {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let deviation = (squares / count).sqrt() as f32;
    (values.len() >= LEAST_COMPARED && deviation >= LEAST_DEVIATION).then_some([mean as f32, deviation])
}

/// The pixels that are connected with the edge and of about the grey value that most of the edge has: white that a face
/// was pasted on in any form, or what alignment left black. None if less than a quarter of the edge has it.
fn surround(grey: &[u8; SIDE * SIDE]) -> [bool; SIDE * SIDE] {
    let mut surround = [false; SIDE * SIDE];
    let is_edge = |i: usize| [0, SIDE - 1].contains(&(i / SIDE)) || [0, SIDE - 1].contains(&(i % SIDE));
    let mut next: Vec<usize> = (0..SIDE * SIDE).filter(|&i| is_edge(i)).collect();
    let is_near = |i: usize, value: u8| grey[i].abs_diff(value) <= SURROUND_TOLERANCE;
    let mut counts = [0; 256];
    next.iter().for_each(|&i| counts[usize::from(grey[i])] += 1);
    let near = |value: u8| {
        let (least, most) =
            (value.saturating_sub(SURROUND_TOLERANCE), value.saturating_add(SURROUND_TOLERANCE));
        counts[usize::from(least)..=usize::from(most)].iter().sum::<usize>()
    };
    let most = next.iter().map(|&i| (near(grey[i]), grey[i])).max();
    let Some((_, value)) = most.filter(|(count, _)| count * SURROUND_SHARE >= next.len()) else {
        return surround;
    };
    while let Some(i) = next.pop() {
        if surround[i] || !is_near(i, value) {
            continue;
        }
        surround[i] = true;
        let (row, column) = (i / SIDE, i % SIDE);
        next.extend((row > 0).then(|| i - SIDE));
        next.extend((row + 1 < SIDE).then(|| i + SIDE));
        next.extend((column > 0).then(|| i - 1));
        next.extend((column + 1 < SIDE).then(|| i + 1));
    }
    surround
}

/// cos(π (2 x + 1) k / 64) for k from 1 to 8.
fn waves() -> [[f32; SIDE]; FREQUENCIES] {
    std::array::from_fn(|k| {
        std::array::from_fn(|x| {
            let angle = std::f64::consts::PI * ((2 * x + 1) * (k + 1)) as f64 / (2 * SIDE) as f64;
            angle.cos() as f32
        })
    })
}

fn signs(coefficients: &[f32; FREQUENCIES * FREQUENCIES]) -> u64 {
    let mut sorted = *coefficients;
    sorted.sort_unstable_by(f32::total_cmp);
    let median = (sorted[31] + sorted[32]) / 2.0;
    coefficients.iter().enumerate().fold(0, |hash, (i, &c)| hash | u64::from(c > median) << i)
}

/// A perceptual hash of 64 bits, and that of the mirror image.
///
/// The bits say which of the 8 x 8 lowest frequencies of the cosine transform, without those along one axis only,
/// are above their median.
///
/// Source: the DCT hash of pHash; Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010,
/// section 3.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Of the picture.
    pub hash: u64,
    /// Of its mirror image.
    pub mirrored: u64,
}

#[cfg(test)]
mod tests {
    use facegrad_faces::FaceSource;
    use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    fn faces() -> Vec<Picture> {
        let faces = SyntheticFaces::new(&SyntheticConfig { identities: 4, images: 4, ..Default::default() });
        (0..faces.len()).map(|i| faces.load(i, [112, 112]).unwrap()).collect()
    }

    fn changed(picture: &Picture, change: impl Fn(usize, u8) -> u8) -> Picture {
        let pixels = picture.pixels().iter().enumerate().map(|(i, &v)| change(i, v)).collect();
        Picture::new(picture.width(), picture.height(), pixels)
    }

    #[test]
    fn a_mirror_image_has_the_mirrored_hash() {
        for picture in faces() {
            let mirrored = {
                let row = picture.width() * 3;
                let pixels =
                    picture.pixels().chunks_exact(row).flat_map(|row| row.chunks_exact(3).rev().flatten());
                Picture::new(picture.width(), picture.height(), pixels.copied().collect())
            };
            let (a, b) = (Thumbnail::of(picture), Thumbnail::of(mirrored));
            let (x, y) = (a.fingerprint().unwrap(), b.fingerprint().unwrap());
            assert!((x.mirrored ^ y.hash).count_ones() <= 2 && (x.hash ^ y.mirrored).count_ones() <= 2);
            assert!(a.difference(&b, true).unwrap() < 1.0 && a.difference(&b, false).unwrap() > 3.0);
        }
    }

    #[test]
    fn light_changes_little_and_another_picture_much() {
        let faces = faces();
        let thumbnails: Vec<_> = faces.iter().cloned().map(Thumbnail::of).collect();
        for (i, picture) in faces.iter().enumerate() {
            let dim = Thumbnail::of(changed(picture, |_, v| (f32::from(v) * 0.7 + 20.0) as u8));
            let (a, b) = (thumbnails[i].fingerprint().unwrap(), dim.fingerprint().unwrap());
            assert!((a.hash ^ b.hash).count_ones() <= 2, "{i}");
            let own = dim.difference(&thumbnails[i], false).unwrap();
            assert!(own < 2.0, "{i}: {own}");
            for (k, other) in thumbnails.iter().enumerate().filter(|(k, _)| *k != i) {
                assert!(dim.difference(other, false).unwrap() > 6.0, "{i} and {k}");
            }
        }
    }

    #[test]
    fn a_wall_has_no_hash() {
        let wall = Thumbnail::of(Picture::new(112, 112, vec![77; 112 * 112 * 3]));
        assert_eq!(wall.fingerprint(), None);
        assert_eq!(wall.difference(&wall, false), None);
        assert!(wall.pixels().iter().all(|&v| v == 77));
    }
}
