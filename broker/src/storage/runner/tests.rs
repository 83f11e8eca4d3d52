//! The runner over the model: groups, failures, locks of other sessions, durability, restarts. No clock but the one given, no
//! threads: each test says when a turn is taken.

mod groups;
mod producers;
mod reads;
mod retention;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Next, Runner};
use crate::catalog::alter::{ConfigChange, Operation};
use crate::catalog::configs::TopicConfigs;
use crate::limits::{BYTES_PER_GROUP, TIME_INDEX_INTERVAL_BYTES};
use crate::log::partition::{next_offset_of, Lookup};
use crate::producers::state::ProducerBatch;
use crate::settings::Settings;
use crate::storage::disk::FreeSpace;
use crate::storage::engine::{CommitMode, Engine, EngineError, NewTopic, SegmentId, TopicNumber};
use crate::storage::jobs::{Append, TimeTarget};
use crate::storage::model::{Call, ModelDatabase, ModelEngine};
use crate::storage::{Appended, StorageError};
use crate::wire::batch::BatchHeader;

const MIB: u64 = 1024 * 1024;

/// A batch of `records` records and `size` bytes, as far as storage looks at it.
fn batch(records: i32, size: usize, max_timestamp_ms: i64) -> Bytes {
    let mut bytes = BytesMut::zeroed(size.max(61));
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    bytes[35..43].copy_from_slice(&max_timestamp_ms.to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&records.to_be_bytes());
    bytes.freeze()
}

fn failure() -> EngineError {
    EngineError::Database {
        sqlstate: "XX000".to_owned(),
        message: "ordered".to_owned(),
    }
}

/// A runner over a model, and the time it believes.
struct Bench {
    database: ModelDatabase,
    runner: Runner<ModelEngine>,
    now: Instant,
}

impl Bench {
    fn open(database: &ModelDatabase) -> Self {
        Self::with_settings(database, &Settings::default())
    }

    fn with_settings(database: &ModelDatabase, settings: &Settings) -> Self {
        let runner = Runner::open(database.open(), Arc::new(|| {}), settings).unwrap();
        Bench {
            database: database.clone(),
            runner,
            now: Instant::now(),
        }
    }

    fn turn(&mut self) -> Next {
        self.runner.turn(self.now)
    }

    /// Runs `future`, taking turns while it waits.
    fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
            self.turn();
        }
        panic!("no answer after 1000 turns");
    }

    fn later(&self) -> Instant {
        self.now + Duration::from_secs(10)
    }

    fn create(&mut self, name: &str, partitions: i32, segment_bytes: u64) -> TopicNumber {
        let configs = BTreeMap::from([("segment.bytes".to_owned(), segment_bytes.to_string())]);
        let topic = NewTopic {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            partitions,
            configs,
        };
        let storage = self.runner.storage();
        let deadline = self.later();
        self.run(storage.create_topic(topic, deadline)).unwrap()
    }

    fn submit(&self, topic: TopicNumber, partition: i32, bytes: Bytes) -> oneshot::Receiver<Result<Appended, StorageError>> {
        self.runner.storage().append(Append {
            topic,
            partition,
            last_offset_delta: next_offset_of(&bytes).unwrap() as i32 - 1,
            max_timestamp_ms: i64::from_be_bytes(bytes[35..43].try_into().unwrap()),
            producer: ProducerBatch::of(&BatchHeader::parse(&bytes).unwrap()),
            bytes,
            early_reply: false,
            deadline: self.later(),
            charge: None,
            growth_charge: None,
        })
    }

    fn append(&mut self, topic: TopicNumber, partition: i32, bytes: Bytes) -> Result<i64, StorageError> {
        let receiver = self.submit(topic, partition, bytes);
        self.run(receiver).unwrap().map(|appended| appended.base_offset)
    }

    fn end(&self, topic: &str, partition: i32) -> i64 {
        let topics = self.runner.catalog().topics();
        topics
            .by_name(topic)
            .unwrap()
            .partition(partition)
            .unwrap()
            .bounds()
            .high_watermark
    }

    /// Base offsets of all batches from `offset`, read from storage and not from the cache.
    fn stored(&mut self, topic: TopicNumber, partition: i32, offset: i64) -> Vec<i64> {
        let storage = self.runner.storage();
        let deadline = self.later();
        let batches = self.run(storage.read(topic, partition, offset, 1 << 30, deadline)).unwrap();
        batches
            .iter()
            .map(|batch| i64::from_be_bytes(batch[..8].try_into().unwrap()))
            .collect()
    }
}

