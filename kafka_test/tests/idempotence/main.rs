//! An idempotent producer (librdkafka) whose connections are cut, and whose broker is killed: each record is in the log once and in order.
//! For pg_kafka only.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code fails by panicking")]

mod cut_connections;
mod kills;
mod run;
