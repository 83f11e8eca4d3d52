//! What keeps a log small: the sums of the time index, and segments that are rewritten.

use super::batches::{append, assert_log, in_transaction, load, make_topic, new_topic, read, run_of, stored};
use crate::storage::engine::{Engine, EngineError, PartFacts, PlacedBatch, SegmentId, TimeIndexEntry};

fn entry(partition: i32, start_offset: i64, bytes: u64, max_timestamp_ms: i64) -> TimeIndexEntry {
    TimeIndexEntry {
        partition,
        start_offset,
        end_offset: start_offset + 10,
        bytes,
        max_timestamp_ms,
    }
}

/// Offsets, bytes, and those of them above the log start, per segment and partition.
pub(super) fn the_time_index_is_summed_up<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let first = make_topic(&mut engine, &new_topic(2));
    let second = SegmentId { number: 2, ..first };
    in_transaction(&mut engine, |engine| engine.create_segment(second).unwrap());
    in_transaction(&mut engine, |engine| {
        let of_first = [entry(1, 0, 1 << 40, 7), entry(1, 10, 5, 9), entry(0, 0, 3, -1)];
        engine.add_time_index(first, &of_first).unwrap();
        engine.add_time_index(second, &[entry(1, 20, 2, 8)]).unwrap();
        engine.set_log_starts(first.topic, &[(1, 10)]).unwrap();
    });
    let part = |segment, partition, offsets, bytes, live_bytes, max_timestamp_ms| PartFacts {
        segment,
        partition,
        offsets,
        bytes,
        live_bytes,
        max_timestamp_ms,
    };
    let facts = in_transaction(&mut engine, |engine| engine.part_facts(first.topic).unwrap());
    let expected = [
        part(1, 0, 10, 3, 3, -1),
        part(1, 1, 20, (1 << 40) + 5, 5, 9),
        part(2, 1, 10, 2, 2, 8),
    ];
    assert_eq!(facts, expected);
}

/// Three segments of a topic of two partitions; the batches of partition 0 in the first two.
fn three_segments<E: Engine>(engine: &mut E) -> ([SegmentId; 3], Vec<PlacedBatch>, Vec<PlacedBatch>) {
    let first = make_topic(engine, &new_topic(2));
    let [second, third] = [2, 3].map(|number| SegmentId { number, ..first });
    let in_first = run_of(0, 0, 10, 3, 5_000);
    append(engine, first, &in_first);
    append(engine, first, &run_of(1, 0, 5, 1, 9_000));
    let mut in_second = run_of(0, 0, 10, 3, 700);
    in_second.iter_mut().for_each(|batch| batch.base_offset += 30);
    for (segment, bases) in [(second, [30, 5]), (third, [60, 5])] {
        in_transaction(engine, |engine| engine.create_segment(segment).unwrap());
        in_transaction(engine, |engine| engine.activate_segment(segment, &bases).unwrap());
    }
    append(engine, second, &in_second);
    in_transaction(engine, |engine| {
        engine.add_time_index(first, &[entry(0, 0, 1, 1)]).unwrap();
        engine.add_time_index(second, &[entry(0, 30, 1, 1)]).unwrap();
    });
    ([first, second, third], in_first, in_second)
}

/// What is left of the first segment of partition 0, as it is in the second.
fn moved(in_first: &[PlacedBatch]) -> Vec<PlacedBatch> {
    let live = in_first.iter().filter(|batch| batch.base_offset >= 15).cloned();
    live.map(|batch| PlacedBatch {
        relative_offset: batch.relative_offset - 30,
        ..batch
    })
    .collect()
}

