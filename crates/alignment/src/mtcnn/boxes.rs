//! Rectangles that may hold a face: overlaps, suppression, corrections.

use crate::Rect;

/// A rectangle that a network holds for a face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub rect: Rect,
    pub score: f32,
}

/// What the common area of two rectangles is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// The area of their union.
    Union,
    /// The smaller of their areas.
    Smaller,
}

impl Overlap {
    fn of(self, a: &Rect, b: &Rect) -> f32 {
        let width = a.right.min(b.right) - a.left.max(b.left);
        let height = a.bottom.min(b.bottom) - a.top.max(b.top);
        let common = width.max(0.0) * height.max(0.0);
        common
            / match self {
                Self::Union => a.area() + b.area() - common,
                Self::Smaller => a.area().min(b.area()),
            }
    }
}

/// Squares on a grid often overlap by exactly a half. That does not suppress, whatever rounding makes of it.
const MARGIN: f32 = 1e-4;

/// Non-maximum suppression: of `items`, the best first, those that overlap with none better by more than
/// `threshold`; at most `limit`. Among equals the first is better.
pub(super) fn suppress<T: Copy>(
    mut items: Vec<T>,
    candidate: impl Fn(&T) -> Candidate,
    overlap: Overlap,
    threshold: f32,
    limit: usize,
) -> Vec<T> {
    keep_best(&mut items, &candidate, limit);
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        let rect = candidate(&item).rect;
        if kept.iter().all(|better| overlap.of(&candidate(better).rect, &rect) <= threshold + MARGIN) {
            kept.push(item);
        }
    }
    kept
}

/// Keeps the `limit` best, the best first; among equals the first is better.
pub(super) fn keep_best<T>(items: &mut Vec<T>, candidate: impl Fn(&T) -> Candidate, limit: usize) {
    // A stable sort keeps the order of equals.
    items.sort_by(|a, b| candidate(b).score.total_cmp(&candidate(a).score));
    items.truncate(limit);
}

/// `rect` with its edges moved by shares of its width and height: left, upper, right, lower.
pub(super) fn corrected(rect: &Rect, [left, top, right, bottom]: [f32; 4]) -> Rect {
    let (width, height) = (rect.width(), rect.height());
    Rect {
        left: rect.left + left * width,
        top: rect.top + top * height,
        right: rect.right + right * width,
        bottom: rect.bottom + bottom * height,
    }
}

/// The square around the middle of `rect` whose side is the longer of its sides.
pub(super) fn squared(rect: &Rect) -> Rect {
    let half = rect.width().max(rect.height()) / 2.0;
    let [x, y] = rect.centre();
    Rect { left: x - half, top: y - half, right: x + half, bottom: y + half }
}

