//! CreatePartitions: more partitions, beside those that there are, and every refusal.

use crate::code;
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest};
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, fetch, latest, list_offsets, Reading};
use kafka_test::server::Server;
use kafka_test::topic::{metadata_of, topic_name, unique_name};

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=3;

fn wanted(topic: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default()
        .with_name(topic_name(topic))
        .with_count(count)
        .with_assignments(None)
}

fn assigned(topic: &str, count: i32, brokers: &[&[i32]]) -> CreatePartitionsTopic {
    let assignment =
        |brokers: &&[i32]| CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().copied().map(BrokerId).collect());
    wanted(topic, count).with_assignments(Some(brokers.iter().map(assignment).collect()))
}

fn request(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
    CreatePartitionsRequest::default().with_timeout_ms(20_000).with_topics(topics)
}

/// The result of each topic, by name: Kafka's order is that of a hash set.
fn create(connection: &mut Connection, version: i16, topics: Vec<CreatePartitionsTopic>) -> Vec<CreatePartitionsTopicResult> {
    let mut results = connection.call(version, &request(topics)).results;
    results.sort_by(|a, b| a.name.cmp(&b.name));
    results
}

fn partitions(connection: &mut Connection, topic: &str) -> usize {
    metadata_of(connection, topic).partitions.len()
}

/// Goal: every version adds partitions, which are empty, led, and can be written and read from offset 0 on; the old ones go on.
#[test]
fn every_version_adds_partitions() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in VERSIONS {
        let topic = server.topic("grown", 1);
        append(&mut connection, &topic, 0, &Batch::of(["a", "b"]));
        let results = create(&mut connection, version, vec![wanted(&topic.name, 4)]);
        assert_eq!((results.len(), results[0].error_code), (1, 0), "version {version}");
        assert_eq!(results[0].error_message, None);
        assert_eq!(results[0].name, topic.topic_name());
        eventually("the partitions are there", || {
            (partitions(&mut connection, &topic.name) == 4).then_some(())
        });
        assert_eq!(server.ready(&mut connection, &topic.name).id, topic.id);
        for partition in 1..4 {
            assert_eq!(list_offsets(&mut connection, 7, &topic, partition, -2).offset, 0);
            assert_eq!(latest(&mut connection, &topic, partition), 0);
        }
        assert_eq!(append(&mut connection, &topic, 3, &Batch::of(["c"])), 0);
        assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["d"])), 2);
        let reading = Reading {
            partition: 3,
            ..Reading::from(0)
        };
        let data = fetch(&mut connection, 18, &topic, reading);
        assert_eq!((data.error_code, data.high_watermark), (0, 1));
        assert!(data.records.is_some_and(|records| !records.is_empty()));
    }
}

/// Goal: a consumer that waits for records of an old partition goes on waiting, and gets them.
#[test]
fn a_waiting_fetch_is_not_disturbed() {
    let server = Server::shared();
    let topic = server.topic("grown-waiting", 1);
    let mut waiting = server.connect();
    let mut connection = server.connect();
    let reading = Reading {
        max_wait_ms: 30_000,
        min_bytes: 1,
        ..Reading::from(0)
    };
    let sent = waiting.send(18, &kafka_test::requests::fetch_request(18, &topic, reading));
    let results = create(&mut connection, 3, vec![wanted(&topic.name, 2)]);
    assert_eq!(results[0].error_code, 0);
    eventually("the partition is there", || {
        (partitions(&mut connection, &topic.name) == 2).then_some(())
    });
    append(&mut connection, &topic, 0, &Batch::of(["a"]));
    let reply = waiting.receive::<kafka_protocol::messages::FetchRequest>(sent);
    let data = &reply.responses[0].partitions[0];
    assert_eq!((data.error_code, data.high_watermark), (0, 1));
}

