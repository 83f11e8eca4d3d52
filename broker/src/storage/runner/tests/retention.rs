//! Retention beside a broker: what expires goes, what does not stays, whatever fails between two steps.

use std::collections::BTreeMap;

use super::*;
use crate::catalog::configs::TopicDefaults;
use crate::storage::engine::TopicRecord;
use crate::storage::upkeep::{Surroundings, Upkeep};

const NOW_MS: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 1000;

/// Remembers whether the broker is to be told.
#[derive(Default)]
struct Process {
    changed: bool,
}

impl Surroundings for Process {
    fn between(&mut self) {}
    fn changed(&mut self) {
        self.changed = true;
    }
    fn failed(&mut self, _what: &str, _error: &EngineError) {}
}

impl Bench {
    /// One round of the maintenance worker; a round that fails has done what it has done.
    fn upkeep(&mut self, upkeep: &mut Upkeep, now_ms: i64) {
        let mut process = Process::default();
        let wanted = self.runner.wanted_segments().clone();
        let mut engine = self.database.open();
        let _ = upkeep.round(
            &mut engine,
            &mut process,
            &TopicDefaults::default(),
            INTERVAL_MS,
            &wanted,
            now_ms,
        );
        if process.changed {
            self.runner.catalog_changed();
        }
        self.turn();
    }

    fn create_with(&mut self, partitions: i32, configs: &[(&str, i64)]) -> TopicNumber {
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), value.to_string()));
        let topic = NewTopic {
            id: Uuid::new_v4(),
            name: "t".to_owned(),
            partitions,
            configs: configs.collect(),
        };
        let storage = self.runner.storage();
        let deadline = self.later();
        self.run(storage.create_topic(topic, deadline)).unwrap()
    }

    /// The stored topic; a failure that was ordered is used up.
    fn record(&self) -> TopicRecord {
        loop {
            let mut engine = self.database.open();
            let topics = engine.begin().and_then(|()| engine.load_topics());
            engine.rollback();
            if let Ok(mut topics) = topics {
                return topics.remove(0);
            }
        }
    }

    fn log_start(&self, partition: i32) -> i64 {
        let topics = self.runner.catalog().topics();
        topics
            .by_name("t")
            .unwrap()
            .partition(partition)
            .unwrap()
            .bounds()
            .log_start_offset
    }

    fn segments(&self) -> Vec<i32> {
        self.record().segments.iter().map(|segment| segment.number).collect()
    }
}

/// Goal: an idle topic whose records have all expired takes no room, and goes on where it ended.
#[test]
fn all_of_an_idle_topic_expires() {
    let mut bench = Bench::open(&ModelDatabase::default());
    let topic = bench.create_with(2, &[("retention.ms", 5000)]);
    let mut upkeep = Upkeep::new(NOW_MS);
    for _ in 0..3 {
        bench.append(topic, 0, batch(2, 1000, NOW_MS)).unwrap();
    }
    bench.append(topic, 1, batch(1, 1000, NOW_MS + 3000)).unwrap();
    bench.upkeep(&mut upkeep, NOW_MS + 5000);
    assert_eq!((bench.log_start(0), bench.log_start(1)), (0, 0));
    bench.upkeep(&mut upkeep, NOW_MS + 6001);
    assert_eq!((bench.log_start(0), bench.log_start(1)), (6, 0), "each partition by itself");
    assert_eq!(bench.segments(), [1]);
    bench.upkeep(&mut upkeep, NOW_MS + 8002);
    assert_eq!((bench.log_start(0), bench.log_start(1)), (6, 1));
    for _ in 0..2 {
        bench.upkeep(&mut upkeep, NOW_MS + 8003);
    }
    assert_eq!(bench.segments(), [2], "the segment was left without an append, and dropped");
    let database = bench.database.clone();
    drop(bench);
    let mut bench = Bench::open(&database);
    assert_eq!((bench.end("t", 0), bench.end("t", 1)), (6, 1));
    assert_eq!(bench.append(topic, 0, batch(1, 1000, NOW_MS)), Ok(6));
    assert_eq!(bench.stored(topic, 0, 6), [6]);
}

