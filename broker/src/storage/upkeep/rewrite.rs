//! Writing a segment anew with what is live of it and of segments before it, in one transaction: readers go on reading the old tables,
//! whose locks end it if they are in use when the new one is to take their place; unfinished work leaves nothing.

use super::plan::Rewrite;
use crate::storage::engine::{
    Engine, EngineError, EngineResult, PlacedBatch, SegmentId, SegmentRecord, TimeIndexEntry, TopicRecord,
};
use crate::storage::parts::part_of;
use crate::storage::stretch::Stretch;
use crate::wire::batch::BatchHeader;

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Does it in the running transaction, and calls `between` after each chunk.
///
/// # Errors
/// Those of the engine; `Busy` if another session uses one of the segments.
pub fn rewrite<E: Engine>(engine: &mut E, topic: &TopicRecord, rewrite: &Rewrite, between: &mut dyn FnMut()) -> EngineResult<()> {
    let damaged = || EngineError::Damaged(format!("{:?} cannot be rewritten", rewrite.segment));
    let find = |id: SegmentId| topic.segments.iter().find(move |segment| segment.number == id.number);
    let target = find(rewrite.segment).ok_or_else(damaged)?;
    let next = topic
        .segments
        .iter()
        .find(|segment| segment.number > target.number)
        .ok_or_else(damaged)?;
    let merged = rewrite.merged.iter().copied().map(find);
    let sources: Vec<_> = merged.chain([Some(target)]).collect::<Option<_>>().ok_or_else(damaged)?;
    engine.lock_bookkeeping()?;
    engine.begin_rewrite(rewrite.segment)?;
    let (mut bases, mut origins, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for (index, partition) in (0..).zip(&topic.partitions) {
        let (Some(origin), Some(end)) = (target.origin(index), next.base_offset(index)) else {
            return Err(damaged());
        };
        let mut copy = Copy {
            engine: &mut *engine,
            topic,
            partition: index,
            origin,
            base: None,
            stretch: Stretch::at(0),
            entries: &mut entries,
        };
        for source in &sources {
            copy.part(source, partition.log_start_offset, between)?;
        }
        copy.close(end);
        bases.push(copy.base.unwrap_or(end));
        origins.push(origin);
    }
    engine.finish_rewrite(&rewrite.merged, &bases, &origins)?;
    engine.add_time_index(rewrite.segment, &entries)
}

/// The copy of one partition's log.
struct Copy<'a, E> {
    engine: &'a mut E,
    topic: &'a TopicRecord,
    partition: i32,
    origin: i64,
    /// Offset of the first batch that was copied.
    base: Option<i64>,
    stretch: Stretch,
    entries: &'a mut Vec<TimeIndexEntry>,
}

impl<E: Engine> Copy<'_, E> {
    /// Copies what is at or above `log_start`, from the batch that contains it.
    fn part(&mut self, source: &SegmentRecord, log_start: i64, between: &mut dyn FnMut()) -> EngineResult<()> {
        let Some(part) = part_of(self.topic.number, source, self.partition) else {
            return Ok(());
        };
        let mut from = log_start;
        while let Some(relative) = part.relative(from) {
            let batches = self.engine.read(part.segment, self.partition, relative, CHUNK_BYTES)?;
            let Some(last) = batches.last() else { break };
            from = parse(last)?.next_offset();
            let placed = batches
                .into_iter()
                .map(|batch| self.place(batch))
                .collect::<EngineResult<Vec<_>>>()?;
            self.engine.append_rewritten(&placed)?;
            between();
        }
        Ok(())
    }

    fn place(&mut self, bytes: bytes::Bytes) -> EngineResult<PlacedBatch> {
        let header = parse(&bytes)?;
        if self.base.is_none() {
            self.base = Some(header.base_offset);
            self.stretch = Stretch::at(header.base_offset);
        }
        if self.stretch.is_due() {
            self.close(header.base_offset);
        }
        self.stretch.add(header.size_bytes(), header.max_timestamp);
        let relative_offset = i32::try_from(header.base_offset - self.origin)
            .map_err(|_| EngineError::Damaged(format!("offset {} is too far from {}", header.base_offset, self.origin)))?;
        Ok(PlacedBatch {
            partition: self.partition,
            base_offset: header.base_offset,
            relative_offset,
            leader_epoch: header.partition_leader_epoch,
            bytes,
        })
    }

    /// Ends the open stretch of the time index at `end`.
    fn close(&mut self, end: i64) {
        self.entries.extend(self.stretch.entry(self.partition, end));
        self.stretch = Stretch::at(end);
    }
}

fn parse(batch: &[u8]) -> EngineResult<BatchHeader> {
    BatchHeader::parse(batch).map_err(|error| EngineError::Damaged(error.to_string()))
}
