//! A row of a segment as Postgres has it on a page (chapter "Database Page Layout").

use pgrx::pg_sys;

/// Bytes of a piece's row before its data: tuple header 24, three int4, varlena header 4.
pub const ROW_OVERHEAD_BYTES: usize = TUPLE_HEADER_BYTES + FIXED_COLUMNS_BYTES + VARLENA_HEADER_BYTES;
/// Free bytes of an empty page, less the line pointer of a first row (`PageGetHeapFreeSpace`).
pub const EMPTY_PAGE_BYTES: usize = pg_sys::BLCKSZ as usize - PAGE_HEADER_BYTES - LINE_POINTER_BYTES;
/// Bytes of a row's line pointer.
pub const LINE_POINTER_BYTES: usize = 4;
/// Rows begin at multiples of this (MAXALIGN).
pub const ALIGNMENT: usize = 8;

/// Bytes of a page before its first line pointer.
pub(super) const PAGE_HEADER_BYTES: usize = 24;
const TUPLE_HEADER_BYTES: usize = 24;
const FIXED_COLUMNS_BYTES: usize = 12;
const VARLENA_HEADER_BYTES: usize = 4;

/// A row of a segment: one piece of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Column `partition`.
    pub partition: i32,
    /// Column `base_offset`.
    pub base_offset: i32,
    /// Column `piece`.
    pub piece: i32,
    /// Column `data`, in two parts.
    pub data: [&'a [u8]; 2],
}

impl Piece<'_> {
    /// Bytes of the row without its line pointer.
    pub(super) fn tuple_bytes(&self) -> usize {
        ROW_OVERHEAD_BYTES + self.data[0].len() + self.data[1].len()
    }
}

/// Writes the tuple that heap_form_tuple would make of four columns without nulls, `data` being of STORAGE PLAIN and so with a four-byte
/// header; made in place to spare two copies of the data. The fields about transactions are zero.
///
/// # Safety
/// There are [`Piece::tuple_bytes`] at `at`, which is aligned to [`ALIGNMENT`].
pub(super) unsafe fn write_tuple(at: *mut u8, piece: &Piece<'_>) {
    let data_bytes = piece.data[0].len() + piece.data[1].len();
    // SAFETY: by the caller's word; every byte of the tuple is written.
    unsafe {
        std::ptr::write_bytes(at, 0, TUPLE_HEADER_BYTES);
        let header = at.cast::<pg_sys::HeapTupleHeaderData>();
        (*header).t_infomask2 = 4;
        (*header).t_infomask = pg_sys::HEAP_HASVARWIDTH as u16;
        (*header).t_hoff = TUPLE_HEADER_BYTES as u8;
        let columns = at.add(TUPLE_HEADER_BYTES);
        columns
            .cast::<[i32; 3]>()
            .write([piece.partition, piece.base_offset, piece.piece]);
        let value = columns.add(FIXED_COLUMNS_BYTES);
        pgrx::set_varsize_4b(value.cast(), (VARLENA_HEADER_BYTES + data_bytes) as i32);
        let mut at = value.add(VARLENA_HEADER_BYTES);
        for part in piece.data {
            std::ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
            at = at.add(part.len());
        }
    }
}
