//! What a database in memory holds. Copies share what they do not change, so a transaction works on a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::database_error;
use super::groups::GroupTables;
use crate::storage::engine::{
    EngineError, EngineResult, NewTopic, PartFacts, PartitionRecord, PlacedBatch, ProducerSnapshot, SegmentAge, SegmentId,
    SegmentRecord, TimeIndexEntry, TopicNumber, TopicRecord,
};
use crate::wire::batch::BatchHeader;
use crate::wire::BATCH_HEADER_BYTES;

const PAGE_BYTES: u64 = 8192;

/// All tables.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) leader_epoch: i32,
    pub(super) next_producer_id: i64,
    pub(super) groups: GroupTables,
    topics: BTreeMap<TopicNumber, Arc<Topic>>,
}

#[derive(Clone)]
struct Topic {
    id: Uuid,
    name: String,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionRecord>,
    segments: BTreeMap<i32, Arc<Segment>>,
    producer_snapshots: BTreeMap<i32, ProducerSnapshot>,
}

/// One segment: its batches by (partition, relative offset).
#[derive(Clone, Default)]
pub(super) struct Segment {
    base_offsets: Option<Vec<i64>>,
    origins: Option<Vec<i64>>,
    batches: BTreeMap<(i32, i32), Bytes>,
    payload_bytes: u64,
    is_frozen: bool,
    time_index: BTreeMap<(i32, i64), TimeIndexEntry>,
}

/// The header bytes of a batch.
pub(super) fn header(batch: &Bytes) -> Bytes {
    batch.slice(..BATCH_HEADER_BYTES.min(batch.len()))
}

/// `lastOffsetDelta` of a batch: bytes 23 to 26 of its header.
fn last_offset_delta(batch: &Bytes) -> i32 {
    batch
        .get(23..27)
        .and_then(|field| field.try_into().ok())
        .map_or(0, i32::from_be_bytes)
}

/// Bytes of the whole batch by its header, 0 if there is none.
pub(super) fn size_of_batch(batch: &[u8]) -> usize {
    BatchHeader::parse(batch).map_or(0, |header| header.size_bytes())
}

fn missing(what: impl std::fmt::Debug) -> EngineError {
    database_error("42704", format!("{what:?} does not exist"))
}

impl State {
    fn topic(&self, number: TopicNumber) -> EngineResult<&Topic> {
        self.topics.get(&number).map(Arc::as_ref).ok_or_else(|| missing(number))
    }

    fn topic_mut(&mut self, number: TopicNumber) -> EngineResult<&mut Topic> {
        self.topics.get_mut(&number).map(Arc::make_mut).ok_or_else(|| missing(number))
    }

    pub(super) fn partition_mut(&mut self, topic: TopicNumber, partition: i32) -> EngineResult<&mut PartitionRecord> {
        let index = usize::try_from(partition).map_err(|_| missing(partition))?;
        self.topic_mut(topic)?
            .partitions
            .get_mut(index)
            .ok_or_else(|| missing((topic, partition)))
    }

    pub(super) fn segment(&self, id: SegmentId) -> EngineResult<&Segment> {
        self.topic(id.topic)?
            .segments
            .get(&id.number)
            .map(Arc::as_ref)
            .ok_or_else(|| missing(id))
    }

    pub(super) fn segment_mut(&mut self, id: SegmentId) -> EngineResult<&mut Segment> {
        self.topic_mut(id.topic)?
            .segments
            .get_mut(&id.number)
            .map(Arc::make_mut)
            .ok_or_else(|| missing(id))
    }

    pub(super) fn create_segment(&mut self, id: SegmentId) -> EngineResult<()> {
        let segments = &mut self.topic_mut(id.topic)?.segments;
        match segments.insert(id.number, Arc::default()) {
            None => Ok(()),
            Some(_) => Err(database_error("42P07", format!("{id:?} exists"))),
        }
    }

    pub(super) fn drop_segment(&mut self, id: SegmentId) -> EngineResult<()> {
        self.topic_mut(id.topic)?
            .segments
            .remove(&id.number)
            .map(|_| ())
            .ok_or_else(|| missing(id))
    }

