//! The log in segments: appending batches, reading them back.

use std::ops::ControlFlow;

use broker::storage::engine::{AppendOutcome, EngineError, EngineResult, PlacedBatch, BATCH_PREFIX_BYTES};
use broker::wire::BATCH_HEADER_BYTES;
use bytes::{Bytes, BytesMut};

use super::locks::SegmentRelations;
use super::pieces::PageFill;
use crate::ffi::heap::Append;
use crate::ffi::scan::{scan, Direction, Row, Rows, View};
use crate::ffi::tuple::Piece;

/// Appends batches in order. The caller holds the segment's write lock.
pub fn append(relations: SegmentRelations, batches: &[PlacedBatch]) -> EngineResult<AppendOutcome> {
    let prefixes = prefixes(batches)?;
    let append = Append::open(relations.heap, relations.index, size_of(batches));
    Ok(append_all(append, batches, &prefixes))
}

/// Appends batches to a table that this transaction has made, so that every snapshot sees them once it is committed.
pub fn append_frozen(relations: SegmentRelations, batches: &[PlacedBatch]) -> EngineResult<AppendOutcome> {
    let prefixes = prefixes(batches)?;
    let append = Append::open_frozen(relations.heap, relations.index, size_of(batches));
    Ok(append_all(append, batches, &prefixes))
}

fn size_of(batches: &[PlacedBatch]) -> usize {
    batches.iter().map(|batch| batch.bytes.len()).sum()
}

/// The first bytes of each batch as they are stored.
fn prefixes(batches: &[PlacedBatch]) -> EngineResult<Vec<[u8; BATCH_PREFIX_BYTES]>> {
    if let Some(short) = batches.iter().find(|batch| batch.bytes.len() < BATCH_HEADER_BYTES) {
        return Err(EngineError::Damaged(format!("a batch of {} bytes", short.bytes.len())));
    }
    Ok(batches.iter().map(PlacedBatch::prefix).collect())
}

fn append_all<'a>(mut append: Append<'a>, batches: &'a [PlacedBatch], prefixes: &'a [[u8; BATCH_PREFIX_BYTES]]) -> AppendOutcome {
    let mut fill = PageFill::new(append.page_free_bytes());
    append.reserve(fill.clone().pages(batches.iter().map(|batch| batch.bytes.len())));
    for (batch, prefix) in batches.iter().zip(prefixes) {
        append_batch(&mut append, &mut fill, batch, prefix);
    }
    AppendOutcome {
        segment_bytes: append.finish(),
    }
}

fn append_batch<'a>(append: &mut Append<'a>, fill: &mut PageFill, batch: &'a PlacedBatch, prefix: &'a [u8; BATCH_PREFIX_BYTES]) {
    let bytes = &batch.bytes[..];
    let (mut at, mut piece) = (0, 0);
    while at < bytes.len() {
        let cut = fill.next_piece(bytes.len() - at);
        let end = at + cut.bytes;
        let data = if at == 0 {
            [&prefix[..], &bytes[BATCH_PREFIX_BYTES..end]]
        } else {
            [&bytes[at..end], &[]]
        };
        if cut.begins_page {
            append.turn_page();
        }
        append.push(Piece {
            partition: batch.partition,
            base_offset: batch.relative_offset,
            piece,
            data,
        });
        at = end;
        piece += 1;
    }
}

/// One partition's part of a segment, as one view of the database sees it. The caller holds the segment's read lock.
#[derive(Debug, Clone, Copy)]
pub struct PartitionLog {
    /// The segment.
    pub relations: SegmentRelations,
    /// The partition.
    pub partition: i32,
    /// What is seen.
    pub view: View,
}

impl PartitionLog {
    /// See [`broker::storage::engine::Engine::read`].
    pub fn read(&self, from: i32, max_bytes: usize) -> EngineResult<Vec<Bytes>> {
        let mut assembly = Assembly::new(max_bytes);
        let mut outcome = Ok(());
        let rows = Rows {
            at_least: Some(self.first_batch(from)?),
            ..self.rows()
        };
        scan(
            self.relations.pair(),
            self.view,
            rows,
            Direction::Forward,
            |row| match assembly.add(&row) {
                Ok(flow) => flow,
                Err(error) => {
                    outcome = Err(error);
                    ControlFlow::Break(())
                }
            },
        );
        outcome.and_then(|()| assembly.finish())
    }

    /// See [`broker::storage::engine::Engine::read_headers`].
    pub fn read_headers(&self, from: i32, max_batches: usize) -> EngineResult<Vec<Bytes>> {
        let rows = Rows {
            at_least: Some(self.first_batch(from)?),
            first_pieces: true,
            ..self.rows()
        };
        self.headers(rows, Direction::Forward, max_batches)
    }

    /// See [`broker::storage::engine::Engine::last_header`].
    pub fn last_header(&self) -> EngineResult<Option<Bytes>> {
        let rows = Rows {
            first_pieces: true,
            ..self.rows()
        };
        Ok(self.headers(rows, Direction::Backward, 1)?.pop())
    }

