//! Rings of shared buffers that this process uses over and over for pages that it needs once (bufmgr README, "Buffer Ring Replacement
//! Strategy"): neither a consumer of old data nor a producer takes from others what they have cached.
//!
//! They are kept: a ring that begins anew with each scan or append takes buffers from others until it is full.

use std::cell::Cell;

use pgrx::{pg_sys, PgMemoryContexts};

/// Rings for the rest of the process, made when first used.
struct Rings {
    reads: Cell<pg_sys::BufferAccessStrategy>,
    appends: Cell<pg_sys::BufferAccessStrategy>,
}

thread_local! {
    static RINGS: Rings = const {
        Rings {
            reads: Cell::new(std::ptr::null_mut()),
            appends: Cell::new(std::ptr::null_mut()),
        }
    };
}

/// The ring for pages that are read: 256 kB, Postgres 15's for a large sequential scan, which newer ones give more.
pub(super) fn reads() -> pg_sys::BufferAccessStrategy {
    RINGS.with(|rings| kept(&rings.reads, new_ring_for_reads))
}

/// The ring for pages that are filled: COPY's, of 16 MB. It comes around after more than two of the largest groups of appends, so that a
/// page is written when its WAL has long been flushed, unless nobody waits for that (`acks1_async`): then it is flushed here.
pub(super) fn appends() -> pg_sys::BufferAccessStrategy {
    let kind = pg_sys::BufferAccessStrategyType::BAS_BULKWRITE;
    // SAFETY: called by `kept`, in the memory context that the ring is to live in.
    RINGS.with(|rings| kept(&rings.appends, || unsafe { pg_sys::GetAccessStrategy(kind) }))
}

fn kept(
    ring: &Cell<pg_sys::BufferAccessStrategy>,
    make: impl FnOnce() -> pg_sys::BufferAccessStrategy,
) -> pg_sys::BufferAccessStrategy {
    if ring.get().is_null() {
        // SAFETY: called by the process's only thread that may call Postgres; the ring lives as long as the process.
        ring.set(unsafe { PgMemoryContexts::TopMemoryContext.switch_to(|_| make()) });
    }
    ring.get()
}

fn new_ring_for_reads() -> pg_sys::BufferAccessStrategy {
    let kind = pg_sys::BufferAccessStrategyType::BAS_BULKREAD;
    #[cfg(feature = "pg15")]
    // SAFETY: called by `kept`, in the memory context that the ring is to live in.
    unsafe {
        pg_sys::GetAccessStrategy(kind)
    }
    #[cfg(not(feature = "pg15"))]
    // SAFETY: the same.
    unsafe {
        pg_sys::GetAccessStrategyWithSize(kind, 256)
    }
}
