//! What the producers of one partition wrote last, and whether a batch may follow (Kafka's `ProducerStateManager`,
//! `ProducerStateEntry`, `ProducerAppendInfo`). A check changes nothing; only [`ProducerState::append`] and [`Producers::put`] do, when
//! the batch is in the log.
//!
//! Times are the broker's, in milliseconds since 1970; Kafka takes those of the records. A producer whose last batch is
//! older than [`Idle::since_ms`] counts as unknown.

use std::collections::HashMap;

use crate::wire::batch::BatchHeader;

/// Batches that are remembered of each producer: as many as a client may have in flight (Kafka's `NUM_BATCHES_TO_RETAIN`).
pub const BATCHES_PER_PRODUCER: usize = 5;

/// The epoch of a producer that states none.
const NO_EPOCH: i16 = -1;

/// What the header of a batch says of its producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Producer id, not negative.
    pub producer_id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence of the first record, not negative.
    pub base_sequence: i32,
    /// Sequence of the last record less that of the first.
    pub last_offset_delta: i32,
    /// Largest timestamp of the batch, milliseconds since 1970.
    pub max_timestamp_ms: i64,
}

impl ProducerBatch {
    /// `None` for a batch without a producer id.
    pub fn of(header: &BatchHeader) -> Option<Self> {
        (header.producer_id >= 0).then_some(ProducerBatch {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_offset_delta: header.last_offset_delta,
            max_timestamp_ms: header.max_timestamp,
        })
    }

    /// Sequence of the last record: after 2^31 - 1 comes 0.
    pub fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenBatch {
    /// Sequence of its first record.
    pub base_sequence: i32,
    /// Sequence of its last record less that of the first; its last offset less the base offset as well.
    pub last_offset_delta: i32,
    /// Offset of its first record.
    pub base_offset: i64,
    /// Its largest timestamp, milliseconds since 1970.
    pub max_timestamp_ms: i64,
}

impl WrittenBatch {
    /// Offset of its last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is next: append it.
    Append,
    /// It is in the log already, as this: success, at that offset.
    Duplicate(WrittenBatch),
}

/// Why a batch may not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER (45): batches before it are missing, or it is older than the ones that are remembered.
    #[error("out of order sequence number {found} of producer {producer_id}: {expected} is next")]
    OutOfOrder {
        /// The producer.
        producer_id: i64,
        /// What the batch begins with.
        found: i32,
        /// What it should begin with.
        expected: i32,
    },
    /// INVALID_PRODUCER_EPOCH (47): a newer epoch of the producer has written.
    #[error("producer {producer_id} has epoch {current} by now, and not {found}")]
    InvalidEpoch {
        /// The producer.
        producer_id: i64,
        /// The batch's epoch.
        found: i16,
        /// The newest epoch seen.
        current: i16,
    },
}

/// From when on a producer counts as idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// Producers that were active last at this time or before are forgotten, milliseconds since 1970.
    pub since_ms: i64,
}

/// One producer in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    pub(super) epoch: i16,
    /// Ascending, at most [`BATCHES_PER_PRODUCER`], all of `epoch`. Empty only while `refused` is set.
    pub(super) batches: Vec<WrittenBatch>,
    /// While nothing of the producer is in the log: the sequence of the first batch that was refused for the broker's reasons. What
    /// comes after it in sequence must not be written before it, which a producer that is not known at all could do.
    pub(super) refused: Option<i32>,
    pub(super) last_activity_ms: i64,
}

impl ProducerState {
    /// A producer that has written this batch, and nothing else that is known.
    pub fn begun_by(batch: &ProducerBatch, base_offset: i64, now_ms: i64) -> Self {
        let mut state = ProducerState {
            epoch: batch.epoch,
            batches: Vec::with_capacity(1),
            refused: None,
            last_activity_ms: now_ms,
        };
        state.append(batch, base_offset, now_ms);
        state
    }

    /// Whether `batch` is the next one, one of the last five again, or neither.
    ///
    /// # Errors
    /// OUT_OF_ORDER_SEQUENCE_NUMBER 45, INVALID_PRODUCER_EPOCH 47.
    pub fn check(&self, batch: &ProducerBatch) -> Result<Verdict, SequenceError> {
        if batch.epoch == self.epoch {
            let same = |written: &&WrittenBatch| {
                written.base_sequence == batch.base_sequence && written.last_offset_delta == batch.last_offset_delta
            };
            if let Some(written) = self.batches.iter().find(same) {
                return Ok(Verdict::Duplicate(*written));
            }
        }
        if batch.epoch < self.epoch {
            return Err(SequenceError::InvalidEpoch {
                producer_id: batch.producer_id,
                found: batch.epoch,
                current: self.epoch,
            });
        }
        // A producer that never stated an epoch may go on with anything, as one that is not known.
        let expected = match (self.batches.last(), self.refused) {
            _ if self.epoch == NO_EPOCH => batch.base_sequence,
            _ if batch.epoch != self.epoch => 0,
            (Some(last), _) => last.last_sequence().wrapping_add(1) & i32::MAX,
            (None, Some(refused)) if comes_before(batch.base_sequence, refused) => batch.base_sequence,
            (None, Some(refused)) => refused,
            (None, None) => batch.base_sequence,
        };
        if batch.base_sequence == expected {
            return Ok(Verdict::Append);
        }
        Err(SequenceError::OutOfOrder {
            producer_id: batch.producer_id,
            found: batch.base_sequence,
            expected,
        })
    }

