//! The flusher's process: flushes the write-ahead log up to where the database thread wants it, while that one is at work on its next
//! transaction. Nothing depends on it: the database thread flushes itself what it finds unflushed when it needs it.

use std::sync::atomic::Ordering;

use super::session;
use crate::ffi::process::{at_exit, connect, exit_for_restart, reload_if_asked, report_idle, report_statistics};
use crate::ffi::shmem::shared;
use crate::ffi::{durability, report};

/// Runs the flusher's process; returns only to have it started again.
pub fn run() {
    let Some(shared) = shared() else {
        return;
    };
    let mut waiting = session::wait_set("flusher");
    at_exit(|| {
        if let Some(shared) = crate::ffi::shmem::shared() {
            shared.flusher.vacate();
        }
    });
    session::prepare();
    // To none, so that it holds no database, and is shown in pg_stat_activity.
    connect(None);
    report_idle();
    shared.flusher.occupy();
    let mut flushed = 0;
    loop {
        session::stop_if_asked();
        reload_if_asked();
        let target = shared.flush_target.load(Ordering::Acquire);
        if target <= flushed {
            report_statistics();
            waiting.wait(None);
            continue;
        }
        if let Err(error) = durability::flush(target) {
            report::log(format_args!("pg_kafka flusher starts anew after an error: {error}"));
            exit_for_restart();
        }
        flushed = target;
    }
}
