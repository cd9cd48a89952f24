//! What a folder of photographs turned out to be.

use facegrad_pictures::{Similarity2d, arcface_landmarks};
use serde::Serialize;

use crate::{AlignmentOutcome, AlignmentRecord};

/// Where most of some numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// A twentieth is less.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// A twentieth is more.
    pub high: f64,
}

impl Spread {
    /// That of `values`; `None` if there are none.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| values[(last as f64 * share).round() as usize];
        Some(Self { low: at(0.05), median: at(0.5), high: at(0.95) })
    }
}

/// Counts and distributions of many [`AlignmentRecord`]s.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// Photographs.
    pub images: usize,
    /// Those whose face was aligned.
    pub aligned: usize,
    /// Those without a face whose centre was taken.
    pub centred: usize,
    /// Those without a face that have no output.
    pub without_face: usize,
    /// Those that cannot be read.
    pub unreadable: usize,
    /// Those with more than one face.
    pub several_faces: usize,
    /// How sure the detector was, on average over the aligned.
    pub mean_score: Option<f64>,
    /// By how many degrees the faces were turned, clockwise as one sees them.
    pub rotation: Option<Spread>,
    /// How many times larger the faces became.
    pub scale: Option<Spread>,
    /// Those that became more than twice as large, and so show less than their size promises.
    pub enlarged_twice: usize,
}

impl Statistics {
    /// Those of `records` of faces aligned to `size` (height, width).
    pub fn of<'a>(records: impl Iterator<Item = &'a AlignmentRecord>, size: [usize; 2]) -> Self {
        let template = arcface_landmarks(size);
        let (mut counts, mut images, mut several_faces) = ([0; 4], 0, 0);
        let (mut scores, mut rotations, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for record in records {
            images += 1;
            counts[record.outcome as usize] += 1;
            several_faces += usize::from(record.faces > 1);
            if record.outcome != AlignmentOutcome::Aligned {
                continue;
            }
            scores.extend(record.score.map(f64::from));
            let transform = record.landmarks.map(|landmarks| Similarity2d::estimate(landmarks, template));
            if let Some(Ok(transform)) = transform {
                let [[a, _, _], [b, _, _]] = transform.matrix();
                rotations.push(b.atan2(a).to_degrees());
                scales.push(transform.scale());
            }
        }
        let [aligned, centred, without_face, unreadable] = counts;
        Self {
            images,
            aligned,
            centred,
            without_face,
            unreadable,
            several_faces,
            mean_score: (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64),
            enlarged_twice: scales.iter().filter(|&&scale| scale > 2.0).count(),
            rotation: Spread::of(rotations),
            scale: Spread::of(scales),
        }
    }
}

#[cfg(test)]
mod tests {
    use facegrad_pictures::ARCFACE_LANDMARKS;

    use super::*;

    fn record(outcome: AlignmentOutcome, faces: usize, landmarks: Option<[[f32; 2]; 5]>) -> AlignmentRecord {
        let score = landmarks.map(|_| 0.75);
        AlignmentRecord {
            path: "a".into(),
            bytes: 1,
            outcome,
            reason: None,
            faces,
            score,
            bounds: None,
            landmarks,
        }
    }

    #[test]
    fn outcomes_are_counted_and_transforms_described() {
        // Turned by a right angle against the clock and a quarter as large: alignment turns and enlarges it back.
        let turned = ARCFACE_LANDMARKS.map(|[x, y]| [y * 0.25, -x * 0.25]);
        let records = [
            record(AlignmentOutcome::Aligned, 1, Some(turned)),
            record(AlignmentOutcome::Aligned, 3, Some(turned)),
            record(AlignmentOutcome::Centred, 0, None),
            record(AlignmentOutcome::WithoutFace, 0, None),
            record(AlignmentOutcome::WithoutFace, 0, None),
            record(AlignmentOutcome::Unreadable, 0, None),
        ];
        let found = Statistics::of(records.iter(), [112, 112]);
        assert_eq!((found.images, found.aligned, found.centred), (6, 2, 1));
        assert_eq!((found.without_face, found.unreadable, found.several_faces), (2, 1, 1));
        assert_eq!((found.mean_score, found.enlarged_twice), (Some(0.75), 2));
        let (rotation, scale) = (found.rotation.unwrap(), found.scale.unwrap());
        assert!((rotation.median - 90.0).abs() < 1e-3 && (scale.median - 4.0).abs() < 1e-4, "{rotation:?}");
        let none = Statistics::of([].iter(), [112, 112]);
        assert_eq!((none.images, none.mean_score, none.rotation), (0, None, None));
    }

    #[test]
    fn a_twentieth_lies_beyond_either_end() {
        let spread = Spread::of((0..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (5.0, 50.0, 95.0));
        assert_eq!(Spread::of(vec![3.0]).unwrap(), Spread { low: 3.0, median: 3.0, high: 3.0 });
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
