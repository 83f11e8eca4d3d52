//! Reads of data older than the tail cache, and look-ups by time: bounded work between two groups, in a transaction of their own.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Read, ReadKind, Runner};
use crate::limits::{READ_BYTES_BESIDE_OTHERS, READ_BYTES_PER_TURN};
use crate::log::partition::next_offset_of;
use crate::storage::engine::{CommitMode, Engine, EngineError, SegmentId, TimeIndexEntry};
use crate::storage::jobs::{ReadJob, SizesJob, StorageError, TimeJob, TimeTarget};
use crate::storage::parts::SegmentPart;

/// Headers that one call of the engine returns at most while a stretch without time index is looked through.
const HEADERS_PER_CALL: usize = 1024;

/// Where a partition's log is, for one look-up.
struct Place {
    partition: i32,
    segments: Vec<SegmentPart>,
    high_watermark: i64,
}

impl<E: Engine> Runner<E> {
    /// Answers waiting reads until [`READ_BYTES_PER_TURN`], or until [`READ_BYTES_BESIDE_OTHERS`] if something has come that they delay. Returns
    /// whether more can be run at once.
    pub(super) fn run_reads(&mut self) -> bool {
        let mut budget = READ_BYTES_PER_TURN;
        let mut busy = VecDeque::new();
        let mut begun = false;
        while budget > 0 {
            let Some(mut read) = self.reads.pop_front() else { break };
            if !begun {
                if let Err(error) = self.engine.begin() {
                    self.engine.rollback();
                    read.fail(error.into());
                    continue;
                }
                begun = true;
            }
            let outcome = match &read.kind {
                ReadKind::Batches(job) => self.read_batches(job).map(Answer::Batches),
                ReadKind::ByTime(job) => self.find_by_time(job).map(Answer::ByTime),
                ReadKind::Sizes(job) => self.measure(job).map(Answer::Sizes),
            };
            match outcome {
                Ok(answer) => budget = budget.saturating_sub(answer.send(read)),
                Err(StorageError::Engine(EngineError::Busy(_))) => {
                    // A read that fails leaves a transaction in which the next one could not read.
                    self.engine.rollback();
                    begun = false;
                    read.set_aside = true;
                    busy.push_back(read);
                }
                Err(StorageError::Engine(error)) => {
                    self.engine.rollback();
                    begun = false;
                    tracing::error!(%error, "read failed");
                    read.fail(error.into());
                }
                Err(error) => read.fail(error),
            }
            if READ_BYTES_PER_TURN - budget >= READ_BYTES_BESIDE_OTHERS && self.queue.urgent_waits() {
                break;
            }
        }
        if begun {
            if let Err(error) = self.engine.commit(CommitMode::Flush) {
                tracing::warn!(%error, "end of a read transaction failed");
            }
        }
        let more = !self.reads.is_empty();
        self.reads.append(&mut busy);
        more
    }

    fn place(&self, topic: crate::storage::engine::TopicNumber, partition: i32, offset: i64) -> Result<Place, StorageError> {
        let log = self.logs.get(&topic).ok_or(StorageError::UnknownPartition)?;
        let known = log.topic.partition(partition).ok_or(StorageError::UnknownPartition)?;
        let bounds = known.bounds();
        let offset = offset.max(bounds.log_start_offset);
        Ok(Place {
            partition,
            segments: log.segments_from(partition, offset),
            high_watermark: bounds.high_watermark,
        })
    }

    fn read_batches(&mut self, job: &ReadJob) -> Result<Vec<Bytes>, StorageError> {
        let place = self.place(job.topic, job.partition, job.offset)?;
        let mut found = Vec::new();
        let mut size = 0;
        for (index, part) in place.segments.iter().enumerate() {
            let from = relative(part, job.offset)?;
            let wanted = job.max_bytes.saturating_sub(size).min(READ_BYTES_PER_TURN);
            let batches = self.engine.read(part.segment, job.partition, from, wanted)?;
            for batch in batches {
                let fits = found.is_empty() || size + batch.len() <= job.max_bytes;
                if !fits || base_offset_of(&batch)? >= place.high_watermark {
                    return Ok(found);
                }
                size += batch.len();
                found.push(batch);
            }
            if size >= job.max_bytes.min(READ_BYTES_PER_TURN) {
                break;
            }
            // What did not fit of this segment must not be passed over for a smaller batch of the next one.
            let end = found.last().and_then(next_offset_of);
            let next_base = place.segments.get(index + 1).map(|next| next.base);
            if end.zip(next_base).is_some_and(|(end, next_base)| end < next_base) {
                break;
            }
        }
        Ok(found)
    }

