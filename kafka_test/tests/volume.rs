//! Many records and many bytes: what goes in comes out, every record compared.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_test::batch::Batch;
use kafka_test::clients::{consume, consumer_with, flush, producer, send};
use kafka_test::faults::Fault;
use kafka_test::patience::eventually;
use kafka_test::requests::{only_partition_produced, produce_request, PRODUCE};
use kafka_test::server::{run, Server};
use kafka_test::sql::session;
use kafka_test::topic::Topic;
use postgres::Client;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use std::time::Duration;

const PARTITIONS: i32 = 3;

/// The value of record `i`: its number, and behind it bytes that follow from the number.
fn fill(value: &mut [u8], i: u64) {
    let mut state = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in value.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    value[..8].copy_from_slice(&i.to_be_bytes());
}

/// Sends `count` records of `size` bytes, over the partitions in turn, until all are acknowledged.
fn produce(server: &Server, topic: &Topic, partitions: i32, count: u64, size: usize) {
    let settings = [
        ("linger.ms", "20"),
        ("acks", "all"),
        ("queue.buffering.max.kbytes", "131072"),
        ("batch.size", "1000000"),
        ("message.timeout.ms", "600000"),
    ];
    let (producer, deliveries) = producer(server, &settings);
    let mut value = vec![0; size];
    let mut acknowledged = vec![0u64; partitions as usize];
    let mut count_deliveries = || {
        for delivery in deliveries.take() {
            delivery
                .outcome
                .unwrap_or_else(|e| panic!("record {} was not acknowledged: {e}", delivery.tag));
            acknowledged[delivery.partition as usize] += 1;
        }
    };
    for i in 0..count {
        fill(&mut value, i);
        let record = BaseRecord::with_opaque_to(&topic.name, Box::new(i)).partition((i % partitions as u64) as i32);
        send(&producer, record.payload(&value[..]).key(&[][..]));
        if i % 10_000 == 0 {
            count_deliveries();
        }
    }
    flush(&producer, Duration::from_secs(300));
    count_deliveries();
    for (partition, acknowledged) in (0..partitions as u64).zip(acknowledged) {
        let sent = (count - partition).div_ceil(partitions as u64);
        assert_eq!(acknowledged, sent, "every record of partition {partition} is acknowledged");
    }
}

/// Reads back what [`produce`] has sent while comparing each byte.
fn read_back(server: &Server, topic: &Topic, partitions: i32, count: u64, size: usize) {
    let mut value = vec![0; size];
    for partition in 0..partitions as u64 {
        let mut next = partition;
        let sent = (count - partition).div_ceil(partitions as u64);
        let follower = consumer_with(
            server,
            &topic.name,
            partition as i32,
            &[("queued.max.messages.kbytes", "65536")],
        );
        consume(&follower, sent as usize, |message| {
            fill(&mut value, next);
            assert!(
                message.payload() == Some(&value[..]),
                "partition {partition} offset {}",
                message.offset()
            );
            next += partitions as u64;
        });
    }
}

fn round_trip(name: &str, count: u64, size: usize) {
    let server = Server::shared();
    let topic = server.topic(name, PARTITIONS);
    produce(server, &topic, PARTITIONS, count, size);
    read_back(server, &topic, PARTITIONS, count, size);
}

/// Goal: 1,000,000 records of 100 bytes come out as they went in.
#[test]
fn a_million_small_records() {
    round_trip("million", 1_000_000, 100);
}

/// Goal: 20,000 records of 100 KiB, 2 GB in all, come out as they went in.
#[test]
fn twenty_thousand_large_records() {
    round_trip("large", 20_000, 100 * 1024);
}

/// Goal: a segment that is larger than one of Postgres's files, of 1 GiB, has all its records after a crash.
#[test]
fn a_segment_of_two_files_survives_a_kill() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic_with("two-files", 1, &[("segment.bytes", "2147483647")]);
    let (count, size) = (12_000, 100 * 1024);
    produce(&server, &topic, 1, count, size);
    let largest = "SELECT max(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'kafka_log'::regnamespace";
    let bytes: i64 = session(&server).query_one(largest, &[]).unwrap().get(0);
    assert!(bytes > 1 << 30, "the segment has one file: {bytes} bytes");

    Fault::KillPostmaster.strike(&server);
    read_back(&server, &topic, 1, count, size);
}

