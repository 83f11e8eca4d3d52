//! Retention end to end, seen through clients and in SQL: what expires is gone from the disk, what does not stays. For pg_kafka only.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_test::batch::{now_ms, Batch, Stored};
use kafka_test::clients::{flush, producer, send};
use kafka_test::configs::{altered, Op};
use kafka_test::connection::Connection;
use kafka_test::faults::Fault;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, fetch, latest, list_offsets, produce_bytes, read_all, Reading, FETCH, PRODUCE};
use kafka_test::server::Server;
use kafka_test::sql::session;
use kafka_test::topic::Topic;
use postgres::error::SqlState;
use postgres::{Client, IsolationLevel};
use rdkafka::producer::BaseRecord;
use std::ops::Range;
use std::time::Duration;

const MIB: i64 = 1 << 20;
const HOUR_MS: i64 = 3_600_000;
const OFFSET_OUT_OF_RANGE: i16 = 1;
/// Retention is looked at often.
const OFTEN: (&str, &str) = ("pg_kafka.log_retention_check_interval", "100ms");

/// A topic as SQL sees it.
struct Disk {
    sql: Client,
    topic: i32,
}

impl Disk {
    fn of(server: &Server, topic: &Topic) -> Disk {
        let mut sql = session(server);
        let row = sql.query_one("SELECT id FROM kafka.topics WHERE name = $1", &[&topic.name]);
        Disk {
            topic: row.unwrap().get(0),
            sql,
        }
    }

    fn number(&mut self, query: &str) -> i64 {
        self.sql.query_one(query, &[&self.topic]).unwrap().get(0)
    }

    /// Bytes of all tables and indexes of the topic, whether they are in `kafka.segments` or not.
    fn bytes(&mut self) -> i64 {
        self.number(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM pg_class c
              WHERE relkind = 'r' AND relnamespace = 'kafka_log'::regnamespace AND relname ~ ('^t' || $1::int4 || '_')",
        )
    }

    /// The tables are those of `kafka.segments`, no more and no fewer.
    fn assert_tables_are_segments(&mut self) {
        let wrong = self.number(
            "SELECT count(*) FROM (SELECT relname FROM pg_class
              WHERE relkind = 'r' AND relnamespace = 'kafka_log'::regnamespace AND relname ~ ('^t' || $1::int4 || '_')) c
               FULL JOIN (SELECT format('t%s_s%s', topic, number)::name AS relname FROM kafka.segments WHERE topic = $1) s USING (relname)
              WHERE c.relname IS NULL OR s.relname IS NULL",
        );
        assert_eq!(wrong, 0, "tables and segments");
    }

    fn first_segment(&mut self) -> i64 {
        self.number("SELECT min(number)::int8 FROM kafka.segments WHERE topic = $1")
    }

    fn log_start(&mut self, partition: i32) -> i64 {
        let query = "SELECT coalesce(max(log_start_offset), 0) FROM kafka.log_starts WHERE topic = $1 AND partition = $2";
        self.sql.query_one(query, &[&self.topic, &partition]).unwrap().get(0)
    }
}

/// The number that a record was written with.
fn value(number: i64, size: usize) -> String {
    format!("{number:0>12}{}", "x".repeat(size))
}

fn numbers_of(batch: &Stored) -> Vec<i64> {
    let values = batch.records().into_iter().map(|record| record.value.unwrap());
    values
        .map(|value| String::from_utf8_lossy(&value[..12]).parse().unwrap())
        .collect()
}

/// Numbers of the records from an offset on, of a partition that keeps them.
fn numbers(connection: &mut Connection, topic: &Topic, partition: i32, offset: i64) -> Vec<i64> {
    read_all(connection, topic, partition, offset)
        .iter()
        .flat_map(numbers_of)
        .collect()
}

/// The earliest offset of a partition and the numbers of all records from there on; retention may go on meanwhile.
fn live(connection: &mut Connection, topic: &Topic, partition: i32) -> (i64, Vec<i64>) {
    eventually("all live records can be read", || {
        let start = list_offsets(connection, 7, topic, partition, -2).offset;
        let (mut at, mut found) = (start, Vec::new());
        loop {
            let reading = Reading {
                partition,
                ..Reading::from(at)
            };
            let data = fetch(connection, FETCH, topic, reading);
            if data.error_code == OFFSET_OUT_OF_RANGE {
                return None;
            }
            assert_eq!(data.error_code, 0);
            let batches = Stored::all(data.records.as_deref().unwrap_or_default());
            let Some(last) = batches.last() else {
                return Some((start, found));
            };
            at = last.next_offset();
            found.extend(batches.iter().flat_map(numbers_of));
        }
    })
}

