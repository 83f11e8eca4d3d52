//! A topic's log as the database thread knows it: its segments, the next offset of each partition, the open stretch of the time index.

use std::sync::Arc;

use crate::catalog::configs::TopicConfigs;
use crate::catalog::Topic;
use crate::log::partition::{next_offset_of, Partition};
use crate::producers::snapshot;
use crate::producers::state::Producers;
use crate::storage::engine::{
    Engine, EngineError, EngineResult, ProducerSnapshot, SegmentId, SegmentRecord, TimeIndexEntry, TopicRecord,
};
use crate::storage::parts::{part_of, segments_from, SegmentPart};
use crate::storage::stretch::Stretch;
use crate::wire::batch::BatchHeader;

/// What the next append to a partition starts from.
#[derive(Debug)]
pub(super) struct PartitionLog {
    pub(super) partition: Arc<Partition>,
    pub(super) next_offset: i64,
    /// Whether the start of the current leader epoch is stored.
    pub(super) epoch_stored: bool,
    pub(super) stretch: Stretch,
    /// Largest timestamp of the partition's first batch in the segment that is being filled; `None` while it has none there.
    pub(super) first_timestamp_ms: Option<i64>,
    /// As of `next_offset`.
    pub(super) producers: Producers,
    /// Bytes of log after the last snapshot of the producers.
    pub(super) unsnapshotted_bytes: u64,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct TopicLog {
    pub(super) topic: Arc<Topic>,
    pub(super) segments: Vec<SegmentRecord>,
    pub(super) partitions: Vec<PartitionLog>,
    /// Whether `segment.ms` has passed and the next segment was not there yet.
    pub(super) is_overdue: bool,
    /// Since when, as far as this broker knows, the segment is being filled, in milliseconds since 1970.
    pub(super) begun_ms: i64,
}

impl TopicLog {
    pub(super) fn new(topic: Arc<Topic>, record: &TopicRecord, ends: &[i64], leader_epoch: i32, now_ms: i64) -> Self {
        let partitions = topic
            .partitions
            .iter()
            .zip(ends)
            .zip(&record.partitions)
            .map(|((partition, end), stored)| PartitionLog {
                partition: partition.clone(),
                next_offset: *end,
                epoch_stored: stored.epochs.last().is_some_and(|(epoch, _)| *epoch == leader_epoch),
                stretch: Stretch::at(*end),
                first_timestamp_ms: None,
                producers: Producers::default(),
                unsnapshotted_bytes: 0,
            })
            .collect();
        TopicLog {
            topic,
            segments: record.segments.clone(),
            partitions,
            is_overdue: false,
            begun_ms: now_ms,
        }
    }

    /// Takes over what a session or the maintenance worker changed: configs, added partitions, segments made ahead or dropped.
    pub(super) fn refresh(&mut self, record: &TopicRecord, configs: TopicConfigs, leader_epoch: i32) {
        let filled = self.active().map(|segment| (segment.number, segment.bytes));
        self.segments.clone_from(&record.segments);
        if let Some((number, bytes)) = filled {
            if let Some(active) = self.segments.iter_mut().find(|segment| segment.number == number) {
                active.bytes = active.bytes.max(bytes);
            }
        }
        for (known, stored) in self.partitions.iter().zip(&record.partitions) {
            known.partition.set_log_start(stored.log_start_offset);
        }
        let partitions = self.with_added(record.partitions.len(), leader_epoch);
        self.topic = Arc::new(Topic {
            number: record.number,
            id: record.id,
            name: record.name.as_str().into(),
            configs,
            partitions,
        });
    }

    /// Takes over partitions that were added, up to `count` in all.
    pub(super) fn add_partitions(&mut self, count: i32, leader_epoch: i32) {
        let partitions = self.with_added(usize::try_from(count).unwrap_or(0), leader_epoch);
        self.topic = Arc::new(Topic {
            number: self.topic.number,
            id: self.topic.id,
            name: self.topic.name.clone(),
            configs: self.topic.configs.clone(),
            partitions,
        });
    }

