//! Java clients: kafka-clients from 2.1 to 3.9, and Kafka's own test of a client's compatibility with a broker.

use crate::brokers::Brokers;
use crate::check::{check, output};
use crate::jvm::run_with_clients;
use kafka_test::compression::Codec;
use kafka_test::requests::read_all;
use kafka_test::topic::unique_name;

/// Records that java/Client.java writes in each codec, to two partitions.
const RECORDS: usize = 200;

/// What one version of kafka-clients sees must be the same with both brokers, and what it wrote is stored in the codec it was told.
fn old_client(version: &str) {
    let brokers = Brokers::shared();
    let [ours, apache] = brokers.each();
    let prefix = unique_name("tool-client");
    let said = run_with_clients(version, "Client.java", &[&prefix, &ours.bootstrap, &apache.bootstrap]);
    let (nothing, parts) = said.split_once("broker\n").expect("the part of a broker");
    assert_eq!(nothing, "");
    let (with_ours, with_apache) = parts.split_once("broker\n").expect("the part of a second broker");
    let differing: Vec<_> = with_ours
        .lines()
        .zip(with_apache.lines())
        .filter(|(a, b)| a != b)
        .take(10)
        .collect();
    assert!(with_ours == with_apache, "pg_kafka and Apache Kafka: {differing:#?}");
    let count = |word: &str| with_ours.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!(count("stored "), RECORDS * Codec::ALL.len());
    assert_eq!(count("read "), RECORDS * Codec::ALL.len());

    let mut connection = ours.connect();
    for codec in Codec::ALL {
        let topic = ours.ready(&mut connection, &format!("{prefix}-{}", codec.name()));
        for partition in [0, 1] {
            for batch in read_all(&mut connection, &topic, partition, 0) {
                assert_eq!(batch.codec(), codec, "the batch at {}", batch.base_offset);
            }
        }
    }
}

/// Goal: kafka-clients 2.1 makes topics, writes and reads.
#[test]
fn clients_2_1() {
    old_client("2.1.1");
}

/// Goal: kafka-clients 2.8 makes topics, writes and reads.
#[test]
fn clients_2_8() {
    old_client("2.8.2");
}

/// Goal: kafka-clients 3.9 makes topics, writes and reads.
#[test]
fn clients_3_9() {
    old_client("3.9.1");
}

/// Goal: Kafka's own compatibility test finds what it is told is there, and nothing that it is told is not.
#[test]
fn client_compatibility_test() {
    let brokers = Brokers::shared();
    // The test makes a topic of this name itself.
    check("0 kafka-topics.sh --delete --topic newtopic --if-exists");
    for server in brokers.each() {
        let topic = server.topic("tool-compatibility", 1);
        let apache = server.is_apache();
        let output = output(
            server,
            &format!(
                "ClientCompatibilityTest --topic {} --num-cluster-nodes 1 --cluster-id-supported true \
                 --offsets-for-times-supported true --create-topics-supported true --describe-configs-supported true \
                 --expect-record-too-large-exception false --idempotent-producer-supported true --describe-acls-supported {apache}",
                topic.name
            ),
            "",
        );
        assert_eq!((output.status, output.out.as_str()), (0, "SUCCESS.\n"), "{}", output.err);
    }
}