    /// Puts a rewritten segment in its place and forgets those that were merged into it.
    pub(super) fn put_rewritten(&mut self, id: SegmentId, segment: Segment, merged: &[SegmentId]) -> EngineResult<()> {
        self.segment(id)?;
        for merged in merged {
            self.drop_segment(*merged)?;
        }
        self.topic_mut(id.topic)?.segments.insert(id.number, Arc::new(segment));
        Ok(())
    }

    pub(super) fn part_facts(&self, number: TopicNumber) -> EngineResult<Vec<PartFacts>> {
        let topic = self.topic(number)?;
        let mut facts: BTreeMap<(i32, i32), PartFacts> = BTreeMap::new();
        for (segment, entries) in topic.segments.iter().map(|(number, segment)| (*number, &segment.time_index)) {
            for entry in entries.values() {
                let log_start = usize::try_from(entry.partition)
                    .ok()
                    .and_then(|index| topic.partitions.get(index))
                    .map_or(0, |partition| partition.log_start_offset);
                let part = facts.entry((segment, entry.partition)).or_insert(PartFacts {
                    segment,
                    partition: entry.partition,
                    offsets: 0,
                    bytes: 0,
                    live_bytes: 0,
                    max_timestamp_ms: entry.max_timestamp_ms,
                });
                part.offsets += entry.end_offset - entry.start_offset;
                part.bytes += entry.bytes;
                part.live_bytes += if entry.end_offset > log_start { entry.bytes } else { 0 };
                part.max_timestamp_ms = part.max_timestamp_ms.max(entry.max_timestamp_ms);
            }
        }
        Ok(facts.into_values().collect())
    }

    pub(super) fn segment_ages(&self, number: TopicNumber) -> EngineResult<Vec<SegmentAge>> {
        let segments = self.topic(number)?.segments.iter();
        let ages = segments.map(|(number, segment)| SegmentAge {
            segment: *number,
            transactions: 0,
            is_frozen: segment.is_frozen,
        });
        Ok(ages.collect())
    }

    pub(super) fn create_topic(&mut self, number: TopicNumber, new: &NewTopic) -> EngineResult<()> {
        if self.topics.values().any(|topic| topic.name == new.name || topic.id == new.id) {
            return Err(database_error("23505", format!("topic {} exists", new.name)));
        }
        let partitions: Vec<_> = (0..new.partitions)
            .map(|_| PartitionRecord {
                log_start_offset: 0,
                epochs: Vec::new(),
            })
            .collect();
        let first = Segment {
            base_offsets: Some(vec![0; partitions.len()]),
            ..Segment::default()
        };
        let topic = Topic {
            id: new.id,
            name: new.name.clone(),
            configs: new.configs.clone(),
            partitions,
            segments: BTreeMap::from([(1, Arc::new(first))]),
            producer_snapshots: BTreeMap::new(),
        };
        self.topics.insert(number, Arc::new(topic));
        Ok(())
    }

    pub(super) fn topic_configs(&self, number: TopicNumber) -> Option<BTreeMap<String, String>> {
        self.topics.get(&number).map(|topic| topic.configs.clone())
    }

    pub(super) fn set_topic_configs(&mut self, number: TopicNumber, configs: &BTreeMap<String, String>) -> EngineResult<()> {
        self.topic_mut(number)?.configs.clone_from(configs);
        Ok(())
    }

    pub(super) fn topic_name(&self, number: TopicNumber) -> EngineResult<&str> {
        Ok(&self.topic(number)?.name)
    }

    pub(super) fn add_partitions(&mut self, number: TopicNumber, count: i32) -> EngineResult<i32> {
        let partitions = &mut self.topic_mut(number)?.partitions;
        let before = partitions.len();
        let count = usize::try_from(count).unwrap_or(0).max(before);
        partitions.resize_with(count, || PartitionRecord {
            log_start_offset: 0,
            epochs: Vec::new(),
        });
        i32::try_from(before).map_err(|_| EngineError::Damaged(format!("{before} partitions")))
    }

    pub(super) fn store_producer_snapshots(&mut self, number: TopicNumber, snapshots: &[ProducerSnapshot]) -> EngineResult<()> {
        let stored = &mut self.topic_mut(number)?.producer_snapshots;
        stored.extend(snapshots.iter().map(|snapshot| (snapshot.partition, snapshot.clone())));
        Ok(())
    }

