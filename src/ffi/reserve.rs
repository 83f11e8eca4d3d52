//! Room at the end of a relation's file, reserved at once. PostgreSQL 15 makes a relation longer page by page, each time writing a page of
//! zeros that is written again with its rows; from 16 on it reserves as this does (`ExtendBufferedRelBy`, `FileFallocate`).

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::ops::Range;
use std::os::fd::AsRawFd;

use pgrx::datum::IntoDatum;
use pgrx::fcinfo::direct_function_call;
use pgrx::pg_sys;

/// Pages for which it is worth it: one allocation instead of a write for each.
const FEWEST_PAGES: u32 = 2;

/// Reserves pages beyond the relation's end, and returns those that were: none if they are few, or the file system cannot.
///
/// They are read as zeros, which Postgres takes for new pages. A crash may leave them unused at the end, as it may with pages of an
/// extension that the heap makes by itself. What the disk has no room for is not reserved; the heap says so when it tries.
///
/// # Safety
/// In a transaction; the relation is open and locked against being dropped and truncated.
pub(super) unsafe fn reserve_pages(relation: pg_sys::Relation, pages: u32) -> Range<pg_sys::BlockNumber> {
    if pages < FEWEST_PAGES {
        return 0..0;
    }
    if extends_by_zeros() {
        return 0..0;
    }
    let lock = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: the caller has the relation open. Looking for its path may lock a catalog, which is not allowed under the lock below.
    let path = relation_path(unsafe { (*relation).rd_id });
    // SAFETY: the same. No other session makes the relation longer while the lock is held.
    let end = unsafe {
        pg_sys::LockRelationForExtension(relation, lock);
        pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM)
    };
    // A relation is cut into files, of which Postgres makes the next one.
    let (file, place) = (end / pg_sys::RELSEG_SIZE, end % pg_sys::RELSEG_SIZE);
    let pages = match place {
        0 => 0,
        _ => pages.min(pg_sys::RELSEG_SIZE - place),
    };
    let reserved = pages > 0 && allocate(&file_path(path, file), place, pages).is_ok();
    // SAFETY: the lock is held; an ERROR before this gives it back with the abort.
    unsafe { pg_sys::UnlockRelationForExtension(relation, lock) };
    if reserved {
        end..end + pages
    } else {
        0..0
    }
}

/// Whether the operator wants files to be made longer by writing zeros (`file_extend_method`, in newer releases).
fn extends_by_zeros() -> bool {
    // SAFETY: a setting by its name, or null where there is none; the text is read before anything could change it.
    unsafe {
        let method = pg_sys::GetConfigOption(c"file_extend_method".as_ptr(), true, false);
        !method.is_null() && CStr::from_ptr(method) == c"write_zeros"
    }
}

/// Path of a relation's first file, from the data directory.
fn relation_path(relation: pg_sys::Oid) -> String {
    // SAFETY: the SQL function pg_relation_filepath(regclass), in a transaction.
    let path: Option<String> = unsafe { direct_function_call(pg_sys::pg_relation_filepath, &[relation.into_datum()]) };
    path.unwrap_or_default()
}

/// Path of one of the files.
fn file_path(relation: String, file: u32) -> String {
    match file {
        0 => relation,
        _ => format!("{relation}.{file}"),
    }
}

fn allocate(path: &str, place: u32, pages: u32) -> std::io::Result<()> {
    let bytes = |pages: u32| libc::off_t::from(pages) * libc::off_t::from(pg_sys::BLCKSZ);
    let file = OpenOptions::new().write(true).open(path)?;
    // SAFETY: the descriptor is open. Allocating changes no byte that the file has.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, bytes(place), bytes(pages)) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
