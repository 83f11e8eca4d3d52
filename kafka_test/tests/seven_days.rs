//! Seven days of records by a clock of the server's own: what retention lets go leaves the disk, what it keeps stays. For pg_kafka only.
//! `SEVEN_DAYS_MIB` is how many MiB one topic gets in that time, through 1,280 segments (`make seven-days` takes 20 GiB).
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_test::batch::{Batch, Stored};
use kafka_test::clock::Clock;
use kafka_test::connection::Connection;
use kafka_test::faults::Fault;
use kafka_test::patience::{eventually, within};
use kafka_test::requests::{append, fetch, list_offsets, Reading, FETCH};
use kafka_test::server::Server;
use kafka_test::sql::session;
use kafka_test::topic::Topic;
use postgres::Client;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const STEP: Duration = Duration::from_secs(30 * 60);
const STEPS: u64 = 7 * 48;
const STEPS_A_DAY: usize = 48;
const DAY_MS: i64 = 24 * 3_600_000;
const SEGMENTS: u64 = 1280;
/// At least; a batch has at most the default of `max.message.bytes`.
const BATCHES_A_SEGMENT: u64 = 8;
const HOT_SEGMENTS: u64 = 16;
const IDLE: std::ops::Range<i32> = 1..12;
const EARLIEST: i64 = -2;

/// A topic, what was written to it, and what it takes in Postgres.
struct Log {
    topic: Topic,
    number: i32,
    /// Bytes of a segment.
    segment: u64,
    /// For each step and partition: the offset behind it.
    ends: Vec<Vec<i64>>,
    largest: f64,
}

impl Log {
    fn new(server: &Server, sql: &mut Client, name: &str, partitions: i32, segment: u64, retention: (&str, &str)) -> Log {
        let segment_bytes = segment.to_string();
        let topic = server.topic_with(name, partitions, &[("segment.bytes", &segment_bytes), retention]);
        let row = sql.query_one("SELECT id FROM kafka.topics WHERE name = $1", &[&topic.name]);
        Log {
            number: row.unwrap().get(0),
            topic,
            segment,
            ends: vec![vec![0; partitions as usize]],
            largest: 0.0,
        }
    }

    /// Appends a batch, when the next segment is there to take what the present one has no room for: the days have time for that.
    fn append(&self, connection: &mut Connection, sql: &mut Client, clock: &Clock, partition: i32, value: &[u8]) -> i64 {
        let query =
            "SELECT bool_or(base_offsets IS NULL) OR max(pg_relation_size(format('kafka_log.t%s_s%s', topic, number)::regclass)
                        ) FILTER (WHERE number = (SELECT max(number) FROM kafka.segments WHERE topic = $1)) < $2
                       FROM kafka.segments WHERE topic = $1";
        let half = (self.segment / 2) as i64;
        eventually("the next segment is made", || {
            let row = sql.query_one(query, &[&self.number, &half]).ok()?;
            row.get::<_, Option<bool>>(0)?.then_some(())
        });
        append(connection, &self.topic, partition, &Batch::of([value]).at(clock.now_ms())) + 1
    }

    /// Bytes of all its tables and indexes.
    fn disk_bytes(&self, sql: &mut Client) -> u64 {
        let query = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class
                      WHERE relkind = 'r' AND relnamespace = 'kafka_log'::regnamespace AND relname ~ ('^t' || $1::int4 || '_')";
        let bytes: i64 = sql.query_one(query, &[&self.number]).unwrap().get(0);
        bytes as u64
    }

    /// Once retention has looked, the disk is within so many times what it allows.
    fn assert_within(&mut self, sql: &mut Client, allowed: u64, times: f64) {
        let what = format!("{} within {times} times {allowed} bytes", self.topic.name);
        let part = eventually(&what, || {
            let part = self.disk_bytes(sql) as f64 / allowed as f64;
            (part <= times).then_some(part)
        });
        self.largest = self.largest.max(part);
    }

    /// Everything from the log start on can be read; returns the log start.
    fn assert_whole(&self, connection: &mut Connection, partition: i32) -> i64 {
        let start = list_offsets(connection, 7, &self.topic, partition, EARLIEST).offset;
        let end = self.ends.last().unwrap()[partition as usize];
        let mut at = start;
        while at < end {
            let reading = Reading {
                partition,
                max_bytes: 32 << 20,
                partition_max_bytes: 32 << 20,
                ..Reading::from(at)
            };
            let data = fetch(connection, FETCH, &self.topic, reading);
            assert_eq!(data.error_code, 0, "fetch {} {partition} from {at}", self.topic.name);
            for batch in Stored::all(data.records.as_deref().unwrap_or_default()) {
                assert_eq!(batch.base_offset, at, "{} {partition}", self.topic.name);
                at = batch.next_offset();
            }
        }
        assert_eq!(at, end, "the end of {} {partition}", self.topic.name);
        start
    }

    /// No table of it has a dead row or is larger than a segment.
    fn assert_tidy(&self, sql: &mut Client) {
        let query = "SELECT number, (pgstattuple(format('kafka_log.t%s_s%s', topic, number)::regclass)).* FROM kafka.segments WHERE topic = $1";
        let rows = sql.query(query, &[&self.number]).unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let (number, bytes, dead): (i32, i64, i64) = (row.get("number"), row.get("table_len"), row.get("dead_tuple_count"));
            assert_eq!(dead, 0, "dead rows in segment {number} of {}", self.topic.name);
            assert!(
                bytes as u64 <= self.segment,
                "segment {number} of {}: {bytes} bytes",
                self.topic.name
            );
        }
    }
}

