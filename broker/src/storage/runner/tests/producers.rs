//! Idempotent producers over groups, failures, locks, delayed durability and restarts.

use super::*;
use crate::limits::PRODUCER_SNAPSHOT_INTERVAL_BYTES;
use crate::producers::snapshot;
use crate::producers::state::SequenceError;
use crate::storage::engine::{CommitMode, ProducerSnapshot};
use crate::storage::jobs::RefusedBatch;

const PRODUCER: i64 = 7;

/// A batch of a producer of epoch 0.
fn sequenced(base_sequence: i32, records: i32, size: usize) -> Bytes {
    let mut bytes = BytesMut::from(&batch(records, size, 1000 + i64::from(base_sequence))[..]);
    bytes[43..51].copy_from_slice(&PRODUCER.to_be_bytes());
    bytes[51..53].copy_from_slice(&0_i16.to_be_bytes());
    bytes[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    bytes.freeze()
}

/// One record of 100 bytes.
fn record(sequence: i32) -> Bytes {
    sequenced(sequence, 1, 100)
}

fn out_of_order(found: i32, expected: i32) -> Result<i64, StorageError> {
    let error = SequenceError::OutOfOrder {
        producer_id: PRODUCER,
        found,
        expected,
    };
    Err(StorageError::Sequence {
        error,
        log_start_offset: 0,
    })
}

fn offset(receiver: &mut oneshot::Receiver<Result<Appended, StorageError>>) -> Option<Result<i64, StorageError>> {
    answered(receiver).map(|answer| answer.map(|appended| appended.base_offset))
}

/// The snapshots that a database holds of a topic.
fn snapshots(database: &ModelDatabase, topic: TopicNumber) -> Vec<ProducerSnapshot> {
    let mut engine = database.open();
    engine.begin().unwrap();
    let snapshots = engine.producer_snapshots(topic).unwrap();
    engine.rollback();
    snapshots
}

#[test]
fn a_batch_that_is_sent_twice_in_one_group_is_written_once() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    let batches = [
        sequenced(0, 3, 100),
        sequenced(0, 3, 100),
        sequenced(3, 2, 100),
        sequenced(0, 3, 100),
        sequenced(6, 1, 100),
    ];
    let mut receivers = batches.map(|bytes| bench.submit(topic, 0, bytes));
    bench.turn();
    let answers: Vec<_> = receivers.iter_mut().map(|receiver| answered(receiver).unwrap()).collect();
    let ok = |base_offset, duplicate_timestamp_ms| {
        Ok(Appended {
            base_offset,
            log_start_offset: 0,
            duplicate_timestamp_ms,
        })
    };
    assert_eq!(answers[..4], [ok(0, None), ok(0, Some(1000)), ok(3, None), ok(0, Some(1000))]);
    assert_eq!(answers[4].clone().map(|appended| appended.base_offset), out_of_order(6, 5));
    assert_eq!(bench.stored(topic, 0, 0), [0, 3]);
}

#[test]
fn a_duplicate_is_answered_when_the_original_is_durable_and_makes_no_transaction() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 2, MIB);
    bench.database.hold_durability(true);
    let mut original = bench.submit(topic, 0, record(0));
    bench.turn();
    bench.database.take_calls();
    let mut duplicate = bench.submit(topic, 0, record(0));
    bench.turn();
    assert_eq!(bench.database.take_calls(), []);
    let mut beside = [bench.submit(topic, 0, record(0)), bench.submit(topic, 1, record(0))];
    bench.turn();
    assert!(answered(&mut original).is_none());
    assert!(answered(&mut duplicate).is_none());
    assert!(beside.iter_mut().all(|receiver| answered(receiver).is_none()));
    bench.database.hold_durability(false);
    bench.turn();
    for receiver in [&mut original, &mut duplicate].into_iter().chain(&mut beside) {
        assert_eq!(offset(receiver), Some(Ok(0)));
    }
    assert_eq!(bench.append(topic, 0, record(0)), Ok(0));
}

