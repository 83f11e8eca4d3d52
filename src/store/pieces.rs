//! Where a batch is cut into pieces, so that pages of the heap are filled whatever the sizes of batches are.

use broker::wire::BATCH_HEADER_BYTES;

use crate::ffi::heap::{ALIGNMENT, EMPTY_PAGE_BYTES, LINE_POINTER_BYTES, ROW_OVERHEAD_BYTES};

/// Largest data of one piece: that of a page's only row.
pub const LARGEST_PIECE_BYTES: usize = EMPTY_PAGE_BYTES / ALIGNMENT * ALIGNMENT - ROW_OVERHEAD_BYTES;

/// The rest of a page that a batch is cut for if it needs several pages anyway: a further row costs a third of it.
const REST_FOR_LARGE_BYTES: usize = 128;
/// The rest of a page that a batch is cut for if it fits a page of its own: one row less to write and to find is worth a sixteenth.
const REST_FOR_SMALL_BYTES: usize = 512;

const _: () = assert!(REST_FOR_LARGE_BYTES >= BATCH_HEADER_BYTES && REST_FOR_SMALL_BYTES >= BATCH_HEADER_BYTES);

/// The free room of the page being filled, as the multi-insert will find it.
#[derive(Debug)]
pub struct PageFill {
    free_bytes: usize,
}

impl PageFill {
    /// `free_bytes` as `PageGetHeapFreeSpace` counts them.
    pub fn new(free_bytes: usize) -> Self {
        PageFill { free_bytes }
    }

    /// How many bytes the next piece takes of the `left_bytes` of a batch that are not placed yet. Never 0, and a piece that starts a
    /// batch holds its header.
    pub fn next_piece(&mut self, left_bytes: usize) -> usize {
        let room = (self.free_bytes / ALIGNMENT * ALIGNMENT).saturating_sub(ROW_OVERHEAD_BYTES);
        let rest_worth_it = if left_bytes > LARGEST_PIECE_BYTES {
            REST_FOR_LARGE_BYTES
        } else {
            REST_FOR_SMALL_BYTES
        };
        let taken = if left_bytes <= room {
            left_bytes
        } else if room >= rest_worth_it {
            room
        } else {
            self.free_bytes = EMPTY_PAGE_BYTES;
            left_bytes.min(LARGEST_PIECE_BYTES)
        };
        let row_bytes = (ROW_OVERHEAD_BYTES + taken).next_multiple_of(ALIGNMENT);
        self.free_bytes = self.free_bytes.saturating_sub(row_bytes + LINE_POINTER_BYTES);
        taken
    }
}
