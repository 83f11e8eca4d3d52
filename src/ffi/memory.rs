//! Memory of this library alone; Postgres keeps its own. What a network thread allocates, the database thread frees, which is what the C
//! library's allocator does worst.

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the crate does not name: milliseconds after which freed memory may go back to the system.
const PURGE_DELAY: mi_option_t = 15;

/// Has freed memory go back to the system at once. By default it stays until something else is allocated a second later: requests that
/// decompress to hundreds of megabytes would add up, and an idle broker would keep the last of them. For the postmaster, whose children
/// have it so too.
pub fn set_up() {
    // SAFETY: an option may be set at any time; there is one thread now.
    unsafe { mi_option_set(PURGE_DELAY, 0) };
}