/// Goal: acks=1 with an early reply is answered at the commit of the original, not at its durability.
#[test]
fn an_early_reply_to_a_duplicate_needs_no_durability() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    bench.database.hold_durability(true);
    let early = |bench: &Bench| {
        let bytes = record(0);
        bench.runner.storage().append(Append {
            topic,
            partition: 0,
            last_offset_delta: 0,
            max_timestamp_ms: 0,
            producer: ProducerBatch::of(&BatchHeader::parse(&bytes).unwrap()),
            bytes,
            early_reply: true,
            deadline: bench.later(),
            charge: None,
            growth_charge: None,
        })
    };
    let mut both = [early(&bench), early(&bench)];
    bench.turn();
    let mut again = early(&bench);
    bench.turn();
    for receiver in both.iter_mut().chain([&mut again]) {
        assert_eq!(offset(receiver), Some(Ok(0)));
    }
}

#[test]
fn a_failed_group_gives_its_sequences_back() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    for (call, begun) in [(Call::Append, 0), (Call::Commit, 1), (Call::Append, 2)] {
        // The second failure is that of the topic alone; a commit is not tried again.
        bench.database.fail(call, 0, failure());
        if call == Call::Append {
            bench.database.fail(call, 0, failure());
        }
        let mut both = [
            bench.submit(topic, 0, record(begun)),
            bench.submit(topic, 0, record(begun + 1)),
        ];
        bench.turn();
        for receiver in &mut both {
            assert_eq!(offset(receiver), Some(Err(StorageError::Engine(failure()))), "{call:?}");
        }
        assert_eq!(bench.append(topic, 0, record(begun + 1)), out_of_order(begun + 1, begun));
        assert_eq!(bench.append(topic, 0, record(begun)), Ok(i64::from(begun)));
    }
    assert_eq!(bench.stored(topic, 0, 0), [0, 1, 2]);
}

/// Goal: what was sent behind a batch that is given up is not written before it, also when the producer has written nothing yet.
#[test]
fn what_waits_behind_a_batch_that_is_given_up_is_out_of_order() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    let segment = SegmentId { topic, number: 1 };
    for begun in [0, 2] {
        bench.database.hold_segment(segment);
        let mut first = bench.submit(topic, 0, record(begun));
        bench.turn();
        bench.now += Duration::from_secs(6);
        let mut second = bench.submit(topic, 0, record(begun + 1));
        bench.turn();
        bench.now += Duration::from_secs(6);
        bench.turn();
        assert_eq!(offset(&mut first), Some(Err(StorageError::TimedOut)));
        bench.database.release_segment(segment);
        bench.turn();
        assert_eq!(offset(&mut second), Some(out_of_order(begun + 1, begun)));
        for sequence in [begun, begun + 1] {
            assert_eq!(bench.append(topic, 0, record(sequence)), Ok(i64::from(sequence)));
        }
    }
}

#[test]
fn a_full_disk_keeps_the_order_of_sequences() {
    let settings = Settings {
        min_free_disk: 100 * MIB,
        ..Settings::default()
    };
    let mut bench = Bench::with_settings(&ModelDatabase::default(), &settings);
    let topic = bench.create("a", 1, MIB);
    bench.runner.disk_measured(&free(MIB), bench.now);
    assert_eq!(bench.append(topic, 0, record(0)), Err(StorageError::DiskFull));
    bench.runner.disk_measured(&free(1000 * MIB), bench.now);
    assert_eq!(bench.append(topic, 0, record(1)), out_of_order(1, 0));
    assert_eq!(bench.append(topic, 0, record(0)), Ok(0));
    assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
}

