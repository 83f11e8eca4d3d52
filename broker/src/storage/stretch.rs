//! How entries of the time index come about: batches are counted until there are enough for one.

use super::engine::TimeIndexEntry;
use crate::limits::TIME_INDEX_INTERVAL_BYTES;

/// The stretch of a partition's log that will become the next entry of the time index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    start_offset: i64,
    bytes: u64,
    max_timestamp_ms: i64,
}

impl Stretch {
    /// An empty one that begins at `offset`.
    pub fn at(offset: i64) -> Self {
        Stretch {
            start_offset: offset,
            bytes: 0,
            max_timestamp_ms: i64::MIN,
        }
    }

    /// Adds a batch.
    pub fn add(&mut self, bytes: usize, max_timestamp_ms: i64) {
        self.bytes += bytes as u64;
        self.max_timestamp_ms = self.max_timestamp_ms.max(max_timestamp_ms);
    }

    /// Whether it is long enough for an entry.
    pub fn is_due(&self) -> bool {
        self.bytes >= TIME_INDEX_INTERVAL_BYTES
    }

    /// The entry of this stretch up to `end_offset`; `None` if it is empty.
    pub fn entry(&self, partition: i32, end_offset: i64) -> Option<TimeIndexEntry> {
        (self.bytes > 0).then_some(TimeIndexEntry {
            partition,
            start_offset: self.start_offset,
            end_offset,
            bytes: self.bytes,
            max_timestamp_ms: self.max_timestamp_ms,
        })
    }
}
