//! Rings of shared buffers that this process uses over and over for pages that it needs once (bufmgr README, "Buffer Ring Replacement
//! Strategy"): neither a consumer of old data nor a producer takes from others what they have cached.
//!
//! They are kept: a ring that begins anew with each scan or append takes buffers from others until it is full.

use std::cell::Cell;
use std::ops::RangeInclusive;

use pgrx::{pg_sys, PgMemoryContexts};

/// Rings for the rest of the process, made when first used.
struct Rings {
    reads: Cell<pg_sys::BufferAccessStrategy>,
    appends: Cell<pg_sys::BufferAccessStrategy>,
    small_appends: Cell<pg_sys::BufferAccessStrategy>,
}

/// Bytes of appends whose pages go through the small ring. Larger ones would come around in it: these take a quarter, so that a page of it
/// was used three groups ago. Smaller ones fill next to nothing: what counts is that the last pages of many topics stay in buffers.
const SMALL_APPENDS_BYTES: RangeInclusive<usize> = 16 * 1024..=64 * 1024;

thread_local! {
    static RINGS: Rings = const {
        Rings {
            reads: Cell::new(std::ptr::null_mut()),
            appends: Cell::new(std::ptr::null_mut()),
            small_appends: Cell::new(std::ptr::null_mut()),
        }
    };
}

/// The ring for pages that are read: 256 kB, Postgres 15's for a large sequential scan, which newer ones give more.
pub(super) fn reads() -> pg_sys::BufferAccessStrategy {
    RINGS.with(|rings| kept(&rings.reads, || small_ring(pg_sys::BufferAccessStrategyType::BAS_BULKREAD)))
}

/// The ring for pages that an append of so many bytes fills.
///
/// COPY's, of 16 MB, comes around after more than two of the largest groups of appends, so that a page is written when its WAL has long been
/// flushed, unless nobody waits for that (`acks1_async`): then it is flushed here. Small groups have one of 256 kB while all that this
/// process has written is flushed, other topics of the same group too: it stays in the CPU's cache, where filling a page is several times faster.
pub(super) fn appends(bytes: usize) -> pg_sys::BufferAccessStrategy {
    // SAFETY: reads of globals of this thread, and of how far the WAL is flushed. The first is 0 while the transaction has written nothing.
    let is_flushed = || unsafe { pg_sys::XactLastRecEnd == 0 && !pg_sys::XLogNeedsFlush(pg_sys::XactLastCommitEnd) };
    RINGS.with(|rings| {
        if SMALL_APPENDS_BYTES.contains(&bytes) && is_flushed() {
            kept(&rings.small_appends, || small_ring(SMALL_APPENDS))
        } else {
            let kind = pg_sys::BufferAccessStrategyType::BAS_BULKWRITE;
            // SAFETY: called by `kept`, in the memory context that the ring is to live in.
            kept(&rings.appends, || unsafe { pg_sys::GetAccessStrategy(kind) })
        }
    })
}

/// In Postgres 15 a kind has one size, and only this one is small and keeps its pages, as VACUUM changes them too.
#[cfg(feature = "pg15")]
const SMALL_APPENDS: pg_sys::BufferAccessStrategyType::Type = pg_sys::BufferAccessStrategyType::BAS_VACUUM;
#[cfg(not(feature = "pg15"))]
const SMALL_APPENDS: pg_sys::BufferAccessStrategyType::Type = pg_sys::BufferAccessStrategyType::BAS_BULKWRITE;

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

/// A ring of 256 kB.
fn small_ring(kind: pg_sys::BufferAccessStrategyType::Type) -> pg_sys::BufferAccessStrategy {
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
