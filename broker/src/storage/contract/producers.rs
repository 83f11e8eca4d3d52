//! Snapshots of producers, and producer ids.

use super::batches::{append, assert_refused, in_transaction, make_topic, new_topic, run_of};
use crate::storage::engine::{CommitMode, Engine, ProducerSnapshot, SegmentId, TopicNumber};

fn snapshot(partition: i32, offset: i64, state: &[u8]) -> ProducerSnapshot {
    ProducerSnapshot {
        partition,
        offset,
        state: state.to_vec(),
    }
}

fn store<E: Engine>(engine: &mut E, topic: TopicNumber, snapshots: &[ProducerSnapshot]) {
    in_transaction(engine, |engine| engine.store_producer_snapshots(topic, snapshots).unwrap());
}

fn stored<E: Engine>(engine: &mut E, topic: TopicNumber) -> Vec<ProducerSnapshot> {
    in_transaction(engine, |engine| engine.producer_snapshots(topic).unwrap())
}

/// The last one of each partition counts, of its own topic; sizes from nothing to more than a page, any bytes.
pub(super) fn snapshots_are_kept_one_per_partition<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let [topic, other] = [3, 1].map(|partitions| make_topic(&mut engine, &new_topic(partitions)).topic);
    assert_eq!(stored(&mut engine, topic), []);
    let large: Vec<u8> = (0..100_000).map(|index| (index * 31 % 251) as u8).collect();
    let first = [snapshot(2, 5_000_000_000, &large), snapshot(0, 0, &[])];
    store(&mut engine, topic, &first);
    store(&mut engine, other, &[snapshot(0, 7, b"other")]);
    drop(engine);
    let mut engine = open();
    assert_eq!(stored(&mut engine, topic), [first[1].clone(), first[0].clone()]);
    let second = [snapshot(1, 1, &[0, 255]), snapshot(2, 6_000_000_000, b"newer")];
    store(&mut engine, topic, &second);
    assert_eq!(
        stored(&mut engine, topic),
        [first[1].clone(), second[0].clone(), second[1].clone()]
    );
    assert_eq!(stored(&mut engine, other), [snapshot(0, 7, b"other")]);
}

/// One that is written in the transaction that leaves a segment, beside the append; a rollback takes both back.
pub(super) fn a_snapshot_goes_with_an_append<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    append(&mut engine, segment, &run_of(0, 0, 1, 1, 100));
    let next = SegmentId { number: 2, ..segment };
    in_transaction(&mut engine, |engine| engine.create_segment(next).unwrap());
    for commits in [false, true] {
        engine.begin().unwrap();
        engine.lock_bookkeeping().unwrap();
        engine.lock_segment(next).unwrap();
        engine.activate_segment(next, &[1]).unwrap();
        let snapshots = [snapshot(0, 1, b"state")];
        engine.store_producer_snapshots(segment.topic, &snapshots).unwrap();
        engine.append(next, &run_of(0, 0, 1, 1, 100)).unwrap();
        if commits {
            engine.commit(CommitMode::Flush).unwrap();
            assert_eq!(stored(&mut engine, segment.topic), snapshots);
        } else {
            engine.rollback();
            assert_eq!(stored(&mut engine, segment.topic), []);
        }
    }
}

/// They go with their topic, and a topic that is gone takes none.
pub(super) fn snapshots_go_with_their_topic<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let [topic, other] = [0, 1].map(|_| make_topic(&mut engine, &new_topic(1)).topic);
    for topic in [topic, other] {
        store(&mut engine, topic, &[snapshot(0, 1, b"state")]);
    }
    in_transaction(&mut engine, |engine| engine.delete_topic(topic).unwrap());
    engine.begin().unwrap();
    assert_refused(engine.store_producer_snapshots(topic, &[snapshot(0, 1, b"state")]));
    engine.rollback();
    assert_eq!(stored(&mut engine, other), [snapshot(0, 1, b"state")]);
}

/// Blocks of producer ids follow each other, across restarts; one that was rolled back is taken again.
pub(super) fn producer_ids_are_taken_once<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let take = |engine: &mut E, count| in_transaction(engine, |engine| engine.allocate_producer_ids(count).unwrap());
    let first = take(&mut engine, 1000);
    assert!(first >= 0);
    engine.begin().unwrap();
    assert_eq!(engine.allocate_producer_ids(5).unwrap(), first + 1000);
    assert_eq!(engine.allocate_producer_ids(5).unwrap(), first + 1005);
    engine.rollback();
    assert_eq!(take(&mut engine, 1), first + 1000);
    drop(engine);
    assert_eq!(take(&mut open(), 1000), first + 1001);
}
