//! Disks that run full, on small file systems of the tests' own. What must hold: nothing acknowledged is lost, what was refused was
//! not written, Postgres stays up as far as it can, and produce goes on by itself when there is room again. For pg_kafka only.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::disk::{Holds, SmallDisk};
use kafka_test::history::{violations, Attempt, Logs, Outcome, Place, Read};
use kafka_test::patience::eventually;
use kafka_test::requests::{fetch, only_partition_produced, produce_request, read_all, Reading, FETCH, PRODUCE};
use kafka_test::server::Server;
use kafka_test::sql::{session, try_session};
use kafka_test::topic::{creatable, unique_name, Topic};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const STORAGE_ERROR: i16 = 56;
const MIB: u64 = 1024 * 1024;
/// The broker's rest after a disk that was full.
const REST: Duration = Duration::from_secs(5);
const BATCH_BYTES: usize = 256 * 1024;

/// Writes batches of one record, a number and padding, one after the other, and keeps what it was told.
struct Writer<'a> {
    server: &'a Server,
    topic: Topic,
    connection: Connection,
    attempts: Vec<Attempt>,
}

/// What came of one request.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Written,
    Refused(String),
    Disconnected,
}

impl<'a> Writer<'a> {
    fn new(server: &'a Server, topic: &Topic) -> Self {
        Writer {
            server,
            topic: topic.clone(),
            connection: server.connect(),
            attempts: Vec::new(),
        }
    }

    fn write(&mut self) -> Told {
        let value = self.attempts.len() as u64;
        let mut text = value.to_string();
        text.push_str(&" ".repeat(BATCH_BYTES));
        let batch = Batch::of([text]).encode();
        let reply = self
            .connection
            .try_call(PRODUCE, &produce_request(PRODUCE, &self.topic, 0, -1, &batch));
        let (outcome, told) = match reply.map(only_partition_produced) {
            None => (Outcome::Unknown, Told::Disconnected),
            Some(reply) if reply.error_code == 0 => (Outcome::Acknowledged(reply.base_offset), Told::Written),
            Some(reply) => {
                assert_eq!(reply.error_code, STORAGE_ERROR, "{:?}", reply.error_message);
                let message = reply.error_message.map_or_else(String::new, |text| text.to_string());
                (Outcome::Failed, Told::Refused(message))
            }
        };
        let place = self.place();
        self.attempts.push(Attempt {
            producer: 0,
            value,
            place,
            outcome,
        });
        told
    }

    /// Writes until something else than success comes; at most this many bytes.
    fn fill(&mut self, most_bytes: u64) -> Told {
        for _ in 0..most_bytes / BATCH_BYTES as u64 {
            let told = self.write();
            if told != Told::Written {
                return told;
            }
        }
        panic!("{most_bytes} bytes were written to a disk that does not hold them");
    }

    /// Writes until it succeeds again.
    fn goes_on(&mut self) {
        eventually("produce goes on", || (self.write() == Told::Written).then_some(()));
    }

    fn place(&self) -> Place {
        Place {
            topic: self.topic.name.clone(),
            partition: 0,
        }
    }

    fn acknowledged(&self) -> usize {
        let acknowledged = |attempt: &&Attempt| matches!(attempt.outcome, Outcome::Acknowledged(_));
        self.attempts.iter().filter(acknowledged).count()
    }

    /// The log holds what was acknowledged and nothing that was refused.
    fn finds_all_well(&self) {
        let mut reads = Vec::new();
        for batch in read_all(&mut self.server.connect(), &self.topic, 0, 0) {
            for record in batch.records() {
                let value = String::from_utf8(record.value.unwrap()).unwrap();
                reads.push(Read {
                    offset: batch.base_offset + i64::from(record.offset_delta),
                    value: value.trim_end().parse().unwrap(),
                });
            }
        }
        let logs: Logs = BTreeMap::from([(self.place(), reads)]);
        let wrong = violations(&self.attempts, &logs);
        assert!(wrong.is_empty(), "{} violations, first {:?}", wrong.len(), wrong[0]);
    }
}

