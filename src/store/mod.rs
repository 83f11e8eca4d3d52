//! The storage engine on Postgres: safe code over `ffi`.
//!
//! * `log` — batches into pieces and back; `pieces` — where they are cut
//! * `bookkeeping`, `topics`, `groups`, `offsets`, `producers` — the tables in schema `kafka`, by SQL
//! * `rewrite` — a segment's new table in the place of the old one
//! * `locks` — which locks, and who waits for them

pub mod bookkeeping;
pub mod engine;
pub mod error;
pub mod groups;
pub mod locks;
pub mod log;
pub mod names;
pub mod offsets;
pub mod pieces;
pub mod producers;
pub mod rewrite;
pub mod topics;
