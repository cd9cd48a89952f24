//! What pictures of a result are drawn from.

/// What a curve shows, which decides its axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurveKind {
    /// Receiver operating characteristic: (FAR, TAR), both rising from 0 to 1.
    Roc,
    /// Cumulative match characteristic: (rank, share found up to it).
    Cmc,
    /// Open-set search: (FPIR, true-positive identification rate), both rising from 0 to 1.
    OpenSet,
}

/// A curve of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultCurve {
    /// What it shows.
    pub kind: CurveKind,
    /// The points, by rising abscissa.
    pub points: Vec<(f64, f64)>,
    /// The impostor pairs or non-mated searches behind its rates: below 10 / `support` they rest on too few. 0 for a CMC.
    pub support: usize,
}

/// How many scores there are in each of equal stretches.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoreDistribution {
    /// Where the first stretch begins and the last one ends.
    pub range: (f64, f64),
    /// The number of genuine scores in each stretch.
    pub genuine: Vec<u64>,
    /// The number of impostor scores in each stretch.
    pub impostor: Vec<u64>,
}

/// The stretches of [`ScoreDistribution::of`].
const STRETCHES: usize = 50;

impl ScoreDistribution {
    /// Counts scores in 50 stretches of their range, widened to hold `also`; scores that are not finite are
    /// left out.
    pub fn of(genuine: &[f64], impostor: &[f64], also: &[f64]) -> Self {
        let all = genuine.iter().chain(impostor).chain(also).copied().filter(|score| score.is_finite());
        let range = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        let range = match range {
            (low, high) if low > high => (0.0, 1.0),
            (low, high) if low == high => {
                let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
                (low - room, high + room)
            }
            range => range,
        };
        let count = |scores: &[f64]| {
            let mut counts = vec![0; if scores.is_empty() { 0 } else { STRETCHES }];
            for score in scores.iter().filter(|score| score.is_finite()) {
                let stretch = (score - range.0) / (range.1 - range.0) * STRETCHES as f64;
                counts[(stretch as usize).min(STRETCHES - 1)] += 1;
            }
            counts
        };
        Self { range, genuine: count(genuine), impostor: count(impostor) }
    }
}

/// A threshold and what it is for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NamedThreshold {
    /// Its name, such as `FAR 0.1 %`.
    pub name: String,
    /// The lowest score that is accepted.
    pub value: f64,
}

/// Two images that were compared.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImagePair {
    /// The first image.
    pub left: EmbeddedImage,
    /// The second image.
    pub right: EmbeddedImage,
    /// Their score.
    pub score: f64,
    /// Who is on them.
    pub caption: String,
}

/// A small image, as a page holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbeddedImage {
    /// The image as PNG or JPEG; it is embedded as it is. Anything else is shown as a missing image.
    pub bytes: Vec<u8>,
    /// What stands for the image where it cannot be seen, such as its file name.
    pub alt: String,
}

/// Embeddings of some people as points of a plane.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingMap {
    /// The title, such as `PCA`.
    pub title: String,
    /// The meaning of the horizontal axis, such as `component 1 (31 % of the variance)`; empty where it has none.
    pub x_label: String,
    /// The meaning of the vertical axis.
    pub y_label: String,
    /// The points, by person: the first twelve have a marker each, the others share one.
    pub classes: Vec<MapClass>,
    /// What to know to read the map.
    pub note: String,
}

/// The points of a person.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapClass {
    /// The name, for the legend.
    pub name: String,
    /// The points; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}
