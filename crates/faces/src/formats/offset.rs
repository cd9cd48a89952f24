//! Where things lie in a file, in little memory.

/// A byte of a file that is a multiple of four, in 5 bytes: files of up to 4 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset([u8; 5]);

impl Offset {
    /// No place.
    pub const NONE: Self = Self([u8::MAX; 5]);
    /// Files must be shorter than this.
    pub const LIMIT: u64 = ((1 << 40) - 1) * 4;

    /// `offset` must be a multiple of four below [`Self::LIMIT`].
    pub fn new(offset: u64) -> Self {
        let [a, b, c, d, e, ..] = (offset / 4).to_le_bytes();
        Self([a, b, c, d, e])
    }

    /// In bytes.
    pub fn get(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]) * 4
    }

    /// What it is stored as.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_take_five_bytes() {
        for offset in [0, 4, 1 << 20, 1 << 40, Offset::LIMIT - 4] {
            assert_eq!(Offset::new(offset).get(), offset);
            assert_ne!(Offset::new(offset), Offset::NONE);
        }
        assert_eq!(size_of::<Offset>(), 5);
    }
}