fn answered<T>(receiver: &mut oneshot::Receiver<T>) -> Option<T> {
    receiver.try_recv().ok()
}

#[test]
fn waiting_appends_share_one_commit_and_get_dense_offsets() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let (a, b) = (bench.create("a", 2, MIB), bench.create("b", 1, MIB));
    bench.database.take_calls();
    let receivers = [
        bench.submit(a, 0, batch(3, 100, 0)),
        bench.submit(b, 0, batch(1, 100, 0)),
        bench.submit(a, 0, batch(2, 100, 0)),
        bench.submit(a, 1, batch(5, 100, 0)),
    ];
    assert_eq!(bench.turn(), Next::Idle);
    let offsets = receivers.map(|mut receiver| answered(&mut receiver).unwrap().unwrap().base_offset);
    assert_eq!(offsets, [0, 0, 3, 0]);
    let commits = bench
        .database
        .take_calls()
        .into_iter()
        .filter(|call| *call == Call::Commit)
        .count();
    assert_eq!(commits, 1);
    assert_eq!((bench.end("a", 0), bench.end("a", 1), bench.end("b", 0)), (5, 5, 1));
    assert_eq!(bench.stored(a, 0, 0), [0, 3]);
}

#[test]
fn nothing_is_answered_or_visible_before_it_is_durable() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    bench.database.hold_durability(true);
    let mut receiver = bench.submit(topic, 0, batch(1, 100, 0));
    assert!(matches!(bench.turn(), Next::Sleep(_)));
    assert!(answered(&mut receiver).is_none());
    assert_eq!(bench.end("a", 0), 0);
    assert!(
        bench.stored(topic, 0, 0).is_empty(),
        "a cold read shows what is committed and not durable"
    );
    bench.database.hold_durability(false);
    bench.turn();
    assert_eq!(answered(&mut receiver).unwrap().unwrap().base_offset, 0);
    assert_eq!(bench.end("a", 0), 1);
}

/// Goal: a commit is left to the flusher while more waits, flushed by the next turn at the latest although no flusher runs here, and
/// answered then; the last one is flushed at once.
#[test]
fn a_flush_overlaps_the_next_group() {
    use Call::{BeginFlush, Flush};
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, 64 * MIB);
    bench.database.keep_unflushed();
    let mut receivers = [0, 1, 2].map(|_| bench.submit(topic, 0, batch(1, BYTES_PER_GROUP, 0)));
    let mut turn = || {
        bench.database.take_calls();
        let next = bench.turn();
        let mut calls = bench.database.take_calls();
        calls.retain(|call| matches!(call, BeginFlush | Flush));
        let answers: Vec<_> = receivers
            .iter_mut()
            .map(|receiver| answered(receiver).map(|reply| reply.unwrap().base_offset))
            .collect();
        (next, calls, answers)
    };
    assert_eq!(turn(), (Next::Again, vec![BeginFlush], vec![None, None, None]));
    assert_eq!(turn(), (Next::Again, vec![BeginFlush, Flush], vec![Some(0), None, None]));
    assert_eq!(turn(), (Next::Idle, vec![Flush, Flush], vec![None, Some(1), Some(2)]));
    assert_eq!(bench.end("a", 0), 3);
}

#[test]
fn an_early_reply_comes_at_commit_and_the_high_watermark_waits() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    bench.database.hold_durability(true);
    let mut receiver = bench.runner.storage().append(Append {
        topic,
        partition: 0,
        bytes: batch(1, 100, 0),
        last_offset_delta: 0,
        max_timestamp_ms: 0,
        producer: None,
        early_reply: true,
        deadline: bench.later(),
        charge: None,
        growth_charge: None,
    });
    bench.turn();
    assert!(answered(&mut receiver).unwrap().is_ok());
    assert_eq!(bench.end("a", 0), 0);
    bench.database.hold_durability(false);
    bench.turn();
    assert_eq!(bench.end("a", 0), 1);
}

