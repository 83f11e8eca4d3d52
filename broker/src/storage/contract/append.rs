//! What is appended is what is read, and how much room it takes.

use super::batches::{
    append, assert_log, assert_refused, batch, in_transaction, make_topic, new_topic, placed, read, run_of, stored,
};
use crate::storage::engine::{CommitMode, Engine, PlacedBatch, SegmentId};
use crate::wire::BATCH_HEADER_BYTES;

/// Batches that just fit a page, or just do not, alone or behind others.
pub(super) fn every_size_around_a_page_comes_back_exactly<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let sizes = (BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + 20)
        .chain(8_040..8_200)
        .chain(16_200..16_220)
        .chain([30, 300, 3_000].map(|n| n + 61));
    let batches: Vec<_> = sizes
        .enumerate()
        .map(|(index, size)| placed(0, index as i32, batch(size, 1, index as u64)))
        .collect();
    for group in batches.chunks(7) {
        append(&mut engine, segment, group);
    }
    assert_log(&mut engine, segment, 0, &batches);
    drop(engine);
    assert_log(&mut open(), segment, 0, &batches);
}

/// A batch over more than a hundred pages.
pub(super) fn a_batch_of_one_mebibyte_comes_back_exactly<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let batches = [
        placed(0, 0, batch(100, 1, 1)),
        placed(0, 1, batch(1 << 20, 500, 2)),
        placed(0, 501, batch(70, 1, 3)),
    ];
    append(&mut engine, segment, &batches);
    assert_log(&mut engine, segment, 0, &batches);
    assert_eq!(read(&mut engine, segment, 0, 300, 1), [stored(&batches[1])]);
}

/// Thousands of rows in one multi-insert.
pub(super) fn many_tiny_batches_in_one_call<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let batches = run_of(0, 0, 5_000, 1, 70);
    append(&mut engine, segment, &batches);
    assert_log(&mut engine, segment, 0, &batches);
}

/// The next group goes on filling the last page.
pub(super) fn small_groups_share_pages<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let batches = run_of(0, 0, 400, 1, 200);
    let mut bytes = 0;
    for batch in &batches {
        engine.begin().unwrap();
        engine.lock_segment(segment).unwrap();
        bytes = engine.append(segment, std::slice::from_ref(batch)).unwrap().segment_bytes;
        engine.commit(CommitMode::Async).unwrap();
    }
    assert!(bytes <= 400 * 280, "{bytes} bytes of segment for 400 batches of 200");
    assert_log(&mut engine, segment, 0, &batches);
}

/// At most 1.1 bytes of heap for a byte of payload at batches of 16 KiB.
pub(super) fn pages_are_filled_by_large_batches<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let batches = run_of(0, 0, 256, 16, 16 * 1024);
    let mut bytes = 0;
    for group in batches.chunks(5) {
        bytes = append(&mut engine, segment, group);
    }
    let payload: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
    assert!(
        bytes as f64 <= 1.1 * payload as f64,
        "{bytes} bytes of segment for {payload} of payload"
    );
    assert_log(&mut engine, segment, 0, &batches);
}

/// One segment holds all partitions of a topic.
pub(super) fn partitions_of_one_call_interleave<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(3));
    let batches: Vec<PlacedBatch> = (0..300)
        .map(|index| placed(2 - index % 3, index / 3 * 2, batch(61 + 37 * index as usize, 2, index as u64)))
        .collect();
    append(&mut engine, segment, &batches);
    for partition in 0..3 {
        let of_partition: Vec<_> = batches.iter().filter(|batch| batch.partition == partition).cloned().collect();
        assert_log(&mut engine, segment, partition, &of_partition);
    }
}

/// Two segments hold their own parts of a partition.
pub(super) fn a_log_goes_on_in_the_next_segment<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let first = make_topic(&mut engine, &new_topic(1));
    let second = SegmentId { number: 2, ..first };
    let before = run_of(0, 0, 10, 3, 5_000);
    append(&mut engine, first, &before);
    in_transaction(&mut engine, |engine| engine.create_segment(second).unwrap());
    let mut after = run_of(0, 0, 10, 3, 5_000);
    after.iter_mut().for_each(|batch| batch.base_offset += 30);
    in_transaction(&mut engine, |engine| {
        engine.activate_segment(second, &[30]).unwrap();
        engine.lock_segment(second).unwrap();
        engine.append(second, &after).unwrap();
    });
    assert_log(&mut engine, first, 0, &before);
    assert_log(&mut engine, second, 0, &after);
}

/// Offsets are eight bytes; the distance from the segment's base is four.
pub(super) fn offsets_beyond_four_bytes<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let base = 5_000_000_000;
    let batches = [0, 70_000, i32::MAX - 1].map(|relative_offset| PlacedBatch {
        base_offset: base + i64::from(relative_offset),
        ..placed(0, relative_offset, batch(100, 2, 9))
    });
    append(&mut engine, segment, &batches);
    assert_log(&mut engine, segment, 0, &batches);
    assert_eq!(read(&mut engine, segment, 0, i32::MAX, usize::MAX), [stored(&batches[2])]);
}

/// Appends of many pages, each after one that was undone, as a transaction or as a part of one; and some of few bytes between.
pub(super) fn many_pages_after_undone_ones<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let mut written: Vec<PlacedBatch> = Vec::new();
    for (round, size) in [100, 20_000, 8_150, 100_000, 70].into_iter().enumerate() {
        let next = 10 * round as i32;
        engine.begin().unwrap();
        engine.lock_segment(segment).unwrap();
        engine.append(segment, &run_of(0, next, 10, 1, 30_000)).unwrap();
        engine.rollback();
        let batches = run_of(0, next, 10, 1, size);
        in_transaction(&mut engine, |engine| {
            engine.lock_segment(segment).unwrap();
            engine.append(segment, &batches[..5]).unwrap();
            engine.savepoint().unwrap();
            engine.append(segment, &run_of(0, next + 5, 5, 1, 50_000)).unwrap();
            engine.rollback_to_savepoint();
            engine.append(segment, &batches[5..]).unwrap();
        });
        written.extend(batches);
    }
    assert_log(&mut engine, segment, 0, &written);
    drop(engine);
    assert_log(&mut open(), segment, 0, &written);
}

/// Writing an offset a second time fails, and leaves what was there.
pub(super) fn a_relative_offset_is_taken_once<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let batches = run_of(0, 0, 3, 1, 100);
    append(&mut engine, segment, &batches);
    engine.begin().unwrap();
    engine.lock_segment(segment).unwrap();
    assert_refused(engine.append(segment, &[placed(0, 1, batch(200, 1, 77))]));
    engine.rollback();
    assert_log(&mut engine, segment, 0, &batches);
}

/// A bug in the caller is refused before it can write past another session's lock.
pub(super) fn an_append_needs_its_lock<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    engine.begin().unwrap();
    assert_refused(engine.append(segment, &run_of(0, 0, 1, 1, 100)));
    engine.rollback();
    assert_log(&mut engine, segment, 0, &[]);
}
