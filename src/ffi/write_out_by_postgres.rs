//! Pages that appends have filled are left to PostgreSQL to write: the rules of its buffers have changed since 15, for which they are written
//! many at a time.

use pgrx::pg_sys;

/// Notes nothing.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn note(
    _heap: pg_sys::Relation,
    _pages: impl Iterator<Item = (pg_sys::BlockNumber, pg_sys::Buffer)>,
    _end: pg_sys::XLogRecPtr,
) {
}

/// Writes nothing.
///
/// # Safety
/// None is needed.
pub(super) unsafe fn write_flushed() {}