/// Goal: records that a client dated two hours back are gone, with their tables, an hour's retention; younger ones and those of the
/// future stay; the log start is persisted and outlives a kill.
#[test]
fn what_expires_leaves_the_disk() {
    let server = Server::start_pg_kafka(&[OFTEN]);
    let configs = [("segment.bytes", "1048576"), ("retention.ms", "3600000")];
    let topic = server.topic_with("expiring", 2, &configs);
    let mut disk = Disk::of(&server, &topic);
    let (producer, deliveries) = producer(&server, &[("batch.size", "200000")]);
    let write = |partition, timestamp, tags: Range<i64>| {
        for tag in tags {
            let (payload, key) = (value(tag, 10_000), [0; 0]);
            let record = BaseRecord::with_opaque_to(&topic.name, Box::new(tag as u64)).partition(partition);
            send(
                &producer,
                record.payload(payload.as_bytes()).key(&key[..]).timestamp(timestamp),
            );
        }
        flush(&producer, Duration::from_secs(60));
        assert!(deliveries.take().iter().all(|delivery| delivery.outcome.is_ok()));
    };
    let now = now_ms();
    write(1, now + HOUR_MS / 2, 900..950);
    write(0, now - 2 * HOUR_MS, 0..600);
    eventually("the old records are deleted", || (disk.log_start(0) == 600).then_some(()));
    write(0, now, 600..900);
    eventually("the old segments are dropped", || (disk.bytes() < 5 * MIB).then_some(()));
    let check = |connection: &mut Connection| {
        eventually("clients see it", || {
            (list_offsets(connection, 7, &topic, 0, -2).offset == 600).then_some(())
        });
        let gone = fetch(connection, FETCH, &topic, Reading::from(599));
        assert_eq!(gone.error_code, OFFSET_OUT_OF_RANGE);
        assert_eq!(live(connection, &topic, 0), (600, (600..900).collect()));
        assert_eq!(live(connection, &topic, 1), (0, (900..950).collect()));
    };
    check(&mut server.connect());
    disk.assert_tables_are_segments();
    server.assert_never_crashed();
    Fault::KillBroker.strike(&server);
    eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
    check(&mut server.connect());
}

/// Goal: when all of a topic has expired nothing is left of it on disk, without another append; offsets go on where they were.
#[test]
fn an_idle_topic_expires_whole() {
    let server = Server::start_pg_kafka(&[OFTEN]);
    let topic = server.topic_with("idle", 1, &[("retention.ms", "3600000")]);
    let mut connection = server.connect();
    for number in 0..20 {
        append(
            &mut connection,
            &topic,
            0,
            &Batch::of([value(number, 50_000)]).at(now_ms() - 2 * HOUR_MS),
        );
    }
    let mut disk = Disk::of(&server, &topic);
    eventually("the table is dropped", || {
        (disk.first_segment() > 1 && disk.bytes() < MIB / 10).then_some(())
    });
    assert_eq!((disk.log_start(0), latest(&mut connection, &topic, 0)), (20, 20));
    assert_eq!(append(&mut connection, &topic, 0, &Batch::of([value(20, 1)])), 20);
    assert_eq!(numbers(&mut connection, &topic, 0, 20), [20]);
    disk.assert_tables_are_segments();
    server.assert_never_crashed();
}