#[test]
fn a_failing_topic_fails_alone_and_gives_its_offsets_back() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let (a, b) = (bench.create("a", 1, MIB), bench.create("b", 1, MIB));
    // The group fails at the first append, and a's append fails again when it is tried alone.
    bench.database.fail(Call::Append, 0, failure());
    bench.database.fail(Call::Append, 0, failure());
    let mut receivers = [bench.submit(a, 0, batch(1, 100, 0)), bench.submit(b, 0, batch(1, 100, 0))];
    bench.turn();
    assert_eq!(answered(&mut receivers[0]).unwrap(), Err(StorageError::Engine(failure())));
    assert_eq!(answered(&mut receivers[1]).unwrap().unwrap().base_offset, 0);
    assert_eq!(bench.append(a, 0, batch(1, 100, 0)), Ok(0));
}

#[test]
fn a_failed_commit_fails_its_jobs_and_writes_nothing() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    bench.database.fail(Call::Commit, 0, failure());
    assert_eq!(bench.append(topic, 0, batch(4, 100, 0)), Err(StorageError::Engine(failure())));
    assert_eq!(bench.end("a", 0), 0);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(0));
}

#[test]
fn every_call_may_fail_once_and_no_acknowledged_batch_is_lost_or_doubled() {
    for successes in 0..12 {
        let database = ModelDatabase::default();
        let mut bench = Bench::open(&database);
        let topic = bench.create("a", 1, MIB);
        let mut acknowledged = Vec::new();
        database.fail(None, successes, failure());
        for _ in 0..4 {
            acknowledged.extend(bench.append(topic, 0, batch(2, 100, 0)).ok());
        }
        assert!(acknowledged.len() >= 3, "one failure must fail one request at most");
        assert_eq!(bench.stored(topic, 0, 0), acknowledged);
        drop(bench);
        database.crash();
        assert_eq!(Bench::open(&database).stored(topic, 0, 0), acknowledged);
    }
}

#[test]
fn a_locked_segment_delays_only_its_topic_and_order_is_kept() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let (a, b) = (bench.create("a", 1, MIB), bench.create("b", 1, MIB));
    let segment = SegmentId { topic: a, number: 1 };
    bench.database.hold_segment(segment);
    let mut first = bench.submit(a, 0, batch(1, 100, 0));
    assert_eq!(bench.append(b, 0, batch(1, 100, 0)), Ok(0));
    let mut second = bench.submit(a, 0, batch(1, 100, 0));
    assert!(matches!(bench.turn(), Next::Sleep(_)));
    assert!(answered(&mut first).is_none());
    bench.database.release_segment(segment);
    bench.turn();
    bench.turn();
    assert_eq!(answered(&mut first).unwrap().unwrap().base_offset, 0);
    assert_eq!(answered(&mut second).unwrap().unwrap().base_offset, 1);
}

#[test]
fn a_job_behind_a_lock_times_out_and_surely_writes_nothing() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    let segment = SegmentId { topic, number: 1 };
    bench.database.hold_segment(segment);
    let mut receiver = bench.submit(topic, 0, batch(1, 100, 0));
    bench.turn();
    bench.now += Duration::from_secs(11);
    bench.turn();
    assert_eq!(answered(&mut receiver).unwrap(), Err(StorageError::TimedOut));
    bench.database.release_segment(segment);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(0));
}

#[test]
fn locked_bookkeeping_stops_only_what_needs_it() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 2, MIB);
    bench.append(topic, 0, batch(1, 100, 0)).unwrap();
    bench.database.hold_bookkeeping(true);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(1), "its epoch is stored already");
    let mut first_in_partition = bench.submit(topic, 1, batch(1, 100, 0));
    bench.turn();
    assert!(answered(&mut first_in_partition).is_none());
    bench.database.hold_bookkeeping(false);
    bench.turn();
    assert!(answered(&mut first_in_partition).unwrap().is_ok());
}

#[test]
fn a_name_of_an_open_transaction_is_waited_for_without_blocking() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let other = bench.create("other", 1, MIB);
    bench.database.hold_topic_name("a", true);
    let storage = bench.runner.storage();
    let deadline = bench.later();
    let topic = NewTopic {
        id: Uuid::new_v4(),
        name: "a".to_owned(),
        partitions: 1,
        configs: BTreeMap::new(),
    };
    let mut creation = Box::pin(storage.create_topic(topic, deadline));
    let mut context = Context::from_waker(Waker::noop());
    assert!(creation.as_mut().poll(&mut context).is_pending());
    assert_eq!(bench.append(other, 0, batch(1, 100, 0)), Ok(0));
    bench.now += Duration::from_secs(11);
    bench.turn();
    assert_eq!(creation.as_mut().poll(&mut context), Poll::Ready(Err(StorageError::TimedOut)));
}

