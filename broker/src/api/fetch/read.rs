//! Reading what a Fetch is answered with: partitions in order, within bounds and a byte budget.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::ResponseError;

use super::reply::Records;
use crate::api::Context;
use crate::fetch::wait::check;
use crate::fetch::wanted::Wanted;
use crate::limits::{FETCH_SHARES, SMALL_REPLY_BYTES};
use crate::log::partition::{Lookup, Partition};
use crate::net::Charge;

/// How long a read of older data may wait for another session's lock before its partition comes back empty.
const COLD_READ_PATIENCE: Duration = Duration::from_secs(5);

/// A Fetch that has waited for its data.
pub struct Filling<'a> {
    /// The broker.
    pub context: &'a Context,
    /// What is to be answered, in this order.
    pub wanted: &'a [Wanted],
    /// Bytes of records in the answer, beyond the first batch.
    pub max_bytes: usize,
    /// Whether aborted transactions are to be named.
    pub read_committed: bool,
}

/// The answer about a partition, with an empty value in the place of its records.
pub type Answer = (PartitionData, Records);

/// Answers, and the bytes of their records.
struct Filled {
    answers: Vec<Answer>,
    size: usize,
    /// Whether it is empty because the first batch does not fit.
    first_left_out: bool,
}

impl Filling<'_> {
    /// An answer for each partition, and what they hold of the response budget.
    pub async fn run(&self) -> (Vec<Answer>, Charge) {
        let budget = &self.context.response_budget;
        let wish = self.readable().min(self.max_bytes);
        let share = (budget.total() / FETCH_SHARES).max(1);
        let Some(mut charge) = budget.try_acquire(wish.min(share)) else {
            return self.contended(wish.min(share)).await;
        };
        let bound = if wish <= share { self.max_bytes } else { share };
        let filled = self.fill(bound, true).await;
        charge.shrink_to(filled.size);
        (filled.answers, charge)
    }

    /// The response budget is exhausted: a small answer if there is one, else one of `wish` bytes in its turn.
    async fn contended(&self, wish: usize) -> (Vec<Answer>, Charge) {
        if let Some(mut charge) = self.context.small_responses.try_acquire(SMALL_REPLY_BYTES.min(wish)) {
            let filled = self.fill(SMALL_REPLY_BYTES.min(wish), false).await;
            if !filled.first_left_out {
                charge.shrink_to(filled.size);
                return (filled.answers, charge);
            }
        }
        let mut charge = self.context.response_budget.acquire(wish).await;
        let filled = self.fill(wish, true).await;
        charge.shrink_to(filled.size);
        (filled.answers, charge)
    }

    /// Bytes that can be read, an upper bound.
    fn readable(&self) -> usize {
        let of = |wanted: &Wanted| {
            let partition = wanted.found.as_ref().ok()?;
            let outlook = partition.outlook(wanted.fetch_offset, wanted.max_bytes());
            check(wanted, &outlook, self.context.catalog.leader_epoch()).ok()?;
            Some(outlook.readable.unwrap_or(wanted.max_bytes()))
        };
        self.wanted.iter().filter_map(of).fold(0, usize::saturating_add)
    }

    /// Reads up to `max_bytes`, and with `whole_first` the first batch whatever its size, as Kafka does.
    async fn fill(&self, max_bytes: usize, whole_first: bool) -> Filled {
        let mut reader = Reader {
            context: self.context,
            remaining: max_bytes,
            empty: true,
            size: 0,
            whole_first,
            first_left_out: false,
            read_committed: self.read_committed,
        };
        let mut answers = Vec::with_capacity(self.wanted.len());
        for wanted in self.wanted {
            answers.push(reader.answer(wanted).await);
        }
        Filled {
            answers,
            size: reader.size,
            first_left_out: reader.empty && reader.first_left_out,
        }
    }
}

