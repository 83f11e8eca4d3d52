//! Appending pieces to a segment's heap with the multi-insert that COPY uses, and to its index.
//!
//! The rules (postgres-facts 8 to 14 of the sources): a segment is a heap table, so `heap_multi_insert` may be called directly; it does
//! no index work; a bulk-insert state is fresh for each call and goes before the relation is closed; a tuple goes to the last page if
//! it fits there, else to a new one. Many new pages at once are written without it (`new_pages`), where nobody has a use for the rows in
//! the WAL one by one.

use std::ops::Range;

use pgrx::itemptr::item_pointer_get_block_number;
use pgrx::pg_sys;

use super::lock::Oid;
use super::new_pages::NewPages;
use super::reserve::reserve_pages;
use super::ring;
use super::tuple::{write_tuple, Piece, ALIGNMENT, EMPTY_PAGE_BYTES};
use super::write_out;

/// Distance from a palloc'ed HeapTupleData to the tuple behind it (HEAPTUPLESIZE).
const TUPLE_DATA_OFFSET: usize = std::mem::size_of::<pg_sys::HeapTupleData>().next_multiple_of(ALIGNMENT);
/// Rows of one multi-insert, and bytes after which it is made.
const ROWS_PER_INSERT: usize = 256;
const BYTES_PER_INSERT: usize = 512 * 1024;

/// An open append to one segment, under a lock that the caller holds. Ends with [`Append::finish`]; after an ERROR, with the abort.
pub struct Append<'a> {
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    index_info: *mut pg_sys::IndexInfo,
    /// Which buffers the pages go through.
    ring: pg_sys::BufferAccessStrategy,
    bulk: pg_sys::BulkInsertState,
    /// The page that the heap would fill first.
    target: pg_sys::BlockNumber,
    /// Pages at the relation's end that were reserved for this append, and that nothing has touched yet.
    reserved: Range<pg_sys::BlockNumber>,
    /// While there are reserved pages: the page to be filled, and the pin on it if it is one of those.
    page: Option<pg_sys::BlockNumber>,
    pinned: pg_sys::Buffer,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    keys: Vec<[i32; 3]>,
    bytes: usize,
    options: u32,
    /// Whether reserved pages are written as whole images.
    whole: bool,
    new: NewPages<'a>,
}

impl<'a> Append<'a> {
    /// Opens both relations, which the caller has locked, for about so many bytes.
    pub fn open(heap: Oid, index: Oid, bytes: usize) -> Self {
        Self::with_options(heap, index, bytes, pg_sys::HEAP_INSERT_SKIP_FSM)
    }

    /// The same for a table that this transaction has made, outside of any subtransaction: its rows are frozen, so that every snapshot
    /// sees them once it is committed, older ones too (COPY's FREEZE).
    pub fn open_frozen(heap: Oid, index: Oid, bytes: usize) -> Self {
        Self::with_options(heap, index, bytes, pg_sys::HEAP_INSERT_SKIP_FSM | pg_sys::HEAP_INSERT_FROZEN)
    }

    fn with_options(heap: Oid, index: Oid, bytes: usize, options: u32) -> Self {
        let ring = ring::appends(bytes);
        // SAFETY: in a transaction that holds RowExclusiveLock on both, so NoLock is legal; the current memory context is the call's. No
        // buffer is locked between appends.
        unsafe {
            write_out::write_flushed();
            let heap = pg_sys::table_open(heap, pg_sys::NoLock as pg_sys::LOCKMODE);
            let index = pg_sys::index_open(index, pg_sys::NoLock as pg_sys::LOCKMODE);
            Append {
                heap,
                index,
                index_info: pg_sys::BuildIndexInfo(index),
                ring,
                bulk: begin_bulk_insert(ring),
                target: pg_sys::InvalidBlockNumber,
                reserved: 0..0,
                page: None,
                pinned: 0,
                slots: Vec::new(),
                keys: Vec::new(),
                bytes: 0,
                options,
                whole: options & pg_sys::HEAP_INSERT_FROZEN == 0 && may_write_images(heap),
                new: NewPages::default(),
            }
        }
    }

