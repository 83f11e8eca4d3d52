//! The harness of the end-to-end tests: a server to test, a raw connection that speaks any version of any API, record batches built
//! and read byte by byte, real clients (librdkafka, kcat) and SQL.
//!
//! Which server is tested is chosen by the environment, see [`server`]. Everything here panics with a sentence when something is
//! not as it should be: a panic is how a test fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code fails by panicking")]

pub mod batch;
pub mod capture;
pub mod clients;
pub mod clock;
pub mod compression;
pub mod configs;
pub mod connection;
pub mod consumer_group;
pub mod disk;
pub mod faults;
pub mod groups;
pub mod history;
pub mod kcat;
pub mod offsets;
pub mod patience;
pub mod process;
pub mod proxy;
pub mod requests;
pub mod server;
pub mod sql;
pub mod topic;
pub mod workload;
