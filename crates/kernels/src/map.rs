//! Sizes.

/// The size of a batch of feature maps, channels last: `[batch, height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dims {
    /// Images.
    pub batch: usize,
    /// Rows of a map.
    pub height: usize,
    /// Columns of a map.
    pub width: usize,
    /// Numbers a pixel.
    pub channels: usize,
}

impl Dims {
    /// Pixels of all maps.
    pub fn pixels(&self) -> usize {
        self.batch * self.height * self.width
    }

    /// Numbers of all maps.
    pub fn elements(&self) -> usize {
        self.pixels() * self.channels
    }

    /// Numbers of a row.
    pub(crate) fn row(&self) -> usize {
        self.width * self.channels
    }

    /// Numbers of one map.
    pub(crate) fn image(&self) -> usize {
        self.height * self.row()
    }
}
