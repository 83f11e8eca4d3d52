//! Ordered scans of a segment through its index, forward and backward.
//!
//! The first reader of a row usually notes in it whether its transaction has committed (hint bits). For a log that is read once that is a
//! second write of every page, and with checksums or `wal_log_hints` a second copy of it in the WAL. So the broker's own reads look at
//! rows without noting anything.
//!
//! Pages that no shared buffer holds are read through a small ring of buffers ([`ring`]), as those of a large sequential scan are: a
//! consumer of old data evicts nothing that others use, and finds buffers that need no writing. The index scan of Postgres has no such
//! ring, so only the rows' places come from it.

use std::ops::ControlFlow;

use pgrx::itemptr::item_pointer_get_block_number;
use pgrx::pg_sys;

use super::lock::Oid;
use super::ring;

/// What a scan sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What is committed now, and what this transaction did.
    Latest,
    /// What the running SQL statement sees.
    Statement,
}

/// Which way a scan goes through (base_offset, piece).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending.
    Forward,
    /// Descending.
    Backward,
}

/// Which rows of a partition a scan visits.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// Column `partition`.
    pub partition: i32,
    /// Smallest `base_offset`.
    pub at_least: Option<i32>,
    /// Largest `base_offset`.
    pub at_most: Option<i32>,
    /// Only rows with `piece` 0, the ones that begin with a batch's header.
    pub first_pieces: bool,
}

/// A visited row.
#[derive(Debug)]
pub struct Row<'a> {
    /// Column `base_offset`.
    pub base_offset: i32,
    /// Column `piece`.
    pub piece: i32,
    /// Column `data`.
    pub data: &'a [u8],
}