    /// The partitions, those that there were and, up to `count`, new ones, which are empty.
    fn with_added(&mut self, count: usize, leader_epoch: i32) -> Vec<Arc<Partition>> {
        let mut partitions = self.topic.partitions.clone();
        for index in partitions.len()..count {
            let partition = Arc::new(Partition::new(self.topic.number, index as i32, 0, 0, &[], leader_epoch));
            partitions.push(partition.clone());
            self.partitions.push(PartitionLog {
                partition,
                next_offset: 0,
                epoch_stored: false,
                stretch: Stretch::at(0),
                first_timestamp_ms: None,
                producers: Producers::default(),
                unsnapshotted_bytes: 0,
            });
        }
        partitions
    }

    /// Replaces the configs.
    pub(super) fn configure(&mut self, configs: TopicConfigs) {
        self.topic = Arc::new(Topic {
            number: self.topic.number,
            id: self.topic.id,
            name: self.topic.name.clone(),
            configs,
            partitions: self.topic.partitions.clone(),
        });
    }

    /// The segment that is being filled.
    pub(super) fn active(&self) -> Option<&SegmentRecord> {
        self.segments.iter().rev().find(|segment| segment.base_offsets.is_some())
    }

    /// The segment made ahead, if there is one.
    pub(super) fn ready(&self) -> Option<&SegmentRecord> {
        self.segments.last().filter(|segment| segment.base_offsets.is_none())
    }

    /// Whether the next segment should be made now.
    pub(super) fn wants_segment(&self) -> bool {
        self.ready().is_none()
            && self
                .active()
                .is_some_and(|active| active.bytes > self.topic.configs.segment_bytes() / 2)
            || (self.is_overdue && self.ready().is_none())
            || self.crowded_out().is_some()
    }

    /// Whether all that was ever written to the segment that is being filled is deleted: it can be left, so that it can be dropped.
    pub(super) fn is_dead(&self) -> bool {
        let mut partitions = self.partitions.iter();
        self.active().is_some_and(|active| active.bytes > 0)
            && partitions.all(|log| log.partition.bounds().log_start_offset >= log.next_offset)
    }

    /// Whether a batch of a partition with this largest timestamp begins the next segment because of `segment.ms`, less this segment's
    /// part of `segment.jitter.ms` (Kafka `LogSegment.shouldRoll`, for each partition's part of the segment).
    pub(super) fn is_aged(&self, partition: i32, timestamp_ms: i64, now_ms: i64) -> bool {
        let Some(first) = self.partitions[partition as usize].first_timestamp_ms else {
            return false;
        };
        let waited = if first >= 0 {
            timestamp_ms.saturating_sub(first)
        } else {
            now_ms - self.begun_ms
        };
        waited > self.topic.configs.segment_ms - self.jitter_ms()
    }

    /// A number below `segment.jitter.ms` that is another one for each segment, and the same after a restart.
    fn jitter_ms(&self) -> i64 {
        let limit = self.topic.configs.segment_jitter_ms.min(self.topic.configs.segment_ms);
        let number = self.active().map_or(0, |active| active.number);
        let seed = (i64::from(self.topic.number.0) << 32) + i64::from(number);
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)
            .checked_rem_euclid(limit)
            .unwrap_or(0)
    }

    /// Base offsets that the next segment has if it is begun now.
    pub(super) fn next_offsets(&self) -> Vec<i64> {
        self.partitions.iter().map(|partition| partition.next_offset).collect()
    }

    /// Entries of the time index for what the open stretches hold.
    pub(super) fn open_stretches(&self) -> Vec<TimeIndexEntry> {
        let partitions = (0..).zip(&self.partitions);
        partitions
            .filter_map(|(index, partition)| partition.stretch.entry(index, partition.next_offset))
            .collect()
    }

