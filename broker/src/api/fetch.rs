//! Fetch (key 1), versions 4-18.
//!
//! Whole batches as stored, from the one that holds the offset; the first batch of the first partition that has any goes out
//! whatever its size (KIP-74). Waits until `min_bytes` can be read, `max_wait_ms` passed, or a partition has an error.
//!
//! Sessions are not kept: every answer has session id 0 and every partition that was asked for, which clients take as a full fetch
//! (KIP-227); a request that names a session gets FETCH_SESSION_ID_NOT_FOUND (70). `rack_id`, `last_fetched_epoch` and the fields of
//! followers are ignored: there is one replica.
//!
//! * v4: isolation level, last stable offset, aborted transactions (KIP-98). v5: log start offset (KIP-107). v7: sessions (KIP-227).
//!   v9: current leader epoch (KIP-320). v11: rack, preferred read replica (KIP-392). v12: flexible, last fetched epoch (KIP-595).
//!   v13: topic ids (KIP-516). v15: replica state (KIP-903). v16: node endpoints (KIP-951). v17: replica directory (KIP-853).
//!   v18: high watermark of followers (KIP-1166).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use tokio::sync::Notify;

use super::{Context, RequestInfo};
use crate::catalog::{Topic, Topics};
use crate::limits::{FETCH_RESPONSE_BYTES, FETCH_SHARES, SMALL_FETCH_BYTES, SMALL_REPLY_BYTES};
use crate::log::partition::{Lookup, Partition};
use crate::net::Charge;

/// How long a read of older data may wait for another session's lock before its partition comes back empty.
const COLD_READ_PATIENCE: Duration = Duration::from_secs(5);

/// The read_committed isolation level on the wire.
const READ_COMMITTED: i8 = 1;

/// One partition that was asked for, found or not.
struct Wanted<'a> {
    request: &'a FetchPartition,
    found: Result<Arc<Partition>, ResponseError>,
}

impl Wanted<'_> {
    /// Whether the offset can be read.
    fn check(&self, leader_epoch: i32) -> Result<(), ResponseError> {
        let partition = self.found.as_ref().map_err(|error| *error)?;
        check_epoch(self.request.current_leader_epoch, leader_epoch)?;
        if partition.is_deleted() {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let bounds = partition.bounds();
        if self.request.fetch_offset < bounds.log_start_offset || self.request.fetch_offset > bounds.high_watermark {
            return Err(ResponseError::OffsetOutOfRange);
        }
        Ok(())
    }

    fn max_bytes(&self) -> usize {
        usize::try_from(self.request.partition_max_bytes).unwrap_or(0)
    }
}

/// The check of a client's idea of the leader epoch (KIP-320): -1 is none.
///
/// # Errors
/// FENCED_LEADER_EPOCH (74) below the current one, UNKNOWN_LEADER_EPOCH (75) above.
pub fn check_epoch(requested: i32, current: i32) -> Result<(), ResponseError> {
    match requested {
        -1 => Ok(()),
        epoch if epoch < current => Err(ResponseError::FencedLeaderEpoch),
        epoch if epoch > current => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// What a Fetch needs, without a part of the frame that it came in: a frame can be far larger than what it asks for.
pub fn unpinned(mut body: FetchRequest) -> FetchRequest {
    let partition = |asked: FetchPartition| {
        FetchPartition::default()
            .with_partition(asked.partition)
            .with_current_leader_epoch(asked.current_leader_epoch)
            .with_fetch_offset(asked.fetch_offset)
            .with_partition_max_bytes(asked.partition_max_bytes)
    };
    let topic = |asked: FetchTopic| {
        FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_string(asked.topic.to_string())))
            .with_topic_id(asked.topic_id)
            .with_partitions(asked.partitions.into_iter().map(partition).collect())
    };
    let topics = std::mem::take(&mut body.topics).into_iter().map(topic).collect();
    FetchRequest::default()
        .with_max_wait_ms(body.max_wait_ms)
        .with_min_bytes(body.min_bytes)
        .with_max_bytes(body.max_bytes)
        .with_isolation_level(body.isolation_level)
        .with_session_epoch(body.session_epoch)
        .with_topics(topics)
}

/// Bytes that a Fetch holds of the receive budget while it waits.
pub fn bytes_kept(body: &FetchRequest) -> usize {
    let of_topic = |topic: &FetchTopic| {
        size_of::<FetchTopic>() + topic.topic.len() + topic.partitions.len() * (size_of::<FetchPartition>() + size_of::<Wanted>())
    };
    let bytes = body.topics.iter().map(of_topic).sum();
    if bytes <= SMALL_FETCH_BYTES {
        0
    } else {
        bytes
    }
}

