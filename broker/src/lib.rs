//! Everything of pg_kafka that is Kafka: the wire, the API handlers, the services and the storage jobs. No Postgres, no
//! `unsafe`. The extension at the workspace root supplies the storage engine and the process; see `docs/architecture.md`.
#![forbid(unsafe_code)]

pub mod api;
pub mod catalog;
pub mod clock;
pub mod fetch;
pub mod groups;
pub mod limits;
pub mod log;
pub mod log_rate;
pub mod net;
pub mod producers;
pub mod server;
pub mod settings;
pub mod storage;
pub mod wire;
