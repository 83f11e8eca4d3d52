//! The start of a worker's session: the database, and options that nobody can change under it.

use std::time::{Duration, Instant};

use crate::ffi::error::catch;
use crate::ffi::look::{self, Database};
use crate::ffi::process::{at_exit, connect, exit_for_restart, option, pin_option, reload_if_asked, serve_interrupts};
use crate::ffi::shmem::{Shared, Stage};
use crate::ffi::wait::WaitSet;
use crate::ffi::{report, signals};

/// How often a worker that waits looks without being told.
const POLL: Duration = Duration::from_secs(5);

/// Options that ALTER ROLE, ALTER DATABASE or postgresql.conf may have changed for everybody and that this session relies on, as
/// autovacuum workers do. An option that this version of Postgres does not have is left out.
const PINNED: &[(&std::ffi::CStr, &std::ffi::CStr)] = &[
    (c"search_path", c""),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    (c"statement_timeout", c"0"),
    (c"transaction_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"idle_session_timeout", c"0"),
    // A backstop: every lock is asked for conditionally.
    (c"lock_timeout", c"1s"),
    (c"default_tablespace", c""),
    (c"temp_tablespaces", c""),
    (c"default_table_access_method", c"heap"),
    (c"row_security", c"off"),
    (c"session_replication_role", c"origin"),
    (c"zero_damaged_pages", c"off"),
    (c"event_triggers", c"off"),
    (c"max_parallel_workers_per_gather", c"0"),
    // Segments are frozen at the pace of autovacuum.
    (c"vacuum_cost_delay", c"2ms"),
    (c"jit", c"off"),
    // Every statement is a look-up by a key or reads a whole table. A plan that is kept was made when the tables were small.
    (c"plan_cache_mode", c"force_generic_plan"),
    (c"enable_seqscan", c"off"),
    (c"enable_hashjoin", c"off"),
    (c"enable_mergejoin", c"off"),
];

/// What this process waits with. Without one it ends, to be started again.
pub fn wait_set(process: &str) -> WaitSet {
    WaitSet::new().unwrap_or_else(|error| {
        report::log(format_args!("pg_kafka {process} cannot start: {error}"));
        exit_for_restart()
    })
}

/// Makes this process the broker with a session in `database`; returns when it has one.
///
/// A process can connect once only, and ends by that if there is no such database, to be started again each second. So the next one
/// looks first, connected to none, and waits.
pub fn begin_broker(shared: &Shared, database: &str, waiting: &mut WaitSet) {
    prepare();
    if shared.connection.begin() == Stage::Begun {
        wait_for_database(shared, database, waiting);
    }
    connect(Some(database));
    shared.connection.set(Stage::Connected);
    shared.maintenance.wake();
}

/// Makes this process the maintenance worker with a session in `database`; returns when it has one. It connects after the broker
/// did, so that what is wrong is found and said once.
pub fn begin_maintenance(shared: &Shared, database: &str, waiting: &mut WaitSet) {
    prepare();
    shared.maintenance.occupy();
    while shared.connection.get() != Stage::Connected {
        waiting.wait(Some(POLL));
        stop_if_asked();
    }
    connect(Some(database));
}

/// Installs signal handlers and pins options, before the connection.
pub fn prepare() {
    signals::install_handlers();
    for (name, value) in PINNED {
        if !option(name).is_empty() || value.is_empty() {
            pin_option(name, value);
        }
    }
}

/// `synchronous_commit` stays the operator's: the storage engine commits locally whatever it says, without waiting for standbys in
/// commit, and reads from it what of the standbys' confirmation a reply waits for.
pub fn report_commit() {
    if option(c"synchronous_commit") == "off" {
        report::log(format_args!(
            "pg_kafka reads synchronous_commit = off as on: what it acknowledges must be durable"
        ));
    }
}

fn wait_for_database(shared: &Shared, database: &str, waiting: &mut WaitSet) -> ! {
    connect(None);
    at_exit(|| {
        if let Some(shared) = crate::ffi::shmem::shared() {
            shared.broker.vacate();
        }
    });
    shared.broker.occupy();
    let began = Instant::now();
    let mut said = None;
    loop {
        let obstacle = match look::database(database) {
            Ok(Database::Open) => None,
            Ok(Database::Closed) => Some("which takes no connections".to_owned()),
            Ok(Database::Missing) => Some("and there is no such database".to_owned()),
            Err(error) => Some(format!("which cannot be looked for: {error}")),
        };
        match obstacle {
            // If it was not the database that the last process failed for, the next one may fail too, and not at once again.
            None if said.is_some() || began.elapsed() >= POLL => {
                shared.connection.set(Stage::Unknown);
                exit_for_restart();
            }
            None => {}
            Some(obstacle) => {
                if said.as_ref() != Some(&obstacle) {
                    report::log(format_args!(
                        "pg_kafka waits: pg_kafka.database is \"{database}\", {obstacle}"
                    ));
                }
                said = Some(obstacle);
            }
        }
        waiting.wait(Some(POLL));
        stop_if_asked();
        reload_if_asked();
    }
}

/// Lets others end this process; for loops, outside a transaction, where there is nothing to cancel.
pub fn stop_if_asked() {
    if let Err(error) = catch(serve_interrupts) {
        report::debug(format_args!("pg_kafka: {error}"));
    }
}
