//! A partition as the network threads see it: its durable bounds, its leader epochs, its recent batches and who waits for more.
//! Changed by the database thread only, when something became durable (design I1).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

use super::epochs::EpochHistory;
use crate::storage::engine::{PlacedBatch, TopicNumber};

/// What a partition's log holds, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First offset that may be read.
    pub log_start_offset: i64,
    /// First offset that may not be read yet; the offset the next record will have or a smaller one.
    pub high_watermark: i64,
    /// First offset that a read_committed consumer may not read.
    pub last_stable_offset: i64,
}

/// Recent batches, or where to find older ones.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Batches from the one that holds the offset, in order; empty if the offset is the high watermark.
    Cached(Vec<PlacedBatch>),
    /// The offset is older than the cache: a storage read is needed.
    Cold,
}

/// See the module's head.
#[derive(Debug)]
pub struct Partition {
    /// The topic's number.
    pub topic: TopicNumber,
    /// 0, 1, 2, ...
    pub index: i32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is stored: above the high watermark while a session has deleted records that are committed and not known to be durable.
    log_start_offset: i64,
    high_watermark: i64,
    epochs: EpochHistory,
    cache: VecDeque<PlacedBatch>,
    waiters: Vec<Weak<Notify>>,
    deleted: bool,
}

impl Partition {
    /// A partition whose log holds `log_start_offset..end_offset`; `epochs` as stored, `leader_epoch` the one that begins now.
    pub fn new(
        topic: TopicNumber,
        index: i32,
        log_start_offset: i64,
        end_offset: i64,
        epochs: &[(i32, i64)],
        leader_epoch: i32,
    ) -> Self {
        let state = State {
            log_start_offset,
            high_watermark: end_offset,
            epochs: EpochHistory::new(epochs, leader_epoch, end_offset),
            cache: VecDeque::new(),
            waiters: Vec::new(),
            deleted: false,
        };
        Partition {
            topic,
            index,
            state: Mutex::new(state),
        }
    }

    /// The bounds now.
    pub fn bounds(&self) -> Bounds {
        let state = self.state();
        Bounds {
            log_start_offset: state.log_start_offset.min(state.high_watermark),
            high_watermark: state.high_watermark,
            last_stable_offset: state.high_watermark,
        }
    }

    /// Whether the topic was deleted; what holds the partition still must answer UNKNOWN_TOPIC_OR_PARTITION (3).
    pub fn is_deleted(&self) -> bool {
        self.state().deleted
    }

    /// (largest epoch not above `requested`, end of its offsets), as Kafka's `LeaderEpochFileCache.endOffsetFor`.
    pub fn end_offset_for_epoch(&self, requested: i32) -> (i32, i64) {
        let state = self.state();
        state.epochs.end_offset_for(requested, state.high_watermark)
    }

    /// The epoch in which the record at `offset` was written.
    pub fn epoch_of(&self, offset: i64) -> i32 {
        self.state().epochs.epoch_of(offset)
    }

    /// Cached batches from the one that holds `offset`, below the high watermark, until their sizes pass `max_bytes` (at least one).
    /// `offset` must be within the bounds.
    pub fn lookup(&self, offset: i64, max_bytes: usize) -> Lookup {
        let state = self.state();
        if offset >= state.high_watermark {
            return Lookup::Cached(Vec::new());
        }
        match state.cache.front() {
            Some(first) if first.base_offset <= offset => {}
            _ => return Lookup::Cold,
        }
        let from = state.cache.partition_point(|batch| batch.base_offset <= offset) - 1;
        let mut size = 0;
        let mut batches = Vec::new();
        for batch in state.cache.range(from..) {
            if !batches.is_empty() && size + batch.bytes.len() > max_bytes {
                break;
            }
            size += batch.bytes.len();
            batches.push(batch.clone());
        }
        Lookup::Cached(batches)
    }

    /// Bytes from `offset` to the high watermark as far as the cache knows; `None` where the offset is older than the cache (then
    /// there is surely something to read).
    pub fn cached_bytes_from(&self, offset: i64, at_most: usize) -> Option<usize> {
        let state = self.state();
        if offset >= state.high_watermark {
            return Some(0);
        }
        if state.cache.front().is_none_or(|first| first.base_offset > offset) {
            return None;
        }
        let from = state.cache.partition_point(|batch| batch.base_offset <= offset) - 1;
        let mut size = 0;
        for batch in state.cache.range(from..) {
            size += batch.bytes.len();
            if size >= at_most {
                break;
            }
        }
        Some(size)
    }

