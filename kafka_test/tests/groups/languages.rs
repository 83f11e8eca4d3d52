//! Clients in other languages as they come out of the box: each writes with its default producer, reads in a group of two, commits, and
//! goes on from there with two new members (kafka_test/clients).

use kafka_test::server::{run, script, Server};
use kafka_test::topic::unique_name;
use std::path::Path;
use std::process::Command;

/// Partitions of the topic.
const PARTITIONS: i32 = 4;
/// Records that are written and read twice.
const RECORDS: usize = 1000;

/// Lets a client go through its program, with further arguments; it ends with "ok" or fails.
fn check(mut client: Command, name: &str, more: &[&str]) {
    let server = Server::shared();
    let topic = server.topic(name, PARTITIONS);
    let group = unique_name(name);
    client
        .args([&server.bootstrap, &topic.name, &group, &RECORDS.to_string()])
        .args(more);
    let said = run(client);
    assert_eq!(said.lines().last(), Some("ok"), "{name}: {said}");
}

/// A client of scripts/clients.sh.
fn fetched(name: &str) {
    let mut command = Command::new(script("clients.sh"));
    command.arg(name);
    check(command, name, &[]);
}

/// Kafka's own client with the jars that `arguments` of scripts/apache-kafka.sh give.
fn java(name: &str, arguments: &[&str], settings: &[&str]) {
    let mut jars = Command::new(script("apache-kafka.sh"));
    jars.args(arguments);
    let class_path = run(jars);
    let mut command = Command::new("java");
    command.args([
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xmx512m",
        "-cp",
        class_path.trim(),
    ]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/java/GroupClient.java"));
    check(command, name, settings);
}

/// Goal: kafka-python.
#[test]
fn kafka_python() {
    fetched("kafka-python");
}

/// Goal: aiokafka.
#[test]
fn aiokafka() {
    fetched("aiokafka");
}

/// Goal: kafkajs.
#[test]
fn kafkajs() {
    fetched("kafkajs");
}

/// Goal: franz-go, whose producer is idempotent.
#[test]
fn franz_go() {
    fetched("franz-go");
}

/// Goal: kafka-clients 4.3.1, whose producer is idempotent.
#[test]
fn java_4_3() {
    java("java-4-3", &["classpath"], &[]);
}

/// Goal: kafka-clients 4.3.1 with KIP-848 consumers.
#[test]
fn java_4_3_consumer_protocol() {
    java("java-4-3-consumer", &["classpath"], &["group.protocol=consumer"]);
}

/// Goal: kafka-clients 3.9.1.
#[test]
fn java_3_9() {
    java("java-3-9", &["clients", "3.9.1"], &[]);
}

/// Goal: kafka-clients 2.8.2.
#[test]
fn java_2_8() {
    java("java-2-8", &["clients", "2.8.2"], &[]);
}

/// Goal: kafka-clients 2.1.1, from before static members and incremental rebalances.
#[test]
fn java_2_1() {
    java("java-2-1", &["clients", "2.1.1"], &[]);
}
