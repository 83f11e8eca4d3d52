//! The pg_kafka extension: a Kafka broker inside PostgreSQL. See docs/architecture.md.

mod ffi;
mod sql;
mod store;
mod worker;

use pgrx::prelude::*;

pgrx::pg_module_magic!();

/// Called by Postgres when it loads the library: in the postmaster, for `shared_preload_libraries`, and nowhere else.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    if !ffi::process::preloading() {
        if !ffi::process::is_binary_upgrade() {
            let message = "pg_kafka must be loaded when Postgres starts";
            let report = pgrx::pg_sys::panic::ErrorReport::new(
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                message,
                "_PG_init",
            );
            report
                .set_hint("Add pg_kafka to shared_preload_libraries and restart Postgres.")
                .report(PgLogLevel::ERROR);
        }
        return;
    }
    ffi::memory::set_up();
    ffi::guc::define();
    if ffi::process::is_binary_upgrade() {
        return;
    }
    ffi::shmem::install();
    ffi::commit_hook::install();
    worker::register();
}

/// Version of the loaded library.
#[pg_extern]
fn library_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