/// A read that ends in the middle of a segment, because its next batch is too large, does not go on with a smaller one of the next segment.
#[test]
fn a_read_passes_nothing_over_at_the_end_of_a_segment() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    for _ in 0..3 {
        bench.append(topic, 0, batch(1, 400_000, 0)).unwrap();
    }
    let next = SegmentId { topic, number: 2 };
    let mut session = bench.database.open();
    session.begin().unwrap();
    session.create_segment(next).unwrap();
    session.commit(CommitMode::Flush).unwrap();
    bench.runner.catalog_changed();
    bench.append(topic, 0, batch(1, 100, 0)).unwrap();
    bench.append(topic, 0, batch(1, 100, 0)).unwrap();
    let mut read = |max_bytes| {
        let storage = bench.runner.storage();
        let deadline = bench.later();
        let batches = bench.run(storage.read(topic, 0, 0, max_bytes, deadline)).unwrap();
        let offset = |batch: &Bytes| i64::from_be_bytes(batch[..8].try_into().unwrap());
        batches.iter().map(offset).collect::<Vec<_>>()
    };
    assert_eq!(read(500_000), [0]);
    assert_eq!(read(900_000), [0, 1]);
    assert_eq!(read(1_200_150), [0, 1, 2, 3]);
}

#[test]
fn segments_roll_when_the_next_one_is_made_and_reads_cross_the_border() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 2, MIB);
    for _ in 0..8 {
        bench.append(topic, 0, batch(1, 300_000, 0)).unwrap();
    }
    assert!(!bench.runner.wanted_segments().is_empty());
    bench.append(topic, 1, batch(7, 300_000, 0)).unwrap();
    let mut maintenance = database.open();
    maintenance.begin().unwrap();
    maintenance.create_segment(SegmentId { topic, number: 2 }).unwrap();
    maintenance.commit(crate::storage::engine::CommitMode::Flush).unwrap();
    bench.runner.catalog_changed();
    for _ in 0..8 {
        bench.append(topic, 0, batch(1, 300_000, 0)).unwrap();
    }
    database.take_calls();
    assert_eq!(bench.stored(topic, 0, 6), (6..16).collect::<Vec<_>>());
    let reads = database.take_calls().into_iter().filter(|call| *call == Call::Read).count();
    assert_eq!(reads, 2, "the log is in two segments");
    drop(bench);
    let bench = Bench::open(&database);
    assert_eq!((bench.end("a", 0), bench.end("a", 1)), (16, 7));
}

/// Goal: a segment holds 2^31 offsets of a partition; the next one is there in time however few bytes that is.
#[test]
fn segments_roll_before_their_offsets_run_out() {
    const RECORDS: i32 = 1 << 29;
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 2, MIB);
    let batches: Vec<_> = (0..10).map(|number| i64::from(RECORDS) * number).collect();
    for base_offset in &batches {
        assert_eq!(bench.append(topic, 0, batch(RECORDS, 100, 0)), Ok(*base_offset));
        assert_eq!(
            bench.append(topic, 1, batch(1, 100, 0)),
            Ok(*base_offset / i64::from(RECORDS))
        );
    }
    assert_eq!(bench.stored(topic, 0, 0), batches);
    drop(bench);
    let bench = Bench::open(&database);
    assert_eq!((bench.end("a", 0), bench.end("a", 1)), (i64::from(RECORDS) * 10, 10));
}

/// Goal: after a restart nothing may be served before the log as it was found is durable: what no standby confirmed may be replaced.
#[test]
fn a_restart_waits_for_what_it_found() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    assert!(bench.runner.may_serve());
    let topic = bench.create("a", 1, MIB);
    database.hold_durability(true);
    let mut receiver = bench.submit(topic, 0, batch(1, 100, 0));
    bench.turn();
    assert!(answered(&mut receiver).is_none());
    drop(bench);
    let mut bench = Bench::open(&database);
    assert!(!bench.runner.may_serve());
    database.hold_durability(false);
    assert!(bench.runner.may_serve());
    assert_eq!(bench.end("a", 0), 1);
}

