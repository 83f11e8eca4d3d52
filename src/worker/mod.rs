//! The three background workers: the broker with its database thread, maintenance, and the flusher.

#[cfg(feature = "contract")]
mod contract;
mod disk;
mod exit;
mod extension;
mod flusher;
mod life;
mod logging;
mod maintenance;
mod session;
mod wakeup;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::ffi::process::register_worker;
use crate::store::engine::PgEngine;

/// Registers the workers; from `_PG_init` of the postmaster.
pub fn register() {
    register_worker("pg_kafka broker", "pg_kafka_broker_main");
    register_worker("pg_kafka maintenance", "pg_kafka_maintenance_main");
    register_worker("pg_kafka flusher", "pg_kafka_flusher_main");
}

/// Entry point of the broker's process.
#[pg_guard]
#[no_mangle]
pub extern "C-unwind" fn pg_kafka_broker_main(_argument: pg_sys::Datum) {
    life::run(engine)
}

/// Entry point of the maintenance process.
#[pg_guard]
#[no_mangle]
pub extern "C-unwind" fn pg_kafka_maintenance_main(_argument: pg_sys::Datum) {
    maintenance::run(engine)
}

/// Entry point of the flusher's process.
#[pg_guard]
#[no_mangle]
pub extern "C-unwind" fn pg_kafka_flusher_main(_argument: pg_sys::Datum) {
    flusher::run()
}

fn engine() -> PgEngine {
    PgEngine::new()
}
