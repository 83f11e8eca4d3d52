//! What becomes of a topic's jobs when they enter a group: each batch of an idempotent producer is checked against committed state plus
//! the jobs before it in the same group (design I2). Pure; it becomes state only with the commit.

use std::collections::btree_map::Entry;
use std::collections::BTreeMap;

use super::topic_log::{PartitionLog, TopicLog};
use crate::producers::state::{Idle, ProducerState, SequenceError, Verdict, WrittenBatch};
use crate::storage::jobs::{Append, AppendJob};

/// The time, as the producers' state takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Milliseconds since 1970.
    pub(super) now_ms: i64,
    /// Who counts as idle.
    pub(super) idle: Idle,
}

/// What becomes of one job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// It is appended at this offset.
    Append { base_offset: i64 },
    /// It is in the log already, or is appended by a job before it.
    Duplicate(WrittenBatch),
    /// It may not be appended.
    Refused(SequenceError),
}

/// What becomes of a topic's jobs, in their order, and of the producers of those that are appended.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) outcomes: Vec<Outcome>,
    /// By partition and producer id.
    pub(super) producers: BTreeMap<(i32, i64), ProducerState>,
    next_offsets: BTreeMap<i32, i64>,
}

impl Draft {
    pub(super) fn new(log: &TopicLog, jobs: &[AppendJob], clock: Clock) -> Self {
        let mut draft = Draft::default();
        for job in jobs {
            let known = &log.partitions[job.append.partition as usize];
            let outcome = match draft.check(&job.append, known, clock) {
                Ok(Verdict::Append) => Outcome::Append {
                    base_offset: draft.place(&job.append, known, clock),
                },
                Ok(Verdict::Duplicate(written)) => Outcome::Duplicate(written),
                Err(error) => Outcome::Refused(error),
            };
            draft.outcomes.push(outcome);
        }
        draft
    }

    fn check(&self, append: &Append, known: &PartitionLog, clock: Clock) -> Result<Verdict, SequenceError> {
        let Some(batch) = &append.producer else {
            return Ok(Verdict::Append);
        };
        match self.producers.get(&(append.partition, batch.producer_id)) {
            Some(state) => state.check(batch),
            None => known.producers.check(batch, clock.idle),
        }
    }

    fn place(&mut self, append: &Append, known: &PartitionLog, clock: Clock) -> i64 {
        let next_offset = self.next_offsets.entry(append.partition).or_insert(known.next_offset);
        let base_offset = *next_offset;
        *next_offset += i64::from(append.last_offset_delta) + 1;
        let Some(batch) = &append.producer else {
            return base_offset;
        };
        match self.producers.entry((append.partition, batch.producer_id)) {
            Entry::Occupied(mut state) => state.get_mut().append(batch, base_offset, clock.now_ms),
            Entry::Vacant(place) => {
                let state = match known.producers.get(batch.producer_id, clock.idle).cloned() {
                    Some(mut state) => {
                        state.append(batch, base_offset, clock.now_ms);
                        state
                    }
                    None => ProducerState::begun_by(batch, base_offset, clock.now_ms),
                };
                place.insert(state);
            }
        }
        base_offset
    }

    /// The jobs that are appended, of those that this was made of.
    pub(super) fn appended<'a>(&'a self, jobs: &'a [AppendJob]) -> impl Iterator<Item = (&'a Append, i64)> + Clone {
        jobs.iter().zip(&self.outcomes).filter_map(|(job, outcome)| match outcome {
            Outcome::Append { base_offset } => Some((&job.append, *base_offset)),
            Outcome::Duplicate(_) | Outcome::Refused(_) => None,
        })
    }
}

/// Whether none of the jobs is to be appended. Then none of them changes what the others are checked against.
pub(super) fn append_nothing(log: &TopicLog, jobs: &[AppendJob], clock: Clock) -> bool {
    jobs.iter().all(|job| {
        let known = &log.partitions[job.append.partition as usize];
        let checked = job
            .append
            .producer
            .as_ref()
            .map(|batch| known.producers.check(batch, clock.idle));
        !matches!(checked, None | Some(Ok(Verdict::Append)))
    })
}