/// Topics whose logs cannot be read at a start keep no other from being served, and are served when they can.
#[test]
fn a_topic_that_cannot_be_read_is_left_out_at_a_start() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topics: Vec<_> = ["a", "b", "c"].map(|name| bench.create(name, 1, MIB)).into();
    for topic in &topics {
        bench.append(*topic, 0, batch(2, 100, 0)).unwrap();
    }
    drop(bench);
    let held = SegmentId {
        topic: topics[0],
        number: 1,
    };
    database.hold_segment(held);
    // The second look at an end is that of "b".
    database.fail(Call::LastHeader, 1, failure());
    let mut bench = Bench::open(&database);
    let served = |bench: &Bench| {
        let topics = bench.runner.catalog().topics();
        topics.iter().map(|topic| topic.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(served(&bench), ["c"]);
    assert!(bench.runner.catalog().topics().is_unread_name("b"));
    assert_eq!(bench.append(topics[2], 0, batch(1, 100, 0)), Ok(2));
    assert_eq!(
        bench.append(topics[0], 0, batch(1, 100, 0)),
        Err(StorageError::UnknownPartition)
    );
    bench.now += Duration::from_secs(1);
    bench.turn();
    assert_eq!(served(&bench), ["b", "c"]);
    let unread = |bench: &Bench| bench.runner.catalog().topics().unread().keys().copied().collect::<Vec<_>>();
    assert_eq!(unread(&bench), [topics[0]]);
    assert_eq!(bench.append(topics[1], 0, batch(1, 100, 0)), Ok(2));
    database.release_segment(held);
    bench.now += Duration::from_secs(1);
    bench.turn();
    assert!(!bench.runner.has_unopened_topics());
    assert_eq!(unread(&bench), []);
    assert_eq!(bench.append(topics[0], 0, batch(1, 100, 0)), Ok(2));
}

#[test]
fn a_restart_finds_the_ends_and_a_new_epoch() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, batch(5, 100, 0)).unwrap();
    let first_epoch = bench.runner.catalog().leader_epoch();
    drop(bench);
    let mut bench = Bench::open(&database);
    let epoch = bench.runner.catalog().leader_epoch();
    assert!(epoch > first_epoch);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(5));
    let topics = bench.runner.catalog().topics();
    let partition = topics.by_name("a").unwrap().partition(0).unwrap();
    assert_eq!(partition.end_offset_for_epoch(first_epoch), (first_epoch, 5));
    assert_eq!(partition.end_offset_for_epoch(epoch), (epoch, 6));
    assert!(matches!(partition.lookup(0, 1), Lookup::Cold));
    assert!(matches!(partition.lookup(5, 1), Lookup::Cached(batches) if batches[0].leader_epoch == epoch));
}

#[test]
fn deleted_records_stay_deleted_even_when_nothing_is_left() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, batch(5, 100, 0)).unwrap();
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    assert_eq!(
        bench.run(storage.delete_records(topic, 0, 6, deadline)),
        Err(StorageError::OffsetOutOfRange)
    );
    assert_eq!(bench.run(storage.delete_records(topic, 0, -1, deadline)), Ok(5));
    assert_eq!(bench.run(storage.delete_records(topic, 0, 2, deadline)), Ok(5));
    drop(bench);
    assert_eq!(Bench::open(&database).end("a", 0), 5);
}

/// Added partitions are shown when they are durable, not before, and not by a reload that comes between; appends to the others go on.
#[test]
fn added_partitions_are_shown_when_they_are_durable() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    let shown = |bench: &Bench| bench.runner.catalog().topics().by_name("a").unwrap().partitions.len();
    let id = bench.runner.catalog().topics().by_name("a").unwrap().id;
    bench.database.hold_durability(true);
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    let mut addition = Box::pin(storage.add_partitions(id, 3, deadline));
    let mut context = Context::from_waker(Waker::noop());
    assert!(addition.as_mut().poll(&mut context).is_pending());
    let mut append = bench.submit(topic, 0, batch(1, 100, 0));
    bench.runner.catalog_changed();
    for _ in 0..3 {
        bench.turn();
        assert_eq!(shown(&bench), 1);
    }
    assert!(addition.as_mut().poll(&mut context).is_pending());
    bench.database.hold_durability(false);
    bench.turn();
    assert_eq!(addition.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    assert!(answered(&mut append).unwrap().is_ok());
    assert_eq!(shown(&bench), 3);
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    assert_eq!(
        bench.run(storage.add_partitions(id, 3, deadline)),
        Err(StorageError::PartitionsExist(3))
    );
}

