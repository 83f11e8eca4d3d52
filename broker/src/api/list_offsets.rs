//! ListOffsets, versions 1-11: the bounds of partitions, and offsets by time.
//!
//! What is asked for is a time in milliseconds since 1970, or one of the negative numbers in [`sentinel`]; one that the version does
//! not have is UNSUPPORTED_VERSION (35) for its partition. By time, the first record at or after it is found, inside batches too; where
//! there is none below the high watermark (read_committed: the last stable offset) the answer is offset -1 without an error. There
//! is no tiered storage: the local log is the log, and what is tiered or waits for it has offset -1. A partition named twice is
//! INVALID_REQUEST (42), once in the answer. There is one replica, so all that `replica_id` changes is that the isolation level does not
//! count for other than consumers (-1). `timeout_ms` bounds the look-ups by time, [`PATIENCE`] where it is not given.
//!
//! * 1: one offset and its timestamp.
//! * 2: isolation level (KIP-98), throttle time.
//! * 3: the reply is sent before throttling (KIP-219).
//! * 4: leader epochs (KIP-320): an older one is FENCED_LEADER_EPOCH (74), a newer one UNKNOWN_LEADER_EPOCH (75).
//! * 5: OFFSET_NOT_AVAILABLE may be answered (KIP-207); there is no leader that lags behind.
//! * 6: flexible (KIP-482).
//! * 7: the record with the largest timestamp (KIP-734).
//! * 8: the start of the local log (KIP-405).
//! * 9: the end of the tiered log (KIP-1005).
//! * 10: timeout (KIP-1075).
//! * 11: the first offset that waits to be tiered (KIP-1023).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};
use kafka_protocol::ResponseError;

use super::long_work::{Crowded, LongWork};
use super::{Context, RequestInfo};
use crate::catalog::Topics;
use crate::limits::{DECOMPRESSED_BATCH_BYTES, LIGHT_BATCH_BYTES, LOOKUPS_PER_REQUEST};
use crate::log::epochs::check_epoch;
use crate::log::partition::{next_offset_of, Partition};
use crate::log::time_lookup::{first_at_least, first_of_max, LookupError, TimedOffset};
use crate::storage::jobs::TimeTarget;
use crate::storage::{Storage, StorageError};

/// How long look-ups by time may take where the request does not say.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The negative times (Kafka `ListOffsetsRequest`).
pub mod sentinel {
    /// The end of what may be read.
    pub const LATEST: i64 = -1;
    /// The log start.
    pub const EARLIEST: i64 = -2;
    /// The record with the largest timestamp.
    pub const MAX_TIMESTAMP: i64 = -3;
    /// The start of the local log.
    pub const EARLIEST_LOCAL: i64 = -4;
    /// The end of the tiered log.
    pub const LATEST_TIERED: i64 = -5;
    /// The first offset that waits to be tiered.
    pub const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

const CONSUMER: i32 = -1;
const READ_COMMITTED: i8 = 1;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: ListOffsetsRequest) -> ListOffsetsResponse {
    let asked = Asked {
        version: request.version,
        leader_epoch: context.catalog.leader_epoch(),
        stable_only: body.replica_id.0 == CONSUMER && body.isolation_level == READ_COMMITTED,
    };
    let mut plan = Plan::new(&asked, &context.catalog.topics(), &body);
    let patience = match u64::try_from(body.timeout_ms) {
        Ok(timeout_ms) if timeout_ms > 0 => Duration::from_millis(timeout_ms),
        _ => PATIENCE,
    };
    plan.look_up(context, Instant::now() + patience).await;
    plan.respond(request.version)
}

/// What holds for all partitions of a request.
struct Asked {
    version: i16,
    leader_epoch: i32,
    stable_only: bool,
}

/// The first offset that the client may not read.
fn end_of(partition: &Partition, stable_only: bool) -> i64 {
    let bounds = partition.bounds();
    if stable_only {
        bounds.last_stable_offset
    } else {
        bounds.high_watermark
    }
}

/// (offset, timestamp, leader epoch); all -1 where there is none.
type Answer = (i64, i64, i32);

const NONE: Answer = (-1, -1, -1);

/// A look-up by time that storage is needed for.
#[derive(Clone)]
struct Search {
    partition: Arc<Partition>,
    target: TimeTarget,
    stable_only: bool,
}

