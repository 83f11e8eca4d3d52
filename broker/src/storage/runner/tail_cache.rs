//! The bound of all partitions' cached batches together (`tail_cache_bytes`).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::partition::Partition;
use crate::log::waiters::Woken;
use crate::storage::engine::PlacedBatch;

/// The bound of all partitions' cached batches: the oldest of all leave first.
pub(super) struct TailCache {
    limit_bytes: usize,
    bytes: usize,
    order: VecDeque<(Arc<Partition>, i64, usize)>,
}

impl TailCache {
    pub(super) fn new(limit_bytes: usize) -> Self {
        TailCache {
            limit_bytes,
            bytes: 0,
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

    /// Bytes of all batches in it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
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
