//! Decoded images.

/// An 8-bit RGB image, rows from top to bottom, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    original: [usize; 2],
}

impl Picture {
    /// A picture of `width` x `height` pixels from its bytes, `[height, width, 3]`.
    ///
    /// # Panics
    /// If the number of bytes is not `height * width * 3`.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Self {
        assert_eq!(pixels.len(), width * height * 3, "bytes of a {width}x{height} RGB picture");
        Self { width, height, pixels, original: [height, width] }
    }

    /// The same, as decoded from an image of `original` (height, width) pixels.
    pub(crate) fn decoded_from(self, original: [usize; 2]) -> Self {
        Self { original, ..self }
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
