//! Parquet files, read within bounds.
//!
//! The library `parquet` believes what a file claims: it takes memory for pages, dictionaries and lists before it
//! looks at them, and asserts some of what a damaged file violates. Here a file is opened by [`ParquetFile`], which
//! hands out the columns of a row group in order and their pages at random, from any number of threads at once. What
//! is claimed is checked before memory is taken, and [`caught`] turns the library's panics into a [`ParquetFault`].
//!
//! Nothing here knows of images or embeddings.
//!
//! ```no_run
//! # fn main() -> Result<(), facegrad_parquet::ParquetFault> {
//! use facegrad_parquet::{ParquetFault, ParquetFile};
//! use parquet::data_type::Int64Type;
//!
//! let file = ParquetFile::open("train.parquet".as_ref())?;
//! let mut sum = 0;
//! for group in 0..file.metadata().num_row_groups() {
//!     file.values::<Int64Type, ParquetFault>(group, 1, |value| {
//!         sum += value.copied().unwrap_or_default();
//!         Ok(())
//!     })?;
//! }
//! # Ok(())
//! # }
//! ```

mod bounded;
mod delta;
mod fault;
mod file;
mod pages;
mod parted;
mod parts;
mod streams;
#[cfg(test)]
mod tests;

pub use fault::{ParquetFault, caught};
pub use file::ParquetFile;
pub use pages::{ColumnPages, DecodedPage, PageCost};
pub use parts::KeptBlock;

/// Largest page, compressed or not, in bytes, that is read as a whole, and largest value. A writer cuts pages at about a
/// mebibyte, but pyarrow looks only once in 1024 rows, so that 1024 photographs are a page of their own; the strings
/// of such a page are read in parts, however large it is.
pub const MAX_PAGE: usize = 256 << 20;