/// Goal: a batch that is in the log is never said not to be, whatever is wrong when it is sent again.
#[test]
fn a_repetition_is_not_refused_for_want_of_room_or_a_failure() {
    let settings = Settings {
        min_free_disk: 100 * MIB,
        ..Settings::default()
    };
    let mut bench = Bench::with_settings(&ModelDatabase::default(), &settings);
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, record(0)).unwrap();
    bench.runner.disk_measured(&free(MIB), bench.now);
    assert_eq!(bench.append(topic, 0, record(0)), Ok(0));
    assert_eq!(bench.append(topic, 0, record(1)), Err(StorageError::DiskFull));
    bench.runner.disk_measured(&free(1000 * MIB), bench.now);
    for _ in 0..2 {
        bench.database.fail(Call::Append, 0, failure());
    }
    let mut both = [bench.submit(topic, 0, record(0)), bench.submit(topic, 0, record(1))];
    bench.turn();
    let answers = both.each_mut().map(|receiver| offset(receiver).unwrap());
    assert_eq!(answers, [Ok(0), Err(StorageError::Engine(failure()))]);
    assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
}

#[test]
fn what_was_refused_before_it_was_queued_keeps_its_place() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    let batch = ProducerBatch::of(&BatchHeader::parse(&record(0)).unwrap()).unwrap();
    let partition = 0;
    bench.runner.storage().refused(RefusedBatch { topic, partition, batch });
    assert_eq!(bench.append(topic, 0, record(1)), out_of_order(1, 0));
    assert_eq!(bench.append(topic, 0, record(0)), Ok(0));
    assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
}

#[test]
fn a_locked_segment_keeps_no_duplicate_waiting() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, record(0)).unwrap();
    let segment = SegmentId { topic, number: 1 };
    bench.database.hold_segment(segment);
    assert_eq!(bench.append(topic, 0, record(0)), Ok(0));
    let mut waiting = bench.submit(topic, 0, record(1));
    bench.turn();
    let mut again = bench.submit(topic, 0, record(1));
    bench.turn();
    assert!(answered(&mut waiting).is_none() && answered(&mut again).is_none());
    bench.database.release_segment(segment);
    bench.turn();
    bench.turn();
    assert_eq!((offset(&mut waiting), offset(&mut again)), (Some(Ok(1)), Some(Ok(1))));
}

#[test]
fn a_restart_knows_what_was_written() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 2, MIB);
    for sequence in 0..7 {
        bench.append(topic, 1, record(sequence)).unwrap();
    }
    bench.append(topic, 1, batch(3, 100, 0)).unwrap();
    drop(bench);
    database.crash();
    let mut bench = Bench::open(&database);
    assert_eq!(bench.append(topic, 1, record(1)), out_of_order(1, 7));
    for sequence in 2..7 {
        assert_eq!(bench.append(topic, 1, record(sequence)), Ok(i64::from(sequence)));
    }
    assert_eq!(bench.append(topic, 1, record(8)), out_of_order(8, 7));
    assert_eq!(bench.append(topic, 1, record(7)), Ok(10));
    assert_eq!(bench.append(topic, 0, record(5)), Ok(0), "not known in this partition");
}

#[test]
fn what_a_crash_takes_back_may_be_written_again() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, record(0)).unwrap();
    database.hold_durability(true);
    let mut lost = bench.submit(topic, 0, record(1));
    bench.turn();
    assert!(answered(&mut lost).is_none());
    drop(bench);
    database.crash();
    database.hold_durability(false);
    let mut bench = Bench::open(&database);
    assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
}

/// Goal: a start reads the headers of at most as much log as the interval says, however much there is, and knows all producers.
#[test]
fn snapshots_bound_what_a_start_reads() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let (a, b) = (bench.create("a", 2, 1 << 30), bench.create("b", 1, 1 << 30));
    bench.append(a, 0, record(0)).unwrap();
    bench.append(b, 0, record(0)).unwrap();
    let size = (PRODUCER_SNAPSHOT_INTERVAL_BYTES / 4) as usize;
    for sequence in 0..3 {
        bench.append(a, 1, sequenced(sequence, 1, size)).unwrap();
    }
    assert!(snapshots(&database, a).is_empty());
    bench.append(a, 1, sequenced(3, 1, size)).unwrap();
    let ends = |topic| -> Vec<_> {
        let stored = snapshots(&database, topic);
        stored.iter().map(|stored| (stored.partition, stored.offset)).collect()
    };
    assert_eq!((ends(a), ends(b)), (vec![(0, 1), (1, 4)], vec![(0, 1)]));
    bench.append(a, 1, record(4)).unwrap();
    drop(bench);
    database.crash();
    for _ in 0..2 {
        let mut bench = Bench::open(&database);
        for sequence in 0..5 {
            assert_eq!(bench.append(a, 1, sequenced(sequence, 1, 61)), Ok(i64::from(sequence)));
        }
        assert_eq!(bench.append(a, 0, record(0)), Ok(0));
        assert_eq!(bench.append(b, 0, record(0)), Ok(0));
    }
    assert_eq!(ends(a), [(0, 1), (1, 4)]);
}

