//! What a crash leaves as it was, and what it cuts off.

use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::faults::Fault;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, fetch, fetch_request, produce_request, read_all, Reading};
use kafka_test::server::Server;
use std::time::{Duration, Instant};

/// Goal: after a crash the log is what it was: offsets, log start, epochs that only grow, and topics with their ids.
#[test]
fn state_survives_each_fault() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic_with("state", 2, &[("segment.bytes", "1048576"), ("retention.ms", "-1")]);
    let mut expected = 0;
    let mut epochs = Vec::new();
    for fault in Fault::ALL {
        let mut connection = server.connect();
        for _ in 0..3 {
            assert_eq!(
                append(&mut connection, &topic, 1, &Batch::of(["x".repeat(400_000)])),
                expected
            );
            expected += 1;
        }
        let stored = read_all(&mut connection, &topic, 1, 0);
        epochs.push(stored.last().unwrap().leader_epoch);
        let before: Vec<Vec<u8>> = stored.into_iter().map(|b| b.bytes).collect();
        fault.strike(&server);
        let mut connection = eventually("the broker listens", || Connection::try_open(&server.bootstrap).ok());
        let again = server.ready(&mut connection, &topic.name);
        assert_eq!(again.id, topic.id, "{fault:?}: the topic's id");
        let after: Vec<Vec<u8>> = read_all(&mut connection, &topic, 1, 0).into_iter().map(|b| b.bytes).collect();
        assert!(before == after, "{fault:?}: the stored bytes");
        let data = fetch(
            &mut connection,
            18,
            &topic,
            Reading {
                partition: 1,
                ..Reading::from(expected)
            },
        );
        assert_eq!(
            (data.error_code, data.high_watermark, data.log_start_offset),
            (0, expected, 0),
            "{fault:?}"
        );
    }
    assert!(
        epochs.windows(2).all(|w| w[0] < w[1]),
        "leader epochs grow with each start: {epochs:?}"
    );
}

/// Goal: a request that is on its way when the broker dies is not acknowledged by anything but the log: its connection is closed.
#[test]
fn requests_in_flight_are_cut_off() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic("cut", 1);
    let mut connection = server.connect();
    let waiting = Reading {
        max_wait_ms: 30_000,
        min_bytes: 1,
        ..Reading::from(0)
    };
    let sent = connection.send(18, &fetch_request(18, &topic, waiting));
    let started = Instant::now();
    Fault::KillBroker.strike(&server);
    assert!(
        connection.try_receive::<FetchRequest>(sent).is_none(),
        "the connection is closed"
    );
    assert!(
        started.elapsed() < Duration::from_secs(25),
        "closed by the crash, not by the end of the wait"
    );
    let mut connection = eventually("the broker listens", || Connection::try_open(&server.bootstrap).ok());
    let reply = eventually("produce goes on", || {
        let request = produce_request(13, &topic, 0, -1, &Batch::of(["x"]).encode());
        let sent = connection.send(13, &request);
        let reply = connection.receive::<ProduceRequest>(sent);
        (reply.responses[0].partition_responses[0].error_code == 0).then_some(reply)
    });
    assert_eq!(reply.responses[0].partition_responses[0].base_offset, 0);
}