/// Answers a Fetch; the charge is what the response holds of the response budget.
pub async fn handle(context: &Context, info: &RequestInfo, body: FetchRequest) -> (FetchResponse, Charge) {
    if info.version >= 7 && body.session_epoch > 0 {
        let refused = FetchResponse::default().with_error_code(ResponseError::FetchSessionIdNotFound.code());
        return (refused, Charge::none());
    }
    let topics = context.catalog.topics();
    let wanted: Vec<Vec<Wanted>> = body.topics.iter().map(|topic| find(&topics, info.version, topic)).collect();
    let max_bytes = usize::try_from(body.max_bytes).unwrap_or(0).min(FETCH_RESPONSE_BYTES);
    let readable = wait(context, &body, &wanted, max_bytes).await;
    let wish = readable.min(max_bytes);
    let share = (context.response_budget.total() / FETCH_SHARES).max(1);
    let filling = Filling {
        context,
        info,
        body: &body,
        wanted: &wanted,
    };
    let Some(mut charge) = context.response_budget.try_acquire(wish.min(share)) else {
        return filling.contended(wish.min(share)).await;
    };
    let bound = if wish <= share { max_bytes } else { share };
    let filled = filling.fill(bound, true).await;
    charge.shrink_to(filled.size);
    (filled.response, charge)
}

/// A Fetch that has waited for its data.
struct Filling<'a> {
    context: &'a Context,
    info: &'a RequestInfo,
    body: &'a FetchRequest,
    wanted: &'a [Vec<Wanted<'a>>],
}

/// A response, and the bytes of its records.
struct Filled {
    response: FetchResponse,
    size: usize,
    /// Whether it is empty because the first batch does not fit.
    first_left_out: bool,
}

impl Filling<'_> {
    /// The response budget is exhausted: a small response if there is one, else one of `wish` bytes in its turn.
    async fn contended(&self, wish: usize) -> (FetchResponse, Charge) {
        if let Some(mut charge) = self.context.small_responses.try_acquire(SMALL_REPLY_BYTES.min(wish)) {
            let filled = self.fill(SMALL_REPLY_BYTES.min(wish), false).await;
            if !filled.first_left_out {
                charge.shrink_to(filled.size);
                return (filled.response, charge);
            }
        }
        let mut charge = self.context.response_budget.acquire(wish).await;
        let filled = self.fill(wish, true).await;
        charge.shrink_to(filled.size);
        (filled.response, charge)
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
            read_committed: self.body.isolation_level == READ_COMMITTED,
        };
        let mut responses = Vec::with_capacity(self.wanted.len());
        // As in Kafka, a topic without partitions is not in the answer.
        let named = self.body.topics.iter().zip(self.wanted);
        for (topic, partitions) in named.filter(|(_, partitions)| !partitions.is_empty()) {
            let mut answers = Vec::with_capacity(partitions.len());
            for partition in partitions {
                answers.push(reader.answer(partition).await);
            }
            let response = FetchableTopicResponse::default().with_partitions(answers);
            responses.push(match self.info.version {
                13.. => response.with_topic_id(topic.topic_id),
                _ => response.with_topic(topic.topic.clone()),
            });
        }
        Filled {
            response: FetchResponse::default().with_responses(responses),
            size: reader.size,
            first_left_out: reader.empty && reader.first_left_out,
        }
    }
}

fn find<'a>(topics: &Topics, version: i16, asked: &'a FetchTopic) -> Vec<Wanted<'a>> {
    let topic: Result<&Arc<Topic>, ResponseError> = match version {
        13.. => topics.by_id(&asked.topic_id).ok_or(ResponseError::UnknownTopicId),
        _ => topics.by_name(&asked.topic).ok_or(ResponseError::UnknownTopicOrPartition),
    };
    let partition = |request: &'a FetchPartition| {
        let found = topic.and_then(|topic| {
            topic
                .partition(request.partition)
                .ok_or(ResponseError::UnknownTopicOrPartition)
        });
        Wanted {
            request,
            found: found.cloned(),
        }
    };
    asked.partitions.iter().map(partition).collect()
}