/// Goal: bytes that were read at a start count for the next snapshot, so that broken-off runs do not add up.
#[test]
fn short_runs_add_up_to_a_snapshot() {
    let database = ModelDatabase::default();
    let topic = Bench::open(&database).create("a", 1, 1 << 30);
    let size = (PRODUCER_SNAPSHOT_INTERVAL_BYTES / 3 + 1) as usize;
    for sequence in 0..3 {
        assert!(snapshots(&database, topic).is_empty(), "{sequence}");
        let mut bench = Bench::open(&database);
        bench.append(topic, 0, sequenced(sequence, 1, size)).unwrap();
    }
    assert_eq!(snapshots(&database, topic)[0].offset, 3);
}

#[test]
fn a_segment_that_is_left_takes_a_snapshot_with_it_and_can_be_dropped() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 2, MIB);
    let next = SegmentId { topic, number: 2 };
    bench.append(topic, 1, record(0)).unwrap();
    bench.append(topic, 0, sequenced(0, 1, 700_000)).unwrap();
    let mut session = database.open();
    session.begin().unwrap();
    session.create_segment(next).unwrap();
    session.commit(CommitMode::Flush).unwrap();
    bench.runner.catalog_changed();
    bench.append(topic, 0, sequenced(1, 1, 500_000)).unwrap();
    let stored: Vec<_> = snapshots(&database, topic)
        .iter()
        .map(|stored| (stored.partition, stored.offset))
        .collect();
    assert_eq!(stored, [(0, 1), (1, 1)]);
    drop(bench);
    session.begin().unwrap();
    session.drop_segment(SegmentId { topic, number: 1 }).unwrap();
    session.set_log_starts(topic, &[(0, 1), (1, 1)]).unwrap();
    session.commit(CommitMode::Flush).unwrap();
    let mut bench = Bench::open(&database);
    assert_eq!(bench.append(topic, 0, sequenced(0, 1, 100)), Ok(0));
    assert_eq!(bench.append(topic, 0, sequenced(1, 1, 100)), Ok(1));
    assert_eq!(bench.append(topic, 1, record(0)), Ok(0));
    assert!(bench.append(topic, 1, record(2)).is_err());
}

#[test]
fn locked_bookkeeping_puts_snapshots_off() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, 1 << 30);
    bench.append(topic, 0, record(0)).unwrap();
    database.hold_bookkeeping(true);
    let size = PRODUCER_SNAPSHOT_INTERVAL_BYTES as usize;
    assert_eq!(bench.append(topic, 0, sequenced(1, 1, size)), Ok(1));
    assert_eq!(bench.append(topic, 0, record(2)), Ok(2));
    database.hold_bookkeeping(false);
    assert!(snapshots(&database, topic).is_empty());
    bench.now += Duration::from_secs(1);
    bench.append(topic, 0, record(3)).unwrap();
    assert_eq!(snapshots(&database, topic)[0].offset, 4);
}

#[test]
fn a_failing_snapshot_fails_nothing() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, 1 << 30);
    database.fail(Call::StoreProducerSnapshots, 0, failure());
    let size = PRODUCER_SNAPSHOT_INTERVAL_BYTES as usize;
    assert_eq!(bench.append(topic, 0, sequenced(0, 1, size)), Ok(0));
    assert!(snapshots(&database, topic).is_empty());
    bench.now += Duration::from_secs(1);
    assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
    assert_eq!(snapshots(&database, topic)[0].offset, 2);
}