/// How often the server's log says this.
fn said(server: &Server, what: &str) -> usize {
    server.log().lines().filter(|line| line.contains(what)).count()
}

const BEGIN: &str = "produce requests are refused";
const END: &str = "produce requests are taken again";

/// Goal: below pg_kafka.min_free_disk producing and making topics is refused and everything else goes on, with one line in the log
/// at the beginning and one at the end; it ends by itself.
#[test]
fn below_the_limit_nothing_is_written() {
    let disk = SmallDisk {
        holds: Holds::DataAndWal,
        mib: 400,
    };
    let settings = [
        ("pg_kafka.min_free_disk", "128MB"),
        ("max_wal_size", "64MB"),
        ("min_wal_size", "32MB"),
    ];
    let server = Server::start_pg_kafka_on_disk(&settings, disk);
    let topic = server.topic("disk", 1);
    let mut writer = Writer::new(&server, &topic);
    assert_eq!(writer.write(), Told::Written);
    let ballast = disk.occupy_but(&server, 100 * MIB);
    let message = eventually("a produce is refused", || match writer.write() {
        Told::Refused(message) => Some(message),
        told => (told != Told::Written).then(|| panic!("{told:?}")),
    });
    assert!(message.contains("free disk space"), "{message}");

    // The same in SQL's and the other requests' eyes.
    let mut admin = server.connect();
    let name = unique_name("refused");
    let request = CreateTopicsRequest::default()
        .with_timeout_ms(5_000)
        .with_topics(vec![creatable(&name, 1, &[])]);
    assert_eq!(admin.call(7, &request).topics[0].error_code, STORAGE_ERROR);
    assert_eq!(fetch(&mut admin, FETCH, &topic, Reading::from(0)).error_code, 0);
    let mut sql = session(&server);
    sql.batch_execute("CREATE TABLE beside AS SELECT generate_series(1, 1000); DROP TABLE beside")
        .unwrap();
    let mut silent = server.connect();
    silent.send(PRODUCE, &produce_request(PRODUCE, &topic, 0, 0, &Batch::of(["x"]).encode()));
    silent.assert_closed_within(std::time::Duration::from_secs(10), "a refused produce with acks=0");
    eventually("the beginning is in the log", || (said(&server, BEGIN) == 1).then_some(()));
    assert_eq!(said(&server, END), 0);

    drop(ballast);
    writer.goes_on();
    eventually("the end is in the log", || (said(&server, END) == 1).then_some(()));
    assert_eq!(said(&server, BEGIN), 1);
    writer.finds_all_well();
    server.assert_never_crashed();
}

/// Goal: a producer at full speed is stopped in time, so that Postgres keeps room for its WAL; a deleted topic makes room for another.
#[test]
fn a_fast_producer_is_stopped_in_time() {
    let disk = SmallDisk {
        holds: Holds::DataAndWal,
        mib: 700,
    };
    let settings = [
        ("pg_kafka.min_free_disk", "256MB"),
        ("max_wal_size", "64MB"),
        ("min_wal_size", "32MB"),
    ];
    let server = Server::start_pg_kafka_on_disk(&settings, disk);
    let (first, second) = (server.topic("disk", 1), server.topic("disk", 1));
    let mut writer = Writer::new(&server, &first);
    assert!(matches!(writer.fill(700 * MIB), Told::Refused(_)));
    assert!(writer.acknowledged() > 100, "only {} batches fit", writer.acknowledged());
    let left = disk.free_bytes(&server);
    assert!(left > 64 * MIB, "only {} MiB are left", left / MIB);
    writer.finds_all_well();
    session(&server)
        .execute("SELECT kafka.drop_topic($1)", &[&first.name])
        .unwrap();
    let mut writer = Writer::new(&server, &second);
    writer.goes_on();
    writer.finds_all_well();
    server.assert_never_crashed();
}

