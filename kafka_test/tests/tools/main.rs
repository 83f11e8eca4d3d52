//! Kafka's own command-line tools and Java clients, unmodified, from Maven's jars: each command runs against pg_kafka and against Apache
//! Kafka 4.3.1, and what they print and their exit status must be the same, but for what docs/deviations.md says.
//!
//! Needs Java 17 (a JDK) and Maven. `KAFKA_TEST_OURS` and `KAFKA_TEST_APACHE` (`host:port`) take brokers that run already
//! (`broker/examples/in_memory.rs`, `scripts/apache-kafka.sh`).
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod brokers;
mod check;
mod clients;
mod cluster;
mod configs;
mod deviation;
mod groups;
mod json_file;
mod jvm;
mod live_groups;
mod mask;
mod partitions;
mod records;
mod topics;
