//! Nothing acknowledged is lost, moved or doubled when the broker or all of Postgres is killed while producers write; and the broker
//! comes back by itself. For pg_kafka only: an oracle that is killed would tell nothing about us.
//!
//! `KAFKA_TEST_CRASH_ROUNDS` is the number of faults, in turn a kill -9 of the broker, an immediate shutdown and a kill -9 of the postmaster.

use kafka_test::faults::Fault;
use kafka_test::history::{not_in_log, violations};
use kafka_test::patience::{within, PATIENCE};
use kafka_test::server::Server;
use kafka_test::sql::session;
use kafka_test::topic::Topic;
use kafka_test::workload::{ends_of, follow, of_topic, report, sql_view, Layout, Pace, Writer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::Duration;

const WRITERS: usize = 8;
const TOPICS: usize = 3;
const PARTITIONS: i32 = 2;
/// A load: of records that share groups, or of records that are so large that flushes overlap the next group's work.
struct Load {
    /// Bytes of a record's value: enough to fill several segments in each round.
    value_bytes: usize,
    segment_bytes: &'static str,
    /// Acknowledged records of each writer between two faults.
    between_faults: u64,
    /// Faults, if the environment says nothing.
    rounds: usize,
}

const SMALL: Load = Load {
    value_bytes: 250,
    segment_bytes: "1048576",
    between_faults: 500,
    rounds: 10,
};
const LARGE: Load = Load {
    value_bytes: 40_000,
    segment_bytes: "8388608",
    between_faults: 10,
    rounds: 3,
};
/// Time between Postgres accepting connections and produce and fetch working again.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// Goal: eight producers with acks=all and retries=0 write through kills of every kind; the log holds exactly what they were told.
#[test]
fn acknowledged_records_survive_every_kill() {
    survive_every_kill(&SMALL);
}

/// Goal: the same with large records.
#[test]
fn acknowledged_large_records_survive_every_kill() {
    survive_every_kill(&LARGE);
}

fn survive_every_kill(load: &Load) {
    let server = Server::start_pg_kafka(&[]);
    let layout = Layout {
        topics: (0..TOPICS)
            .map(|_| server.topic_with("crash", PARTITIONS, &[("segment.bytes", load.segment_bytes)]))
            .collect(),
        partitions: PARTITIONS,
        value_bytes: load.value_bytes,
    };
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let ends = OnceLock::new();
    let (mut attempts, logs, seen) = std::thread::scope(|scope| {
        let (server, layout, stop, ends) = (&server, &layout, &stop, &ends);
        let writers: Vec<_> = acknowledged
            .iter()
            .enumerate()
            .map(|(number, count)| {
                let writer = Writer::new(server, layout, number, &[]);
                scope.spawn(move || writer.write(Pace::default(), stop, count))
            })
            .collect();
        let reader = scope.spawn(move || follow(server, layout, ends));
        let mut probe = Writer::new(server, layout, WRITERS, &[]);
        // However it ends, the threads must hear of it: a scope waits for them.
        let faults = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            inject(server, load, &acknowledged, &mut probe)
        }));
        stop.store(true, Ordering::Relaxed);
        let mut attempts = probe.attempts;
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        let logs = std::panic::catch_unwind(|| layout.read_logs(server)).unwrap_or_default();
        ends.set(ends_of(&logs)).expect("set once");
        for told in written {
            attempts.extend(told.expect("a writer"));
        }
        let seen = reader.join().expect("the reader");
        faults.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (attempts, logs, seen)
    });
    attempts.sort_unstable_by_key(|attempt| attempt.value);
    report(&attempts, &logs);
    let wrong = violations(&attempts, &logs);
    assert!(
        wrong.is_empty(),
        "{} violations, first {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    let replaced = not_in_log(&seen, &logs);
    assert!(
        replaced.is_empty(),
        "a consumer read what is not in the log: {:#?}",
        &replaced[..replaced.len().min(5)]
    );
    for topic in &layout.topics {
        assert!(segments(&server, topic) > 2, "{} crossed no border of segments", topic.name);
        assert_eq!(
            sql_view(&server, topic),
            of_topic(&logs, topic),
            "kafka.messages of {}",
            topic.name
        );
    }
}

fn rounds(default: usize) -> usize {
    std::env::var("KAFKA_TEST_CRASH_ROUNDS")
        .map_or(default, |rounds| rounds.parse().expect("KAFKA_TEST_CRASH_ROUNDS is a number"))
}

/// Makes the faults, and asserts after each that the broker comes back in time for everybody.
fn inject(server: &Server, load: &Load, acknowledged: &[AtomicU64], probe: &mut Writer<'_>) {
    for round in 0..rounds(load.rounds) {
        writers_go_on(acknowledged, load.between_faults, PATIENCE, &format!("before fault {round}"));
        let fault = Fault::ALL[round % Fault::ALL.len()];
        let open = fault.strike(server);
        let back = || BACK_WITHIN.saturating_sub(open.elapsed());
        within(back(), &format!("produce goes on after {fault:?}"), || {
            probe.everywhere().then_some(())
        });
        probe.read_back();
        assert!(
            open.elapsed() <= BACK_WITHIN,
            "fetch goes on after {fault:?}: not within {BACK_WITHIN:?}"
        );
        let served = open.elapsed();
        writers_go_on(acknowledged, 1, back(), &format!("after {fault:?}"));
        println!(
            "round {round}: {fault:?}: served {served:?} after Postgres accepted connections, all writers {:?}",
            open.elapsed()
        );
    }
}

fn writers_go_on(acknowledged: &[AtomicU64], further: u64, limit: Duration, when: &str) {
    let before: Vec<u64> = acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    within(limit, &format!("every writer goes on {when}"), || {
        let moved = |(count, before): (&AtomicU64, &u64)| count.load(Ordering::Relaxed) >= before + further;
        acknowledged.iter().zip(&before).all(moved).then_some(())
    });
}

fn segments(server: &Server, topic: &Topic) -> i64 {
    let query = "SELECT count(*) FROM kafka.segments WHERE topic = (SELECT id FROM kafka.topics WHERE name = $1)";
    session(server)
        .query_one(query, &[&topic.name])
        .expect("read kafka.segments")
        .get(0)
}