    /// `batch` is in the log at `base_offset`. The caller has checked it, or found it there.
    pub fn append(&mut self, batch: &ProducerBatch, base_offset: i64, now_ms: i64) {
        if batch.epoch != self.epoch {
            self.batches.clear();
            self.epoch = batch.epoch;
        }
        if self.batches.len() == BATCHES_PER_PRODUCER {
            self.batches.remove(0);
        }
        self.batches.push(WrittenBatch {
            base_sequence: batch.base_sequence,
            last_offset_delta: batch.last_offset_delta,
            base_offset,
            max_timestamp_ms: batch.max_timestamp_ms,
        });
        self.refused = None;
        self.last_activity_ms = now_ms;
    }
}

/// Whether a sequence comes before another one or is the same, on the circle where 0 follows 2^31 - 1.
fn comes_before(sequence: i32, other: i32) -> bool {
    other.wrapping_sub(sequence) & i32::MAX < 1 << 30
}

/// All producers of one partition. Nothing in it is larger than what was appended; how many there may be is the caller's bound
/// ([`crate::limits::PRODUCERS_PER_BROKER`]).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Producers {
    pub(super) known: HashMap<i64, ProducerState>,
}

impl Producers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The state of a producer, unless it is idle for too long.
    pub fn get(&self, producer_id: i64, idle: Idle) -> Option<&ProducerState> {
        self.known
            .get(&producer_id)
            .filter(|state| state.last_activity_ms > idle.since_ms)
    }

    /// As [`ProducerState::check`]; a producer that is not known may begin with any sequence (KIP-360).
    ///
    /// # Errors
    /// OUT_OF_ORDER_SEQUENCE_NUMBER 45, INVALID_PRODUCER_EPOCH 47.
    pub fn check(&self, batch: &ProducerBatch, idle: Idle) -> Result<Verdict, SequenceError> {
        match self.get(batch.producer_id, idle) {
            Some(state) => state.check(batch),
            None if batch.epoch >= NO_EPOCH => Ok(Verdict::Append),
            None => Err(SequenceError::InvalidEpoch {
                producer_id: batch.producer_id,
                found: batch.epoch,
                current: NO_EPOCH,
            }),
        }
    }

    /// Makes this the state of a producer. Returns whether it is a new one.
    pub fn put(&mut self, producer_id: i64, state: ProducerState) -> bool {
        self.known.insert(producer_id, state).is_none()
    }

    /// `batch` was found in the log at `base_offset`, at a start.
    pub fn replay(&mut self, batch: &ProducerBatch, base_offset: i64, now_ms: i64) {
        match self.known.get_mut(&batch.producer_id) {
            Some(state) => state.append(batch, base_offset, now_ms),
            None => {
                self.put(batch.producer_id, ProducerState::begun_by(batch, base_offset, now_ms));
            }
        }
    }

    /// `batch` was answered with an error and surely is not in the log, through no fault of its own: it will be sent again. If the
    /// producer is not known, batches after it are out of order until then. Returns whether that made it a known one.
    pub fn refuse(&mut self, batch: &ProducerBatch, idle: Idle, now_ms: i64) -> bool {
        let newer = self
            .get(batch.producer_id, idle)
            .is_none_or(|state| state.batches.is_empty() && state.epoch < batch.epoch);
        newer
            && self.put(
                batch.producer_id,
                ProducerState {
                    epoch: batch.epoch,
                    batches: Vec::new(),
                    refused: Some(batch.base_sequence),
                    last_activity_ms: now_ms,
                },
            )
    }

    /// Forgets producers that were active last at `idle` or before.
    pub fn forget(&mut self, idle: Idle) {
        self.known.retain(|_, state| state.last_activity_ms > idle.since_ms);
        if self.known.capacity() > 4 * self.known.len() {
            self.known.shrink_to_fit();
        }
    }

    /// Forgets a producer.
    pub fn remove(&mut self, producer_id: i64) {
        self.known.remove(&producer_id);
    }

    /// Each producer's id and when it was active last, milliseconds since 1970, in no order.
    pub fn activity_ms(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.known
            .iter()
            .map(|(producer_id, state)| (*producer_id, state.last_activity_ms))
    }
}

#[cfg(test)]
mod tests;
