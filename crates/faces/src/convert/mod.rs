//! From one format to another.

pub(crate) mod parquet;