/// Whether `rect` has at least a pixel a side, shows something of a picture of `size` (height, width), and is not
/// far larger than it, as corrections by a network that saw no face may make it.
pub(super) fn is_usable(rect: &Rect, [height, width]: [usize; 2]) -> bool {
    let largest = 4.0 * height.max(width) as f32;
    // False for NaN, too.
    let has_extent = [rect.width(), rect.height()].iter().all(|side| (1.0..=largest).contains(side));
    let is_on_picture =
        rect.right > 0.0 && rect.bottom > 0.0 && rect.left < width as f32 && rect.top < height as f32;
    has_extent && is_on_picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(left: f32, top: f32, right: f32, bottom: f32) -> Rect {
        Rect { left, top, right, bottom }
    }

    fn candidate(left: f32, side: f32, score: f32) -> Candidate {
        Candidate { rect: rect(left, 0.0, left + side, side), score }
    }

    #[test]
    fn overlaps_are_shares_of_the_union_or_of_the_smaller() {
        let (large, small) = (rect(0.0, 0.0, 10.0, 10.0), rect(5.0, 5.0, 15.0, 7.0));
        // 10 in common, of 100 and 20.
        assert!((Overlap::Union.of(&large, &small) - 10.0 / 110.0).abs() < 1e-6);
        assert!((Overlap::Smaller.of(&large, &small) - 0.5).abs() < 1e-6);
        assert_eq!(Overlap::Union.of(&large, &large), 1.0);
        assert_eq!(Overlap::Union.of(&large, &rect(10.0, 0.0, 20.0, 10.0)), 0.0);
        assert_eq!(Overlap::Smaller.of(&large, &rect(30.0, 30.0, 40.0, 40.0)), 0.0);
    }

    #[test]
    fn the_best_of_each_place_is_kept() {
        let all = vec![
            candidate(0.0, 10.0, 0.8),
            candidate(1.0, 10.0, 0.9),
            candidate(6.0, 10.0, 0.7),
            candidate(30.0, 10.0, 0.6),
            candidate(32.0, 4.0, 0.5),
        ];
        let lefts = |overlap, threshold, limit| -> Vec<f32> {
            let kept = suppress(all.clone(), |c| *c, overlap, threshold, limit);
            kept.iter().map(|c| c.rect.left).collect()
        };
        // 0.0 overlaps 1.0 by 90 of 110; 6.0 overlaps 1.0 by 50 of 150.
        assert_eq!(lefts(Overlap::Union, 0.5, 9), [1.0, 6.0, 30.0, 32.0]);
        assert_eq!(lefts(Overlap::Union, 0.3, 9), [1.0, 30.0, 32.0]);
        // The small one lies within another.
        assert_eq!(lefts(Overlap::Smaller, 0.7, 9), [1.0, 6.0, 30.0]);
        assert_eq!(lefts(Overlap::Union, 0.5, 3), [1.0, 6.0]);
        assert!(suppress(Vec::new(), |c: &Candidate| *c, Overlap::Union, 0.5, 9).is_empty());
        // Suppression is not handed on: what suppresses must have been kept.
        let chain = vec![candidate(0.0, 10.0, 0.9), candidate(3.0, 10.0, 0.8), candidate(6.0, 10.0, 0.7)];
        let kept = suppress(chain, |c| *c, Overlap::Union, 0.5, 9);
        assert_eq!(kept.iter().map(|c| c.rect.left).collect::<Vec<_>>(), [0.0, 6.0]);
        // Among equals the first.
        let equals = vec![candidate(1.0, 10.0, 0.9), candidate(0.0, 10.0, 0.9)];
        assert_eq!(suppress(equals, |c| *c, Overlap::Union, 0.5, 9)[0].rect.left, 1.0);
    }

    #[test]
    fn corrections_are_shares_of_the_sides() {
        let of = rect(10.0, 20.0, 30.0, 60.0);
        assert_eq!(corrected(&of, [0.0; 4]), of);
        assert_eq!(corrected(&of, [0.1, -0.1, 0.5, 0.25]), rect(12.0, 16.0, 40.0, 70.0));
    }

    #[test]
    fn squares_have_the_longer_side_and_the_same_middle() {
        assert_eq!(squared(&rect(10.0, 20.0, 30.0, 60.0)), rect(0.0, 20.0, 40.0, 60.0));
        assert_eq!(squared(&rect(-3.0, 1.0, 7.0, 3.0)), rect(-3.0, -3.0, 7.0, 7.0));
    }

    #[test]
    fn rectangles_without_extent_or_beside_the_picture_are_no_use() {
        let size = [100, 200];
        assert!(is_usable(&rect(-5.0, -5.0, 3.0, 3.0), size));
        assert!(is_usable(&rect(150.0, 50.0, 850.0, 850.0), size));
        for useless in [
            rect(10.0, 10.0, 10.5, 30.0),
            rect(30.0, 10.0, 10.0, 30.0),
            rect(-9.0, 0.0, 0.0, 9.0),
            rect(200.0, 0.0, 209.0, 9.0),
            rect(0.0, 100.0, 9.0, 109.0),
            rect(f32::NAN, 0.0, 9.0, 9.0),
            rect(0.0, 0.0, f32::INFINITY, 9.0),
            rect(-1e9, 0.0, 1e9, 9.0),
        ] {
            assert!(!is_usable(&useless, size), "{useless:?}");
        }
    }
}
