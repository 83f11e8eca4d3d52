//! Pages that appends have filled, written to their file many at a time. PostgreSQL writes each page by itself, when its buffer is used for
//! another: half of that is the file system's work around 8 kB, which it does for 256 kB as well.
//!
//! What is written has been flushed in the WAL, and is written by the rules of `FlushBuffer` (bufmgr.c), of which only the number of pages
//! differs: pinned, share lock, BM_IO_IN_PROGRESS, write, a request to sync the file at the next checkpoint, clean unless it was changed
//! meanwhile. Whatever stands in the way, a lock, a change that is not flushed, an error of the file, leaves pages as they are: dirty in
//! their buffers, for PostgreSQL to write.

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};

use broker::storage::filled_pages::{Bounds, FilledPages, Page};
use pgrx::pg_sys;

use super::report;

/// PostgreSQL lets a process hold up to 200 of the locks of which each page needs one. The smallest ring of buffers holds 32 pages, the
/// largest as many as may wait: if nobody waits for flushes, they come when a buffer is needed again, for all pages at once.
const BOUNDS: Bounds = Bounds {
    most: MOST_PAGES,
    fewest: 16,
    waiting: 2048,
    file: pg_sys::RELSEG_SIZE,
};

/// Pages of one write.
const MOST_PAGES: usize = 32;

const PAGE_BYTES: usize = pg_sys::BLCKSZ as usize;

/// Names a relation's files.
#[derive(Debug, Clone, Copy)]
struct Relation(pg_sys::RelFileNode);

impl PartialEq for Relation {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.0, &other.0);
        (a.spcNode, a.dbNode, a.relNode) == (b.spcNode, b.dbNode, b.relNode)
    }
}

/// A page that was filled, with the buffer that then held it.
type Filled = Page<Relation, pg_sys::Buffer>;

thread_local! {
    static WAITING: RefCell<FilledPages<Relation, pg_sys::Buffer>> = const { RefCell::new(FilledPages::new(BOUNDS)) };
}

/// Notes that pages of a heap were filled, which are in these buffers, by a record of the WAL that ends there.
///
/// # Safety
/// The relation is open.
pub(super) unsafe fn note(
    heap: pg_sys::Relation,
    pages: impl Iterator<Item = (pg_sys::BlockNumber, pg_sys::Buffer)>,
    end: pg_sys::XLogRecPtr,
) {
    // SAFETY: a read of the relation's cache entry.
    let relation = Relation(unsafe { (*heap).rd_node });
    WAITING.with_borrow_mut(|waiting| {
        for (block, buffer) in pages {
            waiting.push(Filled { relation, block, buffer }, end);
        }
    });
}

/// Writes what was filled and is flushed in the WAL, where enough pages follow each other.
///
/// # Safety
/// In a transaction, with no buffer locked.
pub(super) unsafe fn write_flushed() {
    if WAITING.with_borrow(FilledPages::is_empty) {
        return;
    }
    // SAFETY: reads of shared memory and of a setting. Who wants each write to be followed by one to the disk has PostgreSQL do both.
    let flushed = unsafe {
        if pg_sys::backend_flush_after > 0 {
            return;
        }
        pg_sys::GetFlushRecPtr(std::ptr::null_mut())
    };
    loop {
        let run = WAITING.with_borrow_mut(|waiting| waiting.take(flushed));
        if run.is_empty() {
            return;
        }
        // SAFETY: by the caller's word.
        unsafe { write_run(&run, flushed) };
    }
}

/// Writes as many of the pages as can be: from the first one that can up to the next that cannot.
///
/// # Safety
/// As [`write_flushed`]; the pages follow each other within a file, and are at most [`MOST_PAGES`].
unsafe fn write_run(run: &[Filled], flushed: pg_sys::XLogRecPtr) {
    // SAFETY: an ERROR of pinning gives the pins back with the abort, and nothing else was done. From the first page on whose write has begun
    // to the last whose write has ended, an error could leave others waiting for it for ever, and so would be a PANIC; there is none in what is
    // called. No lock is waited for.
    unsafe {
        let (main, relation) = (pg_sys::ForkNumber::MAIN_FORKNUM, run[0].relation.0);
        let path = path(relation, run[0].block / pg_sys::RELSEG_SIZE);
        let pinned = held(run, |page| pg_sys::ReadRecentBuffer(relation, main, page.block, page.buffer));
        pg_sys::CritSectionCount += 1;
        let begun = held(pinned, |page| begin(page.buffer, flushed));
        let written = !begun.is_empty() && write(begun, &path).is_ok();
        for page in begun {
            end(page.buffer, written);
        }
        pg_sys::CritSectionCount -= 1;
        for page in pinned {
            pg_sys::ReleaseBuffer(page.buffer);
        }
        if written {
            pg_sys::pgBufferUsage.shared_blks_written += begun.len() as i64;
        }
    }
}

