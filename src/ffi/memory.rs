//! Memory of this library alone; Postgres keeps its own. What a network thread allocates, the database thread frees, which is what the C
//! library's allocator does worst.

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the crate does not name: milliseconds after which freed memory may go back to the system, when something
/// is allocated.
const PURGE_DELAY: mi_option_t = 15;

/// The allocator's own second lets requests that decompress to hundreds of megabytes add up. At once (0) costs readers of the tail half of
/// their speed, because each answer's memory goes and comes back; 10 a quarter.
const PURGE_DELAY_MS: i64 = 100;

/// Sets the allocator up. For the postmaster, whose children have it so too.
pub fn set_up() {
    // SAFETY: an option may be set at any time; there is one thread now.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
}

/// Gives all freed memory back to the system, also where nothing is allocated any more. To be called now and then.
pub fn give_back() {
    // SAFETY: may be called by any thread, at any time.
    unsafe { mi_collect(true) };
}
