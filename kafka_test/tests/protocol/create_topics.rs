//! CreateTopics: what is made, what a dry run answers, and every refusal.

use crate::code;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::protocol::StrBytes;
use kafka_test::connection::Connection;
use kafka_test::server::{Server, DEFAULT_PARTITIONS};
use kafka_test::topic::{creatable, metadata_of, unique_name};
use uuid::Uuid;

/// Source of a config in CreateTopics and DescribeConfigs.
const TOPIC_CONFIG: i8 = 1;
const DEFAULT_CONFIG: i8 = 5;

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_timeout_ms(20_000).with_topics(topics)
}

fn create(connection: &mut Connection, version: i16, topic: CreatableTopic) -> CreatableTopicResult {
    let mut reply = connection.call(version, &request(vec![topic]));
    assert_eq!(reply.topics.len(), 1, "topics in the reply to a CreateTopics of one");
    reply.topics.remove(0)
}

/// The code that a topic gets at each version, which must be the same at all of them; nothing may have been made.
fn refused(topic: CreatableTopic, expected: i16) {
    let mut connection = Server::shared().connect();
    for version in 2..=7 {
        let result = create(&mut connection, version, topic.clone());
        assert_eq!(
            result.error_code, expected,
            "version {version}: {:?} {:?}",
            topic, result.error_message
        );
        assert_eq!(result.name, topic.name);
        assert_eq!(result.topic_id, Uuid::nil(), "a refused topic has no id");
        if version >= 5 {
            assert_eq!(
                (result.num_partitions, result.replication_factor),
                (-1, -1),
                "version {version}"
            );
        }
    }
}

/// Goal: every version makes a topic with the partitions asked, which Metadata then shows.
#[test]
fn every_version_makes_a_topic() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 2..=7 {
        let name = unique_name("made");
        let result = create(&mut connection, version, creatable(&name, 2, &[]).with_replication_factor(1));
        assert_eq!(result.error_code, 0, "version {version}: {:?}", result.error_message);
        let topic = server.ready(&mut connection, &name);
        assert_eq!(metadata_of(&mut connection, &name).partitions.len(), 2);
        assert_eq!(
            result.topic_id,
            if version >= 7 { topic.id } else { Uuid::nil() },
            "id at version {version}"
        );
    }
}

/// Goal: from version 5 on the reply says what was made: partitions, replication factor, and each config with its source.
#[test]
fn the_reply_describes_the_topic() {
    let mut connection = Server::shared().connect();
    for version in 5..=7 {
        let configs = [("cleanup.policy", "compact"), ("retention.ms", "60000")];
        let result = create(&mut connection, version, creatable(&unique_name("described"), 4, &configs));
        assert_eq!(
            (result.error_code, result.num_partitions, result.replication_factor),
            (0, 4, 1)
        );
        assert_eq!(result.topic_config_error_code, 0);
        let found = result.configs.expect("configs");
        let config = |name: &str| {
            let entry = found
                .iter()
                .find(|c| c.name.as_str() == name)
                .unwrap_or_else(|| panic!("config {name} is missing"));
            (entry.value.as_ref().map(ToString::to_string), entry.config_source)
        };
        assert_eq!(config("cleanup.policy"), (Some("compact".into()), TOPIC_CONFIG));
        assert_eq!(config("retention.ms"), (Some("60000".into()), TOPIC_CONFIG));
        assert_eq!(config("max.message.bytes"), (Some("1048588".into()), DEFAULT_CONFIG));
        assert!(found.iter().all(|c| !c.read_only && !c.is_sensitive));
    }
}

/// Goal: from version 4 on, -1 partitions and -1 replicas mean the broker's defaults.
#[test]
fn minus_one_is_the_default() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 4..=7 {
        let name = unique_name("defaults");
        let result = create(&mut connection, version, creatable(&name, -1, &[]));
        assert_eq!(result.error_code, 0, "version {version}");
        if version >= 5 {
            assert_eq!((result.num_partitions, result.replication_factor), (DEFAULT_PARTITIONS, 1));
        }
        server.ready(&mut connection, &name);
        assert_eq!(
            metadata_of(&mut connection, &name).partitions.len() as i32,
            DEFAULT_PARTITIONS
        );
    }
}

/// Goal: a dry run gives the answer of a real one and makes nothing.
#[test]
fn validate_only_makes_nothing() {
    let mut connection = Server::shared().connect();
    for version in 2..=7 {
        let name = unique_name("dry");
        let mut reply = connection.call(version, &request(vec![creatable(&name, 2, &[])]).with_validate_only(true));
        assert_eq!(reply.topics.remove(0).error_code, 0, "version {version}");
        assert_eq!(
            metadata_of(&mut connection, &name).error_code,
            code::UNKNOWN_TOPIC_OR_PARTITION
        );
        let bad = request(vec![creatable(&name, 0, &[])]).with_validate_only(true);
        assert_eq!(connection.call(version, &bad).topics[0].error_code, code::INVALID_PARTITIONS);
    }
}

/// Goal: a topic that exists is not made again, and keeps its id and partitions.
#[test]
fn an_existing_topic_stays() {
    let server = Server::shared();
    let topic = server.topic("existing", 1);
    refused(creatable(&topic.name, 5, &[]), code::TOPIC_ALREADY_EXISTS);
    let found = metadata_of(&mut server.connect(), &topic.name);
    assert_eq!((found.topic_id, found.partitions.len()), (topic.id, 1));
}