/// Goal: a dry run gives the answers of a real one and adds nothing.
#[test]
fn validate_only_adds_nothing() {
    let server = Server::shared();
    let topic = server.topic("dry", 2);
    let mut connection = server.connect();
    for version in VERSIONS {
        for (count, expected) in [(3, 0), (2, code::INVALID_PARTITIONS)] {
            let dry = request(vec![wanted(&topic.name, count)]).with_validate_only(true);
            assert_eq!(
                connection.call(version, &dry).results[0].error_code,
                expected,
                "version {version}"
            );
        }
        assert_eq!(partitions(&mut connection, &topic.name), 2);
    }
}

/// Goal: what is no increase is INVALID_PARTITIONS and says how many there are.
#[test]
fn only_an_increase_is_granted() {
    let server = Server::shared();
    let topic = server.topic("shrunk", 2);
    let mut connection = server.connect();
    for version in VERSIONS {
        for count in [2, 1, 0, -1, i32::MIN] {
            let result = create(&mut connection, version, vec![wanted(&topic.name, count)]).remove(0);
            let message = match count {
                2 => "Topic already has 2 partition(s).".to_owned(),
                _ => format!(
                    "The topic {} currently has 2 partition(s); {count} would not be an increase.",
                    topic.name
                ),
            };
            assert_eq!(
                (result.error_code, result.error_message.as_deref()),
                (code::INVALID_PARTITIONS, Some(message.as_str())),
                "version {version}"
            );
        }
        assert_eq!(partitions(&mut connection, &topic.name), 2);
    }
}

/// Goal: assignments must be one per added partition, and each one name the brokers that there are, once.
#[test]
fn assignments_are_checked() {
    let server = Server::shared();
    let mut connection = server.connect();
    let topic = server.topic("assigned", 1);
    let name = &topic.name;
    for version in VERSIONS {
        for (brokers, message) in [
            (
                &[&[1][..]][..],
                "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
            ),
            (
                &[&[1], &[9]],
                "The manual partition assignment includes broker 9, but no such broker is registered.",
            ),
            (
                &[&[], &[1]],
                "The manual partition assignment includes an empty replica list.",
            ),
            (
                &[&[1], &[9, 1, 1]],
                "The manual partition assignment includes the broker 1 more than once.",
            ),
        ] {
            let result = create(&mut connection, version, vec![assigned(name, 3, brokers)]).remove(0);
            assert_eq!(
                (result.error_code, result.error_message.as_deref()),
                (code::INVALID_REPLICA_ASSIGNMENT, Some(message)),
                "version {version}"
            );
        }
        assert_eq!(partitions(&mut connection, name), 1);
    }
    let granted = create(&mut connection, 3, vec![assigned(name, 3, &[&[1], &[1]])]);
    assert_eq!(granted[0].error_code, 0, "{:?}", granted[0].error_message);
    eventually("the partitions are there", || {
        (partitions(&mut connection, name) == 3).then_some(())
    });
}

/// Goal: each topic of a request has its own result; one that is named twice has one, INVALID_REQUEST, and is not changed.
#[test]
fn topics_are_answered_each() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in VERSIONS {
        let (good, twice) = (server.topic("a-good", 1), server.topic("b-twice", 1));
        let unknown = unique_name("c-unknown");
        let topics = vec![
            wanted(&twice.name, 2),
            wanted(&unknown, 2),
            wanted(&good.name, 2),
            wanted(&twice.name, 3),
        ];
        let results = create(&mut connection, version, topics);
        let codes: Vec<_> = results
            .iter()
            .map(|result| (result.name.0.as_str(), result.error_code, result.error_message.as_deref()))
            .collect();
        let expected = [
            (good.name.as_str(), 0, None),
            (twice.name.as_str(), code::INVALID_REQUEST, Some("Duplicate topic name.")),
            (unknown.as_str(), code::UNKNOWN_TOPIC_OR_PARTITION, None),
        ];
        assert_eq!(codes, expected, "version {version}");
        eventually("the partition is there", || {
            (partitions(&mut connection, &good.name) == 2).then_some(())
        });
        assert_eq!(partitions(&mut connection, &twice.name), 1);
    }
}