/// Goal: a segment is left when a record comes that is `segment.ms` younger than the partition's first in it, and not before.
#[test]
fn segments_roll_by_time() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create_with(2, &[("segment.ms", 1000), ("retention.ms", -1)]);
    let mut upkeep = Upkeep::new(NOW_MS);
    let mut append = |bench: &mut Bench, partition, timestamp_ms| {
        bench.append(topic, partition, batch(1, 100, timestamp_ms)).unwrap();
        bench.upkeep(&mut upkeep, NOW_MS);
        let segments = bench.record().segments;
        segments.iter().filter(|segment| segment.base_offsets.is_some()).count()
    };
    assert_eq!(append(&mut bench, 0, NOW_MS), 1);
    assert_eq!(append(&mut bench, 1, NOW_MS + 60_000), 1, "each partition has its own time");
    assert_eq!(append(&mut bench, 0, NOW_MS + 1000), 1);
    assert_eq!(append(&mut bench, 0, NOW_MS + 1001), 1, "the next one is not there yet");
    assert!(bench.runner.wanted_segments().is_empty(), "but it is made");
    drop(bench);
    let mut bench = Bench::open(&database);
    assert_eq!(append(&mut bench, 0, NOW_MS + 1002), 2, "a restart forgets nothing");
    assert_eq!(append(&mut bench, 0, NOW_MS + 2002), 2);
    assert_eq!(bench.stored(topic, 0, 0), (0..5).collect::<Vec<_>>());
}

/// Goal: the defaults of the settings count for topics that set nothing, also when they change.
#[test]
fn changed_defaults_count_at_once() {
    let mut bench = Bench::open(&ModelDatabase::default());
    bench.create_with(1, &[("retention.ms", 7)]);
    let configs = |bench: &Bench| bench.runner.catalog().topics().by_name("t").unwrap().configs.clone();
    assert_eq!(configs(&bench).segment_bytes(), 1 << 30);
    let mut settings = Settings::default();
    settings.topic_defaults.segment_bytes = 1 << 21;
    settings.topic_defaults.retention_ms = 9;
    bench.runner.configure(&settings);
    bench.turn();
    assert_eq!(
        (configs(&bench).segment_bytes(), configs(&bench).retention_ms),
        (1 << 21, Some(7))
    );
}

/// What was acknowledged, and what of it may be gone.
#[derive(Default)]
struct Expected {
    /// Per partition: base offset, records, bytes, timestamp.
    batches: BTreeMap<i32, Vec<(i64, i64, u64, i64)>>,
    deleted: BTreeMap<i32, i64>,
}

const RETENTION_MS: i64 = 60_000;
const RETENTION_BYTES: u64 = 3_000_000;

impl Expected {
    /// That all live batches of a partition are there, and that no other reason than retention or a client has deleted any.
    fn check(&self, bench: &mut Bench, topic: TopicNumber, partition: i32, now_ms: i64) {
        let start = bench.log_start(partition);
        let batches = self.batches.get(&partition).map_or(&[][..], Vec::as_slice);
        let live = batches.iter().filter(|(base, records, ..)| base + records > start);
        let expected: Vec<_> = live.map(|(base, ..)| *base).collect();
        let stored = if expected.is_empty() {
            Vec::new()
        } else {
            bench.stored(topic, partition, start)
        };
        assert_eq!(stored, expected, "partition {partition} from {start}");
        let deleted = self.deleted.get(&partition).copied().unwrap_or(0);
        for (index, (base, records, bytes, timestamp)) in batches.iter().enumerate() {
            let end = base + records;
            let left: u64 = batches[index + 1..].iter().map(|(_, _, bytes, _)| bytes).sum();
            let may_go = end <= deleted || now_ms - timestamp > RETENTION_MS || left >= RETENTION_BYTES;
            assert!(
                end <= start.max(deleted) || start <= *base,
                "a log start in the middle of the batch at {base}"
            );
            assert!(
                start < end || may_go,
                "the batch at {base} of {bytes} bytes is gone from partition {partition}"
            );
        }
    }
}

