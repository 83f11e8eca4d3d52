//! Partitions: validation of batches, offsets, high watermark, tail cache.

pub mod epochs;
pub mod partition;
mod rebuild;
pub mod time_lookup;
pub mod validate;
pub mod waiters;
