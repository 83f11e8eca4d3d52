//! How far the write-ahead log is safe, and on which timeline it is written.

use std::sync::atomic::Ordering;

use pgrx::pg_sys;

use super::error::{catch, PgError};
use super::shmem::shared;

/// `SYNC_STANDBY_DEFINED` in walsender_private.h.
const SYNC_STANDBY_DEFINED: u8 = 1 << 1;

/// The number of SyncRepLock among the named locks (lwlocknames.h of 15 and 16, lwlocklist.h of 17 and 18).
const SYNC_REP_LOCK: usize = 32;

/// Up to where the log is flushed here and, where synchronous standbys are asked for, confirmed by them in the way that the
/// operator's `synchronous_commit` says. `local` waits for no standby; `off` is read as `on`. Not during recovery.
pub fn durable_position() -> u64 {
    // SAFETY: reads shared memory under its own spinlock; needs no transaction.
    let flushed = unsafe { pg_sys::GetFlushRecPtr(std::ptr::null_mut()) };
    match standbys_position() {
        None => flushed,
        Some(confirmed) => flushed.min(confirmed),
    }
}

/// Flushes the log up to a position that was written; returns at once where it is flushed already.
pub fn flush(position: u64) -> Result<(), PgError> {
    // SAFETY: needs no transaction; what it cannot write is a PANIC, as in a commit.
    catch(|| unsafe { pg_sys::XLogFlush(position) })
}

/// Has the flusher flush the log up to a position that was written. It may not run: see [`flush`].
pub fn begin_flush(position: u64) {
    if let Some(shared) = shared() {
        shared.flush_target.fetch_max(position, Ordering::AcqRel);
        shared.flusher.wake();
    }
}

/// The position that synchronous standbys confirmed; `None` if none are asked for.
fn standbys_position() -> Option<u64> {
    use pg_sys::SyncCommitLevel::{
        SYNCHRONOUS_COMMIT_LOCAL_FLUSH, SYNCHRONOUS_COMMIT_REMOTE_APPLY, SYNCHRONOUS_COMMIT_REMOTE_WRITE,
    };
    // SAFETY: plain reads of settings of this thread.
    let (level, senders, named) = unsafe {
        let names = pg_sys::SyncRepStandbyNames;
        (
            pg_sys::synchronous_commit as u32,
            pg_sys::max_wal_senders,
            !names.is_null() && *names != 0,
        )
    };
    let mode = match level {
        SYNCHRONOUS_COMMIT_LOCAL_FLUSH => return None,
        SYNCHRONOUS_COMMIT_REMOTE_WRITE => pg_sys::SYNC_REP_WAIT_WRITE,
        SYNCHRONOUS_COMMIT_REMOTE_APPLY => pg_sys::SYNC_REP_WAIT_APPLY,
        _ => pg_sys::SYNC_REP_WAIT_FLUSH,
    };
    if senders == 0 {
        return None;
    }
    // SAFETY: WalSndCtl points into shared memory from the start of every process if max_wal_senders is not 0; lsn and the status are
    // read under SyncRepLock, which walsenders and the checkpointer write them under. Nothing in between can raise an ERROR.
    unsafe {
        let lock = &raw mut (*pg_sys::MainLWLockArray.add(SYNC_REP_LOCK)).lock;
        pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_SHARED);
        let control = pg_sys::WalSndCtl;
        let confirmed = (*control).lsn[mode as usize];
        let defined = named || (*control).sync_standbys_status & SYNC_STANDBY_DEFINED != 0;
        pg_sys::LWLockRelease(lock);
        defined.then_some(confirmed)
    }
}

/// The timeline that this server writes.
pub fn timeline() -> u32 {
    // SAFETY: reads shared memory; legal once recovery is over, and the caller writes.
    unsafe { pg_sys::GetWALInsertionTimeLine() }
}