    /// Registers a waiter that is notified at the next change: more records, a moved log start, deletion. It is forgotten when dropped.
    pub fn wait(&self, waiter: &Arc<Notify>) {
        let mut state = self.state();
        state.waiters.retain(|waiting| waiting.strong_count() > 0);
        state.waiters.push(Arc::downgrade(waiter));
    }

    /// Batches became durable: they can be read from now on. For the database thread.
    pub fn publish(&self, batches: impl IntoIterator<Item = PlacedBatch>, high_watermark: i64) {
        let mut state = self.state();
        state.cache.extend(batches);
        state.high_watermark = state.high_watermark.max(high_watermark);
        wake(&mut state);
    }

    /// Moves the log start forward. For the database thread.
    pub fn set_log_start(&self, offset: i64) {
        let mut state = self.state();
        state.log_start_offset = state.log_start_offset.max(offset);
        wake(&mut state);
    }

    /// Forgets cached batches up to and including the one at `base_offset`. For the database thread.
    pub fn evict(&self, base_offset: i64) {
        let mut state = self.state();
        while state.cache.front().is_some_and(|first| first.base_offset <= base_offset) {
            state.cache.pop_front();
        }
    }

    /// The topic is gone: waiters wake and find it out. For the database thread.
    pub fn delete(&self) {
        let mut state = self.state();
        state.deleted = true;
        state.cache.clear();
        wake(&mut state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(state: &mut State) {
    for waiter in state.waiters.drain(..) {
        if let Some(waiter) = waiter.upgrade() {
            waiter.notify_one();
        }
    }
}

/// The offset after the last record of a stored batch; `None` if it is too short to be one.
pub fn next_offset_of(batch: &Bytes) -> Option<i64> {
    let base = i64::from_be_bytes(batch.get(..8)?.try_into().ok()?);
    let delta = i32::from_be_bytes(batch.get(23..27)?.try_into().ok()?);
    base.checked_add(i64::from(delta))?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, size: usize) -> PlacedBatch {
        PlacedBatch {
            partition: 0,
            base_offset,
            relative_offset: base_offset as i32,
            leader_epoch: 1,
            bytes: Bytes::from(vec![0; size]),
        }
    }

    fn offsets(lookup: Lookup) -> Vec<i64> {
        match lookup {
            Lookup::Cached(batches) => batches.iter().map(|batch| batch.base_offset).collect(),
            Lookup::Cold => vec![-1],
        }
    }

    #[test]
    fn the_cache_answers_from_the_batch_that_holds_the_offset() {
        let partition = Partition::new(TopicNumber(1), 0, 0, 100, &[], 1);
        partition.publish([batch(100, 70), batch(110, 70), batch(115, 70)], 120);
        assert_eq!(offsets(partition.lookup(99, 1)), [-1]);
        assert_eq!(offsets(partition.lookup(105, 1)), [100]);
        assert_eq!(offsets(partition.lookup(110, 140)), [110, 115]);
        assert_eq!(offsets(partition.lookup(120, 1)), [] as [i64; 0]);
        partition.evict(100);
        assert_eq!(offsets(partition.lookup(109, 1)), [-1]);
        assert_eq!(partition.cached_bytes_from(119, 1000), Some(70));
        assert_eq!(partition.cached_bytes_from(3, 1000), None);
    }

    /// A log start beyond the high watermark, which only a session can have set, is shown as far as the high watermark has come.
    #[test]
    fn the_log_start_is_never_beyond_the_high_watermark() {
        let partition = Partition::new(TopicNumber(1), 0, 0, 10, &[], 1);
        let bounds = || (partition.bounds().log_start_offset, partition.bounds().high_watermark);
        partition.set_log_start(15);
        assert_eq!(bounds(), (10, 10));
        partition.publish([batch(10, 70)], 12);
        assert_eq!(bounds(), (12, 12));
        partition.publish([batch(12, 70)], 20);
        assert_eq!(bounds(), (15, 20));
    }

    #[tokio::test]
    async fn every_change_wakes_a_waiter_once() {
        let partition = Partition::new(TopicNumber(1), 0, 0, 0, &[], 1);
        for change in [0, 1, 2] {
            let waiter = Arc::new(Notify::new());
            partition.wait(&waiter);
            match change {
                0 => partition.publish([batch(0, 70)], 1),
                1 => partition.set_log_start(1),
                _ => partition.delete(),
            }
            waiter.notified().await;
        }
        assert!(partition.is_deleted());
    }
}
