//! Signals: to the process, and to its threads.

use crate::{my_turn, pids, Kept, LogSince};
use kafka_test::batch::Batch;
use kafka_test::patience::eventually;
use kafka_test::process::BROKER;
use kafka_test::requests::{produce_bytes, read_all, PRODUCE};
use kafka_test::sql::session;
use std::sync::atomic::{AtomicBool, Ordering};

const MAINTENANCE: &str = "pg_kafka maintenance";
const FLUSHER: &str = "pg_kafka flusher";

/// Signals that no thread can block: KILL, STOP, and the two that the C library keeps for itself.
const NEVER_BLOCKED: u64 = 1 << 8 | 1 << 18 | 1 << 31 | 1 << 32;

/// SIGHUP, SIGINT, SIGUSR1 and SIGTERM, for which Postgres has handlers. It takes SIGURG from a descriptor.
const HANDLED: u64 = 1 | 1 << 1 | 1 << 9 | 1 << 14;

/// SigBlk of a thread: bit n is signal n + 1.
fn blocked(status: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with("SigBlk:")).expect("SigBlk");
    u64::from_str_radix(line["SigBlk:".len()..].trim(), 16).expect("a mask")
}

/// Goal: all signals go to the main thread, the only one on which a handler of Postgres may run.
#[test]
fn only_the_main_thread_takes_signals() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let broker = server.broker_pid();
    let mut others = 0;
    for entry in std::fs::read_dir(format!("/proc/{broker}/task")).unwrap() {
        let entry = entry.unwrap();
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap();
        let mask = blocked(&status);
        if entry.file_name().to_str() == Some(broker.to_string().as_str()) {
            assert_eq!(mask & HANDLED, 0, "the main thread blocks {mask:x}");
        } else {
            others += 1;
            assert_eq!(
                !(mask | NEVER_BLOCKED),
                0,
                "thread {:?} blocks {mask:x}\n{status}",
                entry.file_name()
            );
        }
    }
    let threads: String = session(&server)
        .query_one("SHOW pg_kafka.network_threads", &[])
        .unwrap()
        .get(0);
    assert!(others >= threads.parse().unwrap(), "{others} threads beside the main one");
    kept.is_served(&server);
}

/// Goal: pg_terminate_backend ends the broker's process and only that: another one takes its place and serves what was there. The same
/// for the other workers.
#[test]
fn a_terminated_worker_is_started_again() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let log = LogSince::now(&server);
    let mut session = session(&server);
    for worker in [BROKER, MAINTENANCE, FLUSHER] {
        let old = eventually("the worker runs", || pids(&server, worker).first().copied());
        let ended: bool = session
            .query_one("SELECT pg_terminate_backend($1, 5000)", &[&old])
            .unwrap()
            .get(0);
        assert!(ended, "{worker} has not ended after 5 s");
        eventually("another process of the worker runs", || {
            pids(&server, worker).first().filter(|pid| **pid != old).copied()
        });
        kept.is_served(&server);
    }
    log.assert_no_crash();
    log.assert_none(&["recovery"]);
}

/// Goal: pg_cancel_backend, at rest and under load, neither ends a worker nor costs a record: each produce is either acknowledged
/// and stored once, or refused with an error that says it was not.
#[test]
fn cancelling_a_worker_does_no_harm() {
    const PRODUCES: usize = 300;
    let server = my_turn();
    let topic = server.topic("cancelled", 1);
    let log = LogSince::now(&server);
    let workers =
        [BROKER, MAINTENANCE, FLUSHER].map(|worker| eventually("the worker runs", || pids(&server, worker).first().copied()));
    let done = AtomicBool::new(false);
    let (acknowledged, cancels) = std::thread::scope(|scope| {
        let canceller = scope.spawn(|| {
            let mut session = session(&server);
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                for pid in workers {
                    session.execute("SELECT pg_cancel_backend($1)", &[&pid]).unwrap();
                    count += 1;
                }
            }
            count
        });
        let produced = std::panic::catch_unwind(|| {
            let mut connection = server.connect();
            let mut acknowledged = Vec::new();
            for number in 0..PRODUCES {
                let value = number.to_string();
                let batch = Batch::of([value.as_str()]).encode();
                let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &batch);
                match reply.error_code {
                    0 => acknowledged.push((reply.base_offset, value)),
                    56 => {}
                    other => panic!("produce {number}: error {other}, {:?}", reply.error_message),
                }
            }
            acknowledged
        });
        done.store(true, Ordering::Relaxed);
        let cancels = canceller.join().unwrap();
        (produced.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), cancels)
    });
    println!("{} of {PRODUCES} acknowledged under {cancels} cancels", acknowledged.len());
    let stored: Vec<(i64, String)> = read_all(&mut server.connect(), &topic, 0, 0)
        .iter()
        .map(|batch| {
            let value = batch.records()[0].value.clone().unwrap();
            (batch.base_offset, String::from_utf8(value.to_vec()).unwrap())
        })
        .collect();
    assert_eq!(stored, acknowledged);
    for (pid, worker) in workers.into_iter().zip([BROKER, MAINTENANCE, FLUSHER]) {
        assert_eq!(pids(&server, worker), [pid], "{worker} is the same process");
    }
    log.assert_no_crash();
}