/// Goal: a consumer that is behind makes Postgres write nothing: neither pages again, nor, where hints are in the WAL (as with
/// checksums), the log a second time.
#[test]
fn reading_a_cold_log_writes_no_wal() {
    let server = Server::start_pg_kafka(&[("wal_log_hints", "on")]);
    let topic = server.topic("cold", PARTITIONS);
    let (count, size) = (20_000, 1024);
    produce(&server, &topic, PARTITIONS, count, size);
    // The broker that comes back has none of it in memory, and no page was changed since a checkpoint.
    Fault::TerminateBroker.strike(&server);
    let mut sql = session(&server);
    let mut again = eventually("the broker is back", || {
        kafka_test::connection::Connection::try_open(&server.bootstrap).ok()
    });
    server.ready(&mut again, &topic.name);
    sql.batch_execute("CHECKPOINT").unwrap();

    let log_bytes = (count * size as u64) as i64;
    let before = wal_position(&mut sql);
    read_back(&server, &topic, PARTITIONS, count, size);
    let by_reading = wal_position(&mut sql) - before;
    assert!(
        by_reading < log_bytes / 20,
        "{by_reading} bytes of WAL for {log_bytes} of log"
    );

    // A query notes what it finds, as in any table: the setting has an effect, and so could a consumer have had.
    let records: i64 = sql
        .query_one("SELECT count(*) FROM kafka.messages WHERE topic = $1", &[&topic.name])
        .unwrap()
        .get(0);
    assert_eq!(records as u64, count);
    let by_query = wal_position(&mut sql) - before - by_reading;
    assert!(
        by_query > log_bytes / 2,
        "{by_query} bytes of WAL: hints of {log_bytes} bytes are not in the WAL"
    );
}

/// Goal: a consumer that is behind, and a query, take no more of shared_buffers than a ring: what others use stays there.
#[test]
fn reading_a_cold_log_evicts_nothing() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("ring", 1);
    let (count, size) = (20_000, 1024);
    produce(&server, &topic, 1, count, size);
    // A start after a clean stop has read nothing into its buffers, as recovery would.
    run(server.cluster("stop"));
    server.start_again();
    let mut sql = session(&server);
    sql.batch_execute("CREATE EXTENSION pg_buffercache").unwrap();
    // 256 kB are 32 pages; the end of the log is read by the start.
    let before = buffers_of_log(&mut sql);
    read_back(&server, &topic, 1, count, size);
    let by_consumer = buffers_of_log(&mut sql) - before;
    assert!(by_consumer <= 64, "{by_consumer} buffers");
    let records: i64 = sql
        .query_one("SELECT count(*) FROM kafka.messages WHERE topic = $1", &[&topic.name])
        .unwrap()
        .get(0);
    assert_eq!(records as u64, count);
    let by_query = buffers_of_log(&mut sql) - before - by_consumer;
    assert!(by_query <= 64, "{by_query} buffers");
}

/// Goal: a producer, of large groups and of small ones, takes no more of shared_buffers than a ring either.
#[test]
fn producing_evicts_nothing() {
    // 16 MB are 2,048 pages, and no more than an eighth of all.
    let server = Server::start_pg_kafka(&[("shared_buffers", "128MB")]);
    let mut sql = session(&server);
    sql.batch_execute("CREATE EXTENSION pg_buffercache").unwrap();
    let topic = server.topic("ring", 1);
    let (count, size) = (60_000, 1024);
    produce(&server, &topic, 1, count, size);
    let by_large_groups = buffers_of_log(&mut sql);
    assert!(by_large_groups <= 2_048 + 64, "{by_large_groups} buffers");
    // Three pages or four, the first of which is the last of the one before.
    let batch = Batch::of(["v".repeat(25_000)]).encode();
    let mut connection = server.connect();
    for _ in 0..1_000 {
        let request = produce_request(PRODUCE, &topic, 0, -1, &batch);
        assert_eq!(only_partition_produced(connection.call(PRODUCE, &request)).error_code, 0);
    }
    let by_small_groups = buffers_of_log(&mut sql) - by_large_groups;
    assert!(by_small_groups <= 64, "{by_small_groups} buffers");
}

