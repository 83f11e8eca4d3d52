//! The two background workers: the broker with its database thread, and maintenance.

#[cfg(feature = "contract")]
mod contract;
mod disk;
mod exit;
mod extension;
mod life;
mod logging;
mod maintenance;
mod session;
mod wakeup;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::ffi::process::register_worker;
use crate::store::engine::PgEngine;

/// Registers both workers; from `_PG_init` of the postmaster.
pub fn register() {
    register_worker("pg_kafka broker", "pg_kafka_broker_main");
    register_worker("pg_kafka maintenance", "pg_kafka_maintenance_main");
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

fn engine() -> PgEngine {
    PgEngine::new()
}