    fn find_by_time(&mut self, job: &TimeJob) -> Result<Option<Bytes>, StorageError> {
        let place = self.place(job.topic, job.partition, job.from_offset)?;
        let found = match job.target {
            TimeTarget::AtLeast(timestamp) => self.first_at_least(&place, job.from_offset, timestamp)?,
            TimeTarget::Max => self.first_with_max(&place, job.from_offset)?,
        };
        let Some((segment, relative_offset)) = found else {
            return Ok(None);
        };
        Ok(self
            .engine
            .read(segment, job.partition, relative_offset, 1)?
            .into_iter()
            .next())
    }

    fn measure(&mut self, job: &SizesJob) -> Result<Measured, StorageError> {
        let log = self.logs.get(&job.topic).ok_or(StorageError::UnknownPartition)?;
        let mut sizes = vec![0; log.partitions.len()];
        let contents = log.contents();
        for (segment, offsets) in &contents {
            share(self.engine.segment_size(*segment)?, offsets, &mut sizes);
        }
        Ok(Measured {
            sizes,
            segments: contents.len(),
        })
    }

    fn first_at_least(
        &mut self,
        place: &Place,
        from_offset: i64,
        timestamp: i64,
    ) -> Result<Option<(SegmentId, i32)>, StorageError> {
        for part in &place.segments {
            let entries = self.engine.time_index(part.segment, place.partition)?;
            let mut from = from_offset.max(part.base);
            for stretch in stretches(&entries, part.base) {
                let skipped = stretch.end_offset <= from || stretch.max_timestamp_ms.is_some_and(|max| max < timestamp);
                if !skipped {
                    let hit = self.scan(place, part, (from.max(stretch.start_offset), stretch.end_offset), |time| {
                        time >= timestamp
                    })?;
                    if let Some((offset, _)) = hit {
                        return Ok(Some((part.segment, offset)));
                    }
                }
                from = from.max(stretch.end_offset);
            }
        }
        Ok(None)
    }

    fn first_with_max(&mut self, place: &Place, from_offset: i64) -> Result<Option<(SegmentId, i32)>, StorageError> {
        let mut best: Option<(i64, SegmentId, i32)> = None;
        for part in &place.segments {
            let entries = self.engine.time_index(part.segment, place.partition)?;
            for stretch in stretches(&entries, part.base) {
                let range = (from_offset.max(stretch.start_offset), stretch.end_offset);
                let worth = |best: i64| stretch.max_timestamp_ms.is_none_or(|max| max > best);
                if range.0 >= range.1 || best.is_some_and(|(time, ..)| !worth(time)) {
                    continue;
                }
                // Ever larger hits within the stretch, until there is none.
                let mut from = range.0;
                loop {
                    let known = best.map_or(i64::MIN, |(time, ..)| time);
                    let hit = self.scan(place, part, (from, range.1), |time| best.is_none() || time > known)?;
                    let Some((relative_offset, time)) = hit else { break };
                    best = Some((time, part.segment, relative_offset));
                    from = part.offset(relative_offset) + 1;
                }
            }
        }
        Ok(best.map(|(_, segment, relative_offset)| (segment, relative_offset)))
    }

    /// The first batch within `range` of absolute offsets, below the high watermark, whose largest timestamp `matches`:
    /// (its relative offset, that timestamp).
    fn scan(
        &mut self,
        place: &Place,
        part: &SegmentPart,
        range: (i64, i64),
        matches: impl Fn(i64) -> bool,
    ) -> Result<Option<(i32, i64)>, StorageError> {
        let (mut from, end) = (range.0, range.1.min(place.high_watermark));
        while from < end {
            let headers = self
                .engine
                .read_headers(part.segment, place.partition, relative(part, from)?, HEADERS_PER_CALL)?;
            if headers.is_empty() {
                return Ok(None);
            }
            for header in &headers {
                let batch_offset = base_offset_of(header)?;
                if batch_offset >= end {
                    return Ok(None);
                }
                let next = next_offset_of(header).ok_or_else(too_short)?;
                let time = max_timestamp_of(header)?;
                if next > from && matches(time) {
                    return Ok(Some((relative(part, batch_offset)?, time)));
                }
                from = from.max(next);
            }
        }
        Ok(None)
    }
}