/// Goal: a name that stands twice in a request is INVALID_REQUEST, once, and the others of the request are made.
#[test]
fn a_duplicate_in_a_request_is_refused() {
    let server = Server::shared();
    let mut connection = server.connect();
    let (twice, once) = (unique_name("twice"), unique_name("once"));
    let topics = vec![creatable(&twice, 1, &[]), creatable(&once, 1, &[]), creatable(&twice, 1, &[])];
    let reply = connection.call(7, &request(topics));
    let mut codes: Vec<(&str, i16)> = reply.topics.iter().map(|t| (t.name.0.as_str(), t.error_code)).collect();
    codes.sort_unstable();
    let mut expected = [(twice.as_str(), code::INVALID_REQUEST), (once.as_str(), 0)];
    expected.sort_unstable();
    assert_eq!(codes, expected);
    assert_eq!(
        metadata_of(&mut connection, &twice).error_code,
        code::UNKNOWN_TOPIC_OR_PARTITION
    );
    server.ready(&mut connection, &once);
}

/// Goal: names that no topic may have are INVALID_TOPIC; the longest possible name is not.
#[test]
fn impossible_names_are_refused() {
    for name in ["", ".", "..", "a b", "a/b", "ä", &"n".repeat(250)] {
        refused(creatable(name, 1, &[]), code::INVALID_TOPIC);
    }
    let stem = unique_name("longest");
    let longest = format!("{stem}{}", "x".repeat(249 - stem.len()));
    assert_eq!(
        create(&mut Server::shared().connect(), 7, creatable(&longest, 1, &[])).error_code,
        0
    );
}

/// Goal: names that differ in dots and underscores only cannot both exist, since metrics could not tell them apart.
#[test]
fn names_must_differ_in_more_than_dots_and_underscores() {
    let server = Server::shared();
    let stem = server.topic("dots.and.under_scores", 1).name;
    refused(creatable(&stem.replace('_', "."), 1, &[]), code::INVALID_TOPIC);
    refused(creatable(&stem.replace('.', "_"), 1, &[]), code::INVALID_TOPIC);
}

/// Goal: numbers of partitions and replicas that cannot be.
#[test]
fn impossible_numbers_are_refused() {
    let name = unique_name("numbers");
    for partitions in [0, -2, i32::MIN] {
        refused(creatable(&name, partitions, &[]), code::INVALID_PARTITIONS);
    }
    for replicas in [0, -2, 2, i16::MAX] {
        refused(
            creatable(&name, 1, &[]).with_replication_factor(replicas),
            code::INVALID_REPLICATION_FACTOR,
        );
    }
    assert_eq!(
        metadata_of(&mut Server::shared().connect(), &name).error_code,
        code::UNKNOWN_TOPIC_OR_PARTITION
    );
}

/// Goal: configs that do not exist, or values that they cannot have, are INVALID_CONFIG.
#[test]
fn impossible_configs_are_refused() {
    let name = unique_name("configs");
    let cases = [
        ("no.such.config", "1"),
        ("cleanup.policy", "burn"),
        ("retention.ms", "soon"),
        ("retention.ms", "-2"),
        ("segment.bytes", "0"),
        ("max.message.bytes", "-1"),
        ("message.timestamp.type", "Yesterday"),
        ("compression.type", "rar"),
        ("min.insync.replicas", "0"),
        ("preallocate", "maybe"),
    ];
    for config in cases {
        refused(creatable(&name, 1, &[config]), code::INVALID_CONFIG);
    }
    let null = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("retention.ms"))
        .with_value(None);
    refused(creatable(&name, 1, &[]).with_configs(vec![null]), code::INVALID_CONFIG);
}

/// Goal: a manual assignment to this broker makes the topic; every other assignment is refused.
#[test]
fn manual_assignments() {
    let server = Server::shared();
    let mut connection = server.connect();
    let assigned = |name: &str, partitions: &[(i32, &[i32])]| {
        let assignments = partitions
            .iter()
            .map(|(index, brokers)| {
                CreatableReplicaAssignment::default()
                    .with_partition_index(*index)
                    .with_broker_ids(brokers.iter().map(|b| (*b).into()).collect())
            })
            .collect();
        creatable(name, -1, &[]).with_assignments(assignments)
    };
    let name = unique_name("assigned");
    assert_eq!(
        create(&mut connection, 7, assigned(&name, &[(0, &[1]), (1, &[1])])).error_code,
        0
    );
    server.ready(&mut connection, &name);
    assert_eq!(metadata_of(&mut connection, &name).partitions.len(), 2);

    let other = unique_name("misassigned");
    refused(assigned(&other, &[(0, &[1]), (2, &[1])]), code::INVALID_REPLICA_ASSIGNMENT);
    refused(assigned(&other, &[(0, &[1]), (0, &[1])]), code::INVALID_REPLICA_ASSIGNMENT);
    refused(assigned(&other, &[(0, &[7])]), code::INVALID_REPLICA_ASSIGNMENT);
    refused(assigned(&other, &[(0, &[1, 1])]), code::INVALID_REPLICA_ASSIGNMENT);
    refused(assigned(&other, &[(0, &[])]), code::INVALID_REPLICA_ASSIGNMENT);
    refused(assigned(&other, &[(0, &[1])]).with_num_partitions(1), code::INVALID_REQUEST);
    refused(
        assigned(&other, &[(0, &[1])]).with_replication_factor(1),
        code::INVALID_REQUEST,
    );
}

/// Goal: a request that would make more than 10,000 partitions is refused whole, with POLICY_VIOLATION.
#[test]
fn too_many_partitions_are_refused() {
    let mut connection = Server::shared().connect();
    let (small, large) = (unique_name("small"), unique_name("large"));
    let reply = connection.call(7, &request(vec![creatable(&small, 1, &[]), creatable(&large, 10_000, &[])]));
    let codes: Vec<i16> = reply.topics.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [44, 44]);
    assert_eq!(
        metadata_of(&mut connection, &small).error_code,
        code::UNKNOWN_TOPIC_OR_PARTITION
    );
}