/// The pages from the first that `hold` takes up to the next that it does not.
fn held(run: &[Filled], mut hold: impl FnMut(&Filled) -> bool) -> &[Filled] {
    let Some(first) = run.iter().position(&mut hold) else {
        return &[];
    };
    let others = run[first + 1..].iter().take_while(|page| hold(page)).count();
    &run[first..=first + others]
}

/// What PostgreSQL knows of a buffer.
///
/// # Safety
/// The buffer is one of the shared ones.
unsafe fn descriptor(buffer: pg_sys::Buffer) -> *mut pg_sys::BufferDesc {
    // SAFETY: buffers are numbered from 1.
    unsafe { &raw mut (*pg_sys::BufferDescriptors.add(buffer as usize - 1)).bufferdesc }
}

/// Stores a buffer's state and gives its header's lock back (UnlockBufHdr).
///
/// # Safety
/// The caller has called LockBufHdr.
unsafe fn unlock_header(desc: *mut pg_sys::BufferDesc, state: u32) {
    // SAFETY: the field is only used as an atomic one, here and in PostgreSQL.
    let atomic = unsafe { AtomicU32::from_ptr(&raw mut (*desc).state.value) };
    atomic.store(state & !pg_sys::BM_LOCKED, Ordering::Release);
}

/// Begins the write of a page, with a share lock on it (StartBufferIO). `false`: somebody else has it locked or writes it, it is clean, or it
/// was changed by what is not flushed.
///
/// # Safety
/// The buffer is pinned; to be ended by [`end`] if true.
unsafe fn begin(buffer: pg_sys::Buffer, flushed: pg_sys::XLogRecPtr) -> bool {
    // SAFETY: a pinned buffer keeps its page. The LSN is read under the header's lock, as who sets hint bits may change it under a share lock.
    unsafe {
        let desc = descriptor(buffer);
        if !pg_sys::LWLockConditionalAcquire(&raw mut (*desc).content_lock, pg_sys::LWLockMode::LW_SHARED) {
            return false;
        }
        let state = pg_sys::LockBufHdr(desc);
        let page = pg_sys::BufferGetPage(buffer).cast::<pg_sys::PageHeaderData>();
        let lsn = (u64::from((*page).pd_lsn.xlogid) << 32) | u64::from((*page).pd_lsn.xrecoff);
        let needed = pg_sys::BM_VALID | pg_sys::BM_DIRTY | pg_sys::BM_PERMANENT;
        let may = state & (needed | pg_sys::BM_IO_IN_PROGRESS) == needed && lsn <= flushed;
        if may {
            unlock_header(desc, (state | pg_sys::BM_IO_IN_PROGRESS) & !pg_sys::BM_JUST_DIRTIED);
        } else {
            unlock_header(desc, state);
            pg_sys::LWLockRelease(&raw mut (*desc).content_lock);
        }
        may
    }
}

/// Ends what [`begin`] has begun (TerminateBufferIO).
///
/// # Safety
/// The caller has begun it.
unsafe fn end(buffer: pg_sys::Buffer, written: bool) {
    // SAFETY: by the caller's word.
    unsafe {
        let desc = descriptor(buffer);
        let mut state = pg_sys::LockBufHdr(desc);
        state &= !(pg_sys::BM_IO_IN_PROGRESS | pg_sys::BM_IO_ERROR);
        if written && state & pg_sys::BM_JUST_DIRTIED == 0 {
            state &= !(pg_sys::BM_DIRTY | pg_sys::BM_CHECKPOINT_NEEDED);
        }
        unlock_header(desc, state);
        let waiting = pg_sys::BufferIOCVArray.add(buffer as usize - 1);
        pg_sys::ConditionVariableBroadcast(&raw mut (*waiting).cv);
        pg_sys::LWLockRelease(&raw mut (*desc).content_lock);
    }
}