enum Outcome {
    Known(Result<Answer, ResponseError>),
    Search(Search),
}

struct Entry {
    topic: TopicName,
    index: i32,
    outcome: Outcome,
}

struct Plan {
    entries: Vec<Entry>,
}

impl Plan {
    fn new(asked: &Asked, topics: &Topics, body: &ListOffsetsRequest) -> Self {
        let all = || {
            let partitions = |topic| -> Vec<(&TopicName, &ListOffsetsPartition)> { pairs(topic) };
            body.topics.iter().flat_map(partitions)
        };
        let mut seen = HashSet::new();
        let twice: HashSet<_> = all()
            .map(|(topic, partition)| (topic, partition.partition_index))
            .filter(|key| !seen.insert(*key))
            .collect();
        seen.clear();
        let mut entries = Vec::new();
        for (topic, partition) in all() {
            let key = (topic, partition.partition_index);
            if !seen.insert(key) {
                continue;
            }
            let outcome = if twice.contains(&key) {
                Outcome::Known(Err(ResponseError::InvalidRequest))
            } else {
                asked.outcome(topics, topic, partition)
            };
            entries.push(Entry {
                topic: topic.clone(),
                index: partition.partition_index,
                outcome,
            });
        }
        Plan { entries }
    }

    /// Does the look-ups, a bounded number at a time.
    async fn look_up(&mut self, context: &Context, deadline: Instant) {
        let searches = self.entries.iter_mut().filter_map(|entry| match &entry.outcome {
            Outcome::Search(search) => Some((search.clone(), &mut entry.outcome)),
            Outcome::Known(_) => None,
        });
        let mut searches: Vec<_> = searches.collect();
        for some in searches.chunks_mut(LOOKUPS_PER_REQUEST) {
            let tasks: Vec<_> = some
                .iter()
                .map(|(search, _)| {
                    let (storage, long_work) = (context.storage.clone(), context.long_work.clone());
                    tokio::spawn(search.clone().run(storage, long_work, deadline))
                })
                .collect();
            for ((_, outcome), task) in some.iter_mut().zip(tasks) {
                **outcome = Outcome::Known(task.await.unwrap_or(Err(ResponseError::UnknownServerError)));
            }
        }
    }

    fn respond(self, version: i16) -> ListOffsetsResponse {
        let mut topics: Vec<ListOffsetsTopicResponse> = Vec::new();
        let mut places = HashMap::new();
        for entry in self.entries {
            let outcome = match entry.outcome {
                Outcome::Known(outcome) => outcome,
                Outcome::Search(_) => Err(ResponseError::UnknownServerError),
            };
            let place = *places.entry(entry.topic.clone()).or_insert_with(|| {
                topics.push(ListOffsetsTopicResponse::default().with_name(entry.topic));
                topics.len() - 1
            });
            let (offset, timestamp, leader_epoch) = outcome.unwrap_or(NONE);
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(entry.index)
                .with_error_code(outcome.err().map_or(0, |error| error.code()))
                .with_offset(offset)
                .with_timestamp(timestamp)
                .with_leader_epoch(if version >= 4 { leader_epoch } else { -1 });
            topics[place].partitions.push(answer);
        }
        ListOffsetsResponse::default().with_topics(topics)
    }
}

fn pairs(topic: &kafka_protocol::messages::list_offsets_request::ListOffsetsTopic) -> Vec<(&TopicName, &ListOffsetsPartition)> {
    topic.partitions.iter().map(|partition| (&topic.name, partition)).collect()
}

impl Asked {
    fn outcome(&self, topics: &Topics, topic: &TopicName, wanted: &ListOffsetsPartition) -> Outcome {
        if !self.has_sentinel(wanted.timestamp) {
            return Outcome::Known(Err(ResponseError::UnsupportedVersion));
        }
        let partition = topics
            .by_name(topic)
            .and_then(|topic| topic.partition(wanted.partition_index));
        let Some(partition) = partition.filter(|partition| !partition.is_deleted()) else {
            return Outcome::Known(Err(ResponseError::UnknownTopicOrPartition));
        };
        if let Err(error) = check_epoch(wanted.current_leader_epoch, self.leader_epoch) {
            return Outcome::Known(Err(error));
        }
        let search = |target| {
            Outcome::Search(Search {
                partition: partition.clone(),
                target,
                stable_only: self.stable_only,
            })
        };
        match wanted.timestamp {
            sentinel::LATEST => Outcome::Known(Ok((end_of(partition, self.stable_only), -1, self.leader_epoch))),
            sentinel::EARLIEST | sentinel::EARLIEST_LOCAL => {
                let start = partition.bounds().log_start_offset;
                Outcome::Known(Ok((start, -1, partition.epoch_of(start))))
            }
            sentinel::LATEST_TIERED | sentinel::EARLIEST_PENDING_UPLOAD => Outcome::Known(Ok(NONE)),
            sentinel::MAX_TIMESTAMP => search(TimeTarget::Max),
            timestamp => search(TimeTarget::AtLeast(timestamp)),
        }
    }