    pub(super) fn producer_snapshots(&self, number: TopicNumber) -> EngineResult<Vec<ProducerSnapshot>> {
        Ok(self.topic(number)?.producer_snapshots.values().cloned().collect())
    }

    pub(super) fn delete_topic(&mut self, number: TopicNumber) -> EngineResult<()> {
        self.topics.remove(&number).map(|_| ()).ok_or_else(|| missing(number))
    }

    pub(super) fn topics(&self) -> Vec<TopicRecord> {
        let record = |(number, topic): (&TopicNumber, &Arc<Topic>)| TopicRecord {
            number: *number,
            id: topic.id,
            name: topic.name.clone(),
            configs: topic.configs.clone(),
            partitions: topic.partitions.clone(),
            segments: topic
                .segments
                .iter()
                .map(|(number, segment)| segment.record(*number))
                .collect(),
        };
        self.topics.iter().map(record).collect()
    }
}

impl Segment {
    fn record(&self, number: i32) -> SegmentRecord {
        SegmentRecord {
            number,
            base_offsets: self.base_offsets.clone(),
            origins: self.origins.clone(),
            bytes: self.bytes(),
        }
    }

    /// Size as if it were stored in pages.
    pub(super) fn bytes(&self) -> u64 {
        self.payload_bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES
    }

    pub(super) fn append(&mut self, batches: &[PlacedBatch]) -> EngineResult<u64> {
        for batch in batches {
            let mut stored = BytesMut::with_capacity(batch.bytes.len());
            batch.write_to(&mut stored);
            // A simulation of a large log stores headers only: they say how much they stand for.
            self.payload_bytes += stored.len().max(size_of_batch(&stored)) as u64;
            if self
                .batches
                .insert((batch.partition, batch.relative_offset), stored.freeze())
                .is_some()
            {
                return Err(database_error(
                    "23505",
                    format!("relative offset {} is taken", batch.relative_offset),
                ));
            }
        }
        Ok(self.bytes())
    }

    pub(super) fn activate(&mut self, base_offsets: &[i64]) -> EngineResult<()> {
        match self.base_offsets.replace(base_offsets.to_vec()) {
            None => Ok(()),
            Some(_) => Err(EngineError::Damaged("a segment is activated twice".to_owned())),
        }
    }

    pub(super) fn freeze(&mut self) {
        self.is_frozen = true;
    }

    /// Gives a rewritten segment its offsets.
    pub(super) fn place(&mut self, base_offsets: &[i64], origins: &[i64]) {
        self.base_offsets = Some(base_offsets.to_vec());
        self.origins = Some(origins.to_vec());
    }

    pub(super) fn add_time_index(&mut self, entries: &[TimeIndexEntry]) -> EngineResult<()> {
        for entry in entries {
            if self
                .time_index
                .insert((entry.partition, entry.start_offset), *entry)
                .is_some()
            {
                return Err(database_error("23505", format!("{entry:?} is there already")));
            }
        }
        Ok(())
    }

    pub(super) fn time_index(&self, partition: i32) -> Vec<TimeIndexEntry> {
        self.time_index
            .range((partition, i64::MIN)..=(partition, i64::MAX))
            .map(|(_, entry)| *entry)
            .collect()
    }

    /// The batches of a partition from the one that contains or follows an offset.
    pub(super) fn from(&self, partition: i32, relative_offset: i32) -> impl Iterator<Item = &Bytes> {
        let before = self
            .batches
            .range((partition, i32::MIN)..=(partition, relative_offset))
            .next_back();
        let start = match before {
            Some(((_, base), batch)) if base.saturating_add(last_offset_delta(batch)) >= relative_offset => *base,
            _ => relative_offset,
        };
        self.batches
            .range((partition, start)..=(partition, i32::MAX))
            .map(|(_, batch)| batch)
    }

    pub(super) fn last(&self, partition: i32) -> Option<&Bytes> {
        self.batches
            .range((partition, i32::MIN)..=(partition, i32::MAX))
            .next_back()
            .map(|(_, batch)| batch)
    }
}