/// A part of a partition's log in one segment, as far as its times are known.
struct Stretch {
    start_offset: i64,
    end_offset: i64,
    /// `None`: no entry covers it, so it has to be looked through.
    max_timestamp_ms: Option<i64>,
}

/// What a segment's time index covers and, between and after that, what it does not.
fn stretches(entries: &[TimeIndexEntry], base: i64) -> Vec<Stretch> {
    let mut all = Vec::with_capacity(entries.len() * 2 + 1);
    let mut at = base;
    let gap = |start_offset, end_offset| Stretch {
        start_offset,
        end_offset,
        max_timestamp_ms: None,
    };
    for entry in entries {
        if entry.start_offset > at {
            all.push(gap(at, entry.start_offset));
        }
        all.push(Stretch {
            start_offset: entry.start_offset,
            end_offset: entry.end_offset,
            max_timestamp_ms: Some(entry.max_timestamp_ms),
        });
        at = at.max(entry.end_offset);
    }
    all.push(gap(at, i64::MAX));
    all
}

/// Adds to `sizes` the share of each partition in a segment of `size` bytes, by the number of its offsets there. The shares add up to
/// `size`, unless there are no offsets.
fn share(size: u64, offsets: &[u64], sizes: &mut [u64]) {
    let all: u128 = offsets.iter().copied().map(u128::from).sum();
    if all == 0 {
        return;
    }
    let up_to = |count: u128| (u128::from(size) * count / all) as u64;
    let mut counted = 0;
    for (offsets, partition) in offsets.iter().zip(sizes) {
        let before = up_to(counted);
        counted += u128::from(*offsets);
        *partition += up_to(counted) - before;
    }
}

/// Sizes of partitions, and in how many segments they were looked up.
struct Measured {
    sizes: Vec<u64>,
    segments: usize,
}

enum Answer {
    Batches(Vec<Bytes>),
    ByTime(Option<Bytes>),
    Sizes(Measured),
}

/// What looking up the size of a segment costs of the budget for reads.
const SIZE_COST_BYTES: usize = 8 * 1024;

impl Answer {
    /// Sends it to the caller of `read` and returns its size in bytes, at least one.
    fn send(self, read: Read) -> usize {
        match (self, read.kind) {
            (Answer::Batches(batches), ReadKind::Batches(job)) => {
                let size: usize = batches.iter().map(Bytes::len).sum();
                let _ = job.reply.send(Ok(batches));
                size.max(1)
            }
            (Answer::ByTime(batch), ReadKind::ByTime(job)) => {
                let size = batch.as_ref().map_or(0, Bytes::len);
                let _ = job.reply.send(Ok(batch));
                size.max(1)
            }
            (Answer::Sizes(measured), ReadKind::Sizes(job)) => {
                let _ = job.reply.send(Ok(measured.sizes));
                (measured.segments * SIZE_COST_BYTES).max(1)
            }
            _ => 1,
        }
    }
}

fn relative(part: &SegmentPart, offset: i64) -> Result<i32, StorageError> {
    let relative = part.relative(offset);
    relative.ok_or_else(|| EngineError::Damaged(format!("offset {offset} is too far for {:?}", part.segment)).into())
}

fn too_short() -> StorageError {
    EngineError::Damaged("a stored batch is shorter than its header".to_owned()).into()
}

fn base_offset_of(batch: &Bytes) -> Result<i64, StorageError> {
    batch
        .get(..8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i64::from_be_bytes)
        .ok_or_else(too_short)
}

fn max_timestamp_of(batch: &Bytes) -> Result<i64, StorageError> {
    batch
        .get(35..43)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i64::from_be_bytes)
        .ok_or_else(too_short)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up() {
        let mut sizes = vec![5, 0, 0];
        share(100, &[1, 0, 2], &mut sizes);
        assert_eq!(sizes, [38, 0, 67]);
        share(7, &[0, 0, 0], &mut sizes);
        assert_eq!(sizes, [38, 0, 67]);
        share(u64::MAX / 2, &[i64::MAX as u64; 3], &mut sizes);
        assert_eq!(sizes.iter().sum::<u64>(), u64::MAX / 2 + 105);
    }
}
