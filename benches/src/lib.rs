//! Load programs for a Kafka broker, and measurements of pg_kafka beside Apache Kafka.
//!
//! The program `load` is the front; `scripts/bench.sh` starts both brokers and runs `load compare`.

pub mod args;
pub mod compare;
pub mod connection;
pub mod cpu;
pub mod error;
pub mod fetch;
pub mod groups;
pub mod latency;
pub mod machine;
pub mod payload;
pub mod produce;
pub mod quantiles;
pub mod report;
pub mod server;
pub mod storage;
pub mod target;