    /// Whether the time is one, or a sentinel of this version.
    fn has_sentinel(&self, timestamp: i64) -> bool {
        match timestamp {
            0.. => true,
            sentinel::LATEST | sentinel::EARLIEST => true,
            sentinel::MAX_TIMESTAMP => self.version >= 7,
            sentinel::EARLIEST_LOCAL => self.version >= 8,
            sentinel::LATEST_TIERED => self.version >= 9,
            sentinel::EARLIEST_PENDING_UPLOAD => self.version >= 11,
            _ => false,
        }
    }
}

impl Search {
    async fn run(self, storage: Storage, long_work: LongWork, deadline: Instant) -> Result<Answer, ResponseError> {
        let found = self.find(&storage, &long_work, deadline).await?;
        let end = end_of(&self.partition, self.stable_only);
        Ok(match found {
            Some(found) if found.offset < end => (found.offset, found.timestamp_ms, found.leader_epoch),
            _ => NONE,
        })
    }

    async fn find(
        &self,
        storage: &Storage,
        long_work: &LongWork,
        deadline: Instant,
    ) -> Result<Option<TimedOffset>, ResponseError> {
        let Partition { topic, index, .. } = *self.partition;
        let start = self.partition.bounds().log_start_offset;
        let mut from = start;
        loop {
            let batch = storage.find_by_time(topic, index, from, self.target, deadline).await;
            let Some(batch) = batch.map_err(|error| failed(&error))? else {
                return Ok(None);
            };
            let look = |max_bytes| match self.target {
                TimeTarget::Max => first_of_max(&batch, max_bytes),
                TimeTarget::AtLeast(timestamp) => first_at_least(&batch, start, timestamp, max_bytes),
            };
            let found = match look(LIGHT_BATCH_BYTES) {
                Err(error) if error.decompresses_to_more() => long_work
                    .run(|| look(DECOMPRESSED_BATCH_BYTES))
                    .map_err(|Crowded| ResponseError::RequestTimedOut)?,
                done => done,
            };
            let found = found.map_err(|error| self.damaged(&error))?;
            if found.is_some() || matches!(self.target, TimeTarget::Max) {
                return Ok(found);
            }
            // What made the batch match lies before the log start.
            from = next_offset_of(&batch).unwrap_or(i64::MAX).max(from.saturating_add(1));
        }
    }

    fn damaged(&self, error: &LookupError) -> ResponseError {
        let Partition { topic, index, .. } = *self.partition;
        tracing::error!(topic = topic.0, partition = index, %error, "stored batch cannot be read");
        ResponseError::KafkaStorageError
    }
}