/// Writes pages to their file, and has it synced by the next checkpoint (mdwrite).
///
/// # Safety
/// Their writes have begun.
unsafe fn write(run: &[Filled], path: &str) -> std::io::Result<()> {
    let Filled { relation, block, .. } = run[0];
    // Opened now and not before: who drops the table waits for writes that have begun, and only then takes the file away.
    let file = OpenOptions::new().write(true).open(path)?;
    let request = pg_sys::FileTag {
        handler: pg_sys::SyncRequestHandler::SYNC_HANDLER_MD as i16,
        forknum: pg_sys::ForkNumber::MAIN_FORKNUM as i16,
        rnode: relation.0,
        segno: block / pg_sys::RELSEG_SIZE,
    };
    // SAFETY: a pinned and locked page may be read; hint bits may change meanwhile, in a page that has no checksum. The wait event is this
    // process's own.
    unsafe {
        let mut copies = Vec::new();
        let parts = if pg_sys::DataChecksumsEnabled() {
            copies = vec![0u64; run.len() * PAGE_BYTES / size_of::<u64>()];
            with_checksums(run, &mut copies)
        } else {
            parts(run.iter().map(|page| pg_sys::BufferGetPage(page.buffer).cast_const().cast()))
        };
        let at = libc::off_t::from(block % pg_sys::RELSEG_SIZE) * libc::off_t::from(pg_sys::BLCKSZ);
        *pg_sys::my_wait_event_info = pg_sys::WaitEventIO::WAIT_EVENT_DATA_FILE_WRITE;
        let bytes = libc::pwritev(file.as_raw_fd(), parts.as_ptr(), run.len() as libc::c_int, at);
        *pg_sys::my_wait_event_info = 0;
        drop(copies);
        if bytes != (run.len() * PAGE_BYTES) as isize {
            return Err(std::io::Error::last_os_error());
        }
        // Without room for the request the file is synced here: to wait for room may be to wait for a checkpoint that waits for this write.
        if !pg_sys::RegisterSyncRequest(&request, pg_sys::SyncRequestType::SYNC_REQUEST, false) {
            sync(&file, path);
        }
    }
    Ok(())
}

/// Syncs a file. After a failure nothing is known of its pages: the server recovers from its WAL, as PostgreSQL would have it by default
/// (`data_sync_retry`).
fn sync(file: &File, path: &str) {
    if let Err(error) = file.sync_data() {
        report::log(format_args!(
            "pg_kafka ends all of Postgres, which will recover: could not sync {path}: {error}"
        ));
        std::process::abort();
    }
}

/// Path of one of a relation's files, from the data directory.
fn path(relation: pg_sys::RelFileNode, file: u32) -> String {
    // SAFETY: makes a text of the numbers, which is copied and freed.
    let path = unsafe {
        let text = pg_sys::GetRelationPath(
            relation.dbNode,
            relation.spcNode,
            relation.relNode,
            pg_sys::InvalidBackendId,
            pg_sys::ForkNumber::MAIN_FORKNUM,
        );
        let path = CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        path
    };
    match file {
        0 => path,
        _ => format!("{path}.{file}"),
    }
}

fn parts(pages: impl Iterator<Item = *const u8>) -> [libc::iovec; MOST_PAGES] {
    let mut parts = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: PAGE_BYTES,
    }; MOST_PAGES];
    for (part, page) in parts.iter_mut().zip(pages) {
        part.iov_base = page.cast_mut().cast();
    }
    parts
}

/// Copies of pages with their checksums: the pages themselves may be changed by who sets hint bits.
///
/// # Safety
/// Pages are pinned and locked; there is room for all.
unsafe fn with_checksums(run: &[Filled], copies: &mut [u64]) -> [libc::iovec; MOST_PAGES] {
    let copies: Vec<*mut u8> = copies
        .chunks_exact_mut(PAGE_BYTES / size_of::<u64>())
        .map(|copy| copy.as_mut_ptr().cast())
        .collect();
    for (page, copy) in run.iter().zip(&copies) {
        // SAFETY: both are pages, and do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(pg_sys::BufferGetPage(page.buffer).cast(), *copy, PAGE_BYTES);
            pg_sys::PageSetChecksumInplace((*copy).cast(), page.block);
        }
    }
    parts(copies.into_iter().map(|copy| copy.cast_const()))
}
