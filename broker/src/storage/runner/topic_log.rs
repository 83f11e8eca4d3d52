//! A topic's log as the database thread knows it: its segments, the next offset of each partition, the open stretch of the time index.

use std::sync::Arc;

use crate::catalog::configs::TopicConfigs;
use crate::catalog::Topic;
use crate::limits::TIME_INDEX_INTERVAL_BYTES;
use crate::log::partition::{next_offset_of, Partition};
use crate::producers::snapshot;
use crate::producers::state::Producers;
use crate::storage::engine::{
    Engine, EngineError, EngineResult, ProducerSnapshot, SegmentId, SegmentRecord, TimeIndexEntry, TopicNumber, TopicRecord,
};

/// The stretch of a partition's log that will become the next entry of the time index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    start_offset: i64,
    bytes: u64,
    max_timestamp_ms: i64,
}

impl Stretch {
    pub(super) fn at(offset: i64) -> Self {
        Stretch {
            start_offset: offset,
            bytes: 0,
            max_timestamp_ms: i64::MIN,
        }
    }

    pub(super) fn add(&mut self, bytes: usize, max_timestamp_ms: i64) {
        self.bytes += bytes as u64;
        self.max_timestamp_ms = self.max_timestamp_ms.max(max_timestamp_ms);
    }

    pub(super) fn is_due(&self) -> bool {
        self.bytes >= TIME_INDEX_INTERVAL_BYTES
    }

    /// The entry of this stretch up to `end_offset`; `None` if it is empty.
    pub(super) fn entry(&self, partition: i32, end_offset: i64) -> Option<TimeIndexEntry> {
        (self.bytes > 0).then_some(TimeIndexEntry {
            partition,
            start_offset: self.start_offset,
            end_offset,
            max_timestamp_ms: self.max_timestamp_ms,
        })
    }
}

/// What the next append to a partition starts from.
#[derive(Debug)]
pub(super) struct PartitionLog {
    pub(super) partition: Arc<Partition>,
    pub(super) next_offset: i64,
    /// Whether the start of the current leader epoch is stored.
    pub(super) epoch_stored: bool,
    pub(super) stretch: Stretch,
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
}

impl TopicLog {
    pub(super) fn new(topic: Arc<Topic>, record: &TopicRecord, ends: &[i64], leader_epoch: i32) -> Self {
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
                producers: Producers::default(),
                unsnapshotted_bytes: 0,
            })
            .collect();
        TopicLog {
            topic,
            segments: record.segments.clone(),
            partitions,
        }
    }

    /// Takes over what a session or the maintenance worker changed: configs, added partitions, segments made ahead or dropped.
    pub(super) fn refresh(&mut self, record: &TopicRecord, leader_epoch: i32) {
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
            configs: TopicConfigs::from_overrides(record.configs.clone()),
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
            || self.crowded_out().is_some()
    }

    /// How many offsets the partition has in the segment that is being filled.
    pub(super) fn offsets_in(&self, active: &SegmentRecord, partition: i32) -> i64 {
        self.partitions[partition as usize].next_offset - base_offset_of(active, partition).unwrap_or(0)
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
                let base_in = |segment| base_offset_of(segment, index as i32);
                let end = next.and_then(|next| base_in(next)).unwrap_or(partition.next_offset);
                u64::try_from(end - base_in(segment).unwrap_or(0)).unwrap_or(0)
            });
            (self.id_of(segment), offsets.collect())
        });
        contents.collect()
    }

    /// The segments that can hold `offset` and what follows it, in order, with the partition's base offset in each.
    pub(super) fn segments_from(&self, partition: i32, offset: i64) -> Vec<(SegmentId, i64)> {
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

/// See [`TopicLog::segments_from`].
pub(super) fn segments_from(
    topic: TopicNumber,
    segments: &[SegmentRecord],
    partition: i32,
    offset: i64,
) -> Vec<(SegmentId, i64)> {
    let mut found: Vec<(SegmentId, i64)> = Vec::new();
    for segment in segments {
        let Some(base) = base_offset_of(segment, partition) else {
            continue;
        };
        if base <= offset {
            found.clear();
        }
        let number = segment.number;
        found.push((SegmentId { topic, number }, base));
    }
    found
}

/// The offset of the partition's first record that may be in the segment; `None` if the segment holds nothing yet.
pub(super) fn base_offset_of(segment: &SegmentRecord, partition: i32) -> Option<i64> {
    let bases = segment.base_offsets.as_ref()?;
    Some(
        usize::try_from(partition)
            .ok()
            .and_then(|index| bases.get(index))
            .copied()
            .unwrap_or(0),
    )
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
        let mut end = partition.log_start_offset.max(base_offset_of(active, index).unwrap_or(0));
        if let Some(header) = engine.last_header(id, index)? {
            let next = next_offset_of(&header)
                .ok_or_else(|| EngineError::Damaged(format!("last batch of {}-{index} is too short", record.name)))?;
            end = end.max(next);
        }
        ends.push(end);
    }
    Ok(ends)
}