/// Goal: pages that a producer has filled are written before their buffers are needed, and so that nothing is missing when the server dies
/// after a checkpoint that found them written.
fn filled_pages_are_written_soon(server: &Server) {
    let mut sql = session(server);
    sql.batch_execute("CREATE EXTENSION pg_buffercache").unwrap();
    let topic = server.topic("written", 1);
    let (count, size) = (20_000, 1024);
    produce(server, &topic, 1, count, size);
    let batch = Batch::of(["v".repeat(25_000)]).encode();
    let mut connection = server.connect();
    for _ in 0..100 {
        let request = produce_request(PRODUCE, &topic, 0, -1, &batch);
        assert_eq!(only_partition_produced(connection.call(PRODUCE, &request)).error_code, 0);
    }
    let dirty: i64 = sql.query_one(&format!("{BUFFERS_OF_LOG} AND b.isdirty"), &[]).unwrap().get(0);
    assert!(dirty <= 64, "{dirty} of {} buffers are not written", buffers_of_log(&mut sql));
    sql.batch_execute("CHECKPOINT").unwrap();

    Fault::KillPostmaster.strike(server);
    read_back(server, &topic, 1, count, size);
    let all = consumer_with(server, &topic.name, 0, &[]);
    consume(&all, count as usize + 100, |message| {
        let bytes = if message.offset() < count as i64 { size } else { 25_000 };
        assert_eq!(message.payload().map(<[u8]>::len), Some(bytes), "offset {}", message.offset());
    });
    server.assert_never_crashed();
}

#[test]
fn filled_pages_are_written_soon_without_checksums() {
    filled_pages_are_written_soon(&Server::start_pg_kafka(&[]));
}

/// A page whose checksum is wrong could not be read.
#[test]
fn filled_pages_are_written_soon_with_checksums() {
    filled_pages_are_written_soon(&Server::start_pg_kafka_with_checksums(&[]));
}

/// Goal: of rows that an operator has rewritten, on the same page and on others, for good and in vain, each is read once.
#[test]
fn rewritten_rows_are_read_once() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("rewritten", 1);
    // Ten to a page, all of the same size.
    let values: Vec<String> = (1_000..2_000).map(|i| i.to_string().repeat(175)).collect();
    let mut connection = server.connect();
    for value in &values {
        let request = produce_request(PRODUCE, &topic, 0, -1, &Batch::of([value]).encode());
        assert_eq!(only_partition_produced(connection.call(PRODUCE, &request)).error_code, 0);
    }
    let mut sql = session(&server);
    let table: String = sql
        .query_one(
            "SELECT format('kafka_log.t%s_s%s', s.topic, s.number) FROM kafka.segments s JOIN kafka.topics t ON t.id = s.topic
              WHERE t.name = $1",
            &[&topic.name],
        )
        .unwrap()
        .get(0);
    let rewrite = format!("UPDATE {table} SET data = data");
    let vacuum = format!("VACUUM {table}");
    let run_all = |sql: &mut Client, statements: &[&str]| statements.iter().for_each(|s| sql.batch_execute(s).unwrap());
    // What a VACUUM has freed takes the new version beside the old one.
    let (even, odd) = (
        format!("{rewrite} WHERE base_offset % 2 = 0"),
        format!("{rewrite} WHERE base_offset % 2 = 1"),
    );
    run_all(&mut sql, &[&even, &vacuum, "BEGIN", &odd, &odd]);
    let on_the_page: i64 = sql
        .query_one(
            "SELECT sum(n_tup_hot_upd)::int8 FROM pg_stat_xact_user_tables WHERE schemaname = 'kafka_log'",
            &[],
        )
        .unwrap()
        .get(0);
    assert!(on_the_page > 0, "no version is on the page of the one before");
    run_all(&mut sql, &["COMMIT", "BEGIN", &rewrite, "ROLLBACK"]);

    // The broker that comes back has none of it in memory.
    Fault::TerminateBroker.strike(&server);
    let mut read = Vec::new();
    consume(&consumer_with(&server, &topic.name, 0, &[]), values.len(), |message| {
        assert_eq!(message.offset(), read.len() as i64);
        read.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
    });
    assert!(read == values, "a consumer reads something else");
    let query = "SELECT convert_from(value, 'UTF8') FROM kafka.messages WHERE topic = $1 ORDER BY \"offset\"";
    let rows = sql.query(query, &[&topic.name]).unwrap();
    let queried: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(queried == values, "a query reads something else");
}

const BUFFERS_OF_LOG: &str =
    "SELECT count(*) FROM pg_buffercache b JOIN pg_class c ON pg_relation_filenode(c.oid) = b.relfilenode
                               WHERE c.relnamespace = 'kafka_log'::regnamespace AND c.relkind = 'r'";

/// Shared buffers that hold pages of segments, without their indexes.
fn buffers_of_log(sql: &mut Client) -> i64 {
    sql.query_one(BUFFERS_OF_LOG, &[]).unwrap().get(0)
}

/// Bytes of WAL since the cluster was made.
fn wal_position(sql: &mut Client) -> i64 {
    let position = "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8";
    sql.query_one(position, &[]).unwrap().get(0)
}