fn failed(error: &StorageError) -> ResponseError {
    match error {
        // Nothing was to be written, so "perhaps written" would mean nothing to the client.
        StorageError::Unavailable => ResponseError::KafkaStorageError,
        error => error.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use crate::catalog::sample;
    use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::protocol::StrBytes;

    fn wanted(index: i32, timestamp: i64) -> ListOffsetsPartition {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_timestamp(timestamp)
            .with_current_leader_epoch(-1)
    }

    fn body(topic: &'static str, partitions: Vec<ListOffsetsPartition>) -> ListOffsetsRequest {
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(topic)))
            .with_partitions(partitions);
        ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic])
    }

    /// (error, offset, timestamp, leader epoch) of each partition.
    fn parts(version: i16, response: &ListOffsetsResponse) -> Vec<(i16, i64, i64, i32)> {
        assert_encodes(ApiKey::ListOffsets, version, response);
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions
            .map(|answer| (answer.error_code, answer.offset, answer.timestamp, answer.leader_epoch))
            .collect()
    }

    fn ask(version: i16, body: &ListOffsetsRequest) -> Vec<(i16, i64, i64, i32)> {
        let asked = Asked {
            version,
            leader_epoch: 1,
            stable_only: false,
        };
        let topics = sample::topics(&[("t", 2)]);
        drop(topics.by_name("t").unwrap().partitions[0].publish([], 9));
        parts(version, &Plan::new(&asked, &topics, body).respond(version))
    }

    #[test]
    fn bounds_are_known_at_every_version() {
        for version in ApiKey::ListOffsets.api().served.iter() {
            let epoch = if version >= 4 { 1 } else { -1 };
            let answers = ask(version, &body("t", vec![wanted(0, -1), wanted(1, -2), wanted(2, -1)]));
            assert_eq!(
                answers,
                [(0, 9, -1, epoch), (0, 0, -1, epoch), (3, -1, -1, -1)],
                "version {version}"
            );
            assert_eq!(ask(version, &body("none", vec![wanted(0, -1)])), [(3, -1, -1, -1)]);
        }
    }

    #[test]
    fn a_sentinel_needs_its_version() {
        for (sentinel, since) in [(-4, 8), (-5, 9), (-6, 11)] {
            assert_eq!(ask(since - 1, &body("t", vec![wanted(1, sentinel)])), [(35, -1, -1, -1)]);
            assert_eq!(ask(since, &body("t", vec![wanted(1, sentinel)]))[0].0, 0);
        }
        assert_eq!(ask(6, &body("t", vec![wanted(0, -3)])), [(35, -1, -1, -1)]);
        assert_eq!(
            ask(11, &body("t", vec![wanted(0, -7), wanted(1, -4)])),
            [(35, -1, -1, -1), (0, 0, -1, 1)]
        );
    }

    #[test]
    fn a_partition_named_twice_is_refused_once() {
        let answers = ask(7, &body("t", vec![wanted(0, -1), wanted(1, -1), wanted(0, -2)]));
        assert_eq!(answers, [(42, -1, -1, -1), (0, 0, -1, 1)]);
    }

    #[test]
    fn another_leader_epoch_is_refused() {
        let codes = |epoch| ask(4, &body("t", vec![wanted(0, -1).with_current_leader_epoch(epoch)]))[0].0;
        assert_eq!((codes(0), codes(1), codes(2)), (74, 0, 75));
    }

    #[tokio::test]
    async fn records_are_found_by_time() {
        let broker = TestBroker::start();
        broker.create_topic("t", 2, &[]).await;
        broker.append("t", 0, &[10, 30, 20]).await;
        broker.append("t", 0, &[40, 40]).await;
        broker.append("t", 0, &[5]).await;
        let epoch = broker.context.catalog.leader_epoch();
        let found = |offset, timestamp| (0, offset, timestamp, epoch);
        for (timestamp, answer) in [
            (0, found(0, 10)),
            (11, found(1, 30)),
            (30, found(1, 30)),
            (31, found(3, 40)),
            (41, (0, -1, -1, -1)),
            (-3, found(3, 40)),
        ] {
            let response = handle(&broker.context, &broker.request(7), body("t", vec![wanted(0, timestamp)])).await;
            assert_eq!(parts(7, &response), [answer], "time {timestamp}");
        }
        let response = handle(
            &broker.context,
            &broker.request(11),
            body("t", vec![wanted(1, 0), wanted(1, -3)]),
        )
        .await;
        assert_eq!(parts(11, &response), [(42, -1, -1, -1)]);
        let response = handle(&broker.context, &broker.request(7), body("t", vec![wanted(1, -3)])).await;
        assert_eq!(parts(7, &response), [(0, -1, -1, -1)]);
    }

    #[tokio::test]
    async fn deleted_records_are_not_found_by_time() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1, &[]).await;
        broker.append("t", 0, &[10, 30, 20]).await;
        broker.append("t", 0, &[25]).await;
        broker.delete_records("t", 0, 2).await;
        let response = handle(&broker.context, &broker.request(7), body("t", vec![wanted(0, 21)])).await;
        assert_eq!(parts(7, &response)[0].1, 3);
        let response = handle(&broker.context, &broker.request(7), body("t", vec![wanted(0, 0)])).await;
        assert_eq!(parts(7, &response)[0].1, 2);
    }
}
