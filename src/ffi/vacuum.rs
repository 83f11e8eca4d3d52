//! VACUUM FREEZE of one table, through the entry that autovacuum uses: SPI cannot do it (PreventInTransactionBlock).

use pgrx::pg_sys;

use super::error::{catch, PgError};
use super::lock::Oid;
use super::transaction;

/// Freezes a table, with transactions of its own: the caller is in none. Does nothing if another session has locked the table. What an
/// older snapshot still tells apart stays as it is.
pub fn freeze(heap: Oid) -> Result<(), PgError> {
    transaction::begin()?;
    // SAFETY: plain access to a global of this thread, which is put back below: the commits inside vacuum() must not wait for standbys.
    let operators = unsafe {
        let operators = pg_sys::synchronous_commit;
        pg_sys::synchronous_commit = pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF as i32;
        operators
    };
    // SAFETY: on the main thread. The context is below TopMemoryContext, so that it outlives the transactions that vacuum() ends and
    // starts, and is deleted after them.
    let context = unsafe {
        let (min, init, max) = (
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        pg_sys::AllocSetContextCreateInternal(pg_sys::TopMemoryContext, c"pg_kafka freeze".as_ptr(), min, init, max)
    };
    // SAFETY: in a transaction outside a transaction block, as vacuum() wants it; what it is given lives in `context`. PostgreSQL 15 keeps
    // its own memory below PortalContext, which a background worker does not have.
    let result = catch(|| unsafe {
        pg_sys::CurrentMemoryContext = context;
        pg_sys::PortalContext = context;
        let relation = pg_sys::makeVacuumRelation(std::ptr::null_mut(), heap, std::ptr::null_mut());
        let relations = pg_sys::lappend(std::ptr::null_mut(), relation.cast());
        let strategy = pg_sys::GetAccessStrategy(pg_sys::BufferAccessStrategyType::BAS_VACUUM);
        let mut parameters = parameters();
        #[cfg(feature = "pg15")]
        pg_sys::vacuum(relations, &raw mut parameters, strategy, true);
        #[cfg(not(feature = "pg15"))]
        pg_sys::vacuum(relations, &raw mut parameters, strategy, context, true);
    });
    // SAFETY: nothing points into the context any more, as the abort or the commit below need none of it.
    let clean = || unsafe {
        pg_sys::synchronous_commit = operators;
        pg_sys::PortalContext = std::ptr::null_mut();
        pg_sys::CurrentMemoryContext = pg_sys::TopMemoryContext;
        pg_sys::MemoryContextDelete(context);
    };
    match result {
        Ok(()) => {
            let committed = transaction::commit(transaction::Flush::Later).map(|_| ());
            clean();
            committed
        }
        Err(error) => {
            transaction::abort();
            clean();
            Err(error)
        }
    }
}

/// Those of VACUUM (FREEZE, SKIP_LOCKED, INDEX_CLEANUP on, TRUNCATE off, PARALLEL 0): with its indexes, because what a failed append has
/// left behind would keep its page from being all visible.
fn parameters() -> pg_sys::VacuumParams {
    let options = pg_sys::VACOPT_VACUUM | pg_sys::VACOPT_FREEZE | pg_sys::VACOPT_SKIP_LOCKED;
    #[cfg(not(feature = "pg15"))]
    let options = options | pg_sys::VACOPT_PROCESS_MAIN | pg_sys::VACOPT_SKIP_DATABASE_STATS;
    pg_sys::VacuumParams {
        options,
        index_cleanup: pg_sys::VacOptValue::VACOPTVALUE_ENABLED,
        truncate: pg_sys::VacOptValue::VACOPTVALUE_DISABLED,
        log_min_duration: -1,
        nworkers: -1,
        // Everything that can be frozen is; of 18 also the rate of failures at which it would give up.
        ..pg_sys::VacuumParams::default()
    }
}