/// A partition added while segment 2 is filled begins there at 0, goes on in segment 3, and is found again after a restart.
#[test]
fn an_added_partition_begins_in_the_segment_that_is_filled() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    let id = bench.runner.catalog().topics().by_name("a").unwrap().id;
    let next_segment = |bench: &mut Bench, number| {
        let mut maintenance = database.open();
        maintenance.begin().unwrap();
        maintenance.create_segment(SegmentId { topic, number }).unwrap();
        maintenance.commit(crate::storage::engine::CommitMode::Flush).unwrap();
        bench.runner.catalog_changed();
        bench.turn();
    };
    next_segment(&mut bench, 2);
    for _ in 0..5 {
        bench.append(topic, 0, batch(1, 300_000, 0)).unwrap();
    }
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    bench.run(storage.add_partitions(id, 2, deadline)).unwrap();
    assert_eq!(bench.append(topic, 1, batch(4, 100, 0)), Ok(0));
    next_segment(&mut bench, 3);
    for _ in 0..5 {
        bench.append(topic, 0, batch(1, 300_000, 0)).unwrap();
    }
    assert_eq!(bench.append(topic, 1, batch(2, 100, 0)), Ok(4));
    for _ in 0..2 {
        assert_eq!(bench.stored(topic, 1, 0), [0, 4]);
        assert_eq!(bench.stored(topic, 0, 0), (0..10).collect::<Vec<_>>());
        bench = Bench::open(&database);
        assert_eq!((bench.end("a", 0), bench.end("a", 1)), (10, 6));
    }
    assert_eq!(bench.append(topic, 1, batch(1, 100, 0)), Ok(6));
}

#[test]
fn a_deleted_topic_answers_unknown_and_its_name_is_free() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    let id = bench.runner.catalog().topics().by_name("a").unwrap().id;
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    assert_eq!(bench.run(storage.delete_topic(id, deadline)), Ok(()));
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Err(StorageError::UnknownPartition));
    assert_eq!(
        bench.run(storage.delete_topic(id, deadline)),
        Err(StorageError::UnknownPartition)
    );
    let again = bench.create("a", 1, MIB);
    assert_ne!(again, topic);
    assert_eq!(bench.append(again, 0, batch(1, 100, 0)), Ok(0));
}

fn set(key: &str, value: &str) -> ConfigChange {
    ConfigChange::Each(BTreeMap::from([(key.to_owned(), Operation::Set(value.to_owned()))]))
}

impl Bench {
    fn alter(&self, topic: &str, change: ConfigChange) -> Pin<Box<dyn Future<Output = Result<(), StorageError>>>> {
        let id = self.runner.catalog().topics().by_name(topic).unwrap().id;
        let (storage, deadline) = (self.runner.storage(), self.later());
        Box::pin(async move { storage.alter_configs(id, change, deadline).await })
    }

    fn configs(&self, topic: &str) -> TopicConfigs {
        self.runner.catalog().topics().by_name(topic).unwrap().configs.clone()
    }
}

#[test]
fn changed_configs_are_effective_when_they_are_durable_and_stay() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    bench.append(topic, 0, batch(1, 100, 0)).unwrap();
    database.hold_durability(true);
    let mut alteration = bench.alter("a", set("retention.ms", "5"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(alteration.as_mut().poll(&mut context).is_pending());
    bench.turn();
    assert!(alteration.as_mut().poll(&mut context).is_pending());
    assert_eq!(bench.configs("a").retention_ms, Some(604_800_000));
    database.hold_durability(false);
    assert_eq!(bench.run(alteration), Ok(()));
    assert_eq!(bench.configs("a").retention_ms, Some(5));
    assert_eq!(bench.configs("a").segment_bytes(), MIB);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(1), "the partition is the same");
    assert_eq!(bench.end("a", 0), 2);
    drop(bench);
    assert_eq!(Bench::open(&database).configs("a").retention_ms, Some(5));
}