/// Fills the response's partitions in order, within its bounds.
struct Reader<'a> {
    context: &'a Context,
    remaining: usize,
    empty: bool,
    size: usize,
    /// Whether the first batch is taken whatever its size.
    whole_first: bool,
    /// Whether a batch was left out though nothing was taken before it.
    first_left_out: bool,
    read_committed: bool,
}

impl Reader<'_> {
    async fn answer(&mut self, wanted: &Wanted) -> Answer {
        let answer = PartitionData::default()
            .with_partition_index(wanted.partition)
            .with_records(Some(Bytes::new()));
        let outcome = match (&wanted.found, self.check(wanted)) {
            // The bounds are taken after the records, so that no record is at or above the high watermark it comes with.
            (Ok(partition), Ok(())) => self
                .read(wanted, partition)
                .await
                .map(|records| (partition.bounds(), records)),
            (_, Err(error)) => Err(error),
            (Err(error), _) => Err(*error),
        };
        match outcome {
            Ok((bounds, records)) => {
                let answer = answer
                    .with_high_watermark(bounds.high_watermark)
                    .with_last_stable_offset(bounds.last_stable_offset)
                    .with_log_start_offset(bounds.log_start_offset)
                    .with_aborted_transactions(self.read_committed.then(Vec::new));
                (answer, records)
            }
            Err(error) => {
                let answer = answer
                    .with_error_code(error.code())
                    .with_high_watermark(-1)
                    .with_last_stable_offset(-1)
                    .with_log_start_offset(-1)
                    // As in Kafka: empty for a partition that does not exist, null for one that cannot be read.
                    .with_aborted_transactions(wanted.found.is_err().then(Vec::new));
                (answer, Records::default())
            }
        }
    }

    fn check(&self, wanted: &Wanted) -> Result<(), ResponseError> {
        let partition = wanted.found.as_ref().map_err(|error| *error)?;
        check(
            wanted,
            &partition.outlook(wanted.fetch_offset, 0),
            self.context.catalog.leader_epoch(),
        )
    }

    async fn read(&mut self, wanted: &Wanted, partition: &Partition) -> Result<Records, ResponseError> {
        let offset = wanted.fetch_offset;
        let limit = wanted.max_bytes().min(self.remaining);
        if limit == 0 && !self.empty {
            return Ok(Records::default());
        }
        let records = match partition.lookup(offset, limit) {
            Lookup::Cached(batches) => self.take(
                batches,
                limit,
                |batch| batch.bytes.len(),
                |batch, out| out.push_placed(&batch),
            ),
            Lookup::Cold => {
                let deadline = Instant::now() + COLD_READ_PATIENCE;
                let read = self
                    .context
                    .storage
                    .read(partition.topic, partition.index, offset, limit, deadline)
                    .await;
                match read {
                    Ok(batches) => self.take(batches, limit, Bytes::len, |batch, out| out.push(batch)),
                    Err(crate::storage::StorageError::TimedOut) => Records::default(),
                    Err(error) => return Err(error.code()),
                }
            }
        };
        Ok(records)
    }

    /// Takes the batches that fit; with `whole_first` the first of the whole response fits always.
    fn take<B>(
        &mut self,
        batches: Vec<B>,
        limit: usize,
        size_of: impl Fn(&B) -> usize,
        push: impl Fn(B, &mut Records),
    ) -> Records {
        let mut records = Records::default();
        let mut size = 0;
        let mut full = false;
        for batch in batches {
            let first = self.empty && records.is_empty();
            let fits = size + size_of(&batch) <= limit || (first && self.whole_first);
            if !fits {
                self.first_left_out |= first;
                full = !first && limit == self.remaining;
                break;
            }
            size += size_of(&batch);
            push(batch, &mut records);
        }
        self.empty &= records.is_empty();
        // Once a batch does not fit the response, the partitions behind are not read for nothing: clients ask for them first next time.
        self.remaining = if full { 0 } else { self.remaining.saturating_sub(size) };
        self.size += size;
        records
    }
}
