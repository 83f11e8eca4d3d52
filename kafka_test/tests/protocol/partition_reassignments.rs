//! AlterPartitionReassignments and ListPartitionReassignments with one broker: nothing can be moved, and nothing ever is.

use crate::code;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, BrokerId, ListPartitionReassignmentsRequest};
use kafka_test::server::Server;
use kafka_test::topic::{topic_name, unique_name};

/// Goal: the list is empty, whether all partitions are asked for, some, or what does not exist.
#[test]
fn nothing_is_under_way() {
    let server = Server::shared();
    let topic = server.topic("unmoved", 2);
    let mut connection = server.connect();
    let entry = |name: &str| {
        ListPartitionReassignmentsTopics::default()
            .with_name(topic_name(name))
            .with_partition_indexes(vec![0, 9])
    };
    for topics in [
        None,
        Some(vec![]),
        Some(vec![entry(&topic.name), entry(&unique_name("none"))]),
    ] {
        let request = ListPartitionReassignmentsRequest::default().with_topics(topics);
        let reply = connection.call(0, &request);
        assert_eq!((reply.error_code, reply.error_message), (0, None));
        assert!(reply.topics.is_empty());
    }
}

/// Goal: to stay where it is is granted; other replicas, what is unknown, and stopping what is not under way are not.
#[test]
fn a_partition_can_only_stay() {
    let server = Server::shared();
    let topic = server.topic("reassigned", 2);
    let unknown = unique_name("unknown");
    let mut connection = server.connect();
    let entry = |name: &str, partitions: &[(i32, Option<&[i32]>)]| {
        let partition = |(index, replicas): &(i32, Option<&[i32]>)| {
            ReassignablePartition::default()
                .with_partition_index(*index)
                .with_replicas(replicas.map(|replicas| replicas.iter().copied().map(BrokerId).collect()))
        };
        ReassignableTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions.iter().map(partition).collect())
    };
    for version in 0..=1 {
        let wanted: &[(i32, Option<&[i32]>)] = &[
            (0, Some(&[1])),
            (1, None),
            (5, Some(&[1])),
            (0, Some(&[9])),
            (0, Some(&[])),
            (0, Some(&[1, 1])),
        ];
        let request = AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(20_000)
            .with_allow_replication_factor_change(version == 0)
            .with_topics(vec![entry(&topic.name, wanted), entry(&unknown, &[(0, None)])]);
        let reply = connection.call(version, &request);
        assert_eq!((reply.error_code, reply.error_message), (0, None));
        assert_eq!(reply.allow_replication_factor_change, version == 0);
        let found: Vec<Vec<(i32, i16, Option<String>)>> = reply
            .responses
            .iter()
            .map(|topic| {
                let partitions = topic.partitions.iter();
                partitions
                    .map(|p| {
                        (
                            p.partition_index,
                            p.error_code,
                            p.error_message.as_ref().map(ToString::to_string),
                        )
                    })
                    .collect()
            })
            .collect();
        let message = |text: &str| Some(text.to_owned());
        let expected = [
            vec![
                (0, 0, None),
                (1, code::NO_REASSIGNMENT_IN_PROGRESS, None),
                (
                    5,
                    code::UNKNOWN_TOPIC_OR_PARTITION,
                    Some(format!("Unable to find partition {}:5.", topic.name)),
                ),
                (
                    0,
                    code::INVALID_REPLICA_ASSIGNMENT,
                    message("The manual partition assignment includes broker 9, but no such broker is registered."),
                ),
                (
                    0,
                    code::INVALID_REPLICA_ASSIGNMENT,
                    message("The manual partition assignment includes an empty replica list."),
                ),
                (
                    0,
                    code::INVALID_REPLICA_ASSIGNMENT,
                    message("The manual partition assignment includes the broker 1 more than once."),
                ),
            ],
            vec![(
                0,
                code::UNKNOWN_TOPIC_OR_PARTITION,
                Some(format!("Unable to find a topic named {unknown}.")),
            )],
        ];
        assert_eq!(found, expected, "version {version}");
    }
}
