//! DeleteRecords, versions 0-2: moves the log start of partitions forward (KIP-107).
//!
//! Records before the offset are not readable from then on, durably; their space is freed with their segment. Offset -1 is the high
//! watermark. An offset below the log start changes nothing. Beyond the high watermark, or below -1: OFFSET_OUT_OF_RANGE (1); a topic
//! whose only policy is compaction: POLICY_VIOLATION (44); Kafka's internal topics: INVALID_TOPIC_EXCEPTION (17). A partition named
//! twice is answered once, for the later offset. `timeout_ms` bounds how long another session's lock is waited for.
//!
//! * 0: the request.
//! * 1: the reply is sent before throttling (KIP-219).
//! * 2: flexible (KIP-482).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};
use kafka_protocol::ResponseError;

use super::create_topics::admin_code;
use super::{Context, RequestInfo};
use crate::catalog::deletion::check_topic;
use crate::catalog::Topics;
use crate::storage::engine::TopicNumber;
use crate::storage::StorageError;

/// The low watermark where there is an error.
const NO_WATERMARK: i64 = -1;

/// Answers the request when every log start is durable.
pub async fn handle(context: &Context, _request: &RequestInfo, body: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or_default());
    let topics = context.catalog.topics();
    let mut answers: Vec<(TopicName, Vec<DeleteRecordsPartitionResult>)> = Vec::new();
    let mut deletions = Vec::new();
    for (topic, partitions) in merge(body) {
        let mut results = Vec::new();
        for (index, offset) in partitions {
            let result = DeleteRecordsPartitionResult::default()
                .with_partition_index(index)
                .with_low_watermark(NO_WATERMARK);
            match check(&topics, &topic, index) {
                Ok(number) => {
                    let storage = context.storage.clone();
                    let deletion = tokio::spawn(async move { storage.delete_records(number, index, offset, deadline).await });
                    deletions.push((answers.len(), results.len(), deletion));
                    results.push(result);
                }
                Err(error) => results.push(result.with_error_code(error.code())),
            }
        }
        answers.push((topic, results));
    }
    for (topic, partition, deletion) in deletions {
        let result = &mut answers[topic].1[partition];
        match deletion.await.unwrap_or(Err(StorageError::Unavailable)) {
            Ok(log_start_offset) => result.low_watermark = log_start_offset,
            Err(error) => result.error_code = admin_code(&error).code(),
        }
    }
    let topics = answers
        .into_iter()
        .map(|(name, results)| DeleteRecordsTopicResult::default().with_name(name).with_partitions(results));
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// What is asked for by topic; as in Kafka, a topic without partitions is not in the answer.
fn merge(body: DeleteRecordsRequest) -> BTreeMap<TopicName, BTreeMap<i32, i64>> {
    let mut merged: BTreeMap<TopicName, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in body.topics.into_iter().filter(|topic| !topic.partitions.is_empty()) {
        let offsets = topic
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, partition.offset));
        merged.entry(topic.name).or_default().extend(offsets);
    }
    merged
}

fn check(topics: &Topics, name: &TopicName, index: i32) -> Result<TopicNumber, ResponseError> {
    let topic = topics.by_name(name).ok_or(ResponseError::UnknownTopicOrPartition)?;
    topic.partition(index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    check_topic(name, &topic.configs).map_err(|error| error.code())?;
    Ok(topic.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    use kafka_protocol::protocol::StrBytes;

    fn topic(name: &'static str, partitions: &[(i32, i64)]) -> DeleteRecordsTopic {
        let partitions = partitions.iter().map(|(index, offset)| {
            DeleteRecordsPartition::default()
                .with_partition_index(*index)
                .with_offset(*offset)
        });
        DeleteRecordsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(name)))
            .with_partitions(partitions.collect())
    }

    async fn ask(broker: &TestBroker, version: i16, topics: Vec<DeleteRecordsTopic>) -> Vec<(String, i32, i16, i64)> {
        let body = DeleteRecordsRequest::default().with_topics(topics).with_timeout_ms(10_000);
        let response = handle(&broker.context, &broker.request(version), body).await;
        assert_encodes(ApiKey::DeleteRecords, version, &response);
        let mut answers = Vec::new();
        for topic in &response.topics {
            for result in &topic.partitions {
                let parts = (
                    topic.name.to_string(),
                    result.partition_index,
                    result.error_code,
                    result.low_watermark,
                );
                answers.push(parts);
            }
        }
        answers
    }

    #[tokio::test]
    async fn every_version_moves_the_log_start() {
        for version in ApiKey::DeleteRecords.api().served.iter() {
            let broker = TestBroker::start();
            broker.create_topic("t", 1, &[]).await;
            broker.append("t", 0, &[1, 2, 3, 4]).await;
            let answer = |offset| ("t".to_owned(), 0, 0, offset);
            assert_eq!(ask(&broker, version, vec![topic("t", &[(0, 2)])]).await, [answer(2)]);
            assert_eq!(ask(&broker, version, vec![topic("t", &[(0, 1)])]).await, [answer(2)]);
            assert_eq!(ask(&broker, version, vec![topic("t", &[(0, 2), (0, -1)])]).await, [answer(4)]);
            let bounds = broker.context.catalog.topics().by_name("t").unwrap().partitions[0].bounds();
            assert_eq!((bounds.log_start_offset, bounds.high_watermark), (4, 4));
        }
    }

    #[tokio::test]
    async fn refusals_have_the_codes_of_kafka() {
        let broker = TestBroker::start();
        broker.create_topic("t", 2, &[]).await;
        broker.create_topic("c", 1, &[("cleanup.policy", "compact")]).await;
        broker.create_topic("both", 1, &[("cleanup.policy", "compact,delete")]).await;
        broker.create_topic("__consumer_offsets", 1, &[]).await;
        broker.append("t", 0, &[1]).await;
        let topics = vec![
            topic("t", &[(0, 2), (1, -2), (2, 0)]),
            topic("none", &[(0, 0)]),
            topic("c", &[(0, 0)]),
            topic("both", &[(0, 0)]),
            topic("__consumer_offsets", &[(0, 0)]),
        ];
        let answers = ask(&broker, 2, topics).await;
        let codes: Vec<_> = answers
            .iter()
            .map(|(name, index, code, _)| (name.as_str(), *index, *code))
            .collect();
        let expected = [
            ("__consumer_offsets", 0, 17),
            ("both", 0, 0),
            ("c", 0, 44),
            ("none", 0, 3),
            ("t", 0, 1),
            ("t", 1, 1),
            ("t", 2, 3),
        ];
        assert_eq!(codes, expected);
        assert!(answers.iter().all(|(_, _, code, low)| (*code == 0) == (*low >= 0)));
    }
}
