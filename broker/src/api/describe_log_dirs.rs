//! DescribeLogDirs, versions 1-5: the directory of the log and what the partitions take in it (KIP-113).
//!
//! There is one directory, the database's. A partition's size is its share of the tables and indexes of the topic's segments
//! ([`crate::storage::Storage::partition_sizes`]); it never lags, and is never moved to another directory. A null list means all topics;
//! what does not exist is left out. Where the database cannot be asked in time, the directory has KAFKA_STORAGE_ERROR (56).
//!
//! * 1: the reply is sent before throttling (KIP-219).
//! * 2: flexible (KIP-482).
//! * 3: an error code for the whole response.
//! * 4: total and usable bytes of the file system (KIP-827), -1 where it does not say.
//! * 5: whether the directory takes no new partitions (KIP-1066), which it always does. The codec lacks this version: see [`finish`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::{Context, RequestInfo};
use crate::catalog::{Topic, Topics};
use crate::limits::LOOKUPS_PER_REQUEST;
use crate::storage::file_system::{space, Space};
use crate::storage::{Storage, StorageError};

/// How long the sizes of all partitions may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What stands for a number of bytes that is not known.
const UNKNOWN_BYTES: i64 = -1;

/// Answers the request. To be encoded as version 4 at most, and then finished.
pub async fn handle(context: &Context, _request: &RequestInfo, body: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted = wanted(&context.catalog.topics(), &body);
    let result = DescribeLogDirsResult::default().with_log_dir(StrBytes::from_string(context.directory.clone()));
    let result = match measure(&context.storage, wanted, Instant::now() + PATIENCE).await {
        Ok(topics) => {
            let space = space_of(&context.directory).await;
            let bytes = |count: fn(&Space) -> u64| {
                let count = space.as_ref().map(count);
                count.map_or(UNKNOWN_BYTES, |count| i64::try_from(count).unwrap_or(i64::MAX))
            };
            result
                .with_topics(topics)
                .with_total_bytes(bytes(|space| space.total_bytes))
                .with_usable_bytes(bytes(|space| space.usable_bytes))
        }
        Err(error) => {
            tracing::warn!("sizes of partitions are not known: {error}");
            result
                .with_error_code(ResponseError::KafkaStorageError.code())
                .with_total_bytes(UNKNOWN_BYTES)
                .with_usable_bytes(UNKNOWN_BYTES)
        }
    };
    DescribeLogDirsResponse::default().with_results(vec![result])
}

/// Completes a response that is encoded as version 4 for `version`. Version 5 adds `IsCordoned` behind the other fields of each
/// directory. There is one, which ends the response: only its tagged fields and those of the response follow, a byte each, as none are set.
pub fn finish(version: i16, response: &Bytes) -> Bytes {
    const TAGGED_FIELDS_BYTES: usize = 2;
    const NOT_CORDONED: u8 = 0;
    let mut finished = BytesMut::with_capacity(response.len() + 1);
    let (fields, tagged) = response.split_at(response.len().saturating_sub(TAGGED_FIELDS_BYTES));
    finished.put_slice(fields);
    if version >= 5 {
        finished.put_u8(NOT_CORDONED);
    }
    finished.put_slice(tagged);
    finished.freeze()
}

async fn space_of(directory: &str) -> Option<Space> {
    let directory = PathBuf::from(directory);
    let found = tokio::task::spawn_blocking(move || space(&directory)).await.ok()?;
    found
        .inspect_err(|error| tracing::warn!("the file system of the database does not say its size: {error}"))
        .ok()
}

/// Topics, and which of their partitions.
type Wanted = Vec<(Arc<Topic>, BTreeSet<i32>)>;

fn wanted(topics: &Topics, body: &DescribeLogDirsRequest) -> Wanted {
    let all = |topic: &Topic| (0..topic.partitions.len() as i32).collect();
    let Some(asked) = &body.topics else {
        return topics.iter().map(|topic| (topic.clone(), all(topic))).collect();
    };
    let mut merged: BTreeMap<&TopicName, BTreeSet<i32>> = BTreeMap::new();
    for topic in asked {
        merged.entry(&topic.topic).or_default().extend(&topic.partitions);
    }
    let known = merged.into_iter().filter_map(|(name, mut partitions)| {
        let topic = topics.by_name(name)?;
        partitions.retain(|index| topic.partition(*index).is_some());
        (!partitions.is_empty()).then(|| (topic.clone(), partitions))
    });
    known.collect()
}