    /// The segment made ahead is the one that is being filled from now on.
    pub(super) fn begin_segment(&mut self, number: i32, base_offsets: Vec<i64>, now_ms: i64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == number) {
            segment.base_offsets = Some(base_offsets);
        }
        for partition in &mut self.partitions {
            partition.stretch = Stretch::at(partition.next_offset);
            partition.first_timestamp_ms = None;
        }
        self.is_overdue = false;
        self.begun_ms = now_ms;
    }

    /// How many offsets the partition has in the segment that is being filled.
    pub(super) fn offsets_in(&self, active: &SegmentRecord, partition: i32) -> i64 {
        self.partitions[partition as usize].next_offset - active.base_offset(partition).unwrap_or(0)
    }

    /// The next segment, if it is to be made because a partition has used half of the offsets that one can hold. Batches that
    /// compress very well get there long before `segment.bytes`.
    pub(super) fn crowded_out(&self) -> Option<SegmentId> {
        let active = self.active().filter(|_| self.ready().is_none())?;
        let crowded =
            (0..self.partitions.len() as i32).any(|partition| self.offsets_in(active, partition) > i64::from(i32::MAX / 2));
        crowded.then(|| SegmentId {
            topic: self.topic.number,
            number: active.number + 1,
        })
    }

    pub(super) fn id_of(&self, segment: &SegmentRecord) -> SegmentId {
        SegmentId {
            topic: self.topic.number,
            number: segment.number,
        }
    }

    /// Each segment that was begun, with the number of offsets that each partition has in it.
    pub(super) fn contents(&self) -> Vec<(SegmentId, Vec<u64>)> {
        let begun: Vec<_> = self
            .segments
            .iter()
            .filter(|segment| segment.base_offsets.is_some())
            .collect();
        let contents = begun.iter().enumerate().map(|(place, segment)| {
            let next = begun.get(place + 1);
            let offsets = self.partitions.iter().enumerate().map(|(index, partition)| {
                let base_in = |segment: &SegmentRecord| segment.base_offset(index as i32);
                let end = next.and_then(|next| base_in(next)).unwrap_or(partition.next_offset);
                u64::try_from(end - base_in(segment).unwrap_or(0)).unwrap_or(0)
            });
            (self.id_of(segment), offsets.collect())
        });
        contents.collect()
    }

    /// The partition's parts of the segments that can hold `offset` and what follows it, in order.
    pub(super) fn segments_from(&self, partition: i32, offset: i64) -> Vec<SegmentPart> {
        segments_from(self.topic.number, &self.segments, partition, offset)
    }

    /// Snapshots of the producers of all partitions that were written since their last one.
    pub(super) fn producer_snapshots(&self) -> Vec<ProducerSnapshot> {
        let partitions = self.partitions.iter().enumerate();
        let written = partitions.filter(|(_, partition)| partition.unsnapshotted_bytes > 0);
        written
            .map(|(index, partition)| ProducerSnapshot {
                partition: index as i32,
                offset: partition.next_offset,
                state: snapshot::encode(&partition.producers),
            })
            .collect()
    }
}

/// The end offset of each partition of a stored topic: the last batch in the active segment, the base offset there, or the log start
/// offset, whichever is largest (retention can have dropped everything).
pub(super) fn find_ends<E: Engine>(engine: &mut E, record: &TopicRecord) -> EngineResult<Vec<i64>> {
    let active = record.segments.iter().rev().find(|segment| segment.base_offsets.is_some());
    let Some(active) = active else {
        return Err(EngineError::Damaged(format!(
            "topic {} has no segment to write to",
            record.name
        )));
    };
    let id = SegmentId {
        topic: record.number,
        number: active.number,
    };
    let mut ends = Vec::with_capacity(record.partitions.len());
    for (index, partition) in record.partitions.iter().enumerate() {
        let index = index as i32;
        let mut end = partition.log_start_offset.max(active.base_offset(index).unwrap_or(0));
        if let Some(header) = engine.last_header(id, index)? {
            let next = next_offset_of(&header)
                .ok_or_else(|| EngineError::Damaged(format!("last batch of {}-{index} is too short", record.name)))?;
            end = end.max(next);
        }
        ends.push(end);
    }
    Ok(ends)
}

/// Largest timestamp of each partition's first batch in the segment that is being filled, as far as there is one.
pub(super) fn find_first_timestamps<E: Engine>(engine: &mut E, record: &TopicRecord) -> EngineResult<Vec<Option<i64>>> {
    let active = record.segments.iter().rev().find(|segment| segment.base_offsets.is_some());
    let partitions = 0..i32::try_from(record.partitions.len()).unwrap_or(i32::MAX);
    let first = |partition| {
        let part = active.and_then(|active| part_of(record.number, active, partition));
        let Some(part) = part.filter(|_| active.is_some_and(|active| active.bytes > 0)) else {
            return Ok(None);
        };
        let header = engine.read_headers(part.segment, partition, 0, 1)?.pop();
        let parsed = header.map(|header| BatchHeader::parse(&header)).transpose();
        parsed
            .map(|header| header.map(|header| header.max_timestamp))
            .map_err(|error| EngineError::Damaged(format!("first batch of {}-{partition}: {error}", record.name)))
    };
    partitions.map(first).collect()
}
