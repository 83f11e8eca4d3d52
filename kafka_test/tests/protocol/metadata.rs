//! Metadata: which topics, by name and by id, at every version, and topics made on demand.

use crate::code;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest};
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::append;
use kafka_test::server::{Server, DEFAULT_PARTITIONS};
use kafka_test::topic::{topic_name, unique_name};
use uuid::Uuid;

fn by_name(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

fn by_id(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(None).with_topic_id(id)
}

/// A request that makes no topic; before version 4 that cannot be said, so there it names topics that exist.
fn asking(version: i16, topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    MetadataRequest::default()
        .with_allow_auto_topic_creation(version < 4)
        .with_topics(topics)
}

fn name_of(topic: &MetadataResponseTopic) -> &str {
    topic.name.as_ref().map_or("", |n| n.0.as_str())
}

fn one(connection: &mut Connection, version: i16, topic: MetadataRequestTopic) -> MetadataResponseTopic {
    let mut reply = connection.call(version, &asking(version, Some(vec![topic])));
    assert_eq!(reply.topics.len(), 1, "topics in the reply about one, version {version}");
    reply.topics.remove(0)
}

/// Goal: a topic that exists is described at every version: partitions with leader, replicas, in-sync replicas, and its id from 10 on.
#[test]
fn a_topic_is_described_at_every_version() {
    let server = Server::shared();
    let topic = server.topic("described", 3);
    let mut connection = server.connect();
    for version in 0..=13 {
        let found = one(&mut connection, version, by_name(&topic.name));
        assert_eq!(found.error_code, 0, "version {version}");
        assert_eq!(name_of(&found), topic.name);
        assert_eq!(
            found.topic_id,
            if version >= 10 { topic.id } else { Uuid::nil() },
            "version {version}"
        );
        assert!(!found.is_internal);
        let mut partitions: Vec<i32> = found.partitions.iter().map(|p| p.partition_index).collect();
        partitions.sort_unstable();
        assert_eq!(partitions, [0, 1, 2], "version {version}");
        for partition in &found.partitions {
            assert_eq!(partition.error_code, 0);
            assert_eq!(partition.leader_id.0, 1);
            assert_eq!(partition.replica_nodes, [1]);
            assert_eq!(partition.isr_nodes, [1]);
            assert!(partition.offline_replicas.is_empty());
            assert!(
                version < 7 || partition.leader_epoch >= 0,
                "leader epoch at version {version}"
            );
        }
    }
}

/// Goal: every version names the brokers; the controller from 1 on, the cluster from 2 on, the same as DescribeCluster.
#[test]
fn the_cluster_is_described() {
    let server = Server::shared();
    let mut connection = server.connect();
    let cluster = connection.call(0, &DescribeClusterRequest::default()).cluster_id;
    for version in 0..=13 {
        let reply = connection.call(version, &asking(version, Some(vec![])));
        assert_eq!(reply.brokers.len(), 1, "version {version}");
        assert_eq!(reply.brokers[0].node_id.0, 1);
        let address = format!("{}:{}", reply.brokers[0].host, reply.brokers[0].port);
        assert_eq!(address, server.bootstrap, "advertised address: the one the client reached");
        if version >= 1 {
            assert_eq!(reply.controller_id.0, 1, "controller at version {version}");
        }
        if version >= 2 {
            assert_eq!(reply.cluster_id.as_ref(), Some(&cluster), "cluster id at version {version}");
        }
    }
}

/// Goal: version 0 takes an empty list for all topics; from 1 on null is all and empty is none.
#[test]
fn null_is_all_and_empty_is_none() {
    let server = Server::shared();
    let topic = server.topic("listed", 1);
    let mut connection = server.connect();
    let reply = connection.call(0, &asking(0, Some(vec![])));
    assert!(reply.topics.iter().any(|t| name_of(t) == topic.name), "version 0, empty: all");
    for version in 1..=13 {
        let all = connection.call(version, &asking(version, None));
        assert!(
            all.topics.iter().any(|t| name_of(t) == topic.name),
            "version {version}, null: all"
        );
        assert!(
            all.topics.iter().all(|t| t.error_code == 0),
            "version {version}, null: no errors"
        );
        let none = connection.call(version, &asking(version, Some(vec![])));
        assert!(none.topics.is_empty(), "version {version}, empty: none");
    }
}

/// Goal: an unknown topic is UNKNOWN_TOPIC_OR_PARTITION and is not made when the client forbids it.
#[test]
fn an_unknown_topic_is_not_made_against_the_clients_will() {
    let mut connection = Server::shared().connect();
    let name = unique_name("never");
    for version in 4..=13 {
        let found = one(&mut connection, version, by_name(&name));
        assert_eq!(found.error_code, code::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        assert_eq!(name_of(&found), name);
        assert!(found.partitions.is_empty());
    }
}

/// Goal: asking for an unknown topic makes it (versions below 4 always, later ones when allowed), with the default number of partitions,
/// and it can be written; until it is there the answer is an error, never a topic without partitions.
#[test]
fn an_unknown_topic_is_made_on_demand() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in [0, 3, 4, 9, 13] {
        let name = unique_name("on-demand");
        let request = MetadataRequest::default()
            .with_allow_auto_topic_creation(true)
            .with_topics(Some(vec![by_name(&name)]));
        eventually("the topic is made", || {
            let reply = connection.call(version, &request);
            assert_eq!(reply.topics.len(), 1);
            let found = &reply.topics[0];
            match found.error_code {
                0 => {
                    assert_eq!(
                        found.partitions.len() as i32,
                        DEFAULT_PARTITIONS,
                        "partitions at version {version}"
                    );
                    Some(())
                }
                code::UNKNOWN_TOPIC_OR_PARTITION | 5 => None,
                other => panic!("error {other} at version {version}"),
            }
        });
        let topic = server.ready(&mut connection, &name);
        assert_eq!(append(&mut connection, &topic, DEFAULT_PARTITIONS - 1, &Batch::of(["x"])), 0);
    }
}

/// Goal: names that no topic may have are INVALID_TOPIC, and make nothing.
#[test]
fn impossible_names_are_refused() {
    let mut connection = Server::shared().connect();
    let long = "n".repeat(250);
    for version in [1, 4, 9, 13] {
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\u{0}", long.as_str()] {
            let request = MetadataRequest::default()
                .with_allow_auto_topic_creation(true)
                .with_topics(Some(vec![by_name(name)]));
            let reply = connection.call(version, &request);
            assert_eq!(
                reply.topics[0].error_code,
                code::INVALID_TOPIC,
                "version {version}, name {name:?}"
            );
        }
    }
}