/// Goal: through 1,280 segments in seven days the disk of a topic that keeps a day stays within 1.2 times a day's bytes, that of one with a
/// hot and eleven idle partitions within 1.5 times `retention.bytes`; no dead rows, no table over its size; nothing that is to be kept is
/// lost, also over a kill, after which the broker serves within 5 s.
#[test]
fn the_disk_stays_within_what_retention_allows() {
    let mib = std::env::var("SEVEN_DAYS_MIB").map_or(SEGMENTS, |mib| mib.parse().unwrap());
    let segment = mib * MIB / SEGMENTS;
    let server = Server::start_pg_kafka_with_clock(&[("pg_kafka.log_retention_check_interval", "5min")]);
    let clock = server.clock.as_ref().unwrap();
    let mut sql = session(&server);
    sql.batch_execute("CREATE EXTENSION pgstattuple").unwrap();
    let mut aging = Log::new(&server, &mut sql, "aging", 4, segment, ("retention.ms", &DAY_MS.to_string()));
    let limit = HOT_SEGMENTS * segment;
    let mut hot = Log::new(&server, &mut sql, "hot", 12, segment, ("retention.bytes", &limit.to_string()));
    let mut connection = server.connect();
    let size = (segment / BATCHES_A_SEGMENT).min(MIB);
    let value = vec![7; size as usize - 100];
    let (mut written, mut number) = (0, 0);
    for step in 1..=STEPS {
        clock.advance(STEP);
        let (mut aging_ends, mut hot_ends) = (aging.ends.last().unwrap().clone(), hot.ends.last().unwrap().clone());
        while written < mib * MIB * step / STEPS {
            let partition = number % 4;
            aging_ends[partition as usize] = aging.append(&mut connection, &mut sql, clock, partition, &value);
            if number % 4 == 0 {
                hot_ends[0] = hot.append(&mut connection, &mut sql, clock, 0, &value);
            }
            (written, number) = (written + size, number + 1);
        }
        if step % 8 == 0 {
            for idle in IDLE {
                hot_ends[idle as usize] = hot.append(&mut connection, &mut sql, clock, idle, b"rarely");
            }
        }
        aging.ends.push(aging_ends);
        hot.ends.push(hot_ends);
        aging.assert_within(&mut sql, mib * MIB / 7, 1.2);
        hot.assert_within(&mut sql, limit, 1.5);
        if step == STEPS / 2 {
            Fault::KillPostmaster.strike(&server);
            sql = session(&server);
            connection = eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
        }
    }
    println!(
        "{mib} MiB in segments of {segment} bytes: disk at most {:.3} times a day's bytes, {:.3} times retention.bytes",
        aging.largest, hot.largest
    );
    aging.assert_tidy(&mut sql);
    hot.assert_tidy(&mut sql);
    let recovered = Fault::KillPostmaster.strike(&server);
    let left = Duration::from_secs(5).saturating_sub(recovered.elapsed());
    connection = within(left, "the broker answers", || Connection::try_open(&server.bootstrap).ok());
    for partition in 0..4 {
        let start = aging.assert_whole(&mut connection, partition);
        let kept = aging.ends[aging.ends.len() - STEPS_A_DAY][partition as usize];
        assert!(
            0 < start && start <= kept,
            "partition {partition} begins at {start}, not before {kept}"
        );
    }
    let start = hot.assert_whole(&mut connection, 0);
    let kept = (hot.ends.last().unwrap()[0] - start) as u64 * size;
    assert!(kept >= limit * 15 / 16, "the hot partition has {kept} bytes of {limit}");
    for idle in IDLE {
        assert_eq!(hot.assert_whole(&mut connection, idle), 0, "idle partition {idle}");
    }
    server.assert_never_crashed();
}
