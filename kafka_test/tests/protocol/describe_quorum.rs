//! DescribeQuorum with one node.

use crate::code;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::server::Server;
use kafka_test::topic::topic_name;
use uuid::Uuid;

const METADATA: &str = "__cluster_metadata";

fn describe(connection: &mut Connection, version: i16, topics: &[(&str, &[i32])]) -> DescribeQuorumResponse {
    let topic = |(name, partitions): &(&str, &[i32])| {
        let partitions = partitions
            .iter()
            .map(|index| PartitionData::default().with_partition_index(*index));
        TopicData::default()
            .with_topic_name(topic_name(name))
            .with_partitions(partitions.collect())
    };
    let request = DescribeQuorumRequest::default().with_topics(topics.iter().map(topic).collect());
    connection.call(version, &request)
}

/// Goal: the node is leader and only voter, its log reaches the high watermark, and both grow with changes of topics.
#[test]
fn one_node_is_the_quorum() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 0..=2 {
        let reply = describe(&mut connection, version, &[(METADATA, &[0])]);
        assert_eq!(reply.error_code, 0, "version {version}");
        assert_eq!((reply.topics.len(), reply.topics[0].topic_name.0.as_str()), (1, METADATA));
        let partition = &reply.topics[0].partitions[0];
        assert_eq!((partition.partition_index, partition.error_code), (0, 0));
        assert_eq!(partition.leader_id, BrokerId(1));
        assert!(partition.leader_epoch > 0 && partition.high_watermark > 0);
        assert!(partition.observers.is_empty());
        assert_eq!(partition.current_voters.len(), 1);
        let voter = &partition.current_voters[0];
        assert_eq!(
            (voter.replica_id, voter.log_end_offset),
            (BrokerId(1), partition.high_watermark)
        );
        assert_eq!(voter.replica_directory_id, Uuid::nil());
        if version >= 1 {
            assert!(voter.last_fetch_timestamp > 1_700_000_000_000);
            assert_eq!(voter.last_fetch_timestamp, voter.last_caught_up_timestamp);
        }
        if version >= 2 {
            assert_eq!((reply.nodes.len(), reply.nodes[0].node_id), (1, BrokerId(1)));
            let listener = &reply.nodes[0].listeners[0];
            assert!(!listener.host.is_empty() && listener.port > 0);
        }
        let before = partition.high_watermark;
        server.topic("metadata", 1);
        eventually("the high watermark rises", || {
            let reply = describe(&mut connection, version, &[(METADATA, &[0])]);
            (reply.topics[0].partitions[0].high_watermark > before).then_some(())
        });
    }
}

/// Goal: only that partition, alone, has a quorum; any other, and it beside another, is unknown.
#[test]
fn other_partitions_are_unknown() {
    let server = Server::shared();
    let topic = server.topic("no-quorum", 1);
    let mut connection = server.connect();
    for version in 0..=2 {
        let wrong: [&[(&str, &[i32])]; 4] = [
            &[(&topic.name, &[0])],
            &[(METADATA, &[1])],
            &[(METADATA, &[0, 1])],
            &[(METADATA, &[0]), (&topic.name, &[0])],
        ];
        for asked in wrong {
            let reply = describe(&mut connection, version, asked);
            assert_eq!((reply.error_code, reply.topics.len()), (0, asked.len()));
            for partition in reply.topics.iter().flat_map(|topic| &topic.partitions) {
                assert_eq!(partition.error_code, code::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
                assert_eq!(
                    (partition.leader_id, partition.leader_epoch, partition.high_watermark),
                    (BrokerId(0), 0, 0)
                );
                if version >= 2 {
                    assert_eq!(
                        partition.error_message.as_deref(),
                        Some("This server does not host this topic-partition.")
                    );
                }
            }
        }
        assert!(describe(&mut connection, version, &[]).topics.is_empty());
        let reply = describe(&mut connection, version, &[(METADATA, &[])]);
        assert!(reply.topics[0].partitions.is_empty());
    }
}