#[test]
fn of_two_changes_at_once_none_is_lost() {
    let mut bench = Bench::open(&ModelDatabase::default());
    bench.create("a", 1, MIB);
    let (mut first, second) = (
        bench.alter("a", set("retention.ms", "5")),
        bench.alter("a", set("segment.ms", "6")),
    );
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert_eq!(bench.run(second), Ok(()));
    assert_eq!(bench.run(first), Ok(()));
    let configs = bench.configs("a");
    assert_eq!((configs.retention_ms, configs.segment_ms), (Some(5), 6));
}

#[test]
fn a_change_that_becomes_durable_late_does_not_undo_a_later_one_of_a_session() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, MIB);
    database.hold_durability(true);
    let mut alteration = bench.alter("a", set("retention.ms", "5"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(alteration.as_mut().poll(&mut context).is_pending());
    bench.turn();
    let mut session = database.open();
    session.begin().unwrap();
    let mut configs = session.topic_configs(topic).unwrap().unwrap();
    configs.insert("retention.ms".to_owned(), "7".to_owned());
    session.set_topic_configs(topic, &configs).unwrap();
    session.commit(crate::storage::engine::CommitMode::Flush).unwrap();
    bench.runner.catalog_changed();
    bench.turn();
    database.hold_durability(false);
    assert_eq!(bench.run(alteration), Ok(()));
    assert_eq!(bench.configs("a").retention_ms, Some(7));
}

#[test]
fn configs_of_a_held_name_are_not_changed_and_nobody_waits() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, MIB);
    bench.database.hold_topic_name("a", true);
    let mut alteration = bench.alter("a", set("retention.ms", "5"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(alteration.as_mut().poll(&mut context).is_pending());
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(0));
    bench.now += Duration::from_secs(11);
    bench.turn();
    assert_eq!(
        alteration.as_mut().poll(&mut context),
        Poll::Ready(Err(StorageError::TimedOut))
    );
    bench.database.hold_topic_name("a", false);
    bench.turn();
    assert_eq!(bench.configs("a").retention_ms, Some(604_800_000));
}

#[test]
fn refused_and_failed_changes_leave_the_configs() {
    let mut bench = Bench::open(&ModelDatabase::default());
    bench.create("a", 1, MIB);
    let before = bench.configs("a");
    let refused = bench.alter("a", set("retention.ms", "x"));
    assert!(matches!(bench.run(refused), Err(StorageError::Configs(_))));
    for call in [Call::LockTopicName, Call::TopicConfigs, Call::SetTopicConfigs, Call::Commit] {
        bench.database.fail(call, 0, failure());
        let failed = bench.alter("a", set("retention.ms", "5"));
        assert_eq!(bench.run(failed), Err(StorageError::Engine(failure())), "{call:?}");
        assert_eq!(bench.configs("a"), before);
    }
    let done = bench.alter("a", set("retention.ms", "5"));
    assert_eq!(bench.run(done), Ok(()));
}

#[test]
fn smaller_segments_are_asked_for_at_once() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create("a", 1, 1 << 30);
    bench.append(topic, 0, batch(1, 700_000, 0)).unwrap();
    assert!(bench.runner.wanted_segments().is_empty());
    let smaller = bench.alter("a", set("segment.bytes", "1048576"));
    bench.run(smaller).unwrap();
    assert!(!bench.runner.wanted_segments().is_empty());
    let default = bench.alter("a", ConfigChange::Replace(BTreeMap::new()));
    bench.run(default).unwrap();
    assert!(bench.runner.wanted_segments().is_empty());
}

#[test]
fn look_ups_by_time_find_the_first_batch_in_indexed_and_unindexed_stretches() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, 1 << 30);
    // Two indexed stretches, then one that is not full; timestamps go up with a dip in the middle.
    let size = (TIME_INDEX_INTERVAL_BYTES / 4) as usize;
    let times = [10, 20, 15, 30, 40, 35, 50, 60, 70, 65];
    for time in times {
        bench.append(topic, 0, batch(1, size, time)).unwrap();
    }
    for restarted in [false, true] {
        for (at_least, expected) in [
            (0, Some(0)),
            (15, Some(1)),
            (31, Some(4)),
            (60, Some(7)),
            (66, Some(8)),
            (71, None),
        ] {
            assert_eq!(
                find(&mut bench, topic, 0, TimeTarget::AtLeast(at_least)),
                expected,
                "{at_least}, restarted {restarted}"
            );
        }
        assert_eq!(find(&mut bench, topic, 5, TimeTarget::AtLeast(31)), Some(5));
        assert_eq!(find(&mut bench, topic, 0, TimeTarget::Max), Some(8));
        assert_eq!(find(&mut bench, topic, 9, TimeTarget::Max), Some(9));
        bench = Bench::open(&database);
    }
}

