//! CreatePartitions, versions 0-3: more partitions for topics (KIP-195).
//!
//! What may be added is decided by [`crate::catalog::partitions`]. The topics of a request are changed independently of each other; new
//! partitions are durable and in Metadata when the answer comes, empty, from offset 0 on. Those that were there are not disturbed.
//! A topic named twice: INVALID_REQUEST (42), once. `timeout_ms` bounds how long a topic waits while another session is changing it;
//! then nothing was added: REQUEST_TIMED_OUT (7). No quotas: never THROTTLING_QUOTA_EXCEEDED.
//!
//! * 0: the request.
//! * 1: the reply is sent before throttling (KIP-219).
//! * 2: flexible (KIP-482).
//! * 3: may be throttled (KIP-599).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::create_topics::admin_code;
use super::{Context, RequestInfo};
use crate::catalog::partitions::{check_assignments, check_count, check_total, AddError};
use crate::catalog::Topics;
use crate::storage::StorageError;

/// Answers the request when the partitions of every topic of it are durable or surely refused.
pub async fn handle(context: &Context, _request: &RequestInfo, body: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let node_id = context.settings().node_id;
    let mut plan = plan(&context.catalog.topics(), &body.topics, node_id);
    if !body.validate_only {
        let deadline = Instant::now() + Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or_default());
        carry_out(context, &mut plan, deadline).await;
    }
    let results = plan.into_iter().map(|entry| {
        let result = CreatePartitionsTopicResult::default().with_name(entry.name);
        match entry.outcome {
            Ok(_) => result,
            Err((error, message)) => result
                .with_error_code(error.code())
                .with_error_message(message.map(StrBytes::from_string)),
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

type Refusal = (ResponseError, Option<String>);

/// What is to be done to a topic.
#[derive(Debug, Clone, Copy)]
struct Addition {
    id: Uuid,
    added: i32,
    count: i32,
}

struct Entry {
    name: TopicName,
    outcome: Result<Addition, Refusal>,
}

fn plan(topics: &Topics, wanted: &[CreatePartitionsTopic], node_id: i32) -> Vec<Entry> {
    let mut named: HashMap<&TopicName, usize> = HashMap::new();
    for topic in wanted {
        *named.entry(&topic.name).or_default() += 1;
    }
    let mut entries = Vec::new();
    for topic in wanted {
        let outcome = match named.get_mut(&topic.name) {
            None | Some(0) => continue,
            Some(1) => check(topics, topic, node_id),
            Some(times) => {
                *times = 0;
                Err((ResponseError::InvalidRequest, Some("Duplicate topic name.".to_owned())))
            }
        };
        entries.push(Entry {
            name: topic.name.clone(),
            outcome,
        });
    }
    let added = entries.iter().filter_map(|entry| entry.outcome.as_ref().ok());
    if let Err(error) = check_total(added.map(|addition| addition.added)) {
        for entry in entries.iter_mut().filter(|entry| entry.outcome.is_ok()) {
            entry.outcome = Err(refused(&error));
        }
    }
    entries
}

fn check(topics: &Topics, wanted: &CreatePartitionsTopic, node_id: i32) -> Result<Addition, Refusal> {
    let topic = topics
        .by_name(&wanted.name)
        .ok_or((ResponseError::UnknownTopicOrPartition, None))?;
    let current = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let added = check_count(&wanted.name, current, wanted.count).map_err(|error| refused(&error))?;
    if let Some(assignments) = &wanted.assignments {
        let brokers = assignments
            .iter()
            .map(|assignment| assignment.broker_ids.iter().map(|broker| broker.0).collect());
        let brokers: Vec<Vec<i32>> = brokers.collect();
        check_assignments(&brokers, added, node_id).map_err(|error| refused(&error))?;
    }
    Ok(Addition {
        id: topic.id,
        added,
        count: wanted.count,
    })
}

fn refused(error: &AddError) -> Refusal {
    (error.code(), Some(error.to_string()))
}

async fn carry_out(context: &Context, plan: &mut [Entry], deadline: Instant) {
    let mut additions = Vec::new();
    for entry in plan {
        if let Ok(addition) = entry.outcome {
            let storage = context.storage.clone();
            let task = tokio::spawn(async move { storage.add_partitions(addition.id, addition.count, deadline).await });
            additions.push((entry, addition.count, task));
        }
    }
    for (entry, count, task) in additions {
        if let Err(error) = task.await.unwrap_or(Err(StorageError::Unavailable)) {
            entry.outcome = Err(failed(&entry.name, count, &error));
        }
    }
}

fn failed(name: &str, count: i32, error: &StorageError) -> Refusal {
    match error {
        // Somebody else added partitions after the plan was made.
        StorageError::PartitionsExist(current) => match check_count(name, *current, count) {
            Err(error) => refused(&error),
            Ok(_) => (ResponseError::InvalidPartitions, Some(error.to_string())),
        },
        StorageError::UnknownPartition => (ResponseError::UnknownTopicOrPartition, None),
        error => {
            tracing::warn!("topic {name} got no partitions: {error}");
            (admin_code(error), Some(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;
    use kafka_protocol::messages::BrokerId;

    fn wanted(name: &'static str, count: i32) -> CreatePartitionsTopic {
        CreatePartitionsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(name)))
            .with_count(count)
            .with_assignments(None)
    }

    fn assigned(name: &'static str, count: i32, brokers: &[&[i32]]) -> CreatePartitionsTopic {
        let assignment = |brokers: &&[i32]| {
            CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
        };
        wanted(name, count).with_assignments(Some(brokers.iter().map(assignment).collect()))
    }

    fn request(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
        CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(10_000)
    }

    async fn ask(broker: &TestBroker, version: i16, body: CreatePartitionsRequest) -> Vec<(String, i16)> {
        let response = handle(&broker.context, &broker.request(version), body).await;
        assert_encodes(ApiKey::CreatePartitions, version, &response);
        let results = response.results.iter();
        results.map(|result| (result.name.to_string(), result.error_code)).collect()
    }

    fn partitions(broker: &TestBroker, name: &str) -> usize {
        broker.context.catalog.topics().by_name(name).unwrap().partitions.len()
    }

    #[tokio::test]
    async fn every_version_adds_partitions_beside_records() {
        for version in ApiKey::CreatePartitions.api().served.iter() {
            let broker = TestBroker::start();
            broker.create_topic("t", 1, &[]).await;
            broker.append("t", 0, &[1, 2]).await;
            let old = broker.context.catalog.topics().by_name("t").unwrap().partitions[0].clone();
            assert_eq!(
                ask(&broker, version, request(vec![wanted("t", 3)])).await,
                [("t".to_owned(), 0)],
                "version {version}"
            );
            assert_eq!(partitions(&broker, "t"), 3);
            assert_eq!(broker.append("t", 2, &[1]).await, 0);
            assert_eq!(broker.append("t", 0, &[1]).await, 2);
            assert_eq!(old.bounds().high_watermark, 3, "the partition is the same one");
        }
    }

    #[tokio::test]
    async fn a_dry_run_answers_and_adds_nothing() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1, &[]).await;
        let body = request(vec![wanted("t", 3), wanted("none", 3)]).with_validate_only(true);
        let expected = [("t".to_owned(), 0), ("none".to_owned(), 3)];
        assert_eq!(ask(&broker, 3, body).await, expected);
        assert_eq!(partitions(&broker, "t"), 1);
    }

    #[tokio::test]
    async fn refusals_have_the_codes_of_kafka_and_hold_nobody_up() {
        let broker = TestBroker::start();
        for topic in ["a", "b", "c", "d", "e", "f"] {
            broker.create_topic(topic, 2, &[]).await;
        }
        let topics = vec![
            wanted("a", 2),
            wanted("b", 3),
            wanted("c", -1),
            wanted("b", 3),
            assigned("d", 4, &[&[1]]),
            assigned("e", 3, &[&[2]]),
            assigned("f", 3, &[&[1]]),
            wanted("none", 1),
        ];
        let answers = ask(&broker, 3, request(topics)).await;
        let answers: Vec<_> = answers.iter().map(|(name, code)| (name.as_str(), *code)).collect();
        let expected = [("a", 37), ("b", 42), ("c", 37), ("d", 39), ("e", 39), ("f", 0), ("none", 3)];
        assert_eq!(answers, expected);
        assert_eq!((partitions(&broker, "b"), partitions(&broker, "f")), (2, 3));
    }

    #[tokio::test]
    async fn too_many_partitions_refuse_the_whole_request() {
        let broker = TestBroker::start();
        broker.create_topic("a", 1, &[]).await;
        broker.create_topic("b", 1, &[]).await;
        let answers = ask(&broker, 3, request(vec![wanted("a", i32::MAX), wanted("b", 2)])).await;
        assert!(answers.iter().all(|(_, code)| *code == 44), "{answers:?}");
        assert_eq!(partitions(&broker, "b"), 1);
    }

    #[tokio::test]
    async fn a_topic_that_another_session_changes_times_out_alone() {
        let broker = TestBroker::start();
        broker.create_topic("a", 1, &[]).await;
        broker.create_topic("b", 1, &[]).await;
        broker.model.database.hold_topic_name("a", true);
        let body = request(vec![wanted("a", 2), wanted("b", 2)]).with_timeout_ms(50);
        let expected = [("a".to_owned(), 7), ("b".to_owned(), 0)];
        assert_eq!(ask(&broker, 3, body).await, expected);
        assert_eq!((partitions(&broker, "a"), partitions(&broker, "b")), (1, 2));
    }

    /// Two requests at once: one adds, the other is told the number that it meets.
    #[tokio::test]
    async fn what_another_request_added_meanwhile_is_met() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1, &[]).await;
        let (one, other) = (request(vec![wanted("t", 3)]), request(vec![wanted("t", 3)]));
        let info = broker.request(3);
        let (one, other) = tokio::join!(handle(&broker.context, &info, one), handle(&broker.context, &info, other));
        let mut results = [one.results[0].clone(), other.results[0].clone()];
        results.sort_by_key(|result| result.error_code);
        assert_eq!((results[0].error_code, results[1].error_code), (0, 37));
        assert_eq!(results[1].error_message.as_deref(), Some("Topic already has 3 partition(s)."));
    }
}
