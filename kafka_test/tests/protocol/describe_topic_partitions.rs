//! DescribeTopicPartitions: topics by name, page by page.

use crate::code;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use kafka_test::connection::Connection;
use kafka_test::server::Server;
use kafka_test::topic::{metadata_of, topic_name, unique_name};
use uuid::Uuid;

type Place<'a> = (&'a str, i32);

fn describe(connection: &mut Connection, names: &[&str], limit: i32, cursor: Option<Place>) -> DescribeTopicPartitionsResponse {
    let cursor = cursor.map(|(name, index)| {
        Cursor::default()
            .with_topic_name(topic_name(name))
            .with_partition_index(index)
    });
    let topics = names.iter().map(|name| TopicRequest::default().with_name(topic_name(name)));
    connection.call(
        0,
        &DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor),
    )
}

/// (topic, error, partitions) of each, and where to go on.
fn check(reply: &DescribeTopicPartitionsResponse, topics: &[(&str, i16, &[i32])], next: Option<Place>) {
    let found: Vec<(&str, i16, Vec<i32>)> = reply
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
            (
                topic.name.as_ref().unwrap().0.as_str(),
                topic.error_code,
                partitions.collect(),
            )
        })
        .collect();
    let expected: Vec<_> = topics
        .iter()
        .map(|(name, code, partitions)| (*name, *code, partitions.to_vec()))
        .collect();
    assert_eq!(found, expected);
    let found = reply.next_cursor.as_ref();
    assert_eq!(
        found.map(|cursor| (cursor.topic_name.0.as_str(), cursor.partition_index)),
        next
    );
}

/// Goal: a topic is described as Metadata does it, with no eligible leader replicas.
#[test]
fn a_topic_is_described() {
    let server = Server::shared();
    let topic = server.topic("described", 2);
    let mut connection = server.connect();
    let metadata = metadata_of(&mut connection, &topic.name);
    let reply = describe(&mut connection, &[&topic.name], 2000, None);
    check(&reply, &[(&topic.name, 0, &[0, 1])], None);
    let found = &reply.topics[0];
    assert_eq!((found.topic_id, found.is_internal), (topic.id, false));
    assert_eq!(found.topic_authorized_operations, 3576);
    for (partition, expected) in found.partitions.iter().zip(&metadata.partitions) {
        assert_eq!(partition.error_code, 0);
        assert_eq!(
            (partition.leader_id, partition.leader_epoch),
            (expected.leader_id, expected.leader_epoch)
        );
        assert_eq!(partition.replica_nodes, [BrokerId(1)]);
        assert_eq!(partition.isr_nodes, [BrokerId(1)]);
        assert!(partition.offline_replicas.is_empty());
        assert_eq!(partition.eligible_leader_replicas, Some(vec![]));
        assert_eq!(partition.last_known_elr, Some(vec![]));
    }
}

/// Goal: topics come by name, each once; what does not exist and what cannot exist has its own error.
#[test]
fn topics_come_by_name() {
    let server = Server::shared();
    let (a, b) = (server.topic("a-sorted", 1), server.topic("b-sorted", 1));
    let missing = unique_name("c-missing");
    let mut connection = server.connect();
    let names = [missing.as_str(), &b.name, "d bad", &a.name, &b.name];
    let reply = describe(&mut connection, &names, 2000, None);
    let expected: &[(&str, i16, &[i32])] = &[
        (&a.name, 0, &[0]),
        (&b.name, 0, &[0]),
        (&missing, code::UNKNOWN_TOPIC_OR_PARTITION, &[]),
        ("d bad", code::INVALID_TOPIC, &[]),
    ];
    check(&reply, expected, None);
    assert_eq!(reply.topics[2].topic_id, Uuid::nil());
}

/// Goal: a page ends at the limit, names the next partition or topic, and the cursor takes up there. A limit below 1 is 1.
#[test]
fn pages_follow_each_other() {
    let server = Server::shared();
    let (a, b) = (server.topic("a-paged", 2), server.topic("b-paged", 3));
    let missing = unique_name("c-missing");
    let (a, b) = (a.name.as_str(), b.name.as_str());
    let mut connection = server.connect();
    let mut ask = |names: &[&str], limit, cursor| describe(&mut connection, names, limit, cursor);
    for limit in [1, 0, -5] {
        check(&ask(&[a, b], limit, None), &[(a, 0, &[0])], Some((a, 1)));
    }
    check(&ask(&[a, b], 2, None), &[(a, 0, &[0, 1])], Some((b, 0)));
    check(&ask(&[a, &missing], 2, None), &[(a, 0, &[0, 1])], Some((&missing, 0)));
    check(&ask(&[a], 2, None), &[(a, 0, &[0, 1])], None);
    check(&ask(&[a, b], 2, Some((a, 1))), &[(a, 0, &[1]), (b, 0, &[0])], Some((b, 1)));
    check(&ask(&[a, b], 9, Some((b, 1))), &[(b, 0, &[1, 2])], None);
    check(&ask(&[a, b], 2, Some((a, 9))), &[(a, 0, &[]), (b, 0, &[0, 1])], Some((b, 2)));
    let unknown: &[(&str, i16, &[i32])] = &[(&missing, code::UNKNOWN_TOPIC_OR_PARTITION, &[])];
    check(&ask(&[&missing], 1, Some((&missing, 4))), unknown, None);
}

/// Goal: no names mean all topics, and following the cursors gives each partition once and ends.
#[test]
fn all_topics_page_by_page() {
    let server = Server::shared();
    let topics = [
        server.topic("all-paged", 3),
        server.topic("all-paged", 1),
        server.topic("all-paged", 2),
    ];
    let mut connection = server.connect();
    for limit in [1, 2, 7, 2000] {
        let mut seen = Vec::new();
        let mut cursor: Option<(String, i32)> = None;
        loop {
            let from = cursor.as_ref().map(|(name, index)| (name.as_str(), *index));
            let reply = describe(&mut connection, &[], limit, from);
            for topic in &reply.topics {
                let name = topic.name.as_ref().unwrap().to_string();
                seen.extend(topic.partitions.iter().map(|p| (name.clone(), p.partition_index)));
            }
            let next = reply
                .next_cursor
                .map(|next| (next.topic_name.to_string(), next.partition_index));
            assert!(next.is_none() || next > cursor, "{next:?} after {cursor:?}");
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in order, without repeats");
        for (topic, count) in topics.iter().zip([3, 1, 2]) {
            let found = seen.iter().filter(|(name, _)| *name == topic.name).count();
            assert_eq!(found, count, "limit {limit}");
        }
    }
}

/// Goal: a cursor that is not among the topics asked for, or of a negative partition, is INVALID_REQUEST for all of them.
#[test]
fn impossible_cursors_are_refused() {
    let server = Server::shared();
    let topic = server.topic("b-cursor", 2);
    let name = topic.name.as_str();
    let mut connection = server.connect();
    for cursor in [("a", 0), ("", 0), ("zz", 0), (name, -1)] {
        let reply = describe(&mut connection, &[name], 2, Some(cursor));
        check(&reply, &[(name, code::INVALID_REQUEST, &[])], None);
        assert_eq!(reply.topics[0].topic_authorized_operations, i32::MIN);
    }
    check(&describe(&mut connection, &[], 2, Some(("a", -1))), &[], None);
}