    /// Free bytes, less a line pointer, of the page that the next row goes to if it fits; 0 if there is none.
    pub fn page_free_bytes(&mut self) -> usize {
        // SAFETY: the relation is open; the page is looked at under its share lock and the pin is given back. The block is the one
        // that RelationGetBufferForTuple will try: the cached target block if there is one, else the last.
        unsafe {
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(self.heap, pg_sys::ForkNumber::MAIN_FORKNUM);
            if blocks == 0 {
                return 0;
            }
            let storage = (*self.heap).rd_smgr;
            let cached = if storage.is_null() {
                pg_sys::InvalidBlockNumber
            } else {
                (*storage).smgr_targblock
            };
            let target = if cached < blocks { cached } else { blocks - 1 };
            self.target = target;
            let buffer = pg_sys::ReadBufferExtended(
                self.heap,
                pg_sys::ForkNumber::MAIN_FORKNUM,
                target,
                pg_sys::ReadBufferMode::RBM_NORMAL,
                self.ring,
            );
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let page = pg_sys::BufferGetPage(buffer);
            // The first bytes of a page that was never written are zero (PageIsNew looks at pd_upper).
            let new = (*page.cast::<pg_sys::PageHeaderData>()).pd_upper == 0;
            let free = if new {
                EMPTY_PAGE_BYTES
            } else {
                pg_sys::PageGetHeapFreeSpace(page)
            };
            pg_sys::UnlockReleaseBuffer(buffer);
            free
        }
    }

    /// Makes room for rows that begin so many pages, after [`Append::page_free_bytes`] and before the first row. Without it the heap makes
    /// its file longer page by page, and writes each page twice.
    pub fn reserve(&mut self, pages: u32) {
        // SAFETY: the relation is open, under a lock that keeps it from being dropped or truncated.
        self.reserved = unsafe { reserve_pages(self.heap, pages) };
        if !self.reserved.is_empty() {
            self.page = Some(self.target);
        }
    }

    /// The next row begins a page.
    pub fn turn_page(&mut self) {
        if self.page.is_none() {
            return;
        }
        if !self.keys.is_empty() {
            self.insert();
        }
        self.unpin();
        if self.whole && self.new.is_full() {
            self.write_new();
        }
        // A row that went elsewhere has ended the use of reserved pages.
        self.page = self.page.and_then(|_| self.reserved.next());
        let Some(page) = self.page else {
            self.write_new();
            return;
        };
        if self.whole {
            self.new.begin(page);
            return;
        }
        // SAFETY: the page lies beyond the end that the relation had at `reserve`, and no row was put there: nothing is lost by not
        // reading it. The heap finds it in the buffer, sees that it is new, and initializes it.
        unsafe {
            self.pinned = pg_sys::ReadBufferExtended(
                self.heap,
                pg_sys::ForkNumber::MAIN_FORKNUM,
                page,
                pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK,
                self.ring,
            );
            pg_sys::LockBuffer(self.pinned, pg_sys::BUFFER_LOCK_UNLOCK as i32);
        }
    }

    fn unpin(&mut self) {
        if self.pinned != 0 {
            // SAFETY: the pin is this append's.
            unsafe { pg_sys::ReleaseBuffer(self.pinned) };
            self.pinned = 0;
        }
    }

