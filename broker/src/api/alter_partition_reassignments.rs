//! AlterPartitionReassignments, versions 0-1: moves partitions to other brokers, or stops that (KIP-455).
//!
//! There is one broker. To place a partition on it alone is what is so already: no error. Other replicas are
//! INVALID_REPLICA_ASSIGNMENT (39), to stop a move NO_REASSIGNMENT_IN_PROGRESS (85), what does not exist
//! UNKNOWN_TOPIC_OR_PARTITION (3). So nothing is ever changed and there is nothing to wait for.
//!
//! * 0: the request.
//! * 1: whether the number of replicas may change (KIP-860), which it cannot; the answer repeats it.

use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::{Context, RequestInfo};
use crate::catalog::assignment::check_replicas;
use crate::catalog::Topics;

/// Answers the request.
pub async fn handle(
    context: &Context,
    _request: &RequestInfo,
    body: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    respond(&body, &context.catalog.topics(), context.settings().node_id)
}

fn respond(body: &AlterPartitionReassignmentsRequest, topics: &Topics, node_id: i32) -> AlterPartitionReassignmentsResponse {
    let responses = body.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let response = ReassignablePartitionResponse::default().with_partition_index(wanted.partition_index);
            match check(topics, &topic.name, wanted, node_id) {
                Ok(()) => response.with_error_message(None),
                Err((error, message)) => response
                    .with_error_code(error.code())
                    .with_error_message(message.map(StrBytes::from_string)),
            }
        });
        ReassignableTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    if body.topics.is_empty() {
        // Kafka's answer to an empty list has the defaults of the message, whatever the request wished.
        return AlterPartitionReassignmentsResponse::default();
    }
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(body.allow_replication_factor_change)
        .with_error_message(None)
        .with_responses(responses.collect())
}

type Refusal = (ResponseError, Option<String>);

fn check(topics: &Topics, name: &str, wanted: &ReassignablePartition, node_id: i32) -> Result<(), Refusal> {
    let unknown = |message| Err((ResponseError::UnknownTopicOrPartition, Some(message)));
    let Some(topic) = topics.by_name(name) else {
        return unknown(format!("Unable to find a topic named {name}."));
    };
    if topic.partition(wanted.partition_index).is_none() {
        return unknown(format!("Unable to find partition {name}:{}.", wanted.partition_index));
    }
    let Some(replicas) = &wanted.replicas else {
        return Err((ResponseError::NoReassignmentInProgress, None));
    };
    let brokers: Vec<i32> = replicas.iter().map(|broker| broker.0).collect();
    check_replicas(&brokers, node_id).map_err(|error| (ResponseError::InvalidReplicaAssignment, Some(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;
    use crate::catalog::sample;
    use kafka_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;
    use kafka_protocol::messages::{BrokerId, TopicName};

    fn ask(version: i16, name: &'static str, partitions: &[(i32, Option<&[i32]>)]) -> AlterPartitionReassignmentsResponse {
        let partition = |(index, replicas): &(i32, Option<&[i32]>)| {
            ReassignablePartition::default()
                .with_partition_index(*index)
                .with_replicas(replicas.map(|replicas| replicas.iter().copied().map(BrokerId).collect()))
        };
        let topic = ReassignableTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(name)))
            .with_partitions(partitions.iter().map(partition).collect());
        let body = AlterPartitionReassignmentsRequest::default()
            .with_topics(vec![topic])
            .with_allow_replication_factor_change(version == 0);
        let response = respond(&body, &sample::topics(&[("t", 2)]), 7);
        assert_encodes(ApiKey::AlterPartitionReassignments, version, &response);
        response
    }

    #[test]
    fn only_what_is_so_already_is_granted() {
        for version in ApiKey::AlterPartitionReassignments.api().served.iter() {
            let wanted: &[(i32, Option<&[i32]>)] = &[
                (0, Some(&[7])),
                (1, None),
                (2, Some(&[7])),
                (0, Some(&[8])),
                (0, Some(&[])),
                (0, Some(&[7, 7])),
            ];
            let response = ask(version, "t", wanted);
            let codes: Vec<_> = response.responses[0]
                .partitions
                .iter()
                .map(|partition| partition.error_code)
                .collect();
            assert_eq!(codes, [0, 85, 3, 39, 39, 39], "version {version}");
            assert_eq!(
                (response.error_code, response.allow_replication_factor_change),
                (0, version == 0)
            );
            assert_eq!(ask(version, "none", &[(0, None)]).responses[0].partitions[0].error_code, 3);
        }
    }
}
