//! Relations by name, and their locks.

use std::ffi::CString;

use pgrx::pg_sys;

pub use pgrx::pg_sys::Oid;

/// Lock modes in use ("Table-Level Locks" in the manual).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// ACCESS SHARE: reading.
    AccessShare,
    /// ROW EXCLUSIVE: writing rows.
    RowExclusive,
    /// ACCESS EXCLUSIVE: dropping.
    AccessExclusive,
}

impl LockMode {
    fn number(self) -> pg_sys::LOCKMODE {
        (match self {
            LockMode::AccessShare => pg_sys::AccessShareLock,
            LockMode::RowExclusive => pg_sys::RowExclusiveLock,
            LockMode::AccessExclusive => pg_sys::AccessExclusiveLock,
        }) as pg_sys::LOCKMODE
    }
}

/// The relation of this name as the catalogs are now; `None` if there is none.
pub fn relation_oid(schema: &str, name: &str) -> Option<Oid> {
    let (schema, name) = (CString::new(schema).ok()?, CString::new(name).ok()?);
    // SAFETY: in a transaction; both are syscache look-ups of NUL-terminated names that do not outlive the call.
    let oid = unsafe {
        let namespace = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), namespace)
    };
    (oid != Oid::INVALID).then_some(oid)
}

/// Locks a relation until the transaction's end, if that needs no waiting. False: another session holds a lock against it. What the
/// oid named can be gone: see [`exists`].
pub fn try_lock(relation: Oid, mode: LockMode) -> bool {
    // SAFETY: in a transaction; any oid may be locked. It takes in invalidations when it gets the lock.
    unsafe { pg_sys::ConditionalLockRelationOid(relation, mode.number()) }
}

/// Locks a relation until the transaction's end, and waits for it. Only for sessions.
pub fn lock(relation: Oid, mode: LockMode) {
    // SAFETY: as for `try_lock`.
    unsafe { pg_sys::LockRelationOid(relation, mode.number()) }
}

/// Gives a lock back before the transaction's end.
pub fn unlock(relation: Oid, mode: LockMode) {
    // SAFETY: the caller took this lock in this transaction.
    unsafe { pg_sys::UnlockRelationOid(relation, mode.number()) }
}

/// Whether a relation that the caller has locked is there.
pub fn exists(relation: Oid) -> bool {
    // SAFETY: in a transaction that holds a lock on the oid, so the relation cannot go while it is open.
    unsafe {
        let open = pg_sys::try_relation_open(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        if open.is_null() {
            return false;
        }
        pg_sys::relation_close(open, pg_sys::NoLock as pg_sys::LOCKMODE);
        true
    }
}

/// Size of a relation's main fork in bytes; `None` if the relation is gone. Without a lock the relation may go meanwhile, which is
/// an ERROR.
pub fn relation_bytes(relation: Oid) -> Option<u64> {
    // SAFETY: in a transaction. RelationIdGetRelation takes no lock, and needs none to give a relcache entry that is pinned until it
    // is closed.
    unsafe {
        let open = pg_sys::RelationIdGetRelation(relation);
        if open.is_null() {
            return None;
        }
        let blocks = pg_sys::RelationGetNumberOfBlocksInFork(open, pg_sys::ForkNumber::MAIN_FORKNUM);
        pg_sys::RelationClose(open);
        Some(u64::from(blocks) * u64::from(pg_sys::BLCKSZ))
    }
}