    /// Adds a row; `ROW_OVERHEAD_BYTES` and its data fit a page.
    pub fn push(&mut self, piece: Piece<'a>) {
        if self.new.has_begun() {
            self.new.push(piece);
            return;
        }
        let tuple = form_tuple(&piece);
        let used = self.keys.len();
        // SAFETY: the slot is made for the relation's descriptor and takes over the palloc'ed tuple.
        unsafe {
            if used == self.slots.len() {
                self.slots.push(pg_sys::MakeSingleTupleTableSlot(
                    (*self.heap).rd_att,
                    &pg_sys::TTSOpsHeapTuple,
                ));
            }
            pg_sys::ExecStoreHeapTuple(tuple, self.slots[used], true);
        }
        self.keys.push([piece.partition, piece.base_offset, piece.piece]);
        self.bytes += piece.data[0].len() + piece.data[1].len();
        if self.keys.len() == ROWS_PER_INSERT || self.bytes >= BYTES_PER_INSERT {
            self.insert();
        }
    }

    /// Writes what was pushed, heap first, then the index, which refuses a key that is there.
    fn insert(&mut self) {
        // SAFETY: the slots hold tuples of this relation; heap_multi_insert sets their tts_tid. Keys are not null. The relation has no
        // TOAST table and no triggers; a bulk-insert state is used with one relation only, and where the page is chosen here, without the
        // page that it had, which it would choose. Frozen rows are legal where an abort takes the whole table away.
        unsafe {
            if let Some(page) = self.page {
                pg_sys::ReleaseBulkInsertStatePin(self.bulk);
                if (*self.heap).rd_smgr.is_null() {
                    // Opens the storage again that an invalidation has closed.
                    pg_sys::RelationGetNumberOfBlocksInFork(self.heap, pg_sys::ForkNumber::MAIN_FORKNUM);
                }
                (*(*self.heap).rd_smgr).smgr_targblock = page;
            }
            pg_sys::heap_multi_insert(
                self.heap,
                self.slots.as_mut_ptr(),
                self.keys.len() as i32,
                pg_sys::GetCurrentCommandId(true),
                self.options as i32,
                self.bulk,
            );
            let last = &(*self.slots[self.keys.len() - 1]).tts_tid;
            if self.page.is_some_and(|page| page != item_pointer_get_block_number(last)) {
                self.page = None;
            }
            for (key, slot) in self.keys.iter().zip(&self.slots) {
                insert_key((self.index, self.index_info), self.heap, *key, &mut (**slot).tts_tid);
            }
        }
        self.keys.clear();
        self.bytes = 0;
    }

    /// Writes the new pages that have begun, then their rows' keys.
    fn write_new(&mut self) {
        if !self.new.has_begun() {
            return;
        }
        let (heap, ring, index) = (self.heap, self.ring, (self.index, self.index_info));
        // SAFETY: as the type has it: the relation is open and locked, and `may_write_images`. The pages were reserved for this append.
        let last = unsafe {
            self.new.write((heap, ring), |row, place| {
                insert_key(index, heap, [row.partition, row.base_offset, row.piece], place);
            })
        };
        // SAFETY: the storage was opened by the writing; an invalidation on the way may have closed it, and then nothing is cached.
        unsafe {
            let storage = (*heap).rd_smgr;
            if let (Some(last), false) = (last, storage.is_null()) {
                (*storage).smgr_targblock = last;
            }
        }
    }

    /// Writes the rest, makes it visible to later reads of this transaction, closes, and returns the heap's size in bytes.
    pub fn finish(mut self) -> u64 {
        if !self.keys.is_empty() {
            self.insert();
        }
        self.write_new();
        self.unpin();
        // SAFETY: the bulk-insert state gives its pin back before the relation is closed; slots drop their pin on the descriptor; the
        // locks stay until the transaction's end.
        unsafe {
            end_bulk_insert(self.bulk);
            for slot in &self.slots {
                pg_sys::ExecDropSingleTupleTableSlot(*slot);
            }
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            pg_sys::index_insert_cleanup(self.index, self.index_info);
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(self.heap, pg_sys::ForkNumber::MAIN_FORKNUM);
            pg_sys::index_close(self.index, pg_sys::NoLock as pg_sys::LOCKMODE);
            pg_sys::table_close(self.heap, pg_sys::NoLock as pg_sys::LOCKMODE);
            pg_sys::CommandCounterIncrement();
            u64::from(blocks) * u64::from(pg_sys::BLCKSZ)
        }
    }
}

