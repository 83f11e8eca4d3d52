//! Unmodified clients (librdkafka, kcat) write and read: every test here passes on pg_kafka and on Apache Kafka.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod codecs;
mod kcat_round_trip;
mod limits;
mod live;
mod metadata;
