//! From one format to another.

#[allow(dead_code)]
pub(crate) mod parquet;
