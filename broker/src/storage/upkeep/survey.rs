//! Finding out what is in a topic's log: the time index says it but for stretches that a start of the broker has cut off, and the last
//! few mebibytes of the segment that is being filled. Those are looked through by the headers of their batches, a bounded number at a
//! time; what was found of a sealed segment is added to the time index, so that it is looked for once.

use std::collections::BTreeMap;
use std::ops::Range;

use super::facts::{Part, TopicFacts};
use crate::limits::{SURVEY_HEADERS_PER_PARTITION, SURVEY_HEADERS_PER_TOPIC};
use crate::log::partition::next_offset_of;
use crate::storage::engine::{Engine, EngineError, EngineResult, PartFacts, TimeIndexEntry, TopicRecord};
use crate::storage::parts::{part_of, SegmentPart};
use crate::storage::stretch::Stretch;
use crate::wire::batch::BatchHeader;

/// Headers that one call of the engine returns at most.
const HEADERS_PER_CALL: usize = 1024;

/// What is to be known of the segment that is being filled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Its size.
    pub sizes: bool,
    /// Its largest timestamps, of partitions whose last batch is older than this, in milliseconds since 1970.
    pub older_than_ms: Option<i64>,
}

/// Looks at a topic, in the running transaction, and reads at most [`SURVEY_HEADERS_PER_TOPIC`] for the time index of sealed segments: what
/// is not known after that is not surveyed, and the next survey goes on with it.
///
/// # Errors
/// Those of the engine; `Busy` where a segment to be looked through is locked.
pub fn survey<E: Engine>(engine: &mut E, topic: &TopicRecord, wanted: Wanted) -> EngineResult<TopicFacts> {
    let mut survey = Survey {
        engine,
        topic,
        known: BTreeMap::new(),
        headers_left: SURVEY_HEADERS_PER_TOPIC,
    };
    survey.load()?;
    let sealed: Vec<_> = topic.segments.windows(2).map(|pair| (&pair[0], &pair[1])).collect();
    let mut added = false;
    for index in survey.partitions() {
        for (segment, next) in &sealed {
            if let (Some(part), Some(end)) = (part_of(topic.number, segment, index), next.base_offset(index)) {
                added |= survey.complete(part, index, end)?;
            }
        }
    }
    if added {
        survey.load()?;
    }
    let mut facts = TopicFacts::default();
    for index in survey.partitions() {
        let mut parts = Vec::new();
        for (segment, next) in &sealed {
            if let (Some(part), Some(end)) = (part_of(topic.number, segment, index), next.base_offset(index)) {
                parts.push(survey.sealed(part, index, end));
            }
        }
        let active = topic
            .segments
            .iter()
            .rev()
            .find_map(|segment| part_of(topic.number, segment, index));
        if let Some(active) = active {
            parts.push(survey.active(active, index, wanted)?);
        }
        facts.partitions.push(parts);
    }
    Ok(facts)
}

struct Survey<'a, E> {
    engine: &'a mut E,
    topic: &'a TopicRecord,
    /// By segment and partition.
    known: BTreeMap<(i32, i32), PartFacts>,
    headers_left: usize,
}

