//! How well people can be told apart without learning anything: by comparing pixels or colours.

use facegrad_pictures::Picture;
use facegrad_random::{Purpose, Stream};
use rayon::prelude::*;

use super::SyntheticFaces;

/// What two pictures are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFeature {
    /// All bytes of the picture, compared by cosine.
    Pixels {
        /// Whether each picture's mean is subtracted first.
        centred: bool,
    },
    /// The picture in grey, averaged down to `side` x `side`, compared by cosine.
    Grey {
        /// Width and height in pixels.
        side: usize,
        /// Whether each picture's mean is subtracted first.
        centred: bool,
    },
    /// The mean of each colour channel, compared by Euclidean distance.
    MeanColour,
    /// Histograms of 8 x 8 x 8 colours, compared by intersection (Swain and Ballard, IJCV 1991).
    Histogram,
}

/// Verification accuracy of comparing `feature`, in 0 to 1, at the threshold that is best for these very pairs
/// (which favours the baseline): over `folds` disjoint groups of identities with `pairs` genuine and `pairs`
/// impostor pairs each, both pictures of a pair from the same fold.
///
/// # Panics
/// If a fold would have fewer than two identities, or there are fewer than two images of each.
pub fn pixel_baseline(faces: &SyntheticFaces, feature: PixelFeature, folds: usize, pairs: usize) -> f64 {
    let config = faces.config();
    let fold_size = config.identities / folds.max(1);
    assert!(fold_size >= 2 && config.images >= 2, "two identities a fold and two images of each");
    let mut drawn = Vec::with_capacity(folds * pairs * 2);
    for fold in 0..folds {
        let mut stream = Stream::new(config.seed, Purpose::Pairs, 0, fold as u64);
        let base = fold * fold_size;
        for pair in 0..2 * pairs {
            let genuine = pair % 2 == 0;
            let (first, image) = (stream.below(fold_size), stream.below(config.images));
            let (second, other_image) = if genuine {
                (first, other(&mut stream, config.images, image))
            } else {
                (other(&mut stream, fold_size, first), stream.below(config.images))
            };
            drawn.push(([(base + first, image), (base + second, other_image)], genuine));
        }
    }
    let score = |(pair, genuine): ([(usize, usize); 2], bool)| {
        let [a, b] = pair.map(|(label, image)| feature.describe(&faces.render(label, image, config.size)));
        (feature.similarity(&a, &b), genuine)
    };
    best_accuracy(drawn.into_par_iter().map(score).collect())
}

/// One of `0..n` other than `not`.
fn other(stream: &mut Stream, n: usize, not: usize) -> usize {
    let drawn = stream.below(n - 1);
    drawn + usize::from(drawn >= not)
}

/// The share of pairs on the right side of the best threshold.
fn best_accuracy(mut scores: Vec<(f32, bool)>) -> f64 {
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let impostors = scores.iter().filter(|s| !s.1).count();
    let (mut right, mut best) = (impostors, impostors);
    for (k, (score, genuine)) in scores.iter().enumerate() {
        if *genuine {
            right += 1
        } else {
            right -= 1
        }
        // Equal scores cannot be told apart by a threshold.
        if scores.get(k + 1).is_none_or(|next| next.0 < *score) {
            best = best.max(right);
        }
    }
    best as f64 / scores.len() as f64
}

impl PixelFeature {
    fn describe(self, picture: &Picture) -> Vec<f32> {
        let pixels = || picture.pixels().iter().map(|&byte| f32::from(byte));
        match self {
            Self::Pixels { centred } => centre(pixels().collect(), centred),
            Self::Grey { side, centred } => centre(grey(picture, side), centred),
            Self::MeanColour => {
                let count = (picture.pixels().len() / 3) as f32;
                (0..3).map(|c| pixels().skip(c).step_by(3).sum::<f32>() / count).collect()
            }
            Self::Histogram => {
                let mut bins = vec![0.0; 512];
                for pixel in picture.pixels().chunks_exact(3) {
                    let [r, g, b] = [0, 1, 2].map(|c| usize::from(pixel[c] >> 5));
                    bins[(r * 8 + g) * 8 + b] += 1.0;
                }
                bins
            }
        }
    }

    fn similarity(self, a: &[f32], b: &[f32]) -> f32 {
        let pairs = || a.iter().zip(b);
        match self {
            Self::Pixels { .. } | Self::Grey { .. } => {
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
            }
            Self::MeanColour => -pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f32>(),
            Self::Histogram => pairs().map(|(a, b)| a.min(*b)).sum(),
        }
    }
}

fn centre(mut values: Vec<f32>, centred: bool) -> Vec<f32> {
    if centred {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|value| *value -= mean);
    }
    values
}

/// The picture in grey, averaged over the blocks of a `side` x `side` grid.
fn grey(picture: &Picture, side: usize) -> Vec<f32> {
    let (mut sums, mut counts) = (vec![0.0; side * side], vec![0.0; side * side]);
    for (at, pixel) in picture.pixels().chunks_exact(3).enumerate() {
        let [x, y] = [at % picture.width(), at / picture.width()];
        let block = y * side / picture.height() * side + x * side / picture.width();
        let [r, g, b] = [0, 1, 2].map(|c| f32::from(pixel[c]));
        sums[block] += 0.299 * r + 0.587 * g + 0.114 * b;
        counts[block] += 1.0;
    }
    sums.into_iter().zip(counts).map(|(sum, count): (f32, f32)| sum / count.max(1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_threshold_separates_what_can_be_separated() {
        let scores = |list: &[(f32, bool)]| best_accuracy(list.to_vec());
        assert_eq!(scores(&[(0.9, true), (0.8, true), (0.1, false), (0.2, false)]), 1.0);
        assert_eq!(scores(&[(0.5, true), (0.5, false)]), 0.5);
        assert_eq!(scores(&[(0.1, true), (0.9, false)]), 0.5);
        assert_eq!(scores(&[(0.9, true), (0.5, false), (0.4, true), (0.1, false)]), 0.75);
    }
}