/// Looks the sizes up, a bounded number of topics at a time; what is deleted meanwhile is left out.
async fn measure(storage: &Storage, wanted: Wanted, deadline: Instant) -> Result<Vec<DescribeLogDirsTopic>, StorageError> {
    let mut described = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(LOOKUPS_PER_REQUEST) {
        let tasks: Vec<_> = some
            .iter()
            .map(|(topic, _)| {
                let (storage, number) = (storage.clone(), topic.number);
                tokio::spawn(async move { storage.partition_sizes(number, deadline).await })
            })
            .collect();
        for ((topic, partitions), task) in some.iter().zip(tasks) {
            match task.await.unwrap_or(Err(StorageError::Unavailable)) {
                Ok(sizes) => described.push(describe(topic, partitions, &sizes)),
                Err(StorageError::UnknownPartition) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(described)
}

fn describe(topic: &Topic, partitions: &BTreeSet<i32>, sizes: &[u64]) -> DescribeLogDirsTopic {
    let partitions = partitions.iter().map(|index| {
        let size = usize::try_from(*index).ok().and_then(|index| sizes.get(index));
        DescribeLogDirsPartition::default()
            .with_partition_index(*index)
            .with_partition_size(size.map_or(0, |size| i64::try_from(*size).unwrap_or(i64::MAX)))
    });
    DescribeLogDirsTopic::default()
        .with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
        .with_partitions(partitions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use crate::storage::engine::EngineError;
    use crate::storage::model::Call;
    use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
    use kafka_protocol::protocol::{Decodable, Encodable};

    async fn ask(broker: &TestBroker, version: i16, topics: Option<&[(&'static str, &[i32])]>) -> DescribeLogDirsResult {
        let topics = topics.map(|topics| {
            let topic = |(name, partitions): &(&'static str, &[i32])| {
                DescribableLogDirTopic::default()
                    .with_topic(TopicName(StrBytes::from_static_str(name)))
                    .with_partitions(partitions.to_vec())
            };
            topics.iter().map(topic).collect()
        });
        let body = DescribeLogDirsRequest::default().with_topics(topics);
        let response = handle(&broker.context, &broker.request(version), body).await;
        assert_encodes(ApiKey::DescribeLogDirs, version, &response);
        assert_eq!((response.error_code, response.results.len()), (0, 1));
        response.results[0].clone()
    }

    fn names(result: &DescribeLogDirsResult) -> Vec<(String, Vec<i32>)> {
        let topics = result.topics.iter().map(|topic| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            (topic.name.to_string(), indexes.collect())
        });
        topics.collect()
    }

    #[tokio::test]
    async fn every_version_tells_what_the_partitions_take() {
        for version in ApiKey::DescribeLogDirs.api().served.iter() {
            let broker = TestBroker::start();
            broker.create_topic("b", 3, &[]).await;
            broker.create_topic("a", 1, &[]).await;
            for _ in 0..30 {
                broker.append("b", 0, &[1]).await;
                broker.append("b", 2, &[1, 2, 3]).await;
            }
            let all = ask(&broker, version, None).await;
            assert_eq!(names(&all), [("a".to_owned(), vec![0]), ("b".to_owned(), vec![0, 1, 2])]);
            assert_eq!((all.error_code, all.log_dir.as_str()), (0, "/"));
            assert!(all.total_bytes >= all.usable_bytes && all.usable_bytes >= 0);
            assert_eq!(all.topics[0].partitions[0].partition_size, 0, "nothing is in it");
            let sizes: Vec<_> = all.topics[1]
                .partitions
                .iter()
                .map(|partition| partition.partition_size)
                .collect();
            assert!(sizes[0] > 0 && sizes[1] == 0, "{sizes:?}");
            assert!((sizes[2] - 3 * sizes[0]).abs() <= 3, "divided by offsets: {sizes:?}");
            assert_eq!(sizes.iter().sum::<i64>() % 8192, 0, "all of the segment's pages");
        }
    }

    #[tokio::test]
    async fn what_does_not_exist_is_left_out() {
        let broker = TestBroker::start();
        broker.create_topic("a", 2, &[]).await;
        broker.create_topic("b", 2, &[]).await;
        let asked: &[(&str, &[i32])] = &[("b", &[]), ("a", &[1, 5]), ("none", &[0]), ("a", &[0, -1, 1])];
        let result = ask(&broker, 5, Some(asked)).await;
        assert_eq!(names(&result), [("a".to_owned(), vec![0, 1])]);
        assert!(names(&ask(&broker, 5, Some(&[])).await).is_empty());
    }

    #[tokio::test]
    async fn a_database_that_fails_is_a_storage_error_of_the_directory() {
        let broker = TestBroker::start();
        broker.create_topic("a", 1, &[]).await;
        broker
            .model
            .database
            .fail(Call::SegmentSize, 0, EngineError::Damaged("ordered".to_owned()));
        let result = ask(&broker, 4, None).await;
        assert_eq!((result.error_code, result.topics.len(), result.total_bytes), (56, 0, -1));
        assert_eq!(ask(&broker, 4, None).await.error_code, 0);
    }

    /// Version 5 is version 4 and a byte, where Kafka's schema has it; other versions are left as they are.
    #[tokio::test]
    async fn version_5_says_that_the_directory_is_not_cordoned() {
        let broker = TestBroker::start();
        broker.create_topic("a", 1, &[]).await;
        let body = DescribeLogDirsRequest::default().with_topics(None);
        let response = handle(&broker.context, &broker.request(5), body).await;
        let mut bytes = BytesMut::new();
        response.encode(&mut bytes, 4).unwrap();
        let bytes = bytes.freeze();
        assert_eq!(finish(4, &bytes), bytes);
        let mut finished = finish(5, &bytes).to_vec();
        assert_eq!(finished.len(), bytes.len() + 1);
        let usable = response.results[0].usable_bytes.to_be_bytes();
        let at = finished.len() - 3;
        assert_eq!(finished[at - 8..at], usable);
        assert_eq!(finished.remove(at), 0);
        assert_eq!(
            DescribeLogDirsResponse::decode(&mut Bytes::from(finished), 4).unwrap(),
            response
        );
    }
}
