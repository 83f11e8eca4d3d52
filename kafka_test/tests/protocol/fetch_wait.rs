//! Fetch that waits: for how long, and what wakes it.

use crate::code;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{ApiVersionsRequest, DeleteTopicsRequest, FetchRequest};
use kafka_test::batch::{Batch, Stored};
use kafka_test::requests::{append, fetch, fetch_request, only_partition_fetched, Reading};
use kafka_test::server::Server;
use std::time::{Duration, Instant};

/// A wait that a test would notice, and far more than a produce takes.
const LONG_MS: i32 = 20_000;

/// Goal: a Fetch at the end of the log is answered, empty, when its time is up, not before.
#[test]
fn an_idle_fetch_waits_its_time() {
    let server = Server::shared();
    let topic = server.topic("idle", 1);
    let mut connection = server.connect();
    for version in [4, 11, 18] {
        let started = Instant::now();
        let data = fetch(
            &mut connection,
            version,
            &topic,
            Reading {
                max_wait_ms: 300,
                min_bytes: 1,
                ..Reading::from(0)
            },
        );
        assert_eq!((data.error_code, data.high_watermark), (0, 0));
        assert!(data.records.is_none_or(|r| r.is_empty()));
        assert!(
            started.elapsed() >= Duration::from_millis(300),
            "it waited {:?}",
            started.elapsed()
        );
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it waited {:?}",
            started.elapsed()
        );
    }
}

/// Goal: min_bytes 0 does not wait.
#[test]
fn no_minimum_no_wait() {
    let server = Server::shared();
    let topic = server.topic("no-minimum", 1);
    let mut connection = server.connect();
    let started = Instant::now();
    fetch(
        &mut connection,
        18,
        &topic,
        Reading {
            max_wait_ms: LONG_MS,
            min_bytes: 0,
            ..Reading::from(0)
        },
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// Goal: a produce wakes a waiting Fetch, which then holds the new batch.
#[test]
fn a_produce_wakes_a_waiting_fetch() {
    let server = Server::shared();
    let topic = server.topic("woken", 1);
    let (mut reader, mut writer) = (server.connect(), server.connect());
    for offset in 0..5 {
        let started = Instant::now();
        let reading = Reading {
            max_wait_ms: LONG_MS,
            min_bytes: 1,
            ..Reading::from(offset)
        };
        let sent = reader.send(18, &fetch_request(18, &topic, reading));
        reader.assert_silent_for(Duration::from_millis(100), "nothing to read yet");
        assert_eq!(append(&mut writer, &topic, 0, &Batch::of([offset.to_string()])), offset);
        let data = only_partition_fetched(reader.receive::<FetchRequest>(sent));
        assert_eq!((data.error_code, data.high_watermark), (0, offset + 1));
        assert_eq!(Stored::all(&data.records.expect("records"))[0].base_offset, offset);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

/// Goal: a Fetch that wants more bytes than one batch has waits for the second.
#[test]
fn a_minimum_is_waited_for() {
    let server = Server::shared();
    let topic = server.topic("minimum", 1);
    let (mut reader, mut writer) = (server.connect(), server.connect());
    let batch = Batch::of(["x".repeat(1_000)]);
    let min_bytes = batch.encode().len() as i32 + 1;
    let sent = reader.send(
        18,
        &fetch_request(
            18,
            &topic,
            Reading {
                max_wait_ms: LONG_MS,
                min_bytes,
                ..Reading::from(0)
            },
        ),
    );
    append(&mut writer, &topic, 0, &batch);
    reader.assert_silent_for(Duration::from_millis(300), "one batch is not enough");
    append(&mut writer, &topic, 0, &batch);
    let data = only_partition_fetched(reader.receive::<FetchRequest>(sent));
    assert_eq!(Stored::all(&data.records.expect("records")).len(), 2);
}

/// Goal: deleting the topic ends the wait.
#[test]
fn deleting_the_topic_ends_the_wait() {
    let server = Server::shared();
    let topic = server.topic("wait-deleted", 1);
    let (mut reader, mut writer) = (server.connect(), server.connect());
    let started = Instant::now();
    let reading = Reading {
        max_wait_ms: LONG_MS,
        min_bytes: 1,
        ..Reading::from(0)
    };
    let sent = reader.send(12, &fetch_request(12, &topic, reading));
    reader.assert_silent_for(Duration::from_millis(200), "nothing to read yet");
    let delete = DeleteTopicState::default().with_name(Some(topic.topic_name()));
    let reply = writer.call(
        6,
        &DeleteTopicsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(vec![delete]),
    );
    assert_eq!(reply.responses[0].error_code, 0);
    let data = only_partition_fetched(reader.receive::<FetchRequest>(sent));
    assert_eq!(data.error_code, code::UNKNOWN_TOPIC_OR_PARTITION);
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "it waited {:?}",
        started.elapsed()
    );
}

/// Goal: a waiting Fetch holds up no other connection.
#[test]
fn a_waiting_fetch_holds_up_nobody_else() {
    let server = Server::shared();
    let topic = server.topic("waiting", 1);
    let mut readers: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send(
            18,
            &fetch_request(
                18,
                &topic,
                Reading {
                    max_wait_ms: LONG_MS,
                    min_bytes: 1,
                    ..Reading::from(0)
                },
            ),
        );
    }
    let started = Instant::now();
    server.connect().call(0, &ApiVersionsRequest::default());
    append(&mut server.connect(), &server.topic("beside", 1), 0, &Batch::of(["x"]));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "others were served after {:?}",
        started.elapsed()
    );
}
