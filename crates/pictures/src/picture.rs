//! Decoded images.

/// An 8-bit RGB image, rows from top to bottom, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    original: [usize; 2],
    /// A pixel stands for so many of the original, across and down.
    reduction: usize,
}

impl Picture {
    /// A picture of `width` x `height` pixels from its bytes, `[height, width, 3]`.
    ///
    /// # Panics
    /// If the number of bytes is not `height * width * 3`.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), width * height * 3, "bytes of a {width}x{height} RGB picture");
        Self { width, height, pixels, original: [height, width], reduction: 1 }
    }

    /// The same, as decoded from an image of `original` (height, width) pixels, of which `reduction` across and down are
    /// one here.
    pub(crate) fn decoded_from(self, original: [usize; 2], reduction: usize) -> Self {
        Self { original, reduction, ..self }
    }

    /// How many pixels of the original a pixel stands for, across and down: 1, 2, 4 or 8.
    pub fn reduction(&self) -> usize {
        self.reduction
    }

    /// Where a point of the original lies here; (x, y) in pixels from the centre of the first, in both.
    pub fn place_of(&self, point: [f32; 2]) -> [f32; 2] {
        let reduction = self.reduction as f32;
        point.map(|at| at / reduction + (1.0 / reduction - 1.0) / 2.0)
    }

    /// Where a point of this picture lies on the original; the inverse of [`Picture::place_of`].
    pub fn place_in_original(&self, point: [f32; 2]) -> [f32; 2] {
        let reduction = self.reduction as f32;
        point.map(|at| at * reduction + (reduction - 1.0) / 2.0)
    }

    /// Height and width of the upright image that this is, or of the file that it was decoded from at a fraction of
    /// its size.
    pub fn original_size(&self) -> [usize; 2] {
        self.original
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, `[height, width, 3]`, by value.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_go_to_the_original_and_back() {
        let picture = Picture::new(3, 2, vec![0; 18]);
        for point in [[0.1, 38.2946], [-3.7, 1e4]] {
            assert_eq!(picture.place_of(point), point);
            assert_eq!(picture.place_in_original(point), point);
        }
        // The centre of the first of 2 x 2 pixels, and the corner between four.
        let half = picture.decoded_from([4, 6], 2);
        assert_eq!(half.place_in_original([0.0, 0.5]), [0.5, 1.5]);
        assert_eq!(half.place_of([0.5, 1.5]), [0.0, 0.5]);
    }
}