/// Goal: from version 12 on a topic is found by its id; an id that no topic has is UNKNOWN_TOPIC_ID, and the reply carries the id.
#[test]
fn topics_are_found_by_id() {
    let server = Server::shared();
    let topic = server.topic("by-id", 2);
    let mut connection = server.connect();
    for version in 12..=13 {
        let found = one(&mut connection, version, by_id(topic.id));
        assert_eq!(
            (found.error_code, name_of(&found), found.topic_id),
            (0, topic.name.as_str(), topic.id)
        );
        assert_eq!(found.partitions.len(), 2);
        let unknown = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
        let missing = one(&mut connection, version, by_id(unknown));
        assert_eq!((missing.error_code, missing.topic_id), (code::UNKNOWN_TOPIC_ID, unknown));
        assert_eq!(missing.name, None, "an unknown id has no name");
        assert!(missing.partitions.is_empty());
    }
}

/// Goal: versions 10 and 11 have the id field but no look-up by it: a null name or an id is an INVALID_REQUEST for each topic asked.
#[test]
fn versions_10_and_11_refuse_ids() {
    let server = Server::shared();
    let topic = server.topic("by-id-early", 1);
    let mut connection = server.connect();
    for version in 10..=11 {
        for asked in [by_id(topic.id), by_name(&topic.name).with_topic_id(topic.id)] {
            let reply = connection.call(version, &asking(version, Some(vec![asked])));
            assert_eq!(reply.topics.len(), 1);
            assert_eq!(reply.topics[0].error_code, code::INVALID_REQUEST, "version {version}");
        }
    }
}

/// Goal: known, unknown and impossible names in one request get each their own answer.
#[test]
fn each_topic_of_a_request_has_its_own_answer() {
    let server = Server::shared();
    let topic = server.topic("mixed", 1);
    let unknown = unique_name("mixed-unknown");
    let mut connection = server.connect();
    let reply = connection.call(
        9,
        &asking(9, Some(vec![by_name("a b"), by_name(&topic.name), by_name(&unknown)])),
    );
    let mut codes: Vec<(&str, i16)> = reply.topics.iter().map(|t| (name_of(t), t.error_code)).collect();
    codes.sort_unstable();
    let mut expected = [
        ("a b", code::INVALID_TOPIC),
        (topic.name.as_str(), 0),
        (unknown.as_str(), code::UNKNOWN_TOPIC_OR_PARTITION),
    ];
    expected.sort_unstable();
    assert_eq!(codes, expected);
}
