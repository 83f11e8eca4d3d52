//! How much disk the log takes: heap bytes per payload byte, and pages of the relation against pages that hold something.

use postgres::Client;

use crate::error::Error;
use crate::fetch;
use crate::latency::OneAtATime;
use crate::payload::{values, Kind};
use crate::produce::{self, Load};
use crate::starts::first_answer;
use crate::target::Target;

/// Sums over all segments of a topic.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Bytes of record batches as the client sent them.
    pub payload_bytes: i64,
    /// Bytes of the tables' main forks.
    pub heap_bytes: i64,
    /// Bytes of their indexes.
    pub index_bytes: i64,
    /// Bytes of write-ahead log that were written meanwhile.
    pub wal_bytes: i64,
    /// Bytes of write-ahead log that a consumer causes who reads all of it after a checkpoint and from no cache of the broker.
    pub read_wal_bytes: i64,
    /// Bytes of write-ahead log that freezing all of it after a checkpoint writes.
    pub freeze_wal_bytes: i64,
    /// Pages of the tables' main forks.
    pub pages: i64,
    /// Pages that hold at least one piece.
    pub pages_used: i64,
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Disk {
            payload_bytes,
            heap_bytes,
            index_bytes,
            wal_bytes,
            read_wal_bytes,
            freeze_wal_bytes,
            pages,
            pages_used,
        } = self;
        let per_payload = |bytes: &i64| *bytes as f64 / *payload_bytes as f64;
        write!(
            f,
            "payload {payload_bytes} bytes, heap {heap_bytes} = {:.3} per payload byte, ",
            per_payload(heap_bytes)
        )?;
        write!(f, "index {index_bytes} = {:.3}, ", per_payload(index_bytes))?;
        write!(f, "WAL {wal_bytes} = {:.3}, ", per_payload(wal_bytes))?;
        write!(
            f,
            "reading it cold {read_wal_bytes} of WAL = {:.3}, ",
            per_payload(read_wal_bytes)
        )?;
        write!(
            f,
            "VACUUM FREEZE after a checkpoint {freeze_wal_bytes} of WAL = {:.3}; ",
            per_payload(freeze_wal_bytes)
        )?;
        write!(
            f,
            "pages {pages}, used {pages_used}, ratio {:.3}",
            *pages as f64 / *pages_used as f64
        )
    }
}

/// Where the write-ahead log ends, what is not yet written to its files included.
fn wal_position(postgres: &mut Client) -> Result<String, Error> {
    Ok(postgres.query_one("SELECT pg_current_wal_insert_lsn()::text", &[])?.get(0))
}

/// Bytes of write-ahead log since a position.
fn wal_since(postgres: &mut Client, position: &str) -> Result<i64, Error> {
    let row = postgres.query_one("SELECT (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::int8", &[&position])?;
    Ok(row.get(0))
}

/// Reads a topic through a broker that has just started, after a checkpoint: bytes of write-ahead log that this writes.
fn read_cold(target: &Target, postgres: &mut Client, load: &fetch::Load) -> Result<i64, Error> {
    postgres
        .batch_execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE backend_type = 'pg_kafka broker'")?;
    first_answer(&target.brokers)?;
    target.wait_for_leaders(&[&load.topic], load.partitions)?;
    postgres.batch_execute("CHECKPOINT")?;
    let before = wal_position(postgres)?;
    fetch::run(target, load)?;
    wal_since(postgres, &before)
}

/// Freezes tables as a vacuum does that comes late: bytes of write-ahead log that it writes.
fn freeze(postgres: &mut Client, tables: &[String]) -> Result<i64, Error> {
    postgres.batch_execute("CHECKPOINT")?;
    let before = wal_position(postgres)?;
    for table in tables {
        postgres.batch_execute(&format!("VACUUM (FREEZE) {table}"))?;
    }
    wal_since(postgres, &before)
}