/// Waits until there is something to answer with: `min_bytes`, but no more than the `max_bytes` that the answer can have. Returns
/// the bytes that can be read, an upper bound.
async fn wait(context: &Context, body: &FetchRequest, wanted: &[Vec<Wanted<'_>>], max_bytes: usize) -> usize {
    // A client that is gone without a word would keep its connection for as long as it was willing to wait.
    let patience = Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0));
    let deadline = tokio::time::Instant::now() + patience.min(context.settings().connections_max_idle);
    let min_bytes = usize::try_from(body.min_bytes).unwrap_or(0).min(max_bytes);
    loop {
        let waiter = Arc::new(Notify::new());
        let mut readable = 0;
        let mut enough = body.max_wait_ms <= 0;
        let mut known = false;
        for partition in wanted.iter().flatten() {
            let Ok(log) = &partition.found else { continue };
            known = true;
            // Registered before the look, so that nothing falls between.
            log.wait(&waiter);
            if partition.check(context.catalog.leader_epoch()).is_err() {
                enough = true;
                continue;
            }
            match log.cached_bytes_from(partition.request.fetch_offset, partition.max_bytes()) {
                Some(size) => readable += size,
                // Older data: something is there, how much is only known by reading it.
                None => {
                    readable += partition.max_bytes();
                    enough = true;
                }
            }
        }
        if enough || !known || readable >= min_bytes {
            return readable;
        }
        if tokio::time::timeout_at(deadline, waiter.notified()).await.is_err() {
            return readable;
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
    async fn answer(&mut self, wanted: &Wanted<'_>) -> PartitionData {
        let answer = PartitionData::default().with_partition_index(wanted.request.partition);
        let outcome = match (&wanted.found, wanted.check(self.context.catalog.leader_epoch())) {
            // The bounds are taken after the records, so that no record is at or above the high watermark it comes with.
            (Ok(partition), Ok(())) => self
                .read(wanted, partition)
                .await
                .map(|records| (partition.bounds(), records)),
            (Err(error), _) => Err(*error),
            (_, Err(error)) => Err(error),
        };
        match outcome {
            Ok((bounds, records)) => answer
                .with_high_watermark(bounds.high_watermark)
                .with_last_stable_offset(bounds.last_stable_offset)
                .with_log_start_offset(bounds.log_start_offset)
                .with_aborted_transactions(self.read_committed.then(Vec::new))
                .with_records(Some(records)),
            Err(error) => answer
                .with_error_code(error.code())
                .with_high_watermark(-1)
                .with_last_stable_offset(-1)
                .with_log_start_offset(-1)
                // As in Kafka: empty for a partition that does not exist, null for one that cannot be read.
                .with_aborted_transactions(wanted.found.is_err().then(Vec::new))
                .with_records(Some(Bytes::new())),
        }
    }

    async fn read(&mut self, wanted: &Wanted<'_>, partition: &Partition) -> Result<Bytes, ResponseError> {
        let offset = wanted.request.fetch_offset;
        let limit = wanted.max_bytes().min(self.remaining);
        if limit == 0 && !self.empty {
            return Ok(Bytes::new());
        }
        let records = match partition.lookup(offset, limit) {
            Lookup::Cached(batches) => self.take(&batches, limit, |batch| batch.bytes.len(), |batch, out| batch.write_to(out)),
            Lookup::Cold => {
                let deadline = Instant::now() + COLD_READ_PATIENCE;
                let read = self
                    .context
                    .storage
                    .read(partition.topic, partition.index, offset, limit, deadline)
                    .await;
                match read {
                    Ok(batches) => self.take(&batches, limit, Bytes::len, |batch, out| out.extend_from_slice(batch)),
                    Err(crate::storage::StorageError::TimedOut) => Bytes::new(),
                    Err(error) => return Err(error.code()),
                }
            }
        };
        Ok(records)
    }

    /// Joins the batches that fit; with `whole_first` the first of the whole response fits always.
    fn take<B>(
        &mut self,
        batches: &[B],
        limit: usize,
        size_of: impl Fn(&B) -> usize,
        write: impl Fn(&B, &mut BytesMut),
    ) -> Bytes {
        let mut size = 0;
        let mut count = 0;
        let mut full = false;
        for batch in batches {
            let first = self.empty && count == 0;
            let fits = size + size_of(batch) <= limit || (first && self.whole_first);
            if !fits {
                self.first_left_out |= first;
                full = !first && limit == self.remaining;
                break;
            }
            size += size_of(batch);
            count += 1;
        }
        let mut out = BytesMut::with_capacity(size);
        for batch in &batches[..count] {
            write(batch, &mut out);
        }
        self.empty &= count == 0;
        // Once a batch does not fit the response, the partitions behind are not read for nothing: clients ask for them first next time.
        self.remaining = if full { 0 } else { self.remaining.saturating_sub(size) };
        self.size += size;
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_checked_as_kafka_does() {
        assert_eq!(check_epoch(-1, 5), Ok(()));
        assert_eq!(check_epoch(5, 5), Ok(()));
        assert_eq!(check_epoch(4, 5), Err(ResponseError::FencedLeaderEpoch));
        assert_eq!(check_epoch(6, 5), Err(ResponseError::UnknownLeaderEpoch));
    }
}