/// Goal: the segment is left when a record comes that is segment.ms younger than its first, so that the older ones can go; a lowered
/// retention.ms counts for what is there.
#[test]
fn a_segment_ends_after_its_time() {
    let server = Server::start_pg_kafka(&[OFTEN]);
    let topic = server.topic_with("rolled", 1, &[("segment.ms", "60000"), ("retention.ms", "-1")]);
    let mut disk = Disk::of(&server, &topic);
    let mut connection = server.connect();
    let aged = |number, hours| Batch::of([value(number, 100)]).at(now_ms() - hours * HOUR_MS);
    append(&mut connection, &topic, 0, &aged(0, 9));
    let mut next = 1;
    let filled = "SELECT count(*) FROM kafka.segments WHERE topic = $1 AND base_offsets IS NOT NULL";
    eventually("the next segment is begun", || {
        append(&mut connection, &topic, 0, &aged(next, 8));
        next += 1;
        (disk.number(filled) > 1).then_some(())
    });
    eventually("the next segment is begun", || {
        append(&mut connection, &topic, 0, &aged(next, 0));
        next += 1;
        (disk.number(filled) > 2).then_some(())
    });
    altered(&mut connection, &topic.name, &[("retention.ms", Op::Set("3600000"))]);
    eventually("the oldest segment is dropped", || (disk.first_segment() > 1).then_some(()));
    eventually("clients are told of it", || {
        (list_offsets(&mut connection, 7, &topic, 0, -2).offset > 0).then_some(())
    });
    let (start, kept) = live(&mut connection, &topic, 0);
    assert_eq!(kept, (start..next).collect::<Vec<_>>());
    server.assert_never_crashed();
}

/// Goal: one hot partition at its retention.bytes, with eleven idle ones in the same segments, takes at most 1.5 times that; the idle
/// ones keep all they have, for clients and in SQL.
#[test]
fn idle_partitions_do_not_hold_what_a_hot_one_deletes() {
    const LIMIT: i64 = 16 * MIB;
    let server = Server::start_pg_kafka(&[OFTEN]);
    let limit = LIMIT.to_string();
    let topic = server.topic_with("hot", 12, &[("segment.bytes", "1048576"), ("retention.bytes", &limit)]);
    let mut connection = server.connect();
    for number in 0..480 {
        append(&mut connection, &topic, 0, &Batch::of([value(number, 100_000)]));
        if number % 10 == 0 {
            for idle in 1..12 {
                append(&mut connection, &topic, idle, &Batch::of([value(number / 10, 100)]));
            }
        }
    }
    let mut disk = Disk::of(&server, &topic);
    // Where a segment ends depends on the load of the machine; what comes after a large one lets it go.
    let mut end = 480;
    eventually("the disk is within 1.5 times retention.bytes", || {
        append(&mut connection, &topic, 0, &Batch::of([value(end, 100_000)]));
        end += 1;
        (disk.bytes() * 2 <= 3 * LIMIT).then_some(())
    });
    let merged = disk.number("SELECT count(*) FROM kafka.segments WHERE topic = $1 AND origins IS NOT NULL");
    assert!(merged > 0, "no segment was rewritten");
    disk.assert_tables_are_segments();
    let (start, kept) = live(&mut connection, &topic, 0);
    assert_eq!(kept, (start..end).collect::<Vec<_>>());
    assert!(
        kept.len() as i64 * 100_000 >= LIMIT,
        "{} records: too many were deleted",
        kept.len()
    );
    for idle in 1..12 {
        assert_eq!(disk.log_start(idle), 0);
        assert_eq!(
            numbers(&mut connection, &topic, idle, 0),
            (0..48).collect::<Vec<_>>(),
            "partition {idle}"
        );
        assert_eq!(numbers(&mut connection, &topic, idle, 47), [47]);
    }
    let query = "SELECT count(*) FROM kafka.messages WHERE topic = $1 AND partition > 0 AND \"offset\" < 48";
    let seen: i64 = disk.sql.query_one(query, &[&topic.name]).unwrap().get(0);
    assert_eq!(seen, 11 * 48, "records of idle partitions in SQL");
    server.assert_never_crashed();
}

