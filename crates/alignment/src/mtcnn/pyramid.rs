//! The sizes at which a photograph is searched, and the tiles that are searched at a time.

use std::ops::Range;

/// Side of the squares that the first network looks at, in pixels.
pub(super) const CELL: usize = 12;
/// Distance of these squares, in pixels.
pub(super) const STRIDE: usize = 2;
/// Most squares a side that are looked at together, which bounds the memory of the maps.
const TILE: usize = 128;

/// The sizes (height, width), large to small, at which a picture of `size` is searched for faces of `min_face` pixels
/// and more: each by `factor` smaller than the one before, down to the size of one cell.
pub(super) fn levels([height, width]: [usize; 2], min_face: usize, factor: f64) -> Vec<[usize; 2]> {
    let mut scale = CELL as f64 / min_face as f64;
    let mut levels = Vec::new();
    while height.min(width) as f64 * scale >= CELL as f64 {
        levels.push([height, width].map(|side| (side as f64 * scale).ceil() as usize));
        scale *= factor;
    }
    levels
}

/// How many cells the first network looks at along a side of `len` pixels: its first convolution takes 2 pixels
/// away, its pooling halves and rounds up, two more convolutions take 4 away.
pub(super) fn cells(len: usize) -> usize {
    (len.saturating_sub(1) / 2).saturating_sub(4)
}

/// The cells along a side of `len` pixels in tiles, each with the pixels it takes. What a tile gives for a cell is
/// what the whole would give.
pub(super) fn tiles(len: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let cells = cells(len);
    (0..cells).step_by(TILE).map(move |first| {
        let end = (first + TILE).min(cells);
        (first..end, STRIDE * first..(STRIDE * end + CELL - STRIDE).min(len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_shrink_by_the_factor_down_to_a_cell() {
        let found = levels([250, 200], 40, 0.709);
        // 12/40 = 0.3, 0.2127, 0.1508, 0.1069, 0.0758.
        assert_eq!(found, [[75, 60], [54, 43], [38, 31], [27, 22], [19, 16]]);
        assert_eq!(levels([40, 500], 40, 0.709), [[12, 150]]);
        assert!(levels([39, 500], 40, 0.709).is_empty());
        assert!(levels([1, 1], 20, 0.709).is_empty());
        assert!(levels([0, 0], 12, 0.709).is_empty());
        assert_eq!(levels([12, 12], 12, 0.709), [[12, 12]]);
    }

    #[test]
    fn cells_are_what_the_layers_leave() {
        // As in PyTorch with ceil_mode: 12 → 10 → 5 → 3 → 1, 13 → 11 → 6 → 4 → 2.
        assert_eq!([0, 1, 10, 11, 12, 13, 14, 15].map(cells), [0, 0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn tiles_cover_every_cell_once_with_the_pixels_it_takes() {
        for len in [12, 13, 100, 265, 266, 267, 268, 1000, 1001] {
            let mut next = 0;
            for (cells_of, pixels) in tiles(len) {
                assert_eq!(cells_of.start, next);
                next = cells_of.end;
                assert_eq!(cells(pixels.len()), cells_of.len(), "{len} {cells_of:?} {pixels:?}");
                assert!(pixels.start == 2 * cells_of.start && pixels.end <= len);
                // Only the last tile may meet the half block that rounding up makes.
                assert!(pixels.end == len || pixels.len().is_multiple_of(2));
            }
            assert_eq!(next, cells(len));
        }
        assert_eq!(tiles(7).count(), 0);
    }
}