/// One random history: appends, deletions, retention, failures of any call, locks of sessions, crashes of the broker and of the database.
fn history(seed: u64) -> (usize, usize) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let limits = [
        ("segment.bytes", MIB as i64),
        ("retention.ms", RETENTION_MS),
        ("retention.bytes", RETENTION_BYTES as i64),
    ];
    let topic = bench.create_with(3, &limits);
    let mut upkeep = Upkeep::new(NOW_MS);
    let (mut expected, mut now_ms, mut acknowledged) = (Expected::default(), NOW_MS, 0);
    let mut rewritten = false;
    for _ in 0..600 {
        now_ms += random(2000) as i64;
        let partition = [0, 0, 0, 0, 0, 0, 1, 2][random(8) as usize];
        match random(20) {
            0..=10 => {
                let (records, size) = (1 + random(5) as i64, 100 + random(200_000) as usize);
                if let Ok(base) = bench.append(topic, partition, batch(records as i32, size, now_ms)) {
                    let of_partition = expected.batches.entry(partition).or_default();
                    of_partition.push((base, records, size as u64, now_ms));
                    acknowledged += 1;
                }
            }
            11..=15 => bench.upkeep(&mut upkeep, now_ms),
            16 => {
                let before = bench.end("t", partition) * random(100) as i64 / 100;
                let storage = bench.runner.storage();
                let deadline = bench.later();
                // Whether it was deleted is not known if it failed.
                let batches = expected.batches.get(&partition).into_iter().flatten();
                let begin = batches
                    .map(|(base, ..)| *base)
                    .filter(|base| *base <= before)
                    .max()
                    .unwrap_or(0);
                if bench.run(storage.delete_records(topic, partition, begin, deadline)).is_ok() {
                    let deleted = expected.deleted.entry(partition).or_default();
                    *deleted = (*deleted).max(begin);
                }
            }
            17 => database.fail(None, random(30) as usize, failure()),
            18 => {
                let held = bench.record().segments[0].number;
                database.hold_segment(SegmentId { topic, number: held });
                bench.upkeep(&mut upkeep, now_ms);
                database.release_segment(SegmentId { topic, number: held });
            }
            _ => {
                drop(bench);
                database.crash();
                upkeep = Upkeep::new(now_ms);
                bench = loop {
                    if let Ok(runner) = Runner::open(database.open(), Arc::new(|| {}), &Settings::default()) {
                        break Bench {
                            database: database.clone(),
                            runner,
                            now: Instant::now(),
                        };
                    }
                    database.crash();
                };
                while bench.runner.has_unopened_topics() {
                    bench.now += Duration::from_secs(1);
                    bench.turn();
                }
            }
        }
        rewritten |= bench.record().segments.iter().any(|segment| segment.origins.is_some());
    }
    database.clear_failures();
    for _ in 0..4 {
        bench.now += Duration::from_secs(1);
        bench.upkeep(&mut upkeep, now_ms);
    }
    for partition in 0..3 {
        expected.check(&mut bench, topic, partition, now_ms);
    }
    (acknowledged, usize::from(rewritten))
}

/// Goal: no acknowledged live record is ever lost, and none is deleted that retention keeps.
#[test]
fn random_histories_lose_nothing_that_lives() {
    let (mut acknowledged, mut rewritten) = (0, 0);
    for seed in 0..40 {
        let (appends, rewrites) = history(seed);
        acknowledged += appends;
        rewritten += rewrites;
    }
    assert!(acknowledged > 8000, "{acknowledged} batches");
    assert!(rewritten > 10, "{rewritten} histories with a rewritten segment");
}