/// Goal: a file system of the WAL alone is watched as well, and a checkpoint that removes WAL is enough to go on.
#[test]
fn the_disk_of_the_wal_is_watched() {
    let disk = SmallDisk {
        holds: Holds::Wal,
        mib: 400,
    };
    let settings = [
        ("pg_kafka.min_free_disk", "200MB"),
        ("max_wal_size", "10GB"),
        ("min_wal_size", "32MB"),
    ];
    let server = Server::start_pg_kafka_on_disk(&settings, disk);
    let topic = server.topic("disk", 1);
    let mut writer = Writer::new(&server, &topic);
    let told = writer.fill(400 * MIB);
    assert!(matches!(told, Told::Refused(_)), "{told:?}: {}", server.last_words());
    let line = eventually("the beginning is in the log", || {
        server.log().lines().find(|line| line.contains(BEGIN)).map(str::to_owned)
    });
    assert!(line.contains("free for the write-ahead log"), "{line}");
    // With a large max_wal_size a checkpoint keeps the files for new WAL.
    let mut sql = session(&server);
    for statement in [
        "ALTER SYSTEM SET max_wal_size = '64MB'",
        "SELECT pg_reload_conf()",
        "SELECT pg_switch_wal()",
        "CHECKPOINT",
        "CHECKPOINT",
    ] {
        sql.batch_execute(statement).unwrap();
    }
    writer.goes_on();
    writer.finds_all_well();
    server.assert_never_crashed();
}

/// Goal: no block left for tables: Postgres and everything that needs no block goes on, also without a limit of ours; what was
/// acknowledged is there, what was refused is not, also after a restart.
#[test]
fn no_block_left_for_tables() {
    let disk = SmallDisk {
        holds: Holds::Data,
        mib: 200,
    };
    let server = Server::start_pg_kafka_on_disk(&[("pg_kafka.min_free_disk", "0"), ("max_wal_size", "10GB")], disk);
    let topic = server.topic("disk", 1);
    let (broker, mut writer) = (server.broker_pid(), Writer::new(&server, &topic));
    let ballast = disk.occupy_but(&server, 40 * MIB);
    let begun = Instant::now();
    assert!(matches!(writer.fill(200 * MIB), Told::Refused(_)));
    for _ in 0..100 {
        assert!(matches!(writer.write(), Told::Refused(_)));
    }
    // After each rest it tries again.
    let tries = 1 + (begun.elapsed().as_secs_f64() / REST.as_secs_f64()) as usize;
    assert!((1..=tries).contains(&said(&server, BEGIN)));
    assert!(said(&server, "No space left on device") <= 1 + tries, "the log is flooded");
    writer.finds_all_well();
    assert_eq!(server.broker_pid(), broker, "the broker is the same process");
    drop(ballast);
    writer.goes_on();
    server.assert_never_crashed();
    kafka_test::faults::Fault::KillBroker.strike(&server);
    eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
    writer.connection = server.connect();
    writer.goes_on();
    writer.finds_all_well();
}

/// Goal: no room for the WAL and no limit of ours: Postgres stops with a PANIC, and all that was acknowledged is there when there is
/// room again.
#[test]
fn no_room_for_the_wal() {
    let disk = SmallDisk {
        holds: Holds::Wal,
        mib: 256,
    };
    let server = Server::start_pg_kafka_on_disk(&[("pg_kafka.min_free_disk", "0"), ("max_wal_size", "10GB")], disk);
    let topic = server.topic("disk", 1);
    let mut writer = Writer::new(&server, &topic);
    let ballast = disk.occupy_but(&server, 70 * MIB);
    assert_eq!(writer.fill(256 * MIB), Told::Disconnected);
    assert!(writer.acknowledged() > 100, "only {} batches fit", writer.acknowledged());
    eventually("the log tells", || (said(&server, "PANIC:") > 0).then_some(()));
    drop(ballast);
    // A Postgres whose recovery found no room either has stopped; the operator starts it.
    eventually("Postgres is back", || {
        if try_session(&server).is_ok() {
            return Some(());
        }
        let stopped = !server.cluster("status").output().unwrap().status.success();
        stopped.then(|| server.start_again())
    });
    eventually("the broker answers", || Connection::try_open(&server.bootstrap).ok());
    writer.connection = server.connect();
    writer.goes_on();
    writer.finds_all_well();
}