/// A bulk-insert state that goes through this ring instead of one of its own.
///
/// # Safety
/// In the memory context of the call; to be ended with [`end_bulk_insert`] or an abort.
unsafe fn begin_bulk_insert(ring: pg_sys::BufferAccessStrategy) -> pg_sys::BulkInsertState {
    // SAFETY: the state's first field is its ring (access/hio.h), which is its own until it is exchanged.
    unsafe {
        let bulk = pg_sys::GetBulkInsertState();
        let own = std::mem::replace(&mut *bulk.cast::<pg_sys::BufferAccessStrategy>(), ring);
        pg_sys::FreeAccessStrategy(own);
        bulk
    }
}

/// Gives the state's pin back and frees it without the ring.
///
/// # Safety
/// It comes from [`begin_bulk_insert`], and the relation is still open.
unsafe fn end_bulk_insert(bulk: pg_sys::BulkInsertState) {
    // SAFETY: as at the beginning; there may be no ring (FreeAccessStrategy).
    unsafe {
        bulk.cast::<pg_sys::BufferAccessStrategy>().write(std::ptr::null_mut());
        pg_sys::FreeBulkInsertState(bulk);
    }
}

/// Whether new pages of this relation may go to the WAL as images: it is in the WAL at all, is not decoded row by row, and images are not
/// compressed, which for compressed batches would be work for nothing.
///
/// # Safety
/// The relation is open.
unsafe fn may_write_images(heap: pg_sys::Relation) -> bool {
    // SAFETY: reads of the relation's cache entry and of a setting.
    unsafe {
        let permanent = (*(*heap).rd_rel).relpersistence as u8 == pg_sys::RELPERSISTENCE_PERMANENT;
        let made_here = (*heap).rd_createSubid != 0;
        let decoded = pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_LOGICAL as i32;
        permanent && !made_here && !decoded && pg_sys::wal_compression == 0
    }
}

/// Adds a row's key to the index, which refuses one that is there.
///
/// # Safety
/// Both relations are open and locked; the row is in the heap.
unsafe fn insert_key(
    (index, info): (pg_sys::Relation, *mut pg_sys::IndexInfo),
    heap: pg_sys::Relation,
    key: [i32; 3],
    place: &mut pg_sys::ItemPointerData,
) {
    let mut values = key.map(pg_sys::Datum::from);
    let mut nulls = [false; 3];
    // SAFETY: the values are the index's three columns.
    unsafe {
        pg_sys::index_insert(
            index,
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
            place,
            heap,
            pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES,
            false,
            info,
        );
    }
}

/// The tuple that heap_form_tuple would make, in memory of its own.
fn form_tuple(piece: &Piece<'_>) -> pg_sys::HeapTuple {
    let tuple_bytes = piece.tuple_bytes();
    // SAFETY: the allocation holds HeapTupleData, then `tuple_bytes` of tuple at the offset that heap_freetuple and heap_form_tuple
    // use. The header's transaction fields are set by heap_prepare_insert.
    unsafe {
        let allocation = pg_sys::palloc(TUPLE_DATA_OFFSET + tuple_bytes).cast::<u8>();
        let data = allocation.add(TUPLE_DATA_OFFSET);
        write_tuple(data, piece);
        let tuple = allocation.cast::<pg_sys::HeapTupleData>();
        tuple.write(pg_sys::HeapTupleData {
            t_len: tuple_bytes as u32,
            t_data: data.cast(),
            ..Default::default()
        });
        (*tuple).t_self = pg_sys::ItemPointerData::default();
        (*tuple).t_self.ip_blkid = pg_sys::BlockIdData {
            bi_hi: 0xffff,
            bi_lo: 0xffff,
        };
        tuple
    }
}