impl<E: Engine> Survey<'_, E> {
    fn load(&mut self) -> EngineResult<()> {
        let facts = self.engine.part_facts(self.topic.number)?;
        self.known = facts.into_iter().map(|part| ((part.segment, part.partition), part)).collect();
        Ok(())
    }

    fn partitions(&self) -> Range<i32> {
        0..i32::try_from(self.topic.partitions.len()).unwrap_or(i32::MAX)
    }

    fn known_offsets(&self, part: SegmentPart, partition: i32) -> i64 {
        self.known
            .get(&(part.segment.number, partition))
            .map_or(0, |known| known.offsets)
    }

    /// What the time index says of a part of a sealed segment.
    fn sealed(&self, part: SegmentPart, partition: i32, end: i64) -> Part {
        let known = self.known.get(&(part.segment.number, partition));
        Part {
            segment: part.segment.number,
            end_offset: end,
            bytes: known.map_or(0, |known| known.bytes),
            live_bytes: known.map_or(0, |known| known.live_bytes),
            max_timestamp_ms: known.map_or(-1, |known| known.max_timestamp_ms),
            surveyed: self.known_offsets(part, partition) >= end - part.base,
        }
    }

    /// Adds entries for what the time index lacks of a part of a sealed segment; whether there was anything.
    fn complete(&mut self, part: SegmentPart, partition: i32, end: i64) -> EngineResult<bool> {
        if self.known_offsets(part, partition) >= end - part.base || self.headers_left == 0 {
            return Ok(false);
        }
        let entries = self.engine.time_index(part.segment, partition)?;
        let mut found = Vec::new();
        for gap in gaps(&entries, part.base..end) {
            found.extend(self.read(part, partition, gap.clone())?.entries);
        }
        self.engine.add_time_index(part.segment, &found)?;
        Ok(!found.is_empty())
    }

    /// All of a partition's part of the segment that is being filled. The end is that of what is committed.
    fn active(&mut self, part: SegmentPart, partition: i32, wanted: Wanted) -> EngineResult<Part> {
        let record = usize::try_from(partition)
            .ok()
            .and_then(|index| self.topic.partitions.get(index));
        let log_start = record.map_or(0, |record| record.log_start_offset);
        let last = self.engine.last_header(part.segment, partition)?;
        let end = last.as_ref().and_then(next_offset_of).unwrap_or(part.base);
        let mut known = self.sealed(part, partition, end);
        let last_timestamp = last
            .map(|header| parse(part, &header))
            .transpose()?
            .map(|header| header.max_timestamp);
        let is_old = last_timestamp < wanted.older_than_ms;
        if known.surveyed || end <= log_start || !(wanted.sizes || is_old) {
            return Ok(known);
        }
        self.headers_left = SURVEY_HEADERS_PER_PARTITION;
        let entries = self.engine.time_index(part.segment, partition)?;
        known.surveyed = true;
        for gap in gaps(&entries, part.base..end) {
            let found = self.read(part, partition, gap)?;
            for entry in found.entries {
                known.bytes += entry.bytes;
                known.live_bytes += if entry.end_offset > log_start { entry.bytes } else { 0 };
                known.max_timestamp_ms = known.max_timestamp_ms.max(entry.max_timestamp_ms);
            }
            known.surveyed &= found.whole;
        }
        Ok(known)
    }

    /// Entries for a gap in the time index, from its start on. Each ends where the next begins, the last at the end of the gap if all of
    /// it was read.
    fn read(&mut self, part: SegmentPart, partition: i32, gap: Range<i64>) -> EngineResult<Found> {
        let mut entries = Vec::new();
        let mut from = gap.start;
        let mut stretch = Stretch::at(from);
        let mut whole = false;
        while !whole && self.headers_left > 0 {
            let Some(relative) = part.relative(from) else { break };
            let wanted = HEADERS_PER_CALL.min(self.headers_left);
            let headers = self.engine.read_headers(part.segment, partition, relative, wanted)?;
            self.headers_left -= headers.len().max(1).min(self.headers_left);
            whole = headers.len() < wanted;
            for header in &headers {
                let header = parse(part, header)?;
                if header.base_offset >= gap.end {
                    whole = true;
                    break;
                }
                if stretch.is_due() {
                    entries.extend(stretch.entry(partition, header.base_offset));
                    stretch = Stretch::at(header.base_offset);
                }
                stretch.add(header.size_bytes(), header.max_timestamp);
                from = header.next_offset();
            }
            whole |= from >= gap.end;
        }
        let end = if whole { gap.end } else { from };
        match stretch.entry(partition, end) {
            Some(entry) => entries.push(entry),
            // A gap without batches is covered all the same, so that it is not looked through again.
            None if whole && entries.is_empty() => entries.push(TimeIndexEntry {
                partition,
                start_offset: gap.start,
                end_offset: gap.end,
                bytes: 0,
                max_timestamp_ms: -1,
            }),
            None => {}
        }
        Ok(Found { entries, whole })
    }
}

fn parse(part: SegmentPart, header: &[u8]) -> EngineResult<BatchHeader> {
    BatchHeader::parse(header).map_err(|error| EngineError::Damaged(format!("{:?}: {error}", part.segment)))
}

struct Found {
    entries: Vec<TimeIndexEntry>,
    /// Whether they reach to the end of the gap.
    whole: bool,
}

/// What entries, which ascend, leave of a range of offsets.
fn gaps(entries: &[TimeIndexEntry], range: Range<i64>) -> Vec<Range<i64>> {
    let mut gaps = Vec::new();
    let mut at = range.start;
    for entry in entries {
        if entry.start_offset > at {
            gaps.push(at..entry.start_offset.min(range.end));
        }
        at = at.max(entry.end_offset);
    }
    if at < range.end {
        gaps.push(at..range.end);
    }
    gaps.retain(|gap| !gap.is_empty());
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_entries_leave() {
        let check = |entries: &[(i64, i64)], expected: &[(i64, i64)]| {
            let entry = |&(start_offset, end_offset): &(i64, i64)| TimeIndexEntry {
                partition: 0,
                start_offset,
                end_offset,
                bytes: 1,
                max_timestamp_ms: 0,
            };
            let entries: Vec<_> = entries.iter().map(entry).collect();
            let found: Vec<_> = gaps(&entries, 10..50).into_iter().map(|gap| (gap.start, gap.end)).collect();
            assert_eq!(found, expected);
        };
        check(&[], &[(10, 50)]);
        check(&[(10, 50)], &[]);
        check(&[(10, 20), (30, 40)], &[(20, 30), (40, 50)]);
        check(&[(12, 50)], &[(10, 12)]);
    }
}
