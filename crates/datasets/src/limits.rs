//! How much may come out of an archive that is not trusted.

/// What may come out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files and folders together.
    pub entries: u64,
    /// How many times the size of the archive may come out of it, above the first MiB. Deflate reaches a thousand,
    /// which no photograph does.
    pub ratio: u64,
    /// Folders to leave out at the start of each path.
    pub strip: usize,
}

impl Default for Limits {
    /// 1 GiB, 100,000 files and folders, 100 times the archive.
    fn default() -> Self {
        Self { bytes: 1 << 30, entries: 100_000, ratio: 100, strip: 0 }
    }
}
