//! The straight frame around a picture: white that a face was pasted on, bars of a screen, black that alignment left.

use facegrad_pictures::Picture;

/// A side has no frame if its outermost line differs from the mean of it by more grey levels on average.
const MOST_NOISE: f32 = 3.0;
/// Lines of a frame differ from it by less than this share of what the farthest line does, and so does what JPEG's blocks
/// leave beside an edge.
const FRAME: f32 = 0.12;
/// The first line behind a frame differs by more than this.
const CONTENT: f32 = 0.3;
/// From the one to the other it is so many lines at most: a wall behind a head has no such edge.
const EDGE: usize = 3;
/// Thinner frames change little: one over the share of a side that they take in all.
const THICKNESS: usize = 20;
/// No smaller picture is left of one, nor a smaller share of a side than one over this.
const LEAST_SIDE: usize = 12;
const LEAST_SHARE: usize = 8;
/// So many pixels of a line are looked at.
const SAMPLED: usize = 32;

/// What is within the frame of `picture`; `None` if it has none. The frame may be of another colour on each side and need
/// not be on all of them.
pub(crate) fn unframed(picture: &Picture) -> Option<Picture> {
    let (width, height) = (picture.width(), picture.height());
    let (rows, columns) = (0..height, 0..width);
    let row = |y: usize, x: usize| (y * width + x) * 3;
    let column = |x: usize, y: usize| (y * width + x) * 3;
    let rows = within(picture, rows, &columns, row);
    let columns = within(picture, columns, &rows, column);
    if (rows.len(), columns.len()) == (height, width) {
        return None;
    }
    // Within the bars above and below there may be a frame, and the other way round.
    let rows = within(picture, rows, &columns, row);
    let is_whole = |left: usize, of: usize| (of - left) * THICKNESS < of;
    let is_too_small = |left: usize, of: usize| left < LEAST_SIDE || left * LEAST_SHARE < of;
    let sides = [(rows.len(), height), (columns.len(), width)];
    if sides.iter().all(|&(left, of)| is_whole(left, of))
        || sides.iter().any(|&(left, of)| is_too_small(left, of))
    {
        return None;
    }
    let mut pixels = Vec::with_capacity(rows.len() * columns.len() * 3);
    for line in picture.pixels().chunks_exact(width * 3).take(rows.end).skip(rows.start) {
        pixels.extend_from_slice(&line[columns.start * 3..columns.end * 3]);
    }
    Some(Picture::new(columns.len(), rows.len(), pixels))
}

/// `lines` without those of a frame at their beginning and their end. `place` says where pixel `k` of `across` of a line
/// is.
fn within(
    picture: &Picture,
    lines: std::ops::Range<usize>,
    across: &std::ops::Range<usize>,
    place: impl Fn(usize, usize) -> usize + Copy,
) -> std::ops::Range<usize> {
    let step = across.len().div_ceil(SAMPLED).max(1);
    let bytes = picture.pixels();
    let pixels = |line: usize| {
        let of = move |k: usize| {
            let at = place(line, k);
            [bytes[at], bytes[at + 1], bytes[at + 2]].map(f32::from)
        };
        across.clone().step_by(step).map(of)
    };
    let count = across.len().div_ceil(step) as f32;
    let depth = |order: &mut dyn Iterator<Item = usize>| {
        let Some(outermost) = order.next() else { return 0 };
        let add = |sums: [f32; 3], pixel: [f32; 3]| [0, 1, 2].map(|channel| sums[channel] + pixel[channel]);
        let colour = pixels(outermost).fold([0.0; 3], add).map(|sum| sum / count);
        let differs = |line: usize| {
            let of =
                |pixel: [f32; 3]| (0..3).map(|channel| (pixel[channel] - colour[channel]).abs()).sum::<f32>();
            pixels(line).map(of).sum::<f32>() / (3.0 * count)
        };
        if differs(outermost) > MOST_NOISE {
            return 0;
        }
        let inner: Vec<f32> = order.map(differs).collect();
        let most = inner.iter().copied().fold(0.0, f32::max);
        let beyond = |share: f32| inner.iter().position(|&line| line > share * most).unwrap_or(0);
        let (edge, content) = (beyond(FRAME), beyond(CONTENT));
        if most > 2.0 * MOST_NOISE && content - edge <= EDGE { content + 1 } else { 0 }
    };
    let (before, behind) = (depth(&mut lines.clone()), depth(&mut lines.clone().rev()));
    if before + behind >= lines.len() { lines } else { lines.start + before..lines.end - behind }
}

#[cfg(test)]
mod tests {
    use facegrad_faces::FaceSource;
    use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    /// A face of 40 x 50 pixels with the left upper corner at `at`, (x, y), on `size`, (width, height).
    fn pasted(size: [usize; 2], at: [usize; 2]) -> Picture {
        let faces = SyntheticFaces::new(&SyntheticConfig { identities: 1, images: 1, ..Default::default() });
        let face = facegrad_pictures::plain(faces.load(0, [112, 112]).unwrap(), [50, 40]);
        let mut pixels = vec![250; size[0] * size[1] * 3];
        for (y, row) in face.pixels().chunks_exact(40 * 3).enumerate() {
            let to = ((at[1] + y) * size[0] + at[0]) * 3;
            pixels[to..to + 40 * 3].copy_from_slice(row);
        }
        Picture::new(size[0], size[1], pixels)
    }

    #[test]
    fn what_a_frame_encloses_is_cut_out() {
        // On all sides, at two, and at one.
        for (size, at) in [([112, 112], [31, 20]), ([40, 90], [0, 20]), ([60, 50], [20, 0])] {
            let found = unframed(&pasted(size, at)).unwrap();
            assert!((39..=40).contains(&found.width()) && (48..=50).contains(&found.height()), "{size:?}");
        }
    }

    #[test]
    fn a_face_without_a_frame_stays_whole() {
        assert_eq!(unframed(&pasted([40, 50], [0, 0])), None);
        // A line is no frame, a spot nothing to look at, and neither is a wall or a picture of a pixel.
        assert_eq!(unframed(&pasted([41, 51], [1, 1])), None);
        assert_eq!(unframed(&pasted([500, 500], [31, 20])), None);
        for side in [1, 2, 60] {
            assert_eq!(unframed(&Picture::new(side, side, vec![77; side * side * 3])), None);
        }
        // A wall that becomes a head bit by bit has no edge.
        let fading = |i: usize| ((i / 60) * 4).saturating_sub(60).min(255) as u8;
        assert_eq!(unframed(&Picture::new(60, 60, (0..3600).flat_map(|i| [fading(i); 3]).collect())), None);
    }
}