fn find(bench: &mut Bench, topic: TopicNumber, from: i64, target: TimeTarget) -> Option<i64> {
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    let found = bench.run(storage.find_by_time(topic, 0, from, target, deadline)).unwrap();
    found.map(|batch| i64::from_be_bytes(batch[..8].try_into().unwrap()))
}

#[test]
fn the_tail_cache_keeps_to_its_bound_over_all_partitions() {
    let settings = Settings {
        tail_cache_bytes: 1000,
        ..Settings::default()
    };
    let mut bench = Bench::with_settings(&ModelDatabase::default(), &settings);
    let topic = bench.create("a", 2, MIB);
    for partition in [0, 1, 0, 1] {
        bench.append(topic, partition, batch(1, 400, 0)).unwrap();
    }
    let topics = bench.runner.catalog().topics();
    let cold = |partition: i32, offset| {
        matches!(
            topics.by_name("a").unwrap().partition(partition).unwrap().lookup(offset, 1),
            Lookup::Cold
        )
    };
    assert_eq!((cold(0, 0), cold(1, 0), cold(0, 1), cold(1, 1)), (true, true, false, false));
}

fn free(bytes: u64) -> [FreeSpace; 1] {
    [FreeSpace {
        place: "the data directory",
        bytes,
    }]
}

/// Goal: while less is free than the setting says, appends and new topics are refused untried and reads go on; then all goes on.
#[test]
fn too_little_free_disk_refuses_what_grows_and_nothing_else() {
    let settings = Settings {
        min_free_disk: 100 * MIB,
        ..Settings::default()
    };
    let mut bench = Bench::with_settings(&ModelDatabase::default(), &settings);
    let topic = bench.create("t", 1, MIB);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(0));
    bench.runner.disk_measured(&free(99 * MIB), bench.now);
    bench.database.take_calls();
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Err(StorageError::DiskFull));
    let new = NewTopic {
        id: Uuid::new_v4(),
        name: "refused".to_owned(),
        partitions: 1,
        configs: BTreeMap::new(),
    };
    let (storage, deadline) = (bench.runner.storage(), bench.later());
    assert_eq!(bench.run(storage.create_topic(new, deadline)), Err(StorageError::DiskFull));
    assert!(bench.database.take_calls().is_empty(), "the database was asked");
    assert_eq!(bench.stored(topic, 0, 0), [0]);
    bench.runner.disk_measured(&free(200 * MIB), bench.now);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(1));
}

/// Goal: a database that runs out of room is not asked again until it had a rest; what it refused was not written.
#[test]
fn a_full_disk_is_not_tried_again_at_once() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let (one, two) = (bench.create("one", 1, MIB), bench.create("two", 1, MIB));
    for call in [Call::Append, Call::Commit] {
        let full = EngineError::Database {
            sqlstate: "53100".to_owned(),
            message: "could not extend file".to_owned(),
        };
        bench.database.fail(call, 0, full.clone());
        let mut both = [one, two].map(|topic| bench.submit(topic, 0, batch(1, 100, 0)));
        bench.turn();
        for receiver in &mut both {
            assert_eq!(answered(receiver), Some(Err(StorageError::Engine(full.clone()))));
        }
        assert!(bench.runner.disk_is_full());
        bench.database.take_calls();
        assert_eq!(bench.append(one, 0, batch(1, 100, 0)), Err(StorageError::DiskFull));
        assert!(bench.database.take_calls().is_empty(), "the database was asked");
        bench.now += Duration::from_secs(10);
        bench.runner.disk_measured(&free(u64::MAX), bench.now);
    }
    assert_eq!(bench.append(one, 0, batch(1, 100, 0)), Ok(0));
    assert_eq!(bench.append(two, 0, batch(1, 100, 0)), Ok(0));
}
