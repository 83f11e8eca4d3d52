//! Transactions and subtransactions of a background worker, and memory of a call.

use pgrx::pg_sys;

use super::error::{catch, PgError};

/// Whether commit returns before or after the flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// synchronous_commit=local: after the flush here; standbys are seen to elsewhere.
    Wait,
    /// synchronous_commit=off.
    Later,
}

/// Starts a transaction. The caller is in none.
pub fn begin() -> Result<(), PgError> {
    catch(|| {
        // SAFETY: legal outside a transaction on the main thread of a connected worker; it makes CurTransactionContext current.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
        }
    })
}

/// Commits; the position after the commit record, or 0 if the transaction had no id and so wrote nothing. After an error it is rolled
/// back: past the commit record an ERROR would be a PANIC (RecordTransactionCommit), so it surely did not commit.
pub fn commit(flush: Flush) -> Result<u64, PgError> {
    let level = match flush {
        Flush::Wait => pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_LOCAL_FLUSH,
        Flush::Later => pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF,
    };
    // SAFETY: plain access to a global of this thread. The setting is the operator's and is read by `durability`, so it is put back; the
    // commit in between takes it from this variable and never touches the GUC machinery's copy of it.
    let operators = unsafe {
        let operators = pg_sys::synchronous_commit;
        pg_sys::synchronous_commit = level as i32;
        operators
    };
    let result = catch(|| {
        // SAFETY: in a transaction that `begin` started. XactLastCommitEnd is set by a commit that wrote a commit record.
        unsafe {
            let wrote = pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId;
            pg_sys::CommitTransactionCommand();
            if wrote {
                pg_sys::XactLastCommitEnd
            } else {
                0
            }
        }
    });
    // SAFETY: as above.
    unsafe { pg_sys::synchronous_commit = operators };
    if result.is_err() {
        abort();
    }
    after_end();
    result
}

/// Rolls back whatever transaction there is, with its subtransactions; harmless in none.
pub fn abort() {
    // An ERROR inside an abort leaves a transaction that is aborted again: once more, as the main loop of a backend does.
    for _ in 0..2 {
        // SAFETY: legal in every state of a transaction, also after a caught ERROR, and without one. AbortCurrentTransaction would end
        // the innermost subtransaction only.
        if catch(|| unsafe { pg_sys::AbortOutOfAnyTransaction() }).is_ok() {
            break;
        }
    }
    after_end();
}

/// Puts memory back to where a worker outside transactions allocates.
fn after_end() {
    // SAFETY: TopMemoryContext lives as long as the process.
    unsafe { pg_sys::CurrentMemoryContext = pg_sys::TopMemoryContext };
}

/// What a subtransaction's end has to put back.
pub struct SubTransaction {
    context: pg_sys::MemoryContext,
    owner: pg_sys::ResourceOwner,
}

/// Begins a subtransaction.
pub fn begin_sub() -> Result<SubTransaction, PgError> {
    // SAFETY: plain reads of globals of this thread.
    let outer = unsafe {
        SubTransaction {
            context: pg_sys::CurrentMemoryContext,
            owner: pg_sys::CurrentResourceOwner,
        }
    };
    // SAFETY: in a transaction. The caller's memory context stays the current one, as PL/pgSQL does for its blocks.
    catch(|| unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = outer.context;
    })?;
    Ok(outer)
}

/// Merges the subtransaction into the transaction.
pub fn release_sub(outer: &SubTransaction) -> Result<(), PgError> {
    // SAFETY: in the subtransaction that `outer` was saved for; context and owner are those of the transaction around it.
    catch(|| unsafe {
        pg_sys::ReleaseCurrentSubTransaction();
        pg_sys::CurrentMemoryContext = outer.context;
        pg_sys::CurrentResourceOwner = outer.owner;
    })
}

/// Undoes the subtransaction.
pub fn rollback_sub(outer: &SubTransaction) -> Result<(), PgError> {
    // SAFETY: as for `release_sub`; legal after a caught ERROR.
    catch(|| unsafe {
        pg_sys::RollbackAndReleaseCurrentSubTransaction();
        pg_sys::CurrentMemoryContext = outer.context;
        pg_sys::CurrentResourceOwner = outer.owner;
    })
}

/// Runs `body` with Postgres errors caught, in a memory context of its own that is gone afterwards; after an ERROR it goes with the
/// transaction, of which only a rollback is legal then.
pub fn call<T>(body: impl FnOnce() -> T) -> Result<T, PgError> {
    // SAFETY: a plain read of a global of this thread.
    let outer = unsafe { pg_sys::CurrentMemoryContext };
    // SAFETY: the new context is below the current one, and is deleted only after the current one is current again. What the body
    // returns holds no pointers into it, as no type of `ffi` that leaves a call does.
    let result = catch(|| unsafe {
        let (min, init, max) = (
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        let inner = pg_sys::AllocSetContextCreateInternal(outer, c"pg_kafka call".as_ptr(), min, init, max);
        pg_sys::CurrentMemoryContext = inner;
        let result = body();
        pg_sys::CurrentMemoryContext = outer;
        pg_sys::MemoryContextDelete(inner);
        result
    });
    if result.is_err() {
        // SAFETY: the caller's context is alive: nothing in between ended the transaction.
        unsafe { pg_sys::CurrentMemoryContext = outer };
    }
    result
}
