//! Ordered scans of a segment through its index, forward and backward.
//!
//! The first reader of a row usually notes in it whether its transaction has committed (hint bits). For a log that is read once that is a
//! second write of every page, and with checksums or `wal_log_hints` a second copy of it in the WAL. So the broker's own reads look at
//! rows without noting anything.

use std::ops::ControlFlow;

use pgrx::pg_sys;

use super::lock::Oid;

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
    // is seen with SnapshotAny is judged by it. Keys name the heap's columns 1 to 3, which are the index's. The tuple of a step is pinned
    // until the next one, and the row that is lent to `visit` does not outlive it.
    unsafe {
        let heap = pg_sys::table_open(heap, pg_sys::NoLock as pg_sys::LOCKMODE);
        let index = pg_sys::index_open(index, pg_sys::NoLock as pg_sys::LOCKMODE);
        let snapshot = pg_sys::RegisterSnapshot(match view {
            View::Latest => pg_sys::GetLatestSnapshot(),
            View::Statement => pg_sys::GetActiveSnapshot(),
        });
        let scanned = match view {
            View::Latest => &raw mut pg_sys::SnapshotAnyData,
            View::Statement => snapshot,
        };
        let scan = pg_sys::systable_beginscan_ordered(heap, index, scanned, keys.len() as i32, keys.as_mut_ptr());
        loop {
            let tuple = pg_sys::systable_getnext_ordered(scan, direction);
            if tuple.is_null() {
                break;
            }
            let seen = view == View::Statement || is_visible(tuple, snapshot, (*scan).slot.cast());
            if seen && visit(row(tuple, (*heap).rd_att)).is_break() {
                break;
            }
        }
        pg_sys::systable_endscan_ordered(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::index_close(index, pg_sys::NoLock as pg_sys::LOCKMODE);
        pg_sys::table_close(heap, pg_sys::NoLock as pg_sys::LOCKMODE);
    }
}

/// What `HeapTupleSatisfiesVisibility` says of a tuple, without hint bits for rows that nobody has deleted or locked.
///
/// # Safety
/// The tuple is in the slot, which pins its page; the snapshot is an MVCC snapshot.
unsafe fn is_visible(
    tuple: pg_sys::HeapTuple,
    snapshot: pg_sys::Snapshot,
    slot: *const pg_sys::BufferHeapTupleTableSlot,
) -> bool {
    // SAFETY: a pinned tuple's header may be read without a lock: its xmin never changes but to frozen, and hints are single bits.
    let (marks, xmin) = unsafe {
        let header = (*tuple).t_data;
        (u32::from((*header).t_infomask), (*header).t_choice.t_heap.t_xmin)
    };
    // SAFETY: these ask shared memory and the commit log about a transaction that the table's relfrozenxid keeps known.
    unsafe {
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
    }
    // SAFETY: the page is pinned, and locked as the function wants it.
    unsafe {
        let buffer = (*slot).buffer;
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
        let seen = pg_sys::HeapTupleSatisfiesVisibility(tuple, snapshot, buffer);
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
        seen
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
