//! Other database sessions that hold locks: the broker never waits for them, only what needs the lock itself does. For pg_kafka only.
//!
//! `KAFKA_TEST_LOCK_SECONDS` says how long each lock is held (default 5).
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, MetadataRequest, ProduceRequest};
use kafka_test::batch::{Batch, Stored};
use kafka_test::configs::{alter, described, Op, TOPIC};
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, fetch, only_partition_produced, produce_request, read_all, Reading};
use kafka_test::server::Server;
use kafka_test::sql::session;
use kafka_test::topic::{creatable, metadata_of, unique_name, Topic};
use postgres::Client;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(1);

fn held() -> Duration {
    Duration::from_secs(std::env::var("KAFKA_TEST_LOCK_SECONDS").map_or(5, |v| v.parse().expect("seconds")))
}

/// Tables of a topic's segments, by name.
fn segments(session: &mut Client, topic: &Topic) -> Vec<String> {
    let sql = "SELECT format('kafka_log.t%s_s%s', t.id, s.number) FROM kafka.topics t JOIN kafka.segments s ON s.topic = t.id
               WHERE t.name = $1 ORDER BY s.number";
    session
        .query(sql, &[&topic.name])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// What `work` gives, and whether that took more than a second.
fn timed<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed() >= SOON)
}

/// Runs `work` and panics if it takes more than a second, twice: a disk that stands still once is no lock.
fn promptly<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let (result, slow) = timed(&mut work);
    if !slow {
        return result;
    }
    let (result, slow) = timed(work);
    assert!(!slow, "{what} took more than {SOON:?}, twice");
    result
}

/// A Produce with a time limit of its own; the error code.
fn produce_within(connection: &mut Connection, topic: &Topic, timeout_ms: i32) -> i16 {
    let request = produce_request(13, topic, 0, -1, &Batch::of(["x"]).encode()).with_timeout_ms(timeout_ms);
    only_partition_produced(connection.call(13, &request)).error_code
}

/// Produces to each topic again and again while a lock is held; each reply must come within a second. One may take longer: a disk may
/// stand still, while a broker that waits for locks waits a second for each again and again.
fn others_are_served(server: &Server, others: &[Topic]) {
    let until = Instant::now() + held();
    let mut connection = server.connect();
    let (mut count, mut slow) = (0, Vec::new());
    while Instant::now() < until {
        for topic in others {
            if timed(|| append(&mut connection, topic, 0, &Batch::of(["x"]))).1 {
                slow.push(format!("produce {count}"));
            }
            if timed(|| fetch(&mut connection, 18, topic, Reading::from(0))).1 {
                slow.push(format!("fetch {count}"));
            }
            count += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        slow.len() <= 1,
        "of {count} produces and fetches in {:?} these took more than {SOON:?}: {slow:?}",
        held()
    );
    assert!(count >= others.len());
}

fn wait_until(deadline: Instant) {
    std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
}

/// Goal: LOCK TABLE on one topic's segments holds up that topic only: its produce gets a retriable error within its time limit, all
/// others are answered within a second, and when the lock is gone it goes on, without a gap.
#[test]
fn a_locked_segment_holds_up_its_topic_only() {
    let server = Server::start_pg_kafka(&[]);
    let locked = server.topic("locked", 1);
    let others: Vec<Topic> = (0..3).map(|_| server.topic("other", 1)).collect();
    append(&mut server.connect(), &locked, 0, &Batch::of(["before"]));
    let mut holder = session(&server);
    let tables = segments(&mut holder, &locked);
    assert!(!tables.is_empty());
    let mut transaction = holder.transaction().unwrap();
    transaction
        .batch_execute(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", ")))
        .unwrap();
    std::thread::scope(|scope| {
        let held_up = scope.spawn(|| {
            let started = Instant::now();
            let code = produce_within(&mut server.connect(), &locked, 4_000);
            (code, started.elapsed())
        });
        others_are_served(&server, &others);
        let (code, took) = held_up.join().unwrap();
        assert!([7, 19, 56].contains(&code), "a retriable error, not {code}");
        assert!(
            took < Duration::from_secs(7),
            "the reply came after {took:?}, the limit was 4 s"
        );
    });
    transaction.rollback().unwrap();
    let mut connection = server.connect();
    eventually("the topic is served again", || {
        (produce_within(&mut connection, &locked, 5_000) == 0).then_some(())
    });
    let stored = read_all(&mut connection, &locked, 0, 0);
    assert!(
        stored.windows(2).all(|w| w[0].next_offset() == w[1].base_offset),
        "offsets are dense"
    );
    let batches = stored.len();
    assert!(
        (2..=3).contains(&batches),
        "{batches} batches: one before, one after, and the refused one at most once"
    );
}

