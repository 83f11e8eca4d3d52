//! Postgres stops and starts, or dies.

use crate::{my_turn, set, stop, Kept, LogSince};
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::process::kill_at_once;
use kafka_test::requests::{fetch_request, only_partition_produced, produce_request, read_all, Reading, FETCH, PRODUCE};
use kafka_test::server::Server;
use kafka_test::sql::{session, try_session};
use kafka_test::topic::Topic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Goal: shutdowns, fast and immediate, end in time, and every start serves what was acknowledged.
#[test]
fn every_start_serves_what_was_acknowledged() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let log = LogSince::now(&server);
    for mode in ["fast", "fast", "immediate", "smart"] {
        stop(&server, mode);
        server.start_again();
        kept.is_served(&server);
    }
    log.assert_no_crash();
}

/// Goal: when Postgres restarts its processes because a session was killed, the broker is one of them and comes back with its data.
#[test]
fn the_broker_comes_back_after_a_crash_of_a_session() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let broker = server.broker_pid();
    let mut victim = session(&server);
    let pid: i32 = victim.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    kill_at_once(pid);
    eventually("the broker's process ended with all others", || {
        (!std::path::Path::new(&format!("/proc/{broker}")).exists()).then_some(())
    });
    eventually("Postgres accepts connections", || try_session(&server).ok());
    kept.is_served(&server);
}

/// Goal: a fast shutdown waits neither for an idle client, nor for a fetch that waits for records, nor for producers; whoever was
/// acknowledged finds the record after the next start.
#[test]
fn a_fast_shutdown_does_not_wait_for_clients() {
    let server = my_turn();
    let kept = Kept::on(&server);
    let log = LogSince::now(&server);
    let mut idle = server.connect();
    let mut waiting = server.connect();
    let reading = Reading {
        max_wait_ms: 60_000,
        min_bytes: 1,
        ..Reading::from(kept.records)
    };
    waiting.send(FETCH, &fetch_request(FETCH, &kept.topic, reading));
    waiting.assert_silent_for(Duration::from_millis(200), "a fetch with nothing to read");
    let written = server.topic("written", 2);
    let given_up = AtomicBool::new(false);
    let acknowledged: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|partition| {
                scope.spawn({
                    let (server, written, given_up) = (&server, &written, &given_up);
                    move || write_until_closed(server, written, partition, given_up)
                })
            })
            .collect();
        let stopped = std::panic::catch_unwind(|| {
            eventually("both producers write", || {
                let end = "SELECT min(end_offset) FROM kafka.partitions WHERE topic = $1";
                let row = session(&server).query_one(end, &[&written.name]).unwrap();
                (row.get::<_, i64>(0) > 20).then_some(())
            });
            stop(&server, "fast");
        });
        given_up.store(stopped.is_err(), Ordering::Relaxed);
        let acknowledged = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        stopped.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        acknowledged
    });
    idle.assert_closed_within(Duration::from_secs(1), "an idle connection");
    waiting.assert_closed_within(Duration::from_secs(1), "a connection with a waiting fetch");
    server.start_again();
    eventually("the broker listens", || crate::listens(&server.bootstrap).then_some(()));
    let mut connection = server.connect();
    server.ready(&mut connection, &written.name);
    for (partition, acknowledged) in acknowledged.iter().enumerate() {
        let stored = read_all(&mut connection, &written, partition as i32, 0).len();
        // The last one may have been written and not answered.
        let told = acknowledged.len();
        assert!([told, told + 1].contains(&stored), "{told} acknowledged, {stored} stored");
    }
    log.assert_no_crash();
}

/// Produces one record after the other until the connection ends, or nobody will end it; the offsets that were acknowledged.
fn write_until_closed(server: &Server, topic: &Topic, partition: i32, given_up: &AtomicBool) -> Vec<i64> {
    let mut connection = server.connect();
    let mut acknowledged = Vec::new();
    let request = produce_request(PRODUCE, topic, partition, -1, &Batch::of(["x"]).encode());
    while let Some(reply) = connection.try_call(PRODUCE, &request) {
        let produced = only_partition_produced(reply);
        if produced.error_code != 0 || given_up.load(Ordering::Relaxed) {
            break;
        }
        assert_eq!(produced.base_offset, acknowledged.len() as i64, "offset after offset");
        acknowledged.push(produced.base_offset);
    }
    acknowledged
}

/// Goal: while a synchronous standby is missing, a fast shutdown ends in time, the produce that waited for the standby is not
/// answered as written, and the next start does not serve it.
#[test]
fn a_fast_shutdown_does_not_wait_for_a_standby() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let topic = server.topic("unconfirmed", 1);
    let log = LogSince::now(&server);
    set(&server, "synchronous_standby_names", "nobody");
    let mut producer = server.connect();
    let request = produce_request(PRODUCE, &topic, 0, -1, &Batch::of(["x"]).encode());
    eventually("the broker asks for the standby", || {
        let reply = producer.call(PRODUCE, &request.clone().with_timeout_ms(1_000));
        (only_partition_produced(reply).error_code == 7).then_some(())
    });
    let sent = producer.send(PRODUCE, &request.with_timeout_ms(60_000));
    producer.assert_silent_for(Duration::from_millis(500), "a produce that no standby confirms");
    stop(&server, "fast");
    if let Some(reply) = producer.try_receive::<kafka_protocol::messages::ProduceRequest>(sent) {
        assert_ne!(
            only_partition_produced(reply).error_code,
            0,
            "acknowledged without the standby"
        );
    }
    // Consumers would see what no standby has, were it served.
    server.start_again();
    log.line_with("no synchronous standby has confirmed");
    assert!(
        Connection::try_open(&server.bootstrap).is_err(),
        "unconfirmed records are served"
    );
    let mut session = session(&server);
    session.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").unwrap();
    session.batch_execute("SELECT pg_reload_conf()").unwrap();
    kept.is_served(&server);
    log.assert_no_crash();
}
