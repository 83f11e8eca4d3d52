//! Memory of this library alone; Postgres keeps its own. What a network thread allocates, the database thread frees, which is what the C
//! library's allocator does worst.

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the crate does not name: milliseconds after which freed memory goes back to the system by itself.
const PURGE_DELAY: mi_option_t = 15;

/// Longer than anything here waits: what was used a moment ago is used again. Memory that goes back within a second or less comes back page
/// by page, each of which the system clears first: a tenth of the CPU of large batches, at no delay at all half of the speed of readers.
const PURGE_DELAY_MS: i64 = 60_000;

/// What the process may keep for its next requests, beside what it caches.
const KEPT_BYTES: u64 = 32 << 20;

/// Sets the allocator up. For the postmaster, whose children have it so too.
pub fn set_up() {
    // SAFETY: an option may be set at any time; there is one thread now.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
}

/// What is cached takes up to half as much again: batches of 17 kB have blocks of 20 kB, and those of a size are freed in between others.
/// If that were given back each second, the next second would ask for it again.
const CACHED_PER_OVERHEAD: u64 = 2;

/// Gives freed memory back to the system if the process has much more than it caches, or has cached of late: after requests that were
/// decompressed to hundreds of megabytes. To be called once a second or so.
pub fn give_back(cached_bytes: usize) {
    let cached_bytes = cached_bytes as u64;
    let needed = cached_bytes + cached_bytes / CACHED_PER_OVERHEAD;
    if private_bytes().is_none_or(|bytes| bytes > needed + KEPT_BYTES) {
        // SAFETY: may be called by any thread, at any time.
        unsafe { mi_collect(true) };
    }
}

/// Bytes in memory that no file and no other process stands behind (proc(5), statm).
fn private_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split(' ').skip(1).map_while(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}