/// Goal: a produce that waits for a locked topic is answered with success when the lock goes within its time limit, its batch stands
/// where it was told, and what the topic's cache holds can be fetched meanwhile.
#[test]
fn a_waiting_produce_succeeds_after_release() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("released", 1);
    append(&mut server.connect(), &topic, 0, &Batch::of(["before"]));
    let mut holder = session(&server);
    let tables = segments(&mut holder, &topic);
    let mut transaction = holder.transaction().unwrap();
    transaction
        .batch_execute(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", ")))
        .unwrap();
    let mut waiting = server.connect();
    let request = produce_request(13, &topic, 0, -1, &Batch::of(["waited"]).encode()).with_timeout_ms(30_000);
    let sent = waiting.send(13, &request);
    waiting.assert_silent_for(SOON, "a produce to a locked topic");
    let cached = promptly("a fetch of what is cached", || {
        fetch(&mut server.connect(), 18, &topic, Reading::from(0))
    });
    assert_eq!(
        (cached.error_code, cached.high_watermark),
        (0, 1),
        "only what was acknowledged"
    );
    transaction.rollback().unwrap();
    let released = Instant::now();
    let answer = only_partition_produced(waiting.receive::<ProduceRequest>(sent));
    assert_eq!((answer.error_code, answer.base_offset), (0, 1));
    assert!(
        released.elapsed() < 2 * SOON,
        "answered {:?} after the release",
        released.elapsed()
    );
    let stored = read_all(&mut server.connect(), &topic, 0, 0);
    let values: Vec<_> = stored
        .iter()
        .flat_map(Stored::records)
        .map(|record| record.value.unwrap())
        .collect();
    assert_eq!(values, [&b"before"[..], b"waited"]);
}

/// Goal: an uncommitted kafka.create_topic holds up nobody; the name it takes cannot be taken over the protocol meanwhile, and other
/// names can; after the commit the topic is there.
#[test]
fn an_uncommitted_create_topic_holds_up_nobody() {
    let server = Server::start_pg_kafka(&[]);
    let others: Vec<Topic> = (0..3).map(|_| server.topic("other", 1)).collect();
    let name = unique_name("uncommitted");
    let mut holder = session(&server);
    let mut transaction = holder.transaction().unwrap();
    transaction.execute("SELECT kafka.create_topic($1, 2)", &[&name]).unwrap();
    let deadline = Instant::now() + held();
    std::thread::scope(|scope| {
        let same_name = scope.spawn(|| {
            let started = Instant::now();
            let request = CreateTopicsRequest::default()
                .with_timeout_ms(4_000)
                .with_topics(vec![creatable(&name, 1, &[])]);
            let code = server.connect().call(7, &request).topics[0].error_code;
            (code, started.elapsed())
        });
        let other_name = scope.spawn(|| {
            promptly("creating another topic", || {
                let request = CreateTopicsRequest::default()
                    .with_timeout_ms(5_000)
                    .with_topics(vec![creatable(&unique_name("beside"), 1, &[])]);
                server.connect().call(7, &request).topics[0].error_code
            })
        });
        others_are_served(&server, &others);
        let (code, took) = same_name.join().unwrap();
        assert!([7, 36].contains(&code), "not made, but {code}");
        assert!(
            took < Duration::from_secs(7),
            "the reply came after {took:?}, the limit was 4 s"
        );
        assert_eq!(other_name.join().unwrap(), 0);
    });
    let mut connection = server.connect();
    assert_eq!(
        metadata_of(&mut connection, &name).error_code,
        3,
        "not visible before the commit"
    );
    wait_until(deadline);
    transaction.commit().unwrap();
    let topic = server.ready(&mut connection, &name);
    assert_eq!(append(&mut connection, &topic, 1, &Batch::of(["x"])), 0);
}