/// What a topic's segments take, and the write-ahead log since a position; then reads and freezes them. The session needs the right to read schema `kafka_log`.
///
/// # Errors
/// The topic is not there, or may not be read.
fn disk(target: &Target, postgres: &mut Client, load: &fetch::Load, wal_before: &str) -> Result<Disk, Error> {
    let topic = &load.topic;
    let tables: Vec<String> = postgres
        .query(
            "SELECT format('%I.%I', n.nspname, c.relname)
             FROM kafka.topics t
             JOIN pg_namespace n ON n.nspname = 'kafka_log'
             JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r' AND c.relname LIKE 't' || t.id || '\\_s%'
             WHERE t.name = $1",
            &[&topic],
        )?
        .iter()
        .map(|row| row.get(0))
        .collect();
    if tables.is_empty() {
        return Err(Error::Incomplete(format!("topic {topic} has no segment")));
    }
    let wal_bytes = wal_since(postgres, wal_before)?;
    let read_wal_bytes = read_cold(target, postgres, load)?;
    let mut sum = Disk {
        payload_bytes: 0,
        heap_bytes: 0,
        index_bytes: 0,
        wal_bytes,
        read_wal_bytes,
        freeze_wal_bytes: 0,
        pages: 0,
        pages_used: 0,
    };
    for table in &tables {
        let row = postgres.query_one(
            &format!(
                "SELECT coalesce(sum(octet_length(data)), 0)::int8, pg_relation_size('{table}'), pg_indexes_size('{table}'),
                        pg_relation_size('{table}') / current_setting('block_size')::int8,
                        count(DISTINCT (ctid::text::point)[0])
                 FROM {table}"
            ),
            &[],
        )?;
        sum.payload_bytes += row.get::<_, i64>(0);
        sum.heap_bytes += row.get::<_, i64>(1);
        sum.index_bytes += row.get::<_, i64>(2);
        sum.pages += row.get::<_, i64>(3);
        sum.pages_used += row.get::<_, i64>(4);
    }
    sum.freeze_wal_bytes = freeze(postgres, &tables)?;
    Ok(sum)
}

fn reading(topic: &str, partitions: i32, records: u64) -> fetch::Load {
    fetch::Load {
        topic: topic.to_owned(),
        partitions,
        records,
        partition_bytes: 1024 * 1024,
    }
}

/// 100 MB of records of 1 KiB in batches of 16 KiB to three partitions.
///
/// # Errors
/// As [`produce::run`], and Postgres refuses a query.
pub fn large_batches(target: &Target, postgres: &mut Client) -> Result<Disk, Error> {
    let load = Load {
        topic: "bench-disk-batches".to_owned(),
        partitions: 3,
        records: 100_000,
        record_bytes: 1024,
        payload: Kind::Random,
        codec: "none".to_owned(),
        acks: "all".to_owned(),
        batch_bytes: 16384,
        linger: std::time::Duration::from_millis(50),
        idempotent: false,
        in_flight: None,
        rate: None,
        burst: std::time::Duration::ZERO,
        only_failures: false,
    };
    target.fresh_topic(&load.topic, load.partitions)?;
    let wal_before = wal_position(postgres)?;
    produce::run(target, &load)?;
    let found = disk(
        target,
        postgres,
        &reading(&load.topic, load.partitions, load.records),
        &wal_before,
    )?;
    target.delete_topic(&load.topic)?;
    Ok(found)
}

/// `groups` batches of one record of 100 bytes, each sent after the one before was acknowledged, so that each is a group of its own.
///
/// # Errors
/// As [`OneAtATime::send`], and Postgres refuses a query.
pub fn small_groups(target: &Target, postgres: &mut Client, groups: usize) -> Result<Disk, Error> {
    let topic = "bench-disk-groups";
    target.fresh_topic(topic, 1)?;
    let producer = OneAtATime::connect(target, topic)?;
    let wal_before = wal_position(postgres)?;
    for value in values(Kind::Random, 100).iter().cycle().take(groups) {
        producer.send(topic, value)?;
    }
    let found = disk(target, postgres, &reading(topic, 1, groups as u64), &wal_before)?;
    target.delete_topic(topic)?;
    Ok(found)
}
