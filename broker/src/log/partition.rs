//! A partition as the network threads see it: its durable bounds, its leader epochs, its recent batches and who waits for more.
//! Changed by the database thread only, when something became durable (design I1).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::epochs::EpochHistory;
use super::waiters::{Change, Waiter, Waiters, Woken};
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

/// What a Fetch at some offset has before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// The bounds.
    pub bounds: Bounds,
    /// Whether the topic was deleted: UNKNOWN_TOPIC_OR_PARTITION (3).
    pub is_deleted: bool,
    /// Bytes from the offset to the high watermark, 0 if it is not below that; `None` where the offset is older than the cache: there is
    /// something to read, but how much is only known by reading it.
    pub readable: Option<usize>,
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
    waiters: Waiters,
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
            waiters: Waiters::default(),
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
        self.state().bounds()
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

    /// What a Fetch of at most `max_bytes` (as many are looked for) at `fetch_offset` has before it.
    pub fn outlook(&self, fetch_offset: i64, max_bytes: usize) -> Outlook {
        self.state().outlook(fetch_offset, max_bytes)
    }

    /// The same; and `waiter` counts what arrives after it, as [`Waiters::add`].
    pub fn wait(&self, waiter: &Arc<Waiter>, place: u32, fetch_offset: i64, max_bytes: usize) -> Outlook {
        let mut state = self.state();
        let outlook = state.outlook(fetch_offset, max_bytes);
        let counted = outlook.readable.unwrap_or(0);
        state
            .waiters
            .add(waiter, place, fetch_offset, max_bytes.saturating_sub(counted));
        outlook
    }

    /// Batches became durable: they can be read from now on. Who waited for them wakes when what is returned is dropped. For the
    /// database thread.
    pub fn publish(&self, batches: impl IntoIterator<Item = PlacedBatch>, high_watermark: i64) -> Woken {
        let mut state = self.state();
        let mut bytes = 0;
        for batch in batches {
            bytes += batch.bytes.len();
            state.cache.push_back(batch);
        }
        state.high_watermark = state.high_watermark.max(high_watermark);
        state.waiters.changed(Change::Arrived(bytes))
    }

    /// Moves the log start forward. For the database thread.
    pub fn set_log_start(&self, offset: i64) {
        let mut state = self.state();
        state.log_start_offset = state.log_start_offset.max(offset);
        let log_start_offset = state.bounds().log_start_offset;
        let woken = state.waiters.changed(Change::LogStart(log_start_offset));
        // Who wakes takes the lock.
        drop(state);
        drop(woken);
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
        let woken = state.waiters.changed(Change::Deleted);
        drop(state);
        drop(woken);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bounds(&self) -> Bounds {
        Bounds {
            log_start_offset: self.log_start_offset.min(self.high_watermark),
            high_watermark: self.high_watermark,
            last_stable_offset: self.high_watermark,
        }
    }

    fn outlook(&self, fetch_offset: i64, max_bytes: usize) -> Outlook {
        Outlook {
            bounds: self.bounds(),
            is_deleted: self.deleted,
            readable: self.readable(fetch_offset, max_bytes),
        }
    }

    fn readable(&self, fetch_offset: i64, max_bytes: usize) -> Option<usize> {
        if fetch_offset >= self.high_watermark {
            return Some(0);
        }
        if self.cache.front().is_none_or(|first| first.base_offset > fetch_offset) {
            return None;
        }
        let from = self.cache.partition_point(|batch| batch.base_offset <= fetch_offset) - 1;
        let mut size = 0;
        for batch in self.cache.range(from..) {
            size += batch.bytes.len();
            if size >= max_bytes {
                break;
            }
        }
        Some(size)
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
        drop(partition.publish([batch(100, 70), batch(110, 70), batch(115, 70)], 120));
        assert_eq!(offsets(partition.lookup(99, 1)), [-1]);
        assert_eq!(offsets(partition.lookup(105, 1)), [100]);
        assert_eq!(offsets(partition.lookup(110, 140)), [110, 115]);
        assert_eq!(offsets(partition.lookup(120, 1)), [] as [i64; 0]);
        partition.evict(100);
        assert_eq!(offsets(partition.lookup(109, 1)), [-1]);
        assert_eq!(partition.outlook(119, 1000).readable, Some(70));
        assert_eq!(partition.outlook(120, 1000).readable, Some(0));
        assert_eq!(partition.outlook(3, 1000).readable, None);
    }

    /// A log start beyond the high watermark, which only a session can have set, is shown as far as the high watermark has come.
    #[test]
    fn the_log_start_is_never_beyond_the_high_watermark() {
        let partition = Partition::new(TopicNumber(1), 0, 0, 10, &[], 1);
        let bounds = || (partition.bounds().log_start_offset, partition.bounds().high_watermark);
        partition.set_log_start(15);
        assert_eq!(bounds(), (10, 10));
        drop(partition.publish([batch(10, 70)], 12));
        assert_eq!(bounds(), (12, 12));
        drop(partition.publish([batch(12, 70)], 20));
        assert_eq!(bounds(), (15, 20));
    }

    /// Goal: what is there when a request begins to wait is told to it, what comes after it is counted.
    #[tokio::test]
    async fn nothing_falls_between_the_look_and_the_wait() {
        for change in [0, 1, 2] {
            let partition = Partition::new(TopicNumber(1), 0, 0, 0, &[], 1);
            drop(partition.publish([batch(0, 70)], 1));
            let waiter = Waiter::new(50);
            assert_eq!(partition.wait(&waiter, 3, 0, 1000).readable, Some(70));
            match change {
                0 => drop(partition.publish([batch(1, 50)], 2)),
                1 => partition.set_log_start(1),
                _ => partition.delete(),
            }
            waiter.enough().await;
            assert_eq!(waiter.take_changed(), [3]);
            assert_eq!(partition.outlook(0, 1000).is_deleted, change == 2);
        }
    }
}
