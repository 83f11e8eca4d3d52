//! ElectLeaders, versions 0-2: makes the preferred replica, or any that lives, the leader of partitions.
//!
//! Each partition has one replica, which leads it, so that no election is ever needed: ELECTION_NOT_NEEDED (84). What does not exist is
//! UNKNOWN_TOPIC_OR_PARTITION (3). A null list means all partitions, and as in Kafka the answer leaves out those that need no election:
//! all topics, without partitions. An unknown type of election is INVALID_REQUEST (42), unless the list is empty.
//!
//! * 0: elections of preferred replicas (KIP-183).
//! * 1: types of elections (KIP-460), an error code for the whole response.
//! * 2: flexible (KIP-482).

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::{Context, RequestInfo};
use crate::catalog::Topics;

/// Types of elections: of the preferred replica, and of any that lives.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: ElectLeadersRequest) -> ElectLeadersResponse {
    respond(request.version, &body, &context.catalog.topics())
}

fn respond(version: i16, body: &ElectLeadersRequest, topics: &Topics) -> ElectLeadersResponse {
    let nothing_asked = body.topic_partitions.as_ref().is_some_and(Vec::is_empty);
    // Version 0 has no type and means the preferred replica.
    let known = version == 0 || ELECTION_TYPES.contains(&body.election_type);
    let refusal = (!known && !nothing_asked).then(|| {
        let message = format!("Unknown election type {}", body.election_type);
        (ResponseError::InvalidRequest, message)
    });
    let results = match (&body.topic_partitions, &refusal) {
        (None, Some(_)) => Vec::new(),
        (None, None) => topics
            .iter()
            .map(|topic| {
                let name = StrBytes::from_string(topic.name.to_string());
                ReplicaElectionResult::default().with_topic(TopicName(name))
            })
            .collect(),
        (Some(asked), refusal) => asked
            .iter()
            .map(|asked| {
                let outcome = |index: i32| refusal.clone().unwrap_or_else(|| outcome(topics, &asked.topic, index));
                let results = asked.partitions.iter().map(|index| result(*index, outcome(*index)));
                ReplicaElectionResult::default()
                    .with_topic(asked.topic.clone())
                    .with_partition_result(results.collect())
            })
            .collect(),
    };
    // Version 0 cannot say it, and has no type of election that could be unknown.
    let code = refusal.map_or(0, |(error, _)| error.code());
    ElectLeadersResponse::default()
        .with_error_code(code)
        .with_replica_election_results(results)
}

fn result(partition: i32, (error, message): (ResponseError, String)) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn outcome(topics: &Topics, name: &str, partition: i32) -> (ResponseError, String) {
    let unknown = ResponseError::UnknownTopicOrPartition;
    match topics.by_name(name) {
        None => (unknown, format!("No such topic as {name}")),
        Some(topic) if topic.partition(partition).is_none() => (unknown, format!("No such partition as {name}-{partition}")),
        Some(_) => (
            ResponseError::ElectionNotNeeded,
            "Leader election not needed for topic partition.".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;
    use crate::catalog::sample;
    use kafka_protocol::messages::elect_leaders_request::TopicPartitions;

    /// The code of the whole answer, and (topic, [(partition, code)]).
    type Answer = (i16, Vec<(String, Vec<(i32, i16)>)>);

    fn ask(version: i16, election_type: i8, asked: Option<&[(&'static str, &[i32])]>) -> Answer {
        let asked = asked.map(|asked| {
            let topic = |(name, partitions): &(&'static str, &[i32])| {
                TopicPartitions::default()
                    .with_topic(TopicName(StrBytes::from_static_str(name)))
                    .with_partitions(partitions.to_vec())
            };
            asked.iter().map(topic).collect()
        });
        let body = ElectLeadersRequest::default()
            .with_election_type(election_type)
            .with_topic_partitions(asked);
        let response = respond(version, &body, &sample::topics(&[("a", 2), ("b", 1)]));
        assert_encodes(ApiKey::ElectLeaders, version, &response);
        let topics = response.replica_election_results.iter().map(|topic| {
            let results = topic.partition_result.iter();
            let codes = results.map(|result| (result.partition_id, result.error_code)).collect();
            (topic.topic.to_string(), codes)
        });
        (response.error_code, topics.collect())
    }

    #[test]
    fn no_election_is_needed() {
        for version in ApiKey::ElectLeaders.api().served.iter() {
            for election_type in [0, 1].into_iter().take(1 + version as usize) {
                let answer = ask(
                    version,
                    election_type,
                    Some(&[("a", &[0, 1, 2, -1]), ("none", &[0]), ("b", &[])]),
                );
                let expected = vec![
                    ("a".to_owned(), vec![(0, 84), (1, 84), (2, 3), (-1, 3)]),
                    ("none".to_owned(), vec![(0, 3)]),
                    ("b".to_owned(), vec![]),
                ];
                assert_eq!(answer, (0, expected), "version {version}");
            }
            let all = vec![("a".to_owned(), vec![]), ("b".to_owned(), vec![])];
            assert_eq!(ask(version, 0, None), (0, all));
            assert_eq!(ask(version, 0, Some(&[])), (0, vec![]));
        }
    }

    #[test]
    fn unknown_types_are_invalid_requests() {
        for version in 1..=2 {
            for election_type in [2, -1] {
                let refused = vec![("a".to_owned(), vec![(0, 42), (9, 42)])];
                assert_eq!(ask(version, election_type, Some(&[("a", &[0, 9])])), (42, refused));
                assert_eq!(ask(version, election_type, None), (42, vec![]));
                assert_eq!(ask(version, election_type, Some(&[])), (0, vec![]));
            }
        }
    }
}