    fn rows(&self) -> Rows {
        Rows {
            partition: self.partition,
            at_least: None,
            at_most: None,
            first_pieces: false,
        }
    }

    /// Where the batch that contains `from` begins, or `from` if none does.
    fn first_batch(&self, from: i32) -> EngineResult<i32> {
        let rows = Rows {
            at_most: Some(from),
            first_pieces: true,
            ..self.rows()
        };
        let mut found = Ok(from);
        scan(self.relations.pair(), self.view, rows, Direction::Backward, |row| {
            found = header(&row).map(|header| {
                let contains = row.base_offset.saturating_add(last_offset_delta(header)) >= from;
                if contains {
                    row.base_offset
                } else {
                    from
                }
            });
            ControlFlow::Break(())
        });
        found
    }

    fn headers(&self, rows: Rows, direction: Direction, max_batches: usize) -> EngineResult<Vec<Bytes>> {
        let mut headers = Ok(Vec::new());
        if max_batches == 0 {
            return headers;
        }
        scan(self.relations.pair(), self.view, rows, direction, |row| {
            let full = match (&mut headers, header(&row)) {
                (Ok(headers), Ok(header)) => {
                    headers.push(Bytes::copy_from_slice(header));
                    headers.len() >= max_batches
                }
                (result, Err(error)) => {
                    *result = Err(error);
                    true
                }
                (Err(_), _) => true,
            };
            if full {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        headers
    }
}

/// The header of the batch that a first piece begins.
fn header<'a>(row: &Row<'a>) -> EngineResult<&'a [u8; BATCH_HEADER_BYTES]> {
    let damaged = || EngineError::Damaged(format!("the first piece at {} has no whole header", row.base_offset));
    row.data.first_chunk().ok_or_else(damaged)
}

/// `lastOffsetDelta`: bytes 23 to 26 of the header.
fn last_offset_delta(header: &[u8; BATCH_HEADER_BYTES]) -> i32 {
    i32::from_be_bytes([header[23], header[24], header[25], header[26]])
}

/// The offset after the last record of the batch with this header; `None` if it is no whole header.
pub fn end_offset(header: &[u8]) -> Option<i64> {
    let header = header.first_chunk::<BATCH_HEADER_BYTES>()?;
    let base_offset = i64::from_be_bytes(*header.first_chunk()?);
    base_offset.checked_add(i64::from(last_offset_delta(header)) + 1)
}

/// Bytes of the whole batch by its header: the length field does not count the 12 bytes up to its own end.
fn batch_bytes(header: &[u8; BATCH_HEADER_BYTES]) -> Option<usize> {
    let length = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    usize::try_from(length)
        .ok()
        .map(|length| length + 12)
        .filter(|bytes| *bytes >= BATCH_HEADER_BYTES)
}

/// Batches being put together from their pieces.
struct Assembly {
    batches: Vec<Bytes>,
    budget: usize,
    /// The batch that still lacks pieces: its base offset, the next piece, its size.
    open: Option<(i32, i32, usize)>,
    bytes: BytesMut,
}

impl Assembly {
    fn new(budget: usize) -> Self {
        Assembly {
            batches: Vec::new(),
            budget,
            open: None,
            bytes: BytesMut::new(),
        }
    }

    fn add(&mut self, row: &Row<'_>) -> EngineResult<ControlFlow<()>> {
        let damaged = |what: &str| EngineError::Damaged(format!("{what} at {} piece {}", row.base_offset, row.piece));
        let size = match self.open {
            None if row.piece == 0 => {
                let size = batch_bytes(header(row)?).ok_or_else(|| damaged("a batch without a size"))?;
                if !self.batches.is_empty() && size > self.budget {
                    return Ok(ControlFlow::Break(()));
                }
                // What is reserved is bounded by what one read may return; a larger first batch grows as its pieces come.
                self.bytes.reserve(size.min(self.budget.max(row.data.len())));
                self.budget = self.budget.saturating_sub(size);
                size
            }
            Some((base_offset, piece, size)) if (base_offset, piece) == (row.base_offset, row.piece) => size,
            _ => return Err(damaged("an unexpected piece")),
        };
        self.bytes.extend_from_slice(row.data);
        if self.bytes.len() > size {
            return Err(damaged("more bytes than the header says"));
        }
        self.open = Some((row.base_offset, row.piece + 1, size));
        if self.bytes.len() == size {
            self.batches.push(self.bytes.split().freeze());
            self.open = None;
            if self.budget == 0 {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn finish(self) -> EngineResult<Vec<Bytes>> {
        match self.open {
            None => Ok(self.batches),
            Some((base_offset, piece, _)) => Err(EngineError::Damaged(format!(
                "the batch at {base_offset} lacks piece {piece}"
            ))),
        }
    }
}
