//! Records as rows: what `kafka.messages` is made of.

use std::collections::VecDeque;

use broker::limits::DECOMPRESSED_BATCH_BYTES;
use broker::storage::engine::{EngineError, EngineResult, SegmentId, TopicNumber};
use broker::wire::batch::BatchHeader;
use broker::wire::compression::decompress;
use broker::wire::record::{OwnedRecords, Record};
use broker::wire::{BATCH_HEADER_BYTES, NO_TIMESTAMP};
use bytes::Bytes;
use pgrx::prelude::*;

use super::error::raise_engine;
use crate::ffi::scan::View;
use crate::ffi::spi::{look, param};
use crate::store::error::refused;
use crate::store::locks::{Held, Patience};
use crate::store::log::PartitionLog;

/// Bytes of whole batches that are read at once, so that tiny batches do not cost an index scan each.
const READ_BYTES: usize = 256 * 1024;

/// Milliseconds from 1970 to 2000, from which Postgres counts.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;

/// The records of a partition from `from_offset` up to but without `to_offset`, in order of the log, as the statement's snapshot sees
/// it. Reads as rows are asked for. Records below the log start offset and markers of transactions are left out. A topic or partition
/// that does not exist has no records.
///
/// A producer that is not there, and a timestamp that is not there, is null; a timestamp beyond the range of timestamptz is infinite. The
/// headers' keys are UTF-8 without zero bytes: what is neither is replaced by U+FFFD. Both lists of headers are null where there is none.
///
/// # Errors
/// `data_corrupted` if the log contradicts itself; `serialization_failure` if all segments that the snapshot knows are gone.
#[allow(clippy::type_complexity)]
#[pg_extern]
fn partition_messages(
    topic: i32,
    partition: i32,
    from_offset: i64,
    to_offset: i64,
) -> TableIterator<
    'static,
    (
        name!(offset, i64),
        name!(timestamp, Option<TimestampWithTimeZone>),
        name!(timestamp_type, &'static str),
        name!(key, Option<Vec<u8>>),
        name!(value, Option<Vec<u8>>),
        name!(header_keys, Option<Vec<Vec<u8>>>),
        name!(header_values, Option<Vec<Option<Vec<u8>>>>),
        name!(leader_epoch, i32),
        name!(producer_id, Option<i64>),
        name!(producer_epoch, Option<i16>),
        name!(sequence, Option<i32>),
        name!(transactional, bool),
        name!(compression, &'static str),
        name!(batch_offset, i64),
    ),
> {
    let mut messages = Messages::new(TopicNumber(topic), partition, from_offset, to_offset);
    TableIterator::new(std::iter::from_fn(move || {
        let row = messages.next_row(|header, offset, record| {
            let has_headers = !record.headers.is_empty();
            (
                offset,
                timestamp(header.timestamp_of(record.timestamp_delta)),
                header.timestamp_type().name(),
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                has_headers.then(|| record.headers.iter().map(|header| header_key(header.key)).collect()),
                has_headers.then(|| record.headers.iter().map(|header| header.value.map(<[u8]>::to_vec)).collect()),
                header.partition_leader_epoch,
                (header.producer_id >= 0).then_some(header.producer_id),
                (header.producer_id >= 0).then_some(header.producer_epoch),
                (header.producer_id >= 0).then(|| header.sequence_of(record)),
                header.is_transactional(),
                header.compression().map_or("unknown", |codec| codec.name()),
                header.base_offset,
            )
        });
        row.unwrap_or_else(|error| match error {
            EngineError::Damaged(what) => raise_engine(EngineError::Damaged(format!(
                "topic number {topic}, partition {partition}: {what}"
            ))),
            error => raise_engine(error),
        })
    }))
}

fn timestamp(ms: i64) -> Option<TimestampWithTimeZone> {
    if ms == NO_TIMESTAMP {
        return None;
    }
    let infinite = if ms < 0 { i64::MIN } else { i64::MAX };
    let micros = ms
        .checked_sub(POSTGRES_EPOCH_MS)
        .and_then(|ms| ms.checked_mul(1000))
        .unwrap_or(infinite);
    TimestampWithTimeZone::try_from(micros)
        .or_else(|_| TimestampWithTimeZone::try_from(infinite))
        .ok()
}

fn header_key(key: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(key).replace('\0', "\u{fffd}").into_bytes()
}

/// A walk over the records of a partition. Holds whole batches of at most [`READ_BYTES`] or one larger, and one of them decompressed.
struct Messages {
    log: LogWalk,
    from_offset: i64,
    to_offset: i64,
    batches: VecDeque<Bytes>,
    open: Option<(BatchHeader, OwnedRecords)>,
}

impl Messages {
    fn new(topic: TopicNumber, partition: i32, from_offset: i64, to_offset: i64) -> Self {
        let log = LogWalk::open(topic, partition, from_offset);
        Messages {
            from_offset: log.next_offset,
            log,
            to_offset,
            batches: VecDeque::new(),
            open: None,
        }
    }

    /// What `row` makes of the next record, its batch's header and its offset.
    fn next_row<T>(&mut self, row: impl FnOnce(&BatchHeader, i64, &Record<'_>) -> T) -> EngineResult<Option<T>> {
        let wanted = self.from_offset..self.to_offset;
        loop {
            if let Some((header, records)) = &mut self.open {
                while let Some(record) = records.next_record() {
                    let record = record.map_err(|error| damaged_batch(header, error))?;
                    let offset = header.offset_of(&record);
                    if wanted.contains(&offset) {
                        return Ok(Some(row(header, offset, &record)));
                    }
                }
                self.open = None;
            }
            pgrx::check_for_interrupts!();
            let Some(batch) = self.next_batch()? else { return Ok(None) };
            self.open = open_batch(&batch)?;
        }
    }

    fn next_batch(&mut self) -> EngineResult<Option<Bytes>> {
        if self.batches.is_empty() && self.log.next_offset < self.to_offset {
            self.batches = self.log.read()?.into();
        }
        Ok(self.batches.pop_front())
    }
}

fn damaged_batch(header: &BatchHeader, error: impl std::fmt::Display) -> EngineError {
    EngineError::Damaged(format!("the batch at offset {}: {error}", header.base_offset))
}

/// The records of a batch, `None` if they are markers.
fn open_batch(batch: &Bytes) -> EngineResult<Option<(BatchHeader, OwnedRecords)>> {
    let header = parse(batch)?;
    if header.is_control() {
        return Ok(None);
    }
    let damaged = |error: &dyn std::fmt::Display| damaged_batch(&header, error);
    let codec = header.compression().map_err(|error| damaged(&error))?;
    let section = batch.slice(BATCH_HEADER_BYTES..);
    let section = decompress(codec, &section, DECOMPRESSED_BATCH_BYTES).map_err(|error| damaged(&error))?;
    let records = OwnedRecords::new(section, header.record_count).map_err(|error| damaged(&error))?;
    Ok(Some((header, records)))
}

fn parse(batch: &[u8]) -> EngineResult<BatchHeader> {
    BatchHeader::parse(batch).map_err(|error| EngineError::Damaged(error.to_string()))
}

/// A walk over the batches of a partition, segment by segment, as the statement's snapshot knows them. A segment that is gone since was
/// deleted by retention, or what was left of it is in one that follows (`broker::storage::upkeep::rewrite`), whose origin is still the same
/// and whose rows every snapshot sees.
struct LogWalk {
    partition: i32,
    segments: VecDeque<WalkedSegment>,
    /// The first offset that was not read.
    next_offset: i64,
}

/// A segment that may hold what is asked for.
#[derive(Clone, Copy)]
struct WalkedSegment {
    id: SegmentId,
    /// The partition's first offset in it.
    base_offset: i64,
    /// What the partition's relative offsets count from.
    origin: i64,
}

impl LogWalk {
    /// From `from_offset` or the log start offset, whichever is larger.
    fn open(topic: TopicNumber, partition: i32, from_offset: i64) -> Self {
        let log_starts = look(
            "SELECT log_start_offset FROM kafka.log_starts WHERE topic = $1 AND partition = $2",
            &[param(topic.0), param(partition)],
            |row| row.get::<i64>(1),
        );
        let segments = look(
            "SELECT number, coalesce(base_offsets[$2 + 1], 0), coalesce((coalesce(origins, base_offsets))[$2 + 1], 0) \
               FROM kafka.segments WHERE topic = $1 AND base_offsets IS NOT NULL ORDER BY number",
            &[param(topic.0), param(partition)],
            |row| {
                Some(WalkedSegment {
                    id: SegmentId {
                        topic,
                        number: row.get(1)?,
                    },
                    base_offset: row.get(2)?,
                    origin: row.get(3)?,
                })
            },
        );
        let log_start = log_starts.into_iter().flatten().next().unwrap_or(0);
        LogWalk {
            partition,
            segments: segments.into_iter().flatten().collect(),
            next_offset: from_offset.max(log_start),
        }
    }

    /// The next whole batches; none at the end of the log.
    fn read(&mut self) -> EngineResult<Vec<Bytes>> {
        while let Some(segment) = self.segments.front().copied() {
            let next = self.segments.get(1);
            let ends_before = next.is_some_and(|next| next.base_offset <= self.next_offset);
            let batches = match i32::try_from(self.next_offset - segment.origin) {
                Ok(from) if !ends_before => self.read_segment(segment.id, from, next.is_none())?,
                _ => Vec::new(),
            };
            if let Some(last) = batches.last() {
                let next_offset = parse(last)?.next_offset();
                if next_offset <= self.next_offset {
                    return Err(EngineError::Damaged(format!("batches before offset {}", self.next_offset)));
                }
                self.next_offset = next_offset;
                return Ok(batches);
            }
            self.segments.pop_front();
        }
        Ok(Vec::new())
    }

    /// The lock is asked for each time: one that was taken in a subtransaction is gone after its rollback, which a cursor outlives.
    /// Where the last one that the snapshot knows is gone, what was left of it is in one that the snapshot does not know.
    fn read_segment(&self, segment: SegmentId, from: i32, is_last: bool) -> EngineResult<Vec<Bytes>> {
        match Held::default().readable(segment, Patience::Waits) {
            Ok(relations) => {
                let log = PartitionLog {
                    relations,
                    partition: self.partition,
                    view: View::Statement,
                };
                log.read(from, READ_BYTES)
            }
            Err(EngineError::Busy(_)) if is_last => Err(refused("40001", "the segments that this snapshot knows are gone")),
            Err(EngineError::Busy(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}