#[test]
fn a_snapshot_that_is_damaged_or_too_new_is_as_none() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    for sequence in 0..2 {
        bench.append(topic, 0, record(sequence)).unwrap();
    }
    drop(bench);
    let good = snapshot::encode(&Default::default());
    for (offset, state) in [(2, vec![9; 40]), (3, good.clone())] {
        let mut session = database.open();
        session.begin().unwrap();
        let stored = ProducerSnapshot {
            partition: 0,
            offset,
            state,
        };
        session.store_producer_snapshots(topic, &[stored]).unwrap();
        session.commit(CommitMode::Flush).unwrap();
        let mut bench = Bench::open(&database);
        assert_eq!(bench.append(topic, 0, record(0)), Ok(0));
        assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
        assert_eq!(bench.append(topic, 0, record(3)), out_of_order(3, 2));
    }
}

#[test]
fn deleted_records_are_still_known() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, sequenced(0, 2, 100)).unwrap();
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    assert_eq!(bench.run(storage.delete_records(topic, 0, -1, deadline)), Ok(2));
    for _ in 0..2 {
        let mut receiver = bench.submit(topic, 0, sequenced(0, 2, 100));
        bench.turn();
        let expected = Appended {
            base_offset: 0,
            log_start_offset: 2,
            duplicate_timestamp_ms: Some(1000),
        };
        assert_eq!(answered(&mut receiver), Some(Ok(expected)));
        drop(bench);
        bench = Bench::open(&database);
    }
}

#[test]
fn a_changed_catalog_leaves_the_producers_alone() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, record(0)).unwrap();
    let mut session = bench.database.open();
    session.begin().unwrap();
    session.add_partitions(topic, 2).unwrap();
    session.commit(CommitMode::Flush).unwrap();
    bench.runner.catalog_changed();
    bench.turn();
    assert_eq!(bench.append(topic, 1, record(0)), Ok(0));
    assert_eq!(bench.append(topic, 0, record(0)), Ok(0));
    assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
}

#[test]
fn idle_producers_are_forgotten_when_the_setting_says() {
    let settings = Settings {
        producer_id_expiration: Duration::from_secs(60),
        ..Settings::default()
    };
    let mut bench = Bench::with_settings(&ModelDatabase::default(), &settings);
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, record(0)).unwrap();
    bench.now += Duration::from_secs(59);
    assert_eq!(bench.append(topic, 0, record(5)), out_of_order(5, 1));
    assert_eq!(bench.append(topic, 0, record(1)), Ok(1));
    bench.now += Duration::from_secs(59);
    assert_eq!(bench.append(topic, 0, record(0)), Ok(0), "its last batch counts");
    bench.now += Duration::from_secs(2);
    assert_eq!(bench.append(topic, 0, record(5)), Ok(2));
}

/// Goal: whatever call fails, a producer that sends again what failed has each batch in the log once and in order, across a crash.
#[test]
fn every_call_may_fail_once_and_a_retrying_producer_writes_each_batch_once() {
    for successes in 0..40 {
        let database = ModelDatabase::default();
        let mut bench = Bench::open(&database);
        let topic = bench.create("a", 1, MIB);
        database.fail(None, successes, failure());
        for sequence in 0..8 {
            let written = (0..3).find_map(|_| bench.append(topic, 0, record(sequence)).ok());
            assert_eq!(written, Some(i64::from(sequence)), "failure after {successes} calls");
            assert_eq!(bench.append(topic, 0, record(sequence)).ok(), written);
            if sequence == 4 {
                drop(bench);
                database.crash();
                // Opening may be what fails, or the topic's log may not be read until the next try.
                let open = || Runner::open(database.open(), Arc::new(|| {}), &Settings::default());
                let runner = open().or_else(|_| open()).unwrap();
                let now = Instant::now() + Duration::from_secs(1);
                let database = database.clone();
                bench = Bench { database, runner, now };
                bench.turn();
            }
        }
        assert_eq!(bench.stored(topic, 0, 0), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