/// Goal: a query whose snapshot is older than a rewrite finds what was merged where it is now; where all that the snapshot knows is
/// gone it says so, and a new transaction finds it.
#[test]
fn older_snapshots_find_what_was_merged() {
    let server = Server::start_pg_kafka(&[OFTEN]);
    let topic = server.topic_with("merged", 2, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
    let mut connection = server.connect();
    let mut disk = Disk::of(&server, &topic);
    let mut next = 0;
    let mut fill = |disk: &mut Disk, segments: i64| {
        let filled = "SELECT max(number)::int8 FROM kafka.segments WHERE topic = $1 AND base_offsets IS NOT NULL";
        let ahead = "SELECT count(*) FROM kafka.segments WHERE topic = $1 AND base_offsets IS NULL";
        let (mut number, mut written) = (disk.number(filled), 0);
        while number < segments {
            // What is left of a segment is larger than what is left before it, so that it takes that in.
            let rest = 100 * 3_usize.pow(number as u32);
            append(&mut connection, &topic, 0, &Batch::of([value(next, 100_000)]));
            append(&mut connection, &topic, 1, &Batch::of([value(next, rest)]));
            next += 1;
            let before = std::mem::replace(&mut number, disk.number(filled));
            written = if number > before { 1 } else { written + 1 };
            if written == 8 {
                eventually("the next segment is made", || (disk.number(ahead) == 1).then_some(()));
            }
        }
        next
    };
    let known = fill(&mut disk, 3);
    // They have a snapshot and no lock yet: what they have read would keep their segments.
    let (mut one, mut other) = (session(&server), session(&server));
    let [mut first, mut second] = [&mut one, &mut other].map(|session| {
        let begin = session.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let mut transaction = begin.start().unwrap();
        transaction.query_one("SELECT count(*) FROM kafka.topics", &[]).unwrap();
        transaction
    });
    let count = "SELECT count(*) FROM kafka.messages WHERE topic = $1 AND partition = 1";
    let delete = |before: i64| {
        let deleted = session(&server).execute("SELECT kafka.delete_records($1, 0, $2)", &[&topic.name, &before]);
        deleted.unwrap();
    };
    let merged_up_to = |disk: &mut Disk, number: i64| {
        let query = "SELECT count(*) FROM kafka.segments WHERE topic = $1 AND number < $2 AND base_offsets IS NOT NULL";
        eventually("what is left is merged", || {
            let before: i64 = disk.sql.query_one(query, &[&disk.topic, &(number as i32)]).unwrap().get(0);
            (before == 0).then_some(())
        });
    };
    delete(known - 1);
    merged_up_to(&mut disk, 2);
    let seen: i64 = first.query_one(count, &[&topic.name]).unwrap().get(0);
    assert_eq!(seen, known, "by the snapshot from before the merge");
    first.commit().unwrap();

    let all = fill(&mut disk, 5);
    delete(all - 1);
    merged_up_to(&mut disk, 4);
    let error = second.query_one(count, &[&topic.name]).unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{error}");
    drop(second);
    let seen: i64 = disk.sql.query_one(count, &[&topic.name]).unwrap().get(0);
    assert_eq!(seen, all);
    server.assert_never_crashed();
}

/// Goal: a sealed segment that is kept for ever is frozen, as soon as no older snapshot is in the way; the one that is being filled is
/// not, nor one that retention drops before PostgreSQL would have to go through it.
#[test]
fn sealed_segments_are_frozen() {
    let server = Server::start_pg_kafka(&[OFTEN]);
    let forever = server.topic_with("forever", 1, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
    let weekly = server.topic_with("weekly", 1, &[("segment.bytes", "1048576")]);
    let mut connection = server.connect();
    let (mut kept, mut dropped) = (Disk::of(&server, &forever), Disk::of(&server, &weekly));
    let mut session = session(&server);
    let mut older = session
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    older.query_one("SELECT pg_current_xact_id()::text", &[]).unwrap();
    let first_ids = "SELECT relfrozenxid::text::int8 FROM pg_class WHERE relname = format('t%s_s1', $1::int4)";
    let before = kept.number(first_ids);
    let filled = "SELECT count(*) FROM kafka.segments WHERE topic = $1 AND base_offsets IS NOT NULL";
    while kept.number(filled) < 3 || dropped.number(filled) < 3 {
        for topic in [&forever, &weekly] {
            append(&mut connection, topic, 0, &Batch::of([value(0, 100_000)]));
        }
    }
    let sealed = kept.number(filled) - 1;
    let frozen = "SELECT count(*) FROM pg_class WHERE relnamespace = 'kafka_log'::regnamespace AND relkind = 'r'
                    AND relname ~ ('^t' || $1::int4 || '_') AND relpages > 0 AND relallvisible = relpages";
    assert_eq!(kept.number(frozen), 0, "while a snapshot is older than the rows");
    older.commit().unwrap();
    eventually("the sealed segments are frozen", || {
        (kept.number(frozen) == sealed).then_some(())
    });
    assert!(kept.number(first_ids) > before);
    assert_eq!(dropped.number(frozen), 0);
    assert_eq!(
        numbers(&mut connection, &forever, 0, 0).len() as i64,
        latest(&mut connection, &forever, 0)
    );
    server.assert_never_crashed();
}

/// Goal: a deleted topic gives its disk space back at once, a topic that is only compacted keeps what is old.
#[test]
fn deletion_returns_the_disk_and_compaction_keeps_it() {
    let server = Server::start_pg_kafka(&[OFTEN]);
    let configs = [("segment.bytes", "1048576"), ("retention.ms", "3600000")];
    let kept = server.topic_with("kept", 1, &[&configs[..], &[("cleanup.policy", "compact")]].concat());
    let expiring = server.topic_with("expiring", 1, &configs);
    let large = server.topic_with("large", 1, &configs[..1]);
    let mut connection = server.connect();
    for number in 0..40 {
        let old = Batch::of([value(number, 100_000)]).keyed("k").at(now_ms() - 2 * HOUR_MS);
        for topic in [&kept, &expiring] {
            append(&mut connection, topic, 0, &old);
        }
        append(&mut connection, &large, 0, &Batch::of([value(number, 100_000)]));
    }
    let mut disk = Disk::of(&server, &expiring);
    eventually("the topic beside it expires", || (disk.log_start(0) == 40).then_some(()));
    assert_eq!(numbers(&mut connection, &kept, 0, 0), (0..40).collect::<Vec<_>>());
    let mut disk = Disk::of(&server, &large);
    let size = "SELECT pg_database_size(current_database())";
    let before: i64 = disk.sql.query_one(size, &[]).unwrap().get(0);
    assert!(disk.bytes() > 3 * MIB);
    session(&server)
        .execute("SELECT kafka.drop_topic($1)", &[&large.name])
        .unwrap();
    assert_eq!(disk.bytes(), 0);
    let after: i64 = disk.sql.query_one(size, &[]).unwrap().get(0);
    assert!(after + 3 * MIB < before, "{before} bytes before, {after} after");
    server.assert_never_crashed();
}

/// Goal: whatever dies between two steps of retention, no record is lost that should live, and the rest goes all the same.
#[test]
fn kills_between_the_steps() {
    let server = Server::start_pg_kafka(&[OFTEN]);
    let configs = [("segment.bytes", "1048576"), ("retention.bytes", "3145728")];
    let topic = server.topic_with("killed", 3, &configs);
    let (mut next, mut start, mut last_start) = (0, 0, 0);
    for fault in Fault::ALL.into_iter().cycle().take(9) {
        let mut connection = eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
        for _ in 0..30 {
            append(&mut connection, &topic, 0, &Batch::of([value(next, 100_000)]));
            if next % 10 == 0 {
                append(&mut connection, &topic, 1, &Batch::of([value(next / 10, 100)]));
            }
            next += 1;
        }
        fault.strike(&server);
        let mut connection = eventually("the broker answers", || {
            let mut connection = Connection::try_open(&server.bootstrap).ok()?;
            let probe = produce_bytes(&mut connection, PRODUCE, &topic, 2, -1, &Batch::of(["x"]).encode());
            (probe.error_code == 0).then_some(connection)
        });
        start = Disk::of(&server, &topic).log_start(0);
        assert!(start >= last_start, "the log start went back from {last_start} to {start}");
        last_start = start;
        eventually("clients are told of that start", || {
            (list_offsets(&mut connection, 7, &topic, 0, -2).offset >= start).then_some(())
        });
        assert_eq!(
            numbers(&mut connection, &topic, 1, 0),
            (0..=(next - 1) / 10).collect::<Vec<_>>(),
            "after {fault:?}"
        );
    }
    assert!(start > 0, "nothing was deleted");
    let mut disk = Disk::of(&server, &topic);
    let mut connection = server.connect();
    eventually("the disk is as small as it should be", || {
        append(&mut connection, &topic, 0, &Batch::of([value(next, 100_000)]));
        next += 1;
        (disk.bytes() < 8 * MIB).then_some(())
    });
    disk.assert_tables_are_segments();
    let (start, kept) = live(&mut connection, &topic, 0);
    assert_eq!(kept, (start..next).collect::<Vec<_>>());
    assert!(
        kept.len() as i64 * 100_000 >= 3 * MIB,
        "{} records: too many were deleted",
        kept.len()
    );
}
