//! The maintenance process: makes the next segment of a topic before it is needed, and drops segments below every log start. It is
//! a process of its own so that DDL never delays the database thread.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use broker::storage::engine::{CommitMode, Engine, EngineError, EngineResult};
use broker::storage::upkeep::{self, Chore};

use super::extension::{self, Presence};
use super::session;
use super::wakeup::POLL;
use crate::ffi::commit_hook::notify_catalog_changed;
use crate::ffi::error::catch;
use crate::ffi::process::{at_exit, exit_for_restart, reload_if_asked, report_idle, report_statistics};
use crate::ffi::shmem::shared;
use crate::ffi::wait::WaitSet;
use crate::ffi::{guc, report};

/// After what time something that another session had locked is tried again.
const RETRY_BUSY: Duration = Duration::from_millis(500);

/// Runs the maintenance process; returns only to have it started again.
pub fn run<E: Engine>(new_engine: impl Fn() -> E) {
    let Some(shared) = shared() else {
        return;
    };
    let mut waiting = match WaitSet::new() {
        Ok(waiting) => waiting,
        Err(error) => {
            report::log(format_args!("pg_kafka maintenance cannot start: {error}"));
            exit_for_restart()
        }
    };
    at_exit(|| {
        if let Some(shared) = crate::ffi::shmem::shared() {
            shared.maintenance.vacate();
        }
    });
    session::begin_maintenance(shared, &guc::snapshot().database, &mut waiting);
    report_idle();
    let mut engine = new_engine();
    loop {
        session::stop_if_asked();
        let turn = || {
            reload_if_asked();
            round(&mut engine)
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
fn round<E: Engine>(engine: &mut E) -> Duration {
    let settings = guc::snapshot();
    if !settings.enabled || !matches!(extension::look(&settings.database), Ok(Presence::Fits(_))) {
        return POLL;
    }
    let began = Instant::now();
    let mut timeout = POLL;
    match in_transaction(engine, |engine| engine.load_topics()) {
        Ok(topics) => {
            let mut chores = VecDeque::from(upkeep::chores(&topics));
            while let Some(chore) = chores.pop_front() {
                timeout = timeout.min(do_one(engine, chore));
            }
        }
        Err(EngineError::Busy(_)) => timeout = RETRY_BUSY,
        Err(error) => report::log(format_args!("pg_kafka maintenance cannot read the topics: {error}")),
    }
    report_statistics();
    timeout.max(began.elapsed().min(RETRY_BUSY))
}

/// Does one chore in a transaction of its own; when to look again.
fn do_one<E: Engine>(engine: &mut E, chore: Chore) -> Duration {
    // A long round must not keep others from stopping this process.
    session::stop_if_asked();
    let done = in_transaction(engine, |engine| match chore {
        Chore::Create(segment) => engine.create_segment(segment),
        Chore::Drop(segment) => engine.drop_segment(segment),
    });
    match done {
        Ok(()) => {
            notify_catalog_changed();
            POLL
        }
        Err(EngineError::Busy(_)) => RETRY_BUSY,
        Err(error) => {
            report::log(format_args!("pg_kafka maintenance failed at {chore:?}: {error}"));
            POLL
        }
    }
}

fn in_transaction<E: Engine, T>(engine: &mut E, work: impl FnOnce(&mut E) -> EngineResult<T>) -> EngineResult<T> {
    let result = engine.begin().and_then(|()| work(engine));
    match result {
        Ok(value) => engine.commit(CommitMode::Flush).map(|_| value),
        Err(error) => {
            engine.rollback();
            Err(error)
        }
    }
}
