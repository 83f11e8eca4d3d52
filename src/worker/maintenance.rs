//! The maintenance process: makes the next segment of a topic before it is needed, moves log starts by retention, drops segments below
//! every log start, and puts together what is left of others. It is a process of its own so that none of this delays the database thread.

use std::collections::BTreeSet;
use std::time::Duration;

use broker::clock::now_ms;
use broker::storage::engine::{Engine, EngineError, TopicNumber};
use broker::storage::upkeep::{Next, Surroundings, Upkeep};

use super::extension::{self, Presence};
use super::session;
use super::wakeup::POLL;
use crate::ffi::commit_hook::notify_catalog_changed;
use crate::ffi::error::catch;
use crate::ffi::process::{at_exit, exit_for_restart, reload_if_asked, report_idle, report_statistics};
use crate::ffi::shmem::{shared, Shared};
use crate::ffi::{guc, report};

/// After what time something that another session had locked is tried again.
const RETRY_BUSY: Duration = Duration::from_millis(500);

/// Runs the maintenance process; returns only to have it started again.
pub fn run<E: Engine>(new_engine: impl Fn() -> E) {
    let Some(shared) = shared() else {
        return;
    };
    let mut waiting = session::wait_set("maintenance");
    at_exit(|| {
        if let Some(shared) = crate::ffi::shmem::shared() {
            shared.maintenance.vacate();
        }
    });
    session::begin_maintenance(shared, &guc::snapshot().database, &mut waiting);
    report_idle();
    let mut engine = new_engine();
    let mut upkeep = Upkeep::new(now_ms());
    loop {
        session::stop_if_asked();
        let turn = || {
            reload_if_asked();
            round(&mut engine, &mut upkeep, shared)
        };
        match catch(turn) {
            Ok(timeout) => waiting.wait(Some(timeout)),
            Err(error) => {
                report::log(format_args!(
                    "pg_kafka maintenance starts anew after an internal error: {error}"
                ));
                exit_for_restart();
            }
        }
    }
}

/// Looks at all topics and does what is to be done; how long to sleep after it, unless woken.
fn round<E: Engine>(engine: &mut E, upkeep: &mut Upkeep, shared: &Shared) -> Duration {
    let settings = guc::snapshot();
    if !settings.enabled || !matches!(extension::look(&settings.database), Ok(Presence::Fits(_))) {
        return POLL;
    }
    let wanted: BTreeSet<_> = shared.wanted_segments.get().map(TopicNumber).collect();
    let interval_ms = i64::try_from(settings.broker.log_retention_check_interval.as_millis()).unwrap_or(i64::MAX);
    let defaults = &settings.broker.topic_defaults;
    let next = upkeep.round(engine, &mut Process, defaults, interval_ms, &wanted, now_ms());
    report_statistics();
    match next {
        Ok(Next::Again) => Duration::ZERO,
        Ok(Next::Busy) | Err(EngineError::Busy(_)) => RETRY_BUSY,
        Ok(Next::At(time_ms)) => Duration::from_millis(u64::try_from(time_ms.saturating_sub(now_ms())).unwrap_or(0)).min(POLL),
        Err(error) => {
            report::log(format_args!("pg_kafka maintenance cannot read the topics: {error}"));
            POLL
        }
    }
}

/// This process.
struct Process;

impl Surroundings for Process {
    /// A long round must not keep others from stopping this process.
    fn between(&mut self) {
        session::stop_if_asked();
    }

    fn changed(&mut self) {
        notify_catalog_changed();
    }

    fn failed(&mut self, what: &str, error: &EngineError) {
        report::log(format_args!(
            "pg_kafka maintenance failed to {what}, and tries again: {error}"
        ));
    }
}
