//! Groups of real clients while records flow: every record reaches the group, none that was committed is given to the next owner again,
//! the broker gives no partition to two members, and every rebalance ends in time. Also against Apache Kafka (`KAFKA_TEST_TARGET=apache`).
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod flow;
mod group;
mod history;
mod java;
mod java_groups;
mod languages;
mod librdkafka;
mod static_members;
mod watch;
