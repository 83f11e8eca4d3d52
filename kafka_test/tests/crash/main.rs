//! The broker and all of Postgres are killed; for pg_kafka only.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code fails by panicking")]

mod groups;
mod state;
mod survival;
