//! Whether a face lies as the others of its set do: how far its eyes, nose and mouth are like their mean.
//!
//! This is no detector. It finds what is upside down, far off its place, or no face; a shift by a twentieth of the
//! side or a turn by 10 degrees is less than what people differ by. `examples/likeness.rs` measures both.

use crate::perceptual::{SIDE, Thumbnail};

/// The part of a [`Thumbnail`] that is compared, rows and columns: where aligned faces have eyes, nose and mouth.
const ROWS: std::ops::Range<usize> = 9..29;
const COLUMNS: std::ops::Range<usize> = 5..27;
/// Light is evened out over squares that reach so far.
const REACH: usize = 4;
/// Deviations of fewer grey levels are not stretched.
const LEAST_DEVIATION: f32 = 8.0;

/// Fewer faces have no mean to speak of.
const LEAST_FACES: usize = 16;

/// The mean face of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanFace {
    /// With mean 0 and length 1.
    features: Vec<f32>,
}

impl MeanFace {
    /// The mean of some faces, the same in any order of threads; `None` of fewer than 16.
    pub fn of<'a>(faces: impl Iterator<Item = &'a Thumbnail>) -> Option<Self> {
        let mut sums = vec![0.0f64; ROWS.len() * COLUMNS.len()];
        let mut count = 0;
        for features in faces.filter_map(features) {
            sums.iter_mut().zip(features).for_each(|(sum, value)| *sum += f64::from(value));
            count += 1;
        }
        if count < LEAST_FACES {
            return None;
        }
        let means = sums.into_iter().map(|sum| (sum / count as f64) as f32).collect();
        Some(Self { features: unit(means)? })
    }

    /// The correlation of a face with the mean, from −1 to 1; `None` of a featureless picture.
    pub fn likeness(&self, face: &Thumbnail) -> Option<f32> {
        Some(features(face)?.iter().zip(&self.features).map(|(a, b)| a * b).sum())
    }
}

/// The grey values around eyes, nose and mouth relative to their surroundings, with mean 0 and length 1.
fn features(face: &Thumbnail) -> Option<Vec<f32>> {
    let pixels = face.pixels();
    let mut features = Vec::with_capacity(ROWS.len() * COLUMNS.len());
    for (y, x) in ROWS.flat_map(|y| COLUMNS.map(move |x| (y, x))) {
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for row in pixels.chunks_exact(SIDE).take((y + REACH + 1).min(SIDE)).skip(y.saturating_sub(REACH)) {
            for &value in &row[x.saturating_sub(REACH)..(x + REACH + 1).min(SIDE)] {
                let value = f32::from(value);
                sum += value;
                squares += value * value;
                count += 1.0;
            }
        }
        let mean: f32 = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        features.push((f32::from(pixels[y * SIDE + x]) - mean) / (deviation + LEAST_DEVIATION));
    }
    unit(features)
}

fn unit(mut values: Vec<f32>) -> Option<Vec<f32>> {
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    values.iter_mut().for_each(|value| *value -= mean);
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length < 1e-3 {
        return None;
    }
    values.iter_mut().for_each(|value| *value /= length);
    Some(values)
}

#[cfg(test)]
mod tests {
    use facegrad_faces::FaceSource;
    use facegrad_pictures::Picture;
    use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    fn upside_down(picture: &Picture) -> Picture {
        let pixels = picture.pixels().chunks_exact(3).rev().flatten().copied().collect();
        Picture::new(picture.width(), picture.height(), pixels)
    }

    #[test]
    fn what_stands_on_its_head_is_unlike_the_others() {
        let faces = SyntheticFaces::new(&SyntheticConfig { identities: 60, images: 1, ..Default::default() });
        let pictures: Vec<Picture> = (0..60).map(|i| faces.load(i, [112, 112]).unwrap()).collect();
        let thumbnails: Vec<Thumbnail> = pictures.iter().cloned().map(Thumbnail::of).collect();
        let mean = MeanFace::of(thumbnails.iter()).unwrap();
        let mut upright: Vec<f32> = thumbnails.iter().map(|face| mean.likeness(face).unwrap()).collect();
        upright.sort_unstable_by(f32::total_cmp);
        let turned = pictures
            .iter()
            .filter(|picture| mean.likeness(&Thumbnail::of(upside_down(picture))).unwrap() < upright[3]);
        assert!(upright[3] > 0.0, "{upright:?}");
        let turned = turned.count();
        assert!(turned >= 48, "{turned} of 60");
    }

    #[test]
    fn a_few_faces_or_walls_have_no_mean() {
        let wall = Thumbnail::of(Picture::new(40, 40, vec![9; 4800]));
        assert_eq!(MeanFace::of(std::iter::repeat_n(&wall, 100)), None);
        assert_eq!(MeanFace::of(std::iter::empty()), None);
    }
}
