//! Batches, topics and transactions for the checks.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::storage::engine::{CommitMode, Engine, EngineError, NewTopic, PlacedBatch, SegmentId, TopicNumber, TopicRecord};
use crate::wire::BATCH_HEADER_BYTES;

/// A version 2 batch as a client sends it: of `size` bytes in all, with `records` records by its header; the bytes after the header
/// are noise that depends on `seed`.
pub(super) fn batch(size: usize, records: i32, seed: u64) -> Bytes {
    assert!(size >= BATCH_HEADER_BYTES);
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_i64(0);
    bytes.put_i32(i32::try_from(size - 12).unwrap());
    bytes.put_i32(-1);
    bytes.put_u8(2);
    bytes.put_u32(0);
    bytes.put_i16(0);
    bytes.put_i32(records - 1);
    bytes.put_i64(1_700_000_000_000);
    bytes.put_i64(1_700_000_000_000);
    bytes.put_i64(-1);
    bytes.put_i16(-1);
    bytes.put_i32(-1);
    bytes.put_i32(records);
    let mut noise = seed.wrapping_mul(2).wrapping_add(1);
    while bytes.len() < size {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let left = (size - bytes.len()).min(8);
        bytes.put_slice(&noise.to_be_bytes()[..left]);
    }
    bytes.freeze()
}

/// A batch at an offset of a partition whose base offset in the segment is 0.
pub(super) fn placed(partition: i32, offset: i32, bytes: Bytes) -> PlacedBatch {
    PlacedBatch {
        partition,
        base_offset: i64::from(offset),
        relative_offset: offset,
        leader_epoch: 7,
        bytes,
    }
}

/// `count` batches of `records` records and `size` bytes each, one after the other from offset `from`.
pub(super) fn run_of(partition: i32, from: i32, count: i32, records: i32, size: usize) -> Vec<PlacedBatch> {
    (0..count)
        .map(|index| {
            let offset = from + index * records;
            placed(partition, offset, batch(size, records, offset as u64))
        })
        .collect()
}

/// The bytes that are stored for a batch.
pub(super) fn stored(batch: &PlacedBatch) -> Bytes {
    let mut bytes = BytesMut::new();
    batch.write_to(&mut bytes);
    bytes.freeze()
}

/// A topic that nobody made yet.
pub(super) fn new_topic(partitions: i32) -> NewTopic {
    let id = Uuid::new_v4();
    NewTopic {
        id,
        name: format!("contract-{id}"),
        partitions,
        configs: BTreeMap::new(),
    }
}

/// Runs `body` in a transaction and commits it flushed.
pub(super) fn in_transaction<E: Engine, T>(engine: &mut E, body: impl FnOnce(&mut E) -> T) -> T {
    engine.begin().unwrap();
    let result = body(engine);
    engine.commit(CommitMode::Flush).unwrap();
    result
}

/// Makes a topic and returns its first segment.
pub(super) fn make_topic<E: Engine>(engine: &mut E, topic: &NewTopic) -> SegmentId {
    let topic = in_transaction(engine, |engine| {
        engine.lock_topic_name(&topic.name).unwrap();
        engine.create_topic(topic).unwrap()
    });
    SegmentId { topic, number: 1 }
}

/// Appends in a transaction of its own; returns the segment's size.
pub(super) fn append<E: Engine>(engine: &mut E, segment: SegmentId, batches: &[PlacedBatch]) -> u64 {
    in_transaction(engine, |engine| {
        engine.lock_segment(segment).unwrap();
        engine.append(segment, batches).unwrap().segment_bytes
    })
}

/// Reads in a transaction of its own.
pub(super) fn read<E: Engine>(engine: &mut E, segment: SegmentId, partition: i32, from: i32, max_bytes: usize) -> Vec<Bytes> {
    in_transaction(engine, |engine| engine.read(segment, partition, from, max_bytes).unwrap())
}

/// Asserts that a partition's log in a segment is exactly these batches.
pub(super) fn assert_log<E: Engine>(engine: &mut E, segment: SegmentId, partition: i32, expected: &[PlacedBatch]) {
    let got = read(engine, segment, partition, 0, usize::MAX);
    assert_eq!(got.len(), expected.len(), "number of batches of partition {partition}");
    for (got, expected) in got.iter().zip(expected) {
        assert!(*got == stored(expected), "batch at {} differs", expected.base_offset);
    }
}

/// The stored topic of a number, if there is one.
pub(super) fn load<E: Engine>(engine: &mut E, number: TopicNumber) -> Option<TopicRecord> {
    in_transaction(engine, |engine| engine.load_topics().unwrap())
        .into_iter()
        .find(|topic| topic.number == number)
}

/// Asserts that the database refused.
pub(super) fn assert_refused<T: std::fmt::Debug>(result: Result<T, EngineError>) {
    match result {
        Err(EngineError::Database { sqlstate, .. }) => assert_eq!(sqlstate.len(), 5),
        Err(EngineError::Damaged(_)) => {}
        other => panic!("expected a refusal, got {other:?}"),
    }
}