/// Visits rows in the index's order until `visit` breaks. The caller holds locks on both relations.
pub fn scan(
    (heap, index): (Oid, Oid),
    view: View,
    rows: Rows,
    direction: Direction,
    mut visit: impl FnMut(Row<'_>) -> ControlFlow<()>,
) {
    let mut keys = scan_keys(rows);
    let direction = match direction {
        Direction::Forward => pg_sys::ScanDirection::ForwardScanDirection,
        Direction::Backward => pg_sys::ScanDirection::BackwardScanDirection,
    };
    // SAFETY: in a transaction with locks on both relations, so NoLock is legal. The snapshot is registered while it is used, and what
    // is seen with SnapshotAny is judged by it. Keys are of the index's columns.
    unsafe {
        let heap = pg_sys::table_open(heap, pg_sys::NoLock as pg_sys::LOCKMODE);
        let index = pg_sys::index_open(index, pg_sys::NoLock as pg_sys::LOCKMODE);
        let snapshot = pg_sys::RegisterSnapshot(match view {
            View::Latest => pg_sys::GetLatestSnapshot(),
            View::Statement => pg_sys::GetActiveSnapshot(),
        });
        let scan = begin_scan(heap, index, snapshot, keys.len() as i32);
        pg_sys::index_rescan(scan, keys.as_mut_ptr(), keys.len() as i32, std::ptr::null_mut(), 0);
        let mut page = Page {
            heap,
            block: pg_sys::InvalidBlockNumber,
            buffer: 0,
        };
        loop {
            let place = pg_sys::index_getnext_tid(scan, direction);
            if place.is_null() || page.visit_versions(*place, view, snapshot, &mut visit).is_break() {
                break;
            }
        }
        page.release();
        pg_sys::index_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::index_close(index, pg_sys::NoLock as pg_sys::LOCKMODE);
        pg_sys::table_close(heap, pg_sys::NoLock as pg_sys::LOCKMODE);
    }
}

/// `index_beginscan`, which Postgres 18 gave a place for counts.
///
/// # Safety
/// Both relations are open and locked, the snapshot is registered.
unsafe fn begin_scan(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    keys: i32,
) -> pg_sys::IndexScanDesc {
    #[cfg(not(feature = "pg18"))]
    // SAFETY: the caller's.
    unsafe {
        pg_sys::index_beginscan(heap, index, snapshot, keys, 0)
    }
    #[cfg(feature = "pg18")]
    // SAFETY: the caller's; null asks for no counts.
    unsafe {
        pg_sys::index_beginscan(heap, index, snapshot, std::ptr::null_mut(), keys, 0)
    }
}

/// The page of the heap that a scan is at, pinned.
struct Page {
    heap: pg_sys::Relation,
    block: pg_sys::BlockNumber,
    buffer: pg_sys::Buffer,
}

impl Page {
    /// Visits what is seen of the row at a place: the versions of a row that somebody has updated without its index follow one another on the
    /// page (HOT).
    ///
    /// # Safety
    /// The relation is open and locked, the snapshot is a registered MVCC snapshot.
    unsafe fn visit_versions(
        &mut self,
        mut place: pg_sys::ItemPointerData,
        view: View,
        snapshot: pg_sys::Snapshot,
        visit: &mut impl FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        // SAFETY: the page is pinned while the tuple is used, and locked while its versions are looked for and judged. What is lent to
        // `visit` does not outlive it.
        unsafe {
            self.turn_to(item_pointer_get_block_number(&place));
            let searched = match view {
                View::Latest => &raw mut pg_sys::SnapshotAnyData,
                View::Statement => snapshot,
            };
            let mut tuple = pg_sys::HeapTupleData::default();
            let mut first = true;
            loop {
                pg_sys::LockBuffer(self.buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
                let all_dead = std::ptr::null_mut();
                let found =
                    pg_sys::heap_hot_search_buffer(&mut place, self.heap, self.buffer, searched, &mut tuple, all_dead, first);
                let seen = found && (view == View::Statement || is_visible(&mut tuple, snapshot, self.buffer));
                pg_sys::LockBuffer(self.buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
                if seen {
                    visit(row(&mut tuple, (*self.heap).rd_att))?;
                }
                // An MVCC snapshot sees one version at most.
                if !found || view == View::Statement {
                    return ControlFlow::Continue(());
                }
                first = false;
            }
        }
    }

    /// Pins a page in place of the one before.
    ///
    /// # Safety
    /// The relation is open and has the block.
    unsafe fn turn_to(&mut self, block: pg_sys::BlockNumber) {
        if block == self.block {
            return;
        }
        // SAFETY: the caller's; the pin before is given back.
        unsafe {
            self.release();
            let (fork, mode) = (pg_sys::ForkNumber::MAIN_FORKNUM, pg_sys::ReadBufferMode::RBM_NORMAL);
            self.buffer = pg_sys::ReadBufferExtended(self.heap, fork, block, mode, ring::reads());
        }
        self.block = block;
    }

    fn release(&mut self) {
        if self.block != pg_sys::InvalidBlockNumber {
            // SAFETY: pinned by `turn_to`.
            unsafe { pg_sys::ReleaseBuffer(self.buffer) };
            self.block = pg_sys::InvalidBlockNumber;
        }
    }
}

/// What `HeapTupleSatisfiesVisibility` says of a tuple, without hint bits for rows that nobody has deleted or locked.
///
/// # Safety
/// The tuple is on the page in the buffer, which is pinned and locked; the snapshot is an MVCC snapshot.
unsafe fn is_visible(tuple: pg_sys::HeapTuple, snapshot: pg_sys::Snapshot, buffer: pg_sys::Buffer) -> bool {
    // SAFETY: the tuple is pinned and its page locked; these ask shared memory and the commit log about a transaction that the table's
    // relfrozenxid keeps known.
    unsafe {
        let header = (*tuple).t_data;
        let (marks, xmin) = (u32::from((*header).t_infomask), (*header).t_choice.t_heap.t_xmin);
        let plain = marks & pg_sys::HEAP_XMAX_INVALID != 0;
        if plain && marks & pg_sys::HEAP_XMIN_FROZEN == pg_sys::HEAP_XMIN_FROZEN {
            return true;
        }
        if plain && marks & pg_sys::HEAP_XMIN_INVALID != 0 {
            return false;
        }
        if plain && !pg_sys::TransactionIdIsCurrentTransactionId(xmin) {
            let committed = marks & pg_sys::HEAP_XMIN_COMMITTED != 0;
            return !pg_sys::XidInMVCCSnapshot(xmin, snapshot) && (committed || pg_sys::TransactionIdDidCommit(xmin));
        }
        pg_sys::HeapTupleSatisfiesVisibility(tuple, snapshot, buffer)
    }
}

fn scan_keys(rows: Rows) -> Vec<pg_sys::ScanKeyData> {
    let conditions = [
        (1, pg_sys::BTEqualStrategyNumber, pg_sys::F_INT4EQ, Some(rows.partition)),
        (2, pg_sys::BTGreaterEqualStrategyNumber, pg_sys::F_INT4GE, rows.at_least),
        (2, pg_sys::BTLessEqualStrategyNumber, pg_sys::F_INT4LE, rows.at_most),
        (
            3,
            pg_sys::BTEqualStrategyNumber,
            pg_sys::F_INT4EQ,
            rows.first_pieces.then_some(0),
        ),
    ];
    let key = |(column, strategy, function, argument): (i16, u32, u32, Option<i32>)| {
        let mut key = pg_sys::ScanKeyData::default();
        // SAFETY: fills the key it is given; the function is the int4 operator of that btree strategy.
        unsafe { pg_sys::ScanKeyInit(&mut key, column, strategy as u16, function.into(), argument?.into()) };
        Some(key)
    };
    conditions.into_iter().filter_map(key).collect()
}

/// The columns of a tuple.
///
/// # Safety
/// The tuple is of a relation with this descriptor, which has the columns of a segment, and stays where it is for `'a`.
unsafe fn row<'a>(tuple: pg_sys::HeapTuple, descriptor: pg_sys::TupleDesc) -> Row<'a> {
    let mut values = [pg_sys::Datum::null(); 4];
    let mut nulls = [false; 4];
    // SAFETY: the arrays have a place for each column. `data` is not null, and is detoasted in case that someone changed its storage.
    unsafe {
        assert_eq!((*descriptor).natts, 4, "a segment has four columns");
        pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        assert_eq!(nulls, [false; 4], "a segment has no nulls");
        let data = pg_sys::pg_detoast_datum_packed(values[3].cast_mut_ptr());
        Row {
            base_offset: values[1].value() as i32,
            piece: values[2].value() as i32,
            data: pgrx::varlena_to_byte_slice(data),
        }
    }
}
