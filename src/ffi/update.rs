//! Updates of rows whose places are known, in a table whose key they do not change.
//!
//! An UPDATE whose new version finds no room on its page adds an entry to the index, and a unique index looks whether another row has the
//! key: at every version of the row, also at those that nobody sees any more. While a transaction of another session keeps these from
//! being removed, each update takes longer than the one before. Here the index is not asked: who has the key is the row that is updated.

use pgrx::itemptr::item_pointer_get_block_number;
use pgrx::pg_sys;

use super::lock::Oid;
use super::spi::{ResultRow, RowPlace};

/// Some updates of one table, under a lock that the caller holds. Ends with [`Updates::finish`]; after an ERROR, with the abort.
pub struct Updates {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    index_info: *mut pg_sys::IndexInfo,
    slot: *mut pg_sys::TupleTableSlot,
    /// The page that was looked at last.
    page: pg_sys::BlockNumber,
}

impl Updates {
    /// Opens a table of so many columns, which the caller has locked for writing. `None`: it has others, or more than a primary key that would
    /// have to hear of each row: further indexes, triggers, checks.
    pub fn open(table: Oid, columns: i32) -> Option<Self> {
        // SAFETY: in a transaction that holds RowExclusiveLock on the table, so that its indexes stay; the list is the caller's to free.
        unsafe {
            let table = pg_sys::table_open(table, pg_sys::NoLock as pg_sys::LOCKMODE);
            let Some(index) = only_index(table).filter(|_| (*(*table).rd_att).natts == columns) else {
                pg_sys::table_close(table, pg_sys::NoLock as pg_sys::LOCKMODE);
                return None;
            };
            let index = pg_sys::index_open(index, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
            if !(*(*index).rd_index).indisprimary {
                pg_sys::index_close(index, pg_sys::NoLock as pg_sys::LOCKMODE);
                pg_sys::table_close(table, pg_sys::NoLock as pg_sys::LOCKMODE);
                return None;
            }
            Some(Updates {
                table,
                index,
                index_info: pg_sys::BuildIndexInfo(index),
                slot: pg_sys::MakeSingleTupleTableSlot((*table).rd_att, &pg_sys::TTSOpsHeapTuple),
                page: pg_sys::InvalidBlockNumber,
            })
        }
    }

    /// Puts a new version in the place of a row that this transaction has locked; where that is. Its values are all columns of the result's
    /// row from `first` on (counted from 1); those of the key are the row's own.
    ///
    /// # Errors
    /// The columns are not of the types of the table's; nothing is changed.
    pub fn put(&mut self, mut place: RowPlace, row: &ResultRow, first: i32) -> RowPlace {
        self.prune(&place);
        // SAFETY: the values are of the types of the table's columns, as `values_for` sees to, and outlive the call. The row is locked by this
        // transaction, so that it can be updated. Who else has an entry with this key in the index is a version of the same row.
        unsafe {
            let columns = (*self.table).rd_att;
            let (mut values, mut nulls) = row.values_for(columns, first);
            let tuple = pg_sys::heap_form_tuple(columns, values.as_mut_ptr(), nulls.as_mut_ptr());
            heap_update(self.table, &mut place, tuple);
            if u32::from((*(*tuple).t_data).t_infomask2) & pg_sys::HEAP_ONLY_TUPLE == 0 {
                self.add_to_index(tuple);
            }
            let place = (*tuple).t_self;
            pg_sys::heap_freetuple(tuple);
            place
        }
    }

    /// Makes room on the row's page, if it is needed and versions are there that nobody sees: the look at the index does it otherwise.
    fn prune(&mut self, place: &RowPlace) {
        // SAFETY: the place is valid, it was read.
        let page = unsafe { item_pointer_get_block_number(place) };
        if page == self.page {
            return;
        }
        self.page = page;
        // SAFETY: the page is one of the table, which is open. Pruning wants a pin and no lock.
        unsafe {
            let buffer = pg_sys::ReadBuffer(self.table, page);
            pg_sys::heap_page_prune_opt(self.table, buffer);
            pg_sys::ReleaseBuffer(buffer);
        }
    }

    /// # Safety
    /// The tuple is in the table.
    unsafe fn add_to_index(&mut self, tuple: pg_sys::HeapTuple) {
        let mut values = [pg_sys::Datum::null(); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [false; pg_sys::INDEX_MAX_KEYS as usize];
        // SAFETY: the slot has the table's descriptor and does not take over the tuple; a primary key has no expressions, for which there
        // would have to be an executor's state.
        unsafe {
            pg_sys::ExecStoreHeapTuple(tuple, self.slot, false);
            pg_sys::FormIndexDatum(
                self.index_info,
                self.slot,
                std::ptr::null_mut(),
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            pg_sys::index_insert(
                self.index,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
                &mut (*tuple).t_self,
                self.table,
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO,
                true,
                self.index_info,
            );
        }
    }

    /// Makes the new versions visible to later reads of this transaction, and closes.
    pub fn finish(self) {
        // SAFETY: all were opened here; the locks stay until the transaction's end.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            pg_sys::index_insert_cleanup(self.index, self.index_info);
            pg_sys::index_close(self.index, pg_sys::NoLock as pg_sys::LOCKMODE);
            pg_sys::table_close(self.table, pg_sys::NoLock as pg_sys::LOCKMODE);
            pg_sys::CommandCounterIncrement();
        }
    }
}

/// The index of a table that has one, and nothing else that hears of rows.
///
/// # Safety
/// The table is open and locked.
unsafe fn only_index(table: pg_sys::Relation) -> Option<Oid> {
    // SAFETY: reads of the relation's cache entry; the list is a copy.
    unsafe {
        let form = (*table).rd_rel;
        let constraints = (*(*table).rd_att).constr;
        if (*form).relhastriggers
            || !constraints.is_null() && ((*constraints).num_check > 0 || (*constraints).has_generated_stored)
        {
            return None;
        }
        let list = pg_sys::RelationGetIndexList(table);
        let only = !list.is_null() && (*list).length == 1;
        let index = only.then(|| (*(*list).elements).oid_value);
        pg_sys::list_free(list);
        index
    }
}

/// # Safety
/// The row is locked by this transaction, and the tuple of this table.
unsafe fn heap_update(table: pg_sys::Relation, place: &mut RowPlace, tuple: pg_sys::HeapTuple) {
    // SAFETY: by the caller's word.
    unsafe {
        #[cfg(feature = "pg15")]
        pg_sys::simple_heap_update(table, place, tuple);
        #[cfg(not(feature = "pg15"))]
        {
            let mut indexes = pg_sys::TU_UpdateIndexes::TU_None;
            pg_sys::simple_heap_update(table, place, tuple, &mut indexes);
        }
    }
}
