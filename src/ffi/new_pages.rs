//! New pages of a heap, filled in place and written to the WAL as whole images, many in one record (what `log_newpage_range` does for
//! pages that an index build has made). `heap_multi_insert` copies each row four times on its way, and writes a record for each page.

use pgrx::itemptr::item_pointer_set_all;
use pgrx::pg_sys;

use super::tuple::{write_tuple, Piece, ALIGNMENT, EMPTY_PAGE_BYTES, LINE_POINTER_BYTES, PAGE_HEADER_BYTES};
use super::write_out;

/// Pages of one WAL record.
const PAGES_PER_RECORD: usize = pg_sys::XLR_MAX_BLOCK_ID as usize;

/// Rows for pages that lie beyond what the relation had before, and that nothing has touched.
#[derive(Default)]
pub(super) struct NewPages<'a> {
    pages: Vec<NewPage>,
    rows: Vec<Piece<'a>>,
}

struct NewPage {
    block: pg_sys::BlockNumber,
    /// Number of its rows.
    rows: usize,
    /// What is left of it for another row and its line pointer.
    free_bytes: usize,
}

impl<'a> NewPages<'a> {
    /// Whether all pages of one record have begun.
    pub(super) fn is_full(&self) -> bool {
        self.pages.len() == PAGES_PER_RECORD
    }

    /// Whether there is a page for the next row.
    pub(super) fn has_begun(&self) -> bool {
        !self.pages.is_empty()
    }

    /// The next rows are for this page.
    pub(super) fn begin(&mut self, block: pg_sys::BlockNumber) {
        self.pages.push(NewPage {
            block,
            rows: 0,
            free_bytes: EMPTY_PAGE_BYTES + LINE_POINTER_BYTES,
        });
    }

    /// Adds a row to the page that was begun last. It was cut to fit.
    pub(super) fn push(&mut self, row: Piece<'a>) {
        let bytes = row.tuple_bytes().next_multiple_of(ALIGNMENT) + LINE_POINTER_BYTES;
        let last = self.pages.len() - 1;
        let page = &mut self.pages[last];
        assert!(bytes <= page.free_bytes, "a row is cut to fit its page");
        page.free_bytes -= bytes;
        page.rows += 1;
        self.rows.push(row);
    }

