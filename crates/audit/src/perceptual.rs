//! Whether two pictures are the same photograph: a perceptual hash to find candidates, and small grey pictures to
//! judge them by.

use facegrad_pictures::{Picture, plain};

/// Side of a [`Thumbnail`] in pixels.
pub const SIDE: usize = 32;

/// The frequencies of a [`Fingerprint`] along each axis: 1 to 8 periods over two widths.
const FREQUENCIES: usize = 8;

/// The middle square of a picture in grey, 32 x 32, rows from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail(Box<[u8; SIDE * SIDE]>);

impl Thumbnail {
    /// The thumbnail of a picture: smoothed, shrunk, and its luma by ITU-R BT.601.
    pub fn of(picture: Picture) -> Self {
        let small = plain(picture, [SIDE, SIDE]);
        let mut grey = Box::new([0; SIDE * SIDE]);
        for (grey, pixel) in grey.iter_mut().zip(small.pixels().chunks_exact(3)) {
            let [r, g, b] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
            *grey = ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8;
        }
        Self(grey)
    }

    /// The grey values, `[32, 32]`.
    pub fn pixels(&self) -> &[u8; SIDE * SIDE] {
        &self.0
    }

    /// The grey values with mean 0 and length 1, `[32, 32]`; `None` if they are all about the same.
    pub fn normalised(&self) -> Option<Vec<f32>> {
        let mean = self.0.iter().map(|&v| f64::from(v)).sum::<f64>() / (SIDE * SIDE) as f64;
        let length = self.0.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>().sqrt();
        // A deviation of less than two grey levels is a wall, or noise.
        if length < 2.0 * SIDE as f64 {
            return None;
        }
        Some(self.0.iter().map(|&v| ((f64::from(v) - mean) / length) as f32).collect())
    }

    /// How far the thumbnail is from another, in grey levels: the mean absolute difference once both have mean 128
    /// and deviation 48, so that brightness and contrast do not count. `None` if either is featureless.
    ///
    /// With `mirrored`, the other is mirrored first.
    pub fn difference(&self, other: &Self, mirrored: bool) -> Option<f32> {
        let (a, b) = (self.normalised()?, other.normalised()?);
        let at = |i: usize| if mirrored { i / SIDE * SIDE + SIDE - 1 - i % SIDE } else { i };
        let sum: f32 = a.iter().enumerate().map(|(i, a)| (a - b[at(i)]).abs()).sum();
        // Of unit length, the values have a deviation of 1 / 32.
        Some(sum * 48.0 * SIDE as f32 / (SIDE * SIDE) as f32)
    }

    /// The perceptual hash; `None` if the picture is featureless, so that its hash would be that of its noise.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.normalised()?;
        let coefficients = self.frequencies();
        let mut mirrored = coefficients;
        for row in mirrored.chunks_exact_mut(FREQUENCIES) {
            // Mirrored, waves with an odd number of half periods change their sign.
            row.iter_mut().step_by(2).for_each(|c| *c = -*c);
        }
        Some(Fingerprint { hash: signs(&coefficients), mirrored: signs(&mirrored) })
    }

    /// The lowest frequencies of the discrete cosine transform, without those along one axis only, `[8, 8]`.
    fn frequencies(&self) -> [f32; FREQUENCIES * FREQUENCIES] {
        let waves = waves();
        // Along rows first.
        let mut rows = [[0.0f32; FREQUENCIES]; SIDE];
        for (sums, pixels) in rows.iter_mut().zip(self.0.chunks_exact(SIDE)) {
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
