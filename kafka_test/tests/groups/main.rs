//! Groups of real clients while records flow: every record reaches the group, none that was committed is given to the next owner again,
//! and every rebalance ends. Also against Apache Kafka (`KAFKA_TEST_TARGET=apache`).
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod flow;
mod group;
mod history;
mod languages;
mod librdkafka;
