//! Where a batch is cut into pieces, so that pages of the heap are filled whatever the sizes of batches are.

use broker::wire::BATCH_HEADER_BYTES;

use crate::ffi::tuple::{ALIGNMENT, EMPTY_PAGE_BYTES, LINE_POINTER_BYTES, ROW_OVERHEAD_BYTES};

/// Largest data of one piece: that of a page's only row.
pub const LARGEST_PIECE_BYTES: usize = EMPTY_PAGE_BYTES / ALIGNMENT * ALIGNMENT - ROW_OVERHEAD_BYTES;

/// The rest of a page that a batch is cut for if it needs several pages anyway: a further row costs a third of it.
const REST_FOR_LARGE_BYTES: usize = 128;
/// The rest of a page that a batch is cut for if it fits a page of its own: one row less to write and to find is worth a sixteenth.
const REST_FOR_SMALL_BYTES: usize = 512;

const _: () = assert!(REST_FOR_LARGE_BYTES >= BATCH_HEADER_BYTES && REST_FOR_SMALL_BYTES >= BATCH_HEADER_BYTES);

/// The free room of the page being filled, as the multi-insert will find it.
#[derive(Debug, Clone)]
pub struct PageFill {
    free_bytes: usize,
}

/// Where a batch is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the piece.
    pub bytes: usize,
    /// Whether it is the first of a page.
    pub begins_page: bool,
}

impl PageFill {
    /// `free_bytes` as `PageGetHeapFreeSpace` counts them.
    pub fn new(free_bytes: usize) -> Self {
        PageFill { free_bytes }
    }

    /// The next piece of a batch of which `left_bytes` are not placed yet. It is never empty, and one that starts a batch holds its header.
    pub fn next_piece(&mut self, left_bytes: usize) -> Cut {
        let room = (self.free_bytes / ALIGNMENT * ALIGNMENT).saturating_sub(ROW_OVERHEAD_BYTES);
        let rest_worth_it = if left_bytes > LARGEST_PIECE_BYTES {
            REST_FOR_LARGE_BYTES
        } else {
            REST_FOR_SMALL_BYTES
        };
        let begins_page = left_bytes > room && room < rest_worth_it;
        let bytes = if begins_page {
            self.free_bytes = EMPTY_PAGE_BYTES;
            left_bytes.min(LARGEST_PIECE_BYTES)
        } else {
            left_bytes.min(room)
        };
        let row_bytes = (ROW_OVERHEAD_BYTES + bytes).next_multiple_of(ALIGNMENT);
        self.free_bytes = self.free_bytes.saturating_sub(row_bytes + LINE_POINTER_BYTES);
        Cut { bytes, begins_page }
    }

    /// How many pages batches of these sizes begin.
    pub fn pages(mut self, batches: impl IntoIterator<Item = usize>) -> u32 {
        let mut pages = 0;
        for mut left_bytes in batches {
            while left_bytes > 0 {
                let cut = self.next_piece(left_bytes);
                left_bytes -= cut.bytes;
                pages += u32::from(cut.begins_page);
            }
        }
        pages
    }
}
