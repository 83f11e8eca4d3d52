//! Load programs for a Kafka broker, and measurements of pg_kafka beside Apache Kafka.
//!
//! The program `load` is the front; `scripts/bench.sh` builds, runs it, and stops the brokers that it started.

pub mod args;
pub mod batch;
pub mod beside;
pub mod compare;
pub mod connection;
pub mod end_to_end;
pub mod error;
pub mod fetch;
pub mod groups;
pub mod idle;
pub mod java;
pub mod latency;
pub mod machine;
pub mod memory;
pub mod one_in_flight;
pub mod payload;
pub mod processes;
pub mod produce;
pub mod quantiles;
pub mod readers;
pub mod report;
pub mod server;
pub mod starts;
pub mod storage;
pub mod target;
pub mod trickles;
