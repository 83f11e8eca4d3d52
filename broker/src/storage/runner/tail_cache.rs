//! The bound of all partitions' cached batches together (`tail_cache_bytes`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::log::partition::Partition;
use crate::log::waiters::Woken;
use crate::storage::engine::PlacedBatch;

/// How long the memory of batches that have left is kept for those that come.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The bound of all partitions' cached batches: the oldest of all leave first.
pub(super) struct TailCache {
    limit_bytes: usize,
    bytes: usize,
    /// The most bytes of late, and when that was.
    most: Option<(usize, Instant)>,
    order: VecDeque<(Arc<Partition>, i64, usize)>,
}

impl TailCache {
    pub(super) fn new(limit_bytes: usize) -> Self {
        TailCache {
            limit_bytes,
            bytes: 0,
            most: None,
            order: VecDeque::new(),
        }
    }

    /// Who waited for the batches wakes when what is returned is dropped.
    pub(super) fn publish(&mut self, partition: &Arc<Partition>, batches: Vec<PlacedBatch>, high_watermark: i64) -> Woken {
        for batch in &batches {
            self.bytes += batch.bytes.len();
            self.order
                .push_back((partition.clone(), batch.base_offset, batch.bytes.len()));
        }
        let woken = partition.publish(batches, high_watermark);
        self.shrink();
        woken
    }

    pub(super) fn set_limit(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
        self.shrink();
    }

    /// Bytes of all batches in it, now or at another call within the last minute: what it will soon need again if a topic was deleted and
    /// the next one is filled.
    pub(super) fn recent_bytes(&mut self, now: Instant) -> usize {
        let remembered = self
            .most
            .filter(|(most, then)| *most > self.bytes && now < *then + REMEMBERED);
        let (most, _) = *self.most.insert(remembered.unwrap_or((self.bytes, now)));
        most
    }

    fn shrink(&mut self) {
        while self.bytes > self.limit_bytes {
            let Some((partition, base_offset, size)) = self.order.pop_front() else {
                return;
            };
            self.bytes -= size;
            partition.evict(base_offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what was cached counts for a minute after it is gone, and what is cached in any case.
    #[test]
    fn bytes_are_remembered_for_a_while() {
        let mut cache = TailCache::new(100);
        let start = Instant::now();
        let mut recent = |bytes, seconds| {
            cache.bytes = bytes;
            cache.recent_bytes(start + Duration::from_secs(seconds))
        };
        assert_eq!(recent(50, 0), 50);
        assert_eq!(recent(70, 10), 70);
        assert_eq!(recent(0, 20), 70);
        assert_eq!(recent(60, 69), 70);
        assert_eq!(recent(40, 70), 40);
        assert_eq!(recent(40, 200), 40);
    }
}