/// Goal: an uncommitted kafka.alter_topic holds up only changes of the same topic; after the commit both changes are there.
#[test]
fn an_uncommitted_alter_topic_holds_up_only_changes_of_its_topic() {
    let server = Server::start_pg_kafka(&[]);
    let topics: Vec<Topic> = (0..3).map(|_| server.topic("altered", 1)).collect();
    let mut holder = session(&server);
    let mut transaction = holder.transaction().unwrap();
    let sql = "SELECT kafka.alter_topic($1, '{\"retention.ms\": 5000}')";
    transaction.execute(sql, &[&topics[0].name]).unwrap();
    let deadline = Instant::now() + held();
    let mut connection = server.connect();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let code = alter(&mut server.connect(), &topics[0].name, &[("segment.ms", Op::Set("60000"))]).0;
            (code, Instant::now())
        });
        let other = [("segment.ms", Op::Set("60000"))];
        let code = promptly("altering another topic", || alter(&mut connection, &topics[1].name, &other).0);
        assert_eq!(code, 0);
        others_are_served(&server, &topics);
        assert_eq!(described(&mut connection, TOPIC, &topics[0].name, "retention.ms").1, 5);
        wait_until(deadline);
        let before_commit = Instant::now();
        transaction.commit().unwrap();
        let (code, answered) = waiting.join().unwrap();
        assert_eq!(code, 0);
        assert!(answered >= before_commit, "answered while the topic was being changed");
    });
    assert_eq!(described(&mut connection, TOPIC, &topics[0].name, "segment.ms").1, 1);
    eventually("the change in SQL is seen", || {
        let (value, _) = described(&mut connection, TOPIC, &topics[0].name, "retention.ms");
        (value.as_deref() == Some("5000")).then_some(())
    });
}

/// Goal: under an uncommitted DROP EXTENSION CASCADE, which locks everything, what needs no table is answered, produce gets a
/// retriable error within its time limit, and ROLLBACK restores service.
#[test]
fn an_uncommitted_drop_extension_can_be_rolled_back() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("dropped", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["kept"]));
    let mut holder = session(&server);
    let mut transaction = holder.transaction().unwrap();
    transaction.batch_execute("DROP EXTENSION pg_kafka CASCADE").unwrap();
    let until = Instant::now() + held();
    while Instant::now() < until {
        let versions = promptly("ApiVersions", || server.connect().call(0, &ApiVersionsRequest::default()));
        assert_eq!(versions.error_code, 0);
        let metadata = promptly("Metadata", || {
            connection.call(12, &MetadataRequest::default().with_topics(None))
        });
        assert!(metadata.topics.iter().any(|t| t.topic_id == topic.id && t.error_code == 0));
        let data = promptly("Fetch of what is cached", || {
            fetch(&mut connection, 18, &topic, Reading::from(0))
        });
        assert_eq!((data.error_code, data.high_watermark), (0, 1));
        assert_eq!(Stored::all(&data.records.unwrap()).len(), 1);
        let started = Instant::now();
        let code = produce_within(&mut connection, &topic, 1_000);
        assert!([7, 19, 56].contains(&code), "a retriable error, not {code}");
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "the reply came after {:?}, the limit was 1 s",
            started.elapsed()
        );
    }
    transaction.rollback().unwrap();
    let mut connection = eventually("the broker listens", || Connection::try_open(&server.bootstrap).ok());
    eventually("produce works again", || {
        (produce_within(&mut connection, &topic, 5_000) == 0).then_some(())
    });
    assert_eq!(
        read_all(&mut connection, &topic, 0, 0)[0].records()[0].value.as_deref(),
        Some(&b"kept"[..])
    );
}
