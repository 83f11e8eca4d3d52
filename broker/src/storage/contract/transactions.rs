//! Commit, rollback, savepoints, errors and durability.

use std::time::{Duration, Instant};

use super::batches::{append, assert_log, assert_refused, in_transaction, make_topic, new_topic, run_of};
use crate::storage::engine::{CommitMode, Engine, LogPosition};

/// What was rolled back was never there, and its offsets are free again.
pub(super) fn a_rollback_leaves_nothing<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    engine.rollback();
    engine.begin().unwrap();
    engine.lock_segment(segment).unwrap();
    engine.append(segment, &run_of(0, 0, 10, 1, 5_000)).unwrap();
    engine.set_log_starts(segment.topic, &[(0, 5)]).unwrap();
    engine.rollback();
    assert_log(&mut engine, segment, 0, &[]);
    let other = run_of(0, 0, 5, 2, 3_000);
    append(&mut engine, segment, &other);
    assert_log(&mut engine, segment, 0, &other);
}

/// The rest of the transaction stays, and more can follow.
pub(super) fn a_savepoint_is_undone_alone<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let kept = run_of(0, 0, 3, 1, 5_000);
    let later = run_of(0, 3, 3, 1, 500);
    in_transaction(&mut engine, |engine| {
        engine.lock_segment(segment).unwrap();
        engine.append(segment, &kept).unwrap();
        engine.savepoint().unwrap();
        engine.append(segment, &run_of(0, 3, 9, 1, 9_000)).unwrap();
        engine.rollback_to_savepoint();
        engine.savepoint().unwrap();
        engine.append(segment, &later).unwrap();
        engine.release_savepoint().unwrap();
    });
    assert_log(&mut engine, segment, 0, &[kept, later].concat());
}

/// Several subtransactions, one after the other, with locks taken inside.
pub(super) fn a_released_savepoint_stays<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segments: Vec<_> = (0..3).map(|_| make_topic(&mut engine, &new_topic(1))).collect();
    let batches = run_of(0, 0, 4, 1, 3_000);
    in_transaction(&mut engine, |engine| {
        for segment in &segments {
            engine.savepoint().unwrap();
            engine.lock_segment(*segment).unwrap();
            engine.append(*segment, &batches).unwrap();
            engine.release_savepoint().unwrap();
        }
    });
    for segment in segments {
        assert_log(&mut engine, segment, 0, &batches);
    }
}

/// One bad relation fails only its own requests.
pub(super) fn an_error_is_undone_by_a_savepoint<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let good = make_topic(&mut engine, &new_topic(1));
    let bad = make_topic(&mut engine, &new_topic(1));
    let batches = run_of(0, 0, 4, 1, 3_000);
    append(&mut engine, bad, &batches);
    in_transaction(&mut engine, |engine| {
        for segment in [bad, good] {
            engine.savepoint().unwrap();
            engine.lock_segment(segment).unwrap();
            match engine.append(segment, &batches) {
                Ok(_) => engine.release_savepoint().unwrap(),
                Err(error) => {
                    assert_eq!(segment, bad, "{error}");
                    engine.rollback_to_savepoint();
                }
            }
        }
    });
    assert_log(&mut engine, bad, 0, &batches);
    assert_log(&mut engine, good, 0, &batches);
}

/// After a failed call the transaction cannot commit; after the rollback the engine works.
pub(super) fn an_error_leaves_nothing_but_rollback<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let batches = run_of(0, 0, 2, 1, 100);
    append(&mut engine, segment, &batches);
    engine.begin().unwrap();
    engine.lock_segment(segment).unwrap();
    engine.append(segment, &run_of(0, 2, 2, 1, 100)).unwrap();
    assert_refused(engine.append(segment, &batches));
    assert_refused(engine.commit(CommitMode::Flush));
    assert_log(&mut engine, segment, 0, &batches);
    append(&mut engine, segment, &run_of(0, 2, 1, 1, 100));
}

/// Positions rise, and a flushed commit is durable when it returns if no standby is asked for.
pub(super) fn flushed_commits_are_durable<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    let mut last = LogPosition::default();
    for offset in 0..5 {
        engine.begin().unwrap();
        engine.lock_segment(segment).unwrap();
        engine.append(segment, &run_of(0, offset, 1, 1, 100)).unwrap();
        let position = engine.commit(CommitMode::Flush).unwrap();
        assert!(position > last, "{position:?} after {last:?}");
        assert!(engine.durable_position() >= position);
        last = position;
    }
}

/// Nobody has to commit again for an asynchronous commit to become durable.
pub(super) fn asynchronous_commits_become_durable<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    engine.begin().unwrap();
    engine.lock_segment(segment).unwrap();
    engine.append(segment, &run_of(0, 0, 1, 1, 100)).unwrap();
    let position = engine.commit(CommitMode::Async).unwrap();
    assert!(position > LogPosition::default());
    let deadline = Instant::now() + Duration::from_secs(10);
    while engine.durable_position() < position {
        assert!(Instant::now() < deadline, "not durable after 10 s");
        std::thread::yield_now();
    }
}

/// An asynchronous commit is durable as soon as it is flushed, whether or not another process has begun with that, and flushing again does
/// no harm.
pub(super) fn a_flush_makes_asynchronous_commits_durable<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    engine.begin().unwrap();
    engine.lock_segment(segment).unwrap();
    engine.append(segment, &run_of(0, 0, 1, 1, 100)).unwrap();
    let position = engine.commit(CommitMode::Async).unwrap();
    engine.begin_flush(position);
    for _ in 0..2 {
        engine.flush(position).unwrap();
        assert!(engine.durable_position() >= position);
    }
}

/// A transaction that wrote nothing has nothing to wait for.
pub(super) fn nothing_written_is_durable_already<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let segment = make_topic(&mut engine, &new_topic(1));
    engine.begin().unwrap();
    assert!(engine.read(segment, 0, 0, 1).unwrap().is_empty());
    let position = engine.commit(CommitMode::Flush).unwrap();
    assert!(engine.durable_position() >= position);
}