/// The new table has what was put into it, at offsets below the origin too; what was merged is gone.
pub(super) fn a_rewritten_segment_takes_the_place_of_others<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let ([first, second, third], in_first, in_second) = three_segments(&mut engine);
    let moved = moved(&in_first);
    in_transaction(&mut engine, |engine| {
        engine.begin_rewrite(second).unwrap();
        engine.append_rewritten(&moved).unwrap();
        engine.append_rewritten(&in_second).unwrap();
        engine.finish_rewrite(&[first], &[15, 5], &[30, 5]).unwrap();
        engine.add_time_index(second, &[entry(0, 15, 2, 2)]).unwrap();
    });
    let mut engine = {
        drop(engine);
        open()
    };
    let topic = load(&mut engine, first.topic).unwrap();
    let offsets = |index: usize| {
        let segment = &topic.segments[index];
        (segment.number, segment.base_offsets.clone(), segment.origins.clone())
    };
    assert_eq!(offsets(0), (2, Some(vec![15, 5]), Some(vec![30, 5])));
    assert_eq!(offsets(1), (3, Some(vec![60, 5]), None));
    assert_eq!(topic.segments.len(), 2);
    assert_eq!(
        (topic.segments[0].base_offset(0), topic.segments[0].origin(0)),
        (Some(15), Some(30))
    );
    let all: Vec<_> = moved.iter().chain(&in_second).map(stored).collect();
    assert!(read(&mut engine, second, 0, -15, usize::MAX) == all);
    assert!(
        read(&mut engine, second, 0, -14, 1) == all[..1],
        "from inside a batch below the origin"
    );
    assert!(read(&mut engine, second, 0, 0, 1) == all[5..6]);
    assert!(read(&mut engine, second, 1, 0, usize::MAX).is_empty());
    in_transaction(&mut engine, |engine| {
        assert_eq!(engine.segment_size(first).unwrap(), 0);
        assert_eq!(engine.time_index(second, 0).unwrap(), [entry(0, 15, 2, 2)]);
        assert!(matches!(engine.lock_segment(first), Err(EngineError::Busy(_))));
    });
    append(&mut engine, third, &run_of(1, 0, 1, 1, 100));
    in_transaction(&mut engine, |engine| engine.drop_segment(second).unwrap());
}

/// One that is rolled back was never begun, and can be begun again.
pub(super) fn an_unfinished_rewrite_leaves_nothing<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let ([first, second, _], in_first, in_second) = three_segments(&mut engine);
    let before = load(&mut engine, first.topic);
    for finish in [false, true] {
        engine.begin().unwrap();
        engine.begin_rewrite(second).unwrap();
        engine.append_rewritten(&moved(&in_first)).unwrap();
        if finish {
            engine.finish_rewrite(&[first], &[15, 5], &[30, 5]).unwrap();
        }
        engine.rollback();
        assert_eq!(load(&mut engine, first.topic), before);
        assert_log(&mut engine, first, 0, &in_first);
        assert_log(&mut engine, second, 0, &in_second);
    }
}

/// A segment is frozen outside of transactions, and no other with it; what is in it is the same as before. Whether all of it is frozen
/// depends on the snapshots of other sessions.
pub(super) fn freezing_changes_nothing_that_is_read<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let before = in_transaction(&mut engine, |engine| engine.transaction_ids().unwrap());
    let ([first, second, third], in_first, in_second) = three_segments(&mut engine);
    let after = in_transaction(&mut engine, |engine| engine.transaction_ids().unwrap());
    assert!(after.next > before.next && after.freeze_max_age > 0);
    engine.begin().unwrap();
    assert!(engine.freeze_segment(first).is_err(), "inside a transaction");
    engine.rollback();
    engine.freeze_segment(first).unwrap();
    let ages = in_transaction(&mut engine, |engine| engine.segment_ages(first.topic).unwrap());
    let untouched: Vec<_> = ages.iter().filter(|age| !age.is_frozen).map(|age| age.segment).collect();
    assert!(untouched.ends_with(&[second.number, third.number]), "{ages:?}");
    engine.freeze_segment(second).unwrap();
    assert_log(&mut engine, first, 0, &in_first);
    assert_log(&mut engine, second, 0, &in_second);
    append(&mut engine, third, &run_of(1, 0, 1, 1, 100));
}
