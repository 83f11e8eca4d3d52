//! Telling the broker of what a session commits (chapter "Transaction callbacks" has no page; see xact.h and objectaccess.h).
//!
//! A hook on object access sees CREATE, ALTER and DROP of extensions and databases, SQL functions say that they changed topics; both
//! only set a flag.
//! At commit, when others can see it, the counter in shared memory goes up and the broker's latch is set.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering;
use std::sync::OnceLock;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::shmem::shared;

/// What the current transaction of this session changed.
#[derive(Clone, Copy, Default)]
struct Changed {
    extension: bool,
    catalog: bool,
    database: bool,
}

thread_local! {
    static CHANGED: Cell<Changed> = const { Cell::new(Changed { extension: false, catalog: false, database: false }) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// The broker is told at this transaction's commit that topics, configs or segments changed. Nothing happens if it rolls back.
pub fn notify_catalog_changed_at_commit() {
    note(|changed| changed.catalog = true);
}

/// Tells the broker at once: for what this process has committed already.
pub fn notify_catalog_changed() {
    if let Some(shared) = shared() {
        shared.catalog_changes.fetch_add(1, Ordering::AcqRel);
        shared.broker.wake();
    }
}

fn note(set: impl FnOnce(&mut Changed)) {
    if !REGISTERED.replace(true) {
        // SAFETY: a callback that stays registered for the life of the process and takes no argument.
        unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
    }
    let mut changed = CHANGED.get();
    set(&mut changed);
    CHANGED.set(changed);
}

#[pg_guard]
extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE => {}
        _ => return,
    }
    let changed = CHANGED.take();
    let (Some(shared), true) = (shared(), changed.extension || changed.catalog || changed.database) else {
        return;
    };
    match event {
        XACT_EVENT_COMMIT => {
            shared
                .extension_changes
                .fetch_add(u64::from(changed.extension), Ordering::AcqRel);
            shared
                .catalog_changes
                .fetch_add(u64::from(changed.extension || changed.catalog), Ordering::AcqRel);
            shared.broker.wake();
            shared.maintenance.wake();
        }
        XACT_EVENT_PREPARE => shared.changes_prepared.store(true, Ordering::Release),
        _ => {}
    }
}

static PREVIOUS: OnceLock<pg_sys::object_access_hook_type> = OnceLock::new();

/// Watches extensions and databases come and go, in `_PG_init` of the postmaster.
pub fn install() {
    // SAFETY: the postmaster runs _PG_init alone; an earlier hook is called by ours.
    unsafe {
        PREVIOUS.get_or_init(|| pg_sys::object_access_hook);
        pg_sys::object_access_hook = Some(on_object_access);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    part: c_int,
    arg: *mut c_void,
) {
    use pg_sys::ObjectAccessType::*;
    if let Some(Some(previous)) = PREVIOUS.get() {
        // SAFETY: called with what Postgres gave us, as it would call it itself.
        unsafe { previous(access, class, object, part, arg) };
    }
    // Which extension it is cannot be looked up yet when one is created; a look too many by the broker costs nothing.
    if matches!(access, OAT_POST_CREATE | OAT_POST_ALTER | OAT_DROP) {
        match class {
            pg_sys::ExtensionRelationId => note(|changed| changed.extension = true),
            // A broker without its database waits for it; to any other it is a wake-up for nothing.
            pg_sys::DatabaseRelationId => note(|changed| changed.database = true),
            _ => {}
        }
    }
}