    /// Writes the pages through the ring, all in one WAL record, and tells `placed` of each row and where it is. Returns the last page.
    ///
    /// # Errors
    /// Another session has put a row there.
    ///
    /// # Safety
    /// In a transaction; the relation is open, permanent, older than the transaction, and locked against being dropped and truncated; the
    /// pages lie within its file and were never written.
    pub(super) unsafe fn write(
        &mut self,
        (heap, ring): (pg_sys::Relation, pg_sys::BufferAccessStrategy),
        mut placed: impl FnMut(&Piece<'a>, &mut pg_sys::ItemPointerData),
    ) -> Option<pg_sys::BlockNumber> {
        // All that can fail comes first: what is changed in a shared buffer must reach the WAL, or a later change of the same page could
        // not be replayed.
        pgrx::check_for_interrupts!();
        // SAFETY: in a transaction.
        let (xid, command) = unsafe {
            pg_sys::XLogEnsureRecordSpace(PAGES_PER_RECORD as i32 - 1, 0);
            (pg_sys::GetCurrentTransactionId(), pg_sys::GetCurrentCommandId(true))
        };
        let mut buffers = [0; PAGES_PER_RECORD];
        let mut all_new = true;
        for (buffer, page) in buffers.iter_mut().zip(&self.pages) {
            // SAFETY: the page is not read, as nothing was written there; an error gives locks and pins back.
            let (locked, is_new) = unsafe { lock_page(heap, page.block, ring) };
            *buffer = locked;
            all_new &= is_new;
        }
        let buffers = &buffers[..self.pages.len()];
        if !all_new {
            // A panic does not reset the count of held interrupts, as an ERROR of Postgres does: no lock may be held.
            for buffer in buffers {
                // SAFETY: pinned and locked above, and not changed.
                unsafe { pg_sys::UnlockReleaseBuffer(*buffer) };
            }
        }
        assert!(all_new, "new pages of a segment are in use by another session");
        // SAFETY: the protocol of access/transam/README: buffers locked, critical section, change, dirty, WAL, LSN. Rows fit, as `push` has
        // seen to. The images leave out the hole between line pointers and rows, which `fill_page` keeps by the rules of a standard page.
        unsafe {
            pg_sys::CritSectionCount += 1;
            let mut rows = self.rows.iter();
            for (buffer, page) in buffers.iter().zip(&self.pages) {
                fill_page(*buffer, page.block, rows.by_ref().take(page.rows), xid, command);
            }
            pg_sys::XLogBeginInsert();
            for (number, buffer) in buffers.iter().enumerate() {
                pg_sys::MarkBufferDirty(*buffer);
                let flags = pg_sys::REGBUF_FORCE_IMAGE | pg_sys::REGBUF_STANDARD;
                pg_sys::XLogRegisterBuffer(number as u8, *buffer, flags as u8);
            }
            let end = pg_sys::XLogInsert(pg_sys::RmgrIds::RM_XLOG_ID as u8, pg_sys::XLOG_FPI as u8);
            for buffer in buffers {
                let page = pg_sys::BufferGetPage(*buffer).cast::<pg_sys::PageHeaderData>();
                (*page).pd_lsn = pg_sys::PageXLogRecPtr {
                    xlogid: (end >> 32) as u32,
                    xrecoff: end as u32,
                };
            }
            pg_sys::CritSectionCount -= 1;
            for buffer in buffers {
                pg_sys::UnlockReleaseBuffer(*buffer);
            }
            let blocks = self.pages.iter().map(|page| page.block);
            write_out::note(heap, blocks.zip(buffers.iter().copied()), end);
            pg_sys::pgstat_count_heap_insert(heap, self.rows.len() as _);
        }
        let mut rows = self.rows.iter();
        for page in &self.pages {
            for (row, number) in rows.by_ref().take(page.rows).zip(1..) {
                placed(row, &mut pointer(page.block, number));
            }
        }
        let last = self.pages.last().map(|page| page.block);
        self.pages.clear();
        self.rows.clear();
        last
    }
}

/// Pins and locks a page that was never written. `false`: it holds something, a session has inserted into the segment by hand, which takes
/// the last page for its own.
///
/// # Safety
/// The relation is open, and the page lies within its file.
unsafe fn lock_page(
    heap: pg_sys::Relation,
    block: pg_sys::BlockNumber,
    ring: pg_sys::BufferAccessStrategy,
) -> (pg_sys::Buffer, bool) {
    // SAFETY: by the caller's word; the page is looked at under its lock. PageIsNew looks at pd_upper as well.
    unsafe {
        let buffer = pg_sys::ReadBufferExtended(
            heap,
            pg_sys::ForkNumber::MAIN_FORKNUM,
            block,
            pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK,
            ring,
        );
        let page = pg_sys::BufferGetPage(buffer).cast::<pg_sys::PageHeaderData>();
        (buffer, (*page).pd_upper == 0)
    }
}

fn pointer(block: pg_sys::BlockNumber, number: pg_sys::OffsetNumber) -> pg_sys::ItemPointerData {
    let mut pointer = pg_sys::ItemPointerData::default();
    item_pointer_set_all(&mut pointer, block, number);
    pointer
}

/// Makes a page of rows: line pointers from below, rows from above, as PageAddItem and RelationPutHeapTuple would one by one.
///
/// # Safety
/// The buffer is locked exclusively and its page zero; the rows fit it.
unsafe fn fill_page<'a, 'b: 'a>(
    buffer: pg_sys::Buffer,
    block: pg_sys::BlockNumber,
    rows: impl Iterator<Item = &'a Piece<'b>>,
    xid: pg_sys::TransactionId,
    command: pg_sys::CommandId,
) {
    // SAFETY: all writes are within the page, by the caller's word that the rows fit. A row begins at a multiple of ALIGNMENT, as the
    // page does. Bytes between rows stay zero.
    unsafe {
        let page = pg_sys::BufferGetPage(buffer);
        pg_sys::PageInit(page, pg_sys::BLCKSZ as usize, 0);
        let header = page.cast::<pg_sys::PageHeaderData>();
        let mut upper = usize::from((*header).pd_upper);
        let mut lower = PAGE_HEADER_BYTES;
        for (row, number) in rows.zip(1..) {
            let bytes = row.tuple_bytes();
            upper -= bytes.next_multiple_of(ALIGNMENT);
            let mut line = pg_sys::ItemIdData::default();
            line.set_lp_off(upper as u32);
            line.set_lp_flags(pg_sys::LP_NORMAL);
            line.set_lp_len(bytes as u32);
            page.add(lower).cast::<pg_sys::ItemIdData>().write(line);
            lower += LINE_POINTER_BYTES;
            let tuple = page.add(upper).cast::<u8>();
            write_tuple(tuple, row);
            let tuple = tuple.cast::<pg_sys::HeapTupleHeaderData>();
            (*tuple).t_choice.t_heap.t_xmin = xid;
            (*tuple).t_choice.t_heap.t_field3.t_cid = command;
            (*tuple).t_infomask |= pg_sys::HEAP_XMAX_INVALID as u16;
            (*tuple).t_ctid = pointer(block, number);
        }
        (*header).pd_lower = lower as u16;
        (*header).pd_upper = upper as u16;
    }
}
